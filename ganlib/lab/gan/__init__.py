"""A laboratory for GANs on the plane: the alternating step, compiled, in a page that trains.

:class:`GanLab` is the widget. Its settings are plain names and numbers (:data:`DEFAULTS`), its
presets each show one thing that GANs do (:data:`PRESETS`), and :meth:`GanLab.run` trains in
Python with the very module that the page runs, so that what a text claims about a preset is
measured on the reader's own bits::

    record = GanLab("collapse").run(2000, seed=3)
    record.history["modes"][-1]

The texts of the lessons take their counts from a file, which ``python -m ganlib.lab.lessons``
writes (:mod:`ganlib.lab.gan.lessons`).

What a run shows is a function of (settings, step) alone: all noise comes from the module, each
use from a stream of its own. :class:`Run` is the Python twin of the class of that name in
``engine.js``; the two change together.
"""

from __future__ import annotations

from ganlib.lab.gan.choices import CONTROLS, DEFAULTS, TARGETS, settings
from ganlib.lab.gan.presets import PRESETS, Preset, Scores, Trial, landings_left, scores
from ganlib.lab.gan.run import Record, Run
from ganlib.lab.gan.widget import GanLab

__all__ = [
    "CONTROLS", "DEFAULTS", "PRESETS", "TARGETS", "GanLab", "Preset", "Record", "Run", "Scores",
    "Trial", "landings_left", "scores", "settings",
]  # fmt: skip
