"""One training run on digits, in Python; ``digits-engine.js`` has its twin."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ganlib.lab import runtime
from ganlib.lab.compiler import Module
from ganlib.lab.digits.game import ASKED, SETTINGS, module
from ganlib.lab.digits.pictures import CLASSES, pictures

__all__ = ["EVERY", "KEPT", "Record", "Run"]

EVERY = 25  #: steps between two verdicts
COLUMNS = ("step", "d", "g", "right", "variety")
KEPT = 400  #: verdicts that a history holds before every second one is dropped

# Each use of noise has streams of its own: number 8 n + use is its n-th draw.
WEIGHTS, PLACES, LATENT_D, ASKED_D, LATENT_G, ASKED_G, SHOWN, JUDGED = range(8)


@dataclass(frozen=True)
class Record:
    """A run as it stands: what the page shows of it.

    Attributes
    ----------
    seed, step
        Of the run, and how many steps each player has taken.
    history
        ``step``, ``d`` and ``g`` (losses of one batch, before its step), ``right`` (the share of
        200 pictures that the classifier reads as the digit asked for) and ``variety`` (their
        variance within a class over that of the training pictures), one entry a verdict.
    diverged
        Whether a loss or a weight is no longer finite; the run stops there.
    samples
        Pictures (60, 64): six latents, each in ten classes.
    read
        The class that the classifier reads in each of them, (60,).
    answers
        What it reads in the 200 judged, (200,): twenty other latents, each in ten classes.
    spread
        The mean variance of a pixel of theirs within a class.
    state, average
        Of :class:`ganlib.lab.flat.FlatStep`, and the average of the generator's weights, which
        draws all that is shown.
    """

    seed: int
    step: int
    history: dict[str, list[float]]
    diverged: bool
    samples: np.ndarray = dataclasses.field(repr=False)
    read: np.ndarray = dataclasses.field(repr=False)
    answers: np.ndarray = dataclasses.field(repr=False)
    spread: float
    state: np.ndarray = dataclasses.field(repr=False)
    average: np.ndarray = dataclasses.field(repr=False)

    @property
    def right(self) -> float:
        """The share of the 200 judged that the classifier reads as the digit asked for."""
        return _right(self.answers)

    @property
    def variety(self) -> float:
        """:attr:`spread` over that of the training pictures: 1 for the data, 0 for templates."""
        return self.spread / pictures().spread

    @property
    def counts(self) -> list[int]:
        """How many of the 200 the classifier reads as each digit; 20 are asked for."""
        return np.bincount(self.answers.astype(int), minlength=CLASSES).tolist()


def _right(answers: np.ndarray) -> float:
    return int((answers == np.arange(ASKED) % CLASSES).sum()) / ASKED


class Run:
    """One training run on the compiled module; ``digits-engine.js`` has its twin.

    Parameters
    ----------
    seed
        Of weights, batches, latents: all that is drawn. From 0 to 2**32 - 1.
    start
        What starts the compiled module: of the same bits, :func:`ganlib.lab.native.start`.
    """

    def __init__(
        self, seed: int, start: Callable[[Module], runtime.Running] = runtime.start
    ) -> None:
        self.module = start(module())
        self._buffers: dict[str, np.ndarray] = {}
        for function in self.module.functions.values():
            self._buffers.update(function.outputs)
            self._buffers.update(function.inputs)
        given = pictures()
        for name in ("pictures", "labels", "judge"):
            self._buffers[name][...] = getattr(given, name).numpy()
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """From the first step."""
        self.seed, self.step, self.stride, self.diverged = seed, 0, 1, False
        self.loss = {"d": math.nan, "g": math.nan}
        self.history: dict[str, list[float]] = {k: [] for k in COLUMNS}
        self._buffers["settings"][...] = SETTINGS
        self._noise("uniform", "uniform", WEIGHTS)
        self._call("initial")
        self._noise("normal", "shown", SHOWN)
        self._noise("normal", "judged", JUDGED)
        self._judge()

    def both(self) -> None:
        """A step of the discriminator, then one of the generator; none once it has diverged."""
        if self.diverged:
            return
        self._noise("uniform", "places", PLACES)
        self._noise("normal", "latent", LATENT_D)
        self._noise("uniform", "asked", ASKED_D)
        self._note("d", self._call("discriminator"))
        self._noise("normal", "latent", LATENT_G)
        self._noise("uniform", "asked", ASKED_G)
        self._note("g", self._call("generator"))
        self.step += 1
        if self.step % (EVERY * self.stride) == 0:
            self._judge()

    def record(self) -> Record:
        """All that can be seen now."""
        seen = {name: view.copy() for name, view in self._call("look").items()}
        found = {name: view.copy() for name, view in self._call("verdict").items()}
        return Record(
            self.seed, self.step, {k: list(v) for k, v in self.history.items()}, self.diverged,
            answers=found["answers"], spread=float(found["spread"]),
            state=self._buffers["state"].copy(), average=self._buffers["average"].copy(), **seen,
        )  # fmt: skip

    def between(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """A latent of the pad in ten classes: pictures (10, 64), and what is read in each.

        The corners of the pad, (0, 0), (1, 0), (0, 1) and (1, 1), are the first four latents.
        """
        self._buffers["at"][...] = x, y
        found = self._call("mix")
        return found["mixed"].copy(), found["read_mixed"].copy()

    def chart(self, digit: int) -> np.ndarray:
        """Pictures (49, 64) of one digit at 7 by 7 latents of the pad."""
        self._buffers["digit"][...] = digit
        return self._call("chart")["chart"].copy()

    def nearest(self, picture: np.ndarray) -> tuple[int, float]:
        """The nearest training picture to a picture (64,): its place, and how far it is.

        The distance is the root of the mean square over pixels, which go from -1 to 1.
        """
        self._buffers["picture"][...] = picture
        found = self._call("nearest")
        return int(found["place"]), float(found["distance"])

    def _judge(self) -> None:
        found = self._call("verdict")
        right, variety = _right(found["answers"]), float(found["spread"]) / pictures().spread
        if not np.isfinite(self._buffers["state"]).all():
            self.diverged = True
            return
        row = (self.step, *self.loss.values(), right, variety)
        for name, value in zip(COLUMNS, row, strict=True):
            self.history[name].append(value)
        if len(self.history["step"]) > KEPT:
            self.stride *= 2
            self.history = {name: values[::2] for name, values in self.history.items()}

    def _note(self, player: str, stepped: Mapping[str, np.ndarray]) -> None:
        self.loss[player] = float(stepped["loss"])
        if not math.isfinite(self.loss[player]):
            self.diverged = True

    def _noise(self, kind: str, name: str, use: int) -> None:
        self.module.draw(kind, self._buffers[name], self.seed, 8 * self.step + use)

    def _call(self, name: str) -> Mapping[str, np.ndarray]:
        function = self.module.functions[name]
        function.run()
        return function.outputs
