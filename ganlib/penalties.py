"""What keeps a critic's gradient in bounds.

Every penalty takes **one norm a sample**. A norm over the whole batch, a mistake seen in several
published libraries, grows with the batch and punishes a critic that is already 1-Lipschitz.

A penalty is a plain function; weight it where it is used, for example
``fit(..., penalty=lambda critic, real, fake: 10 * gradient_penalty(critic, real, fake))``.
Derived in `wasserstein` (gradient penalty, clipping) and `convergence` (R1, R2, consensus).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

__all__ = [
    "clip_weights",
    "consensus",
    "gradient_penalty",
    "half_square",
    "input_gradient",
    "norm_deviation",
    "r1",
    "r2",
]

Critic = Callable[[Tensor], Tensor]


def input_gradient(critic: Critic, points: Tensor) -> Tensor:
    """The gradient of the critic at each point, flattened to (N, d); differentiable.

    The critic must treat samples one by one (no batch normalisation): only then is the gradient
    of the summed output the stack of the samples' own gradients.
    """
    if points.ndim < 2 or len(points) == 0:
        raise ValueError(
            f"points have shape {tuple(points.shape)}; expected (N, ...) with N >= 1 samples"
        )
    points = points.detach().requires_grad_()
    output = critic(points)
    if output.shape[0] != points.shape[0]:
        raise ValueError(
            f"the critic returned {output.shape[0]} outputs for {points.shape[0]} samples; "
            "a per-sample gradient needs one output a sample"
        )
    (gradient,) = torch.autograd.grad(output.sum(), points, create_graph=True)
    return gradient.flatten(1)


def norm_deviation(gradient: Tensor, target: float = 1.0) -> Tensor:
    """E(|grad| - target)^2 of per-sample gradients (N, d): the cost of :func:`gradient_penalty`."""
    norm = torch.linalg.vector_norm(gradient, dim=1)
    return (norm - target).square().mean()


def half_square(gradient: Tensor) -> Tensor:
    """E|grad|^2 / 2 of per-sample gradients (N, d): the cost of :func:`r1` and :func:`r2`."""
    return gradient.square().sum(dim=1).mean() / 2


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    *,
    target: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """E(|grad| - target)^2 at points drawn uniformly between paired real and fake samples.

    Gulrajani et al. 2017, equation 3. The paper weights it by 10 (0.1 on its toy data).

    Parameters
    ----------
    critic
        From (N, ...) to one raw output a sample.
    real, fake
        Samples of one shape (N, ...).
    generator
        Draws the interpolation weights; torch's global generator where None.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"real has shape {tuple(real.shape)} and fake {tuple(fake.shape)}; the penalty pairs "
            "them, so pass batches of one shape"
        )
    weight = torch.rand(
        (len(real),) + (1,) * (real.ndim - 1),
        generator=generator,
        device=real.device if generator is None else generator.device,
        dtype=real.dtype,
    ).to(real.device)
    between = weight * real + (1 - weight) * fake
    return norm_deviation(input_gradient(critic, between), target)


def r1(critic: Critic, real: Tensor) -> Tensor:
    """E|grad|^2 / 2 on real samples; weight it by gamma (Mescheder et al. 2018, equation 9)."""
    return half_square(input_gradient(critic, real))


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """E|grad|^2 / 2 on generated samples (Mescheder et al. 2018, equation 10)."""
    return r1(critic, fake)


def clip_weights(module: nn.Module, bound: float) -> None:
    """Clamp every parameter to [-bound, bound], in place (Arjovsky et al. 2017, algorithm 1).

    The clipped class is bounded, hence Lipschitz, but its supremum is no multiple of W1: the
    chapter `wasserstein` shows four pairs at equal distance which it tells apart.
    """
    if not bound > 0:
        raise ValueError(f"the clipping bound is {bound}; it must be positive, for example 0.01")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.clamp_(-bound, bound)


def consensus(
    generator_loss: Tensor,
    discriminator_loss: Tensor,
    generator_parameters: Iterable[Tensor],
    discriminator_parameters: Iterable[Tensor],
) -> Tensor:
    """Half the squared norm of the game's gradient field (Mescheder et al. 2017, section 4).

    Both players add gamma times it to their own loss. Derived in `convergence`.
    """
    total = torch.zeros((), dtype=generator_loss.dtype, device=generator_loss.device)
    for loss, parameters in (
        (generator_loss, generator_parameters),
        (discriminator_loss, discriminator_parameters),
    ):
        for gradient in torch.autograd.grad(loss, list(parameters), create_graph=True):
            total = total + gradient.square().sum() / 2
    return total
