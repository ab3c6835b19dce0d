"""`make grade` on twenty mixed submissions: marks, tables, what a second run leaves alone."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from a_class import GAME, NAME, PLAIN, cells, hand_in, notebook

from tools import exercises
from tools.grader import gradebook


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory):
    where = tmp_path_factory.mktemp("class")
    deserved = hand_in(where / "in", 20)
    out = where / "grades"
    entries = exercises.grade(where / "in", NAME, out, key="secret", jobs=2, trust=True, show=False)
    return where, out, deserved, entries


def test_each_gets_what_it_deserves(graded) -> None:
    _, _, deserved, entries = graded
    assert len(entries) == len(deserved)
    for entry in entries:
        assert entry.record is not None
        due = deserved[entry.record.label]
        if due is None:
            assert entry.record.status == "not graded", entry.record
            assert entry.record.note
            continue
        assert entry.record.status == "graded", entry.record.note
        points = sum(q["points"] for q in entry.record.result["questions"].values())
        assert due[0] - 1e-9 <= points <= due[1] + 1e-9, (entry.record.label, points, due)
        assert not entry.record.result["faults"]


def test_the_tables_hold_all_and_no_formula(graded) -> None:
    _, out, deserved, _ = graded
    table = rows(out / "gradebook.csv")
    assert len(table) == len(deserved)
    assert len(list((out / "feedback").glob("*.html"))) == len(deserved)
    for path in out.glob("*.csv"):
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file):
                assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in row), (path, row)


def test_a_second_run_adds_and_keeps_what_a_reader_wrote(graded) -> None:
    where, out, deserved, _ = graded
    hand = out / gradebook.HAND
    table = rows(hand)
    assert table
    table[0]["points"], table[0]["comment"] = "1", "well argued"
    with hand.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    late = where / "late"
    late.mkdir()
    (late / "newcomer.ipynb").write_text(notebook(cells(GAME.k, PLAIN)))
    exercises.grade(late, NAME, out, key="secret", trust=True, show=False)
    assert len(rows(out / "gradebook.csv")) == len(deserved) + 1
    again = rows(hand)
    assert again[0]["points"] == "1"
    assert again[0]["comment"] == "well argued"
