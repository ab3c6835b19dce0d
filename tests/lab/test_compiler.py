"""A compiled module computes what torch computes, and says what it cannot compile."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("ziglang")

from ganlib import losses, networks, step
from ganlib.divergences import divergence
from ganlib.lab import compiler
from ganlib.lab.compiler import compile_functions

BATCH = 16
EPSILON = 1e-4  # with 1e-8 Adam turns the rounding of tiny gradients into whole steps


def numbers(tensor: Tensor) -> list[Any]:
    return [v if math.isfinite(v) else str(v) for v in tensor.flatten().tolist()]


def result(answer: dict[str, Any], name: str, like: Tensor) -> Tensor:
    values = [float(v) for v in answer["outputs"][name]]
    return torch.tensor(values, dtype=like.dtype).reshape(like.shape)


# --- operations -----------------------------------------------------------------------------

X = torch.tensor([[-1e4, -20.0, -1.5, -0.3], [0.0, 0.2, 2.5, 30.0], [1e-3, 1.0, -1.0, 5.0]])
Y = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.1, 0.2, -0.7, 2.0], [-4.0, 1.0, 2.0, 0.25]])
SPECIAL = torch.tensor([[math.nan, math.inf, -math.inf, 0.0]] * 3)

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "arithmetic": lambda x, y: (2 * x - y / 3 + 1 - (5 - x)) * y,
    "alpha": lambda x, y: torch.add(x, y, alpha=2) + torch.sub(x, y, alpha=3),
    "exponentials": lambda x, y: torch.stack([torch.exp(y), torch.expm1(y), torch.log1p(y.abs())]),
    "logarithms": lambda x, y: torch.log(y.abs()) + torch.log2(y.abs()) - torch.log10(y.abs()),
    "circular": lambda x, y: torch.sin(y) + torch.cos(y) * torch.tan(y) + torch.atan2(x, y),
    "inverse_circular": lambda x, y: torch.asin(y / 9) + torch.acos(y / 9) - torch.atan(y),
    "hyperbolic": lambda x, y: torch.tanh(x) + torch.sinh(y) - torch.cosh(y),
    "activations": lambda x, y: F.leaky_relu(x, 0.2) + torch.relu(x) + torch.sigmoid(x),
    "softplus": lambda x, y: F.softplus(x) - F.logsigmoid(x),
    "normal_cdf": lambda x, y: torch.erf(x) + torch.erfc(y),
    "powers": lambda x, y: x.square() + y**3 + y.abs() ** 0.5 + y.abs().rsqrt() + y.abs() ** y,
    "rounding": lambda x, y: torch.floor(y) + torch.ceil(y) + torch.round(y) + torch.trunc(y),
    "remainder": lambda x, y: torch.remainder(x, y) + torch.fmod(y, 0.3),
    "comparisons": lambda x, y: (x > y) & (y >= 0.2) | (x == 1) | ~(x < 0),
    "choice": lambda x, y: torch.where(x > 0, torch.maximum(x, y), torch.minimum(x, y)),
    "clamps": lambda x, y: x.clamp(-1, 2) + y.clamp(min=0.5) + y.clamp(max=0) + y.sign(),
    "sums": lambda x, y: y.sum() + y.sum(0) + y.sum(1, keepdim=True) + y.mean((0, 1)),
    "means": lambda x, y: y.mean(dim=0) + y.mean(),
    "extremes": lambda x, y: y.amax(1) + y.amin(1) - y.amax() * y.amin(),
    "products": lambda x, y: y.prod() + y.prod(1).sum(),
    "quantifiers": lambda x, y: (y > 0).any(1) & ~(y > 2.5).any(1),
    "running": lambda x, y: y.cumsum(0) + y.cumsum(1),
    "softmax": lambda x, y: y.exp() / y.exp().sum(1, keepdim=True),
    "norms": lambda x, y: torch.linalg.vector_norm(y, dim=1),
    "views": lambda x, y: x.T.reshape(2, 6)[:, ::2] + y[1:, 1:].unsqueeze(0)[0],
    "joins": lambda x, y: torch.cat([x, y.T.reshape(3, 4)[:, :1], torch.ones(3, 2)], dim=1),
    "grid": lambda x, y: torch.cartesian_prod(torch.linspace(0, 1, 5), torch.arange(3.0)) * y[0, 0],
    "constants": lambda x, y: x * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.zeros(3, 4) + math.pi,
    "product": lambda x, y: x @ y.T @ torch.ones(3, 9) + (y.T @ y)[0, 0],
    "double": lambda x, y: (x.double().exp().log1p() + 1e-12).sum(1),
    "integers": lambda x, y: (y.long() * 3 - 7).float() / 2 + y.int(),
    "slope": lambda x, y: torch.func.grad(lambda t: (t[:, 1].sum() * t[0, 2:]).sum())(y),
    "strided": lambda x, y: x.T * y.T,
    "untouched": lambda x, y: x,
}  # fmt: skip


def _wrap(name: str) -> Callable[[Tensor, Tensor], Any]:
    return lambda x, y: FUNCTIONS[name](x, y)


@pytest.fixture(scope="module")
def operations() -> compiler.Module:
    return compile_functions({name: (_wrap(name), (X, Y)) for name in FUNCTIONS})


@pytest.mark.parametrize("inputs", ["finite", "special"])
def test_operations_are_torchs(operations: compiler.Module, run: Any, inputs: str) -> None:
    x = X if inputs == "finite" else SPECIAL
    calls = [
        {"function": name, "set": {"x": numbers(x), "y": numbers(Y)}} for name in FUNCTIONS
    ]  # fmt: skip
    for name, answer in zip(FUNCTIONS, run(operations, calls), strict=True):
        expected = FUNCTIONS[name](x, Y)
        got = result(answer, "result", expected)
        torch.testing.assert_close(
            got, expected, rtol=2e-5, atol=1e-6, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
        )
        assert answer["outputs"] is not None


def test_the_browser_gives_the_same_bits_as_node(operations: compiler.Module, run: Any) -> None:
    calls = [{"function": name, "set": {"x": numbers(X), "y": numbers(Y)}} for name in FUNCTIONS]
    assert run(operations, calls) == run(operations, calls, where="browser")


# --- the step -------------------------------------------------------------------------------

DIVERGENCES: dict[str, dict[str, float]] = {
    "total_variation": {}, "kl": {}, "reverse_kl": {}, "pearson": {}, "neyman": {},
    "squared_hellinger": {}, "jeffreys": {}, "jensen_shannon": {},
    "weighted_jensen_shannon": {"pi": 0.3}, "gan": {}, "alpha": {"alpha": 0.5},
}  # fmt: skip
GAMES: dict[str, tuple[losses.Loss, Any]] = {
    "minimax": (losses.minimax(), None),
    "non_saturating": (losses.non_saturating(), None),
    "maximum_likelihood": (losses.maximum_likelihood(), None),
    "least_squares": (losses.least_squares(), None),
    "wasserstein": (losses.wasserstein(), None),
    "hinge": (losses.hinge(), None),
    "wgan_gp": (losses.wasserstein(), step.gradient_penalty),
    "gan_gp": (losses.non_saturating(), step.gradient_penalty),
    "gan_r1": (losses.non_saturating(), step.r1),
    "gan_r2": (losses.non_saturating(), step.r2),
    **{n: (losses.f_gan(divergence(n, **own)), None) for n, own in DIVERGENCES.items()},
}


def _game(name: str) -> step.Step:
    loss, penalty = GAMES[name]
    generator = networks.mlp(2, 8, 8, 2, seed=1)
    return step.Step(generator, networks.mlp(2, 8, 8, 1, seed=2), loss, penalty=penalty)


def _draw(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "real": torch.randn(BATCH, 2, generator=rng) + 1,
        "latent": torch.randn(BATCH, 2, generator=rng),
        "mix": torch.rand(BATCH, 1, generator=rng),
    }


def _players(game: step.Step) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def discriminator(state, real, latent, mix, settings):  # type: ignore[no-untyped-def]
        return game.discriminator_step(state, real, latent, mix, settings)

    def generator(state, latent, settings):  # type: ignore[no-untyped-def]
        return game.generator_step(state, latent, settings)

    return discriminator, generator


@pytest.fixture(scope="module")
def games() -> compiler.Module:
    functions: dict[str, Any] = {}
    for name in GAMES:
        game = _game(name)
        discriminator, generator = _players(game)
        drawn, settings = _draw(0), step.settings()
        state = game.initial()
        functions[f"{name}_d"] = (discriminator, (state, *drawn.values(), settings))
        functions[f"{name}_g"] = (generator, (state, drawn["latent"], settings))
    return compile_functions(functions)


@pytest.mark.parametrize("clip", [math.inf, 0.05])
def test_the_compiled_step_is_the_step(games: compiler.Module, run: Any, clip: float) -> None:
    settings = step.settings(epsilon=EPSILON, clip=clip, learning_rate=(1e-3, 2e-3))
    for name in GAMES:
        game = _game(name)
        state = game.initial()
        calls: list[dict[str, Any]] = []
        expected = []
        for i in range(10):
            drawn = _draw(i)
            fed = {k: numbers(v) for k, v in drawn.items()}
            if i == 0:
                fed |= {"state": numbers(state), "settings": numbers(settings)}
            calls += [
                {"function": f"{name}_d", "set": fed},
                {"function": f"{name}_g", "set": {}},
            ]
            for act, given in (
                (game.discriminator_step, tuple(drawn.values())),
                (game.generator_step, (drawn["latent"],)),
            ):
                state, loss = act(state, *given, settings)
                expected.append((state, loss))
        answers = run(games, calls)
        for i in (0, 1, 18, 19):  # both players, after 1 and after 10 steps
            state, loss = expected[i]
            got = result(answers[i], "state", state)
            torch.testing.assert_close(got, state, rtol=1e-4, atol=5e-6, msg=f"{name}, call {i}")
            torch.testing.assert_close(
                result(answers[i], "loss", loss), loss, rtol=1e-4, atol=1e-5, msg=f"{name}, {i}"
            )


# --- the module -----------------------------------------------------------------------------


def test_arguments_of_one_name_are_one_buffer_and_outputs_are_written_back(run: Any) -> None:
    module = compile_functions(
        {
            # What is returned is computed from the old values, also where they are overwritten.
            "swap": (lambda a, b: {"a": b, "b": a}, (torch.zeros(3), torch.zeros(3))),
            "double": (lambda a: {"a": 2 * a, "before": a}, (torch.zeros(3),)),
        }
    )
    first, second, _ = run(
        module,
        [
            {"function": "swap", "set": {"a": [1, 2, 3], "b": [4, 5, 6]}},
            {"function": "double", "run": 2},
            {"function": "swap"},
        ],
    )
    assert first["inputs"] == {"a": [4, 5, 6], "b": [1, 2, 3]}
    assert second["outputs"] == {"a": [16, 20, 24], "before": [8, 10, 12]}


def test_the_module_imports_nothing_and_is_built_the_same_twice(
    operations: compiler.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(compiler.pooch, "os_cache", lambda _: tmp_path)
    again = compile_functions({name: (_wrap(name), (X, Y)) for name in FUNCTIONS})
    assert again.source == operations.source
    assert again.wasm == operations.wasm
    assert len(list(tmp_path.rglob("*.wasm"))) == 1
    sections = _sections(operations.wasm)
    assert 2 not in sections, "an import section"
    assert 0 < operations.size < len(operations.wasm)


def _sections(wasm: bytes) -> set[int]:
    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = wasm[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    assert wasm[:4] == b"\0asm"
    found, at = set(), 8
    while at < len(wasm):
        found.add(wasm[at])
        length, at = number(at + 1)
        at += length
    return found


def _uses_sort(x: Tensor) -> Tensor:
    doubled = 2 * x
    return torch.sort(doubled).values.sum()  # the culprit


def test_an_operation_it_cannot_compile_is_named_with_its_line() -> None:
    with pytest.raises(NotImplementedError, match=r"aten\.sort") as caught:
        compile_functions({"f": (_uses_sort, (torch.zeros(4),))})
    line = _uses_sort.__code__.co_firstlineno + 2
    assert f"line {line} of test_compiler.py" in str(caught.value)
    assert "torch.sort(doubled)" in str(caught.value)


def test_random_draws_inside_a_function_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="pass the noise as an argument"):
        compile_functions({"f": (lambda x: x + torch.randn(3), (torch.zeros(3),))})


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ({"a b": (lambda x: x, (X,))}, ValueError, "cannot name a function"),
        ({"f": (lambda x: [x], (X,))}, TypeError, "returned list"),
        ({"f": (lambda x: x.half().float(), (X,))}, NotImplementedError, "float16"),
        ({"f": (lambda x: {"x": x.sum()}, (X,))}, ValueError, "keeps its form"),
        ({"f": (lambda x: x, (X.half(),))}, ValueError, "x has dtype torch.float16"),
        (
            {"f": (lambda x: x, (X,)), "g": (lambda x: x, (X[0],))},
            ValueError,
            "arguments of one name are one buffer",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused(
    functions: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compile_functions(functions)


def test_without_zig_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install ziglang"):
        compile_functions({"f": (lambda x: x + 1, (X,))})


def test_the_library_needs_neither_zig_nor_anywidget() -> None:
    program = (
        "import sys; sys.modules['ziglang'] = sys.modules['anywidget'] = None\n"
        "import ganlib, ganlib.lab.compiler; print(ganlib.lab.compiler.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "ganlib.lab.compiler", done.stderr


# --- noise ----------------------------------------------------------------------------------


def _philox(counter: list[int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 again, in Python's unbounded integers."""
    x, (k0, k1), mask = list(counter), key, 0xFFFFFFFF
    for _ in range(10):
        p, q = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(q >> 32) ^ x[1] ^ k0, q & mask, (p >> 32) ^ x[3] ^ k1, p & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return x


def test_noise_is_philox_and_box_muller(run: Any) -> None:
    # The authors' own test vectors (Random123, kat_vectors).
    assert _philox([0] * 4, (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    top = 0xFFFFFFFF
    assert _philox([top] * 4, (top, top)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    count, seed, stream = 4097, 4_000_000_007, 5
    module = compile_functions({"f": (lambda z: z.mean(), (torch.zeros(count),))}, noise=True)
    uniform, normal, other = run(
        module,
        [
            {"function": "f", "draw": [["uniform", "z", seed, stream]]},
            {"function": "f", "draw": [["normal", "z", seed, stream]]},
            {"function": "f", "draw": [["normal", "z", seed, stream + 1]]},
        ],
    )
    words = [w for i in range(0, count, 4) for w in _philox([i // 4, 0, 0, 0], (seed, stream))]
    expected = torch.tensor([((w >> 9) + 0.5) / 2**23 for w in words][:count], dtype=torch.float64)
    got = torch.tensor(uniform["inputs"]["z"], dtype=torch.float64)
    assert torch.equal(got, expected)
    assert got.min() > 0
    assert got.max() < 1
    radius = (-2 * expected[:-1:2].log()).sqrt()
    turn = 2 * math.pi * expected[1::2]
    drawn = torch.tensor(normal["inputs"]["z"], dtype=torch.float64)
    torch.testing.assert_close(drawn[:-1:2], radius * turn.cos(), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(drawn[1::2], radius * turn.sin(), rtol=1e-5, atol=2e-6)
    assert abs(drawn.mean()) < 0.06
    assert abs(drawn.std() - 1) < 0.05
    assert normal["inputs"]["z"] != other["inputs"]["z"]
