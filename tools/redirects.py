"""Addresses that stay: pages that moved, and labels that another page has now.

``book/redirects.txt`` has one move a line, old page to new page, each with or without a fragment::

    book/theory/games -> book/theory/the-game
    book/theory/the-game#old-name -> book/theory/equilibrium#thm-equilibrium-new-name

A page that moved becomes a small page that leads on. Fragments are never sent to a server: the
script ``book/static/book.js`` looks one that its page does not have up in ``_static/labels.js``,
which is made here from the ids of the built pages. So a label that keeps its name is found on
whatever page it stands, and only a label with a new name needs a line.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tools.sources import ROOT, SITE, toc

MOVES = ROOT / "book" / "redirects.txt"
LABELS = "_static/labels.js"
MADE = '<meta name="generator" content="tools.redirects">'
MOVE = re.compile(r"(\S+)\s+->\s+(\S+)")
ID = re.compile(
    r' id="((?:equation-)?'
    r'(?:ch|sec|thm|prop|lem|cor|def|obs|alg|rem|fig|tab|eq|ex|pre|slip|term)-[^"]+)"'
)
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{made}
<title>This page has moved</title>
<link rel="canonical" href="{address}">
<meta http-equiv="refresh" content="0; url={address}">
<script>location.replace({page} + (location.hash || {fragment}));</script>
</head>
<body><p>This page has moved: <a href="{address}">{address}</a>.</p></body>
</html>
"""


class RedirectError(ValueError):
    """A move that leads nowhere; the message says why."""


def moves(path: Path = MOVES) -> dict[str, str]:
    """Old address to new one, as ``page`` or ``page#fragment``."""
    found: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        text = line.split(" #", 1)[0].strip() if not line.startswith("#") else ""
        if not text:
            continue
        match = MOVE.fullmatch(text)
        if match is None:
            raise RedirectError(f"{path.name}, line {number}: {text!r}; expected `old -> new`")
        if match[1] in found:
            raise RedirectError(f"{path.name}, line {number}: {match[1]} has moved twice")
        found[match[1]] = match[2]
    return found


def labels(site: Path, names: list[str]) -> dict[str, list[str]]:
    """The ids of each page that are labels."""
    there = {name: site / f"{name}.html" for name in names}
    return {
        name: sorted({html.unescape(label) for label in ID.findall(path.read_text("utf-8"))})
        for name, path in there.items()
        if path.is_file()
    }


def faults(moved: dict[str, str], pages: dict[str, list[str]]) -> Iterator[str]:
    """Moves of what has not moved, and moves to what is not there."""
    for old, new in moved.items():
        page, _, fragment = old.partition("#")
        if not fragment and page in pages:
            yield f"{old} is a page of the book: it has not moved"
        if fragment and fragment in pages.get(page, []):
            yield f"{old} is still there"
        page, _, fragment = new.partition("#")
        if page not in pages:
            yield f"{old} moves to {page}, which is no page of the book"
        elif fragment and fragment not in pages[page]:
            yield f"{old} moves to {new}: that page has no such label"


def address(target: str) -> str:
    """The address of a target below the root: ``page#fragment`` with the suffix of its file."""
    page, mark, fragment = target.partition("#")
    return f"{page}.html{mark}{fragment}"


def write(site: Path = SITE, names: list[str] | None = None, path: Path = MOVES) -> int:
    """Write the pages that lead on and the map of labels; returns how many lead on."""
    moved = moves(path)
    pages = labels(site, names if names is not None else toc())
    wrong = list(faults(moved, pages))
    if wrong:
        raise RedirectError("\n".join(f"{path.name}: {fault}" for fault in wrong))
    for stale in site.rglob("*.html"):
        with stale.open(encoding="utf-8") as file:
            made = MADE in file.read(400)
        if made:
            stale.unlink()
    leading = {old: new for old, new in moved.items() if "#" not in old}
    for old, new in leading.items():
        target = site / f"{old}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        up = os.path.relpath(site, target.parent).replace(os.sep, "/")
        page, mark, fragment = f"{up}/{address(new)}".partition("#")
        text = PAGE.format(
            made=MADE,
            address=html.escape(page + mark + fragment),
            page=json.dumps(page),
            fragment=json.dumps(mark + fragment),
        )
        target.write_text(text, encoding="utf-8")
    told = {
        "pages": {name: " ".join(ids) for name, ids in pages.items() if ids},
        "moved": {old: address(new) for old, new in moved.items() if "#" in old},
    }
    script = site / LABELS
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"window.bookLabels = {json.dumps(told)};\n", encoding="utf-8")
    return len(leading)
