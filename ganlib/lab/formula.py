"""Formulas of the critic's output that a reader types: their grammar, and what computes them.

A formula becomes a short program for a stack, which the compiled module interprets on values and
slopes of a whole batch (``runtime.c``): typing compiles nothing. The grammar::

    sum     = product { (+ | -) product }
    product = sign { (* | /) sign }
    sign    = ( - | + ) sign | power
    power   = atom [ ^ [-] number ]
    atom    = number | s | D | e | pi | ( sum ) | f( sum ) | max( sum , sum ) | min( sum , sum )

where f is exp, log, ln, sqrt, abs, tanh, sigmoid, softplus or relu, and D is sigmoid(s); the
minus sign that the page prints is as good as the hyphen.
``formula.js`` holds the page's twin of :func:`program`; the two change together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch
from torch import Tensor

from ganlib.formulas import expm1

__all__ = ["DEEP", "LENGTH", "LONGEST", "NAMES", "Typed", "formula", "program", "programs", "spell"]

LENGTH = 64  #: the most instructions of a program
DEEP = 8  #: the most values on its stack
LONGEST = 200  #: the most characters of a formula
#: The settings that hold the three formulas, and what each is.
NAMES = {
    "on_real": "D on data",
    "on_fake": "D on samples",
    "of_generator": "G on samples",
}

# An instruction is an operation's place in this list and a number; 0 ends a program. What is not
# pushed works on the last value, from `add` on the last two.
_OPERATIONS = [
    "end", "s", "number", "neg", "power", "exp", "log", "sqrt", "abs", "tanh", "sigmoid",
    "softplus", "add", "sub", "mul", "div", "max", "min",
]  # fmt: skip
_FUNCTIONS = ("exp", "log", "sqrt", "abs", "tanh", "sigmoid", "softplus")
_TWO = ("max", "min")
_CONSTANTS = {"e": math.e, "pi": math.pi}
_KNOWN = "s, D, e, pi, exp, log, sqrt, abs, tanh, sigmoid, softplus, relu, max, min"
_GREATEST = 1e30  # of a number: float32 ends at 3e38
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(rf"[ \t\n]*(?:({_NUMBER})|([A-Za-z_]+)|([^ \t\n]))")

_Tree = tuple[Any, ...]  # (operation, operands ...)
_ONE: _Tree = ("number", 1.0)


class _Parser:
    """A descent along the grammar, one method a rule."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []  # kind, text, place counted from 1
        at = 0
        while match := _TOKEN.match(text, at):
            kind = ("number", "name", "sign")[(match.lastindex or 1) - 1]
            found = match[match.lastindex or 0].replace("\u2212", "-")
            self.tokens.append((kind, found, match.end() - len(found) + 1))
            at = match.end()
        self.tokens.append(("end", "", len(text) + 1))
        self.next = 0

    @property
    def now(self) -> str:
        return self.tokens[self.next][1]

    def take(self) -> tuple[str, str, int]:
        token = self.tokens[self.next]
        self.next += token[0] != "end"
        return token

    def refuse(self, what: str, place: int | None = None) -> ValueError:
        place = self.tokens[self.next][2] if place is None else place
        return ValueError(f"{what} (character {place})")

    def whole(self) -> _Tree:
        tree = self.sum()
        if self.tokens[self.next][0] != "end":
            raise self.stray()
        return tree

    def stray(self) -> ValueError:
        """What follows a whole value, and is no operation on it."""
        kind, text, _ = self.tokens[self.next]
        if text == "(" and self.tokens[self.next - 1][1] == "D":
            return self.refuse("D takes no bracket: it is sigmoid(s)")
        if kind in ("number", "name") or text == "(":
            return self.refuse(
                f"write the multiplication: {self.tokens[self.next - 1][1]} * {text}"
            )
        if text == ")":
            return self.refuse("this bracket was never opened")
        return self.refuse(f"{text} has no meaning here")

    def sum(self) -> _Tree:
        tree = self.product()
        while self.now in ("+", "-"):
            name = "add" if self.take()[1] == "+" else "sub"
            tree = (name, tree, self.product())
        return tree

    def product(self) -> _Tree:
        tree = self.sign()
        while self.now in ("*", "/"):
            name = "mul" if self.take()[1] == "*" else "div"
            tree = (name, tree, self.sign())
        return tree

    def sign(self) -> _Tree:
        if self.now == "+":
            self.take()
            return self.sign()
        if self.now != "-":
            return self.power()
        self.take()
        tree = self.sign()
        return ("number", -tree[1]) if tree[0] == "number" else ("neg", tree)

    def power(self) -> _Tree:
        tree = self.atom()
        if self.now != "^":
            return tree
        self.take()
        sign = 1.0
        if self.now == "-":
            self.take()
            sign = -1.0
        if self.tokens[self.next][0] != "number":
            raise self.refuse("an exponent is a number, as in s^2")
        exponent = sign * self.number()
        if exponent in (0, 1):
            return tree if exponent else _ONE
        return ("power", tree, exponent)

    def number(self) -> float:
        _, text, place = self.take()
        value = float(text)
        if not value <= _GREATEST:
            raise self.refuse("a number is at most 1e30", place)
        return value

    def atom(self) -> _Tree:
        kind, text, place = self.tokens[self.next]
        if kind == "number":
            return ("number", self.number())
        if kind == "end":
            raise self.refuse("something is missing at the end")
        self.take()
        if text == "(":
            return self.closed(self.sum(), place)
        if kind == "sign":
            raise self.refuse(f"a value is missing before {text}", place)
        if text == "s":
            return ("s",)
        if text == "D":
            return ("sigmoid", ("s",))
        if text in _CONSTANTS:
            return ("number", _CONSTANTS[text])
        name = "log" if text == "ln" else text
        if name not in _FUNCTIONS and name not in _TWO and name != "relu":
            raise self.refuse(f"{text} is not known; use {_KNOWN}", place)
        if self.now != "(":
            raise self.refuse(f"{text} needs a bracket: {text}(...)")
        opened = self.take()[2]
        first = self.sum()
        if name not in _TWO:
            return _call(name, self.closed(first, opened))
        if self.now != ",":
            raise self.refuse(f"{text} takes two values, as in {text}(0, s)")
        self.take()
        return (name, first, self.closed(self.sum(), opened))

    def closed(self, tree: _Tree, opened: int) -> _Tree:
        if self.now == ",":
            raise self.refuse("a comma stands only in max and min")
        if self.now != ")":
            if self.tokens[self.next][0] != "end":
                raise self.stray()
            raise self.refuse("this bracket is not closed", opened)
        self.take()
        return tree


def _call(name: str, inner: _Tree) -> _Tree:
    """A function's call, written so that what is finite in the formula is finite in float32."""
    if name == "relu":
        return ("max", inner, ("number", 0.0))
    if name == "log":
        if inner[0] == "sigmoid":  # log D = -softplus(-s)
            return ("neg", ("softplus", ("neg", inner[1])))
        if inner[:2] == ("sub", _ONE) and inner[2][0] == "sigmoid":  # log(1 - D)
            return ("neg", ("softplus", inner[2][1]))
        if inner[:2] == ("add", _ONE) and inner[2][0] == "exp":
            return ("softplus", inner[2][1])
    return (name, inner)


def _written(tree: _Tree) -> list[tuple[int, float]]:
    name, *given = tree
    if name == "number":
        return [(_OPERATIONS.index(name), given[0])]
    constant = given.pop() if name == "power" else 0.0
    before = [instruction for operand in given for instruction in _written(operand)]
    return [*before, (_OPERATIONS.index(name), constant)]


def program(text: str) -> list[tuple[int, float]]:
    """A formula's instructions: (operation, its number), at most 64.

    Raises
    ------
    TypeError, ValueError
        For what is no text, or no formula: the message says what to write, and where.

    Examples
    --------
    >>> program("2 * s")
    [(2, 2.0), (1, 0.0), (14, 0.0)]
    >>> program("2s")
    Traceback (most recent call last):
    ValueError: write the multiplication: 2 * s (character 2)
    """
    if not isinstance(text, str):
        raise TypeError(f"a formula is a text, not {type(text).__name__}")
    if len(text) > LONGEST:
        raise ValueError(f"a formula has at most {LONGEST} characters, this one {len(text)}")
    found = _written(_Parser(text).whole())
    if len(found) > LENGTH:
        raise ValueError(f"a formula has at most {LENGTH} operations, this one {len(found)}")
    depth = deepest = 0
    for operation, _ in found:
        depth += 1 if operation < 3 else -1 if operation >= _OPERATIONS.index("add") else 0
        deepest = max(deepest, depth)
    if deepest > DEEP:
        raise ValueError(
            f"a formula holds at most {DEEP} values at once, this one {deepest}; put the deepest "
            "bracket first"
        )
    return found


def programs(formulas: Sequence[str]) -> Tensor:
    """Programs of several formulas, shape (count, :data:`LENGTH`, 2), float32, 0 after each end.

    Raises ValueError as :func:`program`.
    """
    padded = [p + [(0, 0.0)] * (LENGTH - len(p)) for p in map(program, formulas)]
    return torch.tensor(padded, dtype=torch.float32)


def spell(expression: sp.Expr) -> str:
    """A SymPy expression of the critic's output in this grammar.

    Examples
    --------
    >>> from ganlib.losses import hinge, least_squares
    >>> spell(hinge().on_real), spell(least_squares().on_real)
    ('max(0, 1 - s)', '(s - 1)^2/2')
    """
    plain = expression.replace(expm1, lambda x: sp.exp(x) - 1)
    return sp.sstr(plain).replace("**", "^").replace("Max", "max").replace("Min", "min")


# --- what computes a program: here on torch's numbers, in the module by runtime.c ----------------

_Pair = tuple[Tensor, Tensor]  # values and slopes


def _softplus(x: Tensor) -> _Pair:
    z = torch.exp(-x.abs())
    share = z / (1 + z)
    return x.clamp(min=0) + torch.log1p(z), torch.where(x > 0, 1 - share, share)


def _sigmoid(x: Tensor) -> _Pair:
    y = torch.sigmoid(x)
    return y, y * (1 - y)


def _exp(x: Tensor) -> _Pair:
    return x.exp(), x.exp()


# Of one value: what it becomes, and the slope of that in it.
_ONE_VALUE: dict[str, Callable[[Tensor], _Pair]] = {
    "neg": lambda x: (-x, torch.full_like(x, -1)),
    "exp": _exp,
    "log": lambda x: (x.log(), 1 / x),
    "sqrt": lambda x: (x.sqrt(), 0.5 / x.sqrt()),
    "abs": lambda x: (x.abs(), x.sign()),
    "tanh": lambda x: (x.tanh(), 1 - x.tanh() * x.tanh()),
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}


def _power(x: Tensor, c: float) -> _Pair:
    return x.pow(c), c * x.pow(c - 1)


def _two(name: str, x: Tensor, dx: Tensor, y: Tensor, dy: Tensor) -> _Pair:
    if name == "add":
        return x + y, dx + dy
    if name == "sub":
        return x - y, dx - dy
    if name == "mul":
        return x * y, dx * y + x * dy
    if name == "div":
        return x / y, (dx - x / y * dy) / y
    # Where both are equal, the one that has a slope counts: max(0, s) is max(s, 0).
    first = (x > y if name == "max" else x < y) | ((x == y) & (dx != 0)) | (x != x)
    return torch.where(first, x, y), torch.where(first, dx, dy)


def _interpret(s: Tensor, code: Tensor) -> _Pair:
    stack: list[_Pair] = [(torch.zeros_like(s), torch.zeros_like(s))]
    for place, number in code.tolist():
        name = _OPERATIONS[int(place)]
        if name == "end":
            break
        if name == "s":
            stack.append((s.clone(), torch.ones_like(s)))
        elif name == "number":
            stack.append((torch.full_like(s, number), torch.zeros_like(s)))
        elif int(place) >= _OPERATIONS.index("add"):
            y, dy = stack.pop()
            stack.append(_two(name, *stack.pop(), y, dy))
        else:
            x, dx = stack.pop()
            value, slope = _power(x, number) if name == "power" else _ONE_VALUE[name](x)
            stack.append((value, slope * dx))
    return stack[-1]


torch.library.define("ganlib::formula", "(Tensor s, Tensor program) -> (Tensor, Tensor)")


@torch.library.impl("ganlib::formula", "CompositeExplicitAutograd")
def _compute(s: Tensor, program: Tensor) -> _Pair:
    with torch._C.DisableTorchFunction():  # a recording refuses to read values
        return _interpret(s, program)


@torch.library.register_fake("ganlib::formula")
def _form(s: Tensor, program: Tensor) -> _Pair:
    return torch.empty_like(s), torch.empty_like(s)


class _Formula(torch.autograd.Function):
    """The operation, whose slope is computed with its value."""

    @staticmethod
    def forward(s: Tensor, program: Tensor) -> _Pair:
        result: _Pair = torch.ops.ganlib.formula(s, program)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: _Pair) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.saved_tensors[0], None


def formula(s: Tensor, program: Tensor) -> _Pair:
    """A program's values at outputs ``s`` of any shape, and its slopes there.

    Parameters
    ----------
    s
        The critic's raw outputs.
    program
        A row of :func:`programs`, shape (64, 2). Its values may be unknown when a function that
        calls this is compiled.

    Returns
    -------
    Values, which can be differentiated once in ``s``, and slopes, which cannot.

    Examples
    --------
    >>> formula(torch.tensor([3.0]), programs(["s^2 / 2"])[0])
    (tensor([4.5000]), tensor([3.]))
    """
    result: _Pair = _Formula.apply(s, program)
    return result


@dataclass(frozen=True)
class Typed:
    """An objective whose three formulas come with the settings, in place of a ``Loss``."""

    name: str = "typed"
    symbols: tuple[sp.Symbol, ...] = (sp.Symbol("programs"),)

    def discriminator(self, real: Tensor, fake: Tensor, programs: Tensor) -> Tensor:
        """Mean cost of the outputs on data plus that on samples; programs (3, 64, 2)."""
        return formula(real, programs[0])[0].mean() + formula(fake, programs[1])[0].mean()

    def generator(self, fake: Tensor, programs: Tensor) -> Tensor:
        """Mean cost of the outputs on samples."""
        return formula(fake, programs[2])[0].mean()
