"""Random compositions compute, compiled, what they compute in eager torch: see tools.fuzz."""

from __future__ import annotations

import re

import pytest
from torch import Tensor

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

from tools import fuzz

#: Seeds of inputs: 0 is ordinary, the others draw from extreme values.
INPUTS = range(5)


def test_random_compositions_are_torchs() -> None:
    assert fuzz.mismatches(list(fuzz.compositions(200, seed=1)), INPUTS) == []


def test_each_operation_alone_is_torchs() -> None:
    # One kind of number each; `make fuzz` takes all.
    seen: dict[int, fuzz.Composition] = {}
    for composition in fuzz.alone():
        seen.setdefault(id(composition.steps[0][0]), composition)
    assert len(seen) == len(fuzz.EXACT) + len(fuzz.ROUNDED)
    assert fuzz.mismatches(list(seen.values()), INPUTS) == []


def test_a_difference_is_told_with_the_composition() -> None:
    calls = iter(range(99))

    def fickle(k: Tensor) -> Tensor:  # recorded as one function, later another
        return k + 1 if next(calls) < 1 else k + 2

    wrong = fuzz.Composition(((fuzz.Operation("fickle({})", "k", fickle), (5,)),))
    (said,) = fuzz.mismatches([wrong], [0])
    assert "t0 = fickle(n)" in said
    assert re.search(r"(-?\d+), torch (-?\d+)", said)
