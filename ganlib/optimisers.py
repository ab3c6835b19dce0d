"""How a player moves: Adam, SGD with momentum, RMSProp, and rates that change.

An optimiser is a few constants and one rule, in two forms. ``updated`` is a pure function of
weights, slopes and slots, for a step that is mapped over seeds or compiled; ``update`` calls the
functional form of ``torch.optim``, in place and fused where torch can. Both are held to the
classes of ``torch.optim`` by a test. The constants stand in a state as ``settings``, so they may
be tensors, one for each of many runs, and may change while a run goes on.

``slots`` are named trees beside the weights: ``{"mean": {weight: tensor}, ...}``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from ganlib.checks import readable
from ganlib.pairs import root

__all__ = [
    "SGD", "Adam", "Optimiser", "RMSProp", "Rate", "Schedule", "at", "linear", "rate_at",
]  # fmt: skip

Tree = dict[str, Tensor]
Slots = dict[str, Tree]
Settings = Mapping[str, Any]
#: From steps done, a number or a tensor, to the value at the next step.
Schedule = Callable[[Any], Any]
#: A learning rate: a number, or a schedule.
Rate = float | Schedule


class Optimiser(Protocol):
    """What the drivers ask of an optimiser: :class:`Adam`, :class:`SGD`, :class:`RMSProp`.

    Examples
    --------
    >>> rule: Optimiser = SGD(0.1, momentum=0.9)
    >>> rule.settings["rate"], rule.slots
    (0.1, ('velocity',))
    """

    #: names of the tensors kept beside each weight
    slots: ClassVar[tuple[str, ...]]

    @property
    def rate(self) -> Rate: ...

    @property
    def settings(self) -> dict[str, float]:
        """The constants by name; ``rate`` among them, at step 0."""

    def updated(
        self, weights: Tree, slopes: Tree, slots: Slots, settings: Settings
    ) -> tuple[Tree, Slots]:
        """The weights and slots after a step, as new tensors."""

    def update(
        self, weights: list[Tensor], slopes: list[Tensor], slots: list[list[Tensor]],
        settings: Settings,
    ) -> None:  # fmt: skip
        """The same step in place; ``slots`` are lists in the order of the class's ``slots``."""


@dataclass(frozen=True)
class _Constants:
    """Constants of an optimiser, checked when it is made."""

    rate: Rate

    @property
    def settings(self) -> dict[str, float]:
        return {**asdict(self), "rate": rate_at(self.rate, 0)}

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            low, high, allowed = _RANGES[name]
            if not low <= value < high or (name == "epsilon" and value == 0):
                raise ValueError(f"{name} is {value}; it must be {allowed}")


_SHARE = (0.0, 1.0, "at least 0 and below 1")
_RANGES = {
    "rate": (0.0, math.inf, "0 or more, and finite: each player descends its own cost"),
    "beta1": _SHARE, "beta2": _SHARE, "momentum": _SHARE, "decay": _SHARE,
    "epsilon": (0.0, math.inf, "positive, and finite"),
}  # fmt: skip


@dataclass(frozen=True)
class Adam(_Constants):
    """Algorithm 1 of Kingma and Ba 2015; ``beta1`` is 0.5 as in DCGAN (Radford et al. 2016).

    Examples
    --------
    Its first step is as long as the rate, whatever the slope:

    >>> rule = Adam(0.001)
    >>> rest = {name: {"w": torch.tensor(0.0)} for name in rule.slots}
    >>> weights, slopes = {"w": torch.tensor(1.0)}, {"w": torch.tensor(200.0)}
    >>> settings = {name: torch.tensor(value) for name, value in rule.settings.items()}
    >>> after, slots = rule.updated(weights, slopes, rest, settings)
    >>> after["w"]
    tensor(0.9990)
    """

    rate: Rate = 1e-3
    beta1: float = 0.5
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("mean", "square", "count")

    def updated(
        self, weights: Tree, slopes: Tree, slots: Slots, settings: Settings
    ) -> tuple[Tree, Slots]:
        rate, beta1, beta2, epsilon = (settings[n] for n in ("rate", "beta1", "beta2", "epsilon"))
        new: Slots = {name: {} for name in self.slots}
        moved = {}
        for name, slope in slopes.items():
            count = slots["count"][name] + 1
            mean = beta1 * slots["mean"][name] + (1 - beta1) * slope
            square = beta2 * slots["square"][name] + (1 - beta2) * slope * slope
            # 1 - beta^count, without the cancellation at small count; right for beta = 0 too.
            part1, part2 = (-torch.expm1(count * beta.log()) for beta in (beta1, beta2))
            spread = root(square / part2)
            moved[name] = weights[name] - rate * (mean / part1) / (spread + epsilon)
            new["mean"][name], new["square"][name], new["count"][name] = mean, square, count
        return moved, new

    def update(
        self, weights: list[Tensor], slopes: list[Tensor], slots: list[list[Tensor]],
        settings: Settings,
    ) -> None:  # fmt: skip
        mean, square, count = slots
        adam(
            weights, slopes, mean, square, [], count, fused=weights[0].device.type != "meta",
            lr=settings["rate"], beta1=settings["beta1"], beta2=settings["beta2"],
            eps=settings["epsilon"], weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip


@dataclass(frozen=True)
class SGD(_Constants):
    """Gradient descent with heavy-ball momentum (Polyak 1964); no momentum by default.

    Examples
    --------
    >>> rule = SGD(0.1)
    >>> weights, slopes = {"w": torch.tensor(1.0)}, {"w": torch.tensor(2.0)}
    >>> rest = {"velocity": {"w": torch.tensor(0.0)}}
    >>> after, slots = rule.updated(weights, slopes, rest, rule.settings)
    >>> after["w"]  # 1 - 0.1 * 2
    tensor(0.8000)
    """

    rate: Rate = 1e-2
    momentum: float = 0.0
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def updated(
        self, weights: Tree, slopes: Tree, slots: Slots, settings: Settings
    ) -> tuple[Tree, Slots]:
        velocity = {
            name: settings["momentum"] * slots["velocity"][name] + slope
            for name, slope in slopes.items()
        }
        moved = {name: weights[name] - settings["rate"] * v for name, v in velocity.items()}
        return moved, {"velocity": velocity}

    def update(
        self, weights: list[Tensor], slopes: list[Tensor], slots: list[list[Tensor]],
        settings: Settings,
    ) -> None:  # fmt: skip
        (velocity,) = slots
        sgd(
            weights, slopes, list(velocity), lr=settings["rate"], momentum=settings["momentum"],
            weight_decay=0.0, dampening=0.0, nesterov=False, maximize=False, foreach=False,
        )  # fmt: skip


@dataclass(frozen=True)
class RMSProp(_Constants):
    """RMSProp (Tieleman and Hinton 2012), the optimiser of the first Wasserstein GAN.

    Examples
    --------
    Its first step divides by the root of (1 - 0.99) times the squared slope: ten rates long.

    >>> rule = RMSProp(0.001)
    >>> rest = {name: {"w": torch.tensor(0.0)} for name in rule.slots}
    >>> weights, slopes = {"w": torch.tensor(1.0)}, {"w": torch.tensor(200.0)}
    >>> after, slots = rule.updated(weights, slopes, rest, rule.settings)
    >>> after["w"]
    tensor(0.9900)
    """

    rate: Rate = 1e-3
    decay: float = 0.99
    epsilon: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("square", "count")

    def updated(
        self, weights: Tree, slopes: Tree, slots: Slots, settings: Settings
    ) -> tuple[Tree, Slots]:
        rate, decay, epsilon = (settings[n] for n in ("rate", "decay", "epsilon"))
        square = {
            name: decay * slots["square"][name] + (1 - decay) * slope * slope
            for name, slope in slopes.items()
        }
        moved = {
            name: weights[name] - rate * slope / (root(square[name]) + epsilon)
            for name, slope in slopes.items()
        }
        count = {name: value + 1 for name, value in slots["count"].items()}
        return moved, {"square": square, "count": count}

    def update(
        self, weights: list[Tensor], slopes: list[Tensor], slots: list[list[Tensor]],
        settings: Settings,
    ) -> None:  # fmt: skip
        square, count = slots
        rmsprop(
            weights, slopes, square, [], [], count, lr=settings["rate"], alpha=settings["decay"],
            eps=settings["epsilon"], weight_decay=0.0, momentum=0.0, centered=False, foreach=False,
        )  # fmt: skip


def at(settings: Settings, rate: Rate, done: Any) -> Settings:
    """The constants of the step after ``done`` ones: a schedule says the rate, else they do.

    Raises a ValueError where a schedule says a number that is no rate.

    Examples
    --------
    >>> at({"rate": 0.1, "momentum": 0.0}, linear(0.1, over=10), 5)["rate"]
    0.05
    """
    if not callable(rate):
        return settings
    now = rate(done)
    if (not isinstance(now, Tensor) or readable(now)) and not 0 <= now < math.inf:
        raise ValueError(
            f"the schedule {rate} says the rate {now} after {done} steps; it must be 0 or more, "
            "and finite"
        )
    return {**settings, "rate": now}


def rate_at(rate: Rate, done: Any) -> Any:
    """The rate after ``done`` steps: the number itself, or what the schedule says.

    Examples
    --------
    >>> rate_at(0.1, 7), rate_at(linear(0.1, over=10), 5)
    (0.1, 0.05)
    """
    return rate(done) if callable(rate) else rate


@dataclass(frozen=True)
class _Line:
    start: float
    end: float
    over: int
    after: int

    def __call__(self, done: Any) -> Any:
        way = (done - self.after) / (self.over - self.after)
        way = way.clamp(0, 1) if isinstance(way, Tensor) else min(max(way, 0.0), 1.0)
        return self.start + (self.end - self.start) * way


def linear(start: float, end: float = 0.0, *, over: int, after: int = 0) -> Schedule:
    """A schedule: ``start`` until step ``after``, then a line that reaches ``end`` at ``over``.

    A decay to 0 over the second half of 6,000 steps is ``linear(1e-3, over=6000, after=3000)``.

    Raises
    ------
    ValueError
        Unless 0 <= after < over, and both ends are finite and 0 or more.

    Examples
    --------
    >>> rate = linear(1e-3, over=6000, after=3000)
    >>> rate(0), rate(4500), rate(6000)
    (0.001, 0.0005, 0.0)
    """
    for value in (start, end):
        if not 0 <= value < math.inf:
            raise ValueError(
                f"a line from {start} to {end}; its ends must be 0 or more, and finite"
            )
    if not 0 <= after < over:
        raise ValueError(f"after is {after} and over is {over}; a line needs 0 <= after < over")
    return _Line(start, end, over, after)
