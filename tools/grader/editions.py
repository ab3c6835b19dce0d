"""One source, ``exercises/NAME/source.md``, makes every edition of an assignment.

The source is a MyST notebook. Cells carry their part in it as metadata:

``+++ {"question": "q1", "minutes": 10}``
    the text that begins a question; what follows belongs to it, up to the next question or part.
``+++ {"tags": ["hint"]}``
    folded in notebook and page.
``:tags: [answer]``, ``+++ {"tags": ["answer"]}``
    what the student fills in: code between ``# BEGIN SOLUTION`` and ``# END SOLUTION``, or after
    the ``=`` of a line that ends in ``# SOLUTION``; words as a whole.
``+++ {"tags": ["rubric"], "points": 2}``
    the rubric of what a reader marks; the instructor's alone.
``:tags: [play]``
    for the student to run; nothing of it is graded.

``{{alpha}}`` is a constant of the variant, ``{{alpha + beta}}`` a sum or product of them.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from tools.grader import checks
from tools.grader.asking import Seed
from tools.grader.marking import Assignment
from tools.grader.questions import Case, Constants

#: A cross reference with its own words, as in {doc}`The game </book/theory/the-game>`.
ROLE = re.compile(
    r"\{(?P<role>doc|ref|numref|prf:ref|eq|term)\}`(?P<title>[^`<]+?)\s*<(?P<target>[^`>]*)>`"
)
BARE_ROLE = re.compile(r"\{[a-z:]+\}`[^`]*`")
CONSTANT = re.compile(r"\{\{\s*(\w+(?:\s*[+*]\s*\w+)*)\s*\}\}")
WORDS = "*Write your answer here.*"
CHECKS_TITLE = "# The public checks: run this cell, and leave it as it is."


class SourceError(Exception):
    """The source is malformed; the message says where and what to do."""


@dataclass(frozen=True)
class Part:
    """A question as the source tells it."""

    name: str
    title: str
    minutes: float
    by_hand: float  # points that a reader gives
    rubric: str
    solution: str  # of what a reader marks


def read(path: Path, k: Constants) -> NotebookNode:
    """The source as a notebook, with the variant's constants in it."""

    def constant(found: re.Match[str]) -> str:
        names = re.findall(r"\w+", found[1])
        try:
            value = getattr(k, names[0])
            for sign, name in zip(re.findall(r"[+*]", found[1]), names[1:], strict=True):
                value = value + getattr(k, name) if sign == "+" else value * getattr(k, name)
        except AttributeError as error:
            raise SourceError(
                f"{path}: {found[0]}: the variant has no such constant ({error})"
            ) from None
        return str(value)

    notebook = jupytext.reads(
        CONSTANT.sub(constant, path.read_text(encoding="utf-8")), fmt="md:myst"
    )
    known = {"hint", "answer", "rubric", "play"}
    for question, cell in by_question(notebook):
        strange = set(tags(cell)) - known
        if strange:
            raise SourceError(
                f"{path}: question {question or 'none'}: unknown tag {strange.pop()!r}"
            )
        if "rubric" in tags(cell) and "points" not in cell.metadata:
            raise SourceError(f"{path}: question {question}: its rubric names no points")
        heading = re.search(r"^##.*", cell.source, re.M)
        if heading and {"rubric", "hint"} & set(tags(cell)):
            raise SourceError(
                f"{path}: question {question}: the heading {heading[0]!r} stands in a rubric or a "
                "hint, where a student misses it; put a line `+++` before it"
            )
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def by_question(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Every cell with the question it belongs to ("" before the first and between parts)."""
    question = ""
    for cell in notebook.cells:
        if "question" in cell.metadata:
            question = cell.metadata["question"]
        elif cell.cell_type == "markdown" and cell.source.startswith("## "):
            question = ""
        yield question, cell


def parts(notebook: NotebookNode) -> list[Part]:
    """The questions of a source, in order."""
    found: list[Part] = []
    cells = list(by_question(notebook))
    for cell in notebook.cells:
        if "question" not in cell.metadata:
            continue
        name = cell.metadata["question"]
        mine = [c for question, c in cells if question == name]
        rubric = [c for c in mine if "rubric" in tags(c)]
        words = [c.source for c in mine if "answer" in tags(c) and c.cell_type == "markdown"]
        heading = re.search(r"^#+ (.*)$", cell.source, re.M)
        found.append(
            Part(
                name,
                heading[1] if heading else name,
                float(cell.metadata.get("minutes", 0)),
                sum(float(c.metadata["points"]) for c in rubric),
                "\n\n".join(c.source for c in rubric),
                "\n\n".join(words),
            )
        )
    return found


# --------------------------------------------------------------------------------------------
# Editions
# --------------------------------------------------------------------------------------------


def starter(code: str) -> str:
    """An answer cell without its solution."""
    lines: list[str] = []
    inside = False
    for line in code.splitlines():
        if line.strip() in ("# BEGIN SOLUTION", "# END SOLUTION"):
            inside = "BEGIN" in line
            if inside and line.startswith(" "):
                lines.append(line[: len(line) - len(line.lstrip())] + "...")
        elif inside:
            continue
        elif line.rstrip().endswith("# SOLUTION"):
            lines.append(line.split("=", 1)[0] + "= ...")
        else:
            lines.append(line)
    if inside:
        raise SourceError(f"no '# END SOLUTION' after\n{code}")
    return "\n".join(lines)


def solved(code: str) -> str:
    """An answer cell with its solution, without the delimiters."""
    kept = [x for x in code.splitlines() if x.strip() not in ("# BEGIN SOLUTION", "# END SOLUTION")]
    return "\n".join(re.sub(r"\s*# SOLUTION$", "", line) for line in kept)


def head(assignment: Assignment, found: Sequence[Part]) -> str:
    """The line of points and time under the title."""
    automatic = {q.name: q.points for q in assignment.questions}
    total = sum(automatic.values()) + sum(p.by_hand for p in found)
    hours = sum(p.minutes for p in found) / 60
    return (
        f"*{len(found)} questions, {total:g} points ({sum(p.by_hand for p in found):g} of them "
        f"given by a reader), about {hours:.1f} hours by the writers' estimate.*"
    )


def worth(assignment: Assignment, part: Part) -> str:
    """The line of points and time under a question's heading."""
    program = {q.name: q.points for q in assignment.questions}.get(part.name, 0)
    shares = [f"{program:g} by program"] if program else []
    shares += [f"{part.by_hand:g} by a reader"] if part.by_hand else []
    points = f"{program + part.by_hand:g} points ({', '.join(shares)})"
    return f"*{points}; about {part.minutes:g} minutes.*"


def with_line(text: str, line: str) -> str:
    """A text with ``line`` under its heading."""
    heading, _, rest = text.partition("\n")
    return f"{heading}\n\n{line}\n{rest}"


def notebook_edition(
    assignment: Assignment, source: NotebookNode, solutions: bool, site: str = ""
) -> NotebookNode:
    """The student's notebook, or with ``solutions`` the instructor's."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    made.metadata["assignment"] = assignment.name
    constants = repr(sorted(vars(assignment.k).items()))
    made.metadata["variant"] = hashlib.sha256(constants.encode()).hexdigest()[:16]
    found = {part.name: part for part in parts(source)}
    last = {question: cell for question, cell in by_question(source) if "answer" in tags(cell)}
    asked = {q.name: q for q in assignment.questions}
    first_code = True
    for number, (question, cell) in enumerate(by_question(source)):
        marks = tags(cell)
        if "rubric" in marks and not solutions:
            continue
        text = cell.source
        if cell.cell_type == "code":
            if "answer" in marks:
                text = solved(text) if solutions else starter(text)
            new = nbformat.v4.new_code_cell(text, id=f"cell-{number}")
        else:
            if text.startswith("# "):
                text = with_line(text, head(assignment, list(found.values())))
            if "question" in cell.metadata:
                text = with_line(text, worth(assignment, found[question]))
            if "hint" in marks:
                text = f"<details><summary><b>Hint</b></summary>\n\n{text}\n\n</details>"
            if "answer" in marks and not solutions:
                text = WORDS
            if "rubric" in marks:
                text = f"**Rubric ({float(cell.metadata['points']):g} points)**\n\n{text}"
            new = nbformat.v4.new_markdown_cell(linked(text, site), id=f"cell-{number}")
        new.metadata["question"] = question
        new.metadata["tags"] = marks
        made.cells.append(new)
        if first_code and cell.cell_type == "code":
            first_code = False
            made.cells.append(checks_cell(assignment))
        if cell is last.get(question) and question in asked and asked[question].cases:
            check = nbformat.v4.new_code_cell(f'grader.check("{question}")', id=f"check-{question}")
            check.metadata["tags"] = ["check"]
            made.cells.append(check)
    return made


def linked(text: str, site: str) -> str:
    """Cross references as links to the published book, or as the names of its pages."""

    def link(found: re.Match[str]) -> str:
        page = found["target"].lstrip("/")
        if found["role"] != "doc":
            return f"*{found['title']}*"
        if site:
            return f"[{found['title']}]({site.rstrip('/')}/{page}.html)"
        return f"*{found['title']}* (`{page}.html` in the book)"

    text = ROLE.sub(link, text)
    bare = BARE_ROLE.search(text)
    if bare:
        raise SourceError(f"{bare[0]} would show as it stands in the notebook: give it a title")
    return text


def checks_cell(assignment: Assignment) -> NotebookNode:
    """The cell that defines ``grader``: a module's text and the public numbers, nothing else."""
    cases = {
        q.name: [as_data(case) for case in q.cases(assignment.k)]
        for q in assignment.questions
        if q.cases
    }
    module = Path(checks.__file__).read_text(encoding="utf-8")
    code = (
        f"{CHECKS_TITLE}\n{module}\n\ngrader = Grader(globals(), {json.dumps(json.dumps(cases))})\n"
    )
    cell = nbformat.v4.new_code_cell(code, id="checks")
    cell.metadata.update(
        {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["checks"]}
    )
    return cell


def as_data(case: Case) -> dict[str, Any]:
    """A public case as JSON: tensors as lists, infinities never."""

    def argument(value: Any) -> Any:
        if isinstance(value, Seed):
            return {"seed": value.seed}
        return {"tensor": value.tolist()} if hasattr(value, "tolist") else value

    return {
        "name": case.name, "right": list(case.right), "what": case.what, "rel": case.rel,
        "slips": [[list(value), lesson] for value, lesson in case.slips],
        "args": [argument(a) for a in case.args], "at": case.at,
    }  # fmt: skip


def page_edition(assignment: Assignment, source: NotebookNode) -> str:
    """The book's page: the student's questions and gaps; nothing is executed."""
    found = {part.name: part for part in parts(source)}
    offer = (
        "```{admonition} Work in the notebook\n:class: tip\n"
        "This page is for reading. "
        f"{{download}}`Download the notebook <files/{assignment.name}.ipynb>`, answer in it, "
        "and hand it in. It holds the same questions and their public checks, and needs nothing "
        "beside it, under any name.\n```"
    )
    blocks = [f"(assignment-{assignment.name})="]
    for question, cell in by_question(source):
        text, marks = cell.source, tags(cell)
        if "rubric" in marks:
            continue
        if cell.cell_type == "code":
            blocks.append(f"```python\n{starter(text) if 'answer' in marks else text}\n```")
            continue
        if text.startswith("# "):
            text = with_line(text, head(assignment, list(found.values()))) + f"\n\n{offer}"
        if "question" in cell.metadata:
            label = f"(assignment-{assignment.name}-{question})="
            text = f"{label}\n{with_line(text, worth(assignment, found[question]))}"
        if "hint" in marks:
            text = f"````{{dropdown}} Hint\n{text}\n````"
        blocks.append(WORDS if "answer" in marks else text)
    blocks.append("Found a mistake? See {doc}`/book/back/errata`.")
    return "\n\n".join(blocks) + "\n"


# --------------------------------------------------------------------------------------------
# What a student may not see
# --------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    return " ".join(text.split())


def secrets(source: NotebookNode, hidden: str = "") -> list[str]:
    """Lines of solutions, rubrics and the hidden tests' program that stand in no open part."""
    public: list[str] = []
    secret = [line for line in hidden.splitlines() if len(line.strip()) >= 25]
    for cell in source.cells:
        marks = tags(cell)
        if "rubric" in marks or ("answer" in marks and cell.cell_type == "markdown"):
            secret += cell.source.splitlines()
        elif "answer" in marks:
            left = starter(cell.source)
            public.append(left)
            mine = [
                line for line in solved(cell.source).splitlines() if line not in left.splitlines()
            ]
            secret += [re.sub(r"^\w+ = ", "", line) for line in mine]
        else:
            public.append(cell.source)
    shown = plain(" ".join(public))
    candidates = dict.fromkeys(plain(line) for line in secret)
    return [line for line in candidates if len(line) >= 10 and line not in shown]


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
        return plain(" ".join(strings))
    if path.suffix == ".zip":
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
            members = [member for member in Path(folder).rglob("*") if member.is_file()]
            return " ".join(visible_text(member) for member in members)
    text = path.read_text(encoding="utf-8", errors="ignore")
    if path.suffix in {".html", ".htm"}:
        # Highlighting cuts a line of code into many tags.
        return plain(text) + " " + plain(html.unescape(re.sub(r"<[^>]*>", "", text)))
    if path.suffix in {".js", ".json"}:
        text = text.encode().decode("unicode_escape", errors="ignore") + text
    return plain(text)


def find_leaks(hidden: Sequence[str], files: Iterable[Path]) -> list[str]:
    """Every secret that shows in ``files``, as "file: secret"."""
    leaks = []
    for path in files:
        text = visible_text(path)
        leaks += [f"{path}: {line}" for line in hidden if line in text]
    return leaks
