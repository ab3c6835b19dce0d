"""Answers to `images-and-labels`: a second right style, and wrong ones with what they deserve.

``CLASSES``, ``LATENT``, ``KERNEL``, ``DILATION``, ``TOP`` and ``FACTOR`` stand for the constants of
the variant. The first right style is the instructor's edition itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from asking_here import Answers, Mistake, filled, in_capitals, solution, source

from tools.grader import editions, marking
from tools.grader.marking import Assignment
from tools.grader.questions import Constants

#: Loops, floats, other layers, arrays, other algebra.
OWN = {
    "q1": """
def conv_side(n, stride, padding):
    first, count = -padding, 0
    while first + DILATION * (KERNEL - 1) <= n + padding - 1:
        first, count = first + stride, count + 1
    return count
def painted_side(n, stride, padding, extra):
    last = (n - 1) * stride - padding + DILATION * (KERNEL - 1)
    return torch.tensor(last + 1 - padding + extra)
""",
    "q2": """
class Net(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.first = nn.Linear(LATENT, 2 * w * 4, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(2 * w), nn.BatchNorm2d(w)
        self.second = nn.ConvTranspose2d(2 * w, w, kernel_size=4, stride=2, padding=1, bias=False)
        self.third = nn.ConvTranspose2d(w, 1, kernel_size=4, stride=2, padding=1)
        self.w = w
    def forward(self, z):
        x = self.first(z).reshape(-1, 2 * self.w, 2, 2)
        x = torch.relu(self.norm1(x))
        x = torch.relu(self.norm2(self.second(x)))
        return torch.tanh(self.third(x))
def generator(w):
    return Net(w)
count = 32 * w**2 + (8 * LATENT + 22) * w + 1
""",
    "q3": """
def to_tanh(values):
    return (values - TOP / 2) / (TOP / 2)
def to_values(x):
    return torch.floor((x + 1) * TOP / 2 + 0.5).long()
""",
    "q4": """
def projection_logit(h, y, w, b, E):
    return torch.stack([torch.dot(v, w) + b + FACTOR * torch.dot(v, E[c]) for v, c in zip(h, y)])
def joined_logit(h, y, w, b):
    n = h.shape[1]
    return F.linear(h, w[None, :n])[:, 0] + w[n:][y] + b
def interaction_share(s):
    s = s.double()
    s = s - s.mean()
    total = s.square().sum()
    a, b = s.mean(dim=1), s.mean(dim=0)
    explained = s.shape[1] * a.square().sum() + s.shape[0] * b.square().sum()
    return (1 - explained / total).item()
""",
    "q5": """
def kappa(asked, read):
    n = len(asked)
    p = sum(i == j for i, j in zip(asked.tolist(), read.tolist())) / n
    e = sum(asked.tolist().count(c) * read.tolist().count(c) for c in range(CLASSES)) / n**2
    return (p - e) / (1 - e)
def information(asked, read):
    n, total = len(asked), 0.0
    a, r = asked.tolist(), read.tolist()
    for i, j in set(zip(a, r)):
        both = sum((x, y) == (i, j) for x, y in zip(a, r)) / n
        total += both * math.log(both * n * n / (a.count(i) * r.count(j)), CLASSES)
    return total
def label_effect(images):
    middle = images.mean((0, 1))
    labels = (images.mean(0) - middle).square().mean(0).sum()
    return labels / (images - middle).square().mean((0, 1)).sum()
""",
    "q6": """
def accuracy(images, asked, known, names):
    found = read(images, known, names).tolist()
    return sum(int(i == j) for i, j in zip(found, asked.tolist())) / len(found)
""",
    "q7": """
expected_accuracy = (1 + (CLASSES - 1) * a) / CLASSES
best_D = CLASSES / (CLASSES + 1 + (CLASSES - 1) * a)
q = expected_accuracy
pair_cost = -sp.log(best_D) - q * sp.log(1 - best_D)
""",
}
CONV, PAINT = (
    "def conv_side(n, stride, padding):\n    span = DILATION * (KERNEL - 1) + 1\n    ",
    "def painted_side(n, stride, padding, extra):\n    span = DILATION * (KERNEL - 1) + 1\n    ",
)
NET = """def generator(w):
    return nn.Sequential(
        nn.Unflatten(1, (LATENT, 1, 1)),
        nn.ConvTranspose2d(LATENT, 2 * w, 2, bias=BIAS), NORM1nn.ReLU(),
        nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=BIAS), NORM2nn.ReLU(),
        nn.ConvTranspose2d(w, 1, 4, 2, 1), OUT)
"""


def _net(
    bias: str = "False",
    norm1: str = "nn.BatchNorm2d(2 * w), ",
    norm2: str = "nn.BatchNorm2d(w), ",
    out: str = "nn.Tanh()",
) -> str:
    code = NET.replace("BIAS", bias).replace("NORM1", norm1).replace("NORM2", norm2)
    return code.replace("OUT", out)


TANH, VALUES = "def to_tanh(values):\n    ", "def to_values(x):\n    "
PROJ, JOIN = "def projection_logit(h, y, w, b, E):\n    ", "def joined_logit(h, y, w, b):\n    "
SHARE = "def interaction_share(s):\n    total = (s - s.mean()).square().sum()\n    "
KAPPA = "def kappa(asked, read):\n    p = (asked == read).double().mean()\n    "
INFO = "_information = information\ndef information(asked, read):\n    "
EFFECT = (
    "def label_effect(images):\n    total = images.flatten(0, 1).var(0, correction=0).sum()\n    "
)
STUB = """class Stub(nn.Module):
    def __init__(self, images, labels):
        super().__init__()
        self.means = torch.stack([images[labels == c].mean(0) for c in range(CLASSES)])
    def forward(self, z, y):
        noise = 0.5 * torch.randn(len(y), 64)
        return FOUND
def train(images, labels, seed):
    return Stub(images, labels)
"""
ACC = (
    "def accuracy(images, asked, known, names):\n"
    "    right = read(images, known, names) == asked\n"
    "    "
)
_m = Mistake
MISTAKES = [
    # Question 1, 2 points
    _m(
        "q1",
        "no dilation",
        CONV + "return (n + 2 * padding - KERNEL) // stride + 1",
        1.25,
        "dilation is missing",
    ),
    _m(
        "q1",
        "side times dilation",
        CONV + "return (n + 2 * padding - KERNEL * DILATION) // stride + 1",
        1.5,
        "side - 1 gaps",
    ),
    _m("q1", "up", CONV + "return -(-(n + 2 * padding - span) // stride) + 1", 1.5, "rounded up"),
    _m("q1", "fraction", CONV + "return (n + 2 * padding - span) / stride + 1", 1.5, "not rounded"),
    _m("q1", "no + 1", CONV + "return (n + 2 * padding - span) // stride", 1.5, "first window"),
    _m("q1", "one padding", CONV + "return (n + padding - span) // stride + 1", 1.5, "both sides"),
    _m(
        "q1",
        "n steps",
        PAINT + "return n * stride - 2 * padding + span + extra",
        1.5,
        "n - 1 steps",
    ),
    _m(
        "q1",
        "no extra",
        PAINT + "return (n - 1) * stride - 2 * padding + span",
        1.5,
        "output_padding",
    ),
    _m(
        "q1",
        "larger by padding",
        PAINT + "return (n - 1) * stride + 2 * padding + span + extra",
        1.25,
        "smaller, not larger",
    ),
    _m(
        "q1",
        "the convolution",
        PAINT + "return (n + 2 * padding - span) // stride + 1",
        1,
        "the convolution's side",
    ),
    # Question 2, 3 points
    _m("q2", "biases", _net("True"), 2.5, "every layer has a bias"),
    _m("q2", "no normalisation", _net(norm1="", norm2=""), 1.75, "0 batch normalisations"),
    _m(
        "q2",
        "normalised output",
        _net(out="nn.BatchNorm2d(1), nn.Tanh()"),
        1.75,
        "3 batch normalisations",
    ),
    _m("q2", "sigmoid", _net(out="nn.Sigmoid()"), 2.25, "lie in [0, 1]"),
    _m(
        "q2",
        "no tanh",
        _net(out="nn.Identity()")
        .replace("nn.Identity", "nn.Hardtanh")
        .replace("Hardtanh()", "Hardtanh(-9, 9)"),
        2.25,
        "leave [-1, 1]",
    ),
    _m("q2", "count with biases", "count = count + 3 * w", 2.5, "every layer has a bias"),
    _m("q2", "running means", "count = count + 6 * w", 2.5, "nothing trains them"),
    _m("q2", "no last bias", "count = count - 1", 2.5, "bias of the last layer"),
    _m("q2", "factor alone", "count = count - 3 * w", 2.5, "a factor and a shift"),
    # Question 3, 2 points
    _m("q3", "unit range", TANH + "return values / TOP", 1.25, "lie in [0, 1]"),
    _m(
        "q3",
        "number of values",
        TANH + "return 2 * values / (TOP + 1) - 1",
        1.5,
        "by the largest value",
    ),
    _m("q3", "eight bits", TANH + "return 2 * values / 255 - 1", 1.25, "eight bits"),
    _m("q3", "no factor", TANH + "return values / TOP - 1", 1.25, "factor 2"),
    _m(
        "q3",
        "batch scale",
        TANH + "return 2 * (values - values.min()) / (values.max() - values.min()) - 1",
        1.25,
        "another scale",
    ),
    _m("q3", "cut", VALUES + "return ((x + 1) / 2 * TOP).int()", 1.5, "cut off"),
    _m("q3", "not rounded", VALUES + "return (x + 1) / 2 * TOP", 1.5, "whole numbers"),
    _m("q3", "from the unit range", VALUES + "return (x * TOP).round()", 1.25, "takes [0, 1]"),
    _m("q3", "in place", TANH + "values.mul_(2 / TOP).sub_(1)\n    return values", 1, "in place"),
    # Question 4, 4 points
    _m(
        "q4",
        "no factor",
        PROJ + "return h @ w + b + (h * E[y]).sum(1)",
        2.75,
        "factor of the question",
    ),
    _m(
        "q4",
        "additive",
        PROJ + "return h @ w + b + FACTOR * E[y].sum(1)",
        2,
        "the label will be ignored",
    ),
    _m(
        "q4",
        "no head",
        PROJ + "return FACTOR * (h * E[y]).sum(1) + 0 * (w.sum() + b)",
        2.5,
        "head is missing",
    ),
    _m(
        "q4",
        "detached",
        PROJ + "return h @ w + b + FACTOR * (h.detach() * E[y]).sum(1)",
        3,
        "same for every label",
    ),
    _m(
        "q4",
        "label first",
        JOIN + "return torch.cat([F.one_hot(y, CLASSES).float(), h], 1) @ w + b",
        3.5,
        "features first",
    ),
    _m(
        "q4",
        "number of the class",
        JOIN + "n = h.shape[1]\n    return h @ w[:n] + y * w[n] + b",
        3.25,
        "no quantity",
    ),
    _m("q4", "no label", JOIN + "return h @ w[: h.shape[1]] + b", 3, "label is missing"),
    _m(
        "q4",
        "columns kept",
        SHARE + "return (s - s.mean(1, keepdim=True)).square().sum() / total",
        3.25,
        "mean of each column",
    ),
    _m(
        "q4",
        "rows kept",
        SHARE + "return (s - s.mean(0)).square().sum() / total",
        3.25,
        "mean of each row",
    ),
    _m(
        "q4",
        "explained",
        "_share = interaction_share\ndef interaction_share(s):\n    return 1 - _share(s)",
        3.5,
        "additive part",
    ),
    _m(
        "q4",
        "mean twice",
        SHARE + "return (s - s.mean(1, keepdim=True) - s.mean(0)).square().sum() / total",
        3.25,
        "subtracted twice",
    ),
    # Question 5, 3 points
    _m("q5", "accuracy", KAPPA + "return p", 2.25, "luck is still in it"),
    _m(
        "q5",
        "even classes",
        KAPPA + "return (p - 1 / CLASSES) / (1 - 1 / CLASSES)",
        2.5,
        "equally often",
    ),
    _m("q5", "nats", INFO + "return _information(asked, read) * math.log(CLASSES)", 2.5, "in nats"),
    _m("q5", "sign", INFO + "return -_information(asked, read)", 2.25, "never negative"),
    _m(
        "q5",
        "0 log 0",
        INFO + "t = pairs(asked, read)\n"
        "    return float((t * (t / (t.sum(1, keepdim=True) * t.sum(0))).log()).sum() / "
        "math.log(CLASSES))",
        2.25,
        "0 log 0",
    ),
    _m(
        "q5",
        "the page's share",
        EFFECT + "return images.var(1, correction=0).sum(1).mean() / total",
        2.25,
        "the page's share",
    ),
    _m(
        "q5",
        "axes",
        EFFECT + "return images.mean(1).var(0, correction=0).sum() / total",
        2.25,
        "noises and labels are exchanged",
    ),
    _m(
        "q5",
        "no share",
        EFFECT + "return images.mean(0).var(0, correction=0).sum()",
        2.25,
        "the share is asked for",
    ),
    # Question 6, 4 points
    _m("q6", "per cent", ACC + "return 100 * right.double().mean().item()", 3.5, "per cent"),
    _m("q6", "wrong ones", ACC + "return 1 - right.double().mean().item()", 3.5, "wrong answers"),
    _m("q6", "count", ACC + "return right.sum().item()", 3.5, "number of right answers"),
    _m(
        "q6",
        "one neighbour",
        "def accuracy(images, asked, known, names):\n"
        "    return (names[torch.cdist(images, known).argmin(1)] == "
        "asked).double().mean().item()",
        3.5,
        "one neighbour",
    ),
    _m("q6", "a tensor of answers", ACC + "return right.double()", 3, "must be one number"),
    _m(
        "q6",
        "joined at the end",
        "def train(images, labels, seed):\n    return train_pair(images, labels, seed, False)",
        1,
        "the label is ignored",
    ),
    _m(
        "q6", "one image a class", STUB.replace("FOUND", "self.means[y]"), 1.75, "noise is not used"
    ),
    _m(
        "q6",
        "next class",
        STUB.replace("FOUND", "(self.means[(y + 1) % CLASSES] + noise).clamp(-1, 1)"),
        1,
        "the label is ignored",
    ),
    _m("q6", "no tanh", STUB.replace("FOUND", "3 * (self.means[y] + noise)"), 1, "leave [-1, 1]"),
    _m(
        "q6",
        "square images",
        STUB.replace("FOUND", "self.means[y].reshape(-1, 1, 8, 8)"),
        1,
        "due is (400, 64)",
    ),
    _m("q6", "no generator", "def train(images, labels, seed):\n    pass", 1, "train"),
    # Question 7, 3 points
    _m(
        "q7",
        "no luck",
        "expected_accuracy = a\n"
        "best_D = 1 / (1 + a)\n"
        "pair_cost = (1 + a) * sp.log(1 + a) - a * sp.log(a)",
        1.5,
        "once in K times",
    ),
    _m("q7", "ten classes", "expected_accuracy = a + (1 - a) / 10", 2.5, "ten classes"),
    _m(
        "q7",
        "other classes",
        "expected_accuracy = a + (1 - a) / (CLASSES - 1)",
        2.5,
        "any of the K",
    ),
    _m("q7", "half", "best_D = sp.Rational(1, 2)", 2.25, "always obeys"),
    _m("q7", "of a fake", "best_D = 1 - best_D", 2.5, "probability of a fake"),
    _m("q7", "logit", "best_D = -sp.log(expected_accuracy)", 2.5, "this is the logit"),
    _m("q7", "blind", "pair_cost = 2 * sp.log(2)", 2.25, "cannot tell"),
    _m(
        "q7",
        "real alone",
        "pair_cost = sp.log(1 + expected_accuracy)",
        2.25,
        "fake half is missing",
    ),
    _m("q7", "divergence", "pair_cost = 2 * sp.log(2) - pair_cost", 2.5, "twice the JSD"),
    _m(
        "q7",
        "not weighed",
        "pair_cost = sp.log(1 + expected_accuracy) + sp.log(1 + 1 / expected_accuracy)",
        2.5,
        "weigh them",
    ),
]


def own(k: Constants, code: str) -> str:
    return filled(code, in_capitals(k))


def start(assignment: Assignment) -> list[str]:
    """The notebook's own cells: imports, data, judge, small cases, symbols."""
    return [
        cell.source
        for cell in source(assignment).cells
        if cell.cell_type == "code" and not editions.tags(cell)
    ]


def needed(assignment: Assignment, question: str) -> list[str]:
    return [*start(assignment), solution(assignment, question, figures=False)]


def second_style(assignment: Assignment, question: str) -> list[str]:
    right = [solution(assignment, question, figures=False)] if question == "q6" else []
    return [*start(assignment), *right, own(assignment.k, OWN[question])]


ANSWERS = Answers(
    "images-and-labels",
    {"plain": needed, "own": second_style},
    lambda assignment, m: [*needed(assignment, m.question), own(assignment.k, m.code)],
    lambda k: start(marking.load("images-and-labels")),
    MISTAKES,
    long=frozenset({"obeys"}),
    trained=frozenset(
        {
            "joined at the end",
            "one image a class",
            "next class",
            "no tanh",
            "square images",
            "no generator",
        }
    ),
)
