"""Alternating training: the readable loop.

:func:`fit` is algorithm 1 of the chapter `the-game`: k discriminator steps, one generator step.
It differs from the loop of most tutorials only in what it leaves out: gradients nobody uses,
and one kernel call per parameter in the optimiser (``make bench`` measures the difference).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from tqdm.auto import tqdm

from ganlib.losses import Loss, non_saturating
from ganlib.networks import latent_size
from ganlib.penalties import clip_weights

__all__ = ["History", "Sampler", "fit", "sample"]

_CHECK_EVERY = 50  # steps between looks for NaN: each look waits for the device
_BAR_AFTER = 2.0  # seconds of work before a progress bar appears


class Sampler(Protocol):
    """Anything that draws a batch: the data sets of :mod:`ganlib.data`, or your own."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor: ...


Latents = Callable[[int, torch.Generator], Tensor]
Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]
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
    """

    discriminator_loss: Tensor = field(default_factory=lambda: torch.empty(0))
    generator_loss: Tensor = field(default_factory=lambda: torch.empty(0))
    watched_at: list[int] = field(default_factory=list)
    watched: dict[str, list[Any]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Generator steps done."""
        return len(self.generator_loss)


def sample(
    generator: nn.Module, count: int, *, seed: int = 0, latent: int | Latents | None = None
) -> Tensor:
    """Draw ``count`` samples from a generator, without gradients and in evaluation mode.

    The latents are standard normal unless ``latent`` is a function that draws them.
    """
    draw = _latents(generator, latent)
    parameter = next(generator.parameters())
    z = draw(count, torch.Generator().manual_seed(seed)).to(parameter.device, parameter.dtype)
    was_training = generator.training
    generator.eval()
    with torch.no_grad():
        samples = generator(z)
    generator.train(was_training)
    return samples


def fit(
    generator: nn.Module,
    discriminator: nn.Module,
    data: Tensor | Sampler,
    loss: Loss | None = None,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    discriminator_steps: int = 1,
    learning_rate: float | tuple[float, float] = 1e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    epsilon: float = 1e-8,
    penalty: Penalty | None = None,
    clip: float | None = None,
    latent: int | Latents | None = None,
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
        From latents (N, latent) to samples shaped like the data.
    discriminator
        From samples to one raw output each, (N, 1) or (N,): no sigmoid at its end.
    data
        Samples (N, ...), drawn from with replacement, or an object with
        ``sample(count, generator)``.
    loss
        The objective; :func:`ganlib.losses.non_saturating` where None.
    steps
        Generator steps; each is preceded by ``discriminator_steps`` (the k of algorithm 1).
    learning_rate
        Of Adam, for both players, or (generator, discriminator).
    betas, epsilon
        Adam's constants (Kingma and Ba 2015), for both players.
    penalty
        Added to the discriminator's loss: called with (discriminator, real, fake).
    clip
        Clamp the discriminator's weights to [-clip, clip] after each of its steps.
    latent
        The latent size, or a function (count, torch.Generator) -> latents. Standard normal, of
        the width of the generator's first linear layer, where None.
    seed
        Seeds batches, latents, interpolation weights and dropout. The initial weights are those
        of the networks given (:func:`ganlib.networks.mlp` has a seed of its own).
    watch
        Called with the number of steps done, at 0, every ``watch_every`` steps and at the end;
        returns named values, which land in :attr:`History.watched`. It runs with gradients off
        and may not disturb the run: the random state is put back after it.
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
    ValueError
        For a number out of range, data of the wrong shape, or a checkpoint of other settings.
    FloatingPointError
        If a loss becomes NaN or infinite: the message gives the step and what to try.
    """
    loss = non_saturating() if loss is None else loss
    _check_settings(steps, batch_size, discriminator_steps, clip, watch_every, checkpoint_every)
    rate_g, rate_d = (
        learning_rate if isinstance(learning_rate, tuple) else (learning_rate, learning_rate)
    )
    place = next(generator.parameters())
    draw_real = _real_batches(data, place)
    draw_latent = _latents(generator, latent)
    _check_shapes(generator, discriminator, draw_real, draw_latent, place)

    adam_g = _Adam(generator, rate_g, betas, epsilon)
    adam_d = _Adam(discriminator, rate_d, betas, epsilon)
    rng = torch.Generator().manual_seed(seed)
    run = _Run(generator, discriminator, adam_g, adam_d, rng)
    settings = {
        "loss": repr(loss), "batch_size": batch_size, "discriminator_steps": discriminator_steps,
        "learning_rate": [rate_g, rate_d], "betas": list(betas), "epsilon": epsilon,
        "clip": clip, "seed": seed,
    }  # fmt: skip

    def latents() -> Tensor:
        return draw_latent(batch_size, rng).to(place.device, place.dtype)

    cuda = [place.device] if place.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)  # dropout and penalties draw from the global generator
        if checkpoint is not None and Path(checkpoint).exists():
            run.load(Path(checkpoint), settings)
        first = run.done
        if watch is not None and first == 0 and not run.history.watched_at:
            run.look(watch)
        started = time.perf_counter()
        bar = tqdm(
            total=steps, initial=first, disable=progress is False, leave=False,
            delay=0 if progress else _BAR_AFTER, unit="step", mininterval=0.5,
        )  # fmt: skip
        generator.train()
        discriminator.train()
        with closing(bar), _InterruptBetweenSteps() as interrupt:
            for done in range(first + 1, steps + 1):
                for _ in range(discriminator_steps):
                    real = draw_real(batch_size, rng)
                    with torch.no_grad():
                        fake = generator(latents())
                    loss_d = loss.discriminator(discriminator(real), discriminator(fake))
                    if penalty is not None:
                        loss_d = loss_d + penalty(discriminator, real, fake)
                    adam_d.descend(loss_d)
                    if clip is not None:
                        clip_weights(discriminator, clip)
                loss_g = loss.generator(discriminator(generator(latents())))
                adam_g.descend(loss_g)

                run.losses.append((loss_d.detach(), loss_g.detach()))
                bar.update()
                last = done == steps
                watching = watch is not None and (done % watch_every == 0 or last)
                if done % _CHECK_EVERY == 0 or last or watching:
                    run.settle_losses()
                if watch is not None and watching:
                    run.look(watch)
                if checkpoint is not None and (
                    done % checkpoint_every == 0 or last or interrupt.asked
                ):
                    run.save(Path(checkpoint), settings, time.perf_counter() - started)
                if interrupt.asked:
                    raise KeyboardInterrupt(f"stopped after step {done}")
        run.history.seconds += time.perf_counter() - started
    return run.history


class _Adam:
    """Adam on one network (Kingma and Ba 2015), by torch's own fused kernel.

    ``torch.optim.Adam.step`` spends more time in Python than in that kernel when a network is
    small; calling the functional form directly is what remains.
    """

    def __init__(
        self, module: nn.Module, rate: float, betas: tuple[float, float], epsilon: float
    ) -> None:
        self.weights: list[Tensor] = [
            weight for weight in module.parameters() if weight.requires_grad
        ]
        self.mean = [torch.zeros_like(weight) for weight in self.weights]
        self.square = [torch.zeros_like(weight) for weight in self.weights]
        device = self.weights[0].device
        self.steps = [torch.zeros((), device=device) for _ in self.weights]
        self.constants: dict[str, Any] = {
            "lr": rate, "beta1": betas[0], "beta2": betas[1], "eps": epsilon,
            "weight_decay": 0.0, "amsgrad": False, "maximize": False,
        }  # fmt: skip

    def descend(self, loss: Tensor) -> None:
        # Gradients for these weights alone: the other player's are never computed, nor zeroed.
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            adam(
                self.weights, list(gradients), self.mean, self.square, [], self.steps,
                fused=True, **self.constants,
            )  # fmt: skip

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, list[Tensor]]) -> None:
        for name, values in self.state_dict().items():
            for mine, saved in zip(values, state[name], strict=True):
                mine.copy_(saved)


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
    """The state of a run: all that a checkpoint has to hold."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        adam_g: _Adam,
        adam_d: _Adam,
        rng: torch.Generator,
    ) -> None:
        self.parts: dict[str, Any] = {
            "generator": generator,
            "discriminator": discriminator,
            "adam_g": adam_g,
            "adam_d": adam_d,
        }
        self.rng = rng
        self.history = History()
        self.losses: list[tuple[Tensor, Tensor]] = []  # steps whose values nobody has read yet

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
                "penalty (ganlib.penalties.r1)"
            )
        history = self.history
        history.discriminator_loss = torch.cat([history.discriminator_loss, fresh[:, 0]])
        history.generator_loss = torch.cat([history.generator_loss, fresh[:, 1]])
        self.losses = []

    def look(self, watch: Watch) -> None:
        state = torch.get_rng_state()
        with torch.no_grad():
            values = watch(self.done)
        torch.set_rng_state(state)
        for part in ("generator", "discriminator"):
            self.parts[part].train()
        self.history.watched_at.append(self.done)
        for name, value in values.items():
            self.history.watched.setdefault(name, []).append(value)

    def save(self, path: Path, settings: dict[str, Any], seconds: float) -> None:
        """Write beside the file, then rename: a half-written checkpoint never has its name."""
        self.settle_losses()
        content = {
            "settings": settings,
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "rng": self.rng.get_state(),
            "global_rng": torch.get_rng_state(),
            "history": {**vars(self.history), "seconds": self.history.seconds + seconds},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(content, partial)
        os.replace(partial, path)

    def load(self, path: Path, settings: dict[str, Any]) -> None:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{path} is not a checkpoint of fit ({type(error).__name__}); delete it, or name "
                "another file"
            ) from error
        differing = {
            name: (content["settings"].get(name), value)
            for name, value in settings.items()
            if content["settings"].get(name) != value
        }
        if differing:
            name, (theirs, ours) = next(iter(differing.items()))
            raise ValueError(
                f"{path} was written by a run with {name} = {theirs}, this run has {ours}; "
                "use the same settings to go on with it, or name another file"
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(content["parts"][name])
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{path} holds other networks than these; name another file, or build the "
                f"networks as that run did ({str(error).splitlines()[-1].strip()})"
            ) from error
        self.rng.set_state(content["rng"])
        torch.set_rng_state(content["global_rng"])
        self.history = History(**content["history"])


def _real_batches(
    data: Tensor | Sampler, place: Tensor
) -> Callable[[int, torch.Generator], Tensor]:
    if isinstance(data, Tensor):
        if data.ndim < 2 or len(data) == 0:
            raise ValueError(
                f"data has shape {tuple(data.shape)}; expected (N, ...) with N >= 1 samples: "
                "one-dimensional data is (N, 1)"
            )
        if not torch.isfinite(data).all():
            raise ValueError("data holds NaN or infinite values; remove those rows first")
        held = data.to(place.device, place.dtype)

        def from_tensor(count: int, rng: torch.Generator) -> Tensor:
            return held[torch.randint(len(held), (count,), generator=rng).to(held.device)]

        return from_tensor
    if not hasattr(data, "sample"):
        raise TypeError(
            f"data is a {type(data).__name__}; pass a tensor of samples (N, ...) or an object "
            "with sample(count, generator), such as ganlib.data.ring()"
        )
    return lambda count, rng: data.sample(count, rng).to(place.device, place.dtype)


def _latents(generator: nn.Module, latent: int | Latents | None) -> Latents:
    if callable(latent):
        return latent
    size = latent_size(generator) if latent is None else latent
    return lambda count, rng: torch.randn(count, size, generator=rng)


def _check_settings(
    steps: int,
    batch_size: int,
    discriminator_steps: int,
    clip: float | None,
    watch_every: int,
    checkpoint_every: int,
) -> None:
    counts = {
        "batch_size": batch_size,
        "discriminator_steps": discriminator_steps,
        "watch_every": watch_every,
        "checkpoint_every": checkpoint_every,
    }
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if steps < 0:
        raise ValueError(f"steps is {steps}; it must be 0 or more")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip}; it must be positive, for example 0.01")


def _check_shapes(
    generator: nn.Module,
    discriminator: nn.Module,
    draw_real: Callable[[int, torch.Generator], Tensor],
    draw_latent: Latents,
    place: Tensor,
) -> None:
    """Compare shapes on two samples first: a late broadcasting error is hard to read."""
    rng = torch.Generator().manual_seed(0)
    modes = generator.training, discriminator.training
    generator.eval()
    discriminator.eval()
    with torch.no_grad():
        real = draw_real(2, rng)
        fake = generator(draw_latent(2, rng).to(place.device, place.dtype))
        if fake.shape[1:] != real.shape[1:]:
            raise ValueError(
                f"the generator makes samples of shape {tuple(fake.shape[1:])}, the data has "
                f"{tuple(real.shape[1:])}; make them the same"
            )
        output = discriminator(real)
    generator.train(modes[0])
    discriminator.train(modes[1])
    if output.numel() != 2:
        raise ValueError(
            f"the discriminator returns shape {tuple(output.shape)} for 2 samples; it must "
            "return one raw output a sample, (N, 1) or (N,)"
        )
