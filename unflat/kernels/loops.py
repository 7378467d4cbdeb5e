"""The modules of compiled loops and kernels, which only those import that run them: numba takes a second to load, and
it and Triton are optional."""

import importlib
from functools import cache
from typing import Any

import torch

FUSED = {"enable_fp_fusion": True}
"""how Triton kernels are compiled: said, since what Triton takes for granted changes, and it warns of that"""
ONE_WARP = {**FUSED, "num_warps": 1}
"""the same for kernels whose lanes wait for each other"""


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
