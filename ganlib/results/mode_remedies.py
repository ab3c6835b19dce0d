"""Target: the remedies of mode collapse, one at a time, at three strengths, from two baselines.

The small size chooses a strength of each remedy, the full one reports them on seeds that chose
nothing. A job is one row of settings with several seeds: what is not compiled shares a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganlib import data, losses, metrics, penalties
from ganlib.networks import MinibatchDiscrimination, mlp, seeded, spectral_norm
from ganlib.optimisers import linear
from ganlib.options import replay
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.studies import sweep
from ganlib.training import sample

__all__ = ["BASELINES", "RING", "STRENGTHS", "TARGET", "measure", "players", "run", "settings"]

RING = data.ring()  # the published one: radius 1, std 0.01
#: Learning rates of generator and discriminator; Adam with beta1 = 0.5 in both.
BASELINES = {"slow D": (1e-3, 1e-4), "equal rates": (1e-3, 1e-3)}
#: Remedy -> what its strength is, and three of them.
STRENGTHS: dict[str, tuple[str, tuple[float, ...]]] = {
    "plain": ("none", (0,)),
    "decaying rates": ("last share of the steps, in which both rates fall to 0", (0.25, 0.5, 1.0)),
    "averaged weights": ("decay of the average", (0.99, 0.999, 0.9999)),
    "packing": ("samples in a pack, 64 packs a step", (2, 3, 4)),
    "minibatch discrimination": ("kernels, in groups of 16", (2, 8, 32)),
    "unrolled": ("steps that G looks ahead", (1, 3, 5)),
    "R1": ("weight", (0.01, 0.1, 1.0)),
    "WGAN-GP": ("weight, with 5 D steps a G step", (0.1, 1.0, 10.0)),
    "spectral norm": ("factor after D, its Lipschitz bound", (1, 4, 16)),
    "replay": ("share of D's fakes from a memory of 1,000", (0.25, 0.5, 0.75)),
}


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def players(
    seed: int, in_pack: int = 1, kernels: int = 0, lipschitz: float = 0
) -> tuple[nn.Module, nn.Module, data.Mixture]:
    """The two networks of 64-64 units, and the ring.

    Parameters
    ----------
    in_pack
        Samples that the discriminator takes at once.
    kernels
        Of minibatch discrimination, on the last hidden layer; 0 is none.
    lipschitz
        With spectral norm, the factor after the last layer; 0 is none.
    """
    generator = mlp(2, 64, 64, 2, activation=nn.ReLU, seed=seed)
    critic = mlp(2 * in_pack, 64, 64, 1, seed=1000 + seed)
    if kernels:
        inner = mlp(2 * in_pack, 64, 64, seed=1000 + seed)
        last = mlp(64 + kernels, 1, seed=2000 + seed)
        compared = seeded(lambda: MinibatchDiscrimination(64, kernels), 3000 + seed)
        critic = nn.Sequential(*inner, nn.LeakyReLU(0.2), compared, *last)
    if lipschitz:
        critic = nn.Sequential(spectral_norm(critic, iterations=4), _Times(lipschitz))
    return generator, critic, RING


def measure(generator: nn.Module) -> dict[str, float]:
    """Modes covered, filled modes, % of high quality of 2,500 samples, and their balance, nats."""
    found = metrics.mode_coverage(sample(generator, 2500), RING.centres, RING.std)
    return {
        "modes": found.modes, "filled": found.filled, "good": 100 * found.high_quality,
        "balance": found.reverse_kl if found.modes else -1.0,  # undefined
    }  # fmt: skip


def settings(baseline: str, remedy: str, strength: float, steps: int) -> dict[str, Any]:
    """What :func:`ganlib.studies.sweep` is told, ``pack``, ``kernels`` and so on included."""
    rates: tuple[Any, Any] = BASELINES[baseline]
    of: dict[str, Callable[[], Mapping[str, Any]]] = {
        "plain": dict,
        "decaying rates": lambda: {"learning_rate": tuple(
            linear(r, over=steps, after=round((1 - strength) * steps)) for r in rates
        )},
        "averaged weights": lambda: {"average": strength},
        "packing": lambda: {
            "pack": int(strength), "in_pack": int(strength), "batch_size": 64 * int(strength)
        },
        "minibatch discrimination": lambda: {"kernels": int(strength)},
        "unrolled": lambda: {"unrolled": int(strength)},
        "R1": lambda: {"penalty": penalties.r1, "penalty_weight": strength},
        "WGAN-GP": lambda: {
            "loss": losses.wasserstein(), "penalty": penalties.gradient_penalty,
            "penalty_weight": strength, "discriminator_steps": 5,
        },
        "spectral norm": lambda: {"lipschitz": strength},
        "replay": lambda: {"options": [replay(1000, share=strength)]},
    }  # fmt: skip
    return {"learning_rate": rates, "batch_size": 64, "average": 0.999, **of[remedy]()}


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """Scores of the last iterate and of the averaged weights, a list over the seeds."""
    one = job.setting
    told = settings(one["baseline"], one["remedy"], one["strength"], steps)
    seeds = range(job.seed, job.seed + job.setting["runs"])
    found = sweep(players, [told], seeds, measure=measure, steps=steps, progress=progress)
    failed = [error for error in found["error"] if error]
    if failed:
        raise FloatingPointError(f"{len(failed)} of {len(seeds)} runs, the first: {failed[0]}")
    names = (f"{a}{name}" for a in ("", "averaged ") for name in _SCORES)
    return Outcome({name: found[name].round(4).tolist() for name in names})


_SCORES = ("modes", "filled", "good", "balance")


def _rows(runs: int) -> dict[str, dict[str, Any]]:
    """Every baseline with every remedy at every strength."""
    found = {}
    for baseline in BASELINES:
        for remedy, (_, several) in STRENGTHS.items():
            for strength in several:
                name = f"{baseline}, {remedy}" + ("" if remedy == "plain" else f" {strength:g}")
                found[name] = {
                    "baseline": baseline, "remedy": remedy, "strength": strength, "runs": runs,
                }  # fmt: skip
    return found


TARGET = Target(
    name="mode-remedies",
    question="Which remedy of mode collapse is one, from which baseline, at which strength?",
    protocol=(
        "Ring of 8, radius 1, std 0.01. G 2-64-64-2 (ReLU), D 2-64-64-1 (leaky ReLU), latents "
        "N(0, 1) in the plane, batches of 64, non-saturating loss, Adam (beta1 = 0.5) at 1e-3 for "
        "G and at 1e-4 (slow D) or 1e-3 (equal rates) for D, constant. One remedy at a time, at "
        "three strengths. Scores of 2,500 samples of the last iterate, and of an average of the "
        "weights (decay 0.999). Small: seeds 0 to 4, 4,000 steps, to choose a strength. Full: "
        "seeds 500 to 509, 12,000 steps."
    ),
    published=None,
    differences=(
        "There is no number to compare with: PacGAN's and VEEGAN's tables are of other networks "
        "and longer training.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(5), (0,), 4000, 12.0, "some rows timed, and estimated from them"),
        "full": Size(_rows(10), (500,), 12_000, 68.0, "the small size's seconds times six"),
    },
)
