"""Hidden tests and public cases of the assignment `earth-movers`. Keep this file to yourself.

Moving costs the distance to the power ``k.power``; a critic may rise by ``k.up`` and fall by
``k.down`` a unit. Weights are clipped to ``k.c`` in layers of ``k.hidden`` units; slopes above
``k.K`` are penalised with the weight ``k.lam``. ``k.scale`` is the width of the kernel,
``k.drift`` the price on the size of a Wasserstein critic, and
``k.code_a``, ``k.code_b``, ``k.code_c`` are the codes of the least-squares loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tools.grader import asking
from tools.grader.asking import Injection, Reply
from tools.grader.expressions import read_number
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Nothing,
    Question,
    Rule,
    Slip,
    Wrong,
    connected,
    number,
    pure,
    same,
    say,
    varied,
)

TITLE = "Earth movers"


def constants(draw: Draw) -> dict[str, Any]:
    up, down = draw.choice([(1.5, 2.5), (2.5, 1.5), (2, 3), (3, 2), (1.5, 3), (3, 1.5)])
    low, high, goal = draw.choice([(-2, 1.5, 0.5), (-1.5, 2, 1), (-1, 3, 2), (-2, 3, 1)])
    return {
        "power": draw.choice([1.5, 2.5, 3]),
        "up": up,
        "down": down,
        "c": draw.choice([0.04, 0.05, 0.06, 0.08]),
        "hidden": draw.choice([12, 16, 20, 24]),
        "K": draw.choice([0.5, 0.75, 1.25, 1.5]),
        "lam": draw.choice([2, 3, 5, 7]),
        "scale": draw.choice([0.5, 1.5, 2, 3]),
        "drift": draw.choice([0.01, 0.02, 0.05, 0.1]),
        "code_a": low,
        "code_b": high,
        "code_c": goal,
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer's number, so that one could be copied."""
    names = ("power", "c", "hidden", "K", "scale", "drift")
    return (
        any(getattr(k, name) == getattr(other, name) for name in names)
        or (k.up, k.down) == (other.up, other.down)
        or (k.code_a, k.code_b, k.code_c) == (other.code_a, other.code_b, other.code_c)
    )


# Question 1: sort, and add --------------------------------------------------------------------


def pieces(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both samples sorted and cut into n m pieces of one mass."""
    start = x.double().sort().values.repeat_interleave(len(y))
    return start, y.double().sort().values.repeat_interleave(len(x))


def moving(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    start, end = pieces(x, y)
    return ((start - end).abs() ** k.power).mean()


def cut(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    """The first min(n, m) of each, sorted."""
    n = min(len(x), len(y))
    return ((x.double().sort().values[:n] - y.double().sort().values[:n]).abs() ** k.power).mean()


MOVING = Rule(
    moving,
    [
        Slip(
            lambda k, x, y: (
                (x.double().repeat_interleave(len(y)) - y.double().repeat_interleave(len(x))).abs()
                ** k.power
            ).mean(),
            "the samples are not sorted: each x goes to the y of the same number.",
            0.25,
        ),
        Slip(
            lambda k, x, y: (
                (pieces(x, y)[0] - y.double().repeat_interleave(len(x))).abs() ** k.power
            ).mean(),
            "one of the samples is sorted, the other is not.",
            0.25,
        ),
        Slip(
            lambda k, x, y: (
                (pieces(x, y)[1] - x.double().repeat_interleave(len(y))).abs() ** k.power
            ).mean(),
            "one of the samples is sorted, the other is not.",
            0.25,
        ),
        Slip(
            lambda k, x, y: moving(varied(k, power=1), x, y),
            "this is W1: the power of the question is missing.",
            0.5,
        ),
        Slip(
            lambda k, x, y: moving(k, x, y) ** (1 / k.power),
            "the root: the question asks for the cost without it.",
            0.5,
        ),
        Slip(
            lambda k, x, y: moving(k, x, y) * len(pieces(x, y)[0]),
            "a sum over pieces; each has the mass 1/(n m), so take the mean.",
            0.5,
        ),
        Slip(
            lambda k, x, y: moving(k, x, y) * len(x),
            "a sum over the samples; each has the mass 1/n, so take the mean.",
            0.5,
        ),
        Slip(
            lambda k, x, y: ((x.double()[:, None] - y.double()[None]).abs() ** k.power).mean(),
            "every x is carried to every y: that is one plan, and not the cheapest. (repeat in place of "
            "repeat_interleave does that, too.)",
        ),
        Slip(
            lambda k, x, y: (x.double().mean() - y.double().mean()).abs() ** k.power,
            "this is the cost between the two means, a lower bound.",
        ),
        Slip(
            lambda k, x, y: ((pieces(x, y)[0].flip(0) - pieces(x, y)[1]).abs() ** k.power).mean(),
            "the lowest goes to the highest: that is the dearest plan.",
            0.25,
        ),
    ],
    rel=1e-5,
)
UNEQUAL = Rule(
    moving,
    [
        *MOVING.slips,
        Slip(cut, "the longer sample is cut off; its mass is split, not thrown away.", 0.25),
    ],
    rel=1e-5,
)
q1 = Question("q1", seconds=5)


def moved(student: Any, draw: Draw, k: Constants, rule: Rule, n: int, m: int) -> None:
    x, y = rule.draw(draw, k, lambda d: (d.normal(n), d.normal(m)))
    reply = student.call("moving_cost", x, y)
    rule.judge(k, (x, y), [number(reply)], "moving_cost", say(x=x, y=y))
    pure(reply, ["x", "y"])


@q1.test(points=1)
def equal_sizes(student: Any, draw: Draw, k: Constants) -> None:
    for n in (4, 6):
        moved(student, draw, k, MOVING, n, n)


@q1.test(points=1)
def other_sizes(student: Any, draw: Draw, k: Constants) -> None:
    for n, m in ((4, 6), (5, 3)):
        moved(student, draw, k, UNEQUAL, n, m)


@q1.test(points=1)
def reaches_x(student: Any, draw: Draw, k: Constants) -> None:
    """The gradient is that of the value which is returned, whatever that is."""
    x, y = MOVING.draw(draw, k, lambda d: (d.normal(5), d.normal(5)))
    reply = student.call("moving_cost", x, y, wrt=[0])
    number(reply)
    connected(reply, ["x"])
    got = reply.grads[0].double().tolist()
    leaf = x.double().requires_grad_()
    right = torch.autograd.grad(moving(k, leaf, y), leaf)[0].tolist()
    value = number(reply)
    if not same(got, right, 1e-4) and same([value], [float(moving(k, x, y))], 1e-5):
        raise Wrong(
            f"moving_cost has the right value, but its gradient at {say(x=x, y=y)} is {say(x=got)}; "
            f"due is {say(x=right)}."
        )
    if not all(map(math.isfinite, got)) or not any(got):
        raise Wrong("the gradient of moving_cost with respect to x is zero or not finite.")
    if not same(got, right, 1e-4):
        raise Wrong("a gradient arrives, of another value than the cost of the question.", 0.5)


@q1.public
def _(k: Constants) -> list[Case]:
    x, y = torch.tensor([0.0, 2.0]), torch.tensor([3.0, 0.0])
    what = "moving_cost of {0, 2} to {3, 0}: only one half of the mass moves, by 1"
    return [MOVING.case(k, "moving_cost", (x, y), what, args=(x, y))]


# Question 2: a critic that proves it ----------------------------------------------------------


def steps(k: Constants, p: Tensor, q: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """How far Q is ahead in each gap, and the gaps' lengths."""
    return (q - p).cumsum(0)[:-1], x.diff()


def gap_of(f: Tensor, p: Tensor, q: Tensor) -> float:
    return float(((p - q) * f).sum())


def best_gap(
    k: Constants, p: Tensor, q: Tensor, x: Tensor, up: float = 0, down: float = 0
) -> float:
    ahead, gaps = steps(k, p, q, x)
    up, down = up or k.up, down or k.down
    return float(((up * ahead.clamp_min(0) + down * (-ahead).clamp_min(0)) * gaps).sum())


GAP = Rule(
    best_gap,
    [
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, x, 1, 1),
            "its slopes are 1 and -1: the question allows more.",
            0.5,
        ),
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, x, min(k.up, k.down), min(k.up, k.down)),
            "its slopes up and down are equally steep: one of them may be steeper.",
            0.5,
        ),
        Slip(
            lambda k, p, q, x: max(gap_of(k.up * x, p, q), gap_of(-k.down * x, p, q), 0.0),
            "it is a straight line: where the other side is ahead, the slope changes its sign.",
            0.25,
        ),
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, x, k.up, 1e-12),
            "it never falls: where P is ahead, it should.",
            0.25,
        ),
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, x, 1e-12, k.down),
            "it never rises: where Q is ahead, it should.",
            0.25,
        ),
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, x) / 2,
            "half of what is allowed.",
            0.25,
        ),
        Slip(
            lambda k, p, q, x: best_gap(k, p, q, torch.arange(len(x)).double()),
            "the positions x are not used: the gaps differ in length.",
            0.25,
        ),
    ],
    rel=1e-6,
)
q2 = Question("q2", seconds=5)


def slope(draw: Draw, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """p, q, and rising positions with gaps of at least 1, so that a step of 1 is allowed."""
    gaps = torch.tensor([draw.integer(-8, 8), *draw.integers(n - 1, 4, 14)]).double() / 4
    # Some masses are 0; the last, which makes up for the rest, may stand anywhere.
    p, q = (
        draw.masses(n, least=0, most=24)[torch.randperm(n, generator=draw.generator)].double()
        for _ in range(2)
    )
    return p, q, gaps.cumsum(0)


def the_critic(student: Any, draw: Draw, k: Constants, n: int) -> tuple[Any, Tensor, Tensor]:
    """The student's values, the inputs, and the slopes between neighbours."""
    inputs = GAP.draw(draw, k, lambda d: slope(d, n))
    reply = student.call("potential", *inputs)
    if reply.value is None:
        raise Nothing("potential")
    value = getattr(reply.value, "tensor", reply.value)
    if isinstance(value, list | tuple):
        value = torch.tensor([number(Reply("potential", v)) for v in value])
    if not isinstance(value, Tensor) or value.numel() != n:
        raise Wrong(
            f"potential gives {asking.kind_of(reply.value)}; due is one value for each of the {n} "
            "positions."
        )
    f = value.double().flatten()
    if not torch.isfinite(f).all():
        raise Wrong("potential has values that are not finite.")
    return inputs, f, f.diff() / inputs[2].diff()


@q2.test(points=1)
def is_admissible(student: Any, draw: Draw, k: Constants) -> None:
    for n in (4, 7):
        (p, q, x), f, slopes = the_critic(student, draw, k, n)
        case = say(p=p, q=q, x=x)
        if bool((slopes > k.up + 1e-5).any()):
            raise Wrong(f"potential rises by {slopes.max():.6g} for a unit of x; {k.up:g} is allowed. "
                        f"({case})")  # fmt: skip
        if bool((slopes < -k.down - 1e-5).any()):
            raise Wrong(f"potential falls by {-slopes.min():.6g} for a unit of x; {k.down:g} is "
                        f"allowed. ({case})")  # fmt: skip
        if not gap_of(f, p, q) > 1e-9:
            raise Wrong(
                "the gap of potential is not positive: the critic is high where the data P lie, low "
                "where the samples Q lie."
            )


@q2.test(points=2)
def has_the_largest_gap(student: Any, draw: Draw, k: Constants) -> None:
    for n in (4, 7):
        (p, q, x), f, slopes = the_critic(student, draw, k, n)
        got, right = gap_of(f, p, q), best_gap(k, p, q, x)
        admissible = bool(((slopes <= k.up + 1e-5) & (slopes >= -k.down - 1e-5)).all())
        if admissible:
            GAP.judge(k, (p, q, x), [got], "the gap of potential", say(p=p, q=q, x=x))
            continue
        if same([got], [-right], 1e-6):
            raise Wrong("potential has the sign of the worst critic: rise where Q is ahead.", 0.25)
        turned = best_gap(k, p, q, x, k.down, k.up)
        if same([got], [turned], 1e-6):
            raise Wrong(
                "the two slopes are exchanged: it rises where F of Q is above F of P, by what may "
                "rise.",
                0.5,
            )
        if same([got], [best_gap(k, p, q, x, max(k.up, k.down), max(k.up, k.down))], 1e-6):
            raise Wrong("its slopes are equally steep; one of them is not allowed.", 0.5)
        raise Wrong(f"the gap of potential is {got:.6g}, by a critic that is not admissible; the "
                    f"largest admissible one is {right:.6g}. ({say(p=p, q=q, x=x)})")  # fmt: skip


@q2.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_potential",
            [4.0 * k.down],
            [
                (
                    [4.0 * k.up],
                    f"it falls by {k.up:g} for a unit of x, as much as it may rise; {k.down:g} is due.",
                ),
                ([4.0], "the slope is 1; the question allows more."),
                ([-4.0 * k.up], "the sign: the critic is high where the data P lie."),
                ([k.down * 1.0], "the position is not used: the gap is 4 long."),
            ],
            "f at 0 minus f at 4, for data at 0 and samples at 4",
        )
    ]


# Question 3: clipping -------------------------------------------------------------------------

CLIPPED = """
import torch as _torch
def grader_clip(clip, seed, sizes):
    g = _torch.Generator().manual_seed(seed)
    layers = []
    for i, o in zip(sizes, sizes[1:]):
        layer = _torch.nn.Linear(i, o)
        with _torch.no_grad():
            layer.weight.copy_(_torch.randn(o, i, generator=g) / 8)
            layer.bias.copy_(1 + _torch.randn(o, generator=g))
        layers += [layer, _torch.nn.LeakyReLU(0.2)]
    critic = _torch.nn.Sequential(_torch.nn.Sequential(*layers[:-2]), *layers[-2:-1])
    held = list(critic.parameters())
    before = [w.detach().clone() for w in held]
    for w in held:
        w.grad = _torch.ones_like(w)
    clip(critic)
    now = list(critic.parameters())
    same = len(now) == len(held) and all(a is b for a, b in zip(now, held))
    flat = lambda values: _torch.cat([v.detach().flatten() for v in values])
    pick = lambda values, n: flat([v for v in values if v.dim() == n])
    ask = all(w.requires_grad and w.grad is not None for w in now)
    return (pick(before, 2), pick(now, 2), pick(before, 1), pick(now, 1), pick(held, 2),
            bool(same), bool(ask))
"""


PENALISED = """
import torch as _torch
def grader_critic(seed, n, size):
    g = _torch.Generator().manual_seed(seed)
    critic = _torch.nn.Sequential(
        _torch.nn.Linear(n, 5), _torch.nn.Tanh(), _torch.nn.Linear(5, 1))
    with _torch.no_grad():
        for w in critic.parameters():
            w.copy_(size * _torch.randn(w.shape, generator=g))
    return critic
def grader_penalty(penalty, seed, size, real, fake, t):
    critic = grader_critic(seed, real.shape[1], size)
    weights = list(critic.parameters())
    value = penalty(critic, real, fake, t)
    touched = any(w.grad is not None for w in weights)
    if not isinstance(value, _torch.Tensor):
        return value, None, touched
    if not value.requires_grad:
        return value, None, touched
    grads = _torch.autograd.grad(value.sum(), weights, allow_unused=True)
    grads = [_torch.zeros_like(w) if g is None else g for w, g in zip(weights, grads)]
    return value.detach(), _torch.cat([g.flatten() for g in grads]), touched
"""
mine: dict[str, Any] = {}
exec(PENALISED, mine)


def inject_helpers(k: Constants) -> Injection:
    """For questions 3 and 4 alike: their cells run once."""
    return Injection(("grader_clip", "grader_critic", "grader_penalty"), CLIPPED + PENALISED)


q3 = Question("q3", seconds=8, inject=inject_helpers)
q4 = Question("q4", seconds=8, inject=inject_helpers)


def bounded(k: Constants, w: Tensor) -> Tensor:
    return w.double().clamp(-k.c, k.c)


@q3.test(points=2)
def clips(student: Any, draw: Draw, k: Constants) -> None:
    reply = student.call("grader_clip", student.keep("clip"), draw.seed(), [2, 5, 4, 1])
    old, new, old_bias, new_bias, held, kept, asks = reply.value
    close = {"rtol": 0.0, "atol": 1e-7}
    right = bounded(k, old)
    if torch.equal(new, old):
        raise Wrong(
            "the weights are what they were: w.clamp(...) without the underscore makes a new tensor "
            "that nobody uses. clamp_ under torch.no_grad() changes w itself. (Or is the bound larger than "
            f"{k.c:g}?)"
        )
    if not torch.allclose(new.double(), right, **close):
        if torch.allclose(new.double(), old.double().clamp(max=k.c), **close):
            raise Wrong("only the upper bound holds: clip to both sides.", 0.25)
        if bool((new.abs() <= k.c + 1e-7).all()):
            raise Wrong(
                "the weights lie within the bound, but those that did before have changed, too: "
                "each moves to the nearest number in the interval.",
                0.25,
            )
        raise Wrong(f"after clip the largest weight is {float(new.abs().max()):.6g}; the bound is "
                    f"{k.c:g}. Are all layers reached, those inside a block as well?", 0.25)  # fmt: skip
    if not kept or not torch.equal(held, new):
        raise Wrong(
            "the critic has new parameters: the optimiser still holds the old ones, and trains what "
            "nobody uses. Change the weights in place.",
            0.25,
        )
    if not torch.equal(new_bias, old_bias):
        raise Wrong("the biases are clipped as well; they have no part in the slope.", 0.5)
    if not asks:
        raise Wrong("after clip a weight no longer asks for gradients, or has lost its own.", 0.5)


def steep(k: Constants) -> float:
    return float(math.sqrt(2) * k.hidden**2 * k.c**3)


STEEPEST = Rule(
    steep,
    [
        Slip(
            lambda k: math.sqrt(2) * (k.hidden * k.c) ** 3,
            "that counts hidden^3 paths from one input to the output; there are two hidden layers.",
            0.5,
        ),
        Slip(
            lambda k: k.hidden**2 * k.c**3,
            "this is one partial derivative; the gradient has two of this size.",
            0.5,
        ),
        Slip(
            lambda k: 2 * k.hidden**2 * k.c**3,
            "the two partial derivatives are put together by Pythagoras, not added.",
            0.5,
        ),
        Slip(lambda k: k.c**3, "this is one path; the hidden units make many.", 0.25),
        Slip(lambda k: k.c, "three layers multiply, and many paths add up."),
        Slip(
            lambda k: math.sqrt(2) * k.hidden * k.c**3,
            "there are two hidden layers: a path chooses a unit in each.",
            0.25,
        ),
        Slip(
            lambda k: math.sqrt(2) * k.hidden * k.c**2,
            "this is for one hidden layer; the critic has two.",
            0.25,
        ),
        Slip(lambda k: k.hidden * k.c**2, "this is for one hidden layer and one input.", 0.25),
        Slip(
            lambda k: math.sqrt(2) * k.hidden**2 * k.c**3 * 0.2**2,
            "a LeakyReLU has the slope 1 where its input is positive.",
            0.25,
        ),
        Slip(lambda k: 1.0, "1 is what one would like; the clipped weights decide."),
    ],
    rel=1e-5,
)


@q3.test(points=1)
def the_steepest(student: Any, draw: Draw, k: Constants) -> None:
    got = read_number(student, "steepest")
    # Small numbers: judged as multiples of the right one.
    unit = steep(k)
    relative = Rule(
        lambda k: 1.0,
        [Slip(lambda k, s=s: s.value(k) / unit, s.lesson, s.keeps) for s in STEEPEST.slips],
        rel=STEEPEST.rel,
    )
    relative.judge(k, (), [got / unit], "steepest, as a multiple of the right value")


@q3.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_clip",
            [k.c],
            [([5.0], "nothing has changed: clamp without the underscore makes a new tensor.")],
            "the weight of a layer of fives after clip",
        )
    ]


# Question 4: a penalty for each sample --------------------------------------------------------

SIZE = 1.2


def norms(seed: int, u: Tensor, size: float = SIZE) -> tuple[Tensor, Any]:
    """Gradients (n, d) of the grader's critic at u, and the critic, in float64."""
    critic = mine["grader_critic"](seed, u.shape[1], size).double()
    u = u.double().requires_grad_()
    return torch.autograd.grad(critic(u).sum(), u, create_graph=True)[0], critic


def between(real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
    return t.double() * real.double() + (1 - t.double()) * fake.double()


def over_slopes(
    cost: Callable[[Constants, Tensor], Tensor],
    points: Callable[[Tensor, Tensor, Tensor], Tensor] = between,
) -> Callable[..., Tensor]:
    """A penalty as a function of (k, seed, real, fake, t), from a cost of the gradients (n, d)."""

    def value(k: Constants, seed: int, real: Tensor, fake: Tensor, t: Tensor) -> Tensor:
        return (k.lam * cost(k, norms(seed, points(real, fake, t))[0])).detach()

    return value


def one_sided(k: Constants, g: Tensor) -> Tensor:
    return (g.norm(dim=1) - k.K).relu().square().mean()


PENALTY = Rule(
    over_slopes(one_sided),
    [
        Slip(
            over_slopes(lambda k, g: (g.norm() - k.K).relu().square()),
            "one norm over the whole batch: it grows with the batch, and a critic of slope 1 would "
            "pay. Each sample has its own: norm(dim=1).",
            0.25,
        ),
        Slip(
            over_slopes(lambda k, g: (g.norm() - k.K).relu().square() / len(g)),
            "one norm over the whole batch; each sample has its own: norm(dim=1).",
            0.25,
        ),
        Slip(
            over_slopes(lambda k, g: (g.abs() - k.K).relu().square().mean()),
            "the slope of a sample is the norm of its gradient, not each partial derivative.",
            0.25,
        ),
        Slip(
            over_slopes(lambda k, g: (g.norm(dim=1) - k.K).square().mean()),
            "slopes below the bound pay, too: this is the two-sided penalty.",
            0.5,
        ),
        Slip(
            over_slopes(lambda k, g: (g.norm(dim=1) - 1).relu().square().mean()),
            "the bound is that of the question, not 1.",
            0.5,
        ),
        Slip(
            over_slopes(lambda k, g: (g.square().sum(1) - k.K**2).relu().square().mean()),
            "squares of slopes are compared; the root is missing.",
            0.25,
        ),
        Slip(
            over_slopes(lambda k, g: (g.square().sum(1) - k.K).relu().square().mean()),
            "the norm is squared; the root is missing.",
            0.25,
        ),
        Slip(
            over_slopes(lambda k, g: one_sided(k, g) / k.lam),
            "the weight in front is missing.",
            0.5,
        ),
        Slip(
            over_slopes(lambda k, g: one_sided(k, g) * len(g)),
            "a sum over the batch; the question takes the mean.",
            0.5,
        ),
        Slip(
            over_slopes(lambda k, g: (g.norm(dim=1) - k.K).relu().mean()),
            "the square is missing.",
            0.25,
        ),
        Slip(
            over_slopes(one_sided, lambda real, fake, t: between(fake, real, t)),
            "t and 1 - t are exchanged.",
            0.5,
        ),
        Slip(
            over_slopes(one_sided, lambda real, fake, t: real),
            "the slopes are taken at the real samples; u lies between.",
            0.25,
        ),
        Slip(
            over_slopes(one_sided, lambda real, fake, t: between(real, fake, t[:1])),
            "one t for the whole batch; each pair has its own.",
            0.5,
        ),
        Slip(
            over_slopes(lambda k, g: one_sided(k, g / len(g))),
            "this differentiates the mean of the critic, so each slope is divided by n: take the "
            "sum.",
            0.25,
        ),
    ],
    rel=1e-5,
)


def pairs(draw: Draw, n: int, d: int) -> tuple[int, Tensor, Tensor, Tensor]:
    real, fake = (draw.normal(n * d, 1.0).reshape(n, d) for _ in range(2))
    return draw.integer(0, 10**6), real, fake, draw.uniform(n).reshape(n, 1)


def penalised(
    student: Any, seed: int, size: float, real: Tensor, fake: Tensor, t: Tensor
) -> tuple[Reply, Any, bool]:
    """The value as a reply, its gradient by the critic's weights or None, .grad touched."""
    penalty = student.keep("gradient_penalty")
    reply = student.call("grader_penalty", penalty, seed, size, real, fake, t)
    value, gradient, touched = reply.value
    if value is None:
        raise Nothing("gradient_penalty")
    return Reply("gradient_penalty", value), gradient, touched


@q4.test(points=2)
def its_value(student: Any, draw: Draw, k: Constants) -> None:
    for n, d in ((4, 2), (5, 3)):
        inputs = PENALTY.draw(draw, k, lambda x, n=n, d=d: pairs(x, n, d))
        reply, _, _ = penalised(student, inputs[0], SIZE, *inputs[1:])
        case = f"{n} samples in {d} dimensions"
        PENALTY.judge(k, inputs, [number(reply)], "gradient_penalty", case)


@q4.test(points=1.5)
def trains_the_critic(student: Any, draw: Draw, k: Constants) -> None:
    inputs = PENALTY.draw(draw, k, lambda x: pairs(x, 4, 2))
    reply, gradient, touched = penalised(student, inputs[0], SIZE, *inputs[1:])
    got = number(reply)
    if gradient is None:
        raise Wrong(
            "the penalty does not reach the critic's weights: without create_graph=True, or after "
            "item() or detach(), it is a number that trains nothing."
        )
    slopes, critic = norms(inputs[0], between(*inputs[1:]))
    value = k.lam * one_sided(k, slopes)
    weights = list(critic.parameters())
    right = torch.autograd.grad(value, weights, allow_unused=True)
    due = torch.cat(
        [
            (torch.zeros_like(w) if g is None else g).flatten()
            for w, g in zip(weights, right, strict=True)
        ]
    )
    is_right = same([got], [float(value.detach())], 1e-5)
    if is_right and not torch.allclose(gradient.double(), due, atol=1e-4, rtol=1e-4):
        raise Wrong(
            "the value is right, its gradient is not: a part of the path to the critic's weights is "
            "cut."
        )
    if not bool(gradient.abs().sum() > 0):
        raise Wrong(
            f"the penalty is {got:.6g}, and its gradient zero, where slopes exceed the bound.", 0.25
        )
    if touched:
        raise Wrong(
            "gradient_penalty fills the .grad of the critic's weights: use torch.autograd.grad, not "
            "backward().",
            0.5,
        )


@q4.test(points=0.5)
def is_finite_where_flat(student: Any, draw: Draw, k: Constants) -> None:
    inputs = pairs(draw, 4, 2)
    reply, gradient, _ = penalised(student, inputs[0], 0.0, *inputs[1:])
    got = number(reply)
    if math.isnan(got) or (isinstance(gradient, Tensor) and not torch.isfinite(gradient).all()):
        raise Wrong(
            "where the critic is flat, the gradient of the penalty is nan: the root of a sum of "
            "squares has no derivative at 0, and 0 * inf is nan. Use norm(dim=1)."
        )
    if gradient is None:
        raise Wrong("the penalty does not reach the critic's weights.")


@q4.public
def _(k: Constants) -> list[Case]:
    def worth(slope: float) -> list[float]:
        return [k.lam * (slope - k.K) ** 2]

    return [
        Case(
            "try_penalty",
            worth(5.0),
            [
                (worth(5.0 * math.sqrt(2)), PENALTY.slips[0].lesson),
                ([k.lam * 16.0], "the bound is that of the question, not 1."),
                ([(5.0 - k.K) ** 2], "the weight in front is missing."),
            ],
            "gradient_penalty of a linear critic with slope 5, for two samples",
        )
    ]


# Question 5: an MMD without bias --------------------------------------------------------------


def kernel(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    square = (x.double()[:, None] - y.double()[None]).square().sum(2)
    return 1 / (1 + square / k.scale**2)


Kernel = Callable[[Constants, Tensor, Tensor], Tensor]


def estimate(
    within: Callable[[Tensor], Tensor], cross: float = 2.0, of: Kernel = kernel
) -> Callable[..., Tensor]:
    def value(k: Constants, x: Tensor, y: Tensor) -> Tensor:
        return within(of(k, x, x)) + within(of(k, y, y)) - cross * of(k, x, y).mean()

    return value


def off_diagonal(table: Tensor) -> Tensor:
    n = len(table)
    return (table.sum() - table.diagonal().sum()) / (n * (n - 1))


MMD2 = Rule(
    estimate(off_diagonal),
    [
        Slip(
            estimate(torch.mean),
            "the pairs i = j count, so the estimate is biased upwards: equal samples of equal "
            "distributions never give less than 0.",
            0.25,
        ),
        Slip(
            estimate(lambda t: (t.sum() - t.diagonal().sum()) / t.numel()),
            "the diagonal is left out, but the sum is still divided by n squared.",
            0.5,
        ),
        Slip(
            estimate(lambda t: t.sum() / (len(t) * (len(t) - 1))),
            "the sum is divided by n(n - 1), but the diagonal is still in it.",
            0.5,
        ),
        Slip(estimate(off_diagonal, 1.0), "the mixed pairs count twice.", 0.25),
        Slip(
            lambda k, x, y: -estimate(off_diagonal)(k, x, y),
            "the sign: mixed pairs count minus, and a value may be negative (no absolute value).",
            0.25,
        ),
        Slip(
            lambda k, x, y: estimate(off_diagonal)(k, x, y).clamp_min(0).sqrt(),
            "the root: the question asks for the square, which may be negative.",
            0.25,
            near=True,
        ),
        Slip(
            estimate(off_diagonal, of=lambda k, x, y: kernel(varied(k, scale=1), x, y)),
            "the width of the kernel is missing.",
            0.5,
        ),
        Slip(
            estimate(off_diagonal, of=lambda k, x, y: kernel(varied(k, scale=k.scale**0.5), x, y)),
            "the width is not squared.",
            0.5,
        ),
        Slip(
            estimate(
                off_diagonal,
                of=lambda k, x, y: (
                    1 / (1 + (1 / kernel(k, x, y) - 1).clamp_min(0).sqrt() / k.scale)
                ),
            ),
            "the distance is not squared.",
            0.25,
        ),
        Slip(
            estimate(
                off_diagonal,
                of=lambda k, x, y: (-(1 / kernel(k, x, y) - 1) / 2).exp(),
            ),
            "this is the Gaussian kernel; the question has another.",
            0.25,
        ),
        Slip(
            lambda k, x, y: -2 * kernel(k, x, y).mean(),
            "the pairs within each sample are missing.",
        ),
    ],
    rel=1e-5,
)
q5 = Question("q5", seconds=5)


def cloud(draw: Draw, n: int, d: int) -> Tensor:
    return draw.normal(n * d).reshape(n, d)


@q5.test(points=2)
def estimates(student: Any, draw: Draw, k: Constants) -> None:
    for n, m, d in ((4, 4, 2), (3, 5, 3)):
        while True:  # a positive value: the other test has the negative ones
            x, y = MMD2.draw(draw, k, lambda a, n=n, m=m, d=d: (cloud(a, n, d), cloud(a, m, d)))
            if float(estimate(off_diagonal)(k, x, y)) > 0.02:
                break
        got = number(student.call("mmd2", x, y))
        MMD2.judge(k, (x, y), [got], "mmd2", say(x=x, y=y))


@q5.test(points=1)
def may_be_negative(student: Any, draw: Draw, k: Constants) -> None:
    """Two samples of one cloud whose estimate is negative."""
    while True:
        x = cloud(draw, 4, 2)
        y = x + draw.normal(8, 0.25).reshape(4, 2)
        right = float(estimate(off_diagonal)(k, x, y))
        if right < -0.02:
            break
    got = number(student.call("mmd2", x, y))
    if not got < 0:
        raise Wrong(
            f"mmd2 is {got:.6g} at {say(x=x, y=y)}, where M is {right:.6g}: single values may be "
            "negative, and only so is the mean right. No clamp, no absolute value, no diagonal."
        )
    MMD2.judge(k, (x, y), [got], "mmd2", say(x=x, y=y))


@q5.public
def _(k: Constants) -> list[Case]:
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    return [MMD2.case(k, "mmd2", (x, y), "mmd2 of {0, 1} and {0, 3}", args=(x, y))]


# Question 6: three losses ---------------------------------------------------------------------

Scores = tuple[Tensor, Tensor]


def critic_of(k: Constants, kind: str, r: Tensor, f: Tensor) -> Tensor:
    r, f = r.double(), f.double()
    if kind == "gan":
        return softplus(-r).mean() + softplus(f).mean()
    if kind == "wgan":
        return f.mean() - r.mean() + k.drift * r.square().mean()
    return (r - k.code_b).square().mean() / 2 + (f - k.code_a).square().mean() / 2


def generator_of(k: Constants, kind: str, f: Tensor) -> Tensor:
    f = f.double()
    if kind == "gan":
        return softplus(-f).mean()
    if kind == "wgan":
        return -f.mean()
    return (f - k.code_c).square().mean() / 2


SUM = "a sum over the batch; the question takes the mean."
SIGMOID = "a sigmoid too many: the critic's numbers are used as they are."
CRITICS = {
    "gan": [
        Slip(lambda k, r, f: -critic_of(k, "gan", r, f), "the sign: it is minimised.", 0.25),
        Slip(lambda k, r, f: critic_of(k, "gan", f, r), "real and fake are swapped."),
        Slip(lambda k, r, f: critic_of(k, "gan", r.sigmoid(), f.sigmoid()), SIGMOID),
        Slip(lambda k, r, f: critic_of(k, "gan", r, f) / 2, "half of it.", 0.5),
        Slip(lambda k, r, f: critic_of(k, "gan", r, f) * len(r), SUM, 0.5),
        Slip(lambda k, r, f: critic_of(k, "wgan", r, f), "this is the loss of the WGAN."),
    ],
    "wgan": [
        Slip(
            lambda k, r, f: -critic_of(k, "wgan", r, f),
            "the sign: the critic maximises the gap, so it minimises minus the gap.",
            0.25,
        ),
        Slip(
            lambda k, r, f: (
                2 * k.drift * r.double().square().mean() - critic_of(k, "wgan", r, f)
            ),
            "the sign of the gap: the critic maximises it, so minus the gap is minimised.",
            0.25,
        ),
        Slip(
            lambda k, r, f: critic_of(k, "wgan", r.sigmoid(), f.sigmoid()),
            "a sigmoid at the end: a critic is not squashed, or its slope fades far out.",
        ),
        Slip(
            lambda k, r, f: critic_of(k, "gan", r, f), "this is the loss of the GAN: no log here."
        ),
        Slip(
            lambda k, r, f: critic_of(varied(k, drift=0), "wgan", r, f),
            "the small price on the size of f is missing.",
            0.5,
        ),
        Slip(
            lambda k, r, f: critic_of(k, "wgan", r, f) - 2 * k.drift * r.double().square().mean(),
            "the sign of the price: a large f costs.",
            0.5,
        ),
        Slip(
            lambda k, r, f: (
                critic_of(varied(k, drift=0), "wgan", r, f) + k.drift * f.double().square().mean()
            ),
            "the price is on f at the real samples.",
            0.5,
        ),
        Slip(lambda k, r, f: critic_of(k, "wgan", r, f) * len(r), SUM, 0.5),
        Slip(
            lambda k, r, f: (
                critic_of(varied(k, drift=0), "wgan", r, f) + k.drift * r.double().mean() ** 2
            ),
            "the price is on the mean of the squares, not on the square of the mean.",
            0.5,
        ),
        Slip(lambda k, r, f: critic_of(k, "wgan", r, f) / 2, "half of it.", 0.5),
        Slip(lambda k, r, f: critic_of(k, "wgan", r, f).abs(), "the absolute value.", 0.5, True),
    ],
    "lsgan": [
        Slip(lambda k, r, f: 2 * critic_of(k, "lsgan", r, f), "the factor 1/2 is missing.", 0.5),
        Slip(lambda k, r, f: critic_of(k, "lsgan", f, r), "the codes a and b are exchanged.", 0.25),
        Slip(
            lambda k, r, f: critic_of(varied(k, code_a=0, code_b=1), "lsgan", r, f),
            "the codes are those of the question, not 0 and 1.",
            0.5,
        ),
        Slip(lambda k, r, f: critic_of(k, "lsgan", r.sigmoid(), f.sigmoid()), SIGMOID),
        Slip(lambda k, r, f: critic_of(k, "lsgan", r, f) * len(r), SUM, 0.5),
    ],
}
GENERATORS = {
    "gan": [
        Slip(
            lambda k, f: -softplus(f.double()).mean(),
            "this is the saturating loss, log(1 - D).",
            0.25,
        ),
        Slip(lambda k, f: softplus(f.double()).mean(), "the generator learns to be found out."),
        Slip(lambda k, f: generator_of(k, "gan", f.sigmoid()), SIGMOID),
        Slip(lambda k, f: generator_of(k, "gan", f) * len(f), SUM, 0.5),
        Slip(lambda k, f: -generator_of(k, "gan", f), "the sign."),
    ],
    "wgan": [
        Slip(lambda k, f: -generator_of(k, "wgan", f), "the sign: it raises what the critic says."),
        Slip(lambda k, f: generator_of(k, "wgan", f.sigmoid()), SIGMOID),
        Slip(lambda k, f: generator_of(k, "gan", f), "this is the loss of the GAN: no log here."),
        Slip(lambda k, f: generator_of(k, "wgan", f) * len(f), SUM, 0.5),
    ],
    "lsgan": [
        Slip(lambda k, f: 2 * generator_of(k, "lsgan", f), "the factor 1/2 is missing.", 0.5),
        Slip(
            lambda k, f: generator_of(varied(k, code_c=k.code_b), "lsgan", f),
            "the generator's code is c, not b.",
            0.5,
        ),
        Slip(
            lambda k, f: generator_of(varied(k, code_c=k.code_a), "lsgan", f),
            "this pulls fakes to the code for fakes; the generator's is c.",
        ),
        Slip(lambda k, f: generator_of(k, "lsgan", f.sigmoid()), SIGMOID),
        Slip(lambda k, f: generator_of(k, "lsgan", f) * len(f), SUM, 0.5),
    ],
}
q6 = Question("q6", seconds=5)


def scores(draw: Draw, n: int = 4) -> Tensor:
    return draw.normal(n).reshape(n, 1)


def losses_of(student: Any, draw: Draw, k: Constants, kind: str) -> None:
    """Both losses of a kind, each half of the points, values and gradients."""

    def of_critic() -> None:
        rule = Rule(lambda k, r, f: critic_of(k, kind, r, f), CRITICS[kind], rel=2e-6)
        r, f = rule.draw(draw, k, lambda d: (scores(d), scores(d)))
        reply = student.call("critic_loss", kind, r, f, wrt=[1, 2])
        case = say(real=r.flatten(), fake=f.flatten())
        rule.judge(k, (r, f), [number(reply)], f"critic_loss of {kind!r}", case)
        connected(reply, ["real", "fake"])

    def of_generator() -> None:
        rule = Rule(lambda k, f: generator_of(k, kind, f), GENERATORS[kind], rel=2e-6)
        (f,) = rule.draw(draw, k, lambda d: (scores(d),))
        reply = student.call("generator_loss", kind, f, wrt=[1])
        what = f"generator_loss of {kind!r}"
        rule.judge(k, (f,), [number(reply)], what, say(fake=f.flatten()))
        connected(reply, ["fake"])

    kept, lesson = 0.0, None
    for part in (of_critic, of_generator):
        try:
            part()
            kept += 0.5
        except asking.Wrong as wrong:
            kept += 0.5 * getattr(wrong, "keeps", 0.0)
            lesson = lesson or wrong
    if isinstance(lesson, Nothing) and not kept:
        raise lesson
    if lesson is not None:
        raise Wrong(str(lesson), kept)


@q6.test(points=1)
def of_the_gan(student: Any, draw: Draw, k: Constants) -> None:
    losses_of(student, draw, k, "gan")


@q6.test(points=1)
def of_the_wgan(student: Any, draw: Draw, k: Constants) -> None:
    losses_of(student, draw, k, "wgan")


@q6.test(points=1)
def of_the_lsgan(student: Any, draw: Draw, k: Constants) -> None:
    losses_of(student, draw, k, "lsgan")


@q6.public
def _(k: Constants) -> list[Case]:
    zero = torch.zeros(2, 1)
    return [
        Case(
            "try_losses",
            [float(critic_of(k, kind, zero, zero))],
            [],
            f"critic_loss of {kind!r} where the critic says 0 everywhere",
            args=(kind,),
        )
        for kind in ("gan", "wgan", "lsgan")
    ]


QUESTIONS = [q1, q2, q3, q4, q5, q6]
