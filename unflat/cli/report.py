"""`unflat report`: one HTML page on a run on a capture."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unflat.cli.parsing import Count, Flag, MaybeData, Run, Text, only_json, parsed, print_json

if TYPE_CHECKING:
    from unflat.data.kinds import Capture


@dataclass(frozen=True)
class ReportOptions:
    """A page on a run on a capture: its cameras and training curve, held-out pictures with their errors, depth, and a
    turntable. The page is one file that works offline."""

    run: Run
    """a run's folder, or a file of weights"""
    data: MaybeData = ""
    """the capture with the held-out pictures. Left out: where the run's own was"""
    out: Path = Path("report")
    """the folder; open report.html there"""
    pictures: int = 12
    """held-out pictures that are looked at, spread over those there are"""
    frames: int = 60
    """of the turntable, 0 for none: it takes most of the time"""
    turntable: int = 320
    """pixels of the turntable's longer side"""
    side: Count = None
    """pixels of the longer side of held-out pictures. Left out: as the run's"""
    reader: Text = ""
    """of DATA: blender, nerfstudio, colmap or llff. Left out: as the run's"""
    device: str = "cpu"
    """or cuda"""
    json: Flag = False
    """for scripts: the page, all files and the figures, as one object"""


def report(arguments: Sequence[str]) -> None:
    options = parsed(ReportOptions, arguments, "report")
    from unflat.training.captured import opened
    from unflat.training.scene_report import report as write

    with only_json(options.json):
        header = opened(options.run).header  # what is no run on a capture is told before anything is read
        held_out, warnings = _held_out(header, options)
        written = write(
            options.run, options.out, held_out, pictures=options.pictures, frames=options.frames,
            side=options.turntable,
            warnings=warnings, device=options.device,
        )  # fmt: skip
        print(f"Open {written.page} in a browser.")
    if options.json:
        figures = {} if written.evaluation is None else written.evaluation.to_json()
        print_json({"page": str(written.page), "files": [str(file) for file in written.files], **figures})


def _held_out(header: dict[str, object], options: ReportOptions) -> "tuple[Capture | None, list[str]]":
    """The pictures, or, where nobody has asked for some and there are none, why."""
    from unflat.cli.sources import held_out_of

    try:
        return held_out_of(header, options.data, side=options.side, reader=options.reader), []
    except ValueError as error:
        if options.data:
            raise
        print(f"warning: {error}", file=sys.stderr)
        return None, [f"There are no held-out pictures here: {error}"]
