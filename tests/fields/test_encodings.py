"""Positional encoding: exact values, and what networks are told by it."""

import math

import pytest
import torch

from unflat.fields.encodings import positional, positional_length


def test_places_become_63_numbers_and_directions_27() -> None:
    assert positional(torch.rand(4, 7, 3), 10).shape == (4, 7, 63)
    assert positional(torch.rand(5, 3), 4).shape == (5, 27)
    assert (positional_length(3, 10), positional_length(3, 4), positional_length(2, 0)) == (63, 27, 2)


def test_values() -> None:
    """The numbers themselves, then sine and cosine of 1, 2 and 4 times them, octave by octave; no pi."""
    found = positional(torch.tensor([[0.5, -1.0]], dtype=torch.float64), 3)
    expected = [0.5, -1.0]
    for factor in (1, 2, 4):
        expected += [math.sin(0.5 * factor), math.sin(-factor), math.cos(0.5 * factor), math.cos(-factor)]
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64))


def test_the_last_octave_is_512() -> None:
    found = positional(torch.tensor([[0.001]], dtype=torch.float64), 10)[0]
    assert float(found[-2]) == pytest.approx(math.sin(0.512)) and float(found[-1]) == pytest.approx(math.cos(0.512))


def test_no_octaves_leave_numbers_as_they_are() -> None:
    values = torch.rand(3, 2)
    assert torch.equal(positional(values, 0), values)


def test_the_gradient_at_zero_is_that_of_the_sines() -> None:
    values = torch.zeros(1, 3, requires_grad=True)
    found = positional(values, 10)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.full((1, 3), float(2**10)))  # 1 + 1 + 2 + 4 + ... + 512
    assert torch.autograd.gradcheck(lambda x: positional(x, 3), torch.zeros(2, 3, dtype=torch.float64).requires_grad_())
