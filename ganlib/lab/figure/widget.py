"""The widget of a live figure: its function compiled, run and described to the page."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ganlib.lab.compiler import Module, compile_functions
from ganlib.lab.figure.controls import Control, Noise, control_of
from ganlib.lab.figure.items import Item, items_of
from ganlib.lab.figure.panels import Figure, corners, described_panels, span
from ganlib.lab.figure.still import picture, rows_of, value_of
from ganlib.lab.figure.values import require
from ganlib.lab.runtime import Running, start
from ganlib.lab.widget import Live, Still, table


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

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 5)
    >>> def figure(slope):
    ...     return {"line": Curve(x, slope * x), "at the end": slope * 1.0}
    >>> shown = interact(figure, Figure(alt="A line through 0."), slope=(-2, 2))
    >>> shown.evaluate(slope=1.5)["at the end"]
    1.5
    """
    return Interact(function, figure or Figure(), controls)


class Interact(Live):
    """The widget that :func:`interact` returns."""

    kind = "interact"

    def __init__(
        self,
        function: Callable[..., Mapping[str, Any]],
        figure: Figure,
        controls: Mapping[str, Any],
    ) -> None:
        made = {name: control_of(name, given) for name, given in controls.items()}
        _matched(function, made)
        alt = figure.alt.strip() or _first_paragraph(function)
        require(
            bool(alt),
            "the figure has no alternative text; say what it shows with Figure(alt=...), or in "
            "the function's docstring",
        )
        self._controls = made
        self._module, items = _compiled(function, made)
        known = [item.name for item in items if isinstance(item.shown, Tensor)]
        for name in figure.numbers:
            require(
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
        runs = [self._run(spec, values) for values in corners(made, first)]
        spec["panels"] = described_panels(figure, described, runs)
        for entry in described:
            if entry["kind"] == "field" and entry["range"] is None:
                seen = [run[entry["outputs"]["values"]] for run in runs]
                entry["range"] = span(seen, margin=0.0) or [0.0, 1.0]
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
        return {item["name"]: value_of(item, outputs) for item in self.spec["items"]}

    def still(self) -> Still:
        """The figure at its first values, drawn by matplotlib, with a table of its numbers."""
        first = {control["name"]: control["value"] for control in self.spec["controls"]}
        results = self.evaluate(**first)
        return Still(
            picture(self.spec, results),
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
            rows += rows_of(item, results[item["name"]])
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
    def _described(item: Item, figure: Figure) -> dict[str, Any]:
        if isinstance(item.shown, Tensor):
            return {"name": item.name, "kind": "number", **figure._number(item.name)}
        return {"name": item.name, "panel": item.shown.panel, **item.shown._described()}


def _matched(function: Callable[..., Any], controls: Mapping[str, Control]) -> None:
    """Say which controls and parameters do not belong together."""
    require(bool(controls), "there is no control; give one for each parameter of the function")
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
        require(
            re.fullmatch(r"o\d+", name) is None,
            f"the control {name} has the name of an output; rename it and the parameter",
        )


def _compiled(
    function: Callable[..., Any], controls: Mapping[str, Control]
) -> tuple[Module, list[Item]]:
    items: list[Item] = []

    def flat(*arguments: Tensor) -> dict[str, Tensor]:
        given = {
            name: control._given(argument)
            for (name, control), argument in zip(controls.items(), arguments, strict=True)
        }
        items[:] = items_of(function(**given))
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
    return compile_functions({"figure": (flat, examples)}, noise=noise), items


def _first_paragraph(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) if inspect.isroutine(function) else None
    return " ".join((text or "").split("\n\n")[0].split())


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.lower())
    slug = "-".join(words)
    return slug if slug[:1].isalpha() else "-".join(["figure", *words])
