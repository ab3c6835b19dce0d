"""The convolutional networks of DCGAN (Radford et al. 2016)."""

from __future__ import annotations

from torch import nn

from ganlib.networks.plain import leaky_relu, seeded

__all__ = ["dcgan_discriminator", "dcgan_generator"]


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

    Examples
    --------
    >>> images = dcgan_generator(latent=8, width=4)(torch.zeros(2, 8))
    >>> images.shape
    torch.Size([2, 1, 28, 28])
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
    outputs: int = 1,
    normalise: bool = True,
    seed: int = 0,
) -> nn.Sequential:
    """DCGAN's discriminator: images (N, channels, size, size) to one raw output each, (N, 1).

    Strided convolutions, the mirror of :func:`dcgan_generator`, LeakyReLU between, batch
    normalisation after all but the first; ``normalise=False`` leaves it out, as a penalty on
    gradients needs it. ``outputs=100`` gives as many features in place of the one output, for a
    conditional head (:mod:`ganlib.networks.conditional`).

    Examples
    --------
    >>> critic = dcgan_discriminator(size=32, channels=3, width=4)
    >>> critic(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1])
    """
    base, levels = _levels(size)

    def build() -> nn.Sequential:
        layers: list[nn.Module] = []
        for level in range(levels):
            out = width * 2**level
            plain = not normalise or level == 0
            layers += [nn.Conv2d(out // 2 if level else channels, out, 4, 2, 1, bias=plain)]
            layers += [leaky_relu()] if plain else [nn.BatchNorm2d(out), leaky_relu()]
        layers += [nn.Conv2d(width * 2 ** (levels - 1), outputs, base), nn.Flatten()]
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
