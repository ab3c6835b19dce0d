# ruff: noqa: E501 - a mistake a line
"""Answers to `push-forwards`: a second right style, and wrong ones with what they deserve.

The first right style is the instructor's edition. In the texts capital names, such as ``RATE`` and ``K1``,
are the variant's constants.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Mistake, after_the_head, filled, in_capitals

from tools.grader.marking import Assignment

HEAD = """
import math
import sympy as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
x, z, m, d = sp.symbols("x z m d", real=True)
s, v = sp.symbols("s v", positive=True)
"""
#: Other algebra, torch's own distributions, loops, other bisection.
OWN = {
    "q1": """
inverse = sp.log(x - SHIFT) / RATE
cdf = (1 + sp.erf(inverse / sp.sqrt(2))) / 2
density_exp = sp.diff(cdf, x)
inside = sp.erf(sp.sqrt((x - BASE) / sp.Integer(WIDTH)) / sp.sqrt(2))
density_square = sp.diff(inside, x)
""",
    "q2": """
def log_density(x):
    normal = torch.distributions.Normal(0.0, 1.0)
    values = []
    for one, other in x.double():
        first = one / STRETCH
        scale = torch.exp(SCALE * first)
        second = (other - BEND * first**2) / scale
        values.append(normal.log_prob(first) + normal.log_prob(second) - torch.log(STRETCH * scale))
    return torch.stack(values)
""",
    "q3": """
answers = {"yes": True, "no": False}
has_density = {a: answers[t] for a, t in zip("abcdef", "TRUTHS".split(","))}
speed = sp.Matrix([ALONG * z, ACROSS * z**2]).diff(z).norm()
curve_density = sp.exp(-z**2 / 2) / (sp.sqrt(2 * sp.pi) * speed)
""",
    "q4": """
family = dict(zip("ABCDEFGH", "KINDS".title().split(",")))
""",
    "q5": """
r2 = ALONG**2 + ACROSS**2
C = (r2 + s**2) * s**2
mean_log = -sp.log(4 * sp.pi**2 * C) / 2 - (r2 / (r2 + s**2) + (d / s) ** 2) / 2
limits = (-math.inf, math.inf)
""",
    "q6": """
def smallest(w, b, x):
    logit = float((w * x).sum()) + b
    most = K1 * abs(float(w[0])) + K2 * abs(float(w[1]))
    epsilon = abs(logit) / most
    side = 1 if logit > 0 else -1
    change = [-side * epsilon * size * math.copysign(1, float(part)) for size, part in zip((K1, K2), w)]
    return torch.tensor(epsilon), x + torch.tensor(change)
def attack(logit, x, y, epsilon):
    point = x.clone().requires_grad_(True)
    F.softplus(-y * logit(point)).backward()
    return x + epsilon * torch.tensor([K1, K2]) * torch.sign(point.grad)
def break_it(logit, x, y):
    fine = [n / 200 for n in range(1, 2000)]
    high = next(e for e in fine if y * logit(attack(logit, x, y, e)) <= 0)
    low = high - 1 / 200
    while high - low > 1e-9:
        at = 0.5 * low + 0.5 * high
        if y * logit(attack(logit, x.double(), y, at)) <= 0:
            high = at
        else:
            low = at
    return torch.tensor(high)
""",
    "q7": """
a, e = sp.Integer(WEIGHT), sp.Integer(NOISE)
evidence = sp.log(sp.exp(-x**2 / (2 * (a**2 + e**2))) / sp.sqrt(2 * sp.pi * (a**2 + e**2)))
mean, var = a * x / (a**2 + e**2), e**2 / (a**2 + e**2)
gap = (sp.log(var / v) + (v + (m - mean) ** 2) / var - 1) / 2
elbo = evidence - gap
""",
    "q8": """
def near(samples, centres, radius):
    hit, found = 0, set()
    for one in samples:
        close = [i for i, c in enumerate(centres) if math.dist(one.tolist(), c.tolist()) <= radius]
        hit += bool(close)
        found |= set(close)
    return hit / len(samples), len(found)
""",
}


def fill(assignment: Assignment, code: str) -> str:
    k, module = assignment.k, assignment.module
    lists = {"TRUTHS": ",".join(module.truths(k)), "KINDS": ",".join(module.kinds_of(k))}
    return filled(code, {**in_capitals(k), **lists})


LATENTS = (
    "def log_density(x):\n"
    "    a = x[:, 0] / STRETCH\n"
    "    b = (x[:, 1] - BEND * a**2) * torch.exp(-SCALE * a)\n"
    "    both = -(a**2 + b**2) / 2 - math.log(2 * math.pi)\n"
    "    return "
)
SMALL = "_s = smallest\ndef smallest(w, b, x):\n    "
SLOPE = (
    "def attack(logit, x, y, epsilon):\n"
    "    p = x.clone().requires_grad_()\n"
    "    (g,) = torch.autograd.grad(logit(p), p)\n"
    "    k = torch.tensor([K1, K2])\n"
    "    return "
)
MISTAKES = [
    # Question 1, 4 points
    Mistake(
        "q1",
        "no Jacobian",
        "density_exp = density_exp * RATE * (x - SHIFT)",
        2.5,
        "Jacobian is missing",
    ),
    Mistake(
        "q1",
        "inverted",
        "density_exp = density_exp * (RATE * (x - SHIFT)) ** 2",
        2.5,
        "upside down",
    ),
    Mistake("q1", "no rate", "density_exp = density_exp * RATE", 3, "rate is missing"),
    Mistake("q1", "no shift", "density_exp = density_exp.subs(x, x + SHIFT)", 2.5, "shift is lost"),
    Mistake(
        "q1",
        "no constant",
        "density_exp = density_exp * sp.sqrt(2 * sp.pi)\n"
        "density_square = density_square * sp.sqrt(2 * sp.pi)",
        2,
        "1/sqrt(2 pi)",
    ),
    Mistake("q1", "one branch", "density_square = density_square / 2", 3, "one branch is missing"),
    Mistake(
        "q1",
        "inverted square",
        "density_square = density_square * (2 * WIDTH * (x - BASE)) * 2",
        2.5,
        "upside down",
    ),
    Mistake("q1", "negative", "density_exp = -density_exp", 2.5, "not negative"),
    # Question 2, 2 points
    Mistake(
        "q2", "sign", LATENTS + "both + math.log(STRETCH) + SCALE * a", 0.5, "the sign of the log"
    ),
    Mistake("q2", "no determinant", LATENTS + "both", 0.5, "log-determinant is missing"),
    Mistake("q2", "no stretch", LATENTS + "both - SCALE * a", 1, "stretch of the first"),
    Mistake("q2", "no scale", LATENTS + "both - math.log(STRETCH)", 1, "scale of the second"),
    Mistake(
        "q2",
        "density",
        "_l = log_density\ndef log_density(x):\n    return _l(x).exp()",
        0.4,
        "this is the density",
    ),
    Mistake(
        "q2",
        "log of a product",
        "_l = log_density\ndef log_density(x):\n    return _l(x).exp().log()",
        1,
        "underflowed",
    ),
    Mistake(
        "q2",
        "sum",
        "_l = log_density\ndef log_density(x):\n    return _l(x).sum()",
        0,
        "one number for each row",
    ),
    Mistake("q2", "at x", LATENTS + "both - math.log(STRETCH) - SCALE * x[:, 0]", 1, "taken at x1"),
    # Question 3, 3 points
    Mistake("q3", "all", 'has_density = dict.fromkeys("ABCDEF", True)', 1, "no density"),
    Mistake("q3", "none", 'has_density = dict.fromkeys("ABCDEF", False)', 1, "a density"),
    Mistake("q3", "letters missing", 'has_density = {"A": True}', 1, "no answer for B"),
    Mistake("q3", "list", "has_density = [True] * 6", 1, "must be a dictionary"),
    Mistake(
        "q3",
        "inverted",
        "curve_density = sp.exp(-z**2) / (2 * sp.pi) / curve_density",
        2.25,
        "upside down",
    ),
    Mistake(
        "q3",
        "square",
        "curve_density = curve_density / sp.sqrt(ALONG**2 + 4 * ACROSS**2 * z**2)",
        2.5,
        "the root of that sum",
    ),
    Mistake(
        "q3",
        "no speed",
        "curve_density = sp.exp(-z**2 / 2) / sp.sqrt(2 * sp.pi)",
        2.25,
        "length of G'(z) is missing",
    ),
    # Question 4, 2 points
    Mistake("q4", "all implicit", 'family = dict.fromkeys("ABCDEFGH", "implicit")', 0, "is '"),
    Mistake(
        "q4",
        "a GAN has a density",
        'family = {a: w.replace("implicit", "tractable") for a, w in family.items()}',
        1,
        "is 'implicit'",
    ),
    Mistake(
        "q4",
        "bounds are exact",
        'family = {a: w.replace("approximate", "tractable") for a, w in family.items()}',
        1,
        "is 'approximate'",
    ),
    Mistake(
        "q4",
        "classifiers",
        'family = {a: w.replace("none", "tractable") for a, w in family.items()}',
        1,
        "is 'none'",
    ),
    Mistake(
        "q4", "other words", 'family = dict.fromkeys("ABCDEFGH", "explicit")', 0, "must be one of"
    ),
    Mistake("q4", "list", "family = list(family.values())", 0, "must be a dictionary"),
    # Question 5, 3 points by program
    Mistake("q5", "no distance", "mean_log = mean_log.subs(d, 0)", 1.5, "distance d off the line"),
    Mistake(
        "q5",
        "no spread",
        "mean_log = mean_log + (ALONG**2 + ACROSS**2) / (2 * (ALONG**2 + ACROSS**2 + s**2))",
        2,
        "vary along the line",
    ),
    Mistake("q5", "no constant", "mean_log = mean_log + sp.log(2 * sp.pi)", 2, "log 2 pi"),
    Mistake("q5", "sign", "mean_log = -mean_log", 1.5, "the sign"),
    Mistake("q5", "half", "mean_log = mean_log - d**2 / (2 * s**2)", 1.5, "factor 1/2"),
    Mistake("q5", "both minus", "limits = [-sp.oo, -sp.oo]", 2.5, "the density on the line itself"),
    Mistake("q5", "finite", "limits = [0, sp.oo]", 2.5, "minus infinity"),
    Mistake("q5", "exchanged", "limits = [sp.oo, -sp.oo]", 2, "exchanged"),
    # Question 6, 4 points
    Mistake(
        "q6",
        "Euclidean",
        "def smallest(w, b, x):\n"
        "    s = w @ x + b\n"
        "    return (s.abs() / w.norm()).item(), x - s * w / (w @ w)",
        2.5,
        "wrong norm",
    ),
    Mistake(
        "q6",
        "no sizes",
        "def smallest(w, b, x):\n"
        "    s = w @ x + b\n"
        "    e = s.abs() / w.abs().sum()\n"
        "    return e.item(), x - s.sign() * e * w.sign()",
        3,
        "two sizes of the question are missing",
    ),
    Mistake(
        "q6",
        "away",
        SMALL + "e, p = _s(w, b, x)\n    return e, 2 * x - p",
        3,
        "away from the boundary",
    ),
    Mistake("q6", "no offset", SMALL + "return _s(w, 0.0, x)", 2.5, "offset b is lost"),
    Mistake(
        "q6", "point alone", SMALL + "return _s(w, b, x)[1]", 2, "must return (epsilon, point)"
    ),
    Mistake(
        "q6",
        "surer",
        "_a = attack\n"
        "def attack(logit, x, y, epsilon):\n"
        "    return 2 * x - _a(logit, x, y, epsilon)\n"
        "def break_it(logit, x, y):\n"
        "    return 1.0",
        2.25,
        "surer of the right label",
    ),
    Mistake(
        "q6",
        "plain gradient",
        "_b = break_it\n" + SLOPE + "x - y * epsilon * k * g",
        3.25,
        "plain gradient step",
    ),
    Mistake(
        "q6",
        "change",
        "_a = attack\n"
        "def attack(logit, x, y, epsilon):\n"
        "    return _a(logit, x, y, epsilon) - x\n"
        "def break_it(logit, x, y):\n"
        "    return 0.0",
        2.5,
        "this is the change",
    ),
    Mistake(
        "q6",
        "straight line",
        "def break_it(logit, x, y):\n"
        "    p = x.clone().requires_grad_()\n"
        "    (g,) = torch.autograd.grad(logit(p), p)\n"
        "    return (logit(x).abs() / (torch.tensor([float(K1), float(K2)]) @ "
        "g.abs())).item()",
        3.5,
        "bends on the way",
    ),
    # Question 7, 3 points
    Mistake("q7", "KL's sign", "elbo = elbo + (m**2 + v - 1 - sp.log(v))", 2.25, "sign of the KL"),
    Mistake("q7", "no KL", "elbo = elbo + (m**2 + v - 1 - sp.log(v)) / 2", 2.25, "is missing"),
    Mistake(
        "q7",
        "no variance",
        "elbo = elbo + sp.Rational(WEIGHT**2, 2 * NOISE**2) * v",
        2.5,
        "the draws of z vary",
    ),
    Mistake(
        "q7",
        "sd for variance",
        "elbo = elbo + (m**2 + v - 1 - sp.log(v)) / 2 - (m**2 + v**2 - 1 - 2 * sp.log(v)) / 2",
        2.5,
        "takes it for the sd",
    ),
    Mistake("q7", "prior", "gap = (m**2 + v - 1 - sp.log(v)) / 2", 2.25, "KL from the prior"),
    Mistake(
        "q7",
        "no noise",
        "evidence = -sp.log(2 * sp.pi * WEIGHT**2) / 2 - x**2 / (2 * WEIGHT**2)",
        2.25,
        "the noise of x given z",
    ),
    Mistake("q7", "sign of the gap", "gap = -gap", 2.25, "not negative"),
    Mistake("q7", "loss", "elbo = -elbo", 2.25, "this is the loss"),
    # Question 8, 1 point by program
    Mistake(
        "q8",
        "per cent",
        "_n = near\ndef near(x, c, r):\n    a, b = _n(x, c, r)\n    return 100 * a, b",
        0.75,
        "between 0 and 1",
    ),
    Mistake(
        "q8",
        "exchanged",
        "_n = near\ndef near(x, c, r):\n    return _n(x, c, r)[::-1]",
        0.5,
        "exchanged",
    ),
    Mistake(
        "q8",
        "far",
        "_n = near\ndef near(x, c, r):\n    a, b = _n(x, c, r)\n    return 1 - a, b",
        0.5,
        "*near*",
    ),
    Mistake(
        "q8",
        "squared",
        "_n = near\ndef near(x, c, r):\n    return _n(x, c, r**0.5)",
        0.5,
        "squared distance",
    ),
    Mistake(
        "q8",
        "all centres",
        "_n = near\ndef near(x, c, r):\n    return _n(x, c, r)[0], len(c)",
        0.5,
        "without a sample",
    ),
    Mistake(
        "q8",
        "count",
        "_n = near\ndef near(x, c, r):\n    a, b = _n(x, c, r)\n    return a * len(x), b",
        0.75,
        "divide by",
    ),
    Mistake(
        "q8",
        "one number",
        "_n = near\ndef near(x, c, r):\n    return _n(x, c, r)[0]",
        0,
        "must return 2 numbers",
    ),
]


ANSWERS = after_the_head("push-forwards", HEAD, OWN, fill, MISTAKES)
