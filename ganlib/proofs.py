"""What a check cell needs to assert a statement, and to say why it is false.

SymPy's ``simplify(a - b) == 0`` says only "no". The helpers here look for a counterexample
first, so that a wrong sign in a theorem is reported with numbers a reader can follow. They are
used by the cells tagged ``derivation-check`` in every chapter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import sympy as sp

from ganlib.formulas import textbook

__all__ = [
    "assert_equal",
    "assert_gradient",
    "assert_maximiser",
    "assert_minimiser",
    "assert_nonnegative",
    "counterexample",
]

_TRIES = 24
_DIGITS = 30
_TOLERANCE = sp.Float("1e-20")


def _random_value(symbol: sp.Symbol, rng: random.Random) -> sp.Rational:
    # Rationals with small terms: a counterexample should be readable.
    for _ in range(200):
        if symbol.is_integer:
            value = sp.Integer(rng.randint(1, 9))
        else:
            value = sp.Rational(rng.randint(1, 60), rng.randint(1, 20))
        if symbol.is_nonpositive or (not symbol.is_nonnegative and rng.random() < 0.5):
            value = -value
        assumed = symbol.assumptions0.items()
        if all(getattr(value, f"is_{name}", truth) == truth for name, truth in assumed):
            return value
    raise ValueError(
        f"no random rational fits what is assumed of {symbol}: "
        f"{', '.join(f'{k}={v}' for k, v in symbol._assumptions_orig.items())}; declare it with "
        "assumptions that rational numbers other than 0 can have"
    )


def _sample(
    symbols: set[sp.Symbol], where: Callable[..., bool] | None, rng: random.Random
) -> dict[sp.Symbol, sp.Rational] | None:
    ordered = sorted(symbols, key=str)
    for _ in range(200):
        point = {symbol: _random_value(symbol, rng) for symbol in ordered}
        if where is None or not point or where(**{str(k): v for k, v in point.items()}):
            return point
    return None


def counterexample(
    left: sp.Expr,
    right: sp.Expr,
    where: Callable[..., bool] | None = None,
    seed: int = 0,
) -> Mapping[sp.Symbol, sp.Rational] | None:
    """A point at which two expressions differ, or None if none was found.

    ``where`` restricts the points: it is called with the symbols' names as keywords, for
    example ``where=lambda p, q, **_: p + q <= 1``. Symbols declared positive get positive
    values. The sides are evaluated to 30 digits at 24 random rational points (``seed``) and
    compared to 20, relative to the larger of 1 and their size.
    """
    sides = [textbook(sp.sympify(side)) for side in (left, right)]
    symbols = sides[0].free_symbols | sides[1].free_symbols
    rng = random.Random(seed)
    for _ in range(_TRIES):
        point = _sample(symbols, where, rng)
        if point is None:
            raise ValueError("no random point satisfies `where`; widen it or check its names")
        here, there = (side.subs(point).evalf(_DIGITS) for side in sides)
        if here.is_number and there.is_number and here.is_finite and there.is_finite:
            # relative, so that huge values do not differ by their rounding
            if abs(here - there) > _TOLERANCE * max(1, abs(here), abs(there)):
                return point
        elif here != there:
            return point
        if not symbols:
            break
    return None


def assert_equal(
    left: sp.Expr,
    right: sp.Expr,
    claim: str = "",
    where: Callable[..., bool] | None = None,
) -> None:
    """Assert that two expressions are equal for all values of their symbols.

    First a counterexample is sought at random points; the identity is then proved by SymPy
    (the stable functions of :mod:`ganlib.formulas` are expanded). Both must agree.

    Raises
    ------
    AssertionError
        With a counterexample, or with the difference that SymPy could not reduce to zero.
    """
    point = counterexample(left, right, where)
    label = f"{claim}: " if claim else ""
    if point is not None:
        at = ", ".join(f"{k} = {v}" for k, v in point.items())
        values = [textbook(sp.sympify(e)).subs(point).evalf(12) for e in (left, right)]
        raise AssertionError(
            f"{label}the two sides differ at {at or 'every point'}: {values[0]} against {values[1]}"
        )
    difference = textbook(sp.sympify(left) - sp.sympify(right))
    attempts = (
        sp.simplify,
        lambda e: sp.simplify(sp.expand_log(sp.factor(e), force=True)),
        lambda e: sp.simplify(sp.logcombine(sp.expand_log(e, force=True), force=True)),
        lambda e: sp.simplify(sp.radsimp(sp.together(sp.powsimp(e, force=True)))),
    )
    for attempt in attempts:
        if attempt(difference) == 0:
            return
    raise AssertionError(
        f"{label}no counterexample was found, but SymPy did not prove the identity; "
        f"left over: {sp.simplify(difference)}"
    )


def assert_nonnegative(
    expression: sp.Expr, claim: str = "", where: Callable[..., bool] | None = None
) -> None:
    """Assert that an expression is never negative at 24 random points (a refutation test).

    A sampled check can refute an inequality, not prove it: the page's proof does that.
    """
    rng = random.Random(1)
    expanded = textbook(sp.sympify(expression))
    for _ in range(_TRIES):
        point = _sample(expanded.free_symbols, where, rng)
        if point is None:
            raise ValueError("no random point satisfies `where`; widen it or check its names")
        value = expanded.subs(point).evalf(_DIGITS, chop=True)
        if value < -sp.Float("1e-20"):
            at = ", ".join(f"{k} = {v}" for k, v in point.items())
            raise AssertionError(f"{claim or 'expression'}: negative ({value.evalf(8)}) at {at}")


def assert_gradient(
    function: sp.Expr, symbol: sp.Symbol, gradient: sp.Expr, claim: str = ""
) -> None:
    """Assert that ``gradient`` is the derivative of ``function`` by ``symbol``."""
    assert_equal(sp.diff(function, symbol), gradient, claim or f"d/d{symbol}")


def assert_maximiser(
    objective: sp.Expr,
    symbol: sp.Symbol,
    point: sp.Expr,
    claim: str = "",
    where: Callable[..., bool] | None = None,
) -> None:
    """Assert that a concave objective of one variable has its maximum at ``point``.

    Checked: the derivative vanishes at the point, and the second derivative is nowhere positive,
    at random values of all symbols: on the whole line that ``symbol`` is declared on (real,
    positive, ...), near 0 and far out, wherever the objective is a real number there, as
    log(x) + log(1 - x) is on (0, 1). Together these make the point a maximiser. ``where``
    restricts the values, as for :func:`counterexample`.

    Raises
    ------
    AssertionError
        If the statement is false, with the point at which it fails.
    ValueError
        If there are hardly any points to look at.
    """
    first, second = sp.diff(objective, symbol), sp.diff(objective, symbol, 2)
    assert_equal(first.subs(symbol, point), sp.Integer(0), claim or "first-order condition", where)
    if second == 0:
        raise AssertionError(f"{claim}: the objective is linear in {symbol}; it has no maximiser")
    value, bend = textbook(objective), textbook(second)
    rng = random.Random(1)
    seen = 0
    for scale in (1, sp.Rational(1, 50), 50) * (4 * _TRIES):
        at = _sample(objective.free_symbols | {symbol}, None, rng) or {}
        at[symbol] *= 1 if symbol.is_integer else scale
        if where is not None and not where(**{str(k): v for k, v in at.items()}):
            continue
        here, bent = (e.subs(at).evalf(_DIGITS, chop=True) for e in (value, bend))
        if not (here.is_real and here.is_finite and bent.is_real):
            continue
        if bent > _TOLERANCE:
            named = ", ".join(f"{k} = {v}" for k, v in at.items())
            raise AssertionError(
                f"{claim or 'second-order condition'} (objective not concave): the second "
                f"derivative is {bent.evalf(8)} at {named}"
            )
        seen += 1
        if seen == 2 * _TRIES:
            return
    if seen < _TRIES:
        raise ValueError(
            f"{claim or 'assert_maximiser'}: the objective is real at {seen} of "
            f"{12 * _TRIES} random points only; widen `where`, or declare {symbol} on a line where "
            "it is"
        )


def assert_minimiser(
    objective: sp.Expr,
    symbol: sp.Symbol,
    point: sp.Expr,
    claim: str = "",
    where: Callable[..., bool] | None = None,
) -> None:
    """Assert that a convex objective has its minimum at ``point``; see :func:`assert_maximiser`."""
    assert_maximiser(-objective, symbol, point, claim, where)
