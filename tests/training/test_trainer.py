"""The loop: what it does to the weights, what it keeps, when it stops."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tilt import Config, Tilt, pictures

from unflat.data.kinds import Photos
from unflat.evaluation.compare import evaluate
from unflat.method import Losses
from unflat.training import checkpoint
from unflat.training.log import read_log
from unflat.training.run import Run, build, train
from unflat.training.settings import Training, seed_of
from unflat.training.trainer import Diverged, Trainer, _draw_from

QUICK = Training(steps=12, rate=1e-2, log_every=4, sample_every=0, validate_every=4, save_every=4, threads=1)


def quick(
    folder: Path,
    config: Config | None = None,
    validation: Any = None,
    start: Any = None,
    resume: bool = True,
    **changes: Any,
) -> Run:
    training = Training(**{**{f: getattr(QUICK, f) for f in QUICK.__dataclass_fields__}, **changes})
    return train(
        Tilt,
        pictures(),
        out=folder,
        config=config,
        training=training,
        validation=validation,
        start=start,
        resume=resume,
        quiet=True,
    )


def same(one: Any, other: Any) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


# -- learning -------------------------------------------------------------------------------------------------------


def test_it_learns(tmp_path: Path) -> None:
    before = evaluate(build(Tilt, Config(noise=False), pictures().extent, 0), pictures()).figures["reconstruction"]
    run = quick(tmp_path, Config(noise=False), steps=200, validation=pictures())
    assert run.figures["reconstruction"] < 0.3 * before


def test_on_a_cpu_a_step_draws_what_torch_draws_from_its_seed() -> None:
    for seed in (seed_of(0, 3, -1), 2**64 - 1, -5):
        torch.manual_seed(seed)
        expected = torch.rand(4)
        _draw_from(seed, torch.device("cpu"))
        assert torch.rand(4).equal(expected)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    a, b, c = (quick(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert same(a.method, b.method) and not same(a.method, c.method)


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    """The published rule, from the weights after every step."""
    method = build(Tilt, Config(), pictures().extent, 0)
    trainer = Trainer(method, pictures(), Training(steps=6, rate=0.1, ema=0.5, threads=1), tmp_path, quiet=True)
    seen = [method.head.weight.detach().clone()]
    step = trainer._learn

    def watched(*arguments: Any) -> Any:
        done = step(*arguments)
        seen.append(method.head.weight.detach().clone())
        return done

    trainer._learn = watched  # type: ignore[method-assign]
    trainer.fit()
    expected = seen[0]
    for i, weight in enumerate(seen[1:]):
        decay = min(0.5, (1 + i) / (10 + i))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(trainer.result.head.weight.detach(), expected)
    assert trainer.result is not method


def test_the_gradient_is_clipped_as_a_whole(tmp_path: Path) -> None:
    method = build(Tilt, Config(), pictures().extent, 0)
    trainer = Trainer(method, pictures(), Training(steps=1, clip=1e-3, threads=1), tmp_path, quiet=True)
    trainer.fit()
    norm = torch.stack([p.grad.norm() for p in method.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_prepare_is_called_before_the_first_step_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Tilt, "prepare", lambda self, data: calls.append(1))
    with monkeypatch.context() as broken:
        broken.setattr(Tilt, "losses", lambda self, batch, step: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            quick(tmp_path)
    quick(tmp_path, steps=4)
    quick(tmp_path, steps=8)
    assert len(calls) == 1


def test_a_grown_model_trains_on_and_loads(tmp_path: Path) -> None:
    run = quick(tmp_path, Config(grow_at=5), ema=0.9)
    assert len(run.method.extra) == 4  # type: ignore[attr-defined]
    loaded = checkpoint.load_method(tmp_path, Tilt)
    assert same(loaded, run.method)


def test_bf16_on_request(tmp_path: Path) -> None:
    assert not same(quick(tmp_path / "a", precision="bf16").method, quick(tmp_path / "b").method)


def test_losses_are_compiled_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    assert same(quick(tmp_path / "a", compile=True).method, quick(tmp_path / "b").method)
    assert len(compiled) == 1


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_folder(tmp_path: Path) -> None:
    run = quick(tmp_path, validation=pictures(3, seed=1), sample_every=6, keep=2)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    names = {name for name in names if not name.startswith("tensorboard")}
    assert names == {
        "settings.json", "weights.safetensors", "log.jsonl", "evaluation.json", "samples/00000006.png",
        "samples/00000012.png", "checkpoints/best.safetensors", "checkpoints/step_00000008.safetensors",
        "checkpoints/step_00000012.safetensors",
    }  # fmt: skip
    assert run.figures["SIDE"] > 0
    with Image.open(tmp_path / "samples" / "00000012.png") as sheet:
        assert sheet.width > 3 * 96 and sheet.height > 3 * 96


def test_the_best_weights_are_those_of_the_best_validation(tmp_path: Path) -> None:
    validation = pictures(3, seed=1)
    quick(tmp_path, validation=validation, steps=24, rate=0.1)
    (prepared,) = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "prepared"]
    assert prepared["step"] == 0 and prepared["seconds"] >= 0
    lines = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "validation"]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20, 24]
    best = min(lines, key=lambda line: line["SIDE"])
    assert checkpoint.read(tmp_path / "checkpoints" / "best.safetensors").header["step"] == best["step"]
    method = checkpoint.load_method(tmp_path / "checkpoints" / "best.safetensors", Tilt)
    assert evaluate(method, validation, average=_average()).figures["SIDE"] == pytest.approx(best["SIDE"], rel=1e-6)


def _average() -> torch.Tensor:
    depth = pictures().depth
    assert depth is not None
    return torch.tensor(depth).double().mean(0)


def test_the_log_has_means_of_the_terms(tmp_path: Path) -> None:
    quick(tmp_path)
    lines = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "training"]
    assert [line["step"] for line in lines] == [4, 8, 12]
    for line in lines:
        assert line["loss"] == pytest.approx(line["colour"] + line["extra"] + line["depth"], rel=1e-5)
        assert line["noise"] > 0 and line["rate"] == 1e-2 and line["images_per_second"] > 0


def test_without_a_terminal_progress_is_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(steps=8, log_every=4, validate_every=4, sample_every=0, threads=1)
    train(Tilt, pictures(), out=tmp_path, training=training, validation=pictures(3, seed=1))
    printed = capsys.readouterr().out
    assert "step 4/8  loss" in printed and "images/s" in printed and "min left" in printed
    assert re.search(r"step 8/8 .* SIDE \d", printed), "the last line does not say the last validation figure"


# -- going on -------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = quick(tmp_path, validation=pictures(3, seed=1))
    again = quick(tmp_path, validation=pictures(3, seed=1))
    assert same(first.method, again.method) and first.figures == again.figures


def test_more_steps_go_on_from_the_last(tmp_path: Path) -> None:
    quick(tmp_path / "a", steps=6)
    longer, whole = quick(tmp_path / "a", steps=12), quick(tmp_path / "b", steps=12)
    assert same(longer.method, whole.method)


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    quick(tmp_path, Config(width=4))
    with pytest.raises(checkpoint.CheckpointError, match=r"other settings: rate was 0.01, is 0.5\. Use another folder"):
        quick(tmp_path, Config(width=4), rate=0.5)
    with pytest.raises(checkpoint.CheckpointError, match="width was 4, is 5"):
        quick(tmp_path, Config(width=5))


def test_beginning_again_forgets_the_run_and_nothing_else(tmp_path: Path) -> None:
    quick(tmp_path, rate=0.5)
    (tmp_path / "notes.txt").write_text("mine")
    fresh = train(Tilt, pictures(), out=tmp_path, training=QUICK, resume=False, quiet=True)
    assert same(fresh.method, quick(tmp_path / "other").method)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.txt").write_text("mine")
    train(Tilt, pictures(), out=tmp_path, training=QUICK, resume=False, quiet=True)
    assert (tmp_path / "checkpoints" / "mine.txt").read_text() == "mine"


def test_starting_from_weights(tmp_path: Path) -> None:
    first = quick(tmp_path / "first", steps=30)
    tuned = quick(tmp_path / "tuned", steps=1, rate=1e-9, start=tmp_path / "first")
    fresh = quick(tmp_path / "fresh", steps=1, rate=1e-9)
    torch.testing.assert_close(tuned.method.head.weight, first.method.head.weight, atol=1e-6, rtol=0)  # type: ignore[union-attr]
    assert (fresh.method.head.weight - first.method.head.weight).abs().max() > 1e-2  # type: ignore[union-attr, operator]


def test_beginning_again_from_the_runs_own_weights_does_not_lose_them(tmp_path: Path) -> None:
    first = quick(tmp_path, steps=30)
    with pytest.raises(checkpoint.CheckpointError, match="no weights at nowhere"):
        quick(tmp_path, steps=1, start="nowhere", resume=False)
    again = quick(tmp_path, steps=1, rate=1e-9, start=tmp_path, resume=False)
    torch.testing.assert_close(again.method.head.weight, first.method.head.weight, atol=1e-6, rtol=0)  # type: ignore[union-attr]


def test_starting_from_weights_of_other_shapes_names_them(tmp_path: Path) -> None:
    quick(tmp_path / "first", Config(width=4))
    message = r"cannot start from .*weights.safetensors: body.0.bias is \(6,\) here and \(4,\) there; body.0.weight"
    with pytest.raises(checkpoint.CheckpointError, match=message):
        quick(tmp_path / "second", Config(width=6), start=tmp_path / "first")


# -- stopping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poison", "message"),
    [
        ("loss", "step 5: the loss 'colour' is nan"),
        ("gradient", "step 5: the gradient of .* is not finite"),
    ],
)
def test_it_stops_where_nothing_is_a_number_any_more(tmp_path: Path, poison: str, message: str) -> None:
    with pytest.raises(Diverged, match=message) as stop:
        quick(tmp_path, Config(poison=poison), save_every=100)
    assert str(tmp_path / "checkpoints") in str(stop.value) and "lower rate (now 0.01)" in str(stop.value)
    kept = checkpoint.load_method(tmp_path, Tilt)
    assert same(kept, quick(tmp_path / "sound", steps=5).method)


def test_the_gradient_that_is_no_number_is_named_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(self: Tilt, batch: Any, step: int) -> Losses:
        _, image = self.explain(batch.photo)
        return Losses({"colour": image.square().mean(), "extra": (0 * self.extra).square().sum().sqrt()})

    monkeypatch.setattr(Tilt, "losses", losses)
    with pytest.raises(Diverged, match=r"step 0: the gradient of extra is not finite\. The weights"):
        quick(tmp_path)


def test_the_wrong_data_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Tilt takes Photos, but was given str"):
        train(Tilt, "a folder", out=tmp_path / "run")
    with pytest.raises(ValueError, match="there is nothing to train Tilt on"):
        train(Tilt, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_photos_without_truth_are_validated_by_reconstruction(tmp_path: Path) -> None:
    seen = pictures(3, seed=1)
    run = quick(tmp_path, validation=Photos(seen.rgb, seen.names))
    assert set(run.figures) == {"seen", "reconstruction"}


def test_a_world_is_asked_for_its_photos(tmp_path: Path) -> None:
    class World:
        def photos(self) -> Photos:
            return pictures()

    run = train(Tilt, World(), out=tmp_path, training=QUICK, quiet=True)
    assert same(run.method, quick(tmp_path / "other").method)
