"""Group norm and the ReLU after it, in one.

One function with two back ends: loops in numba (CPU, float32 or bfloat16, channels innermost in memory, few threads)
and torch's own two operations, which are the oracle and run everywhere else. The loops read and write memory half as
often; in bfloat16, where torch's gradient of a norm with channels innermost is slow, they take a fifth of its time.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import group_norm, leaky_relu

from unflat.kernels.loops import compiled_loops

_loops = partial(compiled_loops, "group_norm_cpu")

FEW_THREADS = 2
"""the loop is serial; with more threads than these torch's parallel operations are as fast"""
LANES = 128
"""values that the innermost loop takes at once, at least"""


def group_norm_relu(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, "c"],
    bias: Float[Tensor, "c"],
    eps: float,
    slope: float = 0.0,
) -> Float[Tensor, "b c h w"]:
    """Every group of channels of every picture to mean 0 and variance 1, times weight plus bias, then a ReLU whose
    negative side has `slope`."""
    if _fits(x, groups, weight):
        return _Fused.apply(x, groups, weight, bias, eps, slope)  # type: ignore[no-untyped-call]
    return group_norm_relu_torch(x, groups, weight, bias, eps, slope)


def group_norm_relu_torch(
    x: Float[Tensor, "b c h w"],
    groups: int,
    weight: Float[Tensor, "c"],
    bias: Float[Tensor, "c"],
    eps: float,
    slope: float = 0.0,
) -> Float[Tensor, "b c h w"]:
    """The readable twin."""
    normed = group_norm(x, groups, weight, bias, eps)
    return leaky_relu(normed, slope) if slope else normed.relu()


def _fits(x: Tensor, groups: int, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and weight.dtype == torch.float32
        and torch.get_num_threads() <= FEW_THREADS
        and x.numel() > 0
        and x.shape[1] % groups == 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and _loops() is not None
    )


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, slope: float
    ) -> Float[Tensor, "b c h w"]:
        y = torch.empty_like(x, memory_format=torch.channels_last)
        mean, root = torch.empty(2, len(x), groups, dtype=torch.float32)
        lanes = _lanes(x)
        loops = _loops()
        loops.forward(_flat(x), _array(weight), _array(bias), eps, slope, lanes, _flat(y), mean.numpy(), root.numpy())
        ctx.save_for_backward(x, weight, bias, mean, root)
        ctx.slope = slope
        return y

    @staticmethod
    @once_differentiable  # a second gradient would be left out without a word
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, root = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x, memory_format=torch.channels_last)
        dw, db = torch.zeros_like(weight), torch.zeros_like(bias)
        _loops().backward(
            _flat(dy), _flat(x), _array(weight), _array(bias), ctx.slope, _lanes(x),
            mean.numpy(), root.numpy(), _flat(dx), dw.numpy(), db.numpy(),
        )  # fmt: skip
        return dx, None, dw, db, None, None


def _lanes(x: Tensor) -> int:
    """Values that the innermost loop takes: whole pixels, a divisor of the picture, LANES or more where it has them."""
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    together = 1
    while channels * together < LANES and pixels % (2 * together) == 0:
        together *= 2
    return channels * together


def _flat(x: Tensor) -> Any:
    """The memory of pictures with channels innermost, [b, pixels * channels]; bfloat16 as its bits."""
    flat = x.detach().permute(0, 2, 3, 1).reshape(len(x), -1)
    return flat.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else flat.numpy()


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()
