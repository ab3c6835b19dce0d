"""Predictions as readers meet them: the drawing, the sentences, and the form in a notebook."""

from __future__ import annotations

import hashlib
import html
import itertools
import json
from collections.abc import Callable
from typing import Any

from tools.predictions import (
    RIGHT,
    Axis,
    Prediction,
    PredictionError,
    blocks,
    read,
    references,
    say,
    tolerance,
    value,
)

#: The drawing: its size, and the place of the axes in it (left, top, right, bottom).
WIDTH, HEIGHT = 400, 280
BOX = (60, 34, 384, 232)


def _place(axis: Axis, number: float, start: float, end: float) -> float:
    return start + (number - axis.low) / (axis.high - axis.low) * (end - start)


def _spot(prediction: Prediction, x: float, y: float) -> tuple[float, float]:
    """Where a point of the axes lies in the drawing."""
    assert prediction.x is not None
    assert prediction.y is not None
    left, top, right, bottom = BOX
    return (
        round(_place(prediction.x, x, left, right), 2),
        round(_place(prediction.y, y, bottom, top), 2),
    )


def truth_mark(prediction: Prediction, truth: Any) -> str:
    """The right curve or point, as SVG."""
    if prediction.kind == "point":
        x, y = _spot(prediction, *truth)
        return f'<path class="truth" d="M{x - 9} {y}h18M{x} {y - 9}v18"/>'
    spots = [_spot(prediction, x, y) for x, y in truth]
    return '<path class="truth" d="M' + "L".join(f"{x} {y}" for x, y in spots) + '"/>'


def drawing(prediction: Prediction, label: str, inside: str = "") -> str:
    """Axes with their names and three ticks each."""
    assert prediction.x is not None
    assert prediction.y is not None
    left, top, right, bottom = BOX
    marks = [f'<path class="axes" d="M{left} {top}V{bottom}H{right}"/>']
    for axis in (prediction.x, prediction.y):
        for number in (axis.low, (axis.low + axis.high) / 2, axis.high):
            if axis is prediction.x:
                x = _place(axis, number, left, right)
                end = "end" if number == axis.high else "middle"
                shift = 12 if number == axis.high else 0
                text = f'x="{x + shift:g}" y="{bottom + 18}" text-anchor="{end}"'
                line = f"M{x:g} {bottom}V{top}"
            else:
                y = _place(axis, number, bottom, top)
                text = f'x="{left - 11}" y="{y + 5:g}" text-anchor="end"'
                line = f"M{left} {y:g}H{right}"
            marks.append(f'<path class="grid" d="{line}"/><text {text}>{say(number)}</text>')
    middle = (left + right) / 2
    small = ' class="long"' if len(prediction.y.name) > 40 else ""
    names = (
        f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{html.escape(prediction.x.name)}</text>"
        f'<text x="0" y="16"{small}>{html.escape(prediction.y.name)}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(marks)}{names}{inside}</svg>"
    )


def interpolated(truth: list[list[float]], x: float) -> float | None:
    """The curve's value at x, or None outside it."""
    for (x0, y0), (x1, y1) in itertools.pairwise(truth):
        room = 1e-9 * (x1 - x0)
        if x0 - room <= x <= x1 + room:
            return y1 if x1 == x0 else y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    return None


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.5g}")


def abscissae(prediction: Prediction) -> list[float]:
    """Where the reader places the curve."""
    axis, steps = prediction.x, prediction.points - 1
    assert axis is not None
    return [axis.low + (axis.high - axis.low) * k / steps for k in range(prediction.points)]


def right_answer(prediction: Prediction, truth: Any) -> str:
    """The right answer as one sentence, for those who committed on paper."""
    if prediction.kind == "choice":
        several = len(truth) > 1
        return f"Right: option{'s' if several else ''} {' and '.join(map(str, truth))}."
    if prediction.kind == "number":
        return f"It is {say(truth)}{' ' + prediction.unit if prediction.unit else ''}."
    if prediction.kind == "point":
        return f"It lies at ({say(truth[0])}, {say(truth[1])})."
    known = [(x, interpolated(truth, x)) for x in abscissae(prediction)]
    places = ", ".join(f"({say(x)}, {say(y)})" for x, y in known if y is not None)
    return f"It runs through {places}."


def task(prediction: Prediction) -> tuple[str, str]:
    """What the reader is asked to do, and what is said when he commits without having done it."""
    if prediction.kind == "choice":
        several = len(prediction.right) > 1
        return ("Choose all that are right." if several else "Choose one."), "Choose first."
    if prediction.kind == "number":
        low, high = prediction.low, prediction.high
        bounds = [f"from {say(low)}"] if low is not None else []
        bounds += [f"to {say(high)}"] if high is not None else []
        entry = " ".join(["Enter a number", *bounds])
        return f"{entry}.", f"{entry} first."
    if prediction.kind == "curve":
        how = "Draw the curve: move each handle up or down, by hand or with the arrow keys."
        return how, "Move a handle first."
    return "Place the point, by hand or with the arrow keys.", "Move the point first."


def facts(prediction: Prediction, truth: Any) -> dict[str, Any]:
    """What the script needs to know."""
    told: dict[str, Any] = {"kind": prediction.kind}
    told["task"], told["missing"] = task(prediction)
    if prediction.kind == "number":
        unit = f" {prediction.unit}" if prediction.unit else ""
        told |= {"unit": unit, "low": prediction.low, "high": prediction.high}
    if prediction.x and prediction.y:
        told["x"] = [prediction.x.name, prediction.x.low, prediction.x.high]
        told["y"] = [prediction.y.name, prediction.y.low, prediction.y.high]
        told |= {"box": BOX, "within": RIGHT}
    if prediction.kind == "curve":
        told["at"] = [_rounded(x) for x in abscissae(prediction)]
    # A reader's answer is kept for this very question: not for the answer, which moves a little
    # whenever a chapter runs again.
    asked = "\n".join([*prediction.question, *(c for o in prediction.choices for c in o)])
    digest = hashlib.sha256(json.dumps([asked, told], sort_keys=True).encode()).hexdigest()[:8]
    if prediction.kind == "number":
        told["within"] = tolerance(prediction, truth)
    if prediction.kind == "curve":
        truth = [_rounded(interpolated(truth, x)) for x in abscissae(prediction)]
    return told | {"truth": truth, "of": digest}


def _asked(prediction: Prediction) -> str:
    """The question in a notebook: the options are a numbered list."""
    parts = ["**Predict.** " + "\n".join(prediction.question).strip()]
    if prediction.choices:
        lines = [
            "\n".join([f"{number}. {first}", *(f"   {line}".rstrip() for line in more)]).rstrip()
            for number, (first, *more) in enumerate(prediction.choices, start=1)
        ]
        parts.append("\n".join(lines))
    for axis, way in ((prediction.x, "Across"), (prediction.y, "Upwards")):
        if axis:
            parts.append(f"{way}: {axis.name}, from {say(axis.low)} to {say(axis.high)}.")
    if prediction.kind == "number":
        parts.append(task(prediction)[0])
    return "\n\n".join(parts)


def in_notebook(text: str, glued: Callable[[str], str | None]) -> str:
    """A Markdown cell whose predictions are plain Markdown, the answer folded under each.

    Jupyter knows no directive `predict`. ``glued`` is that of `tools.predictions.value`.
    """
    lines = text.splitlines()
    for first, last, options, content in reversed(list(blocks(text))):
        try:
            prediction = read(options, content)
            truth = value(prediction, glued)
        except PredictionError:
            continue  # the directive says what is wrong, and where
        parts = [
            _asked(prediction),
            "<details><summary>Answer</summary>",
            right_answer(prediction, truth),
            "\n".join(prediction.resolution).strip(),
            references(prediction),
            "</details>",
        ]
        lines[first : last + 1] = "\n\n".join(parts).splitlines()
    return "\n".join(lines)
