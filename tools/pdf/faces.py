"""The site's faces as plain TrueType, which a PDF can hold as fonts.

Chromium writes what is variable, or drawn by cubic curves (CFF), as pictures of letters (Type 3),
which programs draw without hints and at a higher price.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from fontTools.varLib import instancer

from tools.pdf.assemble import PdfError

ERROR = 0.001  # of an em: how far a curve may lie from the one that it stands for
WEIGHTS = {400: "400", 650: "500 700"}  # of a variable face, and for which weights each stands
SOURCE = re.compile(r"url\(\s*[\"']?([^\"')]+)[\"']?\s*\)(?:\s*format\([^)]*\))?")
WEIGHT = re.compile(r"font-weight:[^;}]*;?")


def quadratic(font: TTFont) -> None:
    """Turn cubic outlines into quadratic ones, in place."""
    glyphs, order = font.getGlyphSet(), font.getGlyphOrder()
    drawn: dict[str, Any] = {}
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(Cu2QuPen(pen, ERROR * font["head"].unitsPerEm, reverse_direction=True))
        drawn[name] = pen.glyph()
    font["loca"], font["glyf"] = newTable("loca"), newTable("glyf")
    font["glyf"].glyphOrder, font["glyf"].glyphs = order, drawn
    for table in ("CFF ", "VORG"):
        if table in font:
            del font[table]
    font.sfntVersion = "\000\001\000\000"
    largest = font["maxp"] = newTable("maxp")
    largest.tableVersion = 0x00010000
    for name in (
        "maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs",
        "maxStackElements", "maxSizeOfInstructions", "maxComponentElements",
    ):  # fmt: skip
        setattr(largest, name, 0)
    largest.maxZones = 1
    largest.numGlyphs = len(order)
    font["head"].glyphDataFormat = 0
    font["post"].formatType = 3.0  # without names
    font["post"].extraNames, font["post"].mapping = [], {}


def plain(data: bytes) -> dict[str, bytes]:
    """A font as TrueType files, by the weights that each stands for; "" for its own."""
    font = TTFont(io.BytesIO(data), recalcTimestamp=False)
    if "CFF " in font:
        quadratic(font)
    if "fvar" not in font:
        return {"": _written(font)}
    made = {}
    for weight, range_ in WEIGHTS.items():
        variable = TTFont(io.BytesIO(data), recalcTimestamp=False)
        made[range_] = _written(instancer.instantiateVariableFont(variable, {"wght": weight}))
    return made


def _written(font: TTFont) -> bytes:
    font.flavor = None
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def _bytes(address: str, folder: Path) -> bytes:
    if address.startswith("data:"):
        return base64.b64decode(address.partition("base64,")[2])
    path = folder / address
    if not path.is_file():
        raise PdfError(f"the site's style asks for {path.name}, which is not there: build it again")
    return path.read_bytes()


def face(rule: str, source_folder: Path, folder: Path) -> str:
    """An ``@font-face`` as rules for TrueType files, which are written into ``folder``.

    Addresses in the rule are as seen from ``source_folder``.
    """
    source = SOURCE.search(rule)
    if source is None:
        return rule
    rules = []
    for weights, data in plain(_bytes(source[1], source_folder)).items():
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.ttf"
        (folder / name).write_bytes(data)
        new = rule.replace(source[0], f'url("{name}") format("truetype")')
        if weights:
            new = WEIGHT.sub(f"font-weight:{weights};", new, count=1)
        rules.append(new)
    return "".join(rules)
