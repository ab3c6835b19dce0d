"""Many independent GANs: settings and seeds in, a table with a row for each run out.

A study says what becomes of a claim over many seeds::

    def ring_gan(seed, hidden=32):
        generator = mlp(2, hidden, hidden, 2, seed=seed)
        return generator, mlp(2, hidden, hidden, 1, seed=seed + 1), ring()

    def measure(generator):
        return {"modes": modes_of(sample(generator, 2500))}

    table = sweep(ring_gan, [{"betas": (0.0, 0.999)}, {"betas": (0.5, 0.999)}], range(10),
                  measure=measure, steps=4000, table="study.csv", jobs=2)

All is plain functions: ``member`` makes a GAN, ``compiled`` and ``batched`` train it, ``work``
brings runs to processes, which are joblib's, ``table`` is the file, ``keys`` tells its rows apart.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ganlib.checks import check_count
from ganlib.studies import keys
from ganlib.studies.member import Make, check
from ganlib.studies.table import Table
from ganlib.studies.work import Measure, Run, results

__all__ = ["ENGINES", "sweep"]

#: ``exact`` is the default: the bits of the page's module, on every machine.
ENGINES = ("exact", "fast", "batched", "fit")


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
        A compiled step draws from a tensor or a mixture itself, from another sampler by torch.
        Its further arguments can be set by the settings.
    settings
        One dict a setting: arguments of ``fit`` (``learning_rate``, ``betas``, ``epsilon``,
        ``loss``, ``penalty``, ``clip``, ``pack``, ``batch_size``, ``discriminator_steps``,
        ``optimiser``, ``options``, ...), ``penalty_weight``, ``average`` (the decay of an average
        of the generator's weights, which is measured too), ``unrolled`` (steps of the
        discriminator that the generator looks ahead), and arguments of ``make``.
    seeds
        Integers. A run is a function of its setting and seed.
    measure
        Generator after training -> numbers by name; of the averaged one they are columns
        ``"averaged <name>"``. Gradients are off, layers are in evaluation
        mode, torch's own generator is seeded with the run's seed.
    steps
        Generator steps of each run.
    table
        A CSV file that rows are appended to as they come; rows that it has already are not run
        again, those of other studies in it are left alone. None keeps the table in memory.

        A row's key is made of the setting, the seed, the steps, the engine, ``make`` and
        ``measure`` (their code, and what they name in their own module), the code of
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
        ``measure`` returned, ``steps``, ``engine``, ``why``, ``finite`` (whether all of it is),
        ``error``, ``cpu_seconds`` and ``wall_seconds`` of the training (in the first run of a
        process with what it takes to compile), and ``key``. A run that diverged or raised has its
        error there, and NaN for what was to be measured; it is not run again while its row is in
        the table.

    Raises
    ------
    ValueError
        For a setting that neither ``fit`` nor ``make`` knows, no setting or no seed at all, a seed
        that is no whole number, an engine of another name, a file that is no table.
    BlockingIOError
        If another study is writing to the table.
    OSError
        If the table cannot be written. What it holds stays.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> from ganlib.networks import mlp
    >>> from ganlib.training import sample
    >>> def ring_gan(seed, hidden=8):
    ...     generator = mlp(2, hidden, 2, seed=seed)
    ...     return generator, mlp(2, hidden, 1, seed=seed + 1), ring()
    >>> def measure(generator):
    ...     return {"std": sample(generator, 100).std().item()}
    >>> settings = [{"hidden": 8}, {"hidden": 16}]
    >>> table = sweep(ring_gan, settings, range(2), measure=measure, steps=5, engine="fit")
    >>> table["hidden"].tolist(), table["seed"].tolist()
    ([8, 8, 16, 16], [0, 1, 0, 1])
    >>> ENGINES
    ('exact', 'fast', 'batched', 'fit')
    """
    if isinstance(settings, Mapping):
        raise TypeError("settings is one dict; pass a list of them, such as [{}] for one setting")
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    check_count(steps, "steps", 0)
    if jobs is not None and jobs != -1:  # -1: one a core, as joblib has it
        check_count(jobs, "jobs")
    settings, seeds = [dict(setting) for setting in settings], list(seeds)
    for name, given, example in (("settings", settings, "[{}]"), ("seeds", seeds, "range(10)")):
        if not given:
            raise ValueError(f"{name} is empty; give at least one, such as {name}={example}")
    for seed in seeds:
        check_count(seed, "a seed", 0)
        if seed >= 2**32:
            raise ValueError(f"a seed is {seed}; it must be below 2**32")
    steps, seeds = int(steps), [int(seed) for seed in seeds]
    check(make, settings)
    versions = keys.versions(make, measure, engine)
    runs = [
        Run(keys.key(setting, seed, steps, versions), setting, seed)
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
            for rows in results(make, measure, engine, steps, missing, jobs):
                file.append([{**row, "versions": keys.as_json(versions)} for row in rows])
                bar.update(len(rows))
        result = _frame(wanted.values(), file.rows)
    failed = result[result["error"] != ""]
    if len(failed):
        warnings.warn(
            f"{len(failed)} of {len(result)} runs failed, the first with "
            f"{failed['error'].iloc[0][:300]}; the column error has them all",
            stacklevel=2,
        )
    return result


def _frame(runs: Iterable[Run], rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
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
    return frame[[name for name in frame.columns if name not in last] + last]
