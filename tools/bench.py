"""How fast the library is, as ratios measured in one run (``make bench``).

A time in seconds belongs to the machine it was taken on; the ratio of two loops that ran in
turn, again and again, on one machine travels better. Each row gives the median of the ratios of
neighbouring runs, and their range. A step counts one step of the discriminator and one of the
generator; where many GANs train at once, the steps of all are counted. The last row is the
laboratory's step, compiled to WebAssembly and run as a page runs it, in a worker of a headless
browser (in Node where there is no browser). Below the table: how long a reader plays until the
digits of the front page are learnt, in seconds, as a reader counts.
"""

from __future__ import annotations

import base64
import json
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ganlib import data, lab, losses, networks, step, training
from ganlib.game import Game
from ganlib.lab import compiler, flat
from tools import bench_digits, bench_studies, browser

PAIRS = 7
STEPS = 400
MEMBERS = 16


@dataclass(frozen=True)
class Comparison:
    """Two ways to do one thing, each a function that returns steps a second."""

    what: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


@dataclass(frozen=True)
class Setting:
    """Networks, data and a batch: what both loops train."""

    name: str
    players: Callable[[], tuple[nn.Module, nn.Module]]
    values: Callable[[], Tensor]
    latent: int
    batch: int
    share: float = 1.0  #: of STEPS: slow networks take fewer

    @property
    def steps(self) -> int:
        """Steps of one timed run."""
        return max(2, int(STEPS * self.share))


def _ring(hidden: int, batch: int) -> Setting:
    return Setting(
        f"ring, 2-{hidden}-{hidden}-2, batch {batch}",
        lambda: ring_networks(hidden),
        lambda: data.ring().sample(10_000, torch.Generator().manual_seed(0)),
        latent=2,
        batch=batch,
    )


def ring_networks(hidden: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The generator and discriminator of every ring figure: two hidden layers."""
    return (
        networks.mlp(2, hidden, hidden, 2, seed=0),
        networks.mlp(2, hidden, hidden, 1, seed=1),
    )


RINGS = (_ring(32, 128), _ring(64, 256))
DCGAN = Setting(
    "DCGAN 28x28, width 32, batch 64",
    lambda: (networks.dcgan_generator(100, width=32), networks.dcgan_discriminator(width=32)),
    lambda: torch.rand(512, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1,
    latent=100,
    batch=64,
    share=0.02,
)


def tutorial_loop(setting: Setting) -> float:
    """Steps a second of the loop that most tutorials print: zero_grad, backward, step."""
    generator, discriminator = setting.players()
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    values, batch = setting.values(), setting.batch
    bce = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)
    losses_d, losses_g = [], []
    started = time.perf_counter()
    for _ in range(setting.steps):
        real = values[torch.randint(len(values), (batch,))]
        fake = generator(torch.randn(batch, setting.latent))
        adam_d.zero_grad()
        loss_d = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
        loss_d.backward()
        adam_d.step()
        adam_g.zero_grad()
        loss_g = bce(discriminator(generator(torch.randn(batch, setting.latent))), ones)
        loss_g.backward()
        adam_g.step()
        losses_d.append(loss_d.item())
        losses_g.append(loss_g.item())
    return setting.steps / (time.perf_counter() - started)


def fit_loop(setting: Setting, autocast: torch.dtype | None = None) -> float:
    """Steps a second of :func:`ganlib.training.fit` on the same networks and data."""
    history = training.fit(
        *setting.players(),
        setting.values(),
        steps=setting.steps,
        batch_size=setting.batch,
        autocast=autocast,
        progress=False,
    )
    return setting.steps / history.seconds


def compiled_loop(setting: Setting, members: int = 1) -> Callable[[], float]:
    """A function that returns the steps a second of all members of a compiled pure step.

    With several members the step is mapped over them, each with weights, batches and latents of
    its own. What ``torch.compile`` takes to compile it, once, is not in the figure.
    """
    states = [step.pure(Game(*setting.players())).initial() for _ in range(members)]
    one = step.turn(step.pure(Game(*setting.players())))
    state = step.stack(states)
    compiled = torch.compile(torch.func.vmap(one), fullgraph=True)
    values, batch = setting.values(), setting.batch

    def rate() -> float:
        nonlocal state
        started = time.perf_counter()
        for _ in range(setting.steps):
            real = values[torch.randint(len(values), (members, 1, batch))]
            latents = torch.randn(2, members, batch, setting.latent)
            state, _ = compiled(state, real, latents[0][:, None], latents[1])
        return members * setting.steps / (time.perf_counter() - started)

    return rate


def compiled_step(hidden: int, batch: int) -> compiler.Module:
    """The alternating step on the ring, its batches drawn in the module too."""
    game = flat.FlatStep(*ring_networks(hidden), losses.non_saturating())
    ring = data.ring()

    def discriminator(
        state: Tensor, noise: Tensor, pick: Tensor, latent: Tensor, mix: Tensor, settings: Tensor
    ) -> dict[str, Tensor]:
        real = ring.centres[(pick * len(ring.centres)).long()] + ring.std * noise
        done = game.discriminator_step(state, real, latent, mix, settings)
        return {"state": done.state, "loss_d": done.loss}

    def generator(state: Tensor, latent: Tensor, settings: Tensor) -> dict[str, Tensor]:
        done = game.generator_step(state, latent, settings)
        return {"state": done.state, "loss_g": done.loss}

    noise, pick = torch.zeros(batch, 2), torch.zeros(batch)
    state, numbers = game.initial(), flat.settings()
    return compiler.compile_functions(
        {
            "discriminator": (discriminator, (state, noise, pick, noise, pick[:, None], numbers)),
            "generator": (generator, (state, noise, numbers)),
        },
        noise=True,
    )


# Steps on request, and how many of them a second took; the state goes on from run to run.
WORKER = """
let players, draw, turn = 0;
async function ready({ wasm, metadata, state, settings }) {
  const loaded = await load(Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0)), metadata);
  players = loaded.functions, draw = loaded.draw;
  const { inputs } = players.discriminator;
  inputs.state.set(state), inputs.settings.set(settings), inputs.settings[6] = Infinity;
}
function rate(steps) {
  const { discriminator: d, generator: g } = players, started = performance.now();
  for (let i = 0; i < steps; i++, turn += 4) {
    draw("normal", d.inputs.noise, 1, turn), draw("uniform", d.inputs.pick, 1, turn + 1);
    draw("normal", d.inputs.latent, 1, turn + 2), d.run();
    draw("normal", g.inputs.latent, 1, turn + 3), g.run();
  }
  if (!d.outputs.state.every(Number.isFinite)) throw new Error("the run diverged");
  return 1000 * steps / (performance.now() - started);
}
"""
PAGE = """(source) => {
  const text = source + "onmessage = async ({ data }) => postMessage("
    + "typeof data === 'number' ? rate(data) : await ready(data));";
  const worker = new Worker(URL.createObjectURL(new Blob([text])));
  window.ask = (question) => new Promise((answer, failed) => {
    worker.onmessage = ({ data }) => answer(data), worker.onerror = (e) => failed(e.message);
    worker.postMessage(question);
  });
}"""
NODE = """
const { createInterface } = await import("node:readline");
for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const answer = typeof question === "number" ? rate(question) : await ready(question);
  console.log(JSON.stringify(answer ?? null));
}
"""


@contextmanager
def page_loop(hidden: int, batch: int) -> Iterator[tuple[str, Callable[[], float]]]:
    """Where the compiled step runs, and a function that returns its steps a second there."""
    module = compiled_step(hidden, batch)
    game = flat.FlatStep(*ring_networks(hidden), losses.non_saturating())
    given = {
        "wasm": base64.b64encode(module.wasm).decode(),
        "metadata": module.metadata(),
        "state": game.initial().tolist(),
        "settings": [*flat.settings().tolist()[:6], 0],  # JSON has no infinity
    }
    runtime = Path(lab.__file__).with_name("runtime.js").read_text()
    source = runtime.replace("export async function", "async function") + WORKER
    with _in_browser(source) if _has_browser() else _in_node(source) as ask:
        ask(given)
        yield ("Chromium" if _has_browser() else "Node"), lambda: ask(STEPS)


def _has_browser() -> bool:
    try:
        return not browser.skipped() and bool(browser.find())
    except FileNotFoundError:
        return False


@contextmanager
def _in_browser(source: str) -> Iterator[Callable[[Any], Any]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = running.new_page()
        page.evaluate(PAGE, source)
        yield lambda question: page.evaluate("(question) => window.ask(question)", question)
        running.close()


@contextmanager
def _in_node(source: str) -> Iterator[Callable[[Any], Any]]:
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError(
            "the compiled step needs a browser or Node to run in, and neither was found; "
            "install one of them"
        )
    command = [node, "--input-type=module", "--eval", source + NODE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        to, back = running.stdin, running.stdout

        def ask(question: Any) -> Any:
            to.write(json.dumps(question) + "\n")
            to.flush()
            line = back.readline()
            if not line:
                raise RuntimeError("Node stopped; its message is above")
            return json.loads(line)

        yield ask
        to.close()


COMPARISONS = tuple(
    Comparison(
        f"fit against the tutorial loop, {setting.name}",
        lambda setting=setting: fit_loop(setting),  # type: ignore[misc]
        lambda setting=setting: tutorial_loop(setting),  # type: ignore[misc]
    )
    for setting in (*RINGS, DCGAN)
)
# Pays where the processor multiplies bfloat16 by itself; elsewhere the row shows what it costs.
HALF = Comparison(
    f"fit in bfloat16 against the tutorial loop, {DCGAN.name}",
    lambda: fit_loop(DCGAN, torch.bfloat16),
    lambda: tutorial_loop(DCGAN),
)


def compiled_comparisons() -> Iterator[Comparison]:
    """The pure step under ``torch.compile``, alone and mapped over many, where it can compile."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        print("torch.compile needs a C++ compiler, and there is none here: two rows left out")
        return
    setting = RINGS[0]
    for members in (1, MEMBERS):
        yield Comparison(
            f"{members} compiled as one step against loops, {setting.name}",
            compiled_loop(setting, members),
            lambda: tutorial_loop(setting),
        )


def measure(comparison: Comparison, pairs: int = PAIRS) -> list[tuple[float, float]]:
    """Run both in turn, ``pairs`` times, after one warm-up of each."""
    comparison.ours(), comparison.theirs()
    return [
        (comparison.ours(), comparison.theirs())
        for _ in tqdm(range(pairs), desc=comparison.what, leave=False)
    ]


def report(comparison: Comparison, runs: list[tuple[float, float]]) -> str:
    """One line of the table: medians of the rates, and of the ratios with their range."""
    ours, theirs = (statistics.median(column) for column in zip(*runs, strict=True))
    ratios = sorted(a / b for a, b in runs)
    return (
        f"{comparison.what:72s} {ours:8.0f} {theirs:8.0f}"
        f"   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    torch.set_num_threads(1)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, {PAIRS} pairs of runs")
    print(f"{'':72s} {'ours':>8s} {'theirs':>8s}   ratio (range)")
    studies = bench_studies.studies_comparisons()
    for comparison in (*COMPARISONS, HALF, *compiled_comparisons(), *studies):
        print(report(comparison, measure(comparison)), flush=True)
    setting = RINGS[1]
    with page_loop(64, setting.batch) as (where, rate):
        what = f"the step compiled, in {where}, against fit, {setting.name}"
        comparison = Comparison(what, rate, lambda: fit_loop(setting))
        print(report(comparison, measure(comparison)))
    if _has_browser():
        print(bench_digits.report())


if __name__ == "__main__":
    main()
