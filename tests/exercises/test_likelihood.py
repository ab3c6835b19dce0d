"""What only `likelihood-and-estimators` must pass; the rest is in test_every_assignment.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.distributions import Laplace, Normal, kl_divergence

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import solution, source
from likelihood_answers import ANSWERS, HEAD, own

from tools.grader import editions

BOOK = ANSWERS.book
STUDENT = editions.notebook_edition(BOOK, source(BOOK), solutions=False)


def test_the_notebook_checks_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [c for c in STUDENT.cells if c.cell_type == "code"]
    checks = next(c.source for c in shown if "checks" in editions.tags(c))
    start = [c.source for c in shown if not editions.tags(c) and "def shown" in c.source]
    names: dict[str, object] = {}
    right = [solution(BOOK, q.name, figures=False) for q in BOOK.questions]
    for cell in [own(BOOK.k, HEAD), *right, *start, checks]:
        exec(cell, names)
    for question in BOOK.questions:
        if question.cases:
            names["grader"].check(question.name)  # type: ignore[attr-defined]
            assert "the public checks pass" in capsys.readouterr().out, question.name


def test_both_terms_are_those_of_torchs_laws() -> None:
    module, k = BOOK.module, BOOK.k
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    prior = Normal(torch.zeros_like(a), torch.tensor(k.prior, dtype=torch.float64).sqrt())
    torch.testing.assert_close(
        module.kl(k, a, b), kl_divergence(Normal(a, (b / 2).exp()), prior).sum(1)
    )
    torch.testing.assert_close(module.fit(k, a, b), Laplace(b, k.scale).log_prob(a).sum(1))


def test_the_flow_has_the_mass_one() -> None:
    x = torch.linspace(-500, 500, 2_000_001, dtype=torch.float64)
    mass = torch.trapezoid(BOOK.module.DENSITY.right(BOOK.k, x, 0.25, 0.75).exp(), x)
    assert abs(float(mass) - 1) < 1e-4


def test_the_order_is_a_law() -> None:
    a, b = 0.3, 0.5
    shares = {1: a, 2: b, 3: 1 - a - b}
    pairs = [(i, j) for i in shares for j in shares if i != j]
    total = sum(BOOK.module.in_order(BOOK.k, shares[i], shares[j]) for i, j in pairs)
    assert abs(total - 1) < 1e-12
