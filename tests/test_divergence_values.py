"""The divergences as numbers: between vectors, as bounds, as losses, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from divergence_rows import every_row
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transforms import check_transforms

from ganlib import losses
from ganlib.divergences import FDivergence, divergence, u
from ganlib.proofs import assert_equal

# ------------------------------------------------------------------------------------- between


def _entropy_sum(a: float, b: float) -> float:
    return a * float(np.log(a / b)) if a > 0 else 0.0


def _named_integral(row: FDivergence, a: np.ndarray, b: np.ndarray) -> float:
    """The divergence by its textbook integral, written without any f; zeros by hand."""
    with np.errstate(all="ignore"):
        kl = sum(
            _entropy_sum(x, y) if y > 0 or x == 0 else np.inf for x, y in zip(a, b, strict=True)
        )
        rkl = sum(
            _entropy_sum(y, x) if x > 0 or y == 0 else np.inf for x, y in zip(a, b, strict=True)
        )
        square = (a - b) ** 2
        quotient = lambda d: np.where(square > 0, square / d, 0.0).sum()  # noqa: E731
        pi = float(row.parameters.get("pi", 0.5))
        m = pi * a + (1 - pi) * b
        left = sum(_entropy_sum(x, z) for x, z in zip(a, m, strict=True))
        right = sum(_entropy_sum(y, z) for y, z in zip(b, m, strict=True))
        if row.name == "alpha":
            alpha = float(row.parameters["alpha"])
            x, y = a[(a > 0) | (b > 0)], b[(a > 0) | (b > 0)]
            integral = sum(
                0.0
                if (i == 0 and alpha > 0) or (j == 0 and alpha < 1)
                else i**alpha * j ** (1 - alpha)
                for i, j in zip(x, y, strict=True)
            )  # numpy: 0 to a negative power is inf
            return float((integral - 1) / (alpha * (alpha - 1)))
        return float(
            {
                "total_variation": np.abs(a - b).sum() / 2,
                "kl": kl,
                "reverse_kl": rkl,
                "pearson": quotient(b),
                "neyman": quotient(a),
                "squared_hellinger": ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(),
                "jeffreys": kl + rkl,
                "jensen_shannon": left + right,
                "gan": left + right - np.log(4),
                "weighted_jensen_shannon": pi * left + (1 - pi) * right,
            }[row.name]
        )


@every_row
@pytest.mark.parametrize("seed", range(6))
def test_between_is_the_named_integral(row: FDivergence, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.dirichlet(np.full(7, 0.6), size=2)
    if seed >= 2:  # zeros in data, in fake, in both
        a[[0, 2]] = 0.0
    if seed >= 3:
        b[[1, 2]] = 0.0
    if seed == 5:  # disjoint supports
        a[3:] = 0.0
        b[:3] = 0.0
    if seed == 4:
        b = np.where(a > 0, b, 0.0)  # nothing where there is no data
        b[1] = 0.05
    a, b = a / a.sum(), b / b.sum()
    got = row.between(torch.tensor(a), torch.tensor(b)).item()
    want = _named_integral(row, a, b)
    assert got == pytest.approx(want, rel=1e-9, abs=1e-12)


@every_row
def test_disjoint_supports_cost_both_edges(row: FDivergence, dtype: torch.dtype) -> None:
    data, fake = torch.tensor([1.0, 0.0], dtype=dtype), torch.tensor([0.0, 1.0], dtype=dtype)
    got = row.between(data, fake)
    assert got.dtype == dtype
    assert got.item() == pytest.approx(float(row.symbolic.at_zero + row.symbolic.at_infinity))
    log2 = float(np.log(2))
    known = {"jensen_shannon": 2 * log2, "gan": 0.0, "total_variation": 1.0, "kl": np.inf}
    known |= {"squared_hellinger": 2.0, "reverse_kl": np.inf, "jeffreys": np.inf}
    if row.name in known:
        assert got.item() == pytest.approx(known[row.name])


@every_row
def test_between_equal_vectors_is_f_of_one_and_never_less(row: FDivergence) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.softmax(3 * torch.randn(500, 9, generator=generator), -1)
    least = -float(np.log(4)) if row.name == "gan" else 0.0
    same = row.between(vectors, vectors)
    torch.testing.assert_close(same, torch.full((500,), least), rtol=1e-6, atol=1e-7)
    assert (row.between(vectors.double(), vectors.double()) >= least).all()
    assert (row.between(vectors, vectors.flip(0)) > least).all()


@every_row
def test_between_broadcasts_and_has_the_right_slope(row: FDivergence) -> None:
    generator = torch.Generator().manual_seed(1)
    data = torch.softmax(torch.randn(3, 1, 5, generator=generator).double(), -1)
    logits = torch.randn(4, 5, generator=generator).double().requires_grad_()

    def function(logits: Tensor) -> Tensor:
        return row.between(data, torch.softmax(logits, -1))

    assert function(logits).shape == (3, 4)
    assert torch.autograd.gradcheck(function, (logits,))


def test_between_keeps_ratios_beyond_the_format() -> None:
    # p / q is 1e320: infinite as a float, but the divergences are not.
    data = torch.tensor([1.0, 0.0], dtype=torch.float64)
    fake = torch.tensor([1e-320, 1.0], dtype=torch.float64)
    for name in ("kl", "jensen_shannon", "gan", "total_variation"):
        assert divergence(name).between(data, fake).isfinite(), name
    assert divergence("kl").between(data, fake).item() == pytest.approx(736.83, abs=0.1)


# ------------------------------------------------------------------------------- lower bound


@every_row
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 8.0))
def test_no_critic_beats_the_divergence(row: FDivergence, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    data, fake = torch.softmax(torch.randn(2, 6, generator=generator).double(), -1)
    output = scale * torch.randn(6, generator=generator).double()
    value = row.activation(output)
    bound = (data * value).sum() - (fake * row.conjugate(value)).sum()
    whole = row.between(data, fake)
    assert bound <= whole + 1e-9 * (1 + whole.abs())
    composed = (data * value).sum() - (fake * row.conjugate_of_activation(output)).sum()
    if value.max() < float(row.domain.sup) - 1e-6:
        assert composed.item() == pytest.approx(bound.item(), rel=1e-6, abs=1e-9)


@every_row
def test_the_bound_is_reached_at_the_optimal_critic(row: FDivergence) -> None:
    data = torch.tensor([0.1, 0.4, 0.3, 0.2], dtype=torch.float64)
    fake = torch.tensor([0.3, 0.2, 0.25, 0.25], dtype=torch.float64)
    critic = row.critic(data / fake)
    bound = (data * critic).sum() - (fake * row.conjugate(critic)).sum()
    assert bound.item() == pytest.approx(row.between(data, fake).item(), rel=1e-12)
    # lower_bound on samples in exactly these proportions is the same number.
    on_p = critic.repeat_interleave((data * 20).round().long())
    on_q = critic.repeat_interleave((fake * 20).round().long())
    assert row.lower_bound(on_p, on_q).item() == pytest.approx(bound.item(), rel=1e-12)


def test_lower_bound_outside_the_domain_is_minus_infinity() -> None:
    row = divergence("gan")
    assert row.lower_bound(torch.tensor([0.5]), torch.tensor([0.5])).item() == -torch.inf
    with pytest.raises(ValueError, match="at least one of each"):
        row.lower_bound(torch.ones(2), torch.ones(0))


# --------------------------------------------------------------------------- losses.f_gan


def test_the_gan_row_is_the_minimax_game(dtype: torch.dtype) -> None:
    row, game = losses.f_gan(divergence("gan")), losses.minimax()
    assert (row.on_real, row.on_fake, row.of_generator) == (
        game.on_real,
        game.on_fake,
        game.of_generator,
    )
    s = losses.critic_output
    d = 1 / (1 + sp.exp(-s))
    assert_equal(row.on_real, -sp.log(d))
    assert_equal(row.on_fake, -sp.log(1 - d))
    outputs = torch.tensor([-1e4, -3.0, 0.0, 2.0, 1e4], dtype=dtype)
    assert row.discriminator(outputs, -outputs) == game.discriminator(outputs, -outputs)
    assert row.generator(outputs) == game.generator(outputs)


@every_row
def test_f_gan_loss_is_minus_the_bound(row: FDivergence, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    real, fake = torch.randn(2, 64, generator=generator).to(dtype)
    loss = losses.f_gan(row)
    bound = row.lower_bound(row.activation(real), row.activation(fake))
    torch.testing.assert_close(loss.discriminator(real, fake), -bound, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        loss.generator(fake), -row.conjugate_of_activation(fake).mean(), rtol=1e-4, atol=1e-5
    )


def test_f_gan_wants_a_divergence() -> None:
    with pytest.raises(TypeError, match="divergence"):
        losses.f_gan("kl")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- derivatives


@every_row
def test_derivatives_of_every_order_and_kind(row: FDivergence) -> None:
    # Consensus optimisation differentiates a loss twice; studies batch models with vmap.
    outputs = torch.tensor([-3.0, -0.7, 0.7, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(row.conjugate_of_activation, (outputs,))
    assert torch.autograd.gradgradcheck(row.conjugate_of_activation, (outputs,))
    assert torch.autograd.gradgradcheck(row.activation, (outputs,))
    detached = outputs.detach()
    batched = torch.func.vmap(torch.func.grad(row.conjugate_of_activation))(detached)
    (slope,) = torch.autograd.grad(row.conjugate_of_activation(outputs).sum(), outputs)
    torch.testing.assert_close(batched, slope)
    hessian = torch.func.hessian(lambda x: row.conjugate_of_activation(x).sum())(detached)
    assert hessian.isfinite().all()


@every_row
def test_every_method_under_every_transformation(row: FDivergence, dtype: torch.dtype) -> None:
    top = float(min(row.symbolic.domain.sup, 1))
    loss = losses.f_gan(row)
    share = torch.tensor([0.3, 0.45], dtype=dtype)  # a ratio, a part of a domain, a probability

    def methods(x: Tensor) -> Tensor:
        value = top - 0.2 - x  # inside the domain, off the kinks
        two = torch.stack([x, 1 - x], -1)
        parts = [
            row.generator(x),
            row.critic(x) * x,
            row.conjugate(value),
            row.activation(x - 1),
            row.conjugate_of_activation(x - 1),
            row.between(two, two.flip(-1)),
            row.lower_bound(value, value)[None],
            loss.discriminator(x, -x)[None],
            loss.generator(x)[None],
        ]
        return torch.cat(parts)

    check_transforms(methods, share, compiled=dtype == torch.float32)


@every_row
@pytest.mark.parametrize("part", ["activation", "conjugate_of_activation", "loss"])
def test_second_derivatives_are_finite_where_they_are(
    row: FDivergence, part: str, dtype: torch.dtype
) -> None:
    # Consensus optimisation multiplies by them: one NaN ends a run.
    points = [-1e4, -600.0, -88.0, -40.0, -36.5, -15.0, -0.7, 0.3, 12.0, 36.5, 40.0]
    output = torch.tensor(points, dtype=dtype, requires_grad=True)
    function = losses.f_gan(row).generator if part == "loss" else getattr(row, part)
    (slope,) = torch.autograd.grad(function(output).sum(), output, create_graph=True)
    bend = torch.autograd.grad(slope.sum(), output)[0] if slope.requires_grad else slope
    assert not slope.isnan().any()
    assert not bend.isnan().any()
    assert bend.isfinite()[:6].all() or row.name in ("reverse_kl", "neyman", "squared_hellinger")


@every_row
def test_the_gradient_can_be_traced(row: FDivergence) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    step = torch.func.grad(lambda x: losses.f_gan(row).discriminator(x, -x))
    outputs = torch.linspace(-2.5, 2.6, 6)
    torch.testing.assert_close(make_fx(step)(outputs)(outputs), step(outputs))


# ----------------------------------------------------------------------------- laws for all

vectors = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=5, max_size=5).filter(
    lambda values: sum(values) > 0
)


def _law(values: list[float]) -> Tensor:
    weights = torch.tensor(values, dtype=torch.float64)
    return weights / weights.sum()


@every_row
@settings(max_examples=25, derandomize=True)
@given(one=vectors, other=vectors, share=st.floats(0.0, 1.0))
def test_laws_of_a_divergence(
    row: FDivergence, one: list[float], other: list[float], share: float
) -> None:
    data, fake = _law(one), _law(other)
    whole = row.between(data, fake)
    least = float(row.symbolic.generator.subs(u, 1))
    room = 1e-9 * (1 + whole.abs().nan_to_num(posinf=0.0))
    # Never below f(1), there for equal vectors, and there for no others.
    assert whole >= least
    assert row.between(data, data).item() == pytest.approx(least, abs=1e-12)
    if (data - fake).abs().max() > 1e-3:
        assert whole > least + 1e-8
    # Whoever sees less can tell less apart: cells merged (data processing).
    merged = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]).double()
    assert row.between(data @ merged, fake @ merged) <= whole + room
    # Jointly convex.
    third = torch.full((5,), 0.2, dtype=torch.float64)
    mixed = [share * x + (1 - share) * third for x in (data, fake)]
    apart = share * whole.nan_to_num(posinf=1e300) + (1 - share) * row.between(third, third)
    assert row.between(*mixed) <= apart + room
    # Symmetric for these, and no others.
    symmetric = ("total_variation", "squared_hellinger", "jeffreys", "jensen_shannon", "gan")
    even = row.parameters.get("pi", row.parameters.get("alpha")) == sp.Rational(1, 2)
    if row.name in symmetric or even:
        torch.testing.assert_close(row.between(fake, data), whole, rtol=1e-9, atol=1e-12)


@every_row
def test_only_the_symmetric_rows_are_symmetric(row: FDivergence) -> None:
    data, fake = _law([0.1, 0.2, 0.3, 0.4, 0.5]), _law([0.5, 0.3, 0.4, 0.2, 0.05])
    gap = (row.between(data, fake) - row.between(fake, data)).abs()
    symmetric = ("total_variation", "squared_hellinger", "jeffreys", "jensen_shannon", "gan")
    even = row.parameters.get("pi", row.parameters.get("alpha")) == sp.Rational(1, 2)
    assert (gap < 1e-12) == (row.name in symmetric or even)


@every_row
@settings(max_examples=25, derandomize=True)
@given(ratio=st.floats(1e-3, 1e3))
def test_the_conjugate_at_the_critic(row: FDivergence, ratio: float) -> None:
    # f*(f'(u)) = u f'(u) - f(u).
    at = torch.tensor(ratio, dtype=torch.float64)
    slope = row.critic(at)
    want = at * slope - row.generator(at)
    scale = (at * slope).abs() + row.generator(at).abs() + 1
    assert (row.conjugate(slope) - want).abs() <= 1e-9 * scale


@every_row
@settings(max_examples=25, derandomize=True)
@given(left=st.floats(1e-3, 1e3), right=st.floats(1e-3, 1e3), share=st.floats(0.0, 1.0))
def test_f_and_its_conjugate_are_convex(
    row: FDivergence, left: float, right: float, share: float
) -> None:
    ends = torch.tensor([left, right], dtype=torch.float64)
    between = share * ends[0] + (1 - share) * ends[1]
    critics = row.activation(ends.log())
    middle = share * critics[0] + (1 - share) * critics[1]
    for function, points, at in ((row.generator, ends, between), (row.conjugate, critics, middle)):
        low, high = function(points)
        chord = share * low + (1 - share) * high
        assert function(at) <= chord + 1e-9 * (1 + low.abs() + high.abs())


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("data", "fake", "message"),
    [
        ([0.5, 0.5], [0.2, 0.3, 0.5], "2 outcomes and fake has 3"),
        ([0.5, 0.6], [0.5, 0.5], "sums to 1.1 along"),
        ([1.5, -0.5], [0.5, 0.5], "entry -0.5"),
        ([0.5, 0.5], [0.5, float("nan")], "entry nan"),
        ([], [], "shape"),
    ],
)
def test_between_refuses_what_is_no_distribution(data, fake, message) -> None:
    with pytest.raises(ValueError, match=message):
        divergence("kl").between(torch.tensor(data), torch.tensor(fake))


def test_between_says_which_shapes_do_not_broadcast() -> None:
    data, fake = torch.full((3, 2), 0.5), torch.full((4, 2), 0.5)
    with pytest.raises(ValueError, match=r"\(3, 2\) and fake \(4, 2\)"):
        divergence("kl").between(data, fake)


def test_lists_are_refused() -> None:
    row = divergence("kl")
    with pytest.raises(TypeError, match="critic_q has list"):
        row.lower_bound(torch.ones(2), [1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data has int64"):
        row.between(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
