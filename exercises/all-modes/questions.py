"""Hidden tests and public cases of the assignment `all-modes`. Keep this file to yourself.

The game of part 1: data at ``k.m``, the weight ``k.a`` of the generator's loss, the penalty
``k.gamma`` on the critic's slope, ``k.turns`` steps of the critic in an alternating step. Modes are
counted within ``k.reach`` standard deviations, and filled from ``k.fair`` of a fair share on. The
discriminator of part 3 sees ``k.weight`` fakes for each datum, and ``k.old`` of 8 come from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import chi2
from torch import Tensor

from tools.grader import asking
from tools.grader.asking import Injection
from tools.grader.expressions import judge_formula, real
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Nothing,
    Question,
    Rule,
    Slip,
    Wrong,
    number,
    numbers,
    over,
    same,
    say,
    varied,
)

TITLE = "Does it converge, and to all modes?"


def constants(draw: Draw) -> dict[str, Any]:
    """Constants for which the eigenvalues are a pair, and no two slips give one step size."""
    return {
        "m": draw.choice([0.5, 0.75, 1.0, 1.25]),
        "a": draw.integer(3, 6),
        "gamma": draw.choice([0.1, 0.2, 0.3, 0.4]),
        "turns": draw.choice([2, 3]),
        "reach": draw.choice([2, 2.5, 4, 5]),
        "fair": draw.choice([0.2, 0.3, 0.4, 0.5]),
        "weight": draw.integer(2, 6),
        "old": draw.choice([2, 3, 5, 6]),
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer's number, so that one could be copied."""
    return any(
        getattr(k, name) == getattr(other, name)
        for name in ("m", "a", "gamma", "reach", "weight", "old")
    )


# Question 1: field, Jacobian, eigenvalues -----------------------------------------------------

Point = dict[str, float]


def sigma(x: float) -> float:
    return (1 + math.tanh(x / 2)) / 2


def push(k: Constants, theta: float, psi: float) -> float:
    """The generator's half of the field."""
    return k.a * psi * sigma(-psi * theta)  # type: ignore[no-any-return]


def pull(k: Constants, theta: float, psi: float) -> float:
    """The critic's half of the field."""
    return k.m * sigma(-k.m * psi) - theta * sigma(psi * theta) - k.gamma * psi  # type: ignore[no-any-return]


ASCENT = "the sign: the players minimise, so the field is minus the slope."
PUSH = Rule(
    over(push),
    [
        Slip(over(lambda k, theta, psi: -push(k, theta, psi)), ASCENT, 0.25),
        Slip(
            over(lambda k, theta, psi: push(varied(k, a=1), theta, psi)),
            "the weight of the generator's loss is missing.",
            0.5,
        ),
        Slip(
            over(lambda k, theta, psi: k.a * psi * sigma(psi * theta)),
            "this descends -log(1 - D), the saturating loss; here L_G is the weight times "
            "log(1 + exp(-psi theta)).",
            0.25,
        ),
        Slip(
            over(lambda k, theta, psi: k.a * sigma(-psi * theta)),
            "the inner derivative is missing: psi theta by theta is psi.",
            0.25,
        ),
        Slip(
            over(lambda k, theta, psi: k.a * theta * sigma(-psi * theta)),
            "this is the slope by psi; the generator moves theta.",
            0.25,
        ),
    ],
    rel=1e-8,
)
PULL = Rule(
    over(pull),
    [
        Slip(over(lambda k, theta, psi: -pull(k, theta, psi)), ASCENT, 0.25),
        Slip(
            over(lambda k, theta, psi: pull(varied(k, gamma=0), theta, psi)),
            "the penalty is missing.",
            0.5,
        ),
        Slip(
            over(lambda k, theta, psi: pull(k, theta, psi) - k.gamma * psi),
            "the penalty's factor 1/2: its slope is gamma psi.",
            0.5,
        ),
        Slip(
            over(lambda k, theta, psi: pull(k, theta, psi) + k.gamma * psi / 2),
            "the penalty's slope is gamma psi: the square brings a 2 down.",
            0.5,
        ),
        Slip(
            over(lambda k, theta, psi: pull(k, theta, psi) - k.m * sigma(-k.m * psi)),
            "the data's half is missing: they are not at 0.",
            0.25,
        ),
        Slip(
            over(lambda k, theta, psi: pull(k, theta, psi) + 2 * theta * sigma(psi * theta)),
            "the sign of the fakes' half: the critic pays for a high logit there.",
            0.25,
        ),
    ],
    rel=1e-8,
)


def damping(k: Constants) -> float:
    return float(k.m**2 / 2 + k.gamma)


def turning(k: Constants, c: float | None = None) -> tuple[float, float]:
    """The pair u, omega of [[0, a/2], [-1/2, -c]]; nan where the eigenvalues are real."""
    c = damping(k) if c is None else c
    square = k.a / 4 - c**2 / 4
    return -c / 2, math.sqrt(square) if square > 0 else math.nan


def jacobian(k: Constants, c: float | None = None, half: float = 0.5) -> list[float]:
    return [0.0, k.a * half, -half, -(damping(k) if c is None else c)]


JACOBIAN = Rule(
    jacobian,
    [
        Slip(
            lambda k: [jacobian(k)[i] for i in (0, 2, 1, 3)],
            "rows and columns are exchanged: a row is one half of the field, its columns are theta "
            "and psi.",
            0.5,
        ),
        Slip(lambda k: [-x for x in jacobian(k)], ASCENT, 0.25),
        Slip(
            lambda k: jacobian(k, half=1.0),
            "sigma(0) = 1/2 is missing off the diagonal.",
            0.5,
        ),
        Slip(lambda k: jacobian(varied(k, a=1), damping(k)), "the weight of L_G is missing.", 0.5),
        Slip(
            lambda k: jacobian(k, k.m**2 / 4 + k.gamma),
            "this is the Jacobian at theta = 0, or half of the curvature: at (m, 0) the fakes are "
            "at m too, and both terms of L_D are curved.",
            0.5,
        ),
        Slip(
            lambda k: jacobian(k, k.gamma),
            "the penalty alone: the two other terms of L_D are curved in psi as well, since the "
            "data are not at 0.",
            0.5,
        ),
        Slip(lambda k: jacobian(k, k.m**2 / 2), "the penalty is missing.", 0.5),
        Slip(
            lambda k: jacobian(k, k.m**2 + k.gamma),
            "twice the curvature: sigma'(0) is 1/4.",
            0.5,
        ),
        Slip(
            lambda k: [0.0, 0.5 * k.a, 0.5, -damping(k)],
            "the sign of v_psi by theta: fakes with a higher theta pull the slope down.",
            0.25,
        ),
    ],
)
EIGENVALUES = Rule(
    turning,
    [
        Slip(lambda k: turning(k)[::-1], "the real part comes first.", 0.5),
        Slip(
            lambda k: (-turning(k)[0], turning(k)[1]),
            "the sign of the real part: it is half the trace of J, and the critic's slope is "
            "damped.",
            0.25,
        ),
        Slip(
            lambda k: (0.0, math.sqrt(k.a) / 2),
            "this is the turning alone: the game damps the critic's slope, and the trace of J is "
            "not 0.",
            0.25,
        ),
        Slip(lambda k: turning(k, k.gamma), "J has the penalty alone in its corner.", 0.5),
        Slip(
            lambda k: turning(k, k.m**2 / 4 + k.gamma),
            "J has half of the curvature in its corner.",
            0.5,
        ),
        Slip(
            lambda k: (turning(k)[0], turning(k)[1] ** 2),
            "the root is missing: omega squared is the determinant less a quarter of the squared "
            "trace.",
            0.5,
        ),
        Slip(
            lambda k: (turning(k)[0] * 2, turning(k)[1] * 2),
            "half of it: the quadratic formula divides by 2.",
            0.5,
        ),
        Slip(
            lambda k: (turning(k)[0], math.sqrt(k.a) / 2),
            "this omega is the root of the determinant; a quarter of the squared trace is "
            "subtracted first.",
            0.5,
        ),
    ],
)
q1 = Question("q1", seconds=5)


def values(student: Any, name: str, count: int, shape: str) -> list[float]:
    """So many real numbers of a name: nested lists, tuples, a matrix or a tensor."""

    def flat(value: Any) -> list[Any]:
        tensor = getattr(value, "tensor", value)
        if isinstance(tensor, Tensor):
            return list(tensor.double().flatten().tolist())
        if isinstance(value, list | tuple):
            return [x for v in value for x in flat(v)]
        return [value]

    value = student.get(name)
    found = flat(value)
    if len(found) != count:
        raise Wrong(f"{name} must be {shape}; it is {asking.kind_of(value)}.")
    return [real(x, name) for x in found]


def some_points(draw: Draw) -> tuple[Point, ...]:
    """Four points of the plane, quarters."""
    return tuple(
        {"theta": draw.integer(-8, 8) / 4, "psi": draw.integer(-8, 8) / 4 + 0.125} for _ in range(4)
    )


@q1.test(points=0.5)
def generator_field(student: Any, draw: Draw, k: Constants) -> None:
    points = PUSH.draw(draw, k, some_points)
    judge_formula(student, PUSH, k, "v_theta", ["theta", "psi"], points)


@q1.test(points=0.5)
def critic_field(student: Any, draw: Draw, k: Constants) -> None:
    points = PULL.draw(draw, k, some_points)
    judge_formula(student, PULL, k, "v_psi", ["theta", "psi"], points)


@q1.test(points=1)
def the_jacobian(student: Any, draw: Draw, k: Constants) -> None:
    got = values(student, "J", 4, "two rows of two numbers")
    JACOBIAN.judge(k, (), got, "J", shape=(2, 2))


@q1.test(points=1)
def the_eigenvalues(student: Any, draw: Draw, k: Constants) -> None:
    got = values(student, "eigenvalues", 2, "the pair (u, omega) of real numbers")
    EIGENVALUES.judge(k, (), got, "eigenvalues")


@q1.public
def _(k: Constants) -> list[Case]:
    at = {"theta": 0.0, "psi": 1.0}
    return [
        PUSH.case(k, "v_theta", (at,), "v_theta at theta = 0, psi = 1", at=at),
        PULL.case(k, "v_psi", (at,), "v_psi at theta = 0, psi = 1", at=at),
    ]


# Question 2: which steps come home? -----------------------------------------------------------


def growth(k: Constants, h: float, c: float | None = None) -> float:
    u, omega = turning(k, c)
    return math.hypot(1 + h * u, h * omega)


GROWTH = Rule(
    growth,
    [
        Slip(
            lambda k, h: abs(1 + h * turning(k)[0]),
            "the imaginary part is missing: 1 + hu + ih omega is longer than its real part, and "
            "even with u = 0 its modulus is above 1.",
            0.25,
        ),
        Slip(
            lambda k, h: math.exp(h * turning(k)[0]),
            "this is the flow, with steps of no length; a step of size h has I + hJ.",
            0.25,
        ),
        Slip(lambda k, h: growth(k, h) ** 2, "the root is missing: this is the square.", 0.5),
        Slip(
            lambda k, h: math.hypot(1, h * turning(k)[1]),
            "the damping u is missing.",
            0.25,
        ),
        Slip(lambda k, h: math.sqrt(k.a) / 2, "this is the modulus of an eigenvalue of J.", 0.0),
        Slip(lambda k, h: h * math.sqrt(k.a) / 2, "this is hJ; the state stays, and I is added."),
        Slip(lambda k, h: growth(k, h, k.gamma), "J has the penalty alone in its corner.", 0.5),
        Slip(
            lambda k, h: growth(k, h, k.m**2 / 4 + k.gamma),
            "J has half of the curvature in its corner.",
            0.5,
        ),
        Slip(
            lambda k, h: (1 + h * turning(k)[0]) ** 2 - (h * turning(k)[1]) ** 2,
            "the square of a complex number is not its modulus: the imaginary part counts plus.",
            0.25,
        ),
    ],
)
LARGEST = Rule(
    lambda k: 4 * damping(k) / k.a,
    [
        Slip(
            lambda k: 4 / damping(k),
            "this looks at the real part of 1 + hu + ih omega alone; the imaginary part makes it "
            "longer, and the limit much smaller.",
            0.25,
        ),
        Slip(
            lambda k: 2 * damping(k) / k.a,
            "this is the best step; the largest is twice as long.",
            0.5,
        ),
        Slip(lambda k: damping(k) / k.a, "the determinant of J is a/4, not a.", 0.5),
        Slip(lambda k: 4 * k.gamma / k.a, "J has the penalty alone in its corner.", 0.5),
        Slip(
            lambda k: 4 * (k.m**2 / 4 + k.gamma) / k.a,
            "J has half of the curvature in its corner.",
            0.5,
        ),
        Slip(
            lambda k: 2 / (math.sqrt(k.a) / 2), "2 over the modulus belongs to a real eigenvalue."
        ),
    ],
)
BEST = Rule(
    lambda k: 2 * damping(k) / k.a,
    [
        Slip(
            lambda k: 2 / damping(k),
            "here the real part of 1 + hu + ih omega vanishes; its modulus is least elsewhere.",
            0.25,
        ),
        Slip(lambda k: 4 * damping(k) / k.a, "this is the largest step, where growth is 1.", 0.25),
        Slip(lambda k: damping(k) / (2 * k.a), "the determinant of J is a/4, not a.", 0.5),
        Slip(lambda k: 2 * k.gamma / k.a, "J has the penalty alone in its corner.", 0.5),
        Slip(
            lambda k: 2 * (k.m**2 / 4 + k.gamma) / k.a,
            "J has half of the curvature in its corner.",
            0.5,
        ),
        Slip(lambda k: 0.0, "at h = 0 nothing moves, and growth is 1."),
    ],
)


def inject_linear(k: Constants) -> Injection:
    """The right answers to question 1."""
    u, omega = turning(k)
    trace = 2 * u
    return Injection(
        ("J", "eigenvalues"),
        f"J = [[0, {k.a / 2!r}], [-0.5, {trace!r}]]\neigenvalues = ({u!r}, {omega!r})\n",
    )


q2 = Question("q2", seconds=5, inject=inject_linear)


@q2.test(points=1.5)
def the_growth(student: Any, draw: Draw, k: Constants) -> None:
    for low, high in ((1, 8), (12, 40)):
        (h,) = GROWTH.draw(draw, k, lambda d, a=low, b=high: (d.integer(a, b) / 16,))
        GROWTH.judge(k, (h,), [number(student.call("growth", h))], "growth", say(h=h))


@q2.test(points=1)
def the_largest_step(student: Any, draw: Draw, k: Constants) -> None:
    got = values(student, "largest_step", 1, "one number")
    LARGEST.judge(k, (), got, "largest_step")


@q2.test(points=0.5)
def the_best_step(student: Any, draw: Draw, k: Constants) -> None:
    BEST.judge(k, (), values(student, "best_step", 1, "one number"), "best_step")


@q2.public
def _(k: Constants) -> list[Case]:
    return [Case("growth", [1.0], [], "growth of a step of no length", args=(0.0,))]


# Question 3: two ways to step -----------------------------------------------------------------

Move = tuple[float, float]


def at_once(k: Constants, theta: float, psi: float, h: float) -> Move:
    return theta + h * push(k, theta, psi), psi + h * pull(k, theta, psi)


def in_turn(
    k: Constants, theta: float, psi: float, h: float, turns: int = 0, old: bool = False
) -> Move:
    """The critic's steps, then the generator's, which sees the new critic, or the ``old`` one."""
    new = psi
    for _ in range(turns or k.turns):
        new += h * pull(k, theta, new)
    return theta + h * push(k, theta, psi if old else new), new


def generator_first(k: Constants, theta: float, psi: float, h: float) -> Move:
    theta = theta + h * push(k, theta, psi)
    for _ in range(k.turns):
        psi += h * pull(k, theta, psi)
    return theta, psi


def one_long(k: Constants, theta: float, psi: float, h: float) -> Move:
    psi = psi + k.turns * h * pull(k, theta, psi)
    return theta + h * push(k, theta, psi), psi


def field_slips(rule: Callable[..., Move]) -> list[Slip]:
    """Mistakes in the field, which a step of either rule shows."""
    return [
        Slip(lambda k, t, p, h: rule(k, t, p, -h), "it goes uphill: a step adds h times v.", 0.25),
        Slip(lambda k, t, p, h: rule(varied(k, gamma=0), t, p, h), "the penalty is missing.", 0.5),
        Slip(
            lambda k, t, p, h: rule(varied(k, a=1), t, p, h),
            "the weight of the generator's loss is missing.",
            0.5,
        ),
        Slip(lambda k, t, p, h: rule(k, t, p, h)[::-1], "theta comes first, psi second.", 0.5),
        Slip(lambda k, t, p, h: (rule(k, t, p, h)[0], p), "the critic has not moved."),
        Slip(lambda k, t, p, h: (t, rule(k, t, p, h)[1]), "the generator has not moved."),
    ]


def linear(k: Constants, theta: float, psi: float, h: float) -> Move:
    return theta + h * k.a * psi / 2, psi + h * ((k.m - theta) / 2 - damping(k) * psi)


AT_ONCE = Rule(
    at_once,
    [
        *field_slips(at_once),
        Slip(
            lambda k, t, p, h: in_turn(k, t, p, h, 1),
            "the generator sees the critic's new slope; both move from the same state.",
            0.25,
        ),
        Slip(
            lambda k, t, p, h: (at_once(k, t, p, h)[0], p + h * pull(k, at_once(k, t, p, h)[0], p)),
            "the critic sees the generator's new place; both move from the same state.",
            0.25,
        ),
        Slip(linear, "this is the linear part of the field; the question asks for v itself.", 0.25),
        Slip(
            lambda k, t, p, h: (push(k, t, p), pull(k, t, p)),
            "this is the field; a step adds h times it to the state.",
            0.25,
        ),
    ],
    rel=2e-6,
)
IN_TURN = Rule(
    in_turn,
    [
        *field_slips(in_turn),
        Slip(at_once, "both players move at once: this is the other rule.", 0.0),
        Slip(
            lambda k, t, p, h: in_turn(k, t, p, h, old=True),
            "the generator sees the critic of before; in this rule it sees the new one.",
            0.5,
        ),
        Slip(generator_first, "the generator moves first; here the critic does.", 0.5),
        Slip(
            lambda k, t, p, h: in_turn(k, t, p, h, 1),
            "one step of the critic; the question has more.",
            0.5,
        ),
        Slip(
            one_long,
            "one long step of the critic; in each of its steps it sees its own new slope.",
            0.5,
        ),
    ],
    rel=2e-6,
)
q3 = Question("q3", seconds=5)


def state(draw: Draw) -> tuple[float, float, float]:
    """theta, psi, h: sixteenths, away from where a half of the field vanishes."""
    return draw.integer(-32, 32) / 16, draw.choice([-1, 1]) * draw.integer(4, 32) / 16, 0.375


def step(student: Any, draw: Draw, k: Constants, name: str, rule: Rule) -> None:
    for _ in range(3):
        inputs = rule.draw(draw, k, state)
        got = numbers(student.call(name, *inputs), 2, "(theta, psi)")
        rule.judge(
            k, inputs, got, name, say(**dict(zip(("theta", "psi", "h"), inputs, strict=True)))
        )


@q3.test(points=1.5)
def both_at_once(student: Any, draw: Draw, k: Constants) -> None:
    step(student, draw, k, "simultaneous", AT_ONCE)


@q3.test(points=1.5)
def one_after_the_other(student: Any, draw: Draw, k: Constants) -> None:
    step(student, draw, k, "alternating", IN_TURN)


@q3.test(points=1)
def far_out(student: Any, draw: Draw, k: Constants) -> None:
    """No overflow where psi theta is in the thousands, and no step at the rest point.

    A small slip that the other two tests have told costs nothing here.
    """
    for theta, psi in ((60.0, 70.0), (60.0, -70.0), (k.m, 0.0)):
        inputs = (theta, psi, 0.0625)
        for name, rule in (("simultaneous", AT_ONCE), ("alternating", IN_TURN)):
            got = numbers(student.call(name, *inputs), 2, "(theta, psi)")
            right, slips = rule.values(k, inputs)
            small = [v for v, slip in zip(slips, rule.slips, strict=True) if slip.keeps >= 0.5]
            if not any(same(got, due, 1e-5) for due in (right, *small)):
                case = say(theta=theta, psi=psi, h=0.0625)
                raise Wrong(f"{name} gives ({got[0]:g}, {got[1]:g}) at {case}; due is "
                            f"({right[0]:g}, {right[1]:g}).")  # fmt: skip


@q3.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_simultaneous",
            list(at_once(k, 0, 0, 1)),
            [(list(in_turn(k, 0, 0, 1, 1)), AT_ONCE.slips[6].lesson)],
            "simultaneous from (0, 0) with h = 1",
        ),
        Case("try_alternating", [k.m, 0.0], [], "alternating from (m, 0): a rest point"),
    ]


# Question 4: a ruler for modes ----------------------------------------------------------------


def counted(
    k: Constants, x: Tensor, centres: Tensor, std: float, reach: float, level: float
) -> list[float]:
    """Modes with at least ``level`` samples within ``reach``, and the share within it."""
    distance, mode = torch.cdist(x.double(), centres.double()).min(1)
    held = torch.bincount(mode[distance <= reach], minlength=len(centres))
    return [float((held >= level).sum()), float(held.sum()) / len(x)]


def fair(k: Constants, x: Tensor, centres: Tensor) -> float:
    return float(k.fair * len(x) / len(centres))


def score(k: Constants, x: Tensor, centres: Tensor, std: float) -> list[float]:
    return counted(k, x, centres, std, k.reach * std, fair(k, x, centres))


def of_good(k: Constants, x: Tensor, centres: Tensor, std: float) -> list[float]:
    share = score(k, x, centres, std)[1]
    return counted(k, x, centres, std, k.reach * std, share * fair(k, x, centres))


SCORE = Rule(
    score,
    [
        Slip(
            lambda k, x, c, s: [
                counted(k, x, c, s, math.inf, fair(k, x, c))[0],
                score(k, x, c, s)[1],
            ],
            "samples that are nearest to a centre count for it although they lie far away: only "
            "good ones fill a mode.",
            0.25,
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, math.inf, fair(k, x, c)),
            "the distance is not looked at: every sample counts as good.",
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, k.reach * s, 1),
            "a single good sample fills a mode here: a mode of next to no density counts as much as "
            "a full one. It takes the share of the question.",
            0.25,
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, 3 * s, fair(k, x, c)),
            "the radius is the book's 3 standard deviations, not the question's.",
            0.5,
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, s, fair(k, x, c)),
            "the radius is one standard deviation.",
            0.25,
        ),
        Slip(
            of_good,
            "the fair share is taken of the good samples; of all N it is, or a few good samples "
            "among rubbish would fill every mode.",
            0.5,
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, k.reach * s, k.fair * len(x)),
            "a share of all N samples is asked for at each mode; the fair share is N/K.",
            0.5,
        ),
        Slip(
            lambda k, x, c, s: counted(k, x, c, s, k.reach * s, len(x) / len(c)),
            "a full fair share is asked for; the question asks for a part of it.",
            0.5,
        ),
        Slip(lambda k, x, c, s: score(k, x, c, s)[::-1], "modes first, share second.", 0.5),
        Slip(
            lambda k, x, c, s: [score(k, x, c, s)[0] / len(c), score(k, x, c, s)[1]],
            "the first number counts modes, it is no share of them.",
            0.5,
        ),
        Slip(
            lambda k, x, c, s: [score(k, x, c, s)[0], score(k, x, c, s)[1] * len(x)],
            "the second number is a share of all samples, not a count.",
            0.5,
        ),
    ],
    rel=2e-6,
)
q4 = Question("q4", seconds=5)


def ring(modes: int) -> Tensor:
    angle = 2 * math.pi * torch.arange(modes) / modes
    return 2 * torch.stack([angle.cos(), angle.sin()], 1)


def placed(draw: Draw, k: Constants) -> tuple[Tensor, Tensor, float]:
    """Samples (N, 2), centres (K, 2) and std: modes that are filled and modes that are not.

    Crowds lie within the reach (full) and within one std (close), outside of any reach (missed),
    inside the larger of 3 and the reach (between). A medium mode has more than the part of a fair
    share that is asked for, but not all of it; a thin one less, but more than that of the good
    samples; others have a single sample, or none.
    """
    std, crowd = draw.choice([0.03125, 0.0625]), 32
    full, missed, between = draw.integer(1, 2), draw.integer(2, 4), draw.integer(1, 2)
    close, medium, thin = draw.integer(1, 2), draw.integer(1, 2), draw.integer(1, 3)
    single, empty = draw.integer(1, 2), draw.integer(1, 2)
    modes = full + missed + between + close + medium + thin + single + empty
    share = crowd * (full + missed + between + close) / modes
    enough, few = math.ceil((k.fair + 1) / 2 * share), max(2, math.ceil(k.fair * share) - 1)
    plan = [(crowd, (1 + min(k.reach, 3)) / 2)] * full + [(crowd, 5.5)] * missed
    plan += [(crowd, (k.reach + 3) / 2)] * between + [(crowd, 0.5)] * close
    plan += [(enough, 0.5)] * medium + [(few, 0.5)] * thin + [(1, 0.5)] * single
    plan += [(0, 0.0)] * empty
    order = torch.randperm(modes, generator=draw.generator).tolist()
    centres, rows = ring(modes), []
    for mode, (count, far) in zip(order, plan, strict=True):
        angle = 2 * math.pi * draw.uniform(count, 0, 1)
        rows.append(centres[mode] + far * std * torch.stack([angle.cos(), angle.sin()], 1))
    x = torch.cat(rows)
    return x[torch.randperm(len(x), generator=draw.generator)], centres, std


@q4.test(points=2)
def mixed_samples(student: Any, draw: Draw, k: Constants) -> None:
    for _ in range(2):
        x, centres, std = SCORE.draw(draw, k, lambda d: placed(d, k))
        got = numbers(student.call("count_modes", x, centres, std), 2, "(modes, share)")
        case = f"{len(x)} samples on a ring of {len(centres)} modes with std {std:g}"
        SCORE.judge(k, (x, centres, std), got, "count_modes", case)


@q4.test(points=1)
def known_samples(student: Any, draw: Draw, k: Constants) -> None:
    """Samples whose score is known by construction, in three dimensions too."""
    modes, std = draw.integer(5, 9), 0.0625
    flat = ring(modes)
    deep = torch.cat([flat, torch.arange(modes)[:, None].float()], 1)
    for centres in (flat, deep):
        for x, due, what in (
            (centres.repeat(9, 1), [modes, 1.0], "nine samples on each centre"),
            (centres[:1].repeat(40, 1), [1, 1.0], "40 times the first centre"),
            (0 * centres.repeat(9, 1) + 9.0, [0, 0.0], "far from every centre"),
        ):
            got = numbers(student.call("count_modes", x, centres, std), 2, "(modes, share)")
            if not all(abs(a - b) < 1e-5 for a, b in zip(got, due, strict=True)):
                raise Wrong(f"count_modes of samples that lie {what} ({modes} modes in "
                            f"{centres.shape[1]} dimensions) is ({got[0]:g}, {got[1]:g}); due is "
                            f"({due[0]:g}, {due[1]:g}).")  # fmt: skip


@q4.public
def _(k: Constants) -> list[Case]:
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    x = centres.repeat_interleave(torch.tensor([9, 11, 14, 5]), 0) + 0.1
    x = torch.cat([x, torch.tensor([[4.5, 4.5]])])
    what = "count_modes of 40 samples: 9, 11, 14 and 5 near four centres, one far from all"
    return [SCORE.case(k, "try_count_modes", (x, centres, 0.1), what)]


# Question 5: can the ruler be trusted? --------------------------------------------------------

METRICS = """
import torch as _torch
def _count(x, centres, reach, level):
    distance, mode = _torch.cdist(x.double(), centres.double()).min(1)
    held = _torch.bincount(mode[distance <= reach], minlength=len(centres))
    return int((held >= level).sum()), float(held.sum() / len(x))
def _fair(x, centres):
    return FAIR * len(x) / len(centres)
def grader_metric_0(x, centres, std):
    return _count(x, centres, REACH * std, _fair(x, centres))
def grader_metric_1(x, centres, std):
    near = _torch.cdist(x.double(), centres.double()).argmin(1)
    held = _torch.bincount(near, minlength=len(centres))
    return int((held >= _fair(x, centres)).sum()), grader_metric_0(x, centres, std)[1]
def grader_metric_2(x, centres, std):
    return _count(x, centres, REACH * std, 1)
def grader_metric_3(x, centres, std):
    return _count(x, centres, OTHER * std, _fair(x, centres))
def grader_metric_4(x, centres, std):
    share = grader_metric_0(x, centres, std)[1]
    return _count(x, centres, REACH * std, max(1, share * _fair(x, centres)))
def grader_metric_5(x, centres, std):
    return _count(x, centres, REACH, _fair(x, centres))
def grader_metric_6(x, centres, std):
    return _count(x, centres[:-1], REACH * std, _fair(x, centres))
def grader_metric_7(x, centres, std):
    return _count(x, centres, REACH * std, FAIR * len(x))
def grader_metric_8(x, centres, std):
    modes, share = grader_metric_0(x, centres, std)
    return modes, 1.0 if modes else share
def count_modes(x, centres, std):
    return 0, 0.0
"""
BROKEN = {
    1: "counts a sample for its nearest mode, however far away it is (try points that belong to no "
    "mode)",
    2: "calls a mode filled for a single good sample (put one sample on every other mode)",
    3: "has another radius (put points just inside and just outside the reach)",
    4: "takes the fair share of the good samples (a few good ones at every mode, the rest rubbish)",
    5: "ignores sigma (points a few sigma outside the reach, or another std)",
    6: "has lost the last centre (a perfect sample has to score K, and a share of 1)",
    7: "asks each mode for a share of all N, not of N/K (a perfect sample has to score K)",
    8: "calls every sample good as soon as a mode is filled (one good mode, and rubbish)",
}
q5 = Question("q5", seconds=8)


def inject_metrics(k: Constants) -> Injection:
    source = METRICS.replace("REACH", str(k.reach)).replace("FAIR", str(k.fair))
    source = source.replace("OTHER", "3")
    names = tuple(f"grader_metric_{n}" for n in range(9))
    return Injection((*names, "count_modes"), source)


q5.inject = inject_metrics


@q5.test(points=2)
def sees_through(student: Any, draw: Draw, k: Constants) -> None:
    def verdict(n: int) -> bool:
        reply = student.call("trusted", student.keep(f"grader_metric_{n}"))
        if reply.value is None:
            raise Nothing("trusted")
        value = getattr(reply.value, "tensor", reply.value)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = bool(value)
        if not isinstance(value, int) or value not in (0, 1):  # which say the same
            raise Wrong(f"trusted gives {asking.kind_of(reply.value)}; due is True or False.")
        return bool(value)

    if not verdict(0):
        raise Wrong(
            "trusted refuses a right metric: one of your samples has another score than you think, "
            "by chance, at the very edge of the reach, or because you compare with count_modes."
        )
    missed = [n for n in BROKEN if verdict(n)]
    if missed:
        raise Wrong(
            f"trusted sees through {len(BROKEN) - len(missed)} of {len(BROKEN)} broken metrics. It "
            f"trusts one that {BROKEN[missed[0]]}.",
            1 - len(missed) / len(BROKEN),
        )


@q5.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_trusted",
            [0.0],
            [([1.0], "a collapsed generator, or a disc, would be called perfect.")],
            "trusted (as 0 or 1) of a metric that always says that everything is fine",
        )
    ]


# Question 6: max-min is not min-max -----------------------------------------------------------


def secured(k: Constants, D: Tensor, p: Tensor, weight: float | None = None) -> float:
    D, p = D.double(), p.double()
    weight = k.weight if weight is None else weight
    return float((p * D.log()).sum() + weight * (1 - D.max()).log())


def against(k: Constants, D: Tensor, p: Tensor, q: Tensor) -> float:
    D, p = D.double(), p.double()
    return float((p * D.log()).sum() + k.weight * (q.double() * (1 - D).log()).sum())


SECURED = Rule(
    secured,
    [
        Slip(
            lambda k, D, p: against(k, D, p, p),
            "this is the value against the data themselves, Q = P; the generator does better where "
            "D is largest.",
            0.25,
        ),
        Slip(
            lambda k, D, p: against(k, D, p, torch.ones(len(p)) / len(p)),
            "this is the value against an even Q; the generator does better where D is largest.",
            0.25,
        ),
        Slip(
            lambda k, D, p: float(
                (p.double() * D.double().log()).sum() + k.weight * (1 - D.double().min()).log()
            ),
            "this is the largest value over Q; the generator minimises, and goes where D is "
            "largest.",
            0.25,
        ),
        Slip(
            lambda k, D, p: secured(k, D, p, 1),
            "the weight of the fakes is missing.",
            0.5,
        ),
        Slip(
            lambda k, D, p: secured(k, D, p, 0),
            "the fakes' half is missing.",
        ),
        Slip(lambda k, D, p: -secured(k, D, p), "the sign.", 0.5),
        Slip(
            lambda k, D, p: float(
                D.double().log().mean() + k.weight * (1 - D.double().max()).log()
            ),
            "the data's half is a mean over the points; it is weighed with p.",
            0.25,
        ),
        Slip(
            lambda k, D, p: float(
                (p.double() * D.double().log()).sum() + k.weight * (1 - D.double()).log().sum()
            ),
            "the fakes' half is summed over all points; the masses of Q sum to one.",
            0.25,
        ),
    ],
    rel=2e-6,
)


def settled(weight: float, d: float) -> float:
    """V at a constant D = d."""
    return math.log(d) + weight * math.log(1 - d)


MAXMIN = Rule(
    lambda k: settled(k.weight, 1 / (1 + k.weight)),
    [
        Slip(lambda k: -math.log(4), "-log 4 belongs to one fake for each datum.", 0.25),
        Slip(
            lambda k: settled(k.weight, 0.5),
            "D = 1/2 is best for one fake for each datum; here it secures less.",
            0.25,
        ),
        Slip(lambda k: -settled(k.weight, 1 / (1 + k.weight)), "the sign.", 0.5),
        Slip(
            lambda k: settled(k.weight, k.weight / (1 + k.weight)),
            "D and 1 - D are exchanged: D is the chance of a datum.",
            0.25,
        ),
        Slip(
            lambda k: settled(1, 1 / (1 + k.weight)),
            "the best D is right; at it, the fakes' half has lost its weight.",
            0.5,
        ),
        Slip(lambda k: 1 / (1 + k.weight), "this is the best D; the value of V is asked for.", 0.5),
    ],
    rel=1e-6,
)


def points_value(weight: float, p: Tensor) -> Tensor:
    p = p.double()
    return p * (p / (p + weight)).log() + weight * (weight / (p + weight)).log()


def at(index: int, value: Any) -> list[float]:
    return [float(index), float(value)]


def collapsed(k: Constants, p: Tensor) -> list[float]:
    best = points_value(k.weight, p)
    return at(int(best.argmin()), best.min())


def unanswered(k: Constants, p: Tensor) -> list[float]:
    """D = 1/(1 + weight) off the point, as if it did not answer there."""
    p = p.double()
    found = points_value(k.weight, p) + (1 - p) * math.log(1 / (1 + k.weight))
    return at(int(found.argmin()), found.min())


POINT = Rule(
    collapsed,
    [
        Slip(
            lambda k, p: at(int(p.argmin()), points_value(k.weight, p).max()),
            "this is the point that D would choose: the generator minimises.",
            0.25,
        ),
        Slip(
            lambda k, p: at(int(p.argmax()), points_value(1, p).min()),
            "the weight of the fakes is missing.",
            0.5,
        ),
        Slip(
            lambda k, p: at(int(p.argmax()) + 1, points_value(k.weight, p).min()),
            "the value is right; the index counts from 0.",
            0.75,
        ),
        Slip(
            lambda k, p: collapsed(k, p)[::-1],
            "the index comes first, the value second.",
            0.5,
        ),
        Slip(
            lambda k, p: at(int(p.argmax()), settled(k.weight, 1 / (1 + k.weight))),
            "this is the value with all of P; a collapsed generator leaves D the points that it "
            "never makes.",
            0.25,
        ),
        Slip(
            unanswered,
            "off the point there are no fakes: there D answers with 1, and log D is 0.",
            0.25,
        ),
        Slip(
            lambda k, p: at(
                int(p.argmax()),
                math.log(1 / (1 + k.weight)) * float(p.max())
                + k.weight * math.log(k.weight / (1 + k.weight)),
            ),
            "at the point D is p/(p + weight), not what it is for Q = P.",
            0.25,
        ),
        Slip(
            lambda k, p: at(int(p.argmax()), math.exp(points_value(k.weight, p).min())),
            "the exponential of the value.",
            0.5,
        ),
    ],
    rel=2e-6,
)
q6 = Question("q6", seconds=5)


def masses(draw: Draw, n: int) -> Tensor:
    """``n`` positive masses, multiples of 1/64, with one largest and one smallest."""
    while True:
        found = draw.masses(n, least=3)
        order = found.sort().values
        if order[-1] > order[-2] and order[0] < order[1]:
            return found[torch.randperm(n, generator=draw.generator)]


@q6.test(points=1)
def what_d_secures(student: Any, draw: Draw, k: Constants) -> None:
    for n in (4, 6):
        D, p = SECURED.draw(draw, k, lambda d, n=n: (d.uniform(n), masses(d, n)))
        got = number(student.call("secured", D, p))
        SECURED.judge(k, (D, p), [got], "secured", say(D=D, p=p))


@q6.test(points=1)
def the_maxmin(student: Any, draw: Draw, k: Constants) -> None:
    MAXMIN.judge(k, (), values(student, "maxmin", 1, "one number"), "maxmin")


@q6.test(points=1)
def the_collapsed(student: Any, draw: Draw, k: Constants) -> None:
    for n in (4, 6):
        (p,) = POINT.draw(draw, k, lambda d, n=n: (masses(d, n),))
        got = numbers(student.call("point_game", p), 2, "(index, value)")
        POINT.judge(k, (p,), got, "point_game", say(p=p))


@q6.public
def _(k: Constants) -> list[Case]:
    D, p = torch.tensor([0.25, 0.5]), torch.tensor([0.5, 0.5])
    what = "secured of D = [0.25, 0.5] with p = [0.5, 0.5]"
    return [SECURED.case(k, "secured", (D, p), what, args=(D, p))]


# Question 7: a fair memory --------------------------------------------------------------------

MEMORY = """
import torch as _torch
def _numbered(first, count):
    return _torch.arange(first, first + count).float()[:, None].repeat(1, 2)
def grader_filled(Replay, capacity, sizes, seed):
    memory = Replay(capacity, _torch.Generator().manual_seed(seed))
    done, found = 0, []
    for size in sizes:
        memory.add(_numbered(done, size))
        done += size
        found.append(memory.kept())
    return found
def grader_reservoir(Replay, capacity, sizes, repeats, seed):
    generator, held = _torch.Generator().manual_seed(seed), _torch.zeros(sum(sizes))
    for _ in range(repeats):
        memory, done = Replay(capacity, generator), 0
        for size in sizes:
            memory.add(_numbered(done, size))
            done += size
        held[memory.kept()[:, 0].long()] += 1
    return held
def grader_holds(Replay, seed):
    memory = Replay(4, _torch.Generator().manual_seed(seed))
    weight = _torch.ones(2, requires_grad=True)
    fakes = weight * _numbered(1, 3)
    memory.add(fakes)
    with _torch.no_grad():
        fakes.mul_(0)
    graph = memory.kept().requires_grad, memory.mix(weight * _numbered(1, 8)).requires_grad
    return [bool(graph[0]), bool(graph[1]), bool((memory.kept() == 0).any())]
def grader_mixed(Replay, capacity, offered, batch, repeats, seed):
    memory = Replay(capacity, _torch.Generator().manual_seed(seed))
    fakes = -1 - _numbered(0, batch)
    empty = memory.mix(fakes)
    memory.add(_numbered(0, offered))
    before = memory.kept().clone()
    rows = [memory.mix(fakes)[:, 0] for _ in range(repeats)]
    return empty, before, _torch.stack(rows), memory.kept()
"""
HELPERS = ("grader_filled", "grader_reservoir", "grader_holds", "grader_mixed")


def inject_memory(k: Constants) -> Injection:
    return Injection(HELPERS, MEMORY)


Law = Callable[[int, list[int]], list[float]]


def kept_when(accept: Callable[[int, int, int], float]) -> Law:
    """Inclusion of each row if row t (from 1) is accepted thus, in the place of a random row.

    ``accept(t, end, c)``: ``end`` is the number of rows offered when its batch is over.
    """

    def law(c: int, sizes: list[int]) -> list[float]:
        ends = [sum(sizes[: i + 1]) for i, size in enumerate(sizes) for _ in range(size)]
        chances = [1.0 if t <= c else accept(t, ends[t - 1], c) for t in range(1, len(ends) + 1)]
        return [
            chances[i] * math.prod(1 - chances[t] / c for t in range(max(i + 1, c), len(ends)))
            for i in range(len(ends))
        ]

    return law


def first(c: int, sizes: list[int]) -> list[float]:
    return [float(i < c) for i in range(sum(sizes))]


def last(c: int, sizes: list[int]) -> list[float]:
    return first(c, sizes)[::-1]


LAWS: list[tuple[Law, str, float]] = [
    (first, "the first rows are kept for ever, and nothing later comes in.", 0.0),
    (
        last,
        "only the last rows are kept: that is a queue, which forgets where the generator was.",
        0,
    ),
    (
        kept_when(lambda t, end, c: 1.0),
        "every new row is taken in, for a random old one: the past fades, and the first rows are "
        "the rarest. Row t is kept with probability c/t.",
        0.25,
    ),
    (
        kept_when(lambda t, end, c: min(1.0, c / (t - 1))),
        "row t is kept with probability c/(t - 1): t counts the new row, too.",
        0.5,
    ),
    (
        kept_when(lambda t, end, c: c / (t + 1)),
        "row t is kept with probability c/(t + 1): t counts the new row once.",
        0.5,
    ),
    (
        kept_when(lambda t, end, c: min(1.0, c / end)),
        "t is the number of rows at the end of the batch; it counts row by row.",
        0.5,
    ),
    (kept_when(lambda t, end, c: 0.5), "a row is kept with probability 1/2; c/t is due.", 0.25),
    (kept_when(lambda t, end, c: 1 / t), "row t is kept with probability 1/t; c/t is due.", 0.5),
]
REPEATS, RARE = 500, 1e-9
CAPACITY, SIZES = 2, [1, 2, 3]


def unlikely(held: list[float], law: list[float], repeats: int) -> bool:
    """Whether counts differ from a law of inclusion by more than chance: chi-square."""
    total = 0.0
    for count, chance in zip(held, law, strict=True):
        if chance <= 0 or chance >= 1:
            if abs(count - chance * repeats) > 0.5:
                return True
            continue
        total += (count - chance * repeats) ** 2 / (repeats * chance * (1 - chance))
    return bool(total > chi2.isf(RARE, len(law)))


q7 = Question("q7", seconds=12, inject=inject_memory)


def table(value: Any, what: str) -> Tensor:
    """A tensor that came as part of a reply; None has the lesson of the dots."""
    if value is None:
        raise Nothing(what)
    if not isinstance(value, Tensor):
        raise Wrong(f"{what} gives {asking.kind_of(value)}; it must be a tensor.")
    return value.double()


def parts(reply: Any, what: str) -> list[Any]:
    if not isinstance(reply.value, list | tuple):
        raise Wrong(f"{what} gives {asking.kind_of(reply.value)}.")
    return list(reply.value)


def memory(student: Any) -> Any:
    return student.keep("Replay")


@q7.test(points=1)
def what_is_kept(student: Any, draw: Draw, k: Constants) -> None:
    """All rows while there is room, never more than the capacity, each offered, none twice."""
    capacity, sizes = draw.integer(5, 8), [3, draw.integer(1, 2), draw.integer(7, 12), 4]
    reply = student.call("grader_filled", memory(student), capacity, sizes, draw.seed())
    done = 0
    for size, one in zip(sizes, parts(reply, "kept"), strict=True):
        done += size
        rows = table(one, "kept")
        due = min(capacity, done)
        if rows.dim() != 2 or rows.shape[1] != 2 or len(rows) != due:
            raise Wrong(
                f"after {done} rows, a memory with the capacity {capacity} gives as kept "
                f"{asking.kind_of(one)}; due are {due} rows of 2 numbers.",
                0.25 if len(rows) > due else 0.0,
            )
        names = sorted(rows[:, 0].tolist())
        if not torch.equal(rows[:, 0], rows[:, 1]) or not set(names) <= set(range(done)):
            raise Wrong("kept gives rows that were never offered.")
        if len(set(names)) < due:
            raise Wrong("a row is kept twice: a new row goes to one place.", 0.5)


@q7.test(points=1.5)
def each_as_likely(student: Any, draw: Draw, k: Constants) -> None:
    args = (memory(student), CAPACITY, SIZES, REPEATS, draw.seed())
    reply = student.call("grader_reservoir", *args)
    held = table(reply.value, "kept").tolist()
    offered = sum(SIZES)
    if unlikely(held, [CAPACITY / offered] * offered, REPEATS):
        for law, lesson, keeps in LAWS:
            if not unlikely(held, law(CAPACITY, SIZES), REPEATS):
                raise Wrong(f"Replay: {lesson}", keeps)
        shares = ", ".join(f"{x / REPEATS:.2f}" for x in held)
        raise Wrong(
            f"{offered} rows were offered to a memory of {CAPACITY}, {REPEATS} times. Each is due in "
            f"{CAPACITY / offered:.2f} of them; in order, yours are kept in {shares}."
        )
    if not reply.rng_same or student.call("grader_reservoir", *args).value.tolist() != held:
        raise Wrong(
            "Replay draws from a global random state: all draws come from the generator passed in, "
            "so that a run can be repeated.",
            0.75,
        )


@q7.test(points=0.75)
def holds_no_graph(student: Any, draw: Draw, k: Constants) -> None:
    reply = student.call("grader_holds", memory(student), draw.seed())
    kept, mixed, shares = parts(reply, "kept")
    if kept or mixed:
        raise Wrong(
            f"{'what is kept' if kept else 'what mix returns'} carries the generator's graph: every "
            "old step stays in memory, and D's step sends gradients into G. Detach.",
            0.25,
        )
    if shares:
        raise Wrong(
            "what is kept changes when the caller changes its batch: detach() and slices share the "
            "batch's memory; clone() it.",
            0.5,
        )


@q7.test(points=0.75)
def mixes(student: Any, draw: Draw, k: Constants) -> None:
    batch, repeats, offered = 16, 150, 5
    reply = student.call("grader_mixed", memory(student), 5, offered, batch, repeats, draw.seed())
    empty, before, rows, after = (table(one, "mix") for one in parts(reply, "mix"))
    current = -1 - torch.arange(batch).double()
    if rows.shape != (repeats, batch):
        raise Wrong(f"mix gives {rows.shape[-1]} rows for a batch of {batch}.")
    old = batch * k.old // 8
    found = int((rows[0] >= 0).sum())
    if found != old:
        swapped = found == batch - old
        lesson = "the shares are exchanged: " if swapped else ""
        raise Wrong(
            f"mix: {lesson}of {batch} rows {found} are old; due are {old}.", 0.5 if swapped else 0.0
        )
    if bool((rows[:, : batch - old] < 0).all()) is False:
        raise Wrong("mix: the current rows come first, the old ones last.", 0.5)
    if not bool((rows[:, : batch - old] == current[: batch - old]).all()):
        raise Wrong("mix: the current rows are the first ones of the batch, as they are.", 0.5)
    chosen = torch.bincount(rows[:, batch - old :].flatten().long(), minlength=offered).tolist()
    law, count = [1 / offered] * offered, repeats * old
    if unlikely(chosen, law, count):
        said = ", ".join(f"{c / count:.2f}" for c in chosen)
        raise Wrong(
            f"mix does not draw the kept rows evenly and anew: of {offered} rows, each due in "
            f"{1 / offered:.2f} of the old places, yours come in {said}.",
            0.5,
        )
    if len({tuple(row.tolist()) for row in rows}) < repeats // 4:
        raise Wrong("mix takes the same old rows in every call: draw anew.", 0.5)
    if not torch.equal(empty[:, 0], current):
        raise Wrong("mix with nothing kept yet gives back the batch.", 0.5)
    if not torch.equal(before, after):
        raise Wrong("mix changes what is kept: it offers nothing.", 0.5)


@q7.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_replay",
            [2.0, 8.0, 2.0 * k.old],
            [([2.0, 8.0, 2.0 * (8 - k.old)], "mix: the shares are exchanged.")],
            "(rows kept of 2 offered with room for 3; of a mix of 8 rows of zeros with these rows of "
            "ones, its rows and their sum)",
        )
    ]


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7]
