"""The pure step on one flat vector: what the compiled page keeps.

A module of the page holds a run in one buffer::

    state = [ G | D | Adam's means | Adam's squares | t_G | t_D ]        one float each

and the numbers that a reader turns in another (:func:`settings`). Both are made here from the
named state of :func:`ganlib.step.pure`, which takes the step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import sympy as sp
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganlib import options
from ganlib.batches import Batch
from ganlib.game import Game
from ganlib.lab.formula import LENGTH, Typed
from ganlib.losses import Loss
from ganlib.optimisers import Adam
from ganlib.penalties import Penalty, refuse_batch_normalisation
from ganlib.step import State, pure, refuse_hidden_noise

__all__ = ["SETTINGS", "FlatStep", "Stepped", "settings"]

#: What each entry of the settings tensor is, before the values of the loss's symbols.
SETTINGS = ("rate_g", "rate_d", "beta1", "beta2", "epsilon", "penalty", "clip")


def settings(
    *,
    learning_rate: float | tuple[float, float] = 1e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    epsilon: float = 1e-8,
    penalty: float = 1.0,
    clip: float = math.inf,
    parameters: tuple[float, ...] = (),
) -> Tensor:
    """The numbers of a step as a tensor, in the order of :data:`SETTINGS`.

    ``parameters`` are the values of the loss's symbols, in the order of
    :attr:`FlatStep.parameters`. Raises ValueError for a number outside its range.
    """
    rates = learning_rate if isinstance(learning_rate, tuple) else (learning_rate, learning_rate)
    for rate in rates:
        Adam(rate, *betas, epsilon)
    if not clip > 0 or not penalty >= 0:
        raise ValueError(
            f"clip is {clip} and the penalty's weight {penalty}; the first must be positive, the "
            "second 0 or more"
        )
    return torch.tensor([*rates, *betas, epsilon, penalty, clip, *parameters])


class Stepped(NamedTuple):
    """What a step returns: the next state, and the loss before it (a scalar, penalty included)."""

    state: Tensor
    loss: Tensor


class _Flat(nn.Module):
    """A module whose weights are one vector."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        weights = dict(module.named_parameters())
        self.names, self.shapes = list(weights), [w.shape for w in weights.values()]
        self.flat = nn.Parameter(torch.cat([w.detach().reshape(-1) for w in weights.values()]))
        self.template = [module]  # in a list: not a part of this module

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        pieces = torch.split(flat, [shape.numel() for shape in self.shapes])
        shaped = (p.reshape(shape) for p, shape in zip(pieces, self.shapes, strict=True))
        return dict(zip(self.names, shaped, strict=True))

    def forward(self, *inputs: Tensor) -> Any:
        return functional_call(self.template[0], self.named(self.flat), inputs)


class FlatStep:
    """One discriminator step and one generator step with Adam, on flat vectors.

    Parameters
    ----------
    generator, discriminator, loss, penalty, pack
        As for :class:`ganlib.game.Game`, whose batches are joined here: half the kernels, each
        twice as long. Neither network may keep buffers.
    parameters
        Symbols, the loss's among them, in the order of their values in :func:`settings`. After
        these values stand the programs of a :class:`ganlib.lab.formula.Typed` loss.
    unrolled
        Steps of the discriminator that the generator looks ahead (:func:`ganlib.options.unrolled`);
        0 is none.

    Raises
    ------
    ValueError
        If a network has buffers, frozen weights or hidden noise, or a symbol of the loss is no
        parameter.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss | Typed,
        penalty: Penalty | None = None,
        parameters: tuple[sp.Symbol, ...] = (),
        pack: int = 1,
        unrolled: int = 0,
    ) -> None:
        for player, module in (("generator", generator), ("discriminator", discriminator)):
            refuse_hidden_noise(player, module)
            frozen = [name for name, w in module.named_parameters() if not w.requires_grad]
            if frozen:
                raise ValueError(
                    f"the {player}'s {frozen[0]} is frozen, but the flat vector trains every "
                    "weight; let it learn, or make it a constant"
                )
        if penalty is not None:
            refuse_batch_normalisation(discriminator)
        kept = [name for module in (generator, discriminator) for name, _ in module.named_buffers()]
        if kept:
            raise ValueError(
                f"a network keeps {', '.join(kept[:3])} outside its weights, for which the flat "
                "vector has no place; leave that layer out"
            )
        typed = isinstance(loss, Typed)
        missing = [str(s) for s in loss.symbols if s not in parameters and not typed]
        if missing:
            raise ValueError(
                f"the loss has the symbols {', '.join(missing)}; name them in parameters, and give "
                "their values to settings(parameters=...)"
            )
        self.generator, self.discriminator = generator, discriminator
        self.parameters = parameters
        self.loss = loss
        self._players = _Flat(generator), _Flat(discriminator)
        game = Game(*self._players, cast(Loss, loss), penalty, joined=True, pack=pack)
        self._step = pure(game, settings={str(symbol): 1.0 for symbol in loss.symbols})
        if unrolled:
            self._step = options.unrolled(unrolled)(self._step)
        self._sizes = [len(p.flat) for p in self._players] * 3 + [1, 1]

    def initial(self) -> Tensor:
        """The state before the first step: the templates' weights, Adam's moments at zero."""
        return self._vector(self._step.initial())

    def weights(self, state: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The generator's and the discriminator's weights, by name, for ``load_state_dict``."""
        g, d, *_ = self._parts(state)
        return self._players[0].named(g), self._players[1].named(d)

    def sample(self, state: Tensor, latent: Tensor) -> Tensor:
        """Generated samples at latents (N, latent size)."""
        return functional_call(self._players[0].template[0], self.weights(state)[0], (latent,))

    def critic(self, state: Tensor, points: Tensor) -> Tensor:
        """The discriminator's raw output at points (N, pack times the width of a sample)."""
        return functional_call(self._players[1].template[0], self.weights(state)[1], (points,))

    def discriminator_step(
        self, state: Tensor, real: Batch, latent: Batch, mix: Tensor | None, settings: Tensor
    ) -> Stepped:
        """The discriminator's loss, and the state after its step.

        Parameters
        ----------
        state
            From :meth:`initial` or a step.
        real, latent
            A batch of samples (N, d) and one of latents (N, latent size); each with its condition,
            as a pair, for networks that take one.
        mix
            Uniform draws (N / pack, 1), for a penalty that looks between samples.
        settings
            From :func:`settings`.
        """
        named, fake = self._step.generate(self._state(state, settings), latent)
        named, loss = self._step.discriminator(named, real, fake, mix)
        return Stepped(self._vector(named), loss)

    def generator_step(
        self,
        state: Tensor,
        latent: Batch,
        settings: Tensor,
        real: Batch | None = None,
        mix: Tensor | None = None,
    ) -> Stepped:
        """The generator's loss, and the state after its step; see above.

        ``real`` and ``mix`` are those of the discriminator's last step, for a generator that looks
        ahead.
        """
        named = self._state(state, settings)
        if real is not None:
            named = named._replace(extra={"unrolled": {"real": real, "mix": mix}})
        named, loss = self._step.generator(named, latent)
        return Stepped(self._vector(named), loss)

    def _parts(self, state: Tensor) -> tuple[Tensor, ...]:
        if state.shape[-1] != sum(self._sizes):
            raise ValueError(
                f"the state has {state.shape[-1]} numbers, these networks need "
                f"{sum(self._sizes)}; start from initial()"
            )
        return torch.split(state, self._sizes)

    def _state(self, state: Tensor, settings: Tensor) -> State:
        weights_g, weights_d, mean_g, mean_d, square_g, square_d, t_g, t_d = self._parts(state)
        named = len(SETTINGS) + len(self.parameters)
        rate_g, rate_d, beta1, beta2, epsilon, penalty, clip, *values = settings[:named].unbind()
        adam = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon, "clip": clip}
        started = self._step.initial()
        players = [
            player._replace(
                weights={"flat": weights},
                slots={"mean": {"flat": mean}, "square": {"flat": square}, "count": {"flat": t}},
                settings={**adam, "rate": rate},
            )
            for player, weights, mean, square, t, rate in (
                (started.generator, weights_g, mean_g, square_g, t_g, rate_g),
                (started.discriminator, weights_d, mean_d, square_d, t_d, rate_d),
            )
        ]
        own: dict[str, Tensor] = dict(zip(map(str, self.parameters), values, strict=True))
        if isinstance(self.loss, Typed):
            own["programs"] = settings[named:].reshape(-1, LENGTH, 2)
        return State(players[0], players[1], {"penalty": penalty, **own}, started.done, {})

    def _vector(self, state: State) -> Tensor:
        both = state.generator, state.discriminator
        pieces = [p.weights["flat"] for p in both]
        pieces += [p.slots[name]["flat"].reshape(-1) for name in ("mean", "square", "count")
                   for p in both]  # fmt: skip
        return torch.cat(pieces)
