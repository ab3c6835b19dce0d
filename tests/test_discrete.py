"""Discrete draws: their laws from the noise's law, unbiasedness by enumeration, exact laws."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch import distributions as laws
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from ganlib import discrete, estimators

DTYPES = (torch.float32, torch.float64)
logit = st.floats(-6, 6)
rows = st.lists(logit, min_size=2, max_size=5)
temperatures = st.floats(0.05, 20)


def double(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def even(count: int, *shape: int) -> Tensor:
    """The middles of ``count`` equal parts of (0, 1): a uniform draw without luck."""
    return (torch.arange(count, dtype=torch.float64) + 0.5).reshape(-1, *shape) / count


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestGumbel:
    @given(st.floats(1e-12, 1 - 1e-12))
    def test_is_the_quantile_function_of_the_distribution(self, u: float) -> None:
        # torch's own Gumbel rounds its noise to seven digits.
        want = scipy.stats.gumbel_r.ppf(u)
        assert discrete.gumbel(double(u)).item() == pytest.approx(want, rel=1e-9, abs=1e-12)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_ends_are_finite_and_in_order(self, dtype: torch.dtype) -> None:
        ends = discrete.gumbel(torch.tensor([0, 0.5, 1], dtype=dtype))
        assert ends.isfinite().all()
        assert (ends.diff() > 0).all()
        if dtype == torch.float32:
            assert ends[0] > -4.5
            assert ends[2] == pytest.approx(16.6, abs=0.1)

    def test_the_argmax_has_the_softmax_law(self) -> None:
        logits = double([-1.0, 0.5, 0.2, 2.0])
        found = (logits + discrete.gumbel(draws(200_000, 4))).argmax(1).bincount() / 200_000
        # 5 standard deviations
        assert (found - logits.softmax(0)).abs().max() < 5 * 0.5 / 200_000**0.5


class TestRelaxed:
    @settings(deadline=None)
    @given(logit, temperatures)
    def test_bits_follow_torchs_law(self, logit: float, temperature: float) -> None:
        """Its distribution function at the draw from u is u, as it must be."""
        u = even(99)
        bits = discrete.relaxed_bits(double(logit), u, temperature)
        law = LogitRelaxedBernoulli(double(temperature), logits=double(logit))
        logits = (logit + torch.logit(u)) / temperature
        torch.testing.assert_close(bits, torch.sigmoid(logits))
        # dF = density d(draw): the density times the slope of the draw by u is 1
        slope = 1 / (u * (1 - u)) / temperature
        torch.testing.assert_close(law.log_prob(logits).exp() * slope, torch.ones_like(u))
        far = (logit + torch.logit(u)).abs() > 1e-9  # from the tie, which rounds
        assert torch.equal((bits > 0.5)[far], (logit + torch.logit(u) > 0)[far])

    @settings(deadline=None)
    @given(rows, temperatures, st.integers(0, 1000))
    def test_one_hots_lie_on_the_simplex_and_keep_the_argmax(
        self, logits: list[float], temperature: float, seed: int
    ) -> None:
        noise = discrete.gumbel(draws(50, len(logits), seed=seed))
        soft = discrete.relaxed_one_hot(double(logits), noise, temperature)
        assert (soft >= 0).all()
        torch.testing.assert_close(soft.sum(1), torch.ones(50).double())
        top = soft.gather(1, (double(logits) + noise).argmax(1, keepdim=True))[:, 0]
        assert torch.equal(top, soft.max(1).values)
        moved = discrete.relaxed_one_hot(double(logits) + 3, noise, temperature)
        torch.testing.assert_close(moved, soft)

    def test_two_classes_are_one_bit(self) -> None:
        u = even(101)
        # The difference of two Gumbels is logistic; two noises whose difference is logit(u).
        noise = torch.stack([torch.logit(u), torch.zeros_like(u)], 1)
        pair = discrete.relaxed_one_hot(double([0.7, 0.0]), noise, 0.4)
        torch.testing.assert_close(pair[:, 0], discrete.relaxed_bits(double(0.7), u, 0.4))

    @pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0, 2.0])
    @pytest.mark.parametrize("weights", [[0.2, 0.8], [0.2, 0.5, 0.3]])
    def test_densities_integrate_to_one(self, weights: list[float], temperature: float) -> None:
        """In coordinates y, x = softmax(y, 0), whose Jacobian is the product of x."""
        law = laws.RelaxedOneHotCategorical(double(temperature), probs=double(weights))
        side = (even(400) - 0.5) * 20 / temperature
        y = torch.cartesian_prod(*[side] * (len(weights) - 1)).reshape(-1, len(weights) - 1)
        x = torch.cat([y, torch.zeros(len(y), 1)], 1).softmax(1)
        mass = (law.log_prob(x) + x.log().sum(1)).exp()
        cell = (0.05 / temperature) ** (len(weights) - 1)
        assert mass.sum().item() * cell == pytest.approx(1, abs=2e-3)
        largest = (mass[:, None] * torch.nn.functional.one_hot(x.argmax(1))).sum(0) * cell
        torch.testing.assert_close(largest, double(weights), atol=6e-3, rtol=0)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_extremes(self, dtype: torch.dtype) -> None:
        u = torch.tensor([0, 1e-30, 0.5, 1], dtype=dtype)
        for size in (-1e30, -200.0, 0.0, 200.0, 1e30):
            for temperature in (1e-3, 1.0, 1e3):
                logits = torch.full((4,), size, dtype=dtype, requires_grad=True)
                bits = discrete.relaxed_bits(logits, u, temperature)
                (slope,) = torch.autograd.grad(bits.sum(), logits)
                assert bits.dtype == dtype
                assert ((bits >= 0) & (bits <= 1)).all()
                assert slope.isfinite().all()

    def test_temperatures_of_many_runs(self) -> None:
        logits, u = draws(3, 1, 4), draws(3, 5, 4, seed=1)
        each = [0.1, 1.0, 3.0]
        together = discrete.relaxed_bits(logits, u, double(each)[:, None, None])
        for i, temperature in enumerate(each):
            alone = discrete.relaxed_bits(logits[i], u[i], temperature)
            torch.testing.assert_close(together[i], alone)
        noise = discrete.gumbel(u)
        mapped = torch.func.vmap(discrete.relaxed_one_hot)(logits, noise, double(each))
        whole = discrete.relaxed_one_hot(logits, noise, double(each)[:, None, None])
        torch.testing.assert_close(mapped, whole)


class TestStraightThrough:
    @given(rows)
    def test_hard_values_soft_slopes(self, values: list[float]) -> None:
        soft = torch.tensor(values, requires_grad=True)
        hard = torch.tensor([0.1 * i for i in range(len(values))])
        through = discrete.straight_through(hard, soft.square())
        assert torch.equal(through, hard)
        (slope,) = torch.autograd.grad(through.sum(), soft)
        torch.testing.assert_close(slope, 2 * soft.detach())

    def test_no_slope_of_the_hard_one(self) -> None:
        hard = torch.ones(2, requires_grad=True)
        soft = torch.zeros(2, requires_grad=True)
        through = discrete.straight_through(hard, soft).sum()
        assert torch.autograd.grad(through, hard, allow_unused=True) == (None,)

    def test_with_torchs_own_law_it_is_the_straight_through_of_bengio(self) -> None:
        logits = double([0.3, -1.0, 0.5]).requires_grad_()
        law = laws.OneHotCategoricalStraightThrough(logits=logits)
        torch.manual_seed(0)
        theirs = law.rsample()
        ours = discrete.straight_through(theirs, logits.softmax(0))
        cost = double([1.0, 4.0, -2.0])
        got, want = (torch.autograd.grad((x @ cost) ** 2, logits)[0] for x in (ours, theirs))
        torch.testing.assert_close(got, want)


class TestDisarm:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(logit, min_size=1, max_size=3), st.integers(0, 99))
    def test_unbiased_by_enumeration(self, logits: list[float], seed: int) -> None:
        """Between 0, min(p, 1 - p), max(p, 1 - p) and 1 nothing changes: 3^d cases."""
        d, table = len(logits), draws(2 ** len(logits), seed=seed) * 8 - 4

        def cost(bits: Tensor) -> Tensor:
            places = 2.0 ** torch.arange(d - 1, -1, -1)
            return table[(bits @ places.to(bits.dtype)).long()]

        weights = double(logits).requires_grad_()
        mass = discrete.mixture_log_law(weights[None], discrete.all_bits(d, torch.float64)).exp()
        (truth,) = torch.autograd.grad((mass * table).sum(), weights)
        p = torch.sigmoid(weights.detach())
        edges = torch.stack([0 * p, torch.minimum(p, 1 - p), torch.maximum(p, 1 - p), 0 * p + 1])
        mean = torch.zeros(d, dtype=torch.float64)
        for pieces in itertools.product(range(3), repeat=d):
            low = edges[list(pieces), range(d)]
            high = edges[[i + 1 for i in pieces], range(d)]
            if (high > low).all():
                u = (low + high) / 2
                mean += (high - low).prod() * discrete.disarm(cost, weights, u)
        torch.testing.assert_close(mean, truth, atol=1e-9, rtol=1e-7)

    @given(logit)
    def test_both_draws_have_the_law_of_the_bits(self, value: float) -> None:
        seen: list[Tensor] = []

        def cost(bits: Tensor) -> Tensor:
            seen.append(bits)
            return bits.sum(-1)

        u = even(10_000, 1)
        discrete.disarm(cost, double([value]).expand(10_000, 1), u)
        for bits in seen:
            assert bits.mean().item() == pytest.approx(1 / (1 + math.exp(-value)), abs=1e-4)

    def test_extremes_and_no_gradient(self) -> None:
        logits = torch.tensor([[1e30, -1e30, 0.0]], requires_grad=True)
        for u in (0.0, 0.5, 1 - 2**-24):
            got = discrete.disarm(lambda b: b.sum(-1), logits, torch.full((1, 3), u))
            assert got.isfinite().all()
            assert not got.requires_grad
            assert got[0, :2].tolist() == [0, 0]


class TestLaw:
    @settings(deadline=None)
    @given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
    def test_is_torchs_mixture_and_sums_to_one(self, d: int, m: int, seed: int) -> None:
        logits = draws(3, m, d, seed=seed) * 8 - 4
        bits = discrete.all_bits(d, torch.float64)
        log_law = discrete.mixture_log_law(logits, bits)
        mixture = laws.MixtureSameFamily(
            laws.Categorical(torch.ones(3, m).double()),
            laws.Independent(laws.Bernoulli(logits=logits), 1),
        )
        torch.testing.assert_close(log_law, mixture.log_prob(bits[:, None]).T)
        torch.testing.assert_close(log_law.exp().sum(-1), torch.ones(3).double())

    def test_all_bits_are_the_binary_numbers(self) -> None:
        assert discrete.all_bits(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert len(discrete.all_bits(7).unique(dim=0)) == 128

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_certain_bits(self, dtype: torch.dtype) -> None:
        logits = torch.tensor([[300.0, -300.0]], dtype=dtype, requires_grad=True)
        log_law = discrete.mixture_log_law(logits, discrete.all_bits(2, dtype))
        assert log_law.dtype == dtype
        assert log_law.tolist() == [-300, -600, 0, -300]
        (slope,) = torch.autograd.grad(log_law.sum(), logits)
        assert slope.isfinite().all()

    def test_its_gradient_is_the_score_functions(self) -> None:
        """The expectation of the surrogate's gradient, over all states, is the law's."""
        weights = draws(1, 3).requires_grad_()
        bits, costs = discrete.all_bits(3, torch.float64), draws(8, seed=4)
        log_law = discrete.mixture_log_law(weights, bits)
        (truth,) = torch.autograd.grad(log_law.exp() @ costs, weights, retain_graph=True)
        loss = estimators.surrogate(8 * costs * log_law.exp().detach(), log_law)
        torch.testing.assert_close(torch.autograd.grad(loss, weights)[0], truth)


def test_without_data() -> None:
    meta = torch.empty(2, 5, 3, device="meta")
    assert discrete.gumbel(meta).shape == (2, 5, 3)
    assert discrete.relaxed_bits(meta, meta, 0.5).shape == (2, 5, 3)
    assert discrete.relaxed_one_hot(meta, meta, meta[:, :1, :1]).shape == (2, 5, 3)
    assert discrete.straight_through(meta, meta).shape == (2, 5, 3)
    assert discrete.disarm(lambda b: b.sum(-1), meta, meta).shape == (2, 5, 3)
    assert discrete.mixture_log_law(meta, torch.empty(8, 3, device="meta")).shape == (2, 8)


class TestRefusals:
    def test_temperature(self) -> None:
        half = torch.full((4, 3), 0.5)
        for temperature in (0.0, -1.0, torch.tensor(0.0), math.nan):
            with pytest.raises(ValueError, match="it must be finite and above 0"):
                discrete.relaxed_bits(half, half, temperature)
        for temperature in (True, "1", None):
            with pytest.raises(TypeError, match="a number or a tensor"):
                discrete.relaxed_bits(half, half, temperature)  # type: ignore[arg-type]
        # torch.distributions lets a column of temperatures through and squares the result.
        for shape in ((2, 4, 3), (4, 3, 1), (4,)):
            with pytest.raises(ValueError, match="not fit draws"):
                discrete.relaxed_one_hot(torch.zeros(3), half, torch.ones(shape))

    def test_noise(self) -> None:
        for values in ([-0.1], [1.1], [math.nan]):
            with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
                discrete.gumbel(torch.tensor(values))
        with pytest.raises(ValueError, match=r"draw noise for each result, \(5, 3\)"):
            discrete.relaxed_bits(torch.zeros(5, 3), torch.full((3,), 0.5), 1.0)
        with pytest.raises(TypeError, match=r"uniform has dtype torch\.int64"):
            discrete.gumbel(torch.tensor([1]))
        with pytest.raises(TypeError, match=r"logits has dtype torch\.int64"):
            discrete.relaxed_bits(torch.tensor([1]), torch.tensor([0.5]), 1.0)

    def test_shapes(self) -> None:
        three = torch.zeros(3)
        with pytest.raises(ValueError, match="for a coin use relaxed_bits"):
            discrete.relaxed_one_hot(torch.zeros(4, 1), torch.zeros(4, 1), 1.0)
        with pytest.raises(ValueError, match=r"hard has shape \(3,\) and soft \(\)"):
            discrete.straight_through(three, three.sum())
        with pytest.raises(ValueError, match="one draw a bit"):
            discrete.disarm(torch.sum, three, three[:2])
        with pytest.raises(ValueError, match="return one number a row"):
            discrete.disarm(lambda bits: bits, three, three)
        for cost in (lambda bits: 1.0, lambda bits: bits.sum(-1) > 1):
            with pytest.raises(TypeError, match="return a floating-point tensor"):
                discrete.disarm(cost, three, three)
        with pytest.raises(ValueError, match="with one d"):
            discrete.mixture_log_law(three, three)
        with pytest.raises(ValueError, match="other than 0 and 1"):
            discrete.mixture_log_law(three[None], three[None] + 0.5)
        for count in (0, 21, True, 2.0):
            with pytest.raises(ValueError, match="count is"):
                discrete.all_bits(count)  # type: ignore[arg-type]
