"""The site's own typefaces, cut down to the characters that its pages hold.

Source Serif for the text, Source Sans for what stands around it, Source Code Pro for code; New
Computer Modern, for formulas, comes with MathJax (``tools.formulas``). Until a face has arrived
its stand-in is a font of the reader's machine, drawn as wide and as high, so that no line moves.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

from tools.vendor import BUILD_TOOLS

logging.getLogger("fontTools").setLevel(logging.ERROR)  # not of every table that is left out

WEIGHTS = (400, 700)


@dataclass(frozen=True)
class Face:
    """A font file of a package, without its last part: ``-latin-wght-normal.woff2``."""

    family: str
    file: str
    style: str = "normal"
    weight: str = "400 700"


FACES = (
    Face("Source Serif", "source-serif-4-{}-wght-normal"),
    Face("Source Serif", "source-serif-4-{}-wght-italic", "italic"),
    Face("Source Sans", "source-sans-3-{}-wght-normal"),
    Face("Source Sans", "source-sans-3-{}-wght-italic", "italic"),
    Face("Source Code", "source-code-pro-{}-400-normal", weight="400"),
    Face("Source Code", "source-code-pro-{}-700-normal", weight="700"),
)
SCRIPTS = ("latin", "greek")
#: Stand-ins: (local names, their mean width, the mean width, ascent and descent of ours), in em.
#: Means are by the frequency of letters in text; ours and DejaVu's from the files, the others'
#: from @capsizecss/metrics.
STAND_INS = {
    "Source Serif": (
        (1.036, 0.335),
        (("Georgia", 1.074), ("Times New Roman", 1.179), ("DejaVu Serif", 0.933)),
    ),
    "Source Sans": (
        (1.024, 0.400),
        (("Segoe UI", 0.943), ("Helvetica Neue", 0.929), ("Arial", 0.938), ("DejaVu Sans", 0.785)),
    ),
}


def cut(
    source: Path, target: Path, characters: Collection[int], weights: bool = False
) -> list[int]:
    """Write the part of a font that has ``characters``; those that it has. None: no file.

    ``weights``: of a variable font, keep the weights of the book alone.
    """
    font = TTFont(source, recalcTimestamp=False)  # the same bytes each time
    here = sorted(set(characters) & set(font.getBestCmap()))
    if not here:
        return []
    options = subset.Options()
    options.flavor = "woff2"
    options.notdef_outline = options.glyph_names = options.hinting = False
    if not weights:
        options.layout_features = []
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=here)
    cutter.subset(font)  # before the weights: fonttools fails in the other order
    if weights and "fvar" in font:
        font = instancer.instantiateVariableFont(font, {"wght": WEIGHTS})
    subset.save_font(font, str(target), options)
    return here


def faces(characters: Collection[int], folder: Path) -> str:
    """Write the faces into ``folder``; the style that declares them and their stand-ins."""
    rules = []
    wanted = set(characters) | set(range(0x20, 0x7F))
    for face in FACES:
        for script in SCRIPTS:
            name = f"{face.file.format(script)}.woff2"
            here = cut(BUILD_TOOLS / "fonts" / name, folder / name, wanted, weights=True)
            if not here:
                continue
            wanted_here = ",".join(f"U+{c:X}" for c in here) if script != "latin" else ""
            rules.append(
                f'@font-face{{font-family:"{face.family}";font-style:{face.style};'
                f"font-weight:{face.weight};font-display:swap;"
                f'src:url("{name}") format("woff2")'
                + (f";unicode-range:{wanted_here}" if wanted_here else "")
                + "}"
            )
    for family, ((ascent, descent), stand_ins) in STAND_INS.items():
        for name, size in stand_ins:
            rules.append(
                f'@font-face{{font-family:"{family}, {name}";src:local("{name}");'
                f"size-adjust:{100 * size:.1f}%;ascent-override:{100 * ascent / size:.1f}%;"
                f"descent-override:{100 * descent / size:.1f}%;line-gap-override:0%}}"
            )
    return "\n".join(rules) + "\n"
