"""What cannot be compiled is refused in words: the user's line, and what to write in its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

from ganlib.lab.compiler import build, cache, compile_functions
from ganlib.lab.figure import choose
from ganlib.lab.runtime import start

X = torch.tensor([0.5, -1.0, 2.0, 3.0])


def refused(function: Callable[[Tensor], Any], x: Tensor = X) -> str:
    with pytest.raises(NotImplementedError) as caught:
        compile_functions({"f": (function, (x,))})
    message = str(caught.value)
    line = function.__code__.co_firstlineno
    assert re.search(rf"line ({line}|{line + 1}|{line + 2}) of test_refusals\.py", message), message
    return message


def run(function: Callable[..., Any], *given: Tensor) -> dict[str, np.ndarray]:
    f = start(compile_functions({"f": (function, given)})).functions["f"]
    for view, value in zip(f.inputs.values(), given, strict=True):
        view[...] = value.numpy()
    f.run()
    return {name: value.copy() for name, value in f.outputs.items()}


def _branches(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


@pytest.mark.parametrize(
    "function",
    [
        _branches,
        lambda x: x * x.max().item(),
        lambda x: x[: int(x.sum())],
        lambda x: x * float(x[0]),
        lambda x: x[x.argmax()],
    ],
)
def test_a_value_that_is_asked_for(function: Any) -> None:
    message = refused(function)
    assert "asks for the value of a tensor" in message
    assert "torch.where(condition, a, b)" in message


def test_what_it_says_to_write_works() -> None:
    expected = _branches(X).numpy()
    assert np.array_equal(run(lambda x: torch.where(x.sum() > 0, x, -x), X)["result"], expected)
    read = run(lambda x: x[x.argmax().reshape(1)], X)["result"]
    assert np.array_equal(read, [3.0])
    chosen = run(lambda x: choose((x.sum() > 0).long(), [-x, x]), X)["result"]
    assert np.array_equal(chosen, expected)


def test_one_hot_without_a_count() -> None:
    message = refused(lambda x: F.one_hot(x.long().abs()))
    assert "give it num_classes" in message
    given = run(lambda x: F.one_hot(x.long().abs(), 4), X)["result"]
    assert np.array_equal(given, F.one_hot(X.long().abs(), 4).numpy())


def test_the_functions_own_error_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="size of tensor a") as caught:
        compile_functions({"f": (lambda x: x + torch.ones(3), (X,))})
    assert not isinstance(caught.value, NotImplementedError)
    with pytest.raises(IndexError, match="out of bounds"):
        compile_functions({"f": (lambda x: x[torch.tensor([1, 9])], (X,))})


@pytest.mark.parametrize(
    ("function", "instead", "said"),
    [
        (lambda x: x.median(), lambda x: x.sort().values[(len(x) - 1) // 2], "sort"),
        (lambda x: x.kthvalue(2).values, lambda x: x.sort().values[1], "sort"),
        (
            lambda x: torch.bucketize(x, torch.tensor([0.0, 1.0])),
            lambda x: (x[:, None] > torch.tensor([0.0, 1.0])).sum(1),
            "compare",
        ),
        (
            lambda x: torch.bucketize(x, torch.tensor([0.5, 3.0]), right=True),
            lambda x: (x[:, None] >= torch.tensor([0.5, 3.0])).sum(1),
            "(x[:, None] >= edges)",
        ),
        (
            lambda x: torch.searchsorted(torch.tensor([0.5, 3.0]), x, side="right"),
            lambda x: (x[:, None] >= torch.tensor([0.5, 3.0])).sum(1),
            "(x[:, None] >= edges)",
        ),
        (
            lambda x: torch.histc(x, 2, -4, 4),
            lambda x: ((x >= torch.tensor([[-4.0], [0.0]])) & (x < torch.tensor([[0.0], [4.0]])))
            .sum(1),
            "compare",
        ),
    ],
)  # fmt: skip
def test_an_operation_is_refused_with_another_way(function: Any, instead: Any, said: str) -> None:
    assert said in refused(function)
    np.testing.assert_array_equal(run(instead, X)["result"], function(X).numpy())


def test_a_function_without_names_for_its_buffers() -> None:
    with pytest.raises(ValueError, match=r"conv1d does not say .* wrap it"):
        compile_functions({"f": (F.conv1d, (torch.zeros(1, 1, 3), torch.zeros(1, 1, 2)))})


def test_an_argument_is_never_left_out_in_silence() -> None:
    assert "reduce" in refused(
        lambda x: x.scatter(0, torch.tensor([1]), torch.ones(1), reduce="multiply")
    )


# --- places outside -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "good", "bad"),
    [
        (lambda x, k: x[k], [-4, 3], [4, -5, 10**12]),
        (lambda x, k: x.gather(0, k), [0, 3], [4, -1]),
        (lambda x, k: x.index_select(0, k), [0, 3], [4, -1]),
        (lambda x, k: x.scatter(0, k, 1.0), [0, 3], [4, -1]),
        (lambda x, k: torch.index_put(x, (k,), x[:1]), [-4, 3], [4, -5]),
        (lambda x, k: F.embedding(k, x[:, None]), [0, 3], [4, -1]),
        (lambda x, k: F.one_hot(k, 3), [0, 2], [3, -1]),
        (lambda x, k: 7 // k, [3, -1], [0]),
        (lambda x, k: 7 % k, [3, -1], [0]),
    ],
)
def test_a_wrong_place_stops_the_module(function: Any, good: list[int], bad: list[int]) -> None:
    f = start(compile_functions({"f": (function, (X, torch.tensor([1])))})).functions["f"]
    f.inputs["x"][...] = X
    for k in good:
        f.inputs["k"][...] = k
        f.run()
        expected = function(X, torch.tensor([k])).numpy()
        np.testing.assert_array_equal(f.outputs["result"], expected)
    for k in bad:
        f.inputs["k"][...] = k
        with pytest.raises(RuntimeError, match="outside its tensor, or an integer is divided by"):
            f.run()
    f.inputs["k"][...] = good[0]
    f.run()  # the advice: check the inputs, and run it again


# --- devices --------------------------------------------------------------------------------


def test_a_default_device_elsewhere() -> None:
    def f(x: Tensor) -> Tensor:
        return x + torch.ones(4) * torch.arange(4) + torch.zeros_like(x)

    with torch.device("meta"):
        module = compile_functions({"f": (f, (torch.zeros(4),))})
    assert module.source == compile_functions({"f": (f, (torch.zeros(4),))}).source


def test_a_tensor_elsewhere_is_refused() -> None:
    far = torch.ones(4, device="meta")
    message = refused(lambda x: x + far)
    assert "uses a tensor on meta" in message or "makes a tensor on meta" in message
    assert "CPU" in message
    assert "on meta" in refused(lambda x: torch.ones(4, device="meta"))
    near = torch.ones(4).cpu()
    assert np.array_equal(run(lambda x: x + near, X)["result"], (X + 1).numpy())


# --- the cache ------------------------------------------------------------------------------


def double(x: Tensor) -> Tensor:
    return 2 * x


@pytest.mark.parametrize("harm", [lambda c: c[:-7], lambda c: b"", lambda c: b"x" * len(c)])
def test_a_harmed_file_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(cache.pooch, "os_cache", lambda _: tmp_path)
    made = []
    compiled = build.compiled
    monkeypatch.setattr(build, "compiled", lambda *a: made.append(1) or compiled(*a))
    first = compile_functions({"f": (double, (X,))})
    assert compile_functions({"f": (double, (X,))}) == first
    assert len(made) == 1
    (file,) = tmp_path.rglob("*.wasm")
    file.write_bytes(harm(file.read_bytes()))
    assert compile_functions({"f": (double, (X,))}) == first
    assert len(made) == 2
    assert compile_functions({"f": (double, (X,))}) == first
    assert len(made) == 2
    assert [f.name for f in file.parent.iterdir()] == [file.name]  # no litter


def test_a_module_is_what_its_file_holds() -> None:
    module = compile_functions({"f": (double, (X,)), "g": (lambda y: {"a": y > 0, "y": y}, (X,))})
    assert type(module).load(module.dump()) == module


# --- what a recorded function may not do --------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.distributions.Normal(x, 1.0).rsample(),
        lambda x: x + torch.empty(4).exponential_(),
        lambda x: x + torch.empty(4).uniform_(),
        lambda x: x + torch.empty(4).normal_(),
        lambda x: x + torch.empty(4).random_(),
        lambda x: x + torch.empty(4).geometric_(0.5),
        lambda x: x + torch.empty(4).log_normal_(),
        lambda x: x + torch.distributions.Exponential(torch.ones(4)).sample(),
        lambda x: x + torch.distributions.Cauchy(torch.zeros(4), 1.0).sample(),
        lambda x: x + torch.poisson(torch.ones(4)),
        lambda x: F.gumbel_softmax(x),
        lambda x: F.dropout(x),
        lambda x: x + torch.rand(4, generator=torch.Generator()),
    ],
)
def test_every_random_draw(function: Any) -> None:
    assert "draws random numbers; pass the noise as an argument" in refused(function)


def test_what_only_might_draw_is_compiled() -> None:
    def attend(x: Tensor) -> Tensor:
        rows = x.reshape(1, 1, 2, 2)
        return F.dropout(F.scaled_dot_product_attention(rows, rows, rows), training=False)

    np.testing.assert_allclose(run(attend, X)["result"], attend(X).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.tensor(x.tolist()),
        lambda x: x + torch.from_numpy(x.numpy()),
        lambda x: x + torch.as_tensor(np.sin(np.asarray(x))),
        lambda x: x + torch.tensor([v for v in x]),
        lambda x: x + torch.as_tensor([v for v in x]),
        lambda x: x + x.new_tensor([x[0], 1.0, 1.0, 1.0]),
        lambda x: x + torch.Tensor([x[0], 1.0, 1.0, 1.0]),
        lambda x: x * len(str(x)),
        lambda x: x + torch.from_dlpack(x),
        lambda x: torch.func.grad(lambda y: (y * torch.tensor((2 * y).tolist())).sum())(x),
        lambda x: torch.func.vmap(lambda y: y * torch.tensor(y.tolist()))(x[None])[0],
    ],
)
def test_a_value_that_python_reads(function: Any) -> None:
    message = refused(function)
    assert "asks for the value of a tensor" in message
    assert "torch.stack" in message


def test_a_value_that_is_known_may_be_read() -> None:
    def known(x: Tensor) -> Tensor:
        scales = torch.linspace(0, 1, 4)
        return x * torch.tensor(scales.tolist()) + float(np.sin(X.numpy()).sum())

    np.testing.assert_allclose(run(known, X)["result"], known(X).numpy(), rtol=1e-6)
    joined = run(lambda x: torch.stack(list(x)), X)["result"]
    assert np.array_equal(joined, X.numpy())


def test_a_function_is_recorded_anew_each_time() -> None:
    scale = 2.0

    def scaled(x: Tensor) -> Tensor:
        return x * scale

    assert np.array_equal(run(scaled, X)["result"], (2 * X).numpy())
    scale = 3.0
    assert np.array_equal(run(scaled, X)["result"], (3 * X).numpy())
    kept: Any = {}
    first = compile_functions({"f": (scaled, (X,))}, recorded=kept)
    scale = 4.0
    assert compile_functions({"f": (scaled, (X,))}, recorded=kept) == first  # as it was asked


@pytest.mark.parametrize("values", [[0.0, -0.0, 0.0, 0.0], [-0.0, 1.0, 2.0, 3.0], [-0.0] * 4])
def test_the_sign_of_a_constants_zero(values: list[float]) -> None:
    made = run(lambda x: x * 0 + torch.copysign(torch.ones(4), torch.tensor(values)) + 0 * x, X)
    assert np.array_equal(made["result"], np.copysign(1, np.array(values)))
    multiplied = run(lambda x: torch.tensor(values) * x, X.abs())["result"]
    assert np.array_equal(np.signbit(multiplied), np.signbit(np.array(values)))


def test_a_tensor_of_the_user_stays_as_it_was() -> None:
    outside, layer = torch.ones(4), torch.nn.BatchNorm1d(4)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    assert "changes a tensor that the function did not make" in refused(lambda x: outside.add_(x))
    assert "track_running_stats=False" in refused(lambda x: layer(x.reshape(1, 4).repeat(2, 1)))
    running = torch.zeros(1), torch.ones(1)
    refused(lambda x: F.batch_norm(x[:, None], *running, training=True))
    assert torch.equal(outside, torch.ones(4))
    assert torch.equal(running[0], torch.zeros(1))
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    for allowed in (layer.eval(), torch.nn.BatchNorm1d(4, track_running_stats=False)):

        def rows(x: Tensor, allowed: Any = allowed) -> Tensor:
            return allowed(torch.stack([x, 2 * x]))

        expected = rows(X).detach().numpy()
        np.testing.assert_allclose(run(rows, X)["result"], expected, rtol=1e-5)
    made = run(lambda x: torch.zeros(4).add_(x).mul_(2), X)["result"]
    assert np.array_equal(made, (2 * X).numpy())


def _centred(x: Tensor) -> Tensor:
    rows = x.reshape(2, 2)
    return rows - rows.mean(1, keepdim=True)


def test_moments_are_refused_with_their_formula() -> None:
    assert "y @ y.T / (y.shape[1] - 1)" in refused(lambda x: torch.cov(x.reshape(2, 2)))
    written = run(lambda x: (y := _centred(x)) @ y.T / (y.shape[1] - 1), X)["result"]
    np.testing.assert_allclose(written, torch.cov(X.reshape(2, 2)), rtol=1e-6)
    assert "F.normalize(y) @" in refused(lambda x: torch.corrcoef(x.reshape(2, 2)))
    written = run(lambda x: F.normalize(_centred(x)) @ F.normalize(_centred(x)).T, X)["result"]
    np.testing.assert_allclose(written, torch.corrcoef(X.reshape(2, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "bad", "good"),
    [
        (lambda k: 7 // k, 0, 1),
        (lambda k: 7 % k, 0, 1),
        (lambda k: X[k], 9, 1),
        (lambda k: X.gather(0, k), 9, 1),
        (lambda k: F.embedding(k, X[:, None]), 9, 1),
    ],
)
def test_examples_at_which_it_fails(function: Any, bad: int, good: int) -> None:
    message = refused(function, torch.tensor([bad]))
    assert "give examples at which the function can be computed" in message
    run(function, torch.tensor([good]))


def test_what_linear_algebra_checks() -> None:
    def density(x: Tensor) -> Tensor:
        return torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(x[:2])

    assert "linalg_solve_triangular" in refused(density)
    assert "fails at the values" in refused(lambda x: torch.linalg.cholesky(x.reshape(2, 2)))
    layer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(4, 4))
    assert ".eval()" in refused(lambda x: layer(x))
    layer.eval()
    np.testing.assert_allclose(
        run(lambda x: layer(x), X)["result"], layer(X).detach().numpy(), rtol=1e-5, atol=1e-6
    )
