"""The first mention of a glossary's term on a page is a link to its entry; nobody writes it.

Linked are names that cannot be taken for everyday words: those of several words, with a hyphen, or
with a capital inside or after the first letter (`mode collapse`, `push-forward`, `ELBO`). A page
that prints the name in bold defines it, and one that links to the entry itself has said enough:
there it is left alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx_design.dropdown import dropdown_title

from tools import guards
from tools.predict import predict, predict_answer
from tools.sources import Page

GLOSSARY = "book/back/glossary"
BIBLIOGRAPHY = "book/back/bibliography"  # titles of works stay as they are
#: where no link is made: what is a link, code, a formula, a heading, a table or a question
CLOSED = (
    nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block,
    nodes.raw, nodes.caption, nodes.table, nodes.rubric, addnodes.glossary,
    predict, predict_answer, dropdown_title,
)  # fmt: skip


def telling(name: str) -> bool:
    """Whether a name is no everyday word: it has a space, a hyphen, or a capital that matters."""
    return len(name) > 2 and bool(re.search(r"[ -]|.[A-Z]", name))


@functools.cache
def names(page: Page) -> dict[str, str]:
    """Every telling name of a glossary and its term."""
    return {
        name: term
        for term, said in guards.glossary(page).items()
        for name in (term, *guards.other_names(said))
        if telling(name)
    }


def pattern(known: Mapping[str, str]) -> re.Pattern[str]:
    """Finds the names, the longest first; words in small letters also at a sentence's head."""
    spelt = []
    for name in sorted(known, key=len, reverse=True):
        first, rest = re.escape(name[0]), re.escape(name[1:])
        head = (
            f"[{first}{first.upper()}]" if name[0].islower() and not _has_capital(name) else first
        )
        spelt.append(head + rest)
    return re.compile(rf"(?<![\w-])({'|'.join(spelt)})(?:s|es)?(?![\w-])")


def _has_capital(name: str) -> bool:
    return any(letter.isupper() for letter in name)


def _running_text(node: nodes.Node) -> Iterator[nodes.Text]:
    """The texts of a page in which a link may stand, in order; what is bold, too."""
    if isinstance(node, CLOSED):
        return
    if isinstance(node, nodes.Text):
        yield node
        return
    for child in list(node.children):
        yield from _running_text(child)


def link_first(
    document: nodes.Element, known: Mapping[str, str], address: Mapping[str, str]
) -> int:
    """Link the first mention of each term in a page's text; returns how many were linked.

    Parameters
    ----------
    known
        From a name to its term (:func:`names`).
    address
        From a term to the address of its entry, as seen from the page.
    """
    mentions = pattern(known)
    lower = {name.lower(): term for name, term in known.items()}
    there = {link.get("refuri", "") for link in document.findall(nodes.reference)}
    done = {term for term in address if address[term] in there}
    linked = 0
    for text in list(_running_text(document)):
        parts: list[nodes.Node] = []
        start = 0
        bold = isinstance(text.parent, nodes.strong)
        for found in mentions.finditer(text):
            term = known.get(found[1]) or lower[found[1].lower()]
            if term in done or term not in address:
                continue
            done.add(term)
            if bold:
                continue
            link = nodes.reference(
                "", found[0], internal=True, refuri=address[term], classes=["glossary-term"],
                reftitle=f"Glossary: {term}",
            )  # fmt: skip
            parts += [nodes.Text(text[start : found.start()]), link]
            start = found.end()
            linked += 1
        if parts:
            parts.append(nodes.Text(text[start:]))
            text.parent.replace(text, [part for part in parts if part.astext()])
    return linked


def link_terms(app: Sphinx, document: nodes.document, pagename: str) -> None:
    """Do so on each page of the site but the glossary itself and the bibliography."""
    if app.builder.format != "html" or pagename in (GLOSSARY, BIBLIOGRAPHY):
        return
    places = app.env.get_domain("std").objects  # type: ignore[attr-defined]
    away = app.builder.get_relative_uri(pagename, GLOSSARY)
    address = {
        name: f"{away}#{anchor}"
        for (kind, name), (page, anchor) in places.items()
        if kind == "term" and page == GLOSSARY
    }
    link_first(document, names(Page(GLOSSARY)), address)


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", link_terms)
