"""What the digits show where nothing is live: a film of one latent, and its words."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ganlib import plotting
from ganlib.lab.digits.pictures import CLASSES, SIDE, pictures
from ganlib.lab.digits.run import Record

__all__ = ["FILM", "film", "in_words"]

FILM = (0, 50, 100, 250, 500, 1000)  #: the steps that are shown


def in_words(records: Sequence[Record]) -> str:
    """What the classifier reads, step by step."""
    shares = ", ".join(f"{100 * record.right:.0f} % at step {record.step}" for record in records)
    return (
        f"The share of 200 samples that a classifier reads as the digit asked for: {shares}; "
        f"of real pictures that nobody learnt from, {100 * pictures().accuracy:.0f} %."
    )


def film(records: Sequence[Record]) -> bytes:
    """A row of training pictures, then a row a step, as PNG."""
    from matplotlib import pyplot as plt

    given = pictures()
    real = np.stack([given.pictures[given.labels == digit][0].numpy() for digit in range(CLASSES)])
    rows = [("data", real, plotting.REAL)]
    rows += [(f"step {record.step}", record.samples[:CLASSES], plotting.FAKE) for record in records]
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(
            len(rows), 1, figsize=(6.4, 0.52 * len(rows)), layout="none",
            gridspec_kw={"left": 0.13, "right": 0.83, "top": 0.99, "bottom": 0.01, "hspace": 0.1},
        )  # fmt: skip
        for axis, (label, images, colour), record in zip(axes, rows, [None, *records], strict=True):
            axis.imshow(_strip(images, colour), interpolation="nearest")
            axis.set_axis_off()
            at = {"transform": axis.transAxes, "va": "center", "fontsize": 9}
            axis.text(-0.02, 0.5, label, ha="right", **at)
            if record is not None:
                axis.text(1.02, 0.5, f"{100 * record.right:.0f} % as asked", ha="left", **at)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110)
        plt.close(figure)
    small = io.BytesIO()
    Image.open(out).convert("RGB").quantize(64).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _strip(images: np.ndarray, colour: str) -> np.ndarray:
    """Pictures (10, 64) side by side on white, in the colour of their kind."""
    from matplotlib.colors import to_rgb

    share = np.clip((images.reshape(-1, SIDE, SIDE) + 1) / 2, 0, 1)
    gap = np.zeros((SIDE, 1))
    joined = np.concatenate([part for one in share for part in (one, gap)], axis=1)[:, :-1, None]
    ink, deep = np.array(to_rgb(colour)), 0.5 * np.array(to_rgb(colour))
    low = 1 + 2 * joined * (ink - 1)
    high = ink + (2 * joined - 1) * (deep - ink)
    return np.where(joined < 0.5, low, high)
