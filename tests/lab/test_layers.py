"""Layers of networks, compiled: values and slopes are torch's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

from ganlib import networks
from ganlib.lab.compiler import compile_functions
from ganlib.lab.runtime import start


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


X1, X2 = drawn(2, 4, 9), drawn(2, 4, 7, 6)
#: name -> (function of an input and a filter, the input, the filter).
CONVOLUTIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = {
    "row": (F.conv1d, X1, drawn(3, 4, 3)),
    "row_far": (lambda x, w: F.conv1d(x, w, stride=2, padding=3, dilation=2), X1, drawn(3, 4, 3)),
    "row_groups": (lambda x, w: F.conv1d(x, w, groups=2), X1, drawn(6, 2, 2)),
    "row_back": (lambda x, w: F.conv_transpose1d(x, w, stride=3, padding=1), X1, drawn(4, 2, 4)),
    "plane": (lambda x, w: F.conv2d(x, w, padding=1), X2, drawn(5, 4, 3, 3)),
    "plane_same": (lambda x, w: F.conv2d(x, w, padding="same"), X2, drawn(5, 4, 2, 3)),
    "plane_stride": (
        lambda x, w: F.conv2d(x, w, stride=(2, 3), padding=(1, 2)), X2, drawn(5, 4, 4, 2)),
    "plane_dilated": (
        lambda x, w: F.conv2d(x, w, dilation=(2, 1), padding=(2, 0)), X2, drawn(2, 4, 3, 3)),
    "plane_groups": (lambda x, w: F.conv2d(x, w, groups=4, padding=1), X2, drawn(8, 1, 3, 3)),
    "back": (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), X2, drawn(4, 3, 4, 4)),
    "back_more": (
        lambda x, w: F.conv_transpose2d(x, w, stride=(3, 2), padding=(1, 0), output_padding=(2, 1),
                                        dilation=(1, 2)), X2, drawn(4, 3, 3, 2)),
    "back_groups": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2), X2, drawn(4, 3, 2, 2)),
}  # fmt: skip

POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda x: F.max_pool2d(x, 2),
    "max_padded": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_ceil": lambda x: F.max_pool2d(x, (2, 4), 2, (1, 2), ceil_mode=True),
    "max_dilated": lambda x: F.max_pool2d(x, 2, 1, dilation=2),
    "mean": lambda x: F.avg_pool2d(x, 2),
    "mean_padded": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "mean_inside": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "mean_ceil": lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 0), ceil_mode=True),
    "mean_divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "max_row": lambda x: F.max_pool1d(x[:, 0], 3, 2, 1),
    "mean_row": lambda x: F.avg_pool1d(x[:, 0], 3, 2, 1),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
}

NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "layer": lambda x: F.layer_norm(x, (6,), torch.arange(6.0), torch.ones(6)),
    "layer_wide": lambda x: F.layer_norm(x, (7, 6)),
    "group": lambda x: F.group_norm(x, 2, torch.arange(4.0), torch.ones(4)),
    "instance": lambda x: F.instance_norm(x),
    "batch_given": lambda x: F.batch_norm(
        x, torch.arange(4.0), torch.arange(1.0, 5), torch.arange(4.0), torch.ones(4)
    ),
    "batch": lambda x: F.batch_norm(x, None, None, training=True),
    "one_hot": lambda x: F.one_hot(x[0, 0].argmax(1), 6) * x[0, 0, :, :1],
    "embedding": lambda x: F.embedding(x[0, 0].argsort(1), x[1, 1]),
    "reflected": lambda x: F.pad(x, (1, 2, 3, 0), "reflect"),
    "cut": lambda x: F.pad(x, (-1, 2, 1, -2), value=3.0),
    "unfolded": lambda x: x.unfold(2, 3, 2).sum(-1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3])),
    "glu": lambda x: F.glu(x, 1),
    "hardswish": lambda x: F.hardswish(x),
    "huber": lambda x: F.smooth_l1_loss(x, 2 * x, reduction="none"),
    "cross_entropy": lambda x: F.cross_entropy(x[0, 0], x[0, 1].argmax(1), label_smoothing=0.1),
    "nll": lambda x: F.nll_loss(x[0, 0], x[0, 1].argmax(1)),
    "largest": lambda x: x.max() - x.min(),
    "decimals": lambda x: x.round(decimals=2),
}


def with_slope(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Its value, and the slope of a curved sum of it by each argument."""

    def both(*arguments: Tensor) -> tuple[Tensor, ...]:
        def curved(*given: Tensor) -> Tensor:
            return (function(*given) * torch.linspace(0.5, 1.5, function(*given).numel())
                    .reshape(function(*given).shape)).square().sum()  # fmt: skip

        places = tuple(range(len(arguments)))
        return function(*arguments), *torch.func.grad(curved, places)(*arguments)

    return both


def compare(functions: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]]) -> None:
    """Compile them together, run each once, and compare all that it returns with torch."""

    def named(name: str, function: Callable[..., Any], count: int) -> Callable[..., Any]:
        def call(*arguments: Tensor) -> dict[str, Tensor]:
            return {f"out{i}": v for i, v in enumerate(function(*arguments))}

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(f"{name}_{i}", kind) for i in range(count)]
        )
        return call

    module = compile_functions(
        {k: (named(k, f, len(given)), given) for k, (f, given) in functions.items()},
        seldom=list(functions),
    )
    running = start(module)
    for name, (function, given) in functions.items():
        compiled = running.functions[name]
        for i, value in enumerate(given):
            compiled.inputs[f"{name}_{i}"][...] = value.numpy()
        compiled.run()
        for i, expected in enumerate(function(*given)):
            torch.testing.assert_close(
                torch.from_numpy(np.array(compiled.outputs[f"out{i}"])), expected.detach(),
                rtol=1e-4, atol=1e-4, msg=lambda m, n=name, i=i: f"{n}, output {i}: {m}",
            )  # fmt: skip


def test_convolutions_and_their_slopes() -> None:
    compare({
        name: (with_slope(function), (x, w)) for name, (function, x, w) in CONVOLUTIONS.items()
    })  # fmt: skip


def test_pools_and_their_slopes() -> None:
    compare({name: (with_slope(function), (X2,)) for name, function in POOLS.items()})


def test_norms_and_other_layers() -> None:
    compare({name: (lambda x, f=f: (f(x),), (X2,)) for name, f in NORMS.items()})


def test_slopes_of_norms() -> None:
    chosen = ("layer", "group", "batch_given", "embedding", "largest", "cut")
    compare({name: (with_slope(NORMS[name]), (X2,)) for name in chosen})


def test_convolutions_in_double_precision_and_with_a_bias() -> None:
    x, w, b = (drawn(*s, dtype=torch.float64) for s in ((2, 3, 5, 5), (4, 3, 2, 2), (4,)))
    compare({"wide": (lambda x, w, b: (F.conv2d(x, w, b),), (x, w, b))})


def test_a_convolution_over_three_axes_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="over 3 axes is not compiled"):
        compile_functions(
            {
                "f": (
                    lambda x, w: F.conv3d(x, w),
                    (torch.zeros(1, 1, 3, 3, 3), torch.zeros(1, 1, 2, 2, 2)),
                )
            }
        )


def test_a_view_of_what_lies_otherwise_here() -> None:
    """Unrolling a player: recorded views meet arrays that are laid out as they were written."""
    critic, generator = networks.mlp(2, 8, 1, seed=1), networks.mlp(2, 8, 2, seed=2)
    names = [name for name, _ in critic.named_parameters()]

    def unrolled(z: Tensor, real: Tensor, flat: Tensor) -> Tensor:
        def cost(weights: Tensor, fake: Tensor) -> Tensor:
            parts = weights.split([p.numel() for p in critic.parameters()])
            own = {
                name: part.view(p.shape)
                for name, part, p in zip(names, parts, critic.parameters(), strict=True)
            }
            judged = [torch.func.functional_call(critic, own, (x,)) for x in (real, fake)]
            return (F.softplus(-judged[0]) + F.softplus(judged[1])).mean()

        def after(z: Tensor) -> Tensor:
            fake, weights = generator(z), flat
            for _ in range(3):
                weights = weights - 0.1 * torch.func.grad(cost)(weights, fake)
            return -cost(weights, fake)

        return torch.func.grad(after)(z)

    flat = torch.cat([p.detach().flatten() for p in critic.parameters()])
    compare({"unrolled": (lambda *a: (unrolled(*a),), (drawn(5, 2), drawn(5, 2, seed=1), flat))})


def test_the_log_density_one_writes_first() -> None:
    def densities(mean: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        normal = torch.distributions.Normal(mean, 1)
        return (
            normal.log_prob(x),
            normal.cdf(x),
            torch.distributions.Laplace(mean, 2.0).log_prob(x),
            torch.distributions.Bernoulli(logits=x).log_prob((x > mean).float()),
            torch.distributions.Categorical(logits=x).log_prob(x.argsort()),
            torch.distributions.StudentT(3.0, mean).log_prob(x),
            torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, x.exp())),
        )

    # Whatever imported torch's compiler before, in this process, has switched the checks off.
    torch.distributions.Distribution.set_default_validate_args(__debug__)
    compare({"densities": (densities, (torch.tensor(0.5), drawn(7)))})
    assert torch.distributions.Distribution._validate_args == __debug__


def test_sums_along_a_long_axis_keep_their_digits() -> None:
    def sums(x: Tensor) -> dict[str, Tensor]:
        return {
            "mean": x.mean(0),
            "std": x.std(0),
            "transposed": x.T.std(1),
            "cumsum": x.cumsum(0)[-1],
            "normed": F.batch_norm(x, None, None, training=True)[:9],
            "both": x.reshape(-1, 10, 2).sum((0, 1)),
        }

    x = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(0)) + 1000
    f = start(compile_functions({"f": (sums, (torch.zeros_like(x),))}, seldom=["f"])).functions["f"]
    f.inputs["x"][...] = x
    f.run()
    for name, expected in sums(x.double()).items():
        np.testing.assert_allclose(f.outputs[name], expected, rtol=1e-3, err_msg=name)
        if name in ("mean", "cumsum", "both"):
            np.testing.assert_allclose(f.outputs[name], expected, rtol=1e-7, err_msg=name)
