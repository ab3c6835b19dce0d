"""`make test` as parts with budgets: none hides another, and the times are true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import budget
from tools.sources import ROOT


def burn(seconds: float) -> list[str]:
    code = f"import time\nwhile time.process_time() < {seconds}: pass"
    return [sys.executable, "-c", code]


def test_a_failing_part_hides_no_other_and_is_no_success() -> None:
    ran = []

    def do(part: budget.Part) -> int:
        ran.append(part.name)
        return int(part.name in ("unit", "exercises"))

    results = budget.run(budget.SUITES["test-all"], do)
    assert ran == ["set-up", "unit", "exercises", "chapters", "site", "slow", "fuzz"]
    assert [took.part.name for took in results if took.state != "ok"] == ["unit", "exercises"]
    ran.clear()
    results = budget.run(budget.TEST, lambda part: ran.append(part.name) or part.name == "chapters")
    assert ran == ["set-up", "unit", "exercises", "chapters"]
    assert [took.state for took in results][-2:] == ["FAILED", "not run"]
    assert re.search(r"^site +0\.0 +12 +0\.0  not run$", budget.table(results), re.M)
    results = budget.run(budget.TEST, lambda part: 1)
    assert [took.state for took in results] == ["FAILED"] + ["not run"] * 4


def test_all_targets_of_a_part_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Makefile").write_text("lint:\n\tfalse\nunit:\n\ttouch ran\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MAKE")]:
        monkeypatch.delenv(name)
    assert budget.make(budget.Part("unit", ("lint", "unit"))) != 0
    assert (tmp_path / "ran").exists()


def test_time_over_a_budget_is_marked_and_cpu_is_that_of_the_children() -> None:
    parts = (budget.Part("busy", (), 0.001, ()), budget.Part("idle", (), 1.0, ()))

    def do(part: budget.Part) -> int:
        if part.name == "busy":
            return subprocess.call(["sh", "-c", '"$@" & wait', "sh", *burn(1.0)])
        time.sleep(0.2)
        return 0

    busy, idle = budget.run(parts, do)
    assert busy.cpu * 60 >= 0.99, "a grandchild's time counts"
    assert idle.cpu * 60 < 0.1
    lines = budget.table([busy, idle]).splitlines()
    assert lines[2].endswith("over budget")
    assert "over" not in lines[3]


@pytest.mark.parametrize("status", [0, 2])
def test_the_exit_status_of_make_test(status: int, tmp_path: Path) -> None:
    fake = tmp_path / "fake-make"
    fake.write_text(f'#!/bin/sh\ncase "$*" in *unit*) exit {status};; esac\n')
    fake.chmod(0o755)
    script = [sys.executable, str(ROOT / "tools" / "budget.py"), "test"]
    done = subprocess.run(
        script, env={**os.environ, "MAKE": str(fake)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == bool(status)
    assert done.stdout.count("FAILED") == bool(status)
    assert re.search(r"^site +0\.0 +12", done.stdout, re.M)
