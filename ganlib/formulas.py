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

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from numbers import Real
from typing import Any

import sympy as sp
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from ganlib.numerics import VOCABULARY

__all__ = [
    "compile_formula",
    "critic_output",
    "exact",
    "expm1",
    "log1mexp",
    "log1mpower",
    "log1p",
    "loglambert",
    "logsoftplus",
    "mean_gap",
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
    """``log(1 + exp(x))``, finite for every float: about x on the right, about 0 on the left.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> sp.diff(softplus(x), x)
    sigmoid(x)
    >>> compile_formula(softplus(x), x)(torch.tensor(200.0))
    tensor(200.)
    """

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + sp.exp(x))


class sigmoid(_Stable):
    """``1 / (1 + exp(-x))``, the inverse of the logit.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(sigmoid(x), x)(torch.tensor([0.0, 200.0]))
    tensor([0.5000, 1.0000])
    """

    nargs = 1
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))


class expm1(_Stable):
    """``exp(x) - 1`` without the cancellation at small x.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> tiny = torch.tensor(1e-8)
    >>> compile_formula(expm1(x), x)(tiny), tiny.exp() - 1
    (tensor(1.0000e-08), tensor(0.))
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.exp(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.exp(x) - 1


class log1p(_Stable):
    """``log(1 + x)`` without the cancellation at small x.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> tiny = torch.tensor(1e-8)
    >>> compile_formula(log1p(x), x)(tiny), (1 + tiny).log()
    (tensor(1.0000e-08), tensor(0.))
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 + x)


class logsoftplus(_Stable):
    """``log(log(1 + exp(x)))``, about x on the left, where the softplus itself underflows.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(logsoftplus(x), x)(torch.tensor(-200.0))
    tensor(-200.)
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0]) / softplus(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(sp.log(1 + sp.exp(x)))


class log1mexp(_Stable):
    """``log(1 - exp(x))`` for x < 0, exact at both ends (Maechler 2012).

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(log1mexp(x), x)(torch.tensor(-1e-8))  # log(1e-8)
    tensor(-18.4207)
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return -sp.exp(self.args[0]) / (1 - sp.exp(self.args[0]))

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 - sp.exp(x))


class log1mpower(_Stable):
    """``log(1 - sigmoid(x)**c)`` for c > 0: about -x on the right, where 1 - sigmoid is lost.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(log1mpower(x, 1), x)(torch.tensor(50.0))
    tensor(-50.)
    """

    nargs = 2

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        if argindex != 1:
            raise sp.ArgumentIndexError(self, argindex)
        x, c = self.args
        return -c * sigmoid(x) ** c * sigmoid(-x) / (1 - sigmoid(x) ** c)

    def _eval_rewrite_as_log(self, x: sp.Expr, c: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(1 - (1 + sp.exp(-x)) ** (-c))


class powm1(_Stable):
    """``(1 + x)**c - 1`` for x >= -1, without the cancellation at small x.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(powm1(x, 3), x)(torch.tensor([1e-8, 1.0]))
    tensor([3.0000e-08, 7.0000e+00])
    """

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

    Examples
    --------
    At x = 1 the y with y + exp(y) = x is 0:

    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> y = compile_formula(loglambert(x), x)(torch.tensor([1.0, 1e6]))
    >>> y + y.exp()
    tensor([1.0000e+00, 1.0000e+06])
    """

    nargs = 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + sp.exp(self))

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: Any) -> sp.Expr:
        return sp.log(sp.LambertW(sp.exp(x)))


class mean_gap(_Stable):
    """``(a p + (1 - a) q - p**a q**(1 - a)) / (a (1 - a))``: two means of p, q > 0, apart.

    The weighted arithmetic mean less the geometric one, scaled so that near p = q it is
    ``(p - q)**2 / (2 q)`` for every number a other than 0 and 1; there it has limits.

    Examples
    --------
    >>> import sympy as sp
    >>> p, q = sp.symbols("p q", positive=True)
    >>> half_pearson = compile_formula(mean_gap(p, q, 2), p, q)  # (p - q)**2 / (2 q)
    >>> half_pearson(torch.tensor(2.0), torch.tensor(1.0))
    tensor(0.5000)
    """

    nargs = 3

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        p, q, a = self.args
        log_ratio = sp.log(p) - sp.log(q)
        if argindex == 1:
            return expm1((a - 1) * log_ratio) / (a - 1)
        if argindex == 2:
            return -expm1(a * log_ratio) / a
        raise sp.ArgumentIndexError(self, argindex)

    def _eval_rewrite_as_log(self, p: sp.Expr, q: sp.Expr, a: sp.Expr, **_: Any) -> sp.Expr:
        return (a * p + (1 - a) * q - p**a * q ** (1 - a)) / (a * (1 - a))


def positive_part(x: sp.Expr) -> sp.Expr:
    """``max(x, 0)``; its slope at x = 0 is 1 in torch, 1/2 in SymPy.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> compile_formula(positive_part(x), x)(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return sp.Max(x, 0)


def exact(value: Any) -> sp.Expr:
    """A number as a rational, 0.1 as 1/10; a formula as it is; NaN for what is neither.

    Examples
    --------
    >>> exact(0.1), exact(3)
    (1/10, 3)
    """
    if isinstance(value, sp.Expr) and value.free_symbols:
        return value
    if isinstance(value, bool) or not isinstance(value, (Real, sp.Expr)):
        return sp.nan
    near = sp.nsimplify(value, rational=True)
    # nsimplify takes 1 + 1e-12 for 1.
    if not near.is_finite or float(near) == float(value):
        return near
    return sp.Rational(repr(float(value)))


def textbook(expression: sp.Expr) -> sp.Expr:
    """Expand the stable functions of this module into logarithms and exponentials.

    Examples
    --------
    >>> import sympy as sp
    >>> textbook(softplus(sp.Symbol("x", real=True)))
    log(exp(x) + 1)
    """
    return expression.rewrite(sp.log)


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

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> square = compile_formula(x**2, x)
    >>> square(torch.tensor([1.0, 3.0]))
    tensor([1., 9.])
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
    unknown = {type(f).__name__ for f in expression.atoms(sp.Function)} - set(VOCABULARY)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ValueError(
            f"the formula {expression} uses {names}, which has no torch implementation here; "
            f"write it with {', '.join(sorted(VOCABULARY))}"
        )
    # SymPy would print sign(x) as a comparison with zero, which a tensor of many numbers refuses.
    printed = expression.replace(sp.sign, sp.Function("sign"))
    raw = sp.lambdify(symbols, printed, modules=[VOCABULARY])
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
    harmless = [_harmless_point(piece.expr, *symbols) for piece in expression.args]

    def chosen(*arguments: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and get_proxy_mode() is not None:
            return _Recorded.apply(conditions, branches, *torch.broadcast_tensors(*arguments))
        holds = [condition(*arguments) for condition in conditions]
        arguments = tuple(torch.broadcast_tensors(*arguments))
        values, free = [], None
        for hold, branch, at in zip([*holds, None], branches, harmless, strict=True):
            # torch.where alone multiplies the slope of a branch not taken by 0, and 0 * inf is
            # NaN: where it is not taken, a branch is computed at a harmless point.
            if at is not None:
                taken = reduce(operator.and_, (h for h in (hold, free) if h is not None))
                guarded = (torch.where(taken, x, h) for x, h in zip(arguments, at, strict=True))
            values.append(branch(*(arguments if at is None else guarded)))
            if hold is not None:
                free = ~hold if free is None else free & ~hold
        *others, value = values
        for hold, other in zip(reversed(holds), reversed(others), strict=True):
            value = torch.where(hold, other, value)
        return value

    return chosen


class _Recorded(torch.autograd.Function):
    """The same choice for a recording of make_fx: a slope is a choice between slopes.

    Nothing that the value needs is kept for the slope, which makes the page's modules smaller by
    a sixth. It has no forward mode.
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
            _Recorded.apply(conditions, [slope(b, i) for b in ctx.branches], grads[0], *arguments)
            for i in range(len(arguments))
        ]
        return None, None, *slopes


def _degree(formula: sp.Expr) -> float:
    """How fast a formula grows at most, as a power of its arguments; infinite if faster."""
    if formula.is_number:
        return 0
    if formula.is_Symbol:
        return 1
    if formula.is_Add:
        return max(map(_degree, formula.args))
    if formula.is_Mul:
        return sum(map(_degree, formula.args))
    if formula.is_Pow and formula.exp.is_Integer and formula.exp > 0:
        return int(formula.exp) * _degree(formula.base)
    lines = (softplus, sigmoid, sp.Max, sp.Abs, sp.sign, sp.tanh, sp.erf, sp.sin, sp.cos)
    if isinstance(formula, lines) and max(map(_degree, formula.args)) <= 1:
        return 1
    return math.inf


def _harmless_point(formula: sp.Expr, *symbols: sp.Symbol) -> list[float] | None:
    """Where a formula, its slopes and theirs are finite; None if they are at any numbers."""
    if _degree(formula) <= 2:
        return None
    used = [symbol for symbol in symbols if formula.has(symbol)]
    slopes = [sp.diff(formula, x) for x in used]
    views = [
        textbook(e) for e in (formula, *slopes, *(sp.diff(s, x) for s in slopes for x in used))
    ]
    for values in itertools.product((0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0), repeat=len(used)):
        at = dict(zip(used, values, strict=True))
        if all(view.subs(at).is_real and view.subs(at).evalf().is_finite for view in views):
            return [at.get(symbol, 0.0) for symbol in symbols]
    raise ValueError(
        f"no point was found at which {formula} and its slopes are finite; a branch of a Piecewise "
        "needs one among 0, 1, -1, 1/2, -1/2, 2 and -2"
    )


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
