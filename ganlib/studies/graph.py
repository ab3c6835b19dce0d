"""What is compiled of a member: the two functions of a step, their noise and their real batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlib import data as data_of
from ganlib.draws import real_batches
from ganlib.lab import flat
from ganlib.lab.compiler.module import Module
from ganlib.lab.compiler.program import Program
from ganlib.losses import non_saturating
from ganlib.networks import latent_shape
from ganlib.studies.keys import facts
from ganlib.studies.member import Member, structure

__all__ = ["Key", "Source", "flat_step", "latents_in", "module"]

_AHEAD = 64  # batches of a sampler drawn at once
_ROWS = 2**20  # of a data set that a uniform float32 still picks from evenly


class Source:
    """Where the real batches of a compiled step come from.

    Rows of a tensor, or modes of a mixture, are picked in the module (``points``); of any other
    sampler they are drawn by torch, some batches ahead.
    """

    def __init__(self, member: Member) -> None:
        data: Any = member.data
        self.std = 0.0
        if isinstance(data, data_of.Mixture) and data._curve is None:
            data, self.std = data.centres, data.std
        elif isinstance(data, data_of.Samples):
            data = data.values
        picked = isinstance(data, Tensor) and len(data) <= _ROWS
        self.points = data.float().cpu() if picked else torch.zeros(0)
        self.picked = picked
        like = next(member.generator.parameters())
        rng = torch.Generator("cpu").manual_seed(0)
        row: Any = real_batches(member.data, like)(1, rng)
        self.shape = tuple(row.shape[1:])

    def batches(self, member: Member) -> Iterator[np.ndarray] | None:
        """The real batches that the module does not draw."""
        if self.picked:
            return None
        draw = real_batches(member.data, next(member.generator.parameters()))
        size, rng = member.training.batch_size, torch.Generator("cpu").manual_seed(member.seed)

        def blocks() -> Iterator[np.ndarray]:
            while True:
                block: Any = draw(_AHEAD * size, rng)
                yield from block.reshape(_AHEAD, size, *self.shape).numpy()

        return blocks()


class Key:
    """What a compiled step depends on; seeds and scalar settings do not count."""

    def __init__(self, member: Member, source: Source) -> None:
        self.member, training = member, member.training
        self.content = (
            structure(member), repr(facts([training.loss, training.penalty])), training.pack,
            training.batch_size, training.latent, training.unrolled,
            source.shape, source.std, source.picked, tuple(source.points.shape),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


def flat_step(member: Member) -> flat.FlatStep:
    training = member.training
    return flat.FlatStep(
        member.generator, member.discriminator, training.loss or non_saturating(),
        training.penalty, pack=training.pack, unrolled=training.unrolled,
    )  # fmt: skip


def module(member: Member) -> Module:
    """A member's step in C, without the WebAssembly that ``compiler.build.build`` makes of it.

    Two functions, ``discriminator`` and ``generator``. Their noise lies in two flat buffers, filled
    at once: a draw of a few numbers costs as much as one of many. Normal: the discriminator's
    latents, what blurs a mode, the generator's latents; uniform: what picks a row, the penalty's
    places.
    """
    step, source = flat_step(member), Source(member)
    training = member.training
    size, mixed = training.batch_size, member.game.takes_mix
    pairs = size // training.pack if mixed else 0
    latent = (size, *latent_shape(member.generator, _size(member)))
    shape = (size, *source.shape)
    many = latents_in(member)

    def taken(
        state: Tensor, real: Tensor, normal: Tensor, places: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        z = normal[:many].reshape(latent)
        done = step.discriminator_step(state, real, z, places[:pairs, None], settings)
        return {"state": done.state, "loss_d": done.loss}

    def picked(points: Tensor, normal: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        rows = (uniform[:size] * len(points)).long().clamp(max=len(points) - 1)
        real = points[rows]
        if source.std:
            real = real + source.std * normal[many:-many].reshape(shape)
        return real, uniform[size:]

    def picking(
        state: Tensor, points: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        real, places = picked(points, normal, uniform)
        return taken(state, real, normal, places, settings)

    def given(
        state: Tensor, real: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        return taken(state, real, normal, uniform, settings)

    def moved(state: Tensor, normal: Tensor, settings: Tensor, *seen: Tensor) -> dict[str, Tensor]:
        done = step.generator_step(state, normal[-many:].reshape(latent), settings, *seen)
        return {"state": done.state, "loss_g": done.loss}

    def generator(state: Tensor, normal: Tensor, settings: Tensor) -> dict[str, Tensor]:
        return moved(state, normal, settings)

    # A generator that looks ahead: buffers of one name are one, so the draws of the
    # discriminator's last step are still there.
    def ahead_picking(
        state: Tensor, points: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        real, places = picked(points, normal, uniform)
        return moved(state, normal, settings, real, places[:pairs, None])

    def ahead_given(
        state: Tensor, real: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        return moved(state, normal, settings, real, uniform[:pairs, None])

    state, numbers = step.initial(), flat.settings()
    normal = torch.zeros(2 * many + (math.prod(shape) if source.std else 0))
    uniform = torch.zeros(max(1, (size if source.picked else 0) + pairs))
    batch = source.points if source.picked else torch.zeros(shape)
    program = Program(noise=True, seldom=())
    first = picking if source.picked else given
    drawn = (state, batch, normal, uniform, numbers)
    program.add("discriminator", first, drawn)
    if training.unrolled:
        program.add("generator", ahead_picking if source.picked else ahead_given, drawn)
    else:
        program.add("generator", generator, (state, normal, numbers))
    return Module(b"", program.signatures, program.source())


def _size(member: Member) -> int | None:
    latent = member.training.latent
    return None if callable(latent) else latent


def latents_in(member: Member) -> int:
    """Numbers in a batch of latents."""
    shape = latent_shape(member.generator, _size(member))
    return member.training.batch_size * math.prod(shape)
