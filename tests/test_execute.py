"""Executing chapters: when it is done again, what it leaves, and that nothing outlives it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest

from tools import execute
from tools.guards import FRONT_MATTER
from tools.reach import Project
from tools.sources import ROOT, Page, cell_line, code_cells, execution_parts

CHAPTER = (
    FRONT_MATTER
    + """
(ch-sample)=
# A sample

Some words.

```{code-cell} ipython3
---
mystnb:
  image:
    alt: nothing to see
---
x = 6 * 7
x
```

```{code-cell} ipython3
print(x + 1)
```
"""
)


@pytest.fixture
def book(tmp_path: Path) -> Page:
    (tmp_path / "ganlib").mkdir()
    (tmp_path / "ganlib" / "one.py").write_text("value = 1\n")
    (tmp_path / "requirements.txt").write_text("torch==1\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "sample.md").write_text(CHAPTER)
    return Page("book/sample", tmp_path)


def run_book(page: Page) -> list[execute.Outcome]:
    folder = page.root
    return execute.run(
        [page], jobs=1, timeout=60, store=folder / "executed", target=folder / "notebooks"
    )


def edit(page: Page, old: str, new: str) -> None:
    assert old in page.text
    page.path.write_text(page.text.replace(old, new))


def test_a_chapter_runs_once_until_its_code_or_the_library_changes(book: Page) -> None:
    assert [outcome.error for outcome in run_book(book)] == [""]
    result = nbformat.read(book.root / "notebooks" / "book" / "sample.ipynb", as_version=4)
    assert [cell.execution_count for cell in code_cells(result)] == [1, 2]
    assert code_cells(result)[1].outputs[0].text == "43\n"
    assert run_book(book) == []

    edit(book, "Some words.", "Other words.")
    edit(book, "nothing to see", "still nothing to see")
    assert run_book(book) == []
    result = nbformat.read(book.root / "notebooks" / "book" / "sample.ipynb", as_version=4)
    assert "Other words." in result.cells[0].source
    assert code_cells(result)[0].metadata["mystnb"]["image"]["alt"] == "still nothing to see"
    assert code_cells(result)[1].outputs[0].text == "43\n"

    edit(book, "print(x + 1)", 'raise ValueError("planted")')
    (outcome,) = run_book(book)
    assert "book/sample.md, code cell 2 (line 29): ValueError: planted" in outcome.error
    assert not (book.root / "executed" / "pending").exists()


def test_a_chapter_depends_on_lock_data_and_what_it_reaches(
    book: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANLIB_DATA", raising=False)
    edit(book, "x = 6 * 7", "from ganlib import one\nx = 6 * 7")
    store = book.root / "executed"

    def parts() -> dict[str, str]:
        return execution_parts(book, Project(book.root))

    def record() -> None:
        nbformat.write(book.notebook(), store / "book" / "sample.ipynb")
        (store / "book" / "sample.json").write_text(json.dumps({"parts": parts()}))

    (store / "book").mkdir(parents=True)
    assert execute.changed(book, parts(), store) == ["has no result yet"]
    for name, change in {
        "ganlib/one.py": lambda: (book.root / "ganlib/one.py").write_text("value = 2\n"),
        "requirements.txt": lambda: (book.root / "requirements.txt").write_text("torch==2\n"),
        "GANLIB_DATA": lambda: monkeypatch.setenv("GANLIB_DATA", "/somewhere"),
        "its code": lambda: edit(book, "print(x + 1)", "print(x + 2)"),
        "Python": lambda: monkeypatch.setattr(sys, "version_info", (3, 99)),
    }.items():
        record()
        assert execute.changed(book, parts(), store) == []
        change()
        assert execute.changed(book, parts(), store) == [name]
    record()
    edit(book, "Some words.", "Other words.")
    (book.root / "ganlib" / "two.py").write_text("value = 1\n")
    assert execute.changed(book, parts(), store) == []
    assert re.search(r"book/sample +up to date", execute.plan([book], store))


def test_an_interrupted_execution_is_not_taken_for_a_whole_one(book: Page) -> None:
    store = book.root / "executed"
    (store / "book").mkdir(parents=True)
    nbformat.write(book.notebook(), store / "book" / "sample.ipynb")
    parts = execution_parts(book, Project(book.root))
    assert execute.changed(book, parts, store) == ["has no result yet"]


def test_a_change_runs_the_chapters_that_reach_it_and_keeps_the_others(
    book: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Page("book/other", book.root)
    other.path.write_text(book.text)
    edit(book, "x = 6 * 7", "from ganlib import one\nx = one.value")
    monkeypatch.setenv("PYTHONPATH", str(book.root))

    def run_both() -> dict[str, str]:
        outcomes = execute.run(
            [book, other],
            jobs=1,
            timeout=60,
            store=book.root / "executed",
            target=book.root / "notebooks",
        )
        return {outcome.page.name: outcome.error for outcome in outcomes}

    assert run_both() == {"book/sample": "", "book/other": ""}
    (book.root / "ganlib" / "one.py").write_text("value = 2\n")
    assert run_both() == {"book/sample": ""}
    result = nbformat.read(book.root / "notebooks" / "book" / "sample.ipynb", as_version=4)
    assert code_cells(result)[1].outputs[0].text == "3\n"
    assert run_both() == {}


def test_a_module_that_was_not_foreseen_is_an_error(
    book: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(book, "x = 6 * 7", "from ganlib import one\nx = one.value")
    monkeypatch.setenv("PYTHONPATH", str(book.root))
    monkeypatch.setattr(Project, "reached", lambda self, texts: [])
    (outcome,) = run_book(book)
    assert "book/sample.md loaded ganlib.one, which tools/reach.py did not foresee" in outcome.error


def test_the_cost_is_cpu_of_kernel_and_children_and_not_waiting(book: Page) -> None:
    work = "import time\nt = time.process_time()\nwhile time.process_time() < t + 0.5: pass"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {work!r}])"
    edit(book, "x = 6 * 7\nx", f"{work}\n{child}\nx = 6 * 7")
    edit(book, "print(x + 1)", "time.sleep(3)\nprint(x + 1)")
    (outcome,) = run_book(book)
    assert outcome.error == ""
    result = nbformat.read(book.root / "notebooks" / "book" / "sample.ipynb", as_version=4)
    cost = result.metadata["cpu_seconds"]
    assert cost["page"] == outcome.cpu
    assert 0.95 <= cost["cells"]["1"] <= cost["page"]
    assert cost["cells"]["2"] < 1, "sleeping costs nothing"


# ---- processes end with their parent -----------------------------------------------------------


def alive(mark: str) -> dict[int, str]:
    """The processes whose command or environment holds a mark."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                said = " ".join(process.cmdline())
                if mark in said or mark in " ".join(process.environ().values()):
                    found[process.pid] = said
    return found


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_a_killed_build_leaves_no_process_and_its_lock_is_free(book: Page) -> None:
    began = book.root / "began"
    edit(book, "x = 6 * 7", f"open({str(began)!r}, 'w').close()\nimport time; time.sleep(600)")
    script = f"""
from pathlib import Path
from tools import child, execute
from tools.sources import Page
root = Path({str(book.root)!r})
with child.lock(root):
    execute.run([Page("book/sample", root)], jobs=1, timeout=900,
                store=root / "executed", target=root / "notebooks")
"""
    mark = str(book.root / "executed")
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as build:
        try:
            assert wait_for(began.exists, 120), "the cell never began"
            running = alive(mark)
            assert any("pytest" in said for said in running.values())
            assert any("kernel" in said and "pytest" not in said for said in running.values())
        finally:
            build.kill()
    ended = wait_for(lambda: not alive(mark), 10)
    left = alive(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert ended, left
    with (book.root / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_is_held_while_a_child_lives(tmp_path: Path) -> None:
    """Also when the process that took it is gone, and its child, here on purpose, is not."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\nif True:\n    pathlib.Path('began').touch(); time.sleep(4)\n"
    )
    script = f"""
import os, threading, time
from pathlib import Path
from tools import child
root = Path({str(tmp_path)!r})
child.command = lambda parent, *rest: [os.sys.executable, "-c", "import slow"]
with child.lock(root):
    threading.Thread(target=child.run, args=("slow",), kwargs={{"cwd": root}}).start()
    while not (root / "began").exists():
        time.sleep(0.05)
    os._exit(1)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60)
    with (tmp_path / "lock").open("w") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_EX)  # comes when the child has ended


# ---- what a kernel alone can show ---------------------------------------------------------------


def test_what_needs_a_kernel_is_taken_out(book: Page) -> None:
    notebook = book.notebook()
    view = {"model_id": "1", "version_major": 2, "version_minor": 0}
    page = {"text/plain": "Live", "text/html": "<div>still</div>"}
    widget = nbformat.v4.new_output("display_data", {**page, execute.WIDGET_VIEW: view})
    code_cells(notebook)[0].outputs.append(widget)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    assert execute.without_kernel(notebook) == []
    assert widget.data == page
    assert "widgets" not in notebook.metadata

    alone = nbformat.v4.new_output("display_data", {"text/plain": "x", execute.WIDGET_VIEW: view})
    code_cells(notebook)[1].outputs.append(alone)
    assert execute.without_kernel(notebook) == [2]


@pytest.mark.parametrize(
    "said", [" 25%|##5       | 5/20 [00:00<00:00, 48.04step/s]", "7it [00:00, 48.04it/s]"]
)
def test_a_bar_that_showed_progress_leaves_nothing(said: str) -> None:
    bar = nbformat.v4.new_output("display_data", {"text/plain": said, execute.WIDGET_VIEW: {}})
    text = nbformat.v4.new_output("stream", text="done")
    cell = nbformat.v4.new_code_cell("fit()", outputs=[bar, text])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert execute.without_kernel(notebook) == []
    assert code_cells(notebook)[0].outputs == [text]


def test_a_widget_that_shows_nothing_without_a_kernel_is_named(book: Page) -> None:
    shown = {"text/plain": "a slider", execute.WIDGET_VIEW: {"model_id": "1"}}
    edit(book, "print(x + 1)", f"from IPython.display import display\ndisplay({shown}, raw=True)")
    (outcome,) = run_book(book)
    assert "book/sample.md, code cell 2: a widget that shows nothing" in outcome.error
    assert not (book.root / "executed" / "book" / "sample.json").exists()

    edit(book, '"text/plain": "a slider"'.replace('"', "'"), "'text/html': '<b>a slider</b>'")
    assert [outcome.error for outcome in run_book(book)] == [""]
    result = nbformat.read(book.root / "notebooks" / "book" / "sample.ipynb", as_version=4)
    assert code_cells(result)[1].outputs[0].data == {"text/html": "<b>a slider</b>"}


def test_an_unknown_chapter_is_named(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        execute.main(["book/no-such-chapter"])
    assert "no chapter named book/no-such-chapter" in capsys.readouterr().err


def test_the_line_of_a_cell(book: Page) -> None:
    cells = code_cells(book.notebook())
    assert book.text.splitlines()[cell_line(book, cells[1]) - 1] == "print(x + 1)"  # type: ignore[operator]
