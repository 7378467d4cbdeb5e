"""`unflat train`: learn from photos or from a capture. Its options are built for the one method that is asked for.

The command is in `unflat.cli.many`, which trains on several of them, each by itself; here is what it does with one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unflat import catalogue
from unflat.cli.parsing import Count, Flag, Folder, Method, SomeData, Text, only_json, parsed, print_json
from unflat.cli.sources import (
    OBJECTS,
    WORLDS,
    held_out,
    is_named,
    kind_of,
    learned_and_validating,
    photos_of,
)

if TYPE_CHECKING:
    from unflat.training.run import Run

TINY_PHOTOS = 64
"""`--tiny` looks at no more"""
TINY_STEPS = 3
"""and takes no more"""


DEFAULTS = {"Photos": "unsup3d", "Capture": "quick_grid"}
"""the method that is taken where none is named, by the kind of DATA"""


@dataclass(frozen=True)
class TrainOptions:
    """Learn from photos of one kind of object, or from a capture: posed pictures of one scene.

    The same command goes on where it stopped, however it was stopped. What else METHOD lets you set is listed by
    `unflat train METHOD --help`.
    """

    method: Method
    """a name from `unflat list`. Left out: quick_grid for a capture, unsup3d for photos"""
    sources: SomeData = ()
    """photos: a folder, a glob in quotes, a video, or generated faces, faces:20000. A capture: its folder, or a
    generated object, vase:60. Several: a run of its own for each. Left out: the experiment's own data"""
    experiment: Text = ""
    """whose settings (and data, if you give none) are taken: a name from `unflat show METHOD`, or EXPERIMENT/ROW
    for a row of its paper's table. Left out: `small` on a CPU, the paper's on a GPU, fitted to your data"""
    out: Folder = None
    """the run's folder: weights, logs and sample pictures; of several runs, the folder that theirs are in. Left out:
    runs/METHOD-DATA"""
    start: Text = ""
    """weights to begin from, for fine-tuning, with their settings: a run's folder, a file, or a shipped name such as
    faces"""
    resume: Flag = True
    """go on with the run that is in the folder already"""
    tiny: Flag = False
    """a few seconds, to see that everything works"""
    quiet: Flag = False
    """no progress"""
    json: Flag = False
    """for scripts: the run's folder and figures as one object; of several runs, all of them"""
    executor: Literal["serial", "processes", "ray"] = "serial"
    """of several runs: one after the other; in processes of this machine, each with its share of the cores; or on the
    Ray cluster that RAY_ADDRESS names, else by a Ray of this machine alone (pip install 'unflat[dist]')"""
    workers: Count = None
    """runs at once. Left out: as many as there are GPUs, or cores"""
    retries: int = 1
    """times that a run that failed is tried again; it goes on where it was"""

    @property
    def data(self) -> str:
        """DATA, where it is one."""
        return self.sources[0] if self.sources else ""


@dataclass(frozen=True)
class PhotoOptions(TrainOptions):
    """How photos are read."""

    crop: Text = ""
    """square crop of each photo: centre, face, alpha, none, or a table of boxes (file x0 y0 w h). Left out: centre"""
    size: int = 64
    """pixels a side after cropping"""
    limit: Count = None
    """take only so many of the photos"""
    validation: Text = ""
    """as DATA, to choose the best weights with. Left out: a twentieth of the photos is held out, from 100 photos on"""


@dataclass(frozen=True)
class CaptureOptions(TrainOptions):
    """How a capture is read."""

    side: Count = None
    """pixels of the longer side of the pictures; larger ones are made smaller. Left out: as they are"""
    space: Annotated[Literal["auto", "box", "contracted", "ndc"], tyro.conf.arg(help_behavior_hint="")] = "auto"
    """box: a single object. contracted: a scene with a background. ndc: seen from one side. auto: what the cameras and
    the pictures' transparency say"""
    reader: Text = ""
    """blender, nerfstudio, colmap or llff. Left out: the one that recognises the files"""


KINDS: dict[str, type[TrainOptions]] = {"Photos": PhotoOptions, "Capture": CaptureOptions}
"""how each kind of data is read"""


def train_one(options: Any, arguments: Sequence[str], why: str = "") -> None:
    """Train on the one DATA of the options, and say what to do next; `why` is said first."""
    with only_json(options.json):
        if why:
            print(why)
        run, validation = learned(options, arguments)
        from unflat.training.parallel import Processes

        if not Processes.join().first:  # one is enough to say it
            return
        weights = run.folder / "weights.safetensors"
        print("".join(f"\nwarning: {warning}" for warning in run.warnings))
        if isinstance(options, CaptureOptions) and validation is not None and run.figures:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
            print(f"of {len(validation)} held-out pictures: {shown}")
        print(f"The weights are in {weights}. Now: {_next(options, run.folder)}")
    if options.json:
        from unflat.training.checkpoint import plain_figures

        figures = plain_figures(run.figures)  # JSON knows no NaN
        said = {"run": str(run.folder), "weights": str(weights), "figures": figures, "warnings": run.warnings}
        print_json(said)


def learned(options: Any, arguments: Sequence[str]) -> tuple["Run", Any]:
    """The run on the one DATA of the options, and what it was validated with."""
    data, validation = _data(options)
    if options.data and options.data.partition(":")[0] not in (*WORLDS, *OBJECTS):
        options = _looked_at(options, arguments, data)
    return _trained(options, data, validation), validation


def _next(options: Any, folder: Path) -> str:
    """What to do with a run."""
    if isinstance(options, CaptureOptions):
        return f"unflat render {folder} --out out, or unflat report {folder} --out report"
    return f"unflat predict {folder} PHOTOS --out out"


def with_method(arguments: Sequence[str]) -> tuple[Sequence[str], str]:
    """The arguments with a method's name among them, and why it was taken where the user named data alone."""
    words = _words(arguments)
    known = {entry.name for entry in catalogue.methods()}
    if not words or any(word in known for word in words) or not is_named(words[0]):
        return arguments, ""
    kind = kind_of(words[0])
    method = DEFAULTS[kind]
    what = "a capture (posed pictures of one scene)" if kind == "Capture" else "photos of a kind of object"
    return [method, *arguments], f"{words[0]} is {what}: {method} is taken; `unflat list` has all methods"


def _words(arguments: Sequence[str]) -> list[str]:
    """Arguments that are neither options nor what stands behind one."""
    flags = {"--resume", "--no-resume", "--tiny", "--quiet", "--json", "--help", "-h"}
    behind = [False, *(a.startswith("-") and "=" not in a and a not in flags for a in arguments)]
    return [word for word, after in zip(arguments, behind, strict=False) if not after and not word.startswith("-")]


def _looked_at(options: Any, arguments: Sequence[str], data: Any) -> Any:
    """The options for a user's own data: what these cannot teach is told, and settings that nobody chose are fitted."""
    for warning in _warnings(data):
        print(f"warning: {warning}")
    if options.tiny or _named_experiment(arguments):
        return options
    chosen = catalogue.experiment(options.method, options.experiment)
    asked = replace(chosen, config=options.config, training=options.training)
    suited, reasons = chosen.method.suited(asked, data, started=bool(options.start))
    fitted = _with_defaults(suited, arguments, options.experiment)
    told = [_told(setting, why, asked, suited, fitted) for setting, why in reasons.items()]
    if any(told):
        print("\n".join(["settings for these data (an option that you give wins):", *filter(None, told)]))
    return replace(options, config=fitted.config, training=fitted.training)


def _warnings(data: Any) -> Sequence[str]:
    from unflat.data.kinds import Photos

    if not isinstance(data, Photos):
        from unflat.data.capture_checks import rig_warnings

        return rig_warnings(data.viewpoints, data.scene)
    from unflat.data.variety import variety_warnings

    return variety_warnings(data)


def _told(setting: str, why: str, usual: Any, suited: Any, fitted: Any) -> str:
    """A setting that was chosen, as the option that would set it, and why; nothing if the user has set it."""
    part, _, name = setting.partition(".")
    before, value, taken = (getattr(getattr(settings, part), name) for settings in (usual, suited, fitted))
    if value != taken:
        return ""
    return f"  --{part}.{name.replace('_', '-')} {_plain(value)} (usually {_plain(before)}): {why}"


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def options_of(arguments: Sequence[str]) -> Any:
    """The options, with `config` and `training` of the method and experiment that the arguments name."""
    words = _words(arguments)
    known = {entry.name for entry in catalogue.methods()}
    method = next((word for word in words if word in known), next(iter(words), ""))  # options may stand before it
    if not method:
        return parsed(TrainOptions, arguments, "train")  # it has not been said which; help or a complaint
    try:
        entry = catalogue.find(method)
    except catalogue.UnknownMethod as error:
        raise catalogue.UnknownMethod(
            f"{error} Nor is {method!r} data: there is no file or folder of that name."
        ) from error
    name = _experiment_name(entry, arguments)
    chosen = catalogue.experiment(method, name)
    if "--tiny" in arguments:
        steps = min(chosen.training.steps, TINY_STEPS)
        chosen = replace(chosen, training=replace(chosen.training, steps=steps))
    return _with_defaults(_as_started(chosen, arguments), arguments, name)


def _as_started(chosen: Any, arguments: Sequence[str]) -> Any:
    """The experiment with the settings of the weights to begin from, if there are any."""
    start = _given(arguments, "--start")
    if not start:
        return chosen
    from unflat.training.run import as_started

    return as_started(chosen, start)


def _with_defaults(chosen: Any, arguments: Sequence[str], name: str) -> Any:
    """The options; settings that the arguments leave out are those of an experiment called `name`."""
    entry = catalogue.find(catalogue.name_of(chosen.method))
    fields: list[Any] = [
        ("config", type(chosen.config), field(default=chosen.config)),
        ("training", type(chosen.training), field(default=chosen.training)),
    ]
    kind = KINDS.get(entry.takes, TrainOptions)
    options = make_dataclass("TrainOptions", fields, bases=(kind,), frozen=True)
    told = f"{entry.title}\n\nThe settings below are those of the experiment `{name}`: {entry.says(name)}"
    return replace(parsed(options, arguments, "train", told), experiment=name)


def _experiment_name(entry: catalogue.Entry, arguments: Sequence[str]) -> str:
    """The experiment that is asked for, or the one that fits the machine."""
    if named := _named_experiment(arguments):
        return named
    if "--tiny" in arguments and "tiny" in entry.experiments:
        return "tiny"
    import torch

    return entry.usual_experiment(torch.cuda.is_available())


def _named_experiment(arguments: Sequence[str]) -> str:
    return _given(arguments, "--experiment")


def _given(arguments: Sequence[str], option: str) -> str:
    """What stands behind an option, as `--option value` or `--option=value`; empty where it is not given."""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.partition("=")[0] == option:
            return argument.partition("=")[2] or after
    return ""


def name_of(data: str) -> str:
    """What DATA is called in the name of a run's folder."""
    return Path(data).stem


def folder_of(method: str, called: str) -> Path:
    """Where a run goes that was not told."""
    return Path("runs") / f"{method}-{called}"


def _trained(options: Any, data: Any, validation: Any) -> "Run":
    from unflat.training.run import train as train_method
    from unflat.training.trainer import Diverged

    out = options.out or folder_of(options.method, name_of(options.data) or options.experiment.replace("/", "-"))
    print(f"{options.method} with the settings of experiment {options.experiment} into {out}")
    try:
        return train_method(
            options.method,
            data,
            out=out,
            config=options.config,
            training=options.training,
            experiment="" if options.data else options.experiment,
            validation=validation,
            start=options.start or None,
            resume=options.resume,
            quiet=options.quiet,
        )
    except Diverged as error:
        raise ValueError(str(error)) from error  # settings that do not work are the user's to change


def _data(options: Any) -> tuple[Any, Any]:
    """What to learn from and to validate with; None for the experiment's own."""
    if not options.data:
        return None, None
    taken, given = catalogue.find(options.method).takes, kind_of(options.data)
    if isinstance(options, CaptureOptions):
        space = None if options.space == "auto" else options.space
        return learned_and_validating(
            options.data, side=options.side, reader=options.reader, space=space, tiny=options.tiny
        )
    if given != taken:
        raise ValueError(
            f"{options.method} takes {taken}, and {options.data} is a {given} (posed pictures of one scene): take "
            f"{DEFAULTS[given]}, or leave the method out"
        )
    limit = min(options.limit or TINY_PHOTOS, TINY_PHOTOS) if options.tiny else options.limit
    data = photos_of(options.data, options.size, options.crop, split="train", limit=limit, minimum=2)
    if options.validation:
        return data, photos_of(options.validation, options.size, options.crop, split="val", limit=limit)
    return held_out(options.data, data, options.crop)
