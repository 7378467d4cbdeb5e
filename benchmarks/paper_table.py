"""A paper's table as Markdown, from records alone: ours beside the published, and whether the claims hold.

Records of a row have the experiment's name `EXPERIMENT/ROW`, with a suffix such as `, 3000 steps` where settings of the
whole table were changed; rows with the same experiment and suffix make one table. Imports nothing heavy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unflat.catalogue import Entry, TableRow
from unflat.records import Record, latest

SEEDS = 3
"""runs of each row that a claim needs"""
CLEARLY = 0.8
"""share of the other's error, under which a row wins clearly"""
METRICS = ("SIDE", "MAD")
SAME_RUN = "the run of "
"""how the note of a record begins whose row has the same settings as another"""

Values = Mapping[str, Mapping[str, Mapping[int, float]]]
"""figures of a table: row, metric, seed"""


@dataclass(frozen=True)
class Claim:
    """That one row has lower errors than another."""

    says: str
    better: str
    worse: str
    clearly: bool = False
    """by a fifth, not only by more than the spread"""

    def of(self, values: Values, metric: str) -> str:
        """holds, does not hold or not run, with the figures."""
        low, high = (list(values.get(row, {}).get(metric, {}).values()) for row in (self.better, self.worse))
        if min(len(low), len(high)) < SEEDS:
            return f"not run ({min(len(low), SEEDS) + min(len(high), SEEDS)} of {2 * SEEDS} runs)"
        spread = max(max(low) - min(low), max(high) - min(high))
        ours, other = _mean(low), _mean(high)
        holds = other - ours > spread and not (self.clearly and ours > CLEARLY * other)
        return f"{'holds' if holds else '**does not hold**'}: {ours:.3g} against {other:.3g}, spread {spread:.2g}"


@dataclass(frozen=True)
class Keypoints:
    """Published sums of keypoint-depth correlations."""

    landmarks: int
    sums: Mapping[str, float]
    """by the name of a row of ours, of a baseline of ours, or of a method of others"""


CLAIMS: Mapping[str, Sequence[Claim]] = {
    "unsup3d": (
        Claim("without the albedo's flip it is worse than in full", "full", "no_albedo_flip"),
        Claim("without the depth's flip it is worse than in full", "full", "no_depth_flip"),
        Claim("without light it is worse than in full", "full", "no_light"),
        Claim("with patches on the photos, confidence wins", "perturbed_confidence", "perturbed_no_confidence"),
        Claim("supervised wins clearly", "supervised", "full", clearly=True),
    )
}
KEYPOINTS = {
    "unsup3d": Keypoints(
        66,
        {
            "ground truth": 66,
            "average depth": float("nan"),
            "random": float("nan"),
            "AIGN (supervised)": 50.81,
            "DepthNetGAN (supervised)": 58.68,
            "MOFA (morphable model)": 15.97,
            "DepthNet, as published": 26.32,
            "DepthNet, released code": 35.77,
            "supervised": float("nan"),
            "full": 48.98,
            "full, trained before on CelebA": 54.65,
        },
    )
}


def of_a_table(record: Record) -> bool:
    """Whether a record is of a row, made by the script that runs the table."""
    return bool(record.settings) and "/" in record.experiment


def claimed_rows(method: str) -> set[str]:
    """The rows that claims are about, which need several seeds."""
    return {row for claim in CLAIMS.get(method, ()) for row in (claim.better, claim.worse)}


def sections(entry: Entry, records: Iterable[Record]) -> str:
    """The tables of a method, one for each experiment that has rows recorded: the newest, where settings changed."""
    newest: dict[str, tuple[str, str]] = {}
    groups: dict[tuple[str, tuple[str, str]], list[Record]] = {}
    for record in filter(of_a_table, records):
        scale, _, suffix = _named(record.experiment)
        newest[scale] = suffix, record.table
        groups.setdefault((scale, newest[scale]), []).append(record)
    if not newest:
        return "\n### The paper's table\n\nNot run yet.\n"
    return "\n".join(section(entry, scale, last[0], groups[scale, last]) for scale, last in newest.items())


def section(entry: Entry, scale: str, suffix: str, records: Sequence[Record]) -> str:
    """One table with its keypoints and claims."""
    lines = latest(records)
    values: dict[str, dict[str, dict[int, float]]] = {}
    same: dict[str, str] = {}
    for record in lines:
        row = _named(record.experiment)[1]
        values.setdefault(row, {}).setdefault(record.metric, {})[record.seed or 0] = record.ours
        if record.note.startswith(SAME_RUN):
            same[row] = _named(record.note.removeprefix(SAME_RUN))[1]
    parts = [f"\n### The paper's table: `{entry.name}`, experiment `{scale}`{suffix}\n", HEAD]
    parts += [*_table(entry.rows, values, same), "", *_keypoints(entry.name, values), *_claims(entry.name, values)]
    commands = dict.fromkeys(record.command for record in lines if record.command)
    return "\n".join([*parts, "\nMeasured by\n", "```", *commands, "```"])


HEAD = """Ours on our own faces, published on the paper's: compare the shares of average depth's error. What a
row does not cover counts as constant depth, and coverage stands beside it. The mean over seeds, and in brackets the
lowest and highest.
"""


def _table(rows: Mapping[str, TableRow], values: Values, same: Mapping[str, str]) -> list[str]:
    heads = [f"{metric}{share} | published" for share in ("", " / average depth") for metric in METRICS]
    table = [f"| row | seeds | {' | '.join(heads)} | coverage |", "|---|" + "---:|" * 10]
    average = next((row.published for row in rows.values() if row.baseline == "average depth"), {})
    for name, row in rows.items():
        found = _of_baseline(row.baseline, values) if row.baseline else values.get(name, {})
        title = f"{row.title} (the run of *{_title(rows, same[name])}*)" if name in same else row.title
        seeds = "" if row.baseline else str(len(found.get("SIDE, filled", {})) or "not run")
        plain = [cell for m in METRICS for cell in (_told(found.get(f"{m}, filled", {})), _one(row.published.get(m)))]
        shares = []
        for metric in METRICS:
            theirs = row.published[metric] / average[metric] if metric in row.published and metric in average else None
            shares += [_told(found.get(f"{metric}, filled / average depth", {})), _one(theirs)]
        cells = [title, seeds, *plain, *shares, _told(found.get("coverage", {}))]
        table.append(f"| {' | '.join(cells)} |")
    return table


def _of_baseline(baseline: str, values: Values) -> dict[str, dict[int, float]]:
    """The figures of a baseline, the same in every evaluation on the same pictures."""
    figures = next(iter(values.values()), {})
    found = {}
    for metric in (f"{metric}, filled" for metric in METRICS):
        ours, average = (figures.get(f"{metric}, {kind}", {}) for kind in (baseline, "average depth"))
        found[metric] = dict(list(ours.items())[:1])
        found[f"{metric} / average depth"] = {s: v / average[s] for s, v in found[metric].items() if average.get(s)}
    return found


def _keypoints(method: str, values: Values) -> list[str]:
    name, published = "landmark correlation", KEYPOINTS.get(method)
    evaluated = next((figures for figures in values.values() if name in figures), None)
    if published is None or evaluated is None:
        return []
    table = ["Keypoint depth: |correlation| over the photos, all landmarks, visible or not.\n"]
    table += ["| row | sum over ours | mean | published sum | published mean |", "|---|" + "---:|" * 4]
    seed = next(iter(evaluated[name]))
    many = round(evaluated[f"{name}, sum"][seed] / evaluated[name][seed]) if evaluated[name][seed] else 0
    for row, total in published.sums.items():
        ours = values.get(row, {}).get(name) or dict(list(evaluated.get(f"{name}, {row}", {}).items())[:1])
        theirs = [f"{total:.4g}", _one(total / published.landmarks)] if total == total else ["", ""]
        summed = {key: value * many for key, value in ours.items()}
        table.append(f"| {' | '.join([row, _told(summed), _told(ours), *theirs])} |")
    return [*table, ""]


def _claims(method: str, values: Values) -> list[str]:
    claims = CLAIMS.get(method, ())
    if not claims:
        return []
    rule = (
        f"A row wins where its mean over {SEEDS} seeds is lower by more than the spread (highest minus lowest, the "
        f"larger of the two rows'); clearly, where it is also at most {CLEARLY:g} of the other's."
    )
    table = [rule, "", "| claim | SIDE | MAD |", "|---|---|---|"]
    filled = [f"{metric}, filled" for metric in METRICS]
    return table + [
        f"| {claim.says} | {' | '.join(claim.of(values, metric) for metric in filled)} |" for claim in claims
    ]


def _named(experiment: str) -> tuple[str, str, str]:
    """Experiment, row and suffix."""
    scale, _, rest = experiment.partition("/")
    row, comma, suffix = rest.partition(", ")
    return scale, row, comma + suffix


def _title(rows: Mapping[str, TableRow], name: str) -> str:
    return rows[name].title if name in rows else name


def _told(values: Mapping[int, float]) -> str:
    found = list(values.values())
    if not found:
        return ""
    several = f" [{_one(min(found))}, {_one(max(found))}]" if len(found) > 1 else ""
    return f"{_one(_mean(found))}{several}"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
