"""Fully connected networks, and what every network here is built with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganlib.checks import check_count

__all__ = ["Maxout", "leaky_relu", "mlp", "redrawn", "seeded"]

Built = TypeVar("Built")


def leaky_relu() -> nn.Module:
    """LeakyReLU with the slope 0.2 that GAN papers use since DCGAN (Radford et al. 2016).

    Examples
    --------
    >>> leaky_relu()(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    return nn.LeakyReLU(0.2)


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Call ``build`` with torch seeded by ``seed``; torch's generators are left as they were.

    Examples
    --------
    >>> first, again = (seeded(lambda: torch.nn.Linear(2, 1), 0) for _ in range(2))
    >>> torch.equal(first.weight, again.weight)
    True
    """
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

    Examples
    --------
    >>> network = mlp(2, 64, 1)
    >>> network(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    >>> sum(weight.numel() for weight in network.parameters())  # 2 * 64 + 64 + 64 + 1
    257
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


class Maxout(nn.Module):
    """A maxout layer (Goodfellow et al. 2013): each output the largest of some affine functions.

    From (N, inputs) to (N, outputs); output j is the maximum of ``pieces`` affine functions, so a
    convex function of the input. One piece is a linear layer. PacGAN's critic is made of these
    (Lin et al. 2018).

    Raises
    ------
    ValueError
        For a width or a number of pieces below 1.

    Examples
    --------
    >>> layer = Maxout(2, 3, pieces=4)
    >>> layer(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, inputs: int, outputs: int, pieces: int = 5) -> None:
        super().__init__()
        for value, name in ((inputs, "inputs"), (outputs, "outputs"), (pieces, "pieces")):
            check_count(value, name)
        self.outputs, self.pieces = outputs, pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(-1, (self.outputs, self.pieces)).amax(-1)


def redrawn(network: nn.Module, draw: Callable[[Tensor], object], *, seed: int = 0) -> nn.Module:
    """Draw the weight of every linear layer anew, set its bias to 0; in place, returns the module.

    Parameters
    ----------
    network
        With linear layers in it; or one itself.
    draw
        Changes a weight (out, in) in place, such as ``torch.nn.init.xavier_uniform_`` or
        ``lambda weight: torch.nn.init.orthogonal_(weight, gain=1.4)``.
    seed
        Decides the draws; torch's global generator is left as it was.

    Raises
    ------
    ValueError
        For a network without linear layers.

    Examples
    --------
    >>> network = redrawn(mlp(2, 8, 1), torch.nn.init.zeros_)
    >>> network(torch.ones(1, 2)).item()
    0.0
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(
            f"{type(network).__name__} has no linear layer to draw anew; pass the network with them"
        )

    def drawn() -> nn.Module:
        for layer in layers:
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        return network

    return seeded(drawn, seed)
