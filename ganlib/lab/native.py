"""A compiled module as a shared library of this machine: the same C, for studies of many runs.

Built ``exact``, it gives the bits of the WebAssembly module, NaN's own bits aside: no contraction,
and the special functions of musl, which the module holds too, in place of this system's. Built
``fast``, it may reorder sums, contract products, use the system's special functions, and be wrong
about infinities and NaN.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ganlib.lab.compiler import Module
from ganlib.lab.compiler.build import compiled, zig
from ganlib.lab.compiler.cache import kept
from ganlib.lab.runtime import STOPPED, Running, running

__all__ = ["build", "start"]

_FLAGS = (
    "-O3", "-mcpu=native", "-fPIC", "-fno-math-errno", "-fwrapv",
    "-fno-strict-float-cast-overflow", "-fvisibility=hidden", "-w",
)  # fmt: skip
_EXACT = ("-ffp-contract=off",)
_FAST = ("-ffast-math", "-shared", "-lm")


def build(source: str, *, fast: bool = False) -> bytes:
    """The shared library of a module's C source.

    Raises
    ------
    NotImplementedError
        For ``exact`` on a system other than Linux: use ``fast=True``, or
        :func:`ganlib.lab.runtime.start`.
    """
    if not fast and sys.platform != "linux":
        raise NotImplementedError(
            f"an exact library needs Linux, this is {sys.platform}; build it with fast=True, or "
            "start the WebAssembly module with ganlib.lab.runtime.start"
        )
    source = source.replace(
        "__attribute__((export_name(name)))", '__attribute__((visibility("default")))'
    )
    flags = [*_FLAGS, *(_FAST if fast else _EXACT)]
    # -mcpu=native: a cache that another machine reads as well holds one library for each.
    machine = [platform.machine(), platform.processor(), platform.node()]
    content = "\0".join([source, *flags, zig(), *machine])
    key = f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.so"
    if fast:
        return kept(key, lambda: compiled(source, flags, "module.so"))
    return kept(key, lambda: _exact(source, flags))


def _exact(source: str, flags: list[str]) -> bytes:
    target = ("-target", f"{platform.machine()}-linux-musl")
    linked = compiled(source, [*target, *flags, "-c"], "module.o")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "module.o").write_bytes(linked)
        command = [sys.executable, "-m", "ziglang", "ld.lld", "-shared", "-Bsymbolic",
                   "--exclude-libs", "ALL", "--gc-sections", "--strip-all", "module.o",
                   *_musl(target), "-o", "module.so"]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"zig could not link the library: {done.stderr[:600]}")
        return Path(folder, "module.so").read_bytes()


def _musl(target: tuple[str, str]) -> list[str]:
    """The archives of musl's functions, that zig builds the first time: it takes a minute."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.c").write_text("int main(void) { return 0; }\n")
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            *target,
            "-static-pie",
            "-fPIE",
            "-v",
            "main.c",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = re.findall(r"\S+/lib(?:c|zigc|compiler_rt)\.a", done.stderr)
    if done.returncode or not found:
        raise RuntimeError(f"zig could not build musl's functions: {done.stderr[:600]}")
    return list(dict.fromkeys(found))


def start(module: Module, *, fast: bool = False) -> Running:
    """Start a compiled module as a shared library, with the interface of the runtime's.

    Parameters
    ----------
    module
        What :func:`ganlib.lab.compiler.compile_functions` returned.
    fast
        See the module's first words; by default the bits are those of the page.

    Returns
    -------
    Running
        With fresh memory: every input is 0. The library stays loaded until the process ends, so
        reuse one rather than start many.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "module.so")  # a name of its own: one name is one memory
        path.write_bytes(build(module.source, fast=fast))
        library = ctypes.CDLL(os.fspath(path))
    library.address.restype = ctypes.c_void_p
    buffers = [
        buffer
        for signature in module.functions.values()
        for buffer in (*signature.inputs.values(), *signature.outputs.values())
    ]
    places = {buffer.index: int(library.address(buffer.index)) for buffer in buffers}
    low = min(places.values())
    high = max(places[buffer.index] + buffer.bytes for buffer in buffers)
    block = (ctypes.c_uint8 * (high - low)).from_address(low)
    whole = np.ctypeslib.as_array(block)
    stopped = ctypes.c_int.in_dll(library, "stopped") if hasattr(library, "stopped") else None

    def caller(name: str) -> Callable[[], None]:
        call: Any = getattr(library, f"run_{name}")
        call.restype = None

        def run() -> None:
            call()
            if stopped is not None and stopped.value:
                stopped.value = 0
                raise RuntimeError(STOPPED.format(f"the function {name}", "a wrong number"))

        return run

    def filler(kind: str) -> Callable[[int, int, int, int], None]:
        call: Any = getattr(library, kind)
        call.restype = None
        call.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint32]
        return lambda offset, count, seed, stream: call(low + offset, count, seed, stream)

    fill = {kind: filler(kind) for kind in ("uniform", "normal") if hasattr(library, kind)}
    return running(module, whole, lambda index: places[index] - low, caller, fill)
