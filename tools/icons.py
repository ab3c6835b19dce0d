"""The theme's icons, as SVG in the pages and as a font of the few glyphs that styles name.

The theme ships Font Awesome twice: a script of 1.5 MB that puts an SVG in the place of each
``<i class="fa-...">``, and fonts for the glyphs that stylesheets set before and after titles. Here
the first is done when the site is built, with the script's own paths and styles, and each font
keeps the glyphs in use and moves into the stylesheet.
"""

from __future__ import annotations

import base64
import functools
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset
from fontTools.ttLib import TTFont

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
SCRIPT = THEME / "scripts" / "fontawesome.js"
FONTS = THEME / "vendor" / "fontawesome" / "webfonts"
LICENCE = (
    "<!--! Font Awesome Free by @fontawesome - https://fontawesome.com License - "
    "https://fontawesome.com/license/free (Icons: CC BY 4.0, Fonts: SIL OFL 1.1, Code: MIT "
    "License) Copyright 2024 Fonticons, Inc. -->"
)
STYLES = {"fas": "fas", "fa-solid": "fas", "fa": "fas", "far": "far", "fa-regular": "far",
          "fab": "fab", "fa-brands": "fab"}  # fmt: skip
#: classes that set how an icon is shown, and name none
LOOKS = re.compile(
    r"fa-(?:\d*xs|xs|sm|lg|\d*xl|\d+x|fw|li|ul|border|spin|pulse|pull-\w+|flip-\w+|"
    r"rotate-\w+|stack\w*|inverse|layers\w*)"
)
ICON = re.compile(
    r'(?:"([a-z0-9-]+)"|([a-z0-9]+)):\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]*)"\]'
)
PACK = re.compile(r'\("(fab|far|fas)",\w+\)')
STYLE = re.compile(r"""'(:host,:root\{--fa-font-solid.*?)'""", re.S)
PLACE = re.compile(r'<(i|span)\s+class="([^"]*\bfa-[^"]*)"([^>]*)>\s*</\1>')
GLYPH_RULE = re.compile(r"^(?:\.fa-[\w-]+::?before,?)+$")
PRIVATE = re.compile(r"\\([ef][0-9a-f]{3})(?![0-9a-f])|([\ue000-\uf8ff])", re.I)
FACE = re.compile(r"@font-face\{[^}]*url\([^)]*fontawesome/webfonts/([\w-]+)\.[^}]*\}")
FACES = {  # what a stylesheet says where it uses the font
    "fa-solid-900": re.compile(r"--fa-font-solid|font-weight:900"),
    "fa-regular-400": re.compile(r"--fa-font-regular"),
    "fa-brands-400": re.compile(r"--fa-font-brands"),
}


class IconError(ValueError):
    """An icon could not be found where the theme keeps it; the message says which."""


@dataclass(frozen=True)
class Icon:
    """One drawing: its size and the path of its outline."""

    width: int
    height: int
    path: str

    def svg(self, classes: str, attributes: str = "") -> str:
        return (
            f'<svg class="{classes}"{attributes} aria-hidden="true" focusable="false" '
            f'viewBox="0 0 {self.width} {self.height}">'
            f'<path fill="currentColor" d="{self.path}"/></svg>'
        )


def icons(script: str) -> dict[tuple[str, str], Icon]:
    """The icons of the theme's script, by style and name; aliases too."""
    found: dict[tuple[str, str], Icon] = {}
    start = 0
    for pack in PACK.finditer(script):
        for quoted, bare, width, height, others, path in ICON.findall(script, start, pack.start()):
            icon = Icon(int(width), int(height), path)
            for name in (*re.findall(r'"([a-z0-9-]+)"', others), quoted or bare):
                found[pack[1], name] = icon
        start = pack.end()
    return found


@functools.cache
def of_theme() -> dict[tuple[str, str], Icon]:
    return icons(SCRIPT.read_text(encoding="utf-8"))


def style(script: str | None = None) -> str:
    """The styles that the theme's script brings for its SVGs."""
    found = STYLE.search(script or SCRIPT.read_text(encoding="utf-8"))
    if not found:
        raise IconError("the theme's icon script holds no styles where they are looked for")
    return found[1]


def place(html: str, known: dict[tuple[str, str], Icon] | None = None) -> str:
    """A page with SVGs in place of the elements that the theme's script would replace."""
    known = of_theme() if known is None else known
    placed = 0

    def svg(match: re.Match[str]) -> str:
        nonlocal placed
        classes = match[2].split()
        style = next((STYLES[name] for name in classes if name in STYLES), "")
        names = [
            name.removeprefix("fa-")
            for name in classes
            if name.startswith("fa-") and name not in STYLES and not LOOKS.fullmatch(name)
        ]
        if not style or len(names) != 1:
            return match[0]
        if (style, names[0]) not in known:
            raise IconError(f"the theme has no icon {match[2]!r}")
        rest = [name for name in classes if name not in STYLES and name != f"fa-{names[0]}"]
        attributes = re.sub(r"\s+", " ", re.sub(r'\s+title="[^"]*"', "", match[3])).rstrip()
        icon = known[style, names[0]]
        svg = icon.svg(" ".join(["svg-inline--fa", f"fa-{names[0]}", *rest]), attributes)
        placed += 1
        return LICENCE + svg if placed == 1 and LICENCE not in html else svg

    return PLACE.sub(svg, html)


def is_glyph_rule(selector: str) -> bool:
    """Whether a rule gives an element its glyph, for which the page has an SVG now."""
    return bool(GLYPH_RULE.match(selector))


def glyphs(css: str) -> set[int]:
    """The code points in the private use area that a stylesheet names."""
    return {int(code, 16) if code else ord(sign) for code, sign in PRIVATE.findall(css)}


def font(file: Path, points: set[int]) -> bytes:
    """The glyphs of ``points`` alone, as a WOFF file; empty if the font has none of them."""
    whole = TTFont(file, recalcTimestamp=False)
    points = points & set(whole.getBestCmap())
    if not points:
        return b""
    options = subset.Options(
        layout_features=[], name_IDs=[0, 1, 2, 13, 14], hinting=False, notdef_outline=False
    )
    options.recalc_timestamp = False
    part = subset.Subsetter(options)
    part.populate(unicodes=points)
    part.subset(whole)
    whole.flavor = "woff"
    out = io.BytesIO()
    whole.save(out)
    return out.getvalue()


def embed(css: str, fonts: Path = FONTS) -> str:
    """A stylesheet that holds the glyphs it names, in place of the addresses of whole fonts."""
    rest = FACE.sub("", css)
    points = glyphs(rest)

    def face(match: re.Match[str]) -> str:
        used = FACES.get(match[1])
        data = font(fonts / f"{match[1]}.ttf", points) if used and used.search(rest) else b""
        if not data:
            return ""
        address = f"data:font/woff;base64,{base64.b64encode(data).decode()}"
        return re.sub(r"src:[^;}]*", f'src:url({address}) format("woff")', match[0])

    return FACE.sub(face, css)
