"""The named variants of the GAN: what each changes, its reference, and where the book has it.

One file, ``variants.csv``, holds them, a line each; the page `zoo` makes its picture and its tables
from :func:`variants`, and a test holds every reference and every place against the book.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["BOOK", "CHANGES", "UNSEEN", "Variant", "read", "tree", "variants"]

#: what a variant changes first, and what that means
CHANGES = {
    "objective": "what the players pay",
    "constraint": "what keeps the discriminator smooth",
    "architecture": "the networks, or a third one",
    "data": "what goes in and what comes out",
    "dynamics": "how the players move",
}
#: what the book does with a variant
BOOK = {
    "trained": "trains it",
    "derived": "derives it",
    "library": "has it in the library",
    "no": "leaves it out",
}
#: parts of a reference that were not seen in a public copy
UNSEEN = ("", "authors", "venue", "authors, venue")


@dataclass(frozen=True)
class Variant:
    """One line of the zoo.

    Examples
    --------
    >>> first = variants()[0]
    >>> isinstance(first, Variant), first.name, first.year, first.built
    (True, 'GAN', 2014, True)
    """

    name: str
    year: int  #: of the reference's publication
    changes: str  #: a key of :data:`CHANGES`
    after: str  #: the variant from which it starts; empty for the first
    key: str  #: of the reference in the book's bibliography
    lecture: tuple[str, ...]  #: names that the lecture's map has for it
    book: str  #: a key of :data:`BOOK`
    where: str  #: a label of the book, a name in the library; for "no" what to compare, or empty
    unseen: str  #: one of :data:`UNSEEN`
    line: str  #: what is new, in one line

    @property
    def built(self) -> bool:
        """Whether the book trains or derives it, or the library has it."""
        return self.book != "no"


def read(row: Mapping[str, str]) -> Variant:
    """A variant from a row of the file.

    Raises
    ------
    ValueError
        For a field that is empty or has a value that is not allowed.

    Examples
    --------
    >>> row = {name: str(value) for name, value in vars(variants()[0]).items()}
    >>> read({**row, "lecture": "", "changes": "nothing"})
    Traceback (most recent call last):
        ...
    ValueError: ...
    >>> sorted(CHANGES)[:2], sorted(BOOK)[:2], UNSEEN[0]
    (['architecture', 'constraint'], ['derived', 'library'], '')
    """
    name = row["name"]
    for field, allowed in (("changes", CHANGES), ("book", BOOK), ("unseen", UNSEEN)):
        if row[field] not in allowed:
            raise ValueError(
                f"{name}: {field} is {row[field]!r}; it is one of {', '.join(map(repr, allowed))}"
            )
    for field in ("name", "key", "line"):
        if not row[field].strip():
            raise ValueError(f"{name or row}: {field} is empty; give every variant one")
    if row["book"] != "no" and not row["where"]:
        raise ValueError(f"{name}: the book {BOOK[row['book']]}; say where, by a label or a name")
    lecture = tuple(filter(None, (one.strip() for one in row["lecture"].split(";"))))
    return Variant(**{**row, "year": int(row["year"]), "lecture": lecture})  # type: ignore[arg-type]


def variants() -> list[Variant]:
    """All variants, in the order of the file.

    Examples
    --------
    >>> {variant.name for variant in variants()} >= {"GAN", "WGAN-GP", "DCGAN"}
    True
    """
    text = files(__name__).joinpath("variants.csv").read_text(encoding="utf-8")
    return [read(row) for row in csv.DictReader(text.splitlines())]


def tree(found: list[Variant]) -> list[tuple[Variant, int]]:
    """The variants depth first, each with its number of ancestors.

    What starts from one variant is ordered by what it changes, then by year.

    Examples
    --------
    >>> first, ancestors = tree(variants())[0]
    >>> first.name, ancestors
    ('GAN', 0)
    """
    order = list(CHANGES)

    def below(name: str, depth: int) -> list[tuple[Variant, int]]:
        children = sorted(
            (one for one in found if one.after == name),
            key=lambda one: (order.index(one.changes), one.year, one.name),
        )
        return [pair for one in children for pair in [(one, depth), *below(one.name, depth + 1)]]

    return below("", 0)
