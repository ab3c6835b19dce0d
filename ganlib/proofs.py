"""What a check cell needs to assert a statement, and to say why it is false.

SymPy's ``simplify(a - b) == 0`` says only "no". The helpers here look for a counterexample
first, so that a wrong sign in a theorem is reported with numbers a reader can follow. They are
used by the cells tagged ``derivation-check`` in every chapter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import sympy as sp
from sympy.core.evalf import PrecisionExhausted

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
_FAR = tuple(
    sign * far for far in (1000, sp.Integer(10) ** 6, sp.Rational(1, 10**6)) for sign in (1, -1)
)
#: Functions that are looked at far out, in formulas of at most so many operations.
_QUICK = (sp.log, sp.exp, sp.Abs, sp.sign, sp.Max, sp.Min, sp.tanh, sp.sin, sp.cos, sp.atan)
_SHORT = 60
_BESIDE = tuple(sign * sp.Rational(1, 10**k) for k in (2, 6) for sign in (1, -1))


def _fits(symbol: sp.Symbol, value: sp.Expr) -> bool:
    assumed = symbol.assumptions0.items()
    return all(getattr(value, f"is_{name}", truth) == truth for name, truth in assumed)


def _random_value(symbol: sp.Symbol, rng: random.Random) -> sp.Rational:
    # Rationals with small terms: a counterexample should be readable.
    for _ in range(200):
        if symbol.is_integer:
            value = sp.Integer(rng.randint(1, 9))
        else:
            value = sp.Rational(rng.randint(1, 60), rng.randint(1, 20))
        if symbol.is_nonpositive or (not symbol.is_nonnegative and rng.random() < 0.5):
            value = -value
        if _fits(symbol, value):
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


def _points(
    symbols: set[sp.Symbol], where: Callable[..., bool] | None, seed: int
) -> Iterator[dict[sp.Symbol, sp.Rational]]:
    rng = random.Random(seed)
    for _ in range(_TRIES):
        point = _sample(symbols, where, rng)
        if point is None:
            raise ValueError("no random point satisfies `where`; widen it or check its names")
        yield point
        if not symbols:
            return


def _far_points(
    expression: sp.Basic, where: Callable[..., bool] | None
) -> Iterator[dict[sp.Symbol, sp.Rational]]:
    # One symbol at a time far out, or near 0, of formulas that are evaluated there in no time.
    kinds = {type(f) for f in expression.atoms(sp.Function)} - set(_QUICK)
    if kinds or expression.has(sp.Integral, sp.Sum) or sp.count_ops(expression) > _SHORT:
        return
    rng = random.Random(2)
    symbols = expression.free_symbols
    # A sum of a million terms, or a rational number's millionth power, takes too long.
    slow = set[sp.Symbol]().union(*(power.exp.free_symbols for power in expression.atoms(sp.Pow)))
    slow |= {symbol for symbol in symbols if symbol.is_integer}
    for symbol in sorted(symbols, key=str):
        for value in map(sp.sympify, _FAR):
            if not _fits(symbol, value) or (symbol in slow and abs(value) != 1000):
                continue
            point = _sample(symbols, None, rng) or {}
            point[symbol] = value
            if where is None or where(**{str(k): v for k, v in point.items()}):
                yield point


def _precisely(expression: sp.Expr, point: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    # To 30 digits, or NaN where cancellation leaves fewer: that is no counterexample.
    try:
        return expression.subs(point).evalf(_DIGITS, strict=True)
    except (PrecisionExhausted, ZeroDivisionError):  # mpmath's, where a divisor rounds to 0
        return sp.nan


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
    compared to 20, relative to the larger of 1 and their size; then with one symbol at a time at
    1e3, 1e6 and 1e-6 (and their negatives), wherever a side is a real number there.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> counterexample((x + 1) ** 2, x**2 + 2 * x + 1) is None
    True
    >>> counterexample(sp.Abs(x), x, where=lambda x: x < 0) is None
    False
    """
    sides = [textbook(sp.sympify(side)) for side in (left, right)]
    symbols = sides[0].free_symbols | sides[1].free_symbols
    for point in _points(symbols, where, seed):
        here, there = (side.subs(point).evalf(_DIGITS) for side in sides)
        if here.is_number and there.is_number and here.is_finite and there.is_finite:
            if _apart(here, there):
                return point
        elif here != there:
            return point
    for point in _far_points(sp.Tuple(*sides), where):
        here, there = (_precisely(side, point) for side in sides)
        if (
            (here.is_real or there.is_real)
            and here.is_finite
            and there.is_finite
            and _apart(here, there)
        ):
            return point
    return None


def _apart(here: sp.Expr, there: sp.Expr) -> bool:
    # relative, so that huge values do not differ by their rounding
    return bool(abs(here - there) > _TOLERANCE * max(1, abs(here), abs(there)))


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

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> assert_equal((x + 1) ** 2, x**2 + 2 * x + 1)
    >>> assert_equal((x + 1) ** 2, x**2 + 1, "the square of a sum")
    Traceback (most recent call last):
        ...
    AssertionError: ...
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
    """Assert that an expression is never negative: at 24 random points, and far out.

    A sampled check can refute an inequality, not prove it: the page's proof does that. Points
    as for :func:`counterexample`; far out only where the expression is a real number.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", positive=True)
    >>> assert_nonnegative(x - 1 - sp.log(x))
    >>> assert_nonnegative(x - 2)
    Traceback (most recent call last):
        ...
    AssertionError: ...
    """
    expanded = textbook(sp.sympify(expression))

    def refuse(value: sp.Expr, point: Mapping[sp.Symbol, sp.Expr]) -> None:
        at = ", ".join(f"{k} = {v}" for k, v in point.items())
        raise AssertionError(f"{claim or 'expression'}: negative ({value.evalf(8)}) at {at}")

    for point in _points(expanded.free_symbols, where, 1):
        value = expanded.subs(point).evalf(_DIGITS, chop=True)
        if value < -_TOLERANCE:
            refuse(value, point)
    for point in _far_points(expanded, where):
        value = _precisely(expanded, point)
        if value.is_real and value.is_finite and value < -_TOLERANCE:
            refuse(value, point)


def assert_gradient(
    function: sp.Expr, symbol: sp.Symbol, gradient: sp.Expr, claim: str = ""
) -> None:
    """Assert that ``gradient`` is the derivative of ``function`` by ``symbol``.

    Examples
    --------
    >>> import sympy as sp
    >>> s = sp.Symbol("s", real=True)
    >>> assert_gradient(sp.log(1 + sp.exp(s)), s, 1 / (1 + sp.exp(-s)))
    """
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
    log(x) + log(1 - x) is on (0, 1); and nowhere there the objective is above its value at the
    point, beside its kinks, poles and jumps (zeros of polynomials) and at 1e6 included. The point
    must lie on that line. ``where`` restricts the values, as for :func:`counterexample`.

    Raises
    ------
    AssertionError
        If the statement is false, with the point at which it fails.
    ValueError
        If there are hardly any points to look at.

    Examples
    --------
    >>> import sympy as sp
    >>> d, p, q = sp.symbols("D p q", positive=True)
    >>> cost = p * sp.log(d) + q * sp.log(1 - d)
    >>> assert_maximiser(cost, d, p / (p + q), "the best discriminator")
    """
    objective, point = sp.sympify(objective), sp.sympify(point)
    first, second = sp.diff(objective, symbol), sp.diff(objective, symbol, 2)
    assert_equal(first.subs(symbol, point), sp.Integer(0), claim or "first-order condition", where)
    if second == 0:
        raise AssertionError(f"{claim}: the objective is linear in {symbol}; it has no maximiser")
    value, bend = textbook(objective), textbook(second)
    rng = random.Random(1)
    looked: list[dict[sp.Symbol, sp.Expr]] = []
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
        looked.append(at)
        if len(looked) == 2 * _TRIES:
            break
    if len(looked) < _TRIES:
        raise ValueError(
            f"{claim or 'assert_maximiser'}: the objective is real at {len(looked)} of "
            f"{12 * _TRIES} random points only; widen `where`, or declare {symbol} on a line where "
            "it is"
        )
    edges = _edges(value, symbol)
    for count, at in enumerate(looked):
        best = point.subs(at)
        _check_on_line(symbol, best, claim)
        top = value.subs({**at, symbol: best}).evalf(_DIGITS, chop=True)
        others = [at[symbol], *_beside(edges, symbol, at)] if count < 8 else [at[symbol]]
        for other in others:
            beside = {**at, symbol: other}
            if not _fits(symbol, other):
                continue
            if where is not None and not where(**{str(k): v for k, v in beside.items()}):
                continue
            here = value.subs(beside).evalf(_DIGITS, chop=True)
            if not (here.is_real and here.is_finite):
                continue
            size = max(1, abs(here), abs(top)) if top.is_finite else 1
            if not (top.is_real and here <= top + _TOLERANCE * size):
                named = ", ".join(f"{k} = {v}" for k, v in beside.items())
                raise AssertionError(
                    f"{claim or 'assert_maximiser'}: the objective is {here.evalf(8)} at {named}, "
                    f"but {top.evalf(8)} at {symbol} = {best}, which is not the best"
                )


def _check_on_line(symbol: sp.Symbol, value: sp.Expr, claim: str) -> None:
    for name, truth in symbol.assumptions0.items():
        if getattr(value, f"is_{name}", None) is (not truth):
            raise AssertionError(
                f"{claim or 'assert_maximiser'}: {value} is not on the line of {symbol}, which is "
                f"declared {', '.join(f'{k}={v}' for k, v in symbol._assumptions_orig.items())}"
            )


def _edges(expression: sp.Expr, symbol: sp.Symbol) -> set[sp.Expr]:
    # What is 0 where the expression has a kink, a pole or a jump.
    found: set[sp.Expr] = set()
    for part in sp.preorder_traversal(expression):
        if isinstance(part, (sp.Abs, sp.sign, sp.Heaviside, sp.log)):
            found.add(part.args[0])
        elif isinstance(part, (sp.Max, sp.Min)):
            found |= {a - b for a in part.args for b in part.args if a != b}
        elif isinstance(part, sp.core.relational.Relational):
            found.add(part.lhs - part.rhs)
        elif isinstance(part, sp.Pow) and not (part.exp.is_Integer and part.exp > 0):
            found.add(part.base)
    return {edge for edge in found if edge.has(symbol)}


def _beside(
    edges: set[sp.Expr], symbol: sp.Symbol, at: Mapping[sp.Symbol, sp.Expr]
) -> list[sp.Expr]:
    others = {k: v for k, v in at.items() if k != symbol}
    places = list(map(sp.sympify, _FAR))
    for edge in sorted(edges, key=str):
        zero = sp.numer(sp.together(edge.subs(others)))
        if zero.is_polynomial(symbol) and zero.has(symbol):
            for root in sp.Poly(zero, symbol).nroots(n=15, maxsteps=200):
                if root.is_real:
                    near = sp.Rational(str(root))
                    places += [near, *(near + step * max(1, abs(near)) for step in _BESIDE)]
    return places


def assert_minimiser(
    objective: sp.Expr,
    symbol: sp.Symbol,
    point: sp.Expr,
    claim: str = "",
    where: Callable[..., bool] | None = None,
) -> None:
    """Assert that a convex objective has its minimum at ``point``; see :func:`assert_maximiser`.

    Examples
    --------
    >>> import sympy as sp
    >>> x = sp.Symbol("x", real=True)
    >>> assert_minimiser((x - 3) ** 2, x, sp.Integer(3))
    """
    assert_maximiser(-objective, symbol, point, claim, where)
