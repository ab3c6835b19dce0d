"""A run of a study, engine ``exact``, has the bits of the same module in the page."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("wasmtime")
pytest.importorskip("ziglang")

from ganlib import data, losses, networks, penalties
from ganlib.lab import flat
from ganlib.lab.compiler.build import build
from ganlib.optimisers import rate_at
from ganlib.studies import compiled, graph, member

STEPS, SEED = 20, 11

GAMES: dict[str, dict[str, Any]] = {
    "non-saturating": {},
    "wgan-gp": {"loss": losses.wasserstein(), "penalty": penalties.gradient_penalty},
    "packs": {"pack": 2, "betas": (0.0, 0.9)},
}


def made(setting: dict[str, Any]) -> member.Member:
    pack = setting.get("pack", 1)

    def ring(seed: int) -> Any:
        critic = networks.mlp(2 * pack, 16, 16, 1, seed=seed + 1)
        return networks.mlp(2, 16, 16, 2, seed=seed), critic, data.ring()

    return member.made(ring, {"batch_size": 32, **setting}, SEED)


@pytest.mark.parametrize("name", GAMES)
def test_a_run_has_the_bits_of_the_page(name: str, run: Any) -> None:
    one = made(GAMES[name])
    compiled.by_module(one, STEPS, compiled.starter("exact"))

    same = made(GAMES[name])
    step, source, training = graph.flat_step(same), graph.Source(same), same.training
    module = graph.module(same)
    module = dataclasses.replace(module, wasm=build(module.source))
    numbers = flat.settings(
        learning_rate=tuple(rate_at(rate, 0) for rate in training.rates),
        betas=(training.betas[0], training.betas[1]), epsilon=training.epsilon,
        penalty=training.penalty_weight, clip=training.bound,
    ).tolist()  # fmt: skip
    given = {
        "state": step.initial().tolist(),
        "settings": [v if math.isfinite(v) else str(v) for v in numbers],
        "points": source.points.flatten().tolist(),
    }
    calls: list[dict[str, Any]] = []
    for done in range(STEPS):
        draws = [["normal", "normal", SEED, 2 * done], ["uniform", "uniform", SEED, 2 * done + 1]]
        calls += [{"function": "discriminator", "draw": draws}, {"function": "generator"}]
    calls[0]["set"] = given
    state = np.array(run(module, calls, where="browser")[-1]["outputs"]["state"], dtype=np.float32)

    expected = step.weights(torch.from_numpy(state))
    for player, weights in zip((one.generator, one.discriminator), expected, strict=True):
        for key, weight in player.state_dict().items():
            assert torch.equal(weight, weights[key]), key
    assert not torch.equal(torch.from_numpy(state), step.initial())
