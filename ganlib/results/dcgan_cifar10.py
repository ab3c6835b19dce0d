"""Target: DCGAN on CIFAR-10, without labels, with the label at the input, and by projection."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganlib import data, losses, scoring
from ganlib.networks import (
    Conditional,
    Projection,
    dcgan_discriminator,
    dcgan_generator,
    leaky_relu,
    mlp,
)
from ganlib.results import judge
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.training import fit, sample

__all__ = ["TARGET"]

_CLASSES = 10
_EACH = 300  # samples of a class that the judge reads
_HALF = 25_000  # pictures to train on; the judge learns from the others
_FEATURES = 100  # of the projection
_LOOKS = 20  # means of the losses that a row keeps


class _Judged(NamedTuple):
    """What every job shares."""

    images: Tensor  # to train on
    labels: Tensor
    reader: nn.Module  # the judge, who saw the other half
    real: Tensor  # (10,), shares of the classes that it reads in test pictures
    anchors: dict[str, float]


@functools.lru_cache(1)
def _judged(steps: int, device: torch.device, progress: bool | None) -> _Judged:
    every, test = data.cifar10(), data.cifar10("test")
    assert every.labels is not None  # CIFAR-10 has
    assert test.labels is not None
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    ours, theirs = order[:_HALF], order[_HALF:]
    reader = judge.train(
        every.values[theirs].to(device), every.labels[theirs].to(device), steps=steps,
        progress=progress,
    )  # fmt: skip
    images, labels = every.values[ours], every.labels[ours]
    said = judge.answers(reader, test.values)
    real = scoring.class_shares(said, _CLASSES)
    asked = torch.arange(_CLASSES).repeat_interleave(_EACH)
    unseen = torch.cat([images[labels == one][:_EACH] for one in range(_CLASSES)])
    by_class = torch.cat([_gaussian(images[labels == one], seed=one) for one in range(_CLASSES)])
    anchors = {"judge on real": (said == test.labels).double().mean().item()}
    for name, shown in (("perfect", unseen), ("blob", by_class)):
        read = judge.answers(reader, shown)
        anchors[f"{name} class accuracy"] = (read == asked).double().mean().item()
        anchors[f"{name} class KL"], anchors[f"{name} classes"] = _balance(read, real)
    return _Judged(images, labels, reader, real, anchors)


def _gaussian(images: Tensor, *, seed: int) -> Tensor:
    """Samples of the Gaussian with the mean and the covariance of the pictures, within [-1, 1]."""
    mean = images.mean(0, keepdim=True)
    rng = torch.Generator().manual_seed(seed)
    weights = torch.randn(_EACH, len(images), generator=rng) / len(images) ** 0.5
    drawn = mean + torch.tensordot(weights, images - mean, dims=1)
    return drawn.clamp(-1, 1)


def _balance(read: Tensor, real: Tensor) -> tuple[float, int]:
    return scoring.class_kl(scoring.class_shares(read, _CLASSES), real)


def _players(label: str, width: int, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, by how the label enters the second."""
    beside = 0 if label == "none" else _CLASSES
    generator: nn.Module = dcgan_generator(100 + beside, 32, 3, width=width, seed=seed)
    if label == "none":
        return generator, dcgan_discriminator(32, 3, width=width, seed=1000 + seed)
    generator = Conditional(generator, _CLASSES)
    if label == "input":
        critic = dcgan_discriminator(32, 3 + _CLASSES, width=width, seed=1000 + seed)
        return generator, Conditional(critic, _CLASSES)
    layers = dcgan_discriminator(32, 3, width=width, outputs=_FEATURES, seed=1000 + seed)
    directions = mlp(_CLASSES, _FEATURES, seed=2000 + seed)
    return generator, Projection(
        nn.Sequential(layers, leaky_relu()), mlp(_FEATURES, 1, seed=seed), _CLASSES,
        embedding=directions,
    )  # fmt: skip


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """What the judge reads in the samples, its anchors, and the losses over training."""
    label, width, batch, rate = (job.setting[n] for n in ("label", "width", "batch", "rate"))
    judged = _judged(job.setting["judge steps"], device, progress)
    generator, critic = _players(label, width, job.seed)
    by_class = label != "none"
    images, labels = judged.images.to(device), judged.labels.to(device)
    history = fit(
        generator.to(device), critic.to(device), (images, labels) if by_class else images,
        losses.non_saturating(), steps=steps, batch_size=batch, learning_rate=rate,
        betas=(0.5, 0.999), seed=job.seed, progress=progress,
    )  # fmt: skip
    asked = torch.arange(_CLASSES).repeat(_EACH)
    drawn = torch.cat([
        sample(generator, len(part), seed=77_000 + i, condition=part if by_class else None).cpu()
        for i, part in enumerate(asked.split(500))
    ])  # fmt: skip
    said = judge.answers(judged.reader, drawn)
    kl, classes = _balance(said, judged.real)
    numbers = {
        "class KL": kl, "classes": classes, **judged.anchors,
        "discriminator loss": _means(history.discriminator_loss),
        "generator loss": _means(history.generator_loss),
    }  # fmt: skip
    if by_class:
        right = (said == asked).double().reshape(_EACH, _CLASSES).mean(0)
        numbers |= {"class accuracy": right.mean().item(), "by class": right.tolist()}
    return Outcome(numbers, drawn[:20])


def _means(losses: Tensor) -> list[float]:
    return [part.mean().item() for part in losses.tensor_split(_LOOKS)]


def _rows(width: int, batch: int, rate: float, steps: int) -> dict[str, dict[str, object]]:
    same = {"width": width, "batch": batch, "rate": rate, "judge steps": steps}
    return {
        "unconditional": {**same, "label": "none"},
        "label at the input": {**same, "label": "input"},
        "label by projection": {**same, "label": "projection"},
    }


TARGET = Target(
    name="dcgan-cifar10",
    question="What does a DCGAN make of CIFAR-10, and does it obey a label?",
    protocol=(
        "DCGAN's layout at 32 x 32 in colour, 25,000 pictures, non-saturating loss, Adam with "
        "beta1 = 0.5, last iterate. With labels G has a one-hot row beside its latent, and D a "
        "constant plane a class beside its picture (input), or 100 features and a direction a "
        "class among them (projection). A convolutional classifier, trained on the other 25,000, "
        "reads the class of 3,000 samples, 300 asked for of each. Beside them: 3,000 of the "
        "pictures to train on, which it never saw (perfect), and 3,000 samples of one Gaussian of "
        "pixels a class (blob)."
    ),
    published=None,
    differences=(
        "Our copy of CIFAR-10 is of lossy JPEG files: no Fréchet distance or inception score is "
        "quoted for it, and none of the printed ones can be put beside it.",
        "The paper trains no DCGAN on CIFAR-10 for its samples: its features there come from a "
        "network trained on ImageNet.",
        "Small size: a quarter of the full width, batches of 64 in place of 128, learning rate "
        "5e-4 in place of the paper's 2e-4, 1,000 steps in place of 20,000. No setting was "
        "searched.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(16, 64, 5e-4, 400), (100, 101, 102), 1000, 68.0, "the committed rows"),
        "full": Size(
            _rows(64, 128, 2e-4, 4000), (100, 101, 102), 20_000, 16_000.0,
            "five steps timed, 0.81 s each, times the steps",
        ),
    },
)  # fmt: skip
