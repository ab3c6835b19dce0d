"""The directive `predict`: a question to which the reader commits before the answer shows.

The page holds all of it as plain HTML: the question, the options, and the answer folded under
them. ``book/static/predict.js`` makes a form of it, keeps the answer away until the reader has
committed, and lays the reader's answer over the right one. What may be written in the directive:
`tools.predictions`.
"""

from __future__ import annotations

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
from tools.prediction_text import drawing, facts, right_answer, truth_mark
from tools.predictions import PredictionError

SCRIPT = "predict.js"


class predict(nodes.General, nodes.Element):
    """A whole prediction."""


class predict_answer(nodes.General, nodes.Element):
    """What is folded: the answer and what judges it."""


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
                    f"{len(options.children)} read: a line `- text` each, indented where it goes on"
                )
        elif prediction.x and prediction.y:
            name = f"Empty axes: {prediction.x.name} across, {prediction.y.name} upwards"
            whole += self._raw(f'<div class="predict-axes">{drawing(prediction, name)}</div>')

        answer = predict_answer(classes=["predict-answer"])
        said = right_answer(prediction, truth)
        answer += nodes.paragraph(said, said, classes=["predict-right"])
        if prediction.x:
            picture = drawing(prediction, "The right answer", truth_mark(prediction, truth))
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
    other = (_pass, _pass)
    app.add_node(predict, html=(visit_predict, depart_predict), latex=other, text=other)
    app.add_node(predict_answer, html=(visit_answer, depart_answer), latex=other, text=other)
    app.add_directive("predict", PredictDirective)
    app.connect("html-page-context", load_script)
