"""Published tables made again: what is declared, what is written, what is refused."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ganlib import data, distances, losses, results, scoring, step
from ganlib.command import main
from ganlib.command.pictures import write_grid
from ganlib.game import Game
from ganlib.results import (
    code,
    dcgan_cifar10,
    dirac_gan,
    f_gan_gaussian,
    judge,
    mode_remedies,
    pacgan,
    plane,
    running,
    store,
    unrolled_ring,
    wgan_gp_toys,
)
from ganlib.results.target import SIZES, Job, Outcome, Published, Size, Target
from tools.sources import ROOT

CPU = torch.device("cpu")
TARGETS = results.TARGETS
COMMITTED = sorted(store.TABLES.glob("*.csv"))
PROVENANCE = {"target", "size", "code", "device", "machine", "threads", "torch", "numpy", "python",
              "ganlib", "date", "command"}  # fmt: skip


def echo(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """Returns its seed; diverges for seed 13; has a picture."""
    if job.seed == 13:
        raise FloatingPointError("training diverged: the seed\nis 13")
    return Outcome({"seed": job.seed, "steps": [steps]}, torch.zeros(4, 1, 8, 8), 2)


def made_up(seeds: tuple[int, ...] = (1, 2), steps: int = 5) -> Target:
    rows = {"a": {"x": 1}, "b c": {"x": 2}}
    sizes = {name: Size(rows, seeds, steps, 1.0, "a guess") for name in SIZES}
    return Target("made-up", "Is it?", "It is.", None, ("all",), echo, sizes)


def reproduced(target: Target, place: Path, **how: object) -> store.Read:
    how = {"draw": write_grid, **how}
    return results.reproduce(target, device=CPU, place=place, progress=False, **how)


# --- what is declared ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_a_target_says_what_it_is(target: Target) -> None:
    assert TARGETS[target.name] is target
    assert re.fullmatch(r"[a-z0-9-]+", target.name)
    assert target.question.endswith("?")
    assert target.protocol
    assert target.differences
    assert "full" in target.sizes
    assert set(target.sizes) <= set(SIZES)
    for size in target.sizes.values():
        jobs = list(size.jobs())
        assert len({(job.row, job.seed) for job in jobs}) == len(jobs) > 0
        assert size.seconds > 0
        assert size.measured
        assert size.cost == pytest.approx(size.seconds * len(jobs))
        assert all("," not in row or row.strip() == row for row in size.rows)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_what_was_published_has_a_source_and_fits_the_jobs(target: Target) -> None:
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    for other in target.beside:
        assert f"{{{other.source}," in bibliography
        assert "another protocol" in other.where
        assert all(math.isfinite(v) for row in other.rows.values() for v in row.values())
    if target.published is None:
        assert any("no number" in one or "none" in one for one in target.differences)
        return
    assert f"{{{target.published.source}," in bibliography
    assert set(target.published.rows) == set(target.sizes["full"].rows)
    numbers = [value for row in target.published.rows.values() for value in row.values()]
    assert all(math.isfinite(value) for value in numbers)
    for row, errors in target.published.errors.items():
        assert set(errors) <= set(target.published.rows[row])
        assert all(0 < error < math.inf for error in errors.values())


def test_the_small_size_is_what_a_cpu_gets_and_cuda_the_full_one() -> None:
    assert made_up().size(CPU) == "small"
    assert made_up().size(torch.device("cuda")) == "full"
    assert TARGETS["dirac-gan"].size(CPU) == "full"


# --- what is written -----------------------------------------------------------------------------


def test_a_row_has_its_numbers_and_where_they_come_from(tmp_path) -> None:
    found = reproduced(made_up(), tmp_path)
    assert found.path == tmp_path / "made-up-small.csv"
    assert [(row.row, row.seed) for row in found.rows] == [
        ("a", 1), ("a", 2), ("b c", 1), ("b c", 2),
    ]  # fmt: skip
    for row in found.rows:
        assert row.numbers == {"seed": row.seed, "steps": [5]}
        assert row.setting == {"x": 1 if row.row == "a" else 2}
        assert set(row.provenance) == PROVENANCE
        assert row.provenance["size"] == "small"
        assert row.provenance["torch"] == torch.__version__
        assert row.cpu_seconds >= 0
    assert found.of("a", "seed").tolist() == [1, 2]
    assert found.of("a", "steps").shape == (2, 1)
    assert found.seeds("a") == [1, 2]
    for word in ("4 rows", "small size", "CPU", torch.__version__, "made-up --small"):
        assert word in found.said()


def test_pictures_are_those_of_the_first_seed(tmp_path) -> None:
    reproduced(made_up(), tmp_path)
    assert store.picture("made-up", "small", "b c", 1, tmp_path).is_file()
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert store.picture("x", "full", "b, c d", 1, tmp_path).name == "x-full-b-c-d-1.png"
    reproduced(made_up(), tmp_path / "none", draw=None)
    assert not list((tmp_path / "none").glob("*.png"))


def test_rows_that_are_there_are_not_made_again(tmp_path) -> None:
    before = reproduced(made_up(), tmp_path).path.read_bytes()
    assert reproduced(made_up(), tmp_path).path.read_bytes() == before
    more = reproduced(made_up(), tmp_path, seeds=[2, 7])
    assert more.path.read_bytes().startswith(before)
    assert [(row.row, row.seed) for row in more.rows[4:]] == [("a", 7), ("b c", 7)]
    assert results.missing(made_up(), "small", tmp_path) == []
    assert len(results.missing(made_up((1, 3)), "small", tmp_path)) == 2
    assert len(results.missing(made_up(), "full", tmp_path)) == 4


def test_a_run_that_diverged_is_a_row(tmp_path) -> None:
    found = reproduced(made_up((13, 14)), tmp_path)
    assert [bool(row.error) for row in found.rows] == [True, False, True, False]
    assert found.rows[0].error == "training diverged: the seed is 13"
    assert found.of("a", "seed").tolist() == [14]


def test_a_half_written_line_is_no_row_and_goes_when_the_table_is_continued(tmp_path) -> None:
    path = reproduced(made_up(), tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    read = results.read("made-up", "small", tmp_path)
    assert read is not None
    assert len(read.rows) == 3
    again = reproduced(made_up(), tmp_path)
    assert [(row.row, row.seed) for row in again.rows][-1] == ("b c", 2)
    assert len(again.rows) == 4


SLOW = """
import time, torch
from pathlib import Path
from ganlib import results
from test_reproduce import CPU, echo, made_up
import dataclasses, test_reproduce
def slow(job, steps, device, progress):
    time.sleep(0.3)
    return echo(job, steps, device, progress)
slow.__module__ = "test_reproduce"
target = dataclasses.replace(made_up(tuple(range(20, 30))), run=slow)
results.reproduce(target, device=CPU, place=Path({place!r}), progress=False)
"""


def test_a_killed_run_goes_on(tmp_path) -> None:
    program = [sys.executable, "-c", SLOW.format(place=str(tmp_path))]
    path = store.file("made-up", "small", tmp_path)
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    running_one = subprocess.Popen(program, cwd=tmp_path, env=where)
    try:
        end = time.monotonic() + 120
        while not (path.is_file() and path.read_bytes().count(b"\n") >= 3):
            assert time.monotonic() < end
            assert running_one.poll() is None
            time.sleep(0.05)
    finally:
        running_one.send_signal(signal.SIGKILL)
        running_one.wait()
    kept = path.read_bytes()
    whole = kept[: kept.rfind(b"\n") + 1]
    found = reproduced(made_up(tuple(range(20, 30))), tmp_path)
    assert found.path.read_bytes().startswith(whole)
    assert len(found.rows) == 20
    assert len({(row.row, row.seed) for row in found.rows}) == 20


def test_two_processes_do_not_write_one_table(tmp_path) -> None:
    path = reproduced(made_up(), tmp_path).path
    with running.Table(path), pytest.raises(BlockingIOError, match="wait for its end"):
        reproduced(made_up((1, 5)), tmp_path)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["code", "device", "size", "target"])
def test_rows_of_another_kind_are_refused_and_the_advice_works(tmp_path, name: str) -> None:
    path = reproduced(made_up(), tmp_path).path
    told = running.provenance(made_up(), "small", CPU)[name]
    text = path.read_text().replace(f'""{name}"": ""{told}""', f'""{name}"": ""another""')
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"rows whose {name} is another.*{told}.*--fresh"):
        reproduced(made_up(), tmp_path)
    assert path.read_text() == text
    elsewhere = tmp_path / "elsewhere"  # --out
    assert len(reproduced(made_up(), elsewhere).rows) == 4
    assert len(reproduced(made_up(), tmp_path, fresh=True).rows) == 4
    assert path.with_name(f"{path.name}.old").read_text() == text


def test_all_passes_over_a_complete_table_of_other_code(tmp_path, capsys, monkeypatch) -> None:
    target = made_up()
    monkeypatch.setattr(results, "TARGETS", {target.name: target})
    path = reproduced(target, tmp_path).path
    told = running.provenance(target, "small", CPU)["code"]
    text = path.read_text().replace(told, "another")
    assert text != path.read_text()
    path.write_text(text)
    asked = ["reproduce", "--all", "--small", "--device", "cpu", "--out", str(tmp_path)]
    assert main(asked) == 0
    assert "complete; --fresh makes it anew" in capsys.readouterr().out
    assert path.read_text() == text
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))  # a job is left
    assert main(asked) == 2
    assert "--fresh" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [[], [-1], [3, 3]])
def test_seeds_that_are_none_are_refused(tmp_path, seeds: list[int]) -> None:
    with pytest.raises(ValueError, match="seeds are"):
        reproduced(made_up(), tmp_path, seeds=seeds)
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"no size 'small', only full; leave --small out"):
        reproduced(TARGETS["dirac-gan"], tmp_path, size="small")


# --- the command ---------------------------------------------------------------------------------


def test_the_command_makes_a_table_and_says_what_is_in_it(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(TARGETS, "made-up", made_up())
    assert main(["reproduce", "made-up", "--device", "cpu", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "4 rows of small size, 0 diverged" in out
    assert "a, seed 1: seed 1" in out
    assert main(["reproduce", "--list", "--out", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in TARGETS)
    assert "4 of 4 jobs done" in listed
    assert "0 of 4 jobs done" in listed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dirac-gam"], "did you mean 'dirac-gan'"),
        ([], "name one target, or pass --all"),
        (["dirac-gan", "--all"], "name one target, or pass --all"),
        (["dirac-gan", "--seed", "3"], "pass --seeds"),
        (["dirac-gan", "--small"], "leave --small out"),
        (["dirac-gan", "--device", "warp"], "leave --device out"),
    ],
)
def test_the_command_says_what_to_mend(tmp_path, capsys, arguments, said: str) -> None:
    assert main(["reproduce", *arguments, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_full_size_on_a_cpu_is_told_its_price(tmp_path, capsys, monkeypatch) -> None:
    dear = dataclasses.replace(made_up().sizes["full"], seconds=36_000.0)
    target = dataclasses.replace(made_up(), sizes={"full": dear})
    monkeypatch.setitem(TARGETS, "made-up", target)
    options = ["reproduce", "made-up", "--full", "--device", "cpu", "--out", str(tmp_path)]
    assert main(options) == 0
    assert "about 40 CPU hours" in capsys.readouterr().err


# --- the digits of the code ----------------------------------------------------------------------


def test_what_a_target_reaches() -> None:
    reached = code.reached(dirac_gan.__name__)
    for name in ("dirac_gan", "dynamics", "losses", "updates", "formulas"):
        assert any(module.endswith(f".{name}") for module in reached), name
    assert "ganlib.data" not in reached
    assert "ganlib.results.running" not in reached


def test_the_digits_change_with_the_code_alone(tmp_path, monkeypatch) -> None:
    copy = tmp_path / "ganlib"
    shutil.copytree(ROOT / "ganlib", copy, ignore=shutil.ignore_patterns("lab", "*.pyc"))
    monkeypatch.setattr(code, "_ROOT", copy)
    code.digest.cache_clear()

    def after(file: str, old: str, new: str) -> str:
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        code.digest.cache_clear()
        return code.digest(dirac_gan.__name__)

    try:
        first = code.digest(dirac_gan.__name__)
        assert after("updates.py", '"""Both players step', '"""At once, both players step') == first
        assert (
            after("updates.py", "    h_g, h_d = _sizes(step)", "    h_g, h_d = _sizes(step)  # !")
            == first
        )
        assert after("results/dirac_gan.py", "Computed in float64.", "In float64.") == first
        assert after("metrics.py", "import", "import math\nimport") == first
        assert after("results/dirac_gan.py", "_STEP = 0.2", "_STEP = 0.3") != first
    finally:
        code.digest.cache_clear()


# --- what is committed ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_a_committed_table_is_whole_and_fits_its_target(path: Path) -> None:
    name, _, size = path.stem.rpartition("-")
    target = TARGETS[name]
    found = results.read(name, size)
    assert found is not None
    assert path.read_bytes().endswith(b"\n")
    assert results.missing(target, size) == []
    assert path.stat().st_size < 100_000
    names = None
    for row in found.rows:
        assert row.error == ""
        assert set(row.provenance) == PROVENANCE
        assert (row.provenance["target"], row.provenance["size"]) == (name, size)
        assert row.steps == target.sizes[size].steps
        names = set(row.numbers) if names is None else names & set(row.numbers)
    assert names  # something that all rows have
    for same in ("code", "device"):
        assert len(found.provenance()[same]) == 1
    if target.published is not None:
        for row, values in target.published.rows.items():
            for value in values:
                assert len(found.of(row, value)) == len(target.sizes[size].seeds)


def test_what_a_job_costs_is_what_it_took() -> None:
    for path in COMMITTED:
        name, _, size = path.stem.rpartition("-")
        plan, found = TARGETS[name].sizes[size], results.read(name, size)
        assert found is not None
        took = sum(row.cpu_seconds for row in found.rows) / len(found.rows)
        assert 0.5 < plan.seconds / took < 2, (name, plan.seconds, took)


def test_committed_pictures_are_small_and_named_by_their_jobs() -> None:
    known = {
        store.picture(name, size, job.row, job.seed)
        for name, target in TARGETS.items()
        for size, plan in target.sizes.items()
        for job in plan.jobs()
    }
    pictures = sorted(store.TABLES.glob("*.png"))
    assert pictures
    for path in pictures:
        assert path in known
        assert path.stat().st_size <= 61_440


def test_nothing_but_the_page_results_and_a_targets_own_page_reads_a_table() -> None:
    reading = re.compile(
        r"results\.read\(|ganlib/results/tables|from ganlib\.results|import results"
    )
    for page in (ROOT / "book").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        if page.name == "stabilising.md":  # which runs rows of it again, on other seeds
            assert set(re.findall(r"results\.read\(\"([\w-]+)\"", text)) == {"stabilising"}
        elif page.name == "remedies.md":  # trains a target's players, and reads no table
            assert set(re.findall(r"ganlib\.results[\w.]*", text)) == {
                "ganlib.results.mode_remedies"
            }
            assert not re.search(r"results\.read\(|results/tables", text)
        elif page.name != "results.md":
            assert not reading.search(text), page


# --- the targets' own parts ----------------------------------------------------------------------


def test_a_row_of_the_dirac_gan_is_made_again() -> None:
    target = TARGETS["dirac-gan"]
    job = next(one for one in target.sizes["full"].jobs() if one.row == "GAN, R1 .3, simultaneous")
    numbers = dirac_gan.run(job, 2000, CPU, False).numbers
    # |1 + h lambda| with lambda = -g/2 +- i sqrt(1/4 - g^2/4), g = .3, h = .2
    expected = math.sqrt((1 - 0.03) ** 2 + 0.04 * (0.25 - 0.0225))
    assert numbers["closed form"] == pytest.approx(expected, abs=1e-9)
    assert numbers["factor"] == pytest.approx(expected, abs=1e-5)
    committed = results.read("dirac-gan", "full")
    assert committed is not None
    assert numbers["radius 100"] == pytest.approx(committed.of(job.row, "radius 100")[0], rel=1e-9)


def test_the_best_gaussian_by_kl_has_the_moments_of_the_data() -> None:
    value, mu, sigma = f_gan_gaussian.optimum("kl")
    mean = 0.33 * -1 + 0.67 * 2
    assert mu == pytest.approx(mean, abs=1e-3)
    assert sigma**2 == pytest.approx(0.33 * 1.065 + 0.67 * 6 - mean**2, abs=2e-3)
    assert value > 0


def test_the_samples_of_the_mixture_are_of_its_density() -> None:
    points = f_gan_gaussian._Data(CPU).sample(200_000, torch.Generator().manual_seed(0))
    assert points.shape == (200_000, 1)
    grid = torch.linspace(-6, 8, 29)
    shares = torch.histogram(points[:, 0], grid)[0] / len(points)
    fine = torch.linspace(-6, 8, 28 * 100 + 1).double()
    density = f_gan_gaussian.mixture(double=True).log_prob(fine[:-1] + 0.0025).exp()
    expected = density.reshape(28, 100).sum(1) * 0.005
    assert (shares - expected).abs().max() < 0.004


def test_judged_samples_of_the_plane_stand_between_their_anchors() -> None:
    ring = data.ring()
    rng = torch.Generator().manual_seed(8)
    perfect, one_mode = ring.sample(1000, rng), ring.centres[:1] + 0.01 * torch.randn(1000, 2)
    good, bad = (plane.judged(points, ring, ring.centres) for points in (perfect, one_mode))
    for found in (good, bad):  # the anchors are the target's, whatever is judged
        for kind in ("perfect", "blob"):
            assert {n: v for n, v in found.items() if n.startswith(kind)} == {
                n: v for n, v in good.items() if n.startswith(kind)
            }
    assert good["modes"] == good["fair"] == good["perfect modes"] == 8
    assert bad["modes"] == bad["fair"] == 1
    assert good["high quality"] == pytest.approx(good["perfect high quality"], abs=0.02)
    assert bad["reverse KL"] == pytest.approx(math.log(8))
    assert good["energy"] < 0.02 < good["blob energy"] < bad["energy"]
    assert good["blob high quality"] < 0.02
    assert min(good["coverage"], good["perfect coverage"]) > 0.9 > 0.1 > bad["blob coverage"]
    without = plane.judged(perfect, data.swiss_roll())
    assert {name for name in without if " " not in name} == {"energy", "coverage"}


def test_a_picture_of_points_has_them_where_a_plot_would() -> None:
    corner = plane.picture(torch.tensor([[0.99, 0.99]]).repeat(5, 1), 1.0)
    assert corner.shape[0] == 1
    assert corner[0, 0, -1] == -1  # above, right
    assert corner.sum() == corner.numel() - 2
    assert (plane.picture(torch.tensor([[5.0, 0.0]]), 1.0) == 1).all()


def test_the_notebooks_ring_has_seven_modes_one_of_them_twice() -> None:
    ring = unrolled_ring.ring()
    angle = torch.linspace(0, 2 * math.pi, 8, dtype=torch.float64)
    theirs = torch.stack([angle.sin(), angle.cos()], 1)
    torch.testing.assert_close(ring.centres.double(), theirs, atol=1e-6, rtol=0)
    points = ring.sample(40_000, torch.Generator().manual_seed(0))
    mode = torch.cdist(points, ring.centres[:-1]).argmin(1)
    shares = torch.bincount(mode, minlength=7) / len(points)
    expected = torch.tensor([2, 1, 1, 1, 1, 1, 1]) / 8
    assert (shares - expected).abs().max() < 0.01


@pytest.mark.parametrize("name", ["8 Gaussians", "25 Gaussians", "swiss roll"])
def test_the_toys_are_those_of_the_source(name: str) -> None:
    from sklearn.datasets import make_swiss_roll

    rng = torch.Generator().manual_seed(0)
    if name == "swiss roll":
        rolled = make_swiss_roll(2000, noise=0.25, random_state=0)[0][:, [0, 2]] / 7.5
        theirs = torch.from_numpy(rolled).float()
    else:
        if name == "8 Gaussians":
            h = 2**-0.5
            at = [(1, 0), (-1, 0), (0, 1), (0, -1), (h, h), (h, -h), (-h, h), (-h, -h)]
            places, std, scale = 2 * torch.tensor(at), 0.02, 1.414
        else:
            axis = torch.arange(-2.0, 3.0)
            places, std, scale = 2 * torch.cartesian_prod(axis, axis), 0.05, 2.828
        chosen = places[torch.randint(len(places), (2000,), generator=rng)]
        theirs = (chosen + std * torch.randn(2000, 2, generator=rng)) / scale
    target, centres = wgan_gp_toys.toy(name)
    assert (centres is None) == (name == "swiss roll")
    ours = target.sample(2000, rng)
    assert distances.energy(ours, theirs).item() < 0.01
    assert distances.energy(1.3 * ours, theirs).item() > 0.03
    spread = (ours - theirs[torch.cdist(ours, theirs).argmin(1)]).norm(dim=1).median().item()
    assert spread < target.std


@pytest.mark.parametrize("pack", [1, 4])
def test_pacgans_players_are_those_of_the_source(pack: int) -> None:
    generator, critic = pacgan.players(400, 200, pack, seed=1)
    weights = {
        name: w for net in (generator, critic) for name, w in net.named_parameters() if w.ndim == 2
    }
    assert sum(w.numel() for w in generator.parameters()) == (
        2 * 400 + 3 * 400 * 400 + 4 * 2 * 400 + 400 * 2 + 2
    )
    widths = ((2 * pack, 1000), (200, 1000), (200, 1000), (200, 1))
    assert sum(w.numel() for w in critic.parameters()) == sum((i + 1) * o for i, o in widths)
    for weight in weights.values():
        assert weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert critic(torch.zeros(3, 2 * pack)).shape == (3, 1)
    # Two looks at one batch, D's and G's, move the running mean by 0.05 together.
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        generator(z)
    expected = 0.05 * generator[0](z).mean(0)
    torch.testing.assert_close(generator[1].running_mean, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "row", "smaller"),
    [
        ("unrolled-ring", "unrolled 5", {"width": 4, "batch": 8, "unrolled": 1}),
        ("unrolled-ring", "plain", {"width": 4, "batch": 8}),
        ("wgan-gp-toys", "swiss roll, penalty", {"width": 4, "batch": 8}),
        ("wgan-gp-toys", "25 Gaussians, clipping", {"width": 4, "batch": 8}),
        ("pacgan", "ring, packs of 3", {"width": 4, "critic width": 4, "packs": 4}),
    ],
)
def test_a_job_on_the_plane_runs_and_is_a_function_of_its_seed(
    monkeypatch, name: str, row: str, smaller: dict[str, int]
) -> None:
    monkeypatch.setattr(plane, "COUNT", 200)
    target = TARGETS[name]
    setting = {**target.sizes["small"].rows[row], **smaller}
    found = [target.run(Job(row, setting, seed), 5, CPU, False) for seed in (1, 1, 2)]
    same, again, other = (list(one.numbers.values()) for one in found)
    assert same == again != other
    table = results.read(name, "small")
    assert table is not None
    committed = next(one.numbers for one in table.rows if one.row == row)
    assert set(found[0].numbers) == set(committed)
    pictures = found[0].pictures
    assert pictures is not None
    assert pictures.abs().max() <= 1
    assert len(pictures) == found[0].columns


def test_the_screening_chooses_by_filled_modes_then_by_good_samples() -> None:
    filled = np.array([[[1, 1], [2, 4]], [[3, 3], [0, 0]], [[0, 5], [3, 3]]])  # (S, 2, N)
    good = np.full(filled.shape, 10.0)
    assert mode_remedies.chosen(filled, good) == (0, 1)  # of three with the mean 3 the first
    good[2, 1] = 20
    assert mode_remedies.chosen(filled, good) == (2, 1)
    filled[1, 0, 0] = 4
    assert mode_remedies.chosen(filled, good) == (1, 0)  # more modes count before better samples


def fake_sweep(seen: list[tuple[float, list[int]]], best: float, diverged: set[float]):
    """A sweep that trains nothing: averaged R1 of one weight fills eight modes, all else two."""

    def sweep(make, settings, seeds, **how: object) -> pd.DataFrame:
        rows = []
        for one in settings:
            weight = one["penalty_weight"]
            seen.append((weight, list(seeds)))
            for seed in seeds:
                row: dict[str, object] = {"seed": seed, "error": ""}
                if weight in diverged:
                    row["error"] = "FloatingPointError: training diverged at step 3"
                else:
                    for which, filled in (("", 2), ("averaged ", 8 if weight == best else 2)):
                        row |= {f"{which}modes": 8, f"{which}filled": filled,
                                f"{which}good": seed, f"{which}balance": 0.0}  # fmt: skip
                rows.append(row)
        return pd.DataFrame(rows)

    return sweep


def test_a_remedy_is_judged_at_the_strength_that_was_chosen_on_other_seeds(monkeypatch) -> None:
    seen: list[tuple[float, list[int]]] = []
    monkeypatch.setattr(mode_remedies, "sweep", fake_sweep(seen, best=0.1, diverged={1.0}))
    target = TARGETS["mode-remedies"]
    job = next(one for one in target.sizes["small"].jobs() if one.row == "slow D, R1")
    numbers = mode_remedies.run(job, 4, CPU, False).numbers
    assert (numbers["strength"], numbers["read-out"]) == (0.1, 1)
    screening, judging = seen[:-1], seen[-1]
    assert [weight for weight, _ in screening] == job.setting["strengths"]
    assert judging == (0.1, list(range(500, 510)))
    assert not set(judging[1]) & {seed for _, seeds in screening for seed in seeds}
    assert numbers["good"] == list(range(500, 510))
    assert numbers["averaged filled"] == [8] * 10
    screened = np.array(numbers["screened filled"])
    assert screened.shape == (3, 2, 5)
    assert (screened[2] == 0).all()  # of what diverged
    assert screened[1].tolist() == [[2] * 5, [8] * 5]
    assert numbers["perfect filled"] == 8 > numbers["blob filled"]


def test_an_error_that_is_no_divergence_ends_the_job(monkeypatch) -> None:
    def sweep(*given: object, **how: object) -> pd.DataFrame:
        return pd.DataFrame([{"seed": 0, "error": "ValueError: no"}])

    monkeypatch.setattr(mode_remedies, "sweep", sweep)
    job = next(iter(TARGETS["mode-remedies"].sizes["small"].jobs()))
    with pytest.raises(RuntimeError, match="ValueError: no"):
        mode_remedies.run(job, 4, CPU, False)


def test_the_committed_choices_are_what_their_screening_says() -> None:
    found = results.read("mode-remedies", "small")
    assert found is not None
    assert {row.row for row in found.rows} == {
        f"{baseline}, {remedy}"
        for baseline in mode_remedies.BASELINES
        for remedy in mode_remedies.STRENGTHS
    }
    for row in found.rows:
        filled, good = (np.array(row.numbers[f"screened {name}"]) for name in ("filled", "good"))
        strengths = row.setting["strengths"]
        assert filled.shape == good.shape == (len(strengths), 2, 5)
        strength, read_out = mode_remedies.chosen(filled, good)
        assert row.numbers["strength"] == strengths[strength]
        assert row.numbers["read-out"] == read_out
        assert row.seed == 500
        assert len(row.numbers["filled"]) == len(row.numbers["averaged filled"]) == 10


CHANGES = {
    "plain": set(),
    "decaying rates": {"learning_rate"},
    "averaged weights": {"average"},
    "packing": {"pack", "in_pack", "batch_size"},
    "minibatch discrimination": {"kernels"},
    "unrolled": {"unrolled"},
    "R1": {"penalty", "penalty_weight"},
    "WGAN-GP": {"loss", "penalty", "penalty_weight", "discriminator_steps"},
    "spectral norm": {"lipschitz"},
    "replay": {"options"},
    "reconstruction": {"inverse", "options", "penalty_weight"},
}


@pytest.mark.parametrize("remedy", mode_remedies.STRENGTHS)
def test_a_setting_of_a_remedy_is_the_plain_one_and_its_change(remedy: str) -> None:
    plain = mode_remedies.settings("slow D", "plain", 0, 8)
    for strength in mode_remedies.STRENGTHS[remedy][1]:
        setting = mode_remedies.settings("slow D", remedy, strength, 8)
        changed = {name for name in setting if setting[name] != plain.get(name)}
        # The plain run has an average of decay 0.999 to be read out, too.
        same = (remedy, strength) == ("averaged weights", 0.999)
        assert changed == (set() if same else CHANGES[remedy])


def test_reconstruction_adds_its_distance_to_g_and_f_alone_descends_it_in_d() -> None:
    generator, critic, points = mode_remedies.players(3, inverse=True)
    game = Game(generator, critic, losses.non_saturating())
    one = mode_remedies.reconstruction(step.pure(game, settings={"penalty": 0.5}))
    state = one.initial()
    z = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    real = points.sample(16, torch.Generator().manual_seed(1))
    with torch.no_grad():
        fake = generator(z)
        far = (z - critic.inverse(fake[:, :2])).square().sum(1).mean()
        on_fake = critic.critic(torch.cat([fake[:, :2], z], 1))
        on_real = critic.critic(torch.cat([real[:, :2], critic.inverse(real[:, :2])], 1))
    plain = losses.non_saturating()
    after, paid_d = one.discriminator(state, real, fake)
    torch.testing.assert_close(paid_d, plain.discriminator(on_real, on_fake) + far)
    _, paid_g = one.generator(state, z)
    torch.testing.assert_close(paid_g, plain.generator(on_fake) + 0.5 * far)
    # F moves by the distance alone: with D frozen out of its cost it makes the same step.
    slopes = torch.autograd.grad(
        (z - critic.inverse(fake[:, :2])).square().sum(1).mean(), critic.inverse.parameters()
    )
    cost = one.game.discriminator_cost(critic, real, fake)
    whole = torch.autograd.grad(cost, critic.inverse.parameters())
    for ours, alone in zip(whole, slopes, strict=True):
        torch.testing.assert_close(ours, alone)
    assert any(
        not torch.equal(after.discriminator.weights[name], weight)
        for name, weight in state.discriminator.weights.items()
        if name.startswith("inverse")
    )


@pytest.mark.parametrize("label", ["none", "input", "projection"])
def test_the_players_on_cifar_take_the_label_as_they_say(label: str) -> None:
    generator, critic = dcgan_cifar10._players(label, 4, seed=1)
    z, y = torch.randn(5, 100), torch.arange(5)
    condition = [] if label == "none" else [y]
    with torch.no_grad():
        images = generator.eval()(z, *condition)
        outputs = critic.eval()(images, *condition)
        assert images.shape == (5, 3, 32, 32)
        assert outputs.shape == (5, 1)
        if condition:
            assert not torch.allclose(critic(images, (y + 1) % 10), outputs)
            assert not torch.allclose(generator(z, (y + 1) % 10), images)
        if label == "projection":  # the difference of two labels is linear in the features
            features = critic.features(images)
            directions = critic.embedding(torch.eye(10)[:6])
            turn = directions[1:] - directions[:-1]
            moved = critic(images, y + 1) - outputs
            torch.testing.assert_close(moved[:, 0], (turn * features).sum(1), atol=1e-5, rtol=1e-4)


def test_a_gaussian_of_pictures_has_their_mean_and_covariance(monkeypatch) -> None:
    monkeypatch.setattr(dcgan_cifar10, "_EACH", 40_000)
    mix = torch.tensor([[0.1, 0.0], [0.08, 0.03]])
    drawn = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) @ mix.T + 0.2
    images = drawn.reshape(500, 1, 1, 2)
    found = dcgan_cifar10._gaussian(images, seed=3).flatten(1)
    torch.testing.assert_close(found.mean(0), drawn.mean(0), atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(drawn.T), atol=4e-4, rtol=0)
    assert dcgan_cifar10._gaussian(20 * images, seed=3).abs().max() == 1


def test_the_class_kl_of_a_judge() -> None:
    real = scoring.class_shares(torch.arange(10).repeat(10), 10)
    assert scoring.class_kl(real, real) == (0.0, 10)
    zeros = scoring.class_shares(torch.zeros(50, dtype=torch.long), 10)
    kl, classes = scoring.class_kl(zeros, real)
    assert kl == pytest.approx(math.log(10))
    assert classes == 1


def test_a_judge_learns_and_is_a_function_of_its_seed() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (256,), generator=rng)
    images = torch.randn(256, 3, 32, 32, generator=rng) * 0.3 + labels[:, None, None, None]
    first, second = (judge.train(images, labels, steps=12, progress=False) for _ in range(2))
    assert (judge.answers(first, images) == labels).double().mean() > 0.9
    assert torch.equal(first(images[:8]), second(images[:8]))


def test_published_values_are_plain() -> None:
    empty = Published("nowhere", "in no place")
    assert empty.rows == {}
