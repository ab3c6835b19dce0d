"""The shared library of a module: the page's bits at the machine's speed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
if sys.platform != "linux":
    pytest.skip("an exact library needs Linux", allow_module_level=True)

from ganlib import networks
from ganlib.lab import native, runtime
from ganlib.lab.compiler import Module, compile_functions

BATCH = 32


@pytest.fixture(scope="module")
def game() -> Module:
    """A small GAN: two functions of one state, by gradient descent with momentum."""
    generator, critic = networks.mlp(2, 16, 16, 2, seed=1), networks.mlp(2, 16, 16, 1, seed=2)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (generator, critic)]

    def of(net: torch.nn.Module, weights: Tensor, x: Tensor) -> Tensor:
        parts = weights.split([p.numel() for p in net.parameters()])
        own = {
            name: part.reshape(p.shape)
            for (name, p), part in zip(net.named_parameters(), parts, strict=True)
        }
        return torch.func.functional_call(net, own, (x,))

    def stepped(cost: Callable[[Tensor], Tensor], weights: Tensor, pace: Tensor) -> Any:
        slope, loss = torch.func.grad_and_value(cost)(weights)
        pace = 0.5 * pace + slope
        return weights - 0.05 * pace / (pace.square().mean().sqrt() + 1e-3), pace, loss

    def discriminator(g: Tensor, d: Tensor, d_pace: Tensor, real: Tensor, z: Tensor) -> Any:
        def cost(d: Tensor) -> Tensor:
            on_real, on_fake = of(critic, d, real + 1), of(critic, d, of(generator, g, z))
            return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()

        new, pace, loss = stepped(cost, d, d_pace)
        return {"d": new, "d_pace": pace, "loss": loss}

    def generate(g: Tensor, g_pace: Tensor, d: Tensor, z2: Tensor) -> Any:
        def cost(g: Tensor) -> Tensor:
            return F.softplus(-of(critic, d, torch.tanh(of(generator, g, z2)))).mean()

        new, pace, loss = stepped(cost, g, g_pace)
        return {"g": new, "g_pace": pace, "loss": loss}

    z, g, d = torch.zeros(BATCH, 2), torch.zeros(sizes[0]), torch.zeros(sizes[1])
    return compile_functions(
        {"discriminator": (discriminator, (g, d, d, z, z)), "generator": (generate, (g, g, d, z))},
        noise=True,
    )


def trained(running: runtime.Running, steps: int) -> tuple[np.ndarray, ...]:
    """The state and the losses after alternating steps from seeded weights."""
    first, second = (running.functions[k] for k in ("discriminator", "generator"))
    for i, name in enumerate("gd"):
        running.draw("normal", first.inputs[name], 7, i)
        first.inputs[name][...] *= np.float32(0.3)
    losses = []
    for n in range(steps):
        running.draw("normal", first.inputs["real"], 3, n)
        running.draw("normal", first.inputs["z"], 4, n)
        first.run()
        losses.append(first.outputs["loss"].copy())
        running.draw("normal", second.inputs["z2"], 5, n)
        second.run()
        losses.append(second.outputs["loss"].copy())
    return first.inputs["g"].copy(), first.inputs["d"].copy(), np.array(losses)


def test_two_hundred_steps_have_the_bits_of_the_page(game: Module) -> None:
    page, here = (trained(begin(game), 200) for begin in (runtime.start, native.start))
    for a, b in zip(page, here, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_two_libraries_do_not_disturb_each_other(game: Module) -> None:
    one, other = native.start(game), native.start(game)
    trained(other, 3)
    expected = trained(native.start(game), 5)
    trained_one = trained(one, 5)
    np.testing.assert_array_equal(trained_one[0], expected[0])


def test_fast_is_near(game: Module) -> None:
    exact, fast = trained(native.start(game), 5), trained(native.start(game, fast=True), 5)
    np.testing.assert_allclose(fast[2], exact[2], rtol=1e-4)


def special(x: Tensor, t: Tensor, n: Tensor) -> dict[str, Tensor]:
    names = ("exp", "expm1", "log", "log1p", "log2", "log10", "exp2", "sin", "cos", "tan", "asin",
             "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
             "lgamma", "sqrt", "sigmoid", "round")  # fmt: skip
    values = {f"{name}{i}": getattr(torch, name)(v) for name in names for i, v in enumerate((x, t))}
    return values | {
        "power": x.abs() ** t.float(), "rest": x % 0.3, "whole": (x * 1e12).long(),
        "narrow": (x * 1e12).int(), "floor": n // 3, "sum": x.sum(), "product": x @ x,
        "angle": torch.atan2(x, t.float()), "bool": x > 0,
    }  # fmt: skip


def test_special_functions_have_the_bits_of_the_page() -> None:
    x = 9 * torch.randn(64, generator=torch.Generator().manual_seed(1))
    x[:6] = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-42])
    given = {"x": x, "t": x.double() / 3, "n": torch.arange(-32, 32)}
    module = compile_functions({"f": (special, tuple(given.values()))})
    outputs = []
    for begin in (runtime.start, native.start):
        f = begin(module).functions["f"]
        for name, value in given.items():
            f.inputs[name][...] = value
        f.run()
        outputs.append(f.outputs)
    for name in outputs[0]:
        np.testing.assert_array_equal(outputs[0][name], outputs[1][name], err_msg=name)


def test_a_wrong_place_stops_it_and_it_can_go_on() -> None:
    given = (torch.ones(4), torch.tensor([1]))
    module = compile_functions({"f": (lambda x, k: x[k] + 6 // k, given)})
    f = native.start(module).functions["f"]
    f.inputs["x"][...] = [1, 2, 3, 4]
    for k in (4, -5, 0):
        f.inputs["k"][...] = k
        with pytest.raises(RuntimeError, match=r"the function f: .*outside its tensor"):
            f.run()
    f.inputs["k"][...] = 2
    f.run()
    assert f.outputs["result"] == 6


def test_elsewhere_it_says_what_to_do(game: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.sys, "platform", "darwin")
    with pytest.raises(NotImplementedError, match=r"fast=True, or start .*runtime\.start"):
        native.start(game)
