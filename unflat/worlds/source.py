"""What every world is, and what is done to one: something that makes data when asked."""

from typing import Protocol, runtime_checkable

from unflat.data.kinds import Capture, Photos


@runtime_checkable
class PhotoSource(Protocol):
    """Photos that are not there until they are asked for. Its `repr` says which photos they are."""

    def photos(self) -> Photos: ...


@runtime_checkable
class CaptureSource(Protocol):
    """A capture that is not there until it is asked for. Its `repr` says which capture it is."""

    def capture(self) -> Capture: ...
