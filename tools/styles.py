"""One stylesheet out of many, without the rules that nothing on the site can match.

A rule stays if each name in one of its selectors occurs somewhere: as a tag, class, id or
attribute of a page, or as a word of a script, which may give it to an element later. A custom
property stays if a rule that stays uses it, a font or an animation likewise. What scripts
compose out of pieces is no word of theirs and must be named by the caller.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rcssmin
import tinycss2

TAG = re.compile(r"<([a-zA-Z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
ATTRIBUTE = re.compile(r"([a-zA-Z_:][\w:.-]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
DATA = re.compile(r"\bdataset\.(\w+)")
WORD = re.compile(r"-*[A-Za-z_][\w-]*")
NESTED = {"media", "supports", "layer", "container", "scope", "document", "-moz-document"}
ANY_OF = {"is", "where", "matches", "-webkit-any", "-moz-any", "has", "host"}  # one must match
VARIABLE = re.compile(r"var\(\s*(--[\w-]+)")
NOTICE = re.compile(r"^\s*!")  # a comment that must stay: a licence


@dataclass
class Vocabulary:
    """The names that selectors may match."""

    tags: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)  # of scripts: may become any of these
    variables: set[str] = field(default_factory=set)  # custom properties that pages use

    def add_page(self, html: str) -> None:
        """What a page holds, the words of the scripts in it included."""
        for body in re.findall(r"<script\b[^>]*>(.*?)</script>", html, re.S):
            self.add_script(body)
        for tag, inside in TAG.findall(re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.S)):
            self.tags.add(tag.lower())
            for name, *values in ATTRIBUTE.findall(inside):
                value = "".join(values)
                self.attributes.add(name.lower())
                if name == "class":
                    self.classes.update(value.split())
                elif name == "id":
                    self.ids.add(value)
                elif name == "style":
                    self.variables.update(VARIABLE.findall(value))
        self.tags.update(re.findall(r"<(script|style)\b", html))
        for style in re.findall(r"<style\b[^>]*>(.*?)</style>", html, re.S):
            self.variables.update(VARIABLE.findall(style))

    def add_script(self, text: str) -> None:
        self.words.update(WORD.findall(text))
        for name in DATA.findall(text):  # element.dataset.isOpen is its attribute data-is-open
            self.words.add("data-" + re.sub("[A-Z]", lambda big: f"-{big[0].lower()}", name))

    def __contains__(self, name: tuple[str, str]) -> bool:
        kind, text = name
        return text in getattr(self, kind) or text in self.words


def _split(tokens: Iterable[Any]) -> Iterator[list[Any]]:
    """The selectors of a list, without its commas."""
    part: list[Any] = []
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            yield part
            part = []
        else:
            part.append(token)
    yield part


def can_match(selector: Iterable[Any], known: Vocabulary) -> bool:
    """Whether each name of a selector, as tokens of tinycss2, is one of the site's."""
    before = ""
    for token in selector:
        if token.type == "hash":
            if ("ids", token.value) not in known:
                return False
        elif token.type == "ident" and not before.endswith(":"):
            name = ("classes", token.value) if before == "." else ("tags", token.lower_value)
            if name not in known:
                return False
        elif token.type == "[] block":
            inside = next((t.lower_value for t in token.content if t.type == "ident"), "")
            if inside and ("attributes", inside) not in known:
                return False
        elif (
            token.type == "function"
            and token.lower_name in ANY_OF
            and not any(can_match(part, known) for part in _split(token.arguments))
        ):
            return False
        before = token.value if token.type == "literal" else ""
    return True


@dataclass
class Rule:
    """A rule of a stylesheet that can be written again, in part."""

    head: str  # a selector list, or @name and what follows it
    declarations: list[Any] = field(default_factory=list)
    rules: list[Rule] | None = None  # of an at-rule that holds rules
    raw: str | None = None  # written as it is
    family: str = ""  # of an @font-face
    animation: str = ""  # of @keyframes

    def text(self) -> str:
        if self.raw is not None:
            return self.raw
        if self.rules is not None:
            inside = "".join(rule.text() for rule in self.rules)
            return f"{self.head}{{{inside}}}" if inside else ""
        inside = "".join(f"{declaration.serialize()};" for declaration in self.declarations)
        return f"{self.head}{{{inside}}}" if inside else ""

    def leaves(self) -> Iterator[Rule]:
        """The rules with declarations, nested ones too."""
        for rule in self.rules or ():
            yield from rule.leaves()
        if self.rules is None:
            yield self


def _declarations(content: Any) -> list[Any] | None:
    """The declarations of a block; None where it holds rules too, as nested styles do."""
    parsed = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    if any(node.type in ("qualified-rule", "at-rule") for node in parsed):
        return None
    return [node for node in parsed if node.type == "declaration"]


def _names(declarations: list[Any], *properties: str) -> str:
    values = [tinycss2.serialize(d.value) for d in declarations if d.lower_name in properties]
    return " ".join(values).strip()


def _family(text: str) -> str:
    return re.sub(r"\\(.)|[\"']", r"\1", text).strip().lower()


def _rules(nodes: Iterable[Any], known: Vocabulary, notices: list[str]) -> list[Rule]:
    """The rules that may match, from nodes of tinycss2."""
    found = []
    for node in nodes:
        if node.type == "comment" and NOTICE.match(node.value):
            notices.append(f"/*{node.value}*/")
        elif node.type == "qualified-rule":
            kept = [part for part in _split(node.prelude) if can_match(part, known)]
            if not kept:
                continue
            head = ",".join(tinycss2.serialize(part).strip() for part in kept)
            declarations = _declarations(node.content)
            if declarations is None:
                found.append(Rule(head, raw=f"{head}{{{tinycss2.serialize(node.content)}}}"))
            else:
                found.append(Rule(head, declarations))
        elif node.type == "at-rule":
            name, prelude = node.lower_at_keyword, tinycss2.serialize(node.prelude).strip()
            head = f"@{node.at_keyword} {prelude}".strip()
            if name == "charset":
                continue  # the file is UTF-8, and its first line says so
            if node.content is None:
                found.append(Rule(head, raw=f"{head};"))
            elif name in NESTED:
                inside = tinycss2.parse_blocks_contents(node.content)
                found.append(Rule(head, rules=_rules(inside, known, notices)))
            elif name == "font-face":
                declarations = _declarations(node.content) or []
                family = _family(_names(declarations, "font-family"))
                found.append(Rule(head, declarations, family=family))
            elif name.endswith("keyframes"):
                text = f"{head}{{{tinycss2.serialize(node.content)}}}"
                found.append(Rule(head, raw=text, animation=prelude))
            else:
                found.append(Rule(head, raw=f"{head}{{{tinycss2.serialize(node.content)}}}"))
    return found


def _without_unused(rules: list[Rule], known: Vocabulary) -> list[Rule]:
    """Leave out custom properties, fonts and animations that no rule uses."""
    leaves = [leaf for rule in rules for leaf in rule.leaves()]
    values: dict[str, list[str]] = {}  # of custom properties
    said = []  # what the other properties say
    for leaf in leaves:
        if leaf.raw is not None and not leaf.animation:
            said.append(leaf.raw)
        for declaration in leaf.declarations:
            text = tinycss2.serialize(declaration.value)
            if declaration.name.startswith("--"):
                values.setdefault(declaration.name, []).append(text)
            elif not leaf.family:
                said.append(text)
    waiting = {name for name in known.words if name.startswith("--")} | known.variables
    used: set[str] = set()

    def follow() -> None:  # from the properties that are used to those that their values use
        nonlocal waiting
        waiting = (waiting | set(VARIABLE.findall(" ".join(said)))) - used
        while waiting:
            name = waiting.pop()
            used.add(name)
            said.extend(values.get(name, ()))
            waiting |= set(VARIABLE.findall(" ".join(values.get(name, ())))) - used

    follow()
    animations = set(WORD.findall(" ".join(said))) | known.words
    said += [str(leaf.raw) for leaf in leaves if leaf.animation in animations]
    follow()
    fonts = _family(" ".join(said))

    def keep(rule: Rule) -> bool:
        if rule.rules is not None:
            rule.rules = [inner for inner in rule.rules if keep(inner)]
        if rule.family:
            return rule.family in fonts
        if rule.animation:
            return rule.animation in animations
        rule.declarations = [
            d for d in rule.declarations if not d.name.startswith("--") or d.name in used
        ]
        return bool(rule.text())

    return [rule for rule in rules if keep(rule)]


def prune(text: str, known: Vocabulary, keep: Callable[[Rule], bool] = lambda rule: True) -> str:
    """A stylesheet without what ``known`` cannot match, minified; licences stand first.

    ``keep`` may refuse more rules of the outermost level.
    """
    notices: list[str] = []
    rules = _rules(tinycss2.parse_stylesheet(text), known, notices)
    rules = _without_unused([rule for rule in rules if keep(rule)], known)
    body = rcssmin.cssmin("".join(rule.text() for rule in rules))
    return "".join(f"{notice}\n" for notice in dict.fromkeys(notices)) + body


def moved(text: str, sheet: Path, target: Path, read: Callable[[Path], str]) -> str:
    """A sheet's text as it reads from another folder: addresses rewritten, imports put in.

    ``sheet`` and ``target`` are files relative to the site; ``read`` gives the text of one.
    """

    def place(address: str) -> Path:
        return Path(os.path.normpath(sheet.parent / urlsplit(address).path))

    parts = []
    for node in tinycss2.parse_stylesheet(text):
        if node.type == "at-rule" and node.lower_at_keyword == "import":
            token = next(t for t in node.prelude if t.type in ("string", "url", "function"))
            inner = token if token.type != "function" else token.arguments[0]
            rest = tinycss2.serialize(node.prelude[node.prelude.index(token) + 1 :]).strip()
            other = place(inner.value)
            body = moved(read(other), other, target, read)
            parts.append(f"@media {rest}{{{body}}}" if rest else body)
        else:
            parts.append(_readdressed(node, place, target))
    return "".join(parts)


def _readdressed(node: Any, place: Callable[[str], Path], target: Path) -> str:
    def new(match: re.Match[str]) -> str:
        address = match[2].strip()
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return match[0]
        path = Path(os.path.relpath(place(address), target.parent)).as_posix()
        tail = f"?{parts.query}" * bool(parts.query) + f"#{parts.fragment}" * bool(parts.fragment)
        return f"url({match[1]}{path}{tail}{match[1]})"

    return re.sub(r"url\(\s*([\"']?)(.*?)\1\s*\)", new, node.serialize())
