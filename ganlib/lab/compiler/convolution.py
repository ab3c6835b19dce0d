"""Convolutions and transposed ones, by a loop nest whose inner loop runs along a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kinds import C_TYPE

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer

# For each picture, pair of channels and place (v, u) of the filter: the part of each row that the
# place reaches is added in one go. A transposed convolution goes the same ways backwards.
_LOOPS = """\
(int N, int G, int C, int O, int H, int W, int Y, int X, int V, int U, int sy, int sx, int py,
 int px, int dy, int dx, const KIND *restrict in, const KIND *restrict w,
 const KIND *restrict bias, KIND *restrict out) {
  for (int n = 0; n < N * O; n++)
    for (int i = 0; i < Y * X; i++) out[n * Y * X + i] = bias ? bias[n % O] : 0;
  const int c1 = C / G, o1 = O / G;
  for (int n = 0; n < N; n++)
    for (int g = 0; g < G; g++)
      for (int o = 0; o < o1; o++)
        for (int c = 0; c < c1; c++)
          for (int v = 0; v < V; v++)
            for (int u = 0; u < U; u++) {
              const KIND f = w[(WEIGHT) * V * U + v * U + u];
              const KIND *from = in + (n * C + g * c1 + c) * H * W;
              KIND *to = out + (n * O + g * o1 + o) * Y * X;
              const int a = v * dy - py, b = u * dx - px;
              // The shorter grid's place y meets the longer one's place y * sy + a.
              int first = b < 0 ? (-b + sx - 1) / sx : 0, last = (LONG_X - 1 - b) / sx;
              if (b > LONG_X - 1) last = -1;
              if (last > SHORT_X - 1) last = SHORT_X - 1;
              for (int y = 0; y < SHORT_Y; y++) {
                const int t = y * sy + a;
                if (t < 0 || t >= LONG_Y) continue;
                ROW
              }
            }
}
"""
_EACH = "for (int x = first; x <= last; x++)"
_ROW = {  # a stride of 1 apart, because then the loop is turned into lanes
    False: f"if (sx == 1) {_EACH} to[y * X + x] += f * from[t * W + x + b];"
    f" else {_EACH} to[y * X + x] += f * from[t * W + x * sx + b];",
    True: f"if (sx == 1) {_EACH} to[t * X + x + b] += f * from[y * W + x];"
    f" else {_EACH} to[t * X + x * sx + b] += f * from[y * W + x];",
}


def convolution(writer: Writer, arguments: dict[str, Any], result: Tensor) -> None:
    """One or two axes, any stride, padding, dilation and groups."""
    axes = result.ndim - 2
    if axes not in (1, 2):
        raise writer.refusal(f"over {axes} axes is not compiled; one or two can be used")
    transposed, groups = arguments["transposed"], arguments["groups"]
    x, weight, bias = arguments["input"], arguments["weight"], arguments["bias"]
    x, weight = writer.settled(x), writer.settled(weight)
    bias = None if bias is None else writer.settled(bias)

    def two(values: Any, first: int) -> list[int]:
        return [*[first] * (2 - len(values)), *values]

    sizes = [two(t.shape[2:], 1) for t in (x, result, weight)]
    ways = [two(arguments[k], d) for k, d in (("stride", 1), ("padding", 0), ("dilation", 1))]
    grids = ("Y", "H", "X", "W") if not transposed else ("H", "Y", "W", "X")
    place = "(g * o1 + o) * c1 + c" if not transposed else "(g * c1 + c) * o1 + o"
    text = _LOOPS.replace("ROW", _ROW[transposed]).replace("WEIGHT", place)
    for word, grid in zip(("SHORT_Y", "LONG_Y", "SHORT_X", "LONG_X"), grids, strict=True):
        text = text.replace(word, grid)
    text = text.replace("KIND", C_TYPE[result.dtype])
    kernels = writer.program.kernels
    name = kernels.setdefault(text, f"k{len(kernels)}")
    if writer.name not in writer.program.seldom:
        writer.program.fast.add(name)
    numbers = [x.shape[0], groups, x.shape[1], result.shape[1], *(n for s in sizes for n in s)]
    numbers += [n for way in ways for n in way]
    given = ["0" if t is None else writer.program.ref(t) for t in (x, weight, bias, result)]
    writer.lines.append(f"  {name}({', '.join([*map(str, numbers), *given])});")


def backward(
    slope: Tensor, x: Tensor, weight: Tensor, bias_sizes: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int, wanted: Any,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The slopes of a convolution, which are convolutions: of input, weight and bias."""
    convolve = torch.ops.aten.convolution.default
    axes = list(range(2, x.ndim))
    none = [0] * len(axes)
    of_x = of_weight = of_bias = None
    if wanted[0] and transposed:
        of_x = convolve(slope, weight, None, stride, padding, dilation, False, none, groups)
    elif wanted[0]:
        left = [
            x.shape[2 + i]
            - ((slope.shape[2 + i] - 1) * stride[i] - 2 * padding[i]
               + dilation[i] * (weight.shape[2 + i] - 1) + 1)
            for i in range(len(axes))
        ]  # fmt: skip
        of_x = convolve(slope, weight, None, stride, padding, dilation, True, left, groups)
    if wanted[1]:
        # The filter's slope is the correlation of what is long with what is short.
        long, short = (slope, x) if transposed else (x, slope)
        parts = []
        for a, b in zip(long.chunk(groups, 1), short.chunk(groups, 1), strict=True):
            part = convolve(
                a.transpose(0, 1),
                b.transpose(0, 1),
                None,
                dilation,
                padding,
                stride,
                False,
                none,
                1,
            ).transpose(0, 1)
            for axis in axes:
                part = part.narrow(axis, 0, weight.shape[axis])
            parts.append(part)
        of_weight = torch.cat(parts, 0)
    if wanted[2]:
        of_bias = slope.sum([0, *axes])
    return of_x, of_weight, of_bias
