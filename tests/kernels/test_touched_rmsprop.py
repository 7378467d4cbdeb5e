"""RMSProp of touched rows: the loop against its twin, and both against torch's own RMSProp."""

import pytest
import torch

from unflat.kernels.touched_rmsprop import rmsprop_rows, rmsprop_rows_torch

NUMBERS = {"rate": 0.1, "beta": 0.95, "eps": 1e-8}
both = pytest.mark.parametrize("run", [rmsprop_rows, rmsprop_rows_torch], ids=["loop", "twin"])


def tables(rows: int = 7, columns: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """A table, and the running mean of its gradient's square."""
    table = torch.arange(rows * columns).float().view(rows, columns)
    return table, torch.zeros_like(table)


@both
def test_rows_that_are_touched_every_time_learn_as_by_torch(run: object, generator: torch.Generator) -> None:
    """torch's mean begins with 0: it is given the first square, which it then keeps."""
    table, square = tables()
    theirs = torch.nn.Parameter(table.clone())
    rmsprop = torch.optim.RMSprop([theirs], lr=0.1, alpha=0.95, eps=1e-8)
    for step in range(30):
        gradient = torch.randn(7, 3, generator=generator)
        run(table, torch.arange(7), gradient, square, **NUMBERS)  # type: ignore[operator]
        theirs.grad = gradient
        if step == 0:
            state = {"step": torch.tensor(0.0), "square_avg": gradient.square()}
            rmsprop.state[theirs] = state
        rmsprop.step()
    torch.testing.assert_close(table, theirs.detach(), rtol=1e-5, atol=1e-5)


@both
def test_what_is_not_touched_stays_to_the_bit(run: object, generator: torch.Generator) -> None:
    table, square = tables()
    before = table.clone()
    for _ in range(3):
        run(table, torch.tensor([5, 2]), torch.randn(2, 3, generator=generator), square, **NUMBERS)  # type: ignore[operator]
    others = [0, 1, 3, 4, 6]
    assert torch.equal(table[others], before[others]) and not square[others].any()
    assert (square[[2, 5]] > 0).all()


@both
@pytest.mark.parametrize("gradient", [0.3, -7.0, 1e-6])
def test_the_first_step_of_an_entry_is_as_long_as_the_rate(run: object, gradient: float) -> None:
    table, square = tables(2, 1)
    run(table, torch.tensor([1]), torch.tensor([[gradient]]), square, **{**NUMBERS, "eps": 1e-12})  # type: ignore[operator]
    assert table[1].item() == pytest.approx(1 - 0.1 * (1 if gradient > 0 else -1), abs=1e-5)


@both
def test_without_any_gradient_nothing_moves(run: object) -> None:
    table, square = tables(2, 2)
    run(table, torch.tensor([1]), torch.tensor([[0.0, 1.0]]), square, **NUMBERS)  # type: ignore[operator]
    assert table[1, 0] == 2 and square[1, 0] == 0


def test_the_loop_and_its_twin_agree_for_long(generator: torch.Generator) -> None:
    ours, theirs = tables(20, 5), tables(20, 5)
    for _ in range(500):
        rows = torch.randperm(20, generator=generator)[:8]
        gradient = torch.randn(8, 5, generator=generator)
        rmsprop_rows(ours[0], rows, gradient, ours[1], **NUMBERS)
        rmsprop_rows_torch(theirs[0], rows, gradient, theirs[1], **NUMBERS)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
