"""What the main line of a page costs to read, and what of a page is folded.

A reader is taken to read 200 words a minute, and to stay 30 seconds with a displayed formula, 20
with a figure and 5 with a line of code in sight. What a click opens does not count, nor does
what a cell printed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx_design.dropdown import dropdown_main
from sphinx_exercise.nodes import solution_node
from sphinx_proof.nodes import proof_node

from tools.predict import predict_answer

WORDS_A_MINUTE = 200
WORDS_OF_FORMULA = 2  # inside a sentence
SECONDS_A_DISPLAY = 30
SECONDS_A_FIGURE = 20
SECONDS_A_LINE = 5  # of code
MAX_MINUTES = 20  # of a page's main line

FOLDED_CLASSES = {"dropdown", "toggle", "toggle-hidden"}
LIVE = 'class="ganlib-live"'
SWITCH = (
    '<button type="button" class="fold-switch" aria-pressed="false">'
    "Show proofs, checks and code</button>"
)
COST = re.compile(
    r'<p class="page-cost" data-words="(\d+)" data-displays="(\d+)" data-figures="(\d+)" '
    r'data-lines="(\d+)">'
)


class folded_proof(nodes.General, nodes.Element):
    """A proof that a click opens."""


class folded_box(nodes.General, nodes.Element):
    """A solution, or another box, of which a click opens all but the title."""


class folded_title(nodes.General, nodes.TextElement):
    """The title of a folded box."""


@dataclass
class Reading:
    """What stands in the main line of a page."""

    words: int = 0
    displays: int = 0
    figures: int = 0
    lines: int = 0  # of code

    @property
    def seconds(self) -> float:
        return (
            60 * self.words / WORDS_A_MINUTE
            + SECONDS_A_DISPLAY * self.displays
            + SECONDS_A_FIGURE * self.figures
            + SECONDS_A_LINE * self.lines
        )

    @property
    def minutes(self) -> int:
        return max(1, math.ceil(self.seconds / 60))

    def attributes(self) -> str:
        """The counts as attributes of an HTML element, from which :func:`said` reads them."""
        counts = zip(fields(self), astuple(self), strict=True)
        return " ".join(f'data-{field.name}="{count}"' for field, count in counts)


def is_folded(node: nodes.Node) -> bool:
    """Whether a click opens what the node holds."""
    if not isinstance(node, nodes.Element):
        return False
    kinds = (HideCodeCellNode, dropdown_main, folded_proof, folded_box, predict_answer)
    return isinstance(node, kinds) or bool(FOLDED_CLASSES & set(node["classes"]))


def _visible(node: nodes.Node, output: bool = False) -> Iterator[tuple[nodes.Node, bool]]:
    """The leaves of the main line, and whether each lies in a cell's output."""
    if is_folded(node) or isinstance(node, nodes.Invisible):
        return
    if isinstance(node, (nodes.Text, nodes.math_block, nodes.math, nodes.literal_block, nodes.raw)):
        yield node, output
        return
    if isinstance(node, nodes.figure):
        yield node, output
        return
    inside = output or (isinstance(node, nodes.Element) and "cell_output" in node["classes"])
    for child in node.children:
        yield from _visible(child, inside)


def measure(document: nodes.Node) -> Reading:
    """Count what the main line of a resolved page holds."""
    count = Reading()
    for node, output in _visible(document):
        if isinstance(node, nodes.figure):
            count.figures += 1
        elif isinstance(node, nodes.raw):
            count.figures += node.astext().count(LIVE)
        elif output:
            continue
        elif isinstance(node, nodes.Text):
            count.words += len(node.astext().split())
        elif isinstance(node, nodes.math_block):
            count.displays += 1
        elif isinstance(node, nodes.math):
            count.words += WORDS_OF_FORMULA
        else:
            count.lines += len([line for line in node.astext().splitlines() if line.strip()])
    return count


def cost_line(count: Reading, cpu_seconds: float) -> str:
    minutes, seconds = count.minutes, max(1, math.ceil(cpu_seconds))
    return (
        f"Main line {minutes} minute{'s' if minutes > 1 else ''}. "
        f"Runs in {seconds} CPU second{'s' if seconds > 1 else ''}."
    )


def head(document: nodes.Node, cpu_seconds: float | None) -> str:
    """What stands under the title: the cost of an executed page, and the switch if it folds."""
    switch = SWITCH if any(is_folded(node) for node in document.findall()) else ""
    if cpu_seconds is None:
        return f'<p class="page-cost">{switch}</p>' if switch else ""
    count = measure(document)
    line = f"<small>{cost_line(count, cpu_seconds)}</small>"
    return f'<p class="page-cost" {count.attributes()}>{line} {switch}</p>'


def said(page: Path) -> Reading | None:
    """What a built page says of its main line; None for one that says nothing."""
    found = COST.search(page.read_text(encoding="utf-8"))
    return Reading(*map(int, found.groups())) if found else None


def table(site: Path, names: list[str]) -> list[str]:
    """The main line of each page, as lines of a table to print."""
    rows = [(name, said(site / f"{name}.html")) for name in names]
    lines = [f"{'main line of':<42} {'words':>6} displays figures  code minutes"]
    for name, count in rows:
        if count:
            over = "  too long" if count.minutes > MAX_MINUTES else ""
            lines.append(
                f"{name:<42} {count.words:>6} {count.displays:>8} {count.figures:>7} "
                f"{count.lines:>5} {count.minutes:>7}{over}"
            )
    return lines


def fold_proofs(app: Sphinx, document: nodes.document, pagename: str) -> None:
    """A proof of the class `dropdown` folds by itself: it has no title to put a button on."""
    for proof in list(document.findall(proof_node)):
        box = proof.children[0]
        if "dropdown" in box["classes"]:
            first = next(iter(box.findall(nodes.Text)), None)
            if first is not None and first.startswith("Proof. "):
                first.parent.replace(first, nodes.Text(first.removeprefix("Proof. ")))
            proof.replace_self(folded_proof("", *box.children))


def fold_boxes(app: Sphinx, document: nodes.document, pagename: str) -> None:
    """A solution or an admonition of the class `dropdown` stands folded in the page."""
    for box in list(document.findall(nodes.Admonition)):
        if "dropdown" in box["classes"] and isinstance(box.children[0], nodes.title):
            title, *rest = box.children
            for link in list(title.findall(nodes.reference)):  # the title itself is to be pressed
                link.replace_self(link.children)
            kinds = ["solution"] * isinstance(box, solution_node) + box["classes"]
            classes = list(dict.fromkeys([*kinds, "toggle"]))
            folded = folded_box("", ids=box["ids"], names=box["names"], classes=classes)
            folded += [folded_title("", "", *title.children), *rest]
            box.replace_self(folded)


def visit_proof(self: Any, node: folded_proof) -> None:
    self.body.append('<details class="folded-proof"><summary>Proof</summary>\n')


def depart_proof(self: Any, node: folded_proof) -> None:
    self.body.append("</details>\n")


def visit_box(self: Any, node: folded_box) -> None:
    self.body.append(self.starttag(node, "details", CLASS="admonition"))


def depart_box(self: Any, node: folded_box) -> None:
    self.body.append("</details>\n")


def visit_title(self: Any, node: folded_title) -> None:
    self.body.append(self.starttag(node, "summary", suffix="", CLASS="admonition-title"))


def depart_title(self: Any, node: folded_title) -> None:
    self.body.append('<span class="fold-mark" aria-hidden="true"></span></summary>\n')


def setup(app: Sphinx) -> None:
    app.add_node(folded_proof, html=(visit_proof, depart_proof))
    app.add_node(folded_box, html=(visit_box, depart_box))
    app.add_node(folded_title, html=(visit_title, depart_title))
    app.connect("doctree-resolved", fold_proofs)
    app.connect("doctree-resolved", fold_boxes)
