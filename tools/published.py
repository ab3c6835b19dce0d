"""Where the site is published, and what only a site with an address can say.

The address follows from REPOSITORY (``https://github.com/owner/name`` gives the Pages of that
repository); ADDRESS names another one, such as a domain of one's own. With it each page says its
own address and has a card for whoever shares it, and there is a map for search engines. The page
for what is not there (``404.html``) is always made; without an address it serves a host's root.
"""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from tools import weight
from tools.book_extension import repository
from tools.sources import SITE, toc

CARD = "_static/card.png"  # made by tools.card
CARD_SIZE = (1200, 630)
CARD_ALT = (
    "GANs: Proof and Play. Eight blue clusters of data on a ring, an orange cloud of generated "
    "samples inside it, and arrows, the descent of the generator's loss, that lead outwards."
)
TITLE = "GANs: Proof and Play"
MAP = "sitemap.xml"
LOST = weight.ALONE
LOST_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Page not found - {title}</title>
<base href="{root}">
<link rel="icon" href="_static/favicon.svg">
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 34rem; margin: 12vh auto; padding: 0 1.2rem; font: 1.1rem/1.6 Georgia, serif; }}
h1 {{ font: 600 1.9rem/1.2 system-ui, sans-serif; }}
</style>
</head>
<body>
<main>
<h1>This page is not there</h1>
<p>The address may have a slip in it, or the page another name now.</p>
<ul>
<li><a href="{home}">{title}, the first page</a></li>
<li><a id="search" href="search.html">Search the book</a></li>
<li><a href="book/back/glossary.html">Every term, with the page that teaches it</a></li>
<li><a href="book/back/symptoms.html">What to do when training fails</a></li>
</ul>
</main>
<script>
const words = decodeURIComponent(location.pathname).replace(/\\.html?$/, "").split("/").pop();
const text = words.replace(/[^\\p{{L}}\\p{{N}}]+/gu, " ").trim();
const link = document.getElementById("search");
if (text) {{
  link.href = "search.html?q=" + encodeURIComponent(text);
  link.textContent = "Search the book for “" + text + "”";
}}
</script>
</body>
</html>
"""


def address() -> str:
    """The address of the published site without a slash at its end, or an empty string.

    Raises
    ------
    ConfigError
        If ADDRESS is no address.
    """
    named = os.environ.get("ADDRESS", "").strip().rstrip("/")
    if named:
        if urlsplit(named).scheme not in ("http", "https") or not urlsplit(named).netloc:
            raise ConfigError(
                f"ADDRESS is {named!r}; expected where the site is published, such as "
                "https://owner.github.io/name, or nothing"
            )
        return named
    place = repository()
    if not place.startswith("https://github.com/"):
        return ""
    owner, name = place.split("/")[3:]
    home = f"{owner.lower()}.github.io"
    return f"https://{home}" if name.lower() == home else f"https://{home}/{name}"


def use_address(app: Sphinx, config: Config) -> None:
    """Sphinx gives each page its canonical address."""
    if address():
        config.html_baseurl = f"{address()}/"


def show_card(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """What a page shows where it is shared."""
    root = address()
    if doctree is None or not root:
        return
    width, height = CARD_SIZE
    said = {
        "og:site_name": TITLE,
        "og:url": f"{root}/{pagename}.html",
        "og:image": f"{root}/{CARD}",
        "og:image:width": str(width),
        "og:image:height": str(height),
        "og:image:alt": CARD_ALT,
    }
    tags = [f'<meta property="{key}" content="{html.escape(v)}">' for key, v in said.items()]
    tags.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] = "\n".join([context.get("metatags", "").rstrip(), *tags, ""])


def site_map(root: str, names: list[str]) -> str:
    """The addresses of all pages, for search engines."""
    rows = "".join(
        f"<url><loc>{html.escape(f'{root}/{name}.html')}</loc></url>\n" for name in names
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}</urlset>\n'
    )


def lost_page(root: str, home: str) -> str:
    """The page that a host shows in place of one that is not there, at whatever depth."""
    below = f"{urlsplit(root).path}/"
    return LOST_PAGE.format(title=TITLE, root=html.escape(below), home=f"{home}.html")


def write(site: Path = SITE, names: list[str] | None = None) -> None:
    """Write the page for what is not there and, where the address is known, the map."""
    pages = names if names is not None else toc()
    root = address()
    (site / LOST).write_text(lost_page(root, pages[0]), encoding="utf-8")
    if root:
        (site / MAP).write_text(site_map(root, pages), encoding="utf-8")
    else:
        (site / MAP).unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", use_address)
    app.connect("html-page-context", show_card, priority=600)  # after the page's own description
    return {"parallel_read_safe": True, "parallel_write_safe": True}
