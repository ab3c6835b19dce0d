"""How a live figure is shown: its axes, and the limits that hold all of it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganlib.lab.figure.controls import Control
from ganlib.lab.figure.values import finite, require

Axis = str | tuple[str, float, float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes
    ----------
    x, y
        A label, or (label, lowest, highest). Limits not given are computed: they hold what the
        function returns at the first values and at the ends of the controls.
    title
        Above the panel.
    aspect
        Width over height; None leaves it to the page.

    Examples
    --------
    >>> Panel(x="$x$", y=("density", 0, 1)).y
    ('density', 0, 1)
    """

    x: Axis = ""
    y: Axis = ""
    title: str = ""
    aspect: float | None = None

    def __post_init__(self) -> None:
        for name, axis in (("x", self.x), ("y", self.y)):
            if isinstance(axis, str):
                continue
            require(
                len(axis) == 3 and isinstance(axis[0], str),
                f"{name} is {axis!r}; give a label, or (label, lowest, highest)",
            )
            finite(**{f"{name}: the lowest": axis[1], f"{name}: the highest": axis[2]})
            require(axis[1] < axis[2], f"{name} is {axis!r}; the lowest lies below the highest")
        require(
            self.aspect is None or self.aspect > 0,
            f"aspect is {self.aspect}; it is width over height, above 0",
        )


@dataclass(frozen=True)
class Figure:
    """How the result of the function is shown.

    Attributes
    ----------
    title
        Above the figure.
    alt
        What it shows and how it moves, for a reader who does not see it. By default the first
        paragraph of the function's docstring.
    panels
        Axes, side by side.
    numbers
        Name of a number -> its unit, or (unit, format). A format is ``".3f"``, ``".2e"`` or
        ``".4g"`` with any count of digits, by default ``".3f"``.
    name
        Its name in addresses: lower-case letters, digits and hyphens. By default made from the
        title or the function's name.

    Examples
    --------
    >>> Figure(title="A line", panels=[Panel(x="$x$")], numbers={"height": ("m", ".1f")}).title
    'A line'
    """

    title: str = ""
    alt: str = ""
    panels: Sequence[Panel] = ()
    numbers: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.panels, Panel):
            object.__setattr__(self, "panels", (self.panels,))
        for name, shown in self.numbers.items():
            form = ".3f" if isinstance(shown, str) else shown[1]
            require(
                re.fullmatch(r"\.\d{1,2}[feg]", form) is not None,
                f"the format of {name} is {form!r}; write it as .3f, .2e or .4g",
            )

    def _number(self, name: str) -> dict[str, str]:
        shown = self.numbers.get(name, "")
        unit, form = (shown, ".3f") if isinstance(shown, str) else shown
        return {"unit": unit, "format": form}


def corners(
    controls: Mapping[str, Control], first: Mapping[str, float], most: int = 200
) -> Iterable[dict[str, float]]:
    """The first values, and the ends of the controls: all together where that is few."""
    yield dict(first)
    ends = {name: control._ends() for name, control in controls.items()}
    if math.prod(len(e) for e in ends.values()) <= most:
        for corner in itertools.product(*ends.values()):
            yield dict(zip(ends, corner, strict=True))
    for name, values in ends.items():
        for value in values:
            yield {**first, name: value}


def span(arrays: Iterable[np.ndarray], *, margin: float) -> list[float] | None:
    """The range of all finite values, a little wider; None where there are none."""
    lowest, highest = math.inf, -math.inf
    for values in arrays:
        finite = values[np.isfinite(values)]
        if finite.size:
            lowest, highest = min(lowest, finite.min()), max(highest, finite.max())
    if lowest > highest:
        return None
    if lowest == highest:
        return [float(lowest) - 0.5, float(highest) + 0.5]
    room = margin * (highest - lowest)
    below = 0.0 if lowest == 0 else lowest - room  # a density stands on its axis
    return [float(f"{below:.6g}"), float(f"{highest + room:.6g}")]


def described_panels(
    figure: Figure, items: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, Any]]:
    used = {item["panel"] for item in items if "panel" in item}
    panels = figure.panels or [Panel()] * (max(used) + 1)
    for item in items:
        require(
            item.get("panel", 0) < len(panels),
            f"{item['name']} is drawn in panel {item.get('panel')}, and the figure has "
            f"{len(panels)}, counted from 0; add a Panel or change the number",
        )
    described = []
    for i, panel in enumerate(panels):
        require(i in used, f"nothing is drawn in panel {i}; leave it out")
        here = [item for item in items if item.get("panel") == i]
        kinds = {item["kind"] for item in here}
        drawn = [_drawn(item, run) for run in runs for item in here]
        # A field and the graph of a function go from edge to edge.
        graph = any(
            item["kind"] == "curve" and np.all(np.diff(runs[0][item["outputs"]["x"]]) >= 0)
            for item in here
        )
        margin = 0.0 if graph or kinds & {"field", "bars"} else 0.04
        x_axis = _axis(panel.x, [x for x, _ in drawn], f"x of panel {i}", margin)
        low, high = x_axis["limits"]
        seen = [y[(x >= low) & (x <= high)] for x, y in drawn]
        y_axis = _axis(panel.y, seen, f"y of panel {i}", 0.0 if "field" in kinds else 0.04)
        entry: dict[str, Any] = {"title": panel.title, "x": x_axis, "y": y_axis}
        described.append(entry if panel.aspect is None else {**entry, "aspect": panel.aspect})
    return described


def _drawn(item: Mapping[str, Any], run: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The x and the y that an item reaches."""
    if item["kind"] == "field":
        x0, x1, y0, y1 = item["limits"]
        return np.array([x0, x1]), np.array([y0, y1])
    if item["kind"] == "bars":
        values = run[item["outputs"]["values"]]
        middle = np.arange(len(values))
        return np.array([-0.5, *middle, len(values) - 0.5]), np.array([0, *values, 0])
    return run[item["outputs"]["x"]], run[item["outputs"]["y"]]


def _axis(axis: Axis, values: list[np.ndarray], name: str, margin: float) -> dict[str, Any]:
    if not isinstance(axis, str):
        label, low, high = axis
        return {"label": label, "limits": [float(low), float(high)]}
    limits = span(values, margin=margin)
    if limits is None:
        raise ValueError(
            f"no finite value to compute the limits of {name} from; give them: "
            f"Panel({name[0]}=({axis!r}, lowest, highest))"
        )
    return {"label": axis, "limits": limits}
