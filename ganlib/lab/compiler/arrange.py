"""Joining, repeating and turning over: elements move, none is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kernel import Kernel

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer


def cat(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    dim, start = arguments["dim"], 0
    for part in arguments["tensors"]:
        if part.numel() == 0:
            continue
        writer.assign(result.narrow(dim, start, part.shape[dim]), part)
        start += part.shape[dim]


def select_scatter(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    writer.assign(result, arguments["self"])
    writer.assign(result.select(arguments["dim"], arguments["index"]), arguments["src"])


def slice_scatter(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    writer.assign(result, arguments["self"])
    start, end, step = arguments["start"], arguments["end"], arguments["step"]
    view = torch.ops.aten.slice.Tensor(result, arguments["dim"], start, end, step)
    writer.assign(view, arguments["src"])


def pad(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x, pads = arguments["self"], arguments["pad"]
    writer.assign(result, writer.embed(torch.full_like(result, arguments["value"])))
    target = result
    for i in range(len(pads) // 2):  # from the last axis; a negative pad cuts
        axis, (low, high) = x.ndim - 1 - i, pads[2 * i : 2 * i + 2]
        x = x.narrow(axis, max(-low, 0), x.shape[axis] + min(low, 0) + min(high, 0))
        target = target.narrow(axis, max(low, 0), x.shape[axis])
    writer.assign(target, x)


def repeat(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    x = x.reshape([1] * (result.ndim - x.ndim) + list(x.shape))
    split = [n for size in zip(arguments["repeats"], x.shape, strict=True) for n in size]
    strides = [s for stride in x.stride() for s in (0, stride)]
    writer.assign(result.view(split), x.as_strided(split, strides, x.storage_offset()))


def flip(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    flipped = {d % x.ndim for d in arguments["dims"]} if x.ndim else set()
    kernel = Kernel(writer, x.shape, [], result, flat=False)
    last = sum((x.shape[d] - 1) * x.stride(d) for d in flipped)
    strides = [-s if d in flipped else s for d, s in enumerate(x.stride())]
    terms = [f"i{d} * {s}" for d, s in enumerate(strides) if x.shape[d] > 1]
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{' + '.join([str(last), *terms])}];")
