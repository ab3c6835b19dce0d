"""The helpers of the check cells accept what is true and refute what is false, with numbers."""

from __future__ import annotations

import random

import pytest
import sympy as sp

from ganlib import formulas, proofs

p, q, D = sp.symbols("p q D", positive=True)
s = sp.Symbol("s", real=True)


def test_equal_sides_pass() -> None:
    proofs.assert_equal(sp.log(p * q), sp.log(p) + sp.log(q))
    proofs.assert_equal(formulas.softplus(s) - formulas.softplus(-s), s)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (sp.log(p / q), sp.log(p) + sp.log(q)),  # a sign
        ((p + q) ** 2, p**2 + q**2),  # a cross term
        (formulas.softplus(s), formulas.softplus(-s)),  # a swapped logit
        (sp.Integer(0), sp.Rational(1, 10**9)),  # constants that are nearly equal
    ],
)
def test_unequal_sides_get_a_counterexample(left: sp.Expr, right: sp.Expr) -> None:
    with pytest.raises(AssertionError, match="the two sides differ"):
        proofs.assert_equal(left, right, "a false claim")


def test_rounding_of_huge_values_is_no_counterexample() -> None:
    huge = sp.exp(900 * p)
    proofs.assert_equal(huge * (1 + q) - huge * q, huge, where=lambda p, **_: p > 1)
    assert proofs.counterexample(huge, huge * (1 + sp.Rational(1, 10**9))) is not None
    assert proofs.counterexample(sp.oo, sp.oo) is None
    assert proofs.counterexample(sp.oo, p) is not None


def test_where_restricts_the_points() -> None:
    proofs.assert_nonnegative(5 - s, where=lambda s: s < 5)
    with pytest.raises(AssertionError, match="negative"):
        proofs.assert_nonnegative(5 - s, where=lambda s: s > 5)
    with pytest.raises(ValueError, match="no random point"):
        proofs.assert_nonnegative(s, where=lambda s: s > 10**9)


def test_maximiser() -> None:
    value = p * sp.log(D) + q * sp.log(1 - D)
    proofs.assert_maximiser(value, D, p / (p + q))
    with pytest.raises(AssertionError, match="first-order"):
        proofs.assert_maximiser(value, D, q / (p + q))
    with pytest.raises(AssertionError, match="not concave"):
        proofs.assert_maximiser(-value, D, p / (p + q))
    with pytest.raises(AssertionError, match="linear"):
        proofs.assert_maximiser(0 * D + 3, D, p)


def test_minimiser() -> None:
    cost = p * (s - 1) ** 2 + q * s**2
    proofs.assert_minimiser(cost, s, p / (p + q))
    with pytest.raises(AssertionError):
        proofs.assert_minimiser(cost, s, q / (p + q))


def test_nonnegative() -> None:
    proofs.assert_nonnegative((p - q) ** 2)
    with pytest.raises(AssertionError, match="negative"):
        proofs.assert_nonnegative(p - q)


def test_gradient() -> None:
    proofs.assert_gradient(sp.log(D), D, 1 / D)
    with pytest.raises(AssertionError):
        proofs.assert_gradient(sp.log(1 - D), D, 1 / (1 - D))


@pytest.mark.parametrize("line", [{"positive": True}, {"real": True}])
def test_a_maximiser_of_half_the_line_is_refused(line: dict[str, bool]) -> None:
    # f' = -(x - 1/2)(3 - x) vanishes at 1/2, f is concave on (0, 1), and has no maximum: f(10)
    # is far above f(1/2).
    x = sp.Symbol("x", **line)
    objective = sp.integrate(sp.expand(-(x - sp.Rational(1, 2)) * (3 - x)), x)
    assert objective.subs(x, 10) > objective.subs(x, sp.Rational(1, 2))
    with pytest.raises(AssertionError, match=r"not concave.* at x = "):
        proofs.assert_maximiser(objective, x, sp.Rational(1, 2))
    with pytest.raises(AssertionError, match="not concave"):
        proofs.assert_minimiser(-objective, x, sp.Rational(1, 2))
    # On the part of the line that is meant it is true, and can be said.
    proofs.assert_maximiser(objective, x, sp.Rational(1, 2), where=lambda x: 0 < x < 1)


def test_a_maximiser_far_out_or_near_zero_is_refused() -> None:
    x = sp.Symbol("x", positive=True)
    for bend in (x - 200, sp.Rational(1, 500) - x):  # positive beyond 200, below 1/500
        objective = sp.integrate(sp.integrate(bend, x), x)
        slope = sp.diff(objective, x).subs(x, 1)
        with pytest.raises(AssertionError, match="not concave"):
            proofs.assert_maximiser(objective - slope * x, x, 1)


def test_where_the_objective_is_no_real_number_nothing_is_asked() -> None:
    proofs.assert_maximiser(sp.log(s) + sp.log(3 - s), s, sp.Rational(3, 2))
    with pytest.raises(ValueError, match="random points only"):
        proofs.assert_maximiser(sp.log(-(s**2) - 1) - s, s, 1)


@pytest.mark.parametrize(
    "assumptions",
    [
        {"negative": True}, {"nonpositive": True}, {"positive": True}, {"real": True},
        {"integer": True, "negative": True}, {"even": True}, {"odd": True, "positive": True},
        {"prime": True}, {"composite": True}, {"integer": False, "real": True}, {},
    ],
)  # fmt: skip
def test_random_values_fit_what_is_assumed(assumptions: dict[str, bool]) -> None:
    symbol = sp.Symbol("n", **assumptions)
    rng = random.Random(0)
    for _ in range(50):
        value = proofs._random_value(symbol, rng)
        assert all(getattr(value, f"is_{name}") == truth for name, truth in assumptions.items())


def test_what_no_rational_fits_is_named() -> None:
    proofs.assert_nonnegative(-sp.Symbol("n", negative=True))
    with pytest.raises(ValueError, match="irrational=True"):
        proofs.assert_nonnegative(sp.Symbol("n", irrational=True) ** 2)


r, x = sp.Symbol("r", real=True), sp.Symbol("x", positive=True)


@pytest.mark.parametrize(
    ("objective", "symbol", "point", "words"),
    [
        (sp.Max(r, 0) - r / 2, r, 0, "not the best"),  # the minimum
        (sp.Abs(r) - r**2 + r / 10, r, sp.Rational(-9, 20), "not the best"),  # the lower of two
        (sp.log(r**2) - r**2 + r, r, (1 - sp.sqrt(17)) / 4, "not the best"),  # beyond a pole
        (-(r**2) + sp.Piecewise((0, r < 3), (100, True)), r, 0, "not the best"),  # beyond a jump
        (-(r**2) + sp.Piecewise((0, r < 100), (10**4 + 1, True)), r, 0, "not the best"),
        (-((x + 1) ** 2), x, -1, "not on the line"),
        (-((x - p + q) ** 2), x, p - q, "not on the line"),
    ],
)
def test_what_is_concave_almost_everywhere_may_have_its_maximum_elsewhere(
    objective: sp.Expr, symbol: sp.Symbol, point: sp.Expr, words: str
) -> None:
    with pytest.raises(AssertionError, match=words):
        proofs.assert_maximiser(objective, symbol, sp.sympify(point))
    with pytest.raises(AssertionError, match=words):
        proofs.assert_minimiser(-objective, symbol, sp.sympify(point))


def test_true_maximisers_with_a_kink_or_a_jump_pass() -> None:
    proofs.assert_maximiser(-sp.Abs(r), r, sp.Integer(0))
    proofs.assert_maximiser(sp.Abs(r) - r**2 + r / 10, r, sp.Rational(11, 20))
    proofs.assert_maximiser(-(r**2) - sp.Piecewise((0, r < 3), (100, True)), r, sp.Integer(0))


def test_far_samples_refute() -> None:
    with pytest.raises(AssertionError, match="differ at x = 1000"):
        proofs.assert_equal(sp.log((100 - x) ** 2), 2 * sp.log(100 - x))
    with pytest.raises(AssertionError, match=r"negative .* at x = 1000"):
        proofs.assert_nonnegative(61 - x)
    with pytest.raises(AssertionError, match=r"negative .* at x = 1/1000000"):
        proofs.assert_nonnegative(x - sp.Rational(1, 10**5))
    proofs.assert_nonnegative(61 - x, where=lambda x: x < 61)
    # Where cancellation leaves no digits, nothing is said.
    assert proofs.counterexample(1 / (1 - formulas.sigmoid(s)), 1 + sp.exp(s)) is None
