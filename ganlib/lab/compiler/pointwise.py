"""Operations on one element of each operand, as C expressions."""

from __future__ import annotations

from typing import Any

# What an operation computes from one element of each operand. Braces hold the names of the
# operation's own arguments (torch's schema); numbers are written in as literals. NaN passes
# through every comparison as it does in torch.
POINTWISE: dict[str, str] = {
    "abs": "fabs({self})",
    "acos": "acos({self})",
    "add": "{self} + {alpha} * {other}",
    "asin": "asin({self})",
    "atan": "atan({self})",
    "atan2": "atan2({self}, {other})",
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
    "expm1": "expm1({self})",
    "floor": "floor({self})",
    "fmod": "fmod({self}, {other})",
    "hypot": "hypot({self}, {other})",
    "ge": "{self} >= {other}",
    "gt": "{self} > {other}",
    "isnan": "{self} != {self}",
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
    "relu": "{self} <= 0 ? 0 : {self}",
    "remainder": (
        "fmod({self}, {other}) + "
        "(fmod({self}, {other}) != 0 && ({other} < 0) != (fmod({self}, {other}) < 0) ? {other} : 0)"
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
    "where": "{condition} ? {self} : {other}",
    "_to_copy": "{self}",
}
# Sharper C for exponents that occur all the time; pow is slow.
_POWERS = {0.5: "sqrt({self})", 1: "{self}", 2: "{self} * {self}", -1: "1 / {self}"}
COMPARISONS = {"eq", "ge", "gt", "le", "lt", "ne", "isnan", "logical_and", "logical_not"}


#: Operations worth a branch: where ``where`` does not take their value, they are not computed.
EXPENSIVE = {
    "acos", "asin", "atan", "atan2", "cos", "cosh", "erf", "erfc", "exp", "expm1", "log", "log10",
    "log1p", "log2", "pow", "sigmoid", "sin", "sinh", "tan", "tanh",
}  # fmt: skip


def template_of(operation: str, arguments: dict[str, Any]) -> str | None:
    if operation == "pow" and isinstance(arguments["exponent"], (int, float)):
        return _POWERS.get(arguments["exponent"], POINTWISE["pow"])
    if operation in ("clamp", "clamp_min", "clamp_max"):
        value = "{self}"
        if arguments.get("min") is not None:
            value = f"({value} < {{min}} ? {{min}} : {value})"
        if arguments.get("max") is not None:
            value = f"({value} > {{max}} ? {{max}} : {value})"
        return value
    if operation in ("zeros_like", "ones_like", "full_like", "fill"):
        return {"zeros_like": "0", "ones_like": "1", "full_like": "{fill_value}"}.get(
            operation, "{value}"
        )
    if arguments.get("rounding_mode") is not None:
        return {"floor": "floor({self} / {other})", "trunc": "trunc({self} / {other})"}[
            arguments["rounding_mode"]
        ]
    if operation == "copy":
        return "{src}"
    return POINTWISE.get(operation)
