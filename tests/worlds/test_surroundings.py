"""What is around an object: where it stands, that it is only ever behind the object, that nothing else changes."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.geometry.meshes import Mesh
from unflat.worlds.objects import Around, Objects
from unflat.worlds.sets import Split
from unflat.worlds.surroundings import BEHIND, SOLIDS, clutter, dome

VIEWS, SIZE = 3, 24
DISTANCE = 3.2


@cache
def seen(around: Around, split: Split = "train") -> Capture:
    return Objects("sphere", VIEWS, SIZE, split=split, around=around).capture(progress=False)


@cache
def solids(seed: int) -> Mesh:
    return clutter(DISTANCE, 60, seed)


def test_solids_stand_between_the_cameras_and_the_dome_and_face_outwards() -> None:
    mesh = solids(0)
    far = mesh.vertices.norm(dim=1)
    assert far.min() > DISTANCE and far.max() < DISTANCE + BEHIND
    assert mesh.normals is not None and mesh.uv is not None and mesh.texture is not None
    torch.testing.assert_close(mesh.normals.norm(dim=1), torch.ones_like(far))
    a, b, c = mesh.vertices[mesh.triangles.long()].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    assert ((across * mesh.normals[mesh.triangles[:, 0].long()]).sum(1) > 0).all()
    # vertices of several solids share no tile of the texture
    tile = (mesh.uv * 6).long() @ torch.tensor([1, 6])
    assert len(tile.unique()) == SOLIDS == 36 and mesh.texture.shape == (60, 60, 3)
    painted = mesh.texture.unflatten(0, (6, 10)).unflatten(2, (6, 10)).transpose(1, 2).flatten(2, 3)
    assert (painted.amax((2, 3)) > 0.2).all()


def test_seeds_place_other_solids() -> None:
    one, other = (solids(seed).vertices for seed in (0, 1))
    assert one.shape == other.shape and not torch.equal(one, other)


def test_a_dome_may_be_a_whole_sphere() -> None:
    mesh = dome(DISTANCE, -(DISTANCE + BEHIND), 32, seed=0)
    np.testing.assert_allclose(mesh.vertices.norm(dim=1).numpy(), DISTANCE + BEHIND, rtol=1e-12)


def test_the_object_is_seen_before_all_of_it_as_without() -> None:
    bare = seen("nothing")
    alone = bare.pixels[:, 3] == 255
    assert bare.depth is not None and alone.sum() > 200
    there = np.isfinite(bare.depth)
    every: tuple[Around, ...] = ("dome", "clutter")
    for around in every:
        capture = seen(around)
        assert capture.depth is not None and capture.pixels.shape == (VIEWS * SIZE * SIZE, 3)
        np.testing.assert_array_equal(capture.pixels[alone], bare.pixels[alone, :3])
        np.testing.assert_array_equal(capture.depth[there], bare.depth[there])
        assert np.isfinite(capture.depth).all() and capture.depth[~there].min() > DISTANCE
        np.testing.assert_array_equal(capture.scene_from_camera, bare.scene_from_camera)


def test_the_scene_has_no_end_and_its_object_keeps_its_box_and_its_place() -> None:
    bare, capture = seen("nothing").scene, seen("clutter").scene
    assert (capture.space, capture.background, capture.near) == ("contracted", None, bare.near / 2)
    assert capture.far == pytest.approx(2 * DISTANCE + BEHIND)
    assert capture.box == bare.box and capture.world_from_scene.scale == bare.world_from_scene.scale
    assert (seen("clutter").depth <= capture.far).all()  # type: ignore[operator]


def test_the_background_has_true_parallax() -> None:
    """Splits see one clutter: what one camera sees of it has its depth in another, or is hidden there."""
    one, other = seen("clutter"), seen("clutter", "test")
    same, before, behind = 0, 0, 0
    for i, j in np.ndindex(VIEWS, VIEWS):
        camera, pose = one.pinholes[0], one.scene_from_camera[i]
        along = (np.indices((SIZE, SIZE))[::-1].transpose(1, 2, 0) + 0.5 - camera.cx) / camera.fx
        depth = one.picture(i, "depth").astype(np.float64)
        local = np.concatenate([along, np.ones((SIZE, SIZE, 1))], -1) * depth[..., None]
        places = (local @ pose[:3, :3].T + pose[:3, 3])[depth > 4.5]
        x, y, z = ((places - other.scene_from_camera[j][:3, 3]) @ other.scene_from_camera[j][:3, :3]).T
        column, row = (camera.fx * x / z + camera.cx), (camera.fx * y / z + camera.cy)
        within = (z > 4.5) & (np.stack([column, row]) >= 0).all(0) & (np.stack([column, row]) < SIZE).all(0)
        theirs = other.picture(j, "depth")[row[within].astype(int), column[within].astype(int)]
        beyond = theirs - z[within]
        same += int((np.abs(beyond) < 0.15).sum())
        before, behind = before + int((beyond < -0.15).sum()), behind + int((beyond > 0.15).sum())
    assert same > 200 and before > 20
    assert behind < 0.04 * same  # nothing is seen through, but at the edges of solids within a pixel


def test_files_are_read_again_without_opacity_as_a_scene_without_end(tmp_path: Path) -> None:
    Objects("sphere", VIEWS, SIZE, around="clutter").write(tmp_path, progress=False)
    again = read_capture(tmp_path, space="contracted", progress=False)
    assert not again.has_alpha
    np.testing.assert_array_equal(again.pixels, seen("clutter").pixels)


def test_what_is_around_is_said_only_where_something_is() -> None:
    """Digests in records hold what an object says of itself."""
    assert repr(Objects("vase", 7, around="dome")).endswith("field_of_view=39.6, around='dome')")
    assert repr(Objects("vase", 7)) == (
        "Objects(shape='vase', views=7, size=200, seed=0, split='train', samples=2, distance=3.2, field_of_view=39.6)"
    )


def test_what_there_is_not_around() -> None:
    objects = Objects("vase")
    object.__setattr__(objects, "around", "forest")  # the type checker of the tests would be first to complain
    with pytest.raises(ValueError, match="no 'forest' around an object; take one of nothing, dome, clutter"):
        objects.__post_init__()
