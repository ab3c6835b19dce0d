"""The still of a live figure: its first picture as SVG, and a table of its numbers."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from ganlib import plotting
from ganlib.lab.figure.items import ROLES
from ganlib.lab.figure.values import text_of


def value_of(item: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> Any:
    places = item["outputs"]
    if item["kind"] == "number":
        return outputs[places["value"]].item()
    if "values" in places:
        return outputs[places["values"]]
    return np.stack([outputs[places["x"]], outputs[places["y"]]])


def rows_of(item: Mapping[str, Any], value: Any) -> list[list[str]]:
    """What the table says of one item."""
    name = item["name"]
    if item["kind"] == "number":
        return [[name, f"{text_of(value, item['format'])} {item['unit']}".strip()]]
    if item["kind"] == "bars":
        return [
            [f"{name}: {label}", text_of(v)] for label, v in zip(item["labels"], value, strict=True)
        ]
    if item["kind"] == "points":
        return [[name, f"{value.shape[1]} points"]]
    heights = value if item["kind"] == "field" else value[1]
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return [[name, "no finite value"]]
    return [[name, f"from {text_of(finite.min())} to {text_of(finite.max())}"]]


def picture(spec: Mapping[str, Any], results: Mapping[str, Any]) -> bytes:
    """The figure as SVG; never shown by the notebook, for it has no window and no manager."""
    panels = spec["panels"]
    wide = 2 if len(panels) == 4 else min(len(panels), 3)
    high = -(-len(panels) // wide)
    with rc_context(plotting.STYLE):
        picture = Picture(figsize=((6.4, 8.0, 9.6)[wide - 1], 3.6 * high), dpi=_dpi(results))
        axes = picture.subplots(high, wide, squeeze=False).flatten()
        for ax, panel in itertools.zip_longest(axes, panels):
            if panel is None:
                ax.set_axis_off()
                continue
            ax.set(
                xlim=panel["x"]["limits"], ylim=panel["y"]["limits"],
                xlabel=panel["x"]["label"], ylabel=panel["y"]["label"], title=panel["title"],
            )  # fmt: skip
            if "aspect" in panel:
                ax.set_box_aspect(1 / panel["aspect"])
        for item in spec["items"]:
            if item["kind"] != "number":
                placed = {**item, "group": _group(item, spec["items"])}
                _DRAW[item["kind"]](axes[item["panel"]], placed, results[item["name"]])
        for ax in axes:
            if len(ax.get_legend_handles_labels()[1]) > 1:
                ax.legend()
        if spec["title"]:
            picture.suptitle(spec["title"], color=plotting.INK, fontsize="large")
        file = io.BytesIO()
        picture.savefig(
            file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    # Hundredths of a point are enough, and no spaces: half of the bytes.
    short = re.sub(rb' d="[^"]*"', lambda path: _LONG.sub(rb"\1", path[0]), file.getvalue())
    return re.sub(rb"\s*\n\s*", b"\n", re.sub(rb"<!-- [^>]* -->", b"", short))


def _dpi(results: Mapping[str, Any]) -> int:
    """Fewer dots an inch for crowds of points, which become pixels: see plotting.scatter."""
    return 110 if sum(np.size(value) for value in results.values()) < 4000 else 72


_LONG = re.compile(rb"(\.\d\d)\d+")


def _group(item: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Which it is of its kind in its panel, and of how many: bars stand side by side."""
    same = [
        other["name"]
        for other in items
        if other["kind"] == item["kind"] and other["panel"] == item["panel"]
    ]
    return same.index(item["name"]), len(same)


def _draw_curve(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, line = ROLES[item["role"]]
    ax.plot(*value, color=colour, linestyle="--" if item["dash"] else line, label=item["name"])


def _draw_points(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, _ = ROLES[item["role"]]
    plotting.scatter(
        ax,
        value.T,
        fake=item["role"] == "fake",
        color=colour,
        label=item["name"],
        rasterized=value.shape[1] > 100,
    )


def _draw_field(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    low, high = item["range"] or (None, None)
    # "none" puts the field's own cells into the SVG, in place of thousands of pixels
    ax.imshow(
        value, origin="lower", extent=item["limits"], vmin=low, vmax=high, cmap="cividis",
        interpolation="none", aspect="auto",
    )  # fmt: skip
    ax.grid(False)


def _draw_bars(ax: Axes, item: Mapping[str, Any], value: np.ndarray) -> None:
    colour, _ = ROLES[item["role"]]
    index, count = item["group"]
    wide = 0.8 / count
    places = np.arange(len(value)) + (index - (count - 1) / 2) * wide
    ax.bar(
        places, value, wide, color=colour, label=item["name"], alpha=0.8,
        hatch="///" if item["role"] == "fake" else None,
    )  # fmt: skip
    ax.set_xticks(range(len(value)), item["labels"])
    ax.grid(False, axis="x")


_DRAW: dict[str, Callable[[Axes, Mapping[str, Any], np.ndarray], None]] = {
    "bars": _draw_bars,
    "curve": _draw_curve,
    "field": _draw_field,
    "points": _draw_points,
}
