"""A class of two hundred, and every hidden test with the draws of three hundred submissions.

``SUBMISSIONS=20 python -m pytest -q tests/slow/test_grading.py`` grades fewer, ``DRAWS=30`` draws
for fewer.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "exercises"))
from a_class import hand_in, scores
from asking_here import Answers, graded, variants
from test_every_assignment import ALL

from tools import exercises
from tools.grader import course, marking

COUNT = int(os.environ.get("SUBMISSIONS", "200"))
DRAWS = int(os.environ.get("DRAWS", "300"))
ASKED = [pytest.param(a, q, id=f"{a.name}-{q.name}") for a in ALL for q in a.book.questions]


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "question"), ASKED)
def test_no_draw_is_at_fault_and_none_refuses_a_right_answer(
    answers: Answers, question: marking.Question
) -> None:
    """Of the book's variant and a private one in turns; what trains is asked elsewhere."""
    asked = [
        (a, answers.styles["plain"](a, question.name))
        for a in (answers.book, *variants(answers.name)[:1])
    ]
    due = sum(t.points for t in question.tests if t.name not in answers.long)
    odd = {}
    for number in range(DRAWS):
        assignment, cells = asked[number % 2]
        got = graded(cells, assignment, question.name, f"digest {number}", answers.long)
        if got.faults or got.lessons or got.points != due:
            odd[number] = (got.points, got.lessons, got.faults)
    assert odd == {}


@pytest.mark.slow
def test_a_class_gets_the_marks_that_are_due(tmp_path: Path) -> None:
    own = course.load("the-game", "book", exercises.SOURCES)
    (tmp_path / "in").mkdir()
    made = hand_in(tmp_path / "in", own, COUNT)
    began = time.monotonic()
    exercises.grade(tmp_path / "in", "the-game", tmp_path / "out", key="a secret", jobs=2)
    took = time.monotonic() - began
    print(f"{COUNT} submissions in {took:.0f} s")
    found = scores(tmp_path / "out")
    wrong = {
        label: (found.get(label), due)
        for label, due in made.due.items()
        if (found[label] is None) != (due is None) or abs((found[label] or 0) - (due or 0)) > 0.5
    }
    assert wrong == {}
