"""Captures that cannot be learned from, or not well: reading and training name the cause, and what to do."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unflat.cli.main import main
from unflat.data.captures import read_capture
from unflat.data.recordings import CaptureError
from unflat.worlds.objects import Objects

VIEWS, SIDE = 8, 32
Said = dict[str, Any]
Damage = Callable[[Path, Said], str]
"""Damages the folder of a capture, or what is said in its JSON; returns the JSON's text."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    Objects("torus", VIEWS, SIDE).write(place, progress=False)
    return place


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Callable[[Damage], Path]:
    """A copy of the capture, damaged."""

    def damage(how: Damage) -> Path:
        folder = tmp_path / "torus"
        (folder / "train").mkdir(parents=True)
        for picture in (whole / "train").glob("*.png"):
            (folder / "train" / picture.name).write_bytes(picture.read_bytes())
        file = folder / "transforms_train.json"
        file.write_text(how(folder, json.loads((whole / file.name).read_text())))
        return folder

    return damage


def trained(folder: Path) -> int:
    out = folder.parent / "run"
    return main(["train", "quick_grid", str(folder), "--tiny", "--quiet", "--out", str(out)])


# -- what cannot be read -----------------------------------------------------------------------------------------------


def all_in_one_point(folder: Path, said: Said) -> str:
    for frame in said["frames"]:
        for row, value in zip(frame["transform_matrix"], (0.1, 0.2, 0.3), strict=False):
            row[3] = value
    return json.dumps(said)


def world_and_camera_exchanged(folder: Path, said: Said) -> str:
    """Where cameras look at the origin, its inverse has all of them at one place."""
    for frame in said["frames"]:
        pose = np.array(frame["transform_matrix"])
        pose[:3, 3] = 0.4 * pose[:3, 2]  # looks at the origin from there
        frame["transform_matrix"] = np.linalg.inv(pose).tolist()
    return json.dumps(said)


def mirrored(folder: Path, said: Said) -> str:
    pose = np.array(said["frames"][3]["transform_matrix"])
    pose[:3, 0] *= -1
    said["frames"][3]["transform_matrix"] = pose.tolist()
    return json.dumps(said)


def not_a_number(folder: Path, said: Said) -> str:
    said["frames"][5]["transform_matrix"][0][3] = float("nan")
    return json.dumps(said)


def one_picture(folder: Path, said: Said) -> str:
    return json.dumps({**said, "frames": said["frames"][:1]})


def cut_off(folder: Path, said: Said) -> str:
    text = json.dumps(said)
    return text[: len(text) // 2]


def no_picture_can_be_read(folder: Path, said: Said) -> str:
    for picture in (folder / "train").glob("*.png"):
        picture.write_bytes(picture.read_bytes()[:60])
    return json.dumps(said)


CAUSES: tuple[tuple[Damage, str], ...] = (
    (all_in_one_point, "all cameras stand in one point.*Move the camera sideways"),
    (world_and_camera_exchanged, "all cameras stand in one point.*camera-from-world matrices"),
    (mirrored, r"transforms_train\.json, frame 3 \(\./train/r_0003\), mirrors: the determinant"),
    (not_a_number, r"frame 5 \(\./train/r_0005\), holds numbers that are not finite.*leave it out"),
    (one_picture, r"has a single picture.*train/r_0000\.png: depth is seen from at least two places"),
    (cut_off, r"transforms_train\.json is no JSON, or was cut off .* write or copy it again"),
    (no_picture_can_be_read, r"0 of \d pictures can be read, and at least 2 are needed: train/r_000\d\.png is broken"),
)  # fmt: skip


@pytest.mark.parametrize(("how", "cause"), CAUSES, ids=[how.__name__ for how, _ in CAUSES])
def test_the_cause_is_named(
    how: Damage, cause: str, damaged: Callable[[Damage], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """By the function and by the command, which fails without a trace of where."""
    folder = damaged(how)
    with pytest.raises(CaptureError, match=cause):
        read_capture(folder, progress=False)
    assert trained(folder) == 2
    err = capsys.readouterr().err
    assert re.search(cause, err) and "Traceback" not in err and "please report" not in err


# -- what can be read, and is warned about -----------------------------------------------------------------------------


def test_a_picture_that_cannot_be_read_is_left_out_and_named(
    damaged: Callable[[Damage], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def one_broken(folder: Path, said: Said) -> str:
        (folder / "train" / "r_0006.png").write_bytes(b"no picture")
        return json.dumps(said)

    folder = damaged(one_broken)
    told: list[str] = []
    assert len(read_capture(folder, report=told.append, progress=False)) == VIEWS - 1
    assert [line for line in told if line.startswith("skipped: train/r_0006.png ")]
    assert trained(folder) == 0
    assert "skipped: train/r_0006.png " in capsys.readouterr().err


def no_overlap(folder: Path, said: Said) -> str:
    """Each camera stands alone in a long row, turned by 100 degrees against the one before; it sees 40."""
    for index, frame in enumerate(said["frames"]):
        turn = np.radians(100 * index + 45)
        forward = np.array([np.cos(turn), np.sin(turn), 0.0])
        right, up = np.array([np.sin(turn), -np.cos(turn), 0.0]), np.array([0.0, 0.0, 1.0])
        pose = np.eye(4)
        pose[:3] = np.stack([right, up, -forward, np.array([10.0 * index, 0.0, 0.0])], 1)
        frame["transform_matrix"] = pose.tolist()
    return json.dumps(said)


def opencvs_axes(folder: Path, said: Said) -> str:
    for frame in said["frames"]:
        pose = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
        frame["transform_matrix"] = pose.tolist()
    return json.dumps(said)


SYMPTOMS: tuple[tuple[Damage, str], ...] = (
    (no_overlap, r"warning: the pictures do not overlap: \d of 7 cameras see nothing that another sees"),
    (opencvs_axes, "warning: .*Negate the second and third column of every matrix. They hang upside down, too"),
)


@pytest.mark.parametrize(("how", "symptom"), SYMPTOMS, ids=[how.__name__ for how, _ in SYMPTOMS])
def test_the_symptom_is_warned_about_before_the_first_step(
    how: Damage, symptom: str, damaged: Callable[[Damage], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trained(damaged(how))
    out = capsys.readouterr().out
    assert re.search(symptom, out), out
    assert out.index("warning: ") < out.index("with the settings of experiment")


def test_a_good_capture_is_learned_from_in_silence(
    damaged: Callable[[Damage], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(damaged(lambda folder, said: json.dumps(said))) == 0
    out, err = capsys.readouterr()
    assert "warning" not in out + err
