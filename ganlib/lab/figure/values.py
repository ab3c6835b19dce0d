"""Checks and texts of values that a figure's parts share."""

from __future__ import annotations

import math
import numbers
from typing import Any


def require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def finite(**values: Any) -> None:
    for name, value in values.items():
        ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
        require(ok and math.isfinite(value), f"{name} is {value!r}; give a finite number")


def text_of(value: float, form: str = ".4g") -> str:
    return f"{value:{form}}".replace("-", "\u2212") if math.isfinite(value) else "not finite"
