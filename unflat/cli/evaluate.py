"""`unflat evaluate`: figures of a run against the truth that data hold, and claims for the records."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unflat import catalogue
from unflat.cli.parsing import Count, Flag, MaybeData, Run, Text, only_json, parsed, print_json
from unflat.cli.sources import photos_of

if TYPE_CHECKING:
    from unflat.evaluation.figures import Evaluation
    from unflat.method import Method
    from unflat.training.experiment import Experiment

AVERAGED = 2000
"""training pictures whose mean is the average depth that a method is compared with"""


@dataclass(frozen=True)
class EvaluateOptions:
    """Compare what a run predicts with the truth, beside answers that know nothing of the picture."""

    run: Run
    """a run's folder, a file of weights, or the shipped face model: faces"""
    data: MaybeData = ""
    """photos with truth beside them, or generated faces that were not learned from: faces:1000. Left out: the test
    pictures of the experiment that was trained"""
    crop: Text = ""
    """square crop, as for predict"""
    limit: Count = None
    """take only so many of the pictures"""
    record: Flag = False
    """append the figures to benchmarks/results, as a claim (in a checkout, on the experiment's own test pictures)"""
    device: str = "cpu"
    """or cuda"""
    json: Flag = False
    """for scripts: figures over all pictures and for each, as one object"""


def evaluate(arguments: Sequence[str]) -> None:
    options = parsed(EvaluateOptions, arguments, "evaluate")
    with only_json(options.json):
        evaluation = _evaluated(options)
    if options.json:
        print_json(evaluation.to_json())


def _evaluated(options: EvaluateOptions) -> "Evaluation":
    from rich.console import Console

    from unflat.evaluation.compare import evaluate as compare
    from unflat.evaluation.photos import average_depth
    from unflat.training.checkpoint import find, load_method, read
    from unflat.training.experiment import made

    header = read(find(options.run)).header
    method = load_method(options.run, device=options.device)
    experiment = _experiment_of(header, options)
    if experiment is None:
        photos = photos_of(options.data, method.extent.size[0], options.crop, split="test", limit=options.limit)
        evaluation = compare(method, photos)
    else:
        evaluation = compare(method, made(experiment.test), average=average_depth(_some_of(experiment.data)))
    Console().print(evaluation.table())
    if options.record:
        assert experiment is not None, "said by _experiment_of"
        _record(evaluation, header, method, experiment, options)
    return evaluation


def _some_of(training_data: Any) -> Any:
    """Enough of the training pictures for their mean depth: generated ones need not all be rendered for it."""
    from unflat.training.experiment import made
    from unflat.worlds.faces import Faces

    if isinstance(training_data, Faces):
        return replace(training_data, count=min(training_data.count, AVERAGED)).photos()
    return made(training_data)[:AVERAGED]


def _experiment_of(header: dict[str, Any], options: EvaluateOptions) -> "Experiment | None":
    """The experiment whose test pictures are asked for; None where the user names data. ValueError without any."""
    name = header.get("experiment") or ""
    if not options.data and (options.crop or options.limit is not None):
        raise ValueError("--crop and --limit are about DATA, and the experiment's own test pictures are as they are")
    if options.data:
        if options.record:
            raise ValueError("a claim is made on the experiment's own test pictures: leave DATA out, or --record")
        return None
    if not name:
        raise ValueError(f"{options.run} was trained on your own photos: say on what to evaluate it, as in faces:1000")
    experiment: Experiment = catalogue.experiment(header["method"], name)
    if experiment.test is None:
        raise ValueError(f"experiment {name} of {header['method']} names no test pictures: give DATA, as in faces:1000")
    return experiment


def _record(
    evaluation: "Evaluation", header: dict[str, Any], method: "Method", experiment: "Experiment", options: Any
) -> None:
    """Append the figures, with the published ones beside them if this is the experiment as it stands."""
    from unflat import records
    from unflat.training.settings import WITHOUT_EFFECT, to_plain

    training = header.get("training") or {}
    told, meant = {**training, **header["config"]}, {**to_plain(experiment.training), **to_plain(experiment.config)}
    changed = [key for key, value in meant.items() if told.get(key) != value and key not in {*WITHOUT_EFFECT, "seed"}]
    name = header["experiment"] + "".join(f", {key} {told.get(key)}" for key in changed)
    blank = records.Record(
        method=header["method"],
        experiment=name,
        metric="",
        ours=math.nan,
        better="lower",
        seed=training.get("seed"),
        seconds=_training_seconds(Path(options.run) / "log.jsonl", header["config"].get("batch_size", 0)),
        memory=_peak_memory(),
        command=f"unflat evaluate {options.run} --record",
        note=f"{training.get('steps')} steps, {sum(p.numel() for p in method.parameters())} parameters",
    )
    # an ablation has to reach nothing: neither the published figures nor the floors are its own
    ablation = bool(changed) or experiment.applied is not None
    published, floors = ({}, {}) if ablation else (experiment.published, evaluation.floors)
    path = records.append(evaluation.records(blank, published, floors=floors))
    print(f"recorded in {path}")


def _training_seconds(log: Path, batch: int) -> float | None:
    """What the steps took, from the run's log; None where there is none."""
    if not log.is_file() or not batch:
        return None
    from unflat.training.log import read_log

    lines = [line for line in read_log(log) if line.get("images_per_second")]
    steps = [0, *(line["step"] for line in lines)]
    return sum(batch * (b - a) / line["images_per_second"] for a, b, line in zip(steps, steps[1:], lines, strict=False))


def _peak_memory() -> float | None:
    """The largest resident size of this process in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
