"""Counts how soon digits are learnt: ``python -m ganlib.lab.digits.seeds``.

It trains ten seeds that no setting was chosen on, 1,000 steps each, in the page's own arithmetic
(ten seconds of one core), and writes ``ganlib/lab/digits/seeds.csv``, from which pages take what
they say. The last rows are what the same scores give for pictures that no GAN made: real digits
that nobody learnt from, and ten pictures only, the mean of each class.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from ganlib.lab.digits.game import within
from ganlib.lab.digits.pictures import CLASSES, judge_network, pictures
from ganlib.lab.digits.run import Run

__all__ = ["ENOUGH", "FILE", "SEEDS", "STEPS", "Row", "count", "main", "read", "trained"]

FILE = Path(__file__).with_name("seeds.csv")
SEEDS = range(200, 210)  #: the settings were chosen on 0 to 9
STEPS = 1000
ENOUGH = 0.9  #: of the 200 samples, read as the digit asked for


class Row(NamedTuple):
    """A row of the table."""

    what: str  #: "seed 200", "real, unseen" or "ten means"
    first: int  #: the first verdict's step with ENOUGH read as asked; -1 for none
    right: float  #: share read as asked at the end
    variety: float  #: variance within a class over the training pictures', at the end


def trained(seed: int, steps: int = STEPS) -> Row:
    """Train one seed, and say what the table says of it."""
    run = Run(seed)
    while run.step < steps and not run.diverged:
        run.both()
    history, last = run.history, run.record()
    reached = (s for s, right in zip(history["step"], history["right"], strict=True)
               if right >= ENOUGH)  # fmt: skip
    return Row(f"seed {seed}", int(next(reached, -1)), last.right, last.variety)


def count(seeds: Iterable[int] = SEEDS) -> list[Row]:
    """The rows of the table."""
    given, judge = pictures(), judge_network()
    nn.utils.vector_to_parameters(given.judge, judge.parameters())
    means = torch.stack([given.pictures[given.labels == k].mean(0) for k in range(CLASSES)])
    with torch.no_grad():
        right = (judge(means).argmax(1) == torch.arange(CLASSES)).float().mean().item()
    alike = within(means.expand(2, -1, -1)).item()
    return [
        *(trained(seed) for seed in seeds),
        Row("real, unseen", -1, given.accuracy, 1.0),
        Row("ten means", -1, right, alike / given.spread),
    ]


def read(path: Path = FILE) -> list[Row]:
    """The rows of a file."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            Row(row["what"], int(row["first"]), float(row["right"]), float(row["variety"]))
            for row in csv.DictReader(file)
        ]


def main() -> None:
    """Write the file, and print it."""
    rows = count()
    with open(FILE, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Row._fields)
        table.writerows(
            [row.what, row.first, f"{row.right:.3f}", f"{row.variety:.3f}"] for row in rows
        )
    print(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
