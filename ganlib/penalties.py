"""What keeps a critic's gradient in bounds.

Every penalty takes **one norm a sample**. A norm over the whole batch, a mistake seen in several
published libraries, grows with the batch and punishes a critic that is already 1-Lipschitz.

A penalty is a plain function of (critic, real, fake), and each one below is one:
``fit(..., penalty=r1)``, ``fit(..., penalty=weighted(10, gradient_penalty))``. One with a parameter
named ``mix`` is given uniform draws by that name, one a pair. Samples have any shape (N, ...), and
may be pairs (x, y) with a condition y. The gradients are those of :mod:`torch.func`: a penalty can
be mapped over seeds and differentiated again. Derived in `wasserstein` (gradient penalty, clipping)
and `convergence` (R1, R2, consensus).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ganlib.batches import Batch, Critic, as_batch, parts
from ganlib.checks import transformed

__all__ = [
    "Penalty",
    "clip_weights",
    "consensus",
    "gradient_penalty",
    "half_square",
    "input_gradient",
    "norm_deviation",
    "r1",
    "r2",
    "weighted",
]

#: (critic, real, fake), or with mix=, to a number that the discriminator pays on top.
Penalty = Callable[..., Tensor]


def input_gradient(critic: Critic, points: Batch) -> Tensor:
    """The gradient of the critic at each point, flattened to (N, d); differentiable.

    The critic must treat samples one by one: only then is the gradient of the summed output the
    stack of the samples' own gradients. Batch normalisation does not, and its summed output has
    no gradient at all.

    Raises
    ------
    ValueError
        For points that are no batch, a critic with another number of outputs than samples, or a
        module with batch normalisation in training mode.

    Examples
    --------
    >>> critic = lambda x: 3 * x[:, 0]
    >>> input_gradient(critic, torch.zeros(2, 2))
    tensor([[3., 0.],
            [3., 0.]])
    """
    x, *condition = parts(points)
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(
            f"points have shape {tuple(x.shape)}; expected (N, ...) with N >= 1 samples"
        )
    refuse_batch_normalisation(critic)

    def total(x: Tensor) -> Tensor:
        output = critic(x, *condition)
        if output.numel() != len(x):
            raise ValueError(
                f"the critic returned {output.numel()} outputs for {len(x)} samples; "
                "a per-sample gradient needs one output a sample"
            )
        return output.sum()

    # Cut from whatever made the points: a penalty teaches the critic, not the generator. Inside a
    # transform, or compiled, the caller says what is differentiated, and may mean the points
    # (unrolling does).
    return torch.func.grad(total)(x if transformed() else x.detach()).flatten(1)


def refuse_batch_normalisation(critic: object, *, in_any_mode: bool = False) -> None:
    """Raise a ValueError if a module normalises over the batch in training mode, or in any."""
    for name, layer in critic.named_modules() if isinstance(critic, nn.Module) else ():
        normalises = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        if normalises and (layer.training or in_any_mode):
            raise ValueError(
                f"the critic normalises over the batch (its layer {name or 'itself'}), so a sample "
                "has no gradient of its own to penalise: use torch.nn.GroupNorm(1, channels) or "
                "no normalisation there, or leave out the penalty"
            )


def norm_deviation(gradient: Tensor, target: float = 1.0) -> Tensor:
    """E(|grad| - target)^2 of per-sample gradients (N, d): the cost of :func:`gradient_penalty`.

    Examples
    --------
    >>> norm_deviation(torch.tensor([[3.0, 0.0]]))  # (3 - 1)^2
    tensor(4.)
    """
    # A norm has no second derivative at 0; where a critic is flat it counts as a constant 0.
    flat = gradient.abs().amax(1) == 0
    norm = torch.linalg.vector_norm(torch.where(flat[:, None], 1, gradient), dim=1)
    return (torch.where(flat, 0, norm) - target).square().mean()


def half_square(gradient: Tensor) -> Tensor:
    """E|grad|^2 / 2 of per-sample gradients (N, d): the cost of :func:`r1` and :func:`r2`.

    Examples
    --------
    >>> half_square(torch.tensor([[3.0, 0.0]]))
    tensor(4.5000)
    """
    return gradient.square().sum(dim=1).mean() / 2


def gradient_penalty(
    critic: Critic,
    real: Batch,
    fake: Batch,
    mix: Tensor | None = None,
    *,
    target: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """E(|grad| - target)^2 at points drawn uniformly between paired real and fake samples.

    Gulrajani et al. 2017, equation 3. Weight 10 in the paper, 0.1 on toy data in its released code.

    Parameters
    ----------
    critic
        From (N, ...) to one raw output a sample.
    real, fake
        Samples of one shape (N, ...). A point between two samples has the condition of the real
        one.
    mix
        Where each point lies between its pair, N numbers in [0, 1]: one a sample, whatever the
        samples' shape. Drawn uniformly where None.
    generator
        Draws them; torch's global generator where None.

    Raises
    ------
    ValueError
        If the batches differ in shape, or there is not one number a pair.

    Examples
    --------
    A critic of slope 3 everywhere pays (3 - 1)^2, wherever the points lie:

    >>> critic = lambda x: 3 * x[:, 0]
    >>> gradient_penalty(critic, torch.zeros(5, 2), torch.ones(5, 2))
    tensor(4.)
    """
    (x, *condition), (other, *_) = parts(real), parts(fake)
    if x.shape != other.shape:
        raise ValueError(
            f"real has shape {tuple(x.shape)} and fake {tuple(other.shape)}; the penalty pairs "
            "them, so pass batches of one shape"
        )
    per_sample = (len(x),) + (1,) * (x.ndim - 1)
    if mix is None:
        device = x.device if generator is None else generator.device
        mix = torch.rand(per_sample, generator=generator, device=device, dtype=x.dtype).to(x.device)
    if mix.numel() != len(x):
        raise ValueError(
            f"mix has shape {tuple(mix.shape)} for {len(x)} pairs; pass one number in [0, 1] a pair"
        )
    mix = mix.reshape(per_sample)
    between = mix * x + (1 - mix) * other
    at = as_batch((between, *condition))
    return norm_deviation(input_gradient(critic, at), target)


def r1(critic: Critic, real: Batch, fake: Batch | None = None, mix: Tensor | None = None) -> Tensor:
    """E|grad|^2 / 2 on real samples; weight it by gamma (Mescheder et al. 2018, equation 9).

    ``r1(critic, real)``; the other arguments are those that every penalty is called with.

    Examples
    --------
    >>> critic = lambda x: x[:, 0] ** 2 / 2  # its slope at x is x
    >>> r1(critic, torch.tensor([[3.0, 0.0], [1.0, 0.0]]))  # (9 + 1) / 2 / 2
    tensor(2.5000)
    """
    return half_square(input_gradient(critic, real))


def r2(critic: Critic, real: Batch, fake: Batch | None = None, mix: Tensor | None = None) -> Tensor:
    """E|grad|^2 / 2 on generated samples (Mescheder et al. 2018, equation 10).

    ``r2(critic, fake)``, or as every penalty is called, ``r2(critic, real, fake)``.

    Examples
    --------
    >>> critic = lambda x: x[:, 0] ** 2 / 2
    >>> real, fake = torch.zeros(1, 2), torch.tensor([[3.0, 0.0]])
    >>> r2(critic, real, fake)
    tensor(4.5000)
    """
    return half_square(input_gradient(critic, real if fake is None else fake))


def weighted(weight: float, penalty: Penalty) -> Penalty:
    """``weight`` times a penalty, for example ``weighted(10, gradient_penalty)``.

    Raises
    ------
    ValueError
        For a weight that is not finite, or below 0: the critic would be paid for steepness.

    Examples
    --------
    >>> critic = lambda x: 3 * x[:, 0]
    >>> ten = weighted(10, r1)
    >>> ten(critic, torch.zeros(5, 2), torch.ones(5, 2))
    tensor(45.)
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"the penalty's weight is {weight}; it must be 0 or more, and finite")

    weight = float(weight)

    # wraps keeps the signature, by which a game sees whether the penalty takes the mix.
    @functools.wraps(penalty)
    def times(*arguments: Batch | Critic | None, **options: Tensor | None) -> Tensor:
        return weight * penalty(*arguments, **options)

    return times


def clip_weights(module: nn.Module, bound: float) -> None:
    """Clamp every parameter to [-bound, bound], in place (Arjovsky et al. 2017, algorithm 1).

    The clipped class is bounded, hence Lipschitz, but its supremum is no multiple of W1: the
    chapter `wasserstein` shows four pairs at equal distance which it tells apart.

    Examples
    --------
    >>> layer = torch.nn.Linear(1, 1)
    >>> clip_weights(layer, 0.01)
    >>> all(weight.abs().max() <= 0.01 for weight in layer.parameters())
    True
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

    Examples
    --------
    In the game of theta psi the field is (-psi, theta), of squared norm 3^2 + 4^2:

    >>> theta, psi = torch.tensor(3.0, requires_grad=True), torch.tensor(4.0, requires_grad=True)
    >>> consensus(theta * psi, -theta * psi, [theta], [psi]).item()
    12.5
    """
    total = torch.zeros((), dtype=generator_loss.dtype, device=generator_loss.device)
    for loss, parameters in (
        (generator_loss, generator_parameters),
        (discriminator_loss, discriminator_parameters),
    ):
        for gradient in torch.autograd.grad(loss, list(parameters), create_graph=True):
            total = total + gradient.square().sum() / 2
    return total
