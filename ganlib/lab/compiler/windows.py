"""Pooling, as slices: one for each place of the window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["avg_pool", "avg_pool_backward", "max_pool"]


class _Windows:
    """Windows over the last two axes: where each starts, and how far the input must be padded."""

    def __init__(
        self, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        pair = lambda v: list(v) * 2 if len(v) == 1 else list(v)  # noqa: E731
        self.kernel, self.padding, self.dilation = pair(kernel), pair(padding), pair(dilation)
        self.stride = pair(stride) if len(stride) else self.kernel
        self.size = list(x.shape[-2:])
        self.counts, self.more = [], []
        for n, k, s, p, d in zip(
            self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True
        ):
            reach = d * (k - 1) + 1
            room = n + 2 * p - reach
            count = (-(-room // s) if ceil_mode else room // s) + 1
            if ceil_mode and (count - 1) * s >= n + p:  # a window must begin inside
                count -= 1
            self.counts.append(count)
            self.more.append(max((count - 1) * s + reach - n - p, 0))

    def padded(self, x: Tensor, value: float) -> Tensor:
        (top, left), (bottom, right) = self.padding, self.more
        return F.pad(x, (left, right, top, bottom), value=value)

    def slices(self) -> Iterator[tuple[tuple[int, int], list[tuple[int, int, int]]]]:
        """Each place of the window, and start, end and step of its slice along both axes."""
        for place in itertools.product(*(range(k) for k in self.kernel)):
            ends = [
                (i * d, i * d + (count - 1) * s + 1, s)
                for i, d, s, count in zip(
                    place, self.dilation, self.stride, self.counts, strict=True
                )
            ]
            yield (place[0], place[1]), ends

    def taken(self, x: Tensor) -> Iterator[Tensor]:
        for _, ((y0, y1, sy), (x0, x1, sx)) in self.slices():
            yield x[..., y0:y1:sy, x0:x1:sx]

    def shares(self, like: Tensor, include_pad: bool, divisor: int | None) -> Tensor:
        """What each window's sum is divided by: torch leaves out what ceil_mode adds."""
        if divisor is not None:
            return torch.full(self.counts, float(divisor), dtype=like.dtype)
        lengths = []
        for n, k, s, p, count in zip(
            self.size, self.kernel, self.stride, self.padding, self.counts, strict=True
        ):
            starts = [i * s - p for i in range(count)]
            low, high = (None, n + p) if include_pad else (0, n)
            ends = [min(start + k, high) for start in starts]
            lengths.append([
                end - (start if low is None else max(start, low))
                for start, end in zip(starts, ends, strict=True)
            ])  # fmt: skip
        rows, columns = (torch.tensor(v, dtype=like.dtype) for v in lengths)
        return rows[:, None] * columns


def max_pool(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``aten.max_pool2d_with_indices``: the largest of each window, and its place in the input."""
    windows = _Windows(x, kernel, stride, padding, dilation, ceil_mode)
    lowest = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    seen = torch.stack(list(windows.taken(windows.padded(x, lowest))), -1)
    width = windows.size[1]
    starts = [
        torch.arange(count) * s - p
        for count, s, p in zip(windows.counts, windows.stride, windows.padding, strict=True)
    ]
    within = torch.tensor([
        i * windows.dilation[0] * width + j * windows.dilation[1]
        for i, j in itertools.product(*(range(k) for k in windows.kernel))
    ])  # fmt: skip
    corner = starts[0][:, None] * width + starts[1]
    best = seen.argmax(-1)
    return seen.amax(-1), corner + within[best]


def avg_pool(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """``aten.avg_pool2d``."""
    windows = _Windows(x, kernel, stride, padding, (1,), ceil_mode)
    total: Any = sum(windows.taken(windows.padded(x, 0.0)))
    return total / windows.shares(x, count_include_pad, divisor_override)


def avg_pool_backward(
    slope: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    """``aten.avg_pool2d_backward``: each window hands its slope to all of its places."""
    windows = _Windows(x, kernel, stride, padding, (1,), ceil_mode)
    share = slope / windows.shares(x, count_include_pad, divisor_override)
    total = windows.padded(torch.zeros_like(x), 0.0)
    for _, ((y0, y1, sy), (x0, x1, sx)) in windows.slices():
        rows = total[..., y0:y1:sy, :]
        rows = torch.slice_scatter(rows, rows[..., x0:x1:sx] + share, -1, x0, x1, sx)
        total = torch.slice_scatter(total, rows, -2, y0, y1, sy)
    (top, left), (height, width) = windows.padding, windows.size
    return total[..., top : top + height, left : left + width]
