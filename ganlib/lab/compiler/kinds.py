"""Torch's kinds of numbers in C."""

from __future__ import annotations

import math

import torch

C_TYPE = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.bool: "uint8_t",
}


def local_type(dtype: torch.dtype) -> str:
    return "_Bool" if dtype == torch.bool else C_TYPE[dtype]


def literal(value: float, dtype: torch.dtype) -> str:
    if not dtype.is_floating_point:
        return str(int(value)) if math.isfinite(value) else "0"
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{float(value)!r}{'f' if dtype == torch.float32 else ''}"


def kinds() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in C_TYPE)
