"""What public functions ask of a tensor before they compute with it.

A check that looks at values needs values: under :func:`torch.func.vmap`, ``torch.compile``,
``make_fx`` or on the meta device there are none to look at, and checks of values (not those of
dtypes and shapes) step aside by themselves. :func:`off` switches all of them off, as
``torch.distributions`` switches off its validation: an exception less, a wrong number more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

__all__ = [
    "check_count",
    "check_finite",
    "check_float",
    "check_points",
    "check_probabilities",
    "check_probability_pair",
    "off",
    "readable",
    "transformed",
]

_on: ContextVar[bool] = ContextVar("ganlib.checks", default=True)


@contextmanager
def off() -> Iterator[None]:
    """No check of values or dtypes inside this block, in this thread.

    Examples
    --------
    >>> with off():
    ...     check_finite(torch.tensor([float("nan")]), "loss")
    """
    token = _on.set(False)
    try:
        yield
    finally:
        _on.reset(token)


def readable(values: Tensor) -> bool:
    """Whether a check may look at the numbers of ``values`` here: is there a number to look at?

    Examples
    --------
    >>> readable(torch.zeros(1)), readable(torch.zeros(1, device="meta"))
    (True, False)
    """
    return (
        not transformed()
        and _on.get()
        and values.device.type != "meta"
        and _get_current_dispatch_mode() is None
    )


def check_count(value: int, name: str, least: int = 1) -> None:
    """Raise a ValueError unless ``value`` is a whole number >= ``least`` (True is no number).

    Examples
    --------
    >>> check_count(3, "steps")
    >>> check_count(0, "steps")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, {least} or more")


def transformed() -> bool:
    """Whether this runs inside a transform of torch.func, or is being compiled.

    Examples
    --------
    >>> transformed()
    False
    >>> torch.func.vmap(lambda x: x + transformed())(torch.zeros(2))
    tensor([1., 1.])
    """
    return torch.compiler.is_compiling() or torch._C._functorch.maybe_current_level() is not None


def check_float(values: Tensor, name: str) -> None:
    """Raise a TypeError that names ``name`` unless ``values`` is a floating-point tensor.

    Examples
    --------
    >>> check_float(torch.tensor([1]), "real")
    Traceback (most recent call last):
        ...
    TypeError: ...
    """
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = f"dtype {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{name} has {kind}; pass a floating-point tensor, for example {name}.float() or "
            "torch.tensor(..., dtype=torch.float32)"
        )


def check_finite(values: Tensor, name: str) -> None:
    """Raise a ValueError if a floating-point tensor holds NaN or infinite values.

    Examples
    --------
    >>> check_finite(torch.tensor([float("nan")]), "loss")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    if readable(values) and not torch.isfinite(values).all():
        bad = values[~torch.isfinite(values)].flatten()[0].item()
        raise ValueError(
            f"{name} has NaN or infinite entries, such as {bad}; the run that made it diverged, or "
            "rows with missing values have to be removed first"
        )


def check_points(values: Tensor, name: str) -> Tensor:
    """Samples (N, d), N >= 1, finite, floating point; (N,) becomes (N, 1).

    Raises
    ------
    TypeError, ValueError
        For another dtype or shape, or values that are not finite.

    Examples
    --------
    >>> check_points(torch.tensor([1.0, 2.0]), "samples").shape
    torch.Size([2, 1])
    """
    check_float(values, name)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; pass (N, d), one sample a row, N >= 1: "
            "flatten images with .flatten(1)"
        )
    check_finite(values, name)
    return values


def check_probabilities(values: Tensor, name: str) -> None:
    """Probabilities along the last axis: 0 or more, of sum 1 up to the rounding of ``p / p.sum()``.

    Raises
    ------
    TypeError, ValueError
        For another dtype, an empty axis, a negative or NaN entry, or another sum.

    Examples
    --------
    >>> check_probabilities(torch.tensor([0.25, 0.75]), "p")
    >>> check_probabilities(torch.tensor([0.5, 0.75]), "p")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    check_float(values, name)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; pass probabilities along the last axis"
        )
    if not readable(values) or values.numel() == 0:
        return
    with torch.no_grad():
        least = values.min().item()
        if not least >= 0:
            raise ValueError(f"{name} has the entry {least:g}; probabilities are 0 or more")
        total = values.double().sum(-1)
        tolerance = max(4 * values.shape[-1] ** 0.5 * torch.finfo(values.dtype).eps, 1e-6)
        worst = total.flatten()[(total - 1).abs().argmax()].item()
    if not abs(worst - 1) <= tolerance:
        raise ValueError(
            f"{name} sums to {worst:.6g} along its last axis; probabilities sum to 1: divide by "
            "the sum"
        )


def check_probability_pair(p: Tensor, q: Tensor, names: tuple[str, str]) -> None:
    """Two tensors of :func:`check_probabilities` over the same outcomes, whose leading axes fit.

    Raises
    ------
    TypeError, ValueError
        As for one, and for another number of outcomes or leading axes that do not broadcast.

    Examples
    --------
    >>> check_probability_pair(torch.ones(1), torch.tensor([0.5, 0.5]), ("p", "q"))
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    for values, name in zip((p, q), names, strict=True):
        check_probabilities(values, name)
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"{names[0]} has {p.shape[-1]} outcomes and {names[1]} has {q.shape[-1]}; the last "
            "axes must list the same outcomes"
        )
    leading = zip(reversed(p.shape[:-1]), reversed(q.shape[:-1]), strict=False)
    if any(m != n and 1 not in (m, n) for m, n in leading):
        raise ValueError(
            f"{names[0]} has shape {tuple(p.shape)} and {names[1]} {tuple(q.shape)}; leading axes "
            f"must be equal, or 1: for every pair pass {names[0]}[:, None] and {names[1]}[None]"
        )
