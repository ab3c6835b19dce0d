"""The pages of the library, made from its docstrings: ``{api} ganlib.losses`` in a page.

The directive gives each public name a section: signature, documentation, example. Sphinx's
autodoc reads them; what it hands on is a docstring in the house form (`house`), whose chapters in
backticks become links. A name that a module only hands on stands where a page shows it first.

Examples run after two lines, which the module's section says: `begin`. `examples` finds them, for
``tests/test_api.py`` to run.
"""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import find_pending_xref_condition

from tools.sources import ROOT, Page, book_pages

OVERVIEW = "book/back/api"
FOLDER = "book/back/api-"
ASKED = re.compile(r"^(`{3,})\{api\} (ganlib[\w.]*)\s*$", re.M)
#: modules whose names other modules hand on, and those that are no part to call
INSIDE = {
    "batches": "the type of a batch",
    "command": "the command line: `python -m ganlib --help`",
    "draws": "what `fit` and `sample` draw",
    "fdivergence": "handed on by `divergences`",
    "files": "what `data` reads",
    "finite": "handed on by `distances`",
    "inspection": "what `fit` refuses",
    "numerics": "what `formulas` compiles to",
    "pairs": "distances in blocks",
    "run": "handed on by `training`",
    "updates": "handed on by `dynamics`",
}

HEADER = re.compile(r"(?m)^(\w+)\n-{3,}\n")
FIELDS = {"Attributes", "Parameters", "Raises"}  # terms and what is said of each
#: what of a text is left as it is, or changed: literals, roles, emphasis; backticks; signs
INLINE = re.compile(
    r"``.+?``|:[\w:]+:`[^`]+`|\*\*[^*\s][^*]*\*\*|(?<![\w*])\*[^*\s][^*]*?(?<!\s)\*(?![\w*])"
    r"|^\s*\* |`([^`]+)`|[*|\\]|(?<=\w)_(?!\w)",
    re.S | re.M,
)


@dataclass(frozen=True)
class Name:
    """One public name, at the module that a page shows it of."""

    module: str
    name: str

    @property
    def value(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def kind(self) -> str:
        """``"class"``, ``"function"``, ``"type"`` (an alias of types) or ``"data"``."""
        if inspect.isclass(self.value) and not hasattr(self.value, "__origin__"):
            return "class"
        if hasattr(self.value, "__origin__") or type(self.value).__name__ == "UnionType":
            return "type"
        routine = inspect.isroutine(self.value) or hasattr(self.value, "__wrapped__")
        return "function" if routine else "data"

    @property
    def said(self) -> str:
        """Its documentation: a docstring, or the comment ``#:`` of what is none."""
        if self.kind in ("class", "function"):
            own = self.value.__doc__ if self.kind == "class" else inspect.getdoc(self.value)
            return inspect.cleandoc(own or "")
        return _comment(self.module, self.name)

    @property
    def order(self) -> tuple[bool, int, str, int]:
        """Where it is written: in its module, in the parts that this names in turn, elsewhere."""
        try:
            value = inspect.unwrap(self.value)
            home, line = value.__module__, inspect.getsourcelines(value)[1]
        except (TypeError, OSError, AttributeError):
            return (False, 0, self.module, 0)
        said = importlib.import_module(self.module).__doc__ or ""
        part = said.find(f"\n    {home.rsplit('.', 1)[-1]} ")
        return (home != self.module, part if part >= 0 else len(said), home, line)


@functools.cache
def _comments(module: str) -> dict[str, str]:
    try:
        analyzer = ModuleAnalyzer.for_module(module)
    except Exception:  # a module without source
        return {}
    return {name: " ".join(text) for (_, name), text in analyzer.find_attr_docs().items()}


def _comment(module: str, name: str) -> str:
    """The comment of a value, in the module or in the one that it comes from."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    homes = [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and name in {a.name for a in node.names}
    ]
    for home in [module, *homes]:
        if found := _comments(home).get(name, "").strip():
            return found
    return ""


def modules(page: Page) -> list[str]:
    """The modules that a page shows."""
    return [module for _, module in ASKED.findall(page.text)]


def pages() -> list[Page]:
    """The overview, and the pages below it."""
    return [page for page in book_pages() if page.name == OVERVIEW or page.name.startswith(FOLDER)]


@functools.cache
def public() -> dict[str, list[Name]]:
    """The names of each module on the pages, as they are written; each object once."""
    shown: set[int] = set()
    found: dict[str, list[Name]] = {}
    for page in pages():
        for module in modules(page):
            own = []
            for name in names(module):
                if name.kind in ("class", "function") or isinstance(name.value, sp.Basic):
                    if id(name.value) in shown:
                        continue
                    shown.add(id(name.value))
                own.append(name)
            found[module] = own
    return found


def names(module: str) -> list[Name]:
    """What ``__all__`` lists, values after functions; of a module without it, its own functions."""
    home = importlib.import_module(module)
    listed = getattr(home, "__all__", None)
    if listed is None:
        listed = [n for n, v in vars(home).items() if inspect.isfunction(v) and n[0] != "_"]
    found = [Name(module, name) for name in listed]
    later = {"function": 0, "class": 0, "data": 1, "type": 2}
    return sorted(found, key=lambda n: (later[n.kind], n.order))


@functools.cache
def _places() -> dict[int, str]:
    """The full name that a page has of each class and function."""
    return {
        id(name.value): f"{name.module}.{name.name}"
        for listed in public().values()
        for name in listed
        if name.kind in ("class", "function")
    }


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # below what is no package
        return False


def place(target: str, home: str) -> str:
    """The full name under which the pages have what ``home`` calls ``target``; empty for none."""
    listed = public()
    if target in listed or target in {f"{n.module}.{n.name}" for ns in listed.values() for n in ns}:
        return target
    parts = target.split(".")
    if parts[0] == "ganlib":  # the longest part that is a module
        cut = next(n for n in range(len(parts) - 1, 0, -1) if _is_module(".".join(parts[:n])))
        home, parts = ".".join(parts[:cut]), parts[cut:]
    value = getattr(importlib.import_module(home), parts[0], None)
    found = _places().get(id(value), "")
    if not found or len(parts) == 1:
        return found
    # An attribute is no target: it stands in its class's own list.
    is_method = inspect.isclass(value) and parts[1:] == [parts[-1]] and parts[-1] in _members(value)
    return f"{found}.{parts[-1]}" if is_method else ""


def begin(module: str) -> str:
    """The lines after which the examples of a module run."""
    if module == "ganlib":
        return "import torch\nimport ganlib"
    return f"import torch\nfrom {module} import *"


def examples(page: Page) -> Iterator[tuple[str, str, str]]:
    """Every text with examples of a page: (module, where, text), what the page says itself last."""
    for module in modules(page):
        head = inspect.getdoc(importlib.import_module(module)) or ""
        texts = [("", head), *((name.name, name.said) for name in public()[module])]
        yield from ((module, where, text) for where, text in texts if ">>> " in text)
    if ">>> " in page.text:
        yield modules(page)[-1], page.name, re.sub(r"(?m)^```.*$", "", page.text)


def code(text: str) -> str:
    """The code of the examples in a text."""
    return "\n".join(e.source for e in doctest.DocTestParser().get_examples(text))


# --- a docstring in the house form, as reStructuredText ------------------------------------------


@functools.cache
def _chapters() -> dict[str, str]:
    return {page.name.rsplit("/", 1)[-1]: page.name for page in book_pages()}


def _inline(found: re.Match[str]) -> str:
    whole = found[0]
    if found[1]:
        chapter = _chapters().get(found[1])
        return f":doc:`/{chapter}`" if chapter else f"``{found[1]}``"
    if len(whole) > 1:
        return whole
    return f"\\{whole}"


def _prose(text: str) -> str:
    """Running text: chapters linked, signs of formulas kept from meaning anything."""
    pieces = re.split(r"(::\n(?:\n|[ \t]+[^\n]*(?:\n|$))+)", text)
    return "".join(
        piece if number % 2 else INLINE.sub(_inline, piece) for number, piece in enumerate(pieces)
    )


def _blocks(text: str) -> list[str]:
    return [block for block in re.split(r"\n{2,}(?=\S)", text.strip("\n")) if block]


def _is_entry(block: str) -> bool:
    """Whether it begins with a term whose explanation is indented below it."""
    lines = block.split("\n")
    return len(lines) > 1 and not lines[0].startswith(" ") and lines[1].startswith(" ")


def _entries(text: str) -> str:
    """A definition list: terms as code."""
    lines = [
        f"``{line.rstrip()}``" if line[:1].strip() else _prose(line) for line in text.split("\n")
    ]
    return "\n".join(lines)


def _examples(text: str) -> str:
    """Prompts and what they print as blocks of code, each up to the next empty line."""
    blocks = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        if block.startswith(">>> "):
            inner = "\n".join(f"   {line}" for line in block.split("\n"))
            blocks.append(f".. code-block:: pycon\n\n{inner}")
        else:
            blocks.append(_prose(block))
    return "\n\n".join(blocks)


def house(text: str) -> str:
    """A docstring in numpydoc's form as reStructuredText.

    Lists of terms become definition lists; a paragraph after one ("Derived in ...") belongs to
    what is said first; what is indented and no list keeps its columns.
    """
    lead, *rest = HEADER.split(text)
    shown, after = [], []
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        blocks = _blocks(body)
        if title in FIELDS:
            after += [block for block in blocks if not _is_entry(block)]
            body = "\n\n".join(_entries(block) for block in blocks if _is_entry(block))
        elif title == "Examples":
            body = _examples(body)
        else:
            body = "\n\n".join(
                _entries(block) if _is_entry(block) else _prose(block) for block in blocks
            )
        shown.append(f".. rubric:: {title}\n\n{body}")
    lead = re.sub(r"(?m)(?<=[^:\n])\n\n(?=    )", "\n\n::\n\n", lead)
    return "\n\n".join([_prose(block) for block in [lead.strip("\n"), *after]] + shown)


def rewrite(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [*house("\n".join(lines)).split("\n"), ""]


def signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, given: str, returns: str
) -> tuple[str, str] | None:
    """What a reader calls: no metaclass's arguments."""
    if what == "class" and issubclass(value, sp.Function):
        arguments = {1: "x", 2: "x, c", 3: "p, q, a"}
        return f"({arguments[next(iter(value.nargs))]})", ""
    if what == "class" and getattr(value, "_is_protocol", False):
        return "", ""
    if given and "<factory>" in given:  # a dataclass's; nothing that Python could read
        return given.replace("<factory>", "..."), returns
    return None


# --- the directive -------------------------------------------------------------------------------


def _members(value: type) -> list[str]:
    """The documented methods and properties that a class defines itself."""
    found = []
    for name, member in vars(value).items():
        inner = getattr(member, "fget", getattr(member, "__func__", member))
        if not name.startswith("_") and inspect.isfunction(inner) and inner.__doc__:
            found.append(name)
    return found


def rst(name: Name) -> str:
    """The directive of autodoc, or of the Python domain, that shows one name."""
    full = f"{name.module}.{name.name}"
    if name.kind == "function":
        return f".. autofunction:: {full}"
    if name.kind == "class":
        members = ", ".join(_members(name.value))
        return f".. autoclass:: {full}" + (f"\n   :members: {members}" if members else "")
    said = "\n".join(f"   {line}" for line in _prose(name.said).split("\n"))
    return f".. py:data:: {full}\n\n{said}"


class Api(SphinxDirective):
    """``{api} ganlib.losses``: the public names of a module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        self.env.note_dependency(str(ROOT / "tools" / "api.py"))
        if module not in public():
            raise self.error(f"{module} is on no page {FOLDER}...")
        head = f".. automodule:: {module}\n   :no-members:\n\n.. code-block:: python\n\n"
        head += "\n".join(f"   {line}" for line in begin(module).split("\n"))
        found = self.rst(head)
        values = []
        for name in public()[module]:
            if name.kind in ("class", "function"):
                content = self.rst(rst(name), getattr(name.value, "__module__", module))
                found.append(self.section(name.name, content))
            else:
                values.append(rst(name))
        if values:
            title = f"Values and types of {module}"
            found.append(self.section(title, self.rst("\n\n".join(values)), plain=True))
        return found

    def rst(self, text: str, home: str = "") -> list[nodes.Node]:
        """What reStructuredText says; a name that no page has is no link."""
        fence = "`" * 12
        found = self.parse_text_to_nodes(f"{fence}{{eval-rst}}\n{text}\n{fence}")
        whole = nodes.container("", *found)
        for link in list(whole.findall(addnodes.pending_xref)):
            if link.get("refdomain") == "py":
                target = place(link["reftarget"], home or self.arguments[0])
                if target:
                    link["reftarget"] = target
                    link.attributes.pop("refspecific", None)
                else:  # of two forms of a name the one that is no link
                    link.replace_self((find_pending_xref_condition(link, "*") or link).children)
        return list(whole.children)

    def section(self, title: str, content: list[nodes.Node], plain: bool = False) -> nodes.section:
        shown = nodes.Text(title) if plain else nodes.literal("", title)
        section = nodes.section("", nodes.title("", "", shown), *content, names=[title])
        self.state.document.note_implicit_target(section, section)
        return section


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("api", Api)
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
