"""The Triton kernel of `touched_rmsprop`: one pass over a dense gradient, which reads and writes the rest only where
the gradient is not zero."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def update(
    table, gradient, square, rows, rate, beta, eps, columns: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Update table and square [rows, c]."""
    row = tl.program_id(0).to(tl.int64) * lanes + tl.arange(0, lanes)
    there, channel = row < rows, tl.arange(0, block)[None, :]
    at, held = row[:, None] * columns + channel, there[:, None] & (channel < columns)
    given = tl.load(gradient + at, mask=held, other=0.0)
    touched = tl.max((given != 0).to(tl.int32), 1) > 0
    held = held & touched[:, None]
    before = tl.load(square + at, mask=held, other=0.0)
    mean = tl.where(before == 0, given * given, beta * before + (1.0 - beta) * given * given)
    tl.store(square + at, mean, mask=held)
    now = tl.load(table + at, mask=held, other=0.0) - rate * given / (tl.sqrt(mean) + eps)
    tl.store(table + at, now, mask=held)
