"""What the main line of a page costs to read: what counts, and what is folded."""

from __future__ import annotations

from pathlib import Path

import predict_sample
import pytest
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx_design.dropdown import dropdown_main

from tools import reading
from tools.predict import predict, predict_answer
from tools.reading import Reading, folded_proof, measure

FOUR = nodes.paragraph("", "four words of text")


def page(*children: nodes.Node) -> nodes.Element:
    return nodes.section("", *children)


def cell(folded: str = "") -> nodes.Element:
    """A cell of two lines that draws a figure and prints three words, as Sphinx has it at last."""
    code = nodes.container("", nodes.literal_block("", "a = 1\n\nb = 2"), classes=["cell_input"])
    figure = nodes.figure("", nodes.image(), nodes.caption("", "Its caption."))
    printed = nodes.literal_block("", "three printed words")
    output = nodes.container("", figure, printed, classes=["cell_output"])
    if folded == "input":
        return nodes.container("", HideCodeCellNode("", code), output, classes=["cell"])
    made = nodes.container("", code, output, classes=["cell"])
    return HideCodeCellNode("", made) if folded == "all" else made


@pytest.mark.parametrize(
    ("node", "count"),
    [
        (FOUR, Reading(words=4)),
        (nodes.paragraph("", "so ", nodes.math("", "x + y + z")), Reading(words=3)),
        (nodes.math_block("", "x + y"), Reading(displays=1)),
        (cell(), Reading(figures=1, lines=2)),
        (cell("input"), Reading(figures=1)),
        (cell("all"), Reading()),
        (nodes.container("", FOUR, classes=["cell_output"]), Reading()),
        (nodes.raw("", '<div class="ganlib-live" data-name="x">much</div>'), Reading(figures=1)),
        (nodes.raw("", "<p>nothing</p>"), Reading()),
        (nodes.comment("", "nothing"), Reading()),
        (nodes.admonition("", FOUR), Reading(words=4)),
        (nodes.admonition("", FOUR, classes=["dropdown"]), Reading()),
        (dropdown_main("", FOUR), Reading()),
        (folded_proof("", FOUR), Reading()),
        (predict("", FOUR, predict_answer("", FOUR, FOUR)), Reading(words=4)),
        (nodes.figure("", nodes.image()), Reading(figures=1)),
    ],
)
def test_what_counts(node: nodes.Node, count: Reading) -> None:
    assert measure(page(node.deepcopy())) == count


@pytest.mark.parametrize(
    ("count", "minutes"),
    [
        (Reading(), 1),
        (Reading(words=200), 1),
        (Reading(words=201), 2),
        (Reading(displays=2), 1),
        (Reading(figures=3, lines=12), 2),
        (Reading(words=2000, displays=10, figures=9, lines=24), 20),
        (Reading(words=2001, displays=10, figures=9, lines=24), 21),
    ],
)
def test_minutes(count: Reading, minutes: int) -> None:
    assert count.minutes == minutes


def test_cost_line() -> None:
    line = reading.cost_line
    assert line(Reading(words=20), 0.2) == "Main line 1 minute. Runs in 1 CPU second."
    assert line(Reading(words=3999), 30.01) == "Main line 20 minutes. Runs in 31 CPU seconds."


def test_the_switch_stands_where_something_is_folded() -> None:
    assert reading.head(page(FOUR.deepcopy()), None) == ""
    assert reading.SWITCH in reading.head(page(dropdown_main("", FOUR.deepcopy())), None)
    assert reading.SWITCH not in reading.head(page(FOUR.deepcopy()), 3.0)


def test_the_table_is_read_from_the_pages(tmp_path: Path) -> None:
    for name, words in (("short", 400), ("long", 4001)):
        text = reading.head(page(nodes.paragraph("", "word " * words)), 2.0)
        (tmp_path / f"{name}.html").write_text(f"<h1>T</h1>\n{text}\n<p>more</p>")
    (tmp_path / "glossary.html").write_text("<h1>T</h1>")
    assert reading.said(tmp_path / "short.html") == Reading(words=400)
    head, *rows = reading.table(tmp_path, ["short", "glossary", "long"])
    assert head.split() == ["main", "line", "of", "words", "displays", "figures", "code", "minutes"]
    assert [row.split() for row in rows] == [
        ["short", "400", "0", "0", "0", "2"],
        ["long", "4001", "0", "0", "0", "21", "too", "long"],
    ]


def test_a_built_page_is_counted_by_its_main_line(tmp_path: Path) -> None:
    text = "Four words of text.\n\n$$\nx\n$$\n" + predict_sample.REST
    site, warnings = predict_sample.build(tmp_path, text)
    assert warnings == ""
    built = (site / "index.html").read_text()
    assert f'<p class="page-cost">{reading.SWITCH}</p>' in built  # it was not executed: no cost
