"""What tells one row from another: its key, and the versions in it."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import ganlib
from ganlib.studies.member import as_json, code, digits, plainly

__all__ = ["key", "versions"]

#: What of ganlib a row depends on: where one of these files changes, rows are computed again.
_MATTERS = (
    "checks.py", "data.py", "draws.py", "formulas.py", "game.py", "losses.py", "networks.py",
    "noise.py", "numerics.py", "optimisers.py", "options.py", "penalties.py", "step.py",
    "training.py", "studies/batched.py", "studies/compiled.py", "studies/member.py",
    "lab/flat.py", "lab/native.py", "lab/runtime.c", "lab/compiler/*.py",
)  # fmt: skip


def versions(make: Callable[..., Any], measure: Callable[..., Any], engine: str) -> dict[str, str]:
    try:
        zig = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        zig = "none"
    return {
        "make": code(make), "measure": code(measure), "engine": engine, "ganlib": _own_code(),
        "torch": torch.__version__, "ziglang": zig, "python": platform.python_version(),
        # What decides the last bits of torch's kernels, and of a fast build.
        "machine": f"{sys.platform} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }  # fmt: skip


@functools.cache
def _own_code() -> str:
    root = Path(ganlib.__file__).parent
    files = [path for pattern in _MATTERS for path in sorted(root.glob(pattern))]
    return digits("\0".join(path.read_text(encoding="utf-8") for path in files))


def key(setting: Mapping[str, Any], seed: int, steps: int, versions: Mapping[str, str]) -> str:
    return digits(as_json([plainly(setting), seed, steps, versions]))
