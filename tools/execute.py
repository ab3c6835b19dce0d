"""Execute the chapters that need it, each once, with nbmake; the site build runs nothing again.

    python -m tools.execute [PAGE ...] [--jobs N] [--timeout SECONDS] [--force] [--plan]

A chapter needs it when its own code, a module of the library that this code reaches by imports
(`tools.reach`), the pinned packages, Python or the data folder have changed since it last ran. A
change of prose, of a caption or of alternative text does not count: the outputs are joined to the
new text. Executed notebooks lie in ``build/notebooks``, each with the CPU seconds it took.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from tools import child
from tools.reach import Project
from tools.sources import BUILD, ROOT, Page, cell_line, chapters, code_cells, execution_parts

if TYPE_CHECKING:
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
    cpu: float = 0.0


def _write(path: Path, text: str) -> None:
    """Write a file so that a half-written one is never taken for a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _record(page: Page, store: Path) -> Path:
    return store / f"{page.name}.json"


def changed(page: Page, parts: dict[str, str], store: Path = EXECUTED) -> list[str]:
    """What the chapter's last result depends on that is not as it was; all is new without one."""
    record = _record(page, store)
    if not record.is_file() or not (store / f"{page.name}.ipynb").is_file():
        return ["has no result yet"]
    before = json.loads(record.read_text()).get("parts", {})
    return sorted(n for n in {*before, *parts} if before.get(n) != parts.get(n))


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


def _kernel(store: Path) -> Path:
    """A Jupyter folder with the kernel ``book``: it ends with its parent and keeps a ledger."""
    folder = store / "pending" / "jupyter"
    spec = {
        "argv": child.command("jupyter", "kernel", "-f", "{connection_file}"),
        "display_name": "Python 3",
        "language": "python",
    }
    _write(folder / "kernels" / "book" / "kernel.json", json.dumps(spec))
    return folder


def execute(page: Page, project: Project, timeout: int, store: Path = EXECUTED) -> Outcome:
    """Run one chapter from top to bottom in a fresh kernel, by pytest and nbmake."""
    started = time.perf_counter()
    source = page.notebook()
    parts = execution_parts(page, project)
    pending = store / "pending" / f"{page.name}.ipynb"
    ledger = pending.with_suffix(".ledger")
    # One thread each, and figures as the notebook wants them.
    environment = dict(
        os.environ,
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        JUPYTER_PATH=os.pathsep.join(
            [str(store / "pending" / "jupyter"), *filter(None, [os.environ.get("JUPYTER_PATH")])]
        ),
        LEDGER=str(ledger),
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )
    environment.pop("MPLBACKEND", None)
    pending.parent.mkdir(parents=True, exist_ok=True)
    source.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    nbformat.write(source, pending)
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-c", os.devnull]
    options += ["--nbmake", "--nbmake-kernel=book", "--overwrite", f"--nbmake-timeout={timeout}"]
    options += [f"--rootdir={pending.parent}", str(pending)]
    done = child.run("pytest", *options, cwd=pending.parent, env=environment)
    seconds = time.perf_counter() - started
    if done.returncode:
        return Outcome(page, seconds, _failure(page, pending, done.stdout + done.stderr))
    result = nbformat.read(pending, as_version=4)
    told = json.loads(ledger.read_text()) if ledger.is_file() else {}
    cpu = told.get("total", 0.0)
    unseen = [
        name
        for name in told.get("loaded", [])
        if name in project.modules
        and project.modules[name].relative_to(project.root).as_posix() not in parts
    ]
    empty = without_kernel(result)
    if empty:
        cells = ", ".join(str(number) for number in empty)
        error = (
            f"{page.name}.md, code cell {cells}: a widget that shows nothing without a kernel; use "
            "ganlib.lab, or a figure"
        )
        return Outcome(page, seconds, error)
    if unseen:
        error = (
            f"{page.name}.md loaded {', '.join(unseen)}, which tools/reach.py did not foresee: a "
            "change there would not execute this chapter again; mend it, with a test"
        )
        return Outcome(page, seconds, error)
    result.metadata["cpu_seconds"] = {"page": cpu, "cells": told.get("cells", {})}
    nbformat.write(result, pending)
    _record(page, store).unlink(missing_ok=True)
    final = store / f"{page.name}.ipynb"
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(pending, final)
    _write(_record(page, store), json.dumps({"parts": parts, "seconds": round(seconds, 1)}))
    return Outcome(page, seconds, cpu=cpu)


def joined(page: Page, store: Path = EXECUTED) -> NotebookNode:
    """The page's present text with the outputs of its last execution."""
    notebook = page.notebook()
    result = nbformat.read(store / f"{page.name}.ipynb", as_version=4)
    for cell, ran in zip(code_cells(notebook), code_cells(result), strict=True):
        if cell.source != ran.source:
            raise ValueError(f"{page.name}.md has changed since it was executed; run it again")
        cell.outputs = ran.outputs
        cell.execution_count = ran.execution_count
    for name in ("kernelspec", "language_info", "cpu_seconds"):
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
    project = Project(pages[0].root if pages else ROOT)
    stale = [p for p in pages if force or changed(p, execution_parts(p, project), store)]
    outcomes: list[Outcome] = []
    if stale:
        _kernel(store)
        print(f"executing {len(stale)} of {len(pages)} chapters, {jobs} at a time", flush=True)
    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as pool:
        waiting = [pool.submit(execute, page, project, timeout, store) for page in stale]
        for number, future in enumerate(as_completed(waiting), start=1):
            outcome = future.result()
            if not outcome.error:
                try:
                    publish(outcome.page, store, target)
                except ValueError as error:  # edited while it ran
                    outcome = Outcome(outcome.page, outcome.seconds, str(error), outcome.cpu)
            outcomes.append(outcome)
            state = "FAILED" if outcome.error else "ok"
            count = f"[{number:>{len(str(len(stale)))}}/{len(stale)}]"
            times = f"{outcome.seconds:6.1f} s {outcome.cpu:6.1f} s of CPU"
            print(f"  {count} {outcome.page.name:<40} {times}  {state}", flush=True)
    shutil.rmtree(store / "pending", ignore_errors=True)
    for page in pages:
        if page not in stale:  # its prose may have changed
            publish(page, store, target)
    return outcomes


def plan(pages: list[Page], store: Path = EXECUTED) -> str:
    """Which chapters each file of the project concerns, and which have to be executed, and why."""
    project = Project(pages[0].root if pages else ROOT)
    parts = {page: execution_parts(page, project) for page in pages}
    files = sorted(path.relative_to(project.root).as_posix() for path in project.modules.values())
    files = [name for name in files if name.startswith("ganlib/")]
    lines = []
    for name in files:
        names = [page.name.rsplit("/", 1)[-1] for page in pages if name in parts[page]]
        said = "all" if len(names) == len(pages) else ", ".join(names) or "none"
        lines.append(f"{name:<{max(map(len, files))}}  {said}")
    lines.append("")
    for page in pages:
        why = changed(page, parts[page], store)
        lines.append(f"{page.name:<40} {', '.join(why) or 'up to date'}")
    return "\n".join(lines)


def default_jobs() -> int:
    return max(1, min(4, os.cpu_count() or 1))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.execute", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pages", nargs="*", help="pages such as book/theory/the-game; all if none")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="chapters at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds one cell may take")
    parser.add_argument("--force", action="store_true", help="also run what has not changed")
    parser.add_argument(
        "--plan", action="store_true", help="only say which files concern which chapters, and why"
    )
    options = parser.parse_args(arguments)
    pages = chapters()
    if options.pages:
        wanted = {re.sub(r"\.(md|ipynb)$", "", name) for name in options.pages}
        unknown = sorted(wanted - {page.name for page in pages})
        if unknown:
            known = "\n  ".join(page.name for page in pages)
            parser.error(f"no chapter named {', '.join(unknown)}; the chapters are\n  {known}")
        pages = [page for page in pages if page.name in wanted]
    if options.plan:
        print(plan(pages))
        return 0
    with child.lock(BUILD):
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
