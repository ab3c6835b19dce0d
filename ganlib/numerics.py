"""The torch functions that formulas are compiled to, under the names that SymPy prints.

They are exact at +-1e4 in float32, with the right slope there, and are composed of torch's own
functions alone, so that they can be differentiated in both modes and any number of times, mapped,
traced and compiled. Where torch's slope of a composition would lose its digits, or meet 0 * inf
where the exact slope is a finite number, the composition is another one on that side; each side
of a `where` is given harmless arguments on the other.

What the functions are is written in :mod:`ganlib.formulas`, which proves and compiles with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["VOCABULARY"]


def _maximum(*arguments: Any) -> Any:
    # SymPy sorts the arguments of Max and passes plain numbers: clamp has slope 0 where clamped.
    numbers = [a for a in arguments if not isinstance(a, Tensor)]
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    result = tensors[0]
    for other in tensors[1:]:
        result = torch.maximum(result, other)
    return result.clamp(min=max(numbers)) if numbers else result


def _of(on_tensor: Callable[[Tensor], Tensor], on_number: Callable[[float], float]) -> Any:
    # Constants inside a formula, such as log(2), stay Python floats: full precision in any dtype.
    return lambda x: on_tensor(x) if isinstance(x, Tensor) else on_number(x)


_log = _of(torch.log, math.log)


def _expm1(x: Tensor) -> Tensor:
    # torch's slope of expm1 is result + 1: no digit is left where the result is near -1. That of
    # elu, which is expm1 on the left, is exp(x).
    return torch.where(x > 0, torch.expm1(x), torch.nn.functional.elu(x))


def _tanh(x: Tensor) -> Tensor:
    # torch's slope is 1 - result^2; here y (1 - y) with the small y = sigmoid(-2|x|).
    far = torch.sign(x) * (1 - 2 * torch.sigmoid(-2 * x.abs()))
    return torch.where(x.abs() < 1, torch.tanh(x), far)


def _softplus(x: Tensor) -> Tensor:
    return -torch.nn.functional.logsigmoid(-x)


def _far_left(x: Tensor) -> tuple[Tensor, Tensor]:
    # Where exp(x) is lost beside 1, and x elsewhere. What is x itself on the far left has one
    # path for a slope there, so that one that has overflowed stays infinite: it meets no other.
    far = x < math.log(torch.finfo(x.dtype).eps)
    return far, torch.where(far, 0.0, x)


def _logsoftplus(x: Tensor) -> Tensor:
    # The slope's slope of torch's logsigmoid, z (z - 1), has no digits on the left.
    far, near = _far_left(x)
    left = torch.log1p(torch.exp(near.clamp(max=0.0)))
    inner = torch.where(near < 0, left, _softplus(near.clamp(min=0.0)))
    return torch.where(far, x, torch.log(inner))


def _log1mexp(x: Tensor) -> Tensor:
    split = -math.log(2.0)
    near = torch.log(-_expm1(x.clamp(min=split)))
    return torch.where(x > split, near, torch.log1p(-torch.exp(x.clamp(max=split))))


def _log1mpower(x: Tensor, c: Any) -> Tensor:
    # log(1 - e^z) with z = c log D. Where z is small, 1 - e^z = -z (1 - e^z) / (-z): the logarithm
    # of the first factor is at hand, that of the second is a series (Bernoulli numbers).
    z = -c * _softplus(-x)
    near = z > -0.5
    square = torch.where(near, z, 0.0) ** 2
    series = torch.zeros_like(square)
    for divisor in (22709250963.8, -479001600, 9676800, -181440, 2880, -24):
        series = square * (series - 1 / divisor)
    of_second = torch.where(near, z, 0.0) / 2 + series
    of_first = _log(c) + _logsoftplus(-x)
    return torch.where(near, of_first + of_second, _log1mexp(torch.where(near, -1.0, z)))


def _powm1(x: Tensor, c: Any) -> Tensor:
    # At x = -1, slopes of 0^c are powers of 0 themselves; those of 0^c, c > 1, are 0 here.
    edge = (x == -1) & (c > 1)
    z = c * torch.log1p(torch.where(x > -1, x, 0.0))
    near = (x > -1) & ((x.abs() < 0.5) | (z.abs() < 1))
    by_power = torch.where(near | edge, 1.0, 1 + x).pow(c) - 1
    by_power = torch.where(edge, -1.0, by_power)
    return torch.where(near, _expm1(torch.where(near, z, 0.0)), by_power)


def _expm1x(x: Tensor) -> Tensor:
    """``exp(x) - 1 - x``, with all its digits at small x."""
    near = x.abs() < 0.5
    small = torch.where(near, x, 0.0)
    series = torch.ones_like(x)
    for n in range(17, 2, -1):
        series = 1 + small / n * series
    return torch.where(near, small * small / 2 * series, _expm1(x) - x)


def _mean_gap(p: Tensor, q: Tensor, a: float) -> Tensor:
    # With l = log(p / q), f = exp(l) - 1 and h_c = (exp(c l) - 1) / c (so h_0 = l), this is
    # (p h_{a-1} - q f) / a and also q (f - h_a) / (1 - a): the first is used where 1 - a is the
    # smaller of the weights, the second where a is. Near p = q, where both numerators vanish to
    # second order, f and the h_c are replaced by f - l and h_c - l.
    near = (p < 2 * q) & (q < 2 * p)
    ratio = torch.log1p(torch.where(near, (p - q) / q, 0.0))
    log_ratio = torch.log(torch.where(near, 1.0, p)) - torch.log(torch.where(near, 1.0, q))
    if a > 0.5:
        b = a - 1
        close = p * (_expm1x(-ratio) + _expm1x(b * ratio) / b) / a
        apart = p * (_expm1(b * log_ratio) / (a * b)) - (p - q) / a
    else:
        close = q * (_expm1x(ratio) - _expm1x(a * ratio) / a) / (1 - a)
        apart = (p - q) / (1 - a) - q * (_expm1(a * log_ratio) / (a * (1 - a)))
    return torch.where(near, close, apart)


def _loglambert(x: Tensor) -> Tensor:
    # Newton on y + exp(y) - x. Both starts lie right of the root, where the convex function makes
    # every step a step towards it. A step after the last digit has been found gives the slope,
    # one more the slope's slope.
    far, near = _far_left(x)
    y = torch.where(near < 1, near, torch.log(near.clamp(min=1.0)))
    for _ in range(7):
        e = torch.exp(y)
        y = y - (y + e - near) / (1 + e)
    return torch.where(far, x, y)


#: The vocabulary of formulas. A function that is not listed is an error.
VOCABULARY: dict[str, Any] = {
    "softplus": _softplus,
    "sigmoid": torch.sigmoid,
    "logsoftplus": _logsoftplus,
    "log1mexp": _log1mexp,
    "log1mpower": _log1mpower,
    "powm1": _powm1,
    "loglambert": _loglambert,
    "mean_gap": _mean_gap,
    "expm1": _of(_expm1, math.expm1),
    "log1p": _of(torch.log1p, math.log1p),
    "exp": _of(torch.exp, math.exp),
    "log": _log,
    "sqrt": _of(torch.sqrt, math.sqrt),
    "tanh": _of(_tanh, math.tanh),
    "erf": _of(torch.erf, math.erf),
    "sin": _of(torch.sin, math.sin),
    "cos": _of(torch.cos, math.cos),
    "sign": _of(torch.sign, lambda x: math.copysign(1.0, x) if x else 0.0),
    "Abs": abs,
    "Max": _maximum,
    "pi": math.pi,
    "E": math.e,
}
