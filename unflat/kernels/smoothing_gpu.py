"""The Triton kernel of `smoothing`: a block of voxels, of which those look around that are touched."""

import triton
import triton.language as tl


@triton.jit
def differences(
    values, row_of, own, at, side, place, count, touched, channel, is_every: tl.constexpr, channels: tl.constexpr,
):  # fmt: skip
    """From the voxels before and behind along an axis, added up; each counts as 1 at most."""
    total = tl.zeros(own.shape, tl.float32)
    for way in tl.static_range(-1, 2, 2):
        beside, other = touched & (place + way >= 0) & (place + way < count), at + way * side
        if not is_every:
            other = tl.load(row_of + other, mask=beside, other=-1).to(tl.int64)
        held = (beside & (other >= 0))[:, None] & (channel < channels)
        known = tl.load(values + other[:, None] * channels + channel, mask=held, other=0.0)
        total += tl.where(held, tl.minimum(tl.maximum(own - known, -1.0), 1.0), 0.0)
    return total


@triton.jit(do_not_specialize=["nx", "ny", "nz"])
def smoothed(
    gradient, values, row_of, into, weight, nx, ny, nz, is_every: tl.constexpr, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add to the rows of into [rows, c] that `gradient` [rows, c] touches `weight` times the roughness's gradient. Rows
    are voxels where `is_every`, and `row_of` is then not asked."""
    at = tl.program_id(0).to(tl.int64) * lanes + tl.arange(0, lanes)
    channel, row, there = tl.arange(0, block)[None, :], at, at < nx.to(tl.int64) * ny * nz
    if not is_every:
        row = tl.load(row_of + at, mask=there, other=-1).to(tl.int64)
    held, where = (there & (row >= 0))[:, None] & (channel < channels), row[:, None] * channels + channel
    given = tl.load(gradient + where, mask=held, other=0.0)
    touched = tl.max((given != 0).to(tl.int32), 1) > 0
    held = held & touched[:, None]
    own = tl.load(values + where, mask=held, other=0.0)
    k, j, i = at % nz, (at // nz) % ny, at // (ny * nz)
    rough = differences(values, row_of, own, at, ny * nz, i, nx, touched, channel, is_every, channels)
    rough += differences(values, row_of, own, at, nz, j, ny, touched, channel, is_every, channels)
    rough += differences(values, row_of, own, at, 1, k, nz, touched, channel, is_every, channels)
    tl.store(into + where, given + weight * rough, mask=held)
