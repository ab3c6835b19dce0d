"""Data sets: two-dimensional mixtures with known modes, Iris, and images.

Every function returns a data set with one method in common, ``sample(count, generator)``, which
is what :func:`ganlib.training.fit` asks for. A :class:`Mixture` is a distribution and can be
drawn from for ever; a :class:`Samples` holds a finite set.

Real images are read from ``$GANLIB_DATA`` if it holds them, else downloaded once, with a
checksum, into ``$GANLIB_DATA`` or the user's cache. Nothing is downloaded when a module is
imported.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Mixture",
    "OfflineError",
    "Samples",
    "cifar10",
    "digits",
    "grid",
    "image_folder",
    "iris",
    "mnist",
    "ring",
    "spiral",
    "swiss_roll",
    "two_moons",
]


class OfflineError(ConnectionError):
    """A data file is neither on disk nor to be had from the network."""


@dataclass(frozen=True)
class Mixture:
    """A distribution on the plane whose parts are known.

    Attributes
    ----------
    name
        What it is called in captions.
    centres
        The modes, shape (K, 2); for a curve, points along it.
    std
        The standard deviation of the Gaussian noise about a mode or the curve.
    """

    name: str
    centres: Tensor
    std: float
    _draw: Callable[[int, torch.Generator], Tensor] | None = None

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` independent points, shape (count, 2), from the given torch generator.

        Without a generator the draw is that of seed 0: every call gives the same points.
        """
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        if self._draw is not None:
            place = self._draw(count, generator)
        else:
            place = self.centres[torch.randint(len(self.centres), (count,), generator=generator)]
        return place + self.std * torch.randn(count, 2, generator=generator)

    def log_density(self, points: Tensor) -> Tensor:
        """Log density at points (N, 2), shape (N,), for a mixture of Gaussians of equal weight.

        Raises
        ------
        ValueError
            For a curve with noise, whose density has no closed form here.
        """
        if self._draw is not None:
            raise ValueError(f"{self.name} has no closed-form density; estimate it from samples")
        distance = torch.cdist(points, self.centres.to(points)).square()
        constant = math.log(2 * math.pi * self.std**2) + math.log(len(self.centres))
        return torch.logsumexp(-distance / (2 * self.std**2), dim=1) - constant


@dataclass(frozen=True)
class Samples:
    """A finite data set.

    Attributes
    ----------
    name
        What it is called in captions.
    values
        The samples, shape (N, ...), float32. Images are (N, channels, height, width) in [-1, 1].
    labels
        Class of each sample, shape (N,), int64, or None.
    classes
        The names of the classes.
    """

    name: str
    values: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` samples with replacement; without a generator, those of seed 0."""
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return self.values[torch.randint(len(self.values), (count,), generator=generator)]


def ring(modes: int = 8, *, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """Gaussians at equal angles on a circle, the first at angle 0.

    The default is the ring of VEEGAN and PacGAN: 8 *distinct* modes, radius 1, standard
    deviation 0.01. (Dividing the circle with both end points gives 7 modes, one twice as heavy.)
    """
    _check(modes=modes, radius=radius, std=std)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return Mixture(f"ring of {modes}", centres.float(), std)


def grid(side: int = 5, *, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Gaussians on a centred square lattice of ``side`` x ``side`` points (PacGAN: 25, 2, 0.05)."""
    _check(side=side, spacing=spacing, std=std)
    axis = spacing * (torch.arange(side, dtype=torch.float32) - (side - 1) / 2)
    return Mixture(f"grid of {side * side}", torch.cartesian_prod(axis, axis), std)


def spiral(turns: float = 2.0, *, radius: float = 1.0, std: float = 0.02) -> Mixture:
    """An Archimedean spiral from the origin to ``radius``, uniform in the angle, with noise."""
    _check(turns=turns, radius=radius, std=std)

    def curve(position: Tensor) -> Tensor:
        angle = 2 * math.pi * turns * position
        return radius * position[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    return _curve("spiral", curve, std)


def swiss_roll(*, radius: float = 1.0, std: float = 0.03) -> Mixture:
    """The swiss roll seen from above: an angle from 1.5 pi to 4.5 pi, radius in proportion."""
    _check(radius=radius, std=std)

    def curve(position: Tensor) -> Tensor:
        angle = 1.5 * math.pi * (1 + 2 * position)
        scaled = radius * angle / (4.5 * math.pi)
        return scaled[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    return _curve("swiss roll", curve, std)


def two_moons(*, std: float = 0.05) -> Mixture:
    """Two interleaved half circles of radius 1 (Pedregosa et al. 2011), centred on the origin."""
    _check(std=std)

    def curve(position: Tensor) -> Tensor:
        upper = position < 0.5
        angle = 2 * math.pi * torch.where(upper, position, position - 0.5)
        outer = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1)
        inner = torch.stack([0.5 - angle.cos(), 0.25 - angle.sin()], dim=1)
        return torch.where(upper[:, None], outer, inner)

    return _curve("two moons", curve, std)


def _curve(name: str, curve: Callable[[Tensor], Tensor], std: float) -> Mixture:
    def draw(count: int, generator: torch.Generator) -> Tensor:
        return curve(torch.rand(count, generator=generator))

    # The end point belongs to the last piece: a position of exactly 1 is never drawn.
    return Mixture(name, curve(torch.linspace(0, 1 - 1e-6, 100)), std, draw)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"{name} is {value}; it must be positive and finite")


def iris(columns: Sequence[int] = (0, 2), *, standardise: bool = True) -> Samples:
    """Columns of Fisher's Iris (Fisher 1936): 150 flowers, as shipped with scikit-learn.

    Parameters
    ----------
    columns
        0 sepal length, 1 sepal width, 2 petal length, 3 petal width.
    standardise
        Shift and scale each column to mean 0 and standard deviation 1; centimetres if False.
    """
    if not columns or any(column not in range(4) for column in columns):
        raise ValueError(f"columns are {tuple(columns)}; choose among 0, 1, 2, 3")
    from sklearn.datasets import load_iris

    bunch = load_iris()
    values = torch.tensor(bunch.data[:, list(columns)], dtype=torch.float64)
    if standardise:
        values = (values - values.mean(0)) / values.std(0, correction=0)
    return Samples("Iris", values.float(), torch.tensor(bunch.target), tuple(bunch.target_names))


def digits() -> Samples:
    """The 8x8 handwritten digits that scikit-learn ships (Alpaydin and Kaynak 1998).

    1,797 images, shape (1797, 1, 8, 8), in [-1, 1].
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 8 - 1
    return Samples("digits", images, torch.tensor(bunch.target), tuple(map(str, range(10))))


# Published SHA-256 checksums. The mirrors hold the same bytes; the first that answers is used.
_MNIST = {
    "train-images": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_CIFAR10 = "cifar-10-python.tar.gz"
_CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_CIFAR10_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
_CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def mnist(split: str = "train", *, offline: Callable[[], Samples] | None = None) -> Samples:
    """MNIST (LeCun et al. 1998): 60,000 or 10,000 images (N, 1, 28, 28) in [-1, 1].

    Parameters
    ----------
    split
        "train" or "test".
    offline
        What to use where the files are neither on disk nor to be downloaded, such as
        :func:`digits`; the caller can tell by the ``name`` of what it gets.

    Raises
    ------
    OfflineError
        If the files cannot be had and ``offline`` is None.
    ValueError
        If a file on disk has the wrong checksum.
    """
    part = _split(split, {"train": "train", "test": "t10k"})
    try:
        images, labels = (
            _fetch(f"{kind}-ubyte.gz", _MNIST[kind[:-5]], _MNIST_MIRRORS, folder="mnist")
            for kind in (f"{part}-images-idx3", f"{part}-labels-idx1")
        )
    except OfflineError:
        if offline is None:
            raise
        return offline()
    pixels = torch.from_numpy(_idx(images)).float()[:, None] / 127.5 - 1
    return Samples("MNIST", pixels, torch.from_numpy(_idx(labels)).long(), tuple("0123456789"))


def cifar10(split: str = "train", *, offline: Callable[[], Samples] | None = None) -> Samples:
    """CIFAR-10 (Krizhevsky 2009): 50,000 or 10,000 images (N, 3, 32, 32) in [-1, 1].

    A ``cifar10-jpeg.zip`` (train/CLASS/*.jpg, test/CLASS/*.jpg) in ``$GANLIB_DATA`` is used
    where the official archive is missing. It is lossy, and the ``name`` says so.
    """
    part = _split(split, {"train": "train", "test": "test"})
    zipped = _data_folder() / "cifar10-jpeg.zip"
    if zipped.exists() and not (_data_folder() / _CIFAR10).exists():
        return _cifar10_jpeg(zipped, part)
    try:
        archive = _fetch(_CIFAR10, _CIFAR10_SHA256, _CIFAR10_MIRRORS)
    except OfflineError:
        if offline is None:
            raise
        return offline()
    names = ["test_batch"] if part == "test" else [f"data_batch_{k}" for k in range(1, 6)]
    pixels, labels = [], []
    with tarfile.open(archive) as tar:
        for name in names:
            member = tar.extractfile(f"cifar-10-batches-py/{name}")
            assert member is not None
            # The checksum above vouches for these pickles.
            batch = pickle.load(member, encoding="bytes")
            pixels.append(batch[b"data"].reshape(-1, 3, 32, 32))
            labels.extend(batch[b"labels"])
    values = torch.from_numpy(np.concatenate(pixels)).float() / 127.5 - 1
    return Samples("CIFAR-10", values, torch.tensor(labels), _CIFAR10_CLASSES)


def _cifar10_jpeg(path: Path, part: str) -> Samples:
    from PIL import Image

    pixels, labels = [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            folders = name.split("/")
            if not name.endswith(".jpg") or part not in folders:
                continue
            with archive.open(name) as file:
                pixels.append(np.asarray(Image.open(file).convert("RGB")))
            labels.append(_CIFAR10_CLASSES.index(folders[-2]))
    if not pixels:
        raise ValueError(f"{path} has no files {part}/CLASS/*.jpg; replace it or delete it")
    values = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return Samples("CIFAR-10 (JPEG)", values, torch.tensor(labels), _CIFAR10_CLASSES)


def image_folder(path: str | os.PathLike[str], size: int = 32, *, grey: bool = False) -> Samples:
    """Your own images: every JPEG or PNG below ``path``, cut square, scaled to ``size``.

    The folder directly below ``path`` that holds an image is its class. Returns values
    (N, 3, size, size), or (N, 1, size, size) if ``grey``, in [-1, 1].
    """
    from PIL import Image, ImageOps

    root = Path(path)
    files = sorted(
        file for file in root.rglob("*") if file.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )
    if not files:
        raise ValueError(f"{root} holds no .jpg, .jpeg or .png file; give the folder above them")
    classes = sorted({file.relative_to(root).parts[0] for file in files if file.parent != root})
    pixels, labels = [], []
    for file in files:
        with Image.open(file) as image:
            square = ImageOps.fit(image.convert("L" if grey else "RGB"), (size, size))
        pixels.append(np.atleast_3d(np.asarray(square)))
        if file.parent != root:
            labels.append(classes.index(file.relative_to(root).parts[0]))
    values = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    complete = len(labels) == len(files)
    return Samples(root.name, values, torch.tensor(labels) if complete else None, tuple(classes))


def _split(split: str, known: dict[str, str]) -> str:
    if split not in known:
        raise ValueError(f"split is {split!r}; choose one of {', '.join(map(repr, known))}")
    return known[split]


def _data_folder() -> Path:
    chosen = os.environ.get("GANLIB_DATA")
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("ganlib"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(name: str, sha256: str, mirrors: Sequence[str], folder: str = "") -> Path:
    """The path of a data file with this checksum: on disk already, or downloaded now."""
    place = _data_folder() / folder
    path = place / name
    if path.exists():
        found = _sha256(path)
        if found != sha256:
            raise ValueError(
                f"{path} has the SHA-256 checksum {found}, expected {sha256}: it is damaged or "
                "another file; delete it, and it will be downloaded again"
            )
        return path
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # the bar says what is being downloaded
    failures = []
    for mirror in mirrors:
        try:
            # pooch downloads to a temporary name and moves the file once its checksum is right.
            got = pooch.retrieve(
                mirror + name, f"sha256:{sha256}", fname=name, path=place,
                downloader=pooch.HTTPDownloader(timeout=10, progressbar=True),
            )  # fmt: skip
            return Path(got)
        except (OSError, ValueError, requests.RequestException) as error:
            failures.append(f"{mirror} ({type(error).__name__})")
    raise OfflineError(
        f"{name} is not in {place} and could not be downloaded from {' or '.join(failures)}; "
        "connect to the network, or put the file there, or set GANLIB_DATA to a folder that "
        f"holds {Path(folder) / name}"
    )


def _idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST: two zero bytes, dtype, rank, sizes, values."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is no IDX file of bytes: it starts with {content[:3]!r}")
    shape = tuple(np.frombuffer(content, ">i4", rank, offset=4))
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()
