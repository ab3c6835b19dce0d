"""Start a compiled module in Python: the twin of ``runtime.js``, bit for bit.

The module runs on wasmtime. It imports nothing and holds its own special functions, so the same
inputs give the same bits here, in Node and in a browser: still figures, presets and tests are
made with the very bytes that the reader's browser runs.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ganlib.lab.compiler import Buffer, Module

if TYPE_CHECKING:
    import wasmtime

__all__ = ["STOPPED", "Function", "Running", "running", "start"]

_NOISE = ("uniform", "normal")


@dataclass(frozen=True)
class Function:
    """One compiled function: write into ``inputs``, call :meth:`run`, read ``outputs``.

    Attributes
    ----------
    name
        Its name in the module.
    inputs, outputs
        Writable views of the module's memory, by name, with the shapes and dtypes of the
        tensors. Arguments of one name are one buffer in all functions. Write in place
        (``inputs["x"][...] = x``); copy an output that must outlive the next run.
    """

    name: str
    inputs: Mapping[str, np.ndarray] = field(repr=False)
    outputs: Mapping[str, np.ndarray] = field(repr=False)
    _call: Any = field(repr=False)

    def run(self) -> None:
        """Compute the outputs from what the inputs hold.

        Raises
        ------
        RuntimeError
            If the module stops, for instance at a division of an integer by zero.
        """
        self._call()


@dataclass(frozen=True)
class Running:
    """A module with memory of its own: two of them do not disturb each other.

    Attributes
    ----------
    functions
        The compiled functions, by name.
    """

    functions: Mapping[str, Function]
    _memory: np.ndarray = field(repr=False)
    _fill: Mapping[str, Any] = field(repr=False)

    def draw(self, kind: str, array: np.ndarray, seed: int, stream: int = 0) -> None:
        """Fill an input with seeded noise: the same numbers as in a browser.

        Parameters
        ----------
        kind
            ``"uniform"`` on the open interval (0, 1), or ``"normal"``, standard.
        array
            A view of this module's memory, float32 and contiguous, such as
            ``functions["f"].inputs["z"]``.
        seed, stream
            Integers, counted modulo 2**32. Each pair is a sequence of its own.

        Raises
        ------
        ValueError
            For another kind, or an array that is no such view.
        """
        if kind not in _NOISE:
            raise ValueError(f"kind is {kind!r}; draw one of {', '.join(_NOISE)}")
        if kind not in self._fill:
            raise ValueError(
                "this module was compiled without noise; pass noise=True to compile_functions"
            )
        start, inside = self._memory.ctypes.data, np.may_share_memory(array, self._memory)
        if array.dtype != np.float32 or not array.flags.c_contiguous or not inside:
            raise ValueError(
                f"the array to fill has dtype {array.dtype} and shape {array.shape}; pass a "
                "contiguous float32 view of this module's memory, as functions[name].inputs has"
            )
        self._fill[kind](array.ctypes.data - start, array.size, seed, stream)


def start(module: Module) -> Running:
    """Start a compiled module.

    Parameters
    ----------
    module
        What :func:`ganlib.lab.compiler.compile_functions` returned.

    Returns
    -------
    Running
        With fresh memory: every input is 0.

    Raises
    ------
    ModuleNotFoundError
        If wasmtime, which the extra ``lab`` installs, is not there.

    Examples
    --------
    >>> module = compile_functions({"double": (lambda x: 2 * x, [torch.zeros(3)])})
    >>> double = start(module).functions["double"]
    >>> double.inputs["x"][...] = [1, 2, 3]
    >>> double.run()
    >>> double.outputs["result"]
    array([2., 4., 6.], dtype=float32)
    """
    if importlib.util.find_spec("wasmtime") is None:
        raise ModuleNotFoundError(
            "running a compiled module in Python needs wasmtime; install it with "
            "`pip install wasmtime` (the extra `lab` of ganlib holds it)"
        )
    import wasmtime

    compiled = _compiled(module.wasm)
    store = wasmtime.Store(_engine())
    _ALIVE.add(store)
    exports = wasmtime.Instance(store, compiled, []).exports(store)
    if "_initialize" in exports:
        _caller(store, exports["_initialize"], "the module's start")()
    memory = exports["memory"]
    assert isinstance(memory, wasmtime.Memory)
    block = memory.get_buffer_ptr(store)
    # Every view is based on this block: while one view lives, so does the memory it shows.
    block.__dict__["owner"] = store
    whole = np.frombuffer(memoryview(block), dtype=np.uint8)
    address = _caller(store, exports["address"], "address")

    fill = {name: _caller(store, exports[name], name) for name in _NOISE if name in exports}
    return running(
        module,
        whole,
        address,
        lambda name: _caller(store, exports[f"run_{name}"], f"the function {name}"),
        fill,
    )


def running(
    module: Module,
    memory: np.ndarray,
    address: Callable[[int], int],
    caller: Callable[[str], Callable[[], Any]],
    fill: Mapping[str, Any],
) -> Running:
    """A module's functions over the bytes that hold its buffers.

    Parameters
    ----------
    module
        Its signatures are read.
    memory
        The bytes.
    address
        Number of a buffer -> its place in ``memory``.
    caller
        Name of a function -> a call that computes it.
    fill
        Kind of noise -> a call with (place in ``memory``, count, seed, stream).
    """

    def view(buffer: Buffer) -> np.ndarray:
        at = address(buffer.index)
        return memory[at : at + buffer.bytes].view(buffer.dtype).reshape(buffer.shape)

    functions = {
        name: Function(
            name,
            {key: view(buffer) for key, buffer in signature.inputs.items()},
            {key: view(buffer) for key, buffer in signature.outputs.items()},
            caller(name),
        )
        for name, signature in module.functions.items()
    }
    return Running(functions, memory, fill)


@functools.lru_cache(maxsize=32)
def _compiled(wasm: bytes) -> wasmtime.Module:
    import wasmtime

    compiled = wasmtime.Module(_engine(), wasm)
    _ALIVE.add(compiled)
    return compiled


@functools.cache
def _engine() -> wasmtime.Engine:
    import wasmtime

    engine = wasmtime.Engine()
    _ALIVE.add(engine)
    return engine


_ALIVE: weakref.WeakSet[Any] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    # Freed while Python takes its modules down, wasmtime's objects complain; a view may still
    # show their memory. So they stay, and the operating system takes all of it back.
    for kept in list(_ALIVE):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


#: What is said where a module stops: of which function, and for what reason.
STOPPED = (
    "the compiled module stopped in {}: {}; an index lies outside its tensor, or an integer is "
    "divided by zero. Its outputs are half written: check the inputs, and run it again"
)


def _caller(store: wasmtime.Store, function: Any, what: str) -> Any:
    """A call with plain integers of 32 bits, both ways; a trap becomes a RuntimeError."""
    import wasmtime

    def call(*arguments: int) -> Any:
        try:
            # WebAssembly's integers have no sign, wasmtime's have one.
            result = function(store, *((int(a) + 2**31) % 2**32 - 2**31 for a in arguments))
        except (wasmtime.Trap, wasmtime.WasmtimeError) as stopped:
            reason = str(stopped).split("wasm trap:")[-1].strip().splitlines()[0]
            raise RuntimeError(STOPPED.format(what, reason)) from stopped
        return result % 2**32 if isinstance(result, int) else result

    return call
