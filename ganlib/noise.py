"""Noise that is a function of a key: the same numbers in a loop, under ``vmap``, on any device.

torch's generators keep a state that ``vmap`` cannot carry and a checkpoint can forget. Here draw
number ``call`` of a stream ``seed`` is a function of the two, so a layer that needs noise keeps
both as buffers (:class:`ganlib.networks.Dropout`) and a step stays a pure function.

The numbers are those of SplitMix64 (Steele, Lea and Flood 2014), one for each place of the
result, starting from a hash of (seed, call): no place of two streams is related.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["normal", "uniform"]

# The constants of SplitMix64, as signed 64-bit integers.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


_BITS = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


def _right(z: Tensor, places: int) -> Tensor:
    # torch shifts signed integers arithmetically; the mask takes the copied sign away.
    return (z >> places) & ((1 << (64 - places)) - 1)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _right(z, 30)) * _FIRST
    z = (z ^ _right(z, 27)) * _SECOND
    return z ^ _right(z, 31)


def uniform(
    seed: Tensor, call: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Independent uniform draws in [0, 1), equally spaced numbers that the dtype holds exactly.

    They are multiples of 2^-24 in float32, 2^-53 in float64, 2^-11 and 2^-8 in the half ones.

    Parameters
    ----------
    seed, call
        Integer tensors of one number each, int64: which stream, and which draw of it.
    shape
        Of the result, which lies where ``seed`` does.

    Examples
    --------
    >>> stream, call = torch.tensor(3), torch.tensor(0)
    >>> draws = uniform(stream, call, (100_000,))
    >>> torch.equal(draws, uniform(stream, call, (100_000,)))
    True
    >>> round(draws.mean().item(), 1)
    0.5
    """
    count = math.prod(shape)
    start = _mixed(_mixed(seed * _GOLDEN + 1) + call * _GOLDEN)
    place = torch.arange(1, count + 1, device=seed.device, dtype=torch.int64)
    bits = _BITS[dtype]
    drawn = _right(_mixed(start + place * _GOLDEN), 64 - bits)
    return (drawn.to(dtype) * 2.0**-bits).reshape(shape)


def normal(
    seed: Tensor, call: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Independent standard normal draws (Box and Muller 1958); arguments as :func:`uniform`.

    Examples
    --------
    >>> draws = normal(torch.tensor(3), torch.tensor(0), (100_000,))
    >>> round(draws.std().item(), 1)
    1.0
    """
    fine = torch.promote_types(dtype, torch.float32)
    first, second = uniform(seed, call, (2, *shape), fine)
    # 1 - u lies in (0, 1]: its logarithm is finite.
    return ((-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)).to(dtype)
