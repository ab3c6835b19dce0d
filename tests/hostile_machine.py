"""Grades hostile notebooks in one mode, and looks at what they did to the machine.

    python tests/hostile_machine.py MODE FOLDER [NAME ...]

MODE is "bubblewrap", "plain", or "plain alone" (without Landlock); the process that runs this
decides whether as root. FOLDER is
empty; ``FOLDER/report.json`` says what was seen. :func:`ways` lists the modes that this machine can
make, each with the command that runs this there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hostile import KINDS, Kind
from torch.nn.functional import softplus

from tools.grader import batch, hull, kernel
from tools.grader.asking import Injection, Limits, Sandboxed, Tree, Wrong

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "token-that-nobody-may-see-5d1c"
USER = 61999
LIMITS = Limits(cell=1.5, cells=12, total=60)
RIGHT_LOSS = Injection(
    ("loss",),
    "from torch.nn.functional import softplus\n"
    "def loss(real, fake): return softplus(-real).mean() + softplus(fake).mean()\n",
)


# --------------------------------------------------------------------------------------------
# A small assignment
# --------------------------------------------------------------------------------------------


def right_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def value_at(tree: list[Any], at: dict[str, float]) -> float:
    head, *parts = tree
    if head == "Symbol":
        return at[parts[0]]
    if head == "Integer":
        return float(parts[0][:20])
    a, *b = [value_at(part, at) for part in parts]
    if head == "Pow" and abs(b[0]) < 20:
        return a ** b[0]
    return {"Add": sum((a, *b)), "Mul": torch.tensor([a, *b]).prod().item()}[head]


def near(got: float, due: float) -> None:
    if not abs(got - due) < 1e-5:
        raise Wrong(f"{got} is not {due}")


def loss_values(student: Sandboxed) -> None:
    real, fake = torch.tensor([0.5, 2.0, -1.0]), torch.tensor([0.25, -3.0])
    near(student.call("loss", real, fake).number, right_loss(real, fake).item())


def loss_slopes(student: Sandboxed) -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([0.25, -3.0])
    got = student.call("loss", real, fake, wrt=[0, 1])
    got.pure().dtype(torch.float32).differentiable(["real", "fake"])
    assert got.grads[0] is not None
    near(got.grads[0].sum().item(), (-torch.sigmoid(-real) / 2).sum().item())


def formula(student: Sandboxed) -> None:
    got = student.get("D")
    if not isinstance(got, Tree):
        raise Wrong("no formula")
    try:
        near(value_at(got.tree, {"p": 2.0, "q": 3.0}), 0.4)
    except (KeyError, ValueError, IndexError, OverflowError, ZeroDivisionError):
        raise Wrong("another formula") from None


def descended(student: Sandboxed) -> None:
    w = torch.tensor(-1.5)
    for _ in range(5):
        w = w + torch.sigmoid(-w)
    near(student.call("descend", -1.5, 5).number, w.item())


QUESTIONS = (
    ("loss", None, ((loss_values, 1), (loss_slopes, 2))),
    ("formula", None, ((formula, 2),)),
    ("descend", RIGHT_LOSS, ((descended, 3),)),
)


def hidden_judge(student: Sandboxed, digest: str) -> dict[str, Any]:
    marks: dict[str, int] = {}
    lessons: list[str] = []
    for name, injection, tests in QUESTIONS:
        student.begin(2.0, injection)
        marks[name] = 0
        for test, points in tests:
            try:
                test(student)
                marks[name] += points
            except Wrong as wrong:
                lessons.append(f"{name}: {wrong}")
    student.begin(2.0)
    found = None
    with contextlib.suppress(Wrong):  # it may have broken its own process
        found = student.get("FOUND")
    return {"marks": marks, "lessons": lessons, "found": found, "starts": student.starts}


# --------------------------------------------------------------------------------------------
# The machine around it
# --------------------------------------------------------------------------------------------


def notebook(kind: Kind, words: dict[str, str]) -> str:
    cells = []
    for source in kind.cells:
        for word, text in words.items():
            source = source.replace(word, text)
        cells.append({"cell_type": "code", "source": source, "metadata": {}, "outputs": []})
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of all files in the folders."""
    seen = {}
    for folder in folders:
        for place, names, files in os.walk(folder):
            names[:] = [n for n in names if n not in (".git", "__pycache__", ".venv")]
            for name in files:
                status = os.lstat(os.path.join(place, name))
                seen[os.path.join(place, name)] = (status.st_size, status.st_mtime_ns)
    return seen


def listen(kinds: Sequence[socket.socket], heard: list[str]) -> None:
    """Count what connects or arrives."""

    def wait(at: socket.socket) -> None:
        while True:
            try:
                if at.type == socket.SOCK_STREAM:
                    at.accept()
                else:
                    at.recv(100)
            except OSError:
                return
            heard.append(str(at.getsockname()))

    for each in kinds:
        threading.Thread(target=wait, args=(each,), daemon=True).start()


def main(arguments: list[str]) -> None:
    name, place, *names = arguments
    folder = Path(place)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what is left over becomes this one's child
    os.environ["A_TOKEN"] = TOKEN
    outside, handed_in = folder / "outside", folder / "handed-in"
    outside.mkdir()
    handed_in.mkdir()
    (outside / "kept.txt").write_text(TOKEN)
    # As loose as can be: the hull alone keeps strangers out.
    sockets = []
    for family, kind, address in (
        (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, str(outside / "socket")),
        (socket.AF_UNIX, socket.SOCK_DGRAM, str(outside / "datagrams")),
    ):
        sockets.append(socket.socket(family, kind))
        sockets[-1].bind(address)
        if kind == socket.SOCK_STREAM:
            sockets[-1].listen()
    heard: list[str] = []
    listen(sockets, heard)
    port = sockets[0].getsockname()[1]
    for each in (outside, *outside.iterdir()):
        os.chmod(each, 0o777)
    (mode,) = (mode for mode in hull.candidates() if mode.hull == name.removesuffix(" alone"))
    if name == "plain alone":
        mode = hull.Mode("plain", root=True)
    if mode.hull == "plain" and not mode.landlock:
        outside.chmod(0o700)  # there files are guarded by their owner's rights alone
    words = {"PORT": str(port), "OUTSIDE": str(outside), "TOKEN": TOKEN}
    for each in names or KINDS:
        (handed_in / f"{each}.ipynb").write_text(notebook(KINDS[each], words))
    problems = hull.try_out(mode, [outside])
    report: dict[str, Any] = {"mode": str(mode), "problems": problems}
    if not problems:
        watched = (outside, handed_in, ROOT / "tools", ROOT / "exercises")
        before = snapshot(*watched)
        how = batch.Batch(
            hidden_judge, "tests", "secret", mode, jobs=2, limits=LIMITS, silent=("otter",)
        )
        began = time.monotonic()
        records = batch.run(handed_in, folder / "out", how, sys.stderr)
        report["seconds"] = time.monotonic() - began
        report["records"] = {r.label.removesuffix(".ipynb"): r.__dict__ for r in records}
        after = snapshot(*watched)
        report["changed"] = sorted(p for p in before | after if before.get(p) != after.get(p))
        time.sleep(1)
        kernel.reap()
        report["left"] = [p for p in kernel.children(os.getpid()) if kernel.running(p)]
        report["heard"] = heard
        temporary = Path(hull.tempfile.gettempdir())
        report["folders"] = [str(p) for p in temporary.glob(f"{hull.PREFIX}{os.getpid()}-*")]
    (folder / "report.json").write_text(json.dumps(report))


# --------------------------------------------------------------------------------------------
# Which modes this machine can make
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How to come to a mode: as which user, and why not if not."""

    name: str
    hull: str
    user: int | None = None  # None: as this process
    why_not: str = ""

    def run(self, folder: Path, names: Sequence[str] = (), timeout: float = 1500) -> dict[str, Any]:
        """What :func:`main` reports."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            os.chown(folder, self.user, self.user)
        for parent in (folder, *folder.parents):
            if self.user and parent.stat().st_uid == os.getuid():
                parent.chmod(parent.stat().st_mode | 0o011)
        command = [sys.executable, str(Path(__file__).resolve()), self.hull, str(folder), *names]
        if os.getuid() == 0:
            command = ["unshare", "-m", "sh", "-ec", READABLE, "sh", *_where(), "--", *command]
            if self.user:
                at = command.index("--") + 1
                ids = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
                command[at:at] = ["setpriv", *ids, "env", f"HOME={folder}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
        )
        report = folder / "report.json"
        assert report.exists(), f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return dict(json.loads(report.read_text()))


#: An interpreter under root's own folder is out of reach for other users. Seen by this process
#: alone, that folder is replaced by one that shows the interpreter: $1 closed folder, $2 its part.
READABLE = """
if [ "$1" != -- ]; then
    keep=$(mktemp -d)
    mount --bind "$2" "$keep"
    mount -t tmpfs -o mode=755 none "$1"
    mkdir -p "$2"
    mount --move "$keep" "$2"
    rmdir "$keep"
    shift 2
fi
shift
exec "$@"
"""


def _where() -> list[str]:
    base = Path(sys.base_prefix).resolve()
    closed = [p for p in reversed(base.parents) if not p.stat().st_mode & 0o001]
    return [str(closed[0]), str(base)] if closed else []


def ways() -> list[Way]:
    """Every mode, the best one first."""
    root = os.getuid() == 0
    found = []
    for name in ("bubblewrap", "plain"):
        lacks = ""
        if name == "bubblewrap" and not shutil.which("bwrap"):
            lacks = "bubblewrap is not installed"
        not_root = "the tests do not run as root"
        found.append(Way(f"{name}, as root", name, None, lacks or ("" if root else not_root)))
        if name == "plain" and not kernel.landlock_version():
            lacks = "this kernel has no Landlock"
        if root and not all(map(shutil.which, ("unshare", "setpriv"))):
            lacks = lacks or "neither root nor able to become another user"
        found.append(Way(f"{name}, as an ordinary user", name, USER if root else None, lacks))
    why = "" if root else "the tests do not run as root"
    return [*found, Way("plain without Landlock, as root", "plain alone", None, why)]


def check(report: dict[str, Any]) -> None:
    """Everybody has what he deserves, and the machine is as it was."""
    got = {n: sum(r["result"].get("marks", {}).values()) for n, r in report["records"].items()}
    assert got == {name: KINDS[name].deserves for name in got}
    found = {n: r["result"].get("found") for n, r in report["records"].items()}
    assert {name: what for name, what in found.items() if what} == {}
    assert {key: report[key] for key in ("changed", "left", "heard", "folders")} == {
        "changed": [], "left": [], "heard": [], "folders": [],
    }  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
