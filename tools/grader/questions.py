"""What an assignment's hidden tests are written with: questions, draws, verdicts.

A hidden test is a function of three things: the *student*, who is asked (``call``, ``get``,
``make``) and answers with values; the *draw*, which makes the inputs; and *k*, the constants of
the variant. It judges here, in the grader's own process, and says :class:`Wrong` with a lesson.
Right values and the values of typical slips are computed by the assignment's own functions from
the drawn inputs, so that no decimal is typed and no two submissions see the same numbers::

    q1 = Question("q1", seconds=5)
    LOSS = Rule(loss, [Slip(lambda k, r, f: -loss(k, r, f), "the sign: ...")], rel=5e-6)

    @q1.test(points=1)
    def values(student, draw, k):
        r, f = LOSS.draw(draw, k, lambda d: (d.uniform(3), d.uniform(2)))
        got = student.call("discriminator_loss", r, f)
        LOSS.judge(k, (r, f), [number(got)], "discriminator_loss", say(d_real=r, d_fake=f))
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tools.grader import asking
from tools.grader.asking import Injection

#: Right value and slips of a case lie at least this many tolerances apart, or it is drawn again.
APART = 100.0
#: A wrong number as near as this, relatively, may be a rounded one.
NEARLY = 2e-3
#: Draws after which a test that finds no such case is itself at fault.
ATTEMPTS = 1000

Constants = SimpleNamespace
Numbers = Sequence[float]


class Wrong(asking.Wrong):
    """The answer is wrong; the message is the lesson, ``keeps`` the share of the points kept."""

    def __init__(self, lesson: str, keeps: float = 0.0) -> None:
        super().__init__(lesson)
        self.keeps = keeps


class Nothing(Wrong):
    """The function ``name`` gave None."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} returns nothing: replace the dots, and end the function with return."
        )
        self.name = name


class TestFault(Exception):
    """The test itself is wrong: no student's doing, and no student's loss."""


# --------------------------------------------------------------------------------------------
# Questions
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Test:
    """A hidden test: its points and the function that raises :class:`Wrong`."""

    name: str
    points: float
    run: Callable[[Any, Draw, Constants], None]


@dataclass
class Question:
    """A question: its hidden tests, its public cases, the CPU seconds its tests may take.

    Parameters
    ----------
    name
        As in the source: ``"q2"``.
    seconds
        CPU seconds for all its tests together; after that they are stopped, and they alone.
    inject
        Makes the right answers that this question builds on, from the constants: they replace
        the student's own after every cell, in a process that answers this question alone.
    """

    name: str
    seconds: float = 10.0
    inject: Callable[[Constants], Injection] | None = None
    tests: list[Test] = field(default_factory=list)
    cases: Callable[[Constants], list[Case]] | None = None

    def test(self, points: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Decorator: a hidden test worth ``points``."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            self.tests.append(Test(function.__name__, points, function))
            return function

        return add

    def public(self, function: Callable[[Constants], list[Case]]) -> Callable[..., list[Case]]:
        """Decorator: the cases that the student's notebook checks; only their numbers travel."""
        self.cases = function
        return function

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)


@dataclass(frozen=True)
class Case:
    """A public check: what is asked, the number that is due, and what typical slips give.

    ``name`` is called with ``args``, or, where ``at`` is given, it is an expression and takes
    its value there (symbols by name).
    """

    name: str
    right: Numbers
    slips: list[tuple[Numbers, str]]
    what: str
    args: tuple[Any, ...] = ()
    at: Mapping[str, float] | None = None
    rel: float = 1e-5


# --------------------------------------------------------------------------------------------
# Draws
# --------------------------------------------------------------------------------------------


class Draw:
    """Inputs of one test for one submission: the same whenever it is graded again.

    Keyed by the course's secret, the submission's digest, and the test. Numbers are short binary
    fractions, exact in float32 and readable in a message.
    """

    def __init__(self, *key: str) -> None:
        digest = hashlib.sha256("\0".join(key).encode()).digest()
        self.generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def integers(self, n: int, low: int, high: int) -> list[int]:
        """``n`` integers, ``low`` <= each <= ``high``."""
        return torch.randint(low, high + 1, (n,), generator=self.generator).tolist()

    def integer(self, low: int, high: int) -> int:
        return self.integers(1, low, high)[0]

    def choice(self, values: Sequence[Any]) -> Any:
        return values[self.integer(0, len(values) - 1)]

    def uniform(self, n: int, low: float = 0.125, high: float = 0.875) -> Tensor:
        """``n`` multiples of 1/64 in [low, high], float32."""
        steps = self.integers(n, math.ceil(low * 64), math.floor(high * 64))
        return torch.tensor(steps, dtype=torch.float32) / 64

    def normal(self, n: int, scale: float = 1.5) -> Tensor:
        """``n`` normal numbers times ``scale``, rounded to multiples of 1/16, float32."""
        return (torch.randn(n, generator=self.generator) * scale * 16).round() / 16

    def seed(self) -> int:
        return self.integer(0, 2**31 - 2)

    def masses(self, n: int, empty: Collection[int] = (), least: int = 2, most: int = 30) -> Tensor:
        """``n`` masses that sum to one, multiples of 1/64, zero in the bins ``empty``, float32.

        They are drawn from ``least`` to ``most`` 64ths; the last is the rest, and may be more.
        """
        while True:
            steps = torch.tensor(self.integers(n, least, most))
            steps[list(empty)] = 0
            last = max(i for i in range(n) if i not in empty)
            steps[last] += 64 - steps.sum()
            if steps[last] >= least:
                return steps.float() / 64


# --------------------------------------------------------------------------------------------
# Verdicts
# --------------------------------------------------------------------------------------------


def same(got: Numbers, want: Numbers, rel: float) -> bool:
    """Equal within ``rel`` (relative above 1, absolute below); the infinite equals nothing."""
    return len(got) == len(want) and all(
        math.isfinite(x) and math.isfinite(y) and abs(x - y) <= rel * max(1.0, abs(y))
        for x, y in zip(got, want, strict=True)
    )


def judge(
    got: Numbers,
    right: Numbers,
    slips: Iterable[tuple[Numbers, str] | tuple[Numbers, str, float]] = (),
    what: str = "the value",
    case: str | Sequence[str] = "",
    rel: float = 1e-5,
    shape: tuple[int, ...] = (),
) -> None:
    """Return if ``got`` is ``right``; else say :class:`Wrong`, with the lesson of a known slip.

    Parameters
    ----------
    slips
        (value that a typical mistake gives, its lesson, the share of the points it keeps).
    case
        The inputs in words; one for all numbers, or one each.
    shape
        Of the answer, where its numbers are a table: the message says row and column.
    """
    if same(got, right, rel):
        return
    for value, lesson, *keeps in slips:
        if same(got, value, rel):
            raise Wrong(f"{what}: {lesson}", keeps[0] if keeps else 0.0)
    wrong = [i for i in range(len(right)) if not same([got[i]], [right[i]], rel)]
    bad = wrong[0]
    where = case if isinstance(case, str) else case[bad]
    here = f" at {where}" if where else ""
    if isinstance(case, str) and len(right) > 1:
        here = f", {entry(bad, shape)}{here} ({len(wrong)} of {len(right)} numbers are wrong)"
    if math.isnan(got[bad]):
        raise Wrong(f"{what}{here} is nan (not a number): somewhere 0/0, 0 * inf or inf - inf.")
    if math.isinf(got[bad]):
        raise Wrong(
            f"{what}{here} is {got[bad]}: the log of zero, or an exponential that overflows."
        )
    mine, due = digits(got[bad], right[bad])
    close = same([got[bad] / right[bad]], [1.0], NEARLY) if right[bad] else False
    hint = " That is close: was it rounded, or cut off too early?" if close else ""
    raise Wrong(f"{what}{here}: you get {mine}, due is {due}.{hint}")


def entry(index: int, shape: tuple[int, ...] = ()) -> str:
    """The place of a number in an answer, counted as Python does."""
    if len(shape) == 2:
        return f"row {index // shape[1]}, column {index % shape[1]}, counted from 0,"
    return f"entry {index}, counted from 0,"


def digits(got: float, right: float) -> tuple[str, str]:
    """Both numbers with as many digits as it takes to see that they differ, and one more."""
    for count in range(6, 17):
        if f"{got:.{count - 1}g}" != f"{right:.{count - 1}g}":
            break
    return f"{got:.{count}g}", f"{right:.{count}g}"


def each(checks: Sequence[Callable[[], None]]) -> None:
    """Run every check: the first lesson is told, and each that passes keeps its share."""
    wrong: list[asking.Wrong] = []
    kept = 0.0
    for check in checks:
        try:
            check()
            kept += 1
        except Nothing:
            raise
        except asking.Wrong as lesson:
            wrong.append(lesson)
            kept += getattr(lesson, "keeps", 0.0)
    if wrong:
        raise Wrong(str(wrong[0]), kept / len(checks)) from wrong[0]


@dataclass(frozen=True)
class Slip:
    """A typical mistake: a *wrong function* of (k, \\*inputs), its lesson, what it keeps.

    ``near``: may lie close to the right value (an epsilon), so the draw need not keep them apart.
    """

    value: Callable[..., Any]
    lesson: str
    keeps: float = 0.0
    near: bool = False


@dataclass(frozen=True)
class Rule:
    """The right function of (k, \\*inputs) and its slips, to a relative tolerance ``rel``."""

    right: Callable[..., Any]
    slips: Sequence[Slip] = ()
    rel: float = 1e-5

    def values(self, k: Constants, inputs: Sequence[Any]) -> tuple[list[float], list[list[float]]]:
        """The right value, and each slip's: nan where a slip has none, as in p/(q - p)."""

        def one(slip: Slip) -> list[float]:
            try:
                return plain(slip.value(k, *inputs))
            except (ZeroDivisionError, ValueError):
                return [math.nan]

        return plain(self.right(k, *inputs)), [one(slip) for slip in self.slips]

    def apart(self, k: Constants, inputs: Sequence[Any]) -> bool:
        """Whether right value and slips can be told from each other with these inputs."""
        right, slips = self.values(k, inputs)
        if not all(map(math.isfinite, right)):
            return False
        far = [v for v, s in zip(slips, self.slips, strict=True) if not s.near]
        everything = [right, *far]
        return not any(
            same(a, b, APART * self.rel) for i, a in enumerate(everything) for b in everything[:i]
        )

    def draw(
        self, draw: Draw, k: Constants, sample: Callable[[Draw], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        """Inputs from ``sample``, redrawn until :meth:`apart`."""
        for _ in range(ATTEMPTS):
            inputs = sample(draw)
            if self.apart(k, inputs):
                return inputs
        raise TestFault(f"no inputs in {ATTEMPTS} draws tell the slips of {self.right} apart")

    def judge(
        self,
        k: Constants,
        inputs: Sequence[Any],
        got: Numbers,
        what: str,
        case: str | Sequence[str] = "",
        shape: tuple[int, ...] = (),
    ) -> None:
        """:func:`judge` with this rule's values."""
        right, slips = self.values(k, inputs)
        known = [(v, s.lesson, s.keeps) for v, s in zip(slips, self.slips, strict=True)]
        judge(got, right, known, what, case, self.rel, shape)

    def case(self, k: Constants, name: str, inputs: Sequence[Any], what: str, **more: Any) -> Case:
        """A public case with these inputs; slips that coincide with the right value drop out."""
        right, slips = self.values(k, inputs)
        known: list[tuple[Numbers, str]] = []
        for value, slip in zip(slips, self.slips, strict=True):
            others = [right, *(v for v, _ in known)]
            if (
                all(map(math.isfinite, value))
                and not slip.near
                and not any(same(value, v, APART * self.rel) for v in others)
            ):
                known.append((value, slip.lesson))
        return Case(name, right, known, what, rel=self.rel, **more)


def plain(value: Any) -> list[float]:
    """A number, a tensor or a sequence of them as a flat list of floats."""
    if isinstance(value, Tensor):
        return value.detach().double().flatten().tolist()
    if isinstance(value, list | tuple):
        return [x for v in value for x in plain(v)]
    return [float(value)]


def over(function: Callable[..., float]) -> Callable[..., list[float]]:
    """A function of (k, a point) for all points: what a :class:`Rule` of a formula takes."""
    return lambda k, *points: [function(k, **point) for point in points]


def varied(k: Constants, **values: Any) -> Constants:
    """The constants with some of them replaced: what a slip takes them for."""
    return Constants(**{**vars(k), **values})


def slopes(function: Callable[..., Tensor], *inputs: Tensor) -> list[float]:
    """Gradients of ``function`` at ``inputs``, by autograd in float64, one after the other."""
    leaves = [x.double().requires_grad_() for x in inputs]
    return plain(list(torch.autograd.grad(function(*leaves), leaves)))


def say(**inputs: Any) -> str:
    """Inputs in words: ``d_real = [0.5, 0.25], a = -1``."""

    def one(value: Any) -> str:
        if isinstance(value, Tensor):
            value = value.tolist()
        if isinstance(value, list | tuple):
            return "[" + ", ".join(one(v) for v in value) + "]"
        return f"{float(value):.6g}"

    return ", ".join(f"{name} = {one(value)}" for name, value in inputs.items())


# --------------------------------------------------------------------------------------------
# What came back
# --------------------------------------------------------------------------------------------


def number(reply: Any) -> float:
    """The one number of a reply: Python, NumPy, or a tensor with one entry of any shape.

    Raises
    ------
    Nothing
        If the function returned None.
    Wrong
        If it is no number.
    """
    return _number(reply.value, reply.what)


def _number(value: Any, what: str) -> float:
    if value is None:
        raise Nothing(what)
    tensor = getattr(value, "tensor", value)  # a NumPy array or number travels as one
    if isinstance(tensor, Tensor):
        if tensor.numel() != 1:
            raise Wrong(
                f"{what} has shape {tuple(tensor.shape)}; it must be one number (shape ())."
            )
        if tensor.is_complex():
            raise Wrong(f"{what} is complex; it must be one real number.")
        return float(tensor.double().item())
    if isinstance(value, asking.Tree):  # SymPy's numbers
        return asking.number(value, what)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"{what} is {asking.kind_of(value)}; it must be one number.")
    return float(value)


def one_number(reply: Any) -> float:
    """As :func:`number`; a list of the bins' shares has a lesson of its own."""
    tensor = getattr(reply.value, "tensor", reply.value)
    if isinstance(tensor, Tensor) and tensor.numel() > 1:
        raise Wrong(
            f"{reply.what} has one value for each bin; it must be one number: add them up.", 0.25
        )
    return number(reply)


def shaped(reply: Any, shape: tuple[int, ...], meaning: str) -> list[float]:
    """The numbers of a tensor of this shape, flat; ``meaning`` says what its axes are.

    NumPy arrays, lists of tensors, and an axis of length 1 at the end are understood.
    """
    value = reply.value
    if value is None:
        raise Nothing(reply.what)
    value = getattr(value, "tensor", value)
    if isinstance(value, list | tuple):
        try:
            value = torch.stack([torch.as_tensor(getattr(v, "tensor", v)).double() for v in value])
        except (TypeError, ValueError, RuntimeError):
            value = None
    if isinstance(value, Tensor) and tuple(value.shape) == (*shape, 1):
        value = value[..., 0]
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        one = isinstance(value, Tensor) and value.numel() == 1
        raise Wrong(
            f"{reply.what} gives {asking.kind_of(reply.value)}; due is the shape {shape}, "
            f"{meaning}." + (" Nothing is averaged." if one else ""),
            0.25 if one else 0.0,
        )
    return [float(x) for x in value.double().flatten()]


def numbers(reply: Any, count: int, what: str) -> list[float]:
    """``count`` numbers from a tuple, a list, or a tensor with so many entries."""
    value = reply.value
    if value is None:
        raise Nothing(reply.what)
    tensor = getattr(value, "tensor", value)
    if isinstance(tensor, Tensor) and tensor.dim() == 1:
        value = tensor.tolist()
    if not isinstance(value, list | tuple) or len(value) != count:
        raise Wrong(
            f"{reply.what} must return {count} numbers, {what}; it returns {asking.kind_of(value)}."
        )
    return [_number(x, reply.what) for x in value]


def trainable(reply: Any, names: Sequence[str]) -> list[float]:
    """The gradients as one list; the reply must be a tensor of shape () that autograd knows.

    Raises
    ------
    Wrong
        If it is no tensor, has a shape, is cut off from an input, or has a gradient of nan.
    """
    what = reply.what
    number(reply)
    if not isinstance(reply.value, Tensor):
        raise Wrong(
            f"{what} is {asking.kind_of(reply.value)}, not a tensor: item(), float() and numpy cut "
            "the gradient, and nothing can be trained with it."
        )
    connected(reply, names)
    if reply.value.dim():
        raise Wrong(f"{what} has shape {tuple(reply.value.shape)}; one number has the shape ().")
    for gradient, name in zip(reply.grads, names, strict=True):
        if not torch.isfinite(gradient).all():
            raise Wrong(
                f"{what} has a value, but its gradient with respect to {name} is not finite: 0 * "
                "inf in the backward pass (torch.where hides a bad value, not its gradient)."
            )
    return plain(list(reply.grads))


def connected(reply: Any, names: Sequence[str]) -> None:
    """Whether autograd leads from the reply to each input."""
    for gradient, name in zip([*reply.grads, *[None] * len(names)], names, strict=False):
        if gradient is None:
            raise Wrong(
                f"{reply.what} does not depend on {name} for autograd: detach(), item(), float() "
                "and numpy cut the gradient, and nothing can be trained with it."
            )


def pure(reply: Any, names: Sequence[str]) -> None:
    """Whether the inputs are afterwards what they were."""
    for after, before, name in zip(reply.after, reply.before, names, strict=False):
        if isinstance(before, Tensor) and not (
            isinstance(after, Tensor)
            and after.shape == before.shape
            and torch.equal(torch.nan_to_num(after), torch.nan_to_num(before))
        ):
            raise Wrong(
                f"{reply.what} changes its input {name} in place; the caller needs it still."
            )
