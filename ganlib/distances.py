"""Distances between distributions that see how far apart their points lie.

Where an f-divergence compares densities point by point, the quantities here are suprema of
``E_P f - E_Q f`` over a class of critics f (integral probability metrics), or costs of moving
mass. Each compares samples, weighted points, probability vectors or Gaussians *exactly*: the
value belongs to the distributions given, so two equal samples are at distance 0. Samples of any
float dtype are compared in float64, pairs of points in blocks of bounded memory.

Derived in `wasserstein` (transport) and `critics` (Cramér, energy, maximum mean discrepancy).

Examples
--------
>>> GAUSSIAN_W1.subs({mean_gap: 0, std_gap: 1})
sqrt(2)/sqrt(pi)
>>> GAUSSIAN_MMD2.free_symbols == {mean_gap, std_p, std_q, scale}
True
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
import torch
from torch import Tensor

from ganlib import pairs
from ganlib.checks import check_probabilities, readable
from ganlib.finite import (
    fisher,
    fisher_critic,
    kantorovich_potential,
    sobolev,
    sobolev_critic,
    transport_plan,
)
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

#: The difference of the means of two Gaussians, taken as positive.
mean_gap = sp.Symbol("mu_gap", nonnegative=True)
#: The difference of their standard deviations, taken as positive.
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


_w1_of_gaussians = compile_formula(GAUSSIAN_W1, mean_gap, std_gap)
_mmd2_of_gaussians = compile_formula(GAUSSIAN_MMD2, mean_gap, std_p, std_q, scale)


def _mass(weights: Tensor | None, points: Tensor, name: str) -> Tensor:
    if weights is None:
        count = len(points)
        return torch.full((count,), 1 / count, dtype=torch.float64, device=points.device)
    check_probabilities(weights, name)
    if weights.shape != points.shape:
        raise ValueError(
            f"{name} has shape {tuple(weights.shape)} for {len(points)} points; "
            "give every point one weight"
        )
    return weights.double()


def _check_scale(length_scale: float) -> None:
    if not 0 < length_scale < float("inf"):
        raise ValueError(f"length_scale = {length_scale}; pass a positive, finite number")


# --- the line -----------------------------------------------------------------------------------


def _cdf_steps(
    x: Tensor, y: Tensor, weights_x: Tensor | None, weights_y: Tensor | None
) -> tuple[Tensor, Tensor]:
    # Between two neighbouring points of the pooled sample both CDFs are constant: the lengths of
    # those intervals (K - 1,) and F_x - F_y on each. In float64, so that no mass is lost in sums.
    x, y = pairs.line(x, "x"), pairs.line(y, "y")
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

    Examples
    --------
    >>> wasserstein_1d(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0]))
    tensor(2.)
    """
    length, gap = _cdf_steps(x, y, weights_x, weights_y)
    return (length * gap.abs()).sum().to(x.dtype)


def cramer(
    x: Tensor, y: Tensor, weights_x: Tensor | None = None, weights_y: Tensor | None = None
) -> Tensor:
    """The Cramér distance of two samples on the line, exactly: the integral of (F - G)^2.

    Arguments and errors as :func:`wasserstein_1d`. It is a squared distance (its root is a
    metric), has the units of the points, and is half of :func:`energy`. Derived in `critics`
    (Székely and Rizzo 2013; Bellemare et al. 2017).

    Examples
    --------
    Two points at distance 2: F - G is 1 between them.

    >>> cramer(torch.tensor([0.0]), torch.tensor([2.0]))
    tensor(2.)
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

    Examples
    --------
    >>> wasserstein_gaussians(0.0, 1.0, 3.0, 1.0)
    tensor(3., dtype=torch.float64)
    >>> wasserstein_gaussians(0.0, 1.0, 0.0, 2.0)  # sqrt(2 / pi)
    tensor(0.7979, dtype=torch.float64)
    """
    arguments = (mean_of_p, std_of_p, mean_of_q, std_of_q)
    device = next((v.device for v in arguments if isinstance(v, Tensor)), None)
    mean_1, std_1, mean_2, std_2 = (
        torch.as_tensor(v, dtype=torch.float64, device=device) for v in arguments
    )
    for std in (std_1, std_2):
        if readable(std) and not (std >= 0).all():
            raise ValueError(f"standard deviation {std.min().item():g}; it has to be >= 0")
    gap, spread = torch.broadcast_tensors((mean_1 - mean_2).abs(), (std_1 - std_2).abs())
    # Below gap / 40 the formula equals the gap to the last bit; there is no 0 / 0 this way.
    used = torch.maximum(spread, gap.detach() / 40).clamp(min=1e-150)
    # Beyond 1e150 the squares in the formula are no float64; by a power of two no digit changes.
    far = torch.maximum(gap, spread).detach() > 1e150
    unit = torch.where(far, torch.full_like(gap, 2.0**600), torch.ones_like(gap))
    distance = _w1_of_gaussians(gap / unit, used / unit) * unit
    return torch.where((gap == 0) & (spread == 0), 0.0, distance)


# --- any dimension ------------------------------------------------------------------------------


def wasserstein_matching(x: Tensor, y: Tensor) -> Tensor:
    """W1 of two samples of one size in any dimension, exactly: the cheapest one-to-one matching.

    Parameters
    ----------
    x, y
        Samples of the same shape, (N,) or (N, d), any float dtype; about 2000 points at most (the
        matching takes O(N^3) steps and 8 N^2 bytes on the CPU).

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

    Examples
    --------
    >>> x, y = torch.tensor([[0.0, 0.0], [9.0, 9.0]]), torch.tensor([[9.0, 9.0], [3.0, 4.0]])
    >>> wasserstein_matching(x, y)  # (5 + 0) / 2
    tensor(2.5000)
    """
    from scipy.optimize import linear_sum_assignment

    p, q = pairs.two(x, y)
    if len(p) != len(q):
        raise ValueError(
            f"x has {len(p)} points and y has {len(q)}; a matching needs as many in both: leave "
            "some out, or use transport_plan"
        )
    with torch.no_grad():
        costs = torch.cat([pairs.distances(part, q).cpu() for part in pairs.blocks(p, q)])
    _, columns = linear_sum_assignment(costs.numpy())
    matched = q[torch.from_numpy(columns).to(q.device)]
    return pairs.root((p - matched).square().sum(1)).mean().to(x.dtype)


def energy(x: Tensor, y: Tensor) -> Tensor:
    """The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of two samples.

    Parameters
    ----------
    x, y
        Samples, shape (N,) or (N, d) and (M,) or (M, d), any float dtype.

    Returns
    -------
    A scalar tensor >= 0 (up to rounding) in the units of the points and the dtype of x. The means
    run over all pairs of the two empirical distributions, each point with itself included, so
    ``energy(x, x)`` is 0 and on the line ``energy = 2 * cramer``; as an estimate for the
    distributions behind the samples it is biased upwards by O(1/N).

    Raises
    ------
    ValueError
        For empty or non-finite samples, or samples of different dimension.

    Derived in `critics` (Székely and Rizzo 2013).

    Examples
    --------
    >>> energy(torch.tensor([0.0]), torch.tensor([2.0]))  # twice the Cramér distance
    tensor(4.)
    """
    p, q = pairs.two(x, y)
    across, within_p, within_q = (
        pairs.mean(pairs.distances, *both) for both in ((p, q), (p, p), (q, q))
    )
    return (2 * across - within_p - within_q).to(x.dtype)


def _kernel(length_scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    # The power first: (distance / length_scale)^2 over- and underflows where their ratio need not.
    return lambda x, y: torch.exp(-pairs.squares(x, y) / length_scale / length_scale / 2)


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
    A scalar tensor of the dtype of x, without units.

    Raises
    ------
    ValueError
        For a length scale that is not positive, empty or non-finite samples, samples of different
        dimension, or ``unbiased`` with a sample of one point.

    Derived in `critics` (Gretton et al. 2012, lemma 6).

    Examples
    --------
    >>> mmd2(torch.tensor([0.0]), torch.tensor([1.0]))  # 2 - 2 exp(-1/2)
    tensor(0.7869)
    """
    _check_scale(length_scale)
    p, q = pairs.two(x, y)
    kernel = _kernel(length_scale)
    within = []
    for sample, name in ((p, "x"), (q, "y")):
        count = len(sample)
        average = pairs.mean(kernel, sample, sample)
        if unbiased and count < 2:
            raise ValueError(f"{name} has one point; the unbiased estimate needs two or more")
        # the diagonal of the kernel matrix is 1
        within.append((count * average - 1) / (count - 1) if unbiased else average)
    return (within[0] + within[1] - 2 * pairs.mean(kernel, p, q)).to(x.dtype)


def mmd_witness(x: Tensor, y: Tensor, length_scale: float = 1.0) -> Callable[[Tensor], Tensor]:
    """The critic that attains the MMD of two samples: a function of points (K, d) to values (K,).

    ``f(z) = (E k(X, z) - E k(Y, z)) / MMD``, the unit vector of the kernel's Hilbert space along
    the difference of the mean embeddings, so that ``mean f(x) - mean f(y) = sqrt(mmd2(x, y))``.
    Arguments and errors as :func:`mmd2`; ValueError if the samples are equal (every critic is
    then as good). Derived in `critics` (Gretton et al. 2012, section 2.3).

    Examples
    --------
    >>> x, y = torch.tensor([0.0]), torch.tensor([1.0])
    >>> critic = mmd_witness(x, y)
    >>> (critic(x) - critic(y)).item() - mmd2(x, y).sqrt().item() < 1e-6
    True
    """
    x, y = pairs.two(x, y)
    kernel = _kernel(length_scale)
    norm = mmd2(x, y, length_scale).sqrt()
    if readable(norm) and not norm > 0:
        raise ValueError("x and y are the same sample: MMD is 0, and no critic tells them apart")

    def witness(points: Tensor) -> Tensor:
        z, _ = pairs.two(points, x, ("points", "x"))
        parts = pairs.blocks(z, x if len(x) > len(y) else y)
        gaps = [kernel(part, x).mean(1) - kernel(part, y).mean(1) for part in parts]
        return (torch.cat(gaps) / norm).to(points.dtype)

    return witness


def mmd2_gaussians(
    mean_of_p: float,
    std_of_p: float,
    mean_of_q: float,
    std_of_q: float,
    length_scale: float = 1.0,
) -> Tensor:
    """MMD^2 of two Gaussians on the line (:data:`GAUSSIAN_MMD2`), a float64 scalar tensor.

    Derived in `critics`. Raises ValueError for a negative standard deviation or a length scale
    that is not positive.

    Examples
    --------
    >>> mmd2_gaussians(0.0, 1.0, 0.0, 1.0)
    tensor(0., dtype=torch.float64)
    >>> mmd2_gaussians(0.0, 0.0, 1.0, 0.0)  # two points: 2 - 2 exp(-1/2)
    tensor(0.7869, dtype=torch.float64)
    """
    _check_scale(length_scale)
    for std in (std_of_p, std_of_q):
        if not std >= 0:
            raise ValueError(f"standard deviation {std:g}; it has to be >= 0")
    arguments = (abs(mean_of_p - mean_of_q), std_of_p, std_of_q, length_scale)
    values = (torch.tensor(float(a), dtype=torch.float64) for a in arguments)
    return _mmd2_of_gaussians(*values)
