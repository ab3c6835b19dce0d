"""Two drivers, one game: the pure step and the one in place take the same steps, for everything
that a game can be made of; and many states with a leading axis are as many runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ganlib import losses, networks, options, penalties, step
from ganlib.divergences import divergence
from ganlib.game import Game
from ganlib.optimisers import SGD, Adam, RMSProp, linear

BATCH = 16
EPSILON = 1e-4  # with 1e-8 Adam turns the rounding of tiny gradients into whole steps
ADAM = (Adam(1e-3, 0.5, 0.9, EPSILON), Adam(2e-3, 0.5, 0.9, EPSILON))

F_DIVERGENCES: dict[str, dict[str, float]] = {
    "total_variation": {}, "kl": {}, "reverse_kl": {}, "pearson": {}, "neyman": {},
    "squared_hellinger": {}, "jeffreys": {}, "jensen_shannon": {},
    "weighted_jensen_shannon": {"pi": 0.3}, "gan": {}, "alpha": {"alpha": 0.5},
}  # fmt: skip
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
PENALTIES = {
    "gradient_penalty": penalties.gradient_penalty,
    "weighted": penalties.weighted(10, penalties.gradient_penalty),
    "r1": penalties.r1,
    "r2": penalties.r2,
    "own": lambda critic, real, fake: 0.7 * penalties.r1(critic, real),
}


def generator(width: int = 2) -> nn.Module:
    return networks.mlp(2, 16, 16, width, seed=1)


def discriminator(width: int = 2) -> nn.Module:
    return networks.mlp(width, 16, 16, 1, seed=2)


def _normalised(width_out: int, seed: int) -> nn.Module:
    # Without a bias before it: its gradient is 0, and Adam would amplify the rounding.
    return networks.seeded(
        lambda: nn.Sequential(
            nn.Linear(2, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, width_out)
        ),
        seed,
    )


def _dropping() -> nn.Module:
    return networks.seeded(
        lambda: nn.Sequential(
            nn.Linear(2, 16), networks.Dropout(0.3, seed=5), nn.ReLU(), nn.Linear(16, 1)
        ),
        4,
    )


def _convolutional() -> tuple[nn.Module, nn.Module]:
    return (
        networks.dcgan_generator(2, 8, width=4, seed=1),
        networks.dcgan_discriminator(8, width=4, normalise=False, seed=2),
    )


def spectral(network: nn.Module) -> nn.Module:
    return networks.seeded(lambda: networks.spectral_norm(network), 3)


#: name -> (generator, discriminator, options of the game, of the driver, options of the step)
Case = tuple[nn.Module, nn.Module, dict[str, Any], dict[str, Any], list[options.Option]]


def cases() -> dict[str, Case]:
    plain = generator(), discriminator()
    found: dict[str, Case] = {}
    for name, loss in LOSSES.items():
        found[name] = (*plain, {"loss": loss()}, {}, [])
    for name, penalty in PENALTIES.items():
        for loss in ("non_saturating", "wasserstein"):
            found[f"{loss}-{name}"] = (
                *plain, {"loss": LOSSES[loss](), "penalty": penalty}, {}, [])  # fmt: skip
    a, k = sp.symbols("a k", real=True)
    several = losses.one_of(k, losses.least_squares(a, 1, 1), losses.hinge())
    for name, (case_g, case_d, game, driver, wrap) in {
        "settings of the loss": (*plain, {"loss": several}, {"settings": {"a": -1, "k": 0}}, []),
        "weight as a setting": (
            *plain, {"penalty": penalties.r1}, {"settings": {"penalty": 3.0}}, []),
        "clip": (*plain, {"loss": losses.wasserstein()}, {"clip": 0.05}, []),
        "pack": (generator(), discriminator(4), {"pack": 2}, {}, []),
        "packed penalty": (
            generator(), discriminator(4), {"pack": 2, "penalty": penalties.gradient_penalty},
            {}, []),
        "joined": (*plain, {"joined": True}, {}, []),
        "batch norm": (_normalised(2, 6), _normalised(1, 7), {}, {}, []),
        "batch norm, joined": (_normalised(2, 6), _normalised(1, 7), {"joined": True}, {}, []),
        "spectral norm": (generator(), spectral(discriminator()), {}, {}, []),
        "spectral norm and r1": (
            generator(), spectral(discriminator()), {"penalty": penalties.r1}, {}, []),
        "dropout": (generator(), _dropping(), {}, {}, []),
        "dropout and penalty": (
            generator(), _dropping(), {"penalty": penalties.gradient_penalty}, {}, []),
        "instance noise": (
            generator(), networks.noisy(discriminator(), linear(0.1, over=20)), {}, {}, []),
        "convolutions": (*_convolutional(), {"penalty": penalties.gradient_penalty}, {}, []),
        "sgd": (*plain, {}, {"optimisers": SGD(0.05, 0.9)}, []),
        "rmsprop and adam": (*plain, {}, {"optimisers": (RMSProp(1e-3), ADAM[0])}, []),
        "schedule": (
            *plain, {}, {"optimisers": Adam(linear(1e-3, over=8), epsilon=EPSILON)}, []),
        "averaged": (*plain, {}, {}, [options.averaged(0.9)]),
        "replay": (*plain, {}, {}, [options.replay(20)]),
        "past generators": (*plain, {}, {}, [options.past_generators(3, every=2)]),
        "unrolled": (*plain, {}, {}, [options.unrolled(2)]),
        "unrolled with a penalty": (
            *plain, {"penalty": penalties.gradient_penalty}, {"clip": 0.3}, [options.unrolled(2)]),
        "unrolled, batch norm": (_normalised(2, 6), _normalised(1, 7), {}, {}, [
            options.unrolled(2)]),
        "simultaneous": (*plain, {}, {}, [options.simultaneous()]),
        "simultaneous, batch norm": (
            _normalised(2, 6), spectral(discriminator()), {}, {}, [options.simultaneous()]),
        "unrolled, simultaneous": (
            *plain, {}, {}, [options.unrolled(2), options.simultaneous()]),
        "all at once": (
            _normalised(2, 6), spectral(_dropping()), {"pack": 1}, {},
            [options.replay(20), options.past_generators(2, every=3), options.averaged(0.9)]),
    }.items():  # fmt: skip
        found[name] = (case_g, case_d, game, driver, wrap)
    return found


CASES = cases()


def draws(steps: int, like: Game, seed: int = 3) -> list[tuple[Tensor, ...]]:
    rng = torch.Generator().manual_seed(seed)
    shape = like.samples(like.generator.eval(), torch.zeros(1, 2)).shape[1:]
    like.generator.train()
    return [
        (
            1 + torch.randn(BATCH, *shape, generator=rng),
            torch.randn(BATCH, 2, generator=rng),
            torch.rand(BATCH // like.pack, generator=rng),
            torch.randn(BATCH, 2, generator=rng),
        )
        for _ in range(steps)
    ]


def made(driver: Callable[..., step.Step], case: Case) -> step.Step:
    case_g, case_d, game, settings, wrap = case
    game = Game(*copy.deepcopy((case_g, case_d)), **game)
    one = driver(game, **{"optimisers": ADAM, **settings})
    for option in wrap:
        one = option(one)
    return one


def play(one: step.Step, drawn: list[tuple[Tensor, ...]]) -> tuple[step.State, list[float]]:
    state, seen = one.initial(), []
    for real, latent_d, mix, latent_g in drawn:
        state, fake = one.generate(state, latent_d)
        state, loss_d = one.discriminator(state, real, fake, mix)
        state, loss_g = one.generator(state, latent_g)
        seen += [loss_d.item(), loss_g.item()]
    return state, seen


@pytest.mark.parametrize("name", CASES)
def test_both_drivers_take_the_same_steps(name: str) -> None:
    pure, in_place = (made(driver, CASES[name]) for driver in (step.pure, step.in_place))
    drawn = draws(10, pure.game)
    before = copy.deepcopy(pure.game.discriminator.state_dict())
    for steps in (1, 10):
        if steps == 10:
            in_place = made(step.in_place, CASES[name])
        mine, seen = play(pure, drawn[:steps])
        theirs, recorded = play(in_place, drawn[:steps])
        assert seen == pytest.approx(recorded, rel=1e-4, abs=1e-5)
        for player in ("generator", "discriminator"):
            module = getattr(in_place.game, player)
            now = getattr(mine, player)
            for key, value in {**now.weights, **now.buffers}.items():
                kept = {**dict(module.named_parameters()), **dict(module.named_buffers())}[key]
                torch.testing.assert_close(value, kept.detach(), rtol=1e-4, atol=2e-5)
        for a, b in zip(tree_leaves(mine.extra), tree_leaves(theirs.extra), strict=True):
            if isinstance(a, Tensor):
                torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=2e-5)
    # A pure step changes nothing but what it returns.
    for key, value in pure.game.discriminator.state_dict().items():
        assert torch.equal(value, before[key])
    assert any(not torch.equal(value, before[key]) for key, value in
               in_place.game.discriminator.state_dict().items())  # fmt: skip


MANY = [
    "non_saturating", "f_gan-weighted_jensen_shannon", "wasserstein-gradient_penalty", "pack",
    "batch norm", "batch norm, joined", "spectral norm and r1", "dropout and penalty",
    "instance noise", "convolutions", "sgd", "rmsprop and adam", "schedule", "averaged", "replay",
    "past generators", "unrolled", "simultaneous", "unrolled, simultaneous", "all at once",
]  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_many_states_at_once_are_the_loop_over_them(name: str) -> None:
    one = made(step.pure, CASES[name])
    rng = torch.Generator().manual_seed(9)

    def nudged(tree: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v + 0.05 * torch.randn(v.shape, generator=rng) for k, v in tree.items()}

    alone = []
    for _ in range(3):
        state = one.initial()
        for player in ("generator", "discriminator"):
            state = state.with_weights(player, nudged(getattr(state, player).weights))
        alone.append(state)
    together = step.stack(alone)
    for real, latent_d, mix, latent_g in draws(3, one.game):
        losses_alone = []
        for i, state in enumerate(alone):
            state, fake = one.generate(state, latent_d + i)
            state, loss = one.discriminator(state, real + i, fake, mix)
            alone[i], _ = one.generator(state, latent_g + i)
            losses_alone.append(loss)
        stacked = [torch.stack([x + i for i in range(3)]) for x in (real, latent_d, latent_g)]
        together, fakes = torch.func.vmap(one.generate)(together, stacked[1])
        together, loss = torch.func.vmap(one.discriminator, in_dims=(0, 0, 0, None))(
            together, stacked[0], fakes, mix
        )
        together, _ = torch.func.vmap(one.generator)(together, stacked[2])
        torch.testing.assert_close(loss, torch.stack(losses_alone), rtol=1e-4, atol=1e-5)
    for i, state in enumerate(alone):
        for a, b in zip(tree_leaves(step.take(together, i)), tree_leaves(state), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
    assert len({value.item() for value in loss}) == 3


def test_a_schedule_and_a_rate_may_differ_from_run_to_run() -> None:
    one = made(step.pure, CASES["non_saturating"])
    slow, fast = one.initial(), one.initial()
    rate = {**fast.generator.settings, "rate": torch.tensor(1.0)}
    fast = fast.with_player("generator", fast.generator._replace(settings=rate))
    ((_, _, _, latent),) = draws(1, one.game)
    both = step.stack([slow, fast])
    after, _ = torch.func.vmap(one.generator, in_dims=(0, None))(both, latent)
    moved = after.generator.weights["0.weight"] - both.generator.weights["0.weight"]
    torch.testing.assert_close(moved[1], 1000 * moved[0], rtol=1e-3, atol=1e-3)


def test_each_player_moves_its_own_weights() -> None:
    one = made(step.pure, CASES["minimax"])
    ((real, latent, _, latent_g),) = draws(1, one.game)
    start = one.initial()
    seen, fake = one.generate(start, latent)
    after_d, _ = one.discriminator(seen, real, fake)
    after_g, _ = one.generator(start, latent_g)

    def same(a: step.State, b: step.State, player: str) -> bool:
        pairs = zip(
            getattr(a, player).weights.values(), getattr(b, player).weights.values(), strict=True
        )
        return all(torch.equal(x, y) for x, y in pairs)

    assert same(start, after_d, "generator")
    assert not same(start, after_d, "discriminator")
    assert same(start, after_g, "discriminator")
    assert not same(start, after_g, "generator")
    assert (after_d.done.item(), after_g.done.item()) == (0, 1)


def test_a_turn_takes_its_critic_steps_and_compiles() -> None:
    one = made(step.pure, CASES["wasserstein-gradient_penalty"])
    drawn = draws(3, one.game)
    real, latent_d, mix, latent_g = (torch.stack(part) for part in zip(*drawn, strict=True))
    state = one.initial()
    whole = step.turn(one, critic_steps=3)
    turned, (loss_d, loss_g) = whole(state, real, latent_d, latent_g[0], mix)
    by_hand = one.initial()
    for r, z, m, _ in drawn:
        by_hand, fake = one.generate(by_hand, z)
        by_hand, last = one.discriminator(by_hand, r, fake, m)
    by_hand, loss = one.generator(by_hand, latent_g[0])
    assert (loss_d, loss_g) == (last, loss)
    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")
    again, found = compiled(state, real, latent_d, latent_g[0], mix)
    assert [v.item() for v in found] == pytest.approx([loss_d.item(), loss_g.item()], rel=1e-5)
    for a, b, c in zip(tree_leaves(turned), tree_leaves(by_hand), tree_leaves(again), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["batch norm", "spectral norm and r1", "dropout"])
def test_a_step_with_buffers_compiles_in_one_graph(name: str) -> None:
    one = made(step.pure, CASES[name])
    ((real, latent, mix, latent_g),) = draws(1, one.game)
    whole = step.turn(one)
    given = (one.initial(), real[None], latent[None], latent_g, mix[None])
    expected = whole(*given)
    found = torch.compile(whole, fullgraph=True, backend="aot_eager")(*given)
    for a, b in zip(tree_leaves(expected), tree_leaves(found), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


class _OnMeta:
    """Everything new on the meta device, unless it says where it belongs."""

    def __enter__(self) -> None:
        torch.set_default_device("meta")

    def __exit__(self, *_: object) -> None:
        torch.set_default_device(None)


@pytest.mark.parametrize("driver", [step.pure, step.in_place])
@pytest.mark.parametrize("name", CASES)
def test_no_factory_forgets_its_device(name: str, driver: Callable[..., step.Step]) -> None:
    one = made(driver, CASES[name])
    drawn = draws(2, one.game)
    with _OnMeta():
        _, seen = play(one, drawn)
    assert seen == pytest.approx(play(made(driver, CASES[name]), drawn)[1], rel=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_it_runs_on_a_gpu(name: str) -> None:
    case_g, case_d, *rest = CASES[name]
    here = made(step.in_place, CASES[name])
    drawn = draws(3, here.game)
    players = (copy.deepcopy(m).cuda() for m in (case_g, case_d))
    there = made(step.in_place, (*players, *rest))
    _, seen = play(there, [tuple(d.cuda() for d in some) for some in drawn])
    assert seen == pytest.approx(play(here, drawn)[1], rel=1e-3, abs=1e-3)


def test_a_pure_step_draws_nothing_by_itself() -> None:
    one = made(step.pure, CASES["non_saturating-gradient_penalty"])
    ((real, latent, mix, _),) = draws(1, one.game)
    state, fake = one.generate(one.initial(), latent)
    with pytest.raises(ValueError, match=r"pass mix.*torch\.rand\(len\(real\) // pack\)"):
        one.discriminator(state, real, fake)
    paid = {one.discriminator(state, real, fake, mix)[1].item() for _ in range(2)}
    assert len(paid) == 1
    noisy = nn.Sequential(nn.Linear(2, 4), nn.RReLU(), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"layer 1 \(RReLU\)"):
        step.pure(Game(generator(), noisy))


def test_a_buffer_that_is_assigned_anew_goes_on() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return self.layer(x) * self.calls

    for wrap in ([options.averaged(0.5)], [options.unrolled(1)]):
        case = (generator(), networks.seeded(Counting, 0), {}, {}, wrap)
        pure, in_place = (made(driver, case) for driver in (step.pure, step.in_place))
        drawn = draws(4, pure.game)
        state, seen = play(pure, drawn)
        assert seen == pytest.approx(play(in_place, drawn)[1], rel=1e-4)
        assert state.discriminator.buffers["calls"] == 12
        assert in_place.game.discriminator.calls == 12


def test_constants_of_half_precision_players_keep_their_digits() -> None:
    game = Game(generator().bfloat16(), discriminator().bfloat16())
    one = step.pure(game)
    state = one.initial()
    assert state.generator.settings["beta2"].item() == pytest.approx(0.999)
    for _ in range(5):
        state, fake = one.generate(state, torch.randn(8, 2).bfloat16())
        state, loss_d = one.discriminator(state, torch.randn(8, 2).bfloat16(), fake)
        state, loss_g = one.generator(state, torch.randn(8, 2).bfloat16())
    assert torch.isfinite(loss_d)
    assert torch.isfinite(loss_g)
    assert state.generator.weights["0.weight"].dtype == torch.bfloat16


def test_a_rate_can_be_differentiated_through_a_step_and_an_average() -> None:
    one = made(step.pure, (generator().double(), discriminator().double(), {},
                           {"optimisers": SGD(0.1)}, [options.averaged(0.5)]))  # fmt: skip
    start = one.initial()
    latent = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def of(rate: Tensor) -> Tensor:
        settings = {**start.generator.settings, "rate": rate}
        player = start.generator._replace(settings=settings)
        after, _ = one.generator(start.with_player("generator", player), latent)
        return sum(w.square().sum() for w in after.extra["averaged"].values())

    at = torch.tensor(0.1, dtype=torch.float64)
    numerical = (of(at + 1e-6) - of(at - 1e-6)) / 2e-6
    torch.testing.assert_close(torch.func.grad(of)(at), numerical, rtol=1e-5, atol=1e-8)


def test_frozen_weights_belong_to_the_template() -> None:
    template, other = (networks.mlp(2, 4, 2, seed=seed) for seed in (1, 2))
    for module in (template, other):
        module[0].requires_grad_(False)
    one = step.pure(Game(template, discriminator()))
    with pytest.raises(ValueError, match=r"0\.weight is frozen and differs"):
        one.initial(other)
    other[0].load_state_dict(template[0].state_dict())
    assert torch.equal(one.initial(other).generator.weights["2.weight"], other[2].weight)


def test_what_cannot_be_a_step_is_refused_with_advice_that_works() -> None:
    g, d = generator(), discriminator()
    with pytest.raises(ValueError, match="generator has no weights to train: Tanh"):
        step.pure(Game(nn.Tanh(), d)).initial()
    d.requires_grad_(False)
    with pytest.raises(ValueError, match=r"all 6 are frozen; call discriminator\.requires_grad_"):
        step.in_place(Game(g, d))
    d.requires_grad_(True)
    step.in_place(Game(g, d))

    hidden = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.25), nn.Linear(8, 1))
    with pytest.raises(ValueError, match=r"layer 1 \(Dropout\).*networks\.Dropout\(0\.25\)"):
        step.pure(Game(g, hidden))
    step.in_place(Game(g, hidden))
    hidden[1] = networks.Dropout(0.25)
    step.pure(Game(g, hidden))

    with pytest.raises(ValueError, match=r"clip is -1\.0"):
        step.pure(Game(g, d), clip=-1.0).initial()
    with pytest.raises(ValueError, match=r"settings are a, penalty; this game has penalty"):
        step.pure(Game(g, d), settings={"a": 1.0}).initial()
    with pytest.raises(ValueError, match=r"weight is -1\.0"):
        step.pure(Game(g, d), settings={"penalty": -1.0}).initial()
    with pytest.raises(TypeError, match=r"optimiser is 0\.1; .*Adam\(1e-3\)"):
        step.pure(Game(g, d), 0.1)
