"""Damaged captures: read as far as they make sense, or refused with the documented error and nothing else.

Warnings are errors here, so that nothing overflows in silence either.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, with_nonsense
from five_cameras import FORMATS, NAMES, nerfstudio_said, write_json
from PIL import Image

from unflat.data.frame_pictures import load_pictures
from unflat.data.readers.captures import read_recording, split_names
from unflat.data.recordings import CaptureError

PLY = "ply\nformat ascii 1.0\nelement vertex 2\n" + "".join(f"property float {axis}\n" for axis in "xyz")
PLY += "".join(f"property uchar {part}\n" for part in ("red", "green", "blue"))
PLY += "end_header\n0 1.5 2 255 0 7\n-1 0.5 3 1 2 3\n"


def write_everything(folder: Path) -> None:
    """nerfstudio's format with all that it may say."""
    FORMATS["nerfstudio"][1](folder)
    said = nerfstudio_said()
    for i, entry in enumerate(said["frames"]):
        entry.update(mask_path=f"mask{i}.png", depth_file_path=f"depth{i}.png", k1=0.01, k2=0.0, p1=0.0, p2=0.0, k3=0.0)
        Image.new("L", (40, 30), 255).save(folder / f"mask{i}.png")
        Image.fromarray(np.full((30, 40), 3000, np.uint16)).save(folder / f"depth{i}.png")
    names = [entry["file_path"] for entry in said["frames"]]
    (folder / "points.ply").write_text(PLY)
    more = {
        "ply_file_path": "points.ply",
        "applied_scale": 1.0,
        "train_filenames": names[:3],
        "test_filenames": names[3:],
    }
    write_json(folder / "transforms.json", {**said, **more})


SOUND = {**{form: write for form, (_, write) in FORMATS.items()}, "everything": write_everything}


def damage_file(rng: np.random.Generator, file: Path) -> None:
    content = file.read_bytes()
    if file.suffix == ".json" and rng.random() < 0.6:
        file.write_bytes(with_nonsense(rng, content.decode()))
    elif file.suffix == ".txt" and rng.random() < 0.6:
        fields = content.decode().split(" ")
        fields[int(rng.integers(len(fields)))] = str(rng.choice(["nan", "-1", "1e999", "9" * 30, "x", "", "\n", "\0"]))
        file.write_bytes(" ".join(fields).encode())
    elif rng.random() < 0.1:
        file.unlink()
    else:
        file.write_bytes(DAMAGES[int(rng.integers(len(DAMAGES)))](rng, content))


def damage(rng: np.random.Generator, folder: Path) -> None:
    """One of the files that say where the cameras are, or one or two of the others."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    leading = [path for path in files if path.suffix != ".png"]
    chosen = leading if rng.random() < 0.7 else [path for path in files if path.suffix == ".png"]
    for path in rng.choice(np.array(chosen, object), min(len(chosen), int(rng.integers(1, 3))), replace=False):
        if path.exists():
            damage_file(rng, path)


def check_sense(folder: Path) -> None:
    """What was read in spite of the damage is a capture."""
    recording = read_recording(folder)
    names = [frame.name for frame in recording.frames]
    assert names == sorted(set(names)) and len(names) >= 2
    assert set(split_names(recording)) <= set(names) and json.dumps(recording.notes)
    for frame in recording.frames:
        rotation = frame.world_from_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.isfinite(frame.world_from_camera).all() and np.linalg.det(rotation) > 0
        assert (frame.pinhole is None) != (frame.field_of_view is None)
    if recording.points is not None:
        assert np.isfinite(recording.points.places).all()
    pictures = load_pictures(recording.frames, depth_unit=recording.depth_unit, progress=False)
    assert len(pictures.frames) + len(pictures.skipped) == len(names)
    assert len(pictures.pixels) == sum(pinhole.width * pinhole.height for pinhole in pictures.pinholes)


def check_damaged(tmp_path: Path, count: int, seed: int) -> None:
    refused = dict.fromkeys(SOUND, 0)
    read = dict(refused)
    for form, write in SOUND.items():
        write(tmp_path / form)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        form = list(SOUND)[i % len(SOUND)]
        folder = tmp_path / str(i)
        shutil.copytree(tmp_path / form, folder)
        damage(rng, folder)
        try:
            check_sense(folder)
            read[form] += 1
        except CaptureError as error:
            refused[form] += 1
            assert len(str(error)) > 30
        except Exception as error:
            raise AssertionError(f"damage {i} of seed {seed}, {form}") from error
        shutil.rmtree(folder)
    assert all(refused.values()) and all(read.values()), (refused, read)


def test_sound_ones_make_sense(tmp_path: Path) -> None:
    for form, write in SOUND.items():
        write(tmp_path / form)
        check_sense(tmp_path / form)
    assert len(NAMES) == 5


def test_three_hundred_damaged_captures(tmp_path: Path) -> None:
    check_damaged(tmp_path, 300, seed=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)  # on a busy machine
def test_many_damaged_captures(tmp_path: Path) -> None:
    check_damaged(tmp_path, 6000, seed=1)
