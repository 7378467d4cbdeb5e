"""The one interface: methods that wrap others."""

import pytest
import torch

from unflat import catalogue
from unflat.data.kinds import Extent, Scene
from unflat.method import hosted

EXTENT = Extent(3, (16, 16), Scene())


def test_a_host_is_a_method_with_the_settings_of_an_experiment() -> None:
    host = hosted("nerf", EXTENT, "tiny")
    assert type(host) is catalogue.load("nerf") and host.extent == EXTENT
    assert host.config == catalogue.experiment("nerf", "tiny").config
    density, colour = host.field(torch.zeros(2, 3), torch.nn.functional.normalize(torch.ones(2, 3), dim=1))
    assert density.shape == (2,) and colour.shape == (2, 3)


def test_without_an_experiment_it_has_the_settings_of_the_first() -> None:
    first = next(iter(catalogue.find("tensorf").experiments))
    config = catalogue.experiment("tensorf", "small").config
    assert hosted("tensorf", EXTENT, "small").config == config
    assert first == "chair"
    assert hosted("nerf", EXTENT).config == catalogue.experiment("nerf", "chair").config


def test_its_state_is_part_of_the_method_that_wraps_it() -> None:
    outer = torch.nn.Module()
    outer.host = hosted("nerf", EXTENT, "tiny")
    assert any(name.startswith("host.fine.") for name in outer.state_dict())


@pytest.mark.parametrize(
    "name, experiment, says",
    [
        ("nerv", "", r"there is no method 'nerv'. Did you mean 'nerf'"),
        ("nerf", "smal", r"nerf has no experiment 'smal'"),
        ("unsup3d", "", r"unsup3d has no field that can be asked at points: take another host, such as nerf"),
    ],
)
def test_what_cannot_be_a_host_is_said(name: str, experiment: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        hosted(name, EXTENT, experiment)
