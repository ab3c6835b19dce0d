"""The links to the glossary: the first mention of a term on a page, and where there is none."""

from __future__ import annotations

import pytest
from docutils import nodes
from sphinx_design.dropdown import dropdown_title

from tools import terms
from tools.sources import Page

KNOWN = {"mode collapse": "mode collapse", "mode": "mode", "ELBO": "ELBO", "TTUR": "two rates",
         "two rates": "two rates"}  # fmt: skip
ADDRESS = {term: f"glossary.html#term-{term.replace(' ', '-')}" for term in set(KNOWN.values())}


def page(*parts: nodes.Node | str) -> nodes.section:
    kept = [nodes.Text(part) if isinstance(part, str) else part for part in parts]
    return nodes.section("", nodes.paragraph("", "", *kept))


def links(document: nodes.Element) -> list[str]:
    return [link.astext() for link in document.findall(nodes.reference)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Mode collapse, then mode collapse again.", ["Mode collapse"]),
        ("The mode collapses of two runs", ["mode collapses"]),
        ("a longer name wins: mode collapse, not mode", ["mode collapse", "mode"]),
        ("TTUR is two rates", ["TTUR"]),  # one term, one link
        ("no ELBOW, no elbo, no sub-mode", []),
        ("The ELBO.", ["ELBO"]),
    ],
)
def test_the_first_mention_is_linked_and_the_words_stay(text: str, found: list[str]) -> None:
    document = page(text)
    count = terms.link_first(document, KNOWN, ADDRESS)
    assert (links(document), count, document.astext()) == (found, len(found), text)


@pytest.mark.parametrize(
    "closed",
    [
        nodes.literal("", "ELBO"), nodes.title("", "ELBO"), nodes.strong("", "ELBO"),
        nodes.math("", "ELBO"), nodes.reference("", "ELBO", refuri="else.html"),
        nodes.caption("", "ELBO"), nodes.table("", nodes.paragraph("", "ELBO")),
        dropdown_title("", "ELBO"),
    ],
    ids=lambda node: node.tagname,
)  # fmt: skip
def test_what_is_no_running_text_is_left_alone(closed: nodes.Element) -> None:
    document = page(closed)
    before = document.pformat()
    assert terms.link_first(document, KNOWN, ADDRESS) == 0
    assert document.pformat() == before


def test_what_a_page_defines_or_links_itself_is_not_linked_again() -> None:
    defined = page(nodes.strong("", "ELBO"), " and the ELBO")
    assert terms.link_first(defined, KNOWN, ADDRESS) == 0
    own = page(nodes.reference("", "a bound", refuri=ADDRESS["ELBO"]), " and the ELBO")
    assert terms.link_first(own, KNOWN, ADDRESS) == 0


def test_a_link_leads_to_its_entry_and_says_so() -> None:
    document = page("by TTUR")
    terms.link_first(document, KNOWN, ADDRESS)
    (link,) = document.findall(nodes.reference)
    assert link["refuri"] == "glossary.html#term-two-rates"
    assert link["reftitle"] == "Glossary: two rates"


def test_names_that_are_everyday_words_are_not_linked() -> None:
    known = terms.names(Page(terms.GLOSSARY))
    assert {"mode collapse", "ELBO", "push-forward", "FID", "TTUR", "reparametrisation trick"} <= {
        *known
    }
    assert not {"value", "score", "batch", "floor", "IS", "BN", "generator"} & {*known}
    assert known["TTUR"] == "two time-scale update rule"
