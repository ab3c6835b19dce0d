"""What the lessons of the laboratory say, with every number taken from one file of runs.

``python -m ganlib.lab.lessons`` writes :data:`FILE`: a row a run and step, of seeds that chose
nothing, and rows of what a perfect sampler and featureless ones get from the same scores. A row
carries a digest of the settings it was made with, so a lesson whose settings changed finds no rows
and says which command counts it anew.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from ganlib.lab.formula import NAMES
from ganlib.lab.gan.choices import DEFAULTS, TARGETS, settings
from ganlib.lab.gan.presets import PRESETS, Scores, preset_named
from ganlib.lab.laboratory import OWN

#: What the command writes: lines that begin with # say when and by what, the rest is a CSV table.
FILE = Path(__file__).with_name("lessons.csv")
COMMAND = "python -m ganlib.lab.lessons"
#: The seeds of every count. No setting and no claim was chosen by looking at one of them.
SEEDS = range(200, 230)
#: Samplers that train nothing, by the name of their score in :func:`ganlib.metrics.anchors`.
SAMPLERS = {"perfect": "perfect", "disc": "ball", "gaussian": "gaussian"}
COLUMNS = ("settings", "digest", "step", "seed", *Scores._fields)

_LABELS = {
    "perfect": "perfect sampler", "disc": "featureless disc", "gaussian": "one Gaussian",
}  # fmt: skip
_TITLES = {
    "modes": "modes", "fair": "fairly covered", "quality": "high quality",
    "divergence": "divergence (nats)", "pull": "mean pull", "strongest": "strongest pull",
    "span": "range of D", "left": "times left",
}  # fmt: skip


class Row(NamedTuple):
    """One run at one step, or one sampler that trains nothing, at step 0."""

    settings: str  #: in words, for a reader of the file
    digest: str
    step: int
    seed: int
    scores: Scores

    @property
    def key(self) -> tuple[str, int, int]:
        return self.digest, self.step, self.seed

    def entries(self) -> list[Any]:
        """As they stand in the file: six digits, nothing for NaN."""
        numbers = ("" if math.isnan(score) else f"{score:.6g}" for score in self.scores)
        return [self.settings, self.digest, self.step, self.seed, *numbers]


@dataclass(frozen=True)
class Counted:
    """The runs of a trial, or the draws of a sampler."""

    label: str
    step: int
    held: int | None  #: of how many the claim holds; None where nothing is claimed
    runs: tuple[Scores, ...]

    @property
    def said(self) -> str:
        """The count as it came, such as "27 of 30"."""
        return "" if self.held is None else f"{self.held} of {len(self.runs)}"

    def median(self, score: str) -> str:
        """The median of a score, in words."""
        values = self._values(score)
        return _said(score, statistics.median(values)) if values else "–"

    def range(self, score: str) -> str:
        """A score from the least to the most, in words."""
        values = self._values(score)
        if not values:
            return "–"
        low, high = (_said(score, value) for value in (min(values), max(values)))
        return low if low == high else f"{low.removesuffix(' %')} to {high}"

    def _values(self, score: str) -> list[float]:
        return [v for v in (getattr(run, score) for run in self.runs) if not math.isnan(v)]


class Told(NamedTuple):
    """A lesson in words: each number is from the file."""

    claim: str
    suggestion: str
    answer: str
    caption: str
    columns: list[str]
    rows: list[list[str]]


def told(name: str) -> Told:
    """The texts of a lesson, and its table.

    Raises
    ------
    LookupError
        If the file lacks runs of a setting that the lesson speaks of.
    """
    preset = preset_named(name)
    trials = counted(name)
    target = settings(**preset.settings)["target"]
    anchors = samplers(target)
    numbers = {key: _numbers(found) for key, found in (trials | anchors).items()}
    claim, suggestion, answer = (
        text.format(**numbers) for text in (preset.claim, preset.suggestion, preset.answer)
    )
    steps = len({found.step for found in trials.values()}) > 1
    rows = []
    for found in [*trials.values(), *anchors.values()]:
        head = found.label + (f", step {found.step:,}" if steps and found.step else "")
        cells = [
            median if median == spread else f"{median} ({spread})"
            for median, spread in ((found.median(s), found.range(s)) for s in preset.shown)
        ]
        rows.append([head, found.said, *cells])
    seeds = f"seeds {SEEDS[0]} to {SEEDS[-1]}"
    caption = f"Medians and ranges over the {seeds}" + ("" if steps else f", step {preset.steps:,}")
    columns = ["", "claim holds", *(_TITLES[s] for s in preset.shown)]
    return Told(claim, suggestion, answer, caption, columns, rows)


class Asked(NamedTuple):
    """What a lesson asks: in how many runs something holds, and of its options the right one."""

    question: str
    options: list[str]  #: a partition of all counts, so one of them is right
    answer: int  #: place of the right option
    resolved: str  #: the count as it came


def asked(name: str) -> Asked:
    """The prediction of a lesson, answered from the file.

    Raises
    ------
    LookupError
        If the file lacks runs of the setting that it asks about.
    """
    trial, question = preset_named(name).predict
    found = counted(name)[trial]
    number = len(found.runs)
    third = number // 3
    last = [third, number - third - 1, number]  # the largest count of each option
    options = [f"{third} or fewer", f"{third + 1} to {last[1]}", f"{last[1] + 1} or more"]
    answer = next(i for i, most in enumerate(last) if (found.held or 0) <= most)
    said = f"It was {found.said} (seeds {SEEDS[0]} to {SEEDS[-1]})."
    return Asked(question, options, answer, said)


def counted(name: str) -> dict[str, Counted]:
    """The runs of a lesson, by the name of the trial; ``itself`` comes first."""
    preset = preset_named(name)
    found = {}
    for key, trial in preset.trials.items():
        chosen = settings(**{**preset.settings, **trial.changes})
        runs = _runs(digest(chosen), trial.steps, f"the lesson {name!r} ({trial.label})")
        found[key] = Counted(trial.label, trial.steps, sum(map(trial.holds, runs)), runs)
    return found


def samplers(target: str) -> dict[str, Counted]:
    """What samplers that train nothing get from a target's scores."""
    return {
        name: Counted(label, 0, None, _runs(digest_of(name, target), 0, f"{label} of {target}"))
        for name, label in _LABELS.items()
    }


def wanted() -> list[tuple[dict[str, Any], list[int]]]:
    """Every setting that a lesson speaks of, once, with the steps it is scored at."""
    chosen: dict[str, dict[str, Any]] = {}
    steps: dict[str, set[int]] = {}
    for preset in PRESETS.values():
        for trial in preset.trials.values():
            found = settings(**{**preset.settings, **trial.changes})
            chosen[digest(found)] = found
            steps.setdefault(digest(found), set()).add(trial.steps)
    return [(found, sorted(steps[key])) for key, found in chosen.items()]


def digest(chosen: Mapping[str, Any]) -> str:
    """A name for settings: ten hexadecimal digits. The seed is aside, and formulas not in use."""
    target = TARGETS[chosen["target"]]
    aside = {"seed", *(() if chosen["loss"] == OWN else NAMES)}
    return _digest([
        {name: value for name, value in sorted(chosen.items()) if name not in aside},
        target.anchors.tolist(), target.std,
    ])  # fmt: skip


def digest_of(sampler: str, target: str) -> str:
    """A name for a sampler that trains nothing, and its target."""
    aim = TARGETS[target]
    return _digest([sampler, aim.anchors.tolist(), aim.std, aim.modes, aim.limits])


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]


def in_words(chosen: Mapping[str, Any]) -> str:
    """What differs from the defaults, for a reader of the file."""
    differ = [f"{name}={value}" for name, value in chosen.items()
              if name != "seed" and value != DEFAULTS[name]]  # fmt: skip
    return " ".join(differ) or "defaults"


def read(path: Path) -> tuple[list[str], list[Row]]:
    """The lines that say when and by what, and the rows that are whole."""
    text = path.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()  # an interrupted count may leave a part
    said = [line for line in lines if line.startswith("#")]
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    rows = [
        Row(
            line["settings"], line["digest"], int(line["step"]), int(line["seed"]),
            Scores(*(float(line[score] or "nan") for score in Scores._fields)),
        )
        for line in table
    ]  # fmt: skip
    return said, rows


@functools.cache
def _of(path: Path, changed: int) -> dict[tuple[str, int, int], Scores]:
    return {row.key: row.scores for row in read(path)[1]}


def _runs(digest: str, step: int, what: str) -> tuple[Scores, ...]:
    there = _of(FILE, FILE.stat().st_mtime_ns) if FILE.is_file() else {}
    keys = [(digest, step, seed) for seed in SEEDS]
    if lack := sum(key not in there for key in keys):
        raise LookupError(
            f"{FILE.name} lacks {lack} of {len(keys)} runs of {what}, step {step}: they were never "
            f"made, or its settings have changed since; run `{COMMAND}`"
        )
    return tuple(there[key] for key in keys)


def _numbers(found: Counted) -> SimpleNamespace:
    numbers = {"held": found.said}
    for score in _TITLES:
        numbers |= {score: found.median(score), f"{score}_range": found.range(score)}
    return SimpleNamespace(**numbers)


def _said(score: str, value: float) -> str:
    if score in ("modes", "fair", "left"):
        return f"{value:g}"
    if score == "quality":
        return f"{100 * value:.0f} %"
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}" if abs(value) >= 1e-4 or not value else f"{value:.0e}"
