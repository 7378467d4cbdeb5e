"""Slopes of 1 and smoothness of a band of distances: the loops, their twin, and closed forms."""

import pytest
import torch
from torch import Tensor

from unflat.fields.voxels import coarse_shape, grid_shape, occupied_cells, places_of, rows_within
from unflat.kernels import distance_terms
from unflat.kernels.accumulators import flattened, sparse_rows
from unflat.kernels.distance_terms import Band, terms, terms_gradient, with_terms

LOW, HIGH = torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([1.0, 1.0, 0.8])
SHAPE = grid_shape(LOW, HIGH, 20)
SIDE = 0.1
PLACES = places_of(SHAPE, LOW, HIGH)


def band_of(distance: Tensor, reach: float = 0.25) -> Band:
    there = occupied_cells(distance.view(SHAPE).abs() < reach, coarse_shape(SHAPE))
    return Band.of(rows_within(there, SHAPE), SIDE)


@pytest.fixture
def rough(generator: torch.Generator) -> tuple[Tensor, Band]:
    """A ball that reaches the box's lower faces, and noise."""
    distance = (PLACES + 0.5).norm(dim=1) - 0.6
    return distance + 0.03 * torch.randn(distance.shape, generator=generator), band_of(distance)


def test_the_loops_are_what_is_tested() -> None:
    pytest.importorskip("numba")
    assert distance_terms._loops() is not None


def test_a_plane_of_distances_costs_nothing_and_one_twice_as_steep_a_half_each() -> None:
    plane = PLACES @ torch.tensor([0.6, 0.0, 0.8])
    band = band_of(plane)
    eikonal, curvature = terms(plane, band)
    assert eikonal < 1e-6 and curvature < 1e-6
    on_faces = torch.ones(SHAPE, dtype=torch.bool)
    on_faces[1:-1, 1:-1, 1:-1] = False
    inner = int(((band.row_of >= 0) & ~on_faces).sum())
    torch.testing.assert_close(terms(2 * plane, band)[0], torch.tensor(inner / 2), rtol=1e-4, atol=0)


def test_the_curvature_of_a_ball_is_twice_its_inverse_radius() -> None:
    """The Laplacian of |x| is 2 / |x|."""
    distance = PLACES.norm(dim=1) - 0.6
    band = band_of(distance, 0.05)
    _, curvature = terms(distance, band)
    expected = (SIDE * 2 / PLACES.norm(dim=1)[band.voxels]).square().sum() / 2
    torch.testing.assert_close(curvature, expected, rtol=0.05, atol=0)


def test_loops_and_twin_agree(rough: tuple[Tensor, Band]) -> None:
    distance, band = rough
    expected = terms_gradient(distance, band, 0.3, 0.7)
    torch.testing.assert_close(distance_terms._looped(distance, band, 0.3, 0.7), expected, rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("loops", [True, False], ids=["loops", "twin"])
@pytest.mark.parametrize("sparse", [True, False])
def test_the_gradient_joins_what_the_pictures_give(
    rough: tuple[Tensor, Band], sparse: bool, loops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not loops:
        monkeypatch.setattr(distance_terms, "_loops", lambda: None)
    distance, band = rough
    parameter = distance.clone().requires_grad_()
    touched = band.voxels[torch.tensor([3, 50, 7])]
    given = torch.tensor([1.0, -2.0, 0.5])
    dense = torch.zeros(len(distance)).index_put((touched,), given)
    gradient = flattened(sparse_rows(touched, given[:, None].clone(), len(distance))) if sparse else dense
    table = with_terms(parameter, band, 0.3, 0.7)
    table.backward(gradient)
    assert parameter.grad is not None and parameter.grad.is_sparse == sparse
    found = parameter.grad.to_dense()
    expected = dense.index_add(0, band.voxels, terms_gradient(distance, band, 0.3, 0.7))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=3e-4)
    assert torch.equal(table, distance)
