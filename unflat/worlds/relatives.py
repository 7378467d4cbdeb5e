"""Random numbers for things of one kind: what a thing has is its kind's, how much of it is nearly so."""

from typing import Any

import numpy as np

OWN = 0.3
"""how much of a measure is a thing's own; the rest is its kind's"""


class Relative:
    """Draws like a `numpy.random.Generator`, for one of many things of a kind.

    A measure (`uniform`, `normal`) is a mean of one drawn from `own` and one from `kind`, weighted `OWN` to the rest; a
    choice (`choice`, `random`) is that of `kind`. The kind is its seed: `kind` has to begin anew with each thing.
    """

    def __init__(self, own: np.random.Generator, kind: np.random.Generator) -> None:
        self.own, self.kind = own, kind

    def uniform(self, low: Any, high: Any, size: Any = None) -> Any:
        """As of a Generator."""
        return self._between(self.own.uniform(low, high, size), self.kind.uniform(low, high, size))

    def normal(self, mean: Any, deviation: Any, size: Any = None) -> Any:
        """As of a Generator."""
        return self._between(self.own.normal(mean, deviation, size), self.kind.normal(mean, deviation, size))

    def choice(self, options: Any, p: Any = None) -> Any:
        """As of a Generator, without a size."""
        return self.kind.choice(options, p=p)

    def random(self) -> float:
        """As of a Generator, without a size."""
        return self.kind.random()

    @staticmethod
    def _between(own: Any, kind: Any) -> Any:
        return OWN * own + (1 - OWN) * kind


Draws = np.random.Generator | Relative
