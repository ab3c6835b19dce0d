"""The assignment `the-game`: its grader against right and wrong answers, its editions for leaks.

One build (of a source with planted strings) and one grading run serve the whole module; every
submission goes the whole way through otter and a kernel.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
import torch
from answers import (
    ASSORTED,
    FULL,
    HALF_MISSING,
    LIBRARY,
    LOG_OF_ZERO,
    PATCHED,
    RIGHT,
    SIGN_LOST,
    SWAPPED,
    WRONG,
    fill,
)
from nbformat import NotebookNode
from otter.test_files.exception_test import ExceptionTestFile

from ganlib import losses
from tools import exercises

NAME = "the-game"
PLANT = "planted7secret"


@dataclass(frozen=True)
class Built:
    sources: Path
    target: Path

    @property
    def student(self) -> Path:
        return self.target / NAME / "student" / f"{NAME}.ipynb"

    @property
    def instructor(self) -> Path:
        return self.target / NAME / "instructor" / f"{NAME}.ipynb"

    @property
    def autograder(self) -> Path:
        return self.target / NAME / "autograder.zip"

    @property
    def open_to_students(self) -> list[Path]:
        roots = [self.target / NAME / "student", self.target / "pages"]
        return [path for root in roots for path in root.rglob("*") if path.is_file()]


def plant(source: str) -> tuple[str, int]:
    """The source with a numbered planted string in every solution and every hidden test."""
    lines, count, hidden, answer = [], 0, False, False
    for line in source.splitlines():
        hidden = line == "hidden: true" or (hidden and not line.startswith("```"))
        answer = line == "# BEGIN SOLUTION" or (answer and line != "# END SOLUTION")
        if line.endswith("# SOLUTION"):
            line = f"{line[: -len('# SOLUTION')]} + 0 * len('{PLANT}{count}')  # SOLUTION"
            count += 1
        lines.append(line)
        if hidden and line.startswith("def "):
            lines.append(f"    assert '{PLANT}{count}'")
            count += 1
        elif line.strip() == "# BEGIN SOLUTION" and line.startswith("    "):
            lines.append(f"    planted = '{PLANT}{count}'")
            count += 1
        elif answer and line.startswith("**Rubric**"):
            lines.append(f"{PLANT}{count}")
            count += 1
    return "\n".join(lines) + "\n", count


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("assignment")
    made = Built(folder / "sources", folder / "build")
    (made.sources / NAME).mkdir(parents=True)
    referee = (exercises.SOURCES / "referee.py").read_text()
    (made.sources / "referee.py").write_text(referee)
    text, count = plant((exercises.SOURCES / NAME / "source.md").read_text())
    assert count > 30
    (made.sources / NAME / "source.md").write_text(text)
    found = exercises.build(NAME, made.sources, made.target)
    assert sum(q.points for q in found if not q.manual) == FULL
    assert [q.name for q in found] == [f"q{i}" for i in range(1, 11)]
    return made


#: Graded the whole way: a worker process, otter, a kernel for each.
SUBMISSIONS = {
    "right_other_style": RIGHT,
    "assorted": ASSORTED,
    "patched": PATCHED,
    "library": LIBRARY,
    "blank": {},
}

#: Graded by the same test files and otter's own classes, but in this process: no kernel to start.
QUICK = {
    "sign_lost": SIGN_LOST,
    "half_missing": HALF_MISSING,
    "swapped": SWAPPED,
    "log_of_zero": LOG_OF_ZERO,
}


@dataclass(frozen=True)
class Graded:
    rows: dict[str, dict[str, str]]
    feedback: dict[str, str]

    def lessons(self, submission: str, question: str) -> str:
        """The feedback on one question, blanks normalised."""
        page = self.feedback[f"{submission}.ipynb"]
        parts = re.split(r"^## (\w+)[:,]", page, flags=re.M)
        return " ".join(dict(zip(parts[1::2], parts[2::2], strict=True))[question].split())

    def score(self, submission: str) -> float:
        return float(self.rows[f"{submission}.ipynb"]["score"])

    def lost(self, submission: str) -> dict[str, float]:
        """Points of every question that is not fully right."""
        row = self.rows[f"{submission}.ipynb"]
        points = {"q1": 2, "q2": 3, "q3": 3, "q4": 2, "q5": 2, "q6": 3, "q7": 3, "q8": 4, "q9": 3}
        lost = {q: full - float(row[q]) for q, full in points.items()}
        return {q: value for q, value in lost.items() if value}


def run_cells(notebook: NotebookNode) -> dict[str, Any]:
    """What a notebook's cells define, run in this process."""
    namespace: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "grader" not in cell.source:
            exec(cell.source, namespace)
    return namespace


def grade_here(notebook: NotebookNode, autograder: Path, folder: Path) -> exercises.Outcome:
    """Run a notebook's cells and the autograder's tests in this process."""
    namespace = run_cells(notebook)
    with zipfile.ZipFile(autograder) as archive:
        archive.extractall(folder)
    outcome = exercises.Outcome("here")
    # Other tests of the same session may have loaded what an answer may not use.
    outside = {
        name: module for name, module in sys.modules.items() if name.split(".")[0] != "ganlib"
    }
    for path in sorted((folder / "tests").glob("*.py")):
        tests = ExceptionTestFile.from_file(str(path))
        with mock.patch.dict(sys.modules, outside, clear=True):
            tests.run(namespace)
        outcome.scores[tests.name] = tests.score
        failed = [case.message for case in tests.test_case_results if not case.passed]
        outcome.lessons[tests.name] = [exercises._lesson(message) for message in failed]
    return outcome


@pytest.fixture(scope="module")
def graded(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Graded:
    folder = tmp_path_factory.mktemp("handed-in")
    for label, answers in SUBMISSIONS.items():
        notebook = fill(built.student, answers, "We use $\\log t\\le t-1$.")
        nbformat.write(notebook, folder / f"{label}.ipynb")
    (folder / "right_instructor.ipynb").write_text(built.instructor.read_text())
    (folder / "empty.ipynb").write_text("")
    (folder / "list.ipynb").write_text("[1, 2]")
    other = nbformat.read(built.student, as_version=4)
    other.metadata["otter"]["assignment_name"] = "another"
    nbformat.write(other, folder / "wrong_assignment.ipynb")
    del other.metadata["otter"]
    nbformat.write(other, folder / "no_assignment.ipynb")
    (folder / "broken.zip").write_text("no zip")
    (folder / "class-b" / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "class-b" / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    with zipfile.ZipFile(folder / "class-b" / "two.zip", "w") as archive:
        archive.writestr("one.ipynb", "{}")
        archive.writestr("two.ipynb", "{}")

    out = tmp_path_factory.mktemp("grades")
    patch = pytest.MonkeyPatch()
    patch.setattr(exercises, "SOURCES", built.sources)
    patch.setattr(exercises, "BUILD", built.target)
    assert exercises.main(["grade", str(folder), "--out", str(out), "--jobs", "2"]) == 0
    patch.undo()
    rows, pages = read_grades(out)

    quick = []
    for label, answers in QUICK.items():
        notebook = fill(built.student, answers)
        outcome = grade_here(notebook, built.autograder, tmp_path_factory.mktemp(label))
        outcome.submission = f"{label}.ipynb"
        quick.append(outcome)
    asked = exercises.questions(exercises.read_source(NAME, built.sources))
    here = tmp_path_factory.mktemp("quick")
    exercises.write_grades(quick, asked, NAME, here)
    more_rows, more_pages = read_grades(here)
    return Graded(rows | more_rows, pages | more_pages)


def read_grades(out: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """What `grade` wrote: the rows of the table, the feedback pages."""
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    return rows, {page.stem: page.read_text() for page in (out / "feedback").glob("*.md")}


# What right answers get


@pytest.mark.parametrize("style", ["right_instructor", "right_other_style"])
def test_right_answers_score_full(graded: Graded, style: str) -> None:
    assert graded.lost(style) == {}
    assert graded.score(style) == FULL
    assert "Cells that stopped" not in graded.feedback[f"{style}.ipynb"]


# What wrong answers get: the points they lose, and the words they read

@pytest.mark.parametrize(("submission", "question", "points", "words"), WRONG)
def test_wrong_answers_lose_points_and_learn_why(
    graded: Graded, submission: str, question: str, points: float, words: str
) -> None:
    assert graded.lost(submission)[question] == points
    assert words in graded.lessons(submission, question)


@pytest.mark.parametrize("submission", sorted({row[0] for row in WRONG}))
def test_only_the_wrong_answers_lose_points(graded: Graded, submission: str) -> None:
    expected = {
        question: float(points) for name, question, points, _ in WRONG if name == submission
    }
    assert graded.lost(submission) == expected


def test_a_cell_that_raises_is_named_and_the_rest_is_graded(graded: Graded) -> None:
    page = graded.feedback["assorted.ipynb"]
    assert "NameError: name 'undefined_name' is not defined" in page
    assert graded.score("assorted") > 0


def test_patched_comparisons_score_nothing_and_are_reported(graded: Graded) -> None:
    assert graded.score("patched") == 0
    look = graded.rows["patched.ipynb"]["look closer"]
    assert "imports builtins" in look
    assert "replaces sp.simplify" in look
    assert "calls setattr" in look


def test_a_blank_notebook_scores_nothing_and_reads_what_to_do(graded: Graded) -> None:
    assert graded.score("blank") == 0
    assert graded.rows["blank.ipynb"]["status"] == "graded"
    for i in range(1, 10):
        assert "is empty: replace the dots" in graded.lessons("blank", f"q{i}")


def test_the_library_may_not_answer(graded: Graded) -> None:
    assert graded.score("library") == 0
    assert "ganlib is imported" in graded.lessons("library", "q1")
    assert "imports ganlib" in graded.rows["library.ipynb"]["look closer"]


def test_a_question_for_a_reader_is_passed_on(graded: Graded) -> None:
    row = graded.rows["right_other_style.ipynb"]
    assert row["q10 (by hand, of 5)"] == ""
    assert "\\log t\\le t-1" in graded.lessons("right_other_style", "q10")


@pytest.mark.parametrize(
    ("submission", "words"),
    [
        ("empty.ipynb", "not a notebook"),
        ("list.ipynb", "not a notebook"),
        ("broken.zip", "not a notebook"),
        ("class-b/two.zip", "the zip holds 2 notebooks"),
        ("wrong_assignment.ipynb", "the notebook of 'another', handed in for 'the-game'"),
        ("no_assignment.ipynb", "carries no assignment name"),
    ],
)
def test_what_cannot_be_graded_says_why(graded: Graded, submission: str, words: str) -> None:
    row = graded.rows[submission]
    assert (row["status"], row["score"]) == ("not graded", "0")
    assert words in row["note"]
    assert words in graded.feedback[submission.replace("/", "__")]


def test_every_submission_has_a_row_and_no_checkpoint_has_one(graded: Graded) -> None:
    assert len(graded.rows) == len(SUBMISSIONS) + len(QUICK) + 7
    assert len(graded.feedback) == len(graded.rows)


def test_feedback_shows_lessons_not_the_code_of_hidden_tests(graded: Graded) -> None:
    for page in graded.feedback.values():
        assert "test_q" not in page
        assert "judge(" not in page


# A submission that loops or kills its process


def test_a_killer_and_a_loop_do_not_stop_the_rest(built: Built) -> None:
    def notebook(code: str) -> NotebookNode:
        made = fill(built.student, {})
        made.cells = [nbformat.v4.new_code_cell(code)]
        return made

    grader = exercises.Grader(built.autograder, timeout=100)
    try:
        killed = grader.run(notebook("import os; os.kill(os.getppid(), 9)"), NAME)
        assert killed == {"error": "the process that ran the notebook died"}
        grader.timeout = 6
        looped = grader.run(notebook("while True: pass"), NAME)
        assert looped["error"].startswith("stopped after 6 s: a loop that does not end")
        assert grader.process is None
        grader.timeout = 100
        result = grader.run(
            notebook(RIGHT["lsgan_generator_loss"].replace("def", "import torch\ndef")), NAME
        )
        assert result["scores"]["q7"] == 1
    finally:
        grader.close()


# Leaks


def test_planted_strings_reach_the_instructor_only(built: Built) -> None:
    _, count = plant((exercises.SOURCES / NAME / "source.md").read_text())
    kept = exercises.visible_text(built.instructor) + exercises.visible_text(built.autograder)
    missing = [i for i in range(count) if not re.search(rf"{PLANT}{i}(?!\d)", kept)]
    assert missing == []
    names = {path.name for path in built.open_to_students}
    assert names == {f"{NAME}.ipynb", f"{NAME}.md"}
    for path in built.open_to_students:
        assert PLANT not in path.read_text()
        assert PLANT not in exercises.visible_text(path)


def test_no_solution_line_and_no_hidden_test_reaches_a_student(built: Built) -> None:
    source = exercises.read_source(NAME, built.sources)
    hidden = exercises.secrets(source)
    assert "test_q2_extremes" in hidden
    assert "return -F.softplus(s_fake).mean()" in hidden
    assert exercises.find_leaks(source, built.open_to_students) == []
    # The same search finds them where they are.
    assert len(exercises.find_leaks(source, [built.instructor])) > 40


def test_the_search_sees_through_highlighting_and_archives(built: Built, tmp_path: Path) -> None:
    source = exercises.read_source(NAME, built.sources)
    page = tmp_path / "page.html"
    page.write_text("<pre><span>return</span> <span>-</span>F.softplus(s_fake)<b>.mean()</b></pre>")
    archive = tmp_path / "notebooks.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(built.instructor, "deep/inside.ipynb")
    assert exercises.find_leaks(source, [page])
    assert exercises.find_leaks(source, [archive])


def test_a_leak_stops_the_build(built: Built, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / "referee.py").write_text((built.sources / "referee.py").read_text())
    text = (built.sources / NAME / "source.md").read_text()
    # A delimiter mistyped: the solution of question 4 is an ordinary cell now.
    text = re.sub(r"(D_gan = .*?)  # SOLUTION", r"\1  # SOLUTIO", text)
    (tmp_path / NAME / "source.md").write_text(text)
    source = exercises.read_source(NAME, built.sources)
    leaky = exercises.read_source(NAME, tmp_path)
    page = tmp_path / "page.md"
    page.write_text("\n".join(cell.source for cell in leaky.cells if "D_gan =" in cell.source))
    assert exercises.find_leaks(source, [page])


def test_the_site_shows_no_solution_and_no_hidden_test() -> None:
    source = exercises.read_source(NAME)
    names = [line for line in exercises.secrets(source) if re.fullmatch(r"test_q\w+", line)]
    assert len(names) > 10
    for folder in (exercises.ROOT / "_build" / "html", exercises.ROOT / "build" / "html"):
        files = [path for path in folder.rglob("*") if path.is_file()]
        readable = [p for p in files if p.suffix in {".html", ".md", ".txt", ".ipynb", ".zip"}]
        ours = [
            path for path in readable if "exercises" in path.parts or "_downloads" in path.parts
        ]
        assert exercises.find_leaks(source, ours) == []
        for path in readable:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [name for name in names if name in text], path


# The grader isolates nothing yet, and says so


def test_who_grades_is_warned_of_strangers_code(
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(exercises, "BUILD", built.target)
    (tmp_path / "one.ipynb").write_text("")  # not graded, so that no kernel is needed
    assert exercises.main(["grade", str(tmp_path), "--out", str(tmp_path / "grades")]) == 0
    told = capsys.readouterr().err
    first = nbformat.read(built.instructor, as_version=4).cells[0].source
    readme = " ".join((exercises.SOURCES / "README.md").read_text().replace(">", "").split())
    for text in (told, first):
        assert exercises.WARNING in text
    for text in (exercises.WARNING, readme[:1200]):
        for words in ("Do not use the grader on strangers' code", "your rights", "throw-away"):
            assert words in text
    assert "grader on strangers" not in built.student.read_text()


# The editions


def test_the_student_notebook_is_complete(built: Built) -> None:
    notebook = nbformat.read(built.student, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert len(re.findall(r"^grader\.check\(", text, re.M)) == 9
    assert "{doc}" not in text
    assert "# REFEREE" not in json.dumps(notebook)
    assert "all public tests passed" in notebook.metadata["otter"]["tests"]["q1"]
    assert notebook.metadata["otter"]["assignment_name"] == NAME


def test_the_page_offers_the_notebook_and_runs_nothing(built: Built) -> None:
    page = (built.target / "pages" / f"{NAME}.md").read_text()
    assert f"(assignment-{NAME})=" in page
    assert f"<files/{NAME}.ipynb>" in page
    assert (built.target / "pages" / "files" / f"{NAME}.ipynb").is_file()
    assert "code-cell" not in page
    assert "{doc}`The game </book/theory/the-game>`" in page
    assert page.rstrip().endswith("Found a mistake? See {doc}`/book/back/errata`.")


def test_the_autograder_pins_its_python(built: Built) -> None:
    with zipfile.ZipFile(built.autograder) as archive:
        text = "".join(
            archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith((".sh", ".yml"))
        )
    assert re.search(r"python=+3\.11", text)


def test_the_assignment_and_the_library_mean_the_same_losses(built: Built) -> None:
    answer = run_cells(nbformat.read(built.instructor, as_version=4))
    real, fake = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.7])
    minimax, heuristic = losses.minimax(), losses.non_saturating()
    a, b, c = -0.5, 2.0, 0.25
    squares = losses.least_squares(a, b, c)
    for mine, library in [
        (
            answer["discriminator_loss"](real.sigmoid(), fake.sigmoid()),
            minimax.discriminator(real, fake),
        ),
        (answer["discriminator_loss_from_logits"](real, fake), minimax.discriminator(real, fake)),
        (answer["saturating_loss"](fake), minimax.generator(fake)),
        (answer["non_saturating_loss"](fake), heuristic.generator(fake)),
        (answer["lsgan_discriminator_loss"](real, fake, a, b), squares.discriminator(real, fake)),
        (answer["lsgan_generator_loss"](fake, c), squares.generator(fake)),
    ]:
        torch.testing.assert_close(mine, library)


# The command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["grade", "nowhere"], "no such file or folder: nowhere"),
        (["grade", "notes.txt"], "notes.txt is not a notebook"),
        (["grade", "nothing"], "it holds no .ipynb and no .zip"),
        (["grade", "nothing", "--assignment", "the-gmae"], "no assignment 'the-gmae'; known: the-"),
        (["build", "the-gmae"], "no assignment 'the-gmae'; known: the-game"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("not a notebook")
    (tmp_path / "nothing").mkdir()
    assert exercises.main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["grade", ".", "--timeout", "0"], ["grade", ".", "--jobs", "0"]]
)
def test_a_value_out_of_range_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        exercises.main(arguments)
    assert arguments[2] in capsys.readouterr().err


def test_a_malformed_source_names_the_question(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / "referee.py").write_text((exercises.SOURCES / "referee.py").read_text())
    text = (exercises.SOURCES / NAME / "source.md").read_text()
    path = tmp_path / NAME / "source.md"
    path.write_text(
        text.replace(
            "\n# END SOLUTION\n```\n\n```{raw-cell}", "\n# NO END\n```\n\n```{raw-cell}", 1
        )
    )
    with pytest.raises(exercises.UsageError, match=r"closes nothing \(question q1\)"):
        exercises.questions(exercises.read_source(NAME, tmp_path))
