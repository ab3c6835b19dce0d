"""Two players and what each of them pays, written once.

A :class:`Game` is two networks, an objective and, where wanted, a penalty; its two costs are
functions of the players *as they are called*. The two drivers of :mod:`ganlib.step` call them with
a module that is trained in place, or with the same module bound to the weights of a state
(:class:`Bound`), so there is one place where a real batch meets a fake one.

With a condition y, a batch is a pair: latents (z, y) for a generator that takes two arguments,
samples (x, y) for such a critic. The costs of algorithm 1 (Goodfellow et al. 2014) are derived in
`the-game`; packs are PacGAN's (Lin et al. 2018).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganlib.batches import Batch, Critic, as_batch, parts
from ganlib.checks import check_count
from ganlib.losses import Loss, non_saturating
from ganlib.penalties import Penalty, refuse_batch_normalisation

__all__ = ["Bound", "Game", "takes"]

#: The settings of a game: ``penalty``, its weight, and a value for each symbol of the loss.
Settings = Mapping[str, Tensor | float]


class Bound:
    """A module with weights and buffers of a state in place of its own.

    A call changes ``buffers``, copies made here, as it would change the module's: after the last
    call they are the next state's. If ``still`` it changes nothing: a penalty differentiates its
    calls, and running statistics and power iterations have no derivative.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1, bias=False)
    >>> doubled = Bound(layer, {"weight": torch.tensor([[2.0]])}, {})
    >>> doubled(torch.tensor([[3.0]]))
    tensor([[6.]])
    """

    def __init__(
        self,
        module: nn.Module,
        weights: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        *,
        still: bool = False,
    ) -> None:
        self.module, self.weights, self.still = module, weights, still
        self.buffers = dict(buffers) if still else _copied(buffers)

    def __call__(self, *inputs: Tensor) -> Tensor:
        given = {**self.weights, **(_copied(self.buffers) if self.still else self.buffers)}
        output = functional_call(self.module, given, inputs)
        if not self.still:  # a buffer that was assigned anew is another tensor now
            self.buffers = {name: given[name] for name in self.buffers}
        return output

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The weights in place of the module's, by name, as a module gives them."""
        own = dict(self.module.named_parameters())
        yield from ({**own, **self.weights}).items()

    def parameters(self) -> Iterator[Tensor]:
        """The same without names."""
        yield from (weight for _, weight in self.named_parameters())


def _copied(buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in buffers.items()}


@dataclass(frozen=True, eq=False)
class Game:
    """Two networks, an objective, a penalty: what each player pays.

    Attributes
    ----------
    generator
        From latents (N, ...) to samples shaped like the data; with a condition, from (z, y).
    discriminator
        From samples, with a condition from (x, y), to one raw output each, (N, 1) or (N,).
    loss
        The objective: a :class:`ganlib.losses.Loss`, or any object with its two methods
        ``discriminator(real, fake)`` and ``generator(fake)`` on raw outputs.
    penalty
        Added to the discriminator's cost (:mod:`ganlib.penalties`): a function of
        (critic, real, fake) that returns a scalar; one with a parameter ``mix`` is given it. The
        critic it is called with has the discriminator's ``parameters()`` and changes no buffer.
    joined
        Real and fake samples go through the discriminator as one batch. Only a discriminator that
        looks across its batch (batch normalisation) can tell; apart, as most implementations
        have them, is the default.
    pack
        The discriminator sees this many samples at once, side by side along the first axis of a
        sample: its input is that many times as wide, and a batch is a multiple of it.
    autocast
        Run both networks in this dtype, such as ``torch.bfloat16``, where ``torch.autocast``
        allows it; costs are computed in float32.

    Raises
    ------
    ValueError
        For a pack below 1, or a batch-normalised discriminator under a penalty.
    TypeError
        For what is no loss or no penalty.

    Examples
    --------
    >>> from ganlib.losses import minimax
    >>> from ganlib.networks import mlp
    >>> game = Game(mlp(2, 8, 2), mlp(2, 8, 1), minimax(), pack=1)
    >>> fake = game.samples(game.generator, torch.zeros(4, 2)).detach()
    >>> undecided = lambda x: 0 * x[:, :1]
    >>> game.discriminator_cost(undecided, torch.ones(4, 2), fake)  # 2 log 2
    tensor(1.3863)
    """

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss = field(default_factory=non_saturating)
    penalty: Penalty | None = None
    joined: bool = False
    pack: int = 1
    autocast: torch.dtype | None = None
    #: The names of the loss's symbols, whose values come with the settings.
    symbols: tuple[str, ...] = field(init=False, default=(), repr=False)
    #: Whether the penalty has a parameter named mix, for uniform draws, one a pair.
    takes_mix: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.loss, type) or not hasattr(self.loss, "discriminator"):
            name = getattr(self.loss, "__name__", None)
            called = f"; call it: loss={name}()" if name else "; make one, such as hinge()"
            raise TypeError(f"loss is {self.loss!r}, which is no objective{called}")
        # The one way to derive a field of a frozen dataclass.
        object.__setattr__(self, "symbols", tuple(map(str, getattr(self.loss, "symbols", ()))))
        check_count(self.pack, "pack")
        if "penalty" in self.symbols:
            raise ValueError("a symbol of the loss is named penalty, as the penalty's weight is")
        if self.autocast not in (None, torch.bfloat16, torch.float16):
            raise TypeError(
                f"autocast is {self.autocast!r}; pass torch.bfloat16, torch.float16 or None"
            )
        if self.penalty is not None:
            if not callable(self.penalty):
                raise TypeError(
                    f"penalty is {self.penalty!r}; pass a function of (critic, real, fake), such "
                    "as ganlib.penalties.r1 or weighted(10, gradient_penalty)"
                )
            refuse_batch_normalisation(self.discriminator)
            named = "mix" in inspect.signature(self.penalty).parameters
            object.__setattr__(self, "takes_mix", named)
            if not takes(self.penalty, 3):
                raise TypeError(
                    f"the penalty {getattr(self.penalty, '__name__', self.penalty)} does not take "
                    "(critic, real, fake); wrap it, such as lambda critic, real, fake: ..."
                )

    def samples(self, generator: Critic, latent: Batch) -> Batch:
        """What the generator makes of a batch of latents, with their condition where they have one.

        ``generator`` is the game's own, or a :class:`Bound` one.
        """
        z, *condition = parts(latent)
        if self.autocast is None:
            made = generator(z, *condition)
        else:
            with self._precision(z):
                made = generator(z, *condition).to(z.dtype)
        return as_batch((made, *condition))

    def discriminator_cost(
        self,
        critic: Critic,
        real: Batch,
        fake: Batch,
        mix: Tensor | None = None,
        settings: Settings = {},  # noqa: B006 - never changed
    ) -> Tensor:
        """What the discriminator pays: the objective on both batches, and the penalty.

        Parameters
        ----------
        critic
            The game's discriminator, or a :class:`Bound` one.
        real, fake
            Batches x (N, ...) or (x, y).
        mix
            One uniform draw a (packed) pair, for penalties that look between samples.
        settings
            ``penalty``, the penalty's weight (1 where it is missing), and the loss's symbols.
        """
        real, fake = self.packed(real), self.packed(fake)
        count = len(parts(real)[0])
        if self.joined:
            both = self.outputs(critic, _joined(real, fake))
            on_real, on_fake = torch.split(both, [count, len(both) - count])
        else:
            on_real, on_fake = self.outputs(critic, real), self.outputs(critic, fake)
        cost = self.loss.discriminator(on_real, on_fake, *self._values(settings))
        if self.penalty is not None:
            drawn = {"mix": mix} if self.takes_mix else {}
            with self._precision(parts(real)[0]) if self.autocast else nullcontext():
                paid = self.penalty(_still(critic), real, fake, **drawn)
            if not isinstance(paid, Tensor) or paid.numel() != 1:
                shape = tuple(paid.shape) if isinstance(paid, Tensor) else type(paid).__name__
                raise ValueError(
                    f"the penalty has shape {shape}; return a tensor of one number, such as the "
                    ".mean() over samples"
                )
            cost = cost + settings.get("penalty", 1.0) * paid.reshape(()).to(cost.dtype)
        return cost

    def generator_cost(
        self,
        generator: Critic,
        critic: Critic,
        latent: Batch,
        settings: Settings = {},  # noqa: B006 - never changed
    ) -> Tensor:
        """What the generator pays for the samples it makes of ``latent``, z or (z, y)."""
        output = self.outputs(critic, self.packed(self.samples(generator, latent)))
        return self.loss.generator(output, *self._values(settings))

    def outputs(self, critic: Critic, batch: Batch) -> Tensor:
        """The critic's raw outputs on a batch that is packed already."""
        if self.autocast is None:
            return critic(*parts(batch))
        with self._precision(parts(batch)[0]):
            return critic(*parts(batch)).float()

    def packed(self, batch: Batch) -> Batch:
        """A batch as the discriminator sees it: ``pack`` samples side by side."""
        if self.pack == 1:
            return batch
        return as_batch([self._side_by_side(part) for part in parts(batch)])

    def _values(self, settings: Settings) -> list[Tensor | float]:
        return [settings[name] for name in self.symbols]

    def _precision(self, like: Tensor) -> AbstractContextManager[Any]:
        return torch.autocast(like.device.type, self.autocast)

    def _side_by_side(self, samples: Tensor) -> Tensor:
        count, *shape = samples.shape
        if count % self.pack:
            raise ValueError(
                f"a batch of {count} does not divide into packs of {self.pack}; choose a "
                f"multiple of {self.pack}"
            )
        first, *others = shape or [1]
        return samples.reshape(count // self.pack, self.pack * first, *others)


def _joined(real: Batch, fake: Batch) -> Batch:
    return as_batch([torch.cat(pair) for pair in zip(parts(real), parts(fake), strict=True)])


def _still(critic: Critic) -> Critic:
    """The critic, with buffers that a call leaves as they are."""
    if isinstance(critic, Bound):
        return Bound(critic.module, critic.weights, critic.buffers, still=True)
    if isinstance(critic, nn.Module) and (buffers := dict(critic.named_buffers())):
        return Bound(critic, dict(critic.named_parameters()), buffers, still=True)
    return critic


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments.

    Examples
    --------
    >>> takes(lambda z, y: z, 2), takes(lambda z: z, 2)
    (True, False)
    """
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True
