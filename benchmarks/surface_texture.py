"""Pictures of textured meshes beside pictures that nothing was learned from: `surfaces.py texture`.

The mesh is what `unflat mesh` gives: 20,000 triangles, the photos as its texture. Beside it stand the field that it was
taken from, the same mesh with the field's colours in the same texture, and the true surface with the same photos, which
is what the photos can give if nothing is wrong with the shape. All are drawn before the pictures' own background, and
meshes with as many samples a pixel as the pictures have.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.evaluation.captures import evaluate_capture
from unflat.geometry.meshes import Mesh
from unflat.method import Method
from unflat.metrics.images import psnr
from unflat.outputs.atlas import filled, texels_of
from unflat.outputs.baking import Colour, seen_colours
from unflat.outputs.object_mesh import object_mesh
from unflat.outputs.scene_mesh import field_colour
from unflat.rendering.mesh import render_mesh
from unflat.training.object_run import surface_learned

PHOTOS, BAKED, FIELD, TRUE = "photos on the mesh", "the field's colours on it", "the field", "photos on the true mesh"
"""what is looked at"""


class Dressed(NamedTuple):
    """A mesh in the photos, and in the colours of a field."""

    photos: Mesh
    baked: Mesh


def texture_figures(
    method: Method, capture: Capture, held_out: Capture, true: Mesh, texels: int, samples: int
) -> dict[str, float]:
    """PSNR of held-out pictures, its mean over them, of each of what is looked at."""
    ours = dressed(surface_learned(method, capture.viewpoints), capture, method, texels)
    bare = replace(true, uv=None, texture=None)
    known = object_mesh(bare, capture, field_colour(method, bare), texture=texels).mesh
    field = evaluate_capture(method, held_out).figures["PSNR"]
    assert field is not None
    return {
        PHOTOS: mean_psnr(ours.photos, held_out, samples),
        BAKED: mean_psnr(ours.baked, held_out, samples),
        FIELD: field,
        TRUE: mean_psnr(known, held_out, samples),
    }


def dressed(surface: Mesh, capture: Capture, method: Method, texels: int) -> Dressed:
    """A bare surface as `unflat mesh` gives it, and with the field's colours in the same places of its texture."""
    colour = field_colour(method, surface)
    photos = object_mesh(surface, capture, colour, texture=texels).mesh
    return Dressed(photos, baked_like(photos, colour, torch.from_numpy(capture.viewpoints.centres).float()))


def baked_like(mesh: Mesh, colour: Colour, eyes: Float[Tensor, "k 3"]) -> Mesh:
    """A textured mesh whose texels all have the field's colour."""
    assert mesh.texture is not None
    height, width, _ = mesh.texture.shape
    places, there = texels_of(mesh, width, height)
    texture = torch.zeros_like(mesh.texture)
    texture[there] = seen_colours(places[there][:, :3], places[there][:, 3:], colour, eyes)
    return replace(mesh, texture=filled(texture, there))


def mean_psnr(mesh: Mesh, held_out: Capture, samples: int) -> float:
    """Of whole pictures, each with so many samples squared a pixel."""
    found = []
    for index, pinhole in enumerate(held_out.pinholes):
        place = held_out.cameras(index).camera_from_world[0]
        drawn, _ = render_mesh(mesh, place, pinhole, supersample=samples, background=held_out.scene.backdrop)
        found.append(float(psnr(drawn[None], torch.from_numpy(held_out.rgb(index))[None])))
    return sum(found) / len(found)
