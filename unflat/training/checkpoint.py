"""Weights on disk: safetensors with the settings as JSON in the header. Nothing in a file is ever executed.

A file of weights is complete in itself: the method's name, its settings, how far its data reached and how photos were
cropped stand in its header. A checkpoint holds three sets of tensors: `weights/`, `average/` (the running average, if
there is one) and `optimiser/`.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unflat import catalogue, records
from unflat.data.kinds import Extent, Photos
from unflat.method import Method
from unflat.outputs.files import whole, write_text
from unflat.training.devices import channels_last
from unflat.training.settings import WITHOUT_EFFECT, Training, from_plain, to_plain

FORMAT = 1
SHIPPED = Path(__file__).parent.parent / "weights"
STEP_FILE = "step_{:08d}.safetensors"


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Stored:
    """What a file holds."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part of a checkpoint, by their own names."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}

    @property
    def weights(self) -> dict[str, Tensor]:
        """What is predicted with: the file's weights, or a checkpoint's average if it has one."""
        if self.header["kind"] == "weights":
            return self.tensors
        return self.part("average") or self.part("weights")


def describe(
    method: Method, training: Training | None = None, data: Any = None, experiment: str = ""
) -> dict[str, Any]:
    """What must be known to build the method again and to use it rightly, as plain data."""
    known = {"kind": type(data).__name__, "count": len(data), "known": list(data.known)} if data is not None else {}
    return {
        "format": FORMAT,
        "method": catalogue.name_of(type(method)),
        "config": to_plain(method.config),
        "extent": to_plain(method.extent),
        "training": None if training is None else to_plain(training),
        "experiment": experiment,
        "data": known,
        "crop": to_plain(data.crop) if isinstance(data, Photos) else {},
        "versions": records.versions(),
    }


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a file so that a reader finds the old one or the new one, whole and on the disk, whatever happens."""
    copies = {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    with whole(path) as draft:
        save_file(copies, draft, {"unflat": json.dumps(header)})
        _to_disk(draft)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Return when a file, or the names in a folder, can no longer be lost."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def save_weights(path: Path, method: Method, header: Mapping[str, Any], *, dtype: torch.dtype | None = None) -> None:
    """Write the method's parameters and buffers; `dtype` torch.float16 halves the file.

    Raises CheckpointError if a weight does not fit in `dtype`.
    """
    tensors = dict(method.state_dict())
    if dtype is not None:
        for name, value in tensors.items():
            if value.is_floating_point():
                tensors[name] = value.to(dtype)
                if value.isfinite().all() and not tensors[name].isfinite().all():
                    raise CheckpointError(f"{name} holds {float(value.abs().max()):.3g}, too large for {dtype}")
    save(path, tensors, {**header, "kind": "weights"})


def read(path: Path) -> Stored:
    """Everything a file holds. CheckpointError if it is none of ours or broken."""
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("unflat")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    if header is None:
        raise CheckpointError(f"{path} holds tensors, but was not written by unflat: its header names no method")
    return Stored(tensors, _header(header, path))


def _header(text: str, path: Path) -> dict[str, Any]:
    """What the header says, as far as every file must say it."""
    try:
        header = json.loads(text)
        form, kind, method = header["format"], header["kind"], header["method"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} has a damaged header") from error
    if form != FORMAT:
        raise CheckpointError(f"{path} has format {form!r}, this version of unflat reads {FORMAT}")
    if kind not in ("weights", "checkpoint") or not isinstance(method, str):
        raise CheckpointError(f"{path} has a damaged header: kind {kind!r}, method {method!r}")
    return dict(header)


def load(method: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give every parameter and buffer its stored shape, then its stored values: a grown model loads as it was.

    Raises CheckpointError naming what is missing or unknown.
    """
    wanted = set(method.state_dict())
    missing = wanted - set(tensors)
    unknown = [name for name in tensors if name not in wanted and not _is_empty_buffer(method, name)]
    if missing or unknown:
        raise CheckpointError(
            f"the weights are of another model: they lack {_some(missing)} and have {_some(unknown)} beside"
        )
    with torch.no_grad():
        for name, value in tensors.items():
            _place(method, name, value).copy_(value)


def load_start(method: nn.Module, stored: Stored, where: str) -> None:
    """Begin from other weights of exactly this model's shapes. CheckpointError naming those that differ."""
    own = method.state_dict()
    differing = [
        f"{name} is {tuple(own[name].shape)} here and {tuple(value.shape)} there"
        for name, value in stored.weights.items()
        if name in own and own[name].shape != value.shape
    ]
    if differing:
        raise CheckpointError(
            f"cannot start from {where}: {_some(differing, '; ')}. Use the settings those weights were trained with."
        )
    load(method, stored.weights)


def load_method(source: str | Path, expected: type[Method] | None = None, device: str = "cpu") -> Method:
    """The method whose weights are in a run's folder or a .safetensors file, or are shipped under that name.

    `expected` is the class to build if it is not one of the catalogue.
    """
    stored = read(find(source))
    if not {"config", "extent"} <= set(stored.header):
        raise CheckpointError(f"{source} has a damaged header: it does not say the model's settings and extent")
    cls: type[Method] = expected or catalogue.load(stored.header["method"])
    method = cls(from_plain(cls.Config, stored.header["config"]), from_plain(Extent, stored.header["extent"]))
    load(method, stored.weights)
    channels_last(method)
    return method.to(device=torch.device(device)).eval()


def find(source: str | Path) -> Path:
    """The file of weights meant by a run's folder, a file, or the name of shipped weights."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        found = [path / "weights.safetensors", path / "checkpoints" / "best.safetensors", *checkpoints(path)[::-1]]
        for candidate in found:
            if candidate.is_file():
                return candidate
        raise CheckpointError(f"{path} holds no weights yet: no weights.safetensors and no checkpoint")
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.safetensors"))}
    if str(source) in shipped:
        return shipped[str(source)]
    raise CheckpointError(
        f"no weights at {source!s}: give a run's folder, a .safetensors file, or one of the shipped weights "
        f"({', '.join(shipped) or 'none are shipped'})"
    )


def checkpoints(folder: Path) -> list[Path]:
    """The run's checkpoints, earliest first."""
    return sorted((folder / "checkpoints").glob("step_*.safetensors"), key=lambda path: int(path.stem[5:]))


def tidy(folder: Path, keep: int) -> None:
    """Remove all but the last `keep` checkpoints, and drafts that a kill left behind."""
    for path in [*checkpoints(folder)[:-keep], *(folder / "checkpoints").glob(".part-*")]:
        path.unlink(missing_ok=True)


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that decide a run's weights and are not the same in two headers."""
    changed = [] if stored["method"] == now["method"] else [f"method was {stored['method']}, is {now['method']}"]
    for part in ("config", "training", "extent"):
        before, after = stored[part] or {}, now[part] or {}
        names = {*before, *after} - (WITHOUT_EFFECT if part == "training" else frozenset())
        if part == "training" and after.get("schedule") == "constant":
            names.discard("steps")  # any other schedule is stretched over them
        changed += [
            f"{name} was {before.get(name)!r}, is {after.get(name)!r}"
            for name in sorted(names)
            if before.get(name) != after.get(name)
        ]
    return changed


def plain_figures(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures for JSON, which knows no NaN."""
    return {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}


def _is_empty_buffer(method: nn.Module, name: str) -> bool:
    owner, _, leaf = name.rpartition(".")
    try:
        buffers = method.get_submodule(owner)._buffers
    except AttributeError:
        return False
    return leaf in buffers and buffers[leaf] is None


def _place(method: nn.Module, name: str, value: Tensor) -> Tensor:
    """The parameter or buffer called `name`, of the shape of `value`."""
    owner_name, _, leaf = name.rpartition(".")
    owner = method.get_submodule(owner_name)
    own = owner._parameters.get(leaf)
    if own is not None:
        if own.shape != value.shape:
            own = nn.Parameter(own.new_empty(value.shape), requires_grad=own.requires_grad)
            owner.register_parameter(leaf, own)
        return own
    buffer = owner._buffers[leaf]
    if buffer is None or buffer.shape != value.shape:
        buffer = torch.empty_like(value) if buffer is None else buffer.new_empty(value.shape)
        owner.register_buffer(leaf, buffer)
    return buffer


def _some(names: Any, between: str = ", ") -> str:
    """The first few of several names."""
    listed = sorted(names)
    if not listed:
        return "nothing"
    return between.join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
