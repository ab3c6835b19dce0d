"""What the project imports is named in pyproject.toml, and the lock holds to its ranges."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import environment
from tools.sources import ROOT, chapters, code_cells

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {
    name: [Requirement(text) for text in texts]
    for name, texts in PROJECT["optional-dependencies"].items()
}
LOCK = dict(
    line.split("==")
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
)
# By the names under which they are imported; tests skip where they are not installed.
ORACLES = {"ot": "POT", "prdc": "prdc", "dask": "dask", "lxml": "lxml", "pikepdf": "pikepdf"}
UNLOCKED = ("oracles", "machines", "pdf")


def named(*extras: str) -> set[str]:
    """The distributions that ``pip install ".[extras]"`` is told of, without what they need."""
    found, waiting = list(CORE), [r for extra in extras for r in EXTRAS[extra]]
    while waiting:
        requirement = waiting.pop()
        if requirement.name == "ganlib":
            waiting += [r for extra in requirement.extras for r in EXTRAS[extra]]
        else:
            found.append(requirement)
    return {canonicalize_name(requirement.name) for requirement in found}


def imported(text: str) -> set[str]:
    """The top names of the modules that a source imports, in functions and for tests too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip"):
            names |= {str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)}
    return {name.split(".")[0] for name in names}


def files(folder: str) -> Iterator[Path]:
    yield from sorted((ROOT / folder).rglob("*.py"))


def distributions(names: set[str]) -> set[str]:
    """The distributions of modules from elsewhere."""
    ours = {path.stem for folder in ("tests", "exercises") for path in files(folder)}
    ours |= {"ganlib", "tools", "tests", "exercises"} | set(sys.stdlib_module_names)
    homes = {**{name: [home] for name, home in ORACLES.items()}, **packages_distributions()}
    missing = {name for name in names - ours if name not in homes}
    assert not missing, f"not installed here: {missing}"
    return {canonicalize_name(homes[name][0]) for name in names - ours}


def of_folder(folder: str) -> set[str]:
    return {name for path in files(folder) for name in imported(path.read_text())}


def test_the_library_names_what_it_imports() -> None:
    lab = {path for path in files("ganlib") if "lab" in path.parts}
    core = {name for path in set(files("ganlib")) - lab for name in imported(path.read_text())}
    assert distributions(core) <= named()
    assert distributions(of_folder("ganlib")) <= named("lab")


def test_the_chapters_run_with_what_their_install_cell_names() -> None:
    names: set[str] = set()
    for page in chapters():
        for cell in code_cells(page.notebook()):
            names |= imported(cell.source)
    assert distributions(names) <= named("lab", "notebooks")


@pytest.mark.parametrize("folder", ["tools", "tests", "exercises"])
def test_the_newest_environment_has_what_tools_and_tests_import(folder: str) -> None:
    assert distributions(of_folder(folder)) <= named(*environment.EXTRAS.split(","), *UNLOCKED)


def test_the_lock_holds_every_requirement_within_its_range() -> None:
    pinned = {canonicalize_name(name): version for name, version in LOCK.items()}
    locked = [r for extra, texts in EXTRAS.items() if extra not in UNLOCKED for r in texts]
    for requirement in [*CORE, *locked]:
        if requirement.name != "ganlib":
            version = pinned.get(canonicalize_name(requirement.name))
            assert version, f"requirements.txt has no {requirement.name}"
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_the_packages_of_the_pdf_are_pinned_within_their_ranges() -> None:
    lines = (ROOT / "requirements-pdf.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(pinned) == {requirement.name for requirement in EXTRAS["pdf"]}
    for requirement in EXTRAS["pdf"]:
        assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_the_install_cell_asks_for_extras_that_exist() -> None:
    text = (ROOT / "tools" / "publish_notebooks.py").read_text()
    for asked in re.findall(r"ganlib\[([\w,]+)\]", text):
        assert set(asked.split(",")) <= set(EXTRAS)
