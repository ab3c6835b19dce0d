"""Hidden tests and public cases of the assignment `the-game`. Keep this file to yourself.

The discriminator pays ``k.alpha`` for what it gets wrong about a real sample and ``k.beta`` for a
generated one. Every right value is computed here from the drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import torch
from torch import Tensor
from torch.nn.functional import softplus

from tools.grader.asking import Injection, Seed
from tools.grader.expressions import Formula, judge_formula
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Question,
    Rule,
    Slip,
    Wrong,
    connected,
    judge,
    number,
    numbers,
    over,
    pure,
    same,
    say,
    slopes,
    trainable,
)

TITLE = "The game and its losses"


def constants(draw: Draw) -> dict[str, Any]:
    """The two weights: different, without a common divisor, and nobody's default."""
    pairs = [(a, b) for a in (3, 4, 5, 7) for b in (3, 4, 5, 7) if a != b]
    alpha, beta = draw.choice(pairs)
    return {"alpha": alpha, "beta": beta}


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer's number, so that one could be copied."""
    return k.alpha == other.alpha or k.beta == other.beta or k.alpha * other.beta == k.beta * other.alpha


SIGN = "the sign: this is the log-likelihood, which grows as D gets better; the loss is minus it."
FAKE_ABSENT = "one half is missing: only the real samples count; E_q log(1 - D) is absent."
REAL_ABSENT = "one half is missing: only the generated samples count; E_p log D is absent."
SWAPPED = "real and fake are swapped: D is near 1 on real samples, so log D goes with them."
SUMMED = "a sum over the batch; the loss takes the mean of each batch."
JOINED = "one mean over both batches joined; each half is the mean over its own batch."
UNWEIGHTED = "the two weights of the question are missing."
EXCHANGED = "the two weights are exchanged."
AVERAGED = "divided by the sum of the weights: the two halves are added, not averaged."
BASE = "another base of the logarithm; the book's logarithms are natural."
LOG_OF_MEAN = "the log of the mean; the loss is the mean of the log, which is larger (Jensen)."
EPSILON = (
    "an epsilon inside the logarithm changes the value, and caps the loss where D is most wrong."
)

# Question 1 ----------------------------------------------------------------------------------


def loss(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    d, e = d.double(), e.double()
    return -k.alpha * d.log().mean() - k.beta * (1 - e).log().mean()


def real_half(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    return -k.alpha * d.double().log().mean()


def fake_half(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    return -k.beta * (1 - e.double()).log().mean()


def summed(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    return real_half(k, d, e) * len(d) + fake_half(k, d, e) * len(e)


def joined(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    return summed(k, d, e) / (len(d) + len(e))


def log_of_mean(k: Constants, d: Tensor, e: Tensor) -> Tensor:
    return -k.alpha * d.double().mean().log() - k.beta * (1 - e.double()).mean().log()


def with_epsilon(epsilon: float) -> Slip:
    def value(k: Constants, d: Tensor, e: Tensor) -> Tensor:
        d, e = d.double(), e.double()
        return -k.alpha * (d + epsilon).log().mean() - k.beta * (1 - e + epsilon).log().mean()

    return Slip(value, EPSILON, keeps=1.0, near=True)


def clamped(epsilon: float) -> Slip:
    def value(k: Constants, d: Tensor, e: Tensor) -> Tensor:
        return loss(k, d.clamp(epsilon, 1 - epsilon), e.clamp(epsilon, 1 - epsilon))

    return Slip(value, EPSILON, keeps=1.0, near=True)


def weighted(k: Constants, alpha: float, beta: float) -> Constants:
    return Constants(**{**vars(k), "alpha": alpha, "beta": beta})


PROBABILITY_SLIPS = [
    Slip(lambda k, d, e: -loss(k, d, e), SIGN),
    Slip(real_half, FAKE_ABSENT),
    Slip(fake_half, REAL_ABSENT),
    Slip(lambda k, d, e: loss(k, e, d), SWAPPED),
    Slip(lambda k, d, e: loss(k, 1 - d, 1 - e), SWAPPED),
    Slip(
        lambda k, d, e: real_half(k, d, e) - fake_half(k, d, e),
        "the sign of the fake half: both halves carry a minus.",
    ),
    Slip(
        lambda k, d, e: fake_half(k, d, e) - real_half(k, d, e),
        "the sign of the real half: both halves carry a minus.",
    ),
    Slip(
        lambda k, d, e: loss(k, d, 1 - e), "the fake half needs log(1 - D), not log D."
    ),
    Slip(summed, SUMMED, keeps=0.25),
    Slip(joined, JOINED, keeps=0.25),
    Slip(lambda k, d, e: loss(weighted(k, 1, 1), d, e), UNWEIGHTED, keeps=0.5),
    Slip(lambda k, d, e: loss(weighted(k, 0.5, 0.5), d, e), UNWEIGHTED, keeps=0.25),
    Slip(lambda k, d, e: loss(weighted(k, k.beta, k.alpha), d, e), EXCHANGED, keeps=0.5),
    Slip(lambda k, d, e: loss(k, d, e) / (k.alpha + k.beta), AVERAGED, keeps=0.5),
    Slip(lambda k, d, e: loss(k, d, e) / 2, "half the loss: the halves are added, not averaged.", 0.5),
    Slip(lambda k, d, e: loss(k, d, e) / math.log(2), BASE),
    Slip(lambda k, d, e: loss(k, d, e) / math.log(10), BASE),
    Slip(log_of_mean, LOG_OF_MEAN),
    *(with_epsilon(10.0**-n) for n in range(1, 6)),
]
LOSS = Rule(loss, PROBABILITY_SLIPS, rel=2e-6)

q1 = Question("q1", seconds=5)


@q1.test(points=1)
def values(student: Any, draw: Draw, k: Constants) -> None:
    for real, fake in ((3, 2), (4, 7)):
        d, e = LOSS.draw(draw, k, lambda x, n=real, m=fake: (x.uniform(n), x.uniform(m)))
        got = student.call("discriminator_loss", d, e)
        LOSS.judge(k, (d, e), [number(got)], "discriminator_loss", say(d_real=d, d_fake=e))


@q1.test(points=1)
def can_be_trained(student: Any, draw: Draw, k: Constants) -> None:
    d, e = draw.uniform(3), draw.uniform(2)
    got = student.call("discriminator_loss", d, e, wrt=[0, 1])
    mine = trainable(got, ["d_real", "d_fake"])
    case = say(d_real=d, d_fake=e)
    judge(mine, slopes(lambda a, b: loss(k, a, b), d, e), [
        (slopes(lambda a, b: with_epsilon(10.0**-n).value(k, a, b), d, e), EPSILON) for n in range(1, 6)
    ], "the slopes of discriminator_loss", case, rel=1e-5)  # fmt: skip
    pure(got, ["d_real", "d_fake"])


@q1.public
def _(k: Constants) -> list[Case]:
    half = torch.full((4,), 0.5)
    what = "discriminator_loss at D = 1/2 everywhere"
    return [LOSS.case(k, "discriminator_loss", (half, half), what, args=(half, half))]


# Question 2 ----------------------------------------------------------------------------------


def logit_loss(k: Constants, s: Tensor, t: Tensor) -> Tensor:
    return k.alpha * softplus(-s.double()).mean() + k.beta * softplus(t.double()).mean()


def of_logits(slip: Slip) -> Slip:
    """A slip of question 1 with D = sigmoid(s)."""
    return Slip(
        lambda k, s, t: slip.value(k, torch.sigmoid(s.double()), torch.sigmoid(t.double())),
        slip.lesson, slip.keeps, slip.near,
    )  # fmt: skip


TWICE = "sigmoid is applied twice: BCE-with-logits and softplus take the logit itself."


def sigmoid_twice(k: Constants, s: Tensor, t: Tensor) -> Tensor:
    return logit_loss(k, torch.sigmoid(s.double()), torch.sigmoid(t.double()))


LOGIT_LOSS = Rule(
    logit_loss, [*map(of_logits, PROBABILITY_SLIPS), Slip(sigmoid_twice, TWICE)], rel=2e-6
)
# Far out, where the textbook form takes the log of zero.
FAR_SLIPS = [
    Slip(lambda k, s, t: -logit_loss(k, s, t), SIGN),
    Slip(lambda k, s, t: 2 * logit_loss(k, s, t), SUMMED, keeps=0.4),
    Slip(lambda k, s, t: logit_loss(weighted(k, 1, 1), s, t), UNWEIGHTED, keeps=0.5),
    Slip(lambda k, s, t: logit_loss(k, s, t) / (k.alpha + k.beta), AVERAGED, keeps=0.5),
    Slip(sigmoid_twice, TWICE),
]
q2 = Question("q2", seconds=5)
ASKED2 = "discriminator_loss_from_logits"


def far(draw: Draw) -> tuple[Tensor, Tensor]:
    """Two huge logits of either sign for each batch, different for each."""
    high = draw.uniform(2, 125, 156) * 64
    low = draw.uniform(2, 125, 156) * 64
    return torch.stack([high[0], -low[0]]), torch.stack([high[1], -low[1]])


FAR = Rule(logit_loss, FAR_SLIPS, rel=1e-5)


def capped(got: float, due: float, what: str, case: str) -> None:
    """The lesson of an epsilon or a clamp: finite, and far too small."""
    if math.isinf(got) or math.isnan(got):
        raise Wrong(
            f"{what} at {case} is {got}: the log of zero. In float32 sigmoid(-1e4) is 0 and exp(1e4) "
            "is inf. Rewrite -log sigmoid(s) as log(1 + exp(-s)), and use a function that "
            "computes it without overflow."
        )
    if abs(got) < abs(due) / 2.5 and got * due >= 0:
        raise Wrong(
            f"{what} at {case} is {got:.6g}, due is {due:.6g}: an epsilon, a clamp or a second "
            "sigmoid caps it, and cuts the gradient where D is most wrong."
        )


@q2.test(points=1)
def logit_values(student: Any, draw: Draw, k: Constants) -> None:
    for real, fake in ((3, 2), (4, 7)):
        s, t = LOGIT_LOSS.draw(draw, k, lambda x, n=real, m=fake: (x.normal(n), x.normal(m)))
        got = student.call(ASKED2, s, t)
        LOGIT_LOSS.judge(k, (s, t), [number(got)], ASKED2, say(s_real=s, s_fake=t))


@q2.test(points=1)
def extremes(student: Any, draw: Draw, k: Constants) -> None:
    s, t = FAR.draw(draw, k, far)
    got = student.call(ASKED2, s, t, wrt=[0, 1])
    case = say(s_real=s, s_fake=t)
    try:
        FAR.judge(k, (s, t), [number(got)], ASKED2, case)
    except Wrong as wrong:
        if ": you get" in str(wrong) or " is " in str(wrong):
            capped(number(got), float(logit_loss(k, s, t)), ASKED2, case)
        raise
    connected(got, ["s_real", "s_fake"])


@q2.test(points=1)
def extreme_slopes(student: Any, draw: Draw, k: Constants) -> None:
    s, t = far(draw)
    got = student.call(ASKED2, s, t, wrt=[0, 1])
    case = say(s_real=s, s_fake=t)
    connected(got, ["s_real", "s_fake"])
    capped(number(got), float(logit_loss(k, s, t)), ASKED2, case)
    right = slopes(lambda a, b: logit_loss(k, a, b), s, t)
    judge(trainable(got, ["s_real", "s_fake"]), right, [
        ([0.0] * 4, "all are zero: a clamp stops the gradient where D is most wrong."),
        ([2 * x for x in right], SUMMED, 0.4),
        (slopes(lambda a, b: logit_loss(weighted(k, 1, 1), a, b), s, t), UNWEIGHTED, 0.5),
        ([x / (k.alpha + k.beta) for x in right], AVERAGED, 0.5),
    ], f"the slopes of {ASKED2}", case)  # fmt: skip
    pure(got, ["s_real", "s_fake"])


@q2.public
def _(k: Constants) -> list[Case]:
    zero, sure = torch.zeros(4), torch.full((1,), 200.0)
    return [
        LOGIT_LOSS.case(k, ASKED2, (zero, zero), "the loss at logit 0 (D = 1/2)", args=(zero, zero)),
        Case(ASKED2, [0.0], [], "the loss of a discriminator that is right and sure, at logits of "
             "200 and -200", args=(sure, -sure)),
    ]  # fmt: skip


# Question 3 ----------------------------------------------------------------------------------


def saturating(k: Constants, s: Tensor) -> Tensor:
    return -k.beta * softplus(s.double()).mean()


def non_saturating(k: Constants, s: Tensor) -> Tensor:
    return k.beta * softplus(-s.double()).mean()


def generator_slips(right: Any, sign: str, other: Any, other_lesson: str, minus_other: str) -> list[Slip]:
    return [
        Slip(lambda k, s: -right(k, s), sign),
        Slip(other, other_lesson),
        Slip(lambda k, s: -other(k, s), minus_other),
        Slip(lambda k, s: right(k, s) / k.beta, "the weight of the question is missing.", keeps=0.5),
        Slip(lambda k, s: right(weighted(k, 0, k.alpha), s), EXCHANGED, keeps=0.5),
        Slip(lambda k, s: right(k, s) / 2, "a factor 1/2 that the question does not have.", keeps=0.5),
        Slip(lambda k, s: right(k, s) * 2, "a factor 2 that the question does not have.", keeps=0.5),
        Slip(lambda k, s: right(k, s) * len(s), SUMMED, keeps=0.5),
        Slip(lambda k, s: right(k, torch.sigmoid(s.double())), TWICE),
        Slip(lambda k, s: right(k, s) / math.log(2), BASE),
        Slip(lambda k, s: right(k, s) / math.log(10), BASE),
    ]


SATURATING = Rule(saturating, generator_slips(
    saturating, "the sign: the generator minimises log(1 - D), a negative number.",
    non_saturating, "this is the non-saturating loss, -log D.",
    "this is log D; the saturating loss is log(1 - D)."))  # fmt: skip
NON_SATURATING = Rule(non_saturating, generator_slips(
    non_saturating, "the sign: the loss is minus log D, a positive number.",
    saturating, "this is the saturating loss, log(1 - D).",
    "this is -log(1 - D): the generator would learn to be found out. The loss is -log D."))  # fmt: skip
q3 = Question("q3", seconds=5)


def generator_values(student: Any, draw: Draw, k: Constants, name: str, rule: Rule) -> None:
    for n in (3, 5):
        (s,) = rule.draw(draw, k, lambda x, n=n: (x.normal(n),))
        rule.judge(k, (s,), [number(student.call(name, s))], name, say(s_fake=s))


def generator_extremes(student: Any, draw: Draw, k: Constants, name: str, rule: Rule) -> None:
    s, _ = far(draw)
    got = student.call(name, s, wrt=[0])
    case = say(s_fake=s)
    due = float(rule.right(k, s))
    capped(number(got), due, name, case)
    judge([number(got)], [due], [([-due], "the sign.")], name, case)
    slope = slopes(lambda x: rule.right(k, x), s)
    judge(trainable(got, ["s_fake"]), slope, [
        ([0.0, 0.0], "both are zero: a clamp stops the gradient."),
    ], f"the slopes of {name}", case)  # fmt: skip
    pure(got, ["s_fake"])


@q3.test(points=1)
def saturating_values(student: Any, draw: Draw, k: Constants) -> None:
    generator_values(student, draw, k, "saturating_loss", SATURATING)


@q3.test(points=1)
def non_saturating_values(student: Any, draw: Draw, k: Constants) -> None:
    generator_values(student, draw, k, "non_saturating_loss", NON_SATURATING)


@q3.test(points=0.5)
def saturating_extremes(student: Any, draw: Draw, k: Constants) -> None:
    generator_extremes(student, draw, k, "saturating_loss", SATURATING)


@q3.test(points=0.5)
def non_saturating_extremes(student: Any, draw: Draw, k: Constants) -> None:
    generator_extremes(student, draw, k, "non_saturating_loss", NON_SATURATING)


@q3.public
def _(k: Constants) -> list[Case]:
    zero = torch.zeros(4)
    return [
        SATURATING.case(k, "saturating_loss", (zero,), "saturating_loss at logit 0", args=(zero,)),
        NON_SATURATING.case(
            k, "non_saturating_loss", (zero,), "non_saturating_loss at logit 0", args=(zero,)
        ),
    ]


# Questions 4 and 5: the best discriminators ---------------------------------------------------

Point = dict[str, float]


def some_points(draw: Draw, count: int = 4, **ranges: tuple[int, int]) -> tuple[Point, ...]:
    """Points with short decimals: tenths between the bounds of each name."""
    return tuple(
        {name: draw.integer(*bounds) / 10 for name, bounds in ranges.items()} for _ in range(count)
    )


def mass(k: Constants, p: float, q: float) -> float:
    return k.alpha * p + k.beta * q


GAN_BEST = Rule(over(lambda k, p, q: k.alpha * p / mass(k, p, q)), [
    Slip(over(lambda k, p, q: k.beta * q / mass(k, p, q)), "real and fake are swapped: D is near 1 "
         "where the data are dense and the generator is not."),
    Slip(over(lambda k, p, q: p / (p + q)), UNWEIGHTED, keeps=0.5),
    Slip(over(lambda k, p, q: k.beta * p / (k.beta * p + k.alpha * q)), EXCHANGED, keeps=0.25),
    Slip(over(lambda k, p, q: k.alpha * p / (k.beta * q)), "this is the ratio D/(1 - D), not D.",
         keeps=0.25),
    Slip(over(lambda k, p, q: p / q), "this is the density ratio p/q, not D.", keeps=0.1),
    Slip(over(lambda k, p, q: math.log(k.alpha * p / (k.beta * q))), "this is the logit; D is the "
         "sigmoid of it, a probability.", keeps=0.25),
    Slip(over(lambda k, p, q: k.alpha * p / (k.beta * q - k.alpha * p)), "a sign: set the "
         "derivative to zero and solve for D once more.", keeps=0.25),
    Slip(over(lambda k, p, q: (k.alpha * p) ** 2 / ((k.alpha * p) ** 2 + (k.beta * q) ** 2)),
         "this belongs to squared densities: differentiate once more."),
    Slip(over(lambda k, p, q: p**2 / (p**2 + q**2)), "this belongs to squared densities, and the "
         "weights are missing: differentiate once more."),
    Slip(over(lambda k, p, q: 0.5), "1/2 is right only where both sides weigh the same."),
], rel=1e-8)  # fmt: skip
q4 = Question("q4", seconds=5)


@q4.test(points=2)
def optimum(student: Any, draw: Draw, k: Constants) -> None:
    points = GAN_BEST.draw(draw, k, lambda x: some_points(x, p=(1, 40), q=(1, 40)))
    judge_formula(student, GAN_BEST, k, "D_gan", ["p", "q"], points)


@q4.public
def _(k: Constants) -> list[Case]:
    point = {"p": float(k.beta), "q": float(k.alpha)}
    what = f"D_gan at p = {k.beta}, q = {k.alpha}"
    return [GAN_BEST.case(k, "D_gan", (point,), what, at=point)]


def squares_best(k: Constants, a: float, b: float, p: float, q: float) -> float:
    return (k.alpha * b * p + k.beta * a * q) / mass(k, p, q)


NAMES5 = ["a", "b", "p", "q"]
SQUARES_BEST = Rule(over(squares_best), [
    Slip(over(lambda k, a, b, p, q: squares_best(k, b, a, p, q)), "real and fake are swapped: b is "
         "the target of real samples (density p), a that of generated ones (density q)."),
    Slip(over(lambda k, a, b, p, q: squares_best(k, -a, b, p, q)), "a sign: set the derivative to "
         "zero once more.", keeps=0.25),
    Slip(over(lambda k, a, b, p, q: squares_best(weighted(k, 1, 1), a, b, p, q)), UNWEIGHTED, 0.5),
    Slip(over(lambda k, a, b, p, q: squares_best(weighted(k, k.beta, k.alpha), a, b, p, q)),
         EXCHANGED, 0.25),
    Slip(over(lambda k, a, b, p, q: squares_best(k, a, b, p, q) / 2), "half of it: the factor 1/2 "
         "stands in front of both squares and drops out.", keeps=0.5),
    Slip(over(lambda k, a, b, p, q: squares_best(k, 0, 1, p, q)), "that is the GAN's optimum, right "
         "for a = 0 and b = 1 only.", keeps=0.25),
    Slip(over(lambda k, a, b, p, q: squares_best(k, -1, 1, p, q)), "that is right for a = -1 and "
         "b = 1 only; keep a and b as symbols.", keeps=0.25),
    Slip(over(lambda k, a, b, p, q: k.alpha * b * p + k.beta * a * q), "a weighted mean of the "
         "targets must be divided by the sum of its weights.", keeps=0.25),
    Slip(over(lambda k, a, b, p, q: (a + b) / 2), "the midpoint of the targets is right only where "
         "both sides weigh the same."),
], rel=1e-8)  # fmt: skip
RIGHT_D_GAN = "import sympy as _s\n_p, _q = _s.symbols('p q', positive=True)\n"


def inject_d_gan(k: Constants) -> Injection:
    return Injection(("D_gan",), RIGHT_D_GAN + f"D_gan = {k.alpha}*_p/({k.alpha}*_p + {k.beta}*_q)\n")


q5 = Question("q5", seconds=5, inject=inject_d_gan)


@q5.test(points=2)
def squares_optimum(student: Any, draw: Draw, k: Constants) -> None:
    points = SQUARES_BEST.draw(
        draw, k, lambda x: some_points(x, a=(-50, 50), b=(-50, 50), p=(1, 40), q=(1, 40))
    )
    judge_formula(student, SQUARES_BEST, k, "D_lsgan", NAMES5, points)


@q5.public
def _(k: Constants) -> list[Case]:
    point = {"a": 0.0, "b": 1.0, "p": float(k.beta), "q": float(k.alpha)}
    what = f"D_lsgan for a = 0, b = 1 at p = {k.beta}, q = {k.alpha}"
    return [SQUARES_BEST.case(k, "D_lsgan", (point,), what, at=point)]


# Question 6: what the best discriminator measures ----------------------------------------------

log = mpmath.log


def value(k: Constants, p: float, q: float) -> Any:
    m = mass(k, p, q)
    return k.alpha * p * log(k.alpha * p / m) + k.beta * q * log(k.beta * q / m)


def divergence(k: Constants, p: float, q: float, m: float | None = None) -> Any:
    m = mass(k, p, q) / (k.alpha + k.beta) if m is None else m
    return k.alpha * p * log(p / m) + k.beta * q * log(q / m)


def rest(k: Constants, *points: Point) -> list[float]:
    """The constant; it has no point, so the one it gets is empty."""
    n = k.alpha + k.beta
    return [k.alpha * log(mpmath.mpf(k.alpha) / n) + k.beta * log(mpmath.mpf(k.beta) / n)]


VALUE = Rule(over(value), [
    Slip(over(lambda k, p, q: -value(k, p, q)), "the sign: V has no minus in front.", keeps=0.25),
    Slip(over(lambda k, p, q: k.alpha * p * log(k.beta * q / mass(k, p, q))
              + k.beta * q * log(k.alpha * p / mass(k, p, q))),
         "real and fake are swapped inside the logarithms: log D goes with p."),
    Slip(over(lambda k, p, q: k.alpha * p * log(k.alpha * p / mass(k, p, q))),
         "one half is missing: the term with q log(1 - D) is absent."),
    Slip(over(lambda k, p, q: value(weighted(k, 1, 1), p, q)), UNWEIGHTED, keeps=0.5),
    Slip(over(lambda k, p, q: p * log(k.alpha * p / mass(k, p, q))
              + q * log(k.beta * q / mass(k, p, q))),
         "the weights stand inside the logarithms, and are missing in front of them.", keeps=0.5),
    Slip(over(lambda k, p, q: log(k.alpha * p / mass(k, p, q)) + log(k.beta * q / mass(k, p, q))),
         "the densities are missing in front: a mean over p is the integral of p times ..."),
], rel=1e-8)  # fmt: skip
DIVERGENCE = Rule(over(divergence), [
    Slip(over(lambda k, p, q: -divergence(k, p, q)), "the sign: KL(P || M) is the integral of "
         "p log(p/m), not p log(m/p).", keeps=0.25),
    Slip(over(lambda k, p, q: divergence(k, p, q) / (k.alpha + k.beta)), "the two KL terms are "
         "added with the weights of the question, not averaged.", keeps=0.25),
    Slip(over(lambda k, p, q: divergence(k, p, q) / 2), "the two KL terms are added, not averaged.",
         keeps=0.25),
    Slip(over(lambda k, p, q: divergence(weighted(k, 1, 1), p, q)), UNWEIGHTED, keeps=0.25),
    Slip(over(lambda k, p, q: divergence(k, p, q, (p + q) / 2)), "M is not the plain mixture: its "
         "density has the weights of the question.", keeps=0.25),
    Slip(over(lambda k, p, q: divergence(k, p, q, mass(k, p, q))), "the density of M is divided by "
         "the sum of the weights: without it, M has not the mass 1."),
    Slip(over(lambda k, p, q: k.alpha * p * log(p * (k.alpha + k.beta) / mass(k, p, q))),
         "one half is missing: KL(Q || M) is absent."),
], rel=1e-8)  # fmt: skip
CONSTANT = Rule(rest, [
    Slip(lambda k, *p: [-rest(k)[0]], "the sign: it is the value of the best D at P = Q, a sum of "
         "logarithms of numbers below 1."),
    Slip(lambda k, *p: [rest(k)[0] / (k.alpha + k.beta)], "divided by the sum of the weights; C(G) "
         "is not.", keeps=0.25),
    Slip(lambda k, *p: [rest(k)[0] / 2], "half of it: p integrates to 1, and so does q.", keeps=0.25),
    Slip(lambda k, *p: [log(mpmath.mpf(k.alpha) / (k.alpha + k.beta))
                        + log(mpmath.mpf(k.beta) / (k.alpha + k.beta))],
         "the weights are missing in front of the logarithms.", keeps=0.25),
    Slip(lambda k, *p: [-log(4)], "-log 4 belongs to equal weights."),
    Slip(lambda k, *p: [-log(2)], "-log 2 belongs to no weights: what is left must be integrated, "
         "and p and q integrate to 1 each."),
    Slip(lambda k, *p: [-(k.alpha + k.beta) * log(2)], "at P = Q the best D is not 1/2 here.", 0.1),
    Slip(lambda k, *p: [-(k.alpha + k.beta) * log(k.alpha + k.beta)], "the logarithms of the weights "
         "themselves are missing.", keeps=0.25),
    Slip(lambda k, *p: [0.0], "0 would mean that nothing is left; subtract once more."),
], rel=1e-8)  # fmt: skip
q6 = Question("q6", seconds=5, inject=inject_d_gan)
PQ = ["p", "q"]


def judge_integrand(student: Any, draw: Draw, k: Constants, name: str, rule: Rule) -> None:
    """As an integrand: a multiple of p - q more integrates to zero, and is as right."""
    points = rule.draw(draw, k, lambda x: some_points(x, p=(1, 40), q=(1, 40)))
    formula = Formula(student, name, PQ)
    got, (due, _) = formula.at(points), rule.values(k, points)
    # Another difference by a multiple of p - q is as right: it integrates to zero.
    apart = [(g - d) / (x["p"] - x["q"]) for g, d, x in zip(got, due, points, strict=True) if x["p"] != x["q"]]
    equal = [abs(g - d) < 1e-9 for g, d, x in zip(got, due, points, strict=True) if x["p"] == x["q"]]
    if len(apart) < 2 or not all(equal) or not same(apart, [apart[0]] * len(apart), 1e-7):
        rule.judge(k, points, got, name, [say(**x) for x in points])
    formula.settle()


@q6.test(points=1)
def value_of_the_game(student: Any, draw: Draw, k: Constants) -> None:
    judge_integrand(student, draw, k, "value_integrand", VALUE)


@q6.test(points=1)
def its_divergence(student: Any, draw: Draw, k: Constants) -> None:
    judge_integrand(student, draw, k, "divergence_integrand", DIVERGENCE)


@q6.test(points=1)
def its_constant(student: Any, draw: Draw, k: Constants) -> None:
    given = student.get("constant")
    tree = getattr(given, "tree", None)
    try:
        formula = Formula(student, "constant", [])
    except Wrong:
        if tree is None:
            raise
        left = Formula(student, "constant", PQ)
        points = some_points(draw, p=(1, 40), q=(1, 40))
        n = k.alpha + k.beta
        due = [k.alpha * x["p"] * math.log(k.alpha / n) + k.beta * x["q"] * math.log(k.beta / n) for x in points]
        if same(left.at(points), due, 1e-8):
            raise Wrong(
                "constant: this is what is left under the integral. Integrate it: p and q are "
                "densities.", 0.5) from None  # fmt: skip
        raise
    single = getattr(given, "dtype", None) == torch.float32
    got = formula.at([{}])
    right, slips = CONSTANT.values(k, [{}])
    known = [(v, s.lesson, s.keeps) for v, s in zip(slips, CONSTANT.slips, strict=True)]
    judge(got, right, known, "constant", rel=1e-6 if single else CONSTANT.rel)
    formula.settle()


@q6.public
def _(k: Constants) -> list[Case]:
    point = {"p": 1.0, "q": 1.0}
    return [
        VALUE.case(k, "value_integrand", (point,), "value_integrand at p = q = 1", at=point),
        DIVERGENCE.case(k, "divergence_integrand", (point,), "divergence_integrand at p = q = 1 (no "
                        "distance there)", at=point),
    ]  # fmt: skip


# Question 7 ----------------------------------------------------------------------------------


def squares(k: Constants, f: Tensor, g: Tensor, a: float, b: float) -> Tensor:
    f, g = f.double(), g.double()
    return k.alpha * ((f - b) ** 2).mean() / 2 + k.beta * ((g - a) ** 2).mean() / 2


def generator_square(k: Constants, g: Tensor, c: float) -> Tensor:
    return k.beta * ((g.double() - c) ** 2).mean() / 2


ORDER = "the order of the arguments: the question's is (f_real, f_fake, a, b)."
SQUARE_SIGN = "the sign: a squared distance is minimised as it stands."
HALF = "the factor 1/2 is missing."
SQUARES = Rule(squares, [
    Slip(lambda k, f, g, a, b: -squares(k, f, g, a, b), SQUARE_SIGN),
    Slip(lambda k, f, g, a, b: 2 * squares(k, f, g, a, b), HALF, keeps=0.5),
    Slip(lambda k, f, g, a, b: squares(k, f, g, b, a), "the targets are exchanged: real samples "
         f"have b, generated ones a (or it is {ORDER})", keeps=0.5),
    Slip(lambda k, f, g, a, b: squares(k, g, f, a, b), "real and fake are swapped."),
    Slip(lambda k, f, g, a, b: k.alpha * ((f.double() - b) ** 2).mean() / 2, "one half is missing: "
         "the generated samples do not count."),
    Slip(lambda k, f, g, a, b: k.beta * ((g.double() - a) ** 2).mean() / 2, "one half is missing: "
         "the real samples do not count."),
    Slip(lambda k, f, g, a, b: k.alpha * ((f.double() - b) ** 2).sum() / 2
         + k.beta * ((g.double() - a) ** 2).sum() / 2, SUMMED, keeps=0.25),
    Slip(lambda k, f, g, a, b: squares(k, f, g, 0.0, 1.0), "the targets a and b are not used: this "
         "is the 0-1 coding.", keeps=0.5),
    Slip(lambda k, f, g, a, b: squares(k, torch.sigmoid(f.double()), torch.sigmoid(g.double()), a, b),
         "a sigmoid is applied; the critic is used as it is.", keeps=0.5),
    Slip(lambda k, f, g, a, b: squares(weighted(k, 1, 1), f, g, a, b), UNWEIGHTED, keeps=0.5),
    Slip(lambda k, f, g, a, b: squares(weighted(k, k.beta, k.alpha), f, g, a, b), EXCHANGED, 0.5),
    Slip(lambda k, f, g, a, b: squares(k, f, g, a, b) / (k.alpha + k.beta), AVERAGED, keeps=0.5),
    Slip(lambda k, f, g, a, b: k.alpha * (f.double() - b).abs().mean() / 2
         + k.beta * (g.double() - a).abs().mean() / 2, "the square is missing."),
    Slip(lambda k, f, g, a, b: k.alpha * (f.double().mean() - b) ** 2 / 2
         + k.beta * (g.double().mean() - a) ** 2 / 2, "the squares of the means; the mean of the squares is asked for."),
])  # fmt: skip
SQUARE = Rule(generator_square, [
    Slip(lambda k, g, c: -generator_square(k, g, c), SQUARE_SIGN),
    Slip(lambda k, g, c: 2 * generator_square(k, g, c), HALF, keeps=0.5),
    Slip(lambda k, g, c: generator_square(k, g, 0.0), "the target c is not used."),
    Slip(lambda k, g, c: generator_square(k, g, 1.0), "the target c is not used."),
    Slip(lambda k, g, c: generator_square(k, torch.sigmoid(g.double()), c), "a sigmoid is applied; "
         "the critic is used as it is.", keeps=0.5),
    Slip(lambda k, g, c: len(g) * generator_square(k, g, c), SUMMED, keeps=0.25),
    Slip(lambda k, g, c: k.beta * (g.double().mean() - c) ** 2 / 2, "the square of the mean; the mean of the "
         "squares is asked for."),
    Slip(lambda k, g, c: generator_square(weighted(k, 0, 1), g, c), "the weight of the generated samples is "
         "missing.", keeps=0.5),
    Slip(lambda k, g, c: generator_square(weighted(k, 0, k.alpha), g, c), EXCHANGED, keeps=0.5),
])  # fmt: skip
q7 = Question("q7", seconds=5)
D7, G7 = "lsgan_discriminator_loss", "lsgan_generator_loss"
FLOAT = (
    " raised an error with the numbers a and b, and works with tensors: the question's signature "
    "has floats. F.mse_loss needs torch.full_like(f, b)."
)


def ask_squares(student: Any, name: str, tensors: tuple[Tensor, ...], targets: list[float], wrt: Any) -> tuple[Any, bool]:
    """The reply, and whether the targets had to be tensors."""
    try:
        return student.call(name, *tensors, *targets, wrt=wrt), False
    except Exception as first:
        if "raised" not in str(first):
            raise
        try:
            return student.call(name, *tensors, *map(torch.tensor, targets), wrt=wrt), True
        except Exception:
            raise first from None


def targets(draw: Draw, n: int) -> list[float]:
    """Targets with one decimal of 1/4, none of them 0, 1 or -1."""
    return [draw.integer(5, 15) / 4 * draw.choice([-1, 1]) for _ in range(n)]


@q7.test(points=1)
def squares_values(student: Any, draw: Draw, k: Constants) -> None:
    tensors = False
    for real, fake in ((3, 2), (4, 7)):
        f, g, a, b = SQUARES.draw(draw, k, lambda x, n=real, m=fake: (x.normal(n), x.normal(m), *targets(x, 2)))
        got, as_tensors = ask_squares(student, D7, (f, g), [a, b], ())
        SQUARES.judge(k, (f, g, a, b), [number(got)], D7, say(f_real=f, f_fake=g, a=a, b=b))
        tensors |= as_tensors
    if tensors:
        raise Wrong(D7 + FLOAT, 0.5)


@q7.test(points=1)
def squares_can_be_trained(student: Any, draw: Draw, k: Constants) -> None:
    f, g, a, b = SQUARES.draw(draw, k, lambda x: (x.normal(3), x.normal(2), *targets(x, 2)))
    got, as_tensors = ask_squares(student, D7, (f, g), [a, b], [0, 1])
    right = slopes(lambda x, y: squares(k, x, y, a, b), f, g)
    mine = trainable(got, ["f_real", "f_fake"])
    case = say(f_real=f, f_fake=g, a=a, b=b)
    judge(mine, right, [
        ([2 * x for x in right], HALF, 0.25),
        (slopes(lambda x, y: squares(k, x, y, b, a), f, g), ORDER, 0.25),
        (slopes(lambda x, y: squares(weighted(k, 1, 1), x, y, a, b), f, g), UNWEIGHTED, 0.5),
    ], f"the slopes of {D7}", case)  # fmt: skip
    pure(got, ["f_real", "f_fake"])
    if as_tensors:
        raise Wrong(D7 + FLOAT, 0.5)


@q7.test(points=0.5)
def square_values(student: Any, draw: Draw, k: Constants) -> None:
    for n in (3, 5):
        g, c = SQUARE.draw(draw, k, lambda x, n=n: (x.normal(n), *targets(x, 1)))
        got, as_tensors = ask_squares(student, G7, (g,), [c], ())
        SQUARE.judge(k, (g, c), [number(got)], G7, say(f_fake=g, c=c))
    if as_tensors:
        raise Wrong(G7 + FLOAT, 0.5)


@q7.test(points=0.5)
def square_can_be_trained(student: Any, draw: Draw, k: Constants) -> None:
    g, c = SQUARE.draw(draw, k, lambda x: (x.normal(3), *targets(x, 1)))
    got, as_tensors = ask_squares(student, G7, (g,), [c], [0])
    right = slopes(lambda x: generator_square(k, x, c), g)
    judge(trainable(got, ["f_fake"]), right, [([2 * x for x in right], HALF, 0.25)],
          f"the slopes of {G7}", say(f_fake=g, c=c))  # fmt: skip
    pure(got, ["f_fake"])
    if as_tensors:
        raise Wrong(G7 + FLOAT, 0.5)


@q7.public
def _(k: Constants) -> list[Case]:
    one, zero = torch.ones(3), torch.zeros(2)
    return [
        SQUARES.case(k, D7, (one, zero, 0.0, 1.0), "the loss of a critic that hits both targets",
                     args=(one, zero, 0.0, 1.0)),
        SQUARE.case(k, G7, (zero, 1.0), f"{G7} at f = 0, c = 1", args=(zero, 1.0)),
    ]  # fmt: skip


# Question 8 ----------------------------------------------------------------------------------


def constant_part(k: Constants, a: float, b: float, c: float) -> float:
    n = k.alpha + k.beta
    return (k.alpha * b + k.beta * a - n * c) ** 2 / n


def factor(k: Constants, a: float, b: float, c: float) -> float:
    return (b - a) ** 2 * (k.alpha * k.beta / (k.alpha + k.beta)) ** 2


K0 = Rule(over(constant_part), [
    Slip(over(lambda k, a, b, c: constant_part(k, a, b, c) / 2), "this is half of k0; the question's "
         "K has no factor 1/2.", keeps=0.25),
    Slip(over(lambda k, a, b, c: constant_part(k, a, b, c) / (k.alpha + k.beta)), "divided by the sum "
         "of the weights: what is left integrates to that sum, not to 1.", keeps=0.25),
    Slip(over(lambda k, a, b, c: constant_part(k, a, b, -c)), "the sign of c.", keeps=0.0),
    Slip(over(lambda k, a, b, c: constant_part(k, b, a, c)), "a and b are exchanged: b is the target "
         "of real samples, a that of generated ones."),
    Slip(over(lambda k, a, b, c: (a + b - 2 * c) ** 2 / 2), UNWEIGHTED, keeps=0.25),
    Slip(over(factor), "this is k1: k0 and k1 are exchanged."),
    Slip(over(lambda k, a, b, c: 0.0), "the constant vanishes for one c only."),
    Slip(over(lambda k, a, b, c: constant_part(k, -a, b, c)), "a sign: the answer of the critic at p = q "
         "is a mean of both targets.", keeps=0.25),
], rel=1e-8)  # fmt: skip
K1 = Rule(over(factor), [
    Slip(over(lambda k, a, b, c: factor(k, a, b, c) / 2), "this is half of k1; the question's K has "
         "no factor 1/2.", keeps=0.25),
    Slip(over(lambda k, a, b, c: factor(k, a, b, c) / (k.alpha + k.beta)), "divided by the sum of "
         "the weights once too often.", keeps=0.25),
    Slip(over(lambda k, a, b, c: (b - a) ** 2), "the factor in front of (b - a)^2 is missing: it is "
         "the square of a product of weights.", keeps=0.0),
    Slip(over(lambda k, a, b, c: (b - a) ** 2 / 4), "1/4 belongs to equal weights.", keeps=0.25),
    Slip(over(lambda k, a, b, c: (b - a) ** 2 * k.alpha * k.beta / (k.alpha + k.beta)), "the product "
         "of the weights over their sum is squared too.", keeps=0.25),
    Slip(over(lambda k, a, b, c: (b + a) ** 2 * (k.alpha * k.beta / (k.alpha + k.beta)) ** 2),
         "the sign: only the distance of the targets counts."),
    Slip(over(constant_part), "this is k0: k0 and k1 are exchanged."),
    Slip(over(lambda k, a, b, c: (b - a) * (k.alpha * k.beta / (k.alpha + k.beta)) ** 2), "b - a is "
         "squared.", keeps=0.25),
    Slip(over(lambda k, a, b, c: factor(k, c, b, c)), "a, not c, is the other target: k1 does not "
         "depend on c."),
], rel=1e-8)  # fmt: skip


def squares_value(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    p, q = p.double(), q.double()
    both = k.alpha * p + k.beta * q
    best = (k.alpha * b * p + k.beta * a * q) / torch.where(both > 0, both, 1.0)
    return (both * (best - c) ** 2).sum()


def some_bins(p: Tensor, q: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(keep, p, 0.0), torch.where(keep, q, 0.0)


def closed_form(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    p, q = p.double(), q.double()
    both = k.alpha * p + k.beta * q
    delta = ((p - q) ** 2 / torch.where(both > 0, both, 1.0)).sum()
    return constant_part(k, a, b, c) + factor(k, a, b, c) * delta


VALUE8 = Rule(squares_value, [
    Slip(lambda k, p, q, a, b, c: squares_value(k, p, q, a, b, c) / 2, "half of it: K has no factor "
         "1/2.", keeps=0.25),
    Slip(lambda k, p, q, a, b, c: squares_value(k, p, q, a, b, c) / len(p), "a mean over the bins; an "
         "expectation is the sum of mass times value."),
    Slip(lambda k, p, q, a, b, c: squares_value(k, p, q, b, a, c), "a and b are exchanged: b is the "
         "target of real samples, a that of generated ones.", keeps=0.25),
    Slip(lambda k, p, q, a, b, c: squares_value(k, p, q, a, b, -c), "the sign of c."),
    Slip(lambda k, p, q, a, b, c: squares_value(weighted(k, 1, 1), p, q, a, b, c), UNWEIGHTED, 0.25),
    Slip(lambda k, p, q, a, b, c: squares_value(k, q, p, a, b, c), "p and q are exchanged."),
])  # fmt: skip
EDGES = Rule(squares_value, [
    *VALUE8.slips,
    Slip(lambda k, p, q, a, b, c: squares_value(k, *some_bins(p, q, (p > 0) & (q > 0)), a, b, c),
         "bins where one of p and q is zero are left out; only both zero count nothing."),
    Slip(lambda k, p, q, a, b, c: squares_value(k, p / p.sum(), q / q.sum(), a, b, c),
         "p and q are divided by their sums; they need not sum to one.", keeps=0.25),
    Slip(closed_form, "this is k0 + k1 Delta, which holds only if p and q sum to one; compute K "
         "from its definition."),
])  # fmt: skip
q8 = Question("q8", seconds=5, inject=inject_d_gan)
ABC = ["a", "b", "c"]
PLACES = {"a": (-50, 50), "b": (-50, 50), "c": (-50, 50)}


def normalised(draw: Draw, n: int) -> Tensor:
    """``n`` positive masses, multiples of 1/64 that sum to one."""
    steps = torch.tensor(draw.integers(n, 4, 14), dtype=torch.float32)
    steps[-1] += 64 - steps.sum()
    return steps / 64


@q8.test(points=1)
def the_constant(student: Any, draw: Draw, k: Constants) -> None:
    points = K0.draw(draw, k, lambda x: some_points(x, **PLACES))
    judge_formula(student, K0, k, "k0", ABC, points)


@q8.test(points=1)
def the_factor(student: Any, draw: Draw, k: Constants) -> None:
    points = K1.draw(draw, k, lambda x: some_points(x, **PLACES))
    judge_formula(student, K1, k, "k1", ABC, points)


@q8.test(points=1)
def on_distributions(student: Any, draw: Draw, k: Constants) -> None:
    for n in (3, 4):
        inputs = VALUE8.draw(draw, k, lambda x, n=n: (normalised(x, n), normalised(x, n), *targets(x, 3)))
        got = number(student.call("criterion", *inputs))
        VALUE8.judge(k, inputs, [got], "criterion", say(**dict(zip("pqabc", inputs, strict=True))))


@q8.test(points=1)
def on_masses_with_zeros(student: Any, draw: Draw, k: Constants) -> None:
    def sample(x: Draw) -> tuple[Any, ...]:
        p, q = x.uniform(5), x.uniform(5)
        p[1], q[2], p[3], q[3] = 0.0, 0.0, 0.0, 0.0
        return p, q, *targets(x, 3)

    inputs = EDGES.draw(draw, k, sample)
    got = number(student.call("criterion", *inputs))
    if math.isnan(got):
        raise Wrong(
            "criterion is nan where a bin has p = q = 0: that is 0/0. Such a bin has no mass: give "
            "it any finite D* and its weight zero removes it."
        )
    EDGES.judge(k, inputs, [got], "criterion", say(**dict(zip("pqabc", inputs, strict=True))))


@q8.public
def _(k: Constants) -> list[Case]:
    point = {"a": -1.0, "b": 1.0, "c": 0.0}
    bins = torch.tensor([0.25, 0.25, 0.5])  # a mean over them is another slip than a half
    inputs = (bins, bins, -1.0, 1.0, 0.0)
    return [
        K0.case(k, "k0", (point,), "k0 for a = -1, b = 1, c = 0", at=point),
        VALUE8.case(k, "criterion", inputs, "criterion for p = q = [0.25, 0.25, 0.5], a = -1, b = 1, c = 0",
                    args=inputs),
    ]  # fmt: skip


# Question 9 ----------------------------------------------------------------------------------


def inject_loss(k: Constants) -> Injection:
    return Injection(
        (ASKED2, "stir"),
        "import torch as _torch\n"
        "def stir():\n    _torch.rand(3)\n"  # so that a seed set inside a function shows
        "from torch.nn.functional import softplus as _softplus\n"
        f"def {ASKED2}(s_real, s_fake):\n"
        f"    return {k.alpha} * _softplus(-s_real).mean() + {k.beta} * _softplus(s_fake).mean()\n",
    )


def best_line(k: Constants, real: Tensor, fake: Tensor, offset: bool = True) -> list[float]:
    """Slope and offset that minimise the loss on these samples, by Newton's method in float64."""
    x = torch.cat([real, fake]).double()
    label = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).double()
    weight = torch.cat([torch.full_like(real, k.alpha / len(real)), torch.full_like(fake, k.beta / len(fake))])
    columns = torch.stack([x, torch.ones_like(x)], 1)[:, : 1 + offset]
    line = torch.zeros(1 + offset, dtype=torch.float64)
    for _ in range(40):
        d = torch.sigmoid(columns @ line)
        curvature = columns.T @ (columns * (weight.double() * d * (1 - d))[:, None])
        line = line - torch.linalg.solve(curvature, columns.T @ (weight.double() * (d - label)))
    return [*line.tolist(), 0.0][:2]


def samples(seed: int, mean_real: float, mean_fake: float, n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return mean_real + torch.randn(n, generator=generator), mean_fake + torch.randn(n, generator=generator)


def on_paper(k: Constants, mean_real: float, mean_fake: float) -> list[float]:
    ratio = math.log(k.alpha / k.beta)
    return [mean_real - mean_fake, (mean_fake**2 - mean_real**2) / 2 + ratio]


def line_of_samples(k: Constants, seed: int, mr: float, mf: float, n: int) -> list[float]:
    return best_line(k, *samples(seed, mr, mf, n))


def fake_first(k: Constants, seed: int, mr: float, mf: float, n: int) -> list[float]:
    """The fakes are drawn first: other samples, as right."""
    fake, real = samples(seed, mf, mr, n)
    return best_line(k, real, fake)


def of_means(k: Constants, seed: int, mr: float, mf: float, n: int) -> list[float]:
    real, fake = samples(seed, mr, mf, n)
    return on_paper(k, float(real.mean()), float(fake.mean()))


LINE = Rule(line_of_samples, [
    Slip(lambda k, *x: [-v for v in line_of_samples(k, *x)], "minus the right line: real and fake "
         "are swapped, or the loss has lost its sign.", keeps=0.25),
    Slip(lambda k, s, mr, mf, n: on_paper(k, mr, mf), "this is the line on paper, not the one that "
         "minimises the loss on these samples."),
    Slip(of_means, "this is computed from the means of the samples; the question asks for the "
         "minimum of the loss."),
    Slip(lambda k, *x: line_of_samples(k, *x)[::-1], "slope and offset are exchanged.", keeps=0.5),
    Slip(lambda k, *x: best_line(k, *samples(*x), offset=False), "the offset is not trained.", 0.25),
    Slip(lambda k, *x: line_of_samples(weighted(k, 1, 1), *x), UNWEIGHTED, keeps=0.5),
    Slip(lambda k, *x: line_of_samples(weighted(k, k.beta, k.alpha), *x), EXCHANGED, keeps=0.5),
], rel=1e-3)  # fmt: skip
q9 = Question("q9", seconds=20, inject=inject_loss)
SIZE = 128


def loss_of(k: Constants, line: list[float], real: Tensor, fake: Tensor) -> float:
    return float(logit_loss(k, line[0] * real.double() + line[1], line[0] * fake.double() + line[1]))


def two_clouds(draw: Draw) -> tuple[int, float, float, int]:
    """Seed, both means, size. Far apart, a thousand steps would not arrive."""
    real = draw.integer(-6, 6) / 4
    return draw.seed(), real, real + draw.choice([-1, 1]) * draw.integer(2, 8) / 4, SIZE


@q9.test(points=2)
def line(student: Any, draw: Draw, k: Constants) -> None:
    for _ in range(2):
        seed, mr, mf, n = LINE.draw(draw, k, two_clouds)
        got = student.call("fit_discriminator", Seed(seed), mr, mf, n)
        mine = numbers(got, 2, "(slope, offset)")
        case = f"real N({mr}, 1), fake N({mf}, 1), n = {n}"
        if same(mine, fake_first(k, seed, mr, mf, n), LINE.rel):
            continue
        real, fake = samples(seed, mr, mf, n)
        try:
            LINE.judge(k, (seed, mr, mf, n), mine, "(slope, offset)", case)
        except Wrong as wrong:
            right = line_of_samples(k, seed, mr, mf, n)
            for slip, why in (((1, 1), UNWEIGHTED), ((k.beta, k.alpha), EXCHANGED)):
                if same(mine, line_of_samples(weighted(k, *slip), seed, mr, mf, n), 0.02):
                    raise Wrong(f"(slope, offset): {why}", 0.5) from None
            low, start, at = (loss_of(k, v, real, fake) for v in (right, [0.0, 0.0], mine))
            if ": you get" in str(wrong) and low < at < low + 0.9 * (start - low):
                near_paper = max(abs(x - y) for x, y in zip(mine, on_paper(k, mr, mf), strict=True)) < 0.02
                raise Wrong(
                    f"(slope, offset) at {case}: you get ({mine[0]:.4f}, {mine[1]:.4f}), where the loss "
                    f"is {at - low:.2g} above its minimum on these samples, {low:.5f}, which it has at "
                    f"({right[0]:.4f}, {right[1]:.4f}). Train longer, or with larger steps.",
                    0.0 if near_paper else 0.25,
                ) from None
            raise


@q9.test(points=1)
def seeds(student: Any, draw: Draw, k: Constants) -> None:
    one, other = draw.seed(), draw.seed()
    asked = []
    for seed in (one, one, other):
        student.call("stir")
        asked.append(student.call("fit_discriminator", Seed(seed), 1.0, -1.0, 64))
    first, again, third = (numbers(a, 2, "(slope, offset)") for a in asked)
    if first != again:
        raise Wrong("the same seed gave two different lines: draw every sample with generator=generator.")
    if first == third:
        raise Wrong("two seeds gave the same line: draw the samples with the generator passed in.")
    if not all(a.rng_same for a in asked):
        raise Wrong(
            "torch's global random state has changed: draw with generator=generator, and set no seed "
            "inside a function."
        )


@q9.public
def _(k: Constants) -> list[Case]:
    inputs = (1, 0.5, -0.5, 256)
    w, t = line_of_samples(k, *inputs)
    known = [
        ([-w, -t], "minus the right line: real and fake are swapped, or the loss has lost its sign."),
        ([t, w], "slope and offset are exchanged."),
        (on_paper(k, *inputs[1:3]), "this is the line on paper; train on the samples."),
        (line_of_samples(weighted(k, 1, 1), *inputs), UNWEIGHTED),
        (fake_first(k, *inputs), "right for other samples: here the real ones are drawn first."),
    ]
    return [
        Case("fit_discriminator", [w, t], [(v, why) for v, why in known if not same(v, [w, t], 0.05)],
             "(slope, offset) for real N(0.5, 1), fake N(-0.5, 1), n = 256", rel=0.02,
             args=(Seed(inputs[0]), *inputs[1:])),
    ]  # fmt: skip


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7, q8, q9]
