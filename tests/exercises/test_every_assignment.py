"""What every assignment must pass: right, wrong and empty notebooks, variants, editions, leaks."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, Mistake, graded, hidden, source, variants

from tools import exercises
from tools.grader import editions, marking
from tools.grader.local import InProcess

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*_answers.py"))
ALL = [importlib.import_module(name).ANSWERS for name in MODULES]
every = pytest.mark.parametrize("answers", ALL, ids=lambda a: a.name)
RIGHT = [
    pytest.param(a, style, q, id=f"{a.name}-{style}-{q.name}")
    for a in ALL
    for style in a.styles
    for q in a.book.questions
]
WRONG = [pytest.param(a, m, id=f"{a.name}-{m.question}-{m.name}") for a in ALL for m in a.mistakes]


def open_files(answers: Answers, folder: Path) -> list[Path]:
    """The student's notebook and the book's page, written under ``folder``."""
    made = source(answers.book)
    student = editions.notebook_edition(answers.book, made, solutions=False)
    nbformat.write(student, folder / "student.ipynb")
    (folder / "page.md").write_text(editions.page_edition(answers.book, made))
    return [folder / "student.ipynb", folder / "page.md"]


@pytest.mark.parametrize("variant", [0, 1])
@pytest.mark.parametrize(("answers", "style", "question"), RIGHT)
def test_right_answers_score_full(
    answers: Answers, style: str, question: marking.Question, variant: int
) -> None:
    first = style == next(iter(answers.styles)) and variant == 0
    without = () if first else answers.long
    assignment = variants(answers.name)[variant]
    cells = answers.styles[style](assignment, question.name)
    result = graded(cells, assignment, question.name, without=without)
    due = sum(t.points for t in question.tests if t.name not in without)
    assert (result.points, result.lessons, result.faults) == (due, [], [])


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(("answers", "mistake"), WRONG)
def test_a_wrong_answer_gets_what_it_deserves_and_learns_why(
    answers: Answers, mistake: Mistake
) -> None:
    trains = mistake.name in answers.trained
    without = () if trains else answers.long
    cells = answers.wrong(answers.book, mistake)
    result = graded(cells, answers.book, mistake.question, without=without)
    question = next(q for q in answers.book.questions if q.name == mistake.question)
    given = sum(t.points for t in question.tests if t.name in without)
    said = " / ".join(result.lessons)
    assert abs(result.points + given - mistake.deserved) <= 0.5, (result.points, said)
    assert result.faults == []
    assert mistake.words in said
    assert not re.search(r"judge\(|lambda|slips|test_|line \d+ of questions", said)


@every
def test_every_question_has_six_mistakes_and_none_scores_full(answers: Answers) -> None:
    for question in answers.book.questions:
        mine = [
            m
            for m in answers.mistakes
            if m.question == question.name and (m.question, m.name) not in answers.accepted
        ]
        assert len(mine) >= 6, question.name
        assert all(m.deserved < question.points for m in mine)


@every
def test_an_empty_notebook_scores_nothing_and_reads_what_to_do(answers: Answers) -> None:
    student = editions.notebook_edition(answers.book, source(answers.book), solutions=False)
    code = [
        c.source for c in student.cells if c.cell_type == "code" and "answer" in editions.tags(c)
    ]
    cells = [*answers.start(answers.book.k), *code]
    results = marking.ask(InProcess(cells), answers.book, "s", "x")
    for question in answers.book.questions:
        assert results[question.name].points == 0, question.name
        said = " ".join(results[question.name].lessons)
        assert "replace the dots" in said or question.name in answers.own_words, (
            question.name,
            said,
        )


@every
def test_another_variants_answers_get_little(answers: Answers) -> None:
    one, other = variants(answers.name)
    style = next(iter(answers.styles.values()))
    for mine, copied in ((one, other), (other, one)):
        assert not mine.module.similar(mine.k, answers.book.k)
        points = sum(
            graded(style(copied, q.name), mine, q.name, without=answers.long).points
            for q in mine.questions
        )
        assert points <= 0.3 * mine.points


@every
def test_no_solution_rubric_or_hidden_test_reaches_a_student(
    answers: Answers, tmp_path: Path
) -> None:
    made = source(answers.book)
    secret = editions.secrets(made, hidden(answers.name))
    assert len(secret) > 200
    assert editions.find_leaks(secret, open_files(answers, tmp_path)) == []
    # The same search finds them where they are.
    whole = editions.notebook_edition(answers.book, made, solutions=True)
    nbformat.write(whole, tmp_path / "instructor.ipynb")
    assert len(editions.find_leaks(secret, [tmp_path / "instructor.ipynb"])) > 20


@every
def test_the_site_shows_no_solution_and_no_hidden_test(answers: Answers) -> None:
    """On the assignment's own page no line; elsewhere none that is longer than common code."""
    secret = editions.secrets(source(answers.book), hidden(answers.name))
    own = [s for s in secret if len(s) > 30 and not re.match(r"(from|import) ", s)]
    long = [s for s in secret if len(s) > 60]
    assert min(len(own), len(long)) > 50
    for folder in (
        exercises.ROOT / "_build" / "html",
        exercises.BUILD / "pages",
        exercises.BUILD / answers.name / "student",
    ):
        found = [p for p in folder.rglob("*") if p.is_file()]
        read = {".html", ".md", ".txt", ".ipynb", ".zip", ".js"}
        files = [
            p for p in found if p.suffix in read and ("exercises" in p.parts or p.suffix != ".html")
        ]
        # A chapter may have the assignment's name.
        mine = [
            p for p in files if p.stem == answers.name and "book" not in p.relative_to(folder).parts
        ]
        assert editions.find_leaks(own, mine) == []
        assert editions.find_leaks(long, files) == []
        forbidden = ("gradescope", "questions.py", "source.md")
        assert not [p for p in found if p.name.startswith(forbidden)]


@every
def test_the_editions_are_complete(answers: Answers) -> None:
    made = source(answers.book)
    parts = editions.parts(made)
    assert [p.name for p in parts] == [f"q{n}" for n in range(1, len(parts) + 1)]
    by_hand = sum(p.by_hand for p in parts)
    assert 0.2 <= by_hand / (by_hand + answers.book.points) <= 0.3
    assert all(p.minutes for p in parts)
    assert all(p.rubric and p.solution for p in parts if p.by_hand)
    student = editions.notebook_edition(answers.book, made, solutions=False)
    checked = [c.source for c in student.cells if "check" in editions.tags(c)]
    cased = [q.name for q in answers.book.questions if q.cases]
    assert checked == [f'grader.check("{name}")' for name in cased]
    hints = [c for c in student.cells if "hint" in editions.tags(c)]
    assert len(hints) >= 6
    assert all(c.source.startswith("<details>") for c in hints)
    page = json.dumps(editions.page_edition(answers.book, made))
    assert "{{" not in page.replace("{{dropdown", "")
    for part in parts:
        assert page.count(f"(assignment-{answers.name}-{part.name})=\\n### ") == 1
