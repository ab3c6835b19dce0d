"""What each option of a step does, in small closed cases; that they train alike is test_step's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganlib import losses, networks, options, step, training
from ganlib.game import Game
from ganlib.optimisers import SGD


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
        (lambda: options.replay(0), "size is 0; it must be an integer of 1 or more"),
        (lambda: options.replay(10, share=-0.5), r"share is -0\.5"),
        (lambda: options.past_generators(2.5), r"count is 2\.5"),
        (lambda: options.past_generators(2, every=0), "every is 0"),
        (lambda: options.unrolled(True), "steps is True"),
    ],
)
def test_bad_options_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
