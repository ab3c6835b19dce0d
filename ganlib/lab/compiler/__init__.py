"""Torch functions, compiled ahead of time to one small WebAssembly module.

``make_fx`` records a function as a graph of ATen operations on tensors of known shapes. Every
operation becomes a loop in C, and zig's clang turns the C into a module that imports nothing: it
runs in any browser, in a worker, in Node. Special functions come from the C library inside the
module, never from the browser, so the same inputs give the same bits everywhere.

Two tables say what can be compiled: :data:`POINTWISE` (ATen operation -> C expression) and
:data:`OPERATIONS` (ATen operation -> the function that writes its loops). Views (reshape,
transpose, select, split, expand ...) cost nothing: torch computes their strides here.

A compiled function computes what torch computes on a CPU (:mod:`tools.fuzz` compares), integers
exactly, or it is refused. Where torch has no answer: a float beyond an integer's range becomes the
nearest integer there is, NaN becomes 0; -2**63 // -1 is -2**63. Where torch raises, at an index
outside its tensor or at an integer divided by zero, the module stops.

The rooms, imports downwards::

    program          a module of several functions, their shared buffers; compile_functions
    trace            a function -> a graph of ATen operations (recording, decompositions, windows)
    write            a graph -> calls of loop nests (fusion: which of them are one; blame: refusals)
    operations       the table of loops: products, folds, convolution, arrange, indexing
    kernel           one loop nest as a C function
    pointwise        the table of formulas (kinds: C types; helpers: C functions they call)
    build            C -> WebAssembly, by zig (cache: once)
    module           what comes out
"""

from __future__ import annotations

from ganlib.lab.compiler.module import Buffer, Module, Signature
from ganlib.lab.compiler.operations import OPERATIONS
from ganlib.lab.compiler.pointwise import POINTWISE
from ganlib.lab.compiler.program import compile_functions

__all__ = ["OPERATIONS", "POINTWISE", "Buffer", "Module", "Signature", "compile_functions"]
