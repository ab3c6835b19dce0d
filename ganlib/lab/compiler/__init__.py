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

from ganlib.lab.compiler.module import Buffer, Module, Signature
from ganlib.lab.compiler.operations import OPERATIONS
from ganlib.lab.compiler.pointwise import POINTWISE
from ganlib.lab.compiler.program import compile_functions

__all__ = ["OPERATIONS", "POINTWISE", "Buffer", "Module", "Signature", "compile_functions"]
