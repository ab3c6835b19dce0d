"""``python -m ganlib reproduce``: published tables made again (:mod:`ganlib.results`)."""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import torch

from ganlib import results
from ganlib.command.arguments import command_parser, count, device, known
from ganlib.command.pictures import write_grid
from ganlib.results.store import Read, folder
from ganlib.results.target import Target

__all__ = ["parser", "run"]

_EXAMPLES = """\
  # what there is, and what it costs here
  python -m ganlib reproduce --list
  # one table; stopped, by kill -9 too, the same command goes on
  python -m ganlib reproduce f-gan-gaussian
  # every table: at full size on CUDA, on a CPU at what two cores can do
  python -m ganlib reproduce --all
  # two more seeds of one table, into a folder of your own
  python -m ganlib reproduce dcgan-mnist --small --seeds 200 201 --out mine
"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    built = command_parser(
        "reproduce",
        "(NAME | --all | --list) [options]",
        "Make a table of the page `results` again, and go on with one that was stopped.",
        _EXAMPLES,
    )
    built.set_defaults(seed=None)
    add = built.add_argument
    add("name", nargs="?", help="a target, as --list names them")
    add("--list", action="store_true", help="the targets, their jobs, and what they cost")
    add("--all", action="store_true", help="every target, one after the other")
    size = built.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="the full size, on a CPU too")
    size.add_argument("--small", action="store_true", help="what two cores can do, on CUDA too")
    add("--seeds", type=count(0), nargs="+", metavar="SEED", help="in place of the declared ones")
    add("--out", type=Path, metavar="FOLDER", help="of the tables (default: in a checkout the "
        "committed ones, ganlib/results/tables, else ./results)")  # fmt: skip
    add("--fresh", action="store_true", help="begin the table anew; the old one ends in .old")
    return built


def run(options: argparse.Namespace) -> None:
    """Run the jobs that have no row yet; say what came of them."""
    if options.seed is not None:
        raise ValueError("reproduce has no --seed: the jobs' seeds are declared; pass --seeds")
    place = folder() if options.out is None else options.out.expanduser()
    if options.list:
        print(_listed(place))
        return
    if options.all == bool(options.name):
        raise ValueError("name one target, or pass --all; --list has their names")
    names = list(results.TARGETS) if options.all else [options.name]
    for name in names:
        known(name, "target", results.TARGETS)
    on = device(options.device)
    # One thread: the rows' bits, and their CPU seconds, are those of one.
    torch.set_num_threads(1)
    for target in map(results.TARGETS.get, names):
        assert target is not None  # known
        size = "full" if options.full else "small" if options.small else target.size(on)
        if options.all and size not in target.sizes:
            size = "full"  # it has no other
        if options.all and not (options.fresh or options.seeds):
            found = results.read(target.name, size, place)
            if found and not results.missing(target, size, place):
                if not options.quiet:  # whatever code made its rows: nothing is left to add
                    print(f"{_summary(found, size)}\n  complete; --fresh makes it anew")
                continue
        _warn(target, size, on)
        found = results.reproduce(
            target, size=size, device=on, seeds=options.seeds, place=place, fresh=options.fresh,
            draw=write_grid, progress=False if options.quiet else None,
        )  # fmt: skip
        if not options.quiet:
            print(_summary(found, size))


def _warn(target: Target, size: str, on: torch.device) -> None:
    if size in target.sizes and on.type == "cpu" and target.sizes[size].cost > 3600:
        hours = target.sizes[size].cost / 3600
        warnings.warn(
            f"{target.name} at {size} size takes about {hours:.0f} CPU hours of one core "
            f"({target.sizes[size].measured}); every job's row is kept, so it may be stopped",
            stacklevel=2,
        )


def _listed(place: Path) -> str:
    lines = []
    for target in results.TARGETS.values():
        lines.append(f"{target.name}: {target.question}")
        for name, size in target.sizes.items():
            jobs = len(list(size.jobs()))
            there = jobs - len(results.missing(target, name, place))
            lines.append(
                f"  {name:5}  {there} of {jobs} jobs done; {_time(size.cost)} of one core in all "
                f"({size.measured})"
            )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    for least, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * least:
            return f"about {seconds / least:.0f} CPU {unit}"
    return f"about {seconds:.0f} CPU seconds"


def _summary(found: Read, size: str) -> str:
    failed = sum(bool(row.error) for row in found.rows)
    spent = sum(row.cpu_seconds for row in found.rows)
    lines = [
        f"{os.path.relpath(found.path)}: {len(found.rows)} rows of {size} size, {failed} diverged, "
        f"{spent:.0f} CPU seconds"
    ]
    for row in found.rows:
        shown = (
            f"{name} {value:.4g}" for name, value in row.numbers.items()
            if not isinstance(value, list)
        )  # fmt: skip
        lines.append(f"  {row.row}, seed {row.seed}: {row.error or ', '.join(shown)}")
    return "\n".join(lines)
