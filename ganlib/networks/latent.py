"""What a generator takes, read off its layers."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from ganlib.networks.conditional import Conditional

__all__ = ["latent_shape"]


def latent_shape(generator: nn.Module, size: int | None = None) -> tuple[int, ...]:
    """The shape of one latent, read off the first layer that takes it.

    A convolutional layer takes (channels, 1, 1), any other a row. A generator with an attribute
    ``latent_size`` says itself how many numbers it takes, as a flow does, whose first layer sees
    only a part of them.

    Parameters
    ----------
    size
        How many numbers; as many as the layer takes where None.

    Raises
    ------
    ValueError
        If it cannot be read off; then pass ``latent=`` where this was called from.

    Examples
    --------
    >>> latent_shape(mlp(2, 8, 2))
    (2,)
    >>> latent_shape(torch.nn.ConvTranspose2d(100, 64, 4))
    (100, 1, 1)
    """
    says: int | None = getattr(generator, "latent_size", None)
    if says is not None:
        return (says if size is None else size,)
    known = (nn.Unflatten, nn.Linear, nn.modules.conv._ConvNd)
    first: Any = next((layer for layer in generator.modules() if isinstance(layer, known)), None)
    convolves = isinstance(first, nn.modules.conv._ConvNd)
    # The width of a condition of numbers is nowhere written.
    condition = generator.condition_width if isinstance(generator, Conditional) else 0
    if size is None and first is not None and condition is not None:
        if isinstance(first, nn.Unflatten):
            width = math.prod(first.unflattened_size)
        else:
            width = first.in_channels if convolves else first.in_features
        size = width - condition
    if size is not None:
        return (size, *(1 for _ in (first.kernel_size if convolves else ())))
    raise ValueError(
        f"the latent size cannot be read off {type(generator).__name__}; pass latent=<size>, or "
        "latent=<a function (count, torch.Generator) -> latents>"
    )
