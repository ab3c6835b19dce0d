"""From a formula to the function that trains.

A loss or a divergence is written once, as a SymPy expression in the notation of its chapter.
:func:`compile_formula` turns it into a function on torch tensors, so the mathematics that a page
proves and the code that trains cannot drift apart.

Textbook forms such as ``log(1 / (1 + exp(-s)))`` overflow in floating point. Their stable
rewritings use the functions below, which are ordinary SymPy functions (they differentiate, and
:func:`textbook` expands them into logarithms and exponentials, which is how the tests prove
a rewriting equal to the form it replaces) with a numerically safe torch implementation each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy as sp
import torch
from torch import Tensor

__all__ = ["compile_formula", "expm1", "log1p", "positive_part", "sigmoid", "softplus", "textbook"]


class softplus(sp.Function):
    """``log(1 + exp(x))``, finite for every float: about x on the right, about 0 on the left."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(prec)


class sigmoid(sp.Function):
    """``1 / (1 + exp(-x))``, the inverse of the logit."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(prec)


class expm1(sp.Function):
    """``exp(x) - 1`` without the cancellation at small x."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.exp(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.exp(x) - 1

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(prec)


class log1p(sp.Function):
    """``log(1 + x)`` without the cancellation at small x."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + x)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(prec)


def positive_part(x: sp.Expr) -> sp.Expr:
    """``max(x, 0)``, with slope 0 at x = 0 (SymPy and torch)."""
    return sp.Max(x, 0)


def textbook(expression: sp.Expr) -> sp.Expr:
    """Expand the stable functions of this module into logarithms and exponentials."""
    return expression.rewrite(sp.log)


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


# The vocabulary of formulas: the names SymPy prints, and implementations that stay exact at
# +-1e4 in float32 with the right gradient there. A function that is not listed is an error.
_VOCABULARY: dict[str, Any] = {
    "softplus": lambda x: -torch.nn.functional.logsigmoid(-x),
    "sigmoid": torch.sigmoid,
    "expm1": _of(torch.expm1, math.expm1),
    "log1p": _of(torch.log1p, math.log1p),
    "exp": _of(torch.exp, math.exp),
    "log": _of(torch.log, math.log),
    "sqrt": _of(torch.sqrt, math.sqrt),
    "tanh": _of(torch.tanh, math.tanh),
    "erf": _of(torch.erf, math.erf),
    "sin": _of(torch.sin, math.sin),
    "cos": _of(torch.cos, math.cos),
    "sign": _of(torch.sign, lambda x: math.copysign(1.0, x) if x else 0.0),
    "Abs": abs,
    "Max": _maximum,
    "pi": math.pi,
    "E": math.e,
}


@lru_cache(maxsize=512)
def compile_formula(expression: sp.Expr, *symbols: sp.Symbol) -> Callable[..., Tensor]:
    """A function of torch tensors that computes ``expression``.

    Parameters
    ----------
    expression
        A SymPy expression. Its free symbols must all be listed in ``symbols``.
    *symbols
        The arguments of the function, in order.

    Returns
    -------
    A function that takes one tensor (any shape, any float dtype) for each symbol and returns a
    tensor of their broadcast shape and dtype. It is differentiable by autograd.

    Raises
    ------
    ValueError
        If the expression has a symbol that is not an argument, or a function outside the
        vocabulary of this module.
    """
    missing = expression.free_symbols - set(symbols)
    if missing:
        names = ", ".join(sorted(map(str, missing)))
        raise ValueError(
            f"the formula {expression} has the free symbols {names}; list each as an argument, "
            "or substitute a number for it first"
        )
    unknown = {type(f).__name__ for f in expression.atoms(sp.Function)} - set(_VOCABULARY)
    if unknown or expression.has(sp.Piecewise):
        names = ", ".join(sorted(unknown)) or "Piecewise"
        raise ValueError(
            f"the formula {expression} uses {names}, which has no torch implementation here; "
            f"write it with {', '.join(sorted(_VOCABULARY))}"
        )
    raw = sp.lambdify(symbols, expression, modules=[_VOCABULARY])
    if expression.free_symbols == set(symbols):
        return raw

    # lambdify returns a Python number, or too small a shape, where an argument does not appear.
    def broadcast(*arguments: Tensor) -> Tensor:
        like = torch.broadcast_tensors(*arguments)[0]
        return torch.as_tensor(raw(*arguments), dtype=like.dtype, device=like.device).expand_as(
            like
        )

    return broadcast
