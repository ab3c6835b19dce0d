"""The table of operations that are more than a formula for one element."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ganlib.lab.compiler.arrange import cat, flip, pad, repeat, select_scatter, slice_scatter
from ganlib.lab.compiler.convolution import convolution
from ganlib.lab.compiler.folds import Fold, extreme_place, running, sort
from ganlib.lab.compiler.indexing import gather, index, index_put, index_select, scatter
from ganlib.lab.compiler.products import bmm, matmul
from ganlib.lab.compiler.typed import formula

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer

FOLDS: dict[str, Callable[[Writer, dict[str, Any], Tensor], None]] = {
    "amax": Fold("-INFINITY", "{x} > {a} || {x} != {x} ? {x} : {a}"),
    "amin": Fold("INFINITY", "{x} < {a} || {x} != {x} ? {x} : {a}"),
    "any": Fold("0", "{a} || {x}"),
    "mean": Fold("0", "{a} + {x}", mean=True),
    "prod": Fold("1", "{a} * {x}"),
    "sum": Fold("0", "{a} + {x}"),
}


#: Operations that are more than a formula for one element.
OPERATIONS: dict[str, Callable[..., None]] = {
    **FOLDS,
    "addmm": matmul,
    "argmax": extreme_place(">"),
    "argmin": extreme_place("<"),
    "bmm": bmm,
    "cat": cat,
    "constant_pad_nd": pad,
    "convolution": convolution,
    "cumprod": running("*", 1),
    "cumsum": running("+", 0),
    "flip": flip,
    "ganlib.formula": formula,
    "gather": gather,
    "index": index,
    "index_put": index_put,
    "index_select": index_select,
    "mm": matmul,
    "repeat": repeat,
    "scatter": scatter("="),
    "scatter_add": scatter("+="),
    "select_scatter": select_scatter,
    "slice_scatter": slice_scatter,
    "sort": sort,
}
