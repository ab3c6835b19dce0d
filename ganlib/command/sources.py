"""Data by name: a toy, MNIST, CIFAR-10, a folder of pictures, or a CSV of points.

How they were read (:class:`Reading`) is saved with a model, so that `score` reads the same way.
"""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlib import data
from ganlib.checkpoint import digest
from ganlib.command.arguments import known
from ganlib.data import Mixture, Samples
from ganlib.files import BrokenImageError
from ganlib.scoring import split

__all__ = [
    "NAMED",
    "Reading",
    "Source",
    "fingerprint",
    "held_out",
    "is_picture",
    "parts",
    "read",
    "refuse_idle",
]

#: The data sets that have a name.
NAMED: dict[str, Callable[[], Samples | Mixture]] = {
    "ring": data.ring, "grid": data.grid, "spiral": data.spiral, "swiss-roll": data.swiss_roll,
    "two-moons": data.two_moons, "iris": data.iris, "digits": data.digits, "mnist": data.mnist,
    "cifar10": data.cifar10,
}  # fmt: skip

_TABLES = {".csv": ",", ".tsv": "\t", ".txt": None}  # None: pandas looks what separates columns
_SIZE = 32  # of the pictures of a folder, where nobody says


@dataclass(frozen=True)
class Reading:
    """How data are, or were, read; all plain values.

    Attributes
    ----------
    size, grey
        Of the pictures of a folder: side in pixels (None: 32), and whether without colour.
    columns, label
        Of a CSV: its columns of numbers (all but the label where empty), and that of the classes.
    centre, scale
        What was taken off each column of points and what it was divided by; found in the data
        where empty, and empty for pictures and named sets.
    """

    size: int | None = None
    grey: bool = False
    columns: tuple[str, ...] = ()
    label: str | None = None
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def in_their_units(self, points: Tensor) -> Tensor:
        """Points (N, d) as they stand in the file that the model learnt from."""
        if not self.scale:
            return points
        return points * points.new_tensor(self.scale) + points.new_tensor(self.centre)


@dataclass(frozen=True)
class Source:
    """Data, and how they were read."""

    samples: Samples | Mixture
    reading: Reading

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        if isinstance(self.samples, Mixture):
            return (2,)
        return tuple(self.samples.values.shape[1:])

    def classes(self) -> tuple[str, ...]:
        """The names of the classes; ValueError for data without labels or with one class."""
        if isinstance(self.samples, Mixture):
            self.samples.labelled()  # refuses a curve
            return tuple(f"mode {k}" for k in range(len(self.samples.centres)))
        if self.samples.labels is None:
            raise ValueError(
                f"{self.samples.name} has no classes for --conditional: every picture has to lie "
                "in a folder named as its class, DATA/CLASS/picture.jpg; a CSV needs --label COLUMN"
            )
        if len(self.samples.classes) < 2:
            raise ValueError(
                f"{self.samples.name} has one class, {self.samples.classes[0]!r}; --conditional "
                "takes two or more: leave it out, or give the folder above"
            )
        return self.samples.classes


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a sample of this shape is a picture (channels, height, width)."""
    return len(shape) == 3


def held_out(total: int, share: float | None) -> int:
    """How many samples training never sees: a share, or a tenth, 100 or more, a third at most."""
    if share is not None:
        return round(share * total)
    return min(max(total // 10, 100), total // 3)


def parts(samples: Samples, held: int, seed: int) -> tuple[Samples, Samples | None]:
    """What a model is trained on, and the ``held`` samples that it never sees, if any."""
    if not held:
        return samples, None
    training, unseen = split(samples, len(samples) - held, held, seed=seed)
    return training, unseen


def read(
    name: str, reading: Reading, *, skip_broken: bool = False, progress: bool | None = None
) -> Source:
    """The data of this name, or at this path; ``progress`` as for ``fit``.

    Raises
    ------
    ValueError
        For no such name or path (the nearest name is given), and what cannot be read.
    """
    path = Path(name).expanduser()
    if name in NAMED:
        return Source(NAMED[name](), reading)
    if path.is_dir():
        return _folder(path, replace(reading, size=reading.size or _SIZE), skip_broken, progress)
    if path.is_file() and path.suffix.lower() in _TABLES:
        return _table(path, reading)
    if path.is_file():
        raise ValueError(
            f"{path} is a file that is not read as data; give a folder of pictures, a file of "
            f"points ({', '.join(_TABLES)}), or one of {', '.join(NAMED)}"
        )
    raise ValueError(_nothing_there(path, name))


def _nothing_there(path: Path, name: str) -> str:
    # The nearest name of what lies beside it, or of a data set; for a path, only the former.
    beside = sorted(other.name for other in path.parent.glob("*") if _may_be_data(other))
    near = difflib.get_close_matches(path.name, beside, 1)
    if not near and path.name == name:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), NAMED, 1)
    else:
        near = [str(path.parent / other) for other in near]
    ask = f"; did you mean {near[0]!r}?" if near else "."
    return (
        f"{name!r} is no folder, file or named data set{ask} Give a folder of pictures, a file of "
        f"points ({', '.join(_TABLES)}), or one of {', '.join(NAMED)}"
    )


def _may_be_data(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in _TABLES)


def refuse_idle(name: str, reading: Reading) -> None:
    """Raise a ValueError for an option of a reading that means nothing to the data of this name."""
    path = Path(name).expanduser()
    if name not in NAMED and not path.exists():
        return  # which is another mistake, and `read` says it
    what, means = f"the data set {name}", set[str]()
    if name not in NAMED:
        what = "a folder of pictures" if path.is_dir() else "a table of points"
        means = {"size", "grey"} if path.is_dir() else {"columns", "label"}
    for option in ("size", "grey", "columns", "label"):
        if getattr(reading, option) and option not in means:
            raise ValueError(f"--{option} means nothing for {what}; leave it out")


def _folder(path: Path, reading: Reading, skip_broken: bool, progress: bool | None) -> Source:
    _tell_of_others(path)
    assert reading.size is not None
    try:
        found = data.image_folder(
            path, reading.size, grey=reading.grey, skip_broken=skip_broken, progress=progress
        )
    except BrokenImageError as error:
        raise ValueError(f"{error}, or leave out what is broken: --skip-broken") from error
    return Source(found, reading)


def _tell_of_others(folder: Path) -> None:
    """Say which pictures of a folder are of a kind that nobody reads: phones write .heic."""
    other = {".heic", ".heif", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".dng"}
    kinds = Counter(
        p.suffix.lower()
        for p in folder.rglob("*")
        if p.suffix.lower() in other and not p.name.startswith(".")
    )
    if kinds:
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        warnings.warn(f"{told} in {folder} are not read; save them as .jpg or .png", stacklevel=2)


def _table(path: Path, reading: Reading) -> Source:
    """Points from a file with a line for each, with or without a line of names at its head."""
    import pandas

    kind = _TABLES[path.suffix.lower()]
    how = {"sep": kind, "engine": "python"} if kind is None else {"sep": kind}
    try:
        top = pandas.read_csv(path, header=None, nrows=1, dtype=str, **how)
        named = pandas.to_numeric(top.iloc[0], errors="coerce").isna().any()
        table = pandas.read_csv(path, header=0 if named else None, **how)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a table of points ({error})") from error
    table.columns = [str(column).strip() for column in table.columns]
    names = list(table.columns)
    for name in [*reading.columns, *filter(None, [reading.label])]:
        known(name, f"column of {path.name}", names)
    chosen = list(reading.columns) or [name for name in names if name != reading.label]
    numbers = table[chosen].apply(pandas.to_numeric, errors="coerce")
    bad = np.argwhere(~np.isfinite(numbers.to_numpy("float64")))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{path}: the column {chosen[column]!r} holds {table[chosen[column]].iloc[row]!r} in "
            f"line {row + 1 + bool(named)}, no finite number; mend it, or choose with --columns "
            "(and --label for a column of classes)"
        )
    values = torch.from_numpy(numbers.to_numpy("float64", copy=True))
    if len(values) < 2:
        raise ValueError(f"{path} holds {len(values)} points; a model takes two or more")
    if not reading.scale:
        spread = values.std(0, correction=0)
        for name, size in zip(chosen, spread.tolist(), strict=True):
            if size == 0:
                raise ValueError(f"{path}: the column {name!r} is constant; leave it out")
        reading = replace(
            reading, columns=tuple(chosen), scale=tuple(spread.tolist()),
            centre=tuple(values.mean(0).tolist()),
        )  # fmt: skip
    values = (values - values.new_tensor(reading.centre)) / values.new_tensor(reading.scale)
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    if reading.label is not None:
        codes, found = pandas.factorize(table[reading.label].astype(str), sort=True)
        labels, classes = torch.from_numpy(codes).long(), tuple(map(str, found))
    return Source(Samples(path.stem, values.float(), labels, classes), reading)


def fingerprint(samples: Samples | Mixture) -> str:
    """What tells these data from others: of their values, or of what a distribution is."""
    if isinstance(samples, Mixture):
        return digest([samples.centres, samples.std])
    return digest([samples.values, samples.labels])
