"""Members trained on the C of their step, one alone: no batch of members is as fast.

The functions are those of :class:`ganlib.lab.flat.FlatStep`, the noise is the module's, a function
of (seed, stream). So an ``exact`` run has the bits of the same module in a page.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganlib import data as data_of
from ganlib.draws import real_batches
from ganlib.game import Game
from ganlib.inspection import in_mode
from ganlib.lab import flat, native, runtime
from ganlib.lab.compiler.build import build
from ganlib.lab.compiler.module import Module
from ganlib.lab.compiler.program import Program
from ganlib.lab.runtime import Running
from ganlib.losses import non_saturating
from ganlib.networks import latent_shape
from ganlib.optimisers import rate_at
from ganlib.studies.keys import facts
from ganlib.studies.member import Member, structure

__all__ = ["Draw", "by_module", "module", "not_compiled", "philox", "starter"]

_CHECK_EVERY = 50  # steps between looks for NaN
_AHEAD = 64  # batches of a sampler drawn at once
_ROWS = 2**20  # of a data set that a uniform float32 still picks from evenly

#: (name of a function, its flat noise by kind) -> None: fills the noise before the function runs.
Draw = Callable[[str, dict[str, np.ndarray]], None]


def not_compiled(member: Member) -> str | None:
    """Why the compiled step cannot carry a member, or None."""
    training, both = member.training, (member.generator, member.discriminator)
    weights = [w for network in both for w in network.parameters()]
    if importlib.util.find_spec("ziglang") is None:
        return "ziglang is not installed"
    if any(True for network in both for _ in network.buffers()):
        return "a network keeps buffers"
    if any(w.dtype != torch.float32 or w.device.type != "cpu" for w in weights):
        return "the weights are not float32 on the CPU"
    if not all(w.requires_grad for w in weights):
        return "some weights are frozen"
    if any(isinstance(m, nn.modules.dropout._DropoutNd) for n in both for m in n.modules()):
        return "a network draws noise"
    for name in ("options", "optimiser", "autocast", "conditions"):
        if getattr(training, name):
            return f"{name}: not compiled"
    if callable(training.latent):
        return "latent: a function is not compiled"
    if not hasattr(training.loss or non_saturating(), "on_real"):
        return "the objective is no Loss"
    rng = torch.Generator("cpu").manual_seed(0)
    draw = real_batches(member.data, weights[0])
    some = [draw(training.batch_size, rng) for _ in range(2)]
    if not all(isinstance(batch, Tensor) for batch in some):
        return "the data have conditions"
    if not training.joined and _looks_across(member.game, *some):
        return "the discriminator looks across its batch"
    return None


def _looks_across(game: Game, *batches: Any) -> bool:
    """Whether the discriminator can tell a joined batch, which the flat step has, from two."""
    halves: list[Any] = [game.packed(batch) for batch in batches]
    with torch.no_grad(), in_mode(True, game.discriminator):
        apart = torch.cat([game.discriminator(half) for half in halves])
        together = game.discriminator(torch.cat(halves))
        return not torch.allclose(together, apart, 1e-3, 1e-4)


def by_module(
    member: Member,
    steps: int,
    start: Callable[[Module], Running],
    draw: Callable[[Running, Member], Draw] | None = None,
) -> None:
    """Train a member on its compiled step, in place.

    Parameters
    ----------
    start
        What runs a module: ``functools.partial(native.start, fast=True)``, or the runtime's.
    draw
        Where noise comes from; :func:`philox`, from the member's seed, where None.

    Raises
    ------
    NotImplementedError
        For a function that the compiler does not know.
    FloatingPointError
        If a weight becomes NaN or infinite.
    """
    training = member.training
    step, source = _flat(member), _Source(member)
    running = _running(_Key(member, source), start)
    fill = (draw or philox)(running, member)
    one, other = (running.functions[name] for name in ("discriminator", "generator"))
    state, numbers = one.inputs["state"], one.inputs["settings"]
    rates = training.rates
    first = [rate_at(rate, 0) for rate in rates]
    state[...] = step.initial().numpy()
    numbers[...] = flat.settings(
        learning_rate=(first[0], first[1]), betas=(training.betas[0], training.betas[1]),
        epsilon=training.epsilon, penalty=training.penalty_weight, clip=training.bound,
    ).numpy()  # fmt: skip
    if "points" in one.inputs:
        one.inputs["points"][...] = source.points.numpy()
    real = source.batches(member)
    noise_d = {kind: one.inputs[kind] for kind in ("normal", "uniform") if kind in one.inputs}
    noise_g = {"normal": other.inputs["normal2"]}
    changing = [place for place, rate in enumerate(rates) if callable(rate)]
    for done in range(steps):
        for place in changing:
            numbers[place] = rate_at(rates[place], done)
        for _ in range(training.discriminator_steps):
            fill("discriminator", noise_d)
            if real is not None:
                one.inputs["real"][...] = next(real)
            one.run()
        fill("generator", noise_g)
        other.run()
        if (done + 1) % _CHECK_EVERY == 0 or done + 1 == steps:
            _refuse_nan(bool(np.isfinite(state).all()), done + 1)
    weights = step.weights(torch.from_numpy(state.copy()))
    # A weight with two names has one of them here.
    member.generator.load_state_dict(weights[0], strict=False)
    member.discriminator.load_state_dict(weights[1], strict=False)


def philox(running: Running, member: Member) -> Draw:
    """The module's own noise: call n of a run fills its buffers from streams of their own."""
    stream = 0

    def draw(_: str, noise: dict[str, np.ndarray]) -> None:
        nonlocal stream
        for kind, array in noise.items():
            running.draw(kind, array, member.seed, stream)
            stream += 1

    return draw


class _Source:
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


class _Key:
    """What a compiled step depends on; seeds and scalar settings do not count."""

    def __init__(self, member: Member, source: _Source) -> None:
        self.member, training = member, member.training
        self.content = (
            structure(member), repr(facts([training.loss, training.penalty])), training.pack,
            training.batch_size, training.latent, source.shape, source.std, source.picked,
            tuple(source.points.shape),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


@functools.lru_cache(maxsize=64)  # a library stays loaded anyway
def _running(key: _Key, start: Callable[[Module], Running]) -> Running:
    return start(module(key.member))


def _flat(member: Member) -> flat.FlatStep:
    training = member.training
    return flat.FlatStep(
        member.generator, member.discriminator, training.loss or non_saturating(),
        training.penalty, pack=training.pack,
    )  # fmt: skip


def module(member: Member) -> Module:
    """A member's step in C, without the WebAssembly that ``compiler.build.build`` makes of it.

    Two functions, ``discriminator`` and ``generator``. Their noise lies in flat buffers: normal,
    the latents and then what blurs a mode; uniform, what picks a row and then the penalty's places.
    """
    step, source = _flat(member), _Source(member)
    training = member.training
    size, mixed = training.batch_size, member.game.takes_mix
    pairs = size // training.pack if mixed else 0
    latent = (size, *latent_shape(member.generator, _size(member)))
    shape = (size, *source.shape)
    many = math.prod(latent)

    def taken(
        state: Tensor, real: Tensor, normal: Tensor, places: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        z = normal[:many].reshape(latent)
        done = step.discriminator_step(state, real, z, places[:pairs, None], settings)
        return {"state": done.state, "loss_d": done.loss}

    def picking(
        state: Tensor, points: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        rows = (uniform[:size] * len(points)).long().clamp(max=len(points) - 1)
        real = points[rows]
        if source.std:
            real = real + source.std * normal[many:].reshape(shape)
        return taken(state, real, normal, uniform[size:], settings)

    def given(
        state: Tensor, real: Tensor, normal: Tensor, uniform: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        return taken(state, real, normal, uniform, settings)

    def generator(state: Tensor, normal2: Tensor, settings: Tensor) -> dict[str, Tensor]:
        done = step.generator_step(state, normal2.reshape(latent), settings)
        return {"state": done.state, "loss_g": done.loss}

    state, numbers = step.initial(), flat.settings()
    normal = torch.zeros(many + (math.prod(shape) if source.std else 0))
    uniform = torch.zeros(max(1, (size if source.picked else 0) + pairs))
    batch = source.points if source.picked else torch.zeros(shape)
    program = Program(noise=True, seldom=())
    first = picking if source.picked else given
    program.add("discriminator", first, (state, batch, normal, uniform, numbers))
    program.add("generator", generator, (state, torch.zeros(many), numbers))
    return Module(b"", program.signatures, program.source())


def _size(member: Member) -> int | None:
    latent = member.training.latent
    return None if callable(latent) else latent


def _refuse_nan(finite: bool, done: int) -> None:
    if not finite:
        raise FloatingPointError(
            f"training diverged: a weight is NaN or infinite after step {done}; lower the learning "
            "rate, or bound the discriminator with a penalty"
        )


def starter(engine: str) -> Callable[[Module], Running]:
    """How the engine ``exact`` or ``fast`` starts a module."""
    if engine == "fast":
        return _FAST
    return native.start if sys.platform == "linux" else _in_wasmtime


_FAST = functools.partial(native.start, fast=True)


def _in_wasmtime(module: Module) -> Running:
    """The same bits where no exact library can be linked."""
    return runtime.start(dataclasses.replace(module, wasm=build(module.source)))
