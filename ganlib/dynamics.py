"""GAN training as a dynamical system, on games small enough to solve.

In the Dirac-GAN the data are a point mass at 0, the generator a point mass at theta, and the
critic is linear, s(x) = psi x + bias. Training is then a vector field in the plane of
(theta, psi): the direction in which each player steps. :func:`dirac_gan` makes that field from
any objective of :mod:`ganlib.losses` by differentiating its formulas, so strengths and penalties
may be numbers or SymPy symbols, and the eigenvalues of a page are those of the field that is
simulated.

Objective, penalty and update rule are three separate things: a :class:`Game`, functions from a
game to a game (:func:`r1`, :func:`gradient_penalty`, :func:`consensus`), and the update rules of
:mod:`ganlib.updates`, whose names are at hand here too.

Derived in `convergence` (Mescheder, Geiger and Nowozin 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from ganlib.formulas import compile_formula, critic_output, textbook
from ganlib.updates import (
    Field,
    Path,
    alternating,
    extragradient,
    optimistic,
    simulate,
    simultaneous,
)

__all__ = [
    "Game",
    "Path",
    "alternating",
    "bilinear",
    "consensus",
    "consensus_step_limit",
    "dirac_gan",
    "extragradient",
    "gradient_penalty",
    "jacobian_eigenvalues",
    "optimistic",
    "psi",
    "r1",
    "r1_step_limit",
    "simulate",
    "simultaneous",
    "spectral_radius",
    "step_matrix",
    "theta",
]

#: Where the generator puts its mass; the data are at 0.
theta = sp.Symbol("theta", real=True)
#: The slope of the critic, s(x) = psi x + bias.
psi = sp.Symbol("psi", real=True)

Number: TypeAlias = float | sp.Expr
Regulariser = Callable[["Game"], "Game"]


class Objective(Protocol):
    """What :func:`dirac_gan` needs of a loss: three formulas of one critic output ``s``."""

    @property
    def name(self) -> str: ...
    @property
    def on_real(self) -> sp.Expr: ...
    @property
    def on_fake(self) -> sp.Expr: ...
    @property
    def of_generator(self) -> sp.Expr: ...


@dataclass(frozen=True)
class Game:
    """A vector field on the plane of (theta, psi): where each player steps.

    Attributes
    ----------
    name
        The method's name.
    v_theta, v_psi
        SymPy expressions in :data:`theta` and :data:`psi` (and in any symbolic strengths): minus
        the gradient of what the generator, respectively the critic, minimises.

    Examples
    --------
    >>> circle = Game("a circle", psi, -theta)
    >>> circle.jacobian()
    Matrix([
    [ 0, 1],
    [-1, 0]])
    """

    name: str
    v_theta: sp.Expr
    v_psi: sp.Expr

    def __call__(self, at_theta: Tensor, at_psi: Tensor) -> tuple[Tensor, Tensor]:
        """The field at tensors of equal shape (any shape, any float dtype)."""
        return (
            compile_formula(self.v_theta, theta, psi)(at_theta, at_psi),
            compile_formula(self.v_psi, theta, psi)(at_theta, at_psi),
        )

    def jacobian(self, at_theta: Number = 0, at_psi: Number = 0) -> sp.Matrix:
        """The 2 x 2 matrix of derivatives of (v_theta, v_psi) by (theta, psi) at a point.

        Raises
        ------
        ValueError
            If the field jumps or has a kink at the point, so that it has no derivative there.
        """
        field = sp.Matrix([self.v_theta, self.v_psi])
        point = {theta: at_theta, psi: at_psi}
        sides = self._sides(point)
        at_point = field.subs(sides).jacobian([theta, psi]).subs(point)
        return at_point.applyfunc(lambda entry: sp.simplify(textbook(entry)))

    def _sides(self, point: Mapping[sp.Symbol, Number]) -> dict[sp.Expr, sp.Expr]:
        # Off its jumps the field is smooth: each sign in it is then a constant.
        field = sp.Matrix([self.v_theta, self.v_psi]).applyfunc(
            lambda v: v.replace(lambda e: isinstance(e, (sp.Max, sp.Min)), _with_abs)
        )
        for bend in field.atoms(sp.sign, sp.Abs):
            if bend.args[0].subs(point).is_zero and not _smooth_beside(field, bend, point):
                breaks = "jumps" if isinstance(bend, sp.sign) else "has a kink"
                raise ValueError(
                    f"the field of {self.name!r} {breaks} at (theta, psi) = ({point[theta]}, "
                    f"{point[psi]}), where {bend.args[0]} = 0: it has no Jacobian there; take a "
                    "point beside it"
                )
        jumps = self.v_theta.atoms(sp.sign) | self.v_psi.atoms(sp.sign)
        return {jump: jump.subs(point) for jump in jumps}


def _with_abs(extreme: sp.Expr) -> sp.Expr:
    return extreme.rewrite(sp.Abs)


def _smooth_beside(field: sp.Matrix, bend: sp.Expr, point: Mapping[sp.Symbol, Number]) -> bool:
    # psi |psi| has a derivative at 0, which both sides agree on.
    if isinstance(bend, sp.sign):
        return False
    left, right = (
        field.subs(bend, side * bend.args[0]).jacobian([theta, psi]).subs(point) for side in (-1, 1)
    )
    return bool(left == right)


def dirac_gan(
    loss: Objective,
    *penalties: Regulariser,
    bias: Number = 0,
    noise: Number = 0,
    nodes: int = 16,
) -> Game:
    """The vector field of gradient descent on the Dirac-GAN.

    Real data: a point mass at 0. Generated: a point mass at theta. Critic: s(x) = psi x + bias,
    high on what it takes for real. The critic descends on_real(s(0)) + on_fake(s(theta)), the
    generator of_generator(s(theta)). Mescheder, Geiger and Nowozin (2018) use the opposite sign
    of the critic (high on fakes): their psi is -psi here, and their pictures are mirrored.

    Parameters
    ----------
    loss
        An objective of :mod:`ganlib.losses`.
    *penalties
        Applied in order: :func:`r1`, :func:`gradient_penalty`, :func:`consensus`.
    bias
        The critic's fixed offset: its output where it cannot tell real from fake. 0 for every
        loss of a logit, (a + b) / 2 for least squares with targets a and b.
    noise
        Standard deviation (>= 0) of the Gaussian instance noise added to real and generated
        points alike (Sonderby et al. 2017). The expectation is a Gauss-Hermite sum.
    nodes
        Points of that sum; polynomials of degree 2 nodes - 1 are integrated exactly.

    Raises
    ------
    TypeError, ValueError
        If the loss has no formulas; if the noise is negative, or ``nodes`` is below 2.

    Derived in `convergence`.

    Examples
    --------
    >>> from ganlib.losses import wasserstein
    >>> game = dirac_gan(wasserstein())
    >>> game.v_theta, game.v_psi
    (psi, -theta)
    """
    if not hasattr(loss, "on_real"):
        name = getattr(loss, "__name__", None)
        raise TypeError(
            f"dirac_gan got {name or repr(loss)}, which is no loss; "
            + (f"call it: dirac_gan({name}())" if name else "pass one of ganlib.losses")
        )
    _need_nonnegative(noise, "noise")
    if nodes < 2:
        raise ValueError(f"nodes = {nodes}; the quadrature of the noise needs at least 2")

    def critic(x: sp.Expr) -> sp.Expr:
        return psi * x + bias

    cost_of_critic, cost_of_generator = sp.S.Zero, sp.S.Zero
    for weight, shift in _gauss_hermite(noise, nodes):
        cost_of_critic += weight * loss.on_real.subs(critic_output, critic(shift))
        cost_of_critic += weight * loss.on_fake.subs(critic_output, critic(theta + shift))
        cost_of_generator += weight * loss.of_generator.subs(critic_output, critic(theta + shift))
    game = Game(loss.name, _descent(cost_of_generator, theta), _descent(cost_of_critic, psi))
    for penalty in penalties:
        game = penalty(game)
    return game


def _descent(cost: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    slope = -sp.diff(cost, symbol)
    # Hinges: a step function is written with the sign, which torch has too.
    return slope.replace(sp.Heaviside, lambda x, *_: (1 + sp.sign(x)) / 2)


def _gauss_hermite(noise: Number, nodes: int) -> list[tuple[Number, Number]]:
    if noise == 0:
        return [(1, 0)]
    if nodes == 2:  # exact, for symbolic work
        return [(sp.S.Half, -noise), (sp.S.Half, noise)]
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights /= weights.sum()
    return [(float(w), noise * float(x)) for w, x in zip(weights, points, strict=True)]


def _need_nonnegative(value: Number, what: str) -> None:
    number = sp.sympify(value)
    if number.is_negative or (number.is_number and not (number.is_finite and number >= 0)):
        raise ValueError(f"{what} = {value}; pass a finite number >= 0")


def _need_positive(value: sp.Expr, what: str) -> None:
    if value.is_number and not (value.is_finite and value > 0):
        raise ValueError(f"{what} = {value}; pass a finite number > 0")


def r1(gamma: Number) -> Regulariser:
    """The penalty gamma / 2 |s'(0)|^2 = gamma psi^2 / 2 on the critic (gamma >= 0).

    R1 on real points and R2 on generated ones are the same for a linear critic. Derived in
    `convergence` (Mescheder et al. 2018, section 4).

    Examples
    --------
    >>> from ganlib.losses import wasserstein
    >>> dirac_gan(wasserstein(), r1(2)).v_psi
    -2*psi - theta
    """
    _need_nonnegative(gamma, "gamma")
    return lambda game: replace(
        game, name=f"{game.name} + R1 {gamma}", v_psi=game.v_psi - gamma * psi
    )


def gradient_penalty(weight: Number, target: Number = 1) -> Regulariser:
    """WGAN-GP's penalty weight (|s'| - target)^2 = weight (|psi| - target)^2 on the critic.

    Both numbers are >= 0; the usual choice is weight 10, target 1 (Gulrajani et al. 2017).
    The field jumps at psi = 0. Mescheder et al. (2018) write gamma / 2 for the weight.

    Examples
    --------
    >>> from ganlib.losses import wasserstein
    >>> dirac_gan(wasserstein(), gradient_penalty(10)).jacobian(at_psi=1)
    Matrix([
    [ 0,   1],
    [-1, -20]])
    """
    _need_nonnegative(weight, "weight")
    _need_nonnegative(target, "target")
    return lambda game: replace(
        game,
        name=f"{game.name} + GP {weight}",
        v_psi=game.v_psi - 2 * weight * (psi - target * sp.sign(psi)),
    )


def consensus(gamma: Number) -> Regulariser:
    """Consensus optimisation: both players also descend gamma / 2 |v|^2 (gamma >= 0).

    Put it after other penalties: v is the field of the game it is given. Derived in
    `convergence` (Mescheder, Nowozin and Geiger 2017).

    Examples
    --------
    >>> from ganlib.losses import wasserstein
    >>> dirac_gan(wasserstein(), consensus(1)).jacobian()
    Matrix([
    [-1,  1],
    [-1, -1]])
    """
    _need_nonnegative(gamma, "gamma")

    def regularised(game: Game) -> Game:
        energy = gamma * (game.v_theta**2 + game.v_psi**2) / 2
        return Game(
            f"{game.name} + consensus {gamma}",
            game.v_theta - sp.diff(energy, theta),
            game.v_psi - sp.diff(energy, psi),
        )

    return regularised


def bilinear(matrix: Tensor) -> Field:
    """The zero-sum game in which theta minimises, and psi maximises, theta^T A psi.

    Parameters
    ----------
    matrix
        A, of shape (n, m), float.

    Returns
    -------
    A field on theta of shape (..., n) and psi of shape (..., m). Derived in `convergence`.

    Examples
    --------
    >>> game = bilinear(torch.tensor([[2.0]]))  # theta descends 2 theta psi, psi ascends it
    >>> game(torch.tensor([1.0]), torch.tensor([3.0]))
    (tensor([-6.]), tensor([2.]))
    """
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise ValueError(
            f"matrix has shape {tuple(matrix.shape)} and dtype {matrix.dtype}; "
            "pass a floating-point matrix of shape (n, m)"
        )
    return lambda at_theta, at_psi: (-at_psi @ matrix.T, at_theta @ matrix)


# Eigenvalues


def jacobian_eigenvalues(
    field: Field, at_theta: Tensor | float = 0.0, at_psi: Tensor | float = 0.0
) -> Tensor:
    """Eigenvalues of a field's Jacobian at a point, by automatic differentiation.

    The equilibrium attracts the continuous flow if all real parts are negative and repels it if
    one is positive; with none positive and some zero the linearisation does not decide.

    Parameters
    ----------
    field
        A :class:`Game`, :func:`bilinear` game or any function of (theta, psi).
    at_theta, at_psi
        The point: numbers or vectors of shapes (n,) and (m,). Computed in float64.

    Returns
    -------
    complex128 tensor of shape (n + m,), in order of real part, then imaginary part.

    Raises
    ------
    ValueError
        If a :class:`Game` jumps at the point.

    Examples
    --------
    >>> jacobian_eigenvalues(Game("a circle", psi, -theta)).imag
    tensor([-1.,  1.], dtype=torch.float64)
    """
    start = [torch.as_tensor(x, dtype=torch.float64) for x in (at_theta, at_psi)]
    if isinstance(field, Game):
        field._sides({theta: float(start[0]), psi: float(start[1])})  # raises at a jump
    sizes = [x.numel() for x in start]

    def flat(both: Tensor) -> Tensor:
        parts = [x.reshape(like.shape) for x, like in zip(both.split(sizes), start, strict=True)]
        return torch.cat([v.reshape(-1) for v in field(*parts)])

    at = torch.cat([x.reshape(-1) for x in start])
    jacobian = torch.autograd.functional.jacobian(flat, at)
    values = torch.linalg.eigvals(jacobian).tolist()
    ordered = sorted(values, key=lambda z: (round(z.real, 9), z.imag))
    return torch.tensor(ordered, dtype=torch.complex128)


def step_matrix(
    jacobian: sp.Matrix,
    step: Number | tuple[Number, Number],
    *,
    alternate: bool = False,
    g_steps: int = 1,
    d_steps: int = 1,
) -> sp.Matrix:
    """The 2 x 2 matrix by which one update multiplies a small deviation from equilibrium.

    Parameters
    ----------
    jacobian
        :meth:`Game.jacobian` at the equilibrium.
    step
        The step size, or the pair (h_g, h_d). Numbers or symbols.
    alternate
        False: both players step at once. True: ``g_steps`` steps of theta, then ``d_steps`` of
        psi, each seeing the latest state (as :func:`alternating` does).

    Derived in `convergence`. The equilibrium attracts if the :func:`spectral_radius` is below 1.

    Examples
    --------
    >>> circle = Game("a circle", psi, -theta).jacobian()
    >>> step_matrix(circle, 1)
    Matrix([
    [ 1, 1],
    [-1, 1]])
    >>> step_matrix(circle, 1, alternate=True)
    Matrix([
    [ 1, 1],
    [-1, 0]])
    """
    h_g, h_d = map(sp.sympify, step if isinstance(step, tuple) else (step, step))
    if not alternate:
        return sp.eye(2) + sp.diag(h_g, h_d) * jacobian
    generator = sp.eye(2) + sp.diag(h_g, 0) * jacobian
    critic = sp.eye(2) + sp.diag(0, h_d) * jacobian
    return critic**d_steps * generator**g_steps


def spectral_radius(matrix: sp.Matrix) -> float:
    """The largest modulus of an eigenvalue of a numeric matrix.

    Examples
    --------
    A step of 1 on the circle leaves it, by the factor sqrt(2):

    >>> circle = Game("a circle", psi, -theta).jacobian()
    >>> round(spectral_radius(step_matrix(circle, 1)) ** 2, 6)
    2.0
    """
    if matrix.free_symbols:
        raise ValueError(
            f"the matrix has the free symbols {matrix.free_symbols}; substitute numbers for them"
        )
    return float(np.abs(np.linalg.eigvals(np.array(matrix.evalf(), dtype=complex))).max())


def r1_step_limit(gamma: Number, slope: Number = sp.S.Half, *, alternate: bool = False) -> sp.Expr:
    """The step size below which R1 with strength gamma converges locally, and above not.

    Parameters
    ----------
    gamma
        Strength of :func:`r1`, > 0.
    slope
        k > 0, where the unpenalised eigenvalues are +-ik: 1/2 for the losses of a logit, 1 for
        the Wasserstein loss.
    alternate
        Whether the critic sees the generator's new position.

    Derived in `convergence`.

    Examples
    --------
    >>> r1_step_limit(1, 1)
    1
    """
    gamma, k = sp.sympify(gamma), sp.sympify(slope)
    _need_positive(gamma, "gamma")
    _need_positive(k, "slope")
    if alternate:
        return (sp.sqrt(gamma**2 + 4 * k**2) - gamma) / k**2
    oscillating = gamma / k**2
    overdamped = (gamma - sp.sqrt(gamma**2 - 4 * k**2)) / k**2
    return sp.Piecewise((oscillating, gamma <= 2 * k), (overdamped, True))


def consensus_step_limit(gamma: Number, slope: Number = sp.S.Half) -> sp.Expr:
    """The step size below which consensus optimisation converges locally, simultaneous updates.

    ``gamma`` > 0 is the strength of :func:`consensus`, ``slope`` as in :func:`r1_step_limit`.
    Derived in `convergence`.

    Examples
    --------
    >>> consensus_step_limit(1, 1)
    1
    """
    gamma, k = sp.sympify(gamma), sp.sympify(slope)
    _need_positive(gamma, "gamma")
    _need_positive(k, "slope")
    return 2 * gamma / (1 + gamma**2 * k**2)
