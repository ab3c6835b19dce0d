"""Estimators of the gradient of an expectation whose distribution holds the parameter.

The gradient of E[cost(X)] for X ~ p(x; parameter), from samples:

* :func:`pathwise` moves the samples: X = transform(parameter, noise), differentiate the cost;
* :func:`score_function` weighs the samples: cost(X) times grad log p(X; parameter), less a
  baseline.

Every estimator returns one estimate a sample, (N, ...), so that its variance can be measured; the
mean over the first axis is the estimate to use. Nothing here draws noise.

Derived in `gradients-of-expectations` (Glynn 1990; Williams 1992; Kingma and Welling 2014;
Mohamed et al. 2020 compares them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp
import torch
from torch import Tensor

from ganlib.checks import readable

__all__ = [
    "ExactVariances",
    "absolute_error",
    "baseline_symbol",
    "best_constant",
    "location",
    "mean_of_others",
    "pathwise",
    "score_function",
    "scores",
    "sine",
    "surrogate",
]


def pathwise(
    cost: Callable[[Tensor], Tensor],
    transform: Callable[[Tensor, Tensor], Tensor],
    parameter: Tensor,
    noise: Tensor,
) -> Tensor:
    """The pathwise (reparametrisation) estimates of grad E[cost(transform(parameter, noise))].

    Parameters
    ----------
    cost
        One sample to a scalar; differentiable almost everywhere and with no jumps. A step, such
        as ``x > 0``, gives a wrong gradient here without any error.
    transform
        ``transform(parameter, one noise)`` is one sample.
    parameter
        Any shape P, float.
    noise
        Shape (N, ...), its distribution free of the parameter.

    Returns
    -------
    Shape (N, *P): one unbiased estimate a sample. Derived in `gradients-of-expectations`.

    Examples
    --------
    The cost x^2 at x = mu + noise has the slope 2 x in mu:

    >>> mu, noise = torch.tensor(1.0), torch.tensor([0.0, 1.0])
    >>> pathwise(lambda x: x**2, lambda mu, e: mu + e, mu, noise)
    tensor([2., 4.])
    """
    _check_count(noise, "noise")
    gradient = torch.func.grad(lambda value, one: cost(transform(value, one)))
    return torch.func.vmap(gradient, in_dims=(None, 0))(parameter, noise)


def scores(
    log_density: Callable[[Tensor, Tensor], Tensor], parameter: Tensor, samples: Tensor
) -> Tensor:
    """grad of log p(x; parameter) by the parameter at each sample: (N, *P).

    ``log_density(parameter, one sample)`` is a scalar, log-probability for discrete samples. The
    set on which the density is positive must not move with the parameter, or the
    score-function estimator is biased (the uniform distribution on (0, parameter) is the example).

    Examples
    --------
    The score of N(mu, 1) is x - mu:

    >>> log_density = lambda mu, x: -((x - mu) ** 2) / 2
    >>> scores(log_density, torch.tensor(1.0), torch.tensor([1.0, 3.0]))
    tensor([0., 2.])
    """
    _check_count(samples, "samples")
    gradient = torch.func.grad(log_density)
    return torch.func.vmap(gradient, in_dims=(None, 0))(parameter, samples)


def score_function(costs: Tensor, scores: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    """The score-function (REINFORCE) estimates (cost - baseline) * score of grad E[cost].

    Parameters
    ----------
    costs
        Shape (N,): the cost of each sample; it need not be differentiable.
    scores
        Shape (N, *P), from :func:`scores`.
    baseline
        A number, one number a sample (shape (N,)), or one a coordinate (shape (1, *P)). A baseline
        of a sample must not depend on that sample: then the estimate stays unbiased.

    Returns
    -------
    Shape (N, *P). Derived in `gradients-of-expectations` (Williams 1992).

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> costs, slopes = torch.tensor([1.0, 9.0]), torch.tensor([1.0, 2.0])
    >>> score_function(costs, slopes), score_function(costs, slopes, baseline=5.0)
    (tensor([ 1., 18.]), tensor([-4.,  8.]))
    """
    if costs.ndim != 1 or scores.ndim == 0 or scores.shape[0] != costs.shape[0]:
        raise ValueError(
            f"costs have shape {tuple(costs.shape)} and scores {tuple(scores.shape)}; expected "
            "(N,) and (N, ...) with one N"
        )
    _check_count(costs, "costs")
    column = (-1, *([1] * (scores.ndim - 1)))
    if isinstance(baseline, Tensor) and baseline.ndim > 0:
        if baseline.shape == costs.shape:
            baseline = baseline.reshape(column)
        elif baseline.shape != (1, *scores.shape[1:]):
            raise ValueError(
                f"baseline has shape {tuple(baseline.shape)}; allowed are a number, "
                f"{tuple(costs.shape)} and {(1, *scores.shape[1:])}"
            )
    return (costs.reshape(column) - baseline) * scores


def mean_of_others(costs: Tensor) -> Tensor:
    """For each sample, the mean cost of the other N - 1: a baseline without bias, shape (N,).

    The mean over all N, the sample itself included, would shrink the expected gradient by the
    factor 1 - 1/N. Derived in `gradients-of-expectations` (Kool et al. 2019).

    Raises
    ------
    ValueError
        If there are fewer than two samples.

    Examples
    --------
    >>> mean_of_others(torch.tensor([1.0, 2.0, 6.0]))
    tensor([4.0000, 3.5000, 1.5000])
    """
    if costs.ndim != 1 or len(costs) < 2:
        raise ValueError(
            f"costs have shape {tuple(costs.shape)}; the mean of the others needs shape (N,) with "
            "N >= 2"
        )
    # In float64: a large cost in the sum would take the digits of all others.
    wide = costs.double()
    return ((wide.sum() - wide) / (len(costs) - 1)).to(costs.dtype)


def best_constant(costs: Tensor, scores: Tensor) -> Tensor:
    """Estimate of the constant baseline with the least variance, one a coordinate: (1, *P).

    It is E[cost score^2] / E[score^2]. Estimate it on samples other than those it is used on:
    on the same samples it biases the gradient by a term of order 1/N. Derived in
    `gradients-of-expectations` (Greensmith et al. 2004).

    Raises
    ------
    ValueError
        If a coordinate's scores are all zero: its gradient is known to be zero.

    Examples
    --------
    >>> best_constant(torch.tensor([1.0, 9.0]), torch.tensor([1.0, -1.0]))
    tensor([5.])
    """
    power = scores.square()
    if readable(power) and bool((power.sum(0) == 0).any()):
        raise ValueError("all scores of a coordinate are 0; its gradient needs no baseline")
    weighted = score_function(costs, power)
    return weighted.mean(0, keepdim=True) / power.mean(0, keepdim=True)


def surrogate(costs: Tensor, log_probabilities: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    """A scalar whose autograd gradient is the mean of the score-function estimates.

    Parameters
    ----------
    costs
        Shape (N,); held fixed (detached).
    log_probabilities
        Shape (N,): log p(sample; parameters) with gradient, for example
        ``distribution.log_prob(sample)``.
    baseline
        A number or shape (N,).

    Returns
    -------
    A scalar to call ``backward()`` on. Its *value* means nothing.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> mu = torch.tensor(1.0, requires_grad=True)
    >>> x = torch.tensor([1.0, 3.0])
    >>> surrogate(x**2, -((x - mu) ** 2) / 2).backward()
    >>> mu.grad  # (1 * 0 + 9 * 2) / 2
    tensor(9.)
    """
    if costs.shape != log_probabilities.shape or costs.ndim != 1:
        raise ValueError(
            f"costs have shape {tuple(costs.shape)} and log_probabilities "
            f"{tuple(log_probabilities.shape)}; expected (N,) twice: sum the log-probabilities of "
            "a sample's coordinates first"
        )
    if isinstance(baseline, Tensor) and baseline.shape not in ((), costs.shape):
        raise ValueError(
            f"baseline has shape {tuple(baseline.shape)}; allowed are a number and "
            f"{tuple(costs.shape)}: pass baseline.reshape(-1) if it holds one number a sample"
        )
    return ((costs - baseline).detach() * log_probabilities).mean()


#: The location mu of X ~ N(mu, 1), in the exact variances.
location = sp.Symbol("mu", real=True)
#: The constant baseline there.
baseline_symbol = sp.Symbol("beta", real=True)


@dataclass(frozen=True)
class ExactVariances:
    """The gradient of E[cost(X)], X ~ N(mu, 1), by mu: the exact variance of each estimator.

    SymPy expressions in :data:`location`, and ``score`` also in :data:`baseline_symbol`; make
    functions of them with :func:`ganlib.formulas.compile_formula`. A variance is that of the
    estimate from one sample; N independent samples divide it by N.

    Examples
    --------
    >>> exact = absolute_error()
    >>> isinstance(exact, ExactVariances)
    True
    >>> exact.pathwise.subs(location, 0)  # the slope is -1 or 1, half and half
    1
    >>> exact.score.subs({location: 0, baseline_symbol: 0})  # E[x^4]
    3
    """

    mean: sp.Expr  #: E[cost(X)]
    gradient: sp.Expr  #: its derivative by mu
    pathwise: sp.Expr  #: variance of the pathwise estimate
    score: sp.Expr  #: variance of the score-function estimate with constant baseline beta
    best_baseline: sp.Expr  #: the beta with the least variance


def _exact(
    mean: sp.Expr, squared_slope: sp.Expr, weighted_square: sp.Expr, weighted: sp.Expr
) -> ExactVariances:
    # squared_slope = E[cost'^2], weighted_square = E[cost^2 e^2], weighted = E[cost e^2], X = mu+e.
    gradient = sp.diff(mean, location)
    beta = baseline_symbol
    score = weighted_square - 2 * beta * weighted + beta**2 - gradient**2
    return ExactVariances(mean, gradient, squared_slope - gradient**2, score, weighted)


def absolute_error() -> ExactVariances:
    """The cost |x| for X ~ N(mu, 1); for |x - c| put mu - c for mu. Both estimators, exactly.

    Derived in `gradients-of-expectations`. With its best baseline the score function beats the
    pathwise estimator where |mu| < 0.78678, so at the minimum itself.

    Examples
    --------
    >>> absolute_error().gradient
    erf(sqrt(2)*mu/2)
    """
    mu = location
    gradient = sp.erf(mu / sp.sqrt(2))
    density = sp.exp(-(mu**2) / 2) / sp.sqrt(2 * sp.pi)
    mean = 2 * density + mu * gradient
    return _exact(mean, sp.Integer(1), 3 + mu**2, 4 * density + mu * gradient)


def sine(frequency: sp.Expr | float) -> ExactVariances:
    """The cost sin(frequency x) for X ~ N(mu, 1).

    Derived in `gradients-of-expectations`. At mu = 0 the pathwise estimator has the larger
    variance, even with no baseline, above frequency 1.10899.

    Raises
    ------
    ValueError
        If the frequency is not finite.

    Examples
    --------
    >>> sine(1).mean
    exp(-1/2)*sin(mu)
    """
    k, mu = sp.sympify(frequency), location
    if k.is_finite is False or k is sp.nan:
        raise ValueError(f"frequency = {frequency} is not allowed; pass a finite number or symbol")
    mean = sp.exp(-(k**2) / 2) * sp.sin(k * mu)
    doubled = sp.exp(-2 * k**2) * sp.cos(2 * k * mu)
    return _exact(
        mean,
        k**2 * (1 + doubled) / 2,
        (1 - (1 - 4 * k**2) * doubled) / 2,
        (1 - k**2) * mean,
    )


def _check_count(values: Tensor, name: str) -> None:
    if values.ndim == 0 or values.shape[0] == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; its first axis holds the N >= 1 samples"
        )
