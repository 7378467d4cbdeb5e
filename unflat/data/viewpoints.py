"""Cameras without pictures: where a capture was seen from, or where a video shall be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.lenses import Lens
from unflat.geometry.rotations import Rigid


@dataclass(frozen=True)
class Viewpoints:
    """Named cameras in one frame; of a run, in the scene's."""

    pinholes: Sequence[Pinhole]
    """of each, or its `Lens`"""
    scene_from_camera: Float[np.ndarray, "n 4 4"]
    """float64; OpenCV's axes"""
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: slice | np.ndarray | list[int]) -> "Viewpoints":
        chosen = np.arange(len(self))[index]
        pinholes, names = [self.pinholes[i] for i in chosen], tuple(self.names[i] for i in chosen)
        return Viewpoints(pinholes, self.scene_from_camera[chosen], names)

    @property
    def centres(self) -> Float[np.ndarray, "n 3"]:
        """Where they stand."""
        return self.scene_from_camera[:, :3, 3]

    @property
    def forward(self) -> Float[np.ndarray, "n 3"]:
        """Which way they look, unit."""
        return self.scene_from_camera[:, :3, 2]

    def cameras(self, index: int) -> Cameras:
        """One of them, to be asked for."""
        return Cameras(self.pinholes[index], self[[index]].camera_from_scene)

    @property
    def camera_from_scene(self) -> Rigid:
        """[n], of all of them."""
        poses = torch.from_numpy(np.asarray(self.scene_from_camera, np.float64))
        camera_from_scene = Rigid(poses[:, :3, :3], poses[:, :3, 3]).inverse
        return Rigid(camera_from_scene.rotation.float(), camera_from_scene.translation.float())

    def to_plain(self) -> dict[str, Any]:
        """As what JSON can hold. Poses are the twelve numbers of their first three rows; equal pinholes stand once."""
        distinct = {pinhole: number for number, pinhole in enumerate(dict.fromkeys(self.pinholes))}
        return {
            "names": list(self.names),
            "pinholes": [_plain(pinhole) for pinhole in distinct],
            "pinhole_of": [distinct[pinhole] for pinhole in self.pinholes],
            "scene_from_camera": self.scene_from_camera[:, :3].reshape(len(self), 12).tolist(),
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> "Viewpoints":
        """What `to_plain` gave. ValueError for anything else."""
        try:
            pinholes = [_pinhole(said) for said in plain["pinholes"]]
            poses = np.array(plain["scene_from_camera"], np.float64).reshape(-1, 3, 4)
            names = tuple(str(name) for name in plain["names"])
            of_each = [pinholes[int(i)] for i in plain["pinhole_of"]]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"these are no cameras as they are kept ({type(error).__name__}: {error})") from error
        if not len(poses) == len(names) == len(of_each) or not np.isfinite(poses).all():
            raise ValueError(
                f"these are no cameras as they are kept: {len(names)} names, {len(poses)} poses and {len(of_each)} "
                "pinholes, all of them finite, are needed of each"
            )
        last = np.broadcast_to([[[0.0, 0.0, 0.0, 1.0]]], (len(poses), 1, 4))
        return Viewpoints(of_each, np.concatenate([poses, last], 1), names)


def spread_over(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers from 0 on, over all of them."""
    numbers: list[int] = np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()
    return numbers


def _plain(pinhole: Pinhole) -> dict[str, Any]:
    said: dict[str, Any] = {name: getattr(pinhole, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    if isinstance(pinhole, Lens):
        said |= {"model": pinhole.model, "coefficients": list(pinhole.coefficients)}
    return said


def _pinhole(said: Mapping[str, Any]) -> Pinhole:
    fx, fy, cx, cy = (float(said[name]) for name in ("fx", "fy", "cx", "cy"))
    width, height = int(said["width"]), int(said["height"])
    if "model" not in said:
        return Pinhole(fx, fy, cx, cy, width, height)
    coefficients = tuple(float(value) for value in said["coefficients"])
    return Lens(fx, fy, cx, cy, width, height, str(said["model"]), coefficients)
