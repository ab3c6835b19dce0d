"""One training run on the compiled module, in Python; ``engine.js`` has its twin."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganlib.lab import runtime
from ganlib.lab.compiler import Module
from ganlib.lab.formula import NAMES, programs
from ganlib.lab.gan.choices import TARGETS
from ganlib.lab.laboratory import (
    EVERY,
    FIELD,
    KEPT,
    LOSSES,
    OWN,
    PENALTIES,
    PERFECT,
    SHOWN,
    laboratory,
)  # fmt: skip

# Each use of noise has streams of its own: number 8 n + use is its n-th draw.
WEIGHTS, LATENT_D, LATENT_G, PLACES, NOISE, MIX, EVALUATION, IDEAL = range(8)

# What a run takes along to another module.
CARRIED = (
    "state", "evaluation", "anchors", "count", "std", "limits", "reference", "latent", "real",
)  # fmt: skip
COVERAGE = ("modes", "fair", "quality")  # scores that mean nothing where a target has no modes


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
        ``step``, ``d``, ``g`` (losses before the step), ``modes``, ``fair``, ``quality`` and
        ``divergence`` (nats), one entry a score; ``modes``, ``fair`` and ``quality`` are None
        where the target has no modes. A mode that one sample of high quality is nearest to is
        covered; it is fairly covered from a quarter of an equal share of them on.
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
    start
        What starts the compiled module: of the same bits, :func:`ganlib.lab.native.start`.
    """

    def __init__(
        self,
        chosen: Mapping[str, Any],
        start: Callable[[Module], runtime.Running] = runtime.start,
    ) -> None:
        penalty = chosen["penalty"] if chosen["penalty"] in PENALTIES else "none"
        self._starts = {
            own: functools.partial(_started, start, chosen["pack"], penalty, own)
            for own in (False, True)
        }
        self._own = chosen["loss"] == OWN
        self.module, self._buffers = self._starts[self._own]()
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
            name: [] for name in ("step", "d", "g", "modes", "fair", "quality", "divergence")
        }
        if not self.modes:
            self.history |= dict.fromkeys(COVERAGE)
        self._score()

    def change(self, chosen: Mapping[str, Any]) -> None:
        """The settings of the steps to come; what restarts a run takes effect at a reset."""
        self.settings = dict(chosen)
        if (chosen["loss"] == OWN) != self._own:  # another module, which goes on from here
            before, self._own = self._buffers, not self._own
            self.module, self._buffers = self._starts[self._own]()
            for name in CARRIED:
                self._buffers[name][...] = before[name]
        k = [*LOSSES, OWN].index(chosen["loss"])
        clip = chosen["clip"] if chosen["penalty"] == "clip" else math.inf
        names = ("rate_g", "rate_d", "beta1", "beta2", "epsilon", "weight")
        values = [*(chosen[name] for name in names), clip, k, *(chosen[n] for n in "abc")]
        if self._own:
            values += programs([chosen[name] for name in NAMES]).flatten().tolist()
        self._buffers["settings"][...] = values
        self._buffers["width"][...] = chosen["latent"]
        self._buffers["batch"][...] = chosen["batch"]
        self._buffers["logistic"][...] = not self._own and LOSSES[chosen["loss"]].logistic

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
        row = {"step": self.step, **self.loss, **self._judged()}
        for name, value in row.items():
            series = self.history[name]
            assert series is not None
            series.append(value)
        if len(self.history["step"] or ()) > KEPT:
            self.stride *= 2
            self.history = {k: None if v is None else v[::2] for k, v in self.history.items()}

    def _judged(self) -> dict[str, float]:
        """The scores of the points at hand."""
        found = dict(self._call("divergence"))
        if self.modes:
            found |= self._call("coverage")
        return {name: float(value) for name, value in found.items()}

    def judged(self, points: np.ndarray) -> dict[str, float]:
        """The scores of other points than the generator's: 2,500 of them, shape (2500, 2)."""
        self._buffers["points"][...] = points
        return self._judged()

    def _noise(
        self, kind: str, array: np.ndarray, use: int, n: int, seed: int | None = None
    ) -> None:
        self.module.draw(kind, array, self.settings["seed"] if seed is None else seed, 8 * n + use)

    def _call(self, name: str) -> Mapping[str, np.ndarray]:
        function = self.module.functions[name]
        function.run()
        return function.outputs


def _started(
    start: Callable[[Module], runtime.Running], pack: int, penalty: str, own: bool
) -> tuple[runtime.Running, dict[str, np.ndarray]]:
    """A module, and its buffers by name."""
    module = start(laboratory(pack, penalty, own=own))
    buffers: dict[str, np.ndarray] = {}
    for function in module.functions.values():
        buffers.update(function.outputs)
        buffers.update(function.inputs)
    return module, buffers
