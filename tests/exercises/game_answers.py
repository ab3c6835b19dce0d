"""Answers to `the-game`: two right styles, and the wrong ones with what they deserve.

``A`` and ``B`` stand for the two weights of the variant. A wrong answer replaces the right one of
its question; ``deserved`` is what a fair reader gives of its points, to within half a point.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, edited, filled, then

from tools.grader.questions import Constants

HEAD = """
import matplotlib.pyplot as plt
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional as F
"""
SYMBOLS = """
p, q = sp.symbols("p q", positive=True)
a, b, c = sp.symbols("a b c", real=True)
"""

#: The style of the instructor's edition, in short.
PLAIN = {
    "q1": """
def discriminator_loss(d_real, d_fake):
    return -A * torch.log(d_real).mean() - B * torch.log(1 - d_fake).mean()
""",
    "q2": """
def discriminator_loss_from_logits(s_real, s_fake):
    return A * F.softplus(-s_real).mean() + B * F.softplus(s_fake).mean()
""",
    "q3": """
def saturating_loss(s_fake):
    return -B * F.softplus(s_fake).mean()
def non_saturating_loss(s_fake):
    return B * F.softplus(-s_fake).mean()
""",
    "q4": "D_gan = A * p / (A * p + B * q)",
    "q5": "D_lsgan = (A * b * p + B * a * q) / (A * p + B * q)",
    "q6": """
m = (A * p + B * q) / (A + B)
value_integrand = A * p * sp.log(A * p / (A * p + B * q)) + B * q * sp.log(B * q / (A * p + B * q))
divergence_integrand = A * p * sp.log(p / m) + B * q * sp.log(q / m)
constant = A * sp.log(sp.Rational(A, A + B)) + B * sp.log(sp.Rational(B, A + B))
""",
    "q7": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    return A * ((f_real - b) ** 2).mean() / 2 + B * ((f_fake - a) ** 2).mean() / 2
def lsgan_generator_loss(f_fake, c):
    return B * ((f_fake - c) ** 2).mean() / 2
""",
    "q8": """
k0 = (A * b + B * a - (A + B) * c) ** 2 / (A + B)
k1 = (b - a) ** 2 * sp.Rational(A * B, A + B) ** 2
def criterion(p, q, a, b, c):
    mass = A * p + B * q
    d_star = (A * b * p + B * a * q) / torch.where(mass > 0, mass, 1.0)
    return (mass * (d_star - c) ** 2).sum()
""",
    "q9": """
def fit_discriminator(generator, mean_real, mean_fake, n=4096):
    real = mean_real + torch.randn(n, generator=generator)
    fake = mean_fake + torch.randn(n, generator=generator)
    line = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([line], lr=0.1)
    for _ in range(600):
        w, t = line
        loss = discriminator_loss_from_logits(w * real + t, w * fake + t)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return line[0].item(), line[1].item()
""",
}

#: Other functions, other algebra, other symbols, other optimiser, and answers of earlier questions.
OWN = {
    "q1": """
def discriminator_loss(d_real, d_fake):
    eps = 1e-9
    total = 0.0
    for d in d_real:
        total = total - A * (d + eps).log() / len(d_real)
    for d in d_fake:
        total = total - B * (1 - d + eps).log() / len(d_fake)
    return total
""",
    "q2": """
bce = torch.nn.BCEWithLogitsLoss()

def discriminator_loss_from_logits(s_real, s_fake):
    return A * bce(s_real, torch.ones_like(s_real)) + B * bce(s_fake, torch.zeros_like(s_fake))
""",
    "q3": """
def saturating_loss(s_fake):
    return B * F.logsigmoid(-s_fake).mean()
def non_saturating_loss(s_fake):
    return B * torch.logaddexp(torch.zeros_like(s_fake), -s_fake).sum() / s_fake.numel()
""",
    "q4": """
p, q, a, b, c, D = sp.symbols("p q a b c D")
D_gan = sp.solve(sp.diff(-A * p * sp.log(D) - B * q * sp.log(1 - D), D), D)
""",
    "q5": """
u = A * p / (B * q)
D_lsgan = sp.Eq(D, a + (b - a) * u / (1 + u))
""",
    "q6": """
share = D_gan[0] if isinstance(D_gan, list) else D_gan
value_integrand = A * p * sp.log(share) + B * q * sp.log(1 - share)
_moved = (A + B) * sp.log(A + B) - A * sp.log(A) - B * sp.log(B)
divergence_integrand = value_integrand + _moved * p
divergence_integrand -= (p - q) * 0 + (q - p) * (B * sp.log(B) - B * sp.log(A + B))
divergence_integrand = sp.expand(divergence_integrand)
import math
constant = A * math.log(A / (A + B)) + B * math.log(B / (A + B))
""",
    "q7": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    real = F.mse_loss(f_real, torch.full_like(f_real, b))
    fake = F.mse_loss(f_fake, torch.full_like(f_fake, a))
    return 0.5 * (A * real + B * fake)
def lsgan_generator_loss(f_fake, c):
    return B * torch.mean(0.5 * f_fake**2 - c * f_fake + 0.5 * c**2)
""",
    "q8": """
k0 = (A + B) * (A * b / sp.Integer(A + B) + B * a / sp.Integer(A + B) - c) ** 2
k1 = sp.Rational((A * B) ** 2, (A + B) ** 2) * (a**2 - 2 * a * b + b**2)
def criterion(p, q, a, b, c):
    total = 0.0
    for x, y in zip(p.tolist(), q.tolist()):
        if x + y > 0:
            d = a + (b - a) * A * x / (A * x + B * y)
            total += A * x * (d - c) ** 2 + B * y * (d - c) ** 2
    return total
""",
    "q9": """
def fit_discriminator(generator, mean_real, mean_fake, n=4096):
    real = torch.randn(n, generator=generator) + mean_real
    fake = torch.randn(n, generator=generator) + mean_fake
    line = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = discriminator_loss_from_logits(line[0] * real + line[1], line[0] * fake + line[1])
        loss.backward()
        return loss

    optimiser.step(closure)
    return tuple(line.detach())
""",
}


def cells(k: Constants, answers: dict[str, str]) -> list[str]:
    """A notebook's code cells; a question without an answer has none."""
    found = [HEAD]
    for name in PLAIN:
        found += [SYMBOLS] if name == "q4" else []
        found += [weights(answers[name], k)] if answers.get(name) else []
    return found


def weights(code: str, k: Constants) -> str:
    return filled(code, {"A": k.alpha, "B": k.beta})


L1 = "return -A * torch.log(d_real).mean() - B * torch.log(1 - d_fake).mean()"
L2 = "return A * F.softplus(-s_real).mean() + B * F.softplus(s_fake).mean()"
SAT = "return -B * F.softplus(s_fake).mean()"
NON = "return B * F.softplus(-s_fake).mean()"
SQ = "return A * ((f_real - b) ** 2).mean() / 2 + B * ((f_fake - a) ** 2).mean() / 2"
SG = "return B * ((f_fake - c) ** 2).mean() / 2"
K1 = "k1 = (b - a) ** 2 * sp.Rational(A * B, A + B) ** 2"
BACK = "return line[0].item(), line[1].item()"
CONSTANT = "constant = A * sp.log(sp.Rational(A, A + B)) + B * sp.log(sp.Rational(B, A + B))"
DIVERGENCE = "divergence_integrand = A * p * sp.log(p / m) + B * q * sp.log(q / m)"
VALUE = (
    "value_integrand = A * p * sp.log(A * p / (A * p + B * q)) + B * q * sp.log(B * q / "
    "(A * p + B * q))"
)

_edit = partial(edited, PLAIN)
MISTAKES = [
    # Question 1, 2 points
    _edit("q1", "item", 1, "not a tensor", (L1, f"{L1.replace('return ', 'return (')}).item()")),
    _edit(
        "q1", "detach", 1, "for autograd", (L1, f"{L1.replace('return ', 'return (')}).detach()")
    ),
    _edit(
        "q1",
        "numpy float32",
        1,
        "not a tensor",
        (L1, f"{L1.replace('return ', 'return (')}).detach().numpy()"),
    ),
    _edit(
        "q1",
        "numpy float64",
        1,
        "not a tensor",
        (L1, f"{L1.replace('return ', 'return (')}).double().detach().numpy()"),
    ),
    _edit(
        "q1",
        "mutates its input",
        1,
        "in place",
        (
            L1,
            "d_real = d_real.log_()\n"
            "    return -A * d_real.mean() - B * torch.log(1 - d_fake).mean()",
        ),
    ),
    _edit(
        "q1", "hard-coded", 0, "you get", (L1, "return torch.tensor((A + B) * 0.6931471805599453)")
    ),
    _edit(
        "q1",
        "shape (1,)",
        1,
        "has shape (1,)",
        (L1, f"{L1.replace('return ', 'return (')}).reshape(1)"),
    ),
    _edit("q1", "log10", 0, "base of the logarithm", ("torch.log(", "torch.log10(")),
    _edit("q1", "log2", 0, "base of the logarithm", ("torch.log(", "torch.log2(")),
    _edit("q1", "print", 1, "prints its result", (L1, L1.replace("return ", "print(") + ")")),
    _edit(
        "q1",
        "epsilon",
        1,
        "an epsilon",
        ("torch.log(d_real)", "torch.log(d_real + 1e-3)"),
        ("1 - d_fake)", "1 - d_fake + 1e-3)"),
    ),
    _edit(
        "q1",
        "log of the mean",
        0,
        "log of the mean",
        ("torch.log(d_real).mean()", "torch.log(d_real.mean())"),
        ("torch.log(1 - d_fake).mean()", "torch.log((1 - d_fake).mean())"),
    ),
    _edit("q1", "sign", 0, "the sign", ("return -A", "return A"), ("- B", "+ B")),
    _edit(
        "q1",
        "fake half missing",
        0,
        "only the real samples",
        (" - B * torch.log(1 - d_fake).mean()", ""),
    ),
    _edit(
        "q1",
        "real half missing",
        0,
        "only the generated samples",
        ("-A * torch.log(d_real).mean() - B", "-B"),
    ),
    _edit(
        "q1",
        "swapped",
        0,
        "swapped",
        ("d_real)", "d_x)"),
        ("d_fake)", "d_real)"),
        ("d_x)", "d_fake)"),
        ("(d_real, d_real)", "(d_real, d_fake)"),
    )
    if False
    else then(
        "q1",
        "swapped",
        0,
        "swapped",
        "def discriminator_loss(d_real, d_fake):\n"
        "    return -A * torch.log(d_fake).mean() - B * torch.log(1 - d_real).mean()",
    ),
    _edit("q1", "log D of fakes", 0, "not log D", ("1 - d_fake", "d_fake")),
    _edit("q1", "sum", 0.25, "a sum over the batch", (".mean()", ".sum()")),
    _edit(
        "q1",
        "joined mean",
        0.25,
        "both batches joined",
        (L1, "return -torch.cat([A * torch.log(d_real), B * torch.log(1 - d_fake)]).mean()"),
    ),
    _edit(
        "q1", "no weights", 0.5, "weights of the question are missing", ("A * ", ""), ("B * ", "")
    ),
    _edit(
        "q1",
        "weights exchanged",
        0.5,
        "weights are exchanged",
        ("-A", "-X"),
        ("- B", "- A"),
        ("-X", "-B"),
    ),
    _edit(
        "q1",
        "averaged",
        0.5,
        "added, not averaged",
        (L1, f"{L1.replace('return ', 'return (')}) / (A + B)"),
    ),
    then("q1", "empty", 0, "returns nothing", "def discriminator_loss(d_real, d_fake):\n    ..."),
    then(
        "q1",
        "raises",
        0,
        "raised",
        "def discriminator_loss(d_real, d_fake):\n    return d_real.lgo()",
    ),
    # Question 2, 3 points
    _edit(
        "q2",
        "where, nan gradient",
        2,
        "its gradient with respect to s_real is not finite",
        (
            L2,
            "soft = lambda x: torch.where(x > 30, x, torch.log1p(torch.exp(x)))\n"
            "    return A * soft(-s_real).mean() + B * soft(s_fake).mean()",
        ),
    ),
    _edit(
        "q2",
        "float64 result",
        3,
        "",
        (
            L2,
            "return A * F.softplus(-s_real.double()).mean() + B * "
            "F.softplus(s_fake.double()).mean()",
        ),
    ),
    _edit(
        "q2",
        "sigmoid in float64",
        1,
        "the log of zero",
        (
            L2,
            "s, t = torch.sigmoid(s_real.double()), torch.sigmoid(s_fake.double())\n"
            "    return -A * torch.log(s).mean() - B * torch.log(1 - t).mean()",
        ),
    ),
    _edit(
        "q2",
        "clamp 1000",
        1,
        "caps it",
        (
            L2,
            "s, t = s_real.clamp(-1000, 1000), s_fake.clamp(-1000, 1000)\n"
            "    return A * F.softplus(-s).mean() + B * F.softplus(t).mean()",
        ),
    ),
    _edit(
        "q2",
        "BCE on sigmoid",
        1,
        "caps it",
        (
            L2,
            "one, zero = torch.ones_like(s_real), torch.zeros_like(s_fake)\n"
            "    return A * F.binary_cross_entropy(torch.sigmoid(s_real), one) + B * "
            "F.binary_cross_entropy(torch.sigmoid(s_fake), zero)",
        ),
    ),
    _edit(
        "q2", "detach", 1, "for autograd", (L2, f"{L2.replace('return ', 'return (')}).detach()")
    ),
    _edit("q2", "item", 1, "for autograd", (L2, f"{L2.replace('return ', 'return (')}).item()")),
    _edit(
        "q2",
        "sigmoid twice",
        0,
        "sigmoid is applied twice",
        (L2, "s_real, s_fake = torch.sigmoid(s_real), torch.sigmoid(s_fake)\n    " + L2),
    ),
    _edit(
        "q2",
        "clamp 1e-7",
        1,
        "caps it",
        (
            L2,
            "s, t = torch.sigmoid(s_real).clamp(1e-7, 1 - 1e-7), "
            "torch.sigmoid(s_fake).clamp(1e-7, 1 - 1e-7)\n"
            "    return -A * torch.log(s).mean() - B * torch.log(1 - t).mean()",
        ),
    ),
    _edit("q2", "sums", 1, "a sum over the batch", (".mean()", ".sum()")),
    _edit(
        "q2",
        "textbook form",
        1,
        "the log of zero",
        (
            L2,
            "return -A * torch.log(torch.sigmoid(s_real)).mean() - B * torch.log(1 - "
            "torch.sigmoid(s_fake)).mean()",
        ),
    ),
    _edit("q2", "sign", 0, "the sign", ("return A", "return -A"), ("+ B", "- B")),
    _edit(
        "q2",
        "real half missing",
        0,
        "only the generated samples",
        ("A * F.softplus(-s_real).mean() + ", ""),
    ),
    _edit(
        "q2",
        "swapped",
        0,
        "swapped",
        ("-s_real", "s_real"),
        ("F.softplus(s_fake)", "F.softplus(-s_fake)"),
    ),
    _edit(
        "q2", "no weights", 1.5, "weights of the question are missing", ("A * ", ""), ("B * ", "")
    ),
    _edit(
        "q2",
        "in place",
        2,
        "in place",
        (
            L2,
            "s_fake = s_fake.mul_(1.0).neg_()\n"
            "    return A * F.softplus(-s_real).mean() + B * F.softplus(-s_fake).mean()",
        ),
    ),
    then(
        "q2", "loops", 0, "", "def discriminator_loss_from_logits(s_real, s_fake):\n    return None"
    ),
    # Question 3, 3 points
    _edit("q3", "item", 2.5, "not a tensor", (SAT, SAT + ".item()")),
    _edit("q3", "detach", 2.5, "for autograd", (NON, NON + ".detach()")),
    _edit(
        "q3",
        "epsilon",
        2.5,
        "caps it",
        (SAT, "return B * torch.log(1 - torch.sigmoid(s_fake) + 1e-8).mean()"),
    ),
    _edit("q3", "factor 1/2", 2, "a factor 1/2", (NON, NON + " / 2")),
    _edit("q3", "sum", 2, "a sum over the batch", (SAT, SAT.replace("mean", "sum"))),
    _edit(
        "q3",
        "TypeError",
        2,
        "raised TypeError",
        (NON, "return B * F.softplus(-s_fake).mean(0, 1, 2, 3)"),
    ),
    _edit("q3", "sign", 1.5, "the sign", (SAT, SAT.replace("-B", "B"))),
    _edit(
        "q3",
        "exchanged losses",
        0,
        "this is the non-saturating loss",
        (SAT, "return X"),
        (NON, SAT),
        ("return X", NON),
    ),
    _edit(
        "q3",
        "-log(1 - D)",
        1.5,
        "learn to be found out",
        (NON, "return B * F.softplus(s_fake).mean()"),
    ),
    _edit(
        "q3", "no weight", 1.5, "weight of the question is missing", ("-B * ", "-"), ("B * ", "")
    ),
    _edit(
        "q3",
        "log of zero",
        2.5,
        "the log of zero",
        (NON, "return -B * torch.log(torch.sigmoid(s_fake)).mean()"),
    ),
    _edit("q3", "no mean", 1.5, "it must be one number", (SAT, "return -B * F.softplus(s_fake)")),
    # Question 4, 2 points
    then("q4", "LaTeX", 1, "a text", r'D_gan = r"\frac{A p}{A p + B q}"'),
    then("q4", "text", 1, "a text", 'D_gan = "A*p/(A*p + B*q)"'),
    then("q4", "Eq", 1.5, "", 'D_gan = sp.Eq(sp.Symbol("D"), A * p / (A * p + B * q))'),
    then("q4", "list of solve", 1.5, "", "D_gan = [A * p / (A * p + B * q)]"),
    then(
        "q4", "function", 1.5, "a function", "def D_gan(p, q):\n    return A * p / (A * p + B * q)"
    ),
    then("q4", "lambda", 1.5, "a function", "D_gan = lambda p, q: A * p / (A * p + B * q)"),
    then(
        "q4",
        "other names",
        1.5,
        "with the letters",
        'u, v = sp.symbols("u v")\nD_gan = A * u / (A * u + B * v)',
    ),
    then("q4", "logit", 0.5, "this is the logit", "D_gan = sp.log(A * p / (B * q))"),
    then("q4", "squares", 0, "squared densities", "D_gan = p**2 / (p**2 + q**2)"),
    then(
        "q4",
        "p(x)",
        1.5,
        "functions such as p(x)",
        'x = sp.Symbol("x")\n'
        'P, Q = sp.Function("p")(x), sp.Function("q")(x)\n'
        "D_gan = A * P / (A * P + B * Q)",
    ),
    then("q4", "swapped", 0, "swapped", "D_gan = B * q / (A * p + B * q)"),
    then("q4", "the book's", 1, "weights of the question are missing", "D_gan = p / (p + q)"),
    then("q4", "ratio", 0.5, "ratio", "D_gan = A * p / (B * q)"),
    then("q4", "sign", 0.5, "a sign", "D_gan = A * p / (B * q - A * p)"),
    then("q4", "a half", 0, "1/2 is right only", "D_gan = sp.Rational(1, 2)"),
    then("q4", "stranger", 0, "contains", "D_gan = p / (p + c)"),
    then("q4", "None", 0, "empty", "D_gan = None"),
    then(
        "q4",
        "a tower",
        0,
        "",
        "D_gan = sp.Integer(10) ** sp.Pow(sp.Pow(10, 10, evaluate=False), 10, evaluate=False)",
    ),
    # Question 5, 2 points
    _edit("q5", "halved", 1, "half of it", ("(A * p + B * q)", "(A * p + B * q) / 2")),
    then(
        "q5",
        "a = -1, b = 1",
        0.5,
        "right for a = -1",
        "D_lsgan = (A * p - B * q) / (A * p + B * q)",
    ),
    then("q5", "a = 0, b = 1", 0.5, "GAN's optimum", "D_lsgan = A * p / (A * p + B * q)"),
    then(
        "q5",
        "plain symbols",
        2,
        "",
        'a, b, p, q = sp.symbols("a b p q")\nD_lsgan = (A * b * p + B * a * q) / (A * p + B * q)',
    ),
    then("q5", "swapped", 0, "swapped", "D_lsgan = (A * a * p + B * b * q) / (A * p + B * q)"),
    then("q5", "sign", 0.5, "a sign", "D_lsgan = (A * b * p - B * a * q) / (A * p + B * q)"),
    then("q5", "undivided", 0.5, "divided by the sum", "D_lsgan = A * b * p + B * a * q"),
    then(
        "q5",
        "the book's",
        1,
        "weights of the question are missing",
        "D_lsgan = (b * p + a * q) / (p + q)",
    ),
    then("q5", "midpoint", 0, "midpoint", "D_lsgan = (a + b) / 2"),
    then(
        "q5", "with c", 0, "contains c", "D_lsgan = (A * b * p + B * a * q + c) / (A * p + B * q)"
    ),
    # Question 6, 3 points
    _edit(
        "q6",
        "ten digits",
        3,
        "",
        (
            CONSTANT,
            "constant = round(float(A * sp.log(sp.Rational(A, A + B)) + B * "
            "sp.log(sp.Rational(B, A + B))), 10)",
        ),
    ),
    _edit(
        "q6",
        "float32 tensor",
        3,
        "",
        (
            CONSTANT,
            "constant = A * torch.log(torch.tensor(A / (A + B))) + B * torch.log(torch.tensor(B "
            "/ (A + B)))",
        ),
    ),
    _edit(
        "q6",
        "np.log",
        3,
        "",
        (
            CONSTANT,
            "import numpy as np\nconstant = A * np.log(A / (A + B)) + B * np.log(B / (A + B))",
        ),
    ),
    _edit("q6", "same integral", 3, "", (DIVERGENCE, DIVERGENCE + " + 5 * (p - q)")),
    _edit(
        "q6", "text", 2.5, "a text", (CONSTANT, 'constant = "A*log(A/(A + B)) + B*log(B/(A + B))"')
    ),
    _edit(
        "q6",
        "M not normalised",
        1,
        "divided by the sum of the weights",
        ("/ (A + B)\n", "\n"),
        (CONSTANT, "constant = 0"),
    ),
    _edit(
        "q6",
        "not integrated",
        2.5,
        "Integrate it",
        (
            CONSTANT,
            "constant = A * p * sp.log(sp.Rational(A, A + B)) + B * q * sp.log(sp.Rational(B, A "
            "+ B))",
        ),
    ),
    _edit("q6", "the book's constant", 2, "equal weights", (CONSTANT, "constant = -sp.log(4)")),
    _edit(
        "q6",
        "sign of the constant",
        2,
        "the sign",
        (CONSTANT, CONSTANT.replace("= A", "= -(A") + ")"),
    ),
    _edit("q6", "sign of V", 2.25, "the sign: V", (VALUE, VALUE.replace("= A", "= -(A", 1) + ")")),
    _edit(
        "q6",
        "half of V",
        2,
        "one half is missing",
        (VALUE, "value_integrand = A * p * sp.log(A * p / (A * p + B * q))"),
    ),
    _edit(
        "q6",
        "plain mixture",
        2.25,
        "not the plain mixture",
        ("m = (A * p + B * q) / (A + B)", "m = (p + q) / 2"),
    ),
    _edit(
        "q6",
        "half of the divergence",
        2,
        "KL(Q || M) is absent",
        (DIVERGENCE, "divergence_integrand = A * p * sp.log(p / m)"),
    ),
    _edit(
        "q6",
        "KL turned",
        2.25,
        "not p log(m/p)",
        (DIVERGENCE, "divergence_integrand = A * p * sp.log(m / p) + B * q * sp.log(m / q)"),
    ),
    # Question 7, 3 points
    _edit(
        "q7", "D detach", 2, "for autograd", (SQ, f"{SQ.replace('return ', 'return (')}).detach()")
    ),
    _edit(
        "q7",
        "D numpy",
        2,
        "not a tensor",
        (SQ, f"{SQ.replace('return ', 'return (')}).detach().numpy()"),
    ),
    _edit(
        "q7",
        "mse_loss(f, b)",
        2,
        "torch.full_like",
        (SQ, "return A * F.mse_loss(f_real, b) / 2 + B * F.mse_loss(f_fake, a) / 2"),
    ),
    _edit(
        "q7",
        "0-1 coding",
        1.5,
        "0-1 coding",
        ("f_real - b", "f_real - 1"),
        ("f_fake - a", "f_fake"),
    ),
    _edit(
        "q7",
        "sigmoid",
        1.5,
        "a sigmoid is applied",
        (SQ, "f_real, f_fake = torch.sigmoid(f_real), torch.sigmoid(f_fake)\n    " + SQ),
    ),
    _edit("q7", "argument order", 2, "the order", ("f_fake, a, b)", "f_fake, b, a)")),
    _edit("q7", "c ignored", 2, "target c is not used", ("f_fake - c", "f_fake - 1")),
    _edit(
        "q7", "G item", 2.5, "not a tensor", (SG, f"{SG.replace('return ', 'return (')}).item()")
    ),
    _edit("q7", "no 1/2", 1.5, "factor 1/2", (" / 2", "")),
    _edit("q7", "sum", 1.25, "a sum over the batch", (SQ, SQ.replace("mean", "sum"))),
    _edit(
        "q7",
        "sign",
        1,
        "a squared distance",
        (SQ, SQ.replace("return A", "return -A").replace("+ B", "- B")),
    ),
    _edit(
        "q7",
        "real half only",
        1,
        "generated samples do not count",
        (SQ, "return A * ((f_real - b) ** 2).mean() / 2"),
    ),
    _edit(
        "q7",
        "absolute",
        1,
        "square is missing",
        (SQ, "return A * (f_real - b).abs().mean() / 2 + B * (f_fake - a).abs().mean() / 2"),
    ),
    # Question 8, 4 points
    _edit(
        "q8",
        "bins dropped",
        3,
        "left out",
        (
            "mass = A * p + B * q",
            "keep = (p > 0) & (q > 0)\n    p, q = p[keep], q[keep]\n    mass = A * p + B * q",
        ),
    ),
    _edit(
        "q8",
        "closed form",
        3,
        "sum to one",
        (
            "    return (mass * (d_star - c) ** 2).sum()",
            "    delta = ((p - q) ** 2 / torch.where(mass > 0, mass, 1.0)).sum()\n"
            "    return (A * b + B * a - (A + B) * c) ** 2 / (A + B) + (b - a) ** 2 * (A * B / "
            "(A + B)) ** 2 * delta",
        ),
    ),
    _edit("q8", "mean", 2, "a mean over the bins", (".sum()", ".mean()")),
    _edit(
        "q8",
        "nan_to_num",
        4,
        "",
        ("torch.where(mass > 0, mass, 1.0)", "mass"),
        ("(d_star - c)", "(d_star.nan_to_num() - c)"),
    ),
    _edit(
        "q8",
        "a, b exchanged",
        2.5,
        "a and b are exchanged",
        ("A * b * p + B * a * q", "A * a * p + B * b * q"),
    ),
    _edit(
        "q8",
        "k0, k1 exchanged",
        2,
        "exchanged",
        ("k0 =", "kx ="),
        ("k1 =", "k0 ="),
        ("kx =", "k1 ="),
    ),
    _edit(
        "q8",
        "sign of c",
        3,
        "sign of c",
        ("- (A + B) * c) ** 2 / (A + B)\nk1", "+ (A + B) * c) ** 2 / (A + B)\nk1"),
    ),
    _edit("q8", "factor of k1 missing", 3, "factor in front", (K1, "k1 = (b - a) ** 2")),
    _edit("q8", "1/4", 3, "equal weights", (K1, "k1 = (b - a) ** 2 / 4")),
    _edit(
        "q8",
        "halves",
        1,
        "no factor 1/2",
        ("** 2 / (A + B)\n", "** 2 / (A + B) / 2\n"),
        (K1, K1 + " / 2"),
        (".sum()", ".sum() / 2"),
    ),
    _edit("q8", "0/0", 3, "0/0", ("torch.where(mass > 0, mass, 1.0)", "mass")),
    # Question 9, 3 points
    then(
        "q9",
        "sample means",
        1,
        "from the means of the samples",
        "import math\n"
        "def fit_discriminator(generator, mean_real, mean_fake, n=4096):\n"
        "    r = (mean_real + torch.randn(n, generator=generator)).mean().item()\n"
        "    f = (mean_fake + torch.randn(n, generator=generator)).mean().item()\n"
        "    return r - f, (f * f - r * r) / 2 + math.log(A / B)",
    ),
    then(
        "q9",
        "paper and noise",
        0.5,
        "",
        "import math\n"
        "def fit_discriminator(generator, mean_real, mean_fake, n=4096):\n"
        "    noise = 1e-3 * torch.randn(2, generator=generator)\n"
        "    return mean_real - mean_fake + noise[0].item(), (mean_fake**2 - mean_real**2) / "
        "2 + math.log(A / B) + noise[1].item()",
    ),
    then(
        "q9",
        "paper",
        0,
        "line on paper",
        "import math\n"
        "def fit_discriminator(generator, mean_real, mean_fake, n=4096):\n"
        "    return mean_real - mean_fake, (mean_fake**2 - mean_real**2) / 2 + math.log(A / "
        "B)",
    ),
    _edit("q9", "too small a step", 1.5, "Train longer", ("lr=0.1", "lr=0.001")),
    _edit(
        "q9",
        "offset not trained",
        1.5,
        "offset is not trained",
        ("w, t = line", "w, t = line[0], 0.0"),
    ),
    _edit(
        "q9",
        "exchanged",
        2,
        "slope and offset are exchanged",
        (BACK, "return line[1].item(), line[0].item()"),
    ),
    _edit(
        "q9",
        "manual_seed inside",
        2,
        "global random state",
        ("    real =", "    torch.manual_seed(0)\n    real ="),
    ),
    _edit(
        "q9",
        "swapped",
        1.5,
        "swapped",
        ("(w * real + t, w * fake + t)", "(-(w * real + t), -(w * fake + t))"),
    ),
    _edit(
        "q9",
        "generator ignored",
        0,
        "same seed gave two different lines",
        ("generator=generator", "generator=None"),
    ),
    _edit(
        "q9",
        "fixed seed",
        0,
        "two seeds gave the same line",
        ("    real =", "    generator = torch.Generator().manual_seed(0)\n    real ="),
    ),
    _edit(
        "q9",
        "the book's weights",
        2,
        "weights of the question are missing",
        (
            "discriminator_loss_from_logits(w * real + t, w * fake + t)",
            "F.softplus(-(w * real + t)).mean() + F.softplus(w * fake + t).mean()",
        ),
    ),
]

ANSWERS = Answers(
    "the-game",
    {
        "plain": lambda assignment, _: cells(assignment.k, PLAIN),
        "own": lambda assignment, _: cells(assignment.k, OWN),
    },
    lambda assignment, m: cells(assignment.k, {**PLAIN, m.question: m.code}),
    lambda k: [cells(k, {})[0], weights("p, q = 1, 2", k)],
    MISTAKES,
    accepted=frozenset(
        {
            ("q2", "float64 result"),
            ("q4", "Eq"),
            ("q4", "list of solve"),
            ("q5", "plain symbols"),
            ("q6", "ten digits"),
            ("q6", "float32 tensor"),
            ("q6", "np.log"),
            ("q6", "same integral"),
            ("q8", "nan_to_num"),
        }
    ),
)
