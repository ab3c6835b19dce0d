"""Minibatch discrimination (Salimans et al. 2016): a layer by which D compares samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganlib.checks import check_count

__all__ = ["MinibatchDiscrimination"]


class MinibatchDiscrimination(nn.Module):
    """Appends to each sample how near it is to the others of its group, kernel by kernel.

    A matrix M(x) of ``kernels`` rows and ``depth`` columns is linear in the features; kernel b adds
    the sum over the *other* samples y of the group of exp(-|M_b(x) - M_b(y)|_1) (section 3.2 of the
    paper). A generator whose samples are all alike cannot hide it. Groups are of consecutive
    samples, so that with a batch of whole groups none holds real and generated samples at once.
    Derived in `remedies`.

    Parameters
    ----------
    features
        Width of the input (N, features); the output is (N, features + kernels).
    kernels, depth
        Sizes of M.
    group
        Samples that are compared with each other, 2 or more.

    Raises
    ------
    ValueError
        At a call, for a batch above ``group`` that is no multiple of it; a smaller one is a group.

    Examples
    --------
    Two equal samples are at distance 0: each kernel adds exp(0) = 1 to each.

    >>> layer = MinibatchDiscrimination(3, kernels=2)
    >>> layer(torch.ones(2, 3))[:, 3:].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, features: int, kernels: int = 8, depth: int = 4, *, group: int = 16) -> None:
        super().__init__()
        for count, name in ((features, "features"), (kernels, "kernels"), (depth, "depth")):
            check_count(count, name)
        check_count(group, "group", 2)
        self.kernels, self.depth, self.group = kernels, depth, group
        self.matrix = nn.Linear(features, kernels * depth, bias=False)

    def extra_repr(self) -> str:
        return f"kernels={self.kernels}, depth={self.depth}, group={self.group}"

    def forward(self, x: Tensor) -> Tensor:
        group = min(self.group, len(x))
        if len(x) % group:
            raise ValueError(
                f"a batch of {len(x)} does not divide into groups of {self.group}; choose a "
                f"multiple of {self.group}"
            )
        rows = self.matrix(x).reshape(-1, group, self.kernels, self.depth)
        apart = (rows[:, :, None] - rows[:, None]).abs().sum(-1)  # (groups, group, group, kernels)
        alike = torch.exp(-apart).sum(2) - 1  # less the sample itself
        return torch.cat([x, alike.reshape(len(x), self.kernels)], dim=1)
