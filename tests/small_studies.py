"""GANs and studies so small that a test can have many of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ganlib import divergences, losses, networks, training
from ganlib.studies import sweep

BATCH, STEPS, SEED = 8, 4, 3
POINTS = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(9))


def plane(seed: int, hidden: int = 4) -> Any:
    generator = networks.mlp(2, hidden, 2, seed=seed)
    return generator, networks.mlp(2, hidden, 1, seed=seed + 1), POINTS


def spread(generator: nn.Module) -> dict[str, Any]:
    return {"sd": training.sample(generator, 64).std()}


def study(*arguments: Any, **named: Any) -> Any:
    given = {"measure": spread, "steps": 3, "engine": "fit", "progress": False}
    return sweep(*arguments, **{**given, **named})


LOSSES: dict[str, Callable[[], losses.Loss]] = {
    "minimax": losses.minimax,
    "non-saturating": losses.non_saturating,
    "maximum likelihood": losses.maximum_likelihood,
    "least squares": losses.least_squares,
    "wasserstein": losses.wasserstein,
    "hinge": losses.hinge,
    "f-GAN": lambda: losses.f_gan(divergences.divergence("kl")),
    "smoothed": lambda: losses.smoothed(losses.non_saturating()),
    "flipped": lambda: losses.flipped(losses.hinge(), 0.1),
}
