"""Whether learning goes wrong, from the means that the log computes anyway: no step waits for it."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from unflat.evaluation.photos import OBSERVABLE
from unflat.method import Symptom

LINES = 3
"""of the log that have the figure are averaged: one line alone may be chance"""


RELIEF_SYMPTOMS = (
    Symptom(
        "relief", "the reliefs are flat, the texture holds everything: photos have to differ in viewpoint and in "
        "light; --config.bump 3 begins with more relief", after=500, below=0.1,
    ),
    Symptom(
        "convexity", "the reliefs are inside out. They are turned once the warm-up is over; if they turn back, take "
        "another --training.seed or a higher --config.bump", after=150, below=0.0,
    ),
    Symptom(
        "coverage", "the reliefs are turned or moved out of the picture: crop so that objects stand in the middle "
        "(unflat data inspect shows), or take a higher --config.coverage-weight", after=300, below=0.75,
    ),
    Symptom(
        "yaw spread", "the viewpoints found are within this many degrees, and photos from one side do not show shape: "
        "add some from the left and the right", after=1000, below=OBSERVABLE,
    ),
)  # fmt: skip
"""What goes wrong with methods that explain photos as reliefs. Limits and steps were measured: docs/LOG.md"""


class Watch:
    """Holds every line of figures against a method's symptoms, and tells each symptom once.

    All it knows is in the log: a resumed run gives the lines that were kept (`log.rewind`), and goes on as the unbroken
    one would have.
    """

    def __init__(self, symptoms: Iterable[Symptom], before: Iterable[Mapping[str, Any]] = ()) -> None:
        self._symptoms = tuple(symptoms)
        self._values: dict[str, deque[float]] = {s.figure: deque(maxlen=LINES) for s in self._symptoms}
        self.told: list[str] = []
        """what has been said, in order"""
        self._done: set[tuple[str, str]] = set()
        for line in before:
            if line.get("kind") == "training":
                self._note(line)
            elif line.get("kind") == "warning":
                self._done.add((line["figure"], line["says"]))
                self.told.append(said(line["step"], line))

    def look(self, step: int, means: Mapping[str, float]) -> list[dict[str, Any]]:
        """The lines of kind `warning` that are due after the means of a line of the log: figure, value, says."""
        self._note(means)
        due = []
        for symptom in self._symptoms:
            values = self._values[symptom.figure]
            key = symptom.figure, symptom.says
            if step < symptom.after or len(values) < LINES or key in self._done:
                continue
            value = math.fsum(values) / LINES
            if symptom.shows(value):
                self._done.add(key)
                due.append({"figure": symptom.figure, "value": value, "says": symptom.says})
                self.told.append(said(step, due[-1]))
        return due

    def _note(self, means: Mapping[str, Any]) -> None:
        for figure, values in self._values.items():
            value = means.get(figure)
            if value is not None and math.isfinite(value):
                values.append(value)


def said(step: int, warning: Mapping[str, Any]) -> str:
    """A warning's line of the log as a sentence."""
    return f"step {step}: {warning['figure']} {warning['value']:.3g}: {warning['says']}"
