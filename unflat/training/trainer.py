"""The training loop: one loop for every method, readable from top to bottom."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unflat.evaluation.compare import baseline_of, evaluate
from unflat.evaluation.figures import Evaluation
from unflat.geometry.cameras import Cameras
from unflat.kernels.threads import share_threads
from unflat.method import Losses, Method
from unflat.networks.frozen import changing_buffers
from unflat.training import checkpoint
from unflat.training.average import RunningAverage
from unflat.training.devices import channels_last, device_of, keep_freed_memory, length, moved, uses_bf16
from unflat.training.disk import writing
from unflat.training.lock import alone
from unflat.training.log import Log
from unflat.training.optimisers import Optimiser, clip, values_of
from unflat.training.parallel import Processes
from unflat.training.samples import save_samples
from unflat.training.schedules import rate_factor
from unflat.training.settings import Training, seed_of
from unflat.training.watch import Watch, said


class Diverged(ValueError):
    """With these settings and data, a loss or a gradient is no longer a number."""


class Trainer:
    """Trains `method` on `data` in `folder`, from the folder's last checkpoint if it has one.

    `method.update`, the rate and everything drawn depend on the step and the seed only, so a run that is killed and
    started again ends with the same weights, bit for bit (on a CPU with the same number of threads).
    """

    def __init__(
        self,
        method: Method,
        data: Any,
        training: Training,
        folder: Path,
        validation: Any = None,
        experiment: str = "",
        *,
        quiet: bool = False,
    ) -> None:
        method.check(data)
        self.data, self.training, self.folder, self.validation = data, training, Path(folder), validation
        self.processes = Processes.join()
        self.device = device_of(training, self.processes)
        share_threads(training.threads)
        keep_freed_memory()
        self.bf16 = uses_bf16(training, self.device)
        self.method = method.to(device=self.device)
        channels_last(self.method)
        self.header = checkpoint.describe(method, training, data, experiment)
        self.quiet = quiet or not self.processes.first
        self.step = 0
        self.entered = False
        """whether other parameters are trained than before the last step: the method has entered another stage"""
        self.history: list[dict[str, Any]] = []
        self.watch = Watch(())
        self.average: RunningAverage | None = None
        self.optimiser: Optimiser
        self._baseline: Any = None
        self._began = self._saved = time.monotonic()
        self._prepared = 0.0
        self._counted: Callable[[], dict[str, Any]] = dict
        """what the steps since the last line of the log add up to"""

    # -- the loop ------------------------------------------------------------------------------------------------

    def fit(self) -> dict[str, float]:
        """Train to the end; returns the figures of the last evaluation (none without validation data).

        Raises InUse if another process trains in the folder, DiskFull, Diverged.
        """
        locked = alone(self.folder) if self.processes.first else nullcontext()
        with locked, checkpoint.telling_what_is_kept(self.folder):
            self._begin()
            self._train()
            return self._finish()

    def _train(self) -> None:
        training, losses_of = self.training, self.method.losses
        if training.compile:
            losses_of = torch.compile(losses_of)
        batches = self._batches()
        told: dict[str, Any] = {"write": self.processes.first, "quiet": self.quiet, "counted": self._counted()}
        told["items"] = "rays" if self.method.asks is Cameras else "images"
        with Log(self.folder, training.steps, self.step, **told) as log:
            self._counted = log.counted
            self.watch = Watch(self.method.symptoms(), log.before)
            if not log.before:
                log.write(0, "prepared", {"seconds": self._prepared})
            while not self.over:
                step = self.step
                _draw_from(seed_of(training.seed, step, self.processes.rank), self.device)
                batch = moved(next(batches), self.device)
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    losses = losses_of(batch, step)
                norm, loss = self._learn(losses, step)
                self.processes.share(changing_buffers(self.method))
                _draw_from(seed_of(training.seed, step, -1), self.device)  # what is drawn there is so in all processes
                with self.device:  # what is made there is made where the method is
                    restructured = self.method.update(step)
                self.entered = False
                if restructured:
                    batches = self._restructured()
                if self.average is not None:
                    self.average.follow(self.method, step)
                self.step += 1
                log.count({"loss": loss, **_figures(losses), "gradient": norm}, length(batch) * self.processes.count)
                self._report(log)

    def _learn(self, losses: Losses, step: int) -> tuple[Tensor, Tensor]:
        """One update; the norm of its gradient and the loss."""
        self.optimiser.zero_grad()
        parameters = self.optimiser.parameters
        loss = self.processes.differentiate(losses.total, parameters)
        norm = nn.utils.get_total_norm([values_of(p.grad) for p in parameters if p.grad is not None])
        if not torch.isfinite(norm + loss):
            self._stop(losses, step)  # before clipping, which would spread a NaN to every gradient
        if self.training.clip:
            clip(parameters, self.training.clip, norm)
        self.optimiser.step(step, rate_factor(self.training, step))
        return norm, loss

    def _stop(self, losses: Losses, step: int) -> None:
        """Keep what was good, and say what was not."""
        terms = {name: float(term.detach()) for name, term in losses.terms.items()}
        bad = [f"the loss {name!r} is {value}" for name, value in terms.items() if not math.isfinite(value)]
        if not bad:
            named = ((self.optimiser.names[p], p.grad) for p in self.optimiser.parameters if p.grad is not None)
            lost = (name for name, gradient in named if not values_of(gradient).isfinite().all())
            bad = [f"the gradient of {name} is not finite" for name in lost][:3]
        if self.processes.first:
            self._save()
        reason = ", ".join(bad) or "another process has a loss or gradient that is not finite"
        raise Diverged(
            f"step {step}: {reason}. The weights before this step are kept in {self.folder / 'checkpoints'}. Try, in "
            f"a new folder, a lower rate (now {self.training.rate:g}), a smaller clip (now {self.training.clip:g}) or "
            "precision fp32."
        )

    def _restructured(self) -> Iterator[Any]:
        """After parameters were replaced: a fitting optimiser, average and batches from the next step on."""
        self.method.to(device=self.device)
        before = self.trained
        self.optimiser = self.optimiser.regrouped(self.method.parameter_groups(), _names(self.method))
        self.entered = self.trained != before
        self._start_average()
        return self._batches(self.step + 1)

    def _batches(self, step: int | None = None) -> Iterator[Any]:
        """The method's batches from `step` (the next one) on; every process draws with its own seed."""
        rank, seed = self.processes.rank, self.training.seed
        return self.method.batches(
            self.data, self.step if step is None else step, seed_of(seed, rank) if rank else seed
        )

    def _start_average(self) -> None:
        self.average = RunningAverage(self.method, self.training.ema) if self.training.ema else None

    @property
    def trained(self) -> list[str]:
        """The parts of the method whose parameters are trained now: the beginnings of their names."""
        return sorted({self.optimiser.names[p].partition(".")[0] for p in self.optimiser.parameters})

    @property
    def over(self) -> bool:
        """Whether there is no step left to take."""
        return self.step >= self.training.steps

    @property
    def result(self) -> Method:
        """What is validated and kept: the average if there is one."""
        return self.method if self.average is None else self.average.method

    # -- beginning, reporting, ending ----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Prepare, or go on from the last checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = checkpoint.last(self.folder)
        if stored is not None:
            _check_same(checkpoint.as_now(stored, self.method), self.header, self.folder)
            with stored.explained():
                checkpoint.load(self.method, stored.part("weights"))
        else:
            torch.manual_seed(seed_of(self.training.seed, -1))
            began = time.monotonic()
            self.method.cpu().prepare(self.data)  # where the data are
            self.method.to(device=self.device)
            self.processes.share(self.method.buffers())
            self._prepared = time.monotonic() - began
        self.optimiser = Optimiser(self.method.parameter_groups(), _names(self.method), self.training.rate)
        self._start_average()
        if stored is not None:
            self._go_on(stored)
        if self.processes.first:
            shown = {name: value for name, value in self.header.items() if name != "cameras"}  # thousands of lines
            checkpoint.write_json(self.folder / "settings.json", shown)
            if stored is None:
                self._save()  # what was prepared is not prepared again
        self.processes.wait()
        if self.processes.first and stored is not None:  # all have read: what a kill left may go, also after all steps
            checkpoint.tidy(self.folder, self.training.keep, self.step)

    def _go_on(self, stored: checkpoint.Stored) -> None:
        """Take over what a checkpoint holds beside the weights."""
        self.step, self.history = stored.header["step"], stored.header["history"]
        self._counted = lambda: stored.header.get("counted", {})
        self._began -= stored.header.get("seconds", 0.0)
        self._prepared = stored.header.get("prepared", 0.0)
        self.optimiser.load(stored.part("optimiser"))
        if self.average is not None:
            checkpoint.load(self.average.method, stored.part("average"))

    def _report(self, log: Log) -> None:
        """What is due after this step: a line, samples, an evaluation, a checkpoint."""
        if not self.processes.first:
            return
        training, last = self.training, self.over
        if self.step % training.log_every == 0 or last:
            means = log.line(self.step, rate=training.rate * rate_factor(training, self.step - 1))
            for warning in self.watch.look(self.step, means):
                log.warn(self.step, warning, said(self.step, warning))
        if self.entered:
            log.entered(self.step, self.trained)
        with log.pause():
            shown = self.data if self.validation is None else self.validation
            if training.sample_every and (self.step % training.sample_every == 0 or last or self.entered):
                sheet = self.folder / "samples" / f"{self.step:08d}.png"
                with writing(sheet):
                    log.show(save_samples(sheet, self.result, shown))
            due = training.validate_every and (self.step % training.validate_every == 0 or last)
            if due and self.validation is not None:
                self._validate(log)
            if self.step % training.save_every == 0 or last or time.monotonic() - self._saved > training.save_seconds:
                self._save()

    def _validate(self, log: Log) -> None:
        """Evaluate, and keep the weights if they are the best so far."""
        if self._baseline is None:
            self._baseline = baseline_of(self.data)
        evaluation = evaluate(self.result, self.validation, average=self._baseline)
        value = evaluation.headline_value
        # of runs from before there were figures of which more is better, the figure is the value
        before = [entry.get("value", entry["figures"].get(evaluation.headline)) for entry in self.history]
        figures = checkpoint.plain_figures({**evaluation.figures, "value": value})
        self.history.append({"step": self.step, "value": figures.pop("value"), "figures": figures})
        log.validated(self.step, evaluation.figures, evaluation.headline)
        for warning in evaluation.warnings:
            log.say(f"step {self.step}: {warning}")
        if all(old is None or value < old for old in before):
            self._keep_best()
        self._write_evaluation(evaluation)

    def _keep_best(self) -> None:
        header = {**self._header(), "figures": self.history[-1]["figures"]}
        checkpoint.save_weights(self.folder / "checkpoints" / "best.safetensors", self.result, header)

    def _write_evaluation(self, evaluation: Evaluation) -> None:
        found = evaluation.to_json()
        warnings = [*self.watch.told, *found["warnings"]]
        checkpoint.write_json(self.folder / "evaluation.json", {"step": self.step, **found, "warnings": warnings})

    def _save(self) -> None:
        """A checkpoint of this step; all but the last `keep` go."""
        parts = {"weights": self.method.state_dict(), "optimiser": self.optimiser.state()}
        if self.average is not None:
            parts["average"] = self.average.method.state_dict()
        tensors = {f"{part}/{name}": value for part, held in parts.items() for name, value in held.items()}
        header = {**self._header(), "kind": "checkpoint", "history": self.history, "counted": self._counted()}
        checkpoint.save(self.folder / "checkpoints" / checkpoint.STEP_FILE.format(self.step), tensors, header)
        checkpoint.tidy(self.folder, self.training.keep, self.step)
        self._saved = time.monotonic()

    def _header(self) -> dict[str, Any]:
        """The run's description, how far it is, how long that and its preparation took, and what it was warned of."""
        seconds = {"seconds": time.monotonic() - self._began, "prepared": self._prepared}
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        return {**self.header, "step": self.step, **rounded, "warnings": self.watch.told}

    def _finish(self) -> dict[str, float]:
        """The weights as a file that is complete in itself, and the last figures."""
        figures: dict[str, float | None] = self.history[-1]["figures"] if self.history else {}
        if self.processes.first:
            header = {**self._header(), "figures": figures}
            checkpoint.save_weights(self.folder / "weights.safetensors", self.result, header)
        self.processes.wait()
        return {name: math.nan if value is None else value for name, value in figures.items()}


def _draw_from(seed: int, device: torch.device) -> None:
    """`torch.manual_seed`, which also tells devices that are not there, and for each takes note of the whole stack."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _figures(losses: Losses) -> dict[str, Any]:
    every = {**losses.terms, **losses.figures}
    return {name: value.detach() if isinstance(value, Tensor) else value for name, value in every.items()}


def _names(method: Method) -> dict[nn.Parameter, str]:
    return {parameter: name for name, parameter in method.named_parameters()}


def _check_same(stored: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """A run goes on with the settings it began with."""
    changed = checkpoint.differences(stored, now)
    if changed:
        raise checkpoint.CheckpointError(
            f"{folder} holds a run with other settings: {'; '.join(changed)}. Use another folder, the old settings, or "
            "resume=False (--no-resume) to begin again."
        )
