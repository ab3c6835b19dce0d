"""What only `images-and-labels` must pass; the rest is in test_every_assignment.py."""

from __future__ import annotations

import math
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import solution, source
from images_answers import ANSWERS, start

from tools.grader import editions

BOOK = ANSWERS.book
STUDENT = editions.notebook_edition(BOOK, source(BOOK), solutions=False)


def test_the_notebook_checks_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [c for c in STUDENT.cells if c.cell_type == "code"]
    checks = next(c.source for c in shown if "checks" in editions.tags(c))
    names: dict[str, object] = {}
    for cell in [
        *start(BOOK),
        *(solution(BOOK, q.name, figures=False) for q in BOOK.questions),
        checks,
    ]:
        exec(cell, names)
    for question in BOOK.questions:
        if question.cases:
            names["grader"].check(question.name)  # type: ignore[attr-defined]
            assert "the public checks pass" in capsys.readouterr().out, question.name


def test_the_sides_are_torchs() -> None:
    module, k = BOOK.module, BOOK.k
    kernel = dict(kernel_size=k.kernel, dilation=k.dilation, device="meta")
    for n, s, p in product((30, 41, 64), (2, 3, 4), (1, 2, 3)):
        made = nn.Conv2d(1, 1, stride=s, padding=p, **kernel)(
            torch.empty(1, 1, n, n, device="meta")
        )
        assert [float(made.shape[-1])] == module.CONV.right(k, (n, s, p))
        for e in range(s):
            paint = nn.ConvTranspose2d(1, 1, stride=s, padding=p, output_padding=e, **kernel)
            side = paint(torch.empty(1, 1, n, n, device="meta")).shape[-1]
            assert [float(side)] == module.PAINTED.right(k, (n, s, p, e))


def test_the_cost_of_pairs_is_the_games() -> None:
    """Summed over a joint law: real pairs on the diagonal, a fake matches with the share r."""
    k, a = BOOK.k, 0.3
    K = k.classes
    real = torch.eye(K, dtype=torch.float64) / K
    fake = (a * torch.eye(K, dtype=torch.float64) + (1 - a) / K) / K
    D = real / (real + fake)
    cost = -(torch.xlogy(real, D) + torch.xlogy(fake, 1 - D)).sum()
    assert abs(float(cost) - BOOK.module.pays(BOOK.module.right_share(k, a))) < 1e-9
    assert abs(BOOK.module.pays(1.0) - 2 * math.log(2)) < 1e-12


def test_the_judge_reads_real_digits() -> None:
    images, labels, known, names = BOOK.module.digits(8)
    right = BOOK.module.read_by(known, names, images) == labels
    assert right.double().mean() > 0.98
