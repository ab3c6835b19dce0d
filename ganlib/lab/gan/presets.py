"""The lessons of the laboratory: settings, and claims about them that were counted."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ganlib.lab.gan.run import Record


class Preset(NamedTuple):
    """A lesson: settings, and a claim about them that a test checks over several seeds."""

    title: str
    claim: str  #: measured, with its count of seeds
    suggestion: str  #: what to try
    settings: dict[str, Any]  #: what differs from the defaults
    steps: int  #: after how many steps the claim is about
    holds: Callable[[Record], bool]  #: the claim, for one run of that many steps


def landings_left(record: Record) -> int:
    """How often samples reached the modes and left again.

    Counted by the scores: the high-quality share was at 0.3 or more, then below 0.1.
    """
    landed, left = False, 0
    for share in record.history["quality"] or ():
        landed = landed or share >= 0.3
        if landed and share < 0.1:
            landed, left = False, left + 1
    return left


def pull(record: Record) -> float:
    """The mean length of the gradient of the generator's cost with respect to a sample."""
    return float(np.hypot(record.arrows[:, 2], record.arrows[:, 3]).mean())


_CHASE = {"rate_d": 1e-4}
_STRONG_D = {"rate_d": 1e-2, "rate_g": 3e-5, "epsilon": 1e-2, "critic_steps": 10}

#: Seeds that chose nothing (the settings were chosen on others): the lessons are counted on them.
COUNTED = range(100, 112)

#: The lessons. Each claim was counted with :meth:`GanLab.run`:
#: ``sum(p.holds(GanLab(name).run(p.steps, seed=s)) for s in COUNTED)``.
PRESETS: dict[str, Preset] = {
    "collapse": Preset(
        "Collapse",
        "D learns ten times more slowly than G. After 1,000 steps G covers at most half of the 8 "
        "modes, in 12 of the 12 seeds 100 to 111.",
        "let D see two samples at once, or set both rates to 0.001.",
        _CHASE,
        1000,
        lambda record: record.last("modes") <= 4,
    ),
    "packing": Preset(
        "A cure: packing",
        "The settings of the collapse, but D sees two samples at once. After 1,000 steps all 8 "
        "modes are covered, yet under 35 % of the samples are of high quality, in 12 of the 12 "
        "seeds 100 to 111.",
        "compare with D seeing one sample, from the same seed; then four.",
        {**_CHASE, "pack": 2},
        1000,
        lambda record: record.last("modes") == 8 and record.last("quality") < 0.35,
    ),
    "healthy": Preset(
        "Equal rates",
        "Both players learn at the rate 0.001. After 800 steps all 8 modes are covered, and 30 % "
        "of the samples or more are of high quality, in 10 of the 12 seeds 100 to 111.",
        "lower the rate of D step by step: where do modes begin to go?",
        {},
        800,
        lambda record: record.last("modes") == 8 and record.last("quality") >= 0.3,
    ),
    "oscillation": Preset(
        "Oscillation",
        "The settings of the collapse, with an eye on time. Within 1,000 steps the share of "
        "high-quality samples reaches 30 % and falls below 10 % again in 11 of the 12 seeds 100 "
        "to 111: G goes to a mode, D learns it, G leaves.",
        "slow motion, and the high-quality share; then set the rate of D to 0.001.",
        _CHASE,
        1000,
        lambda record: landings_left(record) >= 1,
    ),
    "r1": Preset(
        "A cure: R1",
        "The Wasserstein loss with the R1 penalty on two Gaussians. After 600 steps both are "
        "covered, and 80 % of the samples or more are of high quality, in 11 of the 12 seeds 100 "
        "to 111.",
        "set the penalty to none, train for 1,000 steps, and try seeds 0 to 3: do they stay?",
        {"loss": "wasserstein", "target": "two", "penalty": "r1"},
        600,
        lambda record: record.last("modes") == 2 and record.last("quality") >= 0.8,
    ),
    "saturation": Preset(
        "Saturation",
        "A strong D and the minimax loss. After 100 steps the gradient that reaches a sample is "
        "below 0.01 on average, and no mode is covered, in 9 of the 12 seeds 100 to 111.",
        "tick “pull on samples” and read the strongest pull (arrows are scaled to fit). Then "
        "change the loss to non-saturating, reset, and read it again after 100 steps.",
        {**_STRONG_D, "loss": "minimax"},
        100,
        lambda record: pull(record) < 0.01 and record.last("modes") == 0,
    ),
    "wasserstein": Preset(
        "Wasserstein with penalty",
        "Five steps of the critic, gradient penalty 0.1. After 300 steps all 8 modes are covered "
        "in 12 of the 12 seeds 100 to 111.",
        "take the penalty away, or clip the weights in its place.",
        {"loss": "wasserstein", "penalty": "gp", "weight": 0.1, "critic_steps": 5, "beta2": 0.9},
        300,
        lambda record: record.last("modes") == 8,
    ),
    "least-squares": Preset(
        "Least squares",
        "Targets 0, 1, 1 and equal rates. After 800 steps all 8 modes are covered, and 35 % of "
        "the samples or more are of high quality, in 12 of the 12 seeds 100 to 111.",
        "set a = -1, b = 1, c = 0: with D at its best, nothing pushes a G that is slightly wrong "
        "back to the data, to first order. How many modes now? Then set c = 1.",
        {"loss": "least-squares"},
        800,
        lambda record: record.last("modes") == 8 and record.last("quality") >= 0.35,
    ),
    "grid": Preset(
        "A grid of 25",
        "R1 with weight 0.1, no momentum. After 600 steps at least 20 of the 25 modes are covered, "
        "yet no more than 25 % of the samples are of high quality, in 12 of the 12 seeds 100 to "
        "111: modes covered is not quality.",
        "take the penalty away and train for 1,000 steps.",
        {"target": "grid", "penalty": "r1", "weight": 0.1, "beta1": 0.0, "beta2": 0.99},
        600,
        lambda record: record.last("modes") >= 20 and record.last("quality") <= 0.25,
    ),
    "swiss-roll": Preset(
        "Swiss roll",
        "R1 with weight 0.1. After 400 steps the divergence is below 0.35 nats in 12 of the 12 "
        "seeds 100 to 111.",
        "play on: does it stay there? Then raise the weight of R1.",
        {"target": "swiss-roll", "penalty": "r1", "weight": 0.1},
        400,
        lambda record: record.last("divergence") < 0.35,
    ),
}


def preset_named(name: str) -> Preset:
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=1, cutoff=0)[0]
        raise ValueError(
            f"there is no preset {name!r}; the nearest is {near!r}, all are {', '.join(PRESETS)}"
        )
    return PRESETS[name]
