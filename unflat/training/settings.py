"""How a run is trained, and settings as plain data.

A settings class is a frozen dataclass of numbers, strings, tuples, sets, None and at most one further dataclass. It is
written to JSON and read back with every field checked against its annotation, so a file cannot smuggle anything in.
"""

import dataclasses
import difflib
import hashlib
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """What every method's training has in common."""

    steps: int = 10_000
    """updates of the weights"""
    rate: float = 1e-4
    """learning rate; a method's groups have factors on it"""
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    """how the rate falls after `hold`: to zero, but exponentially only to a tenth"""
    hold: float = 0.0
    """share of the steps before the rate begins to fall"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on a GPU, fp32 on a CPU"""
    seed: int = 0
    """of the first weights, the order of the pictures and everything else that is drawn"""
    clip: float = 5.0
    """largest norm of the whole gradient; 0 does not clip"""
    ema: float = 0.0
    """decay of the running average of the weights, which is what is validated and kept; 0 averages nothing"""
    compile: bool = False
    """torch.compile the losses: 20-60 s the first time, pays on a GPU"""
    device: str = "auto"
    """auto: a GPU if there is one"""
    threads: int = 0
    """of torch and numba; 0 is all cores, or OMP_NUM_THREADS"""
    log_every: int = 50
    """steps between lines of the log"""
    sample_every: int = 500
    """steps between sheets of sample pictures, of which there is one, too, whenever the method has entered another
    stage; 0 is never"""
    validate_every: int = 500
    """steps between evaluations of the validation pictures; 0 is never"""
    save_every: int = 500
    """steps between checkpoints"""
    save_seconds: float = 120.0
    """a checkpoint also after so many seconds without one"""
    keep: int = 2
    """how many of the last checkpoints stay; the best weights stay as well"""

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"Training.{name} is {getattr(self, name)}; it must be at least 1")
        if not self.rate > 0:
            raise ValueError(f"Training.rate is {self.rate}; it must be above 0")
        for name in ("hold", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"Training.{name} is {getattr(self, name)}; it must be in [0, 1)")


WITHOUT_EFFECT = frozenset(
    {"device", "threads", "log_every", "sample_every", "validate_every", "save_every", "save_seconds", "keep"}
)
"""Fields of `Training` that may change between a run and its continuation"""


def seed_of(*parts: int) -> int:
    """A seed of 63 bits that depends on all parts, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def to_plain(settings: Any) -> Any:
    """A settings object as what JSON can hold: dataclasses become objects, tuples and sets become lists."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return {f.name: to_plain(getattr(settings, f.name)) for f in dataclasses.fields(settings)}
    if isinstance(settings, (set, frozenset)):
        return sorted(to_plain(item) for item in settings)
    if isinstance(settings, (tuple, list)):
        return [to_plain(item) for item in settings]
    if isinstance(settings, dict):
        return {str(key): to_plain(value) for key, value in settings.items()}
    if settings is None or isinstance(settings, (bool, int, float, str)):
        return settings
    raise TypeError(f"settings are plain data; {type(settings).__name__} {settings!r} is not")


def from_plain(kind: type[T], plain: Any) -> T:
    """The settings of class `kind` from what `to_plain` gave; fields that are missing take their defaults.

    Raises ValueError naming the field that is unknown, missing or of another type.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{kind.__name__} is read from an object of fields, not from {plain!r}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for name in plain:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; its fields are {', '.join(fields)}"
            raise ValueError(f"{kind.__name__} has no field {name!r}{hint}")
    missing = [
        name
        for name, f in fields.items()
        if name not in plain and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{kind.__name__} needs {', '.join(missing)}, which the settings do not give")
    return kind(**{name: _value(hints[name], value, f"{kind.__name__}.{name}") for name, value in plain.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as its annotation has it, or ValueError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _first_that_fits(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}; it must be one of {', '.join(map(repr, arguments))}")
        return value
    if origin in (tuple, list, set, frozenset):
        return _collection(origin, arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(hint, value, where)
        return {_value(arguments[0], k, where): _value(arguments[1], v, f"{where}[{k!r}]") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type, hint), value)
    return _scalar(hint, value, where)


def _first_that_fits(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return _value(kind, value, where)
        except ValueError as error:
            last = error
    raise last


def _collection(origin: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise _wrong(origin, value, where)
    items = list(value)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(items) != len(arguments):
            raise ValueError(f"{where} has {len(items)} values, {value!r}; it must have {len(arguments)}")
        return tuple(
            _value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(arguments, items, strict=True))
        )
    return origin(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(items))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (type(None), None) and value is None:
        return None
    if hint in (bool, int, float, str) and type(value) is hint:
        return value
    raise _wrong(hint, value, where)


def _wrong(hint: Any, value: Any, where: str) -> ValueError:
    name = "None" if hint is type(None) else getattr(hint, "__name__", str(hint))
    return ValueError(f"{where} is {value!r}; it must be of type {name}")
