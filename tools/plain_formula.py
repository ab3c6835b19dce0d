r"""Formulas in plain characters, for where none can be set: ``p_\theta(x)`` becomes p_θ(x)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

TOKEN = re.compile(r"\\[a-zA-Z]+\s*|\\.|[{}^_&~]|\s+|.", re.S)
# fmt: off
SYMBOLS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "ll": "≪", "gg": "≫",
    "approx": "≈", "equiv": "≡", "sim": "~", "propto": "∝", "in": "∈", "iff": " ⇔ ",
    "to": "→", "longrightarrow": "→", "leftarrow": "←", "mapsto": "↦", "infty": "∞",
    "pm": "±", "cdot": "·", "times": "×", "circ": "∘", "odot": "⊙", "star": "*", "prime": "′",
    "mid": " | ", "vert": "|", "lvert": "|", "rvert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖",
    "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    "dots": "…", "cdots": "…", "ldots": "…", "sum": "∑", "prod": "∏", "int": "∫", "partial": "∂",
    "nabla": "∇", "ell": "ℓ", "top": "ᵀ", "varepsilon": "ε", "varphi": "φ", "varsigma": "ς",
    "bmod": " mod ", "quad": " ", "qquad": " ",
}
# fmt: on
SPACES = {
    r"\,": " ",
    r"\!": "",
    r"\|": "‖",
    r"\;": " ",
    r"\:": " ",
    r"\ ": " ",
    r"\\": "; ",
    "&": "",
    "~": " ",
}
EDGE = "\0"  # of a function's name: a space between letters, nothing elsewhere
ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307"}
FRACTIONS = {"frac", "tfrac", "dfrac"}
SIZES = re.compile(r"left|right|[bB]igg?[lrm]?|[a-z]+style|vphantom")
TRANSPARENT = re.compile(r"text|math[a-z]+|texttt|operatorname|underbrace|overline")
RAISED = str.maketrans("0123456789+-=()niT*′ᵀ", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ*′ᵀ")
LOWERED = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


def _greek(name: str) -> str | None:
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    spelt = "lamda" if name.lower() == "lambda" else name
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {spelt.upper()}")
    except KeyError:
        return None


def _moved(text: str, sign: str) -> str:
    """An index or exponent: in characters made for it if all of its own have one."""
    text = text.strip(EDGE)
    table = RAISED if sign == "^" else LOWERED
    if all(ord(letter) in table for letter in text):
        return text.translate(table)
    return f"{sign}{text}" if len(text) == 1 or text.isalpha() else f"{sign}({text})"


def _closed(text: str) -> str:
    """A part of a fraction, in parentheses where it would fall apart without."""
    return text if re.fullmatch(r"[\w.′*]*|[^\s+−/·-]*\([^()]*\)", text) else f"({text})"


class _Reader:
    def __init__(self, tex: str) -> None:
        self.tokens: Iterator[str] = iter(TOKEN.findall(tex))

    def argument(self) -> str:
        """What a command takes: a group or one token."""
        for token in self.tokens:
            if not token.isspace():
                return self.one(token)
        return ""

    def group(self) -> str:
        """All up to the closing brace, or to the end."""
        made = ""
        for token in self.tokens:
            if token == "}":
                break
            made += self.one(token)
        return made

    def one(self, token: str) -> str:
        """What one token, and what it takes, becomes."""
        if token == "{":
            return self.group()
        if token in "^_":
            return _moved(self.argument(), token)
        if token in SPACES:
            return SPACES[token]
        if token[0] != "\\":
            return " " if token.isspace() else token.replace("'", "′")
        name = token[1:].rstrip()
        if name in ("begin", "end"):
            self.argument()
            return ""
        if name in FRACTIONS:
            above, below = self.argument(), self.argument()
            return f"{_closed(above)}/{_closed(below)}"
        if name == "binom":
            return f"({self.argument()} choose {self.argument()})"
        if name == "sqrt":
            return f"√{_closed(self.argument())}"
        if name in ACCENTS:
            return unicodedata.normalize("NFC", self.argument() + ACCENTS[name])
        if TRANSPARENT.fullmatch(name):
            return self.argument()
        if SIZES.fullmatch(name):
            return ""
        return SYMBOLS.get(name) or _greek(name) or f"{EDGE}{name}{EDGE}"  # a function


def plain(tex: str) -> str:
    """The formula in plain characters; a command that is not known stays as its name."""
    made = re.sub(EDGE + "+", EDGE, _Reader(tex).group())
    made = re.sub(rf"(?<=[^\W_]){EDGE}(?=[^\W_])|(?<=[)\]]){EDGE}(?=\w)", " ", made)
    return " ".join(made.replace(EDGE, "").split())
