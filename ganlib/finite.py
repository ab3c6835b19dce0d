"""Distances between probability vectors on given points: two critics, two linear programmes.

The Fisher and Sobolev distances have closed forms; the best plan and the best 1-Lipschitz critic
between finitely many points are linear programmes. :mod:`ganlib.distances` exports them beside the
distances of samples.

Derived in `critics` (Fisher, Sobolev) and `wasserstein` (transport).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganlib.checks import (
    check_finite,
    check_float,
    check_probabilities,
    check_probability_pair,
    readable,
)
from ganlib.pairs import line, root

__all__ = [
    "fisher",
    "fisher_critic",
    "kantorovich_potential",
    "sobolev",
    "sobolev_critic",
    "transport_plan",
]


def fisher(p: Tensor, q: Tensor) -> Tensor:
    """The Fisher IPM of probability vectors: sup E_p f - E_q f over (E_p f^2 + E_q f^2) / 2 <= 1.

    Parameters
    ----------
    p, q
        Probability vectors on the last axis, zeros allowed; leading axes broadcast.

    Returns
    -------
    ``sqrt(2 Delta)`` with ``Delta = sum (p - q)^2 / (p + q)``: 0 if p = q, 2 for disjoint
    supports, however near they lie. Shape: the leading axes. At p = q, where the distance is
    least and has a kink, its gradient is 0 (a subgradient).

    Raises
    ------
    ValueError
        For vectors of different length, negative entries, or sums other than 1.

    Derived in `critics` (Mroueh and Sercu 2017).

    Examples
    --------
    >>> fisher(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor(2.)
    """
    check_probability_pair(p, q, ("p", "q"))
    return root(2 * (_relative_gap(p, q) * (p - q)).sum(-1))


def fisher_critic(p: Tensor, q: Tensor) -> Tensor:
    """The critic that attains :func:`fisher`: 2 (p - q) / ((p + q) sqrt(2 Delta)), shape as p.

    0 at points where neither has mass. Raises ValueError as :func:`fisher`, and if p = q, where
    every admissible critic is optimal.

    Examples
    --------
    >>> fisher_critic(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    tensor([ 1., -1.])
    """
    distance = fisher(p, q)
    if readable(distance) and (distance == 0).any():
        raise ValueError("p = q: the Fisher distance is 0, and no critic is singled out")
    return 2 * _relative_gap(p, q) / distance[..., None]


def _relative_gap(p: Tensor, q: Tensor) -> Tensor:
    # (p - q) / (p + q), 0 where both are 0
    total = p + q
    return (p - q) / torch.where(total > 0, total, 1)


def _sobolev_edges(
    p: Tensor, q: Tensor, points: Tensor, density: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    # For every interval between neighbouring points: F_p - F_q, its length, the density of mu.
    check_probability_pair(p, q, ("p", "q"))
    points = line(points, "points")
    length = points.diff()
    if p.shape[-1] != len(points):
        raise ValueError(
            f"p has {p.shape[-1]} entries for {len(points)} points; give each one mass"
        )
    if readable(length) and not (length > 0).all():
        raise ValueError("points are not increasing; sort them, and merge the mass of equal ones")
    if density is None:
        middle = (p + q) / 2
        density = (middle[..., 1:] + middle[..., :-1]) / (2 * length)
    elif density.shape[-1] != len(length) or (readable(density) and not (density >= 0).all()):
        raise ValueError(
            f"density has shape {tuple(density.shape)}; it has to be >= 0 on each of the "
            f"{len(length)} intervals between neighbouring points"
        )
    else:
        check_finite(density, "density")
    # Summed from the end that holds less mass: in the tails the gap is then as small as they are,
    # where rounding left over from the bulk would be huge against a tiny density.
    left = (p - q).cumsum(-1)[..., :-1]
    right = -(p - q).flip(-1).cumsum(-1).flip(-1)[..., 1:]
    gap = torch.where((p + q).cumsum(-1)[..., :-1] < 1, left, right)
    noise = 8 * p.shape[-1] * torch.finfo(p.dtype).eps
    if readable(gap) and ((density == 0) & (gap.abs() > noise)).any():
        raise ValueError(
            "the density is 0 on an interval where the distribution functions differ: a critic "
            "may rise there for nothing, and the Sobolev distance is infinite; give it mass there"
        )
    return gap, length, density


def sobolev(p: Tensor, q: Tensor, points: Tensor, density: Tensor | None = None) -> Tensor:
    """The Sobolev IPM on the line: sup E_p f - E_q f over critics with E_mu f'^2 <= 1.

    Parameters
    ----------
    p, q
        Masses at ``points`` on the last axis, each summing to 1; leading axes broadcast.
    points
        Increasing positions, shape (N,).
    density
        Density of mu on the N - 1 intervals between neighbouring points; by default that of
        (p + q) / 2, each point's mass shared by its two intervals.

    Returns
    -------
    ``sqrt(integral of (F_p - F_q)^2 / mu)``, in the units of the points. Exact for critics that
    are linear between the points. Shape: the leading axes. Its gradient at p = q is 0, as that of
    :func:`fisher`.

    Raises
    ------
    ValueError
        As :func:`fisher`; for points that do not increase; and where mu has no mass although the
        distribution functions differ (the supremum is then infinite).

    Derived in `critics` (Mroueh et al. 2018).

    Examples
    --------
    Two points at distance 2, with density 1/2 between them:

    >>> p, q, points = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])
    >>> sobolev(p, q, points, density=torch.tensor([0.5]))  # sqrt(2 * 1 / (1/2))
    tensor(2.)
    """
    gap, length, density = _sobolev_edges(p, q, points, density)
    weight = length / torch.where(density > 0, density, 1)
    return root((gap.square() * weight).sum(-1))


def sobolev_critic(p: Tensor, q: Tensor, points: Tensor, density: Tensor | None = None) -> Tensor:
    """The critic that attains :func:`sobolev`, with value 0 at the first point; shape as p.

    Its slope is ``(F_q - F_p) / (mu * distance)``. Raises ValueError as :func:`sobolev`, and if
    p = q.

    Examples
    --------
    >>> p, q, points = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])
    >>> sobolev_critic(p, q, points, density=torch.tensor([1.0]))
    tensor([ 0., -1.])
    """
    distance = sobolev(p, q, points, density)
    if readable(distance) and (distance == 0).any():
        raise ValueError("p = q: the Sobolev distance is 0, and no critic is singled out")
    gap, length, density = _sobolev_edges(p, q, points, density)
    rise = -gap * length / torch.where(density > 0, density, 1) / distance[..., None]
    return torch.cat([torch.zeros_like(rise[..., :1]), rise.cumsum(-1)], dim=-1)


# --- finite metric spaces: the two linear programmes --------------------------------------------


def _programme(p: Tensor, q: Tensor, distance: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_probabilities(p, "p")
    check_probabilities(q, "q")
    check_float(distance, "distance")
    check_finite(distance, "distance")
    if p.ndim != 1 or q.ndim != 1 or distance.shape != (len(p), len(q)):
        raise ValueError(
            f"p {tuple(p.shape)}, q {tuple(q.shape)}, distance {tuple(distance.shape)}; expected "
            "(N,), (M,) and the table (N, M) of distances"
        )
    masses = (v.detach().double().cpu().numpy() for v in (p, q))
    # The solver refuses totals that differ in the last digits of a float32.
    mass_p, mass_q = (m / m.sum() for m in masses)
    return mass_p, mass_q, distance.detach().double().cpu().numpy()


def transport_plan(p: Tensor, q: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest way to move mass: min sum_ij plan_ij distance_ij, by linear programming.

    Parameters
    ----------
    p, q
        Probability vectors, (N,) and (M,).
    distance
        What one unit of mass costs from i to j, shape (N, M).

    Returns
    -------
    The least cost (a scalar; W1 if ``distance`` is a metric), and a plan (N, M) whose row sums are
    p and column sums q. Both float64, without gradient. For N M up to about 10^5.

    Raises
    ------
    ValueError
        For shapes that do not fit, or p or q that are no probability vector.

    Derived in `wasserstein` (Kantorovich 1942).

    Examples
    --------
    Half of the mass stays, half moves by 1:

    >>> distance = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> cost, plan = transport_plan(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), distance)
    >>> cost.item(), plan.sum(0)
    (0.5, tensor([0., 1.], dtype=torch.float64))
    """
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    mass_p, mass_q, cost = _programme(p, q, distance)
    n, m = cost.shape
    ones_n, ones_m = np.ones((1, n)), np.ones((1, m))
    marginals = vstack([kron(eye_array(n), ones_m), kron(ones_n, eye_array(m))])
    # The last equation follows from the others; without it no rounding can make them clash.
    solution = linprog(
        cost.ravel(), A_eq=marginals.tocsr()[:-1], b_eq=np.concatenate([mass_p, mass_q])[:-1]
    )
    if not solution.success:
        raise RuntimeError(f"the transport programme was not solved: {solution.message}")
    return p.new_tensor(solution.fun, dtype=torch.float64), p.new_tensor(
        solution.x.reshape(n, m), dtype=torch.float64
    )


def kantorovich_potential(p: Tensor, q: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The best 1-Lipschitz critic: max sum_i (p_i - q_i) f_i over f_i - f_j <= distance_ij.

    Parameters
    ----------
    p, q
        Probability vectors on the same N points.
    distance
        The metric, shape (N, N).

    Returns
    -------
    The largest value (a scalar, W1 of p and q) and a critic (N,) that attains it, 0 at the first
    point. Both float64, without gradient.

    Raises
    ------
    ValueError
        For shapes that do not fit, or p or q that are no probability vector.

    Derived in `wasserstein` (Kantorovich and Rubinstein 1958).

    Examples
    --------
    >>> distance = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> p, q = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    >>> kantorovich_potential(p, q, distance)
    (tensor(1., dtype=torch.float64), tensor([ 0., -1.], dtype=torch.float64))
    """
    from scipy.optimize import linprog

    mass_p, mass_q, cost = _programme(p, q, distance)
    count = len(mass_p)
    if cost.shape != (count, count):
        raise ValueError(f"distance has shape {cost.shape}; a metric on {count} points is square")
    i, j = np.nonzero(~np.eye(count, dtype=bool))
    slopes = np.zeros((len(i), count))
    slopes[np.arange(len(i)), i] = 1
    slopes[np.arange(len(i)), j] = -1
    # A critic is free up to a constant: fix it by f = 0 at the first point.
    bounds = [(0, 0)] + [(None, None)] * (count - 1)
    solution = linprog(mass_q - mass_p, A_ub=slopes, b_ub=cost[i, j], bounds=bounds)
    if not solution.success:
        raise RuntimeError(f"the potential programme was not solved: {solution.message}")
    return p.new_tensor(-solution.fun, dtype=torch.float64), p.new_tensor(
        solution.x, dtype=torch.float64
    )
