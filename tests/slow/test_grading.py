"""A class of two hundred, a fifth of them hostile, careless or damaged, on two jobs.

``SUBMISSIONS=20 python -m pytest -q tests/slow/test_grading.py`` grades fewer.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "exercises"))
from a_class import hand_in, scores

from tools import exercises
from tools.grader import course

COUNT = int(os.environ.get("SUBMISSIONS", "200"))


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
