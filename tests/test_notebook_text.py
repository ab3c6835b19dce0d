"""A page as the Markdown that Jupyter knows: each mark of MyST by itself, on labels of the book."""

from __future__ import annotations

import pytest

from tools import download, notebook_text
from tools.notebook_text import LEFT, NotebookTextError, Target, markdown

PAGE = "book/theory/lsgan"
AWAY = "book/theory/the-game"
LABELS = {
    "thm-here": Target("Theorem", "One and one", PAGE),
    "ex-away": Target("Exercise", "Another sum", AWAY),
    "eq-here": Target("Equation", "", PAGE, 2),
    "eq-dollars": Target("Equation", "", PAGE, 3),
    "fig-here": Target("Figure", "A sum.", PAGE, 1),
    "sec-here": Target("", "Sums", PAGE),
    "ch-lsgan": Target("", "The title", PAGE),
}
TITLES = {PAGE: "The title", AWAY: "The other title"}
WORKS = {"one": ("Goodfellow et al.", "2014"), "two": ("Mao", "2017")}


@pytest.fixture(autouse=True)
def book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_text, "labels", lambda: LABELS)
    monkeypatch.setattr(notebook_text, "titles", lambda: TITLES)
    monkeypatch.setattr(notebook_text, "_works", lambda: WORKS)


CASES = {
    "a label and a comment": ("(sec-here)=\n% answers: A1 by thm-here\n## Sums", "## Sums"),
    "a theorem": (
        "````{prf:theorem} One and one\n:label: thm-here\n\n"
        "```{math}\n:label: eq-here\n1 + 1\n```\n````",
        "**Theorem** (One and one).\n\n$$\n1 + 1\n\\tag{2}\n$$",
    ),
    "lines of a formula": (
        "```{math}\na &= b \\\\\n&= c\n```",
        "$$\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n$$",
    ),
    "a labelled display": ("$$\n1\n$$ (eq-dollars)", "$$\n1\n\\tag{3}\n$$"),
    "a folded proof": (
        "```{prf:proof}\n:class: dropdown\nBy {eq}`eq-here`.\n```",
        "<details><summary>Proof</summary>\n\nBy (2).\n\n</details>",
    ),
    "an exercise and its solution": (
        "```{exercise-start} Sum\n:label: ex\n```\nAdd.\n```{exercise-end}\n```\n\n"
        "```{solution-start} ex\n:class: dropdown\n```\nTwo.\n```{solution-end}\n```",
        "**Exercise** (Sum).\n\nAdd.\n\n<details><summary>Solution</summary>\n\nTwo.\n\n</details>",
    ),
    "a solution with cells of code": ("```{solution-start} ex\n```\nRun:", "**Solution.**\n\nRun:"),
    "references": (
        "By {prf:ref}`thm-here`, {ref}`ex-away`, {numref}`fig-here`, {ref}`sec-here`, "
        "{ref}`ch-lsgan`.",
        "By theorem *One and one*, exercise *Another sum* of *The other title*, figure 1, *Sums*, "
        "*The title*.",
    ),
    "pages, terms and words of one's own": (
        "{doc}`/book/theory/the-game`, {doc}`the\ngame </book/theory/the-game>`, {term}`us <GAN>`",
        "*The other title*, the game, us",
    ),
    "citations": (
        "{cite:t}`two` {cite:p}`one,two`",
        "Mao (2017) (Goodfellow et al., 2014; Mao, 2017)",
    ),
    "code is left alone": (
        "```python\nx = '{ref}`a`'\n% no\n```",
        "```python\nx = '{ref}`a`'\n% no\n```",
    ),
    "a table": (
        "```{list-table} Sums\n:header-rows: 1\n\n* - a\n  - b\n* - 1\n  - 2\n    more\n```",
        "*Sums*\n\n| a | b |\n| --- | --- |\n| 1 | 2 more |",
    ),
    "a bar in a table": ("| $\\|x\\|$ | a |", "| $\\vert{}x\\vert{}$ | a |"),
    "cards": (
        "````{grid} 1 1\n:gutter: 3\n\n```{grid-item-card} An afternoon\nRead.\n```\n````",
        "**An afternoon**\n\nRead.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mark_becomes_markdown(case: str) -> None:
    text, expected = CASES[case]
    assert markdown(text, PAGE) == expected
    if "```python" not in text:
        assert LEFT.search(text) or "$" in text or "|" in text
        assert not LEFT.search(markdown(text, PAGE))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ref}`nowhere`", "nothing has the label 'nowhere'"),
        ("{doc}`/nowhere`", "there is no page /nowhere"),
        ("{sub}`x`", "no role {sub}"),
        ("```{mermaid}\nx\n```", "no directive {mermaid}"),
    ],
)
def test_what_has_no_form_in_a_notebook_is_refused(text: str, message: str) -> None:
    with pytest.raises(NotebookTextError, match=message):
        markdown(text, PAGE)


def test_a_figure_gets_its_caption() -> None:
    assert notebook_text.caption("fig-here") == "*Figure 1.* A sum."


def test_the_first_cell_says_what_to_do() -> None:
    assert 'BOOK = "."' in download.first_cell("")
    assert '%pip install --quiet "{BOOK}[notebooks,lab]"' in download.first_cell("")
    assert "@ git+https://github.com/owner/name@abc" in download.first_cell(
        "https://github.com/owner/name", "abc"
    )
