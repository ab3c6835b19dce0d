"""Points and the distances between them: in float64, and in blocks of bounded memory.

Rounding decides what a distance says of a tight cluster far from the origin, and a table of all
pairs decides how many samples fit in memory. Both are settled here, once, for
:mod:`ganlib.distances`, :mod:`ganlib.metrics` and :mod:`ganlib.scoring`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ganlib.checks import check_finite, check_float, check_points, readable

__all__ = [
    "BLOCK",
    "blocks",
    "distances",
    "line",
    "mean",
    "nearest",
    "points",
    "root",
    "squares",
    "two",
]

#: Pairs in one block: 8 MiB of float64.
BLOCK = 2**20
_CANDIDATES = 8  # that a matrix product names, for exact distances to choose from
_LARGEST = 1e150  # its square, summed over any number of columns, is still a float64


def points(values: Tensor, name: str) -> Tensor:
    """Samples (N, d) in float64; (N,) becomes (N, 1).

    Raises
    ------
    TypeError, ValueError
        As :func:`ganlib.checks.check_points`, and for numbers whose squares overflow.
    """
    values = check_points(values, name).double()
    if values.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; a point has a coordinate or more"
        )
    if readable(values) and (largest := values.detach().abs().max().item()) > _LARGEST:
        raise ValueError(
            f"{name} has an entry of size {largest:.3g}, whose square is no float64; divide all "
            "samples by one scale first"
        )
    return values


def two(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Two samples of :func:`points` with as many columns in both, else a ValueError."""
    x, y = points(x, names[0]), points(y, names[1])
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"{names[0]} has {x.shape[1]} columns and {names[1]} has {y.shape[1]}; both samples "
            "must lie in one space"
        )
    return x, y


def line(values: Tensor, name: str) -> Tensor:
    """Points on the line, (N,) or (N, 1), as (N,) in their own dtype; ValueError for others."""
    check_float(values, name)
    check_finite(values, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; this distance lives on the line and takes "
            "(N,) or (N, 1), N >= 1: project the points first, or use energy or mmd2"
        )
    return values


class _Squares(torch.autograd.Function):
    # |x_i - y_j|^2 as the square of differences, never as |x|^2 - 2 x.y + |y|^2, which cancels for
    # near points; the slope needs no (N, M, d) table either: it is a matrix product.

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, y = ctx.saved_tensors
        grad = 2 * grads[0]
        return (
            grad.sum(-1, keepdim=True) * x - grad @ y,
            grad.sum(-2).unsqueeze(-1) * y - grad.mT @ x,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        x, y = ctx.saved_tensors
        along_x, along_y = tangents
        own = (x * along_x).sum(-1)[..., :, None] + (y * along_y).sum(-1)[..., None, :]
        return 2 * (own - along_x @ y.mT - x @ along_y.mT)


def squares(x: Tensor, y: Tensor) -> Tensor:
    """The squared distances of points (N, d) and (M, d), shape (N, M); twice differentiable."""
    if torch.compiler.is_compiling():  # it traces no function that has a slope of its own
        return (x[..., :, None, :] - y[..., None, :, :]).square().sum(-1)
    squared: Tensor = _Squares.apply(x, y)
    return squared


def distances(x: Tensor, y: Tensor) -> Tensor:
    """The distances of points (N, d) and (M, d), shape (N, M), with slope 0 at distance 0."""
    return root(squares(x, y))


def root(squared: Tensor) -> Tensor:
    """The square root of numbers >= 0, with slope 0 at 0: there a norm is least, with a kink."""
    zero = squared == 0
    return torch.where(zero, 0, torch.where(zero, 1, squared).sqrt())


def blocks(x: Tensor, y: Tensor, times: int = 1) -> tuple[Tensor, ...]:
    """The rows of x in parts that make at most ``times`` :data:`BLOCK` pairs with those of y."""
    return x.split(max(1, times * BLOCK // len(y)))


def mean(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The mean over all pairs of ``function(x, y)``, a table (N, M) made a block at a time.

    Differentiable; what a block needs for its slope is computed again on the way back instead of
    kept, so that memory stays bounded there too (inside ``torch.func`` and ``torch.compile`` it
    is kept).
    """

    def total(part: Tensor) -> Tensor:
        return function(part, y).sum()

    graph = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad) and readable(x)
    # A graph keeps small objects between the blocks. Blocks of 64 MiB the allocator gives back
    # to the system; smaller ones it could not join again around those objects.
    parts = blocks(x, y, 8 if graph else 1)
    everything = x.new_zeros(())
    for part in parts:
        if graph and len(parts) > 1:
            block = checkpoint(total, part, use_reentrant=False, preserve_rng_state=False)
        else:
            block = total(part)
        everything = everything + block
    return everything / (len(x) * len(y))


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The distance (N,) of each row of x to the nearest row of y, and that row's number (N,).

    In many dimensions a matrix product is ten times as fast as differences, and rounds: it names
    candidates, and differences choose among them. Where it could have missed the nearest, all are
    compared by differences.
    """
    x, y = x.detach(), y.detach()
    centre = y.mean(0)
    moved = y - centre
    half = moved.square().sum(1) / 2
    count = min(_CANDIDATES, len(y))
    step = max(1, BLOCK // max(len(y), count * y.shape[1]))
    found, rows = [], []
    for part in x.split(step):
        away = part - centre
        rough, near = (half - away @ moved.T).topk(count, dim=1, largest=False)
        least, which = (part[:, None] - y[near]).square().sum(-1).min(dim=1)
        row = near.gather(1, which[:, None])[:, 0]
        if count < len(y):
            scale = (2 * half).amax().sqrt() + away.norm(dim=1)
            rounding = 4 * (y.shape[1] + 4) * torch.finfo(y.dtype).eps * scale.square()
            unsure = (rough[:, -1] - rough[:, 0] <= rounding).nonzero()[:, 0]
            for one in unsure.split(step):
                least[one], row[one] = squares(part[one], y).min(dim=1)
        found.append(least.sqrt())
        rows.append(row)
    return torch.cat(found), torch.cat(rows)
