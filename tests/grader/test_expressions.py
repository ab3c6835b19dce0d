"""Formulas that came as data: their values, and what is refused."""

from __future__ import annotations

import pytest
import sympy as sp

from tools.grader.asking import Wrong
from tools.grader.expressions import evaluate
from tools.grader.wire import tree_of

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
