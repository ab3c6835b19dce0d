"""One norm a sample, R1's one half, closed forms on linear and quadratic critics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganlib import networks, penalties


def _linear(direction: torch.Tensor):
    return lambda points: points.flatten(1) @ direction[:, None]


@given(
    batch=st.integers(1, 40),
    direction=st.lists(st.floats(-3, 3), min_size=1, max_size=5),
    target=st.floats(0, 2),
)
def test_penalty_of_a_linear_critic_does_not_depend_on_the_batch(
    batch: int, direction: list[float], target: float
) -> None:
    w = torch.tensor(direction, dtype=torch.float64)
    points = torch.zeros(batch, len(w), dtype=torch.float64)
    got = penalties.gradient_penalty(_linear(w), points, points + 1, target=target)
    assert got.item() == pytest.approx((w.norm().item() - target) ** 2, abs=1e-9)
    assert penalties.r1(_linear(w), points).item() == pytest.approx(
        w.square().sum().item() / 2, abs=1e-9
    )


def test_a_lipschitz_critic_pays_nothing() -> None:
    # A published library takes one norm over the batch and charges (sqrt(64) - 1)^2 = 49 here.
    w = torch.tensor([0.6, 0.8])
    real, fake = torch.randn(64, 2), torch.randn(64, 2)
    assert penalties.gradient_penalty(_linear(w), real, fake).item() == pytest.approx(0, abs=1e-10)


def test_images_have_one_norm_each() -> None:
    w = torch.full((12,), 0.5)
    real = torch.randn(7, 3, 2, 2)
    got = penalties.gradient_penalty(_linear(w), real, torch.zeros_like(real))
    assert got.item() == pytest.approx((w.norm().item() - 1) ** 2, rel=1e-5)


def test_r1_of_a_quadratic_critic(dtype: torch.dtype) -> None:
    points = torch.tensor([[1.0, 2.0], [0.0, -3.0]], dtype=dtype)
    critic = lambda x: x.square().sum(1, keepdim=True) / 2  # noqa: E731
    # The gradient at x is x: E|x|^2 / 2 = (5 + 9) / 2 / 2.
    assert penalties.r1(critic, points).item() == pytest.approx(3.5)
    assert penalties.r2(critic, points).item() == pytest.approx(3.5)


def test_interpolation_points_lie_between_the_pairs() -> None:
    seen = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.sum(1, keepdim=True)

    real, fake = torch.zeros(500, 2), torch.ones(500, 2)
    rng = torch.Generator().manual_seed(0)
    penalties.gradient_penalty(critic, real, fake, generator=rng)
    (points,) = seen
    assert torch.equal(points[:, 0], points[:, 1])  # one weight a sample
    assert points.min() >= 0
    assert points.max() <= 1
    assert points.std() > 0.2  # the weights differ from sample to sample


def test_penalty_reaches_the_critic_weights_and_not_the_samples() -> None:
    critic = networks.mlp(2, 8, 1)
    fake = torch.randn(4, 2, requires_grad=True)
    penalties.gradient_penalty(critic, torch.randn(4, 2), fake).backward()
    assert all(w.grad is not None for w in critic.parameters() if w.ndim == 2)
    assert fake.grad is None


def test_a_flat_critic_has_a_finite_gradient() -> None:
    # The norm of a zero gradient has no derivative: its subgradient 0 must be used, not NaN.
    critic = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(critic.weight)
    value = penalties.gradient_penalty(critic, torch.randn(4, 2), torch.randn(4, 2))
    value.backward()
    assert value.item() == 1.0
    assert torch.isfinite(critic.weight.grad).all()


def test_clip_weights_works_in_place() -> None:
    net = networks.mlp(2, 8, 1)
    penalties.clip_weights(net, 0.01)
    assert max(w.abs().max().item() for w in net.parameters()) <= 0.01


def test_consensus_on_the_bilinear_game() -> None:
    theta = torch.tensor([2.0], requires_grad=True)
    psi = torch.tensor([3.0], requires_grad=True)
    value = (theta * psi).sum()
    got = penalties.consensus(value, -value, [theta], [psi])
    assert got.item() == pytest.approx((2**2 + 3**2) / 2)
    assert torch.autograd.grad(got, theta)[0].item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: penalties.clip_weights(torch.nn.Linear(1, 1), 0.0), "0.0"),
        (
            lambda: penalties.gradient_penalty(torch.sum, torch.ones(3, 2), torch.ones(4, 2)),
            r"\(3, 2\).*\(4, 2\)",
        ),
        (lambda: penalties.r1(torch.sum, torch.ones(3)), r"\(3,\)"),
        (lambda: penalties.r1(lambda x: x.sum()[None], torch.ones(3, 2)), "1 outputs for 3"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_where_a_critic_is_flat_every_derivative_is_finite() -> None:
    flat = torch.zeros(2, 3)
    flat[1, 0] = 2.0
    value = penalties.norm_deviation(flat)
    assert value.item() == pytest.approx((1 + 1) / 2)
    slope = torch.func.grad(penalties.norm_deviation)(flat)
    assert slope.tolist() == [[0, 0, 0], [1, 0, 0]]
    for twice in (
        torch.func.jacrev(torch.func.grad(penalties.norm_deviation)),
        torch.func.jacfwd(torch.func.grad(penalties.norm_deviation)),
    ):
        assert twice(flat).isfinite().all()
