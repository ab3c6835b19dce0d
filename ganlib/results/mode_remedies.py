"""Target: the remedies of mode collapse, one at a time, at three strengths, from two baselines.

A job is one remedy from one baseline. It screens the strengths on seeds of their own, with two
read-outs of each run (the last iterate, averaged weights), chooses one strength and one read-out by
:func:`chosen`, and runs that strength on seeds that chose nothing.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganlib import data, losses, metrics, penalties
from ganlib.game import Game, Settings
from ganlib.networks import MinibatchDiscrimination, mlp, seeded, spectral_norm
from ganlib.optimisers import linear
from ganlib.options import replay
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.step import Step, in_place, pure
from ganlib.studies import sweep
from ganlib.training import sample

__all__ = [
    "BASELINES", "RING", "STRENGTHS", "TARGET", "chosen", "measure", "players", "reconstruction",
    "run", "settings",
]  # fmt: skip

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
    "reconstruction": ("weight of the distance of z from F(G(z)) in G's cost", (0.1, 1.0, 10.0)),
}
_SCREENED_ON = range(5)  # seeds that choose a strength, and nothing else
#: What a run that diverged is counted as; a balance of -1 is an undefined one.
_WORST = {"modes": 0.0, "filled": 0.0, "good": 0.0, "balance": -1.0}
_READ_OUTS = ("", "averaged ")  # the last iterate, the averaged weights
_ENGINES = {"replay": "fit"}  # in place of the fastest that carries a remedy: here it is faster


class _Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class _WithLatent(nn.Module):
    """Samples (N, 2) with their latents beside them, and a 1: (N, 5)."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.generator(z), z, torch.ones_like(z[:, :1])], dim=1)


class _WithoutLatent:
    """Points (N, 2) with three zeros beside them: nobody knows the latent of a point."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return nn.functional.pad(RING.sample(count, generator), (0, 3))


class _OnPairs(nn.Module):
    """D on pairs of a point and a latent, F(x) where none is known."""

    def __init__(self, critic: nn.Module, inverse: nn.Module) -> None:
        super().__init__()
        self.critic, self.inverse = critic, inverse

    def forward(self, rows: Tensor, distance: bool = False) -> Tensor:
        """D's outputs (N, 1); or the squared distances of z from F(x), (N,)."""
        x, z, known = rows.split([2, 2, 1], dim=1)
        guessed = self.inverse(x)
        if distance:
            return (z - guessed).square().sum(1)
        pair = torch.cat([x, known * z + (1 - known) * guessed.detach()], dim=1)
        # A player's output must depend on all its weights; F's move by the distance alone.
        return self.critic(pair) + 0 * guessed.sum(1, keepdim=True)


class _Reconstructing(Game):
    """The game on pairs: F, which moves with D, descends its distance; G a part of it too."""

    def discriminator_cost(self, critic: Any, real: Any, fake: Any, *more: Any) -> Tensor:
        return super().discriminator_cost(critic, real, fake, *more) + critic(fake, True).mean()

    def generator_cost(
        self,
        generator: Any,
        critic: Any,
        latent: Any,
        settings: Settings = {},  # noqa: B006 - never changed
    ) -> Tensor:
        far = critic(self.samples(generator, latent), True).mean()
        cost = super().generator_cost(generator, critic, latent, settings)
        return cost + settings["penalty"] * far


def reconstruction(one: Step) -> Step:
    """VEEGAN's third player (Srivastava et al. 2017), for the networks with an ``inverse``.

    G's cost has the squared distance of z from F(G(z)) besides, times the setting
    ``penalty_weight``.
    """
    game = _Reconstructing(one.game.generator, one.game.discriminator, one.game.loss)
    again = (in_place if one.in_place else pure)(game, one.optimisers)
    return again._replace(initial=one.initial)


def players(
    seed: int, in_pack: int = 1, kernels: int = 0, lipschitz: float = 0, inverse: bool = False
) -> tuple[nn.Module, nn.Module, Any]:
    """The two networks of 64-64 units, and the ring.

    Parameters
    ----------
    in_pack
        Samples that the discriminator takes at once.
    kernels
        Of minibatch discrimination, on the last hidden layer; 0 is none.
    lipschitz
        With spectral norm, the factor after the last layer; 0 is none.
    inverse
        Beside the discriminator a third network of 64-64 units guesses the latent of a sample;
        for :func:`reconstruction`.
    """
    generator = mlp(2, 64, 64, 2, activation=nn.ReLU, seed=seed)
    if inverse:
        critic = mlp(2 + 2, 64, 64, 1, seed=1000 + seed)
        guess = mlp(2, 64, 64, 2, seed=2000 + seed)
        return _WithLatent(generator), _OnPairs(critic, guess), _WithoutLatent()
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
    return _scores(sample(generator, 2500)[:, :2])


def _scores(points: Tensor) -> dict[str, float]:
    found = metrics.mode_coverage(points, RING.centres, RING.std)
    return {
        "modes": found.modes, "filled": found.filled, "good": 100 * found.high_quality,
        "balance": found.reverse_kl if found.modes else _WORST["balance"],
    }  # fmt: skip


@functools.lru_cache(1)
def _anchors() -> dict[str, float]:
    """The scores of a perfect sampler and of one Gaussian, a blob."""
    found = metrics.anchors(RING, _scores, generator=torch.Generator().manual_seed(3_000_000))
    kinds = {"perfect": found.perfect, "blob": found.gaussian}
    return {f"{kind} {name}": value for kind, of in kinds.items() for name, value in of.items()}


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
        "reconstruction": lambda: {
            "inverse": True, "options": [reconstruction], "penalty_weight": strength,
        },
    }  # fmt: skip
    return {"learning_rate": rates, "batch_size": 64, "average": 0.999, **of[remedy]()}


def chosen(filled: np.ndarray, good: np.ndarray) -> tuple[int, int]:
    """The places of the strength and of the read-out that the screening chooses.

    Those with the most filled modes in the mean over the seeds; of equals those with the most good
    samples in the mean; of equals again the first.

    Parameters
    ----------
    filled, good
        By strength, read-out and seed, (S, 2, N).
    """
    means = np.stack([filled.mean(2), good.mean(2)], axis=2)  # (S, 2, 2)
    strength, read_out = max(np.ndindex(means.shape[:2]), key=lambda place: tuple(means[place]))
    return strength, read_out


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """The choice, both read-outs of the chosen strength by seed, and what the screening saw.

    ``filled`` and its like are of the last iterate, ``averaged filled`` of the averaged weights;
    ``screened ...`` are by strength, read-out and seed.
    """
    remedy, strengths = (job.setting[name] for name in ("remedy", "strengths"))

    def scores(tried: Sequence[float], seeds: range) -> dict[str, np.ndarray]:
        told = [settings(job.setting["baseline"], remedy, one, steps) for one in tried]
        return _swept(told, seeds, steps, _ENGINES.get(remedy, "exact"), progress)

    screened = scores(strengths, _SCREENED_ON)
    strength, read_out = chosen(screened["filled"], screened["good"])
    judged = scores([strengths[strength]], range(job.seed, job.seed + job.setting["runs"]))
    numbers = {"strength": strengths[strength], "read-out": read_out, **_anchors()}
    for place, which in enumerate(_READ_OUTS):
        numbers |= {f"{which}{name}": judged[name][0, place].tolist() for name in _WORST}
    numbers |= {f"screened {name}": screened[name].tolist() for name in ("filled", "good")}
    return Outcome(numbers)


def _swept(
    told: list[dict[str, Any]], seeds: range, steps: int, engine: str, progress: bool | None
) -> dict[str, np.ndarray]:
    """Each score by setting, read-out and seed; a run that diverged has the worst."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ of \d+ runs failed", UserWarning)
        table = sweep(
            players, told, seeds, measure=measure, steps=steps, engine=engine, progress=progress
        )
    if failed := [error for error in table["error"] if error and "diverged" not in error]:
        raise RuntimeError(failed[0])
    missing = table["seed"] * np.nan
    found = {}
    for name, worst in _WORST.items():
        columns = [table.get(f"{which}{name}", missing).fillna(worst) for which in _READ_OUTS]
        by_run = np.stack(columns, axis=1).round(4)  # (settings x seeds, 2)
        found[name] = by_run.reshape(len(told), len(seeds), 2).swapaxes(1, 2)
    return found


def _rows(runs: int) -> dict[str, dict[str, Any]]:
    """Every remedy from either baseline."""
    return {
        f"{baseline}, {remedy}": {
            "baseline": baseline, "remedy": remedy, "strengths": list(strengths), "runs": runs,
        }
        for remedy, (_, strengths) in STRENGTHS.items()
        for baseline in BASELINES
    }  # fmt: skip


TARGET = Target(
    name="mode-remedies",
    question="Which remedy of mode collapse is one, from which baseline, at which strength?",
    protocol=(
        "Ring of 8, radius 1, std 0.01. G 2-64-64-2 (ReLU), D 2-64-64-1 (leaky ReLU), latents "
        "N(0, 1) in the plane, batches of 64, non-saturating loss, Adam (beta1 = 0.5) at 1e-3 for "
        "G and at 1e-4 (slow D) or 1e-3 (equal rates) for D, constant. One remedy at a time. Two "
        "read-outs of a run, 2,500 samples each: the last iterate, and an average of the weights "
        "(decay 0.999). Seeds 0 to 4 choose one of three strengths and one read-out, by the mean "
        "number of filled modes (of equals by the share of good samples). Seeds 500 to 509 judge "
        "that strength. Beside it a perfect sampler and one Gaussian (blob)."
    ),
    published=None,
    differences=(
        "There is no number to compare with: PacGAN's and VEEGAN's tables are of other networks "
        "and longer training.",
        "Reconstruction is VEEGAN's game on pairs (x, z), its third network and its squared "
        "distance, with this table's networks, the non-saturating cost for G and a weight.",
        "Small size: 3,000 steps in place of 12,000.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(10), (500,), 3000, 51.0, "the committed rows"),
        "full": Size(_rows(10), (500,), 12_000, 204.0, "the small rows, times the steps"),
    },
)  # fmt: skip
