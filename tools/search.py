"""The site's search: python -m tools.search WORDS prints what the built site finds.

What of each page is searched is taken from its document tree when Sphinx writes the page
(`tools.search_text`), and kept beside the trees, so that a page which is not built again keeps its
own. :func:`write` then makes, in ``_static/search``, the engine (MiniSearch and
``tools/search_engine.js``), the index, which node makes with that very engine, and the text of
each page for excerpts. All are scripts that a page loads when the reader begins to search, from a
server or from a folder.
"""

from __future__ import annotations

import html
import json
import posixpath
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

from tools import vendor
from tools.search_text import document, keywords
from tools.sources import ROOT, SITE, toc

FOLDER = "_static/search"
ENGINE = ROOT / "tools" / "search_engine.js"
NODE = ROOT / "tools" / "search_node.js"
NOTICE = "/*! With MiniSearch, MIT licence: minisearch-license.txt */"
KEPT = ".search.json"  # beside a page's document tree
LEFT_OUT = {"book/back/bibliography", "book/back/errata"}
LIBRARY = "book/back/api-"  # of these pages the names are searched, what they say is shown
#: pages that name much and explain little, or ask, come after those that explain
WEIGHT = {
    "book/index": 0.6,
    "book/back/api": 0.4,
    "book/back/glossary": 0.5,
    "book/back/results": 0.6,
    "book/back/teaching": 0.4,
    "book/back/where-sources-slip": 0.6,
    "exercises/": 0.6,
}
SYNONYMS = re.compile(r"\b[Aa]lso ([^.;:()]+)")  # the glossary's "also cGAN, class-conditional GAN"


class SearchError(RuntimeError):
    """The search could not be built; the message says why."""


def _weight(name: str) -> float:
    return next((weight for start, weight in WEIGHT.items() if name.startswith(start)), 1)


def _kept(doctrees: Path, name: str) -> Path:
    return doctrees / f"{name}{KEPT}"


def _source(app: Sphinx, name: str) -> str:
    path = Path(app.env.doc2path(name))
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else ""


def keep_text(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Keep what of a page is searched, and give the page its keywords."""
    if not isinstance(doctree, nodes.document):
        return
    source = _source(app, pagename)
    words = keywords(source)
    if words:
        content = html.escape(", ".join(words))
        context["metatags"] = (
            f'{context.get("metatags", "")}\n<meta name="keywords" content="{content}">'
        )
    found = document(doctree, source)
    if found is not None:
        path = _kept(Path(app.doctreedir), pagename)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found), ensure_ascii=False), encoding="utf-8")


def replace_sphinx_search(app: Sphinx) -> None:
    """Sphinx makes neither its index nor its page of results."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        app.builder.search = False


def search_page(app: Sphinx) -> list[tuple[str, dict[str, Any], str]]:
    return [("search", {}, "search.html")]


def node(site: Path, command: str, given: Any) -> Any:
    """Run the engine of a built site outside a browser: `build`, `ask` or `terms`."""
    command_line = [vendor.program("node"), str(NODE), str(site / FOLDER), command]
    done = subprocess.run(
        command_line, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SearchError(f"the search engine failed in node:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _words_taught(pages: dict[str, dict[str, Any]]) -> None:
    """Give each page, as keywords, the glossary's terms that link to it, with their synonyms."""
    for name, page in pages.items():
        for term in page["sections"]:
            target = term["taught"].partition("#")[0].removesuffix(".html")
            there = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            if target and there in pages:
                words = [term["heading"], *SYNONYMS.findall(term["text"])]
                pages[there]["keywords"] += words


def write(doctrees: Path, site: Path = SITE, names: list[str] | None = None) -> int:
    """Write engine, index and texts of the site; returns the number of sections."""
    folder = site / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    names = toc() if names is None else names
    pages: dict[str, dict[str, Any]] = {}
    for name in names:
        path = _kept(doctrees, name)
        if name in LEFT_OUT:
            continue
        if not path.is_file():
            raise SearchError(f"{name} has left no text for the search: build every page again")
        page = json.loads(path.read_text(encoding="utf-8"))
        topic = "" if name == names[0] else page["title"]  # the first is named after the book
        pages[name] = {"name": name, "topic": topic, "weight": _weight(name), **page}
        if name.startswith(LIBRARY):
            pages[name]["sections"] = [{**one, "text": ""} for one in page["sections"]]
        texts = {section["id"]: section["text"] for section in page["sections"] if section["text"]}
        said = (
            f"bookSearch.texts.set({json.dumps(name)}, {json.dumps(texts, ensure_ascii=False)});\n"
        )
        _script(folder / "pages" / f"{name}.js", said)
    _words_taught(pages)
    library = vendor.BUILD_TOOLS / "minisearch"
    source = (library / "index.js").read_text(encoding="utf-8") + ENGINE.read_text(encoding="utf-8")
    _script(folder / "engine.js", f"{NOTICE}\n{vendor.minified(source)}")
    shutil.copy(library / "LICENSE.txt", folder / "minisearch-license.txt")
    index = node(site, "build", given=list(pages.values()))
    said = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    _script(folder / "index.js", f"bookSearch.load({said});\n")
    return len(index["sections"])


def ask(queries: list[str], site: Path | None = None) -> list[list[dict[str, Any]]]:
    """What the built site finds for each query: pages, best first, with their hits."""
    return list(node(site or SITE, "ask", given=queries))


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", replace_sphinx_search)
    app.connect("html-collect-pages", search_page)
    app.connect("html-page-context", keep_text)


def main(arguments: list[str] | None = None) -> int:
    query = " ".join(sys.argv[1:] if arguments is None else arguments)
    if not query:
        print(__doc__.splitlines()[0])
        return 2
    for place, page in enumerate(ask([query])[0][:10], start=1):
        where = page["hits"][0]["heading"] or page["title"]
        print(f"{place:>2}  {page['score']:6.1f}  {page['page']}: {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
