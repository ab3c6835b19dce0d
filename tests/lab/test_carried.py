"""Generators that travel: what is folded, what is rounded, and what the module then draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

from ganlib.lab import native
from ganlib.lab.carried import Carried, _Rounded, _without_normalisation
from ganlib.lab.compiler import compile_functions
from ganlib.lab.runtime import start
from ganlib.networks import dcgan_generator, mlp

RNG = torch.Generator().manual_seed(1)
LATENTS = torch.randn(3, 10, generator=RNG)
SHARES = torch.nn.functional.normalize(torch.randn(40, 3, generator=RNG))


def trained() -> nn.Sequential:
    """A DCGAN generator whose normalisation has seen batches, and whose weights differ."""
    generator = dcgan_generator(10, 16, width=4, seed=1)
    with torch.no_grad():
        for weight in generator.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=RNG)
        for _ in range(30):
            generator(torch.randn(64, 10, generator=RNG))
    return generator


def normed() -> nn.Sequential:
    layers = [nn.Linear(10, 6), nn.BatchNorm1d(6, affine=False), nn.ReLU(), nn.Linear(6, 5)]
    network = nn.Sequential(*layers)
    network(torch.randn(64, 10, generator=RNG))
    return network


NETWORKS = {"dcgan": trained, "norm": normed, "mlp": lambda: mlp(10, 8, 5, output=nn.Tanh, seed=2)}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_normalisation_becomes_a_part_of_the_layer_before_it(name: str) -> None:
    network = NETWORKS[name]().eval()
    folded = nn.Sequential(*_without_normalisation(network))
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in folded)
    torch.testing.assert_close(folded(LATENTS), network(LATENTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_mixtures_are_drawn_up_to_the_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS[name]()
    mode = network.training
    exact = network.eval()(SHARES @ LATENTS)
    network.train(mode)
    small = Carried(network, LATENTS)
    assert network.training == mode
    moved = (small(SHARES) - exact).abs()
    assert 1e-5 < moved.mean() < 0.02
    assert small.numbers == sum(r.whole.numel() for r in small.modules() if isinstance(r, _Rounded))
    monkeypatch.setattr("ganlib.lab.carried._LEVELS", 2**20)  # hardly rounded: only that differed
    assert (Carried(network, LATENTS)(SHARES) - exact).abs().max() < 1e-4


def test_rounding_is_by_half_a_level_at_most() -> None:
    values = torch.randn(100, generator=RNG)
    rounded = _Rounded(values)
    assert rounded.whole.abs().max() == 127
    assert (rounded.scale * rounded.whole - values).abs().max() <= rounded.scale * 0.5001
    assert torch.equal(_Rounded(torch.zeros(4)).whole, torch.zeros(4))


def test_the_module_draws_the_same_from_one_byte_a_number() -> None:
    small = Carried(dcgan_generator(10, 28, width=32, seed=1), LATENTS)

    def drawn(shares: Tensor) -> Tensor:
        return small(shares[None])[0, 0]

    module = compile_functions({"draw": (drawn, (SHARES[0],))})
    assert len(module.wasm) < small.numbers + 20_000  # as floats: four times the numbers
    for running in (start(module), native.start(module)):
        function = running.functions["draw"]
        for shares in SHARES[:3]:
            function.inputs["shares"][...] = shares.numpy()
            function.run()
            (view,) = function.outputs.values()
            np.testing.assert_allclose(view, drawn(shares).numpy(), rtol=0, atol=1e-5)


WHOLE = torch.arange(400) % 255 - 127.0
NUMBERS = {
    "bytes": WHOLE,
    "beyond": torch.where(WHOLE == 3, 128.0, WHOLE),
    "broken": torch.where(WHOLE == 3, 2.5, WHOLE),
    "minus_nothing": torch.where(WHOLE == 0, -0.0, WHOLE),
    "not_a_number": torch.where(WHOLE == 3, torch.nan, WHOLE),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_constants_keep_their_bits(name: str) -> None:
    table = NUMBERS[name]

    def looked_up(x: Tensor) -> Tensor:
        return table * x

    module = compile_functions({"look": (looked_up, (torch.ones(1),))})
    assert ("_bytes[" in module.source) == (name == "bytes")
    function = start(module).functions["look"]
    function.inputs["x"][...] = 1
    function.run()
    (view,) = function.outputs.values()
    assert view.tobytes() == table.numpy().tobytes()


def test_what_cannot_travel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(10,\); pass \(K, d\)"):
        Carried(mlp(10, 4, 2), LATENTS[0])
    with pytest.raises(ValueError, match="no linear layer"):
        Carried(nn.Sequential(nn.ReLU()), LATENTS)
    with pytest.raises(ValueError, match="put a linear layer"):
        Carried(nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.BatchNorm1d(4)), LATENTS)
    grouped = nn.ConvTranspose2d(10, 4, 2, groups=2)
    with pytest.raises(ValueError, match="without groups"):
        Carried(nn.Sequential(nn.Unflatten(1, (10, 1, 1)), grouped, nn.BatchNorm2d(4)), LATENTS)
