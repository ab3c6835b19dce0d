"""SymPy expressions become torch functions with the same values and the same slopes."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy as sp
import torch

from ganlib import formulas

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


def test_positive_part_has_slope_zero_at_zero(dtype: torch.dtype) -> None:
    point = torch.tensor([-1.0, 0.0, 2.0], dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(
        formulas.compile_formula(formulas.positive_part(x - 1), x)(point).sum(), point
    )
    assert slope.tolist() == [0.0, 0.0, 1.0]


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
