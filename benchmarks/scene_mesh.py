"""How far the mesh of a learned capture is from the true surface, in the object's own unit.

    python benchmarks/scene_mesh.py OBJECT [--views 60] [--side 160] [--method quick_grid] [--record]

OBJECT is a generated shape (vase, box, torus, sphere) or a textured .obj or .glb, such as one of the YCB set. It is
rendered from all around, learned with the settings `small`, exported as PLY by depth and by density, and points drawn
evenly on one surface are compared with the nearest of those drawn on the other.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from unflat import catalogue
from unflat.data.captures import read_capture
from unflat.geometry.meshes import Mesh
from unflat.outputs.baking import points_of
from unflat.outputs.scene_mesh import Surface, scene_mesh
from unflat.records import Record, append
from unflat.training.captured import opened
from unflat.training.run import train
from unflat.worlds.objects import Objects

DRAWN = 300_000
"""points on each surface"""
SURFACES: tuple[Surface, ...] = ("depth", "density")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("object", help="a generated shape, or a textured mesh")
    parser.add_argument("--views", type=int, default=60, help="pictures")
    parser.add_argument("--side", type=int, default=160, help="pixels a side")
    parser.add_argument("--method", default="quick_grid", help="with its settings `small`")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    arguments = parser.parse_args()
    world, began = Objects(arguments.object, arguments.views, arguments.side), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(world, arguments.method, Path(folder))
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")
    if arguments.record:
        seconds, given = time.monotonic() - began, Path(arguments.object)
        named = given.name if not given.suffix else f"{given.parent.name}/{given.name}"  # no folder of this machine
        command = f"python benchmarks/scene_mesh.py {named} --views {arguments.views} --side {arguments.side} "
        command += f"--method {arguments.method} --record"
        append(
            Record(method=arguments.method, experiment=f"scene_mesh, {named}", metric=name, ours=value, better="lower",
                   seconds=seconds, command=command)
            for name, value in figures.items()
        )  # fmt: skip


def measured(world: Objects, method: str, folder: Path, experiment: str = "small") -> dict[str, float]:
    """Millimetres, if the object's file is in metres, for each way to find the surface."""
    world.write(folder, progress=False)
    capture = read_capture(folder, split="train", progress=False)
    chosen = catalogue.experiment(method, experiment)
    run = train(method, capture, out=folder / "run", config=chosen.config, training=chosen.training, quiet=True)
    captured = opened(run)
    truth = drawn(world.mesh(), world.capture(progress=False).scene.world_from_scene.apply)
    found = {}
    for surface in SURFACES:
        mesh = scene_mesh(captured.method, captured.views, surface=surface)
        ours = drawn(mesh, captured.scene.world_from_scene.apply)
        there, back = (cKDTree(b).query(a)[0] * 1000 for a, b in ((ours, truth), (truth, ours)))
        found |= {
            f"{surface}: mesh to truth, median, mm": float(np.median(there)),
            f"{surface}: mesh to truth, 95 %, mm": float(np.quantile(there, 0.95)),
            f"{surface}: truth to mesh, median, mm": float(np.median(back)),
        }
    return found


def drawn(mesh: Mesh, world_from_scene: object) -> np.ndarray:
    """Points on a mesh, in the object's own frame."""
    assert callable(world_from_scene)
    return np.asarray(world_from_scene(points_of(mesh, DRAWN).places.double().numpy()))


if __name__ == "__main__":
    main()
