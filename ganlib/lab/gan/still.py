"""What the laboratory shows where it is not live: a picture, its numbers, its words."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ganlib import plotting
from ganlib.lab.gan.choices import TARGETS
from ganlib.lab.gan.run import Record


def shown_steps(record: Record) -> list[float]:
    """Six steps of a history, the first and the last among them."""
    steps = record.history["step"] or []
    places = sorted({round(i * (len(steps) - 1) / 5) for i in range(6)}) if steps else []
    return [steps[i] for i in places]


def numbers(record: Record) -> list[list[Any]]:
    names = {"d": "loss of D", "g": "loss of G", "modes": "modes covered",
             "fair": "modes fairly covered", "quality": "high-quality share",
             "divergence": "divergence (nats)"}  # fmt: skip
    wanted = shown_steps(record)
    steps = record.history["step"] or []
    rows = []
    for name, label in names.items():
        series = record.history[name]
        if series is not None:
            values = [v for s, v in zip(steps, series, strict=True) if s in wanted]
            rows.append([label, *("" if math.isnan(v) else f"{v:.3g}" for v in values)])
    return rows


def in_words(record: Record) -> str:
    if record.diverged:
        return f"The run diverged at step {record.step}."
    words = f"After {record.step} steps"
    if record.history["modes"] is not None:
        modes = TARGETS[record.settings["target"]].modes
        words += (
            f" {record.last('modes'):.0f} of {modes} modes, {record.last('fair'):.0f} fair, "
            f"{100 * record.last('quality'):.0f} % of high quality,"
        )
    return (
        f"{words} divergence {record.last('divergence'):.3f} nats "
        f"(a perfect sampler: {record.floor['median']:.3f})."
    )


def picture(runs: Sequence[Record], labels: Sequence[str]) -> bytes:
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
