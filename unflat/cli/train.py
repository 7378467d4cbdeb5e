"""`unflat train`: learn from photos. Its options are built for the one method that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unflat import catalogue
from unflat.cli.parsing import Count, Flag, Folder, MaybeData, Method, Text, only_json, parsed, print_json
from unflat.cli.sources import held_out, photos_of

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
    for a row of its paper's table. Left out: `small` on a CPU, the paper's on a GPU"""
    out: Folder = None
    """the run's folder: weights, logs and sample pictures. Left out: runs/METHOD-DATA"""
    start: Text = ""
    """weights to begin from, for fine-tuning: a run's folder, a file, or a shipped name such as faces"""
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
    """a few seconds instead of hours, to see that everything works"""
    quiet: Flag = False
    """no progress"""
    json: Flag = False
    """for scripts: the run's folder and figures as one object"""


def train(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    with only_json(options.json):
        run = _trained(options)
        weights = run.folder / "weights.safetensors"
        print(f"\nThe weights are in {weights}. Now: unflat predict {run.folder} PHOTOS --out out")
    if options.json:
        print_json({"run": str(run.folder), "weights": str(weights), "figures": run.figures})


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
    training = (
        replace(chosen.training, steps=min(chosen.training.steps, TINY_STEPS))
        if "--tiny" in arguments
        else chosen.training
    )
    fields: list[Any] = [
        ("config", type(chosen.config), field(default=chosen.config)),
        ("training", type(training), field(default=training)),
    ]
    options = make_dataclass("TrainOptions", fields, bases=(TrainOptions,), frozen=True)
    told = f"{entry.title}\n\nThe settings below are those of the experiment `{name}`: {entry.says(name)}"
    return replace(parsed(options, arguments, "train", told), experiment=name)


def _experiment_name(entry: catalogue.Entry, arguments: Sequence[str]) -> str:
    """The experiment that is asked for, or the one that fits the machine."""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument.partition("=")[0] == "--experiment":
            return argument.partition("=")[2] or after
    if "--tiny" in arguments and "tiny" in entry.experiments:
        return "tiny"
    import torch

    first = next(iter(entry.experiments))
    return first if torch.cuda.is_available() or "small" not in entry.experiments else "small"


def _trained(options: Any) -> "Run":
    from unflat.training.run import train as train_method
    from unflat.training.trainer import Diverged

    data, validation = _data(options)
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
