"""GAN objectives: what the discriminator minimises, what the generator minimises.

An objective is three formulas of one critic output ``s``: the discriminator's cost on a real
sample, its cost on a generated sample, and the generator's cost on a generated sample. Each is
a SymPy expression, the chapters prove theorems about those very expressions, and torch
functions are made from them by :func:`ganlib.formulas.compile_formula`. Options of an objective
are functions from one to another: :func:`smoothed`, :func:`flipped`, :func:`one_of`.

Critic outputs are *raw*: a logit for the logarithmic losses, any real number for the others.
No sigmoid belongs at the end of a discriminator here.

Derived in `the-game` (minimax), `generator-losses` (non-saturating, maximum likelihood, hinge),
`lsgan` (least squares), `wasserstein` and `f-gan`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sympy as sp
from torch import Tensor

from ganlib.checks import check_float
from ganlib.divergences import FDivergence
from ganlib.divergences import v as _v
from ganlib.formulas import compile_formula, critic_output, exact, positive_part, softplus

__all__ = [
    "Loss",
    "critic_output",
    "f_gan",
    "flipped",
    "hinge",
    "least_squares",
    "maximum_likelihood",
    "minimax",
    "non_saturating",
    "one_of",
    "smoothed",
    "wasserstein",
]

_s = critic_output


@dataclass(frozen=True)
class Loss:
    """A GAN objective as three formulas in :data:`critic_output`, all to be minimised.

    The torch functions are compiled here, once: calling the loss touches no SymPy.

    Attributes
    ----------
    name
        The field's name for the objective.
    on_real, on_fake
        The discriminator's cost of one real and of one generated sample.
    of_generator
        The generator's cost of one generated sample.
    symbols
        The formulas' free symbols other than :data:`critic_output`, by name: ``least_squares``
        with symbols for its targets, the selector of :func:`one_of`. Both methods take their
        values, in this order.

    Raises
    ------
    ValueError
        If a formula has no torch function, see :func:`ganlib.formulas.compile_formula`.

    Examples
    --------
    >>> mine = Loss("mine", -critic_output, critic_output, -critic_output)
    >>> mine.discriminator(torch.tensor([2.0]), torch.tensor([0.5]))
    tensor(-1.5000)
    >>> mine.generator(torch.tensor([0.5]))
    tensor(-0.5000)
    """

    name: str
    on_real: sp.Expr
    on_fake: sp.Expr
    of_generator: sp.Expr
    symbols: tuple[sp.Symbol, ...] = field(init=False, repr=False, compare=False)
    _costs: tuple[Callable[..., Tensor], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        formulas = (self.on_real, self.on_fake, self.of_generator)
        free = set[sp.Symbol]().union(*(formula.free_symbols for formula in formulas)) - {_s}
        symbols = tuple(sorted(free, key=lambda symbol: symbol.name))
        # The one way to derive a field of a frozen dataclass.
        object.__setattr__(self, "symbols", symbols)
        compiled = tuple(compile_formula(formula, _s, *symbols) for formula in formulas)
        object.__setattr__(self, "_costs", compiled)

    def __reduce__(self) -> tuple[Callable[..., Loss], tuple[object, ...]]:
        return Loss, (self.name, self.on_real, self.on_fake, self.of_generator)

    def discriminator(self, real: Tensor, fake: Tensor, *values: Tensor | float) -> Tensor:
        """Discriminator loss: mean cost on real plus mean cost on fake.

        Parameters
        ----------
        real, fake
            Raw critic outputs, any shape, any float dtype; the two may differ in length.
        *values
            A number or 0-d tensor for each of :attr:`symbols`.

        Returns
        -------
        A scalar tensor in the dtype of the inputs.

        Raises
        ------
        TypeError, ValueError
            For outputs that are no floating-point tensors, or empty; for too few or too many
            values.
        """
        _check(real, "real")
        _check(fake, "fake")
        on_real, on_fake, _ = self._costs
        cost_real = on_real(real, *self._values(values, real))
        cost_fake = on_fake(fake, *self._values(values, fake))
        return cost_real.mean() + cost_fake.mean()

    def generator(self, fake: Tensor, *values: Tensor | float) -> Tensor:
        """Generator loss: mean cost of the raw critic outputs ``fake`` (a scalar tensor).

        ``values`` as for :meth:`discriminator`, which see for errors too.
        """
        _check(fake, "fake")
        return self._costs[2](fake, *self._values(values, fake)).mean()

    def _values(self, values: tuple[Tensor | float, ...], like: Tensor) -> list[Tensor]:
        if len(values) != len(self.symbols):
            names = ", ".join(str(symbol) for symbol in self.symbols)
            raise ValueError(
                f"{self.name} got {len(values)} values for its {len(self.symbols)} symbols; pass "
                + (f"one for each of {names}, in this order" if names else "the outputs alone")
            )
        return [v if isinstance(v, Tensor) else like.new_full((), v) for v in values]


def _check(output: Tensor, what: str) -> None:
    check_float(output, what)
    if output.numel() == 0:
        raise ValueError(f"{what} is empty (shape {tuple(output.shape)}); pass at least one output")


def minimax() -> Loss:
    """The zero-sum game: D = sigmoid(s), V = E log D(x) + E log(1 - D(G(z))).

    The discriminator minimises -V, the generator log(1 - D). Derived in `the-game`
    (Goodfellow et al. 2014, equation 1). Its slope in s is -D: it saturates as D -> 0.

    Examples
    --------
    A critic that cannot tell, D = 1/2, pays 2 log 2; the generator's cost is log(1/2).

    >>> undecided = torch.zeros(4)
    >>> minimax().discriminator(undecided, undecided)
    tensor(1.3863)
    >>> minimax().generator(undecided)
    tensor(-0.6931)
    """
    return Loss("minimax", softplus(-_s), softplus(_s), -softplus(_s))


def non_saturating() -> Loss:
    """The discriminator of :func:`minimax` with the generator cost -log D.

    Derived in `generator-losses` (Goodfellow et al. 2014, section 3): slope -(1 - D).

    Examples
    --------
    Where D takes a sample for generated, the slope is all but -1:

    >>> fake = torch.tensor([-4.0], requires_grad=True)
    >>> non_saturating().generator(fake).backward()
    >>> fake.grad
    tensor([-0.9820])
    """
    return Loss("non-saturating", softplus(-_s), softplus(_s), softplus(-_s))


def maximum_likelihood() -> Loss:
    """The discriminator of :func:`minimax` with the generator cost -exp(s) / 2.

    With the optimal D held fixed, its gradient is that of KL(p || q) / 2. Derived in
    `generator-losses` (Goodfellow 2016 tutorial, section 3.2.4). Beyond s = 88.7 the true value is
    outside float32, and the loss is -inf.

    Examples
    --------
    >>> maximum_likelihood().generator(torch.tensor([0.0]))
    tensor(-0.5000)
    """
    return Loss("maximum likelihood", softplus(-_s), softplus(_s), -sp.exp(_s) / 2)


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Loss:
    """LSGAN: targets a for fakes, b for real samples, c for what the generator wants.

    D minimises (E(s - b)^2 + E(s - a)^2) / 2, G minimises E(s - c)^2 / 2. Derived in `lsgan`
    (Mao et al. 2017, equation 2). The default is the 0-1 coding.

    Raises
    ------
    ValueError
        If a = b: the discriminator would have nothing to tell apart.

    Examples
    --------
    A critic that says 1 on everything is right on real samples, and pays 1/2 for generated ones:

    >>> least_squares().discriminator(torch.ones(3), torch.ones(3))
    tensor(0.5000)
    >>> least_squares(a=-1, b=1, c=0).generator(torch.tensor([2.0]))
    tensor(2.)
    """
    given = {"a": a, "b": b, "c": c}
    targets = {name: exact(value) for name, value in given.items()}
    for name, value in targets.items():
        if not value.is_finite:
            raise ValueError(f"{name} = {given[name]!r} is no target; pass a finite number")
    if targets["a"] == targets["b"]:
        raise ValueError(
            f"a = b = {a}: real and fake have one target, so no discriminator can be learnt; "
            "choose a different from b, for example a=0, b=1, c=1"
        )
    cost = {name: (_s - value) ** 2 / 2 for name, value in targets.items()}
    return Loss("least squares", cost["b"], cost["a"], cost["c"])


def wasserstein() -> Loss:
    """The Wasserstein critic's loss E f(fake) - E f(real), and -E f(fake) for the generator.

    It bounds W1 only while the critic is 1-Lipschitz, which a penalty
    (:func:`ganlib.penalties.gradient_penalty`) or clipping has to enforce. Derived in
    `wasserstein` (Arjovsky et al. 2017).

    Examples
    --------
    >>> wasserstein().discriminator(torch.tensor([3.0, 5.0]), torch.tensor([1.0]))
    tensor(-3.)
    """
    return Loss("Wasserstein", -_s, _s, -_s)


def hinge() -> Loss:
    """The hinge loss: max(0, 1 - s) on real, max(0, 1 + s) on fake, -s for the generator.

    Derived in `generator-losses` (Lim and Ye 2017; Miyato et al. 2018): at its optimum the
    discriminator pays 2 (1 - TV).

    Examples
    --------
    Outputs beyond 1 on the right side cost nothing:

    >>> hinge().discriminator(torch.tensor([2.0, 0.5]), torch.tensor([-1.0]))
    tensor(0.2500)
    """
    return Loss("hinge", positive_part(1 - _s), positive_part(1 + _s), -_s)


def f_gan(divergence: FDivergence) -> Loss:
    """Train with any f-divergence: F = E g_f(V) on real - E f*(g_f(V)) on fake.

    The critic's raw output is V, its activation g_f is part of the loss. The discriminator
    minimises -F, which is -D_f(P || Q) at its optimum; the generator minimises F, of which
    only -E f*(g_f(V)) depends on it. The row ``gan`` is :func:`minimax`. Derived in `f-gan`
    (Nowozin et al. 2016, equation 6).

    Parameters
    ----------
    divergence
        From :func:`ganlib.divergences.divergence`.

    Examples
    --------
    >>> from ganlib.divergences import divergence
    >>> f_gan(divergence("kl")).generator(torch.tensor([1.0]))  # -exp(v - 1)
    tensor(-1.)
    >>> s = torch.tensor([0.3])
    >>> torch.allclose(f_gan(divergence("gan")).generator(s), minimax().generator(s))
    True
    """
    if not isinstance(divergence, FDivergence):
        raise TypeError(
            f"f_gan got {divergence!r}; pass an f-divergence, for example "
            "f_gan(ganlib.divergences.divergence('kl'))"
        )
    on_real = -divergence.stable.activation.subs(_v, _s)
    on_fake = divergence.stable.conjugate_of_activation.subs(_v, _s)
    return Loss(f"f-GAN, {divergence.title}", on_real, on_fake, -on_fake)


def one_of(selector: sp.Symbol, *losses: Loss) -> Loss:
    """Several objectives in one: the value of a symbol picks the one that counts.

    Value and slope are those of the objective picked, to the last bit; an objective that
    overflows where it is not picked has no influence. The value comes with the settings of a
    step, so one compiled step serves every loss of a menu:
    ``pure(Game(g, d, one_of(k, minimax(), hinge())), settings={"k": 0})``.

    Parameters
    ----------
    selector
        A plain or real symbol other than :data:`critic_output`. At 0 the first objective counts,
        at 1 the second, and so on; at any other value the last.
    *losses
        The objectives. Their own symbols stay symbols.

    Raises
    ------
    TypeError, ValueError
        For no loss at all, for what is no loss, or if the selector is the critic's output or
        assumed to be so that it cannot have every value.

    Examples
    --------
    >>> import sympy as sp
    >>> k = sp.Symbol("k", real=True)
    >>> either = one_of(k, minimax(), wasserstein())
    >>> either.generator(torch.tensor([2.0]), 1)  # the second one, -s
    tensor(-2.)
    """
    if not losses:
        raise ValueError("one_of got no loss; pass at least one, for example minimax()")
    if selector == _s:
        raise ValueError(f"the selector is {_s}, the critic's output; use another symbol")
    for loss in losses:
        _check_loss(loss, "one_of")
    # Of Symbol("k", positive=True) SymPy knows that it is not 0, and would drop the first loss.
    if any(sp.Eq(selector, i) in (True, False) for i in range(len(losses))):
        raise ValueError(
            f"the selector {selector!r} is assumed to be so that it cannot pick every loss; use a "
            f"plain real symbol: sympy.Symbol('{selector}', real=True)"
        )

    def choice(formulas: list[sp.Expr]) -> sp.Expr:
        # A formula that several objectives share is written, and compiled, once.
        at = {formula: [i for i, f in enumerate(formulas) if f == formula] for formula in formulas}
        *others, last = sorted(at, key=lambda formula: at[formula][-1])
        pieces = [(f, sp.Or(*(sp.Eq(selector, i) for i in at[f]))) for f in others]
        return sp.Piecewise(*pieces, (last, True))

    return Loss(
        "one of " + ", ".join(loss.name for loss in losses),
        choice([loss.on_real for loss in losses]),
        choice([loss.on_fake for loss in losses]),
        choice([loss.of_generator for loss in losses]),
    )


def smoothed(loss: Loss, real: float | sp.Expr = 0.9, fake: float | sp.Expr = 0.0) -> Loss:
    """Label smoothing: a real sample is charged as real with weight ``real``, else as fake.

    The cost on real becomes real * on_real + (1 - real) * on_fake, that on fake fake * on_real +
    (1 - fake) * on_fake; the generator's cost stays. Summed under the integral the discriminator
    then pays P on_real + Q on_fake with P = real p + fake q and Q = (1 - real) p + (1 - fake) q:
    its optimum is that of the plain loss with P, Q for p, q. For the losses of a logit it is
    D = P / (p + q) (Goodfellow 2016 tutorial, section 4.2): with fake = 0 the plain D times
    ``real``; with fake > 0, D is high where the *generator* is and no data are, and keeps samples
    there. For least squares the targets move, from b to real b + (1 - real) a and from a to
    fake b + (1 - fake) a, and a constant is added. The hinge stays a decision, at P = Q.

    Parameters
    ----------
    loss
        Any objective whose discriminator's cost keeps a minimum.
    real, fake
        The labels, 0 <= fake < real <= 1: numbers, or symbols whose values come with the others
        of the loss. 1 and 0 are the plain loss.

    Raises
    ------
    ValueError
        For labels outside their range, or a loss of straight lines (Wasserstein): its critic
        would lower its cost without end by adding a constant to all outputs.

    Examples
    --------
    With the label 0.9 the best D on real samples alone is 0.9, at the logit log 9:

    >>> s = torch.tensor([9.0]).log().requires_grad_()
    >>> smoothed(minimax()).discriminator(s, torch.tensor([-50.0])).backward()
    >>> s.grad.abs() < 1e-6
    tensor([True])
    """
    r, f = _label("real", real), _label("fake", fake)
    if (r - f).is_number and not r > f:
        raise ValueError(
            f"real = {real} and fake = {fake}; the label of real samples must be the higher one, "
            "for example real=0.9, fake=0.0"
        )
    _check_loss(loss, "smoothed")
    straight = any(
        all(sp.diff(cost, _s).is_number for cost in pair)
        for pair in _picked(loss.on_real, loss.on_fake)
    )
    if straight and r + f != 1:
        raise ValueError(
            f"{loss.name} has costs that are straight lines: with labels {real} and {fake} its "
            "critic gains without end by adding a constant to every output; use a loss of labels, "
            "such as minimax(), or labels of sum 1, which scale the cost"
        )
    return _relabelled(loss, f"{loss.name}, labels {real} and {fake}", r, f)


def flipped(loss: Loss, rate: float | sp.Expr) -> Loss:
    """Noisy labels: a share ``rate`` of all labels is swapped, in expectation.

    The cost on real becomes (1 - rate) * on_real + rate * on_fake, that on fake the reverse: it
    is :func:`smoothed` with labels 1 - rate and rate, so for the losses of a logit the optimum is
    D = ((1 - rate) p + rate q) / (p + q). The generator's cost stays. The Wasserstein loss is
    scaled by 1 - 2 rate.

    Parameters
    ----------
    loss
        Any objective.
    rate
        0 <= rate < 1/2, or a symbol whose value comes with the others of the loss.

    Raises
    ------
    ValueError
        For a rate outside its range: at 1/2 the labels say nothing.

    Examples
    --------
    >>> flipped(wasserstein(), 0.1).discriminator(torch.tensor([1.0]), torch.tensor([0.0]))
    tensor(-0.8000)
    """
    _check_loss(loss, "flipped")
    share = _label("rate", rate)
    if share.is_number and not share < sp.S.Half:
        raise ValueError(
            f"rate = {rate}; a share of swapped labels is below 1/2, where they say nothing"
        )
    return _relabelled(loss, f"{loss.name}, a share {rate} of labels flipped", 1 - share, share)


def _picked(*costs: sp.Expr) -> Iterator[tuple[sp.Expr, ...]]:
    # The costs under every choice that a selector of one_of can make.
    values: dict[sp.Symbol, set[sp.Expr]] = {}
    for equation in set[sp.Eq]().union(*(cost.atoms(sp.Eq) for cost in costs)):
        if equation.lhs.is_Symbol and equation.lhs != _s and equation.rhs.is_Integer:
            values.setdefault(equation.lhs, set()).add(equation.rhs)
    choices = [[*found, max(found) + 1] for found in values.values()]
    for choice in itertools.product(*choices):
        yield tuple(cost.subs(zip(values, choice, strict=True)) for cost in costs)


def _check_loss(loss: object, caller: str) -> None:
    if not isinstance(loss, Loss):
        name = getattr(loss, "__name__", None)
        raise TypeError(
            f"{caller} got {name or repr(loss)}, which is no Loss; "
            + (f"call it: {name}()" if name else "pass one, for example minimax()")
        )


def _label(name: str, value: float | sp.Expr) -> sp.Expr:
    label = exact(value)
    if label.has(_s) or (label.is_number and not (label.is_real and 0 <= label <= 1)):
        raise ValueError(
            f"{name} = {value}; pass a number from 0 to 1, or a symbol other than {_s}"
        )
    return label


def _relabelled(loss: Loss, name: str, real: sp.Expr, fake: sp.Expr) -> Loss:
    def cost(label: sp.Expr) -> sp.Expr:
        return label * loss.on_real + (1 - label) * loss.on_fake

    return Loss(name, cost(real), cost(fake), loss.of_generator)
