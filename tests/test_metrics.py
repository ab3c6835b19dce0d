"""Every score on cases with a known answer: identical, disjoint, half covered, closed forms."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganlib import checks, data, metrics, pairs


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mode_coverage_counted_by_hand() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    samples = torch.tensor([[0.0, 0.29], [0.1, 0.0], [10.0, 0.0], [10.0, 0.31], [5.0, 0.0]])
    got = metrics.mode_coverage(samples, centres, std=0.1)
    assert got.modes == 2
    assert got.high_quality == pytest.approx(3 / 5)
    # High-quality histogram (2, 1, 0) / 3 against (1, 1, 1) / 3.
    assert got.reverse_kl == pytest.approx(2 / 3 * math.log(2) + 1 / 3 * math.log(1))
    assert got.fair == 2


def test_a_perfect_sampler_scores_what_theory_says() -> None:
    ring = data.ring()
    count = 100_000
    got = metrics.mode_coverage(ring.sample(count, seeded(0)), ring.centres, ring.std)
    share = 1 - math.exp(-4.5)
    assert metrics.perfect_high_quality() == pytest.approx(share)
    assert got.modes == 8
    assert got.high_quality == pytest.approx(share, abs=6 * math.sqrt(share * (1 - share) / count))
    assert got.reverse_kl < 1e-3
    assert got.fair == 8


@pytest.mark.parametrize("kept", range(1, 9))
def test_collapse_to_some_modes(kept: int) -> None:
    ring = data.ring()
    samples = ring.centres[torch.arange(840) % kept]
    got = metrics.mode_coverage(samples, ring.centres, ring.std)
    assert got.modes == kept
    assert got.high_quality == 1.0
    assert got.reverse_kl == pytest.approx(math.log(8 / kept), abs=1e-12)


def test_no_sample_near_a_mode() -> None:
    got = metrics.mode_coverage(torch.full((9, 2), 50.0), data.ring().centres, 0.01)
    assert got == (0, 0.0, math.inf, 0, 0)


def test_perfect_share_by_dimension() -> None:
    assert metrics.perfect_high_quality(1, 1.0) == pytest.approx(math.erf(1 / math.sqrt(2)))


def test_precision_and_recall_of_identical_and_disjoint_sets() -> None:
    points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    assert metrics.precision_recall(points, points) == (1.0, 1.0)
    assert metrics.precision_recall(points, points + 100) == (0.0, 0.0)


def test_precision_and_recall_tell_dropping_from_inventing() -> None:
    rng = torch.Generator().manual_seed(0)
    left, right = torch.randn(300, 2, generator=rng), 50 + torch.randn(300, 2, generator=rng)
    again = torch.randn(300, 2, generator=rng)
    dropping = metrics.precision_recall(torch.cat([left, right]), again)
    assert dropping.precision > 0.9
    assert dropping.recall == pytest.approx(0.5, abs=0.05)
    inventing = metrics.precision_recall(again, torch.cat([left, right]))
    assert inventing.precision == pytest.approx(0.5, abs=0.05)
    assert inventing.recall > 0.9


def test_density_and_coverage() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(1000, 2, generator=rng), torch.randn(1000, 2, generator=rng)
    got = metrics.density_coverage(real, fake)
    assert got.density == pytest.approx(1.0, abs=0.1)
    assert got.coverage == pytest.approx(1 - 2**-5, abs=0.03)
    assert metrics.density_coverage(real, fake + 100) == (0.0, 0.0)
    one_point = metrics.density_coverage(real, real[:1].expand(1000, 2))
    assert one_point.coverage < 0.05


@pytest.mark.parametrize("mean", [0.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_neighbour_scores_keep_their_digits_far_from_the_origin(mean: float, dtype) -> None:
    """Two samples of N(mean, 0.01^2 I): the same score anywhere, but for the rounding of input."""
    rng = torch.Generator().manual_seed(0)
    real, fake = 0.01 * torch.randn(2, 300, 2, generator=rng, dtype=torch.float64)
    exact = metrics.density_coverage(real, fake), metrics.precision_recall(real, fake)
    real, fake = ((mean + x).to(dtype) for x in (real, fake))
    found = metrics.density_coverage(real, fake), metrics.precision_recall(real, fake)
    in_double = (
        metrics.density_coverage(real.double(), fake.double()),
        metrics.precision_recall(real.double(), fake.double()),
    )
    assert found == in_double
    if dtype != torch.float16:  # there 1000 and 1000.01 are one number
        for got, expected in zip((*found[0], *found[1]), (*exact[0], *exact[1]), strict=True):
            assert got == pytest.approx(expected, abs=0.02)


def test_neighbour_scores_in_blocks(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(90, 3, generator=rng), torch.randn(70, 3, generator=rng) + 0.3
    centres = torch.randn(4, 3, generator=rng)

    def scores() -> tuple[object, ...]:
        return (
            metrics.precision_recall(real, fake),
            metrics.density_coverage(real, fake),
            metrics.mode_coverage(real, centres, 0.4),
        )

    whole = scores()
    sizes = []
    plain = pairs.squares

    def counted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x) * len(y))
        return plain(x, y)

    monkeypatch.setattr(pairs, "squares", counted)
    monkeypatch.setattr(pairs, "BLOCK", 200)
    assert scores() == whole
    assert max(sizes) <= 200


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_no_score_of_what_is_no_number(bad: float) -> None:
    good = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    broken = good.clone()
    broken[3, 1] = bad
    for one, other in ((good, broken), (broken, good), (broken, broken)):
        for score in (
            metrics.frechet_distance,
            metrics.precision_recall,
            metrics.density_coverage,
            metrics.kernel_distance,
            lambda x, y: metrics.mode_coverage(x, y, 0.1),
            lambda x, y: metrics.histogram_divergences(x, y, BOX),
        ):
            with pytest.raises(ValueError, match=r"NaN or infinite|no float64"):
                score(one, other)
    for limits in ((-math.inf, math.inf, 0, 1), (-1, 1, 0, math.nan), (-1e308, 1e308, 0, 1)):
        with pytest.raises(ValueError, match="all finite"):
            metrics.histogram_divergences(good, good, limits)
    with checks.off():  # nobody looked: then NaN in is NaN out, or torch's own error
        assert math.isnan(metrics.histogram_divergences(good, good * math.nan, BOX).kl)


@pytest.mark.parametrize("unit", [1e-120, 1e-9, 1.0, 1e9, 1e140])
def test_frechet_distance_in_any_unit(unit: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 40, 3, generator=rng, dtype=torch.float64)
    expected = metrics.frechet_distance(x, 2 * y + 1)
    assert metrics.frechet_distance(unit * x, unit * (2 * y + 1)) == pytest.approx(
        expected * unit**2, rel=1e-12
    )


def test_two_samples_are_enough_for_a_covariance() -> None:
    x = torch.tensor([[0.0], [2.0]])
    # Variances 2 and 8, means 1 and 2.
    assert metrics.frechet_distance(x, 2 * x) == pytest.approx(1 + (8**0.5 - 2**0.5) ** 2)


@given(shift=st.floats(-5, 5), scale=st.floats(0.1, 4))
def test_frechet_distance_of_shifted_and_scaled_features(shift: float, scale: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    variance = torch.cov(x.T).trace().item()
    y = scale * (x - x.mean(0)) + x.mean(0) + shift
    # N(m, S) to N(m + shift, scale^2 S): |shift|^2 + (1 - scale)^2 tr S.
    expected = 3 * shift**2 + (1 - scale) ** 2 * variance
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_frechet_distance_with_a_rotation() -> None:
    # Diagonal covariances in swapped order: sum over axes of (sqrt a - sqrt b)^2.
    rng = torch.Generator().manual_seed(1)
    base = torch.randn(400, 2, generator=rng, dtype=torch.float64)
    base = base - base.mean(0)
    base = base @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(base.T))).T
    x, y = base * torch.tensor([1.0, 3.0]), base * torch.tensor([3.0, 1.0])
    assert metrics.frechet_distance(x, y) == pytest.approx(8.0, rel=1e-6)
    assert metrics.frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    assert metrics.frechet_distance(x[:, :1], y[:, :1]) == pytest.approx(4.0, rel=1e-6)


def test_frechet_distance_with_singular_covariance() -> None:
    flat = torch.zeros(10, 4)
    flat[:, 0] = torch.arange(10.0)
    assert metrics.frechet_distance(flat, flat + 2) == pytest.approx(16.0, rel=1e-6)


BOX = (-1.0, 1.0, -1.0, 1.0)


def test_histograms_identical_and_disjoint() -> None:
    left = torch.rand(500, 2) * 0.5 - 1
    assert metrics.histogram_divergences(left, left, BOX) == (0.0, 0.0, 0.0, 0.0)
    kl, reverse_kl, jsd, tv = metrics.histogram_divergences(left, left + 1.5, BOX)
    assert kl == reverse_kl == math.inf
    assert jsd == pytest.approx(math.log(2))
    assert tv == pytest.approx(1.0)


def test_histograms_half_covered() -> None:
    both = torch.tensor([[-0.5, 0.0], [0.5, 0.0]]).repeat(10, 1)
    half = torch.tensor([[-0.5, 0.0]]).repeat(7, 1)
    kl, reverse_kl, jsd, tv = metrics.histogram_divergences(both, half, BOX, bins=2)
    assert kl == math.inf
    assert reverse_kl == pytest.approx(math.log(2))
    expected = (math.log(2 / 3) / 2 + math.log(2) / 2 + math.log(4 / 3)) / 2
    assert jsd == pytest.approx(expected)
    assert tv == pytest.approx(0.5)


def test_points_outside_count_in_the_border_cells() -> None:
    inside, outside = torch.tensor([[0.99, 0.99]]), torch.tensor([[7.0, 9.0]])
    assert metrics.histogram_divergences(inside, outside, BOX).tv == 0.0


@given(st.integers(0, 10_000))
def test_divergences_of_histograms_are_never_negative(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    got = metrics.histogram_divergences(
        torch.randn(30, 2, generator=rng), torch.randn(40, 2, generator=rng), BOX, bins=3
    )
    assert min(got) >= 0
    assert got.jsd <= math.log(2) + 1e-12
    assert got.tv <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: metrics.mode_coverage(x, x, 0.0), "std is 0.0"),
        (lambda x: metrics.mode_coverage(x[:, 0], x, 1.0), "samples has 1 columns"),
        (lambda x: metrics.mode_coverage(x, x, math.inf), "std is inf"),
        (lambda x: metrics.mode_coverage(x, x, 1.0, math.nan), "within is nan"),
        (lambda x: metrics.mode_coverage(x[:0], x, 1.0), r"\(0, 2\)"),
        (lambda x: metrics.mode_coverage(x / 0 * 0, x, 1.0), "NaN"),
        (lambda x: metrics.frechet_distance(x, x[:, :1]), "2 columns and fake has 1"),
        (lambda x: metrics.frechet_distance(x[:1], x), "at least 2"),
        (lambda x: metrics.precision_recall(x, x, 4), "neighbours is 4"),
        (lambda x: metrics.density_coverage(x, x, 0), "neighbours is 0"),
        (lambda x: metrics.histogram_divergences(x, x, (1, 0, 0, 1)), "limits are"),
        (lambda x: metrics.histogram_divergences(x, x, BOX, bins=2.5), "bins is 2.5"),
        (lambda x: metrics.kernel_distance(x, x, 3), "every part takes at least 2"),
        (lambda x: metrics.precision_recall(x, x, True), "neighbours is True"),
        (lambda x: metrics.histogram_divergences(x[:, :1], x[:, :1], BOX), "1 columns"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.ones(4, 2))


def test_cores_agree_with_counting_by_hand() -> None:
    points = torch.tensor([[0.1, 0.1], [0.9, 0.1], [5.0, 0.9], [-3.0, -2.0]])
    low, high = torch.zeros(2), torch.ones(2)
    # x counts along the first axis; points outside are in the border cells.
    assert metrics.cell_counts(points, low, high, 2).tolist() == [[2.0, 0.0], [1.0, 1.0]]
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    # Of two centres in one place the first counts.
    assert metrics.mode_counts(points, centres, 0.2).tolist() == [1.0, 1.0, 0.0]


def test_cell_masses_are_the_mixtures() -> None:
    grid = data.grid(3, spacing=1.0, std=0.2)
    weights = torch.tensor([0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    low, high = torch.full((2,), -1.5).double(), torch.full((2,), 1.2).double()
    masses = metrics.cell_masses(grid.centres.double(), weights, 0.2, low, high, 6)
    assert masses.sum().item() == pytest.approx(1.0, abs=1e-12)
    rng = torch.Generator().manual_seed(0)
    count = 200_000
    place = torch.multinomial(weights, count, replacement=True, generator=rng)
    points = grid.centres[place] + 0.2 * torch.randn(count, 2, generator=rng)
    seen = metrics.cell_counts(points.double(), low, high, 6) / count
    error = (masses * (1 - masses) / count).sqrt()
    assert ((seen - masses).abs() < 6 * error + 1e-9).all()


@pytest.mark.parametrize("place", [0, 1])
def test_no_number_in_a_cell_is_no_number_in_the_score(place: int) -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.25, 0.5])
    assert metrics.cell_kl(p, q) == pytest.approx(math.log(2))
    assert metrics.cell_kl(q, p) == math.inf
    (p, q)[place][0] = math.nan
    assert metrics.cell_kl(p, q).isnan()
    assert metrics.cell_jsd(p, q).isnan()
    assert metrics.cell_kl(torch.full((3,), math.nan), q).isnan()


def test_features_too_large_for_the_kernel_are_refused() -> None:
    x, y = torch.eye(3, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"size up to 1e.60, whose sixth power"):
        metrics.kernel_distance(x * 1e60, y)
    assert math.isfinite(metrics.kernel_distance(x * 1e60 / 1e60, y / 1e60).value)


def test_anchors_of_pairs_say_what_to_pass() -> None:
    ring = data.ring()
    with pytest.raises(TypeError, match=r"ring\(\) in place of ring\(\).labelled\(\)"):
        metrics.anchors(ring.labelled(), lambda x: x.mean().item(), 10)
    metrics.anchors(ring, lambda x: x.mean().item(), 10)


def test_neighbour_scores_in_memory_that_does_not_grow_with_the_blocks() -> None:
    # In a fresh process: the peak is of the whole life of one.
    code = """
import resource, torch
from ganlib import metrics
draw = torch.Generator().manual_seed(0)
x, y = (torch.randn(6000, 2, generator=draw) for _ in range(2))
metrics.precision_recall(x[:600], y[:600])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
metrics.precision_recall(x, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100 * 1024  # KiB
