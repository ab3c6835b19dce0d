"""Print a document with Chromium: once to learn on which page each thing stands, once to say it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pikepdf

from tools import browser
from tools.pdf.assemble import PdfError

SCRIPT = Path(__file__).with_name("page.js")
WIDTH = 627  # CSS pixels of the text on paper: 210 mm less the margins of print.css
SMALLEST = 0.55  # of its size: what is wider than the paper is set no smaller
PATIENCE = 300_000  # ms
SHOWN = 20  # faults


def destinations(pdf: pikepdf.Pdf) -> dict[str, int]:
    """The number of the page on which each target of a link stands; the first page is 1."""
    pages = {page.objgen: number for number, page in enumerate(pdf.pages, start=1)}
    named: Any = pdf.Root.get("/Dests", pikepdf.Dictionary())
    return {_plain(name): pages[target[0].objgen] for name, target in named.items()}


def _plain(name: str) -> str:
    """A PDF name as the id that Chromium made it of."""
    text = name.removeprefix("/")
    return re.sub(r"#([0-9A-Fa-f]{2})", lambda code: chr(int(code[1], 16)), text)


def _print(page: Any, whole: bool) -> pikepdf.Pdf:
    """The page as a PDF; one that is not ``whole``, without outline and tags, is made faster."""
    made: bytes = page.pdf(
        prefer_css_page_size=True, print_background=True, outline=whole, tagged=whole
    )
    return pikepdf.open(io.BytesIO(made))


def _numbered(page: Any) -> pikepdf.Pdf:
    """Print a page that is whole, with the numbers of its pages in it."""
    page.evaluate("paper.ready()")
    page.evaluate("smallest => paper.fit(smallest)", SMALLEST)
    if faults := page.evaluate("paper.faults()"):
        more = [f"... and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise PdfError("\n".join(["this would not be whole on paper:", *faults[:SHOWN], *more]))
    print("printing, to learn the page numbers", flush=True)
    first = destinations(_print(page, whole=False))
    page.evaluate("pages => paper.number(pages)", first)
    print("printing, with page numbers", flush=True)
    pdf = _print(page, whole=True)
    moved = [name for name, number in destinations(pdf).items() if first.get(name) != number]
    if moved:
        raise PdfError(f"targets that moved once pages were numbered: {', '.join(moved[:SHOWN])}")
    return pdf


def printed(document: Path) -> pikepdf.Pdf:
    """The document as Chromium prints it.

    Raises
    ------
    PdfError
        If there is no Chromium, if something of the document is missing, raw or wider than the
        paper, or if its pages do not keep their numbers.
    """
    from playwright.sync_api import sync_playwright

    try:
        program = browser.find()
    except FileNotFoundError:
        raise PdfError(
            "Chromium prints the PDF, and none was found: install chromium, or name one, as in "
            "make pdf CHROMIUM=/path/to/chromium"
        ) from None
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        page = running.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.emulate_media(media="print")
        page.goto(document.resolve().as_uri())
        page.add_script_tag(path=SCRIPT)
        try:
            return _numbered(page)
        finally:
            running.close()
