"""Arguments by tyro: a frozen dataclass whose fields, with their docstrings, are what a command takes."""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro

T = TypeVar("T")


def parsed(options: type[T], arguments: Sequence[str], command: str, description: str | None = None) -> T:
    """The options that `arguments` give; exits with 2 and a message if they do not fit, with 0 after --help."""
    flags = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(options, args=arguments, prog=f"unflat {command}", description=description, config=flags)


def print_json(content: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(content, indent=1, ensure_ascii=False))


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """While `wanted`, whatever is printed goes to standard error: standard output is for the JSON document."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield
