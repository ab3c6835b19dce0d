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

from tools.reach import Project, code_of

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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _file_digest(path: Path, whole: bool) -> str:
    if whole or path.suffix != ".py":
        return _digest(path.read_bytes())
    return _digest(code_of(path.read_text(encoding="utf-8")).encode())


def execution_parts(page: Page, project: Project) -> dict[str, str]:
    """What the outputs of a chapter depend on, by name: its code, not its prose, and the rest.

    The rest is the Python version, the data folder, the pinned packages, and those files of the
    project that the code can reach; of a module its code (:mod:`tools.reach`).
    """
    cells = code_cells(page.notebook())
    texts = [cell.source for cell in cells]
    code = json.dumps([(cell.source, cell.metadata.get("tags", [])) for cell in cells])
    files = project.reached(texts)
    lock = page.root / "requirements.txt"
    whole = project.read_as_text(texts, files)
    return {
        "its code": _digest(code.encode()),
        "Python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "GANLIB_DATA": os.environ.get("GANLIB_DATA", ""),
        **{
            path.relative_to(page.root).as_posix(): _file_digest(path, whole)
            for path in [lock, *files]
            if path.is_file()
        },
    }


def cell_line(page: Page, cell: NotebookNode) -> int | None:
    """The line of the source on which a code cell's text begins, for messages."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    position = page.text.find(cell.source.strip("\n"))
    if position < 0:
        position = page.text.find(first) if first else -1
    return page.text.count("\n", 0, position) + 1 if position >= 0 else None
