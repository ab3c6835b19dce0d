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
from typing import Any

import torch
from torch import Tensor, nn

from ganlib.batches import Batch, as_batch, parts
from ganlib.game import Game, takes
from ganlib.penalties import input_gradient, refuse_batch_normalisation
from ganlib.step import State

__all__ = ["call_with", "in_mode", "inspect_game"]

#: The last functions that bound an output, by autograd's name of them, and their range.
_BOUNDED = {
    "Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0),
    "Hardsigmoid": (0.0, 1.0), "Relu": (0.0, math.inf), "Softplus": (0.0, math.inf),
}  # fmt: skip
#: What leaves every number as it is.
_SHAPES = {"View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Unflatten",
           "Permute", "Transpose", "T", "ToCopy", "Clone", "Alias", "Select", "Slice"}  # fmt: skip


@contextmanager
def in_mode(training: bool, *modules: nn.Module) -> Iterator[None]:
    """Networks in training, or in evaluation mode, inside; every layer as it was after.

    A network that is in training mode already keeps the layers that were put in evaluation mode
    by themselves, such as normalisation with fixed statistics.
    """
    modes = [(layer, layer.training) for module in modules for layer in module.modules()]
    try:
        for module in modules:
            if not (training and module.training):
                module.train(training)
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def call_with(module: nn.Module, player: str, inputs: int) -> None:
    """Raise a ValueError unless a network can be called with one input, or with two."""
    if takes(module.forward, inputs):
        return
    if inputs == 2:
        raise ValueError(
            f"the data have a condition, but the {player}, a {type(module).__name__}, takes no "
            "second argument; make it take (x, y), such as ganlib.networks.Conditional, or leave "
            "the condition out"
        )
    raise ValueError(
        f"the {player}, a {type(module).__name__}, takes more than one argument, but there is no "
        "condition; pass data as a pair (samples, conditions), and conditions to sample()"
    )


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
        For shapes or dtypes that do not fit, a discriminator without one output a sample, weights
        that nothing depends on, or batch normalisation over a batch of one or under a penalty.
    """
    if batch_size % game.pack:
        raise ValueError(
            f"a batch of {batch_size} does not divide into packs of {game.pack}; choose a multiple "
            f"of {game.pack}"
        )
    for module, count in (
        (game.generator, batch_size),
        (game.discriminator, batch_size // game.pack),
    ):
        normalises = any(isinstance(m, nn.BatchNorm1d) for m in module.modules())
        if normalises and count == 1:
            raise ValueError(
                "batch normalisation needs two samples or more; choose a larger batch_size, such "
                "as 64"
            )
    if game.penalty is not None:
        # In training mode layers that were frozen by themselves stay so; else all will train.
        frozen_may_stay = game.discriminator.training
        refuse_batch_normalisation(game.discriminator, in_any_mode=not frozen_may_stay)
    shared = {id(w) for w in game.generator.parameters()}
    if any(id(weight) in shared for weight in game.discriminator.parameters()):
        raise ValueError(
            "both players have a weight in common, which each would train against the other; build "
            "two networks"
        )
    (x, *condition), weights = parts(real), [*game.generator.parameters(),
                                             *game.discriminator.parameters()]  # fmt: skip
    if not torch.isfinite(x).all():
        raise ValueError("the data drawn hold NaN or infinite values; remove those samples first")
    dtypes = {str(weight.dtype) for weight in weights}
    if len(dtypes) > 1:
        raise ValueError(
            f"the weights are of {', '.join(sorted(dtypes))}; use one, such as .float() on both "
            "networks"
        )
    for player in ("generator", "discriminator"):
        call_with(getattr(game, player), player, 1 + len(condition))
    few = 2 * game.pack
    with in_mode(False, game.generator, game.discriminator), torch.enable_grad():
        made = game.samples(game.generator, latent)
        fake = as_batch([p[:few] for p in parts(made)])
        _refuse_no_tensor("generator", parts(made)[0])
        if parts(made)[0].shape[1:] != x.shape[1:]:
            raise ValueError(
                f"the generator makes samples of shape {tuple(parts(made)[0].shape[1:])}, the data "
                f"has {tuple(x.shape[1:])}; make them the same"
            )
        _compare_range(parts(made)[0], x)
        output = game.outputs(game.discriminator, game.packed(fake))
        _refuse_no_tensor("discriminator", output)
        if output.numel() != 2:
            raise ValueError(
                f"the discriminator returns shape {tuple(output.shape)} for 2 "
                f"{'packs' if game.pack > 1 else 'samples'}; it must return one raw output "
                "each, (N, 1) or (N,)"
            )
        judged = game.outputs(game.discriminator, game.packed(made))
        for player, value in (("generator", parts(made)[0]), ("discriminator", judged)):
            _refuse_unused(player, value.sum(), getattr(state, player).weights)
        _warn_of_bounds(judged)
        if game.penalty is not None:
            _warn_of_mixing(game, as_batch([p[: 2 * few] for p in parts(real)]))


def _refuse_no_tensor(player: str, output: object) -> None:
    if not isinstance(output, Tensor):
        raise ValueError(
            f"the {player} returns a {type(output).__name__}; it must return one tensor: wrap it "
            "in a module that does"
        )


def _bounds(output: Tensor) -> tuple[str, float, float]:
    """Autograd's name of the function that made the numbers, and the range of its values."""
    node: Any = output.grad_fn
    while node is not None:
        name = type(node).__name__.partition("Backward")[0]
        if name == "Hardtanh":
            return name, float(node._saved_min_val), float(node._saved_max_val)
        if name not in _SHAPES:
            return (name, *_BOUNDED.get(name, (-math.inf, math.inf)))
        node = node.next_functions[0][0] if node.next_functions else None
    return "", -math.inf, math.inf


def _compare_range(made: Tensor, x: Tensor) -> None:
    last, low, high = _bounds(made)
    rounding = 1e-6
    if x.device.type == "meta" or (low - rounding <= x.min() and x.max() <= high + rounding):
        return
    warnings.warn(
        f"the data reach from {x.min().item():.4g} to {x.max().item():.4g}, but the generator "
        f"ends in {last}, which stays within {low:g} and {high:g}: it can never make such samples. "
        "Scale the data to that range, or leave that last layer out",
        stacklevel=5,
    )


def _warn_of_bounds(output: Tensor) -> None:
    last, low, high = _bounds(output)
    if not math.isfinite(low + high):
        return
    warnings.warn(
        f"the discriminator ends in {last}, so every output lies between {low:g} and {high:g}; the "
        "losses take raw outputs (a logit for the logistic ones), and what is bounded cannot tell "
        "real from fake beyond its bound: leave the last layer out",
        stacklevel=5,
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


def _warn_of_mixing(game: Game, real: Batch) -> None:
    """Compare a sample's gradient in a batch with its gradient alone."""
    packed = game.packed(real)
    together = input_gradient(game.discriminator, packed)
    alone = input_gradient(game.discriminator, as_batch([p[:1] for p in parts(packed)]))
    scale = together.abs().max().item()
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-3 * scale):
        warnings.warn(
            "the discriminator looks across its batch, so a penalty sees no sample's own gradient; "
            "leave out the layer that compares samples, or the penalty",
            stacklevel=5,
        )
