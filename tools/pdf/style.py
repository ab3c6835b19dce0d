"""The print style of the PDF: its own rules, and of the site's those for formulas and code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import tinycss2

from tools import styles
from tools.pdf import faces
from tools.pdf.assemble import PdfError

OWN = Path(__file__).with_name("print.css")
#: of the site's style: formulas as MathJax sets them, colours of code, and the faces of both
FORMULA_OR_CODE = re.compile(r"mjx-|\.NCM|\.highlight")
STAND_IN = re.compile(r"font-family:\s*\"[^\";]*,")  # until a face has come
FACE = re.compile(r"@font-face\s*\{[^}]*\}")
DARK = 'data-theme="dark"'


def _wanted(node: Any) -> bool:
    """Whether a rule of the site's style is one for formulas, light code, or a face."""
    if node.type == "at-rule" and node.lower_at_keyword == "font-face":
        return not STAND_IN.search(node.serialize())
    head = tinycss2.serialize(node.prelude) if node.type == "qualified-rule" else ""
    return bool(FORMULA_OR_CODE.search(head)) and DARK not in head


def document_style(site: Path, body: str, folder: Path) -> str:
    """Those rules of the site's style and the print style's that the document may match.

    The faces that they name are written into ``folder``.
    """
    sheets = sorted((site / "_static").glob("book-*.css"))
    if len(sheets) != 1:
        raise PdfError(f"{site} has {len(sheets)} joined styles, not one: run `make book` first")
    text = sheets[0].read_text(encoding="utf-8")
    nodes = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    text = "".join(node.serialize() for node in nodes if _wanted(node))
    known = styles.Vocabulary()
    known.add_page(f'<html data-theme="light">{body}')
    pruned = styles.prune(text + OWN.read_text(encoding="utf-8"), known)
    return FACE.sub(lambda rule: faces.face(rule[0], sheets[0].parent, folder), pruned)


def running_heads(titles: list[tuple[str, str]]) -> str:
    """A named page for each chapter, with the chapter's title at its head."""
    rules = []
    for name, title in titles:
        text = json.dumps(title, ensure_ascii=False)
        rules.append(f"@page {name} {{ @top-left {{ content: {text}; }} }}\n")
        rules.append(f"#{name} {{ page: {name}; }}\n")
    return "".join(rules)


def sheet(site: Path, folder: Path, body: str, titles: list[tuple[str, str]]) -> str:
    """All of the document's style."""
    return f"{document_style(site, body, folder)}\n{running_heads(titles)}"
