"""What answers which question of the courses, and what asks it: `book/course-questions.yml`.

A section that answers a question says so in a comment, with what answers it::

    % answers: A7 by prop-f-gan-activation, fig-f-gan-activations

Only a numbered statement, an executed figure or an exercise with a solution counts, on that page.
A question that no section answers has ``open`` in the list, with the reason: no answer gets lost
unseen. The list's ``variations`` name what asks a student for a variation of it, a question of an
assignment (``the-game/the proof, in words``) or an exercise with a solution, and ``left`` what none
does. The directive ``{course-questions} A`` prints one source's table of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools.guards import CHECKED_BY
from tools.sources import ROOT, Page, book_pages, code_cells

QUESTIONS = ROOT / "book" / "course-questions.yml"
ASSIGNMENTS = ROOT / "exercises"
ANSWER = re.compile(r"^% answers:\s*(.*?)\s*$", re.M)
WELL_FORMED = re.compile(r"([A-Z]\d+) by ([\w-]+(?:, [\w-]+)*)")
ROLES = {"fig": "numref", "ex": "ref", "ch": "ref", "slip": "ref"}  # of other labels: prf:ref


def link(label: str) -> str:
    """A reference to a label as MyST, by the role that its kind needs."""
    return f"{{{ROLES.get(label.split('-')[0], 'prf:ref')}}}`{label}`"


@dataclass(frozen=True)
class Source:
    """One course: its name in our words, and its questions by row."""

    name: str
    questions: dict[str, str]
    open: dict[str, str]  # row -> why no page answers it
    variations: dict[str, list[str]]  # row -> questions of assignments, labels of exercises
    left: dict[str, str]  # row -> what of it none of these asks for


@dataclass(frozen=True)
class Answer:
    """A row, the page that answers it and the labels of what does."""

    row: str
    page: Page
    labels: tuple[str, ...]

    def text(self) -> str:
        """The answer as MyST."""
        return f"{{doc}}`/{self.page.name}`: {', '.join(map(link, self.labels))}"


def sources() -> dict[str, Source]:
    """The list of questions: source by letter."""
    listed = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    return {
        letter: Source(
            entry["source"],
            {row: q if isinstance(q, str) else q["asks"] for row, q in entry["rows"].items()},
            {row: q["open"] for row, q in entry["rows"].items() if not isinstance(q, str)},
            entry["variations"],
            entry.get("left", {}),
        )
        for letter, entry in listed.items()
    }


@dataclass(frozen=True)
class Task:
    """A question of an assignment."""

    assignment: str  # the folder
    theme: str  # of the assignment, as its page is called
    name: str  # such as q3

    def text(self) -> str:
        """The question as MyST: its number, a link."""
        return f"{{ref}}`{self.name[1:]} <assignment-{self.assignment}-{self.name}>`"


def tasks(folder: Path = ASSIGNMENTS) -> dict[str, Task]:
    """Every question of the assignments by ``assignment/title``."""
    found = {}
    for path in sorted(folder.glob("*/source.md")):
        text, assignment = path.read_text(encoding="utf-8"), path.parent.name
        theme = re.search(r"^# Assignment: (.*)$", text, re.M)
        if theme is None:
            raise ValueError(f"{path} needs a line such as '# Assignment: the game'")
        for number, title in re.findall(r"^### Question (\d+): (.*?)(?: \(.*\))?$", text, re.M):
            found[f"{assignment}/{title}"] = Task(assignment, theme[1], f"q{number}")
    return found


def _labelled(directive: str, text: str) -> set[str]:
    """The labels of a page's directives of one name."""
    options = r".*\n(?::(?!label).*\n)*:label: (\S+)"
    return set(re.findall(rf"^[`:]{{3,}}\{{{directive}\}}{options}", text, re.M))


def countable(page: Page) -> set[str]:
    """Labels of a page's checked statements, executed figures and solved exercises."""
    cells = code_cells(page.notebook()) if page.is_notebook else []
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells]
    statements = _labelled(f"prf:(?:{'|'.join(CHECKED_BY)})", page.text)
    return statements | {figure["name"] for figure in figures if figure} | solved(page)


def solved(page: Page) -> set[str]:
    """Labels of a page's exercises that have a solution."""
    solutions = set(re.findall(r"\{solution(?:-start)?\} (\S+)", page.text))
    return _labelled("exercise(?:-start)?", page.text) & solutions


def answers(pages: Iterable[Page]) -> list[Answer]:
    """Every well-formed answer of the pages, in reading order."""
    return [
        Answer(line[1], page, tuple(line[2].split(", ")))
        for page in pages
        for text in ANSWER.findall(page.text)
        if (line := WELL_FORMED.fullmatch(text))
    ]


def answers_count(page: Page) -> Iterator[str]:
    """Each ``% answers:`` names a row and what counts as an answer to it, on the page itself."""
    rows = {row for source in sources().values() for row in source.questions}
    there = countable(page)
    for text in ANSWER.findall(page.text):
        line = WELL_FORMED.fullmatch(text)
        if line is None:
            yield f"% answers: {text!r}; expected such as: A7 by prop-f-gan-activation, fig-f-gan-x"
            continue
        if line[1] not in rows:
            yield f"% answers: there is no row {line[1]} in {QUESTIONS.name}"
        for label in line[2].split(", "):
            if label not in there:
                yield (
                    f"% answers: {line[1]} by {label}: no checked statement, executed figure or "
                    "exercise with a solution of this page has that label"
                )


def lost(pages: Iterable[Page]) -> Iterator[str]:
    """Rows without an answer that are not marked open, and open ones that have one."""
    answered = {answer.row for answer in answers(pages)}
    for source in sources().values():
        for row, question in source.questions.items():
            if row not in answered and row not in source.open:
                yield f"{row} ({question}): no section answers it; add `% answers: {row} by ...`"
            if row in answered and row in source.open:
                yield f"{row} is answered: take its `open` out of {QUESTIONS.name}"


def unasked(pages: Iterable[Page], folder: Path = ASSIGNMENTS) -> Iterator[str]:
    """Variations that are gone, and rows that nobody is asked for, without a word on it."""
    there = set(tasks(folder)).union(*map(solved, pages))
    for source in sources().values():
        for row in source.questions:
            if not source.variations.get(row) and row not in source.left:
                yield f"{row}: nothing asks for a variation; name what does, or say so in `left`"
        for row in {*source.variations, *source.left} - set(source.questions):
            yield f"{row}: there is no such row"
        for row, named in source.variations.items():
            for name in set(named) - there:
                yield f"{row}: no question of an assignment, no solved exercise is {name}"


def variations(row: str, source: Source) -> str:
    """What asks for a variation of a row, as MyST: questions by assignment, then exercises."""
    known, themes, exercises = tasks(), dict[str, list[Task]](), []
    for name in source.variations.get(row, []):
        if name in known:
            themes.setdefault(known[name].theme, []).append(known[name])
        else:
            exercises.append(link(name))
    texts = [
        f"{{doc}}`{theme} </exercises/{asked[0].assignment}>` {', '.join(t.text() for t in asked)}"
        for theme, asked in themes.items()
    ]
    if row in source.left:
        how_far = "not asked" if texts or exercises else "open"
        return "; ".join([*texts, *exercises, f"*{how_far}*: {source.left[row]}"])
    return "; ".join([*texts, *exercises])


def table(letter: str, pages: Iterable[Page]) -> list[str]:
    """One source's questions, where each is answered and what varies it, as lines of MyST."""
    source, found = sources()[letter], answers(pages)
    lines = ["| asked | answered in | for students |", "| --- | --- | --- |"]
    for row, question in source.questions.items():
        places = "; ".join(answer.text() for answer in found if answer.row == row)
        open_ = f"*not answered yet*: {source.open.get(row, 'lost')}"
        lines.append(f"| {question} | {places or open_} | {variations(row, source)} |")
    return lines


class CourseQuestions(SphinxDirective):
    """``{course-questions} A``: the table of one source."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        pages = book_pages()
        sources_of_tasks = ASSIGNMENTS.glob("*/source.md")
        for path in [QUESTIONS, *sources_of_tasks, *(page.path for page in pages)]:
            self.env.note_dependency(str(path))
        if self.arguments[0] not in sources():
            raise self.error(f"no source {self.arguments[0]!r}; there are {', '.join(sources())}")
        return self.parse_text_to_nodes("\n".join(table(self.arguments[0], pages)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("course-questions", CourseQuestions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
