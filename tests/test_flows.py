"""Flows: inverse, log-determinant and density, for every kind of layer at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from ganlib.data import ring
from ganlib.flows import Coupling, Flow
from ganlib.networks import latent_shape, mlp
from ganlib.training import fit, sample

KINDS = [
    (width, layers, additive)
    for width in (2, 3, 5)
    for layers in (1, 2, 5)
    for additive in (False, True)
]


def lively(width: int, layers: int = 6, additive: bool = False, seed: int = 0) -> Flow:
    """A flow in float64 whose weights are large enough for its layers to bend."""
    flow = Flow(width, 16, layers=layers, additive=additive, seed=seed).double()
    with torch.no_grad():
        for weight in flow.parameters():
            weight.mul_(2.0)
    return flow


def rows(width: int, count: int = 40) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, width, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("width", "layers", "additive"), KINDS)
class TestEveryFlow:
    def test_it_inverts(self, width: int, layers: int, additive: bool) -> None:
        flow, z = lively(width, layers, additive), rows(width)
        x, forward = flow.with_log_det(z)
        back, backward = flow.inverse(x)
        torch.testing.assert_close(back, z, rtol=0, atol=1e-9)
        torch.testing.assert_close(backward, -forward, rtol=0, atol=1e-9)
        torch.testing.assert_close(flow(flow.inverse(z)[0]), z, rtol=0, atol=1e-9)

    def test_the_log_determinant_is_autograds(
        self, width: int, layers: int, additive: bool
    ) -> None:
        flow, z = lively(width, layers, additive), rows(width)
        jacobian = vmap(jacrev(lambda one: flow(one[None])[0]))(z)
        torch.testing.assert_close(
            flow.with_log_det(z)[1], torch.linalg.slogdet(jacobian).logabsdet, rtol=0, atol=1e-9
        )

    def test_the_density_is_the_change_of_variables(
        self, width: int, layers: int, additive: bool
    ) -> None:
        flow, z = lively(width, layers, additive), rows(width)
        normal = torch.distributions.Normal(0.0, 1.0)
        x, log_det = flow.with_log_det(z)
        torch.testing.assert_close(
            flow.log_prob(x), normal.log_prob(z).sum(1) - log_det, rtol=0, atol=1e-8
        )

    def test_shapes_and_devices(self, width: int, layers: int, additive: bool) -> None:
        flow = Flow(width, 8, layers=layers, additive=additive)
        assert flow(torch.zeros(7, width)).dtype == torch.float32
        assert flow.log_prob(torch.zeros(0, width)).shape == (0,)
        assert flow.to("meta").log_prob(torch.zeros(7, width, device="meta")).shape == (7,)


def test_the_density_integrates_to_one() -> None:
    flow = Flow(2, 16, layers=4, seed=3).double()
    with torch.no_grad():
        reach = flow(rows(2, 20_000)).abs().max().item() + 6
        side = torch.linspace(-reach, reach, 1501, dtype=torch.float64)
        cell = (side[1] - side[0]) ** 2
        mass = flow.log_prob(torch.cartesian_prod(side, side)).exp().sum() * cell
    assert mass.item() == pytest.approx(1.0, abs=1e-3)


def test_an_additive_flow_keeps_every_volume() -> None:
    assert torch.equal(lively(4, additive=True).with_log_det(rows(4))[1], torch.zeros(40).double())


def test_two_layers_move_every_entry() -> None:
    flow = lively(3, layers=2)
    slopes = jacrev(lambda z: flow(z[None])[0])(rows(3)[0])
    assert (torch.linalg.eigvals(slopes) - 1).abs().max() > 1e-3
    assert not torch.equal(flow(rows(3)).sort(1).values, rows(3).sort(1).values)


@pytest.mark.parametrize("bound", [0.5, 2.0])
def test_a_layer_stretches_at_most_by_its_bound(bound: float) -> None:
    layer = Coupling(2, 1, 8, bound=bound, seed=1).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(1e3)
    log_det = layer(rows(2))[1]
    assert log_det.abs().max() <= bound
    assert log_det.abs().max() > 0.99 * bound


def test_at_the_origin_of_a_flow_of_nothing() -> None:
    flow = Flow(2, 4, layers=2)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.zero_()
    x = torch.tensor([[3.0, -1.0]])
    assert flow.log_prob(x).item() == pytest.approx(-math.log(2 * math.pi) - 5)
    assert torch.equal(flow(x), x)


def test_it_is_a_generator_that_fit_trains() -> None:
    flow = Flow(2, 8, layers=2)
    before = [weight.clone() for weight in flow.parameters()]
    fit(flow, mlp(2, 8, 1), ring(), steps=2, batch_size=8, progress=False)
    assert latent_shape(flow) == (2,)
    assert sample(flow, 5).shape == (5, 2)
    assert not all(map(torch.equal, before, flow.parameters()))


def test_seeds_share_no_network() -> None:
    firsts = [
        next(coupling.parameters())
        for seed in range(3)
        for coupling in Flow(2, 4, layers=3, seed=seed).couplings
    ]
    assert not any(torch.equal(a, b) for i, a in enumerate(firsts) for b in firsts[:i])


class TestRefusals:
    @pytest.mark.parametrize(("width", "kept"), [(2, 0), (2, 2), (3, -1)])
    def test_a_layer_that_moves_nothing(self, width: int, kept: int) -> None:
        with pytest.raises(ValueError, match=f"keeps {kept} of {width}"):
            Coupling(width, kept, 4)

    def test_settings(self) -> None:
        with pytest.raises(ValueError, match="bound is 0"):
            Flow(2, 4, bound=0)
        with pytest.raises(ValueError, match="layers"):
            Flow(2, 4, layers=0)
        with pytest.raises(ValueError, match="width"):
            Flow(1, 4)

    def test_images_and_what_the_message_advises(self) -> None:
        flow, images = Flow(4, 4), torch.zeros(3, 1, 2, 2)
        for call in (flow, flow.log_prob, flow.inverse):
            with pytest.raises(ValueError, match=r"\(3, 1, 2, 2\).*\(N, 4\)"):
                call(images)
        assert flow(images.flatten(1)).shape == (3, 4)


def test_many_flows_are_one_batch() -> None:
    flows = [lively(2, layers=2, seed=seed) for seed in range(3)]
    weights, buffers = torch.func.stack_module_state(flows)  # type: ignore[arg-type]

    def log_prob(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(Judge(flows[0]), named(weights), (x,))

    together = vmap(log_prob, in_dims=(0, None))(weights, rows(2))
    assert buffers == {}
    torch.testing.assert_close(together, torch.stack([f.log_prob(rows(2)) for f in flows]))


class Judge(nn.Module):
    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor) -> Tensor:
        return self.flow.log_prob(x)


def named(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"flow.{name}": weight for name, weight in weights.items()}


def test_one_graph() -> None:
    """No branch on values."""
    flow = Flow(2, 4, layers=2)
    compiled = torch.compile(flow.log_prob, fullgraph=True, backend="eager")
    assert torch.equal(compiled(torch.ones(3, 2)), flow.log_prob(torch.ones(3, 2)))
