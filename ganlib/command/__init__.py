"""The command line, ``python -m ganlib train | sample | score | reproduce``: a module for each.

A command's module has ``parser()``, its options with examples, and ``run(options)``. It is
imported when it is called for, so that ``--help`` waits for no torch. Everything a command does
is a call of the library; what is here reads data by name, keeps models in files
(:mod:`ganlib.command.models`), and turns errors of the user's into one line and exit status 2.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import ganlib
from ganlib.command.arguments import one_of

__all__ = ["COMMANDS", "main"]

#: The commands, and what each does.
COMMANDS = {
    "train": "train a GAN on a folder of pictures, a CSV of points, or named data",
    "sample": "draw pictures or points from a trained model",
    "score": "measure a trained model, beside floor and anchors of each number",
    "reproduce": "make a published table again, with the provenance of every row",
}

_EXAMPLES = """\
examples:
  python -m ganlib train photographs --size 32 --out runs/photographs
  python -m ganlib sample runs/photographs --out faces.png
  python -m ganlib score runs/photographs photographs
  python -m ganlib reproduce --list

`python -m ganlib COMMAND --help` has the options and more examples.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0, 2 for what the user can mend, 130 for Ctrl-C.

    Parameters
    ----------
    arguments
        Those of the process where None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        _parser().print_help()
        return 2
    if given[0] not in COMMANDS:
        _parser().parse_args(given)  # prints help, the version, or which command is meant, and ends
    options = None
    with warnings.catch_warnings():
        try:
            command = importlib.import_module(f"ganlib.command.{given[0]}")
            options = command.parser().parse_args(given[1:])
            warnings.showwarning = _note
            command.run(options)
        except KeyboardInterrupt as stop:
            _say(f"{stop}; the same command goes on from there" if str(stop) else "stopped")
            return 130
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            if options is None or options.traceback:
                raise
            _say(f"python -m ganlib {given[0]}: error: {_told(error)}")
            return 2
        except RuntimeError as error:
            if options is None or options.traceback or "memory" not in str(error):
                raise  # a mistake of ours: with all that helps to find it
            _say(f"python -m ganlib {given[0]}: error: {_told(MemoryError())}")
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m ganlib",
        description="Generative adversarial networks: train, sample, score, reproduce.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ganlib {ganlib.__version__}")
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {does}" for name, does in COMMANDS.items())
    parser.description = f"{parser.description}\n\ncommands:\n{lines}"
    parser.add_argument("command", type=one_of("command", COMMANDS), help="one of the above")
    return parser


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "the memory is full; choose a smaller --batch, --size, --width or --count"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"note: {message}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
