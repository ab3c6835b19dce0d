"""Target: DCGAN on MNIST at 28 x 28, by the score of the chapter `images`."""

from __future__ import annotations

import functools

import torch

from ganlib import data, losses, scoring
from ganlib.networks import dcgan_discriminator, dcgan_generator
from ganlib.results.target import Job, Outcome, Size, Target
from ganlib.training import fit, sample

__all__ = ["TARGET"]

_COUNT = 5000  # pictures a score is computed from
_LOOKS = 5


@functools.lru_cache(1)
def _judged() -> tuple[torch.Tensor, scoring.Scorer, scoring.Score]:
    """The pictures to train on, the judge, and its floor: unseen pictures."""
    parts = scoring.split(data.mnist(), 10_000, 30_000, 10_000, 10_000, seed=0)
    for_judge, training, unseen, reference = parts
    judge = scoring.fit_scorer(for_judge, reference, seed=0)
    return training.values, judge, scoring.score(judge, unseen.values[:_COUNT])


def run(job: Job, steps: int, device: torch.device, progress: bool | None) -> Outcome:
    """Fréchet distance and classes at five looks, the floor, both losses at the end."""
    width, batch, rate = (job.setting[name] for name in ("width", "batch", "rate"))
    training, judge, floor = _judged()
    generator = dcgan_generator(100, 28, 1, width=width, seed=job.seed).to(device)
    critic = dcgan_discriminator(28, 1, width=width, seed=1000 + job.seed).to(device)

    def look(done: int) -> dict[str, scoring.Score]:
        drawn = torch.cat([sample(generator, 500, seed=77_000 + i).cpu() for i in range(10)])
        return {"score": scoring.score(judge, drawn)}

    history = fit(
        generator, critic, training.to(device), losses.non_saturating(), steps=steps,
        batch_size=batch, learning_rate=rate, betas=(0.5, 0.999), seed=job.seed, watch=look,
        watch_every=steps // _LOOKS, progress=progress,
    )  # fmt: skip
    scores = history.watched["score"]
    return Outcome(
        {
            "Fréchet": scores[-1].frechet, "class KL": scores[-1].class_kl,
            "classes": scores[-1].classes, "floor Fréchet": floor.frechet,
            "floor class KL": floor.class_kl, "looks": history.watched_at,
            "Fréchet at looks": [score.frechet for score in scores],
            "discriminator loss": history.discriminator_loss[-100:].mean().item(),
            "generator loss": history.generator_loss[-100:].mean().item(),
        },
        sample(generator, 40, seed=5).cpu(),
    )  # fmt: skip


TARGET = Target(
    name="dcgan-mnist",
    question="How near do the samples of a DCGAN come to real digits?",
    protocol=(
        "DCGAN's layout at 28 x 28 with its initialisation, 30,000 digits, non-saturating loss, "
        "Adam with beta1 = 0.5, last iterate. Judged by a classifier that was trained on 10,000 "
        "other digits: Fréchet distance of its features over their variance (1: one average "
        "image) and class KL, 5,000 samples, against 10,000 more digits."
    ),
    published=None,
    differences=(
        "The paper prints no score for MNIST. Fréchet distances printed elsewhere are of Inception "
        "features, which compare with themselves alone: there is no number to put beside ours.",
        "The paper's pictures are 64 x 64, its widths twice ours of the full size; it trains for "
        "epochs over the whole set, we on the half that the judge does not use.",
        "Small size: a quarter of the full width, batches of 64 in place of 128, learning rate "
        "1e-3 in place of the paper's 2e-4, 1,200 steps in place of 9,400.",
    ),
    run=run,
    sizes={
        "small": Size(
            {"width 16": {"width": 16, "batch": 64, "rate": 1e-3}}, (100, 101, 102), 1200, 38.0,
            "the committed rows",
        ),
        "full": Size(
            {"width 64": {"width": 64, "batch": 128, "rate": 2e-4}}, (100, 101, 102), 9400, 2900.0,
            "five steps timed, 0.31 s each, times the steps",
        ),
    },
)  # fmt: skip
