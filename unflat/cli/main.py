"""The command line: finds the command, runs it, and turns what goes wrong into a message and an exit code.

A command is a function of its arguments, in a module that is imported only when the command is asked for, so that
`unflat list` needs no torch.
"""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

EXTRAS = {"av": "video", "skimage": "mesh", "scipy": "mesh", "fast_simplification": "mesh", "xatlas": "mesh",
          "numba": "fast", "tensorboard": "log", "transformers": "vit", "ray": "dist"}  # fmt: skip
"""which optional part of the package brings a module"""

OK, UNEXPECTED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """Where a command is and what it does."""

    place: str
    """module:function"""
    does: str


COMMANDS = {
    "list": Command("unflat.cli.listing:list_methods", "the methods, and how far each has got"),
    "show": Command("unflat.cli.listing:show_method", "one method: its settings, experiments and figures"),
    "demo": Command("unflat.cli.demo:demo", "a first look: shipped photos and generated faces in 3D"),
    "train": Command(
        "unflat.cli.many:train", "learn from photos of one kind of object, or from a capture of one scene"
    ),
    "mesh": Command("unflat.cli.mesh:mesh", "a video, photos or a capture of one object -> a textured mesh, a report"),
    "predict": Command("unflat.cli.predict:predict", "photos -> depth, albedo, light, meshes, videos, a report"),
    "render": Command("unflat.cli.captured:render", "a run on a capture -> videos along a path, depth and opacity too"),
    "export": Command("unflat.cli.captured:export", "a run on a capture -> a mesh or points"),
    "report": Command("unflat.cli.report:report", "a run on a capture -> one HTML page on it"),
    "compare": Command(
        "unflat.cli.compare:compare", "methods on one capture, the same time each -> which is best for what"
    ),
    "evaluate": Command("unflat.cli.evaluate:evaluate", "compare what a run predicts with the truth"),
    "data inspect": Command("unflat.cli.data:inspect", "what photos or a capture hold, and what is wrong with them"),
    "data capture": Command("unflat.cli.captures:capture", "work out the cameras of photos or of a video"),
    "data objects": Command("unflat.cli.captures:objects", "write captures of generated objects with exact truth"),
    "data faces": Command("unflat.cli.data:faces", "write generated faces with exact truth"),
}

HELP = """unflat learns 3D from 2D images, without 3D labels.

usage: unflat COMMAND ...            what COMMAND takes: unflat COMMAND --help

{commands}

examples:
  unflat demo --out demo                                  see it work
  unflat data inspect cats/                               are these photos fit to learn from?
  unflat train unsup3d cats/ --out runs/cats              learn; the same command goes on after a stop
  unflat predict runs/cats cats/ --out out                meshes, videos and a report
  unflat mesh plush/ -o plush.glb                         a mesh of an object, from pictures all around it
  unflat train plush/ --out runs/plush                    a capture: posed pictures of one scene
  unflat compare plush/ --methods quick_grid,tensorf      which of them is better for it
  unflat export runs/plush scene.ply                      its mesh; render makes videos, report a page
  unflat predict faces me.jpg --crop face --out me        the shipped face model, on a photo of yours

A command that fails says why in a paragraph; --debug (or UNFLAT_DEBUG=1) adds where.
Exit codes: 0 done, 1 unexpected (please report it), 2 wrong usage or input, 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the process's) name; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("UNFLAT_DEBUG", "") not in ("", "0")
    given = [argument for argument in given if argument != "--debug"]
    try:
        _run(given)
        sys.stdout.flush()
    except SystemExit as stop:  # tyro's: 0 after --help, 2 after wrong usage
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, debug)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ValueError, OSError) as error:
        return _fail(_message(error), BAD_INPUT, debug)
    except Exception as error:
        if isinstance(error, ImportError) and (error.name or "").split(".")[0] in EXTRAS:
            extra = EXTRAS[(error.name or "").split(".")[0]]
            return _fail(f"{error}: this needs an optional part, pip install 'unflat[{extra}]'", BAD_INPUT, debug)
        traceback.print_exc()
        return _fail(f"unexpected {type(error).__name__}: please report it with what is above", UNEXPECTED, debug=False)
    return OK


def _run(given: list[str]) -> None:
    if not given or given[0] in ("-h", "--help", "help"):
        print(HELP.format(commands=_listed(COMMANDS)), end="")
        return
    if given[0] == "--version":
        print(_version())
        return
    name, rest = _command_of(given)
    module, _, function = COMMANDS[name].place.partition(":")
    getattr(importlib.import_module(module), function)(rest)


def _command_of(given: list[str]) -> tuple[str, list[str]]:
    """The command's name, of one word or two, and its arguments."""
    two = " ".join(given[:2])
    if two in COMMANDS:
        return two, given[2:]
    if given[0] in COMMANDS:
        return given[0], given[1:]
    within = {name: command for name, command in COMMANDS.items() if name.startswith(f"{given[0]} ")}
    if within and (len(given) == 1 or given[1] in ("-h", "--help")):
        print(f"usage: unflat {given[0]} ...\n\n{_listed(within)}")
        sys.exit(OK if len(given) > 1 else BAD_INPUT)
    return _unknown(two if within else given[0], within or COMMANDS)


def _unknown(name: str, commands: Mapping[str, Command]) -> NoReturn:
    near = difflib.get_close_matches(name, [*commands, *(known.split()[0] for known in commands)], n=1, cutoff=0.6)
    hint = f" Did you mean `unflat {near[0]}`?" if near else ""
    raise ValueError(f"there is no command {name!r}.{hint} The commands are: {', '.join(commands)}.")


def _listed(commands: Mapping[str, Command]) -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(f"  {name:<{width}}{command.does}" for name, command in commands.items())


def _version() -> str:
    from importlib.metadata import version

    return f"unflat {version('unflat')}"


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"unflat: {message}", file=sys.stderr)
    return code
