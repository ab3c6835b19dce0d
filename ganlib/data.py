"""Data sets: two-dimensional mixtures with known modes, Iris, and images.

Every function returns a data set with one method in common, ``sample(count, generator)``, which
is what :func:`ganlib.training.fit` asks for. A :class:`Mixture` is a distribution and can be
drawn from for ever; a :class:`Samples` holds a finite set. Both make a conditional data set by
``labelled()``, whose samples are pairs (x, y).

Data lie on the CPU. Without a generator a draw comes from torch's global one, as everywhere in
torch: the next call draws on, and ``torch.manual_seed`` starts it again. Real images are read
from ``$GANLIB_DATA`` if it holds them, else downloaded once, with a checksum
(:mod:`ganlib.files`).
"""

from __future__ import annotations

import math
import os
import pickle
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ganlib import files, pairs
from ganlib.checks import check_count
from ganlib.files import BrokenImageError, OfflineError

__all__ = [
    "Labelled",
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

_BAR_AFTER = 2.0  # seconds of reading before a progress bar appears


@dataclass(frozen=True)
class Labelled:
    """A conditional data set: what :meth:`Samples.labelled` and :meth:`Mixture.labelled` give.

    Examples
    --------
    >>> pairs = digits().labelled()
    >>> isinstance(pairs, Labelled)
    True
    >>> x, y = pairs.sample(5)
    >>> x.shape, y.shape, y.dtype
    (torch.Size([5, 1, 8, 8]), torch.Size([5]), torch.int64)
    """

    _draw: Callable[[int, torch.Generator | None], tuple[Tensor, Tensor]]

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw ``count`` pairs: samples (count, ...) and classes (count,), int64 from 0.

        The samples are those that the data set without labels draws from the same generator.
        """
        return self._draw(count, generator)


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

    Examples
    --------
    >>> two = Mixture("two modes", torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), std=0.1)
    >>> two.sample(4).shape
    torch.Size([4, 2])
    >>> one = Mixture("one mode", torch.zeros(1, 2), std=1.0)
    >>> one.log_density(torch.zeros(1, 2))  # -log(2 pi)
    tensor([-1.8379], dtype=torch.float64)
    """

    name: str
    centres: Tensor
    std: float
    _curve: Callable[[Tensor], Tensor] | None = None

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` independent points, shape (count, 2), float32 on the centres' device."""
        if self._curve is None:
            return self._labelled(count, generator)[0]
        place = self._curve(torch.rand(count, generator=generator, device=_place(generator)))
        return self._blurred(place.to(self.centres.device), generator)

    def labelled(self) -> Labelled:
        """The same points together with the number of the mode that each was drawn from.

        Raises
        ------
        ValueError
            For a curve, which has no modes.
        """
        if self._curve is not None:
            raise ValueError(f"{self.name} is a curve and has no modes to tell apart")
        return Labelled(self._labelled)

    def _labelled(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        mode = _rows(self.centres, count, generator)
        return self._blurred(self.centres[mode], generator), mode

    def _blurred(self, place: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = torch.randn(len(place), 2, generator=generator, device=_place(generator))
        return place + self.std * noise.to(place.device)

    def log_density(self, points: Tensor) -> Tensor:
        """Log density at points (N, 2), shape (N,), for a mixture of Gaussians of equal weight.

        Computed and returned in float64: at a standard deviation of 0.01 the squares of a density
        have no digit to spare.

        Raises
        ------
        TypeError, ValueError
            For points that are no finite points of the plane, and for a curve with noise, whose
            density has no closed form here.
        """
        if self._curve is not None:
            raise ValueError(f"{self.name} has no closed-form density; estimate it from samples")
        points, centres = pairs.two(points, self.centres.to(points.device), ("points", "centres"))
        exponent = -pairs.squares(points, centres) / (2 * self.std**2)
        constant = math.log(2 * math.pi * self.std**2) + math.log(len(centres))
        return torch.logsumexp(exponent, dim=1) - constant


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

    Raises
    ------
    ValueError
        For labels that are no integers, one a sample.

    Examples
    --------
    >>> mine = Samples("mine", torch.arange(6.0).reshape(3, 2))
    >>> mine.sample(10).shape
    torch.Size([10, 2])
    """

    name: str
    values: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = self.labels
        if labels is None:
            return
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        if (
            not isinstance(labels, Tensor)
            or labels.is_floating_point()
            or labels.is_complex()
            or labels.shape != self.values.shape[:1]
        ):
            shape = f" and shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else ""
            raise ValueError(
                f"labels have {kind}{shape} for {len(self.values)} samples; pass one whole number "
                "a sample, for example torch.tensor([0, 1, ...])"
            )

    def __len__(self) -> int:
        return len(self.values)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``count`` samples with replacement, shape (count, ...)."""
        return self.values[_rows(self.values, count, generator)]

    def labelled(self) -> Labelled:
        """The same samples together with their classes; ValueError if there are no labels."""
        if self.labels is None:
            raise ValueError(f"{self.name} has no labels; make it with Samples(..., labels=...)")
        labels = self.labels.long()

        def draw(count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
            rows = _rows(self.values, count, generator)
            return self.values[rows], labels[rows]

        return Labelled(draw)


def _place(generator: torch.Generator | None) -> torch.device:
    # Where chance comes from: the generator's device, or the CPU whatever torch's default is.
    return torch.device("cpu") if generator is None else generator.device


def _rows(values: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    place = _place(generator)
    rows = torch.randint(len(values), (count,), generator=generator, device=place)
    return rows.to(values.device)


def ring(modes: int = 8, *, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """Gaussians at equal angles on a circle, the first at angle 0.

    The default is the ring of VEEGAN and PacGAN: 8 *distinct* modes, radius 1, standard
    deviation 0.01. (Dividing the circle with both end points gives 7 modes, one twice as heavy.)

    Examples
    --------
    >>> ring().centres.shape, ring().centres[0]
    (torch.Size([8, 2]), tensor([1., 0.]))
    """
    check_count(modes, "modes")
    _check(radius=radius, std=std)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64, device="cpu") / modes
    centres = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return Mixture(f"ring of {modes}", centres.float(), std)


def grid(side: int = 5, *, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Gaussians on a centred square lattice of ``side`` x ``side`` points (PacGAN: 25, 2, 0.05).

    Examples
    --------
    >>> grid(3, spacing=1.0).centres.unique()
    tensor([-1.,  0.,  1.])
    """
    check_count(side, "side")
    _check(spacing=spacing, std=std)
    axis = spacing * (torch.arange(side, dtype=torch.float32, device="cpu") - (side - 1) / 2)
    return Mixture(f"grid of {side * side}", torch.cartesian_prod(axis, axis), std)


def spiral(turns: float = 2.0, *, radius: float = 1.0, std: float = 0.02) -> Mixture:
    """An Archimedean spiral from the origin to ``radius``, uniform in the angle, with noise.

    Examples
    --------
    >>> spiral().sample(5).shape
    torch.Size([5, 2])
    """
    _check(turns=turns, radius=radius, std=std)

    def curve(position: Tensor) -> Tensor:
        angle = 2 * math.pi * turns * position
        return radius * position[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    return _along("spiral", curve, std)


def swiss_roll(*, radius: float = 1.0, std: float = 0.03) -> Mixture:
    """The swiss roll seen from above: an angle from 1.5 pi to 4.5 pi, radius in proportion.

    Examples
    --------
    >>> swiss_roll(radius=2.0).sample(5).shape
    torch.Size([5, 2])
    """
    _check(radius=radius, std=std)

    def curve(position: Tensor) -> Tensor:
        angle = 1.5 * math.pi * (1 + 2 * position)
        scaled = radius * angle / (4.5 * math.pi)
        return scaled[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    return _along("swiss roll", curve, std)


def two_moons(*, std: float = 0.05) -> Mixture:
    """Two interleaved half circles of radius 1 (Pedregosa et al. 2011), centred on the origin.

    Examples
    --------
    >>> two_moons().sample(5).shape
    torch.Size([5, 2])
    """
    _check(std=std)

    def curve(position: Tensor) -> Tensor:
        upper = position < 0.5
        angle = 2 * math.pi * torch.where(upper, position, position - 0.5)
        outer = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1)
        inner = torch.stack([0.5 - angle.cos(), 0.25 - angle.sin()], dim=1)
        return torch.where(upper[:, None], outer, inner)

    return _along("two moons", curve, std)


def _along(name: str, curve: Callable[[Tensor], Tensor], std: float) -> Mixture:
    # The end point belongs to the last piece: a position of exactly 1 is never drawn.
    return Mixture(name, curve(torch.linspace(0, 1 - 1e-6, 100, device="cpu")), std, curve)


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

    Examples
    --------
    >>> flowers = iris()
    >>> flowers.values.shape, ", ".join(flowers.classes)
    (torch.Size([150, 2]), 'setosa, versicolor, virginica')
    """
    if not columns or any(column not in range(4) for column in columns):
        raise ValueError(f"columns are {tuple(columns)}; choose among 0, 1, 2, 3")
    from sklearn.datasets import load_iris

    bunch = load_iris()
    values = torch.from_numpy(bunch.data[:, list(columns)])
    if standardise:
        values = (values - values.mean(0)) / values.std(0, correction=0)
    return Samples(
        "Iris", values.float(), torch.from_numpy(bunch.target).long(), tuple(bunch.target_names)
    )


def digits() -> Samples:
    """The 8x8 handwritten digits that scikit-learn ships (Alpaydin and Kaynak 1998).

    1,797 images, shape (1797, 1, 8, 8), in [-1, 1].

    Examples
    --------
    >>> digits().values.shape, digits().values.min(), digits().values.max()
    (torch.Size([1797, 1, 8, 8]), tensor(-1.), tensor(1.))
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 8 - 1
    return Samples("digits", images, torch.from_numpy(bunch.target).long(), tuple("0123456789"))


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
    OSError
        If they would have to be downloaded and the folder cannot be written to.

    Examples
    --------
    >>> images = mnist("test", offline=digits)
    >>> images.values.shape[1], len(images.classes)
    (1, 10)
    """
    part = _split(split, {"train": "train", "test": "t10k"})
    try:
        images, labels = (
            files.fetch(f"{kind}-ubyte.gz", _MNIST[kind[:-5]], _MNIST_MIRRORS, "mnist")
            for kind in (f"{part}-images-idx3", f"{part}-labels-idx1")
        )
    except OfflineError:
        if offline is None:
            raise
        return offline()
    pixels = torch.from_numpy(files.read_idx(images)).float()[:, None] / 127.5 - 1
    return Samples(
        "MNIST", pixels, torch.from_numpy(files.read_idx(labels)).long(), tuple("0123456789")
    )


def cifar10(split: str = "train", *, offline: Callable[[], Samples] | None = None) -> Samples:
    """CIFAR-10 (Krizhevsky 2009): 50,000 or 10,000 images (N, 3, 32, 32) in [-1, 1].

    A ``cifar10-jpeg.zip`` (train/CLASS/*.jpg, test/CLASS/*.jpg) in ``$GANLIB_DATA`` is used
    where the official archive is missing. It is lossy, and the ``name`` says so.

    Examples
    --------
    >>> images = cifar10("test", offline=digits)
    >>> images.values.ndim, len(images.classes)
    (4, 10)
    """
    part = _split(split, {"train": "train", "test": "test"})
    zipped = files.folder() / "cifar10-jpeg.zip"
    if zipped.exists() and not (files.folder() / _CIFAR10).exists():
        return _cifar10_jpeg(zipped, part)
    try:
        archive = files.fetch(_CIFAR10, _CIFAR10_SHA256, _CIFAR10_MIRRORS)
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
    return Samples("CIFAR-10", values, _classes(labels), _CIFAR10_CLASSES)


def _cifar10_jpeg(path: Path, part: str) -> Samples:
    pixels, labels = [], []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                folders = name.split("/")
                if not name.endswith(".jpg") or part not in folders:
                    continue
                if folders[-2] not in _CIFAR10_CLASSES:
                    raise ValueError(f"{path} holds {name}, whose folder is no class of CIFAR-10")
                with archive.open(name) as file:
                    pixels.append(files.read_image(file, f"{name} in {path}"))
                labels.append(_CIFAR10_CLASSES.index(folders[-2]))
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); replace it or delete it") from error
    if not pixels:
        raise ValueError(f"{path} has no files {part}/CLASS/*.jpg; replace it or delete it")
    return Samples("CIFAR-10 (JPEG)", _images(pixels), _classes(labels), _CIFAR10_CLASSES)


def image_folder(
    path: str | os.PathLike[str],
    size: int = 32,
    *,
    grey: bool = False,
    skip_broken: bool = False,
    progress: bool | None = None,
) -> Samples:
    """Your own images: every JPEG or PNG below ``path``, cut square, scaled to ``size``.

    Hidden files and folders, whose names begin with a dot, are left alone.

    The folder directly below ``path`` that holds an image is its class. Photographs are turned
    the right way up (EXIF), 16-bit greys keep their brightness, and what is transparent becomes
    white.

    Parameters
    ----------
    path
        The folder.
    size
        Height and width of the result, in pixels.
    grey
        One channel instead of three.
    skip_broken
        Leave out files that are no images, with a warning that names each, instead of an error.
    progress
        Show a progress bar: True, False, or None for a bar once two seconds have passed.

    Returns
    -------
    Values (N, 3, size, size), or (N, 1, size, size) if ``grey``, in [-1, 1].

    Raises
    ------
    ValueError
        For no folder or one without images, a file that is no image, or a size that is no whole
        number.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (40, 20), "white").save(folder / "snow.png")
    >>> pictures = image_folder(folder, size=8)
    >>> pictures.values.shape, pictures.values.min()
    (torch.Size([1, 3, 8, 8]), tensor(1.))
    """
    check_count(size, "size")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"{root} is {'a file' if root.exists() else 'not there'}; pass the folder that holds "
            "the images"
        )
    found = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in {".jpg", ".jpeg", ".png"}
        and file.is_file()
        # Hidden: thumbnails, and what macOS writes beside a file on foreign disks.
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
    )
    if not found:
        raise ValueError(f"{root} holds no .jpg, .jpeg or .png file; give the folder above them")
    read, pixels = [], []
    bar = tqdm(
        found, "reading", disable=progress is False, delay=0 if progress else _BAR_AFTER,
        leave=False, unit="picture", mininterval=0.5,
    )  # fmt: skip
    for file in bar:
        try:
            pixels.append(files.read_image(file, str(file), "L" if grey else "RGB", size))
            read.append(file)
        except BrokenImageError as error:
            if not skip_broken:
                raise
            warnings.warn(f"skipped: {error}", stacklevel=2)
    if not read:
        raise ValueError(f"none of the {len(found)} pictures in {root} can be read")
    parents = [file.relative_to(root).parts[0] for file in read if file.parent != root]
    classes = tuple(sorted(set(parents)))
    labels = _classes([classes.index(name) for name in parents])
    return Samples(
        root.absolute().name, _images(pixels), labels if len(labels) == len(read) else None, classes
    )


def _images(pixels: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _classes(labels: list[int]) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64, device="cpu")


def _split(split: str, known: dict[str, str]) -> str:
    if split not in known:
        raise ValueError(f"split is {split!r}; choose one of {', '.join(map(repr, known))}")
    return known[split]
