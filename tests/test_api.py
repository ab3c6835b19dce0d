"""The pages of the library: every public name has documentation and an example that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import types
from pathlib import Path

import pytest

import ganlib
from tools import api
from tools.sources import ROOT, Page

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TEXTS = [
    pytest.param(module, where, text, id=f"{module}.{where}" if where else module)
    for page in api.pages()
    for module, where, text in api.examples(page)
]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, no data, no network, no window."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def run(module: str, where: str, text: str) -> str:
    """Run the examples of a text after its module's first lines; returns what went wrong."""
    home = types.ModuleType("example")
    exec(api.begin(module), home.__dict__)
    test = doctest.DocTestParser().get_doctest(text, home.__dict__, where or module, None, 0)
    told: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append, clear_globs=False)
    return "".join(told)


@pytest.mark.parametrize(("module", "where", "text"), TEXTS)
def test_an_example_runs(module: str, where: str, text: str, bare: None) -> None:
    assert run(module, where, text) == ""


def test_a_wrong_example_is_seen() -> None:
    assert "Expected" in run("ganlib.losses", "minimax", ">>> minimax().name\n'hinge'\n")


def named(page: Page) -> set[str]:
    """Every name that the examples of a page use."""
    return {
        node.id
        for _, _, text in api.examples(page)
        for node in ast.walk(ast.parse(api.code(text)))
        if isinstance(node, ast.Name)
    }


def test_every_public_name_is_documented_and_has_an_example() -> None:
    shown = {module: named(page) for page in api.pages() for module in api.modules(page)}
    silent, without = [], []
    for module, names in api.public().items():
        for name in names:
            if not name.said:
                silent.append(f"{module}.{name.name}")
            own = ">>> " in name.said or name.kind == "type"
            if not own and name.name not in shown[module]:
                without.append(f"{module}.{name.name}")
    assert silent == [], "no documentation: a docstring, or a comment `#:` above a value"
    assert without == [], "no example: an `Examples` section, or the name in one on its page"


def test_an_example_uses_the_name_that_it_is_of() -> None:
    for module, names in api.public().items():
        for name in names:
            code = api.code(name.said)
            assert not code or re.search(rf"\b{name.name}\b", code), f"{module}.{name.name}"


def test_every_module_is_on_a_page_or_inside() -> None:
    tops = {name.removeprefix("ganlib.").split(".")[0] for name in api.public()} - {"ganlib"}
    assert not tops & set(api.INSIDE)
    assert tops | set(api.INSIDE) == {m for m in ganlib._MODULES if not m.startswith("_")}


def test_every_name_of_a_page_is_public() -> None:
    for module, names in api.public().items():
        listed = getattr(importlib.import_module(module), "__all__", None)
        assert names
        assert listed is None or {name.name for name in names} <= set(listed)


def test_the_overview_links_every_page() -> None:
    overview = (ROOT / "book" / "back" / "api.md").read_text(encoding="utf-8")
    for page in api.pages():
        assert page.name == "book/back/api" or f"{{doc}}`/{page.name}`" in overview


LSGAN = ":doc:`/book/theory/lsgan`"
FORMS = {
    "chapters": ("In `lsgan`, not `nowhere`.", f"In {LSGAN}, not ``nowhere``."),
    "signs": (
        "f*(t) of |x|, g_ and **two** *words*.",
        r"f\*(t) of \|x\|, g\_ and **two** *words*.",
    ),
    "as it is": ("As ``a*b`` and :func:`fit` are.", "As ``a*b`` and :func:`fit` are."),
    "after a list": (
        "x\n\nRaises\n------\nValueError\n    For y.\n\nIn `lsgan`.",
        f"x\n\nIn {LSGAN}.\n\n.. rubric:: Raises\n\n``ValueError``\n    For y.",
    ),
    "prose": (
        "x\n\nReturns\n-------\nA number.\nSmall.",
        "x\n\n.. rubric:: Returns\n\nA number.\nSmall.",
    ),
    "a type": ("x\n\nReturns\n-------\nint\n    y.", "x\n\n.. rubric:: Returns\n\n``int``\n    y."),
    "an example": (
        "x\n\nExamples\n--------\nSo:\n\n>>> 1 + 1\n2",
        "x\n\n.. rubric:: Examples\n\nSo:\n\n.. code-block:: pycon\n\n   >>> 1 + 1\n   2",
    ),
    "columns": ("All:\n\n    a    *b*", "All:\n\n    a    *b*"),
    "columns, unsaid": ("All.\n\n    a    *b*", "All.\n\n::\n\n    a    *b*"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_house_form_becomes_restructuredtext(form: str) -> None:
    text, expected = FORMS[form]
    assert api.house(text).strip() == expected


@pytest.mark.parametrize(
    ("target", "home", "expected"),
    [
        ("minimax", "ganlib.losses", "ganlib.losses.minimax"),
        ("ganlib.losses.Loss.generator", "", "ganlib.losses.Loss.generator"),
        ("Loss.generator", "ganlib.losses", "ganlib.losses.Loss.generator"),
        ("Loss.name", "ganlib.losses", ""),
        ("ganlib.networks.plain.mlp", "", "ganlib.networks.mlp"),
        ("Game", "ganlib.step", "ganlib.game.Game"),
        ("Game", "ganlib.dynamics", "ganlib.dynamics.Game"),
        ("ganlib.lab.figure.interact", "", "ganlib.lab.interact"),
        ("ganlib.losses", "", "ganlib.losses"),
        ("ganlib.files", "", ""),
        ("ganlib.nothing.at_all", "", ""),
        ("Tensor", "ganlib.losses", ""),
    ],
)
def test_a_name_is_found_where_the_pages_have_it(target: str, home: str, expected: str) -> None:
    assert api.place(target, home) == expected
