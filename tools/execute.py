"""Execute the chapters that need it, each once, with nbmake; the site build runs nothing again.

    python -m tools.execute [PAGE ...] [--jobs N] [--timeout SECONDS] [--force]

A chapter needs it when its own code, the library, the pinned packages or the data folder have
changed since it last ran. A change of prose, of a caption or of alternative text does not: the
outputs are joined to the new text. Executed notebooks lie in ``build/notebooks``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from tools.sources import (
    BUILD,
    ROOT,
    Page,
    cell_line,
    chapters,
    code_cells,
    execution_key,
    library_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nbformat import NotebookNode

EXECUTED = BUILD / "executed"  # raw results with their keys
NOTEBOOKS = BUILD / "notebooks"  # what a reader downloads: present text, true outputs
ANSI = re.compile(r"\x1b\[[0-9;]*m")


WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\s*\d+(%\||it \[|\w* \[)")  # what tqdm's bars say in plain text


@dataclass(frozen=True)
class Outcome:
    """How the execution of one chapter went; ``error`` is empty when it went well."""

    page: Page
    seconds: float
    error: str = ""


def _write(path: Path, text: str) -> None:
    """Write a file so that a half-written one is never taken for a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


@contextmanager
def lock(folder: Path = BUILD) -> Iterator[None]:
    """One build at a time in one working tree; a second one waits."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running in this folder; waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _record(page: Page, store: Path) -> Path:
    return store / f"{page.name}.json"


def is_current(page: Page, library: str, store: Path = EXECUTED) -> bool:
    record = _record(page, store)
    if not record.is_file() or not (store / f"{page.name}.ipynb").is_file():
        return False
    return json.loads(record.read_text())["key"] == execution_key(page.notebook(), library)


def _failure(page: Page, notebook: Path, log: str) -> str:
    """Name the chapter, the cell and the error."""
    try:
        result = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return f"{page.name}.md could not be run:\n{log}"
    for number, cell in enumerate(code_cells(result), start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                line = cell_line(page, cell)
                where = f"{page.name}.md, code cell {number}" + (f" (line {line})" if line else "")
                trace = ANSI.sub("", "\n".join(output.traceback))
                return f"{where}: {output.ename}: {output.evalue}\n{trace}"
    return f"{page.name}.md failed outside its cells:\n{ANSI.sub('', log)}"


def without_kernel(notebook: NotebookNode) -> list[int]:
    """Take out of an executed notebook what only a running kernel can show.

    Widgets leave their ``text/html`` form; bars that showed progress, as training does on a slow
    machine, leave nothing. Returns the numbers of the code cells, from 1, that have another
    widget without that form: a reader would see nothing there.
    """
    notebook.metadata.pop("widgets", None)
    empty = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        kept = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(WIDGET_VIEW, None) is not None and "text/html" not in data:
                if PROGRESS.match(data.get("text/plain", "")):
                    continue
                empty.append(number)
            kept.append(output)
        cell.outputs = kept
    return empty


def execute(page: Page, library: str, timeout: int, store: Path = EXECUTED) -> Outcome:
    """Run one chapter from top to bottom in a fresh kernel, by pytest and nbmake."""
    started = time.perf_counter()
    source = page.notebook()
    key = execution_key(source, library)
    # The kernel of this environment, one thread each, and figures as the notebook wants them.
    environment = dict(
        os.environ,
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        JUPYTER_PREFER_ENV_PATH="1",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    environment.pop("MPLBACKEND", None)
    pending = store / "pending" / f"{page.name}.ipynb"
    pending.parent.mkdir(parents=True, exist_ok=True)
    source.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    nbformat.write(source, pending)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["--nbmake", "--overwrite", f"--nbmake-timeout={timeout}", "-c", os.devnull]
    command += [f"--rootdir={pending.parent}", str(pending)]
    done = subprocess.run(
        command, cwd=pending.parent, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        return Outcome(page, seconds, _failure(page, pending, done.stdout + done.stderr))
    result = nbformat.read(pending, as_version=4)
    empty = without_kernel(result)
    if empty:
        cells = ", ".join(str(number) for number in empty)
        return Outcome(
            page,
            seconds,
            f"{page.name}.md, code cell {cells}: a widget that shows nothing without a kernel; use "
            "ganlib.lab, or a figure",
        )
    nbformat.write(result, pending)
    _record(page, store).unlink(missing_ok=True)
    final = store / f"{page.name}.ipynb"
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(pending, final)
    _write(_record(page, store), json.dumps({"key": key, "seconds": round(seconds, 1)}))
    return Outcome(page, seconds)


def joined(page: Page, store: Path = EXECUTED) -> NotebookNode:
    """The page's present text with the outputs of its last execution."""
    notebook = page.notebook()
    result = nbformat.read(store / f"{page.name}.ipynb", as_version=4)
    for cell, ran in zip(code_cells(notebook), code_cells(result), strict=True):
        if cell.source != ran.source:
            raise ValueError(f"{page.name}.md has changed since it was executed; run it again")
        cell.outputs = ran.outputs
        cell.execution_count = ran.execution_count
    for name in ("kernelspec", "language_info"):
        notebook.metadata[name] = result.metadata.get(name, {})
    return notebook


def publish(page: Page, store: Path = EXECUTED, target: Path = NOTEBOOKS) -> bool:
    """Write the joined notebook; true when its cells or outputs differ from those before."""
    path = target / f"{page.name}.ipynb"
    text = nbformat.writes(joined(page, store))
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    _write(path, text)
    return True


def _clear(store: Path, keep: set[str]) -> None:
    """Drop what belongs to pages that are gone."""
    if not store.is_dir():
        return
    for path in store.rglob("*.ipynb"):
        if path.relative_to(store).with_suffix("").as_posix() not in keep:
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)


def run(
    pages: list[Page],
    *,
    jobs: int,
    timeout: int,
    force: bool = False,
    store: Path = EXECUTED,
    target: Path = NOTEBOOKS,
) -> list[Outcome]:
    """Execute every page that needs it and publish all that ran; returns what was executed."""
    library = library_digest(pages[0].root if pages else ROOT)
    stale = [page for page in pages if force or not is_current(page, library, store)]
    outcomes: list[Outcome] = []
    if stale:
        print(f"executing {len(stale)} of {len(pages)} chapters, {jobs} at a time", flush=True)
    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        waiting = [pool.submit(execute, page, library, timeout, store) for page in stale]
        for number, future in enumerate(as_completed(waiting), start=1):
            outcome = future.result()
            if not outcome.error:
                try:
                    publish(outcome.page, store, target)
                except ValueError as error:  # edited while it ran
                    outcome = Outcome(outcome.page, outcome.seconds, str(error))
            outcomes.append(outcome)
            state = "FAILED" if outcome.error else "ok"
            count = f"[{number:>{len(str(len(stale)))}}/{len(stale)}]"
            print(
                f"  {count} {outcome.page.name:<40} {outcome.seconds:6.1f} s  {state}", flush=True
            )
    shutil.rmtree(store / "pending", ignore_errors=True)
    for page in pages:
        if page not in stale:  # its prose may have changed
            publish(page, store, target)
    return outcomes


def default_jobs() -> int:
    return max(1, min(4, os.cpu_count() or 1))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.execute", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pages", nargs="*", help="pages such as book/theory/the-game; all if none")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="chapters at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds one cell may take")
    parser.add_argument("--force", action="store_true", help="also run what has not changed")
    options = parser.parse_args(arguments)
    pages = chapters()
    if options.pages:
        wanted = {re.sub(r"\.(md|ipynb)$", "", name) for name in options.pages}
        unknown = sorted(wanted - {page.name for page in pages})
        if unknown:
            known = "\n  ".join(page.name for page in pages)
            parser.error(f"no chapter named {', '.join(unknown)}; the chapters are\n  {known}")
        pages = [page for page in pages if page.name in wanted]
    with lock():
        if not options.pages:
            keep = {page.name for page in pages}
            _clear(EXECUTED, keep)
            _clear(NOTEBOOKS, keep)
        outcomes = run(pages, jobs=options.jobs, timeout=options.timeout, force=options.force)
    for outcome in outcomes:
        if outcome.error:
            print(f"\n{outcome.error}", file=sys.stderr)
    if any(outcome.error for outcome in outcomes):
        return 1
    if not outcomes:
        print(f"all {len(pages)} chapters are up to date; nothing was executed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
