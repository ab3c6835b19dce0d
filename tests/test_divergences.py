"""One set of laws, held by every row of the f-GAN table, in symbols and in floating point."""

from __future__ import annotations

import pickle

import mpmath
import pytest
import sympy as sp
import torch
from divergence_rows import FAMILIES, ROWS, every_formula, every_row
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlib.divergences import FDivergence, divergence, p, q, t, u, v
from ganlib.formulas import textbook
from ganlib.proofs import assert_equal, assert_nonnegative, counterexample

# ---------------------------------------------------------------------------------- in symbols


@every_formula
def test_f_of_one_is_zero_except_the_gan_row(row: FDivergence) -> None:
    at_one = row.symbolic.generator.subs(u, 1)
    expected = -sp.log(4) if row.name == "gan" else 0
    assert sp.simplify(sp.expand_log(at_one - expected)) == 0


@every_formula
def test_level_is_the_slope_at_one(row: FDivergence) -> None:
    table = {"kl": 1, "reverse_kl": -1, "gan": -sp.log(2)}
    assert sp.simplify(row.symbolic.level - table.get(row.name, 0)) == 0


@every_formula
def test_f_is_convex(row: FDivergence) -> None:
    if row.name == "total_variation":
        assert sp.simplify(row.symbolic.generator - sp.Abs(u - 1) / 2) == 0  # a maximum of lines
        return
    second = {
        "kl": 1 / u,
        "reverse_kl": u**-2,
        "pearson": sp.Integer(2),
        "neyman": 2 / u**3,
        "squared_hellinger": u ** sp.Rational(-3, 2) / 2,
        "jeffreys": (1 + u) / u**2,
        "jensen_shannon": 1 / (u * (1 + u)),
        "gan": 1 / (u * (1 + u)),
    }
    if "pi" in row.parameters:
        pi = row.parameters["pi"]
        second["weighted_jensen_shannon"] = pi * (1 - pi) / (u * (1 - pi + pi * u))
    if "alpha" in row.parameters:
        second["alpha"] = u ** (row.parameters["alpha"] - 2)
    assert_equal(sp.diff(row.symbolic.generator, u, 2), second[row.name], f"f'' of {row}")
    assert sp.simplify(second[row.name]).is_positive


@every_row
def test_edges_are_the_limits_of_f(row: FDivergence) -> None:
    f = row.symbolic.generator
    if row.name == "total_variation":
        f_low, f_high = (1 - u) / 2, (u - 1) / 2
    else:
        f_low = f_high = sp.expand(f) if row.name == "neyman" else f
    with mpmath.workdps(160):
        tiny, huge = mpmath.mpf("1e-300"), mpmath.mpf("1e80")
        low = sp.lambdify(u, f_low, "mpmath")(tiny)
        high = sp.lambdify(u, f_high, "mpmath")(huge) / huge
    # 1e-300 shows a logarithm as 690; a power of 1e80 at least 1/10 as 1e8.
    for got, want in ((low, row.symbolic.at_zero), (high, row.symbolic.at_infinity)):
        if want == sp.oo:
            assert got > 50
        else:
            assert abs(got - float(want)) < 1e-3


@every_formula
def test_fenchel_young_holds_with_equality_at_the_critic(row: FDivergence) -> None:
    f, critic, conjugate = row.symbolic.generator, row.symbolic.critic, row.symbolic.conjugate
    if row.name == "total_variation":
        for side in (sp.Rational(1, 3), sp.Integer(5)):  # below and above the jump
            slope = critic.subs(u, side)
            assert f.subs(u, side) + conjugate.subs(t, slope) == side * slope
        return
    if row.name == "jeffreys":
        # W(e^(1-t)) = w means t = 1 - w - log w, and the critic is that with w = 1 / u.
        w = sp.Symbol("w", positive=True)
        assert_equal(critic, 1 - 1 / u - sp.log(1 / u))
        inner = sp.LambertW(sp.exp(1 - t))
        assert_equal(inner.args[0].subs(t, 1 - w - sp.log(w)), w * sp.exp(w))
        conjugate_at_critic = conjugate.subs(inner, 1 / u).subs(t, critic)
    else:
        conjugate_at_critic = conjugate.subs(t, critic)
    gap = f + conjugate_at_critic - u * critic
    point = counterexample(gap, sp.Integer(0))
    assert point is None, (row, point)


@every_formula
def test_slope_of_the_conjugate_is_the_ratio(row: FDivergence) -> None:
    # (f*)'(f'(u)) = u: with closedness and convexity of f this is biconjugacy.
    if row.name == "total_variation":
        return  # f' takes two values only; the inequality is tested in floating point below
    slope = sp.diff(row.symbolic.conjugate, t).subs(t, row.symbolic.critic)
    assert counterexample(slope.replace(sp.Heaviside, lambda *_: sp.Integer(1)), u) is None


@every_formula
@pytest.mark.parametrize(
    "part", ["integrand", "critic", "conjugate", "activation", "conjugate_of_activation"]
)
def test_stable_forms_are_the_textbook_forms(row: FDivergence, part: str) -> None:
    stable = getattr(row.stable, part)
    if part == "integrand":
        exact = q * row.symbolic.generator.subs(u, p / q)
    else:
        exact = getattr(row.symbolic, part)
    if row.name == "jeffreys" and part.startswith("conjugate"):
        # With w = W(e^x), log w = x - w: the definition of W. Both sides then agree in w and t.
        x = t if part == "conjugate" else v
        w = sp.Symbol("w", positive=True)
        inner = sp.LambertW(sp.exp(1 - x))
        left = textbook(stable).subs(sp.log(inner), 1 - x - w)
        left = left.subs(inner, w).replace(
            lambda e: isinstance(e, sp.exp) and e.has(w), lambda e: 1 / w
        )
        assert counterexample(stable, exact) is None
        assert_equal(left, exact.subs(inner, w))
        return
    if row.name == "total_variation" and part == "conjugate_of_activation":
        assert (sp.tanh(v) + 1).rewrite(sp.exp).simplify().is_positive  # so Max takes tanh/2
        exact = sp.tanh(v) / 2
    top = row.domain.sup
    if part == "conjugate" and top != sp.oo:
        s = sp.Symbol("s", positive=True)  # the interior of the domain: t = top - s
        stable, exact = stable.subs(t, top - s), exact.subs(t, top - s)
    difference = counterexample(stable, exact)
    assert difference is None, (row, part, difference)
    if row not in FAMILIES.values():
        # SymPy does not know that Max(x, -1) + 1 = Max(x + 1, 0).
        stable = textbook(stable).replace(
            lambda e: isinstance(e, sp.Max) and -1 in e.args,
            lambda e: sp.Max(*(x + 1 for x in e.args)) - 1,
        )
        # Nor does it merge the logarithms of a family's symbol: its members stand for it.
        assert_equal(stable, exact, f"{part} of {row}")


@every_row
def test_activation_increases_onto_the_domain(row: FDivergence) -> None:
    g = row.symbolic.activation
    assert_nonnegative(sp.diff(g, v), f"slope of the activation of {row}")
    with mpmath.workdps(50):
        value = sp.lambdify(v, g, "mpmath")
        right, left = value(mpmath.mpf(200)), value(mpmath.mpf(-200))
    top = row.domain.sup
    assert right >= 200 if top == sp.oo else abs(right - mpmath.mpf(float(top))) < 1e-12
    # Total variation alone stops at -1/2 on the left, where its conjugate becomes flat.
    assert left == pytest.approx(-0.5) if row.name == "total_variation" else left < -150


@pytest.mark.parametrize(
    ("left", "factor", "right"),
    [
        (("alpha", {"alpha": 2}), sp.Rational(1, 2), "pearson"),
        (("alpha", {"alpha": -1}), sp.Rational(1, 2), "neyman"),
        (("alpha", {"alpha": sp.Rational(1, 2)}), sp.Integer(2), "squared_hellinger"),
        (
            ("weighted_jensen_shannon", {"pi": sp.Rational(1, 2)}),
            sp.Rational(1, 2),
            "jensen_shannon",
        ),
    ],
)
def test_families_pass_through_the_other_rows(left, factor, right) -> None:
    name, parameters = left
    family = divergence(name, **parameters).symbolic.generator
    affine = sp.Rational(0)
    assert_equal(family, factor * divergence(right).symbolic.generator + affine)


def test_alpha_tends_to_kl_and_reverse_kl() -> None:
    a = sp.Symbol("a")
    f = (u**a - 1 - a * (u - 1)) / (a * (a - 1))
    assert_equal(sp.limit(f, a, 1), u * sp.log(u) - u + 1)
    assert_equal(sp.limit(f, a, 0), -sp.log(u) + u - 1)
    for at, name in ((0.999999, "kl"), (1.000001, "kl"), (1e-6, "reverse_kl")):
        near, limit = divergence("alpha", alpha=at), divergence(name)
        data, fake = torch.tensor([0.2, 0.5, 0.3]).double(), torch.tensor([0.4, 0.4, 0.2]).double()
        assert near.between(data, fake).item() == pytest.approx(
            limit.between(data, fake).item(), rel=1e-5
        )


# --------------------------------------------------------------------------- in floating point


def _exact(expression: sp.Expr, symbol: sp.Symbol, points: list[float]) -> list[float]:
    function = sp.lambdify(symbol, expression, "mpmath")
    values = []
    for point in points:
        # exp(-v) against 1 needs |v| / log(10) digits, and twice that where it is squared.
        with mpmath.workdps(int(60 + 1.3 * abs(point))):
            values.append(float(mpmath.re(function(mpmath.mpf(point)))))
    return values


def _exact_slope(expression: sp.Expr, symbol: sp.Symbol, points: list[float]) -> list[float]:
    slope = sp.diff(expression, symbol)
    heaviside = slope.replace(sp.Heaviside, lambda x, *_: (1 + sp.sign(x)) / 2)
    return _exact(heaviside, symbol, points)


# No kink of any row (v = -2, -1, -1/2, 0) among them.
EXTREME = [-1e4, -1234.5, -150.0, -88.0, -30.0, -5.0, -0.7, -1e-3, 1e-3, 0.7, 5.0, 30.0, 88.0]
EXTREME += [150.0, 1234.5, 1e4]


@every_row
@pytest.mark.parametrize("part", ["activation", "conjugate_of_activation"])
def test_float32_at_extreme_outputs(row: FDivergence, part: str) -> None:
    exact = getattr(row.symbolic, part)
    if row.name == "jeffreys" and part == "conjugate_of_activation":
        # W overflows no mpmath number, but is slow there: u = 1 / w solves 1 - 1/u + log u = v.
        want, want_slope = _jeffreys_exactly(EXTREME)
    else:
        want = _exact(exact, v, EXTREME)
        want_slope = _exact_slope(exact, v, EXTREME)
    output = torch.tensor(EXTREME, dtype=torch.float32, requires_grad=True)
    value = getattr(row, part)(output)
    (slope,) = torch.autograd.grad(value.sum(), output)
    for got, true in ((value, want), (slope, want_slope)):
        expected = torch.tensor(true, dtype=torch.float64).float()  # inf beyond the format
        assert not got.isnan().any(), (row, got)
        assert torch.equal(got.isinf(), expected.isinf()), (row, got, expected)
        finite = ~expected.isinf()
        # A large exponent magnifies the rounding of v itself: e^(9v) at alpha = 0.9.
        torch.testing.assert_close(got[finite], expected[finite], rtol=3e-5, atol=1e-6)


def _jeffreys_exactly(outputs: list[float]) -> tuple[list[float], list[float]]:
    values, slopes = [], []
    with mpmath.workdps(60):
        for output in outputs:
            start = output - 1 if output > 1 else -mpmath.log(1 - output + 1)
            log_u = mpmath.findroot(lambda y, o=output: 1 - mpmath.exp(-y) + y - o, start)
            ratio = mpmath.exp(log_u)
            slopes.append(float(ratio))
            values.append(float(ratio + log_u - 1))  # u f' - f = u + log u - 1
    return values, slopes


@every_row
def test_slopes_keep_their_relative_precision(row: FDivergence) -> None:
    # Adam divides a gradient by its size: a slope of 1e-9 rounded to 0 is a player that stops.
    points = [-20.0, -9.0, -3.0, 3.0, 9.0, 20.0]
    output = torch.tensor(points, dtype=torch.float32, requires_grad=True)
    (slope,) = torch.autograd.grad(row.activation(output).sum(), output)
    want = torch.tensor(_exact_slope(row.symbolic.activation, v, points), dtype=torch.float64)
    torch.testing.assert_close(slope.double(), want, rtol=2e-6, atol=0.0)


@every_row
def test_fenchel_young_in_floating_point(row: FDivergence, dtype: torch.dtype) -> None:
    ratio = torch.tensor([0.01, 0.3, 0.9, 1.0, 1.2, 4.0, 50.0], dtype=dtype)
    slope = row.critic(ratio)
    if row.name != "total_variation":  # its end points -1/2 and 1/2 belong to the domain
        assert (row.conjugate(slope) < torch.inf).all()
    left = row.generator(ratio) + row.conjugate(slope)
    tolerance = 200 * torch.finfo(dtype).eps
    torch.testing.assert_close(left, ratio * slope, rtol=tolerance, atol=tolerance)


positive = st.floats(1e-3, 1e3)
real = st.floats(-20.0, 20.0)


@every_row
@settings(max_examples=60, deadline=None, derandomize=True)
@given(ratio=positive, value=real)
def test_fenchel_young_inequality(row: FDivergence, ratio: float, value: float) -> None:
    # t u - f*(t) <= f(u): the conjugate is large enough, everywhere.
    one, other = torch.tensor([ratio]).double(), torch.tensor([value]).double()
    gap = row.generator(one) + row.conjugate(other) - one * other
    assert gap.item() >= -1e-9 * (1 + ratio * abs(value))


@every_row
@settings(max_examples=15, deadline=None, derandomize=True)
@given(ratio=st.floats(0.05, 20.0))
def test_biconjugate_is_f(row: FDivergence, ratio: float) -> None:
    # f(u) = sup_t {t u - f*(t)}, by brute force over the values of the activation.
    outputs = torch.sinh(torch.linspace(-6.5, 6.5, 200_001, dtype=torch.float64))
    values = row.activation(outputs)
    supremum = (values * ratio - row.conjugate_of_activation(outputs)).max().item()
    f = row.generator(torch.tensor(ratio, dtype=torch.float64)).item()
    assert supremum <= f + 1e-9
    assert supremum == pytest.approx(f, rel=1e-6, abs=2e-6)


@every_row
def test_conjugate_is_the_supremum(row: FDivergence) -> None:
    # f*(t) = sup_u {t u - f(u)} by brute force on a grid of ratios, u = 0 included.
    ratio = torch.cat([torch.zeros(1), torch.logspace(-6, 6, 200_001)]).double()
    f = row.generator(ratio)
    top = min(float(row.domain.sup), 2.0)
    for value in (-30.0, -3.0, -2.0, -0.7, top - 0.4, top - 0.05):
        if row.domain.contains(sp.Float(value)) == sp.false:
            continue
        got = row.conjugate(torch.tensor(value, dtype=torch.float64)).item()
        brute = (value * ratio - f).max().item()
        assert brute <= got + 1e-9
        assert got == pytest.approx(brute, rel=1e-4, abs=1e-4)


@every_row
def test_conjugate_is_infinite_exactly_outside_its_domain(
    row: FDivergence, dtype: torch.dtype
) -> None:
    top = row.domain.sup
    values = torch.tensor([-1e4, -7.0, row.level, 1e4, torch.inf, torch.nan], dtype=dtype)
    got = row.conjugate(values)
    assert got[:3].isfinite().all()
    assert got[4] == torch.inf
    assert got[5].isnan()
    if top == sp.oo:
        return
    assert got[3] == torch.inf
    edge = row.conjugate(torch.tensor([float(top) + 1e-6, float(top)], dtype=dtype))
    assert edge[0] == torch.inf
    closed = {"total_variation": 0.5, "neyman": 2.0}
    if row.name == "alpha" and row.parameters["alpha"] < 0:
        closed["alpha"] = float(-1 / row.parameters["alpha"])
    if row.name in closed and float(top) in (0.5, 1.0):  # exact in every format
        assert edge[1].item() == pytest.approx(closed[row.name])
        assert top in row.domain
    elif row.name not in closed:
        assert top not in row.domain


def test_pearson_and_alpha_conjugates_are_flat_where_the_printed_ones_are_not() -> None:
    # For ratios u >= 0; t^2/4 + t is right on the whole line only for an f on the whole line.
    values = torch.tensor([-50.0, -5.0, -2.0], dtype=torch.float64)
    assert divergence("pearson").conjugate(values).tolist() == [-1.0] * 3
    assert divergence("alpha", alpha=1.5).conjugate(values).tolist() == pytest.approx([-2 / 3] * 3)
    assert divergence("alpha", alpha=3).conjugate(values).tolist() == pytest.approx([-1 / 3] * 3)


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "near"), [("KL", "kl"), ("pearsn", "pearson"), ("jensen", "jensen_shannon")]
)
def test_unknown_name_says_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"nearest name is '{near}'"):
        divergence(name)


@pytest.mark.parametrize("pi", [0, 1, -0.2, 1.5, float("nan"), float("inf"), "half"])
def test_pi_outside_its_domain(pi: object) -> None:
    with pytest.raises(ValueError, match="pi = "):
        divergence("weighted_jensen_shannon", pi=pi)


@pytest.mark.parametrize(
    "alpha", [0, 1, 0.0, 1.0, 1e-21, float("nan"), float("-inf"), None, True, "1"]
)
def test_alpha_outside_its_domain(alpha: object) -> None:
    with pytest.raises(ValueError, match="alpha = "):
        divergence("alpha", alpha=alpha)


def test_parameters_are_checked_by_name() -> None:
    with pytest.raises(TypeError, match="alpha takes alpha"):
        divergence("alpha")
    with pytest.raises(TypeError, match="kl takes no parameters"):
        divergence("kl", alpha=2)


def test_generator_and_critic_at_the_edges(dtype: torch.dtype) -> None:
    for row in ROWS.values():
        edge = row.generator(torch.tensor([-1.0, 0.0, torch.nan], dtype=dtype))
        assert edge[0] == torch.inf
        # To the last digit of the dtype: the constants are no float32 in passing.
        assert edge[1].item() == torch.tensor(float(row.symbolic.at_zero), dtype=dtype).item()
        assert edge[2].isnan()
        assert row.critic(torch.tensor(-1.0, dtype=dtype)).isnan()
    assert divergence("gan").generator(torch.tensor(torch.inf, dtype=dtype)) == -torch.inf


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        divergence("kl").generator(torch.tensor([1, 2]))
    with pytest.raises(TypeError, match="list"):
        divergence("kl").conjugate([0.5])  # type: ignore[arg-type]


def test_a_family_computes_nothing_and_says_so() -> None:
    family = FAMILIES["0 < pi < 1"]
    with pytest.raises(ValueError, match="stands for a whole family") as caught:
        family.critic(torch.ones(1))
    advice = str(caught.value)
    assert "divergence('weighted_jensen_shannon', pi=0.5)" in advice
    assert divergence("weighted_jensen_shannon", pi=0.5).critic(torch.ones(1)) == 0
    with pytest.raises(ValueError, match="stands for"):
        assert family.level


@every_row
def test_a_divergence_is_pickled(row: FDivergence) -> None:
    again = pickle.loads(pickle.dumps(row))
    assert again == row
    assert repr(again) == repr(row)
    assert again.critic(torch.tensor(2.0)) == row.critic(torch.tensor(2.0))


# ------------------------------------------------------------------------- alpha near 0 and 1

RATIOS = (1e-30, 1e-6, 0.01, 0.5, 0.6, 0.99, 0.9999, 1.0001, 1.01, 1.9, 2.1, 50.0, 1e4)
CRITICS = (-50.0, -3.0, -0.7, -1e-3, 1e-4, 0.3, 0.6, 2.0, 20.0)
ALPHAS = (-3, -1, -1e-5, -1e-12, 1e-12, 1e-7, 1e-5, 1e-3, 0.3, 0.5, 0.51, 0.9)
ALPHAS += (1 - 1e-3, 1 - 1e-5, 1 - 1e-7, 1 + 1e-12, 1 + 1e-7, 1 + 1e-5, 1 + 1e-3, 1.5, 2, 3, 10)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_every_alpha_to_five_digits_in_float32(alpha: float, dtype: torch.dtype) -> None:
    row = divergence("alpha", alpha=alpha)
    a = row.parameters["alpha"]
    rtol = 1e-5 if dtype == torch.float32 else 1e-13

    def close(got: torch.Tensor, want: list[mpmath.mpf]) -> None:
        wanted = torch.tensor([float(w) for w in want], dtype=torch.float64).to(dtype)
        torch.testing.assert_close(got, wanted, rtol=rtol, atol=10 * torch.finfo(dtype).tiny)

    ratio, value = torch.tensor(RATIOS, dtype=dtype), torch.tensor(CRITICS, dtype=dtype)
    with mpmath.workdps(50):
        a = mpmath.mpf(int(a.p)) / int(a.q)
        us, ts = (list(map(mpmath.mpf, given.tolist())) for given in (ratio, value))
        inside = [i for i, t in enumerate(ts) if 1 + (a - 1) * t > 0]
        below = [i for i, t in enumerate(ts) if 1 + (a - 1) * t <= 0]
        close(row.generator(ratio), [(u**a - 1 - a * (u - 1)) / (a * (a - 1)) for u in us])
        close(row.critic(ratio), [(u ** (a - 1) - 1) / (a - 1) for u in us])
        conjugate = row.conjugate(value)
        close(
            conjugate[inside],
            [((1 + (a - 1) * ts[i]) ** (a / (a - 1)) - 1) / a for i in inside],
        )
        edge = torch.inf if a < 1 else float(-1 / a)
        assert conjugate[below].tolist() == pytest.approx([edge] * len(below))
        data, fake = [0.2, 0.5, 0.3], [0.2001, 0.3999, 0.4]
        pairs = [(mpmath.mpf(x), mpmath.mpf(y)) for x, y in zip(data, fake, strict=True)]
        gaps = [a * x + (1 - a) * y - x**a * y ** (1 - a) for x, y in pairs]
        whole = sum(gaps) / (a * (1 - a))
        got = row.between(*(torch.tensor(z, dtype=torch.float64) for z in (data, fake)))
        assert got.item() == pytest.approx(float(whole), rel=1e-12)
