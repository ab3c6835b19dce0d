"""Digits learnt in the page, as a widget."""

from __future__ import annotations

import zlib
from typing import Any

from ganlib.lab.digits.game import ASKED, MAP, ROWS, SETTINGS, module
from ganlib.lab.digits.pictures import CLASSES, LEVELS, PIXELS, TRAINING, pictures
from ganlib.lab.digits.run import EVERY, KEPT, Record, Run
from ganlib.lab.digits.still import FILM, film, in_words
from ganlib.lab.widget import Live, Still, table

__all__ = ["DigitsLab"]

TITLE = "A GAN learns to write digits"
_SPEEDS = ("slow", "60 a second", "full speed")  # digits.js has them as rates


class DigitsLab(Live):
    """A class-conditional GAN that learns 8x8 handwritten digits in the reader's page.

    Two small fully connected networks: a generator that is told the class beside its noise, and
    the projection discriminator (Miyato and Koyama 2018), both derived in `conditional`; the
    non-saturating loss, batches of 64, Adam at 2e-3 with betas (0, 0.99). Every picture is drawn
    from an average of the generator's weights, a :func:`~ganlib.training.fit` ``average`` of
    0.998 that is shorter in the first steps. A classifier that saw other pictures says what it
    reads.

    Parameters
    ----------
    seed
        Of the first run, from 0 to 2**32 - 1.
    speed
        0 for 10 steps a second, 1 for 60, 2 for as many as the machine makes.
    name
        The widget's name on its page.

    Attributes
    ----------
    values
        ``seed`` and ``speed``, as the reader has set them.

    Raises
    ------
    ValueError
        For a seed or a speed that the reader could not set.

    Examples
    --------
    ``DigitsLab()`` is the widget; ``DigitsLab().run(500, seed=3).right`` trains here, with the
    page's own module, and says which share of 200 pictures is read as the digit asked for.
    """

    kind = "digits"

    def __init__(self, seed: int = 0, *, speed: int = 1, name: str = "digits") -> None:
        super().__init__(name=name, compiled={"digits": module()}, spec=_spec(), values={})
        self.modules = {**self.modules, "pictures": zlib.compress(pictures().file, 9)}
        self.values = self.check({"seed": seed, "speed": speed})

    def run(self, steps: int, /, *, seed: int | None = None) -> Record:
        """Train here for so many steps with the page's own module: the same bits as in the page.

        Parameters
        ----------
        steps
            Of each player, 0 or more; a run that diverges stops before.
        seed
            None for the widget's.
        """
        if steps < 0:
            raise ValueError(f"steps is {steps}; it must be 0 or more")
        chosen = self.check({} if seed is None else {"seed": seed})["seed"]
        run = Run(chosen)
        while run.step < steps and not run.diverged:
            run.both()
        return run.record()

    def still(self) -> Still:
        """One latent in ten classes while the run goes on, and what a classifier reads."""
        run, records = Run(self.values["seed"]), []
        for step in FILM:
            while run.step < step and not run.diverged:
                run.both()
            records.append(run.record())
        rows = [
            ["read as the digit asked", *(f"{100 * record.right:.0f} %" for record in records)],
            ["variety within a digit, data 1", *(f"{record.variety:.2f}" for record in records)],
            ["loss of D", *(_last(record, "d") for record in records)],
            ["loss of G", *(_last(record, "g") for record in records)],
        ]
        return Still(
            film(records),
            "image/png",
            f"{TITLE}. One latent of noise, asked for each of the ten digits, at "
            f"{len(records)} steps of training. {in_words(records)}",
            table(f"{TITLE}: 200 samples, by step", ["", *(f"step {s}" for s in FILM)], rows),
        )


def _last(record: Record, player: str) -> str:
    value = record.history[player][-1]
    return "" if value != value else f"{value:.2f}"


def _spec() -> dict[str, Any]:
    given = pictures()
    first = [int((given.labels == digit).nonzero()[0]) for digit in range(CLASSES)]
    return {
        "title": TITLE,
        "controls": [
            {"kind": "noise", "name": "seed", "label": "New seed", "value": 0},
            {"kind": "menu", "name": "speed", "label": "Speed", "value": 1, "options": _SPEEDS},
        ],
        "training": TRAINING, "pixels": PIXELS, "levels": LEVELS, "rows": ROWS, "map": MAP,
        "asked": ASKED, "every": EVERY, "kept": KEPT, "settings": SETTINGS,
        "accuracy": given.accuracy, "spread": given.spread,
        "counts": [int((given.labels == digit).sum()) for digit in range(CLASSES)],
        "examples": given.levels[first].flatten().tolist(),
    }  # fmt: skip
