"""A score for image generators that needs no download: a small classifier, trained on the spot.

Inception features (Heusel et al. 2017) were learnt on photographs, and fetching them takes a
third party. Here a classifier of a few seconds' training judges instead: its last hidden layer
gives the features of a Fréchet distance, its answers the class histogram. Both scores have a
floor above zero, which is what unseen real images get: quote it beside every number.

Split the data first (:func:`split`): the classifier, the reference and the floor must be made
from images that the generator never saw, or the score favours copies of its training set.

Derived in `images`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlib.data import Samples
from ganlib.metrics import frechet_distance
from ganlib.networks import mlp

__all__ = [
    "Score",
    "Scorer",
    "classify",
    "features",
    "fit_scorer",
    "nearest",
    "nearest_in_training",
    "score",
    "split",
]

_PRESENT = 0.1  # a class is present from a tenth of its share in the data
_CHUNK = 2048  # images a forward pass: bounds memory, changes no result


class Score(NamedTuple):
    """Result of :func:`score`; 0 is best for the first two, all classes for the third."""

    frechet: float  #: Fréchet distance of features over the real features' variance; >= 0
    class_kl: float  #: KL(classes of generated || classes of real images), nats; >= 0
    classes: int  #: classes with at least a tenth of the share they have in the data


@dataclass(frozen=True)
class Scorer:
    """A trained classifier and what it says of the reference images (:func:`fit_scorer`).

    Attributes
    ----------
    classifier
        From flattened images (N, pixels) to class logits (N, K).
    image_shape
        The shape of one image, such as (1, 28, 28).
    reference
        Features of the reference images, shape (N, d).
    class_shares
        How often each class is the classifier's answer on the reference, shape (K,); all
        positive, their sum is 1.
    accuracy
        Share of right answers on the reference images, which it was not trained on, in [0, 1].
    """

    classifier: nn.Sequential
    image_shape: tuple[int, ...]
    reference: Tensor
    class_shares: Tensor
    accuracy: float


def split(samples: Samples, *sizes: int, seed: int = 0) -> tuple[Samples, ...]:
    """Disjoint random parts of a data set, one of each size, in the order given.

    Raises
    ------
    ValueError
        If a size is not positive or the parts need more samples than there are.
    """
    if not sizes or min(sizes) < 1 or sum(sizes) > len(samples):
        raise ValueError(
            f"sizes are {sizes} with sum {sum(sizes)}; each must be positive and the sum at most "
            f"the {len(samples)} samples of {samples.name}"
        )
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    return tuple(
        replace(
            samples,
            values=samples.values[rows],
            labels=None if samples.labels is None else samples.labels[rows],
        )
        for rows in order[: sum(sizes)].split(list(sizes))
    )


def fit_scorer(
    training: Samples,
    reference: Samples,
    *,
    hidden: tuple[int, ...] = (128, 32),
    steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Scorer:
    """Train a fully connected classifier and judge the reference images with it.

    Parameters
    ----------
    training
        Labelled images; seconds for 10,000 of 784 pixels on one core.
    reference
        Other labelled images of the same classes: those that generated images are compared with.
    hidden
        Widths of the hidden layers; the last is the number d of features.
    steps, batch_size, learning_rate
        Of Adam on the cross-entropy.
    seed
        Seeds initial weights and batches.

    Raises
    ------
    ValueError
        If labels are missing, the two sets differ in image shape, or the classifier never
        answers with some class: then train it for longer, or give it more images.
    """
    shape = tuple(training.values.shape[1:])
    if tuple(reference.values.shape[1:]) != shape:
        raise ValueError(
            f"training images have shape {shape}, reference images "
            f"{tuple(reference.values.shape[1:])}; they must be the same"
        )
    if training.labels is None or reference.labels is None:
        raise ValueError("images without labels; a classifier needs a Samples with labels")
    classes = int(training.labels.max()) + 1
    inputs = training.values.flatten(1)
    classifier = mlp(inputs.shape[1], *hidden, classes, activation=nn.ReLU, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=learning_rate)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (batch_size,), generator=rng)
        loss = nn.functional.cross_entropy(classifier(inputs[rows]), training.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    classifier.requires_grad_(False)

    found = _run(classifier[:-1], reference.values)
    answers = _run(classifier[-1:], found).argmax(dim=1)
    shares = _shares(answers, classes)
    if not (shares > 0).all():
        missing = (shares == 0).nonzero().flatten().tolist()
        raise ValueError(
            f"the classifier never answers with class {missing} on the {len(reference)} reference "
            f"images after {steps} steps; train it for longer, or give more images"
        )
    return Scorer(
        classifier,
        shape,
        found,
        shares,
        (answers == reference.labels).double().mean().item(),
    )


def features(scorer: Scorer, images: Tensor) -> Tensor:
    """The last hidden layer's output on images (N, ...), shape (N, d).

    Images may be flattened already: (N, pixels) is as good as (N, channels, height, width).
    """
    return _run(scorer.classifier[:-1], _checked(scorer, images))


def classify(scorer: Scorer, images: Tensor) -> Tensor:
    """The most probable class of each image (N, ...), shape (N,), int64."""
    return _run(scorer.classifier, _checked(scorer, images)).argmax(dim=1)


def score(scorer: Scorer, images: Tensor) -> Score:
    """Judge images (N, ...) against the reference; N at least 2.

    The Fréchet distance is divided by the total variance of the reference features, so that it
    depends on no unit: a generator of one image, the one with the average feature, gets 1. Both
    distances are biased upwards by the finite number of images: compare only scores of equally
    many, and with the floor, ``score(scorer, unseen_real_images)``. With K classes, N generated
    and M reference images the floor of the class KL is about (K - 1) (1/N + 1/M) / 2 nats.
    """
    images = _checked(scorer, images)
    found = _run(scorer.classifier[:-1], images)
    distance = frechet_distance(scorer.reference, found)
    answers = _run(scorer.classifier[-1:], found).argmax(dim=1)
    shares = _shares(answers, len(scorer.class_shares))
    real = scorer.class_shares
    kl = torch.xlogy(shares, shares / real).sum().item()
    return Score(
        distance / torch.cov(scorer.reference.double().T).trace().item(),
        max(0.0, kl),
        int((shares >= _PRESENT * real).sum()),
    )


def nearest_in_training(images: Tensor, training: Tensor, unseen: Tensor) -> float:
    """Share of images whose nearest real image is a training image, in [0, 1].

    Euclidean distance on flattened values; ``unseen`` holds as many real images as ``training``,
    none of them shown to the generator. A generator that has learnt nothing about the training
    set in particular gets 1/2 in expectation, one that copies it 1 (the idea of Meehan,
    Chaudhuri and Dasgupta 2020). A tie counts one half.

    Parameters
    ----------
    images
        Shape (N, ...).
    training, unseen
        Shape (M, ...), equally many.
    """
    if training.shape != unseen.shape or images.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"images {tuple(images.shape)}, training {tuple(training.shape)}, unseen "
            f"{tuple(unseen.shape)}: the last two must have one shape (equally many real images "
            "each), and all three the same image shape"
        )
    seen, other = (nearest(images, real)[0] for real in (training, unseen))
    return ((seen < other).double() + (seen == other).double() / 2).mean().item()


def nearest(images: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest real image of each image: distance and row in ``real``, both of shape (N,).

    Euclidean on flattened values, shapes (N, ...) and (M, ...) with M >= 1.
    """
    if not len(real) or images[:1].numel() != real[:1].numel():
        raise ValueError(
            f"images {tuple(images.shape)}, real {tuple(real.shape)}: both must hold images of "
            "equally many values, and real at least one"
        )
    points, candidates = images.flatten(1), real.flatten(1)
    rows = torch.cdist(points, candidates).argmin(dim=1)
    # cdist goes through a matrix product, which leaves the distance to a copy above zero.
    return (points - candidates[rows]).norm(dim=1), rows


def _checked(scorer: Scorer, images: Tensor) -> Tensor:
    pixels = scorer.reference.new_empty(scorer.image_shape).numel()
    if images.ndim < 2 or len(images) < 1 or images[0].numel() != pixels:
        raise ValueError(
            f"images have shape {tuple(images.shape)}; this scorer judges (N, {pixels}) or "
            f"(N, {', '.join(map(str, scorer.image_shape))}), N >= 1"
        )
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinite values; the run that made them diverged")
    return images


def _run(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part.flatten(1)) for part in images.split(_CHUNK)])


def _shares(answers: Tensor, classes: int) -> Tensor:
    return torch.bincount(answers, minlength=classes).double() / len(answers)
