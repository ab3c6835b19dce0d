"""A small Sphinx extension: notebooks to download, and buttons once the book has an address.

The publisher sets the address in one place, the variable REPOSITORY (for example
``make book REPOSITORY=https://github.com/owner/name``). Without it there are no dead buttons.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from tools.execute import NOTEBOOKS

#: the branch to which the publishing workflow pushes the generated notebooks
NOTEBOOK_BRANCH = "notebooks"


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


def offer_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the executed notebook beside the page's source; the theme then offers it."""
    notebook = Path(NOTEBOOKS, f"{pagename}.ipynb")
    if not notebook.is_file():
        return
    target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(notebook, target)
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
    app.connect("config-inited", use_repository)
    app.connect("html-page-context", offer_notebook, priority=300)
    app.connect("html-page-context", offer_launch, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
