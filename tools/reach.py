"""Which files of this project a piece of code can reach by imports, told without running it.

A chapter's outputs depend on the modules that its cells name and on those that these import, and
on no other: so a change of one module executes only the chapters that reach it. An import inside a
function counts, and so does the data of a package (the scripts of ``ganlib.lab``). Packages that
load their modules on first use, as ``ganlib`` does, are followed by the names that are asked of
them. Where the source does not tell (a package handed on as a value, ``importlib``, ``exec``,
a shell command), everything counts.

Of a module its code counts: no comment, no layout, and of documentation the first paragraph alone,
which :func:`ganlib.lab.interact` shows. Where a cell or a module that it reaches reads source or
documentation (``help``, ``__doc__``, ``inspect.getsource``), every character does.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

TOPS = ("ganlib", "exercises", "tools")  # folders from which code of this project is imported
EVERYTHING = "*"  # stands for all modules; "ganlib.lab.*" for that package's
DYNAMIC = {"__import__", "eval", "exec", "get_ipython", "import_module", "run_module", "run_path"}
PLAIN = {"__doc__", "__file__", "__name__", "__version__"}  # of a package: they load nothing
#: what shows a reader the text of a module, beyond what its code does
READERS = {
    "__doc__",
    "findsource",
    "getcomments",
    "getsource",
    "getsourcelines",
    "help",
    "linecache",
}
FIRST_PARAGRAPH = {"getdoc"}  # in ganlib: tests/test_reach.py holds it to that
MAIN = re.compile(r"-m\s+([\w.]+)")  # python -m


def _constants(node: ast.AST) -> set[str]:
    return {
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def _type_checking(node: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.unparse(node.test)


def _running(tree: ast.AST) -> Iterable[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING:``, which never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _type_checking(node):
            for other in node.orelse:
                yield other
                yield from _running(other)
        else:
            yield node
            yield from _running(node)


@functools.cache
def code_of(text: str) -> str:
    """What running a module depends on: its syntax tree, of documentation the first paragraphs.

    Text that is no Python stays as it is.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [_shortened(each) for each in node.body]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _shortened(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        said = node.value.value
        if isinstance(said, str):
            node.value.value = " ".join(inspect.cleandoc(said).split("\n\n")[0].split())
    return node


@dataclass
class Source:
    """One module, or the code of one page, as far as imports go."""

    text: str
    name: str = ""  # dotted; empty for a page
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def imports(self) -> list[tuple[str, str | None, str]]:
        """Every import as (module, name taken from it or None, name bound here)."""
        found: list[tuple[str, str | None, str]] = []
        for node in _running(self.tree):
            if isinstance(node, ast.Import):
                for a in node.names:
                    found.append((a.name, None, a.asname or a.name.split(".")[0]))
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = self.package.split(".")
                    above = above[: len(above) - node.level + 1]
                    base = ".".join([*above, base] if base else above)
                found += [(base, a.name, a.asname or a.name) for a in node.names]
        return found

    @cached_property
    def defined(self) -> set[str]:
        """Names that the top level defines without importing them."""
        names: set[str] = set()
        for node in self.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        return names

    def homes(self, name: str) -> set[str]:
        """The modules that a package's tables (module-level dictionaries) give for a lazy name."""
        found: set[str] = set()
        for table in ast.walk(self.tree):
            if isinstance(table, ast.Dict):
                for key, value in zip(table.keys, table.values, strict=True):
                    keys = _constants(key) if key else set()
                    if name in keys:
                        found |= _constants(value)
                    elif name in _constants(value):
                        found |= keys
        return {home if home.startswith(self.name) else f"{self.name}.{home}" for home in found}

    @cached_property
    def loads_by_name(self) -> bool:
        """Whether something is imported or run whose name the source does not show.

        A package's own ``__getattr__`` may: who asks it for a name is followed instead.
        """
        lazy = (
            node
            for node in self.tree.body
            if self.is_package and isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
        )
        excused = {id(inner) for node in lazy for inner in ast.walk(node)}
        for node in _running(self.tree):
            if id(node) in excused:
                continue
            if isinstance(node, ast.Name) and node.id in DYNAMIC:
                return True
            if isinstance(node, ast.Attribute):
                if node.attr in DYNAMIC - {"eval", "exec"}:  # a network has an eval too
                    return True
                if node.attr == "modules" and ast.unparse(node.value) == "sys":
                    return True
        return False

    @cached_property
    def words(self) -> set[str]:
        """Every name and attribute that is used or imported."""
        imported = {part for base, name, _ in self.imports for part in (base, name) if part}
        return imported | {word for chain in self.chains for word in chain}

    @cached_property
    def programs(self) -> set[str]:
        """Modules that are run by ``python -m``, as one text or as arguments in a row."""
        found = {name for text in _constants(self.tree) for name in MAIN.findall(text)}
        for node in _running(self.tree):
            row = getattr(node, "elts", None) or getattr(node, "args", None)
            if isinstance(row, list):
                texts = [getattr(item, "value", None) for item in row]
                found |= {str(b) for a, b in pairwise(texts) if a == "-m"}
        return found

    @cached_property
    def chains(self) -> list[list[str]]:
        """Every use of a name: ``lab.figure.Curve`` as ["lab", "figure", "Curve"]."""
        inside: set[int] = set()
        found: list[list[str]] = []
        for node in _running(self.tree):
            if id(node) in inside or not isinstance(node, (ast.Attribute, ast.Name)):
                continue
            names: list[str] = []
            inner: ast.AST = node
            while isinstance(inner, ast.Attribute):
                names.append(inner.attr)
                inner = inner.value
                inside.add(id(inner))
            if isinstance(inner, ast.Name):
                found.append([inner.id, *reversed(names)])
        return found


@dataclass
class Project:
    """The modules below a root, and what each piece of code reaches among them."""

    root: Path
    modules: dict[str, Path] = field(default_factory=dict)  # dotted name -> file
    packages: dict[str, Path] = field(default_factory=dict)  # dotted name -> folder
    sources: dict[str, Source] = field(default_factory=dict)
    _bound: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    _named: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for top in TOPS:
            if (self.root / top).is_dir():
                self.packages[top] = self.root / top
            for path in sorted((self.root / top).rglob("*.py")):
                parts = path.relative_to(self.root).with_suffix("").parts
                is_package = parts[-1] == "__init__"
                name = ".".join(parts[:-1] if is_package else parts)
                self.modules[name] = path
                if is_package:
                    self.packages[name] = path.parent
                text = path.read_text(encoding="utf-8")
                self.sources[name] = Source(text, name, is_package)

    def within(self, pattern: str) -> set[str]:
        """The modules that a name or a pattern such as ``ganlib.lab.*`` stands for."""
        if pattern == EVERYTHING:
            return set(self.modules)
        base = pattern.removesuffix(".*")
        if base == pattern:
            return {pattern} & set(self.modules)
        return {name for name in self.modules if name == base or name.startswith(f"{base}.")}

    def _module(self, name: str) -> set[str]:
        """A module and the packages above it; all of its top where there is none of that name."""
        if name not in self.modules and name not in self.packages:
            return {f"{name.split('.')[0]}.*"}
        parts = name.split(".")
        return {".".join(parts[: n + 1]) for n in range(len(parts))}

    def _taken(self, base: str, name: str) -> set[str]:
        """What ``from base import name`` reaches."""
        if name == "*":
            return {*self._module(base), f"{base}.*" if base in self.packages else base}
        handed = (
            self._bindings(self.sources[base]).get(name, set()) if base in self.sources else set()
        )
        inner = f"{base}.{name}"
        if inner in self.modules or inner in self.packages:
            handed = {inner}
        if handed:  # a module: what is asked of it is followed where it is used
            return self._module(base).union(*(self._module(target) for target in handed))
        return self._follow(base, [name])

    def _bindings(self, source: Source) -> dict[str, set[str]]:
        """Which names of a source stand for modules of this project."""
        if source.name in self._bound:
            return self._bound[source.name]
        bound: dict[str, set[str]] = {}
        if source.name:
            self._bound[source.name] = bound  # filled below; modules may import one another
        for base, name, here in source.imports:
            if base.split(".")[0] not in self.packages:
                continue
            if name is None:
                target = base if here != base.split(".")[0] else here
            else:
                target = f"{base}.{name}"
                if target not in self.modules and target not in self.packages:
                    target = ""
                    if base in self.sources:  # a module handed on by another one
                        bound.setdefault(here, set()).update(
                            self._bindings(self.sources[base]).get(name, set())
                        )
            if target:
                bound.setdefault(here, set()).add(target)
        return bound

    def _follow(self, module: str, names: list[str]) -> set[str]:
        """What the attribute chain ``module.name.name`` reaches; a bare package, all of it."""
        found = self._module(module)
        is_package = module in self.packages
        if not names:
            return {*found, f"{module}.*"} if is_package else found
        head, *rest = names
        inner = f"{module}.{head}"
        if is_package and (inner in self.modules or inner in self.packages):
            return found | self._follow(inner, rest)
        source = self.sources.get(module)
        if source is None:
            return {*found, f"{module}.*"}
        bound = self._bindings(source).get(head)
        if bound:
            return found.union(*(self._follow(target, rest) for target in bound))
        if not is_package or head in source.defined | PLAIN:
            return found
        if any(here == head for _, _, here in source.imports):
            return found
        homes = source.homes(head)
        if homes and all(home in self.modules for home in homes):
            return found.union(*(self._module(home) for home in homes))
        return {*found, f"{module}.*"}

    def named(self, source: Source) -> set[str]:
        """The modules that a source names itself, as names and patterns."""
        if source.loads_by_name:
            return {EVERYTHING}
        found: set[str] = set()
        for base, name, _ in source.imports:
            if base.split(".")[0] in self.packages:
                found |= self._module(base) if name is None else self._taken(base, name)
        bound = self._bindings(source)
        for name, *rest in source.chains:
            for target in bound.get(name, ()):
                found |= self._follow(target, rest)
        for program in source.programs:
            top = program.split(".")[0]
            if top in self.packages:
                main = f"{program}.__main__" if program in self.packages else program
                found |= self._module(main)
        for text in _constants(source.tree) & set(self.modules):
            if "." in text:  # named for a later import, as for sys.modules
                found |= self._module(text)
        return found

    def reached(self, texts: Iterable[str]) -> list[Path]:
        """The files that code in these cells can reach, sorted; all of them where it is unclear."""
        try:
            code = "\n".join(TransformerManager().transform_cell(text) for text in texts)
            waiting = self.named(Source(code))
        except SyntaxError:
            waiting = {EVERYTHING}
        seen: set[str] = set()
        while waiting:
            for name in self.within(waiting.pop()) - seen:
                seen.add(name)
                if name not in self._named:
                    self._named[name] = self.named(self.sources[name])
                waiting |= self._named[name]
        files = {self.modules[name] for name in seen}
        for name in seen & set(self.packages):
            files |= self.data(name)
        return sorted(files)

    def read_as_text(self, texts: Iterable[str], files: Iterable[Path]) -> bool:
        """Whether cells, or the modules that they reach, read source or documentation."""
        try:
            cells = Source("\n".join(TransformerManager().transform_cell(text) for text in texts))
            if cells.words & (READERS | FIRST_PARAGRAPH):
                return True
        except SyntaxError:
            return True
        reached = set(files)
        return any(
            source.words & READERS
            for name, source in self.sources.items()
            if name.startswith("ganlib.") and self.modules[name] in reached
        )

    def data(self, package: str) -> set[Path]:
        """A package's files that are no modules; a top package leaves those of the ones below."""
        below = {path for name, path in self.packages.items() if name.startswith(f"{package}.")}
        return {
            path
            for path in self.packages[package].rglob("*")
            if path.is_file()
            and path.suffix not in (".py", ".pyc")
            and ("." in package or not below & set(path.parents))
        }
