"""Planes and lines: finer and cut ones stand for the same tensor."""

import pytest
import torch
from torch import Tensor

from unflat.fields.planes import (
    cut_lines,
    cut_planes,
    finer_lines,
    finer_planes,
    line_lengths,
    plane_lengths,
    variation,
)
from unflat.kernels.lookup import ALONG, Box, Pairs, looked_up_torch

OLD = (5, 7, 6)
BOX = Box(torch.tensor([-1.0, -1.2, -0.5]), torch.tensor([1.0, 0.7, 0.9]))


def factors(generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
    planes = [torch.randn(n, 3, generator=generator) for n in plane_lengths(OLD)]
    return planes, [torch.randn(n, 3, generator=generator) for n in line_lengths(OLD)]


def pairs(planes: list[Tensor], lines: list[Tensor]) -> Pairs:
    return Pairs(tuple(planes), tuple(lines))  # type: ignore[arg-type]


def test_finer_factors_are_the_same_field_at_the_old_entries(generator: torch.Generator) -> None:
    """Nine entries for five, thirteen for seven, eleven for six: every old one is a new one."""
    planes, lines = factors(generator)
    new = (9, 13, 11)
    finer = pairs(finer_planes(planes, OLD, new), finer_lines(lines, line_lengths(new)))
    axes = [torch.linspace(float(a), float(b), n) for a, b, n in zip(BOX.low, BOX.high, OLD, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    before, after = (looked_up_torch(points, table, BOX) for table in (pairs(planes, lines), finer))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_finer_lines_are_linear_between(generator: torch.Generator) -> None:
    (found,) = finer_lines([torch.tensor([[0.0], [4.0], [2.0]])], [5])
    assert found[:, 0].tolist() == [0, 2, 4, 3, 2]


def test_cut_factors_are_the_same_field_in_the_smaller_box(generator: torch.Generator) -> None:
    planes, lines = factors(generator)
    first, last = (1, 2, 0), (4, 6, 5)
    cut = pairs(
        cut_planes(planes, OLD, first, last), cut_lines(lines, [first[i] for i in ALONG], [last[i] for i in ALONG])
    )
    side = (BOX.high - BOX.low) / (torch.tensor(OLD) - 1)
    box = Box(BOX.low + torch.tensor(first) * side, BOX.low + (torch.tensor(last) - 1) * side)
    points = box.low + torch.rand(200, 3, generator=generator) * (box.high - box.low)
    before, after = looked_up_torch(points, pairs(planes, lines), BOX), looked_up_torch(points, cut, box)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_variation_by_hand() -> None:
    planes = [torch.zeros(n, 1) for n in plane_lengths((2, 3, 2))]
    planes[0] = torch.tensor([[0.0], [1.0], [3.0], [2.0], [2.0], [2.0]])  # rows (0, 1, 3) and (2, 2, 2)
    expected = 0.02 * ((4 + 1 + 1) / 3 + (1 + 4 + 0 + 0) / 4)
    assert variation(planes, (2, 3, 2)).item() == pytest.approx(expected)
