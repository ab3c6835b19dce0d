"""The house style: every figure of the book is made with it, for light and dark pages alike.

Figures are SVG with a transparent ground and inks of middle lightness, so one file is legible on
a white and on a dark page. The palette (Okabe and Ito 2008) survives colour blindness; a colour
means one thing in the whole book. Never rely on colour alone: lines also differ by dash, points
by marker.

Examples
--------
>>> (REAL, FAKE, CRITIC, THEORY, ACCENT) == CYCLE[:5]
True
>>> STYLE["text.color"] == INK
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

__all__ = [
    "ACCENT",
    "CRITIC",
    "CYCLE",
    "FAKE",
    "INK",
    "REAL",
    "STYLE",
    "THEORY",
    "Stage",
    "draw_stages",
    "image_grid",
    "kde",
    "kde_contours",
    "scatter",
    "setup",
    "spread",
    "stages",
    "table",
]

REAL = "#2f81c4"  #: data, p
FAKE = "#d9792b"  #: generated samples, q
CRITIC = "#1f9e77"  #: the discriminator or critic
THEORY = "#c2609c"  #: a closed form, to compare a measurement with
ACCENT = "#b8921b"  #: a fifth line
INK = "#767c85"  #: axes and text, 4.1:1 or more against white and against the dark page
#: The colours of the lines of a figure, in turn.
CYCLE = (REAL, FAKE, CRITIC, THEORY, ACCENT, "#7d6fd0", "#4fa3a8")


#: matplotlib's settings for every figure
STYLE: dict[Any, Any] = {
    "figure.figsize": (6.4, 3.6),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=CYCLE, linestyle=("-", "--", "-.", ":", "-", "--", "-.")),
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.18,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "font.size": 10.5,
    "image.cmap": "cividis",
    # Two runs of one cell give the same bytes.
    "svg.hashsalt": "ganlib",
}


def setup() -> None:
    """Set the style of this notebook's figures. Call it once, in the set-up cell.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with plt.rc_context():  # for this block only
    ...     setup()
    ...     plt.rcParams["image.cmap"]
    'cividis'
    """
    plt.rcParams.update(STYLE)
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # a plain Python process: nothing is shown inline
        return
    set_matplotlib_formats("svg", metadata={"Date": None})


def _array(values: Tensor | np.ndarray | Sequence[float]) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def scatter(ax: Axes, points: Tensor | np.ndarray, *, fake: bool = False, **style: Any) -> None:
    """Draw points of shape (N, 2): blue discs for data, orange crosses for generated samples.

    Above 400 points they are rasterised, so that an SVG stays small.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> scatter(ax, torch.randn(100, 2))
    >>> scatter(ax, torch.randn(100, 2), fake=True)
    >>> len(ax.collections)
    2
    >>> plt.close(figure)
    """
    xy = _array(points)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"points have shape {xy.shape}; scatter draws an array of shape (N, 2)")
    style = {
        "color": FAKE if fake else REAL,
        "marker": "x" if fake else "o",
        "s": 14 if fake else 10,
        "alpha": 0.6,
        "linewidths": 0.9 if fake else 0,
        "rasterized": len(xy) > 400,
        **style,
    }
    ax.scatter(xy[:, 0], xy[:, 1], **style)


def kde(points: Tensor | np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density estimate (Scott's bandwidth) of points (N, d) at grid (M, d).

    Examples
    --------
    >>> import numpy as np
    >>> kde(torch.randn(100, 2), np.zeros((3, 2))).shape
    (3,)
    """
    from scipy.stats import gaussian_kde

    return gaussian_kde(_array(points).T)(grid.T)


def kde_contours(
    ax: Axes,
    points: Tensor | np.ndarray,
    limits: tuple[float, float, float, float],
    *,
    resolution: int = 60,
    **style: Any,
) -> None:
    """Contours of the kernel density estimate of points (N, 2) over (x0, x1, y0, y1).

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> kde_contours(ax, torch.randn(100, 2), (-3, 3, -3, 3), resolution=20)
    >>> len(ax.collections)
    1
    >>> plt.close(figure)
    """
    x = np.linspace(limits[0], limits[1], resolution)
    y = np.linspace(limits[2], limits[3], resolution)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    height = kde(points, grid.reshape(-1, 2)).reshape(resolution, resolution)
    ax.contour(x, y, height, **{"levels": 6, "linewidths": 1.1, "cmap": "cividis", **style})


def image_grid(
    images: Tensor | np.ndarray,
    *,
    columns: int = 8,
    ax: Axes | None = None,
    limits: tuple[float, float] = (-1.0, 1.0),
) -> Figure:
    """Tile images into one picture, with an empty gutter between them.

    The gutter and what is missing from a short last row are transparent: the page shows through,
    light or dark.

    Parameters
    ----------
    images
        Shape (N, H, W), (N, 1, H, W) or (N, 3, H, W).
    columns
        Images a row; the last row may be short.
    limits
        The values shown as black and white.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure = image_grid(torch.zeros(5, 1, 8, 8), columns=3)
    >>> len(figure.axes)
    1
    >>> plt.close(figure)
    """
    tiles = _array(images)
    if tiles.ndim == 3:
        tiles = tiles[:, None]
    if tiles.ndim != 4 or tiles.shape[1] not in (1, 3):
        raise ValueError(
            f"images have shape {tuple(tiles.shape)}; expected (N, H, W), (N, 1, H, W) or "
            "(N, 3, H, W)"
        )
    count, _, height, width = tiles.shape
    rows = -(-count // columns)
    low, high = limits
    gap = max(1, round(width / 14))
    step = np.array([height + gap, width + gap])
    picture = np.zeros((*(step * (rows, columns) - gap), 4), dtype=np.float32)  # RGB, opacity
    shown = ((tiles - low) / (high - low)).clip(0, 1).transpose(0, 2, 3, 1)  # (N, H, W, C)
    for number, tile in enumerate(shown):
        top, left = step * divmod(number, columns)
        place = picture[top : top + height, left : left + width]
        place[..., :3], place[..., 3] = tile, 1
    if ax is None:
        tall, wide = picture.shape[:2]
        _, ax = plt.subplots(figsize=(0.62 * columns, 0.62 * columns * tall / wide))
    # "none" puts the image's own pixels into an SVG, in place of thousands of resampled ones
    ax.imshow(picture, interpolation="none")
    ax.set_axis_off()
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure


class Stage(NamedTuple):
    """A layer that multiplies by weights, with what follows it up to the next one.

    Examples
    --------
    >>> stage = Stage("linear", (8,), 24)
    >>> stage.shape, stage.weights  # 2 * 8 + 8
    ((8,), 24)
    """

    name: str  #: its class, and for a convolution its kernel and stride: "Conv2d, 4x4, stride 2"
    shape: tuple[int, ...]  #: of one sample after the stage
    weights: int  #: trained numbers in it, those of the layers that follow included


def stages(network: nn.Sequential, example: Tensor) -> list[Stage]:
    """What each stage of a network makes of a batch ``example`` (N, ...), in evaluation mode.

    A stage begins at every linear or convolutional layer. The network is left in its mode.

    Raises
    ------
    ValueError
        For a network without such a layer.

    Examples
    --------
    >>> from ganlib.networks import mlp
    >>> [(stage.shape, stage.weights) for stage in stages(mlp(2, 8, 1), torch.zeros(1, 2))]
    [((8,), 24), ((1,), 9)]
    """
    found: list[Stage] = []
    training = network.training
    network.eval()
    with torch.no_grad():
        x = example
        for layer in network:
            x = layer(x)
            weights = sum(weight.numel() for weight in layer.parameters())
            shape = tuple(x.shape[1:])
            if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
                found.append(Stage(_named(layer), shape, weights))
            elif found:
                found[-1] = found[-1]._replace(shape=shape, weights=found[-1].weights + weights)
    network.train(training)
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no linear or convolutional layer, so it has no stage to "
            "draw; pass the network that holds them"
        )
    return found


def _named(layer: nn.Linear | nn.modules.conv._ConvNd) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return name
    return f"{name}, {'x'.join(map(str, layer.kernel_size))}, stride {layer.stride[0]}"


def draw_stages(ax: Axes, network: nn.Sequential, example: Tensor, *, color: str = FAKE) -> None:
    """Draw a network from left to right: each stage's shape, layer and number of weights.

    Squares are as high as their side, one behind the other for the channels (five at most).

    Parameters
    ----------
    example
        A batch (N, ...) of the network's inputs.
    color
        Of the squares.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from ganlib.networks import mlp
    >>> figure, ax = plt.subplots()
    >>> draw_stages(ax, mlp(2, 8, 1), torch.zeros(1, 2))
    >>> any("24" in text.get_text() for text in ax.texts)  # the first layer's weights
    True
    >>> plt.close(figure)
    """
    found = stages(network, example)
    shapes = [tuple(example.shape[1:]), *(stage.shape for stage in found)]
    largest = max((shape[-1] for shape in shapes if len(shape) == 3), default=1)
    for place, shape in enumerate(shapes):
        side = 0.06 + 0.5 * (shape[-1] / largest if len(shape) == 3 else 0)
        for behind in reversed(range(min(shape[0], 5) if len(shape) == 3 else 1)):
            corner = (place - side / 2 + 0.035 * behind, -side / 2 + 0.035 * behind)
            ax.add_patch(Rectangle(corner, side, side, fc=color, ec=INK, alpha=0.55, lw=0.8))
        text = " x ".join(map(str, shape))
        ax.text(place, -0.42, text, ha="center", va="top", fontweight="bold")
    for place, stage in enumerate(found):
        kind = stage.name.replace(", ", "\n", 1)
        ax.text(place + 0.5, 0.5, f"{kind}\n{stage.weights:,} weights", ha="center", va="bottom")
        ax.annotate(
            "", (place + 0.66, 0), (place + 0.38, 0), arrowprops={"arrowstyle": "->", "color": INK}
        )
    ax.set(xlim=(-0.4, len(shapes) - 0.5), ylim=(-0.55, 0.95), aspect="equal")
    ax.set_axis_off()


def spread(
    ax: Axes, steps: Sequence[float] | np.ndarray, runs: Tensor | np.ndarray, **style: Any
) -> None:
    """The median of several runs (R, T) over ``steps`` (T,), with the full range shaded.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> spread(ax, [0, 1, 2], torch.tensor([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [9.0, 9.0, 9.0]]))
    >>> ax.lines[0].get_ydata().tolist()  # the medians
    [2.0, 3.0, 4.0]
    >>> plt.close(figure)
    """
    values = _array(runs)
    if values.ndim != 2 or values.shape[1] != len(steps):
        raise ValueError(f"runs have shape {values.shape}; expected (runs, {len(steps)})")
    (line,) = ax.plot(steps, np.median(values, axis=0), **style)
    ax.fill_between(
        steps, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.15, lw=0
    )


def table(rows: Mapping[str, Sequence[Any]], index: Sequence[str], title: str = "") -> Any:
    """A table for a page: columns by name, one label a row, shown by Jupyter as HTML.

    Examples
    --------
    >>> shown = table({"modes": [8, 3]}, ["packed", "plain"])
    >>> "packed" in shown.to_html() if hasattr(shown, "to_html") else "packed" in str(shown)
    True
    """
    from pandas import DataFrame

    frame = DataFrame(
        {
            k: [v.item() if isinstance(v, Tensor) else v for v in column]
            for k, column in rows.items()
        },
        index=list(index),
    )
    frame.index.name = title
    return frame
