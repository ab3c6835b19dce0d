"""What travels to the page beside the module: the training pictures, and a classifier.

The 1,797 pictures of :func:`ganlib.data.digits` are split once: the game sees 1,000 of them, the
classifier learns from 597 others, and 200 that neither saw say how good it is. One file holds
what the page needs, without loss::

    1,000 pictures, one byte a pixel, 0 to 16: first pixels of all, second pixels of all, ...
    the classifier's weights, float16

Pictures lie in the order of their classes, so that equal pixels of one class are neighbours: the
file deflates to fewer bytes than the same pixels at four bits each.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganlib import data, scoring
from ganlib.networks import mlp

__all__ = [
    "CLASSES",
    "LEVELS",
    "PIXELS",
    "SIDE",
    "TRAINING",
    "Pictures",
    "judge_network",
    "pictures",
    "unpacked",
]

SIDE = 8
PIXELS = SIDE * SIDE
CLASSES = 10
TRAINING, FOR_JUDGE, UNSEEN = 1000, 597, 200
LEVELS = 16  #: pixels are k / 8 - 1, k from 0 to 16
_HIDDEN = (64,)


class Pictures(NamedTuple):
    """What a run needs that is not drawn."""

    pictures: Tensor  #: (1000, 64), in [-1, 1], in the order of their classes
    labels: Tensor  #: (1000,), their classes as floats
    judge: Tensor  #: the classifier's weights as one vector, rounded to float16
    accuracy: float  #: its share of right answers on 200 pictures that nobody learnt from
    spread: float  #: the mean variance of a pixel within a class of the pictures
    levels: Tensor  #: the pictures as whole numbers from 0 to 16, uint8
    file: bytes  #: pictures and classifier as they travel


def judge_network() -> nn.Sequential:
    """The classifier's form: from pictures (N, 64) to logits (N, 10)."""
    return mlp(PIXELS, *_HIDDEN, CLASSES, activation=nn.ReLU)


@functools.cache
def pictures() -> Pictures:
    """Split the digits, train the classifier (a second or two), and pack both."""
    training, for_judge, unseen = scoring.split(data.digits(), TRAINING, FOR_JUDGE, UNSEEN)
    assert training.labels is not None
    order = training.labels.argsort(stable=True)
    levels = ((training.values[order].flatten(1) + 1) * (LEVELS / 2)).round().to(torch.uint8)
    judge = scoring.fit_scorer(for_judge, unseen, hidden=_HIDDEN)
    weights = torch.cat([w.flatten() for w in judge.classifier.parameters()]).half()
    counts = torch.bincount(training.labels, minlength=CLASSES)
    file = levels.T.contiguous().numpy().tobytes() + weights.numpy().tobytes()
    shown, halves = unpacked(file)
    network = judge_network()
    nn.utils.vector_to_parameters(halves, network.parameters())
    assert unseen.labels is not None
    right = network(unseen.values.flatten(1)).argmax(1) == unseen.labels
    labels = torch.arange(CLASSES).repeat_interleave(counts).float()
    spread = torch.stack([one.var(0).mean() for one in shown.split(counts.tolist())]).mean()
    accuracy = right.float().mean().item()
    return Pictures(shown, labels, halves, accuracy, spread.item(), levels, file)


def unpacked(file: bytes) -> tuple[Tensor, Tensor]:
    """The pictures (1000, 64) and the classifier's weights that a file holds."""
    size = TRAINING * PIXELS
    levels = np.frombuffer(file[:size], np.uint8).reshape(PIXELS, TRAINING).T
    weights = np.frombuffer(file[size:], np.float16).astype(np.float32)
    return torch.from_numpy(levels.astype(np.float32)) / (LEVELS / 2) - 1, torch.from_numpy(weights)
