"""Matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kernel import Kernel
from ganlib.lab.compiler.kinds import local_type

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer


def matmul(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    bias = arguments["self"] if "mat1" in arguments else None
    a, b = arguments["self" if bias is None else "mat1"], arguments["mat2"]
    if bias is not None and bias.stride(0) != 1:
        bias = writer.settled(bias)
    _product(writer, a, b, result, bias)


def bmm(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    for a, b, c in zip(arguments["self"], arguments["mat2"], result, strict=True):
        _product(writer, a, b, c, None)


def _product(writer: Writer, a: Tensor, b: Tensor, result: Tensor, bias: Tensor | None) -> None:
    (rows, inner), columns = a.shape, b.shape[1]
    program = writer.program
    if result.dtype == torch.float32:
        packed = inner * columns if columns >= 8 and b.stride(1) != 1 else 0
        program.scratch = max(program.scratch, packed + inner)
        given = ["0" if t is None else program.ref(t) for t in (a, b, result, bias)]
        writer.lines.append(
            f"  matmul({rows}, {columns}, {inner}, {given[0]}, {a.stride(0)}, {a.stride(1)}, "
            f"{given[1]}, {b.stride(0)}, {b.stride(1)}, {given[2]}, {given[3]});"
        )
        return
    # Double precision is for small figures: a loop over k for each number of the result.
    shape = (rows, columns, inner)
    left, right = a.unsqueeze(1).expand(shape), b.T.unsqueeze(0).expand(shape)
    kernel = Kernel(writer, shape, [], result.unsqueeze(2).expand(shape), flat=False)
    kind = local_type(result.dtype)
    add = kernel.loop(f"a += {kernel.at(left)} * {kernel.at(right)};", axes=[2])
    start = "0" if bias is None else kernel.at(bias.expand(rows, columns).unsqueeze(2))
    store = f"{kind} a = {start}; {add} {kernel.at(result.unsqueeze(2))} = a;"
    kernel.write(kernel.loop(f"{{ {store} }}", axes=[0, 1]))
