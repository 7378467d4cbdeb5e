"""Cells with a network each: which network a place meets, and in which coordinates."""

import torch

from unflat.fields.cell_networks import CellNetworks, split
from unflat.kernels.tiny_networks import Shape, tiny_networks_torch

SHAPE = Shape(octaves=2, direction_octaves=1, width=4)
BOX = (-1.0, -2.0, 0.0, 1.0, 2.0, 1.0)


def networks() -> tuple[CellNetworks, torch.Tensor]:
    """In half of the cells of a box of 2 x 4 x 1, each of weights of its own; and which cells these are."""
    torch.manual_seed(0)
    made, holds = CellNetworks(SHAPE, BOX), torch.rand(2, 4, 1) < 0.5
    made.begin(holds)
    return made, holds


def test_all_networks_begin_alike() -> None:
    made, holds = networks()
    assert made.weights.shape == (int(holds.sum()), SHAPE.weights) and made.weights.std(0).max() == 0
    layer = SHAPE.layers.hidden
    table = made.weights[0, layer.first : layer.last].detach().view(layer.inputs + 1, layer.outputs)
    assert table[:-1].abs().max() <= (6 / layer.inputs) ** 0.5 and table[:-1].std() > 0.3
    assert not table[-1].any()


def test_a_place_meets_the_network_of_its_cell_in_its_coordinates() -> None:
    made, holds = networks()
    with torch.no_grad():
        made.weights += torch.randn(made.weights.shape)
    places = torch.rand(50, 3) * torch.tensor([2.0, 4.0, 1.0]) + torch.tensor(BOX[:3])
    sights = torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    found, rows = made(places, sights), list(map(tuple, made.cells.tolist()))
    for place, sight, one in zip(places, sights, found, strict=True):
        x, y, z = place.tolist()
        cell = int(x + 1), int(y + 2), int(z)
        if not holds[cell]:
            assert not one.any()
            continue
        local = 2 * (place - torch.tensor(BOX[:3]) - torch.tensor(cell)) - 1
        number = torch.tensor([rows.index(cell)])
        expected = tiny_networks_torch(local[None], sight[None], number, made.weights, SHAPE)[0]
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.places(number, local[None])[0], place)


def test_a_box_is_split_into_about_cubes() -> None:
    assert split(torch.tensor([-0.67, -1.2, -0.37]), torch.tensor([0.67, 1.2, 1.03]), 16) == (9, 16, 9)
    assert split(torch.zeros(3), torch.tensor([1.0, 0.01, 0.5]), 4) == (4, 1, 2)


def test_beside_the_box_it_is_what_it_is_on_its_faces() -> None:
    """The waves' polynomial holds within a cell only: far beside it, it gave no number."""
    made, _ = networks()
    with torch.no_grad():
        made.weights += torch.randn(made.weights.shape)
    low, high = torch.tensor(BOX[:3]), torch.tensor(BOX[3:])
    places, sights = 40 * torch.rand(50, 3) - 20, torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    found = made(places, sights)
    assert found.isfinite().all()
    torch.testing.assert_close(found, made(places.maximum(low).minimum(high), sights), rtol=1e-4, atol=1e-4)
