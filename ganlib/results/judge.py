"""A convolutional classifier of small colour pictures: who says which class a sample shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from ganlib.networks import seeded

__all__ = ["answers", "train"]

_CHUNK = 1000


def train(
    images: Tensor, labels: Tensor, *, steps: int, seed: int = 0, progress: bool | None = None
) -> nn.Module:
    """A classifier of pictures (N, 3, 32, 32), trained where they are.

    Three convolutions with batch normalisation and pooling, Adam under a rate that rises and falls
    (Smith and Topin 2019), batches of 128, half of them mirrored.
    """
    classes = int(labels.max()) + 1
    network = seeded(lambda: _network(images.shape[1], classes), seed).to(images.device)
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    rng = torch.Generator().manual_seed(seed)
    bar = tqdm(range(steps), "judge", disable=progress is False, delay=2.0, leave=False)
    for step in bar:
        rows = torch.randint(len(images), (128,), generator=rng)
        batch = images[rows.to(images.device)]
        batch = batch.flip(-1) if step % 2 else batch
        loss = functional.cross_entropy(network(batch), labels[rows.to(labels.device)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def _network(channels: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((channels, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 4 * 4, classes))


def answers(judge: nn.Module, images: Tensor) -> Tensor:
    """The class that the judge reads in each picture, (N,), on the CPU."""
    device = next(judge.parameters()).device
    parts = [judge(part.to(device)).argmax(1).cpu() for part in images.split(_CHUNK)]
    return torch.cat(parts)
