"""The files of the built site, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tools.build_site import EXERCISE_PAGES
from tools.notebook_text import LEFT
from tools.sources import chapters, code_cells, toc


def test_every_page_of_the_contents_is_there(site: Path) -> None:
    assert [name for name in toc() if not (site / f"{name}.html").is_file()] == []


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_notebook_is_offered_and_ran_from_top_to_bottom(page, site: Path) -> None:  # type: ignore[no-untyped-def]
    path = site / "_sources" / f"{page.name}.ipynb"
    install, *others = code_cells(nbformat.read(path, as_version=4))
    assert install.id == "install"
    assert install.execution_count is None
    counts = [c.execution_count for c in others if c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))
    assert f"{page.name.rsplit('/', 1)[-1]}.ipynb" in (site / f"{page.name}.html").read_text()


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.name)
def test_an_offered_notebook_reads_as_a_notebook(page, site: Path) -> None:  # type: ignore[no-untyped-def]
    notebook = nbformat.read(site / "_sources" / f"{page.name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert "%pip install" in notebook.cells[0].source
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = LEFT.search(cell.source)
            assert not found, cell.source[max(0, found.start() - 60) : found.end() + 60]


def test_scripts_and_styles_come_from_the_site(site: Path) -> None:
    loading = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(https?:)?//[^\"]*\"")
    faults = []
    for page in site.rglob("*.html"):
        for found in loading.finditer(page.read_text()):
            if 'rel="canonical"' not in found[0]:
                faults.append(f"{page.relative_to(site)}: {found[0][:120]}")
    assert not faults, "\n".join(faults)


def test_without_a_repository_there_are_no_dead_buttons(site: Path) -> None:
    import os

    if os.environ.get("REPOSITORY"):
        pytest.skip("REPOSITORY is set")
    for name in toc():
        text = (site / f"{name}.html").read_text()
        assert "colab.research" not in text, name
        assert "mybinder.org/v2" not in text, name


def test_nothing_tells_of_the_machine_that_built_it(site: Path) -> None:
    from tools.sources import ROOT

    for path in [*site.rglob("*.html"), *site.rglob("*.ipynb"), *site.rglob("*.js")]:
        assert str(ROOT) not in path.read_text(errors="ignore"), path.relative_to(site)


def test_student_editions_replace_the_sources(site: Path) -> None:
    for page in EXERCISE_PAGES.glob("*.md"):
        assert (site / "exercises" / f"{page.stem}.html").is_file()
    assert not list(site.rglob("source.md"))
    assert not list(site.rglob("autograder*"))
