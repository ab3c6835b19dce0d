"""Scores of a generator, each tested on cases with a known answer.

A score says what a perfect generator gets, because that is rarely 0, 1 or 100 %: a perfect
sampler of a Gaussian mixture lands within three standard deviations of a mode with probability
1 - exp(-9/2) = 98.9 % in two dimensions (:func:`perfect_high_quality`), and any divergence
estimated from finite samples has a floor above zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ganlib import pairs
from ganlib.checks import check_count

__all__ = [
    "Anchors",
    "DensityCoverage",
    "HistogramDivergences",
    "KernelDistance",
    "ModeCoverage",
    "PrecisionRecall",
    "Sampler",
    "anchors",
    "cell_counts",
    "cell_jsd",
    "cell_kl",
    "cell_masses",
    "density_coverage",
    "frechet_distance",
    "histogram_divergences",
    "kernel_distance",
    "mode_counts",
    "mode_coverage",
    "perfect_high_quality",
    "precision_recall",
]


T = TypeVar("T")
FAIR = 0.25  #: a mode is fairly covered from this part of an equal share on


class ModeCoverage(NamedTuple):
    """Result of :func:`mode_coverage`.

    Examples
    --------
    >>> centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> found = mode_coverage(centres[:1], centres, std=0.1)
    >>> isinstance(found, ModeCoverage), found.modes, found.high_quality
    (True, 1, 1.0)
    """

    modes: int  #: modes with at least one high-quality sample
    high_quality: float  #: share of samples within the radius of their nearest mode, in [0, 1]
    reverse_kl: float  #: KL(high-quality mode histogram || uniform), nats; infinite if empty
    fair: int  #: modes with at least a quarter of a fair share of the high-quality samples
    filled: int  #: modes with at least a quarter of what a perfect sampler puts there


class PrecisionRecall(NamedTuple):
    """Result of :func:`precision_recall`, both in [0, 1].

    Examples
    --------
    >>> real = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
    >>> found = precision_recall(real, real + 100)
    >>> isinstance(found, PrecisionRecall), found.precision, found.recall
    (True, 0.0, 0.0)
    """

    precision: float  #: share of generated samples near the data
    recall: float  #: share of data samples near the generated ones


class DensityCoverage(NamedTuple):
    """Result of :func:`density_coverage`.

    Examples
    --------
    >>> real = torch.arange(10.0)[:, None]
    >>> found = density_coverage(real, real + 100)
    >>> isinstance(found, DensityCoverage), found.density, found.coverage
    (True, 0.0, 0.0)
    """

    density: float  #: 1 in expectation for identical distributions; may exceed 1
    coverage: float  #: share of data samples with a generated one in their neighbourhood


class HistogramDivergences(NamedTuple):
    """Result of :func:`histogram_divergences`, in nats; tv is in [0, 1].

    Examples
    --------
    >>> points = torch.zeros(4, 2)
    >>> found = histogram_divergences(points, points, (-1, 1, -1, 1))
    >>> isinstance(found, HistogramDivergences), found.kl, found.tv
    (True, 0.0, 0.0)
    """

    kl: float  #: KL(real || fake); infinite where a cell holds real samples and no fake one
    reverse_kl: float  #: KL(fake || real)
    jsd: float  #: Jensen-Shannon divergence, in [0, log 2]
    tv: float  #: total variation


class KernelDistance(NamedTuple):
    """Result of :func:`kernel_distance`.

    Examples
    --------
    >>> x = torch.arange(8.0)[:, None]
    >>> found = kernel_distance(x, x, parts=2)
    >>> isinstance(found, KernelDistance), found.error is None
    (True, False)
    """

    value: float  #: 0 in expectation for identical distributions; may be negative
    error: float | None  #: its standard error; None where all samples are one part


class Anchors(NamedTuple, Generic[T]):
    """Result of :func:`anchors`: one score for each sampler.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> found = anchors(ring(), lambda x: x.mean().item(), count=10)
    >>> isinstance(found, Anchors), found._fields
    (True, ('perfect', 'gaussian', 'factorised', 'ball'))
    """

    perfect: T  #: a draw from the target
    gaussian: T  #: one Gaussian with the target's mean and covariance
    factorised: T  #: the target's coordinates, each drawn on its own
    ball: T  #: uniform in the ball (the plane's disc) about the mean that holds the draws


class Sampler(Protocol):
    """Anything that draws samples, such as the data sets of :mod:`ganlib.data`.

    Examples
    --------
    >>> class Points(Sampler):
    ...     def sample(self, count, generator=None):
    ...         return torch.randn(count, 2, generator=generator)
    >>> anchors(Points(), len, count=100).perfect
    100
    """

    def sample(self, count: int, generator: torch.Generator | None = None, /) -> Tensor:
        """Draw ``count`` samples, shape (count, ...)."""
        ...


def mode_coverage(
    samples: Tensor, centres: Tensor, std: float, within: float = 3.0
) -> ModeCoverage:
    """Modes covered, share of high-quality samples, and balance between the modes.

    The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): a sample is of
    high quality if it lies within ``within`` standard deviations of its nearest centre; a mode
    is covered if one high-quality sample is nearest to it. Both papers draw 2,500 samples. One
    sample in 2,500 is little: ``fair`` counts the modes that got a quarter of an equal share of
    the high-quality samples, however few these are; ``filled`` those with a quarter of what a
    perfect sampler puts there, of which a disc over narrow modes has none.

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

    Raises
    ------
    TypeError, ValueError
        For samples that are no finite points of the centres' space, or a radius that is not
        positive and finite.

    Examples
    --------
    Every sample on a centre, the two modes equally often:

    >>> centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> mode_coverage(centres.repeat(50, 1), centres, std=0.1)
    ModeCoverage(modes=2, high_quality=1.0, reverse_kl=0.0, fair=2, filled=2)
    """
    samples, centres = _pair(samples, centres, ("samples", "centres"))
    centres = centres.to(samples.device)
    if not 0 < std < math.inf or not 0 < within < math.inf:
        raise ValueError(f"std is {std} and within is {within}; both must be positive and finite")
    counts = samples.new_zeros(len(centres))
    for part in pairs.blocks(samples, centres):
        distance, mode = pairs.distances(part, centres).min(dim=1)
        counts += torch.bincount(mode[distance < within * std], minlength=len(centres))
    good = counts.sum()
    if good == 0:
        return ModeCoverage(0, 0.0, math.inf, 0, 0)
    share = counts / good
    perfect = perfect_high_quality(centres.shape[1], within)
    return ModeCoverage(
        int((counts > 0).sum()),
        (good / len(samples)).item(),
        _at_least_0(torch.xlogy(share, share * len(centres)).sum()),
        int((share >= FAIR / len(centres)).sum()),
        int((counts >= FAIR * len(samples) * perfect / len(centres)).sum()),
    )


def mode_counts(points: Tensor, centres: Tensor, radius: float | Tensor) -> Tensor:
    """Points within ``radius`` of their nearest centre, counted at that centre: shape (K,).

    Points are (N, d), centres (K, d). Of centres at equal distance the first counts. Tensors
    in, a tensor of the points' dtype out, no check and no branch: the lab compiles this very
    function (:mod:`ganlib.lab.gan`). Distances cost rounding in the square of the coordinates,
    so call it with float64 where a radius is far below them.

    Examples
    --------
    >>> points = torch.tensor([[0.1], [0.9], [1.1], [5.0]])
    >>> mode_counts(points, torch.tensor([[0.0], [1.0]]), 0.2)
    tensor([1., 2.])
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

    Examples
    --------
    >>> round(perfect_high_quality(), 4)  # 1 - exp(-9/2)
    0.9889
    """
    check_count(dimension, "dimension")
    if not within > 0:
        raise ValueError(f"within is {within}; it must be positive")
    from scipy.stats import chi2

    return float(chi2.cdf(within**2, dimension))


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al. 2019).

    A point is near a set if it lies in the ball of some point of the set that reaches that
    point's ``neighbours``-th nearest neighbour in the set. Shapes (N, d) and (M, d).

    Examples
    --------
    Samples of one of two clusters are all near the data, but half of the data are near no sample:

    >>> left, right = torch.arange(8.0)[:, None], 100 + torch.arange(8.0)[:, None]
    >>> precision_recall(torch.cat([left, right]), left)
    PrecisionRecall(precision=1.0, recall=0.5)
    """
    real, fake = _neighbourhoods(real, fake, neighbours)
    around_real, around_fake = _reach(real, neighbours), _reach(fake, neighbours)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    parts = (pairs.blocks(rows, fake) for rows in (real, around_real, recalled))
    for part, reach, found in zip(*parts, strict=True):
        across = pairs.squares(part, fake)
        precise |= (across <= reach[:, None]).any(dim=0)
        found.copy_((across <= around_fake).any(dim=1))
    return PrecisionRecall(precise.double().mean().item(), recalled.double().mean().item())


def density_coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020), less sensitive to outliers than precision.

    For identical distributions density is 1 in expectation, and coverage close to
    1 - 2^-neighbours where N = M (Naeem et al. 2020, section 3.3).

    Examples
    --------
    >>> left, right = torch.arange(8.0)[:, None], 100 + torch.arange(8.0)[:, None]
    >>> density_coverage(torch.cat([left, right]), left).coverage
    0.5
    """
    real, fake = _neighbourhoods(real, fake, neighbours)
    around = _reach(real, neighbours)
    found = torch.zeros(len(real), dtype=torch.int64, device=real.device)
    parts = (pairs.blocks(rows, fake) for rows in (real, around, found))
    for part, reach, count in zip(*parts, strict=True):
        count.copy_((pairs.squares(part, fake) <= reach[:, None]).sum(dim=1))
    return DensityCoverage(
        found.sum().item() / (neighbours * len(fake)), (found > 0).double().mean().item()
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

    Examples
    --------
    A shift by (3, 4) leaves the covariance: the squared distance is 25.

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> round(frechet_distance(x, x + torch.tensor([3.0, 4.0])), 6)
    25.0
    """
    real, fake = _pair(real, fake)
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} and {len(fake)} samples; a covariance takes at least 2")
    cov_real, cov_fake = (
        torch.cov(points.T).reshape(points.shape[1], points.shape[1]) for points in (real, fake)
    )
    # The product of two covariances is a fourth power, so both are brought to order 1 first: by a
    # power of two, which costs no digit.
    total = max(cov_real.trace().item(), cov_fake.trace().item())
    unit = 2.0 ** (math.frexp(total)[1] // 2 * 2)
    # tr (S1 S2)^(1/2) through the symmetric S1^(1/2) S2 S1^(1/2): real and non-negative spectrum
    values, vectors = torch.linalg.eigh(cov_real / unit)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ (cov_fake / unit) @ root).clamp(min=0).sqrt().sum()
    mean = (real.mean(0) - fake.mean(0)).square().sum()
    return _at_least_0(mean + cov_real.trace() + cov_fake.trace() - 2 * unit * cross)


def _pair(
    first: Tensor, second: Tensor, names: tuple[str, str] = ("real", "fake")
) -> tuple[Tensor, Tensor]:
    first, second = pairs.two(first, second, names)
    return first.detach(), second.detach()


def _at_least_0(value: Tensor) -> float:
    # What rounding left below 0 becomes 0. NaN stays NaN: max(0.0, nan) is a perfect score.
    return value.clamp(min=0).item()


def kernel_distance(real: Tensor, fake: Tensor, parts: int = 1) -> KernelDistance:
    """The squared MMD of two feature sets with the kernel (x.y / d + 1)^3: KID on Inception's.

    The unbiased estimate of Binkowski et al. (2018): its expectation is 0 for equal distributions
    at any number of samples, where that of :func:`frechet_distance` is above. It sees moments up
    to the third. Single values may be negative.

    Parameters
    ----------
    real, fake
        Features of shape (N, d) and (M, d); computed in float64.
    parts
        Cut both sets into so many parts of equal size, in their order, and average the estimates
        of the parts: still unbiased, cheaper, and with a standard error. 1 uses all pairs.

    Raises
    ------
    TypeError, ValueError
        For samples that are no finite points of one space, parts of fewer than 2 samples, or
        features so large (1e50) that the kernel is no float64.

    Examples
    --------
    With k(x, y) = (x y + 1)^3: k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1, so 1 + 8 - 2.

    >>> kernel_distance(torch.zeros(2, 1), torch.ones(2, 1))
    KernelDistance(value=7.0, error=None)
    """
    real, fake = _pair(real, fake)
    check_count(parts, "parts")
    if min(len(real), len(fake)) < 2 * parts:
        raise ValueError(
            f"{len(real)} and {len(fake)} samples in {parts} parts; every part takes at least 2"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        own = (x.square().mean(1) + 1) ** 3  # each point with itself, which the estimate leaves out
        return (len(x) * pairs.mean(kernel, x, x) - own.mean()) / (len(x) - 1)

    cuts = zip(*(part.split(len(part) // parts)[:parts] for part in (real, fake)), strict=True)
    estimates = torch.stack([within(x) + within(y) - 2 * pairs.mean(kernel, x, y) for x, y in cuts])
    if not torch.isfinite(estimates).all():
        largest = max(real.abs().max().item(), fake.abs().max().item())
        raise ValueError(
            f"features of size up to {largest:.3g}, whose sixth power is no float64; divide both "
            "samples by one scale first"
        )
    error = estimates.std().item() / math.sqrt(parts) if parts > 1 else None
    return KernelDistance(estimates.mean().item(), error)


def anchors(
    target: Sampler,
    score: Callable[[Tensor], T],
    count: int = 2500,
    generator: torch.Generator | None = None,
) -> Anchors[T]:
    """What a score gives to a perfect sampler of a target, and to three that know few features.

    A score means nothing without them: a disc over a ring of eight modes covers all eight. Each
    is one draw; for a spread call it with several generators.

    Parameters
    ----------
    target
        Anything with ``sample(count, generator)``, such as :func:`ganlib.data.ring`.
    score
        From samples (count, ...) to a score, such as
        ``lambda x: mode_coverage(x, ring.centres, ring.std)``.
    count
        Samples a score is given; at least 2.
    generator
        The source of chance; torch's global one if None.

    Examples
    --------
    >>> from ganlib.data import ring
    >>> target, rng = ring(), torch.Generator().manual_seed(0)
    >>> def modes(x):
    ...     return mode_coverage(x, target.centres, target.std).modes
    >>> anchors(target, modes, generator=rng).perfect
    8
    """
    check_count(count, "count", 2)
    drawn, seen = (target.sample(count, generator) for _ in range(2))
    if not isinstance(seen, Tensor):
        raise TypeError(
            f"target draws a {type(seen).__name__}, such as the pairs of labelled(); pass the data "
            "set without labels, for example ring() in place of ring().labelled()"
        )
    flat = seen.flatten(1)
    centre = flat.mean(0)
    place = generator.device if generator is not None else "cpu"

    def noise(columns: int) -> Tensor:
        return torch.randn(count, columns, generator=generator, device=place).to(flat)

    # Rows of noise @ X / sqrt(N - 1) have the covariance of the centred rows of X.
    gaussian = centre + noise(count) @ (flat - centre) / math.sqrt(count - 1)
    orders = torch.rand(flat.shape, generator=generator, device=place).argsort(0).to(flat.device)
    direction = noise(flat.shape[1])
    radius = torch.rand(count, 1, generator=generator, device=place).to(flat)
    radius = radius ** (1 / flat.shape[1]) * (flat - centre).norm(dim=1).max()
    ball = centre + radius * direction / direction.norm(dim=1, keepdim=True)
    return Anchors(
        score(drawn),
        *(score(x.reshape(seen.shape)) for x in (gaussian, flat.gather(0, orders), ball)),
    )


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

    Examples
    --------
    All data in one cell, the samples in that one and in another, half and half:

    >>> real, fake = torch.full((2, 2), -0.5), torch.tensor([[-0.5, -0.5], [0.5, 0.5]])
    >>> found = histogram_divergences(real, fake, (-1, 1, -1, 1), bins=2)
    >>> [round(value, 4) for value in found]  # log 2, infinity, ..., 1/2
    [0.6931, inf, 0.2158, 0.5]
    """
    real, fake = _pair(real, fake)
    if real.shape[1] != 2:
        raise ValueError(f"samples have {real.shape[1]} columns; the histogram takes 2")
    p, q = (_histogram(points, limits, bins) for points in (real, fake))
    return HistogramDivergences(
        _at_least_0(cell_kl(p, q)),
        _at_least_0(cell_kl(q, p)),
        _at_least_0(cell_jsd(p, q)),
        ((p - q).abs().sum() / 2).item(),
    )


def cell_counts(points: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Points (N, 2) in each cell of a lattice: shape (bins, bins), the first axis is x.

    ``low`` and ``high`` (2,) are the lattice's corners; points outside count in the nearest
    border cell. Like :func:`mode_counts`, tensors in and out, for the lab to compile.

    Examples
    --------
    >>> points = torch.tensor([[0.1, 0.1], [0.9, 0.9], [0.9, 0.8]])
    >>> cell_counts(points, torch.zeros(2), torch.ones(2), 2)
    tensor([[1., 0.],
            [0., 2.]])
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

    Examples
    --------
    A Gaussian in the middle of four cells:

    >>> centre, all_of_it = torch.zeros(1, 2), torch.ones(1)
    >>> cell_masses(centre, all_of_it, 1.0, -torch.ones(2), torch.ones(2), 2)
    tensor([[0.2500, 0.2500],
            [0.2500, 0.2500]])
    """
    edges = torch.arange(1, bins, dtype=centres.dtype, device=centres.device) / bins

    def along(axis: int) -> Tensor:
        place = low[axis] + (high[axis] - low[axis]) * edges
        below = (1 + torch.erf((place - centres[:, axis : axis + 1]) / (math.sqrt(2) * std))) / 2
        none, all_ = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
        return torch.cat([below, all_], dim=1) - torch.cat([none, below], dim=1)

    return (weights[:, None] * along(0)).T @ along(1)


def cell_kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of cell probabilities of one shape, nats: infinite where q misses a cell of p.

    Examples
    --------
    >>> cell_kl(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75]))
    tensor(0.1438)
    """
    return torch.where(p <= 0, torch.zeros_like(p), p * torch.log(p / q)).sum()


def cell_jsd(p: Tensor, q: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of cell probabilities, in [0, log 2] up to rounding.

    Examples
    --------
    >>> cell_jsd(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))  # log 2
    tensor(0.6931)
    """
    m = (p + q) / 2
    return (cell_kl(p, m) + cell_kl(q, m)) / 2


def _histogram(points: Tensor, limits: tuple[float, float, float, float], bins: int) -> Tensor:
    check_count(bins, "bins")
    low = points.new_tensor([limits[0], limits[2]])
    high = points.new_tensor([limits[1], limits[3]])
    if not (high > low).all() or not torch.isfinite(high - low).all():
        raise ValueError(f"limits are {limits}; expected x0 < x1 and y0 < y1, all finite")
    counts = cell_counts(points, low, high, bins)
    return counts / counts.sum()


def _reach(points: Tensor, neighbours: int) -> Tensor:
    # The squared distance to the k-th neighbour. kthvalue counts from 1, and the nearest point of
    # a set to a member is itself. Results kept between the blocks would stop the allocator from
    # using their memory again: they go into one tensor.
    reach = points.new_empty(len(points))
    for part, found in zip(pairs.blocks(points, points), pairs.blocks(reach, points), strict=True):
        found.copy_(pairs.squares(part, points).kthvalue(neighbours + 1, dim=1).values)
    return reach


def _neighbourhoods(real: Tensor, fake: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    real, fake = _pair(real, fake)
    check_count(neighbours, "neighbours")
    smallest = min(len(real), len(fake))
    if neighbours >= smallest:
        raise ValueError(
            f"neighbours is {neighbours}; it must be at least 1 and below the number of samples "
            f"({smallest})"
        )
    return real, fake
