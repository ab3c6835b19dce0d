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

__all__ = ["body", "css", "digest", "late_digest", "late_script", "module", "script"]

#: Makes a script shorter and leaves what it does.
Minifier = Callable[[str], str]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class _Bundle:
    entry: str  # the file that exports `render`
    worker: str = ""  # the file that a worker runs, whose joined text `WORKER` then holds
    late: str = ""  # the file whose exports `late(model)` returns: fetched after the first picture
    css: str = ""  # a style sheet of its own, after live.css


_BUNDLES = {
    "interact": _Bundle("interact.js"),
    "gan": _Bundle("gan.js", worker="engine.js", late="late.js"),
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
# live.css: what all widgets need, controls and charts, the laboratory, what of it comes late.
_SECTION = re.compile(r"^/\* (controls|laboratory|late) \*/\n", re.MULTILINE)


def body(kind: str, minified: Minifier = str, *, whole: bool = True) -> str:
    """The joined source of a kind of widget: declarations only, among them ``render``.

    ``minified`` is applied to the text that a worker starts from, which is a string in the source.
    What comes late is in it if it is to be ``whole``; else ``late(model)`` asks the page for it.

    Raises
    ------
    ValueError
        For an unknown kind, an import of what no file exports, imports in a circle, a name that
        two files declare, or another form of import or export.
    """
    bundle = _bundle(kind)
    files = _Files({"css": "the bundle"})
    worker = late = ""
    if bundle.worker:
        # A worker starts from text: that works from file:// and inside Jupyter's modules too.
        worker = minified(_Files({}).joined(bundle.worker))
        worker = f"const WORKER = {json.dumps(worker)};\n"
        files.names["WORKER"] = "the bundle"
    text = files.joined(bundle.entry)
    if bundle.late:
        files.names["late"] = "the bundle"
        more = files.joined(bundle.late)
        made = _record(files.exports[bundle.late])
        shared = _record(files.shared())
        late = f"{more}const late = async () => ({made});\n" if whole else (
            f"const late = (model) => model.late({shared});\n"
        )  # fmt: skip
    if files.names.get("render") != bundle.entry:
        raise ValueError(f"{bundle.entry} declares no `render`; a widget is drawn by that function")
    return worker + text + late


def css(kind: str) -> str:
    """The style sheet of a kind of widget."""
    return "".join(_styles(kind))


def _styles(kind: str) -> tuple[str, str]:
    """The style sheet of the first picture, and that of what comes late."""
    ground, *rest = _SECTION.split((_FOLDER / "live.css").read_text(encoding="utf-8"))
    part = dict.fromkeys(("controls", "laboratory", "late"), "")
    part |= dict(zip(rest[::2], rest[1::2], strict=True))
    own = _bundle(kind).css
    if kind == "gan":
        return ground + part["laboratory"], part["controls"] + part["late"]
    more = (_FOLDER / own).read_text(encoding="utf-8") if own else ""
    return ground + part["controls"] + more, ""


def module(kind: str) -> str:
    """The ES module that anywidget loads."""
    return f"{body(kind)}\nexport default {{ render }};\n"


def script(kind: str, minified: Minifier = str, minified_css: Minifier = str) -> str:
    """The classic script that a page loads, from a server or from a folder."""
    style = json.dumps(minified_css(_styles(kind)[0]))
    return minified(
        f"ganlibLive.widget({json.dumps(kind)}, {json.dumps(digest(kind))}, (() => {{\n"
        f'"use strict";\nconst css = {style};\n{body(kind, minified, whole=False)}\n'
        "return { render, css };\n})());\n"
    )


def late_script(kind: str, minified: Minifier = str, minified_css: Minifier = str) -> str:
    """The script of what comes late, a function of what it shares; empty where nothing does."""
    bundle = _bundle(kind)
    if not bundle.late:
        return ""
    files = _Files({})
    files.joined(bundle.entry)
    text = files.joined(bundle.late)
    made, shared = _record({"css", *files.exports[bundle.late]}), _record(files.shared())
    style = json.dumps(minified_css(_styles(kind)[1]))
    return minified(
        f"ganlibLive.part({json.dumps(late_digest(kind))}, (given) => {{\n"
        f'"use strict";\nconst {shared} = given, css = {style};\n{text}\n'
        f"return {made};\n}});\n"
    )


def digest(kind: str) -> str:
    """A name for the present text of a bundle: 16 hexadecimal digits."""
    content = "\0".join([kind, body(kind), css(kind)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def late_digest(kind: str) -> str:
    """A name for the script of what comes late; empty where nothing does."""
    return hashlib.sha256(f"late {digest(kind)}".encode()).hexdigest()[:16] * bool(
        _bundle(kind).late
    )


def _record(names: set[str]) -> str:
    return f"{{ {', '.join(sorted(names))} }}"


def _bundle(kind: str) -> _Bundle:
    if kind not in _BUNDLES:
        raise ValueError(f"no widget of kind {kind!r}; there are {', '.join(_BUNDLES)}")
    return _BUNDLES[kind]


class _Files:
    """The files of a widget: what each exports, and which of them declares a name."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.exports: dict[str, set[str]] = {}
        self._brought: set[str] = set()  # by the last call of `joined`
        self._taken: dict[str, dict[str, set[str]]] = {}  # file -> source -> names

    def joined(self, entry: str) -> str:
        """A file after all that it imports and that was not joined before."""
        before = set(self.exports)
        texts: list[str] = []
        self._visit(entry, (), texts)
        self._brought = set(self.exports) - before
        return "\n".join(texts)

    def shared(self) -> set[str]:
        """What the files joined last take from those joined before."""
        return {
            name
            for file in self._brought
            for source, names in self._taken[file].items()
            if source not in self._brought
            for name in names
        }

    def _visit(self, file: str, trail: tuple[str, ...], texts: list[str]) -> None:
        if file in trail:
            raise ValueError(f"imports in a circle: {' -> '.join([*trail, file])}")
        if file in self.exports:
            return
        path = _FOLDER / file
        if not path.is_file():
            asked = f"; {trail[-1]} imports it" if trail else ""
            raise ValueError(f"there is no script {file}{asked}")
        text = path.read_text(encoding="utf-8")
        taken = self._taken[file] = {}
        for wanted, source in _IMPORT.findall(text):
            self._visit(source, (*trail, file), texts)
            taken[source] = {n.strip() for n in wanted.split(",")} - {""}
            for name in taken[source]:
                if name not in self.exports[source]:
                    raise ValueError(
                        f"{file} imports {name} from {source}, which exports "
                        f"{', '.join(sorted(self.exports[source])) or 'nothing'}"
                    )
        text = _IMPORT.sub("", text)
        self.exports[file] = set()
        for match in _NAME.finditer(text):
            several = (match[3] or match[4] or match[2]).split(",")
            for name in filter(None, (n.split(":")[-1].split("=")[0].strip() for n in several)):
                if name in self.names:
                    raise ValueError(
                        f"{file} declares {name}, and so does {self.names[name]}; the files of a "
                        "widget become one text: rename one of them"
                    )
                self.names[name] = file
                if match[1]:
                    self.exports[file].add(name)
        text = _EXPORT.sub("", text)
        if left := _LEFT.search(text):
            raise ValueError(
                f"{file} has the line `{left[0]}`; write imports as "
                '`import { a, b } from "./file.js";` and export functions, classes and constants '
                "where they are declared"
            )
        texts.append(text.strip("\n") + "\n")
