"""What the lab's widgets share: their state, and the form they take where nothing is live."""

from __future__ import annotations

import base64
import html
import importlib.util
import json
import math
import numbers
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

if importlib.util.find_spec("anywidget") is None:
    raise ModuleNotFoundError(
        "a live figure needs anywidget; install it with `pip install anywidget` (the extra `lab` "
        "of ganlib holds it)"
    )

import anywidget
from traitlets import Dict, TraitError, Unicode, validate

from ganlib.lab import assets
from ganlib.lab.compiler import Module

__all__ = ["Live", "Still", "checked", "table"]


@dataclass(frozen=True)
class Still:
    """What a widget shows where it is not live: in print, without JavaScript, to a screen reader.

    Attributes
    ----------
    image
        The bytes of the picture.
    mime
        ``"image/svg+xml"`` or ``"image/png"``.
    alt
        What the picture shows, in words; never empty.
    table
        Its numbers as an HTML table: see :func:`table`.
    """

    image: bytes = field(repr=False)
    mime: str
    alt: str
    table: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("alt is empty; say in words what the picture shows")


class Live(anywidget.AnyWidget):
    """A widget that computes in the page, in Jupyter as in the published book.

    A subclass names its ``kind``, sets the traits and says what :meth:`still` is. Observe
    ``values`` to follow the reader's settings, or assign to it to change them.

    Attributes
    ----------
    kind
        Which bundle of :mod:`ganlib.lab.assets` draws it.
    name
        Lower-case letters, digits and hyphens; unique on its page. Part of addresses.
    modules
        Name -> deflated WebAssembly (zlib).
    metadata
        Name -> :meth:`ganlib.lab.compiler.Module.metadata`.
    spec
        What the widget is, as plain JSON values. It does not change.
    values
        What is set, as plain JSON values. What is left out stays as it was.
    """

    kind: ClassVar[str]

    name = Unicode().tag(sync=True)
    modules = Dict().tag(sync=True)
    metadata = Dict().tag(sync=True)
    spec = Dict().tag(sync=True)
    values = Dict().tag(sync=True)

    def __init__(
        self,
        *,
        name: str,
        compiled: Mapping[str, Module],
        spec: Mapping[str, Any],
        values: Mapping[str, Any],
    ) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            raise ValueError(
                f"name is {name!r}; use lower-case letters, digits and single hyphens, and begin "
                "with a letter"
            )
        # Read when first needed, so that the scripts may change while a kernel runs.
        self.add_traits(
            _esm=Unicode(assets.module(self.kind)).tag(sync=True),
            _css=Unicode(assets.css(self.kind)).tag(sync=True),
        )
        super().__init__(
            name=name,
            modules={key: zlib.compress(module.wasm, 9) for key, module in compiled.items()},
            metadata={key: module.metadata() for key, module in compiled.items()},
            spec=plain(spec),
            values=plain(values),
        )

    def __repr__(self) -> str:  # a place in memory would differ from run to run
        return f"<{type(self).__name__} {self.name!r}>"

    def still(self) -> Still:
        """The picture, the words and the table that stand in for the widget."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its still figure is")

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values to hold when ``values`` are assigned.

        Raises
        ------
        ValueError
            For a value that the reader could not set either.
        """
        controls = self.spec.get("controls", [])
        return checked(controls, {**self.values, **values})

    @validate("values")
    def _check(self, proposal: Any) -> dict[str, Any]:
        try:
            return plain(self.check(proposal["value"]))
        except ValueError as refused:
            raise TraitError(str(refused)) from refused

    def page(self) -> str:
        """The widget as HTML: the still figure, and the state that a page's script starts from."""
        still = self.still()
        state = {
            "widget": self.kind,
            "bundle": assets.digest(self.kind),
            "name": self.name,
            "spec": self.spec,
            "values": self.values,
            "metadata": self.metadata,
            "modules": {k: base64.b64encode(v).decode() for k, v in self.modules.items()},
        }
        # Inside a script element a page looks for nothing but `<`.
        text = json.dumps(state, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        source = f"data:{still.mime};base64,{base64.b64encode(still.image).decode()}"
        return (
            f'<div class="ganlib-live" data-widget="{self.kind}" data-name="{self.name}">\n'
            f'<div class="ganlib-still"><img alt="{html.escape(still.alt)}" src="{source}">'
            f"<details><summary>Numbers</summary>{still.table}</details></div>\n"
            f'<script type="application/json" class="ganlib-state">{text}</script>\n'
            "</div>"
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, "text/html": self.page()}, metadata


def plain(value: Any) -> Any:
    """A deep copy that holds JSON values only: no tensor, no NaN, no tuple."""
    return json.loads(json.dumps(value, allow_nan=False))


def checked(controls: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of controls, checked against the controls' own limits.

    Parameters
    ----------
    controls
        Descriptions as in a widget's ``spec["controls"]``; ``value`` is the default.
    values
        Name of the control -> value; a control left out takes its default.

    Raises
    ------
    ValueError
        For a name that no control has, or a value outside a control's range.
    """
    names = [control["name"] for control in controls]
    for name in values:
        if name not in names:
            raise ValueError(
                f"there is no control {name!r}; there are {', '.join(names) or 'none'}"
            )
    return {
        control["name"]: _checked(control, values.get(control["name"], control["value"]))
        for control in controls
    }


def _checked(control: Mapping[str, Any], value: Any) -> Any:
    kind, name = control["kind"], control["name"]
    if kind in ("slider", "number"):
        lowest, highest = control["min"], control["max"]
        room = 1e-9 * max(abs(lowest), abs(highest))  # steps do not end exactly on the limit
        if _is_number(value) and lowest - room <= value <= highest + room:
            return float(min(max(value, lowest), highest))
        allowed = f"a number from {lowest:g} to {highest:g}"
    elif kind == "menu":
        options = control["options"]
        if _is_number(value) and value in range(len(options)):
            return int(value)
        numbered = ", ".join(f"{i} ({label})" for i, label in enumerate(options))
        allowed = f"the number of an option: {numbered}"
    elif kind == "switch":
        if value in (0, 1):
            return int(value)
        allowed = "True or False"
    else:  # a button counts; what it counts is a seed
        if _is_number(value) and value == int(value) and 0 <= value < 2**32:
            return int(value)
        allowed = "an integer from 0 to 4294967295"
    raise ValueError(f"{name} is {value!r}; set {allowed}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table: a caption, a header of each column, and of each row in its first cell."""

    def text(value: Any) -> str:
        return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))

    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    lines = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(value)}</td>" for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )
