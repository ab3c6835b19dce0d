"""One member of a study: what a setting and a seed say, and the GAN that they make."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from ganlib.checkpoint import digest
from ganlib.draws import Conditions, Data, Latents
from ganlib.game import Game
from ganlib.losses import Loss, non_saturating
from ganlib.optimisers import Optimiser, Rate, Tree
from ganlib.options import Option, averaged, unrolled
from ganlib.penalties import Penalty, weighted
from ganlib.studies.keys import facts
from ganlib.training import History, fit

__all__ = [
    "SCALARS",
    "Make",
    "Member",
    "Training",
    "check",
    "made",
    "structure",
    "trained",
]

#: (seed, ...) -> generator, discriminator and data; its other arguments are settings.
Make = Callable[..., tuple[nn.Module, nn.Module, Data]]


@dataclass(frozen=True)
class Training:
    """The settings that say how a member trains: arguments of :func:`ganlib.training.fit`.

    ``penalty_weight`` multiplies the penalty; with ``average`` an exponential average of the
    generator's weights is measured too (:func:`ganlib.options.averaged`), with ``unrolled`` the
    generator looks so many steps ahead (:func:`ganlib.options.unrolled`). None anywhere is the
    default of ``fit``.
    """

    loss: Loss | None = None
    batch_size: int = 128
    discriminator_steps: int = 1
    learning_rate: Rate | Sequence[Rate] = 1e-3
    betas: Sequence[float] = (0.5, 0.999)
    epsilon: float = 1e-8
    optimiser: Optimiser | tuple[Optimiser, Optimiser] | None = None
    penalty: Penalty | None = None
    penalty_weight: float = 1.0
    clip: float | None = None
    pack: int = 1
    joined: bool = False
    options: Sequence[Option] = ()
    average: float | None = None
    unrolled: int = 0
    autocast: torch.dtype | None = None
    latent: int | Latents | None = None
    conditions: Conditions | None = None

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """The generator's and the discriminator's."""
        rates: Any = self.learning_rate
        return tuple(rates) if isinstance(rates, (list, tuple)) else (rates, rates)  # type: ignore[return-value]

    @property
    def all_options(self) -> list[Option]:
        """The options, with those of ``unrolled`` and ``average``."""
        ahead = [unrolled(self.unrolled)] if self.unrolled else []
        return [*self.options, *ahead, *([] if self.average is None else [averaged(self.average)])]

    @property
    def bound(self) -> float:
        """The clamp of the discriminator's weights; infinite where there is none."""
        return math.inf if self.clip is None else self.clip


_EVERY_MODULE_HAS = frozenset(vars(nn.Module()))

#: Settings that are numbers in a step's state, so members that differ in them share its graph.
SCALARS = ("learning_rate", "betas", "epsilon", "penalty_weight", "clip")


@dataclass(frozen=True)
class Member:
    """A GAN before its training, or after it."""

    generator: nn.Module
    discriminator: nn.Module
    data: Data
    training: Training
    seed: int
    #: the average of the generator's weights, once there is one
    averaged: Tree = field(default_factory=dict)

    @property
    def game(self) -> Game:
        """What is played; the penalty's weight is a setting of its step."""
        training = self.training
        loss = training.loss or non_saturating()
        return Game(
            self.generator, self.discriminator, loss, training.penalty, training.joined,
            training.pack, training.autocast,
        )  # fmt: skip


def check(make: Make, settings: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError, with the nearest right name, for a setting that nobody would read."""
    own = list(inspect.signature(make).parameters.values())[1:]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in own)
    names = [p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = {p.name for p in own if p.name in names and p.default is p.empty}
    known = [one.name for one in fields(Training)]
    both = sorted({*names} & {*known})
    if both:
        raise ValueError(
            f"make has the argument {both[0]}, which is a setting of the training; rename it"
        )
    for place, setting in enumerate(settings):
        for name in setting:
            if name in known or name in names or (open_ended and name != "seed"):
                continue
            nearest = difflib.get_close_matches(name, [*known, *names], 1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            if name == "seed":
                hint = "seeds are an argument of sweep. "
            raise ValueError(
                f"settings[{place}] has {name!r}; {hint}A setting is one of {', '.join(known)}, or "
                f"an argument of make ({', '.join(names) or 'it has no other than the seed'})"
            )
        if missing := sorted(needed - set(setting)):
            raise ValueError(f"settings[{place}] lacks {missing[0]}, which make needs")


def made(make: Make, setting: Mapping[str, Any], seed: int) -> Member:
    """The member of one setting and one seed, looked at by ``fit`` before it takes a step."""
    known = {one.name for one in fields(Training)}
    own = {name: value for name, value in setting.items() if name not in known}
    training = Training(**{name: value for name, value in setting.items() if name in known})
    parts = make(seed, **own)
    if not (isinstance(parts, tuple) and len(parts) == 3):
        raise TypeError(
            f"make returned a {type(parts).__name__}; it must return three things: a generator, a "
            "discriminator, and data"
        )
    member = Member(*parts, training, seed)
    trained(member, 0)
    return member


def trained(member: Member, steps: int) -> History:
    """Train a member with :func:`ganlib.training.fit`."""
    given = {one.name: getattr(member.training, one.name) for one in fields(Training)}
    weight = given.pop("penalty_weight")
    del given["average"], given["unrolled"]
    given["options"] = member.training.all_options
    if not weight >= 0:
        raise ValueError(f"penalty_weight is {weight}; it must be 0 or more")
    if given["penalty"] is not None:
        given["penalty"] = weighted(weight, given["penalty"])
    history = fit(
        member.generator, member.discriminator, member.data,
        steps=steps, seed=member.seed, progress=False, **given,
    )  # fmt: skip
    member.averaged.update(history.extra.get("averaged", {}))
    return history


def structure(member: Member) -> tuple[Any, ...]:
    """What of the networks stands in a graph: all but the values of weights and buffers."""
    both = (member.generator, member.discriminator)
    layers = [
        (type(layer), name, repr(facts([v for k, v in sorted(vars(layer).items())
                                       if k not in _EVERY_MODULE_HAS])))
        for network in both
        for name, layer in network.named_modules()
    ]  # fmt: skip
    # What is frozen stays in the graph with its values.
    weights = [
        (weight.shape, weight.requires_grad or digest(weight))
        for network in both
        for weight in network.parameters()
    ]
    return (*layers, *weights)
