"""Minibatch discrimination: what it appends, and where its groups end."""

from __future__ import annotations

import pytest
import torch

from ganlib import networks


def test_what_is_appended_is_the_sum_over_the_others() -> None:
    layer = networks.MinibatchDiscrimination(3, kernels=2, depth=4, group=5).double()
    x = torch.randn(10, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    rows = (x @ layer.matrix.weight.T).reshape(10, 2, 4)
    got = layer(x)
    assert torch.equal(got[:, :3], x)
    for i in range(10):
        others = [j for j in range(10) if j // 5 == i // 5 and j != i]
        expected = sum(torch.exp(-(rows[i] - rows[j]).abs().sum(1)) for j in others)
        torch.testing.assert_close(got[i, 3:], expected)


def test_equal_samples_are_as_near_as_can_be_and_groups_do_not_see_each_other() -> None:
    layer = networks.MinibatchDiscrimination(3, kernels=2, group=4)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    alike = layer(x[:1].expand(4, 3))[:, 3:]
    torch.testing.assert_close(alike, torch.full((4, 2), 3.0))
    assert (layer(x)[:, 3:] < 3).all()
    torch.testing.assert_close(layer(x)[:4], layer(x[:4]))


def test_a_batch_is_of_whole_groups_or_one_smaller_group() -> None:
    layer = networks.MinibatchDiscrimination(3, group=4)
    assert layer(torch.zeros(2, 3)).shape == (2, 11)
    with pytest.raises(ValueError, match="groups of 4"):
        layer(torch.zeros(6, 3))
    with pytest.raises(ValueError, match="group"):
        networks.MinibatchDiscrimination(3, group=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_norm_without_buffers_comes_near_the_singular_value(dtype: torch.dtype) -> None:
    critic = networks.mlp(3, 16, 16, 1).to(dtype)
    networks.spectral_norm(critic, iterations=60)
    assert not list(critic.buffers())
    for layer in critic[::2]:
        norm = torch.linalg.matrix_norm(layer.weight, 2)
        assert abs(norm.item() - 1) < 1e-3
