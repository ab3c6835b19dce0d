"""Which line of the user's function used an operation."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganlib.lab.compiler.recording import recording


class _Finder(TorchDispatchMode):
    """Notes where the first call of an operation comes from."""

    def __init__(self, operation: str, makes: Callable[[Tensor], bool] | None) -> None:
        super().__init__()
        self.operation, self.makes = operation, makes
        self.frames: list[traceback.FrameSummary] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.frames and self._meant(func, result):
            self.frames = list(traceback.extract_stack())
        return result

    def _meant(self, func: Any, result: Any) -> bool:
        if self.makes is not None:
            return isinstance(result, Tensor) and self.makes(result)
        return str(func.overloadpacket).rstrip("_") == self.operation


def blamed(
    target: Any,
    function: Callable[..., Any],
    examples: Sequence[Tensor],
    makes: Callable[[Tensor], bool] | None = None,
) -> tuple[str, str]:
    """The line of the user's function that used an operation: "line 3 of file.py", its code.

    ``makes`` asks for the first operation with such a result in its place.
    """
    finder = _Finder(str(getattr(target, "overloadpacket", target)).rstrip("_"), makes)
    with finder, recording(examples):
        function(*examples)
    called = [i for i, f in enumerate(finder.frames) if f.name == "blamed"]
    frames = finder.frames[called[-1] + 1 :] if called else []
    return _place(frames, function) or ("inside another torch operation", str(target))


def place_in(stopped: BaseException, function: Callable[..., Any]) -> tuple[str, str]:
    """The line of the user's function that an exception passed through, and its code."""
    frames = list(traceback.extract_tb(stopped.__traceback__))
    return _place(frames, function) or ("the function", "")


def _place(
    frames: Sequence[traceback.FrameSummary], function: Callable[..., Any]
) -> tuple[str, str] | None:
    strange = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    frames = [f for f in frames if not f.filename.startswith(strange)]
    # In the user's own file where possible: a loss may call the library on the way.
    code = getattr(inspect.unwrap(function), "__code__", None)
    own = [f for f in frames if code is not None and f.filename == code.co_filename]
    for frame in reversed(own or frames):
        return f"line {frame.lineno} of {Path(frame.filename).name}", (frame.line or "").strip()
    return None
