"""The module gives the same bits in Python as in Node and in the browser."""

from __future__ import annotations

import base64
import gc
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")

import wasmtime

from ganlib import losses, networks, penalties
from ganlib.lab import flat, runtime
from ganlib.lab.compiler import Buffer, Module, Signature, compile_functions
from ganlib.lab.runtime import start

BATCH = 16


def same_bits(view: np.ndarray, values: list[Any]) -> None:
    expected = np.array([float(v) for v in values]).astype(view.dtype).reshape(view.shape)
    np.testing.assert_array_equal(view, expected)


def special(x: Tensor, t: Tensor) -> dict[str, Tensor]:
    return {
        "exp": x.exp(),
        "expm1": x.expm1(),
        "log": x.abs().log(),
        "log1p": x.abs().log1p(),
        "sin": x.sin(),
        "cos": x.cos(),
        "tan": x.tan(),
        "tanh": x.tanh(),
        "erf": x.erf(),
        "sigmoid": x.sigmoid(),
        "power": x.abs() ** 1.7,
        "mean": x.mean(),
        "double_exp": t.exp(),
        "double_sin": t.sin(),
        "double_log": t.abs().log(),
        "double_tanh": t.tanh(),
        "product": x @ x.T,
        "integer": (x * 1000).long(),
        "narrow": x.int(),
        "positive": x > 0,
    }


@pytest.mark.parametrize("where", ["", "browser"])
def test_special_functions_have_the_bits_of_v8(run: Any, where: str) -> None:
    rng = torch.Generator().manual_seed(1)
    x = 10 * torch.randn(37, 23, generator=rng)
    t = 10 * torch.randn(41, dtype=torch.float64, generator=rng)
    module = compile_functions({"special": (special, (x, t))})
    f = start(module).functions["special"]
    f.inputs["x"][...] = x
    f.inputs["t"][...] = t
    f.run()
    fed = {"x": x.flatten().tolist(), "t": t.tolist()}
    (answer,) = run(module, [{"function": "special", "set": fed}], where=where)
    assert set(answer["outputs"]) == set(f.outputs)
    for name, values in answer["outputs"].items():
        same_bits(f.outputs[name], values)
    for name, expected in special(x, t).items():  # and they are torch's numbers
        torch.testing.assert_close(
            torch.from_numpy(f.outputs[name].copy()), expected, rtol=2e-5, atol=1e-4
        )


def test_noise_has_the_bits_of_v8(run: Any) -> None:
    module = compile_functions({"f": (lambda z: z.sum(), (torch.zeros(1001),))}, noise=True)
    running = start(module)
    f = running.functions["f"]
    for kind in ("uniform", "normal"):
        for seed, stream in ((0, 0), (4_000_000_007, 5), (2**32 - 1, 2**31)):
            running.draw(kind, f.inputs["z"], seed, stream)
            f.run()
            (answer,) = run(module, [{"function": "f", "draw": [[kind, "z", seed, stream]]}])
            same_bits(f.inputs["z"], answer["inputs"]["z"])
            same_bits(f.outputs["result"], answer["outputs"]["result"])
    first = f.inputs["z"].copy()
    running.draw("normal", f.inputs["z"], -1, 2**31 + 2**32)  # modulo 2**32, as `>>> 0`
    np.testing.assert_array_equal(f.inputs["z"], first)
    running.draw("normal", f.inputs["z"], 7, 2**31)
    assert not np.array_equal(f.inputs["z"], first)


def test_ten_training_steps_have_the_bits_of_v8(run: Any) -> None:
    game = flat.FlatStep(
        networks.mlp(2, 8, 8, 2, seed=1),
        networks.mlp(2, 8, 8, 1, seed=2),
        losses.non_saturating(),
        penalty=penalties.gradient_penalty,
    )
    state, settings = game.initial(), flat.settings()
    real, latent, mix = torch.zeros(BATCH, 2), torch.zeros(BATCH, 2), torch.zeros(BATCH, 1)

    def d(state, real, latent, mix, settings):  # type: ignore[no-untyped-def]
        return game.discriminator_step(state, real, latent, mix, settings)

    def g(state, latent, settings):  # type: ignore[no-untyped-def]
        return game.generator_step(state, latent, settings)

    module = compile_functions(
        {"d": (d, (state, real, latent, mix, settings)), "g": (g, (state, latent, settings))},
        noise=True,
    )
    running = start(module)
    players = running.functions
    players["d"].inputs["state"][...] = state
    players["d"].inputs["settings"][...] = settings
    calls: list[dict[str, Any]] = []
    for i in range(10):
        draws = [["normal", "real", 3, i], ["normal", "latent", 4, i], ["uniform", "mix", 5, i]]
        calls += [{"function": "d", "draw": draws}, {"function": "g"}]
        for kind, name, seed, stream in draws:
            running.draw(kind, players["d"].inputs[name], seed, stream)
        players["d"].run()
        players["g"].run()
    finite = [v if math.isfinite(v) else str(v) for v in settings.tolist()]
    calls[0]["set"] = {"state": state.tolist(), "settings": finite}
    answers = run(module, calls)
    assert not np.array_equal(players["g"].inputs["state"], state.numpy())
    same_bits(players["g"].outputs["state"], answers[-1]["outputs"]["state"])
    same_bits(players["g"].outputs["loss"], answers[-1]["outputs"]["loss"])
    same_bits(players["d"].outputs["loss"], answers[-2]["outputs"]["loss"])


def test_views_have_the_form_of_the_tensors_and_outlive_the_runtime() -> None:
    module = compile_functions(
        {
            "f": (lambda x, n, b: {"y": 2 * x, "n": n + 1}, (
                torch.zeros(2, 3), torch.tensor(0), torch.tensor(True),
            )),
            "g": (lambda x: {"mean": x.double().mean()}, (torch.zeros(2, 3),)),
        }
    )  # fmt: skip
    running = start(module)
    f, g = running.functions["f"], running.functions["g"]
    assert {k: (v.shape, str(v.dtype)) for k, v in f.inputs.items()} == {
        "x": ((2, 3), "float32"),
        "n": ((), "int64"),
        "b": ((), "bool"),
    }
    assert f.outputs["y"].shape == (2, 3)
    assert g.outputs["mean"].dtype == np.float64
    f.inputs["x"][...] = np.arange(6).reshape(2, 3)
    for count in (1, 2, 3):  # an output with the name of an argument is written back there
        f.run()
        assert f.inputs["n"] == count
    g.run()  # one name, one buffer: g reads what was written through f
    assert g.outputs["mean"] == 2.5
    y = f.outputs["y"]
    del running, f, g
    gc.collect()
    _ = [start(module) for _ in range(20)]  # fresh memories, on top of a freed one if it were
    np.testing.assert_array_equal(y, 2 * np.arange(6).reshape(2, 3))


def test_two_runs_of_a_module_share_nothing_and_compile_it_once() -> None:
    module = compile_functions({"f": (lambda x: {"x": x + 1}, (torch.zeros(3),))})
    first, second = start(module), start(module)
    assert runtime._compiled(module.wasm) is runtime._compiled(bytes(bytearray(module.wasm)))
    first.functions["f"].run()
    first.functions["f"].run()
    second.functions["f"].run()
    assert first.functions["f"].inputs["x"].tolist() == [2, 2, 2]
    assert second.functions["f"].inputs["x"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("unreachable", "unreachable"),
        ("(drop (i32.load (i32.const 999999)))", "out of bounds"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
    ],
)
def test_a_trap_names_the_function_and_the_reason(body: str, reason: str) -> None:
    text = (
        f'(module (memory (export "memory") 1) (func (export "run_f") {body}) '
        '(func (export "address") (param i32) (result i32) (i32.const 64)))'
    )
    form = Buffer(0, (2,), "float32")
    module = Module(bytes(wasmtime.wat2wasm(text)), {"f": Signature({"x": form}, {})}, "")
    with pytest.raises(RuntimeError, match=rf"stopped in the function f: .*{reason}"):
        start(module).functions["f"].run()


def test_draw_refuses_what_it_cannot_fill() -> None:
    shapes = (torch.zeros(4, 2), torch.zeros(3, dtype=torch.float64))
    loud = start(compile_functions({"f": (lambda z, t: z, shapes)}, noise=True))
    silent = start(compile_functions({"f": (lambda z, t: z, shapes)}))
    z, t = loud.functions["f"].inputs.values()
    for running, kind, array, message in (
        (loud, "cauchy", z, "draw one of uniform, normal"),
        (silent, "normal", silent.functions["f"].inputs["z"], "noise=True"),
        (loud, "normal", t, "dtype float64"),
        (loud, "normal", z[:, 0], r"shape \(4,\)"),
        (loud, "normal", np.zeros(3, np.float32), "view of this module's memory"),
        (loud, "normal", silent.functions["f"].inputs["z"], "view of this module's memory"),
    ):
        with pytest.raises(ValueError, match=message):
            running.draw(kind, array, 1, 2)
    assert not z.any()


def test_without_wasmtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = compile_functions({"f": (lambda x: x + 1, (torch.zeros(1),))})
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install wasmtime"):
        start(module)


def test_a_process_that_ends_with_a_running_module_ends_quietly() -> None:
    module = compile_functions({"f": (lambda x: x + 1, (torch.zeros(2),))})
    given = [base64.b64encode(module.wasm).decode(), json.dumps(module.metadata())]
    program = (
        "import base64, json, sys\n"
        "from ganlib.lab.compiler import Buffer, Module, Signature\n"
        "from ganlib.lab.runtime import start\n"
        "read = lambda d: {k: Buffer(v['index'], tuple(v['shape']), v['dtype'])"
        " for k, v in d.items()}\n"
        "functions = {k: Signature(read(v['inputs']), read(v['outputs']))"
        " for k, v in json.loads(sys.argv[2]).items()}\n"
        "f = start(Module(base64.b64decode(sys.argv[1]), functions, '')).functions['f']\n"
        "f.run(); print(f.outputs['result'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True)
    assert done.stdout.strip() == "[1.0, 1.0]", done.stderr
    assert done.stderr == ""
