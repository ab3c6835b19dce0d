"""What each option of a step does, in small closed cases; that they train alike is test_step's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganlib import losses, networks, options, penalties, step, training
from ganlib.game import Bound, Game
from ganlib.optimisers import SGD, Adam, linear


class Shift(nn.Module):
    """A generator of points theta + z, and (x - theta) as a critic: the Dirac-GAN's players."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.value


class Slope(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value


def dirac(theta: float = 1.0, psi: float = 0.5, rate: float = 0.1) -> step.Step:
    game = Game(Shift(theta), Slope(psi), losses.wasserstein())
    return step.pure(game, (SGD(rate), SGD(rate)))


ZERO = torch.zeros(4, 1)


def test_an_average_is_the_recursion() -> None:
    one = options.averaged(0.75)(dirac())
    state = one.initial()
    expected = [1.0]
    for _ in range(3):
        state, _ = one.generator(state, ZERO)
        expected.append(0.75 * expected[-1] + 0.25 * state.generator.weights["value"].item())
    assert state.extra["averaged"]["value"].item() == pytest.approx(expected[-1])


def test_an_average_keeps_the_buffers_of_the_present() -> None:
    generator = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    history = training.fit(
        generator, networks.mlp(2, 8, 1), torch.randn(64, 2), steps=5, batch_size=8,
        options=[options.averaged(0.9)],
    )  # fmt: skip
    average = history.extra["averaged"]
    assert torch.equal(average["1.running_mean"], generator[1].running_mean)
    assert not torch.equal(average["0.weight"], generator[0].weight)
    drawn = training.sample(generator, 5, weights=average)
    assert not torch.equal(drawn, training.sample(generator, 5))
    generator.load_state_dict(average)
    assert torch.equal(drawn, training.sample(generator, 5))


def test_a_replay_shows_fresh_and_past_samples_and_remembers_the_fresh() -> None:
    one = options.replay(4, share=0.5)(dirac(rate=1.0))
    state = one.initial()
    for shown in range(1, 30):
        # The generator makes constants: `shown` at this turn.
        weights = {"value": torch.tensor([float(shown)])}
        state, fake = one.generate(state.with_weights("generator", weights), ZERO)
        assert fake[:2].tolist() == [[shown], [shown]]
        assert all(1 <= v <= shown for v in fake[2:].flatten().tolist())
    memory = state.extra["replay"]["memory"][0].flatten().tolist()
    assert len(memory) == 4
    assert max(memory) >= 28
    assert len(set(memory)) > 1


def test_replay_shows_what_the_memory_held_before_and_stores_the_rest() -> None:
    one = options.replay(1, share=0.5)(dirac())
    state, first = one.generate(one.initial(), ZERO)
    assert first.flatten().tolist() == [1, 1, 1, 1]
    state, second = one.generate(
        state.with_weights("generator", {"value": torch.tensor([5.0])}), ZERO
    )
    assert second.flatten().tolist() == [5, 5, 1, 1]
    _, third = one.generate(state, ZERO)
    assert third.flatten().tolist() == [5, 5, 5, 5]


def test_past_generators_are_kept_in_turn_and_shown() -> None:
    one = options.past_generators(2, every=2, share=0.5)(dirac())
    state = one.initial()
    kept = []
    for _ in range(5):
        state, _ = one.generator(state, ZERO)
        kept.append(state.extra["past_generators"]["kept"]["value"].flatten().tolist())
        now = state.generator.weights["value"].item()
        if len(kept) % 2 == 0:
            assert kept[-1][(len(kept) // 2) % 2] == now  # steps 2 and 4 replace entries 1 and 0
    assert kept[0] == [1.0, 1.0]
    assert kept[2] == kept[1]
    state, fake = one.generate(state, ZERO)
    assert fake[:2].flatten().tolist() == [state.generator.weights["value"].item()] * 2
    assert set(fake[2:].flatten().tolist()) <= set(kept[-1])


@pytest.mark.parametrize("unrolling", [1, 3])
def test_an_unrolled_generator_sees_the_discriminator_move(unrolling: int) -> None:
    # psi_k = psi + k rate (real - theta); G pays -psi_k theta, so its slope is
    # -(psi + k rate (real - theta)) + k rate theta.
    theta, psi, rate, real = 1.0, 0.5, 0.1, 3.0
    one = options.unrolled(unrolling)(dirac(theta, psi, rate))
    state = one.initial()
    state, fake = one.generate(state, ZERO)
    state, _ = one.discriminator(state, ZERO + real, fake)
    psi = psi + rate * (real - theta)
    assert state.discriminator.weights["value"].item() == pytest.approx(psi)
    after, loss = one.generator(state, ZERO)
    ahead = psi + unrolling * rate * (real - theta)
    slope = -ahead + unrolling * rate * theta
    assert loss.item() == pytest.approx(-ahead * theta)
    assert after.generator.weights["value"].item() == pytest.approx(theta - rate * slope)
    assert torch.equal(after.discriminator.weights["value"], state.discriminator.weights["value"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: options.averaged(1.0), r"decay is 1\.0; it must be at least 0 and below 1"),
        (lambda: options.replay(0), "size is 0; it must be a whole number, 1 or more"),
        (lambda: options.replay(10, share=-0.5), r"share is -0\.5"),
        (lambda: options.past_generators(2.5), r"count is 2\.5"),
        (lambda: options.past_generators(2, every=0), "every is 0"),
        (lambda: options.unrolled(True), "steps is True"),
    ],
)
def test_bad_options_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def _trained(*wraps: options.Option) -> dict[str, Tensor]:
    pair = networks.mlp(2, 8, 2, seed=1), networks.mlp(2, 8, 1, seed=2)
    values = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    history = training.fit(*pair, values, steps=6, batch_size=8, options=wraps)
    return history.extra


def test_options_work_in_any_order_with_unrolling() -> None:
    for other, name in (
        (options.averaged(0.5), "averaged"), (options.past_generators(2, every=2), "kept"),
    ):  # fmt: skip
        found = []
        for wraps in ((other, options.unrolled(1)), (options.unrolled(1), other)):
            extra = _trained(*wraps)
            found.append(extra.get(name) or extra["past_generators"]["kept"])
        for key, value in found[0].items():
            torch.testing.assert_close(value, found[1][key])
        first = networks.mlp(2, 8, 2, seed=1)[0].weight
        assert not torch.equal(found[0]["0.weight"], first.expand_as(found[0]["0.weight"]))


def _ahead(one: step.Step, real: float = 3.0) -> float:
    state = one.initial()
    state, fake = one.generate(state, ZERO)
    state, _ = one.discriminator(state, ZERO + real, fake)
    return one.generator(state, ZERO)[1].item()


def test_unrolling_follows_the_schedule_and_the_clip() -> None:
    game = Game(Shift(1.0), Slope(0.5), losses.wasserstein())
    still = step.pure(game, (SGD(0.1), SGD(0.0)))
    ended = step.pure(game, (SGD(0.1), SGD(linear(0.5, over=1))))
    late = ended._replace(initial=lambda: ended.initial()._replace(done=torch.tensor(5.0)))
    assert _ahead(options.unrolled(2)(late)) == _ahead(options.unrolled(2)(still))
    clipped = step.pure(game, (SGD(0.1), SGD(0.1)), clip=0.01)
    assert _ahead(options.unrolled(5)(clipped), real=10.0) == pytest.approx(-0.01)


@pytest.mark.parametrize("optimiser", [Adam(1e-2, epsilon=1e-3), SGD(0.3)])
@pytest.mark.parametrize("penalty", [None, penalties.weighted(5, penalties.r2),
                                     penalties.gradient_penalty])  # fmt: skip
def test_an_unrolled_gradient_is_the_slope_of_what_it_says(optimiser, penalty) -> None:
    generator, critic = (
        networks.mlp(2, 3, 2, activation=nn.Tanh, seed=1).double(),
        networks.mlp(2, 4, 1, activation=nn.Tanh, seed=2).double(),
    )
    game = Game(generator, critic, penalty=penalty)
    one = options.unrolled(2)(step.pure(game, (SGD(1.0), optimiser)))
    rng = torch.Generator().manual_seed(0)
    real, latent = torch.randn(2, 6, 2, generator=rng, dtype=torch.float64)
    mix = torch.rand(6, generator=rng, dtype=torch.float64)
    state = one.initial()
    state, fake = one.generate(state, latent)
    state, _ = one.discriminator(state, real, fake, mix)
    after, _ = one.generator(state, latent)

    def cost(shift: float) -> float:
        weights = {**state.generator.weights}
        weights["0.bias"] = weights["0.bias"] + torch.tensor([shift, 0, 0], dtype=torch.float64)
        return one.generator(state.with_weights("generator", weights), latent)[1].item()

    numerical = (cost(1e-5) - cost(-1e-5)) / 2e-5
    moved = (state.generator.weights["0.bias"] - after.generator.weights["0.bias"])[0].item()
    assert moved == pytest.approx(numerical, rel=1e-6)
    assert isinstance(game.discriminator, nn.Module)
    assert Bound(critic, {}, {})(real).shape == (6, 1)


def test_unrolling_stays_finite_where_a_slope_is_zero() -> None:
    critic = networks.mlp(2, 64, 64, 1, activation=nn.ReLU, seed=2)
    history = training.fit(
        networks.mlp(2, 8, 2, seed=1), critic, torch.randn(64, 2), steps=5, batch_size=16,
        options=[options.unrolled(1)],
    )  # fmt: skip
    assert history.generator_loss.isfinite().all()


def test_an_unrolled_generator_waits_for_the_first_batch_and_is_there_once() -> None:
    one = options.unrolled(1)(dirac())
    with pytest.raises(ValueError, match="take a discriminator step first"):
        one.generator(one.initial(), ZERO)
    with pytest.raises(ValueError, match="averaged is among the options twice"):
        options.averaged(0.5)(options.averaged(0.9)(dirac())).initial()


@pytest.mark.parametrize("driver", [step.pure, step.in_place])
@pytest.mark.parametrize("rate", [0.1, 0.7])
def test_simultaneous_steps_turn_and_grow_as_the_dirac_game_does(driver, rate: float) -> None:
    # D pays psi (theta - real), G pays -psi theta, on latents 0: the step is a matrix whose
    # determinant is 1 + rate^2, where that of alternating steps is 1.
    one = options.simultaneous()(driver(dirac().game, (SGD(rate), SGD(rate))))
    theta, psi, state = 1.0, 0.5, one.initial()
    for _ in range(5):
        state, fake = one.generate(state, ZERO)
        state, _ = one.discriminator(state, ZERO, fake)
        state, loss = one.generator(state, ZERO + 100.0)  # these latents are not used
        assert loss.item() == pytest.approx(-psi * theta, rel=1e-5)
        theta, psi = theta + rate * psi, psi - rate * theta
        for player, value in ((state.generator, theta), (state.discriminator, psi)):
            assert player.weights["value"].item() == pytest.approx(value, rel=1e-5)
        assert state.extra == {}
    assert theta**2 + psi**2 == pytest.approx(1.25 * (1 + rate**2) ** 5)


def test_unrolling_under_simultaneous_steps_starts_where_the_discriminator_was() -> None:
    theta, psi, rate, real = 1.0, 0.5, 0.1, 3.0
    one = options.simultaneous()(options.unrolled(2)(dirac(theta, psi, rate)))
    state, fake = one.generate(one.initial(), ZERO)
    state, _ = one.discriminator(state, ZERO + real, fake)
    after, loss = one.generator(state, ZERO)
    ahead = psi + 2 * rate * (real - theta)
    assert loss.item() == pytest.approx(-ahead * theta)
    moved = theta - rate * (-ahead + 2 * rate * theta)
    assert after.generator.weights["value"].item() == pytest.approx(moved)
    kept = after.discriminator.weights["value"].item()
    assert kept == pytest.approx(psi + rate * (real - theta))


def test_simultaneous_steps_in_the_wrong_order_are_named() -> None:
    one = options.simultaneous()(dirac())
    with pytest.raises(ValueError, match="take a discriminator step first"):
        one.generator(one.initial(), ZERO)
    with pytest.raises(ValueError, match="unrolled stands after simultaneous"):
        _trained(options.simultaneous(), options.unrolled(1))
    with pytest.raises(TypeError, match="an option was not called"):
        _trained(options.simultaneous)


def test_a_checkpoint_between_simultaneous_steps_is_whole(tmp_path) -> None:
    def trained(steps: int, **where: object) -> Tensor:
        pair = networks.mlp(2, 8, 2, seed=1), networks.mlp(2, 8, 1, seed=2)
        values = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        training.fit(
            *pair, values, steps=steps, batch_size=8, options=[options.simultaneous()], **where
        )
        return pair[0][0].weight.detach()

    file = tmp_path / "run.pt"
    trained(4, checkpoint=file)
    assert torch.equal(trained(7, checkpoint=file), trained(7))


def test_replay_draws_anew_at_each_step_and_the_same_in_both_drivers() -> None:
    game = Game(Shift(0.0), Slope(0.5))
    shown = []
    for driver in (step.pure, step.in_place):
        one = options.replay(50, share=0.75)(driver(game))
        state, seen = one.initial(), []
        rng = torch.Generator().manual_seed(0)
        for _ in range(6):
            state, fake = one.generate(state, torch.randn(16, 1, generator=rng))
            seen.append(fake)
        shown.append(torch.stack(seen))
    assert torch.equal(*shown)
    assert len({tuple(row.flatten().tolist()) for row in shown[0][:, 4:]}) == 6


def test_seeds_of_runs_reach_the_draws_of_options() -> None:
    one = options.replay(30)(dirac())
    keys = [one.initial(seed=seed).extra["replay"]["key"][0].item() for seed in (0, 1)]
    assert keys[0] != keys[1]
    other = one.initial(Shift(7.0), Slope(2.0))
    assert other.generator.weights["value"].item() == 7
    assert other.discriminator.weights["value"].item() == 2


def test_an_average_with_frozen_weights_is_a_whole_state() -> None:
    generator = networks.mlp(2, 4, 2, seed=1)
    generator[0].requires_grad_(False)
    extra = training.fit(
        generator, networks.mlp(2, 4, 1), torch.randn(32, 2), steps=2, batch_size=4,
        options=[options.averaged(0.5)],
    ).extra  # fmt: skip
    generator.load_state_dict(extra["averaged"])
