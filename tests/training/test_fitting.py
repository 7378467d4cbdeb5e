"""Settings for other data: few pictures are not seen hundreds of times, and what changes has its reason."""

import pytest
from tilt import Config, Tilt

from unflat.training.experiment import Experiment
from unflat.training.fitting import EPOCHS, batch_and_steps, fitted
from unflat.training.settings import Training


@pytest.mark.parametrize("batch", [16, 64])
@pytest.mark.parametrize("count", [2, 50, 159, 500, 3000, 20_000, 1_000_000])
def test_pictures_are_not_seen_hundreds_of_times(count: int, batch: int) -> None:
    size, steps = batch_and_steps(count, batch, 18_000)
    assert 4 <= size <= batch and 1 <= steps <= 18_000
    assert size * steps <= EPOCHS * count
    assert steps == 18_000 or size * (steps + 1) > EPOCHS * count, "and no seldomer, if there are steps enough"


def test_what_is_enough_is_left_alone() -> None:
    assert batch_and_steps(20_000, 16, 18_000) == (16, 18_000)
    assert batch_and_steps(500, 16, 18_000) == (16, 3125)
    assert batch_and_steps(159, 16, 18_000) == (7, 2271)
    assert batch_and_steps(50, 16, 18_000) == (4, 1250)
    assert batch_and_steps(50, 2, 30) == (2, 30), "never more than was asked for"


def test_only_what_changes_has_a_reason() -> None:
    before = Experiment(Tilt, Config(width=4), Training(steps=9, rate=0.5))
    chosen = {"training.steps": (5, "few"), "config.width": (4, "as it was"), "config.batch_size": (2, "small")}
    after, reasons = fitted(before, chosen)
    assert reasons == {"training.steps": "few", "config.batch_size": "small"}
    assert after.training == Training(steps=5, rate=0.5) and after.config == Config(width=4, batch_size=2)
    assert before.training.steps == 9 and after.method is Tilt
