"""A class hands in: every submission gets its own marks, however many there are.

``SUBMISSIONS=10 python -m pytest -q tests/slow/test_grading.py`` grades fewer than 200.
"""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import nbformat
import pytest
from answers import (
    ASSORTED,
    FULL,
    HALF_MISSING,
    LOG_OF_ZERO,
    PATCHED,
    RIGHT,
    SIGN_LOST,
    SWAPPED,
    WRONG,
    fill,
)

from tools import exercises

NAME = "the-game"
COUNT = int(os.environ.get("SUBMISSIONS", "200"))
KINDS = {
    "right": RIGHT,
    "sign_lost": SIGN_LOST,
    "half_missing": HALF_MISSING,
    "swapped": SWAPPED,
    "log_of_zero": LOG_OF_ZERO,
    "assorted": ASSORTED,
    "patched": PATCHED,
    "blank": {},
}


def expected(kind: str) -> float:
    """The marks of one kind of submission."""
    if kind in ("patched", "blank"):
        return 0.0
    return FULL - sum({q: points for name, q, points, _ in WRONG if name == kind}.values())


def test_a_class_is_graded_and_each_gets_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exercises.build(NAME, exercises.SOURCES, tmp_path / "build")
    student = tmp_path / "build" / NAME / "student" / f"{NAME}.ipynb"
    folder = tmp_path / "handed-in"
    folder.mkdir()
    marks = {}
    for number in range(COUNT):
        kind = list(KINDS)[number % len(KINDS)]
        label = f"{number:03d}-{kind}.ipynb"
        nbformat.write(fill(student, KINDS[kind]), folder / label)
        marks[label] = expected(kind)
    started, jobs = time.perf_counter(), os.cpu_count() or 1
    out = tmp_path / "grades"
    exercises.grade(folder, NAME, out, target=tmp_path / "build", jobs=min(jobs, 16))
    seconds = time.perf_counter() - started
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    got = {label: float(row["score"]) for label, row in rows.items()}
    assert got == marks
    # What replaces the interpreter's own functions may end its own run, and nobody else's.
    ended = {label for label, row in rows.items() if row["status"] != "graded"}
    assert ended <= {label for label in marks if "patched" in label}
    assert len(list((out / "feedback").glob("*.md"))) == COUNT
    with capsys.disabled():
        print(
            f"\n{COUNT} submissions in {seconds:.0f} s, {seconds / COUNT:.1f} s each, {jobs} jobs"
        )
