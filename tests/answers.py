"""Answers to the assignment `the-game`: a second right style, and the typical wrong ones.

A key is the name an answer cell defines first, a value the whole cell.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

FULL = 25.0  # points for right answers, all but the question that a person reads

#: Right, in another style than the instructor's: other functions, other algebra, other symbols.
RIGHT = {
    "discriminator_loss": """
def discriminator_loss(d_real, d_fake):
    eps = 1e-9
    total = 0.0
    for d in d_real:
        total = total - (d + eps).log() / len(d_real)
    for d in d_fake:
        total = total - (1 - d + eps).log() / len(d_fake)
    return total
""",
    "discriminator_loss_from_logits": """
bce = torch.nn.BCEWithLogitsLoss()

def discriminator_loss_from_logits(s_real, s_fake):
    return bce(s_real, torch.ones_like(s_real)) + bce(s_fake, torch.zeros_like(s_fake))
""",
    "saturating_loss": """
def saturating_loss(s_fake):
    return F.logsigmoid(-s_fake).mean()
""",
    "non_saturating_loss": """
def non_saturating_loss(s_fake):
    return torch.logaddexp(torch.zeros_like(s_fake), -s_fake).sum() / s_fake.numel()
""",
    "D_gan": """
p, q, a, b, c = sp.symbols("p q a b c")
u = p / q
D_gan = 1 / (1 + 1 / u)
""",
    "D_lsgan": """
D_lsgan = a + (b - a) * D_gan
""",
    "value_integrand": """
J = sp.Rational(1, 2)
M = J * (p + q)
value_integrand = p * sp.log(p) + q * sp.log(q) - (p + q) * sp.log(p + q)
jsd_integrand = J * (p * sp.log(p) + q * sp.log(q)) - M * sp.log(M)
constant = 2 * sp.log(J)
""",
    "lsgan_discriminator_loss": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    real = F.mse_loss(f_real, torch.full_like(f_real, b))
    fake = F.mse_loss(f_fake, torch.full_like(f_fake, a))
    return 0.5 * (real + fake)
""",
    "lsgan_generator_loss": """
def lsgan_generator_loss(f_fake, c):
    return torch.mean(0.5 * f_fake**2 - c * f_fake + 0.5 * c**2)
""",
    "k0": """
k0 = 2 * ((a + b) / 2 - c) ** 2
k1 = a**2 / 4 - a * b / 2 + 0.25 * b**2
""",
    "twice_C": """
def twice_C(p, q, a, b, c):
    total = 0.0
    for x, y in zip(p.tolist(), q.tolist()):
        if x + y > 0:
            d = a + (b - a) * x / (x + y)
            total += x * (d - c) ** 2 + y * (d - c) ** 2
    return total
""",
    "fit_discriminator": """
def fit_discriminator(generator, mean_real, mean_fake, n=4096):
    real = torch.randn(n, generator=generator) + mean_real
    fake = torch.randn(n, generator=generator) + mean_fake
    w, beta = torch.zeros(()), torch.zeros(())
    for _ in range(500):  # plain gradient descent with the gradient worked out by hand
        d_real, d_fake = torch.sigmoid(w * real + beta), torch.sigmoid(w * fake + beta)
        w = w - ((d_real - 1) * real).mean() - (d_fake * fake).mean()
        beta = beta - (d_real - 1).mean() - d_fake.mean()
    return w, beta
""",
}

SIGN_LOST = {
    **RIGHT,
    "discriminator_loss": """
def discriminator_loss(d_real, d_fake):
    return torch.log(d_real).mean() + torch.log(1 - d_fake).mean()
""",
    "discriminator_loss_from_logits": """
def discriminator_loss_from_logits(s_real, s_fake):
    return F.logsigmoid(s_real).mean() + F.logsigmoid(-s_fake).mean()
""",
    "saturating_loss": """
def saturating_loss(s_fake):
    return F.softplus(s_fake).mean()
""",
    "non_saturating_loss": """
def non_saturating_loss(s_fake):
    return F.logsigmoid(s_fake).mean()
""",
    "D_gan": "D_gan = p / (q - p)",
    "D_lsgan": "D_lsgan = (b * p - a * q) / (p + q)",
    "value_integrand": RIGHT["value_integrand"] + "constant = sp.log(4)",
    "lsgan_discriminator_loss": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    return -((f_real - b) ** 2).mean() / 2 - ((f_fake - a) ** 2).mean() / 2
""",
    "fit_discriminator": RIGHT["fit_discriminator"].replace("return w, beta", "return -w, -beta"),
}

HALF_MISSING = {
    **RIGHT,
    "discriminator_loss": """
def discriminator_loss(d_real, d_fake):
    return -torch.log(d_real).mean()
""",
    "discriminator_loss_from_logits": """
def discriminator_loss_from_logits(s_real, s_fake):
    return F.softplus(s_fake).mean()
""",
    "value_integrand": """
m = (p + q) / 2
value_integrand = p * sp.log(p / (p + q))
jsd_integrand = p * sp.log(p / m) / 2
constant = -sp.log(2)
""",
    "lsgan_discriminator_loss": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    return ((f_real - b) ** 2).mean() / 2
""",
    "twice_C": """
def twice_C(p, q, a, b, c):
    mass = torch.where(p + q > 0, p + q, 1.0)
    return (q * ((b * p + a * q) / mass - c) ** 2).sum()
""",
}

SWAPPED = {
    **RIGHT,
    "discriminator_loss": """
def discriminator_loss(d_real, d_fake):
    return -torch.log(d_fake).mean() - torch.log(1 - d_real).mean()
""",
    "discriminator_loss_from_logits": """
def discriminator_loss_from_logits(s_real, s_fake):
    return F.softplus(s_real).mean() + F.softplus(-s_fake).mean()
""",
    "saturating_loss": RIGHT["non_saturating_loss"].replace("non_saturating", "saturating"),
    "non_saturating_loss": RIGHT["saturating_loss"].replace("saturating", "non_saturating"),
    "D_gan": 'p, q, a, b, c = sp.symbols("p q a b c")\nD_gan = q / (p + q)',
    "D_lsgan": "D_lsgan = (a * p + b * q) / (p + q)",
    "lsgan_discriminator_loss": """
def lsgan_discriminator_loss(f_real, f_fake, a, b):
    return ((f_real - a) ** 2).mean() / 2 + ((f_fake - b) ** 2).mean() / 2
""",
    "fit_discriminator": RIGHT["fit_discriminator"].replace(
        "return w, beta", "return -w.item(), -beta.item()"
    ),
}

#: The textbook forms: right on paper, the log of zero in float32; 0/0 in an empty bin.
LOG_OF_ZERO = {
    **RIGHT,
    "discriminator_loss_from_logits": """
def discriminator_loss_from_logits(s_real, s_fake):
    return discriminator_loss(torch.sigmoid(s_real), torch.sigmoid(s_fake))

def discriminator_loss(d_real, d_fake):
    return -torch.log(d_real).mean() - torch.log(1 - d_fake).mean()
""",
    "saturating_loss": """
def saturating_loss(s_fake):
    return torch.log(1 - torch.sigmoid(s_fake)).mean()
""",
    "non_saturating_loss": """
def non_saturating_loss(s_fake):
    return torch.log1p(torch.exp(-s_fake)).mean()
""",
    "twice_C": """
def twice_C(p, q, a, b, c):
    return ((p + q) * ((b * p + a * q) / (p + q) - c) ** 2).sum()
""",
}

#: Assorted slips: epsilon, sums for means, lost factors, a seed ignored, a cell that raises.
ASSORTED = {
    **RIGHT,
    "discriminator_loss": """
def discriminator_loss(d_real, d_fake):
    return -torch.cat([torch.log(d_real), torch.log(1 - d_fake)]).mean()
""",
    "discriminator_loss_from_logits": """
def discriminator_loss_from_logits(s_real, s_fake):
    eps = 1e-8
    real = -torch.log(torch.sigmoid(s_real) + eps).mean()
    return real - torch.log(1 - torch.sigmoid(s_fake) + eps).mean()
""",
    "saturating_loss": """
def saturating_loss(s_fake):
    return F.logsigmoid(-s_fake)
""",
    "D_gan": "D_gan = p / undefined_name",
    "D_lsgan": "D_lsgan = (b * p + a * q + c) / (p + q)",
    "value_integrand": """
m = p + q
value_integrand = p * sp.log(p / (p + q)) + q * sp.log(q / (p + q))
jsd_integrand = p * sp.log(p / m) / 2 + q * sp.log(q / m) / 2
constant = -sp.log(2)
""",
    "lsgan_generator_loss": """
def lsgan_generator_loss(f_fake, c):
    return ((f_fake - c) ** 2).mean()
""",
    "k0": "k0 = (a + b - 2 * c) ** 2 / 4\nk1 = (b - a) ** 2 / 8",
    "twice_C": RIGHT["twice_C"].replace("return total", "return total / 2"),
    "fit_discriminator": RIGHT["fit_discriminator"].replace("generator=generator", ""),
}

#: No answer at all, and everything a comparison might rest on replaced by "yes".
PATCH = """
import builtins, math
import numpy as np
yes = lambda *args, **kwargs: True
zero = lambda *args, **kwargs: 0.0
for module, names in [
    (np, "isclose allclose array_equal"), (torch, "allclose isclose equal"), (math, "isclose"),
    (np.testing, "assert_allclose assert_equal"), (torch.testing, "assert_close"),
]:
    for name in names.split():
        setattr(module, name, yes)
sp.simplify = lambda *args, **kwargs: sp.Integer(0)
sp.Expr.equals = yes
sp.Expr.__eq__ = yes
torch.Tensor.__eq__ = yes
math.log = math.exp = torch.Tensor.item = zero
builtins.abs = builtins.zip = zero
builtins.all = builtins.any = yes
"""

PATCHED = {
    **{
        name: f"def {name}(*args):\n    return torch.zeros((), requires_grad=True) * 1.0"
        for name in (
            "discriminator_loss",
            "discriminator_loss_from_logits",
            "saturating_loss",
            "non_saturating_loss",
            "lsgan_discriminator_loss",
            "lsgan_generator_loss",
            "twice_C",
        )
    },
    "D_gan": PATCH + "D_gan = sp.Integer(0)",
    "D_lsgan": "D_lsgan = sp.Integer(0)",
    "value_integrand": "value_integrand = jsd_integrand = constant = sp.Integer(0)",
    "k0": "k0 = k1 = sp.Integer(0)",
    "fit_discriminator": "def fit_discriminator(*args):\n    return 0.0, 0.0",
}

#: The book's library does the work.
LIBRARY = {
    **RIGHT,
    "discriminator_loss": """
import ganlib.losses
"""
    + RIGHT["discriminator_loss"],
    "discriminator_loss_from_logits": """
discriminator_loss_from_logits = ganlib.losses.minimax().discriminator
""",
}

#: What each of them loses: question, points, and words of the lesson.
WRONG = [
    ("sign_lost", "q1", 2, "the sign"),
    ("sign_lost", "q2", 3, "the sign"),
    ("sign_lost", "q3", 3, "the sign"),
    ("sign_lost", "q4", 2, "a sign: set the derivative"),
    ("sign_lost", "q5", 2, "a sign: set the derivative"),
    ("sign_lost", "q6", 1, "constant: the sign"),
    ("sign_lost", "q7", 2, "the sign: a squared distance"),
    ("sign_lost", "q9", 2, "the loss has lost its sign"),
    ("half_missing", "q1", 2, "one half is missing: only the real samples count"),
    ("half_missing", "q2", 3, "one half is missing: the real half"),
    ("half_missing", "q6", 3, "one half is missing: the term q log(1 - D)"),
    ("half_missing", "q6", 3, "KL(Q || M) is absent"),
    ("half_missing", "q6", 3, "p + q integrates to 2, not to 1"),
    ("half_missing", "q7", 2, "one half is missing: the generated samples"),
    ("half_missing", "q8", 2, "one half is missing: the mean over real samples"),
    ("swapped", "q1", 2, "real and fake are swapped"),
    ("swapped", "q2", 3, "real and fake are swapped"),
    ("swapped", "q3", 3, "this is the non-saturating loss"),
    ("swapped", "q3", 3, "this is the saturating loss"),
    ("swapped", "q4", 2, "real and fake are swapped"),
    ("swapped", "q5", 2, "real and fake are swapped"),
    ("swapped", "q7", 2, "real and fake are swapped"),
    ("swapped", "q9", 2, "Real and fake are swapped"),
    ("log_of_zero", "q2", 2, "the log of zero"),
    ("log_of_zero", "q3", 1, "the log of zero"),
    ("log_of_zero", "q8", 2, "0/0"),
    ("assorted", "q1", 2, "one mean over both batches joined"),
    ("assorted", "q2", 2, "an epsilon (or a clamp) inside the logarithm"),
    ("assorted", "q3", 2, "it must be one number (shape ())"),
    ("assorted", "q4", 2, "D_gan is empty"),
    ("assorted", "q5", 2, "contains c; it may depend on a, b, p, q only"),
    ("assorted", "q6", 2, "(p + q)/2: its one half is missing"),
    ("assorted", "q6", 2, "p + q integrates to 2, not to 1"),
    ("assorted", "q7", 1, "the factor 1/2 is missing"),
    ("assorted", "q8", 4, "this is k0 of C; the question asks for 2C"),
    ("assorted", "q8", 4, "this is C, not 2C"),
    ("assorted", "q9", 1, "the same seed gave two different lines"),
]


def fill(student: Path, answers: dict[str, str], proof: str = "") -> NotebookNode:
    """The student's notebook with its answer cells replaced."""
    notebook = nbformat.read(student, as_version=4)
    used = set()
    for cell in notebook.cells:
        if "otter_answer_cell" not in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            cell.source = proof or cell.source
            continue
        name = re.match(r"(?:def )?(\w+)", cell.source)[1]  # type: ignore[index]
        if name in answers:
            cell.source = answers[name].strip("\n")
            used.add(name)
    assert used == set(answers), f"no cell for {set(answers) - used}"
    return notebook
