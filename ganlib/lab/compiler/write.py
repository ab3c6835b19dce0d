"""Writing: a graph is run on its example tensors, and each operation leaves its C."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from ganlib.lab.compiler.arrange import cat
from ganlib.lab.compiler.blame import blamed
from ganlib.lab.compiler.fusion import bound_arguments, constant_nodes, fusible, name_of
from ganlib.lab.compiler.kernel import Kernel, Pointwise, same_place, storage
from ganlib.lab.compiler.kinds import C_TYPE, kinds, literal
from ganlib.lab.compiler.operations import OPERATIONS
from ganlib.lab.compiler.pointwise import template_of

if TYPE_CHECKING:
    from ganlib.lab.compiler.program import Program


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether all are the same numbers, to the sign of zero."""
    return bool(((a == b) & (a.signbit() == b.signbit())).all())


def _has_dtype(dtype: torch.dtype, tensor: Tensor) -> bool:
    return tensor.dtype == dtype


_COUNT = "compare with all edges and count"
#: What to write in place of an operation that has no loop here.
_INSTEAD = {
    "bincount": "compare with all values and count: (x == torch.arange(n)[:, None]).sum(1)",
    "bucketize": f"{_COUNT}: (x[:, None] > edges).sum(1)",
    "histc": f"{_COUNT}: ((x >= low[:, None]) & (x < high[:, None])).sum(1)",
    "kthvalue": "sort, and take the k-th: x.sort().values[k - 1]",
    "masked_select": "its size depends on values: torch.where(mask, x, 0)",
    "median": "sort, and take the middle: x.sort().values[(len(x) - 1) // 2]",
    "nonzero": "its size depends on values: torch.where(mask, x, 0)",
    "searchsorted": f"{_COUNT}: (x[:, None] > edges).sum(1)",
}


def _finds_right(node: fx.Node) -> bool:
    """Whether a search counts the edges that equal a value."""
    arguments = bound_arguments(node.target, node.args, node.kwargs)
    return bool(arguments.get("right")) or arguments.get("side") == "right"


class Writer(fx.Interpreter):
    """Runs a graph on the example tensors and writes the C of each operation as it goes.

    A result that shares its storage with a known array is a view: torch has done the strides.
    A pointwise result whose users all stand in one loop over the same shape is never stored: it
    becomes a local variable of that loop.
    """

    def __init__(
        self,
        program: Program,
        graph: fx.GraphModule,
        name: str,
        function: Callable[..., Any],
        examples: Sequence[Tensor],
    ) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # a refusal says itself where it comes from
        self.program, self.name, self.function = program, name, function
        self.examples = examples
        self.lines: list[str] = []
        self.constants = constant_nodes(graph.graph)
        self.fused = fusible(graph.graph, self.constants)
        self.numbers: dict[int, Tensor] = {}  # storages whose values depend on no argument
        self.pending: dict[int, Pointwise] = {}
        self.joined: dict[int, dict[str, Any]] = {}  # returned joins, which need not be built
        self.places = itertools.count()
        self.node: fx.Node | None = None

    def run_node(self, node: fx.Node) -> Any:
        self.node = node
        result = super().run_node(node)
        if node.op in ("placeholder", "output"):
            return result
        if node.target is operator.getitem and node not in self.constants:
            return result
        if result is None and node in self.constants:
            return result  # a check of known values, passed
        several = isinstance(result, (list, tuple))
        results = list(result) if several else [result]
        if all(isinstance(r, Tensor) and self._known(r) for r in results):
            return result
        if node in self.constants and all(user in self.constants for user in node.users):
            return result  # its users are known too: only what they come to is written
        if not all(isinstance(r, Tensor) for r in results):
            raise self.refusal()
        for made in results:
            if made.dtype not in C_TYPE:
                what = f"makes a tensor of {made.dtype}; {kinds()} can be used"
                raise self.refusal(what, functools.partial(_has_dtype, made.dtype))
            if made.device.type != "cpu":
                what = f"makes a tensor on {made.device}; make it on the CPU"
                raise self.refusal(what, lambda t: t.device.type != "cpu")
        results = [r.contiguous() for r in results]
        if node in self.constants:
            results = [self.embed(r) for r in results]
        else:
            self._write(node, results)
        return type(result)(results) if several else results[0]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Views are made of this run's arrays, which lie as they are written, without gaps."""
        if target is torch.ops.aten.view.default:
            if storage(args[0].reshape(args[1])) != storage(args[0]):
                args = (self.settled(args[0]), args[1])
        elif target is torch.ops.aten.as_strided.default:
            assert self.node is not None
            recorded = self.node.all_input_nodes[0].meta["val"]
            place = (recorded.stride(), recorded.storage_offset())
            if place != (args[0].stride(), args[0].storage_offset()):
                raise self.refusal("of a view is not compiled; use reshape, or index")
        return super().call_function(target, args, kwargs)

    def _write(self, node: fx.Node, results: list[Tensor]) -> None:
        operation, arguments = (
            name_of(node),
            bound_arguments(node.target, *self.fetch_args_kwargs_from_env(node)),
        )
        if operation in OPERATIONS:
            if operation == "cat" and all(user.op == "output" for user in node.users):
                self.joined[storage(results[0])] = arguments
                return
            for result in results:
                self.program.declare(result)
            OPERATIONS[operation](self, arguments, *results)
            return
        result = results[0]
        template = template_of(operation, arguments, result.dtype)
        if template is None or len(results) > 1:
            raise self.refusal()
        used = {k: v for k, v in arguments.items() if f"{{{k}}}" in template}
        place = next(self.places)
        self.pending[storage(result)] = Pointwise(operation, template, used, result, place)
        if node not in self.fused:
            self.settled(result)

    def _known(self, tensor: Tensor) -> bool:
        return storage(tensor) in self.program.names

    def embed(self, value: Tensor) -> Tensor:
        flat = value.flatten()
        if flat.numel() > 1 and _equal(flat, flat[0]):
            value = flat[:1].clone().expand(value.shape)  # zeros, ones: one number
            flat = flat[:1]
        else:
            value = value.clone()
        numbers = ", ".join(literal(v, value.dtype) for v in flat.tolist()) or "0"
        if _in_a_byte(flat):
            whole = ", ".join(map(str, flat.int().tolist()))
            self.program.declare(value, bytes_of=f"{{{whole}}}")
        else:
            self.program.declare(value, f" = {{{numbers}}}")
        self.numbers[storage(value)] = flat
        return value

    def refusal(
        self, what: str = "", makes: Callable[[Tensor], bool] | None = None
    ) -> NotImplementedError:
        """The error for the operation being written: what it is, and the line that used it."""
        assert self.node is not None
        where, line = blamed(self.node.target, self.function, self.examples, makes)
        instead = _INSTEAD.get(name_of(self.node))
        if instead and _finds_right(self.node):
            instead = instead.replace(" > ", " >= ")
        if not what and instead:
            what = f"cannot be compiled; {instead}"
        return NotImplementedError(
            f"{self.node.target} {what or 'cannot be compiled'} (in {self.name}, {where}: "
            f"`{line}`); what can be used is listed in ganlib.lab.compiler.POINTWISE and "
            "OPERATIONS"
        )

    def settled(self, tensor: Tensor) -> Tensor:
        """A contiguous array of this tensor alone: itself where it is one, else a copy."""
        key = storage(tensor)
        if key in self.joined:
            self.program.declare(tensor)
            cat(self, self.joined.pop(key), tensor)
            return tensor
        if key in self.pending:
            self.program.declare(tensor)
            self.assign(tensor, tensor)
            del self.pending[key]
            return tensor
        shared = {storage(t) for t in self.program.shared.values()}
        alone = tensor.is_contiguous() and tensor.storage_offset() == 0
        if alone and key not in shared and key not in self.numbers:
            return tensor
        copy = tensor.clone(memory_format=torch.contiguous_format)
        self.program.declare(copy)
        self.assign(copy, tensor)
        return copy

    def pieces(self, value: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What must be copied where so that ``target`` holds ``value``; no source is a target."""
        join = self.joined.get(storage(value), {"tensors": [value], "dim": 0})
        parts, dim = join["tensors"], join["dim"]
        if len(parts) == 1:
            places: Sequence[Tensor] = [target]
        else:
            places = target.split([part.shape[dim] for part in parts], dim)
        return [
            (place, self.settled(part))
            for place, part in zip(places, parts, strict=True)
            if not same_place(place, part)
        ]

    def assign(self, target: Tensor, value: Tensor) -> None:
        """``target = value``, element by element; the value is broadcast."""
        kernel = Kernel(self, target.shape, [value], target)
        kernel.body(f"{kernel.at(target)} = {kernel.element(value)};")


def _in_a_byte(flat: Tensor) -> bool:
    """Whether many floats are whole numbers of 8 bits: rounded weights travel as these."""
    if flat.dtype != torch.float32 or flat.numel() < 256:
        return False
    small = bool((flat.abs() <= 127).all()) and _equal(flat, flat.round())
    return small and not bool((torch.signbit(flat) & (flat == 0)).any())
