"""Sizes, seeds and errors of the small networks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ganlib import networks
from ganlib.optimisers import linear


def test_mlp_has_the_layers_asked_for() -> None:
    net = networks.mlp(3, 8, 5, 2, output=nn.Tanh)
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Linear", "LeakyReLU", "Linear", "LeakyReLU", "Linear", "Tanh"]
    assert sum(w.numel() for w in net.parameters()) == (3 + 1) * 8 + (8 + 1) * 5 + (5 + 1) * 2
    assert net[1].negative_slope == 0.2
    assert net(torch.zeros(4, 3)).abs().max() <= 1


def test_the_output_is_raw_by_default() -> None:
    assert type(networks.mlp(2, 4, 1)[-1]) is nn.Linear


def test_the_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    same = [networks.mlp(2, 4, 1, seed=3)[0].weight for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], networks.mlp(2, 4, 1, seed=4)[0].weight)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_maxout_layer_is_the_largest_of_its_pieces(dtype: torch.dtype, pieces: int) -> None:
    layer = networks.seeded(lambda: networks.Maxout(3, 4, pieces), 1).to(dtype)
    x = torch.randn(7, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    weight, bias = layer.linear.weight, layer.linear.bias
    expected = torch.stack([
        (x @ weight[rows].T + bias[rows]).amax(1) for rows in torch.arange(4 * pieces).split(pieces)
    ], 1)  # fmt: skip
    torch.testing.assert_close(layer(x), expected)
    middle = (layer(x[:1]) + layer(x[1:2])) / 2  # it is convex
    assert (layer((x[:1] + x[1:2]) / 2) <= middle + 1e-6).all()
    if pieces == 1:
        torch.testing.assert_close(layer(x), layer.linear(x))


def test_maxout_computes_the_modulus_that_its_weights_ask_for() -> None:
    layer = networks.Maxout(1, 1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.linear.bias.zero_()
    assert layer(torch.tensor([[-3.0], [0.0], [2.0]])).flatten().tolist() == [3, 0, 2]
    with pytest.raises(ValueError, match="pieces is 0; it must be a whole number, 1 or more"):
        networks.Maxout(1, 1, 0)


def test_redrawn_weights_are_those_asked_for_and_biases_zero() -> None:
    def orthogonal(weight: torch.Tensor) -> torch.Tensor:
        return nn.init.orthogonal_(weight, gain=1.4)

    network = nn.Sequential(networks.Maxout(6, 3, 2), nn.Linear(3, 2, bias=False))
    before = torch.get_rng_state()
    nets = [networks.redrawn(copy.deepcopy(network), orthogonal, seed=s) for s in (1, 1, 2)]
    assert torch.equal(before, torch.get_rng_state())
    for net in nets:
        for layer in (net[0].linear, net[1]):
            rows = layer.weight @ layer.weight.T
            torch.testing.assert_close(rows, 1.96 * torch.eye(len(rows)), atol=1e-5, rtol=0)
        assert not net[0].linear.bias.any()
    first, same, other = (net[1].weight for net in nets)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    with pytest.raises(ValueError, match="Tanh has no linear layer to draw anew"):
        networks.redrawn(nn.Tanh(), orthogonal)


@pytest.mark.parametrize("sizes", [(), (2,), (2, 0), (2, -1, 1), (2, 1.5)])
def test_wrong_sizes_are_named(sizes: tuple) -> None:
    with pytest.raises(ValueError, match="mlp sizes are"):
        networks.mlp(*sizes)


def test_the_shape_of_a_latent_is_read_off_the_first_layer() -> None:
    assert networks.latent_shape(networks.mlp(7, 4, 2)) == (7,)
    assert networks.latent_shape(networks.mlp(7, 4, 2), 7) == (7,)
    assert networks.latent_shape(networks.dcgan_generator(9, 16)) == (9,)
    assert networks.latent_shape(nn.ConvTranspose2d(5, 1, 4)) == (5, 1, 1)
    assert networks.latent_shape(nn.ConvTranspose2d(5, 1, 4), 5) == (5, 1, 1)
    assert networks.latent_shape(networks.Conditional(networks.mlp(7, 2), 3)) == (4,)
    assert networks.latent_shape(nn.Tanh(), 3) == (3,)
    for generator in (nn.Tanh(), networks.Conditional(networks.mlp(7, 2))):
        with pytest.raises(ValueError, match="pass latent=<size>"):
            networks.latent_shape(generator)


@pytest.mark.parametrize(("size", "base"), [(8, 4), (12, 6), (16, 4), (28, 7), (32, 4), (64, 4)])
def test_a_dcgan_of_any_size(size: int, base: int) -> None:
    generator = networks.dcgan_generator(10, size, 3, width=4, seed=1)
    discriminator = networks.dcgan_discriminator(size, 3, width=4, seed=2)
    images = generator(torch.randn(5, 10))
    assert images.shape == (5, 3, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (5, 1)
    assert generator[1].kernel_size == (base, base)
    assert generator[1].out_channels == discriminator[-2].in_channels
    kinds = [type(layer) for layer in networks.dcgan_discriminator(size, normalise=False)]
    assert nn.BatchNorm2d not in kinds


def test_a_dcgan_is_drawn_as_the_paper_says() -> None:
    for net in (networks.dcgan_generator(), networks.dcgan_discriminator()):
        for layer in net:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer.weight.numel() > 2000:
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
    for size in (6, 7, 9, 22, 2):
        with pytest.raises(ValueError, match=f"size is {size}.*choose 8, 16, 28, 32 or 64"):
            networks.dcgan_generator(size=size)


CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 4),
    "convolution": lambda: nn.Conv2d(3, 5, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 5, 3),
    "line": lambda: nn.Conv1d(3, 5, 3),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_spectral_norm_is_that_of_torch(name: str) -> None:
    mine = networks.seeded(CONVOLUTIONS[name], 0)
    theirs = copy.deepcopy(mine)
    networks.spectral_norm(mine)
    torch.nn.utils.parametrizations.spectral_norm(theirs)
    # Both started from draws of their own: give ours theirs.
    own, other = mine.parametrizations.weight[0], theirs.parametrizations.weight[0]
    for buffer, start in ((own.u, other._u), (own.v, other._v)):
        random = torch.nn.functional.normalize(torch.randn_like(start), dim=0)
        buffer.copy_(random)
        start.copy_(random)
    shape = {"linear": (7, 6), "line": (2, 3, 9)}.get(name, (2, 3, 9, 9))
    for training in (True, True, False, False):
        mine.train(training)
        theirs.train(training)
        x = torch.randn(*shape)
        a, b = (layer(x).square().sum() for layer in (mine, theirs))
        torch.testing.assert_close(a, b)
        slopes = [
            torch.autograd.grad(v, layer.parametrizations.weight.original)[0]
            for v, layer in ((a, mine), (b, theirs))
        ]
        torch.testing.assert_close(*slopes)
        torch.testing.assert_close(own.u, other._u)
        torch.testing.assert_close(own.v, other._v)


def test_spectral_norm_bounds_a_network() -> None:
    critic = networks.spectral_norm(networks.mlp(2, 32, 32, 1))
    for _ in range(50):
        critic(torch.zeros(1, 2))
    for layer in critic:
        if isinstance(layer, nn.Linear):
            assert torch.linalg.svdvals(layer.weight)[0].item() == pytest.approx(1, abs=1e-4)
    with pytest.raises(ValueError, match="Tanh has no linear or convolutional layer"):
        networks.spectral_norm(nn.Tanh())


def test_dropout_and_noise_are_functions_of_seed_and_call() -> None:
    x = torch.ones(400, 50)
    layer, twin = networks.Dropout(0.3, seed=2), networks.Dropout(0.3, seed=2)
    first, second = layer(x), layer(x)
    assert torch.equal(first, twin(x))
    assert not torch.equal(first, second)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (first == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(first, networks.Dropout(0.3, seed=3)(x))
    again = networks.Dropout(0.3)
    again.load_state_dict(twin.state_dict())
    assert torch.equal(again(x), second)
    assert torch.equal(layer.eval()(x), x)

    noise = networks.noisy(nn.Identity(), linear(2.0, over=2))
    stds = [(noise(x) - x).std().item() for _ in range(3)]
    assert stds == pytest.approx([2, 1, 0], rel=0.03)
    assert torch.equal(noise.eval()(x), x)
    assert repr(networks.Dropout(0.2)) == "Dropout(rate=0.2)"
    assert "std=0.5" in repr(networks.GaussianNoise(0.5))
    for wrong in (lambda: networks.Dropout(1.0), lambda: networks.noisy(nn.Identity(), -1.0)):
        with pytest.raises(ValueError, match="must be"):
            wrong()


def test_layers_made_one_after_the_other_draw_differently() -> None:
    def pair() -> list[networks.Dropout]:
        return [networks.Dropout(0.5), networks.Dropout(0.5)]

    x = torch.ones(100)
    first, second = networks.seeded(pair, 0)
    again, _ = networks.seeded(pair, 0)
    drawn = first(x)
    assert not torch.equal(drawn, second(x))
    assert torch.equal(drawn, again(x))


def test_half_precision_noise_is_finite_and_below_one() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        x = torch.zeros(200_000, dtype=dtype)
        drawn = networks.GaussianNoise(1.0, seed=0)(x)
        assert drawn.dtype == dtype
        assert drawn.isfinite().all()
        assert drawn.float().std().item() == pytest.approx(1, abs=0.01)


def test_conditions_beside_images_and_classes_out_of_range() -> None:
    critic = networks.Conditional(networks.dcgan_discriminator(8, 1 + 3, width=4), 3)
    images, y = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    seen = []
    hook = critic.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    assert critic(images, y).shape == (5, 1)
    hook.remove()
    assert torch.equal(seen[0][:, :1], images)
    assert seen[0][2, 1:].mean((1, 2)).tolist() == [0, 0, 1]
    assert networks.latent_shape(networks.Conditional(networks.dcgan_generator(12, 8), 8)) == (4,)
    for wrong in (torch.tensor([0, 1, 2, 3, 0]), torch.tensor([-1, 0, 0, 0, 0])):
        with pytest.raises(ValueError, match="numbers from 0 to 2"):
            critic(images, wrong)
    with pytest.raises(ValueError, match=r"one_hot\.argmax\(1\)"):
        critic(images, torch.eye(3)[y])
    critic(images, torch.eye(3)[y].argmax(1))
    numbers = networks.Conditional(networks.mlp(2 + 1, 1))
    assert numbers(torch.randn(5, 2), torch.randn(5)).shape == (5, 1)
    noisy = networks.noisy(critic, 0.1)
    assert noisy(images, y).shape == (5, 1)
    with pytest.raises(ValueError, match="parametrized already"):
        networks.spectral_norm(networks.spectral_norm(networks.mlp(2, 1)))
