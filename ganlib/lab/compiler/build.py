"""zig's clang makes a module of the C, once: the result is kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ganlib.lab.compiler.cache import kept

_FLAGS = (
    "-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", "-O3", "-fno-unroll-loops",
    "-fno-math-errno", "-ffp-contract=off", "-fwrapv", "-fno-strict-float-cast-overflow",
    "-mexec-model=reactor", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=65536",
)  # fmt: skip


def build(source: str) -> bytes:
    """The WebAssembly module of a C source."""
    version = zig()
    content = "\0".join([source, *_FLAGS, version])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    return kept(f"{key}.wasm", lambda: compiled(source, _FLAGS, "module.wasm"))


def zig() -> str:
    """The version of zig's compiler, which must be there."""
    if importlib.util.find_spec("ziglang") is None:
        raise ModuleNotFoundError(
            "compiling needs zig's C compiler; install it with `pip install ziglang` (the extra "
            "`lab` of ganlib holds it)"
        )
    return importlib.metadata.version("ziglang")


def compiled(source: str, flags: Sequence[str], name: str) -> bytes:
    """The file of this name that zig's C compiler makes of a source."""
    with tempfile.TemporaryDirectory() as folder:
        # Relative names: nothing of this machine may reach the module.
        Path(folder, "module.c").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "ziglang", "cc", *flags, "module.c", "-o", name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"zig could not compile the module; its first words: {done.stderr[:600]}"
            )
        return Path(folder, name).read_bytes()
