"""Training as a user asks for it: a method, data and a folder in which everything ends up.

A run's folder holds settings.json, weights.safetensors (complete in itself), checkpoints/, log.jsonl, samples/,
evaluation.json and, where TensorBoard is installed, tensorboard/.
"""

import shutil
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from unflat import catalogue
from unflat.kernels.threads import share_threads
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.training import checkpoint
from unflat.training.experiment import Experiment, made
from unflat.training.lock import alone
from unflat.training.settings import Training, seed_of
from unflat.training.trainer import Trainer
from unflat.worlds.source import CaptureSource, PhotoSource

RUN_FILES = ("settings.json", "weights.safetensors", "log.jsonl", "evaluation.json")
RUN_FOLDERS = ("checkpoints", "samples", "tensorboard")


@dataclass(frozen=True)
class Run:
    """A finished training."""

    folder: Path
    method: Method
    figures: dict[str, float]
    """of the last evaluation; empty without validation data"""
    warnings: tuple[str, ...] = ()
    """symptoms of learning going wrong that the log showed, each with its step, a reason and a remedy"""


def train(
    method: str | type[Method],
    data: Any = None,
    *,
    out: str | Path,
    config: Any = None,
    training: Training | None = None,
    experiment: str = "",
    validation: Any = None,
    start: str | Path | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Run:
    """Train a method, by name or class, in the folder `out`; go on where a run there stopped unless told not to.

    `experiment` names one of the method's experiments: its data, settings and validation are taken where they are not
    given. Its settings are fitted to `data` that are given (see `Method.suited`), and said unless `quiet`; not to
    sources of generated photos, nor if `config` or `training` are given. `start` are weights to begin from: a run's
    folder, a file, or a shipped name; with an experiment, their settings of the method are taken.
    """
    cls: type[Method] = catalogue.load(method) if isinstance(method, str) else method
    if experiment:
        chosen = catalogue.experiment(catalogue.name_of(cls), experiment)
        if start is not None and config is None:
            chosen = as_started(chosen, start)
        data = chosen.data if data is None else data
        if data is chosen.data:
            validation = chosen.validation if validation is None else validation
        elif config is None and training is None and not isinstance(data, PhotoSource | CaptureSource):
            cls.check(data)
            usual = chosen
            chosen, reasons = cls.suited(usual, data, started=start is not None)
            if reasons and not quiet:
                print("settings chosen for these data (give `config` or `training` for your own):")
                for setting, why in reasons.items():
                    value, before = (reduce(getattr, setting.split("."), one) for one in (chosen, usual))
                    print(f"  {setting} = {value} (usually {before}): {why}")
        config, training = config or chosen.config, training or chosen.training
    if data is None:
        raise ValueError(f"there is nothing to train {cls.__name__} on: give data, or an experiment that has its own")
    folder, training = Path(out), training or Training()
    share_threads(training.threads)  # before the data are made: worlds have kernels, too
    data, validation = made(data), made(validation)
    cls.check(data)
    built = build(cls, config or cls.Config(), data.extent, training.seed)
    if start is not None and not (resume and checkpoint.checkpoints(folder)):
        file = checkpoint.find(start)
        checkpoint.load_start(built, checkpoint.read(file), str(file))
    if not resume:
        with alone(folder):
            forget(folder)  # only now: the weights to start from may lie in it
    trainer = Trainer(built, data, training, folder, validation, experiment, quiet=quiet)
    figures = trainer.fit()
    return Run(folder, trainer.result.eval(), figures, tuple(trainer.watch.told))


def as_started(experiment: Experiment, start: str | Path) -> Experiment:
    """The experiment with the settings of the weights to begin from: no others fit them.

    ValueError if they are of another method.
    """
    stored, method = checkpoint.read(checkpoint.find(start)), catalogue.name_of(experiment.method)
    if stored.header["method"] != method:
        raise ValueError(f"cannot start from {start}: it holds weights of {stored.header['method']}, not of {method}")
    return replace(experiment, config=stored.settings("config", type(experiment.config)))


def predict(run: Run | Method | str | Path, query: Any, *, device: str = "cpu") -> Prediction:
    """What a method makes of a query, such as photos, of any length.

    `run` is what `train` returned, a method, a run's folder, a file of weights, or the name of shipped weights; the
    last three are loaded onto `device`.
    """
    if isinstance(run, Run):
        run = run.method
    method = run if isinstance(run, Method) else checkpoint.load_method(run, device=device)
    return predict_in_pieces(method, query)


def build(cls: type[Method], config: Any, extent: Any, seed: int) -> Method:
    """A method with first weights that depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed))
        return cls(config, extent)


def forget(folder: Path) -> None:
    """Remove a run from its folder, and nothing else that is there."""
    if not (folder / "settings.json").is_file():
        return
    for name in RUN_FILES:
        (folder / name).unlink(missing_ok=True)
    for name in RUN_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
