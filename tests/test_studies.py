"""A study has the rows that were asked for, each trained as ``fit`` trains, whatever is killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganlib import data, divergences, losses, networks, optimisers, options, penalties, training
from ganlib.studies import batched, compiled, graph, keys, member, sweep, table, work
from tools import bench, bench_studies

BATCH, STEPS, SEED = 8, 4, 3
POINTS = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(9))


class Again:
    """The same batch again and again, whatever the generator: so draws can be fed by hand."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return POINTS.repeat(-(-count // BATCH), 1)[:count]


def again(seed: int, width: int = 2) -> Any:
    return (*pair(seed, width), Again())


def pair(seed: int, width: int = 2) -> tuple[nn.Module, nn.Module]:
    critic = networks.mlp(width, 8, 1, seed=seed + 1)
    return networks.mlp(2, 8, 2, seed=seed), critic


def plane(seed: int, hidden: int = 4) -> Any:
    generator = networks.mlp(2, hidden, 2, seed=seed)
    return generator, networks.mlp(2, hidden, 1, seed=seed + 1), POINTS


def spread(generator: nn.Module) -> dict[str, Any]:
    return {"sd": training.sample(generator, 64).std()}


def study(*arguments: Any, **named: Any) -> Any:
    given = {"measure": spread, "steps": 3, "engine": "fit", "progress": False}
    return sweep(*arguments, **{**given, **named})


def weights(one: member.Member) -> Tensor:
    """All of a member, its average included."""
    averaged = [one.averaged[name] for name, _ in one.generator.named_parameters() if one.averaged]
    both = (*one.generator.parameters(), *one.discriminator.parameters(), *averaged)
    return torch.cat([w.detach().flatten() for w in both])


def fed(running: Any, one: member.Member) -> compiled.Draw:
    """The draws that ``fit`` takes: latents from one generator, places from another."""
    rng, mixes = (torch.Generator().manual_seed(one.seed) for _ in range(2))

    def draw(name: str, noise: dict[str, np.ndarray]) -> None:
        noise["normal"][: 2 * BATCH] = torch.randn(BATCH, 2, generator=rng).flatten().numpy()
        if "uniform" not in noise:
            return
        uniform = noise["uniform"]
        if one.game.takes_mix:
            count = BATCH // one.training.pack
            uniform[-count:] = torch.rand(count, generator=mixes).numpy()
        if len(uniform) >= BATCH and isinstance(one.data, Tensor):
            uniform[:BATCH] = (np.arange(BATCH) + 0.5) / BATCH  # every row, in order

    return draw


LOSSES: dict[str, Callable[[], losses.Loss]] = {
    "minimax": losses.minimax,
    "non-saturating": losses.non_saturating,
    "maximum likelihood": losses.maximum_likelihood,
    "least squares": losses.least_squares,
    "wasserstein": losses.wasserstein,
    "hinge": losses.hinge,
    "f-GAN": lambda: losses.f_gan(divergences.divergence("kl")),
    "smoothed": lambda: losses.smoothed(losses.non_saturating()),
    "flipped": lambda: losses.flipped(losses.hinge(), 0.1),
}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"loss": make()} for name, make in LOSSES.items()},
    "gradient penalty": {"penalty": penalties.gradient_penalty, "penalty_weight": 10.0},
    "R1, packs": {"penalty": penalties.r1, "pack": 2, "width": 4},
    "R2, clip": {"penalty": penalties.r2, "penalty_weight": 0.3, "clip": 0.05},
    "rates, two critic steps": {
        "learning_rate": (optimisers.linear(1e-3, over=STEPS), 2e-3),
        "betas": (0.0, 0.99),
        "discriminator_steps": 2,
        "average": 0.7,
    },
}


def test_the_average_is_measured_by_every_engine() -> None:
    pytest.importorskip("ziglang")
    found = {}
    for engine in ("exact", "batched", "fit"):
        setting = {"batch_size": BATCH, "average": 0.9, "learning_rate": 0.05}
        rows = study(plane, [setting], [0, 1], steps=30, engine=engine)
        assert list(rows["engine"]) == [engine] * 2
        found[engine] = rows["averaged sd"].to_numpy()
        assert not np.isclose(rows["averaged sd"], rows["sd"], rtol=1e-3).any()
    np.testing.assert_allclose(found["batched"], found["fit"], rtol=1e-3)
    np.testing.assert_allclose(found["exact"], found["fit"], rtol=0.5)  # its noise is another


def by_fit(setting: Mapping[str, Any], make: member.Make = again) -> Tensor:
    one = member.made(make, {"batch_size": BATCH, **setting}, SEED)
    member.trained(one, STEPS)
    return weights(one)


@pytest.mark.parametrize("name", CASES)
def test_every_engine_trains_as_fit_does(name: str) -> None:
    pytest.importorskip("ziglang")
    # With this epsilon Adam does not make a step of a slope that is 0 but for its rounding.
    setting = {"batch_size": BATCH, "epsilon": 1e-4, **CASES[name]}
    expected = by_fit(setting)
    one = member.made(again, setting, SEED)
    before = torch.cat([w.detach().flatten() for w in one.generator.parameters()])
    assert compiled.not_compiled(one) is None
    compiled.by_module(one, STEPS, compiled.starter("fast"), fed)
    assert (expected[: len(before)] - before).abs().max() > 1e-3
    torch.testing.assert_close(weights(one), expected, rtol=1e-4, atol=2e-5)
    several = [member.made(again, setting, seed) for seed in (SEED, 4)]
    assert batched.by_batch(several, STEPS) == [None, None]
    torch.testing.assert_close(weights(several[0]), expected, rtol=1e-4, atol=2e-5)


def test_rows_of_a_tensor_are_picked_in_the_module_and_its_bits_are_the_page_s() -> None:
    pytest.importorskip("ziglang")
    pytest.importorskip("wasmtime")

    def rows(seed: int) -> Any:
        return (*pair(seed), POINTS)

    def ring(seed: int, std: float = 0.5) -> Any:
        return (*pair(seed), data.ring(3, std=std))

    one = member.made(rows, {"batch_size": BATCH}, SEED)
    compiled.by_module(one, STEPS, compiled.starter("exact"), fed)
    torch.testing.assert_close(weights(one), by_fit({}), rtol=1e-4, atol=2e-5)

    here, page = (member.made(ring, {"batch_size": BATCH}, SEED) for _ in range(2))
    compiled.by_module(here, 60, compiled.starter("exact"))
    compiled.by_module(page, 60, compiled._in_wasmtime)
    assert torch.equal(weights(here), weights(page))
    sharp = member.made(ring, {"batch_size": BATCH, "std": 1e-6}, SEED)
    compiled.by_module(sharp, 60, compiled.starter("exact"))
    assert (weights(here) - weights(sharp)).abs().max() > 1e-3
    # Another run between, and another rate, leave a run as it was.
    other = member.made(ring, {"batch_size": BATCH, "learning_rate": 0.1}, 5)
    compiled.by_module(other, 9, compiled.starter("exact"))
    repeated = member.made(ring, {"batch_size": BATCH}, SEED)
    compiled.by_module(repeated, 60, compiled.starter("exact"))
    assert torch.equal(weights(here), weights(repeated))


def test_the_module_s_noise_is_new_at_each_step_and_for_each_seed() -> None:
    pytest.importorskip("ziglang")
    drawn = []
    for seed in (0, 1):
        one = member.made(lambda seed: (*pair(0), data.ring()), {"batch_size": 500}, seed)
        running = compiled._running(graph.Key(one, graph.Source(one)), compiled.starter("fast"))
        draw, inputs = compiled.philox(running, one), running.functions["discriminator"].inputs
        for _ in range(2):
            draw("discriminator", {})
            drawn += [(inputs["normal"].copy(), inputs["uniform"].copy())]
            draw("generator", {})
            assert (inputs["normal"] == drawn[-1][0]).all()
    for kind, (mean, sd) in enumerate(((0.0, 1.0), (0.5, 12**-0.5))):
        several = np.stack([each[kind] for each in drawn])
        assert several.shape == (4, (3000, 500)[kind])  # latents twice, what blurs a mode
        np.testing.assert_allclose(several.mean(1), mean, atol=0.07)
        np.testing.assert_allclose(several.std(1), sd, rtol=0.1)
        off = np.corrcoef(several) - np.eye(4)
        assert np.abs(off).max() < 0.2


def test_batched_draws_what_fit_draws() -> None:
    setting = {"batch_size": BATCH, "penalty": penalties.gradient_penalty, "discriminator_steps": 2}
    several = [member.made(plane, setting, seed) for seed in (0, 1)]
    batched.by_batch(several, STEPS)
    for seed, one in enumerate(several):
        alone = member.made(plane, setting, seed)
        member.trained(alone, STEPS)
        torch.testing.assert_close(weights(one), weights(alone), rtol=1e-4, atol=2e-5)


class Across(nn.Module):
    """A critic that sees how far its batch is spread."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x.std()


class Unknown(nn.Module):
    """A layer of a function that is not among the compiler's."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.special.i0e(x)


def measured_with_labels(generator: nn.Module) -> dict[str, Any]:
    several = isinstance(generator, networks.Conditional)
    condition = torch.arange(66) % 3 if several else None
    return {"sd": training.sample(generator, 66, condition=condition).std()}


def odd(seed: int, kind: str = "plain") -> Any:
    generator, critic = pair(seed)
    if kind == "normalised":
        generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    if kind == "across":
        critic = Across()
    if kind == "dropout":
        critic = nn.Sequential(critic, nn.Dropout(0.1))
    if kind == "unknown":
        generator = nn.Sequential(generator, Unknown())
    if kind == "labelled":
        generator, critic = (
            networks.Conditional(networks.mlp(2 + 3, 8, width, seed=seed), 3) for width in (2, 1)
        )
        return generator, critic, data.ring(3).labelled()
    if kind == "frozen":
        next(critic.parameters()).requires_grad_(False)  # it differs from seed to seed
    return generator, critic, POINTS


@pytest.mark.parametrize(
    ("setting", "engine", "why"),
    [
        ({"kind": "normalised"}, "batched", "buffers"),
        ({"kind": "across"}, "batched", "across its batch"),
        ({"kind": "frozen"}, "batched", "frozen"),
        ({"kind": "dropout"}, "fit", "generator"),
        ({"optimiser": optimisers.SGD(0.01)}, "batched", "optimiser"),
        ({"options": [options.averaged(0.9), options.replay(16)]}, "batched", "options"),
        ({"options": [options.unrolled(2)]}, "batched", "options"),
        ({"options": [options.past_generators(2)]}, "batched", "options"),
        ({"kind": "labelled"}, "fit", "conditions"),
        ({"kind": "unknown"}, "fit", "i0e"),
    ],
)
def test_what_is_not_compiled_runs_by_the_same_call(
    setting: dict[str, Any], engine: str, why: str
) -> None:
    pytest.importorskip("ziglang")
    given = {"batch_size": BATCH, **setting}
    ours = study(odd, [given], [0, 1], engine="exact", measure=measured_with_labels)
    assert list(ours["engine"]) == [engine] * 2
    assert list(ours["error"]) == ["", ""]
    assert all(why in said for said in ours["why"])
    torch.manual_seed(0)
    plain = study(odd, [given], [0, 1], measure=measured_with_labels)
    if setting.get("kind") not in ("normalised", "across", "dropout"):  # made with no seed
        np.testing.assert_allclose(ours["sd"], plain["sd"], rtol=1e-3)


def test_a_setting_nobody_reads_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(ValueError, match=r"settings\[1\].*did you mean learning_rate"):
        study(plane, [{}, {"learning_rat": 1e-3}], [0])
    with pytest.raises(ValueError, match="did you mean hidden"):
        study(plane, [{"hiden": 3}], [0])
    with pytest.raises(ValueError, match="seeds are an argument"):
        study(plane, [{"seed": 3}], [0])
    with pytest.raises(TypeError, match="pass a list of them"):
        study(plane, {}, [0])
    with pytest.raises(ValueError, match="a seed is -1"):
        study(plane, [{}], [-1])
    with pytest.raises(ValueError, match=r"steps is 1\.5"):
        study(plane, [{}], [0], steps=1.5)
    with pytest.raises(ValueError, match="it must be one of exact"):
        study(plane, [{}], [0], engine="native")
    with pytest.raises(ValueError, match="lacks hidden, which make needs"):
        study(lambda seed, hidden: plane(seed, hidden), [{}], [0])


def test_an_error_and_a_nan_are_rows() -> None:
    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5:
            raise OSError("no such\nfile, 'it' says")
        return {"score": float("nan") if generator[0].out_features == 6 else 1.0}

    settings = [
        {"learning_rate": 1e30},
        {"hidden": 5},
        {"hidden": 6},
        {"learning_rate": -1.0},
        {"batch_size": 4},
    ]
    for engine in ("fit", "batched"):
        with pytest.warns(UserWarning, match="3 of 5 runs failed"):
            rows = study(plane, settings, [0], measure=measure, steps=20, engine=engine)
        assert rows["error"][0].startswith("FloatingPointError")
        assert rows["error"][1] == "OSError: no such file, 'it' says"
        assert rows["error"][3].startswith("ValueError: rate is -1.0")
        assert list(rows["finite"]) == [False, False, False, False, True]
        assert rows["score"].isna().tolist() == [True, True, True, True, False]


def test_a_compiled_run_that_diverges_is_a_row() -> None:
    pytest.importorskip("ziglang")
    with pytest.warns(UserWarning, match="1 of 2"):
        rows = study(plane, [{"learning_rate": 1e30}, {}], [0], steps=60, engine="exact")
    assert list(rows["engine"]) == ["exact", "exact"]
    assert rows["error"][0].startswith("FloatingPointError: training diverged")
    assert list(rows["finite"]) == [False, True]


def test_rows_are_kept_and_two_studies_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "study.csv"
    seen: list[int] = []

    def measure(generator: nn.Module) -> dict[str, float]:
        seen.append(1)
        return {"n": 1.0}

    first = study(plane, [{}, {"hidden": 5}], [0, 1], measure=measure, table=path)
    study(plane, [{}], [0], table=path)
    assert len(seen) == 4
    content = path.read_bytes()
    again = study(plane, [{}, {"hidden": 5}], [0, 1], measure=measure, table=path)
    assert len(seen) == 4
    assert path.read_bytes() == content
    assert len(content.splitlines()) == 1 + 4 + 1
    assert again.equals(first)
    assert list(first["seed"]) == [0, 1, 0, 1]
    assert first["key"].is_unique
    study(plane, [{}], [0, 5], measure=measure, table=path, steps=4)
    assert len(seen) == 6


def test_a_key_changes_with_all_that_a_row_depends_on(monkeypatch) -> None:
    def key(setting: dict[str, Any], steps: int = 3, make: Any = plane, engine: str = "fit") -> str:
        return keys.key(setting, 0, steps, keys.versions(make, spread, engine))

    def scaled(by: float) -> Any:
        return lambda seed: plane(seed) if by > 1 else plane(seed + 1)

    def shifted(by: int) -> Any:
        def make(seed: int) -> Any:
            return plane(seed + by)

        return make

    def with_default(seed: int, hidden: int = 3) -> Any:
        return plane(seed, hidden)

    def with_another(seed: int, hidden: int = 4) -> Any:
        return plane(seed, hidden)

    with_another.__qualname__ = with_default.__qualname__

    found = [
        key({}), key({}, 4), key({"hidden": 5}), key({}, engine="batched"), key({}, make=again),
        key({}, make=scaled(0.5)), key({}, make=scaled(2.0)),
        key({}, make=shifted(1)), key({}, make=shifted(2)),
        key({}, make=with_default), key({}, make=with_another),
        key({}, make=lambda seed: plane(seed + 1)), key({}, make=lambda seed: plane(seed - 1)),
        *(key({"loss": make()}) for make in LOSSES.values()),
        key({"loss": losses.least_squares(-1, 1, 0)}),
        key({"penalty": penalties.r1}), key({"penalty": penalties.r2}),
        key({"learning_rate": optimisers.linear(1e-3, over=5)}),
        key({"learning_rate": optimisers.linear(1e-3, over=6)}),
    ]  # fmt: skip
    assert len({*found}) == len(found)
    assert key({"loss": losses.hinge()}) == key({"loss": losses.hinge()})
    assert key({"betas": (0, 0.9), "clip": 1}) == key({"clip": 1, "betas": [0, 0.9]})
    assert key({}, make=shifted(1)) in found
    with monkeypatch.context() as patched:
        patched.setitem(plane.__globals__, "POINTS", POINTS + 1)
        assert key({}) not in found
    assert key({}) in found
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
    assert key({}) not in found


def test_what_a_kill_left_half_written_is_cut_off_and_another_file_is_left_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.csv"
    study(plane, [{}], [0, 1, 2], table=path)
    whole = path.read_bytes()
    for cut in (3, len(table._lines([table.COLUMNS])) - 1, len(whole) - 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        rows = study(plane, [{}], [0, 1, 2], table=path)
        assert len(rows) == 3
        assert study(plane, [{}], [0, 1, 2], table=path).equals(rows)
        assert len(path.read_bytes().splitlines()) == 4
        assert path.read_bytes()[:cut] == whole[:cut] or cut > len(whole) - 50
    for other in (b"a,b\n1,2\n", b"nothing", b"\x00\x00"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="no table of a study"):
            study(plane, [{}], [0], table=path)
        assert path.read_bytes() == other
    path.write_bytes(whole + b"1,2\n")
    with pytest.raises(ValueError, match="line 5 of"):
        study(plane, [{}], [0], table=path)
    with pytest.raises(IsADirectoryError, match=r"study\.csv"):
        study(plane, [{}], [0], table=tmp_path)


def test_a_full_disk_stops_the_study_and_leaves_the_table_whole(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "study.csv"
    study(plane, [{}], [0], table=path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"make room and call sweep again"):
            study(plane, [{}], [0, 1], table=path)
    assert path.read_bytes() == before
    assert len(study(plane, [{}], [0, 1], table=path)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_one_study_at_a_time_writes_to_a_table(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    with table.Table(path), pytest.raises(BlockingIOError, match="another study is writing"):
        study(plane, [{}], [0], table=path)
    study(plane, [{}], [0], table=path)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_studies import plane, study
def measure(generator):
    time.sleep(0.1)
    return {"n": 1.0}
print(len(study(plane, [{}], range(12), measure=measure, table=sys.argv[1])), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_nothing_is_lost_or_run_twice_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, os.fspath(script), os.fspath(path), os.fspath(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment) as running:
        until = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
    before = path.read_bytes()
    assert 5 <= before.count(b"\n") < 13
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "12"
    after = path.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    lines = after.decode().splitlines()[1:]
    assert len(lines) == len({line.split(",")[0] for line in lines}) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    flag = os.fspath(tmp_path / "flag")

    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5 and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"n": 1.0}

    path = tmp_path / "study.csv"
    rows = study(plane, [{}, {"hidden": 5}], [0, 1, 2], measure=measure, table=path, jobs=2)
    assert os.path.exists(flag)
    assert list(rows["n"]) == [1.0] * 6
    assert path.read_bytes().count(b"\n") == 7


def test_members_that_differ_in_numbers_share_a_batch() -> None:
    runs = [
        work.Run(f"{i}", setting, seed)
        for i, (setting, seed) in enumerate(
            (setting, seed)
            for setting in (
                {"learning_rate": 1e-3},
                {"betas": (0, 0.9)},
                {"hidden": 5},
                {"learning_rate": optimisers.linear(1e-3, over=5)},
            )
            for seed in range(10)
        )
    ]
    groups = work._groups(plane, "batched", runs)
    assert [len(group.runs) for group in groups] == [16, 4, 10, 10]
    one = dataclasses.replace(groups[0], runs=groups[0].runs[9:11])
    rows = work._rows(plane, spread, one, 3)
    alone = [work._rows(plane, spread, dataclasses.replace(one, runs=[run]), 3) for run in one.runs]
    for row, (other,) in zip(rows, alone, strict=True):
        assert row["error"] == ""
        assert row["measured"][:12] == other["measured"][:12]


def test_dask_runs_a_study_one_of_whose_workers_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("dask.distributed")
    import joblib

    flag = os.fspath(tmp_path / "flag")

    def measure(generator: nn.Module) -> dict[str, float]:
        if generator[0].out_features == 5 and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"n": 1.0}

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as here,
        distributed.Client(here),
        joblib.parallel_config(backend="dask"),
    ):
        rows = study(
            plane, [{}, {"hidden": 5}], range(3), measure=measure, table=tmp_path / "study.csv"
        )
    assert os.path.exists(flag)
    assert list(rows["n"]) == [1.0] * 6
    assert rows["key"].is_unique


def test_the_bench_has_a_row_for_each_engine(monkeypatch) -> None:
    pytest.importorskip("ziglang")
    sizes = {"exact": (2, 3), "fast": (2, 3), "batched": (2, 3)}
    monkeypatch.setattr(bench_studies, "SIZES", sizes)
    monkeypatch.setattr(bench, "STEPS", 3)
    rows = list(bench_studies.studies_comparisons())
    assert len(rows) == 6
    assert all(row.ours() > 0 and row.theirs() > 0 for row in rows[:3])
