"""Arguments by tyro: a frozen dataclass whose fields, with their docstrings, are what a command takes."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

T = TypeVar("T")

# Options that may be left out, where the docstring says what happens then: no "(default: None)" behind it
Text = Annotated[str, tyro.conf.arg(help_behavior_hint="")]
Count = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Folder = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]

# Arguments without a name
Method = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="METHOD", help_behavior_hint="")]
Run = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
SomeData = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[DATA ...]", help_behavior_hint="")]
MaybeData = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[DATA]", help_behavior_hint="")]


def parsed(options: type[T], arguments: Sequence[str], command: str, description: str | None = None) -> T:
    """The options that `arguments` give; exits with 2 and a message if they do not fit, with 0 after --help."""
    flags = (tyro.conf.FlagCreatePairsOff,)
    if {"-h", "--help"} & set(arguments):
        arguments = ["--help"]  # what stands before it would not be explained
    return tyro.cli(options, args=arguments, prog=f"unflat {command}", description=description, config=flags)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=1, ensure_ascii=False))


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """While `wanted`, whatever is printed goes to standard error: standard output is for the JSON document."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield
