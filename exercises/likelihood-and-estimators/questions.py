"""Hidden tests and public cases of the assignment `likelihood-and-estimators`. Keep it to yourself.

``k.prior`` is the variance of the latent, ``k.scale`` the scale of the Laplace decoder; a cost has
the slopes ``k.up`` and ``-k.down`` on the two sides of ``k.centre``; Gumbel noise is multiplied by
``k.gamma``; the flow stretches by ``k.stretch``, and its likelihood has the weight ``k.weight``.
Every right value is computed here from the drawn inputs, and so is every slip's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tools.grader.asking import Injection
from tools.grader.expressions import judge_formula, read_number
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
    slopes,
    trainable,
    varied,
)

TITLE = "Likelihood, and gradients through randomness"

COSTS = [(1, 3), (3, 1), (1, 4), (4, 1), (2, 7), (7, 2), (1, 5), (5, 1), (2, 5), (5, 2)]


def constants(draw: Draw) -> dict[str, Any]:
    up, down = draw.choice(COSTS)
    return {
        "prior": draw.choice([2, 3, 4, 5, 6]),
        "scale": draw.choice([0.2, 0.25, 0.3, 0.4, 0.8]),
        "up": up,
        "down": down,
        "centre": draw.choice([-2.5, -2, -1.5, 1.5, 2.5, 3.5]),
        "gamma": draw.choice([2, 3, 4, 5]),
        "stretch": draw.choice([2, 3, 4, 5, 6]),
        "weight": draw.choice([0.05, 0.1, 0.2, 0.25]),
    }


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share a number that decides, so that an answer could be copied."""
    return (
        any(getattr(k, n) == getattr(other, n) for n in ("prior", "scale", "centre", "gamma"))
        or k.stretch == other.stretch
        or k.weight == other.weight
        or k.up * other.down == k.down * other.up
    )


SIGN = "the sign."
MEAN_LATENTS = (
    "a mean over the latents: the divergence of independent latents is the sum of theirs."
)
MEAN_PIXELS = "a mean over the pixels: the log of a product is the sum of the logs."
AS_LOG_SD = "logvar is taken for the log of the standard deviation: the variance is exp(logvar)."


# Question 1: the two terms --------------------------------------------------------------------


def kl_each(k: Constants, mu: Tensor, logvar: Tensor) -> Tensor:
    """The divergence to the prior of every latent alone."""
    mu, logvar = mu.double(), logvar.double()
    return ((mu**2 + logvar.exp()) / k.prior - 1 - logvar + math.log(k.prior)) / 2


def kl(k: Constants, mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_each(k, mu, logvar).sum(1)


def kl_reverse(k: Constants, mu: Tensor, logvar: Tensor) -> Tensor:
    mu, logvar = mu.double(), logvar.double()
    each = (k.prior + mu**2) / logvar.exp() - 1 + logvar - math.log(k.prior)
    return (each / 2).sum(1)


KL = Rule(kl, [
    Slip(lambda k, m, v: -kl(k, m, v), SIGN + " A divergence is never negative.", 0.25),
    Slip(lambda k, m, v: kl(varied(k, prior=1), m, v), "this is the divergence to N(0, 1); the prior of the question is wider.", 0.5),
    Slip(lambda k, m, v: kl(varied(k, prior=k.prior**2), m, v), "the question gives the variance of the prior; it is squared once more.", 0.5),
    Slip(lambda k, m, v: kl(k, m, 2 * v), AS_LOG_SD, 0.25),
    Slip(lambda k, m, v: kl(k, m, v / 2), "the standard deviation stands where the variance belongs.", 0.25),
    Slip(kl_reverse, "the order of the arguments: the mean is over the encoder's q, not over the prior.", 0.25),
    Slip(lambda k, m, v: 2 * kl(k, m, v), "the factor 1/2 is missing.", 0.5),
    Slip(lambda k, m, v: kl(k, m, v) / m.shape[1], MEAN_LATENTS, 0.25),
    Slip(lambda k, m, v: kl(k, m, v) - m.shape[1] * math.log(k.prior) / 2, "the logarithm of the prior's variance is missing.", 0.5),
    Slip(lambda k, m, v: kl(k, m, v) + m.shape[1] / 2, "the -1 is missing: the divergence of the prior from itself is 0.", 0.5),
])  # fmt: skip


def fit(k: Constants, x: Tensor, mean: Tensor) -> Tensor:
    return (-(x.double() - mean.double()).abs() / k.scale - math.log(2 * k.scale)).sum(1)


def fit_bare(k: Constants, x: Tensor, mean: Tensor) -> Tensor:
    return (-(x.double() - mean.double()).abs() / k.scale).sum(1)


FIT = Rule(fit, [
    Slip(lambda k, x, m: -fit(k, x, m), SIGN + " The log-density is asked for, not a loss.", 0.5),
    Slip(fit_bare, "the normalising factor 1/(2b) of the density is missing.", 0.5),
    Slip(lambda k, x, m: -fit_bare(k, x, m), "the normalising factor 1/(2b) of the density is missing, and the sign.", 0.25),
    Slip(lambda k, x, m: fit_bare(k, x, m) - math.log(2 * k.scale), "the normalising factor counts once for every pixel, not once for all of them.", 0.5),
    Slip(lambda k, x, m: fit_bare(k, x, m) - x.shape[1] * math.log(k.scale), "the 2 of the factor 1/(2b) is missing.", 0.5),
    Slip(lambda k, x, m: fit_bare(k, x, m) * k.scale**2 - x.shape[1] * math.log(2 * k.scale), "the distance is multiplied by b; it is divided by it.", 0.25),
    Slip(lambda k, x, m: (-((x.double() - m.double()) ** 2) / (2 * k.scale**2) - math.log(k.scale * math.sqrt(2 * math.pi))).sum(1),
         "this is the normal density; the decoder of the question is Laplace's, with the absolute value.", 0.25),
    Slip(lambda k, x, m: fit(k, x, m) / x.shape[1], MEAN_PIXELS, 0.25),
])  # fmt: skip
q1 = Question("q1", seconds=5)


def some(draw: Draw, *shape: int, scale: float = 1.0) -> Tensor:
    return draw.normal(math.prod(shape), scale).reshape(shape)


def of_rows(
    student: Any, draw: Draw, k: Constants, name: str, rule: Rule, names: Sequence[str]
) -> None:
    inputs = rule.draw(draw, k, lambda d: (some(d, 4, 3), some(d, 4, 3)))
    reply = student.call(name, *inputs)
    got = shaped(reply, (4,), "one number for each row, added up over the columns")
    rule.judge(k, inputs, got, name, say(**dict(zip(names, inputs, strict=True))))
    pure(reply, names)


@q1.test(points=1)
def divergence(student: Any, draw: Draw, k: Constants) -> None:
    of_rows(student, draw, k, "kl", KL, ["mu", "logvar"])


@q1.test(points=1)
def log_density_of_pixels(student: Any, draw: Draw, k: Constants) -> None:
    of_rows(student, draw, k, "fit", FIT, ["x", "mean"])


@q1.public
def _(k: Constants) -> list[Case]:
    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.5]])
    return [
        KL.case(k, "kl", (one, two), "kl of mu = [[1, 0]], logvar = [[-1, 0.5]]", args=(one, two)),
        FIT.case(k, "fit", (one, two), "fit of x = [[1, 0]], mean = [[-1, 0.5]]", args=(one, two)),
    ]


# Question 2: the bound ------------------------------------------------------------------------

DECODER = """
import torch as _torch
def grader_decoder(seed, latents, pixels):
    g = _torch.Generator().manual_seed(seed)
    weight = _torch.randn(latents, pixels, generator=g)
    return lambda z: _torch.tanh(z @ weight.to(z.dtype))
"""
TERMS = """
import math as _math
def kl(mu, logvar):
    return ((mu**2 + logvar.exp()) / PRIOR - 1 - logvar + _math.log(PRIOR)).sum(1) / 2
def fit(x, mean):
    return (-(x - mean).abs() / SCALE - _math.log(2 * SCALE)).sum(1)
"""
mine: dict[str, Any] = {}
exec(DECODER, mine)


def inject_terms(k: Constants) -> Injection:
    source = DECODER + TERMS.replace("PRIOR", str(k.prior)).replace("SCALE", str(k.scale))
    return Injection(("grader_decoder", "kl", "fit"), source)


def bound(
    spread: Callable[[Tensor], Tensor] = lambda v: (v / 2).exp(),
    whole: Callable[..., Tensor] = lambda f, d: (f - d).mean(),
) -> Any:
    """The ELBO with another standard deviation, or its terms put together in another way."""

    def value(
        k: Constants, x: Tensor, mu: Tensor, logvar: Tensor, noise: Tensor, seed: int
    ) -> Tensor:
        decode = mine["grader_decoder"](seed, mu.shape[1], x.shape[1])
        z = mu.double() + spread(logvar.double()) * noise.double()
        return whole(fit(k, x, decode(z)), kl(k, mu, logvar))

    return value


ELBO = Rule(bound(), [
    Slip(bound(whole=lambda f, d: (f + d).mean()), "the sign of the divergence: it is what the bound charges for leaving the prior.", 0.25),
    Slip(bound(whole=lambda f, d: (d - f).mean()), "this is the loss, minus the bound.", 0.5),
    Slip(bound(whole=lambda f, d: (f - d).sum()), "a sum over the batch; the question asks for the mean.", 0.5),
    Slip(bound(whole=lambda f, d: f.mean()), "the divergence is missing: this is the fit alone.", 0.25),
    Slip(bound(whole=lambda f, d: -d.mean()), "the fit is missing.", 0.0),
    Slip(bound(lambda v: v.exp()), "the noise is multiplied by the variance; exp(logvar / 2) is the standard deviation.", 0.5),
    Slip(bound(lambda v: v), "the noise is multiplied by logvar itself; exp(logvar / 2) is the standard deviation.", 0.25),
    Slip(bound(lambda v: 0 * v), "the noise is not used: the decoder sees the mean alone, and this is no estimate of the bound.", 0.25),
    Slip(bound(lambda v: 0 * v + 1), "the noise is not scaled by the encoder's standard deviation.", 0.25),
])  # fmt: skip
NAMES = ["mu", "logvar"]
q2 = Question("q2", seconds=6, inject=inject_terms)


def batch(draw: Draw) -> tuple[Any, ...]:
    return (some(draw, 3, 4), some(draw, 3, 2), some(draw, 3, 2), some(draw, 3, 2), draw.seed())


def ask_bound(student: Any, inputs: Sequence[Any]) -> Any:
    *tensors, seed = inputs
    decode = student.make("grader_decoder", seed, 2, 4)
    return student.call("elbo", *tensors, decode, wrt=(1, 2))


@q2.test(points=2)
def bound_values(student: Any, draw: Draw, k: Constants) -> None:
    inputs = ELBO.draw(draw, k, batch)
    reply = ask_bound(student, inputs)
    ELBO.judge(k, inputs, [number(reply)], "elbo", say(mu=inputs[1], logvar=inputs[2]))
    pure(reply, ["x", *NAMES, "noise"])


@q2.test(points=1)
def bound_trains(student: Any, draw: Draw, k: Constants) -> None:
    """The gradients are those of the student's own kind of bound: of the right one or of its loss."""
    inputs = ELBO.draw(draw, k, batch)
    x, mu, logvar, noise, seed = inputs
    got = trainable(ask_bound(student, inputs), NAMES)
    due = slopes(lambda m, v: bound()(k, x, m, v, noise, seed), mu, logvar)
    no_path = slopes(lambda m, v: -kl(k, m, v).mean(), mu, logvar)
    if all(abs(a - b) <= 1e-4 * max(1, abs(b)) for a, b in zip(got, no_path, strict=True)):
        raise Wrong(
            "the gradient reaches the encoder through the divergence alone: z is cut off (detach, "
            "no_grad, or sample() in place of rsample()), so the fit teaches it nothing."
        )
    signs = (1.0, -1.0, float(len(x)))
    if not any(
        all(abs(a - s * b) <= 1e-4 * max(1, abs(b)) for a, b in zip(got, due, strict=True))
        for s in signs
    ):
        raise Wrong(
            "the gradients with respect to mu and logvar are not those of the bound; its value is "
            "judged apart."
        )


@q2.public
def _(k: Constants) -> list[Case]:
    x, zero = torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)
    right = float((fit(k, x, zero + 1) - kl(k, zero, zero)).mean())
    wrong = float((fit(k, x, zero + 1) + kl(k, zero, zero)).mean())
    slips: list[tuple[Sequence[float], str]] = [
        ([wrong], "the sign of the divergence."),
        ([-right], "this is the loss, minus the bound."),
    ]
    return [Case("try_elbo", [right], slips, "elbo of x = [[1, 0]], mu = logvar = 0, noise = 1 and a decoder that gives back z")]  # fmt: skip


# Question 3: a bound on paper -----------------------------------------------------------------

Point = dict[str, float]


def some_points(draw: Draw, names: Sequence[str], count: int = 4) -> tuple[Point, ...]:
    """Points with positive coordinates, multiples of 1/8."""
    return tuple({n: draw.integer(3, 24) / 8 for n in names} for _ in range(count))


def expected(k: Constants, x: float, m: float, s: float, w: float, v: float) -> float:
    return -math.log(2 * math.pi * v) / 2 - ((x - w * m) ** 2 + w**2 * s**2) / (2 * v)


EXPECTED = Rule(over(expected), [
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, 0, w, v)), "this is the fit at the encoder's mean; the spread of z moves w z too.", 0.25),
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, s / w, w, v)), "the variance of w z is w^2 s^2.", 0.5),
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, math.sqrt(s), w, v)), "s is the standard deviation of z, not its variance.", 0.5),
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, s, w, v) + math.log(2 * math.pi * v) / 2), "the normalising factor of the normal density is missing.", 0.5),
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, s, w, v) + math.log(2 * math.pi) / 2), "the 2 pi of the normal density is missing.", 0.5),
    Slip(over(lambda k, x, m, s, w, v: -expected(k, x, m, s, w, v)), SIGN, 0.5),
    Slip(over(lambda k, x, m, s, w, v: expected(k, x, m, s, w, v**2)), "v is the variance of x given z, not its standard deviation.", 0.5),
    Slip(over(lambda k, x, m, s, w, v: -math.log(2 * math.pi * (v + w**2 * s**2)) / 2 - (x - w * m) ** 2 / (2 * (v + w**2 * s**2))),
         "this is the log of the mean density; the bound holds the mean of the log.", 0.25),
], rel=1e-8)  # fmt: skip


def best_variance(k: Constants, w: float, v: float) -> float:
    return 1 / (1 / k.prior + w**2 / v)


BEST_SD = Rule(over(lambda k, w, v: math.sqrt(best_variance(k, w, v))), [
    Slip(over(best_variance), "this is the variance; the standard deviation is asked for.", 0.5),
    Slip(over(lambda k, w, v: math.sqrt(best_variance(varied(k, prior=1), w, v))), "this is for a prior of variance 1.", 0.5),
    Slip(over(lambda k, w, v: math.sqrt(v) / w), "the prior is left out: this maximises likelihood in z alone.", 0.25),
    Slip(over(lambda k, w, v: math.sqrt(k.prior)), "this is the prior's; what x says narrows it.", 0.0),
    Slip(over(lambda k, w, v: math.sqrt(w**2 * k.prior + v)), "this is the standard deviation of x, not of z given x.", 0.0),
    Slip(over(lambda k, w, v: 1 / math.sqrt(best_variance(k, w, v))), "upside down: this is one over the standard deviation.", 0.25),
    Slip(over(lambda k, w, v: math.sqrt(1 / (1 / k.prior + 1 / v))), "the slope w of the decoder is missing.", 0.25),
], rel=1e-8)  # fmt: skip


def evidence(k: Constants, x: float, w: float, v: float) -> float:
    total = w**2 * k.prior + v
    return -math.log(2 * math.pi * total) / 2 - x**2 / (2 * total)


def prior_bound(k: Constants, x: float, w: float, v: float) -> float:
    return expected(k, x, 0, math.sqrt(k.prior), w, v)


def gap(k: Constants, x: float, w: float, v: float) -> float:
    return evidence(k, x, w, v) - prior_bound(k, x, w, v)


def gap_other_way(k: Constants, x: float, w: float, v: float) -> float:
    """KL from the posterior to the prior."""
    s2 = best_variance(k, w, v)
    m = s2 * w * x / v
    return ((s2 + m**2) / k.prior - 1 + math.log(k.prior / s2)) / 2


GAP = Rule(over(gap), [
    Slip(over(lambda k, x, w, v: -gap(k, x, w, v)), SIGN + " The bound is below the evidence.", 0.5),
    Slip(over(gap_other_way), "this is the divergence of the posterior from the prior; the gap has its mean over q.", 0.25),
    Slip(over(evidence), "this is the log evidence alone.", 0.25),
    Slip(over(lambda k, x, w, v: -prior_bound(k, x, w, v)), "this is minus the bound alone.", 0.25),
    Slip(over(lambda k, x, w, v: gap(varied(k, prior=1), x, w, v)), "this is for a prior of variance 1.", 0.5),
    Slip(over(lambda k, x, w, v: 0.0), "the gap is zero for the posterior only; here q does not look at x.", 0.0),
    Slip(over(lambda k, x, w, v: evidence(k, x, w, v) - expected(k, x, 0, 0, w, v)), "the spread of the prior is missing in the fit.", 0.25),
], rel=1e-8)  # fmt: skip
q3 = Question("q3", seconds=5)
FORMULAS = {
    "expected_fit": (EXPECTED, "xmswv"),
    "best_sd": (BEST_SD, "wv"),
    "gap_at_prior": (GAP, "xwv"),
}


def of_formula(student: Any, draw: Draw, k: Constants, name: str) -> None:
    rule, letters = FORMULAS[name]
    points = rule.draw(draw, k, lambda d: some_points(d, letters))
    judge_formula(student, rule, k, name, list(letters), points)


@q3.test(points=1)
def mean_of_the_fit(student: Any, draw: Draw, k: Constants) -> None:
    of_formula(student, draw, k, "expected_fit")


@q3.test(points=1)
def width_of_the_best(student: Any, draw: Draw, k: Constants) -> None:
    of_formula(student, draw, k, "best_sd")


@q3.test(points=1)
def gap_of_the_prior(student: Any, draw: Draw, k: Constants) -> None:
    of_formula(student, draw, k, "gap_at_prior")


@q3.public
def _(k: Constants) -> list[Case]:
    cases = []
    for name, (rule, letters) in FORMULAS.items():
        point = {n: 1.0 + i / 2 for i, n in enumerate(letters)}
        at = ", ".join(f"{n} = {value:g}" for n, value in point.items())
        cases.append(rule.case(k, name, (point,), f"{name} at {at}", at=point))
    return cases


# Question 4: two estimators -------------------------------------------------------------------


def cost(k: Constants, x: Tensor) -> Tensor:
    far = x - k.centre
    return k.up * far.clamp_min(0) + k.down * (-far).clamp_min(0)


def slope(k: Constants, x: Tensor) -> Tensor:
    return torch.where(x > k.centre, float(k.up), -float(k.down))


def swapped(k: Constants) -> Constants:
    return varied(k, up=k.down, down=k.up)


def absolute(k: Constants) -> Constants:
    return varied(k, up=1, down=1)


def draw_x(mu: float, sigma: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    e = noise.double()
    return mu + sigma * e, e


def pathwise(k: Constants, mu: float, sigma: float, noise: Tensor) -> Tensor:
    x, e = draw_x(mu, sigma, noise)
    return torch.stack([slope(k, x), slope(k, x) * e], 1)


def by_path(columns: Callable[..., tuple[Tensor, Tensor]]) -> Any:
    def value(k: Constants, mu: float, sigma: float, noise: Tensor) -> Tensor:
        x, e = draw_x(mu, sigma, noise)
        return torch.stack(columns(k, x, e, sigma), 1)

    return value


PATHWISE = Rule(pathwise, [
    Slip(by_path(lambda k, x, e, s: (-slope(k, x), -slope(k, x) * e)), SIGN + " Every estimate points uphill.", 0.25),
    Slip(by_path(lambda k, x, e, s: (slope(swapped(k), x), slope(swapped(k), x) * e)), "the two slopes of the cost are exchanged.", 0.25),
    Slip(by_path(lambda k, x, e, s: (slope(absolute(k), x), slope(absolute(k), x) * e)), "this is for |x - c|; the cost of the question has two slopes.", 0.25),
    Slip(by_path(lambda k, x, e, s: (slope(k, x), slope(k, x))), "the column of sigma: x = mu + sigma e moves by e when sigma moves by 1.", 0.5),
    Slip(by_path(lambda k, x, e, s: (slope(k, x), slope(k, x) * s)), "the column of sigma: dx/dsigma is the noise, not sigma.", 0.5),
    Slip(by_path(lambda k, x, e, s: (slope(k, x), slope(k, x) * x)), "the column of sigma: dx/dsigma is the noise, not x.", 0.5),
    Slip(by_path(lambda k, x, e, s: (slope(k, x) * e, slope(k, x))), "the columns are exchanged: mu first.", 0.5),
    Slip(by_path(lambda k, x, e, s: (cost(k, x), cost(k, x) * e)), "this holds the cost; the pathwise estimate has its slope.", 0.25),
    Slip(by_path(lambda k, x, e, s: (slope(k, x) * s, slope(k, x) * s * e)), "sigma is multiplied in: dx/dmu is 1.", 0.25),
])  # fmt: skip


def score(k: Constants, mu: float, sigma: float, noise: Tensor, baseline: float) -> Tensor:
    x, e = draw_x(mu, sigma, noise)
    return (cost(k, x) - baseline)[:, None] * torch.stack([e / sigma, (e**2 - 1) / sigma], 1)


def by_score(
    columns: Callable[..., tuple[Tensor, Tensor]], pay: Any = lambda k, x, b: cost(k, x) - b
) -> Any:
    def value(k: Constants, mu: float, sigma: float, noise: Tensor, baseline: float) -> Tensor:
        x, e = draw_x(mu, sigma, noise)
        return pay(k, x, baseline)[:, None] * torch.stack(columns(x, e, sigma), 1)

    return value


def both(x: Tensor, e: Tensor, s: float) -> tuple[Tensor, Tensor]:
    return e / s, (e**2 - 1) / s


SCORE = Rule(score, [
    Slip(by_score(both, lambda k, x, b: cost(k, x)), "the baseline is not used.", 0.5),
    Slip(by_score(both, lambda k, x, b: cost(k, x) + b), "the baseline is added; it is subtracted from the cost.", 0.5),
    Slip(by_score(both, lambda k, x, b: b - cost(k, x)), SIGN + " It is (cost - baseline) times the slope of the log-density, not of its negative.", 0.25),
    Slip(by_score(both, lambda k, x, b: slope(k, x) - b), "this holds the slope; the score-function estimate has the cost.", 0.25),
    Slip(by_score(both, lambda k, x, b: cost(swapped(k), x) - b), "the two slopes of the cost are exchanged.", 0.25),
    Slip(by_score(both, lambda k, x, b: cost(absolute(k), x) - b), "this is for |x - c|; the cost of the question has two slopes.", 0.25),
    Slip(by_score(lambda x, e, s: (e, (e**2 - 1) / s)), "the score of mu is (x - mu)/sigma^2 = e/sigma.", 0.5),
    Slip(by_score(lambda x, e, s: (e / s, e**2 / s)), "the score of sigma: log sigma in the log-density gives -1/sigma. Without it the score's mean is not zero.", 0.5),
    Slip(by_score(lambda x, e, s: (e / s, e**2 - 1)), "the score of sigma is (e^2 - 1)/sigma.", 0.5),
    Slip(by_score(lambda x, e, s: (e, e**2 - 1)), "the scores lack 1/sigma.", 0.25),
    Slip(by_score(lambda x, e, s: ((e**2 - 1) / s, e / s)), "the columns are exchanged: mu first.", 0.5),
    Slip(by_score(lambda x, e, s: (e / s**2, (e**2 - 1) / s)), "the score of mu is (x - mu)/sigma^2, and x - mu = sigma e.", 0.5),
])  # fmt: skip
q4 = Question("q4", seconds=5)
COLUMNS = "a row for each sample, the columns d/dmu and d/dsigma"


def normal_case(k: Constants, draw: Draw, n: int) -> tuple[float, float, Tensor]:
    """mu near the kink, sigma, and noise with samples on both sides of it.

    In units of 1/64, mu is odd away from the kink and sigma * noise is even: no sample is on it.
    """
    while True:
        mu = k.centre + draw.integer(-12, 12) / 16 + 1 / 64
        sigma, noise = draw.choice([0.5, 1.5, 2.0, 2.5]), draw.normal(n)
        above = mu + sigma * noise > k.centre
        if 1 < above.sum() < n - 1:
            return mu, sigma, noise


@q4.test(points=1.5)
def by_the_path(student: Any, draw: Draw, k: Constants) -> None:
    inputs = PATHWISE.draw(draw, k, lambda d: normal_case(k, d, 6))
    got = shaped(student.call("pathwise", *inputs), (6, 2), COLUMNS)
    PATHWISE.judge(k, inputs, got, "pathwise", say(mu=inputs[0], sigma=inputs[1], noise=inputs[2]), (len(got) // 2, 2))


@q4.test(points=1.5)
def by_the_score(student: Any, draw: Draw, k: Constants) -> None:
    inputs = SCORE.draw(draw, k, lambda d: (*normal_case(k, d, 6), d.integer(3, 30) / 8))
    got = shaped(student.call("score", *inputs), (6, 2), COLUMNS)
    SCORE.judge(
        k,
        inputs,
        got,
        "score",
        say(mu=inputs[0], sigma=inputs[1], noise=inputs[2], baseline=inputs[3]),
        shape=(6, 2),
    )


@q4.public
def _(k: Constants) -> list[Case]:
    return [
        Case("try_pathwise", list(map(float, pathwise(k, k.centre, 2.0, torch.tensor([1.5])).flatten())), [], "pathwise at mu = the kink, sigma = 2, noise = [1.5]"),
        Case("try_score", list(map(float, score(k, k.centre, 2.0, torch.tensor([1.5]), 1.0).flatten())), [], "score at mu = the kink, sigma = 2, noise = [1.5], baseline = 1"),
    ]  # fmt: skip


# Question 5: how noisy ------------------------------------------------------------------------

ESTIMATORS = """
import torch as _torch
def _grader_x(mu, sigma, noise):
    return mu + sigma * noise - CENTRE
def cost(x):
    far = _torch.as_tensor(x) - CENTRE
    return UP * far.clamp_min(0) + DOWN * (-far).clamp_min(0)
def pathwise(mu, sigma, noise):
    slope = _torch.where(_grader_x(mu, sigma, noise) > 0, float(UP), -float(DOWN))
    return _torch.stack([slope, slope * noise], 1)
def score(mu, sigma, noise, baseline):
    pay = cost(mu + sigma * noise) - baseline
    return _torch.stack([pay * noise / sigma, pay * (noise**2 - 1) / sigma], 1)
"""


def inject_estimators(k: Constants) -> Injection:
    source = ESTIMATORS
    for name in ("up", "down", "centre"):
        source = source.replace(name.upper(), f"({getattr(k, name)})")
    return Injection(("cost", "pathwise", "score"), source)


def estimates(
    k: Constants, mu: float, sigma: float, noise: Tensor, baseline: str = "others"
) -> Tensor:
    """Estimates of d/dmu, a row for each of the three estimators."""
    x, _ = draw_x(mu, sigma, noise)
    pay = cost(k, x)
    others = (pay.sum() - pay) / (len(pay) - 1)
    chosen = {"others": others, "all": pay.mean() + 0 * pay, "none": 0 * pay, "half": others / 2}
    plain_score = score(k, mu, sigma, noise, 0.0)
    weights = plain_score[:, 0] - score(k, mu, sigma, noise, 1.0)[:, 0]
    third = plain_score[:, 0] - chosen[baseline] * weights
    return torch.stack([pathwise(k, mu, sigma, noise)[:, 0], plain_score[:, 0], third])


def summary(rows: Tensor, spread: Callable[[Tensor], Tensor] = lambda r: r.var(1)) -> Tensor:
    return torch.stack([rows.mean(1), spread(rows)], 1)


def measured(spread: Any = lambda r: r.var(1), baseline: str = "others") -> Any:
    return lambda k, mu, sigma, noise: summary(estimates(k, mu, sigma, noise, baseline), spread)


def of_sigma(k: Constants, mu: float, sigma: float, noise: Tensor) -> Tensor:
    x, _ = draw_x(mu, sigma, noise)
    pay = cost(k, x)
    others = (pay.sum() - pay) / (len(pay) - 1)
    zero, one = (score(k, mu, sigma, noise, b)[:, 1] for b in (0.0, 1.0))
    rows = torch.stack([pathwise(k, mu, sigma, noise)[:, 1], zero, zero - others * (zero - one)])
    return summary(rows)


MEASURE = Rule(measured(), [
    Slip(measured(baseline="all"), "the baseline holds the sample's own cost: with the mean over all samples the estimate shrinks by 1 - 1/N.", 0.5),
    Slip(measured(baseline="none"), "the third row has no baseline.", 0.5),
    Slip(measured(lambda r: r.var(1, correction=0)), "the variance is divided by N; the question divides by N - 1.", 0.75),
    Slip(measured(lambda r: r.std(1)), "this is the standard deviation; the variance is asked for.", 0.5),
    Slip(measured(lambda r: (r**2).mean(1)), "this is the mean of the squares; the square of the mean is to be subtracted.", 0.5),
    Slip(measured(lambda r: r.var(1) / r.shape[1]), "this is the variance of the mean of all samples; that of one estimate is asked for.", 0.5),
    Slip(of_sigma, "this is the column of sigma; the question asks for d/dmu.", 0.5),
    Slip(lambda k, m, s, n: measured()(k, m, s, n).flip(1), "the columns are exchanged: the mean first.", 0.5),
])  # fmt: skip


def coin(k: Constants, P: float) -> float:
    return float((k.up + k.down) ** 2 * P * (1 - P))


COIN = Rule(over(coin), [
    Slip(over(lambda k, P: P * (1 - P)), "this is the variance of a coin that says 0 or 1; the slope jumps by more.", 0.25),
    Slip(over(lambda k, P: 4 * P * (1 - P)), "this is for |x - c|, whose slope is 1 or -1.", 0.25),
    Slip(over(lambda k, P: k.up**2 * P + k.down**2 * (1 - P)), "this is the mean of the square; the square of the mean is to be subtracted.", 0.5),
    Slip(over(lambda k, P: (k.up - k.down) ** 2 * P * (1 - P)), "the slope jumps from -down to up, by their sum.", 0.5, near=True),
    Slip(over(lambda k, P: math.sqrt(coin(k, P))), "this is the standard deviation.", 0.5),
    Slip(over(lambda k, P: k.up * P - k.down * (1 - P)), "this is the mean of the estimate.", 0.0),
    Slip(over(lambda k, P: float((k.up + k.down) * P * (1 - P))), "the variance holds the square of the jump.", 0.5, near=True),
], rel=1e-8)  # fmt: skip
LEAST = Rule(lambda k: float(k.up * k.down), [
    Slip(lambda k: 1.0, "1 is the page's, for |x - 3|.", 0.25),
    Slip(lambda k: (k.up + k.down) ** 2 / 4, "at the minimum the two sides are not equally likely.", 0.25),
    Slip(lambda k: 0.0, "the mean of the estimate vanishes at the minimum, its variance does not.", 0.0),
    Slip(lambda k: k.up * k.down / (k.up + k.down) ** 2, "this is the variance of the coin alone; the slope jumps by up + down.", 0.5),
    Slip(lambda k: math.sqrt(k.up * k.down), "this is the standard deviation.", 0.5),
], rel=1e-6)  # fmt: skip
q5 = Question("q5", seconds=5, inject=inject_estimators)


@q5.test(points=1.5)
def means_and_variances(student: Any, draw: Draw, k: Constants) -> None:
    inputs = MEASURE.draw(draw, k, lambda d: normal_case(k, d, 9))
    got = shaped(
        student.call("measure", *inputs),
        (3, 2),
        "a row for each estimator, its mean and its variance",
    )
    MEASURE.judge(k, inputs, got, "measure", say(mu=inputs[0], sigma=inputs[1], noise=inputs[2]), (3, 2))


@q5.test(points=1)
def variance_on_paper(student: Any, draw: Draw, k: Constants) -> None:
    points = COIN.draw(draw, k, lambda d: tuple({"P": p / 16} for p in d.integers(4, 1, 15)))
    judge_formula(student, COIN, k, "pathwise_variance", ["P"], points)


@q5.test(points=0.5)
def at_the_minimum(student: Any, draw: Draw, k: Constants) -> None:
    LEAST.judge(k, (), [read_number(student, "at_minimum")], "at_minimum")


@q5.public
def _(k: Constants) -> list[Case]:
    point = {"P": 0.25}
    return [COIN.case(k, "pathwise_variance", (point,), "pathwise_variance at P = 1/4", at=point)]


# Question 6: the least expected cost ----------------------------------------------------------


def quantile(k: Constants) -> float:
    """How far the best mu lies below the kink."""
    return statistics.NormalDist().inv_cdf(k.up / (k.up + k.down))


BEST_MU = Rule(lambda k: k.centre - quantile(k), [
    Slip(lambda k: k.centre, "at the kink both sides are equally likely, and one of them costs more.", 0.25),
    Slip(lambda k: k.centre + quantile(k), "the wrong side of the kink: the dear side gets the smaller share.", 0.5),
    Slip(lambda k: -quantile(k), "the kink is missing: this is best for c = 0.", 0.5),
    Slip(lambda k: quantile(k), "this is the quantile itself; mu lies at the kink minus the quantile.", 0.25),
    Slip(lambda k: k.centre - k.up / (k.up + k.down), "the share is a probability; the normal quantile turns it into a distance.", 0.25),
    Slip(lambda k: 3.0, "3 is the page's, for |x - 3|.", 0.0),
], rel=1e-3)  # fmt: skip
q6 = Question("q6", seconds=40)
NEAR = 0.1


@q6.test(points=1)
def best_by_hand(student: Any, draw: Draw, k: Constants) -> None:
    BEST_MU.judge(k, (), [read_number(student, "best_mu")], "best_mu")


@q6.test(points=2)
def found_by_descent(student: Any, draw: Draw, k: Constants) -> None:
    """Two of three seeds come within 0.1 of the best mu.

    In 30 runs of the right answer over six costs and centres the distance was at most 0.013, in 30
    of plain descent with a falling rate at most 0.018.
    """
    seeds = [draw.integer(0, 10**6) for _ in range(3)]
    found = [number(student.call("find_mu", seed)) for seed in seeds]
    best = k.centre - quantile(k)
    if not all(map(math.isfinite, found)):
        raise Wrong("find_mu is not finite: the step is too large, and mu runs away.")
    middle = statistics.median(found)
    said = ", ".join(f"{x:.4f}" for x in found)
    if max(abs(x - best) for x in found) < 1e-6:
        raise Wrong(
            "find_mu gives the number of the formula for every seed; it must come from descent.",
            0.25,
        )
    if statistics.median(abs(x - best) for x in found) > NEAR:
        for place, lesson, keeps in (
            (0.0, "mu does not move from 0: sample() cuts the graph, rsample() does not; or the optimiser takes no step.", 0.0),
            (k.centre, "that is the kink: the cost is not the one of the question, but symmetric.", 0.25),
            (k.centre + quantile(k), "the two slopes of the cost are exchanged.", 0.25),
        ):  # fmt: skip
            if abs(middle - place) < NEAR:
                raise Wrong(f"find_mu: {said} for three seeds; {lesson}", keeps)
        near = 0.5 if abs(middle - best) < 5 * NEAR else 0.0
        raise Wrong(
            f"find_mu: {said} for three seeds; two of three must lie within {NEAR} of {best:.4f}. More steps, "
            "a smaller rate at the end, or the mean of the last steps.",
            near,
        )
    if number(student.call("find_mu", seeds[0])) != found[0]:
        raise Wrong("the same seed gives two different values: the seed fixes every draw.", 0.75)
    if len(set(found)) == 1:
        raise Wrong("three seeds gave the same value: the seed passed in is not used.", 0.75)


# Question 7: classes --------------------------------------------------------------------------


def gumbel(u: Tensor) -> Tensor:
    return -(-u.double().log()).log()


def softened(noise: Callable[[Tensor], Tensor] = gumbel, put: Any = None, dim: int = 1) -> Any:
    def value(k: Constants, logits: Tensor, u: Tensor, tau: float) -> Tensor:
        g, w = noise(u), logits.double()
        h = put(k, w, g, tau) if put else (w + k.gamma * g) / tau
        return h.softmax(dim)

    return value


RELAXED = Rule(softened(), [
    Slip(softened(put=lambda k, w, g, t: (w + g) / t), "the factor of the noise is missing.", 0.5),
    Slip(softened(put=lambda k, w, g, t: k.gamma * (w + g) / t), "the factor belongs to the noise alone, not to the logits.", 0.5),
    Slip(softened(put=lambda k, w, g, t: (w + k.gamma * g) * t), "multiplied by the temperature; it divides.", 0.5),
    Slip(softened(put=lambda k, w, g, t: w + k.gamma * g), "the temperature is missing.", 0.25),
    Slip(softened(put=lambda k, w, g, t: w / t + k.gamma * g), "the temperature divides the noise too: it softens the argmax and does not change its law.", 0.25),
    Slip(softened(put=lambda k, w, g, t: k.gamma * g / t + 0 * w), "the logits are not used.", 0.0),
    Slip(softened(put=lambda k, w, g, t: (w.softmax(0) + k.gamma * g) / t), "the noise is added to the logits, not to the probabilities.", 0.25),
    Slip(softened(lambda u: -gumbel(u)), "the sign of the noise: a Gumbel number is -log(-log u).", 0.5),
    Slip(softened(lambda u: u.double()), "uniform noise: -log(-log u) makes it Gumbel's.", 0.25),
    Slip(softened(lambda u: -u.double().log()), "this noise is exponential; one more logarithm, -log(-log u), makes it Gumbel's.", 0.25),
    Slip(softened(dim=0), "the softmax goes over the samples; each row, over the classes, adds up to 1.", 0.25),
])  # fmt: skip


def law(k: Constants, logits: Tensor, power: float | None = None) -> Tensor:
    return (logits.double() / (power or k.gamma)).softmax(0)


def chi(k: Constants, counts: Tensor, logits: Tensor, power: float | None = None) -> Tensor:
    due = law(k, logits, power) * counts.double().sum()
    return ((counts.double() - due) ** 2 / due).sum()


def shares(k: Constants, counts: Tensor, logits: Tensor) -> Tensor:
    return chi(k, counts, logits) / counts.double().sum()


def by_seen(k: Constants, counts: Tensor, logits: Tensor) -> Tensor:
    seen, due = counts.double(), law(k, logits) * counts.double().sum()
    return ((seen - due) ** 2 / seen).sum()


def undivided(k: Constants, counts: Tensor, logits: Tensor) -> Tensor:
    return ((counts.double() - law(k, logits) * counts.double().sum()) ** 2).sum()


CHI = Rule(chi, [
    Slip(lambda k, c, w: chi(k, c, w, 1.0), "the law is that of unscaled noise: a factor before the noise changes who wins.", 0.5),
    Slip(lambda k, c, w: chi(k, c, w, 1 / k.gamma), "the factor of the noise divides the logits; here it multiplies them.", 0.5),
    Slip(shares, "this compares shares; the statistic compares counts, and is N times as large.", 0.5),
    Slip(by_seen, "divided by the counts that were seen; the statistic divides by those that are due.", 0.5),
    Slip(undivided, "the division by the counts that are due is missing.", 0.25),
    Slip(lambda k, c, w: chi(k, c, w) / (len(c) - 1), "divided by the degrees of freedom; the question does not.", 0.5),
    Slip(lambda k, c, w: chi(k, c, w).sqrt(), "the square root; the question has none.", 0.5),
    Slip(lambda k, c, w: chi(k, c, w) / len(c), "a mean over the classes; the statistic is a sum.", 0.5),
])  # fmt: skip


def ranks(
    k: Constants, a: float, b: float, power: float | None = None
) -> tuple[float, float, float]:
    return tuple(m ** (1 / (power or k.gamma)) for m in (a, b, 1 - a - b))  # type: ignore[return-value]


def in_order(k: Constants, a: float, b: float, power: float | None = None) -> float:
    one, two, three = ranks(k, a, b, power)
    return one / (one + two + three) * two / (two + three)


def independent(k: Constants, a: float, b: float) -> float:
    one, two, three = ranks(k, a, b)
    return one * two / (one + two + three) ** 2


def winner(k: Constants, a: float, b: float) -> float:
    one, two, three = ranks(k, a, b)
    return one / (one + two + three)


ORDER = Rule(over(in_order), [
    Slip(over(lambda k, a, b: in_order(k, a, b, 1.0)), "this is the law of unscaled noise.", 0.5),
    Slip(over(lambda k, a, b: in_order(k, a, b, 1 / k.gamma)), "the power is upside down: more noise makes the classes more alike.", 0.5),
    Slip(over(independent), "the second place is not independent of the first: class 1 is out of the race.", 0.25),
    Slip(over(winner), "this is the chance of the first place alone.", 0.25),
    Slip(over(lambda k, a, b: in_order(k, b, a)), "class 2 is second, class 1 first; here they are exchanged.", 0.5),
    Slip(over(lambda k, a, b: in_order(k, a, b) + in_order(k, b, a)), "both orders are counted.", 0.25),
    Slip(over(lambda k, a, b: winner(k, a, b) * winner(k, b, a) / winner(k, 1 - a - b, b)), "divided by the wrong rest: without class 1 the share 1 - (its chance) is left.", 0.25),
], rel=1e-8)  # fmt: skip
q7 = Question("q7", seconds=6)


def race(draw: Draw) -> tuple[Tensor, Tensor, float]:
    return (
        draw.normal(3, 1.0),
        draw.uniform(6, 0.0625, 0.9375).reshape(2, 3),
        draw.choice([0.5, 0.75, 1.5]),
    )


@q7.test(points=1)
def softened_draws(student: Any, draw: Draw, k: Constants) -> None:
    inputs = RELAXED.draw(draw, k, race)
    reply = student.call("relaxed", *inputs, wrt=(0,))
    got = shaped(reply, (2, 3), "a row for each draw, a column for each class")
    RELAXED.judge(k, inputs, got, "relaxed", say(logits=inputs[0], u=inputs[1], tau=inputs[2]), tuple(inputs[1].shape))
    connected(reply, ["logits"])


@q7.test(points=1)
def straight_through(student: Any, draw: Draw, k: Constants) -> None:
    """One-hot values, and the gradient of the softened draw."""
    logits, u, tau = RELAXED.draw(draw, k, race)
    weights = draw.normal(6).reshape(2, 3)
    reply = student.call("straight_through", logits, u, tau, wrt=(0,), cotangent=weights)
    got = shaped(reply, (2, 3), "a row for each draw, a column for each class")
    soft = softened()(k, logits, u, tau)
    hard = torch.nn.functional.one_hot(soft.argmax(1), 3).double().flatten().tolist()
    case = say(logits=logits, u=u, tau=tau)
    if max(abs(a - b) for a, b in zip(got, hard, strict=True)) > 1e-5:
        if max(abs(a - b) for a, b in zip(got, soft.flatten().tolist(), strict=True)) < 1e-5:
            raise Wrong(
                "straight_through: these are the softened draws; the values are one-hot.", 0.25
            )
        tempered = softened(put=lambda k, w, g, t: (w + g) / t)(k, logits, u, tau)
        other = torch.nn.functional.one_hot(tempered.argmax(1), 3).double().flatten().tolist()
        more = " The factor of the noise is missing." if got == other else ""
        raise Wrong(
            f"straight_through: one-hot vectors of the largest entry are due at {case}.{more}"
        )
    connected(reply, ["logits"])
    due = slopes(lambda w: (softened()(k, w, u, tau) * weights).sum(), logits)
    found = [float(x) for x in reply.grads[0].double()]
    if max(map(abs, found)) == 0:
        raise Wrong(
            "straight_through: the values are right, the gradient is zero: one_hot of an argmax teaches nothing. Add the softened draw, and subtract it detached.",
            0.5,
        )
    if any(abs(a - b) > 1e-4 * max(1, abs(b)) for a, b in zip(found, due, strict=True)):
        raise Wrong(
            "straight_through: the values are right, the gradient is not that of the softened draw.",
            0.5,
        )


@q7.test(points=1)
def who_wins(student: Any, draw: Draw, k: Constants) -> None:
    counts, logits = CHI.draw(
        draw, k, lambda d: (torch.tensor(d.integers(4, 20, 90)).float(), d.normal(4, 1.0))
    )
    got = number(student.call("chi_square", counts, logits))
    CHI.judge(k, (counts, logits), [got], "chi_square", say(counts=counts, logits=logits))


@q7.test(points=1)
def who_is_second(student: Any, draw: Draw, k: Constants) -> None:
    def shares_of(d: Draw) -> tuple[Point, ...]:
        return tuple({"a": d.integer(2, 7) / 16, "b": d.integer(2, 7) / 16} for _ in range(3))

    points = ORDER.draw(draw, k, shares_of)
    judge_formula(student, ORDER, k, "first_then_second", ["a", "b"], points)


@q7.public
def _(k: Constants) -> list[Case]:
    inputs = (torch.tensor([0.0, 1.0]), torch.tensor([[0.5, 0.25]]), 0.5)
    right = [float(x) for x in softened()(k, *inputs).flatten()]
    bare = [float(x) for x in softened(put=lambda k, w, g, t: (w + g) / t)(k, *inputs).flatten()]
    point = {"a": 0.25, "b": 0.25}
    counts, logits = torch.tensor([30.0, 70.0]), torch.tensor([0.0, 1.0])
    return [
        Case("try_relaxed", right, [(bare, "the factor of the noise is missing.")], "relaxed of logits = [0, 1], u = [[0.5, 0.25]], tau = 0.5"),
        CHI.case(k, "chi_square", (counts, logits), "chi_square of counts = [30, 70], logits = [0, 1]", args=(counts, logits)),
        ORDER.case(k, "first_then_second", (point,), "first_then_second at a = b = 1/4", at=point),
    ]  # fmt: skip


# Question 8: a flow with two teachers ---------------------------------------------------------


def flow(change: Callable[..., Tensor], constant: float = 1.0, stretch: float | None = None) -> Any:
    """The log-density with another term for the change of volume."""

    def value(k: Constants, x: Tensor, a: float, b: float) -> Tensor:
        x, s = x.double(), stretch or float(k.stretch)
        z = (torch.asinh(x / s) - a) / b
        volume = math.log(b) + torch.log(s**2 + x**2) / 2
        return -(z**2) / 2 - constant * math.log(2 * math.pi) / 2 + change(volume, b, x, s)

    return value


DENSITY = Rule(flow(lambda v, b, x, s: -v), [
    Slip(flow(lambda v, b, x, s: v), "the sign of the log-determinant: where the flow spreads latents out, the density is low.", 0.5),
    Slip(flow(lambda v, b, x, s: 0 * v), "the log-determinant is missing: this is the density of the latent.", 0.25),
    Slip(flow(lambda v, b, x, s: -v + math.log(b)), "the factor b of the derivative is missing.", 0.5),
    Slip(flow(lambda v, b, x, s: -math.log(b) + 0 * v), "the derivative of sinh is missing: it is cosh.", 0.25),
    Slip(flow(lambda v, b, x, s: -v + math.log(s)), "the stretch is missing in the derivative.", 0.5),
    Slip(flow(lambda v, b, x, s: -v, constant=0.0), "the constant of the normal density is missing.", 0.5),
    Slip(flow(lambda v, b, x, s: -v, stretch=1.0), "the stretch of the question is missing.", 0.25),
])  # fmt: skip


def mix(k: Constants, s: Tensor, q: Tensor) -> Tensor:
    return softplus(-s.double()).mean() - k.weight * q.double().mean()


MIX = Rule(mix, [
    Slip(lambda k, s, q: softplus(-s.double()).mean() + k.weight * q.double().mean(), "the sign of the likelihood: a loss is minimised, the likelihood is to grow.", 0.25),
    Slip(lambda k, s, q: softplus(-s.double()).mean() - q.double().mean(), "the weight of the likelihood is missing.", 0.5),
    Slip(lambda k, s, q: k.weight * softplus(-s.double()).mean() - q.double().mean(), "the weight belongs to the likelihood, not to the game.", 0.25),
    Slip(lambda k, s, q: (1 - k.weight) * softplus(-s.double()).mean() - k.weight * q.double().mean(), "the game keeps its weight 1.", 0.5),
    Slip(lambda k, s, q: -softplus(s.double()).mean() - k.weight * q.double().mean(), "this is the saturating loss log(1 - D); the question has -log D.", 0.25),
    Slip(lambda k, s, q: -softplus(-s.double()).mean() - k.weight * q.double().mean(), "the sign of the game: -log D is minimised, not log D.", 0.25),
    Slip(lambda k, s, q: softplus(s.double()).mean() - k.weight * q.double().mean(), "the sign of the logit: -log D = log(1 + exp(-s)).", 0.25),
    Slip(lambda k, s, q: softplus(-s.double()).sum() - k.weight * q.double().sum(), "sums over the batch; both expectations are means.", 0.5),
    Slip(lambda k, s, q: softplus(-s.double()).mean(), "the likelihood is missing.", 0.0),
    Slip(lambda k, s, q: softplus(-s.double().sigmoid()).mean() - k.weight * q.double().mean(), "a sigmoid too many: the input is the logit.", 0.25),
])  # fmt: skip
q8 = Question("q8", seconds=5)


@q8.test(points=1)
def density_of_the_flow(student: Any, draw: Draw, k: Constants) -> None:
    inputs = DENSITY.draw(
        draw, k, lambda d: (d.normal(4, 2.0), d.integer(-8, 8) / 8, d.choice([0.5, 0.75, 1.5, 2.0]))
    )
    reply = student.call("log_density", *inputs)
    got = shaped(reply, (4,), "one log-density for each point")
    DENSITY.judge(k, inputs, got, "log_density", say(x=inputs[0], a=inputs[1], b=inputs[2]))


@q8.test(points=1)
def two_teachers(student: Any, draw: Draw, k: Constants) -> None:
    inputs = MIX.draw(draw, k, lambda d: (d.normal(3), d.normal(5) - 2))
    reply = student.call("mix_loss", *inputs, wrt=(0, 1))
    names = ["fake_logit", "log_q"]
    got = trainable(reply, names)
    MIX.judge(k, inputs, [number(reply)], "mix_loss", say(fake_logit=inputs[0], log_q=inputs[1]))
    due = slopes(lambda s, q: mix(k, s, q), *inputs)
    if any(abs(a - b) > 1e-5 for a, b in zip(got, due, strict=True)):
        raise Wrong("mix_loss: the value is right, its gradient is not.", 0.5)
    pure(reply, names)


@q8.public
def _(k: Constants) -> list[Case]:
    x, s, q = torch.tensor([0.0]), torch.tensor([1.0, -2.0]), torch.tensor([-1.0, -3.0])
    return [
        DENSITY.case(k, "log_density", (x, 0.0, 0.5), "log_density of x = [0], a = 0, b = 1/2", args=(x, 0.0, 0.5)),
        MIX.case(k, "mix_loss", (s, q), "mix_loss of logits [1, -2] and log-densities [-1, -3]", args=(s, q)),
    ]  # fmt: skip


QUESTIONS = [q1, q2, q3, q4, q5, q6, q7, q8]
