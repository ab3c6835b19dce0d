"""The switch that opens what is folded, and addresses that stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import predict_sample
import pytest

SWITCH = "Show proofs, checks and code"
FOLDED = ("Because it is so.", "Folded in its box.", "Folded by itself.", "x = 1")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return predict_sample.build(tmp_path_factory.mktemp("book"))[0]


@pytest.fixture
def page(chromium: Any, book: Path) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.goto((book / "index.html").as_uri())
    yield opened
    context.close()


def visible(page: Any) -> list[bool]:
    return [page.locator(".bd-article").get_by_text(text).last.is_visible() for text in FOLDED]


@pytest.mark.browser
def test_the_switch_opens_all_and_is_remembered(page: Any) -> None:
    switch = page.get_by_role("button", name=SWITCH)
    assert switch.get_attribute("aria-pressed") == "false"
    assert visible(page) == [False] * 4
    switch.press("Enter")
    assert switch.get_attribute("aria-pressed") == "true"
    assert visible(page) == [True] * 4
    assert page.locator(".predict-resolution:visible").count() == 0  # the reader commits first
    page.reload()
    assert switch.get_attribute("aria-pressed") == "true"
    assert visible(page) == [True] * 4
    switch.press("Space")
    assert visible(page) == [False] * 4
    page.reload()
    assert visible(page) == [False] * 4


@pytest.mark.browser
def test_each_fold_still_opens_alone(page: Any) -> None:
    page.locator("details.folded-proof summary").press("Enter")
    assert visible(page) == [True, False, False, False]
    page.locator("details.toggle > summary").press("Enter")
    assert visible(page) == [True, True, False, False]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("part/old.html", "part/other.html#ch-sample-there"),
        ("part/old.html#thm-sample-sum", "index.html#thm-sample-sum"),
        ("part/other.html#thm-sample-sum", "index.html#thm-sample-sum"),
        ("part/other.html#equation-eq-sample-sum", "index.html#equation-eq-sample-sum"),
        ("index.html#ch-sample-there", "part/other.html#ch-sample-there"),
        ("index.html#ex-gone", "part/other.html"),
        ("index.html#ex-never-there", "index.html#ex-never-there"),
        ("index.html#thm-sample-sum", "index.html#thm-sample-sum"),
    ],
)
def test_what_moved_is_found(page: Any, book: Path, start: str, end: str) -> None:
    page.goto("about:blank")
    page.goto(f"{book.as_uri()}/{start}")
    if start != end:
        page.wait_for_url(f"{book.as_uri()}/{end}")
    page.wait_for_timeout(150)
    assert page.url == f"{book.as_uri()}/{end}"


@pytest.mark.browser
def test_a_page_that_moved_leads_on_without_a_script(chromium: Any, book: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / "part" / "old.html").as_uri())
    page.wait_for_url("**/part/other.html#ch-sample-there")
    context.close()


@pytest.mark.browser
def test_a_link_within_a_page_can_lead_to_another(page: Any, book: Path) -> None:
    page.evaluate("location.hash = 'ch-sample-there'")
    page.wait_for_url(f"{book.as_uri()}/part/other.html#ch-sample-there")


@pytest.mark.browser
def test_what_is_folded_opens_for_its_address(page: Any, book: Path) -> None:
    page.evaluate("document.querySelector('.sd-card-body').id = 'prop-sample-inside'")
    page.evaluate("location.hash = 'prop-sample-inside'")
    page.get_by_text("Folded by itself.").wait_for(state="visible")
