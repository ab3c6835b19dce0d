"""Alternating training: the readable loop.

:func:`fit` is algorithm 1 of the chapter `equilibrium`: k discriminator steps, one generator step,
taken in place (:func:`ganlib.step.in_place`). It differs from the loop of most tutorials only in
what it leaves out: gradients nobody uses, and one kernel call per parameter in the optimiser
(``make bench`` measures the difference).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from tqdm.auto import tqdm

from ganlib.batches import Batch, with_condition_of
from ganlib.checkpoint import Checkpoint, described, detached, digest
from ganlib.checks import check_count
from ganlib.draws import (
    Conditions,
    Data,
    Latents,
    Sampler,
    drawn_conditions,
    latents,
    placed,
    real_batches,
)
from ganlib.game import Game
from ganlib.inspection import call_with, in_mode, inspect_game
from ganlib.losses import Loss, non_saturating
from ganlib.optimisers import Adam, Optimiser, Rate
from ganlib.options import Option, averaged, past_generators, replay, simultaneous, unrolled
from ganlib.penalties import Penalty
from ganlib.run import History, InterruptBetweenSteps, Run, Watch
from ganlib.step import State, Step, in_place

__all__ = ["History", "Sampler", "fit", "sample"]

_CHECK_EVERY = 50  # steps between looks for NaN: each look waits for the device
_BAR_AFTER = 2.0  # seconds of work before a progress bar appears
_LOOKED_AT = 64  # samples and latents whose shape and range are compared before the first step


def sample(
    generator: nn.Module,
    count: int,
    *,
    seed: int = 0,
    latent: int | Latents | None = None,
    condition: Tensor | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Draw ``count`` samples from a generator, without gradients and in evaluation mode.

    Parameters
    ----------
    count
        How many, 1 or more.
    seed
        Of the latents: the same ones for each call with it.
    latent
        As for :func:`fit`: standard normal unless it is a function that draws.
    condition
        One a sample, (count, ...), for a generator that takes (z, y).
    weights
        Weights and buffers in place of the generator's own, by name: an average of them.

    Returns
    -------
    Samples (count, ...), where the generator is and in its dtype.

    Raises
    ------
    ValueError
        For another number of conditions than samples, or a latent whose shape cannot be read off.

    Examples
    --------
    >>> from ganlib.networks import mlp
    >>> generator = mlp(2, 8, 2)
    >>> sample(generator, 3).shape
    torch.Size([3, 2])
    >>> torch.equal(sample(generator, 3, seed=1), sample(generator, 3, seed=1))
    True
    """
    check_count(count, "count")
    call_with(generator, "generator", 1 if condition is None else 2)
    like = _a_weight(generator, "generator")
    z = latents(generator, latent, like)(count, torch.Generator("cpu").manual_seed(seed))
    if condition is not None and len(condition) != count:
        raise ValueError(
            f"there are {len(condition)} conditions for {count} samples; pass one each"
        )
    inputs = (z,) if condition is None else (z, placed(condition, like))
    with in_mode(False, generator), torch.no_grad():
        return functional_call(generator, dict(weights or {}), inputs)


def fit(
    generator: nn.Module,
    discriminator: nn.Module,
    data: Data,
    loss: Loss | None = None,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    discriminator_steps: int = 1,
    learning_rate: Rate | Sequence[Rate] = 1e-3,
    betas: Sequence[float] = (0.5, 0.999),
    epsilon: float = 1e-8,
    optimiser: Optimiser | tuple[Optimiser, Optimiser] | None = None,
    penalty: Penalty | None = None,
    clip: float | None = None,
    pack: int = 1,
    joined: bool = False,
    options: Sequence[Option] = (),
    autocast: torch.dtype | None = None,
    latent: int | Latents | None = None,
    conditions: Conditions | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    watch_every: int = 100,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    progress: bool | None = None,
) -> History:
    """Train a generator against a discriminator, in place.

    Parameters
    ----------
    generator
        From latents (N, ...) to samples shaped like the data; with a condition, from (z, y).
    discriminator
        From samples to one raw output each, (N, 1) or (N,): no sigmoid at its end. With a
        condition, from (x, y).
    data
        Samples (N, ...), drawn from with replacement, a pair (samples, conditions), or an object
        with ``sample(count, generator)`` that returns x or (x, y).
    loss
        The objective; :func:`ganlib.losses.non_saturating` where None.
    steps
        Generator steps; each is preceded by ``discriminator_steps`` (the k of algorithm 1).
    learning_rate
        Of Adam, for both players, or (generator, discriminator): numbers, or schedules of the
        steps done such as :func:`ganlib.optimisers.linear`.
    betas, epsilon
        Adam's constants (Kingma and Ba 2015), for both players.
    optimiser
        Another one (:mod:`ganlib.optimisers`) for both, or (generator's, discriminator's), in
        place of that Adam.
    penalty
        Added to the discriminator's loss: a function of (critic, real, fake) or
        (critic, real, fake, mix), such as ``weighted(10, gradient_penalty)``.
    clip
        Clamp the discriminator's weights to [-clip, clip] after each of its steps.
    pack, joined, autocast
        As for :class:`ganlib.game.Game`.
    options
        Functions from step to step (:mod:`ganlib.options`), the first one innermost.
    latent
        The latent size, or a function (count, torch.Generator) -> latents. Standard normal, of
        the shape that the generator's first layer takes, where None.
    conditions
        Draws the conditions of generated samples. Where None they are the data's: those of the
        real batch in the discriminator's step, those of a fresh one in the generator's.
    seed
        Seeds batches, latents, interpolation weights and torch's dropout. The initial weights are
        those of the networks given (:func:`ganlib.networks.mlp` has a seed of its own).
    watch
        Called with the number of steps done, at 0, every ``watch_every`` steps and at the end;
        returns named values, which land in :attr:`History.watched` as they are then. It runs with
        gradients off, both networks in evaluation mode, and may not disturb the run: modes and
        the random state are put back after it.
    checkpoint
        A file to save to every ``checkpoint_every`` steps, at the end, and after the step in
        which Ctrl-C was pressed. If it exists, training goes on from it, and ends where an
        uninterrupted run would have, bit for bit on one machine.
    progress
        Show a progress bar: True, False, or None for a bar once two seconds have passed.

    Returns
    -------
    History

    Raises
    ------
    ValueError, TypeError
        For a number out of range, data or networks that do not fit, a checkpoint of another run.
    FloatingPointError
        If a loss becomes NaN or infinite: the message gives the step and what to try.
    OSError
        If the checkpoint cannot be written.
    RuntimeError
        If another run wrote the checkpoint meanwhile, or in inference mode.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> generator, discriminator = mlp(2, 16, 2), mlp(2, 16, 1, seed=1)
    >>> history = fit(generator, discriminator, ring(), steps=20)
    >>> history.steps, history.generator_loss.shape
    (20, torch.Size([20]))
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "fit was called in inference mode, where nothing can be trained; call it outside the "
            "`with torch.inference_mode():` block"
        )
    for name, value in {
        "batch_size": batch_size, "discriminator_steps": discriminator_steps,
        "watch_every": watch_every, "checkpoint_every": checkpoint_every,
    }.items():  # fmt: skip
        check_count(value, name)
    check_count(steps, "steps", 0)
    game = Game(generator, discriminator, loss or non_saturating(), penalty, joined, pack, autocast)
    if game.symbols:
        raise ValueError(
            f"the loss has the symbols {', '.join(game.symbols)}; make it with numbers in their "
            "place, such as least_squares(0, 1, 1)"
        )
    like = _a_weight(generator, "generator")
    draw_real, draw_latent = real_batches(data, like), latents(generator, latent, like)
    adams = _adams(learning_rate, betas, epsilon, optimiser)
    one = in_place(game, adams, clip=float("inf") if clip is None else clip)
    looked_at = _first_look(game, one.initial(), draw_real, draw_latent, conditions, batch_size)
    one = _with_options(one, options)

    # One generator for batches and latents, one for the places of a penalty.
    rng, mixes = (torch.Generator("cpu").manual_seed(seed) for _ in range(2))
    run = Run(one.initial(), game, rng, mixes, like.device)
    if checkpoint is not None:
        settings = {
            "loss": described(game.loss), "penalty": described(penalty), "clip": clip, "pack": pack,
            "joined": joined, "batch_size": batch_size, "discriminator_steps": discriminator_steps,
            "optimisers": described(one.optimisers), "options": described(list(options)),
            "autocast": str(autocast), "dtype": str(like.dtype), "seed": seed,
            "other networks, generator": described(generator),
            "other networks, discriminator": described(discriminator),
            "data and latents": digest([looked_at, data if _is_tensors(data) else None]),
        }  # fmt: skip
        run.checkpoint = Checkpoint(checkpoint, settings)

    def of_fakes(real: Batch) -> Batch:
        """Latents for generated samples, with conditions where the data have them."""
        z = draw_latent(batch_size, rng)
        if conditions is None:
            return with_condition_of(real, z)
        return z, drawn_conditions(conditions, batch_size, rng, like)

    def places() -> Tensor | None:
        """Where a penalty looks, for one that is told."""
        if not game.takes_mix:
            return None
        drawn = torch.rand(batch_size // pack, generator=mixes, device="cpu", dtype=like.dtype)
        return drawn.to(like.device)

    fresh_condition = conditions is None and isinstance(looked_at[0], tuple)
    with _seeded(seed, like.device), torch.enable_grad():
        run.resume(steps, watch_every)
        if watch is not None and run.done == 0 and not run.history.watched_at:
            run.look(watch)
        started, first = time.perf_counter(), run.done
        bar = tqdm(
            total=steps, initial=run.done, disable=progress is False, leave=False,
            delay=0 if progress else _BAR_AFTER, unit="step", mininterval=0.5,
        )  # fmt: skip
        with (
            in_mode(True, generator, discriminator),
            closing(bar),
            InterruptBetweenSteps() as interrupt,
        ):
            state = run.state
            for done in range(run.done + 1, steps + 1):
                for _ in range(discriminator_steps):
                    real = draw_real(batch_size, rng)
                    state, fake = one.generate(state, of_fakes(real))
                    state, loss_d = one.discriminator(state, real, fake, places())
                if fresh_condition:
                    real = draw_real(batch_size, rng)
                state, loss_g = one.generator(state, of_fakes(real))

                run.state = state
                run.losses.append((loss_d, loss_g))
                bar.update()
                last = done == steps
                watching = watch is not None and (done % watch_every == 0 or last)
                if done % _CHECK_EVERY == 0 or last or watching:
                    run.settle_losses()
                if watch is not None and watching:
                    run.look(watch)
                if done % checkpoint_every == 0 or last or interrupt.asked:
                    run.save(time.perf_counter() - started)
                if interrupt.asked:
                    raise KeyboardInterrupt(f"stopped after step {done}")
        run.history.seconds += time.perf_counter() - started
        if run.done > first:
            run.refuse_diverged()
    kept = {name: value for name, value in run.state.extra.items() if name != "unrolled"}
    run.history.extra = detached(kept)  # less the last batch that unrolling looked at
    return run.history


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's own generators seeded inside, for dropout and penalties that draw from them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _a_weight(module: nn.Module, player: str) -> Tensor:
    """A weight, to say where the network is and in which precision."""
    for weight in module.parameters():
        return weight
    raise ValueError(
        f"the {player} has no weights to train: {type(module).__name__} has no parameters; give it "
        "a layer that learns"
    )


def _adams(
    learning_rate: Rate | Sequence[Rate],
    betas: Sequence[float],
    epsilon: float,
    optimiser: Any,
) -> Any:
    """The optimisers of both players: Adams of these constants, or those given in their place."""
    if optimiser is not None:
        if (learning_rate, tuple(betas), epsilon) != (1e-3, (0.5, 0.999), 1e-8):
            raise ValueError(
                "both an optimiser and the constants of Adam (learning_rate, betas, epsilon) were "
                "given; put the constants into the optimiser"
            )
        return optimiser
    several = isinstance(learning_rate, (Sequence, np.ndarray))
    rates: Any = list(learning_rate) if several else [learning_rate] * 2  # type: ignore[arg-type]
    if len(rates) != 2 or not hasattr(betas, "__len__") or len(betas) != 2:
        raise ValueError(
            f"learning_rate is {learning_rate} and betas are {betas}; pass one rate or a pair "
            "(generator's, discriminator's), and a pair of betas"
        )
    beta1, beta2 = betas
    return Adam(rates[0], beta1, beta2, epsilon), Adam(rates[1], beta1, beta2, epsilon)


def _is_tensors(data: Any) -> bool:
    return isinstance(data, (Tensor, tuple))


_MAKERS = (averaged, past_generators, replay, simultaneous, unrolled)


def _with_options(one: Step, options: Sequence[Option]) -> Step:
    if callable(options):
        raise TypeError("options is a function; pass a list, such as options=[averaged(0.999)]")
    for option in options:
        if option in _MAKERS:
            raise TypeError("an option was not called; call it first, such as averaged(0.999)")
        one = option(one)
        if not isinstance(one, Step):
            raise TypeError(f"the option {option!r} returned no step; return the step it changes")
    return one


def _first_look(
    game: Game,
    state: State,
    draw_real: Callable[[int, torch.Generator], Batch],
    draw_latent: Latents,
    conditions: Conditions | None,
    batch_size: int,
) -> tuple[Batch, Batch]:
    """A few real samples and latents, after both networks were looked at with them."""
    rng = torch.Generator("cpu").manual_seed(0)
    count = _LOOKED_AT * game.pack
    real, z = draw_real(count, rng), draw_latent(count, rng)
    latent = with_condition_of(real, z)
    if conditions is not None:
        if isinstance(real, Tensor):
            raise ValueError(
                "conditions were given, but the data have none; pass data as a pair (samples, "
                "conditions)"
            )
        latent = z, drawn_conditions(conditions, count, rng, z)
    inspect_game(game, state, real, latent, batch_size)
    return real, latent
