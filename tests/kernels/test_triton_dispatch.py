"""Which back end is asked: the Triton kernels for what lies on a GPU, the twin without Triton, and what is said then.

No GPU is needed: the tensors only say that they are on one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels import test_density_march as densities
from tests.kernels import test_hash_lookup as hashed
from tests.kernels.test_lookup import BOX, points, table
from tests.kernels.test_voxel_march import rays, voxels
from unflat.kernels import density_march as density_march_module
from unflat.kernels import hash_lookup as hash_lookup_module
from unflat.kernels import lookup as lookup_module
from unflat.kernels import occupied_steps as occupied_steps_module
from unflat.kernels import smoothing as smoothing_module
from unflat.kernels import tiny_networks as tiny_networks_module
from unflat.kernels import touched_adam as touched_adam_module
from unflat.kernels import touched_rmsprop as touched_rmsprop_module
from unflat.kernels import voxel_march as voxel_march_module
from unflat.kernels.density_march import density_march, density_march_triton
from unflat.kernels.hash_lookup import hash_looked_up, hash_looked_up_triton
from unflat.kernels.lookup import Voxels, looked_up, looked_up_triton
from unflat.kernels.occupied_steps import occupied_steps, occupied_steps_triton
from unflat.kernels.smoothing import with_roughness, with_roughness_triton
from unflat.kernels.tiny_networks import Shape, tiny_networks, tiny_networks_triton
from unflat.kernels.touched_adam import update_touched, update_touched_triton
from unflat.kernels.touched_rmsprop import rmsprop_touched, rmsprop_touched_triton
from unflat.kernels.voxel_march import voxel_march, voxel_march_triton
from unflat.kernels.walking import Walk

WALK = Walk(0.2, False, 0.3, 4.0)


class Asked(Exception):
    """Says which back end was."""


class OnAGpu(Tensor):
    """A tensor of the CPU that says it is not."""

    device = torch.device("cuda", 0)  # type: ignore[assignment]
    is_cuda = True  # type: ignore[assignment]


def of_voxels(march: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    grid = voxels(4, generator)
    density = grid.density.detach().to(kind).as_subclass(OnAGpu)
    return march(rays(5, generator), grid._replace(density=density), WALK, torch.ones(3))


def of_points(look: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    one = table("voxels", 3, generator)
    assert isinstance(one, Voxels)
    at, values = points(5, generator).as_subclass(OnAGpu), one.values.detach().to(kind)
    return look(at, one._replace(values=values), BOX)


def of_hashes(look: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    one, at = hashed.table(2, generator), points(5, generator).as_subclass(OnAGpu)
    return look(at, one._replace(values=one.values.detach().to(kind)), BOX)


def of_densities(march: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    one = densities.table("voxels", generator)
    assert isinstance(one, Voxels)
    values = one.values.detach().to(kind).as_subclass(OnAGpu)
    return march(densities.rays(5, generator), one._replace(values=values), densities.cells(), WALK)


def of_steps(walked: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    some = densities.rays(5, generator)
    return walked(replace(some, near=some.near.to(kind).as_subclass(OnAGpu)), densities.cells(), WALK)


def of_tables(update: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    one = torch.randn(5, 2, generator=generator).to(kind)
    rest = (torch.zeros_like(one), torch.zeros_like(one), torch.zeros(5, dtype=torch.int32))
    return update(one.as_subclass(OnAGpu), one, *rest, rate=0.1, betas=(0.9, 0.99), eps=1e-8)


def of_plain_tables(update: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    one = torch.randn(5, 2, generator=generator).to(kind)
    return update(one.as_subclass(OnAGpu), one, torch.zeros_like(one), rate=0.1, beta=0.95, eps=1e-8)


def of_a_grid(join: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    values = torch.randn(24, 1, generator=generator).to(kind)
    row_of = torch.arange(24, dtype=torch.int32).view(2, 3, 4)
    return join(torch.ones_like(values), values.as_subclass(OnAGpu), row_of, 0.1)


def of_networks(ask: Callable[..., Any], generator: torch.Generator, kind: torch.dtype = torch.float32) -> Any:
    shape = Shape(octaves=1, direction_octaves=1, width=4)
    weights = torch.randn(2, shape.weights, generator=generator).to(kind).as_subclass(OnAGpu)
    return ask(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(3, dtype=torch.int64), weights, shape)


ASKED = {
    "tiny_networks": (tiny_networks_module, tiny_networks, tiny_networks_triton, of_networks),
    "with_roughness": (smoothing_module, with_roughness, with_roughness_triton, of_a_grid),
    "update_touched": (touched_adam_module, update_touched, update_touched_triton, of_tables),
    "rmsprop_touched": (touched_rmsprop_module, rmsprop_touched, rmsprop_touched_triton, of_plain_tables),
    "density_march": (density_march_module, density_march, density_march_triton, of_densities),
    "voxel_march": (voxel_march_module, voxel_march, voxel_march_triton, of_voxels),
    "occupied_steps": (occupied_steps_module, occupied_steps, occupied_steps_triton, of_steps),
    "hash_looked_up": (hash_lookup_module, hash_looked_up, hash_looked_up_triton, of_hashes),
    "looked_up": (lookup_module, looked_up, looked_up_triton, of_points),
}
asked = pytest.mark.parametrize("name", ASKED)


@asked
def test_a_gpu_with_triton_uses_the_kernels(
    name: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, run, _, of = ASKED[name]

    def answer(back_end: str) -> Callable[..., Any]:
        def asked_for(*_: Any, **__: Any) -> None:
            raise Asked(back_end)

        return asked_for

    others = {
        "update_touched": "update_rows", "rmsprop_touched": "rmsprop_rows", "with_roughness": "roughness_gradient",
    }  # fmt: skip
    plain = others.get(name, f"{name}_torch")
    for function, back_end in ((f"{name}_triton", "triton"), (plain, "torch")):
        monkeypatch.setattr(module, function, answer(back_end))
    for kernels, kind, expected in (
        (object(), torch.float32, "triton"),
        (object(), torch.float64, "torch"),  # the kernels are of single precision
        (None, torch.float32, "torch"),
    ):
        monkeypatch.setattr(module, "_kernels", lambda kernels=kernels: kernels)
        with pytest.raises(Asked, match=expected):
            of(run, generator, kind)


@asked
def test_without_triton_it_is_said_what_is_missing(
    name: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, kernels, of = ASKED[name]
    monkeypatch.setattr(module, "_kernels", lambda: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs triton 3\.3 or newer, which comes with torch's CUDA build"):
        of(kernels, generator)
