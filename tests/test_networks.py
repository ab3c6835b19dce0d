"""Sizes, seeds and errors of the small networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganlib import networks


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


@pytest.mark.parametrize("sizes", [(), (2,), (2, 0), (2, -1, 1), (2, 1.5)])
def test_wrong_sizes_are_named(sizes: tuple) -> None:
    with pytest.raises(ValueError, match="mlp sizes are"):
        networks.mlp(*sizes)


def test_latent_size() -> None:
    assert networks.latent_size(networks.mlp(7, 4, 2)) == 7
    with pytest.raises(ValueError, match="pass latent="):
        networks.latent_size(nn.Tanh())
