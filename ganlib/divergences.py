"""The f-divergences that a GAN can be trained with: every row of the f-GAN table.

An f-divergence compares two distributions through the density ratio u = p / q::

    D_f(P || Q) = E_Q f(p / q),   f convex

Its conjugate f*(t) = sup_u { t u - f(u) } turns it into a game of samples: for every critic T
with values in the domain of f*, E_P T - E_Q f*(T) <= D_f(P || Q), with equality at T = f'(p / q).
A network has values on the whole line, so it is followed by an activation g_f onto that domain.

Each divergence is defined once, as SymPy expressions (:class:`Symbolic`). What needs care in
floating point is written a second time in a stable form (:class:`Stable`), which the tests prove
equal to the first; the torch functions of an :class:`FDivergence` are compiled from it. Everything
is in nats.

Derived in `f-gan` (Nowozin, Cseke and Tomioka 2016, tables 1 and 2, with their slips mended).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import sympy as sp

from ganlib.fdivergence import FDivergence, Stable, Symbolic, p, q, t, u, v
from ganlib.formulas import (
    exact,
    expm1,
    log1mexp,
    log1mpower,
    loglambert,
    logsoftplus,
    mean_gap,
    positive_part,
    powm1,
    softplus,
)

__all__ = ["NAMES", "FDivergence", "Stable", "Symbolic", "divergence", "p", "q", "t", "u", "v"]

_LOG2 = sp.log(2)
#: Nearer than this to 0 or 1, an alpha-divergence is its limit in every digit of float64.
_NEAREST = sp.Rational(1, 10**20)


def _reals_below(top: sp.Expr, *, closed: bool = False) -> sp.Interval:
    return sp.Interval(-sp.oo, top, left_open=True, right_open=not closed)


def _total_variation() -> FDivergence:
    """TV = (1/2) int |p - q|, at most 1. Here f' has a jump at 1; the level 0 is a convention."""
    half_tanh = sp.tanh(v) / 2
    return FDivergence(
        "total_variation",
        "Total variation",
        Symbolic(
            generator=sp.Abs(u - 1) / 2,
            conjugate=sp.Max(t, -sp.S.Half),
            domain=_reals_below(sp.S.Half, closed=True),
            activation=half_tanh,
            at_zero=sp.S.Half,
            at_infinity=sp.S.Half,
        ),
        Stable(
            integrand=sp.Abs(p - q) / 2,
            critic=sp.sign(u - 1) / 2,
            conjugate=sp.Max(t, -sp.S.Half),
            activation=half_tanh,
            conjugate_of_activation=half_tanh,
        ),
    )


def _kl() -> FDivergence:
    """KL(P || Q) = int p log(p / q)."""
    return FDivergence(
        "kl",
        "Kullback-Leibler",
        Symbolic(
            generator=u * sp.log(u),
            conjugate=sp.exp(t - 1),
            domain=sp.Reals,
            activation=v,
            at_zero=sp.Integer(0),
            at_infinity=sp.oo,
        ),
        Stable(
            integrand=p * (sp.log(p) - sp.log(q)),
            critic=1 + sp.log(u),
            conjugate=sp.exp(t - 1),
            activation=v,
            conjugate_of_activation=sp.exp(v - 1),
        ),
    )


def _reverse_kl() -> FDivergence:
    """KL(Q || P) = int q log(q / p)."""
    return FDivergence(
        "reverse_kl",
        "Reverse KL",
        Symbolic(
            generator=-sp.log(u),
            conjugate=-1 - sp.log(-t),
            domain=_reals_below(sp.Integer(0)),
            activation=-sp.exp(-v),
            at_zero=sp.oo,
            at_infinity=sp.Integer(0),
        ),
        Stable(
            integrand=q * (sp.log(q) - sp.log(p)),
            critic=-1 / u,
            conjugate=-1 - sp.log(-t),
            activation=-sp.exp(-v),
            conjugate_of_activation=v - 1,
        ),
    )


def _pearson() -> FDivergence:
    """chi^2(P || Q) = int (p - q)^2 / q. Left of -2 its conjugate is flat, for u >= 0."""
    clipped, clipped_v = sp.Max(t, -2), sp.Max(v, -2)
    return FDivergence(
        "pearson",
        "Pearson chi-squared",
        Symbolic(
            generator=(u - 1) ** 2,
            conjugate=clipped**2 / 4 + clipped,
            domain=sp.Reals,
            activation=v,
            at_zero=sp.Integer(1),
            at_infinity=sp.oo,
        ),
        Stable(
            integrand=(p - q) * (p / q - 1),
            critic=2 * (u - 1),
            conjugate=clipped * (clipped / 4 + 1),
            activation=v,
            conjugate_of_activation=clipped_v * (clipped_v / 4 + 1),
        ),
    )


def _neyman() -> FDivergence:
    """chi^2(Q || P) = int (p - q)^2 / p. Its domain holds its end point: f*(1) = 2."""
    return FDivergence(
        "neyman",
        "Neyman chi-squared",
        Symbolic(
            generator=(1 - u) ** 2 / u,
            conjugate=2 - 2 * sp.sqrt(1 - t),
            domain=_reals_below(sp.Integer(1), closed=True),
            activation=1 - sp.exp(-v),
            at_zero=sp.oo,
            at_infinity=sp.Integer(1),
        ),
        Stable(
            integrand=(p - q) * (1 - q / p),
            critic=1 - 1 / u**2,
            conjugate=2 * t / (1 + sp.sqrt(1 - t)),
            activation=-expm1(-v),
            conjugate_of_activation=-2 * expm1(-v / 2),
        ),
    )


def _squared_hellinger() -> FDivergence:
    """int (sqrt p - sqrt q)^2, at most 2 (no one half in front)."""
    return FDivergence(
        "squared_hellinger",
        "Squared Hellinger",
        Symbolic(
            generator=(sp.sqrt(u) - 1) ** 2,
            conjugate=t / (1 - t),
            domain=_reals_below(sp.Integer(1)),
            activation=1 - sp.exp(-v),
            at_zero=sp.Integer(1),
            at_infinity=sp.Integer(1),
        ),
        Stable(
            integrand=(sp.sqrt(p) - sp.sqrt(q)) ** 2,
            critic=1 - 1 / sp.sqrt(u),
            conjugate=t / (1 - t),
            activation=-expm1(-v),
            conjugate_of_activation=expm1(v),
        ),
    )


def _jeffreys() -> FDivergence:
    """KL(P || Q) + KL(Q || P). Its conjugate needs the Lambert W function: u = 1 / W(e^(1-t))."""
    w = sp.LambertW(sp.exp(1 - t))

    def stable_conjugate(x: sp.Symbol) -> sp.Expr:
        return expm1(-loglambert(1 - x)) - loglambert(1 - x)

    return FDivergence(
        "jeffreys",
        "Jeffreys",
        Symbolic(
            generator=(u - 1) * sp.log(u),
            conjugate=w + 1 / w + t - 2,
            domain=sp.Reals,
            activation=v,
            at_zero=sp.oo,
            at_infinity=sp.oo,
        ),
        Stable(
            integrand=(p - q) * (sp.log(p) - sp.log(q)),
            critic=1 - 1 / u + sp.log(u),
            conjugate=stable_conjugate(t),
            activation=v,
            conjugate_of_activation=stable_conjugate(v),
        ),
    )


def _jensen_shannon() -> FDivergence:
    """KL(P || M) + KL(Q || M) with M = (P + Q) / 2: twice the JSD, at most 2 log 2."""
    return FDivergence(
        "jensen_shannon",
        "Jensen-Shannon (2 JSD)",
        Symbolic(
            generator=u * sp.log(u) - (u + 1) * sp.log((u + 1) / 2),
            conjugate=-sp.log(2 - sp.exp(t)),
            domain=_reals_below(_LOG2),
            activation=_LOG2 - sp.log(1 + sp.exp(-v)),
            at_zero=_LOG2,
            at_infinity=_LOG2,
        ),
        Stable(
            integrand=p * (_LOG2 - softplus(sp.log(q) - sp.log(p)))
            + q * (_LOG2 - softplus(sp.log(p) - sp.log(q))),
            critic=_LOG2 - softplus(-sp.log(u)),
            conjugate=-_LOG2 - log1mexp(t - _LOG2),
            activation=_LOG2 - softplus(-v),
            conjugate_of_activation=softplus(v) - _LOG2,
        ),
    )


def _gan() -> FDivergence:
    """The value of the GAN game, 2 JSD - log 4: the one row with f(1) not 0 but -log 4."""
    return FDivergence(
        "gan",
        "GAN (2 JSD - log 4)",
        Symbolic(
            generator=u * sp.log(u) - (u + 1) * sp.log(u + 1),
            conjugate=-sp.log(1 - sp.exp(t)),
            domain=_reals_below(sp.Integer(0)),
            activation=-sp.log(1 + sp.exp(-v)),
            at_zero=sp.Integer(0),
            at_infinity=sp.Integer(0),
        ),
        Stable(
            integrand=-p * softplus(sp.log(q) - sp.log(p)) - q * softplus(sp.log(p) - sp.log(q)),
            critic=-softplus(-sp.log(u)),
            conjugate=-log1mexp(t),
            activation=-softplus(-v),
            conjugate_of_activation=softplus(v),
        ),
    )


def _weighted_jensen_shannon(pi: Any) -> FDivergence:
    """pi KL(P || M) + (1 - pi) KL(Q || M), M = pi P + (1 - pi) Q, with 0 < pi < 1."""
    pi = _parameter("pi", pi)
    if not (_is_positive(pi) and _is_positive(1 - pi)):
        raise ValueError(f"pi = {pi}; it is the weight of the data, strictly between 0 and 1")
    rest = 1 - pi
    odds = sp.log(rest) - sp.log(pi)
    top = -pi * sp.log(pi)
    log_ratio = sp.log(p) - sp.log(q)
    return FDivergence(
        "weighted_jensen_shannon",
        "Weighted Jensen-Shannon",
        Symbolic(
            generator=pi * u * sp.log(u) - (rest + pi * u) * sp.log(rest + pi * u),
            conjugate=rest * sp.log(rest / (1 - pi * sp.exp(t / pi))),
            domain=_reals_below(top),
            activation=top - sp.log(1 + sp.exp(-v)),
            at_zero=-rest * sp.log(rest),
            at_infinity=top,
        ),
        Stable(
            integrand=-pi * p * (sp.log(pi) + softplus(odds - log_ratio))
            - rest * q * (sp.log(rest) + softplus(log_ratio - odds)),
            critic=top - pi * softplus(odds - sp.log(u)),
            conjugate=rest * (sp.log(rest) - log1mexp(t / pi + sp.log(pi))),
            activation=top - softplus(-v),
            conjugate_of_activation=rest * (sp.log(rest) - log1mpower(v, 1 / pi)),
        ),
        {"pi": pi},
    )


def _alpha(alpha: Any) -> FDivergence:
    """int q ((p/q)^alpha - 1) / (alpha (alpha - 1)): two rows, alpha < 1 (not 0) and alpha > 1.

    alpha = 2 is half of Pearson, -1 half of Neyman, 1/2 twice the squared Hellinger.
    """
    alpha = _parameter("alpha", alpha)
    for limit, name in ((0, "reverse_kl"), (1, "kl")):
        gap = sp.simplify(alpha - limit)
        if gap.is_number and abs(gap) < _NEAREST:
            raise ValueError(
                f"alpha = {alpha}: there the formula is 0 / 0 and the divergence is its limit; "
                f"use divergence({name!r}), or an alpha other than 0 and 1"
            )
    a1 = alpha - 1
    power = sp.cancel(alpha / a1)
    above = _is_positive(a1)
    base = positive_part(1 + a1 * t) if above else 1 + a1 * t
    stable_base = sp.Max(a1 * t, -1) if above else a1 * t
    if above:
        domain, activation, stable_activation = sp.Reals, v, v
        composed = powm1(sp.Max(a1 * v, -1), power) / alpha
    else:
        top = sp.cancel(-1 / a1)
        # At the end point f* is finite, -1/alpha, where the power is positive: alpha < 0.
        domain = _reals_below(top, closed=not _is_positive(alpha))
        activation, stable_activation = top - sp.log(1 + sp.exp(-v)), top - softplus(-v)
        composed = expm1(power * (sp.log(-a1) + logsoftplus(-v))) / alpha
    return FDivergence(
        "alpha",
        "alpha-divergence",
        Symbolic(
            generator=(u**alpha - 1 - alpha * (u - 1)) / (alpha * a1),
            conjugate=(base**power - 1) / alpha,
            domain=domain,
            activation=activation,
            at_zero=1 / alpha if _is_positive(alpha) else sp.oo,
            at_infinity=sp.oo if above else sp.cancel(-1 / a1),
        ),
        Stable(
            integrand=mean_gap(p, q, alpha),
            critic=expm1(a1 * sp.log(u)) / a1,
            conjugate=powm1(stable_base, power) / alpha,
            activation=stable_activation,
            conjugate_of_activation=composed,
        ),
        {"alpha": alpha},
    )


def _is_positive(expression: sp.Expr) -> bool:
    return bool(sp.simplify(expression).is_positive)


def _parameter(name: str, value: Any) -> sp.Expr:
    # A symbol may stand for a whole family: alpha = 1 + Symbol("a", positive=True).
    number = exact(value)
    if not (number.free_symbols or number.is_real):
        raise ValueError(f"{name} = {value!r} is no finite real number; pass one")
    return number


_MAKERS: dict[str, Callable[..., FDivergence]] = {
    "total_variation": _total_variation,
    "kl": _kl,
    "reverse_kl": _reverse_kl,
    "pearson": _pearson,
    "neyman": _neyman,
    "squared_hellinger": _squared_hellinger,
    "jeffreys": _jeffreys,
    "jensen_shannon": _jensen_shannon,
    "weighted_jensen_shannon": _weighted_jensen_shannon,
    "gan": _gan,
    "alpha": _alpha,
}

#: Every name :func:`divergence` knows, in the table's order; `alpha` is its last two rows.
NAMES = tuple(_MAKERS)


def divergence(name: str, **parameters: Any) -> FDivergence:
    """The f-divergence called ``name``.

    Parameters
    ----------
    name
        One of :data:`NAMES`. ``jensen_shannon`` is the table's row, 2 JSD.
    **parameters
        ``pi`` (0 < pi < 1) for ``weighted_jensen_shannon``, ``alpha`` (real, not 0 or 1) for
        ``alpha``. A SymPy symbol with enough assumptions gives the formulas of a whole family.

    Raises
    ------
    ValueError
        If the name is unknown, or a parameter is outside its domain.
    TypeError
        If a parameter is missing, or is none of this divergence.

    Examples
    --------
    >>> kl = divergence("kl")
    >>> data, fake = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    >>> kl.between(data, fake)  # (log 2 + log(2/3)) / 2
    tensor(0.1438)
    >>> divergence("alpha", alpha=0.5)
    divergence('alpha', alpha=1/2)
    >>> NAMES[:3]
    ('total_variation', 'kl', 'reverse_kl')
    """
    if name not in _MAKERS:
        near = difflib.get_close_matches(str(name).lower(), NAMES, n=1, cutoff=0.0)
        raise ValueError(
            f"no divergence is called {name!r}; the nearest name is {near[0]!r}. "
            f"All names: {', '.join(NAMES)}"
        )
    maker = _MAKERS[name]
    wanted = set(inspect.signature(maker).parameters)
    if wanted != set(parameters):
        raise TypeError(
            f"{name} takes {' and '.join(sorted(wanted)) or 'no parameters'}, but got "
            f"{', '.join(sorted(parameters)) or 'none'}; write divergence({name!r}"
            f"{''.join(f', {w}=...' for w in sorted(wanted))})"
        )
    return maker(**parameters)
