"""Which methods there are: read from their files, without importing any.

A method is the class in `unflat/methods/**/NAME.py` that inherits from `Method`; its experiments are the functions
without arguments in that file that are said to return an `Experiment`.
"""

import ast
import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METHODS = Path(__file__).parent / "methods"


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

    @property
    def family(self) -> str:
        """The folder it is in."""
        return self.path.parent.name


class UnknownMethod(ValueError):
    """No method has the name that was asked for."""


def methods(folder: Path = METHODS) -> list[Entry]:
    """All methods, by family and name."""
    found = (_entry(path, folder) for path in sorted(folder.rglob("*.py")) if not path.name.startswith("_"))
    return [entry for entry in found if entry is not None]


def find(name: str) -> Entry:
    """The entry called `name`; UnknownMethod with the nearest name otherwise."""
    entries = {entry.name: entry for entry in methods()}
    if name not in entries:
        near = closest(name, entries)
        hint = f"Did you mean {near!r}? " if near else ""
        raise UnknownMethod(f"there is no method {name!r}. {hint}The methods are: {', '.join(entries)}.")
    return entries[name]


def load(name: str) -> type:
    """The class of the method called `name`; imports its file."""
    entry = find(name)
    cls: type = getattr(importlib.import_module(entry.module), entry.class_name)
    return cls


def experiment(name: str, called: str) -> Any:
    """The experiment `called` of a method; imports its file."""
    entry = find(name)
    if called not in entry.experiments:
        near = closest(called, entry.experiments)
        hint = f"Did you mean {near!r}? " if near else ""
        raise ValueError(
            f"{name} has no experiment {called!r}. {hint}Its experiments are: {', '.join(entry.experiments)}."
        )
    return getattr(importlib.import_module(entry.module), called)()


def name_of(method: type) -> str:
    """What a method's class is called here: its file's name."""
    return method.__module__.rpartition(".")[2]


def closest(name: str, among: Any) -> str | None:
    """The name that was probably meant, or None."""
    near = difflib.get_close_matches(name.lower(), list(among), n=1, cutoff=0.5)
    return near[0] if near else None


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
    )


def _names(value: ast.expr, tree: ast.Module) -> tuple[str, ...]:
    """A tuple of strings, written out or as the name of one that is."""
    if isinstance(value, ast.Name):
        for node in tree.body:
            if isinstance(node, ast.Assign) and value.id in (ast.unparse(target) for target in node.targets):
                return _names(node.value, tree)
    return tuple(ast.literal_eval(value))


def _inherits_method(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2] == "Method" for base in node.bases)


def _is_experiment(node: ast.FunctionDef) -> bool:
    arguments = node.args
    bare = not (arguments.args or arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
    return bare and node.returns is not None and ast.unparse(node.returns).strip("'\"") == "Experiment"


def _first_line(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]
