"""A module of several functions: their C, and the buffers they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlib.lab.compiler.build import build
from ganlib.lab.compiler.helpers import used_helpers
from ganlib.lab.compiler.kinds import C_TYPE, kinds
from ganlib.lab.compiler.module import Buffer, Module, Signature
from ganlib.lab.compiler.trace import Recorded, argument_names, record
from ganlib.lab.compiler.write import Writer

Recordings = dict[Any, Recorded]  # of a function and the forms of its arguments
_RUNTIME = Path(__file__).parent.with_name("runtime.c")


def compile_functions(
    functions: Mapping[str, tuple[Callable[..., Any], Sequence[Tensor]]],
    *,
    noise: bool = False,
    seldom: Collection[str] = (),
    recorded: Recordings | None = None,
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
    recorded
        A dictionary that keeps what was recorded, for calls that share functions: a function that
        is in it, with arguments of the same forms, is not called again. What else the function
        uses must be what it was. By default each call records anew.

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

    Examples
    --------
    >>> module = compile_functions({"double": (lambda x: 2 * x, [torch.zeros(3)])})
    >>> sorted(module.functions["double"].inputs)
    ['x']
    """
    program = Program(noise, seldom, recorded)
    with torch.device("cpu"):  # whatever device is the default outside
        for name, (function, examples) in functions.items():
            if not name.isidentifier() or not name.isascii():
                raise ValueError(f"{name!r} cannot name a function; use letters, digits and _")
            program.add(name, function, examples)
    source = program.source()
    return Module(build(source), program.signatures, source)


class Program:
    """The C of a module while functions are added to it."""

    def __init__(
        self, noise: bool, seldom: Collection[str], recorded: Recordings | None = None
    ) -> None:
        self.noise, self.seldom = noise, seldom
        self.recorded = {} if recorded is None else recorded
        self.declarations: list[str] = []
        self.kernels: dict[str, str] = {}  # parameters and body of a loop nest -> its name
        self.fast: set[str] = set()  # names of those that are compiled for speed
        self.bodies: list[str] = []
        self.addresses: list[str] = []
        self.shared: dict[str, Tensor] = {}  # argument name -> the tensor that stands for it
        self.names: dict[int, str] = {}  # storage -> the C array that holds it
        self.kept: list[Tensor] = []  # storages stay alive, or their keys would be used again
        self.scratch = 0
        self.judged = 0  # the most outputs that a typed formula is computed on at once
        self.signatures: dict[str, Signature] = {}

    def add(self, name: str, function: Callable[..., Any], examples: Sequence[Tensor]) -> None:
        arguments = argument_names(function, len(examples))
        shared = []
        for argument, example in zip(arguments, examples, strict=True):
            if example.dtype not in C_TYPE:
                raise ValueError(f"{argument} has dtype {example.dtype}; {kinds()} can be used")
            known = self.shared.get(argument)
            if known is None:
                # Of a tensor elsewhere only the form is needed, and meta has no more.
                known = (
                    example.detach().clone().contiguous()
                    if example.device.type == "cpu"
                    else torch.zeros(example.shape, dtype=example.dtype)
                )
                self.shared[argument] = known
                self.declare(known)
            elif (known.shape, known.dtype) != (example.shape, example.dtype):
                raise ValueError(
                    f"the argument {argument} of {name} has shape {tuple(example.shape)} and "
                    f"{example.dtype}, but {tuple(known.shape)} and {known.dtype} in another "
                    "function; arguments of one name are one buffer: rename one of them"
                )
            shared.append(known)
        forms = tuple((tuple(e.shape), e.dtype) for e in shared)
        if (function, forms) not in self.recorded:
            self.recorded[function, forms] = record(function, shared)
        graph, outputs = self.recorded[function, forms]
        writer = Writer(self, graph, name, function, shared)
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

    def declare(self, tensor: Tensor, values: str = "", bytes_of: str = "") -> None:
        array = f"b{len(self.names)}"
        self.names[tensor.untyped_storage()._cdata] = array
        self.kept.append(tensor)
        size = max(tensor.untyped_storage().nbytes() // tensor.element_size(), 1)
        kind = C_TYPE[tensor.dtype]
        const = "const " if values else ""
        self.declarations.append(
            f"static {const}{kind} {array}[{size}] __attribute__((aligned(32))){values};"
        )
        if bytes_of:  # whole numbers that the module's start makes floats of
            self.declarations.append(
                f"static const signed char {array}_bytes[{size}] = {bytes_of};\n"
                f"__attribute__((constructor)) SMALL void {array}_start(void) {{\n"
                f"  for (int i = 0; i < {size}; i++) {array}[i] = {array}_bytes[i];\n}}"
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
        defines += [f"#define JUDGED {self.judged}\n"] * bool(self.judged)
        cases = "".join(f"    case {i}: return {a};\n" for i, a in enumerate(self.addresses))
        address = (
            'EXPORT("address") const void *address(int index) {\n  switch (index) {\n'
            f"{cases}  }}\n  return 0;\n}}\n"
        )
        return "\n".join(
            [
                "".join(defines) + _RUNTIME.read_text() + used_helpers("".join(self.kernels)),
                *self.declarations,
                *(
                    f"{'KERNEL' if name in self.fast else 'SMALL KERNEL'} {name}{text}"
                    for text, name in self.kernels.items()
                ),
                *self.bodies,
                address,
            ]
        )
