"""Every Triton kernel compiles to the machine code of GPUs, which needs none: what the interpreter takes, the compiler
need not."""

import os
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("interpreted kernels are not compiled", allow_module_level=True)
compiler = pytest.importorskip("triton.backends.compiler", reason="this build of Triton compiles for no NVIDIA GPU")

from unflat.kernels.loops import compiled_loops  # noqa: E402

TYPES = {
    "key": "u64", "index": "*i64", "row_of": "*i32", "clear": "*u8", "samples": "*i32", "number": "*i32",
    "triangles": "*i32", "winner": "*i64", "levels": "*i32",
    **dict.fromkeys(("order", "network", "begins", "ends"), "*i64"),
    **dict.fromkeys(("step", "thickness", "shift", "thinnest", "least", "last", "edge", "thin"), "fp32"),
    **dict.fromkeys(("rate", "b1", "b2", "beta", "eps", "weight"), "fp32"),
    **dict.fromkeys(("count", "nx", "ny", "nz", "cx", "cy", "cz", "rows", "columns", "entries", "room", "most"), "i32"),
    **dict.fromkeys(("vertices", "height", "width", "counted"), "i32"),
}  # fmt: skip
"""what parameters are by their names; the others are tensors of float32"""
BOUNDED, UNBOUNDED = {"is_contracted": False}, {"is_contracted": True}
SOFT, RELU = {"relu_density": False, "relu_colour": False}, {"relu_density": True, "relu_colour": True}
PAIR = {"pair": 1, "a": 0, "b": 2, "along": 1}
FEW, MANY = {"channels": 1, "lanes": 256, "block": 1}, {"channels": 48, "lanes": 16, "block": 64}
PUBLISHED = {"octaves": 10, "direction_octaves": 4, "width": 32, "total": 6212, "place_block": 64,
             "direction_block": 32, "block": 32, "samples": 64}  # fmt: skip
NARROW = {**PUBLISHED, "octaves": 2, "direction_octaves": 1, "width": 8, "total": 490, "place_block": 16,
          "direction_block": 16, "block": 16}  # fmt: skip
COMPILED: list[tuple[str, str, dict[str, Any]]] = [
    *(("voxel_march_gpu", name, {**where, **SOFT, "bands": 4, "padded": 16, "lanes": 16})
      for name in ("forward", "backward") for where in (BOUNDED, UNBOUNDED)),
    ("voxel_march_gpu", "backward", {**BOUNDED, **SOFT, "bands": 1, "padded": 4, "lanes": 32}),
    *(("voxel_march_gpu", name, {**BOUNDED, **RELU, "bands": 9, "padded": 32, "lanes": 8})
      for name in ("forward", "backward")),
    ("voxel_march_gpu", "backward", {**UNBOUNDED, **SOFT, "bands": 16, "padded": 64, "lanes": 8}),
    *(("density_march_gpu", "forward",
       {**BOUNDED, "is_relu": is_relu, "kind": "voxels", "channels": 1, "block": 1, "lanes": 32})
      for is_relu in (False, True)),
    ("density_march_gpu", "forward",
     {**UNBOUNDED, "is_relu": False, "kind": "pairs", "channels": 16, "block": 16, "lanes": 16}),
    ("density_march_gpu", "forward",
     {**BOUNDED, "is_relu": False, "kind": "lines", "channels": 96, "block": 16, "lanes": 16}),
    *(("lookup_gpu", f"{kind}_{way}", {**(PAIR if kind == "pair" else {}), **sizes})
      for kind in ("voxels", "pair", "lines") for way in ("forward", "backward") for sizes in (FEW, MANY)),
    *(("lookup_gpu", f"planes_{way}", {"how": how, **sizes})
      for way in ("forward", "backward") for how in (0, 1, 2) for sizes in (FEW, MANY)),
    *(("occupied_steps_gpu", "walk", {**where, "lanes": 32}) for where in (BOUNDED, UNBOUNDED)),
    *(("hash_lookup_gpu", way, {"depth": depth, "channels": channels, "lanes": lanes, "block": block})
      for way in ("forward", "backward") for depth, channels, lanes, block in ((16, 2, 128, 2), (3, 3, 64, 4))),
    *(("touched_adam_gpu", "update", {"is_scaled": scaled, "columns": columns, "lanes": lanes, "block": block})
      for scaled, columns, lanes, block in ((False, 1, 1024, 1), (True, 12, 64, 16))),
    *(("touched_rmsprop_gpu", "update", {"columns": columns, "lanes": lanes, "block": block})
      for columns, lanes, block in ((1, 1024, 1), (27, 32, 32))),
    ("smoothing_gpu", "smoothed", {"is_every": True, "channels": 1, "lanes": 512, "block": 1}),
    ("smoothing_gpu", "smoothed", {"is_every": False, "channels": 12, "lanes": 32, "block": 16}),
    ("visible_triangles_gpu", "visit", {"lanes": 128}),
    *(("tiny_networks_gpu", name, sizes) for name in ("forward", "backward") for sizes in (PUBLISHED, NARROW)),
]  # fmt: skip


@pytest.mark.parametrize("module, name, constants", COMPILED)
def test_kernels_compile(
    module: str, name: str, constants: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(compiled_loops(module), name)
    types = {p.name: "constexpr" if p.is_constexpr else TYPES.get(p.name, "*fp32") for p in kernel.params}
    if module == "visible_triangles_gpu":
        types["last"] = "i32"  # triangle; elsewhere what passes
    if module == "touched_adam_gpu":
        types["count"] = "*i32"  # of updates; elsewhere of rays or points
    source = triton.compiler.ASTSource(kernel, types, constants)  # by place: their names have changed
    options = {"num_warps": 1 if "march" in module or "steps" in module else 4, "enable_fp_fusion": True}
    target = compiler.GPUTarget("cuda", 90, 32)
    made = triton.compile(source, target=target, options=options)
    assert made.asm["cubin"]
    if module != "visible_triangles_gpu":  # which needs it
        assert ".f64" not in made.asm["ptx"], "something is computed in double precision"
