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
import json
import math
import operator
import os
import re
import subprocess
import sys
import tempfile
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pooch
import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["OPERATIONS", "POINTWISE", "Buffer", "Module", "Signature", "compile_functions"]

_RUNTIME = Path(__file__).with_name("runtime.c")
_FLAGS = (
    "-target", "wasm32-wasi", "-mcpu=generic+simd128+bulk_memory", "-O3", "-fno-math-errno",
    "-ffp-contract=off", "-mexec-model=reactor", "-Wl,--no-entry", "-Wl,--strip-all",
    "-Wl,-z,stack-size=65536",
)  # fmt: skip
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
    functions: Mapping[str, tuple[Callable[..., Any], Sequence[Tensor]]], *, noise: bool = False
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
    program = _Program(noise)
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

    def __init__(self, noise: bool) -> None:
        self.noise = noise
        self.declarations: list[str] = []
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
        graph, outputs = _trace(function, shared)
        writer = _Writer(self, graph, name, function, shared)
        with torch.no_grad():
            results = writer.run(*shared)
        named = dict(zip(outputs, results, strict=True))
        reading = dict(zip(arguments, shared, strict=True))
        # Copies first: writing one argument back must not disturb another output that views it.
        named = {key: writer.settled(value) for key, value in named.items()}
        for key in named.keys() & reading.keys():
            if named[key].shape != reading[key].shape or named[key].dtype != reading[key].dtype:
                raise ValueError(
                    f"{name} returns {key} with shape {tuple(named[key].shape)}, its argument "
                    f"has {tuple(reading[key].shape)}; a value that is written back keeps its form"
                )
            size = reading[key].numel()
            writer.lines.append(_copy(self.ref(reading[key]), self.ref(named[key]), size))
            named[key] = reading[key]
        self.bodies.append(
            f'EXPORT("run_{name}") void run_{name}(void) {{\n' + "\n".join(writer.lines) + "\n}\n"
        )
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
            ["".join(defines) + _RUNTIME.read_text(), *self.declarations, *self.bodies, address]
        )


def _trace(
    function: Callable[..., Any], examples: list[Tensor]
) -> tuple[fx.GraphModule, list[str]]:
    outputs: list[str] = []

    def flat(*arguments: Tensor) -> tuple[Tensor, ...]:
        named = _named(function(*arguments))
        outputs[:] = named
        return tuple(named.values())

    # Twice: the recorded graph is plain ATen, from which in-place operations can then be removed.
    recorded = make_fx(flat)(*examples)
    graph = make_fx(functionalize(recorded), decomposition_table=_decompositions())(*examples)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, outputs


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
    table[aten.linalg_vector_norm.default] = _vector_norm
    return table


def _vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    if ord != 2 or dtype is not None:
        return NotImplemented
    axes = list(range(x.ndim)) if dim is None else dim
    return (x * x).sum(axes, keepdim).sqrt()


class _Writer(fx.Interpreter):
    """Runs a graph on the example tensors and writes the C of each operation as it goes.

    A result that shares its storage with a known array is a view: torch has done the strides.
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
        self.constant: set[int] = set()  # storages whose values depend on no argument

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        if node.op in ("placeholder", "output") or node.target is operator.getitem:
            return result
        if not isinstance(result, Tensor):
            # Several views at once (split, unbind). Anything else has no C here.
            if all(isinstance(r, Tensor) and self._known(r) for r in result):
                return result
            raise self._refusal(node)
        if self._known(result):
            return result
        if result.dtype not in _C_TYPE:
            raise self._refusal(node, f"makes a tensor of {result.dtype}")
        result = result.contiguous()
        if node.op == "get_attr" or self._is_constant(node):
            return self._embed(result)
        packet = getattr(node.target, "overloadpacket", None)
        operation = str(packet).removeprefix("aten.")
        arguments = _bound(node.target, *self.fetch_args_kwargs_from_env(node))
        write = OPERATIONS.get(operation)
        template = None if write else _template(operation, arguments)
        if write is None and template is None:
            raise self._refusal(node)
        self.program.declare(result)
        if write is not None:
            write(self, arguments, result)
        else:
            assert template is not None
            self.pointwise(operation, template, arguments, result)
        return result

    def _known(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.program.names

    def _is_constant(self, node: fx.Node) -> bool:
        if getattr(node.target, "overloadpacket", None) in _RANDOM:
            raise self._refusal(node, "draws random numbers; pass the noise as an argument")
        return all(
            self.env[n].untyped_storage()._cdata in self.constant
            if isinstance(self.env[n], Tensor)
            else False
            for n in node.all_input_nodes
        )

    def _embed(self, value: Tensor) -> Tensor:
        flat = value.flatten()
        if flat.numel() > 1 and bool((flat == flat[0]).all()):
            value = flat[:1].clone().expand(value.shape)  # zeros, ones: one number
            flat = flat[:1]
        else:
            value = value.clone()
        numbers = ", ".join(_literal(v, value.dtype) for v in flat.tolist()) or "0"
        self.program.declare(value, f" = {{{numbers}}}")
        self.constant.add(value.untyped_storage()._cdata)
        return value

    def _refusal(self, node: fx.Node, what: str = "cannot be compiled") -> NotImplementedError:
        where, line = _blamed(node.target, self.function, self.examples)
        return NotImplementedError(
            f"{node.target} {what} (in {self.name}, {where}: `{line}`); what can be used is "
            "listed in ganlib.lab.compiler.POINTWISE and OPERATIONS"
        )

    def settled(self, tensor: Tensor) -> Tensor:
        """A contiguous array of this tensor alone: itself where it is one, else a copy."""
        alone = tensor.is_contiguous() and tensor.storage_offset() == 0
        shared = {t.untyped_storage()._cdata for t in self.program.shared.values()}
        key = tensor.untyped_storage()._cdata
        if alone and key not in shared and key not in self.constant:
            return tensor
        copy = tensor.clone(memory_format=torch.contiguous_format)
        self.program.declare(copy)
        self.pointwise("clone", "{self}", {"self": tensor}, copy)
        return copy

    def element(self, tensor: Tensor, shape: Sequence[int], flat: bool) -> str:
        if flat:
            index = "i" if tensor.numel() > 1 else "0"
        else:
            strides = tensor.expand(shape).stride()
            index = _index(shape, strides)
        return f"{self.program.ref(tensor)}[{index}]"

    def loop(self, shape: Sequence[int], body: str) -> None:
        heads = "".join(
            f"for (int i{d} = 0; i{d} < {n}; i{d}++) " for d, n in enumerate(shape) if n != 1
        )
        self.lines.append(f"  {heads}{{ {body} }}")

    def pointwise(
        self, operation: str, template: str, arguments: dict[str, Any], result: Tensor
    ) -> None:
        tensors = {k: v for k, v in arguments.items() if isinstance(v, Tensor)}
        # Comparisons are computed in the type of what is compared, all else in the result's.
        dtype = result.dtype
        if operation in _COMPARISONS:
            numbers: list[Any] = [
                v for v in arguments.values() if isinstance(v, (Tensor, int, float))
            ]
            dtype = torch.result_type(*numbers) if len(numbers) == 2 else numbers[0].dtype
        kind = _C_TYPE[dtype]
        shape = tuple(result.shape)
        flat = all(t.numel() == 1 or (t.shape == shape and t.is_contiguous())
                   for t in tensors.values())  # fmt: skip
        names = {}
        loads = []
        for key, value in arguments.items():
            if isinstance(value, Tensor):
                own = _C_TYPE[torch.bool] if key == "condition" else kind
                loads.append(f"const {own} {key}_ = {self.element(value, shape, flat)};")
                names[key] = f"{key}_"
            elif isinstance(value, (int, float)):
                names[key] = f"({kind})({_literal(value, dtype)})"
        value_in_c = re.sub(r"\{(\w+)\}", lambda m: names[m[1]], template)
        body = " ".join([*loads, f"{self.element(result, shape, flat)} = {value_in_c};"])
        if flat:
            self.lines.append(f"  for (int i = 0; i < {result.numel()}; i++) {{ {body} }}")
        else:
            self.loop(shape, body)


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
    bias = arguments.get("self") if "mat1" in arguments else None
    a, b = (arguments["mat1"] if bias is not None else arguments["self"]), arguments["mat2"]
    plain = arguments.get("beta", 1) == 1 and arguments.get("alpha", 1) == 1
    along = bias is None or (bias.shape[-1:] == result.shape[1:] and bias.stride(-1) == 1)
    if result.dtype != torch.float32 or not plain or not along:
        raise NotImplementedError(
            "a matrix product is compiled for float32, with a plain bias of one number a column"
        )
    if bias is not None and bias.ndim == 2 and bias.shape[0] > 1 and bias.stride(0) != 0:
        raise NotImplementedError("addmm with a matrix to add is not compiled; add it afterwards")
    (rows, inner), columns = a.shape, b.shape[1]
    if columns >= 8 and b.stride(1) != 1:
        writer.program.scratch = max(writer.program.scratch, inner * columns)
    writer.program.scratch = max(writer.program.scratch, 1)
    ref = writer.program.ref
    writer.lines.append(
        f"  matmul({rows}, {columns}, {inner}, {ref(a)}, {a.stride(0)}, {a.stride(1)}, {ref(b)}, "
        f"{b.stride(0)}, {b.stride(1)}, {ref(result)}, {'0' if bias is None else ref(bias)});"
    )


def _reduction(start: str, update: str, *, mean: bool = False) -> Callable[..., None]:
    """Loops that fold ``update`` (of accumulator {a} and element {x}) over some axes."""

    def write(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
        x = arguments["self"]
        dims = arguments.get("dim")
        axes = range(x.ndim) if dims is None or dims == [] else (
            [dims] if isinstance(dims, int) else dims)  # fmt: skip
        folded = {d % x.ndim for d in axes} if x.ndim else set()
        kept = [d for d in range(x.ndim) if d not in folded]
        shape, strides = tuple(x.shape), [0] * x.ndim
        step = 1
        for d in reversed(kept):
            strides[d], step = step, step * shape[d]
        out, kind = writer.program.ref(result), _C_TYPE[result.dtype]
        element = writer.element(x, shape, False)
        if result.numel() == 1:  # one number: the sum of many is kept in double
            wide = "double" if result.is_floating_point() else kind
            writer.lines.append(f"  {{ {wide} a = {start};")
            writer.loop(shape, f"const {kind} x = {element}; a = {update.format(a='a', x='x')};")
            over = f" / {x.numel()}" if mean else ""
            writer.lines.append(f"  {out}[0] = a{over}; }}")
            return
        writer.lines.append(f"  for (int i = 0; i < {result.numel()}; i++) {out}[i] = {start};")
        place = f"{out}[{_index(shape, strides)}]"
        writer.loop(
            shape, f"const {kind} x = {element}; {place} = {update.format(a=place, x='x')};"
        )
        if mean:
            over = f"{out}[i] /= {math.prod(shape[d] for d in folded)}"
            writer.lines.append(f"  for (int i = 0; i < {result.numel()}; i++) {over};")

    return write


def _cat(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    dim, start = arguments["dim"], 0
    for part in arguments["tensors"]:
        if part.numel() == 0:
            continue
        target = result.narrow(dim, start, part.shape[dim])
        start += part.shape[dim]
        _assign(writer, target, part)


def _assign(writer: _Writer, target: Tensor, value: Tensor) -> None:
    shape = tuple(target.shape)
    if target.is_contiguous() and value.shape == target.shape and value.is_contiguous():
        ref = writer.program.ref
        writer.lines.append(_copy(ref(target), ref(value), target.numel()))
        return
    to, source = (writer.element(t, shape, False) for t in (target, value))
    writer.loop(shape, f"{to} = {source};")


def _select_scatter(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    _assign(writer, result, arguments["self"])
    view = result.select(arguments["dim"], arguments["index"])
    _assign(writer, view, arguments["src"])


def _slice_scatter(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    _assign(writer, result, arguments["self"])
    start, end, step = arguments["start"], arguments["end"], arguments["step"]
    view = torch.ops.aten.slice.Tensor(result, arguments["dim"], start, end, step)
    _assign(writer, view, arguments["src"])


def _cumsum(writer: _Writer, arguments: dict[str, Any], result: Tensor) -> None:
    _assign(writer, result, arguments["self"])
    if result.ndim == 0:
        return
    dim = arguments["dim"] % result.ndim
    shape = list(result.shape)
    if shape[dim] < 2:
        return
    shape[dim] -= 1
    before = writer.element(result.narrow(dim, 0, shape[dim]), shape, False)
    after = writer.element(result.narrow(dim, 1, shape[dim]), shape, False)
    writer.loop(shape, f"{after} += {before};")


#: Operations that are more than a formula for one element.
OPERATIONS: dict[str, Callable[[_Writer, dict[str, Any], Tensor], None]] = {
    "addmm": _matmul,
    "amax": _reduction("-INFINITY", "{x} > {a} || {x} != {x} ? {x} : {a}"),
    "amin": _reduction("INFINITY", "{x} < {a} || {x} != {x} ? {x} : {a}"),
    "any": _reduction("0", "{a} || {x}"),
    "cat": _cat,
    "cumsum": _cumsum,
    "mean": _reduction("0", "{a} + {x}", mean=True),
    "mm": _matmul,
    "prod": _reduction("1", "{a} * {x}"),
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
    "sum": _reduction("0", "{a} + {x}"),
}


def _index(shape: Sequence[int], strides: Sequence[int]) -> str:
    terms = [f"i{d} * {stride}" for d, stride in enumerate(strides) if stride and shape[d] > 1]
    return " + ".join(terms) or "0"


def _copy(to: str, source: str, count: int) -> str:
    return f"  for (int i = 0; i < {count}; i++) {to}[i] = {source}[i];"


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
