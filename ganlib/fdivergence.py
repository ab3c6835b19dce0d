"""What an f-divergence is: formulas for mathematics and for machines, and torch functions of them.

The rows of the table are in :mod:`ganlib.divergences`. Derived in `f-gan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import sympy as sp
import torch
from torch import Tensor

from ganlib.checks import check_float, check_probability_pair
from ganlib.formulas import compile_formula

__all__ = ["FDivergence", "Stable", "Symbolic", "p", "q", "t", "u", "v"]

# The symbols of every formula here.
#: The ratio of the densities, u = p / q.
u = sp.Symbol("u", positive=True)
#: A critic's value, after the activation.
t = sp.Symbol("t", real=True)
#: A network's raw output.
v = sp.Symbol("v", real=True)
#: The density of the data at a point.
p = sp.Symbol("p", positive=True)
#: The density of the generated samples there.
q = sp.Symbol("q", positive=True)


@dataclass(frozen=True)
class Symbolic:
    """One row of the table, as SymPy expressions in :data:`u`, :data:`t` and :data:`v`.

    Attributes
    ----------
    generator
        f(u), convex on u > 0.
    conjugate
        f*(t) on ``domain``; outside it f* is infinite.
    domain
        The set of all t at which f* is finite.
    activation
        g_f(v): increasing, from the whole line into the domain.
    at_zero, at_infinity
        The limits of f(u) at u = 0 and of f(u) / u at infinity: what a unit of fake mass costs
        where there is no data, and a unit of data where there is no fake.

    Examples
    --------
    >>> kl = divergence("kl").symbolic
    >>> isinstance(kl, Symbolic), kl.generator, kl.critic
    (True, u*log(u), log(u) + 1)
    >>> kl.conjugate.subs(t, 1), kl.activation.free_symbols == {v}, kl.generator.free_symbols == {u}
    (1, True, True)
    """

    generator: sp.Expr
    conjugate: sp.Expr
    domain: sp.Set
    activation: sp.Expr
    at_zero: sp.Expr
    at_infinity: sp.Expr

    @property
    def critic(self) -> sp.Expr:
        """f'(u): the critic at which the bound is the divergence."""
        return sp.diff(self.generator, u)

    @property
    def conjugate_of_activation(self) -> sp.Expr:
        """f*(g_f(v)): what a raw output v costs on a generated sample."""
        return self.conjugate.subs(t, self.activation)

    @property
    def level(self) -> sp.Expr:
        """f'(1): the critic's value where data and fake are equally dense."""
        return sp.simplify(self.critic.subs(u, 1))


@dataclass(frozen=True)
class Stable:
    """The same row in forms that survive floating point; each is proved equal by the tests.

    ``integrand`` is q f(p / q) in :data:`p` and :data:`q`, the divergence's named integral.

    Examples
    --------
    >>> kl = divergence("kl").stable
    >>> isinstance(kl, Stable), kl.integrand.free_symbols == {p, q}
    (True, True)
    """

    integrand: sp.Expr
    critic: sp.Expr
    conjugate: sp.Expr
    activation: sp.Expr
    conjugate_of_activation: sp.Expr


class _Compiled(NamedTuple):
    """What the methods of a divergence compute with: no SymPy is left in it."""

    integrand: Callable[..., Tensor]
    critic: Callable[..., Tensor]
    conjugate: Callable[..., Tensor]
    activation: Callable[..., Tensor]
    conjugate_of_activation: Callable[..., Tensor]
    level: float
    at_one: float
    at_zero: float
    at_infinity: float
    top: float
    top_is_open: bool


def _compiled(symbolic: Symbolic, stable: Stable) -> _Compiled:
    top = symbolic.domain.sup
    return _Compiled(
        compile_formula(stable.integrand, p, q),
        compile_formula(stable.critic, u),
        compile_formula(stable.conjugate, t),
        compile_formula(stable.activation, v),
        compile_formula(stable.conjugate_of_activation, v),
        level=float(symbolic.critic.subs(u, 1)),
        at_one=float(symbolic.generator.subs(u, 1)),
        at_zero=float(symbolic.at_zero),
        at_infinity=float(symbolic.at_infinity),
        top=float(top),
        top_is_open=top not in symbolic.domain,
    )


@dataclass(frozen=True)
class FDivergence:
    """An f-divergence: its formulas, and torch functions compiled from them.

    Made by :func:`ganlib.divergences.divergence`. The functions are compiled there and then:
    calling a method touches no SymPy. All methods take tensors of any shape and float dtype and
    return that shape and dtype; all but :meth:`between` and :meth:`lower_bound` are elementwise.

    Attributes
    ----------
    name
        The name ``divergence`` knows it by.
    title
        The name a page prints.
    parameters
        Its parameters by name, for the two families that have one.
    symbolic, stable
        Its formulas.

    Examples
    --------
    >>> pearson = divergence("pearson")
    >>> isinstance(pearson, FDivergence), pearson.symbolic.generator
    (True, (u - 1)**2)
    >>> pearson.generator(torch.tensor([0.0, 1.0, 3.0]))
    tensor([1., 0., 4.])
    >>> pearson.conjugate(torch.tensor([2.0]))  # t^2 / 4 + t
    tensor([3.])
    >>> p_and_q = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    >>> pearson.between(*p_and_q), divergence("reverse_kl").between(*p_and_q)
    (tensor(inf), tensor(0.6931))
    """

    name: str
    title: str
    symbolic: Symbolic
    stable: Stable
    parameters: Mapping[str, sp.Expr] = field(default_factory=dict, hash=False)
    _own: _Compiled | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The formulas of a whole family are for proofs: there is nothing to compute without the
        # number that its symbol stands for.
        family = any(value.free_symbols for value in self.parameters.values())
        # The one way to derive a field of a frozen dataclass.
        object.__setattr__(self, "_own", None if family else _compiled(self.symbolic, self.stable))

    def __reduce__(self) -> tuple[Callable[..., FDivergence], tuple[object, ...]]:
        return FDivergence, (self.name, self.title, self.symbolic, self.stable, self.parameters)

    def __repr__(self) -> str:
        inner = "".join(f", {k}={value}" for k, value in self.parameters.items())
        return f"divergence({self.name!r}{inner})"

    @property
    def domain(self) -> sp.Set:
        """The values at which f* is finite, a SymPy set: ``0.3 in d.domain``."""
        return self.symbolic.domain

    @property
    def level(self) -> float:
        """f'(1). A critic value above it says "more data than fake here", one below the reverse.

        It is a level of T = g_f(V), not of the raw output V.
        """
        return self._torch.level

    @property
    def _torch(self) -> _Compiled:
        if self._own is None:
            raise ValueError(
                f"{self!r} stands for a whole family; make one of its members with a number, such "
                f"as divergence({self.name!r}, {next(iter(self.parameters))}=0.5), to compute with"
            )
        return self._own

    def generator(self, ratio: Tensor) -> Tensor:
        """f(u) at density ratios u >= 0: the limit f(0+) at 0, infinity where u < 0."""
        check_float(ratio, "ratio")
        own = self._torch
        inside = (ratio > 0) & (ratio < torch.inf)
        value = own.integrand(torch.where(inside, ratio, 1.0), torch.ones_like(ratio))
        # f is convex: at infinity it goes down only where it never turns up, f(u)/u -> 0.
        last = torch.inf if own.at_infinity > 0 else -torch.inf
        value = torch.where(ratio == 0, own.at_zero, value)
        value = torch.where(ratio < 0, torch.inf, torch.where(ratio == torch.inf, last, value))
        return torch.where(ratio.isnan(), ratio, value)

    def critic(self, ratio: Tensor) -> Tensor:
        """f'(u), the optimal critic's value at density ratios u >= 0; NaN where u < 0."""
        check_float(ratio, "ratio")
        return torch.where(ratio >= 0, self._torch.critic(ratio), torch.nan)

    def conjugate(self, value: Tensor) -> Tensor:
        """f*(t) at critic values t: infinity outside the domain."""
        check_float(value, "value")
        own = self._torch
        inside = (value < own.top) if own.top_is_open else (value <= own.top)
        inside = inside & (value > -torch.inf)
        # The level is inside every domain: a harmless value for the branch that is not taken.
        finite = own.conjugate(torch.where(inside, value, own.level))
        # sup_u {t u - f(u)} is reached at u = 0 as t -> -infinity, and there is -f(0).
        edge = torch.where(value == -torch.inf, -own.at_zero, torch.full_like(value, torch.inf))
        return torch.where(inside, finite, torch.where(value.isnan(), value, edge))

    def activation(self, output: Tensor) -> Tensor:
        """g_f(v): raw network outputs, any real number, to critic values; increasing."""
        check_float(output, "output")
        return self._torch.activation(output)

    def conjugate_of_activation(self, output: Tensor) -> Tensor:
        """f*(g_f(v)) at raw network outputs v, with no overflow on the way.

        Infinite only where the true value is outside the format.
        """
        check_float(output, "output")
        return self._torch.conjugate_of_activation(output)

    def between(self, data: Tensor, fake: Tensor) -> Tensor:
        """D_f(P || Q) of probability vectors, zeros and disjoint supports included.

        Parameters
        ----------
        data, fake
            Probabilities p and q along the last axis, any broadcastable leading shape.

        Returns
        -------
        A tensor of the leading shape, computed in float64: infinity where that is the value.
        At 0 the slope in that entry is taken as 0.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not broadcast, or a vector is none of probabilities
            (:func:`ganlib.checks.check_probabilities`).
        """
        check_probability_pair(data, fake, ("data", "fake"))
        own = self._torch
        dtype = torch.promote_types(data.dtype, fake.dtype)
        wide_p, wide_q = torch.broadcast_tensors(data.double(), fake.double())
        both = (wide_p > 0) & (wide_q > 0)
        term = own.integrand(torch.where(both, wide_p, 1.0), torch.where(both, wide_q, 1.0))
        total = torch.where(both, term, 0.0).sum(-1)
        total = total + _cost(own.at_zero, torch.where(wide_p == 0, wide_q, 0.0).sum(-1))
        total = total + _cost(own.at_infinity, torch.where(wide_q == 0, wide_p, 0.0).sum(-1))
        # Rounding may end a hair below the least value f(1); mend the value, keep the slope.
        return (total + (total.clamp(min=own.at_one) - total).nan_to_num(0.0).detach()).to(dtype)

    def lower_bound(self, critic_p: Tensor, critic_q: Tensor) -> Tensor:
        """The sample estimate of E_P T - E_Q f*(T), a scalar.

        Parameters
        ----------
        critic_p, critic_q
            Values of the critic T (after the activation) at samples of P and of Q, any shapes.

        Returns
        -------
        A scalar; its expectation is at most D_f(P || Q), whatever the critic. It is -infinity
        if a value of ``critic_q`` is outside the domain.
        """
        check_float(critic_p, "critic_p")
        check_float(critic_q, "critic_q")
        if critic_p.numel() == 0 or critic_q.numel() == 0:
            raise ValueError(
                f"critic_p and critic_q have {critic_p.numel()} and {critic_q.numel()} values; "
                "a mean needs at least one of each"
            )
        return critic_p.mean() - self.conjugate(critic_q).mean()


def _cost(price: float, mass: Tensor) -> Tensor:
    # 0 times infinity is 0 here: no mass, no cost.
    return torch.where(mass > 0, price * torch.where(mass > 0, mass, 1.0), 0.0)
