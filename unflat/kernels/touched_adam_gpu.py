"""The Triton kernel of `touched_adam`: one pass over a dense gradient, which reads and writes the rest only where the
gradient is not zero."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def update(
    table, gradient, mean, square, count, of_mean, of_square, scales, rows, counted, rate, b1, b2, eps,
    is_scaled: tl.constexpr, columns: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Update table, mean, square [rows, c] and count [rows]. `of_mean` and `of_square` are 1 / (1 - beta^n) for n up to
    `counted`."""
    row = tl.program_id(0).to(tl.int64) * lanes + tl.arange(0, lanes)
    there, channel = row < rows, tl.arange(0, block)[None, :]
    at, held = row[:, None] * columns + channel, there[:, None] & (channel < columns)
    given = tl.load(gradient + at, mask=held, other=0.0)
    touched = tl.max((given != 0).to(tl.int32), 1) > 0
    held = held & touched[:, None]
    age = tl.load(count + row, mask=touched, other=0) + 1
    tl.store(count + row, age, mask=touched)
    age = tl.minimum(age, counted)
    m = b1 * tl.load(mean + at, mask=held, other=0.0) + (1.0 - b1) * given
    v = b2 * tl.load(square + at, mask=held, other=0.0) + (1.0 - b2) * given * given
    tl.store(mean + at, m, mask=held)
    tl.store(square + at, v, mask=held)
    far = rate * tl.load(of_mean + age, mask=touched, other=0.0)
    if is_scaled:
        far *= tl.load(scales + row, mask=touched, other=0.0)
    spread = tl.sqrt(v * tl.load(of_square + age, mask=touched, other=0.0)[:, None]) + eps
    now = tl.load(table + at, mask=held, other=0.0) - far[:, None] * m / spread
    tl.store(table + at, now, mask=held)
