"""A study has the rows that were asked for, whatever fails and whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from small_studies import LOSSES, POINTS, plane, spread, study
from torch import nn

from ganlib import losses, optimisers, penalties
from ganlib.studies import keys, table


def test_a_setting_nobody_reads_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(ValueError, match=r"settings\[1\].*did you mean learning_rate"):
        study(plane, [{}, {"learning_rat": 1e-3}], [0])
    with pytest.raises(ValueError, match="did you mean hidden"):
        study(plane, [{"hiden": 3}], [0])
    with pytest.raises(ValueError, match="seeds are an argument"):
        study(plane, [{"seed": 3}], [0])
    with pytest.raises(TypeError, match="pass a list of them"):
        study(plane, {}, [0])
    with pytest.raises(ValueError, match="a seed is -1"):
        study(plane, [{}], [-1])
    for seeds, message in (([1.5], "a seed is 1.5"), ([2**32], "below"), ([], "seeds is empty")):
        with pytest.raises(ValueError, match=message):
            study(plane, [{}], seeds)
    with pytest.raises(ValueError, match="settings is empty"):
        study(plane, [], [0])
    with pytest.raises(ValueError, match="jobs is 0"):
        study(plane, [{}], [0], jobs=0)
    with pytest.raises(ValueError, match=r"steps is 1\.5"):
        study(plane, [{}], [0], steps=1.5)
    with pytest.raises(ValueError, match="it must be one of exact"):
        study(plane, [{}], [0], engine="native")
    with pytest.raises(ValueError, match="lacks hidden, which make needs"):
        study(lambda seed, hidden: plane(seed, hidden), [{}], [0])


def test_an_error_and_a_nan_are_rows() -> None:
    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5:
            raise OSError("no such\nfile, 'it' says")
        return {"score": float("nan") if generator[0].out_features == 6 else 1.0}

    settings = [
        {"learning_rate": 1e30},
        {"hidden": 5},
        {"hidden": 6},
        {"learning_rate": -1.0},
        {"batch_size": 4},
    ]
    for engine in ("fit", "batched"):
        with pytest.warns(UserWarning, match="3 of 5 runs failed"):
            rows = study(plane, settings, [0], measure=measure, steps=20, engine=engine)
        assert rows["error"][0].startswith("FloatingPointError")
        assert rows["error"][1] == "OSError: no such file, 'it' says"
        assert rows["error"][3].startswith("ValueError: rate is -1.0")
        assert list(rows["finite"]) == [False, False, False, False, True]
        assert rows["score"].isna().tolist() == [True, True, True, True, False]


def test_a_compiled_run_that_diverges_is_a_row() -> None:
    pytest.importorskip("ziglang")
    with pytest.warns(UserWarning, match="1 of 2"):
        rows = study(plane, [{"learning_rate": 1e30}, {}], [0], steps=60, engine="exact")
    assert list(rows["engine"]) == ["exact", "exact"]
    assert rows["error"][0].startswith("FloatingPointError: training diverged")
    assert list(rows["finite"]) == [False, True]


def test_rows_are_kept_and_two_studies_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.csv"
    seen: list[int] = []

    def measure(generator: nn.Module) -> dict[str, float]:
        seen.append(1)
        return {"n": 1.0}

    first = study(plane, [{}, {"hidden": 5}], [0, 1], measure=measure, table=path)
    study(plane, [{}], [0], table=path)
    assert len(seen) == 4
    content = path.read_bytes()
    again = study(plane, [{}, {"hidden": 5}], [0, 1], measure=measure, table=path)
    assert len(seen) == 4
    assert path.read_bytes() == content
    assert len(content.splitlines()) == 1 + 4 + 1
    assert again.equals(first)
    assert list(first["seed"]) == [0, 1, 0, 1]
    assert first["key"].is_unique
    study(plane, [{}], [0, 5], measure=measure, table=path, steps=4)
    assert len(seen) == 6


def test_a_key_changes_with_all_that_a_row_depends_on(monkeypatch) -> None:
    def key(setting: dict[str, Any], steps: int = 3, make: Any = plane, engine: str = "fit") -> str:
        return keys.key(setting, 0, steps, keys.versions(make, spread, engine))

    def other(seed: int) -> Any:
        return plane(seed + 7)

    def scaled(by: float) -> Any:
        return lambda seed: plane(seed) if by > 1 else plane(seed + 1)

    def shifted(by: int) -> Any:
        def make(seed: int) -> Any:
            return plane(seed + by)

        return make

    def with_default(seed: int, hidden: int = 3) -> Any:
        return plane(seed, hidden)

    def with_another(seed: int, hidden: int = 4) -> Any:
        return plane(seed, hidden)

    with_another.__qualname__ = with_default.__qualname__

    found = [
        key({}), key({}, 4), key({"hidden": 5}), key({}, engine="batched"), key({}, make=other),
        key({}, make=scaled(0.5)), key({}, make=scaled(2.0)),
        key({}, make=shifted(1)), key({}, make=shifted(2)),
        key({}, make=with_default), key({}, make=with_another),
        key({}, make=lambda seed: plane(seed + 1)), key({}, make=lambda seed: plane(seed - 1)),
        *(key({"loss": make()}) for make in LOSSES.values()),
        key({"loss": losses.least_squares(-1, 1, 0)}),
        key({"penalty": penalties.r1}), key({"penalty": penalties.r2}),
        key({"learning_rate": optimisers.linear(1e-3, over=5)}),
        key({"learning_rate": optimisers.linear(1e-3, over=6)}),
    ]  # fmt: skip
    assert len({*found}) == len(found)
    assert key({"loss": losses.hinge()}) == key({"loss": losses.hinge()})
    assert key({"betas": (0, 0.9), "clip": 1}) == key({"clip": 1, "betas": [0, 0.9]})
    assert key({}, make=shifted(1)) in found
    with monkeypatch.context() as patched:
        patched.setitem(plane.__globals__, "POINTS", POINTS + 1)
        assert key({}) not in found
    assert key({}) in found
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
    assert key({}) not in found


def test_what_a_kill_left_half_written_is_cut_off_and_another_file_is_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.csv"
    study(plane, [{}], [0, 1, 2], table=path)
    whole = path.read_bytes()
    for cut in (3, len(table._lines([table.COLUMNS])) - 1, len(whole) - 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        rows = study(plane, [{}], [0, 1, 2], table=path)
        assert len(rows) == 3
        assert study(plane, [{}], [0, 1, 2], table=path).equals(rows)
        assert len(path.read_bytes().splitlines()) == 4
        assert path.read_bytes()[:cut] == whole[:cut] or cut > len(whole) - 50
    for other in (b"a,b\n1,2\n", b"nothing", b"\x00\x00"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="no table of a study"):
            study(plane, [{}], [0], table=path)
        assert path.read_bytes() == other
    path.write_bytes(whole + b"1,2\n")
    with pytest.raises(ValueError, match="line 5 of"):
        study(plane, [{}], [0], table=path)
    with pytest.raises(IsADirectoryError, match=r"study\.csv"):
        study(plane, [{}], [0], table=tmp_path)


def test_a_full_disk_stops_the_study_and_leaves_the_table_whole(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "study.csv"
    study(plane, [{}], [0], table=path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"make room and call sweep again"):
            study(plane, [{}], [0, 1], table=path)
    assert path.read_bytes() == before
    assert len(study(plane, [{}], [0, 1], table=path)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_one_study_at_a_time_writes_to_a_table(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    with table.Table(path), pytest.raises(BlockingIOError, match="another study is writing"):
        study(plane, [{}], [0], table=path)
    study(plane, [{}], [0], table=path)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from small_studies import plane, study
def measure(generator):
    time.sleep(0.1)
    return {"n": 1.0}
print(len(study(plane, [{}], range(12), measure=measure, table=sys.argv[1])), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_nothing_is_lost_or_run_twice_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, os.fspath(script), os.fspath(path), os.fspath(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment) as running:
        until = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    before = path.read_bytes()
    assert 5 <= before.count(b"\n") < 13
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "12"
    after = path.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    lines = after.decode().splitlines()[1:]
    assert len(lines) == len({line.split(",")[0] for line in lines}) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    flag = os.fspath(tmp_path / "flag")

    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5 and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"n": 1.0}

    path = tmp_path / "study.csv"
    rows = study(plane, [{}, {"hidden": 5}], [0, 1, 2], measure=measure, table=path, jobs=2)
    assert os.path.exists(flag)
    assert list(rows["n"]) == [1.0] * 6
    assert path.read_bytes().count(b"\n") == 7


def test_dask_runs_a_study_one_of_whose_workers_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("dask.distributed")
    import joblib

    flag = os.fspath(tmp_path / "flag")

    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5 and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"n": 1.0}

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as here,
        distributed.Client(here),
        joblib.parallel_config(backend="dask"),
    ):
        rows = study(
            plane, [{}, {"hidden": 5}], range(3), measure=measure, table=tmp_path / "study.csv"
        )
    assert os.path.exists(flag)
    assert list(rows["n"]) == [1.0] * 6
    assert rows["key"].is_unique
