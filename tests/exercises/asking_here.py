"""Asks one question of an assignment in this process: for the tests of every assignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from tools.grader import marking
from tools.grader.local import InProcess
from tools.grader.marking import Assignment, Result


def only(assignment: Assignment, question: str) -> Assignment:
    """The same assignment with one question."""
    mine = [q for q in assignment.questions if q.name == question]
    return replace(assignment, module=SimpleNamespace(QUESTIONS=mine))  # type: ignore[arg-type]


def graded(
    cells: Callable[..., list[str]],
    answers: dict[str, str],
    question: str,
    assignment: Assignment,
    digest: str = "x",
) -> Result:
    """What ``answers`` get for one question; ``cells(k, answers)`` makes the notebook."""
    student = InProcess(cells(assignment.k, answers))
    return marking.ask(student, only(assignment, question), "secret", digest)[question]
