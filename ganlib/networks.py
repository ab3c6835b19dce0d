"""The networks of the chapters: small, plain, seeded.

A network here is an ordinary ``torch.nn.Module``. Discriminators end in a raw output: the loss,
not the network, knows about sigmoids (see :mod:`ganlib.losses`). Layers that need noise
(:class:`Dropout`, :class:`GaussianNoise`) or keep a state (:func:`spectral_norm`) hold all of it in
buffers, so they train in place, in a pure step and under ``vmap`` alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from ganlib import noise
from ganlib.checks import readable
from ganlib.optimisers import Rate, rate_at

__all__ = [
    "Conditional",
    "Dropout",
    "GaussianNoise",
    "dcgan_discriminator",
    "dcgan_generator",
    "latent_shape",
    "leaky_relu",
    "mlp",
    "noisy",
    "seeded",
    "spectral_norm",
]

Built = TypeVar("Built")


def leaky_relu() -> nn.Module:
    """LeakyReLU with the slope 0.2 that GAN papers use since DCGAN (Radford et al. 2016)."""
    return nn.LeakyReLU(0.2)


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Call ``build`` with torch seeded by ``seed``; torch's generators are left as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return build()


def mlp(
    *sizes: int,
    activation: Callable[[], nn.Module] = leaky_relu,
    output: Callable[[], nn.Module] | None = None,
    seed: int = 0,
) -> nn.Sequential:
    """A fully connected network, for example ``mlp(2, 64, 64, 1)``.

    Parameters
    ----------
    *sizes
        Widths from input to output, at least two, all positive.
    activation
        Makes the layer between two linear layers.
    output
        Makes a layer after the last linear layer, such as ``torch.nn.Tanh`` for images in
        [-1, 1]. None, the default, leaves the output raw.
    seed
        Decides the initial weights; torch's global generator is left as it was.
    """
    if len(sizes) < 2 or any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(
            f"mlp sizes are {sizes}; give at least an input and an output width, all positive "
            "integers, for example mlp(2, 64, 64, 1)"
        )

    def build() -> nn.Sequential:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(sizes):
            layers += [nn.Linear(width_in, width_out), activation()]
        layers.pop()  # no activation after the last linear layer
        if output is not None:
            layers.append(output())
        return nn.Sequential(*layers)

    return seeded(build, seed)


def dcgan_generator(
    latent: int = 100, size: int = 28, channels: int = 1, *, width: int = 64, seed: int = 0
) -> nn.Sequential:
    """DCGAN's generator (Radford et al. 2016): latents (N, latent) to images in [-1, 1].

    A transposed convolution from one point to the coarsest grid (7 x 7 for 28, 4 x 4 for 32 or
    64), then one that doubles the side for each level, batch normalisation and ReLU between, tanh
    at the end; weights from N(0, 0.02^2), those of the normalisation from N(1, 0.02^2).

    Parameters
    ----------
    latent, channels
        Widths of a latent and of an image (N, channels, size, size).
    size
        The side of an image: 4 to 7 times a power of two, such as 28, 32 or 64.
    width
        Channels of the finest hidden level; each coarser one has twice as many.
    seed
        Decides the initial weights.

    Raises
    ------
    ValueError
        For a size that is no such product.
    """
    base, levels = _levels(size)

    def build() -> nn.Sequential:
        top = width * 2 ** (levels - 1)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, top, base, bias=False),
        ]
        for level in reversed(range(levels)):
            into = width * 2 ** (level - 1) if level else channels
            layers += [nn.BatchNorm2d(width * 2**level), nn.ReLU()]
            layers += [nn.ConvTranspose2d(width * 2**level, into, 4, 2, 1, bias=not level)]
        return _drawn_as_dcgan(nn.Sequential(*layers, nn.Tanh()))

    return seeded(build, seed)


def dcgan_discriminator(
    size: int = 28,
    channels: int = 1,
    *,
    width: int = 64,
    normalise: bool = True,
    seed: int = 0,
) -> nn.Sequential:
    """DCGAN's discriminator: images (N, channels, size, size) to one raw output each, (N, 1).

    Strided convolutions, the mirror of :func:`dcgan_generator`, LeakyReLU between, batch
    normalisation after all but the first; ``normalise=False`` leaves it out, as a penalty on
    gradients needs it.
    """
    base, levels = _levels(size)

    def build() -> nn.Sequential:
        layers: list[nn.Module] = []
        for level in range(levels):
            out = width * 2**level
            plain = not normalise or level == 0
            layers += [nn.Conv2d(out // 2 if level else channels, out, 4, 2, 1, bias=plain)]
            layers += [leaky_relu()] if plain else [nn.BatchNorm2d(out), leaky_relu()]
        layers += [nn.Conv2d(width * 2 ** (levels - 1), 1, base), nn.Flatten()]
        return _drawn_as_dcgan(nn.Sequential(*layers))

    return seeded(build, seed)


def _levels(size: int) -> tuple[int, int]:
    """The side of the coarsest grid, and how often it is doubled."""
    base, levels = size, 0
    while base % 2 == 0 and base >= 8:
        base, levels = base // 2, levels + 1
    if levels == 0 or base > 7:
        raise ValueError(
            f"size is {size}; a DCGAN doubles a side of 4 to 7 pixels: choose 8, 16, 28, 32 or 64"
        )
    return base, levels


def _drawn_as_dcgan(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return network


class Conditional(nn.Module):
    """A network with a condition: its input and the condition y side by side.

    A generator is called with (z, y), a critic with (x, y) (Mirza and Osindero 2014). A class
    number becomes a one-hot row, any other condition (N, width) or (N,) is taken as it is; beside
    images each number of the row is a constant channel.

    Parameters
    ----------
    network
        Its input is wider by the condition: ``mlp(2 + 8, 64, 2)`` for 8 classes,
        ``dcgan_discriminator(channels=1 + 8)`` beside grey images.
    classes
        How many classes y (N,) counts, from 0; None for a condition of numbers.

    Raises
    ------
    ValueError
        When called with class numbers outside 0, ..., classes - 1, or not one a sample.
    """

    def __init__(self, network: nn.Module, classes: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.classes = classes

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if self.classes is not None:
            y = self._one_hot(y, self.classes)
        row = y.to(x.dtype).reshape(len(y), -1, *(1 for _ in x.shape[2:]))
        return self.network(torch.cat([x, row.expand(*row.shape[:2], *x.shape[2:])], dim=1))

    def _one_hot(self, y: Tensor, classes: int) -> Tensor:
        numbers = torch.arange(classes, device=y.device)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise ValueError(
                f"the classes have shape {tuple(y.shape)}; pass one number a sample, (N,), such as "
                "one_hot.argmax(1), or make the network without classes="
            )
        hot = y[:, None] == numbers
        if readable(y) and not hot.any(1).all():
            raise ValueError(
                f"the classes reach from {y.min().item()} to {y.max().item()}; they are numbers "
                f"from 0 to {classes - 1}"
            )
        return hot


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
    """Adds Gaussian noise of its own in training mode; arguments as for :func:`noisy`."""

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
    """
    return _WithNoise(GaussianNoise(std, seed=seed), discriminator)


class _SpectralNorm(nn.Module):
    """A parametrization: the weight over an estimate of its largest singular value."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, axis: int, epsilon: float) -> None:
        super().__init__()
        self.axis, self.epsilon = axis, epsilon
        rows, columns = self._matrix(weight.detach()).shape
        for name, size in (("u", rows), ("v", columns)):
            start = functional.normalize(weight.detach().new_empty(size).normal_(), dim=0)
            self.register_buffer(name, start)
        for _ in range(15):  # as torch does, so that the first estimate is near
            self._iterate(self._matrix(weight.detach()))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.axis, 0).flatten(1)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(functional.normalize(matrix @ self.v, dim=0, eps=self.epsilon))
        self.v.copy_(functional.normalize(matrix.T @ self.u, dim=0, eps=self.epsilon))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach())
        u, v = self.u.clone(), self.v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def spectral_norm(module: nn.Module, *, epsilon: float = 1e-12) -> nn.Module:
    """Every linear and convolutional weight over its largest singular value (Miyato et al. 2018).

    The value is estimated by one power iteration a call in training mode, as
    ``torch.nn.utils.parametrizations.spectral_norm`` does, and equal to it; but nothing here
    writes outside its buffers, so it works in a pure step and under ``vmap``. In place; returns
    the module.

    Raises
    ------
    ValueError
        If the module has no such layer, or one that is normalised already.
    """
    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))]
    if not layers:
        raise ValueError(
            f"{type(module).__name__} has no linear or convolutional layer to normalise; pass the "
            "network that holds them"
        )
    for layer in layers:
        if is_parametrized(layer, "weight"):
            raise ValueError(
                f"the weight of {type(layer).__name__} is parametrized already; normalise it once"
            )
    for layer in layers:
        axis = 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
        norm = _SpectralNorm(layer.weight, axis, epsilon)
        register_parametrization(layer, "weight", norm)
    return module


def latent_shape(generator: nn.Module, size: int | None = None) -> tuple[int, ...]:
    """The shape of one latent, read off the first layer that takes it.

    A convolutional layer takes (channels, 1, 1), any other a row.

    Parameters
    ----------
    size
        How many numbers; as many as the layer takes where None.

    Raises
    ------
    ValueError
        If it cannot be read off; then pass ``latent=`` where this was called from.
    """
    known = (nn.Unflatten, nn.Linear, nn.modules.conv._ConvNd)
    first: Any = next((layer for layer in generator.modules() if isinstance(layer, known)), None)
    convolves = isinstance(first, nn.modules.conv._ConvNd)
    # The width of a condition of numbers is nowhere written.
    condition = generator.classes if isinstance(generator, Conditional) else 0
    if size is None and first is not None and condition is not None:
        if isinstance(first, nn.Unflatten):
            width = math.prod(first.unflattened_size)
        else:
            width = first.in_channels if convolves else first.in_features
        size = width - condition
    if size is not None:
        return (size, *(1 for _ in (first.kernel_size if convolves else ())))
    raise ValueError(
        f"the latent size cannot be read off {type(generator).__name__}; pass latent=<size>, or "
        "latent=<a function (count, torch.Generator) -> latents>"
    )
