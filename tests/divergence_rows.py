"""The rows of the f-GAN table, and members of its families, that every law is tested for."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from ganlib.divergences import NAMES, FDivergence, divergence

ROWS: dict[str, FDivergence] = {
    n: divergence(n) for n in NAMES if n not in ("alpha", "weighted_jensen_shannon")
}
ROWS |= {
    f"weighted_jensen_shannon({pi})": divergence("weighted_jensen_shannon", pi=pi)
    for pi in (0.3, 0.5, 0.8)
}
ROWS |= {
    f"alpha({a})": divergence("alpha", alpha=a)
    for a in (-1, -0.5, Fraction(1, 3), 0.5, 0.9, 1.5, 2, 3)
}
_a = sp.Symbol("a", positive=True)
FAMILIES = {
    "alpha < 0": divergence("alpha", alpha=-_a),
    "0 < alpha < 1": divergence("alpha", alpha=1 / (1 + _a)),
    "alpha > 1": divergence("alpha", alpha=1 + _a),
    "0 < pi < 1": divergence("weighted_jensen_shannon", pi=1 / (1 + _a)),
}
EVERY = ROWS | FAMILIES

every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
every_formula = pytest.mark.parametrize("row", EVERY.values(), ids=EVERY.keys())
