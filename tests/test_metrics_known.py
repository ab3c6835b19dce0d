"""Every score on six samplers whose answer is known, its anchors, and implementations that others
keep: SciPy and scikit-learn always, prdc and POT where they are installed."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor

from ganlib import data, distances, metrics

COUNT = 2000
RING = data.ring(std=0.05)
BOX = (-1.5, 1.5, -1.5, 1.5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _around(centres: Tensor, std: float) -> Tensor:
    return data.Mixture("", centres, std).sample(COUNT, seeded(1))


SAMPLERS = {
    "perfect": _around(RING.centres, RING.std),
    "collapsed": _around(RING.centres[:1], 1e-6),
    "half": _around(RING.centres[::2], RING.std),
    "shrunken": _around(RING.centres, RING.std / 2),
    "smeared": _around(RING.centres, 3 * RING.std),
    "disjoint": _around(RING.centres, RING.std) + 10,
}
REAL = RING.sample(COUNT, seeded(2))


def _near(width: float) -> float:
    # Within three standard deviations of a mode, for samples `width` times as wide.
    return 1 - math.exp(-4.5 / width**2)


@pytest.mark.parametrize(
    ("name", "modes", "quality", "reverse_kl"),
    [
        ("perfect", 8, _near(1), 0),
        ("collapsed", 1, 1.0, math.log(8)),
        ("half", 4, _near(1), math.log(2)),
        ("shrunken", 8, _near(0.5), 0),
        ("smeared", 8, _near(3), 0),
        ("disjoint", 0, 0.0, math.inf),
    ],
)
def test_mode_coverage(name: str, modes: int, quality: float, reverse_kl: float) -> None:
    got = metrics.mode_coverage(SAMPLERS[name], RING.centres, RING.std)
    assert got.modes == got.fair == modes
    error = math.sqrt(quality * (1 - quality) / COUNT)
    # A wide mode's samples may also land within its neighbour's radius.
    assert got.high_quality == pytest.approx(quality, abs=5 * error + 0.01 * (name == "smeared"))
    assert got.reverse_kl == pytest.approx(reverse_kl, abs=0.01)


def test_a_stray_sample_covers_a_mode_but_is_not_its_fair_share() -> None:
    samples = SAMPLERS["collapsed"].clone()
    samples[:7] = RING.centres[1:]
    got = metrics.mode_coverage(samples, RING.centres, RING.std)
    assert (got.modes, got.fair) == (8, 1)
    # A quarter of 1/8 of 64 samples is two.
    centres = torch.arange(8.0)[:, None]
    counts = torch.tensor([51, 3, 2, 2, 2, 2, 1, 1])
    got = metrics.mode_coverage(centres.repeat_interleave(counts, 0), centres, 0.1)
    assert (got.modes, got.fair) == (8, 6)


@pytest.mark.parametrize(
    ("name", "precision", "recall", "density", "coverage"),
    [
        ("perfect", (0.9, 1), (0.9, 1), (0.9, 1.1), (0.93, 1)),
        ("collapsed", (1, 1), (0, 0.01), (0, 99), (0, 0.02)),
        ("half", (0.9, 1), (0.45, 0.52), (0.9, 1.1), (0.47, 0.52)),
        ("shrunken", (0.95, 1), (0.6, 0.9), (0.9, 1.2), (0.6, 0.85)),
        ("smeared", (0.3, 0.6), (0.95, 1), (0.1, 0.5), (0.3, 0.9)),
        ("disjoint", (0, 0), (0, 0), (0, 0), (0, 0)),
    ],
)
def test_neighbour_scores(name, precision, recall, density, coverage) -> None:
    fake = SAMPLERS[name]
    found = (*metrics.precision_recall(REAL, fake), *metrics.density_coverage(REAL, fake))
    for value, (low, high) in zip(found, (precision, recall, density, coverage), strict=True):
        assert low <= value <= high


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("perfect", 0.0),
        ("collapsed", 1 + 1 + 2 * 0.05**2),  # |c|^2 + tr S
        ("half", 0.0),  # four modes of eight have the same two moments
        ("shrunken", 2 * (math.sqrt(0.5025) - math.sqrt(0.500625)) ** 2),
        ("smeared", 2 * (math.sqrt(0.5225) - math.sqrt(0.5025)) ** 2),
        ("disjoint", 200.0),
    ],
)
def test_moments(name: str, expected: float) -> None:
    """Fréchet and kernel distance see moments: half of the ring is as good as all of it."""
    found = metrics.frechet_distance(REAL, SAMPLERS[name])
    assert found == pytest.approx(expected, rel=0.03, abs=3e-3)
    kernel = metrics.kernel_distance(REAL, SAMPLERS[name], parts=10)
    if expected < 1:
        assert abs(kernel.value) < 5 * kernel.error + 1e-3
    else:
        assert kernel.value > 5 * kernel.error


@pytest.mark.parametrize(
    ("name", "tv", "kl"),
    [("perfect", 0, None), ("half", 0.5, math.inf), ("disjoint", 1, math.inf)],
)
def test_histogram_divergences(name: str, tv: float, kl: float | None) -> None:
    # Nine cells: one for each mode and an empty one in the middle.
    got = metrics.histogram_divergences(REAL, SAMPLERS[name], BOX, bins=3)
    if name == "disjoint":  # all in the corner cell, which one mode of eight has as well
        tv, kl = 7 / 8, math.inf
    assert got.tv == pytest.approx(tv, abs=0.03)
    assert got.jsd <= math.log(2)
    assert kl is None or got.kl == kl


def _moment(order: int, mean: float, std: float) -> float:
    return {1: mean, 2: mean**2 + std**2, 3: mean**3 + 3 * mean * std**2}[order]


@pytest.mark.parametrize("fake", [(0.0, 1.0), (0.5, 1.0), (0.0, 2.0), (-1.0, 0.3)])
def test_kernel_distance_is_unbiased(fake: tuple[float, float]) -> None:
    # (1 + xy)^3 = 1 + 3 xy + 3 x^2 y^2 + x^3 y^3, so MMD^2 = 3 d1^2 + 3 d2^2 + d3^2 in moments.
    gaps = [_moment(k, *fake) - _moment(k, 0.0, 1.0) for k in (1, 2, 3)]
    expected = 3 * gaps[0] ** 2 + 3 * gaps[1] ** 2 + gaps[2] ** 2
    x, y = torch.randn(2, 20_000, 1, generator=seeded(0), dtype=torch.float64)
    got = metrics.kernel_distance(x, fake[0] + fake[1] * y, parts=400)
    assert abs(got.value - expected) < 5 * got.error
    assert metrics.kernel_distance(x[:2000], fake[0] + fake[1] * y[:2000]).error is None


def test_kernel_distance_against_scikit_learn() -> None:
    x, y = (torch.randn(n, 7, generator=seeded(n), dtype=torch.float64) for n in (60, 45))
    y = y + 0.4

    def expected(x: np.ndarray, y: np.ndarray) -> float:
        own = [polynomial_kernel(z, degree=3, gamma=1 / 7, coef0=1) for z in (x, y)]
        within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in own]
        across = polynomial_kernel(x, y, degree=3, gamma=1 / 7, coef0=1).mean()
        return float(sum(within) - 2 * across)

    got = metrics.kernel_distance(x, y)
    assert got.value == pytest.approx(expected(x.numpy(), y.numpy()), rel=1e-10)
    parts = [expected(x[k : k + 20].numpy(), y[k * 3 // 4 :][:15].numpy()) for k in (0, 20, 40)]
    got = metrics.kernel_distance(x.float(), y.float(), parts=3)
    assert got.value == pytest.approx(np.mean(parts), rel=1e-4)
    assert got.error == pytest.approx(np.std(parts, ddof=1) / math.sqrt(3), rel=1e-4)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_frechet_distance_against_scipy(seed: int, dimension: int) -> None:
    x, y = torch.randn(2, 30, dimension, generator=seeded(seed), dtype=torch.float64)
    y = y @ torch.randn(dimension, dimension, generator=seeded(seed), dtype=torch.float64) + 1
    a, b = (np.atleast_2d(np.cov(z.numpy().T)) for z in (x, y))
    root = np.real(scipy.linalg.sqrtm(a @ b))
    expected = (x.mean(0) - y.mean(0)).square().sum().item() + np.trace(a + b - 2 * root)
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", SAMPLERS)
def test_against_prdc(name: str) -> None:
    prdc = pytest.importorskip("prdc")
    real, fake = REAL[:500].double(), SAMPLERS[name][:400].double()
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    precision, recall = metrics.precision_recall(real, fake, 5)
    density, coverage = metrics.density_coverage(real, fake, 5)
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    assert found == pytest.approx({key: float(value) for key, value in expected.items()})


def test_against_pot() -> None:
    ot = pytest.importorskip("ot")
    x, y = torch.randn(2, 40, 3, generator=seeded(0), dtype=torch.float64)
    w1 = ot.emd2([], [], ot.dist(x.numpy(), y.numpy(), "euclidean"))
    assert distances.wasserstein_matching(x, y).item() == pytest.approx(w1)
    line = ot.wasserstein_1d(x[:, 0].numpy(), y[:, 0].numpy(), p=1)
    assert distances.wasserstein_1d(x[:, 0], y[:, 0]).item() == pytest.approx(float(line))


def test_anchors_of_the_ring() -> None:
    def score(x: Tensor) -> metrics.ModeCoverage:
        return metrics.mode_coverage(x, RING.centres, RING.std)

    found = metrics.anchors(RING, score, count=COUNT, generator=seeded(0))
    assert found.perfect.high_quality == pytest.approx(_near(1), abs=0.01)
    # The featureless ones cover every mode, fairly, with few samples on them.
    assert found.gaussian.modes == found.ball.modes == found.ball.fair == 8
    assert found.gaussian.filled == found.ball.filled == 0
    assert found.perfect.filled == 8
    assert found.gaussian.high_quality < 0.1
    # Eight discs of radius 0.15 in one of the farthest draw, about 1 + 3.5 * 0.05.
    reach = RING.sample(COUNT, seeded(0)).norm(dim=1).max().item()
    assert found.ball.high_quality == pytest.approx(8 * (0.15 / reach) ** 2, abs=0.03)
    # Coordinates on their own: 9 pairs of -1, 0, 1 and 16 of +-0.7 are likely, 8 are modes.
    assert 0.2 < found.factorised.high_quality < 0.6
    torch.manual_seed(0)
    again = metrics.anchors(RING, score, count=COUNT)
    assert again == metrics.anchors(RING, score, count=COUNT, generator=seeded(0))


def test_anchors_keep_what_they_are_named_for() -> None:
    correlated = data.Samples("oblong", torch.randn(4000, 1, 2, generator=seeded(3)).cumsum(2))
    drawn = metrics.anchors(correlated, lambda x: x, count=4000, generator=seeded(0))
    assert {x.shape for x in drawn} == {(4000, 1, 2)}
    covariance = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    for x in (drawn.perfect, drawn.gaussian):
        torch.testing.assert_close(torch.cov(x[:, 0].T), covariance, atol=0.15, rtol=0)
    apart = torch.cov(drawn.factorised[:, 0].T)
    torch.testing.assert_close(apart, torch.diag(covariance.diag()), atol=0.15, rtol=0)
    values = correlated.values[:, 0]
    assert torch.isin(drawn.factorised[:, 0, 0], values[:, 0]).all()
    # Uniform in a disc: a quarter of the area within half of the radius.
    radius = (drawn.ball[:, 0] - values.mean(0)).norm(dim=1)
    assert (radius < radius.max() / 2).double().mean().item() == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="count is 1"):
        metrics.anchors(correlated, lambda x: x, count=1)


def test_no_default_device_is_hidden() -> None:
    real, fake = REAL[:50], SAMPLERS["smeared"][:50]
    with torch.device("meta"):
        values = [
            *metrics.mode_coverage(fake, RING.centres, RING.std),
            *metrics.precision_recall(real, fake),
            *metrics.density_coverage(real, fake),
            *metrics.histogram_divergences(real, fake, BOX),
            metrics.frechet_distance(real, fake),
            metrics.kernel_distance(real, fake, 2).value,
            *metrics.anchors(RING, lambda x: x.mean().item(), 20),
            distances.energy(real, fake).item(),
            distances.mmd2(real, fake).item(),
            distances.wasserstein_matching(real, fake).item(),
            distances.wasserstein_1d(real[:, 0], fake[:, 0]).item(),
            distances.mmd_witness(real, fake)(fake).mean().item(),
            distances.wasserstein_gaussians(0.0, 1.0, torch.ones((), device="cpu"), 2.0).item(),
        ]
        p, q = (x[:8, 0].double().softmax(0) for x in (real, fake))
        at = torch.arange(8.0, dtype=torch.float64, device="cpu")
        cost = (at[:, None] - at).abs()
        values += [distances.fisher(p, q).item(), distances.sobolev(p, q, at).item()]
        values += [distances.transport_plan(p, q, cost)[0].item()]
        values += [distances.kantorovich_potential(p, q, cost)[1].sum().item()]
    assert all(math.isfinite(value) or value == math.inf for value in values)
