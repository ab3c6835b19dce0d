"""Hidden tests and public cases of the assignment `how-wrong`. Keep this file to yourself.

``k.alpha`` and ``k.beta`` weigh the two sides of the Jensen-Shannon divergence, and the two bumps of
the data. Every right value is computed here from the drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.special import xlogy

from tools.grader.expressions import Formula, judge_formula
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Question,
    Rule,
    Slip,
    Wrong,
    each,
    numbers,
    one_number,
    over,
    plain,
    pure,
    same,
    say,
)

TITLE = "How wrong is a distribution?"

WEIGHTS = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2), (1, 4), (4, 1), (3, 4), (4, 3)]
COSTS = [(2, 3), (2, 5), (3, 4), (3, 5), (4, 5), (4, 7), (5, 2), (5, 3), (7, 4)]


def constants(draw: Draw) -> dict[str, Any]:
    """Two weights, a power, two costs of transport, six claims in some order."""
    alpha, beta = draw.choice(WEIGHTS)
    right, left = draw.choice(COSTS)
    power = draw.integer(3, 6)
    cap, part = draw.integer(5, 40), draw.integer(20, 90)
    k = Constants(alpha=alpha, beta=beta, right=right, left=left, power=power, cap=cap, part=part)
    chosen = [*some(draw, TRUE, 3), *some(draw, FALSE, 3)]
    order = some(draw, chosen, 6)
    claims = {f"claim_{letter}": CLAIMS[name].text(k) for letter, name in zip("ABCDEF", order, strict=True)}
    return {**vars(k), "power_less": power - 1, "order": "".join(order), **claims}


def some(draw: Draw, names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names, in random order."""
    left = list(names)
    return [left.pop(draw.integer(0, len(left) - 1)) for _ in range(count)]


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer, so that one could be copied."""
    return (
        k.alpha * other.beta == k.beta * other.alpha
        or k.right * other.left == k.left * other.right
        or k.power == other.power
        or false_letters(k) == false_letters(other)
    )


BASE = "another base of the logarithm; the unit here is the nat, of natural logarithms."
MEAN = "a mean over the bins; an expectation is the sum of probability times value."
SIGN = "the sign: a divergence is never negative."
HALF = "the factor 1/2 is missing."


# Right values ---------------------------------------------------------------------------------


def kl(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    p, q = p.double(), q.double()
    return (xlogy(p, p) - xlogy(p, q)).sum()


def mixed(p: Tensor, q: Tensor, inside: float, outside: float) -> Tensor:
    """A Jensen-Shannon divergence with one weight in the mixture and one outside."""
    m = inside * p.double() + (1 - inside) * q.double()
    none = Constants()
    return outside * kl(none, p, m) + (1 - outside) * kl(none, q, m)


def share(k: Constants) -> float:
    """The weight of P, and of the first bump."""
    return float(k.alpha / (k.alpha + k.beta))


def jsd(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    return mixed(p, q, share(k), share(k))


def chi(k: Constants, p: Tensor, q: Tensor, power: float = 0) -> Tensor:
    p, q, power = p.double(), q.double(), power or k.power
    far = (p - q).abs() ** power / torch.where(q > 0, q, 1.0) ** (power - 1)
    return torch.where((q == 0) & (p > 0), math.inf, far).sum()


def tv(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    return (p.double() - q.double()).abs().sum() / 2


def hellinger(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    return ((p.double().sqrt() - q.double().sqrt()) ** 2).sum() / 2


# Question 1 -----------------------------------------------------------------------------------

KL = Rule(kl, [
    Slip(lambda k, p, q: kl(k, q, p), "the order of the arguments: KL(P || Q) takes its mean over P, "
         "the first one.", keeps=0.25),
    Slip(lambda k, p, q: -kl(k, p, q), SIGN + " It is p log(p/q), not p log(q/p).", keeps=0.25),
    Slip(lambda k, p, q: -kl(k, q, p), SIGN + " And the mean is over P."),
    Slip(lambda k, p, q: kl(k, p, q) / math.log(2), BASE, keeps=0.5),
    Slip(lambda k, p, q: kl(k, p, q) / math.log(10), BASE, keeps=0.5),
    Slip(lambda k, p, q: kl(k, p, q) / len(p), MEAN, keeps=0.25),
    Slip(lambda k, p, q: (p.double() / q.double()).log().sum(), "the weights are missing: each "
         "log(p/q) is multiplied by p."),
    Slip(lambda k, p, q: -(p.double() * q.double().log()).sum(), "this is the cross-entropy; the "
         "entropy of P is still to be subtracted.", keeps=0.25),
    Slip(lambda k, p, q: kl(k, p, q) + kl(k, q, p), "this is the sum of both directions."),
])  # fmt: skip
BOOK_JSD = "the weights of the question are missing: this is the JSD of equal weights."
WEIGHTS_OUT = "the two KL divergences are added without their weights."
JSD = Rule(jsd, [
    Slip(lambda k, p, q: mixed(p, q, 0.5, 0.5), BOOK_JSD, keeps=0.5),
    Slip(lambda k, p, q: 2 * mixed(p, q, 0.5, 0.5), BOOK_JSD + " The factor 1/2 is missing too.",
         keeps=0.25),
    Slip(lambda k, p, q: jsd_unweighted(k, p, q), WEIGHTS_OUT, keeps=0.25),
    Slip(lambda k, p, q: mixed(p, q, 0.5, share(k)), "the mixture M has the same weights as the two "
         "divergences; here it is the plain mean.", keeps=0.25),
    Slip(lambda k, p, q: mixed(p, q, share(k), 0.5), "the weights stand in the mixture only; the two "
         "divergences are weighted too.", keeps=0.25),
    Slip(lambda k, p, q: mixed(p, q, 1 - share(k), 1 - share(k)), "the two weights are exchanged.",
         keeps=0.5),
    Slip(lambda k, p, q: (k.alpha + k.beta) * jsd(k, p, q), "the weights must be divided by their "
         "sum.", keeps=0.5),
    Slip(lambda k, p, q: jsd(k, p, q) / math.log(2), BASE, keeps=0.5),
    Slip(lambda k, p, q: -jsd(k, p, q), SIGN, keeps=0.25),
    Slip(lambda k, p, q: share(k) * kl(k, p, middle(k, p, q)), "one half is missing: KL(Q || M).",
         keeps=0.25),
    Slip(lambda k, p, q: jsd(k, p, q) / len(p), MEAN, keeps=0.25),
])  # fmt: skip
CHI = Rule(chi, [
    Slip(lambda k, p, q: chi(k, q, p), "the order of the arguments: the power of Q, the second one, "
         "stands below the line.", keeps=0.25),
    Slip(lambda k, p, q: chi(k, p, q, 2), "this is the chi-square of the power 2.", keeps=0.25),
    Slip(lambda k, p, q: ((p.double() - q.double()).abs() ** k.power / q.double()).sum(), "the power "
         "of q below the line is missing.", keeps=0.25),
    Slip(lambda k, p, q: ((p.double() - q.double()).abs() ** k.power / q.double() ** k.power).sum(),
         "the power of q below the line is one less than the power above.", keeps=0.5),
    Slip(lambda k, p, q: ((p.double() - q.double()) ** k.power / q.double() ** (k.power - 1)).sum(),
         "the absolute value is missing: with an odd power the terms cancel.", keeps=0.25, near=True),
    Slip(lambda k, p, q: chi(k, p, q) / len(p), MEAN, keeps=0.25),
])  # fmt: skip
TV = Rule(tv, [
    Slip(lambda k, p, q: 2 * tv(k, p, q), HALF, keeps=0.5),
    Slip(lambda k, p, q: ((p.double() - q.double()) ** 2).sum() / 2, "the absolute value, not the "
         "square."),
    Slip(lambda k, p, q: (p.double() - q.double()).sum() / 2, "the absolute value is missing: "
         "without it the sum is zero for any two distributions."),
    Slip(lambda k, p, q: tv(k, p, q) / len(p), MEAN, keeps=0.25),
    Slip(lambda k, p, q: tv(k, p, q) * 2 / len(p), MEAN, keeps=0.25),
])  # fmt: skip
HELLINGER = Rule(hellinger, [
    Slip(lambda k, p, q: 2 * hellinger(k, p, q), HALF, keeps=0.5),
    Slip(lambda k, p, q: hellinger(k, p, q).sqrt(), "this is its square root, the Hellinger "
         "distance; the question asks for the square.", keeps=0.5),
    Slip(lambda k, p, q: 1 - hellinger(k, p, q), "this is the overlap, the sum of the roots of p q; "
         "the question's is one minus it.", keeps=0.25),
    Slip(lambda k, p, q: ((p.double() - q.double()) ** 2).sum() / 2, "the roots are missing."),
    Slip(lambda k, p, q: hellinger(k, p, q) / len(p), MEAN, keeps=0.25),
])  # fmt: skip


def middle(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    return share(k) * p.double() + (1 - share(k)) * q.double()


def jsd_unweighted(k: Constants, p: Tensor, q: Tensor) -> Tensor:
    return kl(k, p, middle(k, p, q)) + kl(k, q, middle(k, p, q))


ZERO_LOG = (
    " is nan where p = 0: that is 0 log 0. Such a bin counts nothing in KL (t log t goes to 0 with t): "
    "torch.where hides the value, torch.special.xlogy knows it."
)


def on_bins(student: Any, draw: Draw, k: Constants, name: str, rule: Rule, empty: tuple[Any, Any]) -> None:
    p, q = rule.draw(draw, k, lambda x: (x.masses(5, empty[0]), x.masses(5, empty[1])))
    reply = student.call(name, p, q)
    got = one_number(reply)
    case = say(p=p, q=q)
    if math.isnan(got):
        raise Wrong(f"{name}{ZERO_LOG} ({case})")
    rule.judge(k, (p, q), [got], name, case)
    pure(reply, ["p", "q"])


def infinite(student: Any, draw: Draw, name: str) -> None:
    """Where q = 0 < p the value is infinite."""
    p, q = draw.masses(5, [1]), draw.masses(5, [1, 3])
    got = one_number(student.call(name, p, q))
    case = say(p=p, q=q)
    if math.isnan(got):
        raise Wrong(f"{name} is nan where both p and q are 0; such a bin counts nothing ({case}).")
    if got != math.inf:
        raise Wrong(
            f"{name} is {got:.6g} at {case}, where a bin has q = 0 < p: the value is infinite. It has "
            "no bound. An epsilon, a clamp, or a bin left out hides that the generator never makes "
            "what the data contain."
        )


q1 = Question("q1", seconds=5)


@q1.test(points=1)
def kl_values(student: Any, draw: Draw, k: Constants) -> None:
    on_bins(student, draw, k, "kl", KL, ([], []))


@q1.test(points=1)
def kl_empty_bins(student: Any, draw: Draw, k: Constants) -> None:
    def value(p: list[int], q: list[int]) -> None:
        x, y = draw.masses(5, p), draw.masses(5, q)
        got = one_number(student.call("kl", x, y))
        if math.isnan(got):
            raise Wrong(f"kl{ZERO_LOG} ({say(p=x, q=y)})")
        right, turned = float(kl(k, x, y)), float(kl(k, y, x))
        if turned == math.inf == got:
            raise Wrong(f"kl is infinite at {say(p=x, q=y)}: the order of the arguments; only p > 0 = q costs "
                        "infinity.")  # fmt: skip
        KL.judge(k, (x, y), [got], "kl", say(p=x, q=y))
        assert math.isfinite(right)

    each([
        lambda: value([2], []),
        lambda: value([0, 2], [2]),
        lambda: infinite(student, draw, "kl"),
        lambda: infinite(student, draw, "kl"),
    ])  # fmt: skip


@q1.test(points=1.5)
def jsd_values(student: Any, draw: Draw, k: Constants) -> None:
    each([
        lambda: on_bins(student, draw, k, "jsd", JSD, ([], [])),
        lambda: on_bins(student, draw, k, "jsd", JSD, ([1, 2], [2, 3])),
    ])  # fmt: skip


@q1.test(points=1)
def chi_values(student: Any, draw: Draw, k: Constants) -> None:
    each([
        lambda: on_bins(student, draw, k, "chi_power", CHI, ([], [])),
        lambda: on_bins(student, draw, k, "chi_power", CHI, ([1], [])),
        lambda: infinite(student, draw, "chi_power"),
    ])  # fmt: skip


@q1.test(points=0.5)
def bounded_values(student: Any, draw: Draw, k: Constants) -> None:
    each([
        lambda: on_bins(student, draw, k, "total_variation", TV, ([1, 2], [2, 3])),
        lambda: on_bins(student, draw, k, "hellinger", HELLINGER, ([1, 2], [2, 3])),
    ])  # fmt: skip


@q1.public
def _(k: Constants) -> list[Case]:
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    rules = {"kl": KL, "jsd": JSD, "chi_power": CHI, "total_variation": TV, "hellinger": HELLINGER}
    what = "of p = [0.5, 0.5] and q = [0.25, 0.75]"
    return [rule.case(k, name, (p, q), f"{name} {what}", args=(p, q)) for name, rule in rules.items()]


# Question 2 -----------------------------------------------------------------------------------

Point = dict[str, float]


def some_points(draw: Draw, name: str) -> tuple[Point, ...]:
    """Four different points of (0, 1), twentieths."""
    return tuple({name: int(n) / 20} for n in some(draw, [str(n) for n in range(1, 20) if n != 10], 4))


def entropy(k: Constants) -> float:
    s = share(k)
    return -s * math.log(s) - (1 - s) * math.log(1 - s)


def dropping(s: float, e: float, log: Any = math.log) -> float:
    """JSD with the weight s of P, where Q lacks the share e of P."""
    left = s * ((1 - e) * log((1 - e) / (1 - s * e)) - e * log(s))
    return float(left - (1 - s) * log(1 - s * e))


LARGEST = Rule(over(lambda k: entropy(k)), [
    Slip(over(lambda k: math.log(2)), "log 2 is the largest value for equal weights.", keeps=0.25),
    Slip(over(lambda k: 1.0), "1 is the largest value for equal weights, in bits.", keeps=0.0),
    Slip(over(lambda k: entropy(k) / math.log(2)), BASE, keeps=0.5),
    Slip(over(lambda k: -entropy(k)), SIGN, keeps=0.5),
    Slip(over(lambda k: -math.log(share(k))), "that is KL(P || M) alone.", keeps=0.25),
    Slip(over(lambda k: -math.log(1 - share(k))), "that is KL(Q || M) alone.", keeps=0.25),
    Slip(over(lambda k: -math.log(share(k)) - math.log(1 - share(k))), WEIGHTS_OUT, keeps=0.25),
    Slip(over(lambda k: 2 * math.log(2)), "log 4 belongs to equal weights, and lacks the 1/2."),
], rel=1e-8)  # fmt: skip
OTHER_FAULT = "this is the price of the other fault: dropping and inventing are exchanged."


def fault_slips(mine: Any, other: Any) -> list[Slip]:
    return [
        Slip(over(lambda k, e: other(share(k), e)), OTHER_FAULT, keeps=0.25),
        Slip(over(lambda k, e: dropping(0.5, e)), "this is the price for equal weights.", keeps=0.25),
        Slip(over(lambda k, e: -math.log(1 - e)), "this is a KL divergence, not the JSD."),
        Slip(over(lambda k, e: entropy(k)), "the largest value belongs to disjoint distributions; here "
             "they overlap."),
        Slip(over(lambda k, e: e * entropy(k)), "this is an upper bound, the chord.", keeps=0.25),
        Slip(over(lambda k, e: mine(share(k), e) / math.log(2)), BASE, keeps=0.5),
        Slip(over(lambda k, e: -mine(share(k), e)), SIGN, keeps=0.5),
        Slip(over(lambda k, e: (k.alpha + k.beta) * mine(share(k), e)), "the weights must be divided by "
             "their sum.", keeps=0.5),
        Slip(over(lambda k, e: mine(share(k), 1 - e)), "e and 1 - e are exchanged: e is the share that "
             "is wrong.", keeps=0.5),
    ]  # fmt: skip


def inventing(s: float, e: float) -> float:
    return dropping(1 - s, e)


DROPPING = Rule(over(lambda k, e: dropping(share(k), e)), [
    *fault_slips(dropping, inventing),
    Slip(over(lambda k, e: dropping(share(k), e) + share(k) * e * math.log(share(k))), "the bins that Q "
         "lacks are left out: there m = (weight of P) times p, and p log(p/m) does not vanish.", keeps=0.25),
], rel=1e-8)  # fmt: skip
INVENTING = Rule(over(lambda k, e: inventing(share(k), e)), [
    *fault_slips(inventing, dropping),
    Slip(over(lambda k, e: inventing(share(k), e) + (1 - share(k)) * e * math.log(1 - share(k))), "the "
         "nonsense is left out: there m = (weight of Q) times q, and q log(q/m) does not vanish.", 0.25),
], rel=1e-8)  # fmt: skip
q2 = Question("q2", seconds=5)


@q2.test(points=1)
def the_largest(student: Any, draw: Draw, k: Constants) -> None:
    got = Formula(student, "largest", [])
    LARGEST.judge(k, ({},), got.at([{}]), "largest")
    got.settle()


@q2.test(points=1)
def price_of_dropping(student: Any, draw: Draw, k: Constants) -> None:
    points = DROPPING.draw(draw, k, lambda x: some_points(x, "e"))
    judge_formula(student, DROPPING, k, "jsd_dropping", ["e"], points)


@q2.test(points=1)
def price_of_inventing(student: Any, draw: Draw, k: Constants) -> None:
    points = INVENTING.draw(draw, k, lambda x: some_points(x, "e"))
    judge_formula(student, INVENTING, k, "jsd_inventing", ["e"], points)


@q2.public
def _(k: Constants) -> list[Case]:
    point = {"e": 0.5}
    return [
        Case("largest", LARGEST.values(k, ({},))[0], [], "largest", at={}),
        DROPPING.case(k, "jsd_dropping", (point,), "jsd_dropping at e = 1/2", at=point),
    ]  # fmt: skip


# Questions 3 and 4 ----------------------------------------------------------------------------

Bumps = tuple[float, float, float, float]


def covering_fit(w: float, m1: float, s1: float, m2: float, s2: float) -> Fit:
    """Mean and sd of the mixture itself."""
    mean = w * m1 + (1 - w) * m2
    return mean, math.sqrt(w * (s1**2 + m1**2) + (1 - w) * (s2**2 + m2**2) - mean**2)


def forward(k: Constants, *bumps: float) -> list[float]:
    return list(covering_fit(share(k), *bumps))  # type: ignore[call-arg]


def weighing(alpha: float, beta: float) -> Constants:
    return Constants(alpha=alpha, beta=beta)


Fit = tuple[float, float]
#: The nodes of the mean over Q: log p bends within a fraction of a bump, so they lie close.
NODES = torch.linspace(-8, 8, 641, dtype=torch.float64)
MASSES = torch.softmax(-(NODES**2) / 2, 0)


def reverse_end(w: float, bumps: Sequence[float], start: Sequence[float]) -> tuple[float, Fit]:
    """The cost, and mean and sd, where the descent of KL(Q || P) from ``start`` ends."""
    m1, s1, m2, s2 = bumps
    at = torch.tensor([start[0], math.log(start[1])], dtype=torch.float64)

    def cost() -> Tensor:
        """The value; its gradient, by hand, goes to ``at.grad``."""
        sd = at[1].exp()
        x = at[0] + sd * NODES
        u, v = (x - m1) / s1, (x - m2) / s2
        one, two = math.log(w / s1) - u**2 / 2, math.log((1 - w) / s2) - v**2 / 2
        log_p = torch.logaddexp(one, two)
        first = (one - log_p).exp()
        pull = MASSES * (first * u / s1 + (1 - first) * v / s2)
        at.grad = torch.stack([pull.sum(), sd * pull @ NODES - 1])
        return -at[1] - MASSES @ log_p

    search = torch.optim.LBFGS([at], max_iter=100, tolerance_grad=1e-8, tolerance_change=1e-14,
                               line_search_fn="strong_wolfe")  # fmt: skip
    search.step(cost)
    return float(cost()), (float(at[0]), float(at[1].exp()))


@functools.lru_cache(maxsize=4096)
def ends(w: float, *bumps: float) -> list[tuple[float, Fit]]:
    """Where the descents from both bumps and from the cover end, the best first."""
    starts = [bumps[:2], bumps[2:], covering_fit(w, *bumps)]
    return sorted(reverse_end(w, bumps, start) for start in starts)


def reverse(k: Constants, *bumps: float) -> list[float]:
    return list(ends(share(k), *bumps)[0][1])


def worse(k: Constants, *bumps: float) -> list[float]:
    """The end that lies farthest from the best one."""
    found = ends(share(k), *bumps)
    return list(max((fit for _, fit in found), key=lambda fit: abs(fit[0] - found[0][1][0])))


def one_deepest(k: Constants, *bumps: float) -> bool:
    """Whether the deepest valley is so by more than a rough integral gets wrong."""
    found = ends(share(k), *bumps)
    others = [cost for cost, fit in found if abs(fit[0] - found[0][1][0]) > 1e-4]
    return not others or min(others) > found[0][0] + 0.03


def spread(k: Constants, m1: float, s1: float, m2: float, s2: float) -> float:
    """The variance within the bumps alone."""
    return share(k) * s1**2 + (1 - share(k)) * s2**2


FORWARD = Rule(forward, [
    Slip(reverse, "this fits one bump: it seeks. Forward KL is infinite in price for what Q lacks, and "
         "covers both.", keeps=0.0),
    Slip(lambda k, *b: [forward(k, *b)[0], forward(k, *b)[1] ** 2], "the second number is the "
         "variance; the question asks for its root.", keeps=0.5),
    Slip(lambda k, *b: [forward(k, *b)[0], math.sqrt(spread(k, *b))], "the spread between the bumps is "
         "missing in the variance: their means differ.", keeps=0.5),
    Slip(lambda k, *b: [forward(k, *b)[0], spread(k, *b)], "the variance within the bumps alone, and "
         "not its root.", keeps=0.25),
    Slip(lambda k, m1, s1, m2, s2: [forward(k, m1, s1, m2, s2)[0], share(k) * s1 + (1 - share(k)) * s2],
         "a mean of the two sds: variances add up, sds do not, and the means differ.", keeps=0.5),
    Slip(lambda k, *b: forward(weighing(1, 1), *b), "the weights of the bumps are missing.", keeps=0.25),
    Slip(lambda k, *b: forward(weighing(k.beta, k.alpha), *b), "the weights of the two bumps are "
         "exchanged.", keeps=0.25),
    Slip(lambda k, *b: forward(k, *b)[::-1], "mean and sd are exchanged.", keeps=0.5),
], rel=1e-4)  # fmt: skip
q3 = Question("q3", seconds=20)
FIT = "(mean, sd)"


def bumps_in_words(bumps: Sequence[float]) -> str:
    return say(**dict(zip(("m1", "s1", "m2", "s2"), bumps, strict=True)))


def apart(draw: Draw, low: float, high: float) -> Bumps:
    """Two bumps whose distance is ``low`` to ``high`` times the sum of their sds.

    The sds are far enough from 1 to tell a variance from an sd.
    """
    s1, s2 = draw.choice([0.5, 0.625, 0.75, 1.25, 1.5]), draw.choice([0.5, 0.625, 0.75, 1.25, 1.5])
    m1 = draw.integer(-16, 16) / 8
    far = (s1 + s2) * draw.integer(round(16 * low), round(16 * high)) / 16 * draw.choice([-1, 1])
    return m1, s1, m1 + far, s2


@q3.test(points=2)
def covering(student: Any, draw: Draw, k: Constants) -> None:
    for _ in range(2):
        bumps = FORWARD.draw(draw, k, lambda x: apart(x, 3, 5))
        got = numbers(student.call("forward_fit", *bumps), 2, FIT)
        FORWARD.judge(k, bumps, got, FIT, bumps_in_words(bumps))


@q3.public
def _(k: Constants) -> list[Case]:
    bumps = (0.0, 1.0, 0.0, 3.0)
    return [Case("forward_fit", forward(k, *bumps), [], f"{FIT} of two bumps on one spot, sds 1 and 3",
                 rel=1e-4, args=bumps)]  # fmt: skip


LOCAL = (
    "this is a local minimum: the fit to the other bump has a lower KL(Q || P). Start at each bump, and "
    "keep the lower end."
)
REVERSE = Rule(reverse, [
    Slip(forward, "this is the forward fit, which covers both bumps. KL(Q || P) takes its mean over Q, "
         "and forbids Q the valley."),
    Slip(worse, LOCAL, keeps=0.25),
    Slip(lambda k, *b: [reverse(k, *b)[0], reverse(k, *b)[1] ** 2], "the second number is the variance; "
         "the question asks for its root.", keeps=0.5),
    Slip(lambda k, *b: [reverse(k, *b)[0], math.log(reverse(k, *b)[1])], "the second number is the "
         "logarithm of the sd.", keeps=0.5),
    Slip(lambda k, *b: reverse(k, *b)[::-1], "mean and sd are exchanged.", keeps=0.5),
], rel=1e-3)  # fmt: skip


def heavy(k: Constants, *bumps: float) -> list[float]:
    return list(bumps[:2] if k.alpha > k.beta else bumps[2:])


NEAR = Rule(reverse, [
    *(replace(slip, near=slip.value is worse) for slip in REVERSE.slips),
    Slip(heavy, "this is the bump itself. The tail of the other bump moves the minimum: let a minimiser "
         "find it.", keeps=0.25),
    Slip(lambda k, *b: reverse(weighing(1, 1), *b), "the weights of the bumps are missing.", 0.25, near=True),
], rel=5e-4)  # fmt: skip
q4 = Question("q4", seconds=60)


def seek(student: Any, draw: Draw, k: Constants, rule: Rule, low: float, high: float) -> None:
    def bumps_with_one_answer(x: Draw) -> Bumps:
        while True:
            bumps = apart(x, low, high)
            if one_deepest(k, *bumps):
                return bumps

    bumps = rule.draw(draw, k, bumps_with_one_answer)
    got = numbers(student.call("reverse_fit", *bumps), 2, FIT)
    case = bumps_in_words(bumps)
    try:
        rule.judge(k, bumps, got, FIT, case)
    except Wrong as wrong:
        if ": you get" in str(wrong) and same(got, reverse(k, *bumps), 0.05):
            raise Wrong(f"{wrong} You are near: descend longer, or take a finer grid.", 0.5) from None
        raise


@q4.test(points=1)
def far_bumps(student: Any, draw: Draw, k: Constants) -> None:
    seek(student, draw, k, REVERSE, 4.5, 5.5)


@q4.test(points=2)
def near_bumps(student: Any, draw: Draw, k: Constants) -> None:
    seek(student, draw, k, NEAR, 1.5, 2.25)


@q4.public
def _(k: Constants) -> list[Case]:
    bumps = (0.0, 0.5, 0.0, 0.5)
    return [Case("reverse_fit", reverse(k, *bumps), [([0.0, 0.25], "the second number is the variance; "
                 "the question asks for its root.")], f"{FIT} of two equal bumps on one spot, sd 0.5",
                 rel=5e-3, args=bumps)]  # fmt: skip


# Question 6 -----------------------------------------------------------------------------------


class Claim:
    """A claim: its words, whether it breaks at (p, q), and what is known of it."""

    def __init__(self, text: Callable[[Constants], str], breaks: Callable[..., bool], known: str) -> None:
        self.text, self.breaks, self.known = text, breaks, known


PQ = r"(P\Vert Q)"
CLAIMS = {
    "p": Claim(lambda k: rf"$\mathrm{{TV}}(P,Q)\le\sqrt{{\mathrm{{KL}}{PQ}/2}}$",
               lambda k, p, q: float(tv(k, p, q)) > math.sqrt(float(kl(k, p, q)) / 2) + 1e-7, "Pinsker's inequality"),
    "l": Claim(lambda k: rf"$\mathrm{{KL}}{PQ}\le\log\bigl(1+\sum_i(p_i-q_i)^2/q_i\bigr)$",
               lambda k, p, q: float(kl(k, p, q)) > math.log1p(float(chi(k, p, q, 2))) + 1e-7, "Jensen's inequality"),
    "j": Claim(lambda k: r"$\mathrm{JSD}_w(P,Q)\le c\,\mathrm{TV}(P,Q)$, with $c$ the largest value of question 2",
               lambda k, p, q: float(jsd(k, p, q)) > entropy(k) * float(tv(k, p, q)) + 1e-7,
               "convexity: a chord lies above"),
    "h": Claim(lambda k: r"$H^2(P,Q)\le\mathrm{TV}(P,Q)$",
               lambda k, p, q: float(hellinger(k, p, q)) > float(tv(k, p, q)) + 1e-7,
               "the square of a difference of roots is at most the difference of the squares"),
    "B": Claim(lambda k: rf"$\mathrm{{KL}}{PQ}\le{k.cap}$",
               lambda k, p, q: float(kl(k, p, q)) > k.cap, "KL has no bound"),
    "S": Claim(lambda k: rf"$\mathrm{{KL}}{PQ}\le{k.cap}\,\mathrm{{KL}}(Q\Vert P)$",
               lambda k, p, q: float(kl(k, p, q)) > k.cap * float(kl(k, q, p)), "KL is far from symmetric"),
    "T": Claim(lambda k: rf"If $\mathrm{{TV}}(P,Q)\le\frac1{{{k.part}}}$, then $\mathrm{{KL}}{PQ}\le1$",
               lambda k, p, q: float(tv(k, p, q)) <= 1 / k.part and float(kl(k, p, q)) > 1,
               "a small TV bounds no KL: Pinsker cannot be turned round"),
    "V": Claim(lambda k: r"$\mathrm{TV}(P,Q)\le H^2(P,Q)$",
               lambda k, p, q: float(tv(k, p, q)) > float(hellinger(k, p, q)) + 1e-9,
               "for two close distributions H^2 is of second order, TV of first"),
}  # fmt: skip
TRUE, FALSE = "plhj", "BSTV"
q6 = Question("q6", seconds=5)


def letters(k: Constants) -> dict[str, str]:
    """Letter: the claim's name."""
    return dict(zip("ABCDEF", k.order, strict=True))


def false_letters(k: Constants) -> list[str]:
    return [letter for letter, name in letters(k).items() if name in FALSE]


def answered(student: Any) -> dict[str, Any]:
    value = student.get("counterexamples")
    if not isinstance(value, dict):
        raise Wrong('counterexamples must be a dictionary, such as {"A": ([0.5, 0.5], [0.9, 0.1])}.')
    return {str(letter).strip().upper(): pair for letter, pair in value.items()}


@q6.test(points=1)
def which_claims(student: Any, draw: Draw, k: Constants) -> None:
    mine, false = set(answered(student)), set(false_letters(k))
    unjust = sorted(mine - false)
    if len(mine) == 6:
        raise Wrong("counterexamples refutes all six claims; some are theorems.")
    if unjust:
        letter = unjust[0]
        known = CLAIMS[letters(k)[letter]].known if letter in letters(k) else "there is no such claim"
        raise Wrong(f"claim {letter} cannot be refuted: {known}.", max(0.0, (3 - len(unjust)) / 6))
    if false - mine:
        raise Wrong(
            f"{len(false - mine)} more of the claims left over can be refuted: think of a bin where q "
            "is tiny and p is not, and of two distributions that nearly agree.",
            len(mine) / 3 * 0.5,
        )


def pair_of(letter: str, pair: Any) -> tuple[Tensor, Tensor]:
    """The two vectors of an entry, or what is wrong with them."""
    what = f"the pair for claim {letter}"
    tensor = getattr(pair, "tensor", pair)
    if not isinstance(tensor, Tensor | list | tuple) or len(tensor) != 2:
        raise Wrong(f"{what} must be two lists, (p, q).")
    try:
        p, q = (torch.tensor(plain(getattr(v, "tensor", v)), dtype=torch.float64) for v in tensor)
    except (TypeError, ValueError):
        raise Wrong(f"{what} must hold numbers.") from None
    if len(p) != len(q) or len(p) < 2:
        raise Wrong(f"{what}: p and q need the same number of bins, two or more.")
    for name, v in (("p", p), ("q", q)):
        if not bool((v > 0).all()):
            raise Wrong(f"{what}: {name} has a bin that is not positive; the claims are about positive masses.")
        if abs(float(v.sum()) - 1) > 1e-6:
            raise Wrong(f"{what}: {name} sums to {float(v.sum()):.6g}; a distribution sums to 1.")
    return p, q


@q6.test(points=2)
def pairs(student: Any, draw: Draw, k: Constants) -> None:
    mine = answered(student)

    def check(letter: str) -> None:
        if letter not in mine:
            raise Wrong("a claim that is false has no counterexample yet.")
        p, q = pair_of(letter, mine[letter])
        if not CLAIMS[letters(k)[letter]].breaks(k, p, q):
            turned = CLAIMS[letters(k)[letter]].breaks(k, q, p)
            hint = " With p and q exchanged it would break: the order of the arguments." if turned else ""
            raise Wrong(
                f"claim {letter} holds for your pair: TV = {float(tv(k, p, q)):.4g}, H^2 = "
                f"{float(hellinger(k, p, q)):.4g}, KL(P || Q) = {float(kl(k, p, q)):.4g}, KL(Q || P) = "
                f"{float(kl(k, q, p)):.4g}.{hint}",
                0.25 if turned else 0.0,
            )

    each([lambda letter=x: check(letter) for x in false_letters(k)])  # type: ignore[misc]


# Question 7 -----------------------------------------------------------------------------------


def curvature(a: float) -> float:
    return 1 / (2 * a * (1 - a))


PINSKER = Rule(over(lambda k, a: curvature(a)), [
    Slip(over(lambda k, a: 2 * curvature(a)), "twice too much: log(1 + x) is x - x^2/2 to second order.",
         keeps=0.25),
    Slip(over(lambda k, a: curvature(a) / 4), "the TV of the two coins is t, with its factor 1/2; you "
         "have divided by (2t)^2.", keeps=0.5),
    Slip(over(lambda k, a: curvature(a) / 2), "a factor 1/2 too much: TV is t.", keeps=0.25),
    Slip(over(lambda k, a: 2.0), "2 is the value of a fair coin only; there Pinsker is tight.", keeps=0.25),
    Slip(over(lambda k, a: 1 / curvature(a)), "upside down.", keeps=0.25),
    Slip(over(lambda k, a: 1 / (2 * a)), "the second outcome, tails, is missing.", keeps=0.25),
    Slip(over(lambda k, a: -curvature(a)), SIGN, keeps=0.25),
    Slip(over(lambda k, a: share(k) * (1 - share(k)) * curvature(a)), "this is the JSD's: the two are "
         "exchanged, or KL carries weights it does not have.", keeps=0.0),
], rel=1e-8)  # fmt: skip
JSD_LIMIT = Rule(over(lambda k, a: share(k) * (1 - share(k)) * curvature(a)), [
    Slip(over(lambda k, a: curvature(a) / 4), "1/4 belongs to equal weights.", keeps=0.5),
    Slip(over(lambda k, a: curvature(a)), "this is KL's.", keeps=0.0),
    Slip(over(lambda k, a: k.alpha * k.beta * curvature(a)), "the weights must be divided by their sum.", 0.25),
    Slip(over(lambda k, a: k.alpha * k.beta / (k.alpha + k.beta) * curvature(a)), "each of the two weights "
         "is divided by the sum.", keeps=0.25),
    Slip(over(lambda k, a: 2 * share(k) * (1 - share(k)) * curvature(a)), "twice too much: log(1 + x) is "
         "x - x^2/2 to second order.", keeps=0.25),
    Slip(over(lambda k, a: share(k) * (1 - share(k)) * curvature(a) / 4), "the TV of the two coins is t, "
         "with its factor 1/2.", keeps=0.5),
    Slip(over(lambda k, a: ((1 - share(k)) ** 2 + share(k) ** 2) * curvature(a)), WEIGHTS_OUT, keeps=0.25),
    Slip(over(lambda k, a: share(k) * (1 - share(k)) ** 2 * curvature(a)), "only KL(P || M) counts; "
         "KL(Q || M) is absent.", keeps=0.25, near=True),  # a quarter where alpha = 3 beta
], rel=1e-8)  # fmt: skip
q7 = Question("q7", seconds=5)


@q7.test(points=1)
def kl_limit(student: Any, draw: Draw, k: Constants) -> None:
    points = PINSKER.draw(draw, k, lambda x: some_points(x, "a"))
    judge_formula(student, PINSKER, k, "kl_limit", ["a"], points)


@q7.test(points=1)
def jsd_limit(student: Any, draw: Draw, k: Constants) -> None:
    points = JSD_LIMIT.draw(draw, k, lambda x: some_points(x, "a"))
    judge_formula(student, JSD_LIMIT, k, "jsd_limit", ["a"], points)


@q7.public
def _(k: Constants) -> list[Case]:
    point = {"a": 0.5}
    return [Case("kl_limit", [2.0], [([4.0], PINSKER.slips[0].lesson), ([0.5], PINSKER.slips[4].lesson)],
                 "kl_limit of a fair coin, where Pinsker is tight", at=point)]  # fmt: skip


# Question 8 -----------------------------------------------------------------------------------


def flow(p: Tensor, q: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """What crosses each gap to the right, and the gaps' lengths."""
    x = x.double()
    return (p.double() - q.double()).cumsum(0)[:-1], x[1:] - x[:-1]


def transport(k: Constants, p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    over_, gaps = flow(p, q, x)
    return ((k.right * over_.clamp(min=0) + k.left * (-over_).clamp(min=0)) * gaps).sum()


def costs(right: float, left: float) -> Constants:
    return Constants(right=right, left=left)


TRANSPORT = Rule(transport, [
    Slip(lambda k, p, q, x: transport(costs(1, 1), p, q, x), "both costs are missing: this is W1 itself.", 0.5),
    Slip(lambda k, p, q, x: transport(costs(k.left, k.right), p, q, x), "right and left are exchanged, or "
         "mass is moved from Q to P.", keeps=0.5),
    Slip(lambda k, p, q, x: transport(k, p, q, torch.arange(len(x))), "the positions x are not used: the "
         "gaps differ in length.", keeps=0.25),
    Slip(lambda k, p, q, x: tv(k, p, q), "this is the total variation, which does not know how far apart "
         "the bins are."),
    Slip(lambda k, p, q, x: (x.double() * (q.double() - p.double())).sum(), "this is the difference of the "
         "means: costs and absolute values are missing.", near=True),
    Slip(lambda k, p, q, x: transport(k, p, q, x) / len(p), MEAN, keeps=0.25),
    Slip(lambda k, p, q, x: transport(costs(k.right, 0), p, q, x), "what moves to the left is missing.", 0.25),
    Slip(lambda k, p, q, x: transport(costs(0, k.left), p, q, x), "what moves to the right is missing.", 0.25),
])  # fmt: skip
q8 = Question("q8", seconds=5)


def places(draw: Draw, n: int) -> Tensor:
    """``n`` rising positions, multiples of 1/4 with gaps of different lengths."""
    return torch.tensor([draw.integer(-8, 8), *draw.integers(n - 1, 1, 12)]).cumsum(0).float() / 4


@q8.test(points=2)
def transported(student: Any, draw: Draw, k: Constants) -> None:
    def one(p: list[int], q: list[int]) -> None:
        p_, q_, x = TRANSPORT.draw(draw, k, lambda d: (d.masses(5, p), d.masses(5, q), places(d, 5)))
        reply = student.call("transport_cost", p_, q_, x)
        TRANSPORT.judge(k, (p_, q_, x), [one_number(reply)], "transport_cost", say(p=p_, q=q_, x=x))
        pure(reply, ["p", "q", "x"])

    each([lambda: one([], []), lambda: one([1, 2], [0, 3])])


@q8.public
def _(k: Constants) -> list[Case]:
    p, q, x = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0])
    return [TRANSPORT.case(k, "transport_cost", (p, q, x), "transport_cost of one unit of mass, carried 3 to "
                           "the right", args=(p, q, x))]  # fmt: skip


QUESTIONS = [q1, q2, q3, q4, q6, q7, q8]
