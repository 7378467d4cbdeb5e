"""The photos of a capture as the texture of a surface.

Every texel takes its colour from the few photos that see its point best: squarely, from near, and well inside of
outlines (`sights`). Weights are soft, so that no seam shows where one photo takes over from another, and steep, since a
mean of many photos is blurred by whatever is a little off. Where no photo sees a point the field's colour stands in. A
photo that says something else than the others at a texel, as one with a gloss or a passer-by does, counts little there.
Photos that are brighter, darker or otherwise tinted than the others all over are brought to what they agree on first.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from unflat.data.kinds import Capture
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.outputs.atlas import filled, texels_of, unwrapped
from unflat.outputs.baking import Colour, seen_colours
from unflat.outputs.sights import OPAQUE, Sight, looked_at, sight_of, smooth_step, trusted

BEST = 5
"""photos that are blended at a texel; one more is kept, and its weight taken off theirs, so that none leaves at once"""
SQUARELY = (0.26, 0.45)
"""cosine between normal and line of sight from which a photo counts, and from which it counts fully"""
STEEP = 3.0
"""power of the pixels that a photo has for a piece of surface, in its weight"""
SURE = (0.02, 0.1)
"""trust of the best photo at which the field stands in, and at which it is no longer asked"""
ODD = 0.15
"""by which a colour may differ from the mean, in the root mean square of its channels, before it counts half"""
PIECE = 2**16
"""texels blended at once"""
SPOTS, SMALL = 4000, 256
"""texels at which photos are compared with each other, and the longer side of the photos that are"""
SHARED = 50
"""of them that a photo has to see, or it is left as it is"""
TELLING = (0.04, 0.96)
"""colours that tell how bright a photo is: neither noise nor cut off"""
ROUNDS = 10
"""in which photos and texels are fitted to each other in turn"""
ALIKE = 0.01
"""share by which photos may differ, and are left as they are; taken off what they are changed by"""


def photo_textured(mesh: Mesh, capture: Capture, colour: Colour, side: int = 1024) -> Mesh:
    """The mesh with the photos as a texture whose longer side has `side` texels.

    `mesh` is in the scene's frame, its triangles facing outwards; its vertices are split at the seams of the texture's
    charts, its triangles stay in their order. `colour` is the field's, as `baking.textured` takes it. Photos are laid
    down one by one, so that memory does not grow with their number: about 250 MB for 1024 texels a side, 600 for 2048.
    ValueError for no texels or no triangles.
    """
    if side < 1 or len(mesh.triangles) == 0:
        raise ValueError(
            f"cannot make a texture of {side} texels for {len(mesh.triangles)} triangles: give one of each"
        )
    flat, width, height = unwrapped(mesh, side)
    places, there = texels_of(flat, width, height)
    points, normals = places[there][:, :3], places[there][:, 3:]
    texel = math.sqrt(float(triangle_areas(mesh).sum()) / max(len(points), 1))
    gains = _gains(mesh, capture, points, normals)
    best = _Best.none(len(points))
    for index in range(len(capture)):
        sight = sight_of(mesh, capture, index, _shrink(capture, index, points, texel))
        best.lay(*_gathered(sight, points, normals, gains[index]))
    colours = best.blended()
    unsure = (best.trust < SURE[1]).nonzero()[:, 0]
    eyes = torch.from_numpy(capture.viewpoints.centres).float()
    own = seen_colours(points[unsure], normals[unsure], colour, eyes)
    colours[unsure] = own.lerp(colours[unsure], smooth_step(best.trust[unsure], *SURE)[:, None])
    texture = points.new_zeros(height, width, 3)
    texture[there] = colours
    return replace(flat, texture=filled(texture, there))


class _Gathered(NamedTuple):
    """What one photo says of some texels."""

    which: Int[Tensor, "m"]
    colour: Float[Tensor, "m 3"]
    weight: Float[Tensor, "m"]
    trust: Float[Tensor, "m"]


class _Best(NamedTuple):
    """The best photos of every texel."""

    weights: Float[Tensor, "n k"]
    colours: Float[Tensor, "n k 3"]
    trust: Float[Tensor, "n"]
    """of the one that is trusted most"""

    @staticmethod
    def none(count: int) -> "_Best":
        kept = BEST + 1
        return _Best(torch.zeros(count, kept), torch.zeros(count, kept, 3), torch.zeros(count))

    def lay(self, which: Int[Tensor, "m"], colour: Tensor, weight: Tensor, trust: Tensor) -> None:
        """Another photo, over the one that was worst so far."""
        self.trust[which] = torch.maximum(self.trust[which], trust)
        least, slot = self.weights[which].min(1)
        better = weight > least
        at = which[better], slot[better]
        self.weights[at], self.colours[at] = weight[better], colour[better]

    def blended(self) -> Float[Tensor, "n 3"]:
        """Their colours; black where there is no photo."""
        colours = torch.zeros(len(self.weights), 3)
        for first in range(0, len(colours), PIECE):
            part = slice(first, first + PIECE)
            colours[part] = _blended(self.weights[part], self.colours[part])
        return colours


def _blended(weights: Float[Tensor, "n k"], colours: Float[Tensor, "n k 3"]) -> Float[Tensor, "n 3"]:
    """The mean by weights less the least one of each row, odd colours counting less.

    From the mean on, not from the median: that leaps where half of the photos say one thing and half another, as they
    do where the surface is off, and leaves patches with hard edges.
    """
    shares = weights - weights.amin(1, keepdim=True)
    shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-30)
    mean = (shares[..., None] * colours).sum(1)
    for _ in range(2):
        odd = (colours - mean[:, None]).square().mean(-1) / ODD**2
        kept = shares / (1 + odd.square())
        mean = (kept[..., None] * colours).sum(1) / kept.sum(1, keepdim=True).clamp_min(1e-30)
    return mean


def _shrink(capture: Capture, index: int, points: Float[Tensor, "n 3"], texel: float) -> float:
    """How many times smaller a photo is used: where several of its pixels fall into a texel, one would say too
    little."""
    middle = points.mean(0) - torch.from_numpy(capture.viewpoints.centres[index]).to(points)
    return max(1.0, texel * capture.pinholes[index].fx / float(middle.norm().clamp_min(1e-12)))


def _gains(
    mesh: Mesh, capture: Capture, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]
) -> Float[Tensor, "k 3"]:
    """What the colours of each photo are multiplied by, so that photos agree: 1 in the geometric mean.

    Logarithms of what they say at some texels are a sum of the photo's and the texel's; both are fitted by medians in
    turn, which what only some photos show, such as a gloss, does not move.
    """
    spots = torch.linspace(0, len(points) - 1, min(SPOTS, len(points))).long()
    said = torch.full((len(capture), len(spots), 3), torch.nan)
    for index, pinhole in enumerate(capture.pinholes):
        sight = sight_of(mesh, capture, index, max(1.0, max(pinhole.width, pinhole.height) / SMALL))
        found = _gathered(sight, points[spots], normals[spots], torch.ones(3))
        telling = (found.trust[:, None] > 0.5) & (found.colour > TELLING[0]) & (found.colour < TELLING[1])
        said[index, found.which] = found.colour.log().where(telling, torch.nan)
    shared = (~said.isnan()).sum(0) >= 2
    said = said.where(shared, torch.nan)
    enough = (~said.isnan()).sum(1) >= SHARED
    photo = torch.zeros(len(capture), 3)
    for _ in range(ROUNDS):
        texel = (said - photo[:, None]).nanmedian(0).values
        photo = (said - texel).nanmedian(1).values.where(enough, 0).nan_to_num(0.0)
    # a channel that tells nothing goes with the others
    photo = torch.where(enough, photo, photo.where(enough, torch.nan).nanmean(1, keepdim=True).nan_to_num(0.0))
    photo = photo - photo.mean(0)
    return (photo.sign() * (ALIKE - photo.abs()).clamp_max(0)).exp()


def _gathered(
    sight: Sight, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], gain: Float[Tensor, "3"]
) -> _Gathered:
    """What a photo says of the points that it sees, its colours multiplied by `gain`."""
    seen = looked_at(sight, points, normals)
    trust = trusted(sight, seen) * smooth_step(seen.cosine, *SQUARELY)
    kept = trust > 0
    picture = sight.picture.permute(2, 0, 1)[None]
    found = grid_sample(picture, seen.place[kept][None, None], "bicubic", "border", align_corners=False)[0, :, 0].T
    opacity = found[:, 3:]
    colour = (found[:, :3] / opacity.clamp_min(OPAQUE) * gain).clamp(0, 1)
    cosine, depth, trust = seen.cosine[kept], seen.depth[kept], trust[kept]
    pixels = cosine * (sight.camera.fx / depth) ** 2 / (sight.camera.width * sight.camera.height)
    return _Gathered(seen.which[kept], colour, trust * pixels**STEEP, trust)
