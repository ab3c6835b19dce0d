"""What is wrong with two networks before a step is taken: errors and warnings of :func:`fit`.

A late broadcasting error is hard to read, and a discriminator that ends in a sigmoid trains
without a word and ends at 1.386, which looks like an equilibrium. So a few samples go through
both networks first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ganlib.game import Game
from ganlib.penalties import Batch, parts, whole
from ganlib.step import State

__all__ = ["in_mode", "inspect_game"]

#: The open range of a layer's output, for those that bound it.
_RANGES: dict[type, tuple[float, float]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}


@contextmanager
def in_mode(training: bool, *modules: nn.Module) -> Iterator[None]:
    """Every layer in training, or in evaluation mode, inside; as it was after."""
    modes = [(layer, layer.training) for module in modules for layer in module.modules()]
    try:
        for module in modules:
            module.train(training)
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def inspect_game(game: Game, state: State, real: Batch, latent: Batch, batch_size: int) -> None:
    """Raise, or warn, if this game cannot be played on batches like these.

    Parameters
    ----------
    game, state
        What is about to be trained in place.
    real, latent
        A few samples and as many latents; their number is a multiple of ``game.pack``.
    batch_size
        Of the run.

    Raises
    ------
    ValueError
        For shapes that do not fit, a discriminator without one output a sample, weights that
        nothing depends on, or batch normalisation over a batch of one.
    """
    if batch_size % game.pack:
        raise ValueError(
            f"a batch of {batch_size} does not divide into packs of {game.pack}; choose a multiple "
            f"of {game.pack}"
        )
    normalised = [m for p in (game.generator, game.discriminator) for m in p.modules()
                  if isinstance(m, nn.modules.batchnorm._BatchNorm)]  # fmt: skip
    if normalised and batch_size // game.pack == 1:
        raise ValueError(
            "batch normalisation needs two samples or more; choose a larger batch_size, such as 64"
        )
    with in_mode(False, game.generator, game.discriminator), torch.enable_grad():
        everything = parts(real)[0]
        few = 2 * game.pack
        real, latent = (whole([p[:few] for p in parts(batch)]) for batch in (real, latent))
        fake, last = _watched_call(game, latent)
        (samples, *_), (x, *_) = parts(fake), parts(real)
        if samples.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"the generator makes samples of shape {tuple(samples.shape[1:])}, the data has "
                f"{tuple(x.shape[1:])}; make them the same"
            )
        _compare_range(last, everything)
        output = game.outputs(game.discriminator, game.packed(fake))
        if output.numel() != len(x) // game.pack:
            raise ValueError(
                f"the discriminator returns shape {tuple(output.shape)} for {len(x) // game.pack} "
                f"{'packs' if game.pack > 1 else 'samples'}; it must return one raw output "
                "each, (N, 1) or (N,)"
            )
        for player, value in (("generator", samples.sum()), ("discriminator", output.sum())):
            _refuse_unused(player, value, getattr(state, player).weights)
        _refuse_probabilities(game, real)


def _watched_call(game: Game, latent: Batch) -> tuple[Batch, nn.Module | None]:
    """The generator's samples, and the layer whose output they are."""
    ran: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: ran.append((layer, output)))
        for layer in game.generator.modules()
        if not list(layer.children())
    ]
    try:
        fake = game.samples(game.generator, latent)
    finally:
        for hook in hooks:
            hook.remove()
    same = [layer for layer, output in ran if output is parts(fake)[0]]
    return fake, same[-1] if same else None


def _compare_range(last: nn.Module | None, x: Tensor) -> None:
    low, high = _RANGES.get(type(last), (-math.inf, math.inf))
    if x.device.type == "meta" or (low <= x.min() and x.max() <= high):
        return
    warnings.warn(
        f"the data reach from {x.min().item():.4g} to {x.max().item():.4g}, but the generator "
        f"ends in {type(last).__name__}, which stays within {low:g} and {high:g}: it can never "
        "make such samples. Scale the data to that range, or leave that last layer out",
        stacklevel=4,
    )


def _refuse_unused(player: str, value: Tensor, weights: dict[str, Tensor]) -> None:
    slopes = torch.autograd.grad(
        value, list(weights.values()), allow_unused=True, retain_graph=True
    )
    unused = [name for name, slope in zip(weights, slopes, strict=True) if slope is None]
    if unused:
        raise ValueError(
            f"the {player}'s output does not depend on its {', '.join(unused[:3])}; remove what is "
            f"not used, or freeze it: {player}.get_parameter({unused[0]!r}).requires_grad_(False)"
        )


def _refuse_probabilities(game: Game, real: Batch) -> None:
    """Warn of a discriminator whose output is a probability, however far its input goes."""
    x, *condition = parts(real)
    if x.device.type == "meta":
        return
    seen = []
    for scale in (-100.0, -10.0, -1.0, 1.0, 10.0, 100.0):
        batch = game.packed(whole((x * scale, *condition)))
        seen.append(game.outputs(game.discriminator, batch).detach().flatten())
    outputs = torch.cat(seen)
    if outputs.min() >= 0 and outputs.max() <= 1 and ((outputs > 0) & (outputs < 1)).any():
        warnings.warn(
            "every output of the discriminator lies between 0 and 1, as if it ended in a sigmoid; "
            "the losses take raw outputs, and a second sigmoid flattens them: leave the last layer "
            "out",
            stacklevel=4,
        )
