"""What a reader's program is told of the file: title, language, tags; and is the file whole?"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name, String

from tools.pdf.assemble import FORMULA, PdfError


def tags(pdf: pikepdf.Pdf) -> Iterator[Dictionary]:
    """The elements of the structure tree, the root left out."""
    waiting = [pdf.Root.StructTreeRoot.K]
    while waiting:
        node = waiting.pop()
        if isinstance(node, pikepdf.Array):
            waiting.extend(node)
        elif isinstance(node, Dictionary) and "/S" in node:
            yield node
            if "/K" in node:
                waiting.append(node.K)


def name_formulas(pdf: pikepdf.Pdf) -> int:
    """Tag each formula as what it is, with its TeX as alternative text; returns how many.

    The boxes of which MathJax makes it have tags of their own, thirty to a formula. They say
    nothing: what they hold becomes the formula's.
    """
    moved: dict[tuple[int, int], Dictionary] = {}  # tag that goes -> formula
    formulas = [
        tag
        for tag in tags(pdf)
        if tag.get("/S") == Name.Figure and str(tag.get("/Alt", "")).startswith(FORMULA)
    ]
    for formula in formulas:
        formula.S = Name.Formula
        formula.Alt = String(str(formula.Alt).removeprefix(FORMULA))
        formula.K = pikepdf.Array(_content(formula, formula, moved))
    if formulas:
        _lead_content(pdf.Root.StructTreeRoot.ParentTree, moved)
    return len(formulas)


def _content(tag: Dictionary, formula: Dictionary, moved: dict[Any, Dictionary]) -> list[Any]:
    """The marked content below a tag, each piece with its page."""
    found: list[Any] = []
    below = tag.get("/K", [])
    for piece in below if isinstance(below, pikepdf.Array) else [below]:
        if isinstance(piece, int):
            mark = Dictionary(Type=Name.MCR, MCID=piece)
            mark.Pg = tag.Pg
            found.append(mark)
        elif piece.get("/S") is None:
            found.append(piece)
        else:
            moved[piece.objgen] = formula
            found += _content(piece, formula, moved)
    return found


def _lead_content(tree: Dictionary, moved: dict[Any, Dictionary]) -> None:
    """Lead the marked content of each page to the tags that it has now."""
    for branch in tree.get("/Kids", []):
        _lead_content(branch, moved)
    rows = tree.get("/Nums", [])
    for row in range(1, len(rows), 2):
        if isinstance(rows[row], pikepdf.Array):
            rows[row] = pikepdf.Array([moved.get(tag.objgen, tag) for tag in rows[row]])


def describe(
    pdf: pikepdf.Pdf, *, title: str, author: str, subject: str, day: datetime.date
) -> None:
    """Title, author, language and date, in both of the places where programs look."""
    stamp = datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC)
    for key in list(pdf.docinfo):
        del pdf.docinfo[key]
    with pdf.open_metadata(set_pikepdf_as_editor=False) as metadata:
        metadata["dc:title"] = title
        metadata["dc:creator"] = [author]
        metadata["dc:description"] = subject
        metadata["dc:language"] = {"en"}
        metadata["dc:rights"] = "CC BY 4.0"
        metadata["xmp:CreateDate"] = stamp.isoformat()
        metadata["xmp:ModifyDate"] = stamp.isoformat()
    when = stamp.strftime("D:%Y%m%d%H%M%SZ")
    pdf.docinfo.update(
        {
            "/Title": String(title),
            "/Author": String(author),
            "/Subject": String(subject),
            "/CreationDate": String(when),
            "/ModDate": String(when),
        }
    )
    pdf.Root.Lang = String("en")
    pdf.Root.PageMode = Name.UseOutlines
    pdf.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)


def links(pdf: pikepdf.Pdf) -> Iterator[Dictionary]:
    for page in pdf.pages:
        for note in page.obj.get("/Annots", []):
            if note.get("/Subtype") == Name.Link:
                yield note


def outline(pdf: pikepdf.Pdf) -> list[tuple[int, str]]:
    """Depth and title of each entry of the outline."""
    found: list[tuple[int, str]] = []

    def walk(item: Any, depth: int) -> None:
        while item is not None:
            found.append((depth, str(item.Title)))
            walk(item.get("/First"), depth + 1)
            item = item.get("/Next")

    walk(pdf.Root.Outlines.get("/First"), 0)
    return found


def faults(path: Path) -> list[str]:
    """What is wrong with a finished file; nothing, if all is well."""
    with pikepdf.open(path) as pdf:
        wrong = [f"qpdf: {problem}" for problem in pdf.check_pdf_syntax()]
        named = set(pdf.Root.get("/Dests", {}).keys())
        for link in links(pdf):
            target = link.get("/Dest")
            action = link.get("/A", Dictionary())
            if isinstance(target, pikepdf.Name) and str(target) not in named:
                wrong.append(f"a link leads nowhere: {target}")
            if str(action.get("/URI", "")).startswith("file:"):
                wrong.append(f"a link leads to a file of this machine: {action.URI}")
        for tag in tags(pdf):
            if tag.S in (Name.Figure, Name.Formula) and not str(tag.get("/Alt", "")):
                wrong.append(f"a tag {tag.S} without alternative text")
    return wrong


def save(pdf: pikepdf.Pdf, target: Path) -> None:
    """Write the file, small; the same document gives the same bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    pdf.save(
        part,
        object_stream_mode=pikepdf.ObjectStreamMode.generate,
        recompress_flate=True,
        deterministic_id=True,
    )
    if wrong := faults(part):
        part.unlink()
        raise PdfError("the PDF is not whole:\n" + "\n".join(wrong[:20]))
    part.replace(target)
