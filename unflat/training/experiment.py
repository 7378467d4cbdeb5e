"""A claim that can be run again: method, settings, data, and the figure to reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from unflat.training.settings import Training


@runtime_checkable
class PhotoSource(Protocol):
    """Something that makes photos when asked, such as a world."""

    def photos(self) -> Any: ...


@dataclass(frozen=True)
class Experiment:
    """What a function without arguments at the end of a method's file returns."""

    method: type
    config: Any
    training: Training
    data: Any = None
    """a source such as `worlds.faces.Faces(...)`, data themselves, or None if the user brings them"""
    validation: Any = None
    """the same, to choose the best weights with"""
    test: Any = None
    """the same, to be claimed on"""
    published: Mapping[str, float] = field(default_factory=dict)
    """the paper's figures by the names `evaluate` gives them"""
    note: str = ""
    """what differs from the paper's experiment"""


def made(data: Any) -> Any:
    """The data themselves: a source is asked for them, anything else is returned as it is."""
    return data.photos() if isinstance(data, PhotoSource) else data
