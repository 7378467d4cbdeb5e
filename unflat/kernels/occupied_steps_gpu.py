"""The Triton kernel of `occupied_steps`: where the samples of rays lie, one lane a ray."""

import triton
import triton.language as tl

from unflat.kernels.walking_gpu import corner_of, looked_at, set_out


@triton.jit(do_not_specialize=["key", "count", "cx", "cy", "cz", "room", "most"])
def walk(
    origins, directions, near, far, index, key: tl.uint64, clear, lowest, highest, found, number, onwards, count, cx,
    cy, cz, room, most, step, is_contracted: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Fill number [r] (int32: how many samples each ray has, at most so many), found [r, room]: the t of the first of
    them, and onwards [r]: where to walk on."""
    ray = tl.program_id(0) * lanes + tl.arange(0, lanes)
    there, cells, low, high = ray < count, (cx, cy, cz), corner_of(lowest), corner_of(highest)
    sides = (high[0] - low[0]) / cx, (high[1] - low[1]) / cy, (high[2] - low[2]) / cz
    o, v, t0, t1, offset, t = set_out(
        origins, directions, near, far, index, key, ray, there, low, high, step, is_contracted
    )  # fmt: skip
    used, behind = tl.zeros((lanes,), tl.int32), tl.load(far + ray, mask=there, other=0.0)
    into, walking = found + ray.to(tl.int64) * room, there & (t < t1)
    while tl.max(walking.to(tl.int32), 0) > 0:
        _, _, _, full, then = looked_at(o, v, t, t0, offset, walking, clear, cells, low, sides, step, is_contracted)
        ends = full & (used == most)  # its next sample is another walk's
        behind = tl.where(ends, t - offset * (then - t), behind)
        counts = full & (used < most)
        tl.store(into + used, t, mask=counts & (used < room))
        used += counts.to(tl.int32)
        t = tl.where(walking, then, t)
        walking = walking & (t < t1) & (ends == 0)
    tl.store(number + ray, used, mask=there)
    tl.store(onwards + ray, behind, mask=there)
