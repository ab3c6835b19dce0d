"""Operations on one element of each operand, as C expressions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# What floats need in more than one expression: torch's own steps, so torch's own bits. {kind} is
# the C type computed in.
_FLOOR_DIVIDE = (  # c10::div_floor_floating
    "({ const {kind} a = {self}, b = {other}, m = fmod(a, b), "
    "q = (a - m) / b - (m != 0 && (b < 0) != (m < 0)), w = floor(q); "
    "b == 0 ? a / b : q == 0 ? copysign(({kind})0, a / b) : w + (q - w > 0.5f); })"
)
# What an operation computes from one element of each operand. Braces hold the names of the
# operation's own arguments (torch's schema); numbers are written in as literals. NaN passes
# through every comparison as it does in torch.
POINTWISE: dict[str, str] = {
    "abs": "fabs({self})",
    "acos": "acos({self})",
    "acosh": "{self} < 1 ? NAN : acosh({self})",
    "add": "{self} + {alpha} * {other}",
    "asin": "asin({self})",
    "asinh": "asinh({self})",
    "atan": "atan({self})",
    "atan2": "atan2({self}, {other})",
    "atanh": "atanh({self})",
    "bitwise_and": "{self} & {other}",
    "bitwise_not": "!{self}",
    "bitwise_or": "{self} | {other}",
    "bitwise_xor": "{self} ^ {other}",
    "ceil": "ceil({self})",
    "clone": "{self}",
    "cos": "cos({self})",
    "cosh": "cosh({self})",
    "div": "{self} / {other}",
    "eq": "{self} == {other}",
    "erf": "erf({self})",
    "erfc": "erfc({self})",
    "exp": "exp({self})",
    "exp2": "exp2({self})",
    "expm1": "expm1({self})",
    "floor": "floor({self})",
    "floor_divide": _FLOOR_DIVIDE,
    "fmax": "{self} > {other} || {other} != {other} ? {self} : {other}",
    "fmin": "{self} < {other} || {other} != {other} ? {self} : {other}",
    "fmod": "fmod({self}, {other})",
    "hypot": "hypot({self}, {other})",
    "ge": "{self} >= {other}",
    "gt": "{self} > {other}",
    "isinf": "isinf({self})",
    "isnan": "{self} != {self}",
    "lgamma": "lgamma({self})",
    "le": "{self} <= {other}",
    "leaky_relu": "{self} > 0 ? {self} : {self} * {negative_slope}",
    "leaky_relu_backward": "{self} > 0 ? {grad_output} : {grad_output} * {negative_slope}",
    "log": "log({self})",
    "log10": "log10({self})",
    "log1p": "log1p({self})",
    "log2": "log2({self})",
    "logical_and": "{self} && {other}",
    "logical_not": "!{self}",
    "logical_or": "{self} || {other}",
    "lt": "{self} < {other}",
    "maximum": "{self} > {other} || {self} != {self} ? {self} : {other}",
    "minimum": "{self} < {other} || {self} != {self} ? {self} : {other}",
    "mul": "{self} * {other}",
    "ne": "{self} != {other}",
    "neg": "-{self}",
    "pow": "pow({self}, {exponent})",
    "reciprocal": "1 / {self}",
    "relu": "{self} < 0 ? 0 : {self}",
    "remainder": (
        "({ const {kind} b = {other}, m = fmod({self}, b); "
        "m != 0 && (b < 0) != (m < 0) ? m + b : m; })"
    ),
    "round": "rint({self})",
    "rsqrt": "1 / sqrt({self})",
    "sigmoid": "1 / (1 + exp(-{self}))",
    "sigmoid_backward": "{grad_output} * ({output} * (1 - {output}))",
    "sign": "({self} > 0) - ({self} < 0)",
    "sin": "sin({self})",
    "sinh": "sinh({self})",
    "sqrt": "sqrt({self})",
    "sub": "{self} - {alpha} * {other}",
    "tan": "tan({self})",
    "tanh": "tanh({self})",
    "tanh_backward": "{grad_output} * (1 - {output} * {output})",
    "trunc": "trunc({self})",
    "trunc_divide": "trunc({self} / {other})",
    "where": "{condition} ? {self} : {other}",
    "_to_copy": "{self}",
}
# Where elements are integers. quotient and rest are in helpers.py; no way leads through double.
_INTEGERS: dict[str, str] = {
    "abs": "{self} < 0 ? -{self} : {self}",
    "bitwise_not": "~{self}",
    "ceil": "{self}",
    "floor": "{self}",
    "floor_divide": (
        "({ const {kind} a = {self}, b = {other}, q = quotient(a, b); "
        "q - (rest(a, b) != 0 && (a < 0) != (b < 0)); })"
    ),
    "fmod": "rest({self}, {other})",
    "pow": "power({self}, {exponent})",
    "remainder": (
        "({ const {kind} b = {other}, m = rest({self}, b); m && (b < 0) != (m < 0) ? m + b : m; })"
    ),
    "round": "{self}",
    "trunc": "{self}",
    "trunc_divide": "quotient({self}, {other})",
}
# Sharper C for exponents that occur all the time; pow is slow.
_POWERS = {0.5: "sqrt({self})", 1: "{self}", 2: "{self} * {self}", -1: "1 / {self}"}
COMPARISONS = {
    "eq", "ge", "gt", "le", "lt", "ne", "isinf", "isnan", "logical_and", "logical_not",
}  # fmt: skip

#: Operations worth a branch: where ``where`` does not take their value, they are not computed.
EXPENSIVE = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "erf", "erfc", "exp",
    "exp2", "expm1", "lgamma", "log", "log10", "log1p", "log2", "pow", "sigmoid", "sin", "sinh",
    "tan", "tanh",
}  # fmt: skip

# Arguments that ask for a place in memory or a kind of number: the result has both already.
_OF_THE_RESULT = {
    "device", "dtype", "implicit", "layout", "memory_format", "non_blocking", "pin_memory",
    "self_is_result",
}  # fmt: skip


def template_of(operation: str, arguments: dict[str, Any], dtype: torch.dtype) -> str | None:
    """The C of one element of a result of this dtype, or None if there is none."""
    whole = not dtype.is_floating_point and dtype != torch.bool
    exponent = arguments.get("exponent")
    if operation == "pow" and isinstance(exponent, (int, float)) and exponent in _POWERS:
        return _POWERS[exponent]
    if operation in ("clamp", "clamp_min", "clamp_max"):
        return _clamp(arguments)
    if operation in _FILLS:
        return _FILLS[operation]
    if operation == "div" and arguments.get("rounding_mode") is not None:
        operation = f"{arguments['rounding_mode']}_divide"
    template = (_INTEGERS.get(operation) if whole else None) or POINTWISE.get(operation)
    if template is None:
        return None
    used = {k for k in arguments if f"{{{k}}}" in template} | _OF_THE_RESULT
    asked = {k for k, v in arguments.items() if v is not None and k not in used}
    return None if asked - {"rounding_mode"} else template  # no argument is left out in silence


_FILLS = {
    "copy": "{src}",
    "fill": "{value}",
    "full_like": "{fill_value}",
    "ones_like": "1",
    "zeros_like": "0",
}


def _clamp(arguments: dict[str, Any]) -> str:
    value = "{self}"
    for bound, beyond in (("min", "<"), ("max", ">")):
        given = arguments.get(bound)
        if given is None:
            continue
        test = f"{value} {beyond} {{{bound}}}"
        if given.is_floating_point() if isinstance(given, Tensor) else given != given:
            test += f" || {{{bound}}} != {{{bound}}}"  # a bound that is NaN makes NaN
        value = f"({test} ? {{{bound}}} : {value})"
    return value
