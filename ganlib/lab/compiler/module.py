"""What compiling returns: the bytes of a module, and the buffers of its functions."""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Buffer:
    """Where a tensor lives in the module: the argument of its ``address`` export, and its form."""

    index: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Bytes that it takes in memory."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Signature:
    """The buffers that one compiled function reads and writes, by name."""

    inputs: dict[str, Buffer]
    outputs: dict[str, Buffer]


@dataclass(frozen=True)
class Module:
    """A compiled module and all that a caller must know of it.

    Attributes
    ----------
    wasm
        The bytes of the module. Its exports: ``memory``; ``address(index)``, the place of a
        buffer in memory; one function without arguments for each compiled function, named
        ``run_<name>``; and, where noise was asked for, ``uniform`` and ``normal``, called with
        (address, count, seed, stream).
    functions
        The signature of each function.
    source
        The C that was compiled.
    """

    wasm: bytes = field(repr=False)
    functions: dict[str, Signature]
    source: str = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the module as it travels, deflated."""
        return len(zlib.compress(self.wasm, 9))

    def dump(self) -> bytes:
        """All of it as JSON, for a file; :meth:`load` reads it."""
        wasm = base64.b64encode(self.wasm).decode()
        whole = {"wasm": wasm, "functions": self.metadata(), "source": self.source}
        return json.dumps(whole).encode()

    @classmethod
    def load(cls, content: bytes) -> Module:
        """The module that :meth:`dump` made these bytes of."""
        whole = json.loads(content)
        functions = {
            name: Signature(*({
                key: Buffer(b["index"], tuple(b["shape"]), b["dtype"])
                for key, b in sides[side].items()
            } for side in ("inputs", "outputs")))
            for name, sides in whole["functions"].items()
        }  # fmt: skip
        return cls(base64.b64decode(whole["wasm"]), functions, whole["source"])

    def metadata(self) -> dict[str, Any]:
        """The signatures as plain JSON values, for the script that calls the module."""
        return json.loads(json.dumps({name: asdict(f) for name, f in self.functions.items()}))
