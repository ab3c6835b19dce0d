"""Every page of the site in axe: all its rules, wide and narrow, light and dark.

``axe_known.json`` holds what today's pages are known to fail: for each kind of page and each rule
the number of elements on the page that has most of them. More, or another rule, fails; so does an
entry that no page needs any longer. To write the file anew, once it may only shrink:
``AXE_KNOWN=write python -m pytest -q tests/slow/test_axe.py``.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import ENLIVEN, Visit, page_names

from tools.sources import SITE
from tools.vendor import TEST_ASSETS

KNOWN = Path(__file__).with_name("axe_known.json")
VIEWS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]
THEME = """theme => { document.documentElement.dataset.mode = theme;
  document.documentElement.dataset.theme = theme; }"""
# Every rule of axe but the experimental ones: how many elements fail it, and the first of them.
AXE = """async () => Object.fromEntries((await axe.run(document, { resultTypes: ['violations'] }))
  .violations.map((v) => ({ ...v, nodes: v.nodes.filter((n) => v.id !== "empty-table-header"
    || !document.querySelector(n.target[0]).querySelector("math")) }))  // spoken from its MathML
  .filter((v) => v.nodes.length)
  .map((v) => [v.id, [v.nodes.length, v.nodes[0].html.slice(0, 200)]]))"""
#: Pages that the contents do not list; the theme and its extensions make them.
MADE = [p.stem for p in SITE.glob("*-*.html") if p.stem not in page_names()]

Counts = dict[str, dict[str, int]]


def kind(page: str) -> str:
    """What sort of page it is: the folder of a page of the book, else its name."""
    return "/".join(page.split("/")[:-1]) or page


@pytest.fixture(scope="module")
def known() -> Counts:
    return dict(json.loads(KNOWN.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Counter[str]]]:
    """The most elements of a rule that a page of a kind has."""
    worst: dict[str, Counter[str]] = defaultdict(Counter)
    yield worst
    if os.environ.get("AXE_KNOWN") == "write":
        found = {k: dict(sorted(v.items())) for k, v in sorted(worst.items()) if v}
        KNOWN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def context(chromium: Any) -> Iterator[Any]:
    made = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


def beyond(found: dict[str, list[Any]], allowed: dict[str, int]) -> list[str]:
    """What a page fails beyond what is known of its kind."""
    return [
        f"{rule}: {count} elements, {allowed.get(rule, 0)} known, such as {first}"
        for rule, (count, first) in found.items()
        if count > allowed.get(rule, 0)
    ]


@pytest.mark.browser
@pytest.mark.parametrize("name", [*page_names(), *MADE])
def test_a_page_fails_no_more_rules_than_is_known(
    name: str, address: str, context: Any, known: Counts, seen: dict[str, Counter[str]]
) -> None:
    visit = Visit(context, f"{address}/{name}.html")
    page = visit.page
    page.evaluate(ENLIVEN)
    page.add_script_tag(path=str(TEST_ASSETS / "axe.min.js"))
    faults = []
    for width, theme in VIEWS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(THEME, theme)
        page.wait_for_timeout(1000)  # colours change by a transition, tab stops after a resize
        found = page.evaluate(AXE)
        for rule, (count, _) in found.items():
            seen[kind(name)][rule] = max(seen[kind(name)][rule], count)
        allowed = known.get(kind(name), {})
        faults += [f"{width} pixels, {theme}: {text}" for text in beyond(found, allowed)]
    page.close()
    assert not faults, f"{name}:\n" + "\n".join(faults)


@pytest.mark.browser
def test_what_is_known_is_still_there(known: Counts, seen: dict[str, Counter[str]]) -> None:
    if seen.keys() != {kind(name) for name in [*page_names(), *MADE]}:
        pytest.skip("not every page was looked at")
    gone = [f"{k}: {rule}" for k, rules in known.items() for rule in rules if not seen[k][rule]]
    assert not gone, f"no page fails these any longer; take them out of {KNOWN.name}: {gone}"


def test_more_than_is_known_is_a_fault() -> None:
    found = {"region": [2, "<a>"], "image-alt": [1, "<img>"]}
    assert beyond(found, {"region": 2, "image-alt": 1}) == []
    assert len(beyond(found, {"region": 1, "image-alt": 1})) == 1
    assert len(beyond(found, {})) == 2
