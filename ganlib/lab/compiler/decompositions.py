"""Operations that are recorded as simpler ones."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

from ganlib.lab.compiler.convolution import backward
from ganlib.lab.compiler.windows import avg_pool, avg_pool_backward, max_pool


@functools.cache
def decompositions() -> dict[Any, Any]:
    aten = torch.ops.aten
    table: dict[Any, Any] = dict(core_aten_decompositions())
    for compiled in (aten.leaky_relu_backward, aten.tanh_backward, aten.sigmoid_backward):
        table.pop(compiled.default, None)  # POINTWISE has them: one loop in place of several
    table |= get_decompositions(
        [aten._softmax, aten._log_softmax, aten.elu, aten.gelu, aten.gelu_backward, aten.hardtanh]
    )
    table |= get_decompositions([
        aten.native_layer_norm, aten.native_group_norm, aten.native_batch_norm, aten._softmax,
        aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training,
        aten.max_pool2d_with_indices_backward, aten.upsample_nearest1d, aten.upsample_nearest2d,
        aten.copysign, aten.glu, aten.hardswish,
    ])  # fmt: skip
    table[aten.max.default] = lambda x: x.amax()
    table[aten.min.default] = lambda x: x.amin()
    table[aten.convolution_backward.default] = backward
    table[aten.max_pool2d_with_indices.default] = max_pool
    table[aten.avg_pool2d.default] = avg_pool
    table[aten.avg_pool2d_backward.default] = avg_pool_backward
    table[aten.embedding.default] = _embedding
    table[aten.round.decimals] = _round
    table[aten.linalg_vector_norm.default] = _vector_norm
    table[aten.var.correction] = lambda x, *given, **options: _var_mean(x, *given, **options)[0]
    table[aten.var_mean.correction] = _var_mean
    table[aten.addmm.default] = _addmm
    table[aten.max.dim] = lambda x, dim, keepdim=False: (
        x.amax(dim, keepdim),
        x.argmax(dim, keepdim),
    )
    table[aten.min.dim] = lambda x, dim, keepdim=False: (
        x.amin(dim, keepdim),
        x.argmin(dim, keepdim),
    )
    table[aten.topk.default] = _topk
    table[aten._cdist_forward.default] = _cdist
    return table


def _embedding(weight: Tensor, index: Tensor, *_: Any) -> Tensor:
    return weight.index_select(0, index.reshape(-1)).reshape(*index.shape, weight.shape[1])


def _round(x: Tensor, decimals: int) -> Tensor:
    power = 10.0 ** abs(decimals)
    return (x * power).round() / power if decimals >= 0 else (x / power).round() * power


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if bias.ndim == 1 and bias.shape[0] == b.shape[1] and beta == alpha == 1:
        return NotImplemented  # the compiled product has a place for such a bias
    return beta * bias + alpha * (a @ b)


def _var_mean(
    x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = list(range(x.ndim)) if dim is None else dim
    mean = x.mean(axes, keepdim=True)
    count = math.prod(x.shape[d] for d in axes) - (1 if correction is None else correction)
    var = (x - mean).square().sum(axes, keepdim) / max(count, 0)
    return var, mean if keepdim else mean.squeeze(axes)


def _topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    values, places = x.sort(dim, descending=largest)
    return values.narrow(dim, 0, k), places.narrow(dim, 0, k)


def _cdist(x: Tensor, y: Tensor, p: float, compute_mode: int | None) -> Any:
    if p != 2:
        return NotImplemented
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


def _vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    if ord != 2 or dtype is not None:
        return NotImplemented
    axes = list(range(x.ndim)) if dim is None else dim
    return (x * x).sum(axes, keepdim).sqrt()
