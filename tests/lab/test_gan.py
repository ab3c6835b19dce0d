"""The laboratory: what the page runs is the library's step, in Python and in the page."""

from __future__ import annotations

import base64
import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")

from conftest import in_browser, in_node

from ganlib import losses, metrics, networks, penalties
from ganlib.lab import assets, flat, gan, laboratory
from ganlib.lab.laboratory import ANCHORS, BATCH, BINS, LOSSES, SCORED

EPSILON = 1e-4  # with 1e-8 Adam turns the rounding of tiny gradients into whole steps


def buffers(run: gan.Run) -> dict[str, np.ndarray]:
    return run._buffers


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy())


# --- the step -------------------------------------------------------------------------------

PENALTIES = {"none": None, "clip": None, "r1": penalties.r1, "gp": penalties.gradient_penalty}
# Every loss without a penalty, every penalty with a pack; the loss menu is one and the same in all.
GAMES = [(loss, "none", 1) for loss in LOSSES] + [
    ("non-saturating", "r1", 1), ("wasserstein", "gp", 1), ("wasserstein", "clip", 1),
    ("hinge", "none", 2), ("kl", "r1", 2), ("least-squares", "gp", 2),
    ("minimax", "none", 4), ("pearson", "r1", 4), ("wasserstein", "gp", 4),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "penalty", "pack"), GAMES)
def test_the_module_takes_the_librarys_step(loss: str, penalty: str, pack: int) -> None:
    chosen = gan.settings(
        loss=loss, penalty=penalty, pack=pack, epsilon=EPSILON, weight=0.3, rate_d=2e-3,
        a=-1.0, b=0.8, c=0.5, clip=0.1, latent=3, batch=64,
    )  # fmt: skip
    run = gan.Run(chosen)
    objective = LOSSES[loss].loss
    if loss == "least-squares":  # the numbers themselves, in place of the menu's symbols
        objective = losses.least_squares(-1.0, 0.8, 0.5)
    game = flat.FlatStep(
        networks.mlp(laboratory.LATENT, 64, 64, 2), networks.mlp(2 * pack, 64, 64, 1), objective,
        PENALTIES[penalty], pack=pack,
    )  # fmt: skip
    numbers = flat.settings(
        learning_rate=(1e-3, 2e-3), epsilon=EPSILON, penalty=0.3,
        clip=0.1 if penalty == "clip" else math.inf,
    )  # fmt: skip
    mine = tensor(buffers(run)["state"])
    for i in range(10):
        run.discriminator()
        drawn = [tensor(buffers(run)[name]) for name in ("real", "latent", "mix")]
        mine, loss_d = game.discriminator_step(mine, *drawn, numbers)
        run.generator()
        mine, loss_g = game.generator_step(mine, tensor(buffers(run)["latent"]), numbers)
        if i in (0, 9):
            torch.testing.assert_close(tensor(buffers(run)["state"]), mine, rtol=1e-4, atol=1e-5)
            assert run.loss["d"] == pytest.approx(loss_d.item(), rel=1e-4, abs=1e-5)
            assert run.loss["g"] == pytest.approx(loss_g.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("batch", "pack", "latent"), [(32, 1, 1), (64, 4, 8), (128, 2, 3)])
def test_a_smaller_batch_is_drawn_once_and_repeated(batch: int, pack: int, latent: int) -> None:
    run = gan.Run(gan.settings(batch=batch, pack=pack, latent=latent, penalty="gp"))
    run.discriminator()
    seen = buffers(run)
    for name, rows in (("real", batch), ("latent", batch), ("mix", batch // pack)):
        blocks = seen[name].reshape(-1, rows, seen[name].shape[1])
        assert np.array_equal(blocks, np.broadcast_to(blocks[0], blocks.shape)), name
        assert len(np.unique(blocks[0], axis=0)) == rows, name
    assert (seen["latent"][:, latent:] == 0).all()
    assert (seen["latent"][:, :latent] != 0).all()
    # So its loss is that of the smaller batch alone.
    game = flat.FlatStep(
        networks.mlp(8, 64, 64, 2), networks.mlp(2 * pack, 64, 64, 1), losses.non_saturating(),
        penalties.gradient_penalty, pack=pack,
    )  # fmt: skip
    again = gan.Run(run.settings)
    state = tensor(buffers(again)["state"])
    again.discriminator()
    small = [tensor(seen[name])[:rows] for name, rows in
             (("real", batch), ("latent", batch), ("mix", batch // pack))]  # fmt: skip
    _, loss = game.discriminator_step(state, *small, flat.settings())
    assert again.loss["d"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("latent", [1, 2, 8])
def test_initial_weights_are_those_of_torchs_layers(latent: int) -> None:
    run = gan.Run(gan.settings(latent=latent, seed=5))
    game = flat.FlatStep(networks.mlp(8, 64, 64, 2), networks.mlp(2, 64, 64, 1), losses.minimax())
    state = tensor(buffers(run)["state"])
    total = sum(w.numel() for m in (game.generator, game.discriminator) for w in m.parameters())
    assert (state[total:] == 0).all()
    for weights, first in zip(game.weights(state), (latent, 2), strict=True):
        for place, width in (("0", first), ("2", 64), ("4", 64)):
            bound = 1 / math.sqrt(width)
            both = torch.cat([weights[f"{place}.{kind}"].flatten() for kind in ("weight", "bias")])
            assert both.abs().max() < bound
            # Uniform: mean 0 and variance bound^2 / 3, within six standard errors.
            assert both.mean().abs() < 6 * bound / math.sqrt(3 * len(both))
            spread = 6 * bound**2 * math.sqrt(4 / 45 / len(both))
            assert both.square().mean() == pytest.approx(bound**2 / 3, abs=spread)


# --- draws and scores -----------------------------------------------------------------------


def test_draws_come_from_the_target() -> None:
    run = gan.Run(gan.settings(target="grid"))
    target = gan.TARGETS["grid"]
    drawn = []
    for _ in range(15):
        run.discriminator()
        drawn.append(buffers(run)["real"].copy())
    points = tensor(np.concatenate(drawn))
    counts = metrics.mode_counts(points.double(), target.anchors.double(), 3 * target.std)
    # Each of 25 modes holds a 25th, within six standard errors.
    expected = len(points) * metrics.perfect_high_quality() / 25
    assert ((counts - expected).abs() < 6 * math.sqrt(expected)).all()


@pytest.mark.parametrize("target", ["ring", "spiral", "drawn"])
def test_scores_are_the_librarys(target: str) -> None:
    drawn = [0.0, 0.0, 1.0, 0.5, -0.5, 1.2] if target == "drawn" else None
    run = gan.Run(gan.settings(target=target, drawn=drawn))
    for _ in range(30):
        run.both()
    run._score()
    points = tensor(run._call("generate")["points"])
    wanted = gan.TARGETS[target]
    anchors = wanted.anchors if drawn is None else torch.tensor(drawn).reshape(-1, 2)
    low, high = (torch.tensor(wanted.limits[i::2], dtype=torch.float64) for i in (0, 1))
    weights = torch.full((len(anchors),), 1 / len(anchors), dtype=torch.float64)
    masses = metrics.cell_masses(anchors.double(), weights, wanted.std, low, high, BINS)
    counts = metrics.cell_counts(points.double(), low, high, BINS)
    jsd = metrics.cell_jsd(masses, counts / SCORED).item()
    assert run.record().last("divergence") == pytest.approx(jsd, abs=2e-4)
    if wanted.modes:
        expected = metrics.mode_coverage(points, anchors, wanted.std)
        assert run.record().last("modes") == expected.modes
        assert run.record().last("fair") == expected.fair
        assert run.record().last("quality") == pytest.approx(expected.high_quality, abs=1e-3)
    else:
        with pytest.raises(ValueError, match="no modes"):
            run.record().last("modes")


def test_the_floor_is_that_of_a_perfect_sampler() -> None:
    run = gan.Run(gan.settings(target="two"))
    target = gan.TARGETS["two"]
    rng = torch.Generator().manual_seed(0)
    scores = []
    low, high = (torch.tensor(target.limits[i::2], dtype=torch.float64) for i in (0, 1))
    half = torch.full((2,), 0.5, dtype=torch.float64)
    masses = metrics.cell_masses(target.anchors.double(), half, target.std, low, high, BINS)
    for _ in range(100):
        place = torch.randint(2, (SCORED,), generator=rng)
        points = target.anchors[place] + target.std * torch.randn(SCORED, 2, generator=rng)
        counts = metrics.cell_counts(points.double(), low, high, BINS)
        scores.append(metrics.cell_jsd(masses, counts / SCORED).item())
    assert run.floor["median"] == pytest.approx(np.median(scores), rel=0.1)
    assert run.floor["median"] < run.floor["high"] < max(scores) * 1.2


def test_what_is_looked_at() -> None:
    run = gan.Run(gan.settings(pack=2, latent=3))
    for _ in range(5):
        run.both()
    seen = run.record()
    game = flat.FlatStep(
        networks.mlp(8, 64, 64, 2), networks.mlp(4, 64, 64, 1), losses.non_saturating(), pack=2
    )
    state = tensor(seen.state)
    x = torch.tensor([0.0375, -0.6375])  # the middle of column 20, row 11
    judged = torch.sigmoid(game.critic(state, torch.cat([x, x])[None])).item()
    assert seen.field[11, 20] == pytest.approx(judged, rel=1e-5)
    corner = torch.zeros(1, 8)
    corner[0, :2] = torch.tensor([2.0, -2.0])
    assert seen.map[14] == pytest.approx(game.sample(state, corner)[0].numpy(), rel=1e-4, abs=1e-5)
    # The arrows: minus the generator's slope, at samples that D sees in pairs.
    fake = tensor(seen.samples[:64]).requires_grad_()
    cost = torch.nn.functional.softplus(-game.critic(state, fake.reshape(32, 4))).sum()
    (slope,) = torch.autograd.grad(cost, fake)
    assert seen.arrows[:, 2:] == pytest.approx(-slope.numpy(), rel=1e-4, abs=1e-6)
    assert (seen.arrows[:, :2] == seen.samples[:64]).all()


# --- one engine, two languages --------------------------------------------------------------

CASES: list[dict[str, Any]] = [
    {"seed": 3},
    {"loss": "wasserstein", "penalty": "gp", "critic_steps": 3, "batch": 64, "latent": 5},
    {"target": "drawn", "drawn": [0.1, 0.2, -0.7, 1.0], "loss": "least-squares", "a": -1.0},
    {"pack": 2, "penalty": "r1", "target": "grid", "seed": 2**32 - 1},
    {"pack": 4, "loss": "kl", "penalty": "clip", "target": "swiss-roll"},
]  # fmt: skip
STEPS = 60  # one score after the first
HARNESS = """
const text = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let letters = "";
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return btoa(letters);
};
async function harness({ modules, spec, cases, steps }) {
  const answers = [];
  for (const { settings, change } of cases) {
    const { wasm, metadata } = modules[settings.module];
    const bytes = Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0));
    const run = new Run(await load(bytes, metadata), spec);
    run.reset(settings);
    for (let i = 0; i < steps; i++) {
      if (i === 20) run.change({ ...settings, ...change });
      run.both();
    }
    run.discriminator();
    const frame = run.frame();
    for (const [name, value] of Object.entries(frame))
      if (value instanceof Float32Array) frame[name] = text(value);
    answers.push({ ...frame, state: text(run.buffer("state")) });
  }
  return answers;
}
"""
CHANGE = {"rate_d": 5e-4, "critic_steps": 2}


def test_the_scripts_run_is_pythons_to_the_last_bit(tmp_path: Path) -> None:
    spec = gan.GanLab().spec
    chosen = [gan.settings(**case) for case in CASES]
    modules = {
        laboratory.name_of(pack, penalty): {
            "wasm": base64.b64encode(laboratory.laboratory(pack, penalty).wasm).decode(),
            "metadata": laboratory.laboratory(pack, penalty).metadata(),
        }
        for pack in laboratory.PACKS
        for penalty in laboratory.PENALTIES
    }
    given = {
        "modules": modules, "spec": spec, "steps": STEPS,
        "cases": [
            {
                "settings": {**s, "module": laboratory.name_of(s["pack"], s["penalty"])},
                "change": CHANGE,
            }
            for s in chosen
        ],
    }  # fmt: skip
    program = (
        f"{assets._Files({}).joined('engine.js')}\n{HARNESS}\n"
        f"const answer = harness({json.dumps(given)});"
    )
    answers = in_node(program, tmp_path) if shutil.which("node") else in_browser(program)
    for settings, answer in zip(chosen, answers, strict=True):
        run = gan.Run(settings)
        for i in range(STEPS):
            if i == 20:
                run.change({**settings, **CHANGE})
            run.both()
        run.discriminator()
        mine = run.record()
        for name in ("state", "samples", "real", "field", "map", "arrows"):
            assert base64.b64decode(answer[name]) == getattr(mine, name).tobytes(), name
        history = {
            name: series and [None if math.isnan(v) else v for v in series]
            for name, series in mine.history.items()
        }
        assert answer["history"] == history
        assert answer["floor"] == mine.floor
        assert answer["step"] == mine.step == STEPS
        assert not answer["diverged"]


# A page that asks for one thing after the other, and the frames it gets.
WORKER = """
async function harness({ wasm, metadata, spec, settings, wild }) {
  const frames = [], failures = [], scope = {};
  let heard = () => {};
  scope.postMessage = ({ type, frame, message }) => {
    if (type === "failed") failures.push(message);
    if (type === "frame") {
      frames.push(frame);
      send({ type: "next" }); // drawn at once
    }
    heard();
  };
  serve(scope);
  const send = (data) => scope.onmessage({ data });
  const until = async (ready) => {
    while (!ready()) await new Promise((done) => { heard = done; });
  };
  const bytes = Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0));
  const say = () => { const { step, playing, diverged, rate } = frames.at(-1);
    return { frames: frames.length, step, playing, diverged, rate: rate > 0 }; };
  const seen = {};
  send({ type: "start", metadata, bytes, spec });
  send({ type: "reset", settings });
  await until(() => frames.length === 1);
  seen.reset = say();
  for (const player of ["discriminator", "generator", "both"]) send({ type: "step", player });
  await until(() => frames.length === 4);
  seen.stepped = say();
  const stop = setTimeout(() => {}, 1e6); // Node ends when nothing is left to wait for
  send({ type: "play", rate: null, until: 60 });
  await until(() => !frames.at(-1).playing && frames.at(-1).step >= 60);
  seen.played = say();
  seen.same = frames.at(-1).history.divergence;
  send({ type: "play", rate: 200 });
  await until(() => frames.at(-1).step > 60);
  send({ type: "pause" });
  await until(() => !frames.at(-1).playing);
  seen.paused = say();
  send({ type: "reset", settings: wild });
  send({ type: "play", rate: null });
  await until(() => frames.at(-1).diverged);
  seen.wild = say();
  send({ type: "play", rate: null });
  send({ type: "reset", settings });
  await until(() => frames.at(-1).step === 0 && !frames.at(-1).diverged);
  seen.again = say();
  send({ type: "reset", settings: { ...settings, target: "nowhere" } });
  await until(() => failures.length);
  seen.failures = failures;
  clearTimeout(stop);
  setTimeout(() => globalThis.process?.exit(0), 50); // its channel would keep Node alive
  return seen;
}
"""


def test_the_worker_does_what_the_page_asks(tmp_path: Path) -> None:
    lab = gan.GanLab("healthy")
    module = laboratory.laboratory()
    given = {
        "wasm": base64.b64encode(module.wasm).decode(), "metadata": module.metadata(),
        "spec": lab.spec, "settings": lab.values["settings"],
        "wild": gan.settings(loss="kl", rate_g=1.0, rate_d=1.0, beta1=0.99),
    }  # fmt: skip
    engine = assets._Files({}).joined("engine.js")
    program = f"{engine}\n{WORKER}\nconst answer = harness({json.dumps(given)});"
    seen = in_node(program, tmp_path) if shutil.which("node") else in_browser(program)
    still = {"playing": False, "diverged": False}
    assert seen["reset"] == {"frames": 1, "step": 0, "rate": False, **still}
    assert seen["stepped"] == {"frames": 4, "step": 2, "rate": False, **still}
    assert seen["played"]["step"] == 60
    assert not seen["played"]["playing"]
    assert seen["paused"]["step"] > 60
    assert seen["wild"]["diverged"]
    assert not seen["wild"]["playing"]
    assert seen["again"]["step"] == 0
    assert len(seen["failures"]) == 1


def test_a_run_is_a_function_of_its_settings_and_steps() -> None:
    lab = gan.GanLab("collapse", target="two")
    first, again, other = lab.run(20), lab.run(20), lab.run(20, seed=1)
    assert first.state.tobytes() == again.state.tobytes()
    assert first.state.tobytes() != other.state.tobytes()


def test_the_history_is_thinned_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan.run, "EVERY", 1)
    monkeypatch.setattr(gan.run, "KEPT", 6)
    run = gan.Run(gan.settings())
    for _ in range(21):
        run.both()
    assert run.history["step"] == [0, 4, 8, 12, 16, 20]
    assert {len(series) for series in run.history.values() if series is not None} == {6}


def test_a_run_that_diverges_stops_and_starts_again() -> None:
    wild = gan.settings(loss="kl", rate_g=1.0, rate_d=1.0, beta1=0.99)
    run = gan.Run(wild)
    for _ in itertools.takewhile(lambda _: not run.diverged, range(500)):
        run.both()
    assert run.diverged
    stopped = run.step
    run.both()
    assert run.step == stopped
    assert run.record().diverged
    tame = gan.settings()
    run.reset(tame)
    for _ in range(5):
        run.both()
    fresh = gan.GanLab().run(5, **tame)
    assert not run.diverged
    assert run.record().state.tobytes() == fresh.state.tobytes()


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 1e-3}, "no setting 'rate'; the nearest is 'rate_"),
        ({"loss": "hinges"}, "loss is 'hinges'; choose one of 'minimax'"),
        ({"batch": 100}, "batch is 100; choose one of 32, 64"),
        ({"pack": True}, "pack is True"),
        ({"latent": 9}, "latent is 9; set a number from 1 to 8"),
        ({"latent": 2.5}, "latent is 2.5; set an integer"),
        ({"rate_d": 0.0}, "rate_d is 0.0; set a number from 1e-05 to 1"),
        ({"seed": -1}, "seed is -1"),
        ({"loss": "least-squares", "a": 1.0}, "a = b = 1: real and fake have one target"),
        ({"drawn": [1.0]}, "drawn holds 1 numbers"),
        ({"drawn": [0.0, 2.0]}, "y from -1.5 to 1.5"),
        ({"drawn": [0.0] * (2 * ANCHORS + 2)}, "at most 200 points"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gan.settings(**wrong)


def test_the_widget_checks_what_it_is_given() -> None:
    with pytest.raises(ValueError, match=r"no preset 'colapse'; the nearest is 'collapse'"):
        gan.GanLab("colapse")
    lab = gan.GanLab("collapse", compare={"pack": 2}, seed=4)
    assert lab.values["compare"] == {**lab.values["settings"], "pack": 2}
    lab.values = {"settings": {"rate_g": 0.01}}
    assert lab.values["settings"]["rate_g"] == 0.01
    assert lab.values["settings"]["seed"] == 4
    with pytest.raises(Exception, match="loss is 'none'"):
        lab.values = {"settings": {"loss": "none"}}
    with pytest.raises(Exception, match="it holds preset, settings and compare"):
        lab.values = {"run": 3}
    with pytest.raises(ValueError, match="drawn is empty"):
        gan.GanLab("collapse", target="drawn").run(1)


def test_every_setting_has_a_control_and_every_preset_its_settings() -> None:
    spec = gan.GanLab().spec
    assert {c["name"] for c in spec["controls"]} | {"drawn"} == set(spec["defaults"])
    assert gan.settings() == spec["defaults"] == gan.DEFAULTS
    assert BATCH % max(laboratory.PACKS) == 0
    for preset in spec["presets"]:
        gan.settings(**preset["settings"])
    # The page's settings, made from its own controls, are the library's.
    for control in spec["controls"]:
        if control["kind"] == "menu":
            assert control["names"][control["value"]] == spec["defaults"][control["name"]]


def test_the_still_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = gan.PRESETS["collapse"]
    lab = gan.GanLab("collapse", compare={"pack": 2})
    monkeypatch.setitem(gan.PRESETS, "collapse", preset._replace(steps=100))
    still = lab.still()
    assert still.image.startswith(b"\x89PNG")
    assert "After 100 steps" in still.alt
    assert "a perfect sampler" in still.alt
    assert still.table.count("<tr>") == 13  # a head, and six series of each run
    assert "high-quality share" in still.table
