"""Formulas that come with the data (:mod:`ganlib.lab.formula`): interpreted, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer


def formula(writer: Writer, arguments: dict[str, Any], values: Tensor, slopes: Tensor) -> None:
    """A call of the interpreter in ``runtime.c``."""
    program = writer.program
    program.judged = max(program.judged, values.numel())
    given = (writer.settled(arguments[name]) for name in ("s", "program"))
    places = ", ".join(program.ref(tensor) for tensor in (*given, values, slopes))
    writer.lines.append(f"  formula({values.numel()}, {places});")
