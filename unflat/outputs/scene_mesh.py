"""A learned scene as a mesh or as points, in files that keep the numbers of the capture's own world.

Where the surface is. A density has none of its own: it is taken where a cell takes half of the light away
(`surfaces.level_of`), a cell being a 128th of the longest side, or a cell of the mesh where those are larger, so that a
finer mesh does not make the field denser. The surface on which the depth of all views agrees is smoother and nearer to
the truth (`fusion`), and it is taken unless density is asked for; docs/capture-to-3d.md has the figures. A scene
without end is cut out of what is around it: what the cut or what no camera sees would add is left out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unflat.data.kinds import Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.depth import normals_of, unproject
from unflat.geometry.meshes import Mesh, SurfacePoints, only
from unflat.kernels.visible_triangles import visible_triangles
from unflat.method import Method, predict_in_pieces
from unflat.outputs.baking import Colour, coloured, points_of, textured
from unflat.outputs.fusion import depth_maps, fused
from unflat.outputs.mesh import in_world, write_glb, write_obj, write_ply, write_points
from unflat.outputs.paths import usual_pinhole
from unflat.outputs.surfaces import Box, decimated, level_of, surface_of, without_cavities, without_floaters
from unflat.outputs.walks import scene_of

FIELD_CELLS = 128
"""along the longest side of a field: finer ones do not make it denser"""
ROUGH = 96
"""cells of a first, rough mesh, which says where the thing is"""
ROOM = 2.0
"""of its cells around it"""
SPENT = 7000
"""triangles of a textured mesh: what is unwrapped in a second (`baking.textured`)"""
REACH = 5.0
"""cells over which depth maps are averaged"""
MAP = 200
"""pixels of the longer side of depth maps, and as many as there are cells"""
THROUGH = 3.0
"""cells before and behind a surface from which its colour comes"""
RINGS = 1
"""of triangles, kept around those that are seen"""
ENDINGS = (".glb", ".ply", ".obj")
SEEN = 400
"""pixels of the longer side of pictures of a mesh, and of those that points are taken from"""
WITHOUT_DEPTH = " (the field is how far points lie behind what the views see; --surface density asks for no views)"

Surface = Literal["density", "depth", "distance"]
Value = Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]]


def scene_mesh(
    method: Method,
    views: Viewpoints,
    *,
    surface: Surface | None = None,
    cells: int = 256,
    box: Box | None = None,
    level: float | None = None,
    floaters: bool = False,
) -> Mesh:
    """The surface of what a method has learned, in the scene's frame, bare, with normals.

    `surface` says of what: density or depth; left out, depth, and density where a `level` is given. Of a method whose
    field gives distances it is where these are zero, unless depth is asked for. `level` is the
    density of the surface, in shares of light lost a unit of the scene; left out, as the head of this module says.
    `cells` are those along its longest side. `box` is least and largest x, y, z in the scene's frame; left out, the
    scene's own, drawn tight around what is there. Left out are, unless `floaters`: parts under a hundredth of the
    largest one's area, walls of holes inside, of a density or of a scene without end what no camera of `views` sees,
    and of the latter what lies on the box.
    Raises ValueError for a scene that was seen through a window (ndc), and where there is no surface.
    """
    scene = scene_of(method)
    if scene.space == "ndc":
        raise ValueError(
            "this scene was seen from one side, through a window (ndc): it has no end, and a mesh would be cut out of "
            "nothing. Write points.ply instead, or train again with another space (--space contracted)"
        )
    if cells < 1:
        raise ValueError(f"cells is {cells}; give their number along the longest side of the mesh, at least 1")
    surface = _which(method, surface, level)
    value, height = _inside(method, views, surface, level, max(MAP, cells))

    def found(box: Box, cells: int) -> Mesh:
        low, high = box[:3], box[3:]
        cell = max(b - a for a, b in zip(low, high, strict=True)) / min(cells, FIELD_CELLS)
        try:
            mesh = surface_of(value(cell), box, cells, height(cell))
        except ValueError as error:
            raise ValueError(f"{error}{WITHOUT_DEPTH}" if surface == "depth" else str(error)) from error
        return mesh if floaters else without_cavities(without_floaters(mesh), torch.from_numpy(views.centres).float())

    if box is None:
        box = _around(found(scene.box, min(cells, ROUGH)), scene.box, min(cells, ROUGH))
    mesh = found(box, cells)
    if floaters or surface == "distance" or (surface == "depth" and scene.space == "box"):
        return mesh
    kept = _seen(mesh, views)
    if scene.space != "box":
        kept &= ~_on_sides(mesh, box, cells)
    if not kept.any():
        raise ValueError(
            "there is no surface that a camera sees within the box: what matters lies outside of it. Give another box "
            "(box=), or keep all there is (--floaters)"
        )
    return without_floaters(only(mesh, kept))


def _which(method: Method, surface: Surface | None, level: float | None) -> Surface:
    """The surface that is meant. ValueError for one that the method has not."""
    name = type(method).__name__
    if method.field_gives == "distance":
        if surface == "density" or level is not None:
            raise ValueError(
                f"{name} learns distances, whose surface is where they are zero, and has no density: leave out "
                "--surface and --level"
            )
        return surface or "distance"
    if surface == "distance":
        raise ValueError(f"{name} learns a density and no distances: take its surface of depth or of density")
    return surface or ("depth" if level is None else "density")


def _inside(
    method: Method, views: Viewpoints, surface: Surface, level: float | None, side: int
) -> tuple[Callable[[float], Value], Callable[[float], float]]:
    """For a side of cells, a function of points, and what it is above inside the surface."""
    if surface == "depth":
        maps = depth_maps(method, views, side)
        if not any(bool(one.depth.isfinite().any()) for one in maps):
            raise ValueError(
                "there is no surface: from no camera the method shows anything that is opaque; train longer, or take "
                "the surface of its density (--surface density) at a low level"
            )
        return lambda cell: fused(maps, REACH * cell), lambda cell: 0.0

    def asked(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        up = points.new_tensor([0.0, 0.0, 1.0]).expand(len(points), 3)
        return method.field(points.to(method.device), up.to(method.device))[0].cpu()

    if surface == "distance":
        return lambda cell: lambda points: -asked(points), lambda cell: 0.0
    return lambda cell: asked, lambda cell: level_of(cell) if level is None else level


def _around(rough: Mesh, box: Box, cells: int) -> Box:
    """The part of a box that a rough mesh of it lies in, with some room."""
    low, high = np.array(box[:3]), np.array(box[3:])
    room = ROOM * float((high - low).max()) / cells
    least, largest = rough.vertices.amin(0).double().numpy(), rough.vertices.amax(0).double().numpy()
    return [*np.maximum(low, least - room).tolist(), *np.minimum(high, largest + room).tolist()]


def _seen(mesh: Mesh, views: Viewpoints) -> Bool[Tensor, "t"]:
    """The triangles that a camera sees, and their neighbours: many are smaller than a pixel."""
    seen = torch.zeros(len(mesh.triangles), dtype=torch.bool)
    pinhole = usual_pinhole(views, SEEN)
    for i in range(len(views)):
        local = views.cameras(i).camera_from_world[0].apply(mesh.vertices)
        corners = torch.cat([pinhole.project(local), local[:, 2:]], 1)[None]
        shown = visible_triangles(corners, mesh.triangles, pinhole.height, pinhole.width)
        seen[shown[shown >= 0].long()] = True
    for _ in range(RINGS):
        touched = torch.zeros(len(mesh.vertices), dtype=torch.bool)
        touched[mesh.triangles[seen].long().flatten()] = True
        seen = touched[mesh.triangles.long()].any(1)
    return seen


def _on_sides(mesh: Mesh, box: Box, cells: int) -> Bool[Tensor, "t"]:
    """The triangles that lie on the sides of a box: where it cuts through what is solid."""
    low, high = torch.tensor(box[:3]), torch.tensor(box[3:])
    near = 1.5 * float((high - low).max()) / cells
    beside = torch.cat([mesh.vertices < low + near, mesh.vertices > high - near], 1)  # [v, side]
    return beside[mesh.triangles.long()].all(1).any(1)


def painted(method: Method, mesh: Mesh, views: Viewpoints, *, texture: int = 0, triangles: int | None = None) -> Mesh:
    """A bare mesh with the field's colours as the cameras of `views` see them: in a texture of so many texels a side,
    or, if `texture` is 0, at its vertices. With `triangles` it is decimated to about that many first; with a texture to
    7,000 unless said otherwise."""
    eyes = torch.from_numpy(views.centres).float()
    colour = field_colour(method, mesh)
    if texture:
        return textured(mesh, colour, texture, eyes, SPENT if triangles is None else triangles)
    return coloured(mesh if triangles is None else decimated(mesh, triangles), colour, eyes)


def field_colour(method: Method, mesh: Mesh) -> Colour:
    """What is seen of a surface in the scene's frame: rays of a few cells through its points are composited, since a
    density has its colours where it is, which is not just where the surface was put. Distances are zero just there."""
    if method.field_gives == "distance":
        return lambda points, directions: _at(method, points, directions)
    cell = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) / FIELD_CELLS
    steps = torch.linspace(-THROUGH, THROUGH, 4 * round(THROUGH) + 1) * cell
    step = float(steps[1] - steps[0])

    def colour(points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        places = (points[:, None] + steps[:, None] * directions[:, None]).flatten(0, 1).to(method.device)
        along = directions[:, None].expand(-1, len(steps), -1).flatten(0, 1).to(method.device)
        density, colours = method.field(places, along)
        absorbed = -torch.expm1(-density.view(-1, len(steps)) * step)
        absorbed = absorbed + 1e-6  # where there is nothing, the plain mean
        left = torch.cumprod(torch.cat([torch.ones_like(absorbed[:, :1]), 1 - absorbed[:, :-1]], 1), 1)
        weights = absorbed * left
        seen = (weights[..., None] * colours.view(*weights.shape, 3)).sum(1) / weights.sum(1, keepdim=True)
        return seen.cpu().clamp(0, 1)

    return colour


def _at(method: Method, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    return method.field(points.to(method.device), directions.to(method.device))[1].cpu().clamp(0, 1)


def points_seen(method: Method, views: Viewpoints, count: int = 200_000, seed: int = 0) -> SurfacePoints:
    """About `count` points that the cameras of `views` see, in the scene's frame, with normals and colours: the pixels
    of their depth maps. For scenes of which there is no mesh."""
    camera = usual_pinhole(views).within(SEEN, least=2)
    found: list[Float[Tensor, "m 9"]] = []
    for i in range(len(views)):
        query = Viewpoints([camera], views.scene_from_camera[i : i + 1], ("",)).cameras(0)
        seen = predict_in_pieces(method, query)
        if seen.depth is None or seen.rgb is None:
            raise ValueError(f"{type(method).__name__} gives no depth or no colour: there are no points to be seen")
        scene_from_camera = query.camera_from_world[0].inverse
        places = scene_from_camera.apply(unproject(seen.depth.cpu(), camera)[0].flatten(0, 1))
        normals = scene_from_camera.turn(normals_of(seen.depth.cpu(), camera)[0].flatten(0, 1))
        every = torch.cat([places, normals, seen.rgb[0].flatten(0, 1).cpu()], 1)
        found.append(every[every.isfinite().all(1)])
    points = torch.cat(found) if found else torch.zeros(0, 9)
    if len(points) > count:
        points = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:count]]
    return SurfacePoints(points[:, :3], points[:, 3:6], points[:, 6:])


def write_scene(
    method: Method,
    views: Viewpoints,
    file: Path | str,
    *,
    surface: Surface | None = None,
    cells: int = 256,
    box: Box | None = None,
    level: float | None = None,
    triangles: int | None = None,
    texture: int | None = None,
    points: int | None = None,
    floaters: bool = False,
    report: Callable[[str], None] = lambda said: None,
) -> list[Path]:
    """Write the scene to FILE.glb, .ply or .obj, or as loose points where `points` says how many or the file's name is
    points.ply (or begins so); returns the paths, the file itself first.

    GLB and OBJ have a texture of 1024 texels a side unless `texture` says otherwise (0: colours at the vertices), PLY
    has colours at its vertices. Numbers are those of the capture's own world, in metres if that is; a GLB says beside
    them which way is up. `report` is told how large the mesh is. See `scene_mesh` and `painted` for the rest.
    """
    file = Path(file)
    loose = points is not None or (file.stem.startswith("points") and file.suffix.lower() == ".ply")
    check_ending(file, loose)
    scene = scene_of(method)
    if loose and scene.space == "ndc":
        return _write_points(file, points_seen(method, views, points or 200_000), scene, report)
    mesh = scene_mesh(method, views, surface=surface, cells=cells, box=box, level=level, floaters=floaters)
    if loose:
        return _write_points(file, points_of(painted(method, mesh, views), points), scene, report)
    plain = file.suffix.lower() == ".ply"
    side = 0 if plain else 1024 if texture is None else texture
    mesh = painted(method, mesh, views, texture=side, triangles=triangles)
    report(described(mesh, scene))
    return write_in_world(file, mesh, scene)


def check_ending(file: Path, loose: bool) -> None:
    """ValueError for a name that says no format, or none that can hold `loose` points."""
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{file}: the ending says the format; give a name in {', '.join(ENDINGS)}, or points.ply")
    if loose and ending != ".ply":
        raise ValueError(f"{file}: loose points are written as PLY; give a name in .ply")


def write_in_world(file: Path, mesh: Mesh, scene: Scene) -> list[Path]:
    """Write a mesh of the scene's frame to FILE.glb, .ply or .obj, in the capture's own world; the file itself first of
    the paths."""
    world_from_scene = scene.world_from_scene
    placed = in_world(mesh, world_from_scene)
    match file.suffix.lower():
        case ".glb":
            about: dict[str, Any] = {"unit": "that of the capture's own files"}
            up = world_from_scene.turn(np.array([0.0, 0.0, 1.0]))
            return [write_glb(file, placed, lit=False, about=about, up=up)]
        case ".obj":
            return write_obj(file, placed)
    return [write_ply(file, placed)]


def _write_points(file: Path, points: SurfacePoints, scene: Scene, report: Callable[[str], None]) -> list[Path]:
    report(f"{len(points.places):,} points")
    return [write_points(file, _placed(points, scene))]


def _placed(points: SurfacePoints, scene: Scene) -> SurfacePoints:
    """Points of the scene's frame in the capture's own world."""
    world_from_scene = scene.world_from_scene
    places = torch.from_numpy(world_from_scene.apply(points.places.double().numpy())).float()
    normals = torch.from_numpy(world_from_scene.turn(points.normals.double().numpy())).float()
    return SurfacePoints(places, normals, points.colours)


def described(mesh: Mesh, scene: Scene) -> str:
    """A line on a mesh of the scene's frame: how many triangles, how large in the capture's unit."""
    sides: Sequence[float] = ((mesh.vertices.amax(0) - mesh.vertices.amin(0)) * scene.world_scale).tolist()
    return f"{len(mesh.triangles):,} triangles, {' x '.join(f'{side:.3g}' for side in sides)} in the capture's unit"
