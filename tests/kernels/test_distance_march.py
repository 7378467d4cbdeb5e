"""The march towards a surface: its loops against the readable twin, and both against closed forms."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from unflat.fields.voxels import coarse_shape, grid_shape, occupied_cells, places_of, rows_within
from unflat.geometry.spaces import Rays
from unflat.kernels import distance_march as march
from unflat.kernels.clearance import clearance
from unflat.kernels.distance_march import Approach, Distances, Met, distance_march, distance_march_torch
from unflat.kernels.walking import Cells

BACKENDS = [distance_march, distance_march_torch]
backend = pytest.mark.parametrize("backend", BACKENDS, ids=["loops", "torch"])
LOW, HIGH = torch.tensor([-1.0, -0.8, -0.9]), torch.tensor([1.0, 0.9, 0.7])
SHAPE = grid_shape(LOW, HIGH, 24)
WHITE = torch.ones(3)


def test_the_loops_are_what_is_tested() -> None:
    pytest.importorskip("numba")
    assert march._loops() is not None


def around(distance: Tensor, generator: torch.Generator, reach: float = 0.3, bands: int = 4) -> Distances:
    """Of these distances, with random colours near the surface."""
    there = occupied_cells(distance.view(SHAPE).abs() < reach, coarse_shape(SHAPE))
    row_of = rows_within(there, SHAPE)
    colour = torch.randn(int(row_of.max()) + 1, 3 * bands, generator=generator)
    cells = Cells(LOW, HIGH, clearance(there))
    return Distances(distance.clone().requires_grad_(), colour.requires_grad_(), row_of, cells)


def ball(generator: torch.Generator, noise: float = 0.03) -> Distances:
    distance = places_of(SHAPE, LOW, HIGH).norm(dim=1) - 0.5
    return around(distance + noise * torch.randn(distance.shape, generator=generator), generator)


def rays(count: int, generator: torch.Generator, spread: float = 0.4) -> Rays:
    places = 2.5 * normalize(torch.randn(count, 3, generator=generator), dim=1)
    towards = normalize(-places + spread * torch.randn(count, 3, generator=generator), dim=1)
    near, far = torch.full((count,), 0.5), torch.full((count,), 6.0)
    return Rays(places, towards, towards, near, far, torch.arange(count) * 7)


def gradients(met: Met, of: tuple[Tensor, ...]) -> list[Tensor]:
    """Of a sum of all that comes out, each number weighed differently."""
    weight = torch.sin(torch.arange(met.rgb.numel()).float()).view_as(met.rgb)
    loss = (met.rgb * weight).sum() + (met.through * weight[:, 1]).sum() + (met.distance * weight[:, 2]).sum()
    return [g.to_dense() if g.is_sparse else g for g in torch.autograd.grad(loss, of)]


@pytest.mark.parametrize("sharpness", [5.0, 60.0])
def test_loops_and_twin_agree(sharpness: float, generator: torch.Generator) -> None:
    grid, some = ball(generator), rays(300, generator)
    background = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    for key in (0, 1234567890123):
        approach = Approach(0.05, sharpness, key)
        ours, theirs = (run(some, grid, approach, background) for run in BACKENDS)
        alike = ours.sections == theirs.sections  # one at the very limit may be left out by one of them
        assert alike.float().mean() > 0.99 and ours.sections.sum() > 500
        for a, b in zip(ours[:3], theirs[:3], strict=True):
            torch.testing.assert_close(a[alike], b[alike], rtol=1e-4, atol=1e-4)
        if alike.all():
            of = grid.distance, grid.colour, background
            for a, b in zip(gradients(ours, of), gradients(theirs, of), strict=True):
                assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@backend
@pytest.mark.parametrize("degrees", [0.0, 30.0, 60.0])
def test_a_plane_is_seen_where_it_is_from_every_angle(
    backend: object, degrees: float, generator: torch.Generator
) -> None:
    """NeuS is unbiased: the mean distance is that of the plane, whatever the steps."""
    assert callable(backend)
    angle = torch.deg2rad(torch.tensor(degrees))
    grid = around(places_of(SHAPE, LOW, HIGH)[:, 2] + 0.1, generator, reach=3.0)
    towards = torch.stack([angle.sin(), torch.zeros(()), -angle.cos()]).expand(64, 3)
    far, index = torch.full((64,), 9.0), torch.arange(64)
    some = Rays(torch.tensor([-0.5, 0.0, 0.6]) - 0.2 * towards, towards, towards, torch.zeros(64), far, index)
    step = 0.05
    met = backend(some, grid, Approach(step, 2000.0, key=5), WHITE)
    distance = met.distance / (1 - met.through)
    assert (met.through < 1e-3).all()
    expected = 0.7 / float(angle.cos()) + 0.2
    assert (distance - expected).mean().abs() < step / 50 and (distance - expected).abs().max() < step / 3


@backend
def test_light_passes_beside_a_ball_and_not_through_it(backend: object, generator: torch.Generator) -> None:
    assert callable(backend)
    grid, some = ball(generator, noise=0.0), rays(400, generator)
    met = backend(some, grid, Approach(0.03, 150.0), WHITE)
    nearest = (some.origins - (some.origins * some.directions).sum(1, keepdim=True) * some.directions).norm(dim=1)
    assert (met.through[nearest < 0.42] < 0.01).all() and (met.through[nearest > 0.56] > 0.99).all()
    assert (met.rgb[nearest > 0.56] > 0.99).all()


def test_what_leaves_takes_nothing_away(generator: torch.Generator) -> None:
    """A ray that begins inside sees nothing of the surface that it leaves through."""
    grid = ball(generator, noise=0.0)
    some = rays(50, generator)
    inside = Rays(torch.zeros(50, 3), some.directions, some.sights, torch.zeros(50), some.far, some.index)
    for run in BACKENDS:
        met = run(inside, grid, Approach(0.05, 50.0), WHITE)
        assert (met.through == 1).all() and (met.sections == 0).all()
