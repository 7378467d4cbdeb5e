"""Marches through densities: loops against the twin for every kind of table, and against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels import density_march as march
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import (
    Decoded,
    decoded_march,
    decoded_march_packed,
    decoded_march_torch,
    density_march,
    density_march_torch,
)
from unflat.kernels.hash_lookup import Hashed, hash_looked_up_torch, levels_of
from unflat.kernels.lookup import Box, Lines, Pairs, Table, Voxels, tables_of
from unflat.kernels.walking import Cells, Walk

SHAPE = (9, 11, 13)
BACKENDS = [density_march, density_march_torch]
KINDS = ["voxels", "pairs", "lines"]


def table(kind: str, generator: torch.Generator) -> Table:
    x, y, z = SHAPE

    def some(rows: int, channels: int = 5) -> Tensor:
        return torch.randn(rows, channels, generator=generator).requires_grad_()

    if kind == "voxels":
        return Voxels(some(x * y * z, 1), SHAPE)
    if kind == "pairs":
        return Pairs((some(x * y), some(x * z), some(y * z)), (some(z), some(y), some(x)))
    return Lines((some(x), some(y), some(z)))


def cells(unbounded: bool = False) -> Cells:
    """With a third of them empty."""
    high = torch.tensor([2.0, 2.0, 2.0]) if unbounded else torch.tensor([1.0, 1.2, 0.9])
    occupied = torch.zeros(8, 8, 8, dtype=torch.bool)
    occupied[3:] = True
    return Cells(-high, high, clearance(occupied))


def rays(count: int, generator: torch.Generator) -> Rays:
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3
    towards = torch.nn.functional.normalize(-places + torch.randn(count, 3, generator=generator) * 0.5, dim=1)
    near, far = torch.full((count,), 0.05), torch.full((count,), 20.0)
    return Rays(places, towards, towards, near, far, torch.arange(count) * 7)


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("kind", KINDS)
def test_loops_and_twin_agree(kind: str, unbounded: bool, generator: torch.Generator) -> None:
    field, some = table(kind, generator), rays(150, generator)
    walk = Walk(0.05, unbounded, thickness=0.3, shift=1.0, key=123)
    ours, theirs = (run(some, field, cells(unbounded), walk) for run in BACKENDS)
    assert len(ours.weight) > 500
    torch.testing.assert_close(ours.through, theirs.through, rtol=1e-3, atol=1e-4)
    if len(ours.weight) != len(theirs.weight):  # a sample at the very limit was left out by one of them
        assert abs(len(ours.weight) - len(theirs.weight)) < 5
        return
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-4)
    weight = torch.sin(torch.arange(len(ours.weight)).float())
    seen = torch.cos(torch.arange(len(some)).float())
    found = (
        torch.autograd.grad((m.weight * weight).sum() + (m.through * seen).sum(), tables_of(field))
        for m in (ours, theirs)
    )
    for a, b in zip(*found, strict=True):
        a = a.to_dense() if a.is_sparse else a
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_rectified_loops_and_twin_agree(generator: torch.Generator) -> None:
    field, some = table("voxels", generator), rays(150, generator)
    walk = Walk(0.05, False, 1.5, 0.3, key=5, thinnest=1e-12, least=0.0, last=1e-7, activation="relu")
    ours, theirs = (run(some, field, cells(), walk) for run in BACKENDS)
    assert len(ours.weight) > 500
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-4)
    found = [torch.autograd.grad((m.weight * m.t).sum(), tables_of(field))[0].to_dense() for m in (ours, theirs)]
    assert (found[0] - found[1]).abs().max() <= 1e-4 * found[1].abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_and_what_passes_make_one(backend: object, generator: torch.Generator) -> None:
    seen = backend(rays(50, generator), table("pairs", generator), cells(), Walk(0.05, False, 0.3, 1.0))  # type: ignore[operator]
    total = torch.zeros(50).index_add(0, seen.ray, seen.weight) + seen.through
    torch.testing.assert_close(total, torch.ones(50), rtol=0, atol=1e-5)
    assert (seen.weight > 0).all() and (seen.ray.diff() >= 0).all()
    torch.testing.assert_close(
        seen.gathered(torch.ones(len(seen.weight), 1))[:, 0], 1 - seen.through, rtol=0, atol=1e-5
    )
    same = seen.ray[1:] == seen.ray[:-1]
    assert (seen.t.diff()[same] > 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cube_of_one_stuff_absorbs_as_it_should(backend: object) -> None:
    along = torch.tensor([[1.0, 0.0, 0.0]])
    ray = Rays(torch.tensor([[-3.0, 0.0, 0.1]]), along, along, torch.zeros(1), torch.tensor([99.0]), torch.tensor([0]))
    box = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), torch.zeros(2, 2, 2, dtype=torch.uint8))
    field = Lines((torch.full((4, 2), 1.0), torch.full((4, 2), 0.5), torch.full((4, 2), 1.0)))  # 2 times 0.5 is 1
    walk = Walk(0.02, False, thickness=0.7 * 0.02, shift=1.0, thinnest=1e-6, least=1e-6, last=1e-6)
    seen = backend(ray, field, box, walk)  # type: ignore[operator]
    assert seen.through.item() == pytest.approx(math.exp(-0.7 * math.log(2) * 2), abs=1e-4)
    assert seen.points[:, 0].min() >= -1 and seen.points[:, 0].max() <= 1
    torch.testing.assert_close(seen.points, ray.origins + seen.t[:, None] * ray.directions)


def test_room_for_samples_grows(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    field, some, walk = table("voxels", generator), rays(200, generator), Walk(0.01, False, 0.01, 1.0, thinnest=1e-6)
    usual = density_march(some, field, cells(), walk)
    monkeypatch.setattr(march, "ROOM", 1)
    assert torch.equal(density_march(some, field, cells(), walk).weight, usual.weight)


def test_more_threads_change_nothing(generator: torch.Generator) -> None:
    field, some, walk = table("pairs", generator), rays(2000, generator), Walk(0.05, False, 0.1, 1.0, key=5)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(density_march(some, field, cells(), walk))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


# -- a density that a network makes ------------------------------------------------------------------------------------


def decoded(generator: torch.Generator, shift: float = 0.0) -> Decoded:
    """Of the logarithms about half are above `shift`."""
    sizes, most = (3, 6, 11), 2**9
    rows = sum(count for _, count in levels_of(sizes, most))

    def some(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    return Decoded(Hashed(some(rows, 2), sizes, most), some(16, 6), some(16), some(16) * 0.5, torch.tensor(shift))


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
def test_loop_and_twin_agree_on_a_density_that_a_network_makes(unbounded: bool, generator: torch.Generator) -> None:
    field, some = decoded(generator), rays(150, generator)
    walk = Walk(0.05, unbounded, 0.1, 0.5, key=123, least=1e-3, last=1e-2, activation="exp")
    ours, theirs = (run(some, field, cells(unbounded), walk) for run in (decoded_march, decoded_march_torch))
    assert len(ours[0]) > 500
    if len(ours[0]) != len(theirs[0]):  # a sample at the very limit was left out by one of them
        assert abs(len(ours[0]) - len(theirs[0])) < 5
        return
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("room", [None, 7], ids=["at once", "in pieces"])
def test_packed_as_the_loop(
    unbounded: bool, room: int | None, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU does."""
    field, some = decoded(generator), rays(150, generator)
    walk = Walk(0.05, unbounded, 0.1, 0.5, key=123, least=2e-2, last=1e-1, activation="exp")
    if room is not None:
        monkeypatch.setattr(march, "RAYS", room * 9)
        monkeypatch.setattr(march, "POINTS", room * 11)
    ours, theirs = (run(some, field, cells(unbounded), walk) for run in (decoded_march_packed, decoded_march))
    assert len(ours[0]) > 500
    if len(ours[0]) != len(theirs[0]):  # a sample at the very limit was left out by one of them
        assert abs(len(ours[0]) - len(theirs[0])) < 5
        return
    assert torch.equal(ours[0], theirs[0])
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_packed_of_no_rays_and_of_nothing(generator: torch.Generator) -> None:
    nothing, field = cells()._replace(clear=clearance(torch.zeros(8, 8, 8, dtype=torch.bool))), decoded(generator)
    for some, space in ((rays(5, generator)[:0], cells()), (rays(5, generator), nothing)):
        ray, t, points = decoded_march_packed(some, field, space, Walk(0.05, False, 0.1, 0.5, activation="exp"))
        assert len(ray) == len(t) == 0 and points.shape == (0, 3)


def test_a_gpu_walks_packed(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensors only say that they are on one."""

    class OnAGpu(Tensor):
        device = torch.device("cuda", 0)  # type: ignore[assignment]

    def answer(*_: object) -> None:
        raise InterruptedError("packed")

    monkeypatch.setattr(march, "decoded_march_packed", answer)
    field, walk = decoded(generator), Walk(0.05, False, 0.1, 0.5, activation="exp")
    there = field._replace(table=field.table._replace(values=field.table.values.as_subclass(OnAGpu)))
    with pytest.raises(InterruptedError, match="packed"):
        decoded_march(rays(2, generator), there, cells(), walk)


def test_the_density_that_a_network_makes_is_written_out(generator: torch.Generator) -> None:
    """Which samples count, by a loop over the steps of one ray, of densities as the paper writes them."""
    field, box = decoded(generator), cells()._replace(clear=torch.zeros(2, 2, 2, dtype=torch.uint8))
    along = torch.tensor([[1.0, 0.0, 0.0]])
    ray = Rays(torch.tensor([[-3.0, 0.2, 0.1]]), along, along, torch.zeros(1), torch.tensor([99.0]), torch.tensor([0]))
    walk = Walk(0.1, False, 0.1, 0.7, thinnest=0.02, least=0.01, last=0.05, activation="exp")
    expected, passing = [], 1.0
    for number in range(20):
        t = 2.0 + 0.1 * (number + 0.5)
        at = ray.origins + t * along
        features = hash_looked_up_torch(at, field.table, Box(box.low, box.high))[0]
        hidden = [max(0.0, float(features @ w + b)) for w, b in zip(field.hidden, field.hidden_bias, strict=True)]
        density = math.exp(sum(h * float(w) for h, w in zip(hidden, field.last, strict=True)) - 0.7)
        alpha = 1 - math.exp(-0.1 * density)
        if passing >= 0.05 and alpha > 0.02 and passing * alpha > 0.01:
            expected.append(t)
            passing *= 1 - alpha
    _, t, points = decoded_march(ray, field, box, walk)
    assert 3 < len(expected) < 20
    assert t.tolist() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(points, ray.origins + t[:, None] * along)


def test_logarithms_are_kept_from_densities_without_end(generator: torch.Generator) -> None:
    field, walk = decoded(generator, 500.0), Walk(0.05, False, 0.05, 0.0, activation="exp")
    ray, t, points = decoded_march(rays(40, generator), field, cells(), walk)
    assert torch.bincount(ray).max() == 1 and t.isfinite().all() and points.isfinite().all()


def test_only_an_exponential_is_walked_with(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="walk with exp, not with softplus"):
        decoded_march(rays(2, generator), decoded(generator), cells(), Walk(0.05, False, 0.3, 1.0))


def test_room_and_threads_change_no_samples(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    field, some = decoded(generator, -2.0), rays(2000, generator)
    walk, before = Walk(0.05, False, 0.05, 0.0, key=7, activation="exp"), torch.get_num_threads()
    usual = decoded_march(some, field, cells(), walk)
    monkeypatch.setattr(march, "ROOM", 1)
    try:
        torch.set_num_threads(2)
        again = decoded_march(some, field, cells(), walk)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))
