"""Answers to `fifty-lines`: two right styles, and the wrong ones with what they deserve.

``LATENT``, ``STEPS_D``, ``TARGET``, ``POWER`` stand for the constants of the variant.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, Mistake, edited, filled

from tools.grader.questions import Constants

HEAD = """
import math
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
def network(n_in, n_out, hidden=32):
    return nn.Sequential(
        nn.Linear(n_in, hidden), nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, n_out))
"""

PLAIN = {
    "q1": """
def energy_distance(x, y):
    mean = lambda a, b: (torch.cdist(a, b) ** POWER).mean()
    return (2 * mean(x, y) - mean(x, x) - mean(y, y)).item()
""",
    "q2": """
def discriminator_step(G, D, optimiser, real, generator):
    z = torch.randn(len(real), LATENT, generator=generator)
    fake = G(z).detach()
    s, t = D(real), D(fake)
    loss = (TARGET * F.softplus(-s) + (1 - TARGET) * F.softplus(s)).mean() + F.softplus(t).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
""",
    "q3": """
def generator_step(G, D, optimiser, n, generator):
    z = torch.randn(n, LATENT, generator=generator)
    loss = F.softplus(-D(G(z))).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
""",
    "q4": """
def train(points, steps, seed):
    torch.manual_seed(seed)
    G, D = network(LATENT, 2), network(2, 1)
    adam_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    adam_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    generator = torch.Generator().manual_seed(seed)
    curve = []
    for step in range(steps):
        for _ in range(STEPS_D):
            rows = torch.randint(len(points), (64,), generator=generator)
            loss_D = discriminator_step(G, D, adam_D, points[rows], generator)
        loss_G = generator_step(G, D, adam_G, 64, generator)
        curve.append((loss_D, loss_G))
    return G, curve
""",
    "q5": """
def score(train, points, fresh, steps, seeds):
    found = []
    for seed in seeds:
        G, _ = train(points, steps, seed)
        z = torch.randn(len(fresh), LATENT, generator=torch.Generator().manual_seed(seed))
        found.append(energy_distance(G(z).detach(), fresh))
    return min(found), sorted(found)[len(found) // 2], max(found)
""",
    "q6": """
def walk(G, z0, z1, n):
    angle = torch.linspace(0, math.pi / 2, n)[:, None]
    with torch.no_grad():
        return G(torch.cos(angle) * z0 + torch.sin(angle) * z1)
""",
    "q7": """
best_D = TARGET / 2
level = -TARGET * math.log(best_D) - (2 - TARGET) * math.log(1 - best_D)
""",
}

#: Loops, labels with BCE, frozen players, arrays where lists were, a grid search for the optimum.
OWN = {
    "q1": """
def energy_distance(x, y):
    def mean(a, b):
        lengths = [math.dist(u, v) for u in a.tolist() for v in b.tolist()]
        return sum(r**POWER for r in lengths) / len(lengths)
    return 2 * mean(x, y) - mean(x, x) - mean(y, y)
""",
    "q2": """
bce = nn.BCEWithLogitsLoss()
def discriminator_step(G, D, optimiser, real, generator):
    D.zero_grad(set_to_none=True)
    with torch.no_grad():
        fake = G(torch.randn((real.shape[0], LATENT), generator=generator))
    s = D(real)
    (loss_real := bce(s, torch.full_like(s, TARGET))).backward()
    t = D(fake)
    (loss_fake := bce(t, torch.zeros_like(t))).backward()
    optimiser.step()
    return float(loss_real + loss_fake)
""",
    "q3": """
def generator_step(G, D, optimiser, n, generator):
    D.requires_grad_(False)
    loss = -F.logsigmoid(D(G(torch.randn(n, LATENT, generator=generator)))).mean()
    G.zero_grad()
    loss.backward()
    optimiser.step()
    D.requires_grad_(True)
    return loss.detach()
""",
    "q4": """
def train(points, steps, seed):
    generator = torch.manual_seed(seed)
    D, G = network(2, 1), network(LATENT, 2)
    make = lambda player: torch.optim.Adam(player.parameters(), 1e-3, (0.5, 0.999))
    optimisers = make(G), make(D)
    curve = np.zeros((steps, 2))
    for i in range(steps):
        for _ in range(STEPS_D):
            batch = points[torch.randperm(len(points), generator=generator)[:64]]
            curve[i, 0] = discriminator_step(G, D, optimisers[1], batch, generator)
        curve[i, 1] = generator_step(G, D, optimisers[0], 64, generator)
    return G, curve
""",
    "q5": """
def score(train, points, fresh, steps, seeds):
    def one(seed):
        G = train(points, steps, seed)[0]
        noise = torch.Generator().manual_seed(seed)
        z = torch.randn(fresh.shape[0], LATENT, generator=noise)
        return energy_distance(G(z).detach(), fresh)
    values = torch.tensor([one(seed) for seed in seeds], dtype=torch.float64)
    return [values.min(), values.median(), values.max()]
""",
    "q6": """
def walk(G, z0, z1, n):
    points = []
    for i in range(n):
        phi = i / (n - 1) * math.pi / 2
        points.append(G((math.cos(phi) * z0 + math.sin(phi) * z1)[None])[0])
    return torch.stack(points).detach()
""",
    "q7": """
entropy = lambda d: -d * math.log(d) - (1 - d) * math.log(1 - d)
best_D = torch.tensor(TARGET / 2, dtype=torch.float64)
level = 2 * entropy(TARGET / 2)
""",
}


def fill(code: str, k: Constants) -> str:
    """The code with the variant's constants."""
    values = {"LATENT": k.latent, "STEPS_D": k.k, "TARGET": k.target, "POWER": k.power}
    return filled(code, values)


def cells(k: Constants, answers: dict[str, str]) -> list[str]:
    """A notebook's code cells; a question without an answer has none."""
    return [HEAD, *(fill(answers[name], k) for name in PLAIN if answers.get(name))]


MEANS = "2 * mean(x, y) - mean(x, x) - mean(y, y)"
D_LOSS = "(TARGET * F.softplus(-s) + (1 - TARGET) * F.softplus(s)).mean() + F.softplus(t).mean()"
ROWS = "            rows = torch.randint(len(points), (64,), generator=generator)\n"
_edit = partial(edited, PLAIN)
MISTAKES = [
    # Question 1, 2 points
    _edit("q1", "mixed pairs only", 0, "within each sample are missing", (MEANS, "2 * mean(x, y)")),
    _edit("q1", "mixed once", 0.5, "count twice", ("2 * mean(x, y)", "mean(x, y)")),
    _edit("q1", "no exponent", 1, "exponent of the question", (" ** POWER", "")),
    _edit("q1", "squares", 0, "squared distances", ("** POWER", "** 2")),
    _edit("q1", "root", 1, "the square root", (f"({MEANS})", f"({MEANS}).sqrt()")),
    _edit("q1", "sign", 0.5, "the sign", (f"({MEANS})", f"(-({MEANS}))")),
    _edit(
        "q1", "Manhattan", 0.5, "sum of squares", ("torch.cdist(a, b)", "torch.cdist(a, b, p=1)")
    ),
    _edit("q1", "empty", 0, "returns nothing", ("return", "...  #")),
    # Question 2, 4 points
    _edit("q2", "no zero_grad", 3, "zero_grad", ("    optimiser.zero_grad()\n", "")),
    _edit("q2", "no detach", 3.25, "not detached", (".detach()", "")),
    _edit(
        "q2",
        "no smoothing",
        2.5,
        "smoothing of the question",
        (D_LOSS, "F.softplus(-s).mean() + F.softplus(t).mean()"),
    ),
    _edit(
        "q2",
        "noise made once",
        1.5,
        "does not draw from the generator",
        ("def disc", "Z = torch.randn(99, LATENT)\ndef disc"),
        ("torch.randn(len(real), LATENT, generator=generator)", "Z[:len(real)]"),
    ),
    _edit(
        "q2",
        "seed inside",
        1.5,
        "does not draw from the generator",
        ("    z =", "    generator = torch.Generator().manual_seed(0)\n    z ="),
    ),
    _edit(
        "q2",
        "swapped",
        1.5,
        "real and fake are swapped",
        ("s, t = D(real), D(fake)", "t, s = D(real), D(fake)"),
    ),
    _edit("q2", "no step", 0.75, "nothing has moved", ("    optimiser.step()\n", "")),
    _edit("q2", "uphill", 1.5, "uphill", ("loss.backward()", "(-loss).backward()")),
    _edit("q2", "sum", 2.5, "a sum over the batch", (".mean()", ".sum()")),
    _edit(
        "q2",
        "sigmoid",
        1.5,
        "a sigmoid too many",
        ("D(real), D(fake)", "D(real).sigmoid(), D(fake).sigmoid()"),
    ),
    _edit(
        "q2",
        "moves G",
        3,
        "changes the weights of G",
        (
            "    return",
            "    with torch.no_grad():\n        [p.mul_(0.99) for p in G.parameters()]\n    return",
        ),
    ),
    _edit("q2", "graph kept", 3.75, "with its graph", ("loss.item()", "loss")),
    _edit("q2", "nothing returned", 3, "returns nothing", ("    return loss.item()\n", "")),
    # Question 3, 4 points
    _edit("q3", "no zero_grad", 3, "zero_grad", ("    optimiser.zero_grad()\n", "")),
    _edit("q3", "detached", 0.75, "", ("D(G(z))", "D(G(z).detach())")),
    _edit(
        "q3",
        "saturating",
        2,
        "saturating loss",
        ("F.softplus(-D(G(z))).mean()", "-F.softplus(D(G(z))).mean()"),
    ),
    _edit("q3", "-log(1 - D)", 1.5, "learns to be found out", ("-D(G(z))", "D(G(z))")),
    _edit(
        "q3",
        "G step changes D",
        3,
        "changes the weights of D",
        (
            "    optimiser.step()\n",
            "    optimiser.step()\n    torch.optim.SGD(D.parameters(), lr=0.1).step()\n",
        ),
    ),
    _edit(
        "q3",
        "D stays frozen",
        3.25,
        "must be thawed",
        ("    z =", "    D.requires_grad_(False)\n    z ="),
    ),
    _edit("q3", "sum", 2.5, "a sum over the batch", (".mean()", ".sum()")),
    _edit(
        "q3",
        "noise made once",
        1.5,
        "does not draw from the generator",
        ("def gen", "Z = torch.randn(99, LATENT)\ndef gen"),
        ("torch.randn(n, LATENT, generator=generator)", "Z[:n]"),
    ),
    _edit(
        "q3",
        "two steps",
        2.5,
        "twice as far",
        ("    optimiser.step()\n", "    optimiser.step()\n    optimiser.step()\n"),
    ),
    # Question 4, 6 points
    _edit("q4", "one step of D", 5, "one step of D for one of G", ("range(STEPS_D)", "range(1)")),
    _edit(
        "q4",
        "one batch",
        5,
        "used more than once",
        (ROWS, ""),
        ("    curve = []\n", "    curve = []\n" + ROWS[8:]),
    ),
    _edit(
        "q4",
        "optimiser of both",
        4.25,
        "other weights than those of its player",
        ("Adam(G.parameters()", "Adam([*G.parameters(), *D.parameters()]"),
    ),
    _edit(
        "q4", "seed ignored", 5, "two seeds gave the same", ("seed):\n", "seed):\n    seed = 0\n")
    ),
    _edit(
        "q4", "no seed", 5, "same seed gave two different", ("    torch.manual_seed(seed)\n", "")
    ),
    _edit("q4", "far too slow", 3, "energy distances to fresh data", ("lr=1e-3", "lr=1e-6")),
    _edit(
        "q4",
        "new optimisers",
        5,
        "made anew",
        (
            "    for step in range(steps):\n",
            "    for step in range(steps):\n        adam_D = torch.optim.Adam(\n"
            "            D.parameters(), lr=1e-3, betas=(0.5, 0.999))\n",
        ),
    ),
    _edit(
        "q4", "usual betas", 5.5, "betas=(0.5, 0.999)", ("lr=1e-3, betas=(0.5, 0.999)", "lr=1e-3")
    ),
    _edit("q4", "pair exchanged", 5.5, "in this order", ("(loss_D, loss_G)", "(loss_G, loss_D)")),
    _edit("q4", "small batches", 5, "a batch has 64", ("(64,)", "(16,)")),
    _edit("q4", "no curve", 0, "must return G and the curve", ("return G, curve", "return G")),
    _edit(
        "q4",
        "empty curve",
        5.5,
        "one entry for each step",
        ("        curve.append((loss_D, loss_G))\n", ""),
    ),
    # Question 5, 3 points
    _edit(
        "q5",
        "training points",
        0.75,
        "a generator that repeats them",
        ("detach(), fresh)", "detach(), points)"),
    ),
    _edit("q5", "one seed", 0, "one seed only", ("in seeds:", "in seeds[:1]:")),
    _edit(
        "q5",
        "last seed",
        0,
        "one seed only, the last",
        (
            "found.append(energy_distance(G(z).detach(), fresh))",
            "found = [energy_distance(G(z).detach(), fresh)]",
        ),
    ),
    _edit(
        "q5",
        "mean",
        1.5,
        "the middle number is the mean",
        ("sorted(found)[len(found) // 2]", "sum(found) / len(found)"),
    ),
    _edit(
        "q5",
        "order",
        2.25,
        "the order",
        ("return min(found)", "return max(found)"),
        (", max(found)", ", min(found)"),
    ),
    _edit(
        "q5",
        "same noise",
        1.5,
        "same noise for every seed",
        ("manual_seed(seed)", "manual_seed(0)"),
    ),
    _edit(
        "q5",
        "global noise",
        0.75,
        "the same seeds",
        (", generator=torch.Generator().manual_seed(seed)", ""),
    ),
    _edit("q5", "own seeds", 1.5, "not those passed in", ("in seeds:", "in range(len(seeds)):")),
    # Question 6, 2 points
    _edit(
        "q6",
        "straight line",
        0.75,
        "half the variance",
        ("torch.cos(angle) * z0 + torch.sin(angle) * z1", "z0 + (z1 - z0) * angle / (math.pi / 2)"),
    ),
    _edit("q6", "latents", 0.75, "put them through G", ("return G(", "return (")),
    _edit(
        "q6",
        "reversed",
        1.25,
        "from z1 to z0",
        ("* z0 + torch.sin(angle) * z1", "* z1 + torch.sin(angle) * z0"),
    ),
    _edit("q6", "end point missing", 1.25, "n - 1 gaps", ("n)[:, None]", "n + 1)[:-1, None]")),
    _edit("q6", "angle to pi", 0.75, "ends at -z0", ("math.pi / 2", "math.pi")),
    _edit("q6", "graph", 1.5, "carries its graph", ("torch.no_grad()", "torch.enable_grad()")),
    _edit("q6", "empty", 0, "returns nothing", ("return G(", "G(")),
    # Question 7, 2 points
    Mistake("q7", "no smoothing", "best_D, level = 0.5, math.log(4)", 0.5, "without smoothing"),
    _edit(
        "q7",
        "half the level",
        1.5,
        "half of it",
        (
            "level = -TARGET * math.log(best_D) - (2 - TARGET) * math.log(1 - best_D)",
            "level = (-TARGET * math.log(best_D) - (2 - TARGET) * math.log(1 - best_D)) / 2",
        ),
    ),
    _edit(
        "q7",
        "sign",
        1.5,
        "the sign",
        ("level = -TARGET * math.log(best_D) -", "level = TARGET * math.log(best_D) +"),
    ),
    _edit(
        "q7",
        "of a fake",
        1.5,
        "the probability of a fake",
        ("best_D = TARGET / 2", "best_D = 1 - TARGET / 2"),
        ("math.log(best_D)", "math.log(TARGET / 2)"),
        ("1 - best_D)", "1 - TARGET / 2)"),
    ),
    Mistake(
        "q7",
        "the target",
        "best_D = TARGET\nlevel = -TARGET * math.log(TARGET) - (1 - TARGET) * math.log(1 - TARGET)",
        0.5,
        "the fakes are missing",
    ),
    Mistake("q7", "text", 'best_D = level = "t/2"', 0, "it must be one number"),
]


ANSWERS = Answers(
    "fifty-lines",
    {
        "plain": lambda assignment, _: cells(assignment.k, PLAIN),
        "own": lambda assignment, _: cells(assignment.k, OWN),
    },
    lambda assignment, m: cells(assignment.k, {**PLAIN, m.question: m.code}),
    lambda k: [HEAD],
    MISTAKES,
    long=frozenset({"near_the_data"}),
    trained=frozenset({"far too slow", "no curve"}),
)
