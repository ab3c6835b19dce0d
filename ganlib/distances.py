"""Distances between distributions that see how far apart their points lie.

Where an f-divergence compares densities point by point, the quantities here are suprema of
``E_P f - E_Q f`` over a class of critics f (integral probability metrics), or costs of moving
mass. Each compares samples, weighted points, probability vectors or Gaussians *exactly*: the
value belongs to the distributions given, so two equal samples are at distance 0.

Derived in `wasserstein`, which proves every closed form below.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from ganlib.checks import check_float
from ganlib.formulas import compile_formula

__all__ = [
    "GAUSSIAN_MMD2",
    "GAUSSIAN_W1",
    "cramer",
    "energy",
    "fisher",
    "fisher_critic",
    "kantorovich_potential",
    "mean_gap",
    "mmd2",
    "mmd2_gaussians",
    "mmd_witness",
    "scale",
    "sobolev",
    "sobolev_critic",
    "std_gap",
    "std_p",
    "std_q",
    "transport_plan",
    "wasserstein_1d",
    "wasserstein_gaussians",
    "wasserstein_matching",
]

#: |difference of the means| and |difference of the standard deviations| of two Gaussians.
mean_gap = sp.Symbol("mu_gap", nonnegative=True)
std_gap = sp.Symbol("sigma_gap", positive=True)
#: The two standard deviations and the length scale of the kernel.
std_p, std_q, scale = sp.symbols("sigma_p sigma_q ell", positive=True)

#: W1 of two Gaussians on the line, in :data:`mean_gap` and :data:`std_gap`.
GAUSSIAN_W1 = std_gap * sp.sqrt(2 / sp.pi) * sp.exp(-(mean_gap**2) / (2 * std_gap**2)) + (
    mean_gap * sp.erf(mean_gap / (std_gap * sp.sqrt(2)))
)


def _expected_kernel(gap: sp.Expr, variance: sp.Expr) -> sp.Expr:
    # E k(X, Y) for X - Y ~ N(gap, variance)
    width = scale**2 + variance
    return scale / sp.sqrt(width) * sp.exp(-(gap**2) / (2 * width))


#: MMD^2 of two Gaussians on the line, kernel exp(-(x - y)^2 / (2 ell^2)).
GAUSSIAN_MMD2 = (
    _expected_kernel(sp.Integer(0), 2 * std_p**2)
    + _expected_kernel(sp.Integer(0), 2 * std_q**2)
    - 2 * _expected_kernel(mean_gap, std_p**2 + std_q**2)
)


# --- what the functions accept ------------------------------------------------------------------


def _check_points(values: Tensor, name: str) -> None:
    check_float(values, name)
    if values.numel() == 0:
        raise ValueError(f"{name} is empty (shape {tuple(values.shape)}); pass at least one point")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} has NaN or infinite entries; distances need finite points")


def _line(points: Tensor, name: str) -> Tensor:
    _check_points(points, name)
    if points.ndim == 2 and points.shape[1] == 1:
        points = points[:, 0]
    if points.ndim != 1:
        raise ValueError(
            f"{name} has shape {tuple(points.shape)}; this distance lives on the line and takes "
            "(N,) or (N, 1): project the points first, or use energy or mmd2"
        )
    return points


def _cloud(points: Tensor, name: str) -> Tensor:
    _check_points(points, name)
    if points.ndim == 1:
        points = points[:, None]
    if points.ndim != 2:
        raise ValueError(
            f"{name} has shape {tuple(points.shape)}; pass (N,) or (N, d), one sample a row: "
            "flatten images with .flatten(1)"
        )
    return points


def _clouds(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = _cloud(x, "x"), _cloud(y, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"x lies in dimension {x.shape[1]} and y in dimension {y.shape[1]}; "
            "both samples need the same number of columns"
        )
    return x, y


def _mass(weights: Tensor | None, points: Tensor, name: str) -> Tensor:
    if weights is None:
        count = len(points)
        return torch.full((count,), 1 / count, dtype=torch.float64, device=points.device)
    _check_probability(weights, name)
    if weights.shape != points.shape:
        raise ValueError(
            f"{name} has shape {tuple(weights.shape)} for {len(points)} points; "
            "give every point one weight"
        )
    return weights.double()


def _check_probability(p: Tensor, name: str) -> None:
    _check_points(p, name)
    if (p < 0).any():
        raise ValueError(f"{name} has the negative entry {p.min().item():g}; masses are >= 0")
    total = p.detach().double().sum(-1)
    # Room for the rounding of p / p.sum() in the input's own precision.
    tolerance = 4 * p.shape[-1] ** 0.5 * torch.finfo(p.dtype).eps
    worst = (total - 1).abs().max().item()
    if worst > max(tolerance, 1e-6):
        raise ValueError(
            f"{name} sums to {1 + worst if (total > 1).any() else 1 - worst:.6g}; "
            "probabilities sum to 1: divide by the sum"
        )


def _check_pair(p: Tensor, q: Tensor) -> None:
    _check_probability(p, "p")
    _check_probability(q, "q")
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p has {p.shape[-1]} entries and q has {q.shape[-1]}; both need one mass for each "
            "of the same points"
        )


def _check_scale(length_scale: float) -> None:
    if not 0 < length_scale < float("inf"):
        raise ValueError(f"length_scale = {length_scale}; pass a positive, finite number")


# --- the line -----------------------------------------------------------------------------------


def _cdf_steps(
    x: Tensor, y: Tensor, weights_x: Tensor | None, weights_y: Tensor | None
) -> tuple[Tensor, Tensor]:
    # Between two neighbouring points of the pooled sample both CDFs are constant: the lengths of
    # those intervals (K - 1,) and F_x - F_y on each. In float64, so that no mass is lost in sums.
    x, y = _line(x, "x"), _line(y, "y")
    points, order = torch.cat([x, y]).double().sort()
    mass = torch.cat([_mass(weights_x, x, "weights_x"), -_mass(weights_y, y, "weights_y")])
    return points.diff(), mass[order].cumsum(0)[:-1]


def wasserstein_1d(
    x: Tensor, y: Tensor, weights_x: Tensor | None = None, weights_y: Tensor | None = None
) -> Tensor:
    """The Wasserstein-1 distance of two samples on the line, exactly: the integral of |F - G|.

    Parameters
    ----------
    x, y
        Points, shape (N,) or (N, 1) and (M,) or (M, 1), any float dtype; N and M may differ.
    weights_x, weights_y
        Masses of the points, (N,) and (M,), each summing to 1; equal masses by default.

    Returns
    -------
    A scalar tensor >= 0, in the units of the points and the dtype of ``x``. For samples of one
    size it is the mean of ``|sort(x) - sort(y)|``. Differentiable in the points, and in the
    weights.

    Raises
    ------
    ValueError
        For points of dimension above 1, empty or non-finite input, or weights that are negative
        or do not sum to 1.

    Derived in `wasserstein` (Vallender 1974).
    """
    length, gap = _cdf_steps(x, y, weights_x, weights_y)
    return (length * gap.abs()).sum().to(x.dtype)


def cramer(
    x: Tensor, y: Tensor, weights_x: Tensor | None = None, weights_y: Tensor | None = None
) -> Tensor:
    """The Cramér distance of two samples on the line, exactly: the integral of (F - G)^2.

    Arguments and errors as :func:`wasserstein_1d`. It is a squared distance (its root is a
    metric), has the units of the points, and is half of :func:`energy`. Derived in `wasserstein`
    (Székely and Rizzo 2013; Bellemare et al. 2017).
    """
    length, gap = _cdf_steps(x, y, weights_x, weights_y)
    return (length * gap.square()).sum().to(x.dtype)


def wasserstein_gaussians(
    mean_of_p: Tensor | float,
    std_of_p: Tensor | float,
    mean_of_q: Tensor | float,
    std_of_q: Tensor | float,
) -> Tensor:
    """W1 of N(mean_of_p, std_of_p^2) and N(mean_of_q, std_of_q^2) on the line.

    The formula is :data:`GAUSSIAN_W1`; it includes standard deviation 0 (a point mass) and equal
    deviations (the distance of the means). Numbers or tensors that broadcast; float64 result.
    Derived in `wasserstein`. Raises ValueError for a negative standard deviation.
    """
    mean_1, std_1, mean_2, std_2 = (
        torch.as_tensor(v, dtype=torch.float64) for v in (mean_of_p, std_of_p, mean_of_q, std_of_q)
    )
    for std in (std_1, std_2):
        if (std < 0).any():
            raise ValueError(f"standard deviation {std.min().item():g}; it has to be >= 0")
    gap, spread = torch.broadcast_tensors((mean_1 - mean_2).abs(), (std_1 - std_2).abs())
    # Below gap / 40 the formula equals the gap to the last bit; there is no 0 / 0 this way.
    used = torch.maximum(spread, gap.detach() / 40).clamp(min=1e-150)
    distance = compile_formula(GAUSSIAN_W1, mean_gap, std_gap)(gap, used)
    return torch.where((gap == 0) & (spread == 0), 0.0, distance)


# --- any dimension ------------------------------------------------------------------------------


def wasserstein_matching(x: Tensor, y: Tensor) -> Tensor:
    """W1 of two samples of one size in any dimension, exactly: the cheapest one-to-one matching.

    Parameters
    ----------
    x, y
        Samples of the same shape, (N,) or (N, d), any float dtype; about 2000 points at most (the
        matching takes O(N^3) steps on the CPU).

    Returns
    -------
    A scalar tensor >= 0, in the units of the points. Differentiable in the points, the matching
    held fixed, which is the derivative wherever the best matching is unique. As an estimate for
    the distributions behind the samples it is biased upwards: two samples of one distribution are
    at a positive distance.

    Raises
    ------
    ValueError
        For samples of different shape, or empty or non-finite ones.

    Derived in `wasserstein` (Birkhoff 1946: a best plan between equal masses is a permutation).
    """
    from scipy.optimize import linear_sum_assignment

    x, y = _clouds(x, y)
    if len(x) != len(y):
        raise ValueError(
            f"x has {len(x)} points and y has {len(y)}; a matching needs as many in both: leave "
            "some out, or use transport_plan"
        )
    costs = _distances(x, y)
    rows, columns = linear_sum_assignment(costs.detach().cpu().numpy())
    return costs[torch.from_numpy(rows), torch.from_numpy(columns)].mean()


def _distances(x: Tensor, y: Tensor) -> Tensor:
    # (N, M). Not by |x|^2 - 2 x.y + |y|^2, which cancels for near points; cdist's gradient at
    # distance 0 is 0, so a sample may be compared with itself.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def energy(x: Tensor, y: Tensor) -> Tensor:
    """The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of two samples.

    Parameters
    ----------
    x, y
        Samples, shape (N,) or (N, d) and (M,) or (M, d), any float dtype.

    Returns
    -------
    A scalar tensor >= 0 (up to rounding) in the units of the points. The means run over all pairs
    of the two empirical distributions, each point with itself included, so ``energy(x, x)`` is 0
    and on the line ``energy = 2 * cramer``; as an estimate for the distributions behind the samples
    it is biased upwards by O(1/N).

    Raises
    ------
    ValueError
        For empty or non-finite samples, or samples of different dimension.

    Derived in `wasserstein` (Székely and Rizzo 2013).
    """
    x, y = _clouds(x, y)
    return 2 * _distances(x, y).mean() - _distances(x, x).mean() - _distances(y, y).mean()


def _kernel(x: Tensor, y: Tensor, length_scale: float) -> Tensor:
    return torch.exp(-(_distances(x, y) / length_scale).square() / 2)


def mmd2(x: Tensor, y: Tensor, length_scale: float = 1.0, *, unbiased: bool = False) -> Tensor:
    """The squared maximum mean discrepancy with kernel exp(-|x - y|^2 / (2 length_scale^2)).

    Parameters
    ----------
    x, y
        Samples, shape (N,) or (N, d) and (M,) or (M, d), any float dtype.
    length_scale
        Width of the Gaussian kernel, > 0, in the units of the points.
    unbiased
        False: the MMD^2 of the two empirical distributions, in [0, 2], 0 for equal samples.
        True: pairs of a point with itself are left out; the expectation over samples is then the
        MMD^2 of the distributions, and single values may be negative.

    Returns
    -------
    A scalar tensor, without units.

    Raises
    ------
    ValueError
        For a length scale that is not positive, empty or non-finite samples, samples of different
        dimension, or ``unbiased`` with a sample of one point.

    Derived in `wasserstein` (Gretton et al. 2012, lemma 6).
    """
    _check_scale(length_scale)
    x, y = _clouds(x, y)
    within = []
    for sample, name in ((x, "x"), (y, "y")):
        count = len(sample)
        total = _kernel(sample, sample, length_scale).sum()
        if unbiased and count < 2:
            raise ValueError(f"{name} has one point; the unbiased estimate needs two or more")
        # the diagonal of the kernel matrix is 1
        within.append(
            (total - count) / (count * (count - 1)) if unbiased else total / (count * count)
        )
    return within[0] + within[1] - 2 * _kernel(x, y, length_scale).mean()


def mmd_witness(x: Tensor, y: Tensor, length_scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """The critic that attains the MMD of two samples: a function of points (K, d) to values (K,).

    ``f(z) = (E k(X, z) - E k(Y, z)) / MMD``, the unit vector of the kernel's Hilbert space along
    the difference of the mean embeddings, so that ``mean f(x) - mean f(y) = sqrt(mmd2(x, y))``.
    Arguments and errors as :func:`mmd2`; ValueError if the samples are equal (every critic is
    then as good). Derived in `wasserstein` (Gretton et al. 2012, section 2.3).
    """
    x, y = _clouds(x, y)
    norm = mmd2(x, y, length_scale).sqrt()
    if not norm > 0:
        raise ValueError("x and y are the same sample: MMD is 0, and no critic tells them apart")

    def witness(points: Tensor) -> Tensor:
        z = _cloud(points, "points")
        values = _kernel(z, x, length_scale).mean(1) - _kernel(z, y, length_scale).mean(1)
        return values / norm

    return witness


def mmd2_gaussians(
    mean_of_p: float,
    std_of_p: float,
    mean_of_q: float,
    std_of_q: float,
    length_scale: float = 1.0,
) -> Tensor:
    """MMD^2 of two Gaussians on the line (:data:`GAUSSIAN_MMD2`), a float64 scalar tensor.

    Derived in `wasserstein`. Raises ValueError for a negative standard deviation or a length scale
    that is not positive.
    """
    _check_scale(length_scale)
    if min(std_of_p, std_of_q) < 0:
        raise ValueError(f"standard deviation {min(std_of_p, std_of_q):g}; it has to be >= 0")
    arguments = (abs(mean_of_p - mean_of_q), std_of_p, std_of_q, length_scale)
    values = (torch.tensor(float(a), dtype=torch.float64) for a in arguments)
    return compile_formula(GAUSSIAN_MMD2, mean_gap, std_p, std_q, scale)(*values)


# --- probability vectors ------------------------------------------------------------------------


def fisher(p: Tensor, q: Tensor) -> Tensor:
    """The Fisher IPM of probability vectors: sup E_p f - E_q f over (E_p f^2 + E_q f^2) / 2 <= 1.

    Parameters
    ----------
    p, q
        Probability vectors on the last axis, zeros allowed; leading axes broadcast.

    Returns
    -------
    ``sqrt(2 Delta)`` with ``Delta = sum (p - q)^2 / (p + q)``: 0 if p = q, 2 for disjoint
    supports, however near they lie. Shape: the leading axes.

    Raises
    ------
    ValueError
        For vectors of different length, negative entries, or sums other than 1.

    Derived in `wasserstein` (Mroueh and Sercu 2017).
    """
    _check_pair(p, q)
    return (2 * (_relative_gap(p, q) * (p - q)).sum(-1)).sqrt()


def fisher_critic(p: Tensor, q: Tensor) -> Tensor:
    """The critic that attains :func:`fisher`: 2 (p - q) / ((p + q) sqrt(2 Delta)), shape as p.

    0 at points where neither has mass. Raises ValueError as :func:`fisher`, and if p = q, where
    every admissible critic is optimal.
    """
    distance = fisher(p, q)
    if (distance == 0).any():
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
    _check_pair(p, q)
    points = _line(points, "points")
    length = points.diff()
    if p.shape[-1] != len(points):
        raise ValueError(
            f"p has {p.shape[-1]} entries for {len(points)} points; give each one mass"
        )
    if not (length > 0).all():
        raise ValueError("points are not increasing; sort them, and merge the mass of equal ones")
    if density is None:
        middle = (p + q) / 2
        density = (middle[..., 1:] + middle[..., :-1]) / (2 * length)
    elif density.shape[-1] != len(length) or (density < 0).any():
        raise ValueError(
            f"density has shape {tuple(density.shape)}; it has to be >= 0 on each of the "
            f"{len(length)} intervals between neighbouring points"
        )
    # Summed from the end that holds less mass: in the tails the gap is then as small as they are,
    # where rounding left over from the bulk would be huge against a tiny density.
    left = (p - q).cumsum(-1)[..., :-1]
    right = -(p - q).flip(-1).cumsum(-1).flip(-1)[..., 1:]
    gap = torch.where((p + q).cumsum(-1)[..., :-1] < 1, left, right)
    noise = 8 * p.shape[-1] * torch.finfo(p.dtype).eps
    if ((density == 0) & (gap.abs() > noise)).any():
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
    are linear between the points. Shape: the leading axes.

    Raises
    ------
    ValueError
        As :func:`fisher`; for points that do not increase; and where mu has no mass although the
        distribution functions differ (the supremum is then infinite).

    Derived in `wasserstein` (Mroueh et al. 2018).
    """
    gap, length, density = _sobolev_edges(p, q, points, density)
    weight = length / torch.where(density > 0, density, 1)
    return (gap.square() * weight).sum(-1).sqrt()


def sobolev_critic(p: Tensor, q: Tensor, points: Tensor, density: Tensor | None = None) -> Tensor:
    """The critic that attains :func:`sobolev`, with value 0 at the first point; shape as p.

    Its slope is ``(F_q - F_p) / (mu * distance)``. Raises ValueError as :func:`sobolev`, and if
    p = q.
    """
    distance = sobolev(p, q, points, density)
    if (distance == 0).any():
        raise ValueError("p = q: the Sobolev distance is 0, and no critic is singled out")
    gap, length, density = _sobolev_edges(p, q, points, density)
    rise = -gap * length / torch.where(density > 0, density, 1) / distance[..., None]
    return torch.cat([torch.zeros_like(rise[..., :1]), rise.cumsum(-1)], dim=-1)


# --- finite metric spaces: the two linear programmes --------------------------------------------


def _programme(p: Tensor, q: Tensor, distance: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _check_probability(p, "p")
    _check_probability(q, "q")
    if p.ndim != 1 or q.ndim != 1 or distance.shape != (len(p), len(q)):
        raise ValueError(
            f"p {tuple(p.shape)}, q {tuple(q.shape)}, distance {tuple(distance.shape)}; expected "
            "(N,), (M,) and the table (N, M) of distances"
        )
    _check_points(distance, "distance")
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
    return torch.tensor(solution.fun, dtype=torch.float64), torch.from_numpy(
        solution.x.reshape(n, m)
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
    return torch.tensor(-solution.fun, dtype=torch.float64), torch.from_numpy(solution.x)
