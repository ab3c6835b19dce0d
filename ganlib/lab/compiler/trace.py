"""Recording: a function becomes a graph of ATen operations on tensors of known shapes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from ganlib.lab.compiler.blame import place_in
from ganlib.lab.compiler.decompositions import decompositions
from ganlib.lab.compiler.fusion import name_of
from ganlib.lab.compiler.recording import Asked, Refused, recording

Recorded = tuple[fx.GraphModule, list[str]]


def record(function: Callable[..., Any], examples: list[Tensor]) -> Recorded:
    outputs: list[str] = []

    def flat(*arguments: Tensor) -> tuple[Tensor, ...]:
        with recording(arguments):
            named = _named(function(*arguments))
        outputs[:] = named
        return tuple(named.values())

    # Twice: the recorded graph is plain ATen, from which in-place operations can then be removed.
    try:
        recorded = make_fx(flat)(*examples)
    except Exception as stopped:
        raise explained(stopped, function, examples) from stopped
    graph = make_fx(functionalize(recorded), decomposition_table=decompositions())(*examples)
    for node in graph.graph.nodes:
        if name_of(node) in _VIEWS and _same_form(node, node.args[0]):
            node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, outputs


def explained(
    stopped: Exception, function: Callable[..., Any], examples: Sequence[Tensor]
) -> Exception:
    """What to raise where recording stopped: the function's own error as it is, else a refusal."""
    where, line = place_in(stopped, function)
    said = str(stopped).strip().split("\n")[0]
    if isinstance(stopped, Refused) and not isinstance(stopped, Asked):
        return NotImplementedError(f"{said} ({where}: `{line}`)")
    if isinstance(stopped, Asked) or _ASKS.search(str(stopped)):
        return NotImplementedError(
            f"{where} asks for the value of a tensor, which is not known when the function is "
            f"compiled: `{line}`; choose with torch.where(condition, a, b) or lab.choose(number, "
            "[a, b, c]), read at a place with x[k.reshape(1)], and join with torch.stack"
        )
    if device := _ELSEWHERE.search(str(stopped)):
        return NotImplementedError(
            f"{where} uses a tensor on {device[0]}, and functions are compiled on the CPU: "
            f"`{line}`; make it there, with .cpu() or device='cpu'"
        )
    try:
        with recording(examples):
            _named(function(*examples))
    except type(stopped):
        return stopped  # it stops without being recorded, too
    return NotImplementedError(f"{where} cannot be compiled: `{line}` ({said})")


_ASKS = re.compile(r"_local_scalar_dense|data-dependent|value out of a tracing tensor")
_ELSEWHERE = re.compile(r"\b(?:cuda|meta|mps|xpu)(?::\d+)?\b")


# Views that often change nothing; they would part loops that can be one.
_VIEWS = {"alias", "detach", "expand", "view"}


def _same_form(node: fx.Node, source: Any) -> bool:
    new, old = node.meta["val"], source.meta["val"]
    return (new.shape, new.stride(), new.storage_offset()) == (
        old.shape, old.stride(), old.storage_offset())  # fmt: skip


def _named(result: Any) -> dict[str, Tensor]:
    if isinstance(result, Tensor):
        return {"result": result}
    if hasattr(result, "_asdict"):
        result = result._asdict()
    if not isinstance(result, Mapping) or not all(isinstance(v, Tensor) for v in result.values()):
        raise TypeError(
            f"the function returned {type(result).__name__}; return a tensor, or a mapping or "
            "named tuple of tensors, whose names the page then uses"
        )
    return dict(result)


def argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # a function of torch itself, written in C++
        raise ValueError(
            f"{getattr(function, '__name__', function)} does not say what its parameters are "
            "called, and buffers are named after them: wrap it, as in lambda x: ..."
        ) from None
    if len(names) < count:
        raise ValueError(f"{count} example arguments for a function of {', '.join(names)}")
    return names[:count]
