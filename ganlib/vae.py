"""The variational auto-encoder: its bound, its closed forms, and the model that solves exactly.

A latent-variable model is p(x, z) = p(z) p(x|z) with the prior p(z) = N(0, I). The encoder gives
q(z|x) = N(mean, diag(exp(2 log_std))). Everything here is in nats and has no hidden randomness:
noise is an argument.

Derived in `elbo` (Kingma and Welling 2014; Tipping and Bishop 1999 for the linear model).

Examples
--------
>>> sorted(map(str, kl_formula.free_symbols))
['l1', 'l2', 'm1', 'm2']
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import sympy as sp
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ganlib.checks import check_finite, readable
from ganlib.formulas import compile_formula, expm1, softplus

__all__ = [
    "Elbo",
    "LinearGaussian",
    "active_units",
    "bernoulli_log_likelihood",
    "elbo",
    "free_bits",
    "importance_bound",
    "kl_diagonal",
    "kl_formula",
    "kl_full",
    "kl_per_latent",
    "kl_to_prior",
    "log_weights",
    "normal_log_density",
    "reparametrise",
]

#: The symbols of :data:`kl_formula`, in the order of :func:`kl_diagonal`'s arguments.
kl_symbols = sp.symbols("m1 l1 m2 l2", real=True)
_m1, _l1, _m2, _l2 = kl_symbols
#: KL(N(m1, exp(2 l1)) || N(m2, exp(2 l2))), with l the logarithm of a standard deviation.
#: Written with expm1, so that it stays accurate where the two distributions nearly agree.
kl_formula = expm1(2 * (_l1 - _l2)) / 2 - (_l1 - _l2) + ((_m1 - _m2) ** 2) * sp.exp(-2 * _l2) / 2

_x, _mean, _log_std, _logit = sp.symbols("x mean log_std s", real=True)
_normal_log_density = (
    -(((_x - _mean) * sp.exp(-_log_std)) ** 2) / 2 - _log_std - sp.log(2 * sp.pi) / 2
)
_bernoulli_log_mass = -_x * softplus(-_logit) - (1 - _x) * softplus(_logit)

_kl = compile_formula(kl_formula, *kl_symbols)
_kl_to_prior = compile_formula(kl_formula.subs({_m2: 0, _l2: 0}), _m1, _l1)
_normal = compile_formula(_normal_log_density, _x, _mean, _log_std)
_bernoulli = compile_formula(_bernoulli_log_mass, _x, _logit)

_MANY = 16  # logits that seldom lie in [0, 1] together by chance

Encoder = Callable[[Tensor], tuple[Tensor, Tensor]]


def kl_diagonal(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """KL(N(mean, diag) || N(other_mean, other diag)), summed over the last axis.

    Parameters
    ----------
    mean, log_std, other_mean, other_log_std
        Shapes that broadcast to (..., L), one float dtype. ``log_std`` is the natural logarithm
        of a standard deviation; the squares exp(+-2 log_std) must fit the format (about +-44 in
        float32), beyond which the result is inf or NaN.

    Returns
    -------
    Shape (...), in nats, 0 where the two distributions agree. Derived in `elbo`.

    Examples
    --------
    >>> zero, one = torch.zeros(1), torch.ones(1)
    >>> kl_diagonal(one, zero, zero, zero)  # (1 - 0)^2 / 2
    tensor(0.5000)
    """
    return _kl(mean, log_std, other_mean, other_log_std).sum(-1)


def kl_to_prior(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(2 log_std))) || N(0, I)), summed over the last axis.

    Shapes (..., L) in, (...) out, in nats. Finite for every log_std that the square
    exp(2 log_std) allows: a standard deviation near 0 costs about -log_std. Derived in `elbo`.

    Examples
    --------
    >>> kl_to_prior(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor([0.5000])
    """
    return kl_per_latent(mean, log_std).sum(-1)


def kl_per_latent(mean: Tensor, log_std: Tensor) -> Tensor:
    """The terms of :func:`kl_to_prior` before the sum: shapes (..., L) in and out, in nats.

    Averaged over data, term j bounds what latent j can tell of the observation: 0 if q(z_j|x) is
    the prior for every x. Derived in `vae`.

    Examples
    --------
    >>> kl_per_latent(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor([[0.5000, 0.0000]])
    """
    return _kl_to_prior(mean, log_std)


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """sum over j of max(nats, mean over the batch of KL_j): a number to put in place of the KL.

    Parameters
    ----------
    kl
        Shape (N, L), from :func:`kl_per_latent`.
    nats
        What each latent may cost free of charge, at least 0; 0 gives the KL's own batch mean.

    Returns
    -------
    Shape (), at least the mean KL and at least L times ``nats``: with it the objective is still
    a lower bound. No gradient reaches a latent below its allowance. Derived in `vae` (Kingma et
    al. 2016).

    Raises
    ------
    ValueError
        If ``kl`` has another number of axes or no rows, or ``nats`` is negative or not finite.

    Examples
    --------
    >>> free_bits(torch.tensor([[0.5, 0.0]]), nats=0.1)  # 0.5 + 0.1
    tensor(0.6000)
    """
    _check_rows(kl, "kl")
    if not 0 <= nats < math.inf:
        raise ValueError(f"nats = {nats}; the free allowance of a latent is a number from 0 on")
    return kl.mean(0).clamp(min=nats).sum()


def active_units(mean: Tensor, least: float = 0.01) -> Tensor:
    """Which latents move with the observation: the variance of their mean exceeds ``least``.

    Parameters
    ----------
    mean
        The encoder's means for N observations, shape (N, L), N at least 2.
    least
        The variance from which a latent counts, at least 0; 0.01 is that of Burda et al. (2016).

    Returns
    -------
    Shape (L,), bool; ``.sum()`` counts them. A latent may cost divergence and yet be inactive, if
    q(z_j|x) is one distribution other than the prior for every x. Derived in `vae`.

    Raises
    ------
    ValueError
        If ``mean`` has another number of axes, fewer than two rows, or entries that are not
        finite (a diverged encoder is no empty code), or ``least`` is negative.

    Examples
    --------
    >>> active_units(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    tensor([False,  True])
    """
    _check_rows(mean, "mean", 2)
    check_finite(mean, "mean")
    if not 0 <= least < math.inf:
        raise ValueError(f"least = {least}; a variance to exceed is a number from 0 on")
    return mean.var(0) > least


def kl_full(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> Tensor:
    """KL between normal distributions with full covariance matrices.

    Parameters
    ----------
    mean, other_mean
        Shape (..., L).
    covariance, other_covariance
        Shape (..., L, L), symmetric and positive definite.

    Returns
    -------
    Shape (...), in nats. Derived in `elbo`.

    Raises
    ------
    ValueError
        If a covariance is not positive definite.

    Examples
    --------
    >>> eye = torch.eye(2)
    >>> kl_full(torch.ones(2), eye, torch.zeros(2), eye)  # |(1, 1)|^2 / 2
    tensor(1.)
    """
    return kl_divergence(
        _full(mean, covariance, "covariance"),
        _full(other_mean, other_covariance, "other_covariance"),
    )


def _full(mean: Tensor, covariance: Tensor, name: str) -> MultivariateNormal:
    factor, failure = torch.linalg.cholesky_ex(covariance)
    if readable(failure) and bool(failure.any()):
        raise ValueError(
            f"{name} is not positive definite; pass a symmetric matrix with positive eigenvalues "
            "(shape (..., L, L))"
        )
    return MultivariateNormal(mean, scale_tril=factor, validate_args=False)


def normal_log_density(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(x; mean, diag(exp(2 log_std))), summed over the last axis: (..., D) in, (...) out.

    With a constant ``log_std`` this is minus a squared error over 2 exp(2 log_std), plus a
    constant. Derived in `elbo`. Raises ValueError if ``x`` is of another width D than ``mean``.

    Examples
    --------
    >>> zero = torch.zeros(1)
    >>> normal_log_density(zero, zero, zero)  # -log(2 pi) / 2
    tensor(-0.9189)
    """
    _check_width(x, mean, "mean")
    return _normal(x, mean, log_std).sum(-1)


def bernoulli_log_likelihood(x: Tensor, logit: Tensor) -> Tensor:
    """log of sigmoid(logit)^x (1 - sigmoid(logit))^(1 - x), summed over the last axis.

    Parameters
    ----------
    x
        Shape (..., D), values in [0, 1]. Values strictly between 0 and 1 (grey pixels) give minus
        a cross-entropy, which is no log-probability: the mass is not normalised over [0, 1].
    logit
        Shape (..., D), any finite values; no sigmoid before. Many values that all lie in [0, 1]
        are taken for probabilities, and warned of.

    Returns
    -------
    Shape (...). Exact at logits of +-1e4 in float32.

    Raises
    ------
    ValueError
        If a value of ``x`` is outside [0, 1]: the likelihood would have no upper bound; and if
        the last axes differ.

    Examples
    --------
    Two fair coins:

    >>> bernoulli_log_likelihood(torch.tensor([1.0, 0.0]), torch.zeros(2))  # -2 log 2
    tensor(-1.3863)
    """
    _check_width(x, logit, "logit")
    if readable(x) and not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(
            f"x has values from {x.min().item():g} to {x.max().item():g}; a Bernoulli likelihood "
            "needs values in [0, 1]: rescale the data, or use normal_log_density"
        )
    if readable(logit) and logit.numel() >= _MANY:
        least, most = (end.item() for end in logit.detach().aminmax())
        if 0 <= least < most <= 1:
            warnings.warn(
                f"all {logit.numel()} logits lie in [0, 1], from {least:.3g} to {most:.3g}; if "
                "they are probabilities, leave out the sigmoid that made them, or pass "
                "torch.logit(probabilities)",
                stacklevel=2,
            )
    return _bernoulli(x, logit).sum(-1)


def reparametrise(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    """z = mean + exp(log_std) * noise: a sample of q whose gradient reaches the encoder.

    ``noise`` is N(0, I) of shape (..., L). Derived in `gradients-of-expectations`.

    Examples
    --------
    >>> reparametrise(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]))
    tensor([3.])
    """
    return mean + log_std.exp() * noise


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound, one number a data point, in nats.

    Examples
    --------
    >>> terms = Elbo(reconstruction=torch.tensor([-3.0]), kl=torch.tensor([1.0]))
    >>> terms.value, terms.weighted(2)
    (tensor([-4.]), tensor([-5.]))
    """

    reconstruction: Tensor  #: estimate of E_q log p(x|z), shape (N,)
    kl: Tensor  #: KL(q(z|x) || p(z)), shape (N,), exact

    @property
    def value(self) -> Tensor:
        """reconstruction - kl, shape (N,): at most log p(x) in expectation. Maximise it."""
        return self.reconstruction - self.kl

    def weighted(self, beta: Tensor | float) -> Tensor:
        """reconstruction - beta kl, shape (N,): the objective of a beta-VAE; a bound from 1 on.

        ``beta`` is one number, at least 0 and finite. For warm-up let it rise from 0 to 1 with
        the steps. Derived in `vae`.

        Raises
        ------
        ValueError
            For another ``beta``.
        """
        one = torch.as_tensor(beta)
        if one.ndim or (readable(one) and not 0 <= one < math.inf):
            raise ValueError(f"beta is {beta}; pass one number from 0 on, such as 1 or 0.2")
        return self.reconstruction - beta * self.kl


def elbo(
    data: Tensor,
    encoder: Encoder,
    decoder: Callable[[Tensor], Tensor],
    log_likelihood: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
) -> Elbo:
    """The evidence lower bound of each data point, by the pathwise estimator.

    Parameters
    ----------
    data
        Shape (N, D).
    encoder
        Maps data to (mean, log_std) of q(z|x), each of shape (N, L).
    decoder
        Maps latents (S, N, L) to what ``log_likelihood`` takes, for example means (S, N, D).
    log_likelihood
        ``log_likelihood(data, decoded)`` is log p(x|z), shape (S, N): summed over the event, that
        is over all pixels of an image, never averaged.
    noise
        N(0, I) of shape (S, N, L): S samples a data point. S = 1 is usual.

    Returns
    -------
    :class:`Elbo`; the loss of a VAE is ``-elbo(...).value.mean()``. It is an unbiased estimate
    of the bound, and so is its gradient. Derived in `elbo` (Kingma and Welling 2014, eq. 10).

    Raises
    ------
    ValueError
        If the shapes of noise and encoder output do not fit, or the likelihood is not one number
        a sample and data point.

    Examples
    --------
    At the exact posterior the bound is the evidence, here log N(0; 0, 2) at x = 0. The two noises
    have the second moment 1, as a standard normal has:

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
    >>> x, noise = torch.zeros(1, 1), torch.tensor([[[1.0]], [[-1.0]]])
    >>> bound = elbo(x, model.diagonal_posterior, model.decode, model.log_likelihood, noise)
    >>> bound.value, model.log_evidence(x)
    (tensor([-1.2655]), tensor([-1.2655]))
    """
    mean, log_std = encoder(data)
    _check_noise(noise, mean)
    likelihood = log_likelihood(data, decoder(reparametrise(mean, log_std, noise)))
    _check_likelihood(likelihood, noise)
    return Elbo(likelihood.mean(0), kl_to_prior(mean, log_std))


def log_weights(
    data: Tensor,
    encoder: Encoder,
    decoder: Callable[[Tensor], Tensor],
    log_likelihood: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
) -> Tensor:
    """log p(x, z) - log q(z|x) at S samples of q, shape (S, N); arguments as in :func:`elbo`.

    Their mean over samples estimates the ELBO, and their log-mean-exp
    (:func:`importance_bound`) a tighter bound. Derived in `elbo`.

    Examples
    --------
    With the exact posterior every sample has the same weight, the evidence:

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
    >>> x, noise = torch.zeros(1, 1), torch.tensor([[[0.3]], [[-2.0]]])
    >>> log_weights(x, model.diagonal_posterior, model.decode, model.log_likelihood, noise)
    tensor([[-1.2655],
            [-1.2655]])
    """
    mean, log_std = encoder(data)
    _check_noise(noise, mean)
    latent = reparametrise(mean, log_std, noise)
    zero = torch.zeros((), dtype=latent.dtype, device=latent.device)
    likelihood = log_likelihood(data, decoder(latent))
    _check_likelihood(likelihood, noise)
    return (
        likelihood
        + normal_log_density(latent, zero, zero)
        - normal_log_density(latent, mean, log_std)
    )


def importance_bound(weights: Tensor) -> Tensor:
    """log of the mean of exp(weights) over the first axis: (K, ...) in, (...) out.

    For the log weights of :func:`log_weights` its expectation lies between the ELBO (K = 1) and
    log p(x), and grows with K. Derived in `elbo` (Burda et al. 2016).

    Examples
    --------
    >>> importance_bound(torch.tensor([0.0, 3.0]).log())  # log((0 + 3) / 2)
    tensor(0.4055)
    """
    if weights.ndim == 0 or weights.shape[0] == 0:
        raise ValueError(
            f"weights have shape {tuple(weights.shape)}; the first axis holds the K >= 1 samples"
        )
    return weights.logsumexp(0) - math.log(weights.shape[0])


@dataclass(frozen=True)
class LinearGaussian:
    """The latent-variable model that solves exactly: z ~ N(0, I), x|z ~ N(Wz + mean, variance I).

    Probabilistic PCA (Tipping and Bishop 1999): a VAE whose decoder is linear. Its evidence and
    its posterior have closed forms, so every statement about the ELBO can be tested on it.
    Derived in `elbo`. All methods are differentiable in the three fields.

    Attributes
    ----------
    weight
        W, shape (D, L).
    mean
        Shape (D,).
    variance
        The noise variance, a positive number or scalar tensor.

    Raises
    ------
    ValueError
        If shapes disagree or the variance is not positive.

    Examples
    --------
    z and the noise have variance 1 each, so x has variance 2, and half of x comes from z:

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
    >>> model.log_evidence(torch.zeros(1, 1))  # -log(2 pi 2) / 2
    tensor([-1.2655])
    >>> mean, covariance = model.posterior(torch.tensor([[4.0]]))
    >>> mean, covariance
    (tensor([[2.]]), tensor([[0.5000]]))
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor | float

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.mean.shape != self.weight.shape[:1]:
            raise ValueError(
                f"weight has shape {tuple(self.weight.shape)} and mean {tuple(self.mean.shape)}; "
                "expected (D, L) and (D,)"
            )
        variance = self._variance.detach()
        if variance.ndim != 0 or (readable(variance) and not 0 < variance.item() < math.inf):
            raise ValueError(f"variance = {self.variance}; it must be one positive number")

    @property
    def _variance(self) -> Tensor:
        return torch.as_tensor(self.variance, dtype=self.weight.dtype, device=self.weight.device)

    @property
    def precision_scaled(self) -> Tensor:
        """M = W'W + variance I, shape (L, L): the posterior precision is M / variance."""
        gram = self.weight.T @ self.weight
        return gram + self.variance * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)

    def decode(self, latent: Tensor) -> Tensor:
        """Wz + mean: latents (..., L) in, means (..., D) out."""
        return latent @ self.weight.T + self.mean

    def log_likelihood(self, x: Tensor, decoded: Tensor) -> Tensor:
        """log p(x|z) given decoded = Wz + mean; shapes (..., D) in, (...) out."""
        return normal_log_density(x, decoded, self._variance.log() / 2)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; mean, WW' + variance I); shape (..., D) in, (...) out."""
        identity = torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        covariance = self.weight @ self.weight.T + self.variance * identity
        return _full(self.mean, covariance, "the covariance of x").log_prob(x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (..., L) and covariance (L, L) of p(z|x): M^-1 W'(x - mean), variance M^-1."""
        inverse = torch.linalg.inv(self.precision_scaled)
        return (x - self.mean) @ self.weight @ inverse, self.variance * inverse

    def diagonal_posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, each (..., L), of the best q with diagonal covariance.

        The mean is the posterior's; the variances are variance / M_ii, never larger than the
        posterior's own.
        """
        mean, _ = self.posterior(x)
        log_std = (self.variance / _diagonal(self.precision_scaled)).log() / 2
        return mean, log_std.expand_as(mean)

    def diagonal_gap(self) -> Tensor:
        """log p(x) - ELBO at :meth:`diagonal_posterior`: (sum log M_ii - log det M) / 2 nats.

        The same for every x; 0 exactly when the columns of W are orthogonal.
        """
        scaled = self.precision_scaled
        return (_diagonal(scaled).log().sum() - torch.linalg.slogdet(scaled).logabsdet) / 2

    def elbo(self, x: Tensor, mean: Tensor, covariance: Tensor) -> Elbo:
        """The exact ELBO at q(z|x) = N(mean, covariance), no sampling.

        Parameters
        ----------
        x, mean
            Shapes (N, D) and (N, L), or without the leading axis.
        covariance
            Shape (..., L, L), positive definite.
        """
        identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
        expected = self.log_likelihood(x, self.decode(mean))
        # E|x - Wz - mean|^2 exceeds its value at the mean of q by tr(W'W covariance).
        spread = (self.weight.T @ self.weight * covariance).sum((-2, -1)) / (2 * self.variance)
        kl = kl_full(mean, covariance, torch.zeros_like(mean), identity)
        return Elbo(expected - spread, kl)


def _diagonal(matrix: Tensor) -> Tensor:
    return torch.diagonal(matrix, dim1=-2, dim2=-1)


def _check_rows(values: Tensor, name: str, least: int = 1) -> None:
    if values.ndim != 2 or values.shape[0] < least:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected (N, L), one row a data point, with "
            f"N >= {least}"
        )


def _check_width(x: Tensor, other: Tensor, name: str) -> None:
    # A number for all coordinates is meant; (N, 1) beside (N, D) is not.
    if x.ndim and other.ndim and x.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and {name} {tuple(other.shape)}; the last axis holds "
            "the coordinates and must be of one length in both"
        )


def _check_noise(noise: Tensor, mean: Tensor) -> None:
    if noise.ndim == 0 or noise.shape[1:] != mean.shape or noise.shape[0] == 0:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)} and the encoder's mean {tuple(mean.shape)}; "
            f"expected noise of shape (S, {', '.join(map(str, mean.shape))}) with S >= 1"
        )


def _check_likelihood(likelihood: Tensor, noise: Tensor) -> None:
    if likelihood.shape != noise.shape[:-1]:
        expected = tuple(noise.shape[:-1])
        raise ValueError(
            f"log_likelihood has shape {tuple(likelihood.shape)}; sum over the event: expected "
            f"(S, N) = {expected}, one number for each sample of each data point, for example "
            "terms.flatten(2).sum(-1), with no mean over pixels and none over the batch"
        )
