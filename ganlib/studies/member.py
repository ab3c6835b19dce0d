"""One member of a study: what a setting and a seed say, and the GAN that they make."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from ganlib.checkpoint import described
from ganlib.draws import Conditions, Data, Latents
from ganlib.game import Game
from ganlib.losses import Loss, non_saturating
from ganlib.optimisers import Optimiser, Rate
from ganlib.options import Option
from ganlib.penalties import Penalty, weighted
from ganlib.training import History, fit

__all__ = ["SCALARS", "Make", "Member", "Training", "check", "code", "made", "plainly", "trained"]

#: (seed, ...) -> generator, discriminator and data; its other arguments are settings.
Make = Callable[..., tuple[nn.Module, nn.Module, Data]]


@dataclass(frozen=True)
class Training:
    """The settings that say how a member trains: arguments of :func:`ganlib.training.fit`.

    ``penalty_weight`` multiplies the penalty; None anywhere is the default of ``fit``.
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
    autocast: torch.dtype | None = None
    latent: int | Latents | None = None
    conditions: Conditions | None = None

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """The generator's and the discriminator's."""
        rates: Any = self.learning_rate
        return tuple(rates) if isinstance(rates, (list, tuple)) else (rates, rates)  # type: ignore[return-value]

    @property
    def bound(self) -> float:
        """The clamp of the discriminator's weights; infinite where there is none."""
        return math.inf if self.clip is None else self.clip


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
    known = [field.name for field in fields(Training)]
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
    known = {field.name for field in fields(Training)}
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
    given = {field.name: getattr(member.training, field.name) for field in fields(Training)}
    weight = given.pop("penalty_weight")
    if not weight >= 0:
        raise ValueError(f"penalty_weight is {weight}; it must be 0 or more")
    if given["penalty"] is not None:
        given["penalty"] = weighted(weight, given["penalty"])
    return fit(
        member.generator, member.discriminator, member.data,
        steps=steps, seed=member.seed, progress=False, **given,
    )  # fmt: skip


def plainly(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as JSON can hold it: what is neither number nor word is described."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        if isinstance(value, Loss):
            return f"{value.name}({digits(repr(value))})"
        return code(value) if callable(value) else described(value)

    return {name: plain(setting[name]) for name in sorted(setting)}


def code(function: Any) -> str:
    """A function's name, with digits that change with its code and with what it closes over."""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name}({digits(described(function) + repr(_bytes(function)))})"


def _bytes(function: Any) -> list[Any]:
    body = function if isinstance(function, types.CodeType) else getattr(function, "__code__", None)
    if body is None:
        return []
    inner = [_bytes(c) if isinstance(c, types.CodeType) else repr(c) for c in body.co_consts]
    # The order of a set of strings is chance.
    plain = [c for c in inner if not (isinstance(c, str) and c.startswith("frozenset"))]
    return [body.co_code, body.co_names, plain]


def digits(text: str) -> str:
    """Twelve hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_json(value: Any) -> str:
    """One line of JSON, the same for the same value."""
    return json.dumps(value, sort_keys=True)
