"""Target: the tricks that are said to stabilise a GAN, one at a time, on two tasks."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch
from torch import Tensor, nn

from ganlib import data, losses, metrics, networks, options, penalties, scoring
from ganlib.optimisers import SGD, Adam, linear
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.studies import sweep

__all__ = ["RATE", "RING", "TARGET", "DrawnLabels", "digits_parts", "measures"]

#: Of Adam, for both players of the plain run: the best of 1e-3, 2e-3 and 4e-3 on seeds 0 to 3.
RATE = {"ring": 1e-3, "digits": 4e-3}
#: The first task: eight modes, a disc over them is good at one sample in fifty.
RING = data.ring(8, std=0.02)
_WIDTH, _BATCH = 64, 64
_BETAS = (0.5, 0.999)
_SHARE = 4  # the first look comes after a quarter of the steps, the second at the end
_LATENT = {"ring": 2, "digits": 16}


@dataclass(frozen=True)
class DrawnLabels:
    """An objective whose labels are drawn anew for each sample of each batch.

    Charges a sample with label y as real with weight y and as fake with weight 1 - y, as
    :func:`ganlib.losses.smoothed` does with fixed labels. Derived in `stabilising`.

    Attributes
    ----------
    loss
        The plain objective.
    flips
        The share of labels that are swapped, each with this probability.
    real, fake
        Ranges (low, high) that labels are drawn from evenly before that.
    """

    loss: losses.Loss
    flips: float = 0.0
    real: tuple[float, float] = (1.0, 1.0)
    fake: tuple[float, float] = (0.0, 0.0)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The mean cost under labels drawn from torch's generator, which `fit` seeds."""
        on_real, on_fake = self._drawn(real, self.real), self._drawn(fake, self.fake)
        return _labelled(self.loss).discriminator(real, fake, on_fake, on_real)

    def generator(self, fake: Tensor) -> Tensor:
        """That of the plain objective."""
        return self.loss.generator(fake)

    def _drawn(self, outputs: Tensor, ends: tuple[float, float]) -> Tensor:
        low, high = ends
        labels = low + (high - low) * torch.rand_like(outputs)
        return torch.where(torch.rand_like(outputs) < self.flips, 1 - labels, labels)


@functools.lru_cache
def _labelled(loss: losses.Loss) -> losses.Loss:
    """With a symbol for each label; their values follow in the order of the names."""
    return losses.smoothed(loss, sp.Symbol("real"), sp.Symbol("fake"))


class _Evenly(nn.Module):
    """Standard normal numbers into even ones of variance 1, in (-sqrt 3, sqrt 3)."""

    def forward(self, z: Tensor) -> Tensor:
        return math.sqrt(3) * torch.erf(z / math.sqrt(2))


@functools.lru_cache(1)
def digits_parts() -> tuple[Tensor, scoring.Scorer, Tensor]:
    """Images to train on (450, 64), a judge that saw others, and unseen ones (447, 64)."""
    for_judge, reference, training, unseen = scoring.split(
        data.digits(), 450, 450, 450, 447, seed=0
    )
    judge = scoring.fit_scorer(for_judge, reference, seed=0)
    return training.values.flatten(1), judge, unseen.values.flatten(1)


def measures(task: str, samples: Tensor) -> dict[str, float]:
    """What a task's samples get.

    The ring: % of samples within three standard deviations of a mode, fair modes
    (:func:`ganlib.metrics.mode_coverage`). The digits: the scorer's Fréchet distance, classes and
    class KL.
    """
    if task == "ring":
        found = metrics.mode_coverage(samples, RING.centres, RING.std)
        return {"good": 100 * found.high_quality, "fair": found.fair}
    _, judge, _ = digits_parts()
    score = scoring.score(judge, samples.clamp(-1, 1))
    return {"frechet": score.frechet, "classes": score.classes, "class KL": score.class_kl}


def _count(task: str) -> int:
    return 2500 if task == "ring" else len(digits_parts()[2])


def _networks(
    seed: int,
    *,
    task: str,
    width_d: int = _WIDTH,
    relu: bool = False,
    norm: str = "",
    spectral: bool = False,
    dropout: float = 0.0,
    noise: Any = 0.0,
    uniform: bool = False,
    unit: bool = False,
    tanh: bool = True,
) -> tuple[nn.Module, nn.Module, Any]:
    """Both networks of a run and its data; each argument is one change."""
    numbers, size = _LATENT[task], 2 if task == "ring" else 64

    def layer(player: str) -> nn.Module:
        parts: list[nn.Module] = [nn.BatchNorm1d(_WIDTH)] if norm == player else []
        parts.append(nn.ReLU() if relu else networks.leaky_relu())
        if dropout and player == "generator":
            parts.append(networks.Dropout(dropout, seed=seed))
        return parts[0] if len(parts) == 1 else nn.Sequential(*parts)

    output: Callable[[], nn.Module] | None = None
    if task == "digits" and tanh:
        output = nn.Sigmoid if unit else nn.Tanh
    generator = networks.mlp(
        numbers, _WIDTH, _WIDTH, size, activation=lambda: layer("generator"), output=output,
        seed=seed,
    )  # fmt: skip
    if uniform:
        generator = nn.Sequential(_Evenly(), *generator)
    critic: nn.Module = networks.mlp(
        size, width_d, width_d, 1, activation=lambda: layer("discriminator"), seed=1000 + seed
    )
    if spectral:
        critic = networks.seeded(lambda: networks.spectral_norm(critic), seed)
    if noise:
        critic = networks.noisy(critic, noise, seed=seed)
    if task == "ring":
        points: Any = RING
        if unit:
            points = data.Mixture("ring in [0, 1]", (RING.centres + 1) / 2, RING.std / 2)
    else:
        points, _, _ = digits_parts()
        points = (points + 1) / 2 if unit else points
    return generator, critic, points


def _loss(knobs: Mapping[str, Any]) -> Any:
    loss = getattr(losses, knobs.get("loss", "non_saturating"))()
    if "labels" in knobs:
        return losses.smoothed(loss, *knobs["labels"])
    if "flips" in knobs:
        return DrawnLabels(loss, flips=knobs["flips"])
    if "drawn" in knobs:
        real, fake = knobs["drawn"]
        return DrawnLabels(loss, real=tuple(real), fake=tuple(fake))
    return loss


_OPTIONS = {
    "replay": lambda seed: options.replay(1000, share=0.5),
    "past generators": lambda seed: options.past_generators(5, every=100, share=0.5),
}
_NETWORKS = ("width_d", "relu", "norm", "spectral", "dropout", "uniform", "unit", "tanh")


def _setting(knobs: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The setting of a study that a row's plain values say, for a budget of so many steps."""
    setting = {name: knobs[name] for name in ("task", *_NETWORKS) if name in knobs}
    setting |= {"batch_size": _BATCH, "loss": _loss(knobs)}
    rates: list[Any] = [RATE[knobs["task"]] * times for times in knobs.get("rates", (1, 1))]
    if knobs.get("decay"):
        rates = [linear(rate, over=steps, after=steps // 2) for rate in rates]
    betas = (knobs.get("beta1", _BETAS[0]), _BETAS[1])
    if "sgd" in knobs:
        setting["optimiser"] = tuple(
            Adam(rate, *betas) if by is None else SGD(by)
            for rate, by in zip(rates, knobs["sgd"], strict=True)
        )
    else:
        setting |= {"learning_rate": rates, "betas": betas}
    if "noise" in knobs:  # three calls of the discriminator a step
        std = knobs["noise"]
        setting["noise"] = linear(std, over=3 * steps) if knobs.get("falling") else std
    if "option" in knobs:
        setting["options"] = [_OPTIONS[knobs["option"]](0)]
    if "r1" in knobs:
        setting |= {"penalty": penalties.r1, "penalty_weight": knobs["r1"]}
    for name in ("average", "joined", "discriminator_steps"):
        if name in knobs:
            setting[name] = knobs[name]
    return setting


def _measured_by(task: str, unit: bool) -> Callable[[nn.Module], Mapping[str, float]]:
    def measure(generator: nn.Module) -> Mapping[str, float]:
        for layer in generator.modules():
            if isinstance(layer, networks.Dropout):
                layer.train()  # the trick keeps it on when it samples
        samples = generator(torch.randn(_count(task), _LATENT[task]))
        return measures(task, 2 * samples - 1 if unit else samples)

    return measure


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """As many runs as the job says, seeds from its own on, on the CPU, at both budgets."""
    knobs = job.setting
    seeds = range(job.seed, job.seed + knobs["runs"])
    # Labels that are drawn in the loss come from torch's generator, one run after another.
    engine = knobs.get("engine", "fit" if {"flips", "drawn"} & {*knobs} else "exact")
    found: dict[str, list[Any]] = {"looks": [steps // _SHARE, steps]}
    for budget in found["looks"]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ of \d+ runs failed", UserWarning)
            table = sweep(
                _networks, [_setting(knobs, budget)], seeds, engine=engine, steps=budget,
                measure=_measured_by(knobs["task"], knobs.get("unit", False)), progress=False,
            )  # fmt: skip
        failed = [error for error in table["error"] if error and "diverged" not in error]
        if failed:
            raise RuntimeError(failed[0])
        before = "averaged " if "average" in knobs else ""
        for name, worst in _WORST[knobs["task"]].items():
            values = table.get(before + name, table["seed"] * math.nan).fillna(worst)
            found.setdefault(name, []).append([float(f"{value:.4g}") for value in values])
        found.setdefault("engine", []).append(table["engine"].iloc[0])
        found.setdefault("diverged", []).append(int((table["error"] != "").sum()))
    return Outcome(found)


#: What a run that diverged is counted as: no sample good, one average image.
_WORST = {
    "ring": {"good": 0.0, "fair": 0.0},
    "digits": {"frechet": 1.0, "classes": 1.0, "class KL": math.log(10)},
}


#: One change a row, for both tasks; in the order of the page. What two tasks differ in is a pair.
_CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "plain, other draws": {"engine": "fit"},
    "minimax loss": {"loss": "minimax"},
    "least squares": {"loss": "least_squares"},
    "labels .9 and 0": {"labels": [0.9, 0.0]},
    "labels .9 and .1": {"labels": [0.9, 0.1]},
    "flips drawn, 10 %": {"flips": 0.1},
    "labels .95 and .15": {"labels": [0.95, 0.15]},
    "labels drawn, mean .95 and .15": {"drawn": [[0.7, 1.2], [0.0, 0.3]]},
    "five D steps": {"discriminator_steps": 5},
    "D four times faster": {"rates": [1, 4]},
    "D four times slower": {"rates": [1, 0.25]},
    "rates fall to 0": {"decay": True},
    "averaged weights": {"average": 0.99},
    "Adam, beta1 0": {"beta1": 0.0},
    "Adam, beta1 .9": {"beta1": 0.9},
    "spectral norm": {"spectral": True},
    "instance noise, falling": {"noise": 0.1, "falling": True},
    "replay": {"option": "replay"},
    "past generators": {"option": "past generators"},
    "batch norm in G": {"norm": "generator"},
    "batch norm in D, apart": {"norm": "discriminator"},
    "batch norm in D, mixed": {"norm": "discriminator", "joined": True},
    "ReLU": {"relu": True},
    "dropout in G": {"dropout": 0.5},
    "even latents": {"uniform": True},
    "data in [0, 1]": {"unit": True},
    "no tanh": {"tanh": False},
    "SGD for D": {"sgd": [None, 0.1]},
    "SGD for G": {"sgd": [0.1, None]},
    "SGD for both": {"sgd": [0.1, 0.1]},
}


def _rows(runs: int) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, knobs in _CHANGES.items():
        for task in ("ring", "digits"):
            if task == "digits" or "tanh" not in knobs:  # the ring's generator has none
                rows[f"{task}: {name}"] = {"task": task, "runs": runs, **knobs}
    return rows


TARGET = Target(
    name="stabilising",
    question="Which of the tricks that are said to stabilise a GAN change its score, and when?",
    protocol=(
        "Two tasks: a ring of eight modes (radius 1, deviation 0.02), two latents; the 8 x 8 "
        "digits, sixteen latents, tanh. Both networks have two hidden layers of 64 leaky ReLU "
        "units; non-saturating loss, batches of 64, Adam with beta1 = 0.5 at 1e-3 (ring) or 4e-3 "
        "(digits) for both players. Each row changes one thing. A job is sixteen runs, seeds 600 "
        "to 615, scored after a quarter of the steps and at the end, each budget trained from the "
        "start. Ring: % of 2,500 samples within three deviations of a mode, fair modes. Digits: "
        "Fréchet distance of 447 samples by a classifier that saw other digits, classes, class KL."
    ),
    published=None,
    differences=(
        "The list of tricks that is copied most prints no number; there is none to put beside "
        "ours.",
        "The list speaks of convolutional networks on photographs; these are fully connected "
        "ones, small enough for sixteen seeds a row.",
        "Adam's rate in the plain run was chosen on seeds 0 to 3 among 1e-3, 2e-3 and 4e-3, SGD's "
        "on seeds 0 and 1 of 0.1 and 0.5 (for G on the ring alone), at the end of the small size; "
        "every other row has one value, fixed beforehand, the list's where it names one.",
        "Past checkpoints: those of the generator, shown to D. Five D steps take five times the "
        "data and more time; D's and G's steps are otherwise one to one.",
        "All runs are on the CPU, whatever the device.",
        "Rows of the compiled engine and of torch start from the same weights and draw other "
        "batches; the row 'plain, other draws' says what that alone does.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(16), (600,), 1200, 28.0, "the committed rows"),
        "full": Size(_rows(16), (600,), 8000, 190.0, "the small rows, times the steps"),
    },
)  # fmt: skip
