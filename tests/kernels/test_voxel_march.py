"""The march through voxels: its loops against the readable twin, and the twin against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.geometry.spaces import Rays, contracted
from unflat.geometry.spherical_harmonics import BANDS
from unflat.kernels import voxel_march as march
from unflat.kernels.clearance import clearance
from unflat.kernels.voxel_march import Voxels, voxel_march, voxel_march_torch
from unflat.kernels.walking import Cells, Walk, jitter, raw_at, spread_of

BACKENDS = [voxel_march, voxel_march_torch]
backend = pytest.mark.parametrize("backend", BACKENDS, ids=["loops", "torch"])
RELU = {"activation": "relu"}
SHAPE = (9, 11, 13)


def test_the_loops_are_what_is_tested() -> None:
    pytest.importorskip("numba")
    assert march._loops() is not None


def rays(count: int, generator: torch.Generator) -> Rays:
    """From around the origin past it."""
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3
    towards = torch.nn.functional.normalize(-places + torch.randn(count, 3, generator=generator) * 0.5, dim=1)
    near, far = torch.full((count,), 0.05), torch.full((count,), 20.0)
    return Rays(places, towards, towards, near, far, torch.arange(count) * 7)


def voxels(bands: int, generator: torch.Generator, *, unbounded: bool = False) -> Voxels:
    """Random ones, with a third of the coarse cells empty and some voxels without colours."""
    count = math.prod(SHAPE)
    row_of = torch.arange(count, dtype=torch.int32).view(SHAPE)
    row_of[:, :2] = -1
    high = torch.tensor([2.0, 2.0, 2.0]) if unbounded else torch.tensor([1.0, 1.2, 0.9])
    occupied = torch.zeros(8, 8, 8, dtype=torch.bool)
    occupied[3:] = True
    density = torch.randn(count, generator=generator) * 3 + 2
    colour = torch.randn(count, 3 * bands, generator=generator)
    return Voxels(density.requires_grad_(), colour.requires_grad_(), row_of, Cells(-high, high, clearance(occupied)))


def gradients(marched: march.Marched, of: tuple[Tensor, ...]) -> list[Tensor]:
    """Of a sum of all that comes out, each number weighed differently."""
    weight = torch.sin(torch.arange(marched.rgb.numel()).float()).view_as(marched.rgb)
    along = torch.stack([marched.through, marched.distance, 3 * marched.spread], 1)
    loss = (marched.rgb * weight).sum() + (along * weight).sum()
    return [g.to_dense() if g.is_sparse else g for g in torch.autograd.grad(loss, of)]


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("bands", BANDS)
def test_loops_and_twin_agree(bands: int, unbounded: bool, generator: torch.Generator) -> None:
    grid, some = voxels(bands, generator, unbounded=unbounded), rays(200, generator)
    background = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    for key in (0, 1234567890123):
        walk = Walk(0.05, unbounded, thickness=0.2, shift=4.0, key=key)
        ours, theirs = (run(some, grid, walk, background) for run in BACKENDS)
        alike = ours.samples == theirs.samples  # a sample at the very limit may be left out by one of them
        assert alike.float().mean() > 0.99 and ours.samples.sum() > 1000
        for a, b in zip(ours[:4], theirs[:4], strict=True):
            torch.testing.assert_close(a[alike], b[alike], rtol=1e-4, atol=1e-4)
        if alike.all():
            of = grid.density, grid.colour, background
            for a, b in zip(gradients(ours, of), gradients(theirs, of), strict=True):
                assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("of_what", ["density", "colour", "both"])
def test_rectified_loops_and_twin_agree(of_what: str, unbounded: bool, generator: torch.Generator) -> None:
    grid, some = voxels(9, generator, unbounded=unbounded), rays(200, generator)
    background = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    if of_what != "density":
        grid = grid._replace(**RELU)
    rule = {} if of_what == "colour" else RELU
    walk = Walk(0.05, unbounded, thickness=0.2, shift=1.0, key=99, thinnest=1e-12, least=0.0, last=1e-7, **rule)
    ours, theirs = (run(some, grid, walk, background) for run in BACKENDS)
    assert torch.equal(ours.samples, theirs.samples) and ours.samples.sum() > 1000
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    of = grid.density, grid.colour, background
    for a, b in zip(gradients(ours, of), gradients(theirs, of), strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@pytest.mark.parametrize("rule", ["usual", "relu"])
def test_gradients_are_those_of_finite_differences(rule: str, generator: torch.Generator) -> None:
    """Of the twin, in float64, with a walk that leaves nothing out: no sample comes or goes."""
    grid, some = voxels(4, generator), rays(20, generator)
    exact = Walk(0.1, False, thickness=0.3, shift=2.0, thinnest=0.0, least=0.0, last=0.0)
    if rule == "relu":
        exact, grid = exact._replace(**RELU), grid._replace(**RELU)
    some = Rays(
        *(part.double() for part in (some.origins, some.directions, some.sights, some.near, some.far)), some.index
    )
    cells = Cells(grid.cells.low.double(), grid.cells.high.double(), grid.cells.clear)

    def outputs(density: Tensor, colour: Tensor, background: Tensor) -> tuple[Tensor, ...]:
        wide = grid._replace(density=density, colour=colour, cells=cells)
        return voxel_march_torch(some, wide, exact, background)[:4]

    given = (grid.density.detach().double(), grid.colour.detach().double(), torch.tensor([0.2, 0.5, 0.9]).double())
    assert torch.autograd.gradcheck(outputs, [part.requires_grad_() for part in given], fast_mode=True)


def uniform(raw: float, colour: float) -> Voxels:
    """A cube of side 2 full of one stuff."""
    shape = (5, 5, 5)
    row_of = torch.arange(125, dtype=torch.int32).view(shape)
    sides = torch.full((3,), -1.0), torch.full((3,), 1.0)
    harmonic = math.log(colour / (1 - colour)) / 0.28209479177387814
    clear = torch.zeros(2, 2, 2, dtype=torch.uint8)
    return Voxels(torch.full((125,), raw), torch.full((125, 3), harmonic), row_of, Cells(*sides, clear))


def straight(offset: float = 0.0) -> Rays:
    """Through the cube along x."""
    along = torch.tensor([[1.0, 0.0, 0.0]])
    place = torch.tensor([[-3.0, offset, 0.1]])
    return Rays(place, along, along, torch.tensor([0.0]), torch.tensor([99.0]), torch.tensor([0]))


@backend
def test_a_cube_of_one_stuff_absorbs_as_it_should(backend: object) -> None:
    """Beer and Lambert: through = exp(-density * length), whatever the step."""
    for step in (0.5, 0.1, 0.02):
        walk = Walk(step, False, thickness=0.7 * step, shift=0.0, thinnest=1e-6, least=1e-6, last=1e-6)
        seen = backend(straight(), uniform(0.0, 0.3), walk, torch.tensor([1.0, 0.0, 0.5]))  # type: ignore[operator]
        through = math.exp(-0.7 * math.log(2) * 2)
        assert seen.through.item() == pytest.approx(through, abs=1e-4)
        expected = [0.3 * (1 - through) + through * b for b in (1.0, 0.0, 0.5)]
        assert seen.rgb[0].tolist() == pytest.approx(expected, abs=1e-4)


@backend
def test_a_rectified_density_is_absorption_per_length(backend: object) -> None:
    """Beer and Lambert again, and nothing at all where it is negative."""
    for raw, through in ((0.7, math.exp(-0.7 * 2)), (-0.7, 1.0), (0.0, 1.0)):
        walk = Walk(0.1, False, thickness=0.1, shift=0.0, thinnest=1e-11, least=0.0, last=1e-7, **RELU)
        seen = backend(straight(), uniform(raw, 0.3), walk, torch.zeros(3))  # type: ignore[operator]
        assert seen.through.item() == pytest.approx(through, abs=1e-5)
        assert (seen.samples.item() > 0) == (raw > 0)


@backend
def test_rectified_colours_are_grey_without_harmonics_and_never_negative(backend: object) -> None:
    walk = Walk(0.1, False, thickness=100.0, shift=0.0)
    for first, colour in ((0.0, 0.5), (1.0, 0.5 + 0.28209479), (9.0, 0.5 + 9 * 0.28209479), (-9.0, 0.0)):
        grid = uniform(3.0, 0.5)._replace(**RELU)
        seen = backend(straight(), grid._replace(colour=torch.full((125, 3), first)), walk, torch.zeros(3))  # type: ignore[operator]
        assert seen.rgb[0].tolist() == pytest.approx([colour] * 3, abs=5e-3)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_the_thinnest_sample_is_as_thin_as_was_asked(activation: str) -> None:
    walk = Walk(0.1, False, thickness=0.3, shift=0.0, thinnest=0.02, activation=activation)  # type: ignore[arg-type]
    thick = walk.thickness * walk.activated(torch.tensor(raw_at(walk), dtype=torch.float64))
    assert 1 - math.exp(-thick.item()) == pytest.approx(0.02)


@backend
def test_a_wall_is_seen_where_it_is(backend: object) -> None:
    walk = Walk(0.01, False, thickness=100.0, shift=0.0)
    seen = backend(straight(), uniform(3.0, 0.5), walk, torch.zeros(3))  # type: ignore[operator]
    assert seen.through.item() < 1e-3 and seen.distance.item() == pytest.approx(2.0, abs=0.011)


@backend
def test_beside_the_box_and_where_all_is_empty_only_the_background_is_seen(backend: object) -> None:
    full, walk, shade = uniform(3.0, 0.5), Walk(0.1, False, 1.0, 0.0), torch.tensor([0.1, 0.2, 0.3])
    empty = full._replace(cells=full.cells._replace(clear=torch.full((2, 2, 2), 255, dtype=torch.uint8)))
    for some, grid in ((straight(offset=5.0), full), (straight(), empty)):
        seen = backend(some, grid, walk, shade)  # type: ignore[operator]
        assert torch.equal(seen.rgb[0], shade) and seen.through.item() == 1 and seen.samples.item() == 0


@backend
def test_what_is_jumped_over_does_not_move_the_samples_behind_it(backend: object) -> None:
    """Cells that hold nothing may be said to be empty or not: the picture is the same."""
    grid = uniform(0.0, 0.3)
    density = grid.density.view(5, 5, 5).clone()
    density[:3] = -50.0
    occupied = torch.ones(8, 8, 8, dtype=torch.bool)
    occupied[:4] = False
    walk = Walk(0.07, False, 0.1, 0.0, key=99)
    known = grid._replace(density=density.flatten(), cells=grid.cells._replace(clear=clearance(occupied)))
    unknown = known._replace(cells=grid.cells._replace(clear=torch.zeros(1, 1, 1, dtype=torch.uint8)))
    a, b = (backend(straight(), one, walk, torch.ones(3)) for one in (known, unknown))  # type: ignore[operator]
    torch.testing.assert_close(a.rgb, b.rgb, rtol=0, atol=1e-5)
    assert a.samples.item() == b.samples.item() > 0


@backend
def test_the_far_side_of_space_without_end_is_seen(backend: object) -> None:
    """A shell from 5 units out (1.8 in contracted coordinates) on, seen from near the origin."""
    shape = (41, 41, 41)
    axis = torch.linspace(-2, 2, 41)
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).abs().amax(-1)
    inside = (distance > 1.79) & (distance < 1.91)
    density = torch.where(inside, 9.0, -50.0).flatten()
    row_of = torch.arange(41**3, dtype=torch.int32).view(shape)
    sides = torch.full((3,), -2.0), torch.full((3,), 2.0)
    cells = Cells(*sides, clearance(torch.ones(4, 4, 4, dtype=torch.bool)))
    grid = Voxels(density, torch.zeros(41**3, 3), row_of, cells)
    some = straight()
    some = Rays(
        torch.tensor([[0.3, 0.0, 0.0]]), some.directions, some.sights, some.near, torch.tensor([1e3]), some.index
    )
    seen = backend(some, grid, Walk(0.02, True, 5.0, 0.0), torch.ones(3))  # type: ignore[operator]
    assert seen.through.item() < 1e-3
    assert 4.0 < seen.distance.item() + 0.3 < 5.5, "between the voxels before and on it"


def test_spread_is_that_of_all_pairs(generator: torch.Generator) -> None:
    ray = torch.tensor([0, 0, 0, 2, 3, 3, 3, 3])
    weight = torch.rand(8, generator=generator)
    t = torch.cat([torch.rand(n, generator=generator).mul(9).sort().values for n in (3, 1, 4)])
    place, expected = t / (1 + t), torch.zeros(5)
    for i in range(8):
        for j in range(8):
            if ray[i] == ray[j]:
                expected[ray[i]] += weight[i] * weight[j] * (place[i] - place[j]).abs()
    torch.testing.assert_close(spread_of(weight, t, ray, 5), expected, rtol=1e-5, atol=1e-6)
    assert expected[0] > 0 and expected[1] == expected[2] == expected[4] == 0


def test_contracted_steps_are_as_long_as_they_should_be() -> None:
    """The kernel's speed is the length of the contraction's derivative along the ray."""
    from unflat.kernels.walking_cpu import contracted_speed

    generator = torch.Generator().manual_seed(1)
    points = torch.randn(50, 3, generator=generator).double() * 3
    towards = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator).double(), dim=1)
    moved = (contracted(points + 1e-6 * towards) - contracted(points - 1e-6 * towards)) / 2e-6
    for point, way, expected in zip(points, towards, moved.norm(dim=1), strict=True):
        found = contracted_speed(*map(np.float32, (*point, *way)))
        assert found == pytest.approx(expected.item(), rel=1e-4)


def test_where_rays_begin_is_drawn_by_their_numbers() -> None:
    numbers = torch.arange(20_000)
    drawn = jitter(12345, numbers)
    assert torch.equal(drawn, jitter(12345, numbers)) and not torch.equal(drawn, jitter(12346, numbers))
    assert drawn.min() >= 0 and drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (drawn**2).mean().item() == pytest.approx(1 / 3, abs=0.01)
    assert torch.corrcoef(torch.stack([drawn[1:], drawn[:-1]]))[0, 1].abs() < 0.03
    assert jitter(0, numbers).unique().tolist() == [0.5]


def test_gradients_name_every_touched_voxel_once(generator: torch.Generator) -> None:
    grid, some = voxels(4, generator), rays(50, generator)
    seen = voxel_march(some, grid, Walk(0.05, False, 0.2, 4.0), torch.ones(3))
    of_density, of_colour = torch.autograd.grad(seen.rgb.sum(), (grid.density, grid.colour))
    if not of_density.is_sparse:
        pytest.skip("the twin's gradients are dense")
    for gradient in (of_density, of_colour):
        rows = gradient._indices()[0]
        assert len(rows.unique()) == len(rows) > 0
    again = torch.autograd.grad(
        voxel_march(some, grid, Walk(0.05, False, 0.2, 4.0), torch.ones(3)).rgb.sum(), grid.density
    )
    assert torch.equal(again[0].to_dense(), of_density.to_dense()), "the accumulators were left as zeros"


def test_room_for_samples_grows(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    grid, some = voxels(1, generator), rays(300, generator)
    walk, shade = Walk(0.01, False, 0.01, 4.0, thinnest=1e-6, least=1e-6), torch.ones(3)
    usual = voxel_march(some, grid, walk, shade)
    monkeypatch.setattr(march, "ROOM", 1)
    assert torch.equal(voxel_march(some, grid, walk, shade).rgb, usual.rgb)


def test_more_threads_change_nothing(generator: torch.Generator) -> None:
    """Neither pictures nor gradients, to the bit: every voxel adds up its samples in the order of the rays."""
    grid, some = voxels(4, generator), rays(2000, generator)
    walk, shade = Walk(0.05, False, 0.2, 4.0, key=7), torch.ones(3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            seen = voxel_march(some, grid, walk, shade)
            found.append([*seen[:4], *gradients(seen, (grid.density, grid.colour))])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_colours_are_those_of_the_corners_that_have_some(generator: torch.Generator) -> None:
    """Interpolated one by one, in the plainest way; with gradients, and in another type than the places."""
    grid = voxels(4, generator)
    low, high = grid.cells.low, grid.cells.high
    points = low + (high - low) * torch.rand(50, 3, generator=generator)
    sights = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    table = grid.colour.detach().double().requires_grad_()
    found = march.voxel_colour(points, sights, grid._replace(colour=table))
    place = (points - low) / (high - low) * (torch.tensor(SHAPE) - 1)
    basis, sums = march.harmonics(sights, 4).double(), []
    for n in range(len(points)):
        total = torch.zeros(12, dtype=torch.double)
        for i, j, k in np.ndindex(*SHAPE):
            share = (1 - (place[n] - torch.tensor([i, j, k])).abs()).clamp_min(0).prod()
            if share > 0 and grid.row_of[i, j, k] >= 0:
                total = total + share.double() * table[int(grid.row_of[i, j, k])]
        sums.append(torch.sigmoid((total.view(3, 4) * basis[n]).sum(1)))
    expected = torch.stack(sums)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    weight = torch.sin(torch.arange(150).double()).view(50, 3)
    ours, theirs = (torch.autograd.grad((part.double() * weight).sum(), table)[0] for part in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_without_any_colours_all_is_grey(generator: torch.Generator) -> None:
    grid = voxels(4, generator)
    empty = grid._replace(colour=torch.zeros(0, 12), row_of=torch.full(SHAPE, -1, dtype=torch.int32))
    points, sights = torch.zeros(3, 3), torch.eye(3)
    assert (march.voxel_colour(points, sights, empty) == 0.5).all()
