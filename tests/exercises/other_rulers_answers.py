# ruff: noqa: E501 - a mistake a line
"""Answers to `other-rulers`: a second right style, and wrong ones with what they deserve.

The first right style is the instructor's edition. In the texts ``ALPHA``, ``BETA`` and ``TARGET`` are
the variant's constants, and ``A1`` to ``C4`` the factors and tilts of its rows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, Mistake, filled, solution

from tools.grader.marking import Assignment
from tools.grader.questions import Constants

HEAD = """
import math
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional as F
u, p, q, P, Q = sp.symbols("u p q P Q", positive=True)
t, v, a, b, c = sp.symbols("t v a b c", real=True)
"""
TORCH_ROWS = """
slope2, slope4 = (sp.lambdify(u, sp.diff(f, u), modules=torch) for f in (f2, f4))
star2, star4 = f2_everywhere, sp.lambdify(t, f4_star, modules=torch)
"""
#: The ratio that a slope s of the plain row touches.
TOUCHED = {
    "kl": "sp.exp(s - 1)",
    "reverse": "-1 / s",
    "pearson": "1 + s / 2",
    "cubic": "sp.sqrt(s / 3)",
    "neyman": "1 / sp.sqrt(1 - s)",
    "triangle": "2 / sp.sqrt(1 - s) - 1",
    "hellinger": "(1 - s) ** -2",
    "jensen": "1 / (2 * sp.exp(-s) - 1)",
}
LEAST_RATIO = {
    "pearson": "(1 + (t - C2) / (2 * A2)).clamp(min=0)",
    "cubic": "((t - C2) / (3 * A2)).clamp(min=1e-30) ** 0.5",
}
#: Other algebra, floats, loops, another activation, another optimiser, the divergence itself.
OWN = {
    "q3": """
T0 = sp.diff(f1, u).subs(u, sp.Rational(ALPHA, BETA))
best_constant = float(ALPHA * T0 - BETA * (sp.Rational(ALPHA, BETA) * T0 - f1.subs(u, sp.Rational(ALPHA, BETA))))
""",
    "q4": """
def g3(v):
    return END3 - A3 * torch.exp(-v)
def g4(v):
    return END4 - A4 * torch.exp(-v)
doubt3 = sp.Integer(0)
doubt4 = -math.log((END4 - (C4)) / A4)
""",
    "q5": """
D = 1 / (1 + sp.exp(-v))
gan_activation = ALPHA * sp.log(D)
gan_star = -BETA * sp.log(1 - sp.exp(t) ** sp.Rational(1, ALPHA))
gan_f = ALPHA * u * sp.log(ALPHA * u) + BETA * sp.log(BETA) - (ALPHA * u + BETA) * sp.log(ALPHA * u + BETA)
gan_doubt = math.log(ALPHA) - math.log(BETA)
""",
    "q6": """
best = (ALPHA * b * p + BETA * a * q) / (ALPHA * p + BETA * q)
least = (ALPHA * p * (best - b) ** 2 + BETA * q * (best - a) ** 2) / 2
x, y = (ALPHA * b + BETA * a) / sp.Integer(ALPHA + BETA) - c, (b - a) / (sp.Rational(1, ALPHA) + sp.Rational(1, BETA))
k0 = sp.expand(x * (x * (ALPHA * P + BETA * Q) + 2 * y * (P - Q)))
k1 = sp.expand(y**2)
def criterion(p, q, a, b, c):
    total = 0.0
    for one, other in zip(p.tolist(), q.tolist()):
        if one + other > 0:
            output = (ALPHA * b * one + BETA * a * other) / (ALPHA * one + BETA * other)
            total += (ALPHA * one + BETA * other) * (output - c) ** 2
    return total
coding = [TARGET - sp.Rational(1, BETA), TARGET + sp.Rational(1, ALPHA), TARGET]
""",
    "q7": """
def train_critic(p, q):
    V = torch.zeros(len(p), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([V], max_iter=100, line_search_fn="strong_wolfe")
    def loss():
        search.zero_grad()
        value = (q * star4(g4(V)) - p * g4(V)).sum()
        value.backward()
        return value
    search.step(loss)
    return -loss().detach(), g4(V).detach()
""",
    "q8": """
cost = {2: sp.lambdify(u, f2, modules=torch), 4: sp.lambdify(u, f4, modules=torch)}
def fit(row, p, x):
    mean = (p * x).sum().item()
    at = torch.tensor([mean, math.log((p * (x - mean) ** 2).sum().item()) / 2], dtype=x.dtype, requires_grad=True)
    search = torch.optim.LBFGS([at], max_iter=60, line_search_fn="strong_wolfe")
    def loss():
        search.zero_grad()
        q = torch.softmax(-(((x - at[0]) / at[1].exp()) ** 2) / 2, 0)
        value = (q * cost[row](p / q)).sum()
        value.backward()
        return value
    search.step(loss)
    return at[0].detach(), at[1].exp().detach()
""",
}


def own_q1(k: Constants) -> str:
    lines = []
    for i, row in enumerate(k.rows, 1):
        lines += [
            f"s = (t - (C{i})) / A{i}",
            f"u0 = {TOUCHED[row.name]}",
            f"f{i}_star = t * u0 - f{i}.subs(u, u0)",
        ]
    return "\n".join(lines)


def own_q2(k: Constants) -> str:
    ends = [str(r.end) if r.end < float("inf") else "sp.oo" for r in k.rows]
    row = k.rows[1]
    cost = {"pearson": "(u - 1) ** 2", "cubic": "(u**3 - 1)"}[row.name]
    return f"""
ends = torch.tensor([{", ".join(e.replace("sp.oo", "math.inf") for e in ends)}])
belongs = ({", ".join(str(int(r.kind.belongs)) for r in k.rows)})
def f2_everywhere(t):
    u = {LEAST_RATIO[row.name]}
    return t * u - A2 * {cost} - (C2) * (u - 1)
"""


def fill(k: Constants, code: str) -> str:
    values: dict[str, object] = {"ALPHA": k.alpha, "BETA": k.beta, "TARGET": k.target}
    for i, row in enumerate(k.rows, 1):
        values |= {f"A{i}": row.A, f"C{i}": row.c, f"END{i}": row.end}
    return filled(code, values)


def rows(k: Constants) -> str:
    return HEAD + "\n".join(f"f{i} = {vars(k)[f'f{i}_code']}" for i in (1, 2, 3, 4))


#: What a question's answer calls; the grader puts the right ones in their place.
CALLED = {"q7": ["q1", "q2", "q4"], "q8": ["q1", "q2"]}


def needed(assignment: Assignment, question: str) -> list[str]:
    """The right answers to the question and those it calls."""
    called = CALLED.get(question, [])
    cells = [rows(assignment.k), *(solution(assignment, name) for name in called)]
    return [*cells, *([TORCH_ROWS] if called else []), solution(assignment, question)]


def second_style(assignment: Assignment, question: str) -> list[str]:
    k = assignment.k
    made = {"q1": own_q1, "q2": own_q2}
    code = made[question](k) if question in made else OWN[question]
    return [rows(k), fill(k, code)]


def _all(line: str) -> str:
    """A line for each of the four rows, with I for its number."""
    return "\n".join(re.sub(r"(?<=[fCA])I", str(i), line) for i in (1, 2, 3, 4))


G = "\ndef g3(v):\n    return {}\ndef g4(v):\n    return {}\n"
F2 = "_f = f2_everywhere\ndef f2_everywhere(t):\n    "
START = "(C2 + A2 * FLAT)"
MISTAKES = [
    # Question 1, 4 points
    Mistake("q1", "f itself", _all("fI_star = fI"), 0, "f itself"),
    Mistake("q1", "sign", _all("fI_star = -fI_star"), 1, "the sign"),
    Mistake("q1", "best ratio", _all("fI_star = sp.diff(fI_star, t)"), 1, "the u at which"),
    Mistake("q1", "constant lost", _all("fI_star = fI_star - (CI)"), 2, "the constant"),
    Mistake(
        "q1", "constant's sign", _all("fI_star = fI_star - 2 * (CI)"), 1, "sign of the constant"
    ),
    Mistake(
        "q1", "other tilt", _all("fI_star = fI_star.subs(t, t + 2 * (CI))"), 0.75, "the other way"
    ),
    Mistake(
        "q1",
        "factor outside",
        _all("fI_star = (fI_star - (CI)) / AI + (CI)"),
        2,
        "multiplies the whole",
    ),
    Mistake("q1", "text", _all("fI_star = str(fI_star)"), 2.4, "a text"),
    Mistake(
        "q1", "t u alone", _all("fI_star = t * sp.diff(fI_star, t)"), 1, "still to be subtracted"
    ),
    # Question 2, 3 points
    Mistake(
        "q2",
        "no tilt",
        "ends = [e - c for e, c in zip(ends, (C1, C2, C3, C4))]",
        2.5,
        "is not the end",
    ),
    Mistake("q2", "no ends", "ends = [math.inf] * 4", 2.25, "not for every t"),
    Mistake("q2", "slopes at 1", "ends = [C1, math.inf, C3, C4]", 2.5, "slope at infinity"),
    Mistake("q2", "all open", "belongs = [False] * 4", 2.75, "is finite"),
    Mistake("q2", "exchanged", "belongs = [not x for x in belongs]", 2.5, "are exchanged"),
    Mistake(
        "q2",
        "no floor",
        "_s = f2_star = None\ndef f2_everywhere(t):\n    return UNCLAMPED",
        2.25,
        "f* is flat",
    ),
    Mistake(
        "q2",
        "infinite below",
        F2 + f"return torch.where(t < {START}, math.inf, _f(t))",
        2.5,
        "it is finite everywhere",
    ),
    Mistake(
        "q2", "zero below", F2 + f"return torch.where(t < {START}, 0.0, _f(t))", 2.5, "wrong height"
    ),
    Mistake(
        "q2", "numbers", F2 + "return torch.tensor([float(_f(x)) for x in t])", 2.5, "for autograd"
    ),
    Mistake("q2", "one number", F2 + "return _f(t).sum()", 2.25, "the shape of t"),
    # Question 3, 1 point by program
    Mistake("q3", "zero", "best_constant = 0", 0, "equal weights"),
    Mistake("q3", "front", "best_constant = best_constant / BETA", 0.5, "in front is missing"),
    Mistake(
        "q3",
        "swapped",
        "best_constant = ALPHA * f1.subs(u, sp.Rational(BETA, ALPHA))",
        0.25,
        "are exchanged",
    ),
    Mistake(
        "q3",
        "upside down",
        "best_constant = BETA * f1.subs(u, sp.Rational(BETA, ALPHA))",
        0.25,
        "upside down",
    ),
    Mistake(
        "q3",
        "T",
        "best_constant = sp.diff(f1, u).subs(u, sp.Rational(ALPHA, BETA))",
        0.25,
        "constant T itself",
    ),
    Mistake("q3", "sign", "best_constant = -best_constant", 0.25, "the sign"),
    Mistake(
        "q3", "mean", "best_constant = best_constant / (ALPHA + BETA)", 0.5, "sum of the weights"
    ),
    Mistake(
        "q3",
        "T at 1",
        "best_constant = (ALPHA - BETA) * sp.diff(f1, u).subs(u, 1)",
        0.25,
        "equal weights only",
    ),
    # Question 4, 3 points
    Mistake("q4", "identity", G.format("v", "v"), 0, "leaves the domain"),
    Mistake(
        "q4",
        "decreasing",
        G.format("END3 - A3 * v.exp()", "END4 - A4 * v.exp()") + "doubt3 = doubt4 = 0",
        2,
        "decreases",
    ),
    Mistake(
        "q4", "sigmoid", G.format("END3 * v.sigmoid()", "END4 * v.sigmoid()"), 0.5, "loses critics"
    ),
    Mistake(
        "q4",
        "clamp",
        G.format("v.clamp(max=END3)", "v.clamp(max=END4 - 0.1)"),
        0.5,
        "a clamp or a kink",
    ),
    Mistake("q4", "level of T", "doubt3, doubt4 = C3, C4", 2.25, "the level of T"),
    Mistake("q4", "zero", "doubt3 = doubt4 = 0", 2, "where p = q"),
    Mistake(
        "q4",
        "no tilt",
        G.format("A3 - A3 * F.softplus(-v)", "A4 - A4 * F.softplus(-v)"),
        0.25,
        "domain",
    ),
    Mistake(
        "q4",
        "one number",
        G.format("(END3 - F.softplus(-v)).sum()", "0.0 * v.sum()"),
        0,
        "the shape of v",
    ),
    # Question 5, 3 points
    Mistake(
        "q5",
        "book",
        "gan_activation = -sp.log(1 + sp.exp(-v))\n"
        "gan_star = -sp.log(1 - sp.exp(t))\n"
        "gan_f = u * sp.log(u / (u + 1)) - sp.log(1 + u)\n"
        "gan_doubt = 0",
        0.75,
        "the book's GAN",
    ),
    Mistake(
        "q5",
        "exchanged",
        "gan_activation = gan_activation * BETA / ALPHA\n"
        "gan_star = -ALPHA * sp.log(1 - sp.exp(t / BETA))\n"
        "gan_f = BETA * u * sp.log(BETA * u / (BETA * u + ALPHA)) + ALPHA * sp.log(ALPHA / "
        "(BETA * u + ALPHA))\n"
        "gan_doubt = -gan_doubt",
        0.75,
        "exchanged",
    ),
    Mistake("q5", "D for T", "gan_activation = 1 / (1 + sp.exp(-v))", 2.625, "D itself"),
    Mistake(
        "q5",
        "no constant",
        "gan_f = gan_f + ALPHA * u * sp.log(sp.Rational(ALPHA + BETA, ALPHA)) + BETA * "
        "sp.log(sp.Rational(ALPHA + BETA, BETA))",
        2.5,
        "without its constant",
    ),
    Mistake("q5", "sign", "gan_star = -gan_star", 2.25, "the sign"),
    Mistake("q5", "inside", "gan_star = -BETA * sp.log(1 - sp.exp(t))", 2.5, "the weight inside"),
    Mistake(
        "q5",
        "level of T",
        "gan_doubt = ALPHA * sp.log(sp.Rational(ALPHA, ALPHA + BETA))",
        2.75,
        "the level of T",
    ),
    Mistake("q5", "D at doubt", "gan_doubt = sp.Rational(ALPHA, ALPHA + BETA)", 2.75, "its logit"),
    # Question 6, 4 points
    Mistake("q6", "twice", "least = 2 * least", 3.5, "factor 1/2"),
    Mistake(
        "q6",
        "best output",
        "least = (ALPHA * b * p + BETA * a * q) / (ALPHA * p + BETA * q)",
        3.25,
        "best output itself",
    ),
    Mistake("q6", "masses of one", "k0 = k0.subs({P: 1, Q: 1})", 3.25, "masses that are one"),
    Mistake(
        "q6",
        "middle term",
        "k0 = k0.subs(P, 0).subs(Q, 0) + (ALPHA * P + BETA * Q) * ((ALPHA * b + BETA * a) / "
        "sp.Integer(ALPHA + BETA) - c) ** 2",
        3.5,
        "middle term of the square",
    ),
    Mistake("q6", "equal weights", "k1 = (b - a) ** 2 / 4", 3.6, "equal weights"),
    Mistake(
        "q6",
        "normalised",
        "_c = criterion\n"
        "def criterion(p, q, a, b, c):\n"
        "    return _c(p / p.sum(), q / q.sum(), a, b, c)",
        3.25,
        "divided by their sums",
    ),
    Mistake(
        "q6",
        "bins left out",
        "_c = criterion\n"
        "def criterion(p, q, a, b, c):\n"
        "    keep = (p > 0) & (q > 0)\n"
        "    return _c(p[keep], q[keep], a, b, c)",
        3.5,
        "left out",
    ),
    Mistake(
        "q6",
        "0/0",
        "def criterion(p, q, a, b, c):\n"
        "    m = ALPHA * p + BETA * q\n"
        "    return (m * ((ALPHA * b * p + BETA * a * q) / m - c) ** 2).sum()",
        3.5,
        "0/0",
    ),
    Mistake(
        "q6",
        "the paper's coding",
        "coding = (TARGET - 1, TARGET + 1, TARGET)",
        3.5,
        "not the only coding",
    ),
    # Question 7, 2 points
    Mistake(
        "q7",
        "loss",
        "_t = train_critic\ndef train_critic(p, q):\n    x, T = _t(p, q)\n    return -x, T",
        1.5,
        "the sign",
    ),
    Mistake(
        "q7",
        "V",
        "_t = train_critic\n"
        "def train_critic(p, q):\n"
        "    x, T = _t(p, q)\n"
        "    return x, -torch.log(torch.expm1((END4 - T) / A4))",
        1.5,
        "values V",
    ),
    Mistake(
        "q7",
        "exchanged",
        "_t = train_critic\ndef train_critic(p, q):\n    return _t(q, p)",
        1.25,
        "exchanged pair",
    ),
    Mistake(
        "q7",
        "mean",
        "_t = train_critic\ndef train_critic(p, q):\n    x, T = _t(p, q)\n    return x / len(p), T",
        1.25,
        "a mean over the bins",
    ),
    Mistake(
        "q7",
        "not trained",
        "def train_critic(p, q):\n"
        "    T = g4(torch.zeros_like(p))\n"
        "    return (p * T - q * star4(T)).sum().item(), T",
        0,
        "Climb longer",
    ),
    Mistake(
        "q7",
        "KL",
        "def train_critic(p, q):\n    return 9 * (p * (p / q).log()).sum().item(), (p / q).log()",
        0,
        "the bound",
    ),
    Mistake(
        "q7",
        "bound alone",
        "_t = train_critic\ndef train_critic(p, q):\n    return _t(p, q)[0]",
        0,
        "must return (bound, T)",
    ),
    # Question 8, 2 points by program
    Mistake(
        "q8",
        "moments",
        "def fit(row, p, x):\n"
        "    m = (p * x).sum().item()\n"
        "    return m, (p * (x - m) ** 2).sum().sqrt().item()",
        0,
        "the fit of KL",
    ),
    Mistake(
        "q8",
        "other row",
        "_f = fit\ndef fit(row, p, x):\n    return _f(6 - row, p, x)",
        0.5,
        "the other row",
    ),
    Mistake(
        "q8",
        "variance",
        "_f = fit\ndef fit(row, p, x):\n    m, s = _f(row, p, x)\n    return m, s**2",
        1,
        "is the variance",
    ),
    Mistake(
        "q8",
        "log sd",
        "_f = fit\ndef fit(row, p, x):\n    m, s = _f(row, p, x)\n    return m, math.log(s)",
        1,
        "the logarithm",
    ),
    Mistake(
        "q8",
        "order",
        "_f = fit\ndef fit(row, p, x):\n    return _f(row, p, x)[::-1]",
        1,
        "are exchanged",
    ),
    Mistake("q8", "not held", "NOT HELD", 1, "held fixed"),
    Mistake("q8", "too short", "SHORT", 1, "more steps"),
]


def wrong(assignment: Assignment, mistake: Mistake) -> list[str]:
    """The right answers, and the mistake in place of some of them."""
    k, cells = assignment.k, needed(assignment, mistake.question)
    code = mistake.code
    if code == "NOT HELD":
        return [*cells[:-1], cells[-1].replace("with torch.no_grad():", "if True:")]
    if code == "SHORT":
        return [*cells[:-1], cells[-1].replace("range(700)", "range(12)")]
    code = code.replace("FLAT", str(k.rows[1].kind.flat_from))
    unclamped = re.sub(r"\.clamp\(min=-?\d\)", "", vars(k)["whole2"])
    code = code.replace("UNCLAMPED", re.sub(r"\bs\b", f"({vars(k)['scaled2']})", unclamped))
    return [*cells, fill(k, code)]


ANSWERS = Answers(
    "other-rulers",
    {"plain": needed, "own": second_style},
    wrong,
    lambda k: [rows(k)],
    MISTAKES,
)
