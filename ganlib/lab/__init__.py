"""Torch functions for a page without a kernel, compiled to WebAssembly.

Three widgets, :class:`~ganlib.lab.gan.GanLab`, :class:`~ganlib.lab.digits.DigitsLab` and
:func:`~ganlib.lab.figure.interact`, live in Jupyter and in the published page alike. Imports run
downwards only::

    lessons          the command that counts what the laboratory's lessons claim
    figure, gan      what is shown: a figure over its controls; the laboratory for training
    digits           a GAN of pictures, with what it computes
    carried          a trained generator, small enough to travel: rounded, few directions
    laboratory       what GanLab computes, as one module: the step, its noise, the scores
    widget           Live: what widgets share: state, the still figure, the page's form of it
    assets           the scripts (*.js, live.css), joined to one bundle a kind of widget
    native           the same C as a shared library of this machine, for studies of many runs
    runtime          starts a module in Python, as runtime.js does in a browser: the same bits
    compiler         torch functions -> C (with runtime.c) -> one small module

Names load on first use. Compiling needs zig, Python's runs wasmtime, the widgets anywidget:
``pip install "ganlib[lab]"``.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Bars": "figure",
    "Carried": "carried",
    "Curve": "figure",
    "DigitsLab": "digits",
    "Field": "figure",
    "Figure": "figure",
    "GanLab": "gan",
    "Menu": "figure",
    "Noise": "figure",
    "Panel": "figure",
    "Points": "figure",
    "Slider": "figure",
    "Switch": "figure",
    "choose": "figure",
    "compile_functions": "compiler",
    "interact": "figure",
    "start": "runtime",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(
            f"module 'ganlib.lab' has no attribute {name!r}; its names are "
            f"{', '.join(sorted(_HOMES))}"
        )
    home = importlib.import_module(f"ganlib.lab.{_HOMES[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
