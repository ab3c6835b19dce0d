"""Set every formula of the built site: nothing is laid out in the reader's browser.

Sphinx leaves TeX in ``class="math"``. :func:`render` puts in its place what MathJax makes of it in
Node (``typeset.cjs``): characters and boxes to look at, MathML to be read aloud, the TeX to be
copied. A display that is wider than a phone's column is set twice, broken for either width; which
one shows is the style's choice (``book.css``), by the column and not by the window. The fonts hold
the characters that occur and no others.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sphinx.application import Sphinx
from sphinx.ext import mathjax

from tools import typeface, vendor
from tools.sources import BUILD, SITE

COLUMNS = (34, 22)  # em: the text column on a desk, and on a phone of 390 pixels
#: em of a version that its column can no longer hold at the smallest size of book.css
LIMITS = (46, 27)
MADE = BUILD / "formulas.json"  # what the last build set
SCRIPT = Path(__file__).with_name("typeset.cjs")
FONTS = vendor.BUILD_TOOLS / "@mathjax/mathjax-newcm-font/chtml/woff2"
STYLE = "type"  # _static/type-DIGEST/: a style sheet and the fonts of formulas and text

INLINE = re.compile(r'(<span class="math notranslate nohighlight">)\\\((.*?)\\\)</span>', re.S)
DISPLAY = re.compile(
    r'(<div class="(?:[\w-]+ )*math notranslate nohighlight"[^>]*>)\s*'
    r'(<span class="eqno">.*?</span>)?\s*(?:\\\[(.*?)\\\]|(\\begin\{.*?))\s*</div>',
    re.S,
)
DONE = re.compile(
    r'<math\b([^>]*)>(?:(?!</math>).)*?<annotation encoding="application/x-tex">(.*?)</annotation>',
    re.S,
)
TAG = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.S)
LEFT = re.compile(
    r'<\w+ class="(?:[\w-]+ )*math notranslate[^>]*>\s*(?:<span class="eqno">.*?</span>)?\s*\\'
)
LINK = re.compile(rf'\s*<link rel="stylesheet" href="[^"]*_static/{STYLE}-[^"]*">\n?')
FACE = re.compile(
    r"@font-face[^{]*\{[^}]*?font-family: ([\w-]+);[^}]*?url\(\"\./([^\"]+)\"\)[^}]*\}"
)
#: MathML Core knows no mathvariant but "normal": the characters themselves carry the face.
FACES = {
    "double-struck": ("DOUBLE-STRUCK",),
    "script": ("SCRIPT",),
    "bold": ("BOLD",),
    "italic": ("ITALIC",),
    "bold-italic": ("BOLD ITALIC",),
    "fraktur": ("FRAKTUR", "BLACK-LETTER"),
    "sans-serif": ("SANS-SERIF",),
    "monospace": ("MONOSPACE",),
}


class FormulaError(RuntimeError):
    """A formula could not be set; the message names it, its page and what is wrong."""


@dataclass(frozen=True)
class Formula:
    """TeX as it stands in the source, in a line or as a display."""

    tex: str
    display: bool


@dataclass(frozen=True)
class Made:
    """A formula set: a version for each column, their widths in em, its MathML."""

    html: list[str]
    widths: list[float]
    mathml: str


def _formulas(text: str) -> Iterable[Formula]:
    """All formulas of a page, whether Sphinx has just written them or an earlier build set them."""
    for match in INLINE.finditer(text):
        yield Formula(html.unescape(match[2]).strip(), display=False)
    for match in DISPLAY.finditer(text):
        yield Formula(html.unescape(match[3] or match[4]).strip(), display=True)
    for match in DONE.finditer(text):
        yield Formula(html.unescape(match[2]), display='display="block"' in match[1])


def typeset(formulas: list[Formula]) -> tuple[list[Made | str], str]:
    """Each formula set, or what is wrong with it; and the style that they need together."""
    asked = [{"tex": f.tex, "display": f.display} for f in formulas]
    document = json.dumps({"formulas": asked, "columns": COLUMNS})
    key = hashlib.sha256(f"{document}{SCRIPT.read_text()}{vendor.stamp()}".encode()).hexdigest()
    if MADE.is_file():
        kept = json.loads(MADE.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return [Made(**m) for m in kept["made"]], kept["css"]
    done = subprocess.run(
        [vendor.program("node"), str(SCRIPT), str(vendor.BUILD_TOOLS)],
        input=document,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FormulaError(f"MathJax stopped:\n{done.stderr.strip()}")
    answer = json.loads(done.stdout)
    made: list[Made | str] = [
        m["error"] if "error" in m else Made(list(map(_bare, m["html"])), m["widths"], m["mathml"])
        for m in answer["made"]
    ]
    if all(isinstance(m, Made) for m in made):
        kept = {"key": key, "made": [vars(m) for m in made], "css": answer["css"]}
        part = MADE.with_name(f"{MADE.name}.part")
        part.write_text(json.dumps(kept), encoding="utf-8")
        part.replace(MADE)
    return made, answer["css"]


def _bare(markup: str) -> str:
    """MathJax's boxes without their sources, hidden from screen readers, which have the MathML."""
    markup = re.sub(r' (?:data-[\w-]+|texclass)="[^"]*"', "", markup)
    return markup.replace("<mjx-math", '<mjx-math aria-hidden="true"', 1)


def _letter(letter: str, faces: tuple[str, ...]) -> str:
    """The letter in a face, where Unicode has it: R double-struck is ℝ."""
    try:
        plain = unicodedata.name(letter).removeprefix("LATIN ").removeprefix("GREEK ")
    except ValueError:
        return letter
    plain = plain.replace("LETTER ", "")
    for face in faces:
        for name in (f"MATHEMATICAL {face} {plain}", f"{face} {plain}"):
            try:
                return unicodedata.lookup(name)
            except KeyError:
                continue
    return letter


def mathml(source: str, tex: str) -> str:
    """MathML as small as it can be, with the TeX as its annotation."""
    root = ElementTree.fromstring(re.sub(r"&(?!#|amp;|lt;|gt;|quot;)", "&amp;", source))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        variant = element.attrib.pop("mathvariant", None)
        if variant in FACES and element.text:
            element.text = "".join(_letter(c, FACES[variant]) for c in element.text)
        elif variant == "normal":
            element.set("mathvariant", "normal")
        for name in [n for n in element.attrib if n.startswith("data-") or n == "indentshift"]:
            del element.attrib[name]
        if element.tag not in ("mi", "mo", "mn", "mtext", "ms"):
            element.text = (element.text or "").strip()
        element.tail = (element.tail or "").strip()
    semantics = ElementTree.Element("semantics")
    row = ElementTree.SubElement(semantics, "mrow")
    row.extend(list(root))
    note = ElementTree.SubElement(semantics, "annotation", encoding="application/x-tex")
    note.text = tex
    for child in list(root):
        root.remove(child)
    root.append(semantics)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def markup(formula: Formula, made: Made, number: str = "") -> str:
    """What stands in the page for a formula."""
    spoken = f"<mjx-assistive-mml>{mathml(made.mathml, formula.tex)}</mjx-assistive-mml>"
    if not formula.display:
        return made.html[0].replace("</mjx-container>", f"{spoken}</mjx-container>")
    wide, narrow = made.html
    versions = [("", wide, 0)] if wide == narrow else [(" wide", wide, 0), (" narrow", narrow, 1)]
    return "".join(
        [
            f'<div class="formula{kind}" style="--w:{made.widths[which]:.2f}">{boxes}</div>'
            for kind, boxes, which in versions
        ]
        + [spoken, number]
    )


def _page(text: str, made: dict[Formula, Made]) -> str:
    def inline(match: re.Match[str]) -> str:
        formula = Formula(html.unescape(match[2]).strip(), display=False)
        return f"{match[1]}{markup(formula, made[formula])}</span>"

    def display(match: re.Match[str]) -> str:
        formula = Formula(html.unescape(match[3] or match[4]).strip(), display=True)
        start = match[1]
        if match[2]:
            start = start.replace('class="', 'class="numbered ', 1)
        return f"{start}{markup(formula, made[formula], match[2] or '')}</div>"

    return DISPLAY.sub(display, INLINE.sub(inline, text))


def _style(css: str, used: str, folder: Path) -> str:
    """Write the fonts, cut down to the characters in ``used``; returns the style."""
    characters = {ord(c) for c in used}
    characters |= {int(c, 16) for c in re.findall(r'content: "\\([0-9A-Fa-f]+)', css)}
    characters |= {ord(c) for s in re.findall(r'content: "([^"\\]+)"', css) for c in s}

    def face(match: re.Match[str]) -> str:
        family, name = match[1], match[2]
        asked = re.search(rf"font-family: [^;}}]*\b{family}\b(?!-)", css.replace(match[0], ""))
        if not asked or not typeface.cut(FONTS / name, folder / name, characters):
            return ""
        source = f'url("{name}") format("woff2")'
        return f"@font-face{{font-family:{family};font-display:block;src:{source}}}"

    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    return FACE.sub(face, css)


def _broken(pages: dict[Path, str], faults: dict[Formula, str], site: Path) -> str:
    lines = []
    for path, text in pages.items():
        for formula in dict.fromkeys(_formulas(text)):
            if formula in faults:
                name = path.relative_to(site).with_suffix("")
                lines.append(f"{name}: {faults[formula]}: {formula.tex}")
    return "\n".join(lines)


def too_wide(formula: Formula, made: Made) -> str:
    """Why a display fits no column even when it is broken and small; empty where it fits."""
    if formula.display:  # what stands in a line breaks with it
        for width, limit in zip(made.widths, LIMITS, strict=True):
            if width > limit:
                return (
                    f"the formula is {width:.0f} em wide where {limit} fit: break it by "
                    "`aligned`, or make two of it"
                )
    return ""


def render(site: Path = SITE, complain: Callable[[str], Any] = print) -> int:
    """Set all formulas of the site; pages that are set already keep theirs. Returns how many.

    Raises
    ------
    FormulaError
        For TeX that MathJax refuses, with its page.
    """
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}
    formulas = list(dict.fromkeys(f for text in pages.values() for f in _formulas(text)))
    results, css = typeset(formulas)
    faults = {f: r for f, r in zip(formulas, results, strict=True) if isinstance(r, str)}
    made = {f: r for f, r in zip(formulas, results, strict=True) if isinstance(r, Made)}
    faults |= {f: said for f, m in made.items() if (said := too_wide(f, m))}
    if faults:
        raise FormulaError(f"formulas that cannot be set:\n{_broken(pages, faults, site)}")

    used = "".join(re.sub(r"<[^>]*>", "", h) for m in made.values() for h in m.html)
    scratch = site / "_static" / f"{STYLE}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    characters = {ord(c) for page in pages.values() for c in html.unescape(TAG.sub("", page))}
    style = typeface.faces(characters, scratch) + _style(css, html.unescape(used), scratch)
    (scratch / "type.css").write_text(style, encoding="utf-8")
    digest = hashlib.sha256()
    for file in sorted(scratch.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    folder = scratch.with_name(f"{STYLE}-{digest.hexdigest()[:12]}")
    for old in (site / "_static").glob(f"{STYLE}-*"):
        shutil.rmtree(old)
    scratch.rename(folder)

    count = 0
    for path, text in pages.items():
        count += sum(1 for _ in _formulas(text))
        new = LINK.sub("", _page(text, made))
        if left := LEFT.search(new):
            raise FormulaError(f"{path.relative_to(site)}: not set: {new[left.start() :][:200]}")
        if "book.css" in new:  # a page of the book, not one that only leads on
            address = os.path.relpath(folder / "type.css", path.parent)
            link = f'<link rel="stylesheet" href="{address}">'
            new = new.replace("</head>", f"{link}\n</head>", 1)
        if new != text:
            path.write_text(new, encoding="utf-8")
    return count


def setup(app: Sphinx) -> dict[str, bool]:
    """A renderer for Sphinx that writes the TeX and no script; :func:`render` comes after it."""
    app.add_html_math_renderer(
        "tex",
        (mathjax.html_visit_math, None),
        (mathjax.html_visit_displaymath, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
