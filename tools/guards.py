"""Faults of the sources that a build does not see. Each guard takes a page and lists its faults."""

from __future__ import annotations

import ast
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from tools import predictions
from tools.execute import NOTEBOOKS
from tools.sources import Page, code_cells

MAX_LINES = 15  # of a cell
MAX_LINES_LONG = 30  # of a cell that imports, draws a figure, checks a theorem or is folded away
MAX_COLUMNS = 79
MAX_CAPTION = 8  # words

FRONT_MATTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
SAME = FRONT_MATTER.removesuffix("---\n")
KEYWORDS = re.compile(r"keywords: \S.*\n---\n")  # what follows
ERRATA = "Found a mistake? See {doc}`/book/back/errata`"
BANNED_WORDS = re.compile(r"\b(clearly|obviously|simply|easy to see|trivially)\b", re.I)
PLACEHOLDERS = re.compile(
    r"\b(TODO|FIXME|TBD|XXX)\b|\b(placeholder|lorem ipsum|coming soon)\b", re.I
)
BANNED_CODE = re.compile(r"\bpip3?\s+install\b|filterwarnings|cuda:\d|/work/|/tmp/|(?<!\w)/home/")
#: what each numbered statement needs in its own section: the tag of the cell that checks it
CHECKED_BY = dict.fromkeys(("theorem", "proposition", "lemma", "corollary"), "derivation-check")
CHECKED_BY["observation"] = "claim-check"
STATEMENT = re.compile(rf"^(?:`{{3,}}|:{{3,}})\{{prf:({'|'.join(CHECKED_BY)})\}}")
REFERENCE = re.compile(r"\{(?:prf:ref|numref|eq|ref)\}`")
FENCE = re.compile(r"^\s*(`{3,}|:{3,})(.*)$")
LABEL = re.compile(
    r"^\s*(?::label:|:name:|name:)\s*(\S+)\s*$|^\(([\w-]+)\)=\s*$|\$\$\s*\(([\w-]+)\)", re.M
)
#: a page that was split off -> the page it was a part of; what moved with it keeps its labels
SPLIT_FROM = {"equilibrium": "the-game"}
GLOSSARY = re.compile(r"^(`{3,})\{glossary\}\n(.*?)^\1\s*$", re.M | re.S)
ALSO = re.compile(r"^Also (.+?)\. ")  # the other names of a term, at the head of its entry
LINK = re.compile(r"\{(doc|prf:ref|ref|numref)\}`(?:[^`<]*<)?([^`<>]+)>?`")
PREDICT = re.compile(r"^[ \t]*(?:`{3,}|:{3,})\{predict\}", re.M)
OLD_BOX = re.compile(r"^[ \t]*(?:`{3,}|:{3,})\{admonition\}\s*(Predict.*)$", re.M | re.I)
LONG_TAGS = {"hide-input", "hide-cell", "remove-cell", "remove-input", *CHECKED_BY.values()}


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _figure(cell: NotebookNode) -> dict[str, Any]:
    return dict(cell.metadata.get("mystnb", {}))


def _executed(page: Page, notebooks: Path) -> NotebookNode | None:
    path = notebooks / f"{page.name}.ipynb"
    return nbformat.read(path, as_version=4) if path.is_file() else None


def prose(page: Page) -> str:
    """The page less its code: what a reader reads, directives' texts included."""
    cells = [cell.source for cell in page.notebook().cells if cell.cell_type == "markdown"]
    kept: list[str] = []
    open_fences: list[tuple[str, bool]] = []  # how each must close, and whether it holds code
    for line in "\n\n".join(cells).splitlines():
        fence = FENCE.match(line)
        if fence and open_fences and line.strip() == open_fences[-1][0]:
            open_fences.pop()
        elif fence and not (open_fences and open_fences[-1][1]):
            open_fences.append((fence[1], not fence[2].startswith("{")))
        elif not (open_fences and open_fences[-1][1]):
            kept.append(line)
    return re.sub(r"`[^`\n]+`", "", "\n".join(kept))


def cells_run(page: Page, notebooks: Path = NOTEBOOKS) -> Iterator[str]:
    """Every code-cell directive of the source is a cell of the notebook that ran.

    A cell inside a badly closed fence is text to Sphinx: the build is green and nothing ran.
    """
    result = _executed(page, notebooks)
    if result is None:
        yield "has not been executed: run `make book` first"
        return
    filled = [cell for cell in code_cells(result) if cell.source.strip()]
    ran = sum(cell.execution_count is not None for cell in filled)
    if page.directives != ran:
        yield (
            f"{page.directives} code-cell directives, but {ran} cells ran: look for an outer fence "
            "that is not longer than the inner one"
        )


def statements_checked(page: Page) -> Iterator[str]:
    """Each numbered statement has a check cell in its own section, tagged as its kind needs."""
    waiting: dict[str, tuple[str, int]] = {}  # label -> tag of its check, line
    known: dict[str, str] = {}
    lines = page.text.splitlines()
    number = 0

    def overdue() -> Iterator[str]:
        for label, (tag, line) in waiting.items():
            yield (
                f"line {line}: statement {label} has no check: put a code cell tagged "
                f"{tag} whose first line is `# checks: {label}` before the next section"
            )
        waiting.clear()

    while number < len(lines):
        line = lines[number]
        statement = STATEMENT.match(line)
        if statement:
            options = itertools.takewhile(lambda text: text.startswith(":"), lines[number + 1 :])
            label = re.search(r"^:label:\s*(\S+)", "\n".join(options), re.M)
            if label is None:
                yield f"line {number + 1}: a numbered statement without :label:"
            else:
                known[label[1]] = CHECKED_BY[statement[1]]
                waiting[label[1]] = known[label[1]], number + 1
        elif re.match(r"#{1,2} ", line):
            yield from overdue()
        fence = FENCE.match(line)
        if fence and "{code-cell}" in fence[2]:
            end = number + 1
            while end < len(lines) and lines[end].strip() != fence[1]:
                end += 1
            body = lines[number + 1 : end]
            for tag in sorted(set(CHECKED_BY.values())):
                if any(tag in text for text in body):
                    yield from _check_cell(body, tag, number + 1, known, waiting)
            number = end
        number += 1
    yield from overdue()


def _check_cell(
    body: list[str], tag: str, line: int, known: dict[str, str], waiting: dict[str, Any]
) -> Iterator[str]:
    """What is wrong with one check cell; what it checks no longer waits."""
    named = [text.split(":", 1)[1] for text in body if text.startswith("# checks:")]
    if not named:
        yield f"line {line}: a {tag} cell names nothing it checks"
    for label in filter(None, (name.strip() for name in ",".join(named).split(","))):
        if label not in known:
            yield f"line {line}: checks {label}, no statement above"
        elif known[label] != tag:
            yield f"line {line}: checks {label}, which needs a cell tagged {known[label]}"
        else:
            waiting.pop(label, None)
    if not any(word in text for text in body for word in ("assert", "proofs.", "raises")):
        yield f"line {line}: a {tag} cell that asserts nothing"


def summary_refers(page: Page) -> Iterator[str]:
    """Each line of "What to remember" refers to the statement, observation or figure it repeats."""
    section = re.search(r"^## What to remember\n(.*?)(?=^#{1,2} |\Z)", page.text, re.M | re.S)
    for item in re.split(r"^(?=[-*] |\d+\. )", section[1] if section else "", flags=re.M)[1:]:
        item = re.split(r"\n\s*\n", item)[0]
        if not REFERENCE.search(item):
            yield f"What to remember: {' '.join(item.split())[:60]!r} refers to no statement"


def figures_described(page: Page, notebooks: Path = NOTEBOOKS) -> Iterator[str]:
    """Every picture has alternative text, every caption is short and every figure has a name."""
    result = _executed(page, notebooks) or page.notebook()
    for number, cell in enumerate(code_cells(result), start=1):
        meta = _figure(cell)
        shown = any(
            kind.startswith("image/")
            for output in cell.get("outputs", [])
            for kind in output.get("data", {})
            if "text/html" not in output.get("data", {})
        )
        hidden = _tags(cell) & {"remove-cell", "remove-output"}
        glued = any(
            "application/papermill.record" in kind
            for output in cell.get("outputs", [])
            for kind in output.get("data", {})
        )
        if shown and not hidden and not glued and "figure" not in meta:
            latex = all("text/latex" in o.get("data", {}) for o in cell.get("outputs", []))
            if not latex:
                yield f"code cell {number} draws a picture that is no figure (mystnb: figure)"
        if "figure" in meta:
            if len(str(meta.get("image", {}).get("alt", "")).split()) < 4:
                yield f"code cell {number}: a figure without alternative text (image: alt)"
            caption = str(meta["figure"].get("caption", ""))
            if not 1 <= len(caption.split()) <= MAX_CAPTION:
                yield f"code cell {number}: caption of {len(caption.split())} words: {caption!r}"
            if not meta["figure"].get("name"):
                yield f"code cell {number}: a figure without a name"
    for match in re.finditer(r"!\[\s*\]\(", page.text):
        line = page.text.count("\n", 0, match.start()) + 1
        yield f"line {line}: an image without a description"
    for match in re.finditer(r"\{(?:figure|image|glue:figure)\}.*\n((?:\s*:.*\n)*)", page.text):
        if ":alt:" not in match[1]:
            line = page.text.count("\n", 0, match.start()) + 1
            yield f"line {line}: a figure without :alt:"


def cells_small(page: Page) -> Iterator[str]:
    """Cells are short, narrow, and neither install nor silence anything."""
    for number, cell in enumerate(code_cells(page.notebook()), start=1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        imports = any(line.startswith(("import ", "from ")) for line in lines)
        long = imports or "figure" in _figure(cell) or bool(_tags(cell) & LONG_TAGS)
        limit = MAX_LINES_LONG if long else MAX_LINES
        if len(lines) > limit:
            yield f"code cell {number} has {len(lines)} lines; {limit} are allowed"
        for line in lines:
            if len(line) > MAX_COLUMNS:
                yield f"code cell {number}: {len(line)} columns: {line.strip()[:50]} ..."
        found = BANNED_CODE.search(cell.source)
        if found:
            yield f"code cell {number} holds {found[0]!r}, which does not belong on a page"


def imports_used(page: Page) -> Iterator[str]:
    """What a page imports, one of its cells uses."""
    code = ast.parse("\n\n".join(cell.source for cell in code_cells(page.notebook())))
    used = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    for node in ast.walk(code):
        for name in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            if (name.asname or name.name).split(".")[0] not in used:
                yield f"imports {name.asname or name.name}, which no cell uses"


def words(page: Page) -> Iterator[str]:
    """No words that claim a step is short, and nothing unfinished."""
    text = prose(page) if page.is_notebook else page.text
    for found in BANNED_WORDS.finditer(text):
        around = text[max(0, found.start() - 30) : found.end() + 30].replace("\n", " ")
        yield f"the word {found[0]!r} in: ... {around} ..."
    for found in PLACEHOLDERS.finditer(page.text):
        yield f"unfinished: {found[0]!r}"


def labels_carry_name(page: Page) -> Iterator[str]:
    """Labels of a chapter carry its name, so that no two chapters collide."""
    name = page.name.rsplit("/", 1)[-1]
    names = {name, SPLIT_FROM.get(name, name)}
    for match in LABEL.finditer(page.text):
        label = next(group for group in match.groups() if group)
        if label == "python3":
            continue
        kind, _, rest = label.partition("-")
        if not kind or not any(rest == one or rest.startswith(f"{one}-") for one in names):
            yield f"label {label!r}: expected {kind or 'kind'}-{name}-..."


def displays_stand_alone(page: Page) -> Iterator[str]:
    """A display between ``$$`` has a blank line before it; inside a paragraph it is mangled."""
    lines = page.text.splitlines()
    inside = False
    for number, line in enumerate(lines):
        text = line.strip()
        if not text.startswith("$$"):
            continue
        before = lines[number - 1].strip() if number else ""
        if not inside and before and not before.startswith(("`", ":")):
            yield f"line {number + 1}: put a blank line before the $$ of a display"
        inside = not inside and "$$" not in text[2:]


def framed(page: Page) -> Iterator[str]:
    """Front matter, label and title at the top; the errata link at the end; a stable round trip."""
    if page.is_notebook:
        if not page.text.startswith(SAME):
            yield "front matter differs from the one that every chapter has"
        elif not KEYWORDS.match(page.text, len(SAME)):
            yield "the front matter does not end in `keywords: ...`, the words for the search"
        again = jupytext.writes(page.notebook(), fmt="md:myst")
        before = [(c.cell_type, c.source) for c in page.notebook().cells]
        after = [(c.cell_type, c.source) for c in jupytext.reads(again, fmt="md:myst").cells]
        if before != after:
            yield "does not survive the way to a notebook and back"
    name = page.name.rsplit("/", 1)[-1]
    if not re.search(rf"^\(ch-{re.escape(name)}\)=\n# ", page.text, re.M):
        yield f"the title has no label (ch-{name})="
    last = page.text.rstrip().splitlines()[-1]
    if not last.startswith(ERRATA):
        yield f"the last line is {last[:60]!r}, expected {ERRATA + '.'!r}"


def cost_measured(page: Page, notebooks: Path = NOTEBOOKS) -> Iterator[str]:
    """What a page costs is measured and counted by the build: nobody types it."""
    head = re.search(r"^# .*\n\n((?:.+\n)+)", page.text, re.M)
    typed = re.search(r"\b[\d.]+ (minutes?|seconds?)\b", head[1]) if head else None
    if typed:
        yield f"the head says {typed[0]!r}: leave it out, the build says what a page costs"
    result = _executed(page, notebooks)
    if result is None or "page" not in result.metadata.get("cpu_seconds", {}):
        yield "has no measured CPU seconds: run `make book` first"


def labels(page: Page) -> set[str]:
    """The labels of all pages of the page's book."""
    texts = [path.read_text(encoding="utf-8") for path in (page.root / "book").rglob("*.md")]
    return {next(filter(None, found.groups())) for text in texts for found in LABEL.finditer(text)}


def predictions_resolved(page: Page, notebooks: Path = NOTEBOOKS) -> Iterator[str]:
    """Each prediction has its answer, what judges it exists, and a cell glues a named answer."""
    for old in OLD_BOX.finditer(page.text):
        line = page.text.count("\n", 0, old.start()) + 1
        yield f"line {line}: the box {old[1]!r}: ask by the directive `predict`, which is answered"
    found = list(predictions.blocks(page.text))
    if len(found) != len(PREDICT.findall(page.text)):
        yield "a {predict} that is indented or has text after its name: nobody reads it"
    result = _executed(page, notebooks)
    glued = predictions.glued(result) if result else {}
    known = labels(page) if found else set()
    for first, _, options, content in found:
        try:
            prediction = predictions.read(options, content)
            missing = [label for label in prediction.judged if label not in known]
            if missing:
                yield f"line {first + 1}: judged by {', '.join(missing)}: no page has that label"
            called = re.search(rf"\bglue\(\s*[\"']{re.escape(prediction.answer)}[\"']", page.text)
            if prediction.answer in glued or not called:
                predictions.value(prediction, glued.get)
        except predictions.PredictionError as error:
            yield f"line {first + 1}: {error}"


def glossary(page: Page) -> dict[str, str]:
    """The terms of a page's glossary and what each says, in one line."""
    listed = GLOSSARY.search(page.text)
    entries = re.split(r"\n\s*\n", listed[2].strip("\n")) if listed else []
    return {
        term: " ".join(" ".join(said).split())
        for term, *said in (entry.splitlines() for entry in entries)
    }


def other_names(said: str) -> list[str]:
    """The names after "Also" at the head of a glossary's entry."""
    found = ALSO.match(said)
    return found[1].split(", ") if found else []


def terms_taught(page: Page) -> Iterator[str]:
    """Each term of a glossary is in its place, has its names alone, and a link that leads on."""
    terms = glossary(page)
    known = labels(page) if terms else set()
    owners: dict[str, str] = {}
    for term, said in terms.items():
        for name in (term, *other_names(said)):
            owner = owners.setdefault(name.lower(), term)
            if owner != term:
                yield f"{name!r} is a name of {term!r} and of {owner!r}: a reader looks for one"
        links = LINK.findall(said)
        if not links:
            yield f"{term!r} has no link to where it is taught"
        for role, target in links:
            there = page.root / f"{target.lstrip('/')}.md"
            if not (there.is_file() if role == "doc" else target in known):
                yield f"{term!r} links to {target}, which does not exist"
    order = sorted(terms, key=_in_order)
    for first, expected in zip(terms, order, strict=True):
        if first != expected:
            yield f"{first!r} stands where {expected!r} belongs"
            return


def _in_order(term: str) -> str:
    plain = unicodedata.normalize("NFKD", term.lower().replace("-", " "))
    return re.sub(r"[^a-z0-9 ]", "", plain)


GUARDS: dict[str, Callable[[Page], Iterator[str]]] = {
    guard.__name__: guard
    for guard in (
        cells_run,
        cost_measured,
        statements_checked,
        summary_refers,
        figures_described,
        cells_small,
        imports_used,
        words,
        labels_carry_name,
        displays_stand_alone,
        framed,
        predictions_resolved,
        terms_taught,
    )
}
