"""Frames and values: what crosses between the grader and a student's process.

A frame is ``b"GAN1"``, the length of the JSON part, the length of the raw part (both unsigned 32
bit, little endian), the JSON, and the bytes of the tensors one after the other. No pickle, no
code: what comes from the other side is measured before it is parsed, and checked field by field.

Values: ``None``, ``bool``, ``int``, ``float``, ``complex``, ``str``, ``list``, ``tuple``,
``dict``, strided CPU tensors of the types in :data:`SIZES`, NumPy arrays and scalars
(:class:`Array`), SymPy expressions (:class:`Tree`), generators as their seed (:class:`Seed`),
objects that stay where they are (:class:`Handle`). Of anything else the name of its type crosses
(:class:`Opaque`).
"""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import torch

MAGIC = b"GAN1"
HEAD = struct.Struct("<4sII")
MAX_JSON = 2_000_000  # bytes
MAX_RAW = 64_000_000  # bytes
MAX_DEPTH = 60  # open brackets
MAX_PARTS = 200_000  # values in a frame
MAX_TEXT = 100_000  # characters of one string
MAX_BITS = 1000  # of an integer: as a float it is finite
MAX_NODES, MAX_LEAF = 3000, 400  # of an expression; characters of a name or number in it
MAX_TREE_DEPTH = 50
#: Bytes of an element of each type that crosses.
SIZES = {
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}
# Possessive, and an open quotation reaches to the end: linear for every text.
QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
BRACKET = re.compile(rb"[\[\]{}]")


class Bad(Exception):
    """What came is no frame, or holds no value."""


class Gone(Exception):
    """The other side has closed the connection."""


class Late(Exception):
    """Nothing complete came within the time."""


class Fat(Exception):
    """The other side used more memory or processes than it may."""


# --------------------------------------------------------------------------------------------
# Frames
# --------------------------------------------------------------------------------------------


def pack(message: dict[str, Any], raw: bytes = b"") -> bytes:
    """The bytes of one frame.

    Raises
    ------
    Bad
        If the message is larger than a frame may be, or holds what JSON has no word for.
    """
    try:
        text = json.dumps(message, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Bad(f"no JSON: {type(error).__name__}") from None
    if len(text) > MAX_JSON or len(raw) > MAX_RAW:
        raise Bad(
            f"{len(text)} bytes of JSON, {len(raw)} of tensors; "
            f"a frame holds {MAX_JSON} and {MAX_RAW}"
        )
    return HEAD.pack(MAGIC, len(text), len(raw)) + text + raw


def send(
    connection: socket.socket, message: dict[str, Any], raw: bytes = b"", deadline: float = math.inf
) -> None:
    """Send one frame before ``deadline`` (of ``time.monotonic``); see :func:`pack`."""
    data = pack(message, raw)
    try:
        connection.settimeout(_left(deadline))
        connection.sendall(data)
    except TimeoutError:
        raise Late from None
    except OSError:
        raise Gone from None


def receive(connection: socket.socket, deadline: float = math.inf) -> tuple[dict[str, Any], bytes]:
    """The next frame, complete before ``deadline`` (of ``time.monotonic``): message, raw bytes.

    Raises
    ------
    Bad, Gone, Late
        If it is no frame, the other side has ended, or the time is over.
    """
    magic, json_size, raw_size = HEAD.unpack(_exactly(connection, HEAD.size, deadline))
    if magic != MAGIC or json_size > MAX_JSON or raw_size > MAX_RAW:
        raise Bad("no frame")
    text = _exactly(connection, json_size, deadline)
    raw = _exactly(connection, raw_size, deadline)
    return parse(text), raw


def parse(text: bytes) -> dict[str, Any]:
    """The JSON object in ``text``; :class:`Bad` if it is none, or nested too deeply."""
    if depth(text) > MAX_DEPTH:
        raise Bad("nested too deeply")
    try:
        message = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Bad("no JSON") from None
    if not isinstance(message, dict):
        raise Bad("no object")
    return message


def depth(text: bytes) -> int:
    """How many brackets are open at once in a JSON text, strings aside; nothing is parsed."""
    now = deepest = 0
    for bracket in BRACKET.finditer(QUOTED.sub(b"", text)):
        now += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def _refuse(word: str) -> None:
    raise Bad(f"{word} in JSON")


def _left(deadline: float) -> float | None:
    if deadline == math.inf:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late
    return left


def _exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    got = bytearray()
    while len(got) < size:
        try:
            connection.settimeout(_left(deadline))
            part = connection.recv(min(size - len(got), 1 << 20))
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Gone from None
        if not part:
            raise Gone
        got += part
    return bytes(got)


# --------------------------------------------------------------------------------------------
# Values
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opaque:
    """Something that does not cross: the name of its type is known."""

    kind: str


@dataclass(frozen=True)
class Handle:
    """An object that stays in the student's process ``process``, under the number ``number``."""

    number: int
    kind: str = "object"
    process: int = 0


@dataclass(frozen=True)
class Tree:
    """A SymPy expression as nested lists ``[head, part, ...]``; names and numbers are strings."""

    tree: list[Any]
    kind: str = "SymPy expression"


@dataclass(frozen=True)
class Array:
    """A NumPy array or scalar; its values as a tensor."""

    tensor: torch.Tensor
    kind: str = "NumPy array"


@dataclass(frozen=True)
class Seed:
    """A ``torch.Generator`` with this seed: the student's process makes its own."""

    seed: int

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def clean(text: object, length: int = MAX_TEXT) -> str:
    """``text`` cut to ``length`` characters, all of which UTF-8 can write."""
    return str(text)[:length].encode("utf-8", "replace").decode("utf-8")


def encode(value: Any, raw: bytearray, keep: list[Any] | None = None) -> Any:
    """``value`` as JSON; the bytes of tensors are appended to ``raw``.

    Objects that do not cross are appended to ``keep`` and become a handle; without it, opaque.
    """
    if value is None or type(value) is bool:
        return value
    if isinstance(value, Seed):
        return {"g": value.seed}
    if isinstance(value, Handle):
        return {"h": value.number}
    if isinstance(value, Tree):
        return {"x": value.tree}
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        try:
            return {"n": encode(torch.as_tensor(value), raw)}
        except (TypeError, ValueError):
            return {"o": "NumPy array"}
    if isinstance(value, int) and value.bit_length() <= MAX_BITS:
        return {"i": f"{int(value):x}"}
    if isinstance(value, float):
        return {"f": float(value).hex()}
    if isinstance(value, complex):
        return {"c": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, str):
        return {"s": clean(value)}
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, raw)
    if isinstance(value, list | tuple) and len(value) <= MAX_PARTS:
        return {"l" if isinstance(value, list) else "u": [encode(v, raw, keep) for v in value]}
    if isinstance(value, dict) and len(value) <= MAX_PARTS:
        pairs = [(k if isinstance(k, str | int) else str(k), v) for k, v in value.items()]
        return {"d": [[encode(k, raw), encode(v, raw, keep)] for k, v in pairs]}
    if type(value).__module__.split(".")[0] == "sympy":
        return _encode_sympy(value, raw)
    if keep is not None:
        keep.append(value)
        return {"h": len(keep) - 1, "type": type(value).__name__[:60]}
    return {"o": type(value).__name__[:60]}


def _encode_tensor(value: torch.Tensor, raw: bytearray) -> dict[str, Any]:
    name = str(value.dtype).removeprefix("torch.")
    size = value.numel() * SIZES.get(name, 0)
    if name not in SIZES or value.layout != torch.strided or value.device.type == "meta":
        return {"o": f"Tensor ({name})"}
    if len(raw) + size > MAX_RAW:
        return {"o": "Tensor (too large)"}
    plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if size:
        raw += plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return {"t": [name, list(plain.shape)]}


def _encode_sympy(value: Any, raw: bytearray) -> dict[str, Any]:
    if hasattr(value, "tolist"):  # a matrix
        return {"l": [encode(row, raw) for row in value.tolist()]}
    import sympy

    if isinstance(value, sympy.Tuple) and len(value) <= MAX_PARTS:
        return {"u": [encode(part, raw) for part in value]}
    if isinstance(value, sympy.Poly):
        value = value.as_expr()
    if isinstance(value, sympy.Basic) and value.has(sympy.Derivative, sympy.Integral, sympy.Sum):
        value = value.doit()
    return {"x": tree_of(value)}


def tree_of(expression: Any) -> list[Any]:
    """A SymPy object as nested lists of names and numbers.

    Raises
    ------
    ValueError
        If it has more than :data:`MAX_NODES` parts or is nested beyond :data:`MAX_TREE_DEPTH`.
    """
    import sympy

    left = MAX_NODES

    def walk(e: Any, deep: int) -> list[Any]:
        nonlocal left
        left -= 1
        if left < 0 or deep >= MAX_TREE_DEPTH:
            raise ValueError(f"the expression has more than {MAX_NODES} parts; simplify it")
        if isinstance(e, sympy.Symbol):
            return ["Symbol", clean(e.name, 40)]
        if isinstance(e, sympy.Integer):
            return ["Integer", _digits(e.p)]
        if isinstance(e, sympy.Rational):
            return ["Rational", _digits(e.p), _digits(e.q)]
        if isinstance(e, sympy.Float):
            return ["Float", str(e)[:60]]
        parts = [walk(part, deep + 1) for part in getattr(e, "args", ())]
        return [clean(type(e).__name__, 40), *parts]

    return walk(expression, 0)


def _digits(number: int) -> str:
    if abs(number) >= 10**MAX_LEAF:
        raise ValueError(f"the expression holds a number of more than {MAX_LEAF} digits")
    return str(int(number))


class Reader:
    """Reads the values of one frame; what it gives out is never larger than the frame allows."""

    def __init__(self, raw: bytes, kept: list[Any] | None = None, process: int = 0) -> None:
        """``kept``: the objects that handles stand for, in the student's process alone."""
        self.raw, self.at, self.parts = raw, 0, 0
        self.kept, self.process = kept, process

    def value(self, encoded: Any) -> Any:
        """The value that :func:`encode` wrote as ``encoded``; :class:`Bad` if it wrote none."""
        try:
            return self._value(encoded)
        except Bad:
            raise
        except Exception as error:  # whatever is wrong with it: it is no value
            raise Bad(f"no value ({type(error).__name__})") from None

    def _value(self, encoded: Any) -> Any:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise Bad("too many values")
        if encoded is None or isinstance(encoded, bool):
            return encoded
        (kind, content), *more = encoded.items()
        if more and kind != "h":
            raise Bad("no value")
        if kind == "i":
            number = int(_text(content, MAX_BITS), 16)
            if number.bit_length() > MAX_BITS:
                raise Bad("integer")
            return number
        if kind == "f":
            return float.fromhex(_text(content, 60))
        if kind == "c":
            real, imaginary = content
            return complex(float.fromhex(_text(real, 60)), float.fromhex(_text(imaginary, 60)))
        if kind == "s":
            return clean(_text(content, MAX_TEXT))
        if kind == "t":
            return self._tensor(*content)
        if kind == "l":
            return [self._value(part) for part in _list(content)]
        if kind == "u":
            return tuple(self._value(part) for part in _list(content))
        if kind == "d":
            return {self._key(key): self._value(part) for key, part in _list(content)}
        if kind == "n":
            tensor = self._value(content)
            return Array(tensor) if isinstance(tensor, torch.Tensor) else Opaque("NumPy array")
        if kind == "x":
            return Tree(_checked_tree(content))
        if kind == "g" and self.kept is not None:
            return torch.Generator().manual_seed(content)
        if kind == "h" and type(content) is int and 0 <= content < 2**31:
            if self.kept is not None:
                return self.kept[content]
            return Handle(content, clean(encoded.get("type"), 60), self.process)
        if kind == "o":
            return Opaque(clean(_text(content, 100)))
        raise Bad("no value")

    def _key(self, encoded: Any) -> str | int:
        key = self._value(encoded)
        if not isinstance(key, str | int):
            raise Bad("key")
        return key

    def _tensor(self, name: str, shape: list[int]) -> torch.Tensor:
        if len(_list(shape)) > 8 or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
            raise Bad("shape")
        size = math.prod(shape) * SIZES[name]
        data = bytearray(self.raw[self.at : self.at + size])
        if len(data) != size:
            raise Bad("tensor beyond the frame")
        self.at += size
        dtype = getattr(torch, name)
        if not size:
            return torch.empty(shape, dtype=dtype)
        flat = torch.frombuffer(data, dtype=torch.uint8)
        # A bool is 0 or 1; other bytes compare in strange ways.
        return (flat != 0 if name == "bool" else flat.view(dtype)).reshape(shape).clone()


def _text(content: Any, length: int) -> str:
    if not isinstance(content, str) or len(content) > length:
        raise Bad("text")
    return content


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise Bad("list")
    return content


#: Expressions whose parts are text: name -> how many.
LEAVES = {"Symbol": 1, "Integer": 1, "Float": 1, "Rational": 2}


def _checked_tree(tree: Any) -> list[Any]:
    left = MAX_NODES

    def walk(node: Any, deep: int) -> list[Any]:
        nonlocal left
        left -= 1
        if left < 0 or deep >= MAX_TREE_DEPTH or not _list(node):
            raise Bad("expression")
        head, *parts = node
        head = clean(_text(head, 60))
        if head in LEAVES:
            if len(parts) != LEAVES[head]:
                raise Bad("expression")
            return [head, *(clean(_text(part, MAX_LEAF)) for part in parts)]
        return [head, *(walk(part, deep + 1) for part in parts)]

    return walk(tree, 0)
