"""Assignments: one source makes every edition, one command grades a folder of submissions.

An assignment is ``exercises/NAME/source.md``: a MyST notebook with otter-grader's delimiters in
``{raw-cell}`` blocks. ``build`` makes from it, under ``build/exercises/``::

    NAME/instructor/NAME.ipynb     questions, solutions, all tests
    NAME/autograder.zip            what `grade`, `otter grade` and Gradescope run
    NAME/student/NAME.ipynb        no solution, no hidden test
    pages/NAME.md                  the page of the book, made from the student's edition
    pages/files/NAME.ipynb         the download that the page offers: the student's edition

Solutions are gone before Sphinx reads anything, and ``build`` fails if one is found in a file that
a student can get. ``grade`` runs the submissions through otter in a worker process, without Docker,
under a time limit, and writes ``scores.csv`` and one readable feedback file a submission. The
worker has the caller's rights and isolates nothing: see :data:`WARNING`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import html
import json
import multiprocessing
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import psutil  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]
from nbformat import NotebookNode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "exercises"
BUILD = ROOT / "build" / "exercises"
GRADES = ROOT / "build" / "grades"

#: Printed by ``grade`` and put at the top of the instructor's edition.
WARNING = (
    "Do not use the grader on strangers' code: it is not isolated yet. A submission runs with your "
    "rights and can read and change your files, the other submissions and the marks. Until then: "
    "grade in a throw-away container or account, without a network, and look at the code first "
    "(exercises/README.md)."
)

#: A cross reference with its own words, as in {doc}`The game </book/theory/the-game>`.
ROLE = re.compile(r"\{(?:doc|ref|numref|prf:ref|eq|term)\}`([^`<]+?)\s*<[^`>]*>`")
BARE_ROLE = re.compile(r"\{[a-z:]+\}`[^`]*`")
#: Modules with which a notebook can reach into the process that grades it.
INTROSPECTION = frozenset({"builtins", "ctypes", "gc", "ganlib", "importlib", "inspect", "otter"})
#: The cell that otter itself puts at the top of a notebook.
OTTER_CELL = re.compile(r"# Initialize Otter\nimport otter\ngrader = otter\.Notebook\([^)]*\)")


class UsageError(Exception):
    """What the caller gave cannot be used; the message says what is wrong and what to do."""


# --------------------------------------------------------------------------------------------
# Reading an assignment
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question's name and points; ``manual`` if a person reads the answer."""

    name: str
    points: float
    manual: bool


def assignments(sources: Path = SOURCES) -> list[str]:
    """The names of all assignments: the folders that hold a ``source.md``."""
    return sorted(path.parent.name for path in sources.glob("*/source.md"))


def read_source(name: str, sources: Path = SOURCES) -> NotebookNode:
    """The assignment's source as a notebook, with the referee copied into every test.

    Raises
    ------
    UsageError
        If there is no such assignment.
    """
    path = sources / name / "source.md"
    if not path.is_file():
        known = ", ".join(assignments(sources)) or "none"
        raise UsageError(f"no assignment {name!r}; known: {known} (looked for {path})")
    referee = (sources / "referee.py").read_text(encoding="utf-8")
    functions = referee[re.search(r"^def ", referee, re.M).start() :]  # type: ignore[union-attr]
    indented = re.sub(r"^(?=.)", "    ", functions.rstrip(), flags=re.M)
    text = re.sub(
        r"^    # REFEREE$",
        lambda _: indented,
        path.read_text(encoding="utf-8"),
        flags=re.M,
    )
    return jupytext.reads(text, fmt="md:myst")


def blocks(notebook: NotebookNode) -> Iterator[tuple[str, tuple[str, ...], NotebookNode]]:
    """Every cell that is no delimiter, as (question, open blocks, cell)."""
    question = ""
    open_blocks: list[str] = []
    for cell in notebook.cells:
        delimiter = (
            re.match(r"# (BEGIN|END) (\w+)", cell.source) if cell.cell_type == "raw" else None
        )
        if delimiter is None:
            yield question, tuple(open_blocks), cell
        elif delimiter[1] == "BEGIN":
            open_blocks.append(delimiter[2])
            if delimiter[2] == "QUESTION":
                question = yaml.safe_load(cell.source)["name"]
        elif not open_blocks or open_blocks.pop() != delimiter[2]:
            raise UsageError(f"{delimiter[0]!r} closes nothing (question {question or 'none'})")
        elif delimiter[2] == "QUESTION":
            question = ""
    if open_blocks:
        raise UsageError(f"question {question}: no '# END {open_blocks[-1]}'")


def test_config(cell: NotebookNode) -> dict[str, Any]:
    """The settings in the first string of a test cell: points, hidden, messages."""
    found = re.match(r'""" # BEGIN TEST CONFIG\n(.*?)""" # END TEST CONFIG', cell.source, re.S)
    return yaml.safe_load(found[1]) if found else {}


def questions(notebook: NotebookNode) -> list[Question]:
    """The questions of a source notebook, in order."""
    found: list[Question] = []
    for cell in notebook.cells:
        if cell.cell_type == "raw" and cell.source.startswith("# BEGIN QUESTION"):
            settings = yaml.safe_load(cell.source)
            manual = bool(settings.get("manual", False))
            found.append(Question(settings["name"], float(settings.get("points", 0)), manual))
    points = dict.fromkeys((q.name for q in found), 0.0)
    for name, open_blocks, cell in blocks(notebook):
        if "TESTS" in open_blocks:
            points[name] += float(test_config(cell).get("points", 0))
    return [Question(q.name, q.points or points[q.name], q.manual) for q in found]


# --------------------------------------------------------------------------------------------
# What a student may not see
# --------------------------------------------------------------------------------------------


def secrets(notebook: NotebookNode) -> list[str]:
    """Lines of solutions and sentences of hidden tests that stand in no public part.

    ``notebook`` is the source; blanks are normalised as :func:`visible_text` does it.
    """
    public: list[str] = []
    secret: list[str] = []
    for _, open_blocks, cell in blocks(notebook):
        if "TESTS" in open_blocks:
            hidden = test_config(cell).get("hidden", False)
            tree = ast.parse(cell.source)
            strings = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            (secret if hidden else public).extend(strings + names)
        elif "SOLUTION" in open_blocks and cell.cell_type == "markdown":
            secret.extend(cell.source.splitlines())
        elif "SOLUTION" in open_blocks:
            inside = False
            for line in cell.source.splitlines():
                if "# BEGIN SOLUTION" in line or "# END SOLUTION" in line:
                    inside = "BEGIN" in line
                elif inside:
                    secret.append(line)
                elif "# SOLUTION" in line:
                    secret.append(line.split("# SOLUTION")[0].split("=", 1)[-1])
                else:
                    public.append(line)
        else:
            public.append(cell.source)
    shown = _plain(" ".join(public))
    candidates = dict.fromkeys(_plain(line) for line in secret)
    return [line for line in candidates if len(line) >= 10 and line not in shown]


def _plain(text: str) -> str:
    return " ".join(text.split())


def visible_text(path: Path) -> str:
    """All text in a file a student can get, blanks normalised: notebook, page, web page, zip."""
    if path.suffix == ".ipynb":
        strings: list[str] = []

        def collect(node: Any) -> None:
            if isinstance(node, str):
                strings.append(node)
            elif isinstance(node, dict):
                for key, value in node.items():
                    collect(key)
                    collect(value)
            elif isinstance(node, list) and all(isinstance(value, str) for value in node):
                strings.append("".join(node))  # Jupyter may store a cell as a list of lines
            elif isinstance(node, list):
                for value in node:
                    collect(value)

        collect(json.loads(path.read_text(encoding="utf-8")))
        return _plain(" ".join(strings))
    if path.suffix == ".zip":
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            members = [member for member in Path(folder).rglob("*") if member.is_file()]
            return " ".join(visible_text(member) for member in members)
    text = path.read_text(encoding="utf-8", errors="ignore")
    if path.suffix in {".html", ".htm"}:
        # Highlighting cuts a line of code into many tags.
        return _plain(text) + " " + _plain(html.unescape(re.sub(r"<[^>]*>", "", text)))
    if path.suffix in {".js", ".json"}:
        text = text.encode().decode("unicode_escape", errors="ignore") + text
    return _plain(text)


def find_leaks(notebook: NotebookNode, files: Iterable[Path]) -> list[str]:
    """Every secret of the source ``notebook`` that shows in ``files``, as "file: secret"."""
    hidden = secrets(notebook)
    leaks = []
    for path in files:
        text = visible_text(path)
        leaks += [f"{path}: {line}" for line in hidden if line in text]
    return leaks


# --------------------------------------------------------------------------------------------
# build
# --------------------------------------------------------------------------------------------


def build(name: str, sources: Path = SOURCES, target: Path = BUILD) -> list[Question]:
    """Make every edition of an assignment under ``target``; nothing is left behind on failure.

    Raises
    ------
    UsageError
        If the source is malformed, or a solution or hidden test shows in a student's file.
    """
    source = read_source(name, sources)
    found = questions(source)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        nbformat.write(source, work / f"{name}.ipynb")
        command = ["assign", f"{name}.ipynb", "dist", "--no-run-tests", "--no-pdfs"]
        made = subprocess.run(
            [sys.executable, "-m", "otter", *command], cwd=work, capture_output=True, text=True
        )
        if made.returncode:
            raise UsageError(f"{sources / name / 'source.md'}: otter assign says\n{made.stderr}")
        editions = work / "editions"
        for edition, otter_name in (("instructor", "autograder"), ("student", "student")):
            (editions / edition).mkdir(parents=True)
            notebook = nbformat.read(work / "dist" / otter_name / f"{name}.ipynb", as_version=4)
            if edition == "student":
                page = student_page(name, notebook)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = _without_roles(cell.source)
            if edition == "instructor":
                warning = nbformat.v4.new_markdown_cell(f"> **{WARNING}**", id="warning")
                notebook.cells.insert(0, warning)
            nbformat.write(notebook, editions / edition / f"{name}.ipynb")
        (archive,) = (work / "dist" / "autograder").glob("*.zip")
        shutil.copy(archive, editions / "autograder.zip")
        (editions / "questions.json").write_text(json.dumps([vars(q) for q in found], indent=1))

        pages = work / "pages"
        (pages / "files").mkdir(parents=True)
        (pages / f"{name}.md").write_text(page, encoding="utf-8")
        shutil.copy(editions / "student" / f"{name}.ipynb", pages / "files")

        open_files = [*(editions / "student").rglob("*"), pages / f"{name}.md"]
        leaks = find_leaks(source, [path for path in open_files if path.is_file()])
        if leaks:
            raise UsageError("a student's file shows a solution or a hidden test:\n" + leaks[0])

        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(editions, target / name)
        shutil.copytree(pages, target / "pages", dirs_exist_ok=True)
    return found


def _without_roles(text: str) -> str:
    """Cross references as plain words: a notebook on its own has nothing to link to."""
    text = ROLE.sub(r"*\1*", text)
    bare = BARE_ROLE.search(text)
    if bare:
        raise UsageError(f"{bare[0]} would show as it stands in the notebook: give it a title")
    return text


def student_page(name: str, notebook: NotebookNode) -> str:
    """The book's page of an assignment, from otter's student notebook (nothing is executed)."""
    parts = [f"(assignment-{name})="]
    for cell in notebook.cells:
        text = re.sub(r"<!-- (BEGIN|END) QUESTION -->", "", cell.source).strip()
        if cell.cell_type == "code" and "grader" not in text:
            parts.append(f"```python\n{text}\n```")
        elif cell.cell_type == "markdown" and not text.startswith(("_Type your", "## Submission")):
            parts.append(text)
    offer = (
        "```{admonition} Work in the notebook\n:class: tip\n"
        f"This page is for reading. {{download}}`Download the notebook <files/{name}.ipynb>`, "
        "answer in it, and hand it in. It holds the same questions and their public tests.\n```"
    )
    title = next(i for i, part in enumerate(parts) if part.startswith("# "))
    heading, requirements, introduction = parts[title].split("\n\n", 2)
    parts[title] = "\n\n".join([heading, requirements, offer, introduction])
    parts.append("Found a mistake? See {doc}`/book/back/errata`.")
    return "\n\n".join(part for part in parts if part) + "\n"


# --------------------------------------------------------------------------------------------
# grade
# --------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What grading one submission gave."""

    submission: str
    status: str = "graded"
    note: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    lessons: dict[str, list[str]] = field(default_factory=dict)
    cell_errors: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    look: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(self.scores.values())


def find_submissions(path: Path) -> list[Path]:
    """The notebooks (.ipynb) and otter exports (.zip) that ``path`` is or holds.

    Raises
    ------
    UsageError
        If there is no such path, or nothing that can be graded.
    """
    if not path.exists():
        raise UsageError(f"no such file or folder: {path}; pass a notebook or a folder of them")
    if path.is_file():
        if path.suffix not in {".ipynb", ".zip"}:
            raise UsageError(
                f"{path} is not a notebook; a submission is an .ipynb, or the .zip "
                "that the notebook's last cell writes"
            )
        return [path]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix in {".ipynb", ".zip"}
        and not any(part.startswith((".", "__MACOSX")) for part in file.relative_to(path).parts)
    )
    if not found:
        raise UsageError(f"no submission in {path}: it holds no .ipynb and no .zip")
    return found


def read_submission(path: Path, name: str) -> NotebookNode:
    """The notebook of a submission, or ``ValueError`` with a reason its author understands."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside = [
                    member
                    for member in archive.namelist()
                    if member.endswith(".ipynb") and not member.startswith("__MACOSX")
                ]
                if len(inside) != 1:
                    raise ValueError(f"the zip holds {len(inside)} notebooks; it must hold one")
                text = archive.read(inside[0]).decode("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except (
        zipfile.BadZipFile,
        UnicodeDecodeError,
        nbformat.reader.NotJSONError,
        nbformat.ValidationError,
        AttributeError,
        KeyError,
    ) as error:
        raise ValueError(f"not a notebook: {type(error).__name__}: {_first_line(error)}") from error
    assignment = notebook.metadata.get("otter", {}).get("assignment_name")
    if assignment is None:
        raise ValueError(
            f"not the notebook of {name!r}: it carries no assignment name. Answer in the notebook "
            "you downloaded, and hand that in."
        )
    if assignment != name:
        raise ValueError(f"the notebook of {assignment!r}, handed in for {name!r}")
    # Whatever kernel the student used, the grader's own Python runs the notebook.
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    return notebook


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def look_closer(notebook: NotebookNode) -> list[str]:
    """What in a submission a person should look at: attempts to reach the code that grades it."""
    found: dict[str, None] = {}
    modules: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code" or OTTER_CELL.fullmatch(cell.source.strip()):
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None)
                for alias in node.names:
                    root = (module or alias.name).split(".")[0]
                    modules.add(alias.asname or alias.name.split(".")[0])
                    if root in INTROSPECTION:
                        found[f"imports {root}"] = None
        for node in ast.walk(tree):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            for target in targets if isinstance(node, ast.Assign | ast.AugAssign) else []:
                root_name = ast.unparse(target).split(".")[0]
                if isinstance(target, ast.Attribute) and root_name in modules:
                    found[f"replaces {ast.unparse(target)}"] = None
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in {"setattr", "exec", "eval", "__import__"}:
                found[f"calls {called}"] = None
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules":
                found["touches sys.modules"] = None
    return list(found)


def _work(connection: Any, autograder: str) -> None:
    """Body of a worker process: grade the notebooks whose paths come in, until None comes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        from otter.run import main as otter_run

        connection.send("ready")
        while (path := connection.recv()) is not None:
            try:
                results = otter_run(path, autograder=autograder, output_dir="", no_logo=True)
                connection.send(_digest(results))
            except BaseException as error:
                connection.send({"error": f"{type(error).__name__}: {_first_line(error)}"})


def _digest(results: Any) -> dict[str, Any]:
    """Otter's results as plain data: scores, lessons, errors of the submission's own cells."""
    if results.has_catastrophic_failure():
        error = results.catastrophic_error
        return {"error": f"{type(error).__name__}: {_first_line(error)}"}
    scores, lessons = {}, {}
    for name, test_file in results.results.items():
        scores[name] = round(float(test_file.score), 4)
        lessons[name] = [
            _lesson(case.message) for case in test_file.test_case_results if not case.passed
        ]
    errors = []
    for cell in results.notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = next((line for line in cell.source.splitlines() if line.strip()), "")
                errors.append(f"`{where.strip()}` raised {output.ename}: {output.evalue}")
    return {"scores": scores, "lessons": lessons, "cell_errors": errors}


def _lesson(message: str) -> str:
    """Otter's report of a failed test without the test's own code."""
    lines = message.splitlines()
    start = next((i + 2 for i, line in enumerate(lines) if line.startswith("Error at line")), 0)
    text = "\n".join(lines[start:]).strip()
    kind, _, rest = text.partition(": ")
    return rest if kind == "AssertionError" else f"your code raised {text}"


class Grader:
    """Grades notebooks one after the other in a worker process that can be stopped.

    A submission that loops or kills its process costs ``timeout`` seconds at most and nothing
    else: the worker and all its children are ended, and the next submission gets a new one.
    """

    def __init__(self, autograder: Path, timeout: float) -> None:
        self.autograder = autograder
        self.timeout = timeout
        self.process: Any = None
        self.connection: Any = None

    def run(self, notebook: NotebookNode, name: str) -> dict[str, Any]:
        """What :func:`_digest` makes of the notebook, or ``{"error": reason}``."""
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(
                target=_work, args=(theirs, str(self.autograder)), daemon=False
            )
            self.process.start()
            theirs.close()
            if not self.connection.poll(300) or self.connection.recv() != "ready":
                raise UsageError("the grading process did not start; is otter-grader installed?")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.ipynb"
            nbformat.write(notebook, path)
            try:
                self.connection.send(str(path))
                if self.connection.poll(self.timeout):
                    return dict(self.connection.recv())
                error = (
                    f"stopped after {self.timeout:g} s: a loop that does not end, or far too much "
                    "work? Restart the kernel and run all cells before you hand in."
                )
            except (EOFError, ConnectionError):
                error = "the process that ran the notebook died"
        self.stop()
        return {"error": error}

    def stop(self) -> None:
        """End the worker and every process it started."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = psutil.Process(process.pid)
            for each in [*worker.children(recursive=True), worker]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        process.join()

    def close(self) -> None:
        """Let the worker end by itself."""
        if self.process is not None and self.process.is_alive():
            with contextlib.suppress(ConnectionError):
                self.connection.send(None)
            self.process.join(timeout=10)
        self.stop()


def grade_one(path: Path, label: str, name: str, grader: Grader) -> Outcome:
    """Grade one submission; whatever is wrong with it ends up in the outcome."""
    try:
        notebook = read_submission(path, name)
    except ValueError as reason:
        return Outcome(label, status="not graded", note=str(reason))
    answers = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "markdown" and "otter_answer_cell" in cell.metadata.get("tags", [])
    ]
    result = grader.run(notebook, name)
    outcome = Outcome(label, answers=answers, look=look_closer(notebook))
    if "error" in result:
        outcome.status, outcome.note = "failed", result["error"]
    else:
        outcome.scores = result["scores"]
        outcome.lessons = result["lessons"]
        outcome.cell_errors = result["cell_errors"]
    return outcome


def grade(
    submissions: Path,
    name: str,
    out: Path,
    *,
    target: Path = BUILD,
    timeout: float = 120.0,
    jobs: int = 1,
) -> list[Outcome]:
    """Grade every submission; write ``out/scores.csv`` and ``out/feedback/*.md``.

    Parameters
    ----------
    submissions
        A notebook, the zip that a notebook exports, or a folder of them (searched through).
    name
        The assignment; its autograder must have been built under ``target``.
    timeout
        Seconds a submission may take.
    jobs
        Submissions graded at a time; each needs about 1 GB of memory.
    """
    paths = find_submissions(submissions)
    asked = [Question(**q) for q in json.loads((target / name / "questions.json").read_text())]
    base = submissions if submissions.is_dir() else submissions.parent
    graders: queue.SimpleQueue[Grader] = queue.SimpleQueue()
    pool = [Grader(target / name / "autograder.zip", timeout) for _ in range(jobs)]
    for grader in pool:
        graders.put(grader)

    def task(path: Path) -> Outcome:
        mine = graders.get()
        try:
            return grade_one(path, path.relative_to(base).as_posix(), name, mine)
        finally:
            graders.put(mine)

    outcomes: list[Outcome] = []
    threads = ThreadPoolExecutor(jobs)
    try:
        done = threads.map(task, paths)
        for outcome in tqdm(done, f"grading {name}", len(paths), unit=" submission"):
            outcomes.append(outcome)
    except BaseException:  # Ctrl-C as well: do not wait for what is running
        for grader in pool:
            grader.stop()
        raise
    finally:
        write_grades(outcomes, asked, name, out)
        threads.shutdown(cancel_futures=True)
        for grader in pool:
            grader.close()
    return outcomes


def write_grades(outcomes: list[Outcome], asked: list[Question], name: str, out: Path) -> None:
    """The table of scores and one feedback page a submission."""
    feedback = out / "feedback"
    shutil.rmtree(feedback, ignore_errors=True)
    feedback.mkdir(parents=True)
    automatic = [q for q in asked if not q.manual]
    by_hand = [q for q in asked if q.manual]
    possible = sum(q.points for q in automatic)
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ["submission", "status", "score", "possible"]
            + [q.name for q in automatic]
            + [f"{q.name} (by hand, of {q.points:g})" for q in by_hand]
            + ["note", "look closer"]
        )
        for one in outcomes:
            points = [f"{one.scores.get(q.name, 0):g}" for q in automatic]
            table.writerow(
                [one.submission, one.status, f"{one.total:g}", f"{possible:g}", *points]
                + ["" for _ in by_hand]
                + [one.note, "; ".join(one.look)]
            )
    for one in outcomes:
        page = feedback / (one.submission.replace("/", "__") + ".md")
        page.write_text(_feedback(one, automatic, by_hand, name), encoding="utf-8")


def _feedback(one: Outcome, automatic: list[Question], by_hand: list[Question], name: str) -> str:
    possible = sum(q.points for q in automatic)
    lines = [f"# {name}: {one.submission}", "", f"Score: {one.total:g} of {possible:g}"]
    if one.status != "graded":
        return "\n".join([*lines, "", f"This submission could not be graded: {one.note}", ""])
    if by_hand:
        lines[-1] += f"; {', '.join(q.name for q in by_hand)} is read by a person"
    if one.cell_errors:
        lines += ["", "Cells that stopped with an error:", ""]
        lines += [f"- {error}" for error in one.cell_errors]
    for q in automatic:
        lines += ["", f"## {q.name}: {one.scores.get(q.name, 0):g} of {q.points:g}", ""]
        # A public and a hidden test often teach the same lesson.
        lessons = dict.fromkeys(one.lessons.get(q.name, ["was not run"]))
        lines += [f"- {lesson}" for lesson in lessons] or ["All tests passed."]
    if by_hand:
        lines += ["", f"## {', '.join(q.name for q in by_hand)}: read by a person", ""]
        lines += one.answers or ["No answer found."]
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------
# The command line
# --------------------------------------------------------------------------------------------


def _build_command(options: argparse.Namespace) -> int:
    for name in tqdm(options.assignment or assignments(), desc="building", unit=" assignment"):
        found = build(name, SOURCES, BUILD)
        total = sum(q.points for q in found)
        tqdm.write(f"{name}: {len(found)} questions, {total:g} points; in {BUILD / name}")
        if options.no_verify:
            continue
        with tempfile.TemporaryDirectory() as folder:
            solved = BUILD / name / "instructor" / f"{name}.ipynb"
            outcomes = grade(solved, name, Path(folder), target=BUILD)
        possible = sum(q.points for q in found if not q.manual)
        if outcomes[0].total != possible:
            raise UsageError(
                f"{name}: its own solutions score {outcomes[0].total:g} of {possible:g}: "
                f"{outcomes[0].note or outcomes[0].lessons}"
            )
        tqdm.write(f"{name}: its solutions score {possible:g} of {possible:g}")
    return 0


def _grade_command(options: argparse.Namespace) -> int:
    name = options.assignment
    read_source(name, SOURCES)
    find_submissions(options.submissions)
    made = BUILD / name / "questions.json"
    sources = [SOURCES / name / "source.md", SOURCES / "referee.py", Path(__file__)]
    if not made.exists() or made.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        print(f"building {name} first", file=sys.stderr)
        build(name, SOURCES, BUILD)
    print(WARNING, file=sys.stderr)
    out = options.out or GRADES / name
    outcomes = grade(
        options.submissions, name, out, target=BUILD, timeout=options.timeout, jobs=options.jobs
    )
    for one in outcomes:
        print(f"{one.total:6g}  {one.submission}" + (f"  ({one.note})" if one.note else ""))
    print(f"scores: {out / 'scores.csv'}\nfeedback: {out / 'feedback'}")
    return 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run ``build`` or ``grade``; 0 if all went well, 2 with a message if it could not."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.exercises",
        description="Make an assignment's editions, and grade submissions.",
    )
    commands = parser.add_subparsers(required=True, metavar="build | grade")
    making = commands.add_parser("build", help="source -> instructor, student, autograder, page")
    making.add_argument("assignment", nargs="*", help="names; all if none is given")
    making.add_argument(
        "--no-verify",
        action="store_true",
        help="do not grade the instructor's edition after the build",
    )
    making.set_defaults(run=_build_command)
    grading = commands.add_parser("grade", help="submissions -> scores.csv and feedback")
    grading.add_argument("submissions", type=Path, help="a notebook, a zip, or a folder of them")
    grading.add_argument("--assignment", default="the-game", help="default: %(default)s")
    grading.add_argument("--out", type=Path, help="default: build/grades/ASSIGNMENT")
    grading.add_argument(
        "--timeout",
        type=_positive,
        default=120.0,
        metavar="SECONDS",
        help="for one submission; default: %(default)g",
    )
    grading.add_argument(
        "--jobs",
        type=int,
        choices=range(1, 17),
        default=1,
        metavar="N",
        help="submissions at a time, 1 to 16; default: %(default)s",
    )
    grading.set_defaults(run=_grade_command)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except UsageError as error:
        print(f"exercises: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("exercises: stopped; what was graded before is in the table", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
