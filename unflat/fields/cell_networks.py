"""A box in cells, and a tiny network for each cell in which something is (Reiser et al. 2021, KiloNeRF)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unflat.kernels.tiny_networks import Shape, tiny_networks


class CellNetworks(nn.Module):
    """Networks that see places in the coordinates of their cells, [-1, 1]^3. At first there are none: see `begin`."""

    low: Tensor
    high: Tensor
    row_of: Tensor
    """[i, j, k], int32: the number of each cell's network, -1 where it has none"""
    alike: Tensor
    """[n], the weights with which all begin"""

    def __init__(self, shape: Shape, limits: tuple[float, ...]) -> None:
        super().__init__()
        self.shape = shape
        alike = torch.zeros(shape.weights)
        for layer in shape.layers:
            table = alike[layer.first : layer.last].view(layer.inputs + 1, layer.outputs)
            nn.init.kaiming_uniform_(table[:-1].T, nonlinearity="relu")
        self.weights = nn.Parameter(torch.zeros(0, shape.weights))
        self.register_buffer("low", torch.tensor(limits[:3]))
        self.register_buffer("high", torch.tensor(limits[3:]))
        self.register_buffer("row_of", torch.full((1, 1, 1), -1, dtype=torch.int32))
        self.register_buffer("alike", alike)

    def begin(self, holds: Bool[Tensor, "i j k"]) -> None:
        """A network for each of these cells of the box."""
        rows = holds.flatten().cumsum(0).view(holds.shape) - 1
        self.row_of = torch.where(holds, rows, -1).int()
        self.weights = nn.Parameter(self.alike.repeat(int(holds.sum()), 1))

    @property
    def side(self) -> Float[Tensor, "3"]:
        """Of a cell."""
        return (self.high - self.low) / self.low.new_tensor(self.row_of.shape)

    @property
    def cells(self) -> Int[Tensor, "k 3"]:
        """The cell of each network."""
        return (self.row_of >= 0).nonzero()

    def places(self, network: Int[Tensor, "m"], local: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
        """Where places in the coordinates of the networks' cells are."""
        return self.low + (self.cells[network] + (local + 1) / 2) * self.side

    def asked(
        self, network: Int[Tensor, "m"], local: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"]
    ) -> Float[Tensor, "m 4"]:
        """Raw density, and colour before a sigmoid, at places in the coordinates of the networks' cells."""
        return tiny_networks(local, sights, network, self.weights, self.shape)

    def forward(self, places: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"]) -> Float[Tensor, "m 4"]:
        """The same at places of the box; zeros where no network is."""
        within = (places - self.low) / self.side
        cell = within.long().clamp_min(0).minimum(torch.tensor(self.row_of.shape, device=within.device) - 1)
        row = self.row_of[cell[:, 0], cell[:, 1], cell[:, 2]].long()
        known = (row >= 0).nonzero()[:, 0]
        local = (2 * (within - cell) - 1).clamp(-1, 1)  # beside the box as on its faces
        found = self.asked(row[known], local[known], sights[known])
        return found.new_zeros(len(places), 4).index_copy(0, known, found)


def split(low: Float[Tensor, "3"], high: Float[Tensor, "3"], cells: int) -> tuple[int, int, int]:
    """How a box is split into about cubes, so many along its longest side."""
    side = (high - low).double()
    x, y, z = (max(1, round(float(s / side.max()) * cells)) for s in side)
    return x, y, z
