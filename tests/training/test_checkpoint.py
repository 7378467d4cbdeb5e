"""Weights on disk: complete, whole or absent, and refused with a reason."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tilt import Config, Tilt, pictures
from torch import nn

from unflat.catalogue import UnknownMethod, experiment
from unflat.data.captures import read_capture
from unflat.method import Prediction, predict_in_pieces
from unflat.training import checkpoint
from unflat.training.checkpoint import CheckpointError
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.worlds.objects import Objects


def method(seed: int = 0, **config: Any) -> Tilt:
    built = build(Tilt, Config(**config), pictures().extent, seed)
    assert isinstance(built, Tilt)
    return built


def saved(path: Path, seed: int = 0, **options: Any) -> Tilt:
    built = method(seed)
    built.prepare(pictures())
    checkpoint.save_weights(path, built, checkpoint.describe(built, Training(), pictures()), **options)
    return built


def depth_of(built: Any) -> torch.Tensor:
    prediction: Prediction = predict_in_pieces(built, pictures(), 3)
    assert prediction.depth is not None
    return prediction.depth


def test_a_file_of_weights_is_complete_in_itself(tmp_path: Path) -> None:
    built = saved(tmp_path / "w.safetensors")
    loaded = checkpoint.load_method(tmp_path / "w.safetensors", Tilt)
    assert loaded.config == built.config and loaded.extent == built.extent and not loaded.training
    assert depth_of(loaded).equal(depth_of(built))


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    wide = method(width=4000)
    header = checkpoint.describe(wide)
    checkpoint.save_weights(tmp_path / "full.safetensors", wide, header)
    checkpoint.save_weights(tmp_path / "half.safetensors", wide, header, dtype=torch.float16)
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.51 * full
    loaded = checkpoint.load_method(tmp_path / "half.safetensors", Tilt)
    assert loaded.head.weight.dtype == torch.float32  # type: ignore[union-attr]
    torch.testing.assert_close(depth_of(loaded), depth_of(wide), rtol=0, atol=1e-3)


def test_weights_too_large_for_half_precision_are_named(tmp_path: Path) -> None:
    built = method()
    nn.init.constant_(built.head.bias, 1e6)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"head\.bias holds 1e\+06, too large for torch\.float16"):
        checkpoint.save_weights(tmp_path / "w.safetensors", built, checkpoint.describe(built), dtype=torch.float16)
    assert not list(tmp_path.iterdir())


class Grown(nn.Module):
    def __init__(self, count: int, memory: int | None) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.arange(float(count)))
        self.register_buffer("box", None if memory is None else torch.ones(memory))


@pytest.mark.parametrize(("count", "memory"), [(3, 2), (5, 2), (3, None)])
def test_everything_gets_its_stored_shape_first(count: int, memory: int | None) -> None:
    stored, fresh = Grown(5, 4), Grown(count, memory)
    checkpoint.load(fresh, stored.state_dict())
    assert fresh.grid.equal(stored.grid) and fresh.grid.requires_grad
    assert fresh.box.equal(stored.box)  # type: ignore[arg-type, union-attr, operator]


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"they lack extra, head\.weight and have other\.weight beside"):
        state = dict(method().state_dict())
        state["other.weight"] = state.pop("extra")
        del state["head.weight"]
        checkpoint.load(method(), state)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    saved(path, seed=1)
    before = path.read_bytes()

    def full(*arguments: Any) -> None:
        Path(arguments[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        saved(path, seed=2)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_run_is_found_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights yet"):
        checkpoint.find(tmp_path)
    names = ["checkpoints/step_00000009.safetensors", "checkpoints/step_00000010.safetensors"]
    for name in [*names, "checkpoints/best.safetensors", "weights.safetensors"]:
        saved(tmp_path / name)
        assert checkpoint.find(tmp_path) == tmp_path / name


def test_checkpoints_are_ordered_by_step_not_by_name(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 5):
        saved(tmp_path / "checkpoints" / checkpoint.STEP_FILE.format(step))
    assert [int(path.stem[5:]) for path in checkpoint.checkpoints(tmp_path)] == [5, 99_999_999, 100_000_000]


def test_shipped_weights_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    built = saved(tmp_path / "tilts.safetensors")
    assert depth_of(checkpoint.load_method("tilts", Tilt)).equal(depth_of(built))
    with pytest.raises(CheckpointError, match=r"no weights at tilt: .* one of the shipped weights \(tilts\)"):
        checkpoint.load_method("tilt")


def test_a_checkpoint_predicts_with_its_average(tmp_path: Path) -> None:
    ours, average = method(1), method(2)
    tensors = {f"weights/{k}": v for k, v in ours.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in average.state_dict().items()}
    checkpoint.save(tmp_path / "c.safetensors", tensors, {**checkpoint.describe(ours), "kind": "checkpoint"})
    assert depth_of(checkpoint.load_method(tmp_path / "c.safetensors", Tilt)).equal(depth_of(average))


def test_a_method_that_is_not_in_the_catalogue_is_not_built(tmp_path: Path) -> None:
    saved(tmp_path / "w.safetensors")
    with pytest.raises(UnknownMethod, match="there is no method 'tilt'"):
        checkpoint.load_method(tmp_path / "w.safetensors")


def with_header(path: Path, header: str | None) -> Path:
    save_file({"x": torch.ones(1)}, path, None if header is None else {"unflat": header})
    return path


def header(**changes: Any) -> str:
    built = method()
    return json.dumps({**checkpoint.describe(built), "kind": "weights", **changes})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds tensors, but was not written by unflat"),
        ("{", "has a damaged header"),
        ("[]", "has a damaged header"),
        (header(format=99), "has format 99, this version of unflat reads 1"),
        (header(config={"width": 4, "exec": "x"}), "Config has no field 'exec'.*: use that state, or train again in"),
        (header(config={"width": "four"}), "Config.width is 'four'; it must be of type int"),
        (header(extent={"count": 1}), "Extent needs size"),
        (header(method=None), "has a damaged header"),
        (header(kind="else"), "has a damaged header"),
    ],
)
def test_headers_that_do_not_fit(tmp_path: Path, content: str | None, message: str) -> None:
    path = with_header(tmp_path / "w.safetensors", content)
    with pytest.raises(ValueError, match=message):
        checkpoint.load_method(path, Tilt)


@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\xff" * 64, b"\x80\x04\x95pickle"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors cannot be read as safetensors"):
        checkpoint.load_method(path, Tilt)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    saved(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        checkpoint.load_method(path, Tilt)


def test_tied_weights_are_written_twice_and_load(tmp_path: Path) -> None:
    tied = Grown(3, 2)
    tied.again = tied.grid
    checkpoint.save(tmp_path / "t.safetensors", tied.state_dict(), {"format": 1, "kind": "weights", "method": "x"})
    checkpoint.load(tied, checkpoint.read(tmp_path / "t.safetensors").tensors)


def test_how_photos_were_cropped_goes_along() -> None:
    photos = pictures()
    photos.crop.update(kind="face", scale=1.25)
    assert checkpoint.describe(method(), None, photos)["crop"] == {"kind": "face", "scale": 1.25}


# -- damage ---------------------------------------------------------------------------------------------------------


def test_one_changed_bit_anywhere_is_found(tmp_path: Path) -> None:
    """Every third byte of a small file, header and tensors; only what makes no difference may pass."""
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, {"a": torch.arange(3.0), "b": torch.zeros(0), "c": torch.tensor(True)}, json.loads(header()))
    content, whole = path.read_bytes(), checkpoint.read(path)
    assert len(content) > 500
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        try:
            found = checkpoint.read(path)
        except CheckpointError:
            continue
        # a name of the sum itself that is not known any more: then nothing is compared, and all the rest is sound
        assert found.header == whole.header, place
        assert all(found.tensors[name].equal(value) for name, value in whole.tensors.items()), place


def checkpoint_of(folder: Path, step: int) -> Path:
    path = folder / "checkpoints" / checkpoint.STEP_FILE.format(step)
    built = method(step)
    tensors = {f"weights/{name}": value for name, value in built.state_dict().items()}
    checkpoint.save(path, tensors, {**checkpoint.describe(built), "kind": "checkpoint", "step": step})
    return path


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-7] if how == "cut" else content[:-3] + bytes([content[-3] ^ 4]) + content[-2:])


@pytest.mark.parametrize(
    ("how", "says"), [("cut", "cannot be read as safetensors"), ("flipped", "is not as it was written: its sum is not")]
)
def test_a_damaged_last_checkpoint_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str, says: str
) -> None:
    assert checkpoint.last(tmp_path) is None
    paths = [checkpoint_of(tmp_path, step) for step in (7, 14, 21)]
    for path in paths[1:]:
        damage(path, how)
    stored = checkpoint.last(tmp_path)
    assert stored is not None and stored.header["step"] == 7 and stored.path == paths[0]
    assert f"step_00000021.safetensors {says}" in caplog.text
    assert "Going on from step 7 instead (step_00000007.safetensors)" in caplog.text
    damage(paths[0], how)
    with pytest.raises(CheckpointError, match=rf"{says}.*There is no other checkpoint to go on from: begin again with"):
        checkpoint.last(tmp_path)
    saved(tmp_path / "checkpoints" / "best.safetensors")
    with pytest.raises(CheckpointError, match=r"\(--no-resume\), in another folder from its best weights \(--start "):
        checkpoint.last(tmp_path)


def test_what_is_not_damaged_is_not_passed_over(tmp_path: Path) -> None:
    """A checkpoint of a newer version is refused, and not quietly replaced by an older one."""
    checkpoint_of(tmp_path, 7)
    tensors = {"weights/x": torch.ones(1)}
    said = {**json.loads(header(format=2)), "versions": {"unflat": "999.1"}}
    checkpoint.save(tmp_path / "checkpoints" / checkpoint.STEP_FILE.format(14), tensors, said)
    with pytest.raises(CheckpointError, match=r"has format 2, .* reads 1\. It was written by unflat 999\.1, this is "):
        checkpoint.last(tmp_path)


def test_a_damaged_run_ends_as_if_it_had_not_been(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training(steps=9, rate=1e-2, save_every=3, sample_every=0, keep=2, threads=1)

    def trained(folder: Path, steps: int) -> Any:
        return train(Tilt, pictures(), out=folder, training=replace(training, steps=steps), quiet=True).method

    whole = trained(tmp_path / "whole", 9)
    trained(tmp_path / "run", 6)
    damage(checkpoint.checkpoints(tmp_path / "run")[-1], "flipped")
    resumed = trained(tmp_path / "run", 9)
    assert "Going on from step 3 instead" in caplog.text
    assert all(resumed.state_dict()[name].equal(value) for name, value in whole.state_dict().items())


def test_tidying_keeps_the_last_good_ones_and_drops_drafts(tmp_path: Path) -> None:
    """A damaged checkpoint from later than the run has got must not take the place of a good one."""
    for step in (3, 6, 9, 21):
        checkpoint_of(tmp_path, step)
    for name in (".part-abc.safetensors", ".tmpAb12Cd", "checkpoints/.part-x", "checkpoints/.tmpZz99Yy", "mine.tmp"):
        (tmp_path / name).write_text("half")
    checkpoint.tidy(tmp_path, 2, 9)
    assert [int(path.stem[5:]) for path in checkpoint.checkpoints(tmp_path)] == [6, 9]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "step_00000006.safetensors", "step_00000009.safetensors", "mine.tmp",
    }  # fmt: skip


# -- other versions -------------------------------------------------------------------------------------------------


def written_by(path: Path, version: str, change: Any) -> Path:
    """A file of weights as another version might have written it."""
    built = method()
    said = {**checkpoint.describe(built, Training()), "kind": "weights", "versions": {"unflat": version}}
    tensors = dict(built.state_dict())
    change(said, tensors)
    checkpoint.save(path, tensors, said)
    return path


NEWER = r"It was written by unflat 999\.1, this is \S+: install that version or a later one \(pip install 'unflat>=999"
OLDER = (
    r"It was written by unflat 0\.0\.1, this is \S+: use that version \(pip install 'unflat==0\.0\.1'\), or train again"
)


@pytest.mark.parametrize(("version", "advice"), [("999.1", NEWER), ("0.0.1", OLDER)])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said, tensors: said["config"].update(sharpness=2), "Config has no field 'sharpness'"),
        (lambda said, tensors: tensors.pop("mean"), "they lack mean and have nothing beside"),
        (lambda said, tensors: tensors.update(new=torch.ones(1)), "they lack nothing and have new beside"),
    ],
    ids=["setting", "missing buffer", "unknown weight"],
)
def test_what_another_version_wrote_says_so(tmp_path: Path, change: Any, says: str, version: str, advice: str) -> None:
    path = written_by(tmp_path / "w.safetensors", version, change)
    with pytest.raises(CheckpointError, match=rf"w\.safetensors: .*{says}.*{advice}"):
        checkpoint.load_method(path, Tilt)


def test_a_method_of_a_newer_version_says_so(tmp_path: Path) -> None:
    path = written_by(tmp_path / "w.safetensors", "999.1", lambda said, tensors: None)
    with pytest.raises(UnknownMethod, match=f"there is no method 'tilt'.*{NEWER}"):
        checkpoint.load_method(path)


def test_settings_that_an_older_version_did_not_know_take_their_defaults(tmp_path: Path) -> None:
    def forget(said: Any, tensors: Any) -> None:
        del said["config"]["batch_size"], said["training"]["hold"], said["training"]["keep"]

    path = written_by(tmp_path / "w.safetensors", "0.0.1", forget)
    assert checkpoint.load_method(path, Tilt).config == Config()
    stored, now = checkpoint.read(path), checkpoint.describe(method(), Training())
    assert checkpoint.differences(stored.header, now) == ["batch_size was None, is 3", "hold was None, is 0.0"]
    assert checkpoint.differences(checkpoint.as_now(stored, method()), now) == []
    other = checkpoint.describe(method(batch_size=2), Training())
    assert checkpoint.differences(checkpoint.as_now(stored, method()), other) == ["batch_size was 3, is 2"]


def test_a_buffer_that_weights_do_not_have_yet_is_what_it_was_before() -> None:
    class Grown(nn.Module):
        before: ClassVar[dict[str, float]] = {"later": 0.5}

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("first", torch.zeros(2))
            self.register_buffer("later", torch.zeros(2))

    model = nn.Sequential(Grown())
    checkpoint.load(model, {"0.first": torch.ones(2)})
    assert model[0].first.tolist() == [1, 1] and model[0].later.tolist() == [0.5, 0.5]
    with pytest.raises(CheckpointError, match=r"they lack 0\.first and have nothing"):
        checkpoint.load(model, {"0.later": torch.ones(2)})


def test_a_run_on_a_capture_keeps_its_cameras_and_where_it_was(tmp_path: Path) -> None:
    Objects("vase", 3, 16).write(tmp_path / "vase", progress=False)
    capture = read_capture(tmp_path / "vase", split="train", progress=False)
    tiny = experiment("quick_grid", "tiny")
    run = train("quick_grid", capture, out=tmp_path / "run", config=tiny.config, training=tiny.training, quiet=True)
    stored = checkpoint.read(checkpoint.find(run.folder))
    found = checkpoint.cameras_of(stored)
    assert found.names == capture.names and list(found.pinholes) == list(capture.pinholes)
    assert np.array_equal(found.scene_from_camera, capture.scene_from_camera)
    assert stored.header["data"]["origin"] == capture.origin and capture.origin["split"] == "train"
    assert "cameras" not in json.loads((run.folder / "settings.json").read_text()), "it is for people"
    assert checkpoint.built_from(stored).extent == capture.extent


def test_where_there_are_no_cameras_it_is_said(tmp_path: Path) -> None:
    saved(tmp_path / "w.safetensors")
    stored = checkpoint.read(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="holds no cameras: they are kept of runs on captures"):
        checkpoint.cameras_of(stored)
    broken = replace(stored, header={**stored.header, "cameras": {"names": ["a"]}})
    with pytest.raises(CheckpointError, match=r"w\.safetensors: these are no cameras as they are kept"):
        checkpoint.cameras_of(broken)
