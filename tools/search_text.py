"""What of a page is searched: its sections and the glossary's terms, in plain characters.

Prose, captions, tables and formulas are text, shown in excerpts; of code the names count that one
looks up. What a cell printed is left out, and so are solutions and the answers of predictions: the
reader commits first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx_exercise.nodes import solution_node

from tools.plain_formula import plain
from tools.predict import predict_answer

DEEPEST = 3  # headings below belong to the section that holds them
FRONT = re.compile(r"---\n(.*?)\n---\n", re.S)
#: names that one looks up, such as ``detach`` in ``fake.detach()``; not a cell's own variables
IDENTIFIER = re.compile(r"(?<=\.)[A-Za-z]\w{2,}|\b[A-Za-z]+(?:_\w+|[A-Z]\w*)")
ELSEWHERE = re.compile(r"(?!bibliography|https?:)[^#]")
COMMENT = re.compile(r"#[^\n]*|\"\"\".*?\"\"\"", re.S)
#: each is a paragraph of its own
BLOCKS = (nodes.paragraph, nodes.title, nodes.caption, nodes.math_block, nodes.row, nodes.term)
SKIPPED = (
    nodes.Invisible,
    nodes.image,
    nodes.literal_block,
    nodes.raw,
    nodes.rubric,
    addnodes.desc_signature,
    addnodes.glossary,
    predict_answer,
    solution_node,
)


@dataclass
class Section:
    """A heading and what stands under it, up to the next one."""

    id: str
    heading: str
    text: str = ""  # paragraphs, one a line
    code: str = ""  # words of code
    names: str = ""  # titles of statements, and terms in bold
    taught: str = ""  # of a glossary's term: the address where it is taught, as its page links it


@dataclass
class Document:
    """One page."""

    title: str
    keywords: list[str]
    sections: list[Section] = field(default_factory=list)


def front_matter(source: str) -> dict[str, Any]:
    """The YAML at the head of a source; empty where there is none."""
    found = FRONT.match(source)
    return dict(yaml.safe_load(found[1]) or {}) if found else {}


def keywords(source: str) -> list[str]:
    """The front matter's `keywords`, which are separated by commas."""
    given = front_matter(source).get("keywords") or ""
    words = given if isinstance(given, list) else str(given).split(",")
    return [str(word).strip() for word in words if str(word).strip()]


def _pieces(node: nodes.Node, printed: bool = False) -> Iterator[str]:
    """The text of a node, with a line end before and after each block."""
    if isinstance(node, nodes.title) and _is_statement(node.parent):
        yield f"\n{_name(node.parent)}.\n"
        return
    if isinstance(node, SKIPPED):
        return
    if isinstance(node, nodes.Text):
        if not printed:
            yield node.astext().replace("\n", " ")
    elif isinstance(node, nodes.math):
        yield plain(node.astext())
    elif isinstance(node, nodes.math_block):
        yield f"\n{plain(node.astext())}\n"
    elif isinstance(node, addnodes.desc_content):
        yield from _summary(node)
    elif isinstance(node, nodes.Element):
        inside = printed or "cell_output" in node["classes"]
        inside = inside and not isinstance(node, nodes.caption)
        edge = "\n" if isinstance(node, BLOCKS) else " " if isinstance(node, nodes.entry) else ""
        yield edge
        for child in node.children:
            yield from _pieces(child, inside)
        yield edge


def _summary(node: addnodes.desc_content) -> Iterator[str]:
    """Of the documentation of a name of the library its first paragraph, and its methods' names."""
    for child in node.children[:1]:
        yield from _pieces(child)
    for method in node.findall(addnodes.desc_name):
        yield f" {method.astext()}"


def text(*parts: nodes.Node) -> str:
    """The text of nodes, one paragraph a line."""
    whole = "".join(piece for part in parts for piece in _pieces(part))
    lines = (" ".join(line.split()) for line in whole.split("\n"))
    return "\n".join(line for line in lines if line)


def _is_head(node: nodes.Node) -> bool:
    """Whether it names the pages that a chapter needs: they are not what it teaches."""
    return isinstance(node, nodes.paragraph) and "You need:" in node.astext()


def _own(section: nodes.section, level: int) -> Iterator[nodes.Node]:
    """What belongs to a section, with that of the headings below the deepest."""
    for child in section.children:
        if isinstance(child, nodes.section):
            if level == DEEPEST:
                yield from child.children
        elif not isinstance(child, nodes.title) and not _is_head(child):
            yield child


def _code(parts: list[nodes.Node]) -> str:
    """The words of the code, each once."""
    blocks = [block for part in parts for block in part.findall(nodes.literal_block)]
    unseen = {"cell_output", "py"}  # what was printed, and examples of the library's pages
    shown = [block for block in blocks if not unseen & _classes_above(block)]
    words = (IDENTIFIER.findall(COMMENT.sub("", block.astext())) for block in shown)
    return " ".join(dict.fromkeys(word for found in words for word in found))


def _classes_above(node: nodes.Node) -> set[str]:
    classes: set[str] = set()
    above = node.parent
    while isinstance(above, nodes.Element):
        classes.update(above.get("classes", ()))
        above = above.parent
    return classes


def _is_statement(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.Element) and "realtype" in node


def _name(statement: nodes.Element) -> str:
    """The kind of a theorem, definition or observation, and the name it has in its title."""
    title = text(*statement.children[0].children).removeprefix("(").removesuffix(")")
    return f"{statement['realtype'].title()}: {title}" if title else statement["realtype"].title()


def _names(parts: list[nodes.Node]) -> str:
    """What a section gives a name: its statements, and the terms that it prints in bold."""
    found = []
    for part in parts:
        for node in part.findall():
            if _is_statement(node):
                found.append(_name(node).partition(": ")[2])
            elif isinstance(node, nodes.strong) and not node.astext().endswith((".", ":", "?")):
                found.append(text(node))
    return "\n".join(dict.fromkeys(name for name in found if name))


def _terms(parts: list[nodes.Node]) -> Iterator[Section]:
    """The entries of a glossary."""
    for part in parts:
        for item in part.findall(nodes.definition_list_item):
            terms = list(item.findall(nodes.term))
            if not terms or not terms[0]["ids"]:
                continue
            heading = ", ".join(text(term) for term in terms)
            said = list(item.findall(nodes.definition))
            links = (
                link.get("refuri", "") for part in said for link in part.findall(nodes.reference)
            )
            taught = next((link for link in links if ELSEWHERE.match(link)), "")
            yield Section(terms[0]["ids"][0], heading, text(*said), taught=taught)


def sections(document: nodes.Node, level: int = 0) -> Iterator[Section]:
    """Every section down to the deepest heading, in reading order."""
    for child in document.children:
        if isinstance(child, nodes.section):
            parts = list(_own(child, level + 1))
            heading = text(child.children[0]) if child.children else ""
            yield Section(
                child["ids"][0],
                heading,
                text(*parts),
                _code(parts),
                _names(parts),
            )
            yield from _terms([p for part in parts for p in part.findall(addnodes.glossary)])
            if level + 1 < DEEPEST:
                yield from sections(child, level + 1)


def document(doctree: nodes.document, source: str) -> Document | None:
    """A page as it is searched; None for one without a heading."""
    found = list(sections(doctree))
    return Document(found[0].heading, keywords(source), found) if found else None
