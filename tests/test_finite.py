"""Distances of probability vectors: suprema over critics, and the two linear programmes."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from torch import Tensor

from ganlib.distances import (
    cramer,
    fisher,
    fisher_critic,
    kantorovich_potential,
    sobolev,
    sobolev_critic,
    transport_plan,
)

masses = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1)), min_size=6, max_size=6).filter(any)


def double(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def probability(values) -> Tensor:
    vector = double(values)
    return vector / vector.sum()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestTransforms:
    """Under vmap and compile, and the slope where the distance is least."""

    @pytest.mark.parametrize("distance", [fisher, lambda p, q: sobolev(p, q, TestSobolev.AT[:3])])
    def test_probability_vectors(self, distance) -> None:
        p, q = torch.rand(2, 4, 3, generator=rng(1), dtype=torch.float64).softmax(-1).unbind()
        each = torch.stack([distance(a, b) for a, b in zip(p, q, strict=True)])
        torch.testing.assert_close(torch.func.vmap(distance)(p, q), each)
        torch.testing.assert_close(distance(p, q), each)
        whole = torch.compile(distance, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(whole(p, q), each)
        # Least at p = q, where it rises like a norm in every direction: 0 is a subgradient.
        for vector in (p[0], double([0.5, 0.5, 0.0])):
            slope = torch.func.grad(distance)(vector, vector)
            assert slope.tolist() == [0, 0, 0]
            for sign in (1, -1):
                step = sign * 1e-6 * double([1.0, -1.0, 0.0])
                assert distance(vector + step, vector) > 1e-7


class TestFisher:
    @given(p=masses, q=masses, v=st.lists(st.floats(-3, 3), min_size=6, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_supremum(self, p, q, v) -> None:
        p, q, v = probability(p), probability(q), double(v)
        best = fisher(p, q)
        norm = ((p + q) / 2 * v.square()).sum().sqrt()
        if norm > 1e-6:
            assert ((p - q) * v).sum() / norm <= best + 1e-9
        if (p != q).any():
            critic = fisher_critic(p, q)
            torch.testing.assert_close(((p - q) * critic).sum(), best)
            size = ((p + q) / 2 * critic.square()).sum()
            torch.testing.assert_close(size, double(1.0), rtol=1e-6, atol=1e-6)
            assert (critic[(p + q) == 0] == 0).all()

    def test_values(self) -> None:
        p, q = double([[1.0, 0, 0], [0.5, 0.5, 0]]), double([0, 0.5, 0.5])
        # Delta = 2, and 1/2 + 0 + 1/2
        torch.testing.assert_close(fisher(p, q), double([2.0, math.sqrt(2)]))
        assert fisher(q, q) == 0
        with pytest.raises(ValueError, match="p = q"):
            fisher_critic(q, q)

    @pytest.mark.parametrize(
        ("q", "message"),
        [([0.5, 0.5], "q has 2"), ([0.5, 0.5, 0.5], "sums to 1.5"), ([2, -1, 0], "entry -1")],
    )
    def test_bad_vectors(self, q, message) -> None:
        with pytest.raises(ValueError, match=message):
            fisher(double([1.0, 0, 0]), double(q))


class TestSobolev:
    AT = double([-2.0, -1.5, 0.0, 0.5, 2.0, 3.0])

    def norm(self, f: Tensor, density: Tensor) -> Tensor:
        length = self.AT.diff()
        return (density * (f.diff() / length).square() * length).sum(-1).sqrt()

    @given(p=masses, q=masses, v=st.lists(st.floats(-3, 3), min_size=6, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_supremum(self, p, q, v) -> None:
        p, q, v = probability(p), probability(q), double(v)
        density = double([0.1, 0.3, 0.2, 0.5, 0.05])
        best = sobolev(p, q, self.AT, density)
        norm = self.norm(v, density)
        if norm > 1e-6:
            assert ((p - q) * v).sum() / norm <= best + 1e-9
        if best > 1e-9:
            critic = sobolev_critic(p, q, self.AT, density)
            torch.testing.assert_close(((p - q) * critic).sum(), best)
            torch.testing.assert_close(self.norm(critic, density), double(1.0))
            assert critic[0] == 0

    def test_default_measure_converges_to_the_integral(self) -> None:
        # Uniform on [0, 1] against the density 2x: F_p - F_q = x - x^2, m = (1 + 2x) / 2.
        expected, _ = integrate.quad(lambda x: (x - x * x) ** 2 / ((1 + 2 * x) / 2), 0, 1)
        at = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
        value = sobolev(torch.full_like(at, 1 / 2000), at / at.sum(), at)
        assert value.item() == pytest.approx(math.sqrt(expected), rel=1e-5)

    @pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
    def test_thin_tails_cost_nothing(self, shift: float) -> None:
        # Two Gaussians: beyond 8 standard deviations both have no mass to speak of.
        def value(reach: float) -> float:
            at = torch.linspace(-reach, shift + reach, 3001, dtype=torch.float64)
            p, q = (torch.softmax(-((at - m) ** 2) / 2, 0) for m in (0.0, shift))
            return sobolev(p, q, at).item()

        expected, _ = integrate.quad(
            lambda x: (scipy.stats.norm.sf(x) - scipy.stats.norm.sf(x - shift)) ** 2
            / ((scipy.stats.norm.pdf(x) + scipy.stats.norm.pdf(x - shift)) / 2),
            -12, 12 + shift, limit=500,
        )  # fmt: skip
        assert value(8) == pytest.approx(math.sqrt(expected), rel=1e-3)
        assert value(30) == pytest.approx(math.sqrt(expected), rel=1e-3)

    def test_unit_density_is_the_root_of_cramer(self) -> None:
        p, q = probability([1, 2, 0, 4, 0, 1]), probability([0, 1, 3, 1, 1, 0])
        value = sobolev(p, q, self.AT, torch.ones(5, dtype=torch.float64))
        torch.testing.assert_close(value.square(), cramer(self.AT, self.AT, p, q))

    def test_errors(self) -> None:
        p, q = double([1.0, 0, 0]), double([0, 0, 1.0])
        at = double([0.0, 1, 2])
        with pytest.raises(ValueError, match="infinite"):
            sobolev(p, q, at, double([0.0, 1.0]))
        with pytest.raises(ValueError, match="not increasing"):
            sobolev(p, q, double([0.0, 2, 1]))
        with pytest.raises(ValueError, match="3 entries for 2 points"):
            sobolev(p, q, at[:2])
        with pytest.raises(ValueError, match="2 intervals"):
            sobolev(p, q, at, double([1.0]))
        with pytest.raises(ValueError, match="p = q"):
            sobolev_critic(p, p, at)
        assert sobolev(p, p, at, double([1.0, 0.0])) == 0


class TestProgrammes:
    @given(p=masses, q=masses, seed=st.integers(0, 1000))
    @settings(max_examples=25, deadline=None)
    def test_duality_in_the_plane(self, p, q, seed) -> None:
        at = torch.randn(6, 2, generator=rng(seed), dtype=torch.float64)
        distance = torch.cdist(at, at)
        p, q = probability(p), probability(q)
        cost, _ = transport_plan(p, q, distance)
        best, _ = kantorovich_potential(p, q, distance)
        assert cost.item() == pytest.approx(best.item(), abs=1e-9)

    def test_discrete_metric_gives_total_variation(self) -> None:
        p, q = probability([3, 1, 0, 2]), probability([1, 1, 1, 1])
        distance = 1 - torch.eye(4, dtype=torch.float64)
        expected = (p - q).abs().sum() / 2
        torch.testing.assert_close(transport_plan(p, q, distance)[0], expected)
        torch.testing.assert_close(kantorovich_potential(p, q, distance)[0], expected)

    def test_rectangular_plan_and_float32(self) -> None:
        p, q = torch.softmax(torch.randn(7, generator=rng(1)), 0), torch.tensor([0.3, 0.7])
        distance = torch.rand(7, 2, generator=rng(2))
        _, plan = transport_plan(p, q, distance)
        assert plan.dtype == torch.float64
        torch.testing.assert_close(plan.sum(0).float(), q)

    def test_errors(self) -> None:
        p = double([0.5, 0.5])
        with pytest.raises(ValueError, match="distance"):
            transport_plan(p, p, torch.zeros(2, 3))
        with pytest.raises(ValueError, match="square"):
            kantorovich_potential(p, double([1.0]), torch.zeros(2, 1))
        with pytest.raises(ValueError, match="sums to"):
            transport_plan(p, double([0.5, 0.6]), torch.zeros(2, 2))


def test_shapes_and_densities_that_say_nothing_are_refused() -> None:
    p, q = torch.full((3, 2), 0.5), torch.full((4, 2), 0.5)
    with pytest.raises(ValueError, match=r"p has shape \(3, 2\) and q \(4, 2\)"):
        fisher(p, q)
    assert fisher(p[:, None], q[None]).shape == (3, 4)
    points = torch.tensor([0.0, 1.0])
    for bad in (math.inf, math.nan):
        with pytest.raises(ValueError, match="density has"):
            sobolev(p[0], q[0], points, torch.tensor([bad]))
