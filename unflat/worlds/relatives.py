"""Random numbers for things of one kind: what a thing has is its kind's, how much of it is nearly so."""

from typing import Any

import numpy as np

OWN = 0.3
"""how much of a measure is a thing's own; the rest is its kind's"""


class Relative:
    """Draws for one of many things of a kind, by four methods of a `numpy.random.Generator`.

    A measure (`uniform`, `normal`) is a mean of one drawn from `own` and one from `kind`, weighted `OWN` to the rest; a
    choice (`choice`, `random`) is that of `kind`. So what a thing has must be drawn as a choice, and how many draws
    there are may depend on choices only: things of a kind go through the same ones. `kind` has to begin anew with each.
    """

    def __init__(self, own: np.random.Generator, kind: np.random.Generator) -> None:
        self.own, self.kind = own, kind

    def uniform(self, low: Any, high: Any, size: Any = None) -> Any:
        """Of shape `size`, from `low` to `high` but nearer the kind's own."""
        return self._between(self.own.uniform(low, high, size), self.kind.uniform(low, high, size))

    def normal(self, loc: Any, scale: Any, size: Any = None) -> Any:
        """Of shape `size`; within a kind with a standard deviation of `OWN` times `scale`."""
        return self._between(self.own.normal(loc, scale, size), self.kind.normal(loc, scale, size))

    def choice(self, options: Any, *, p: Any = None) -> Any:
        """One of the options, or of that many, with probabilities `p`; the same in all of a kind."""
        return self.kind.choice(options, p=p)

    def random(self) -> float:
        """From 0 to 1, the same in all of a kind: to choose by."""
        return self.kind.random()

    @staticmethod
    def _between(own: Any, kind: Any) -> Any:
        return OWN * own + (1 - OWN) * kind


Draws = np.random.Generator | Relative
