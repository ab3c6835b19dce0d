"""A live figure from a small torch function: sliders, menus and buttons call the compiled code.

>>> from ganlib import lab
>>> x = torch.linspace(-4, 4, 201)
>>> def figure(mean, wide):
...     scale = torch.where(wide, 2.0, 1.0)
...     return {"q": lab.Curve(x, torch.exp(-(((x - mean) / scale) ** 2) / 2), role="fake")}
>>> lab.interact(figure, lab.Figure(alt="A bell curve."), mean=(-2, 2), wide=False)
"""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import math
import numbers
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from torch import Tensor

from ganlib import plotting
from ganlib.lab.compiler import Module, compile_functions
from ganlib.lab.runtime import Running, start
from ganlib.lab.widget import Live, Still, table

__all__ = [
    "Bars",
    "Curve",
    "Field",
    "Figure",
    "Interact",
    "Menu",
    "Noise",
    "Panel",
    "Points",
    "Slider",
    "Switch",
    "choose",
    "interact",
]

# What a role looks like; lines differ by dash as well as by colour.
_ROLES: dict[str, tuple[str, Any]] = {
    "real": (plotting.REAL, "-"),
    "fake": (plotting.FAKE, "--"),
    "critic": (plotting.CRITIC, "-."),
    "theory": (plotting.THEORY, ":"),
    "accent": (plotting.ACCENT, (0, (4, 1.5))),
    "ink": (plotting.INK, "-"),
}


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


# --- what the function returns --------------------------------------------------------------


def _vector(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; pass a tensor")
    _require(value.ndim == 1, f"{name} has shape {tuple(value.shape)}; it has one axis, (N,)")
    return value


def _same_length(x: Tensor, y: Tensor) -> None:
    _require(len(x) == len(y), f"x has {len(x)} values and y {len(y)}; give one y for each x")


def _role(role: str) -> None:
    _require(role in _ROLES, f"role is {role!r}; choose one of {', '.join(_ROLES)}")


def _panel(panel: int) -> None:
    _require(isinstance(panel, int) and panel >= 0, f"panel is {panel!r}; panels count from 0")


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
    """

    values: Tensor
    limits: tuple[float, float, float, float]
    range: tuple[float, float] | None = None
    panel: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor):
            raise TypeError(f"values is a {type(self.values).__name__}; pass a tensor")
        shape = tuple(self.values.shape)
        _require(len(shape) == 2, f"values have shape {shape}; they have two axes, (rows, columns)")
        _require(
            len(self.limits) == 4
            and all(math.isfinite(v) for v in self.limits)
            and self.limits[0] < self.limits[1]
            and self.limits[2] < self.limits[3],
            f"limits are {self.limits}; give finite (x0, x1, y0, y1) with x0 < x1 and y0 < y1",
        )
        _require(
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
    """

    values: Tensor
    labels: Sequence[str]
    role: str = "real"
    panel: int = 0

    def __post_init__(self) -> None:
        count = len(_vector(self.values, "values"))
        _require(
            not isinstance(self.labels, str) and len(self.labels) == count,
            f"there are {count} bars and the labels {self.labels!r}; give one text for each bar",
        )
        _role(self.role)
        _panel(self.panel)

    def _outputs(self) -> dict[str, Tensor]:
        return {"values": self.values}

    def _described(self) -> dict[str, Any]:
        return {"kind": "bars", "role": self.role, "labels": [str(v) for v in self.labels]}


# --- what the reader sets -------------------------------------------------------------------


def _finite(**values: Any) -> None:
    for name, value in values.items():
        ok = isinstance(value, numbers.Real) and not isinstance(value, bool)
        _require(ok and math.isfinite(value), f"{name} is {value!r}; give a finite number")


@dataclass(frozen=True)
class Slider:
    """A number from ``min`` to ``max``; the function gets a float64 tensor of shape ().

    Attributes
    ----------
    min, max
        The ends, both allowed.
    value
        Where it starts; by default the middle (of the logarithms where ``log`` is set).
    step
        The grid it moves on, from ``min``; by default about a hundredth of the range. With
        ``log``, in decades.
    log
        Move evenly in the logarithm; ``min`` must be above 0.
    label, unit, hint
        What is written beside it; the label is by default the name.
    """

    min: float
    max: float
    value: float | None = None
    step: float | None = None
    log: bool = False
    label: str = ""
    unit: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        _finite(min=self.min, max=self.max)
        _require(self.min < self.max, f"min is {self.min} and max {self.max}; min lies below max")
        _require(not self.log or self.min > 0, f"min is {self.min}; with log it must be above 0")
        if self.step is None:
            object.__setattr__(self, "step", _hundredth(self._length()))
        _finite(step=self.step)
        _require(
            self.step is not None and 0 < self.step <= self._length() * (1 + 1e-9),
            f"step is {self.step}; it lies above 0 and up to the range, {self._length():g}",
        )
        if self.value is None:
            object.__setattr__(self, "value", self._middle())
        _finite(value=self.value)
        assert self.value is not None
        _require(
            self.min <= self.value <= self.max,
            f"value is {self.value}; it lies between min {self.min} and max {self.max}",
        )

    def _length(self) -> float:
        return math.log10(self.max / self.min) if self.log else self.max - self.min

    def _middle(self) -> float:
        assert self.step is not None
        along = round(self._length() / 2 / self.step) * self.step  # on the grid
        value = self.min * 10**along if self.log else self.min + along
        return min(float(f"{value:.12g}"), self.max)

    def _described(self) -> dict[str, Any]:
        return {
            "kind": "slider",
            "min": float(self.min),
            "max": float(self.max),
            "step": self.step,
            "log": self.log,
            "value": float(self.value or 0.0),
            "unit": self.unit,
        }

    def _example(self) -> Tensor:
        return torch.tensor(float(self.value or 0.0), dtype=torch.float64)

    def _given(self, argument: Tensor) -> Tensor:
        return argument

    def _ends(self) -> list[float]:
        return [float(self.min), float(self.max)]

    def _said(self, value: float) -> str:
        return f"{_text(value)} {self.unit}".strip()


def _hundredth(length: float) -> float:
    """A step of 1, 2 or 5 times a power of ten: 100 to 250 of them make the length."""
    power = 10.0 ** math.floor(math.log10(length / 100))
    return float(f"{max(m for m in (1, 2, 5) if m * power <= length / 100 * 1.0001) * power:.6g}")


@dataclass(frozen=True)
class Menu:
    """One of several options.

    Attributes
    ----------
    options
        Texts: the function gets the number of the option, an int64 tensor of shape (). Or
        text -> number: it gets that number, a float64 tensor of shape ().
    value
        The number of the option it starts with, counted from 0.
    label, hint
        What is written beside it; the label is by default the name.
    """

    options: Sequence[str] | Mapping[str, float]
    value: int = 0
    label: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        _require(
            not isinstance(self.options, str) and len(self.options) > 0,
            f"options are {self.options!r}; give a list of texts, or a mapping of texts to numbers",
        )
        texts = list(self.options)
        _require(
            all(isinstance(text, str) and text for text in texts) and len({*texts}) == len(texts),
            f"options are {texts}; they are different texts, none empty",
        )
        if isinstance(self.options, Mapping):
            _finite(**self.options)
        _require(
            isinstance(self.value, int) and self.value in range(len(texts)),
            f"value is {self.value!r}; it is the number of an option, 0 to {len(texts) - 1}",
        )

    def _described(self) -> dict[str, Any]:
        return {"kind": "menu", "options": list(self.options), "value": self.value}

    def _example(self) -> Tensor:
        return torch.tensor(self.value)

    def _given(self, argument: Tensor) -> Tensor:
        if not isinstance(self.options, Mapping):
            return argument
        given = [torch.tensor(float(v), dtype=torch.float64) for v in self.options.values()]
        return choose(argument, given)

    def _ends(self) -> list[int]:
        return list(range(len(self.options)))

    def _said(self, value: float) -> str:
        return list(self.options)[int(value)]


@dataclass(frozen=True)
class Switch:
    """On or off; the function gets a bool tensor of shape ().

    Attributes
    ----------
    value
        Whether it starts on.
    label, hint
        What is written beside it; the label is by default the name.
    """

    value: bool = False
    label: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        _require(isinstance(self.value, bool), f"value is {self.value!r}; it is True or False")

    def _described(self) -> dict[str, Any]:
        return {"kind": "switch", "value": int(self.value)}

    def _example(self) -> Tensor:
        return torch.tensor(self.value)

    def _given(self, argument: Tensor) -> Tensor:
        return argument

    def _ends(self) -> list[int]:
        return [0, 1]

    def _said(self, value: float) -> str:
        return "on" if value else "off"


@dataclass(frozen=True)
class Noise:
    """A button that draws again; the function gets a float32 tensor of the given shape.

    Its value counts the presses and is the seed: the same value gives the same numbers, in
    Python and in every browser.

    Attributes
    ----------
    shape
        Shape of the tensor, for instance (256, 2).
    kind
        ``"normal"``, standard, or ``"uniform"`` on (0, 1).
    value
        The first seed, 0 to 2**32 - 1.
    label, hint
        What is written on it; the label is by default "New sample".
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    value: int = 0
    label: str = "New sample"
    hint: str = ""

    def __post_init__(self) -> None:
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        object.__setattr__(self, "shape", shape)
        _require(
            len(shape) > 0 and all(isinstance(n, int) and n > 0 for n in shape),
            f"shape is {self.shape}; give positive integers",
        )
        _require(
            self.kind in ("normal", "uniform"), f"kind is {self.kind!r}; choose normal or uniform"
        )
        _require(
            isinstance(self.value, int) and 0 <= self.value < 2**32,
            f"value is {self.value!r}; it is an integer from 0 to 4294967295",
        )

    def _described(self) -> dict[str, Any]:
        return {"kind": "noise", "noise": self.kind, "value": self.value}

    def _example(self) -> Tensor:
        return torch.zeros(self.shape, dtype=torch.float32)

    def _given(self, argument: Tensor) -> Tensor:
        return argument

    def _ends(self) -> list[int]:
        return [(self.value + i) % 2**32 for i in (1, 2)]

    def _said(self, value: float) -> str:
        return f"sample {int(value)}"


Control = Slider | Menu | Switch | Noise


def _control(name: str, given: Any) -> Control:
    """A control from itself or from an abbreviation, as in ipywidgets."""
    try:
        if isinstance(given, Control):
            return given
        if isinstance(given, bool):
            return Switch(given)
        if isinstance(given, tuple) and len(given) in (2, 3):
            return Slider(given[0], given[1], step=given[2] if len(given) == 3 else None)
        if isinstance(given, (list, Mapping)):
            return Menu(given)
    except ValueError as wrong:
        raise ValueError(f"the control {name}: {wrong}") from None
    raise ValueError(
        f"the control {name} is {given!r}; give (min, max) or (min, max, step) for a slider, a "
        "list of texts for a menu, True or False for a switch, or a Slider, Menu, Switch or Noise"
    )


def choose(number: Tensor, results: Sequence[Tensor]) -> Tensor:
    """One of several results, by a menu's number: what ``results[number]`` would be.

    All of them are computed, so a result may be anything, also NaN, where it is not chosen.

    Parameters
    ----------
    number
        An integer tensor of shape (), 0 to the count of results less 1.
    results
        Tensors whose shapes agree or broadcast.
    """
    _require(len(results) > 0, "there is nothing to choose from; pass one tensor an option")
    *others, chosen = results
    for i, result in reversed(list(enumerate(others))):
        chosen = torch.where(number == i, result, chosen)
    return chosen


# --- how it is shown ------------------------------------------------------------------------

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
    """

    x: Axis = ""
    y: Axis = ""
    title: str = ""
    aspect: float | None = None

    def __post_init__(self) -> None:
        for name, axis in (("x", self.x), ("y", self.y)):
            if isinstance(axis, str):
                continue
            _require(
                len(axis) == 3 and isinstance(axis[0], str),
                f"{name} is {axis!r}; give a label, or (label, lowest, highest)",
            )
            _finite(**{f"{name}: the lowest": axis[1], f"{name}: the highest": axis[2]})
            _require(axis[1] < axis[2], f"{name} is {axis!r}; the lowest lies below the highest")
        _require(
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
            _require(
                re.fullmatch(r"\.\d{1,2}[feg]", form) is not None,
                f"the format of {name} is {form!r}; write it as .3f, .2e or .4g",
            )

    def _number(self, name: str) -> dict[str, str]:
        shown = self.numbers.get(name, "")
        unit, form = (shown, ".3f") if isinstance(shown, str) else shown
        return {"unit": unit, "format": form}


# --- the widget -----------------------------------------------------------------------------


def interact(
    function: Callable[..., Mapping[str, Any]], figure: Figure | None = None, /, **controls: Any
) -> Interact:
    """Compile a torch function and show it over its controls, in Jupyter and in a page.

    Parameters
    ----------
    function
        Called with one tensor for each control, by name. It returns name -> :class:`Curve`,
        :class:`Points`, :class:`Field`, :class:`Bars`, or a tensor of shape (), which is shown
        as a number. It may not branch on values: ``torch.where`` and :func:`choose` choose.
    figure
        Title, alternative text, panels, units.
    **controls
        One for each parameter of the function: :class:`Slider`, :class:`Menu`, :class:`Switch`,
        :class:`Noise`, or as in ipywidgets ``(min, max)`` or ``(min, max, step)``, a list or
        mapping, or a bool.

    Returns
    -------
    Interact
        A widget: show it, observe its ``values``, compute with :meth:`Interact.evaluate`.

    Raises
    ------
    NotImplementedError
        For an operation that cannot be compiled; the message names it and its line.
    ValueError, TypeError
        For controls that are not the function's parameters, or a result that is no figure.
    """
    return Interact(function, figure or Figure(), controls)


class _Item(NamedTuple):
    name: str
    shown: Curve | Points | Field | Bars | Tensor

    def outputs(self) -> dict[str, Tensor]:
        return {"value": self.shown} if isinstance(self.shown, Tensor) else self.shown._outputs()


class Interact(Live):
    """The widget that :func:`interact` returns."""

    kind = "interact"

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        figure: Figure,
        controls: Mapping[str, Any],
    ) -> None:
        made = {name: _control(name, given) for name, given in controls.items()}
        _matched(function, made)
        alt = figure.alt.strip() or _first_paragraph(function)
        _require(
            bool(alt),
            "the figure has no alternative text; say what it shows with Figure(alt=...), or in "
            "the function's docstring",
        )
        self._controls = made
        self._module, items = _compiled(function, made)
        known = [item.name for item in items if isinstance(item.shown, Tensor)]
        for name in figure.numbers:
            _require(
                name in known,
                f"Figure.numbers has {name!r}; the function returns the numbers "
                f"{', '.join(known) or '(none)'}",
            )
        described = [self._described(item, figure) for item in items]
        place = itertools.count()
        for item, entry in zip(items, described, strict=True):
            entry["outputs"] = {key: f"o{next(place)}" for key in item.outputs()}
        streams = itertools.count()
        spec: dict[str, Any] = {
            "title": figure.title,
            "alt": alt,
            "controls": [
                {
                    "name": name,
                    "label": control.label or name,
                    "hint": control.hint,
                    **control._described(),
                    # Two buttons with one seed draw different numbers.
                    **({"argument": name, "stream": next(streams)}
                       if isinstance(control, Noise) else {}),
                }
                for name, control in made.items()
            ],
            "items": described,
        }  # fmt: skip
        first = {control["name"]: control["value"] for control in spec["controls"]}
        runs = [self._run(spec, values) for values in _corners(made, first)]
        spec["panels"] = _panels(figure, described, runs)
        for entry in described:
            if entry["kind"] == "field" and entry["range"] is None:
                seen = [run[entry["outputs"]["values"]] for run in runs]
                entry["range"] = _span(seen, margin=0.0) or [0.0, 1.0]
        super().__init__(
            name=figure.name or _slug(figure.title or getattr(function, "__name__", "")),
            compiled={"main": self._module},
            spec=spec,
            values=first,
        )

    def evaluate(self, **values: float) -> dict[str, Any]:
        """Run the compiled module in Python, with the bits that the page shows.

        Parameters
        ----------
        **values
            Values of controls, as in ``values``: the number of a menu's option, the seed of a
            noise. A control left out has its present value.

        Returns
        -------
        dict
            Name -> float for a number, else an array: shape (2, N) with x and y for a curve and
            for points, (rows, columns) for a field, (N,) for bars.

        Raises
        ------
        ValueError
            For a value that the reader could not set either.
        """
        outputs = self._run(self.spec, self.check(values))
        return {item["name"]: _value(item, outputs) for item in self.spec["items"]}

    def still(self) -> Still:
        """The figure at its first values, drawn by matplotlib, with a table of its numbers."""
        first = {control["name"]: control["value"] for control in self.spec["controls"]}
        results = self.evaluate(**first)
        return Still(
            _picture(self.spec, results),
            "image/svg+xml",
            self.spec["alt"],
            self._table(first, results),
        )

    def _table(self, values: Mapping[str, float], results: Mapping[str, Any]) -> str:
        rows: list[list[str]] = [
            [control["label"], self._controls[control["name"]]._said(values[control["name"]])]
            for control in self.spec["controls"]
        ]
        for item in self.spec["items"]:
            rows += _rows(item, results[item["name"]])
        title = self.spec["title"]
        return table(f"{title}: first settings" if title else "First settings", ["", "value"], rows)

    @functools.cached_property
    def _running(self) -> Running:
        return start(self._module)

    def _run(self, spec: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, np.ndarray]:
        function = self._running.functions["figure"]
        for control in spec["controls"]:
            argument, value = function.inputs[control["name"]], values[control["name"]]
            if control["kind"] == "noise":
                self._running.draw(control["noise"], argument, int(value), control["stream"])
            else:
                argument[...] = value
        function.run()
        return {name: view.copy() for name, view in function.outputs.items()}

    @staticmethod
    def _described(item: _Item, figure: Figure) -> dict[str, Any]:
        if isinstance(item.shown, Tensor):
            return {"name": item.name, "kind": "number", **figure._number(item.name)}
        return {"name": item.name, "panel": item.shown.panel, **item.shown._described()}


def _matched(function: Callable[..., Any], controls: Mapping[str, Control]) -> None:
    """Say which controls and parameters do not belong together."""
    _require(bool(controls), "there is no control; give one for each parameter of the function")
    parameters = inspect.signature(function).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unasked = [name for name in controls if name not in named]
    if unasked and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ValueError(
            f"the function has no parameter {', '.join(unasked)}; its parameters are "
            f"{', '.join(named) or 'none'}: name the controls so"
        )
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and p.name not in controls
    ]
    if missing:
        raise ValueError(
            f"the parameter {', '.join(missing)} has no control; add {missing[0]}=(min, max), a "
            "list of texts, True or False, or lab.Noise(shape)"
        )
    for name in controls:
        _require(
            re.fullmatch(r"o\d+", name) is None,
            f"the control {name} has the name of an output; rename it and the parameter",
        )


def _compiled(
    function: Callable[..., Any], controls: Mapping[str, Control]
) -> tuple[Module, list[_Item]]:
    items: list[_Item] = []

    def flat(*arguments: Tensor) -> dict[str, Tensor]:
        given = {
            name: control._given(argument)
            for (name, control), argument in zip(controls.items(), arguments, strict=True)
        }
        items[:] = _items(function(**given))
        tensors = [tensor for item in items for tensor in item.outputs().values()]
        # A page draws floats; integers arrive there in a form of their own.
        return {
            f"o{i}": tensor if tensor.is_floating_point() else tensor.double()
            for i, tensor in enumerate(tensors)
        }

    # The compiler names buffers after parameters, and blames the line of the wrapped function.
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in controls]
    )
    flat.__wrapped__ = function  # type: ignore[attr-defined]
    examples = [control._example() for control in controls.values()]
    noise = any(isinstance(control, Noise) for control in controls.values())
    try:
        return compile_functions({"figure": (flat, examples)}, noise=noise), items
    except RuntimeError as stopped:
        if "_local_scalar_dense" not in str(stopped):
            raise
        frames = traceback.extract_tb(stopped.__traceback__)
        file = getattr(getattr(function, "__code__", None), "co_filename", None)
        own = [frame for frame in frames if frame.filename == file] or frames
        raise NotImplementedError(
            f"line {own[-1].lineno} of {Path(own[-1].filename).name} asks for the value of a "
            f"tensor, which is not known when the function is compiled: `{own[-1].line}`; choose "
            "with torch.where(condition, a, b) or lab.choose(number, [a, b, c])"
        ) from None


def _items(result: Any) -> list[_Item]:
    if not isinstance(result, Mapping) or not result:
        raise TypeError(
            f"the function returned {type(result).__name__}; return a mapping: name -> Curve, "
            "Points, Field, Bars, or a tensor of shape () for a number"
        )
    items = [_Item(str(name), shown) for name, shown in result.items()]
    for name, shown in items:
        if isinstance(shown, Tensor):
            _require(
                shown.ndim == 0,
                f"{name} is a tensor of shape {tuple(shown.shape)}; a number has shape (): wrap "
                "it in Curve, Points, Field or Bars",
            )
        elif not isinstance(shown, (Curve, Points, Field, Bars)):
            raise TypeError(
                f"{name} is a {type(shown).__name__}; return a Curve, Points, Field, Bars, or a "
                "tensor of shape () for a number"
            )
    _require(
        not all(isinstance(shown, Tensor) for _, shown in items),
        "the function returns numbers alone; return a Curve, Points, Field or Bars as well",
    )
    return items


def _first_paragraph(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) if inspect.isroutine(function) else None
    return " ".join((text or "").split("\n\n")[0].split())


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.lower())
    slug = "-".join(words)
    return slug if slug[:1].isalpha() else "-".join(["figure", *words])


# --- limits ---------------------------------------------------------------------------------


def _corners(
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


def _span(arrays: Iterable[np.ndarray], *, margin: float) -> list[float] | None:
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


def _panels(
    figure: Figure, items: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, np.ndarray]]
) -> list[dict[str, Any]]:
    used = {item["panel"] for item in items if "panel" in item}
    panels = figure.panels or [Panel()] * (max(used) + 1)
    for item in items:
        _require(
            item.get("panel", 0) < len(panels),
            f"{item['name']} is drawn in panel {item.get('panel')}, and the figure has "
            f"{len(panels)}, counted from 0; add a Panel or change the number",
        )
    described = []
    for i, panel in enumerate(panels):
        _require(i in used, f"nothing is drawn in panel {i}; leave it out")
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
    limits = _span(values, margin=margin)
    if limits is None:
        raise ValueError(
            f"no finite value to compute the limits of {name} from; give them: "
            f"Panel({name[0]}=({axis!r}, lowest, highest))"
        )
    return {"label": axis, "limits": limits}


# --- the still figure -----------------------------------------------------------------------


def _value(item: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> Any:
    places = item["outputs"]
    if item["kind"] == "number":
        return outputs[places["value"]].item()
    if "values" in places:
        return outputs[places["values"]]
    return np.stack([outputs[places["x"]], outputs[places["y"]]])


def _rows(item: Mapping[str, Any], value: Any) -> list[list[str]]:
    """What the table says of one item."""
    name = item["name"]
    if item["kind"] == "number":
        return [[name, f"{_text(value, item['format'])} {item['unit']}".strip()]]
    if item["kind"] == "bars":
        return [
            [f"{name}: {label}", _text(v)] for label, v in zip(item["labels"], value, strict=True)
        ]
    if item["kind"] == "points":
        return [[name, f"{value.shape[1]} points"]]
    heights = value if item["kind"] == "field" else value[1]
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return [[name, "no finite value"]]
    return [[name, f"from {_text(finite.min())} to {_text(finite.max())}"]]


def _text(value: float, form: str = ".4g") -> str:
    return f"{value:{form}}".replace("-", "\u2212") if math.isfinite(value) else "not finite"


def _picture(spec: Mapping[str, Any], results: Mapping[str, Any]) -> bytes:
    """The figure as SVG; never shown by the notebook, for it has no window and no manager."""
    panels = spec["panels"]
    wide = 2 if len(panels) == 4 else min(len(panels), 3)
    high = -(-len(panels) // wide)
    with rc_context(plotting.STYLE):
        picture = Picture(figsize=((6.4, 8.0, 9.6)[wide - 1], 3.6 * high), dpi=_dpi(results))
        axes = picture.subplots(high, wide, squeeze=False).flatten()
        for ax, panel in itertools.zip_longest(axes, panels):
            if panel is None:
                ax.set_axis_off()
                continue
            ax.set(
                xlim=panel["x"]["limits"], ylim=panel["y"]["limits"],
                xlabel=panel["x"]["label"], ylabel=panel["y"]["label"], title=panel["title"],
            )  # fmt: skip
            if "aspect" in panel:
                ax.set_box_aspect(1 / panel["aspect"])
        for item in spec["items"]:
            if item["kind"] != "number":
                placed = {**item, "group": _group(item, spec["items"])}
                _DRAW[item["kind"]](axes[item["panel"]], placed, results[item["name"]])
        for ax in axes:
            if len(ax.get_legend_handles_labels()[1]) > 1:
                ax.legend()
        if spec["title"]:
            picture.suptitle(spec["title"], color=plotting.INK, fontsize="large")
        file = io.BytesIO()
        picture.savefig(
            file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    # Hundredths of a point are enough, and no spaces: half of the bytes.
    short = re.sub(rb' d="[^"]*"', lambda path: _LONG.sub(rb"\1", path[0]), file.getvalue())
    return re.sub(rb"\s*\n\s*", b"\n", re.sub(rb"<!-- [^>]* -->", b"", short))


def _dpi(results: Mapping[str, Any]) -> int:
    """Fewer dots an inch for crowds of points, which become pixels: see plotting.scatter."""
    return 110 if sum(np.size(value) for value in results.values()) < 4000 else 72


_LONG = re.compile(rb"(\.\d\d)\d+")


def _group(item: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Which it is of its kind in its panel, and of how many: bars stand side by side."""
    same = [
        other["name"]
        for other in items
        if other["kind"] == item["kind"] and other["panel"] == item["panel"]
    ]
    return same.index(item["name"]), len(same)


def _draw_curve(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, line = _ROLES[item["role"]]
    ax.plot(*value, color=colour, linestyle="--" if item["dash"] else line, label=item["name"])


def _draw_points(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, _ = _ROLES[item["role"]]
    plotting.scatter(
        ax,
        value.T,
        fake=item["role"] == "fake",
        color=colour,
        label=item["name"],
        rasterized=value.shape[1] > 100,
    )


def _draw_field(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    low, high = item["range"] or (None, None)
    # "none" puts the field's own cells into the SVG, in place of thousands of pixels
    ax.imshow(
        value, origin="lower", extent=item["limits"], vmin=low, vmax=high, cmap="cividis",
        interpolation="none", aspect="auto",
    )  # fmt: skip
    ax.grid(False)


def _draw_bars(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, _ = _ROLES[item["role"]]
    index, count = item["group"]
    wide = 0.8 / count
    places = np.arange(len(value)) + (index - (count - 1) / 2) * wide
    ax.bar(
        places, value, wide, color=colour, label=item["name"], alpha=0.8,
        hatch="///" if item["role"] == "fake" else None,
    )  # fmt: skip
    ax.set_xticks(range(len(value)), item["labels"])
    ax.grid(False, axis="x")


_DRAW: dict[str, Callable[[Axes, Mapping[str, Any], np.ndarray], None]] = {
    "bars": _draw_bars,
    "curve": _draw_curve,
    "field": _draw_field,
    "points": _draw_points,
}
