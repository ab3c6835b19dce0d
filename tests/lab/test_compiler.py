"""A compiled module computes what torch computes, and says what it cannot compile."""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("ziglang")

from ganlib import losses, networks, penalties
from ganlib.divergences import divergence
from ganlib.lab import compiler, flat
from ganlib.lab.compiler import build, cache, compile_functions, write

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
    "softmax": lambda x, y: y.softmax(1) + x.log_softmax(0) + x.logsumexp(1, keepdim=True),
    "norms": lambda x, y: torch.linalg.vector_norm(y, dim=1) + torch.linalg.vector_norm(y),
    "variances": lambda x, y: y.var(1) + y.std(1, correction=0) + y.var() + torch.var_mean(y)[1],
    "smooth": lambda x, y: F.elu(x) + F.silu(y) + F.gelu(y) + F.softplus(y, beta=2) + F.selu(y),
    "smooth_slope": lambda x, y: torch.func.grad(
        lambda t: (F.elu(t) + F.silu(t) + F.gelu(t) + F.softplus(t) + t.softmax(1)).mul(x).sum()
    )(y),
    "largest": lambda x, y: x.max(1).values + y.min(1).values * x.max(1).indices + x.argmin(1),
    "place": lambda x, y: torch.stack([x.argmax(), y.argmin(), x[:, 1].argmax()]),
    "sorted": lambda x, y: x.sort(1).values + y.sort(0, descending=True).values + x.sort(0).indices,
    "order": lambda x, y: x.argsort(dim=1, stable=True) + y.flatten().argsort()[:4],
    "top": lambda x, y: y.topk(2, 1).values + y.topk(2, 1, largest=False).values,
    "mirrored": lambda x, y: x.flip(0) + y.flip(0, 1),
    "gathered": lambda x, y: x.gather(1, y.argsort(1)) + torch.take_along_dim(y, x.argsort(0), 0),
    "selected": lambda x, y: x[y[:, 0].argsort()] + y[:, x[0].argsort()],
    "selected_pairs": lambda x, y: x[y[:, 0].argsort(), y[:, 1].argsort()],
    "selected_block": lambda x, y: x.T[y[0].argsort()[:, None], x[:, 0].argsort()[None]],
    "selected_axis": lambda x, y: x.index_select(1, y[0].argsort()),
    "selected_slope": lambda x, y: torch.func.grad(
        lambda t: (t[:, y[0].argsort()] * x + t.sort(1).values * y).sum() + t.max(1).values.sum()
    )(y),
    "running_double": lambda x, y: x.double().cumsum(1),
    "product_double": lambda x, y: x.double() @ y.double().T
    + torch.addmm(torch.ones(3).double(), x.double(), y.double().T),
    "product_batch": lambda x, y: (x[:, :, None] @ y[:, None, :])[:, :, :1],
    "product_sum": lambda x, y: torch.addmm(x[:, :3], x, y.T, beta=2, alpha=3),
    "distances": lambda x, y: torch.cdist(x, y),
    "repeats": lambda x, y: x.repeat(2, 1) + y.repeat_interleave(2, 0) + x.roll(1, 0).repeat(2, 1),
    "triangles": lambda x, y: (x.T @ y).triu() + (y.T @ y).tril(-1) + torch.eye(4),
    "areas": lambda x, y: torch.trapezoid(x, y) + x.diff(dim=1).sum(),
    "expensive_choice": lambda x, y: torch.where(
        y > 0, torch.where(x > 0, x.log() + y, y.exp()), torch.where(x > 1, x.sqrt(), x.exp() * y)
    ) + x.exp(),
    "shared": lambda x, y: (lambda t: t * t + torch.where(x > 0, t, t.exp()) / (1 + t))(y.exp()),
    "views": lambda x, y: x.T.reshape(2, 6)[:, ::2] + y[1:, 1:].unsqueeze(0)[0],
    "joins": lambda x, y: torch.cat([x, y.T.reshape(3, 4)[:, :1], torch.ones(3, 2)], dim=1),
    "grid": lambda x, y: torch.cartesian_prod(torch.linspace(0, 1, 5), torch.arange(3.0)) * y[0, 0],
    "parts_of_a_constant": lambda x, y: sum(
        part * x for part in torch.arange(16.0).reshape(4, 4).sin().split(1)
    ),
    "chunks_of_a_constant": lambda x, y: x * torch.arange(8.0).exp().chunk(2)[1] + y.mean(),
    "constants": lambda x, y: x * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.zeros(3, 4) + math.pi,
    "product": lambda x, y: x @ y.T @ torch.ones(3, 9) + (y.T @ y)[0, 0],
    "product_odd": lambda x, y: torch.cat([x, y]).reshape(2, 12)
    @ (y.flatten() * torch.arange(1.0, 12)[:, None]).T,
    "product_thin": lambda x, y: (y.flatten() * torch.arange(1.0, 12)[:, None]).T
    @ (y.flatten()[:11, None] + torch.ones(2)),
    "product_row": lambda x, y: (y.flatten() * torch.arange(1.0, 12)[:, None]) @ y.reshape(12, 1),
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


# Functions of one tensor of any shape, float or integer.
GENERIC: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: (x * 2 + 1 - x * x).sum(-1, keepdim=True) + x,
    "sort": lambda x: x.sort(dim=-1, stable=True).values,
    "sort_first": lambda x: x.sort(dim=0, descending=True, stable=True).indices,
    "argmax": lambda x: x.argmax(-1, keepdim=True) + x.argmin(0),
    "extremes": lambda x: x.amax(-1) - x.min(-1).values,
    "cumsum": lambda x: x.cumsum(0) + x.cumsum(-1),
    "flip": lambda x: x.flip(0) - x.flip(-1),
    "gather": lambda x: x.gather(0, x.argsort(dim=0, stable=True)),
    "index": lambda x: x[torch.tensor([0, -1])],
    "select": lambda x: x.index_select(-1, x.reshape(-1)[:2].long()),
    "total": lambda x: x.sum() + x.prod(-1) + x.any(-1),
    "product": lambda x: x.reshape(-1, x.shape[-1]) @ x.reshape(-1, x.shape[-1]).T,
    "choice": lambda x: torch.where(x > 0, x, -x).clamp(max=3),
}
SHAPES = [(1,), (7,), (2, 9), (3, 1, 4), (17, 2)]


def _on(function: Callable[[Tensor], Tensor], name: str) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        return function(x)

    # Arguments of one name are one buffer: another form needs another name.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY)]
    )
    return call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_operations_in_every_shape(run: Any, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    functions: dict[str, Any] = {}
    calls, expected = [], []
    for shape in SHAPES:
        for name, function in GENERIC.items():
            if name == "product" and dtype == torch.int64:
                continue
            # Few values: ties, and indices that fit the last axis.
            x = torch.randint(0, shape[-1], shape, generator=rng).to(dtype)
            argument = f"x_{'_'.join(map(str, shape))}"
            functions[f"{name}_{argument}"] = (_on(function, argument), (x,))
            calls.append({"function": f"{name}_{argument}", "set": {argument: numbers(x)}})
            expected.append(function(x))
    for call, answer, value in zip(
        calls, run(compile_functions(functions), calls), expected, strict=True
    ):
        got = result(answer, "result", value)
        torch.testing.assert_close(
            got, value, rtol=1e-6, atol=0, msg=lambda m, c=call: f"{c['function']}: {m}"
        )


def test_fused_loops_give_the_bits_of_single_loops(
    operations: compiler.Module, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "fusible", lambda graph, constants: set())
    single = compile_functions({name: (_wrap(name), (X, Y)) for name in FUNCTIONS})
    assert single.source.count("restrict") > operations.source.count("restrict")
    calls = [{"function": name, "set": {"x": numbers(X), "y": numbers(Y)}} for name in FUNCTIONS]
    assert run(single, calls) == run(operations, calls)


def test_an_expensive_branch_is_computed_only_where_it_is_taken() -> None:
    module = compile_functions(
        {"f": (lambda x, y: torch.where(x > 0, y.exp().log1p(), y + 1), (X, Y))}
    )
    assert re.search(r"if \(v\d+\) \{[^}]*exp[^}]*log1p[^}]*\} else \{[^}p]*\}", module.source)


def test_equal_loops_are_one_function() -> None:
    def twice(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"a": (x * 3).exp(), "b": (y * 3).exp()}

    module = compile_functions({"f": (twice, (torch.ones(5), torch.ones(9)))})
    assert module.source.count("exp(") == 1


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
    "wgan_gp": (losses.wasserstein(), penalties.gradient_penalty),
    "gan_gp": (losses.non_saturating(), penalties.gradient_penalty),
    "gan_r1": (losses.non_saturating(), penalties.r1),
    "gan_r2": (losses.non_saturating(), penalties.r2),
    **{n: (losses.f_gan(divergence(n, **own)), None) for n, own in DIVERGENCES.items()},
}


MENU = [loss for loss, penalty in GAMES.values() if penalty is None]
PICK = sp.Symbol("k", real=True)


def _menu_game() -> flat.FlatStep:
    players = networks.mlp(2, 8, 8, 2, seed=1), networks.mlp(2, 8, 8, 1, seed=2)
    return flat.FlatStep(*players, losses.one_of(PICK, *MENU), parameters=(PICK,))


def _game(name: str) -> flat.FlatStep:
    loss, penalty = GAMES[name]
    generator = networks.mlp(2, 8, 8, 2, seed=1)
    return flat.FlatStep(generator, networks.mlp(2, 8, 8, 1, seed=2), loss, penalty=penalty)


def _draw(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "real": torch.randn(BATCH, 2, generator=rng) + 1,
        "latent": torch.randn(BATCH, 2, generator=rng),
        "mix": torch.rand(BATCH, 1, generator=rng),
    }


def _players(game: flat.FlatStep) -> tuple[Callable[..., Any], Callable[..., Any]]:
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
        drawn, settings = _draw(0), flat.settings()
        state = game.initial()
        functions[f"{name}_d"] = (discriminator, (state, *drawn.values(), settings))
        functions[f"{name}_g"] = (generator, (state, drawn["latent"], settings))
    return compile_functions(functions)


@pytest.mark.parametrize("clip", [math.inf, 0.05])
def test_the_compiled_step_is_the_step(games: compiler.Module, run: Any, clip: float) -> None:
    settings = flat.settings(epsilon=EPSILON, clip=clip, learning_rate=(1e-3, 2e-3))
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


def _of(player: str, fed: dict[str, Any]) -> dict[str, Any]:
    """What a player takes: the generator's step reads neither data nor mixing weights."""
    return {k: v for k, v in fed.items() if player == "d" or k in ("state", "latent")}


def test_one_step_serves_a_menu_of_losses(games: compiler.Module, run: Any) -> None:
    game = _menu_game()
    discriminator, generator = _players(game)
    drawn, state, settings = _draw(0), game.initial(), flat.settings(parameters=(0,))
    several = compile_functions(
        {
            "d": (discriminator, (state, *drawn.values(), settings)),
            "g": (generator, (state, drawn["latent"], settings)),
        }
    )
    fed = {"state": numbers(state), **{k: numbers(v) for k, v in drawn.items()}}
    names = [name for name, (_, penalty) in GAMES.items() if penalty is None]
    for player in ("d", "g"):
        calls = [
            {"function": player, "set": _of(player, fed) | {"settings": numbers(chosen)}}
            for chosen in (
                flat.settings(epsilon=EPSILON, parameters=(i,)) for i in range(len(names))
            )
        ]
        plain = [
            {
                "function": f"{name}_{player}",
                "set": _of(player, fed) | {"settings": numbers(flat.settings(epsilon=EPSILON))},
            }
            for name in names
        ]
        for name, got, expected in zip(names, run(several, calls), run(games, plain), strict=True):
            assert got["outputs"] == expected["outputs"], name  # to the last bit


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
    monkeypatch.setattr(cache.pooch, "os_cache", lambda _: tmp_path)
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


def _uses_median(x: Tensor) -> Tensor:
    doubled = 2 * x
    return torch.median(doubled) + 1  # the culprit


def _sorts_many(x: Tensor) -> Tensor:
    return x.repeat(9999).sort().values[0]  # the culprit


@pytest.mark.parametrize(
    ("function", "below", "message", "code"),
    [
        (_uses_median, 2, r"aten\.median", "torch.median(doubled)"),
        (_sorts_many, 1, r"aten\.sort.*39996 elements", "sort().values"),
    ],
)
def test_an_operation_it_cannot_compile_is_named_with_its_line(
    function: Any, below: int, message: str, code: str
) -> None:
    with pytest.raises(NotImplementedError, match=message) as caught:
        compile_functions({"f": (function, (torch.zeros(4),))})
    line = function.__code__.co_firstlineno + below
    assert f"line {line} of test_compiler.py" in str(caught.value)
    assert code in str(caught.value)


def test_random_draws_inside_a_function_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="pass the noise as an argument"):
        compile_functions({"f": (lambda x: x + torch.randn(3), (torch.zeros(3),))})


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ({"a b": (lambda x: x, (X,))}, ValueError, "cannot name a function"),
        ({"f": (lambda x: [x], (X,))}, TypeError, "returned list"),
        ({"f": (lambda x: x.half().float(), (X,))}, NotImplementedError, "float16"),
        ({"f": (lambda x: x[x > 0].sum(), (X,))}, NotImplementedError, "by a mask"),
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
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
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
