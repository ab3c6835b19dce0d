"""The lessons of the laboratory: settings, and claims about them that are counted over seeds."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ganlib.lab.gan.run import Record


class Scores(NamedTuple):
    """What a run shows at a step. NaN where the target has no modes, or the run diverged."""

    modes: float  #: covered
    fair: float  #: modes with a quarter or more of an equal share of the high-quality samples
    quality: float  #: share of high-quality samples
    divergence: float  #: nats
    pull: float  #: mean length of the gradient of the generator's cost at a sample
    strongest: float  #: the longest of 64 of them
    low: float  #: what D says on the plane at least: a probability, or its raw output
    high: float  #: and at most
    left: float  #: how often the samples reached the modes and left again

    @property
    def span(self) -> float:
        """How far apart what D says is on the plane."""
        return self.high - self.low


class Trial(NamedTuple):
    """Runs of one setting, and what is claimed of each."""

    label: str
    changes: dict[str, Any]  #: what differs from the lesson's settings
    steps: int  #: after how many steps the claim is about
    holds: Callable[[Scores], bool]


class Preset(NamedTuple):
    """A lesson: settings, a claim about them, a question, and its answer.

    The texts hold no number that a run gave: :mod:`ganlib.lab.gan.lessons` fills them in, from
    the file that ``python -m ganlib.lab.lessons`` writes. ``{itself.held}`` is "27 of 30",
    ``{itself.quality}`` a median, ``{itself.quality_range}`` from the least to the most; the
    other names are those of ``others``, and ``perfect``, ``disc`` and ``gaussian``. Thresholds were
    chosen on seeds 100 to 111; :data:`ganlib.lab.gan.lessons.SEEDS`, which count them, are others.
    """

    title: str
    claim: str
    suggestion: str  #: what to try
    answer: str  #: what came of it
    settings: dict[str, Any]  #: what differs from the defaults
    steps: int  #: after how many steps the claim is about
    holds: Callable[[Scores], bool]  #: the claim, for one run of that many steps
    others: dict[str, Trial]  #: what the answer speaks of
    predict: tuple[str, str]  #: a trial, and what it asks: in how many of its runs ...
    shown: Sequence[str] = ("modes", "fair", "quality", "divergence")  #: the scores of its table
    arrows: float | None = None  #: the arrows are on, and so many times their length

    @property
    def trials(self) -> dict[str, Trial]:
        """The lesson's own runs, ``itself``, and the others."""
        return {"itself": Trial("as it is", {}, self.steps, self.holds), **self.others}


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


def pulls(record: Record) -> np.ndarray:
    """The length of the gradient of the generator's cost, at each of 64 samples."""
    return np.linalg.norm(record.arrows[:, 2:].astype(float), axis=1)


def scores(record: Record) -> Scores:
    """What a run shows as it stands; the steps it has taken are a multiple of 50."""
    found = dict.fromkeys(Scores._fields, math.nan)
    if not record.diverged:
        lengths, field = pulls(record), record.field.astype(float)
        found |= {
            "divergence": record.last("divergence"), "pull": lengths.mean(),
            "strongest": lengths.max(), "low": field.min(), "high": field.max(),
        }  # fmt: skip
        if record.history["modes"] is not None:
            found |= {name: record.last(name) for name in ("modes", "fair", "quality")}
            found["left"] = landings_left(record)
    return Scores(**{name: float(value) for name, value in found.items()})


_CHASE = {"rate_d": 1e-4}
_STRONG_D = {"rate_d": 1e-2, "rate_g": 3e-5, "epsilon": 1e-2, "critic_steps": 10}


def _at_most_half(seen: Scores) -> bool:
    return seen.modes <= 4


def _all_eight(seen: Scores) -> bool:
    return seen.modes == 8


def _came_and_went(seen: Scores) -> bool:
    return seen.left >= 1


def _both_and_good(seen: Scores) -> bool:
    return seen.modes == 2 and seen.quality >= 0.8


def _eight_and_good(seen: Scores) -> bool:
    return seen.modes == 8 and seen.quality >= 0.3


def _eight_and_better(seen: Scores) -> bool:
    return seen.modes == 8 and seen.quality >= 0.35


def _twenty(seen: Scores) -> bool:
    return seen.modes >= 20


def _below_the_disc(seen: Scores) -> bool:
    return seen.divergence < 0.2


#: The lessons, in the order of their buttons.
PRESETS: dict[str, Preset] = {
    "collapse": Preset(
        "Collapse",
        "D learns ten times more slowly than G. After 1,000 steps G covers at most half of the 8 "
        "modes in {itself.held} runs.",
        "let D see two samples at once, or set both rates to 0.001. How many modes then, and how "
        "many samples of high quality?",
        "D sees two at once: all 8 modes in {pairs.held} runs, and {pairs.quality} of the samples "
        "are of high quality. Equal rates: all 8 in {equal.held}, and {equal.quality}. Modes alone "
        "say little: a featureless disc covers all 8 with {disc.quality}; a perfect sampler has "
        "{perfect.quality}.",
        _CHASE,
        1000,
        _at_most_half,
        {
            "pairs": Trial("D sees two", {"pack": 2}, 1000, _all_eight),
            "equal": Trial("equal rates", {"rate_d": 1e-3}, 1000, _all_eight),
        },
        (
            "pairs",
            "D sees two samples at once. In how many of 30 new runs are all 8 modes covered "
            "after 1,000 steps?",
        ),
        arrows=10.0,
    ),
    "packing": Preset(
        "Packing",
        "The settings of the collapse, but D sees two samples at once. After 1,000 steps all 8 "
        "modes are covered, yet under 35 % of the samples are of high quality, in {itself.held} "
        "runs; the median is {itself.quality} (a featureless disc: {disc.quality}, a perfect "
        "sampler: {perfect.quality}).",
        "compare with D seeing one sample, from the same seed; then four. Are more samples at once "
        "better?",
        "One: at most half of the modes in {single.held} runs. Four: all 8 in {four.held}, with "
        "{four.quality} of high quality ({four.quality_range}), and with two {itself.quality} "
        "({itself.quality_range}).",
        {**_CHASE, "pack": 2},
        1000,
        lambda seen: seen.modes == 8 and seen.quality < 0.35,
        {
            "single": Trial("D sees one", {"pack": 1}, 1000, _at_most_half),
            "four": Trial("D sees four", {"pack": 4}, 1000, _all_eight),
        },
        (
            "four",
            "D sees four samples at once. In how many of 30 new runs are all 8 modes "
            "covered after 1,000 steps?",
        ),
    ),
    "healthy": Preset(
        "Equal rates",
        "Both players learn at the rate 0.001. After 800 steps all 8 modes are covered, and 30 % "
        "of the samples or more are of high quality, in {itself.held} runs (a featureless disc: "
        "{disc.quality}, a perfect sampler: {perfect.quality}).",
        "lower the rate of D step by step: where do modes begin to go?",
        "All 8 modes are covered at 0.0005 in {half.held} runs, at 0.0002 in {fifth.held}, at "
        "0.0001 in {tenth.held}; the medians are {half.modes}, {fifth.modes} and {tenth.modes} "
        "modes.",
        {},
        800,
        _eight_and_good,
        {
            "half": Trial("rate of D 0.0005", {"rate_d": 5e-4}, 800, _all_eight),
            "fifth": Trial("rate of D 0.0002", {"rate_d": 2e-4}, 800, _all_eight),
            "tenth": Trial("rate of D 0.0001", {"rate_d": 1e-4}, 800, _all_eight),
        },
        (
            "tenth",
            "The rate of D is 0.0001. In how many of 30 new runs are all 8 modes covered "
            "after 800 steps?",
        ),
    ),
    "oscillation": Preset(
        "Oscillation",
        "The settings of the collapse, with an eye on time. Within 1,000 steps the share of "
        "high-quality samples reaches 30 % and falls below 10 % again in {itself.held} runs.",
        "set the speed to 4 steps a second, and follow the high-quality share. Then set the rate "
        "of D to 0.001: do the samples still come and go?",
        "At equal rates they came and went in {equal.held} runs, and at the end {equal.quality} "
        "were of high quality ({equal.quality_range}); with the slow D {itself.quality} "
        "({itself.quality_range}). A featureless disc has {disc.quality}, a perfect sampler "
        "{perfect.quality}.",
        _CHASE,
        1000,
        _came_and_went,
        {"equal": Trial("equal rates", {"rate_d": 1e-3}, 1000, _came_and_went)},
        (
            "equal",
            "The rate of D is 0.001. In how many of 30 new runs does the high-quality share "
            "reach 30 % and fall below 10 % again within 1,000 steps?",
        ),
        ("left", "modes", "quality", "divergence"),
    ),
    "r1": Preset(
        "R1 penalty",
        "The Wasserstein loss with the R1 penalty on two Gaussians. After 600 steps both are "
        "covered, and 80 % of the samples or more are of high quality, in {itself.held} runs (a "
        "featureless disc: {disc.quality}, one Gaussian: {gaussian.quality}, a perfect sampler: "
        "{perfect.quality}).",
        "set the penalty to none, and train for 1,000 steps. Are both covered now?",
        "Without the penalty the claim holds in {none.held} runs after 600 steps and in "
        "{none_later.held} after 1,000, where {none_later.modes} mode is covered in the median and "
        "{none_later.quality} of the samples are of high quality; with it in {later.held} after "
        "1,000. Good samples are not all: with R1 the divergence is {itself.divergence} nats after "
        "600 steps, that of one Gaussian {gaussian.divergence}, of a perfect sampler "
        "{perfect.divergence}.",
        {"loss": "wasserstein", "target": "two", "penalty": "r1"},
        600,
        _both_and_good,
        {
            "later": Trial("as it is", {}, 1000, _both_and_good),
            "none": Trial("no penalty", {"penalty": "none"}, 600, _both_and_good),
            "none_later": Trial("no penalty", {"penalty": "none"}, 1000, _both_and_good),
        },
        (
            "none_later",
            "No penalty. In how many of 30 new runs are both Gaussians covered, with 80 % "
            "of the samples or more of high quality, after 1,000 steps?",
        ),
    ),
    "saturation": Preset(
        "Saturation",
        "A strong D and the minimax loss. After 100 steps the gradient that reaches a sample is "
        "below 0.01 on average, and no mode is covered, in {itself.held} runs.",
        "read the strongest pull after 100 steps. Arrows are drawn at their true length: can you "
        "see one? Then change the loss to non-saturating, reset, and read it again. "
        "How many times longer?",
        "Minimax: strongest pull {itself.strongest} ({itself.strongest_range}), mean "
        "{itself.pull} ({itself.pull_range}). Non-saturating: strongest {none.strongest} "
        "({none.strongest_range}), mean {none.pull} ({none.pull_range}), and above 1 in "
        "{none.held} runs.",
        {**_STRONG_D, "loss": "minimax"},
        100,
        lambda seen: seen.pull < 0.01 and seen.modes == 0,
        {
            "none": Trial(
                "non-saturating", {"loss": "non-saturating"}, 100, lambda seen: seen.pull > 1
            )
        },
        (
            "none",
            "The loss is non-saturating. In how many of 30 new runs is the mean pull above "
            "1 after 100 steps?",
        ),
        ("pull", "strongest", "modes"),
        1.0,
    ),
    "wasserstein": Preset(
        "Wasserstein with penalty",
        "Five steps of the critic, gradient penalty 0.1. After 300 steps all 8 modes are covered, "
        "and 30 % of the samples or more are of high quality, in {itself.held} runs (a featureless "
        "disc: all 8 too, but {disc.quality}; a perfect sampler: {perfect.quality}).",
        "take the penalty away, or clip the weights in its place. Which of the three keeps what D "
        "says within bounds, and which makes it flattest? Read D's least and greatest value, and "
        "the mean pull, which is D's slope at the samples.",
        "Clipping is the flattest, no penalty the steepest. D's values on the plane lie "
        "{clip.span} apart with clipping, {itself.span} with the penalty, {none.span} without; its "
        "mean slope at the samples is {clip.pull}, {itself.pull} and {none.pull}. The level of D "
        "means nothing: a constant added to a critic changes no difference. The claim above holds "
        "with clipping in {clip.held} runs, without a penalty in {none.held}.",
        {"loss": "wasserstein", "penalty": "gp", "weight": 0.1, "critic_steps": 5, "beta2": 0.9},
        300,
        _eight_and_good,
        {
            "none": Trial("no penalty", {"penalty": "none"}, 300, _eight_and_good),
            "clip": Trial("weights clipped", {"penalty": "clip"}, 300, _eight_and_good),
        },
        (
            "clip",
            "The weights are clipped, with no gradient penalty. In how many of 30 new runs "
            "does the claim above hold after 300 steps?",
        ),
        ("span", "pull", "modes", "quality"),
        0.1,
    ),
    "least-squares": Preset(
        "Least squares",
        "Targets 0, 1, 1 and equal rates. After 800 steps all 8 modes are covered, and 35 % of "
        "the samples or more are of high quality, in {itself.held} runs (a featureless disc: "
        "{disc.quality}, a perfect sampler: {perfect.quality}).",
        "set a = -1, b = 1, c = 0: with D at its best, nothing pushes a G that is slightly wrong "
        "back to the data, to first order. How many modes now? Then set c = 1.",
        "-1, 1, 0: {half_way.modes} modes in the median ({half_way.modes_range}), "
        "{half_way.quality} of high quality, and the claim holds in {half_way.held} runs. "
        "-1, 1, 1, with the same D: {at_real.modes} modes, {at_real.quality} of high quality, and "
        "it holds in {at_real.held}.",
        {"loss": "least-squares"},
        800,
        _eight_and_better,
        {
            "half_way": Trial("-1, 1, 0", {"a": -1.0, "c": 0.0}, 800, _eight_and_better),
            "at_real": Trial("-1, 1, 1", {"a": -1.0}, 800, _eight_and_better),
        },
        (
            "half_way",
            "a = -1, b = 1, c = 0. In how many of 30 new runs does the claim above hold "
            "after 800 steps?",
        ),
    ),
    "grid": Preset(
        "A grid of 25",
        "R1 with weight 0.1, no momentum. After 600 steps at least 20 of the 25 modes are covered, "
        "yet no more than 25 % of the samples are of high quality, in {itself.held} runs (a "
        "featureless disc: {disc.modes} modes and {disc.quality}; a perfect sampler: "
        "{perfect.quality}).",
        "take the penalty away and train for 1,000 steps. Was it the penalty that covered them?",
        "Without it at least 20 modes are covered in {none_later.held} runs after 1,000 steps, and "
        "{none_later.quality} of the samples are of high quality; with it in {later.held}, and "
        "{later.quality}. After 600 steps it is {none.held} without.",
        {"target": "grid", "penalty": "r1", "weight": 0.1, "beta1": 0.0, "beta2": 0.99},
        600,
        lambda seen: seen.modes >= 20 and seen.quality <= 0.25,
        {
            "later": Trial("as it is", {}, 1000, _twenty),
            "none": Trial("no penalty", {"penalty": "none"}, 600, _twenty),
            "none_later": Trial("no penalty", {"penalty": "none"}, 1000, _twenty),
        },
        (
            "none_later",
            "No penalty. In how many of 30 new runs are at least 20 modes covered after "
            "1,000 steps?",
        ),
    ),
    "swiss-roll": Preset(
        "Swiss roll",
        "R1 with weight 10. After 800 steps the divergence is below 0.2 nats in {itself.held} "
        "runs (a featureless disc: {disc.divergence}, a perfect sampler: {perfect.divergence}).",
        "play on: does it stay there? Then start again with weight 0.1: does the roll still beat "
        "the disc?",
        "After 1,600 steps it is below 0.2 in {later.held} runs. With weight 0.1 it is "
        "{weak.divergence} nats after 800 steps ({weak.divergence_range}), and below 0.2 in "
        "{weak.held} runs.",
        {"target": "swiss-roll", "penalty": "r1", "weight": 10.0},
        800,
        _below_the_disc,
        {
            "later": Trial("as it is", {}, 1600, _below_the_disc),
            "weak": Trial("weight 0.1", {"weight": 0.1}, 800, _below_the_disc),
        },
        (
            "weak",
            "The weight is 0.1. In how many of 30 new runs is the divergence below 0.2 nats "
            "after 800 steps?",
        ),
        ("divergence",),
    ),
}


def preset_named(name: str) -> Preset:
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=1, cutoff=0)[0]
        raise ValueError(
            f"there is no preset {name!r}; the nearest is {near!r}, all are {', '.join(PRESETS)}"
        )
    return PRESETS[name]
