"""Hidden tests and public cases of the assignment `other-rulers`. Keep this file to yourself.

Each variant draws four rows f(u) = A h(u) + c (u - 1): one with an exponential or a logarithm, one
whose conjugate is flat, one whose domain holds its end, one whose domain does not. ``k.alpha`` weighs
the data and ``k.beta`` the fakes. Right values are computed here from the drawn numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import softplus

from tools.grader import asking
from tools.grader.asking import Injection
from tools.grader.expressions import Formula, evaluate, judge_formula
from tools.grader.questions import (
    Case,
    Constants,
    Draw,
    Nothing,
    Question,
    Rule,
    Slip,
    Wrong,
    each,
    judge,
    number,
    numbers,
    over,
    plain,
    pure,
    same,
    say,
)

TITLE = "Other rulers: f-GAN and LSGAN"


# The rows -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A convex h with h(1) = 0: its slope, conjugate, the ratio that a slope touches, the domain's end.

    ``zero`` is h(0). The texts are h in TeX and in SymPy, and h* of s in SymPy and in torch.
    """

    h: Callable[[float], float]
    slope: Callable[[float], float]
    star: Callable[[float], float]
    touch: Callable[[float], float]
    end: float
    belongs: bool
    zero: float
    tex: str
    code: str
    star_code: str
    star_torch: str = ""
    slope_torch: str = ""
    flat_from: float = -math.inf  # the slope h'(0), below which h* is flat


LOG2 = math.log(2)
KINDS = {
    "kl": Kind(lambda u: u * math.log(u), lambda u: math.log(u) + 1, lambda s: math.exp(s - 1),
               lambda s: math.exp(s - 1), math.inf, False, 0.0, r"u\log u", "u * sp.log(u)",
               "sp.exp({s} - 1)"),
    "reverse": Kind(lambda u: -math.log(u), lambda u: -1 / u, lambda s: -1 - math.log(-s),
                    lambda s: -1 / s, 0.0, False, math.inf, r"(-\log u)", "(-sp.log(u))",
                    "(-1 - sp.log(-({s})))"),
    "pearson": Kind(lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), lambda s: s * s / 4 + s,
                    lambda s: 1 + s / 2, math.inf, False, 1.0, r"(u-1)^2", "(u - 1) ** 2",
                    "(({s}) ** 2 / 4 + {s})", "(s.clamp(min=-2) ** 2 / 4 + s.clamp(min=-2))",
                    "2 * (u - 1)", -2.0),
    "cubic": Kind(lambda u: u**3 - 1, lambda u: 3 * u * u, lambda s: 2 * math.sqrt(s / 3) ** 3 + 1,
                  lambda s: math.sqrt(s / 3), math.inf, False, -1.0, r"(u^3-1)", "(u**3 - 1)",
                  "(2 * (({s}) / 3) ** sp.Rational(3, 2) + 1)", "(2 * (s.clamp(min=0) / 3) ** 1.5 + 1)",
                  "3 * u**2", 0.0),
    "neyman": Kind(lambda u: (u - 1) ** 2 / u, lambda u: 1 - 1 / u**2, lambda s: 2 - 2 * math.sqrt(1 - s),
                   lambda s: 1 / math.sqrt(1 - s), 1.0, True, math.inf, r"\tfrac{(u-1)^2}u",
                   "(u - 1) ** 2 / u", "(2 - 2 * sp.sqrt(1 - {s}))"),
    "triangle": Kind(lambda u: (u - 1) ** 2 / (u + 1), lambda u: 1 - 4 / (u + 1) ** 2,
                     lambda s: 4 - s - 4 * math.sqrt(1 - s), lambda s: 2 / math.sqrt(1 - s) - 1, 1.0, True,
                     1.0, r"\tfrac{(u-1)^2}{u+1}", "(u - 1) ** 2 / (u + 1)",
                     "(4 - ({s}) - 4 * sp.sqrt(1 - {s}))", flat_from=-3.0),
    "hellinger": Kind(lambda u: (math.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / math.sqrt(u),
                      lambda s: s / (1 - s), lambda s: 1 / (1 - s) ** 2, 1.0, False, 1.0,
                      r"(\sqrt u-1)^2", "(sp.sqrt(u) - 1) ** 2", "(({s}) / (1 - {s}))",
                      "(s / (1 - s))", "1 - u ** -0.5"),
    "jensen": Kind(lambda u: u * math.log(u) - (u + 1) * math.log((u + 1) / 2),
                   lambda u: math.log(2 * u / (u + 1)), lambda s: -math.log(2 - math.exp(s)),
                   lambda s: math.exp(s) / (2 - math.exp(s)), LOG2, False, LOG2,
                   r"\bigl(u\log u-(u+1)\log\tfrac{u+1}2\bigr)",
                   "(u * sp.log(u) - (u + 1) * sp.log((u + 1) / 2))", "(-sp.log(2 - sp.exp({s})))",
                   "(-torch.log(2 - torch.exp(s)))", "torch.log(2 * u / (u + 1))"),
}  # fmt: skip
SLOTS = (("kl", "reverse"), ("pearson", "cubic"), ("neyman", "triangle"), ("hellinger", "jensen"))


@dataclass(frozen=True)
class Row:
    """f(u) = A h(u) + c (u - 1)."""

    name: str
    A: int
    c: int

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def end(self) -> float:
        return self.A * self.kind.end + self.c

    def f(self, u: float) -> float:
        return self.A * self.kind.h(u) + self.c * (u - 1)

    def slope(self, u: float) -> float:
        return self.A * self.kind.slope(u) + self.c

    def star(self, t: float) -> float:
        return self.A * self.kind.star((t - self.c) / self.A) + self.c

    def whole(self, t: float) -> float:
        """The conjugate on the whole line: flat below the slopes of f, infinite beyond the end."""
        if t > self.end or (t == self.end and not self.kind.belongs):
            return math.inf
        return self.star(max(t, self.A * self.kind.flat_from + self.c))

    def touch(self, t: float) -> float:
        return self.kind.touch((t - self.c) / self.A)

    def divergence(self, p: Tensor, q: Tensor) -> float:
        pairs = zip(p.tolist(), q.tolist(), strict=True)
        return math.fsum(y * self.f(x / y) for x, y in pairs)


def signed(number: int) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number)}"


def texts(i: int, row: Row) -> dict[str, Any]:
    """How the source writes the row number ``i``, its conjugate, and its activation."""
    kind, A, c = row.kind, row.A, row.c
    s = f"(t {signed(-c)}) / {A}"
    tail = ("+" if c > 0 else "-") + ("" if abs(c) == 1 else str(abs(c)))
    end = f"{c} + {A} * math.log(2)" if row.name == "jensen" else str(c + A)
    return {
        f"f{i}_tex": rf"{A}\,{kind.tex}{tail}(u-1)",
        f"f{i}_code": f"{A} * {kind.code} {signed(c)} * (u - 1)",
        f"star{i}": f"{A} * {kind.star_code.format(s=s)} {signed(c)}",
        f"whole{i}": f"{A} * {kind.star_torch} {signed(c)}",
        f"scaled{i}": s,
        f"end{i}": "math.inf" if row.end == math.inf else str(c) if row.name == "reverse" else end,
        f"belongs{i}": str(kind.belongs),
        f"A{i}": A,
        f"c{i}": c,
        f"doubt{i}": "-math.log(math.e - 1)" if kind.end == 1 else "0.0",
    }


def constants(draw: Draw) -> dict[str, Any]:
    """Four rows, two weights, and the generator's target."""
    rows = tuple(
        Row(draw.choice(slot), draw.integer(4, 7), draw.integer(2, 3) * draw.choice([-1, 1])) for slot in SLOTS
    )
    pairs = [(a, b) for a in (2, 3, 5, 7) for b in (2, 3, 5, 7) if a != b]
    alpha, beta = draw.choice(pairs)
    shown = {key: text for i, row in enumerate(rows, 1) for key, text in texts(i, row).items()}
    return {"rows": rows, "alpha": alpha, "beta": beta, "target": draw.integer(2, 9), **shown}


def similar(k: Constants, other: Constants) -> bool:
    """Whether two variants share what decides an answer, so that one could be copied."""
    same_rows = any(
        (a.name == b.name and a.A == b.A and a.c == b.c) or a.end == b.end < math.inf
        for a, b in zip(k.rows, other.rows, strict=True)
    )
    both = [a.name == b.name for a, b in zip(k.rows, other.rows, strict=True)]
    weights = k.alpha == other.alpha or k.beta == other.beta or k.alpha * other.beta == k.beta * other.alpha
    return same_rows or weights or k.target == other.target or (both[1] and both[3])


# Question 1: four conjugates -------------------------------------------------------------------


def conjugate_rule(i: int) -> Rule:
    """The conjugate of row ``i`` where a line touches f, and what is often given for it."""

    def row(k: Constants) -> Row:
        return k.rows[i - 1]

    def scaled(k: Constants, t: float) -> float:
        return (t - row(k).c) / row(k).A

    def slip(value: Any, lesson: str, keeps: float = 0.0) -> Slip:
        return Slip(over(lambda k, t: value(row(k), row(k).kind, scaled(k, t), t)), lesson, keeps)

    return Rule(over(lambda k, t: row(k).star(t)), [
        slip(lambda r, h, s, t: r.f(t), "this is f itself, with t for u; the conjugate is the supremum of "
             "t u - f(u) over u."),
        slip(lambda r, h, s, t: -r.star(t), "the sign: f* is the supremum of t u - f(u), not of f(u) - t u.",
             0.25),
        slip(lambda r, h, s, t: r.touch(t), "this is the u at which the supremum is reached; put it into "
             "t u - f(u).", 0.25),
        slip(lambda r, h, s, t: r.f(r.touch(t)), "this is f at the best u; t u is missing: f* = t u - f(u).",
             0.25),
        slip(lambda r, h, s, t: t * r.touch(t), "this is t u at the best u; f(u) is still to be subtracted.",
             0.25),
        slip(lambda r, h, s, t: r.A * h.star(s), "the constant: f holds minus c, its tilt at u = 0, and f* "
             "gets it back with a plus.", 0.5),
        slip(lambda r, h, s, t: r.A * h.star(s) - r.c, "the sign of the constant: -f(u) gives +c.", 0.25),
        slip(lambda r, h, s, t: r.A * h.star(t / r.A), "the tilt c (u - 1) is ignored: it moves t by c.",
             0.25),
        slip(lambda r, h, s, t: r.A * h.star((t + r.c) / r.A) + r.c, "the tilt moves t the other way: "
             "t u - c u = (t - c) u.", 0.25),
        slip(lambda r, h, s, t: h.star(s) + r.c, "the factor in front of f multiplies the whole supremum "
             "too: (A h)*(t) = A h*(t/A).", 0.5),
        slip(lambda r, h, s, t: r.A * h.star(t - r.c) + r.c, "the factor in front of f divides t: "
             "(A h)*(t) = A h*(t/A).", 0.5),
        slip(lambda r, h, s, t: h.star(t), "factor and tilt of the question are missing: this is the "
             "conjugate of the plain row.", 0.25),
    ], rel=1e-8)  # fmt: skip


CONJUGATES = {i: conjugate_rule(i) for i in (1, 2, 3, 4)}


def some_slopes(draw: Draw, row: Row, count: int = 4) -> tuple[dict[str, float], ...]:
    """Slopes of f between the ratios 1/4 and 4, hundredths."""
    return tuple({"t": round(row.slope(draw.integer(5, 80) / 20), 2)} for _ in range(count))


def conjugate(i: int) -> Callable[..., None]:
    def test(student: Any, draw: Draw, k: Constants) -> None:
        rule = CONJUGATES[i]
        points = rule.draw(draw, k, lambda x: some_slopes(x, k.rows[i - 1]))
        judge_formula(student, rule, k, f"f{i}_star", ["t"], points)

    test.__name__ = f"conjugate_{i}"
    return test


q1 = Question("q1", seconds=5)
for number_of_row in (1, 2, 3, 4):
    q1.test(points=1)(conjugate(number_of_row))


@q1.public
def _(k: Constants) -> list[Case]:
    cases = []
    for i, row in enumerate(k.rows, 1):
        point = {"t": row.slope(1.0)}
        what = f"f{i}_star at t = {row.slope(1.0):g}, the slope of f{i} at u = 1"
        cases.append(CONJUGATES[i].case(k, f"f{i}_star", (point,), what, at=point))
    return cases


# Question 2: where it is finite ----------------------------------------------------------------

q2 = Question("q2", seconds=5)


def entry(value: Any, name: str) -> float:
    """A number or a SymPy number, infinity included."""
    tree = getattr(value, "tree", None)
    if isinstance(tree, list) and tree:
        heads = {"Infinity": math.inf, "NegativeInfinity": -math.inf}
        return heads[tree[0]] if tree[0] in heads else evaluate(tree, {}, name)
    tensor = getattr(value, "tensor", value)
    if isinstance(tensor, Tensor) and tensor.numel() == 1:
        return float(tensor.item())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"{name} is {asking.kind_of(value)}; it must be a number.")
    return float(value)


def four(student: Any, name: str) -> list[Any]:
    value = student.get(name)
    tensor = getattr(value, "tensor", value)
    if isinstance(tensor, Tensor) and tensor.dim() == 1:
        value = tensor.tolist()
    if not isinstance(value, list | tuple) or len(value) != 4 or any(v is ... or v is None for v in value):
        raise Wrong(f"{name} must be a list with four entries, one for each row: replace the dots.")
    return list(value)


def end_lesson(row: Row, got: float, what: str) -> None:
    if same([got], [row.end], 1e-6) or got == row.end:
        return
    if row.end == math.inf:
        raise Wrong(f"{what}: {got:.6g} is not the end. f grows faster than every line, so t u - f(u) has a "
                    "finite supremum for every t: math.inf.")  # fmt: skip
    if got == math.inf:
        raise Wrong(f"{what}: not for every t. f grows like a line of slope {row.end:.6g}; a steeper line "
                    "leaves it behind, and the supremum is infinite.")  # fmt: skip
    plainly = row.A * row.kind.end
    for value, why in (
        (row.kind.end, "factor and tilt of the question are missing"),
        (plainly, "the tilt c (u - 1) moves the end by c"),
        (plainly - row.c, "the sign of the tilt"),
        (row.kind.end + row.c, "the factor in front of f moves the end too"),
        (float(row.c), "this is the slope of f at u = 1, not its slope at infinity"),
    ):
        if same([got], [value], 1e-6):
            raise Wrong(f"{what}: {got:.6g} is not the end: {why}.", 0.25)
    raise Wrong(f"{what}: you give {got:.6g}, due is {row.end:.6g}, the slope of f at infinity.")


@q2.test(points=1)
def ends(student: Any, draw: Draw, k: Constants) -> None:
    given = four(student, "ends")
    each([
        lambda i=i, row=row: end_lesson(row, entry(given[i - 1], f"ends[{i - 1}]"), f"ends[{i - 1}], of f{i}")
        for i, row in enumerate(k.rows, 1)
    ])  # fmt: skip


@q2.test(points=0.5)
def end_belongs(student: Any, draw: Draw, k: Constants) -> None:
    given = four(student, "belongs")
    for value in given:
        if value not in (True, False):
            raise Wrong("belongs must hold True or False, one for each row.")
    got, due = [bool(v) for v in given], [row.kind.belongs for row in k.rows]
    wrong = [i for i, (x, y) in enumerate(zip(got, due, strict=True), 1) if x != y]
    if len(wrong) == 4:
        raise Wrong("belongs: True and False are exchanged.")
    if wrong:
        i = wrong[0]
        if k.rows[i - 1].end == math.inf:
            raise Wrong(f"belongs: the domain of f{i}* has no end; the question asks for False there.",
                        max(0.0, 1 - 0.5 * len(wrong)))  # fmt: skip
        at = "finite" if due[i - 1] else "infinite"
        raise Wrong(f"belongs: at the end of the domain of f{i}* the supremum of t u - f(u) is {at}: look at "
                    "its limit for large u.", max(0.0, 1 - 0.5 * len(wrong)))  # fmt: skip


FLAT = " Below the smallest slope of f, t u - f(u) falls from u = 0 on: the supremum is at u = 0, and f* is flat."


def below_and_inside(draw: Draw, row: Row) -> Tensor:
    start = row.A * row.kind.flat_from + row.c
    low = [start - draw.integer(4, 40) / 8 for _ in range(2)]
    return torch.tensor([low[0], row.slope(draw.integer(2, 40) / 16), low[1], row.slope(draw.integer(2, 40) / 16)])


@q2.test(points=1)
def on_the_line(student: Any, draw: Draw, k: Constants) -> None:
    row = k.rows[1]
    t = below_and_inside(draw, row)
    reply = student.call("f2_everywhere", t)
    if reply.value is None:
        raise Nothing("f2_everywhere")
    got = getattr(reply.value, "tensor", reply.value)
    if not isinstance(got, Tensor) or got.shape != t.shape:
        raise Wrong(f"f2_everywhere gives {asking.kind_of(reply.value)}; due is a tensor of the shape of t, {tuple(t.shape)}.")
    values, due = plain(got), [row.whole(x) for x in t.tolist()]
    cases = [say(t=float(x)) for x in t]
    for wild, words in ((math.isnan, "nan"), (math.isinf, "infinite")):
        if any(map(wild, values)):
            at = next(case for case, v in zip(cases, values, strict=True) if wild(v))
            raise Wrong(f"f2_everywhere is {words} at {at}; it is finite everywhere." + FLAT, 0.5)
    floor = -row.f(0.0)
    formula = [row.star(x) if row.name == "pearson" else math.nan for x in t.tolist()]
    flat = [same([v], [floor], 1e-9) for v in due]

    def with_floor(height: float) -> list[float]:
        return [height if low else v for low, v in zip(flat, due, strict=True)]

    judge(values, due, [
        (formula, "the formula of question 1 is used for every t." + FLAT, 0.5),
        (with_floor(0.0), "flat, but at the wrong height: it is -f(0) there.", 0.5),
        (with_floor(-floor), "flat, but at the wrong height: it is -f(0), with the minus.", 0.5),
        (with_floor(row.A * -row.kind.zero), "flat, but at the wrong height: the tilt counts at u = 0 too.", 0.5),
    ], "f2_everywhere", cases, rel=2e-5)  # fmt: skip


@q2.test(points=0.5)
def slopes_are_ratios(student: Any, draw: Draw, k: Constants) -> None:
    row = k.rows[1]
    t = below_and_inside(draw, row)
    reply = student.call("f2_everywhere", t, wrt=[0])
    if reply.value is None:
        raise Nothing("f2_everywhere")
    if not reply.grads or reply.grads[0] is None:
        raise Wrong("f2_everywhere does not depend on t for autograd: item(), float(), a loop over numbers and "
                    "NumPy cut the gradient, and no critic learns through it.")  # fmt: skip
    got = plain(reply.grads[0])
    start = row.A * row.kind.flat_from + row.c
    due = [0.0 if x < start else row.touch(x) for x in t.tolist()]
    if any(math.isnan(v) for v in got):
        raise Wrong("f2_everywhere has a value, and a gradient of nan: torch.where hides the bad branch's value, "
                    "not its gradient. Clamp the argument first.", 0.5)  # fmt: skip
    judge(got, due, [([row.touch(x) if row.name == "pearson" else math.nan for x in t.tolist()],
          "the slope of f* is a density ratio, and no ratio is negative." + FLAT, 0.5)],
          "the slope of f2_everywhere", [say(t=float(x)) for x in t], rel=1e-4)  # fmt: skip
    pure(reply, ["t"])


@q2.public
def _(k: Constants) -> list[Case]:
    t = torch.tensor(k.rows[1].slope(1.0))
    return [Case("f2_everywhere", [k.rows[1].star(float(t))], [], f"f2_everywhere at t = {float(t):g}, the slope of f2 "
                 "at u = 1", args=(t,))]  # fmt: skip


# Question 3: the bound, with weights ------------------------------------------------------------


def best_constant(k: Constants, *points: Any) -> list[float]:
    return [k.beta * k.rows[0].f(k.alpha / k.beta)]


def at_ratio(value: Callable[[Row, float, float], float]) -> Any:
    return lambda k, *points: [value(k.rows[0], float(k.alpha), float(k.beta))]


CONSTANT = Rule(best_constant, [
    Slip(at_ratio(lambda r, a, b: 0.0), "0 would be right for equal weights: a critic that says the same "
         "everywhere still knows which side weighs more."),
    Slip(at_ratio(lambda r, a, b: r.f(a / b)), "the weight of the fakes in front is missing: they stand in "
         "front of f* too.", 0.5),
    Slip(at_ratio(lambda r, a, b: a * r.f(b / a)), "the two weights are exchanged.", 0.25),
    Slip(at_ratio(lambda r, a, b: b * r.f(b / a)), "the ratio is upside down: the data stand above.", 0.25),
    Slip(at_ratio(lambda r, a, b: a * r.f(a / b)), "the weight in front is that of the fakes.", 0.25),
    Slip(at_ratio(lambda r, a, b: r.slope(a / b)), "this is the best constant T itself; put it into the "
         "weighted bound.", 0.25),
    Slip(at_ratio(lambda r, a, b: (a - b) * r.slope(1.0)), "T = f'(1) is the best constant for equal weights "
         "only.", 0.25),
    Slip(at_ratio(lambda r, a, b: -b * r.f(a / b)), "the sign.", 0.25),
    Slip(at_ratio(lambda r, a, b: b * r.f(a / b) / (a + b)), "divided by the sum of the weights; the "
         "question's bound is not.", 0.5),
], rel=1e-8)  # fmt: skip
q3 = Question("q3", seconds=5)


@q3.test(points=1)
def constant_critic(student: Any, draw: Draw, k: Constants) -> None:
    formula = Formula(student, "best_constant", [])
    CONSTANT.judge(k, (), formula.at([{}]), "best_constant")
    formula.settle()


# Question 4: activations -----------------------------------------------------------------------

q4 = Question("q4", seconds=10)
FAR = 1e8  # where an activation is as good as at its ends
WIDE = 12.0


def activated(student: Any, name: str, v: Tensor, **more: Any) -> Any:
    reply = student.call(name, v, **more)
    if reply.value is None:
        raise Nothing(name)
    got = getattr(reply.value, "tensor", reply.value)
    if not isinstance(got, Tensor) or got.shape != v.shape:
        raise Wrong(f"{name} gives {asking.kind_of(reply.value)}; due is a tensor of the shape of v, {tuple(v.shape)}.")
    return reply, got.double()


def range_of(i: int) -> Callable[..., None]:
    def test(student: Any, draw: Draw, k: Constants) -> None:
        row, name = k.rows[i - 1], f"g{i}"
        v = (3 * torch.randn(10_000, generator=draw.generator, dtype=torch.float64)).clamp(-WIDE, WIDE).sort().values
        reply, got = activated(student, name, v, wrt=[0])
        if bool(got.isnan().any()):
            raise Wrong(f"{name} is nan at v = {float(v[got.isnan()][0]):.4g}.")
        beyond = got > row.end + 1e-9 * abs(row.end) if row.kind.belongs else got >= row.end
        if bool(beyond.any()):
            at = int(beyond.nonzero()[0])
            raise Wrong(f"{name} leaves the domain of f{i}*: at v = {float(v[at]):.4g} it is {float(got[at]):.6g}, "
                        f"and f{i}* is finite only {'up to' if row.kind.belongs else 'below'} {row.end:.6g}. One such "
                        "sample makes the bound minus infinity.", 0.0)  # fmt: skip
        steps = got.diff()[v.diff() > 1e-9]
        down = bool((steps < 0).all())
        if down:
            raise Wrong(f"{name} decreases: the bound is right, since V is free, but a large V then means "
                        "'fake'. The question asks for an increasing activation.", 0.5)  # fmt: skip
        if not bool((steps > 0).all()):
            raise Wrong(f"{name} is not increasing on all of [-12, 12]: a clamp or a kink makes different V the "
                        "same T, and V learns nothing there.", 0.25)  # fmt: skip
        _, (low, high) = activated(student, name, torch.tensor([-FAR, FAR], dtype=torch.float64))
        for reached, ratio, misses in ((low, 0.1, low > row.slope(0.1)), (high, 10.0, high < row.slope(10.0))):
            if not bool(misses):
                continue
            raise Wrong(f"{name} loses critics: where p/q = {ratio:g} the best T is f{i}'({ratio:g}) = "
                        f"{row.slope(ratio):.6g}, and your values end at {float(reached):.6g}.", 0.25)  # fmt: skip
        slope = reply.grads[0] if reply.grads else None
        if slope is None or not bool(torch.isfinite(slope).all()):
            raise Wrong(f"{name} has no finite gradient in v on [-12, 12]: nothing trains through it.", 0.5)

    test.__name__ = f"range_of_g{i}"
    return test


q4.test(points=1)(range_of(3))
q4.test(points=1)(range_of(4))


@q4.test(points=1)
def doubt(student: Any, draw: Draw, k: Constants) -> None:
    def check(i: int) -> None:
        row, name = k.rows[i - 1], f"doubt{i}"
        formula = Formula(student, name, [])
        v = formula.at([{}])[0]
        _, got = activated(student, f"g{i}", torch.tensor([v], dtype=torch.float64))
        level = row.slope(1.0)
        if same(plain(got), [level], 1e-5):
            return
        if same([v], [level], 1e-6):
            raise Wrong(f"{name} is f{i}'(1), the level of T. The network returns V: find the V with g{i}(V) = "
                        f"{level:g}.", 0.25)  # fmt: skip
        raise Wrong(f"{name}: with V = {v:.6g} your g{i} gives T = {float(got[0]):.6g}; where p = q the best T is "
                    f"f{i}'(1) = {level:g}.")  # fmt: skip

    each([lambda: check(3), lambda: check(4)])


# Question 5: the weighted GAN is a row ----------------------------------------------------------


def weights_of(function: Callable[[float, float, float], float]) -> Any:
    return lambda k, x: function(float(k.alpha), float(k.beta), x)


def gan_f(a: float, b: float, u: float) -> float:
    return a * u * math.log(a * u / (a * u + b)) + b * math.log(b / (a * u + b))


def gan_star(a: float, b: float, t: float) -> float:
    return -b * math.log(1 - math.exp(t / a))


def gan_g(a: float, b: float, v: float) -> float:
    return -a * math.log1p(math.exp(-v))


def gan_rule(symbol: str, right: Any, slips: Sequence[tuple[Any, str, float]]) -> Rule:
    def at(function: Any) -> Any:
        return over(lambda k, **x: function(float(k.alpha), float(k.beta), x[symbol]))

    return Rule(at(right), [Slip(at(f), lesson, keeps) for f, lesson, keeps in slips], rel=1e-8)


EQUAL = "the weights are missing: this is the row of the book's GAN."
TURNED = "the two weights are exchanged: alpha goes with the data, whose term is T itself."
GAN_STAR = gan_rule("t", gan_star, [
    (lambda a, b, t: gan_star(1, 1, t), EQUAL, 0.25),
    (lambda a, b, t: gan_star(b, a, t), TURNED, 0.25),
    (lambda a, b, t: gan_star(1, b, t), "T = alpha log D, so D = exp(t/alpha): the weight inside is missing.", 0.5),
    (lambda a, b, t: gan_star(a, 1, t), "the weight in front, that of the fakes, is missing.", 0.5),
    (lambda a, b, t: -gan_star(a, b, t), "the sign: the fakes' term of the game is minus f*(T).", 0.25),
    (lambda a, b, t: gan_star(1 / a, b, t), "T = alpha log D gives D = exp(t/alpha), not exp(alpha t).", 0.25),
    (lambda a, b, t: gan_star(a, a, t), "the weight in front is that of the fakes.", 0.25),
    (lambda a, b, t: -b * math.log(1 - math.exp(t)) / a, "alpha divides t, inside the exponential.", 0.25),
])  # fmt: skip
GAN_G = gan_rule("v", gan_g, [
    (lambda a, b, v: gan_g(1, 1, v), EQUAL, 0.5),
    (lambda a, b, v: gan_g(b, a, v), TURNED, 0.25),
    (lambda a, b, v: -gan_g(a, b, v), "the sign: T = alpha log D is negative.", 0.25),
    (lambda a, b, v: gan_g(a, b, -v), "this decreases in v: it is alpha log(1 - D).", 0.25),
    (lambda a, b, v: 1 / (1 + math.exp(-v)), "this is D itself; T is alpha log D.", 0.25),
    (lambda a, b, v: -math.log1p(math.exp(-v)) / a, "the weight multiplies log D.", 0.25),
    (lambda a, b, v: a / (1 + math.exp(-v)), "this is alpha D; T is alpha log D.", 0.25),
])  # fmt: skip
GAN_F = gan_rule("u", gan_f, [
    (lambda a, b, u: gan_f(1, 1, u), EQUAL, 0.25),
    (lambda a, b, u: gan_f(b, a, u), TURNED, 0.25),
    (lambda a, b, u: -gan_f(a, b, u), "the sign: f is the largest value of the bracket, not minus it.", 0.25),
    (lambda a, b, u: a * u * math.log(a * u / (a * u + b)), "the second half, beta log(1 - D), is missing.", 0.25),
    (lambda a, b, u: u * math.log(a * u / (a * u + b)) + math.log(b / (a * u + b)), "the weights stand inside the "
     "logarithms, and are missing in front of them.", 0.5),
    (lambda a, b, u: a * u * math.log(u / (u + 1)) + b * math.log(1 / (u + 1)), "D = u/(u + 1) is the best D for "
     "equal weights.", 0.25),
    (lambda a, b, u: a * math.log(a * u / (a * u + b)) + b * math.log(b / (a * u + b)), "the ratio u in front of "
     "log D is missing.", 0.25),
    (lambda a, b, u: gan_f(a, b, u) + a * math.log((a + b) / a) * u + b * math.log((a + b) / b),
     "this is the divergence without its constant, as in a row with f(1) = 0; the game's own f has f(1) < 0.", 0.5),
])  # fmt: skip
GAN_DOUBT = Rule(at_weights := (lambda k, *x: [math.log(k.alpha / k.beta)]), [
    Slip(lambda k, *x: [0.0], "0 is the doubt of equal weights: here D at p = q is not 1/2.", 0.0),
    Slip(lambda k, *x: [-at_weights(k)[0]], "the sign: who weighs the data more says 'real' more easily.", 0.25),
    Slip(lambda k, *x: [k.alpha / (k.alpha + k.beta)], "this is D at p = q; V is its logit.", 0.5),
    Slip(lambda k, *x: [k.alpha * math.log(k.alpha / (k.alpha + k.beta))], "this is f'(1), the level of T; V is "
         "asked for.", 0.5),
    Slip(lambda k, *x: [math.log(k.alpha / (k.alpha + k.beta))], "this is log D at p = q; V is the logit of D.", 0.25),
    Slip(lambda k, *x: [k.alpha / k.beta], "the logarithm is missing.", 0.25),
], rel=1e-8)  # fmt: skip
q5 = Question("q5", seconds=5)


def tenths(name: str, low: int, high: int) -> Callable[[Draw], tuple[dict[str, float], ...]]:
    return lambda x: tuple({name: x.integer(low, high) / 10} for _ in range(4))


def recovered(name: str, rule: Rule, symbol: str, low: int, high: int) -> Callable[..., None]:
    def test(student: Any, draw: Draw, k: Constants) -> None:
        points = rule.draw(draw, k, tenths(symbol, low, high))
        judge_formula(student, rule, k, name, [symbol], points)

    test.__name__ = f"recovers_{name}"
    return test


q5.test(points=0.5)(recovered("gan_activation", GAN_G, "v", -30, 30))
q5.test(points=1)(recovered("gan_star", GAN_STAR, "t", -60, -1))
q5.test(points=1)(recovered("gan_f", GAN_F, "u", 1, 50))


@q5.test(points=0.5)
def recovers_doubt(student: Any, draw: Draw, k: Constants) -> None:
    formula = Formula(student, "gan_doubt", [])
    GAN_DOUBT.judge(k, (), formula.at([{}]), "gan_doubt")
    formula.settle()


@q5.public
def _(k: Constants) -> list[Case]:
    return [
        GAN_G.case(k, "gan_activation", ({"v": 0.0},), "gan_activation at v = 0 (D = 1/2)", at={"v": 0.0}),
        GAN_F.case(k, "gan_f", ({"u": k.beta / k.alpha},), f"gan_f at u = {k.beta}/{k.alpha} (the best D is 1/2 there)",
                   at={"u": k.beta / k.alpha}),
    ]  # fmt: skip


# Question 6: least squares with any masses -------------------------------------------------------


def middle(k: Constants, a: float, b: float) -> float:
    return (k.alpha * b + k.beta * a) / (k.alpha + k.beta)


def gain(k: Constants) -> float:
    return float(k.alpha * k.beta / (k.alpha + k.beta))


def least(k: Constants, a: float, b: float, p: float, q: float) -> float:
    return k.alpha * k.beta * (b - a) ** 2 / 2 * p * q / (k.alpha * p + k.beta * q)


def rest(k: Constants, a: float, b: float, c: float, P: float, Q: float) -> float:
    far = middle(k, a, b) - c
    return (k.alpha * P + k.beta * Q) * far**2 + 2 * far * (b - a) * gain(k) * (P - Q)


def swapped_weights(k: Constants) -> Constants:
    return Constants(alpha=k.beta, beta=k.alpha)


ONES = Constants(alpha=1, beta=1)
LEAST = Rule(over(least), [
    Slip(over(lambda k, **x: 2 * least(k, **x)), "twice too much: the loss has the factor 1/2.", 0.5),
    Slip(over(lambda k, **x: least(ONES, **x)), "the weights are missing.", 0.25),
    Slip(over(lambda k, **x: least(swapped_weights(k), **x)), "the weights are exchanged below the line.", 0.25),
    Slip(over(lambda k, a, b, p, q: k.alpha * k.beta * (b - a) ** 2 * p * q / (k.alpha * p + k.beta * q) ** 2 / 2),
         "the sum of the weights stands below the line once: one factor cancels.", 0.25),
    Slip(over(lambda k, a, b, p, q: (b - a) ** 2 / 2 * p * q / (k.alpha * p + k.beta * q)), "the product of the "
         "weights is missing above the line.", 0.5),
    Slip(over(lambda k, a, b, p, q: (k.alpha * b * p + k.beta * a * q) / (k.alpha * p + k.beta * q)), "this is the "
         "best output itself; put it into the loss.", 0.25),
    Slip(over(lambda k, a, b, p, q: least(k, -a, b, p, q)), "a sign: only the distance b - a of the targets "
         "counts.", 0.25),
    Slip(over(lambda k, a, b, p, q: gain(k) * (b - a) ** 2 / 4 * (p + q) / 2), "this is the loss where p = q only."),
], rel=1e-8)  # fmt: skip
REST = Rule(over(rest), [
    Slip(over(lambda k, a, b, c, P, Q: (k.alpha * P + k.beta * Q) * (middle(k, a, b) - c) ** 2), "the middle term of "
         "the square is missing: it integrates to zero only if both masses are equal.", 0.5),
    Slip(over(lambda k, a, b, c, P, Q: (k.alpha + k.beta) * (middle(k, a, b) - c) ** 2), "this is the constant for "
         "masses that are one.", 0.25),
    Slip(over(lambda k, a, b, c, P, Q: rest(k, a, b, c, P, Q) / 2), "half of it: the question's K has no 1/2.", 0.25),
    Slip(over(lambda k, a, b, c, P, Q: rest(k, a, b, c, Q, P)), "P and Q are exchanged.", 0.25),
    Slip(over(lambda k, a, b, c, P, Q: rest(k, b, a, c, P, Q)), "a and b are exchanged: b is the target of the data.",
         0.25),
    Slip(over(lambda k, a, b, c, P, Q: rest(ONES, a, b, c, P, Q)), "the weights are missing.", 0.25),
    Slip(over(lambda k, a, b, c, P, Q: (k.alpha * P + k.beta * Q) * (middle(k, a, b) - c) ** 2
              + (middle(k, a, b) - c) * (b - a) * gain(k) * (P - Q)), "the middle term of a square has a factor 2.", 0.5),
    Slip(over(lambda k, a, b, c, P, Q: (k.alpha * P + k.beta * Q) * (middle(k, a, b) - c) ** 2
              - 2 * (middle(k, a, b) - c) * (b - a) * gain(k) * (P - Q)), "the sign of the middle term.", 0.5),
    Slip(over(lambda k, a, b, c, P, Q: (b - a) ** 2 * gain(k) ** 2), "this is the factor of Delta: the two are "
         "exchanged."),
], rel=1e-8)  # fmt: skip
FACTOR = Rule(over(lambda k, a, b: (b - a) ** 2 * gain(k) ** 2), [
    Slip(over(lambda k, a, b: (b - a) ** 2 * gain(k) ** 2 / 2), "half of it: the question's K has no 1/2.", 0.25),
    Slip(over(lambda k, a, b: (b - a) ** 2 * gain(k)), "the product of the weights over their sum is squared.", 0.25),
    Slip(over(lambda k, a, b: (b - a) ** 2 / 4), "1/4 belongs to equal weights.", 0.25),
    Slip(over(lambda k, a, b: (b - a) ** 2), "the factor in front is missing: it is a square of weights.", 0.25),
    Slip(over(lambda k, a, b: (b - a) ** 2 * k.alpha * k.beta), "the weights are not divided by their sum.", 0.25),
    Slip(over(lambda k, a, b: (b + a) ** 2 * gain(k) ** 2), "the sign: only the distance b - a counts.", 0.25),
    Slip(over(lambda k, a, b: abs(b - a) * gain(k)), "this is its root.", 0.25),
], rel=1e-8)  # fmt: skip


def criterion(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    p, q = p.double(), q.double()
    both = k.alpha * p + k.beta * q
    best = (k.alpha * b * p + k.beta * a * q) / torch.where(both > 0, both, 1.0)
    return (both * (best - c) ** 2).sum()


def normal_closed_form(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    """k0 + k1 Delta with the constant of masses that are one."""
    p, q = p.double(), q.double()
    both = k.alpha * p + k.beta * q
    delta = ((p - q) ** 2 / torch.where(both > 0, both, 1.0)).sum()
    return rest(k, a, b, c, 1, 1) + (b - a) ** 2 * gain(k) ** 2 * delta


def kept(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    keep = (p > 0) & (q > 0)
    return criterion(k, p[keep], q[keep], a, b, c)


def fakes_alone(k: Constants, p: Tensor, q: Tensor, a: float, b: float, c: float) -> Tensor:
    p, q = p.double(), q.double()
    both = k.alpha * p + k.beta * q
    best = (k.alpha * b * p + k.beta * a * q) / torch.where(both > 0, both, 1.0)
    return (k.beta * q * (best - c) ** 2).sum()


VALUE = Rule(criterion, [
    Slip(lambda k, *x: criterion(k, *x) / 2, "half of it: K has no factor 1/2.", 0.25),
    Slip(lambda k, *x: criterion(k, *x) / len(x[0]), "a mean over the bins; the masses are already the weights.", 0.25),
    Slip(lambda k, p, q, a, b, c: criterion(k, p, q, b, a, c), "a and b are exchanged: b is the target of the "
         "data.", 0.25),
    Slip(lambda k, p, q, a, b, c: criterion(k, p, q, a, b, -c), "the sign of c.", 0.25),
    Slip(lambda k, *x: criterion(ONES, *x), "the weights are missing.", 0.25),
    Slip(lambda k, p, q, a, b, c: criterion(k, q, p, a, b, c), "p and q are exchanged.", 0.25),
    Slip(normal_closed_form, "this is k0 + k1 Delta with the constant of masses that are one; these masses are not.",
         0.25),
    Slip(kept, "bins where one of p and q is zero are left out; only both zero count nothing.", 0.5),
    Slip(fakes_alone, "only the generated samples count; the question's K has the data's term too.", 0.25),
    Slip(lambda k, p, q, a, b, c: criterion(k, p / p.sum(), q / q.sum(), a, b, c), "the masses were divided by their "
         "sums; take them as they are.", 0.25),
])  # fmt: skip
q6 = Question("q6", seconds=5)


def halves(draw: Draw, **bounds: tuple[int, int]) -> tuple[dict[str, float], ...]:
    return tuple({n: draw.integer(*limits) / 2 for n, limits in bounds.items()} for _ in range(4))


@q6.test(points=1)
def least_loss(student: Any, draw: Draw, k: Constants) -> None:
    points = LEAST.draw(draw, k, lambda x: halves(x, a=(-9, 9), b=(-9, 9), p=(1, 12), q=(1, 12)))
    judge_formula(student, LEAST, k, "least", ["a", "b", "p", "q"], points)


@q6.test(points=1)
def constant_part(student: Any, draw: Draw, k: Constants) -> None:
    sides = {"a": (-9, 9), "b": (-9, 9), "c": (-9, 9), "P": (1, 12), "Q": (1, 12)}
    points = REST.draw(draw, k, lambda x: halves(x, **sides))
    judge_formula(student, REST, k, "k0", ["a", "b", "c", "P", "Q"], points)


@q6.test(points=0.5)
def factor(student: Any, draw: Draw, k: Constants) -> None:
    points = FACTOR.draw(draw, k, lambda x: halves(x, a=(-9, 9), b=(-9, 9)))
    judge_formula(student, FACTOR, k, "k1", ["a", "b"], points)


@q6.test(points=1)
def on_masses(student: Any, draw: Draw, k: Constants) -> None:
    def sample(x: Draw) -> tuple[Any, ...]:
        p, q = x.uniform(6, 0.2, 1.5), x.uniform(6, 0.2, 1.5)
        p[1], q[2], p[3], q[3] = 0.0, 0.0, 0.0, 0.0
        return p, q, *(x.integer(5, 15) / 4 * x.choice([-1, 1]) for _ in range(3))

    inputs = VALUE.draw(draw, k, sample)
    reply = student.call("criterion", *inputs)
    got = number(reply)
    if math.isnan(got):
        raise Wrong("criterion is nan where a bin has p = q = 0: that is 0/0. Such a bin has no mass: give it any "
                    "finite output, and its weight zero removes it.", 0.5)  # fmt: skip
    VALUE.judge(k, inputs, [got], "criterion", say(**dict(zip("pqabc", inputs, strict=True))))
    pure(reply, ["p", "q"])


@q6.test(points=0.5)
def without_a_constant(student: Any, draw: Draw, k: Constants) -> None:
    value = student.get("coding")
    tensor = getattr(value, "tensor", value)
    if isinstance(tensor, Tensor) and tensor.dim() == 1:
        value = tensor.tolist()
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise Wrong("coding must be three numbers, (a, b, c).")
    a, b, c = (entry(v, "coding") for v in value)
    if not same([c], [float(k.target)], 1e-6):
        raise Wrong(f"coding: c is {c:.6g}; the question fixes it at {k.target}.")
    constant, scale = rest(k, a, b, c, 1.0, 1.0), (b - a) ** 2 * gain(k) ** 2
    if not (same([constant], [0.0], 1e-6) and same([scale], [1.0], 1e-6)):
        why = ""
        if same([b - c, b - a], [1.0, 2.0], 1e-6):
            why = " b - c = 1 and b - a = 2 do this for equal weights, and are not the only coding even there."
        raise Wrong(f"coding: with a = {a:.6g}, b = {b:.6g} K is {constant:.6g} + {scale:.6g} Delta.{why}",
                    0.5 if same([constant], [0.0], 1e-6) or same([scale], [1.0], 1e-6) else 0.0)  # fmt: skip
    if b < a:
        raise Wrong("coding: b is to be larger than a.", 0.5)


@q6.public
def _(k: Constants) -> list[Case]:
    point = {"a": 0.0, "b": 1.0, "p": 1.0, "q": 1.0}
    bins = torch.tensor([0.25, 0.25, 0.5])
    inputs = (bins, bins, -1.0, 1.0, 0.0)
    return [
        LEAST.case(k, "least", (point,), "least for a = 0, b = 1 at p = q = 1", at=point),
        VALUE.case(k, "criterion", inputs, "criterion for p = q = [0.25, 0.25, 0.5], a = -1, b = 1, c = 0", args=inputs),
    ]  # fmt: skip


# Question 7: a critic that climbs ----------------------------------------------------------------


def inject_row(k: Constants) -> Injection:
    row = k.rows[3]
    star = row.kind.star_torch.replace("torch", "_torch")
    source = (
        "import torch as _torch\nfrom torch.nn.functional import softplus as _softplus\n"
        f"def g4(v):\n    return {row.end!r} - {row.A} * _softplus(-v)\n"
        f"def star4(t):\n    s = (t - ({row.c})) / {row.A}\n    return {row.A} * {star} + ({row.c})\n"
    )
    return Injection(("g4", "star4"), source)


q7 = Question("q7", seconds=30, inject=inject_row)
CRITIC = "(bound, T)"


def masses(draw: Draw, n: int) -> Tensor:
    """``n`` masses, multiples of 1/64 that sum to one, none far from the others; float64."""
    while True:
        found = draw.masses(n, most=14)
        if found[-1] <= 14 / 64:
            return found.double()


def two_masses(draw: Draw, row: Row, n: int) -> tuple[Tensor, Tensor]:
    """Two distributions that this row tells apart."""
    while True:
        p, q = masses(draw, n), masses(draw, n)
        if row.divergence(p, q) > 0.15:
            return p, q


def bound_of(row: Row, p: Tensor, q: Tensor, t: Sequence[float]) -> float:
    values = zip(p.tolist(), q.tolist(), t, strict=True)
    return math.fsum(x * s - y * row.whole(s) for x, y, s in values)


def climbs(student: Any, draw: Draw, k: Constants) -> tuple[Row, Tensor, Tensor, float, list[float]]:
    row = k.rows[3]
    p, q = two_masses(draw, row, draw.integer(8, 9))
    reply = student.call("train_critic", p, q)
    value = reply.value
    if value is None:
        raise Nothing("train_critic")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Wrong(f"train_critic must return {CRITIC}; it returns {asking.kind_of(value)}.")
    t = getattr(value[1], "tensor", value[1])
    if not isinstance(t, Tensor) or t.numel() != len(p):
        raise Wrong(f"train_critic: T must be a tensor with one value for each of the {len(p)} bins.")
    pure(reply, ["p", "q"])
    return row, p, q, entry(value[0], "the bound"), plain(t)


@q7.test(points=1)
def reaches_the_divergence(student: Any, draw: Draw, k: Constants) -> None:
    row, p, q, bound, _ = climbs(student, draw, k)
    due = row.divergence(p, q)
    case = say(p=p, q=q)
    if same([bound], [due], 1e-3):
        return
    for value, lesson, keeps in (
        (-due, "the sign: this is the loss that is minimised; the bound is minus it.", 0.5),
        (due / row.A, "the factor of f4 is missing.", 0.25),
        (due / len(p), "a mean over the bins: the masses are already the weights.", 0.25),
    ):
        if same([bound], [value], 1e-3):
            raise Wrong(f"the bound: {lesson}", keeps)
    if not bound < due:
        raise Wrong(f"the bound at {case}: you get {bound:.6g}, above the divergence, {due:.6g}. No critic inside the "
                    "domain reaches that: is it p T - q f*(T), summed over the bins?")  # fmt: skip
    raise Wrong(f"the bound at {case}: you reach {bound:.6g}, and the divergence is {due:.6g}. Climb longer, or with "
                "larger steps.", 0.25 if bound > due / 2 else 0.0)  # fmt: skip


@q7.test(points=1)
def finds_the_ratio(student: Any, draw: Draw, k: Constants) -> None:
    row, p, q, _, got = climbs(student, draw, k)
    pairs = list(zip(p.tolist(), q.tolist(), strict=True))
    due = [row.slope(x / y) for x, y in pairs]
    level = 0.02 * row.A
    if max(abs(x - y) for x, y in zip(got, due, strict=True)) <= level:
        return
    turned = [row.slope(y / x) for x, y in pairs]
    if max(abs(x - y) for x, y in zip(got, turned, strict=True)) <= level:
        raise Wrong("T is the critic of the exchanged pair: the data go with T, the fakes with f*(T).", 0.25)
    networks = [row.end - row.A * float(softplus(torch.tensor(-v, dtype=torch.float64))) for v in got]
    if max(abs(x - y) for x, y in zip(networks, due, strict=True)) <= level:
        raise Wrong("these are the values V of the network; T is g4 of them.", 0.5)
    inside = all(t < row.end for t in got)
    reached = f"{bound_of(row, p, q, got):.6g}" if inside else "minus infinity: T leaves the domain"
    raise Wrong(f"T at {say(p=p, q=q)}: with your T the bound is {reached}; it can be {row.divergence(p, q):.6g}, with "
                f"T = f4'(p/q) = {say(T=due)[4:]}.")  # fmt: skip


# Question 8: two rulers, two fits ---------------------------------------------------------------


def inject_held(k: Constants) -> Injection:
    """What the generator is charged where the best critic is held: f*(f'(u)), by row."""
    lines = ["import math", "import torch as _torch"]
    for i in (2, 4):
        row = k.rows[i - 1]
        lines += [
            f"def slope{i}(u):\n    return {row.A} * ({row.kind.slope_torch.replace('torch', '_torch')}) + ({row.c})",
            f"def star{i}(t):\n    s = (t - ({row.c})) / {row.A}\n"
            f"    return {row.A} * {row.kind.star_torch.replace('torch', '_torch')} + ({row.c})",
        ]
    return Injection(("slope2", "star2", "slope4", "star4"), "\n".join(lines) + "\n")


q8 = Question("q8", seconds=60, inject=inject_held)
GRID = torch.linspace(-10, 10, 201, dtype=torch.float64)
FIT = "(mean, sd)"


def bell(mean: float, sd: float) -> Tensor:
    return torch.softmax(-(((GRID - mean) / sd) ** 2) / 2, 0)


def bumps(draw: Draw) -> tuple[Tensor, str]:
    """Two bumps that nearly touch, of different weight and width, as masses on the grid."""
    half, shift = draw.integer(14, 18) / 8, draw.integer(-8, 8) / 8
    s1, s2 = draw.integer(4, 5) / 8, draw.integer(8, 9) / 8
    w = draw.integer(20, 24) / 64
    p = w * bell(shift - half, s1) + (1 - w) * bell(shift + half, s2)
    return p, f"bumps at {shift - half:g} (sd {s1:g}, weight {w:g}) and {shift + half:g} (sd {s2:g})"


def apart_by(row: Row, p: Tensor, q: Tensor) -> float:
    """D_f by tensors, on the grid."""
    u = p / q
    h = {
        "pearson": lambda: (u - 1) ** 2, "cubic": lambda: u**3 - 1,
        "hellinger": lambda: (u.sqrt() - 1) ** 2,
        "jensen": lambda: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    }[row.name]()  # fmt: skip
    return float(row.A * (q * h).sum())


def moments(p: Tensor) -> list[float]:
    mean = float((p * GRID).sum())
    return [mean, math.sqrt(float((p * (GRID - mean) ** 2).sum()))]


def fitted(row: Row, p: Tensor, turned: bool = False) -> list[float]:
    """Mean and sd of the best bell by this row."""

    def cost(at: Any) -> float:
        q = bell(float(at[0]), math.exp(float(at[1])))
        value = apart_by(row, q, p) if turned else apart_by(row, p, q)
        return value if math.isfinite(value) else 1e30

    mean, sd = moments(p)
    found = minimize(cost, [mean, math.log(sd)], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    return [float(found.x[0]), math.exp(float(found.x[1]))]


def fit_of(i: int) -> Callable[..., None]:
    def test(student: Any, draw: Draw, k: Constants) -> None:
        row, other = k.rows[i - 1], k.rows[5 - i]
        p, case = bumps(draw)
        case = f"row {i}, {case}"
        got = numbers(student.call("fit", i, p, GRID), 2, FIT)
        due = fitted(row, p)
        if all(abs(x - y) <= 0.01 for x, y in zip(got, due, strict=True)):
            return
        known: list[tuple[list[float], str, float]] = [
            (fitted(other, p), f"this is the fit of the other row, f{6 - i}.", 0.25),
            ([due[0], due[1] ** 2], "the second number is the variance; the question asks for the sd.", 0.5),
            ([due[0], math.log(due[1])], "the second number is the logarithm of the sd.", 0.5),
            (due[::-1], "mean and sd are exchanged.", 0.5),
            (moments(p), "these are the mean and the sd of the data, the fit of KL. This row has another.", 0.0),
        ]
        if row.name in ("pearson", "cubic"):
            known.append((fitted(row, p, turned=True), "the arguments are exchanged: this minimises D_f(Q || P).", 0.25))
        for value, lesson, keeps in known:
            if all(abs(x - y) <= 0.01 for x, y in zip(got, value, strict=True)):
                raise Wrong(f"{FIT} of {case}: {lesson}", keeps)
        sound = all(map(math.isfinite, got)) and got[1] > 0.05
        mine = f"{apart_by(row, p, bell(*got)):.5g}" if sound else "not finite"
        near = all(abs(x - y) <= 0.15 for x, y in zip(got, due, strict=True))
        why = "Take more steps." if near else (
            "Is the critic held fixed while the generator moves? Its slope must not flow into the generator's loss.")  # fmt: skip
        raise Wrong(f"{FIT} of {case}: at your ({got[0]:.4f}, {got[1]:.4f}) the divergence is {mine}; at ({due[0]:.4f}, "
                    f"{due[1]:.4f}) it is {apart_by(row, p, bell(*due)):.5g}. {why}", 0.5 if near else 0.0)  # fmt: skip

    test.__name__ = f"fit_of_f{i}"
    return test


q8.test(points=1)(fit_of(2))
q8.test(points=1)(fit_of(4))

QUESTIONS = [q1, q2, q3, q4, q5, q6, q7, q8]
