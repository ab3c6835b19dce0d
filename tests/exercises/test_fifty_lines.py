"""What only `fifty-lines` must pass; the rest is in test_every_assignment.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import source
from fifty_answers import ANSWERS, PLAIN, cells

from ganlib import distances
from tools.grader import editions
from tools.grader.questions import varied

BOOK = ANSWERS.book
STUDENT = editions.notebook_edition(BOOK, source(BOOK), solutions=False)


def test_the_notebook_checks_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [c for c in STUDENT.cells if c.cell_type == "code"]
    checks = next(c.source for c in shown if "checks" in editions.tags(c))
    start = [c.source for c in shown if not editions.tags(c) and "Half" in c.source]
    names: dict[str, object] = {}
    data = "def draw_data(n, seed):\n    return torch.randn(n, 2)"
    for cell in [*cells(BOOK.k, PLAIN), data, *start, checks]:
        exec(cell, names)
    for question in ("q1", "q2", "q3", "q4", "q6"):
        names["grader"].check(question)  # type: ignore[attr-defined]
        assert "the public checks pass" in capsys.readouterr().out


def test_the_ruler_is_the_librarys_at_exponent_one() -> None:
    x, y = torch.randn(6, 2), torch.randn(5, 2) + 1
    one = BOOK.module.energy(varied(BOOK.k, power=1), x, y)
    torch.testing.assert_close(one, distances.energy(x, y).to(one.dtype))
