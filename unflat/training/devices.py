"""Where and how precisely a run computes, and its batches brought there."""

import ctypes
import dataclasses
import platform
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from unflat.training.parallel import Processes
from unflat.training.settings import Training


def device_of(training: Training, processes: Processes) -> torch.device:
    """The device asked for, or this process's GPU if there is one."""
    if training.device != "auto":
        return torch.device(training.device)
    return torch.device("cuda", processes.local_rank) if torch.cuda.is_available() else torch.device("cpu")


def uses_bf16(training: Training, device: torch.device) -> bool:
    """Whether the losses run under bf16 autocast; warns where that is slow."""
    if training.precision == "bf16" and device.type == "cpu" and torch.get_num_threads() > 1:
        warnings.warn(
            "bf16 convolutions on a CPU can be many times slower with several threads; use precision fp32 or threads 1",
            stacklevel=3,
        )
    return training.precision == "bf16" or (training.precision == "auto" and device.type == "cuda")


def channels_last(module: nn.Module) -> None:
    """Lay the kernels of 2D convolutions out as their libraries like them; grids and planes stay as they are."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors give back, to use it again; whether it could be arranged.

    glibc gives large pieces back to the system at once and takes them again, page by page: 4,000 page faults a step of
    a small network, a tenth of its time. Other C libraries are left as they are. What was kept is free for any tensor.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    adjust = ctypes.CDLL(None).mallopt
    largest = 32 * 2**20  # glibc takes no larger threshold
    return bool(adjust(M_MMAP_THRESHOLD, largest)) and bool(adjust(M_TRIM_THRESHOLD, 2**31 - 1))


def moved(batch: Any, device: torch.device) -> Any:
    """The same batch with its tensors on `device`: a tensor, or tuples, lists, dicts or dataclasses of them."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        parts = [moved(value, device) for value in batch]
        named = isinstance(batch, tuple) and type(batch) is not tuple
        return type(batch)(*parts) if named else type(batch)(parts)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        parts_by_name = {f.name: moved(getattr(batch, f.name), device) for f in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **parts_by_name)
    return batch


def length(batch: Any) -> int:
    """Pictures (or rays) in a batch: the length of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    if isinstance(batch, dict):
        return length(next(iter(batch.values())))
    if isinstance(batch, (tuple, list)):
        return length(batch[0])
    return length(getattr(batch, dataclasses.fields(batch)[0].name))
