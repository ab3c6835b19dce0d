"""Runs the jobs of a target that have no row yet, and writes each row the moment it is there."""

from __future__ import annotations

import datetime
import math
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

import ganlib
from ganlib.results import code, store
from ganlib.results.target import Job, Outcome, Target
from ganlib.studies.keys import as_json, digits, processor
from ganlib.studies.table import Table

__all__ = ["provenance", "reproduce"]

#: What all rows of one file have in common.
_SAME = ("target", "size", "code", "device")


def reproduce(
    target: Target,
    *,
    size: str | None = None,
    device: torch.device | None = None,
    seeds: Sequence[int] | None = None,
    place: Path | None = None,
    fresh: bool = False,
    draw: Callable[[Path, Tensor, int], None] | None = None,
    progress: bool | None = None,
) -> store.Read:
    """Run what has no row yet.

    Parameters
    ----------
    target
        One of :data:`ganlib.results.TARGETS`.
    size
        ``"small"`` or ``"full"``; None is what the device can do (:meth:`Target.size`).
    device
        None is :func:`ganlib.device`.
    seeds
        In place of the declared ones.
    place
        The folder of the tables; None is :func:`ganlib.results.store.folder`.
    fresh
        Begin a new table; the old one keeps its name with ``.old`` at the end.
    draw
        (path, pictures, columns) writes the pictures of the first declared seed into one file, as
        :func:`ganlib.command.pictures.write_grid` does; None leaves them out.
    progress
        As for :func:`ganlib.training.fit`.

    Raises
    ------
    ValueError
        For a size that the target does not have, seeds below 0, given twice or not given, and
        where the table's rows are of another size, other code or another kind of device.
    BlockingIOError
        If another process is writing to the table.
    """
    device = ganlib.device() if device is None else device
    size = target.size(device) if size is None else size
    if size not in target.sizes:
        raise ValueError(
            f"{target.name} has no size {size!r}, only {', '.join(target.sizes)}; leave --small out"
        )
    if seeds is not None and (not seeds or min(seeds) < 0 or len({*seeds}) < len(seeds)):
        raise ValueError(f"seeds are {list(seeds)}; give some, 0 or more, each once")
    place = store.folder() if place is None else place
    path = store.file(target.name, size, place)
    told = provenance(target, size, device)
    if fresh and path.is_file():
        path.replace(path.with_name(f"{path.name}.old"))
    plan = target.sizes[size]
    jobs = {_key(told, job): job for job in plan.jobs(None if seeds is None else tuple(seeds))}
    with Table(path) as table:
        _refuse_others(path, told)
        todo = {key: job for key, job in jobs.items() if key not in table.rows}
        with tqdm(
            total=len(jobs), initial=len(jobs) - len(todo), desc=target.name, unit="job",
            disable=progress is False, delay=0 if progress else 2.0,
        ) as bar:  # fmt: skip
            for key, job in todo.items():
                row, outcome = _done(target, job, plan.steps, device, progress)
                if draw and outcome.pictures is not None and job.seed == min(plan.seeds):
                    drawn = store.picture(target.name, size, job.row, job.seed, place)
                    draw(drawn, outcome.pictures, outcome.columns)
                table.append([{**row, "key": key, "versions": as_json(told)}])
                bar.update()
    found = store.read(target.name, size, place)
    assert found is not None  # just written
    return found


def provenance(target: Target, size: str, device: torch.device) -> dict[str, str]:
    """Where a row comes from, in words by name."""
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = processor()
    called = f"python -m {ganlib.__name__} reproduce {target.name}"
    return {
        "target": target.name, "size": size, "code": code.digest(target.run.__module__),
        "device": device.type, "machine": machine, "threads": str(torch.get_num_threads()),
        "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version(),
        "ganlib": ganlib.__version__, "date": datetime.date.today().isoformat(),
        "command": f"{called} --{size} --device {device.type}",
    }  # fmt: skip


def _key(told: dict[str, str], job: Job) -> str:
    return digits(as_json([[told[name] for name in _SAME], job]))


def _refuse_others(path: Path, told: dict[str, str]) -> None:
    found = store.read(told["target"], told["size"], path.parent)
    for row in found.rows if found else ():
        for name in _SAME:
            theirs = row.provenance.get(name)
            if theirs != told[name]:
                raise ValueError(
                    f"{path} has rows whose {name} is {theirs}, and new ones would have "
                    f"{told[name]}: one table holds rows of one kind; begin it anew with --fresh "
                    "(the old one stays, its name ends in .old), or name another folder with --out"
                )


def _done(
    target: Target, job: Job, steps: int, device: torch.device, progress: bool | None
) -> tuple[dict[str, str], Outcome]:
    cpu, wall = time.process_time(), time.perf_counter()
    said, outcome = "", Outcome({})
    try:
        outcome = target.run(job, steps, device, progress)
    except FloatingPointError as error:  # a run that diverged is a result
        said = " ".join(str(error).split())
    finite = not said and all(_finite(value) for value in outcome.numbers.values())
    return {
        "settings": as_json({"row": job.row, **job.setting}), "seed": str(job.seed),
        "steps": str(steps), "engine": device.type, "why": "",
        "cpu_seconds": f"{time.process_time() - cpu:.4f}",
        "wall_seconds": f"{time.perf_counter() - wall:.4f}", "finite": str(finite), "error": said,
        "measured": as_json(dict(outcome.numbers)),
    }, outcome  # fmt: skip


def _finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_finite(each) for each in value)
    return isinstance(value, (int, float)) and math.isfinite(value)
