"""What is reproduced: a target, its jobs, what each of them returns. Values; nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["SIZES", "Job", "Outcome", "Published", "Size", "Target"]

#: ``full`` is what the source did, or what is meant in the end; ``small`` is what two cores can do.
SIZES = ("small", "full")


class Outcome(NamedTuple):
    """What a job found: numbers (or lists of them) by name; pictures (N, channels, h, w)."""

    numbers: Mapping[str, Any]
    pictures: Tensor | None = None
    columns: int = 10


class Job(NamedTuple):
    """One row to come: which row of the target's table, its settings, a seed."""

    row: str
    setting: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Published:
    """Numbers that somebody else printed.

    Attributes
    ----------
    source
        The key of ``book/references.bib``.
    where
        In the source; and how we know the numbers.
    rows
        Row -> name -> value, with the rows and names of the target.
    errors
        Row -> name -> what the source prints after the sign ±; where it prints that.
    """

    source: str
    where: str
    rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """The jobs of one size, and what one of them costs.

    Attributes
    ----------
    rows
        Row -> settings: plain values by name.
    seeds
        Each row is run with each.
    steps
        Of training, of each job; 0 where nothing is trained.
    seconds
        CPU seconds of one job on one core.
    measured
        What that rests on: the committed rows, or so many steps timed and multiplied.
    """

    rows: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    steps: int
    seconds: float
    measured: str

    def jobs(self, seeds: tuple[int, ...] | None = None) -> Iterator[Job]:
        """Every row with every seed, in that order."""
        for row, setting in self.rows.items():
            for seed in self.seeds if seeds is None else seeds:
                yield Job(row, setting, seed)

    @property
    def cost(self) -> float:
        """CPU seconds of all jobs on one core."""
        return self.seconds * len(self.rows) * len(self.seeds)


@dataclass(frozen=True)
class Target:
    """A table that somebody printed, or that the book needs, and how it is made here.

    Attributes
    ----------
    name
        As it is typed after ``reproduce`` (:mod:`ganlib.command`).
    question
        In one line.
    protocol
        What a job does, in a sentence or two.
    published
        What it is compared with; None where no number can be, as ``differences`` then says.
    differences
        From the source's protocol, one by one.
    run
        (job, steps, device, progress) -> :class:`Outcome`: a function of these alone.
    sizes
        By name, of :data:`SIZES`; ``full`` alone where two cores are enough.
    beside
        Numbers by another protocol than the target's, with rows of their own: to be read beside
        ours, compared with none of them.
    """

    name: str
    question: str
    protocol: str
    published: Published | None
    differences: tuple[str, ...]
    run: Callable[[Job, int, torch.device, bool | None], Outcome]
    sizes: Mapping[str, Size]
    beside: tuple[Published, ...] = ()

    def size(self, device: torch.device) -> str:
        """The size that this device can do: full on CUDA, else the smallest there is."""
        return "full" if device.type == "cuda" or "small" not in self.sizes else "small"
