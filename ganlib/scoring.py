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

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlib import pairs
from ganlib.checks import check_count, check_finite, check_float, readable
from ganlib.data import Samples
from ganlib.metrics import frechet_distance
from ganlib.networks import mlp

__all__ = [
    "LabelAccuracy",
    "Score",
    "Scorer",
    "class_kl",
    "class_shares",
    "classification_accuracy",
    "classify",
    "features",
    "fit_scorer",
    "label_accuracy",
    "nearest",
    "nearest_in_training",
    "score",
    "split",
]

_PRESENT = 0.1  # a class is present from a tenth of its share in the data
_CHUNK = 2048  # images a forward pass: bounds memory, changes no result
_SCALES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # in which images come
_SLACK = 0.05  # of a scale: by so much images may miss its ends, or leave it


class Score(NamedTuple):
    """Result of :func:`score`; 0 is best for the first two, all classes for the third.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> training, reference, unseen = split(digits(), 1000, 400, 397)
    >>> floor = score(fit_scorer(training, reference, steps=100), unseen.values)
    >>> isinstance(floor, Score), floor._fields
    (True, ('frechet', 'class_kl', 'classes'))
    """

    frechet: float  #: Fréchet distance of features over the real features' variance; >= 0
    class_kl: float  #: KL(classes of generated || classes of real images), nats; >= 0
    classes: int  #: classes with at least a tenth of the share they have in the data


class LabelAccuracy(NamedTuple):
    """Result of :func:`label_accuracy`: shares in [0, 1], and what they are to be compared with.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> training, reference = split(digits(), 1000, 400)
    >>> scorer = fit_scorer(training, reference, steps=100)
    >>> found = label_accuracy(scorer, reference.values, reference.labels)
    >>> isinstance(found, LabelAccuracy), len(found.by_class), round(found.featureless, 6)
    (True, 10, 0.1)
    """

    accuracy: float  #: images that the judge reads as the label they were asked for
    by_class: tuple[float, ...]  #: the same for each class; NaN for one that was not asked for
    perfect: float  #: the judge's accuracy on real images
    featureless: float  #: 1 / K: a generator that ignores labels asked for equally often


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
    limits
        The least and the largest value of the images that the scorer was made from.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> scorer = fit_scorer(*split(digits(), 1000, 400), steps=100)
    >>> isinstance(scorer, Scorer), scorer.image_shape, scorer.reference.shape
    (True, (1, 8, 8), torch.Size([400, 32]))
    """

    classifier: nn.Sequential
    image_shape: tuple[int, ...]
    reference: Tensor
    class_shares: Tensor
    accuracy: float
    limits: tuple[float, float] = (-math.inf, math.inf)


def split(samples: Samples, *sizes: int, seed: int = 0) -> tuple[Samples, ...]:
    """Disjoint random parts of a data set, one of each size, in the order given.

    Raises
    ------
    ValueError
        If a size is not positive or the parts need more samples than there are.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> training, reference = split(digits(), 1000, 400)
    >>> len(training.values), len(reference.values)
    (1000, 400)
    """
    for size in sizes:
        check_count(size, "a size")
    if not sizes or sum(sizes) > len(samples):
        raise ValueError(
            f"sizes are {sizes} with sum {sum(sizes)}; give one or more, their sum at most the "
            f"{len(samples)} samples of {samples.name}"
        )
    generator = torch.Generator("cpu").manual_seed(seed)
    order = torch.randperm(len(samples), generator=generator, device="cpu")
    order = order.to(samples.values.device)
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

    Examples
    --------
    >>> from ganlib.data import digits
    >>> scorer = fit_scorer(*split(digits(), 1000, 400), steps=200)
    >>> scorer.accuracy > 0.8
    True
    """
    classifier, classes = _classifier(
        training, reference, hidden, steps, batch_size, learning_rate, seed
    )
    found = _run(classifier[:-1], reference.values)
    answers = _run(classifier[-1:], found).argmax(dim=1)
    shares = class_shares(answers, classes)
    if not (shares > 0).all():
        missing = (shares == 0).nonzero().flatten().tolist()
        raise ValueError(
            f"the classifier never answers with class {missing} on the {len(reference)} reference "
            f"images after {steps} steps; train it for longer, or give more images"
        )
    ends = [end.item() for one in (training, reference) for end in one.values.aminmax()]
    return Scorer(
        classifier,
        tuple(training.values.shape[1:]),
        found,
        shares,
        _share_right(answers, _labels(reference)),
        (min(ends), max(ends)),
    )


def _classifier(
    training: Samples,
    other: Samples,
    hidden: tuple[int, ...],
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> tuple[nn.Sequential, int]:
    # Trained where the images lie, from the same weights and batches on every device.
    shape = tuple(training.values.shape[1:])
    if tuple(other.values.shape[1:]) != shape:
        raise ValueError(
            f"training images have shape {shape}, the others {tuple(other.values.shape[1:])}; "
            "they must be the same"
        )
    for one in (training, other):
        check_finite(one.values, f"the images of {one.name}")
    labels = _labels(training)
    classes = int(max(labels.max(), _labels(other).max())) + 1
    inputs = training.values.flatten(1)
    with torch.device("cpu"):
        classifier = mlp(inputs.shape[1], *hidden, classes, activation=nn.ReLU, seed=seed)
    classifier.to(inputs)
    rng = torch.Generator("cpu").manual_seed(seed)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=learning_rate)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (batch_size,), generator=rng, device="cpu")
        rows = rows.to(inputs.device)
        loss = nn.functional.cross_entropy(classifier(inputs[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return classifier.requires_grad_(False), classes


def _labels(samples: Samples) -> Tensor:
    if samples.labels is None:
        raise ValueError(f"{samples.name} has no labels; a classifier needs a Samples with labels")
    return samples.labels


def features(scorer: Scorer, images: Tensor) -> Tensor:
    """The last hidden layer's output on images (N, ...), shape (N, d).

    Images may be flattened already: (N, pixels) is as good as (N, channels, height, width). They
    are judged on the scorer's device, wherever they come from.

    Raises
    ------
    TypeError, ValueError
        For images of another shape, that are not finite, or that lie on another scale than those
        the scorer was made from, such as [0, 1] for [-1, 1].

    Examples
    --------
    >>> from ganlib.data import digits
    >>> scorer = fit_scorer(*split(digits(), 1000, 400), hidden=(64, 16), steps=100)
    >>> features(scorer, digits().values[:5]).shape
    torch.Size([5, 16])
    """
    return _run(scorer.classifier[:-1], _checked(scorer, images))


def classify(scorer: Scorer, images: Tensor) -> Tensor:
    """The most probable class of each image (N, ...), shape (N,), int64.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> scorer = fit_scorer(*split(digits(), 1000, 400), steps=200)
    >>> answers = classify(scorer, digits().values)
    >>> (answers == digits().labels).float().mean() > 0.8
    tensor(True)
    """
    return _run(scorer.classifier, _checked(scorer, images)).argmax(dim=1)


def score(scorer: Scorer, images: Tensor) -> Score:
    """Judge images (N, ...) against the reference; N at least 2.

    The Fréchet distance is divided by the total variance of the reference features, so that it
    depends on no unit: a generator of one image, the one with the average feature, gets 1. Both
    distances are biased upwards by the finite number of images: compare only scores of equally
    many, and with the floor, ``score(scorer, unseen_real_images)``. With K classes, N generated
    and M reference images the floor of the class KL is about (K - 1) (1/N + 1/M) / 2 nats. Errors
    as :func:`features`.

    Examples
    --------
    Pictures without a class among them are further off than real ones that nobody trained on:

    >>> from ganlib.data import digits
    >>> training, reference, unseen = split(digits(), 1000, 400, 397)
    >>> scorer = fit_scorer(training, reference, steps=200)
    >>> floor, grey = score(scorer, unseen.values), score(scorer, torch.zeros(397, 1, 8, 8))
    >>> floor.frechet < grey.frechet, floor.classes, grey.classes
    (True, 10, 1)
    """
    images = _checked(scorer, images)
    found = _run(scorer.classifier[:-1], images)
    distance = frechet_distance(scorer.reference, found)
    answers = _run(scorer.classifier[-1:], found).argmax(dim=1)
    shares = class_shares(answers, len(scorer.class_shares))
    kl, present = class_kl(shares, scorer.class_shares)
    return Score(distance / torch.cov(scorer.reference.double().T).trace().item(), kl, present)


def class_kl(shares: Tensor, real: Tensor) -> tuple[float, int]:
    """KL(shares || real) of two rows of class shares (K,), nats, and how many classes are there.

    A class is there if it has a tenth of its share in ``real``, each entry of which is positive.

    Examples
    --------
    >>> kl, classes = class_kl(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
    >>> round(kl, 4), classes  # log 2
    (0.6931, 1)
    """
    kl = torch.xlogy(shares, shares / real).sum()
    return kl.clamp(min=0).item(), int((shares >= _PRESENT * real).sum())  # NaN would stay NaN


def label_accuracy(scorer: Scorer, images: Tensor, labels: Tensor) -> LabelAccuracy:
    """How often the judge reads an image as the label that its generator was asked for.

    Parameters
    ----------
    scorer
        Of K classes.
    images
        Shape (N, ...).
    labels
        What was asked for, shape (N,), whole numbers from 0 to K - 1; of each class equally many
        if the number is to be compared with ``featureless``.

    Raises
    ------
    TypeError, ValueError
        As :func:`features`, and for labels of another shape, dtype or range.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> training, reference = split(digits(), 1000, 400)
    >>> scorer = fit_scorer(training, reference, steps=200)
    >>> right = label_accuracy(scorer, reference.values, reference.labels)
    >>> wrong = label_accuracy(scorer, reference.values, (reference.labels + 1) % 10)
    >>> right.accuracy > 0.8 > 0.2 > wrong.accuracy
    True
    """
    classes = len(scorer.class_shares)
    if labels.is_floating_point() or labels.shape != images.shape[:1]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)} and dtype {labels.dtype} for {len(images)} "
            "images; pass one whole number an image"
        )
    answers = classify(scorer, images)
    labels = labels.to(answers.device).long()
    if not ((labels >= 0) & (labels < classes)).all():
        raise ValueError(
            f"labels go from {labels.min()} to {labels.max()}; this scorer knows the classes 0 to "
            f"{classes - 1}"
        )
    right = (answers == labels).double()
    asked = torch.bincount(labels, minlength=classes)
    each = torch.bincount(labels, weights=right, minlength=classes) / asked
    return LabelAccuracy(right.mean().item(), tuple(each.tolist()), scorer.accuracy, 1 / classes)


def classification_accuracy(
    generated: Samples,
    real: Samples,
    *,
    hidden: tuple[int, ...] = (128, 32),
    steps: int = 600,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> float:
    """The accuracy on real images of a classifier trained on generated ones, in [0, 1].

    The classification accuracy score of Ravuri and Vinyals (2019): unlike :func:`label_accuracy`
    it falls where a class has lost its variety. A perfect generator gets what as many real images
    in place of ``generated`` get; one that ignores the label 1 / K. Options and errors as
    :func:`fit_scorer`.

    Examples
    --------
    >>> from ganlib.data import digits
    >>> stand_in, real = split(digits(), 1000, 400)  # real images in place of generated ones
    >>> classification_accuracy(stand_in, real, steps=200) > 0.8
    True
    """
    classifier, _ = _classifier(generated, real, hidden, steps, batch_size, learning_rate, seed)
    low, high = (end.item() for end in real.values.aminmax())
    _check_scale(generated.values, low, high)
    answers = _run(classifier, real.values.to(generated.values)).argmax(dim=1)
    return _share_right(answers, _labels(real))


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

    Examples
    --------
    Copies of the training set are given away; images at the same distance from both are not:

    >>> training, unseen = torch.zeros(3, 2), torch.ones(3, 2)
    >>> nearest_in_training(training, training, unseen)
    1.0
    >>> nearest_in_training(torch.full((3, 2), 0.5), training, unseen)
    0.5
    """
    if training.shape != unseen.shape or images.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"images {tuple(images.shape)}, training {tuple(training.shape)}, unseen "
            f"{tuple(unseen.shape)}: the last two must have one shape (equally many real images "
            "each), and all three the same image shape"
        )
    seen, other = (_nearest(images, real)[0] for real in (training, unseen))
    return ((seen < other).double() + (seen == other).double() / 2).mean().item()


def nearest(images: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest real image of each image: distance and row in ``real``, both of shape (N,).

    Euclidean on flattened values, shapes (N, ...) and (M, ...) with N and M >= 1; computed in
    float64, in blocks of bounded memory, the distance returned in the images' dtype.

    Examples
    --------
    >>> distance, row = nearest(torch.tensor([[0.0, 3.0]]), torch.tensor([[9.0, 9.0], [4.0, 3.0]]))
    >>> distance, row
    (tensor([4.]), tensor([1]))
    """
    if not len(real) or not len(images) or images[0].numel() != real[0].numel():
        raise ValueError(
            f"images {tuple(images.shape)}, real {tuple(real.shape)}: both must hold images of "
            "equally many values, at least one"
        )
    distance, rows = _nearest(images, real)
    return distance.to(images.dtype), rows


def _nearest(images: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    return pairs.nearest(*pairs.two(images.flatten(1), real.flatten(1), ("images", "real")))


def _checked(scorer: Scorer, images: Tensor) -> Tensor:
    check_float(images, "images")
    pixels = scorer.reference.new_empty(scorer.image_shape).numel()
    if images.ndim < 2 or len(images) < 1 or images[0].numel() != pixels:
        raise ValueError(
            f"images have shape {tuple(images.shape)}; this scorer judges (N, {pixels}) or "
            f"(N, {', '.join(map(str, scorer.image_shape))}), N >= 1"
        )
    check_finite(images, "images")
    _check_scale(images, *scorer.limits)
    return images.to(scorer.reference)


def _check_scale(images: Tensor, low: float, high: float) -> None:
    # Real digits in [0, 1] lie inside [-1, 1] and would score worse than one average image.
    if not readable(images) or not math.isfinite(high - low):
        return
    least, most = (end.item() for end in images.aminmax())
    scale = next(
        (
            (first, last)
            for first, last in _SCALES
            if max(abs(least - first), abs(most - last)) <= _SLACK * (last - first)
        ),
        None,
    )
    slack = _SLACK * (high - low)
    inside = low - slack <= least and most <= high + slack
    if inside and (scale is None or high - low < 1.5 * (scale[1] - scale[0])):
        return
    seen = f"images have values from {least:g} to {most:g}, real ones from {low:g} to {high:g}"
    if scale is None:
        raise ValueError(
            f"{seen}; bring them to that scale, or cut off what is outside it: "
            f"images.clamp({low:g}, {high:g})"
        )
    factor = (high - low) / (scale[1] - scale[0])
    raise ValueError(
        f"{seen}; if theirs is the scale from {scale[0]:g} to {scale[1]:g}, pass "
        f"(images - {scale[0]:g}) * {factor:.9g} + {low:.9g}"
    )


def _run(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part.flatten(1)) for part in images.split(_CHUNK)])


def _share_right(answers: Tensor, labels: Tensor) -> float:
    return (answers == labels.to(answers.device)).double().mean().item()


def class_shares(answers: Tensor, classes: int) -> Tensor:
    """The share of each class, (classes,), float64, among answers (N,), such as `classify`'s.

    Examples
    --------
    >>> class_shares(torch.tensor([0, 0, 0, 2]), 3)
    tensor([0.7500, 0.0000, 0.2500], dtype=torch.float64)
    """
    return torch.bincount(answers, minlength=classes).double() / len(answers)
