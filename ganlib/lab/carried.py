"""A trained generator, made small enough to travel to a page: whole numbers and few directions.

The first layer is linear, so of a walk among a few latents it needs only what it makes of each of
them; batch normalisation in evaluation mode is a part of the layer before it. What is left is
rounded to whole numbers from -127 to 127 with one scale a tensor, and drawn by the rounded weights.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["Carried"]

_LINEAR = (nn.Linear, nn.ConvTranspose2d)
_LEVELS = 127


class Carried(nn.Module):
    """What a generator or decoder makes of mixtures of a few latents, from rounded weights.

    Called with shares (N, K) it returns what ``network`` in evaluation mode makes of
    ``shares @ latents``, but for the rounding.

    Parameters
    ----------
    network
        Linear layers or transposed convolutions, activations, and batch normalisation after a
        linear layer or transposed convolution; an ``Unflatten`` may come first. It is not changed.
    latents
        The K latents that are mixed, (K, d).

    Attributes
    ----------
    numbers
        How many whole numbers travel.

    Raises
    ------
    ValueError
        For latents of another form, or normalisation that follows no linear layer.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 4), nn.Tanh())
    >>> latents = torch.tensor([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])
    >>> small, shares = Carried(network, latents), torch.tensor([[0.6, 0.8]])
    >>> bool((small(shares) - network(shares @ latents)).abs().max() < 0.05)
    True
    >>> small.numbers
    12
    """

    def __init__(self, network: nn.Sequential, latents: Tensor) -> None:
        super().__init__()
        if latents.ndim != 2:
            raise ValueError(f"latents have shape {tuple(latents.shape)}; pass (K, d), a row each")
        network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        layers = _without_normalisation(network)
        start = next((i for i, layer in enumerate(layers) if isinstance(layer, _LINEAR)), None)
        if start is None:
            raise ValueError("the network has no linear layer and no transposed convolution")
        with torch.no_grad():
            given = latents.detach().cpu()
            for layer in layers[:start]:
                given = layer(given)
            bias = _bias(layers[start])
            made = layers[start](given) - bias
        self._first, self._bias = _Rounded(made), bias
        self._rest = nn.ModuleList(
            _RoundedLayer(layer) if isinstance(layer, _LINEAR) else layer
            for layer in layers[start + 1 :]
        )
        self.numbers = sum(m.whole.numel() for m in self.modules() if isinstance(m, _Rounded))

    def forward(self, shares: Tensor) -> Tensor:
        """From shares (N, K) of the latents to samples."""
        shape = self._first.whole.shape[1:]
        mixed = self._first.scale * (shares @ self._first.whole.flatten(1))
        x = mixed.reshape(-1, *shape) + self._bias
        for layer in self._rest:
            x = layer(x)
        return x


class _Rounded(nn.Module):
    """A tensor as whole numbers and one scale; the compiler writes such numbers as bytes."""

    whole: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.scale = values.abs().max().item() / _LEVELS or 1.0
        self.register_buffer("whole", (values / self.scale).round() + 0.0)  # no -0


class _RoundedLayer(nn.Module):
    """A linear layer whose scale is applied after it: it is the same for all that it adds."""

    def __init__(self, layer: nn.Linear | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.weight, self.bias = _Rounded(layer.weight.detach()), _bias(layer)
        self.layer = copy.deepcopy(layer)
        self.layer.weight = nn.Parameter(self.weight.whole, requires_grad=False)
        self.layer.bias = None

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.weight.scale * self.layer(x)
        return scaled + self.bias


def _bias(layer: nn.Module) -> Tensor:
    """A layer's bias in the form that broadcasts over its output."""
    assert isinstance(layer, _LINEAR)
    axes = 2 if isinstance(layer, nn.ConvTranspose2d) else 0
    wide = layer.out_channels if isinstance(layer, nn.ConvTranspose2d) else layer.out_features
    bias = torch.zeros(wide) if layer.bias is None else layer.bias.detach().clone()
    return bias.reshape(-1, *[1] * axes)


def _without_normalisation(network: nn.Sequential) -> list[nn.Module]:
    """The layers, each normalisation in evaluation mode made a part of the layer before it."""
    layers: list[nn.Module] = []
    for layer in network:
        if not isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layers.append(layer)
            continue
        before = layers.pop() if layers else None
        grouped = getattr(before, "groups", 1) != 1
        if not isinstance(before, _LINEAR) or grouped or layer.running_var is None:
            raise ValueError(
                f"{layer} follows {before}; put a linear layer or a transposed convolution without "
                "groups before it, and let it keep running statistics"
            )
        layers.append(_joined(before, layer))
    return layers


def _joined(
    layer: nn.Linear | nn.ConvTranspose2d, normalisation: nn.BatchNorm1d | nn.BatchNorm2d
) -> nn.Module:
    mean, variance = normalisation.running_mean, normalisation.running_var
    assert mean is not None
    assert variance is not None
    with torch.no_grad():
        factor, shift = 1 / (variance + normalisation.eps).sqrt(), torch.zeros_like(mean)
        if normalisation.affine:
            factor, shift = factor * normalisation.weight, normalisation.bias
        bias = shift + factor * ((0 if layer.bias is None else layer.bias) - mean)
        axes = layer.weight.ndim - 2  # those of a filter
        over = (1, -1) if axes else (-1, 1)  # outputs come second in a transposed convolution
        made = copy.deepcopy(layer)
        made.weight = nn.Parameter(factor.reshape(*over, *[1] * axes) * layer.weight)
        made.bias = nn.Parameter(bias)
    return made.requires_grad_(False)
