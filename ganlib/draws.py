"""What a run draws: real batches, latents, and the conditions that go with them.

All draws come from torch generators on the CPU and then go where the networks are, so a run is
the same on every device. A batch is x, or (x, y) with a condition y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganlib.batches import Batch, parts
from ganlib.checks import check_count
from ganlib.game import takes
from ganlib.networks import latent_shape

__all__ = [
    "Batches", "Conditions", "Data", "Latents", "Sampler", "drawn_conditions", "latents", "placed",
    "real_batches",
]  # fmt: skip


class Sampler(Protocol):
    """Anything that draws a batch: the data sets of :mod:`ganlib.data`, or your own.

    Examples
    --------
    >>> from ganlib.networks import mlp
    >>> class Line(Sampler):
    ...     def sample(self, count, generator):
    ...         return torch.rand(count, 1, generator=generator)
    >>> fit(mlp(1, 8, 1), mlp(1, 8, 1), Line(), steps=2).steps
    2
    """

    def sample(self, count: int, generator: torch.Generator) -> Batch: ...


#: Samples (N, ...), with conditions (N, ...) as a pair, or what draws them.
Data = Tensor | tuple[Tensor, Tensor] | Sampler
Batches = Callable[[int, torch.Generator], Batch]
Latents = Callable[[int, torch.Generator], Tensor]
#: (count, torch.Generator) -> the conditions of as many generated samples.
Conditions = Callable[[int, torch.Generator], Tensor]


def real_batches(data: Data, like: Tensor) -> Batches:
    """A function (count, torch.Generator) -> a batch of ``data``, where and as ``like`` is.

    Raises
    ------
    TypeError, ValueError
        For what is no data: the message says what to pass.
    """
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(d, Tensor) for d in data):
        if len(data[0]) != len(data[1]):
            raise ValueError(
                f"there are {len(data[0])} samples and {len(data[1])} conditions; pass one each"
            )
    elif not isinstance(data, Tensor):
        if hasattr(data, "to_numpy") or not callable(getattr(data, "sample", None)):
            raise TypeError(
                f"data is a {type(data).__name__}; pass a tensor of samples (N, ...), such as "
                "torch.tensor(np.asarray(data), dtype=torch.float32), a pair (samples, "
                "conditions), or an object with sample(count, generator), such as "
                "ganlib.data.ring()"
            )
        sampler: Any = data
        if not takes(sampler.sample, 2):
            raise TypeError(
                f"{type(sampler).__name__}.sample does not take (count, generator); give it both, "
                "so that a seed decides the draws"
            )
        return lambda count, rng: _counted(_placed(sampler.sample(count, rng), like), count)
    x, *_ = parts(data)
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(
            f"data has shape {tuple(x.shape)}; expected (N, ...) with N >= 1 samples: "
            "one-dimensional data is (N, 1)"
        )
    for values, what in zip(parts(data), ("data", "the condition"), strict=False):
        if not torch.isfinite(values).all():
            raise ValueError(f"{what} holds NaN or infinite values; remove those rows first")
    held, total, device = _placed(data, like), len(x), like.device

    def from_tensors(count: int, rng: torch.Generator) -> Batch:
        rows = torch.randint(total, (count,), generator=rng, device="cpu").to(device)
        return held[rows] if isinstance(held, Tensor) else (held[0][rows], held[1][rows])

    return from_tensors


def latents(generator: nn.Module, latent: int | Latents | None, like: Tensor) -> Latents:
    """A function (count, torch.Generator) -> latents, where and as ``like`` is.

    Standard normal, of the shape that the generator's first layer takes
    (:func:`ganlib.networks.latent_shape`), unless ``latent`` is a function that draws them.
    """
    device, dtype = like.device, like.dtype
    if latent is not None and not callable(latent):
        check_count(latent, "latent")
    if callable(latent):
        return lambda count, rng: counted(latent(count, rng).to(device, dtype), count, "latent")
    shape = latent_shape(generator, latent)
    return lambda count, rng: torch.randn(count, *shape, generator=rng, device="cpu").to(
        device, dtype
    )


def counted(drawn: Tensor, count: int, what: str) -> Tensor:
    """What was drawn, if there are as many as asked for."""
    if len(drawn) != count:
        raise ValueError(f"{what} returned {len(drawn)} of the {count} asked for; return as many")
    return drawn


def _counted(batch: Batch, count: int) -> Batch:
    for part in parts(batch):
        counted(part, count, "the data's sample()")
    return batch


def _placed(batch: Any, like: Tensor) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(like.device, like.dtype)
    pair = isinstance(batch, tuple) and len(batch) == 2
    if not (pair and all(isinstance(part, Tensor) for part in batch)):
        kinds = [type(part).__name__ for part in batch] if pair else type(batch).__name__
        raise TypeError(
            f"the data's sample() returned {kinds}; it must return a tensor, or a pair of tensors "
            "(samples, conditions)"
        )
    return batch[0].to(like.device, like.dtype), placed(batch[1], like)


def placed(condition: Any, like: Tensor) -> Tensor:
    """A condition where ``like`` is, and in its dtype if it is made of floats."""
    if not isinstance(condition, Tensor):
        raise TypeError(
            f"the condition is a {type(condition).__name__}; pass a tensor, one a sample"
        )
    dtype = like.dtype if condition.is_floating_point() else condition.dtype
    return condition.to(like.device, dtype)


def drawn_conditions(draw: Conditions, count: int, rng: torch.Generator, like: Tensor) -> Tensor:
    """As many conditions as asked for, where ``like`` is."""
    return counted(placed(draw(count, rng), like), count, "conditions")
