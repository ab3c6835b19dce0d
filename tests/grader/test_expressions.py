"""Formulas that came as data: their values, and what is refused."""

from __future__ import annotations

import pytest
import sympy as sp

from tools.grader.asking import Wrong
from tools.grader.expressions import evaluate
from tools.grader.wire import Reader, encode, tree_of

x, y = sp.symbols("x y", real=True)
BRANCHES = sp.Piecewise((sp.log(x), (x > 2) & (x <= 3)), (7, (x > 3) | (x < -1)), (0, True))


@pytest.mark.parametrize(("at", "due"), [(2.5, sp.log(2.5)), (3.5, 7), (-2, 7), (2, 0), (0, 0)])
def test_a_piecewise_formula_has_the_value_of_its_branch(at: float, due: float) -> None:
    assert evaluate(tree_of(BRANCHES + y), {"x": at, "y": 1.0}) == pytest.approx(float(due) + 1)


REFUSED = {
    "no branch": sp.Piecewise((1, x > 2)),
    "a condition of complex numbers": sp.Piecewise((1, sp.log(x) > 2), (0, True)),
    "a condition that is no relation": sp.Piecewise((1, sp.Contains(x, sp.Integers)), (0, True)),
    "a branch without end": sp.Piecewise((1 / (x + 1), x < 0), (0, True)),
    "a relation alone": x < 3,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_value_is_no_fault_of_the_test(kind: str) -> None:
    with pytest.raises(Wrong, match=r"has no value|is not understood"):
        evaluate(tree_of(REFUSED[kind]), {"x": -1.0})


CLOTHES = {
    "an unevaluated derivative": sp.Derivative(x**2, x),
    "a polynomial": sp.Poly(2 * x, x),
    "an unevaluated sum": sp.Sum(x, (y, 1, 2)),
    "the error function": 2 * x + sp.erf(x) + sp.erfc(x) - 1,
    "a step": 2 * x * sp.Heaviside(x),
}


@pytest.mark.parametrize("kind", CLOTHES)
def test_a_right_formula_in_other_clothes_has_its_value(kind: str) -> None:
    raw = bytearray()
    tree = Reader(bytes(raw)).value(encode(CLOTHES[kind], raw)).tree
    assert evaluate(tree, {"x": 1.5}) == pytest.approx(3)


def test_a_tuple_of_sympys_is_a_tuple() -> None:
    raw = bytearray()
    value = Reader(bytes(raw)).value(encode(sp.Tuple(x, 2), raw))
    assert isinstance(value, tuple)
    assert [part.tree[0] for part in value] == ["Symbol", "Integer"]
