"""Answers to `how-wrong`: a second right style, and wrong ones with what they deserve.

``A`` and ``B`` stand for the two weights, ``POWER``, ``RIGHT`` and ``LEFT`` for the others.
The first right style is the instructor's edition itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, filled, solution, then

from tools.grader.marking import Assignment
from tools.grader.questions import Constants

HEAD = """
import math
import sympy as sp
import torch
from torch import Tensor
a, e = sp.symbols("a e", positive=True)
"""
#: Loops, floats, other algebra, another search.
OWN = {
    "q1": """
def kl(p, q):
    total = 0.0
    for x, y in zip(p.tolist(), q.tolist()):
        if x > 0 and y == 0:
            return math.inf
        if x > 0:
            total += x * math.log(x / y)
    return total
def jsd(p, q):
    w = A / (A + B)
    return w * kl(p, w * p + (1 - w) * q) + (1 - w) * kl(q, w * p + (1 - w) * q)
def chi_power(p, q):
    keep = (p > 0) | (q > 0)
    p, q = p[keep].double(), q[keep].double()
    return (q * ((p - q).abs() / q) ** POWER).nan_to_num(nan=math.inf).sum()
def total_variation(p, q):
    return torch.clamp(p - q, min=0).sum()
def hellinger(p, q):
    return 1 - (p.double() * q.double()).sqrt().sum()
""",
    "q2": """
w = sp.Rational(A, A + B)
largest = sp.log(A + B) - w * sp.log(A) - (1 - w) * sp.log(B)
jsd_dropping = w * ((1 - e) * sp.log(1 - e) - e * sp.log(w)) - (1 - w * e) * sp.log(1 - w * e)
jsd_inventing = jsd_dropping.subs(e, 0)
u = 1 - w
jsd_inventing = u * ((1 - e) * sp.log(1 - e) - e * sp.log(u)) - (1 - u * e) * sp.log(1 - u * e)
""",
    "q3": """
def forward_fit(m1, s1, m2, s2):
    w = torch.tensor([A / (A + B), B / (A + B)], dtype=torch.float64)
    m = torch.tensor([m1, m2], dtype=torch.float64)
    s = torch.tensor([s1, s2], dtype=torch.float64)
    mean = (w * m).sum()
    return mean, ((w * (s**2 + m**2)).sum() - mean**2).sqrt()
""",
    "q4": """
def reverse_fit(m1, s1, m2, s2):
    from scipy.optimize import minimize
    import numpy as np
    t = np.arange(-7, 7, 0.025)
    g = np.exp(-(t**2) / 2)
    g = g / g.sum()
    def cost(z):
        x = z[0] + math.exp(z[1]) * t
        one = math.log(A / s1) - ((x - m1) / s1) ** 2 / 2
        two = math.log(B / s2) - ((x - m2) / s2) ** 2 / 2
        return -z[1] - (g * np.logaddexp(one, two)).sum()
    starts = [(m1, s1), (m2, s2), ((m1 + m2) / 2, 1 + abs(m1 - m2) / 2)]
    options = {"xatol": 1e-7, "fatol": 1e-12}
    how = dict(method="Nelder-Mead", options=options)
    ends = [minimize(cost, (m, math.log(s)), **how) for m, s in starts]
    best = min(ends, key=lambda end: end.fun)
    return float(best.x[0]), math.exp(best.x[1])
""",
    "q7": """
kl_limit = (1 / a + 1 / (1 - a)) / 2
jsd_limit = kl_limit * sp.Rational(A, A + B) * (1 - sp.Rational(A, A + B))
""",
    "q8": """
def transport_cost(p, q, x):
    total, here = 0.0, 0.0
    for i in range(len(x) - 1):
        here += float(p[i] - q[i])
        total += float(x[i + 1] - x[i]) * (RIGHT * here if here > 0 else -LEFT * here)
    return total
""",
}
K, J, C = "def kl(p, q):", "def jsd(p, q):", "def chi_power(p, q):"
T, H = "def total_variation(p, q):", "def hellinger(p, q):"


def own(k: Constants, code: str) -> str:
    values = {"A": k.alpha, "B": k.beta, "POWER": k.power, "RIGHT": k.right, "LEFT": k.left}
    return filled(code, values)


FIT = "\n_f, _r = forward_fit, globals().get('reverse_fit')\ndef "
MISTAKES = [
    # Question 1, 5 points
    then(
        "q1",
        "order",
        3.25,
        "order of the arguments",
        "_kl = kl\n"
        "_jsd = jsd\n"
        f"{K}\n"
        "    return _kl(q, p)\n"
        f"{J}\n"
        "    w = A / (A + B)\n"
        "    m = w * p + (1 - w) * q\n"
        "    return w * _kl(p, m) + (1 - w) * _kl(q, m)",
    ),
    then(
        "q1",
        "0 log 0",
        4,
        "0 log 0",
        "_kl = kl\n"
        f"{J}\n"
        "    w = A / (A + B)\n"
        "    m = w * p + (1 - w) * q\n"
        "    return w * _kl(p, m) + (1 - w) * _kl(q, m)\n"
        f"{K}\n"
        "    return (p * torch.log(p / q)).sum()",
    ),
    then(
        "q1",
        "epsilon",
        4.5,
        "no bound",
        "_kl = kl\n"
        f"{K}\n"
        "    return _kl(p, torch.where(q > 0, q, 1e-12)) if (q == 0).any() else _kl(p, q)",
    ),
    then("q1", "bits", 3.75, "another base", f"_kl = kl\n{K}\n    return _kl(p, q) / math.log(2)"),
    then(
        "q1",
        "the book's JSD",
        4.25,
        "equal weights",
        f"{J}\n    m = (p + q) / 2\n    return (kl(p, m) + kl(q, m)) / 2",
    ),
    then(
        "q1",
        "JSD without weights",
        3.9,
        "without their weights",
        f"{J}\n    m = (A * p + B * q) / (A + B)\n    return kl(p, m) + kl(q, m)",
    ),
    then("q1", "TV without 1/2", 4.9, "factor 1/2", f"{T}\n    return (p - q).abs().sum()"),
    then(
        "q1",
        "Hellinger's root",
        4.9,
        "square root",
        f"_h = hellinger\n{H}\n    return _h(p, q) ** 0.5",
    ),
    then("q1", "one a bin", 3.9, "add them up", f"{J}\n    return p * q"),
    then(
        "q1",
        "chi-square",
        4.5,
        "power 2",
        f"{C}\n"
        "    if ((q == 0) & (p > 0)).any():\n"
        "        return math.inf\n"
        "    return ((p - q) ** 2 / torch.where(q > 0, q, 1.0)).sum()",
    ),
    # Question 2, 3 points
    then("q2", "log 2", 2.25, "equal weights", "largest = sp.log(2)"),
    then("q2", "bits", 2.5, "another base", "largest = largest / sp.log(2)"),
    then(
        "q2",
        "exchanged",
        1.5,
        "dropping and inventing are exchanged",
        "jsd_dropping, jsd_inventing = jsd_inventing, jsd_dropping",
    ),
    then("q2", "KL", 2, "not the JSD", "jsd_inventing = -sp.log(1 - e)"),
    then(
        "q2",
        "bins left out",
        2.25,
        "left out",
        "_w = sp.Rational(A, A + B)\njsd_dropping = jsd_dropping + _w * e * sp.log(_w)",
    ),
    then("q2", "sign", 2.5, "the sign", "jsd_dropping = -jsd_dropping"),
    then("q2", "chord", 2.25, "upper bound", "jsd_inventing = e * largest"),
    # Question 3, 2 points
    then(
        "q3",
        "variance",
        1,
        "is the variance",
        FIT + "forward_fit(*b):\n    m, s = _f(*b)\n    return m, s**2",
    ),
    then(
        "q3",
        "within alone",
        1,
        "spread between",
        FIT + "forward_fit(m1, s1, m2, s2):\n"
        "    return _f(m1, s1, m2, s2)[0], math.sqrt((A * s1**2 + B * s2**2) / (A + B))",
    ),
    then(
        "q3",
        "mean of sds",
        1,
        "mean of the two sds",
        FIT + "forward_fit(m1, s1, m2, s2):\n"
        "    return _f(m1, s1, m2, s2)[0], (A * s1 + B * s2) / (A + B)",
    ),
    then(
        "q3",
        "no weights",
        0.5,
        "weights of the bumps are missing",
        "def forward_fit(m1, s1, m2, s2):\n"
        "    return (m1 + m2) / 2, math.sqrt((s1**2 + s2**2) / 2 + (m1 - m2) ** 2 / 4)",
    ),
    then(
        "q3",
        "exchanged",
        1,
        "mean and sd are exchanged",
        FIT + "forward_fit(*b):\n    return _f(*b)[::-1]",
    ),
    then("q3", "seeks", 0, "it seeks", OWN["q4"].replace("reverse_fit", "forward_fit")),
    # Question 4, 3 points
    then("q4", "covers", 0, "forward fit", "reverse_fit = forward_fit"),
    then(
        "q4",
        "the bump itself",
        1.5,
        "bump itself",
        "def reverse_fit(m1, s1, m2, s2):\n    return (m1, s1) if A > B else (m2, s2)",
    ),
    then(
        "q4",
        "variance",
        1.5,
        "is the variance",
        FIT + "reverse_fit(*b):\n    m, s = _r(*b)\n    return m, s**2",
    ),
    then(
        "q4",
        "log sd",
        1.5,
        "logarithm of the sd",
        FIT + "reverse_fit(*b):\n    m, s = _r(*b)\n    return m, math.log(s)",
    ),
    then(
        "q4",
        "exchanged",
        1.5,
        "mean and sd are exchanged",
        FIT + "reverse_fit(*b):\n    return _r(*b)[::-1]",
    ),
    then(
        "q4",
        "lighter bump",
        0.25,
        "local minimum",
        "def reverse_fit(m1, s1, m2, s2):\n    return (m1, s1) if A < B else (m2, s2)",
    ),
    # Question 6, 3 points
    then("q6", "nothing", 0, "can be refuted", "counterexamples = {}"),
    then(
        "q6",
        "all",
        2,
        "all six",
        'counterexamples = {c: counterexamples.get(c, ([0.5, 0.5], [0.4, 0.6])) for c in "ABCDEF"}',
    ),
    then("q6", "no dictionary", 0, "must be a dictionary", 'counterexamples = "ABC"'),
    then(
        "q6",
        "not normalised",
        1,
        "sums to 1",
        "counterexamples = {c: ([0.5, 0.6], [0.4, 0.6]) for c in counterexamples}",
    ),
    then(
        "q6",
        "empty bins",
        1,
        "not positive",
        "counterexamples = {c: ([0.5, 0.5], [0.0, 1.0]) for c in counterexamples}",
    ),
    then(
        "q6",
        "equal",
        1,
        "holds for your pair",
        "counterexamples = {c: ([0.5, 0.5], [0.5, 0.5]) for c in counterexamples}",
    ),
    # Question 7, 2 points
    then("q7", "twice", 1.25, "twice too much", "kl_limit = 2 * kl_limit"),
    then("q7", "TV without 1/2", 1.5, "factor 1/2", "kl_limit = kl_limit / 4"),
    then("q7", "fair coin", 1.25, "fair coin only", "kl_limit = sp.Integer(2)"),
    then("q7", "equal weights", 1.5, "equal weights", "jsd_limit = kl_limit / 4"),
    then("q7", "upside down", 1.25, "upside down", "kl_limit = 1 / kl_limit"),
    then("q7", "tails missing", 1.25, "tails", "kl_limit = 1 / (2 * a)"),
    # Question 8, 2 points
    then(
        "q8",
        "W1",
        1,
        "costs are missing",
        "def transport_cost(p, q, x):\n    return ((p - q).cumsum(0).abs()[:-1] * x.diff()).sum()",
    ),
    then(
        "q8",
        "exchanged",
        1,
        "exchanged",
        "_t = transport_cost\ndef transport_cost(p, q, x):\n    return _t(q, p, x)",
    ),
    then(
        "q8",
        "no positions",
        0.5,
        "positions",
        "_t = transport_cost\n"
        "def transport_cost(p, q, x):\n"
        "    return _t(p, q, torch.arange(len(x)))",
    ),
    then(
        "q8",
        "TV",
        0,
        "total variation",
        "def transport_cost(p, q, x):\n    return (p - q).abs().sum() / 2",
    ),
    then(
        "q8",
        "left missing",
        0.5,
        "to the left is missing",
        "def transport_cost(p, q, x):\n"
        "    return (RIGHT * (p - q).cumsum(0).clamp(min=0)[:-1] * x.diff()).sum()",
    ),
    then(
        "q8",
        "mean",
        0.5,
        "a mean over the bins",
        "_t = transport_cost\ndef transport_cost(p, q, x):\n    return _t(p, q, x) / len(x)",
    ),
]


def needed(assignment: Assignment, question: str) -> list[str]:
    """The right answers to the question and those it may call."""
    earlier = {"q3": ["q4", "q3"], "q4": ["q3", "q4"]}.get(question, [question])
    return [HEAD, *(solution(assignment, name) for name in earlier)]


def second_style(assignment: Assignment, question: str) -> list[str]:
    """The answer of OWN; where there is none, the instructor's again."""
    if question not in OWN:
        return needed(assignment, question)
    return [HEAD, own(assignment.k, OWN[question])]


ANSWERS = Answers(
    "how-wrong",
    {"plain": needed, "own": second_style},
    lambda assignment, m: [*needed(assignment, m.question), own(assignment.k, m.code)],
    lambda k: [HEAD],
    MISTAKES,
)
