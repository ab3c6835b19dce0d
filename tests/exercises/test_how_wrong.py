"""The assignment `how-wrong`: its tests against right and wrong answers, its editions for leaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from game_answers import Mistake
from how_wrong_answers import HEAD, MISTAKES, OWN, own
from test_the_game import only

from tools import exercises
from tools.grader import editions, marking
from tools.grader.local import InProcess
from tools.grader.marking import Assignment, Result

NAME = "how-wrong"
BOOK = marking.load(NAME)
SPRING = marking.load(NAME, "spring")
HIDDEN = (exercises.SOURCES / NAME / "questions.py").read_text(encoding="utf-8")


def source(assignment: Assignment) -> editions.NotebookNode:
    return editions.read(exercises.SOURCES / NAME / "source.md", assignment.k)


def solution(assignment: Assignment, question: str) -> str:
    """The instructor's answer cells of a question."""
    return "\n".join(
        editions.solved(cell.source)
        for name, cell in editions.by_question(source(assignment))
        if name == question and cell.cell_type == "code" and "answer" in editions.tags(cell)
    )


def graded(assignment: Assignment, question: str, cells: list[str], digest: str = "x") -> Result:
    head = HEAD + "from torch import Tensor\n"
    return marking.ask(InProcess([head, *cells]), only(assignment, question), "secret", digest)[question]


def needed(assignment: Assignment, question: str) -> list[str]:
    """The right answers to the question and those it may call."""
    earlier = {"q3": ["q4", "q3"], "q4": ["q3", "q4"]}.get(question, [question])
    return [solution(assignment, name) for name in earlier]


@pytest.mark.parametrize("question", [q.name for q in BOOK.questions])
@pytest.mark.parametrize("assignment", [BOOK, SPRING], ids=["book", "spring"])
def test_right_answers_score_full(assignment: Assignment, question: str) -> None:
    points = {q.name: q.points for q in assignment.questions}[question]
    styles = [needed(assignment, question)]
    if question in OWN:
        styles.append([own(assignment.k, OWN[question])])
    for cells in styles:
        result = graded(assignment, question, cells)
        assert (result.points, result.lessons, result.faults) == (points, [], [])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.question}-{m.name}")
def test_a_wrong_answer_gets_what_it_deserves_and_learns_why(mistake: Mistake) -> None:
    cells = [*needed(BOOK, mistake.question), own(BOOK.k, mistake.code)]
    result = graded(BOOK, mistake.question, cells)
    said = " / ".join(result.lessons)
    assert result.faults == []
    assert abs(result.points - mistake.deserved) <= 0.5, said
    assert mistake.words in said


def test_every_question_has_six_mistakes_and_none_scores_full() -> None:
    for question in BOOK.questions:
        mine = [m for m in MISTAKES if m.question == question.name]
        assert len(mine) >= 6
        assert all(m.deserved < question.points for m in mine)


def test_editions_are_complete_and_leak_nothing(tmp_path: Path) -> None:
    made = source(BOOK)
    parts = editions.parts(made)
    by_hand = sum(p.by_hand for p in parts)
    assert 0.2 <= by_hand / (by_hand + BOOK.points) <= 0.3
    assert all(p.minutes for p in parts)
    assert all(p.rubric and p.solution for p in parts if p.by_hand)
    assert all(q.cases for q in BOOK.questions if q.name != "q6")
    exercises.build(NAME, target=tmp_path / "built", grades=tmp_path / "grades")  # it stops at a leak
    assert len(editions.secrets(made, HIDDEN)) > 200
