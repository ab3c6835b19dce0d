"""The search of the built site: sixty queries, and the field by keyboard, also from a file."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from browsing import OVERFLOW, Visit

from tools import search
from tools.sources import toc
from tools.vendor import TEST_ASSETS

QUERIES = Path(__file__).with_name(
    "queries.csv"
)  # written before there was an index: never to be fitted to it
FIRST, AMONG_THREE = 0.75, 0.9
MOST = 200_000  # bytes of the index, compressed
PAGE = "book/back/teaching"
FIELD = "#book-search-field"
DIALOG = "dialog.search-dialog"
AXE = """async () => (await axe.run(
  [document.querySelector('dialog.search-dialog') ?? 'main', '.search-open'],
  { resultTypes: ['violations'] })).violations
  .map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | '))"""
SMALL = """() => [...document.querySelectorAll(
  '.search-open, .search-close, .search-box :is(input, button, a)')]
  .filter(e => e.checkVisibility()).map(e => [e, e.getBoundingClientRect()])
  .filter(([, b]) => b.width < 24 || b.height < 24).map(([e]) => e.outerHTML.slice(0, 100))"""

# The field is left out: what is typed may be longer.
CUT = """e => [...e.querySelectorAll('*:not(input)')]
  .filter(i => i.clientWidth && i.scrollWidth > i.clientWidth + 1)
  .map(i => i.outerHTML.slice(0, 80))"""


def queries() -> list[tuple[str, list[str]]]:
    with QUERIES.open(encoding="utf-8") as file:
        return [(row["query"], row["pages"].split()) for row in csv.DictReader(file)]


def test_the_queries_ask_for_pages_that_exist() -> None:
    asked = queries()
    assert len({query for query, _ in asked}) == len(asked) == 60
    assert sorted({page for _, pages in asked for page in pages} - set(toc())) == []


def test_readers_find_the_page(site: Path) -> None:
    """Nine of ten queries find their page among the first three, three of four as the first."""
    asked = queries()
    ranks: list[int | None] = []
    lines = []
    for (query, pages), found in zip(asked, search.ask([q for q, _ in asked], site), strict=True):
        names = [page["page"] for page in found]
        ranks.append(next((place for place, name in enumerate(names, 1) if name in pages), None))
        shown = ", ".join(name.rpartition("/")[2] for name in names[:3]) or "nothing"
        lines.append(f"{ranks[-1] or '-':>3}  {query:<48} {shown}")
    first = sum(rank == 1 for rank in ranks) / len(asked)
    three = sum(rank is not None and rank <= 3 for rank in ranks) / len(asked)
    table = "\n".join([*lines, f"first {first:.0%}, among three {three:.0%}"])
    print(table)
    empty = [line for line in lines if line.endswith("nothing")]
    assert first >= FIRST, table
    assert three >= AMONG_THREE, table
    assert not empty, table


def test_the_index_is_small_and_the_texts_are_prose(site: Path) -> None:
    folder = site / search.FOLDER
    size = sum(
        len(gzip.compress((folder / f"{name}.js").read_bytes(), 6)) for name in ("engine", "index")
    )
    assert size <= MOST
    texts = [path for path in (folder / "pages").rglob("*.js")]
    assert len(texts) == len(toc()) - len(search.LEFT_OUT)
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\\\\[a-zA-Z]{2,}|\$\$|import torch|\{(?:ref|doc|term)\}", text), (
            path.name
        )
    assert not list(site.glob("searchindex*"))


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context, f"{address}/{PAGE}.html")
    yield visit.page
    assert not visit.failed
    assert not visit.complaints
    assert not visit.outside
    context.close()


def results(page: Any, query: str) -> Any:
    """Type a query and wait for the excerpts of the first page found."""
    page.locator(FIELD).fill(query)
    page.wait_for_function("document.querySelector('.search-excerpt:not(:empty)')")
    return page.locator(".search-results a")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.textContent || document.activeElement.id"))


@pytest.mark.browser
def test_by_keyboard_alone(page: Any) -> None:
    opener = page.locator(".search-open:visible").first
    opener.focus()
    page.keyboard.press("Enter")
    assert focused(page) == "book-search-field"
    page.keyboard.press("Escape")
    assert page.locator(DIALOG).is_hidden()
    assert opener.evaluate("e => e === document.activeElement")
    for key in ("Control+k", "/"):
        page.keyboard.press(key)
        assert focused(page) == "book-search-field"
        page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("and/or")  # a "/" in the field is a letter
    assert page.locator(FIELD).input_value() == "and/or"
    links = results(page, "weight clipping")
    said = page.locator(".search-status")
    assert re.fullmatch(r"\d+ pages found", said.inner_text())
    assert said.get_attribute("aria-live") == "polite"
    page.keyboard.press("ArrowUp")  # nothing is above the field
    assert focused(page) == "book-search-field"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert focused(page) == links.nth(1).inner_text()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert focused(page) == "book-search-field"
    page.keyboard.press("Enter")  # in the field: the first result
    page.wait_for_url("**/book/theory/wasserstein.html*")


@pytest.mark.browser
def test_results_are_pages_with_marked_prose(page: Any) -> None:
    page.keyboard.press("Control+k")
    links = results(page, "weight clipping")
    assert links.first.inner_text().startswith("The Wasserstein GAN")
    pages = [
        href.partition("#")[0]
        for href in page.evaluate(
            "[...document.querySelectorAll('.search-results > li > a')].map(a => a.href)"
        )
    ]
    assert len(set(pages)) == len(pages) <= 8
    marks = page.locator(".search-results mark").all_inner_texts()
    assert {"weight", "clipping"} <= {mark.lower() for mark in marks}
    assert max(len(text) for text in page.locator(".search-excerpt").all_inner_texts()) < 260
    page.locator(FIELD).fill("gan")
    page.locator(".search-more").click()
    assert page.locator(".search-results > li").count() > 8
    assert page.locator(".search-more").is_hidden()
    page.locator(FIELD).fill("xyzzy qwrtp")
    page.wait_for_function(
        "document.querySelector('.search-status').textContent.startsWith('Nothing')"
    )
    page.locator(FIELD).fill("")
    page.wait_for_function("document.querySelector('.search-status').textContent === ''")
    assert links.count() == 0


@pytest.mark.browser
def test_nothing_is_fetched_before_the_field_has_the_focus(chromium: Any, address: str) -> None:
    context = chromium.new_context()
    visit = Visit(context, f"{address}/{PAGE}.html")

    def fetched() -> list[str]:
        paths = (urlparse(url).path.partition(f"{search.FOLDER}/") for url in visit.requested)
        return sorted(after for _, found, after in paths if found)

    assert fetched() == []
    with visit.page.expect_response("**/search/index.js"):
        visit.page.keyboard.press("Control+k")
    assert fetched() == ["engine.js", "index.js"]
    results(visit.page, "weight clipping")
    visit.page.wait_for_load_state("networkidle")
    assert 2 < len(fetched()) <= 2 + 8
    context.close()


@pytest.mark.browser
def test_from_a_file(chromium: Any, site: Path) -> None:
    context = chromium.new_context()
    visit = Visit(context, (site / f"{PAGE}.html").as_uri())
    visit.page.keyboard.press("Control+k")
    results(visit.page, "posterior collapse")
    visit.page.locator(".search-results a").first.click()
    visit.page.wait_for_url(f"{(site / 'book/likelihood/vae.html').as_uri()}*")
    assert not visit.outside
    assert not visit.complaints
    context.close()


@pytest.mark.browser
def test_the_old_address_keeps_working(page: Any, address: str) -> None:
    page.goto(f"{address}/search.html?q=mode+colapse&check_keywords=yes&area=default")
    page.wait_for_function("document.querySelector('.search-excerpt:not(:empty)')")
    assert page.locator(FIELD).input_value() == "mode colapse"
    assert page.locator(".search-results a").first.inner_text() == "Mode collapse"
    page.keyboard.press("Control+k")  # the field is in the page already
    assert page.locator(DIALOG).count() == 0
    results(page, "weight clipping")
    page.keyboard.press("Tab")
    assert page.url.endswith("?q=weight+clipping")  # an address to hand on


@pytest.mark.browser
def test_a_hit_on_this_page_closes_the_dialog(page: Any) -> None:
    page.keyboard.press("Control+k")
    results(page, "teaching: questions, and where they are answered")
    page.locator(".search-results ul a", has_text="Questions, and where they are answered").click()
    assert page.locator(DIALOG).is_hidden()
    assert page.url.endswith(f"{PAGE}.html#questions-and-where-they-are-answered")


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_fit_for_everybody(chromium: Any, address: str, theme: str, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    opened = context.new_page()
    opened.add_init_script(path=str(TEST_ASSETS / "axe.min.js"))
    for path, key in ((f"{PAGE}.html", "Control+k"), ("search.html?q=loss", "Shift")):
        opened.goto(f"{address}/{path}")
        opened.keyboard.press(key)
        results(opened, "spectral normalization of the discriminator")
        assert opened.evaluate(AXE) == []
        assert opened.evaluate(SMALL) == []
        narrow = opened.evaluate(OVERFLOW)
        assert narrow["scroll"] <= narrow["width"], narrow
        box = opened.locator(".search-box")
        assert box.evaluate(CUT) == []
    context.close()


@pytest.mark.browser
def test_without_a_script(chromium: Any, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(f"{address}/{PAGE}.html")
    opened.locator(".search-open:visible").first.click()
    opened.wait_for_url("**/search.html")
    assert "needs JavaScript" in opened.locator("main").inner_text()
    context.close()


@pytest.mark.browser
def test_an_index_that_does_not_come_is_said(chromium: Any, address: str) -> None:
    context = chromium.new_context()
    opened = context.new_page()
    opened.route("**/search/index.js", lambda route: route.abort())
    opened.goto(f"{address}/{PAGE}.html")
    opened.keyboard.press("Control+k")
    opened.locator(FIELD).fill("loss")
    opened.wait_for_function(
        "document.querySelector('.search-status').textContent.includes('index')"
    )
    opened.unroute("**/search/index.js")
    opened.locator(FIELD).fill("losses")  # the next try asks again
    opened.wait_for_function("document.querySelectorAll('.search-results a').length")
    context.close()


def test_pages_carry_their_keywords(site: Path) -> None:
    text = (site / "book/theory/wasserstein.html").read_text(encoding="utf-8")
    assert re.search(r'<meta name="keywords" content="[^"]*\bweight clipping\b[^"]*" ?/?>', text)
