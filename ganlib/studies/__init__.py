"""Many independent GANs: settings and seeds in, a table with a row for each run out.

A study says what becomes of a claim over many seeds::

    def ring_gan(seed, hidden=32):
        return mlp(2, hidden, hidden, 2, seed=seed), mlp(2, hidden, hidden, 1, seed=seed + 1), ring()

    def measure(generator):
        return {"modes": modes_of(sample(generator, 2500))}

    table = sweep(ring_gan, [{"betas": (0.0, 0.999)}, {"betas": (0.5, 0.999)}], range(10),
                  measure=measure, steps=4000, table="study.csv", jobs=2)

The work is plain functions: ``member`` makes and trains one GAN, ``engines`` has the ways to train
it, ``table`` is the file; processes, here and on other machines, are joblib's.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn
from tqdm.auto import tqdm

import ganlib
from ganlib.inspection import in_mode
from ganlib.studies import engines
from ganlib.studies.member import (
    SCALARS,
    Make,
    Member,
    as_json,
    check,
    code,
    made,
    plainly,
    trained,
)
from ganlib.studies.member import digits as digits_of
from ganlib.studies.table import COLUMNS, Table

__all__ = ["ENGINES", "sweep"]

#: ``exact`` is the default: the bits of the page's module, on every machine.
ENGINES = ("exact", "fast", "batched", "fit")
#: (generator after training) -> numbers by name.
Measure = Callable[[nn.Module], Mapping[str, Any]]

_TOGETHER = 16  # members of a batch: more do not fit the cache
#: What of ganlib a row depends on: where one of these files changes, rows are computed again.
_MATTERS = (
    "checks.py", "data.py", "draws.py", "formulas.py", "game.py", "losses.py", "networks.py",
    "noise.py", "numerics.py", "optimisers.py", "options.py", "penalties.py", "step.py",
    "training.py", "studies/engines.py", "lab/flat.py", "lab/native.py", "lab/runtime.c",
    "lab/compiler/*.py",
)  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """One row to come."""

    key: str
    setting: Mapping[str, Any]
    seed: int


def sweep(
    make: Make,
    settings: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    measure: Measure,
    steps: int = 1000,
    table: str | os.PathLike[str] | None = None,
    engine: str = "exact",
    jobs: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train a GAN for each setting and seed, and measure each.

    Parameters
    ----------
    make
        (seed, ...) -> generator, discriminator, data, as :func:`ganlib.training.fit` takes them.
        Its further arguments can be set by the settings.
    settings
        One dict a setting: arguments of ``fit`` (``learning_rate``, ``betas``, ``epsilon``,
        ``loss``, ``penalty``, ``clip``, ``pack``, ``batch_size``, ``discriminator_steps``,
        ``optimiser``, ``options``, ...), ``penalty_weight``, and arguments of ``make``.
    seeds
        Integers. A run is a function of its setting and seed.
    measure
        Generator after training -> numbers by name. Gradients are off, layers are in evaluation
        mode, torch's own generator is seeded with the run's seed.
    steps
        Generator steps of each run.
    table
        A CSV file that rows are appended to as they come; rows that it has already are not run
        again, those of other studies in it are left alone. None keeps the table in memory.

        A row's key is made of the setting, the seed, the steps, the engine, ``make`` and
        ``measure`` (their own code; functions that they call are not followed), the code of
        ganlib, the versions of torch, zig and Python, and the kind of processor: a row that another
        version or another kind of machine wrote is another row.
    engine
        ``"exact"``: the step's C, built by zig, with the bits of the page's module.
        ``"fast"``: the same, with sums in another order; NaN may go unseen for some steps.
        ``"batched"``: many members in one batch, by ``torch.func.vmap``.
        ``"fit"``: :func:`ganlib.training.fit`, one after another.
        What the first two cannot carry (buffers as of batch normalisation, options, optimisers
        other than Adam) runs ``batched``, what that cannot carry (conditions, ``torch.nn.Dropout``)
        by ``fit``: the columns ``engine`` and ``why`` say so. The first two draw the module's
        noise, the last two what ``fit`` draws from the seed. A batched member's last bits depend
        on the members beside it.
    jobs
        Processes; None is one, or what ``joblib.parallel_config`` says, which also chooses a
        backend, such as ``backend="dask"`` for several machines.
    progress
        As for ``fit``.

    Returns
    -------
    pandas.DataFrame
        A row a run, settings and seeds in the order given: the settings, ``seed``, what
        ``measure`` returned, ``engine``, ``why``, ``finite`` (whether all of it is), ``error``,
        ``cpu_seconds`` and ``wall_seconds`` of the training (in the first run of a process with what
        it takes to compile), and ``key``. A run that diverged or
        raised has its error there and NaN for what was to be measured.

    Raises
    ------
    ValueError
        For a setting that neither ``fit`` nor ``make`` knows, an engine of another name, a file
        that is no table.
    BlockingIOError
        If another study is writing to the table.
    OSError
        If the table cannot be written. What it holds stays.
    """
    settings, seeds = [dict(setting) for setting in settings], [int(seed) for seed in seeds]
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps is {steps}; it must be an integer of 0 or more")
    if out := [seed for seed in seeds if not 0 <= seed < 2**32]:
        raise ValueError(f"a seed is {out[0]}; it must be at least 0 and below 2**32")
    check(make, settings)
    versions = _versions(make, measure, engine)
    runs = [
        _Run(_key(setting, seed, steps, versions), setting, seed)
        for setting in settings
        for seed in seeds
    ]
    wanted = {run.key: run for run in runs}  # a setting that was given twice runs once
    with Table(table) as file:
        found = [key for key in wanted if key in file.rows]
        missing = [run for key, run in wanted.items() if key not in file.rows]
        with tqdm(
            total=len(wanted), initial=len(found), disable=progress is False, unit="GAN",
            delay=0 if progress else 2.0,
        ) as bar:  # fmt: skip
            for rows in _results(make, measure, engine, steps, missing, jobs):
                file.append([{**row, "versions": as_json(versions)} for row in rows])
                bar.update(len(rows))
        result = _frame(wanted.values(), file.rows)
    failed = result[result["error"] != ""] if len(result) else result
    if len(failed):
        warnings.warn(
            f"{len(failed)} of {len(result)} runs failed, the first with "
            f"{failed['error'].iloc[0][:300]}; the column error has them all",
            stacklevel=2,
        )
    return result


# --- what is run where ---------------------------------------------------------------------------


def _results(
    make: Make,
    measure: Measure,
    engine: str,
    steps: int,
    missing: Sequence[_Run],
    jobs: int | None,
) -> Iterator[list[dict[str, str]]]:
    """Rows as they come, in any order; a worker that was killed is replaced."""
    todo = {run.key: run for run in missing}
    while todo:
        before = len(todo)
        groups = _groups(make, engine, list(todo.values()))
        work = [joblib.delayed(_rows)(make, measure, group, steps) for group in groups]
        try:
            with warnings.catch_warnings():
                # joblib tells of every worker that it starts anew.
                warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
                for rows in joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)(
                    work
                ):
                    for row in rows:
                        del todo[row["key"]]
                    yield rows
        except TerminatedWorkerError:
            if len(todo) == before:  # it would be killed again: out of memory, most often
                raise


@dataclass(frozen=True)
class _Group:
    """Runs of one engine; several of them where they share a batch."""

    engine: str
    why: str
    runs: list[_Run]


def _groups(make: Make, engine: str, runs: Sequence[_Run]) -> list[_Group]:
    alike: dict[str, list[_Run]] = {}
    for run in runs:
        alike.setdefault(_structure(run.setting), []).append(run)
    groups = []
    for same in alike.values():
        found, why = engine, ""
        try:
            found, why = _carried(made(make, same[0].setting, same[0].seed), engine)
        except Exception:  # it will be raised again where it becomes a row
            found = "fit"
        size = _TOGETHER if found == "batched" else 1
        groups += [_Group(found, why, same[i : i + size]) for i in range(0, len(same), size)]
    return groups


def _structure(setting: Mapping[str, Any]) -> str:
    """What members of one batch have in common."""
    numbers = {name for name in SCALARS if name in setting and not _changes(setting[name])}
    shared = {name: value for name, value in setting.items() if name not in numbers}
    return as_json(plainly(shared))


def _changes(value: Any) -> bool:
    several = value if isinstance(value, (list, tuple)) else [value]
    return any(callable(v) for v in several)


def _carried(member: Member, engine: str) -> tuple[str, str]:
    """The engine that can carry a member, and why it is another one than was asked for."""
    why = ""
    if engine in ("exact", "fast"):
        why = engines.not_compiled(member) or ""
        if not why:
            return engine, ""
    if engine == "fit":
        return engine, ""
    reason = engines.not_batched(member)
    return ("fit", reason) if reason else ("batched", why)


def _rows(make: Make, measure: Measure, group: _Group, steps: int) -> list[dict[str, str]]:
    """The rows of a group. An error is a row's, whatever it is: it is not the study's end."""
    with _one_thread():
        try:
            members = [made(make, run.setting, run.seed) for run in group.runs]
        except Exception as error:
            if len(group.runs) > 1:
                return [row for run in group.runs for row in _rows(
                    make, measure, _Group(group.engine, group.why, [run]), steps)]  # fmt: skip
            return [_row(group, run, steps, error=error) for run in group.runs]
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            group, errors = _train(members, group, steps)
        except Exception as error:
            errors = [error] * len(members)
        spent = [(now - then) / len(members) for now, then in (
            (time.process_time(), cpu), (time.perf_counter(), wall))]  # fmt: skip
        rows = []
        for run, member, failed in zip(group.runs, members, errors, strict=True):
            measured: dict[str, float] = {}
            if failed is None:
                try:
                    measured = _measured(member, measure)
                except Exception as error:
                    failed = error
            rows.append(_row(group, run, steps, spent, measured, failed))
        return rows


def _train(
    members: Sequence[Member], group: _Group, steps: int
) -> tuple[_Group, Sequence[Exception | None]]:
    (member, *others) = members
    if group.engine == "batched":
        return group, engines.by_batch(members, steps)
    assert not others
    if group.engine in ("exact", "fast"):
        try:
            engines.by_module(member, steps, engines.started(group.engine))
            return group, [None]
        except NotImplementedError as error:  # an operation that the compiler does not know
            why = " ".join(str(error).split())[:200]
            group = _Group("fit", why, group.runs)
    trained(member, steps)
    return group, [None]


def _measured(member: Member, measure: Measure) -> dict[str, float]:
    with torch.random.fork_rng(devices=[]), torch.no_grad(), in_mode(False, member.generator):
        torch.manual_seed(member.seed)
        found = measure(member.generator)
    if not isinstance(found, Mapping):
        raise TypeError(
            f"measure returned a {type(found).__name__}; it must return numbers by name"
        )
    taken = {*COLUMNS} & {*found}
    if taken:
        raise ValueError(
            f"measure returned {min(taken)}, which is a column of the table; rename it"
        )
    return {str(name): float(value) for name, value in found.items()}


def _row(
    group: _Group,
    run: _Run,
    steps: int,
    spent: Sequence[float] = (0.0, 0.0),
    measured: Mapping[str, float] | None = None,
    error: Exception | None = None,
) -> dict[str, str]:
    finite = error is None and all(math.isfinite(value) for value in (measured or {}).values())
    said = "" if error is None else f"{type(error).__name__}: {error}"
    return {
        "key": run.key, "settings": as_json(plainly(run.setting)), "seed": str(run.seed),
        "steps": str(steps), "engine": group.engine, "why": " ".join(group.why.split()),
        "cpu_seconds": f"{spent[0]:.4f}", "wall_seconds": f"{spent[1]:.4f}", "finite": str(finite),
        "error": " ".join(said.split()), "measured": as_json(dict(measured or {})),
    }  # fmt: skip


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread inside: members fill the cores, and their bits are one thread's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- what a row is called ------------------------------------------------------------------------


def _versions(make: Make, measure: Measure, engine: str) -> dict[str, str]:
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
    return digits_of("\0".join(path.read_text(encoding="utf-8") for path in files))


def _key(setting: Mapping[str, Any], seed: int, steps: int, versions: Mapping[str, str]) -> str:
    return digits_of(as_json([plainly(setting), seed, steps, versions]))


def _frame(runs: Iterator[_Run] | Any, rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    def entries(row: Mapping[str, str]) -> dict[str, Any]:
        return {
            **json.loads(row["settings"]), "seed": int(row["seed"]), **json.loads(row["measured"]),
            "steps": int(row["steps"]), "engine": row["engine"], "why": row["why"],
            "finite": row["finite"] == "True", "error": row["error"],
            "cpu_seconds": float(row["cpu_seconds"]), "wall_seconds": float(row["wall_seconds"]),
            "key": row["key"],
        }  # fmt: skip

    found = [entries(rows[run.key]) for run in runs]
    last = ["steps", "engine", "why", "finite", "error", "cpu_seconds", "wall_seconds", "key"]
    frame = pd.DataFrame(found)
    # An unlucky first row, which measured nothing, must not decide the order.
    return frame[[name for name in frame.columns if name not in last] + last] if found else frame
