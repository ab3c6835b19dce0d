"""Assignments: one source makes every edition, one command grades a folder of submissions.

An assignment is a folder ``exercises/NAME`` with ``source.md`` (what is asked and answered, a MyST
notebook) and ``questions.py`` (its hidden tests). ``build`` makes, under ``build/exercises/``::

    NAME/instructor/NAME.ipynb     questions, solutions, rubrics
    NAME/gradescope.zip            the autograder for Gradescope, and for a Docker image
    NAME/student/NAME.ipynb        no solution, no hidden test
    pages/NAME.md                  the page of the book
    pages/files/NAME.ipynb         the download that the page offers: the student's edition

``--seed`` draws a private variant: other constants, other numbers, under ``build/exercises/SEED's
digest/``, never in the book. ``grade`` asks the questions of each submission in a sandbox
(:mod:`tools.grader`) and writes marks that nothing but you deletes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import re
import secrets
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import nbformat

from tools.grader import archive, batch, course, editions, gradebook, hull, marking
from tools.grader.local import InProcess

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "exercises"
BUILD = ROOT / "build" / "exercises"
GRADES = ROOT / "grades"


class UsageError(Exception):
    """What the caller gave cannot be used; the message says what is wrong and what to do."""


def assignments(sources: Path = SOURCES) -> list[str]:
    """The names of all assignments: the folders that hold a ``source.md``."""
    return sorted(path.parent.name for path in sources.glob("*/source.md"))


def load(name: str, seed: str, sources: Path = SOURCES) -> marking.Assignment:
    """An assignment's questions in the variant ``seed``."""
    if name not in assignments(sources):
        known = ", ".join(assignments(sources)) or "none"
        raise UsageError(f"no assignment {name!r}; known: {known} (looked in {sources})")
    return marking.load(name, seed, sources)


def variant_folder(seed: str, target: Path = BUILD) -> Path:
    """Where a variant's editions lie: the public one's are the book's."""
    if seed == marking.PUBLIC_SEED:
        return target
    return target / f"variant-{hashlib.sha256(seed.encode()).hexdigest()[:8]}"


def site_address() -> str:
    """Where the book is published, as far as ``SITE`` or ``REPOSITORY`` tell; "" if unknown."""
    if site := os.environ.get("SITE", ""):
        return site
    repository = os.environ.get("REPOSITORY", "").rstrip("/")
    if not repository.startswith("https://github.com/"):
        return ""
    owner, project = repository.removeprefix("https://github.com/").split("/")[:2]
    return f"https://{owner.lower()}.github.io/{project}"


def secret(grades: Path = GRADES) -> str:
    """What keys the draws of this course: ``GRADER_SECRET``, or a file made once."""
    if given := os.environ.get("GRADER_SECRET", ""):
        return given
    path = grades / "secret"
    if not path.exists():
        grades.mkdir(parents=True, exist_ok=True)
        grades.chmod(0o700)
        batch.write(path, secrets.token_hex(16))
        path.chmod(0o600)
    return path.read_text(encoding="utf-8").strip()


def build(
    name: str,
    seed: str = marking.PUBLIC_SEED,
    sources: Path = SOURCES,
    target: Path = BUILD,
    grades: Path = GRADES,
) -> marking.Assignment:
    """Make every edition of an assignment under ``target``; nothing is left behind on failure.

    Raises
    ------
    UsageError
        If the source is malformed, its solutions do not score full, or a solution or hidden test
        shows in a student's file.
    """
    assignment = load(name, seed, sources)
    path = sources / name / "source.md"
    try:
        source = editions.read(path, assignment.k)
        student = editions.notebook_edition(
            assignment, source, solutions=False, site=site_address()
        )
        instructor = editions.notebook_edition(
            assignment, source, solutions=True, site=site_address()
        )
        page = editions.page_edition(assignment, source)
    except editions.SourceError as error:
        raise UsageError(str(error)) from None
    names = [part.name for part in editions.parts(source)]
    strange = [q.name for q in assignment.questions if q.name not in names]
    if strange:
        raise UsageError(f"{path} has no question {strange[0]}, which questions.py tests")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        mine = work / name
        for edition, notebook in (("student", student), ("instructor", instructor)):
            (mine / edition).mkdir(parents=True)
            nbformat.write(notebook, mine / edition / f"{name}.ipynb")
        pages = work / "pages"
        (pages / "files").mkdir(parents=True)
        (pages / f"{name}.md").write_text(page, encoding="utf-8")
        shutil.copy(mine / "student" / f"{name}.ipynb", pages / "files")
        open_files = [p for p in [*(mine / "student").rglob("*"), *pages.rglob("*")] if p.is_file()]
        hidden = (sources / name / "questions.py").read_text(encoding="utf-8")
        leaks = editions.find_leaks(editions.secrets(source, hidden), open_files)
        if leaks:
            raise UsageError("a student's file shows a solution or a hidden test:\n" + leaks[0])
        archive.write(mine / "gradescope.zip", name, seed, secret(grades), sources)
        out = variant_folder(seed, target)
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(mine, out / name)
        shutil.copytree(pages, out / "pages", dirs_exist_ok=True)
    return assignment


def verify(
    assignment: marking.Assignment, target: Path = BUILD, seed: str = marking.PUBLIC_SEED
) -> None:
    """Its own solutions score full and pass the public checks, or :class:`UsageError`."""
    solved = (
        variant_folder(seed, target) / assignment.name / "instructor" / f"{assignment.name}.ipynb"
    )
    code = [c for c in nbformat.read(solved, as_version=4).cells if c.cell_type == "code"]
    left_out = {"play", "checks", "check"}
    cells = [cell.source for cell in code if not left_out & set(editions.tags(cell))]
    for digest in ("one", "two"):
        student = InProcess(cells)
        results = marking.ask(student, assignment, "verify", digest)
        for question in assignment.questions:
            result = results[question.name]
            if result.points != question.points or result.faults:
                raise UsageError(
                    f"{assignment.name}, {question.name}: its solution scores {result.points:g} "
                    f"of {question.points:g}: {' '.join(result.lessons + result.faults)}"
                )
    names = dict(student.names)
    for cell in code:
        if {"checks", "check"} & set(editions.tags(cell)):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(cell.source, names)
            if "check" in editions.tags(cell) and "the public checks pass" not in said.getvalue():
                raise UsageError(f"{assignment.name}: of its solution it says {said.getvalue()}")


def grade(
    submissions: Path,
    name: str,
    out: Path,
    *,
    seed: str = marking.PUBLIC_SEED,
    sources: Path = SOURCES,
    key: str = "",
    jobs: int = 1,
    trust: bool = False,
    roster: Path | None = None,
    due: float | None = None,
    late_percent: float = 0.0,
    show: bool = True,
) -> list[gradebook.Entry]:
    """Grade every file in ``submissions``, and bring the class's tables in ``out`` up to date.

    Results of earlier runs, of other folders too, are kept and stand in the tables.
    """
    load(name, seed, sources)
    batch.find(submissions)  # a wrong path shows before anything else
    out.mkdir(parents=True, exist_ok=True)
    own = course.load(name, seed, sources)
    students = gradebook.read_roster(roster) if roster else []
    gradebook.read_hand(out / gradebook.HAND, own.parts)  # a mistake in it shows before the work
    hidden = [sources, out, *([roster] if roster else [])]
    mode = hull.choose([path.resolve() for path in hidden], trust=trust)
    print(f"protection: {mode}", file=sys.stderr)
    how = batch.Batch(own.judge(key), own.tests, key, mode, jobs=jobs)
    found = batch.run(submissions, out, how, sys.stderr if show else None)
    others = sum(r.metadata.get("variant", own.variant) != own.variant for r in found)
    if others:
        print(
            f"{others} of {len(found)} files are of another variant than this --seed draws: grade "
            "them again with theirs",
            file=sys.stderr,
        )
    entries = gradebook.publish(
        out, own.assignment, own.parts, own.edition, batch.records(out), students, due, late_percent
    )
    hand = gradebook.read_hand(out / gradebook.HAND, own.parts)
    marked = {who for (who, _), (points, _) in hand.items() if points is not None}
    for who in sorted(marked - {entry.student.key for entry in entries}):
        print(
            f"{out / gradebook.HAND}: nobody here is {who!r}; the mark is unused", file=sys.stderr
        )
    waiting = sum(points is None for points, _ in hand.values())
    if waiting:
        print(
            f"{out / gradebook.HAND}: {waiting} answers await a mark and count 0", file=sys.stderr
        )
    return entries


# --------------------------------------------------------------------------------------------
# The command line
# --------------------------------------------------------------------------------------------


def _build_command(options: argparse.Namespace) -> int:
    if not site_address():
        print(
            "REPOSITORY is not set: the notebooks name the book's pages and do not link to them",
            file=sys.stderr,
        )
    for name in options.assignment or assignments():
        assignment = build(name, options.seed)
        verify(assignment, BUILD, options.seed)
        where = variant_folder(options.seed) / name
        print(f"{name}: {len(assignment.questions)} questions by program, "
              f"{assignment.points:g} points; its "
              f"solutions score full; in {where.relative_to(ROOT)}")  # fmt: skip
    return 0


def _grade_command(options: argparse.Namespace) -> int:
    out = options.out or GRADES / options.assignment
    found = grade(
        options.submissions, options.assignment, out,
        seed=options.seed, key=secret(), jobs=options.jobs, trust=options.trust_submissions,
        roster=options.roster, due=options.due, late_percent=options.late_percent,
    )  # fmt: skip
    for status in ("graded", "not graded", "failed"):
        count = sum(1 for e in found if e.record is not None and e.record.status == status)
        print(f"{count} {status}")
    print(f"{sum(1 for e in found if e.record is None)} missing")
    print(f"tables, feedback, pages by question: {out}")
    return 0


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not within 0 to 100")
    return value


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2027-03-01T23:59") from None


def _seed(text: str) -> str:
    if not re.fullmatch(r"[\w.+-]{1,100}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits, . + - alone")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Run ``build`` or ``grade``; 0 if all went well, 2 with a message if it could not."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.exercises",
        description="Make an assignment's editions, and grade submissions.",
    )
    commands = parser.add_subparsers(required=True, metavar="build | grade")
    making = commands.add_parser("build", help="source -> student, instructor, autograder, page")
    making.add_argument("assignment", nargs="*", help="names; all if none is given")
    making.set_defaults(run=_build_command)
    grading = commands.add_parser("grade", help="submissions -> marks, feedback, tables")
    grading.add_argument("submissions", type=Path, help="a notebook, a zip, or a folder of them")
    grading.add_argument("--assignment", default="the-game", help="default: %(default)s")
    grading.add_argument("--out", type=Path, help="default: grades/ASSIGNMENT")
    grading.add_argument(
        "--roster", type=Path, help="CSV with the columns id, name, email, extra days"
    )
    grading.add_argument(
        "--due", type=_moment, help="such as 2027-03-01T23:59; days late are counted"
    )
    grading.add_argument(
        "--late-percent", type=_percent, default=0.0, help="taken off for each day late, 0 to 100"
    )
    grading.add_argument("--jobs", type=int, choices=range(1, 17), default=1, metavar="N",
                         help="submissions at a time, 1 to 16; default: %(default)s")  # fmt: skip
    grading.add_argument(
        "--trust-submissions",
        action="store_true",
        help="grade without protection, where this machine offers none",
    )
    grading.set_defaults(run=_grade_command)
    for command in (making, grading):
        command.add_argument("--seed", type=_seed, default=marking.PUBLIC_SEED,
                             help="of a private variant; without it, the book's")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (UsageError, gradebook.RosterError, hull.Unprotected, FileNotFoundError) as error:
        print(f"exercises: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"exercises: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("exercises: stopped; what was graded is kept: run again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
