"""What a hidden test sees of a submission: questions that come back as data.

    got = student.call("discriminator_loss_from_logits", real, fake, wrt=[0, 1])
    got.number, got.grads, got.pure().dtype(torch.float32).differentiable(["s_real", "s_fake"])

A test raises :class:`Wrong` with a lesson. :class:`Sandboxed` asks a process in a hull, and starts
it anew after a loop, a crash or an ``exit()``; :class:`Local` asks the notebook it runs in, for the
public checks. Both answer by :func:`tools.grader.worker.answer`.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tools.grader import wire
from tools.grader.wire import Array, Handle, Opaque, Seed, Tree
from tools.grader.worker import answer, trouble

if TYPE_CHECKING:
    from tools.grader.hull import Job, Slot

__all__ = [
    "Array",
    "Handle",
    "Injection",
    "Limits",
    "Local",
    "Note",
    "Opaque",
    "Reply",
    "Sandboxed",
    "Seed",
    "State",
    "Student",
    "Tree",
    "Wrong",
    "kind_of",
    "number",
    "plain",
]


class Wrong(Exception):
    """An answer is wrong; the message is the lesson."""


def plain(text: object, length: int = 200) -> str:
    """A stranger's text on one line, of at most ``length`` characters, without control signs."""
    words = " ".join(wire.clean(text, 4 * length).split())
    shown = "".join(
        c if c.isprintable() and unicodedata.category(c) != "Cf" else f"\\u{ord(c):04x}"
        for c in words
    )
    return shown if len(shown) <= length else shown[: length - 3] + "..."


# --------------------------------------------------------------------------------------------
# Replies
# --------------------------------------------------------------------------------------------


def kind_of(value: object) -> str:
    """What a value is, in a student's words: "a tensor of shape (3,)", "a list", "nothing"."""
    if value is None:
        return "nothing (None)"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, Array):
        return f"a NumPy array of shape {tuple(value.tensor.shape)}"
    if isinstance(value, Tree):
        return "a SymPy expression"
    if isinstance(value, Opaque | Handle):
        return f"an object of type {plain(value.kind, 40)}"
    names = {"str": "text", "bool": "True or False", "int": "an integer", "float": "a number"}
    name = type(value).__name__
    return names.get(name, f"a {name}")


def number(value: object, what: str) -> float:
    """One number out of a number, a tensor or an array of no dimension; else :class:`Wrong`."""
    if value is None:
        raise Wrong(f"{what} gave nothing: replace the dots, and end the function with return.")
    if isinstance(value, Array):
        value = value.tensor
    if isinstance(value, torch.Tensor):
        if value.dim():
            raise Wrong(
                f"{what} has shape {tuple(value.shape)}; it must be one number, of shape ()."
            )
        value = value.item()
    if isinstance(value, Tree) and value.tree[0] in ("Integer", "Float", "Rational"):
        return _of_digits(value.tree)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"{what} is {kind_of(value)}; it must be one number.")
    return float(value)


def _of_digits(tree: list[Any]) -> float:
    try:
        parts = [float(part) for part in tree[1:]]
        return parts[0] / parts[1] if len(parts) == 2 else parts[0]
    except (ValueError, OverflowError, ZeroDivisionError):
        raise Wrong("a number of SymPy's that no float can hold.") from None


@dataclass(frozen=True)
class Reply:
    """What a call gave.

    ``grads``: of the sum of the outputs (or by the cotangent) with respect to the inputs named in
    ``wrt``; None where autograd sees no connection. ``before``, ``after``: the arguments.
    ``attached``: autograd knows where the value came from. ``rng_same``: torch's global random
    state did not change. ``moved``: for each generator passed, whether it was used.
    """

    what: str
    value: Any = None
    grads: tuple[torch.Tensor | None, ...] = ()
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    attached: bool = False
    rng_same: bool = True
    moved: tuple[bool, ...] = ()

    @property
    def number(self) -> float:
        """The value as one number, or :class:`Wrong`."""
        return number(self.value, self.what)

    @property
    def numbers(self) -> list[float]:
        """The value as a list of numbers: of a tuple, a list, a tensor or an array."""
        value = self.value.tensor if isinstance(self.value, Array) else self.value
        if isinstance(value, torch.Tensor) and value.dim():
            return [float(x) for x in value.double().reshape(-1).tolist()]
        if not isinstance(value, tuple | list):
            raise Wrong(f"{self.what} is {kind_of(value)}; it must be a tuple of numbers.")
        return [number(x, f"{self.what}, part {n}") for n, x in enumerate(value, 1)]

    @property
    def tensor(self) -> torch.Tensor:
        """The value as a tensor, or :class:`Wrong`."""
        if not isinstance(self.value, torch.Tensor):
            raise Wrong(f"{self.what} is {kind_of(self.value)}; it must be a tensor.")
        return self.value

    def differentiable(self, names: Iterable[str]) -> Reply:
        """Every gradient is there and finite, or :class:`Wrong`; ``names`` of the inputs."""
        for gradient, name in zip(self.grads, names, strict=True):
            if gradient is None:
                raise Wrong(
                    f"{self.what} does not depend on {name} for autograd: detach(), item(), NumPy "
                    "or float() cuts the gradient, and nothing can be trained with it."
                )
            if not torch.isfinite(gradient).all():
                raise Wrong(
                    f"{self.what} is finite, its gradient with respect to {name} is not: look for "
                    "0 * inf in the backward pass (torch.where hides the value, not the gradient)."
                )
        return self

    def pure(self) -> Reply:
        """No argument was changed in place, or :class:`Wrong`."""
        for n, (old, new) in enumerate(zip(self.before, self.after, strict=False), 1):
            if not isinstance(old, torch.Tensor) or isinstance(new, Opaque):
                continue
            same = isinstance(new, torch.Tensor) and old.shape == new.shape
            if not same or not torch.equal(old.nan_to_num(), new.to(old.dtype).nan_to_num()):
                raise Wrong(
                    f"{self.what} changes its argument number {n} in place; the caller still "
                    "needs it."
                )
        return self

    def dtype(self, wanted: torch.dtype) -> Reply:
        """A tensor has this dtype, or :class:`Wrong`."""
        if isinstance(self.value, torch.Tensor) and self.value.dtype != wanted:
            raise Wrong(f"{self.what} has dtype {self.value.dtype}, the inputs have {wanted}.")
        return self

    def shape(self, *wanted: int) -> Reply:
        """A tensor of this shape, or :class:`Wrong`."""
        if self.tensor.shape != wanted:
            raise Wrong(f"{self.what} has shape {tuple(self.tensor.shape)}; due is {wanted}.")
        return self


@dataclass(frozen=True)
class State:
    """A module as it stands: tensors by name; ``gradients`` None where there is none."""

    parameters: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    gradients: dict[str, torch.Tensor | None]
    trainable: dict[str, bool]
    training: bool


# --------------------------------------------------------------------------------------------
# Asking
# --------------------------------------------------------------------------------------------

#: Types of exceptions that a message may name; others are "an error".
ERRORS = frozenset(
    [
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "EOFError",
        "FileNotFoundError",
        "FloatingPointError",
        "ImportError",
        "IndentationError",
        "IndexError",
        "KeyError",
        "KeyboardInterrupt",
        "LookupError",
        "MemoryError",
        "ModuleNotFoundError",
        "NameError",
        "NotADirectoryError",
        "NotImplementedError",
        "OSError",
        "OverflowError",
        "PermissionError",
        "RecursionError",
        "RuntimeError",
        "StopIteration",
        "SyntaxError",
        "SystemExit",
        "TabError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "ValueError",
        "ZeroDivisionError",
    ]
)


class Student:
    """Asks a notebook for its names, and calls its functions. Subclasses say where it runs."""

    process = 0  # handles are those of one process

    def get(self, name: str) -> Any:
        """The value of a name; :class:`Wrong` if there is none, or it is still the dots."""
        return self._read(name, dict(op="get", name=name))[0]

    def call(
        self,
        name: str,
        *args: Any,
        wrt: Sequence[int | str] = (),
        cotangent: torch.Tensor | None = None,
        on: Handle | None = None,
        **kwargs: Any,
    ) -> Reply:
        """Call a function of the notebook, or a method of the object ``on`` ("": the object).

        Parameters
        ----------
        *args, **kwargs
            Numbers, text, tensors, lists, tuples, dictionaries, a :class:`Seed`, or handles.
        wrt
            Arguments (positions, or names of keywords) whose gradients are wanted.
        cotangent
            Weights of the outputs in these gradients, of their shape; ones without.
        """
        return self._call("call", name, args, kwargs, wrt, cotangent, on)

    def make(self, name: str, *args: Any, on: Handle | None = None, **kwargs: Any) -> Handle:
        """Call a function whose result stays there, such as a module or an optimiser."""
        value = self._call("make", name, args, kwargs, (), None, on).value
        if not isinstance(value, Handle):
            raise Wrong(f"{name} gave {kind_of(value)}; it must give an object.")
        return value

    def made(self, name: str, *args: Any, on: Handle | None = None, **kwargs: Any) -> Reply:
        """As :meth:`make`, for functions that give several things: objects come as handles."""
        return self._call("make", name, args, kwargs, (), None, on)

    def keep(self, name: str) -> Any:
        """As :meth:`get`; an object comes as a handle."""
        return self._read(name, dict(op="get", name=name, keep=True))[0]

    def state(self, module: Handle) -> State:
        """Parameters, buffers and gradients of a module."""
        self._own(module)
        what = f"the state of {plain(module.kind, 40)}"
        value, _ = self._read(what, dict(op="state", on=wire.encode(module, bytearray())))
        try:
            state = State(**value)
        except TypeError:
            raise Wrong(f"{what} came as no state of a module.") from None
        tables = (state.parameters, state.buffers, state.gradients, state.trainable)
        if not all(isinstance(table, dict) for table in tables):
            raise Wrong(f"{what} came as no state of a module.")
        return state

    def _call(
        self,
        op: str,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wrt: Sequence[int | str],
        cotangent: torch.Tensor | None,
        on: Handle | None,
    ) -> Reply:
        raw = bytearray()
        what = name or (f"the {plain(on.kind, 40)}" if on is not None else "the object")
        for value in (*args, *kwargs.values(), on):
            if isinstance(value, Handle):
                self._own(value)
        message = dict(
            op=op,
            name=name,
            args=[wire.encode(a, raw) for a in args],
            kwargs={k: wire.encode(a, raw) for k, a in kwargs.items()},
            cotangent=wire.encode(cotangent, raw),
            on=None if on is None else wire.encode(on, raw),
            wrt=list(wrt),
        )
        value, back = self._read(what, message, bytes(raw))
        return Reply(
            what,
            value,
            grads=back["grads"],
            before=(*args, *kwargs.values()),
            after=back["after"],
            attached=back["attached"],
            rng_same=back["rng_same"],
            moved=back["moved"],
        )

    def _own(self, handle: Handle) -> None:
        if handle.process != self.process:
            raise Wrong(
                f"the {plain(handle.kind, 40)} is gone: the process that held it was ended by a "
                "loop, by exit(), or by too much memory."
            )

    def _read(
        self, what: str, message: dict[str, Any], raw: bytes = b""
    ) -> tuple[Any, dict[str, Any]]:
        """The value that a reply carries, and what came with it, checked."""
        back, sent = self._ask(what, message, raw)
        try:
            if back.get("ok") is not True:
                raise Wrong(self._raised(what, back.get("error")))
            if back.get("there", True) is not True:
                raise Wrong(f"{what} is empty or not defined: replace the dots, and run the cell.")
            reader = wire.Reader(sent, process=self.process)
            value = reader.value(back.get("value"))
            grads = tuple(reader.value(g) for g in _at_most(back.get("grads", [])))
            after = tuple(reader.value(a) for a in _at_most(back.get("after", [])))
            moved = tuple(m is True for m in _at_most(back.get("moved", [])))
            if len(grads) != len(message.get("wrt", ())) or not all(
                g is None or isinstance(g, torch.Tensor) for g in grads
            ):
                raise wire.Bad("gradients")
        except wire.Bad as error:
            raise Wrong(f"{what} sent what is no answer ({plain(error, 60)}).") from None
        return value, dict(
            grads=grads,
            after=after,
            moved=moved,
            attached=back.get("attached") is True,
            rng_same=back.get("rng_same") is True,
        )

    def _raised(self, what: str, error: object) -> str:
        """The sentence for an exception of the student's code."""
        given: Mapping[str, Any] = error if isinstance(error, dict) else {}
        kind = given.get("type")
        if kind == "TookTooLong":
            return self._stopped(what)
        name = kind if isinstance(kind, str) and kind in ERRORS else "an error"
        cell, line, text = (given.get(key) for key in ("cell", "line", "text"))
        where = ""
        if type(cell) is int and type(line) is int and 0 < cell < 10**4 and 0 < line < 10**5:
            where = f" in line {line} of code cell {cell}"
        said = f": {plain(text)}" if isinstance(text, str) and text and self._may_quote() else ""
        return f"{what} raised {name}{where}{said}"

    def _stopped(self, what: str) -> str:
        return f"{what} was stopped: it took too long."

    def _may_quote(self) -> bool:
        """Whether a message may show the student's own text."""
        return True

    def _ask(self, what: str, message: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
        raise NotImplementedError


def _at_most(values: object, length: int = 64) -> list[Any]:
    if not isinstance(values, list) or len(values) > length:
        raise wire.Bad("list")
    return values


class Local(Student):
    """Asks the notebook that it runs in: for public checks, without hull and secret."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self._kept: list[Any] = []

    def _ask(self, what: str, message: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            reply, sent = answer(message, raw, self.names, self._kept)
        except Exception as error:
            return {"ok": False, "error": trouble(error)}, b""
        return reply, bytes(sent)


@dataclass(frozen=True)
class Injection:
    """Right answers of earlier questions: the ``names`` that ``source`` defines.

    The process that holds them is asked the later question only, and can read them.
    """

    names: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Limits:
    """CPU seconds; of the clock, six times as many."""

    cell: float = 10.0
    cells: float = 60.0  # all cells of one run
    total: float = 600.0  # a submission, all starts and questions together
    starts: int = 24  # of the process


@dataclass(frozen=True)
class Note:
    """What happened to a code cell (from 1)."""

    cell: int
    text: str

    def __str__(self) -> str:
        return f"code cell {self.cell} {self.text}"


@dataclass
class _Account:
    """Seconds used."""

    question: float = 0.0
    total: float = 0.0
    starts: int = 0
    skipped: set[int] = field(default_factory=set)


class Sandboxed(Student):
    """The notebook in a hull: a process for each injection, started anew when it has ended."""

    def __init__(self, slot: Slot, cells: Sequence[str], limits: Limits | None = None) -> None:
        """``cells``: the sources of the code cells, in order."""
        self.slot, self.cells = slot, tuple(cells)
        self.limits = limits or Limits()
        self.notes: list[Note] = []
        self.seconds = 10.0  # that this question may take
        self.injection: Injection | None = None
        self._job: Job | None = None
        self._used = _Account()

    def __enter__(self) -> Sandboxed:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def starts(self) -> int:
        """How often the process was started."""
        return self._used.starts

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return self._used.total

    def begin(self, seconds: float, injection: Injection | None = None) -> None:
        """A question begins: its own time, and a fresh process if its injection is another."""
        if injection != self.injection:
            self.end()
        self.seconds, self.injection = seconds, injection
        self._used.question = 0.0

    def end(self) -> None:
        """End the process; the next ask starts another."""
        job, self._job = self._job, None
        self.process = -1
        if job is not None:
            job.close()

    def _run_cells(self) -> Job:
        """The process with the cells run; a cell that ended it is left out from then on."""
        while self._job is None:
            if self._used.starts >= self.limits.starts or self._used.total > self.limits.total:
                raise Wrong(
                    "the notebook cannot be run: its cells end the process again and again, or "
                    f"take more than {self.limits.total:g} s in all."
                )
            self._used.starts += 1
            job = self.slot.job()
            try:
                if self._all_cells(job):
                    self._job = job
                    return job
            except BaseException:
                job.close()
                raise
        return self._job

    def _all_cells(self, job: Job) -> bool:
        """Run all cells; whether the process is still there."""
        if self.injection is not None:
            names, source = list(self.injection.names), self.injection.source
            back, _ = job.ask({"op": "inject", "names": names, "source": source})
            if back.get("ok") is not True:
                raise ValueError(f"the injection itself fails: {back.get('error')}")
        left = self.limits.cells
        for n, source in enumerate(self.cells, 1):
            if n in self._used.skipped:
                continue
            seconds = min(self.limits.cell, max(left, 0.5))
            why = ""
            try:
                back, _ = job.ask({"op": "cell", "source": source, "number": n}, seconds=seconds)
                if back.get("ok") is not True:
                    error = back.get("error")
                    self._note(n, self._raised("", error).strip())
            except wire.Late:
                why = f"took longer than {seconds:g} s"
            except wire.Fat:
                why = "used too much memory, disk or processes"
            except wire.Gone:
                why = "ended the process (exit, a crash, or too much memory)"
            except wire.Bad:
                why = "sent what is no answer"
            left -= job.cpu
            self._used.total += job.cpu
            if why:
                self._used.skipped.add(n)
                self._note(n, f"{why}; it was left out")
                return False
        return True

    def _note(self, cell: int, text: str) -> None:
        note = Note(cell, text)
        if note not in self.notes:
            self.notes.append(note)

    def _may_quote(self) -> bool:
        return self.injection is None  # the text could be that of the injected answer

    def _stopped(self, what: str) -> str:
        if not what:
            return f"was stopped: a cell may take {self.limits.cell:g} s"
        return f"{what} was stopped: this question may take {self.seconds:g} s."

    def _ask(self, what: str, message: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
        left = self.seconds - self._used.question
        if left <= 0:
            raise Wrong(self._stopped(what))
        job = self._run_cells()
        self.process = job.number
        began = time.monotonic()
        try:
            return job.ask(message, raw, max(left, 0.2))
        except wire.Late:
            why = self._stopped(what)
            self._used.question = self.seconds
        except wire.Fat:
            why = f"{what} used too much memory, disk or processes, and was ended."
        except wire.Gone:
            why = f"{what} ended the process: exit(), a crash, or too much memory (1.5 GB)."
        except wire.Bad as error:
            why = f"{what} sent what is no answer ({plain(error, 60)})."
        finally:
            used = min(job.cpu, time.monotonic() - began)
            self._used.question += used
            self._used.total += used
        self.end()
        raise Wrong(why)
