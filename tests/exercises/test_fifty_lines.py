"""The assignment `fifty-lines`: its tests against right and wrong answers, its editions for leaks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import graded
from fifty_answers import HEAD, MISTAKES, OWN, PLAIN, cells
from game_answers import Mistake

from ganlib import distances
from tools import exercises
from tools.grader import editions, marking
from tools.grader.local import InProcess
from tools.grader.marking import Assignment

NAME = "fifty-lines"
BOOK = marking.load(NAME)
SOURCE = editions.read(exercises.SOURCES / NAME / "source.md", BOOK.k)
STUDENT = editions.notebook_edition(BOOK, SOURCE, solutions=False)
HIDDEN = (exercises.SOURCES / NAME / "questions.py").read_text(encoding="utf-8")


def variants() -> list[Assignment]:
    """Two private variants that share nothing that decides."""
    first = marking.load(NAME, "spring")
    found = (marking.load(NAME, f"autumn{n}") for n in range(100))
    return [first, next(v for v in found if not v.module.similar(v.k, first.k))]


@pytest.mark.parametrize("question", list(PLAIN))
@pytest.mark.parametrize("style", [PLAIN, OWN], ids=["plain", "own"])
@pytest.mark.parametrize("variant", variants(), ids=["spring", "autumn"])
def test_right_answers_score_full(question: str, style: dict[str, str], variant: Assignment) -> None:
    points = {q.name: q.points for q in variant.questions}
    result = graded(cells, style, question, variant)
    assert (result.points, result.lessons, result.faults) == (points[question], [], [])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.question}-{m.name}")
def test_a_wrong_answer_gets_what_it_deserves_and_learns_why(
    mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = BOOK.module.q4.tests[-1]
    trains = mistake.question == "q4" and mistake.name not in ("far too slow", "no curve")
    if trains:  # what it learns is not the point: those points are as good as given
        monkeypatch.setattr(BOOK.module.q4, "tests", BOOK.module.q4.tests[:-1])
    result = graded(cells, {**PLAIN, mistake.question: mistake.code}, mistake.question, BOOK)
    result.points += slow.points if trains else 0
    said = " / ".join(result.lessons)
    assert abs(result.points - mistake.deserved) <= 0.5, (result.points, said)
    assert result.faults == []
    assert mistake.words in said
    assert not re.search(r"judge\(|lambda|slips|line \d+ of questions", said)


def test_every_question_has_six_mistakes_and_none_scores_full() -> None:
    points = {q.name: q.points for q in BOOK.questions}
    for question in PLAIN:
        mine = [m for m in MISTAKES if m.question == question]
        assert len(mine) >= 6
        assert all(m.deserved < points[question] for m in mine)


def test_an_empty_notebook_scores_nothing_and_reads_what_to_do() -> None:
    code = [c.source for c in STUDENT.cells if c.cell_type == "code" and "answer" in editions.tags(c)]
    results = marking.ask(InProcess([HEAD, *code]), BOOK, "s", "x")
    for question in BOOK.questions:
        if question.name not in ("q2", "q3"):
            assert "replace the dots" in " ".join(results[question.name].lessons)
        assert results[question.name].points == 0


def test_another_variants_answers_get_little() -> None:
    one, other = variants()
    copied = sum(
        graded(lambda _, answers: cells(other.k, answers), PLAIN, q.name, one).points
        for q in one.questions
    )
    assert copied <= 0.3 * one.points


def test_no_solution_rubric_or_hidden_test_reaches_a_student(tmp_path: Path) -> None:
    hidden = editions.secrets(SOURCE, HIDDEN)
    nbformat.write(STUDENT, tmp_path / "student.ipynb")
    nbformat.write(editions.notebook_edition(BOOK, SOURCE, True), tmp_path / "instructor.ipynb")
    (tmp_path / "page.md").write_text(editions.page_edition(BOOK, SOURCE))
    assert editions.find_leaks(hidden, [tmp_path / "student.ipynb", tmp_path / "page.md"]) == []
    assert len(editions.find_leaks(hidden, [tmp_path / "instructor.ipynb"])) > 20


def test_the_notebook_checks_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [c for c in STUDENT.cells if c.cell_type == "code"]
    checks = next(c.source for c in shown if "checks" in editions.tags(c))
    start = [c.source for c in shown if not editions.tags(c) and "Half" in c.source]
    names: dict[str, object] = {}
    for cell in [*cells(BOOK.k, PLAIN), "def draw_data(n, seed):\n    return torch.randn(n, 2)", *start, checks]:
        exec(cell, names)
    for question in ("q1", "q2", "q3", "q4", "q6"):
        names["grader"].check(question)  # type: ignore[attr-defined]
        assert "the public checks pass" in capsys.readouterr().out


def test_the_editions_are_complete() -> None:
    parts = editions.parts(SOURCE)
    assert [p.name for p in parts] == [f"q{n}" for n in range(1, 9)]
    by_hand = sum(p.by_hand for p in parts)
    assert 0.2 <= by_hand / (by_hand + BOOK.points) <= 0.3
    assert all(p.minutes for p in parts)
    assert all(p.rubric and p.solution for p in parts if p.by_hand)
    assert "{{" not in json.dumps(editions.page_edition(BOOK, SOURCE)).replace("{{dropdown", "")


def test_the_ruler_is_the_librarys_at_exponent_one() -> None:
    x, y = torch.randn(6, 2), torch.randn(5, 2) + 1
    one = BOOK.module.energy(BOOK.module.with_power(BOOK.k, 1), x, y)
    torch.testing.assert_close(one, distances.energy(x, y).to(one.dtype))
