"""What every world is, and what is done to one: something that makes photos when asked."""

from typing import Protocol, runtime_checkable

from unflat.data.kinds import Photos


@runtime_checkable
class PhotoSource(Protocol):
    """Photos that are not there until they are asked for. Its `repr` says which photos they are."""

    def photos(self) -> Photos: ...
