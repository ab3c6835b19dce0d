"""What the function of a live figure returns: curves, points, fields, bars, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ganlib import plotting
from ganlib.lab.figure.values import require

# What a role looks like; lines differ by dash as well as by colour.
ROLES: dict[str, tuple[str, Any]] = {
    "real": (plotting.REAL, "-"),
    "fake": (plotting.FAKE, "--"),
    "critic": (plotting.CRITIC, "-."),
    "theory": (plotting.THEORY, ":"),
    "accent": (plotting.ACCENT, (0, (4, 1.5))),
    "ink": (plotting.INK, "-"),
}


def _vector(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; pass a tensor")
    require(value.ndim == 1, f"{name} has shape {tuple(value.shape)}; it has one axis, (N,)")
    return value


def _same_length(x: Tensor, y: Tensor) -> None:
    require(len(x) == len(y), f"x has {len(x)} values and y {len(y)}; give one y for each x")


def _role(role: str) -> None:
    require(role in ROLES, f"role is {role!r}; choose one of {', '.join(ROLES)}")


def _panel(panel: int) -> None:
    require(isinstance(panel, int) and panel >= 0, f"panel is {panel!r}; panels count from 0")


@dataclass(frozen=True)
class Curve:
    """A line through points in their order.

    Attributes
    ----------
    x, y
        Tensors of shape (N,). Where y is not finite the line has a gap.
    role
        ``"real"``, ``"fake"``, ``"critic"``, ``"theory"``, ``"accent"`` or ``"ink"``: colour and
        dash.
    dash
        Dashed, whatever the role.
    panel
        The panel it is drawn in, counted from 0.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 5)
    >>> line = Curve(x, 2 * x, role="theory")
    >>> line.panel, line.dash
    (0, False)
    """

    x: Tensor
    y: Tensor
    role: str = "real"
    dash: bool = False
    panel: int = 0

    def __post_init__(self) -> None:
        _same_length(_vector(self.x, "x"), _vector(self.y, "y"))
        _role(self.role)
        _panel(self.panel)

    def _outputs(self) -> dict[str, Tensor]:
        return {"x": self.x, "y": self.y}

    def _described(self) -> dict[str, Any]:
        return {"kind": "curve", "role": self.role, "dash": self.dash}


@dataclass(frozen=True)
class Points:
    """Separate points: discs for the role ``"real"``, crosses for ``"fake"``.

    Attributes
    ----------
    x, y
        Tensors of shape (N,).
    role
        ``"real"``, ``"fake"``, ``"critic"``, ``"theory"``, ``"accent"`` or ``"ink"``.
    panel
        The panel they are drawn in, counted from 0.

    Examples
    --------
    >>> Points(torch.zeros(3), torch.ones(3)).role
    'fake'
    """

    x: Tensor
    y: Tensor
    role: str = "fake"
    panel: int = 0

    def __post_init__(self) -> None:
        _same_length(_vector(self.x, "x"), _vector(self.y, "y"))
        _role(self.role)
        _panel(self.panel)

    def _outputs(self) -> dict[str, Tensor]:
        return {"x": self.x, "y": self.y}

    def _described(self) -> dict[str, Any]:
        return {"kind": "points", "role": self.role}


@dataclass(frozen=True)
class Field:
    """A function of two variables, as colours from dark (low) to light (high).

    Attributes
    ----------
    values
        Tensor of shape (rows, columns); row 0 is the lowest y, column 0 the lowest x.
    limits
        (x0, x1, y0, y1), the edges of the picture.
    range
        The values of the darkest and the lightest colour; by default those that occur.
    panel
        The panel it is drawn in, counted from 0.

    Examples
    --------
    >>> Field(torch.zeros(2, 3), (-1, 1, -1, 1)).values.shape
    torch.Size([2, 3])
    """

    values: Tensor
    limits: tuple[float, float, float, float]
    range: tuple[float, float] | None = None
    panel: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor):
            raise TypeError(f"values is a {type(self.values).__name__}; pass a tensor")
        shape = tuple(self.values.shape)
        require(len(shape) == 2, f"values have shape {shape}; they have two axes, (rows, columns)")
        require(
            len(self.limits) == 4
            and all(math.isfinite(v) for v in self.limits)
            and self.limits[0] < self.limits[1]
            and self.limits[2] < self.limits[3],
            f"limits are {self.limits}; give finite (x0, x1, y0, y1) with x0 < x1 and y0 < y1",
        )
        require(
            self.range is None or (len(self.range) == 2 and self.range[0] < self.range[1]),
            f"range is {self.range}; give (lowest, highest), or None for what occurs",
        )
        _panel(self.panel)

    def _outputs(self) -> dict[str, Tensor]:
        return {"values": self.values}

    def _described(self) -> dict[str, Any]:
        rows, columns = self.values.shape
        return {
            "kind": "field",
            "role": "ink",
            "rows": rows,
            "columns": columns,
            "limits": [float(v) for v in self.limits],
            "range": None if self.range is None else [float(v) for v in self.range],
        }


@dataclass(frozen=True)
class Bars:
    """Bars from 0, side by side: bar i stands at x = i.

    Attributes
    ----------
    values
        Tensor of shape (N,).
    labels
        N texts.
    role
        ``"real"``, ``"fake"``, ``"critic"``, ``"theory"``, ``"accent"`` or ``"ink"``.
    panel
        The panel they are drawn in, counted from 0.

    Examples
    --------
    >>> Bars(torch.tensor([0.25, 0.75]), ["tails", "heads"]).role
    'real'
    """

    values: Tensor
    labels: Sequence[str]
    role: str = "real"
    panel: int = 0

    def __post_init__(self) -> None:
        count = len(_vector(self.values, "values"))
        require(
            not isinstance(self.labels, str) and len(self.labels) == count,
            f"there are {count} bars and the labels {self.labels!r}; give one text for each bar",
        )
        _role(self.role)
        _panel(self.panel)

    def _outputs(self) -> dict[str, Tensor]:
        return {"values": self.values}

    def _described(self) -> dict[str, Any]:
        return {"kind": "bars", "role": self.role, "labels": [str(v) for v in self.labels]}


class Item(NamedTuple):
    name: str
    shown: Curve | Points | Field | Bars | Tensor

    def outputs(self) -> dict[str, Tensor]:
        return {"value": self.shown} if isinstance(self.shown, Tensor) else self.shown._outputs()


def items_of(result: Any) -> list[Item]:
    if not isinstance(result, Mapping) or not result:
        raise TypeError(
            f"the function returned {type(result).__name__}; return a mapping: name -> Curve, "
            "Points, Field, Bars, or a tensor of shape () for a number"
        )
    items = [Item(str(name), shown) for name, shown in result.items()]
    for name, shown in items:
        if isinstance(shown, Tensor):
            require(
                shown.ndim == 0,
                f"{name} is a tensor of shape {tuple(shown.shape)}; a number has shape (): wrap "
                "it in Curve, Points, Field or Bars",
            )
        elif not isinstance(shown, (Curve, Points, Field, Bars)):
            raise TypeError(
                f"{name} is a {type(shown).__name__}; return a Curve, Points, Field, Bars, or a "
                "tensor of shape () for a number"
            )
    require(
        not all(isinstance(shown, Tensor) for _, shown in items),
        "the function returns numbers alone; return a Curve, Points, Field or Bars as well",
    )
    return items
