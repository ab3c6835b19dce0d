"""A small Sphinx extension: predictions, what a page costs, links to the glossary, notebooks
to download, buttons.

The cost stands under the title of each executed page: the time to read its main line, counted
by `tools.reading`, and the CPU seconds that its notebook took when `tools.execute` ran it.

The publisher sets the book's address in one place, the variable REPOSITORY (for example
``make book REPOSITORY=https://github.com/owner/name``). Without it there are no dead buttons.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from tools import download, predict, reading, search, terms
from tools.execute import NOTEBOOKS

#: the branch to which the publishing workflow pushes the generated notebooks
NOTEBOOK_BRANCH = "notebooks"

LONG_CELL = 10.0  # CPU seconds from which a cell's own are said


def repository() -> str:
    """The address of the published repository, or an empty string."""
    address = os.environ.get("REPOSITORY", "").strip().rstrip("/").removesuffix(".git")
    if address and not (address.startswith("https://") and len(address.split("/")) == 5):
        raise ConfigError(
            f"REPOSITORY is {address!r}; expected an address such as "
            "https://github.com/owner/name, or nothing"
        )
    return address


def use_repository(app: Sphinx, config: Config) -> None:
    """Give the theme the address, so that it shows its repository and issue buttons."""
    address = repository()
    if address:
        config.html_theme_options.update(
            repository_url=address,
            repository_branch="main",
            use_repository_button=True,
            use_issues_button=True,
        )


def launch_buttons(pagename: str) -> list[dict[str, str]]:
    """Colab and Binder links for one page; none for a host they do not know."""
    address = repository()
    if not address.startswith("https://github.com/"):
        return []
    owner_name = address.removeprefix("https://github.com/")
    path = f"{pagename}.ipynb"
    return [
        {
            "type": "link",
            "text": "Colab",
            "tooltip": "Open this page in Colab",
            "icon": "_static/images/logo_colab.png",
            "label": "colab-button",
            "url": "https://colab.research.google.com/github/"
            f"{owner_name}/blob/{NOTEBOOK_BRANCH}/{path}",
        },
        {
            "type": "link",
            "text": "Binder",
            "tooltip": "Open this page in Binder",
            "icon": "_static/images/logo_binder.svg",
            "label": "binder-button",
            "url": f"https://mybinder.org/v2/gh/{owner_name}/{NOTEBOOK_BRANCH}"
            f"?urlpath=lab/tree/{path}",
        },
    ]


def cpu_seconds(pagename: str) -> dict[str, Any]:
    """What `tools.execute` measured of a page; empty for a page that is not executed."""
    path = Path(NOTEBOOKS, f"{pagename}.ipynb")
    if not path.is_file():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8"))["metadata"]["cpu_seconds"])


def say_cost(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put under the title what a page costs, and the switch that opens what is folded."""
    if doctree is not None:
        line = reading.head(doctree, cpu_seconds(pagename).get("page"))
        if line:
            context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


def description(doctree: nodes.document) -> str:
    """What a page is about, in 160 characters at most: its question, or its beginning."""
    paragraphs = [" ".join(p.astext().split()) for p in doctree.findall(nodes.paragraph)]
    asked = [p.removeprefix("Question. ") for p in paragraphs if p.startswith("Question. ")]
    text = next(iter(asked + [p for p in paragraphs if len(p) > 60]), "")
    return textwrap.shorten(text, 160, placeholder=" ...")


def say_description(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Tell a search engine, and whoever shares the page's address, what it is about."""
    if doctree is None or not (text := html.escape(description(doctree))):
        return
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))  # is HTML
    context["metatags"] = context.get("metatags", "") + (
        f'\n<meta name="description" content="{text}">'
        f'\n<meta property="og:title" content="{title}">'
        f'\n<meta property="og:description" content="{text}">'
        '\n<meta property="og:type" content="article">\n'
    )


def say_long_cells(app: Sphinx, doctree: nodes.document, pagename: str) -> None:
    """Put the cost of each cell that takes long below it."""
    cells = cpu_seconds(pagename).get("cells", {})
    for cell in doctree.findall(nodes.container):
        seconds = cells.get(str(cell.get("exec_count")), 0.0) if "cell" in cell["classes"] else 0.0
        if seconds >= LONG_CELL:
            text = f"The cell above takes {math.ceil(seconds)} CPU seconds."
            line = f'<p class="cell-cost"><small>{text}</small></p>'
            cell.parent.insert(cell.parent.index(cell) + 1, nodes.raw("", line, format="html"))


def offer_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the executed notebook, as a reader wants it, where the theme offers it."""
    notebook = Path(NOTEBOOKS, f"{pagename}.ipynb")
    if not notebook.is_file():
        return
    target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    executed = nbformat.read(notebook, as_version=4)
    offered = download.offered(executed, pagename, repository())
    target.write_text(nbformat.writes(offered) + "\n", encoding="utf-8")
    context["ipynb_source"] = f"{pagename}.ipynb"


def offer_launch(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add the launch buttons after the theme has made its own."""
    buttons = launch_buttons(pagename) if "ipynb_source" in context else []
    if buttons and "header_buttons" in context:
        context["header_buttons"].append(
            {
                "type": "group",
                "tooltip": "Run this page elsewhere",
                "icon": "fas fa-rocket",
                "buttons": buttons,
                "label": "launch-buttons",
            }
        )


def setup(app: Sphinx) -> dict[str, bool]:
    predict.setup(app)
    reading.setup(app)
    terms.setup(app)
    search.setup(app)
    app.connect("config-inited", use_repository)
    app.connect("doctree-resolved", say_long_cells)
    app.connect("html-page-context", say_cost)
    app.connect("html-page-context", say_description)
    app.connect("html-page-context", offer_notebook, priority=300)
    app.connect("html-page-context", offer_launch, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
