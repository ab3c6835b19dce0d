"""A class that hands in `the-game`: honest, wrong, careless and damaged files, with what is due."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from game_answers import MISTAKES, OWN, PLAIN, weights

from tools.grader import editions
from tools.grader.course import Course

WORDS = "We use $\\log t\\le t-1$. <script>alert(1)</script>"
FULL = 25.0
#: What somebody puts before the answers, on purpose or not; it costs nothing.
BEFORE = [
    "exit()",
    "while True:\n    pass",
    "%cd /",
    "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "import atexit\natexit.register(lambda: open('results.json', 'w').write('{\"q1\": 99}'))",
]
#: What is no submission.
BROKEN = {
    ".ipynb": [b"[1, 2]", b"", b"[" * 100_000, '{"cells": "m\xfcde"}'.encode("latin-1")],
    ".zip": [b"PK\x03\x04 and no more"],
}


@dataclass
class Class:
    """Files on disk, and for each label the points due, or None for what is no submission."""

    folder: Path
    due: dict[str, float | None] = field(default_factory=dict)

    def add(
        self, course: Course, label: str, answers: dict[str, str], due: float, before: str = ""
    ) -> None:
        notebook = copy.deepcopy(course.edition)
        if before:
            notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
        done: set[str] = set()
        for cell in notebook.cells:
            question = cell.metadata.get("question", "")
            if "answer" not in editions.tags(cell):
                continue
            if cell.cell_type == "markdown":
                cell.source = WORDS
            else:  # a question's answers in its first cell
                new = question not in done
                cell.source = weights(answers[question], course.assignment.k) if new else ""
                done.add(question)
        nbformat.write(notebook, self.folder / label)
        self.due[label] = due


def hand_in(folder: Path, course: Course, size: int) -> Class:
    """``size`` files: every tenth careless or hostile, every tenth damaged, the others right or
    wrong in one place."""
    made = Class(folder)
    wrong = [m for m in MISTAKES if m.deserved < {"q2": 3, "q8": 4}.get(m.question, 2)]
    full = {q.name: q.points for q in course.assignment.questions}
    careless = [
        ("loop", "q9", PLAIN["q9"].replace("for _ in range(600):", "while True:"), full["q9"]),
        (
            "kill",
            "q2",
            "import os\ndef discriminator_loss_from_logits(s, t):\n    os._exit(0)",
            full["q2"],
        ),
        ("syntax", "q5", "D_lsgan = = 3", full["q5"]),
    ]
    broken = [(suffix, content) for suffix, files in BROKEN.items() for content in files]
    for number in range(size):
        label = f"s{number:03d}.ipynb"
        if number % 10 == 9:
            suffix, content = broken[number // 10 % len(broken)]
            label = f"s{number:03d}{suffix}"
            (folder / label).write_bytes(content)
            made.due[label] = None
        elif number % 20 == 4:
            _, question, code, lost = careless[number // 20 % 3]
            made.add(course, label, {**PLAIN, question: code}, FULL - lost)
        elif number % 20 == 14:
            made.add(course, label, PLAIN, FULL, BEFORE[number // 20 % len(BEFORE)])
        elif number % 3 == 2:
            mistake = wrong[number % len(wrong)]
            lost = full[mistake.question] - mistake.deserved
            made.add(course, label, {**PLAIN, mistake.question: mistake.code}, FULL - lost)
        else:
            made.add(course, label, OWN if number % 2 else PLAIN, FULL)
    return made


def scores(out: Path) -> dict[str, float | None]:
    """label -> points by program, from the records."""
    found: dict[str, float | None] = {}
    for path in (out / "results").glob("*.json"):
        record = json.loads(path.read_text())
        questions = record["result"].get("questions")
        found[record["label"]] = sum(q["points"] for q in questions.values()) if questions else None
    return found
