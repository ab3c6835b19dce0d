"""Fully connected networks, and what every network here is built with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn

__all__ = ["leaky_relu", "mlp", "seeded"]

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
