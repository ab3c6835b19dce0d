"""Data sets: known modes, known moments, determinism, and files that cannot be trusted."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ganlib import data

MIXTURES = {
    "ring": data.ring(),
    "grid": data.grid(),
    "spiral": data.spiral(),
    "swiss_roll": data.swiss_roll(),
    "two_moons": data.two_moons(),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_samples_follow_the_generator(name: str) -> None:
    mixture = MIXTURES[name]
    draws = [mixture.sample(100, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draws[0].shape == (100, 2)
    assert draws[0].dtype == torch.float32
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(mixture.sample(5), mixture.sample(5))


@pytest.mark.parametrize("name", MIXTURES)
def test_samples_lie_about_their_centres(name: str) -> None:
    mixture = MIXTURES[name]
    gaps = torch.cdist(mixture.sample(2000), mixture.centres).min(dim=1).values
    # six standard deviations, and half the distance between neighbours on a sampled curve
    between = torch.cdist(mixture.centres, mixture.centres)
    between.fill_diagonal_(math.inf)
    slack = 0 if name in {"ring", "grid"} else between.min(dim=1).values.max().item()
    assert gaps.max() < 6 * mixture.std + slack


def test_the_ring_has_eight_distinct_modes() -> None:
    # Dividing the circle with both end points, as a well-known notebook does, gives seven.
    ring = data.ring()
    gaps = torch.cdist(ring.centres, ring.centres) + 10 * torch.eye(8)
    assert gaps.min().item() == pytest.approx(2 * math.sin(math.pi / 8), rel=1e-5)
    assert ring.centres.norm(dim=1).tolist() == pytest.approx([1.0] * 8)


def test_modes_have_equal_weight() -> None:
    grid = data.grid()
    nearest = torch.cdist(grid.sample(50_000), grid.centres).argmin(dim=1)
    share = torch.bincount(nearest, minlength=25) / 50_000
    assert (share - 1 / 25).abs().max() < 6 * math.sqrt(1 / 25 / 50_000)


def test_the_grid_is_that_of_pacgan() -> None:
    axis = sorted({round(x, 6) for x in data.grid().centres[:, 0].tolist()})
    assert axis == [-4, -2, 0, 2, 4]


def test_density_integrates_to_one() -> None:
    mixture = data.ring(3, radius=1.0, std=0.3)
    axis = torch.linspace(-4, 4, 401)
    points = torch.cartesian_prod(axis, axis)
    total = mixture.log_density(points).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ValueError, match="no closed-form density"):
        data.spiral().log_density(points)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.ring(0), "modes is 0"),
        (lambda: data.ring(std=-1.0), "std is -1.0"),
        (lambda: data.grid(spacing=math.inf), "spacing is inf"),
        (lambda: data.spiral(0.0), "turns is 0.0"),
        (lambda: data.iris((0, 4)), r"\(0, 4\)"),
        (lambda: data.iris(()), "columns are"),
        (lambda: data.mnist("validation"), "'validation'"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_iris() -> None:
    iris = data.iris()
    assert iris.values.shape == (150, 2)
    assert iris.values.mean(0).abs().max() < 1e-6
    assert iris.values.std(0, correction=0).tolist() == pytest.approx([1, 1], rel=1e-6)
    assert torch.bincount(iris.labels).tolist() == [50, 50, 50]
    centimetres = data.iris((0,), standardise=False)
    assert centimetres.values.min().item() == pytest.approx(4.3)
    assert centimetres.values.max().item() == pytest.approx(7.9)


def test_digits() -> None:
    digits = data.digits()
    assert digits.values.shape == (1797, 1, 8, 8)
    assert digits.values.min() == -1
    assert digits.values.max() == 1
    assert len(digits) == 1797
    assert digits.sample(4).shape == (4, 1, 8, 8)


def _idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes())


def _small_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Files in MNIST's format, three images; their checksums take the place of the real ones."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (3, 28, 28)), np.array([7, 0, 9])
    (folder / "mnist").mkdir(parents=True)
    checksums = {}
    for kind, values in (("train-images", images), ("train-labels", labels)):
        rank = {3: "idx3", 1: "idx1"}[values.ndim]
        file = folder / "mnist" / f"{kind}-{rank}-ubyte.gz"
        file.write_bytes(_idx(values))
        checksums[kind] = data._sha256(file)
    monkeypatch.setattr(data, "_MNIST", checksums)
    monkeypatch.setenv("GANLIB_DATA", str(folder))
    return images, labels


def test_mnist_files_are_read_as_published(tmp_path, monkeypatch) -> None:
    images, labels = _small_mnist(tmp_path, monkeypatch)
    mnist = data.mnist()
    assert mnist.values.shape == (3, 1, 28, 28)
    assert mnist.labels.tolist() == labels.tolist()
    torch.testing.assert_close(
        mnist.values[:, 0], torch.tensor(images / 127.5 - 1, dtype=torch.float32)
    )


def test_a_damaged_file_is_refused(tmp_path, monkeypatch) -> None:
    _small_mnist(tmp_path, monkeypatch)
    file = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"SHA-256 checksum .* expected .*delete it"):
        data.mnist(offline=data.digits)  # never silently replaced


def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("load", [data.mnist, data.cifar10])
def test_without_files_and_network_the_reader_is_told(load, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    _no_network(monkeypatch)
    with pytest.raises(data.OfflineError, match="could not be downloaded"):
        load()
    assert load(offline=data.digits).name == "digits"
    assert not list(tmp_path.rglob("*.gz"))  # no half-written file under a real name


def test_cifar10_as_jpeg_says_so(tmp_path, monkeypatch) -> None:
    import io
    import zipfile

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (255, 0, 0)).save(buffer, "JPEG")
    with zipfile.ZipFile(tmp_path / "cifar10-jpeg.zip", "w") as archive:
        archive.writestr("train/cat/0000.jpg", buffer.getvalue())
        archive.writestr("test/dog/0000.jpg", buffer.getvalue())
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    got = data.cifar10()
    assert got.name == "CIFAR-10 (JPEG)"
    assert got.values.shape == (1, 3, 32, 32)
    assert got.classes[got.labels[0]] == "cat"
    assert got.values[0, 0].mean() > 0.95  # red
    assert got.values[0, 2].mean() < -0.95


def test_image_folder(tmp_path) -> None:
    from PIL import Image

    for name, colour in (("cats/a.png", "white"), ("dogs/b.JPG", "black")):
        file = tmp_path / name
        file.parent.mkdir()
        Image.new("RGB", (40, 20), colour).save(file)
    got = data.image_folder(tmp_path, 16)
    assert got.values.shape == (2, 3, 16, 16)
    assert got.values.flatten(1).mean(1).tolist() == pytest.approx([1, -1], abs=0.02)
    assert [got.classes[k] for k in got.labels] == ["cats", "dogs"]
    assert data.image_folder(tmp_path, 8, grey=True).values.shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="holds no"):
        data.image_folder(tmp_path / "birds")
