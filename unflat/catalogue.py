"""Which methods there are: read from their files, without importing any.

A method is the class in `unflat/methods/**/NAME.py` that inherits from `Method`; its experiments are the functions
without arguments in that file that are said to return an `Experiment`. The rows of its paper's table are the values of
one dict literal there, `ROWS`; `EXPERIMENT/ROW` names the experiment with a row's changes.
"""

import ast
import difflib
import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

METHODS = Path(__file__).parent / "methods"


@dataclass(frozen=True)
class TableRow:
    """What a method's file says of a row of its paper's table."""

    title: str
    published: dict[str, float]
    """the paper's figures, by name"""
    baseline: str
    """of an evaluation, if the row is one and not trained"""


@dataclass(frozen=True)
class Entry:
    """What a method's file says of it."""

    name: str
    """the file's name, which is what the command line and checkpoints call it"""
    module: str
    path: Path
    class_name: str
    title: str
    """first line of the file's docstring"""
    takes: str
    """the kind of data it is trained on"""
    gives: tuple[str, ...]
    """the fields of `Prediction` it fills"""
    experiments: dict[str, str]
    """first docstring line of every experiment, by name"""
    rows: dict[str, TableRow] = field(default_factory=dict)
    """of its paper's table, by name, in the table's order"""

    def says(self, called: str) -> str:
        """What is said of an experiment, or of a row of one (`EXPERIMENT/ROW`), in one line. ValueError for neither."""
        name, _, row = called.partition("/")
        if name not in self.experiments:
            raise ValueError(self._no_experiment(called))
        if not row:
            return self.experiments[name]
        if row not in self.rows:
            known = f"Its rows are: {', '.join(self.rows)}." if self.rows else "Its file has no ROWS."
            raise ValueError(f"{self.name} has no row {row!r}. {_hint(closest(row, self.rows), f'{name}/')}{known}")
        return f"{self.rows[row].title}: a row of {name}"

    def _no_experiment(self, called: str) -> str:
        name, slash, row = called.partition("/")
        near, before, after = closest(name, self.experiments), "", f"{slash}{row}"
        if not slash and called in self.rows:  # a row, without the experiment it is to be a row of
            near, before, after = called, f"{next(iter(self.experiments), '')}/", ""
        known = f"{self.name} has no experiment {name!r}. {_hint(near, before, after)}"
        rows = f" Each also with a row of its table, as in EXPERIMENT/{next(iter(self.rows))}." if self.rows else ""
        return f"{known}Its experiments are: {', '.join(self.experiments)}.{rows}"

    def usual_experiment(self, on_gpu: bool) -> str:
        """Whose settings are taken where nobody says: the paper's own, or `small` where there is no GPU."""
        return "small" if "small" in self.experiments and not on_gpu else next(iter(self.experiments))

    @property
    def family(self) -> str:
        """The folder it is in."""
        return self.path.parent.name


class UnknownMethod(ValueError):
    """No method has the name that was asked for."""


def methods(folder: Path | None = None) -> list[Entry]:
    """All methods, by family and name: our own, or those of another folder."""
    folder = folder or METHODS
    found = (_entry(path, folder) for path in sorted(folder.rglob("*.py")) if not path.name.startswith("_"))
    return [entry for entry in found if entry is not None]


def find(name: str) -> Entry:
    """The entry called `name`; UnknownMethod with the nearest name otherwise."""
    entries = {entry.name: entry for entry in methods()}
    if name not in entries:
        hint = _hint(closest(name, entries))
        raise UnknownMethod(f"there is no method {name!r}. {hint}The methods are: {', '.join(entries)}.")
    return entries[name]


def load(name: str) -> type:
    """The class of the method called `name`; imports its file."""
    entry = find(name)
    cls: type = getattr(importlib.import_module(entry.module), entry.class_name)
    return cls


def experiment(name: str, called: str) -> Any:
    """The experiment `called` of a method, or `EXPERIMENT/ROW` with a row of its table; imports its file."""
    entry = find(name)
    entry.says(called)
    module = importlib.import_module(entry.module)
    base, _, row = called.partition("/")
    chosen = getattr(module, base)()
    return chosen.row(module.ROWS[row]) if row else chosen


def name_of(method: type) -> str:
    """What a method's class is called here: its file's name."""
    return method.__module__.rpartition(".")[2]


def closest(name: str, among: Any) -> str | None:
    """The name that was probably meant, or None."""
    near = difflib.get_close_matches(name.lower(), list(among), n=1, cutoff=0.5)
    return near[0] if near else None


def _hint(near: str | None, before: str = "", after: str = "") -> str:
    return f"Did you mean {before + near + after!r}? " if near else ""


def _entry(path: Path, folder: Path) -> Entry | None:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _inherits_method(node)]
    if not classes:
        return None
    if len(classes) > 1:
        raise ValueError(f"{path} holds {len(classes)} methods, {', '.join(c.name for c in classes)}; a file holds one")
    method = classes[0]
    keywords = {word.arg: word.value for word in method.keywords if word.arg}
    return Entry(
        name=path.stem,
        module=".".join(("unflat.methods", *path.relative_to(folder).with_suffix("").parts)),
        path=path,
        class_name=method.name,
        title=_first_line(tree),
        takes=ast.unparse(keywords["takes"]).rpartition(".")[2] if "takes" in keywords else "",
        gives=_names(keywords["gives"], tree) if "gives" in keywords else (),
        experiments={f.name: _first_line(f) for f in tree.body if isinstance(f, ast.FunctionDef) and _is_experiment(f)},
        rows=_rows(tree, path),
    )


def _rows(tree: ast.Module, path: Path) -> dict[str, TableRow]:
    """The dict literal `ROWS`; nothing without one. ValueError for what cannot be read without importing the file."""
    values = [value for node in tree.body for name, value in _assigned(node) if name == "ROWS"]
    try:
        return {ast.literal_eval(key): _table_row(call) for value in values for key, call in _items(value)}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: ROWS has to be a dict literal of Row(...), whose names, titles, published figures and baselines "
            f"are literals, so that they can be read without importing the file ({error})"
        ) from error


def _assigned(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Names that a statement gives a value to."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return [(ast.unparse(node.target), node.value)]
    return [(ast.unparse(target), node.value) for target in node.targets] if isinstance(node, ast.Assign) else []


def _items(value: ast.expr) -> list[tuple[ast.expr, ast.Call]]:
    """Keys and calls of a dict literal."""
    if not isinstance(value, ast.Dict):
        raise ValueError("it is none")
    pairs = list(zip(value.keys, value.values, strict=True))
    found = [(key, call) for key, call in pairs if key is not None and isinstance(call, ast.Call)]
    if len(found) < len(pairs):
        raise ValueError("an entry is none")
    return found


def _table_row(call: ast.Call) -> TableRow:
    said = dict(zip(("title", "config", "training", "data", "published", "baseline"), call.args, strict=False))
    said |= {word.arg: word.value for word in call.keywords if word.arg}
    plain = {name: ast.literal_eval(said[name]) for name in ("title", "published", "baseline") if name in said}
    return TableRow(plain["title"], plain.get("published", {}), plain.get("baseline", ""))


def _names(value: ast.expr, tree: ast.Module) -> tuple[str, ...]:
    """A tuple of strings, written out or as the name of one that is."""
    if isinstance(value, ast.Name):
        for node in tree.body:
            for name, assigned in _assigned(node):
                if name == value.id:
                    return _names(assigned, tree)
    return tuple(ast.literal_eval(value))


def _inherits_method(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2] == "Method" for base in node.bases)


def _is_experiment(node: ast.FunctionDef) -> bool:
    arguments = node.args
    bare = not (arguments.args or arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
    return bare and node.returns is not None and ast.unparse(node.returns).strip("'\"") == "Experiment"


def _first_line(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]
