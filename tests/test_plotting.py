"""Figures: the same bytes twice, small files, and errors for the wrong shape."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from ganlib import plotting
from ganlib.networks import dcgan_generator, mlp

mpl.use("agg")


@pytest.fixture(autouse=True)
def _own_style():
    with mpl.rc_context():
        plotting.setup()
        yield
    plt.close("all")


def _svg() -> str:
    figure, ax = plt.subplots()
    plotting.scatter(ax, torch.randn(900, 2, generator=torch.Generator().manual_seed(0)))
    plotting.kde_contours(ax, np.random.default_rng(0).normal(size=(80, 2)), (-3, 3, -3, 3))
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def test_two_runs_give_the_same_bytes() -> None:
    assert _svg() == _svg()


def test_many_points_stay_small() -> None:
    assert len(_svg()) < 200_000


def _luminance(colour: str) -> float:
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                for c in mpl.colors.to_rgb(colour)]  # fmt: skip
    return float(np.dot(channels, (0.2126, 0.7152, 0.0722)))


def _contrast(a: str, b: str) -> float:
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", [plotting.INK, *plotting.CYCLE])
@pytest.mark.parametrize("ground", ["#ffffff", "#121212"])
def test_colours_are_legible_on_both_grounds(colour: str, ground: str) -> None:
    # WCAG 2.1 asks 3:1 of graphics; text is drawn in INK.
    assert _contrast(colour, ground) >= (4.0 if colour == plotting.INK else 2.9)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 8, 8), (5, 3, 8, 8)])
def test_image_grid_tiles_in_order(shape: tuple[int, ...]) -> None:
    images = torch.full(shape, -1.0)
    images[1] = 1.0
    figure = plotting.image_grid(images, columns=4)
    picture = figure.axes[0].images[0].get_array()
    height, width = shape[-2:]
    gap = max(1, round(width / 14))
    assert picture.shape == (2 * height + gap, 4 * width + 3 * gap, 4)
    assert (picture[:height, width + gap : 2 * width + gap] == 1).all()  # the second image
    colour, opacity = np.split(np.asarray(picture), [3], axis=2)
    assert colour.sum() == pytest.approx(3 * height * width)  # and it is the only white one
    assert opacity.sum() == 5 * height * width  # nothing between them, nor after the last
    assert not opacity[:, width : width + gap].any()


def test_spread_shades_the_full_range() -> None:
    _, ax = plt.subplots()
    plotting.spread(ax, [0, 1], torch.tensor([[0.0, 1.0], [2.0, 3.0], [1.0, 9.0]]))
    assert ax.lines[0].get_ydata().tolist() == [1.0, 3.0]
    extent = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (extent.min(), extent.max()) == (0.0, 9.0)


def test_stages_tell_shapes_and_all_weights() -> None:
    network = dcgan_generator(10, 28, width=4)
    before = [buffer.clone() for buffer in network.buffers()]
    found = plotting.stages(network, torch.zeros(3, 10))
    assert [stage.shape for stage in found] == [(8, 7, 7), (4, 14, 14), (1, 28, 28)]
    assert found[1].name == "ConvTranspose2d, 4x4, stride 2"
    assert sum(stage.weights for stage in found) == sum(p.numel() for p in network.parameters())
    assert found[1].weights == 8 * 4 * 4 * 4 + 2 * 4  # the kernel, and the normalisation after it
    assert network.training  # and nothing was counted into the running averages
    after = list(network.buffers())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_stages_are_drawn_with_their_numbers() -> None:
    _, axes = plt.subplots(2)
    plotting.draw_stages(axes[0], dcgan_generator(10, 8, width=4), torch.zeros(1, 10))
    plotting.draw_stages(axes[1], mlp(2, 5, 1), torch.zeros(1, 2))
    texts = [[text.get_text() for text in ax.texts] for ax in axes]
    assert {"10", "4 x 4 x 4", "1 x 8 x 8"} <= set(texts[0])
    assert {"2", "5", "1", "Linear\n15 weights", "Linear\n6 weights"} <= set(texts[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ax: plotting.scatter(ax, torch.ones(3, 3)), r"\(3, 3\)"),
        (lambda ax: plotting.image_grid(torch.ones(3, 2, 4, 4)), r"\(3, 2, 4, 4\)"),
        (lambda ax: plotting.spread(ax, [0, 1, 2], torch.ones(2, 2)), r"\(2, 2\)"),
        (
            lambda ax: plotting.draw_stages(
                ax, torch.nn.Sequential(torch.nn.ReLU()), torch.ones(1)
            ),
            "no linear or convolutional layer",
        ),
    ],
)
def test_bad_shapes_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(plt.subplots()[1])
