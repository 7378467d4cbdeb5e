"""The modules of compiled loops and kernels, which only those import that run them: numba takes a second to load, and
it and Triton are optional."""

import importlib
from functools import cache
from typing import Any

import torch

NO_TRITON = "the Triton back end needs triton 3.3 or newer, which comes with torch's CUDA build"


@torch.compiler.disable
@cache
def compiled_loops(module: str) -> Any:
    """A module of this package whose loops numba compiles, such as "carving_cpu", or whose kernels Triton does, such as
    "voxel_march_gpu"; None without numba, or without Triton."""
    try:
        return importlib.import_module(f"unflat.kernels.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unflat."):
            raise  # there is no such module, with numba and Triton or without
        return None


def launched(kernel: Any, programs: tuple[int, ...], *arguments: Any, warps: int = 4) -> None:
    """Run a Triton kernel where its first argument is, a tensor. One warp suits kernels whose lanes wait for each
    other."""
    there = torch.cuda.device_of(arguments[0])  # type: ignore[no-untyped-call]
    with there:  # else it would run where the process is, which is the first GPU
        # fused products are said: what Triton takes for granted changes, and it warns of that
        kernel[programs](*arguments, num_warps=warps, enable_fp_fusion=True)
