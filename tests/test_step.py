"""The pure step is the step of `fit`: same draws, same weights, for every loss and penalty."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from ganlib import losses, networks, penalties, step, training
from ganlib.divergences import divergence

BATCH = 16
EPSILON = 1e-4  # with 1e-8 Adam turns the rounding of tiny gradients into whole steps

F_DIVERGENCES: dict[str, dict[str, float]] = {
    "total_variation": {},
    "kl": {},
    "reverse_kl": {},
    "pearson": {},
    "neyman": {},
    "squared_hellinger": {},
    "jeffreys": {},
    "jensen_shannon": {},
    "weighted_jensen_shannon": {"pi": 0.3},
    "gan": {},
    "alpha": {"alpha": 0.5},
}
LOSSES: dict[str, Callable[[], losses.Loss]] = {
    "minimax": losses.minimax,
    "non_saturating": losses.non_saturating,
    "maximum_likelihood": losses.maximum_likelihood,
    "least_squares": losses.least_squares,
    "wasserstein": losses.wasserstein,
    "hinge": losses.hinge,
    **{
        f"f_gan-{name}": lambda name=name, own=own: losses.f_gan(divergence(name, **own))
        for name, own in F_DIVERGENCES.items()
    },
}
# The penalty of a step, and the same one as `fit` takes it.
PENALTIES: dict[str, tuple[Any, Any]] = {
    "gradient_penalty": (step.gradient_penalty, penalties.gradient_penalty),
    "r1": (step.r1, lambda critic, real, fake: penalties.r1(critic, real)),
    "r2": (step.r2, lambda critic, real, fake: penalties.r2(critic, fake)),
}
CASES = [(name, None) for name in LOSSES] + [
    (loss, penalty) for loss in ("non_saturating", "wasserstein") for penalty in PENALTIES
]
IDS = [f"{loss}-{penalty}" for loss, penalty in CASES]


def make_step(loss: str, penalty: str | None, hidden: int = 16, **options: Any) -> step.Step:
    return step.Step(
        networks.mlp(2, hidden, hidden, 2, seed=1),
        networks.mlp(2 * options.get("pack", 1), hidden, hidden, 1, seed=2),
        LOSSES[loss](),
        penalty=None if penalty is None else PENALTIES[penalty][0],
        **options,
    )


def draws(steps: int, seed: int = 3) -> list[tuple[torch.Tensor, ...]]:
    """What `fit` draws with this seed: real, latent for D, mix, latent for G."""
    rng = torch.Generator().manual_seed(seed)
    mixes = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(steps):
        real = VALUES[torch.randint(len(VALUES), (BATCH,), generator=rng)]
        latent_d = torch.randn(BATCH, 2, generator=rng)
        mix = torch.rand(BATCH, 1, generator=mixes)
        drawn.append((real, latent_d, mix, torch.randn(BATCH, 2, generator=rng)))
    return drawn


VALUES = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 1


def alternate(
    game: step.Step, state: torch.Tensor, settings: torch.Tensor, steps: int
) -> tuple[torch.Tensor, list[tuple[float, float]]]:
    seen = []
    for real, latent_d, mix, latent_g in draws(steps):
        state, loss_d = game.discriminator_step(state, real, latent_d, mix, settings)
        state, loss_g = game.generator_step(state, latent_g, settings)
        seen.append((loss_d.item(), loss_g.item()))
    return state, seen


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize(("loss", "penalty"), CASES, ids=IDS)
def test_it_is_the_step_of_fit(
    loss: str, penalty: str | None, clip: float | None, steps: int
) -> None:
    game = make_step(loss, penalty)
    generator, discriminator = copy.deepcopy((game.generator, game.discriminator))
    theirs = None
    if penalty is not None:
        plain = PENALTIES[penalty][1]
        theirs = lambda critic, real, fake: 0.7 * plain(critic, real, fake)  # noqa: E731
    history = training.fit(
        generator, discriminator, VALUES, LOSSES[loss](), steps=steps, batch_size=BATCH,
        learning_rate=(1e-3, 2e-3), betas=(0.5, 0.9), epsilon=EPSILON, penalty=theirs, clip=clip,
        seed=3, progress=False,
    )  # fmt: skip
    numbers = step.settings(
        learning_rate=(1e-3, 2e-3), betas=(0.5, 0.9), epsilon=EPSILON, penalty=0.7,
        clip=clip or float("inf"),
    )  # fmt: skip
    state, seen = alternate(game, game.initial(), numbers, steps)
    for module, weights in zip((generator, discriminator), game.weights(state), strict=True):
        for name, weight in module.named_parameters():
            torch.testing.assert_close(weights[name], weight.detach(), rtol=1e-5, atol=2e-6)
    recorded = torch.stack([history.discriminator_loss, history.generator_loss], dim=1)
    torch.testing.assert_close(torch.tensor(seen), recorded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("penalty", [None, "gradient_penalty", "r1"])
def test_many_seeds_at_once_are_the_loop_over_them(penalty: str | None) -> None:
    game = make_step("non_saturating", penalty)
    numbers = step.settings(epsilon=EPSILON)
    start = game.initial()
    rng = torch.Generator().manual_seed(9)
    many = start + 0.05 * torch.randn(4, len(start), generator=rng) * (start != 0)
    real, latent = torch.randn(2, 4, BATCH, 2, generator=rng)
    mix = torch.rand(4, BATCH, 1, generator=rng)
    together = torch.func.vmap(game.discriminator_step, in_dims=(0, 0, 0, 0, None))(
        many, real, latent, mix, numbers
    )
    together_g = torch.func.vmap(game.generator_step, in_dims=(0, 0, None))(
        together.state, latent, numbers
    )
    for i in range(4):
        alone = game.discriminator_step(many[i], real[i], latent[i], mix[i], numbers)
        alone_g = game.generator_step(alone.state, latent[i], numbers)
        torch.testing.assert_close(together.state[i], alone.state, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together.loss[i], alone.loss)
        torch.testing.assert_close(together_g.state[i], alone_g.state, rtol=1e-5, atol=1e-6)
    assert not torch.equal(together.state[0], together.state[1])


def test_a_step_changes_nothing_but_what_it_returns() -> None:
    game = make_step("hinge", "r1")
    before = copy.deepcopy((game.generator.state_dict(), game.discriminator.state_dict()))
    state = game.initial()
    kept = state.clone()
    after, _ = alternate(game, state, step.settings(), 2)
    assert torch.equal(state, kept)
    assert not torch.equal(after, kept)
    for module, old in zip((game.generator, game.discriminator), before, strict=True):
        for name, value in module.state_dict().items():
            assert torch.equal(value, old[name])


def test_each_player_moves_its_own_weights() -> None:
    game = make_step("minimax", None)
    numbers = step.settings()
    ((real, latent, mix, latent_g),) = draws(1)
    start = game.initial()
    moved_d = game.discriminator_step(start, real, latent, mix, numbers).state
    moved_g = game.generator_step(start, latent_g, numbers).state
    (g0, d0), (g1, d1), (g2, d2) = (game.weights(s) for s in (start, moved_d, moved_g))
    assert all(torch.equal(g0[n], g1[n]) for n in g0)
    assert all(torch.equal(d0[n], d2[n]) for n in d0)
    assert any(not torch.equal(d0[n], d1[n]) for n in d0)
    assert any(not torch.equal(g0[n], g2[n]) for n in g0)
    assert moved_d[-2:].tolist() == [0.0, 1.0]
    assert moved_g[-2:].tolist() == [1.0, 0.0]


def test_parameters_of_the_loss_travel_with_the_settings() -> None:
    a, b, c = sp.symbols("a b c", real=True)
    template = make_step("least_squares", None)
    free = step.Step(
        template.generator, template.discriminator, losses.least_squares(a, b, c),
        parameters=(a, b, c),
    )  # fmt: skip
    fixed = step.Step(
        template.generator, template.discriminator, losses.least_squares(-1.0, 1.0, 0.5)
    )
    moved, seen = alternate(free, free.initial(), step.settings(parameters=(-1.0, 1.0, 0.5)), 3)
    same, expected = alternate(fixed, fixed.initial(), step.settings(), 3)
    torch.testing.assert_close(moved, same, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected))


def test_packs_are_samples_side_by_side() -> None:
    game = make_step("non_saturating", None, pack=4)
    ((real, latent, mix, _),) = draws(1)
    loss = game.discriminator_step(game.initial(), real, latent, mix[:4], step.settings()).loss
    with torch.no_grad():
        packs = [torch.stack([x[i : i + 4].flatten() for i in range(0, BATCH, 4)])
                 for x in (real, game.generator(latent))]  # fmt: skip
        expected = game.loss.discriminator(*map(game.discriminator, packs))
    torch.testing.assert_close(loss, expected)


def test_what_cannot_be_a_pure_step_is_refused() -> None:
    generator = networks.mlp(2, 8, 2)
    normalised = torch.nn.Sequential(networks.mlp(2, 8), torch.nn.BatchNorm1d(8))
    with pytest.raises(ValueError, match=r"the discriminator keeps 1\.running_mean"):
        step.Step(generator, normalised, losses.hinge())
    with pytest.raises(ValueError, match="generator has no weights"):
        step.Step(torch.nn.Tanh(), networks.mlp(2, 1), losses.hinge())
    with pytest.raises(ValueError, match="pack is 0"):
        step.Step(generator, networks.mlp(2, 1), losses.hinge(), pack=0)
    packed = step.Step(generator, networks.mlp(6, 1), losses.hinge(), pack=3)
    ((real, latent, mix, _),) = draws(1)
    with pytest.raises(ValueError, match="batch of 16 does not divide into packs of 3"):
        packed.discriminator_step(packed.initial(), real, latent, mix, step.settings())
    with pytest.raises(ValueError, match="the state has 3 numbers"):
        packed.sample(torch.zeros(3), latent)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"betas": (0.5, 1.0)}, "beta2 is 1.0"),
        ({"betas": (-0.1, 0.9)}, "beta1 is -0.1"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"penalty": -1.0}, "weight is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step.settings(**wrong)


ARGUMENTS = ("state", "real", "latent_d", "mix", "latent_g", "numbers")


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
@pytest.mark.parametrize(("loss", "penalty"), CASES, ids=IDS)
def test_an_independent_run_of_the_exported_graph_agrees(
    loss: str, penalty: str | None, tmp_path: Any
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    game = make_step(loss, penalty, hidden=8)
    numbers = step.settings(epsilon=EPSILON)

    def both(state, real, latent_d, mix, latent_g, numbers):  # type: ignore[no-untyped-def]
        state, loss_d = game.discriminator_step(state, real, latent_d, mix, numbers)
        state, loss_g = game.generator_step(state, latent_g, numbers)
        return state, loss_d, loss_g

    state = game.initial()
    example = (state, *draws(1)[0], numbers)
    path = tmp_path / "step.onnx"
    graph = make_fx(both)(*example).eval()
    torch.onnx.export(graph, example, path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path)
    names = [tensor.name for tensor in session.get_inputs()]  # "real_1", where it is used
    theirs = state.numpy()
    for i, drawn in enumerate(draws(10)):
        fed = dict(zip(ARGUMENTS, (theirs, *drawn, numbers), strict=True))
        theirs, loss_d, loss_g = session.run(
            None, {name: np.asarray(fed[name.rsplit("_", 1)[0]]) for name in names}
        )
        if i in (0, 9):
            mine, seen = alternate(game, state, numbers, i + 1)
            torch.testing.assert_close(torch.from_numpy(theirs), mine, rtol=1e-4, atol=5e-6)
            assert (float(loss_d), float(loss_g)) == pytest.approx(seen[-1], rel=1e-4, abs=1e-5)
