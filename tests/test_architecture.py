"""The plan of the house, held: layers, budgets, names, and what is imported when."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "unflat"
SOURCES = sorted(PACKAGE.rglob("*.py"))
METHODS = sorted(path for path in PACKAGE.glob("methods/*/*.py") if path.name != "__init__.py")
FORBIDDEN_NAMES = {"utils", "util", "common", "misc", "base", "manager", "helper", "helpers"}

METHOD_LINES = 250
FUNCTION_LINES = 60
SETTINGS = 25
SHARED_LINES = 0.35


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def docstrings(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """First and last line of every string that stands for itself: docstrings, of fields too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.end_lineno or node.lineno


def code_lines(source: str) -> list[str]:
    """The lines that hold code: no comments, no docstrings, no blank ones."""
    skipped = {line for first, last in docstrings(ast.parse(source)) for line in range(first, last + 1)}
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    used = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in idle:
            used |= set(range(token.start[0], token.end[0] + 1))
    lines = [line.strip() for line in source.splitlines()]
    return [lines[line - 1] for line in sorted(used - skipped) if line <= len(lines) and lines[line - 1]]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def function_length(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of code in a function, without its decorators, docstring, comments and the functions inside it."""
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    own = len(code_lines("\n".join(line[indent:] for line in lines)))
    inner = [n for n in ast.walk(node) if n is not node and isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return own - sum(function_length(source, n) for n in inner)


def settings_of(path: Path) -> list[ast.AnnAssign]:
    """The fields of the `Config` at the top of a method file."""
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config":
            return [item for item in node.body if isinstance(item, ast.AnnAssign)]
    return []


def test_code_lines_leaves_comments_and_docstrings_out() -> None:
    head = '"""Doc\nstring."""\n\nx = 1  # why\n# a comment\n\n\n'
    source = head + 'def f(a):\n    """Says."""\n    return (\n        a\n    )\n'
    assert code_lines(source) == ["x = 1  # why", "def f(a):", "return (", "a", ")"]


def test_layers() -> None:
    command = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", METHODS, ids=relative)
def test_a_method_file_is_short(path: Path) -> None:
    length = len(code_lines(path.read_text()))
    assert length <= METHOD_LINES, f"{relative(path)} has {length} lines of code; what two need moves down"


@pytest.mark.parametrize("path", METHODS, ids=relative)
def test_a_method_has_few_settings_each_with_a_line_of_documentation(path: Path) -> None:
    settings = settings_of(path)
    assert len(settings) <= SETTINGS
    documented = {last_line + 1 for last_line in (item.end_lineno or 0 for item in settings)}
    strings = {first for first, _ in docstrings(tree_of(path))}
    assert documented <= strings, f"{relative(path)}: every field of Config needs a line of docstring under it"


@pytest.mark.parametrize("path", METHODS, ids=relative)
def test_a_method_is_no_copy_of_a_sibling(path: Path) -> None:
    own = [line for line in code_lines(path.read_text()) if len(line) > 3 and not line.startswith(("import ", "from "))]
    for sibling in set(path.parent.glob("*.py")) - {path, path.parent / "__init__.py"}:
        theirs = set(code_lines(sibling.read_text()))
        shared = sum(line in theirs for line in own) / max(len(own), 1)
        assert shared <= SHARED_LINES, f"{relative(path)} shares {shared:.0%} of its lines with {sibling.name}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    source = path.read_text()
    lengths = {node.name: function_length(source, node) for node in functions(path)}
    too_long = {name: length for name, length in lengths.items() if length > FUNCTION_LINES}
    assert not too_long, f"functions over {FUNCTION_LINES} lines in {relative(path)}: {too_long}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    modules = [path for path in PACKAGE.rglob("*") if path.name != "__pycache__"]
    named = [relative(path) for path in modules if path.stem in FORBIDDEN_NAMES]
    assert not named


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_methods_are_not_asked_what_they_have(path: Path) -> None:
    """No `hasattr`: what an object has is said by its type."""
    calls = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    asked = [call.lineno for call in calls if call.func.id == "hasattr"]  # type: ignore[attr-defined]
    assert not asked, f"hasattr in {relative(path)}, lines {asked}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=relative)
def test_package_files_import_nothing_when_loaded(path: Path) -> None:
    imports = [node for node in tree_of(path).body if isinstance(node, ast.Import | ast.ImportFrom)]
    light = {"typing", "importlib", "collections", "difflib"}
    names = {(n.module or "") if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imports}
    assert {name.split(".")[0] for name in names} <= light, f"{relative(path)} imports {names}"


def modules_after(code: str) -> set[str]:
    """The top-level modules that are loaded once `code` has run in a fresh Python."""
    report = "import sys, json; print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import unflat",
        "import unflat.catalogue, unflat.records",
        "from unflat.cli.main import main; main(['list'])",
        "from unflat.cli.main import main; main(['list', '--json'])",
        "from unflat.cli.main import main; main(['train', '--help'])",
        "from unflat.cli.main import main; main([])",
    ],
)
def test_what_only_tells_loads_neither_torch_nor_numba(code: str) -> None:
    assert not modules_after(code) & {"torch", "numba", "skimage", "scipy", "trimesh"}


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_path_of_one_machine_is_in_the_repository() -> None:
    machine_path = re.compile(rb"(?<![\w.])/(" + rb"work|farm|root|home" + rb")/\w")
    found = [relative(path) for path in tracked_files() if machine_path.search(path.read_bytes())]
    assert not found


def test_no_file_is_large() -> None:
    """The shipped weights are the largest (at most 8 MB); everything else stays under 2 MB."""
    weights = [path for path in tracked_files() if path.suffix == ".safetensors"]
    assert all(path.stat().st_size <= 8_000_000 for path in weights)
    assert not [relative(p) for p in tracked_files() if p not in weights and p.stat().st_size > 2_000_000]
