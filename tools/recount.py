"""Counts a chapter's claims again, on seeds that it has never seen.

    python -m tools.recount book/practice/mode-collapse --seeds 1000 1006 1010
    python -m tools.recount book/practice/stabilising --seeds 1000 --tables again

A chapter's fresh seeds stand in its cells as ``range(100, 106)``, ``seed=100`` or the last argument
of a ``Job``. They are moved together, so that the first of them is the one asked for; how many
there are stays. The cells run in this process. An assertion that fails is written down, and the
cell goes on. At the end: which assertions failed, and every glued value beside the one of the built
chapter. With --tables, what the chapter reads from a table of the book is taken from the table of
that name in the folder, where there is one; ``python -m ganlib reproduce NAME --seeds 1000 --out
again`` makes it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot
import myst_nb

from ganlib import results
from tools.execute import joined
from tools.predictions import glued
from tools.sources import Page, code_cells

#: Seeds of a chapter that chose nothing are from here on; below are those that chose a setting.
FRESH, SPAN = 100, 100


class NoSeedsError(ValueError):
    """A page without fresh seeds."""


def moved(code: str, by: int) -> str:
    """The code with every fresh seed moved."""
    tree = ast.parse(code)
    for place in fresh_seeds(tree):
        place.value += by
    return ast.unparse(tree)


def fresh_seeds(tree: ast.AST) -> Iterator[Any]:  # ast.Constant, of an int
    """The numbers that say which fresh seeds are run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            numbers: list[Any] = [one for one in node.args if _is_seed(one)]
            if node.func.id == "range" and len(node.args) == len(numbers) == 2:
                first, end = numbers
                if 0 < end.value - first.value <= SPAN:
                    yield from numbers
            elif node.func.id == "Job" and node.args and numbers[-1:] == node.args[-1:]:
                yield numbers[-1]
        if isinstance(node, ast.keyword) and node.arg == "seed" and _is_seed(node.value):
            yield node.value
        if isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
            for one, value in zip(named, node.defaults, strict=True):
                if one.arg == "seed" and _is_seed(value):
                    yield value


def _is_seed(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value >= FRESH


@dataclass
class Count:
    """What one pass over a chapter found."""

    held: int = 0
    failed: list[str] = field(default_factory=list)
    glued: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def put(place: Any, name: str, value: Any) -> Iterator[None]:
    """Another value of an attribute, for a while."""
    kept = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, kept)


def recount(page: Page, first: int, tables: Path | None = None) -> Count:
    """Run the chapter's cells with its fresh seeds moved, so that they begin with ``first``.

    Tables of the folder ``tables`` stand in for the book's of the same name.
    """
    cells = code_cells(page.notebook())
    trees = [ast.parse(cell.source) for cell in cells]
    seeds = [place.value for tree in trees for place in fresh_seeds(tree)]
    if not seeds:
        raise NoSeedsError(f"{page.name} has no seeds from {FRESH} on: nothing to count again")
    by = first - min(seeds)
    found, names = Count(), {"__name__": "__main__"}
    matplotlib.use("Agg")

    def glue(name: str, value: object, display: bool = True) -> None:
        found.glued[name] = value if isinstance(value, str) else repr(value)

    own = results.read

    def read(name: str, size: str) -> results.Read | None:
        return (tables and own(name, size, tables)) or own(name, size)

    with put(myst_nb, "glue", glue), put(results, "read", read):
        for cell in cells:
            label = cell.source.split("\n", 1)[0] if "# checks:" in cell.source else "a cell"
            for statement in ast.parse(moved(cell.source, by)).body:
                _run(statement, names, label.removeprefix("# checks: "), found)
            matplotlib.pyplot.close("all")
    return found


def _run(statement: ast.stmt, names: dict[str, Any], label: str, found: Count) -> None:
    text = ast.unparse(statement)
    counts = any(isinstance(node, ast.Assert) for node in ast.walk(statement))
    try:
        exec(compile(ast.Module([statement], []), label, "exec"), names)
    except AssertionError:
        found.failed.append(f"{label}: {text}")
    else:
        found.held += counts


def _plain(text: str) -> str:
    """A glued text without the quotes of its representation."""
    return str(ast.literal_eval(text)) if text[:1] in "'\"" else text


def _built(page: Page) -> dict[str, str]:
    """The values that the built chapter glued; none where it was built from another text."""
    try:
        return {name: _plain(text) for name, text in glued(joined(page)).items()}
    except (FileNotFoundError, ValueError):
        print(f"{page.name} is not built as it stands: ? is in the place of its values")
        return {}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.recount", description=__doc__)
    parser.add_argument("page", help="such as book/practice/mode-collapse")
    parser.add_argument(
        "--seeds", type=int, nargs="+", required=True, help="the first of each pass"
    )
    parser.add_argument("--tables", type=Path, help="a folder of tables made on other seeds")
    options = parser.parse_args(arguments)
    if options.tables and not options.tables.is_dir():
        parser.error(f"{options.tables} is no folder; reproduce NAME --out makes one")
    page = Page(options.page.removesuffix(".md"))
    built = _built(page)
    for first in options.seeds:
        try:
            found = recount(page, first, options.tables)
        except NoSeedsError as error:
            parser.error(str(error))
        print(f"\n{page.name}, seeds from {first}: {found.held} held, {len(found.failed)} failed")
        for one in found.failed:
            print(f"  FAILED {one}")
        for name, value in found.glued.items():
            if value != built.get(name):
                print(f"  {name}: {built.get(name, '?')} -> {value}")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
