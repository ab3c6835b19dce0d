"""Which page answers which question of the courses: `book/course-questions.yml` and its answers.

A section that answers a question says so in a comment, with what answers it::

    % answers: A7 by prop-f-gan-activation, fig-f-gan-activations

Only a numbered statement, an executed figure or an exercise with a solution counts, on that page.
The directive ``{course-questions} A`` prints one source's table from these comments. A question
that no section answers has ``open`` in the list, with the reason: no answer gets lost unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools.guards import CHECKED_BY
from tools.sources import ROOT, Page, book_pages, code_cells

QUESTIONS = ROOT / "book" / "course-questions.yml"
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
        )
        for letter, entry in listed.items()
    }


def _labelled(directive: str, text: str) -> set[str]:
    """The labels of a page's directives of one name."""
    options = r".*\n(?::(?!label).*\n)*:label: (\S+)"
    return set(re.findall(rf"^[`:]{{3,}}\{{{directive}\}}{options}", text, re.M))


def countable(page: Page) -> set[str]:
    """Labels of a page's checked statements, executed figures and solved exercises."""
    cells = code_cells(page.notebook()) if page.is_notebook else []
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells]
    statements = _labelled(f"prf:(?:{'|'.join(CHECKED_BY)})", page.text)
    exercises = _labelled("exercise(?:-start)?", page.text)
    solved = set(re.findall(r"\{solution(?:-start)?\} (\S+)", page.text))
    return statements | {figure["name"] for figure in figures if figure} | exercises & solved


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


def table(letter: str, pages: Iterable[Page]) -> list[str]:
    """One source's questions and where each is answered, as lines of MyST."""
    source, found = sources()[letter], answers(pages)
    lines = ["| asked | answered in |", "| --- | --- |"]
    for row, question in source.questions.items():
        places = "; ".join(answer.text() for answer in found if answer.row == row)
        open_ = f"*not answered yet*: {source.open.get(row, 'lost')}"
        lines.append(f"| {question} | {places or open_} |")
    return lines


class CourseQuestions(SphinxDirective):
    """``{course-questions} A``: the table of one source."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        pages = book_pages()
        for path in [QUESTIONS, *(page.path for page in pages)]:
            self.env.note_dependency(str(path))
        if self.arguments[0] not in sources():
            raise self.error(f"no source {self.arguments[0]!r}; there are {', '.join(sources())}")
        return self.parse_text_to_nodes("\n".join(table(self.arguments[0], pages)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("course-questions", CourseQuestions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
