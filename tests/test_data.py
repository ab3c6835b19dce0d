"""Data sets: known modes, known moments, determinism, and files that cannot be trusted."""

from __future__ import annotations

import gzip
import io
import math
import os
import zipfile
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from PIL import Image

from ganlib import data, files

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


@pytest.mark.parametrize("name", [*MIXTURES, "iris", "digits"])
def test_without_a_generator_the_draws_go_on(name: str) -> None:
    samples = MIXTURES[name] if name in MIXTURES else getattr(data, name)()
    torch.manual_seed(3)
    first, second = samples.sample(50), samples.sample(50)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(samples.sample(50), first)
    assert torch.equal(samples.sample(50, torch.Generator().manual_seed(3)), first)


@pytest.mark.parametrize("name", ["ring", "grid", "iris", "digits"])
def test_labelled_draws_are_the_same_samples(name: str) -> None:
    samples = MIXTURES[name] if name in MIXTURES else getattr(data, name)()
    x, y = samples.labelled().sample(200, torch.Generator().manual_seed(1))
    assert torch.equal(x, samples.sample(200, torch.Generator().manual_seed(1)))
    assert y.dtype == torch.int64
    assert y.shape == (200,)
    if name in MIXTURES:
        assert torch.equal(torch.cdist(x, samples.centres).argmin(1), y)
    else:
        for one, label in zip(x, y, strict=True):
            same = (samples.values == one).flatten(1).all(1)
            assert label in samples.labels[same]
    torch.manual_seed(1)
    assert torch.equal(samples.labelled().sample(200)[1], y)


def test_labels_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="spiral is a curve"):
        data.spiral().labelled()
    with pytest.raises(ValueError, match="no labels"):
        data.Samples("bare", torch.zeros(3, 1)).labelled()


@pytest.mark.parametrize("name", MIXTURES)
def test_samples_lie_about_their_centres(name: str) -> None:
    mixture = MIXTURES[name]
    points = mixture.sample(2000, torch.Generator().manual_seed(0))
    gaps = torch.cdist(points, mixture.centres).min(dim=1).values
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
    points = grid.sample(50_000, torch.Generator().manual_seed(0))
    nearest = torch.cdist(points, grid.centres).argmin(dim=1)
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


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_density_keeps_its_digits(name: str) -> None:
    """At standard deviation 0.01, for points in float32, against 40 digits."""
    mixture = getattr(data, name)(std=0.01)
    points = mixture.sample(40, torch.Generator().manual_seed(0))
    found = mixture.log_density(points)
    assert found.dtype == torch.float64
    with mpmath.workdps(40):
        for point, value in zip(points.tolist(), found.tolist(), strict=True):
            parts = [
                mpmath.exp(-sum((mpmath.mpf(a) - b) ** 2 for a, b in zip(point, c, strict=True))
                / (2 * mpmath.mpf(0.01) ** 2))
                for c in mixture.centres.tolist()
            ]  # fmt: skip
            constant = 2 * mpmath.pi * mpmath.mpf(0.01) ** 2 * len(parts)
            assert value == pytest.approx(float(mpmath.log(sum(parts) / constant)), abs=1e-10)
    with pytest.raises(ValueError, match="3 columns"):
        mixture.log_density(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.ring(0), "modes is 0"),
        (lambda: data.ring(std=-1.0), "std is -1.0"),
        (lambda: data.grid(spacing=math.inf), "spacing is inf"),
        (lambda: data.spiral(0.0), "turns is 0.0"),
        (lambda: data.ring(2.5), "modes is 2.5"),
        (lambda: data.ring(True), "modes is True"),
        (lambda: data.grid(2.5), "side is 2.5"),
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
    both = data.iris(standardise=False).values
    assert both[0].tolist() == pytest.approx([5.1, 1.4])  # sepal length, petal length
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
        checksums[kind] = files.sha256(file)
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


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch) -> None:
    _no_network(monkeypatch)
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below"):
        monkeypatch.setenv("GANLIB_DATA", str(place))
        for load in (data.mnist, data.cifar10):
            with pytest.raises(NotADirectoryError, match=rf"{place}.*set .*folder") as caught:
                load(offline=data.digits)
            assert "network" not in str(caught.value)
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "locked"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(PermissionError, match=r"locked.*Permission denied.*GANLIB_DATA"):
            data.mnist()
    # The advice: a folder that holds the files already.
    _small_mnist(tmp_path / "good", monkeypatch)
    assert len(data.mnist()) == 3


def _zipped(folder: Path, name: str, content: bytes) -> Path:
    path = folder / "cifar10-jpeg.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (255, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_damaged_archive_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    path = _zipped(tmp_path, "train/cat/0.jpg", _jpeg())
    whole = path.read_bytes()
    cut, spoilt = whole[:-30], bytearray(whole)
    spoilt[200] ^= 255
    for content in (cut, bytes(spoilt), b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cifar10-jpeg.zip .*(replace|remove)"):
            data.cifar10(offline=data.digits)
    for name, content, message in (
        ("train/cat/0.jpg", b"no image", r"train/cat/0.jpg in .*cifar10-jpeg.zip cannot be read"),
        ("train/whale/0.jpg", _jpeg(), "no class of CIFAR-10"),
        ("other/cat/0.jpg", _jpeg(), "has no files train/CLASS"),
    ):
        _zipped(tmp_path, name, content)
        with pytest.raises(ValueError, match=message):
            data.cifar10()


def test_cifar10_as_jpeg_says_so(tmp_path, monkeypatch) -> None:
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
    for name, colour in (("cats/a.png", "white"), ("dogs/b.JPG", "black")):
        file = tmp_path / name
        file.parent.mkdir()
        Image.new("RGB", (40, 20), colour).save(file)
    got = data.image_folder(tmp_path, 16)
    assert got.values.shape == (2, 3, 16, 16)
    assert got.values.flatten(1).mean(1).tolist() == pytest.approx([1, -1], abs=0.02)
    assert [got.classes[k] for k in got.labels] == ["cats", "dogs"]
    assert data.image_folder(tmp_path, 8, grey=True).values.shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="is not there"):
        data.image_folder(tmp_path / "birds")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation: int, tmp_path) -> None:
    """Four quadrants of different grey, stored as each of the eight EXIF orientations says."""
    upright = np.kron(np.array([[0, 80], [160, 240]]), np.ones((8, 8))).astype(np.uint8)
    # How a camera stores the picture, given how a viewer is told to turn it.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    got = data.image_folder(tmp_path, 16, grey=True).values[0, 0]
    torch.testing.assert_close((got + 1) * 127.5, torch.from_numpy(upright).float())


@pytest.mark.parametrize("bits", [8, 16])
def test_greys_of_any_depth_keep_their_brightness(bits: int, tmp_path) -> None:
    levels = np.linspace(0, 2**bits - 1, 16).round().repeat(16).reshape(16, 16)
    Image.fromarray(levels.astype(np.uint16 if bits == 16 else np.uint8)).save(tmp_path / "a.png")
    for grey in (True, False):
        got = data.image_folder(tmp_path, 16, grey=grey).values[0, 0]
        expected = torch.from_numpy(2 * levels / (2**bits - 1) - 1).float()
        torch.testing.assert_close(got, expected, atol=1 / 255, rtol=0)
    # The other mode in which Pillow may hold such a picture.
    image = Image.fromarray(levels.astype(np.int32))
    if bits == 16:
        assert np.asarray(files._flat(image)).max() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str, tmp_path) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255) if mode != "LA" else (0, 0, 0, 255), (0, 0, 8, 4))
    image.convert(mode).save(tmp_path / "a.png")
    got = data.image_folder(tmp_path, 8).values[0]
    assert (got[:, 4:] == 1).all()
    assert (got[1:, :4] == -1).all()


def test_a_large_photograph_is_not_decoded_in_full_and_looks_the_same(tmp_path) -> None:
    across = torch.linspace(0, 255, 1200).expand(900, 1200)
    pixels = torch.stack([across, across.flip(1), across.T.flip(0).T], 2)
    Image.fromarray(pixels.byte().numpy()).save(tmp_path / "large.jpg", quality=95)
    got = data.image_folder(tmp_path, 16).values
    Image.open(tmp_path / "large.jpg").save(tmp_path / "large.png")  # no draft of a PNG
    (tmp_path / "large.jpg").unlink()
    assert (got - data.image_folder(tmp_path, 16).values).abs().max() < 3 / 127.5


def test_image_folder_skips_what_is_broken_when_asked(tmp_path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "whole.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"broken\.png cannot be read"):
        data.image_folder(tmp_path, 4)
    with pytest.warns(UserWarning, match=r"skipped: .*broken\.png"):
        got = data.image_folder(tmp_path, 4, skip_broken=True)
    assert len(got) == 1
    (tmp_path / "whole.png").unlink()
    with pytest.warns(match="skipped"), pytest.raises(ValueError, match="none of the 1 pictures"):
        data.image_folder(tmp_path, 4, skip_broken=True)


def test_image_folder_refuses_nonsense(tmp_path) -> None:
    (tmp_path / "trap.jpg").mkdir()
    with pytest.raises(ValueError, match="holds no"):
        data.image_folder(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "trap.jpg" / "a.png")
    assert data.image_folder(tmp_path, 4).classes == ("trap.jpg",)
    for size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="size is"):
            data.image_folder(tmp_path, size)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken.png cannot be read as an image.*remove it"):
        data.image_folder(tmp_path, 4)
    os.remove(tmp_path / "broken.png")
    assert len(data.image_folder(tmp_path, 4)) == 1


def test_no_default_device_is_hidden(tmp_path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with torch.device("meta"):  # what torch.set_default_device("meta") sets
        sets = [
            data.ring(), data.grid(), data.spiral(), data.swiss_roll(), data.two_moons(),
            data.iris(), data.digits(), data.image_folder(tmp_path, 4),
        ]  # fmt: skip
        for one in sets:
            assert one.sample(5).device.type == "cpu"
            assert one.sample(5, torch.Generator("cpu")).device.type == "cpu"
        ring = sets[0]
        assert torch.isfinite(ring.log_density(ring.sample(5))).all()
        for x in (*ring.labelled().sample(3), *sets[5].labelled().sample(3)):
            assert x.device.type == "cpu"


def test_labels_are_integers_one_a_sample() -> None:
    values = torch.zeros(3, 1)
    for labels in (torch.zeros(3), torch.zeros(2).long(), torch.zeros(3, 1).long(), [0, 1, 2]):
        with pytest.raises(ValueError, match="for 3 samples; pass one whole number"):
            data.Samples("some", values, labels)
    data.Samples("some", values, torch.tensor([0, 1, 2]))


def test_a_folder_that_is_none(tmp_path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="is not there; pass the folder"):
        data.image_folder(tmp_path / "none")
    file = tmp_path / "one.png"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is a file; pass the folder"):
        data.image_folder(file)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match=r"photos holds no \.jpg"):
        data.image_folder("~/photos")
