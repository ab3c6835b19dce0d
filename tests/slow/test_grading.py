"""A class hands in: every submission gets its own marks, however many there are.

``SUBMISSIONS=20 python -m pytest -q tests/slow/test_grading.py`` grades fewer than 200.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from a_class import NAME, hand_in

from tools import exercises

COUNT = int(os.environ.get("SUBMISSIONS", "200"))


def test_a_class_is_graded_and_each_gets_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deserved = hand_in(tmp_path / "in", COUNT, seed=1)
    began, jobs = time.monotonic(), min(os.cpu_count() or 1, 16)
    entries = exercises.grade(
        tmp_path / "in", NAME, tmp_path / "out", key="secret", jobs=jobs, trust=True
    )
    seconds = time.monotonic() - began
    for entry in entries:
        assert entry.record is not None
        due = deserved[entry.record.label]
        if due is None:
            assert entry.record.status == "not graded"
            continue
        assert entry.record.status == "graded", entry.record.note
        points = sum(q["points"] for q in entry.record.result["questions"].values())
        assert due[0] - 1e-9 <= points <= due[1] + 1e-9, (entry.record.label, points, due)
    assert len(entries) == COUNT
    with capsys.disabled():
        print(f"\n{COUNT} submissions in {seconds:.0f} s, {jobs} jobs")
