"""Answers to `all-modes`: a second right style, and wrong ones with what they deserve.

Capital words stand for the constants of the variant, ``M`` for ``k.m``. The first right style is
the instructor's edition itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Mistake, after_the_head, filled, in_capitals, then

HEAD = """
import math
import sympy as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
theta, psi = sp.symbols("theta psi", real=True)
"""
#: Differentiated losses, tables of numbers, autograd, loops, arrays in place of lists.
OWN = {
    "q1": """
sp_ = lambda x: sp.log(1 + sp.exp(x))
_m, _g = sp.Rational(str(M)), sp.Rational(str(GAMMA))
L_D = sp_(-psi * _m) + sp_(psi * theta) + _g * psi**2 / 2
v_theta, v_psi = -sp.diff(A * sp_(-psi * theta), theta), -sp.diff(L_D, psi)
J = sp.Matrix([v_theta, v_psi]).jacobian([theta, psi]).subs({theta: _m, psi: 0})
_one = [e for e in J.eigenvals() if sp.im(e) > 0][0]
eigenvalues = sp.re(_one), sp.im(_one)
""",
    "q2": """
_J = torch.tensor([[0, A / 2], [-0.5, -(M**2 / 2 + GAMMA)]], dtype=torch.float64)
def growth(h):
    return torch.linalg.eigvals(torch.eye(2) + h * _J).abs().max()
largest_step = (-_J.trace() / _J.det()).item()
best_step = sp.Float(largest_step / 2)
""",
    "q3": """
def _slopes(t, p):
    at = torch.tensor([t, p], dtype=torch.float64, requires_grad=True)
    d = F.softplus(-at[1] * M) + F.softplus(at[1] * at[0]) + GAMMA * at[1] ** 2 / 2
    g = A * F.softplus(-at[1] * at[0])
    return torch.autograd.grad(g, at)[0][0], torch.autograd.grad(d, at)[0][1]
def simultaneous(theta, psi, h):
    g, d = _slopes(theta, psi)
    return torch.stack([theta - h * g, psi - h * d])
def alternating(theta, psi, h):
    for i in range(TURNS):
        psi = psi - h * float(_slopes(theta, psi)[1])
    return [theta - h * float(_slopes(theta, psi)[0]), psi]
""",
    "q4": """
def count_modes(x, centres, std):
    held, good = [0] * len(centres), 0
    for point in x.tolist():
        far = [math.dist(point, c) for c in centres.tolist()]
        if min(far) <= REACH * std:
            held[far.index(min(far))] += 1
            good += 1
    return sum(n >= FAIR * len(x) / len(centres) for n in held), torch.tensor(good / len(x))
""",
    "q5": """
def trusted(metric):
    g = torch.Generator().manual_seed(3)
    angle = torch.arange(6) * math.pi / 3
    c = 5 * torch.stack([angle.cos(), angle.sin()], 1)
    near = lambda n, i, r: c[i % 6] + r * 0.1 * torch.tensor([0.6, 0.8]).expand(n, 2)
    ok = lambda got, want: abs(got[0] - want[0]) + abs(got[1] - want[1]) < 1e-4
    perfect = torch.cat([near(20, i, 0.9 * REACH) for i in range(6)])
    outside = torch.cat([near(20, i, 1.1 * REACH) for i in range(6)])
    lonely = torch.cat([near(115, 0, 1)] + [near(1, i, 1) for i in range(1, 6)])
    rubbish = torch.cat([c, 50 + torch.rand(114, 2, generator=g)])
    half = torch.cat([near(60, 2, 1), 50 + torch.rand(60, 2, generator=g)])
    tests = [(perfect, (6, 1)), (outside, (0, 0)), (lonely, (1, 1)), (rubbish, (0, 6 / 120)),
             (half, (1, 0.5))]
    return all([ok(metric(x, c, 0.1), want) for x, want in tests])
""",
    "q6": """
def secured(D, p):
    D, p = D.double(), p.double()
    tries = torch.eye(len(p), dtype=torch.float64)
    return min((p * D.log()).sum() + WEIGHT * (q * (1 - D).log()).sum() for q in tries)
maxmin = max(math.log(d / 10**4) + WEIGHT * math.log(1 - d / 10**4) for d in range(1, 10**4))
def point_game(p):
    entries = [(x * math.log(x / (x + WEIGHT)) + WEIGHT * math.log(WEIGHT / (x + WEIGHT)), i)
               for i, x in enumerate(p.tolist())]
    value, index = min(entries)
    return torch.tensor([index, value], dtype=torch.float64)
""",
    "q7": """
class Replay:
    def __init__(self, capacity, generator):
        self.c, self.g, self.t, self.m = capacity, generator, 0, None
    def add(self, fakes):
        fakes = fakes.detach()
        if self.m is None:
            self.m = torch.empty(self.c, *fakes.shape[1:])
        for row in fakes:
            if self.t < self.c:
                self.m[self.t] = row
            elif torch.rand(1, generator=self.g, dtype=torch.float64) < self.c / (self.t + 1):
                self.m[torch.randint(self.c, (1,), generator=self.g)] = row
            self.t += 1
    def kept(self):
        return self.m[: min(self.t, self.c)].clone()
    def mix(self, fakes):
        out = fakes.detach().clone()
        old = len(out) // 8 * OLD
        if self.t:
            rows = torch.randint(min(self.t, self.c), (old,), generator=self.g)
            out[len(out) - old :] = self.m[rows]
        return out
""",
}


PROBABILITY = "def probability(x): return (1 + math.tanh(x / 2)) / 2\n"
COUNT = (
    "def count_modes(x, centres, std):\n"
    "    distance, mode = torch.cdist(x, centres).min(dim=1)\n"
    "    good = distance <= {reach}\n"
    "    held = torch.bincount(mode{of}, minlength=len(centres))\n"
    "    return int((held >= {level}).sum()), float({share})"
)
GOOD, NEEDED, SHARE = "[good]", "FAIR * len(x) / len(centres)", "good.float().mean()"


def _count(name: str, deserved: float, words: str, **change: str) -> Mistake:
    parts = {"reach": "REACH * std", "of": GOOD, "level": NEEDED, "share": SHARE, **change}
    return Mistake("q4", name, COUNT.format(**parts), deserved, words)


TRUST = """
_s, _r = 0.01, REACH
_a = 2 * math.pi * torch.arange(8) / 8
_c = torch.stack([_a.cos(), _a.sin()], dim=1)
_every, _one, _far = _c.repeat(50, 1), _c[:1].repeat(400, 1), 7 + torch.zeros(400, 2)
def _right(metric, x, *due):
    got = metric(x, _c, _s)
    return got[0] == due[0] and abs(got[1] - due[1]) < 1e-5
"""


def _trust(name: str, deserved: float, words: str, body: str) -> Mistake:
    return Mistake("q5", name, f"{TRUST}def trusted(metric):\n    return {body}", deserved, words)


MEMORY = """
class Replay:
    def __init__(self, capacity, generator):
        self.c, self.g, self.rows, self.t = capacity, generator, [], 0
    def add(self, fakes):
        for row in fakes.detach().clone():
            self.t += 1
            if len(self.rows) < self.c:
                self.rows.append(row)
                continue
            place = int(torch.randint(self.t, (1,), generator=self.g))
            if place < self.c:
                self.rows[place] = row
    def kept(self):
        return torch.stack(self.rows)
    def mix(self, fakes):
        if not self.rows:
            return fakes.detach()
        old = len(fakes) * OLD // 8
        pick = torch.randint(len(self.rows), (old,), generator=self.g)
        return torch.cat([fakes[: len(fakes) - old].detach(), self.kept()[pick]])
"""


def _memory(name: str, deserved: float, words: str, *changes: tuple[str, str]) -> Mistake:
    code = MEMORY
    for old, new in changes:
        assert old in code, (name, old)
        code = code.replace(old, new)
    return Mistake("q7", name, code, deserved, words)


PLACE = "            place = int(torch.randint(self.t, (1,), generator=self.g))\n"
ANY = "torch.randint(self.c, (1,), generator=self.g)"
MISTAKES = [
    # Question 1, 3 points
    then("q1", "uphill", 2.25, "minus the slope", "v_theta, v_psi = -v_theta, -v_psi"),
    then(
        "q1",
        "saturating",
        2.625,
        "saturating loss",
        "v_theta = A * psi / (1 + sp.exp(-psi * theta))",
    ),
    then(
        "q1",
        "no penalty",
        1.75,
        "penalty is missing",
        "v_psi = v_psi + GAMMA * psi\n"
        "J = [[0, A / 2], [-0.5, -(M**2) / 2]]\n"
        "eigenvalues = (J[1][1] / 2, math.sqrt(A / 4 - J[1][1] ** 2 / 4))",
    ),
    then("q1", "no weight", 2.75, "weight of the generator", "v_theta = v_theta / A"),
    then(
        "q1",
        "theta = 0",
        2,
        "at m too",
        "_c = M**2 / 4 + GAMMA\n"
        "J = [[0, A / 2], [-0.5, -_c]]\n"
        "eigenvalues = (-_c / 2, math.sqrt(A / 4 - _c**2 / 4))",
    ),
    then("q1", "transposed", 2.5, "rows and columns", "J = torch.tensor(J).T"),
    then("q1", "turning alone", 2.25, "turning alone", "eigenvalues = (0, math.sqrt(A) / 2)"),
    then("q1", "complex", 2, "the pair (u, omega)", "eigenvalues = complex(*eigenvalues)"),
    then("q1", "sigma(0) = 1", 2.5, "sigma(0) = 1/2", "J = [[0, A], [-1, J[1][1]]]"),
    then(
        "q1",
        "data at 0",
        1.75,
        "data's half is missing",
        "v_psi = -theta / (1 + sp.exp(-psi * theta)) - GAMMA * psi\n"
        "J = [[0, A / 2], [-0.5, -GAMMA]]\n"
        "eigenvalues = (-GAMMA / 2, math.sqrt(A / 4 - GAMMA**2 / 4))",
    ),
    # Question 2, 3 points
    then(
        "q2",
        "real part",
        1.0,
        "imaginary part is missing",
        "_c = M**2 / 2 + GAMMA\n"
        "def growth(h):\n"
        "    return abs(1 - h * _c / 2)\n"
        "largest_step, best_step = 4 / _c, 2 / _c",
    ),
    then(
        "q2",
        "flow",
        1.875,
        "this is the flow",
        "def growth(h):\n    return math.exp(-h * (M**2 / 2 + GAMMA) / 2)",
    ),
    then(
        "q2",
        "square",
        2.25,
        "root is missing",
        "_g = growth\ndef growth(h):\n    return _g(h) ** 2",
    ),
    then(
        "q2", "modulus of J", 1.5, "eigenvalue of J", "def growth(h):\n    return math.sqrt(A) / 2"
    ),
    then(
        "q2", "exchanged", 2.125, "best step", "largest_step, best_step = best_step, largest_step"
    ),
    then(
        "q2",
        "no damping",
        1.875,
        "damping u is missing",
        "def growth(h):\n"
        "    return math.hypot(1, h * math.sqrt(A / 4 - (M**2 / 2 + GAMMA) ** 2 / 4))",
    ),
    then("q2", "any step", 2, "", "largest_step = math.inf"),
    then(
        "q2",
        "penalty alone",
        1.5,
        "penalty alone",
        "def growth(h):\n"
        "    return math.sqrt(1 - h * GAMMA + h**2 * A / 4)\n"
        "largest_step, best_step = 4 * GAMMA / A, 2 * GAMMA / A",
    ),
    # Question 3, 4 points
    then(
        "q3",
        "turns for both",
        1.875,
        "critic's new slope",
        "def simultaneous(theta, psi, h):\n"
        "    psi = psi + h * pull(theta, psi)\n"
        "    return theta + h * A * psi * probability(-psi * theta), psi",
    ),
    then(
        "q3",
        "old critic",
        3,
        "sees the critic of before",
        "def alternating(theta, psi, h):\n"
        "    move = h * A * psi * probability(-psi * theta)\n"
        "    for _ in range(TURNS):\n"
        "        psi = psi + h * pull(theta, psi)\n"
        "    return theta + move, psi",
    ),
    then("q3", "both at once", 1.5, "the other rule", "alternating = simultaneous"),
    then(
        "q3",
        "one critic step",
        3,
        "one step of the critic",
        "def alternating(theta, psi, h):\n"
        "    psi = psi + h * pull(theta, psi)\n"
        "    return theta + h * A * psi * probability(-psi * theta), psi",
    ),
    then(
        "q3",
        "generator first",
        3,
        "generator moves first",
        "def alternating(theta, psi, h):\n"
        "    theta = theta + h * A * psi * probability(-psi * theta)\n"
        "    for _ in range(TURNS):\n"
        "        psi = psi + h * pull(theta, psi)\n"
        "    return theta, psi",
    ),
    then(
        "q3",
        "overflow",
        3,
        "OverflowError",
        "def probability(x):\n    return 1 / (1 + math.exp(-x))",
    ),
    then(
        "q3",
        "uphill",
        0.75,
        "uphill",
        "_s, _a = simultaneous, alternating\n"
        "def simultaneous(t, p, h):\n"
        "    return _s(t, p, -h)\n"
        "def alternating(t, p, h):\n"
        "    return _a(t, p, -h)",
    ),
    then(
        "q3",
        "linear part",
        1.875,
        "linear part",
        "def simultaneous(theta, psi, h):\n"
        "    return theta + h * A * psi / 2, psi + h * ((M - theta) / 2 - (M**2 / 2 + GAMMA) "
        "* psi)",
    ),
    then(
        "q3",
        "exchanged",
        2.5,
        "theta comes first",
        "_s, _a = simultaneous, alternating\n"
        "def simultaneous(*x):\n"
        "    return _s(*x)[::-1]\n"
        "def alternating(*x):\n"
        "    return _a(*x)[::-1]",
    ),
    # Question 4, 3 points
    _count("nearest counts", 0.5, "far away", of=""),
    _count("no distance", 0, "distance is not looked at", reach="math.inf"),
    _count("one sample", 1.5, "a single good sample", level="1"),
    _count("the book's radius", 2, "book's 3 standard deviations", reach="3 * std"),
    _count(
        "share of the good",
        2,
        "taken of the good samples",
        level="max(1, FAIR * good.sum() / len(centres))",
    ),
    _count("the full share", 2, "a full fair share", level="len(x) / len(centres)"),
    _count("a count", 1, "not a count", share="good.sum()"),
    then(
        "q4",
        "exchanged",
        1,
        "modes first",
        "_c = count_modes\ndef count_modes(*x):\n    return _c(*x)[::-1]",
    ),
    then(
        "q4",
        "a share of modes",
        1,
        "no share of them",
        "_c = count_modes\n"
        "def count_modes(x, centres, std):\n"
        "    modes, share = _c(x, centres, std)\n"
        "    return modes / len(centres), share",
    ),
    then(
        "q4",
        "modes alone",
        0,
        "must return 2 numbers",
        "_c = count_modes\ndef count_modes(*x):\n    return _c(*x)[0]",
    ),
    # Question 5, 2 points
    _trust("always", 0, "sees through 0 of 8", "True"),
    _trust("never", 0, "refuses a right metric", "False"),
    _trust("perfect only", 0.75, "of 8 broken", "_right(metric, _every, 8, 1)"),
    _trust(
        "perfect and one",
        0.75,
        "belong to no mode",
        "_right(metric, _every, 8, 1) and _right(metric, _one, 1, 1)",
    ),
    _trust(
        "three samples",
        1,
        "a single good sample",
        "_right(metric, _every, 8, 1) and _right(metric, _one, 1, 1) and _right(metric, "
        "_far, 0, 0)",
    ),
    _trust(
        "with count_modes",
        0,
        "compare with count_modes",
        "all(metric(x, _c, _s) == count_modes(x, _c, _s) for x in (_every, _one))",
    ),
    _trust("a sum", 0, "due is True or False", "sum([0.5, 0.5])"),
    # Question 6, 3 points
    then(
        "q6",
        "against the data",
        2.25,
        "against the data themselves",
        "def secured(D, p):\n    return (p * D.log()).sum() + WEIGHT * (p * (1 - D).log()).sum()",
    ),
    then(
        "q6",
        "largest over Q",
        2.25,
        "goes where D is largest",
        "def secured(D, p):\n    return (p * D.log()).sum() + WEIGHT * (1 - D.min()).log()",
    ),
    then(
        "q6",
        "no weight",
        1.75,
        "weight of the fakes",
        "def secured(D, p):\n"
        "    return (p * D.log()).sum() + (1 - D.max()).log()\n"
        "maxmin = -math.log(4)",
    ),
    then("q6", "D = 1/2", 2.25, "secures less", "maxmin = -(1 + WEIGHT) * math.log(2)"),
    then("q6", "the best D", 2.5, "the value of V", "maxmin = 1 / (1 + WEIGHT)"),
    then(
        "q6",
        "max-min = min-max",
        2.25,
        "with all of P",
        "def point_game(p):\n    return int(p.argmax()), maxmin",
    ),
    then(
        "q6",
        "maximises",
        2.25,
        "the generator minimises",
        "def point_game(p):\n"
        "    v = p * (p / (p + WEIGHT)).log() + WEIGHT * (WEIGHT / (p + WEIGHT)).log()\n"
        "    return int(v.argmax()), float(v.max())",
    ),
    then(
        "q6",
        "from 1",
        2.75,
        "counts from 0",
        "_g = point_game\ndef point_game(p):\n    return _g(p)[0] + 1, _g(p)[1]",
    ),
    # Question 7, 4 points
    _memory("the first", 2.5, "kept for ever", (PLACE, "            place = self.c\n")),
    _memory(
        "a queue",
        2.5,
        "that is a queue",
        (PLACE, "            place = self.c\n            self.rows = [*self.rows[1:], row]\n"),
    ),
    _memory("every new one", 2.875, "the past fades", ("randint(self.t,", "randint(self.c,")),
    _memory("c/(t - 1)", 3.25, "c/(t - 1)", ("randint(self.t,", "randint(self.t - 1,")),
    _memory(
        "graph kept",
        3.5,
        "carries the generator's graph",
        ("fakes.detach().clone()", "fakes.clone()"),
    ),
    _memory(
        "a view",
        3.625,
        "when the caller changes its batch",
        ("fakes.detach().clone()", "fakes.detach()"),
    ),
    _memory(
        "shares exchanged", 3.625, "the shares are exchanged", ("* OLD // 8", "* (8 - OLD) // 8")
    ),
    _memory(
        "always the same",
        3.625,
        "evenly and anew",
        (
            "pick = torch.randint(len(self.rows), (old,), generator=self.g)",
            "pick = torch.arange(old) % 2",
        ),
    ),
    _memory("global draws", 3.625, "global random state", (", (1,), generator=self.g)", ", (1,))")),
    _memory(
        "grows",
        1.75,
        "with the capacity",
        ("            if len(self.rows) < self.c:\n", "            if True:\n"),
    ),
    _memory(
        "old rows first",
        3.625,
        "current rows come first",
        (
            "torch.cat([fakes[: len(fakes) - old].detach(), self.kept()[pick]])",
            "torch.cat([self.kept()[pick], fakes[: len(fakes) - old].detach()])",
        ),
    ),
]

ANSWERS = after_the_head(
    "all-modes",
    HEAD,
    OWN,
    lambda assignment, code: filled(code, in_capitals(assignment.k)),
    MISTAKES,
)
