"""What tells one row from another: its key, and all that goes into it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import platform
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ganlib
from ganlib.checkpoint import described, digest

__all__ = ["as_json", "digits", "facts", "key", "plainly", "processor", "versions"]

#: What of ganlib a row depends on: where one of these files changes, rows are computed again.
#: A list, since the digits of every table there is hang on it; a test holds it against imports.
_MATTERS = (
    "batches.py", "checks.py", "data.py", "divergences.py", "draws.py", "fdivergence.py",
    "files.py", "flows.py", "formulas.py", "game.py", "losses.py", "networks/*.py", "noise.py",
    "numerics.py", "optimisers.py", "options.py", "pairs.py", "penalties.py", "run.py", "step.py",
    "training.py", "studies/*.py", "lab/flat.py", "lab/native.py", "lab/runtime.c",
    "lab/runtime.py", "lab/compiler/*.py",
)  # fmt: skip


def versions(make: Callable[..., Any], measure: Callable[..., Any], engine: str) -> dict[str, str]:
    try:
        zig = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        zig = "none"
    return {
        "make": named(make), "measure": named(measure), "engine": engine, "ganlib": _own_code(),
        "torch": torch.__version__, "ziglang": zig, "python": platform.python_version(),
        "machine": processor(),
    }  # fmt: skip


def processor() -> str:
    """What decides the last bits of torch's kernels, and of a fast build."""
    return f"{sys.platform} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def _own_code() -> str:
    root = Path(ganlib.__file__).parent
    files = [path for pattern in _MATTERS for path in sorted(root.glob(pattern))]
    return digits("\0".join(path.read_text(encoding="utf-8") for path in files))


def key(setting: Mapping[str, Any], seed: int, steps: int, versions: Mapping[str, str]) -> str:
    return digits(as_json([plainly(setting), seed, steps, versions]))


def plainly(setting: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as JSON can hold it: what is neither number nor word is :func:`named`."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else named(value)

    return {name: plain(setting[name]) for name in sorted(setting)}


def named(value: Any) -> str:
    """A function or an object by name, with digits that change with its :func:`facts`."""
    name = getattr(value, "__qualname__", getattr(value, "name", type(value).__name__))
    return f"{name} {digits(repr(facts(value)))}"


def facts(value: Any, seen: frozenset[int] = frozenset()) -> Any:
    """What a value is, down to numbers and words, and the same in the next process.

    A function is its code, its defaults, what it closes over, and of the globals that it names
    the numbers, words, tensors, and functions of its own module. Lists and dicts outside it may be
    counting its calls, and do not count.
    """
    if id(value) in seen:
        return "itself"
    seen = seen | {id(value)} if not isinstance(value, _PLAIN) else seen
    if isinstance(value, Tensor):
        return digest(value)
    if isinstance(value, nn.Module):
        return [described(value), digest(list(value.state_dict().values()))]
    if isinstance(value, (list, tuple)):
        return [facts(v, seen) for v in value]
    if isinstance(value, dict):
        return [[str(name), facts(v, seen)] for name, v in sorted(value.items(), key=str)]
    if isinstance(value, functools.partial):
        return facts([value.func, value.args, value.keywords], seen)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return [type(value).__qualname__, facts(own, seen)]
    if not isinstance(value, types.FunctionType):
        return value if isinstance(value, _PLAIN) else described(value)
    around = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
    around += [
        found
        for name in sorted(_names(value.__code__))
        if not _foreign(found := value.__globals__.get(name), value.__module__)
    ]
    kept = [v for v in around if not isinstance(v, (list, dict))]
    given = [value.__defaults__, value.__kwdefaults__]
    return [value.__qualname__, _bytes(value.__code__), facts([*given, *kept], seen)]


_PLAIN = (bool, int, float, str, bytes, type(None))


def _foreign(value: Any, module: str) -> bool:
    own = (*_PLAIN, tuple, Tensor, functools.partial)
    return not (
        isinstance(value, own)
        or (isinstance(value, types.FunctionType) and value.__module__ == module)
    )


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where a name has no value yet
    except ValueError:
        return False
    return True


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*inner)


def _bytes(code: types.CodeType) -> list[Any]:
    # The order of a set of words is chance.
    constants = [
        _bytes(c) if isinstance(c, types.CodeType)
        else sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c)
        for c in code.co_consts
    ]  # fmt: skip
    return [code.co_code, code.co_names, constants]


def digits(text: str) -> str:
    """Sixteen hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def as_json(value: Any) -> str:
    """One line of JSON, the same for the same value."""
    return json.dumps(value, sort_keys=True)
