"""The Triton kernel of `visible_triangles`: a module of its own because Triton reads a kernel's globals and source."""

import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def visit(corners, triangles, winner, vertices, count, height, width, edge, thin, last, lanes: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program: `lanes` triangles of one item of the batch; each lane walks its own bounding box."""
    item = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * lanes + tl.arange(0, lanes)
    there = t < count
    i = tl.load(triangles + t * 3 + 0, mask=there, other=0)
    j = tl.load(triangles + t * 3 + 1, mask=there, other=0)
    k = tl.load(triangles + t * 3 + 2, mask=there, other=0)
    base = corners + item * vertices * 3
    au, av, az = tl.load(base + i * 3), tl.load(base + i * 3 + 1), tl.load(base + i * 3 + 2)
    bu, bv, bz = tl.load(base + j * 3), tl.load(base + j * 3 + 1), tl.load(base + j * 3 + 2)
    cu, cv, cz = tl.load(base + k * 3), tl.load(base + k * 3 + 1), tl.load(base + k * 3 + 2)
    # float64 as in the CPU loop: single precision cannot tell on which side of a shared edge a pixel lies
    au, av, az = au.to(tl.float64) - 0.5, av.to(tl.float64) - 0.5, az.to(tl.float64)
    bu, bv, bz = bu.to(tl.float64) - 0.5, bv.to(tl.float64) - 0.5, bz.to(tl.float64)
    cu, cv, cz = cu.to(tl.float64) - 0.5, cv.to(tl.float64) - 0.5, cz.to(tl.float64)
    # kept inside the picture before they become integers: a vertex may be anywhere
    left = tl.minimum(tl.maximum(tl.ceil(tl.minimum(tl.minimum(au, bu), cu) - edge), 0.0), width * 1.0)
    right = tl.maximum(tl.minimum(tl.floor(tl.maximum(tl.maximum(au, bu), cu) + edge), width - 1.0), -1.0)
    top = tl.minimum(tl.maximum(tl.ceil(tl.minimum(tl.minimum(av, bv), cv) - edge), 0.0), height * 1.0)
    bottom = tl.maximum(tl.minimum(tl.floor(tl.maximum(tl.maximum(av, bv), cv) + edge), height - 1.0), -1.0)
    area = (bu - au) * (cv - av) - (bv - av) * (cu - au)
    there = (
        there
        & (tl.abs(area) >= thin)
        & (tl.abs(area) < float("inf"))
        & (az > 0)
        & (bz > 0)
        & (cz > 0)
        & (right >= left)
        & (bottom >= top)
    )
    share = 1.0 / tl.where(there, tl.abs(area), 1.0)
    an, bn, cn = 1.0 / tl.where(there, az, 1.0), 1.0 / tl.where(there, bz, 1.0), 1.0 / tl.where(there, cz, 1.0)
    least, most = tl.minimum(tl.minimum(an, bn), cn), tl.maximum(tl.maximum(an, bn), cn)
    # the edges opposite to a, b and c, as vectors, and what a pixel may lack
    side = tl.where(area > 0, 1.0, -1.0)
    a_du, a_dv, b_du, b_dv = side * (cu - bu), side * (cv - bv), side * (au - cu), side * (av - cv)
    c_du, c_dv = side * (bu - au), side * (bv - av)
    a_least = -edge * tl.minimum(tl.maximum(tl.abs(a_du), tl.abs(a_dv)), tl.abs(area))
    b_least = -edge * tl.minimum(tl.maximum(tl.abs(b_du), tl.abs(b_dv)), tl.abs(area))
    c_least = -edge * tl.minimum(tl.maximum(tl.abs(c_du), tl.abs(c_dv)), tl.abs(area))
    left, top = tl.where(there, left, 0.0).to(tl.int32), tl.where(there, top, 0.0).to(tl.int32)
    columns = tl.where(there, right, -1.0).to(tl.int32) - left + 1
    visits = columns * (tl.where(there, bottom, -1.0).to(tl.int32) - top + 1)
    for step in range(tl.max(visits, 0)):
        row = top + step // tl.maximum(columns, 1)
        column = left + step % tl.maximum(columns, 1)
        y, x = row.to(tl.float64), column.to(tl.float64)
        a = a_du * (y - bv) - a_dv * (x - bu)
        b = b_du * (y - cv) - b_dv * (x - cu)
        c = c_du * (y - av) - c_dv * (x - au)
        inside = (step < visits) & (a >= a_least) & (b >= b_least) & (c >= c_least)
        nearness = tl.minimum(tl.maximum((a * an + b * bn + c * cn) * share, least), most)
        # positive floats order like their bits: nearness in the upper half, the lower index as the greater number below
        bits = tl.where(inside, nearness, 1.0).to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64)
        place = (item * height + row) * width + column
        tl.atomic_max(winner + place, (bits << 32) | (last - t).to(tl.int64), mask=inside)
