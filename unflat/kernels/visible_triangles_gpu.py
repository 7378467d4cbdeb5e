"""The Triton kernel of `visible_triangles`: a module of its own because Triton reads a kernel's globals and source."""

import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def visit(corners, triangles, packed, vertices, count, height, width, edge, thin, lanes: tl.constexpr):  # type: ignore[no-untyped-def]
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
    au, av, az = au.to(tl.float64), av.to(tl.float64), az.to(tl.float64)
    bu, bv, bz = bu.to(tl.float64), bv.to(tl.float64), bz.to(tl.float64)
    cu, cv, cz = cu.to(tl.float64), cv.to(tl.float64), cz.to(tl.float64)
    left = tl.maximum(tl.ceil(tl.minimum(tl.minimum(au, bu), cu) - edge - 0.5), 0.0).to(tl.int32)
    right = tl.minimum(tl.floor(tl.maximum(tl.maximum(au, bu), cu) + edge - 0.5), width - 1.0).to(tl.int32)
    top = tl.maximum(tl.ceil(tl.minimum(tl.minimum(av, bv), cv) - edge - 0.5), 0.0).to(tl.int32)
    bottom = tl.minimum(tl.floor(tl.maximum(tl.maximum(av, bv), cv) + edge - 0.5), height - 1.0).to(tl.int32)
    area = (bu - au) * (cv - av) - (bv - av) * (cu - au)
    there = there & (tl.abs(area) >= thin) & (az > 0) & (bz > 0) & (cz > 0) & (right >= left) & (bottom >= top)
    safe = tl.where(there, area, 1.0)
    da, db, dc = -(cv - bv) / safe, -(av - cv) / safe, -(bv - av) / safe
    ra, rb, rc = (cu - bu) / safe, (au - cu) / safe, (bu - au) / safe
    sa, sb, sc = -edge * tl.sqrt(da * da + ra * ra), -edge * tl.sqrt(db * db + rb * rb), -edge * tl.sqrt(dc * dc + rc * rc)
    columns = tl.where(there, right - left + 1, 0)
    visits = tl.where(there, columns * (bottom - top + 1), 0)
    for step in range(tl.max(visits, 0)):
        live = step < visits
        row = top + step // tl.maximum(columns, 1)
        column = left + step % tl.maximum(columns, 1)
        y, x = row.to(tl.float64) + 0.5, column.to(tl.float64) + 0.5
        wa = ra * (y - bv) + da * (x - bu)
        wb = rb * (y - cv) + db * (x - cu)
        wc = rc * (y - av) + dc * (x - au)
        live = live & (wa >= sa) & (wb >= sb) & (wc >= sc)
        depth = 1.0 / tl.where(live, wa / az + wb / bz + wc / cz, 1.0)
        # positive floats order like their bits: depth in the upper half, triangle in the lower
        bits = depth.to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64)
        tl.atomic_min(packed + item * height * width + row * width + column, (bits << 32) | t.to(tl.int64), mask=live)
