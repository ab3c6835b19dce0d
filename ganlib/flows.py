"""Coupling flows: generators that can be turned round, so that the density of a sample is known.

A :class:`Flow` is an ordinary generator, from latents (N, d) to samples (N, d), that ``fit`` can
train; besides, it inverts and knows its log-density. A layer splits a row in two, keeps one part,
and moves the other by what a network of ours makes of the first (RealNVP: Dinh et al. 2017; with
``additive=True`` NICE: Dinh et al. 2014). The layer's inverse and determinant are proved in
`four-families`; the change of variables and what adversarial training makes of the density, in
`flow-gan`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganlib.checks import check_count
from ganlib.networks import mlp
from ganlib.vae import normal_log_density

__all__ = ["Coupling", "Flow"]


class Coupling(nn.Module):
    """One coupling layer and a swap: z = (a, b) to (b exp(alpha(a)) + beta(a), a).

    The moved part comes first, so the next layer keeps it.

    Parameters
    ----------
    width
        d, the length of a row, at least 2.
    kept
        How many of the first entries of z stay as they are (a), from 1 to d - 1.
    *hidden
        Widths of the network that makes alpha and beta of a.
    bound
        |alpha| stays below it, by ``bound * tanh(alpha / bound)``: a layer stretches by at most
        exp(bound), and by at least exp(-bound).
    additive
        Leave alpha out (NICE): every volume stays as it is.
    seed
        Decides the network's initial weights.

    Examples
    --------
    >>> layer = Coupling(2, 1, 8)
    >>> z = torch.tensor([[1.0, 2.0]])
    >>> x, stretched = layer(z)
    >>> x[0, 1].item()  # the kept part, now the second
    1.0
    >>> back, shrunk = layer.inverse(x)
    >>> torch.allclose(back, z, atol=1e-5), torch.allclose(shrunk, -stretched, atol=1e-5)
    (True, True)
    """

    def __init__(
        self,
        width: int,
        kept: int,
        *hidden: int,
        bound: float = 2.0,
        additive: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= kept < width:
            raise ValueError(
                f"a layer keeps {kept} of {width} entries; it has to keep one and to move one at "
                f"least: kept is from 1 to {width - 1}, and a row has two entries or more"
            )
        if not bound > 0:
            raise ValueError(f"bound is {bound}; it must be positive, for example 2")
        self.kept, self.moved, self.bound, self.additive = kept, width - kept, bound, additive
        outputs = self.moved if additive else 2 * self.moved
        self.network = mlp(kept, *hidden, outputs, seed=seed)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (N, d) to x (N, d), and the logarithm of |det dx/dz|, (N,)."""
        a, b = z.split([self.kept, self.moved], dim=1)
        alpha, beta = self._alpha_beta(a)
        return torch.cat([b * torch.exp(alpha) + beta, a], dim=1), alpha.sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, d) to z (N, d), and the logarithm of |det dz/dx|, (N,)."""
        b, a = x.split([self.moved, self.kept], dim=1)
        alpha, beta = self._alpha_beta(a)
        return torch.cat([a, (b - beta) * torch.exp(-alpha)], dim=1), -alpha.sum(1)

    def _alpha_beta(self, a: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(a)
        if self.additive:
            return torch.zeros_like(output), output
        alpha, beta = output.chunk(2, dim=1)
        return self.bound * torch.tanh(alpha / self.bound), beta


class Flow(nn.Module):
    """An invertible generator: coupling layers of z ~ N(0, I).

    Parameters
    ----------
    width
        d, the length of a row, at least 2. Every second layer keeps the first d // 2 entries,
        the others the rest.
    *hidden
        Widths of each layer's network, such as 48, 48.
    layers
        How many layers; with two or more every entry is moved.
    bound, additive
        As for :class:`Coupling`.
    seed
        Decides the initial weights. Seeds that differ give networks that share none.

    Raises
    ------
    ValueError
        For a width below 2, no layer, a bound that is not positive.

    Examples
    --------
    An additive flow keeps every volume:

    >>> flow = Flow(2, 8, layers=2, additive=True)
    >>> x, stretched = flow.with_log_det(torch.tensor([[1.0, 2.0]]))
    >>> stretched.item()
    0.0
    >>> torch.allclose(flow.log_prob(x).exp(), torch.tensor(0.0131), atol=1e-3)  # N((1, 2); 0, I)
    True
    """

    def __init__(
        self,
        width: int,
        *hidden: int,
        layers: int = 6,
        bound: float = 2.0,
        additive: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_count(layers, "layers")
        check_count(width, "width", 2)
        #: What :func:`ganlib.networks.latent_shape` reads: as many numbers go in as come out.
        self.latent_size = width
        kept = [width // 2 if i % 2 == 0 else width - width // 2 for i in range(layers)]
        self.couplings = nn.ModuleList(
            Coupling(width, keep, *hidden, bound=bound, additive=additive, seed=layers * seed + i)
            for i, keep in enumerate(kept)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Latents (N, d) to samples (N, d): what makes a flow a generator."""
        return self.with_log_det(z)[0]

    def with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Samples (N, d) and log |det dG/dz| (N,) at the latents z (N, d)."""
        self._check(z)
        total = z.new_zeros(len(z))
        for coupling in self.couplings:
            z, log_det = coupling(z)
            total = total + log_det
        return z, total

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (N, d) of samples x (N, d), and log |det dz/dx| (N,).

        Rounding grows with the stretch of the layers: check in float64 whether
        ``flow(flow.inverse(x)[0])`` is x where it matters.
        """
        self._check(x)
        total = x.new_zeros(len(x))
        for coupling in reversed(self.couplings):
            x, log_det = coupling.inverse(x)  # type: ignore[operator]
            total = total + log_det
        return x, total

    def log_prob(self, x: Tensor) -> Tensor:
        """The logarithm of the density of G(z), z ~ N(0, I), at x (N, d): (N,), in nats."""
        z, log_det = self.inverse(x)
        zero = z.new_zeros(())
        return normal_log_density(z, zero, zero) + log_det

    def _check(self, rows: Tensor) -> None:
        if rows.ndim != 2 or rows.shape[1] != self.latent_size:
            raise ValueError(
                f"the rows have shape {tuple(rows.shape)}; this flow takes "
                f"(N, {self.latent_size}). Flatten images first, .flatten(1)"
            )
