"""The modules of compiled loops, which only those import that run them: numba takes a second, and is optional."""

import importlib
from functools import cache
from typing import Any

import torch


@torch.compiler.disable
@cache
def compiled_loops(module: str) -> Any:
    """A module of this package whose loops numba compiles, such as "carving_cpu"; None without numba."""
    try:
        return importlib.import_module(f"unflat.kernels.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("unflat."):
            raise  # there is no such module, with numba or without
        return None
