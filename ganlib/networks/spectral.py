"""Spectral norm, its state in buffers or nowhere: it works in a pure step and under ``vmap``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from ganlib.checks import check_count

__all__ = ["spectral_norm"]


class _SpectralNorm(nn.Module):
    """A parametrization: the weight over an estimate of its largest singular value."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, axis: int, epsilon: float) -> None:
        super().__init__()
        self.axis, self.epsilon = axis, epsilon
        rows, columns = self._matrix(weight.detach()).shape
        for name, size in (("u", rows), ("v", columns)):
            start = functional.normalize(weight.detach().new_empty(size).normal_(), dim=0)
            self.register_buffer(name, start)
        for _ in range(15):  # as torch does, so that the first estimate is near
            self._iterate(self._matrix(weight.detach()))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.axis, 0).flatten(1)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(functional.normalize(matrix @ self.v, dim=0, eps=self.epsilon))
        self.v.copy_(functional.normalize(matrix.T @ self.u, dim=0, eps=self.epsilon))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach())
        u, v = self.u.clone(), self.v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


class _FreshSpectralNorm(nn.Module):
    """The same by some power iterations from one fixed vector at each call: nothing is kept."""

    def __init__(self, axis: int, iterations: int, epsilon: float) -> None:
        super().__init__()
        self.axis, self.iterations, self.epsilon = axis, iterations, epsilon

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.movedim(self.axis, 0).flatten(1)
        still = matrix.detach()
        # a cosine: no singular vector of a trained weight is at right angles to it
        v = torch.cos(torch.arange(matrix.shape[1], dtype=weight.dtype, device=weight.device))
        for _ in range(self.iterations):
            u = _unit(still @ v, self.epsilon)
            v = _unit(u @ still, self.epsilon)
        return weight / (u @ (matrix @ v))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def _unit(vector: Tensor, epsilon: float) -> Tensor:
    return vector / (vector.square().sum().sqrt() + epsilon)


def spectral_norm(module: nn.Module, *, epsilon: float = 1e-12, iterations: int = 0) -> nn.Module:
    """Every linear and convolutional weight over its largest singular value (Miyato et al. 2018).

    The value is estimated by one power iteration a call in training mode, as
    ``torch.nn.utils.parametrizations.spectral_norm`` does, and equal to it; but nothing here
    writes outside its buffers, so it works in a pure step and under ``vmap``. In place; returns
    the module.

    Parameters
    ----------
    module
        Whose layers are normalised, each for itself.
    epsilon
        Added to, or the least of, the norms that are divided by.
    iterations
        0, as torch does it. Else nothing is kept: each call makes so many power iterations from
        one fixed vector, so that a compiled step, which has no place for buffers, can carry the
        network (:mod:`ganlib.studies`); 8 come within a few hundredths of the value.

    Raises
    ------
    ValueError
        If the module has no such layer, or one that is normalised already.

    Examples
    --------
    The largest singular value of diag(3, 1) is 3:

    >>> layer = torch.nn.Linear(2, 2, bias=False)
    >>> layer.weight.data = torch.diag(torch.tensor([3.0, 1.0]))
    >>> network = spectral_norm(torch.nn.Sequential(layer), iterations=50)
    >>> network(torch.tensor([[3.0, 0.0]])).tolist()
    [[3.0, 0.0]]
    """
    check_count(iterations, "iterations", 0)
    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))]
    if not layers:
        raise ValueError(
            f"{type(module).__name__} has no linear or convolutional layer to normalise; pass the "
            "network that holds them"
        )
    for layer in layers:
        if is_parametrized(layer, "weight"):
            raise ValueError(
                f"the weight of {type(layer).__name__} is parametrized already; normalise it once"
            )
    for layer in layers:
        axis = 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
        norm: nn.Module = (
            _FreshSpectralNorm(axis, iterations, epsilon)
            if iterations
            else _SpectralNorm(layer.weight, axis, epsilon)
        )
        register_parametrization(layer, "weight", norm)
    return module
