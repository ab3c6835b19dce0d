"""Digits that tell whether two rows were made by the same code: no repository is asked.

What counts is the source of the modules of ganlib that the target's module reaches by imports,
less comments, documentation, and the declaration ``TARGET`` itself, whose settings stand in each
row.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import ganlib
from ganlib.studies.keys import digits

__all__ = ["digest", "reached"]

_ROOT = Path(ganlib.__file__).parent
_DECLARES = {"ganlib", "ganlib.results", "ganlib.results.target"}  # changes no number


def reached(module: str) -> list[str]:
    """The modules of ganlib that code in ``module`` may run, sorted, itself among them."""
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        if name in seen or name in _DECLARES or (path := _path(name)) is None:
            continue
        seen.add(name)
        waiting.add(name.rpartition(".")[0])
        waiting |= set(_imports(ast.parse(path.read_text(encoding="utf-8"))))
    return sorted(seen)


@functools.cache
def digest(module: str) -> str:
    """Sixteen hexadecimal digits of the code that ``module`` reaches."""
    texts = []
    for name in reached(module):
        path = _path(name)
        assert path is not None  # reached
        texts.append(f"{name}\0{_bare(path.read_text(encoding='utf-8'))}\0")
    return digits("".join(texts))


def _path(name: str) -> Path | None:
    place = _ROOT.joinpath(*name.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if name.startswith("ganlib.") and path.is_file():
            return path
    return None


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"  # ganlib.losses, loaded on first use


def _bare(text: str) -> str:
    """The code without comments, layout, documentation and the declaration of a target."""
    tree = ast.parse(text)
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id in ("TARGET", "__all__") for t in node.targets)
        )
    ]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [one for one in body if not _says(one)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _says(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return isinstance(node, ast.Expr) and is_text
