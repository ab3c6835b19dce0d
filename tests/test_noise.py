"""Noise by key: SplitMix64 to the bit, and distributed as it says."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from ganlib import noise

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mixed(z: int) -> int:
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@pytest.mark.parametrize(("seed", "call"), [(0, 0), (3, 7), (2**40 + 1, 12), (-5, 1)])
def test_it_is_splitmix64(seed: int, call: int) -> None:
    start = mixed(mixed(seed * GOLDEN + 1) + call * GOLDEN)
    words = [mixed(start + i * GOLDEN) for i in range(1, 6)]
    key = torch.tensor(seed), torch.tensor(call)
    assert noise.uniform(*key, (5,)).tolist() == [(w >> 40) * 2.0**-24 for w in words]
    assert noise.uniform(*key, (5,), torch.float64).tolist() == [
        (w >> 11) * 2.0**-53 for w in words
    ]


def test_the_published_first_words() -> None:
    # The reference implementation's first outputs from state 1234567.
    assert [mixed(1234567 + i * GOLDEN) for i in (1, 2, 3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


def test_uniform_and_normal_are_what_they_say() -> None:
    many = 200_000
    drawn = torch.stack([noise.uniform(torch.tensor(s), torch.tensor(0), (many,))
                         for s in range(3)])  # fmt: skip
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for row in drawn:
        assert stats.kstest(row.numpy(), "uniform").pvalue > 1e-3
    assert torch.corrcoef(drawn).triu(1).abs().max() < 4.5 / many**0.5
    assert torch.corrcoef(torch.stack([drawn[0, 1:], drawn[0, :-1]]))[0, 1].abs() < 4.5 / many**0.5
    calls = torch.stack([noise.normal(torch.tensor(0), torch.tensor(c), (many,), torch.float64)
                         for c in range(3)])  # fmt: skip
    for row in calls:
        assert stats.kstest(row.numpy(), "norm").pvalue > 1e-3
    assert torch.corrcoef(calls).triu(1).abs().max() < 4.5 / many**0.5


def test_a_key_for_each_of_many() -> None:
    seeds, call = torch.arange(4), torch.tensor(2)
    together = torch.func.vmap(lambda seed: noise.normal(seed, call, (3, 2)))(seeds)
    alone = torch.stack([noise.normal(seed, call, (3, 2)) for seed in seeds])
    assert torch.equal(together, alone)
    assert noise.uniform(torch.tensor(0, device="meta"), call, (2,)).device.type == "meta"
