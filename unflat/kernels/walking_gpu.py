"""What the Triton marches have in common, inlined into each: how rays are walked through what is not empty, one lane a
ray.

The walk is that of `walking_cpu`, whose words these are. A block holds one number of each ray; points, directions,
sides and shapes are tuples of three. Lanes wait for each other in every loop, so a program is one warp: its lanes then
agree on the end without shared memory.
"""

import triton
import triton.language as tl

if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 3):
    raise ModuleNotFoundError("kernels with tuples need triton 3.3, which comes with torch 2.7", name="triton")


@triton.jit
def jittered(key, ray):
    """Where in its first step each ray begins, in [0, 1): see `walking.jitter`."""
    state = key.to(tl.uint64) + ray.to(tl.uint64) * 0x9E3779B97F4A7C15
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB
    drawn = ((state ^ (state >> 31)) >> 40).to(tl.float32) * (1.0 / 16777216.0)
    return tl.where(key == 0, 0.5, drawn)


@triton.jit
def three(numbers, rows, there):
    """Rows of [n, 3], each column a block; 0 where there is none."""
    at = numbers + rows * 3
    x, y = tl.load(at, mask=there, other=0.0), tl.load(at + 1, mask=there, other=0.0)
    return x, y, tl.load(at + 2, mask=there, other=0.0)


@triton.jit
def corner_of(point):
    """A tensor [3] as three numbers."""
    return tl.load(point), tl.load(point + 1), tl.load(point + 2)


@triton.jit
def inverse(component):
    """1 / component, finite: a ray along a face of the box stays in it."""
    least = tl.where(component >= 0, 1e-9, -1e-9)
    return 1.0 / tl.where(tl.abs(component) > 1e-9, component, least)


@triton.jit
def below(value, count):
    """The whole number below, from 0 to count - 1; kept so before it is an integer, as what is no number must be."""
    return tl.minimum(tl.maximum(value, 0.0), count - 1.0).to(tl.int32)


@triton.jit
def into_box(o, d, low, high, near, far):
    """Between which t rays are in the box; the first is not before the second where they are not."""
    t0, t1 = near, far
    for axis in tl.static_range(3):
        share = inverse(d[axis])
        a, b = (low[axis] - o[axis]) * share, (high[axis] - o[axis]) * share
        t0, t1 = tl.maximum(t0, tl.minimum(a, b)), tl.minimum(t1, tl.maximum(a, b))
    return t0, t1


@triton.jit
def place_of(o, d, t, step, is_contracted: tl.constexpr):
    """Where rays are, in walking coordinates, and by how much t grows with a step from there."""
    x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
    onwards = tl.full(t.shape, step, tl.float32)
    if is_contracted:
        ax, ay, az = tl.abs(x), tl.abs(y), tl.abs(z)
        m = tl.maximum(tl.maximum(ax, ay), az)
        last = tl.where(z > 0, d[2], -d[2])
        grows = tl.where(ax == m, tl.where(x > 0, d[0], -d[0]), tl.where(ay == m, tl.where(y > 0, d[1], -d[1]), last))
        inv = 1.0 / tl.maximum(m, 1.0)
        share = tl.where(m > 1.0, (2.0 - inv) * inv, 1.0)
        change = tl.where(m > 1.0, grows * (2.0 * inv * inv * inv - 2.0 * inv * inv), 0.0)
        vx, vy, vz = share * d[0] + change * x, share * d[1] + change * y, share * d[2] + change * z
        onwards = step / tl.maximum(tl.sqrt(vx * vx + vy * vy + vz * vz), 1e-6)
        x, y, z = x * share, y * share, z * share
    return x, y, z, onwards


@triton.jit
def leaves(position, direction, first, last):
    """How far along the direction points leave the slab [first, last] that they are in."""
    return (tl.where(direction > 0, last, first) - position) * inverse(direction)


@triton.jit
def set_out(
    origins, directions, near, far, index, key, ray, there, low, high, step, is_contracted: tl.constexpr,
):  # fmt: skip
    """Rays as they begin: origins and directions, between which t they are walked, where in its first step each begins,
    and the t of their first samples."""
    o, d = three(origins, ray, there), three(directions, ray, there)
    t0, t1 = tl.load(near + ray, mask=there, other=0.0), tl.load(far + ray, mask=there, other=0.0)
    if not is_contracted:
        t0, t1 = into_box(o, d, low, high, t0, t1)
    offset = jittered(key, tl.load(index + ray, mask=there, other=0))
    _, _, _, onwards = place_of(o, d, t0, step, is_contracted)
    return o, d, t0, t1, offset, t0 + offset * onwards


@triton.jit
def looked_at(
    o, d, t, t0, offset, walking, clear, shape, low, sides, step, is_contracted: tl.constexpr,
):  # fmt: skip
    """Where the rays are that walk, whether they are in cells `clear` (of this shape and these sides) that are not
    empty, and the t of their next samples: behind what is empty. In a box steps are counted from t0, so that what is
    jumped over does not move the samples behind it."""
    x, y, z, onwards = place_of(o, d, t, step, is_contracted)
    a, b, c = (
        below((x - low[0]) / sides[0], shape[0]),
        below((y - low[1]) / sides[1], shape[1]),
        below((z - low[2]) / sides[2], shape[2]),
    )
    empty = tl.load(clear + (a * shape[1] + b) * shape[2] + c, mask=walking, other=0).to(tl.float32)
    e = empty - 1.0
    if is_contracted:  # half of what is empty: a ray that comes nearer moves faster
        side = tl.minimum(tl.minimum(sides[0], sides[1]), sides[2])
        then = t + onwards * tl.maximum(0.5 * e * side / step, 1.0)
    else:
        out = leaves(x, d[0], low[0] + (a - e) * sides[0], low[0] + (a + e + 1.0) * sides[0])
        out = tl.minimum(out, leaves(y, d[1], low[1] + (b - e) * sides[1], low[1] + (b + e + 1.0) * sides[1]))
        out = tl.minimum(out, leaves(z, d[2], low[2] + (c - e) * sides[2], low[2] + (c + e + 1.0) * sides[2]))
        number = tl.ceil((t + tl.maximum(out, 0.0) - t0) / step - offset)
        behind = t0 + tl.maximum(number + offset, (t - t0) / step + 1.0) * step
        then = tl.where(empty > 0, behind, t + onwards)
    return x, y, z, walking & (empty == 0), then


@triton.jit
def opacity(raw, thickness, is_relu: tl.constexpr):
    """1 - exp(-thickness * softplus(raw)), or relu(raw), by series where single precision would leave nothing of small
    numbers."""
    if is_relu:
        soft = tl.maximum(raw, 0.0)
    else:
        e = tl.exp(tl.minimum(raw, 20.0))
        series = e * (1.0 - e * (1.0 / 2 - e * (1.0 / 3 - e * (1.0 / 4 - e * (1.0 / 5 - e * (1.0 / 6))))))
        soft = tl.where(e < 0.1, series, tl.where(raw < 20.0, tl.log(1.0 + e), raw))
    u = thickness * soft
    thin = u * (1.0 - u * (1.0 / 2 - u * (1.0 / 6 - u * (1.0 / 24 - u * (1.0 / 120)))))
    return tl.where(u < 0.1, thin, 1.0 - tl.exp(-u))
