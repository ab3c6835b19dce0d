"""A live figure from a small torch function: sliders, menus and buttons call the compiled code.

>>> from ganlib import lab
>>> x = torch.linspace(-4, 4, 201)
>>> def figure(mean, wide):
...     scale = torch.where(wide, 2.0, 1.0)
...     return {"q": lab.Curve(x, torch.exp(-(((x - mean) / scale) ** 2) / 2), role="fake")}
>>> lab.interact(figure, lab.Figure(alt="A bell curve."), mean=(-2, 2), wide=False)
"""

from __future__ import annotations

from ganlib.lab.figure.controls import Menu, Noise, Slider, Switch, choose
from ganlib.lab.figure.items import Bars, Curve, Field, Points
from ganlib.lab.figure.panels import Figure, Panel
from ganlib.lab.figure.widget import Interact, interact

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
