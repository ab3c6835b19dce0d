"""What holds while a function of the user runs to be recorded: nothing looks at values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode

from ganlib import checks

__all__ = ["recording"]


@contextmanager
def recording() -> Iterator[None]:
    """While a function is recorded: no check asks for the value of a tensor."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with checks.off(), _Recording():
            yield
    finally:
        Distribution.set_default_validate_args(before)


class _Recording(TorchFunctionMode):
    """Functions of torch that look at values before they compute."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is one_hot:
            return _one_hot(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 1:
        raise NotImplementedError(
            "one_hot has as many columns as the largest value says, which is not known when the "
            "function is compiled: give it num_classes"
        )
    zeros = torch.zeros(*tensor.shape, num_classes, dtype=torch.int64)
    return zeros.scatter(-1, tensor.unsqueeze(-1), 1)
