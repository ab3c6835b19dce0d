"""An assignment's questions asked of one student: marks and lessons.

The loop that the batch, Gradescope and the tests of the tests share. A test's own failure costs
the student nothing: it is reported to the teacher, and its points are given.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.grader import asking
from tools.grader.asking import Injection
from tools.grader.questions import Constants, Draw, Nothing, Question

PUBLIC_SEED = "book"  # the variant of the published book
RECORDER = """
_printed = []
def print(*values, **options):
    _printed.append(values[0] if len(values) == 1 else None)
def printed_last():
    return _printed.pop() if _printed else None
"""
PRINTED = (
    "{what} prints its result and returns nothing: what is printed cannot be used further. End the "
    "function with return."
)
FAULT = (
    "this test failed by itself, which is no fault of yours: its points are given, and your "
    "teacher sees this."
)


@dataclass(frozen=True)
class Assignment:
    """The questions of a variant: ``k`` are its constants."""

    name: str
    module: ModuleType
    k: Constants

    @property
    def questions(self) -> list[Question]:
        return list(self.module.QUESTIONS)

    @property
    def points(self) -> float:
        return sum(q.points for q in self.questions)


def load(name: str, seed: str = PUBLIC_SEED, sources: Path | None = None) -> Assignment:
    """The questions of ``exercises/NAME/questions.py`` with the constants of ``seed``."""
    folder = (sources or Path(__file__).resolve().parents[2] / "exercises") / name
    label = "questions_of_" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    if label not in sys.modules:
        spec = importlib.util.spec_from_file_location(label, folder / "questions.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[label] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[label]
            raise
    module = sys.modules[label]
    return Assignment(name, module, constants(module, name, seed))


def constants(module: ModuleType, name: str, seed: str) -> Constants:
    """What the variant ``seed`` draws; another than the public one shares no answer with it."""
    public = Constants(**module.constants(Draw("variant", name, PUBLIC_SEED)))
    if seed == PUBLIC_SEED:
        return public
    for attempt in range(1000):
        k = Constants(**module.constants(Draw("variant", name, seed, str(attempt))))
        if not module.similar(k, public):
            return k
    raise ValueError(f"{name}: no variant of seed {seed!r} differs from the public one")


@dataclass
class Result:
    """What a question gave: points, lessons, and the tests that are themselves at fault."""

    points: float = 0.0
    lessons: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Printing:
    """A student whose functions print: what was printed last stands for what is returned."""

    def __init__(self, student: Any) -> None:
        self.student = student
        self.used = ""

    def call(self, name: str | None, *args: Any, **options: Any) -> Any:
        reply = self.student.call(name, *args, **options)
        if reply.value is None and name:
            printed = self.student.call("printed_last").value
            if printed is None:
                raise Nothing(name)
            self.used = self.used or name
            reply = replace(reply, value=printed)
        return reply

    def __getattr__(self, name: str) -> Any:
        return getattr(self.student, name)


def recording(injection: Injection | None) -> Injection:
    """The same injection, and a ``print`` that remembers what it showed last."""
    names, source = (injection.names, injection.source) if injection else ((), "")
    return Injection(("print", "printed_last", *names), RECORDER + source)


def ask(
    student: Any,
    assignment: Assignment,
    secret: str,
    digest: str,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, Result]:
    """Ask every question, in order. ``secret`` and the submission's ``digest`` key the draws."""
    results: dict[str, Result] = {}
    for question in assignment.questions:
        progress(question.name)
        result = results[question.name] = Result()
        injection = question.inject(assignment.k) if question.inject else None
        student.begin(question.seconds, injection)
        for test in question.tests:
            key = (secret, digest, assignment.name, question.name, test.name)
            share, lesson, fault = _run(test.run, student, key, assignment.k)
            if isinstance(share, Nothing) and not defines(student, share.name, "print("):
                share = 0.0
            if isinstance(share, Nothing):  # does it print its result?
                student.begin(question.seconds, recording(injection))
                share, lesson = _printed(test.run, student, key, assignment.k, lesson)
                student.begin(question.seconds, injection)
            lesson = with_cause(student, lesson)
            result.points += share * test.points
            result.lessons += [lesson] if lesson and lesson not in result.lessons else []
            result.faults += [f"{question.name}.{test.name}: {fault}"] if fault else []
        result.points = round(result.points, 2)
    student.end()
    return results


def defines(student: Any, name: str, text: str = "") -> int:
    """The number of the last cell that defines ``name`` and holds ``text``; 0 if there is none."""
    pattern = re.compile(
        rf"^(?:def\s+{re.escape(name)}\b|{re.escape(name)}\s*(?::[^=\n]*)?=)", re.M
    )
    found = [n for n, c in enumerate(student.cells, 1) if text in c and pattern.search(c)]
    return found[-1] if found else 0


def with_cause(student: Any, lesson: str) -> str:
    """A lesson "NAME is empty", with what stopped the cell that should define it."""
    name, empty, _ = lesson.partition(" is empty or not defined")
    cell = defines(student, name) if empty else 0
    why = next((note.text for note in student.notes if note.cell == cell), "")
    return (
        f"{name} is not there: the cell that defines it, code cell {cell}, {why}" if why else lesson
    )


def _run(
    run: Callable[..., None], student: Any, key: Sequence[str], k: Constants
) -> tuple[float | Nothing, str, str]:
    """(share of the points, or what returned nothing; lesson; fault of the test itself)."""
    try:
        run(student, Draw(*key), k)
        return 1.0, "", ""
    except Nothing as nothing:
        return nothing, str(nothing), ""
    except asking.Wrong as wrong:
        return getattr(wrong, "keeps", 0.0), str(wrong), ""
    except Exception as error:
        return 1.0, FAULT, f"{type(error).__name__}: {error}"[:300]


def _printed(
    run: Callable[..., None], student: Any, key: Sequence[str], k: Constants, lesson: str
) -> tuple[float, str]:
    """(share, lesson) of a function that returns nothing."""
    printing = Printing(student)
    try:
        run(printing, Draw(*key), k)
    except Exception:
        return 0.0, PRINTED.format(what=printing.used) if printing.used else lesson
    return 0.5, PRINTED.format(what=printing.used)
