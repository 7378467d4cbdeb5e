"""`unflat train`: learn from photos. Its options are built for the one method that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unflat import catalogue
from unflat.cli.parsing import Count, Flag, Folder, MaybeData, Method, Text, only_json, parsed, print_json
from unflat.cli.sources import WORLDS, held_out, photos_of

if TYPE_CHECKING:
    from unflat.training.run import Run

TINY_PHOTOS = 64
"""`--tiny` looks at no more"""
TINY_STEPS = 3
"""and takes no more"""


@dataclass(frozen=True)
class TrainOptions:
    """Learn from photos of one kind of object.

    The same command goes on where it stopped, however it was stopped. What else METHOD lets you set is listed by
    `unflat train METHOD --help`.
    """

    method: Method
    """a name from `unflat list`"""
    data: MaybeData = ""
    """a folder, a glob in quotes, a video, or generated faces: faces:20000. Left out: the experiment's own data"""
    experiment: Text = ""
    """whose settings (and data, if you give none) are taken: a name from `unflat show METHOD`, or EXPERIMENT/ROW
    for a row of its paper's table. Left out: `small` on a CPU, the paper's on a GPU, fitted to your photos"""
    out: Folder = None
    """the run's folder: weights, logs and sample pictures. Left out: runs/METHOD-DATA"""
    start: Text = ""
    """weights to begin from, for fine-tuning, with their settings: a run's folder, a file, or a shipped name such as
    faces"""
    crop: Text = ""
    """square crop of each photo: centre, face, alpha, none, or a table of boxes (file x0 y0 w h). Left out: centre"""
    size: int = 64
    """pixels a side after cropping"""
    limit: Count = None
    """take only so many of the photos"""
    validation: Text = ""
    """as DATA, to choose the best weights with. Left out: a twentieth of the photos is held out, from 100 photos on"""
    resume: Flag = True
    """go on with the run that is in the folder already"""
    tiny: Flag = False
    """a few seconds, to see that everything works"""
    quiet: Flag = False
    """no progress"""
    json: Flag = False
    """for scripts: the run's folder and figures as one object"""


def train(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    with only_json(options.json):
        data, validation = _data(options)
        if options.data and options.data.partition(":")[0] not in WORLDS:
            options = _looked_at(options, arguments, data)
        run = _trained(options, data, validation)
        from unflat.training.parallel import Processes

        if not Processes.join().first:  # one is enough to say it
            return
        weights = run.folder / "weights.safetensors"
        print("".join(f"\nwarning: {warning}" for warning in run.warnings))
        print(f"The weights are in {weights}. Now: unflat predict {run.folder} PHOTOS --out out")
    if options.json:
        said = {"run": str(run.folder), "weights": str(weights), "figures": run.figures, "warnings": run.warnings}
        print_json(said)


def _looked_at(options: Any, arguments: Sequence[str], data: Any) -> Any:
    """The options for a user's own data: what these cannot teach is told, and settings that nobody chose are fitted."""
    from unflat.data.kinds import Photos
    from unflat.data.variety import variety_warnings

    for warning in variety_warnings(data) if isinstance(data, Photos) else ():
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
    return fitted


def _told(setting: str, why: str, usual: Any, suited: Any, fitted: Any) -> str:
    """A setting that was chosen, as the option that would set it, and why; nothing if the user has set it."""
    part, _, name = setting.partition(".")
    before, value, taken = (getattr(getattr(settings, part), name) for settings in (usual, suited, fitted))
    if value != taken:
        return ""
    return f"  --{part}.{name.replace('_', '-')} {_plain(value)} (usually {_plain(before)}): {why}"


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _options(arguments: Sequence[str]) -> Any:
    """The options, with `config` and `training` of the method and experiment that the arguments name."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    known = {entry.name for entry in catalogue.methods()}
    method = next((word for word in words if word in known), next(iter(words), ""))  # options may stand before it
    if not method:
        return parsed(TrainOptions, arguments, "train")  # it has not been said which; help or a complaint
    entry = catalogue.find(method)
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
    options = make_dataclass("TrainOptions", fields, bases=(TrainOptions,), frozen=True)
    told = f"{entry.title}\n\nThe settings below are those of the experiment `{name}`: {entry.says(name)}"
    return replace(parsed(options, arguments, "train", told), experiment=name)


def _experiment_name(entry: catalogue.Entry, arguments: Sequence[str]) -> str:
    """The experiment that is asked for, or the one that fits the machine."""
    if named := _named_experiment(arguments):
        return named
    if "--tiny" in arguments and "tiny" in entry.experiments:
        return "tiny"
    import torch

    first = next(iter(entry.experiments))
    return first if torch.cuda.is_available() or "small" not in entry.experiments else "small"


def _named_experiment(arguments: Sequence[str]) -> str:
    return _given(arguments, "--experiment")


def _given(arguments: Sequence[str], option: str) -> str:
    """What stands behind an option, as `--option value` or `--option=value`; empty where it is not given."""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.partition("=")[0] == option:
            return argument.partition("=")[2] or after
    return ""


def _trained(options: Any, data: Any, validation: Any) -> "Run":
    from unflat.training.run import train as train_method
    from unflat.training.trainer import Diverged

    called = Path(options.data).stem or options.experiment.replace("/", "-")
    out = options.out or Path("runs") / f"{options.method}-{called}"
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
    """Photos to learn from and to validate with; None for the experiment's own."""
    limit = min(options.limit or TINY_PHOTOS, TINY_PHOTOS) if options.tiny else options.limit
    if not options.data:
        return None, None
    data = photos_of(options.data, options.size, options.crop, split="train", limit=limit, minimum=2)
    if options.validation:
        return data, photos_of(options.validation, options.size, options.crop, split="val", limit=limit)
    return held_out(options.data, data, options.crop)
