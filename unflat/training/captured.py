"""What a user takes away of a run on a capture: videos along a path, a mesh, points. No data are needed for it.

`run` is what `train` returned, a run's folder, a file of weights, or the name of shipped weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unflat.data.kinds import Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Cameras
from unflat.method import Method
from unflat.outputs.paths import along, as_taken, of_file, orbit, sees_scene
from unflat.outputs.scene_mesh import Surface, write_scene
from unflat.outputs.surfaces import Box
from unflat.outputs.walks import SAMPLES, DepthFiles, write_walk
from unflat.training import checkpoint
from unflat.training.run import Run

PATHS = ("orbit", "train", "interpolate")
FRAMES = 120

Report = Callable[[str], None]


@dataclass(frozen=True)
class Captured:
    """A run on a capture, loaded."""

    method: Method
    scene: Scene
    views: Viewpoints
    """the cameras that were learned from, in the scene's frame"""
    header: dict[str, Any]
    file: Path
    """of its weights"""


def opened(run: Run | str | Path, device: str = "cpu") -> Captured:
    """The run and its cameras. ValueError if it did not learn from a capture, CheckpointError if it cannot be read."""
    stored = checkpoint.read(checkpoint.find(run.folder if isinstance(run, Run) else run))
    method = checkpoint.built_from(stored, device=device)
    if method.asks is not Cameras or method.extent.scene is None:
        raise ValueError(
            f"{stored.header['method']} learned from photos of a kind of object, not from a capture (posed pictures of "
            "one scene): there are no cameras to go along. Its depth, meshes and videos come from unflat predict"
        )
    return Captured(method, method.extent.scene, checkpoint.cameras_of(stored), stored.header, stored.path)


def path_of(captured: Captured, path: str, frames: int = FRAMES, side: int | None = None) -> Viewpoints:
    """The cameras of a path: orbit, interpolate (past all cameras that were learned from), train (these cameras), or a
    file: nerfstudio's camera_path.json or a transforms.json in the world of the capture's files. The last two have as
    many frames as there are cameras. ValueError for a path that is neither."""
    views, scene = captured.views, captured.scene
    if path == "orbit":
        return orbit(views, scene, frames, side)
    if path == "interpolate":
        return along(views, frames, side)
    if path == "train":
        return as_taken(views, side)
    if not Path(path).is_file():
        raise ValueError(f"there is no path {path!r}: give {', '.join(PATHS)}, or a file with cameras that is there")
    return of_file(Path(path), scene, views, side)


def warnings_of(path: Viewpoints, scene: Scene) -> list[str]:
    """What a user has to know of a path before it is rendered."""
    if sees_scene(path, scene):
        return []
    return [
        "no camera of this path has the scene's middle in its picture: is it in the world of the capture's own files? "
        "(nerfstudio writes paths in a world that it has turned and scaled, unless it was told not to)"
    ]


def render(
    run: Run | str | Path,
    out: Path | str,
    path: str = "orbit",
    *,
    frames: int = FRAMES,
    side: int | None = None,
    fps: float = 30.0,
    keep_frames: bool = True,
    depth: DepthFiles = "none",
    samples: int = SAMPLES,
    device: str = "cpu",
    progress: bool = True,
    report: Report = print,
) -> list[Path]:
    """Write videos of what is seen along a path, and their frames, into the folder `out`; see `path_of`, `write_walk`.

    What is odd about the path is told to `report`.
    """
    captured = opened(run, device)
    cameras = path_of(captured, path, frames, side)
    for warning in warnings_of(cameras, captured.scene):
        report(f"warning: {warning}")
    return write_walk(
        captured.method, cameras, out, fps=fps, frames=keep_frames, depth=depth, samples=samples, progress=progress
    )


def export(
    run: Run | str | Path,
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
    device: str = "cpu",
    report: Report = print,
) -> list[Path]:
    """Write the scene as a mesh (.glb, .ply, .obj) or as loose points (points.ply); see `write_scene`.

    How large it is is told to `report`.
    """
    captured = opened(run, device)
    return write_scene(
        captured.method, captured.views, file, surface=surface, cells=cells, box=box, level=level, triangles=triangles,
        texture=texture, points=points, floaters=floaters, report=report,
    )  # fmt: skip
