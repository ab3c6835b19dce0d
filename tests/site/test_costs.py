"""What each executed page says of its cost: the measured figure, under its title."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
import pytest

from tools.sources import chapters

LINE = re.compile(
    r"</h1>\n<p class=\"page-cost\"><small>Reading time (\d+) minutes?\. "
    r"Runs in (\d+) CPU seconds?\.</small></p>"
)


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_page_says_what_it_costs(page, site: Path) -> None:  # type: ignore[no-untyped-def]
    found = LINE.findall((site / f"{page.name}.html").read_text())
    assert len(found) == 1
    notebook = nbformat.read(site / "_sources" / f"{page.name}.ipynb", as_version=4)
    assert int(found[0][1]) == max(1, math.ceil(notebook.metadata["cpu_seconds"]["page"]))
    assert 1 <= int(found[0][0]) <= 60
