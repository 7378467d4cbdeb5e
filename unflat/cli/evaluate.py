"""`unflat evaluate`: figures of a run against the truth that data hold, and claims for the records."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unflat import catalogue
from unflat.cli.parsing import Count, Flag, Folder, MaybeData, Run, Text, only_json, parsed, print_json
from unflat.cli.sources import held_out_of, photos_of

if TYPE_CHECKING:
    from unflat.data.kinds import Capture
    from unflat.evaluation.figures import Evaluation
    from unflat.method import Method
    from unflat.records import Record, Side
    from unflat.training.experiment import Experiment

AVERAGED = 2000
"""training pictures whose mean is the average depth that a method is compared with"""


@dataclass(frozen=True)
class EvaluateOptions:
    """Compare what a run predicts with the truth: photos' shape, beside answers that know nothing of the picture, or a
    capture's pictures that were not learned from, each and on average (PSNR, SSIM, LPIPS)."""

    run: Run
    """a run's folder, a file of weights, or the shipped face model: faces"""
    data: MaybeData = ""
    """photos with truth beside them, or generated faces that were not learned from: faces:1000. Of a run on a capture,
    a capture of the same scene. Left out: the test pictures of the run's capture, or of the experiment that was
    trained"""
    crop: Text = ""
    """photos: square crop, as for predict"""
    limit: Count = None
    """take only so many of the pictures; of a capture, spread over all"""
    side: Count = None
    """captures: pixels of the longer side. Left out: as the run's"""
    reader: Text = ""
    """captures: blender, nerfstudio, colmap or llff. Left out: as the run's"""
    lpips: Folder = None
    """captures: a folder with weights of LPIPS (see docs/captures.md). Left out: no LPIPS"""
    backbone: Literal["vgg", "alex"] = "vgg"
    """captures: of LPIPS"""
    pictures: Folder = None
    """captures: write each picture beside the method's, with its error and depth, into this folder"""
    record: Flag = False
    """append the figures to benchmarks/results, as a claim (in a checkout; of photos, on the experiment's own test
    pictures)"""
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
    from unflat.training.checkpoint import find, load_method, read

    header = read(find(options.run)).header
    method = load_method(options.run, device=options.device)
    capture = method.extent.scene is not None
    _refuse_options_of_the_other(options, capture)
    return _on_capture(options, header, method) if capture else _on_photos(options, header, method)


def _refuse_options_of_the_other(options: EvaluateOptions, capture: bool) -> None:
    """ValueError for options that would do nothing."""
    of_captures = {"side": None, "reader": "", "lpips": None, "pictures": None}
    for name, left_out in ({"crop": ""} if capture else of_captures).items():
        if getattr(options, name) != left_out:
            kind, other = ("a capture", "photos") if capture else ("photos", "captures")
            raise ValueError(f"--{name} is about {other}, and {options.run} has learned from {kind}: leave it out")


def _on_photos(options: EvaluateOptions, header: dict[str, Any], method: "Method") -> "Evaluation":
    from rich.console import Console

    from unflat.evaluation.compare import evaluate as compare
    from unflat.evaluation.photos import average_depth
    from unflat.training.experiment import made

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


def _on_capture(options: EvaluateOptions, header: dict[str, Any], method: "Method") -> "Evaluation":
    from rich.console import Console

    from unflat.evaluation.captures import evaluate_capture
    from unflat.metrics.lpips import LPIPS

    network = None if options.lpips is None else LPIPS.load(options.lpips, options.backbone).to(options.device)
    held_out = held_out_of(header, options.data, side=options.side, reader=options.reader)
    if options.limit is not None:
        held_out = held_out.spread(options.limit)
    look = None
    if options.pictures is not None:
        from unflat.outputs.comparisons import Comparisons

        look = Comparisons(method, held_out, options.pictures)
    evaluation = evaluate_capture(method, held_out, network, look)
    Console().print(evaluation.per_view_table(), evaluation.table())
    if look is not None:
        print(f"{len(look.files)} pictures beside the method's: {options.pictures}")
    if options.record:
        _record_capture(evaluation, header, method, held_out, options)
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
    changed = _changed(header, experiment)
    blank = _blank(header, method, header["experiment"] + "".join(f", {said}" for said in changed), options)
    # an ablation has to reach nothing: neither the published figures nor the floors are its own
    ablation = bool(changed) or experiment.applied is not None
    published, floors = ({}, {}) if ablation else (experiment.published, evaluation.floors)
    _append(evaluation, blank, published, floors)


def _record_capture(
    evaluation: "Evaluation", header: dict[str, Any], method: "Method", held_out: "Capture", options: EvaluateOptions
) -> None:
    """Append the figures: of the experiment's own test pictures as those of photos, with the published ones; of a
    user's capture under its name, by themselves."""
    own = bool(header.get("experiment")) and not options.data and options.limit is None and options.side is None
    if own:
        experiment: Experiment = catalogue.experiment(header["method"], header["experiment"])
        _record(evaluation, header, method, experiment, options)
        return
    source = str(held_out.origin.get("source") or options.data or header.get("experiment"))
    side = max(max(pinhole.width, pinhole.height) for pinhole in held_out.pinholes)
    blank = _blank(header, method, f"capture {Path(source).name}", options)
    note = f"{blank.note}; {len(held_out)} pictures of {source}, {side} pixels"
    _append(evaluation, replace(blank, note=note), {}, {})


def _changed(header: dict[str, Any], experiment: "Experiment") -> list[str]:
    """The settings in which a run differs from its experiment."""
    from unflat.training.settings import WITHOUT_EFFECT, to_plain

    told = {**(header.get("training") or {}), **header["config"]}
    meant = {**to_plain(experiment.training), **to_plain(experiment.config)}
    without_effect = {*WITHOUT_EFFECT, "seed"}
    return [f"{k} {told.get(k)}" for k, value in meant.items() if told.get(k) != value and k not in without_effect]


def _blank(header: dict[str, Any], method: "Method", experiment: str, options: EvaluateOptions) -> "Record":
    """A record of the run, without a figure."""
    from unflat import records

    training = header.get("training") or {}
    data = f" {options.data}" if options.data else ""
    network = f"; LPIPS ({options.backbone})" if options.lpips else ""
    return records.Record(
        method=header["method"],
        experiment=experiment,
        metric="",
        ours=math.nan,
        better="lower",
        seed=training.get("seed"),
        seconds=_training_seconds(Path(options.run) / "log.jsonl", header["config"].get("batch_size", 0)),
        memory=_peak_memory(),
        command=f"unflat evaluate {options.run}{data} --record",
        note=f"{training.get('steps')} steps, {sum(p.numel() for p in method.parameters())} parameters{network}",
    )


def _append(
    evaluation: "Evaluation",
    blank: "Record",
    published: Mapping[str, float],
    floors: "Mapping[str, tuple[float, Side]]",
) -> None:
    from unflat import records

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
