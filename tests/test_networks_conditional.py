"""Laws of the conditional networks, each held by every member."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from ganlib import losses, networks, step
from ganlib.game import Game
from ganlib.networks import Conditional, JoinedFeatures, Projection, mlp, seeded
from ganlib.training import fit, sample

CLASSES, FEATURES = 3, 6


class Member(NamedTuple):
    build: Callable[[], nn.Module]
    additive: bool = False
    images: bool = False
    context: bool = False  # numbers instead of classes


def joined(hidden: bool, embedding: nn.Module | None, width: int, *, context: bool = False):
    sizes = (FEATURES + width, 5, 1) if hidden else (FEATURES + width, 1)
    features = mlp(2, 7, FEATURES, output=networks.leaky_relu)
    classes = None if context else CLASSES
    return JoinedFeatures(features, mlp(*sizes, seed=1), classes, embedding=embedding)


def convolved(*layers: nn.Module) -> nn.Sequential:
    conv = networks.dcgan_discriminator(8, width=4, outputs=FEATURES, normalise=False)
    return nn.Sequential(conv, networks.leaky_relu(), *layers)


MEMBERS = {
    "input": Member(lambda: Conditional(mlp(2 + CLASSES, 7, 1), CLASSES)),
    "input, embedded": Member(
        lambda: Conditional(mlp(2 + 5, 7, 1), CLASSES, embedding=nn.Linear(CLASSES, 5))
    ),
    "one-hot": Member(lambda: joined(False, None, CLASSES), additive=True),
    "sigmoid": Member(
        lambda: joined(False, nn.Sequential(nn.Linear(CLASSES, 4), nn.Sigmoid()), 4), additive=True
    ),
    "wide": Member(lambda: joined(False, nn.Linear(CLASSES, 20, bias=False), 20), additive=True),
    "hidden": Member(lambda: joined(True, None, CLASSES)),
    "projection": Member(
        lambda: Projection(
            mlp(2, 7, FEATURES), nn.Linear(FEATURES, 1), CLASSES,
            embedding=nn.Linear(CLASSES, FEATURES, bias=False),
        )
    ),
    "one-hot, images": Member(
        lambda: JoinedFeatures(convolved(), nn.Linear(FEATURES + CLASSES, 1), CLASSES),
        additive=True, images=True,
    ),
    "projection, images": Member(
        lambda: Projection(
            convolved(), nn.Linear(FEATURES, 1), CLASSES, embedding=nn.Linear(CLASSES, FEATURES)
        ),
        images=True,
    ),
    "input, images": Member(
        lambda: Conditional(networks.dcgan_discriminator(8, 1 + CLASSES, width=4), CLASSES),
        images=True,
    ),
    "context, additive": Member(
        lambda: joined(False, mlp(1, 8, 4), 4, context=True), additive=True, context=True
    ),
    "context, as it is": Member(
        lambda: joined(False, None, 1, context=True), additive=True, context=True
    ),
    "context, projection": Member(
        lambda: Projection(
            mlp(2, 7, FEATURES), nn.Linear(FEATURES, 1), embedding=mlp(1, 8, FEATURES)
        ),
        context=True,
    ),
    "context, input": Member(lambda: Conditional(mlp(2 + 1, 7, 1)), context=True),
}  # fmt: skip


def made(name: str, seed: int = 0) -> nn.Module:
    return seeded(MEMBERS[name].build, seed).eval()


def batch(name: str, count: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    member = MEMBERS[name]
    shape = (1, 8, 8) if member.images else (2,)
    x = torch.randn(count, *shape, generator=rng)
    if member.context:
        return x, 2 * torch.rand(count, generator=rng) - 1
    return x, torch.randint(CLASSES, (count,), generator=rng)


def slope(critic: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(critic(x, y).sum(), x)[0]


def other(name: str, y: Tensor) -> Tensor:
    return -y if MEMBERS[name].context else (y + 1) % CLASSES


@pytest.mark.parametrize("name", MEMBERS)
class TestLaws:
    def test_one_output_a_sample_that_depends_on_both(self, name: str) -> None:
        critic, (x, y) = made(name), batch(name)
        out = critic(x, y)
        assert out.shape == (5, 1)
        assert not torch.allclose(out, critic(x, other(name, y)))
        assert not torch.allclose(out, critic(x.flip(0), y))
        torch.testing.assert_close(critic(x[1:3], y[1:3]), out[1:3])  # each sample by itself

    def test_only_an_additive_logit_has_a_slope_blind_to_the_label(self, name: str) -> None:
        critic, (x, y) = made(name), batch(name)
        with torch.no_grad():  # no label is at rest by chance of small weights
            for weight in critic.parameters():
                weight.mul_(2)
        same = torch.equal(slope(critic, x, y), slope(critic, x, other(name, y)))
        assert same == MEMBERS[name].additive
        # s(x, y) - s(x', y) does not depend on y: the same said without slopes.
        away = critic(x, y) - critic(x.flip(0), y)
        there = critic(x, other(name, y)) - critic(x.flip(0), other(name, y))
        assert torch.allclose(away, there, atol=1e-4) == MEMBERS[name].additive

    def test_the_same_weights_from_the_same_seed(self, name: str) -> None:
        (x, y), before = batch(name), torch.get_rng_state()
        assert torch.equal(made(name)(x, y), made(name)(x, y))
        assert torch.equal(before, torch.get_rng_state())

    def test_precision_and_the_meta_device(self, name: str) -> None:
        critic, (x, y) = made(name), batch(name)
        double = copy.deepcopy(critic).double()
        out = double(x.double(), y)
        assert out.dtype == torch.float64
        torch.testing.assert_close(out.float(), critic(x, y), rtol=1e-4, atol=1e-5)
        assert copy.deepcopy(critic).to("meta")(x.to("meta"), y.to("meta")).shape == (5, 1)

    def test_mapped_over_seeds(self, name: str) -> None:
        x, y = batch(name)
        critics = [made(name, seed) for seed in (1, 2)]
        params, buffers = torch.func.stack_module_state(critics)
        mapped = torch.func.vmap(
            lambda p, b: torch.func.functional_call(critics[0], (p, b), (x, y))
        )(params, buffers)
        for row, critic in zip(mapped, critics, strict=True):
            torch.testing.assert_close(row, critic(x, y), rtol=1e-4, atol=1e-5)

    def test_a_pure_and_an_in_place_step_agree(self, name: str) -> None:
        (x, y), member = batch(name, 8), MEMBERS[name]
        width = 1 if member.context else CLASSES
        inner: nn.Module = mlp(4 + width, 8, 64 if member.images else 2, seed=3)
        if member.images:
            inner = nn.Sequential(inner, nn.Unflatten(1, (1, 8, 8)))
        generator = Conditional(inner, None if member.context else CLASSES)
        critic = seeded(member.build, 0)
        z = torch.randn(8, 4, generator=torch.Generator().manual_seed(5))
        ends = []
        for driver in (step.pure, step.in_place):
            one = driver(Game(copy.deepcopy(generator), copy.deepcopy(critic)))
            state = one.initial()
            state, fake = one.generate(state, (z, y))
            state, loss_d = one.discriminator(state, (x, y), fake)
            state, loss_g = one.generator(state, (z, y))
            ends.append([loss_d, loss_g, *state.generator.weights.values()])
        for a, b in zip(*ends, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

    def test_conditions_out_of_range_are_named(self, name: str) -> None:
        x, y = batch(name)
        if not MEMBERS[name].context:
            with pytest.raises(ValueError, match=f"numbers from 0 to {CLASSES - 1}"):
                made(name)(x, torch.full_like(y, CLASSES))
            with pytest.raises(ValueError, match="pass one number a sample"):
                made(name)(x, torch.eye(CLASSES)[y])


def test_a_linear_map_of_rows_is_an_embedding() -> None:
    linear, table = nn.Linear(10, 4, bias=False), nn.Embedding(10, 4)
    table.weight.data = linear.weight.data.T.clone()
    seen: list[Tensor] = []
    critic = Projection(nn.Identity(), nn.Linear(4, 1), 10, embedding=linear)
    linear.register_forward_hook(lambda module, given, row: seen.append(row))
    y = torch.arange(10)
    critic(torch.randn(10, 4), y)
    torch.testing.assert_close(seen[0], table(y))
    for build in (
        lambda: Projection(nn.Identity(), nn.Linear(4, 1), 10, embedding=table),
        lambda: Conditional(mlp(6, 2), 10, embedding=nn.Sequential(table, nn.Sigmoid())),
    ):
        with pytest.raises(TypeError, match=r"torch.nn.Linear\(10, 4, bias=False\)"):
            build()
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match="classes is"):
            JoinedFeatures(nn.Identity(), nn.Linear(4, 1), wrong)  # type: ignore[arg-type]


def test_the_projection_is_its_formula() -> None:
    h, y = torch.randn(7, 4), torch.randint(3, (7,))
    head, directions = nn.Linear(4, 1), nn.Linear(3, 4, bias=False)
    out = Projection(nn.Identity(), head, 3, embedding=directions)(h, y)
    by_hand = torch.stack([head(a)[0] + directions.weight[:, b] @ a for a, b in zip(h, y)])  # noqa: B905
    torch.testing.assert_close(out[:, 0], by_hand)


def test_the_latent_size_of_a_generator_with_an_embedded_label() -> None:
    embedding = nn.Sequential(nn.Linear(10, 200, bias=False))
    generator = Conditional(mlp(5 + 200, 8, 2), 10, embedding=embedding)
    assert networks.latent_shape(generator) == (5,)
    context = Conditional(mlp(5 + 3, 8, 2), embedding=mlp(1, 4, 3))
    assert networks.latent_shape(context) == (5,)
    with pytest.raises(ValueError, match="pass latent=<size>"):
        networks.latent_shape(Conditional(mlp(5 + 3, 8, 2), embedding=nn.Sigmoid()))
    critic = JoinedFeatures(mlp(2, 8, 4), nn.Linear(4 + 10, 1), 10)
    data = torch.randn(50, 2), torch.randint(10, (50,))
    history = fit(generator, critic, data, losses.non_saturating(), steps=2, progress=False)
    assert len(history.discriminator_loss) == 2
    assert sample(generator, 3, condition=torch.tensor([0, 1, 9])).shape == (3, 2)


def test_features_of_a_convolutional_critic() -> None:
    features = networks.dcgan_discriminator(16, 3, width=4, outputs=7)
    assert features(torch.randn(5, 3, 16, 16)).shape == (5, 7)
