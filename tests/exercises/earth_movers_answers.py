"""Answers to `earth-movers`: a second right style, and wrong ones with what they deserve.

Capital words stand for the constants of the variant, ``POWER`` for ``k.power``. The first right
style is the instructor's edition itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Mistake, after_the_head, filled, in_capitals, then

HEAD = """
import math
import torch
from torch import Tensor, nn
from torch.nn import functional as F
"""
#: Walks with two pointers, plain numbers, a linear programme, per-row calls, BCE.
OWN = {
    "q1": """
def moving_cost(x, y):
    a, b = sorted(x, key=float), sorted(y, key=float)
    i = j = 0
    left, right, total = 1 / len(a), 1 / len(b), 0.0
    while i < len(a) and j < len(b):
        mass = min(left, right)
        total = total + mass * (a[i] - b[j]).abs() ** POWER
        left, right = left - mass, right - mass
        if left < 1e-12:
            i, left = i + 1, 1 / len(a)
        if right < 1e-12:
            j, right = j + 1, 1 / len(b)
    return total
""",
    "q2": """
def potential(p, q, x):
    from scipy.optimize import linprog
    n, rows, most = len(p), [], []
    for i in range(n - 1):
        row = [0.0] * n
        row[i], row[i + 1] = -1.0, 1.0
        rows += [row, [-r for r in row]]
        most += [UP * float(x[i + 1] - x[i]), DOWN * float(x[i + 1] - x[i])]
    free = [(0, 0)] + [(None, None)] * (n - 1)
    found = linprog((q - p).tolist(), A_ub=rows, b_ub=most, bounds=free)
    return found.x
""",
    "q3": """
def clip(critic):
    for name, w in critic.named_parameters():
        if "bias" not in name:
            w.data = torch.minimum(torch.maximum(w.data, torch.tensor(-C)), torch.tensor(C))
_one = torch.full((1, HIDDEN), C, dtype=torch.float64)
_middle, _first = (torch.full((HIDDEN, n), C).double() for n in (HIDDEN, 2))
steepest = (_one @ _middle @ _first).norm()
""",
    "q4": """
def gradient_penalty(critic, real, fake, t):
    terms = []
    for a, b, s in zip(real, fake, t):
        u = (s * a + (1 - s) * b)[None].clone().requires_grad_(True)
        g, = torch.autograd.grad(critic(u), u, torch.ones(1, 1), create_graph=True)
        steep = torch.linalg.vector_norm(g)
        terms.append(torch.clamp(steep - K, min=0) ** 2)
    return LAM * sum(terms) / len(terms)
""",
    "q5": """
def mmd2(x, y):
    k = lambda a, b: 1 / (1 + sum((u - v) ** 2 for u, v in zip(a, b)) / SCALE**2)
    x, y = x.tolist(), y.tolist()
    inside = lambda s: sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j)
    mixed = sum(k(a, b) for a in x for b in y) / len(x) / len(y)
    return inside(x) / len(x) / (len(x) - 1) + inside(y) / len(y) / (len(y) - 1) - 2 * mixed
""",
    "q6": """
bce, mse = nn.BCEWithLogitsLoss(), nn.MSELoss()
def critic_loss(kind, real, fake):
    one, zero = torch.ones_like(real), torch.zeros_like(fake)
    return {"gan": lambda: bce(real, one) + bce(fake, zero),
            "wgan": lambda: DRIFT * torch.mean(real * real) - (real.mean() - fake.mean()),
            "lsgan": lambda: 0.5 * (mse(real, CODE_B * one) + mse(fake, CODE_A + zero))}[kind]()
def generator_loss(kind, fake):
    if kind == "gan":
        return -F.logsigmoid(fake).mean()
    return -torch.mean(fake) if kind == "wgan" else 0.5 * ((fake - CODE_C) ** 2).mean()
""",
}


MOVING = (
    "def moving_cost(x, y):\n"
    "    start = x.sort().values.repeat_interleave(len(y))\n"
    "    end = y.sort().values.repeat_interleave(len(x))\n"
    "    return "
)


def _moving(
    name: str, deserved: float, words: str, value: str, old: str = "", new: str = ""
) -> Mistake:
    code = MOVING + value
    assert old in code
    return Mistake("q1", name, code.replace(old, new) if old else code, deserved, words)


COST = "((start - end).abs() ** POWER).mean()"
POTENTIAL = (
    "def potential(p, q, x):\n"
    "    ahead = (q - p).cumsum(0)[:-1]\n"
    "    slope = torch.where(ahead > 0, {up}, {down})\n"
    "    return torch.cat([torch.zeros(1), (slope * {gaps}).cumsum(0)])"
)


def _potential(
    name: str,
    deserved: float,
    words: str,
    up: str = "UP",
    down: str = "-DOWN",
    gaps: str = "x.diff()",
) -> Mistake:
    return Mistake("q2", name, POTENTIAL.format(up=up, down=down, gaps=gaps), deserved, words)


CLIP = (
    "def clip(critic):\n"
    "    with torch.no_grad():\n"
    "        for layer in critic.modules():\n"
    "            if isinstance(layer, nn.Linear):\n"
    "                "
)
PENALTY = (
    "def gradient_penalty(critic, real, fake, t):\n"
    "    u = ({u}).detach().requires_grad_()\n"
    "    (g,) = torch.autograd.grad(critic(u){of}, u, create_graph={graph})\n"
    "    return {value}"
)


def _penalty(name: str, deserved: float, words: str, **change: str) -> Mistake:
    parts = {
        "u": "t * real + (1 - t) * fake",
        "of": ".sum()",
        "graph": "True",
        "value": "LAM * F.relu(g.norm(dim=1) - K).square().mean()",
        **change,
    }
    return Mistake("q4", name, PENALTY.format(**parts), deserved, words)


MMD = (
    "def mmd2(x, y):\n"
    "    table = lambda a, b: 1 / (1 + torch.cdist(a, b) ** 2 / {scale})\n"
    "    within = lambda a: (table(a, a).sum() - {take}) / ({by})\n"
    "    return {value}"
)


def _mmd(name: str, deserved: float, words: str, **change: str) -> Mistake:
    parts = {
        "scale": "SCALE**2",
        "take": "len(a)",
        "by": "len(a) * (len(a) - 1)",
        "value": "within(x) + within(y) - 2 * table(x, y).mean()",
        **change,
    }
    return Mistake("q5", name, MMD.format(**parts), deserved, words)


MISTAKES = [
    # Question 1, 3 points
    _moving("unsorted", 1.5, "are not sorted", COST, ".sort().values", ""),
    _moving("one sorted", 1.5, "the other is not", COST, "y.sort().values", "y"),
    _moving("W1", 2, "power of the question", "(start - end).abs().mean()"),
    _moving("root", 2, "the root", COST + " ** (1 / POWER)"),
    _moving("sum", 2, "a sum over pieces", COST.replace("mean", "sum")),
    _moving("all pairs", 1, "not the cheapest", "((x[:, None] - y) .abs() ** POWER).mean()"),
    _moving("means", 1, "between the two means", "(x.mean() - y.mean()).abs() ** POWER"),
    _moving(
        "cut off",
        2.25,
        "cut off",
        "((x.sort().values[:min(len(x), len(y))] - y.sort().values[:min(len(x), "
        "len(y))]).abs() ** POWER).mean()",
    ),
    _moving(
        "copies",
        1,
        "repeat_interleave does that",
        COST,
        "start = x.sort().values.repeat_interleave",
        "start = x.sort().values.repeat",
    ),
    _moving("item", 2, "does not depend on x", COST + ".item()"),
    # Question 2, 3 points
    _potential("slopes one", 2, "slopes are 1 and -1", up="1.0", down="-1.0"),
    _potential(
        "equally steep", 2, "one of them may be steeper", up="min(UP, DOWN)", down="-min(UP, DOWN)"
    ),
    _potential("too steep", 1, "is allowed", up="max(UP, DOWN)", down="-max(UP, DOWN)"),
    _potential("exchanged", 1, "slopes are exchanged", up="DOWN", down="-UP"),
    _potential("upside down", 0.5, "worst critic", up="-UP", down="DOWN"),
    _potential("no positions", 1.5, "positions x are not used", gaps="1"),
    _potential("never falls", 1.5, "never falls", down="0.0"),
    then(
        "q2",
        "the plan's cost",
        0,
        "due is one value",
        "def potential(p, q, x):\n    return ((q - p).cumsum(0)[:-1].abs() * x.diff()).sum()",
    ),
    then(
        "q2",
        "constant",
        0,
        "not positive",
        "def potential(p, q, x):\n    return torch.zeros(len(p))",
    ),
    # Question 3, 3 points
    then(
        "q3", "no underscore", 1, "without the underscore", CLIP + "layer.weight.data.clamp(-C, C)"
    ),
    then(
        "q3",
        "new parameters",
        1.5,
        "optimiser still holds the old",
        CLIP + "layer.weight = nn.Parameter(layer.weight.clamp(-C, C))",
    ),
    then(
        "q3",
        "biases too",
        2,
        "biases are clipped",
        CLIP + "layer.weight.clamp_(-C, C), layer.bias.clamp_(-C, C)",
    ),
    then("q3", "one side", 1.5, "only the upper bound", CLIP + "layer.weight.clamp_(max=C)"),
    then(
        "q3",
        "scaled",
        1.5,
        "have changed, too",
        CLIP + "layer.weight.mul_(C / layer.weight.abs().max())",
    ),
    then(
        "q3",
        "children only",
        1.5,
        "inside a block",
        CLIP.replace("modules()", "children()") + "layer.weight.clamp_(-C, C)",
    ),
    then(
        "q3",
        "gradients clipped",
        1,
        "what they were",
        "def clip(critic):\n    nn.utils.clip_grad_value_(critic.parameters(), C)",
    ),
    then("q3", "one path", 2.25, "one path", "steepest = C**3"),
    then("q3", "one derivative", 2.5, "one partial derivative", "steepest = HIDDEN**2 * C**3"),
    then(
        "q3",
        "one hidden layer",
        2.25,
        "one hidden layer",
        "steepest = math.sqrt(2) * HIDDEN * C**2",
    ),
    # Question 4, 4 points
    _penalty(
        "whole batch", 2.5, "over the whole batch", value="LAM * F.relu(g.norm() - K).square()"
    ),
    _penalty(
        "a coordinate",
        2.5,
        "not each partial derivative",
        value="LAM * F.relu(g.abs() - K).square().mean()",
    ),
    _penalty("two-sided", 3, "two-sided", value="LAM * (g.norm(dim=1) - K).square().mean()"),
    _penalty("no graph", 2, "create_graph", graph="False"),
    _penalty(
        "square root",
        3.5,
        "no derivative at 0",
        value="LAM * F.relu(g.square().sum(1).sqrt() - K).square().mean()",
    ),
    _penalty(
        "no root",
        2.5,
        "root is missing",
        value="LAM * F.relu(g.square().sum(1) - K).square().mean()",
    ),
    _penalty("exchanged", 3, "are exchanged", u="t * fake + (1 - t) * real"),
    _penalty("at the data", 2.5, "at the real samples", u="real"),
    _penalty("no weight", 3, "weight in front", value="F.relu(g.norm(dim=1) - K).square().mean()"),
    _penalty("of the mean", 1.5, "divided by n", of=".mean()"),
    _penalty("bound 1", 3, "not 1", value="LAM * F.relu(g.norm(dim=1) - 1).square().mean()"),
    then(
        "q4",
        "backward",
        3.25,
        "fills the .grad",
        "_p = gradient_penalty\n"
        "def gradient_penalty(critic, real, fake, t):\n"
        "    critic(real).sum().backward()\n"
        "    return _p(critic, real, fake, t)",
    ),
    then(
        "q4",
        "item",
        2,
        "reach the critic's weights",
        "_p = gradient_penalty\ndef gradient_penalty(*x):\n    return _p(*x).item()",
    ),
    # Question 5, 3 points
    _mmd("biased", 0.5, "biased upwards", take="0", by="len(a) ** 2"),
    _mmd("divided by n squared", 2, "divided by n squared", by="len(a) ** 2"),
    _mmd("diagonal", 1, "still in it", take="0"),
    _mmd("mixed once", 0.5, "count twice", value="within(x) + within(y) - table(x, y).mean()"),
    _mmd(
        "root",
        0.5,
        "the root",
        value="(within(x) + within(y) - 2 * table(x, y).mean()).clamp(min=0).sqrt()",
    ),
    _mmd(
        "clamped",
        2,
        "may be negative",
        value="(within(x) + within(y) - 2 * table(x, y).mean()).clamp(min=0)",
    ),
    _mmd("no width", 2, "width of the kernel", scale="1"),
    _mmd("sign", 0.5, "the sign", value="2 * table(x, y).mean() - within(x) - within(y)"),
    # Question 6, 3 points
    then(
        "q6",
        "sigmoid in the WGAN",
        2,
        "not squashed",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return _c(kind, r.sigmoid(), f.sigmoid()) if kind == 'wgan' else _c(kind, r, "
        "f)\n"
        "def generator_loss(kind, f):\n"
        "    return -f.sigmoid().mean() if kind == 'wgan' else _g(kind, f)",
    ),
    then(
        "q6",
        "WGAN maximised",
        2.25,
        "minus the gap",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return -_c(kind, r, f) if kind == 'wgan' else _c(kind, r, f)\n"
        "def generator_loss(kind, f):\n"
        "    return -_g(kind, f) if kind == 'wgan' else _g(kind, f)",
    ),
    then(
        "q6",
        "no price",
        2.75,
        "small price",
        "_c = critic_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return f.mean() - r.mean() if kind == 'wgan' else _c(kind, r, f)",
    ),
    then(
        "q6",
        "codes 0, 1, 1",
        2.5,
        "not 0 and 1",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2 if kind == 'lsgan' else "
        "_c(kind, r, f)\n"
        "def generator_loss(kind, f):\n"
        "    return ((f - CODE_C) ** 2).mean() if kind == 'lsgan' else _g(kind, f)",
    ),
    then(
        "q6",
        "no half",
        2.5,
        "factor 1/2",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return 2 * _c(kind, r, f) if kind == 'lsgan' else _c(kind, r, f)\n"
        "def generator_loss(kind, f):\n"
        "    return 2 * _g(kind, f) if kind == 'lsgan' else _g(kind, f)",
    ),
    then(
        "q6",
        "saturating",
        2.625,
        "saturating loss",
        "_g = generator_loss\n"
        "def generator_loss(kind, f):\n"
        "    return -F.softplus(f).mean() if kind == 'gan' else _g(kind, f)",
    ),
    then(
        "q6",
        "generator's code b",
        2.75,
        "is c, not b",
        "_g = generator_loss\n"
        "def generator_loss(kind, f):\n"
        "    return ((f - CODE_B) ** 2).mean() / 2 if kind == 'lsgan' else _g(kind, f)",
    ),
    then(
        "q6",
        "sums",
        1.5,
        "a sum over the batch",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(kind, r, f):\n"
        "    return len(r) * _c(kind, r, f)\n"
        "def generator_loss(kind, f):\n"
        "    return len(f) * _g(kind, f)",
    ),
    then(
        "q6",
        "numbers",
        0,
        "for autograd",
        "_c, _g = critic_loss, generator_loss\n"
        "def critic_loss(*x):\n"
        "    return _c(*x).item()\n"
        "def generator_loss(*x):\n"
        "    return _g(*x).item()",
    ),
]

ANSWERS = after_the_head(
    "earth-movers",
    HEAD,
    OWN,
    lambda assignment, code: filled(code, in_capitals(assignment.k)),
    MISTAKES,
)
