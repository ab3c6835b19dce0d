"""Update rules of two players, and :func:`simulate`, which runs one and knows none by name.

A field says where each player steps from (theta, psi); a rule says how: both at once
(:func:`simultaneous`), one after the other (:func:`alternating`), with a look ahead
(:func:`extragradient`) or a memory (:func:`optimistic`). Compared in `convergence`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Field",
    "Path",
    "Update",
    "alternating",
    "extragradient",
    "optimistic",
    "simulate",
    "simultaneous",
]

Steps = float | Tensor | tuple[float | Tensor, float | Tensor]
Field = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Memory = tuple[Tensor, Tensor] | None
Update = Callable[[Field, Tensor, Tensor, Memory], tuple[Tensor, Tensor, Memory]]


def _sizes(step: Steps) -> tuple[float | Tensor, float | Tensor]:
    sizes = step if isinstance(step, tuple) else (step, step)
    for size in sizes:
        if not bool(torch.as_tensor(size > 0).all()):
            raise ValueError(f"step size {size}; every step size is > 0")
    return sizes


def _clipped(value: Tensor, clip: float | None) -> Tensor:
    return value if clip is None else value.clamp(-clip, clip)


def _check_clip(clip: float | None) -> None:
    if clip is not None and not clip > 0:
        raise ValueError(f"clip = {clip}; the bound on |psi| is > 0, or None for no clipping")


def simultaneous(step: Steps, *, clip: float | None = None) -> Update:
    """Both players step from the same state, by ``step`` or by the pair (h_g, h_d).

    ``clip`` keeps the absolute value of psi at or below it (weight clipping). Step sizes may be
    tensors that broadcast with the state: one run a step size.

    Examples
    --------
    >>> circle = Game("a circle", psi, -theta)
    >>> path = simulate(circle, 1.0, 0.0, update=simultaneous(1.0), steps=1)
    >>> path.theta[-1].item(), path.psi[-1].item()
    (1.0, -1.0)
    """
    h_g, h_d = _sizes(step)
    _check_clip(clip)

    def update(field: Field, x: Tensor, y: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        v_x, v_y = field(x, y)
        return x + h_g * v_x, _clipped(y + h_d * v_y, clip), memory

    return update


def alternating(
    step: Steps, *, g_steps: int = 1, d_steps: int = 1, clip: float | None = None
) -> Update:
    """``g_steps`` steps of the generator, then ``d_steps`` of the critic, each on the new state.

    The arguments are those of :func:`simultaneous`; both counts are >= 1.

    Examples
    --------
    Every sixth step of size 1 on the circle comes back to the start:

    >>> circle = Game("a circle", psi, -theta)
    >>> path = simulate(circle, 1.0, 0.0, update=alternating(1.0), steps=6)
    >>> path.theta[-1].item(), abs(path.psi[-1].item())
    (1.0, 0.0)
    """
    h_g, h_d = _sizes(step)
    _check_clip(clip)
    if g_steps < 1 or d_steps < 1:
        raise ValueError(f"g_steps = {g_steps}, d_steps = {d_steps}; both are at least 1")

    def update(field: Field, x: Tensor, y: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        for _ in range(g_steps):
            x = x + h_g * field(x, y)[0]
        for _ in range(d_steps):
            y = _clipped(y + h_d * field(x, y)[1], clip)
        return x, y, memory

    return update


def extragradient(step: Steps) -> Update:
    """Look one step ahead, then step from here with the field seen there (Korpelevich 1976).

    Examples
    --------
    From (1, 0) it looks ahead to (1, -1), where the field is (-1, -1):

    >>> circle = Game("a circle", psi, -theta)
    >>> path = simulate(circle, 1.0, 0.0, update=extragradient(1.0), steps=1)
    >>> path.theta[-1].item(), path.psi[-1].item()
    (0.0, -1.0)
    """
    h_g, h_d = _sizes(step)

    def update(field: Field, x: Tensor, y: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        v_x, v_y = field(x, y)
        v_x, v_y = field(x + h_g * v_x, y + h_d * v_y)
        return x + h_g * v_x, y + h_d * v_y, memory

    return update


def optimistic(step: Steps) -> Update:
    """Step by twice the field here less the field one step ago (Daskalakis et al. 2018).

    Examples
    --------
    >>> circle = Game("a circle", psi, -theta)
    >>> path = simulate(circle, 1.0, 0.0, update=optimistic(0.1), steps=2000)
    >>> path.radius[-1] < 0.01
    tensor(True)
    """
    h_g, h_d = _sizes(step)

    def update(field: Field, x: Tensor, y: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        now = field(x, y)
        before = now if memory is None else memory
        x = x + h_g * (2 * now[0] - before[0])
        y = y + h_d * (2 * now[1] - before[1])
        return x, y, now

    return update


class Path(NamedTuple):
    """A simulated run: ``theta`` and ``psi`` of shape (steps + 1, ...), the start first.

    Examples
    --------
    >>> circle = Game("a circle", psi, -theta)
    >>> path = simulate(circle, 3.0, 4.0, update=simultaneous(0.1), steps=2)
    >>> isinstance(path, Path), path.theta.shape, path.radius[0].item()
    (True, torch.Size([3]), 5.0)
    """

    theta: Tensor
    psi: Tensor

    @property
    def radius(self) -> Tensor:
        """sqrt(theta^2 + psi^2), elementwise, of shape (steps + 1, ...)."""
        return torch.hypot(self.theta, self.psi)


def simulate(
    field: Field,
    at_theta: Tensor | float,
    at_psi: Tensor | float,
    *,
    update: Update,
    steps: int,
) -> Path:
    """Run an update rule on a field.

    Parameters
    ----------
    field
        A :class:`~ganlib.dynamics.Game`, a :func:`~ganlib.dynamics.bilinear` game or any function
        of (theta, psi).
    at_theta, at_psi
        The start: numbers, or float tensors of the shape the field takes. Many runs at once are a
        tensor with a leading axis. Numbers are taken as float64.
    update
        For example ``alternating(0.2)``.
    steps
        How many updates, >= 0.

    Returns
    -------
    A :class:`Path`.

    Raises
    ------
    FloatingPointError
        If the run left the range of its floating-point format.

    Examples
    --------
    Three starts at once, before their first step:

    >>> circle = Game("a circle", psi, -theta)
    >>> starts = torch.tensor([1.0, 2.0, 3.0])
    >>> path = simulate(circle, starts, torch.zeros(3), update=simultaneous(0.1), steps=0)
    >>> path.radius[-1]
    tensor([1., 2., 3.])
    """
    if steps < 0:
        raise ValueError(f"steps = {steps}; pass an integer >= 0")
    x, y = (
        z if isinstance(z, Tensor) else torch.tensor(z, dtype=torch.float64)
        for z in (at_theta, at_psi)
    )
    memory: Memory = None
    xs, ys = [x], [y]
    for _ in range(steps):
        x, y, memory = update(field, x, y, memory)
        xs.append(x)
        ys.append(y)
    # Step sizes given as tensors widen the state at the first step.
    path = Path(*(torch.stack([z.expand_as(run[-1]) for z in run]) for run in (xs, ys)))
    finite = torch.stack([z.reshape(steps + 1, -1).isfinite().all(1) for z in path]).all(0)
    if not bool(finite.all()):
        first = int(finite.logical_not().nonzero()[0])
        raise FloatingPointError(
            f"the run left the range of {path.theta.dtype} at step {first} of {steps}; "
            "take fewer steps or a smaller step size"
        )
    return path
