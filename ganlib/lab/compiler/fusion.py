"""Which operations of a graph can be computed in the loop of their users."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from ganlib.lab.compiler.operations import FOLDS, OPERATIONS
from ganlib.lab.compiler.pointwise import template_of


def name_of(node: fx.Node) -> str:
    return str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.")


def constant_nodes(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on no argument."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "get_attr" or (
            node.op == "call_function" and all(n in found for n in node.all_input_nodes)
        ):
            found.add(node)
    return found


def fusible(graph: fx.Graph, constants: set[fx.Node]) -> set[fx.Node]:
    """The pointwise nodes whose users all stand in one loop nest over the node's own shape."""
    loops: dict[fx.Node, fx.Node] = {}  # node -> the node whose loop computes it
    fused: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        loops[node] = node
        if node in constants or not is_pointwise(node):
            continue
        roots = {loops[user] for user in node.users}
        if len(roots) == 1 and all(_takes_in(user, node) for user in node.users):
            fused.add(node)
            (root,) = roots
            loops[node] = node if name_of(root) == "cat" else root
    return fused


def is_pointwise(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    if node.target is operator.getitem or not isinstance(node.meta.get("val"), Tensor):
        return False
    operation, value = name_of(node), node.meta["val"]
    return operation not in OPERATIONS and bool(
        template_of(operation, bound_arguments(node.target, node.args, node.kwargs), value.dtype)
    )


def _takes_in(user: fx.Node, node: fx.Node) -> bool:
    """Whether the loop of ``user`` can compute ``node``: it turns over the same shape."""
    if name_of(user) == "cat":
        parts: Any = user.args[0]
        return parts.count(node) == 1
    if name_of(user) in FOLDS:
        return True
    return is_pointwise(user) and user.meta["val"].shape == node.meta["val"].shape


def bound_arguments(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of its schema, defaults filled in."""
    bound = {}
    for i, argument in enumerate(target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        bound[argument.name] = args[i] if i < len(args) else kwargs.get(argument.name, default)
    return bound
