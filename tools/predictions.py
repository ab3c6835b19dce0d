"""Predictions in the sources: what the directive `predict` may say, and how it is read.

    ````{predict}
    :label: pre-lsgan-rest
    :kind: choice
    :answer: 2
    :judged: obs-lsgan-rest
    Where does training end?

    - At 0.
    - At 0.34.

    --- answer

    It rests at 0.34.
    ````

The directive (`tools.predict`), the guard and the notebooks for readers read it by the same rules.
"""

from __future__ import annotations

import ast
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from tools.sources import code_cells

KINDS = ("choice", "number", "curve", "point")
OPTIONS = {
    "choice": ("label", "kind", "answer", "judged"),
    "number": ("label", "kind", "answer", "judged", "unit", "low", "high", "within"),
    "curve": ("label", "kind", "answer", "judged", "x", "y", "points"),
    "point": ("label", "kind", "answer", "judged", "x", "y"),
}
#: which role refers to a label of a kind
ROLES = {
    **dict.fromkeys(("thm", "prop", "lem", "cor", "def", "obs", "alg", "rem"), "prf:ref"),
    "fig": "numref",
    "tab": "numref",
    "eq": "eq",
    "ex": "ref",
    "sec": "ref",
    "ch": "ref",
}
POINTS = range(2, 14)  # more handles would lie closer than a finger is wide
RIGHT = 0.1  # a number may be off by this part of the answer, a curve or point of the axis

FENCE = re.compile(r"^(`{3,}|:{3,})\{predict\}[ \t]*$")
ANSWER = re.compile(r"^--- *answer\s*$")
ITEM = re.compile(r"^[-*+] +(.*)$")
NUMBER = re.compile(r"^[\w.]+\(([^,()]+)(?:,.*)?\)$", re.S)  # np.float64(0.5), tensor(0.5)


class PredictionError(ValueError):
    """A prediction that cannot be used; the message says what is allowed."""


@dataclass(frozen=True)
class Axis:
    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Prediction:
    """One question with its answer, as it stands in the source."""

    label: str
    kind: str
    answer: str
    judged: tuple[str, ...]
    question: list[str]  # lines, less the options
    choices: list[list[str]]  # lines of each option
    resolution: list[str]  # lines after `--- answer`
    resolution_at: int  # where they begin
    unit: str = ""
    low: float | None = None
    high: float | None = None
    within: float | None = None
    x: Axis | None = None
    y: Axis | None = None
    points: int = 9

    @property
    def right(self) -> list[int]:
        """The numbers of the right options, from 1."""
        return [int(number) for number in self.answer.split(",")]


def role(label: str) -> str:
    """The role that refers to a label, by the label's first part."""
    kind = label.partition("-")[0]
    if kind not in ROLES:
        raise PredictionError(
            f"judged by {label!r}: the label of a statement, observation, figure, equation, "
            f"exercise or section was expected ({', '.join(ROLES)})"
        )
    return ROLES[kind]


def references(prediction: Prediction) -> str:
    """What judges a prediction, as a line of Markdown."""
    return "Judged by " + ", ".join(f"{{{role(n)}}}`{n}`" for n in prediction.judged) + "."


def plain_name(name: str) -> str:
    """An axis' name as plain text: a drawing renders no TeX."""

    def letter(match: re.Match[str]) -> str:
        try:
            return unicodedata.lookup(f"GREEK SMALL LETTER {match[1].upper()}")
        except KeyError:
            return match[1]

    return re.sub(r"\\([A-Za-z]+) ?", letter, name.replace("$", "")).strip()


def _number(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PredictionError(f":{name}: is {text!r}; a number was expected")
    return value


def _axis(text: str | None, name: str) -> Axis:
    parts = [part.strip() for part in (text or "").split("|")]
    if len(parts) != 3:
        raise PredictionError(
            f":{name}: is {text!r}; expected `:{name}: name of the axis | low | high`"
        )
    low, high = _number(parts[1], name), _number(parts[2], name)
    assert low is not None
    assert high is not None
    if not low < high:
        raise PredictionError(f":{name}: goes from {parts[1]} to {parts[2]}; low < high is needed")
    return Axis(plain_name(parts[0]), low, high)


def _split(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The question, and the options: the list of items with which it ends."""
    question: list[str] = []
    choices: list[list[str]] = []
    blank = True
    for line in lines:
        item = ITEM.match(line)
        if item:
            choices.append([item[1]])
        elif choices and (not line.strip() or line.startswith("  ") or not blank):
            choices[-1].append(line.strip())
        else:
            for choice in choices:  # a list inside the question
                question += [f"- {choice[0]}", *(f"  {more}".rstrip() for more in choice[1:])]
            choices = []
            question.append(line)
        blank = not line.strip()
    return question, choices


def read(options: Mapping[str, str | None], lines: list[str]) -> Prediction:
    """A prediction from its options and its content."""
    kind = options.get("kind")
    if kind not in KINDS:
        raise PredictionError(f":kind: is {kind!r}; expected one of {', '.join(KINDS)}")
    unknown = sorted(set(options) - set(OPTIONS[kind]))
    if unknown:
        raise PredictionError(
            f"unknown for the kind {kind}: {', '.join(unknown)}; allowed: "
            f"{', '.join(OPTIONS[kind])}"
        )
    given = {name: (options.get(name) or "").strip() for name in ("label", "answer", "judged")}
    missing = [f":{name}:" for name, text in given.items() if not text]
    if missing:
        raise PredictionError(f"{', '.join(missing)} missing")
    if not given["label"].startswith("pre-"):
        raise PredictionError(f":label: is {given['label']!r}; expected pre-<page>-<name>")
    judged = tuple(name.strip() for name in given["judged"].split(",") if name.strip())
    for name in judged:
        role(name)
    at = next((n for n, line in enumerate(lines) if ANSWER.match(line)), None)
    if at is None or not any(line.strip() for line in lines[at + 1 :]):
        raise PredictionError("no answer: a line `--- answer` and after it the answer's text")
    asked = lines[:at]
    choices: list[list[str]] = []
    if kind == "choice":
        asked, choices = _split(asked)
        if len(choices) < 2:
            raise PredictionError("a choice needs at least two options: a list ends the question")
        numbers = re.fullmatch(r"\d+(?:\s*,\s*\d+)*", given["answer"])
        wrong = [n for n in given["answer"].split(",") if not numbers or int(n) > len(choices)]
        if wrong or "0" in given["answer"].split(","):
            raise PredictionError(
                f":answer: is {given['answer']!r}; expected the numbers of right options, from 1 "
                f"to {len(choices)}"
            )
    if not any(line.strip() for line in asked):
        raise PredictionError("a prediction without a question")
    low, high = _number(options.get("low"), "low"), _number(options.get("high"), "high")
    if low is not None and high is not None and not low < high:
        raise PredictionError(f"the entry goes from {low:g} to {high:g}; low < high is needed")
    drawn = kind in ("curve", "point")
    points = _number(options.get("points") or "9", "points") or 0
    if points not in POINTS:
        raise PredictionError(f":points: is {points:g}; from {POINTS[0]} to {POINTS[-1]}")
    return Prediction(
        label=given["label"],
        kind=kind,
        answer=given["answer"],
        judged=judged,
        question=asked,
        choices=choices,
        resolution=lines[at + 1 :],
        resolution_at=at + 1,
        unit=(options.get("unit") or "").strip(),
        low=low,
        high=high,
        within=_number(options.get("within"), "within"),
        x=_axis(options.get("x"), "x") if drawn else None,
        y=_axis(options.get("y"), "y") if drawn else None,
        points=int(points),
    )


def blocks(text: str) -> Iterator[tuple[int, int, dict[str, str], list[str]]]:
    """Each prediction of a Markdown text: first and last line (from 0), options, content."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence:
            first = number
            number += 1
            options = {}
            while number < len(lines) and (
                found := re.match(r"^:([\w-]+):(?: +(.*?))?\s*$", lines[number])
            ):
                options[found[1]] = found[2] or ""
                number += 1
            start = number
            close = re.compile(rf"^{re.escape(fence[1][0])}{{{len(fence[1])},}}\s*$")
            while number < len(lines) and not close.match(lines[number]):
                number += 1
            yield first, number, options, lines[start:number]
        number += 1


def glued(notebook: NotebookNode) -> dict[str, str]:
    """The text of each value that the notebook's cells glued."""
    found = {}
    for cell in code_cells(notebook):
        for output in cell.get("outputs", []):
            told = output.get("metadata", {}).get("scrapbook")
            if told:
                kind = f"{told.get('mime_prefix', '')}text/plain"
                found[told["name"]] = str(output["data"].get(kind, ""))
    return found


def plain(text: str) -> str:
    """A glued value's text less what Python's representation adds to it."""
    text = text.strip()
    if text[:1] in "'\"":
        text = str(ast.literal_eval(text))
    found = NUMBER.match(text)
    return (found[1] if found else text).strip().replace("−", "-")


def value(prediction: Prediction, glued: Callable[[str], str | None]) -> Any:
    """The right answer: option numbers, a number, a point, or the points of a curve by rising x.

    ``glued`` gives the text of a value that a cell of the page glued, or None.
    """
    name = prediction.answer
    if prediction.kind == "choice":
        return prediction.right
    text = name
    if not re.match(r"^[-+\d.\[]", name):
        found = glued(name)
        if found is None:
            raise PredictionError(f":answer: is {name!r}, which no cell of the page glues")
        text = plain(found)
    if prediction.kind == "number":
        return _check_number(prediction, text)
    try:
        points = json.loads(text)
    except ValueError:
        points = None
    wanted = [points] if prediction.kind == "point" else points
    if not (
        isinstance(wanted, list)
        and len(wanted) >= (1 if prediction.kind == "point" else 2)
        and all(isinstance(p, list) and len(p) == 2 for p in wanted)
        and all(isinstance(v, (int, float)) and math.isfinite(v) for p in wanted for v in p)
    ):
        shape = "[x, y]" if prediction.kind == "point" else "a list of [x, y]"
        raise PredictionError(f"the answer {name!r} is {text[:60]!r}; expected {shape} as JSON")
    for axis, values in zip((prediction.x, prediction.y), zip(*wanted, strict=True), strict=True):
        assert axis is not None
        room = 1e-9 * (axis.high - axis.low)
        if min(values) < axis.low - room or max(values) > axis.high + room:
            raise PredictionError(
                f"the axis {axis.name!r} goes from {axis.low:g} to {axis.high:g} and does not "
                f"hold the answer, which goes from {min(values):g} to {max(values):g}"
            )
    return points if prediction.kind == "point" else sorted(points)


def _check_number(prediction: Prediction, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PredictionError(f"the answer {prediction.answer!r} is {text!r}, which is no number")
    low, high = prediction.low, prediction.high
    if (low is not None and number < low) or (high is not None and number > high):
        raise PredictionError(
            f"the answer {number:g} lies outside the entry's range, {low} to {high}"
        )
    return number


def tolerance(prediction: Prediction, number: float) -> float:
    """By how much a number may be off and still be right."""
    if prediction.within is not None:
        return prediction.within
    if number:
        return RIGHT * abs(number)
    if prediction.low is not None and prediction.high is not None:
        return RIGHT / 2 * (prediction.high - prediction.low)
    return 0.0


def say(number: float) -> str:
    """A number as a reader wants it."""
    text = f"{number:.0f}" if 1000 <= abs(number) < 1e15 else f"{number:.4g}"
    return text.replace("-", "−")
