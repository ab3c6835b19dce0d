"""Vector fields, eigenvalues and step-size limits, against closed forms and published runs."""

import math

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlib import dynamics as dyn
from ganlib import losses, proofs

gamma, k, sigma, h = sp.symbols("gamma k sigma h", positive=True)
LOGIT_LOSSES = [losses.minimax, losses.non_saturating, losses.maximum_likelihood]


def logistic(x):
    return 1 / (1 + sp.exp(-x))


# Vector fields


@pytest.mark.parametrize(
    ("loss", "v_theta"),
    [
        (losses.minimax(), dyn.psi * logistic(dyn.psi * dyn.theta)),
        (losses.non_saturating(), dyn.psi * logistic(-dyn.psi * dyn.theta)),
    ],
)
def test_the_field_is_the_textbook_one(loss, v_theta):
    game = dyn.dirac_gan(loss)
    proofs.assert_equal(game.v_theta, v_theta, "generator")
    proofs.assert_equal(game.v_psi, -dyn.theta * logistic(dyn.psi * dyn.theta), "critic")


ALL_LOSSES = [
    *(make() for make in LOGIT_LOSSES),
    losses.wasserstein(),
    losses.least_squares(0, 1, 1),
    losses.least_squares(-1, 1, 0),
    losses.hinge(),
]


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_field_is_minus_the_gradient_of_the_torch_loss(loss, dtype):
    """The field from the formulas equals autograd through the loss on critic outputs."""
    points = torch.linspace(-2.9, 3.1, 13, dtype=dtype)
    grid_theta, grid_psi = torch.meshgrid(points, points, indexing="ij")
    v_theta, v_psi = dyn.dirac_gan(loss, bias=0.25)(grid_theta, grid_psi)
    assert v_theta.dtype == v_psi.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for i in range(0, 13, 3):
        for j in range(13):
            x = grid_theta[i, j].clone().requires_grad_()
            y = grid_psi[i, j].clone().requires_grad_()
            fake, real = y * x + 0.25, y * 0.0 + 0.25
            (g_theta,) = torch.autograd.grad(loss.generator(fake), x, retain_graph=True)
            (g_psi,) = torch.autograd.grad(loss.discriminator(real, fake), y)
            assert torch.isclose(v_theta[i, j], -g_theta, rtol=tolerance, atol=tolerance)
            assert torch.isclose(v_psi[i, j], -g_psi, rtol=tolerance, atol=tolerance)


def test_the_field_is_finite_far_out():
    far = torch.tensor([-1e4, 1e4, 1e-4, 0.0])
    game = dyn.dirac_gan(losses.minimax(), dyn.r1(1.0))
    for values in game(*torch.meshgrid(far, far, indexing="ij")):
        assert values.isfinite().all()
    v_theta, _ = dyn.dirac_gan(losses.minimax())(torch.tensor(100.0), torch.tensor(100.0))
    assert v_theta == 100.0


def test_instance_noise_agrees_with_monte_carlo():
    rng = torch.Generator().manual_seed(0)
    noise = 0.7 * torch.randn(2, 400_000, generator=rng, dtype=torch.float64)
    at_theta, at_psi = torch.tensor(0.8).double(), torch.tensor(-1.3).double()
    fake, real = at_theta + noise[0], noise[1]
    drawn_theta = at_psi * torch.sigmoid(at_psi * fake)
    drawn_psi = -fake * torch.sigmoid(at_psi * fake) + real * torch.sigmoid(-at_psi * real)
    field = dyn.dirac_gan(losses.minimax(), noise=0.7)(at_theta, at_psi)
    for drawn, exact in zip((drawn_theta, drawn_psi), field, strict=True):
        assert abs(drawn.mean() - exact) < 5 * drawn.std() / math.sqrt(400_000)
    finer = dyn.dirac_gan(losses.minimax(), noise=0.7, nodes=40)(at_theta, at_psi)
    assert torch.allclose(torch.stack(field), torch.stack(finer), rtol=1e-8)


def test_instance_noise_leaves_a_linear_loss_alone():
    """Wasserstein outputs are linear in x, so zero-mean noise averages out."""
    noisy = dyn.dirac_gan(losses.wasserstein(), noise=sigma, nodes=2)
    assert sp.simplify(noisy.v_theta - dyn.psi) == 0
    assert sp.simplify(noisy.v_psi + dyn.theta) == 0


def test_consensus_descends_the_squared_field():
    game = dyn.dirac_gan(losses.minimax())
    regularised = dyn.dirac_gan(losses.minimax(), dyn.consensus(0.6))
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(-1.9, dtype=torch.float64, requires_grad=True)
    energy = 0.3 * sum(v**2 for v in game(x, y))
    for got, plain, slope in zip(
        regularised(x, y), game(x, y), torch.autograd.grad(energy, (x, y)), strict=True
    ):
        assert torch.isclose(got, plain - slope, rtol=1e-12)


def test_gradient_penalty_is_minus_the_gradient():
    game = dyn.dirac_gan(losses.wasserstein(), dyn.gradient_penalty(10, 0.5))
    y = torch.linspace(-2, 2, 8, dtype=torch.float64, requires_grad=True)
    x = torch.linspace(1, 3, 8, dtype=torch.float64)
    (slope,) = torch.autograd.grad((10 * (y.abs() - 0.5) ** 2).sum(), y)
    assert torch.allclose(game(x, y)[1], -x - slope, rtol=1e-12)


# Eigenvalues


@pytest.mark.parametrize("make", LOGIT_LOSSES)
def test_unpenalised_logit_losses_turn(make):
    slope = dyn.dirac_gan(make()).jacobian().eigenvals()
    assert slope == {sp.I / 2: 1, -sp.I / 2: 1}


def test_least_squares_eigenvalues_for_every_coding():
    a, b, c, s = sp.symbols("a b c s", real=True)
    loss = losses.Loss("ls", (s - b) ** 2 / 2, (s - a) ** 2 / 2, (s - c) ** 2 / 2)
    jacobian = dyn.dirac_gan(loss, bias=(a + b) / 2).jacobian()
    assert sp.expand(-jacobian.det() - ((a + b) / 2 - c) * (b - a) / 2) == 0
    assert jacobian.trace() == 0
    paper = dyn.dirac_gan(losses.least_squares(-1, 1, 0)).jacobian()
    assert paper != sp.zeros(2)
    assert paper**2 == sp.zeros(2)


def test_symbolic_eigenvalues_of_the_regularised_games():
    x = sp.Symbol("x")
    linear = [
        (dyn.dirac_gan(losses.minimax(), dyn.r1(gamma)), gamma),
        (dyn.dirac_gan(losses.minimax(), noise=sigma, nodes=2), sigma**2 / 2),
    ]
    for game, strength in linear:
        polynomial = game.jacobian().charpoly(x).as_expr()
        assert sp.simplify(polynomial - (x**2 + strength * x + sp.Rational(1, 4))) == 0
    agreed = dyn.dirac_gan(losses.minimax(), dyn.consensus(gamma)).jacobian()
    expected = {-gamma / 4 + sp.I / 2, -gamma / 4 - sp.I / 2}
    assert {sp.expand(value) for value in agreed.eigenvals()} == expected


@settings(max_examples=25, deadline=None)
@given(
    # Millionths: LAPACK's eigenvalues of a matrix with a subnormal entry are wrong by a factor.
    strength=st.integers(0, 4_000_000).map(lambda n: n / 1e6),
    at_theta=st.integers(-2_000_000, 2_000_000).map(lambda n: n / 1e6),
    at_psi=st.integers(-2_000_000, 2_000_000).map(lambda n: n / 1e6),
    index=st.integers(0, 2),
)
def test_autograd_and_sympy_agree_on_the_jacobian(strength, at_theta, at_psi, index):
    penalty = (dyn.r1, dyn.consensus, lambda g: dyn.gradient_penalty(g, 0.5))[index]
    game = dyn.dirac_gan(losses.non_saturating(), penalty(strength))
    if index == 2 and at_psi == 0:
        return
    by_autograd = dyn.jacobian_eigenvalues(game, at_theta, at_psi)
    symbolic = game.jacobian(at_theta, at_psi)
    matrix = torch.tensor([[float(v) for v in row] for row in symbolic.tolist()]).double()
    # Coefficients, not roots: double roots lose half their digits.
    assert torch.isclose(by_autograd.sum().real, matrix.trace(), atol=1e-9)
    assert torch.isclose(by_autograd.prod().real, torch.det(matrix), atol=1e-9)


def test_bilinear_eigenvalues_are_the_singular_values_turned():
    matrix = torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = dyn.jacobian_eigenvalues(dyn.bilinear(matrix), torch.zeros(3), torch.zeros(2))
    assert values.shape == (5,)
    assert values.dtype == torch.complex128
    assert values.real.abs().max() < 1e-12
    singular = torch.linalg.svdvals(matrix)
    expected = torch.cat([singular, -singular, torch.zeros(1, dtype=torch.float64)])
    assert torch.allclose(values.imag.sort().values, expected.sort().values, atol=1e-12)


def test_a_jump_has_no_jacobian():
    game = dyn.dirac_gan(losses.wasserstein(), dyn.gradient_penalty(10))
    for compute in (game.jacobian, lambda: dyn.jacobian_eigenvalues(game)):
        with pytest.raises(ValueError, match=r"jumps at .*psi = 0"):
            compute()
    beside = game.jacobian(0, sp.Rational(1, 10))
    assert beside == sp.Matrix([[0, 1], [-1, -20]])


T, P = dyn.theta, dyn.psi


@pytest.mark.parametrize(
    ("v_theta", "v_psi", "word"),
    [
        (sp.sign(T), -sp.sign(T), "jumps"),  # their sum has no jump
        (sp.Abs(T) - P, T, "has a kink"),
        (-P, sp.Max(P, 0) - P, "has a kink"),
        (sp.Min(P, 2 * P, 7), T, "has a kink"),
    ],
)
def test_a_field_with_a_jump_or_kink_in_any_part_has_no_jacobian(v_theta, v_psi, word):
    game = dyn.Game("g", v_theta, v_psi)
    for compute in (game.jacobian, lambda: dyn.jacobian_eigenvalues(game)):
        with pytest.raises(ValueError, match=rf"{word} at .* beside it"):
            compute()
    game.jacobian(sp.Rational(1, 2), sp.Rational(1, 2))


def test_a_kink_that_another_factor_smooths_has_a_jacobian():
    game = dyn.Game("g", -P, T - P * sp.Abs(P))
    assert game.jacobian() == sp.Matrix([[0, -1], [1, 0]])
    assert dyn.Game("far", sp.Max(T, 5), sp.Abs(P - 3)).jacobian() == sp.diag(0, -1)


def test_a_loss_without_its_brackets_is_named():
    with pytest.raises(TypeError, match=r"call it: dirac_gan\(minimax\(\)\)"):
        dyn.dirac_gan(losses.minimax)
    with pytest.raises(TypeError, match="no loss; pass one"):
        dyn.dirac_gan(3)


# Step-size limits


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize("strength", [0.1, 0.5, 0.99, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("slope", [0.5, 1.0])
def test_r1_limit_is_where_the_spectral_radius_crosses_one(strength, slope, alternate):
    loss = losses.minimax() if slope == 0.5 else losses.wasserstein()
    jacobian = dyn.dirac_gan(loss, dyn.r1(strength)).jacobian()
    limit = float(dyn.r1_step_limit(strength, slope, alternate=alternate))

    def radius(step):
        return dyn.spectral_radius(dyn.step_matrix(jacobian, step, alternate=alternate))

    for fraction in (0.05, 0.5, 0.999):
        assert radius(fraction * limit) < 1
    for fraction in (1.001, 1.5, 4):
        assert radius(fraction * limit) > 1


@pytest.mark.parametrize("strength", [0.2, 1.0, 3.0])
def test_consensus_limit(strength):
    jacobian = dyn.dirac_gan(losses.minimax(), dyn.consensus(strength)).jacobian()
    limit = float(dyn.consensus_step_limit(strength))
    assert dyn.spectral_radius(dyn.step_matrix(jacobian, 0.999 * limit)) < 1
    assert dyn.spectral_radius(dyn.step_matrix(jacobian, 1.001 * limit)) > 1


@pytest.mark.parametrize("counts", [(1, 1), (2, 1), (1, 5), (3, 4)])
def test_step_matrix_is_the_linearised_update(counts):
    g_steps, d_steps = counts
    game = dyn.dirac_gan(losses.minimax(), dyn.r1(0.4))
    update = dyn.alternating((0.3, 0.2), g_steps=g_steps, d_steps=d_steps)
    matrix = dyn.step_matrix(
        game.jacobian(), (0.3, 0.2), alternate=True, g_steps=g_steps, d_steps=d_steps
    )
    for start in ((1e-6, 0.0), (0.0, 1e-6)):
        path = dyn.simulate(game, *start, update=update, steps=1)
        moved = torch.stack([path.theta[1], path.psi[1]]) * 1e6
        column = torch.tensor([float(value) * 1e6 for value in matrix * sp.Matrix(start)])
        assert torch.allclose(moved, column.double(), atol=1e-5)


# Update rules and simulation


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3), step=st.floats(0.01, 1.5))
def test_simultaneous_radius_grows_by_the_exact_factor(x, y, step):
    path = dyn.simulate(
        dyn.dirac_gan(losses.minimax()), x, y, update=dyn.simultaneous(step), steps=1
    )
    factor = 1 + step**2 * torch.sigmoid(torch.tensor(x * y, dtype=torch.float64)) ** 2
    assert torch.isclose(path.radius[1] ** 2, path.radius[0] ** 2 * factor, rtol=1e-9, atol=1e-12)


def test_alternating_minimax_leaves_slowly():
    # In the linear part it turns for ever: what pushes it out is of tenth order (`convergence`).
    minimax, linear = (dyn.dirac_gan(f()) for f in (losses.minimax, losses.wasserstein))
    for step, doubled in ((1.0, 537), (0.5, 7612)):
        update = dyn.alternating(step)
        run = dyn.simulate(minimax, 1.0, -1.0, update=update, steps=doubled)
        assert run.radius[-1] >= 2 * run.radius[0] > run.radius[:-1].max()
        run = dyn.simulate(linear, 1.0, -1.0, update=update, steps=doubled)
        assert run.radius.max() < 2 * run.radius[0]


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-3, 3), y=st.floats(-3, 3), step=st.floats(0.01, 1.9))
def test_alternating_wasserstein_conserves_a_quadratic(x, y, step):
    path = dyn.simulate(
        dyn.dirac_gan(losses.wasserstein()), x, y, update=dyn.alternating(step), steps=50
    )
    invariant = path.theta**2 + path.psi**2 + step * path.theta * path.psi
    assert torch.allclose(invariant, invariant[0], rtol=1e-6, atol=1e-9)


def test_extragradient_and_optimistic_limits():
    field = dyn.dirac_gan(losses.wasserstein())
    for make, limit in ((dyn.extragradient, 1.0), (dyn.optimistic, 1 / math.sqrt(3))):
        inside = dyn.simulate(field, 1.0, 0.0, update=make(0.95 * limit), steps=600)
        outside = dyn.simulate(field, 1.0, 0.0, update=make(1.05 * limit), steps=600)
        assert inside.radius[-1] < 1e-3
        assert outside.radius[-1] > 1e3


def test_the_published_numbers():
    """Mescheder et al. (2018), Dirac-GAN notebook: |(theta, psi)| after 100 and 500 steps.

    Instance noise and consensus are left out: the notebook draws the noise at random, and halves
    one term of the consensus gradient.
    """
    minimax, non_saturating = losses.minimax(), losses.non_saturating()
    wasserstein = losses.wasserstein()
    published = [
        (dyn.dirac_gan(minimax), None, [(1.963, 3.097), (1.404, 1.421), (2.447, 1.845)]),
        (dyn.dirac_gan(non_saturating), None, [(0.742, 0.640), (0.576, 0.284), (0.546, 0.139)]),
        (dyn.dirac_gan(wasserstein), 1.0, [(1.272, 1.002), (0.978, 1.024), (0.731, 0.917)]),
        (
            dyn.dirac_gan(wasserstein, dyn.gradient_penalty(0.35)),
            None,
            [(1.799, 1.802), (1.438, 1.221), (0.706, 0.716)],
        ),
        (dyn.dirac_gan(minimax, dyn.r1(0.3)), None, [(0.099, 0), (0.061, 0), (0, 0)]),
        (dyn.dirac_gan(minimax, dyn.r1(1)), None, [(0.0004, 0), (0.0011, 0), (0.0074, 0)]),
        (dyn.dirac_gan(non_saturating, dyn.r1(0.3)), None, [(0.077, 0), (0.049, 0), (0, 0)]),
    ]
    for game, clip, rows in published:
        updates = (
            dyn.simultaneous(0.2, clip=clip),
            dyn.alternating(0.2, clip=clip),
            dyn.alternating(0.2, clip=clip, d_steps=5),
        )
        for update, row in zip(updates, rows, strict=True):
            radius = dyn.simulate(game, 1.0, -1.0, update=update, steps=500).radius
            assert radius[[100, 500]].tolist() == pytest.approx(row, abs=6e-4), game.name


@pytest.mark.parametrize("make", [dyn.simultaneous, dyn.alternating])
def test_wgan_gp_settles_at_a_wrong_point(make):
    game = dyn.dirac_gan(losses.wasserstein(), dyn.gradient_penalty(1.5))
    path = dyn.simulate(game, 0.5, 0.5, update=make(0.01), steps=8000)
    assert abs(path.theta[-1].item()) == pytest.approx(3.0, abs=0.05)
    assert abs(path.psi[-1].item()) < 0.05


def test_runs_with_a_leading_axis_equal_single_runs():
    game = dyn.dirac_gan(losses.non_saturating(), dyn.r1(0.2))
    starts, steps = torch.tensor([0.3, 1.0, 2.0]).double(), torch.tensor([0.1, 0.2, 0.7]).double()
    together = dyn.simulate(game, starts, -starts, update=dyn.alternating(steps), steps=40)
    assert together.theta.shape == (41, 3)
    for i in range(3):
        alone = dyn.simulate(
            game, starts[i], -starts[i], update=dyn.alternating(steps[i].item()), steps=40
        )
        assert torch.allclose(together.psi[:, i], alone.psi, rtol=1e-12)
    swept = dyn.simulate(game, 1.0, 1.0, update=dyn.simultaneous(steps), steps=3)
    assert swept.radius.shape == (4, 3)


def test_optimistic_remembers_and_extragradient_looks_ahead():
    field = dyn.dirac_gan(losses.wasserstein())
    path = dyn.simulate(field, 1.0, 0.0, update=dyn.optimistic(0.1), steps=2)
    assert path.theta.tolist() == pytest.approx([1, 1, 0.98])
    assert path.psi.tolist() == pytest.approx([0, -0.1, -0.2])
    path = dyn.simulate(field, 1.0, 0.0, update=dyn.extragradient(0.1), steps=1)
    assert (path.theta[1].item(), path.psi[1].item()) == pytest.approx((0.99, -0.1))


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dyn.r1(-1), "gamma = -1"),
        (lambda: dyn.r1(math.nan), "gamma = nan"),
        (lambda: dyn.gradient_penalty(1, -2), "target = -2"),
        (lambda: dyn.consensus(math.inf), "gamma = inf"),
        (lambda: dyn.dirac_gan(losses.minimax(), noise=-0.5), "noise = -0.5"),
        (lambda: dyn.dirac_gan(losses.minimax(), noise=1, nodes=1), "nodes = 1"),
        (lambda: dyn.simultaneous(0.0), "step size 0.0"),
        (lambda: dyn.simultaneous((0.1, -0.1)), "step size -0.1"),
        (lambda: dyn.simultaneous(0.1, clip=0), "clip = 0"),
        (lambda: dyn.alternating(0.1, d_steps=0), "d_steps = 0"),
        (lambda: dyn.r1_step_limit(0), "gamma = 0"),
        (lambda: dyn.r1_step_limit(1, -1), "slope = -1"),
        (lambda: dyn.consensus_step_limit(-1), "gamma = -1"),
        (lambda: dyn.bilinear(torch.zeros(3)), r"shape \(3,\)"),
        (lambda: dyn.spectral_radius(sp.Matrix([[h]])), "free symbols"),
        (
            lambda: dyn.simulate(
                dyn.bilinear(torch.eye(2)),
                torch.ones(2),
                torch.ones(2),
                update=dyn.simultaneous(0.1),
                steps=-1,
            ),
            "steps = -1",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_symbols_are_allowed_as_strengths_but_not_in_runs():
    game = dyn.dirac_gan(losses.minimax(), dyn.r1(gamma))
    with pytest.raises(ValueError, match="gamma"):
        game(torch.ones(1), torch.ones(1))


def test_a_diverged_run_says_where():
    field = dyn.dirac_gan(losses.wasserstein())
    start = torch.ones(2)  # float32: 3.4e38 is the end
    with pytest.raises(FloatingPointError, match=r"at step \d+ of 400"):
        dyn.simulate(field, start, start, update=dyn.simultaneous(3.0), steps=400)
