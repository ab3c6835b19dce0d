"""Answers to `what-g-descends`: a second right style, and wrong ones with what they deserve.

``A`` and ``B`` stand for the two weights, ``MIX``, ``LABEL`` and ``SOFT`` for the other constants.
The first right style is the instructor's edition itself.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Mistake, after_the_head, edited, filled

from tools.grader.marking import Assignment

HEAD = """
import math
import sympy as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
s = sp.symbols("s", real=True)
p, q, r = sp.symbols("p q r", positive=True)
"""
#: SymPy's own derivatives, autograd, loops, other algebra.
OWN = {
    "q1": """
D = sp.exp(s) / (1 + sp.exp(s))
slope_minimax = sp.diff(B * sp.log(1 - D), s)
slope_non_saturating = sp.diff(-B * sp.log(D), s)
slope_mixed = (slope_non_saturating + MIX * slope_minimax) / B
""",
    "q2": """
def slopes(s):
    rows = []
    for cost in (lambda s: -B * F.softplus(s), lambda s: B * F.softplus(-s),
                 lambda s: F.softplus(-s) - MIX * F.softplus(s)):
        x = s.detach().clone().requires_grad_()
        rows.append(torch.autograd.grad(cost(x).sum(), x)[0])
    return torch.stack(rows)
""",
    "q3": """
u = sp.Symbol("u", positive=True)
def design(f):
    cost = f - u * sp.diff(f, u)
    cost = sp.expand(cost.subs(u, sp.exp(s) * sp.Rational(B, A)))
    return sp.simplify(cost - sp.limit(cost, s, -sp.oo))
cost_kl = design(u * sp.log(u))
cost_hellinger = design((sp.sqrt(u) - 1) ** 2 / 2)
""",
    "q4": """
def ns_divergence(p, q):
    total = 0.0
    for x, y in zip(p.tolist(), q.tolist()):
        if x == 0 and y > 0:
            return math.inf
        if x > 0:
            m = (A * x + B * y) / (A + B)
            total -= A * x * math.log(x / m)
            total += B * y * math.log(y / x) - B * y * math.log(y / m) if y > 0 else 0
    return total
""",
    "q5": """
price_drop_minimax = A * (sp.log(A + B) - sp.log(A))
price_invent_minimax = B * (sp.log(A + B) - sp.log(B))
price_drop_ns = B - price_drop_minimax
""",
    "q6": """
def pulls(D, real, fake):
    x = fake.clone().requires_grad_()
    s = D(x)[:, 0]
    loss, gain = B * torch.log1p(-s.sigmoid()), -B * F.logsigmoid(s)
    each = [torch.autograd.grad(c.mean(), x, retain_graph=True)[0].sum(0) for c in (loss, gain)]
    right = [bool(v > 0) for v in D(real)] + [bool(v < 0) for v in s]
    return (sum(right) / len(right), *(math.hypot(*g.tolist()) for g in each))
""",
    "q7": """
def watch(real, fake, steps, every, seed):
    torch.manual_seed(seed)
    D = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimiser = torch.optim.Adam(D.parameters(), 0.01)
    found = []
    for step in range(steps + 1):
        if step % every == 0:
            found.append(list(pulls(D, real, fake)))
        optimiser.zero_grad()
        s, t = D(real).sigmoid(), D(fake).sigmoid()
        (-A * s.log().mean() - B * torch.log1p(-t.clamp(max=1 - 1e-6)).mean()).backward()
        optimiser.step()
    return torch.tensor(found)
""",
    "q8": """
t = sp.Symbol("t", positive=True)
def best(label, soft):
    cost = -A * p * (label * sp.log(t) + (1 - label) * sp.log(1 - t))
    cost -= B * q * (soft * sp.log(t) + (1 - soft) * sp.log(1 - t))
    return sp.solve(sp.together(sp.diff(cost, t)), t)[0]
label, soft = sp.Rational("LABEL"), sp.Rational("SOFT")
D_one_sided, D_two_sided = best(label, 0), best(label, soft)
factor = sp.diff(sp.log(1 - label * r), r) / sp.diff(sp.log(1 - r), r)
""",
}


def fill(assignment: Assignment, code: str) -> str:
    k = assignment.k
    values = {"A": k.alpha, "B": k.beta, "MIX": k.mix, "LABEL": k.label, "SOFT": k.soft}
    return filled(code, values)


_m = Mistake
SLOPES = (
    "def slopes(s):\n    up, down = torch.sigmoid(s), torch.sigmoid(-s)\n    return torch.stack(["
)
NS = (
    "def ns_divergence(p, q):\n"
    "    kl = lambda p, q: (torch.special.xlogy(p, p) - torch.special.xlogy(p, "
    "q)).sum()\n"
    "    m = (A * p + B * q) / (A + B)\n"
    "    return "
)
AND = "_w = watch\ndef watch(real, fake, steps, every, seed):\n    "
_own = partial(edited, OWN)
MISTAKES = [
    # Question 1, 3 points
    _m("q1", "slope in D", "slope_minimax = -B * (1 + sp.exp(s))", 2.25, "slope in D"),
    _m("q1", "min log D", "slope_non_saturating = B / (1 + sp.exp(s))", 2.25, "slope of log D"),
    _m(
        "q1",
        "exchanged",
        "slope_minimax, slope_non_saturating = slope_non_saturating, slope_minimax",
        1,
        "exchanged",
    ),
    _m(
        "q1",
        "no weight",
        "slope_minimax = slope_minimax / B",
        2.5,
        "weight of the fakes is missing",
    ),
    _m("q1", "the cost", "slope_minimax = -B * sp.log(1 + sp.exp(s))", 2, "the cost itself"),
    _m(
        "q1", "mix missing", "slope_mixed = sp.Integer(-1)", 2.25, "weight of log(1 - D) is missing"
    ),
    _m(
        "q1",
        "mix on the other",
        "slope_mixed = -(MIX + sp.exp(s)) / (1 + sp.exp(s))",
        2.5,
        "wrong part",
    ),
    # Question 2, 3 points
    _m(
        "q2",
        "one minus",
        SLOPES + "-B * up, -B * (1 - up), -(1 - up) - MIX * up])",
        2,
        "rounds to 0",
    ),
    _m(
        "q2",
        "exponentials",
        "def slopes(s):\n"
        "    up = s.exp() / (1 + s.exp())\n"
        "    down = 1 / (1 + s.exp())\n"
        "    return torch.stack([-B * up, -B * down, -down - MIX * up])",
        2,
        "overflows",
    ),
    _m("q2", "sign", SLOPES + "B * up, B * down, down + MIX * up])", 0.5, "the sign"),
    _m(
        "q2",
        "columns",
        SLOPES + "-B * up, -B * down, -down - MIX * up], 1)",
        1.5,
        "rows and columns",
    ),
    _m("q2", "rows exchanged", SLOPES + "-B * down, -B * up, -down - MIX * up])", 0.5, "exchanged"),
    _own("q2", "mean", 0.5, "own slope", ("cost(x).sum()", "cost(x).mean()")),
    _m("q2", "in D", SLOPES + "-B / down, -B / up, -1 / up - MIX / down])", 0.25, "slope in D"),
    _m("q2", "nothing", "def slopes(s):\n    torch.sigmoid(s)", 0, "returns nothing"),
    # Question 3, 3 points
    _m("q3", "equal weights", "cost_kl = -sp.exp(s)", 2.25, "equal weights"),
    _m("q3", "the book's", "cost_kl = -sp.exp(s) / 2", 1.9, "book's cost"),
    _m(
        "q3",
        "weights exchanged",
        "cost_kl = -sp.exp(s) * sp.Rational(A, B)",
        2.25,
        "weights are exchanged",
    ),
    _m("q3", "reverse KL", "cost_kl = -s", 1.5, "order of the arguments"),
    _m("q3", "sign", "cost_hellinger = -cost_hellinger", 1.9, "the sign"),
    _m("q3", "no half", "cost_hellinger = 2 * cost_hellinger", 2.25, "factor 1/2"),
    _m("q3", "slope", "cost_hellinger = sp.diff(cost_hellinger, s)", 2.25, "this is the slope"),
    _m(
        "q3",
        "F itself",
        "cost_hellinger = (sp.sqrt(sp.Rational(B, A) * sp.exp(s)) - 1) ** 2 / 2",
        1.5,
        "F itself",
    ),
    # Question 4, 3 points
    _m("q4", "no factor", NS + "kl(m, p)", 2, "factor before"),
    _m(
        "q4",
        "plain mean",
        NS.replace("(A * p + B * q) / (A + B)", "(p + q) / 2")
        + "B * kl(q, p) - A * kl(p, m) - B * kl(q, m) if (p > 0).all() else math.inf",
        1.25,
        "weights as well",
    ),
    _m(
        "q4",
        "order",
        NS + "B * kl(p, q) - A * kl(p, m) - B * kl(q, m)",
        0.75,
        "order of the arguments",
    ),
    _m("q4", "plus", NS + "B * kl(q, p) + A * kl(p, m) + B * kl(q, m)", 1.0, "A is subtracted"),
    _m("q4", "A", NS + "A * kl(p, m) + B * kl(q, m)", 0, "what the minimax cost descends"),
    _m(
        "q4",
        "0 log 0",
        NS.replace(
            "(torch.special.xlogy(p, p) - torch.special.xlogy(p, q))", "(p * torch.log(p / q))"
        )
        + "(A + B) * kl(m, p)",
        2.25,
        "0 log 0",
    ),
    _m("q4", "epsilon", NS + "(A + B) * kl(m, p.clamp(min=1e-12))", 2.5, "punishes most"),
    _m("q4", "bits", NS + "(A + B) * kl(m, p) / math.log(2)", 1.75, "another base"),
    # Question 5, 2 points
    _m(
        "q5",
        "exchanged",
        "price_drop_minimax, price_invent_minimax = price_invent_minimax, price_drop_minimax",
        1.25,
        "exchanged",
    ),
    _m(
        "q5",
        "log 2",
        "price_drop_minimax = price_invent_minimax = sp.log(2)",
        1.25,
        "two weights of 1",
    ),
    _m("q5", "KL forgotten", "price_drop_ns = -price_drop_minimax", 1.25, "is not 0"),
    _m("q5", "sign", "price_drop_ns = -price_drop_ns", 1.5, "not negative"),
    _m("q5", "the book's", "price_drop_ns = 1 - sp.log(2)", 1.25, "two weights of 1"),
    _m(
        "q5",
        "no weight",
        "price_drop_minimax = price_drop_minimax / A",
        1.75,
        "weight before KL(P || M)",
    ),
    _m("q5", "text", "price_drop_ns = '?'", 1, "must be a SymPy expression"),
    # Question 6, 3 points
    _own("q6", "sum", 2, "sum over the fakes", ("c.mean()", "c.sum()")),
    _own("q6", "fakes alone", 2.5, "fakes alone", ("[bool(v > 0) for v in D(real)] + ", "")),
    _own(
        "q6",
        "mean of two",
        2.5,
        "mean of two shares",
        (
            "sum(right) / len(right)",
            "(sum(right[:len(real)]) / len(real) + sum(right[len(real):]) / len(fake)) / 2",
        ),
    ),
    _own(
        "q6",
        "own lengths",
        2,
        "cancel in part",
        ("[0].sum(0)", "[0].norm(dim=1).sum()[None]"),
        ("math.hypot(*g.tolist())", "float(g)"),
    ),
    _own("q6", "exchanged", 2, "two pulls are exchanged", ("(loss, gain)]", "(gain, loss)]")),
    _own("q6", "no weight", 2, "weight of the fakes", ("B * torch", "torch"), ("-B * F", "-F")),
    _own(
        "q6",
        "leaves gradients",
        2.25,
        "what the gradients of D hold",
        ("each = [", "loss.mean().backward(retain_graph=True)\n    each = ["),
    ),
    _own("q6", "detached", 0, "", ("s = D(x)[:, 0]", "s = D(x)[:, 0].detach()")),
    # Question 7, 2 points
    _own(
        "q7", "no weights", 1.25, "with both weights", ("-A * s", "-s"), ("- B * torch", "- torch")
    ),
    _own("q7", "rate", 1.5, "moves each weight by its rate", ("0.01", "0.02")),
    _own("q7", "no step", 0.25, "does not move", ("        optimiser.step()\n", "")),
    _own(
        "q7", "uphill", 0.25, "goes uphill", ("(-A * s.log().mean() - B", "(A * s.log().mean() + B")
    ),
    _own(
        "q7",
        "seed ignored",
        1.5,
        "the seed passed in is not used",
        ("manual_seed(seed)", "manual_seed(0)"),
    ),
    _own(
        "q7", "no seed", 1.5, "same seed gave two different", ("    torch.manual_seed(seed)\n", "")
    ),
    _m(
        "q7",
        "first left out",
        AND + "return _w(real, fake, steps, every, seed)[1:]",
        0.5,
        "one before the first step",
    ),
    _m(
        "q7",
        "one triple",
        AND + "return _w(real, fake, steps, every, seed)[-1]",
        0,
        "must return a list",
    ),
    # Question 8, 3 points
    _m(
        "q8",
        "both smoothed",
        "D_one_sided = (A * LABEL * p + B * (1 - LABEL) * q) / (A * p + B * q)",
        2.25,
        "smoothed too",
    ),
    _m(
        "q8",
        "half the cost",
        "D_one_sided = A * LABEL * p / (A * LABEL * p + B * q)",
        2.25,
        "real samples is missing",
    ),
    _m("q8", "no weights", "D_one_sided = LABEL * p / (p + q)", 2.5, "weights of the question"),
    _m(
        "q8",
        "labels exchanged",
        "D_two_sided = (A * SOFT * p + B * LABEL * q) / (A * p + B * q)",
        2.5,
        "labels are exchanged",
    ),
    _m("q8", "as before", "factor = sp.Integer(1)", 2.25, "non-saturating generator's"),
    _m("q8", "the label", "factor = sp.Float(LABEL)", 2.25, "below the line"),
    _m("q8", "upside down", "factor = 1 / factor", 2.25, "upside down"),
]


ANSWERS = after_the_head("what-g-descends", HEAD, OWN, fill, MISTAKES)
