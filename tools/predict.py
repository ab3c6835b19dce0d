"""The directive `predict`: a question to which the reader commits before the answer shows.

The page holds all of it as plain HTML: the question, the options, and the answer folded under
them. ``book/static/predict.js`` makes a form of it, keeps the answer away until the reader has
committed, and lays the reader's answer over the right one. What may be written in the directive:
`tools.predictions`.
"""

from __future__ import annotations

import hashlib
import html
import json
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from myst_nb.core.variables import RetrievalError
from myst_nb.ext.glue.utils import retrieve_glue_data
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools import predictions
from tools.predictions import Axis, Prediction, PredictionError, say

SCRIPT = "predict.js"
#: The drawing: its size, and the place of the axes in it (left, top, right, bottom).
WIDTH, HEIGHT = 400, 280
BOX = (52, 34, 384, 232)


class predict(nodes.General, nodes.Element):
    """A whole prediction."""


class predict_answer(nodes.General, nodes.Element):
    """What is folded: the answer and what judges it."""


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
        return f'<path class="truth" d="M{x - 8} {y}H{x + 8}M{x} {y - 8}V{y + 8}"/>'
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
                text = f'x="{left - 6}" y="{y + 5:g}" text-anchor="end"'
                line = f"M{left} {y:g}H{right}"
            marks.append(f'<path class="grid" d="{line}"/><text {text}>{say(number)}</text>')
    middle = (left + right) / 2
    names = (
        f'<text x="{middle:g}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{html.escape(prediction.x.name)}</text>"
        f'<text x="4" y="16">{html.escape(prediction.y.name)}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(marks)}{names}{inside}</svg>"
    )


def interpolated(truth: list[list[float]], x: float) -> float | None:
    """The curve's value at x, or None outside it."""
    for (x0, y0), (x1, y1) in zip(truth, truth[1:], strict=False):
        if x0 <= x <= x1:
            return y1 if x1 == x0 else y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    return None


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


def facts(prediction: Prediction, truth: Any) -> dict[str, Any]:
    """What the script needs to know."""
    told: dict[str, Any] = {"kind": prediction.kind, "truth": truth}
    if prediction.kind == "number":
        told |= {"unit": prediction.unit, "low": prediction.low, "high": prediction.high}
        told["within"] = predictions.tolerance(prediction, truth)
    if prediction.x and prediction.y:
        told["x"] = [prediction.x.name, prediction.x.low, prediction.x.high]
        told["y"] = [prediction.y.name, prediction.y.low, prediction.y.high]
        told |= {"box": BOX, "within": predictions.RIGHT}
    if prediction.kind == "curve":
        told["at"] = abscissae(prediction)
    asked = "\n".join([*prediction.question, *(c for o in prediction.choices for c in o)])
    whole = json.dumps([asked, told], sort_keys=True)
    return told | {"of": hashlib.sha256(whole.encode()).hexdigest()[:8]}


class PredictDirective(SphinxDirective):
    """A question, its options, and after the line `--- answer` the answer."""

    has_content = True
    option_spec = dict.fromkeys(
        sorted({name for names in predictions.OPTIONS.values() for name in names}),
        directives.unchanged,
    )

    def _glued(self, name: str) -> str | None:
        try:
            return str(retrieve_glue_data(self.state.document, name).data.get("text/plain", ""))
        except RetrievalError:
            return None

    def _parsed(self, lines: list[str], offset: int, name: str) -> nodes.container:
        box = nodes.container(classes=[name])
        content = StringList(lines, items=[(self.get_source_info()[0], offset)] * len(lines))
        self.state.nested_parse(content, self.content_offset + offset, box)
        return box

    def run(self) -> list[nodes.Node]:
        try:
            prediction = predictions.read(self.options, list(self.content))
            truth = predictions.value(prediction, self._glued)
        except PredictionError as error:
            raise self.error(f"predict: {error}") from error
        told = facts(prediction, truth)
        whole = predict(classes=["predict"], facts=told)
        whole["names"].append(prediction.label)
        self.set_source_info(whole)
        self.state.document.note_explicit_target(whole, whole)

        asked = self._parsed(
            list(self.content)[: prediction.resolution_at - 1], 0, "predict-question"
        )
        whole += asked
        if prediction.kind == "choice":
            bullets = asked.children[-1]
            if not isinstance(bullets, nodes.bullet_list):
                raise self.error("predict: the options are a list, and nothing follows them")
            asked.remove(bullets)
            options = nodes.enumerated_list("", *bullets.children, enumtype="arabic", suffix=".")
            options["prefix"] = ""
            options["classes"].append("predict-options")
            whole += options
            if len(options.children) != len(prediction.choices):
                raise self.error(
                    f"predict: {len(prediction.choices)} options were written and "
                    f"{len(options.children)} read: one line `- text` each, indented where it goes on"
                )
        elif prediction.x and prediction.y:
            name = f"Empty axes: {prediction.x.name} across, {prediction.y.name} upwards"
            whole += self._raw(f'<div class="predict-axes">{drawing(prediction, name)}</div>')

        answer = predict_answer(classes=["predict-answer"])
        said = right_answer(prediction, truth)
        answer += nodes.paragraph(said, said, classes=["predict-right"])
        if prediction.x:
            picture = drawing(prediction, said, truth_mark(prediction, truth))
            answer += self._raw(f'<div class="predict-truth">{picture}</div>')
        answer += self._parsed(
            prediction.resolution, prediction.resolution_at, "predict-resolution"
        )
        answer += self._parsed([predictions.references(prediction)], 0, "predict-judged")
        whole += answer
        return [whole]

    @staticmethod
    def _raw(text: str) -> nodes.raw:
        return nodes.raw("", text, format="html")


def visit_predict(self: Any, node: predict) -> None:
    told = json.dumps(node["facts"], separators=(",", ":"))
    self.body.append(self.starttag(node, "div", **{"data-facts": told}))
    self.body.append('<p class="predict-title">Predict</p>\n')


def depart_predict(self: Any, node: predict) -> None:
    self.body.append("</div>\n")


def visit_answer(self: Any, node: predict_answer) -> None:
    self.body.append(self.starttag(node, "details") + "<summary>Answer</summary>\n")


def depart_answer(self: Any, node: predict_answer) -> None:
    self.body.append("</details>\n")


def _pass(self: Any, node: nodes.Node) -> None:
    """Other builders print the question and the answer one after the other."""


def load_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """A page with a prediction loads the script; no other page does."""
    if doctree is not None and next(doctree.findall(predict), None) is not None:
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app: Sphinx) -> None:
    others = {name: (_pass, _pass) for name in ("latex", "text", "man", "texinfo")}
    app.add_node(predict, html=(visit_predict, depart_predict), **others)
    app.add_node(predict_answer, html=(visit_answer, depart_answer), **others)
    app.add_directive("predict", PredictDirective)
    app.connect("html-page-context", load_script)
