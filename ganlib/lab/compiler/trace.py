"""Recording: a function becomes a graph of ATen operations on tensors of known shapes."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from ganlib.lab.compiler.decompositions import decompositions
from ganlib.lab.compiler.fusion import name_of

# Recording a training step takes seconds; a function that stands in several modules is recorded
# once. A graph does not keep its function alive.
_Recorded = tuple[fx.GraphModule, list[str]]
_RECORDED: weakref.WeakKeyDictionary[Callable[..., Any], dict[Any, _Recorded]]
_RECORDED = weakref.WeakKeyDictionary()


def record(function: Callable[..., Any], examples: list[Tensor]) -> _Recorded:
    known = _RECORDED.setdefault(function, {})
    forms = tuple((tuple(e.shape), e.dtype) for e in examples)
    if forms not in known:
        known[forms] = _trace(function, examples)
    return known[forms]


def _trace(function: Callable[..., Any], examples: list[Tensor]) -> _Recorded:
    outputs: list[str] = []

    def flat(*arguments: Tensor) -> tuple[Tensor, ...]:
        named = _named(function(*arguments))
        outputs[:] = named
        return tuple(named.values())

    # Twice: the recorded graph is plain ATen, from which in-place operations can then be removed.
    recorded = make_fx(flat)(*examples)
    graph = make_fx(functionalize(recorded), decomposition_table=decompositions())(*examples)
    for node in graph.graph.nodes:
        if name_of(node) in _VIEWS and _same_form(node, node.args[0]):
            node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, outputs


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
    names = list(inspect.signature(function).parameters)
    if len(names) < count:
        raise ValueError(f"{count} example arguments for a function of {', '.join(names)}")
    return names[:count]
