"""What each player pays, against closed forms: batches joined or apart, packs, penalties,
conditions, precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganlib import losses, networks, penalties, step
from ganlib.batches import with_condition_of
from ganlib.game import Bound, Game

RNG = torch.Generator().manual_seed(0)
REAL, FAKE = torch.randn(2, 8, 2, generator=RNG)
LINE = networks.mlp(2, 1, seed=0)  # a linear critic: its gradient is its weight, everywhere
SLOPE = LINE[0].weight.detach().flatten()


def test_the_costs_are_the_loss_of_the_outputs() -> None:
    generator = networks.mlp(2, 8, 2, seed=1)
    for loss in (losses.minimax(), losses.hinge(), losses.least_squares()):
        game = Game(generator, LINE, loss)
        expected = loss.discriminator(LINE(REAL), LINE(FAKE))
        assert torch.equal(game.discriminator_cost(LINE, REAL, FAKE), expected)
        paid = game.generator_cost(generator, LINE, REAL)
        assert torch.equal(paid, loss.generator(LINE(generator(REAL))))


def test_an_objective_is_anything_with_its_two_methods() -> None:
    class Own:
        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            return (fake - real).mean()

        def generator(self, fake: Tensor) -> Tensor:
            return -fake.mean()

    generator = networks.mlp(2, 2)
    own, known = (Game(generator, LINE, loss) for loss in (Own(), losses.wasserstein()))
    for one in (own, known):
        state = step.pure(one).initial()
        step.pure(one).discriminator(state, REAL, FAKE)
    torch.testing.assert_close(
        own.discriminator_cost(LINE, REAL, FAKE), known.discriminator_cost(LINE, REAL, FAKE)
    )


def test_joined_batches_are_told_apart_by_batch_normalisation_alone() -> None:
    generator = networks.mlp(2, 8, 2)
    normalised = nn.Sequential(nn.BatchNorm1d(2, affine=False), LINE)
    for critic, differ in ((LINE, False), (normalised, True)):
        apart, joined = (
            Game(generator, critic, losses.wasserstein(), joined=j).discriminator_cost(
                critic, REAL, FAKE + 3)
            for j in (False, True)
        )  # fmt: skip
        assert (abs(apart - joined) > 0.1) == differ
    # Apart, each batch has mean 0 after the normalisation: the critic cannot tell them.
    apart = Game(generator, normalised, losses.wasserstein())
    assert apart.discriminator_cost(normalised, REAL, FAKE + 3).item() == pytest.approx(0, abs=1e-6)


def test_penalties_of_a_linear_critic() -> None:
    generator = networks.mlp(2, 8, 2)
    norm = SLOPE.norm()
    wanted = {
        penalties.r1: norm**2 / 2,
        penalties.r2: norm**2 / 2,
        penalties.gradient_penalty: (norm - 1) ** 2,
        penalties.weighted(10, penalties.gradient_penalty): 10 * (norm - 1) ** 2,
        (lambda critic, real, fake: 3 * penalties.r1(critic, real)): 3 * norm**2 / 2,
    }
    bare = Game(generator, LINE).discriminator_cost(LINE, REAL, FAKE)
    mix = torch.rand(len(REAL))
    for penalty, paid in wanted.items():
        game = Game(generator, LINE, penalty=penalty)
        cost = game.discriminator_cost(LINE, REAL, FAKE, mix)
        torch.testing.assert_close(cost - bare, paid, rtol=1e-5, atol=1e-6)
        twice = game.discriminator_cost(LINE, REAL, FAKE, mix, {"penalty": 2.0})
        torch.testing.assert_close(twice - bare, 2 * paid, rtol=1e-5, atol=1e-6)


def test_the_mix_says_where_a_penalty_looks_for_any_shape_of_sample() -> None:
    # As many images as rows: a mix of shape (N, 1) must not run along the rows.
    real, fake = torch.randn(2, 8, 1, 8, 8, generator=RNG)
    mix = torch.rand(8, generator=RNG)
    seen = []

    def square(x: Tensor) -> Tensor:
        seen.append(x)
        return x.square().sum((1, 2, 3)) / 2

    expected = mix[:, None, None, None] * real + (1 - mix)[:, None, None, None] * fake
    for shape in ((8,), (8, 1), (8, 1, 1, 1)):
        paid = penalties.gradient_penalty(square, real, fake, mix.reshape(shape))
        norms = expected.flatten(1).norm(dim=1)
        torch.testing.assert_close(paid, (norms - 1).square().mean())
    with pytest.raises(ValueError, match=r"mix has shape \(8, 8\) for 8 pairs"):
        penalties.gradient_penalty(square, real, fake, torch.rand(8, 8))


def test_packs_stand_side_by_side_and_leave_images_images() -> None:
    game = Game(networks.mlp(2, 2), networks.mlp(6, 1), pack=3)
    rows = torch.arange(12.0).reshape(6, 2)
    assert game.packed(rows).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    images, labels = torch.randn(6, 2, 4, 4), torch.arange(6)
    packed, together = game.packed((images, labels))
    assert packed.shape == (2, 6, 4, 4)
    assert torch.equal(packed[1, 2:4], images[4])
    assert together.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="batch of 8 does not divide into packs of 3"):
        game.discriminator_cost(game.discriminator, REAL, FAKE)


def test_conditions_reach_both_players_and_every_penalty() -> None:
    generator = networks.Conditional(networks.mlp(2 + 3, 8, 2, seed=1), 3)
    critic = networks.Conditional(networks.mlp(2 + 3, 8, 1, seed=2), 3)
    y, other = torch.arange(8) % 3, torch.arange(8) % 2
    hot = torch.nn.functional.one_hot(y, 3).float()
    game = Game(generator, critic, losses.hinge())
    fake = game.samples(generator, (REAL, y))
    assert torch.equal(fake[0], generator.network(torch.cat([REAL, hot], 1)))
    assert torch.equal(fake[1], y)
    expected = losses.hinge().discriminator(critic(REAL, y), critic(FAKE, other))
    assert torch.equal(game.discriminator_cost(critic, (REAL, y), (FAKE, other)), expected)
    joined = Game(generator, critic, losses.hinge(), joined=True)
    torch.testing.assert_close(
        joined.discriminator_cost(critic, (REAL, y), (FAKE, other)), expected
    )
    for penalty, points, given in (
        (penalties.r1, REAL, y), (penalties.r2, FAKE, other),
    ):  # fmt: skip
        paid = penalty(critic, (REAL, y), (FAKE, other))
        x = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x, given).sum(), x)
        torch.testing.assert_close(paid, slope.square().sum(1).mean() / 2)
    mix = torch.ones(8)  # at the real samples
    paid = penalties.gradient_penalty(critic, (REAL, y), (FAKE, other), mix)
    x = REAL.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, y).sum(), x)
    torch.testing.assert_close(paid, (slope.norm(dim=1) - 1).square().mean())


def test_a_condition_of_numbers() -> None:
    network = networks.Conditional(networks.mlp(2 + 4, 1, seed=1))
    y = torch.randn(8, 4)
    assert torch.equal(network(REAL, y), network.network(torch.cat([REAL, y], 1)))
    assert with_condition_of((REAL, y), FAKE)[1] is y
    assert with_condition_of(REAL, FAKE) is FAKE


def test_costs_are_float32_under_autocast_and_near_the_full_precision() -> None:
    generator, critic = networks.mlp(2, 64, 2, seed=1), networks.mlp(2, 64, 1, seed=2)
    seen = []
    hook = critic[0].register_forward_hook(lambda layer, given, output: seen.append(output.dtype))
    for penalty in (None, penalties.gradient_penalty):
        full, half = (
            Game(generator, critic, penalty=penalty, autocast=dtype)
            for dtype in (None, torch.bfloat16)
        )
        mix = torch.rand(8)
        exact, rough = (g.discriminator_cost(critic, REAL, FAKE, mix) for g in (full, half))
        assert rough.dtype == torch.float32
        assert 0 < abs(exact - rough) < 0.05
        paid = half.generator_cost(generator, critic, REAL)
        assert paid.dtype == torch.float32
        assert half.samples(generator, REAL).dtype == torch.float32
        rough.backward()
    hook.remove()
    assert torch.bfloat16 in seen


def test_a_bound_module_leaves_its_template_alone() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    kept = {k: v.clone() for k, v in module.state_dict().items()}
    buffers = dict(module.named_buffers())
    bound = Bound(module, {k: v + 1 for k, v in module.named_parameters()}, buffers)
    bound(REAL)
    bound(REAL)
    assert bound.buffers["0.num_batches_tracked"] == 2
    assert all(torch.equal(v, kept[k]) for k, v in module.state_dict().items())


def test_a_penalty_moves_no_buffer() -> None:
    critic = networks.spectral_norm(networks.mlp(2, 8, 1))
    for buffer in critic.buffers():  # far from where the power iteration rests
        buffer.copy_(torch.nn.functional.normalize(torch.ones_like(buffer), dim=0))
    before = {k: v.clone() for k, v in critic.named_buffers()}
    game = Game(networks.mlp(2, 2), critic, penalty=penalties.r1)
    game.discriminator_cost(critic, REAL, FAKE)
    moved = {k: v.clone() for k, v in critic.named_buffers()}
    for k, v in before.items():
        critic.get_buffer(k).copy_(v)
    Game(networks.mlp(2, 2), critic).discriminator_cost(critic, REAL, FAKE)
    assert all(torch.equal(critic.get_buffer(k), v) for k, v in moved.items())
    assert any(not torch.equal(before[k], v) for k, v in moved.items())


NORMALISED = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": losses.hinge}, TypeError, r"call it: loss=hinge\(\)"),
        ({"loss": "hinge"}, TypeError, r"loss is 'hinge'.*such as hinge\(\)"),
        ({"penalty": 10}, TypeError, r"penalty is 10; pass a function"),
        ({"pack": 0}, ValueError, "pack is 0"),
        ({"pack": 2.0}, ValueError, r"pack is 2\.0; it must be a whole number"),
        ({"autocast": "bfloat16"}, TypeError, "autocast is 'bfloat16'; pass torch.bfloat16"),
        (
            {"penalty": penalties.r1, "discriminator": NORMALISED},
            ValueError,
            r"normalises over the batch \(its layer 1\).*GroupNorm\(1, channels\)",
        ),
    ],
)
def test_what_is_no_game_is_named(change: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Game(**{"generator": networks.mlp(2, 2), "discriminator": LINE, **change})


def test_the_advice_on_a_normalised_critic_works() -> None:
    with pytest.raises(ValueError, match="normalises over the batch"):
        penalties.r1(NORMALISED, REAL)
    grouped = nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(1, 4), nn.Linear(4, 1))
    game = Game(networks.mlp(2, 2), grouped, penalty=penalties.r1)
    assert game.discriminator_cost(grouped, REAL, FAKE) > 0
    assert penalties.r1(NORMALISED.eval(), REAL) > 0  # in evaluation a sample stands alone
    NORMALISED.train()


def test_weights_of_a_penalty_are_checked() -> None:
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"weight is {weight}"):
            penalties.weighted(weight, penalties.r1)
