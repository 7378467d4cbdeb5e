"""What every method must do, whatever it is: asked of each one that the catalogue finds, on its `tiny()` experiment."""

import dataclasses
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils import backend_registration

from unflat import catalogue
from unflat.catalogue import Entry
from unflat.data.kinds import Capture
from unflat.evaluation.compare import baseline_of, evaluate
from unflat.geometry.cameras import Cameras
from unflat.geometry.meshes import Mesh
from unflat.geometry.rotations import Rigid
from unflat.method import Light, Method, Prediction, joined, predict_in_pieces
from unflat.training import checkpoint
from unflat.training.experiment import Experiment, made
from unflat.training.run import build, train
from unflat.training.settings import Training, from_plain, to_plain

ENTRIES = catalogue.methods()
STEPS = 3
UNUSED = 0.05
"""share of the weights that the tiny settings may leave out, such as the head of a loss without weight"""
every_method = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@cache
def tiny(name: str) -> Experiment:
    found: Experiment = catalogue.experiment(name, "tiny")
    return found


@cache
def data(name: str, part: str = "data") -> Any:
    return made(getattr(tiny(name), part))


def asked(name: str) -> tuple[Any, tuple[int, int]]:
    """What `predict` can be given, from the test data, and the height and width of the pictures that it asks for."""
    test = data(name, "test")
    if not isinstance(test, Capture):
        return test, test.extent.size
    poses = [test.cameras(i).camera_from_world for i in range(len(test))]
    views = Rigid(torch.cat([p.rotation for p in poses]), torch.cat([p.translation for p in poses]))
    return Cameras(test.pinholes[0], views), (test.pinholes[0].height, test.pinholes[0].width)


@every_method
def test_a_radiance_field_can_be_asked_at_points(entry: Entry, folders: dict[str, Path]) -> None:
    if entry.family not in ("radiance", "surfaces", "robust"):
        pytest.skip("it is none")
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    points = torch.rand(50, 3, generator=generator) * 2 - 1
    with torch.inference_mode():
        value, colour = loaded(entry.name, folders).field(points, directions)
    assert value.shape == (50,) and value.isfinite().all()
    assert colour.shape == (50, 3) and colour.min() >= 0 and colour.max() <= 1


def fresh(name: str) -> Method:
    experiment = tiny(name)
    return build(experiment.method, experiment.config, data(name).extent, 0)


def training(steps: int, **changes: Any) -> Training:
    """The tiny experiment's, in single steps with one thread."""
    every = {"log_every": 1, "sample_every": 0, "validate_every": 0, "save_every": 1, "device": "cpu", "threads": 1}
    return dataclasses.replace(Training(rate=1e-3), steps=steps, **every, **changes)


def trained(name: str, folder: Path, steps: int = STEPS, **changes: Any) -> Method:
    """In the folder, from its last checkpoint on."""
    experiment = tiny(name)
    run = train(
        experiment.method,
        data(name),
        out=folder,
        config=experiment.config,
        training=training(steps, **changes),
        quiet=True,
    )
    return run.method


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of a few steps for every method."""
    found = {entry.name: tmp_path_factory.mktemp(entry.name) for entry in ENTRIES}
    for name, folder in found.items():
        trained(name, folder)
    return found


def loaded(name: str, folders: dict[str, Path]) -> Method:
    return checkpoint.load_method(folders[name])


def test_there_are_methods() -> None:
    assert ENTRIES


# -- the file -------------------------------------------------------------------------------------------------------


@every_method
def test_the_file_says_what_the_class_says(entry: Entry) -> None:
    cls = catalogue.load(entry.name)
    assert issubclass(cls, Method)
    assert (cls.__name__, cls.takes.__name__, cls.gives) == (entry.class_name, entry.takes, entry.gives)
    assert entry.title and all(entry.experiments.values()), "file and experiments begin with a line of docstring"
    assert "tiny" in entry.experiments


@every_method
def test_experiments_are_of_this_method_and_can_be_written_down(entry: Entry) -> None:
    for name in entry.experiments:
        experiment = catalogue.experiment(entry.name, name)
        assert experiment.method is catalogue.load(entry.name)
        for settings in (experiment.config, experiment.training):
            assert from_plain(type(settings), to_plain(settings)) == settings


@every_method
def test_published_figures_have_names_that_evaluation_gives(entry: Entry, folders: dict[str, Path]) -> None:
    figures = evaluate(loaded(entry.name, folders), data(entry.name, "test")).figures
    for name in entry.experiments:
        assert set(catalogue.experiment(entry.name, name).published) <= set(figures), name


@every_method
def test_the_tiny_experiment_runs_as_it_stands(entry: Entry, tmp_path: Path) -> None:
    run = train(entry.name, out=tmp_path, experiment="tiny", quiet=True)
    kept = checkpoint.read(tmp_path / "weights.safetensors").header["figures"]
    # what a method that sees nothing yet has no figure for, such as an error of depth, is null in the file
    assert kept == {name: None if np.isnan(value) else value for name, value in run.figures.items()}


# -- learning -------------------------------------------------------------------------------------------------------


@every_method
def test_losses_are_named_numbers_with_a_gradient(entry: Entry) -> None:
    method = fresh(entry.name)
    method.prepare(data(entry.name))
    losses = method.losses(next(method.batches(data(entry.name), 0, 0)), 0)
    assert losses.terms and all(term.dim() == 0 and term.isfinite() for term in losses.terms.values())
    assert losses.total.requires_grad and losses.total.isfinite()
    assert not any(torch.as_tensor(figure).requires_grad for figure in losses.figures.values())


@every_method
def test_batches_depend_on_seed_and_step_alone(entry: Entry) -> None:
    method = fresh(entry.name)
    method.prepare(data(entry.name))
    whole = method.batches(data(entry.name), 0, 5)
    third = [next(whole) for _ in range(3)][2]
    assert same(third, next(method.batches(data(entry.name), 2, 5)))
    assert not same(third, next(method.batches(data(entry.name), 2, 6)))


@every_method
def test_every_parameter_is_in_one_group_and_learns(entry: Entry, folders: dict[str, Path]) -> None:
    before, after = fresh(entry.name), loaded(entry.name, folders)
    grouped = [id(p) for group in before.parameter_groups() for p in group.parameters]
    wanted = {name: p for name, p in before.named_parameters() if p.requires_grad}
    assert len(grouped) == len(set(grouped)) == len(wanted)
    moved = dict(after.named_parameters())
    still = {name: p for name, p in wanted.items() if moved[name].shape == p.shape and moved[name].equal(p)}
    share = sum(p.numel() for p in still.values()) / sum(p.numel() for p in wanted.values())
    assert share < UNUSED, f"not touched by {STEPS} steps: {list(still)}"


@every_method
def test_a_stopped_run_goes_on_bit_for_bit(entry: Entry, tmp_path: Path, folders: dict[str, Path]) -> None:
    trained(entry.name, tmp_path, 1)
    resumed, whole = trained(entry.name, tmp_path), loaded(entry.name, folders)
    for name, value in whole.state_dict().items():
        assert resumed.state_dict()[name].equal(value), name


@every_method
def test_other_data_are_refused(entry: Entry) -> None:
    with pytest.raises(ValueError, match=f"{entry.class_name} takes {entry.takes}, but was given list"):
        catalogue.load(entry.name).check([])  # type: ignore[attr-defined]


# -- predicting -----------------------------------------------------------------------------------------------------


@every_method
def test_it_gives_what_it_says_and_nothing_else(entry: Entry, folders: dict[str, Path]) -> None:
    query, size = asked(entry.name)
    prediction = predict_in_pieces(loaded(entry.name, folders), query)
    assert set(prediction.filled) == set(entry.gives)
    check_prediction(prediction, len(query), size)


@every_method
def test_pieces_do_not_matter(entry: Entry, folders: dict[str, Path]) -> None:
    method, (query, size) = loaded(entry.name, folders), asked(entry.name)
    whole, pieces = predict_in_pieces(method, query), predict_in_pieces(method, query, 3)
    check_close(whole, pieces, entry.name)
    method.pixels_at_once = 3 * size[1]
    check_close(whole, predict_in_pieces(method, query), entry.name)
    one_by_one = joined([predict_in_pieces(method, query[i : i + 1]) for i in range(len(query))])
    check_close(whole, one_by_one, entry.name)


@every_method
def test_saved_and_loaded_it_answers_the_same(entry: Entry, tmp_path: Path, folders: dict[str, Path]) -> None:
    run, (query, _) = trained(entry.name, folders[entry.name]), asked(entry.name)
    check_close(
        predict_in_pieces(run, query), predict_in_pieces(loaded(entry.name, folders), query), entry.name, exact=True
    )
    checkpoint.save_weights(tmp_path / "w.safetensors", run, checkpoint.describe(run))
    again = checkpoint.load_method(tmp_path / "w.safetensors")
    check_close(predict_in_pieces(run, query), predict_in_pieces(again, query), entry.name, exact=True)


@every_method
def test_it_can_be_evaluated(entry: Entry, folders: dict[str, Path]) -> None:
    average = baseline_of(data(entry.name))
    evaluation = evaluate(loaded(entry.name, folders), data(entry.name, "test"), average=average)
    assert math.isfinite(evaluation.headline_value)
    of_kind = {"Photos": {"SIDE", "MAD", "coverage"}, "Capture": {"PSNR", "SSIM", "depth error"}}
    assert "depth" not in entry.gives or of_kind[entry.takes] <= set(evaluation.figures)


# -- helpers of this file -------------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Whether two batches (tensors, or dataclasses and tuples of them) are equal."""
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, (tuple, list)):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def check_close(one: Any, other: Any, where: str, exact: bool = False) -> None:
    """Two predictions are equal, or nearly: sums of another batch size are rounded otherwise.

    Nearly equal depths may still see another triangle at an edge, so a thousandth of the pixels may differ.
    """
    assert type(one) is type(other), where
    if isinstance(one, Tensor):
        assert one.shape == other.shape, where
        near = torch.isclose(one, other, rtol=0, atol=0 if exact else 1e-3, equal_nan=True)
        assert near.float().mean() >= (1 if exact else 0.999), where
    elif isinstance(one, tuple):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            check_close(a, b, f"{where}[{i}]", exact)
    elif dataclasses.is_dataclass(one):
        for f in dataclasses.fields(one):
            check_close(getattr(one, f.name), getattr(other, f.name), f"{where}.{f.name}", exact)
    else:
        assert one == other, where


def check_prediction(p: Prediction, count: int, size: tuple[int, int]) -> None:
    """Shapes and units, as `Prediction` says them."""
    maps = {"rgb": 3, "normals": 3, "albedo": 3, "depth": 0, "shading": 0, "opacity": 0, "confidence": 0}
    for name, channels in maps.items():
        value = getattr(p, name)
        if value is not None:
            assert value.shape == (count, *size) + (channels,) * (channels > 0), name
            assert value.dtype == torch.float32, name
    for name in ("rgb", "albedo", "opacity", "confidence"):
        value = getattr(p, name)
        assert value is None or (value.min() >= 0 and value.max() <= 1), name
    assert p.shading is None or p.shading.min() >= 0
    if p.depth is not None:
        known = ~p.depth.isnan()
        assert known.any() and (p.depth[known] > 0).all()
        assert p.opacity is None or torch.equal(known, p.opacity >= 0.5), "depth is NaN just where opacity is under 0.5"
    check_normals(p.normals)
    check_light(p.light, count)
    if p.cameras is not None:
        rotation = p.cameras.camera_from_world.rotation
        assert rotation.shape == (count, 3, 3) and p.cameras.camera_from_world.translation.shape == (count, 3)
        torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(count, 3, 3), rtol=0, atol=1e-5)
        assert (p.cameras.pinhole.height, p.cameras.pinhole.width) == size
    if p.mesh is not None:
        assert len(p.mesh) == count
        for mesh in p.mesh:
            check_mesh(mesh)
    if p.canonical is not None:
        check_prediction(p.canonical, count, size)


def check_normals(normals: Tensor | None) -> None:
    if normals is None:
        return
    known = normals[~normals.isnan().any(-1)]
    assert len(known)
    torch.testing.assert_close(known.norm(dim=-1), torch.ones(len(known)), rtol=0, atol=1e-4)
    assert (known[:, 2] <= 1e-4).float().mean() > 0.99, "normals point towards the camera, to negative z"


def check_light(light: Light | None, count: int) -> None:
    if light is None:
        return
    assert light.ambient.shape == light.diffuse.shape == (count,)
    assert light.ambient.min() >= 0 and light.diffuse.min() >= 0
    torch.testing.assert_close(light.direction.norm(dim=-1), torch.ones(count), rtol=0, atol=1e-5)


def check_mesh(mesh: Mesh) -> None:
    assert mesh.vertices.isfinite().all()
    assert mesh.triangles.min() >= 0 and mesh.triangles.max() < len(mesh.vertices)
    if mesh.uv is not None:
        assert mesh.uv.shape == (len(mesh.vertices), 2) and mesh.uv.min() >= 0 and mesh.uv.max() <= 1
        assert mesh.texture is not None and mesh.texture.min() >= 0 and mesh.texture.max() <= 1


def test_this_file_checks_what_it_says() -> None:
    """The checks fail on what is wrong."""
    good = Prediction(depth=torch.ones(2, 4, 4), opacity=torch.ones(2, 4, 4))
    check_prediction(good, 2, (4, 4))
    wrong = [
        dataclasses.replace(good, depth=-torch.ones(2, 4, 4)),
        dataclasses.replace(good, depth=torch.ones(2, 4, 4).index_fill(0, torch.tensor(0), torch.nan)),
        dataclasses.replace(good, opacity=torch.full((2, 4, 4), 1.5)),
        Prediction(depth=torch.ones(3, 4, 4)),
        dataclasses.replace(good, normals=torch.ones(2, 4, 4, 3)),
        dataclasses.replace(good, normals=torch.tensor([0.0, 0.0, 1.0]).expand(2, 4, 4, 3)),
        dataclasses.replace(good, light=Light(torch.ones(2), torch.ones(2), torch.ones(2, 3))),
    ]
    for prediction in wrong:
        with pytest.raises(AssertionError):
            check_prediction(prediction, 2, (4, 4))


def test_nothing_mixes_the_devices() -> None:
    """Without a GPU: on a device that torch takes for another one and that refuses tensors of the CPU."""
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no spare device that can be written in Python")
    names = [entry.name for entry in ENTRIES]
    command = [sys.executable, "-m", "tests.oracles.pretended_device", *names]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line for line in done.stdout.splitlines() if line in names] == names
