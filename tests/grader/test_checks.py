"""The public checks: what they say of a value, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sympy as sp
import torch

from tools.grader.checks import Grader

p = sp.symbols("p", positive=True)
TWO, PASS = [1.0, 2.0], "the public checks pass. Hidden tests decide the mark."
SAID = {
    "a tuple": (lambda: (torch.tensor(1.0), 2), TWO, PASS),
    "a list": (lambda: [1, 2.0], TWO, PASS),
    "a tensor": (lambda: torch.tensor(TWO), TWO, PASS),
    "too many": (lambda: [1, 2, 3], TWO, "f gives 3 numbers; it must be 2 numbers."),
    "a text": (lambda: "1, 2", TWO, "f is of type str; it must be 2 numbers."),
    "a shape": (lambda: torch.ones(2), [1.0], "f has shape (2,); it must be one number."),
    "dots": (..., [1.0], "f is empty or not defined: replace the dots, and run the cell."),
    "None": (lambda: None, [1.0], "f returns nothing: replace the dots, and end the function with"),
    "a slip": (lambda: 3.0, [1.0], "f of the case: thrice."),
    "numbers": (lambda: [1, 3], TWO, "f of the case: you get 1, 3, due is 1, 2."),
    "complex": (sp.log(-p), [1.0], "f of the case is not real: the logarithm or a root of a neg"),
    "1/0": (1 / (p - 2), [1.0], "f of the case is not finite: the log of zero, 1/0 or 0/0"),
    "infinity": (sp.zoo * p, [1.0], "f of the case is not finite: the log of zero, 1/0 or"),
    "solved": ([p / 2], [1.0], PASS),
}


def said(value: Any, right: list[float], name: str, printed: pytest.CaptureFixture[str]) -> str:
    at = None if callable(value) else {"p": 2.0}
    case = {"name": name, "right": right, "what": f"{name} of the case", "rel": 1e-5}
    case |= {"slips": [([3.0], "thrice.")], "args": [], "at": at}
    Grader({} if value is None else {name: value}, json.dumps({"q1": [case]})).check("q1")
    return printed.readouterr().out


@pytest.mark.parametrize("kind", SAID)
def test_what_a_check_says(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, right, due = SAID[kind]
    assert said(value, right, "f", capsys).startswith(f"q1: {due}")


def test_a_helper_that_was_not_run_is_not_for_the_student_to_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(None, [1.0], "try_it", capsys)
    assert text.startswith("q1: try_it is not there: run the cell of the notebook that defines it.")
