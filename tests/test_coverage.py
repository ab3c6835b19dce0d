"""The courses' questions: every answer counts, and none gets lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import coverage, guards
from tools.sources import ROOT, Page, book_pages

PAGES = book_pages()

ANSWERED = (
    guards.FRONT_MATTER
    + """
(ch-sample)=
# A sample

% answers: A1 by thm-sample-sum, fig-sample-line
% answers: A2 by ex-sample-sum

````{prf:theorem} One and one
:class: tip
:label: thm-sample-sum
Two.
````

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-sample-line
---
plt.plot([0, 1])
```

```{exercise-start} Two and two
:label: ex-sample-sum
```
```{exercise-end}
```

```{solution-start} ex-sample-sum
```
```{solution-end}
```

```{exercise-start} Three and three
:label: ex-sample-open
```
```{exercise-end}
```
"""
)


def sample(folder: Path, text: str) -> Page:
    (folder / "sample.md").write_text(text)
    return Page("sample", folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_answers_of_a_page_count(page: Page) -> None:
    faults = list(coverage.answers_count(page))
    assert not faults, "\n".join(faults)


def test_no_answer_is_lost() -> None:
    faults = list(coverage.lost(PAGES))
    assert not faults, "\n".join(faults)


def test_every_question_of_a_source_has_its_row() -> None:
    letters = {"A": 16, "B": 3, "C": 20, "D": 9, "E": 17}
    found = coverage.sources()
    assert {letter: len(source.questions) for letter, source in found.items()} == letters
    for letter, source in found.items():
        assert list(source.questions) == [f"{letter}{n + 1}" for n in range(letters[letter])]


def test_a_good_page_and_its_table(tmp_path: Path) -> None:
    page = sample(tmp_path, ANSWERED)
    assert not list(coverage.answers_count(page))
    table = coverage.table("A", [page])
    assert len(table) == 2 + 16
    assert "{prf:ref}`thm-sample-sum`, {numref}`fig-sample-line`" in table[2]
    assert "{ref}`ex-sample-sum`" in table[3]
    assert all("*not answered yet*" in line for line in table[4:])
    assert all(line.count("|") == 4 for line in table)


PLANTED = {
    "no such row": ("A1 by thm", "A99 by thm", "no row A99"),
    "no such label": ("fig-sample-line\n%", "fig-sample-circle\n%", "fig-sample-circle"),
    "nothing named": ("A2 by ex-sample-sum", "A2", "expected such as"),
    "a section alone": ("A2 by ex-sample-sum", "A2 by ch-sample", "ch-sample"),
    "an exercise without a solution": ("by ex-sample-sum", "by ex-sample-open", "ex-sample-open"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_noticed(fault: str, tmp_path: Path) -> None:
    old, new, message = PLANTED[fault]
    assert old in ANSWERED
    found = list(coverage.answers_count(sample(tmp_path, ANSWERED.replace(old, new))))
    assert len(found) == 1
    assert message in found[0]


def test_an_answer_that_goes_is_noticed() -> None:
    faults = list(coverage.lost([]))
    answered = {a.row for a in coverage.answers(PAGES)}
    assert {fault.split()[0] for fault in faults} >= answered
    assert any(fault.startswith("A1 ") for fault in faults)


def test_an_open_row_that_is_answered_is_noticed(tmp_path: Path) -> None:
    rows = [row for source in coverage.sources().values() for row in source.open]
    if not rows:
        pytest.skip("no row is open")
    page = sample(tmp_path, ANSWERED.replace("A2 by", f"{rows[0]} by"))
    assert f"{rows[0]} is answered: take its `open` out of course-questions.yml" in list(
        coverage.lost([page])
    )


def test_every_row_is_asked_for_or_said_to_be_open() -> None:
    faults = list(coverage.unasked(PAGES))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("### Question 7: a fair memory", "### Part of question 6: a fair memory"),
        ("### Question 7: a fair memory", "### Question 7: a memory"),
    ],
)
def test_a_question_that_vanishes_is_noticed(old: str, new: str, tmp_path: Path) -> None:
    shutil.copytree(coverage.ASSIGNMENTS, tmp_path / "exercises")
    assert not list(coverage.unasked(PAGES, tmp_path / "exercises"))
    path = tmp_path / "exercises" / "all-modes" / "source.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    (fault,) = coverage.unasked(PAGES, tmp_path / "exercises")
    assert fault.startswith("E13: ")
    assert fault.endswith("is all-modes/a fair memory")


def test_an_exercise_that_vanishes_is_noticed() -> None:
    faults = list(coverage.unasked([page for page in PAGES if "normalised" not in page.name]))
    assert [fault[:2] for fault in faults] == ["D7"]


def test_a_row_that_nothing_asks_for_is_said() -> None:
    source = coverage.sources()["D"]
    assert coverage.variations("D4", source).startswith("*open*: ")
    assert coverage.variations("D7", source) == "{ref}`ex-normalised-features-joint`"
    asked = coverage.variations("D5", source)
    assert "</exercises/images-and-labels>` {ref}`4 <assignment-images-and-labels-q4>`, " in asked
    assert "*not asked*: the three feature sizes" in asked


def test_the_list_lies_in_the_book() -> None:
    assert ROOT / "book" in coverage.QUESTIONS.parents
