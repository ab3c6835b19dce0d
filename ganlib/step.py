"""The alternating step as a pure function: the same step that :func:`ganlib.training.fit` takes.

``fit`` changes modules in place. Here a step is a function from one flat vector to the next::

    state = [ G | D | Adam's means | Adam's squares | t_G | t_D ]        one float each

so it can be mapped over seeds (``torch.func.vmap``: a leading axis on the state makes many runs
at once), traced and exported (``make_fx``), and compiled for the page
(:func:`ganlib.lab.compiler.compile_functions`). Latents, batches and interpolation weights are
arguments, and so are the numbers a reader may turn while it runs (:func:`settings`): a step draws
nothing and remembers nothing.

Algorithm 1 of the chapter `the-game`; Adam is algorithm 1 of Kingma and Ba 2015. The losses and
penalties are those of :mod:`ganlib.losses` and :mod:`ganlib.penalties`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sympy as sp
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from ganlib.formulas import compile_formula
from ganlib.losses import Loss, critic_output
from ganlib.penalties import half_square, norm_deviation

__all__ = ["SETTINGS", "Step", "Stepped", "gradient_penalty", "r1", "r2", "settings"]

Critic = Callable[[Tensor], Tensor]
#: (critic, real, fake, mix) -> a scalar, added to the discriminator's loss with a weight.
Penalty = Callable[[Critic, Tensor, Tensor, Tensor], Tensor]

#: What each entry of the settings tensor is.
SETTINGS = ("rate_g", "rate_d", "beta1", "beta2", "epsilon", "penalty", "clip")


def settings(
    *,
    learning_rate: float | tuple[float, float] = 1e-3,
    betas: tuple[float, float] = (0.5, 0.999),
    epsilon: float = 1e-8,
    penalty: float = 1.0,
    clip: float = math.inf,
    parameters: tuple[float, ...] = (),
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The numbers of a step as a tensor, in the order of :data:`SETTINGS`.

    Parameters
    ----------
    learning_rate, betas, epsilon
        As for :func:`ganlib.training.fit`.
    penalty
        The weight of the penalty, where the step has one.
    clip
        The discriminator's weights are clamped to [-clip, clip]; infinite for no clipping.
    parameters
        Values of the loss's own symbols, appended in the order of :attr:`Step.parameters`.

    Raises
    ------
    ValueError
        For a number outside its range.
    """
    rates = learning_rate if isinstance(learning_rate, tuple) else (learning_rate, learning_rate)
    for name, beta in zip(("beta1", "beta2"), betas, strict=True):
        if not 0 <= beta < 1:
            raise ValueError(f"{name} is {beta}; it must be at least 0 and below 1")
    for name, value in (("epsilon", epsilon), ("clip", clip)):
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be positive")
    if not penalty >= 0:
        raise ValueError(f"the penalty's weight is {penalty}; it must be 0 or more")
    return torch.tensor([*rates, *betas, epsilon, penalty, clip, *parameters], dtype=dtype)


def _setting(settings: Tensor, name: str) -> Tensor:
    return settings[SETTINGS.index(name)]


class Stepped(NamedTuple):
    """What a step returns: the next state, and the loss before it (a scalar, penalty included)."""

    state: Tensor
    loss: Tensor


def _input_gradient(critic: Critic, points: Tensor) -> Tensor:
    # penalties.input_gradient marks its points in place, which vmap cannot map over.
    return torch.func.grad(lambda x: critic(x).sum())(points).flatten(1)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """:func:`ganlib.penalties.gradient_penalty` with its uniform draws ``mix`` (N, 1) given."""
    return norm_deviation(_input_gradient(critic, mix * real + (1 - mix) * fake))


def r1(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """:func:`ganlib.penalties.r1`: on real samples; the other arguments are not used."""
    return half_square(_input_gradient(critic, real))


def r2(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """:func:`ganlib.penalties.r2`: on generated samples; the others are not used."""
    return half_square(_input_gradient(critic, fake))


class _Layout:
    """A module's parameters as a slice of a flat vector."""

    def __init__(self, module: nn.Module) -> None:
        self.names = [name for name, _ in module.named_parameters()]
        self.shapes = [weight.shape for weight in module.parameters()]
        self.sizes = [weight.numel() for weight in module.parameters()]
        self.total = sum(self.sizes)

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, self.sizes)
        return {
            name: part.reshape(shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def pack(self, weights: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([weights[name].reshape(-1) for name in self.names])


@dataclass(frozen=True, eq=False)
class Step:
    """One discriminator step and one generator step of a GAN, as pure functions.

    Attributes
    ----------
    generator, discriminator
        Templates, as for :func:`ganlib.training.fit`: they give the architecture, and
        :meth:`initial` starts from their weights. They are never changed. Every weight is
        trained, and no layer may keep a state of its own (batch normalisation does).
    loss
        The objective.
    penalty
        :func:`gradient_penalty`, :func:`r1`, :func:`r2` of this module, or None.
    parameters
        Symbols in the loss's formulas whose values come with the settings, such as the a, b, c
        of ``least_squares(*sp.symbols("a b c", real=True))``.
    pack
        The discriminator sees this many samples at once, side by side (PacGAN, Lin et al. 2018):
        its input is pack times as wide as a sample, and must divide the batch.

    Raises
    ------
    ValueError
        If a template cannot be used, or pack is not positive.
    """

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    penalty: Penalty | None = None
    parameters: tuple[sp.Symbol, ...] = ()
    pack: int = 1
    _g: _Layout = field(init=False, repr=False)
    _d: _Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pack < 1:
            raise ValueError(f"pack is {self.pack}; it must be 1 or more samples")
        for player in ("generator", "discriminator"):
            module = getattr(self, player)
            kept = [name for name, _ in module.named_buffers()]
            if kept:
                raise ValueError(
                    f"the {player} keeps {', '.join(kept[:3])} outside its weights; a pure step "
                    "has no place for that: leave batch normalisation out"
                )
            if not any(True for _ in module.parameters()):
                raise ValueError(f"the {player} has no weights; there is nothing to train")
        # The one way to derive a field of a frozen dataclass.
        object.__setattr__(self, "_g", _Layout(self.generator))
        object.__setattr__(self, "_d", _Layout(self.discriminator))

    def initial(self) -> Tensor:
        """The state before the first step: the templates' weights, Adam's moments at zero."""
        weights = [
            weight.detach().reshape(-1)
            for module in (self.generator, self.discriminator)
            for weight in module.parameters()
        ]
        flat = torch.cat(weights)
        return torch.cat([flat, flat.new_zeros(2 * len(flat) + 2)])

    def weights(self, state: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The generator's and the discriminator's weights, by name, for ``load_state_dict``."""
        g, d, *_ = self._parts(state)
        return self._g.unpack(g), self._d.unpack(d)

    def sample(self, state: Tensor, latent: Tensor) -> Tensor:
        """Generated samples at latents (N, latent size)."""
        return functional_call(self.generator, self.weights(state)[0], (latent,))

    def critic(self, state: Tensor, points: Tensor) -> Tensor:
        """The discriminator's raw output at points (N, pack times the width of a sample)."""
        return functional_call(self.discriminator, self.weights(state)[1], (points,))

    def discriminator_step(
        self, state: Tensor, real: Tensor, latent: Tensor, mix: Tensor, settings: Tensor
    ) -> Stepped:
        """The discriminator's loss, and the state after its step of Adam.

        Parameters
        ----------
        state
            From :meth:`initial` or a step.
        real, latent
            A batch of samples (N, ...) and one of latents (N, latent size).
        mix
            Uniform draws (N / pack, 1): where :func:`gradient_penalty` looks. Other penalties
            do not use them.
        settings
            From :func:`settings`.
        """
        g, d, mean_g, mean_d, square_g, square_d, t_g, t_d = self._parts(state)
        fake = self._packed(functional_call(self.generator, self._g.unpack(g), (latent,)))
        real = self._packed(real)

        def cost(weights: dict[str, Tensor]) -> Tensor:
            def critic(points: Tensor) -> Tensor:
                return functional_call(self.discriminator, weights, (points,))

            # One pass over both batches: half the kernels, each twice as long.
            on_real, on_fake = torch.split(critic(torch.cat([real, fake])), [len(real), len(fake)])
            total = self._mean(self.loss.on_real, on_real, settings) + self._mean(
                self.loss.on_fake, on_fake, settings
            )
            if self.penalty is not None:
                total = total + _setting(settings, "penalty") * self.penalty(
                    critic, real, fake, mix
                )
            return total

        slopes, loss = grad_and_value(cost)(self._d.unpack(d))
        d, mean_d, square_d, t_d = _adam(
            d, self._d.pack(slopes), mean_d, square_d, t_d, _setting(settings, "rate_d"), settings
        )
        clip = _setting(settings, "clip")
        d = torch.minimum(torch.maximum(d, -clip), clip)
        state = torch.cat([g, d, mean_g, mean_d, square_g, square_d, t_g, t_d])
        return Stepped(state, loss)

    def generator_step(self, state: Tensor, latent: Tensor, settings: Tensor) -> Stepped:
        """The generator's loss, and the state after its step of Adam; see above."""
        g, d, mean_g, mean_d, square_g, square_d, t_g, t_d = self._parts(state)
        judge = self._d.unpack(d)

        def cost(weights: dict[str, Tensor]) -> Tensor:
            fake = self._packed(functional_call(self.generator, weights, (latent,)))
            output = functional_call(self.discriminator, judge, (fake,))
            return self._mean(self.loss.of_generator, output, settings)

        slopes, loss = grad_and_value(cost)(self._g.unpack(g))
        g, mean_g, square_g, t_g = _adam(
            g, self._g.pack(slopes), mean_g, square_g, t_g, _setting(settings, "rate_g"), settings
        )
        state = torch.cat([g, d, mean_g, mean_d, square_g, square_d, t_g, t_d])
        return Stepped(state, loss)

    def _parts(self, state: Tensor) -> tuple[Tensor, ...]:
        sizes = [self._g.total, self._d.total] * 3 + [1, 1]
        if state.shape[-1] != sum(sizes):
            raise ValueError(
                f"the state has {state.shape[-1]} numbers, these networks need {sum(sizes)}; "
                "start from Step.initial()"
            )
        return torch.split(state, sizes)

    def _packed(self, samples: Tensor) -> Tensor:
        if self.pack == 1:
            return samples
        if len(samples) % self.pack:
            raise ValueError(
                f"a batch of {len(samples)} does not divide into packs of {self.pack}; choose a "
                f"multiple of {self.pack}"
            )
        return samples.reshape(len(samples) // self.pack, -1)

    def _mean(self, formula: sp.Expr, output: Tensor, settings: Tensor) -> Tensor:
        values: list[Any] = [settings[len(SETTINGS) + i] for i in range(len(self.parameters))]
        return compile_formula(formula, critic_output, *self.parameters)(output, *values).mean()


def _adam(
    weights: Tensor,
    slope: Tensor,
    mean: Tensor,
    square: Tensor,
    t: Tensor,
    rate: Tensor,
    settings: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    beta1, beta2, epsilon = (_setting(settings, n) for n in ("beta1", "beta2", "epsilon"))
    t = t + 1
    mean = beta1 * mean + (1 - beta1) * slope
    square = beta2 * square + (1 - beta2) * slope * slope
    # 1 - beta^t, without the cancellation at small t; right for beta = 0 too.
    part1, part2 = (-torch.expm1(t * beta.log()) for beta in (beta1, beta2))
    unbiased = mean / part1
    spread = (square / part2).sqrt()
    return weights - rate * unbiased / (spread + epsilon), mean, square, t
