"""Hashed grids: loops against the twin, and both against dense grids and hashes worked out in 32 bits."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.kernels import hash_lookup as module
from unflat.kernels.hash_lookup import Hashed, hash_looked_up, hash_looked_up_torch, hashed_rows, levels_of
from unflat.kernels.lookup import Box

BOX = Box(torch.tensor([-1.0, -1.2, -0.5]), torch.tensor([1.0, 0.7, 0.9]))
BACKENDS = [hash_looked_up, hash_looked_up_torch]
CELLS, MOST = (3, 7, 12, 31), 2**10
"""the first two levels have a row for each corner, the others share 1024"""


def table(channels: int, generator: torch.Generator, cells: tuple[int, ...] = CELLS, most: int = MOST) -> Hashed:
    rows = sum(count for _, count in levels_of(cells, most))
    return Hashed(torch.randn(rows, channels, generator=generator).requires_grad_(), cells, most)


def points(count: int, generator: torch.Generator) -> Tensor:
    """In the box, on its faces, and a few beside it."""
    within = torch.rand(count, 3, generator=generator) * 1.2 - 0.1
    within[:20] = within[:20].round()
    return BOX.low + within * (BOX.high - BOX.low)


def row_in_32_bits(i: int, j: int, k: int, rows: int) -> int:
    """Eq. 4 as the paper has it: products and xor of unsigned numbers of 32 bits, and a modulus."""
    with np.errstate(over="ignore"):
        mixed = np.uint32(i) ^ np.uint32(j) * np.uint32(2654435761) ^ np.uint32(k) * np.uint32(805459861)
    return int(mixed % np.uint32(rows))


def by_hand(at: Tensor, one: Hashed) -> Tensor:
    """Point by point, level by level, corner by corner, in double precision."""
    found = np.zeros((len(at), len(one.cells), one.values.shape[1]))
    held = one.values.detach().double().numpy()
    for n, point in enumerate(((at - BOX.low) / (BOX.high - BOX.low)).clamp(0, 1).tolist()):
        begins = 0
        for level, cells in enumerate(one.cells):
            dense = (cells + 1) ** 3 <= one.most
            cell = [min(int(p * cells), cells - 1) for p in point]
            f = [p * cells - c for p, c in zip(point, cell, strict=True)]
            for corner in itertools.product((0, 1), repeat=3):
                i, j, k = (c + d for c, d in zip(cell, corner, strict=True))
                row = i + j * (cells + 1) + k * (cells + 1) ** 2 if dense else row_in_32_bits(i, j, k, one.most)
                share = np.prod([f[a] if corner[a] else 1 - f[a] for a in range(3)])
                found[n, level] += share * held[begins + row]
            begins += (cells + 1) ** 3 if dense else one.most
    return torch.from_numpy(found.reshape(len(at), -1)).float()


def test_levels_have_a_row_for_each_corner_but_no_more_than_they_may() -> None:
    assert levels_of(CELLS, MOST) == [(0, 64), (64, 512), (576, 1024), (1600, 1024)]
    assert levels_of((7, 8), 512) == [(0, 512), (512, 512)], "a level that just fits, and one that does not"


@pytest.mark.parametrize(
    "corner, row",
    [((0, 0, 0), 0), ((1, 0, 0), 1), ((0, 1, 0), 489905), ((0, 0, 1), 153493), ((17, 2047, 1024), 23134),
     ((2048, 2048, 2048), 75776), ((513, 77, 901), 108373)],
)  # fmt: skip
def test_hashes_are_the_same_everywhere(corner: tuple[int, int, int], row: int) -> None:
    """Golden values, of 2^19 rows: a table that was learned on one machine is read on another."""
    assert row_in_32_bits(*corner, 2**19) == row
    assert int(hashed_rows(torch.tensor(corner), 2048, (0, 2**19))) == row
    assert int(hashed_rows(torch.tensor(corner), 2048, (5000, 2**19))) == 5000 + row


def test_hashes_of_all_corners_are_those_of_32_bits(generator: torch.Generator) -> None:
    corners = torch.randint(0, 2**19, (500, 3), generator=generator)
    expected = [row_in_32_bits(*corner, 2**14) for corner in corners.tolist()]
    assert hashed_rows(corners, 2**19, (0, 2**14)).tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_it_is_what_is_worked_out_by_hand(backend: object, channels: int, generator: torch.Generator) -> None:
    """An odd number of channels, too, of which a loop takes two at a time."""
    one, at = table(channels, generator), points(60, generator)
    torch.testing.assert_close(backend(at, one, BOX), by_hand(at, one), rtol=1e-4, atol=2e-5)  # type: ignore[operator]


@pytest.mark.parametrize("backend", BACKENDS)
def test_dense_levels_are_trilinear_grids(backend: object, generator: torch.Generator) -> None:
    one, at = table(2, generator, cells=(4, 6), most=2**10), points(200, generator)
    grid, expected = ((at - BOX.low) / (BOX.high - BOX.low) * 2 - 1).view(1, -1, 1, 1, 3), []
    for cells, (first, count) in zip(one.cells, levels_of(one.cells, one.most), strict=True):
        side = cells + 1
        dense = one.values[first : first + count].T.reshape(1, -1, side, side, side)  # z, y, x: x is fastest
        found = torch.nn.functional.grid_sample(dense, grid, align_corners=True, padding_mode="border")
        expected.append(found[0, :, :, 0, 0].T)
    torch.testing.assert_close(backend(at, one, BOX), torch.cat(expected, 1), rtol=1e-5, atol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("backend", BACKENDS)
def test_on_a_face_and_beside_it_is_what_the_face_holds(backend: object, generator: torch.Generator) -> None:
    """The last corner of each level is not asked for what lies behind it."""
    one, far = table(2, generator), BOX.high + torch.tensor([0.0, 3.0, 0.5])
    at = torch.stack([BOX.high, far, BOX.low, BOX.low - 1])
    found = backend(at, one, BOX)  # type: ignore[operator]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[2], found[3])
    rows = [first for first, _ in levels_of(CELLS, MOST)]
    torch.testing.assert_close(found[2], one.values[rows].flatten())
    corners = [torch.tensor([cells] * 3) for cells in CELLS]
    last = [int(hashed_rows(*given)) for given in zip(corners, CELLS, levels_of(CELLS, MOST), strict=True)]
    torch.testing.assert_close(found[0], one.values[last].flatten(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_gradients_of_the_loops_are_the_twins(channels: int, generator: torch.Generator) -> None:
    one, at = table(channels, generator), points(100, generator)
    weight = torch.randn(100, channels * len(CELLS), generator=generator)
    ours, theirs = (torch.autograd.grad((f(at, one, BOX) * weight).sum(), one.values)[0] for f in BACKENDS)
    dense = ours.to_dense() if ours.is_sparse else ours
    torch.testing.assert_close(dense, theirs, rtol=1e-4, atol=1e-4)
    if ours.is_sparse:
        rows = ours._indices()[0]
        assert 0 < len(rows) == len(rows.unique()) <= 100 * 8 * len(CELLS)


def test_gradients_of_the_twin_are_those_of_finite_differences(generator: torch.Generator) -> None:
    """Of two levels whose corners share rows, too."""
    one, at = table(2, generator, cells=(2, 5), most=2**6), points(15, generator).double()
    box = Box(BOX.low.double(), BOX.high.double())

    def values(held: Tensor) -> Tensor:
        return hash_looked_up_torch(at, one._replace(values=held), box)

    assert torch.autograd.gradcheck(values, one.values.detach().double().requires_grad_(), fast_mode=True)


def test_gradients_of_the_loops_are_those_of_finite_differences(generator: torch.Generator) -> None:
    """The loops are of single precision, and linear in the rows: a large step leaves no error but that of rounding."""
    one, at = table(2, generator, cells=(2, 5), most=2**6), points(15, generator)
    weight, direction = (torch.randn(*shape, generator=generator) for shape in ((15, 4), one.values.shape))
    found = torch.autograd.grad((hash_looked_up(at, one, BOX) * weight).sum(), one.values)[0]
    found = found.to_dense() if found.is_sparse else found
    steps = (one._replace(values=(one.values + s * direction).detach()) for s in (1.0, -1.0))
    ahead, behind = (float((hash_looked_up(at, there, BOX) * weight).double().sum()) for there in steps)
    assert float((found * direction).sum()) == pytest.approx((ahead - behind) / 2, rel=1e-4, abs=1e-4)


def test_more_threads_change_nothing(generator: torch.Generator) -> None:
    one, at = table(2, generator), points(5000, generator)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            values = hash_looked_up(at, one, BOX)
            of_values = torch.autograd.grad(values.square().sum(), one.values)[0]
            found.append((values.detach(), of_values.to_dense() if of_values.is_sparse else of_values))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_points_at_all(backend: object, generator: torch.Generator) -> None:
    one = table(3, generator)
    found = backend(torch.empty(0, 3), one, BOX)  # type: ignore[operator]
    assert found.shape == (0, 12)
    gradient = torch.autograd.grad(found.sum(), one.values)[0]
    assert not (gradient.to_dense() if gradient.is_sparse else gradient).any()


def test_double_precision_and_no_loops_take_the_twin(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, at = table(2, generator), points(30, generator)
    twin = hash_looked_up_torch(at, one, BOX)
    double = hash_looked_up(
        at.double(), one._replace(values=one.values.double()), Box(BOX.low.double(), BOX.high.double())
    )
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), twin, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(module, "_loops", lambda: None)
    assert torch.equal(hash_looked_up(at, one, BOX), twin)
