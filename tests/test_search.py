"""The search: what of a page is searched, one form for all spellings, and what comes first."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from sphinx import addnodes
from sphinx_exercise.nodes import solution_node

from tools import search, search_text
from tools.plain_formula import plain
from tools.predict import predict_answer
from tools.search_text import Document, Section


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"p_\theta(x\mid z)", "p_θ(x | z)"),
        (r"D^\star(x)=\frac{p(x)}{p(x)+q(x)}", "D*(x)=p(x)/(p(x)+q(x))"),
        (r"2\,\mathrm{JSD}(p,q)-\log 4", "2 JSD(p,q)-log 4"),
        (r"\log2=0.693", "log 2=0.693"),
        (r"\max_D\min_G V(D,G)", "max_D min_G V(D,G)"),
        (r"e^{-x^2}\tfrac12", "e^(-x²)1/2"),
        (r"x_{ij}^{10}", "xᵢⱼ¹⁰"),
        (r"n_{\text{critic}}\le5", "n_critic≤5"),
        (r"\mathrm{KL}(P\Vert Q)\to\infty", "KL(P‖Q)→∞"),
        (r"\bigl\{\hat\theta,\ \sqrt{a b}\bigr\}", "{θ̂, √(a b)}"),
        (r"\begin{aligned}a&=b\\c&=d\end{aligned}", "a=b; c=d"),
        (r"\unknowncommand{x}", "unknowncommand x"),
        (r"{\frac{1}", "1/"),  # a fragment is no reason to fail
    ],
)
def test_a_formula_in_plain_characters(tex: str, text: str) -> None:
    assert plain(tex) == text


PAGE = r"""
A page
======

*You need:* another page.

Why :math:`\theta` moves. `Link <x.html>`_

.. math:: \tfrac12

.. code-block:: python

    # only a comment
    loss = BCEWithLogitsLoss()(fake.detach(), 1)

Second
------

**Term** and **Question.**

Third
~~~~~

Text of the third.

Fourth
''''''

Text of the fourth.
"""


def doctree(text: str = PAGE) -> nodes.document:
    made: nodes.document = publish_doctree(text, settings_overrides={"doctitle_xform": False})
    return made


def test_sections_hold_what_is_read() -> None:
    found = search_text.document(doctree(), "---\nkeywords: one, two words\n---\n")
    assert found is not None
    assert (found.title, found.keywords) == ("A page", ["one", "two words"])
    first, second, third = found.sections
    assert (first.id, first.text) == ("a-page", "Why θ moves. Link\n1/2")
    assert first.code == "BCEWithLogitsLoss detach"
    assert (second.heading, second.names) == ("Second", "Term")
    assert third.text == "Text of the third.\nFourth\nText of the fourth."


def test_answers_and_what_cells_print_are_left_out() -> None:
    tree = doctree()
    section = tree.children[0]
    output = nodes.container("", nodes.paragraph("", "printed"), classes=["cell_output"])
    output += nodes.figure("", nodes.caption("", "A caption."))
    output += nodes.literal_block("", "printed_too = 1")
    section.insert(1, output)
    section.insert(1, predict_answer("", nodes.paragraph("", "the answer")))
    section.insert(1, solution_node("", nodes.paragraph("", "the solution")))
    section.insert(1, nodes.raw("", "<b>raw</b>", format="html"))
    found = search_text.document(tree, "")
    assert found is not None
    first = found.sections[0]
    assert first.text == "A caption.\nWhy θ moves. Link\n1/2"
    assert "printed" not in first.code


def test_statements_are_named() -> None:
    tree = doctree()
    title = nodes.title("", " (Two points)")
    body = nodes.section("", nodes.paragraph("", "All of it."))
    tree.children[0].insert(1, nodes.Element("", title, body, realtype="proposition"))
    found = search_text.document(tree, "")
    assert found is not None
    assert found.sections[0].text.startswith("Proposition: Two points.\nAll of it.\n")
    assert found.sections[0].names == "Two points"


def glossary(term: str, said: str, *links: str) -> nodes.document:
    definition = nodes.paragraph("", said, *(nodes.reference("", "", refuri=to) for to in links))
    item = nodes.definition_list_item(
        "", nodes.term("", term, ids=["term-x"]), nodes.definition("", definition)
    )
    tree = doctree("Glossary\n========\n\nWords.\n")
    tree.children[0].append(addnodes.glossary("", nodes.definition_list("", item)))
    return tree


def test_a_term_is_a_section_that_knows_where_it_is_taught() -> None:
    tree = glossary("GAN", "Also net.", "bibliography.html#x", "../theory/game.html#thm-y")
    found = search_text.document(tree, "")
    assert found is not None
    head, term = found.sections
    assert head.text == "Words."
    assert (term.id, term.heading, term.text) == ("term-x", "GAN", "Also net.")
    assert term.taught == "../theory/game.html#thm-y"


def test_front_matter() -> None:
    assert search_text.keywords("---\nkeywords: [a, b c]\n---\ntext") == ["a", "b c"]
    assert search_text.keywords("---\ntitle: x\n---\n") == []
    assert search_text.keywords("no head\n---\nkeywords: a\n---\n") == []


PAGES = {
    "book/index": Document("The book", [], [Section("the-book", "The book", "Losses.")]),
    "book/one": Document(
        "Wasserstein",
        ["earth mover", "generative adversarial network"],
        [
            Section("wasserstein", "Wasserstein", "A critic with weight clipping."),
            Section("normalising", "Normalising colours", "The neighbours of trained modes."),
            Section("code", "Code", "Text.", "BCEWithLogitsLoss"),
        ],
    ),
    "book/two": Document(
        "Collapse",
        [],
        [
            Section("collapse", "Collapse", "Non-saturating, at 0.693. Cramér."),
            Section("exercises", "Exercises", "Weight clipping, once more."),
        ],
    ),
    "book/words": Document(
        "Glossary",
        [],
        [
            Section("glossary", "Glossary", ""),
            Section("term-x", "covering", "Also Helvetica, full house. See.", "", "", "two.html"),
        ],
    ),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    for name, page in PAGES.items():
        path = folder / "trees" / f"{name}{search.KEPT}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(page)))
    assert search.write(folder / "trees", folder / "site", list(PAGES)) == 8
    return folder / "site"


def first(built: Path, *queries: str) -> list[str]:
    return [found[0]["page"] if found else "" for found in search.ask(list(queries), built)]


@pytest.mark.parametrize(
    "query",
    [
        "weight clipping",  # and not its exercise on another page
        "earth movers distance",  # a keyword
        "BCEWithLogitsLoss",
        "bcewithlogitsloss",
        "wasserstien",
        "wassers",
        "NORMALIZED COLORS",
        "neighboring mode",
        "how do I train a critic",
    ],
)
def test_the_page_is_found(built: Path, query: str) -> None:
    assert first(built, query) == ["book/one"]


def test_other_spellings_and_the_words_of_the_glossary(built: Path) -> None:
    asked = [
        "nonsaturating",
        "non saturating",
        "cramer",
        "loss at 0.693",
        "helvetica",
        "full house",
    ]
    assert first(built, *asked) == ["book/two"] * len(asked)
    assert first(built, "what is the", "?!", "", "quux") == [""] * 4


def test_a_word_of_every_page_asked_alone_leads_to_where_it_is_explained(built: Path) -> None:
    assert first(built, "what is a GAN?", "GANs") == ["book/one"] * 2


def test_hits_say_where_and_by_which_words(built: Path) -> None:
    (found,) = search.ask(["normalized"], built)
    (hit,) = [hit for hit in found[0]["hits"] if hit["id"] == "normalising"]
    assert hit["heading"] == "Normalising colours"
    assert "normaliz" in hit["terms"]
    script = (built / search.FOLDER / "pages" / "book" / "one.js").read_text()
    assert script.startswith('bookSearch.texts.set("book/one", {"wasserstein": "A critic')


def test_one_form_for_all_spellings(built: Path) -> None:
    same = [
        ["normalisation", "normalization", "normalizing", "normalised", "normalizes", "normaliser"],
        ["optimiser", "optimizers", "optimise", "optimizing"],
        ["regularised", "regularization", "regularize"],
        ["analyse", "analyzed", "analysing"],
        ["colour", "color", "colours", "coloring"],
        ["neighbour", "neighbors"],
        ["behaviour", "behavior"],
        ["centre", "center", "centres", "centers", "centered"],
        ["penalty", "penalties"],
        ["loss", "losses"],
        ["batch", "batches"],
        ["labelled", "labeled", "labels", "label", "labelling"],
        ["clip", "clipped", "clipping", "clips"],
        ["train", "training", "trained", "trains"],
        ["generate", "generated", "generating", "generates"],
        ["collapse", "collapses", "collapsed", "collapsing"],
        ["Cramér", "Cramer"],
        ["Fréchet", "frechet's"],
        ["non-saturating", "non-saturated"],
    ]
    texts = [word for words in same for word in words]
    found = iter(search.node(built, "terms", given=texts))
    for words in same:
        forms = {word: tuple(next(found)) for word in words}
        assert len(set(forms.values())) == 1, forms


def test_other_words_stay_apart(built: Path) -> None:
    other = ["loss", "los", "mode", "model", "critic", "critical", "string", "sting", "bias"]
    other += ["biased", "noise", "nose", "game", "gamma", "general", "generator", "generate"]
    other += ["normal", "normalise", "collapse", "collage", "bit", "bitten", "force", "four"]
    forms = [tuple(form) for form in search.node(built, "terms", given=other)]
    assert len(set(forms)) == len(other), dict(zip(other, forms, strict=True))


def test_a_page_without_its_text(tmp_path: Path) -> None:
    with pytest.raises(search.SearchError, match="book/one has left no text"):
        search.write(tmp_path, tmp_path, ["book/one"])


def test_the_library_comes_with_its_licence(built: Path) -> None:
    folder = built / search.FOLDER
    assert "MIT" in (folder / "engine.js").read_text()[:200]
    assert "Permission is hereby granted" in (folder / "minisearch-license.txt").read_text()


def test_asking_from_the_command_line(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    monkeypatch.setattr(search, "SITE", built)
    assert search.main(["weight", "clipping"]) == 0
    assert "book/one: Wasserstein" in capsys.readouterr().out.splitlines()[0]
