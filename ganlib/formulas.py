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
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any

import sympy as sp
import torch
from torch import Tensor

__all__ = [
    "compile_formula",
    "critic_output",
    "expm1",
    "log1mexp",
    "log1mpower",
    "log1p",
    "loglambert",
    "logsoftplus",
    "positive_part",
    "powm1",
    "sigmoid",
    "softplus",
    "textbook",
]


#: The critic's raw output on one sample: the symbol in which every loss is written.
critic_output = sp.Symbol("s", real=True)


class _Stable(sp.Function):
    """A real function with a textbook form, ``rewrite(log)``, by which SymPy evaluates it."""

    is_real = True

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.rewrite(sp.log)._eval_evalf(prec)


class softplus(_Stable):
    """``log(1 + exp(x))``, finite for every float: about x on the right, about 0 on the left."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class sigmoid(_Stable):
    """``1 / (1 + exp(-x))``, the inverse of the logit."""

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class expm1(_Stable):
    """``exp(x) - 1`` without the cancellation at small x."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.exp(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.exp(x) - 1


class log1p(_Stable):
    """``log(1 + x)`` without the cancellation at small x."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + x)


class logsoftplus(_Stable):
    """``log(log(1 + exp(x)))``, about x on the left, where the softplus itself underflows."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0]) / softplus(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(sp.log(1 + sp.exp(x)))


class log1mexp(_Stable):
    """``log(1 - exp(x))`` for x < 0, exact at both ends (Maechler 2012)."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return -sp.exp(self.args[0]) / (1 - sp.exp(self.args[0]))

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 - sp.exp(x))


class log1mpower(_Stable):
    """``log(1 - sigmoid(x)**c)`` for c > 0: about -x on the right, where 1 - sigmoid is lost."""

    nargs = 2

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise sp.ArgumentIndexError(self, argindex)
        x, c = self.args
        return -c * sigmoid(x) ** c * sigmoid(-x) / (1 - sigmoid(x) ** c)

    def _eval_rewrite_as_log(self, x: sp.Expr, c: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 - (1 + sp.exp(-x)) ** (-c))


class powm1(_Stable):
    """``(1 + x)**c - 1`` for x >= -1, without the cancellation at small x."""

    nargs = 2

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise sp.ArgumentIndexError(self, argindex)
        x, c = self.args
        return c * (1 + x) ** (c - 1)

    def _eval_rewrite_as_log(self, x: sp.Expr, c: sp.Expr, **_: Any) -> sp.Expr:
        return (1 + x) ** c - 1


class loglambert(_Stable):
    """``log(W(exp(x)))``, W the Lambert function: the y that solves ``y + exp(y) = x``.

    It needs no exp(x), which overflows long before W does.
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + sp.exp(self))

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(sp.LambertW(sp.exp(x)))


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


class _Smooth(torch.autograd.Function):
    """A function of one tensor whose slope is given by a formula of its own.

    Autograd differentiates the operations of a forward pass, and so inherits their rounding
    (torch's slope of expm1 is result + 1: no digit is left where the result is near -1), or
    meets 0 * inf where the exact slope is one finite number.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, value: Callable[..., Tensor], slope: Callable[..., Tensor]) -> Tensor:
        return value(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, ctx.slope = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * ctx.slope(x), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (x,) = ctx.saved_tensors
        return tangents[0] * ctx.slope(x)


def _expm1(x: Tensor) -> Tensor:
    return _Smooth.apply(x, torch.expm1, torch.exp)


def _tanh(x: Tensor) -> Tensor:
    return _Smooth.apply(
        x, torch.tanh, lambda x: 4 * torch.sigmoid(2 * x.abs()) * torch.sigmoid(-2 * x.abs())
    )


def _softplus(x: Tensor) -> Tensor:
    return -torch.nn.functional.logsigmoid(-x)


def _logsoftplus(x: Tensor) -> Tensor:
    # Left of -15, y = exp(x) is small: log(log(1 + y)) = x - y/2 + 5 y^2/24 - ...
    def value(x: Tensor) -> Tensor:
        y = torch.exp(x.clamp(max=-15.0))
        near = torch.log(_softplus(x.clamp(min=-15.0)))
        return torch.where(x < -15.0, x - y / 2 + 5 * y * y / 24, near)

    def slope(x: Tensor) -> Tensor:
        y = torch.exp(x.clamp(max=-15.0))
        right = x.clamp(min=-15.0)
        near = torch.sigmoid(right) / _softplus(right)
        return torch.where(x < -15.0, 1 - y / 2 + 5 * y * y / 12, near)

    return _Smooth.apply(x, value, slope)


def _log1mexp(x: Tensor) -> Tensor:
    def value(x: Tensor) -> Tensor:
        split = -math.log(2.0)
        near = torch.log(-torch.expm1(x.clamp(min=split)))
        return torch.where(x > split, near, torch.log1p(-torch.exp(x.clamp(max=split))))

    return _Smooth.apply(x, value, lambda x: -1 / _expm1(-x))


def _log1mpower(x: Tensor, c: float) -> Tensor:
    left = _log1mexp(-c * _softplus(-x.clamp(max=0.0)))
    # Right of 0: log(1 - D^c) = log(1 - D) + log((1 - D^c) / (1 - D)), D = sigmoid(x). Where
    # log D underflows the last ratio has long been its limit c, so a floor changes nothing.
    log_d = -_softplus(-x.clamp(min=0.0)).clamp(min=1e-30)
    right = torch.log(torch.expm1(c * log_d) / torch.expm1(log_d)) - _softplus(x)
    return torch.where(x < 0, left, right)


def _powm1(x: Tensor, c: float) -> Tensor:
    def value(x: Tensor) -> Tensor:
        near = torch.expm1(c * torch.log1p(x.clamp(-0.5, 0.5)))
        return torch.where(x.abs() < 0.5, near, (1 + x).pow(c) - 1)

    return _Smooth.apply(x, value, lambda x: c * (1 + x).pow(c - 1))


def _loglambert(x: Tensor) -> Tensor:
    def value(x: Tensor) -> Tensor:
        # Newton on y + exp(y) - x. Both starts lie right of the root, where the convex function
        # makes every step a step towards it.
        y = torch.where(x < 1, x, torch.log(x.clamp(min=1.0)))
        for _ in range(6):
            e = torch.exp(y)
            y = y - (y + e - x) / (1 + e)
        return y

    return _Smooth.apply(x, value, lambda x: torch.sigmoid(-_loglambert(x)))


class _Chosen(torch.autograd.Function):
    """One of several functions of the same tensors, elementwise: the first whose condition holds.

    ``torch.where`` alone multiplies the slope of a branch not taken by 0, and 0 * inf is NaN.
    Here the slope is again a choice, between the branches' own slopes, and so is its slope.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        conditions: Sequence[Callable[..., Tensor]],
        branches: Sequence[Callable[..., Tensor]],
        *arguments: Tensor,
    ) -> Tensor:
        *others, chosen = (branch(*arguments) for branch in branches)
        for condition, value in zip(reversed(conditions), reversed(others), strict=True):
            chosen = torch.where(condition(*arguments), value, chosen)
        return chosen

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.conditions, ctx.branches, *arguments = inputs
        ctx.save_for_backward(*arguments)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        arguments = ctx.saved_tensors

        def slope(branch: Callable[..., Tensor], place: int) -> Callable[..., Tensor]:
            return lambda grad, *arguments: torch.func.vjp(branch, *arguments)[1](grad)[place]

        def after_grad(condition: Callable[..., Tensor]) -> Callable[..., Tensor]:
            return lambda grad, *arguments: condition(*arguments)

        conditions = [after_grad(condition) for condition in ctx.conditions]
        slopes = [
            _Chosen.apply(conditions, [slope(b, i) for b in ctx.branches], grads[0], *arguments)
            for i in range(len(arguments))
        ]
        return None, None, *slopes


# The vocabulary of formulas: the names SymPy prints, and implementations that stay exact at
# +-1e4 in float32 with the right gradient there. A function that is not listed is an error.
_VOCABULARY: dict[str, Any] = {
    "softplus": _softplus,
    "sigmoid": torch.sigmoid,
    "logsoftplus": _logsoftplus,
    "log1mexp": _log1mexp,
    "log1mpower": _log1mpower,
    "powm1": _powm1,
    "loglambert": _loglambert,
    "expm1": _of(_expm1, math.expm1),
    "log1p": _of(torch.log1p, math.log1p),
    "exp": _of(torch.exp, math.exp),
    "log": _of(torch.log, math.log),
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


@lru_cache(maxsize=512)
def compile_formula(expression: sp.Expr, *symbols: sp.Symbol) -> Callable[..., Tensor]:
    """A function of torch tensors that computes ``expression``.

    Parameters
    ----------
    expression
        A SymPy expression. Its free symbols must all be listed in ``symbols``. A ``Piecewise``
        needs a last branch for all other cases; its conditions compare real numbers. It is
        differentiated branch by branch: a branch that is not taken has no influence on the
        slope, whatever its value there.
    *symbols
        The arguments of the function, in order.

    Returns
    -------
    A function that takes one tensor (any shape, any float dtype) for each symbol and returns a
    tensor of their broadcast shape and dtype. It is differentiable by autograd.

    Raises
    ------
    ValueError
        If the expression has a symbol that is not an argument, a function outside the
        vocabulary of this module, or a case that no branch of a ``Piecewise`` covers.
    """
    missing = expression.free_symbols - set(symbols)
    if missing:
        names = ", ".join(sorted(map(str, missing)))
        raise ValueError(
            f"the formula {expression} has the free symbols {names}; list each as an argument, "
            "or substitute a number for it first"
        )
    if expression.has(sp.Piecewise):
        return _compile_piecewise(sp.piecewise_fold(expression), *symbols)
    unknown = {type(f).__name__ for f in expression.atoms(sp.Function)} - set(_VOCABULARY)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ValueError(
            f"the formula {expression} uses {names}, which has no torch implementation here; "
            f"write it with {', '.join(sorted(_VOCABULARY))}"
        )
    # SymPy would print sign(x) as a comparison with zero, which a tensor of many numbers refuses.
    printed = expression.replace(sp.sign, sp.Function("sign"))
    raw = sp.lambdify(symbols, printed, modules=[_VOCABULARY])
    if expression.free_symbols == set(symbols):
        return raw

    # lambdify returns a Python number, or too small a shape, where an argument does not appear.
    def broadcast(*arguments: Tensor) -> Tensor:
        like = torch.broadcast_tensors(*arguments)[0]
        return torch.as_tensor(raw(*arguments), dtype=like.dtype, device=like.device).expand_as(
            like
        )

    return broadcast


def _compile_piecewise(expression: sp.Expr, *symbols: sp.Symbol) -> Callable[..., Tensor]:
    if not isinstance(expression, sp.Piecewise) or expression.args[-1].cond != True:  # noqa: E712
        raise ValueError(
            f"the formula {expression} does not cover every case; end its Piecewise with a "
            "branch (value, True)"
        )
    branches = [compile_formula(piece.expr, *symbols) for piece in expression.args]
    conditions = [_compile_condition(piece.cond, *symbols) for piece in expression.args[:-1]]

    def chosen(*arguments: Tensor) -> Tensor:
        return _Chosen.apply(conditions, branches, *torch.broadcast_tensors(*arguments))

    return chosen


_RELATIONS: dict[type, Callable[[Tensor, Tensor], Tensor]] = {
    sp.Eq: torch.eq,
    sp.Ne: torch.ne,
    sp.Lt: torch.lt,
    sp.Le: torch.le,
    sp.Gt: torch.gt,
    sp.Ge: torch.ge,
}
_CONNECTIVES: dict[type, Callable[[Any, Any], Any]] = {sp.And: operator.and_, sp.Or: operator.or_}


def _compile_condition(condition: sp.Basic, *symbols: sp.Symbol) -> Callable[..., Tensor]:
    inner = [
        _compile_condition(part, *symbols)
        if isinstance(condition, sp.logic.boolalg.BooleanFunction)
        else compile_formula(part, *symbols)
        for part in condition.args
    ]
    if type(condition) in _RELATIONS:
        compare = _RELATIONS[type(condition)]
        return lambda *arguments: compare(*(side(*arguments) for side in inner))
    if type(condition) in _CONNECTIVES:
        join = _CONNECTIVES[type(condition)]
        return lambda *arguments: reduce(join, (part(*arguments) for part in inner))
    if isinstance(condition, sp.Not):
        return lambda *arguments: ~inner[0](*arguments)
    raise ValueError(
        f"the condition {condition} has no torch implementation here; compare real numbers with "
        "=, !=, <, <=, > and >="
    )
