"""Hidden tests and public cases of the assignment `what-g-descends`. Keep this file to yourself.

The discriminator pays ``k.alpha`` for a real sample and ``k.beta`` for a fake one; ``k.mix`` weighs the
mixed cost, ``k.label`` and ``k.soft`` are smoothed labels. Every right value is computed here from the
drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.special import xlogy

from tools.grader.asking import Injection
from tools.grader.expressions import Formula, judge_formula
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Nothing,
    Question,
    Rule,
    Slip,
    Wrong,
    each,
    numbers,
    one_number,
    over,
    pure,
    same,
    say,
)

TITLE = "What the generator descends"


def constants(draw: Draw) -> dict[str, Any]:
    """Two weights without a common divisor, the mixed cost's, and two labels that do not add up to 1."""
    alpha, beta = draw.choice([(a, b) for a in (3, 4, 5, 7) for b in (3, 4, 5, 7) if a != b])
    return {
        "alpha": alpha,
        "beta": beta,
        "mix": draw.choice([2, 3, 4, 6]),
        "label": draw.choice([0.75, 0.8, 0.85, 0.9]),
        "soft": draw.choice([0.05, 0.08, 0.12]),
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer's number, so that one could be copied."""
    return (
        k.beta == other.beta
        or k.alpha * other.beta == k.beta * other.alpha
        or k.mix == other.mix
        or k.label == other.label
    )


SIGN = "the sign: "
UNWEIGHTED = "the weights of the question are missing."
EXCHANGED = "the two weights are exchanged."
BASE = "another base of the logarithm; logarithms here are natural."
MEAN = "a mean over the bins; an expectation is the sum of probability times value."
Point = dict[str, float]


def weights(k: Constants, alpha: float, beta: float) -> Constants:
    return Constants(**{**vars(k), "alpha": alpha, "beta": beta})


def sigmoid(s: float) -> float:
    return 1 / (1 + math.exp(-s))


# Question 1 -----------------------------------------------------------------------------------


def minimax(k: Constants, s: float) -> float:
    return -k.beta * sigmoid(s)


def saturates_not(k: Constants, s: float) -> float:
    return -k.beta * sigmoid(-s)


def mixed(k: Constants, s: float) -> float:
    return -sigmoid(-s) - k.mix * sigmoid(s)


IN_D = (
    "this is the slope in D. The network's layers receive the slope in the logit: multiply by dD/ds = "
    "D(1 - D)."
)
AS_COST = "this is the cost itself; the question asks for its slope."
NO_WEIGHT = "the weight of the fakes is missing."
MINIMAX = Rule(over(minimax), [
    Slip(over(lambda k, s: -minimax(k, s)), SIGN + "log(1 - D) falls as D grows.", 0.25),
    Slip(over(saturates_not), "this is the non-saturating cost's slope: the two are exchanged."),
    Slip(over(lambda k, s: minimax(k, s) / k.beta), NO_WEIGHT, 0.5),
    Slip(over(lambda k, s: -k.beta / (1 - sigmoid(s))), IN_D, 0.25),
    Slip(over(lambda k, s: -k.beta * math.log1p(math.exp(s))), AS_COST),
    Slip(over(lambda k, s: minimax(k, s) * sigmoid(-s)), "this is the slope of D: the denominator 1 - D "
         "cancels the factor 1 - D.", 0.25),
], rel=1e-8)  # fmt: skip
NON_SATURATING = Rule(over(saturates_not), [
    Slip(over(lambda k, s: -saturates_not(k, s)), SIGN + "this is the slope of log D, which the generator "
         "wants large; it minimises -log D.", 0.25),
    Slip(over(minimax), "this is the minimax cost's slope: the two are exchanged."),
    Slip(over(lambda k, s: saturates_not(k, s) / k.beta), NO_WEIGHT, 0.5),
    Slip(over(lambda k, s: -k.beta / sigmoid(s)), IN_D, 0.25),
    Slip(over(lambda k, s: k.beta * math.log1p(math.exp(-s))), AS_COST),
    Slip(over(lambda k, s: saturates_not(k, s) * sigmoid(s)), "this is the slope of D: the denominator D "
         "cancels the factor D.", 0.25),
], rel=1e-8)  # fmt: skip
MIXED = Rule(over(mixed), [
    Slip(over(lambda k, s: -mixed(k, s)), SIGN + "both parts fall as D grows.", 0.25),
    Slip(over(lambda k, s: -k.mix * sigmoid(-s) - sigmoid(s)), "the weight stands before the wrong part.", 0.5),
    Slip(over(lambda k, s: -1.0), "the weight of log(1 - D) is missing.", 0.25),
    Slip(over(lambda k, s: -sigmoid(-s) + k.mix * sigmoid(s)), SIGN + "log(1 - D) falls as well.", 0.25),
    Slip(over(lambda k, s: -1 / sigmoid(s) - k.mix / sigmoid(-s)), IN_D, 0.25),
    Slip(over(lambda k, s: k.beta * mixed(k, s)), "the mixed cost does not carry the weight of the fakes.", 0.5),
], rel=1e-8)  # fmt: skip
q1 = Question("q1", seconds=5)


def logits(draw: Draw) -> tuple[Point, ...]:
    """Four different logits, quarters, none of them 0."""
    found = {n for n in draw.integers(12, -14, 14) if n}
    return tuple({"s": n / 4} for n in sorted(found)[:4])


def slope(student: Any, draw: Draw, k: Constants, name: str, rule: Rule) -> None:
    judge_formula(student, rule, k, name, ["s"], rule.draw(draw, k, logits))


@q1.test(points=1)
def of_minimax(student: Any, draw: Draw, k: Constants) -> None:
    slope(student, draw, k, "slope_minimax", MINIMAX)


@q1.test(points=1)
def of_non_saturating(student: Any, draw: Draw, k: Constants) -> None:
    slope(student, draw, k, "slope_non_saturating", NON_SATURATING)


@q1.test(points=1)
def of_mixed(student: Any, draw: Draw, k: Constants) -> None:
    slope(student, draw, k, "slope_mixed", MIXED)


@q1.public
def _(k: Constants) -> list[Case]:
    at = {"s": 0.0}
    return [MINIMAX.case(k, "slope_minimax", (at,), "slope_minimax at s = 0", at=at)]


# Question 2 -----------------------------------------------------------------------------------


def table(k: Constants, s: Tensor) -> Tensor:
    up, down = s.double().sigmoid(), (-s.double()).sigmoid()
    return torch.stack([-k.beta * up, -k.beta * down, -down - k.mix * up])


def in_d(k: Constants, s: Tensor) -> Tensor:
    up, down = s.double().sigmoid(), (-s.double()).sigmoid()
    return torch.stack([-k.beta / down, -k.beta / up, -1 / up - k.mix / down])


TABLE = Rule(table, [
    Slip(lambda k, s: -table(k, s), SIGN + "every cost falls as the logit grows.", 0.25),
    Slip(lambda k, s: table(k, s)[[1, 0, 2]], "the first two rows are exchanged.", 0.25),
    Slip(in_d, IN_D, 0.25),
    Slip(lambda k, s: torch.cat([table(k, s)[:2] / k.beta, table(k, s)[2:]]), NO_WEIGHT, 0.5),
    Slip(lambda k, s: table(k, s) * s.double().sigmoid() * (-s.double()).sigmoid(), "multiplied by D(1 - D) "
         "twice."),
    Slip(lambda k, s: table(k, s) / len(s), "divided by the number of logits: each logit has its own slope.", 0.25),
])  # fmt: skip
q2 = Question("q2", seconds=5)


def rows(student: Any, s: Tensor) -> Any:
    """The reply of ``slopes``, of the right shape."""
    reply = student.call("slopes", s)
    if reply.value is None:
        raise Nothing("slopes")
    got = reply.tensor
    if got.shape != (3, len(s)):
        turned = got.shape == (len(s), 3)
        raise Wrong(
            f"slopes gives the shape {tuple(got.shape)}; due is (3, {len(s)})"
            + (": rows and columns are exchanged." if turned else ", a row for each cost."),
            0.5 if turned else 0.0,
        )
    return reply


@q2.test(points=1)
def moderate(student: Any, draw: Draw, k: Constants) -> None:
    (s,) = TABLE.draw(draw, k, lambda d: (d.normal(5, 2.0),))
    reply = rows(student, s)
    TABLE.judge(k, (s,), reply.tensor.flatten().tolist(), "slopes", say(s=s), (3, len(s)))
    pure(reply, ["s"])


@q2.test(points=1)
def huge(student: Any, draw: Draw, k: Constants) -> None:
    s = torch.tensor([1e4, -1e4, 200.0 + draw.integer(0, 99), -200.0 - draw.integer(0, 99)])
    found = rows(student, s).tensor
    if not bool(torch.isfinite(found).all()):
        raise Wrong(
            "slopes is not finite for logits of 200 and 10000: exp(s) overflows in float32, and inf/inf is "
            "nan. torch.sigmoid does not."
        )
    TABLE.judge(k, (s,), found.flatten().tolist(), "slopes", say(s=s), (3, len(s)))


@q2.test(points=1)
def tiny(student: Any, draw: Draw, k: Constants) -> None:
    """Slopes that almost vanish, to a relative error."""
    s = torch.tensor([draw.integer(24, 70) / 1.0, draw.integer(24, 70) / -1.0])
    got, due = rows(student, s).tensor.double(), table(k, s)
    for row, column, what in ((0, 1, "minimax"), (1, 0, "non-saturating")):
        mine, right = float(got[row, column]), float(due[row, column])
        if not abs(mine / right - 1) < 1e-4:
            zero = (
                " 1 - sigmoid(s) rounds to 0 in float32 for s > 17, sigmoid(-s) does not."
                if mine == 0
                else ""
            )
            raise Wrong(
                f"the {what} slope at s = {float(s[column]):g}: you get {mine:.6g}, due is {right:.6g}.{zero}"
            )


@q2.public
def _(k: Constants) -> list[Case]:
    s = torch.zeros(1)
    return [TABLE.case(k, "slopes", (s,), "slopes of one logit, 0", args=(s,))]


# Question 3 -----------------------------------------------------------------------------------


def for_kl(k: Constants, s: float) -> float:
    return -k.beta / k.alpha * math.exp(s)


def for_hellinger(k: Constants, s: float) -> float:
    return -math.sqrt(k.beta / k.alpha * math.exp(s)) / 2


PLAIN_D = "this is right for equal weights; with the weights of the question s* is not log(p/q)."
UP = SIGN + "a fake that looks more real must cost less."
FOR_KL = Rule(over(for_kl), [
    Slip(over(lambda k, s: for_kl(weights(k, 1, 1), s)), PLAIN_D, 0.5),
    Slip(over(lambda k, s: for_kl(weights(k, k.beta, k.alpha), s)), EXCHANGED, 0.5),
    Slip(over(lambda k, s: for_kl(k, s) / 2), "half of it: this descends KL(P || Q)/2.", 0.5),
    Slip(over(lambda k, s: for_kl(weights(k, 1, 1), s) / 2), "this is the book's cost for equal weights and "
         "half of KL(P || Q).", 0.25),
    Slip(over(lambda k, s: -for_kl(k, s)), UP, 0.25),
    Slip(over(lambda k, s: -s), "this descends KL(Q || P): the order of the arguments."),
    Slip(over(lambda k, s: -s + math.log(k.alpha / k.beta)), "this descends KL(Q || P): the order of the "
         "arguments."),
    Slip(over(lambda k, s: 1 + for_kl(k, s)), "a constant too much: it tends to 0 as s falls.", 0.75),
], rel=1e-8)  # fmt: skip
FOR_HELLINGER = Rule(over(for_hellinger), [
    Slip(over(lambda k, s: for_hellinger(weights(k, 1, 1), s)), PLAIN_D, 0.5),
    Slip(over(lambda k, s: for_hellinger(weights(k, k.beta, k.alpha), s)), EXCHANGED, 0.5),
    Slip(over(lambda k, s: 2 * for_hellinger(k, s)), "the factor 1/2 of the question is missing.", 0.5),
    Slip(over(lambda k, s: for_hellinger(k, s) / 2), "a factor 1/2 too much: this is the slope.", 0.5),
    Slip(over(lambda k, s: -for_hellinger(k, s)), UP, 0.25),
    Slip(over(lambda k, s: -math.sqrt(k.beta / k.alpha) * math.exp(s) / 2), "exp(s) is a multiple of p/q; "
         "the root of it is due.", 0.25),
    Slip(over(lambda k, s: (2 * for_hellinger(k, s) + 1) ** 2 / 2), "this is F itself; F(u) - u F'(u) is due."),
    Slip(over(lambda k, s: 0.5 + for_hellinger(k, s)), "a constant too much: it tends to 0 as s falls.", 0.75),
], rel=1e-8)  # fmt: skip
q3 = Question("q3", seconds=5)


@q3.test(points=1.5)
def towards_kl(student: Any, draw: Draw, k: Constants) -> None:
    slope(student, draw, k, "cost_kl", FOR_KL)


@q3.test(points=1.5)
def towards_hellinger(student: Any, draw: Draw, k: Constants) -> None:
    slope(student, draw, k, "cost_hellinger", FOR_HELLINGER)


@q3.public
def _(k: Constants) -> list[Case]:
    at = {"s": math.log(k.alpha / k.beta)}
    what = "cost_kl where s = log({}/{}), so that p = q"
    return [FOR_KL.case(k, "cost_kl", (at,), what.format(k.alpha, k.beta), at=at)]


# Question 4 -----------------------------------------------------------------------------------


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return (xlogy(p, p) - xlogy(p, q)).sum()


def parts(k: Constants, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """p, q and m in float64, and A."""
    p, q = p.double(), q.double()
    m = (k.alpha * p + k.beta * q) / (k.alpha + k.beta)
    return p, q, m, k.alpha * divergence(p, m) + k.beta * divergence(q, m)


def softened(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    p, _, m, _ = parts(k, p, q)
    return (k.alpha + k.beta) * divergence(m, p)


def plus(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    p, q, _, a = parts(k, p, q)
    return k.beta * divergence(q, p) + a


def half_mixture(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    """The mixture of equal weights in A."""
    p, q = p.double(), q.double()
    m = (p + q) / 2
    return k.beta * divergence(q, p) - k.alpha * divergence(p, m) - k.beta * divergence(q, m)


SOFTENED = Rule(softened, [
    Slip(lambda k, p, q: softened(weights(k, 1, 1), p, q), UNWEIGHTED, 0.25),
    Slip(lambda k, p, q: softened(weights(k, k.beta, k.alpha), p, q), EXCHANGED, 0.25),
    Slip(lambda k, p, q: softened(k, p, q) / (k.alpha + k.beta), "the factor before the KL divergence is missing: "
         "the weights are not divided by their sum.", 0.5),
    Slip(half_mixture, "the mixture M carries the weights as well; yours is the plain mean.", 0.25),
    Slip(lambda k, p, q: softened(k, p, q) - (k.beta - 1) * divergence(q.double(), p.double()), "the weight of KL(Q || P) "
         "is missing.", 0.5),
    Slip(lambda k, p, q: k.beta * divergence(p.double(), q.double()) - parts(k, p, q)[3], "the order of the arguments: "
         "the first term is KL(Q || P).", 0.25),
    Slip(plus, SIGN + "A is subtracted.", 0.25),
    Slip(lambda k, p, q: -softened(k, p, q), SIGN + "A is subtracted from the rest.", 0.25),
    Slip(lambda k, p, q: parts(k, p, q)[3], "this is A, what the minimax cost descends."),
    Slip(lambda k, p, q: k.beta * divergence(q.double(), p.double()), "A is missing."),
    Slip(lambda k, p, q: softened(k, p, q) / math.log(2), BASE, 0.5),
    Slip(lambda k, p, q: softened(k, p, q) / len(p), MEAN, 0.25),
])  # fmt: skip
ZERO_LOG = (
    "ns_divergence is nan at {}, where a bin is empty: 0 log 0 counts nothing. torch.where hides the value; "
    "torch.special.xlogy knows it."
)
q4 = Question("q4", seconds=5)


def on_bins(student: Any, draw: Draw, k: Constants, p_empty: list[int], q_empty: list[int]) -> None:
    p, q = SOFTENED.draw(draw, k, lambda d: (d.masses(5, p_empty), d.masses(5, q_empty)))
    reply = student.call("ns_divergence", p, q)
    got, case = one_number(reply), say(p=p, q=q)
    if math.isnan(got):
        raise Wrong(ZERO_LOG.format(case))
    if got == math.inf and q_empty:
        raise Wrong(f"ns_divergence is infinite at {case}, where a bin has q = 0 < p: only p = 0 < q costs that.")
    SOFTENED.judge(k, (p, q), [got], "ns_divergence", case)
    pure(reply, ["p", "q"])


def infinite(student: Any, draw: Draw) -> None:
    p, q = draw.masses(5, [1, 3]), draw.masses(5, [1])
    got, case = one_number(student.call("ns_divergence", p, q)), say(p=p, q=q)
    if math.isnan(got):
        raise Wrong(ZERO_LOG.format(case))
    if got != math.inf:
        raise Wrong(
            f"ns_divergence is {got:.6g} at {case}, where a bin has p = 0 < q: it is infinite. An epsilon, a "
            "clamp or a bin left out hides what the non-saturating cost punishes most."
        )


@q4.test(points=1.5)
def full_bins(student: Any, draw: Draw, k: Constants) -> None:
    on_bins(student, draw, k, [], [])


@q4.test(points=1.5)
def empty_bins(student: Any, draw: Draw, k: Constants) -> None:
    each([
        lambda: on_bins(student, draw, k, [], [2]),
        lambda: on_bins(student, draw, k, [1], [1, 3]),
        lambda: infinite(student, draw),
    ])  # fmt: skip


@q4.public
def _(k: Constants) -> list[Case]:
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    what = "ns_divergence of p = [0.5, 0.5] and q = [0.25, 0.75]"
    return [SOFTENED.case(k, "ns_divergence", (p, q), what, args=(p, q))]


# Question 5 -----------------------------------------------------------------------------------


def price_drop(k: Constants) -> float:
    return float(k.alpha * math.log((k.alpha + k.beta) / k.alpha))


def price_invent(k: Constants) -> float:
    return price_drop(weights(k, k.beta, k.alpha))


def whole(k: Constants) -> float:
    """A of two distributions that share nothing."""
    return price_drop(k) + price_invent(k)


def prices(mine: Any, other: Any) -> list[Slip]:
    return [
        Slip(over(other), "dropping and inventing are exchanged.", 0.25),
        Slip(over(whole), "this is the value where nothing is shared; only the share e is wrong.", 0.25),
        Slip(over(lambda k: math.log(2)), "log 2 is the price for two weights of 1.", 0.25),
        Slip(over(lambda k: mine(k) / (k.alpha + k.beta)), "divided by the sum of the weights.", 0.5),
        Slip(over(lambda k: -mine(k)), SIGN + "a fault costs.", 0.5),
        Slip(over(lambda k: mine(k) / math.log(2)), BASE, 0.5),
    ]  # fmt: skip


DROP = Rule(over(price_drop), [
    *prices(price_drop, price_invent),
    Slip(over(lambda k: price_drop(k) / k.alpha), "the weight before KL(P || M) is missing.", 0.5),
    Slip(over(lambda k: price_drop(k) - k.alpha * k.beta / (k.alpha + k.beta)), "KL(Q || M) has a part of first order "
         "as well: there q/m is not 1 on the common bins.", 0.5),
], rel=1e-8)  # fmt: skip
INVENT = Rule(over(price_invent), [
    *prices(price_invent, price_drop),
    Slip(over(lambda k: price_invent(k) / k.beta), "the weight before KL(Q || M) is missing.", 0.5),
    Slip(over(lambda k: price_invent(k) - k.alpha * k.beta / (k.alpha + k.beta)), "KL(P || M) has a part of first order "
         "as well: there p/m is not 1 on the common bins.", 0.5),
], rel=1e-8)  # fmt: skip
DROP_NS = Rule(over(lambda k: k.beta - price_drop(k)), [
    Slip(over(lambda k: -price_drop(k)), "KL(Q || P) is not 0: on the common bins q/p = 1/(1 - e).", 0.25),
    Slip(over(lambda k: price_drop(k) - k.beta), SIGN + "N is not negative.", 0.5),
    Slip(over(price_drop), "this is the price that A has."),
    Slip(over(lambda k: k.beta), "this is the price of KL(Q || P) alone; A's is subtracted.", 0.25),
    Slip(over(lambda k: 1 - price_drop(k)), "the weight of KL(Q || P) is missing.", 0.5),
    Slip(over(lambda k: 1 - math.log(2)), "this is the price for two weights of 1.", 0.25),
    Slip(over(lambda k: k.beta - price_invent(k)), "A's price of inventing is subtracted; dropping is asked for.", 0.25),
    Slip(over(lambda k: k.beta + price_drop(k)), SIGN + "A is subtracted.", 0.25),
], rel=1e-8)  # fmt: skip
q5 = Question("q5", seconds=5)


def price(student: Any, k: Constants, name: str, rule: Rule) -> None:
    got = Formula(student, name, [])
    rule.judge(k, ({},), got.at([{}]), name)
    got.settle()


@q5.test(points=0.5)
def dropped(student: Any, draw: Draw, k: Constants) -> None:
    price(student, k, "price_drop_minimax", DROP)


@q5.test(points=0.5)
def invented(student: Any, draw: Draw, k: Constants) -> None:
    price(student, k, "price_invent_minimax", INVENT)


@q5.test(points=1)
def dropped_softly(student: Any, draw: Draw, k: Constants) -> None:
    price(student, k, "price_drop_ns", DROP_NS)


# Question 6 -----------------------------------------------------------------------------------

#: A discriminator with rubbish in its gradients, made in the student's process and here.
HELPERS = """
import torch as _torch
def grader_player(seed):
    g = _torch.Generator().manual_seed(seed)
    layers = [_torch.nn.Linear(2, 4), _torch.nn.Tanh(), _torch.nn.Linear(4, 1)]
    player = _torch.nn.Sequential(*layers)
    for p in player.parameters():
        with _torch.no_grad():
            p.copy_(_torch.randn(p.shape, generator=g))
        p.grad = _torch.full_like(p, 0.5)
    return player
"""
mine: dict[str, Any] = {}
exec(HELPERS, mine)


def inject_player(k: Constants) -> Injection:
    return Injection(("grader_player",), HELPERS)


def player(seed: int) -> Any:
    return mine["grader_player"](seed).double()


def accuracy(seed: int, real: Tensor, fake: Tensor) -> tuple[float, float]:
    """The shares of real and of fake points on the right side."""
    with torch.no_grad():
        on_real, on_fake = player(seed)(real.double()) > 0, player(seed)(fake.double()) < 0
    return float(on_real.double().mean()), float(on_fake.double().mean())


Cost = Callable[[Constants, Tensor], Tensor]


def lost(k: Constants, s: Tensor) -> Tensor:
    return -k.beta * softplus(s)


def won(k: Constants, s: Tensor) -> Tensor:
    return k.beta * softplus(-s)


def gradients(k: Constants, seed: int, fake: Tensor, cost: Cost) -> Tensor:
    """The gradient of each fake's cost with respect to the fake, (n, 2)."""
    x = fake.double().requires_grad_()
    return torch.autograd.grad(cost(k, player(seed)(x)).sum(), x)[0]


def pulls(
    k: Constants,
    seed: int,
    real: Tensor,
    fake: Tensor,
    costs: tuple[Cost, Cost] = (lost, won),
    reduce: Callable[[Tensor], Tensor] = lambda g: g.mean(0).norm(),
    share: Callable[[float, float, int, int], float] = lambda a, b, n, m: (n * a + m * b) / (n + m),
) -> list[float]:
    a, b = accuracy(seed, real, fake)
    both = [float(reduce(gradients(k, seed, fake, cost))) for cost in costs]
    return [share(a, b, len(real), len(fake)), *both]


def by_logit(k: Constants, seed: int, real: Tensor, fake: Tensor) -> list[float]:
    s = player(seed)(fake.double()).detach()
    return [pulls(k, seed, real, fake)[0], *(float((k.beta * t.sigmoid()).mean()) for t in (s, -s))]


PULLS = Rule(pulls, [
    Slip(lambda k, *x: pulls(k, *x, costs=(won, lost)), "the two pulls are exchanged.", 0.5),
    Slip(lambda k, *x: pulls(k, *x, reduce=lambda g: g.sum(0).norm()), "the gradient of a sum over the fakes; "
         "the mean cost is asked for.", 0.5),
    Slip(lambda k, *x: pulls(k, *x, reduce=lambda g: g.norm(dim=1).mean()), "the mean length of the fakes' own "
         "gradients: those of one common shift cancel in part. Add first, then take the length.", 0.5),
    Slip(lambda k, *x: pulls(k, *x, reduce=lambda g: (g / len(g)).norm()), "the length of all the fakes' gradients "
         "in one long vector; a common shift has two numbers.", 0.5),
    Slip(lambda k, *x: pulls(weights(k, 1, 1), *x), "the weight of the fakes is missing.", 0.5),
    Slip(lambda k, *x: pulls(k, *x, reduce=lambda g: g.mean(0).square().sum()), "the square of the length.", 0.5),
    Slip(lambda k, *x: pulls(k, *x, reduce=lambda g: g.mean(0).abs().sum()), "the sum of the absolute values is not "
         "the length.", 0.5),
    Slip(by_logit, "the slope in the logit; the chain goes on to the fakes, through D.", 0.25),
    Slip(lambda k, *x: pulls(k, *x, share=lambda a, b, n, m: b), "the accuracy counts the fakes alone.", 0.75),
    Slip(lambda k, *x: pulls(k, *x, share=lambda a, b, n, m: (a + b) / 2), "the accuracy is a mean of two shares; "
         "it is the share of all points together.", 0.75),
    Slip(lambda k, *x: pulls(k, *x, share=lambda a, b, n, m: (n * (1 - a) + m * b) / (n + m)), "the accuracy counts "
         "real points that are called fake.", 0.75),
    Slip(lambda k, *x: pulls(k, *x, share=lambda a, b, n, m: 1 - (n * a + m * b) / (n + m)), "this is the share of "
         "errors.", 0.75),
], rel=2e-5)  # fmt: skip
THREE = "(accuracy, minimax pull, non-saturating pull)"
q6 = Question("q6", seconds=8, inject=inject_player)


def clouds(draw: Draw) -> tuple[int, Tensor, Tensor]:
    """A player's seed, four real points and seven fakes, none of them near the border."""
    while True:
        seed = draw.integer(0, 10**6)
        real, fake = draw.normal(8).reshape(4, 2), draw.normal(14).reshape(7, 2)
        with torch.no_grad():
            s = player(seed)(torch.cat([real, fake]).double())
        if s.abs().min() > 1e-3:
            return seed, real, fake


@q6.test(points=2)
def pulled(student: Any, draw: Draw, k: Constants) -> None:
    seed, real, fake = PULLS.draw(draw, k, clouds)
    D = student.make("grader_player", seed)
    got = numbers(student.call("pulls", D, real, fake), 3, THREE)
    PULLS.judge(k, (seed, real, fake), got, THREE, "the grader's D, 4 real points, 7 fakes")


@q6.test(points=1)
def leaves_no_trace(student: Any, draw: Draw, k: Constants) -> None:
    seed, real, fake = clouds(draw)
    D = student.make("grader_player", seed)
    reply = student.call("pulls", D, real, fake)
    numbers(reply, 3, THREE)
    before, after = player(seed), student.state(D)
    for name, parameter in before.named_parameters():
        if not torch.equal(after.parameters[name].double(), parameter.detach()):
            raise Wrong("pulls changes the weights of D.")
        left = after.gradients[name]
        if left is None or not bool((left == 0.5).all()):
            raise Wrong(
                "pulls changes what the gradients of D hold, and D is in the middle of its training: backward() "
                "adds to every .grad it meets. torch.autograd.grad(cost, shift) leaves no trace.",
                0.25,
            )
    if not all(after.trainable.values()):
        raise Wrong("after pulls the weights of D no longer ask for gradients: thaw what is frozen.", 0.25)
    pure(reply, ["D", "real", "fake"])


@q6.public
def _(k: Constants) -> list[Case]:
    half = k.beta * 5 / 2
    return [Case("try_pulls", [0.5, half, half],
                 [([0.5, 2.5, 2.5], NO_WEIGHT), ([0.5, 2 * half, 2 * half], "a sum over the two fakes.")],
                 f"{THREE} for the logit 3x + 4y, two real points and two fakes in the origin")]  # fmt: skip


# Question 7 -----------------------------------------------------------------------------------

RIGHT_PULLS = (
    HELPERS
    + """
import torch.nn.functional as _F
_seen = []
def grader_seen():
    found = list(_seen)
    _seen.clear()
    return found
def pulls(D, real, fake):
    shift = _torch.zeros(2, requires_grad=True)
    s_real, s_fake = D(real), D(fake + shift)
    right = (s_real > 0).sum() + (s_fake < 0).sum()
    found = [right.item() / (len(real) + len(fake))]
    for cost in (-_F.softplus(s_fake).mean(), _F.softplus(-s_fake).mean()):
        slope, = _torch.autograd.grad(BETA * cost, shift, retain_graph=True)
        found.append(slope.norm().item())
    loss = ALPHA * _F.softplus(-s_real).mean() + BETA * _F.softplus(s_fake).mean()
    own = list(D.parameters())
    flat = lambda values: _torch.cat([v.reshape(-1) for v in values]).tolist()
    _seen.append([flat(own), flat(_torch.autograd.grad(loss, own))])
    return tuple(found)
"""
)


def inject_pulls(k: Constants) -> Injection:
    source = RIGHT_PULLS.replace("ALPHA", str(k.alpha)).replace("BETA", str(k.beta))
    return Injection(("grader_player", "grader_seen", "pulls"), source)


q7 = Question("q7", seconds=40, inject=inject_pulls)


def watched(student: Any, real: Tensor, fake: Tensor, steps: int, every: int, seed: int) -> list[list[float]]:
    """What ``watch`` gives, as a list of triples."""
    value = student.call("watch", real, fake, steps, every, seed).value
    if value is None:
        raise Nothing("watch")
    value = getattr(value, "tensor", value)
    found = value.tolist() if isinstance(value, Tensor) else value
    if not isinstance(found, list | tuple) or not all(isinstance(t, list | tuple) and len(t) == 3 for t in found):
        raise Wrong("watch must return a list of what pulls gives, three numbers each.")
    if len(found) != steps // every + 1:
        raise Wrong(
            f"watch gives {len(found)} entries for {steps} steps, one after every {every}; due are "
            f"{steps // every + 1}: one before the first step, one after each {every}.",
            0.25,
        )
    return [[float(x) for x in t] for t in found]


def two_clouds(draw: Draw, n: int, far: float) -> tuple[Tensor, Tensor]:
    x = draw.normal(4 * n, 1.0).reshape(2, n, 2)
    return x[0], x[1] + torch.tensor([far, 0.0])


@q7.test(points=1)
def first_steps(student: Any, draw: Draw, k: Constants) -> None:
    """The weights before and after the first step of Adam, which is lr times the gradient's sign."""
    real, fake = two_clouds(draw, 24, 2.0)
    student.call("grader_seen")
    watched(student, real, fake, 2, 1, draw.integer(0, 999))
    seen = student.call("grader_seen").value
    if len(seen) != 3:
        raise Wrong("watch does not call your pulls before the first step and after each.", 0.25)
    (before, slope), (after, _), _ = seen
    moved = [
        (b - a, -0.01 * math.copysign(1, g))
        for a, b, g in zip(before, after, slope, strict=True)
        if abs(g) > 1e-3
    ]
    got, due = [m for m, _ in moved], [d for _, d in moved]
    if same(got, due, 2e-5):
        return
    if all(abs(m) < 1e-9 for m in got):
        raise Wrong("D does not move between the first two calls of pulls: is optimiser.step() there?")
    if same(got, [-d for d in due], 2e-5):
        raise Wrong("the first step goes uphill: D minimises L_D.")
    rate = common_size(got)
    if rate and not 0.009 < rate < 0.011:
        raise Wrong(f"the first step of Adam moves each weight by its rate; yours moves {rate:.3g}, due is 0.01.", 0.5)
    raise Wrong("the first step does not follow the gradient of L_D, with both weights, on all points.", 0.25)


def common_size(got: Sequence[float]) -> float:
    """The common size of all moves; 0 if they differ."""
    sizes = sorted(abs(x) for x in got)
    return sizes[0] if sizes and sizes[-1] < 1.05 * sizes[0] else 0.0


@q7.test(points=1)
def vanishes(student: Any, draw: Draw, k: Constants) -> None:
    """Far clouds: D wins, the minimax pull goes, the other stays; the seed decides.

    In 48 runs of the right answer over six variants the minimax pull ended at most at 0.17 of its largest
    value, the other at least 184 times as long, and the accuracy at 1.
    """
    real, fake = two_clouds(draw, 64, 8.0)
    seed = draw.integer(0, 999)
    found = watched(student, real, fake, 150, 15, seed)
    share, gone, stays = found[-1]
    if not (share > 0.95 and gone < 0.5 * max(t[1] for t in found) and stays > 30 * gone):
        said = ", ".join(f"{x:.3g}" for x in found[-1])
        raise Wrong(
            f"two clouds 8 apart, 150 steps: {THREE} ends at {said}. A trained D tells them apart, the minimax pull "
            "falls below half of its largest value, the other is more than thirty times as long.",
            0.25,
        )
    again, other = (watched(student, real, fake, 4, 2, s) for s in (seed, seed + 1))
    if again != watched(student, real, fake, 4, 2, seed):
        raise Wrong("the same seed gave two different lists.", 0.5)
    if again == other:
        raise Wrong("two seeds gave the same list: the seed passed in is not used.", 0.5)


@q7.public
def _(k: Constants) -> list[Case]:
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    D = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    share = float(((D(x) > 0).sum() + (D(x + 1) < 0).sum()) / 16)
    return [Case("try_watch", [3.0, share], [], "(entries, first accuracy) of watch with 6 steps and every = 3")]


# Question 8 -----------------------------------------------------------------------------------


def smooth(k: Constants, p: float, q: float, label: float = 0, soft: float = 0) -> float:
    return (k.alpha * label * p + k.beta * soft * q) / (k.alpha * p + k.beta * q)


def one_sided(k: Constants, p: float, q: float) -> float:
    return smooth(k, p, q, k.label)


def two_sided(k: Constants, p: float, q: float) -> float:
    return smooth(k, p, q, k.label, k.soft)


LABEL_ONLY = "(1 - label) log(1 - D) of the real samples is missing."
ONE_SIDED = Rule(over(one_sided), [
    Slip(over(lambda k, p, q: smooth(k, p, q, k.label, 1 - k.label)), "the fakes are smoothed too; their label "
         "is 0 here.", 0.25),
    Slip(over(two_sided), "this is the two-sided one."),
    Slip(over(lambda k, p, q: smooth(k, p, q, 1)), "this is the D without smoothing.", 0.25),
    Slip(over(lambda k, p, q: one_sided(weights(k, 1, 1), p, q)), UNWEIGHTED, 0.5),
    Slip(over(lambda k, p, q: one_sided(weights(k, k.beta, k.alpha), p, q)), EXCHANGED, 0.5),
    Slip(over(lambda k, p, q: k.alpha * k.label * p / (k.alpha * k.label * p + k.beta * q)), LABEL_ONLY, 0.25),
    Slip(over(lambda k, p, q: 1 - one_sided(k, p, q)), "this is 1 - D.", 0.25),
    Slip(over(lambda k, p, q: k.label * p / q), "this is no probability: log D and log(1 - D) both count."),
], rel=1e-8)  # fmt: skip
TWO_SIDED = Rule(over(two_sided), [
    Slip(over(lambda k, p, q: smooth(k, p, q, k.label, 1 - k.label)), "the label of the fakes is not one minus the "
         "other.", 0.5),
    Slip(over(one_sided), "this is the one-sided one."),
    Slip(over(lambda k, p, q: smooth(k, p, q, k.label, -k.soft)), SIGN + "the fakes' label pulls D up.", 0.25),
    Slip(over(lambda k, p, q: smooth(k, p, q, k.soft, k.label)), "the two labels are exchanged.", 0.5),
    Slip(over(lambda k, p, q: two_sided(weights(k, 1, 1), p, q)), UNWEIGHTED, 0.5),
    Slip(over(lambda k, p, q: two_sided(weights(k, k.beta, k.alpha), p, q)), EXCHANGED, 0.5),
    Slip(over(lambda k, p, q: 1 - two_sided(k, p, q)), "this is 1 - D.", 0.25),
], rel=1e-8)  # fmt: skip


def left(k: Constants, r: float) -> float:
    return k.label * (1 - r) / (1 - k.label * r)


FACTOR = Rule(over(left), [
    Slip(over(lambda k, r: 1.0), "that is the non-saturating generator's factor.", 0.25),
    Slip(over(lambda k, r: k.label), "only the slope of D shrinks by the label; 1 - D below the line changes "
         "too.", 0.25),
    Slip(over(lambda k, r: 1 / left(k, r)), "upside down.", 0.25),
    Slip(over(lambda k, r: -left(k, r)), SIGN + "both slopes point the same way.", 0.5),
    Slip(over(lambda k, r: k.label / (1 - k.label * r)), "the factor 1 - r is missing: the slope of log(1 - r) is "
         "-1/(1 - r).", 0.5),
    Slip(over(lambda k, r: (1 - r) / (1 - k.label * r)), "the label before r is missing in the slope of D.", 0.5),
    Slip(over(lambda k, r: (1 - k.label * r) / (1 - r)), "this is the ratio of the two 1 - D.", 0.0),
], rel=1e-8)  # fmt: skip
q8 = Question("q8", seconds=5)


def fractions(draw: Draw, names: Sequence[str]) -> tuple[Point, ...]:
    """Four points, twentieths of (0, 1)."""
    return tuple({name: draw.integer(1, 19) / 20 for name in names} for _ in range(4))


@q8.test(points=1)
def one_side(student: Any, draw: Draw, k: Constants) -> None:
    points = ONE_SIDED.draw(draw, k, lambda d: fractions(d, "pq"))
    judge_formula(student, ONE_SIDED, k, "D_one_sided", ["p", "q"], points)


@q8.test(points=1)
def two_sides(student: Any, draw: Draw, k: Constants) -> None:
    points = TWO_SIDED.draw(draw, k, lambda d: fractions(d, "pq"))
    judge_formula(student, TWO_SIDED, k, "D_two_sided", ["p", "q"], points)


@q8.test(points=1)
def what_is_left(student: Any, draw: Draw, k: Constants) -> None:
    points = FACTOR.draw(draw, k, lambda d: fractions(d, "r"))
    judge_formula(student, FACTOR, k, "factor", ["r"], points)


@q8.public
def _(k: Constants) -> list[Case]:
    at = {"p": 0.5, "q": 0.5}
    return [ONE_SIDED.case(k, "D_one_sided", (at,), "D_one_sided where p = q", at=at)]


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7, q8]
