"""What each executed page says of its cost, under its title; and that it fits into a sitting."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
import pytest

from tools.reading import COST, MAX_MINUTES, said
from tools.sources import chapters

LINE = re.compile(
    rf"</h1>\n{COST.pattern}<small>Main line (\d+) minutes?\. Runs in (\d+) CPU seconds?\.</small>"
)
#: pages whose main line may take longer than a sitting, each with the reason
TOO_LONG: dict[str, str] = {
    "book/back/symptoms": "a list in which one looks things up, not a chapter to read",
    "book/back/where-sources-slip": "a list in which one looks things up, not a chapter to read",
}


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_page_says_what_it_costs(page, site: Path) -> None:  # type: ignore[no-untyped-def]
    path = site / f"{page.name}.html"
    found = LINE.findall(path.read_text())
    assert len(found) == 1
    *_, minutes, seconds = map(int, found[0])
    notebook = nbformat.read(site / "_sources" / f"{page.name}.ipynb", as_version=4)
    assert seconds == max(1, math.ceil(notebook.metadata["cpu_seconds"]["page"]))
    count = said(path)
    assert count is not None
    assert count.words > 100
    assert minutes == count.minutes


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_the_main_line_is_one_sitting(page, site: Path) -> None:  # type: ignore[no-untyped-def]
    count = said(site / f"{page.name}.html")
    assert count is not None
    if page.name in TOO_LONG:
        assert count.minutes > MAX_MINUTES, f"{page.name} fits now: take it out of TOO_LONG"
        pytest.skip(TOO_LONG[page.name])
    assert count.minutes <= MAX_MINUTES, (
        f"{page.name} takes {count.minutes} minutes ({count}); a page takes {MAX_MINUTES}: fold "
        "what is second reading, or split the page"
    )
