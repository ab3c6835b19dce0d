"""The zoo of named variants: every line whole, every reference and every place there."""

from __future__ import annotations

import importlib
import re
from functools import cache

import pytest

from ganlib import zoo
from tools import coverage, guards
from tools import zoo as tables
from tools.sources import ROOT, book_pages

ENTRIES = zoo.variants()
ROW = {
    "name": "A GAN",
    "year": "2014",
    "changes": "data",
    "after": "",
    "key": "goodfellow2014",
    "lecture": "A; B",
    "book": "no",
    "where": "",
    "unseen": "",
    "line": "Two players.",
}
#: the names on the lecture's map, as it spells them
LECTURE = """DCGAN, Wasserstein GAN, Improved WGAN, Relaxed WGAN, Least Squares GAN, Cramer GAN,
Energy Based GAN, Margin Adaptation GAN, MAGAN, PresGAN, TP-GAN, Bayesian GAN, DiscoGAN, DualGAN,
CycleGAN, StarGAN, MoCoGAN, SAGAN, FlowGAN, BigGAN, SeqGAN, RankGAN, AnoGAN"""


@cache
def bibliography() -> dict[str, str]:
    """The text of each entry of the book's bibliography, by key."""
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    return dict(re.findall(r"^@\w+\{(\S+),\n(.*?)^\}", text, re.M | re.S))


@cache
def checked() -> set[str]:
    """The labels of statements, figures and exercises of the book that count as an answer."""
    return set().union(*map(coverage.countable, book_pages()))


@cache
def labels() -> set[str]:
    return guards.labels(book_pages()[0])


def test_names_and_references_are_unique() -> None:
    for field in ("name", "key", "line"):
        values = [getattr(one, field) for one in ENTRIES]
        assert sorted(values) == sorted(set(values)), field


def test_every_name_of_the_lectures_map_is_there_once() -> None:
    wanted = [" ".join(name.split()) for name in LECTURE.split(",")]
    assert sorted(name for one in ENTRIES for name in one.lecture) == sorted(wanted)


@pytest.mark.parametrize("one", ENTRIES, ids=lambda one: one.name)
def test_an_entry_is_whole(one: zoo.Variant) -> None:
    reference = bibliography().get(one.key)
    assert reference is not None, f"{one.key} is not in references.bib"
    assert re.search(rf"year\s*= \{{{one.year}\}}", reference), f"{one.key} is not of {one.year}"
    assert len(one.line.split()) <= 30, "longer than a line"
    assert "|" not in one.line, "would break the table"
    before = {other.name: other for other in ENTRIES}.get(one.after)
    assert before is not None or one.name == "GAN"
    assert before is None or before.year <= one.year


@pytest.mark.parametrize("one", [e for e in ENTRIES if e.where], ids=lambda one: one.name)
def test_where_the_book_has_it_exists(one: zoo.Variant) -> None:
    if one.book == "library":
        module, _, name = one.where.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        return
    assert one.where in (labels() if one.book == "no" else checked())


def test_what_is_trained_has_an_observation_and_what_is_derived_a_statement() -> None:
    kinds = {"trained": {"obs"}, "derived": {"prop", "thm", "lem", "cor"}}
    for one in ENTRIES:
        if one.book in kinds:
            assert one.where.split("-")[0] in kinds[one.book], one.name


def test_the_tree_has_everyone_once_below_what_it_starts_from() -> None:
    rows = zoo.tree(ENTRIES)
    assert sorted(one.name for one, _ in rows) == sorted(one.name for one in ENTRIES)
    path: list[str] = []
    for one, depth in rows:
        assert path[depth - 1 : depth] == ([one.after] if one.after else [])
        path[depth:] = [one.name]


def test_the_tables_have_everyone_once() -> None:
    rows = [row for change in zoo.CHANGES for row in tables.table(change)[2:]]
    assert len(rows) == len(ENTRIES)
    for one in ENTRIES:
        assert sum(row.startswith(f"| **{one.name}**<br>") for row in rows) == 1


def test_every_table_stands_on_the_page() -> None:
    text = (ROOT / "book" / "back" / "zoo.md").read_text(encoding="utf-8")
    assert re.findall(r"^```\{zoo\} (\w+)$", text, re.M) == list(zoo.CHANGES)


def test_a_place_is_a_link_of_its_kind() -> None:
    places = {
        ("trained", "obs-a-b"): "trained: {prf:ref}`obs-a-b`",
        ("no", "ch-a"): "no; compare {ref}`ch-a`",
        ("no", ""): "no",
        ("library", "ganlib.options.unrolled"): "in the library: `ganlib.options.unrolled`",
    }
    for (book, where), text in places.items():
        assert tables.place(zoo.read({**ROW, "book": book, "where": where})) == text


def test_a_reference_that_was_not_seen_says_so() -> None:
    assert "Not checked" not in tables.row(zoo.read(ROW))
    assert "Not checked against a copy: venue." in tables.row(zoo.read({**ROW, "unseen": "venue"}))


def test_a_row_is_read() -> None:
    assert zoo.read(ROW).lecture == ("A", "B")
    assert zoo.read(ROW).year == 2014
    assert not zoo.read(ROW).built


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("changes", "colour", "changes is 'colour'; it is one of 'objective'"),
        ("book", "maybe", "book is 'maybe'"),
        ("unseen", "title", "unseen is 'title'"),
        ("key", "", "key is empty"),
        ("line", " ", "line is empty"),
        ("book", "trained", "say where"),
    ],
)
def test_a_bad_row_is_refused(field: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.read({**ROW, field: value})
