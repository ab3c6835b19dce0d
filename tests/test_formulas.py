"""SymPy expressions become torch functions with the same values and the same slopes."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy as sp
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from transforms import check_transforms

from ganlib import formulas
from ganlib.formulas import compile_formula, textbook

x, y = sp.symbols("x y", real=True)

STABLE = {
    "softplus": formulas.softplus(x),
    "sigmoid": formulas.sigmoid(x),
    "expm1": formulas.expm1(x),
    "log1p": formulas.log1p(x),
}


@pytest.mark.parametrize("name", STABLE)
def test_stable_function_is_its_textbook_form(name: str) -> None:
    expected = {
        "softplus": sp.log(1 + sp.exp(x)),
        "sigmoid": 1 / (1 + sp.exp(-x)),
        "expm1": sp.exp(x) - 1,
        "log1p": sp.log(1 + x),
    }
    assert sp.simplify(formulas.textbook(STABLE[name]) - expected[name]) == 0


@pytest.mark.parametrize("name", STABLE)
def test_derivative_agrees_with_the_textbook_form(name: str) -> None:
    stable = formulas.textbook(sp.diff(STABLE[name], x))
    assert sp.simplify(stable - sp.diff(formulas.textbook(STABLE[name]), x)) == 0


@pytest.mark.parametrize("name", STABLE)
def test_torch_agrees_with_fifty_digits(name: str, dtype: torch.dtype) -> None:
    points = [-0.9, -1e-6, 0.0, 1e-6, 0.5, 3.0, 19.5, 20.5, 40.0]
    values = torch.tensor(points, dtype=dtype, requires_grad=True)
    got = formulas.compile_formula(STABLE[name], x)(values)
    (slope,) = torch.autograd.grad(got.sum(), values)
    exact = sp.lambdify(x, formulas.textbook(STABLE[name]), "mpmath")
    with mpmath.workdps(50):
        want = [float(exact(mpmath.mpf(float(v)))) for v in values.detach()]
        want_slope = [float(mpmath.diff(exact, mpmath.mpf(float(v)))) for v in values.detach()]
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(
        got.detach(), torch.tensor(want, dtype=dtype), rtol=8 * eps, atol=0.0
    )
    # torch's slope of the sigmoid, y (1 - y), rounds to 0 where y rounds to 1.
    torch.testing.assert_close(slope, torch.tensor(want_slope, dtype=dtype), rtol=8 * eps, atol=eps)


@pytest.mark.parametrize("value", [-1e4, -200.0, 200.0, 1e4])
def test_softplus_and_its_slope_at_extremes(value: float, dtype: torch.dtype) -> None:
    point = torch.tensor(value, dtype=dtype, requires_grad=True)
    got = formulas.compile_formula(STABLE["softplus"], x)(point)
    (slope,) = torch.autograd.grad(got, point)
    exact = max(value, 0.0) if abs(value) > 800 or value > 0 else float(mpmath.exp(value))
    assert got.item() == pytest.approx(exact, rel=1e-6, abs=1e-38)
    assert slope.item() == pytest.approx(float(value > 0), abs=1e-38)


def test_positive_part_and_its_slope(dtype: torch.dtype) -> None:
    point = torch.tensor([-1.0, 0.0, 2.0], dtype=dtype, requires_grad=True)
    value = compile_formula(formulas.positive_part(x - 1), x)(point)
    (slope,) = torch.autograd.grad(value.sum(), point)
    assert slope.tolist() == [0.0, 0.0, 1.0]
    at_zero = torch.tensor(0.0, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(compile_formula(formulas.positive_part(x), x)(at_zero), at_zero)
    assert slope == 1.0


def _lambert(value: mpmath.mpf) -> mpmath.mpf:
    # mpmath's own W is of e^x, which is slow far out: y solves y + e^y = x.
    start = value if value < 1 else mpmath.log(value)
    return mpmath.findroot(lambda y: y + mpmath.exp(y) - value, start)


ANY = (-80.0, -37.0, -30.0, -14.0, -5.0, -1.0, -0.5, -0.01, 0.01, 0.3, 0.99, 1.01, 5.0, 30.0, 80.0)
BELOW, FROM_MINUS_ONE = tuple(v for v in ANY if v < 0), (-0.9, -0.5, -1e-3, 1e-3, 0.49, 0.51, 20.0)
#: (formula, points, how often a rounding of the last digit may be magnified)
EXACT = {
    "expm1": (formulas.expm1(x), ANY, 4),
    "tanh": (sp.tanh(x), ANY, 4),
    "logsoftplus": (formulas.logsoftplus(x), ANY, 8),
    "log1mexp": (formulas.log1mexp(x), BELOW, 4),
    "log1mpower(1/5)": (formulas.log1mpower(x, sp.Rational(1, 5)), ANY, 8),
    "log1mpower(10/3)": (formulas.log1mpower(x, sp.Rational(10, 3)), ANY[4:], 32),
    "log1mpower(50)": (formulas.log1mpower(x, 50), ANY[5:], 64),
    "powm1(1/3)": (formulas.powm1(x, sp.Rational(1, 3)), FROM_MINUS_ONE, 8),
    "powm1(3/2)": (formulas.powm1(x, sp.Rational(3, 2)), FROM_MINUS_ONE, 8),
    "powm1(-1e-5)": (formulas.powm1(x, sp.Rational(-1, 10**5)), FROM_MINUS_ONE, 8),
    "powm1(1e5)": (formulas.powm1(x, 10**5), (-1e-4, -1e-6, 1e-6, 1e-4), 16),
    "loglambert": (formulas.loglambert(x), ANY, 64),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_digit_of_value_and_slope(name: str, dtype: torch.dtype) -> None:
    formula, points, factor = EXACT[name]
    given = torch.tensor(points, dtype=dtype, requires_grad=True)
    value = compile_formula(formula, x)(given)
    (slope,) = torch.autograd.grad(value.sum(), given, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), given)
    exact = _lambert if name == "loglambert" else sp.lambdify(x, textbook(formula), "mpmath")
    with mpmath.workdps(200):
        at = [mpmath.mpf(v) for v in given.tolist()]
        truth = [[float(mpmath.diff(exact, v, n)) for v in at] for n in range(3)]
    eps = torch.finfo(dtype).eps
    tiny = torch.finfo(dtype).tiny
    for got, want in ((value, truth[0]), (slope, truth[1])):
        wanted = torch.tensor(want, dtype=torch.float64).to(dtype)
        torch.testing.assert_close(got.detach(), wanted, rtol=factor * eps, atol=tiny)
    # The slope's slope is right beside the slope, not to its own last digit.
    size = torch.tensor(truth[1], dtype=torch.float64).abs().to(dtype)
    gap = (bend - torch.tensor(truth[2], dtype=torch.float64).to(dtype)).abs()
    assert (gap <= factor * eps * (1 + size) * (1 + torch.tensor(truth[2]).abs().to(dtype))).all()


@pytest.mark.parametrize("name", [*EXACT, "Abs", "Max", "sigmoid"])
def test_the_vocabulary_under_every_transformation(name: str, dtype: torch.dtype) -> None:
    others = {"Abs": abs(x), "Max": sp.Max(x, -2), "sigmoid": formulas.sigmoid(x)}
    formula = others[name] if name in others else EXACT[name][0]
    points = torch.tensor([-0.7, -0.4, -1e-5], dtype=dtype)
    check_transforms(compile_formula(formula, x), points, compiled=dtype == torch.float32)


@pytest.mark.parametrize("a", [-3, -0.5, 1e-9, 0.2, 0.5, 0.7, 1 - 1e-9, 1 + 1e-6, 1.5, 4])
def test_the_gap_of_two_means(a: float) -> None:
    p, q = sp.symbols("p q", positive=True)
    weight = formulas.exact(a)
    function = compile_formula(formulas.mean_gap(p, q, weight), p, q)
    exact = sp.lambdify((p, q), textbook(formulas.mean_gap(p, q, weight)), "mpmath")
    pairs = [(0.3, 0.3000001), (0.3, 0.29), (0.5, 0.9), (0.5, 1.1), (1e-6, 0.2), (0.9, 1e-9)]
    given = torch.tensor(pairs, dtype=torch.float64).T.requires_grad_()
    value = function(*given)
    (slope,) = torch.autograd.grad(value.sum(), given)
    with mpmath.workdps(60):
        at = [tuple(map(mpmath.mpf, pair)) for pair in pairs]
        want = [float(exact(*pair)) for pair in at]
        by = [[float(mpmath.diff(exact, pair, n)) for pair in at] for n in ((1, 0), (0, 1))]
    torch.testing.assert_close(value.tolist(), want, rtol=1e-13, atol=0.0)
    torch.testing.assert_close(slope, torch.tensor(by, dtype=torch.float64), rtol=1e-8, atol=0.0)
    for n, symbol in enumerate((p, q)):  # SymPy's slopes are those of the textbook form
        expanded = textbook(sp.diff(formulas.mean_gap(p, q, weight), symbol))
        by_sympy = sp.lambdify((p, q), expanded, "mpmath")
        with mpmath.workdps(60):
            assert [float(by_sympy(*pair)) for pair in at] == pytest.approx(by[n], rel=1e-12)


def test_numbers_are_taken_exactly() -> None:
    assert formulas.exact(0.1) == sp.Rational(1, 10)
    assert formulas.exact(1 / 3) == sp.Rational(1, 3)
    assert formulas.exact(1 + 1e-12) == 1 + sp.Rational(1, 10**12)
    assert formulas.exact(x + 1) == x + 1
    assert not any(formulas.exact(v).is_real for v in ("a", None, True, math.inf, math.nan))


def test_constants_keep_the_precision_of_the_dtype() -> None:
    got = formulas.compile_formula(sp.log(2) + 0 * x, x)(torch.zeros(3, dtype=torch.float64))
    assert got.tolist() == [float(sp.log(2))] * 3


def test_missing_arguments_are_broadcast(dtype: torch.dtype) -> None:
    function = formulas.compile_formula(2 * y, x, y)
    assert function(torch.zeros(4, 1, dtype=dtype), torch.ones(3, dtype=dtype)).shape == (4, 3)


def test_a_free_symbol_is_named() -> None:
    with pytest.raises(ValueError, match="free symbols y"):
        formulas.compile_formula(x + y, x)


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(ValueError, match="zeta"):
        formulas.compile_formula(sp.zeta(x), x)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (sp.Piecewise((x, x > 0), (y, True)), [-5.0, -5.0, 2.0]),
        (sp.Piecewise((x, x >= 0), (y, True)), [-5.0, 0.0, 2.0]),
        (sp.Piecewise((1, sp.Eq(x, 2)), (y * x, x < 0), (7, True)), [5.0, 7.0, 1.0]),
        (sp.Piecewise((1, sp.Or(x < 0, x > 1)), (2, True)), [1.0, 2.0, 1.0]),
        (sp.Piecewise((1, sp.And(x > y, sp.Ne(x, 0))), (2, True)), [1.0, 2.0, 1.0]),
        (sp.Piecewise((1, sp.Not(sp.And(x > y, x < 1))), (2, True)), [2.0, 2.0, 1.0]),
        (1 - 2 * sp.Piecewise((x, x <= -1), (sp.Piecewise((y, x > 1), (3, True)), True)),
         [3.0, -5.0, 11.0]),
    ],
)  # fmt: skip
def test_a_piecewise_formula_takes_its_branches(
    formula: sp.Expr, expected: list[float], dtype: torch.dtype
) -> None:
    function = formulas.compile_formula(formula, x, y)
    got = function(torch.tensor([-1.0, 0.0, 2.0], dtype=dtype), torch.tensor(-5.0, dtype=dtype))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=dtype), rtol=0, atol=0)


def test_a_branch_not_taken_has_no_influence(dtype: torch.dtype) -> None:
    # The left branch is infinite, the right one not a number, where the other is taken.
    formula = sp.Piecewise((sp.log(-x) + y * x, x < 0), (sp.exp(-x) * sp.sqrt(x), True))
    function = formulas.compile_formula(formula, x, y)
    points = torch.tensor([-1e4, -1.0, 1.0, 1e4], dtype=dtype, requires_grad=True)
    scale = torch.tensor(3.0, dtype=dtype, requires_grad=True)
    slope, by_y = torch.autograd.grad(function(points, scale).sum(), (points, scale))
    right = 0.5 * math.exp(-1) - math.exp(-1)
    expected = torch.tensor([-1e-4 + 3, 2.0, right, 0.0], dtype=dtype)
    torch.testing.assert_close(slope, expected)
    assert by_y.item() == -10001.0
    # Under torch.func, twice.
    bend = torch.func.vmap(torch.func.grad(torch.func.grad(function)), (0, None))
    got = bend(points.detach(), scale.detach())
    expected = torch.tensor([-1e-8, -1.0, -0.25 * math.exp(-1), 0.0], dtype=dtype)
    torch.testing.assert_close(got, expected)


def test_a_case_without_a_branch_is_refused() -> None:
    with pytest.raises(ValueError, match="does not cover every case"):
        formulas.compile_formula(sp.Piecewise((x, x > 0), (y, x < 0)), x, y)
    with pytest.raises(ValueError, match="the condition"):
        formulas.compile_formula(
            sp.Piecewise((x, sp.Xor(x > 0, y > 0, evaluate=False)), (0, True)), x, y
        )


def test_a_choice_under_every_transformation(dtype: torch.dtype) -> None:
    formula = sp.Piecewise((sp.log(-x) + 3 * x, x < 0), (sp.exp(-x) * sp.sqrt(x), True))
    points = torch.tensor([-90.0, -1.0, 1.0, 90.0], dtype=dtype)
    check_transforms(compile_formula(formula, x), points)


def test_a_recorded_choice_is_the_same_choice(dtype: torch.dtype) -> None:
    formula = sp.Piecewise((sp.log(-x) + y * x, x < 0), (sp.exp(-x) * sp.sqrt(x), True))
    function = compile_formula(formula, x, y)

    def slopes(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.func.grad(lambda *both: function(*both).sum(), (0, 1))(x, y)

    given = torch.tensor([-1e4, -1.0, 1.0, 1e4], dtype=dtype), torch.tensor(3.0, dtype=dtype)
    for view in (function, slopes):
        torch.testing.assert_close(make_fx(view)(*given)(*given), view(*given), rtol=0, atol=0)


def test_overlapping_conditions_take_the_first() -> None:
    # Where both hold, the second branch, an infinite one at 0, is not computed there.
    formula = sp.Piecewise((x, x <= 0), (sp.log(x), x < 5), (1 / (x - 5) ** 2, True))
    points = torch.tensor([-1.0, 0.0, 2.0, 5.5], requires_grad=True)
    (slope,) = torch.autograd.grad(compile_formula(formula, x)(points).sum(), points)
    assert slope.tolist() == [1.0, 1.0, 0.5, -16.0]


def test_a_branch_without_a_harmless_point_is_refused() -> None:
    nowhere = sp.log(-(x**2) - 1)
    with pytest.raises(ValueError, match="no point was found"):
        compile_formula(sp.Piecewise((nowhere, x > 0), (x, True)), x)
