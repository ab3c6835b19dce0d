"""An assignment as the batch and Gradescope ask it: sources, the judge, and what it depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from tools.grader import editions, gradebook, marking
from tools.grader.asking import Sandboxed
from tools.grader.editions import CHECKS_TITLE, Part


@dataclass(frozen=True)
class Course:
    """One variant of one assignment, with everything that grading needs."""

    assignment: marking.Assignment
    parts: list[Part]
    edition: NotebookNode  # the student's
    tests: str  # digest of all that decides marks

    @property
    def variant(self) -> str:
        """What the variant's notebooks say of it."""
        return str(self.edition.metadata["variant"])

    @property
    def own(self) -> list[str]:
        """The code that every student has got."""
        return [c.source for c in self.edition.cells if c.cell_type == "code"]

    def to_run(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        """The cells that are worth running: no checks, no unchanged figures; numbers kept."""
        figures = {c.source.strip() for c in self.edition.cells if "play" in editions.tags(c)}

        def keep(cell: str) -> bool:
            text = cell.strip()
            checks = text.startswith(CHECKS_TITLE) or (
                text.startswith("grader.check(") and "\n" not in text
            )
            return not checks and text not in figures

        return tuple(cell if keep(cell) else "" for cell in cells)

    def judge(self, secret: str) -> Any:
        """The batch's judge: asks every question, and gives what JSON can hold."""

        def ask(student: Sandboxed, digest: str) -> dict[str, Any]:
            handed_in = student.cells
            student.cells = self.to_run(handed_in)
            results = marking.ask(student, self.assignment, secret, digest)
            return {
                "questions": {
                    name: {"points": r.points, "lessons": [text[:600] for text in r.lessons]}
                    for name, r in results.items()
                },
                "faults": [fault for r in results.values() for fault in r.faults],
                "prints": gradebook.prints_of(handed_in, self.own),
            }

        return ask


def load(name: str, seed: str, sources: Path) -> Course:
    """The course's assignment ``name`` in the variant ``seed``."""
    assignment = marking.load(name, seed, sources)
    source = editions.read(sources / name / "source.md", assignment.k)
    edition = editions.notebook_edition(assignment, source, solutions=False)
    text = (sources / name / "questions.py").read_bytes() + repr(vars(assignment.k)).encode()
    tests = hashlib.sha256(text).hexdigest()
    return Course(assignment, editions.parts(source), edition, tests)
