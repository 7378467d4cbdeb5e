"""`unflat list` and `unflat show`: what there is and how far it got. `list` imports no method."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unflat import catalogue, records
from unflat.catalogue import Entry
from unflat.cli.parsing import Flag, Method, parsed, print_json


@dataclass(frozen=True)
class ListOptions:
    """The methods, and how far each has got.

    reproduced: its recorded figures reach the published ones; works: recorded, and better than the trivial answers;
    below the paper: recorded, but short of it; not run: nothing is recorded.
    """

    json: Flag = False
    """for scripts: a list of objects"""


@dataclass(frozen=True)
class ShowOptions:
    """One method: its paper, settings, experiments and figures."""

    method: Method
    """a name from `unflat list`"""
    json: Flag = False
    """for scripts: one object"""


@dataclass(frozen=True)
class Setting:
    """A field of a method's `Config`, as its file has it."""

    name: str
    kind: str
    default: str
    doc: str


def list_methods(arguments: Sequence[str]) -> None:
    options = parsed(ListOptions, arguments, "list")
    rows = [_row(entry) for entry in catalogue.methods()]
    if options.json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("method", "takes", "status", "what it is"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["takes"], row["status"], escape(row["title"]))
    console = Console()
    console.print(table)
    console.print("\n[dim]more of one: unflat show METHOD[/dim]")


def show_method(arguments: Sequence[str]) -> None:
    options = parsed(ShowOptions, arguments, "show")
    entry = catalogue.find(options.method)
    tree = ast.parse(entry.path.read_text(encoding="utf-8"))
    shown = {
        **_row(entry),
        "family": entry.family,
        "paper": ast.get_docstring(tree) or "",
        "gives": list(entry.gives),
        "settings": [asdict(setting) for setting in _settings(tree)],
        "experiments": entry.experiments,
        "rows": {name: asdict(row) for name, row in entry.rows.items()},
        "published": _published(entry),
        "records": [asdict(record) for record in records.latest(records.read(entry.name))],
    }
    if options.json:
        print_json(shown)
    else:
        _print_method(shown)


def _row(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "title": entry.title, "takes": entry.takes, "status": records.status(entry.name)}


def _settings(tree: ast.Module) -> Iterator[Setting]:
    """The fields of `Config`, each with the docstring under it."""
    config = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config"), None)
    body = config.body if config else []
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign):
            doc = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield Setting(ast.unparse(field.target), ast.unparse(field.annotation), _default(field.value), str(doc))


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call) and value.keywords and value.keywords[0].arg == "default_factory":
        return f"{ast.unparse(value.keywords[0].value)}()"
    return "" if value is None else ast.unparse(value)


def _published(entry: Entry) -> dict[str, dict[str, float]]:
    """The published figures of every experiment that names some. Imports the method."""
    experiments = {name: catalogue.experiment(entry.name, name) for name in entry.experiments}
    return {name: dict(experiment.published) for name, experiment in experiments.items() if experiment.published}


def _print_method(shown: dict[str, Any]) -> None:
    console = Console()
    for paragraph in shown["paper"].split("\n\n"):
        console.print(escape(" ".join(paragraph.split())) + "\n", highlight=False)
    console.print(f"[bold]takes[/bold] {shown['takes']}   [bold]status[/bold] {shown['status']}", highlight=False)
    console.print(f"[bold]gives[/bold] {', '.join(shown['gives'])}", highlight=False)
    _print_settings(console, shown["settings"])
    console.print("\n[bold]experiments[/bold] (--experiment NAME)", highlight=False)
    for name, doc in shown["experiments"].items():
        figures = ", ".join(f"{metric} {value:g}" for metric, value in shown["published"].get(name, {}).items())
        console.print(
            f"  [bold]{name}[/bold]: {escape(doc)}{f' To reach: {figures}.' if figures else ''}", highlight=False
        )
    _print_rows(console, shown["rows"])
    _print_records(console, shown["records"])
    name = shown["name"]
    console.print(f"\n[dim]run it: unflat train {name} PHOTOS --out runs/mine; unflat predict runs/mine PHOTOS[/dim]")


def _print_settings(console: Console, settings: list[dict[str, str]]) -> None:
    table = Table(title="settings (--config.NAME VALUE)", title_justify="left", box=None, header_style="bold")
    for heading in ("name", "default", "what it is"):
        table.add_column(heading, overflow="fold")
    for setting in settings:
        table.add_row(setting["name"], escape(setting["default"]), escape(setting["doc"]))
    console.print()
    console.print(table)


def _print_rows(console: Console, rows: dict[str, dict[str, Any]]) -> None:
    if not rows:
        return
    console.print("\n[bold]rows of the paper's table[/bold] (--experiment EXPERIMENT/ROW)", highlight=False)
    for name, row in rows.items():
        figures = ", ".join(f"{metric} {value:g}" for metric, value in row["published"].items())
        told = f" Published: {figures}." if figures else ""
        told += " Not trained: it stands in every evaluation." if row["baseline"] else ""
        console.print(f"  [bold]{name}[/bold]: {escape(row['title'])}.{told}", highlight=False)


def _print_records(console: Console, rows: list[dict[str, Any]]) -> None:
    compared = [row for row in rows if row["bound"] is not None]
    if not compared:
        console.print("\nno figures are recorded yet")
        return
    table = Table(title="recorded figures", title_justify="left", box=None, header_style="bold")
    for heading in ("experiment", "figure", "ours", "to reach", "from"):
        table.add_column(heading, justify="right" if heading in ("ours", "to reach") else "left")
    for row in compared:
        table.add_row(row["experiment"], row["metric"], f"{row['ours']:.4g}", f"{row['bound']:.4g}", row["source"])
    console.print()
    console.print(table)
