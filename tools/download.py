"""The notebooks that readers download: how to get the library, then the page as plain Markdown."""

from __future__ import annotations

import hashlib
import re

from myst_nb.core.variables import format_plain_text
from nbformat import NotebookNode, v4

from tools import notebook_text
from tools.prediction_text import in_notebook
from tools.predictions import glued

GLUED = re.compile(r"\{glue:text\}`([\w.-]+)(?::([^`]*))?`")
EXTRAS = "notebooks,lab"  # of pyproject.toml: what the pages import beside the library

PUBLISHED = """\
# The book's library and what this page imports: run this cell once, then the others in order.
%pip install --quiet "{requirement}"
"""
LOCAL = """\
# The book's library and what this page imports: name the folder of the book, or the archive
# of a release, run this cell once, then the others in order. (No package index has it.)
BOOK = "."
%pip install --quiet "{{BOOK}}[{extras}]"
"""


def requirement(address: str, commit: str = "") -> str:
    """ganlib from the published repository, of one commit, with what the pages import beside it."""
    return f"ganlib[{EXTRAS}] @ git+{address}" + (f"@{commit}" if commit else "")


def first_cell(address: str, commit: str = "") -> str:
    """What a notebook's first cell says and does; without an address it asks for a path."""
    if address:
        return PUBLISHED.format(requirement=requirement(address, commit)).strip()
    return LOCAL.format(extras=EXTRAS).strip()


def readable(notebook: NotebookNode) -> NotebookNode:
    """The notebook with its predictions and the numbers in its text as Markdown."""
    values = glued(notebook)

    def number(match: re.Match[str]) -> str:
        text = values.get(match[1])
        return match[0] if text is None else format_plain_text(text, match[2] or "s")

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = GLUED.sub(number, in_notebook(cell.source, values.get))
    return notebook


def offered(notebook: NotebookNode, page: str, address: str, commit: str = "") -> NotebookNode:
    """The notebook as a reader gets it: a cell that installs, then the page as Jupyter knows it."""
    cells = [v4.new_code_cell(first_cell(address, commit), id="install")]
    for cell in readable(notebook).cells:
        cells.append(cell)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if cell.cell_type == "markdown":
            cell.source = notebook_text.markdown(cell.source, page)
        elif figure.get("name"):  # a notebook's cell has no caption
            digest = hashlib.sha256(f"{page}:{figure['name']}".encode()).hexdigest()
            said = notebook_text.caption(figure["name"])
            cells.append(v4.new_markdown_cell(said, id=digest[:8]))
    notebook.cells = cells
    return notebook
