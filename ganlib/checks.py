"""What public functions ask of a tensor before they compute with it."""

from __future__ import annotations

from torch import Tensor

__all__ = ["check_float"]


def check_float(values: Tensor, name: str) -> None:
    """Raise a TypeError that names ``name`` unless ``values`` is a floating-point tensor."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = f"dtype {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(
            f"{name} has {kind}; pass a floating-point tensor, for example {name}.float() or "
            "torch.tensor(..., dtype=torch.float32)"
        )
