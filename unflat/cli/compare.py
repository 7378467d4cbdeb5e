"""`unflat compare`: methods on one capture with the same time each, and a page that shows which is best for what."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unflat.cli.parsing import Count, Flag, Folder, Text, only_json, parsed, print_json

TINY_MINUTES, TINY_LOOKS, TINY_VIEWS = 0.05, 2, 2
"""what `--tiny` takes"""


@dataclass(frozen=True)
class CompareOptions:
    """Train methods one after another on one capture, each with the same time, and write a page: quality against time
    and against size, figures, and the same held-out pictures side by side.

    The same command goes on where it stopped: methods that are done are not trained again. Each method's run is in
    OUT/runs/METHOD, for unflat render, export and report.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CAPTURE", help_behavior_hint="")]
    """a folder with posed pictures, or a generated object, vase:60"""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="METHOD", help_behavior_hint="")] = ()
    """names from `unflat list`, with commas or spaces between. Left out: all radiance fields there are"""
    minutes: float = 5.0
    """of wall time that each method learns for; looking at pictures is not counted"""
    side: Count = None
    """pixels of the longer side of the pictures; larger ones are made smaller. Left out: as they are"""
    space: Annotated[Literal["auto", "box", "contracted", "ndc"], tyro.conf.arg(help_behavior_hint="")] = "auto"
    """box: a single object. contracted: a scene with a background. ndc: seen from one side. auto: what the cameras and
    the pictures' transparency say"""
    reader: Text = ""
    """blender, nerfstudio, colmap or llff. Left out: the one that recognises the files"""
    experiment: Text = ""
    """whose settings are taken of every method, fitted to the capture. Left out: `small` on a CPU, the paper's on a
    GPU"""
    look_at: int = 8
    """held-out pictures, spread over those there are"""
    looks: int = 12
    """at the held-out pictures while a method learns: more make finer curves, and take their time"""
    out: Folder = None
    """the folder; open comparison.html there. Left out: compared/NAME"""
    resume: Flag = True
    """go on with the comparison that is in the folder already"""
    tiny: Flag = False
    """a few seconds, to see that everything works"""
    quiet: Flag = False
    """no progress"""
    json: Flag = False
    """for scripts: the page and all figures, as one object"""


def compare(arguments: Sequence[str]) -> None:
    options = parsed(CompareOptions, arguments, "compare")
    from unflat.cli.sources import learned_and_held_out
    from unflat.training.comparison import compare as run
    from unflat.training.comparison import named_experiment, usual_methods

    experiment = options.experiment or ("tiny" if options.tiny else "")
    methods = named(options.methods) or usual_methods()
    with only_json(options.json):
        for method in methods:  # before anything is read
            named_experiment(method, experiment)
        learned, held_out = learned_and_held_out(
            options.data, side=options.side, reader=options.reader, tiny=options.tiny,
            space=None if options.space == "auto" else options.space,
        )  # fmt: skip
        out = options.out or Path("compared") / Path(options.data.replace(":", "-")).stem
        minutes = min(options.minutes, TINY_MINUTES) if options.tiny else options.minutes
        each = f"{minutes:g} minute{'s' * (minutes != 1)} each"
        print(f"{len(methods)} methods, {each}, into {out}: {', '.join(methods)}")
        found = run(
            learned, held_out.spread(TINY_VIEWS if options.tiny else options.look_at), out, methods, minutes=minutes,
            experiment=experiment, looks=TINY_LOOKS if options.tiny else options.looks, resume=options.resume,
            progress=not options.quiet,
        )  # fmt: skip
        page = out / "comparison.html"
        print(f"Open {page} in a browser. The runs are in {out / 'runs'}, for unflat render, export and report.")
    if options.json:
        print_json({"page": str(page), **asdict(found)})


def named(words: Sequence[str]) -> list[str]:
    """The names among words with commas or without, each once."""
    return list(dict.fromkeys(name for word in words for name in word.split(",") if name))
