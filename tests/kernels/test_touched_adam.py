"""Adam of touched rows: the loop against its twin, and the twin against torch's own Adam."""

import pytest
import torch

from unflat.kernels.touched_adam import all_different, update_rows, update_rows_torch

NUMBERS = {"rate": 0.1, "betas": (0.9, 0.99), "eps": 1e-8}


def tables(rows: int = 7, columns: int = 3) -> list[torch.Tensor]:
    """A table, its running means, and its counts."""
    table = torch.arange(rows * columns).float().view(rows, columns)
    return [table, torch.zeros_like(table), torch.zeros_like(table), torch.zeros(rows, dtype=torch.int32)]


@pytest.mark.parametrize("run", [update_rows, update_rows_torch])
def test_rows_that_are_touched_every_time_learn_as_by_torch(run: object, generator: torch.Generator) -> None:
    table, mean, square, count = tables()
    theirs = torch.nn.Parameter(table.clone())
    adam = torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99), eps=1e-8)
    for _ in range(30):
        gradient = torch.randn(7, 3, generator=generator)
        run(table, torch.arange(7), gradient, mean, square, count, **NUMBERS)  # type: ignore[operator]
        theirs.grad = gradient
        adam.step()
    torch.testing.assert_close(table, theirs.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("run", [update_rows, update_rows_torch])
def test_what_is_not_touched_stays_to_the_bit_and_does_not_age(run: object, generator: torch.Generator) -> None:
    state = tables()
    before = [part.clone() for part in state]
    for _ in range(3):
        run(state[0], torch.tensor([5, 2]), torch.randn(2, 3, generator=generator), *state[1:], **NUMBERS)  # type: ignore[operator]
    others = [0, 1, 3, 4, 6]
    assert all(torch.equal(a[others], b[others]) for a, b in zip(state, before, strict=True))
    assert state[3].tolist() == [0, 0, 3, 0, 0, 3, 0]
    assert not torch.equal(state[0][2], before[0][2])


def test_the_first_step_of_a_row_is_as_long_as_the_rate_whenever_it_comes() -> None:
    state = tables(2, 1)
    for _ in range(50):
        update_rows(state[0], torch.tensor([0]), torch.tensor([[0.3]]), *state[1:], **NUMBERS)  # type: ignore[arg-type]
    before = state[0][1].item()
    update_rows(state[0], torch.tensor([1]), torch.tensor([[-7.0]]), *state[1:], **NUMBERS)  # type: ignore[arg-type]
    assert state[0][1].item() == pytest.approx(before + 0.1, abs=1e-5)


def test_the_loop_and_its_twin_agree_for_long(generator: torch.Generator) -> None:
    ours, theirs = tables(20, 5), tables(20, 5)
    for _ in range(5000):
        rows = torch.randperm(20, generator=generator)[:8]
        gradient = torch.randn(8, 5, generator=generator)
        update_rows(ours[0], rows, gradient, *ours[1:], **NUMBERS)  # type: ignore[arg-type]
        update_rows_torch(theirs[0], rows, gradient, *theirs[1:], **NUMBERS)  # type: ignore[arg-type]
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-3, atol=1e-3)
    assert torch.equal(ours[3], theirs[3])


def test_rows_that_are_named_twice_are_seen() -> None:
    count = torch.tensor([3, 0, 7, 1], dtype=torch.int32)
    before = count.clone()
    for rows, different in (([], True), ([2], True), ([0, 3, 1, 2], True), ([0, 3, 0], False), ([1, 1], False)):
        assert all_different(torch.tensor(rows, dtype=torch.long), count) == different
        assert torch.equal(count, before)
