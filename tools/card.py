"""Make the card that is shown where a page of the book is shared: python -m tools.card

It is the first figure of the built site beside the book's title, as Chromium draws them, in few
colours. The result, ``book/static/card.png``, is committed: a build needs no browser for it.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from PIL import Image

from tools import browser, figures
from tools.published import CARD_SIZE, TITLE
from tools.sources import ROOT, SITE

TARGET = ROOT / "book" / "static" / "card.png"
PAGE, FIGURE = "book/index", "index-field"
LARGEST = 100_000  # bytes
LINES = (
    "How a machine learns to draw from a distribution that it only sees samples of.",
    "Every theorem checked. Every figure from code that ran. GANs that train in the page.",
)
CARD = """\
<!doctype html><meta charset="utf-8"><base href="{base}"><link rel="stylesheet" href="{sheet}">
<style>
html, body {{ margin: 0; background: #fff; overflow: hidden; }}
main {{ display: flex; align-items: center; width: {width}px; height: {height}px; }}
div {{ flex: 1; padding: 0 20px 0 64px; }}
img {{ width: 590px; height: 590px; margin-right: 20px; }}
h1 {{ margin: 0 0 28px; font: 600 76px/1.08 "Source Sans"; color: #1a1a1a; }}
p {{ margin: 0 0 16px; font: 400 29px/1.35 "Source Serif"; color: #333; }}
</style>
<main><div><h1>{title}</h1>{lines}</div><img src="{picture}" alt=""></main>
"""


def picture(site: Path) -> str:
    """The file of the first page's figure, from the site's root.

    Raises
    ------
    LookupError
        If the page has no such figure.
    """
    for figure in figures.of_page(site / f"{PAGE}.html"):
        if figure.name == FIGURE:
            return os.path.relpath(figure.path, site).replace(os.sep, "/")
    raise LookupError(f"{PAGE} has no figure {FIGURE}: name another one in tools/card.py")


def few_colours(png: bytes) -> bytes:
    """The same picture with a palette of 48 colours."""
    out = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(48, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def drawn(site: Path = SITE) -> bytes:
    """The card as PNG."""
    from playwright.sync_api import sync_playwright

    width, height = CARD_SIZE
    (sheet,) = (site / "_static").glob("book-*.css")
    text = CARD.format(
        base=f"{site.resolve().as_uri()}/",
        sheet=f"_static/{sheet.name}",
        width=width,
        height=height,
        title=TITLE,
        lines="".join(f"<p>{line}</p>" for line in LINES),
        picture=picture(site),
    )
    document = site.parent / "card.html"
    document.write_text(text, encoding="utf-8")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser.find(), args=["--no-sandbox"])
        page = running.new_page(viewport={"width": width, "height": height})
        page.goto(document.resolve().as_uri())
        page.evaluate("document.fonts.ready")
        png: bytes = page.screenshot()
        running.close()
    document.unlink()
    return few_colours(png)


def main() -> int:
    if not (SITE / "index.html").is_file():
        print(f"There is no site in {SITE} yet: run `make book` first.", file=sys.stderr)
        return 1
    try:
        card = drawn()
    except (FileNotFoundError, LookupError) as error:
        print(error, file=sys.stderr)
        return 1
    if len(card) > LARGEST:
        print(f"the card has {len(card)} bytes; {LARGEST} are allowed", file=sys.stderr)
        return 1
    TARGET.write_bytes(card)
    print(f"{TARGET.relative_to(ROOT)}: {len(card) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
