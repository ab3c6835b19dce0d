"""The work of a study: runs put into groups, groups to processes, and what comes back as rows."""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn

from ganlib.inspection import in_mode
from ganlib.studies import batched, compiled
from ganlib.studies.keys import as_json, plainly
from ganlib.studies.member import SCALARS, Make, Member, made, structure, trained
from ganlib.studies.table import COLUMNS

__all__ = ["Measure", "Run", "results"]

#: (generator after training) -> numbers by name.
Measure = Callable[[nn.Module], Mapping[str, Any]]

_TOGETHER = 16  # members of a batch: more do not fit the cache


@dataclass(frozen=True)
class Run:
    """One row to come."""

    key: str
    setting: Mapping[str, Any]
    seed: int


def results(
    make: Make,
    measure: Measure,
    engine: str,
    steps: int,
    missing: Sequence[Run],
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
    runs: list[Run]


def _groups(make: Make, engine: str, runs: Sequence[Run]) -> list[_Group]:
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(_structure(run.setting), []).append(run)
    groups = []
    for same in alike.values():
        found, why = engine, ""
        try:
            found, why = _carried(made(make, same[0].setting, same[0].seed), engine)
        except Exception as error:  # raised again where it becomes a row
            found, why = "fit", f"{type(error).__name__}: {error}"
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
        why = compiled.not_compiled(member) or ""
        if not why:
            return engine, ""
    if engine == "fit":
        return engine, ""
    reason = batched.not_batched(member)
    return ("fit", reason) if reason else ("batched", why)


def _rows(make: Make, measure: Measure, group: _Group, steps: int) -> list[dict[str, str]]:
    """The rows of a group. An error is a row's, whatever it is: it is not the study's end."""
    with _one_thread():
        try:
            members = [made(make, run.setting, run.seed) for run in group.runs]
            alike = len({structure(member) for member in members}) == 1
        except Exception as error:
            if len(group.runs) == 1:
                return [_row(group, group.runs[0], steps, error=error)]
            alike = False
        if not alike:  # one that cannot be made, or whose graph is its own
            alone = [_Group(group.engine, group.why, [run]) for run in group.runs]
            return [row for one in alone for row in _rows(make, measure, one, steps)]
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
        return group, batched.by_batch(members, steps)
    assert not others
    if group.engine in ("exact", "fast"):
        try:
            compiled.by_module(member, steps, compiled.starter(group.engine))
            return group, [None]
        except NotImplementedError as error:  # an operation that the compiler does not know
            why = " ".join(str(error).split())[:200]
            group = _Group("fit", why, group.runs)
    trained(member, steps)
    return group, [None]


def _measured(member: Member, measure: Measure) -> dict[str, float]:
    found = _measures(member.generator, member.seed, measure)
    if not member.averaged:
        return found
    average = copy.deepcopy(member.generator)
    average.load_state_dict(member.averaged, strict=False)  # what is frozen stays
    again = _measures(average, member.seed, measure)
    return {**found, **{f"averaged {name}": value for name, value in again.items()}}


def _measures(generator: nn.Module, seed: int, measure: Measure) -> dict[str, float]:
    with torch.random.fork_rng(devices=[]), torch.no_grad(), in_mode(False, generator):
        torch.manual_seed(seed)
        found = measure(generator)
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
    run: Run,
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
