"""Reading and writing at places that tensors of indices hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kernel import Kernel

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer


def inside(index: str, length: int, *, negative: bool = False) -> str:
    """An index from a tensor, ``negative`` from the end where torch counts so; else it stops."""
    return f"{'from_end' if negative else 'place'}({index}, {length})"


def gather(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x, index = arguments["self"], arguments["index"]
    if result.ndim == 0:
        writer.assign(result, x.reshape(()))
        return
    dim = arguments["dim"] % result.ndim
    kernel = Kernel(writer, result.shape, [index], result, flat=False)
    strides = [0 if d == dim else stride for d, stride in enumerate(x.stride())]
    start = kernel.offset(x.as_strided(result.shape, strides))
    place = f"{start} + {inside(kernel.element(index), x.shape[dim])} * {x.stride(dim)}"
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{place}];")


def index_select(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    dim = arguments["dim"] % max(result.ndim, 1)
    shape = [1] * result.ndim
    if result.ndim:
        shape[dim] = -1
    index = arguments["index"].reshape(shape).expand(result.shape)
    gather(writer, {**arguments, "dim": dim, "index": index}, result)


def _indexed(
    writer: Writer, x: Tensor, indices: Sequence[Tensor | None]
) -> Callable[[Sequence[int]], tuple[list[Tensor], Callable[[Kernel], str]]]:
    """For x[indices] of some shape: the index tensors so spread, and the offset in x in C."""
    indices = [*indices, *[None] * (x.ndim - len(indices))]
    used = [(d, index) for d, index in enumerate(indices) if index is not None]
    if any(index.dtype == torch.bool for _, index in used):
        raise writer.refusal("by a mask has a size that depends on values; use torch.where")
    together = torch.broadcast_tensors(*(index for _, index in used))
    # The indexed axes stand where the first was, or in front if they are not neighbours.
    first, last = used[0][0], used[-1][0]
    front = first if last - first == len(used) - 1 else 0
    rest = [d for d in range(x.ndim) if indices[d] is None]
    axes = [*rest[:front], *[None] * together[0].ndim, *rest[front:]]
    strides = [0 if d is None else x.stride(d) for d in axes]

    def spread(shape: Sequence[int]) -> tuple[list[Tensor], Callable[[Kernel], str]]:
        own = [n if d is None else 1 for d, n in zip(axes, shape, strict=True)]
        places = [index.reshape(own).expand(shape) for index in together]

        def offset(kernel: Kernel) -> str:
            terms = [kernel.offset(x.as_strided(shape, strides))]
            for (d, _), place in zip(used, places, strict=True):
                index = inside(kernel.element(place), x.shape[d], negative=True)
                terms.append(f"{index} * {x.stride(d)}")
            return " + ".join(terms)

        return places, offset

    return spread


def index(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    places, offset = _indexed(writer, x, arguments["indices"])(result.shape)
    kernel = Kernel(writer, result.shape, places, result, flat=False)
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{offset(kernel)}];")


def index_put(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    indices, values = arguments["indices"], arguments["values"]
    writer.assign(result, arguments["self"])
    spread = _indexed(writer, result, indices)
    shape = result[tuple(slice(None) if i is None else i for i in indices)].shape
    places, offset = spread(shape)
    values = values.expand(shape)
    kernel = Kernel(writer, shape, [*places, values], result, flat=False)
    sign = "+=" if arguments["accumulate"] else "="
    kernel.body(f"{kernel.target}[{offset(kernel)}] {sign} {kernel.element(values)};")


def scatter(sign: str) -> Callable[..., None]:
    def write(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
        index, source = arguments["index"], arguments.get("src")
        writer.assign(result, arguments["self"])
        if result.ndim == 0:
            raise writer.refusal("of one number is not compiled; add it")
        if arguments.get("reduce") is not None:
            raise writer.refusal("with reduce is not compiled; use scatter_add")
        dim = arguments["dim"] % result.ndim
        if source is None:
            source = torch.tensor(arguments["value"], dtype=result.dtype)
            source = writer.embed(source)
        source = source.as_strided(index.shape, source.stride()) if source.ndim else source
        operands = [index, source.expand(index.shape)]
        kernel = Kernel(writer, index.shape, operands, result, flat=False)
        strides = [0 if d == dim else stride for d, stride in enumerate(result.stride())]
        start = kernel.offset(result.as_strided(index.shape, strides))
        place = inside(kernel.element(index), result.shape[dim])
        value = kernel.element(operands[1])
        kernel.body(f"{kernel.target}[{start} + {place} * {result.stride(dim)}] {sign} {value};")

    return write
