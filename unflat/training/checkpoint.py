"""Weights on disk: safetensors with the settings as JSON in the header. Nothing in a file is ever executed.

A file of weights is complete in itself: the method's name, its settings, how far its data reached and how photos were
cropped stand in its header. A checkpoint holds three sets of tensors: `weights/`, `average/` (the running average, if
there is one) and `optimiser/`. A sum over all of it finds a file that the disk has changed.

Files of older versions load: settings that they lack take their defaults, so a new setting's default must be what was
done before it. What cannot be loaded is refused with the version that wrote it.
"""

import json
import logging
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unflat import catalogue, records
from unflat.data.kinds import Capture, Extent, Photos
from unflat.data.viewpoints import Viewpoints
from unflat.method import Method
from unflat.outputs.files import whole, write_text
from unflat.training.devices import channels_last
from unflat.training.disk import DiskFull, writing
from unflat.training.settings import WITHOUT_EFFECT, Training, from_plain, to_plain

FORMAT = 1
T = TypeVar("T")
SHIPPED = Path(__file__).parent.parent / "weights"
STEP_FILE = "step_{:08d}.safetensors"
UNRELEASED = (
    ". Unless it was edited, another state of this version wrote it: use that state, or train again in another folder."
)
DRAFTS = (".part-*", ".tmp??????")
"""what a kill leaves behind: drafts of ours, and those that safetensors makes in turn"""


class CheckpointError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


class Damaged(CheckpointError):
    """A file of weights is not as it was written."""


@dataclass(frozen=True)
class Stored:
    """What a file holds."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]
    path: Path

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

    @contextmanager
    def explained(self, otherwise: str = "") -> Iterator[None]:
        """What does not fit inside is a CheckpointError that names the file, the version that wrote it, and a way;
        `otherwise` is said where that version is this one."""
        try:
            yield
        except ValueError as error:
            raise CheckpointError(f"{self.path}: {error}{_advice(self.header) or otherwise}") from error

    def settings(self, name: str, kind: type[T]) -> T:
        """The stored settings called `name`; what the version that wrote them did not know is at its default."""
        with self.explained(UNRELEASED):
            return from_plain(kind, self.header[name])


def describe(
    method: Method, training: Training | None = None, data: Any = None, experiment: str = ""
) -> dict[str, Any]:
    """What must be known to build the method again and to use it rightly, as plain data.

    Of a capture, its cameras too, and how it was read: paths and meshes then need no data.
    """
    known = {"kind": type(data).__name__, "count": len(data), "known": list(data.known)} if data is not None else {}
    seen = {}
    if isinstance(data, Capture):
        known["origin"] = to_plain(data.origin)
        seen = {"cameras": data.viewpoints.to_plain()}
    return {
        "format": FORMAT,
        "method": catalogue.name_of(type(method)),
        "config": to_plain(method.config),
        "extent": to_plain(method.extent),
        "training": None if training is None else to_plain(training),
        "experiment": experiment,
        "data": known,
        "crop": to_plain(data.crop) if isinstance(data, Photos) else {},
        **seen,
        "versions": records.versions(),
    }


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a file so that a reader finds the old one or the new one, whole and on the disk, whatever happens.

    Raises DiskFull where there is no room.
    """
    copies = {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    text = json.dumps(header)
    needed = len(text) + sum(value.nbytes for value in copies.values())
    with writing(path, needed):
        with whole(path) as draft:
            save_file(copies, draft, {"unflat": text, "crc32": _sum_of(text, copies)})
            _to_disk(draft)
        _to_disk(path.parent)


def _sum_of(header: str, tensors: Mapping[str, Tensor]) -> str:
    """Eight digits that one changed bit changes, wherever it is."""
    found = zlib.crc32(header.encode())
    for name, value in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), found)
        found = zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


def _to_disk(path: Path) -> None:
    """Return when a file, or the names in a folder, can no longer be lost."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically. Raises DiskFull where there is no room."""
    text = json.dumps(content, indent=1) + "\n"
    with writing(path, len(text)):
        write_text(path, text)


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
    """Everything a file holds. CheckpointError if it is none of ours, Damaged if it is broken."""
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise Damaged(f"{path} cannot be read as safetensors: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if "unflat" not in said:
        raise CheckpointError(f"{path} holds tensors, but was not written by unflat: its header names no method")
    if "crc32" in said and said["crc32"] != _sum_of(said["unflat"], tensors):
        raise Damaged(f"{path} is not as it was written: its sum is not the one in its header")
    return Stored(tensors, _header(said["unflat"], path), path)


def _header(text: str, path: Path) -> dict[str, Any]:
    """What the header says, as far as every file must say it."""
    try:
        header = json.loads(text)
        form, kind, method = header["format"], header["kind"], header["method"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} has a damaged header") from error
    if form != FORMAT:
        raise CheckpointError(f"{path} has format {form!r}, this version of unflat reads {FORMAT}.{_advice(header)}")
    if kind not in ("weights", "checkpoint") or not isinstance(method, str):
        raise Damaged(f"{path} has a damaged header: kind {kind!r}, method {method!r}")
    return dict(header)


def _advice(header: Mapping[str, Any]) -> str:
    """Which version wrote a file, and what to do, if it is not this one."""
    said = header.get("versions")
    wrote, now = (said if isinstance(said, dict) else {}).get("unflat"), records.versions().get("unflat")
    if not wrote or not now or wrote == now:
        return ""
    told = f" It was written by unflat {wrote}, this is {now}:"
    if _number(wrote) > _number(now):
        return f"{told} install that version or a later one (pip install 'unflat>={wrote}')."
    return f"{told} use that version (pip install 'unflat=={wrote}'), or train again in another folder."


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def load(method: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give every parameter and buffer its stored shape, then its stored values: a grown model loads as it was.

    A buffer that the weights do not have yet becomes what its module's `before` says it was, as one number. Raises
    CheckpointError naming what is missing or unknown.
    """
    wanted = set(method.state_dict())
    new = {name: _before(method, name) for name in wanted - set(tensors)}
    missing = {name for name, number in new.items() if number is None}
    unknown = [name for name in tensors if name not in wanted and not _is_empty_buffer(method, name)]
    if missing or unknown:
        raise CheckpointError(
            f"the weights are of another model: they lack {_some(missing)} and have {_some(unknown)} beside"
        )
    with torch.no_grad():
        for name, value in tensors.items():
            _place(method, name, value).copy_(value)
        for name, number in new.items():
            if number is not None:
                method.get_buffer(name).fill_(number)


def load_start(method: nn.Module, stored: Stored, where: str) -> None:
    """Begin from other weights of exactly this model's shapes, but for the buffers that its modules call `settled`.

    CheckpointError naming the shapes that differ.
    """
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
    settled = {name: value for name, value in own.items() if _is_settled(method, name)}
    with stored.explained():
        load(method, {**stored.weights, **settled})


def load_method(source: str | Path, expected: type[Method] | None = None, device: str = "cpu") -> Method:
    """The method whose weights are in a run's folder or a .safetensors file, or are shipped under that name.

    `expected` is the class to build if it is not one of the catalogue.
    """
    return built_from(read(find(source)), expected, device)


def built_from(stored: Stored, expected: type[Method] | None = None, device: str = "cpu") -> Method:
    """The method that a file holds; see `load_method`."""
    if not {"config", "extent"} <= set(stored.header):
        raise CheckpointError(f"{stored.path} has a damaged header: it does not say the model's settings and extent")
    cls: type[Method] = expected or _class_of(stored)
    method = cls(stored.settings("config", cls.Config), stored.settings("extent", Extent))
    with stored.explained():
        load(method, stored.weights)
    channels_last(method)
    return method.to(device=torch.device(device)).eval()


def cameras_of(stored: Stored) -> Viewpoints:
    """The cameras of the capture that was learned from, in the scene's frame. CheckpointError if there are none."""
    if "cameras" not in stored.header:
        raise CheckpointError(
            f"{stored.path} holds no cameras: they are kept of runs on captures (posed pictures of one scene), by this "
            "version and later ones"
        )
    with stored.explained():
        return Viewpoints.from_plain(stored.header["cameras"])


def _class_of(stored: Stored) -> type[Method]:
    try:
        return catalogue.load(stored.header["method"])
    except catalogue.UnknownMethod as error:
        raise catalogue.UnknownMethod(f"{error}{_advice(stored.header)}") from error


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


def last(folder: Path) -> Stored | None:
    """The run's last checkpoint, or the one before it where the disk has damaged the last; None if there is none.

    Warns of damage. Raises CheckpointError if there are checkpoints, and none of them can be read.
    """
    found = checkpoints(folder)
    problems: list[str] = []
    for path in reversed(found):
        try:
            stored = read(path)
        except Damaged as error:
            problems.append(str(error))
            continue
        if problems:
            step = stored.header["step"]
            logging.getLogger(__name__).warning(
                "%s. Going on from step %d instead (%s); the steps since are trained again.",
                "; ".join(problems), step, path.name,
            )  # fmt: skip
        return stored
    if not found:
        return None
    best = folder / "checkpoints" / "best.safetensors"
    start = f", in another folder from its best weights (--start {best})" if best.is_file() else ""
    raise CheckpointError(
        f"{'; '.join(problems)}. There is no other checkpoint to go on from: begin again with resume=False "
        f"(--no-resume){start}."
    )


@contextmanager
def telling_what_is_kept(folder: Path) -> Iterator[None]:
    """Say, when the disk is full inside, from where the run will go on."""
    try:
        yield
    except DiskFull as error:
        kept = checkpoints(folder)[-1:]
        what = f"The last checkpoint is kept ({kept[0]})" if kept else "There is no checkpoint yet"
        goes_on = "goes on from there" if kept else "begins again"
        raise DiskFull(f"{error} {what}. Make room and start the same command again: it {goes_on}.") from error


def tidy(folder: Path, keep: int, step: int) -> None:
    """Remove all but the last `keep` checkpoints up to `step`, damaged ones after it, and drafts that a kill left."""
    found = checkpoints(folder)
    good = [path for path in found if int(path.stem[5:]) <= step]
    for path in {*found} - {*good[-keep:]}:
        path.unlink(missing_ok=True)
    for place in (folder, folder / "checkpoints", folder / "samples"):
        for path in (path for pattern in DRAFTS for path in place.glob(pattern)):
            path.unlink(missing_ok=True)


def as_now(stored: Stored, method: Method) -> dict[str, Any]:
    """The stored header with its settings as this version has them. CheckpointError if it does not know them all."""
    kinds = {"config": type(method).Config, "extent": Extent, "training": Training}
    known = {name: kind for name, kind in kinds.items() if stored.header.get(name) is not None}
    return {**stored.header, **{name: to_plain(stored.settings(name, kind)) for name, kind in known.items()}}


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
    try:
        owner, leaf = _owner(method, name)
    except AttributeError:
        return False
    return leaf in owner._buffers and owner._buffers[leaf] is None


def _before(method: nn.Module, name: str) -> float | None:
    """What a buffer was when weights did not hold it."""
    owner, leaf = _owner(method, name)
    known: Mapping[str, float] = getattr(owner, "before", {})
    return known.get(leaf)


def _is_settled(method: nn.Module, name: str) -> bool:
    owner, leaf = _owner(method, name)
    return leaf in getattr(owner, "settled", ())


def _owner(method: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a parameter or buffer, and its name there."""
    owner, _, leaf = name.rpartition(".")
    return method.get_submodule(owner), leaf


def _place(method: nn.Module, name: str, value: Tensor) -> Tensor:
    """The parameter or buffer called `name`, of the shape of `value`."""
    owner, leaf = _owner(method, name)
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
