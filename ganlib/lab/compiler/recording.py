"""What holds while a function of the user runs to be recorded.

No check looks at values, and what a graph of operations on unknown values cannot hold is refused:
values that Python reads, random draws, changes of tensors that outlive the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.distributions import Distribution
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganlib import checks

__all__ = ["Asked", "Refused", "recording"]


class Refused(NotImplementedError):
    """What a recorded function may not do; the line is still to be found."""


class Asked(Refused):
    """The function asks for the value of a tensor."""


@contextmanager
def recording(arguments: Sequence[Tensor]) -> Iterator[None]:
    """While a function is recorded: no check asks for the value of a tensor."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with checks.off(), (operations := _Operations(arguments)), _Functions(operations):
            yield
    finally:
        Distribution.set_default_validate_args(before)


class _Operations(TorchDispatchMode):
    """Notes which tensors the function made, and which of them depend on its arguments."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()
        self.depends: dict[int, bool] = {}  # of all storages that are arguments or were made
        self.kept: list[Any] = []  # storages stay alive, or their keys would be used again
        self._note(arguments, True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and _draws(func, args, kwargs):
            raise Refused(f"{func} draws random numbers; pass the noise as an argument")
        changed = list(_changed(func, args, kwargs))
        if any(_key(tensor) not in self.depends for tensor in changed):
            raise Refused(
                f"{func} changes a tensor that the function did not make; pass it as an argument "
                "and return what it becomes (a layer with running statistics: .eval(), or "
                "track_running_stats=False)"
            )
        depends = any(map(self.unknown, _tensors((args, kwargs))))
        try:
            result = func(*args, **kwargs)
        except (IndexError, RuntimeError) as stopped:
            self._explain(stopped, func, args, kwargs)
            raise
        self._note([*changed, *_tensors(result)], depends)
        return result

    def _explain(self, stopped: Exception, func: Any, args: Any, kwargs: Any) -> None:
        """Refuse what the examples' values made fail: the function itself may be right."""
        given = [t for t in _tensors((args, kwargs)) if self.unknown(t)]
        whole = any(not t.is_floating_point() for t in given)
        if (whole and _AT_WHOLE.search(str(stopped))) or (
            given and _AT_VALUES.search(str(stopped))
        ):
            said = str(stopped).strip().split("\n")[0]
            raise Refused(
                f"{func} fails at the values of the example arguments ({said}); give examples "
                "at which the function can be computed"
            ) from stopped

    def unknown(self, tensor: Tensor) -> bool:
        """Whether its values depend on the arguments."""
        while _functorch.is_functorch_wrapped_tensor(tensor):
            tensor = _functorch.get_unwrapped(tensor)
        return self.depends.get(_key(tensor), False)

    def _note(self, tensors: Iterable[Tensor], depends: bool) -> None:
        for tensor in tensors:
            key = _key(tensor)
            if key not in self.depends:
                self.kept.append(tensor.untyped_storage())
            self.depends[key] = self.depends.get(key, False) or depends


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(values: Any) -> list[Tensor]:
    return [v for v in tree_leaves(values) if isinstance(v, Tensor)]


def _draws(func: Any, args: Any, kwargs: Any) -> bool:
    """Attention and layers with dropout are said to draw, and do where they drop something."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    if "dropout_p" in names:
        return bool(given.get("dropout_p"))
    return given.get("train") is not False


def _changed(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors that a call writes in."""
    if func is torch.ops.aten.native_batch_norm.default and args[5]:
        yield from _tensors(args[3:5])  # which its schema does not say
    if func._schema.is_mutable:
        for i, argument in enumerate(func._schema.arguments):
            if argument.is_write:
                yield from _tensors(args[i] if i < len(args) else kwargs.get(argument.name))


_AT_WHOLE = re.compile("ZeroDivisionError|out of bounds|out of range")
_AT_VALUES = re.compile("positive-definite|singular")


_READS = {
    "__array__", "__bool__", "__complex__", "__dlpack__", "__float__", "__format__", "__index__",
    "__int__", "__repr__", "item", "numpy", "tolist",
}  # fmt: skip
_INSTEAD = {
    "cov": "y = x - x.mean(1, keepdim=True), and y @ y.T / (y.shape[1] - 1)",
    "corrcoef": "y = x - x.mean(1, keepdim=True), and F.normalize(y) @ F.normalize(y).T",
}
_COPIES = {"as_tensor", "asarray", "new_tensor", "scalar_tensor", "tensor"}


class _Functions(TorchFunctionMode):
    """Functions of torch that look at values before they compute."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is one_hot:
            return _one_hot(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _READS and any(map(self.operations.unknown, _tensors(args[:1]))):
            raise Asked(f"{name} asks for the value of a tensor")
        if name in _INSTEAD and any(map(self.operations.unknown, _tensors(args))):
            raise Refused(f"torch.{name} cannot be compiled; write it out: {_INSTEAD[name]}")
        if name in _COPIES:
            data = args[1:] if name == "new_tensor" else args
            lists = [v for v in (*data, *kwargs.values()) if isinstance(v, (list, tuple))]
            if any(map(self.operations.unknown, _tensors(lists))):
                raise Asked(f"{name} asks for the values of tensors")
        return func(*args, **kwargs)


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    if num_classes < 1:
        raise Refused(
            "one_hot has as many columns as the largest value says, which is not known when the "
            "function is compiled: give it num_classes"
        )
    zeros = torch.zeros(*tensor.shape, num_classes, dtype=torch.int64)
    return zeros.scatter(-1, tensor.unsqueeze(-1), 1)
