"""The table of all representations as Markdown, from the records of `representations.py`. Imports nothing heavy."""

import re
from collections.abc import Iterable, Sequence

from unflat.records import Record, latest

LEVELS = (25, 30, 33, 35)
"""dB"""
PEER = {25: 24.5, 30: 61.0, 33: 109.0}
"""process CPU seconds, one thread, of TensoRF's authors' code to these levels on 60 views of the chair at 100 px"""
PEER_SAW = "100 px, 60 views"
"""how the names of experiments end that it is compared with"""
PEER_NAME = "TensoRF, its authors' code"
TRAINED, DRAWN = "representations, ", "representations, rate, "
"""how the experiments' names begin: PSNR against time, and pictures a second"""
AT_END, BYTES = "PSNR at the end", "bytes of weights.safetensors"
MARKS = r"(<!-- representations -->\n).*?(?=<!-- end -->)"


def drawn(side: int, threads: int) -> str:
    """What the rate of pictures is called."""
    return f"frames/s, {side} px, {threads} thread{'s' * (threads > 1)}"


def table(records: dict[str, Sequence[Record]]) -> str:
    """A row for each method that was measured, the quickest to the highest level first, and one for the peer; all of
    the newest experiment."""
    named = {name: _newest(lines) for name, lines in records.items()}
    experiments = [line for lines in named.values() for line in lines if line.metric == AT_END]
    if not experiments:
        return "Not run yet."
    chosen = max(experiments, key=lambda line: line.date).experiment
    rows = [
        (name, {line.metric: line.ours for line in lines if line.experiment == chosen},
         {line.metric: line.ours for line in lines if line.experiment.startswith(DRAWN)})
        for name, lines in named.items()
    ]  # fmt: skip
    sides = sorted({side for _, _, rates in rows for side in _sides(rates)})
    head = [f"CPU s to {level} dB" for level in LEVELS] + ["PSNR at the end", "MB"]
    head += [f"frames/s, {side} px" for side in sides]
    rate = "; frames/s with two threads" if sides else ""
    text = [f"*{chosen.removeprefix(TRAINED)}, one thread{rate}.*", ""]
    text += [_row(["method", *head]), _row(["---"] * (len(head) + 1))]
    for name, found, rates in sorted(rows, key=_quickest):
        if AT_END in found:
            cells = [_short(found.get(f"CPU s to {level} dB")) for level in LEVELS]
            size = found[BYTES] / 1e6 if BYTES in found else None
            cells += [f"{found[AT_END]:.2f}", _short(size)]
            text.append(_row([f"`{name}`", *cells, *(_short(rates.get(drawn(side, 2))) for side in sides)]))
    if chosen.endswith(PEER_SAW):
        text.append(_row([PEER_NAME, *(_short(PEER.get(level)) for level in LEVELS), *["-"] * (2 + len(sides))]))
    return "\n".join(text)


def within_page(text: str, records: dict[str, Sequence[Record]]) -> str:
    """A page with the table between its two comments."""
    made = table(records)
    return re.sub(MARKS, lambda found: f"{found[1]}\n{made}\n\n", text, flags=re.DOTALL)


def _newest(lines: Iterable[Record]) -> list[Record]:
    return [line for line in latest(lines) if line.experiment.startswith(TRAINED)]


def _quickest(row: tuple[str, dict[str, float], dict[str, float]]) -> tuple[float, ...]:
    """What reaches a higher level stands before what does not, then the quicker one, then the better one."""
    _, found, _ = row
    seconds = [found.get(f"CPU s to {level} dB", float("inf")) for level in reversed(LEVELS)]
    return (*seconds, -found.get(AT_END, 0.0))


def _sides(rates: dict[str, float]) -> set[int]:
    return {
        int(found[1]) for found in (re.fullmatch(r"frames/s, (\d+) px, 2 threads", name) for name in rates) if found
    }


def _short(value: float | None) -> str:
    """Three digits, or a dash for what was not reached."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
