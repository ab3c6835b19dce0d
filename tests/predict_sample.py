"""A small book with a prediction of each kind and each sort of folded part, built by Sphinx."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
from nbformat import v4

from tools import redirects
from tools.sources import ROOT

CURVE = [[k / 10, round(0.7 - 0.7 * 2 ** (-k / 5), 3)] for k in range(41)]
PREDICTIONS = {
    "choice": """\
:label: pre-sample-rest
:kind: choice
:answer: 2
:judged: thm-sample-sum, eq-sample-sum
Where does training end?

- At 0.
- At 0.34, which is
  a long option that takes two lines on a narrow screen.
- It never rests.

--- answer

It rests at {glue:text}`sample-rest`, as {prf:ref}`thm-sample-sum` says.
""",
    "several": """\
:label: pre-sample-both
:kind: choice
:answer: 1, 3
:judged: thm-sample-sum
Which are even?

- 2
- 3
- 4

--- answer

Two and four.
""",
    "number": """\
:label: pre-sample-left
:kind: number
:answer: sample-rest
:unit: nats
:low: 0
:high: 1
:judged: thm-sample-sum
How much is left?

--- answer

A third of a nat.
""",
    "curve": """\
:label: pre-sample-curve
:kind: curve
:answer: sample-curve
:judged: thm-sample-sum
:x: distance $\\theta$ | 0 | 4
:y: JSD in nats | 0 | 1
How does the divergence grow with the distance?

--- answer

It levels off.
""",
    "point": """\
:label: pre-sample-point
:kind: point
:answer: [0.5, -0.25]
:judged: thm-sample-sum
:x: theta | -1 | 1
:y: psi | -1 | 1
Where do both slopes vanish?

--- answer

There.
""",
}
REST = """
````{prf:theorem} Sum
:label: thm-sample-sum
Then
```{math}
:label: eq-sample-sum
1 + 1 = 2
```
````

````{prf:proof}
:class: dropdown
Because it is so.
````

````{admonition} A longer word
:class: dropdown
Folded in its box.
````

````{dropdown} What it shows
Folded by itself.
````
"""
CONF = f"""\
extensions = ["myst_nb", "sphinx_design", "sphinx_book_theme",
              "sphinx_proof", "sphinx_exercise", "tools.book_extension"]
html_theme = "sphinx_book_theme"
html_title = "Sample"
html_static_path = [{str(ROOT / "book/static")!r}]
html_css_files = ["book.css"]
html_js_files = [["book.js", {{"defer": "defer"}}]]
html_context = {{"default_mode": "auto"}}
mathjax_path = "none.js"
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence"]
nitpicky = True
numfig = True
"""


def prediction(name: str) -> str:
    return f"````{{predict}}\n{PREDICTIONS[name]}````\n"


def glue(name: str, value: object) -> nbformat.NotebookNode:
    """The output of ``glue(name, value, display=False)``."""
    prefix = "application/papermill.record/"
    return v4.new_output(
        "display_data",
        data={f"{prefix}text/plain": repr(value)},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def notebook() -> nbformat.NotebookNode:
    """The first page, executed."""
    text = "# A sample\n\n" + "\n".join(map(prediction, PREDICTIONS)) + REST
    outputs = [glue("sample-rest", "0.34"), glue("sample-curve", json.dumps(CURVE))]
    made = v4.new_notebook(
        cells=[
            v4.new_markdown_cell(text),
            v4.new_code_cell(
                "x = 1", execution_count=1, outputs=outputs, metadata={"tags": ["hide-input"]}
            ),
        ]
    )
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    made.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return made


def build(folder: Path, text: str | None = None) -> tuple[Path, str]:
    """Build the book in a folder, or one page of ``text``; returns the site and the warnings."""
    import io

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    source, site = folder / "source", folder / "site"
    (source / "part").mkdir(parents=True)
    (source / "conf.py").write_text(CONF)
    if text is None:
        nbformat.write(notebook(), source / "index.ipynb")
        other = "# Another page\n\n(ch-sample-there)=\n## Here\n\nText.\n"
        (source / "part" / "other.md").write_text(f"---\norphan: true\n---\n\n{other}")
    else:
        (source / "index.md").write_text(f"# A page\n\n{text}")
    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            str(source), str(source), str(site), str(folder / "trees"), "html",
            status=None, warning=warnings, freshenv=True,
        )  # fmt: skip
        app.build()
    (site / "_static" / "none.js").write_text("")
    # Sphinx's search is not made (tools.search), and the theme asks for it; tools.weight takes that
    # out of the book's own pages.
    for name in ("searchtools.js", "language_data.js"):
        (site / "_static" / name).write_text("")
    (site / "searchindex.js").write_text("")
    if text is None:
        moves = folder / "redirects.txt"
        moves.write_text("part/old -> part/other#ch-sample-there\nindex#ex-gone -> part/other\n")
        redirects.write(site, ["index", "part/other"], moves)
    return site, warnings.getvalue()
