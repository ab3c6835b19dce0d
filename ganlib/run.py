"""A run as it stands: its history, its checkpoint, and the state of every generator of numbers.

:func:`ganlib.training.fit` is the loop; what has to survive a stop is here.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ganlib.checkpoint import Checkpoint, detached, plain, unplain
from ganlib.game import Game
from ganlib.inspection import in_mode
from ganlib.step import State

__all__ = ["History", "InterruptBetweenSteps", "Run", "Watch"]

#: From the steps done to named values.
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

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> generator, discriminator = mlp(2, 16, 2), mlp(2, 16, 1, seed=1)
    >>> def watch(step):
    ...     return {"std": sample(generator, 100).std().item()}
    >>> history = fit(generator, discriminator, ring(), steps=20, watch=watch, watch_every=10)
    >>> isinstance(history, History), history.watched_at, len(history.watched["std"])
    (True, [0, 10, 20], 3)
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


class InterruptBetweenSteps:
    """Holds Ctrl-C (or the kernel's stop button) back until the step under way is whole.

    A checkpoint taken half-way through a step would not continue as the uninterrupted run does.
    """

    asked = False

    def __enter__(self) -> InterruptBetweenSteps:
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


class Run:
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
        self.last_look: list[str] = []  # the names of what was watched last
        self.checkpoint: Checkpoint | None = None

    def _modules(self) -> tuple[nn.Module, nn.Module]:
        return self.game.generator, self.game.discriminator

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

    def refuse_diverged(self) -> None:
        """Raise if a weight is not finite: losses tell of the step before."""
        for player, module in zip(("generator", "discriminator"), self._modules(), strict=True):
            for name, weight in module.named_parameters():
                if not torch.isfinite(weight).all():
                    raise FloatingPointError(
                        f"training diverged: the {player}'s {name} is not finite after step "
                        f"{self.done}; lower the learning rate, or bound the discriminator with a "
                        "penalty (penalty=ganlib.penalties.r1)"
                    )

    def look(self, watch: Watch) -> None:
        global_states = _global_states(self.device)
        with in_mode(False, *self._modules()), torch.no_grad():
            values = watch(self.done)
        if not isinstance(values, Mapping):
            raise TypeError(
                f"watch returned a {type(values).__name__}; return named values, such as "
                "{'score': ...}, or {} for none"
            )
        _set_global_states(global_states, self.device)
        self.history.watched_at.append(self.done)
        self.last_look = list(values)
        for name, value in values.items():
            if self.checkpoint is not None:
                unplain(plain(value, name))  # refused now, not after hours of training
            self.history.watched.setdefault(name, []).append(detached(value))

    def save(self, seconds: float) -> None:
        if self.checkpoint is None:
            return
        self.settle_losses()
        self.refuse_diverged()
        watched = {
            name: [plain(v, name) for v in values] for name, values in self.history.watched.items()
        }
        history = {
            **vars(self.history),
            "seconds": self.history.seconds + seconds,
            "watched": watched,
            "extra": {},
        }
        self.checkpoint.save({
            "networks": [m.state_dict() for m in self._modules()],
            "buffers": [dict(m.named_buffers()) for m in self._modules()],
            "slots": [p.slots for p in (self.state.generator, self.state.discriminator)],
            "extra": self.state.extra,
            "random": [g.get_state() for g in self.generators],
            "global": _global_states(self.device),
            "history": history,
            "last look": self.last_look,
        })  # fmt: skip

    def resume(self, steps: int, watch_every: int) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        content = self.checkpoint.load()
        for module, saved, buffers in zip(
            self._modules(), content["networks"], content["buffers"], strict=True
        ):
            module.load_state_dict(saved)
            for name, value in buffers.items():  # those that a state dictionary leaves out, too
                module.get_buffer(name).copy_(value)
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
            for name in content["last look"]:
                history.watched[name].pop()


def _global_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_global_states(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
