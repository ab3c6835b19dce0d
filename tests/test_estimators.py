"""Gradient estimators: unbiased, with the variances that the closed forms give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm
from torch import Tensor

from ganlib import estimators
from ganlib.estimators import ExactVariances, baseline_symbol, location


def normal_log_density(mean: Tensor, x: Tensor) -> Tensor:
    return -(x - mean).square().sum() / 2


def shift(mean: Tensor, noise: Tensor) -> Tensor:
    return mean + noise


def value(expression: sp.Expr, mu: float, beta: float = 0.0) -> float:
    return float(expression.subs({location: mu, baseline_symbol: beta}))


EXAMPLES = {
    "absolute": (estimators.absolute_error(), np.abs, np.sign, (0.0,)),
    "slow sine": (
        estimators.sine(0.7),
        lambda x: np.sin(0.7 * x),
        lambda x: 0.7 * np.cos(0.7 * x),
        (),
    ),
    "fast sine": (estimators.sine(5), lambda x: np.sin(5 * x), lambda x: 5 * np.cos(5 * x), ()),
}


class TestExactVariances:
    @pytest.mark.parametrize("name", EXAMPLES)
    @pytest.mark.parametrize("mu", [-2.0, 0.0, 0.3, 1.7])
    def test_against_quadrature(self, name: str, mu: float) -> None:
        example, cost, slope, kinks = EXAMPLES[name]
        points = [k for k in kinks if abs(k - mu) < 9] + [mu]

        def expect(function) -> float:
            return integrate.quad(
                lambda x: function(x) * norm.pdf(x - mu),
                mu - 10,
                mu + 10,
                points=points,
                limit=500,
                epsabs=1e-12,
            )[0]

        gradient = expect(slope)
        best = expect(lambda x: cost(x) * (x - mu) ** 2)
        assert value(example.mean, mu) == pytest.approx(expect(cost), abs=1e-10)
        assert value(example.gradient, mu) == pytest.approx(gradient, abs=1e-10)
        assert value(example.best_baseline, mu) == pytest.approx(best, abs=1e-10)
        variance = expect(lambda x: slope(x) ** 2) - gradient**2
        assert value(example.pathwise, mu) == pytest.approx(variance, abs=1e-9)
        for beta in (0.0, -0.4, best):
            square = expect(lambda x, b=beta: ((cost(x) - b) * (x - mu)) ** 2)
            assert value(example.score, mu, beta) == pytest.approx(square - gradient**2, abs=1e-9)

    @settings(max_examples=30, deadline=None)
    @given(st.floats(-3, 3), st.floats(0.01, 3))
    def test_best_baseline_is_best(self, mu: float, off: float) -> None:
        for example in (estimators.absolute_error(), estimators.sine(1.3)):
            best = value(example.best_baseline, mu)
            least = value(example.score, mu, best)
            assert value(example.score, mu, best + off) > least
            assert value(example.score, mu, best - off) > least

    def test_the_crossings(self) -> None:
        example = estimators.absolute_error()
        with_best = example.score.subs(baseline_symbol, example.best_baseline)
        assert sp.simplify(with_best.subs(location, 0) - (3 - 8 / sp.pi)) == 0
        difference = sp.lambdify(location, with_best - example.pathwise, "math")
        assert difference(0.78677) < 0 < difference(0.78679)
        k = sp.symbols("k", positive=True)
        fast = estimators.sine(k)
        worse = sp.lambdify(
            k, (fast.pathwise - fast.score).subs({location: 0, baseline_symbol: 0}), "math"
        )
        assert worse(1.10898) < 0 < worse(1.109)
        assert float(fast.pathwise.subs({k: 5, location: 0})) == pytest.approx(12.5, abs=1e-6)

    def test_bad_frequency(self) -> None:
        with pytest.raises(ValueError, match="frequency = inf"):
            estimators.sine(float("inf"))
        with pytest.raises(ValueError, match="frequency = nan"):
            estimators.sine(float("nan"))


class TestEstimators:
    @pytest.mark.parametrize("mu", [0.0, 1.0])
    @pytest.mark.parametrize(
        ("example", "cost"),
        [(estimators.absolute_error(), torch.abs), (estimators.sine(2), lambda x: (2 * x).sin())],
        ids=["absolute", "sine"],
    )
    def test_mean_and_variance(self, mu: float, example: ExactVariances, cost) -> None:
        count = 400_000
        noise = torch.randn(count, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        parameter = torch.tensor(mu, dtype=torch.float64)
        samples = parameter + noise
        costs = cost(samples)
        score = estimators.scores(normal_log_density, parameter, samples)
        torch.testing.assert_close(score, noise)
        best = value(example.best_baseline, mu)
        measured = {
            value(example.pathwise, mu): estimators.pathwise(cost, shift, parameter, noise),
            value(example.score, mu): estimators.score_function(costs, score),
            value(example.score, mu, best): estimators.score_function(costs, score, best),
        }
        for variance, estimate in measured.items():
            assert estimate.shape == (count,)
            error = 4.5 * math.sqrt(variance / count)
            assert estimate.mean().item() == pytest.approx(value(example.gradient, mu), abs=error)
            assert estimate.var().item() == pytest.approx(variance, rel=0.03)
        assert estimators.best_constant(costs, score).item() == pytest.approx(best, abs=0.03)

    def test_vector_parameters(self) -> None:
        mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
        noise = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

        def half_square(x: Tensor) -> Tensor:
            return x.square().sum() / 2

        gradient = estimators.pathwise(half_square, shift, mean, noise)
        torch.testing.assert_close(gradient, mean + noise)
        score = estimators.scores(normal_log_density, mean, mean + noise)
        torch.testing.assert_close(score, noise)
        costs = (mean + noise).square().sum(1) / 2
        each = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
        torch.testing.assert_close(
            estimators.score_function(costs, score, each), (costs[:, None] - each) * noise
        )
        others = estimators.mean_of_others(costs)
        torch.testing.assert_close(
            estimators.score_function(costs, score, others), (costs - others)[:, None] * noise
        )

    @pytest.mark.parametrize("count", [2, 3])
    def test_exact_bias_on_coin_flips(self, count: int) -> None:
        # Every outcome of `count` flips is enumerated: expectations without sampling error.
        logit = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        cost_of = torch.tensor([2.0, -1.5], dtype=torch.float64)
        (truth,) = torch.autograd.grad(
            cost_of[1] * torch.sigmoid(logit) + cost_of[0] * torch.sigmoid(-logit), logit
        )

        def log_mass(s: Tensor, x: Tensor) -> Tensor:
            return torch.nn.functional.logsigmoid(s * (2 * x - 1))

        expected = dict.fromkeys(["none", "constant", "others", "all", "surrogate"], 0.0)
        for flips in itertools.product([0, 1], repeat=count):
            x = torch.tensor(flips, dtype=torch.float64)
            costs = cost_of[list(flips)]
            score = estimators.scores(log_mass, logit.detach(), x)
            mass = log_mass(logit.detach(), x).sum().exp().item()
            others = estimators.mean_of_others(costs)
            baselines = {"none": 0.0, "constant": 7.0, "others": others, "all": costs.mean()}
            for name, baseline in baselines.items():
                estimate = estimators.score_function(costs, score, baseline).mean()
                expected[name] += mass * estimate.item()
            loss = estimators.surrogate(costs, log_mass(logit, x), others)
            (gradient,) = torch.autograd.grad(loss, logit)
            expected["surrogate"] += mass * gradient.item()
        for name in ("none", "constant", "others", "surrogate"):
            assert expected[name] == pytest.approx(truth.item(), abs=1e-12), name
        assert expected["all"] == pytest.approx((1 - 1 / count) * truth.item(), abs=1e-12)

    def test_surrogate_holds_the_costs_fixed(self) -> None:
        probability = torch.tensor(0.3, requires_grad=True)
        costs = probability * torch.tensor([1.0, 2.0])
        log_probabilities = torch.log(torch.stack([probability, 1 - probability]))
        loss = estimators.surrogate(costs, log_probabilities)
        (gradient,) = torch.autograd.grad(loss, probability)
        assert gradient.item() == pytest.approx((0.3 / 0.3 - 0.6 / 0.7) / 2, rel=1e-5)

    def test_a_step_defeats_the_pathwise_estimator(self) -> None:
        noise = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        gradient = estimators.pathwise(
            lambda x: (x > 0).to(x.dtype), shift, torch.tensor(0.0), noise
        )
        assert bool((gradient == 0).all())  # the truth is the normal density at 0, 0.3989


class TestErrors:
    def test_shapes(self) -> None:
        three, two = torch.ones(3), torch.ones(2)
        with pytest.raises(ValueError, match=r"costs have shape \(3,\) and scores \(2,\)"):
            estimators.score_function(three, two)
        with pytest.raises(ValueError, match=r"baseline has shape \(2,\); allowed are a number"):
            estimators.score_function(three, three, two)
        with pytest.raises(ValueError, match="N >= 1 samples"):
            estimators.score_function(three[:0], three[:0])
        with pytest.raises(ValueError, match="N >= 2"):
            estimators.mean_of_others(torch.ones(1))
        with pytest.raises(ValueError, match=r"expected \(N,\) twice"):
            estimators.surrogate(three, torch.ones(3, 2))
        for baseline in (torch.ones(3, 1), torch.ones(1), torch.ones(1, 3)):
            with pytest.raises(ValueError, match=r"allowed are a number and \(3,\)"):
                estimators.surrogate(three, three, baseline)
        advised = torch.ones(3, 1).reshape(-1)
        assert estimators.surrogate(three, three, advised) == 0
        assert estimators.surrogate(three, three, torch.tensor(1.0)) == 0
        with pytest.raises(ValueError, match="needs no baseline"):
            estimators.best_constant(three, torch.zeros(3))
        with pytest.raises(ValueError, match="noise has shape"):
            estimators.pathwise(torch.abs, shift, torch.tensor(0.0), torch.zeros(0))
        with pytest.raises(ValueError, match="samples has shape"):
            estimators.scores(normal_log_density, torch.tensor(0.0), torch.tensor(1.0))


def test_the_mean_of_others_keeps_the_digits_beside_a_large_cost() -> None:
    others = estimators.mean_of_others(torch.tensor([1e8, 1.0, 2.0, 3.0]))
    assert others[0] == 2.0
    assert others.dtype == torch.float32


def test_under_vmap_and_with_another_default_device() -> None:
    """Whole studies at once: a leading axis of repetitions, and no factory on a hidden device."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(5, 8, generator=rng, dtype=torch.float64)
    mean = torch.tensor(0.3, dtype=torch.float64)

    def study(one: Tensor) -> Tensor:
        score = estimators.scores(normal_log_density, mean, mean + one)
        costs = (mean + one).abs()
        best = estimators.best_constant(costs, score)
        reduced = estimators.score_function(costs, score, best).mean(0)
        path = estimators.pathwise(torch.abs, shift, mean, one).mean(0)
        others = estimators.mean_of_others(costs)
        return torch.stack([reduced, path, estimators.surrogate(costs, score, others)])

    with torch.device("meta"):
        each = torch.stack([study(one) for one in noise])
        torch.testing.assert_close(torch.func.vmap(study)(noise), each)
