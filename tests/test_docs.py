"""Every command in the README and the docs is run, shortened where it would take long.

A block of code that must not be run has a comment in front of it that says why: `<!-- not run: ... -->`.
"""

import inspect
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import unflat
from unflat import catalogue, records
from unflat.cli.main import COMMANDS, HELP, main
from unflat.cli.predict import PredictOptions
from unflat.data.captures import read_capture
from unflat.method import Method
from unflat.methods.radiance.quick_grid import Config
from unflat.outputs.video import write_video
from unflat.training import checkpoint
from unflat.training.run import train
from unflat.training.settings import Training
from unflat.worlds.faces import Faces
from unflat.worlds.objects import Objects

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
SAMPLES = ROOT / "unflat" / "samples"
TESTED_ELSEWHERE = {"outputs.md": "tests/outputs/test_photos.py"}
"""pages whose Python needs what another test has at hand"""

SHORTER = [
    (r" --training\.steps \d+", ""),
    (r"^(unflat train .*)--out runs/plush", r"\1--out runs/tried"),  # what is rendered has learned a little longer
    (r"^(unflat train .*)", r"\1 --tiny --quiet"),
    (r" --(frames|cells) \d+", ""),
    (r"^(unflat render .*)", r"\1 --frames 2 --side 12"),
    (r"^(unflat export .*)", r"\1 --cells 24"),
    (r"^(unflat compare .*)", r"\1 --tiny"),
    (r"^(unflat mesh .*)", r"\1 --tiny --quiet"),
    (r"^(unflat report .*)", r"\1 --frames 0 --pictures 1"),
    (r"--experiment \w+", "--experiment tiny"),
    (r"^(unflat predict .*?)( --limit \d+)?$", r"\1 --limit 2 --no-videos"),
    (r"^(unflat demo .*)", r"\1 --faces 1 --no-videos --no-capture"),
    (r"--count \d+", "--count 4"),
    (r"--views \d+", "--views 6 --size 32"),
    (r"(faces|animals|animals-marked|tigers|tigers-marked):\d+", r"\1:4"),
    (r"^(unflat (train|evaluate) \S+ faces)(?= |$)", r"\1:4"),
    (r"write_outputs\((.*)\)", r"write_outputs(\1, videos=False)"),
    (r'experiment="small"', 'experiment="tiny"'),
    (r"count=\d+", "count=4"),
]
"""what makes a command take seconds"""


@dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    before: str
    """the line in front of it"""
    language: str
    code: str

    @property
    def run(self) -> bool:
        return not self.before.startswith(("<!-- not run", "<!-- run as"))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"(?:^|\n)([^\n]*)\n```(\w*)\n(.*?)```", page.read_text(), re.DOTALL)
    return [Block(*parts) for parts in found]


def commands_of(page: Path) -> list[str]:
    lines = [
        line.partition(" #")[0].strip()
        for block in blocks_of(page)
        if block.run and block.language in ("", "sh", "bash", "console")
        for line in block.code.splitlines()
    ]
    commands = [re.sub(r"^([A-Z_]+=\S+ )+", "", line) for line in lines]
    return [command for command in commands if re.match(r"(unflat|make|python|pip)\b", command)]


def shorter(text: str) -> str:
    for pattern, replacement in SHORTER:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shipped weights, where `faces` has learned nothing, and a capture with a run that has seen it."""
    folder = tmp_path_factory.mktemp("weights")
    tiny = catalogue.experiment("unsup3d", "tiny")
    photos = Faces(4).photos(progress=False)
    run = train("unsup3d", photos, out=folder / "run", config=tiny.config, training=tiny.training, quiet=True)
    shutil.copy(run.folder / "weights.safetensors", folder / "faces.safetensors")
    train("unsup3d", experiment="tiny", out=folder / "small", quiet=True)
    for split, views in (("train", 12), ("test", 2)):
        Objects("box", views, 24, split=split).write(folder / "plush", progress=False)  # type: ignore[arg-type]
    config = Config(stages=(0.5, 1.0), until=(20,), smaller=(1, 1), batch_size=2048)
    capture = read_capture(folder / "plush", split="train", progress=False)
    steps = Training(steps=60, rate=0.5, clip=0.0)
    train("quick_grid", capture, out=folder / "captured", config=config, training=steps, quiet=True)
    return folder


@pytest.fixture
def desk(tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the docs' reader has it: photos of cats, a portrait, a video, a capture. Nothing is recorded."""
    faces = Faces(6, size=64).photos(progress=False)
    for index, rgb in enumerate(faces.rgb):
        path = tmp_path / "cats" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rgb).save(path)
    shutil.copytree(SAMPLES, tmp_path / "portraits", ignore=shutil.ignore_patterns("*.txt"))
    shutil.copy(SAMPLES / "frontal.jpg", tmp_path / "me.jpg")
    portrait = np.asarray(Image.open(tmp_path / "me.jpg").resize((160, 200)))
    write_video(tmp_path / "me.mp4", [portrait] * 3)
    for run in ("small", "small-seed1"):
        shutil.copytree(shipped / "small", tmp_path / "runs" / run)
    shutil.copytree(shipped / "plush", tmp_path / "plush")
    shutil.copytree(shipped / "captured", tmp_path / "runs" / "plush")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "SHIPPED", shipped)
    monkeypatch.setattr(records, "CHECKOUT", tmp_path)
    return tmp_path


def in_shell(word: str) -> list[str]:
    """What a shell makes of a word: of a pattern, the folders that it names."""
    return sorted(map(str, Path().glob(word))) if word.endswith("*/") else [word]


def run_command(command: str) -> None:
    """Run a command as the docs have it, in the working folder."""
    program, *words = shlex.split(shorter(command))
    arguments = [found for word in words for found in in_shell(word)]
    if program == "unflat":
        assert main(arguments) == 0, f"{command} failed"
    elif program == "make":
        done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "python":  # an example has its own test below, a benchmark, or pytest: run by others
        files = ("tests", "benchmarks", "examples")
        named = [word for word in arguments if word.endswith(".py") or word.startswith(files)]
        assert named and all((ROOT / word).exists() for word in named), f"{command} names what is not there"
    else:
        extras = (ROOT / "pyproject.toml").read_text()
        assert all(f"\n{extra} = [" in extras for extra in re.findall(r"[\w]+(?=[,\]])", command))


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=name_of)
def test_every_command_runs(page: Path, desk: Path) -> None:
    for command in commands_of(page):
        run_command(command)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in TESTED_ELSEWHERE], ids=name_of)
def test_every_piece_of_python_runs(page: Path, desk: Path) -> None:
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.run and block.language == "python":
            exec(compile(shorter(block.code), f"{page.name} (shortened)", "exec"), names)


def test_the_examples_of_the_help_run(desk: Path) -> None:
    examples = re.findall(r"^  (unflat .*?)  ", HELP.partition("examples:")[2], re.MULTILINE)
    assert len(examples) >= 5
    for command in sorted(set(examples) - {command for page in PAGES for command in commands_of(page)}):
        run_command(command)  # the others are run as what their page has


def test_a_page_that_is_tested_elsewhere_is_so() -> None:
    assert all(page in (ROOT / test).read_text() for page, test in TESTED_ELSEWHERE.items())


def test_the_example_writes_meshes(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = ROOT / "examples" / "01_photos_to_3d.py"
    monkeypatch.setattr(sys, "argv", [str(example), "cats", "out", "tiny"])
    exec(compile(shorter(example.read_text()), f"{example.name} (shortened)", "exec"), {})
    assert (desk / "out" / "0" / "mesh_canonical.glb").is_file()


@pytest.fixture
def documented_method() -> Iterator[ModuleType]:
    """The method of docs/adding-a-method.md as a module."""
    page = ROOT / "docs" / "adding-a-method.md"
    block = next(block for block in blocks_of(page) if block.before.startswith("<!-- run as a method"))
    module = ModuleType("documented_method")
    sys.modules[module.__name__] = module
    exec(compile(block.code, page.name, "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


def test_the_documented_method_learns_and_predicts(documented_method: ModuleType, tmp_path: Path) -> None:
    experiment = documented_method.tiny()
    photos = Faces(8, size=16).photos(progress=False)
    run = train(
        experiment.method, photos, out=tmp_path, config=experiment.config, training=experiment.training, quiet=True
    )
    prediction = unflat.predict(run, photos)
    assert set(prediction.filled) == set(experiment.method.gives)
    assert prediction.rgb is not None and prediction.rgb.shape == (8, 16, 16, 3)


def test_the_interface_is_documented_as_it_is() -> None:
    """The table in docs/adding-a-method.md names every method of `Method` with its arguments, and no other."""
    page = (ROOT / "docs" / "adding-a-method.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", page, re.MULTILINE))
    own = {
        name: getattr(Method, name) for name, kind in vars(Method).items() if name not in ("__init_subclass__", "check")
    }
    functions = {name: f for name, f in own.items() if inspect.isfunction(f) or inspect.ismethod(f)}
    expected = {
        name: ", ".join([p for p in inspect.signature(f).parameters if p != "self"]) for name, f in functions.items()
    }
    assert rows == expected


def test_options_named_in_the_docs_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """`--crop` and its like, wherever prose mentions them."""
    known = set()
    for command in (*COMMANDS, *(f"train {entry.name}" for entry in catalogue.methods())):
        main([*command.split(), "--help"])
        known |= set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out))
    known |= {"--help", "--debug", "--version", "--check", "--nproc-per-node"}  # the last is of torchrun
    for script in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z][\w-]*)"', script.read_text()))
    for page in PAGES:
        named = set(re.findall(r"`[^`\n]*?(--[a-z][\w.-]*)", page.read_text()))
        assert named <= known, f"{page.name} names options that are not there: {named - known}"


def test_the_report_is_where_predict_says_it_is() -> None:
    assert PredictOptions("faces", "me.jpg").out == Path("out")
