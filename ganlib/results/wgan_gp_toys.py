"""Target: the three toy data sets of WGAN-GP, penalty against clipping (Gulrajani et al. 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganlib import data, losses
from ganlib.data import Mixture
from ganlib.networks import mlp, redrawn
from ganlib.optimisers import RMSProp
from ganlib.penalties import gradient_penalty, weighted
from ganlib.results import plane
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.training import fit

__all__ = ["TARGET"]

_REACH = 2.2  # of a picture, along both axes
#: With the scales of the authors' script, gan_toy.py.
_TOYS = {
    "8 Gaussians": lambda: data.ring(8, radius=2 / 1.414, std=0.02 / 1.414),
    "25 Gaussians": lambda: data.grid(5, spacing=2 / 2.828, std=0.05 / 2.828),
    "swiss roll": lambda: data.swiss_roll(radius=4.5 * math.pi / 7.5, std=0.25 / 7.5),
}


def toy(name: str) -> tuple[Mixture, Tensor | None]:
    """A data set, and its modes where it has some."""
    target = _TOYS[name]()
    return target, None if name == "swiss roll" else target.centres


def _he(weight: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")


def _drawn(inputs: int, width: int, outputs: int, seed: int) -> nn.Module:
    """Three hidden layers of ReLU; He's initialisation, Glorot's for the last layer."""
    network = mlp(inputs, width, width, width, outputs, activation=nn.ReLU)
    redrawn(network, _he, seed=seed)
    redrawn(network[-1], nn.init.xavier_uniform_, seed=5000 + seed)
    return network


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """Energy distance, coverage and modes, with both anchors; data, samples and critic drawn."""
    width, batch, rate, penalised = (
        job.setting[name] for name in ("width", "batch", "rate", "penalty")
    )
    target, centres = toy(job.setting["data"])
    generator = _drawn(2, width, 2, job.seed).to(device)
    critic = _drawn(2, width, 1, 1000 + job.seed).to(device)
    if penalised:
        how = {
            "learning_rate": rate, "betas": (0.5, 0.9), "penalty": weighted(0.1, gradient_penalty)
        }  # fmt: skip
    else:
        how = {"optimiser": RMSProp(rate / 2, decay=0.9, epsilon=1e-10), "clip": 0.01}
    fit(
        generator, critic, target, losses.wasserstein(), steps=steps, batch_size=batch,
        discriminator_steps=5, seed=job.seed, progress=progress, **how,
    )  # fmt: skip
    samples = plane.shown(generator)
    real = target.sample(plane.COUNT, torch.Generator().manual_seed(3_000_001))
    pictures = [plane.picture(points, _REACH) for points in (real, samples)]
    return Outcome(
        plane.judged(samples, target, centres),
        torch.stack([*pictures, _surface(critic, len(pictures[0][0]), device)]), 3,
    )  # fmt: skip


def _surface(critic: nn.Module, side: int, device: torch.device) -> Tensor:
    """The critic on the square as a picture (1, side, side), its lowest value black."""
    at = torch.linspace(-_REACH, _REACH, side)
    places = torch.cartesian_prod(at.flip(0), at).flip(1)  # rows from the top
    with torch.no_grad():
        values = critic(places.to(device)).cpu().reshape(1, side, side)
    low, high = values.min(), values.max()
    return 2 * (values - low) / (high - low).clamp(min=1e-12) - 1


def _rows(width: int, batch: int, rate: float) -> dict[str, dict[str, object]]:
    return {
        f"{name}, {how}": {
            "data": name, "penalty": how == "penalty", "width": width, "batch": batch, "rate": rate
        }
        for name in _TOYS
        for how in ("penalty", "clipping")
    }  # fmt: skip


TARGET = Target(
    name="wgan-gp-toys",
    question="Does a gradient penalty learn the toy data sets that weight clipping misses?",
    protocol=(
        "Wasserstein loss, five critic steps a generator step. Networks of three hidden layers of "
        "ReLU on two normal latents; He's initialisation, Glorot's for the last layer. Penalty: "
        "weight 0.1, Adam with betas (0.5, 0.9). Clipping: weights within 0.01, RMSProp at half "
        "that rate. Data: rings of 8 (radius 1.414), 5 x 5 grid (spacing 0.707), swiss roll, with "
        "the noise of the source. The last iterate, 2,500 samples: energy distance to fresh "
        "points, share of their neighbourhoods that is reached, and modes where there are some."
    ),
    published=None,
    differences=(
        "The source shows figures, and none of them has a number: there is nothing to compare with "
        "but the pictures. The paper's critics face a generator that is held at the data plus unit "
        "noise, for which its code has a switch; ours are those of the trained pairs.",
        "The source draws the grid's points once, 100,000 of them, and goes through them in one "
        "order; we draw fresh points.",
        "RMSProp's constants (decay 0.9, 1e-10 in the denominator) are its framework's defaults, "
        "from memory; there 1e-10 stands under the root.",
        "Small size: hidden layers of 128 in place of 512, batches of 128 in place of 256, rates "
        "ten times as high, 500 steps in place of 100,000, two seeds in place of three. No "
        "setting was searched.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(128, 128, 1e-3), (100, 101), 500, 15.0, "the committed rows"),
        "full": Size(
            _rows(512, 256, 1e-4), (100, 101, 102), 100_000, 20_000.0,
            "ten steps timed beside other work, 0.25 s with the penalty and 0.15 s with clipping; "
            "the mean of both, times the steps",
        ),
    },
)  # fmt: skip
