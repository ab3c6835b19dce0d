"""Scores of a generator, each tested on cases with a known answer.

A score says what a perfect generator gets, because that is rarely 0, 1 or 100 %: a perfect
sampler of a Gaussian mixture lands within three standard deviations of a mode with probability
1 - exp(-9/2) = 98.9 % in two dimensions (:func:`perfect_high_quality`), and any divergence
estimated from finite samples has a floor above zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "DensityCoverage",
    "HistogramDivergences",
    "ModeCoverage",
    "PrecisionRecall",
    "cell_counts",
    "cell_jsd",
    "cell_kl",
    "cell_masses",
    "density_coverage",
    "frechet_distance",
    "histogram_divergences",
    "mode_counts",
    "mode_coverage",
    "perfect_high_quality",
    "precision_recall",
]


class ModeCoverage(NamedTuple):
    """Result of :func:`mode_coverage`."""

    modes: int  #: modes with at least one high-quality sample
    high_quality: float  #: share of samples within the radius of their nearest mode, in [0, 1]
    reverse_kl: float  #: KL(high-quality mode histogram || uniform), nats; infinite if empty


class PrecisionRecall(NamedTuple):
    """Result of :func:`precision_recall`, both in [0, 1]."""

    precision: float  #: share of generated samples near the data
    recall: float  #: share of data samples near the generated ones


class DensityCoverage(NamedTuple):
    """Result of :func:`density_coverage`."""

    density: float  #: 1 in expectation for identical distributions; may exceed 1
    coverage: float  #: share of data samples with a generated one in their neighbourhood


class HistogramDivergences(NamedTuple):
    """Result of :func:`histogram_divergences`, in nats; tv is in [0, 1]."""

    kl: float  #: KL(real || fake); infinite where a cell holds real samples and no fake one
    reverse_kl: float  #: KL(fake || real)
    jsd: float  #: Jensen-Shannon divergence, in [0, log 2]
    tv: float  #: total variation


def mode_coverage(
    samples: Tensor, centres: Tensor, std: float, within: float = 3.0
) -> ModeCoverage:
    """Modes covered, share of high-quality samples, and balance between the modes.

    The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): a sample is of
    high quality if it lies within ``within`` standard deviations of its nearest centre; a mode
    is covered if one high-quality sample is nearest to it. Both papers draw 2,500 samples.

    Parameters
    ----------
    samples
        Shape (N, d).
    centres
        Shape (K, d), the modes.
    std
        Standard deviation of each mode, in the units of the samples.
    within
        Radius in standard deviations (the papers use 3, and 10 for 1200 dimensions).
    """
    _check_points(samples, centres, names=("samples", "centres"))
    if not std > 0 or not within > 0:
        raise ValueError(f"std is {std} and within is {within}; both must be positive")
    counts = mode_counts(samples.double(), centres.to(samples).double(), within * std)
    reverse_kl = math.inf
    if counts.sum() > 0:
        share = counts / counts.sum()
        reverse_kl = max(0.0, (torch.xlogy(share, share * len(centres))).sum().item())
    return ModeCoverage(int((counts > 0).sum()), (counts.sum() / len(samples)).item(), reverse_kl)


def mode_counts(points: Tensor, centres: Tensor, radius: float | Tensor) -> Tensor:
    """Points within ``radius`` of their nearest centre, counted at that centre: shape (K,).

    Points are (N, d), centres (K, d). Of centres at equal distance the first counts. Tensors
    in, a tensor of the points' dtype out, no check and no branch: the lab compiles this very
    function (:mod:`ganlib.lab.gan`). Distances cost rounding in the square of the coordinates,
    so call it with float64 where a radius is far below them.
    """
    index = torch.arange(len(centres), dtype=points.dtype, device=points.device)
    squared = points.square().sum(1, keepdim=True) - 2 * points @ centres.T
    squared = squared + centres.square().sum(1)
    least = squared.amin(1, keepdim=True)
    nearest = torch.where(squared == least, index, float(len(centres))).amin(1, keepdim=True)
    good = least < radius**2
    return ((nearest == index) & good).to(points.dtype).sum(0)


def perfect_high_quality(dimension: int = 2, within: float = 3.0) -> float:
    """The high-quality share of a perfect sampler of well separated Gaussians.

    P(chi-square with ``dimension`` degrees of freedom < within^2); 1 - exp(-within^2 / 2) in
    two dimensions.
    """
    from scipy.stats import chi2

    return float(chi2.cdf(within**2, dimension))


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    A point is near a set if it lies in the ball of some point of the set that reaches that
    point's ``neighbours``-th nearest neighbour in the set. Shapes (N, d) and (M, d).
    """
    _check_neighbours(real, fake, neighbours)
    across = torch.cdist(real, fake)
    inside_real = across <= _radius(real, neighbours)[:, None]
    inside_fake = across <= _radius(fake, neighbours)[None, :]
    return PrecisionRecall(
        inside_real.any(dim=0).double().mean().item(),
        inside_fake.any(dim=1).double().mean().item(),
    )


def density_coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020), less sensitive to outliers than precision.

    For identical distributions density is 1 in expectation, and coverage close to
    1 - 2^-neighbours where N = M (Naeem et al. 2020, section 3.3).
    """
    _check_neighbours(real, fake, neighbours)
    inside = torch.cdist(real, fake) <= _radius(real, neighbours)[:, None]
    return DensityCoverage(
        inside.double().sum().item() / (neighbours * len(fake)),
        inside.any(dim=1).double().mean().item(),
    )


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """The squared 2-Wasserstein distance between Gaussians fitted to two feature sets.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) with unbiased covariances (Dowson and Landau
    1982; Heusel et al. 2017 for Inception features). It is biased upwards at finite sample
    size: quote the count, and the value between two halves of the data as its floor.

    Parameters
    ----------
    real, fake
        Features of shape (N, d) and (M, d), N and M at least 2; computed in float64.
    """
    _check_points(real, fake, names=("real", "fake"))
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} and {len(fake)} samples; a covariance takes at least 2")
    real, fake = real.double(), fake.double()
    cov_real, cov_fake = torch.cov(real.T), torch.cov(fake.T)
    cov_real, cov_fake = (c.reshape(real.shape[1], real.shape[1]) for c in (cov_real, cov_fake))
    # tr (S1 S2)^(1/2) through the symmetric S1^(1/2) S2 S1^(1/2): real and non-negative spectrum
    values, vectors = torch.linalg.eigh(cov_real)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_fake @ root).clamp(min=0).sqrt().sum()
    mean = (real.mean(0) - fake.mean(0)).square().sum()
    return max(0.0, (mean + cov_real.trace() + cov_fake.trace() - 2 * cross).item())


def histogram_divergences(
    real: Tensor,
    fake: Tensor,
    limits: tuple[float, float, float, float],
    bins: int = 20,
) -> HistogramDivergences:
    """Divergences between two-dimensional histograms of two samples.

    Parameters
    ----------
    real, fake
        Shapes (N, 2) and (M, 2).
    limits
        (x0, x1, y0, y1); points outside count in the nearest border cell, so both histograms
        hold all their mass.
    bins
        Cells along each axis.
    """
    _check_points(real, fake, names=("real", "fake"))
    if real.shape[1] != 2:
        raise ValueError(f"samples have {real.shape[1]} columns; the histogram takes 2")
    p, q = (_histogram(points, limits, bins) for points in (real, fake))

    def nats(divergence: Tensor) -> float:
        return max(0.0, divergence.item())

    return HistogramDivergences(
        nats(cell_kl(p, q)),
        nats(cell_kl(q, p)),
        nats(cell_jsd(p, q)),
        ((p - q).abs().sum() / 2).item(),
    )


def cell_counts(points: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Points (N, 2) in each cell of a lattice: shape (bins, bins), the first axis is x.

    ``low`` and ``high`` (2,) are the lattice's corners; points outside count in the nearest
    border cell. Like :func:`mode_counts`, tensors in and out, for the lab to compile.
    """
    cell = ((points - low) / (high - low) * bins).floor().clamp(0, bins - 1)
    index = torch.arange(bins, dtype=points.dtype, device=points.device)
    column, row = ((cell[:, axis : axis + 1] == index).to(points.dtype) for axis in (0, 1))
    return column.T @ row


def cell_masses(
    centres: Tensor, weights: Tensor, std: float | Tensor, low: Tensor, high: Tensor, bins: int
) -> Tensor:
    """The exact mass of a Gaussian mixture in each cell of :func:`cell_counts`, (bins, bins).

    A difference of normal distribution functions along each axis; border cells reach to
    infinity. Centres (K, 2), weights (K,) that sum to 1, one standard deviation for all.
    """
    edges = torch.arange(1, bins, dtype=centres.dtype, device=centres.device) / bins

    def along(axis: int) -> Tensor:
        place = low[axis] + (high[axis] - low[axis]) * edges
        below = (1 + torch.erf((place - centres[:, axis : axis + 1]) / (math.sqrt(2) * std))) / 2
        none, all_ = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
        return torch.cat([below, all_], dim=1) - torch.cat([none, below], dim=1)

    return (weights[:, None] * along(0)).T @ along(1)


def cell_kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of cell probabilities of one shape, nats: infinite where q misses a cell of p."""
    return torch.where(p > 0, p * torch.log(p / q), torch.zeros_like(p)).sum()


def cell_jsd(p: Tensor, q: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of cell probabilities, in [0, log 2] up to rounding."""
    m = (p + q) / 2
    return (cell_kl(p, m) + cell_kl(q, m)) / 2


def _histogram(points: Tensor, limits: tuple[float, float, float, float], bins: int) -> Tensor:
    low = torch.tensor([limits[0], limits[2]], dtype=torch.float64)
    high = torch.tensor([limits[1], limits[3]], dtype=torch.float64)
    if not (high > low).all() or bins < 1:
        raise ValueError(
            f"limits are {limits} with {bins} bins; expected x0 < x1, y0 < y1, bins >= 1"
        )
    counts = cell_counts(points.double().cpu(), low, high, bins)
    return counts / counts.sum()


def _radius(points: Tensor, neighbours: int) -> Tensor:
    # kthvalue counts from 1 and the nearest point of a set to a member is itself.
    return torch.cdist(points, points).kthvalue(neighbours + 1, dim=1).values


def _check_points(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    for points, name in zip((first, second), names, strict=True):
        if points.ndim != 2 or len(points) == 0:
            raise ValueError(f"{name} has shape {tuple(points.shape)}; expected (N, d), N >= 1")
        if not torch.isfinite(points).all():
            raise ValueError(f"{name} holds NaN or infinite values; the run that made it diverged")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[0]} has {first.shape[1]} columns, {names[1]} has {second.shape[1]}; "
            "they must live in one space"
        )


def _check_neighbours(real: Tensor, fake: Tensor, neighbours: int) -> None:
    _check_points(real, fake, names=("real", "fake"))
    smallest = min(len(real), len(fake))
    if not 1 <= neighbours < smallest:
        raise ValueError(
            f"neighbours is {neighbours}; it must be at least 1 and below the number of samples "
            f"({smallest})"
        )
