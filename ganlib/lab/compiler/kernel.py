"""Loop nests: what one turn reads, computes and writes, as a C function of the arrays it uses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganlib.lab.compiler.kinds import C_TYPE, literal, local_type
from ganlib.lab.compiler.pointwise import COMPARISONS, EXPENSIVE

if TYPE_CHECKING:
    from ganlib.lab.compiler.write import Writer

#: Turns from which a loop is long: its speed matters more than its size.
LONG = 4096


@dataclass(frozen=True, eq=False)
class Pointwise:
    """An operation on elements that no array holds yet: its users compute it where they need it."""

    operation: str
    template: str
    arguments: dict[str, Any]
    result: Tensor
    place: int  # in the order of the graph: operands come before their users

    @property
    def operands(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.arguments.items() if isinstance(v, Tensor)}


class Kernel:
    """A loop nest over a shape, as a C function of the arrays it uses: equal loops are one.

    The operands that no array holds are computed in the body. Where ``where`` chooses between
    expensive values, only the one it takes is computed.
    """

    def __init__(
        self,
        writer: Writer,
        shape: Sequence[int],
        operands: Sequence[Tensor],
        target: Tensor,
        *,
        flat: bool = True,
    ) -> None:
        self.writer, self.shape = writer, tuple(shape)
        self.parameters: dict[str, str] = {}  # place -> its declaration, named in this order
        self.bounds: dict[str, int] = {}
        self.names: dict[Any, str] = {}  # element of an array, or storage -> local variable
        self.loads: list[str] = []
        self.steps = self._needed(operands)
        leaves = [v for step in self.steps for v in step.operands.values()] + list(operands)
        leaves = [v for v in leaves if storage(v) not in writer.pending]
        self.flat = flat and all(
            is_number(v) or (tuple(v.shape) == self.shape and v.is_contiguous())
            for v in [*leaves, target]
        )
        self.target = self.pointer(target, written=True)
        self.computed = self._block((), self._blocks(operands))

    def _needed(self, operands: Sequence[Tensor]) -> list[Pointwise]:
        found: dict[int, Pointwise] = {}
        waiting = list(operands)
        while waiting:
            step = self.writer.pending.get(storage(waiting.pop()))
            if step is not None and step.place not in found:
                found[step.place] = step
                waiting += step.operands.values()
        return [found[place] for place in sorted(found)]

    def _blocks(self, operands: Sequence[Tensor]) -> dict[tuple[Any, ...], list[Pointwise]]:
        """Where each step is computed: in the innermost branch that holds all its uses."""
        used: dict[int, list[tuple[Any, ...]]] = {storage(v): [()] for v in operands}
        blocks: dict[tuple[Any, ...], list[Pointwise]] = {}
        for step in reversed(self.steps):
            block = _common(used[storage(step.result)])
            blocks.setdefault(block, []).insert(0, step)
            for name, operand in step.operands.items():
                branch = self._branches(step) and name != "condition"
                inner = (*block, (step.place, name)) if branch else block
                used.setdefault(storage(operand), []).append(inner)
        return blocks

    def _branches(self, step: Pointwise) -> bool:
        if step.operation != "where":
            return False
        sides = [v for k, v in step.operands.items() if k != "condition"]
        inside = self._needed(sides)
        return len(sides) == 2 and any(inner.operation in EXPENSIVE for inner in inside)

    def _block(self, block: tuple[Any, ...], blocks: dict[tuple[Any, ...], list[Pointwise]]) -> str:
        lines = []
        for step in blocks.get(block, []):
            kind = local_type(step.result.dtype)
            name = f"v{sum(isinstance(k, int) for k in self.names)}"
            if self._branches(step):
                condition = self.element(step.arguments["condition"])
                self.names[storage(step.result)] = name
                sides = []
                for side in ("self", "other"):
                    inner = self._block((*block, (step.place, side)), blocks)
                    sides.append(f"{{ {inner}{name} = {self.element(step.arguments[side])}; }}")
                lines.append(f"{kind} {name}; if ({condition}) {sides[0]} else {sides[1]} ")
            else:
                value = self._value(step)
                self.names[storage(step.result)] = name
                lines.append(f"const {kind} {name} = {value}; ")
        return "".join(lines)

    def _value(self, step: Pointwise) -> str:
        # Comparisons are computed in the type of what is compared, all else in the result's.
        dtype = step.result.dtype
        numbers: list[Any] = [
            v for v in step.arguments.values() if isinstance(v, (Tensor, int, float))
        ]
        if step.operation in COMPARISONS:
            dtype = torch.result_type(*numbers) if len(numbers) == 2 else numbers[0].dtype
        kind = local_type(dtype)
        names = {"kind": kind}
        for key, value in step.arguments.items():
            if isinstance(value, Tensor):
                own = value.dtype if key == "condition" else dtype
                names[key] = self.element(value, own)
            elif isinstance(value, (int, float)):
                names[key] = f"({kind})({literal(value, dtype)})"
        return re.sub(r"\{(\w+)\}", lambda m: names[m[1]], step.template)

    def element(self, tensor: Tensor, dtype: torch.dtype | None = None) -> str:
        """The element of an operand in this turn of the loop: a local variable, or a number."""
        key: Any = storage(tensor)
        number = self.writer.numbers.get(key)
        if number is not None and len(number) == 1:
            kind = local_type(dtype or tensor.dtype)
            return f"({kind})({literal(number.item(), number.dtype)})"
        if key not in self.writer.pending:
            kind = local_type(tensor.dtype)
            count = None if number is None else progression(number)
            key = self.at(tensor) if count is None else self.counted(tensor, *count)
            if key not in self.names:
                self.names[key] = f"x{len(self.loads)}"
                self.loads.append(f"const {kind} {self.names[key]} = ({kind})({key});")
        name = self.names[key]
        if dtype is None or dtype == tensor.dtype:
            return name
        return f"(({local_type(dtype)}){name})"

    def pointer(self, tensor: Tensor, *, written: bool = False) -> str:
        """The parameter that points at the first element of a tensor."""
        place = self.writer.program.ref(tensor)
        if place not in self.parameters:
            kind = C_TYPE[tensor.dtype]
            name = f"p{len(self.parameters)}"
            # Arrays are never written where they are read: loops may be turned into lanes.
            form = f"{kind} *restrict {name}" if written else f"const {kind} *{name}"
            self.parameters[place] = form
        return self.parameters[place].rpartition(" ")[2].lstrip("*")

    def at(self, tensor: Tensor, *, but: int | None = None) -> str:
        """The C of a tensor's element in this turn; ``but`` leaves one axis at 0."""
        if self.flat and but is None:
            return f"{self.pointer(tensor)}[{'i' if not is_number(tensor) else '0'}]"
        return f"{self.pointer(tensor)}[{self.offset(tensor, but=but)}]"

    def counted(self, tensor: Tensor, start: int, step: int) -> str:
        """The C of an element of ``start, start + step, ...``: no array needs to hold those."""
        place = "i" if self.flat else self.offset(tensor)
        return f"{start + step * tensor.storage_offset()} + {step} * ({place})"

    def offset(self, tensor: Tensor, *, but: int | None = None) -> str:
        strides = tensor.expand(self.shape).stride()
        terms = [
            f"i{d} * {stride}"
            for d, stride in enumerate(strides)
            if stride and self.shape[d] > 1 and d != but
        ]
        return " + ".join(terms) or "0"

    def loop(self, inner: str, *, axes: Sequence[int] | None = None) -> str:
        """``inner`` for each element, or over some axes only."""
        if self.flat and axes is None:
            count = math.prod(self.shape)
            return inner if count == 1 else f"for (int i = 0; i < {self.bound(count)}; i++) {inner}"
        for d in reversed(range(len(self.shape)) if axes is None else axes):
            if self.shape[d] != 1:
                inner = f"for (int i{d} = 0; i{d} < {self.bound(self.shape[d])}; i{d}++) {inner}"
        return inner

    def bound(self, count: int) -> str:
        """A parameter for a count: loops that differ in length only are one function."""
        name = f"n{len(self.bounds)}"
        self.bounds[name] = count
        return name

    def turn(self, statements: str) -> str:
        """One turn of the loop: the elements are read, computed, and used by ``statements``."""
        return f"{{ {' '.join(self.loads)} {self.computed}{statements} }}"

    def body(self, statements: str) -> None:
        self.write(self.loop(self.turn(statements)))

    def write(self, text: str) -> None:
        """Finish: the call of a function with this body."""
        program = self.writer.program
        forms = [*self.parameters.values(), *(f"int {name}" for name in self.bounds)]
        text = f"({', '.join(forms)}) {{\n  {text}\n}}\n"
        name = program.kernels.setdefault(text, f"k{len(program.kernels)}")
        if self.writer.name not in program.seldom and math.prod(self.bounds.values()) >= LONG:
            program.fast.add(name)
        given = [*self.parameters, *map(str, self.bounds.values())]
        self.writer.lines.append(f"  {name}({', '.join(given)});")


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def progression(numbers: Tensor) -> tuple[int, int] | None:
    """Start and step of integers, of any dtype, that stand at equal distances."""
    wide = numbers.double()
    if bool(((wide == 0) & wide.signbit()).any()):
        return None  # -0 is no integer
    if len(wide) < 2 or not bool((wide == wide.round()).all() and wide.abs().max() < 2**24):
        return None
    start, step = int(wide[0]), int(wide[1] - wide[0])
    line = start + step * torch.arange(len(wide), dtype=torch.float64)
    return (start, step) if torch.equal(wide, line) else None


def is_number(tensor: Tensor) -> bool:
    """One element, be it seen at many places."""
    return all(n == 1 or s == 0 for n, s in zip(tensor.shape, tensor.stride(), strict=True))


def same_place(a: Tensor, b: Tensor) -> bool:
    return (storage(a), a.storage_offset(), a.shape, a.stride()) == (
        storage(b), b.storage_offset(), b.shape, b.stride())  # fmt: skip


def _common(paths: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The longest common start of some paths."""
    first, last = min(paths, key=len), ()
    for i in range(len(first) + 1):
        if all(path[:i] == first[:i] for path in paths):
            last = first[:i]
    return last
