"""Answers to `likelihood-and-estimators`: a second right style, and the wrong ones.

``PRIOR``, ``SCALE``, ``UP``, ``DOWN``, ``CENTRE``, ``GAMMA``, ``STRETCH`` and ``WEIGHT`` stand for
the constants of the variant. The first right style is the instructor's edition itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, Mistake, filled, in_capitals, solution

from tools.grader.marking import Assignment
from tools.grader.questions import Constants

HEAD = """
import math
from statistics import NormalDist
import matplotlib.pyplot as plt
import sympy as sp
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F
x, m, s, w, v = sp.symbols("x m s w v", positive=True)
P, a, b = sp.symbols("P a b", positive=True)
def cost(x):
    far = torch.as_tensor(x) - (CENTRE)
    return UP * far.clamp_min(0) + DOWN * (-far).clamp_min(0)
"""
#: torch.distributions, autograd, loops, other algebra, plain gradient descent.
OWN = {
    "q1": """
from torch.distributions import Laplace, kl_divergence
def kl(mu, logvar):
    prior = Normal(torch.zeros_like(mu), math.sqrt(PRIOR))
    return kl_divergence(Normal(mu, logvar.mul(0.5).exp()), prior).sum(-1)
def fit(x, mean):
    return Laplace(mean, SCALE).log_prob(x).sum(dim=1)
""",
    "q2": """
def elbo(x, mu, logvar, noise, decode):
    total = 0.0
    z = mu + torch.sqrt(torch.exp(logvar)) * noise
    for i in range(len(x)):
        total = total + fit(x[i : i + 1], decode(z)[i : i + 1]).sum() - kl(mu, logvar)[i]
    return total / len(x)
""",
    "q3": """
expected_fit = -(x**2 - 2 * x * w * m + w**2 * (m**2 + s**2)) / 2 / v - sp.log(2 * sp.pi * v) / 2
best_sd = (sp.Rational(1, PRIOR) + w**2 / v) ** sp.Rational(-1, 2)
_s2 = best_sd**2
_m = _s2 * w * x / v
gap_at_prior = sp.log(_s2 / PRIOR) / 2 + (PRIOR + _m**2) / (2 * _s2) - sp.Rational(1, 2)
""",
    "q4": """
def pathwise(mu, sigma, noise):
    rows = []
    for e in noise.tolist():
        at = torch.tensor([mu, sigma], dtype=torch.float64, requires_grad=True)
        rows.append(torch.autograd.grad(cost(at[0] + at[1] * e), at)[0])
    return torch.stack(rows)
def score(mu, sigma, noise, baseline):
    rows = []
    for e in noise.tolist():
        m = torch.tensor(mu, dtype=torch.float64, requires_grad=True)
        s = torch.tensor(sigma, dtype=torch.float64, requires_grad=True)
        x = mu + sigma * e
        slope = torch.autograd.grad(Normal(m, s).log_prob(torch.tensor(x)), (m, s))
        rows.append((cost(x) - baseline) * torch.stack(slope))
    return torch.stack(rows)
""",
    "q5": """
def measure(mu, sigma, noise):
    n = len(noise)
    x = mu + sigma * noise
    table = []
    third = []
    for i in range(n):
        base = sum(float(cost(x[j])) for j in range(n) if j != i) / (n - 1)
        third.append(float(score(mu, sigma, noise[i : i + 1], base)[0, 0]))
    one, two = pathwise(mu, sigma, noise)[:, 0], score(mu, sigma, noise, 0)[:, 0]
    for row in (one.tolist(), two.tolist(), third):
        mean = sum(row) / n
        table.append([mean, sum((v - mean) ** 2 for v in row) / (n - 1)])
    return torch.tensor(table)
mean = UP * P - DOWN * (1 - P)
pathwise_variance = UP**2 * P + DOWN**2 * (1 - P) - mean**2
at_minimum = float(pathwise_variance.subs(P, sp.Rational(DOWN, UP + DOWN)))
""",
    "q6": """
best_mu = Normal(float(CENTRE), 1.0).icdf(torch.tensor(DOWN / (UP + DOWN)))
def find_mu(seed):
    g = torch.Generator().manual_seed(seed)
    mu, step = torch.zeros(()), 0
    for step in range(1500):
        x = mu + torch.randn(64, generator=g)
        slope = torch.where(x > CENTRE, float(UP), -float(DOWN)).mean()
        mu = mu - slope * 2 / (10 + step)
    return mu.item()
""",
    "q7": """
def relaxed(logits, u, tau):
    h = torch.exp((logits - GAMMA * torch.log(-u.log())) / tau)
    return h / h.sum(dim=-1, keepdim=True)
def straight_through(logits, u, tau):
    soft = relaxed(logits, u, tau)
    hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
    return soft + (hard - soft).detach()
def chi_square(counts, logits):
    masses = [math.exp(w / GAMMA) for w in logits.tolist()]
    n = float(counts.sum())
    due = [n * p / sum(masses) for p in masses]
    return sum((o - d) ** 2 / d for o, d in zip(counts.tolist(), due))
A, B, C = (t ** sp.Rational(1, GAMMA) for t in (a, b, 1 - a - b))
first_then_second = B / (B + C) - B / (A + B + C)
""",
    "q8": """
def log_density(x, a, b):
    point = x.double().requires_grad_()
    z = (torch.asinh(point / STRETCH) - a) / b
    (slope,) = torch.autograd.grad(z.sum(), point)
    return (Normal(0.0, 1.0).log_prob(z) + slope.log()).detach()
def mix_loss(fake_logit, log_q):
    game = F.binary_cross_entropy_with_logits(fake_logit, torch.ones_like(fake_logit))
    return game - (WEIGHT * log_q).mean()
""",
}
KL, FIT = "def kl(mu, logvar):\n    ", "def fit(x, mean):\n    "
ELBO = "def elbo(x, mu, logvar, noise, decode):\n    "
RIGHT_Z = "z = mu + (logvar / 2).exp() * noise\n    "
PATH, SCORE = (
    "_path, _score = pathwise, score\ndef pathwise(mu, sigma, noise):\n    ",
    "_score = score\ndef score(mu, sigma, noise, baseline):\n    ",
)
PAY = "e, pay = noise, cost(mu + sigma * noise) - baseline\n    "
MEASURE = (
    "_measure = measure\ndef measure(mu, sigma, noise):\n    t = _measure(mu, sigma, noise)\n    "
)
ROWS = """def measure(mu, sigma, noise):
    pay, n = cost(mu + sigma * noise), len(noise)
    plain = score(mu, sigma, noise, 0.0)[:, COLUMN]
    weight = plain - score(mu, sigma, noise, 1.0)[:, COLUMN]
    rows = torch.stack([pathwise(mu, sigma, noise)[:, COLUMN], plain, plain - BASE * weight])
    return torch.stack([rows.mean(1), SPREAD], 1)
"""
RELAXED = "def relaxed(logits, u, tau):\n    g = -torch.log(-torch.log(u))\n    "
CHI = (
    "def chi_square(counts, logits):\n"
    "    n, due = counts.sum(), (logits / GAMMA).softmax(0) * counts.sum()\n"
    "    "
)
DENSITY = (
    "_log_density = log_density\n"
    "def log_density(x, a, b):\n"
    "    good, volume = _log_density(x, a, b), math.log(b) + torch.log(STRETCH**2 + "
    "x**2) / 2\n"
    "    "
)
MIX = "def mix_loss(fake_logit, log_q):\n    "


def _rows(
    column: str = "0", base: str = "(pay.sum() - pay) / (n - 1)", spread: str = "rows.var(1)"
) -> str:
    return ROWS.replace("COLUMN", column).replace("BASE", f"({base})").replace("SPREAD", spread)


def _find(cost: str = "cost(x)", draw: str = "rsample", **other: str) -> str:
    """Descent with one thing changed."""
    seed, rate = other.get("seed", "torch.manual_seed(seed)"), other.get("rate", "0.01")
    steps, back = other.get("steps", "2000"), other.get("back", "mu.item()")
    return f"""def find_mu(seed):
    {seed}
    mu = torch.tensor(0.0, requires_grad=True)
    adam = torch.optim.Adam([mu], lr={rate})
    for step in range({steps}):
        adam.zero_grad()
        x = Normal(mu, 1.0).{draw}((64,))
        ({cost}).mean().backward()
        adam.step()
    return {back}
"""


_m = Mistake
MISTAKES = [
    # Question 1, 2 points
    _m(
        "q1",
        "sign of kl",
        KL + "return -((mu**2 + logvar.exp()) / PRIOR - 1 - logvar + math.log(PRIOR)).sum(1) / 2",
        1.25,
        "never negative",
    ),
    _m(
        "q1",
        "book's prior",
        KL + "return (mu**2 + logvar.exp() - 1 - logvar).sum(1) / 2",
        1.5,
        "N(0, 1)",
    ),
    _m(
        "q1",
        "log sd",
        KL + "return ((mu**2 + (2 * logvar).exp()) / PRIOR - 1 - 2 * logvar + "
        "math.log(PRIOR)).sum(1) / 2",
        1.25,
        "log of the standard deviation",
    ),
    _m(
        "q1",
        "mean of latents",
        KL + "return ((mu**2 + logvar.exp()) / PRIOR - 1 - logvar + math.log(PRIOR)).mean(1) / 2",
        1.25,
        "mean over the latents",
    ),
    _m(
        "q1",
        "one number",
        KL + "return ((mu**2 + logvar.exp()) / PRIOR - 1 - logvar + math.log(PRIOR)).sum() / 2",
        1.25,
        "due is the shape (4,)",
    ),
    _m(
        "q1",
        "reverse",
        KL + "return ((PRIOR + mu**2) / logvar.exp() - 1 + logvar - math.log(PRIOR)).sum(1) / 2",
        1.25,
        "order of the arguments",
    ),
    _m(
        "q1",
        "a loss",
        FIT + "return ((x - mean).abs() / SCALE + math.log(2 * SCALE)).sum(1)",
        1.5,
        "log-density is asked for",
    ),
    _m(
        "q1",
        "no constant",
        FIT + "return -((x - mean).abs() / SCALE).sum(1)",
        1.5,
        "normalising factor",
    ),
    _m(
        "q1",
        "normal decoder",
        FIT + "return Normal(mean, SCALE).log_prob(x).sum(1)",
        1.25,
        "this is the normal density",
    ),
    _m(
        "q1",
        "one constant",
        FIT + "return -((x - mean).abs() / SCALE).sum(1) - math.log(2 * SCALE)",
        1.5,
        "once for every pixel",
    ),
    _m("q1", "empty", KL + "pass", 1, "replace the dots"),
    # Question 2, 3 points
    _m(
        "q2",
        "sign of kl",
        ELBO + RIGHT_Z + "return (fit(x, decode(z)) + kl(mu, logvar)).mean()",
        0.5,
        "sign of the divergence",
    ),
    _m(
        "q2",
        "a loss",
        ELBO + RIGHT_Z + "return (kl(mu, logvar) - fit(x, decode(z))).mean()",
        2,
        "this is the loss",
    ),
    _m(
        "q2",
        "sum",
        ELBO + RIGHT_Z + "return (fit(x, decode(z)) - kl(mu, logvar)).sum()",
        2,
        "a sum over the batch",
    ),
    _m(
        "q2",
        "variance",
        ELBO + "z = mu + logvar.exp() * noise\n"
        "    return (fit(x, decode(z)) - kl(mu, logvar)).mean()",
        1,
        "multiplied by the variance",
    ),
    _m(
        "q2",
        "mean latent",
        ELBO + "return (fit(x, decode(mu)) - kl(mu, logvar)).mean()",
        0.5,
        "noise is not used",
    ),
    _m(
        "q2",
        "detached",
        ELBO + RIGHT_Z + "return (fit(x, decode(z.detach())) - kl(mu, logvar)).mean()",
        2,
        "z is cut off",
    ),
    _m(
        "q2",
        "item",
        ELBO + RIGHT_Z + "return (fit(x, decode(z)) - kl(mu, logvar)).mean().item()",
        2,
        "not a tensor",
    ),
    _m(
        "q2",
        "fit alone",
        ELBO + RIGHT_Z + "return fit(x, decode(z)).mean()",
        0.5,
        "divergence is missing",
    ),
    # Question 3, 3 points
    _m(
        "q3",
        "at the mean",
        "expected_fit = expected_fit + w**2 * s**2 / (2 * v)",
        2.25,
        "spread of z",
    ),
    _m(
        "q3",
        "w not squared",
        "expected_fit = expected_fit + (w**2 - 1) * s**2 / (2 * v)",
        2.5,
        "w^2 s^2",
    ),
    _m(
        "q3",
        "no constant",
        "expected_fit = expected_fit + sp.log(2 * sp.pi * v) / 2",
        2.5,
        "normalising factor",
    ),
    _m(
        "q3",
        "log of the mean",
        "_t = v + w**2 * s**2\n"
        "expected_fit = -sp.log(2 * sp.pi * _t) / 2 - (x - w * m) ** 2 / (2 * _t)",
        2.25,
        "mean of the log",
    ),
    _m("q3", "variance", "best_sd = best_sd**2", 2.5, "this is the variance"),
    _m("q3", "no prior", "best_sd = sp.sqrt(v) / w", 2.25, "prior is left out"),
    _m("q3", "sign of the gap", "gap_at_prior = -gap_at_prior", 2.5, "below the evidence"),
    _m(
        "q3",
        "gap the other way",
        "_s2 = PRIOR * v / (v + PRIOR * w**2)\n"
        "_m = _s2 * w * x / v\n"
        "gap_at_prior = ((_s2 + _m**2) / PRIOR - 1 + sp.log(PRIOR / _s2)) / 2",
        2.25,
        "mean over q",
    ),
    _m("q3", "no gap", "gap_at_prior = sp.Integer(0)", 2, "zero for the posterior only"),
    # Question 4, 3 points
    _m(
        "q4",
        "absolute value",
        PATH + "x = mu + sigma * noise\n"
        "    return torch.stack([(x - CENTRE).sign(), (x - CENTRE).sign() * noise], 1)",
        1.75,
        "two slopes",
    ),
    _m(
        "q4",
        "slopes exchanged",
        PATH + "s = torch.where(mu + sigma * noise > CENTRE, -UP * 0 + float(DOWN), -float(UP))\n"
        "    return torch.stack([s, s * noise], 1)",
        1.75,
        "exchanged",
    ),
    _m(
        "q4",
        "sigma without noise",
        PATH + "s = _path(mu, sigma, noise)[:, 0]\n    return torch.stack([s, s], 1)",
        2.25,
        "moves by e",
    ),
    _m(
        "q4",
        "mean",
        PATH + "return _path(mu, sigma, noise).mean(0)",
        1.5,
        "due is the shape (6, 2)",
    ),
    _m(
        "q4",
        "no baseline",
        SCORE + "return _score(mu, sigma, noise, 0.0)",
        2.25,
        "baseline is not used",
    ),
    _m(
        "q4",
        "baseline added",
        SCORE + "return _score(mu, sigma, noise, -baseline)",
        2.25,
        "baseline is added",
    ),
    _m(
        "q4",
        "no 1/sigma",
        SCORE + "return _score(mu, sigma, noise, baseline) * sigma",
        1.75,
        "lack 1/sigma",
    ),
    _m(
        "q4",
        "no minus one",
        SCORE + PAY + "return torch.stack([pay * e, pay * e**2], 1) / sigma",
        2.25,
        "log sigma",
    ),
    _m("q4", "sign", SCORE + "return -_score(mu, sigma, noise, baseline)", 1.75, "the sign"),
    _m(
        "q4",
        "columns",
        SCORE + "return _score(mu, sigma, noise, baseline).flip(1)",
        2.25,
        "columns are exchanged",
    ),
    # Question 5, 3 points
    _m("q5", "own cost", _rows(base="pay.mean()"), 2.25, "own cost"),
    _m("q5", "no baseline", _rows(base="0"), 2.25, "no baseline"),
    _m("q5", "divided by N", _rows(spread="rows.var(1, correction=0)"), 2.6, "divided by N"),
    _m(
        "q5",
        "standard deviation",
        MEASURE + "return torch.stack([t[:, 0], t[:, 1].sqrt()], 1)",
        2.25,
        "standard deviation",
    ),
    _m(
        "q5",
        "variance of the mean",
        MEASURE + "return torch.stack([t[:, 0], t[:, 1] / len(noise)], 1)",
        2.25,
        "variance of the mean",
    ),
    _m("q5", "sigma", _rows(column="1"), 2.25, "column of sigma"),
    _m("q5", "plain coin", "pathwise_variance = P * (1 - P)", 2.25, "0 or 1"),
    _m(
        "q5",
        "mean square",
        "pathwise_variance = UP**2 * P + DOWN**2 * (1 - P)",
        2.5,
        "mean of the square",
    ),
    _m("q5", "half", "at_minimum = (UP + DOWN) ** 2 / 4", 2.5, "not equally likely"),
    _m("q5", "zero", "at_minimum = 0", 2.5, "its variance does not"),
    # Question 6, 3 points
    _m("q6", "the kink", "best_mu = CENTRE", 2.25, "one of them costs more"),
    _m("q6", "wrong side", "best_mu = 2 * (CENTRE) - best_mu", 2.5, "wrong side of the kink"),
    _m("q6", "kink missing", "best_mu = best_mu - (CENTRE)", 2.5, "best for c = 0"),
    _m("q6", "page", "best_mu = 3.0", 2, "the page's"),
    _m(
        "q6",
        "symmetric cost",
        _find("(x - CENTRE).abs()", steps="1500", rate="0.02"),
        1.5,
        "symmetric",
    ),
    _m(
        "q6",
        "slopes exchanged",
        _find("DOWN * (x - CENTRE).clamp_min(0) + UP * (CENTRE - x).clamp_min(0)", rate="0.02"),
        1,
        "exchanged",
    ),
    _m("q6", "sample", _find(draw="sample"), 1, "find_mu"),
    _m("q6", "no seed", _find(seed="pass"), 2.5, "two different values"),
    _m("q6", "one seed", _find(seed="torch.manual_seed(0)"), 2.5, "seed passed in"),
    _m("q6", "too few steps", _find(steps="2", back="mu.item() * 0"), 1, "does not move"),
    _m("q6", "formula", "def find_mu(seed):\n    return best_mu", 1.5, "must come from descent"),
    # Question 7, 4 points
    _m(
        "q7",
        "no factor",
        RELAXED + "return ((logits + g) / tau).softmax(1)",
        2.5,
        "factor of the noise is missing",
    ),
    _m(
        "q7",
        "factor on all",
        RELAXED + "return (GAMMA * (logits + g) / tau).softmax(1)",
        3,
        "noise alone",
    ),
    _m(
        "q7",
        "no temperature",
        RELAXED + "return (logits + GAMMA * g).softmax(1)",
        3,
        "temperature is missing",
    ),
    _m(
        "q7",
        "uniform noise",
        RELAXED + "return ((logits + GAMMA * u) / tau).softmax(1)",
        2.5,
        "uniform noise",
    ),
    _m(
        "q7",
        "one log",
        RELAXED + "return ((logits - GAMMA * torch.log(u)) / tau).softmax(1)",
        2.5,
        "exponential",
    ),
    _m(
        "q7",
        "over the batch",
        RELAXED + "return ((logits + GAMMA * g) / tau).softmax(0)",
        2.5,
        "goes over the samples",
    ),
    _m("q7", "soft", "straight_through = relaxed", 3.25, "values are one-hot"),
    _m(
        "q7",
        "no gradient",
        "def straight_through(logits, u, tau):\n"
        "    return F.one_hot(relaxed(logits, u, tau).argmax(1), len(logits)).float()",
        3,
        "does not depend on logits",
    ),
    _m(
        "q7",
        "half gradient",
        "_through = straight_through\n"
        "def straight_through(logits, u, tau):\n"
        "    t = _through(logits, u, tau)\n"
        "    return t.detach() + (t - t.detach()) / 2",
        3.5,
        "gradient is not that",
    ),
    _m(
        "q7",
        "ordinary law",
        CHI + "due = logits.softmax(0) * n\n    return ((counts - due) ** 2 / due).sum()",
        3.5,
        "unscaled noise",
    ),
    _m("q7", "by seen", CHI + "return ((counts - due) ** 2 / counts).sum()", 3.5, "that were seen"),
    _m(
        "q7", "shares", CHI + "return ((counts - due) ** 2 / due).sum() / n", 3.5, "compares shares"
    ),
    _m(
        "q7",
        "independent",
        "first_then_second = one * two / (one + two + three) ** 2",
        3.25,
        "out of the race",
    ),
    _m("q7", "unscaled", "first_then_second = a * b / (1 - a)", 3.5, "unscaled noise"),
    _m(
        "q7",
        "first alone",
        "first_then_second = one / (one + two + three)",
        3.25,
        "first place alone",
    ),
    # Question 8, 2 points
    _m(
        "q8",
        "sign of the volume",
        DENSITY + "return good + 2 * volume",
        1.5,
        "sign of the log-determinant",
    ),
    _m("q8", "no volume", DENSITY + "return good + volume", 1.25, "density of the latent"),
    _m("q8", "no b", DENSITY + "return good + math.log(b)", 1.5, "factor b"),
    _m("q8", "no cosh", DENSITY + "return good + volume - math.log(b)", 1.25, "it is cosh"),
    _m(
        "q8",
        "no 2 pi",
        DENSITY + "return good + math.log(2 * math.pi) / 2",
        1.5,
        "constant of the normal",
    ),
    _m(
        "q8",
        "sign of the likelihood",
        MIX + "return F.softplus(-fake_logit).mean() + WEIGHT * log_q.mean()",
        1.25,
        "sign of the likelihood",
    ),
    _m(
        "q8",
        "no weight",
        MIX + "return F.softplus(-fake_logit).mean() - log_q.mean()",
        1.5,
        "weight of the likelihood is missing",
    ),
    _m(
        "q8",
        "weight on the game",
        MIX + "return WEIGHT * F.softplus(-fake_logit).mean() - log_q.mean()",
        1.25,
        "not to the game",
    ),
    _m(
        "q8",
        "saturating",
        MIX + "return -F.softplus(fake_logit).mean() - WEIGHT * log_q.mean()",
        1.25,
        "saturating",
    ),
    _m(
        "q8",
        "sums",
        MIX + "return F.softplus(-fake_logit).sum() - WEIGHT * log_q.sum()",
        1.5,
        "sums over the batch",
    ),
    _m(
        "q8",
        "item",
        MIX + "return (F.softplus(-fake_logit).mean() - WEIGHT * log_q.mean()).item()",
        1,
        "not a tensor",
    ),
]


def own(k: Constants, code: str) -> str:
    return filled(code, in_capitals(k))


def needed(assignment: Assignment, question: str) -> list[str]:
    return [own(assignment.k, HEAD), solution(assignment, question, figures=False)]


def second_style(assignment: Assignment, question: str) -> list[str]:
    return [own(assignment.k, HEAD), own(assignment.k, OWN[question])]


ANSWERS = Answers(
    "likelihood-and-estimators",
    {"plain": needed, "own": second_style},
    lambda assignment, m: [*needed(assignment, m.question), own(assignment.k, m.code)],
    lambda k: [own(k, HEAD)],
    MISTAKES,
    long=frozenset({"found_by_descent"}),
    trained=frozenset(
        {
            "symmetric cost",
            "slopes exchanged",
            "sample",
            "no seed",
            "one seed",
            "too few steps",
            "formula",
        }
    ),
)
