"""Group norm with its ReLU: closed forms, the loops against torch's operations, and where which of them runs."""

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.kernels import group_norm as module
from unflat.kernels import group_norm_cpu
from unflat.kernels.group_norm import group_norm_relu, group_norm_relu_torch


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def with_gradients(function: object, x: Tensor, groups: int, slope: float) -> list[Tensor]:
    """The result and the gradients of x, weight and bias under a loss that treats every value differently."""
    channels = x.shape[1]
    leaves = [
        x.clone(memory_format=torch.preserve_format),
        torch.linspace(-1, 2, channels),
        torch.linspace(-0.4, 0.5, channels),
    ]
    for leaf in leaves:
        leaf.requires_grad_()
    y = function(leaves[0], groups, leaves[1], leaves[2], 1e-5, slope)  # type: ignore[operator]
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]  # type: ignore[misc]


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize(
    ("shape", "groups"), [((3, 16, 8, 8), 4), ((2, 24, 5, 3), 6), ((1, 6, 4, 4), 1), ((2, 256, 2, 2), 64)]
)
def test_the_loop_and_torch_agree_on_values_and_gradients(
    shape: tuple[int, ...], groups: int, slope: float, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (torch.randn(shape, generator=generator) * 3 + 1).contiguous(memory_format=torch.channels_last)
    slow = with_gradients(group_norm_relu_torch, x, groups, slope)
    monkeypatch.setattr(module, "group_norm_relu_torch", None)  # the loop it has to be
    for ours, expected in zip(with_gradients(group_norm_relu, x, groups, slope), slow, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_bfloat16_is_float32_rounded(slope: float, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients of 16 bits are those of 32 bits for the same input, to the nearest."""
    x = (torch.randn(3, 16, 8, 8, generator=generator) * 3 + 1).contiguous(memory_format=torch.channels_last).bfloat16()
    weight, bias = torch.linspace(-1, 2, 16), torch.linspace(-0.4, 0.5, 16)
    monkeypatch.setattr(module, "group_norm_relu_torch", None)  # the loop it has to be
    above = torch.randn(3, 16, 8, 8, generator=generator).bfloat16()
    found = []
    for kind in (torch.float32, torch.bfloat16):
        leaves = [x.to(kind).requires_grad_(), weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        y = group_norm_relu(leaves[0], 4, leaves[1], leaves[2], 1e-5, slope)
        assert y.dtype == kind
        y.backward(above.to(kind))
        found.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for exact, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, exact.to(ours.dtype), rtol=0, atol=0)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0xFF800001, 0xFFFFFFFF])
def test_any_nan_stays_one_in_16_bits(bits: int) -> None:
    """Rounded like a number, the first and the third of these become infinity and -0."""

    @numba.njit
    def rounded(value, like):  # type: ignore[no-untyped-def]
        return group_norm_cpu.stored(value, like)

    value = np.array([bits], np.uint32).view(np.float32)[0]
    kept = np.array([int(rounded(value, np.uint16(0))) << 16], np.uint32).view(np.float32)
    assert np.isnan(kept[0])


def test_a_second_gradient_is_refused_rather_than_left_out() -> None:
    x = torch.rand(1, 4, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = group_norm_relu(x, 2, torch.ones(4), torch.zeros(4), 1e-5)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    x = torch.rand(1, 6, 4, 4).contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="divisible"):
        group_norm_relu(x, 4, torch.ones(6), torch.zeros(6), 1e-5)


def test_a_group_is_brought_to_mean_0_and_variance_1(generator: torch.Generator) -> None:
    x = (torch.randn(2, 8, 6, 6, generator=generator) * 5 + 40).contiguous(memory_format=torch.channels_last)
    y = group_norm_relu(x, 2, torch.ones(8), torch.zeros(8), 1e-5, slope=1.0).reshape(2, 2, -1)
    torch.testing.assert_close(y.mean(-1), torch.zeros(2, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.var(-1, correction=0), torch.ones(2, 2), atol=1e-3, rtol=0)
    assert bool((group_norm_relu(x, 2, torch.ones(8), torch.zeros(8), 1e-5) >= 0).all())


def test_a_constant_picture_becomes_the_bias_without_nan() -> None:
    x = torch.full((1, 4, 4, 4), 7.0).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = group_norm_relu(x, 1, torch.ones(4), torch.full((4,), 0.5), 1e-5)
    y.sum().backward()
    torch.testing.assert_close(y, torch.full_like(y, 0.5), atol=1e-2, rtol=0)
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_a_nan_is_not_hidden() -> None:
    x = torch.zeros(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 0, 0, 0] = torch.nan
    y = group_norm_relu(x, 1, torch.ones(4), torch.zeros(4), 1e-5)
    assert bool(y[0].isnan().all()) and bool(y[1].isfinite().all())


@pytest.mark.parametrize("case", ["layout", "precision", "threads", "no numba"])
def test_elsewhere_torch_does_it(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.ones(8), torch.zeros(8)
    if case == "layout":
        x = x.contiguous()
    elif case == "precision":
        x, weight, bias = x.double(), weight.double(), bias.double()
    elif case == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    else:
        monkeypatch.setattr(module, "_loops", lambda: None)
    monkeypatch.setattr(module._Fused, "apply", None)
    assert torch.equal(group_norm_relu(x, 2, weight, bias, 1e-5), group_norm_relu_torch(x, 2, weight, bias, 1e-5))
