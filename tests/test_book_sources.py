"""The guards of the sources, on every page; and each guard on a page with a planted fault."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import predict_sample
import pytest

from tools import guards
from tools.sources import ROOT, Page, book_pages, code_cells, toc

NOTEBOOK_GUARDS = {"cells_run", "cost_measured", "figures_described", "cells_small", "imports_used"}
CASES = [
    pytest.param(guard, page, id=f"{name}-{page.name.removeprefix('book/')}")
    for name, guard in guards.GUARDS.items()
    for page in book_pages()
    if page.is_notebook or name not in NOTEBOOK_GUARDS
]

GOOD = (
    guards.SAME
    + """keywords: sample, example
---

(ch-sample)=
# A sample

*You need: nothing.*

````{prf:theorem} One and one
:label: thm-sample-sum
Then
```{math}
:label: eq-sample-sum
1 + 1 = 2
```
````

```{code-cell} ipython3
:tags: [derivation-check]
# checks: thm-sample-sum
assert 1 + 1 == 2
glue("sample-two", 2.0, display=False)
```

````{prf:observation} Counted
:label: obs-sample-count
Of 3 runs 3 ended.
````

```{code-cell} ipython3
:tags: [claim-check]
# checks: obs-sample-count
assert len(runs) == 3
```

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-sample-line
    caption: A line.
  image:
    alt: A straight line from lower left to upper right.
---
plt.plot([0, 1])
```

````{predict}
:label: pre-sample-sum
:kind: choice
:answer: 2
:judged: thm-sample-sum, fig-sample-line
How much is it?

- One.
- Two.

--- answer

Two, by {prf:ref}`thm-sample-sum`.
````

````{predict}
:label: pre-sample-number
:kind: number
:answer: sample-two
:low: 0
:high: 3
:judged: thm-sample-sum
And as a number?

--- answer

The same.
````

## What to remember

- Two: {prf:ref}`thm-sample-sum`, of which one
  does not know {cite:p}`more`.
- All of them: {prf:ref}`obs-sample-count`.

Found a mistake? See {doc}`/book/back/errata`.
"""
)


def sample(folder: Path, text: str, *, ran: int | None = None) -> tuple[Page, Path]:
    """A page in a folder of its own, with ``ran`` executed cells in its notebook."""
    (folder / "book").mkdir(exist_ok=True)
    (folder / "book" / "sample.md").write_text(text)
    page = Page("book/sample", folder)
    if ran is not None:
        notebook = page.notebook()
        for number, cell in enumerate(code_cells(notebook)):
            cell.execution_count = number + 1 if number < ran else None
        notebook.metadata["cpu_seconds"] = {"page": 1.5, "cells": {}}
        notebooks = folder / "notebooks" / "book"
        notebooks.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, notebooks / "sample.ipynb")
    return page, folder / "notebooks"


@pytest.mark.parametrize(("guard", "page"), CASES)
def test_page(guard, page: Page) -> None:  # type: ignore[no-untyped-def]
    faults = list(guard(page))
    assert not faults, f"{page.name}.md:\n" + "\n".join(faults)


def test_every_page_is_in_the_contents_and_every_entry_exists() -> None:
    listed = {name for name in toc() if name.startswith("book/")}
    there = {p.relative_to(ROOT).with_suffix("").as_posix() for p in (ROOT / "book").rglob("*.md")}
    assert listed == there


def test_the_good_page_passes_every_guard(tmp_path: Path) -> None:
    page, notebooks = sample(tmp_path, GOOD, ran=3)
    assert list(guards.cells_run(page, notebooks)) == []
    assert list(guards.figures_described(page, notebooks)) == []
    assert list(guards.cost_measured(page, notebooks)) == []
    others = set(guards.GUARDS) - {"cells_run", "cost_measured", "figures_described"}
    assert {name: list(guards.GUARDS[name](page)) for name in others} == {n: [] for n in others}


def test_a_swallowed_cell_is_noticed(tmp_path: Path) -> None:
    # The theorem's fence as long as the one inside it: it ends early, and the directive after the
    # stray closing fence opens inside a plain code block.
    text = GOOD.replace("````\n", "```\n", 1).replace("````{prf", "```{prf", 1)
    page, _ = sample(tmp_path, text)
    read = len(code_cells(page.notebook()))
    page, notebooks = sample(tmp_path, text, ran=read)
    assert read < page.directives == 3
    assert "3 code-cell directives" in next(guards.cells_run(page, notebooks))


def test_a_cell_that_did_not_run_is_noticed(tmp_path: Path) -> None:
    page, notebooks = sample(tmp_path, GOOD, ran=1)
    assert "but 1 cells ran" in next(guards.cells_run(page, notebooks))


PLANTED = {
    "no check cell": (
        GOOD.replace("derivation-check", "other"),
        "statements_checked",
        "has no check",
    ),
    "wrong label checked": (
        GOOD.replace("# checks: thm-sample-sum", "# checks: thm-sample-other"),
        "statements_checked",
        "no statement above",
    ),
    "check in the next section": (
        GOOD.replace("```{code-cell} ipython3\n:tags", "## Next\n\n```{code-cell} ipython3\n:tags"),
        "statements_checked",
        "has no check",
    ),
    "observation without a check": (
        GOOD.replace("[claim-check]", "[hide-input]"),
        "statements_checked",
        "put a code cell tagged claim-check",
    ),
    "observation checked as a theorem is": (
        GOOD.replace("[claim-check]", "[derivation-check]"),
        "statements_checked",
        "needs a cell tagged claim-check",
    ),
    "claim asserts nothing": (
        GOOD.replace("assert len(runs) == 3", "print(len(runs))"),
        "statements_checked",
        "a claim-check cell that asserts nothing",
    ),
    "summary refers to nothing": (
        GOOD.replace("Two: {prf:ref}`thm-sample-sum`", "Two"),
        "summary_refers",
        "'- Two, of which one does not",
    ),
    "nothing asserted": (
        GOOD.replace("assert 1 + 1 == 2", "print(1 + 1)"),
        "statements_checked",
        "asserts nothing",
    ),
    "no label": (
        GOOD.replace(":label: thm-sample-sum\n", ""),
        "statements_checked",
        "without :label:",
    ),
    "no alternative text": (
        GOOD.replace("    alt: A straight line from lower left to upper right.", "    alt: ''"),
        "figures_described",
        "without alternative text",
    ),
    "long caption": (
        GOOD.replace("A line.", "A line that goes on and on and on, for ever."),
        "figures_described",
        "caption of 11 words",
    ),
    "long cell": (GOOD.replace("plt.plot([0, 1])", "x = 1\n" * 31), "cells_small", "31 lines"),
    "wide cell": (
        GOOD.replace("plt.plot([0, 1])", "x = 1" + " + 1" * 20),
        "cells_small",
        "85 columns",
    ),
    "install": (GOOD.replace("plt.plot", "%pip install x #"), "cells_small", "does not belong"),
    "one device": (GOOD.replace("plt.plot([0, 1])", "d = 'cuda:0'"), "cells_small", "cuda:0"),
    "unused import": (
        GOOD.replace("plt.plot(", "import matplotlib.pyplot as plt, math as m\nplt.plot("),
        "imports_used",
        "imports m, ",
    ),
    "banned word": (GOOD.replace("Then\n", "Clearly\n"), "words", "'Clearly'"),
    "banned word between two directives": (
        GOOD.replace("````{prf:observation}", "Clearly.\n\n````{prf:observation}"),
        "words",
        "'Clearly'",
    ),
    "placeholder": (GOOD.replace("Then\n", "TODO\n"), "words", "unfinished"),
    "foreign label": (
        GOOD.replace("eq-sample-sum", "eq-other-sum"),
        "labels_carry_name",
        "eq-other-sum",
    ),
    "display in a paragraph": (
        GOOD.replace("*You need: nothing.*\n", "Here\n$$\nx\n$$ (eq-sample-x)\n"),
        "displays_stand_alone",
        "line 18",
    ),
    "typed cost": (
        GOOD.replace("You need: nothing.", "You need: nothing. It runs\nin about 30 seconds."),
        "cost_measured",
        "'30 seconds'",
    ),
    "cost not measured": (GOOD, "cost_measured", "no measured CPU seconds"),
    "no errata link": (GOOD.replace("Found a mistake?", "The end."), "framed", "last line"),
    "an old box": (
        GOOD.replace("Then\n", "```{admonition} Predict before you run\n:class: tip\nTwo?\n```\n"),
        "predictions_resolved",
        "line 21: the box 'Predict before you run'",
    ),
    "no right option": (
        GOOD.replace(":answer: 2\n", ":answer: 3\n"),
        "predictions_resolved",
        "from 1 to 2",
    ),
    "no answer": (
        GOOD.replace("--- answer\n\nTwo", "Two"),
        "predictions_resolved",
        "no answer: a line",
    ),
    "no kind": (GOOD.replace(":kind: number\n", ""), "predictions_resolved", "expected one of"),
    "no label of a prediction": (
        GOOD.replace(":label: pre-sample-sum\n", ""),
        "predictions_resolved",
        ":label: missing",
    ),
    "nothing judges": (
        GOOD.replace(":judged: thm-sample-sum\n", ""),
        "predictions_resolved",
        ":judged: missing",
    ),
    "judged by nothing": (
        GOOD.replace(":judged: thm-sample-sum\n", ":judged: thm-sample-gone\n"),
        "predictions_resolved",
        "judged by thm-sample-gone",
    ),
    "not glued": (
        GOOD.replace(":answer: sample-two", ":answer: sample-three"),
        "predictions_resolved",
        "no cell of the page glues",
    ),
    "an option of no kind": (
        GOOD.replace(":low: 0\n", ":lowest: 0\n"),
        "predictions_resolved",
        "unknown for the kind number: lowest",
    ),
    "a prediction with a title": (
        GOOD.replace("{predict}\n:label: pre-sample-sum", "{predict} Sum\n:label: pre-sample-sum"),
        "predictions_resolved",
        "nobody reads it",
    ),
    "no keywords": (GOOD.replace("keywords: sample, example\n", ""), "framed", "keywords"),
    "no title label": (GOOD.replace("(ch-sample)=", "(ch-other)="), "framed", "no label"),
}


TERMS = """(ch-sample)=
# Words

```{glossary}
auto-encoder
  Also AE, autoencoder. A network that restores ({doc}`/book/sample`).

Fréchet distance
  A distance ({ref}`of samples <ch-sample>`).
```
"""
WRONG_TERMS = {
    "no link": ("restores ({doc}`/book/sample`)", "restores", "no link to where it is taught"),
    "no page": ("{doc}`/book/sample`", "{doc}`/book/gone`", "'auto-encoder' links to /book/gone"),
    "no label": ("ch-sample>", "ch-gone>", "'Fréchet distance' links to ch-gone"),
    "a name twice": ("A distance", "Also ae. A distance", "'ae' is a name of"),
    "out of order": ("auto-encoder\n", "GAN\n", "'GAN' stands where"),
}


def test_a_good_glossary_has_no_faults(tmp_path: Path) -> None:
    page, _ = sample(tmp_path, TERMS)
    assert list(guards.terms_taught(page)) == []
    said = guards.glossary(page)
    assert list(said) == ["auto-encoder", "Fréchet distance"]
    assert guards.other_names(said["auto-encoder"]) == ["AE", "autoencoder"]


@pytest.mark.parametrize("fault", WRONG_TERMS)
def test_a_wrong_term_is_noticed(fault: str, tmp_path: Path) -> None:
    right, wrong, message = WRONG_TERMS[fault]
    assert right in TERMS
    page, _ = sample(tmp_path, TERMS.replace(right, wrong, 1))
    assert any(message in found for found in guards.terms_taught(page))


def test_each_symptom_is_listed_and_has_a_check() -> None:
    text = Page("book/back/symptoms").text
    head, *entries = re.split(r"^\((sym-symptoms-[\w-]+)\)=\n", text, flags=re.M)
    assert re.findall(r"\]\((sym-symptoms-[\w-]+)\)", head) == entries[::2]  # the table, in order
    for label, entry in zip(entries[::2], entries[1::2], strict=True):
        own = entry.split("\n## ")[0]
        assert own.startswith("### "), label
        assert "**check" in own.lower(), label
        checked = re.findall(r"^```\{code-cell\}.*?^```", own, re.M | re.S)
        assert any(re.search(r"^\s*assert ", cell, re.M) for cell in checked), label


def test_an_answer_outside_the_entry_is_noticed(tmp_path: Path) -> None:
    page, notebooks = sample(tmp_path, GOOD, ran=3)
    path = notebooks / "book" / "sample.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for value, faults in ((2.0, 0), (4.0, 1)):
        code_cells(notebook)[0].outputs = [predict_sample.glue("sample-two", value)]
        nbformat.write(notebook, path)
        found = list(guards.predictions_resolved(page, notebooks))
        assert len(found) == faults
    assert "lies outside the entry's range" in found[0]


def test_only_imports_that_no_cell_uses_are_named(tmp_path: Path) -> None:
    code = "import a.b\nimport c.d\nfrom e import f as g, h\na.b.c = h.g"
    page, _ = sample(tmp_path, GOOD.replace("plt.plot([0, 1])", code))
    named = [fault.split()[1] for fault in guards.imports_used(page)]
    assert named == ["c.d,", "g,"]


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_noticed(fault: str, tmp_path: Path) -> None:
    text, guard, message = PLANTED[fault]
    assert text != GOOD or fault == "cost not measured"
    page, _ = sample(tmp_path, text)
    assert any(message in found for found in guards.GUARDS[guard](page)), list(
        guards.GUARDS[guard](page)
    )
