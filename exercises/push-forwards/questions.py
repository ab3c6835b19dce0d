"""Hidden tests and public cases of the assignment `push-forwards`. Keep this file to yourself.

The maps, the models and the budget of the attack are drawn; every right value is computed here from
the drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tools.grader import asking
from tools.grader.asking import Injection
from tools.grader.expressions import judge_formula
from tools.grader.questions import (
    ATTEMPTS,
    Case,
    Constants,
    Draw,
    Nothing,
    Question,
    Rule,
    Slip,
    TestFault,
    Wrong,
    number,
    numbers,
    over,
    plain,
    pure,
    same,
    say,
)

TITLE = "What a generative model is"


# What is drawn ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Described:
    """A map or a model in words, what is true of it, and why."""

    text: str
    answer: str
    why: str


def maps(n: int) -> dict[str, Described]:
    """Maps of a standard normal z, with a number in them; ``answer``: is there a density?"""
    return {
        "turn": Described(rf"$z\in\mathbb R^2$, $x=(z_1+z_2,\ {n}z_1-z_2)$", "yes",
                          "the matrix has a determinant that is not 0"),
        "sum": Described(rf"$z\in\mathbb R^2$, $x=z_1+{n}z_2$, one number", "yes",
                         "it is a normal number; fewer data dimensions than latents do no harm"),
        "cube": Described(rf"$z\in\mathbb R$, $x={n}z^3$", "yes",
                          "the slope is 0 at one point only, which has no mass: the density is infinite there, and exists"),
        "noise": Described(rf"$z\in\mathbb R$, $x=({n}\cos z,\ {n}\sin z)+0.01\,\epsilon$ with normal "
                           r"$\epsilon\in\mathbb R^2$", "yes", "noise in all directions spreads the mass over the plane"),
        "parabola": Described(rf"$z\in\mathbb R$, $x=(z,\ {n}z^2)$", "no", "all samples lie on a curve, which has no area"),
        "rank": Described(rf"$z\in\mathbb R^2$, $x=(z_1+{n}z_2,\ 2z_1+{2 * n}z_2)$", "no",
                          "the determinant is 0: all samples lie on a line"),
        "atom": Described(rf"$z\in\mathbb R$, $x=\max(z,\ -\tfrac1{n})$", "no", "one point has a positive probability: an atom"),
        "tube": Described(rf"$z\in\mathbb R^2$, $x=(\cos z_1,\ \sin z_1,\ {n}z_2)$", "no",
                          "all samples lie on the surface of a tube, which has no volume"),
        "image": Described(rf"$z\in\mathbb R^{{{n}}}$, $x$ an image of 64 pixels, made by a network", "no",
                           "a sheet of fewer dimensions than pixels has no volume"),
    }  # fmt: skip


MODELS = {
    "mixture": Described("a mixture of ten normal densities", "tractable", "the sum of ten densities is a density"),
    "letters": Described("a network that gives the probability of each next letter of a text", "tractable",
                         "the product of its factors is the probability of the text"),
    "kernel": Described("a kernel density estimate: a small bell on each datum", "tractable", "it is a mean of bells"),
    "coupling": Described("a stack of invertible layers with triangular Jacobians", "tractable",
                          "change of variables, with a determinant that costs nothing"),
    "loadings": Described(r"$x=Wz+\mu+\epsilon$ with normal $z$ and $\epsilon$", "tractable", "it is a normal density"),
    "vae": Described("a variational autoencoder", "approximate", "its density is an integral; it has a bound from below"),
    "topics": Described("a model with hidden variables, fitted by a variational bound since its evidence is an integral "
                        "that nobody can do", "approximate", "the bound is what is known of its density"),
    "energy": Described(r"$q(x)=e^{-E(x)}/Z$ with a network $E$, where $Z$ is estimated by sampling", "approximate",
                        "the density is written down up to Z, which is only estimated"),
    "gan": Described("the generator of a GAN, a network of noise", "implicit", "it draws, and gives no density"),
    "traffic": Described("a simulator of traffic, driven by random numbers", "implicit",
                         "it draws; nobody can say how likely a given day is"),
    "render": Described("a program that places random objects in a scene and renders it", "implicit",
                        "it draws pictures, and gives no density of a picture"),
    "patches": Described("a rule that glues together random pieces of old photographs", "implicit",
                         "it draws pictures, and gives no density of a picture"),
    "spam": Described("a network that says how probable it is that a mail is spam", "none",
                      "it models the label given the mail, and never asks which mails there are"),
    "price": Described("a regression of the price of a flat on its size", "none",
                       "it models the price given the size: it draws no flats"),
    "judge": Described("the discriminator of a GAN, without the generator", "none",
                       "it sorts samples into data and fakes, and draws none"),
    "segment": Described("a network that colours each pixel of a photograph by what it shows", "none",
                         "it models labels given the photograph"),
}  # fmt: skip
LETTERS = "ABCDEFGH"


def some(draw: Draw, names: Sequence[str], count: int) -> list[str]:
    """``count`` of the names, in random order."""
    left = list(names)
    return [left.pop(draw.integer(0, len(left) - 1)) for _ in range(count)]


def constants(draw: Draw) -> dict[str, Any]:
    """Numbers of the maps, the maps and models in some order, the budgets of the attack."""
    n = draw.integer(3, 9)
    drawn = maps(n)
    yes, no = ([name for name, m in drawn.items() if m.answer == a] for a in ("yes", "no"))
    order = some(draw, [*some(draw, yes, 3), *some(draw, no, 3)], 6)
    kinds = ("tractable", "approximate", "implicit", "none")
    chosen = [name for kind in kinds for name in some(draw, [m for m, d in MODELS.items() if d.answer == kind], 2)]
    models = some(draw, chosen, 8)
    lines = {f"map_{a}": drawn[name].text for a, name in zip(LETTERS, order, strict=False)}
    lines |= {f"model_{a}": MODELS[name].text for a, name in zip(LETTERS, models, strict=True)}
    first, second = draw.choice([(2, 3), (2, 5), (3, 2), (3, 4), (3, 5), (4, 3), (5, 2), (5, 3)])
    along, across = draw.choice([(3, 4), (5, 12), (4, 5), (2, 7), (2, 3), (3, 2), (2, 5), (5, 3)])
    weight, noise = draw.choice([(2, 3), (3, 2), (2, 5), (5, 2), (3, 4), (4, 3), (3, 5), (5, 3)])
    return {
        "n": n, "order": ",".join(order), "models": ",".join(models), **lines,
        "rate": draw.integer(2, 5), "shift": draw.integer(2, 9), "width": draw.integer(3, 8), "base": draw.integer(2, 9),
        "stretch": draw.integer(2, 7), "scale": draw.choice([2, 3, 4]) / 4, "bend": draw.choice([2, 3, 4, 5, 6]),
        "k1": first, "k2": second, "along": along, "across": across, "weight": weight, "noise": noise,
    }  # fmt: skip


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share an answer, so that one could be copied."""
    alike = any(
        getattr(k, name) == getattr(other, name)
        for name in ("rate", "shift", "width", "base", "stretch", "scale", "bend", "n")
    )
    pairs = (
        (k.k1 * other.k2, k.k2 * other.k1),
        (k.along**2 + k.across**2, other.along**2 + other.across**2),
        (k.weight * other.noise, k.noise * other.weight),
    )
    matching = sum(a == b for a, b in zip(truths(k), truths(other), strict=True))
    same_kinds = sum(a == b for a, b in zip(kinds_of(k), kinds_of(other), strict=True))
    return alike or any(a == b for a, b in pairs) or matching > 3 or same_kinds > 3


def truths(k: Constants) -> list[str]:
    return [maps(k.n)[name].answer for name in k.order.split(",")]


def kinds_of(k: Constants) -> list[str]:
    return [MODELS[name].answer for name in k.models.split(",")]


ROOT = math.sqrt(2 * math.pi)
NO_CONSTANT = "the constant of the normal density, 1/sqrt(2 pi), is missing."


def phi(t: float) -> float:
    return math.exp(-t * t / 2) / ROOT


# Question 1: two maps of the line ----------------------------------------------------------------


def of_exp(k: Constants, x: float) -> float:
    return phi(math.log(x - k.shift) / k.rate) / (k.rate * (x - k.shift))


def at_log(value: Callable[[Constants, float, float], float]) -> Any:
    """A slip as a function of (k, x, z) with the right z."""
    return over(lambda k, x: value(k, x, math.log(x - k.shift) / k.rate))


EXP = Rule(over(of_exp), [
    Slip(at_log(lambda k, x, z: phi(z)), "the Jacobian is missing: where G stretches, the density is thinner.", 0.25),
    Slip(at_log(lambda k, x, z: phi(z) * k.rate * (x - k.shift)), "the Jacobian is upside down: where G stretches, the "
         "density is thinner. Divide by |G'(z)|.", 0.25),
    Slip(at_log(lambda k, x, z: phi(z) / (x - k.shift)), "the rate is missing in the Jacobian: G' = rate times e^(rate "
         "z).", 0.5),
    Slip(at_log(lambda k, x, z: phi(z) / k.rate), "G'(z) is not constant: it is rate times e^(rate z), a function of x.",
         0.25),
    Slip(at_log(lambda k, x, z: ROOT * phi(z) / (k.rate * (x - k.shift))), NO_CONSTANT, 0.5),
    Slip(over(lambda k, x: phi(math.log(x) / k.rate) / (k.rate * x)), "the shift is lost: x minus it is e^(rate z).",
         0.25),
    Slip(over(lambda k, x: phi(math.log(x) / k.rate) / (k.rate * (x - k.shift))), "the shift is lost in the inverse.",
         0.5),
    Slip(at_log(lambda k, x, z: phi(z) / (k.rate * x)), "the shift is lost in the Jacobian.", 0.5),
    Slip(over(lambda k, x: phi(math.log(x - k.shift)) / (x - k.shift)), "the rate is lost: z = log(x - shift) / rate.",
         0.25),
    Slip(at_log(lambda k, x, z: -phi(z) / (k.rate * (x - k.shift))), "a density is not negative.", 0.25),
    Slip(at_log(lambda k, x, z: phi(z) / (k.rate * math.exp(k.rate * x))), "the Jacobian is taken at x; it belongs at "
         "z.", 0.25),
], rel=1e-8)  # fmt: skip


def of_square(k: Constants, x: float) -> float:
    return phi(math.sqrt((x - k.base) / k.width)) / math.sqrt(k.width * (x - k.base))


def at_root(value: Callable[[Constants, float, float], float]) -> Any:
    return over(lambda k, x: value(k, x, math.sqrt((x - k.base) / k.width)))


SQUARE = Rule(over(of_square), [
    Slip(at_root(lambda k, x, z: phi(z) / (2 * k.width * z)), "one branch is missing: two z lead to the same x.", 0.5),
    Slip(at_root(lambda k, x, z: 2 * phi(z)), "the Jacobian is missing.", 0.25),
    Slip(at_root(lambda k, x, z: phi(z)), "the Jacobian is missing, and one of two branches.", 0.25),
    Slip(at_root(lambda k, x, z: 4 * k.width * z * phi(z)), "the Jacobian is upside down: divide by |G'(z)|.", 0.25),
    Slip(at_root(lambda k, x, z: 2 * k.width * z * phi(z)), "the Jacobian is upside down, and a branch is missing.", 0.1),
    Slip(at_root(lambda k, x, z: phi(z) / z), "the factor of z^2 is lost in the Jacobian.", 0.5),
    Slip(at_root(lambda k, x, z: ROOT * phi(z) / (k.width * z)), NO_CONSTANT, 0.5),
    Slip(at_root(lambda k, x, z: 2 * phi(z) / (k.width * z)), "twice too much: G'(z) has a factor 2, and there are two "
         "branches.", 0.5),
    Slip(over(lambda k, x: phi(math.sqrt(x / k.width)) / math.sqrt(k.width * x)), "the shift is lost.", 0.25),
    Slip(over(lambda k, x: phi(math.sqrt(x - k.base)) / math.sqrt(x - k.base)), "the factor of z^2 is lost.", 0.25),
    Slip(at_root(lambda k, x, z: 0.0), "the branches are added with the absolute value of G'; yours cancel.", 0.25),
], rel=1e-8)  # fmt: skip
q1 = Question("q1", seconds=5)


def beyond(draw: Draw, start: int) -> tuple[dict[str, float], ...]:
    """Four x above ``start``, tenths."""
    return tuple({"x": start + draw.integer(2, 60) / 10} for _ in range(4))


@q1.test(points=2)
def exponential(student: Any, draw: Draw, k: Constants) -> None:
    points = EXP.draw(draw, k, lambda x: beyond(x, k.shift))
    judge_formula(student, EXP, k, "density_exp", ["x"], points)


@q1.test(points=2)
def square(student: Any, draw: Draw, k: Constants) -> None:
    points = SQUARE.draw(draw, k, lambda x: beyond(x, k.base))
    judge_formula(student, SQUARE, k, "density_square", ["x"], points)


@q1.public
def _(k: Constants) -> list[Case]:
    one, two = {"x": k.shift + 1.0}, {"x": float(k.base + k.width)}
    return [
        EXP.case(k, "density_exp", (one,), f"density_exp at x = {one['x']:g}, where z = 0", at=one),
        SQUARE.case(k, "density_square", (two,), f"density_square at x = {two['x']:g}, where z is 1 or -1", at=two),
    ]  # fmt: skip


# Question 2: a coupling layer ---------------------------------------------------------------------


def latents(k: Constants, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.double()
    z1 = x[:, 0] / k.stretch
    return z1, (x[:, 1] - k.bend * z1**2) * torch.exp(-k.scale * z1)


def coupled(k: Constants, x: Tensor) -> Tensor:
    z1, z2 = latents(k, x)
    return -(z1**2 + z2**2) / 2 - 2 * math.log(ROOT) - math.log(k.stretch) - k.scale * z1


def with_latents(value: Callable[[Constants, Tensor, Tensor, Tensor], Tensor]) -> Any:
    return lambda k, x: value(k, x.double(), *latents(k, x))


def bell(z1: Tensor, z2: Tensor) -> Tensor:
    return -(z1**2 + z2**2) / 2 - 2 * math.log(ROOT)


COUPLING = Rule(coupled, [
    Slip(with_latents(lambda k, x, a, b: bell(a, b) + math.log(k.stretch) + k.scale * a), "the sign of the log-"
         "determinant: a layer that stretches makes the density lower.", 0.25),
    Slip(with_latents(lambda k, x, a, b: bell(a, b)), "the log-determinant is missing.", 0.25),
    Slip(with_latents(lambda k, x, a, b: bell(a, b) - k.scale * a), "the stretch of the first coordinate is missing in "
         "the log-determinant.", 0.5),
    Slip(with_latents(lambda k, x, a, b: bell(a, b) - math.log(k.stretch)), "the scale of the second coordinate is "
         "missing in the log-determinant.", 0.5),
    Slip(with_latents(lambda k, x, a, b: bell(a, b) + 2 * math.log(ROOT) - math.log(k.stretch) - k.scale * a),
         "the constant of the normal density in the plane, log 2 pi, is missing.", 0.5),
    Slip(with_latents(lambda k, x, a, b: bell(a, b) + math.log(ROOT) - math.log(k.stretch) - k.scale * a),
         "the constant log sqrt(2 pi) counts twice, once a coordinate.", 0.5),
    Slip(with_latents(lambda k, x, a, b: bell(a, b) - math.log(k.stretch) - k.scale * x[:, 0]), "the log-determinant is "
         "taken at x1 where z1 belongs.", 0.5),
    Slip(with_latents(lambda k, x, a, b: bell(a, (x[:, 1] - k.bend * a**2) * torch.exp(k.scale * a))
                      - math.log(k.stretch) - k.scale * a), "the inverse of the second coordinate divides by the scale.",
         0.25),
    Slip(with_latents(lambda k, x, a, b: bell(a, (x[:, 1] + k.bend * a**2) * torch.exp(-k.scale * a))
                      - math.log(k.stretch) - k.scale * a), "in the inverse the bend goes to the other side, with the other "
         "sign.", 0.25),
    Slip(with_latents(lambda k, x, a, b: bell(a, x[:, 1] * torch.exp(-k.scale * a)) - math.log(k.stretch) - k.scale * a),
         "the bend is not taken back in the inverse.", 0.25),
    Slip(with_latents(lambda k, x, a, b: bell(x[:, 0], x[:, 1]) - math.log(k.stretch) - k.scale * a), "the normal density "
         "is taken at x; it belongs at z.", 0.25),
    Slip(with_latents(lambda k, x, a, b: coupled(k, x).exp()), "this is the density; its logarithm is asked for.", 0.25),
], rel=2e-5)  # fmt: skip
q2 = Question("q2", seconds=5)


def on_points(student: Any, x: Tensor) -> tuple[Any, list[float]]:
    reply = student.call("log_density", x)
    if reply.value is None:
        raise Nothing("log_density")
    got = getattr(reply.value, "tensor", reply.value)
    if not isinstance(got, Tensor) or got.shape != x.shape[:1]:
        raise Wrong(f"log_density gives {asking.kind_of(reply.value)}; due is one number for each row of x: a tensor of "
                    f"shape ({len(x)},).")  # fmt: skip
    return reply, plain(got)


def rows(x: Tensor) -> list[str]:
    return [say(x=row) for row in x]


@q2.test(points=1)
def log_densities(student: Any, draw: Draw, k: Constants) -> None:
    (x,) = COUPLING.draw(draw, k, lambda d: (d.normal(10).reshape(5, 2),))
    reply, got = on_points(student, x)
    COUPLING.judge(k, (x,), got, "log_density", rows(x))
    pure(reply, ["x"])


@q2.test(points=1)
def far_out(student: Any, draw: Draw, k: Constants) -> None:
    def sample(d: Draw) -> tuple[Tensor]:
        z = torch.tensor([[float(d.integer(15, 24)), 0.0] for _ in range(3)])  # where rounding is not blown up
        return (torch.stack([k.stretch * z[:, 0], k.bend * z[:, 0] ** 2], 1),)

    (x,) = sample(draw)
    _, got = on_points(student, x)
    if any(map(math.isinf, got)):
        raise Wrong(f"log_density is infinite at {rows(x)[[math.isinf(v) for v in got].index(True)]}: the density has "
                    "underflowed to 0 before its logarithm was taken. Add logarithms.")  # fmt: skip
    COUPLING.judge(k, (x,), got, "log_density", rows(x))


@q2.public
def _(k: Constants) -> list[Case]:
    x = torch.tensor([[0.0, 0.0]])
    return [COUPLING.case(k, "log_density", (x,), "log_density at (0, 0)", args=(x,))]


# Question 3: is there a density at all? -----------------------------------------------------------

q3 = Question("q3", seconds=5)


def table(student: Any, name: str, letters: str) -> dict[str, Any]:
    value = student.get(name)
    if not isinstance(value, dict):
        raise Wrong(f"{name} must be a dictionary with the letters {letters[0]} to {letters[-1]}.")
    given = {str(key).strip().upper(): v for key, v in value.items()}
    missing = [a for a in letters if given.get(a) in (None, ...)]
    if missing:
        raise Wrong(f"{name} has no answer for {', '.join(missing)}: replace the dots.")
    return given


@q3.test(points=2)
def densities(student: Any, draw: Draw, k: Constants) -> None:
    letters = LETTERS[:6]
    given = table(student, "has_density", letters)
    wrong = []
    for a, name in zip(letters, k.order.split(","), strict=True):
        if given[a] not in (True, False):
            raise Wrong(f"has_density: the answer for {a} must be True or False.")
        if bool(given[a]) != (maps(k.n)[name].answer == "yes"):
            wrong.append((a, maps(k.n)[name]))
    if wrong:
        a, which = wrong[0]
        raise Wrong(f"has_density: map {a} has {'a' if which.answer == 'yes' else 'no'} density: {which.why}.",
                    max(0.0, 1 - len(wrong) / 3))  # fmt: skip


def on_curve(k: Constants, z: float) -> float:
    return phi(z) / math.hypot(k.along, 2 * k.across * z)


CURVE = Rule(over(on_curve), [
    Slip(over(lambda k, z: phi(z)), "the length of G'(z) is missing: where the curve is run through fast, the mass is "
         "thin.", 0.25),
    Slip(over(lambda k, z: phi(z) * math.hypot(k.along, 2 * k.across * z)), "upside down: divide by the length of G'(z).",
         0.25),
    Slip(over(lambda k, z: phi(z) / (k.along**2 + 4 * k.across**2 * z**2)), "the length of G'(z) is the root of that sum.",
         0.5),
    Slip(over(lambda k, z: phi(z) / (k.along + 2 * k.across * abs(z))), "the length of a vector is the root of a sum of "
         "squares.", 0.25),
    Slip(over(lambda k, z: phi(z) / math.hypot(k.along, k.across * z)), "the derivative of z^2 is 2 z.", 0.5),
    Slip(over(lambda k, z: phi(z) / math.hypot(k.along * z, k.across * z**2)), "this is the length of G(z); that of G'(z) "
         "is asked for.", 0.25),
    Slip(over(lambda k, z: ROOT * on_curve(k, z)), NO_CONSTANT, 0.5),
    Slip(over(lambda k, z: phi(z) / k.along), "the second coordinate counts too.", 0.25),
], rel=1e-8)  # fmt: skip


@q3.test(points=1)
def along_the_curve(student: Any, draw: Draw, k: Constants) -> None:
    points = CURVE.draw(draw, k, lambda x: tuple({"z": x.integer(-25, 25) / 10} for _ in range(4)))
    judge_formula(student, CURVE, k, "curve_density", ["z"], points)


@q3.public
def _(k: Constants) -> list[Case]:
    return [CURVE.case(k, "curve_density", ({"z": 0.5},), "curve_density at z = 1/2", at={"z": 0.5})]


# Question 4: which family? ------------------------------------------------------------------------

q4 = Question("q4", seconds=5)
KINDS = ("tractable", "approximate", "implicit", "none")


@q4.test(points=2)
def families(student: Any, draw: Draw, k: Constants) -> None:
    given = table(student, "family", LETTERS)
    wrong = []
    for a, name in zip(LETTERS, k.models.split(","), strict=True):
        answer = str(given[a]).strip().lower()
        if answer not in KINDS:
            raise Wrong(f"family: the answer for {a} must be one of {', '.join(KINDS)}.")
        if answer != MODELS[name].answer:
            wrong.append((a, MODELS[name]))
    if wrong:
        a, which = wrong[0]
        raise Wrong(f"family: model {a} is '{which.answer}': {which.why}.", max(0.0, 1 - len(wrong) / 4))


# Question 5: a likelihood of minus infinity -------------------------------------------------------


def length2(k: Constants) -> int:
    return int(k.along**2 + k.across**2)


def mean_log(k: Constants, s: float, d: float) -> float:
    r2 = length2(k)
    return -2 * math.log(ROOT) - math.log(s * s * (r2 + s * s)) / 2 - r2 / (2 * (r2 + s * s)) - d * d / (2 * s * s)


LIKELIHOOD = Rule(over(mean_log), [
    Slip(over(lambda k, s, d: mean_log(k, s, 0.0)), "the distance d off the line is missing.", 0.25),
    Slip(over(lambda k, s, d: mean_log(k, s, 0.0) - d * d / (2 * (length2(k) + s * s))), "the variance across the line "
         "is the noise alone, s^2.", 0.25),
    Slip(over(lambda k, s, d: mean_log(k, s, d) + length2(k) / (2 * (length2(k) + s * s))), "the data vary along the "
         "line: the mean of the square of that coordinate is missing.", 0.5),
    Slip(over(lambda k, s, d: mean_log(k, s, d) + length2(k) / (2 * (length2(k) + s * s)) - 0.5), "the data have the "
         "variance of the clean samples along the line, without the noise.", 0.5),
    Slip(over(lambda k, s, d: mean_log(k, s, d) + 2 * math.log(ROOT)), "the constant of the normal density in the plane, "
         "log 2 pi, is missing.", 0.5),
    Slip(over(lambda k, s, d: mean_log(k, s, d) + math.log(ROOT)), "the constant log sqrt(2 pi) counts twice, once a "
         "direction.", 0.5),
    Slip(over(lambda k, s, d: mean_log(k, s, d) - math.log(s * s * (length2(k) + s * s)) / 2), "the determinant counts "
         "with its root.", 0.25),
    Slip(over(lambda k, s, d: mean_log(k, s, d) + math.log(s * s * (length2(k) + s * s))), "the sign of the logarithm of "
         "the determinant.", 0.25),
    Slip(over(lambda k, s, d: -mean_log(k, s, d)), "the sign: this is the mean of minus log q.", 0.25),
    Slip(over(lambda k, s, d: mean_log(k, s, d * math.sqrt(2))), "the factor 1/2 of the square across is missing.", 0.25),
], rel=1e-8)  # fmt: skip
q5 = Question("q5", seconds=5)


@q5.test(points=2)
def likelihood_with_noise(student: Any, draw: Draw, k: Constants) -> None:
    points = LIKELIHOOD.draw(draw, k, lambda x: tuple(
        {"s": x.integer(2, 40) / 10, "d": x.integer(2, 40) / 10} for _ in range(4)))  # fmt: skip
    judge_formula(student, LIKELIHOOD, k, "mean_log", ["s", "d"], points)


def infinity(value: Any) -> float:
    """What an entry of ``limits`` says, SymPy's infinities included; nan if it is no number."""
    tree = getattr(value, "tree", None)
    if isinstance(tree, list) and tree:
        return {"Infinity": math.inf, "NegativeInfinity": -math.inf}.get(tree[0], math.nan)
    tensor = getattr(value, "tensor", value)
    if isinstance(tensor, Tensor) and tensor.numel() == 1:
        return float(tensor.item())
    return float(value) if isinstance(value, int | float) else math.nan


@q5.test(points=1)
def limits(student: Any, draw: Draw, k: Constants) -> None:
    value = student.get("limits")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Wrong("limits must be two values, for d > 0 and for d = 0.")
    off, on = map(infinity, value)
    if (off, on) == (math.inf, -math.inf):
        raise Wrong("limits: the two are exchanged, or both signs are wrong.")
    if off != -math.inf:
        raise Wrong("limits: with d > 0 the term with d^2/s^2 beats the logarithm of s, however small d is: the limit "
                    "is minus infinity.", 0.5 if on == math.inf else 0.0)  # fmt: skip
    if on != math.inf:
        raise Wrong("limits: with d = 0 only -log s is left to grow: the density on the line itself grows without end.",
                    0.5)  # fmt: skip


# Question 6: an attack ----------------------------------------------------------------------------

LOGIT = """
import torch as _torch
def grader_logit(x):
    return 1.5 * x[0] - 2 * x[1] + 2 * _torch.tanh(0.5 * x[0] - x[1]) + 0.25
"""


def inject_logit(k: Constants) -> Injection:
    return Injection(("grader_logit",), LOGIT)


def logit(x: Tensor) -> Tensor:
    return 1.5 * x[0] - 2 * x[1] + 2 * torch.tanh(0.5 * x[0] - x[1]) + 0.25


def steepest(x: Tensor) -> Tensor:
    leaf = x.double().requires_grad_()
    (g,) = torch.autograd.grad(logit(leaf), leaf)
    return g


def budget(k: Constants) -> Tensor:
    return torch.tensor([float(k.k1), float(k.k2)], dtype=torch.float64)


def to_boundary(k: Constants, w: Tensor, b: float, x: Tensor, sizes: Tensor | None = None, back: int = 1) -> list[float]:
    """The least epsilon, and the point, for changes of at most epsilon times ``sizes``."""
    w, x = w.double(), x.double()
    sizes = budget(k) if sizes is None else sizes
    s = float(w @ x) + b
    epsilon = abs(s) / float(sizes @ w.abs())
    return [epsilon, *(x - back * math.copysign(1, s) * epsilon * sizes * w.sign()).tolist()]


def euclidean(k: Constants, w: Tensor, b: float, x: Tensor) -> list[float]:
    w, x = w.double(), x.double()
    s = float(w @ x) + b
    return [abs(s) / float(w.norm()), *(x - s * w / (w @ w)).tolist()]


def scaled_euclidean(k: Constants, w: Tensor, b: float, x: Tensor) -> list[float]:
    w, x = w.double(), x.double()
    wide = budget(k) * w
    s = float(w @ x) + b
    return [abs(s) / float(wide.norm()), *(x - s * budget(k) * wide / (wide @ wide)).tolist()]


ONES = torch.ones(2, dtype=torch.float64)
NORM = "epsilon is measured in the wrong norm: each coordinate has its own bound, whatever the other does. "
BOUNDARY = Rule(to_boundary, [
    Slip(euclidean, NORM + "This is the shortest way in the Euclidean norm.", 0.25),
    Slip(scaled_euclidean, NORM + "This is the Euclidean norm, with the two sizes in it.", 0.25),
    Slip(lambda k, w, b, x: to_boundary(k, w, b, x, ONES), "the two sizes of the question are missing.", 0.5),
    Slip(lambda k, w, b, x: to_boundary(k, w, b, x, budget(k).flip(0)), "the two sizes are exchanged.", 0.5),
    Slip(lambda k, w, b, x: to_boundary(k, w, b, x, 1 / budget(k)), "a coordinate may change by epsilon times its size, not "
         "divided by it.", 0.25),
    Slip(lambda k, w, b, x: to_boundary(k, w, b, x, back=-1), "the step goes away from the boundary: it makes the "
         "classifier surer.", 0.5),
    Slip(lambda k, w, b, x: to_boundary(k, w, 0.0, x), "the offset b is lost.", 0.25),
    Slip(lambda k, w, b, x: [-to_boundary(k, w, b, x)[0], *to_boundary(k, w, b, x)[1:]], "epsilon is a size, and not "
         "negative.", 0.75),
], rel=1e-4)  # fmt: skip


def attacked(k: Constants, x: Tensor, y: int, epsilon: float, step: Any = None, sizes: Tensor | None = None) -> list[float]:
    g = steepest(x)
    sizes = budget(k) if sizes is None else sizes
    return (x.double() - y * epsilon * sizes * (step or torch.sign)(g)).tolist()


ATTACK = Rule(attacked, [
    Slip(lambda k, x, y, e: attacked(k, x, -y, e), "the sign: this makes the classifier surer of the right label.", 0.25),
    Slip(lambda k, x, y, e: attacked(k, x, y, e, lambda g: g), "a plain gradient step: the most harmful one takes the full "
         "budget of every coordinate, the sign of the slope.", 0.25),
    Slip(lambda k, x, y, e: attacked(k, x, y, e, lambda g: g / g.norm()), NORM + "This is the Euclidean step.", 0.25),
    Slip(lambda k, x, y, e: attacked(k, x, y, e, sizes=ONES), "the two sizes of the question are missing.", 0.5),
    Slip(lambda k, x, y, e: attacked(k, x, y, e, sizes=budget(k).flip(0)), "the two sizes are exchanged.", 0.5),
    Slip(lambda k, x, y, e: attacked(k, x, y, 1.0), "epsilon is not used.", 0.25),
    Slip(lambda k, x, y, e: plain(x), "nothing has moved."),
    Slip(lambda k, x, y, e: [a - b for a, b in zip(attacked(k, x, y, e), plain(x), strict=True)], "this is the change; "
         "the changed point is asked for.", 0.5),
], rel=1e-4)  # fmt: skip
q6 = Question("q6", seconds=15, inject=inject_logit)


@q6.test(points=2)
def straight(student: Any, draw: Draw, k: Constants) -> None:
    def sample(d: Draw) -> tuple[Any, ...]:
        w = torch.tensor([d.integer(2, 12) * d.choice([-1, 1]) / 4 for _ in range(2)])
        return w, d.integer(1, 8) / 4, d.normal(2)

    for _ in range(2):
        w, b, x = BOUNDARY.draw(draw, k, sample)
        reply = student.call("smallest", w, b, x)
        value = reply.value
        if value is None:
            raise Nothing("smallest")
        point = getattr(value[1], "tensor", value[1]) if isinstance(value, list | tuple) and len(value) == 2 else None
        if not isinstance(point, Tensor | list | tuple) or len(plain(point)) != 2:
            raise Wrong("smallest must return (epsilon, point): a number, and a tensor with two numbers.")
        epsilon = plain(getattr(value[0], "tensor", value[0]))
        BOUNDARY.judge(k, (w, b, x), [*epsilon, *plain(point)], "smallest", say(w=w, b=b, x=x))
        pure(reply, ["w", "b", "x"])


def labelled(draw: Draw) -> tuple[Tensor, int]:
    """A point away from the boundary, and the label the classifier gives it."""
    while True:
        x = draw.normal(2)
        s = float(logit(x.double()))
        if 1 < abs(s) < 6:
            return x, 1 if s > 0 else -1


@q6.test(points=1)
def one_step(student: Any, draw: Draw, k: Constants) -> None:
    classifier = student.keep("grader_logit")
    x, y, epsilon = ATTACK.draw(draw, k, lambda d: (*labelled(d), d.integer(2, 12) / 16))
    reply = student.call("attack", classifier, x, y, epsilon)
    if reply.value is None:
        raise Nothing("attack")
    got = getattr(reply.value, "tensor", reply.value)
    if not isinstance(got, Tensor) or got.shape != (2,):
        raise Wrong(f"attack gives {asking.kind_of(reply.value)}; due is a tensor of shape (2,).")
    ATTACK.judge(k, (x, y, epsilon), plain(got), "attack", say(x=x, y=y, epsilon=epsilon))
    after = reply.after[1]
    if isinstance(after, Tensor) and not torch.equal(after, x):
        raise Wrong("attack changes x in place; the caller still needs it.", 0.75)


def flips_at(k: Constants, x: Tensor, y: int, sizes: Tensor | None = None) -> float:
    """The epsilon at which the label changes on the way of the attack, by bisection."""
    low, high = 0.0, 1.0
    while y * float(logit(torch.tensor(attacked(k, x, y, high, sizes=sizes), dtype=torch.float64))) > 0:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        same = y * float(logit(torch.tensor(attacked(k, x, y, middle, sizes=sizes), dtype=torch.float64))) > 0
        low, high = (middle, high) if same else (low, middle)
    return high


def linearised(k: Constants, x: Tensor, y: int) -> float:
    return abs(float(logit(x.double()))) / float(budget(k) @ steepest(x).abs())


FLIP = Rule(lambda k, x, y: [flips_at(k, x, y)], [
    Slip(lambda k, x, y: [linearised(k, x, y)], "this holds for a straight line: the logit bends on the way. Try values of "
         "epsilon.", 0.5),
    Slip(lambda k, x, y: [flips_at(k, x, y, ONES)], "the two sizes of the question are missing.", 0.5),
    Slip(lambda k, x, y: [flips_at(k, x, y, budget(k).flip(0))], "the two sizes are exchanged.", 0.5),
    Slip(lambda k, x, y: [abs(float(logit(x.double())))], "this is the size of the logit."),
    Slip(lambda k, x, y: [flips_at(k, x, y) * float(budget(k).norm())], "this is the length of the change; its epsilon is "
         "asked for.", 0.5),
], rel=2e-3 / 2)  # fmt: skip


@q6.test(points=1)
def found(student: Any, draw: Draw, k: Constants) -> None:
    classifier = student.keep("grader_logit")

    for _ in range(ATTEMPTS):
        x, y = labelled(draw)
        if abs(linearised(k, x, y) / flips_at(k, x, y) - 1) > 0.02:
            break
    else:
        raise TestFault("the logit bends nowhere on the way of the attack")
    got = number(student.call("break_it", classifier, x, y))
    try:
        FLIP.judge(k, (x, y), [got], "break_it", say(x=x, y=y))
    except Wrong:
        own = flips_with(student, classifier, x, y)
        if not (own > 0.01 and same([got], [own], FLIP.rel)):
            raise  # else it is right for the attack of this notebook, which is judged by itself


def flips_with(student: Any, classifier: Any, x: Tensor, y: int) -> float:
    """As :func:`flips_at`, for the notebook's own attack; nan if it changes no label."""

    def stands(epsilon: float) -> bool:
        point = student.call("attack", classifier, x, y, epsilon).tensor
        return y * float(logit(point.double().flatten())) > 0

    low, high = 0.0, 1 / 64
    while stands(high):
        low, high = high, 2 * high
        if high > 1000:
            return math.nan
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if stands(middle) else (low, middle)
    return high


@q6.public
def _(k: Constants) -> list[Case]:
    return [Case("try_smallest", to_boundary(k, torch.tensor([1.0, 1.0]), 0.0, torch.tensor([1.0, 1.0])), [
        (euclidean(k, torch.tensor([1.0, 1.0]), 0.0, torch.tensor([1.0, 1.0])), NORM.strip()),
    ], "smallest for w = (1, 1), b = 0, x = (1, 1): epsilon and the point", rel=1e-4)]  # fmt: skip


# Question 7: evidence, bound, gap -----------------------------------------------------------------


def evidence(a: float, s: float, x: float, **_: float) -> float:
    total = a * a + s * s
    return -math.log(2 * math.pi * total) / 2 - x * x / (2 * total)


def reconstruction(a: float, s: float, x: float, m: float, v: float) -> float:
    return -math.log(2 * math.pi * s * s) / 2 - ((x - a * m) ** 2 + a * a * v) / (2 * s * s)


def prior_gap(m: float, v: float) -> float:
    return (m * m + v - 1 - math.log(v)) / 2


def elbo(a: float, s: float, x: float, m: float, v: float) -> float:
    return reconstruction(a, s, x, m, v) - prior_gap(m, v)


def posterior_gap(a: float, s: float, x: float, m: float, v: float) -> float:
    return evidence(a, s, x) - elbo(a, s, x, m, v)


def of_model(function: Any) -> Any:
    return over(lambda k, **point: function(float(k.weight), float(k.noise), **point))


def reverse_gap(a: float, s: float, x: float, m: float, v: float) -> float:
    """KL of the posterior from q, the wrong way round."""
    mean, var = a * x / (a * a + s * s), s * s / (a * a + s * s)
    return (math.log(v / var) + (var + (mean - m) ** 2) / v - 1) / 2


EVIDENCE = Rule(of_model(evidence), [
    Slip(of_model(lambda a, s, x: evidence(a, 0, x)), "the noise of x given z adds its variance.", 0.25),
    Slip(of_model(lambda a, s, x: evidence(0, s, x)), "this is x given z = 0; z is integrated out.", 0.25),
    Slip(of_model(lambda a, s, x: evidence(math.sqrt(a), math.sqrt(s), x)), "variances are added: the squares of weight and "
         "noise.", 0.25),
    Slip(of_model(lambda a, s, x: evidence(a, s, x) + math.log(ROOT)), NO_CONSTANT, 0.5),
    Slip(of_model(lambda a, s, x: math.exp(evidence(a, s, x))), "this is p(x); its logarithm is asked for.", 0.25),
    Slip(of_model(lambda a, s, x: -evidence(a, s, x)), "the sign.", 0.25),
    Slip(of_model(lambda a, s, x: evidence(a, s, x) - math.log(a * a + s * s) / 2), "the logarithm counts the root of the "
         "variance.", 0.25),
], rel=1e-8)  # fmt: skip
ELBO = Rule(of_model(elbo), [
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, v) + prior_gap(m, v)), "the sign of the KL: the bound "
         "pays for it.", 0.25),
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, v)), "KL(q || p(z)) is missing.", 0.25),
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, 0.0) - prior_gap(m, v)), "the draws of z vary: the "
         "variance v adds to the mean of the square.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, v / (a * a)) - prior_gap(m, v)), "the variance of the "
         "reconstruction is the square of the weight times v.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: elbo(a, s, x, m, v) + math.log(ROOT)), NO_CONSTANT, 0.5),
    Slip(of_model(lambda a, s, x, m, v: elbo(a, s, x, m, v) + math.log(s)), "the scale of the noise is missing in the "
         "constant of the normal density.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, v) - (m * m + v * v - 1 - 2 * math.log(v)) / 2), "v is "
         "the variance; your KL takes it for the sd.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: reconstruction(a, s, x, m, v) - 2 * prior_gap(m, v)), "the factor 1/2 of the KL is "
         "missing.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: -elbo(a, s, x, m, v)), "the sign: this is the loss.", 0.25),
    Slip(of_model(posterior_gap), "this is the gap."),
], rel=1e-8)  # fmt: skip
GAP = Rule(of_model(posterior_gap), [
    Slip(of_model(lambda a, s, x, m, v: -posterior_gap(a, s, x, m, v)), "the sign: the gap is not negative.", 0.25),
    Slip(of_model(reverse_gap), "the arguments of the KL are exchanged: it is KL(q || posterior).", 0.25),
    Slip(of_model(lambda a, s, x, m, v: prior_gap(m, v)), "this is the KL from the prior; the gap is the KL from the "
         "posterior.", 0.25),
    Slip(of_model(lambda a, s, x, m, v: 2 * posterior_gap(a, s, x, m, v)), "the factor 1/2 is missing.", 0.5),
    Slip(of_model(lambda a, s, x, m, v: 0.0), "zero is the gap of one q alone: the posterior.", 0.0),
], rel=1e-8)  # fmt: skip
q7 = Question("q7", seconds=5)


def some_q(draw: Draw) -> tuple[dict[str, float], ...]:
    return tuple(
        {"x": draw.integer(-30, 30) / 10, "m": draw.integer(-15, 15) / 10, "v": draw.integer(2, 30) / 10} for _ in range(4)
    )


@q7.test(points=1)
def the_evidence(student: Any, draw: Draw, k: Constants) -> None:
    points = EVIDENCE.draw(draw, k, lambda d: tuple({"x": d.integer(-30, 30) / 10} for _ in range(4)))
    judge_formula(student, EVIDENCE, k, "evidence", ["x"], points)


@q7.test(points=1)
def the_bound(student: Any, draw: Draw, k: Constants) -> None:
    judge_formula(student, ELBO, k, "elbo", ["x", "m", "v"], ELBO.draw(draw, k, some_q))


@q7.test(points=1)
def the_gap(student: Any, draw: Draw, k: Constants) -> None:
    judge_formula(student, GAP, k, "gap", ["x", "m", "v"], GAP.draw(draw, k, some_q))


@q7.public
def _(k: Constants) -> list[Case]:
    point = {"x": 0.0, "m": 0.0, "v": 1.0}
    return [
        EVIDENCE.case(k, "evidence", ({"x": 0.0},), "evidence at x = 0", at={"x": 0.0}),
        ELBO.case(k, "elbo", (point,), "elbo at x = 0 for q = the prior (m = 0, v = 1)", at=point),
    ]  # fmt: skip


# Question 8: a measure for both -------------------------------------------------------------------


def near(k: Constants, x: Tensor, centres: Tensor, radius: float) -> list[float]:
    """Share of samples near a centre, and the number of centres with a sample near them."""
    gaps = torch.cdist(x.double(), centres.double())
    return [float((gaps.amin(1) <= radius).double().mean()), float((gaps.amin(0) <= radius).sum())]


def manhattan(k: Constants, x: Tensor, centres: Tensor, radius: float) -> list[float]:
    gaps = torch.cdist(x.double(), centres.double(), p=1)
    return [float((gaps.amin(1) <= radius).double().mean()), float((gaps.amin(0) <= radius).sum())]


def over_pairs(k: Constants, x: Tensor, centres: Tensor, radius: float) -> list[float]:
    close = torch.cdist(x.double(), centres.double()) <= radius
    return [float(close.double().mean()), float(close.any(0).sum())]


NEAR = Rule(near, [
    Slip(lambda k, x, c, r: [100 * near(k, x, c, r)[0], near(k, x, c, r)[1]], "the first is a share, between 0 and 1.", 0.75),
    Slip(lambda k, x, c, r: near(k, x, c, r)[::-1], "the two numbers are exchanged.", 0.5),
    Slip(lambda k, x, c, r: [1 - near(k, x, c, r)[0], near(k, x, c, r)[1]], "the first is the share of samples that are "
         "*near*.", 0.5),
    Slip(lambda k, x, c, r: [near(k, x, c, r)[0] * len(x), near(k, x, c, r)[1]], "the first is a share; divide by the number "
         "of samples.", 0.75),
    Slip(lambda k, x, c, r: [near(k, x, c, r)[0], near(k, x, c, r)[1] / len(c)], "the second is a number of centres, not a "
         "share.", 0.75),
    Slip(over_pairs, "the first is a share of the samples, not of all pairs of a sample and a centre.", 0.5),
    Slip(lambda k, x, c, r: near(k, x, c, math.sqrt(r)), "the squared distance is compared with the radius.", 0.5),
    Slip(manhattan, "the distance is the Euclidean one.", 0.5),
    Slip(lambda k, x, c, r: [near(k, x, c[:1], r)[0], near(k, x, c, r)[1]], "only the first centre counts.", 0.5),
    Slip(lambda k, x, c, r: [near(k, x, c, r)[0], float(len(c))], "a centre without a sample near it is not found.", 0.5),
], rel=1e-5)  # fmt: skip
q8 = Question("q8", seconds=5)


@q8.test(points=1)
def measured(student: Any, draw: Draw, k: Constants) -> None:
    def sample(d: Draw) -> tuple[Any, ...]:
        return d.normal(32, 2.0).reshape(16, 2), d.normal(10, 2.0).reshape(5, 2), d.integer(20, 36) / 16

    inputs = NEAR.draw(draw, k, sample)
    got = numbers(student.call("near", *inputs), 2, "(share near a centre, centres found)")
    NEAR.judge(k, inputs, got, "near", "16 samples, 5 centres, radius " + f"{inputs[2]:g}")


@q8.public
def _(k: Constants) -> list[Case]:
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.5, 0.0], [9.0, 9.0], [-0.5, 0.0]])
    centres = torch.tensor([[0.0, 0.0], [3.0, 0.5], [-5.0, 0.0]])
    return [NEAR.case(k, "near", (x, centres, 1.0), "near for five samples and three centres", args=(x, centres, 1.0))]


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7, q8]
