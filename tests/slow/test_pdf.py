"""The whole book as one PDF, from the built site: its numbers are the site's, and it is whole."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pikepdf = pytest.importorskip("pikepdf", reason="`make pdf` installs pikepdf")
html = pytest.importorskip("lxml.html", reason="`make pdf` installs lxml")

from tools import browser  # noqa: E402
from tools.pdf import __main__ as command  # noqa: E402
from tools.pdf import assemble, chromium, finish  # noqa: E402

LARGEST = 15_000_000  # bytes
MOST = 600  # pages
NUMBERS = "caption-number", "eqno", "section-number"
STATEMENT = re.compile(
    r"(?:Theorem|Proposition|Lemma|Corollary|Definition|Observation|Algorithm|Remark|Exercise) "
    r"\d[\d.]*"
)


@dataclass(frozen=True)
class Made:
    path: Path
    pdf: Any
    document: Any


@pytest.fixture(scope="module")
def made(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    if browser.skipped():
        pytest.skip(browser.SKIPPED)
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    print(command.make(path, site))
    document = html.parse(str(command.FOLDER / "book.html")).getroot()
    with pikepdf.open(path) as pdf:
        yield Made(path, pdf, document)


def numbers(root: Any, name: str) -> list[str]:
    """The numbers of a kind, in order."""
    found = []
    for element in assemble.having(root, name):
        for link in assemble.having(element, "headerlink"):
            link.drop_tree()
        found.append(" ".join(element.text_content().split()))
    return found


def statements(root: Any) -> list[str]:
    """The numbers of statements and exercises, from their titles."""
    titles = [" ".join(t.text_content().split()) for t in assemble.having(root, "admonition-title")]
    return [found[0] for title in titles if (found := STATEMENT.match(title))]


def articles(site: Path) -> list[Any]:
    found = []
    for chapter in assemble.contents():
        page = html.parse(str(site / f"{chapter.name}.html"))
        found += assemble.having(page.getroot(), "bd-article", "article")
    return found


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_figures_formulas_and_sections_are_the_sites(
    made: Made, site: Path, name: str
) -> None:
    on_site = [number for article in articles(site) for number in numbers(article, name)]
    assert len(on_site) > 50
    # what stands in an answer is at the end of its chapter
    assert sorted(numbers(made.document, name)) == sorted(on_site)


def test_numbers_of_statements_are_the_sites(made: Made, site: Path) -> None:
    on_site = [number for article in articles(site) for number in statements(article)]
    assert len(on_site) > 300
    assert sorted(statements(made.document)) == sorted(on_site)


def test_what_is_drawn_has_these_numbers(made: Made) -> None:
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler-utils) is not here")
    command_ = ["pdftotext", "-layout", str(made.path), "-"]
    text = subprocess.run(command_, capture_output=True, text=True, check=True).stdout
    text = " ".join(text.split())
    for number in [*statements(made.document), *numbers(made.document, "caption-number")]:
        assert number in text
    assert not re.search(r"\\(?:frac|mathbb|begin)\b", text)


def test_contents_and_outline_lead_to_every_chapter(made: Made) -> None:
    places = chromium.destinations(made.pdf)
    contents = made.document.get_element_by_id(assemble.CONTENTS)
    rows = {slot.get("data-of"): slot for slot in contents.find_class("page-of")}
    chapters = assemble.contents()
    assert list(rows) == [chapter.id for chapter in chapters]
    pages = [places[chapter.id] for chapter in chapters]
    assert pages == sorted(set(pages))
    outlined = [title for _, title in finish.outline(made.pdf)]
    titles = [" ".join(row.text_content().split()) for row in assemble.having(contents, "row")]
    plain = [re.sub(r"\W+", "", title) for title in outlined]
    assert [title for title in titles if re.sub(r"\W+", "", title) not in plain] == []


def test_figures_and_formulas_have_words(made: Made) -> None:
    kinds: dict[str, int] = {}
    for tag in finish.tags(made.pdf):
        kinds[str(tag.S)] = kinds.get(str(tag.S), 0) + 1
    assert finish.faults(made.path) == []
    assert kinds["/Formula"] == len(made.document.xpath('//*[starts-with(@aria-label, "TeX: ")]'))
    pictures = made.document.xpath("//img | //svg[@aria-label]")
    assert kinds["/Figure"] == len(pictures) > 100


def test_its_size(made: Made) -> None:
    assert made.path.stat().st_size <= LARGEST
    assert len(made.pdf.pages) <= MOST


def test_its_letters_are_fonts_and_not_pictures(made: Made) -> None:
    """Of Type 3 are at most signs that have no width of their own."""
    found = {font.objgen: str(font.Subtype) for page in made.pdf.pages for font in fonts(page)}
    kinds = list(found.values())
    assert kinds.count("/Type0") >= 20
    assert kinds.count("/Type3") <= 2


def fonts(page: Any) -> Iterator[Any]:
    resources = page.obj.get("/Resources", {})
    for _, font in resources.get("/Font", pikepdf.Dictionary()).items():
        yield font
