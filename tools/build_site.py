"""Build the site from the sources and the executed chapters: python -m tools.build_site

The pages are staged in ``build/source`` and built by Jupyter Book into ``_build/html``, with
warnings as errors. Nothing is executed here: the outputs come from ``tools.execute``.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import rcssmin
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from tools import (
    child,
    figures,
    formulas,
    icons,
    lab_page,
    legible,
    published,
    reading,
    redirects,
    search,
    vendor,
    weight,
)
from tools.execute import NOTEBOOKS, default_jobs
from tools.execute import run as execute_chapters
from tools.sources import BUILD, ROOT, SITE, chapters, code_cells, toc

STAGE = BUILD / "source"
BOOK_BUILD = SITE.parent  # where Jupyter Book keeps its own files
CACHE = BOOK_BUILD / ".jupyter_cache"
DOCTREES = BOOK_BUILD / ".doctrees"
STAMP = BUILD / "site.complete"  # written last; without it the next build starts clean
MAX_CPU_SECONDS = 150  # of a page: one thread, one run
EXERCISE_PAGES = BUILD / "exercises" / "pages"  # student editions, made by tools.exercises

LIVE = "_static/live"  # what live figures fetch when they come near the view
FIGURE = '<div class="ganlib-live"'
STATE = re.compile(r'<script type="application/json" class="ganlib-state">(.*?)</script>\n?', re.S)
TABLE = re.compile(r'<table [^>]*class="dataframe".*?</table>', re.S)


class SiteError(RuntimeError):
    """The site could not be built; the message says why."""


def _wanted() -> dict[str, Path]:
    """What the stage holds: the book, and the students' pages in place of the exercises."""
    files = {name: ROOT / name for name in ("_config.yml", "_toc.yml")}
    for path in (ROOT / "book").rglob("*"):
        if path.is_file() and path.suffix != ".ipynb":
            files[path.relative_to(ROOT).as_posix()] = path
    if EXERCISE_PAGES.is_dir():
        for path in EXERCISE_PAGES.rglob("*"):
            if path.is_file():
                files[f"exercises/{path.relative_to(EXERCISE_PAGES).as_posix()}"] = path
    return files


def stage() -> None:
    """Copy what changed and remove what is gone, so that unchanged pages are not read again."""
    wanted = _wanted()
    for name, source in wanted.items():
        target = STAGE / name
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for target in list(STAGE.rglob("*")):
        if target.is_file() and target.relative_to(STAGE).as_posix() not in wanted:
            target.unlink()
    missing = [
        name
        for name in toc()
        if not any((STAGE / f"{name}{s}").is_file() for s in (".md", ".ipynb"))
    ]
    if missing:
        raise SiteError(f"_toc.yml lists pages that do not exist: {', '.join(missing)}")


def seed_cache() -> None:
    """Give Jupyter Book the executed notebooks; drop the page trees whose outputs changed."""
    shutil.rmtree(CACHE, ignore_errors=True)
    cache = get_cache(str(CACHE))
    for page in chapters():
        path = NOTEBOOKS / f"{page.name}.ipynb"
        if not path.is_file():
            raise SiteError(f"{page.name}.md has not been executed: run `python -m tools.execute`")
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # timings, which are part of the cache's hash
        source = str(STAGE / f"{page.name}.md")
        bundle = CacheBundleIn(notebook, source)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        seen = DOCTREES / f"{page.name}.outputs"
        shown = [cell.outputs for cell in code_cells(notebook)]
        outputs = repr([*shown, notebook.metadata["cpu_seconds"]])
        digest = hashlib.sha256(outputs.encode()).hexdigest()
        if not seen.is_file() or seen.read_text() != digest:
            (DOCTREES / f"{page.name}.doctree").unlink(missing_ok=True)
            seen.parent.mkdir(parents=True, exist_ok=True)
            seen.write_text(digest)


def _global_digest() -> str:
    """Changes when every page must be built again: settings, tools, style and address."""
    place = [os.environ.get(name, "") for name in ("REPOSITORY", "ADDRESS")]
    whole = hashlib.sha256(" ".join(place).encode())
    paths = [ROOT / name for name in ("_config.yml", "_toc.yml", "requirements.txt")]
    paths += sorted((ROOT / "tools").glob("*.*")) + sorted((ROOT / "book/static").rglob("*.*"))
    paths += [path for path in sorted((ROOT / "ganlib/lab").glob("*.*")) if path.suffix != ".py"]
    paths += sorted((ROOT / "book").glob("*.bib")) + sorted((ROOT / "book/templates").glob("*"))
    for path in paths:
        if path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()


#: the parameters of a long signature, a line each: Sphinx makes a list of definitions without terms
SIGNATURE = re.compile(r"<dl>\n((?:<dd>.*?</dd>\n)+)</dl>")


def mend_pages(site: Path = SITE) -> None:
    """Mend what the theme says wrongly to a screen reader, and what it loads without need.

    Already mended pages, which an incremental build leaves alone, stay as they are.
    """
    for path in site.rglob("*.html"):
        old = path.read_text(encoding="utf-8")
        new = old.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        new = new.replace(' role="doc-biblioentry"', "")
        new = new.replace(
            '<summary><span class="toctree-toggle"',
            '<summary aria-label="Pages below"><span class="toctree-toggle"',
        )
        new = re.sub(r'(<summary\b[^>]*?) aria-label="Toggle hidden content"', r"\1", new)
        new = re.sub(r'(<section\b[^>]*?)\s+id="(?:proof|exercise|solution)-content"', r"\1", new)
        new = new.replace(
            '<div id="pst-primary-sidebar" class=',
            '<div id="pst-primary-sidebar" role="region" aria-label="Contents" class=',
        )
        new = SIGNATURE.sub(_as_lines, new)
        new = TABLE.sub(lambda table: _mend_table(table[0]), new)
        new = re.sub(r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>", "<td></td>", new)
        new = re.sub(r'(<i class="theme-switch[^>]*?)\s+title="[^"]*"', r"\1", new)
        if new != old:
            path.write_text(new, encoding="utf-8")


def _as_lines(parameters: re.Match[str]) -> str:
    lines = parameters[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">\n{lines}</span>'


def _mend_table(table: str) -> str:
    """A table of pandas: what its headings head, and no heading without a word."""

    def scoped(part: re.Match[str]) -> str:
        scope = "col" if part[0].startswith("<thead") else "row"
        return part[0].replace("<th>", f'<th scope="{scope}">')

    table = re.sub(r"<th></th>", "<td></td>", table)
    return re.sub(r"<(thead|tbody)\b.*?</\1>", scoped, table, flags=re.S)


def _live_file(site: Path, announce: str, body: str) -> str:
    """Write a script that announces ``body`` under its digest, which is its name too."""
    digest = hashlib.sha256(f"{announce}:{body}".encode()).hexdigest()[:16]
    _live_script(site, digest, f'ganlibLive.{announce}("{digest}", {body});\n')
    return digest


def _live_script(site: Path, name: str, text: str) -> None:
    path = site / LIVE / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@functools.cache
def _bundle(kind: str) -> dict[str, str]:
    """The scripts of one kind of widget, minified, by digest: the first, and what comes late."""
    from ganlib.lab import assets  # imports torch, which a site without live figures does not need

    first = {assets.digest(kind): assets.script(kind, vendor.minified, rcssmin.cssmin)}
    late = {assets.late_digest(kind): assets.late_script(kind, vendor.minified, rcssmin.cssmin)}
    return {digest: script for digest, script in (first | late).items() if script}


def _move_state(site: Path, page: Path, state: dict[str, Any]) -> str:
    """Write what one live figure needs; returns the digest of its state."""
    kind = state["widget"]
    scripts = _bundle(kind)
    digest, *late = scripts
    if state["bundle"] != digest:
        raise SiteError(
            f"{page.relative_to(site).with_suffix('')} was executed with another version of the "
            f"scripts of ganlib.lab than the present one (widget {kind!r}): build again"
        )
    for name, script in scripts.items():
        _live_script(site, name, script)
    modules = {
        name: _live_file(site, "part", json.dumps(module))
        for name, module in state["modules"].items()
    }
    more = {"late": late[0]} if late else {}
    return _live_file(site, "state", json.dumps({**state, **more, "modules": modules}))


def move_live(site: Path = SITE) -> int:
    """Move the data of live figures out of the pages, into scripts fetched when they are needed.

    A page that an incremental build left alone keeps its own; a file that no page needs goes.
    Returns how many live figures the site has.
    """
    loader = (ROOT / "ganlib/lab/page.js").read_text(encoding="utf-8")
    loader_name = f"page-{hashlib.sha256(loader.encode()).hexdigest()[:16]}"
    count, needed = 0, set[str | None]()
    for page in sorted(site.rglob("*.html")):
        old = page.read_text(encoding="utf-8")
        folder = f"{os.path.relpath(site, page.parent)}/{LIVE}".removeprefix("./")
        head, *figures = old.split(FIGURE)
        count += len(figures)
        for number, figure in enumerate(figures):
            found = STATE.search(figure)
            if found:
                digest = _move_state(site, page, json.loads(found[1]))
                rest = figure[: found.start()] + figure[found.end() :]
                figures[number] = f' data-state="{folder}/{digest}.js"{rest}'
        new = FIGURE.join([head, *figures])
        if new != old:
            _live_script(site, loader_name, loader)
            script = f'<script defer src="{folder}/{loader_name}.js"></script>\n'
            new = new.replace("</body>", f"{script}</body>", 1)
            page.write_text(new, encoding="utf-8")
        needed.update(re.findall(rf'"[^"]*{LIVE}/([\w-]+)\.js"', new))
    for name in sorted(filter(None, needed)):
        text = (site / LIVE / f"{name}.js").read_text(encoding="utf-8")
        if text.startswith("ganlibLive.state("):
            state = json.loads(text[text.index("{") : text.rindex("}") + 1])
            needed.update([state["bundle"], state.get("late"), *state["modules"].values()])
    for path in (site / LIVE).glob("*"):
        if path.stem not in needed:
            path.unlink()
    return count


def drop_unused(site: Path = SITE) -> None:
    """Remove what the theme ships and no page asks for."""
    for pattern in ("*.map", "*macros.html", "locales"):
        for path in list((site / "_static").rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def sphinx(clean: bool) -> None:
    """Run Jupyter Book over the stage; any warning is an error."""
    options = ["build", str(STAGE)]
    options += ["--path-output", str(ROOT), "-W", "-n", "--keep-going", "--quiet"]
    if clean:
        options.append("--all")
    cache_before = len(get_cache(str(CACHE)).list_cache_records())
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # for tools.book_extension
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    done = child.run("jupyter_book.cli.main:main", *options, cwd=ROOT, env=environment)
    if done.returncode:
        log = (done.stdout + done.stderr).replace(f"{STAGE}{os.sep}", "")
        raise SiteError(f"the site was not built; warnings are errors here:\n{log.strip()}")
    if len(get_cache(str(CACHE)).list_cache_records()) != cache_before:
        raise SiteError(
            "Sphinx executed a page that tools.execute had already executed: a code cell that "
            "jupytext and myst-nb read differently (look for fences of equal length, one in the "
            "other)"
        )


def build(force: bool = False) -> None:
    """Stage, seed and build; a build that failed or was interrupted is followed by a clean one."""
    digest = _global_digest()
    clean = force or not (STAMP.is_file() and STAMP.read_text() == digest)
    STAMP.unlink(missing_ok=True)
    if clean:
        shutil.rmtree(DOCTREES, ignore_errors=True)
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.rmtree(weight.STORE, ignore_errors=True)
    stage()
    seed_cache()
    sphinx(clean)
    mend_pages()
    formulas.render()
    lab_page.write()
    move_live()
    redirects.write()
    search.write(DOCTREES)
    legible.widen()
    weight.lighten(minify=vendor.minified)
    figures.write()
    published.write()
    drop_unused()
    STAMP.write_text(digest)


def costly() -> list[str]:
    """The pages that cost more CPU seconds than a page may, as lines to print."""
    lines = []
    for page in chapters():
        notebook = nbformat.read(NOTEBOOKS / f"{page.name}.ipynb", as_version=4)
        seconds = notebook.metadata["cpu_seconds"]["page"]
        if seconds > MAX_CPU_SECONDS:
            lines.append(
                f"{page.name} takes {seconds:.0f} CPU seconds; a page may take {MAX_CPU_SECONDS}"
            )
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build_site", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--clean", action="store_true", help="build every page again")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="chapters at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds one cell may take")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with child.lock(BUILD):
        outcomes = execute_chapters(chapters(), jobs=options.jobs, timeout=options.timeout)
        errors = [outcome.error for outcome in outcomes if outcome.error]
        if errors:
            print("\n".join(["", *errors]), file=sys.stderr)
            return 1
        try:
            vendor.vendor()
            print(f"building {len(toc())} pages", flush=True)
            build(force=options.clean)
        except (
            SiteError,
            formulas.FormulaError,
            redirects.RedirectError,
            search.SearchError,
            vendor.VendorError,
            weight.WeightError,
            icons.IconError,
        ) as error:
            print(error, file=sys.stderr)
            return 1
    for line in [*reading.table(SITE, [page.name for page in chapters()]), *costly()]:
        print(line)
    seconds = time.perf_counter() - started
    print(
        f"The site is in {SITE} (open {SITE / 'index.html'}, or run `make serve`); {seconds:.0f} s."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
