"""What each method's file has to say itself, and what it finds in the core: lines of code.

    python benchmarks/method_sizes.py [--since REV]

For each radiance field: the lines of its file, and of all modules of unflat that it needs, directly or through others.
With `--since`, how many of the latter were added after a commit. Comments, docstrings and blank lines do not count.
"""

import argparse
import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from unflat import catalogue

PACKAGE = Path(catalogue.__file__).parent
LOOPS = re.compile(r'compiled_loops, "(\w+)"')
"""what a kernel loads by its name"""
IDLE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    print(f"{'method':14}{'its file':>10}{'core':>8}{'share':>8}" + (f"{'core since':>12}" if options.since else ""))
    for entry in catalogue.methods():
        if entry.family == "radiance":
            own, core = code_lines(entry.path.read_text()), needed(entry.path)
            lines = {path: code_lines(path.read_text()) for path in core}
            told = f"{entry.name:14}{own:10}{sum(lines.values()):8}{own / (own + sum(lines.values())):8.1%}"
            if options.since:
                told += f"{sum(max(0, n - code_lines(before(path, options.since))) for path, n in lines.items()):12}"
            print(told)


@cache
def code_lines(source: str) -> int:
    """How many lines hold code."""
    said = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    used = {line for t in tokens if t.type not in IDLE for line in range(t.start[0], t.end[0] + 1)}
    return len(used - said)


def needed(path: Path) -> set[Path]:
    """The modules of unflat that a file needs, but for methods."""
    found: set[Path] = set()
    left = [path]
    while left:
        new = imported(left.pop()) - found - {path}
        found |= new
        left += new
    return found


@cache
def imported(path: Path) -> frozenset[Path]:
    """The modules of unflat that a file names."""
    source = path.read_text()
    names = {f"unflat.kernels.{name}" for name in LOOPS.findall(source)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unflat"):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names}
    return frozenset(file for file in files if file.is_file() and "methods" not in file.parts)


@cache
def before(path: Path, revision: str) -> str:
    """A file as it was; nothing if it was not there."""
    place = path.relative_to(PACKAGE.parent).as_posix()
    done = subprocess.run(
        ["git", "-C", str(PACKAGE.parent), "show", f"{revision}:{place}"], capture_output=True, text=True
    )
    return done.stdout if done.returncode == 0 else ""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--since", default="", help="a commit")
    return made


if __name__ == "__main__":
    main()
