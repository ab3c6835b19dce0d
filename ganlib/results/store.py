"""The committed tables: a CSV a target and size, every row with its provenance.

The file is a :class:`ganlib.studies.table.Table`: a row is whole or not there. The column
``engine`` has the device, ``versions`` the provenance as JSON: target, size, digits of the code,
device and machine, versions, command, date.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ganlib
from ganlib.results.target import Job, Target
from ganlib.studies.keys import as_json

__all__ = ["TABLES", "Row", "file", "folder", "missing", "picture", "read"]

#: The tables that come with the library.
TABLES = Path(ganlib.__file__).parent / "results" / "tables"


@dataclass(frozen=True)
class Row:
    """One job's row.

    Attributes
    ----------
    row, seed
        Which job.
    setting, numbers
        Its settings; what it found.
    steps, cpu_seconds, wall_seconds
        Of the whole job.
    error
        Why there are no numbers; empty where there are.
    provenance
        Words by name.
    """

    row: str
    seed: int
    setting: Mapping[str, Any]
    numbers: Mapping[str, Any]
    steps: int
    cpu_seconds: float
    wall_seconds: float
    error: str
    provenance: Mapping[str, str]


@dataclass(frozen=True)
class Read:
    """A table as it was read."""

    path: Path
    rows: tuple[Row, ...]

    def of(self, row: str, name: str) -> np.ndarray:
        """One number of one row of the target, in order of seeds; lists give a further axis."""
        found = sorted((r for r in self.rows if r.row == row and not r.error), key=lambda r: r.seed)
        return np.array([r.numbers[name] for r in found])

    def seeds(self, row: str) -> list[int]:
        """The seeds of a row of the target, sorted."""
        return sorted(r.seed for r in self.rows if r.row == row)

    def said(self) -> str:
        """The provenance in words, as a page shows it."""
        found = {name: ", ".join(values) for name, values in self.provenance().items()}
        spent = sum(row.cpu_seconds for row in self.rows)
        device = {"cpu": "CPU", "cuda": "CUDA"}.get(found["device"], found["device"])
        return (
            f"{self.path.name}: {len(self.rows)} rows, {found['size']} size, on {device} "
            f"({found['machine']}), {spent:.0f} CPU seconds; torch {found['torch']}, Python "
            f"{found['python']}, ganlib {found['ganlib']}, code {found['code']}; {found['date']}; "
            f"{found['command']}"
        )

    def provenance(self) -> dict[str, list[str]]:
        """Every entry of the rows' provenance, each with all its values."""
        names = sorted({name for row in self.rows for name in row.provenance})
        return {n: sorted({row.provenance.get(n, "?") for row in self.rows}) for n in names}


def folder() -> Path:
    """Where new tables go: in a checkout to the committed ones, else to ``results`` here."""
    in_checkout = (Path(ganlib.__file__).parents[1] / "pyproject.toml").is_file()
    return TABLES if in_checkout else Path("results")


def file(name: str, size: str, place: Path = TABLES) -> Path:
    """The path of a table."""
    return place / f"{name}-{size}.csv"


def picture(name: str, size: str, row: str, seed: int, place: Path = TABLES) -> Path:
    """The path of a job's pictures."""
    return place / f"{name}-{size}-{re.sub('[ ,]+', '-', row)}-{seed}.png"


def read(name: str, size: str, place: Path = TABLES) -> Read | None:
    """A table, or None where there is none; a half-written last line is no row."""
    path = file(name, size, place)
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return Read(path, tuple(_row(entry) for entry in csv.DictReader(whole)))


def missing(target: Target, size: str, place: Path = TABLES) -> list[Job]:
    """The declared jobs that the table has no row of with these settings."""
    found = read(target.name, size, place)
    there = {(r.row, as_json(r.setting), r.seed) for r in found.rows} if found else set()
    jobs = target.sizes[size].jobs()
    return [job for job in jobs if (job.row, as_json(job.setting), job.seed) not in there]


def _row(entry: Mapping[str, str]) -> Row:
    setting = json.loads(entry["settings"])
    return Row(
        setting.pop("row"), int(entry["seed"]), setting, json.loads(entry["measured"]),
        int(entry["steps"]), float(entry["cpu_seconds"]), float(entry["wall_seconds"]),
        entry["error"], json.loads(entry["versions"]),
    )  # fmt: skip
