"""Thousands of tiny networks, each with its own weights, asked at once: which samples are whose, waves, products and
gradients in one loop.

The network is KiloNeRF's (Reiser et al. 2021): places and directions become waves, two layers make of the place a
density and a feature, one more mixes the feature with the direction, and the last makes a colour. Samples are grouped
by network, and nothing is padded but the last few of a group. One function with three back ends: loops in numba (CPU),
kernels in Triton (GPU), and the readable PyTorch twin, which pads groups to the longest and multiplies them by `bmm`.
"""

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import relu

from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "tiny_networks_cpu")
_kernels = partial(compiled_loops, "tiny_networks_gpu")


class Layer(NamedTuple):
    """Where a layer's weights stand in a network's, input by input, its bias last."""

    first: int
    inputs: int
    outputs: int

    @property
    def last(self) -> int:
        """One past."""
        return self.first + (self.inputs + 1) * self.outputs


class Layers(NamedTuple):
    """The layers of a network."""

    place: Layer
    hidden: Layer
    density: Layer
    feature: Layer
    mixed: Layer
    colour: Layer


class Shape(NamedTuple):
    """How large a network is: 6212 weights as published."""

    octaves: int = 10
    """waves of places"""
    direction_octaves: int = 4
    width: int = 32
    """of the layers"""

    @property
    def layers(self) -> Layers:
        place, direction, w = (*(3 + 6 * n for n in self[:2]), self.width)
        found: list[Layer] = []
        for inputs, outputs in ((place, w), (w, w), (w, 1), (w, w), (w + direction, w), (w, 3)):
            found.append(Layer(found[-1].last if found else 0, inputs, outputs))
        return Layers(*found)

    @property
    def weights(self) -> int:
        """How many there are."""
        return self.layers.colour.last


def tiny_networks(
    points: Float[Tensor, "m 3"],
    sights: Float[Tensor, "m 3"],
    which: Int[Tensor, "m"],
    weights: Float[Tensor, "k n"],
    shape: Shape,
) -> Float[Tensor, "m 4"]:
    """Raw density, and colour before a sigmoid, of samples: places in [-1, 1]^3 that are seen along unit sights, each
    by the network that `which` numbers. With gradients for the weights, and none for places and sights."""
    device, kind = weights.device.type, weights.dtype
    if device == "cuda" and kind == torch.float32 and _kernels() is not None:
        return tiny_networks_triton(points, sights, which, weights, shape)
    if device != "cpu" or kind != torch.float32 or _loops() is None:
        return tiny_networks_torch(points, sights, which, weights, shape)
    return _Asked.apply(points, sights, which, weights, shape)  # type: ignore[no-untyped-call]


# -- the readable twin -------------------------------------------------------------------------------------------------


def tiny_networks_torch(
    points: Float[Tensor, "m 3"],
    sights: Float[Tensor, "m 3"],
    which: Int[Tensor, "m"],
    weights: Float[Tensor, "k n"],
    shape: Shape,
) -> Float[Tensor, "m 4"]:
    """The readable twin: a row of samples for each network, as long as the longest, and a product for each layer."""
    order = torch.argsort(which, stable=True)
    each = torch.bincount(which, minlength=len(weights))
    used = each.nonzero()[:, 0]
    each = each[used]
    row = torch.repeat_interleave(torch.arange(len(used), device=which.device), each)
    column = torch.arange(len(which), device=which.device) - (each.cumsum(0) - each)[row]
    size, layers, own = (len(used), int(each.max()) if len(each) else 0, 3), shape.layers, weights[used]

    def padded(values: Tensor, octaves: int) -> Tensor:
        return _waves(values.new_zeros(size).index_put((row, column), values[order]), octaves)

    def through(values: Tensor, layer: Layer) -> Tensor:
        table = own[:, layer.first : layer.last].view(len(own), layer.inputs + 1, layer.outputs)
        return torch.baddbmm(table[:, -1:], values, table[:, :-1])

    places, directions = (padded(v.detach(), n) for v, n in zip((points, sights), shape[:2], strict=True))
    seen = relu(through(relu(through(places, layers.place)), layers.hidden))
    mixed = relu(through(torch.cat([through(seen, layers.feature), directions], 2), layers.mixed))
    found = torch.cat([through(seen, layers.density), through(mixed, layers.colour)], 2)[row, column]
    return torch.zeros_like(found).index_copy(0, order, found)


def _waves(values: Float[Tensor, "k n 3"], octaves: int) -> Float[Tensor, "k n p"]:
    """As `fields.encodings.positional`, which is above kernels."""
    scaled = values[..., None, :] * 2.0 ** torch.arange(octaves, dtype=values.dtype, device=values.device)[:, None]
    return torch.cat([values, torch.stack([scaled.sin(), scaled.cos()], -2).flatten(-3)], -1)


# -- the loops ---------------------------------------------------------------------------------------------------------


class _Asked(torch.autograd.Function):
    """`tiny_networks` by loops."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, sights: Tensor, which: Tensor, weights: Tensor, shape: Shape) -> Tensor:
        layers, octaves = _laid_out(shape)
        first, order = np.empty(len(weights) + 1, np.int64), np.empty(len(which), np.int64)
        _loops().grouped(which.long().contiguous().numpy(), first, order)
        given = [part.detach().float().contiguous().numpy() for part in (points, sights)]
        table, found = weights.detach().contiguous().numpy(), np.empty((len(which), 4), np.float32)
        ctx.kept = table, layers, octaves, (*given, first, order)

        def ask(part: tuple[int, int]) -> None:
            _loops().forward(table, layers, octaves, *part, *given, first, order, found)

        side_by_side(ask, _shares(first))
        return torch.from_numpy(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> Any:
        table, layers, octaves, samples = ctx.kept
        gradient, of_samples = np.zeros_like(table), of_found.float().contiguous().numpy()

        def spread(part: tuple[int, int]) -> None:
            _loops().backward(table, layers, octaves, *part, *samples, of_samples, gradient)

        side_by_side(spread, _shares(samples[2]))
        return None, None, None, torch.from_numpy(gradient), None


def _laid_out(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """What the loops know of the layers, and of the waves: see `tiny_networks_cpu.forward`.

    A block holds the place, the first and the second layer, the feature with the direction, the layer that mixes these,
    density and colour.
    """
    w, place, direction = shape.width, 3 + 6 * shape.octaves, 3 + 6 * shape.direction_octaves
    first, second, feature = place, place + w, place + 2 * w
    mixed, density = feature + w + direction, feature + 2 * w + direction
    rows = ((0, first, 0, 1), (first, second, w, 1), (second, density, w, 0), (second, feature, w, 0),
            (feature, mixed, w, 1), (mixed, density + 1, w, 0))  # fmt: skip
    layers = [(*layer, *row) for layer, row in zip(shape.layers, rows, strict=True)]
    return np.array(layers), np.array([*shape[:2], feature + w])


def _shares(first: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of networks with about equally many samples, one for each thread."""
    edges = [0, *(int(np.searchsorted(first, last)) for _, last in pieces(int(first[-1])))]
    edges[-1] = len(first) - 1
    return list(pairwise(edges))


# -- the kernels -------------------------------------------------------------------------------------------------------

SAMPLES = 64
"""of one network, that a program computes"""


@torch.compiler.disable
def tiny_networks_triton(
    points: Float[Tensor, "m 3"],
    sights: Float[Tensor, "m 3"],
    which: Int[Tensor, "m"],
    weights: Float[Tensor, "k n"],
    shape: Shape,
) -> Float[Tensor, "m 4"]:
    """The same on a GPU, which is waited for once, since nobody knows before how many blocks there are."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    return _TritonAsked.apply(points, sights, which, weights, shape)  # type: ignore[no-untyped-call]


class _TritonAsked(torch.autograd.Function):
    """`tiny_networks` by kernels."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, sights: Tensor, which: Tensor, weights: Tensor, shape: Shape) -> Tensor:
        given = [part.detach().float().contiguous() for part in (points, sights)]
        samples = *given, *_blocks(which, len(weights)), weights.detach().contiguous()
        found = given[0].new_empty(len(which), 4)
        _launch("forward", samples, (found,), shape)
        ctx.shape = shape
        ctx.save_for_backward(*samples)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> Any:
        samples = ctx.saved_tensors
        gradient = torch.zeros_like(samples[-1])
        _launch("backward", samples, (of_found.float().contiguous(), gradient), ctx.shape)
        return None, None, None, gradient, None


def _blocks(which: Int[Tensor, "m"], networks: int) -> tuple[Tensor, ...]:
    """Samples by network; and the network, the first and the last sample (one past) of each block of them."""
    each = torch.bincount(which, minlength=networks)
    last, blocks = each.cumsum(0), (each + SAMPLES - 1) // SAMPLES
    network = torch.repeat_interleave(blocks)
    within = torch.arange(len(network), device=which.device) - (blocks.cumsum(0) - blocks)[network]
    return torch.argsort(which, stable=True), network, (last - each)[network] + SAMPLES * within, last[network]


def _launch(name: str, samples: tuple[Tensor, ...], others: tuple[Tensor, ...], shape: Shape) -> None:
    """Run a kernel over all blocks; their networks are the fourth of the samples."""
    if not len(samples[3]):
        return
    place, direction, width = (
        max(16, 1 << (n - 1).bit_length()) for n in (*(4 + 6 * n for n in shape[:2]), shape.width)
    )
    launched(
        getattr(_kernels(), name), (len(samples[3]),), *samples, *others, *shape, shape.weights, place, direction,
        width, SAMPLES,
    )  # fmt: skip
