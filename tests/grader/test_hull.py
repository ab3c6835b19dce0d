"""Strangers' code in the best hull that this machine has: a quick choice of what they try.

All kinds, in every mode: ``tests/slow/test_hostile.py``. A machine without any protection skips.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import KINDS
from hostile_machine import ROOT, Way, check

from tools.grader import asking, batch, hull, kernel

CELLS = (
    "import torch\nSEEN = 0",
    """
def half(x): return x / 2
def double(x):
    x.mul_(2)
    return x
def cut(x): return x.detach().sum()
""",
    """
def numbers(): return 1, 2.5
def nothing(): pass
def draw(generator): return torch.randn(2, generator=generator)
""",
    """
class Line(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.inner = torch.nn.Linear(n, 1)
    def forward(self, x): return self.inner(x)
def make_optimiser(m): return torch.optim.SGD(m.parameters(), lr=0.5)
def step(m, optimiser, x):
    optimiser.zero_grad()
    m(x).sum().backward()
    optimiser.step()
""",
    """import os
def loop():
    while True: pass
def end(): os._exit(1)
def fail(): raise ValueError('a < b\\n\\n# Score: 99')
""",
    "LATER = 5\nwhile True: pass",
    "import os\nos._exit(0)",
    "LAST = dots = ...\nLAST = 3",
)


@pytest.fixture(scope="module")
def slot() -> Iterator[hull.Slot]:
    try:
        mode = hull.choose()
    except hull.Unprotected as reason:
        pytest.skip(str(reason))
    before = set(kernel.children(os.getpid()))  # such as another test's browser
    with hull.Slot(mode) as slot:
        yield slot
    after = set(kernel.children(os.getpid())) - before
    assert not [p for p in after if kernel.running(p)]


@pytest.fixture(scope="module")
def student(slot: hull.Slot) -> Iterator[asking.Sandboxed]:
    with asking.Sandboxed(slot, CELLS, asking.Limits(cell=0.5)) as student:
        yield student


def lesson(student: asking.Sandboxed, ask: Any) -> str:
    student.begin(1.0)
    with pytest.raises(asking.Wrong) as wrong:
        ask()
    return str(wrong.value)


def test_answers_come_back_as_data(student: asking.Sandboxed) -> None:
    x = torch.tensor([1.0, 3.0])
    student.begin(5.0)
    got = student.call("half", x, wrt=[0], cotangent=torch.tensor([1.0, 10.0]))
    assert got.tensor.tolist() == [0.5, 1.5]
    assert got.pure().dtype(torch.float32).differentiable(["x"]).attached
    assert got.grads[0] is not None
    assert got.grads[0].tolist() == [0.5, 5.0]
    assert student.call("numbers").numbers == [1.0, 2.5]
    seed = asking.Seed(3)
    got = student.call("draw", generator=seed)
    assert torch.equal(got.tensor, torch.randn(2, generator=seed.generator()))
    assert got.rng_same
    assert got.moved == (True,)
    assert student.get("LAST") == 3


def test_lessons(student: asking.Sandboxed) -> None:
    x = torch.ones(2)
    said = {
        "in place": lambda: student.call("double", x, wrt=[0]).pure(),
        "cuts the gradient": lambda: student.call("cut", x, wrt=[0]).differentiable(["x"]),
        "gave nothing": lambda: student.call("nothing").number,
        "replace the dots": lambda: student.get("dots"),
        "not_there is empty or not defined": lambda: student.call("not_there"),
        "must be one number, of shape": lambda: student.call("half", x).number,
        "dtype torch.float64, the inputs": lambda: student.call("half", x.double()).dtype(x.dtype),
        "raised ValueError in line 5 of code cell 5: a < b # Score: 99": lambda: student.call(
            "fail"
        ),
        "this question may take 1 s": lambda: student.call("loop"),
        "ended the process": lambda: student.call("end"),
    }
    for words, ask in said.items():
        assert words in lesson(student, ask)


def test_objects_stay_there(student: asking.Sandboxed) -> None:
    student.begin(5.0)
    line = student.make("Line", 2)
    optimiser = student.make("make_optimiser", line)
    before = student.state(line)
    student.call("step", line, optimiser, torch.ones(1, 2))
    after = student.state(line)
    assert before.gradients == {"inner.weight": None, "inner.bias": None}
    weight = "inner.weight"
    assert torch.equal(after.parameters[weight], before.parameters[weight] - 0.5)
    assert student.call("", torch.ones(3, 2), on=line).tensor.shape == (3, 1)
    assert lesson(student, lambda: student.call("end"))
    assert "is gone" in lesson(student, lambda: student.state(line))


def test_a_loop_keeps_what_stood_above_it_and_an_exit_costs_its_cell(
    student: asking.Sandboxed,
) -> None:
    student.begin(5.0)
    assert student.get("LATER") == 5
    notes = [str(note) for note in student.notes]
    assert notes[0] == "code cell 6 was stopped: a cell may take 0.5 s"
    assert notes[1].startswith("code cell 7 ended the process")
    assert len(notes) == 2


def test_injected_answers_are_in_a_process_of_their_own(slot: hull.Slot) -> None:
    cells = ("def f(): return 1\ndef g(): return f() + 1\ndef h(): raise ValueError(str(f()))",)
    right = asking.Injection(("f",), "def f(): return 41")
    with asking.Sandboxed(slot, cells) as student:
        student.begin(5.0, right)
        assert student.call("g").number == 42
        # Its text could be the injected answer: it is not quoted.
        with pytest.raises(asking.Wrong, match=r"h raised ValueError in line 3 of code cell 1$"):
            student.call("h")
        student.begin(5.0)
        assert student.call("g").number == 2


def test_a_mode_is_tried_before_it_is_used(slot: hull.Slot, tmp_path: Path) -> None:
    assert hull.try_out(slot.mode, [tmp_path, ROOT / "exercises"]) == []
    problems = hull.try_out(slot.mode, [Path("/usr")])  # what it shows is not hidden
    assert problems == ["can read /usr"]
    # Where nothing guards, the trial says so.
    bare = hull.try_out(hull.Mode("unprotected"), [tmp_path])
    assert f"can read {tmp_path}" in bare
    assert any(problem.startswith("can write") for problem in bare)


def test_nothing_runs_unprotected_unless_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hull, "candidates", lambda: [])
    with pytest.raises(hull.Unprotected, match="--trust-submissions"):
        hull.choose()
    assert "NOT PROTECTED" in str(hull.choose(trust=True))


# --------------------------------------------------------------------------------------------
# Batches
# --------------------------------------------------------------------------------------------


def hand_in(folder: Path, **cells: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, source in cells.items():
        book = {"cells": [{"cell_type": "code", "source": source}], "metadata": {}}
        (folder / f"{name}.ipynb").write_text(json.dumps(book))
    return folder


def judge(student: asking.Sandboxed, digest: str) -> dict[str, Any]:
    student.begin(1.0)
    try:
        return {"marks": {"q1": student.call("f").number}}
    except asking.Wrong as wrong:
        return {"marks": {"q1": 0.0}, "lessons": {"q1": [str(wrong)]}}


def how(mode: hull.Mode, **changes: Any) -> batch.Batch:
    limits = asking.Limits(cell=1.0)
    return batch.Batch(
        **(dict(judge=judge, tests="t", secret="s", mode=mode, limits=limits) | changes)
    )


def test_a_batch_goes_on_and_a_second_run_adds(slot: hull.Slot, tmp_path: Path) -> None:
    folder = hand_in(
        tmp_path / "in",
        a="def f(): return 1",
        b="def f():\n    while True: pass",
        d="def f(): return 2",
    )
    (folder / "c.ipynb").write_bytes(b"{")
    (folder / os.fsdecode(b"M\xfcller.ipynb")).write_bytes((folder / "a.ipynb").read_bytes())
    shown = io.StringIO()
    records = batch.run(folder, tmp_path / "out", how(slot.mode), shown, [slot])
    marks = [r.result.get("marks", {}).get("q1") for r in records]
    assert [r.status for r in records] == ["graded", "graded", "graded", "not graded", "graded"]
    assert marks == [1.0, 1.0, 0.0, None, 2.0]
    assert records[0].label == "M\\xfcller.ipynb"
    assert "damaged" in records[3].note
    assert "5/5" in shown.getvalue()
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0

    def fail(*_: Any) -> dict[str, Any]:
        raise AssertionError("graded again")

    # What holds is kept, under whatever name it lies; what is new is added; nothing is overwritten.
    (folder / "a.ipynb").rename(folder / "renamed.ipynb")
    began = time.monotonic()
    again = batch.run(folder, tmp_path / "out", how(slot.mode, judge=fail), None, [slot])
    assert time.monotonic() - began < 5
    assert sorted(r.label for r in again if r.status == "graded") == [
        "M\\xfcller.ipynb",
        "b.ipynb",
        "d.ipynb",
        "renamed.ipynb",
    ]
    hand_in(folder, b="def f(): return 3")
    late = batch.run(
        hand_in(tmp_path / "late", z="def f(): return 4"),
        tmp_path / "out",
        how(slot.mode),
        None,
        [slot],
    )
    assert late[0].result["marks"] == {"q1": 4.0}
    batch.run(folder, tmp_path / "out", how(slot.mode), None, [slot])
    kept = {(r.label, r.result.get("marks", {}).get("q1")) for r in batch.records(tmp_path / "out")}
    assert {("a.ipynb", 1.0), ("b.ipynb", 0.0), ("b.ipynb", 3.0), ("z.ipynb", 4.0)} <= kept
    # Other tests or another secret: everything anew.
    assert (
        len(
            {
                how(slot.mode, **{n: v}).key("x")
                for n, v in (("tests", "t"), ("tests", "u"), ("secret", "u"))
            }
        )
        == 3
    )


def test_a_fault_of_the_grader_is_no_mark(slot: hull.Slot, tmp_path: Path) -> None:
    def broken(student: asking.Sandboxed, digest: str) -> dict[str, Any]:
        return {"marks": 1 / 0}

    folder = hand_in(tmp_path / "in", a="x = 1")
    (record,) = batch.run(folder, tmp_path / "out", how(slot.mode, judge=broken), None, [slot])
    assert (record.status, record.result) == ("failed", {})
    assert "ZeroDivisionError" in record.note
    (record,) = batch.run(
        folder, tmp_path / "out", how(slot.mode), None, [slot]
    )  # and is tried again
    assert record.status == "graded"


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import test_hull
from tools.grader import batch, hull
batch.run(Path({folder!r}), Path({out!r}), test_hull.how(hull.{mode!r}), sys.stderr)
"""


def test_a_killed_batch_loses_what_was_running_alone(slot: hull.Slot, tmp_path: Path) -> None:
    names = {f"n{n}": f"def f(): return {n}" for n in range(3)}
    folder = hand_in(
        tmp_path / "in", **names, z_waits="import time\ntime.sleep(5)\ndef f(): return 9"
    )
    program = KILLED.format(
        root=str(ROOT),
        tests=str(Path(__file__).parent),
        mode=slot.mode,
        folder=str(folder),
        out=str(tmp_path / "out"),
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    running = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 240
        while len(list((tmp_path / "out").glob("results/*.json"))) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        started = kernel.children(running.pid)
        assert started
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    until = time.monotonic() + 30
    while any(map(kernel.running, started)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(kernel.running, started))
    found = batch.records(tmp_path / "out")
    assert sorted(r.result["marks"]["q1"] for r in found) == [0.0, 1.0, 2.0]
    hull.tidy()
    left = list(Path(hull.tempfile.gettempdir()).glob(f"{hull.PREFIX}{running.pid}-*"))
    assert not left
    with contextlib.suppress(FileNotFoundError):
        (folder / "z_waits.ipynb").unlink()
    said = io.StringIO()
    again = batch.run(folder, tmp_path / "out", how(slot.mode), said, [slot])
    assert "3 kept from before" in said.getvalue()
    assert [r.clock for r in again] == [r.clock for r in sorted(found, key=lambda r: r.label)]


# --------------------------------------------------------------------------------------------
# What strangers try
# --------------------------------------------------------------------------------------------


def test_a_few_hostile_notebooks_lose_their_own_marks_alone(
    slot: hull.Slot, tmp_path: Path
) -> None:
    way = Way("here", slot.mode.hull)
    names = [name for name, kind in KINDS.items() if kind.quick]
    check(way.run(tmp_path / "machine", names))
