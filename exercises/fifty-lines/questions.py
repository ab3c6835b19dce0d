"""Hidden tests and public cases of the assignment `fifty-lines`. Keep this file to yourself.

The latent has ``k.latent`` numbers, the discriminator takes ``k.k`` steps for one of the generator
and is told ``k.target`` for real samples (one-sided label smoothing); ``k.bend`` bends the data,
``k.power`` is the exponent of the energy distance. Steps are asked of small players made by
:data:`HELPERS`, in the student's process and here alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tools.grader import asking
from tools.grader.asking import Injection, Reply, Seed
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
    judge,
    number,
    numbers,
    say,
    varied,
)

TITLE = "A GAN in fifty lines"


def constants(draw: Draw) -> dict[str, Any]:
    return {
        "latent": draw.choice([3, 4, 5]),
        "k": draw.choice([2, 3]),
        "target": draw.choice([0.8, 0.85, 0.9]),
        "bend": draw.choice([0.6, 0.7, 0.8]),
        "power": draw.choice([0.5, 0.6, 0.75]),
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer's number, so that one could be copied."""
    return k.latent == other.latent or k.target == other.target or k.power == other.power


#: Small players with rubbish in their gradients, run in the student's process and here.
HELPERS = """
import torch as _torch
RATE, RUBBISH = 0.25, 0.5
def grader_player(seed, *sizes):
    g = _torch.Generator().manual_seed(seed)
    layers = []
    for i, o in zip(sizes, sizes[1:]):
        layer = _torch.nn.Linear(i, o)
        with _torch.no_grad():
            layer.weight.copy_(_torch.randn(o, i, generator=g))
            layer.bias.copy_(_torch.randn(o, generator=g) / 2)
        layers += [layer, _torch.nn.Tanh()]
    player = _torch.nn.Sequential(*layers[:-1])
    for p in player.parameters():
        p.grad = _torch.full_like(p, RUBBISH)
    return player
def grader_optimiser(player):
    return _torch.optim.SGD(player.parameters(), lr=RATE)
def grader_generator(seed):
    return _torch.Generator().manual_seed(seed)
"""
NAMES = ("grader_player", "grader_optimiser", "grader_generator")
mine: dict[str, Any] = {}
exec(HELPERS, mine)
RATE, RUBBISH = mine["RATE"], mine["RUBBISH"]


def inject_helpers(k: Constants) -> Injection:
    return Injection(NAMES, HELPERS)


# Question 1: the ruler ------------------------------------------------------------------------


def apart(x: Tensor, y: Tensor, power: float) -> Tensor:
    return (x.double()[:, None] - y.double()[None]).norm(dim=2) ** power


def energy(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    return (
        2 * apart(x, y, k.power).mean() - apart(x, x, k.power).mean() - apart(y, y, k.power).mean()
    )


def different_pairs(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    def own(z: Tensor) -> Tensor:
        return apart(z, z, k.power).sum() / (len(z) * (len(z) - 1))

    return 2 * apart(x, y, k.power).mean() - own(x) - own(y)


def by_coordinate(k: Constants, x: Tensor, y: Tensor) -> Tensor:
    def mean(a: Tensor, b: Tensor) -> Tensor:
        return ((a.double()[:, None] - b.double()[None]).abs().sum(2) ** k.power).mean()

    return 2 * mean(x, y) - mean(x, x) - mean(y, y)


ENERGY = Rule(
    energy,
    [
        Slip(
            lambda k, x, y: 2 * apart(x, y, k.power).mean(),
            "only the mixed pairs count; the pairs within "
            "each sample are missing, and equal samples would not be at distance 0.",
        ),
        Slip(
            lambda k, x, y: energy(k, x, y) - apart(x, y, k.power).mean(),
            "the mixed pairs count twice: x with y, and y with x.",
            0.25,
        ),
        Slip(
            lambda k, x, y: -energy(k, x, y),
            "the sign: mixed pairs count plus, the others minus.",
            0.25,
        ),
        Slip(
            lambda k, x, y: energy(varied(k, power=1), x, y),
            "the exponent of the question is missing.",
            0.5,
        ),
        Slip(
            lambda k, x, y: energy(varied(k, power=2), x, y),
            "squared distances: the exponent 2 sees nothing but the two means.",
        ),
        Slip(
            different_pairs,
            "the pairs i = j within a sample are left out; the question counts them.",
            0.5,
        ),
        Slip(
            lambda k, x, y: energy(k, x, y).clamp_min(0).sqrt(),
            "the square root: the question has none.",
            0.5,
        ),
        Slip(lambda k, x, y: energy(k, x, y) / 2, "half of it.", 0.5),
        Slip(
            by_coordinate,
            "the distance of two points is the root of the sum of squares, not the sum "
            "of absolute values.",
            0.25,
        ),
    ],
)
q1 = Question("q1", seconds=5, inject=inject_helpers)


def points(draw: Draw, n: int, columns: int = 2) -> Tensor:
    return draw.normal(n * columns).reshape(n, columns)


@q1.test(points=2)
def distances(student: Any, draw: Draw, k: Constants) -> None:
    for n, m, columns in ((3, 4, 2), (5, 3, 3)):
        x, y = ENERGY.draw(
            draw, k, lambda d, n=n, m=m, c=columns: (points(d, n, c), points(d, m, c))
        )
        got = number(student.call("energy_distance", x, y))
        ENERGY.judge(k, (x, y), [got], "energy_distance", say(x=x, y=y))


@q1.public
def _(k: Constants) -> list[Case]:
    x, y = (
        torch.tensor([[0.0, 0.0], [3.0, 4.0]]),
        torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]),
    )
    what = "energy_distance of {(0, 0), (3, 4)} and {(0, 0), (1, 0), (0, 2)}"
    return [ENERGY.case(k, "energy_distance", (x, y), what, args=(x, y))]


# Questions 2 and 3: the two steps -------------------------------------------------------------

Loss = Callable[[Constants, Tensor, Tensor], Tensor]


def d_loss(k: Constants, s: Tensor, t: Tensor) -> Tensor:
    real = k.target * softplus(-s) + (1 - k.target) * softplus(s)
    return real.mean() + softplus(t).mean()


def both_smooth(k: Constants, s: Tensor, t: Tensor) -> Tensor:
    return (
        d_loss(k, s, t)
        - softplus(t).mean()
        + (k.target * softplus(t) + (1 - k.target) * softplus(-t)).mean()
    )


def players(k: Constants, seed: int) -> tuple[Any, Any]:
    return mine["grader_player"](seed, k.latent, 4, 2).double(), mine["grader_player"](
        seed + 1, 2, 4, 1
    ).double()


def d_logits(k: Constants, seed: int, real: Tensor, G: Any, D: Any) -> tuple[Tensor, Tensor]:
    z = torch.randn(len(real), k.latent, generator=torch.Generator().manual_seed(seed))
    return D(real.double()), D(G(z.double()).detach())


def g_logits(k: Constants, seed: int, n: int, G: Any, D: Any) -> tuple[Tensor, Tensor]:
    s = D(G(torch.randn(n, k.latent, generator=torch.Generator().manual_seed(seed)).double()))
    return s, s


def step(logits: Any, side: int, loss: Loss, stale: float = 0.0, rate: float = RATE) -> Any:
    """The parameters of player ``side`` after one step, as a function of (k, seed, batch)."""

    def after(k: Constants, seed: int, batch: Any) -> Tensor:
        both = players(k, seed)
        own = list(both[side].parameters())
        slope = torch.autograd.grad(loss(k, *logits(k, seed, batch, *both)), own, allow_unused=True)
        return torch.cat(
            [
                (p - rate * ((0 if g is None else g) + stale * RUBBISH)).detach().flatten()
                for p, g in zip(own, slope, strict=True)
            ]
        )

    return after


def value(logits: Any, loss: Loss) -> Any:
    return lambda k, seed, batch: loss(k, *logits(k, seed, batch, *players(k, seed))).detach()


def rules(
    logits: Any, side: int, loss: Loss, slips: list[tuple[Loss, str, float]]
) -> tuple[Rule, Rule]:
    """The rule of the parameters and the rule of the loss."""
    stale = (
        "the gradients of before are still in it: PyTorch adds to .grad, and the other player's "
        "step has left its own there. Call zero_grad() before backward()."
    )
    moved = [
        Slip(step(logits, side, loss, stale=1.0), stale, 0.5),
        Slip(
            step(logits, side, loss, rate=0.0),
            "nothing has moved: optimiser.step() is missing, comes "
            "before backward(), or detach() has cut the player off.",
        ),
        Slip(
            step(logits, side, loss, rate=2 * RATE),
            "twice as far as one step goes: is there a second step, or a second backward()?",
            0.25,
        ),
        Slip(step(logits, side, loss, rate=-RATE), "it goes uphill: every loss is minimised here."),
    ]
    moved += [Slip(step(logits, side, other), lesson, keeps) for other, lesson, keeps in slips]
    worth = [Slip(value(logits, other), lesson, keeps) for other, lesson, keeps in slips]
    return Rule(step(logits, side, loss), moved, rel=1e-6), Rule(
        value(logits, loss), worth, rel=2e-6
    )


D_MOVES, D_LOSS = rules(
    d_logits,
    1,
    d_loss,
    [
        (
            lambda k, s, t: d_loss(varied(k, target=1), s, t),
            "the smoothing of the question is missing.",
            0.5,
        ),
        (both_smooth, "the fakes are smoothed too; the question smooths the real side alone.", 0.5),
        (
            lambda k, s, t: d_loss(varied(k, target=1 - k.target), s, t),
            "the target and its rest are exchanged.",
            0.25,
        ),
        (lambda k, s, t: d_loss(k, t, s), "real and fake are swapped.", 0.0),
        (lambda k, s, t: d_loss(k, s, t) - softplus(t).mean(), "the fake half is missing.", 0.0),
        (
            lambda k, s, t: d_loss(k, s, t) - softplus(t).mean() + softplus(-t).mean(),
            "the fakes' half has the sign of real samples: it is -log(1 - D), softplus of the logit.",
            0.25,
        ),
        (lambda k, s, t: softplus(t).mean(), "the real half is missing.", 0.0),
        (
            lambda k, s, t: d_loss(k, s, t) * len(s),
            "a sum over the batch; the loss takes the mean.",
            0.5,
        ),
        (
            lambda k, s, t: d_loss(k, s, t) / 2,
            "half of it: the two halves are added, not averaged.",
            0.5,
        ),
        (
            lambda k, s, t: d_loss(k, s.sigmoid(), t.sigmoid()),
            "a sigmoid too many: D gives the logit, and "
            "softplus or BCE-with-logits take it as it is.",
            0.0,
        ),
        (
            lambda k, s, t: k.target * softplus(-s).mean() + softplus(t).mean(),
            "the real side is weighed, not smoothed: (1 - target) log(1 - D) is missing.",
            0.25,
        ),
    ],
)


def g_loss(k: Constants, s: Tensor, _: Tensor) -> Tensor:
    return softplus(-s).mean()


G_MOVES, G_LOSS = rules(
    g_logits,
    0,
    g_loss,
    [
        (
            lambda k, s, _: -softplus(s).mean(),
            "this is the saturating loss, log(1 - D); the question asks for -log D.",
            0.25,
        ),
        (
            lambda k, s, _: softplus(s).mean(),
            "this is -log(1 - D): the generator learns to be found out.",
            0.0,
        ),
        (
            lambda k, s, _: g_loss(k, s, s) * len(s),
            "a sum over the batch; the loss takes the mean.",
            0.5,
        ),
        (lambda k, s, _: g_loss(k, s, s) / 2, "half of it.", 0.5),
        (lambda k, s, _: g_loss(k, s.sigmoid(), s), "a sigmoid too many: D gives the logit.", 0.0),
        (
            lambda k, s, _: (k.target * softplus(-s) + (1 - k.target) * softplus(s)).mean(),
            "the generator's "
            "side is smoothed; the question smooths the real side alone, which G never meets.",
            0.5,
        ),
    ],
)
NOISE = (
    "{name} does not draw from the generator passed in: noise made once outside, or by the global "
    "random state, is not fresh noise that can be repeated. Use torch.randn(..., "
    "generator=generator)."
)
q2 = Question("q2", seconds=8, inject=inject_helpers)
q3 = Question("q3", seconds=8, inject=inject_helpers)
STEPS = ("generator_step", "discriminator_step")


def flat(student: Any, player: Any) -> list[float]:
    return torch.cat(
        [p.double().flatten() for p in student.state(player).parameters.values()]
    ).tolist()


def one_step(
    student: Any, k: Constants, side: int, seed: int, batch: Any, source: Any = None
) -> Any:
    """The student's step of player ``side`` on the grader's players: reply, G, D."""
    G = student.make("grader_player", seed, k.latent, 4, 2)
    D = student.make("grader_player", seed + 1, 2, 4, 1)
    optimiser = student.make("grader_optimiser", (G, D)[side])
    reply = student.call(STEPS[side], G, D, optimiser, batch, source or Seed(seed))
    if reply.value is None and not any(reply.moved):
        raise Nothing(STEPS[side])
    return reply, (G, D)


def sampled(side: int, d: Draw, n: int = 6) -> tuple[int, Any]:
    return d.integer(0, 10**6), points(d, n) if side else n


def moves(student: Any, draw: Draw, k: Constants, side: int, rule: Rule) -> None:
    for n in (5, 8):
        seed, batch = rule.draw(draw, k, lambda d, n=n: sampled(side, d, n))
        reply, both = one_step(student, k, side, seed, batch)
        if not any(reply.moved) and flat(student, both[side]) != plain_before(k, seed, side):
            raise Wrong(NOISE.format(name=STEPS[side]), 0.25)
        what = f"the weights of {'GD'[side]} after one {STEPS[side]}"
        rule.judge(k, (seed, batch), flat(student, both[side]), what, "the grader's players")


def plain_before(k: Constants, seed: int, side: int) -> list[float]:
    return torch.cat([p.detach().flatten() for p in players(k, seed)[side].parameters()]).tolist()


def losses(student: Any, draw: Draw, k: Constants, side: int, rule: Rule) -> None:
    seed, batch = rule.draw(draw, k, lambda d: sampled(side, d))
    reply, _ = one_step(student, k, side, seed, batch)
    got = number(reply)
    if isinstance(reply.value, Tensor) and reply.attached:
        raise Wrong(
            f"{STEPS[side]} returns a tensor with its graph, which a curve keeps alive: end with "
            "loss.item().",
            0.5,
        )
    if not any(reply.moved):
        raise Wrong(NOISE.format(name=STEPS[side]))
    rule.judge(
        k, (seed, batch), [got], f"the loss that {STEPS[side]} returns", "the grader's players"
    )


def leaves_the_other(student: Any, draw: Draw, k: Constants, side: int) -> None:
    seed, batch = sampled(side, draw)
    _, both = one_step(student, k, side, seed, batch)
    mover, other = "GD"[side], "DG"[side]
    if flat(student, both[side]) == plain_before(k, seed, side):
        raise Wrong(f"{STEPS[side]} has moved nothing, {mover} included.")
    if flat(student, both[1 - side]) != plain_before(k, seed, 1 - side):
        raise Wrong(
            f"{STEPS[side]} changes the weights of {other}: a step moves one player, {mover}, by "
            "the optimiser passed in."
        )
    for player, name in zip(both, "GD", strict=True):
        if not all(student.state(player).trainable.values()):
            raise Wrong(
                f"after {STEPS[side]} the weights of {name} no longer ask for gradients: what is "
                "frozen must be thawed again.",
                0.25,
            )
    left = [g for g in student.state(both[1 - side]).gradients.values() if g is not None]
    if side and not all(bool((g == RUBBISH).all()) or bool((g == 0).all()) for g in left):
        raise Wrong(
            "discriminator_step sends gradients into G: the fakes are not detached. That costs a "
            "backward pass through G, and what it leaves there is a mistake as soon as G's "
            "zero_grad() stands elsewhere.",
            0.25,
        )


def fresh_noise(student: Any, draw: Draw, k: Constants, side: int) -> None:
    """The second call draws other noise, from the generator passed and from nothing else."""
    seed, batch = sampled(side, draw)
    source = student.make("grader_generator", seed)
    one, _ = one_step(student, k, side, seed, batch, source)
    two, _ = one_step(student, k, side, seed, batch, source)
    if not (any(one.moved) and any(two.moved)):
        raise Wrong(NOISE.format(name=STEPS[side]))
    if number(one) == number(two):
        raise Wrong(f"two calls of {STEPS[side]} use the same noise: draw it anew in each.")
    if not one.rng_same:
        raise Wrong(
            f"{STEPS[side]} uses torch's global random state as well: one generator, the one "
            "passed."
        )


@q2.test(points=2)
def d_moves(student: Any, draw: Draw, k: Constants) -> None:
    moves(student, draw, k, 1, D_MOVES)


@q2.test(points=0.5)
def d_value(student: Any, draw: Draw, k: Constants) -> None:
    losses(student, draw, k, 1, D_LOSS)


@q2.test(points=1)
def d_leaves_g(student: Any, draw: Draw, k: Constants) -> None:
    leaves_the_other(student, draw, k, 1)


@q2.test(points=0.5)
def d_noise(student: Any, draw: Draw, k: Constants) -> None:
    fresh_noise(student, draw, k, 1)


@q3.test(points=2)
def g_moves(student: Any, draw: Draw, k: Constants) -> None:
    moves(student, draw, k, 0, G_MOVES)


@q3.test(points=0.5)
def g_value(student: Any, draw: Draw, k: Constants) -> None:
    losses(student, draw, k, 0, G_LOSS)


@q3.test(points=1)
def g_leaves_d(student: Any, draw: Draw, k: Constants) -> None:
    leaves_the_other(student, draw, k, 0)


@q3.test(points=0.5)
def g_noise(student: Any, draw: Draw, k: Constants) -> None:
    fresh_noise(student, draw, k, 0)


def flat_loss(k: Constants, side: int) -> float:
    """The loss where every logit is 0."""
    zero = torch.zeros(3)
    return float((d_loss if side else g_loss)(k, zero, zero))


@q2.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_discriminator_step",
            [flat_loss(k, 1)],
            [([math.log(2)], "one half is missing.")],
            "the loss that discriminator_step returns for a D that says 1/2 everywhere",
        )
    ]


@q3.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_generator_step",
            [flat_loss(k, 0)],
            [([-math.log(2)], "the sign, or the saturating loss: the question asks for -log D.")],
            "the loss that generator_step returns for a D that says 1/2 everywhere",
        )
    ]


# Question 4: the loop -------------------------------------------------------------------------

LOGGED = (
    HELPERS
    + """
from torch.nn.functional import softplus as _softplus
_calls, _optimisers = [], []
def _log(side, batch, optimiser, player, first, loss):
    held = {id(p) for g in optimiser.param_groups for p in g["params"]}
    if all(o is not optimiser for o in _optimisers):
        _optimisers.append(optimiser)
    group = optimiser.param_groups[0]
    asked = type(optimiser).__name__ == "Adam" and abs(float(group["lr"]) - 1e-3) < 1e-9
    asked = asked and max(abs(float(b) - d) for b, d in zip(group["betas"], (0.5, 0.999))) < 1e-9
    mine = int(held == {id(p) for p in player.parameters()})
    _calls.append([side, batch, mine, first, int(asked), loss])
def grader_calls():
    found = [*_calls, len(_optimisers)]
    _calls.clear()
    _optimisers.clear()
    return found
def discriminator_step(G, D, optimiser, real, generator):
    z = _torch.randn(len(real), LATENT, generator=generator)
    s, t = D(real), D(G(z).detach())
    loss = (TARGET * _softplus(-s) + (1 - TARGET) * _softplus(s)).mean() + _softplus(t).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    _log(1, len(real), optimiser, D, float(real.detach().sum()), loss.item())
    return loss.item()
def generator_step(G, D, optimiser, n, generator):
    loss = _softplus(-D(G(_torch.randn(n, LATENT, generator=generator)))).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    _log(0, n, optimiser, G, 0.0, loss.item())
    return loss.item()
"""
)


def inject_steps(k: Constants) -> Injection:
    source = LOGGED.replace("LATENT", str(k.latent)).replace("TARGET", str(k.target))
    return Injection((*NAMES, *STEPS, "grader_calls"), source)


def bent(k: Constants, n: int, seed: int) -> Tensor:
    """Samples of the data, (n, 2)."""
    g = torch.Generator().manual_seed(seed)
    x, noise = torch.randn(n, generator=g), torch.randn(n, generator=g)
    return torch.stack([x, k.bend * (x**2 - 1) + 0.3 * noise], 1)


q4 = Question("q4", seconds=60, inject=inject_steps)
STEPS_ASKED, BATCH = 400, 64


def trained(student: Any, *args: Any) -> tuple[Any, Any]:
    """What the student's ``train`` gives: a handle of G, and the curve."""
    found = student.made("train", *args).value
    if found is None:
        raise Nothing("train")
    if (
        not isinstance(found, tuple | list)
        or len(found) != 2
        or not isinstance(found[0], asking.Handle)
    ):
        raise Wrong(
            f"train must return G and the curve, in this order; it returns {asking.kind_of(found)}."
        )
    return found[0], found[1]


def length(curve: Any) -> int:
    """The entries of a list, a tuple, a tensor or a NumPy array; 0 of anything else."""
    table = getattr(curve, "tensor", curve)  # a NumPy array travels as one
    if isinstance(table, Tensor):
        return len(table) if table.dim() else 0
    return len(table) if isinstance(table, list | tuple) else 0


def sample(student: Any, k: Constants, G: Any, n: int, seed: int) -> Tensor:
    z = torch.randn(n, k.latent, generator=torch.Generator().manual_seed(seed))
    x = student.call("", z, on=G).tensor
    if x.shape != (n, 2):
        raise Wrong(f"G gives {asking.kind_of(x)} for {n} latents; due is the shape ({n}, 2).")
    return x


@q4.test(points=2)
def order_of_steps(student: Any, draw: Draw, k: Constants) -> None:
    student.call("grader_calls")
    _, curve = trained(student, bent(k, 256, draw.seed()), 6, draw.integer(0, 999))
    *calls, optimisers = student.call("grader_calls").value
    sides = [c[0] for c in calls]
    if 0 not in sides or 1 not in sides:
        raise Wrong(
            "train does not call both discriminator_step and generator_step: the loop uses yours."
        )
    if sides != ([1] * k.k + [0]) * 6:
        counts = f"{sides.count(1)} steps of D and {sides.count(0)} of G"
        due = f"due are {k.k} of D, then one of G, six times"
        if sides == [1, 0] * 6:
            raise Wrong(f"one step of D for one of G; {due}.", 0.5)
        if sides == ([0] * k.k + [1]) * 6 or sides == ([1] + [0] * k.k) * 6:
            raise Wrong(f"the players are exchanged: {counts}; {due}.", 0.25)
        raise Wrong(f"train(points, 6, seed) takes {counts}; {due}.", 0.25)
    if any(c[2] != 1 for c in calls):
        raise Wrong(
            "an optimiser holds other weights than those of its player: D's optimiser moves D "
            "alone, G's moves G alone.",
            0.25,
        )
    if any(c[1] != BATCH for c in calls):
        raise Wrong(
            f"a batch has {BATCH} samples, real or generated; yours have "
            f"{sorted({c[1] for c in calls})}.",
            0.5,
        )
    if len({c[3] for c in calls if c[0] == 1}) < 6 * k.k:
        raise Wrong(
            "a batch of real samples is used more than once: draw new rows for every step of D.",
            0.5,
        )
    if optimisers != 2:
        raise Wrong(
            f"{optimisers} optimisers for two players: made anew, Adam has lost what it knows of the "
            "gradients. Make one for each player, before the loop.",
            0.5,
        )
    if not all(c[4] for c in calls):
        raise Wrong("the optimisers are Adam with lr=1e-3 and betas=(0.5, 0.999) here.", 0.75)
    if length(curve) != 6:
        raise Wrong(
            "the curve must have one entry for each step of G, the pair of the two losses.", 0.75
        )
    on_curve(plain_curve(curve), [c[5] for c in calls], k)


def plain_curve(curve: Any) -> list[float]:
    """The numbers of the curve, pair by pair."""
    table = getattr(curve, "tensor", curve)
    if isinstance(table, Tensor):
        return table.double().flatten().tolist()
    return [number(Reply("the curve", x)) for pair in table for x in numbers_of(pair)]


def numbers_of(pair: Any) -> list[Any]:
    table = getattr(pair, "tensor", pair)
    if isinstance(table, Tensor):
        return list(table.double().flatten().tolist())
    return list(table) if isinstance(table, list | tuple) else [table]


def on_curve(got: list[float], losses: list[float], k: Constants) -> None:
    """Whether the pairs are (last loss of D, loss of G), from the losses in the order of calls."""
    if len(got) != 2 * len(losses) // (k.k + 1):
        raise Wrong("each entry of the curve is a pair of numbers, (loss of D, loss of G).", 0.75)
    turns = [losses[i : i + k.k + 1] for i in range(0, len(losses), k.k + 1)]

    def pairs(of: Callable[[list[float]], list[float]]) -> list[float]:
        return [x for turn in turns for x in of(turn)]

    judge(
        got,
        pairs(lambda t: [t[-2], t[-1]]),
        [
            (pairs(lambda t: [t[-1], t[-2]]), "a pair is (loss of D, loss of G), in this order.", 0.75),
            (pairs(lambda t: [t[0], t[-1]]), "it takes the last loss of D, not the first.", 0.75),
            (pairs(lambda t: [sum(t[:-1]) / k.k, t[-1]]), "it takes the last loss of D, no mean.", 0.75),
        ],
        "the curve",
        rel=1e-5,
        shape=(6, 2),
    )


@q4.test(points=1)
def repeats(student: Any, draw: Draw, k: Constants) -> None:
    data, one = bent(k, 256, draw.seed()), draw.integer(0, 999)
    found = [
        sample(student, k, trained(student, data, 5, seed)[0], 20, 1)
        for seed in (one, one, one + 1)
    ]
    if not torch.equal(found[0], found[1]):
        raise Wrong(
            "the same seed gave two different generators: the seed fixes the first weights and "
            "every draw."
        )
    if torch.equal(found[0], found[2]):
        raise Wrong("two seeds gave the same generator: the seed passed in is not used.")


@q4.test(points=3)
def near_the_data(student: Any, draw: Draw, k: Constants) -> None:
    """Two of three seeds beat the best single Gaussian.

    In 36 runs of the right answer over six settings of the constants, the distance was at most
    0.54, 0.56 and 0.61 of the Gaussian's for the exponents 0.5, 0.6 and 0.75; in 42 more with 0.75,
    at most 0.76.
    """
    data, fresh = bent(k, 512, draw.seed()), bent(k, 1000, draw.seed())
    blob = float(energy(k, gaussian(data, draw.seed()), fresh))
    found = []
    for _ in range(3):
        G, _ = trained(student, data, STEPS_ASKED, draw.integer(0, 10**6))
        found.append(float(energy(k, sample(student, k, G, 1000, draw.seed()), fresh)))
    said = ", ".join(f"{x:.3f}" for x in found)
    middle = statistics.median(found)
    if not middle < blob:
        raise Wrong(
            f"energy distances to fresh data after {STEPS_ASKED} steps, three seeds: {said}; a "
            f"Gaussian with the data's mean and covariance has {blob:.3f}, and two of three must "
            "be below it.",
            0.4 if middle < 2 * blob else 0.0,
        )


def gaussian(data: Tensor, seed: int) -> Tensor:
    z = torch.randn(1000, 2, generator=torch.Generator().manual_seed(seed))
    return data.mean(0) + z @ torch.linalg.cholesky(torch.cov(data.T)).T


@q4.public
def _(k: Constants) -> list[Case]:
    return [
        Case(
            "try_train",
            [5.0, 2.0],
            [],
            "(entries of the curve, numbers in a sample) of train with 5 steps",
        )
    ]


# Question 5: a score over seeds ---------------------------------------------------------------

SCORED = (
    HELPERS
    + """
def grader_train(points, steps, seed):
    G = grader_player(seed, LATENT, 4, 2)
    return G, [(0.0, 0.0)] * steps
def energy_distance(x, y):
    def mean(a, b):
        return (((a[:, None] - b[None]) ** 2).sum(2).sqrt() ** POWER).mean()
    return float(2 * mean(x, y) - mean(x, x) - mean(y, y))
"""
)


def inject_train(k: Constants) -> Injection:
    source = SCORED.replace("LATENT", str(k.latent)).replace("POWER", str(k.power))
    return Injection((*NAMES, "grader_train", "energy_distance"), source)


def each(k: Constants, fresh: Tensor, seeds: list[int], noise: int | None = None) -> list[float]:
    found = []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed if noise is None else noise)
        x = players(k, seed)[0](torch.randn(len(fresh), k.latent, generator=g).double())
        found.append(float(energy(k, x.detach(), fresh)))
    return found


def three(values: list[float]) -> list[float]:
    return [min(values), statistics.median(values), max(values)]


def scores(k: Constants, data: Tensor, fresh: Tensor, seeds: list[int]) -> list[float]:
    return three(each(k, fresh, seeds))


def with_mean(k: Constants, data: Tensor, fresh: Tensor, seeds: list[int]) -> list[float]:
    found = each(k, fresh, seeds)
    return [min(found), statistics.fmean(found), max(found)]


def on_training(k: Constants, data: Tensor, fresh: Tensor, seeds: list[int]) -> list[float]:
    found = []
    for seed in seeds:
        z = torch.randn(len(fresh), k.latent, generator=torch.Generator().manual_seed(seed))
        found.append(float(energy(k, players(k, seed)[0](z.double()).detach(), data)))
    return three(found)


SCORE = Rule(
    scores,
    [
        Slip(
            on_training,
            "the samples are compared with the points that were trained on: a generator that "
            "repeats them would look perfect. Compare with fresh.",
            0.25,
        ),
        Slip(
            lambda k, p, f, s: on_training(k, p[: len(f)], f, s),
            "the samples are compared with points that were trained on; compare with fresh.",
            0.25,
        ),
        Slip(
            with_mean,
            "the middle number is the mean; one run that fails moves it, the median stays.",
            0.5,
        ),
        Slip(
            lambda k, p, f, s: three(each(k, f, s[:1])),
            "one seed only: one run is luck. Train once for each seed.",
        ),
        Slip(
            lambda k, p, f, s: three(each(k, f, s[-1:])),
            "one seed only, the last: collect a number for each seed.",
        ),
        Slip(
            lambda k, p, f, s: scores(k, p, f, s)[::-1], "the order: lowest, median, highest.", 0.75
        ),
        Slip(
            lambda k, p, f, s: three(each(k, f, s, noise=0)),
            "the same noise for every seed; the question draws it with the run's own seed.",
            0.5,
        ),
        Slip(
            lambda k, p, f, s: three(each(k, f, list(range(len(s))))),
            "the seeds 0, 1, ... are used, not those passed in.",
            0.5,
        ),
    ],
    rel=2e-5,
)
q5 = Question("q5", seconds=8, inject=inject_train)


@q5.test(points=3)
def over_seeds(student: Any, draw: Draw, k: Constants) -> None:
    def inputs(d: Draw) -> tuple[Any, ...]:
        return points(d, 9), points(d, 7), [d.integer(10, 10**6) for _ in range(5)]

    data, fresh, seeds = SCORE.draw(draw, k, inputs)
    train = student.keep("grader_train")
    reply = student.call("score", train, data, fresh, 2, seeds)
    got = numbers(reply, 3, "(lowest, median, highest)")
    again = numbers(student.call("score", train, data, fresh, 2, seeds), 3, "(lowest, ...)")
    if got != again:
        raise Wrong(
            "score gives other numbers when it is called again with the same seeds: draw the latents "
            "of each run with a torch.Generator that carries its seed.",
            0.25,
        )
    SCORE.judge(k, (data, fresh, seeds), got, "score", f"five seeds, {len(fresh)} fresh points")


# Question 6: a walk ---------------------------------------------------------------------------


def path(k: Constants, weights: Any) -> Any:
    def walk(k: Constants, seed: int, a: Tensor, b: Tensor, n: int) -> Tensor:
        u, v = weights(torch.arange(n).double(), n)
        z = u[:, None] * a.double() + v[:, None] * b.double()
        return players(k, seed)[0](z).detach()

    return walk


def arc(i: Tensor, n: int) -> tuple[Tensor, Tensor]:
    phi = i / (n - 1) * math.pi / 2
    return phi.cos(), phi.sin()


def normalised(i: Tensor, n: int) -> tuple[Tensor, Tensor]:
    t = i / (n - 1)
    root = (t**2 + (1 - t) ** 2).sqrt()
    return (1 - t) / root, t / root


WALK = Rule(
    path(None, arc),
    [
        Slip(
            path(None, lambda i, n: (1 - i / (n - 1), i / (n - 1))),
            "a straight line: half-way the latent has "
            "half the variance, where G has hardly been trained.",
            0.4,
        ),
        Slip(
            path(None, normalised),
            "each point has the right law, but the angles are not equally spaced: use cos and sin.",
            0.6,
        ),
        Slip(path(None, lambda i, n: arc(i, n)[::-1]), "the walk goes from z1 to z0.", 0.6),
        Slip(
            path(None, lambda i, n: ((i / n * math.pi / 2).cos(), (i / n * math.pi / 2).sin())),
            "the walk stops before z1: n points have n - 1 gaps.",
            0.6,
        ),
        Slip(
            path(None, lambda i, n: ((i / (n - 1) * math.pi).cos(), (i / (n - 1) * math.pi).sin())),
            "the angle runs to pi, and the walk ends at -z0; it runs to pi/2.",
            0.4,
        ),
    ],
    rel=1e-5,
)
q6 = Question("q6", seconds=8, inject=inject_helpers)


@q6.test(points=2)
def walks(student: Any, draw: Draw, k: Constants) -> None:
    for n in (5, 8):
        seed, a, b, n = WALK.draw(
            draw, k, lambda d, n=n: (d.integer(0, 10**6), d.normal(k.latent), d.normal(k.latent), n)
        )
        reply = student.call("walk", student.make("grader_player", seed, k.latent, 4, 2), a, b, n)
        if reply.value is None:
            raise Nothing("walk")
        got = reply.tensor
        if got.shape != (n, 2):
            latents = (
                " These are the latents: put them through G." if got.shape == (n, k.latent) else ""
            )
            raise Wrong(
                f"walk has the shape {tuple(got.shape)}; due is ({n}, 2).{latents}",
                0.4 if latents else 0.0,
            )
        WALK.judge(
            k, (seed, a, b, n), got.double().flatten().tolist(), "walk", say(z0=a, z1=b, n=n),
            shape=(n, 2),
        )
        if reply.attached:
            raise Wrong(
                "the walk carries its graph, and matplotlib refuses it: use torch.no_grad() or "
                "detach().",
                0.75,
            )


@q6.public
def _(k: Constants) -> list[Case]:
    half = math.sqrt(0.5)
    return [
        Case(
            "try_walk",
            [1.0, 0.0, half, half, 0.0, 1.0],
            [
                (
                    [1, 0, 0.5, 0.5, 0, 1],
                    "a straight line: half-way the latent has half the variance.",
                )
            ],
            "walk of 3 points from (1, 0, ...) to (0, 1, 0, ...), for a G that gives its first two "
            "latents",
            rel=1e-4,
        )
    ]


# Question 7: what the losses show -------------------------------------------------------------


def level(k: Constants) -> float:
    d = k.target / 2
    return -k.target * math.log(d) - (2 - k.target) * math.log(1 - d)


BEST = Rule(
    lambda k: k.target / 2,
    [
        Slip(lambda k: 0.5, "1/2 is right without smoothing only.", 0.25),
        Slip(
            lambda k: k.target,
            "that is where no fakes are; here half of what D sees is fake.",
            0.25,
        ),
        Slip(
            lambda k: 1 - k.target / 2,
            "the probability of a fake; D is that of a real sample.",
            0.5,
        ),
        Slip(
            lambda k: math.log(k.target / (2 - k.target)),
            "this is the logit; D is its sigmoid.",
            0.5,
        ),
        Slip(
            lambda k: 1 / (1 + k.target),
            "the derivative: the fakes' term has weight 1, the real one's two terms add up to 1.",
            0.25,
        ),
        Slip(
            lambda k: k.target / (1 + k.target),
            "(1 - target) log(1 - D) counts with the fakes.",
            0.25,
        ),
    ],
)
LEVEL = Rule(
    level,
    [
        Slip(lambda k: math.log(4), "log 4 is the level without smoothing.", 0.25),
        Slip(lambda k: level(k) / 2, "half of it: the two halves are added.", 0.5),
        Slip(lambda k: -level(k), "the sign: a loss of probabilities is positive.", 0.5),
        Slip(
            lambda k: level(k) / math.log(2),
            "another base of the logarithm; the book's are natural.",
            0.5,
        ),
        Slip(
            lambda k: -math.log(k.target / 2) - math.log(1 - k.target / 2),
            "the best D is right, the loss at it is not smoothed.",
            0.5,
        ),
        Slip(
            lambda k: -k.target * math.log(k.target) - (1 - k.target) * math.log(1 - k.target),
            "the entropy of the target alone: the fakes are missing.",
            0.25,
        ),
    ],
)
q7 = Question("q7", seconds=4, inject=inject_helpers)


@q7.test(points=1)
def best(student: Any, draw: Draw, k: Constants) -> None:
    BEST.judge(k, (), [read_number(student, "best_D")], "best_D")


@q7.test(points=1)
def at_the_level(student: Any, draw: Draw, k: Constants) -> None:
    LEVEL.judge(k, (), [read_number(student, "level")], "level")


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7]
