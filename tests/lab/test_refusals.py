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
