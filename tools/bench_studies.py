"""How fast a study is beside as many plain loops, in steps of one core's CPU seconds.

All of a study's work is counted but the compiling, which a process does once: making the members,
training, measuring, the table. CPU seconds, because the rows of one core are wanted whatever else
the machine does; a study with ``jobs=2`` is two of these.
"""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ganlib import data, networks, studies, training

if TYPE_CHECKING:
    from tools.bench import Comparison

#: engine -> members and steps of one timed study
SIZES = {"exact": (4, 4000), "fast": (4, 4000), "batched": (16, 100), "fit": (2, 400)}


def _ring(seed: int, hidden: int = 32) -> Any:
    generator = networks.mlp(2, hidden, hidden, 2, seed=seed)
    return generator, networks.mlp(2, hidden, hidden, 1, seed=seed + 1), data.ring()


def _spread(generator: nn.Module) -> dict[str, Any]:
    return {"sd": training.sample(generator, 256).std()}


def _study(engine: str, hidden: int, batch: int) -> float:
    """Steps of all members a CPU second."""
    members, steps = SIZES[engine]
    started = time.process_time()
    rows = studies.sweep(
        _ring, [{"hidden": hidden, "batch_size": batch}], range(members), measure=_spread,
        steps=steps, engine=engine, jobs=1, progress=False,
    )  # fmt: skip
    spent = time.process_time() - started
    if not rows["finite"].all() or {*rows["engine"]} != {engine}:
        raise RuntimeError(f"the study did not run as it should:\n{rows}")
    return members * steps / spent


def _plain(setting: Any) -> float:
    from tools.bench import tutorial_loop

    started = time.process_time()
    tutorial_loop(setting)
    return setting.steps / (time.process_time() - started)


def studies_comparisons() -> Iterator[Comparison]:
    """Each engine of a study against the tutorial loop, on both rings."""
    # Inside: that module's table has these rows.
    from tools.bench import RINGS, Comparison

    torch.set_num_threads(1)
    missing = importlib.util.find_spec("ziglang") is None
    if missing:
        print("a study's compiled engines need ziglang, and it is not here: four rows left out")
    for setting, hidden in zip(RINGS, (32, 64), strict=True):
        for engine in ("exact", "fast", "batched"):
            if missing and engine != "batched":
                continue
            ours: Callable[[], float] = functools.partial(_study, engine, hidden, setting.batch)
            what = f"a study, {engine}, a core, against loops, {setting.name}"
            yield Comparison(what, ours, functools.partial(_plain, setting))
