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
        whole = int(value) if math.isfinite(value) else 0
        return "INT64_MIN" if whole == -(2**63) else str(whole)
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    if dtype == torch.float64:
        return repr(float(value))
    wide = torch.tensor(float(value), dtype=torch.float64)
    single = wide.float()
    if not torch.isfinite(single):
        return literal(single.item(), dtype)
    # The double's shortest digits: C rounds them to torch's float, except from half way between.
    next_one = torch.nextafter(single, torch.where(wide > single, math.inf, -math.inf))
    half_way = wide != single and wide - single == next_one.double() - wide
    return f"{(single if half_way else wide).item()!r}f"


def kinds() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in C_TYPE)
