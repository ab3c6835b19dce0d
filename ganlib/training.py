"""Alternating training: the readable loop.

:func:`fit` is algorithm 1 of the chapter `the-game`: k discriminator steps, one generator step,
taken in place (:func:`ganlib.step.in_place`). It differs from the loop of most tutorials only in
what it leaves out: gradients nobody uses, and one kernel call per parameter in the optimiser
(``make bench`` measures the difference).
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map
from tqdm.auto import tqdm

from ganlib import step as steps_of
from ganlib.checkpoint import Checkpoint, described, detached, digest, plain, unplain
from ganlib.draws import Conditions, Data, Latents, Sampler, latents, real_batches
from ganlib.game import Game, same_condition
from ganlib.inspection import in_mode, inspect_game
from ganlib.losses import Loss, non_saturating
from ganlib.optimisers import Adam, Optimiser, Rate
from ganlib.options import Option
from ganlib.penalties import Batch, Penalty
from ganlib.step import State

__all__ = ["History", "Sampler", "fit", "sample"]

_CHECK_EVERY = 50  # steps between looks for NaN: each look waits for the device
_BAR_AFTER = 2.0  # seconds of work before a progress bar appears
_LOOKED_AT = 64  # samples and latents whose shape and range are compared before the first step

Watch = Callable[[int], Mapping[str, Any]]


@dataclass
class History:
    """What happened in a run of :func:`fit`.

    Attributes
    ----------
    discriminator_loss, generator_loss
        One value a generator step, shape (steps,). With several discriminator steps the last
        one counts; the penalty is included.
    watched_at, watched
        The steps at which ``watch`` was called, and what it returned, by name.
    seconds
        Wall time spent in training, watching included, over all resumed parts.
    extra
        What the options kept (:mod:`ganlib.options`), such as ``extra["averaged"]``.
    """

    discriminator_loss: Tensor = field(default_factory=lambda: torch.empty(0, device="cpu"))
    generator_loss: Tensor = field(default_factory=lambda: torch.empty(0, device="cpu"))
    watched_at: list[int] = field(default_factory=list)
    watched: dict[str, list[Any]] = field(default_factory=dict)
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Generator steps done."""
        return len(self.generator_loss)


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
    latent
        As for :func:`fit`: standard normal unless it is a function that draws.
    condition
        One a sample, (count, ...), for a generator that takes (z, y).
    weights
        Weights and buffers in place of the generator's own, by name: an average of them.
    """
    like = _a_weight(generator, "generator")
    z = latents(generator, latent, like)(count, torch.Generator("cpu").manual_seed(seed))
    if condition is not None and len(condition) != count:
        raise ValueError(
            f"there are {len(condition)} conditions for {count} samples; pass one each"
        )
    inputs = (z,) if condition is None else (z, condition.to(like.device))
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
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "fit was called in inference mode, where nothing can be trained; call it outside the "
            "`with torch.inference_mode():` block"
        )
    _check_counts(
        steps=steps, batch_size=batch_size, discriminator_steps=discriminator_steps,
        watch_every=watch_every, checkpoint_every=checkpoint_every,
    )  # fmt: skip
    loss = non_saturating() if loss is None else loss
    game = Game(generator, discriminator, loss, penalty, joined, pack, autocast)
    optimisers = _adams(learning_rate, betas, epsilon) if optimiser is None else optimiser
    like = _a_weight(generator, "generator")
    draw_real, draw_latent = real_batches(data, like), latents(generator, latent, like)
    one = steps_of.in_place(game, optimisers, clip=float("inf") if clip is None else clip)
    looked_at = _first_look(game, one.initial(), draw_real, draw_latent, conditions, batch_size)
    for option in options:
        one = option(one)

    # One generator for batches and latents, one for the places of a penalty.
    rng, mixes = (torch.Generator("cpu").manual_seed(seed) for _ in range(2))
    run = _Run(one.initial(), game, rng, mixes, like.device)
    if checkpoint is not None:
        settings = {
            "loss": repr(loss), "penalty": described(penalty), "clip": clip, "pack": pack,
            "joined": joined, "batch_size": batch_size, "discriminator_steps": discriminator_steps,
            "optimisers": described(one.optimisers), "options": described(list(options)),
            "autocast": str(autocast), "dtype": str(like.dtype), "seed": seed,
            "other networks, generator": repr(generator),
            "other networks, discriminator": repr(discriminator),
            "data and latents": digest(looked_at),
        }  # fmt: skip
        run.checkpoint = Checkpoint(checkpoint, settings)

    def of_fakes(real: Batch) -> Batch:
        """Latents for generated samples, with conditions where the data have them."""
        z = draw_latent(batch_size, rng)
        if conditions is None or isinstance(real, Tensor):
            return same_condition(z, real)
        return z, conditions(batch_size, rng).to(like.device)

    def places() -> Tensor | None:
        """Where a penalty looks, for one that is told."""
        if not game.takes_mix:
            return None
        drawn = torch.rand(batch_size // pack, generator=mixes, device="cpu", dtype=like.dtype)
        return drawn.to(like.device)

    conditional = isinstance(looked_at[0], tuple)
    with _seeded(seed, like.device), torch.enable_grad():
        run.resume(steps, watch_every)
        if watch is not None and run.done == 0 and not run.history.watched_at:
            run.look(watch)
        started = time.perf_counter()
        bar = tqdm(
            total=steps, initial=run.done, disable=progress is False, leave=False,
            delay=0 if progress else _BAR_AFTER, unit="step", mininterval=0.5,
        )  # fmt: skip
        conditional = isinstance(looked_at[0], tuple)
        with (
            in_mode(True, generator, discriminator),
            closing(bar),
            _InterruptBetweenSteps() as interrupt,
        ):
            state = run.state
            for done in range(run.done + 1, steps + 1):
                for _ in range(discriminator_steps):
                    real = draw_real(batch_size, rng)
                    state, fake = one.generate(state, of_fakes(real))
                    state, loss_d = one.discriminator(state, real, fake, places())
                other = draw_real(batch_size, rng) if conditional and conditions is None else real
                state, loss_g = one.generator(state, of_fakes(other))

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
    run.history.extra = detached(run.state.extra)
    return run.history


class _InterruptBetweenSteps:
    """Holds Ctrl-C (or the kernel's stop button) back until the step under way is whole.

    A checkpoint taken half-way through a step would not continue as the uninterrupted run does.
    """

    asked = False

    def __enter__(self) -> _InterruptBetweenSteps:
        self._previous: Any = None
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        if self.asked:  # a second time: stop at once
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)


class _Run:
    """A run as it stands: all that a checkpoint has to hold."""

    def __init__(
        self,
        state: State,
        game: Game,
        rng: torch.Generator,
        mixes: torch.Generator,
        device: torch.device,
    ) -> None:
        self.state = state
        self.game = game
        self.generators = (rng, mixes)
        self.device = device
        self.history = History()
        self.losses: list[tuple[Tensor, Tensor]] = []  # steps whose values nobody has read yet
        self.checkpoint: Checkpoint | None = None

    @property
    def done(self) -> int:
        return self.history.steps + len(self.losses)

    def settle_losses(self) -> None:
        """Move the collected losses into the history; raise if one of them is not finite."""
        if not self.losses:
            return
        fresh = torch.stack([torch.stack(pair) for pair in self.losses]).cpu()
        first = self.history.steps
        bad = (~torch.isfinite(fresh)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            player = ("discriminator", "generator")[column]
            raise FloatingPointError(
                f"training diverged: the {player} loss is {fresh[row, column].item()} at step "
                f"{first + row + 1}; lower the learning rate, or bound the discriminator with a "
                "penalty (penalty=ganlib.penalties.r1)"
            )
        history = self.history
        history.discriminator_loss = torch.cat([history.discriminator_loss, fresh[:, 0]])
        history.generator_loss = torch.cat([history.generator_loss, fresh[:, 1]])
        self.losses = []

    def look(self, watch: Watch) -> None:
        global_states = _global_states(self.device)
        with in_mode(False, self.game.generator, self.game.discriminator), torch.no_grad():
            values = watch(self.done)
        _set_global_states(global_states, self.device)
        self.history.watched_at.append(self.done)
        for name, value in values.items():
            if self.checkpoint is not None:
                plain(value, name)  # refused now, not after hours of training
            self.history.watched.setdefault(name, []).append(detached(value))

    def save(self, seconds: float) -> None:
        if self.checkpoint is None:
            return
        self.settle_losses()
        history = {**asdict(self.history), "seconds": self.history.seconds + seconds, "extra": {}}
        history["watched"] = {
            name: [plain(v, name) for v in values] for name, values in self.history.watched.items()
        }
        self.checkpoint.save({
            "networks": [m.state_dict() for m in (self.game.generator, self.game.discriminator)],
            "slots": [p.slots for p in (self.state.generator, self.state.discriminator)],
            "extra": self.state.extra,
            "random": [g.get_state() for g in self.generators],
            "global": _global_states(self.device),
            "history": history,
        })  # fmt: skip

    def resume(self, steps: int, watch_every: int) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        content = self.checkpoint.load()
        for module, saved in zip(
            (self.game.generator, self.game.discriminator), content["networks"], strict=True
        ):
            module.load_state_dict(saved)
        for player, slots in zip(
            (self.state.generator, self.state.discriminator), content["slots"], strict=True
        ):
            tree_map(lambda mine, theirs: mine.copy_(theirs), player.slots, slots)
        for generator, state in zip(self.generators, content["random"], strict=True):
            generator.set_state(state)
        _set_global_states(content["global"], self.device)
        history = History(**content["history"])
        history.watched = {
            name: [unplain(v) for v in values] for name, values in history.watched.items()
        }
        extra = tree_map(
            lambda v: v.to(self.device) if isinstance(v, Tensor) else v, content["extra"]
        )
        self.history = history
        self.state = self.state._replace(done=history.steps, extra=extra)
        if history.steps >= steps:
            warnings.warn(
                f"{self.checkpoint.path} holds {history.steps} steps and steps={steps} asks for no "
                "more: nothing was trained, the networks have the weights of the file. Ask for "
                "more steps, or name another file",
                stacklevel=3,
            )
        elif history.watched_at and history.watched_at[-1] % watch_every:
            # The look at the end of the shorter run; the uninterrupted one would not have taken it.
            history.watched_at.pop()
            for values in history.watched.values():
                values.pop()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's own generators seeded inside, for dropout and penalties that draw from them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _global_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_global_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def _a_weight(module: nn.Module, player: str) -> Tensor:
    """A weight, to say where the network is and in which precision."""
    for weight in module.parameters():
        return weight
    raise ValueError(
        f"the {player} has no weights to train: {type(module).__name__} has no parameters; give it "
        "a layer that learns"
    )


def _adams(
    learning_rate: Rate | Sequence[Rate], betas: Sequence[float], epsilon: float
) -> tuple[Adam, Adam]:
    several = isinstance(learning_rate, (list, tuple))
    rates: Sequence[Any] = learning_rate if several else [learning_rate] * 2  # type: ignore[assignment]
    if len(rates) != 2 or len(betas) != 2:
        raise ValueError(
            f"learning_rate is {learning_rate} and betas are {betas}; pass one rate or a pair "
            "(generator's, discriminator's), and a pair of betas"
        )
    beta1, beta2 = betas
    return Adam(rates[0], beta1, beta2, epsilon), Adam(rates[1], beta1, beta2, epsilon)


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
    latent = same_condition(z, real)
    if conditions is not None and not isinstance(real, Tensor):
        latent = z, conditions(count, rng).to(z.device)
    inspect_game(game, state, real, latent, batch_size)
    return real, latent


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        least = 0 if name == "steps" else 1
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} is {value}; it must be an integer of {least} or more")
