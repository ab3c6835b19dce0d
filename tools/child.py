"""One build at a time, and processes that end with it.

A build that is killed outright, or runs out of memory, leaves nothing behind that goes on writing
into ``build``: what it starts through :func:`run` is this file, as a program,

    python -P tools/child.py PARENT MODULE[:FUNCTION] [ARGUMENT ...]

which is killed when PARENT, its parent's process id, is gone (``jupyter``: as Jupyter says), and
runs the module as ``python -m`` would, or calls the function. Until it has ended, the build's lock
is held. MODULE ``kernel`` is an IPython kernel that writes to the file $LEDGER after each cell its
CPU seconds and what it has loaded of ganlib.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
_held: list[int] = []  # the locks of this process, which its children hold too


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One build at a time in one working tree; a second one waits."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running in this folder; waiting for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        _held.append(handle.fileno())
        try:
            yield
        finally:
            _held.remove(handle.fileno())


def command(parent: str, module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", str(Path(__file__).resolve()), parent, module, *arguments]


def run(
    module: str, *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end, or to that of this process; its output is captured."""
    return subprocess.run(
        command(str(os.getpid()), module, *arguments),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=tuple(_held),
    )


def _ends(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def end_with(parent: int) -> None:
    """Have this process killed as soon as ``parent``, the process that made it, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_ends, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it was gone before this was said
        os._exit(1)


def cpu_seconds() -> float:
    """Of this process and of those children that have ended, user and system."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def kernel(arguments: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    app.initialize(arguments)
    ledger = Path(os.environ["LEDGER"])
    cells: dict[str, float] = {}
    began = 0.0

    def before(_: Any) -> None:
        nonlocal began
        began = cpu_seconds()

    def after(result: Any) -> None:
        now = cpu_seconds()
        cells[str(result.execution_count)] = round(now - began, 2)
        modules = list(sys.modules)  # a thread of the cell may be importing meanwhile
        loaded = sorted(name for name in modules if name.split(".")[0] == "ganlib")
        part = ledger.with_suffix(".part")
        part.write_text(json.dumps({"total": round(now, 2), "cells": cells, "loaded": loaded}))
        part.replace(ledger)

    events: Any = app.shell.events  # type: ignore[union-attr]
    events.register("pre_run_cell", before)
    events.register("post_run_cell", after)
    app.start()


def main() -> None:
    parent, module, *arguments = sys.argv[1:]
    end_with(int(os.environ["JPY_PARENT_PID"] if parent == "jupyter" else parent))
    if module == "kernel":
        kernel(arguments)
        return
    name, _, function = module.partition(":")
    sys.argv = [name, *arguments]
    if function:
        getattr(importlib.import_module(name), function)()
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
