"""A GAN that learns 8x8 digits in the reader's page, compiled as the laboratory is.

:class:`DigitsLab` is the widget, and :meth:`DigitsLab.run` trains in Python with the very module
that the page runs::

    DigitsLab().run(500, seed=3).right

What a run shows is a function of (seed, step) alone: all noise comes from the module, each use
from a stream of its own. The rooms, imports downwards::

    seeds      the command that counts ten fresh seeds
    widget     what is shown; still: where nothing is live
    run        one run in Python; ``digits-engine.js`` has its twin, the two change together
    game       the networks, the step and all that is drawn, as one compiled module
    pictures   the training pictures and a classifier, as they travel
"""

from __future__ import annotations

from ganlib.lab.digits.run import Record, Run
from ganlib.lab.digits.widget import DigitsLab

__all__ = ["DigitsLab", "Record", "Run"]
