"""The ELBO against the model that solves exactly, and the closed-form divergences."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganlib import vae
from ganlib.formulas import textbook

reals = st.floats(-3, 3, allow_nan=False)


def fixture_model() -> tuple[vae.LinearGaussian, Tensor]:
    weight = torch.tensor([[1, 0], [1, 0.5], [0, 1]], dtype=torch.float64)
    model = vae.LinearGaussian(weight, torch.tensor([0.5, 0, -1]).double(), 0.5)
    return model, torch.tensor([1.5, 1, 0], dtype=torch.float64)


def random_model(seed: int, d: int = 4, latent: int = 3) -> vae.LinearGaussian:
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(d, latent, generator=rng, dtype=torch.float64)
    mean = torch.randn(d, generator=rng, dtype=torch.float64)
    variance = 0.2 + torch.rand((), generator=rng, dtype=torch.float64)
    return vae.LinearGaussian(weight, mean, variance)


def sigma_points(latent: int, shape: tuple[int, ...]) -> Tensor:
    """Noise whose first three moments are those of N(0, I): exact for quadratic functions."""
    points = math.sqrt(latent) * torch.cat([torch.eye(latent), -torch.eye(latent)]).double()
    return points.reshape(2 * latent, *([1] * len(shape)), latent).expand(-1, *shape, latent)


class TestDivergences:
    def test_the_formula_is_the_integral(self) -> None:
        m1, l1, m2, l2 = vae.kl_symbols
        x = sp.symbols("x", real=True)

        def log_density(mean: sp.Expr, log_std: sp.Expr) -> sp.Expr:
            square = (x - mean) ** 2 * sp.exp(-2 * log_std)
            return -square / 2 - log_std - sp.log(2 * sp.pi) / 2

        integrand = sp.expand(log_density(m1, l1) - log_density(m2, l2))
        # Only moments up to the second appear: E x = m1, E x^2 = m1^2 + s1^2.
        moments = {0: 1, 1: m1, 2: m1**2 + sp.exp(2 * l1)}
        poly = sp.Poly(integrand, x)
        value = sum(c * moments[power] for (power,), c in poly.terms())
        assert sp.simplify(value - textbook(vae.kl_formula)) == 0

    @settings(deadline=None)
    @given(reals, reals, reals, reals)
    def test_diagonal_agrees_with_torch_distributions(
        self, m1: float, l1: float, m2: float, l2: float
    ) -> None:
        a, b, c, d = (torch.tensor([v], dtype=torch.float64) for v in (m1, l1, m2, l2))
        expected = torch.distributions.kl_divergence(
            torch.distributions.Normal(a, b.exp()), torch.distributions.Normal(c, d.exp())
        ).sum()
        torch.testing.assert_close(vae.kl_diagonal(a, b, c, d), expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(
            vae.kl_to_prior(a, b), vae.kl_diagonal(a, b, a * 0, a * 0), rtol=1e-12, atol=1e-14
        )

    def test_full_agrees_with_torch_distributions_and_with_diagonal(self) -> None:
        rng = torch.Generator().manual_seed(1)
        factor = torch.randn(2, 5, 3, 3, generator=rng, dtype=torch.float64)
        covariance = factor @ factor.mT + 0.1 * torch.eye(3, dtype=torch.float64)
        mean = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal
        expected = torch.distributions.kl_divergence(
            normal(mean[0], covariance[0]), normal(mean[1], covariance[1])
        )
        result = vae.kl_full(mean[0], covariance[0], mean[1], covariance[1])
        torch.testing.assert_close(result, expected)
        log_std = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
        diagonal = torch.diag_embed((2 * log_std).exp())
        torch.testing.assert_close(
            vae.kl_full(mean[0], diagonal[0], mean[1], diagonal[1]),
            vae.kl_diagonal(mean[0], log_std[0], mean[1], log_std[1]),
        )

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_extremes(self, dtype: torch.dtype) -> None:
        mean = torch.tensor([[0.0], [0.0], [1e4], [0.0], [0.0]], dtype=dtype)
        log_std = torch.tensor([[0.0], [-1e4], [0.0], [1e-4], [40.0]], dtype=dtype)
        mean.requires_grad_(True)
        log_std.requires_grad_(True)
        value = vae.kl_to_prior(mean, log_std)
        value.sum().backward()
        # log_std = 1e-4: exp(2l)/2 - 1/2 - l = l^2 + 2 l^3 / 3 + ..., lost without expm1.
        truth = torch.tensor([0.0, 1e4 - 0.5, 5e7, 1.00006667e-8, math.exp(80) / 2], dtype=dtype)
        torch.testing.assert_close(
            value, truth - truth.new_tensor([0, 0, 0, 0, 40.5]), rtol=2e-3, atol=0
        )
        slope = torch.tensor([0.0, -1.0, 0.0, 2e-4, math.exp(80)], dtype=dtype)
        torch.testing.assert_close(log_std.grad[:, 0], slope, rtol=1e-3, atol=0)
        torch.testing.assert_close(mean.grad, mean.detach())

    def test_not_positive_definite(self) -> None:
        good, bad = torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])
        zero = torch.zeros(2)
        with pytest.raises(ValueError, match="other_covariance is not positive definite"):
            vae.kl_full(zero, good, zero, bad)


class TestLikelihoods:
    def test_normal_agrees_with_torch_distributions(self) -> None:
        rng = torch.Generator().manual_seed(2)
        x, mean, log_std = torch.randn(3, 7, 4, generator=rng, dtype=torch.float64)
        expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(x).sum(-1)
        torch.testing.assert_close(vae.normal_log_density(x, mean, log_std), expected)

    def test_bernoulli_agrees_and_is_stable(self) -> None:
        logit = torch.tensor([-1e4, -20.0, -1.0, 0.0, 3.0, 20.0, 1e4]).unsqueeze(-1)
        for target in (0.0, 0.25, 1.0):
            x = torch.full_like(logit, target)
            value = vae.bernoulli_log_likelihood(x, logit)
            double = logit.double()[:, 0]
            truth = target * torch.nn.functional.logsigmoid(double) + (
                1 - target
            ) * torch.nn.functional.logsigmoid(-double)
            torch.testing.assert_close(value.double(), truth, rtol=1e-6, atol=1e-12)

    def test_bernoulli_rejects_what_is_no_pixel(self) -> None:
        with pytest.raises(ValueError, match=r"from -1 to 1; .*\[0, 1\]"):
            vae.bernoulli_log_likelihood(torch.tensor([-1.0, 1.0]), torch.zeros(2))

    def test_probabilities_in_place_of_logits_are_warned_of_and_the_advice_works(self) -> None:
        rng = torch.Generator().manual_seed(3)
        x = torch.randint(2, (5, 20), generator=rng).double()
        logit = torch.randn(5, 20, generator=rng, dtype=torch.float64)
        expected = vae.bernoulli_log_likelihood(x, logit)
        with pytest.warns(UserWarning, match=r"all 100 logits lie in \[0, 1\].*torch.logit"):
            wrong = vae.bernoulli_log_likelihood(x, logit.sigmoid())
        assert (wrong - expected).abs().max() > 0.1
        probabilities = logit.sigmoid()
        advised = vae.bernoulli_log_likelihood(x, torch.logit(probabilities))
        torch.testing.assert_close(advised, expected)
        # A fresh network's logits, all 0, and a few small ones are nothing to warn of.
        vae.bernoulli_log_likelihood(x, torch.zeros(5, 20))
        vae.bernoulli_log_likelihood(x[0, :3], torch.tensor([0.1, 0.5, 0.9]))

    def test_bernoulli_refuses_nan(self) -> None:
        with pytest.raises(ValueError, match="Bernoulli"):
            vae.bernoulli_log_likelihood(torch.tensor([math.nan]), torch.zeros(1))


class TestTransforms:
    """Under vmap, forward mode and compile; and with another default device."""

    CALLS: ClassVar = {
        "kl_diagonal": (vae.kl_diagonal, 4),
        "kl_to_prior": (vae.kl_to_prior, 2),
        "normal_log_density": (vae.normal_log_density, 3),
        "bernoulli_log_likelihood": (lambda x, s: vae.bernoulli_log_likelihood(x.sigmoid(), s), 2),
        "kl_full": (lambda m, n: vae.kl_full(m, torch.eye(3).to(m), n, 2 * torch.eye(3).to(m)), 2),
    }

    @pytest.mark.parametrize("name", CALLS)
    def test_vmap_jvp_and_compile(self, name: str) -> None:
        function, count = self.CALLS[name]
        rng = torch.Generator().manual_seed(1)
        many = torch.randn(count, 4, 3, generator=rng, dtype=torch.float64).unbind()
        each = torch.stack([function(*(v[i] for v in many)) for i in range(4)])
        torch.testing.assert_close(torch.func.vmap(function)(*many), each)
        _, slope = torch.func.jvp(lambda x: function(x, *many[1:]), (many[0],), (many[1],))
        reverse = torch.func.grad(lambda x: function(x, *many[1:]).sum())(many[0])
        torch.testing.assert_close(slope.sum(), (reverse * many[1]).sum())
        if name != "kl_full":  # torch.distributions' own cannot be compiled
            whole = torch.compile(function, backend="aot_eager", fullgraph=True)
            torch.testing.assert_close(whole(*many), each)

    def test_many_models_at_once(self) -> None:
        rng = torch.Generator().manual_seed(2)
        weights = torch.randn(5, 4, 2, generator=rng, dtype=torch.float64)
        x = torch.randn(3, 4, generator=rng, dtype=torch.float64)
        mean = torch.zeros(4, dtype=torch.float64)

        def evidence(weight: Tensor) -> Tensor:
            return vae.LinearGaussian(weight, mean, 0.5).log_evidence(x)

        each = torch.stack([evidence(weight) for weight in weights])
        torch.testing.assert_close(torch.func.vmap(evidence)(weights), each)

    def test_no_default_device_is_hidden(self) -> None:
        model, x = fixture_model()
        with torch.device("meta"):
            mean, covariance = model.posterior(x)
            value = model.elbo(x, mean, covariance).value
            torch.testing.assert_close(value, model.log_evidence(x))
            noise = torch.zeros(2, 1, 2, dtype=torch.float64, device="cpu")
            arguments = (model.diagonal_posterior, model.decode, model.log_likelihood)
            bound = vae.elbo(x[None], *arguments, noise).value
            torch.testing.assert_close(bound, bound)
            assert vae.log_weights(x[None], *arguments, noise).device.type == "cpu"
            vae.bernoulli_log_likelihood(mean.sigmoid(), mean)


class TestLinearGaussian:
    def test_the_fixture(self) -> None:
        # Exact rationals and 18 digits computed with SymPy and mpmath.
        model, x = fixture_model()
        mean, covariance = model.posterior(x)
        exact = torch.tensor([[7, -2], [-2, 10]], dtype=torch.float64) / 33
        torch.testing.assert_close(mean, torch.tensor([2 / 3, 2 / 3], dtype=torch.float64))
        torch.testing.assert_close(covariance, exact)
        evidence = -3.785441685894034390901786
        assert model.log_evidence(x).item() == pytest.approx(evidence, abs=1e-13)
        terms = model.elbo(x, mean, covariance)
        assert terms.value.item() == pytest.approx(evidence, abs=1e-13)
        assert terms.reconstruction.item() == pytest.approx(-2.68174129342, abs=1e-11)
        assert terms.kl.item() == pytest.approx(1.10370039247, abs=1e-11)
        mean, log_std = model.diagonal_posterior(x)
        variances = (2 * log_std).exp()
        torch.testing.assert_close(variances, torch.tensor([1 / 5, 2 / 7], dtype=torch.float64))
        best = model.elbo(x, mean, variances.diag()).value.item()
        assert best == pytest.approx(-3.814861935905501113, abs=1e-13)
        assert model.diagonal_gap().item() == pytest.approx(0.029420250011466722, abs=1e-14)
        prior = model.elbo(x, torch.zeros(2).double(), torch.eye(2).double()).value.item()
        assert prior == pytest.approx(-7.967094828774100, abs=1e-12)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10_000))
    def test_evidence_is_elbo_plus_kl_to_the_posterior(self, seed: int) -> None:
        model = random_model(seed)
        rng = torch.Generator().manual_seed(seed + 1)
        x = torch.randn(5, 4, generator=rng, dtype=torch.float64)
        mean = torch.randn(5, 3, generator=rng, dtype=torch.float64)
        factor = torch.randn(3, 3, generator=rng, dtype=torch.float64)
        covariance = factor @ factor.T + 0.05 * torch.eye(3, dtype=torch.float64)
        true_mean, true_covariance = model.posterior(x)
        gap = vae.kl_full(mean, covariance, true_mean, true_covariance)
        torch.testing.assert_close(
            model.elbo(x, mean, covariance).value + gap, model.log_evidence(x)
        )
        assert bool((gap >= 0).all())

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10_000))
    def test_no_diagonal_covariance_beats_diagonal_posterior(self, seed: int) -> None:
        model = random_model(seed)
        x = torch.ones(4, dtype=torch.float64)
        mean, log_std = model.diagonal_posterior(x)
        best = model.elbo(x, mean, (2 * log_std).exp().diag()).value
        torch.testing.assert_close(model.log_evidence(x) - best, model.diagonal_gap())
        rng = torch.Generator().manual_seed(seed)
        for _ in range(5):
            step = 0.1 * torch.randn(2, 3, generator=rng, dtype=torch.float64)
            other = model.elbo(x, mean + step[0], (2 * (log_std + step[1])).exp().diag()).value
            assert other < best

    def test_orthogonal_columns_leave_no_gap(self) -> None:
        model = random_model(3)
        u, s, _ = torch.linalg.svd(model.weight, full_matrices=False)
        turned = vae.LinearGaussian(u * s, model.mean, model.variance)
        x = torch.arange(4).double()
        torch.testing.assert_close(turned.log_evidence(x), model.log_evidence(x))
        assert turned.diagonal_gap().item() == pytest.approx(0, abs=1e-12)
        assert model.diagonal_gap().item() > 0.01

    def test_gradients_reach_every_field(self) -> None:
        weight = torch.ones(3, 2).tril().double().requires_grad_(True)
        mean = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        variance = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

        def best(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
            model = vae.LinearGaussian(w, m, v)
            x = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]).double()
            q_mean, log_std = model.diagonal_posterior(x)
            return model.elbo(x, q_mean, torch.diag_embed((2 * log_std).exp())).value.sum()

        assert torch.autograd.gradcheck(best, (weight, mean, variance))

    @pytest.mark.parametrize(
        ("shapes", "variance", "message"),
        [
            (((3, 2), (2,)), 1.0, r"\(3, 2\) and mean \(2,\); expected"),
            (((3,), (3,)), 1.0, r"expected \(D, L\) and \(D,\)"),
            (((3, 2), (3,)), 0.0, "one positive number"),
            (((3, 2), (3,)), float("nan"), "one positive number"),
            (((3, 2), (3,)), float("inf"), "one positive number"),
        ],
    )
    def test_bad_fields(
        self, shapes: tuple[tuple[int, ...], ...], variance: float, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            vae.LinearGaussian(torch.ones(shapes[0]), torch.ones(shapes[1]), variance)


class TestElbo:
    def setup_method(self) -> None:
        self.model = random_model(7)
        rng = torch.Generator().manual_seed(8)
        self.x = torch.randn(6, 4, generator=rng, dtype=torch.float64)
        self.encode_weight = torch.randn(4, 3, generator=rng, dtype=torch.float64)
        self.encode_weight.requires_grad_(True)
        self.log_std = torch.full((3,), -0.4, dtype=torch.float64, requires_grad=True)

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x @ self.encode_weight
        return mean, self.log_std.expand_as(mean)

    def exact(self) -> Tensor:
        mean, log_std = self.encoder(self.x)
        return self.model.elbo(self.x, mean, torch.diag_embed((2 * log_std).exp())).value

    def test_value_and_gradient_are_those_of_the_closed_form(self) -> None:
        # The integrand is quadratic in the noise, so six sigma points integrate it exactly.
        terms = vae.elbo(
            self.x,
            self.encoder,
            self.model.decode,
            self.model.log_likelihood,
            sigma_points(3, (6,)),
        )
        parameters = [self.encode_weight, self.log_std]
        torch.testing.assert_close(terms.value, self.exact())
        for ours, truth in zip(
            torch.autograd.grad(terms.value.sum(), parameters),
            torch.autograd.grad(self.exact().sum(), parameters),
            strict=True,
        ):
            torch.testing.assert_close(ours, truth)

    def test_log_weights_average_to_the_elbo(self) -> None:
        weights = vae.log_weights(
            self.x,
            self.encoder,
            self.model.decode,
            self.model.log_likelihood,
            sigma_points(3, (6,)),
        )
        torch.testing.assert_close(weights.mean(0), self.exact())

    def test_log_weights_at_the_posterior_are_the_evidence(self) -> None:
        u, s, _ = torch.linalg.svd(self.model.weight, full_matrices=False)
        turned = vae.LinearGaussian(u * s, self.model.mean, self.model.variance)
        noise = torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(1)).double()
        weights = vae.log_weights(
            self.x, turned.diagonal_posterior, turned.decode, turned.log_likelihood, noise
        )
        torch.testing.assert_close(weights, turned.log_evidence(self.x).expand(3, 6))

    def test_importance_bound(self) -> None:
        rng = torch.Generator().manual_seed(3)
        repeated = self.x.repeat(2000, 1)  # 2000 independent draws for each of the six points
        noise = torch.randn(50, len(repeated), 3, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            weights = vae.log_weights(
                repeated,
                self.model.diagonal_posterior,
                self.model.decode,
                self.model.log_likelihood,
                noise,
            )
        evidence = self.model.log_evidence(self.x)
        one = vae.importance_bound(weights[:1]).reshape(2000, 6).mean(0)
        fifty = vae.importance_bound(weights).reshape(2000, 6).mean(0)
        gap = self.model.diagonal_gap()
        spread = weights[0].reshape(2000, 6).std(0)
        assert bool(((one - evidence + gap).abs() < 5 * spread / 2000**0.5).all())
        assert bool((fifty > one).all())
        torch.testing.assert_close(fifty, evidence, atol=0.1, rtol=0)
        torch.testing.assert_close(
            vae.importance_bound(torch.tensor([1e4, 1e4])), torch.tensor(1e4)
        )

    def test_bad_shapes(self) -> None:
        arguments = (self.x, self.encoder, self.model.decode, self.model.log_likelihood)
        for shape in [(6, 3), (1, 5, 3), (0, 6, 3)]:
            with pytest.raises(ValueError, match=r"expected noise of shape \(S, 6, 3\)"):
                vae.elbo(*arguments, torch.zeros(shape, dtype=torch.float64))
            with pytest.raises(ValueError, match="expected noise"):
                vae.log_weights(*arguments, torch.zeros(shape, dtype=torch.float64))
        with pytest.raises(ValueError, match="K >= 1"):
            vae.importance_bound(torch.zeros(0, 3))

    @pytest.mark.parametrize("size", [4, 6])
    def test_a_likelihood_of_the_wrong_shape(self, size: int) -> None:
        """Averaged over pixels, averaged over the batch, not summed at all; with N = D as well."""
        x = self.x[:, :4] if size == 4 else torch.zeros(6, 6, dtype=torch.float64)
        encode = torch.nn.Linear(size, 3, dtype=torch.float64)
        decode = torch.nn.Linear(3, size, dtype=torch.float64)

        def terms(data: Tensor, decoded: Tensor) -> Tensor:
            return -((data - decoded) ** 2)  # (S, N, D)

        def encoder(data: Tensor) -> tuple[Tensor, Tensor]:
            return encode(data), encode(data) * 0

        noise = torch.zeros(2, 6, 3, dtype=torch.float64)
        for wrong in (
            lambda data, decoded: terms(data, decoded).mean(),
            lambda data, decoded: terms(data, decoded).sum((0, 2)),
            lambda data, decoded: terms(data, decoded).sum(-1, keepdim=True),
            terms,
        ):
            for function in (vae.elbo, vae.log_weights):
                with pytest.raises(ValueError, match=r"sum over the event: .* = \(2, 6\)"):
                    function(x, encoder, decode, wrong, noise)
        advised = vae.elbo(x, encoder, decode, lambda *both: terms(*both).flatten(2).sum(-1), noise)
        assert advised.value.shape == (6,)


def test_data_of_another_width_are_refused() -> None:
    x, other = torch.ones(5, 1), torch.zeros(5, 784)
    with pytest.raises(ValueError, match=r"x has shape \(5, 1\) and logit \(5, 784\)"):
        vae.bernoulli_log_likelihood(x, other)
    with pytest.raises(ValueError, match=r"logit \(2, 5, 1\)"):
        vae.bernoulli_log_likelihood(torch.ones(5, 784), torch.zeros(2, 5, 1))
    with pytest.raises(ValueError, match=r"x has shape \(5, 1\) and mean \(5, 784\)"):
        vae.normal_log_density(x, other, torch.zeros(()))
    # One mean for all coordinates, and leading axes that broadcast, are meant.
    assert vae.normal_log_density(other, torch.zeros(()), torch.zeros(())).shape == (5,)
    assert vae.normal_log_density(other, torch.zeros(3, 5, 784), torch.zeros(784)).shape == (3, 5)


class TestTrainedCodes:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_terms_sum_to_the_divergence(self, dtype: torch.dtype) -> None:
        rng = torch.Generator().manual_seed(0)
        mean, log_std = (torch.randn(4, 7, 3, generator=rng, dtype=dtype) for _ in range(2))
        each = vae.kl_per_latent(mean, log_std)
        assert each.shape == mean.shape
        assert each.dtype == dtype
        torch.testing.assert_close(each.sum(-1), vae.kl_to_prior(mean, log_std))
        assert bool((vae.kl_per_latent(torch.zeros(3), torch.zeros(3)) == 0).all())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_free_bits(self, dtype: torch.dtype) -> None:
        kl = torch.tensor([[0.0, 1.0, 4.0], [0.2, 2.0, 2.0]], dtype=dtype, requires_grad=True)
        expected = {0.0: 0.1 + 1.5 + 3, 0.5: 0.5 + 1.5 + 3, 10.0: 30.0}
        for nats, value in expected.items():
            torch.testing.assert_close(vae.free_bits(kl, nats).item(), value)
        (slope,) = torch.autograd.grad(vae.free_bits(kl, 0.5), kl)
        assert slope.dtype == dtype
        assert slope.tolist() == [[0.0, 0.5, 0.5]] * 2

    def test_active_units_move(self) -> None:
        rng = torch.Generator().manual_seed(0)
        mean = torch.randn(2000, 4, generator=rng) * torch.tensor([1.0, 0.5, 0.05, 0.0]) + 3
        assert vae.active_units(mean).tolist() == [True, True, False, False]
        assert vae.active_units(mean, 0.5).tolist() == [True, False, False, False]

    def test_weighted_bound(self) -> None:
        terms = vae.Elbo(torch.tensor([-3.0, -1.0]), torch.tensor([1.0, 2.0]))
        torch.testing.assert_close(terms.weighted(1), terms.value)
        assert terms.weighted(0).tolist() == [-3.0, -1.0]
        assert terms.weighted(torch.tensor(2.0)).tolist() == [-5.0, -5.0]
        for beta in (-5.0, math.nan, math.inf, torch.ones(2, 1)):
            with pytest.raises(ValueError, match="beta is"):
                terms.weighted(beta)

    def test_without_data(self) -> None:
        mean = torch.zeros(5, 3, device="meta")
        each = vae.kl_per_latent(mean, mean)
        assert each.shape == (5, 3)
        assert vae.free_bits(each, 0.1).shape == ()
        assert vae.active_units(mean).shape == (3,)

    def test_errors_name_what_is_wrong(self) -> None:
        two = torch.ones(5, 3)
        for nats in (-1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match=r"nats = .*from 0 on"):
                vae.free_bits(two, nats)
        with pytest.raises(ValueError, match=r"kl has shape \(5,\); expected \(N, L\)"):
            vae.free_bits(two[:, 0], 0.1)
        with pytest.raises(ValueError, match=r"mean has shape \(1, 3\).*N >= 2"):
            vae.active_units(two[:1])
        with pytest.raises(ValueError, match="least = -1"):
            vae.active_units(two, -1)
        for hole in (math.nan, math.inf):
            with pytest.raises(ValueError, match="NaN or infinite"):
                vae.active_units(torch.full((3, 2), hole))
