"""A page on paper: the text alone, with what is folded but not code, and nothing over the edge."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import SETTLED, Visit

PAGES = ("book/theory/the-game", "book/practice/mode-collapse", "exercises/the-game")
WIDTH = 680  # pixels: A4 with margins of 15 mm
STATE = """() => {
  const shown = e => e.checkVisibility() && e.getBoundingClientRect().height > 0;
  const some = css => [...document.querySelectorAll(css)];
  const width = document.documentElement.clientWidth;
  return {
    screen: some('.bd-sidebar-primary, .bd-header-article, .prev-next-footer, .fold-switch, ' +
      '.ganlib-view, .headerlink, .copybtn, .predict form button').filter(shown)
      .map(e => e.className),
    headings: some('h1').filter(shown).map(e => e.textContent),
    folded: some('.predict-answer > p, details.folded-proof > p, details.solution > p')
      .filter(e => !shown(e)).map(e => e.textContent.slice(0, 40)),
    code: some('details.hide pre').filter(shown).length,
    stills: some('.ganlib-still img').filter(e => !shown(e)).length,
    wide: some('article *').filter(e => !e.closest('svg, mjx-assistive-mml') && shown(e)
      && e.getBoundingClientRect().right > width + 1)
      .map(e => e.tagName + '.' + e.className).slice(0, 5),
    cut: some('article pre, article div.math, article table').filter(e => shown(e)
      && e.scrollWidth > e.clientWidth + 2).map(e => e.textContent.trim().slice(0, 40)),
    addresses: some('article a').filter(a =>
      /http/.test(getComputedStyle(a, '::after').content)).length,
  };
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_prints(chromium: Any, address: str, name: str) -> None:
    context = chromium.new_context(viewport={"width": WIDTH, "height": 900})
    try:
        page = Visit(context, f"{address}/{name}.html").page
        page.emulate_media(media="print")
        page.evaluate(SETTLED)
        state = page.evaluate(STATE)
    finally:
        context.close()
    (heading,) = state.pop("headings")
    assert heading.strip()
    assert state == {
        "screen": [],
        "folded": [],
        "code": 0,
        "stills": 0,
        "wide": [],
        "cut": [],
        "addresses": 0,
    }
