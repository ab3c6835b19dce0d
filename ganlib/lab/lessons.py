"""Counts what the laboratory's lessons claim: ``python -m ganlib.lab.lessons``.

It trains every setting that a lesson speaks of with 30 seeds that chose nothing, in the page's own
arithmetic, and writes a row a run into ``ganlib/lab/gan/lessons.csv``; beside them what a perfect
sampler of each target gets from the same scores, and what a featureless disc and one Gaussian get.
Rows that are there already are not made again: an interrupted count goes on where it was. The
texts of the lessons take their numbers from that file (:mod:`ganlib.lab.gan.lessons`).
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from tqdm.auto import tqdm

from ganlib import data, metrics
from ganlib.lab import native, runtime
from ganlib.lab.gan import lessons
from ganlib.lab.gan.choices import TARGETS, settings
from ganlib.lab.gan.lessons import COLUMNS, COMMAND, FILE, SAMPLERS, SEEDS, Row
from ganlib.lab.gan.presets import PRESETS, Scores, scores
from ganlib.lab.gan.run import Run
from ganlib.lab.laboratory import SCORED, name_of

__all__ = ["count", "main", "trained", "untrained"]

_RUNNING: dict[str, Run] = {}  # a process starts a module once


def trained(chosen: Mapping[str, Any], steps: Sequence[int]) -> list[Row]:
    """Train one run, and score it at each of these steps, in their order."""
    run = _run(chosen)
    found = []
    for step in steps:
        while run.step < step and not run.diverged:
            run.both()
        seen = scores(run.record())
        found.append(Row(lessons.in_words(chosen), lessons.digest(chosen), step, chosen["seed"],
                         seen))  # fmt: skip
    return found


def untrained(target: str, seed: int) -> list[Row]:
    """What samplers that train nothing get from a target's scores."""
    run = _run(settings(target=target))
    aim = TARGETS[target]
    drawn = metrics.anchors(
        data.Mixture(target, aim.anchors, aim.std), lambda points: points, SCORED,
        torch.Generator().manual_seed(seed),
    )  # fmt: skip
    blank = dict.fromkeys(Scores._fields, np.nan)
    return [
        Row(
            f"{name} of {target}", lessons.digest_of(name, target), 0, seed,
            Scores(**{**blank, **run.judged(getattr(drawn, field).numpy())}),
        )
        for name, field in SAMPLERS.items()
    ]  # fmt: skip


def _run(chosen: Mapping[str, Any]) -> Run:
    """A run at its first step."""
    name = name_of(chosen["pack"], chosen["penalty"])
    if name not in _RUNNING:
        # The same bits; the library is several times faster, and needs Linux.
        _RUNNING[name] = Run(chosen, native.start if sys.platform == "linux" else runtime.start)
    else:
        _RUNNING[name].reset(chosen)
    return _RUNNING[name]


def count(path: Path = FILE, seeds: Iterable[int] = SEEDS, jobs: int = 1) -> list[Row]:
    """Bring a file up to date, and return its rows.

    Rows are appended as they come. At the end the file is put into order, and what no lesson asks
    for any more is left out.
    """
    seeds = list(seeds)
    said, rows = lessons.read(path) if path.is_file() else ([], [])
    there = {row.key: row for row in rows}
    order: list[tuple[str, int, int]] = []
    tasks = []
    for chosen, steps in lessons.wanted():
        for seed in seeds:
            keys = [(lessons.digest(chosen), step, seed) for step in steps]
            order += keys
            if not there.keys() >= set(keys):
                tasks.append(joblib.delayed(trained)({**chosen, "seed": seed}, steps))
    for target in dict.fromkeys(chosen["target"] for chosen, _ in lessons.wanted()):
        for seed in seeds:
            keys = [(lessons.digest_of(name, target), 0, seed) for name in SAMPLERS]
            order += keys
            if not there.keys() >= set(keys):
                tasks.append(joblib.delayed(untrained)(target, seed))
    if tasks:
        said = [*said, _by_what(len(tasks))]
        _write(path, said, there.values())
    with open(path, "a", newline="", encoding="utf-8") as file:
        made = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)(tasks)
        for found in tqdm(made, total=len(tasks), unit="run"):
            csv.writer(file, lineterminator="\n").writerows(row.entries() for row in found)
            file.flush()
            there.update({row.key: row for row in found})
    kept = [there[key] for key in dict.fromkeys(order)]
    _write(path, said, kept)
    return kept


def _by_what(runs: int) -> str:
    made_by = ", ".join(
        f"{name} {version(name)}" for name in ("ganlib", "torch", "numpy", "ziglang")
    )
    engine = "exact library" if sys.platform == "linux" else "WebAssembly"
    return (
        f"# {datetime.now(UTC):%Y-%m-%d}: {runs} runs by `{COMMAND}`, {engine}; {made_by}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def _write(path: Path, said: Iterable[str], rows: Iterable[Row]) -> None:
    text = io.StringIO()
    text.writelines(f"{line}\n" for line in said)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(row.entries() for row in rows)
    beside = path.with_suffix(".part")
    beside.write_text(text.getvalue(), encoding="utf-8")
    os.replace(beside, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, then print what the lessons say."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Counts the laboratory's lessons.")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--anew", action="store_true", help="make every row again")
    given = parser.parse_args(arguments)
    if given.anew:
        FILE.unlink(missing_ok=True)
    count(jobs=given.jobs)
    for name, preset in PRESETS.items():
        said = lessons.told(name)
        print(f"\n{preset.title}. {said.claim}\n  Try: {said.suggestion}\n  {said.answer}")
        for row in [said.columns, *said.rows]:
            print("  " + " | ".join(row))


if __name__ == "__main__":
    main()
