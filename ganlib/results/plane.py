"""How samples of a target on the plane are judged, with what the judgement gives for nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganlib import distances, metrics
from ganlib.data import Mixture
from ganlib.training import sample

__all__ = ["COUNT", "judged", "picture", "shown"]

COUNT = 2500  #: samples a score is computed from, as in VEEGAN's and PacGAN's tables
_SIDE = 72  # pixels of a picture


def judged(samples: Tensor, target: Mixture, centres: Tensor | None = None) -> dict[str, float]:
    """Scores of samples (N, 2); the same of a perfect sampler and of one Gaussian, a blob.

    Parameters
    ----------
    samples
        On the target's plane; all are used.
    target
        What was to be learned.
    centres
        Its distinct modes, (K, 2), for counting them; None for a target without modes.

    Returns
    -------
    By name: ``energy``, the energy distance to as many fresh points; ``coverage`` of their
    neighbourhoods (:func:`ganlib.metrics.density_coverage`); with centres ``modes``, ``fair``,
    ``high quality`` and ``reverse KL`` (:func:`ganlib.metrics.mode_coverage`). Each again as
    ``perfect ...``, for a fresh draw of the target, and as ``blob ...``, for one Gaussian with its
    mean and covariance. The draws are the same at each call.
    """
    rng = torch.Generator().manual_seed(3_000_000)
    real = target.sample(len(samples), rng)

    def scores(points: Tensor) -> dict[str, float]:
        found = {
            "energy": distances.energy(real, points).item(),
            "coverage": metrics.density_coverage(real, points).coverage,
        }
        if centres is None:
            return found
        modes = metrics.mode_coverage(points, centres, target.std)
        return {
            **found, "modes": modes.modes, "fair": modes.fair,
            "high quality": modes.high_quality, "reverse KL": modes.reverse_kl,
        }  # fmt: skip

    anchors = metrics.anchors(target, scores, len(samples), rng)
    numbers = scores(samples.cpu())
    for kind, of_anchor in (("perfect", anchors.perfect), ("blob", anchors.gaussian)):
        numbers |= {f"{kind} {name}": value for name, value in of_anchor.items()}
    return numbers


def shown(generator: nn.Module) -> Tensor:
    """The samples that are judged, (COUNT, 2), on the CPU."""
    return sample(generator, COUNT, seed=77_000).cpu()


def picture(points: Tensor, reach: float) -> Tensor:
    """Points (N, 2) as a picture (1, side, side): black on white, the square [-reach, reach]^2.

    Points outside are left out. A cell is black from three points on.
    """
    inside = points[(points.abs() < reach).all(1)]
    low = points.new_full((2,), -reach)
    cells = metrics.cell_counts(inside, low, -low, _SIDE)
    return (1 - 2 * (cells / 3).clamp(max=1)).T.flip(0)[None]
