"""What the options of all commands have in common: names, numbers, devices, and their errors."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["command_parser", "count", "device", "known", "number", "one_of", "share"]


class _Parser(argparse.ArgumentParser):
    """One that names the nearest of its options for one that it does not have."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            asked = next((word for word in rest if word.startswith("-")), rest[0])
            name = asked.split("=")[0]
            near = difflib.get_close_matches(name, self._option_string_actions, 1)
            ask = f"did you mean {near[0]}? " if near else ""
            self.error(f"{asked!r} is not known here; {ask}{self.prog} --help lists what is")
        return parsed


def command_parser(
    name: str, usage: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A parser with the options that every command has, and examples at the end of its help."""
    parser = _Parser(
        f"python -m ganlib {name}",
        usage=f"python -m ganlib {name} {usage}",
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    common = parser.add_argument_group("for every command")
    common.add_argument("--seed", type=count(0), default=0, help="of all that is drawn (default 0)")
    common.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, mps; auto takes CUDA if it is there"
    )
    common.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    common.add_argument("--traceback", action="store_true", help="show where an error arose")
    return parser


def known(name: str, what: str, names: Iterable[str]) -> str:
    """``name`` if it is one of ``names``, else a ValueError that says the nearest."""
    names = list(names)
    if name in names:
        return name
    near = difflib.get_close_matches(name.lower().replace("_", "-"), names, 1, 0)
    raise ValueError(
        f"{name!r} is no {what}; did you mean {near[0]!r}? There are {', '.join(names)}"
    )


def one_of(what: str, names: Iterable[str]) -> Callable[[str], str]:
    """The type of an option that takes one of ``names``."""

    def named(text: str) -> str:
        try:
            return known(text, what, names)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return named


def count(least: int = 1) -> Callable[[str], int]:
    """The type of an option that takes a whole number, ``least`` or more."""

    def whole(text: str) -> int:
        if text.strip().removeprefix("-").isdecimal() and int(text) >= least:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, {least} or more")

    return whole


def number(least: float = 0.0, below: float = math.inf) -> Callable[[str], float]:
    """The type of an option that takes a number from ``least`` to just below ``below``."""

    def real(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if least <= value < below:
            return value
        most = "" if below == math.inf else f", below {below:g}"
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {least:g} or more{most}")

    return real


#: The type of an option that takes a share.
share = number(0.0, 1.0)


def device(name: str) -> torch.device:
    """The device of this name that torch can compute on; ValueError for another."""
    import torch

    import ganlib

    if name == "auto":
        return ganlib.device()
    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"torch cannot compute on the device {name!r} here "
            f"({str(error).splitlines()[0]}); leave --device out, or pass cpu"
        ) from error
    return found
