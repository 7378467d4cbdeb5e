"""Evaluation of methods whose answers are known: right, flat, inverted, half there."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from unflat.data.kinds import Extent, Photos
from unflat.evaluation.photos import average_depth
from unflat.evaluation.photos import evaluate_photos as evaluate
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.records import Record

SIZE = 16
Answer = Callable[[Photos], Prediction]


class Oracle(Method, takes=Photos, gives=("depth",)):
    """Answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(SimpleNamespace(), Extent(1, (SIZE, SIZE)))
        self.answer = answer

    def predict(self, query: Photos) -> Prediction:
        assert not self.training and torch.is_inference_mode_enabled()
        return self.answer(query)


def domes(count: int = 5, seed: int = 0) -> Photos:
    """Domes that bulge towards the camera, of several heights, seen from several sides."""
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, SIZE)
    radius = across[:, None] ** 2 + across[None, :] ** 2
    height = rng.uniform(0.02, 0.06, (count, 1, 1))
    depth = np.where(radius < 0.9, 1 - height * (0.9 - radius), np.nan).astype(np.float32)
    view = np.zeros((count, 6), np.float32)
    view[:, 1] = rng.uniform(-0.7, 0.7, count)
    rgb = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return Photos(rgb, [f"dome {i}" for i in range(count)], depth=depth, view=view)


def depth_as(change: Callable[[Tensor], Tensor]) -> Answer:
    return lambda photos: Prediction(depth=change(torch.tensor(photos.depth)))


def cameras(photos: Photos, slope: float) -> Cameras:
    assert photos.view is not None
    turns = torch.tensor(photos.view[:, :3]) * slope + torch.tensor([0.0, 0.1, 0.0])
    pinhole = Pinhole.across_centres(SIZE, math.radians(10))
    return Cameras(pinhole, Rigid(rotation_from_euler(turns), torch.zeros(len(photos), 3)))


def test_the_truth_scores_perfectly_and_its_twin_does_not() -> None:
    result = evaluate(Oracle(depth_as(lambda depth: depth)), domes(), piece=2)
    f = result.figures
    assert f["SIDE"] == pytest.approx(0, abs=1e-4) and f["MAD"] == pytest.approx(0, abs=1e-3)
    assert f["coverage"] == f["better than the twin"] == f["bulging"] == f["scored"] == 1
    assert f["SIDE of the twin"] > 1 and f["SIDE, constant depth"] > f["SIDE, average depth"] > 0
    assert f["SIDE / average depth"] == pytest.approx(0, abs=1e-3)
    assert result.warnings == () and result.headline == "SIDE"


def test_a_flat_answer_scores_as_constant_depth() -> None:
    f = evaluate(Oracle(depth_as(lambda depth: torch.ones_like(depth))), domes()).figures
    assert f["SIDE"] == pytest.approx(f["SIDE, constant depth"]) and f["MAD / constant depth"] == pytest.approx(1)


def test_the_average_answer_scores_as_average_depth() -> None:
    average = average_depth(domes(40, seed=1))
    assert average is not None
    f = evaluate(Oracle(depth_as(lambda depth: average.expand_as(depth))), domes(), average=average).figures
    assert f["SIDE"] == pytest.approx(f["SIDE, average depth"]) and f["MAD"] == pytest.approx(f["MAD, average depth"])


def test_an_inverted_answer_is_found_out() -> None:
    result = evaluate(Oracle(depth_as(lambda depth: 2 - depth)), domes())
    assert result.figures["better than the twin"] == result.figures["bulging"] == 0
    assert "nearer to the truth on 100% of the pictures: the solution is inverted" in result.warnings[0]


def test_uncovered_pixels_are_counted_and_not_scored() -> None:
    def half(depth: Tensor) -> Tensor:
        return torch.where(torch.arange(SIZE) < SIZE // 2, depth, torch.nan)

    f = evaluate(Oracle(depth_as(half)), domes()).figures
    assert f["SIDE"] == pytest.approx(0, abs=1e-4) and 0.3 < f["coverage"] < 0.5
    whole = evaluate(Oracle(depth_as(lambda depth: depth)), domes()).figures
    assert f["SIDE, constant depth"] < whole["SIDE, constant depth"], "the baseline is not on the same pixels"


def test_pictures_without_a_common_pixel_are_said_to_be_missing() -> None:
    def first_gone(depth: Tensor) -> Tensor:
        depth[0] = torch.nan
        return depth

    result = evaluate(Oracle(depth_as(first_gone)), domes())
    assert result.figures["scored"] == 0.8 and math.isnan(result.per_image["SIDE"][0])
    assert "20.0% of the pictures have no pixel that could be compared" in result.warnings
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["per_image"]["SIDE"][0] is None


def test_pieces_do_not_matter() -> None:
    method = Oracle(depth_as(lambda depth: depth + 0.01 * depth.nan_to_num(1).cumsum(-1) / SIZE))
    one, other = evaluate(method, domes(), piece=1), evaluate(method, domes(), piece=64)
    assert one.figures == pytest.approx(other.figures)
    whole, pieces = (predict_in_pieces(method, domes(), piece).depth for piece in (64, 2))
    torch.testing.assert_close(whole, pieces, rtol=0, atol=0, equal_nan=True)


def test_views_are_compared_up_to_a_constant_turn() -> None:
    f = evaluate(Oracle(lambda photos: Prediction(cameras=cameras(photos, 0.5))), domes(20)).figures
    assert f["yaw slope"] == pytest.approx(0.5, abs=1e-4) and f["yaw correlation"] == pytest.approx(1, abs=1e-5)
    assert f["yaw spread"] == pytest.approx(0.5 * f["true yaw spread"], rel=1e-4)


def test_views_that_do_not_vary_are_warned_about() -> None:
    photos = replace(domes(20), view=np.asarray(domes(20).view) * 0.05)
    result = evaluate(Oracle(lambda p: Prediction(cameras=cameras(p, 1.0))), photos)
    assert result.figures["yaw spread"] < 1.7
    assert "shape cannot be seen from photos that all look from one side" in result.warnings[0]


def test_without_truth_there_is_reconstruction() -> None:
    """Half of the picture is explained, and that half is 0.1 too bright."""

    def answer(photos: Photos) -> Prediction:
        opacity = torch.zeros(len(photos), SIZE, SIZE)
        opacity[:, : SIZE // 2] = 1
        return Prediction(rgb=torch.tensor(photos.rgb) / 255 + 0.1, opacity=opacity)

    photos = domes()
    result = evaluate(Oracle(answer), Photos(photos.rgb, photos.names))
    assert result.figures == pytest.approx({"seen": 0.5, "reconstruction": 0.1})
    assert result.headline == "reconstruction" and result.floors == {}


def test_nothing_scored_is_never_the_best() -> None:
    result = evaluate(Oracle(depth_as(lambda depth: depth * torch.nan)), domes())
    assert result.headline_value == math.inf


def test_average_depth_is_the_mean_where_the_object_is() -> None:
    depth = np.full((3, 2, 2), np.nan, np.float32)
    depth[0, 0, 0], depth[1, 0, 0], depth[2, 0, 1] = 1.0, 1.2, 0.9
    photos = Photos(np.zeros((3, 2, 2, 3), np.uint8), "abc", depth=depth)
    average = average_depth(photos, piece=2)
    assert average is not None
    torch.testing.assert_close(average, torch.tensor([[1.1, 0.9], [1.0, 1.0]]).double(), rtol=0, atol=1e-6)
    assert average_depth(Photos(photos.rgb, photos.names)) is None


def test_uncovered_pixels_count_as_constant_depth_in_the_filled_figures() -> None:
    """A method that covers half scores as one that says 1 in the other half; the baselines are those of all pixels."""

    def half(depth: Tensor) -> Tensor:
        return torch.where(torch.arange(SIZE) < SIZE // 2, depth, torch.nan)

    f = evaluate(Oracle(depth_as(half)), domes()).figures
    told = evaluate(Oracle(depth_as(lambda depth: half(depth).nan_to_num(1.0))), domes()).figures
    whole = evaluate(Oracle(depth_as(lambda depth: depth)), domes()).figures
    nothing = evaluate(Oracle(depth_as(lambda depth: depth * torch.nan)), domes()).figures
    for metric in ("SIDE", "MAD"):
        assert f[f"{metric}, filled"] == pytest.approx(told[metric]) and f[metric] == pytest.approx(0, abs=1e-3)
        for baseline in ("average depth", "constant depth"):
            assert f[f"{metric}, filled, {baseline}"] == pytest.approx(whole[f"{metric}, {baseline}"])
        assert nothing[f"{metric}, filled"] == pytest.approx(whole[f"{metric}, constant depth"])
        share = f[f"{metric}, filled"] / whole[f"{metric}, average depth"]
        assert f[f"{metric}, filled / average depth"] == pytest.approx(share)


def with_landmarks(count: int = 40) -> Photos:
    """Domes with landmarks at random places, some outside the object, each with the depth of a dome without an end."""
    photos, rng = domes(count), np.random.default_rng(5)
    where = rng.uniform(0, SIZE, (count, 6, 2))
    assert photos.depth is not None
    height = (1 - np.nanmin(photos.depth, (1, 2)))[:, None] / 0.9
    radius = ((where / SIZE * 2 - 1) ** 2).sum(-1)
    depth = 1 - height * (0.9 - radius)
    return replace(photos, landmarks=np.concatenate([where, depth[..., None]], -1).astype(np.float32))


@pytest.mark.parametrize(("sign", "share"), [(1, 1.0), (-1, 0.0)])
def test_noses_stand_out_or_in(sign: int, share: float) -> None:
    """Domes with the landmarks of a face: the tip of the nose in the middle, the rest further out."""
    photos = with_landmarks()
    assert photos.landmarks is not None
    angle = np.linspace(0, 2 * np.pi, 68)
    where = np.stack([np.cos(angle), np.sin(angle)], -1) * SIZE / 4 + SIZE / 2
    where[30] = SIZE / 2
    depth = np.full(68, 1.0)
    depth[30] = 0.95
    face = np.concatenate([where, depth[:, None]], -1).astype(np.float32)
    faces = replace(photos, landmarks=np.repeat(face[None], len(photos), 0))
    predicted = Oracle(depth_as(lambda depth: 1 + sign * (depth - 1)))
    assert evaluate(predicted, faces).figures["noses outwards"] == share
    assert "noses outwards" not in evaluate(predicted, photos).figures, "six landmarks are no face"


def test_depth_at_landmarks_is_correlated_over_the_photos() -> None:
    photos = with_landmarks()
    f = evaluate(Oracle(depth_as(lambda depth: depth)), photos, piece=7).figures
    assert 0.9 < f["landmark correlation"] <= 1
    assert f["landmark correlation, ground truth"] == pytest.approx(f["landmark correlation"], abs=1e-6)
    assert f["landmark correlation, sum"] == pytest.approx(6 * f["landmark correlation"])
    assert 0.03 < f["landmark correlation, random"] < 0.3, "absolute values: chance is above 0"
    assert f["landmark correlation, random"] < f["landmark correlation, average depth"]
    assert 0.5 < f["landmarks compared"] < 0.9, "some lie beside the domes"
    inverted = evaluate(Oracle(depth_as(lambda depth: 2 - depth)), photos).figures
    assert inverted["landmark correlation"] == pytest.approx(f["landmark correlation"], abs=1e-6)


def test_the_average_baseline_is_the_average_depth_at_the_landmarks() -> None:
    photos = with_landmarks()
    average = average_depth(domes(40, seed=1))
    assert average is not None
    f = evaluate(Oracle(depth_as(lambda depth: average.expand_as(depth))), photos, average=average).figures
    assert f["landmark correlation, average depth"] == pytest.approx(f["landmark correlation"])
    assert f["landmarks compared"] == 1
    true = evaluate(Oracle(depth_as(lambda depth: depth)), photos, average=average).figures
    assert true["landmark correlation, average depth"] == pytest.approx(f["landmark correlation"])
    flat = evaluate(Oracle(depth_as(torch.ones_like)), photos, average=average).figures
    assert flat["landmark correlation"] == 0, "what does not vary correlates with nothing"


def spotted(shift: int = 0) -> Photos:
    """Grey squares on black, with a bright spot on one side in the middle of the row; truth: the spot and its mirror
    place. `shift` moves all to the right, so that the picture's mirror image is not the object's."""
    rgb, mask = np.zeros((4, SIZE, SIZE, 3), np.uint8), np.zeros((4, SIZE, SIZE), bool)
    asymmetric = np.zeros((4, SIZE, SIZE), bool)
    rgb[:, 2:14, 2 + shift : 14 + shift], mask[:, 2:14, 2 + shift : 14 + shift] = 100, True
    rgb[:3, 6:9, 3 + shift : 6 + shift] = 200
    asymmetric[:3, 6:9, 3 + shift : 6 + shift] = asymmetric[:3, 6:9, 10 + shift : 13 + shift] = True
    return Photos(rgb, "abcd", mask=mask, asymmetric=asymmetric)


def test_low_confidence_finds_what_is_not_symmetric() -> None:
    """The fourth picture has nothing to find and is left out; outside of the object nothing is asked."""

    def sure(photos: Photos) -> Prediction:
        assert photos.asymmetric is not None and photos.mask is not None
        unsure = torch.tensor(photos.asymmetric | ~photos.mask)
        return Prediction(confidence=1 - 0.5 * unsure.float())

    for shift in (0, 1):
        result = evaluate(Oracle(sure), spotted(shift), piece=3)
        assert result.figures["symmetry AP"] == 1 and np.isnan(result.per_image["symmetry AP"][3])
        assert result.figures["symmetry AP, chance"] == pytest.approx(18 / 144)
        mirrored = result.figures["symmetry AP, mirrored photo"]
        assert mirrored == 1 if shift == 0 else mirrored < 0.9
    blind = evaluate(Oracle(lambda photos: Prediction(confidence=torch.ones(len(photos), SIZE, SIZE))), spotted())
    assert blind.figures["symmetry AP"] == pytest.approx(18 / 144)


def test_what_is_beyond_its_floor_is_said() -> None:
    good = evaluate(Oracle(depth_as(lambda depth: depth)), domes())
    assert good.missed() == []
    assert good.missed({"coverage": (1.5, "higher"), "SIDE": (1.0, "lower")}) == [
        "coverage is 1.000, beyond 1.500 (higher is better)"
    ]
    inverted = evaluate(Oracle(depth_as(lambda depth: 2 - depth)), domes()).missed()
    assert [sentence.partition(" is ")[0] for sentence in inverted] == ["better than the twin", "SIDE", "MAD"]
    nothing = evaluate(Oracle(depth_as(lambda depth: depth * torch.nan)), domes()).missed()
    assert any(sentence.startswith("SIDE is nan") for sentence in nothing)


def test_no_pictures_are_an_error() -> None:
    with pytest.raises(ValueError, match="there are no pictures to evaluate"):
        evaluate(Oracle(depth_as(lambda depth: depth)), domes()[:0])


def test_records_hold_the_published_figure_and_the_floor() -> None:
    result = evaluate(Oracle(depth_as(lambda depth: depth)), domes())
    blank = Record("oracle", "domes", "", 0.0, "lower", seed=7)
    made = result.records(blank, {"SIDE": 0.793})
    side = [(r.source, r.bound) for r in made if r.metric == "SIDE"]
    assert side == [("published", 0.793), ("floor", result.floors["SIDE"][0])]
    assert result.floors["SIDE"][0] <= 0.6 * result.figures["SIDE, constant depth"]
    (coverage,) = [r for r in made if r.metric == "coverage"]
    assert (coverage.source, coverage.bound, coverage.better, coverage.met) == ("floor", 0.95, "higher", True)
    assert all(r.seed == 7 and r.method == "oracle" for r in made)
    with pytest.raises(ValueError, match=r"names published figures \['PSNR'\] that were not measured"):
        result.records(blank, {"PSNR": 30.0})


def test_the_table_shows_figures_and_warnings() -> None:
    result = evaluate(Oracle(depth_as(lambda depth: 2 - depth)), domes())
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result.table())
    shown = console.export_text()
    assert "5 pictures" in shown and "SIDE of the twin" in shown and "inverted" in shown
