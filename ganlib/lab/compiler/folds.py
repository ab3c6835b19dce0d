"""Sums, products, extremes and their like over axes, and what runs along one axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kernel import LONG, Kernel
from ganlib.lab.compiler.kinds import C_TYPE, local_type

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer

_ENDS = {
    torch.int64: ("INT64_MIN", "INT64_MAX"),
    torch.int32: ("INT32_MIN", "INT32_MAX"),
    torch.bool: ("0", "1"),
}


@dataclass(frozen=True)
class Fold:
    """Loops that fold ``update`` (of accumulator {a} and element {x}) over some axes."""

    start: str
    update: str
    mean: bool = False

    def __call__(self, writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
        x, dims = arguments["self"], arguments.get("dim")
        axes = range(x.ndim) if dims is None or dims == [] else (
            [dims] if isinstance(dims, int) else dims)  # fmt: skip
        folded = {d % x.ndim for d in axes} if x.ndim else set()
        kind = local_type(result.dtype)
        start = self.start
        if "INFINITY" in start and not result.is_floating_point():
            lowest, highest = _ENDS[result.dtype]
            start = lowest if start.startswith("-") else highest
        if result.numel() == 1:  # one number: the sum of many is kept in double
            kernel = Kernel(writer, x.shape, [x], result)
            wide = "double" if result.is_floating_point() else kind
            update = self.update.format(a="a", x=kernel.element(x, result.dtype))
            loop = kernel.loop(kernel.turn(f"a = {update};"))
            over = f" / {x.numel()}" if self.mean else ""
            kernel.write(f"{wide} a = {start}; {loop} {kernel.target}[0] = a{over};")
            return
        kept = [n for d, n in enumerate(x.shape) if d not in folded]
        strides = list(torch.empty(kept, device="meta").stride())
        strides = [0 if d in folded else strides.pop(0) for d in range(x.ndim)]
        place = result.as_strided(x.shape, strides)
        kernel = Kernel(writer, x.shape, [x], place, flat=False)
        terms = math.prod(x.shape[d] for d in folded)
        if terms >= LONG and result.is_floating_point():
            over = f" / {terms}" if self.mean else ""
            update = self.update.format(a="a", x=kernel.element(x, result.dtype))
            loop = kernel.loop(kernel.turn(f"a = {update};"), axes=sorted(folded))
            each = f"{{ double a = {start}; {loop} {kernel.at(place)} = a{over}; }}"
            kernel.write(kernel.loop(each, axes=[d for d in range(x.ndim) if d not in folded]))
            return
        count = kernel.bound(result.numel())
        each = f"for (int i = 0; i < {count}; i++) {kernel.target}[i]"
        update = self.update.format(a=kernel.at(place), x=kernel.element(x, result.dtype))
        loop = kernel.loop(kernel.turn(f"{kernel.at(place)} = {update};"))
        over = f"\n  {each} /= {terms};" if self.mean else ""
        kernel.write(f"{each} = {start};\n  {loop}{over}")


def along(writer: Writer, x: Tensor, dim: int, target: Tensor) -> tuple[Kernel, int, str, str]:
    """A loop nest for what runs along one axis: the kernel, the axis, x[j] and target[j] in C."""
    if x.ndim == 0:
        x, target, dim = x.reshape(1), target.reshape(1), 0
    dim %= x.ndim
    kernel = Kernel(writer, x.shape, [], target, flat=False)
    read, written = (
        f"{kernel.at(t, but=dim)[:-1]} + {{j}} * {t.stride(dim)}]" for t in (x, target)
    )
    return kernel, dim, read, written


def running(sign: str, start: int) -> Callable[..., None]:
    """Sums or products of all elements up to each."""

    def write(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
        kernel, dim, x, out = along(writer, arguments["self"], arguments["dim"], result)
        add = f"a {sign}= {x}, {out} = a;".format(j="j")
        count = kernel.bound(kernel.shape[dim])
        kind = "double" if result.is_floating_point() else C_TYPE[result.dtype]  # as in torch
        turn = f"{{ {kind} a = {start}; for (int j = 0; j < {count}; j++) {add} }}"
        kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))

    return write


def extreme_place(better: str) -> Callable[..., None]:
    """Where an axis has its first largest or smallest element; NaN counts as such, as in torch."""

    def write(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
        x, dim = arguments["self"], arguments["dim"]
        if dim is None:
            x, dim = writer.settled(x).reshape(-1), 0
        dim = dim % x.ndim if x.ndim else 0
        spread = result if arguments["keepdim"] and x.ndim else result.unsqueeze(dim)
        if arguments["dim"] is None:
            spread = result.reshape(1)
        kernel, dim, at, out = along(writer, x, dim, spread.expand(x.shape or (1,)))
        best, new = at.format(j="best"), at.format(j="j")
        test = f"{best} == {best} && ({new} {better} {best} || {new} != {new})"
        count = kernel.bound(kernel.shape[dim])
        turn = (
            f"{{ int best = 0; for (int j = 1; j < {count}; j++) if ({test}) best = j; "
            f"{out.format(j='0')} = best; }}"
        )
        kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))

    return write


_LONGEST_SORT = 4096


def sort(writer: Writer, arguments: dict[str, Any], values: Tensor, places: Tensor) -> None:
    """Insertion, which is stable, and fast enough for what a figure shows; NaN goes last."""
    x = arguments["self"]
    length = x.shape[arguments["dim"]] if x.ndim else 1
    if length > _LONGEST_SORT:
        raise writer.refusal(f"of {length} elements is slow here; sort at most {_LONGEST_SORT}")
    kernel, dim, at, out = along(writer, x, arguments["dim"], values)
    target = places if x.ndim else places.reshape(1)
    where = kernel.pointer(target, written=True)
    index = f"{where}[{kernel.offset(target, but=dim)} + {{j}} * {target.stride(dim)}]"
    before = "x < {v} || ({v} != {v} && x == x)"
    if arguments["descending"]:
        before = "x > {v} || (x != x && {v} == {v})"
    test = before.format(v=out.format(j="(j - 1)"))
    count = kernel.bound(length)
    turn = (
        f"for (int n = 0; n < {count}; n++) {{ const {C_TYPE[x.dtype]} x = {at.format(j='n')}; "
        f"int j = n; for (; j > 0 && ({test}); j--) {out.format(j='j')} = "
        f"{out.format(j='(j - 1)')}, {index.format(j='j')} = {index.format(j='(j - 1)')}; "
        f"{out.format(j='j')} = x, {index.format(j='j')} = n; }}"
    )
    kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))
