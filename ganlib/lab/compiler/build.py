"""zig's clang makes a module of the C, once: the result is kept."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pooch

_FLAGS = (
    "-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", "-O3", "-fno-unroll-loops",
    "-fno-math-errno", "-ffp-contract=off", "-fwrapv", "-fno-strict-float-cast-overflow",
    "-mexec-model=reactor", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=65536",
)  # fmt: skip


def build(source: str) -> bytes:
    if importlib.util.find_spec("ziglang") is None:
        raise ModuleNotFoundError(
            "compiling for the browser needs zig's C compiler; install it with "
            "`pip install ziglang` (the extra `lab` of ganlib holds it)"
        )
    from importlib.metadata import version

    content = "\0".join([source, *_FLAGS, version("ziglang")])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    cached = Path(pooch.os_cache("ganlib")) / "wasm" / f"{key}.wasm"
    if cached.is_file():
        return cached.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        # Relative names: nothing of this machine may reach the module.
        Path(folder, "module.c").write_text(source)
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "module.c", "-o", "module.wasm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"zig could not compile the module; its first words: {done.stderr[:600]}"
            )
        wasm = Path(folder, "module.wasm").read_bytes()
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as partial:
        partial.write(wasm)
    os.replace(partial.name, cached)  # a half-written file never has the name
    return wasm
