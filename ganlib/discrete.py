"""Discrete samples: relaxed and hard draws from given noise, pairs of draws, an exact law.

No sample of bits or classes has a slope in the logits that drew it. What stands in for one:

* a relaxed draw, which has (:func:`relaxed_bits`, :func:`relaxed_one_hot`: Maddison et al. 2017;
  Jang et al. 2017);
* a hard draw with the slope of a relaxed one (:func:`straight_through`: Bengio et al. 2013);
* the score function (:mod:`ganlib.estimators`), or for bits a pair of draws from one noise
  (:func:`disarm`: Dong, Mnih and Tucker 2020; Yin et al. 2020).

Nothing here draws noise: the same noise gives the same sample, on any device and under ``vmap``.
The distributions themselves, with their densities, are those of ``torch.distributions``. Derived
in `discrete`; the exact law of a latent mixture (:func:`mixture_log_law`) in `bits-and-strings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ganlib.checks import check_count, check_float, readable

__all__ = [
    "all_bits",
    "disarm",
    "gumbel",
    "mixture_log_law",
    "relaxed_bits",
    "relaxed_one_hot",
    "straight_through",
]


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise -log(-log u), any shape, from uniform draws in [0, 1].

    The ends are moved to the next number inside that the dtype holds, so every value is finite:
    in float32 from -4.5 to 16.6. Derived in `discrete`.

    Raises
    ------
    TypeError, ValueError
        For another dtype, or a draw outside [0, 1].

    Examples
    --------
    >>> gumbel(torch.tensor([0.5]))  # -log(log 2)
    tensor([0.3665])
    """
    return -torch.log(-torch.log(_inside(uniform)))


def relaxed_bits(logits: Tensor, uniform: Tensor, temperature: Tensor | float) -> Tensor:
    """Relaxed Bernoulli draws sigmoid((logits + log u - log(1 - u)) / temperature).

    Parameters
    ----------
    logits
        Any shape; the bit is 1 with probability sigmoid(logit).
    uniform
        Draws in [0, 1] of the shape of the result; the ends count as :func:`gumbel` says.
    temperature
        Above 0; a number, or a tensor that broadcasts to the draws without making more of them.

    Returns
    -------
    Draws in [0, 1], above 1/2 where the hard bit would be 1: with probability sigmoid(logit) at
    every temperature. Their mean is sigmoid(logit) only in the limit of temperature 0.

    Raises
    ------
    TypeError, ValueError
        For other dtypes, shapes that do not fit, or a temperature that is no number, not finite
        or not positive.

    Derived in `discrete` (Maddison et al. 2017; Jang et al. 2017).

    Examples
    --------
    >>> relaxed_bits(torch.tensor([0.0]), torch.tensor([0.75]), 1.0)
    tensor([0.7500])
    """
    inside = _inside(uniform)
    noise = torch.log(inside) - torch.log1p(-inside)
    return torch.sigmoid(_scaled(logits, noise, temperature))


def relaxed_one_hot(logits: Tensor, gumbel: Tensor, temperature: Tensor | float) -> Tensor:
    """Concrete (Gumbel-softmax) draws softmax((logits + gumbel) / temperature).

    Parameters
    ----------
    logits
        Shape (..., K), K classes on the last axis; any constant may be added.
    gumbel
        Noise of the shape of the result, from :func:`gumbel`.
    temperature
        As for :func:`relaxed_bits`.

    Returns
    -------
    Points of the simplex, (..., K). The largest entry stands at ``(logits + gumbel).argmax(-1)``,
    a draw of Categorical(logits), at every temperature.

    Raises
    ------
    TypeError, ValueError
        As :func:`relaxed_bits`, and for fewer than two classes.

    Derived in `discrete` (Maddison et al. 2017; Jang et al. 2017).

    Examples
    --------
    >>> noise = torch.tensor([3.0, 1.0]).log()
    >>> relaxed_one_hot(torch.zeros(2), noise, 1.0)  # 3 to 1
    tensor([0.7500, 0.2500])
    """
    if logits.ndim == 0 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}; the last axis holds K >= 2 classes: for a "
            "coin use relaxed_bits"
        )
    return torch.softmax(_scaled(logits, gumbel, temperature), dim=-1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of ``hard``, to the last bit, with the slope of ``soft``; shapes are equal.

    Raises
    ------
    ValueError
        For shapes that differ.

    Derived in `discrete`, with its bias (Bengio et al. 2013).

    Examples
    --------
    >>> soft = torch.tensor([0.6], requires_grad=True)
    >>> bit = straight_through(torch.tensor([1.0]), soft)
    >>> bit.backward()
    >>> bit.item(), soft.grad
    (1.0, tensor([1.]))
    """
    if hard.shape != soft.shape:
        raise ValueError(
            f"hard has shape {tuple(hard.shape)} and soft {tuple(soft.shape)}; give each hard "
            "value the soft one that lends its slope"
        )
    # soft - soft is 0 exactly; (hard - soft) + soft would round.
    return hard.detach() + (soft - soft.detach())


def disarm(cost: Callable[[Tensor], Tensor], logits: Tensor, uniform: Tensor) -> Tensor:
    """Unbiased estimates of the gradient of E[cost(bits)] by the logits, a pair of draws each.

    The pair comes from one uniform vector u: bits [u >= 1 - p] and [u < p], p = sigmoid(logits).
    Each has the right law; where they differ, the difference of their costs tells that bit's
    slope.

    Parameters
    ----------
    cost
        (..., d) bits to (...) costs; it need not be differentiable.
    logits
        Shape (..., d); the bits of a row are independent.
    uniform
        Draws in [0, 1), of the same shape.

    Returns
    -------
    (..., d), without gradient. For a network's parameters backpropagate
    ``(estimate * logits).sum(-1).mean()``.

    Raises
    ------
    TypeError, ValueError
        For other dtypes, shapes that differ, or a cost that is not one float a row.

    Derived in `discrete` (Dong, Mnih and Tucker 2020; as U2G, Yin et al. 2020).

    Examples
    --------
    The slope of E[bit] in its logit is p (1 - p), 1/4 for a fair coin:

    >>> disarm(lambda bits: bits.sum(-1), torch.tensor([0.0]), torch.tensor([0.3]))
    tensor([0.2500])
    """
    check_float(logits, "logits")
    _check_uniform(uniform)
    if logits.ndim == 0 or logits.shape != uniform.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and uniform {tuple(uniform.shape)}; both "
            "are (..., d), one draw a bit"
        )
    with torch.no_grad():
        chance = torch.sigmoid(logits)
        first = (uniform >= torch.sigmoid(-logits)).to(logits.dtype)
        second = (uniform < chance).to(logits.dtype)
        costs = cost(first), cost(second)
        if not all(isinstance(c, Tensor) and c.is_floating_point() for c in costs):
            kind = costs[0].dtype if isinstance(costs[0], Tensor) else type(costs[0]).__name__
            raise TypeError(f"the cost is {kind}; return a floating-point tensor, one number a row")
        if costs[0].shape != logits.shape[:-1]:
            raise ValueError(
                f"the cost has shape {tuple(costs[0].shape)} for bits {tuple(logits.shape)}; "
                f"return one number a row, {tuple(logits.shape[:-1])}"
            )
        gap = (costs[0] - costs[1])[..., None] / 2
        return gap * (first - second) * torch.sigmoid(logits.abs())


def all_bits(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Every vector of ``count`` bits, (2^count, count), in the order of the binary numbers.

    Raises
    ------
    ValueError
        Unless ``count`` is a whole number from 1 to 20.

    Examples
    --------
    >>> all_bits(2)
    tensor([[0., 0.],
            [0., 1.],
            [1., 0.],
            [1., 1.]])
    """
    check_count(count, "count")
    if count > 20:
        raise ValueError(f"count is {count}; 2^{count} vectors are too many to list: 20 at most")
    places = torch.arange(count - 1, -1, -1)
    return (torch.arange(2**count)[:, None] >> places & 1).to(dtype)


def mixture_log_law(logits: Tensor, bits: Tensor) -> Tensor:
    """log q(x) of an even mixture of M rows of independent bits, exactly.

    It is what ``MixtureSameFamily`` of ``torch.distributions`` returns, by one matrix product:
    log q(x | row) = x . logits - sum softplus(logits). No (..., M, N, d) table is made.

    Parameters
    ----------
    logits
        Shape (..., M, d): a generator's logits at each of its M equally likely latents.
    bits
        Shape (N, d), zeros and ones; :func:`all_bits` for the whole law.

    Returns
    -------
    (..., N), in nats, differentiable in the logits.

    Raises
    ------
    TypeError, ValueError
        For other dtypes, shapes that do not fit, or values other than 0 and 1.

    Derived in `bits-and-strings`.

    Examples
    --------
    >>> mixture_log_law(torch.zeros(1, 2), all_bits(2)).exp()
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    check_float(logits, "logits")
    check_float(bits, "bits")
    if logits.ndim < 2 or bits.ndim != 2 or logits.shape[-1] != bits.shape[-1]:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and bits {tuple(bits.shape)}; expected "
            "(..., M, d) and (N, d) with one d"
        )
    if readable(bits) and not ((bits == 0) | (bits == 1)).all():
        raise ValueError("bits holds values other than 0 and 1; relaxed draws have no mass")
    each = logits @ bits.mT - torch.nn.functional.softplus(logits).sum(-1, keepdim=True)
    return torch.logsumexp(each, dim=-2) - math.log(logits.shape[-2])


def _check_uniform(uniform: Tensor) -> None:
    check_float(uniform, "uniform")
    if readable(uniform) and not ((uniform >= 0) & (uniform <= 1)).all():
        raise ValueError("uniform holds values outside [0, 1]; pass torch.rand(...) of the shape")


def _inside(uniform: Tensor) -> Tensor:
    _check_uniform(uniform)
    limits = torch.finfo(uniform.dtype)
    return uniform.clamp(limits.tiny, 1 - limits.eps / 2)


def _scaled(logits: Tensor, noise: Tensor, temperature: Tensor | float) -> Tensor:
    check_float(logits, "logits")
    check_float(noise, "the noise")
    moved = logits + noise
    if moved.shape != noise.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and the noise {tuple(noise.shape)}; draw "
            f"noise for each result, {tuple(moved.shape)}"
        )
    if isinstance(temperature, Tensor):
        check_float(temperature, "temperature")
        pairs = zip(reversed(temperature.shape), reversed(moved.shape), strict=False)
        if temperature.ndim > moved.ndim or any(t not in (1, m) for t, m in pairs):
            raise ValueError(
                f"temperature has shape {tuple(temperature.shape)}, which would "
                f"not fit draws {tuple(moved.shape)} one by one; give it their axes, or ones"
            )
        fits = not readable(temperature) or bool(
            ((temperature > 0) & torch.isfinite(temperature)).all()
        )
    elif isinstance(temperature, bool) or not isinstance(temperature, int | float):
        raise TypeError(
            f"temperature is {temperature!r}, a {type(temperature).__name__}; it must be a number "
            "or a tensor"
        )
    else:
        fits = 0 < temperature < math.inf
    if not fits:
        raise ValueError(
            f"temperature is {temperature}; it must be finite and above 0: for hard draws compare "
            "logits + noise with 0, or take the argmax"
        )
    return moved / temperature
