"""``python -m ganlib``: what a user types, what comes of it, and what is said when it cannot be."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import ganlib
from ganlib import data
from ganlib.command import COMMANDS, main, models, reproduce, sample, score, sources, train
from ganlib.command.models import FILE, Plan
from tools.sources import ROOT

MODES = ("RGB", "RGBA", "L", "P", "LA", "CMYK")
TINY = ["--size", "8", "--width", "4", "--latent", "4", "--batch", "8", "--save-every", "10",
        "--device", "cpu"]  # fmt: skip


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def ganlib_command(capsys) -> Command:
    """Runs a command here: its status, and what it printed."""

    def command(*arguments: object) -> Ran:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse
            status = int(ended.code or 0)
        return Ran(status, *capsys.readouterr())

    return command


def paint(folder: Path, count: int, seed: int = 0) -> None:
    """Pictures of mixed sizes, modes and orientations: bright ones and dark ones, by folder."""
    rng = np.random.default_rng(seed)
    for kind, level in (("bright", 200), ("dark", 40)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            height, width = rng.integers(9, 60, 2)
            pixels = rng.integers(level - 40, level + 40, (height, width, 3)).astype(np.uint8)
            picture = Image.fromarray(pixels).convert(MODES[i % len(MODES)])
            exif = Image.Exif()
            exif[0x112] = int(rng.integers(1, 9))  # the way it is turned
            suffix = "jpg" if picture.mode in ("RGB", "L", "CMYK") and i % 4 else "png"
            suffix = "jpg" if picture.mode == "CMYK" else suffix
            picture.save(folder / kind / f"{i:03}.{suffix}", exif=exif)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photographs"
    paint(folder, 40)
    return folder


@pytest.fixture(scope="module")
def trained(photographs, tmp_path_factory) -> Path:
    """A run by class, with averaged weights."""
    out = tmp_path_factory.mktemp("runs") / "photographs"
    status = main([
        "train", str(photographs), "--out", str(out), *TINY, "--steps", "20", "--conditional",
        "--average", "0.5", "--hold-out", "0.5", "--quiet",
    ])  # fmt: skip
    assert status == 0
    return out


def tensors(file: Path) -> dict[str, torch.Tensor]:
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def metadata_of(file: Path) -> dict[str, str]:
    with safe_open(file, "pt") as opened:
        return opened.metadata()


# --- train ----------------------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_says_what_it_is(trained) -> None:
    metadata = metadata_of(trained / FILE)
    assert metadata["ganlib"] == ganlib.__version__
    told = json.loads(metadata["training"])
    assert told["steps"] == 20
    assert told["loss"] == "non-saturating"
    assert json.loads(metadata["plan"])["classes"] == ["bright", "dark"]
    model = models.load(trained, torch.device("cpu"))
    assert model.plan.shape == (3, 8, 8)
    held = tensors(trained / FILE)
    raw = {n.split(".", 1)[1]: v for n, v in held.items() if n.startswith("generator.")}
    mean = {n.split(".", 1)[1]: v for n, v in held.items() if n.startswith("averaged.")}
    assert raw.keys() == mean.keys()
    assert not torch.equal(raw["network.1.weight"], mean["network.1.weight"])
    assert len((trained / "losses.csv").read_text().splitlines()) == 21
    assert {p.name for p in (trained / "progress").iterdir()} == {
        "step-000010.png", "step-000020.png"
    }  # fmt: skip
    assert not list(trained.rglob("*.partial"))


@pytest.mark.parametrize(
    "more",
    [
        ["--network", "mlp", "--loss", "least-squares", "--grey"],
        ["--loss", "wasserstein", "--penalty", "gradient-penalty", "--critic-steps", "2"],
        ["--loss", "hinge", "--spectral-norm", "--rate", "1e-4", "4e-4"],
        ["--loss", "f-gan-kl", "--penalty", "r1", "--penalty-weight", "1", "--conditional"],
        ["--precision", "bfloat16", "--seed", "3"],
    ],
    ids=lambda more: more[1],
)
def test_the_options_of_training(more, photographs, tmp_path, ganlib_command) -> None:
    ran = ganlib_command(
        "train", photographs, "--out", tmp_path / "run", *TINY, "--steps", 4, *more
    )
    assert ran.status == 0, ran.err
    assert "ganlib sample" in ran.out
    ran = ganlib_command("sample", tmp_path / "run", "--out", tmp_path / "grid.png")
    assert ran.status == 0, ran.err
    assert Image.open(tmp_path / "grid.png").mode == ("L" if "--grey" in more else "RGB")


def test_a_run_that_was_killed_ends_where_an_uninterrupted_one_does(
    photographs, tmp_path, ganlib_command
) -> None:
    steps = 200
    options = [str(photographs), *TINY, "--steps", str(steps), "--average", "0.9", "--conditional"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "ganlib", "train", *options, "--out", str(killed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (killed / "progress" / "step-000020.png").exists():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(torch.load(killed / "checkpoint.pt")["history"]["generator_loss"])
    assert 10 <= done < steps
    for folder in (killed, whole):
        ran = ganlib_command("train", *options, "--out", folder, "--quiet")
        assert ran.status == 0, ran.err
    theirs, ours = tensors(killed / FILE), tensors(whole / FILE)
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
    assert metadata_of(killed / FILE) == metadata_of(whole / FILE)
    assert (killed / "losses.csv").read_text() == (whole / "losses.csv").read_text()


def test_a_run_goes_on_if_asked_for_more_and_is_refused_with_other_settings(
    tmp_path, ganlib_command
) -> None:
    options = ["train", "ring", "--out", tmp_path, "--batch", 8, "--save-every", 5, "--quiet"]
    assert ganlib_command(*options, "--steps", 10).status == 0
    first = tensors(tmp_path / FILE)
    again = ganlib_command(*options, "--steps", 10)
    assert again.status == 0
    assert "nothing was trained" in again.err
    assert ganlib_command(*options, "--steps", 15).status == 0
    after = tensors(tmp_path / FILE)
    assert not torch.equal(first["generator.0.weight"], after["generator.0.weight"])
    other = ganlib_command(*options, "--steps", 20, "--loss", "hinge")
    assert other.status == 2
    assert "hinge" in other.err
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    cut = ganlib_command(*options, "--steps", 20)
    assert cut.status == 2
    assert "damaged" in cut.err


# --- sample ---------------------------------------------------------------------------------------


def test_a_grid_has_a_column_for_each_class(trained, tmp_path, ganlib_command) -> None:
    ran = ganlib_command("sample", trained, "--count", 16, "--out", tmp_path / "grid.png")
    assert ran.status == 0, ran.err
    assert Image.open(tmp_path / "grid.png").size == (4 * 10 - 2, 4 * 10 - 2)
    model = models.load(trained, torch.device("cpu"))
    drawn = model.draw(model.latents(16, 0), model.in_turn(16))
    assert drawn.shape == (16, 3, 8, 8)
    cell = np.asarray(Image.open(tmp_path / "grid.png"))[10:18, 10:18]
    expected = ((drawn[5] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(cell, expected)


def test_single_files_of_one_class(trained, tmp_path, ganlib_command) -> None:
    ran = ganlib_command(
        "sample", trained, "--count", 12, "--class", "dark", "--each", tmp_path / "each"
    )
    assert ran.status == 0, ran.err
    names = sorted(str(p.relative_to(tmp_path / "each")) for p in tmp_path.rglob("*.png"))
    assert names == [f"dark/{i:02}.png" for i in range(12)]


def test_a_seed_decides_and_an_average_is_another_model(trained, tmp_path, ganlib_command) -> None:
    pictures = {}
    for name, more in {"a": [], "b": [], "seed": ["--seed", 1], "raw": ["--raw"]}.items():
        ganlib_command("sample", trained, "--out", tmp_path / f"{name}.png", *more)
        pictures[name] = (tmp_path / f"{name}.png").read_bytes()
    assert pictures["a"] == pictures["b"]
    assert len(set(pictures.values())) == 3


def test_the_same_latent_in_every_class(trained, tmp_path, ganlib_command, monkeypatch) -> None:
    seen = {}
    draw = models.Model.draw

    def spy(self, z, classes, **how):
        seen.update(z=z, classes=classes)
        return draw(self, z, classes, **how)

    monkeypatch.setattr(models.Model, "draw", spy)
    out = tmp_path / "same.png"
    assert ganlib_command("sample", trained, "--count", 6, "--same", "--out", out).status == 0
    assert torch.equal(seen["z"][0::2], seen["z"][1::2])
    assert not torch.equal(seen["z"][0], seen["z"][2])
    assert seen["classes"].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_walk_stays_where_latents_are() -> None:
    stations = torch.randn(2001, 5, generator=torch.Generator().manual_seed(0))
    on_the_way = sample.walk(stations, 7).reshape(2000, 7, 5)
    assert torch.equal(on_the_way[:, 0], stations[:-1])
    assert torch.allclose(on_the_way[:, -1], stations[1:], atol=1e-6)
    # 10,000 numbers each: their variance has a standard error of 0.014.
    assert (on_the_way.var(dim=(0, 2)) - 1).abs().max() < 0.07


def test_a_walk_is_written_by_rows(trained, tmp_path, ganlib_command) -> None:
    out = tmp_path / "walk.png"
    ran = ganlib_command("sample", trained, "--walk", 5, "--count", 10, "--out", out)
    assert ran.status == 0, ran.err
    assert Image.open(out).size == (5 * 10 - 2, 2 * 10 - 2)
    ran = ganlib_command("sample", trained, "--walk", 5, "--count", 12, "--out", out)
    assert ran.status == 2
    assert "--count 10" in ran.err


# --- points ---------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["length,mass,kind"]
    for i in range(300):
        lines.append(f"{rng.normal(500, 3):.4f},{rng.normal(-0.02, 0.001):.6f},{'ab'[i % 2]}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    return path


def test_points_come_back_in_the_units_of_their_table(table, tmp_path, ganlib_command) -> None:
    run = ["train", table, "--out", tmp_path / "run", "--steps", 10, "--quiet"]
    ran = ganlib_command(*run)  # the column of letters is no number, and which one it is is said
    assert ran.status == 2
    assert "'kind'" in ran.err
    assert "line 2" in ran.err
    assert "--label" in ran.err
    ran = ganlib_command(*run, "--label", "kind", "--conditional", "--batch", 32)
    assert ran.status == 0, ran.err
    out = tmp_path / "points.csv"
    assert ganlib_command("sample", tmp_path / "run", "--count", 50, "--out", out).status == 0
    names, *rows = (line.split(",") for line in out.read_text().splitlines())
    assert names == ["length", "mass", "kind"]
    assert {row[2] for row in rows} == {"a", "b"}
    drawn = np.array([row[:2] for row in rows], float)
    assert np.all(np.abs(drawn.mean(0) - [500, -0.02]) < [12, 0.004])
    ran = ganlib_command("score", tmp_path / "run", table)
    assert ran.status == 0, ran.err
    assert "copies" in ran.out


def test_a_table_may_have_no_names_and_other_separators(tmp_path) -> None:
    (tmp_path / "bare.txt").write_text("1 2\n3 5\n8 13\n")
    (tmp_path / "named.tsv").write_text("x\ty\n1\t2\n3\t5\n8\t13\n")
    bare, named = (
        sources.read(str(tmp_path / name), sources.Reading()) for name in ("bare.txt", "named.tsv")
    )
    assert torch.equal(bare.samples.values, named.samples.values)
    assert named.reading.columns == ("x", "y")
    back = named.reading.in_their_units(named.samples.values.double())
    assert torch.allclose(back, torch.tensor([[1.0, 2], [3, 5], [8, 13]]).double())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,2\n3,\n", ("'y'", "line 3")),
        ("x,y\n1,2\n3,inf\n", ("'y'", "line 3")),
        ("x,y\n1,2\n1,3\n", ("'x'", "constant")),
        ("x,y\n1,2\n", ("1 points",)),
        ("", ("cannot be read",)),
        ("x,y\n1,2\n3,4\n5,6,7,8\n", ("cannot be read",)),
    ],
)
def test_a_table_that_is_no_table_of_points(text, words, tmp_path, ganlib_command) -> None:
    (tmp_path / "bad.csv").write_text(text)
    ran = ganlib_command("train", tmp_path / "bad.csv", "--out", tmp_path / "run")
    assert ran.status == 2
    assert all(word in ran.err for word in ("bad.csv", *words)), ran.err


def test_a_small_table_by_class_needs_no_options(tmp_path, ganlib_command) -> None:
    options = ["--out", tmp_path / "run", "--steps", 2, "--quiet", "--conditional"]
    assert ganlib_command("train", "iris", *options).status == 0
    ran = ganlib_command("sample", tmp_path / "run", "--out", tmp_path / "iris.csv")
    assert ran.status == 0, ran.err
    assert "virginica" in (tmp_path / "iris.csv").read_text()
    assert ganlib_command("score", tmp_path / "run", "iris").status == 0


def test_a_toy_is_scored_by_its_modes(tmp_path, ganlib_command) -> None:
    options = ["--out", tmp_path / "run", "--steps", 5, "--batch", 16, "--quiet"]
    assert ganlib_command("train", "ring", *options).status == 0
    ran = ganlib_command(
        "score", tmp_path / "run", "ring", "--count", 400, "--json", tmp_path / "score.json"
    )
    assert ran.status == 0, ran.err
    scores = json.loads((tmp_path / "score.json").read_text())["scores"]
    assert scores["floor"]["modes of 8"] == 8
    assert scores["floor"]["on a mode"] > 0.95 > scores["ball"]["on a mode"]
    assert "copies" not in scores["model"]


# --- score ----------------------------------------------------------------------------------------


def test_scores_stand_beside_their_floor_and_anchors(
    trained, photographs, tmp_path, ganlib_command
) -> None:
    ran = ganlib_command("score", trained, photographs, "--json", tmp_path / "score.json")
    assert ran.status == 0, ran.err
    told = json.loads((tmp_path / "score.json").read_text())
    assert told["samples"] == 20
    assert told["features"] == "pixels"
    scores = told["scores"]
    assert list(scores) == ["model", "floor", "Gaussian", "shuffled", "ball"]
    assert scores["floor"]["Fréchet distance"] < scores["model"]["Fréchet distance"]
    assert scores["floor"]["coverage"] > scores["ball"]["coverage"]
    assert scores["floor"]["copies"] < 0.9
    assert all(math.isfinite(value) for one in scores.values() for value in one.values())
    for line in ran.out.splitlines():
        assert "FID" not in line


def test_one_average_picture_has_the_frechet_distance_1(
    trained, photographs, tmp_path, ganlib_command, monkeypatch
) -> None:
    def average(model, reference, seed):
        return reference.values.mean(0).expand_as(reference.values), None

    monkeypatch.setattr(score, "_drawn", average)
    ran = ganlib_command("score", trained, photographs, "--json", tmp_path / "score.json")
    assert ran.status == 0, ran.err
    scores = json.loads((tmp_path / "score.json").read_text())["scores"]
    assert scores["model"]["Fréchet distance"] == pytest.approx(1, rel=1e-4)
    assert scores["floor"]["Fréchet distance"] < 1


def test_a_copying_model_is_seen(trained, photographs, tmp_path, ganlib_command, monkeypatch):
    source = sources.read(str(photographs), sources.Reading(size=8))
    told = models.load(trained, torch.device("cpu")).training
    training, _ = sources.parts(source.samples, told["held_out"], told["seed"])
    monkeypatch.setattr(models.Model, "draw", lambda self, z, *_, **__: training.values[: len(z)])
    ran = ganlib_command("score", trained, photographs, "--json", tmp_path / "score.json")
    assert ran.status == 0, ran.err
    scores = json.loads((tmp_path / "score.json").read_text())["scores"]
    assert scores["model"]["copies"] == 1
    assert scores["floor"]["copies"] < 0.9


def test_a_classifier_judges_labelled_pictures(tmp_path, ganlib_command) -> None:
    options = ["--out", tmp_path / "run", *TINY[2:], "--steps", 5, "--quiet", "--network", "mlp"]
    run = ganlib_command("train", "digits", *options, "--conditional", "--hold-out", 0.5)
    assert run.status == 0, run.err
    ran = ganlib_command(
        "score", tmp_path / "run", "digits", "--count", 200, "--json", tmp_path / "score.json"
    )
    assert ran.status == 0, ran.err
    told = json.loads((tmp_path / "score.json").read_text())
    assert told["features"] == "classifier"
    right = {name: scores["right class"] for name, scores in told["scores"].items()}
    assert right["floor"] > 0.8
    assert right["Gaussian"] == pytest.approx(0.1)
    assert right["model"] < 0.6  # five steps


def test_other_data_of_the_same_kind_count_no_copies(trained, tmp_path, ganlib_command) -> None:
    paint(tmp_path / "others", 25, seed=1)
    ran = ganlib_command("score", trained, tmp_path / "others")
    assert ran.status == 0, ran.err
    assert "copies are not counted" in ran.out
    assert "25 samples of each" in ran.out


# --- what bad input gets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train ring --out {out} --los hinge", "did you mean --loss?"),
        ("train ring --out {out} --loss hing", "did you mean 'hinge'"),
        ("train ring --out {out} --penalty gradient", "did you mean 'gradient-penalty'"),
        ("train rnig --out {out}", "did you mean 'ring'"),
        ("trian ring --out {out}", "did you mean 'train'"),
        ("train ring --out {out} --steps many", "whole number, 1 or more"),
        ("train ring --out {out} --rate -1", "number of 0 or more"),
        ("train ring --out {out} --hold-out 1", "below 1"),
        ("train ring --out {out} --rate 1 2 3", "3 numbers"),
        ("train ring --out {out} --size 8", "--size means nothing"),
        ("train ring --out {out} --network dcgan", "--network mlp"),
        ("train ring --out {out} --loss wasserstein", "--penalty gradient-penalty"),
        ("train ring --out {out} --device cuda:77", "cuda:77"),
        ("train ring --out {out} --device toaster", "toaster"),
        ("train spiral --out {out} --conditional", "no modes"),
        ("train ring --out {out} --label-in projection", "add --conditional"),
        ("train ring --out {out} --conditional --label-in head", "did you mean"),
        ("train {photographs}/../photograps --out {out}", "photographs'"),
        ("train {photographs}/nothing --out {out}", "a folder of pictures"),
        ("train digits --out {out} --size 16", "--size means nothing"),
        ("train {photographs} --out {out} --size 30", "choose 8, 16, 28, 32 or 64"),
        ("train {photographs} --out {out} --size 8 --batch 100", "fewer than a batch of 100"),
        ("train {photographs} --out {out} --columns a", "--columns means nothing"),
        ("train {photographs}/dark --out {out} --size 8 --conditional", "DATA/CLASS/picture.jpg"),
        ("train {photographs}/dark/000.png --out {out}", "a folder of pictures"),
        ("train ring --out {photographs}/dark/000.png --steps 1", "another folder, --out"),
        ("sample {out}", "is not there"),
        ("sample {photographs}", "has no model yet"),
        ("sample {trained} --class drak", "did you mean 'dark'"),
        ("sample {trained} --out points.csv", ".png file"),
        ("score {trained} ring", "shape"),
        ("score {trained} {photographs} --count 3", "20 or more"),
    ],
)
def test_a_mistake_gets_a_line_and_status_2(
    arguments, words, photographs, trained, tmp_path, ganlib_command
) -> None:
    filled = arguments.format(photographs=photographs, trained=trained, out=tmp_path / "run")
    ran = ganlib_command(*shlex.split(filled))
    assert ran.status == 2
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_broken_picture_is_named_and_refused_or_skipped(tmp_path, ganlib_command) -> None:
    paint(tmp_path / "photographs", 15)
    png, jpg = tmp_path / "photographs/dark/cut.png", tmp_path / "photographs/dark/no.jpg"
    whole = (tmp_path / "photographs/dark/000.png").read_bytes()
    png.write_bytes(whole[: len(whole) // 2])
    jpg.write_text("<html>404</html>")
    (tmp_path / "photographs/dark/._000.png").write_bytes(b"\x00\x05\x16\x07")  # macOS writes it
    (tmp_path / "photographs/phone.HEIC").write_bytes(b"ftypheic")
    options = ["train", tmp_path / "photographs", "--out", tmp_path / "run", *TINY, "--steps", 2]
    ran = ganlib_command(*options)
    assert ran.status == 2
    assert str(png) in ran.err
    assert "--skip-broken" in ran.err
    assert "1 .heic" in ran.err
    assert not (tmp_path / "run" / FILE).exists()
    ran = ganlib_command(*options, "--skip-broken")
    assert ran.status == 0, ran.err
    assert f"skipped: {png}" in ran.err
    assert f"skipped: {jpg}" in ran.err


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.001, 0.0])
def test_a_model_file_that_is_cut_short(kept, trained, tmp_path, ganlib_command) -> None:
    whole = (trained / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: int(kept * len(whole))])
    ran = ganlib_command("sample", tmp_path, "--out", tmp_path / "grid.png")
    assert ran.status == 2
    assert "cut short" in ran.err
    assert FILE in ran.err
    assert not (tmp_path / "grid.png").exists()


def test_a_file_that_is_no_model_of_ours(trained, tmp_path, ganlib_command) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    ran = ganlib_command("sample", tmp_path / "foreign.safetensors")
    assert ran.status == 2
    assert "ganlib model 1" in ran.err
    held = tensors(trained / FILE)
    metadata = metadata_of(trained / FILE)
    held["averaged.network.1.weight"] = torch.zeros(3, 3)
    save_file(held, tmp_path / "shape.safetensors", metadata)
    save_file(held, tmp_path / "plan.safetensors", {**metadata, "plan": '{"network": "mpl"}'})
    for name in ("shape", "plan"):
        ran = ganlib_command("sample", tmp_path / f"{name}.safetensors")
        assert ran.status == 2
        assert "does not hold what its settings say" in ran.err


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_score_of_too_few_pictures_says_what_would_do(
    share, photographs, tmp_path, ganlib_command
) -> None:
    options = [*TINY, "--steps", 2, "--quiet"]
    first = ["train", photographs, "--out", tmp_path / "run", *options, "--hold-out"]
    assert ganlib_command(*first, share).status == 0
    ran = ganlib_command("score", tmp_path / "run", photographs)
    assert ran.status == 2
    assert f"{round(80 * share)} samples" in ran.err
    assert "40 or more of the first and 20 or more of the second" in " ".join(ran.err.split())
    advised = re.search(r"--hold-out ([\d.]+)", ran.err)
    assert advised
    again = ["train", photographs, "--out", tmp_path / "again", *options, "--hold-out"]
    assert ganlib_command(*again, advised[1]).status == 0
    assert ganlib_command("score", tmp_path / "again", photographs, "--quiet").status == 0


def test_where_no_share_would_do_more_data_are_asked_for(tmp_path, ganlib_command) -> None:
    paint(tmp_path / "few", 20)
    options = ["--out", tmp_path / "run", *TINY, "--steps", 2, "--quiet"]
    assert ganlib_command("train", tmp_path / "few", *options, "--hold-out", 0.5).status == 0
    ran = ganlib_command("score", tmp_path / "run", tmp_path / "few")
    assert ran.status == 2
    assert "60 samples or more in all" in " ".join(ran.err.split())


def test_a_diverged_run_is_said(tmp_path, ganlib_command) -> None:
    ran = ganlib_command(
        "train", "ring", "--out", tmp_path, "--steps", 50, "--rate", 1e12, "--loss",
        "maximum-likelihood", "--quiet",
    )  # fmt: skip
    assert ran.status == 2
    assert "diverged" in ran.err


def test_ctrl_c_says_how_to_go_on(tmp_path, ganlib_command, monkeypatch) -> None:
    def pressed(*_, **__):
        raise KeyboardInterrupt("stopped after step 3")

    monkeypatch.setattr(train, "fit", pressed)
    ran = ganlib_command("train", "ring", "--out", tmp_path)
    assert ran.status == 130
    assert ran.err == "stopped after step 3; the same command goes on from there\n"


def test_the_process_ends_with_the_status_and_no_traceback(tmp_path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ganlib", "train", "ring", "--out", str(tmp_path), "--loss", "hing"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "did you mean 'hinge'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_while_a_command_is_loaded_ends_it_in_a_word(ganlib_command, monkeypatch) -> None:
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", pressed)
    ran = ganlib_command("train", "ring", "--out", "run")
    assert (ran.status, ran.err) == (130, "stopped\n")


def test_one_run_a_folder(tmp_path, ganlib_command) -> None:
    pytest.importorskip("fcntl")
    options = ["train", "ring", "--out", tmp_path / "run", "--steps", 2, "--batch", 8, "--quiet"]
    with train._alone(tmp_path / "run"):
        ran = ganlib_command(*options)
        assert ran.status == 2
        assert "another run trains in" in ran.err
    assert ganlib_command(*options).status == 0


def test_what_is_refused_leaves_no_folder(tmp_path, ganlib_command) -> None:
    assert ganlib_command("train", tmp_path / "none", "--out", tmp_path / "run").status == 2
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_said_with_the_file(trained, tmp_path, ganlib_command, monkeypatch) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(models.os, "fsync", full)
    out = tmp_path / "grid.png"
    ran = ganlib_command("sample", trained, "--out", out)
    assert ran.status == 2
    assert f"{out} could not be written (No space left on device)" in ran.err
    assert not list(tmp_path.iterdir())


def test_hidden_files_are_left_alone(tmp_path) -> None:
    paint(tmp_path / "photographs", 2)
    (tmp_path / "photographs/.thumbnails").mkdir()
    for name in (".thumbnails/a.jpg", "dark/.cover.jpg", ".trash.heic"):
        (tmp_path / "photographs" / name).write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = sources.read(str(tmp_path / "photographs"), sources.Reading(size=8))
    assert len(read.samples) == 4
    assert read.classes() == ("bright", "dark")


def test_few_pictures_make_small_batches(tmp_path, ganlib_command) -> None:
    paint(tmp_path / "photographs", 10)
    options = ["--out", tmp_path / "run", "--size", 8, "--width", 4, "--steps", 1, "--quiet"]
    assert ganlib_command("train", tmp_path / "photographs", *options).status == 0
    told = json.loads(metadata_of(tmp_path / "run" / FILE)["training"])
    assert told["batch"] == 7  # of 14 that training sees


def test_fine_detail_tells_specks_from_blur(
    trained, photographs, tmp_path, ganlib_command, monkeypatch
) -> None:
    def specks(model, reference, seed):
        board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
        return reference.values.mul(0.5) + 0.5 * board, None

    def blur(model, reference, seed):
        return reference.values.mean((2, 3), keepdim=True).expand_as(reference.values), None

    found = {}
    for draw in (specks, blur):
        monkeypatch.setattr(score, "_drawn", draw)
        ran = ganlib_command("score", trained, photographs, "--json", tmp_path / "score.json")
        assert ran.status == 0, ran.err
        scores = json.loads((tmp_path / "score.json").read_text())["scores"]
        found[draw.__name__] = scores["model"]["fine detail"]
        assert scores["floor"]["fine detail"] == pytest.approx(1, abs=0.5)
    assert found["blur"] == 0
    assert found["specks"] > 3


@pytest.mark.parametrize("network", models.NETWORKS)
@pytest.mark.parametrize("place", models.LABEL_IN)
def test_where_the_discriminator_meets_the_class(
    place, network, photographs, tmp_path, ganlib_command
) -> None:
    ran = ganlib_command(
        "train", photographs, "--out", tmp_path, *TINY, "--steps", 2, "--conditional", "--quiet",
        "--label-in", place, "--network", network, "--spectral-norm",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    model = models.load(tmp_path, torch.device("cpu"))
    assert model.plan.label_in == place
    x, y = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 0, 1, 0])
    x = model.plan.trained_as(x)
    critic = model.plan.discriminator().eval()
    assert critic(x, y).shape == (5, 1)
    assert not torch.allclose(critic(x, y), critic(x, 1 - y))


def test_a_split_discriminator_has_the_features_of_the_whole() -> None:
    for network, shape in (("mlp", (3,)), ("dcgan", (3, 8, 8))):
        one = Plan(network, shape, latent=4, width=4)
        two = replace(one, classes=("a", "b"), label_in="projection")
        x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
        whole, split = one.discriminator(), two.discriminator()
        assert torch.equal(split.head(split.features(x)), whole(x))


def test_a_model_of_before_labels_had_places_still_loads(trained, tmp_path) -> None:
    metadata = metadata_of(trained / FILE)
    plan = json.loads(metadata["plan"])
    assert plan.pop("label_in") == "input"
    save_file(tensors(trained / FILE), tmp_path / FILE, {**metadata, "plan": json.dumps(plan)})
    model, now = (models.load(path, torch.device("cpu")) for path in (tmp_path, trained))
    assert model.plan == now.plan
    z, y = now.latents(4, 0), now.in_turn(4)
    assert torch.equal(model.draw(z, y), now.draw(z, y))


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_hold(name, ganlib_command) -> None:
    ran = ganlib_command(name, "--help")
    assert ran.status == 0
    lines = examples(ran.out)
    assert len(lines) >= 2
    for line in lines:
        assert line[0] == name
        PARSERS[name]().parse_args(line[1:])


@pytest.mark.parametrize("name", [*COMMANDS, None])
def test_help_is_80_columns_wide(name, ganlib_command, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = ganlib_command(*filter(None, [name]), "--help")
    assert max(map(len, ran.out.splitlines())) <= 80


def test_help_of_all_and_the_readme(ganlib_command) -> None:
    ran = ganlib_command("--help")
    assert ran.status == 0
    assert {line[0] for line in examples(ran.out)} == set(COMMANDS)
    readme = examples((ROOT / "README.md").read_text())
    assert [line[0] for line in readme] == list(COMMANDS)
    for line in [*readme, *examples(ran.out)]:
        PARSERS[line[0]]().parse_args(line[1:])
    assert ganlib_command().status == 2
    assert ganlib_command("--version").out.strip() == f"ganlib {ganlib.__version__}"


PARSERS = {name: command.parser for name, command in
           zip(COMMANDS, (train, sample, score, reproduce), strict=True)}  # fmt: skip


def examples(text: str) -> list[list[str]]:
    """The command lines of a text, as words after ``python -m ganlib``."""
    joined = text.replace("\\\n", " ")
    return [
        shlex.split(found, comments=True)
        for found in re.findall(
            rf"^\s*python -m ganlib ((?:{'|'.join(COMMANDS)}) .*)$", joined, re.M
        )
    ]


def test_names_are_those_of_the_library() -> None:
    for name in sources.NAMED:
        assert hasattr(data, name.replace("-", "_"))
    for make in train.LOSSES.values():
        assert make().discriminator(torch.zeros(2), torch.zeros(2)).isfinite()
