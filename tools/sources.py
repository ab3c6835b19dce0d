"""The book's sources: which pages there are, and what stands in them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"  # what is made on the way
SITE = ROOT / "_build" / "html"  # what a reader opens

#: a fence of backticks or colons that opens a code cell
CODE_CELL = re.compile(r"^[ \t]*(?:`{3,}|:{3,})\{code-cell\}", re.M)


@dataclass(frozen=True)
class Page:
    """One page of the table of contents; ``name`` is its path less the suffix."""

    name: str
    root: Path = ROOT

    @property
    def path(self) -> Path:
        return self.root / f"{self.name}.md"

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def directives(self) -> int:
        """Code cells a reader of the source would count."""
        return len(CODE_CELL.findall(self.text))

    @property
    def is_notebook(self) -> bool:
        return self.text.startswith("---\n") and "\njupytext:" in self.text.split("\n---", 2)[0]

    def notebook(self) -> NotebookNode:
        """The source as a notebook that has not run, with cell ids that do not change."""
        notebook = jupytext.reads(self.text, fmt="md:myst")
        for number, cell in enumerate(notebook.cells):
            digest = hashlib.sha256(f"{self.name}:{number}".encode()).hexdigest()
            cell["id"] = digest[:8]
        return notebook


def _files(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from _files(value)
    elif isinstance(node, list):
        for item in node:
            yield from _files(item)


def toc(root: Path = ROOT) -> list[str]:
    """Every page of ``_toc.yml``, in reading order."""
    return list(_files(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def book_pages(root: Path = ROOT) -> list[Page]:
    """The pages written by hand: those of the contents that lie in ``book/``."""
    return [Page(name, root) for name in toc(root) if name.startswith("book/")]


def chapters(root: Path = ROOT) -> list[Page]:
    """The pages with code cells, each of which is executed."""
    return [page for page in book_pages(root) if page.is_notebook]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.hexdigest()


def library_digest(root: Path = ROOT) -> str:
    """Changes when anything does that every chapter's outputs depend on.

    That is the library, the pinned packages, the Python version and the data folder.
    """
    parts: list[bytes] = [
        f"{sys.version_info[:2]}".encode(),
        os.environ.get("GANLIB_DATA", "").encode(),
    ]
    files = [p for p in (root / "ganlib").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    for path in [root / "requirements.txt", *sorted(files)]:
        if path.is_file():
            parts += [path.relative_to(root).as_posix().encode(), path.read_bytes()]
    return _digest(*parts)


def execution_key(notebook: NotebookNode, library: str) -> str:
    """What the outputs of a chapter depend on: its code and the library; not its prose."""
    cells = [(cell.source, cell.metadata.get("tags", [])) for cell in code_cells(notebook)]
    return _digest(library.encode(), json.dumps(cells).encode())


def cell_line(page: Page, cell: NotebookNode) -> int | None:
    """The line of the source on which a code cell's text begins, for messages."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    position = page.text.find(cell.source.strip("\n"))
    if position < 0:
        position = page.text.find(first) if first else -1
    return page.text.count("\n", 0, position) + 1 if position >= 0 else None
