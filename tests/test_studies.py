"""However a member of a study is trained, it is trained as ``fit`` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from small_studies import BATCH, LOSSES, POINTS, SEED, STEPS, plane, spread, study
from torch import Tensor, nn

from ganlib import data, networks, optimisers, options, penalties, training
from ganlib.studies import batched, compiled, graph, member, work
from tools import bench, bench_studies


class Again:
    """The same batch again and again, whatever the generator: so draws can be fed by hand."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        return POINTS.repeat(-(-count // BATCH), 1)[:count]


def again(seed: int, width: int = 2) -> Any:
    return (*pair(seed, width), Again())


def pair(seed: int, width: int = 2) -> tuple[nn.Module, nn.Module]:
    critic = networks.mlp(width, 8, 1, seed=seed + 1)
    return networks.mlp(2, 8, 2, seed=seed), critic


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
    "unrolled": {"unrolled": 2},
    "unrolled, gradient penalty": {"unrolled": 1, "penalty": penalties.gradient_penalty},
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


def test_the_bench_has_a_row_for_each_engine(monkeypatch) -> None:
    pytest.importorskip("ziglang")
    sizes = {"exact": (2, 3), "fast": (2, 3), "batched": (2, 3)}
    monkeypatch.setattr(bench_studies, "SIZES", sizes)
    monkeypatch.setattr(bench, "STEPS", 3)
    rows = list(bench_studies.studies_comparisons())
    assert len(rows) == 6
    assert all(row.ours() > 0 and row.theirs() > 0 for row in rows[:3])
