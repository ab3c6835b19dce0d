"""The notebooks that readers download: what Jupyter does not know is plain Markdown in them."""

from __future__ import annotations

import re

from myst_nb.core.variables import format_plain_text
from nbformat import NotebookNode

from tools.prediction_text import in_notebook
from tools.predictions import glued

GLUED = re.compile(r"\{glue:text\}`([\w.-]+)(?::([^`]*))?`")


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
