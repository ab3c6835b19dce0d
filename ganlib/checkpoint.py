"""A run on disk: written whole or not at all, and refused where it belongs to another run.

A file holds plain data alone (tensors, numbers, strings, lists, dictionaries), so reading one
runs no code. It is written beside its name, flushed, then renamed: a half-written file never has
the name, and the one before stays whole when a disk is full. Two runs on one file are told so.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import glob
import hashlib
import itertools
import os
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

__all__ = ["Checkpoint", "described", "detached", "digest", "plain", "unplain"]

_FORMAT = "ganlib.training.fit 2"


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path
        Where it is, or will be.
    settings
        What has to be the same when the run goes on: names and values of plain data.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.pt"
    >>> Checkpoint(path, {"seed": 0}).save({"weight": torch.ones(2)})
    >>> Checkpoint(path, {"seed": 0}).load()["weight"]
    tensor([1., 1.])
    >>> Checkpoint(path, {"seed": 1}).load()
    Traceback (most recent call last):
        ...
    ValueError: ...
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path).absolute()  # wherever `watch` goes
        self.settings = {name: plain(value, name) for name, value in settings.items()}
        if self.path.is_dir():
            raise ValueError(f"{self.path} is a folder; name a file in it, such as run.pt")
        for left in self.path.parent.glob(f"{glob.escape(self.path.name)}.*.partial"):
            if not _alive(left.name.split(".")[-2]):
                left.unlink(missing_ok=True)  # of a run that was killed while it wrote
        try:  # now, not after hours of training
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.touch()
            self._partial.unlink()
        except OSError as error:
            raise OSError(
                f"no file can be written in {self.path.parent} ({error}); name a file in another "
                "folder"
            ) from error
        self._found = self._seen()

    @property
    def _partial(self) -> Path:
        return self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")

    def exists(self) -> bool:
        """Whether there is a file to go on from."""
        return self.path.exists()

    def save(self, content: Mapping[str, Any]) -> None:
        """Write ``content``: tensors and plain data, by name.

        Raises
        ------
        OSError
            If it cannot be written; the file of before is as it was.
        RuntimeError
            If another run has written the file since this one did.
        """
        if self._seen() != self._found:
            raise RuntimeError(
                f"{self.path} was written by another run while this one trained; give each run a "
                "file of its own. This run's last state was not saved"
            )
        partial = self._partial
        try:
            with partial.open("wb") as file:
                torch.save({"format": _FORMAT, "settings": self.settings, **content}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OSError(
                f"{self.path} could not be written ({str(error).splitlines()[0]}); free some space "
                "or name a file in another folder. What stood there before is whole"
            ) from error
        self._found = self._seen()

    def load(self) -> dict[str, Any]:
        """What was saved.

        Raises
        ------
        ValueError
            If the file is no checkpoint of a fit, or was written by a run with other settings:
            the message names the first one that differs.
        """
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{self.path} is not a checkpoint of fit, or is damaged "
                f"({type(error).__name__}); name another file"
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(
                f"{self.path} is a torch file, but not a checkpoint of this version's fit; name "
                "another file"
            )
        theirs = content["settings"]
        for name, value in self.settings.items():
            if theirs.get(name) != value:
                other, mine = _where_they_differ(theirs.get(name), value)
                raise ValueError(
                    f"{self.path} was written by a run with {name} = {other}, this run has {mine}; "
                    "use the same to go on with it, or name another file"
                )
        self._found = self._seen()
        return content

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def _where_they_differ(theirs: Any, mine: Any) -> tuple[Any, Any]:
    """Two values, or of two networks the first lines that are not the same."""
    if not (isinstance(theirs, str) and isinstance(mine, str) and "\n" in theirs + mine):
        return theirs, mine
    pairs = itertools.zip_longest(theirs.splitlines(), mine.splitlines(), fillvalue="nothing")
    return next((a.strip(), b.strip()) for a, b in pairs if a != b)


def _alive(process: str) -> bool:
    if not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# --- what can be saved ---------------------------------------------------------------------------


def detached(value: Any) -> Any:
    """A watched value as it is now: tensors and arrays copied, containers too.

    Examples
    --------
    >>> weight = torch.ones(2)
    >>> kept = detached({"weight": weight})
    >>> weight.zero_()
    tensor([0., 0.])
    >>> kept["weight"]
    tensor([1., 1.])
    """

    def copied(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.detach().clone()
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf

    return tree_map(copied, value)


def plain(value: Any, name: str) -> Any:
    """A value as plain data that :func:`unplain` turns back: what a checkpoint can hold.

    Raises
    ------
    TypeError
        For anything but numbers, strings, None, tensors, NumPy arrays and numbers, and lists,
        tuples, named tuples and dictionaries of those.

    Examples
    --------
    >>> plain({"steps": 3}, "settings")
    {'mapping': [['steps', 3]]}
    >>> plain(print, "watch")
    Traceback (most recent call last):
        ...
    TypeError: ...
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        # First: NumPy's float64 is a float, and yet not plain; its longdouble is no float at all.
        return value.item() if type(value.item()) in (bool, int, float) else float(value)
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor)
    kinds: tuple[type, ...] = (bool, int, float, str)
    for exactly in kinds:  # an enumeration's members are numbers too
        if isinstance(value, exactly):
            return exactly(value)
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"numpy": torch.from_numpy(value.copy())}
    if isinstance(value, Mapping):
        return {"mapping": [[plain(k, name), plain(v, name)] for k, v in value.items()]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = {field: plain(v, name) for field, v in zip(value._fields, value, strict=True)}
        return {"named": type(value).__name__, "fields": fields}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [plain(v, name) for v in value]}
    raise TypeError(
        f"watch returned a {type(value).__name__} as {name!r}, which no checkpoint can hold; "
        "return numbers, strings, tensors or arrays, or tuples, lists and dictionaries of them"
    )


def unplain(value: Any) -> Any:
    """The inverse of :func:`plain`; a named tuple comes back with its name and fields.

    Examples
    --------
    >>> unplain(plain((1, [2.0, "three"]), "a pair"))
    (1, [2.0, 'three'])
    """
    if not isinstance(value, dict):
        return value
    if "numpy" in value:
        return value["numpy"].numpy()
    if "mapping" in value:
        return {unplain(k): unplain(v) for k, v in value["mapping"]}
    if "named" in value:
        fields = {field: unplain(v) for field, v in value["fields"].items()}
        return collections.namedtuple(value["named"], fields)(**fields)  # type: ignore[misc]
    return [unplain(v) for v in value["list"]] if "list" in value else tuple(
        unplain(v) for v in value["tuple"]
    )  # fmt: skip


# --- what has to be the same ---------------------------------------------------------------------


def digest(values: Any) -> str:
    """Sixteen hexadecimal digits that tell tensors, or trees of them, apart.

    Examples
    --------
    >>> ones = digest(torch.ones(2))
    >>> ones == digest(torch.ones(2)), ones == digest(torch.zeros(2))
    (True, False)
    """
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous()
            found.update(f"{array.dtype}{tuple(array.shape)}".encode())
            found.update(array.flatten().view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(value).encode())

    tree_map(add, values)
    return found.hexdigest()[:16]


def described(value: Any, depth: int = 4) -> str:
    """A function, a network, or plain data as a string that is the same in the next process.

    A function is its name and code, its defaults, the plain globals it names, and what it closes
    over: two lambdas that weight one penalty by 1 and by 10 are told apart. Integers that a
    ``def`` of your own closes over do not count: it may be counting its calls. A network is its
    layers and their plain attributes; an object of another kind is what it holds.

    Examples
    --------
    >>> from ganlib.networks import mlp
    >>> described(mlp(2, 8, 1)) == described(mlp(2, 8, 1, seed=1))
    True
    >>> described(mlp(2, 8, 1)) == described(mlp(2, 16, 1))
    False
    """
    if isinstance(value, Tensor):
        return f"tensor {digest(value)}"
    if isinstance(value, functools.partial):
        inner = described(value.func, depth)
        return f"partial({inner}, {described(value.args, depth)}, {described(value.keywords)})"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return f"[{', '.join(described(v, depth) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {described(v, depth)}' for k, v in value.items())}}}"
    if isinstance(value, types.MethodType):
        return f"{described(value.__func__, depth)} of {described(value.__self__, depth)}"
    if isinstance(value, types.FunctionType):
        return _function(value, depth)
    bare = repr(value)
    if isinstance(value, nn.Module):
        return "\n".join([_ADDRESS.sub("", bare), *_attributes(value)])
    if depth and _ADDRESS.search(bare):
        held = getattr(value, "__dict__", {})
        return f"{type(value).__qualname__}({described(held, depth - 1)})"
    return _ADDRESS.sub("", bare)


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_PLAIN = (bool, int, float, str, bytes, type(None))


def _attributes(module: nn.Module) -> list[str]:
    return [
        f"{name}.{key} = {value!r}".lstrip(".")
        for name, layer in module.named_modules()
        for key, value in vars(layer).items()
        if isinstance(value, _PLAIN) and key != "training" and not key.startswith("_")
    ]


def _function(function: types.FunctionType, depth: int) -> str:
    name = f"{function.__module__}.{function.__qualname__}"
    if depth == 0:
        return name
    own = not function.__module__.startswith("ganlib.") and function.__name__ != "<lambda>"
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    if own:
        held = [c for c in held if isinstance(c, float) or not isinstance(c, _PLAIN)]
    named = {
        key: function.__globals__[key]
        for key in sorted(_names(function.__code__))
        if isinstance(function.__globals__.get(key, function), _PLAIN)
    }
    parts = [
        _code(function.__code__),
        *(described(c, depth - 1) for c in held if not isinstance(c, nn.Module)),
        *(described(d, depth - 1) for d in (function.__defaults__, function.__kwdefaults__) if d),
        *(f"{key} = {value!r}" for key, value in named.items()),
    ]
    return f"{name}({', '.join(parts)})"


def _code(code: types.CodeType) -> str:
    """Constants and names for a reader, and a digest of all that the code does."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    constants = [repr(c) for c in code.co_consts if not isinstance(c, types.CodeType)]
    does = digest([code.co_code, code.co_varnames, code.co_freevars, constants])
    return ", ".join([*code.co_names, *constants, f"code {does}", *map(_code, inner)])


def _names(code: types.CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))
