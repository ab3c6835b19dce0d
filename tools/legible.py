"""Figures whose text a phone's column would make too small to read.

Matplotlib says in each figure how large its letters are. Where most of them would be drawn below
`SMALLEST` pixels in the column of a phone, the picture gets a box of its own, in which it scrolls
sideways there, as wide as makes them `READABLE` (``book.css``). Elsewhere nothing changes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from tools import pictures
from tools.sources import SITE, toc

COLUMN = 340  # pixels of a picture in a window of 390
SMALLEST = 7.5  # pixels
READABLE = 9.5
LETTER = re.compile(r"scale\((0\.\d+) -\1\)")  # of a glyph of 100 units an em
POINT = 4 / 3  # pixels
FIGURE = re.compile(r'(<figure\b[^>]*\bid="fig-[^"]*"[^>]*>\s*)(<img\b[^>]*>)(?!\s*</div>)', re.S)
SOURCE = re.compile(r'\bsrc="([^"]+\.svg)"')


def letters(svg: str) -> float | None:
    """The size of most letters of a Matplotlib figure, in pixels at its own width."""
    sizes = Counter(LETTER.findall(svg))
    return 100 * float(sizes.most_common(1)[0][0]) * POINT if sizes else None


def needed(path: Path, column: float = COLUMN) -> int | None:
    """The width that makes a figure readable in ``column``; None where it is so already."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    size, letter = pictures.svg_size(text[:4000]), letters(text)
    if size is None or letter is None or letter * min(1, column / size[0]) >= SMALLEST:
        return None
    return min(size[0], round(size[0] * READABLE / letter))


def widen(site: Path = SITE, names: list[str] | None = None) -> list[str]:
    """Give each such figure of the site its box; returns their sources, page by page.

    A page that an incremental build left alone has them already.
    """
    found = []
    for name in names if names is not None else toc():
        page = site / f"{name}.html"

        def boxed(match: re.Match[str], page: Path = page) -> str:
            source = SOURCE.search(match[2])
            path = Path(os.path.normpath(page.parent / source[1])) if source else None
            width = needed(path) if path else None
            if width is None or path is None:
                return match[0]
            found.append(f"{page.stem}: {path.name}")
            box = f'<div class="wide-figure" style="--readable: {width}px">'
            return f"{match[1]}{box}{match[2]}</div>"

        old = page.read_text(encoding="utf-8")
        new = FIGURE.sub(boxed, old)
        if new != old:
            page.write_text(new, encoding="utf-8")
    return found
