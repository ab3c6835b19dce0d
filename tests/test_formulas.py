"""SymPy expressions become torch functions with the same values and the same slopes."""

from __future__ import annotations

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
    with pytest.raises(ValueError, match="Piecewise"):
        formulas.compile_formula(sp.Piecewise((x, x > 0), (0, True)), x)
