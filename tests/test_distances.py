"""Distances: each against an independent computation, and the laws of a distance."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch import Tensor

from ganlib import distances, pairs
from ganlib.distances import (
    cramer,
    energy,
    kantorovich_potential,
    mmd2,
    mmd2_gaussians,
    mmd_witness,
    transport_plan,
    wasserstein_1d,
    wasserstein_gaussians,
    wasserstein_matching,
)

points = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=12)
masses = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1)), min_size=6, max_size=6).filter(any)


def double(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def probability(values) -> Tensor:
    vector = double(values)
    return vector / vector.sum()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(mean: float, std: float, count: int = 4000) -> Tensor:
    """Equally likely points that stand for a Gaussian: its quantiles at midpoints."""
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return mean + std * torch.special.ndtri(levels)


LINE = {"wasserstein_1d": wasserstein_1d, "cramer": cramer, "energy": energy}
ALL = {**LINE, "mmd2": mmd2}


class TestLaws:
    """What holds for every sample distance."""

    @pytest.mark.parametrize("name", ALL)
    @given(x=points, y=points)
    @settings(max_examples=40, deadline=None)
    def test_a_distance(self, name: str, x: list[float], y: list[float]) -> None:
        distance = ALL[name]
        value = distance(double(x), double(y)).item()
        assert value >= -1e-12
        assert value == pytest.approx(distance(double(y), double(x)).item(), abs=1e-12)
        assert distance(double(x), double(x)).item() == pytest.approx(0, abs=1e-12)
        # A distribution is what counts: neither order nor repetition of a whole sample matters.
        assert value == pytest.approx(distance(double(x[::-1] * 2), double(y)).item(), abs=1e-10)

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_distinct_samples_are_apart_and_keep_their_dtype(self, name, dtype) -> None:
        value = ALL[name](torch.tensor([0.0, 1.0], dtype=dtype), torch.tensor([0.5], dtype=dtype))
        assert value.dtype == dtype
        assert value.shape == ()
        assert value > 0.01

    @pytest.mark.parametrize("name", LINE)
    def test_scales_and_shifts_with_the_points(self, name: str) -> None:
        x, y = torch.randn(9, generator=rng(0)).double(), torch.randn(7, generator=rng(1)).double()
        value = LINE[name](x, y)
        torch.testing.assert_close(LINE[name](3 * x, 3 * y), 3 * value)
        torch.testing.assert_close(LINE[name](x + 5, y + 5), value)
        torch.testing.assert_close(LINE[name](-x[:, None], -y[:, None]), value)

    @pytest.mark.parametrize("name", ALL)
    def test_gradient_in_the_points(self, name: str) -> None:
        x = torch.randn(6, generator=rng(2), dtype=torch.float64).requires_grad_()
        y = torch.randn(5, generator=rng(3), dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(ALL[name], (x, y))

    @pytest.mark.parametrize("name", ALL)
    def test_gradient_at_coinciding_points_is_finite(self, name: str) -> None:
        x = torch.zeros(4, requires_grad=True)
        ALL[name](x, torch.tensor([0.0, 2.0])).backward()
        assert torch.isfinite(x.grad).all()

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            (torch.zeros(0), ValueError, "N >= 1"),
            (torch.tensor([1.0, math.nan]), ValueError, "NaN"),
            (torch.tensor([1, 2]), TypeError, "floating-point"),
            (torch.zeros(2, 2, 2), ValueError, "shape"),
            ([0.0, 1.0], TypeError, "list"),
        ],
    )
    def test_bad_samples(self, name, x, error, message) -> None:
        with pytest.raises(error, match=message):
            ALL[name](x, torch.ones(2))


PLANE = {"energy": energy, "mmd2": mmd2, "matching": wasserstein_matching}


class TestArithmetic:
    """Far from the origin, beyond the format, in half precision, and in bounded memory."""

    @pytest.mark.parametrize("name", PLANE)
    @pytest.mark.parametrize("mean", [0.0, 10.0, 100.0, 1000.0])
    def test_a_tight_cluster_far_away_is_compared_in_float64(self, name, mean) -> None:
        x, y = (mean + 0.01 * torch.randn(2, 60, 2, generator=rng(1))).unbind()
        y = y + 0.03
        value = PLANE[name](x, y)
        # To the last bit that float32 has for the answer.
        assert value == PLANE[name](x.double(), y.double()).float()

    @pytest.mark.parametrize("name", ["energy", "mmd2"])
    def test_the_slope_keeps_its_digits_far_away_too(self, name) -> None:
        x, y = torch.randn(2, 20, 2, generator=rng(1), dtype=torch.float64).unbind()
        slopes = [
            function(lambda p, far=far: ALL[name](p, far + y))(far + x)
            for far in (0.0, 2.0**30)  # where x and y keep 22 bits behind the point
            for function in (torch.func.grad, torch.func.jacfwd)
        ]
        for slope in slopes[1:]:
            torch.testing.assert_close(slope, slopes[0], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("name", {**PLANE, **LINE})
    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision(self, name, half) -> None:
        distance = {**PLANE, **LINE}[name]
        x, y = torch.tensor([0.5, 1.0, 2.0]).to(half), torch.tensor([0.25, 3.0, 1.5]).to(half)
        value = distance(x, y)
        assert value.dtype == half
        assert value == distance(x.double(), y.double()).to(half)

    @pytest.mark.parametrize("name", PLANE)
    def test_squares_that_overflow_are_refused_and_the_advice_works(self, name) -> None:
        x = torch.randn(5, 2, generator=rng(1), dtype=torch.float64)
        with pytest.raises(ValueError, match=r"x has an entry of size .*e\+200.*divide"):
            PLANE[name](1e200 * x, x)
        assert PLANE[name](1e200 * x / 1e200, x) < 1e-12
        large = PLANE[name](1e149 * x, 1e149 * (x + 1))
        assert torch.isfinite(large)
        assert large > 0

    @pytest.mark.parametrize("name", ["energy", "mmd2"])
    def test_blocks_change_neither_value_nor_gradient(self, name, monkeypatch) -> None:
        x = torch.randn(70, 3, generator=rng(1), dtype=torch.float64).requires_grad_()
        y = torch.randn(50, 3, generator=rng(2), dtype=torch.float64)
        whole = ALL[name](x, y)
        (slope,) = torch.autograd.grad(whole, x)
        sizes = []
        plain = pairs.squares

        def counted(a: Tensor, b: Tensor) -> Tensor:
            table = plain(a, b)
            sizes.append(table.numel())
            return table

        monkeypatch.setattr(pairs, "squares", counted)
        monkeypatch.setattr(pairs, "BLOCK", 40)
        value = ALL[name](x, y)
        (cut,) = torch.autograd.grad(value, x)
        torch.testing.assert_close(value, whole)
        torch.testing.assert_close(cut, slope)
        # With a graph eight times as large; on the way back every block is made once more.
        assert max(sizes) <= 8 * 40
        assert sum(sizes) == 2 * (70 * 50 + 70 * 70) + 50 * 50
        sizes.clear()
        ALL[name](x.detach(), y)
        assert max(sizes) <= 70  # at least one row


class TestTransforms:
    """Under vmap, forward mode, second derivatives and compile, as far as nothing reads values."""

    @pytest.mark.parametrize("name", ALL)
    def test_vmap_jvp_and_compile(self, name) -> None:
        distance = ALL[name]
        many = torch.randn(3, 6, 1, generator=rng(1), dtype=torch.float64)
        y, along = torch.randn(2, 6, 1, generator=rng(2), dtype=torch.float64).unbind()
        each = torch.stack([distance(x, y) for x in many])
        torch.testing.assert_close(torch.func.vmap(distance, (0, None))(many, y), each)
        x = many[0]
        slope = torch.func.grad(distance)(x, y)
        _, forward = torch.func.jvp(lambda p: distance(p, y), (x,), (along,))
        torch.testing.assert_close(forward, (slope * along).sum())
        whole = torch.compile(distance, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(whole(x, y), each[0])

    @pytest.mark.parametrize("name", ["energy", "mmd2"])
    def test_second_derivatives(self, name) -> None:
        x = torch.randn(5, 2, generator=rng(2), dtype=torch.float64).requires_grad_()
        y = torch.randn(4, 2, generator=rng(3), dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradgradcheck(ALL[name], (x, y))
        assert torch.autograd.gradcheck(ALL[name], (x, y), check_forward_ad=True)

    def test_curvature_of_mmd2_where_the_samples_agree(self) -> None:
        # k'' at distance 0 is -1 / l^2, so one point moved by h costs 2 - 2 k(h) ~ h^2 / l^2.
        x = torch.zeros(1, 1, dtype=torch.float64)
        curvature = torch.func.hessian(lambda p: mmd2(p, x, 0.5))(x)
        assert curvature.item() == pytest.approx(2 / 0.25)


class TestLine:
    @given(x=points, y=points)
    @settings(max_examples=60, deadline=None)
    def test_against_scipy(self, x: list[float], y: list[float]) -> None:
        expected = scipy.stats.wasserstein_distance(x, y)
        assert wasserstein_1d(double(x), double(y)).item() == pytest.approx(expected, abs=1e-9)
        # scipy's energy distance is the root of 2 E|X-Y| - ... = twice Cramér
        root = scipy.stats.energy_distance(x, y)
        assert energy(double(x), double(y)).item() == pytest.approx(root**2, abs=1e-9)
        assert cramer(double(x), double(y)).item() == pytest.approx(root**2 / 2, abs=1e-9)

    @given(p=masses, q=masses, at=st.permutations([-3.0, -1.5, 0.0, 0.25, 2.0, 7.0]))
    @settings(max_examples=30, deadline=None)
    def test_weights_against_both_linear_programmes(self, p, q, at) -> None:
        p, q, at = probability(p), probability(q), double(at)
        distance = (at[:, None] - at).abs()
        value = wasserstein_1d(at, at, p, q).item()
        cost, plan = transport_plan(p, q, distance)
        best, critic = kantorovich_potential(p, q, distance)
        assert cost.item() == pytest.approx(value, abs=1e-9)
        assert best.item() == pytest.approx(value, abs=1e-9)
        torch.testing.assert_close(plan.sum(1), p, atol=1e-9, rtol=0)
        torch.testing.assert_close(plan.sum(0), q, atol=1e-9, rtol=0)
        assert (plan >= 0).all()
        assert ((critic[:, None] - critic) <= distance + 1e-9).all()
        assert critic[0] == 0

    def test_same_size_is_sorting(self) -> None:
        x, y = torch.randn(200, generator=rng(4)), torch.randn(200, generator=rng(5))
        expected = (x.sort().values - y.sort().values).abs().mean()
        torch.testing.assert_close(wasserstein_1d(x, y), expected)

    def test_float32_keeps_its_digits_far_from_the_origin_and_in_large_samples(self) -> None:
        x = 1e4 + torch.rand(100_000, generator=rng(6))
        assert wasserstein_1d(x, x + 0.25).item() == pytest.approx(0.25, rel=1e-6)
        assert cramer(x[:1], x[:1] + 0.25).item() == pytest.approx(0.25, rel=1e-6)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            (double([0.5, 0.6]), "sums to 1.1"),
            (double([1.5, -0.5]), "entry -0.5"),
            (double([1.0]), "one weight"),
        ],
    )
    def test_bad_weights(self, weights, message) -> None:
        with pytest.raises(ValueError, match=message):
            wasserstein_1d(double([0, 1]), double([0.0]), weights)

    def test_refuses_the_plane(self) -> None:
        with pytest.raises(ValueError, match="lives on the line"):
            wasserstein_1d(torch.zeros(3, 2), torch.zeros(3, 2))


class TestGaussians:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ((0, 1), (0, 2)),
            ((0, 1), (3, 1)),
            ((-1, 0.5), (2, 3)),
            ((1, 0), (1, 2)),
            ((0, 0), (4, 0)),
        ],
    )
    def test_w1_against_quadrature(self, first, second) -> None:
        delta_mean, delta_std = first[0] - second[0], first[1] - second[1]
        expected, _ = integrate.quad(
            lambda z: abs(delta_mean + delta_std * z) * math.exp(-z * z / 2), -12, 12, limit=400,
            points=[-delta_mean / delta_std] if delta_std else None,
        )  # fmt: skip
        value = wasserstein_gaussians(*first, *second).item()
        assert value == pytest.approx(expected / math.sqrt(2 * math.pi), rel=1e-9)

    def test_w1_of_nearly_equal_deviations_and_its_gradient(self) -> None:
        # Half of the standard normal's mean |Z| at equal means; exactly 0 for equal Gaussians.
        assert wasserstein_gaussians(0, 1, 0, 1) == 0
        for std in (1.0, 1 + 1e-12, 1.01):
            mean = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
            value = wasserstein_gaussians(mean, std, 0, 1)
            value.backward()
            assert value.item() == pytest.approx(2, rel=1e-9)
            assert mean.grad.item() == pytest.approx(1, rel=1e-9)

    @pytest.mark.parametrize("length_scale", [0.3, 1.0, 4.0])
    def test_samples_agree_with_the_closed_forms(self, length_scale: float) -> None:
        x, y = normal(0.5, 1.0, 1500), normal(-1.0, 2.0, 1500)
        assert mmd2(x, y, length_scale).item() == pytest.approx(
            mmd2_gaussians(0.5, 1, -1, 2, length_scale).item(), rel=2e-3
        )
        assert wasserstein_1d(x, y).item() == pytest.approx(
            wasserstein_gaussians(0.5, 1, -1, 2).item(), rel=2e-3
        )

    def test_formulas_are_exported_as_mathematics(self) -> None:
        at_two = distances.GAUSSIAN_W1.subs(distances.mean_gap, 2)
        assert sp.limit(at_two, distances.std_gap, 0, "+") == 2
        equal = {distances.std_q: distances.std_p, distances.mean_gap: 0}
        assert sp.simplify(distances.GAUSSIAN_MMD2.subs(equal)) == 0

    def test_bad_parameters(self) -> None:
        with pytest.raises(ValueError, match="-1"):
            wasserstein_gaussians(0, -1, 0, 1)
        with pytest.raises(ValueError, match="-2"):
            mmd2_gaussians(0, 1, 0, -2)
        with pytest.raises(ValueError, match="length_scale = 0"):
            mmd2_gaussians(0, 1, 0, 1, 0)


class TestEnergyAndMmd:
    def test_plane_by_hand(self) -> None:
        x, y = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 4.0]])
        # cross distances 4 and 3; within x the pairs are 0, 5, 5, 0
        torch.testing.assert_close(energy(x, y), torch.tensor(2 * 3.5 - 2.5))
        kernel = [math.exp(-d * d / 8) for d in (4, 3, 5)]
        expected = (2 + 2 * kernel[2]) / 4 + 1 - (kernel[0] + kernel[1])
        assert mmd2(x, y, 2.0).item() == pytest.approx(expected, rel=1e-6)

    def test_unbiased_mean_is_the_mmd_of_the_distributions(self) -> None:
        draws = torch.randn(4000, 2, 6, generator=rng(7), dtype=torch.float64)
        values = torch.stack([mmd2(a, b + 0.7, 1.0, unbiased=True) for a, b in draws])
        error = values.std() / len(values) ** 0.5
        assert abs(values.mean() - mmd2_gaussians(0, 1, 0.7, 1)) < 4 * error
        biased = torch.stack([mmd2(a, b + 0.7, 1.0) for a, b in draws[:500]])
        assert biased.mean() > mmd2_gaussians(0, 1, 0.7, 1) + 0.1

    @pytest.mark.parametrize("dimension", [1, 3])
    def test_witness_attains_and_no_unit_function_beats_it(self, dimension: int) -> None:
        x = torch.randn(20, dimension, generator=rng(8), dtype=torch.float64)
        y = torch.randn(15, dimension, generator=rng(9), dtype=torch.float64) + 0.5
        best = mmd2(x, y, 0.8).sqrt()
        critic = mmd_witness(x, y, 0.8)
        torch.testing.assert_close(critic(x).mean() - critic(y).mean(), best)
        # f = sum_i a_i k(c_i, .) has the norm sqrt(a K a)
        for seed in range(20):
            centres = torch.randn(5, dimension, generator=rng(seed), dtype=torch.float64)
            a = torch.randn(5, generator=rng(100 + seed), dtype=torch.float64)
            gram = torch.exp(-torch.cdist(centres, centres).square() / (2 * 0.64))
            values = [torch.exp(-torch.cdist(s, centres).square() / 1.28) @ a for s in (x, y)]
            gap = (values[0].mean() - values[1].mean()) / (a @ gram @ a).sqrt()
            assert gap.abs() <= best + 1e-12

    def test_errors(self) -> None:
        x = torch.ones(3, 2)
        with pytest.raises(ValueError, match="x has 2 columns and y has 3"):
            energy(x, torch.ones(3, 3))
        for bad in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="length_scale"):
                mmd2(x, x, bad)
        with pytest.raises(ValueError, match="two or more"):
            mmd2(x[:1], x, 1.0, unbiased=True)
        with pytest.raises(ValueError, match="same sample"):
            mmd_witness(x, x)


class TestMatching:
    @pytest.mark.parametrize("dimension", [1, 2, 5])
    def test_against_the_transport_programme(self, dimension: int) -> None:
        x = torch.randn(9, dimension, generator=rng(10), dtype=torch.float64)
        y = torch.randn(9, dimension, generator=rng(11), dtype=torch.float64) * 2
        uniform = torch.full((9,), 1 / 9, dtype=torch.float64)
        cost, _ = transport_plan(uniform, uniform, torch.cdist(x, y))
        torch.testing.assert_close(wasserstein_matching(x, y), cost)
        if dimension == 1:
            torch.testing.assert_close(wasserstein_matching(x, y), wasserstein_1d(x, y))

    def test_gradient_and_dtype(self) -> None:
        x = torch.randn(6, 2, generator=rng(12), dtype=torch.float64).requires_grad_()
        y = torch.randn(6, 2, generator=rng(13), dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(wasserstein_matching, (x, y))
        assert wasserstein_matching(x.float(), x.float()).dtype == torch.float32
        assert wasserstein_matching(x, x) == 0

    def test_errors(self) -> None:
        with pytest.raises(ValueError, match="3 points and y has 2"):
            wasserstein_matching(torch.zeros(3, 2), torch.zeros(2, 2))


@pytest.mark.parametrize("size", [1e-100, 1.0, 1e149, 1e151, 1e160, 1e300])
def test_gaussians_at_any_distance(size: float) -> None:
    assert distances.wasserstein_gaussians(size, 1e-3 * size, 0, 1e-3 * size).item() == size
    assert distances.wasserstein_gaussians(0, size, 0, 0).item() == pytest.approx(
        size * math.sqrt(2 / math.pi), rel=1e-12
    )


def test_far_gaussians() -> None:
    assert distances.wasserstein_gaussians(1e160, 1, 0, 1).item() == 1e160
