"""Torch functions for a page without a kernel, compiled to WebAssembly.

:mod:`ganlib.lab.compiler` turns torch functions into one small module, ``runtime.js`` starts it.
Compiling needs zig's C compiler: ``pip install "ganlib[lab]"``.
"""
