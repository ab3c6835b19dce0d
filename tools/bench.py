"""How fast the library is, as ratios measured in one run (``make bench``).

A time in seconds belongs to the machine it was taken on; the ratio of two loops that ran in
turn, again and again, on one machine travels better. Each row gives the median of the ratios of
neighbouring runs, and their range.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from ganlib import data, networks, training

PAIRS = 7
STEPS = 400


@dataclass(frozen=True)
class Comparison:
    """Two ways to do one thing, each a function that returns steps a second."""

    what: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


def ring_networks(hidden: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The generator and discriminator of every ring figure: two hidden layers."""
    return (
        networks.mlp(2, hidden, hidden, 2, seed=0),
        networks.mlp(2, hidden, hidden, 1, seed=1),
    )


def tutorial_loop(hidden: int, batch: int) -> float:
    """Steps a second of the loop that most tutorials print: zero_grad, backward, step."""
    generator, discriminator = ring_networks(hidden)
    adam_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    values = data.ring().sample(10_000)
    bce = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)
    losses_d, losses_g = [], []
    started = time.perf_counter()
    for _ in range(STEPS):
        real = values[torch.randint(len(values), (batch,))]
        fake = generator(torch.randn(batch, 2))
        adam_d.zero_grad()
        loss_d = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
        loss_d.backward()
        adam_d.step()
        adam_g.zero_grad()
        loss_g = bce(discriminator(generator(torch.randn(batch, 2))), ones)
        loss_g.backward()
        adam_g.step()
        losses_d.append(loss_d.item())
        losses_g.append(loss_g.item())
    return STEPS / (time.perf_counter() - started)


def fit_loop(hidden: int, batch: int) -> float:
    """Steps a second of :func:`ganlib.training.fit` on the same networks and data."""
    values = data.ring().sample(10_000)
    history = training.fit(
        *ring_networks(hidden), values, steps=STEPS, batch_size=batch, progress=False
    )
    return STEPS / history.seconds


COMPARISONS = tuple(
    Comparison(
        f"fit against the tutorial loop, ring, 2-{hidden}-{hidden}-2, batch {batch}",
        lambda hidden=hidden, batch=batch: fit_loop(hidden, batch),  # type: ignore[misc]
        lambda hidden=hidden, batch=batch: tutorial_loop(hidden, batch),  # type: ignore[misc]
    )
    for hidden, batch in ((32, 128), (64, 256))
)


def measure(comparison: Comparison, pairs: int = PAIRS) -> list[tuple[float, float]]:
    """Run both in turn, ``pairs`` times, after one warm-up of each."""
    comparison.ours(), comparison.theirs()
    return [
        (comparison.ours(), comparison.theirs())
        for _ in tqdm(range(pairs), desc=comparison.what, leave=False)
    ]


def report(comparison: Comparison, runs: list[tuple[float, float]]) -> str:
    """One line of the table: medians of the rates, and of the ratios with their range."""
    ours, theirs = (statistics.median(column) for column in zip(*runs, strict=True))
    ratios = sorted(a / b for a, b in runs)
    return (
        f"{comparison.what:62s} {ours:8.0f} {theirs:8.0f}"
        f"   {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    torch.set_num_threads(1)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, {PAIRS} pairs of runs")
    print(f"{'':62s} {'ours':>8s} {'theirs':>8s}   ratio (range)")
    for comparison in COMPARISONS:
        print(report(comparison, measure(comparison)))


if __name__ == "__main__":
    main()
