"""The recount of a chapter: which seeds move, what is counted."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from ganlib import results
from tools import recount
from tools.sources import Page

PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

```{code-cell} ipython3
from myst_nb import glue

seen = [seed for seed in range(100, 106)]
chose = list(range(5))


def run(count, seed=105):
    return seed


last = run(7), run(7, seed=110)
```

```{code-cell} ipython3
# checks: obs-first
assert seen[0] == 100
assert len(seen) == 6
for one in chose:
    assert one < 100
glue("page-sum", sum(seen), display=False)
glue("page-text", "as it was", display=False)
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return Page("page", tmp_path)


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("range(100, 106)", "range(1000, 1006)"),
        ("range(105, 110)", "range(1005, 1010)"),
        ("f(seed=103)", "f(seed=1003)"),
        (
            "run(Job('ring: plain', setting, 100), 300)",
            "run(Job('ring: plain', setting, 1000), 300)",
        ),
        ("def f(x, runs=200, seed=100):\n    pass", "def f(x, runs=200, seed=1000):\n    pass"),
        ("range(5)", "range(5)"),
        ("range(0, 5)", "range(0, 5)"),
        ("range(100)", "range(100)"),
        ("range(100, 4000)", "range(100, 4000)"),
        ("f(seed=3, steps=1200)", "f(seed=3, steps=1200)"),
        ("sample(500, steps=200)", "sample(500, steps=200)"),
    ],
)
def test_fresh_seeds_move_and_nothing_else(code: str, after: str) -> None:
    assert recount.moved(code, 900) == ast.unparse(ast.parse(after))


def test_a_pass_counts_what_holds_and_goes_on_where_something_fails(page: Page) -> None:
    own, other = (recount.recount(page, first) for first in (100, 1000))
    assert (own.held, own.failed) == (3, [])
    assert own.glued == {"page-sum": "615", "page-text": "as it was"}
    assert other.held == 2
    assert other.failed == ["obs-first: assert seen[0] == 100"]
    assert other.glued["page-sum"] == str(sum(range(1000, 1006)))


def test_tables_of_a_folder_stand_in_for_the_book_s(page: Page, tmp_path: Path) -> None:
    path = page.path
    reads = "from ganlib import results\nrows = len(results.read('dirac-gan', 'full').rows)"
    text = path.read_text(encoding="utf-8").replace(
        "# checks: obs-first", f"{reads}\nassert rows == 2"
    )
    path.write_text(text, encoding="utf-8")
    lines = results.store.file("dirac-gan", "full").read_text(encoding="utf-8").splitlines(True)
    results.store.file("dirac-gan", "full", tmp_path).write_text(
        "".join(lines[:3]), encoding="utf-8"
    )
    kept = results.read
    assert "a cell: assert rows == 2" in recount.recount(Page("page", tmp_path), 100).failed
    assert recount.recount(Page("page", tmp_path), 100, tmp_path).failed == []
    assert results.read is kept


def test_a_page_without_fresh_seeds_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "page.md").write_text(
        PAGE.replace("range(100, 106)", "range(6)").replace("105", "5").replace("110", "6"),
        encoding="utf-8",
    )
    seedless = Page("page", tmp_path)
    monkeypatch.setattr(recount, "Page", lambda name: seedless)
    with pytest.raises(SystemExit):
        recount.main(["page", "--seeds", "1000"])
    assert "page has no seeds from 100 on" in capsys.readouterr().err


def test_the_command_prints_what_failed_and_what_changed(page: Page, monkeypatch, capsys) -> None:
    monkeypatch.setattr(recount, "Page", lambda name: page)
    assert recount.main(["page", "--seeds", "100", "1000"]) == 0
    said = capsys.readouterr().out
    assert "seeds from 100: 3 held, 0 failed" in said
    assert "FAILED obs-first: assert seen[0] == 100" in said
    assert "page is not built as it stands" in said
    assert "page-sum: ? -> 6015" in said


def test_values_that_did_not_change_are_left_out(page: Page, monkeypatch, capsys) -> None:
    ran = page.notebook()
    for name, text in (("page-sum", "615"), ("page-text", "'as it was'")):
        told = {"scrapbook": {"name": name, "mime_prefix": "x/"}}
        output = nbformat.v4.new_output("display_data", {"x/text/plain": text}, metadata=told)
        ran.cells[-1].outputs.append(output)
    monkeypatch.setattr(recount, "Page", lambda name: page)
    monkeypatch.setattr(recount, "joined", lambda page: ran)
    assert recount.main(["page", "--seeds", "1000"]) == 0
    said = capsys.readouterr().out
    assert "page-sum: 615 -> 6015" in said
    assert "page-text" not in said
