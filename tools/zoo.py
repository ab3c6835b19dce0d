"""The tables of the page `zoo`: ``{zoo} objective`` lists what changes the objective first.

The lines come from ``ganlib/zoo/variants.csv`` (:mod:`ganlib.zoo`), links and citations are made
here. A script of the book puts a field above the first table, which hides the rows that do not hold
what is typed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ganlib import zoo
from tools.coverage import link


def place(one: zoo.Variant) -> str:
    """Where the book has a variant, as MyST."""
    if one.book == "library":
        return f"in the library: `{one.where}`"
    if one.book == "no":
        return f"no; compare {link(one.where)}" if one.where else "no"
    return f"{one.book}: {link(one.where)}"


def row(one: zoo.Variant) -> str:
    """One line of a table, as MyST."""
    unseen = f" *Not checked against a copy: {one.unseen}.*" if one.unseen else ""
    return f"| **{one.name}**<br>{{cite:t}}`{one.key}` | {one.line}{unseen} | {place(one)} |"


def table(change: str) -> list[str]:
    """The variants that change one thing first, as lines of MyST."""
    found = [one for one, _ in zoo.tree(zoo.variants()) if one.changes == change]
    return ["| variant | what is new | in the book |", "| --- | --- | --- |", *map(row, found)]


class Zoo(SphinxDirective):
    """``{zoo} objective``: the table of what changes one thing."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        for path in Path(zoo.__file__).parent.glob("*.*"):
            self.env.note_dependency(str(path))
        if self.arguments[0] not in zoo.CHANGES:
            raise self.error(
                f"nothing changes {self.arguments[0]!r}; there are {', '.join(zoo.CHANGES)}"
            )
        found = self.parse_text_to_nodes("\n".join(table(self.arguments[0])))
        return [nodes.container("", *found, classes=["zoo"])]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("zoo", Zoo)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
