"""Asks one question of an assignment in this process: for the tests of every assignment."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from tools import exercises
from tools.grader import editions, marking
from tools.grader.local import InProcess
from tools.grader.marking import Assignment, Result
from tools.grader.questions import Constants


@dataclass(frozen=True)
class Mistake:
    """A wrong answer to one question: what it deserves, and words of its lesson."""

    question: str
    name: str
    code: str
    deserved: float
    words: str


@dataclass(frozen=True)
class Answers:
    """What the common tests ask of an assignment.

    Parameters
    ----------
    name
        The folder under ``exercises``.
    styles
        Right answers, a style each: (assignment, question) to the notebook's cells.
    wrong
        The cells of a mistake.
    start
        What the starters of an empty notebook need before them.
    mistakes
        The wrong answers, at least six a question.
    accepted
        Those of ``mistakes`` that are right in the end: (question, name).
    own_words
        The questions whose empty starter gets another lesson than to replace the dots.
    long
        Hidden tests that train. They run for the first style, and for ``trained`` mistakes.
    trained
        The mistakes that only such a test can see, or that stop before it trains.
    """

    name: str
    styles: dict[str, Callable[[Assignment, str], list[str]]]
    wrong: Callable[[Assignment, Mistake], list[str]]
    start: Callable[[Constants], list[str]]
    mistakes: Sequence[Mistake]
    accepted: frozenset[tuple[str, str]] = frozenset()
    own_words: frozenset[str] = frozenset()
    long: frozenset[str] = frozenset()
    trained: frozenset[str] = frozenset()
    book: Assignment = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "book", marking.load(self.name))


def then(question: str, name: str, deserved: float, words: str, code: str) -> Mistake:
    """A mistake, its code last: it comes after the right answer and replaces some of it."""
    return Mistake(question, name, code, deserved, words)


def edited(
    right: Mapping[str, str],
    question: str,
    name: str,
    deserved: float,
    words: str,
    *changes: tuple[str, str],
) -> Mistake:
    """A mistake that is the right answer with changes (old, new)."""
    code = right[question]
    for old, new in changes:
        assert old in code, (name, old)
        code = code.replace(old, new)
    return Mistake(question, name, code, deserved, words)


def filled(code: str, values: Mapping[str, object]) -> str:
    """``code`` with its value for each constant's name in capitals, attributes apart."""

    def text(value: object) -> str:
        return f"({value})" if isinstance(value, int | float) and value < 0 else str(value)

    names = rf"(?<!\.)\b({'|'.join(values)})\b"
    return re.sub(names, lambda found: text(values[found[1]]), code)


def in_capitals(k: Constants) -> dict[str, object]:
    """The constants by their names in capitals."""
    return {name.upper(): value for name, value in vars(k).items()}


def after_the_head(
    name: str,
    head: str,
    own: Mapping[str, str],
    fill: Callable[[Assignment, str], str],
    mistakes: Sequence[Mistake],
) -> Answers:
    """Answers of which each needs one cell before it: the instructor's, and those of ``own``.

    ``fill`` puts the variant's constants into a code.
    """

    def plain(assignment: Assignment, question: str) -> list[str]:
        return [head, solution(assignment, question, figures=False)]

    def second(assignment: Assignment, question: str) -> list[str]:
        return [head, fill(assignment, own[question])]

    def wrong(assignment: Assignment, mistake: Mistake) -> list[str]:
        return [*plain(assignment, mistake.question), fill(assignment, mistake.code)]

    return Answers(name, {"plain": plain, "own": second}, wrong, lambda k: [head], mistakes)


def only(assignment: Assignment, question: str, without: Collection[str] = ()) -> Assignment:
    """The same assignment with one question, and of its hidden tests not those of ``without``."""
    mine = [
        replace(q, tests=[t for t in q.tests if t.name not in without])
        for q in assignment.questions
        if q.name == question
    ]
    return replace(assignment, module=SimpleNamespace(QUESTIONS=mine))  # type: ignore[arg-type]


def graded(
    cells: Sequence[str],
    assignment: Assignment,
    question: str,
    digest: str = "x",
    without: Collection[str] = (),
) -> Result:
    """What a notebook of ``cells`` gets for one question."""
    asked = only(assignment, question, without)
    return marking.ask(InProcess(cells), asked, "secret", digest)[question]


def variants(name: str) -> list[Assignment]:
    """Two private variants that share nothing that decides."""
    first = marking.load(name, "spring")
    found = (marking.load(name, f"autumn{n}") for n in range(200))
    return [first, next(v for v in found if not v.module.similar(v.k, first.k))]


def source(assignment: Assignment) -> editions.NotebookNode:
    """The source of an assignment with the constants of its variant."""
    return editions.read(exercises.SOURCES / assignment.name / "source.md", assignment.k)


_SOLUTIONS: dict[str, list[tuple[str, str]]] = {}


def solution(assignment: Assignment, question: str, figures: bool = True) -> str:
    """The instructor's answer cells of a question; without ``figures`` not those that draw.

    The source of a variant is read once.
    """
    variant = f"{assignment.name} {assignment.k}"
    if variant not in _SOLUTIONS:
        _SOLUTIONS[variant] = [
            (name, editions.solved(cell.source))
            for name, cell in editions.by_question(source(assignment))
            if cell.cell_type == "code" and "answer" in editions.tags(cell)
        ]
    return "\n".join(
        code
        for name, code in _SOLUTIONS[variant]
        if name == question and (figures or "plt." not in code)
    )


def hidden(name: str) -> str:
    """The program of the hidden tests."""
    return (exercises.SOURCES / name / "questions.py").read_text(encoding="utf-8")
