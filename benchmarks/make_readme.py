"""Write benchmarks/README.md, and the tables in the README and in pages of docs/, from the records: `make tables`.

`python benchmarks/make_readme.py --check` only says whether they are old.
"""

import re
import sys
from pathlib import Path

import paper_table
import representation_table
import surface_table

from unflat import catalogue, records

HERE = Path(__file__).parent

HEAD = """# What was measured

Generated from `benchmarks/results/*.jsonl` by `python benchmarks/make_readme.py`: edit neither this page nor a line of
the records. Every line of a record holds the figure, what it is compared with, seconds, memory, hardware, commit,
versions, seed, date and the command that measures it again.

A status is computed: *reproduced* where every published figure is reached within {tolerance:.0%}, *below the paper*
where one is not or a floor is missed, *works* where there are only floors and all are met, *not run* where there is
nothing of either.
SIDE is in units of 1e-2; the figure behind ± is the standard deviation over pictures, not over runs.
"""


def page(results: Path) -> str:
    """The whole page."""
    entries = catalogue.methods()
    parts = [HEAD.format(tolerance=records.TOLERANCE), "## Status\n", status(entries, results)]
    by_name = {entry.name: entry for entry in entries}
    names = list(by_name)
    names += [name for name in records.recorded(results) if name not in names]
    for name in names:
        every = records.read(name, results)
        lines = [line for line in every if not paper_table.of_a_table(line)]
        parts += [f"\n## {name}\n", records.table(lines) if lines else "Not run yet."]
        commands = records.commands(lines)
        if commands:
            parts += ["\nMeasured by\n", "```", *commands, "```"]
        parts += [paper_table.sections(by_name[name], every)] if name in by_name and by_name[name].rows else []
    return "\n".join(parts) + "\n"


def status(entries: list[catalogue.Entry], results: Path) -> str:
    return records.status_table({entry.name: entry.title for entry in entries}, results)


def front_page(text: str, results: Path) -> str:
    """The README with the table of methods between its two comments."""
    table = status(catalogue.methods(), results)
    between = r"(<!-- methods: .*? -->\n).*?(?=<!-- end of methods -->)"
    return re.sub(between, rf"\1\n{table}\n\n", text, flags=re.DOTALL)


def which_field(text: str, results: Path) -> str:
    """The page with the table of all representations between its two comments."""
    fields = [entry.name for entry in catalogue.methods() if entry.family == "radiance"]
    return representation_table.within_page(text, {name: records.read(name, results) for name in fields})


def quick_surface(text: str, results: Path) -> str:
    """The method's page with the tables of meshes beside the truth between their comments."""
    files = ("quick_surface", "quick_grid", "surfaces")
    return surface_table.within_page(text, [line for name in files for line in records.read(name, results)])


def main(arguments: list[str]) -> int:
    """0 if all pages are (now) what the records say."""
    front, docs = HERE.parent / "README.md", HERE.parent / "docs"
    which, surface = docs / "which-field.md", docs / "methods" / "quick_surface.md"
    pages = {
        HERE / "README.md": page(HERE / "results"),
        front: front_page(front.read_text(encoding="utf-8"), HERE / "results"),
        which: which_field(which.read_text(encoding="utf-8"), HERE / "results"),
        surface: quick_surface(surface.read_text(encoding="utf-8"), HERE / "results"),
    }
    for target, text in pages.items():
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            print(f"{target} is not what the records say: run `make tables`", file=sys.stderr)
            return 1
        target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
