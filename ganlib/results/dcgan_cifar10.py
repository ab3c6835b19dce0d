"""Target: DCGAN on CIFAR-10, without labels and with the label at the input of both players."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from ganlib import data, losses, scoring
from ganlib.networks import Conditional, dcgan_discriminator, dcgan_generator
from ganlib.results import judge
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.training import fit, sample

__all__ = ["TARGET"]

_CLASSES = 10
_EACH = 300  # samples of a class that the judge reads
_HALF = 25_000  # pictures to train on; the judge learns from the others
_LOOKS = 20  # means of the losses that a row keeps


@functools.lru_cache(1)
def _judged(steps: int, device: torch.device, progress: bool | None) -> tuple[
    Tensor, Tensor, nn.Module, Tensor, float
]:  # fmt: skip
    """Pictures and labels to train on, the judge, its answers on test pictures, its accuracy."""
    every, test = data.cifar10(), data.cifar10("test")
    assert every.labels is not None  # CIFAR-10 has
    assert test.labels is not None
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    ours, theirs = order[:_HALF], order[_HALF:]
    found = judge.train(
        every.values[theirs].to(device), every.labels[theirs].to(device), steps=steps,
        progress=progress,
    )  # fmt: skip
    said = judge.answers(found, test.values)
    right = (said == test.labels).double().mean().item()
    return every.values[ours], every.labels[ours], found, said, right


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """What the judge reads in the samples, and the losses over training."""
    width, batch, rate, by_class = (job.setting[n] for n in ("width", "batch", "rate", "label"))
    judged = _judged(job.setting["judge steps"], device, progress)
    images, labels, reader, real, ceiling = judged
    more = _CLASSES if by_class else 0
    generator: nn.Module = dcgan_generator(100 + more, 32, 3, width=width, seed=job.seed)
    critic: nn.Module = dcgan_discriminator(32, 3 + more, width=width, seed=1000 + job.seed)
    if by_class:
        generator, critic = Conditional(generator, _CLASSES), Conditional(critic, _CLASSES)
    images, labels = images.to(device), labels.to(device)
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
    said = judge.answers(reader, drawn)
    shares, real_shares = (scoring.class_shares(each, _CLASSES) for each in (said, real))
    kl, classes = scoring.class_kl(shares, real_shares)
    numbers = {
        "class KL": kl, "classes": classes, "judge on real": ceiling,
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
        "unconditional": {**same, "label": False},
        "label at the input": {**same, "label": True},
    }


TARGET = Target(
    name="dcgan-cifar10",
    question="What does a DCGAN make of CIFAR-10, and does it obey a label?",
    protocol=(
        "DCGAN's layout at 32 x 32 in colour, 25,000 pictures, non-saturating loss, Adam with "
        "beta1 = 0.5, last iterate; with labels a constant plane a class beside D's input and a "
        "one-hot row beside G's. A convolutional classifier, trained on the other 25,000, reads "
        "the class of 3,000 samples, 300 asked for of each."
    ),
    published=None,
    differences=(
        "Our copy of CIFAR-10 is of lossy JPEG files: no Fréchet distance or inception score is "
        "quoted for it, and none of the printed ones can be put beside it.",
        "The paper trains no DCGAN on CIFAR-10 for its samples: its features there come from a "
        "network trained on ImageNet.",
        "Small size: a quarter of the full width, batches of 64 in place of 128, learning rate "
        "5e-4 in place of the paper's 2e-4, 1,000 steps in place of 20,000, one seed in place of "
        "three. No setting was searched.",
    ),
    run=run,
    sizes={
        "small": Size(_rows(16, 64, 5e-4, 400), (100,), 1000, 84.0, "the committed rows"),
        "full": Size(
            _rows(64, 128, 2e-4, 4000), (100, 101, 102), 20_000, 16_000.0,
            "five steps timed, 0.81 s each, times the steps",
        ),
    },
)  # fmt: skip
