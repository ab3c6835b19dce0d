"""What a student reads: one page of HTML, without a script, a tag of his own, or a test's code."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tools.grader.asking import plain
from tools.grader.editions import Part
from tools.grader.marking import Assignment

MOST = 600  # characters of one lesson
MOST_WORDS = 20_000  # of an answer in words
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; border-top: 1px solid #bbb; padding-top: .8rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left }
li { margin: .3rem 0 } pre, .words { white-space: pre-wrap; background: #f4f4f4; padding: .6rem }
i.tex { font-family: "Latin Modern Math", Cambria, serif }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #111 }
  pre, .words { background: #222 }
}
"""
SIGNS = {
    "alpha": "α", "beta": "β", "mu": "μ", "sigma": "σ", "pi": "π", "lambda": "λ", "theta": "θ",
    "Delta": "Δ", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "int": "∫",
    "cdot": "·", "times": "×", "infty": "∞", "to": "→", "log": "log ", "ln": "ln ", "exp": "exp ",
    "star": "*", "Vert": "‖", "mid": "|", "in": "∈", "sum": "∑", "pm": "±", "quad": "  ",
    "epsilon": "ε", "partial": "∂", "approx": "≈", "Rightarrow": "⇒", "iff": "⇔",
    "ldots": "…", "dots": "…",
}  # fmt: skip


def page(title: str, body: str) -> str:
    """A whole page; ``body`` is HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def tex(text: str) -> str:
    """TeX between dollars as HTML for every browser: Greek, signs, powers, indices, fractions.

    What is not understood stays as it was written. The result is escaped.
    """

    def formula(source: str) -> str:
        out = html.escape(source.strip(), quote=False)
        for _ in range(6):
            changed = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1)/(\2)", out)
            changed = re.sub(r"\\[dt]?frac\s*(\w)\s*(\w)", r"\1/\2", changed)
            changed = re.sub(r"\\(?:math\w+|text|operatorname)\s*\{([^{}]*)\}", r" \1", changed)
            changed = re.sub(r"\\mathbb\s*(\w)", r"\1", changed)
            changed = re.sub(
                r"\^(?:\{([^{}]*)\}|(\w))", lambda m: f"<sup>{m[1] or m[2]}</sup>", changed
            )
            changed = re.sub(
                r"_(?:\{([^{}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", changed
            )
            if changed == out:
                break
            out = changed
        out = re.sub(r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|,|;|!|:)\s?", "", out)
        out = re.sub(r"\\([A-Za-z]+)\s?", lambda m: SIGNS.get(m[1], m[0]), out)
        out = re.sub(r"\\([{}])", r"\1", out)
        return f'<i class="tex">{out.strip()}</i>'

    parts = re.split(r"(\$\$.+?\$\$|\$[^$\n]+\$)", text, flags=re.S)
    return "".join(
        formula(part.strip("$")) if n % 2 else html.escape(part) for n, part in enumerate(parts)
    )


def words(text: str) -> str:
    """A student's Markdown cell: escaped, cut, its TeX rendered, its lines kept."""
    cut = text if len(text) <= MOST_WORDS else text[:MOST_WORDS] + "\n[cut here]"
    return f'<div class="words">{tex(cut)}</div>'


def lesson(text: str) -> str:
    return html.escape(plain(text, MOST))


def distinct(notes: Sequence[str]) -> list[str]:
    """The notes without those that another one says in more words."""
    kept: list[str] = []
    for note in sorted(set(notes), key=lambda text: (-len(text), text)):
        if not any(longer.startswith(note) for longer in kept):
            kept.append(note)
    return [note for note in dict.fromkeys(notes) if note in kept]


def student_page(
    assignment: Assignment,
    parts: Sequence[Part],
    who: str,
    result: Mapping[str, Any],
    notes: Sequence[str],
    by_hand: Mapping[str, tuple[float | None, str]],
    late: str = "",
) -> str:
    """One student's feedback.

    ``result``: of :func:`as_result`; ``notes``: what happened to the cells; ``by_hand``: for each
    question that a reader marks, (points or None, comment).
    """
    points = {q.name: q.points for q in assignment.questions}
    rows, sections, total, possible, open_ = [], [], 0.0, 0.0, False
    for part in parts:
        own = result.get("questions", {}).get(part.name, {})
        got = float(own.get("points", 0.0))
        most = points.get(part.name, 0.0) + part.by_hand
        said = [f"<li>{lesson(text)}</li>" for text in own.get("lessons", [])]
        if part.name in points and not said:
            said = ["<li>All tests passed.</li>"] if got == points[part.name] else []
        if part.by_hand:
            given, comment = by_hand.get(part.name, (None, ""))
            if given is None:
                open_ = True
                said.append(
                    "<li>Your words are read by a person; these points are not given yet.</li>"
                )
            else:
                got += given
                said.append(
                    f"<li>By a reader: {given:g} of {part.by_hand:g}. {lesson(comment)}</li>"
                )
        total, possible = total + got, possible + most
        name = html.escape(part.title.split(" (")[0])
        rows.append(f"<tr><td>{name}</td><td>{got:g} of {most:g}</td></tr>")
        sections.append(f"<h2>{name}: {got:g} of {most:g}</h2>\n<ul>{''.join(said)}</ul>")
    cells = "".join(f"<li>{lesson(note)}</li>" for note in distinct(notes)[:20])
    happened = f"<h2>Your cells</h2><ul>{cells}</ul>" if cells else ""
    state = " (so far: a part is read by a person)" if open_ else ""
    body = (
        f"<h1>{html.escape(assignment.name)}: {lesson(who)}</h1>\n"
        f"<p><b>{total:g} of {possible:g} points</b>{state}. {lesson(late)}</p>\n"
        f"<table>{''.join(rows)}</table>\n{happened}\n{chr(10).join(sections)}\n"
        "<p>The numbers in these messages were drawn for this submission alone.</p>"
    )
    return page(f"{assignment.name}: {who}", body)


def refused_page(assignment: Assignment, who: str, note: str) -> str:
    """For a file that could not be graded."""
    body = (
        f"<h1>{html.escape(assignment.name)}: {lesson(who)}</h1>\n"
        f"<p><b>Not graded.</b> The file {lesson(note)}.</p>\n"
        "<p>Hand in the notebook that you downloaded, with your answers in it.</p>"
    )
    return page(f"{assignment.name}: {who}", body)
