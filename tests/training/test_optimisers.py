"""Adam against its formula, and a state that can be put away and taken up again."""

from functools import reduce

import pytest
import torch
from torch import Tensor, nn

from unflat.kernels.accumulators import added_up, sparse_rows
from unflat.method import Group
from unflat.training.optimisers import Optimiser, clip, values_of


def parameters() -> tuple[nn.Parameter, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(2, 3, generator=generator)), nn.Parameter(torch.randn(4, generator=generator))


def optimiser(groups: list[Group], *named: nn.Parameter) -> Optimiser:
    return Optimiser(groups, {p: f"p{i}" for i, p in enumerate(named)}, rate=0.1)


def set_gradients(step: int, *named: nn.Parameter) -> None:
    for parameter in named:
        parameter.grad = torch.sin(parameter.detach() * (step + 2)) + 0.1


def adam(start: Tensor, steps: int, rate: float, decay: float, decoupled: bool) -> Tensor:
    """The published rule, in float64."""
    x, m, v = start.detach().double(), torch.zeros(()), torch.zeros(())
    for t in range(1, steps + 1):
        gradient = torch.sin(x.float() * (t + 1)).double() + 0.1
        if decoupled:
            x = x * (1 - rate * decay)
        else:
            gradient = gradient + decay * x
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        x = x - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return x


@pytest.mark.parametrize(("rule", "decoupled"), [("adam", False), ("adamw", True)])
def test_the_rule_is_the_published_one(rule: str, decoupled: bool) -> None:
    p, _ = parameters()
    start = p.detach().clone()
    ours = optimiser([Group([p], rule=rule, rate=0.5, decay=0.3)], p)
    for step in range(5):
        set_gradients(step, p)
        ours.step(step, factor=0.4)
    expected = adam(start, 5, rate=0.1 * 0.5 * 0.4, decay=0.3, decoupled=decoupled)
    torch.testing.assert_close(p.detach().double(), expected, rtol=0, atol=1e-6)


def test_a_groups_own_schedule_takes_the_place_of_the_runs() -> None:
    p, q = parameters()
    before = p.detach().clone(), q.detach().clone()
    ours = optimiser([Group([p], schedule=lambda step: 0.0), Group([q])], p, q)
    set_gradients(0, p, q)
    ours.step(0, factor=1.0)
    assert p.equal(before[0]) and not q.equal(before[1])


def test_a_loaded_state_goes_on_as_if_nothing_had_happened() -> None:
    straight, stopped = parameters(), parameters()
    groups = [[Group([a]), Group([b], rule="adamw", decay=0.1)] for a, b in (straight, stopped)]
    one, two = optimiser(groups[0], *straight), optimiser(groups[1], *stopped)
    for step in range(6):
        if step == 3:
            state = {name: value.clone() for name, value in two.state().items()}
            two = optimiser(groups[1], *stopped)
            two.load(state)
        for ours, pair in ((one, straight), (two, stopped)):
            set_gradients(step, *pair)
            ours.step(step, 1.0)
    assert straight[0].equal(stopped[0]) and straight[1].equal(stopped[1])


def test_regrouping_remembers_what_stayed_and_forgets_what_was_replaced() -> None:
    p, q = parameters()
    ours = optimiser([Group([p, q])], p, q)
    set_gradients(0, p, q)
    ours.step(0, 1.0)
    grown = nn.Parameter(torch.zeros(8))
    new = ours.regrouped([Group([p, grown])], {p: "p0", grown: "p1"})
    assert set(new.state()) == {"p0/step", "p0/exp_avg", "p0/exp_avg_sq"}
    assert new.state()["p0/exp_avg"].equal(ours.state()["p0/exp_avg"])


def test_two_groups_cannot_share_a_parameter() -> None:
    p, _ = parameters()
    with pytest.raises(ValueError, match="a parameter is in two groups"):
        optimiser([Group([p]), Group([p])], p)


def test_an_unknown_rule_is_named() -> None:
    p, _ = parameters()
    with pytest.raises(ValueError, match="no update rule is called sgd; there are adam, adamw"):
        optimiser([Group([p], rule="sgd")], p)


def test_touched_rows_learn_and_the_others_stay(generator: torch.Generator) -> None:
    table = nn.Parameter(torch.zeros(6, 2))
    ours = optimiser([Group([table], rule="touched", rate=2.0, betas=(0.9, 0.99))], table)
    rows = torch.tensor([4, 1])
    table.grad = torch.sparse_coo_tensor(
        rows[None], torch.tensor([[1.0, -3.0], [0.5, 0.2]]), (6, 2), check_invariants=True
    )
    ours.step(0, factor=0.5)
    expected = torch.zeros(6, 2)
    expected[4], expected[1] = torch.tensor([-0.1, 0.1]), torch.tensor([-0.1, -0.1])
    torch.testing.assert_close(table.detach(), expected)


def test_of_a_dense_gradient_what_is_zero_was_not_touched() -> None:
    table = nn.Parameter(torch.ones(2, 2))
    ours = optimiser([Group([table], rule="touched")], table)
    for _ in range(2):
        table.grad = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
        ours.step(0, factor=1.0)
    assert table[:, 0].tolist() == [1, 1] and table[0, 1] < 1 < table[1, 1]


def test_a_dense_gradient_does_what_a_sparse_one_of_the_same_rows_does(generator: torch.Generator) -> None:
    """Loops give the one and kernels of a GPU the other: a run may begin with either. Rows have rates of their own."""
    tables = [nn.Parameter(torch.zeros(6, 3)) for _ in range(2)]
    scales = torch.tensor([1.0, 0.5, 2.0, 1.0, 0.0, 0.25])
    ours = [optimiser([Group([table], rule="touched", scales=scales)], table) for table in tables]
    for _ in range(4):
        rows = torch.randperm(6, generator=generator)[:2]
        given = torch.randn(2, 3, generator=generator)
        given[0, 1] = 0  # moves on by what was there before
        sparse = torch.sparse_coo_tensor(rows[None], given, (6, 3), check_invariants=True)
        for table, one, gradient in zip(tables, ours, (sparse, sparse.to_dense()), strict=True):
            table.grad = gradient
            one.step(0, factor=1.0)
    assert torch.equal(*tables) and tables[0].any()
    for name, value in ours[0].state().items():
        assert torch.equal(value, ours[1].state()[name])


def test_a_state_that_counted_every_entry_is_taken_up_by_rows() -> None:
    """As runs with dense gradients wrote it once."""
    table = nn.Parameter(torch.zeros(2, 3))
    ours = optimiser([Group([table], rule="touched")], table)
    table.grad = torch.ones(2, 3)
    ours.step(0, factor=1.0)
    kept = ours.state()
    (name,) = (name for name in kept if name.endswith("count"))
    kept[name] = torch.tensor([3, 4, 3, 0, 0, 0], dtype=torch.int32)
    ours.load(kept)
    table.grad = torch.ones(2, 3)
    ours.step(1, factor=1.0)
    assert ours.state()[name].tolist() == [5, 1]


def test_a_state_of_touched_rows_is_put_away_and_taken_up(generator: torch.Generator) -> None:
    def learned(steps: int, stop: int) -> Tensor:
        table = nn.Parameter(torch.zeros(5, 3))
        ours = optimiser([Group([table], rule="touched")], table)
        drawn = torch.Generator().manual_seed(1)
        for step in range(steps):
            if step == stop:
                kept = {name: value.clone() for name, value in ours.state().items()}
                ours = optimiser([Group([table], rule="touched")], table)
                ours.load(kept)
            rows = torch.randperm(5, generator=drawn)[:2]
            table.grad = torch.sparse_coo_tensor(
                rows[None], torch.randn(2, 3, generator=drawn), (5, 3), check_invariants=True
            )
            ours.step(step, factor=1.0)
        return table.detach()

    assert torch.equal(learned(9, stop=4), learned(9, stop=-1))


def test_touched_rows_know_no_decay() -> None:
    table = nn.Parameter(torch.zeros(2, 2))
    ours = optimiser([Group([table], rule="touched", decay=0.1)], table)
    table.grad = torch.ones(2, 2)
    with pytest.raises(ValueError, match="knows no decay"):
        ours.step(0, factor=1.0)


def test_rmsprop_of_touched_rows(generator: torch.Generator) -> None:
    """The first step is as long as the rate, a dense gradient does what a sparse one does, and others stay."""
    tables = [nn.Parameter(torch.zeros(6, 3)) for _ in range(2)]
    ours = [optimiser([Group([t], rule="touched_rmsprop", betas=(0.0, 0.95), rate=2.0)], t) for t in tables]
    for step in range(4):
        rows = torch.tensor([4, 1]) if step == 0 else torch.randperm(5, generator=generator)[:2]
        given = torch.randn(2, 3, generator=generator)
        sparse = torch.sparse_coo_tensor(rows[None], given, (6, 3), check_invariants=True)
        for table, one, gradient in zip(tables, ours, (sparse, sparse.to_dense()), strict=True):
            table.grad = gradient
            one.step(0, factor=0.5)
        if step == 0:
            torch.testing.assert_close(tables[0].detach()[rows], -0.1 * given.sign(), rtol=1e-4, atol=1e-5)
    assert torch.equal(*tables) and not tables[0][5].any()
    assert set(ours[0].state()) == {"p0/square"}
    with pytest.raises(ValueError, match="knows neither decay nor scales of rows: take touched"):
        optimiser([Group(tables[:1], rule="touched_rmsprop", decay=0.1)], tables[0]).step(0, factor=1.0)


def test_clipping_scales_sparse_gradients_as_it_does_dense_ones() -> None:
    dense, sparse = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4, 2))
    dense.grad = torch.tensor([1.0, 2.0, 2.0])
    sparse.grad = torch.sparse_coo_tensor(
        torch.tensor([[3]]), torch.tensor([[0.0, 4.0]]), (4, 2), check_invariants=True
    ).coalesce()
    norm = torch.nn.utils.get_total_norm([values_of(p.grad) for p in (dense, sparse)])
    assert norm.item() == pytest.approx(5)
    clip([dense, sparse], 1.0, norm)
    torch.testing.assert_close(dense.grad, torch.tensor([0.2, 0.4, 0.4]), rtol=1e-5, atol=0)
    torch.testing.assert_close(sparse.grad.to_dense()[3], torch.tensor([0.0, 0.8]), rtol=1e-5, atol=0)
    clip([dense, sparse], 10.0, norm / 5)
    torch.testing.assert_close(dense.grad, torch.tensor([0.2, 0.4, 0.4]), rtol=1e-5, atol=0)


def test_rows_of_loops_that_several_losses_touched_are_added_up() -> None:
    """Loops list their rows in any order, which torch does not expect of what it adds."""
    one, two = (sparse_rows(torch.tensor(rows), torch.ones(len(rows), 2), 8) for rows in ([5, 2], [2, 7, 5]))
    total = added_up(one + two)
    assert sorted(total._indices()[0].tolist()) == [2, 5, 7]
    assert total.to_dense()[:, 0].tolist() == [0, 0, 2, 0, 0, 2, 0, 1]


def test_a_row_that_several_losses_touched_learns_from_their_sum() -> None:
    """Adam would make other steps of the parts one after the other."""
    tables = [nn.Parameter(torch.zeros(3, 1)) for _ in range(2)]
    one, two = ([0, 2], [1.0, 4.0]), ([2], [-3.0])
    for table, parts in zip(tables, ([one, two], [([0, 2], [1.0, 1.0])]), strict=True):
        ours = optimiser([Group([table], rule="touched")], table)
        for _ in range(3):
            made = (
                torch.sparse_coo_tensor(
                    torch.tensor([rows]), torch.tensor(values)[:, None], (3, 1), check_invariants=True
                )
                for rows, values in parts
            )
            table.grad = reduce(torch.add, made)
            ours.step(0, factor=1.0)
    assert torch.equal(tables[0], tables[1])


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_a_step_that_has_touched_nothing_changes_nothing(shape: tuple[int, ...]) -> None:
    """Of a field that is empty as yet, no ray meets anything."""
    p = nn.Parameter(torch.ones(shape))
    ours = optimiser([Group([p], rule="touched")], p)
    p.grad = torch.sparse_coo_tensor(
        torch.zeros(1, 0, dtype=torch.long), torch.zeros(0, *shape[1:]), shape, check_invariants=True
    )
    ours.step(0, factor=1.0)
    assert p.equal(torch.ones(shape))
