"""Predictions: what the sources may say, what a page and a notebook make of it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import nbformat
import predict_sample
import pytest

from tools import download, prediction_text, predictions
from tools.predictions import PredictionError


def read(name: str, old: str = "", new: str = "") -> predictions.Prediction:
    text = predict_sample.prediction(name)
    assert old in text
    ((_, _, options, content),) = predictions.blocks(text.replace(old, new) if old else text)
    return predictions.read(options, content)


GLUED = {"sample-rest": "'0.34'", "sample-curve": repr(json.dumps(predict_sample.CURVE))}


def test_a_choice_is_read() -> None:
    choice = read("choice")
    assert choice.right == [2]
    assert [option[0] for option in choice.choices] == [
        "At 0.",
        "At 0.34, which is",
        "It never rests.",
    ]
    assert "".join(choice.question) == "Where does training end?"
    assert choice.judged == ("thm-sample-sum", "eq-sample-sum")
    assert predictions.references(choice) == (
        "Judged by {prf:ref}`thm-sample-sum`, {eq}`eq-sample-sum`."
    )
    assert read("several").right == [1, 3]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.34", 0.34),
        ("'0.34'", 0.34),
        ("np.float64(0.34)", 0.34),
        ("tensor(0.34, dtype=torch.float64)", 0.34),
        ("'−0.5e-3'", -0.0005),
        ("7", 7.0),
    ],
)
def test_a_glued_number_is_read_as_python_prints_it(text: str, number: float) -> None:
    wide = read("number", ":low: 0\n", ":low: -10\n")
    if number > 1:
        wide = read("number", ":high: 1\n", ":high: 10\n")
    assert predictions.value(wide, {"sample-rest": text}.get) == number


def test_what_counts_as_right() -> None:
    assert predictions.tolerance(read("number"), 0.34) == pytest.approx(0.034)
    assert predictions.tolerance(read("number"), 0.0) == pytest.approx(0.05)
    given = read("number", ":low: 0\n", ":low: 0\n:within: 0.2\n")
    assert predictions.tolerance(given, 0.34) == 0.2


def test_a_curve_is_placed_where_it_is_known() -> None:
    curve = read("curve", ":x: distance $\\theta$ | 0 | 4", ":x: distance $\\theta$ | 0 | 8")
    truth = predictions.value(curve, GLUED.get)
    told = prediction_text.facts(curve, truth)
    assert told["at"] == [float(k) for k in range(9)]
    known = [y for y in told["truth"] if y is not None]
    assert known == [dict(map(tuple, predict_sample.CURVE))[float(k)] for k in range(5)]
    assert told["x"] == ["distance θ", 0.0, 8.0]


def test_a_readers_answer_outlives_a_new_run_and_no_new_question() -> None:
    def of(number: str, **changes: str) -> str:
        prediction = read("number", *changes.values())
        return prediction_text.facts(prediction, float(number))["of"]

    assert of("0.34") == of("0.35")
    assert of("0.34") != of("0.34", old="How much", new="How little")


FAULTS = {
    "kind": (("choice", ":kind: choice", ":kind: guess"), "expected one of choice, number"),
    "no kind": (("choice", ":kind: choice\n", ""), "expected one of choice"),
    "option of another kind": (("choice", ":answer: 2", ":answer: 2\n:unit: m"), "allowed: label"),
    "no judge": (("choice", ":judged: thm-sample-sum, eq-sample-sum\n", ""), ":judged: missing"),
    "judge of no kind": (("several", "thm-sample-sum", "sum"), "'sum': the label of a statement"),
    "label": (("choice", "pre-sample-rest", "sample-rest"), "expected pre-"),
    "no answer": (("choice", "--- answer", ""), "no answer: a line"),
    "an empty answer": (("several", "Two and four.", ""), "no answer: a line"),
    "fourth of three": (("choice", ":answer: 2", ":answer: 4"), "from 1 to 3"),
    "zeroth": (("several", ":answer: 1, 3", ":answer: 0, 3"), "from 1 to 3"),
    "answer in words": (("choice", ":answer: 2", ":answer: second"), "from 1 to 3"),
    "one option": (("several", "- 3\n- 4\n", ""), "at least two options"),
    "text after the options": (("several", "- 4\n", "- 4\n\nSo?\n"), "at least two options"),
    "no question": (("several", "Which are even?\n", ""), "without a question"),
    "range": (("number", ":high: 1", ":high: -1"), "low < high"),
    "bound in words": (("number", ":high: 1", ":high: one"), "a number was expected"),
    "axis": (("curve", " | 0 | 4", " | 0"), "expected `:x: name of the axis | low | high`"),
    "axis backwards": (("curve", " | 0 | 4", " | 4 | 0"), "low < high"),
    "too many handles": (("curve", ":kind: curve", ":kind: curve\n:points: 40"), "from 2 to 13"),
}
VALUE_FAULTS = {
    "not glued": (("number", "sample-rest", "sample-other"), "no cell of the page glues"),
    "no number": (("number", "sample-rest", "sample-curve"), "which is no number"),
    "outside the entry": (("number", ":high: 1", ":high: 0.3"), "outside the entry's range"),
    "no curve": (("curve", "sample-curve", "sample-rest"), "expected a list of [x, y]"),
    "outside the axis": (("curve", "| 0 | 1", "| 0 | 0.5"), "does not hold the answer"),
    "no point": (("point", "[0.5, -0.25]", "[0.5]"), "expected [x, y]"),
    "point not finite": (("point", "[0.5, -0.25]", "[0.5, NaN]"), "expected [x, y]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_what_is_allowed(fault: str) -> None:
    arguments, message = FAULTS[fault]
    with pytest.raises(PredictionError, match=re.escape(message)):
        read(*arguments)


@pytest.mark.parametrize("fault", VALUE_FAULTS)
def test_a_wrong_answer_is_refused(fault: str) -> None:
    arguments, message = VALUE_FAULTS[fault]
    with pytest.raises(PredictionError, match=re.escape(message)):
        predictions.value(read(*arguments), GLUED.get)


def test_the_notebook_holds_plain_markdown() -> None:
    offered = download.readable(copy.deepcopy(predict_sample.notebook()))
    text = offered.cells[0].source
    assert "{predict}" not in text
    assert "--- answer" not in text
    assert (
        "**Predict.** Where does training end?\n\n1. At 0.\n2. At 0.34, which is\n   a long" in text
    )
    assert text.count("<details><summary>Answer</summary>\n\n") == len(predict_sample.PREDICTIONS)
    assert "Right: option 2.\n\nIt rests at 0.34, as {prf:ref}`thm-sample-sum` says." in text
    assert "Right: options 1 and 3." in text
    assert "It is 0.34 nats." in text
    assert "Across: distance θ, from 0 to 4." in text
    assert "It runs through (0, 0), (0.5, " in text
    assert "It lies at (0.5, −0.25)." in text
    assert "{prf:theorem} Sum" in text  # the rest is as it was
    nbformat.validate(offered)


def test_a_faulty_prediction_stays_in_the_notebook() -> None:
    text = predict_sample.prediction("several").replace(":answer: 1, 3", ":answer: 4")
    assert prediction_text.in_notebook(text, GLUED.get) == text.rstrip("\n")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.34, "0.34"), (-0.123456, "−0.1235"), (1289.4, "1289"), (1234567.0, "1234567"), (0.0, "0")],
)
def test_numbers_are_said_as_readers_want_them(number: float, text: str) -> None:
    assert predictions.say(number) == text


def test_a_page_says_all_without_a_script(tmp_path: Path) -> None:
    site, warnings = predict_sample.build(tmp_path)
    assert warnings == ""
    text = (site / "index.html").read_text()
    assert text.count('<div class="predict"') == text.count('<details class="predict-answer">') == 5
    assert text.count("predict.js") == 1
    assert "predict.js" not in (site / "part/other.html").read_text()
    assert '<ol class="arabic simple predict-options">' in text
    assert '<a class="reference internal" href="#thm-sample-sum">Theorem 1</a>' in text
    assert "Right: option 2." in text
    assert 'id="pre-sample-rest"' in text
    assert (
        '<details class="folded-proof"><summary>Proof</summary>\n<p>Because it is so.</p>' in text
    )
    assert (site / "_static" / "predict.js").stat().st_size <= 12_000


def test_a_fault_fails_the_build_with_what_is_allowed(tmp_path: Path) -> None:
    text = predict_sample.prediction("several")
    faulty = text.replace(":answer: 1, 3", ":answer: 4") + text.replace(":kind:", ":sort:")
    _, warnings = predict_sample.build(tmp_path, faulty)
    assert "from 1 to 3" in warnings
    assert "Unknown option keys: ['sort'] (allowed: ['answer'," in warnings
    assert "expected one of choice, number, curve, point" in warnings
