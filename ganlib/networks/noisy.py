"""Layers with noise of their own, kept in buffers: dropout and instance noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganlib import noise
from ganlib.optimisers import Rate, rate_at

__all__ = ["Dropout", "GaussianNoise", "noisy"]


class _Noisy(nn.Module):
    """A layer with noise of its own: a stream, and how often it was called."""

    seed: Tensor
    calls: Tensor

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        # Unlike seeds for layers made one after the other; `seeded` makes them reproducible.
        drawn = torch.randint(2**31, (), device="cpu").item() if seed is None else seed
        self.register_buffer("seed", torch.tensor(drawn))
        self.register_buffer("calls", torch.tensor(0))

    def _next_call(self) -> Tensor:
        call = self.calls.clone()
        self.calls.add_(1)
        return call


class Dropout(_Noisy):
    """Dropout (Srivastava et al. 2014) with noise of its own (:mod:`ganlib.noise`).

    In training mode each number of the input is 0 with probability ``rate``, the others are
    divided by 1 - rate. Which ones is a function of ``seed`` and of how often the layer was
    called: both are buffers, so a saved run goes on as it would have.

    Parameters
    ----------
    rate
        At least 0 and below 1, else a ValueError.
    seed
        Of its stream; drawn from torch's generator where None, another for each layer.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=0)
    >>> layer(torch.ones(1000)).unique()
    tensor([0., 2.])
    >>> layer.eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, rate: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__(seed)
        if not 0 <= rate < 1:
            raise ValueError(f"the dropout rate is {rate}; it must be at least 0 and below 1")
        self.rate = rate

    def extra_repr(self) -> str:
        return f"rate={self.rate}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = noise.uniform(self.seed, self._next_call(), x.shape) >= self.rate
        return x * kept.to(x.dtype) / (1 - self.rate)


class GaussianNoise(_Noisy):
    """Adds Gaussian noise of its own in training mode; arguments as for :func:`noisy`.

    Examples
    --------
    >>> layer = GaussianNoise(0.5, seed=0)
    >>> round(layer(torch.zeros(10_000, 1)).std().item(), 1)
    0.5
    >>> layer.eval()(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    def __init__(self, std: Rate, *, seed: int | None = None) -> None:
        super().__init__(seed)
        if not callable(std) and not 0 <= std < float("inf"):
            raise ValueError(f"the noise has std {std}; it must be 0 or more, and finite")
        self.std = std

    def extra_repr(self) -> str:
        return f"std={self.std}"

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        call = self._next_call()
        return x + rate_at(self.std, call) * noise.normal(self.seed, call, x.shape, x.dtype)


class _WithNoise(nn.Module):
    def __init__(self, noise: GaussianNoise, discriminator: nn.Module) -> None:
        super().__init__()
        self.noise = noise
        self.discriminator = discriminator

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        return self.discriminator(self.noise(x), *condition)


def noisy(discriminator: nn.Module, std: Rate, *, seed: int | None = None) -> nn.Module:
    """Instance noise (Sønderby et al. 2017): a discriminator that sees real and fake blurred.

    Noise makes the two densities overlap, so the divergence that a generator descends has a
    slope where the supports were apart. A condition is passed on as it is.

    Parameters
    ----------
    discriminator
        From (x) or (x, y).
    std
        0 or more, in the units of the samples: a number, or a schedule of the calls of this
        discriminator so far. One alternating step makes three (two if real and fake are joined,
        more with several critic steps): ``linear(0.1, over=3 * 6000)`` dies away over 6,000 steps.
    seed
        As for :class:`Dropout`.

    Examples
    --------
    >>> critic = noisy(mlp(2, 8, 1), 0.1, seed=0)
    >>> x = torch.zeros(4, 2)
    >>> torch.equal(critic(x), critic(x))  # another noise at each call
    False
    >>> torch.equal(critic.eval()(x), critic(x))
    True
    """
    return _WithNoise(GaussianNoise(std, seed=seed), discriminator)
