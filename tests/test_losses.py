"""Laws of every GAN objective, its closed forms, and its slopes at extreme critic outputs."""

from __future__ import annotations

import math
import pickle
import shutil

import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from transforms import check_transforms

from ganlib import losses, networks, penalties
from ganlib.divergences import divergence
from ganlib.formulas import compile_formula, textbook
from ganlib.lab import flat
from ganlib.proofs import assert_equal

s = losses.critic_output
D = 1 / (1 + sp.exp(-s))

ALL = {
    "minimax": losses.minimax(),
    "non_saturating": losses.non_saturating(),
    "maximum_likelihood": losses.maximum_likelihood(),
    "least_squares": losses.least_squares(),
    "least_squares_pm1": losses.least_squares(-1, 1, 0),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
}

# (on_real, on_fake, of_generator) as the papers write them, with D = sigmoid(s).
TEXTBOOK = {
    "minimax": (-sp.log(D), -sp.log(1 - D), sp.log(1 - D)),
    "non_saturating": (-sp.log(D), -sp.log(1 - D), -sp.log(D)),
    "maximum_likelihood": (-sp.log(D), -sp.log(1 - D), -sp.exp(sp.log(D / (1 - D))) / 2),
    "least_squares": ((s - 1) ** 2 / 2, s**2 / 2, (s - 1) ** 2 / 2),
    "least_squares_pm1": ((s - 1) ** 2 / 2, (s + 1) ** 2 / 2, s**2 / 2),
    "wasserstein": (-s, s, -s),
    "hinge": (sp.Max(0, 1 - s), sp.Max(0, 1 + s), -s),
}

# Slope of the generator's cost by the critic output, at s = -1e4 and s = 1e4.
EXTREME_SLOPES = {
    "minimax": (0.0, -1.0),
    "non_saturating": (-1.0, 0.0),
    "maximum_likelihood": (0.0, -math.inf),  # e^10000 is outside both formats
    "least_squares": (-10001.0, 9999.0),
    "least_squares_pm1": (-1e4, 1e4),
    "wasserstein": (-1.0, -1.0),
    "hinge": (-1.0, -1.0),
}

outputs = st.lists(st.floats(-30, 30), min_size=1, max_size=20).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@pytest.mark.parametrize("name", ALL)
def test_the_trained_formula_is_the_textbook_formula(name: str) -> None:
    loss = ALL[name]
    trained = (loss.on_real, loss.on_fake, loss.of_generator)
    for stable, printed in zip(trained, TEXTBOOK[name], strict=True):
        difference = sp.expand_log(sp.factor(textbook(stable) - printed), force=True)
        assert sp.simplify(difference) == 0


@pytest.mark.parametrize("name", ALL)
@given(real=outputs, fake=outputs)
def test_torch_value_is_the_mean_of_the_formula(
    name: str, real: torch.Tensor, fake: torch.Tensor
) -> None:
    loss = ALL[name]
    on_real, on_fake, of_generator = (sp.lambdify(s, formula, "math") for formula in TEXTBOOK[name])
    expected = sum(map(on_real, real.tolist())) / len(real)
    expected += sum(map(on_fake, fake.tolist())) / len(fake)
    # The textbook form loses digits where D rounds to 1: compare loosely, the slopes are exact.
    assert loss.discriminator(real, fake).item() == pytest.approx(expected, rel=1e-2, abs=1e-3)
    expected = sum(map(of_generator, fake.tolist())) / len(fake)
    assert loss.generator(fake).item() == pytest.approx(expected, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_slopes_at_extreme_outputs(name: str, dtype: torch.dtype) -> None:
    point = torch.tensor([-1e4, 1e4], dtype=dtype, requires_grad=True)
    loss = ALL[name]
    (slope,) = torch.autograd.grad(2 * loss.generator(point), point)
    assert slope.tolist() == pytest.approx(list(EXTREME_SLOPES[name]))
    value = loss.discriminator(point, point)
    assert torch.isfinite(value)
    (slope,) = torch.autograd.grad(value, point)
    assert torch.isfinite(slope).all()


def test_the_non_saturating_slope_at_logit_minus_forty_is_minus_one() -> None:
    # A published library gives -4e-10 here, for want of the logits form.
    point = torch.tensor([-40.0], requires_grad=True)
    (slope,) = torch.autograd.grad(losses.non_saturating().generator(point), point)
    assert slope.item() == -1.0


@pytest.mark.parametrize("name", ALL)
def test_second_derivatives_exist(name: str) -> None:
    point = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ALL[name].discriminator(point, point), point, create_graph=True)
    if slope.requires_grad:
        (bend,) = torch.autograd.grad(slope.sum(), point)
        assert (bend >= 0).all()  # every discriminator cost here is convex in its output


@pytest.mark.parametrize("name", ALL)
def test_real_and_fake_are_not_interchangeable(name: str) -> None:
    high, low = torch.full((4, 1), 2.0), torch.full((4, 1), -2.0)
    loss = ALL[name]
    assert loss.discriminator(real=high, fake=low) < loss.discriminator(real=low, fake=high)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"least_squares", "least_squares_pm1"}))
def test_the_generator_wants_higher_outputs(name: str) -> None:
    assert ALL[name].generator(torch.tensor([1.0])) < ALL[name].generator(torch.tensor([0.0]))


def test_least_squares_at_its_targets() -> None:
    a, b, c = -0.5, 2.0, 0.75
    loss = losses.least_squares(a, b, c)
    assert loss.discriminator(torch.full((3,), b), torch.full((5,), a)).item() == 0.0
    assert loss.generator(torch.full((3,), c)).item() == 0.0
    assert loss.generator(torch.full((3,), c + 2)).item() == 2.0


def test_equilibrium_values() -> None:
    logit = torch.zeros(3, 1, dtype=torch.float64)
    assert losses.minimax().discriminator(logit, logit).item() == pytest.approx(math.log(4))
    assert losses.hinge().discriminator(logit, logit).item() == 2.0


def test_reals_and_fakes_may_differ_in_number() -> None:
    value = losses.wasserstein().discriminator(torch.ones(8, 1), torch.zeros(2, 1))
    assert value.item() == -1.0


def test_losses_are_values() -> None:
    assert losses.least_squares(0, 1, 1) == losses.least_squares()
    assert losses.minimax() != losses.non_saturating()


K, A, B, C = sp.symbols("k a b c", real=True)
MENU = (
    *ALL.values(),
    losses.least_squares(A, B, C),
    *(
        losses.f_gan(divergence(name))
        for name in ("kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon")
    ),
)
FORMULAS = ("on_real", "on_fake", "of_generator")


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("place", range(len(MENU)))
def test_one_of_several_losses_is_that_loss(place: int, formula: str, dtype: torch.dtype) -> None:
    several = compile_formula(getattr(losses.one_of(K, *MENU), formula), s, K, A, B, C)
    plain = compile_formula(getattr(MENU[place], formula), s, K, A, B, C)
    points = torch.tensor([-1e4, -90.0, -1.0, 0.0, 0.5, 3.0, 90.0, 1e4], dtype=dtype)
    numbers = torch.tensor([place, -0.3, 1.2, 0.7], dtype=dtype)

    def of(function):
        return lambda points: function(points, *numbers)

    def slope(function):
        return torch.func.vmap(torch.func.grad(of(function)))

    def bend(function):
        return torch.func.vmap(torch.func.grad(torch.func.grad(of(function))))

    for view in (of, slope, bend):
        torch.testing.assert_close(
            view(several)(points), view(plain)(points), rtol=0, atol=0, equal_nan=True
        )
    assert not slope(several)(points).isnan().any()


@pytest.mark.parametrize("place", range(len(MENU)))
def test_a_step_with_one_of_several_losses_is_the_plain_step(place: int) -> None:
    players = networks.mlp(2, 8, 8, 2, seed=1), networks.mlp(2, 8, 8, 1, seed=2)
    several, plain = (
        flat.FlatStep(*players, loss, penalty=penalties.r1, parameters=(K, A, B, C))
        for loss in (losses.one_of(K, *MENU), MENU[place])
    )
    rng = torch.Generator().manual_seed(0)
    real, latent = torch.randn(2, 16, 2, generator=rng)
    given = (real, latent, real[:, :1], flat.settings(parameters=(place, -0.3, 1.2, 0.7)))
    torch.testing.assert_close(
        several.discriminator_step(several.initial(), *given),
        plain.discriminator_step(plain.initial(), *given),
        rtol=0, atol=0,
    )  # fmt: skip
    torch.testing.assert_close(
        several.generator_step(several.initial(), latent, given[-1]),
        plain.generator_step(plain.initial(), latent, given[-1]),
        rtol=0, atol=0,
    )  # fmt: skip


def test_beyond_the_menu_the_last_loss_counts() -> None:
    function = compile_formula(losses.one_of(K, *MENU[:3]).of_generator, s, K)
    last = compile_formula(MENU[2].of_generator, s)
    assert function(torch.tensor(0.5), torch.tensor(9.0)) == last(torch.tensor(0.5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.one_of(K), ValueError, "no loss"),
        (lambda: losses.one_of(s, losses.hinge()), ValueError, "use another symbol"),
        (
            lambda: losses.one_of(sp.Symbol("k", positive=True), *MENU),
            ValueError,
            r"sympy.Symbol\('k', real=True\)",
        ),
        (lambda: losses.one_of(sp.Symbol("k", even=True), *MENU), ValueError, "every loss"),
        (lambda: losses.one_of(K, losses.minimax), TypeError, r"call it: minimax\(\)"),
        (lambda: losses.smoothed(losses.minimax), TypeError, r"call it: minimax\(\)"),
        (lambda: losses.flipped(losses.minimax, 0.1), TypeError, r"call it: minimax\(\)"),
        (lambda: losses.flipped(0.1, 0.1), TypeError, "no Loss; pass one"),
        *(
            (lambda menu=menu: losses.smoothed(losses.one_of(K, *menu)), ValueError, "straight")
            for menu in (
                (losses.minimax(), losses.wasserstein()),
                (losses.wasserstein(), losses.minimax(), losses.non_saturating()),
                (losses.minimax(), losses.wasserstein(), losses.hinge()),
            )
        ),
        (lambda: losses.least_squares(1, 1, 1), ValueError, "a = b"),
        (lambda: losses.least_squares(0, math.inf, 1), ValueError, "no target"),
        (lambda: losses.minimax().generator(torch.ones(3, dtype=torch.int64)), TypeError, "int64"),
        (lambda: losses.minimax().generator([0.1]), TypeError, "list"),
        (lambda: losses.hinge().discriminator(torch.ones(2), [1.0]), TypeError, "fake has list"),
        (lambda: losses.hinge().discriminator(torch.ones(2), torch.ones(0)), ValueError, "fake is"),
        (lambda: losses.hinge().discriminator(torch.ones(0), torch.ones(2)), ValueError, "real is"),
        (
            lambda: losses.hinge().discriminator(torch.ones(2).int(), torch.ones(2)),
            TypeError,
            "int32",
        ),
        (lambda: losses.least_squares("x", 1, 1), ValueError, "a = 'x'"),
        (lambda: losses.smoothed(losses.minimax(), 1.2), ValueError, "real = 1.2"),
        (lambda: losses.smoothed(losses.minimax(), math.nan), ValueError, "real = nan"),
        (lambda: losses.smoothed(losses.minimax(), s), ValueError, "a symbol other than s"),
        (lambda: losses.smoothed(losses.minimax(), 0.5, 0.5), ValueError, "for example real=0.9"),
        (lambda: losses.smoothed(losses.wasserstein(), 0.9), ValueError, "labels of sum 1"),
        (lambda: losses.flipped(losses.minimax(), 0.5), ValueError, "below 1/2"),
        (lambda: losses.flipped(losses.minimax(), -0.1), ValueError, "rate = -0.1"),
        (lambda: losses.minimax().generator(torch.ones(0, 1)), ValueError, r"\(0, 1\)"),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_symbols_are_sorted_by_name_and_take_values(dtype: torch.dtype) -> None:
    loss = losses.least_squares(B, A, K)  # targets: fakes b, reals a, the generator k
    assert loss.symbols == (A, B, K)
    assert losses.minimax().symbols == ()
    real, fake = torch.tensor([1.0, 2.0], dtype=dtype), torch.tensor([-0.5], dtype=dtype)
    plain = losses.least_squares(-1, 0.25, 3)
    numbers = (0.25, -1, 3)
    tensors = [torch.tensor(value, dtype=dtype) for value in numbers]
    for values in (numbers, tensors):
        assert loss.discriminator(real, fake, *values) == plain.discriminator(real, fake)
        assert loss.generator(fake, *values) == plain.generator(fake)
        assert loss.generator(fake, *values).dtype == dtype


def test_a_wrong_number_of_values_is_named() -> None:
    output = torch.zeros(2)
    with pytest.raises(ValueError, match="got 1 values for its 3 symbols; pass one for each of a"):
        losses.least_squares(A, B, C).discriminator(output, output, 1.0)
    with pytest.raises(ValueError, match="the outputs alone"):
        losses.minimax().generator(output, 1.0)


def test_a_loss_is_pickled() -> None:
    loss = losses.one_of(K, losses.minimax(), losses.least_squares(A, B, C))
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    assert again.symbols == loss.symbols
    assert again.generator(torch.zeros(1), 0, 1, 1, 1) == 0.5


# ----------------------------------------------------------------------- options of an objective

p, q, R, F = sp.symbols("p q r f", positive=True)


def test_smoothed_labels_move_the_optimal_discriminator() -> None:
    # D* = (r p + f q) / (p + q): Goodfellow 2016, section 4.2.
    loss = losses.smoothed(losses.minimax(), R, F)
    assert loss.symbols == (F, R)
    assert loss.of_generator == losses.minimax().of_generator
    best = (R * p + F * q) / (p + q)
    logit = sp.log(best / (1 - best))
    paid = textbook(p * loss.on_real + q * loss.on_fake)
    assert_equal(sp.diff(paid, s).subs(s, logit), sp.Integer(0))
    numbers = {"p": 0.6, "q": 0.3, "r": 0.9, "f": 0.2}
    at = math.log((0.54 + 0.06) / (0.9 - 0.6))
    output = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    plain = losses.smoothed(losses.minimax(), 0.9, 0.2)
    total = numbers["p"] * plain.discriminator(output, output.detach())
    total = total + numbers["q"] * plain.discriminator(output.detach(), output)
    (slope,) = torch.autograd.grad(total, output)
    assert abs(slope.item()) < 1e-15


def test_smoothed_least_squares_is_least_squares_with_other_targets() -> None:
    a, b = sp.symbols("a b", real=True)
    loss = losses.smoothed(losses.least_squares(a, b, C), R, F)
    moved = losses.least_squares(F * b + (1 - F) * a, R * b + (1 - R) * a, C)
    for cost, plain, label in ((loss.on_real, moved.on_real, R), (loss.on_fake, moved.on_fake, F)):
        assert_equal(cost, plain + label * (1 - label) * (b - a) ** 2 / 2)
    assert loss.of_generator == moved.of_generator


@pytest.mark.parametrize("name", sorted(set(ALL) - {"wasserstein", "hinge"}))
def test_smoothing_plays_the_loss_of_mixed_densities(name: str) -> None:
    loss = losses.smoothed(ALL[name], 0.8, 0.1)
    real, fake = sp.Rational(4, 5), sp.Rational(1, 10)
    mixed = (real * p + fake * q) * ALL[name].on_real
    mixed += ((1 - real) * p + (1 - fake) * q) * ALL[name].on_fake
    assert sp.expand(p * loss.on_real + q * loss.on_fake - mixed) == 0


@pytest.mark.parametrize("name", ALL)
def test_labels_of_one_and_zero_are_the_plain_loss(name: str) -> None:
    for loss in (losses.flipped(ALL[name], 0), losses.flipped(ALL[name], 0.0)):
        assert loss.on_real == ALL[name].on_real
        assert loss.on_fake == ALL[name].on_fake


@pytest.mark.parametrize("name", ALL)
def test_flipped_labels_are_the_mean_over_flips(name: str) -> None:
    # Swap every label with chance 1/4, exactly: of four equal copies one is swapped.
    real = torch.tensor([0.3, -1.2], dtype=torch.float64)
    fake = torch.tensor([1.5, 0.1, -0.7], dtype=torch.float64)
    plain, noisy = ALL[name], losses.flipped(ALL[name], sp.Symbol("rho"))
    want = 0.75 * plain.discriminator(real, fake) + 0.25 * plain.discriminator(fake, real)
    torch.testing.assert_close(noisy.discriminator(real, fake, 0.25), want)
    assert noisy.generator(fake, 0.25) == plain.generator(fake)


def test_flipped_wasserstein_is_scaled() -> None:
    loss = losses.flipped(losses.wasserstein(), 0.1)
    assert sp.expand(loss.on_real + sp.Rational(4, 5) * s) == 0
    assert sp.expand(loss.on_fake - sp.Rational(4, 5) * s) == 0


def test_names_say_what_was_done() -> None:
    assert losses.smoothed(losses.minimax()).name == "minimax, labels 0.9 and 0.0"
    assert losses.flipped(losses.hinge(), 0.1).name == "hinge, a share 0.1 of labels flipped"


# ---------------------------------------------------------------------------- transformations

EVERY = ALL | {
    "smoothed": losses.smoothed(losses.minimax()),
    "flipped": losses.flipped(losses.hinge(), 0.1),
    "one of": losses.one_of(K, *ALL.values(), losses.f_gan(divergence("squared_hellinger"))),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_under_every_transformation(name: str, dtype: torch.dtype) -> None:
    loss = EVERY[name]
    points = torch.tensor([-30.0, -0.6, 0.4, 3.0], dtype=dtype)
    values = [2.0] * len(loss.symbols)

    def both(x: torch.Tensor) -> torch.Tensor:
        return loss.discriminator(x, -x / 2, *values) + 3 * loss.generator(x, *values)

    check_transforms(both, points, compiled=dtype == torch.float32)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_a_loss_through_a_compiler() -> None:
    loss, point = EVERY["one of"], torch.linspace(-5, 5, 8, requires_grad=True)
    chosen = torch.tensor(float(len(ALL)))
    torch.compiler.reset()
    got = torch.compile(loss.discriminator, fullgraph=True)(point, -point, chosen)
    want = loss.discriminator(point, -point, chosen)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, point), torch.autograd.grad(want, point))
