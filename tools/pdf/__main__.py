"""Make one PDF of the built site: python -m tools.pdf [--code] [--output FILE]   (`make pdf`)"""

from __future__ import annotations

import argparse
import datetime
import functools
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tools import figures
from tools.pdf import chromium, finish, style
from tools.pdf.assemble import PdfError, assemble
from tools.published import address
from tools.sources import BUILD, ROOT, SITE, toc

FOLDER = BUILD / "pdf"
TARGET = SITE.parent / "pdf" / "gans-proof-and-play.pdf"
SUBTITLE = "An interactive textbook on generative adversarial networks, on paper"
FOLDED = "code that the site folds is in its notebooks"


def citation(root: Path = ROOT) -> dict[str, Any]:
    """What CITATION.cff says: title, authors, version, date."""
    cited: dict[str, Any] = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return cited


def author(cited: dict[str, Any]) -> str:
    return ", ".join(str(one["name"]) for one in cited["authors"])


def under_the_title(cited: dict[str, Any], code: bool, place: str) -> list[str]:
    """The lines of the title page."""
    lines = [
        SUBTITLE,
        author(cited),
        f"Version {cited['version']}, {cited['date-released']}.",
        "Text and figures CC BY 4.0, code MIT.",
        "Made of the pages of the site, where figures move and GANs train. Answers to predictions "
        "and exercises stand at the end of each chapter" + ("." if code else f"; {FOLDED}."),
    ]
    return lines + ([place] if place else [])


def make(target: Path = TARGET, site: Path = SITE, code: bool = False, place: str = "") -> str:
    """Make the PDF; returns a line that says what it is.

    Raises
    ------
    PdfError
        If the site or Chromium is missing, or what is printed would not be whole.
    """
    started = time.perf_counter()
    cited = citation()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    print("assembling the pages of the site", flush=True)
    done = assemble(
        FOLDER,
        functools.partial(style.sheet, site, FOLDER),
        title=cited["title"],
        lines=under_the_title(cited, code, place),
        author=author(cited),
        site=site,
        code=code,
        address=place,
    )
    document = FOLDER / "book.html"
    document.write_text(done.html, encoding="utf-8")
    with chromium.printed(document) as pdf:
        set_formulas = finish.name_formulas(pdf)
        finish.describe(
            pdf,
            title=cited["title"],
            author=author(cited),
            subject=SUBTITLE,
            day=datetime.date.fromisoformat(str(cited["date-released"])),
        )
        finish.save(pdf, target)
        pages = len(pdf.pages)
    seconds = time.perf_counter() - started
    return (
        f"{os.path.relpath(target)}: {pages} pages, {target.stat().st_size / 1e6:.1f} MB, "
        f"{len(done.titles)} chapters, {done.pictures} figures, {set_formulas} of {done.formulas} "
        f"formulas with their TeX, {done.links} links inside; {seconds:.0f} s"
    )


def publish(pdf: Path, site: Path = SITE) -> None:
    """Put the file into the site, and offer it in the download menu of each page."""
    target = site / pdf.name
    shutil.copyfile(pdf, target)
    label = f"Whole book (.pdf, {figures.said(target.stat().st_size)})"
    for name in toc():
        page = site / f"{name}.html"
        place = os.path.relpath(target, page.parent).replace(os.sep, "/")
        text = page.read_text(encoding="utf-8")
        new = figures.offer(text, "book", place, label, "All pages as one PDF")
        page.write_text(new, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pdf", description=__doc__)
    parser.add_argument("--code", action="store_true", help="print what the site folds of code")
    parser.add_argument("--output", type=Path, default=TARGET, help="the file to write")
    parser.add_argument("--publish", action="store_true", help="offer it on the built site, too")
    options = parser.parse_args(arguments)
    try:
        print(make(options.output, code=options.code, place=address()))
    except PdfError as error:
        print(re.sub(r"\n\n+", "\n", str(error)), file=sys.stderr)
        return 1
    if options.publish:
        publish(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
