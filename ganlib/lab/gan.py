"""A laboratory for GANs on the plane: the alternating step, compiled, in a page that trains.

:class:`GanLab` is the widget. Its settings are plain names and numbers (:data:`DEFAULTS`), its
presets each show one thing that GANs do (:data:`PRESETS`), and :meth:`GanLab.run` trains in
Python with the very module that the page runs, so that what a text claims about a preset is
measured on the reader's own bits::

    record = GanLab("collapse").run(2000, seed=3)
    record.history["modes"][-1]

What a run shows is a function of (settings, step) alone: all noise comes from the module, each
use from a stream of its own. :class:`Run` is the Python twin of the class of
that name in ``engine.js``; the two change together.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganlib import data, plotting
from ganlib.lab import runtime
from ganlib.lab.laboratory import (
    ANCHORS,
    EVERY,
    FIELD,
    KEPT,
    LATENT,
    LOSSES,
    PACKS,
    PENALTIES,
    PERFECT,
    SHOWN,
    laboratory,
    name_of,
)  # fmt: skip
from ganlib.lab.widget import Live, Still, checked, table

__all__ = [
    "CONTROLS", "DEFAULTS", "PRESETS", "TARGETS", "GanLab", "Preset", "Record", "Run",
    "landings_left", "pull", "settings",
]  # fmt: skip


class Target(NamedTuple):
    """An entry of the menu of targets: a mixture of Gaussians about its anchors."""

    label: str
    anchors: Tensor  #: (count, 2), the centres, or points along a curve
    std: float
    modes: int  #: 0 where modes mean nothing
    limits: tuple[float, float, float, float] = (-1.5, 1.5, -1.5, 1.5)


def _mixture(label: str, mixture: data.Mixture) -> Target:
    return Target(label, mixture.centres, mixture.std, len(mixture.centres))


def _curve(label: str, mixture: data.Mixture) -> Target:
    # So close together that the sum of Gaussians is smooth along the curve.
    along = mixture.centres
    between = (along[:-1] + along[1:]) / 2
    return Target(label, torch.cat([along, between]), mixture.std, 0)


#: The menu of targets. All fit the square [-1.5, 1.5]^2; the grid is PacGAN's, scaled by 1/4 (and
#: wider: 0.03, not 0.0125), the ring VEEGAN's (and wider: 0.05, not 0.01).
TARGETS: dict[str, Target] = {
    "ring": _mixture("ring of 8", data.ring(8, std=0.05)),
    "grid": _mixture("grid of 25", data.grid(5, spacing=0.5, std=0.03)),
    "two": Target("two Gaussians", torch.tensor([[-0.75, 0.0], [0.75, 0.0]]), 0.15, 2),
    "spiral": _curve("spiral", data.spiral(std=0.03)),
    "swiss-roll": _curve("swiss roll", data.swiss_roll(std=0.03)),
    "drawn": Target("drawn by you", torch.zeros(0, 2), 0.05, 0),
}


def _slider(name: str, value: float, low: float, high: float, label: str, **more: Any) -> Any:
    return {"kind": "slider", "name": name, "value": value, "min": low, "max": high,
            "label": label, "restarts": False, **more}  # fmt: skip


def _menu(name: str, value: Any, options: Mapping[Any, str], label: str, **more: Any) -> Any:
    return {"kind": "menu", "name": name, "value": value, "label": label, "restarts": False,
            "names": list(options), "options": list(options.values()), **more}  # fmt: skip


_TARGET, _GAME, _OPTIMISER = "Target and noise", "Game", "Optimiser"
_TARGETS_OF_LS = {"when": {"loss": ["least-squares"]}, "step": 0.1, "group": _GAME}

#: Every setting but ``drawn``: its default, its limits or what a menu offers, and whether a run
#: starts again when it changes.
CONTROLS: tuple[dict[str, Any], ...] = (
    _menu("target", "ring", {k: t.label for k, t in TARGETS.items()}, "Target",
          group=_TARGET, restarts=True),
    _slider("latent", 2, 1, LATENT, "Noise dimension", step=1, group=_TARGET, restarts=True),
    _menu("batch", 256, {b: str(b) for b in (32, 64, 128, 256)}, "Batch", group=_TARGET),
    _menu("loss", "non-saturating", {k: o.label for k, o in LOSSES.items()}, "Loss", group=_GAME),
    _slider("a", 0.0, -2, 2, "a: target of D for fakes", **_TARGETS_OF_LS),
    _slider("b", 1.0, -2, 2, "b: target of D for real", **_TARGETS_OF_LS),
    _slider("c", 1.0, -2, 2, "c: what G wants D to say", **_TARGETS_OF_LS),
    _menu("penalty", "none", {"none": "none", "gp": "gradient penalty", "r1": "R1",
                              "clip": "weight clipping"}, "Penalty on D", group=_GAME,
          restarts=True),
    _slider("weight", 1.0, 1e-3, 100, "Weight of the penalty", log=True, group=_GAME,
            when={"penalty": ["gp", "r1"]}),
    _slider("clip", 0.1, 1e-3, 1, "D's weights within", log=True, group=_GAME,
            when={"penalty": ["clip"]}),
    _menu("pack", 1, {p: str(p) for p in PACKS}, "Samples D sees at once", group=_GAME,
          restarts=True),
    _slider("critic_steps", 1, 1, 10, "Steps of D for one of G", step=1, group=_GAME),
    _slider("rate_g", 1e-3, 1e-5, 1, "Rate of G", log=True, group=_OPTIMISER),
    _slider("rate_d", 1e-3, 1e-5, 1, "Rate of D", log=True, group=_OPTIMISER),
    _slider("beta1", 0.5, 0, 0.99, "Adam's beta 1", step=0.01, group=_OPTIMISER),
    _slider("beta2", 0.999, 0, 0.999, "Adam's beta 2", step=0.001, group=_OPTIMISER),
    _slider("epsilon", 1e-8, 1e-8, 1e-1, "Adam's epsilon", log=True, group=_OPTIMISER),
    {"kind": "number", "name": "seed", "value": 0, "min": 0, "max": 2**32 - 1, "step": 1,
     "label": "Seed", "group": _TARGET, "restarts": True},
)  # fmt: skip

#: Every setting at its default. ``drawn`` holds x, y, x, y, ... of at most 200 points, or None.
DEFAULTS: dict[str, Any] = {c["name"]: c["value"] for c in CONTROLS} | {"drawn": None}


def settings(**changes: Any) -> dict[str, Any]:
    """All settings of a run: :data:`DEFAULTS` with these changes.

    Raises
    ------
    ValueError
        For a name that is no setting, or a value outside its limits.
    """
    for name in changes:
        if name not in DEFAULTS:
            near = difflib.get_close_matches(name, DEFAULTS, n=1, cutoff=0)[0]
            raise ValueError(
                f"there is no setting {name!r}; the nearest is {near!r}, all are "
                f"{', '.join(DEFAULTS)}"
            )
    chosen = {**DEFAULTS, **changes}
    for given in CONTROLS:
        name, value = given["name"], chosen[given["name"]]
        if given["kind"] == "menu":
            if isinstance(value, bool) or value not in given["names"]:
                allowed = ", ".join(map(repr, given["names"]))
                raise ValueError(f"{name} is {value!r}; choose one of {allowed}")
            continue
        whole = given.get("step") == 1
        checked([given], {name: value})
        if whole and not (value == int(value) and given["min"] <= value <= given["max"]):
            raise ValueError(
                f"{name} is {value!r}; set an integer from {given['min']} to {given['max']}"
            )
        chosen[name] = int(value) if whole else float(value)
    if chosen["loss"] == "least-squares" and chosen["a"] == chosen["b"]:
        raise ValueError(
            f"a = b = {chosen['a']:g}: real and fake have one target, so D has nothing to learn; "
            "choose a different from b"
        )
    drawn = chosen["drawn"]
    if drawn is not None:
        drawn = [float(v) for v in drawn]
        x0, x1, y0, y1 = TARGETS["drawn"].limits
        inside = all(x0 <= x <= x1 for x in drawn[::2]) and all(y0 <= y <= y1 for y in drawn[1::2])
        if len(drawn) % 2 or len(drawn) > 2 * ANCHORS or not inside:
            raise ValueError(
                f"drawn holds {len(drawn)} numbers; give x, y, x, y, ... of at most {ANCHORS} "
                f"points, x from {x0:g} to {x1:g}, y from {y0:g} to {y1:g}"
            )
        chosen["drawn"] = drawn
    return chosen


# Each use of noise has streams of its own: number 8 n + use is its n-th draw.
WEIGHTS, LATENT_D, LATENT_G, PLACES, NOISE, MIX, EVALUATION, IDEAL = range(8)


@dataclass(frozen=True)
class Record:
    """A run as it stands: what the page shows of it.

    Attributes
    ----------
    settings
        All of them.
    step
        Steps taken, counted by the generator's.
    history
        ``step``, ``d``, ``g`` (losses before the step), ``modes``, ``quality`` and
        ``divergence`` (nats), one entry a score; ``modes`` and ``quality`` are None where the
        target has no modes.
    floor
        ``median`` and ``high`` (95 %) of the divergence of a perfect sampler: the same estimate
        on as many samples of the target itself.
    diverged
        Whether a loss or a weight is no longer finite; the run stops there.
    real, samples
        Points (512, 2).
    field
        What D says at the middles of 40 x 40 cells, rows from below: a probability for the
        logistic losses, else its raw output.
    map
        The images (225, 2) of a lattice of latents, the first two of their numbers from -2 to 2.
    arrows
        (64, 4): x, y, and minus the gradient of the generator's cost at that sample.
    state
        The whole state of the step (:mod:`ganlib.step`).
    centres
        The modes (count, 2).
    """

    settings: dict[str, Any]
    step: int
    history: dict[str, list[float] | None]
    floor: dict[str, float]
    diverged: bool
    real: np.ndarray = dataclasses.field(repr=False)
    samples: np.ndarray = dataclasses.field(repr=False)
    field: np.ndarray = dataclasses.field(repr=False)
    map: np.ndarray = dataclasses.field(repr=False)
    arrows: np.ndarray = dataclasses.field(repr=False)
    state: np.ndarray = dataclasses.field(repr=False)
    centres: np.ndarray = dataclasses.field(repr=False)

    def last(self, name: str) -> float:
        """The latest entry of a series of :attr:`history`."""
        series = self.history[name]
        if series is None:
            raise ValueError(f"{self.settings['target']} has no modes, so there is no {name}")
        return series[-1]


class Run:
    """One training run on the compiled module; ``engine.js`` has its twin.

    Parameters
    ----------
    chosen
        All settings, as :func:`settings` returns them.
    """

    def __init__(self, chosen: Mapping[str, Any]) -> None:
        penalty = chosen["penalty"] if chosen["penalty"] in PENALTIES else "none"
        self.module = runtime.start(laboratory(chosen["pack"], penalty))
        self._buffers: dict[str, np.ndarray] = {}
        for function in self.module.functions.values():
            self._buffers.update(function.outputs)
            self._buffers.update(function.inputs)
        self.reset(chosen)

    def reset(self, chosen: Mapping[str, Any]) -> None:
        """From the first step."""
        self.change(chosen)
        self._aim()
        self._noise("uniform", self._buffers["uniform"], WEIGHTS, 0)
        self._call("initial")
        self._noise("normal", self._buffers["evaluation"], EVALUATION, 0)
        self.step, self.stride, self.diverged = 0, 1, False
        self.taken = {"discriminator": 0, "generator": 0}
        self.loss = {"d": math.nan, "g": math.nan}
        self.history: dict[str, list[float] | None] = {
            name: [] for name in ("step", "d", "g", "modes", "quality", "divergence")
        }
        if not self.modes:
            self.history["modes"] = self.history["quality"] = None
        self._score()

    def change(self, chosen: Mapping[str, Any]) -> None:
        """The settings of the steps to come; what restarts a run takes effect at a reset."""
        self.settings = dict(chosen)
        k = list(LOSSES).index(chosen["loss"])
        clip = chosen["clip"] if chosen["penalty"] == "clip" else math.inf
        names = ("rate_g", "rate_d", "beta1", "beta2", "epsilon", "weight")
        values = [*(chosen[name] for name in names), clip, k, *(chosen[n] for n in "abc")]
        self._buffers["settings"][...] = values
        self._buffers["width"][...] = chosen["latent"]
        self._buffers["batch"][...] = chosen["batch"]
        self._buffers["logistic"][...] = LOSSES[chosen["loss"]].logistic

    def _aim(self) -> None:
        target = TARGETS[self.settings["target"]]
        points = target.anchors.numpy()
        if self.settings["target"] == "drawn":
            points = np.reshape(self.settings["drawn"] or [], (-1, 2))
            if not len(points):
                raise ValueError("drawn is empty; give the x, y of a point or more")
        self._buffers["anchors"][...] = 0
        self._buffers["anchors"][: len(points)] = points
        self._buffers["count"][...] = len(points)
        self._buffers["std"][...] = target.std
        self._buffers["limits"][...] = target.limits
        self._call("reference")
        scores = []
        for i in range(PERFECT):
            self._noise("uniform", self._buffers["many_places"], IDEAL, 2 * i, seed=0)
            self._noise("normal", self._buffers["points"], IDEAL, 2 * i + 1, seed=0)
            self._call("perfect")
            scores.append(float(self._call("divergence")["divergence"]))
        scores.sort()
        self.floor = {"median": scores[PERFECT // 2], "high": scores[int(0.95 * PERFECT)]}
        self.real = self._buffers["points"][:SHOWN].copy()
        self.modes = target.modes
        self.centres = points.copy() if target.modes else points[:0]

    def discriminator(self) -> None:
        """One step of the discriminator."""
        n, batch = self.taken["discriminator"], self.settings["batch"]
        self.taken["discriminator"] += 1
        self._latents(LATENT_D, n)
        self._noise("uniform", self._buffers["places"][:batch], PLACES, n)
        self._noise("normal", self._buffers["real"][:batch], NOISE, n)
        self._noise("uniform", self._buffers["mix"][: batch // self.settings["pack"]], MIX, n)
        self._call("reals")
        self._note("d", self._call("discriminator"))

    def generator(self) -> None:
        """One step of the generator, and the scores if they are due."""
        n = self.taken["generator"]
        self.taken["generator"] += 1
        self._latents(LATENT_G, n)
        self._note("g", self._call("generator"))
        self.step += 1
        if self.step % (EVERY * self.stride) == 0:
            self._score()

    def both(self) -> None:
        """The discriminator's steps, then one of the generator; fewer if the run diverges."""
        for _ in range(self.settings["critic_steps"]):
            if not self.diverged:
                self.discriminator()
        if not self.diverged:
            self.generator()

    def record(self) -> Record:
        """All that can be seen now."""
        seen = {name: view.copy() for name, view in self._call("look").items()}
        seen["field"] = seen["field"].reshape(FIELD, FIELD)
        history = {k: None if v is None else list(v) for k, v in self.history.items()}
        return Record(
            self.settings, self.step, history, self.floor, self.diverged, self.real,
            state=self._buffers["state"].copy(), centres=self.centres, **seen,
        )  # fmt: skip

    def _latents(self, use: int, n: int) -> None:
        count = self.settings["latent"] * self.settings["batch"]
        self._noise("normal", self._buffers["normal"][:count], use, n)
        self._call("latents")

    def _note(self, player: str, stepped: Mapping[str, np.ndarray]) -> None:
        self.loss[player] = float(stepped["loss"])
        if not math.isfinite(self.loss[player]) or (
            self.step % EVERY == 0 and not np.isfinite(stepped["state"]).all()
        ):
            self.diverged = True

    def _score(self) -> None:
        points = self._call("generate")["points"]
        if not np.isfinite(points).all():
            self.diverged = True
        if self.diverged:
            return
        row = {"step": self.step, **self.loss}
        row["divergence"] = float(self._call("divergence")["divergence"])
        if self.modes:
            row |= {name: float(v) for name, v in self._call("coverage").items()}
        for name, value in row.items():
            series = self.history[name]
            assert series is not None
            series.append(value)
        if len(self.history["step"] or ()) > KEPT:
            self.stride *= 2
            self.history = {k: None if v is None else v[::2] for k, v in self.history.items()}

    def _noise(
        self, kind: str, array: np.ndarray, use: int, n: int, seed: int | None = None
    ) -> None:
        self.module.draw(kind, array, self.settings["seed"] if seed is None else seed, 8 * n + use)

    def _call(self, name: str) -> Mapping[str, np.ndarray]:
        function = self.module.functions[name]
        function.run()
        return function.outputs


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


class GanLab(Live):
    """The laboratory: a GAN on the plane that trains in the reader's page.

    Parameters
    ----------
    preset
        A name of :data:`PRESETS`.
    compare
        Settings in which a second run, from the same seed, differs from the first: two runs
        side by side. None for one run.
    name
        The widget's name on its page, part of addresses.
    **changes
        Settings that differ from the preset's: names of :data:`DEFAULTS`.

    Attributes
    ----------
    values
        ``preset``, ``settings`` (all of them) and ``compare`` (all of the second run's, or
        None), as the reader has set them.

    Raises
    ------
    ValueError
        For an unknown preset or setting, or a value outside its limits.

    Examples
    --------
    ``GanLab("collapse")`` is the widget; ``GanLab("collapse").run(2000, seed=3)`` trains here,
    with the page's own module, and returns a :class:`Record`.
    """

    kind = "gan"

    def __init__(
        self,
        preset: str = "collapse",
        /,
        *,
        compare: Mapping[str, Any] | None = None,
        name: str | None = None,
        **changes: Any,
    ) -> None:
        chosen = _preset(preset)
        first = settings(**{**chosen.settings, **changes})
        second = None if compare is None else settings(**{**first, **compare})
        super().__init__(
            name=preset if name is None else name,
            compiled={
                name_of(pack, penalty): laboratory(pack, penalty)
                for pack in PACKS
                for penalty in PENALTIES
            },
            spec=_spec(preset),
            values={"preset": preset, "settings": first, "compare": second},
        )

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All values, with what is left out as it was; see :class:`ganlib.lab.widget.Live`."""
        if unknown := values.keys() - {"preset", "settings", "compare"}:
            raise ValueError(
                f"values has {', '.join(sorted(unknown))}; it holds preset, settings and compare"
            )
        before = self.values
        preset = values.get("preset", before.get("preset"))
        _preset(preset)
        old = before.get("settings", DEFAULTS)
        first = settings(**{**old, **values.get("settings", {})})
        second = values.get("compare", before.get("compare"))
        if second is not None:
            second = settings(**{**first, **second})
        return {"preset": preset, "settings": first, "compare": second}

    def run(self, steps: int, /, **changes: Any) -> Record:
        """Train here for so many steps, from the first, with the page's own module.

        Parameters
        ----------
        steps
            Steps of the generator; a run that diverges stops before.
        **changes
            Settings that differ from the widget's, such as ``seed=3``.

        Returns
        -------
        Record
            The same numbers as in the page, to the last bit.
        """
        if steps < 0:
            raise ValueError(f"steps is {steps}; it must be 0 or more")
        run = Run(settings(**{**self.values["settings"], **changes}))
        while run.step < steps and not run.diverged:
            run.both()
        return run.record()

    def still(self) -> Still:
        """A run of the preset's number of steps: its samples, its field, its scores."""
        preset = PRESETS[self.values["preset"]]
        runs = [self.run(preset.steps)]
        if self.values["compare"] is not None:
            runs.append(self.run(preset.steps, **self.values["compare"]))
        labels = ["A", "B"] if len(runs) > 1 else [""]
        said = [
            f"{label} {_said(record)}".strip() for label, record in zip(labels, runs, strict=False)
        ]
        rows = [
            [f"{label} {name}".strip(), *values]
            for label, record in zip(labels, runs, strict=False)
            for name, *values in _numbers(record)
        ]
        columns = ["", *(f"step {int(s)}" for s in _shown_steps(runs[0]))]
        return Still(
            _picture(runs, labels),
            "image/png",
            f"{preset.title}: data and generated samples over the discriminator's field, and the "
            f"scores by step. {' '.join(said)}",
            table(f"{preset.title}: scores by step", columns, rows),
        )


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=1, cutoff=0)[0]
        raise ValueError(
            f"there is no preset {name!r}; the nearest is {near!r}, all are {', '.join(PRESETS)}"
        )
    return PRESETS[name]


def _spec(preset: str) -> dict[str, Any]:
    controls = [dict(control) for control in CONTROLS]
    for control in controls:
        if control["kind"] == "menu":  # a menu's value is a place, as in every widget
            control["value"] = control["names"].index(control["value"])
    return {
        "title": "A laboratory for GANs on the plane",
        "alt": "Data, generated samples and the discriminator's field, with the scores by step.",
        "presets": [
            {"name": name, "title": p.title, "claim": p.claim, "try": p.suggestion,
             "settings": p.settings, "steps": p.steps}
            for name, p in PRESETS.items()
        ],
        "defaults": DEFAULTS,
        "controls": controls,
        "targets": {
            name: {"label": t.label, "anchors": t.anchors.flatten().tolist(), "std": t.std,
                   "limits": t.limits, "modes": t.modes}
            for name, t in TARGETS.items()
        },
        "losses": [
            {"name": name, "label": o.label, "logistic": o.logistic} for name, o in LOSSES.items()
        ],
        "every": EVERY, "kept": KEPT, "perfect": PERFECT, "shown": SHOWN,
    }  # fmt: skip


def _shown_steps(record: Record) -> list[float]:
    """Six steps of a history, the first and the last among them."""
    steps = record.history["step"] or []
    places = sorted({round(i * (len(steps) - 1) / 5) for i in range(6)}) if steps else []
    return [steps[i] for i in places]


def _numbers(record: Record) -> list[list[Any]]:
    names = {"d": "loss of D", "g": "loss of G", "modes": "modes covered",
             "quality": "high-quality share", "divergence": "divergence (nats)"}  # fmt: skip
    wanted = _shown_steps(record)
    steps = record.history["step"] or []
    rows = []
    for name, label in names.items():
        series = record.history[name]
        if series is not None:
            values = [v for s, v in zip(steps, series, strict=True) if s in wanted]
            rows.append([label, *("" if math.isnan(v) else f"{v:.3g}" for v in values)])
    return rows


def _said(record: Record) -> str:
    if record.diverged:
        return f"The run diverged at step {record.step}."
    words = f"After {record.step} steps"
    if record.history["modes"] is not None:
        modes = TARGETS[record.settings["target"]].modes
        words += (
            f" {record.last('modes'):.0f} of {modes} modes, "
            f"{100 * record.last('quality'):.0f} % of high quality,"
        )
    return (
        f"{words} divergence {record.last('divergence'):.3f} nats "
        f"(a perfect sampler: {record.floor['median']:.3f})."
    )


def _picture(runs: Sequence[Record], labels: Sequence[str]) -> bytes:
    from matplotlib import pyplot as plt

    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(
            2, len(runs), figsize=(4.2 * len(runs), 5.6), height_ratios=(2, 1), squeeze=False
        )
        for record, label, (plane, chart) in zip(runs, labels, axes.T, strict=True):
            x0, x1, y0, y1 = TARGETS[record.settings["target"]].limits
            plane.imshow(record.field, extent=(x0, x1, y0, y1), origin="lower", cmap="cividis",
                         alpha=0.6)  # fmt: skip
            for points, colour, mark in (
                (record.real, plotting.REAL, "o"),
                (record.samples, plotting.FAKE, "x"),
            ):
                plane.scatter(*points.T, s=8, c=colour, marker=mark, linewidths=0.7)
            plane.set(xlim=(x0, x1), ylim=(y0, y1), title=label)
            steps = record.history["step"]
            chart.plot(steps, record.history["divergence"], color=plotting.ACCENT,
                       label="divergence (nats)")  # fmt: skip
            chart.axhline(
                record.floor["median"], color=plotting.INK, ls=":", label="perfect sampler"
            )
            if record.history["modes"] is not None:
                share = np.divide(record.history["modes"], TARGETS[record.settings["target"]].modes)
                chart.plot(steps, share, color=plotting.THEORY, ls="--", label="modes (share)")
            chart.set(xlabel="step", ylim=(0, 1.05))
            chart.legend(fontsize="x-small")
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
        plt.close(figure)
    # 128 colours are enough, in a quarter of the bytes.
    small = io.BytesIO()
    few = Image.open(out).quantize(128, method=Image.Quantize.FASTOCTREE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()
