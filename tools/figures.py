"""The figures of each chapter as files, for slides and handouts: ``_static/figures/<page>.zip``.

An archive holds the chapter's figures under their own names, a table of numbers, captions and
alternative texts, and the licence. The page's download menu offers it and says its size; no page
loads it. Pictures inside an SVG become PNG again, since few programs but browsers read WebP there.

    python -m tools.figures [--output FOLDER]

(`make figures`) writes the same figures as PNG, for programs that take no SVG; Chromium draws them.
"""

from __future__ import annotations

import argparse
import base64
import csv
import html
import io
import os
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from PIL import Image

from tools import browser, pictures
from tools.published import TITLE, address
from tools.sources import BUILD, SITE, toc

FOLDER = "_static/figures"
DRAWN = BUILD / "figures"
SCALE = 3  # pixels of a PNG for one of the page
WHOLE = re.compile(r'<figure\b[^>]*\bid="(fig-[^"]*)".*?</figure>', re.S)
WEBP = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/=]+)")
MENU = re.compile(
    r'(<div class="dropdown dropdown-download-buttons">.*?<ul class="dropdown-menu">)(.*?)(</ul>)',
    re.S,
)
NEW_YEAR = (1980, 1, 1, 0, 0, 0)  # the same archive each time
TABLE = "figures.csv"
NOTICE = """\
{title}: the figures of "{page}"

Text and figures: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/
Use them in slides and handouts, and name the book.{where}
{table} has the number, the caption and the alternative text of each.
A figure that moves on the page is here as it first stands.
"""


@dataclass(frozen=True)
class Figure:
    """A figure as it stands on a page."""

    name: str
    number: str  # such as "Fig. 6.1"
    caption: str
    alternative: str
    path: Path

    @property
    def file(self) -> str:
        suffix = ".png" if self.path.suffix == ".webp" else self.path.suffix
        return f"{self.name}{suffix}"

    def data(self) -> bytes:
        """The file as programs for slides read it."""
        data = self.path.read_bytes()
        if self.path.suffix == ".webp":
            return png(data)
        if self.path.suffix == ".svg":
            return WEBP.sub(_as_png, data.decode("utf-8")).encode("utf-8")
        return data


def png(data: bytes) -> bytes:
    """A picture as PNG."""
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).save(out, "PNG", optimize=True)
    return out.getvalue()


def _as_png(found: re.Match[str]) -> str:
    data = base64.b64encode(png(base64.b64decode(found[1]))).decode()
    return f"data:image/png;base64,{data}"


def _words(element: Tag | None) -> str:
    """The text of a caption, its formulas as TeX."""
    if element is None:
        return ""
    for math in element.select(".math"):
        note = math.find("annotation")
        math.replace_with(f"${note.get_text()}$" if note else math.get_text())
    return " ".join(element.get_text().split())


def of_page(page: Path) -> list[Figure]:
    """The figures of a built page, in order; one without a picture of its own is left out."""
    found = []
    for match in WHOLE.finditer(page.read_text(encoding="utf-8")):
        figure = BeautifulSoup(match[0], "html.parser")
        image = figure.find("img")
        source = str(image["src"]) if image else "data:"
        if image is None or source.startswith("data:"):
            continue
        found.append(
            Figure(
                name=match[1].removeprefix("fig-"),
                number=_words(figure.select_one(".caption-number")),
                caption=_words(figure.select_one(".caption-text")),
                alternative=str(image.get("alt", "")),
                path=Path(os.path.normpath(page.parent / source)),
            )
        )
    return found


def _table(figures: list[Figure]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["file", "number", "caption", "alternative text"])
    for figure in figures:
        rows.writerow([figure.file, figure.number, figure.caption, figure.alternative])
    return out.getvalue()


def archive(figures: list[Figure], page: str) -> bytes:
    """The archive of a page's figures; the same figures give the same bytes."""
    where = f"\nThe page: {address()}/{page}.html" if address() else ""
    files = {
        "README.txt": NOTICE.format(title=TITLE, page=page, where=where, table=TABLE).encode(),
        TABLE: _table(figures).encode("utf-8-sig"),  # for spreadsheets
        **{figure.file: figure.data() for figure in figures},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, NEW_YEAR)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            made.writestr(entry, data)
    return out.getvalue()


def said(size: int) -> str:
    """The size of a file as a reader takes it in."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def offer(text: str, kind: str, place: str, label: str, title: str) -> str:
    """A page whose download menu offers a file at ``place``, once for each ``kind``."""
    old = re.compile(rf'\s*<li class="{kind}-item">.*?</li>', re.S)
    item = (
        f'\n<li class="{kind}-item"><a href="{html.escape(place)}" download '
        f'class="btn btn-sm dropdown-item" title="{html.escape(title)}">'
        f'<span class="btn__text-container">{label}</span></a></li>\n'
    )
    return MENU.sub(lambda menu: menu[1] + old.sub("", menu[2]).rstrip() + item + menu[3], text)


def write(site: Path = SITE, names: list[str] | None = None) -> dict[str, int]:
    """Write the archives of all pages and offer them; returns the size of each, in bytes."""
    shutil.rmtree(site / FOLDER, ignore_errors=True)
    sizes = {}
    for name in names if names is not None else toc():
        page = site / f"{name}.html"
        figures = of_page(page)
        if not figures:
            continue
        target = site / FOLDER / f"{name.removeprefix('book/')}.zip"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive(figures, name))
        sizes[name] = target.stat().st_size
        old = page.read_text(encoding="utf-8")
        place = os.path.relpath(target, page.parent).replace(os.sep, "/")
        count = f"{len(figures)} figure{'s' if len(figures) > 1 else ''}"
        label = f"Figures (.zip, {said(sizes[name])})"
        new = offer(old, "figures", place, label, f"{count} of this page, with captions")
        if new != old:
            page.write_text(new, encoding="utf-8")
    return sizes


def draw(folder: Path, site: Path = SITE, names: list[str] | None = None) -> int:
    """Write the figures of all pages as PNG into ``folder``, on transparent ground; how many.

    Raises
    ------
    FileNotFoundError
        If there is no Chromium, or no site.
    """
    from playwright.sync_api import sync_playwright

    count = 0
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser.find(), args=["--no-sandbox"])
        page = running.new_page(device_scale_factor=SCALE)
        for name in names if names is not None else toc():
            for figure in of_page(site / f"{name}.html"):
                target = folder / name.removeprefix("book/") / f"{figure.name}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                width, height = pictures.size(figure.path) or (640, 480)
                page.set_viewport_size({"width": width, "height": height})
                data = base64.b64encode(figure.data()).decode()
                kind = "svg+xml" if figure.file.endswith(".svg") else figure.file.split(".")[-1]
                image = f'<img src="data:image/{kind};base64,{data}" width="{width}">'
                page.set_content(f"<style>body{{margin:0}}img{{display:block}}</style>{image}")
                page.evaluate("document.images[0].decode()")
                page.screenshot(path=target, omit_background=True)
                count += 1
        running.close()
    return count


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.figures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--output", type=Path, default=DRAWN, help="the folder to write to")
    options = parser.parse_args(arguments)
    if not (SITE / "index.html").is_file():
        print(f"There is no site in {SITE} yet: run `make book` first.", file=sys.stderr)
        return 1
    try:
        count = draw(options.output)
    except FileNotFoundError:
        print("Chromium draws the figures, and none was found: install chromium.", file=sys.stderr)
        return 1
    print(f"{count} figures in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
