"""A batch: samples, or samples with a condition.

Everywhere a batch is a tensor x (N, ...), or a pair (x, y) whose y (N, ...) holds a condition for
each sample; a network is called with what the batch consists of, ``critic(*parts(batch))``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["Batch", "Critic", "as_batch", "parts", "with_condition_of"]

#: Samples (N, ...), alone or with a condition: x or (x, y).
Batch = Tensor | tuple[Tensor, Tensor]
#: From x, or from x and its condition y, to one raw output a sample.
Critic = Callable[..., Tensor]


def parts(batch: Batch) -> tuple[Tensor, ...]:
    """(x,) or (x, y): what a network is called with."""
    return (batch,) if isinstance(batch, Tensor) else tuple(batch)


def as_batch(parts: Sequence[Tensor]) -> Batch:
    """The inverse of :func:`parts`."""
    first, *condition = parts
    return (first, condition[0]) if condition else first


def with_condition_of(batch: Batch, samples: Tensor) -> Batch:
    """``samples`` with the condition of a batch, if that has one."""
    return as_batch((samples, *parts(batch)[1:]))
