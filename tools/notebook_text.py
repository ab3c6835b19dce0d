"""What a page says, as the Markdown that Jupyter knows: no directive, no role, no label is left.

Jupyter, Colab and a hub show MyST's marks as they are typed. Here a statement becomes a bold head
and its text, a proof or solution a fold, an equation's label a number, a reference the name of what
it refers to, a citation its authors and year. Numbers count within the notebook.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pybtex.database import parse_file

from tools import zoo
from tools.sources import ROOT, Page, book_pages, code_cells, toc

OPEN = re.compile(r"^\s*(`{3,}|:{3,})\{([\w:-]+)\}[ \t]*(.*?)\s*$")
CODE = re.compile(r"^\s*(`{3,}|~{3,})[\w-]*\s*$")
OPTION = re.compile(r"^\s*:([\w-]+):[ \t]*(.*)$")
LABEL = re.compile(r"^\(([\w-]+)\)=\s*$")
HEADING = re.compile(r"^#+\s+(.*)$")
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
TITLED = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.S)
DOLLARS = re.compile(r"^\$\$\s*\(([\w-]+)\)\s*$", re.M)
#: what would be seen of MyST in a notebook: directives, roles, labels, options, comments
LEFT = re.compile(
    r"^\s*(?:`{3,}|:{3,})\{|\{[a-z][\w:-]*\}`|^\([\w-]+\)=\s*$|^\s*:(?:label|class|name):"
    r"|^% |^\+\+\+",
    re.M,
)


class NotebookTextError(ValueError):
    """A page says something that a notebook cannot; the message says what, and where."""


@dataclass(frozen=True)
class Target:
    """What a label stands for."""

    kind: str  # such as "Theorem", "Exercise", "Figure", "Equation", "Table", or "" for a heading
    title: str
    page: str
    number: int = 0  # of equations, figures and tables, within the page


def _block(lines: list[str], first: int) -> tuple[str, str, dict[str, str], list[str], int]:
    """A directive at a line: name, argument, options, content, and the line after it."""
    found = OPEN.match(lines[first])
    assert found is not None
    fence = found[1]
    end = first + 1
    while end < len(lines) and not re.fullmatch(rf"\s*{fence[0]}{{{len(fence)},}}\s*", lines[end]):
        end += 1
    inner = lines[first + 1 : end]
    options = {}
    while inner and (option := OPTION.match(inner[0])):
        options[option[1]] = option[2]
        inner = inner[1:]
    return found[2], found[3], options, inner, end + 1


def _kind(directive: str) -> str:
    name = directive.removeprefix("prf:").removesuffix("-start")
    return {"math": "Equation", "list-table": "Table"}.get(name, name.capitalize())


@functools.cache
def titles() -> dict[str, str]:
    """The title of every page."""
    found = {}
    for name in toc():
        source = name if name.startswith("book/") else f"{name}/source"
        text = (ROOT / f"{source}.md").read_text(encoding="utf-8")
        head = re.search(r"^# (.*)$", text, re.M)
        found[name] = head[1] if head else name.rsplit("/", 1)[-1]
    return found


@functools.cache
def labels() -> dict[str, Target]:
    """Every label of the book."""
    return {label: target for page in book_pages() for label, target in _labels(page)}


def _labels(page: Page) -> Iterator[tuple[str, Target]]:
    counts: dict[str, int] = {}

    def number(kind: str) -> int:
        counts[kind] = counts.get(kind, 0) + 1
        return counts[kind]

    lines = page.text.split("\n")
    for at, line in enumerate(lines):
        if (found := LABEL.match(line)) and at + 1 < len(lines):
            heading = HEADING.match(next((n for n in lines[at + 1 :] if n.strip()), ""))
            yield found[1], Target("", heading[1] if heading else found[1], page.name)
        elif found := re.search(r"\$\$\s*\(([\w-]+)\)\s*$", line):
            yield found[1], Target("Equation", "", page.name, number("Equation"))
        elif OPEN.match(line) and "{code-cell}" not in line:
            name, argument, options, _, _ = _block(lines, at)
            label = options.get("label") or options.get("name")
            if label:
                kind = _kind(name)
                count = number(kind) if kind in ("Equation", "Table") else 0
                yield label, Target(kind, argument, page.name, count)
    if page.is_notebook:
        for cell in code_cells(page.notebook()):
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            if figure.get("name"):
                caption = str(figure.get("caption", "")).strip()
                yield figure["name"], Target("Figure", caption, page.name, number("Figure"))


# --- roles ---------------------------------------------------------------------------------------


@functools.cache
def _works() -> dict[str, tuple[str, str]]:
    """Authors and year of each work of the bibliography."""
    found = {}
    for key, entry in parse_file(str(ROOT / "book" / "references.bib")).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(map(str, [*p.rich_prelast_names, *p.rich_last_names])) for p in people]
        who = names[0] if names else entry.fields.get("title", key)
        if len(names) > 1:
            who = f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]} et al."
        found[key] = who, entry.fields.get("year", "")
    return found


def _cited(role: str, text: str) -> str:
    works = [_works()[key.strip()] for key in text.split(",")]
    if role == "cite:p":
        return "(" + "; ".join(f"{who}, {year}" for who, year in works) + ")"
    return ", ".join(f"{who} ({year})" for who, year in works)


def _referred(label: str, page: str) -> str:
    """The name of what a label stands for, as seen from a page."""
    target = labels().get(label)
    if target is None:
        raise NotebookTextError(f"{page}: nothing has the label {label!r}")
    away = f" of *{titles()[target.page]}*" if target.page != page else ""
    if target.kind == "Equation":
        return f"equation ({target.number}){away}" if away else f"({target.number})"
    if target.kind in ("Figure", "Table"):
        return f"{target.kind.lower()} {target.number}{away}"
    if not target.kind:
        return (
            f"*{target.title}*{away}"
            if target.title != titles()[target.page]
            else f"*{target.title}*"
        )
    title = f" *{target.title}*" if target.title else ""
    return f"{target.kind.lower()}{title}{away}"


def _role(found: re.Match[str], page: str) -> str:
    role, text = found[1], " ".join(found[2].split())
    if role.startswith("cite:"):
        return _cited(role, text)
    if role == "math":
        return f"${text}$"
    titled = TITLED.match(text)
    if role == "term":
        return titled[1] if titled else text
    if role == "doc":
        if titled:
            return titled[1]
        name = text.lstrip("/")
        if name not in titles():
            raise NotebookTextError(f"{page}: there is no page {text}")
        return f"*{titles()[name]}*"
    if role in ("ref", "numref", "eq", "prf:ref"):
        return titled[1] if titled else _referred(text, page)
    raise NotebookTextError(f"{page}: a notebook has no role {{{role}}}, as in {found[0]}")


# --- directives ----------------------------------------------------------------------------------


def _fold(summary: str, content: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *content, "", "</details>", ""]


def _display(content: list[str], number: int = 0) -> list[str]:
    """An equation between dollars; several lines are aligned, as Sphinx does."""
    tex = [line for line in content if line.strip()]
    whole = "\n".join(tex)
    if r"\\" in whole and not whole.lstrip().startswith(r"\begin{"):
        tex = [r"\begin{aligned}", *tex, r"\end{aligned}"]
    return ["", "$$", *tex, *([rf"\tag{{{number}}}"] if number else []), "$$", ""]


def _table(argument: str, content: list[str]) -> list[str]:
    """A `list-table`, whose first row is the head, as one of pipes."""
    rows: list[list[str]] = []
    for line in content:
        start = re.match(r"^\s*(\* -|-)(?:\s+(.*))?$", line)
        if start and start[1] == "* -":
            rows.append([start[2] or ""])
        elif start:
            rows[-1].append(start[2] or "")
        elif line.strip():
            rows[-1][-1] += f" {line.strip()}"
    head, *rest = rows
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rest]]
    return ["", *([f"*{argument}*", ""] if argument else []), *lines, ""]


def _directive(
    name: str, argument: str, options: dict[str, str], content: list[str], page: str
) -> list[str]:
    if name == "math":
        label = options.get("label", "")
        return _display(content, labels()[label].number if label else 0)
    if name == "list-table":
        return _lines(_table(argument, content), page)
    if name == "zoo":
        return _lines(["", *zoo.table(argument), ""], page)
    inner = _lines(content, page)
    if name == "prf:proof":
        folded = "dropdown" in options.get("class", "")
        return _fold("Proof", inner) if folded else ["", "*Proof.*", "", *inner, ""]
    if name.startswith("prf:") or name in ("exercise", "exercise-start"):
        title = f" ({argument})" if argument else ""
        return ["", f"**{_kind(name)}**{title}.", "", *inner, ""]
    if name == "dropdown":
        return _fold(argument or "More", inner)
    if name in ("grid", "grid-item-card"):
        head = [f"**{argument}**", ""] if name == "grid-item-card" else []
        return ["", *head, *inner, ""]
    if name == "button-ref":
        return ["", f"{' '.join(inner).strip()}: {{doc}}`{argument}`", ""]
    if name == "solution-start":
        return ["", "**Solution.**", ""]
    if name in ("exercise-end", "solution-end"):
        return []
    raise NotebookTextError(f"{page}: a notebook has no directive {{{name}}}")


def _lines(lines: list[str], page: str) -> list[str]:
    shown: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if OPEN.match(line):
            name, argument, options, content, after = _block(lines, at)
            if name == "solution-start":
                ends = [k for k in range(after, len(lines)) if "{solution-end}" in lines[k]]
                if ends:  # no cell of code stands between
                    shown += _fold("Solution", _lines(lines[after : ends[0]], page))
                    at = _block(lines, ends[0])[-1]
                    continue
            shown += _directive(name, argument, options, content, page)
            at = after
        elif (code := CODE.match(line)) is not None:
            end = at + 1
            while end < len(lines) and lines[end].strip() != code[1]:
                end += 1
            shown += lines[at : end + 1]
            at = end + 1
        else:
            if not LABEL.match(line) and not line.startswith("% "):
                shown.append(_row(line) if line.startswith("|") else line)
            at += 1
    return shown


def _row(line: str) -> str:
    """A row of a table: Jupyter takes formulas out first, where an escaped bar is a norm."""
    return re.sub(r"\$[^$]+\$", lambda found: found[0].replace(r"\|", r"\vert{}"), line)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    pieces = re.split(r"(^\s*`{3,}[\w-]*\n.*?^\s*`{3,}\s*$)", text, flags=re.M | re.S)
    return "".join(piece if k % 2 else change(piece) for k, piece in enumerate(pieces))


def markdown(text: str, page: str) -> str:
    """A Markdown cell of a page as Jupyter knows it.

    Raises
    ------
    NotebookTextError
        For a directive, a role or a label that has no such form.
    """
    text = DOLLARS.sub(lambda found: rf"\tag{{{labels()[found[1]].number}}}" + "\n$$", text)
    whole = "\n".join(_lines(text.split("\n"), page))
    whole = _outside_code(whole, lambda piece: ROLE.sub(lambda m: _role(m, page), piece))
    return re.sub(r"\n{3,}", "\n\n", whole).strip("\n")


def caption(label: str) -> str:
    """What stands under a figure."""
    target = labels()[label]
    return f"*Figure {target.number}.* {target.title}"
