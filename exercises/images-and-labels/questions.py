"""Hidden tests and public cases of the assignment `images-and-labels`. Keep this file to yourself.

Kernels have the side ``k.kernel`` and the dilation ``k.dilation``; a scanner gives 0 to ``k.top``;
the latent has ``k.latent`` numbers; there are ``k.classes`` classes, the first of scikit-learn's
digits; the projection is multiplied by ``k.factor``. Every right value is computed here from the
drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tools.grader.expressions import judge_formula
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Question,
    Rule,
    Slip,
    Wrong,
    connected,
    number,
    over,
    pure,
    say,
    shaped,
)

TITLE = "Images and labels"


def constants(draw: Draw) -> dict[str, Any]:
    classes, kernel = draw.choice([5, 6, 7, 8]), draw.choice([3, 4, 5, 6, 7])
    return {
        "classes": classes,
        "last": classes - 1,
        "kernel": kernel,
        "dilation": draw.choice([2, 3, 4]),
        "latent": draw.choice([10, 12, 14, 16, 20]),
        "top": draw.choice([15, 31, 40, 63, 100, 127]),
        "factor": draw.choice([0.2, 0.25, 0.5, 2, 3]),
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share a number that decides, so that an answer could be copied."""
    names = ("classes", "kernel", "dilation", "latent", "top", "factor")
    return any(getattr(k, name) == getattr(other, name) for name in names)


# Question 1: sides ----------------------------------------------------------------------------


def sides(one: Callable[..., float]) -> Any:
    """A function of (k, a case) for all cases: a list."""
    return lambda k, *cases: [float(one(k, *case)) for case in cases]


def reach(k: Constants) -> int:
    """How many pixels a dilated kernel spans."""
    return int(k.dilation * (k.kernel - 1) + 1)


CONV = Rule(sides(lambda k, n, s, p: (n + 2 * p - reach(k)) // s + 1), [
    Slip(sides(lambda k, n, s, p: (n + 2 * p - k.kernel) // s + 1), "the dilation is missing: the kernel spans dilation * (side - 1) + 1 pixels.", 0.25),
    Slip(sides(lambda k, n, s, p: (n + 2 * p - k.kernel * k.dilation) // s + 1), "a dilated kernel has side - 1 gaps: it spans dilation * (side - 1) + 1 pixels, not dilation * side.", 0.5),
    Slip(sides(lambda k, n, s, p: -(-(n + 2 * p - reach(k)) // s) + 1), "rounded up; a window that does not fit is not used.", 0.5),
    Slip(sides(lambda k, n, s, p: (n + 2 * p - reach(k)) / s + 1), "not rounded: a side is a whole number, rounded down.", 0.5),
    Slip(sides(lambda k, n, s, p: (n + 2 * p - reach(k)) // s), "the + 1 is missing: the first window counts.", 0.5),
    Slip(sides(lambda k, n, s, p: (n + p - reach(k)) // s + 1), "the padding is on both sides.", 0.5),
    Slip(sides(lambda k, n, s, p: n + 2 * p - reach(k) + 1), "the stride is missing.", 0.25),
])  # fmt: skip
PAINTED = Rule(sides(lambda k, n, s, p, e: (n - 1) * s - 2 * p + reach(k) + e), [
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s - 2 * p + k.kernel + e), "the dilation is missing: the kernel spans dilation * (side - 1) + 1 pixels.", 0.25),
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s - 2 * p + k.kernel * k.dilation + e), "a dilated kernel spans dilation * (side - 1) + 1 pixels, not dilation * side.", 0.5),
    Slip(sides(lambda k, n, s, p, e: n * s - 2 * p + reach(k) + e), "n windows have n - 1 steps between them.", 0.5),
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s - p + reach(k) + e), "the padding is cut off on both sides.", 0.5),
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s + 2 * p + reach(k) + e), "padding makes the result of a transposed convolution smaller, not larger.", 0.25),
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s - 2 * p + reach(k)), "output_padding is missing.", 0.5),
    Slip(sides(lambda k, n, s, p, e: (n - 1) * s - 2 * p + reach(k) - 1 + e), "one pixel too few: the last window is painted whole.", 0.5),
    Slip(sides(lambda k, n, s, p, e: (n + 2 * p - reach(k)) // s + 1), "this is the convolution's side.", 0.0),
])  # fmt: skip
q1 = Question("q1", seconds=5)


def all_numbers(student: Any, name: str, cases: Sequence[tuple[int, ...]]) -> list[float]:
    return [number(student.call(name, *case)) for case in cases]


@q1.test(points=1)
def sides_of_a_convolution(student: Any, draw: Draw, k: Constants) -> None:
    cases = CONV.draw(draw, k, lambda d: tuple((d.integer(30, 64), d.integer(2, 4), d.integer(1, 3)) for _ in range(4)))
    got = all_numbers(student, "conv_side", cases)
    CONV.judge(k, cases, got, "conv_side", [f"n, stride, padding = {case}" for case in cases])


@q1.test(points=1)
def sides_painted(student: Any, draw: Draw, k: Constants) -> None:
    def sizes(d: Draw) -> tuple[int, ...]:
        stride = d.integer(2, 4)
        return d.integer(9, 20), stride, d.integer(1, 3), d.integer(0, stride - 1)

    cases = PAINTED.draw(draw, k, lambda d: tuple(sizes(d) for _ in range(4)))
    got = all_numbers(student, "painted_side", cases)
    where = [f"n, stride, padding, extra = {case}" for case in cases]
    PAINTED.judge(k, cases, got, "painted_side", where)


@q1.public
def _(k: Constants) -> list[Case]:
    one, two = (50, 2, 1), (10, 2, 1, 0)
    return [
        CONV.case(k, "conv_side", (one,), "conv_side of n, stride, padding = 50, 2, 1", args=one),
        PAINTED.case(k, "painted_side", (two,), "painted_side of n, stride, padding, extra = 10, 2, 1, 0", args=two),
    ]


# Question 2: a small DCGAN --------------------------------------------------------------------


def weights(k: Constants, w: float, first: int = 4, norms: float = 6, biases: float = 1) -> float:
    """Of the generator of the question: convolutions, normalisation, biases."""
    return k.latent * 2 * w * first + 2 * w * w * 16 + w * 16 + norms * w + biases


SIZES = [
    (lambda k, w: weights(k, w, biases=1 + 3 * w), "every layer has a bias: before a normalisation it changes nothing, and the question has none there.", 0.5),
    (lambda k, w: weights(k, w, norms=0), "no normalisation is counted.", 0.25),
    (lambda k, w: weights(k, w, norms=3), "a normalisation has two numbers a channel, a factor and a shift.", 0.5),
    (lambda k, w: weights(k, w, biases=3), "the output is normalised: a DCGAN's last layer is not.", 0.25),
    (lambda k, w: weights(k, w, biases=0), "the bias of the last layer is missing.", 0.5),
    (lambda k, w: weights(k, w, first=16), "the first kernel has the side 2, not 4.", 0.5),
    (lambda k, w: weights(k, w, norms=12), "the running means and variances are no parameters: nothing trains them.", 0.5),
    (lambda k, w: weights(k, w, first=4) - 15 * w - 30 * w * w, "a kernel of side 4 has 16 weights for each pair of channels.", 0.25),
]  # fmt: skip
COUNT = Rule(
    lambda k, *points: [weights(k, **p) for p in points],
    [Slip(lambda k, *points, f=f: [f(k, p["w"]) for p in points], lesson, keeps) for f, lesson, keeps in SIZES],
    rel=1e-8,
)
MODULE = Rule(weights, [Slip(f, lesson, keeps) for f, lesson, keeps in SIZES], rel=1e-8)
q2 = Question("q2", seconds=6)


@q2.test(points=1)
def shape_and_range(student: Any, draw: Draw, k: Constants) -> None:
    G = student.make("generator", draw.integer(3, 6))
    z = draw.normal(9 * k.latent, 4.0).reshape(9, k.latent)
    x = student.call("", z, on=G).tensor
    if tuple(x.shape) != (9, 1, 8, 8):
        raise Wrong(f"the generator makes {tuple(x.shape)} of 9 latents of shape (9, {k.latent}); due is (9, 1, 8, 8).")
    if not torch.isfinite(x).all() or x.abs().max() > 1:
        raise Wrong("the generator's values leave [-1, 1]: its last step is a tanh.", 0.25)
    if x.min() >= 0:
        raise Wrong("the generator's values lie in [0, 1]; the images of this book lie in [-1, 1], which is tanh's range.", 0.25)
    buffers = student.state(G).buffers
    means = [name for name in buffers if name.endswith("running_mean")]
    if len(means) != 2:
        raise Wrong(f"the generator has {len(means)} batch normalisations; due are two, after every layer but the last.", 0.5)


@q2.test(points=1)
def weights_of_the_network(student: Any, draw: Draw, k: Constants) -> None:
    w = draw.integer(3, 6)
    parameters = student.state(student.make("generator", w)).parameters
    got = float(sum(p.numel() for p in parameters.values()))
    MODULE.judge(k, (w,), [got], f"the number of weights of generator({w})")


@q2.test(points=1)
def weights_on_paper(student: Any, draw: Draw, k: Constants) -> None:
    points = COUNT.draw(draw, k, lambda d: tuple({"w": float(d.integer(2, 40))} for _ in range(3)))
    judge_formula(student, COUNT, k, "count", ["w"], points)


@q2.public
def _(k: Constants) -> list[Case]:
    point = {"w": 2.0}
    return [
        Case("try_generator", [3.0, 1.0, 8.0, 8.0], [], "the shape of what generator(4) makes of three latents"),
        COUNT.case(k, "count", (point,), "count at w = 2", at=point),
    ]


# Question 3: the range ------------------------------------------------------------------------

TO_TANH = Rule(lambda k, p: 2 * p.double() / k.top - 1, [
    Slip(lambda k, p: p.double() / k.top, "these lie in [0, 1]: a discriminator tells them from tanh's values by the sign alone.", 0.25),
    Slip(lambda k, p: 2 * p.double() / (k.top + 1) - 1, "the largest value of the scanner becomes less than 1: divide by the largest value, not by the number of values.", 0.5),
    Slip(lambda k, p: p.double() / k.top - 1, "these lie in [-1, 0]: the factor 2 is missing.", 0.25),
    Slip(lambda k, p: p.double() / k.top - 0.5, "these lie in [-1/2, 1/2]: tanh reaches twice as far.", 0.25),
    Slip(lambda k, p: 2 * p.double() / 255 - 1, "255 belongs to eight bits; this scanner has another largest value.", 0.25),
    Slip(lambda k, p: 1 - 2 * p.double() / k.top, "black and white are exchanged.", 0.5),
    Slip(lambda k, p: 2 * (p.double() - p.double().min()) / (p.double().max() - p.double().min()) - 1, "scaled by the values of this batch: every batch would have another scale.", 0.25),
])  # fmt: skip
BACK = Rule(lambda k, x: ((x.double() + 1) / 2 * k.top).round(), [
    Slip(lambda k, x: ((x.double() + 1) / 2 * k.top).floor(), "cut off, not rounded: on average half a step too dark.", 0.5),
    Slip(lambda k, x: (x.double() + 1) / 2 * k.top, "not rounded: the scanner has whole numbers.", 0.5),
    Slip(lambda k, x: (x.double() * k.top).round(), "this takes [0, 1] for the range; tanh's is [-1, 1].", 0.25),
    Slip(lambda k, x: ((x.double() + 1) / 2 * (k.top + 1)).round(), "1 becomes more than the largest value of the scanner.", 0.5),
    Slip(lambda k, x: ((x.double() + 1) / 2 * 255).round(), "255 belongs to eight bits; this scanner has another largest value.", 0.25),
    Slip(lambda k, x: ((x.double() + 1) * k.top).round(), "the division by 2 is missing.", 0.25),
])  # fmt: skip
q3 = Question("q3", seconds=4)


@q3.test(points=1)
def into_the_range(student: Any, draw: Draw, k: Constants) -> None:
    def scanned(d: Draw) -> tuple[Tensor]:
        return (torch.tensor(d.integers(6, 1, k.top - 1)).float().reshape(2, 3),)

    inputs = TO_TANH.draw(draw, k, scanned)
    reply = student.call("to_tanh", *inputs)
    TO_TANH.judge(k, inputs, shaped(reply, (2, 3), "that of the input"), "to_tanh", say(values=inputs[0]), (2, 3))
    pure(reply, ["values"])


@q3.test(points=1)
def out_of_the_range(student: Any, draw: Draw, k: Constants) -> None:
    inputs = BACK.draw(draw, k, lambda d: (d.uniform(8, -0.95, 0.95).reshape(2, 4) + 1 / 1024,))
    reply = student.call("to_values", *inputs)
    BACK.judge(k, inputs, shaped(reply, (2, 4), "that of the input"), "to_values", say(x=inputs[0]), (2, 4))
    pure(reply, ["x"])


@q3.public
def _(k: Constants) -> list[Case]:
    values, x = torch.tensor([float(k.top)]), torch.tensor([-1.0])
    return [
        Case("to_tanh", [1.0], [], f"to_tanh of [{k.top}]", args=(values,)),
        Case("to_values", [0.0], [], "to_values of [-1]", args=(x,)),
    ]


# Question 4: where the label meets the image --------------------------------------------------

Inputs = tuple[Tensor, ...]


def dot(h: Tensor, y: Tensor, E: Tensor) -> Tensor:
    return (h.double() * E.double()[y]).sum(1)


def head(h: Tensor, w: Tensor, b: float) -> Tensor:
    return h.double() @ w.double() + b


PROJECTION = Rule(lambda k, h, y, w, b, E: head(h, w, b) + k.factor * dot(h, y, E), [
    Slip(lambda k, h, y, w, b, E: head(h, w, b) + dot(h, y, E), "the factor of the question is missing.", 0.5),
    Slip(lambda k, h, y, w, b, E: k.factor * (head(h, w, b) + dot(h, y, E)), "the factor belongs to the projection alone.", 0.5),
    Slip(lambda k, h, y, w, b, E: head(h, w, b) + k.factor * E.double()[y].sum(1), "the label's row is added up without the features: that logit is additive, and the label will be ignored.", 0.0),
    Slip(lambda k, h, y, w, b, E: k.factor * dot(h, y, E), "the head is missing: the logit must also judge the image without its label.", 0.25),
    Slip(lambda k, h, y, w, b, E: head(h, w, 0) + k.factor * dot(h, y, E), "the bias is missing.", 0.5),
    Slip(lambda k, h, y, w, b, E: head(h, w, b) + k.factor * dot(h, y, E) / h.shape[1], "a mean over the features; an inner product is a sum.", 0.5),
    Slip(lambda k, h, y, w, b, E: head(h, w, b) + k.factor * (h.double() @ E.double().T).sum(1), "the rows of all classes are added up; the label chooses one.", 0.0),
    Slip(lambda k, h, y, w, b, E: head(h, w, b) - k.factor * dot(h, y, E), "the sign of the projection.", 0.5),
])  # fmt: skip


def joined(k: Constants, h: Tensor, y: Tensor, w: Tensor, b: float) -> Tensor:
    return torch.cat([h.double(), one_hot(y, k.classes).double()], 1) @ w.double() + b


JOINED = Rule(joined, [
    Slip(lambda k, h, y, w, b: torch.cat([one_hot(y, k.classes).double(), h.double()], 1) @ w.double() + b, "the order: the features first, then the one-hot label.", 0.5),
    Slip(lambda k, h, y, w, b: head(h, w[: h.shape[1]], b), "the label is missing.", 0.0),
    Slip(lambda k, h, y, w, b: head(h, w[: h.shape[1]], b) + y.double() * w.double()[h.shape[1]], "the number of the class is no quantity: class 4 is not twice class 2. Use its one-hot row.", 0.25),
    Slip(lambda k, h, y, w, b: joined(k, h, y, w, 0.0), "the bias is missing.", 0.5),
    Slip(lambda k, h, y, w, b: joined(k, h, (y + 1) % k.classes, w, b), "the classes are counted from 0.", 0.5),
])  # fmt: skip


def centred(s: Tensor, rows: bool = True, columns: bool = True) -> Tensor:
    s = s.double() - s.double().mean()
    s = s - s.mean(1, keepdim=True) if rows else s
    return s - s.mean(0, keepdim=True) if columns else s


def of_total(part: Callable[[Tensor], Tensor]) -> Any:
    return lambda k, s: (part(s) ** 2).sum() / (centred(s, False, False) ** 2).sum()


SHARE = Rule(of_total(centred), [
    Slip(of_total(lambda s: centred(s, True, False)), "the mean of each column is still in it: that is all that the label does, what it adds for every image alike included.", 0.25),
    Slip(of_total(lambda s: centred(s, False, True)), "the mean of each row is still in it: that is what the image does alone.", 0.25),
    Slip(lambda k, s: 1 - of_total(centred)(k, s), "this is the share of the additive part; the rest is asked for.", 0.5),
    Slip(lambda k, s: (centred(s) ** 2).sum(), "the share is asked for: divide by the variance of all logits.", 0.25),
    Slip(lambda k, s: (centred(s) ** 2).mean(), "the share is asked for: divide by the variance of all logits.", 0.25),
    Slip(lambda k, s: of_total(centred)(k, s).sqrt(), "the square root; the question has none.", 0.5),
    Slip(lambda k, s: (centred(s) ** 2).sum() / (s.double() ** 2).sum(), "the mean of all logits is still in the denominator.", 0.5),
    Slip(of_total(lambda s: s.double() - s.double().mean(0) - s.double().mean(1, keepdim=True)), "the mean of all is subtracted twice, with the rows and with the columns: add it once.", 0.25),
], rel=1e-5)  # fmt: skip
q4 = Question("q4", seconds=5)


def features(d: Draw, k: Constants) -> tuple[Tensor, Tensor]:
    return d.normal(20).reshape(4, 5), torch.tensor(d.integers(4, 0, k.classes - 1))


def pair(d: Draw, k: Constants) -> tuple[Any, ...]:
    return (*features(d, k), d.normal(5), d.integer(3, 15) / 8, d.normal(5 * k.classes).reshape(k.classes, 5))


@q4.test(points=1)
def projected(student: Any, draw: Draw, k: Constants) -> None:
    inputs = PROJECTION.draw(draw, k, lambda d: pair(d, k))
    reply = student.call("projection_logit", *inputs)
    got = shaped(reply, (4,), "a logit for each pair")
    PROJECTION.judge(k, inputs, got, "projection_logit", say(h=inputs[0], y=inputs[1]))


@q4.test(points=1)
def projection_teaches(student: Any, draw: Draw, k: Constants) -> None:
    """The slope in the features holds the label's row."""
    h, y, w, b, E = PROJECTION.draw(draw, k, lambda d: pair(d, k))
    reply = student.call("projection_logit", h, y, w, b, E, wrt=(0, 2, 4))
    shaped(reply, (4,), "a logit for each pair")
    connected(reply, ["h", "w", "E"])
    found, plain = reply.grads[0].double(), w.double().expand(4, 5)
    if (found - plain).abs().max() < 1e-6:
        raise Wrong("the slope in the features is the same for every label: the generator cannot learn from it what was asked for.")
    if (found - plain - k.factor * E.double()[y]).abs().max() > 1e-4:
        raise Wrong("the slope of projection_logit in the features is not that of the question's form.", 0.25)


@q4.test(points=1)
def joined_at_the_end(student: Any, draw: Draw, k: Constants) -> None:
    def inputs_of(d: Draw) -> tuple[Any, ...]:
        return (*features(d, k), d.normal(5 + k.classes), d.integer(3, 15) / 8)

    inputs = JOINED.draw(draw, k, inputs_of)
    reply = student.call("joined_logit", *inputs)
    JOINED.judge(k, inputs, shaped(reply, (4,), "a logit for each pair"), "joined_logit", say(h=inputs[0], y=inputs[1]))


@q4.test(points=1)
def what_no_sum_explains(student: Any, draw: Draw, k: Constants) -> None:
    inputs = SHARE.draw(draw, k, lambda d: (d.normal(20).reshape(5, 4) + d.normal(5)[:, None] + d.normal(4) + 1,))
    SHARE.judge(k, inputs, [number(student.call("interaction_share", *inputs))], "interaction_share", say(s=inputs[0]))
    flat = draw.normal(5)[:, None] + draw.normal(4)
    got = number(student.call("interaction_share", flat))
    if abs(got) > 1e-5:
        raise Wrong(f"interaction_share of an additive table a(x) + b(y) is {got:.6g}; it must be 0.", 0.25)


@q4.public
def _(k: Constants) -> list[Case]:
    h, y = torch.tensor([[1.0, 2.0]]), 1
    right = 0.5 * 1 + 0.25 * 2 + 1 + k.factor * (1 * 3 + 2 * 4)
    plain_sum = 0.5 * 1 + 0.25 * 2 + 1 + (1 * 3 + 2 * 4)
    s = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    del h, y
    return [
        Case("try_projection", [right], [([plain_sum], "the factor of the question is missing.")], "projection_logit of h = [[1, 2]], y = [1], w = [0.5, 0.25], b = 1, E[1] = [3, 4]"),
        Case("interaction_share", [1.0], [([0.0], "this is the share of the additive part.")], "interaction_share of [[1, 0], [0, 1]]", args=(s,)),
    ]  # fmt: skip


# Question 5: is the label obeyed? -------------------------------------------------------------


def joint(k: Constants, asked: Tensor, read: Tensor) -> Tensor:
    counts = torch.zeros(k.classes, k.classes, dtype=torch.float64)
    counts.index_put_((asked.long(), read.long()), torch.tensor(1.0, dtype=torch.float64), accumulate=True)
    return counts / counts.sum()


def agreement(k: Constants, asked: Tensor, read: Tensor) -> tuple[float, float]:
    p = joint(k, asked, read)
    return float(p.diag().sum()), float(p.sum(0) @ p.sum(1))


def kappa(k: Constants, asked: Tensor, read: Tensor) -> float:
    right, luck = agreement(k, asked, read)
    return (right - luck) / (1 - luck)


def even(k: Constants, asked: Tensor, read: Tensor) -> float:
    return (agreement(k, asked, read)[0] - 1 / k.classes) / (1 - 1 / k.classes)


def by_asked(k: Constants, asked: Tensor, read: Tensor) -> float:
    luck = float((joint(k, asked, read).sum(1) ** 2).sum())
    return (agreement(k, asked, read)[0] - luck) / (1 - luck)


KAPPA = Rule(kappa, [
    Slip(lambda k, a, r: agreement(k, a, r)[0], "this is the accuracy; luck is still in it.", 0.25),
    Slip(even, "luck is 1/K only if the classes come equally often; here they do not.", 0.5),
    Slip(by_asked, "luck holds the shares of what was asked and of what was read, not the squares of one.", 0.5),
    Slip(lambda k, a, r: agreement(k, a, r)[0] - agreement(k, a, r)[1], "divide by 1 - luck: a perfect generator gets 1.", 0.5),
    Slip(lambda k, a, r: (agreement(k, a, r)[0] - agreement(k, a, r)[1]) / agreement(k, a, r)[1], "divided by luck; divide by 1 - luck.", 0.25),
    Slip(lambda k, a, r: 1 - kappa(k, a, r), "one minus it: a perfect generator gets 1.", 0.5),
    Slip(lambda k, a, r: agreement(k, a, r)[1], "this is luck alone.", 0.0),
])  # fmt: skip


def entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum()


def mutual(k: Constants, asked: Tensor, read: Tensor) -> Tensor:
    p = joint(k, asked, read)
    return entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p)


INFORMATION = Rule(lambda k, a, r: mutual(k, a, r) / math.log(k.classes), [
    Slip(lambda k, a, r: mutual(k, a, r) / math.log(len(a.unique())), "divided by the log of the number of labels that occur; the "
         "question's number counts, whether they occur or not.", 0.75),
    Slip(lambda k, a, r: mutual(k, a, r) / math.log(2) / math.log(k.classes), "bits are divided by nats: use one logarithm for both.", 0.5),
    Slip(mutual, "this is in nats; divide by log K, so that a perfect generator gets 1.", 0.5),
    Slip(lambda k, a, r: mutual(k, a, r) / math.log(2), "this is in bits; divide by log K, so that a perfect generator gets 1.", 0.5),
    Slip(lambda k, a, r: -mutual(k, a, r) / math.log(k.classes), "the sign: information is never negative.", 0.25),
    Slip(lambda k, a, r: mutual(k, a, r) / math.log(10), "there are not ten classes here.", 0.5),
    Slip(lambda k, a, r: entropy(joint(k, a, r)) / math.log(k.classes), "this is the entropy of the pairs.", 0.0),
    Slip(lambda k, a, r: entropy(joint(k, a, r).sum(0)) / math.log(k.classes), "this is the entropy of what was read; how much of it comes from the label?", 0.0),
    Slip(lambda k, a, r: mutual(k, a, r) / entropy(joint(k, a, r).sum(1)), "divided by the entropy of the labels; the question divides by log K.", 0.5),
])  # fmt: skip


def spread_of(x: Tensor) -> Tensor:
    """The variance over the first axes, added up over the pixels."""
    return x.flatten(0, -2).var(0, correction=0).sum()


def effect(part: Callable[[Tensor], Tensor]) -> Any:
    return lambda k, x: part(x.double()) / spread_of(x.double())


EFFECT = Rule(effect(lambda x: spread_of(x.mean(0))), [
    Slip(effect(lambda x: x.var(1, correction=0).sum(1).mean()), "this is all that changes with the label while the noise is held, the page's share: it is large too if every noise uses the label in another way. Average over the noises first.", 0.25),
    Slip(effect(lambda x: spread_of(x.mean(1))), "noises and labels are exchanged: the first axis is the noise.", 0.25),
    Slip(lambda k, x: spread_of(x.double().mean(0)), "the share is asked for: divide by the variance of all images.", 0.25),
    Slip(effect(lambda x: x.mean(0).var(0).sum()), "divide the variances by the number of values, not by one less.", 0.5),
    Slip(lambda k, x: x.double().mean(0).var(0).sum() / x.double().flatten(0, 1).var(0).sum(), "divide the variances by the number of "
         "values, not by one less.", 0.5),
    Slip(lambda k, x: effect(lambda v: spread_of(v.mean(0)))(k, x).sqrt(), "the square root; the question has none.", 0.5),
    Slip(lambda k, x: 1 - effect(lambda v: spread_of(v.mean(0)))(k, x), "this is the share of everything else.", 0.5),
    Slip(lambda k, x: (x.double().mean(0).var(0, correction=0) / x.double().flatten(0, 1).var(0, correction=0)).mean(), "a mean of shares, a pixel each: add the variances up over the pixels first, then divide.", 0.5),
])  # fmt: skip
q5 = Question("q5", seconds=5)


def answers(d: Draw, k: Constants) -> tuple[Tensor, Tensor]:
    """Labels asked for, unevenly, and what a judge read: half of them obeyed."""
    asked = torch.tensor([min(a, b) for a, b in zip(d.integers(30, 0, k.classes - 1), d.integers(30, 0, k.classes - 1), strict=True)])
    read = torch.tensor(d.integers(30, 0, k.classes - 1))
    obeyed = torch.tensor(d.integers(30, 0, 1)).bool()
    return asked, torch.where(obeyed, asked, read)


@q5.test(points=1)
def beyond_luck(student: Any, draw: Draw, k: Constants) -> None:
    inputs = KAPPA.draw(draw, k, lambda d: answers(d, k))
    KAPPA.judge(k, inputs, [number(student.call("kappa", *inputs))], "kappa", say(asked=inputs[0], read=inputs[1]))


@q5.test(points=1)
def information_of_the_label(student: Any, draw: Draw, k: Constants) -> None:
    # Two classes never come.
    inputs = INFORMATION.draw(draw, k, lambda d: answers(d, Constants(classes=k.classes - 2)))
    got = number(student.call("information", *inputs))
    if math.isnan(got):
        raise Wrong("information is nan: some pair never occurs, and 0 log 0 counts nothing (torch.special.xlogy).", 0.25)
    INFORMATION.judge(k, inputs, [got], "information", say(asked=inputs[0], read=inputs[1]))


@q5.test(points=1)
def effect_of_the_label(student: Any, draw: Draw, k: Constants) -> None:
    inputs = EFFECT.draw(draw, k, lambda d: (d.normal(4 * 3 * 2).reshape(4, 3, 2) + d.normal(6).reshape(3, 2),))
    EFFECT.judge(k, inputs, [number(student.call("label_effect", *inputs))], "label_effect", say(images=inputs[0]))


@q5.public
def _(k: Constants) -> list[Case]:
    asked, read = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    x = torch.tensor([[[1.0], [-1.0]], [[-1.0], [1.0]]])
    what = "of asked = [0, 0, 0, 1], read = [0, 0, 1, 1]"
    return [
        Case("try_kappa", [kappa(k, asked, read)], [([0.75], "this is the accuracy.")], f"kappa {what}"),
        Case("try_information", [float(INFORMATION.right(k, asked, read))], [([float(mutual(k, asked, read))], "this is in nats.")], f"information {what}"),
        Case("label_effect", [0.0], [([1.0], "this is all that changes with the label while the noise is held.")], "label_effect of two noises that use two labels in opposite ways", args=(x,)),
    ]  # fmt: skip


# Question 6: a generator that obeys -----------------------------------------------------------


@functools.cache
def digits(classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's digits below ``classes``: images (N, 64) in [-1, 1] and labels, for training; then for the judge."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    labels = torch.from_numpy(bunch.target).long()
    images = torch.from_numpy(bunch.images).float().flatten(1) / 8 - 1
    images, labels = images[labels < classes], labels[labels < classes]
    return images[::2], labels[::2], images[1::2], labels[1::2]


def read_by(known: Tensor, labels: Tensor, images: Tensor) -> Tensor:
    """The judge: the class most frequent among the three nearest known images."""
    near = torch.cdist(images.double(), known.double()).topk(3, largest=False).indices
    return labels[near].mode(1).values


q6 = Question("q6", seconds=90)
ASKED = 400


def drawn(student: Any, G: Any, k: Constants, seed: int, labels: Tensor) -> Tensor:
    z = torch.randn(len(labels), k.latent, generator=torch.Generator().manual_seed(seed))
    x = student.call("", z, labels, on=G).tensor.detach()
    if tuple(x.shape) != (len(labels), 64):
        raise Wrong(f"G(z, y) has the shape {tuple(x.shape)} for {len(labels)} latents and labels; due is ({len(labels)}, 64).")
    return x


@q6.test(points=3)
def obeys(student: Any, draw: Draw, k: Constants) -> None:
    """Both of two seeds draw what is asked for; one of them is worth half.

    In 15 runs of the right answer, with 5 to 8 classes, the accuracy was at least 0.96 and the
    spread within a class 0.56 to 0.75 of the data's; with the label joined at the end, in 10 runs,
    the accuracy was at most 0.22, with five classes.
    """
    images, labels, known, names = digits(k.classes)
    asked = torch.arange(ASKED) % k.classes
    rights, spreads = [], []
    for _ in range(2):
        G = student.make("train", images, labels, draw.integer(0, 10**6))
        x = drawn(student, G, k, draw.seed(), asked)
        if not torch.isfinite(x).all() or x.abs().max() > 1:
            raise Wrong("G's images leave [-1, 1]: its last step is a tanh.")
        rights.append(float((read_by(known, names, x) == asked).double().mean()))
        spreads.append(float(torch.stack([x[asked == y].var(0).sum() for y in range(k.classes)]).mean()))
    said = " and ".join(f"{r:.2f}" for r in rights)
    real = float(torch.stack([known[names == y].var(0).sum() for y in range(k.classes)]).mean())
    if min(rights) < 0.8:
        best = max(rights)
        ignored = best < 1 / k.classes + 0.12
        why = (
            " That is luck: the label is ignored. Where does it meet the features? Is each fake judged with the label that it "
            "was made for?"
        ) if ignored else ""  # fmt: skip
        raise Wrong(
            f"class accuracy {said} for two seeds; both must reach 0.8 (luck: {1 / k.classes:.2f}).{why}",
            0.5 if best >= 0.8 else 0.25 if best >= 0.5 else 0.0,
        )
    if max(spreads) < 0.05 * real:
        raise Wrong("every class has one image: the noise is not used, and this is no generator of the data.", 0.25)


@q6.test(points=1)
def starts_well(student: Any, draw: Draw, k: Constants) -> None:
    """The judge of the question on digits half-way to another one, where neighbours disagree."""
    images, labels, known, names = digits(k.classes)
    rows, others = (draw.integers(40, 0, len(images) - 1) for _ in range(2))
    x = 0.6 * images[rows] + 0.4 * images[others]
    found, nearest = read_by(known, names, x), names[torch.cdist(x.double(), known.double()).argmin(1)]
    for asked in (found, labels[rows].roll(1), nearest):
        value = number(student.call("accuracy", x, asked, known, names))
        due = float((found == asked).double().mean())
        if abs(value - due) < 1e-4:
            continue
        for other, lesson in (
            (100 * due, "in per cent; a share between 0 and 1 is due."),
            (1 - due, "the share of wrong answers."),
            (due * len(rows), "the number of right answers; their share is due."),
            (float((nearest == asked).double().mean()), "of a judge that asks one neighbour; the question's asks three."),
        ):  # fmt: skip
            if abs(value - other) < 1e-3:
                raise Wrong(f"accuracy: this is {lesson}", 0.5)
        raise Wrong(f"accuracy: you get {value:.6g}, due is {due:.6g}, on 40 images between two digits.")


# Question 7: what a discriminator of pairs pays -----------------------------------------------

Point = dict[str, float]


def right_share(k: Constants, a: float) -> float:
    return a + (1 - a) / k.classes


def pays(r: float) -> float:
    """The least cost of D where a share r of the fakes is as asked, and real pairs always are."""
    return (1 + r) * math.log(1 + r) - r * math.log(r)


ACCURACY = Rule(over(right_share), [
    Slip(over(lambda k, a: a), "a class at random is the right one once in K times.", 0.5),
    Slip(over(lambda k, a: a + (1 - a) / 10), "there are not ten classes here.", 0.5),
    Slip(over(lambda k, a: a + 1 / k.classes), "luck helps only where the label is not obeyed.", 0.25),
    Slip(over(lambda k, a: a + (1 - a) / (k.classes - 1)), "the class at random may be any of the K.", 0.5),
    Slip(over(lambda k, a: (1 - a) * (1 - 1 / k.classes)), "this is the share of wrong ones.", 0.5),
    Slip(over(lambda k, a: (1 - a) / k.classes), "those that obey are missing.", 0.25),
], rel=1e-8)  # fmt: skip
BEST = Rule(over(lambda k, a: 1 / (1 + right_share(k, a))), [
    Slip(over(lambda k, a: 0.5), "1/2 is right for a generator that always obeys.", 0.25),
    Slip(over(lambda k, a: 1 / (1 + a)), "luck is missing: a class at random is the right one once in K times.", 0.5),
    Slip(over(lambda k, a: right_share(k, a) / (1 + right_share(k, a))), "this is the probability of a fake; D is that of a real pair.", 0.5),
    Slip(over(lambda k, a: -math.log(right_share(k, a))), "this is the logit; D is its sigmoid.", 0.5),
    Slip(over(lambda k, a: 1 / right_share(k, a)), "this is the ratio of the densities; D is p/(p + q).", 0.25),
    Slip(over(lambda k, a: 1 / (1 + k.classes * right_share(k, a))), "the factor 1/K of the labels cancels: real and fake pairs have it both.", 0.25),
], rel=1e-8)  # fmt: skip
PAYS = Rule(over(lambda k, a: pays(right_share(k, a))), [
    Slip(over(lambda k, a: 2 * math.log(2)), "2 log 2 is what a discriminator pays that cannot tell; the best one can.", 0.25),
    Slip(over(lambda k, a: pays(a)), "luck is missing: a class at random is the right one once in K times.", 0.5),
    Slip(over(lambda k, a: pays(right_share(k, a)) / 2), "half of it: the two halves are added.", 0.5),
    Slip(over(lambda k, a: -pays(right_share(k, a))), "the sign: D pays.", 0.5),
    Slip(over(lambda k, a: math.log(1 + right_share(k, a))), "the fake half is missing.", 0.25),
    Slip(over(lambda k, a: pays(right_share(k, a)) - math.log(1 + right_share(k, a))), "the real half is missing.", 0.25),
    Slip(over(lambda k, a: 2 * math.log(2) - pays(right_share(k, a))), "this is twice the JSD; the cost is 2 log 2 minus it.", 0.5),
    Slip(over(lambda k, a: pays(right_share(k, a)) / math.log(2)), "this is in bits; the unit is the nat.", 0.5),
    Slip(over(lambda k, a: math.log(1 + right_share(k, a)) + math.log(1 + 1 / right_share(k, a))), "the fakes that match are only a share of all fakes: weigh them.", 0.5),
], rel=1e-8)  # fmt: skip
q7 = Question("q7", seconds=5)


def shares(d: Draw) -> tuple[Point, ...]:
    return tuple({"a": d.integer(2, 14) / 16} for _ in range(3))


@q7.test(points=1)
def expected_accuracy(student: Any, draw: Draw, k: Constants) -> None:
    judge_formula(student, ACCURACY, k, "expected_accuracy", ["a"], ACCURACY.draw(draw, k, shares))


@q7.test(points=1)
def best_on_a_match(student: Any, draw: Draw, k: Constants) -> None:
    judge_formula(student, BEST, k, "best_D", ["a"], BEST.draw(draw, k, shares))


@q7.test(points=1)
def what_it_pays(student: Any, draw: Draw, k: Constants) -> None:
    judge_formula(student, PAYS, k, "pair_cost", ["a"], PAYS.draw(draw, k, shares))


@q7.public
def _(k: Constants) -> list[Case]:
    point = {"a": 0.5}
    rules = {"expected_accuracy": ACCURACY, "best_D": BEST, "pair_cost": PAYS}
    return [rule.case(k, name, (point,), f"{name} at a = 1/2", at=point) for name, rule in rules.items()]


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7]
