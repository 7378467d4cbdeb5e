"""How good the meshes of learned objects are, beside their true surfaces; what they cost; and what stays wrong.

    OMP_NUM_THREADS=1 python benchmarks/surfaces.py truth OBJECT... [--shapes] [--around dome] [--without NAME]
    OMP_NUM_THREADS=1 python benchmarks/surfaces.py yardstick CHAIR --prototype FILE [--pairs 3] [--record]
    OMP_NUM_THREADS=1 python benchmarks/surfaces.py texture OBJECT... [--record]
    OMP_NUM_THREADS=1 python benchmarks/surfaces.py cost OBJECT [--plot FILE] [--record]
    OMP_NUM_THREADS=1 python benchmarks/surfaces.py limits OBJECT [--record]
    OMP_NUM_THREADS=1 python benchmarks/surfaces.py wrong OBJECT... --sheet FILE [--keep FOLDER]

OBJECT is a generated shape, a textured .obj or .glb, a folder with one, or a folder of such folders, as the YCB set is.
It is rendered at 200 px from 60 places all around, before nothing (pictures have opacity), a painted dome, or clutter.

truth      meshes of quick_surface (`--method`), of the quick grid's density and its depth, and the visual hull, each
           beside the true surface: 100,000 points on both, Chamfer distance (the mean of both directions' means) in
           cells of 3/127 units of the scene, in which an object's box has a diagonal of 2.2, and in millimetres;
           F-score at a cell and half a cell; angle between triangles, and between smooth normals; distances of what
           cameras see; PSNR of 12 held-out pictures, and of the object in them; process CPU seconds. `hidden` is the
           share of the true surface that no camera sees, `floor` the Chamfer distance of the truth to itself, drawn
           twice. The peer, where there is one, is a prototype's figure of the same protocol; `--prototype` runs it on
           the same pictures. `--set name=value` and `--without NAME` change quick_surface's settings
yardstick  PSNR at equal process CPU seconds on Synthetic-NeRF's chair at 200 px, all pictures, test views 0, 4 to 16,
           beside the prototype's, in processes that take turns
texture    PSNR of 8 held-out pictures: the mesh that `unflat mesh` makes, with the photos on it and with the field's
           colours; the field itself; and the photos on the true mesh (`surface_texture.py`)
cost       CPU seconds, memory and Chamfer distance against pictures, their pixels, and voxels along a side. One plot
limits     the two loops that most of learning goes into, and how near they come to what the machine can do
           (`surface_limits.py`)
wrong      from two sides: the truth, ours, and ours coloured by how far it is from the truth (`surface_sheet.py`)

The clock starts at the first batch: preparation counts; importing, rendering, compiling and looking do not; nor does
making the mesh. One thread. Every run has a process of its own.
"""

import argparse
import ast
import ctypes
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from unflat import catalogue
from unflat.records import Record, append
from unflat.worlds.object_files import SUFFIXES
from unflat.worlds.object_shapes import SHAPES

OURS, GRID, HULL, PROTOTYPE = "ours", "grid", "hull", "prototype"
"""what is run; the grid gives two meshes"""
GRID_SURFACES = ("density", "depth")
ANALYTIC = ("torus", "box", "vase")
VIEWS, SIDE = 60, 200
ALL = "surfaces"
"""whose file of records holds what is said of no method"""

WITHOUT: dict[str, dict[str, Any]] = {
    "eikonal": {"eikonal": 0.0},
    "curvature": {"curvature": 0.0},
    "both terms": {"eikonal": 0.0, "curvature": 0.0},
    "full resolution at first": {"stages": (0.5, 1.0)},
    "sharpness at first": {"sharpness": (1.4, 6.0)},
    "plain colours at first": {"bands": (4, 4)},
    "harmonics": {"bands": (1, 1)},
    "half the steps": {"training.steps": 0.5},
}
"""ablations by name: fields of `Config` with other values, or of `Training` after `training.`, a share of its steps"""

PEER: dict[str, tuple[float, ...]] = {
    "banana": (17.0, 0.16, 0.37, 1.000, 0.999, 12.2, 35.3),
    "bleach_cleanser": (21.0, 0.20, 0.60, 1.000, 0.990, 10.8, 36.0),
    "mustard_bottle": (20.0, 0.21, 0.51, 1.000, 0.978, 11.5, 34.0),
    "power_drill": (20.0, 0.22, 0.63, 0.993, 0.963, 17.9, 31.1),
    "cracker_box": (37.0, 0.24, 0.71, 0.999, 0.978, 12.2, 28.6),
    "rubiks_cube": (30.0, 0.35, 0.46, 0.966, 0.818, 10.5, 32.6),
    "tomato_soup_can": (30.0, 0.39, 0.58, 0.926, 0.812, 16.6, 29.6),
    "pitcher_base": (27.0, 0.43, 1.48, 0.924, 0.823, 16.5, 31.3),
    "a_toy_airplane": (27.0, 0.45, 1.97, 0.902, 0.762, 23.7, 29.6),
    "mug": (28.0, 1.31, 2.40, 0.836, 0.670, 23.4, 30.8),
}
"""what the prototype reached before nothing, in the order of PEERS"""
PEERS = ("CPU s", "Chamfer, cells", "Chamfer, mm", "F at 1 cell", "F at 1/2 cell", "normals, degrees", "PSNR")


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        work = {"yardstick": taught_chair, "texture": dressed}.get(options.part, worked)
        print(json.dumps(work(options)))
        return
    PARTS[options.part](options)


# -- what is measured, and a run ---------------------------------------------------------------------------------------


def name_of(found: str) -> str:
    """Of a shape, or of the folder that a mesh lies in."""
    return found if found in SHAPES else Path(found).parent.name


def objects_of(named: Sequence[str], shapes: bool = False) -> list[str]:
    """Shapes and files that `Objects` takes, of shapes, files, folders with a mesh, and folders of such folders."""
    found = list(ANALYTIC) if shapes else []
    for one in named:
        path = Path(one)
        if one in SHAPES or path.is_file():
            found.append(one)
            continue
        meshes = [str(p.resolve()) for e in SUFFIXES for p in (*path.glob(f"*{e}"), *path.glob(f"*/*{e}"))]
        if not meshes:
            raise SystemExit(f"{one} is no shape ({', '.join(SHAPES)}), and there is no mesh in it")
        found += sorted(meshes)
    return list(dict.fromkeys(found))


def changes_of(options: argparse.Namespace) -> dict[str, Any]:
    """Fields with other values, as `--set` and `--without` say."""
    found: dict[str, Any] = {}
    for name in options.without:
        found |= WITHOUT[name]
    for said in options.set:
        name, _, value = said.partition("=")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def changed(experiment: Any, changes: dict[str, Any]) -> Any:
    """The experiment with other values of fields. SystemExit for a field that is not there."""
    config, training = experiment.config, experiment.training
    for name, value in changes.items():
        of, _, field = name.rpartition(".")
        if of not in ("", "training") or field not in {f.name for f in fields(training if of else config)}:
            raise SystemExit(f"{type(experiment.config).__module__} has no setting {name}")
        if of:
            value = round(value * training.steps) if field == "steps" and value <= 1 else value
            training = replace(training, **{field: value})
        else:
            config = replace(config, **{field: value})
    return replace(experiment, config=config, training=training)


def answer(options: argparse.Namespace, kind: str, shape: str, part: str = "truth") -> dict[str, Any] | None:
    """What a run found, in a process of its own; None, which is said, where it failed: the others go on."""
    from processes import answer_of

    words = [word for name, value in told(options).items() for word in (f"--{name}", str(value))]
    words += [word for name in options.without for word in ("--without", name)]
    words += [word for said in options.set for word in ("--set", said)]
    try:
        return answer_of(__file__, part, shape, "--worker", kind, *words)
    except RuntimeError as error:
        print(f"{kind}, {name_of(shape)}: {error}", file=sys.stderr, flush=True)
        return None


def told(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a figure depends on."""
    names = ("around", "views", "side", "seed", "method", "experiment", "grid-experiment", "held-out", "texels")
    found = {name: getattr(options, name.replace("-", "_")) for name in names}
    more = {"prototype": options.prototype, "keep": options.keep}
    return found | {name: value for name, value in more.items() if value}


def worked(options: argparse.Namespace) -> dict[str, Any]:
    """One run and its meshes beside the truth."""
    import surface_figures
    from surface_figures import figures_of, hull_mesh, truth_of

    from unflat.worlds.objects import object_splits

    shape = options.objects[0]
    world, _, unseen = object_splits(shape, options.views, options.side, options.seed, options.around)
    capture, held_out = world.capture(progress=False), unseen.capture(progress=False)
    if options.worker == HULL:
        meshes, found = {HULL: hull_mesh(capture, surface_figures.CELLS)}, {}
    elif options.worker == PROTOTYPE:
        meshes, found = prototyped(options.prototype, capture, held_out)
    else:
        alone = replace(unseen, around="nothing").capture(progress=False).pixels[:, 3] > 0
        meshes, found = learned(options, capture, held_out, replace(held_out, mask=alone))
    truth = truth_of(world, capture)
    if options.keep:
        for name, mesh in meshes.items():
            keep(options, shape, name, mesh)
    every = {name: figures_of(mesh, truth) | found.get("figures", {}) for name, mesh in meshes.items()}
    return found | {"meshes": every, "hidden": truth.hidden, "floor": truth.floor}


def learned(
    options: argparse.Namespace, capture: Any, held_out: Any, alone: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Meshes of what a method has learned, and what that took. `alone` are the held-out pictures with only the object's
    pixels in their mask."""
    from unflat.evaluation.captures import evaluate_capture
    from unflat.outputs.scene_mesh import scene_mesh
    from unflat.training.object_run import CELLS

    ours = options.worker == OURS
    chosen = own_settings(options, capture) if ours else fitted("quick_grid", options.grid_experiment, capture)
    found, before = taught(chosen, capture, held_out)
    peak, last, method = peak_memory(), found.points[-1], found.method
    assert method is not None
    making = {OURS: partial(scene_mesh, method, capture.viewpoints, cells=CELLS)} if ours else {
        surface: partial(scene_mesh, method, capture.viewpoints, surface=surface) for surface in GRID_SURFACES
    }  # fmt: skip
    of_object = evaluate_capture(method, alone).figures["PSNR"]
    figures = {"PSNR": last.psnr, "SSIM": last.ssim, "CPU s": last.cpu, "PSNR of the object": of_object}
    meshes, missing = made(making)
    return meshes, {
        "figures": figures, "missing": missing, "memory": peak, "wall": last.wall, "steps": last.step,
        "settings": chosen.digest, "voxels": float(getattr(method, "finest", 0)),
        "grown": peak - before + capture.pixels.nbytes,
    }  # fmt: skip


def fitted(method: str, experiment: str, capture: Any) -> Any:
    """An experiment with settings for the capture."""
    usual = catalogue.experiment(method, experiment)
    return usual.method.suited(usual, capture)[0]


def own_settings(options: argparse.Namespace, capture: Any) -> Any:
    """Ours, as asked for."""
    return changed(fitted(options.method, options.experiment, capture), changes_of(options))


def taught(chosen: Any, capture: Any, held_out: Any) -> tuple[Any, float]:
    """An experiment's run on one thread, with everything compiled before, and one look at the end; and the bytes that
    this process held before."""
    from unflat.training.experiment import made as made_data
    from unflat.training.timed import NEVER, compiled_by_tiny, curve

    tiny = catalogue.experiment(catalogue.name_of(chosen.method), "tiny")
    compiled_by_tiny(chosen.method, made_data(tiny.data), made_data(tiny.test)[:1], threads=1)
    before = forget_peak()
    training = replace(chosen.training, threads=1)
    return curve(chosen.method, chosen.config, training, capture, held_out, every=NEVER), before


def made(making: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The meshes that there are, and of the others why there are none: haze may have no surface."""
    found, missing = {}, {}
    for name, make in making.items():
        try:
            found[name] = make()
        except ValueError as error:
            missing[name] = str(error)
    return found, missing


def forget_peak() -> float:
    """The peak of this process' memory begins anew (Linux), with the bytes that it holds; what was freed is given back
    first."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> float:
    """Most bytes that this process has held since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def keep(options: argparse.Namespace, shape: str, name: str, mesh: Any) -> Path:
    """Write a mesh, in the scene's frame, where `kept` finds it."""
    import numpy as np

    path = file_of(options, shape, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, v=mesh.vertices.numpy(), f=mesh.triangles.numpy(), n=mesh.normals.numpy())
    return path


def file_of(options: argparse.Namespace, shape: str, name: str) -> Path:
    return Path(options.keep) / f"{name_of(shape)}-{options.around}-{name}.npz"


def read_mesh(path: Path) -> Any:
    """What `keep` wrote, or the prototype, whose triangles may face inwards: turned so that normals say so too."""
    import numpy as np
    import torch

    from unflat.geometry.depth import cross
    from unflat.geometry.meshes import Mesh, vertex_normals

    with np.load(path) as kept:
        vertices, triangles = (torch.from_numpy(kept[name].copy()) for name in ("v", "f"))
    vertices, triangles = vertices.float(), triangles.int()
    a, b, c = vertices.double()[triangles.long()].unbind(1)
    if (a * cross(b, c)).sum() < 0:
        triangles = triangles.flip(1)
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles))


# -- the prototype -----------------------------------------------------------------------------------------------------

SCHEDULE = ("[(64,400),(128,1600)]", "5e-3", "4e-3")
"""cells and steps of each stage, and weights, as in its table"""


def prototyped(script: Path, capture: Any, held_out: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mesh that the prototype makes of the same pictures, in the scene's frame, and what that took. Its PSNR is of
    every fourth held-out view."""
    with tempfile.TemporaryDirectory() as folder:
        for split, pictures in (("train", capture), ("test", held_out)):
            written_in_scene(Path(folder), split, pictures)
        points = run_prototype(script, Path(folder), Path(folder), down=1)
        mesh = read_mesh(Path(folder) / "mesh.npz")
    seconds, psnr = points[-1]
    return {PROTOTYPE: mesh}, {"figures": {"PSNR": psnr, "CPU s": seconds}, "memory": None, "wall": None, "steps": 2000}


def written_in_scene(folder: Path, split: str, capture: Any) -> None:
    """Pictures with opacity and cameras as Blender's add-on writes them, in the scene's frame."""
    import math

    import numpy as np
    from PIL import Image

    if not capture.has_alpha:
        raise SystemExit("the prototype needs pictures with opacity: --around nothing")
    pinhole, frames = capture.pinholes[0], []
    for index in range(len(capture)):
        name = f"{split}_{index:04d}"
        Image.fromarray(capture.picture(index)).save(folder / f"{name}.png")
        pose = capture.scene_from_camera[index] @ np.diag([1.0, -1.0, -1.0, 1.0])
        frames.append({"file_path": f"./{name}", "transform_matrix": pose.tolist()})
    angle = 2 * math.atan(pinhole.width / 2 / pinhole.fx)
    (folder / f"transforms_{split}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))


def run_prototype(script: Path, data: Path, folder: Path, down: int) -> list[tuple[float, float]]:
    """(CPU seconds, test PSNR) of each of its lines; it leaves mesh.npz in the folder."""
    import re
    import subprocess

    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(script).resolve()), str(Path(data).resolve()), *SCHEDULE]
    environment = {**os.environ, **threads, "DOWN": str(down)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"the prototype ended with {done.returncode}:\n{done.stderr[-2000:]}")
    line = re.compile(r"^\d+ n\d+ cpu ([\d.]+) s .* test ([\d.]+)")
    return [(float(m[1]), float(m[2])) for m in map(line.match, done.stdout.splitlines()) if m]


# -- beside the truth --------------------------------------------------------------------------------------------------


def truth(options: argparse.Namespace) -> None:
    """A table of every kind of mesh, with the medians, and their records."""
    from surface_figures import medians

    kinds = options.kinds or [OURS, GRID, *([HULL] if options.around == "nothing" else [])]
    kinds += [PROTOTYPE] if options.prototype and PROTOTYPE not in kinds else []
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for shape in objects_of(options.objects, options.shapes):
        for kind in kinds:
            found = answer(options, kind, shape)
            if found is None:
                continue
            for mesh, why in found.get("missing", {}).items():
                print(f"{mesh}, {name_of(shape)}: {why}", file=sys.stderr, flush=True)
            for mesh, figures in found["meshes"].items():
                figures = figures | {name: found[name] for name in ("hidden", "floor")}
                tables.setdefault(mesh, {})[name_of(shape)] = figures
                print(row(f"{mesh}, {name_of(shape)}", figures), flush=True)
                if options.record:
                    append(records_of(options, mesh, name_of(shape), figures, found))
    for mesh, table in tables.items():
        print(f"\n{mesh}, {options.around}\n\n{HEAD}")
        every = {**table, f"median of {len(table)}": medians(list(table.values()))}
        print("\n".join(row(name, figures) for name, figures in every.items()))
        if options.record and len(table) > 1:
            append(records_of(options, mesh, f"median of {len(table)}", every[f"median of {len(table)}"], {}))


COLUMNS = {
    "CPU s": "{:.0f}", "Chamfer, cells": "{:.2f}", "Chamfer, mm": "{:.2f}", "F at 1 cell": "{:.3f}",
    "F at 1/2 cell": "{:.3f}", "normals, degrees": "{:.1f}", "smooth normals, degrees": "{:.1f}",
    "Chamfer of what cameras see, cells": "{:.2f}", "F at 1/2 cell of what cameras see": "{:.3f}", "PSNR": "{:.1f}",
    "PSNR of the object": "{:.1f}", "hidden": "{:.3f}", "floor": "{:.2f}",
}  # fmt: skip
"""the table's, and how their figures are printed; those that are recorded are RECORDED"""
HEAD = f"| | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}"
RECORDED = (*PEERS, "smooth normals, degrees", "Chamfer of what cameras see, cells", "PSNR of the object")
HIGHER = ("F at 1 cell", "F at 1/2 cell", "PSNR", "PSNR of the object")


def row(name: str, figures: dict[str, float]) -> str:
    """Of a Markdown table, in the order of COLUMNS."""
    cells = [form.format(figures[column]) if column in figures else "" for column, form in COLUMNS.items()]
    return f"| {name} | {' | '.join(cells)} |"


def records_of(
    options: argparse.Namespace, mesh: str, name: str, figures: dict[str, float], found: dict[str, Any]
) -> list[Record]:
    """Of one mesh, or of the medians."""
    method = {OURS: options.method, HULL: ALL, PROTOTYPE: ALL}.get(mesh, "quick_grid")
    of = "" if mesh == OURS else f" {mesh},"
    given = [f"without {one}" for one in options.without] + list(options.set)
    said = f"surfaces,{of} {name}, {options.around}{''.join(f', {one}' for one in given if mesh == OURS)}"
    peers = dict(zip(PEERS, PEER.get(name, ()), strict=False)) if said == f"surfaces, {name}, nothing" else {}
    note = f"{options.views} views, {options.side} px, one thread"
    note += f"; {found['hidden']:.1%} of the true surface is seen by no camera" if "hidden" in found else ""
    words = ["truth", "OBJECT" if mesh == OURS or "hidden" in found else "OBJECTS", *spoken(options)]
    more = {"seconds": found.get("wall"), "memory": found.get("memory"), "settings": found.get("settings", "")}
    return [
        Record(
            method, said, metric, figures[metric], "higher" if metric in HIGHER else "lower",
            bound=peers.get(metric), source="peer" if metric in peers else "", seed=options.seed, note=note,
            command=f"OMP_NUM_THREADS=1 python benchmarks/surfaces.py {' '.join(words)} --record", **more,
        )
        for metric in RECORDED
        if metric in figures
    ]  # fmt: skip


def spoken(options: argparse.Namespace) -> list[str]:
    """The options that are not as usual, as they are typed."""
    usual = parser().parse_args(["truth", "vase"])
    words = [f"--{name} {value}" for name, value in told(options).items()
             if name not in ("prototype", "keep") and value != getattr(usual, name.replace("-", "_"))]  # fmt: skip
    return words + [f"--without '{one}'" for one in options.without] + [f"--set '{one}'" for one in options.set]


# -- the chair, beside the prototype -----------------------------------------------------------------------------------

LOOKED_AT = slice(0, 20, 4)
"""of the test views, as the prototype does"""
SECONDS = (10.0, 20.0, 30.0)
CHAIR_SIDE = 200


def yardstick(options: argparse.Namespace) -> None:
    """PSNR when so much of the processor's time is over, ours and the prototype's, in pairs that take turns."""
    from processes import answer_of

    if options.prototype is None:
        raise SystemExit("the yardstick is the prototype: give its file, --prototype FILE")
    words = [word for name, value in told(options).items() if name in ("method", "experiment")
             for word in (f"--{name}", str(value))]  # fmt: skip
    words += [word for said in options.set for word in ("--set", said)]
    pairs: list[tuple[list[Any], list[Any]]] = []
    for number in range(options.pairs):
        with tempfile.TemporaryDirectory() as folder:
            theirs = run_prototype(options.prototype, Path(options.objects[0]), Path(folder), down=2)
        ours = answer_of(__file__, "yardstick", options.objects[0], "--worker", OURS, *words)["points"]
        pairs.append((ours, theirs))
        print(f"pair {number + 1}: ours {ours}, prototype {theirs}", file=sys.stderr, flush=True)
    lines = yardstick_records(options, pairs)
    for line in lines:
        print(f"{line.metric:40}{line.ours:10.4g}  {line.bound or 0:10.4g}  {line.note}")
    if options.record:
        append(lines)


def yardstick_records(options: argparse.Namespace, pairs: Sequence[tuple[Any, Any]]) -> list[Record]:
    """At round times, and when the prototype is done: medians over the pairs, with the prototype's as the peer."""
    command = "OMP_NUM_THREADS=1 python benchmarks/surfaces.py yardstick CHAIR --prototype FILE --record"
    name, found = "surfaces, chair beside the prototype", []
    times: list[tuple[str, Any]] = [(f"{t:g} CPU s", lambda _, t=t: t) for t in SECONDS]
    for said, when in [*times, ("the prototype's end", lambda theirs: theirs[-1][0])]:
        both = [(at(ours, when(theirs)), at(theirs, when(theirs))) for ours, theirs in pairs]
        both = [(a, b) for a, b in both if a is not None and b is not None]
        if both:
            a, b = (statistics.median(pair[i] for pair in both) for i in (0, 1))
            note = f"{CHAIR_SIDE} px, 100 views, 5 held out, one thread, {len(both)} interleaved pairs"
            found.append(Record(options.method, name, f"PSNR at {said}", a, "higher", b, "peer", note=note,
                                command=command))  # fmt: skip
    return found


def at(points: Sequence[Sequence[float]], seconds: float) -> float | None:
    """PSNR at a time, linear between looks; after the last, what that saw; before the first, None."""
    before = [point for point in points if point[0] <= seconds]
    if not before:
        return None
    after = next((point for point in points if point[0] > seconds), None)
    (t, psnr) = before[-1]
    return psnr if after is None else psnr + (seconds - t) / (after[0] - t) * (after[1] - psnr)


def taught_chair(options: argparse.Namespace) -> dict[str, Any]:
    """(CPU seconds, PSNR) of ours on the chair, every 100 steps."""
    from capture_timing import read

    from unflat.training.timed import compiled_by_tiny, curve

    train = read(options.objects[0], "train", CHAIR_SIDE)
    held_out = read(options.objects[0], "test", CHAIR_SIDE, limit=20, every=4)
    chosen = own_settings(options, train)
    compiled_by_tiny(chosen.method, train, held_out[:1], threads=1)
    found = curve(chosen.method, chosen.config, replace(chosen.training, threads=1), train, held_out, every=100)
    return {"points": [(round(point.cpu, 2), round(point.psnr, 3)) for point in found.points]}


# -- textured meshes ---------------------------------------------------------------------------------------------------


def texture(options: argparse.Namespace) -> None:
    """A row for each object."""
    if options.around != "nothing":
        raise SystemExit("meshes are drawn before the pictures' background: --around nothing")
    for shape in objects_of(options.objects, options.shapes):
        found = answer(options, OURS, shape, "texture")
        if found is not None:
            figures = ", ".join(f"{name} {psnr:.2f}" for name, psnr in found["figures"].items())
            print(f"{name_of(shape):20}{figures}", flush=True)
            if options.record:
                append(texture_records(options, name_of(shape), found))


def dressed(options: argparse.Namespace) -> dict[str, Any]:
    """PSNR of each of what is looked at, for one object."""
    from surface_texture import texture_figures

    from unflat.worlds.objects import object_splits

    world, _, unseen = object_splits(options.objects[0], options.views, options.side, options.seed)
    unseen = replace(unseen, views=options.held_out)
    capture, held_out = world.capture(progress=False), unseen.capture(progress=False)
    chosen = own_settings(options, capture)
    found, _ = taught(chosen, capture, held_out[:1])
    assert found.method is not None
    figures = texture_figures(found.method, capture, held_out, world.mesh(), options.texels, world.samples)
    return {"figures": figures, "settings": chosen.digest}


def texture_records(options: argparse.Namespace, name: str, found: dict[str, Any]) -> list[Record]:
    words = " ".join(["texture OBJECTS", *spoken(options), "--record"])
    command = f"OMP_NUM_THREADS=1 python benchmarks/surfaces.py {words}"
    note = f"{options.views} views, {options.side} px, {options.held_out} held out, {options.texels} texels"
    return [
        Record(options.method, f"surfaces, texture, {name}", f"PSNR, {what}", psnr, "higher", seed=options.seed,
               settings=found["settings"], note=note, command=command)
        for what, psnr in found["figures"].items()
    ]  # fmt: skip


# -- what it costs -----------------------------------------------------------------------------------------------------

CHANGED: dict[str, tuple[int, ...]] = {
    "views": (15, 30, 60, 120),
    "side": (100, 200, 400),
    "most": (48, 64, 96, 128, 192),
}
TITLES = {"views": "pictures", "side": "pixels a side", "most": "voxels a side"}


def cost(options: argparse.Namespace) -> None:
    """Whole runs on one object, one thing changed at a time."""
    from PIL import Image
    from surface_costs import Row, cost_plot

    shape = objects_of(options.objects)[0]
    found: dict[str, list[dict[str, float]]] = {}
    for what, values in CHANGED.items():
        for value in values:
            one = costs(options, shape, what, value)
            if one is None:
                continue
            found.setdefault(what, []).append(one)
            print(f"{TITLES[what]:16}{one['x']:6.0f} {one['seconds']:8.1f} CPU s {one['memory'] / 1e6:7.0f} MB "
                  f"{one['chamfer']:6.2f} cells off", flush=True)  # fmt: skip
            if options.record:
                append(cost_records(options, shape, what, one))
    if options.plot:
        rows = Row("seconds", 1.0, "CPU s"), Row("memory", 1e-6, "MB"), Row("chamfer", 1.0, "Chamfer, cells")
        Image.fromarray(cost_plot(found, TITLES, rows)).save(options.plot)


def costs(options: argparse.Namespace, shape: str, what: str, value: int) -> dict[str, float] | None:
    """Of one run. Along x, voxels are those that it had. Memory is that of the pictures, and the most that the process
    has more while it learns than before."""
    asked = argparse.Namespace(**vars(options))
    if what == "most":
        asked.set = [*options.set, f"most={value}", "detail=0.01"]  # however large its pixels are
    else:
        setattr(asked, what, value)
    found = answer(asked, OURS, shape)
    if found is None:
        return None
    figures = found["meshes"][OURS]
    x = found["voxels"] if what == "most" and found["voxels"] else float(value)
    return {"x": x, "seconds": figures["CPU s"], "memory": found["grown"], "chamfer": figures["Chamfer, cells"]}


def cost_records(options: argparse.Namespace, shape: str, what: str, one: dict[str, float]) -> list[Record]:
    command = "OMP_NUM_THREADS=1 python benchmarks/surfaces.py cost OBJECT --plot FILE --record"
    at_most = f"{one['x']:.0f} {TITLES[what]}"
    figures = {f"CPU s, {at_most}": one["seconds"], f"Chamfer, cells, {at_most}": one["chamfer"]}
    return [
        Record(options.method, f"surfaces, cost, {name_of(shape)}", metric, value, "lower", memory=one["memory"],
               command=command)
        for metric, value in figures.items()
    ]  # fmt: skip


# -- how near the machine's limits -------------------------------------------------------------------------------------


def limits(options: argparse.Namespace) -> None:
    """Shares of the time of learning, and of the limits, in this process: with OMP_NUM_THREADS=1."""
    from surface_limits import limit_records

    from unflat.worlds.objects import object_splits

    shape = objects_of(options.objects)[0]
    world, _, unseen = object_splits(shape, options.views, options.side, options.seed, options.around)
    capture, held_out = world.capture(progress=False), replace(unseen, views=1).capture(progress=False)
    chosen = own_settings(options, capture)
    run, _ = taught(chosen, capture, held_out)
    lines = limit_records(run, chosen, capture, held_out, options.rounds)
    words = " ".join(["limits OBJECT", *spoken(options), "--record"])
    command = f"OMP_NUM_THREADS=1 python benchmarks/surfaces.py {words}"
    for line in lines:
        print(f"{line.metric:60}{line.ours:10.4g}  {line.note}", flush=True)
    if options.record:
        append([replace(line, note=f"{name_of(shape)}; {line.note}", command=command) for line in lines])


# -- what stays wrong --------------------------------------------------------------------------------------------------

QUALITY = 88
"""of a JPEG"""


def wrong(options: argparse.Namespace) -> None:
    """A sheet, a row an object."""
    from PIL import Image
    from surface_sheet import error_sheet

    with tempfile.TemporaryDirectory() as folder:
        options.keep = options.keep or Path(folder)
        meshes = {}
        for shape in objects_of(options.objects, options.shapes):
            path = file_of(options, shape, options.mesh)
            if not path.is_file():
                answer(options, GRID if options.mesh in GRID_SURFACES else options.mesh, shape)
            if path.is_file():  # or why there is none has been said
                meshes[shape] = name_of(shape), read_mesh(path)
    if not meshes:
        raise SystemExit("there is nothing to show")
    Image.fromarray(error_sheet(meshes, options.mesh, options.seed)).save(options.sheet, quality=QUALITY)


PARTS = {
    "truth": truth, "yardstick": yardstick, "texture": texture, "cost": cost, "limits": limits, "wrong": wrong,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("part", choices=tuple(PARTS))
    made.add_argument("objects", nargs="*", metavar="OBJECT", help="shapes, meshes, folders; of yardstick the chair's")
    made.add_argument("--shapes", action="store_true", help=f"also {', '.join(ANALYTIC)}")
    made.add_argument("--around", choices=("nothing", "dome", "clutter"), default="nothing", help="behind the object")
    made.add_argument("--views", type=int, default=VIEWS, help="pictures")
    made.add_argument("--side", type=int, default=SIDE, help="pixels a side")
    made.add_argument("--seed", type=int, default=0, help="of paint and cameras")
    made.add_argument("--method", default="quick_surface", help="a method that learns a distance")
    made.add_argument("--experiment", default="small", help="its settings")
    made.add_argument("--kinds", nargs="+", choices=(OURS, GRID, HULL, PROTOTYPE), help="what is run. Left out: all")
    made.add_argument("--without", action="append", default=[], choices=tuple(WITHOUT), help="an ablation")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    made.add_argument("--prototype", type=Path, help="distance_grid_fused.py")
    made.add_argument("--pairs", type=int, default=3, help="yardstick: runs of each that take turns")
    made.add_argument("--held-out", type=int, default=8, help="texture: pictures that are looked at")
    made.add_argument("--texels", type=int, default=2048, help="texture: along its longer side")
    made.add_argument("--rounds", type=int, default=5, help="limits: times each has its turn")
    made.add_argument("--plot", type=Path, help="cost: a PNG")
    made.add_argument("--sheet", type=Path, default=Path("wrong.jpg"), help="wrong: a picture")
    made.add_argument("--mesh", choices=(OURS, *GRID_SURFACES, HULL, PROTOTYPE), default=OURS, help="wrong: which")
    made.add_argument("--keep", type=Path, help="a folder for meshes; wrong takes those that it finds there")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--worker", default="", help=argparse.SUPPRESS)
    made.add_argument("--grid-experiment", default="small", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
