"""Torch functions, compiled ahead of time to one small WebAssembly module.

``make_fx`` records a function as a graph of ATen operations on tensors of known shapes. Every
operation becomes a loop in C, and zig's clang turns the C into a module that imports nothing: it
runs in any browser, in a worker, in Node. Special functions come from the C library inside the
module, never from the browser, so the same inputs give the same bits everywhere.

Two tables say what can be compiled: :data:`POINTWISE` (ATen operation -> C expression) and
:data:`OPERATIONS` (ATen operation -> the function below that writes its loops). Views (reshape,
transpose, select, split, expand ...) cost nothing: torch computes their strides here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import itertools
import json
import math
import operator
import os
import re
import subprocess
import sys
import tempfile
import traceback
import weakref
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pooch
import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["OPERATIONS", "POINTWISE", "Buffer", "Module", "Signature", "compile_functions"]

_RUNTIME = Path(__file__).with_name("runtime.c")
_FLAGS = (
    "-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", "-O3", "-fno-unroll-loops",
    "-fno-math-errno", "-ffp-contract=off", "-mexec-model=reactor", "-Wl,--no-entry",
    "-Wl,--strip-all", "-Wl,-z,stack-size=65536",
)  # fmt: skip
#: Turns from which a loop is long: its speed matters more than its size.
LONG = 4096
_C_TYPE = {
    torch.float32: "float",
    torch.float64: "double",
    torch.int64: "int64_t",
    torch.int32: "int32_t",
    torch.bool: "uint8_t",
}


@dataclass(frozen=True)
class Buffer:
    """Where a tensor lives in the module: the argument of its ``address`` export, and its form."""

    index: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Signature:
    """The buffers that one compiled function reads and writes, by name."""

    inputs: dict[str, Buffer]
    outputs: dict[str, Buffer]


@dataclass(frozen=True)
class Module:
    """A compiled module and all that a caller must know of it.

    Attributes
    ----------
    wasm
        The bytes of the module. Its exports: ``memory``; ``address(index)``, the place of a
        buffer in memory; one function without arguments for each compiled function, named
        ``run_<name>``; and, where noise was asked for, ``uniform`` and ``normal``, called with
        (address, count, seed, stream).
    functions
        The signature of each function.
    source
        The C that was compiled.
    """

    wasm: bytes = field(repr=False)
    functions: dict[str, Signature]
    source: str = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the module as it travels, deflated."""
        return len(zlib.compress(self.wasm, 9))

    def metadata(self) -> dict[str, Any]:
        """The signatures as plain JSON values, for the script that calls the module."""
        return json.loads(json.dumps({name: asdict(f) for name, f in self.functions.items()}))


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
_COMPARISONS = {"eq", "ge", "gt", "le", "lt", "ne", "isnan", "logical_and", "logical_not"}


def compile_functions(
    functions: Mapping[str, tuple[Callable[..., Any], Sequence[Tensor]]],
    *,
    noise: bool = False,
    seldom: Collection[str] = (),
) -> Module:
    """Compile torch functions into one WebAssembly module.

    Parameters
    ----------
    functions
        Name -> (function, example arguments). A function takes tensors and returns a tensor
        (named ``result``), a mapping or a named tuple of tensors. Shapes and dtypes are fixed to
        those of the examples; values are not. It may not branch on values.

        An argument is a buffer, and **arguments of one name are one buffer** in all functions:
        a state is written once and read by each. An output that has the name of an argument of
        its function is written back there, so calling again goes on from it.
    noise
        Add ``uniform`` and ``normal``: seeded, counter-based draws (Philox4x32-10, Salmon et
        al. 2011; Box and Muller 1958).
    seldom
        Functions that are called seldom: all their loops are compiled for size. Elsewhere loops
        of :data:`LONG` turns and more, and matrix products, are compiled for speed.

    Returns
    -------
    Module

    Raises
    ------
    NotImplementedError
        For an operation outside the tables of this module: the message names it and the line
        that used it.
    ValueError
        For arguments of one name and two shapes, or a name that is no identifier.
    ModuleNotFoundError
        If zig's compiler, which the extra ``lab`` installs, is not there.
    """
    program = _Program(noise, seldom)
    for name, (function, examples) in functions.items():
        if not name.isidentifier() or not name.isascii():
            raise ValueError(f"{name!r} cannot name a function; use letters, digits and _")
        program.add(name, function, examples)
    source = program.source()
    return Module(_build(source), program.signatures, source)


def _build(source: str) -> bytes:
    if importlib.util.find_spec("ziglang") is None:
        raise ModuleNotFoundError(
            "compiling for the browser needs zig's C compiler; install it with "
            "`pip install ziglang` (the extra `lab` of ganlib holds it)"
        )
    from importlib.metadata import version

    content = "\0".join([source, *_FLAGS, version("ziglang")])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    cached = Path(pooch.os_cache("ganlib")) / "wasm" / f"{key}.wasm"
    if cached.is_file():
        return cached.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        # Relative names: nothing of this machine may reach the module.
        Path(folder, "module.c").write_text(source)
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "module.c", "-o", "module.wasm"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"zig could not compile the module; its first words: {done.stderr[:600]}"
            )
        wasm = Path(folder, "module.wasm").read_bytes()
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as partial:
        partial.write(wasm)
    os.replace(partial.name, cached)  # a half-written file never has the name
    return wasm


class _Program:
    """The C of a module while functions are added to it."""

    def __init__(self, noise: bool, seldom: Collection[str]) -> None:
        self.noise, self.seldom = noise, seldom
        self.declarations: list[str] = []
        self.kernels: dict[str, str] = {}  # parameters and body of a loop nest -> its name
        self.fast: set[str] = set()  # names of those that are compiled for speed
        self.bodies: list[str] = []
        self.addresses: list[str] = []
        self.shared: dict[str, Tensor] = {}  # argument name -> the tensor that stands for it
        self.names: dict[int, str] = {}  # storage -> the C array that holds it
        self.kept: list[Tensor] = []  # storages stay alive, or their keys would be used again
        self.scratch = 0
        self.signatures: dict[str, Signature] = {}

    def add(self, name: str, function: Callable[..., Any], examples: Sequence[Tensor]) -> None:
        arguments = _argument_names(function, len(examples))
        shared = []
        for argument, example in zip(arguments, examples, strict=True):
            if example.dtype not in _C_TYPE:
                raise ValueError(f"{argument} has dtype {example.dtype}; {_kinds()} can be used")
            known = self.shared.get(argument)
            if known is None:
                known = example.detach().clone().contiguous()
                self.shared[argument] = known
                self.declare(known)
            elif (known.shape, known.dtype) != (example.shape, example.dtype):
                raise ValueError(
                    f"the argument {argument} of {name} has shape {tuple(example.shape)} and "
                    f"{example.dtype}, but {tuple(known.shape)} and {known.dtype} in another "
                    "function; arguments of one name are one buffer: rename one of them"
                )
            shared.append(known)
        graph, outputs = _recorded(function, shared)
        writer = _Writer(self, graph, name, function, shared)
        with torch.no_grad():
            results = writer.run(*shared)
        named = dict(zip(outputs, results, strict=True))
        reading = dict(zip(arguments, shared, strict=True))
        for key in named.keys() & reading.keys():
            if named[key].shape != reading[key].shape or named[key].dtype != reading[key].dtype:
                raise ValueError(
                    f"{name} returns {key} with shape {tuple(named[key].shape)}, its argument "
                    f"has {tuple(reading[key].shape)}; a value that is written back keeps its form"
                )
        # Copies first: writing one argument back must not disturb another output that views it.
        copies = {
            key: writer.pieces(value, reading[key]) if key in reading else [writer.settled(value)]
            for key, value in named.items()
        }
        for key, pieces in copies.items():
            if key in reading:
                for target, piece in pieces:
                    writer.assign(target, piece)
                named[key] = reading[key]
            else:
                (named[key],) = pieces
        head = f'EXPORT("run_{name}") SMALL void run_{name}(void) {{'
        self.bodies.append("\n".join([head, *writer.lines, "}\n"]))
        self.signatures[name] = Signature(
            {key: self.buffer(value) for key, value in reading.items()},
            {key: self.buffer(value) for key, value in named.items()},
        )

    def declare(self, tensor: Tensor, values: str = "") -> None:
        array = f"b{len(self.names)}"
        self.names[tensor.untyped_storage()._cdata] = array
        self.kept.append(tensor)
        size = max(tensor.untyped_storage().nbytes() // tensor.element_size(), 1)
        kind = _C_TYPE[tensor.dtype]
        const = "const " if values else ""
        self.declarations.append(
            f"static {const}{kind} {array}[{size}] __attribute__((aligned(32))){values};"
        )

    def ref(self, tensor: Tensor) -> str:
        array = self.names[tensor.untyped_storage()._cdata]
        return f"({array} + {tensor.storage_offset()})" if tensor.storage_offset() else array

    def buffer(self, tensor: Tensor) -> Buffer:
        place = self.ref(tensor)
        if place not in self.addresses:
            self.addresses.append(place)
        kind = str(tensor.dtype).removeprefix("torch.")
        return Buffer(self.addresses.index(place), tuple(tensor.shape), kind)

    def source(self) -> str:
        defines = ["#define NOISE\n"] * self.noise
        defines += [f"#define SCRATCH {self.scratch}\n"] * bool(self.scratch)
        cases = "".join(f"    case {i}: return {a};\n" for i, a in enumerate(self.addresses))
        address = (
            'EXPORT("address") const void *address(int index) {\n  switch (index) {\n'
            f"{cases}  }}\n  return 0;\n}}\n"
        )
        return "\n".join(
            [
                "".join(defines) + _RUNTIME.read_text(),
                *self.declarations,
                *(
                    f"{'KERNEL' if name in self.fast else 'SMALL KERNEL'} {name}{text}"
                    for text, name in self.kernels.items()
                ),
                *self.bodies,
                address,
            ]
        )


# Recording a training step takes seconds; a function that stands in several modules is recorded
# once. A graph does not keep its function alive.
_Recorded = tuple[fx.GraphModule, list[str]]
_RECORDED: weakref.WeakKeyDictionary[Callable[..., Any], dict[Any, _Recorded]]
_RECORDED = weakref.WeakKeyDictionary()


def _recorded(function: Callable[..., Any], examples: list[Tensor]) -> _Recorded:
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
    graph = make_fx(functionalize(recorded), decomposition_table=_decompositions())(*examples)
    for node in graph.graph.nodes:
        if _operation(node) in _VIEWS and _same_form(node, node.args[0]):
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


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    names = list(inspect.signature(function).parameters)
    if len(names) < count:
        raise ValueError(f"{count} example arguments for a function of {', '.join(names)}")
    return names[:count]


def _decompositions() -> dict[Any, Any]:
    aten = torch.ops.aten
    table: dict[Any, Any] = dict(core_aten_decompositions())
    for compiled in (aten.leaky_relu_backward, aten.tanh_backward, aten.sigmoid_backward):
        table.pop(compiled.default, None)  # POINTWISE has them: one loop in place of several
    table |= get_decompositions(
        [aten._softmax, aten._log_softmax, aten.elu, aten.gelu, aten.gelu_backward, aten.hardtanh]
    )
    table[aten.linalg_vector_norm.default] = _vector_norm
    table[aten.var.correction] = lambda x, *given, **options: _var_mean(x, *given, **options)[0]
    table[aten.var_mean.correction] = _var_mean
    table[aten.addmm.default] = _addmm
    table[aten.max.dim] = lambda x, dim, keepdim=False: (
        x.amax(dim, keepdim),
        x.argmax(dim, keepdim),
    )
    table[aten.min.dim] = lambda x, dim, keepdim=False: (
        x.amin(dim, keepdim),
        x.argmin(dim, keepdim),
    )
    table[aten.topk.default] = _topk
    table[aten._cdist_forward.default] = _cdist
    return table


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if bias.ndim == 1 and bias.shape[0] == b.shape[1] and beta == alpha == 1:
        return NotImplemented  # the compiled product has a place for such a bias
    return beta * bias + alpha * (a @ b)


def _var_mean(
    x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = list(range(x.ndim)) if dim is None else dim
    mean = x.mean(axes, keepdim=True)
    count = math.prod(x.shape[d] for d in axes) - (1 if correction is None else correction)
    var = (x - mean).square().sum(axes, keepdim) / max(count, 0)
    return var, mean if keepdim else mean.squeeze(axes)


def _topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    values, places = x.sort(dim, descending=largest)
    return values.narrow(dim, 0, k), places.narrow(dim, 0, k)


def _cdist(x: Tensor, y: Tensor, p: float, compute_mode: int | None) -> Any:
    if p != 2:
        return NotImplemented
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1).sqrt()


def _vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    if ord != 2 or dtype is not None:
        return NotImplemented
    axes = list(range(x.ndim)) if dim is None else dim
    return (x * x).sum(axes, keepdim).sqrt()


@dataclass(frozen=True, eq=False)
class _Pointwise:
    """An operation on elements that no array holds yet: its users compute it where they need it."""

    operation: str
    template: str
    arguments: dict[str, Any]
    result: Tensor
    place: int  # in the order of the graph: operands come before their users

    @property
    def operands(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.arguments.items() if isinstance(v, Tensor)}


class _Writer(fx.Interpreter):
    """Runs a graph on the example tensors and writes the C of each operation as it goes.

    A result that shares its storage with a known array is a view: torch has done the strides.
    A pointwise result whose users all stand in one loop over the same shape is never stored: it
    becomes a local variable of that loop.
    """

    def __init__(
        self,
        program: _Program,
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
        self.constants = _constants(graph.graph)
        self.fused = _fused(graph.graph, self.constants)
        self.numbers: dict[int, Tensor] = {}  # storages whose values depend on no argument
        self.pending: dict[int, _Pointwise] = {}
        self.joined: dict[int, dict[str, Any]] = {}  # returned joins, which need not be built
        self.places = itertools.count()
        self.node: fx.Node | None = None

    def run_node(self, node: fx.Node) -> Any:
        self.node = node
        if getattr(node.target, "overloadpacket", None) in _RANDOM:
            raise self.refusal("draws random numbers; pass the noise as an argument")
        result = super().run_node(node)
        if node.op in ("placeholder", "output") or node.target is operator.getitem:
            return result
        several = not isinstance(result, Tensor)
        results = list(result) if several else [result]
        if all(isinstance(r, Tensor) and self._known(r) for r in results):
            return result
        if node in self.constants and all(user in self.constants for user in node.users):
            return result  # its users are known too: only what they come to is written
        if not all(isinstance(r, Tensor) and r.dtype in _C_TYPE for r in results):
            strange = [r for r in results if isinstance(r, Tensor) and r.dtype not in _C_TYPE]
            raise self.refusal(f"makes a tensor of {strange[0].dtype}" if strange else "")
        results = [r.contiguous() for r in results]
        if node in self.constants:
            results = [self.embed(r) for r in results]
        else:
            self._write(node, results)
        return type(result)(results) if several else results[0]

    def _write(self, node: fx.Node, results: list[Tensor]) -> None:
        operation, arguments = (
            _operation(node),
            _bound(node.target, *self.fetch_args_kwargs_from_env(node)),
        )
        if operation in OPERATIONS:
            if operation == "cat" and all(user.op == "output" for user in node.users):
                self.joined[_key(results[0])] = arguments
                return
            for result in results:
                self.program.declare(result)
            OPERATIONS[operation](self, arguments, *results)
            return
        template = _template(operation, arguments)
        if template is None:
            raise self.refusal()
        (result,) = results
        used = {k: v for k, v in arguments.items() if f"{{{k}}}" in template}
        place = next(self.places)
        self.pending[_key(result)] = _Pointwise(operation, template, used, result, place)
        if node not in self.fused:
            self.settled(result)

    def _known(self, tensor: Tensor) -> bool:
        return _key(tensor) in self.program.names

    def embed(self, value: Tensor) -> Tensor:
        flat = value.flatten()
        if flat.numel() > 1 and bool((flat == flat[0]).all()):
            value = flat[:1].clone().expand(value.shape)  # zeros, ones: one number
            flat = flat[:1]
        else:
            value = value.clone()
        numbers = ", ".join(_literal(v, value.dtype) for v in flat.tolist()) or "0"
        self.program.declare(value, f" = {{{numbers}}}")
        self.numbers[_key(value)] = flat
        return value

    def refusal(self, what: str = "") -> NotImplementedError:
        """The error for the operation being written: what it is, and the line that used it."""
        assert self.node is not None
        where, line = _blamed(self.node.target, self.function, self.examples)
        return NotImplementedError(
            f"{self.node.target} {what or 'cannot be compiled'} (in {self.name}, {where}: "
            f"`{line}`); what can be used is listed in ganlib.lab.compiler.POINTWISE and "
            "OPERATIONS"
        )

    def settled(self, tensor: Tensor) -> Tensor:
        """A contiguous array of this tensor alone: itself where it is one, else a copy."""
        key = _key(tensor)
        if key in self.joined:
            self.program.declare(tensor)
            _cat(self, self.joined.pop(key), tensor)
            return tensor
        if key in self.pending:
            self.program.declare(tensor)
            self.assign(tensor, tensor)
            del self.pending[key]
            return tensor
        shared = {_key(t) for t in self.program.shared.values()}
        alone = tensor.is_contiguous() and tensor.storage_offset() == 0
        if alone and key not in shared and key not in self.numbers:
            return tensor
        copy = tensor.clone(memory_format=torch.contiguous_format)
        self.program.declare(copy)
        self.assign(copy, tensor)
        return copy

    def pieces(self, value: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What must be copied where so that ``target`` holds ``value``; no source is a target."""
        join = self.joined.get(_key(value), {"tensors": [value], "dim": 0})
        parts, dim = join["tensors"], join["dim"]
        if len(parts) == 1:
            places: Sequence[Tensor] = [target]
        else:
            places = target.split([part.shape[dim] for part in parts], dim)
        return [
            (place, self.settled(part))
            for place, part in zip(places, parts, strict=True)
            if not _same_place(place, part)
        ]

    def assign(self, target: Tensor, value: Tensor) -> None:
        """``target = value``, element by element; the value is broadcast."""
        kernel = _Kernel(self, target.shape, [value], target)
        kernel.body(f"{kernel.at(target)} = {kernel.element(value)};")


class _Kernel:
    """A loop nest over a shape, as a C function of the arrays it uses: equal loops are one.

    The operands that no array holds are computed in the body. Where ``where`` chooses between
    expensive values, only the one it takes is computed.
    """

    def __init__(
        self,
        writer: _Writer,
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
        leaves = [v for v in leaves if _key(v) not in writer.pending]
        self.flat = flat and all(
            _is_number(v) or (tuple(v.shape) == self.shape and v.is_contiguous())
            for v in [*leaves, target]
        )
        self.target = self.pointer(target, written=True)
        self.computed = self._block((), self._blocks(operands))

    def _needed(self, operands: Sequence[Tensor]) -> list[_Pointwise]:
        found: dict[int, _Pointwise] = {}
        waiting = list(operands)
        while waiting:
            step = self.writer.pending.get(_key(waiting.pop()))
            if step is not None and step.place not in found:
                found[step.place] = step
                waiting += step.operands.values()
        return [found[place] for place in sorted(found)]

    def _blocks(self, operands: Sequence[Tensor]) -> dict[tuple[Any, ...], list[_Pointwise]]:
        """Where each step is computed: in the innermost branch that holds all its uses."""
        used: dict[int, list[tuple[Any, ...]]] = {_key(v): [()] for v in operands}
        blocks: dict[tuple[Any, ...], list[_Pointwise]] = {}
        for step in reversed(self.steps):
            block = _common(used[_key(step.result)])
            blocks.setdefault(block, []).insert(0, step)
            for name, operand in step.operands.items():
                branch = self._branches(step) and name != "condition"
                inner = (*block, (step.place, name)) if branch else block
                used.setdefault(_key(operand), []).append(inner)
        return blocks

    def _branches(self, step: _Pointwise) -> bool:
        if step.operation != "where":
            return False
        sides = [v for k, v in step.operands.items() if k != "condition"]
        inside = self._needed(sides)
        return len(sides) == 2 and any(inner.operation in _EXPENSIVE for inner in inside)

    def _block(
        self, block: tuple[Any, ...], blocks: dict[tuple[Any, ...], list[_Pointwise]]
    ) -> str:
        lines = []
        for step in blocks.get(block, []):
            kind = _local_type(step.result.dtype)
            name = f"v{sum(isinstance(k, int) for k in self.names)}"
            if self._branches(step):
                condition = self.element(step.arguments["condition"])
                self.names[_key(step.result)] = name
                sides = []
                for side in ("self", "other"):
                    inner = self._block((*block, (step.place, side)), blocks)
                    sides.append(f"{{ {inner}{name} = {self.element(step.arguments[side])}; }}")
                lines.append(f"{kind} {name}; if ({condition}) {sides[0]} else {sides[1]} ")
            else:
                value = self._value(step)
                self.names[_key(step.result)] = name
                lines.append(f"const {kind} {name} = {value}; ")
        return "".join(lines)

    def _value(self, step: _Pointwise) -> str:
        # Comparisons are computed in the type of what is compared, all else in the result's.
        dtype = step.result.dtype
        numbers: list[Any] = [
            v for v in step.arguments.values() if isinstance(v, (Tensor, int, float))
        ]
        if step.operation in _COMPARISONS:
            dtype = torch.result_type(*numbers) if len(numbers) == 2 else numbers[0].dtype
        kind = _local_type(dtype)
        names = {}
        for key, value in step.arguments.items():
            if isinstance(value, Tensor):
                own = value.dtype if key == "condition" else dtype
                names[key] = self.element(value, own)
            elif isinstance(value, (int, float)):
                names[key] = f"({kind})({_literal(value, dtype)})"
        return re.sub(r"\{(\w+)\}", lambda m: names[m[1]], step.template)

    def element(self, tensor: Tensor, dtype: torch.dtype | None = None) -> str:
        """The element of an operand in this turn of the loop: a local variable, or a number."""
        key: Any = _key(tensor)
        number = self.writer.numbers.get(key)
        if number is not None and len(number) == 1:
            kind = _local_type(dtype or tensor.dtype)
            return f"({kind})({_literal(number.item(), number.dtype)})"
        if key not in self.writer.pending:
            kind = _local_type(tensor.dtype)
            count = None if number is None else _progression(number)
            key = self.at(tensor) if count is None else self.counted(tensor, *count)
            if key not in self.names:
                self.names[key] = f"x{len(self.loads)}"
                self.loads.append(f"const {kind} {self.names[key]} = ({kind})({key});")
        name = self.names[key]
        if dtype is None or dtype == tensor.dtype:
            return name
        return f"(({_local_type(dtype)}){name})"

    def pointer(self, tensor: Tensor, *, written: bool = False) -> str:
        """The parameter that points at the first element of a tensor."""
        place = self.writer.program.ref(tensor)
        if place not in self.parameters:
            kind = _C_TYPE[tensor.dtype]
            name = f"p{len(self.parameters)}"
            # Arrays are never written where they are read: loops may be turned into lanes.
            form = f"{kind} *restrict {name}" if written else f"const {kind} *{name}"
            self.parameters[place] = form
        return self.parameters[place].rpartition(" ")[2].lstrip("*")

    def at(self, tensor: Tensor, *, but: int | None = None) -> str:
        """The C of a tensor's element in this turn; ``but`` leaves one axis at 0."""
        if self.flat and but is None:
            return f"{self.pointer(tensor)}[{'i' if not _is_number(tensor) else '0'}]"
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


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _progression(numbers: Tensor) -> tuple[int, int] | None:
    """Start and step of integers, of any dtype, that stand at equal distances."""
    wide = numbers.double()
    if len(wide) < 2 or not bool((wide == wide.round()).all() and wide.abs().max() < 2**24):
        return None
    start, step = int(wide[0]), int(wide[1] - wide[0])
    line = start + step * torch.arange(len(wide), dtype=torch.float64)
    return (start, step) if torch.equal(wide, line) else None


def _is_number(tensor: Tensor) -> bool:
    """One element, be it seen at many places."""
    return all(n == 1 or s == 0 for n, s in zip(tensor.shape, tensor.stride(), strict=True))


def _same_place(a: Tensor, b: Tensor) -> bool:
    return (_key(a), a.storage_offset(), a.shape, a.stride()) == (
        _key(b), b.storage_offset(), b.shape, b.stride())  # fmt: skip


def _common(paths: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The longest common start of some paths."""
    first, last = min(paths, key=len), ()
    for i in range(len(first) + 1):
        if all(path[:i] == first[:i] for path in paths):
            last = first[:i]
    return last


def _local_type(dtype: torch.dtype) -> str:
    return "_Bool" if dtype == torch.bool else _C_TYPE[dtype]


def _operation(node: fx.Node) -> str:
    return str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.")


def _constants(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on no argument."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "get_attr" or (
            node.op == "call_function" and all(n in found for n in node.all_input_nodes)
        ):
            found.add(node)
    return found


def _fused(graph: fx.Graph, constants: set[fx.Node]) -> set[fx.Node]:
    """The pointwise nodes whose users all stand in one loop nest over the node's own shape."""
    loops: dict[fx.Node, fx.Node] = {}  # node -> the node whose loop computes it
    fused: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        loops[node] = node
        if node in constants or not _is_pointwise(node):
            continue
        roots = {loops[user] for user in node.users}
        if len(roots) == 1 and all(_takes_in(user, node) for user in node.users):
            fused.add(node)
            (root,) = roots
            loops[node] = node if _operation(root) == "cat" else root
    return fused


def _is_pointwise(node: fx.Node) -> bool:
    if node.op != "call_function":
        return False
    if node.target is operator.getitem or not isinstance(node.meta.get("val"), Tensor):
        return False
    operation = _operation(node)
    return operation not in OPERATIONS and bool(
        _template(operation, _bound(node.target, node.args, node.kwargs))
    )


def _takes_in(user: fx.Node, node: fx.Node) -> bool:
    """Whether the loop of ``user`` can compute ``node``: it turns over the same shape."""
    if _operation(user) == "cat":
        parts: Any = user.args[0]
        return parts.count(node) == 1
    if _operation(user) in _FOLDS:
        return True
    return _is_pointwise(user) and user.meta["val"].shape == node.meta["val"].shape


_RANDOM = {
    torch.ops.aten.rand, torch.ops.aten.randn, torch.ops.aten.rand_like, torch.ops.aten.randn_like,
    torch.ops.aten.randint, torch.ops.aten.randperm, torch.ops.aten.normal,
    torch.ops.aten.bernoulli, torch.ops.aten.multinomial, torch.ops.aten.native_dropout,
}  # fmt: skip


def _template(operation: str, arguments: dict[str, Any]) -> str | None:
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


def _bound(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of its schema, defaults filled in."""
    bound = {}
    for i, argument in enumerate(target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        bound[argument.name] = args[i] if i < len(args) else kwargs.get(argument.name, default)
    return bound


def _matmul(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    bias = arguments["self"] if "mat1" in arguments else None
    a, b = arguments["self" if bias is None else "mat1"], arguments["mat2"]
    if bias is not None and bias.stride(0) != 1:
        bias = writer.settled(bias)
    _product(writer, a, b, result, bias)


def _bmm(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    for a, b, c in zip(arguments["self"], arguments["mat2"], result, strict=True):
        _product(writer, a, b, c, None)


def _product(writer: _Writer, a: Tensor, b: Tensor, result: Tensor, bias: Tensor | None) -> None:
    (rows, inner), columns = a.shape, b.shape[1]
    program = writer.program
    if result.dtype == torch.float32:
        packed = inner * columns if columns >= 8 and b.stride(1) != 1 else 0
        program.scratch = max(program.scratch, packed + inner)
        given = ["0" if t is None else program.ref(t) for t in (a, b, result, bias)]
        writer.lines.append(
            f"  matmul({rows}, {columns}, {inner}, {given[0]}, {a.stride(0)}, {a.stride(1)}, "
            f"{given[1]}, {b.stride(0)}, {b.stride(1)}, {given[2]}, {given[3]});"
        )
        return
    # Double precision is for small figures: a loop over k for each number of the result.
    shape = (rows, columns, inner)
    left, right = a.unsqueeze(1).expand(shape), b.T.unsqueeze(0).expand(shape)
    kernel = _Kernel(writer, shape, [], result.unsqueeze(2).expand(shape), flat=False)
    kind = _local_type(result.dtype)
    add = kernel.loop(f"a += {kernel.at(left)} * {kernel.at(right)};", axes=[2])
    start = "0" if bias is None else kernel.at(bias.expand(rows, columns).unsqueeze(2))
    store = f"{kind} a = {start}; {add} {kernel.at(result.unsqueeze(2))} = a;"
    kernel.write(kernel.loop(f"{{ {store} }}", axes=[0, 1]))


_ENDS = {
    torch.int64: ("INT64_MIN", "INT64_MAX"),
    torch.int32: ("INT32_MIN", "INT32_MAX"),
    torch.bool: ("0", "1"),
}


@dataclass(frozen=True)
class _Fold:
    """Loops that fold ``update`` (of accumulator {a} and element {x}) over some axes."""

    start: str
    update: str
    mean: bool = False

    def __call__(self, writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
        x, dims = arguments["self"], arguments.get("dim")
        axes = range(x.ndim) if dims is None or dims == [] else (
            [dims] if isinstance(dims, int) else dims)  # fmt: skip
        folded = {d % x.ndim for d in axes} if x.ndim else set()
        kind = _local_type(result.dtype)
        start = self.start
        if "INFINITY" in start and not result.is_floating_point():
            lowest, highest = _ENDS[result.dtype]
            start = lowest if start.startswith("-") else highest
        if result.numel() == 1:  # one number: the sum of many is kept in double
            kernel = _Kernel(writer, x.shape, [x], result)
            wide = "double" if result.is_floating_point() else kind
            update = self.update.format(a="a", x=kernel.element(x, result.dtype))
            loop = kernel.loop(kernel.turn(f"a = {update};"))
            over = f" / {x.numel()}" if self.mean else ""
            kernel.write(f"{wide} a = {start}; {loop} {kernel.target}[0] = a{over};")
            return
        kept = [n for d, n in enumerate(x.shape) if d not in folded]
        strides = list(torch.empty(kept, device="meta").stride())
        strides = [0 if d in folded else strides.pop(0) for d in range(x.ndim)]
        place = result.as_strided(x.shape, strides)
        kernel = _Kernel(writer, x.shape, [x], place, flat=False)
        count = kernel.bound(result.numel())
        each = f"for (int i = 0; i < {count}; i++) {kernel.target}[i]"
        update = self.update.format(a=kernel.at(place), x=kernel.element(x, result.dtype))
        loop = kernel.loop(kernel.turn(f"{kernel.at(place)} = {update};"))
        over = f"\n  {each} /= {math.prod(x.shape[d] for d in folded)};" if self.mean else ""
        kernel.write(f"{each} = {start};\n  {loop}{over}")


def _cat(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    dim, start = arguments["dim"], 0
    for part in arguments["tensors"]:
        if part.numel() == 0:
            continue
        writer.assign(result.narrow(dim, start, part.shape[dim]), part)
        start += part.shape[dim]


def _select_scatter(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    writer.assign(result, arguments["self"])
    writer.assign(result.select(arguments["dim"], arguments["index"]), arguments["src"])


def _slice_scatter(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    writer.assign(result, arguments["self"])
    start, end, step = arguments["start"], arguments["end"], arguments["step"]
    view = torch.ops.aten.slice.Tensor(result, arguments["dim"], start, end, step)
    writer.assign(view, arguments["src"])


def _along(writer: _Writer, x: Tensor, dim: int, target: Tensor) -> tuple[_Kernel, int, str, str]:
    """A loop nest for what runs along one axis: the kernel, the axis, x[j] and target[j] in C."""
    if x.ndim == 0:
        x, target, dim = x.reshape(1), target.reshape(1), 0
    dim %= x.ndim
    kernel = _Kernel(writer, x.shape, [], target, flat=False)
    read, written = (
        f"{kernel.at(t, but=dim)[:-1]} + {{j}} * {t.stride(dim)}]" for t in (x, target)
    )
    return kernel, dim, read, written


def _cumsum(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    kernel, dim, x, out = _along(writer, arguments["self"], arguments["dim"], result)
    add = f"a += {x}, {out} = a;".format(j="j")
    count = kernel.bound(kernel.shape[dim])
    turn = f"{{ {_C_TYPE[result.dtype]} a = 0; for (int j = 0; j < {count}; j++) {add} }}"
    kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))


def _extreme_place(better: str) -> Callable[..., None]:
    """Where an axis has its first largest or smallest element; NaN counts as such, as in torch."""

    def write(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
        x, dim = arguments["self"], arguments["dim"]
        if dim is None:
            x, dim = writer.settled(x).reshape(-1), 0
        dim = dim % x.ndim if x.ndim else 0
        spread = result if arguments["keepdim"] and x.ndim else result.unsqueeze(dim)
        if arguments["dim"] is None:
            spread = result.reshape(1)
        kernel, dim, at, out = _along(writer, x, dim, spread.expand(x.shape or (1,)))
        best, new = at.format(j="best"), at.format(j="j")
        test = f"{best} == {best} && ({new} {better} {best} || {new} != {new})"
        count = kernel.bound(kernel.shape[dim])
        turn = (
            f"{{ int best = 0; for (int j = 1; j < {count}; j++) if ({test}) best = j; "
            f"{out.format(j='0')} = best; }}"
        )
        kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))

    return write


_LONGEST_SORT = 4096


def _sort(writer: _Writer, arguments: dict[str, Any], values: Tensor, places: Tensor) -> None:
    """Insertion, which is stable, and fast enough for what a figure shows; NaN goes last."""
    x = arguments["self"]
    length = x.shape[arguments["dim"]] if x.ndim else 1
    if length > _LONGEST_SORT:
        raise writer.refusal(f"of {length} elements is slow here; sort at most {_LONGEST_SORT}")
    kernel, dim, at, out = _along(writer, x, arguments["dim"], values)
    target = places if x.ndim else places.reshape(1)
    where = kernel.pointer(target, written=True)
    index = f"{where}[{kernel.offset(target, but=dim)} + {{j}} * {target.stride(dim)}]"
    before = "x < {v} || ({v} != {v} && x == x)"
    if arguments["descending"]:
        before = "x > {v} || (x != x && {v} == {v})"
    test = before.format(v=out.format(j="(j - 1)"))
    count = kernel.bound(length)
    turn = (
        f"for (int n = 0; n < {count}; n++) {{ const {_C_TYPE[x.dtype]} x = {at.format(j='n')}; "
        f"int j = n; for (; j > 0 && ({test}); j--) {out.format(j='j')} = "
        f"{out.format(j='(j - 1)')}, {index.format(j='j')} = {index.format(j='(j - 1)')}; "
        f"{out.format(j='j')} = x, {index.format(j='j')} = n; }}"
    )
    kernel.write(kernel.loop(turn, axes=[d for d in range(len(kernel.shape)) if d != dim]))


def _inside(index: str, length: int) -> str:
    """An index from a tensor, negative from the end; beyond an end it is the end."""
    positive = f"({index} < 0 ? {index} + {length} : {index})"
    return f"({positive} < 0 ? 0 : {positive} < {length} ? {positive} : {length - 1})"


def _gather(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x, index = arguments["self"], arguments["index"]
    if result.ndim == 0:
        writer.assign(result, x.reshape(()))
        return
    dim = arguments["dim"] % result.ndim
    kernel = _Kernel(writer, result.shape, [index], result, flat=False)
    strides = [0 if d == dim else stride for d, stride in enumerate(x.stride())]
    start = kernel.offset(x.as_strided(result.shape, strides))
    place = f"{start} + {_inside(kernel.element(index), x.shape[dim])} * {x.stride(dim)}"
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{place}];")


def _index_select(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    dim = arguments["dim"] % max(result.ndim, 1)
    shape = [1] * result.ndim
    if result.ndim:
        shape[dim] = -1
    index = arguments["index"].reshape(shape).expand(result.shape)
    _gather(writer, {**arguments, "dim": dim, "index": index}, result)


def _indexed(
    writer: _Writer, x: Tensor, indices: Sequence[Tensor | None]
) -> Callable[[Sequence[int]], tuple[list[Tensor], Callable[[_Kernel], str]]]:
    """For x[indices] of some shape: the index tensors so spread, and the offset in x in C."""
    indices = [*indices, *[None] * (x.ndim - len(indices))]
    used = [(d, index) for d, index in enumerate(indices) if index is not None]
    if any(index.dtype == torch.bool for _, index in used):
        raise writer.refusal("by a mask has a size that depends on values; use torch.where")
    together = torch.broadcast_tensors(*(index for _, index in used))
    # The indexed axes stand where the first was, or in front if they are not neighbours.
    first, last = used[0][0], used[-1][0]
    front = first if last - first == len(used) - 1 else 0
    rest = [d for d in range(x.ndim) if indices[d] is None]
    axes = [*rest[:front], *[None] * together[0].ndim, *rest[front:]]
    strides = [0 if d is None else x.stride(d) for d in axes]

    def spread(shape: Sequence[int]) -> tuple[list[Tensor], Callable[[_Kernel], str]]:
        own = [n if d is None else 1 for d, n in zip(axes, shape, strict=True)]
        places = [index.reshape(own).expand(shape) for index in together]

        def offset(kernel: _Kernel) -> str:
            terms = [kernel.offset(x.as_strided(shape, strides))]
            for (d, _), place in zip(used, places, strict=True):
                index = _inside(kernel.element(place), x.shape[d])
                terms.append(f"{index} * {x.stride(d)}")
            return " + ".join(terms)

        return places, offset

    return spread


def _index(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    places, offset = _indexed(writer, x, arguments["indices"])(result.shape)
    kernel = _Kernel(writer, result.shape, places, result, flat=False)
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{offset(kernel)}];")


def _index_put(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    indices, values = arguments["indices"], arguments["values"]
    writer.assign(result, arguments["self"])
    spread = _indexed(writer, result, indices)
    shape = result[tuple(slice(None) if i is None else i for i in indices)].shape
    places, offset = spread(shape)
    values = values.expand(shape)
    kernel = _Kernel(writer, shape, [*places, values], result, flat=False)
    sign = "+=" if arguments["accumulate"] else "="
    kernel.body(f"{kernel.target}[{offset(kernel)}] {sign} {kernel.element(values)};")


def _scatter(sign: str) -> Callable[..., None]:
    def write(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
        index, source = arguments["index"], arguments.get("src")
        writer.assign(result, arguments["self"])
        if result.ndim == 0:
            raise writer.refusal("of one number is not compiled; add it")
        dim = arguments["dim"] % result.ndim
        if source is None:
            source = torch.tensor(arguments["value"], dtype=result.dtype)
            source = writer.embed(source)
        source = source.as_strided(index.shape, source.stride()) if source.ndim else source
        operands = [index, source.expand(index.shape)]
        kernel = _Kernel(writer, index.shape, operands, result, flat=False)
        strides = [0 if d == dim else stride for d, stride in enumerate(result.stride())]
        start = kernel.offset(result.as_strided(index.shape, strides))
        place = _inside(kernel.element(index), result.shape[dim])
        value = kernel.element(operands[1])
        kernel.body(f"{kernel.target}[{start} + {place} * {result.stride(dim)}] {sign} {value};")

    return write


def _repeat(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    x = x.reshape([1] * (result.ndim - x.ndim) + list(x.shape))
    split = [n for size in zip(arguments["repeats"], x.shape, strict=True) for n in size]
    strides = [s for stride in x.stride() for s in (0, stride)]
    writer.assign(result.view(split), x.as_strided(split, strides, x.storage_offset()))


def _flip(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    x = arguments["self"]
    flipped = {d % x.ndim for d in arguments["dims"]} if x.ndim else set()
    kernel = _Kernel(writer, x.shape, [], result, flat=False)
    last = sum((x.shape[d] - 1) * x.stride(d) for d in flipped)
    strides = [-s if d in flipped else s for d, s in enumerate(x.stride())]
    terms = [f"i{d} * {s}" for d, s in enumerate(strides) if x.shape[d] > 1]
    kernel.body(f"{kernel.at(result)} = {kernel.pointer(x)}[{' + '.join([str(last), *terms])}];")


_FOLDS: dict[str, Callable[[_Writer, dict[str, Any], Tensor], None]] = {
    "amax": _Fold("-INFINITY", "{x} > {a} || {x} != {x} ? {x} : {a}"),
    "amin": _Fold("INFINITY", "{x} < {a} || {x} != {x} ? {x} : {a}"),
    "any": _Fold("0", "{a} || {x}"),
    "mean": _Fold("0", "{a} + {x}", mean=True),
    "prod": _Fold("1", "{a} * {x}"),
    "sum": _Fold("0", "{a} + {x}"),
}

#: Operations that are more than a formula for one element.
OPERATIONS: dict[str, Callable[..., None]] = {
    **_FOLDS,
    "addmm": _matmul,
    "argmax": _extreme_place(">"),
    "argmin": _extreme_place("<"),
    "bmm": _bmm,
    "cat": _cat,
    "cumsum": _cumsum,
    "flip": _flip,
    "gather": _gather,
    "index": _index,
    "index_put": _index_put,
    "index_select": _index_select,
    "mm": _matmul,
    "repeat": _repeat,
    "scatter": _scatter("="),
    "scatter_add": _scatter("+="),
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
    "sort": _sort,
}

#: Operations worth a branch: where ``where`` does not take their value, they are not computed.
_EXPENSIVE = {
    "acos", "asin", "atan", "atan2", "cos", "cosh", "erf", "erfc", "exp", "expm1", "log", "log10",
    "log1p", "log2", "pow", "sigmoid", "sin", "sinh", "tan", "tanh",
}  # fmt: skip


def _literal(value: float, dtype: torch.dtype) -> str:
    if not dtype.is_floating_point:
        return str(int(value)) if math.isfinite(value) else "0"
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{float(value)!r}{'f' if dtype == torch.float32 else ''}"


def _kinds() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in _C_TYPE)


class _Finder(TorchDispatchMode):
    """Notes where the first call of an operation comes from."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation
        self.frames: list[traceback.FrameSummary] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.frames and str(func.overloadpacket).rstrip("_") == self.operation:
            self.frames = list(traceback.extract_stack())
        return func(*args, **(kwargs or {}))


def _blamed(
    target: Any, function: Callable[..., Any], examples: Sequence[Tensor]
) -> tuple[str, str]:
    """The line of the user's function that used an operation: "line 3 of file.py", its code."""
    finder = _Finder(str(getattr(target, "overloadpacket", target)).rstrip("_"))
    with finder:
        function(*examples)
    torch_folder = str(Path(torch.__file__).parent)
    frames = [f for f in finder.frames if not f.filename.startswith(torch_folder)]
    called = [i for i, f in enumerate(frames) if f.name == "_blamed"]
    frames = [f for f in frames[called[-1] + 1 :] if f.filename != __file__] if called else []
    # In the user's own file where possible: a loss may call the library on the way.
    code = getattr(inspect.unwrap(function), "__code__", None)
    own = [f for f in frames if code is not None and f.filename == code.co_filename]
    for frame in reversed(own or frames):
        return f"line {frame.lineno} of {Path(frame.filename).name}", (frame.line or "").strip()
    return "inside another torch operation", str(target)
