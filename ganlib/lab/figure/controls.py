"""What the reader of a live figure sets: sliders, menus, switches, noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlib.lab.figure.values import finite, require, text_of


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

    Examples
    --------
    >>> Slider(0.1, 10, log=True, label="step size").log
    True
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
        finite(min=self.min, max=self.max)
        require(self.min < self.max, f"min is {self.min} and max {self.max}; min lies below max")
        require(not self.log or self.min > 0, f"min is {self.min}; with log it must be above 0")
        if self.step is None:
            object.__setattr__(self, "step", _hundredth(self._length()))
        finite(step=self.step)
        require(
            self.step is not None and 0 < self.step <= self._length() * (1 + 1e-9),
            f"step is {self.step}; it lies above 0 and up to the range, {self._length():g}",
        )
        if self.value is None:
            object.__setattr__(self, "value", self._middle())
        finite(value=self.value)
        assert self.value is not None
        require(
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
        return f"{text_of(value)} {self.unit}".strip()


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

    Examples
    --------
    >>> Menu(["minimax", "hinge"], value=1).value
    1
    """

    options: Sequence[str] | Mapping[str, float]
    value: int = 0
    label: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        require(
            not isinstance(self.options, str) and len(self.options) > 0,
            f"options are {self.options!r}; give a list of texts, or a mapping of texts to numbers",
        )
        texts = list(self.options)
        require(
            all(isinstance(text, str) and text for text in texts) and len({*texts}) == len(texts),
            f"options are {texts}; they are different texts, none empty",
        )
        if isinstance(self.options, Mapping):
            finite(**self.options)
        require(
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

    Examples
    --------
    >>> Switch(True, label="alternating").value
    True
    """

    value: bool = False
    label: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        require(isinstance(self.value, bool), f"value is {self.value!r}; it is True or False")

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

    Examples
    --------
    >>> Noise((256, 2)).kind
    'normal'
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    value: int = 0
    label: str = "New sample"
    hint: str = ""

    def __post_init__(self) -> None:
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        object.__setattr__(self, "shape", shape)
        require(
            len(shape) > 0 and all(isinstance(n, int) and n > 0 for n in shape),
            f"shape is {self.shape}; give positive integers",
        )
        require(
            self.kind in ("normal", "uniform"), f"kind is {self.kind!r}; choose normal or uniform"
        )
        require(
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


def control_of(name: str, given: Any) -> Control:
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

    Examples
    --------
    >>> choose(torch.tensor(1), [torch.zeros(2), torch.ones(2)])
    tensor([1., 1.])
    """
    require(len(results) > 0, "there is nothing to choose from; pass one tensor an option")
    *others, chosen = results
    for i, result in reversed(list(enumerate(others))):
        chosen = torch.where(number == i, result, chosen)
    return chosen
