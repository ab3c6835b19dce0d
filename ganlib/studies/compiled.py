"""Members trained on the C of their step, one alone: no batch of members is as fast.

The functions are those of :class:`ganlib.lab.flat.FlatStep`, the noise is the module's, a function
of (seed, stream). So an ``exact`` run has the bits of the same module in a page.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganlib.draws import real_batches
from ganlib.game import Game
from ganlib.inspection import in_mode
from ganlib.lab import flat, native, runtime
from ganlib.lab.compiler.build import build
from ganlib.lab.compiler.module import Module
from ganlib.lab.runtime import Running
from ganlib.losses import non_saturating
from ganlib.optimisers import rate_at
from ganlib.studies.graph import Key, Source, flat_step, latents_in, module
from ganlib.studies.member import Member

__all__ = ["Draw", "by_module", "not_compiled", "philox", "starter"]

_CHECK_EVERY = 50  # steps between looks for NaN

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
    step, source = flat_step(member), Source(member)
    running = _running(Key(member, source), start)
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
    noise_d = {kind: one.inputs[kind] for kind in ("normal", "uniform")}
    noise_g = {"normal": noise_d["normal"][-latents_in(member) :]}
    mine = state[: sum(w.numel() for w in member.generator.parameters())]
    average, decay = mine.copy(), np.float32(training.average or 0)
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
        if training.average is not None:
            average += (1 - decay) * (mine - average)
        if (done + 1) % _CHECK_EVERY == 0 or done + 1 == steps:
            _refuse_nan(bool(np.isfinite(state).all()), done + 1)
    weights = step.weights(torch.from_numpy(state.copy()))
    if training.average is not None:
        mine[...] = average
        member.averaged.update(step.weights(torch.from_numpy(state.copy()))[0])
    # A weight with two names has one of them here.
    member.generator.load_state_dict(weights[0], strict=False)
    member.discriminator.load_state_dict(weights[1], strict=False)


def philox(running: Running, member: Member) -> Draw:
    """The module's own noise: each filling of a buffer is a stream of its own."""
    inputs, seed, stream = running.functions["discriminator"].inputs, member.seed, 0
    base = running._memory.ctypes.data
    fillings = []
    for kind in ("normal", "uniform"):
        running.draw(kind, inputs[kind], seed)  # once with all its checks, which take a while
        fillings.append((running._fill[kind], inputs[kind].ctypes.data - base, inputs[kind].size))

    def draw(name: str, _: dict[str, np.ndarray]) -> None:
        nonlocal stream
        if name == "discriminator":  # the generator's latents came with them
            for fill, place, size in fillings:
                fill(place, size, seed, stream)
                stream += 1

    return draw


@functools.lru_cache(maxsize=64)  # a library stays loaded anyway
def _running(key: Key, start: Callable[[Module], Running]) -> Running:
    return start(module(key.member))


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
