"""The tables of meshes beside the truth as Markdown, from the records of `surfaces.py truth`. Imports nothing heavy."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from unflat.records import Record, latest

OURS, PROTOTYPE = "ours", "prototype"
MESHES = {
    OURS: "quick surface", "density": "the quick grid's density", "depth": "its depth", "hull": "the visual hull",
    PROTOTYPE: "the prototype",
}  # fmt: skip
FIGURES = {
    "Chamfer, cells": "{:.2f}", "Chamfer, mm": "{:.2f}", "F at 1/2 cell": "{:.3f}", "normals, degrees": "{:.1f}",
    "CPU s": "{:.0f}",
}  # fmt: skip
HIGHER = "F at 1/2 cell"
"""of which more is better"""
BEGINS = "surfaces, "
AROUND = {"nothing": "before nothing", "dome": "amid a dome", "clutter": "amid clutter"}
WITH = {"nothing": "pictures have opacity", "dome": "pictures have none", "clutter": "pictures have none"}

Figures = Mapping[str, float]


class Named(NamedTuple):
    """What a record is of."""

    mesh: str
    name: str
    """the object"""
    around: str
    changed: str
    """the setting that is not as usual, or nothing"""


def named(experiment: str) -> Named | None:
    """What the name of an experiment says; None if it is not one of these, or a median, which is made here."""
    if not experiment.startswith(BEGINS):
        return None
    mesh, _, said = experiment.removeprefix(BEGINS).partition(", ")
    if mesh not in MESHES:
        mesh, said = OURS, f"{mesh}, {said}"
    name, around, changed = (*said.split(", ", 2), "", "")[:3]
    return None if around not in AROUND or name.startswith("median of") else Named(mesh, name, around, changed)


class Table(dict[Named, dict[str, float]]):
    """Figures of each mesh of each object."""

    @staticmethod
    def of(records: Iterable[Record]) -> "Table":
        """The newest, all of pictures like those of the newest of ours. What the prototype reached elsewhere stands in
        where it was not run."""
        lines = [(what, line) for line in latest(records) if (what := named(line.experiment)) is not None]
        own = [line for what, line in lines if what.mesh == OURS]
        found = Table()
        if not own:
            return found
        found.seen = _seen(max(own, key=lambda line: line.date))
        usual = {(what, line.metric): line.date for what, line in lines if not what.changed}
        elsewhere = Table()
        for what, line in lines:
            # a change that was tried before its usual settings were run again was one of other settings
            before = usual.get((what._replace(changed=""), line.metric), "")
            if _seen(line) == found.seen and line.date >= before:
                found.setdefault(what, {})[line.metric] = line.ours
                if line.source == "peer" and line.bound is not None:
                    elsewhere.setdefault(what._replace(mesh=PROTOTYPE), {})[line.metric] = line.bound
        for what, figures in elsewhere.items():
            found.setdefault(what, figures)
        return found

    seen: str = ""
    """how many pictures, and how large"""

    def figures(self, mesh: str, around: str, changed: str = "") -> dict[str, Figures]:
        """Of each object."""
        asked = mesh, around, changed
        return {what.name: found for what, found in self.items() if (what.mesh, what.around, what.changed) == asked}


def _seen(line: Record) -> str:
    return line.note.partition(";")[0]


def truth_tables(records: Iterable[Record]) -> str:
    """Every object and the medians, one table for each thing that objects stand before."""
    found = Table.of(records)
    made = [_truth_table(found, around) for around in AROUND if found.figures(OURS, around)]
    return "\n\n".join(made) if made else "Not run yet."


def _truth_table(found: Table, around: str) -> str:
    every = {mesh: found.figures(mesh, around) for mesh in MESHES}
    every = {mesh: figures for mesh, figures in every.items() if figures}
    names = sorted({name for figures in every.values() for name in figures})
    shared = [name for name in names if all(name in figures for figures in every.values())]
    rows = {name: {mesh: figures.get(name, {}) for mesh, figures in every.items()} for name in names}
    if shared:
        middle: dict[str, Figures] = {
            mesh: medians([figures[name] for name in shared]) for mesh, figures in every.items()
        }
        rows[f"median of {_those(shared, names)}"] = middle
    order = " / ".join(MESHES[mesh] for mesh in every)
    text = [
        f"*{AROUND[around].capitalize()} ({WITH[around]}); {found.seen}. Each cell: {order}. The best is bold.*",
        "",
    ]
    text += [_row(["", *FIGURES]), _row(["---"] * (len(FIGURES) + 1))]
    text += [_row([name, *(_cell(metric, list(row.values())) for metric in FIGURES)]) for name, row in rows.items()]
    return "\n".join(text)


def _those(shared: Sequence[str], names: Sequence[str]) -> str:
    return str(len(names)) if len(shared) == len(names) else f"the {len(shared)} that all have"


def _cell(metric: str, every: Sequence[Figures]) -> str:
    """One figure of all meshes: a dash where there is none."""
    shown = [FIGURES[metric].format(one[metric]) if metric in one else "-" for one in every]
    there = [float(value) for value in shown if value != "-"]
    best = (max if metric == HIGHER else min)(there, default=None)
    several = len(there) > 1 and metric != "CPU s"
    return " / ".join(f"**{v}**" if several and v != "-" and float(v) == best else v for v in shown)


def ablation_table(records: Iterable[Record]) -> str:
    """What each change of a setting makes of the medians over the objects that it was tried on, beside what the usual
    settings have on the same."""
    found = Table.of(records)
    changes = sorted({(what.around, what.changed) for what in found if what.changed and what.mesh == OURS})
    rows = []
    for around, changed in changes:
        usual, other = (found.figures(OURS, around, one) for one in ("", changed))
        both = [name for name in other if name in usual]
        if both:
            a, b = (medians([figures[name] for name in both]) for figures in (other, usual))
            said = changed if around == "nothing" else f"{changed}, {AROUND[around]}"
            rows.append(_row([said, str(len(both)), *(_beside(metric, a, b) for metric in FIGURES)]))
    if not rows:
        return "Not run yet."
    head = (
        f"*{found.seen}. Medians over so many objects; in brackets those of the usual settings, on the same objects.*"
    )
    return "\n".join([head, "", _row(["", "objects", *FIGURES]), _row(["---"] * (len(FIGURES) + 2)), *rows])


def _beside(metric: str, ours: Figures, usual: Figures) -> str:
    form = FIGURES[metric]
    return f"{form.format(ours[metric])} ({form.format(usual[metric])})" if metric in ours and metric in usual else "-"


TEXTURE, LIMITS = "surfaces, texture, ", "surfaces, limits"
SHARE, EACH, OF_LIMIT = ", share of learning", ", ns a sample", ", share of its limit"


def texture_table(records: Iterable[Record]) -> str:
    """PSNR of textured meshes, a row an object, of runs like the newest one, and the medians."""
    lines = [line for line in latest(records) if line.experiment.startswith(TEXTURE)]
    if not lines:
        return "Not run yet."
    note = max(lines, key=lambda line: line.date).note
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        if line.note == note:
            row = found.setdefault(line.experiment.removeprefix(TEXTURE), {})
            row[line.metric.removeprefix("PSNR, ")] = line.ours
    columns = list(next(iter(found.values())))
    rows = dict(sorted(found.items()))
    if len(rows) > 1:
        every = list(rows.values())
        rows[f"median of {len(rows)}"] = {name: statistics.median(one[name] for one in every) for name in columns}
    text = [f"*PSNR in dB; {note}, one thread.*", "", _row(["", *columns]), _row(["---"] * (len(columns) + 1))]
    return "\n".join([*text, *(_row([name, *(f"{row[c]:.1f}" for c in columns)]) for name, row in rows.items())])


def limits_table(records: Iterable[Record]) -> str:
    """The loops that learning spends most time in, the dearest first, and how near those that were measured come to
    what the machine can do."""
    found = {line.metric: line for line in latest(records) if line.experiment == LIMITS}
    names = [metric.removesuffix(SHARE) for metric in found if metric.endswith(SHARE)]
    if not names:
        return "Not run yet."
    rows = []
    for name in sorted(names, key=lambda name: -found[name + SHARE].ours):
        each, share = found.get(name + EACH), found.get(name + OF_LIMIT)
        cells = [f"{found[name + SHARE].ours:.0%}", f"{each.ours:.0f}" if each else "-"]
        limit = f"{share.ours:.0%} of {share.note.partition('; ')[2]}" if share else "-"
        rows.append(_row([name.replace("_", " "), *cells, limit]))
    text = [f"*{found[names[0] + SHARE].note.partition(';')[0]}, one thread.*", ""]
    text += [_row(["", "of the CPU time of learning", "ns a sample", "of the limit"]), _row(["---"] * 4)]
    return "\n".join([*text, *rows])


def medians(every: Sequence[Figures]) -> dict[str, float]:
    """Of each figure that all have."""
    names = [name for name in FIGURES if all(name in one for one in every)]
    return {name: statistics.median(one[name] for one in every) for name in names}


def within_page(text: str, records: Sequence[Record]) -> str:
    """A page with all tables between their comments."""
    tables = {"surfaces": truth_tables, "ablations": ablation_table, "texture": texture_table, "limits": limits_table}
    for mark, made in tables.items():
        text = _filled(text, mark, made(records))
    return text


def _filled(text: str, mark: str, made: str) -> str:
    between = rf"(<!-- {mark} -->\n).*?(?=<!-- end of {mark} -->)"
    return re.sub(between, lambda found: f"{found[1]}\n{made}\n\n", text, flags=re.DOTALL)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
