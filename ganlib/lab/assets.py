"""The scripts of a widget, joined: one ES module for Jupyter, one classic script for a page.

The files import from each other with lines such as ``import { a, b } from "./plot.js";``. Joined,
those lines and the words ``export`` go, so every name at top level belongs to all files of a
widget and must occur once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["body", "css", "digest", "module", "script"]

#: Makes a script shorter and leaves what it does.
Minifier = Callable[[str], str]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class _Bundle:
    entry: str  # the file that exports `render`
    worker: str = ""  # the file that a worker runs, whose joined text `WORKER` then holds
    css: str = ""  # a style sheet of its own, after live.css


_BUNDLES = {
    "interact": _Bundle("interact.js"),
    "gan": _Bundle("gan.js", worker="engine.js"),
    "digits": _Bundle("digits.js", worker="digits-engine.js", css="digits.css"),
}

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w-]+\.js)";[ \t]*\n?', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function\b|class\b|const\b|let\b)", re.MULTILINE)
_NAME = re.compile(
    r"^(export )?(?:async function\*?|function\*?|class|const|let|var) "
    r"(?:([\w$]+)|\{([^}]*)\}|\[([^\]]*)\])",
    re.MULTILINE,
)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_LABORATORY = "/* laboratory */"  # opens the last section of live.css, which only "gan" needs


def body(kind: str, minified: Minifier = str) -> str:
    """The joined source of a kind of widget: declarations only, among them ``render``.

    ``minified`` is applied to the text that a worker starts from, which is a string in the source.

    Raises
    ------
    ValueError
        For an unknown kind, an import of what no file exports, imports in a circle, a name that
        two files declare, or another form of import or export.
    """
    bundle = _bundle(kind)
    names: dict[str, str] = {"css": "the bundle"}
    worker = ""
    if bundle.worker:
        # A worker starts from text: that works from file:// and inside Jupyter's modules too.
        worker = f"const WORKER = {json.dumps(minified(_joined(bundle.worker, {})))};\n"
        names["WORKER"] = "the bundle"
    text = worker + _joined(bundle.entry, names)
    if names.get("render") != bundle.entry:
        raise ValueError(f"{bundle.entry} declares no `render`; a widget is drawn by that function")
    return text


def css(kind: str) -> str:
    """The style sheet of a kind of widget."""
    shared, mark, laboratory = (
        (_FOLDER / "live.css").read_text(encoding="utf-8").partition(_LABORATORY)
    )
    own = _bundle(kind).css
    more = (_FOLDER / own).read_text(encoding="utf-8") if own else ""
    return shared + mark + laboratory if kind == "gan" else shared + more


def module(kind: str) -> str:
    """The ES module that anywidget loads."""
    return f"{body(kind)}\nexport default {{ render }};\n"


def script(kind: str, minified: Minifier = str, minified_css: Minifier = str) -> str:
    """The classic script that a page loads, from a server or from a folder."""
    style = json.dumps(minified_css(css(kind)))
    return minified(
        f"ganlibLive.widget({json.dumps(kind)}, {json.dumps(digest(kind))}, (() => {{\n"
        f'"use strict";\nconst css = {style};\n{body(kind, minified)}\n'
        "return { render, css };\n})());\n"
    )


def digest(kind: str) -> str:
    """A name for the present text of a bundle: 16 hexadecimal digits."""
    content = "\0".join([kind, body(kind), css(kind)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _bundle(kind: str) -> _Bundle:
    if kind not in _BUNDLES:
        raise ValueError(f"no widget of kind {kind!r}; there are {', '.join(_BUNDLES)}")
    return _BUNDLES[kind]


def _joined(entry: str, names: dict[str, str]) -> str:
    """A file after all that it imports, each once; ``names`` collects what they declare."""
    exports: dict[str, set[str]] = {}
    texts: list[str] = []

    def visit(file: str, trail: tuple[str, ...]) -> None:
        if file in trail:
            raise ValueError(f"imports in a circle: {' -> '.join([*trail, file])}")
        if file in exports:
            return
        path = _FOLDER / file
        if not path.is_file():
            asked = f"; {trail[-1]} imports it" if trail else ""
            raise ValueError(f"there is no script {file}{asked}")
        text = path.read_text(encoding="utf-8")
        for wanted, source in _IMPORT.findall(text):
            visit(source, (*trail, file))
            for name in filter(None, (n.strip() for n in wanted.split(","))):
                if name not in exports[source]:
                    raise ValueError(
                        f"{file} imports {name} from {source}, which exports "
                        f"{', '.join(sorted(exports[source])) or 'nothing'}"
                    )
        text = _IMPORT.sub("", text)
        exports[file] = set()
        for match in _NAME.finditer(text):
            several = (match[3] or match[4] or match[2]).split(",")
            for name in filter(None, (n.split(":")[-1].split("=")[0].strip() for n in several)):
                if name in names:
                    raise ValueError(
                        f"{file} declares {name}, and so does {names[name]}; the files of a "
                        "widget become one text: rename one of them"
                    )
                names[name] = file
                if match[1]:
                    exports[file].add(name)
        text = _EXPORT.sub("", text)
        if left := _LEFT.search(text):
            raise ValueError(
                f"{file} has the line `{left[0]}`; write imports as "
                '`import { a, b } from "./file.js";` and export functions, classes and constants '
                "where they are declared"
            )
        texts.append(text.strip("\n") + "\n")

    visit(entry, ())
    return "\n".join(texts)
