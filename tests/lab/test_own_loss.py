"""The reader's own loss: formulas that are typed train what they say, in Python and in scripts."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from torch import Tensor

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")

from conftest import in_browser, in_node

from ganlib.lab import assets, formula, gan, laboratory, runtime
from ganlib.lab.gan import lessons
from ganlib.lab.laboratory import AXIS, LOSSES, OWN

# --- the grammar ------------------------------------------------------------------------------

REFUSED = {
    "": "something is missing at the end (character 1)",
    "s +": "something is missing at the end (character 4)",
    "2s": "write the multiplication: 2 * s (character 2)",
    "(s 2)": "write the multiplication: s * 2 (character 4)",
    "2 (s)": "write the multiplication: 2 * ( (character 3)",
    "D(s)": "D takes no bracket: it is sigmoid(s) (character 2)",
    "log s": "log needs a bracket: log(...) (character 5)",
    "(s-1": "this bracket is not closed (character 1)",
    "2 * exp(s": "this bracket is not closed (character 8)",
    "s)": "this bracket was never opened (character 2)",
    "foo(s)": "foo is not known; use s, D, e, pi, exp, log, sqrt, abs, tanh, sigmoid, softplus, "
    "relu, max, min (character 1)",
    "toString": "toString is not known; use s, D, e, pi, exp, log, sqrt, abs, tanh, sigmoid, "
    "softplus, relu, max, min (character 1)",
    "s^s": "an exponent is a number, as in s^2 (character 3)",
    "s^-": "an exponent is a number, as in s^2 (character 4)",
    "max(s)": "max takes two values, as in max(0, s) (character 6)",
    "min s": "min needs a bracket: min(...) (character 5)",
    "max(1, 2, 3)": "a comma stands only in max and min (character 9)",
    "(s, 1)": "a comma stands only in max and min (character 3)",
    "s, 1": ", has no meaning here (character 2)",
    "s = 1": "= has no meaning here (character 3)",
    "* s": "a value is missing before * (character 1)",
    "s + $": "a value is missing before $ (character 5)",
    "s + \U0001f600": "a value is missing before \U0001f600 (character 5)",
    "\U0001f600 s": "a value is missing before \U0001f600 (character 1)",
    "1e99": "a number is at most 1e30 (character 1)",
    "s" * 201: "a formula has at most 200 characters, this one 201",
    "s" + "+s" * 40: "a formula has at most 64 operations, this one 81",
    "s+(" * 8 + "s" + ")" * 8: "a formula holds at most 8 values at once, this one 9; put the "
    "deepest bracket first",
    "(" * 100 + "s" + ")" * 99: "this bracket is not closed (character 1)",
}  # fmt: skip
TAKEN = [
    "s", "-s^2", "s^-2", "s^.5", "s^0", "s^1", "--s", "- -1", "+s", "2 * pi * e", "log(D)", "ln(D)",
    "log(1 - D)", "log(1 - sigmoid(2 * s))", "log(1 + exp(s))", "relu(1 - s)", "max(0, min(s, 1))",
    "1e-3 * s", "1.5E+2 / s", " s\t+\n1 ", "(" * 90 + "s" + ")" * 90, "s+(" * 7 + "s" + ")" * 7,
    "tanh(s) / (1 + exp(s))", "abs(s - 1)", "sqrt(1 + s^2)", "1 - 2 - s", "8 / 4 / s",
    "\u2212s \u2212 s^\u22122",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_formula_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(REFUSED[text])}$"):
        formula.program(text)


def test_a_formula_that_the_page_prints_can_be_typed() -> None:
    assert formula.program("\u2212s \u2212 s^\u22122") == formula.program("-s - s^-2")


def test_probabilities_are_computed_as_logits() -> None:
    """Goodfellow's own formulas stay finite where float32 has D = 1."""
    far = torch.tensor([-90.0, 90.0])
    for text, same in [
        ("log(D)", "-softplus(-s)"), ("log(1 - D)", "-softplus(s)"),
        ("-ln(1 - sigmoid(2 * s))", "softplus(2 * s)"), ("log(1 + exp(s))", "softplus(s)"),
    ]:  # fmt: skip
        one, other = (formula.formula(far, p) for p in formula.programs([text, same]))
        assert torch.equal(one[0], other[0]), text
        assert torch.equal(one[1], other[1]), text
        assert torch.isfinite(torch.stack(one)).all(), text


def _texts(count: int) -> list[str]:
    """Texts that are formulas, or nearly."""
    draw = random.Random(0)
    pieces = [
        *"sDe()+-*/^,. 12", "exp(", "max(", "0,", "log(", "1e2", "pi", "relu(", "foo", "é", "\u2212"
    ]  # fmt: skip
    return ["".join(draw.choices(pieces, k=draw.randint(1, 9))) for _ in range(count)]


def test_the_script_reads_formulas_as_python_does(tmp_path: Path) -> None:
    texts = [*REFUSED, *TAKEN, *_texts(3000)]
    mine: list[Any] = []
    for text in texts:
        try:
            mine.append([list(instruction) for instruction in formula.program(text)])
        except ValueError as refused:
            mine.append(str(refused))
    assert sum(isinstance(found, list) for found in mine) > 100
    script = assets._Files({}).joined("formula.js")
    program = f"""{script}
    const answer = {json.dumps(texts)}.map((text) => {{
      try {{ return program(text); }} catch (error) {{ return error.message; }}
    }});"""
    answer = in_node(program, tmp_path) if shutil.which("node") else in_browser(program)
    for text, one, other in zip(texts, mine, answer, strict=True):
        assert one == other, text


# --- values and slopes ------------------------------------------------------------------------

_ATOMS = strategies.sampled_from(["s", "D", "2", "0.5", "pi", "e", "(s - 1)"])


def _grown(inner: Any) -> Any:
    calls = strategies.sampled_from(
        ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "softplus", "relu"]
    )
    pairs, powers = strategies.sampled_from(["max", "min"]), ["2", "3", "-1", "0.5"]
    return strategies.one_of(
        strategies.builds("{}({})".format, calls, inner),
        strategies.builds("({} {} {})".format, inner, strategies.sampled_from("+-*/"), inner),
        strategies.builds("{}({}, {})".format, pairs, inner, inner),
        strategies.builds("({})^{}".format, inner, strategies.sampled_from(powers)),
        strategies.builds("(-{})".format, inner),
    )  # fmt: skip


FORMULAS = strategies.recursive(_ATOMS, _grown, max_leaves=6).filter(
    lambda text: len(text) <= formula.LONGEST
)
_TORCH = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "max": torch.maximum,
    "min": torch.minimum, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "abs": torch.abs,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "softplus": torch.nn.functional.softplus,
    "neg": torch.neg,
}  # fmt: skip


def _by_torch(tree: Any, s: Tensor) -> Tensor:
    """A parsed formula by torch's own functions, for autograd."""
    name, *rest = tree
    if name == "s":
        return s
    if name == "number":
        return 0 * s + rest[0]
    if name == "power":
        return _by_torch(rest[0], s).pow(rest[1])
    return _TORCH[name](*(_by_torch(operand, s) for operand in rest))


@pytest.fixture(scope="module")
def curves() -> Any:
    """Values and slopes of a text at numbers, by the compiled module: the page's own bits."""
    function = runtime.start(laboratory.laboratory(own=True)).functions["curves"]

    def call(text: str, s: Tensor) -> tuple[Tensor, Tensor]:
        packed = formula.programs([text] * 3).flatten().numpy()
        function.inputs["settings"][-len(packed) :] = packed
        function.inputs["axis"][: len(s)] = s.numpy()
        function.run()
        values, slopes = (function.outputs[k][2, : len(s)].copy() for k in ("values", "slopes"))
        return torch.from_numpy(values), torch.from_numpy(slopes)

    return call


@given(text=FORMULAS)
@settings(max_examples=300, deadline=None)
def test_slopes_are_autograds(curves: Any, text: str) -> None:
    try:
        code = formula.programs([text])[0]
    except ValueError as refused:
        assert "at most" in str(refused)  # noqa: PT017
        return
    # No point is a kink of the atoms above, nor near one.
    s = torch.linspace(-3.07, 4.11, AXIS)
    wide = s.double().requires_grad_()
    value = _by_torch(formula._Parser(text).whole(), wide)
    (slope,) = torch.autograd.grad(value.sum(), wide, allow_unused=True, materialize_grads=True)
    narrow = s.clone().requires_grad_()
    mine = formula.formula(narrow, code)
    (flowed,) = torch.autograd.grad(mine[0].sum(), narrow)
    assert torch.equal(flowed, mine[1]) or flowed.isnan().any()
    # Where single precision can tell: neither beyond its range nor a small difference of big terms.
    for values, slopes in (mine, curves(text, s)):
        ok = (value.abs() < 1e4) & (value.abs() > 1e-4) & (slope.abs() < 1e4)
        ok &= values.isfinite() & slopes.isfinite() & _stable(text, s)
        torch.testing.assert_close(
            values[ok].double(), value[ok].detach(), rtol=2e-3, atol=2e-3, msg=text
        )
        torch.testing.assert_close(slopes[ok].double(), slope[ok], rtol=2e-2, atol=2e-2, msg=text)


def _stable(text: str, s: Tensor) -> Tensor:
    """Where a relative change of s by some last digits changes slopes little: no cancellation."""
    tree = formula._Parser(text).whole()
    found = []
    for shift in (1 - 3e-6, 1 + 3e-6):
        near = (s.double() * shift).requires_grad_()
        value = _by_torch(tree, near)
        (slope,) = torch.autograd.grad(value.sum(), near, allow_unused=True, materialize_grads=True)
        single = s.clone().requires_grad_()
        rounded = _by_torch(tree, single)
        (steep,) = torch.autograd.grad(
            rounded.sum(), single, allow_unused=True, materialize_grads=True
        )
        found.append((slope - steep).abs() < 5e-3 * (1 + slope.abs()))
    return found[0] & found[1]


def test_ties_take_the_slope_of_the_side_that_has_one(curves: Any) -> None:
    at = torch.tensor([1.0])
    for text in ("max(0, 1 - s)", "max(1 - s, 0)", "relu(1 - s)"):
        assert curves(text, at)[1].item() == -1  # as the library's hinge loss
        assert formula.formula(at, formula.programs([text])[0])[1].item() == -1
    assert curves("abs(s - 1)", at)[1].item() == 0


# --- what is trained --------------------------------------------------------------------------


def typed(loss: str, **more: Any) -> dict[str, Any]:
    """The settings with a loss of the menu as formulas; least squares with targets 0, 1, 1."""
    of, targets = LOSSES[loss].loss, {"a": 0, "b": 1, "c": 1}
    texts = {
        name: formula.spell(
            getattr(of, name).subs({s: targets[s.name] for s in of.symbols if s.name in targets})
        )
        for name in formula.NAMES
    }
    return gan.settings(loss=OWN, **texts, **more)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_menus_losses_typed_train_the_same(loss: str) -> None:
    mine, menu = gan.Run(typed(loss, seed=7)), gan.Run(gan.settings(loss=loss, seed=7))
    for _ in range(100):
        mine.both()
        menu.both()
    one, other = mine.record(), menu.record()
    if loss == "squared-hellinger":  # expm1 there, exp - 1 here: other last digits
        assert one.state == pytest.approx(other.state, abs=2e-3)
        assert one.last("divergence") == pytest.approx(other.last("divergence"), abs=0.02)
        return
    assert one.state.tobytes() == other.state.tobytes()
    assert one.arrows.tobytes() == other.arrows.tobytes()
    assert (one.settings["loss"], other.settings["loss"]) == (OWN, loss)
    # Constants may be written otherwise: a loss's value is the same to the last digit or two.
    assert mine.loss == pytest.approx(menu.loss, rel=1e-6)


@pytest.mark.parametrize(("penalty", "pack"), [("gp", 1), ("r1", 2), ("clip", 4)])
def test_it_goes_with_every_penalty_and_pack(penalty: str, pack: int) -> None:
    more = {"penalty": penalty, "pack": pack, "batch": 64}
    mine, menu = (
        gan.Run(typed("wasserstein", **more)),
        gan.Run(gan.settings(loss="wasserstein", **more)),
    )
    for _ in range(20):
        mine.both()
        menu.both()
    assert mine.record().state.tobytes() == menu.record().state.tobytes()


def test_a_run_goes_on_where_its_loss_changes() -> None:
    """To formulas and back, in the middle of a run, gives the bits of the menu's loss alone."""
    menu, mixed = gan.Run(gan.settings(loss="hinge")), gan.Run(gan.settings(loss="hinge"))
    for i in range(60):
        if i in (20, 40):
            mixed.change(typed("hinge") if i == 20 else gan.settings(loss="hinge"))
        menu.both()
        mixed.both()
    one, other = mixed.record(), menu.record()
    assert one.state.tobytes() == other.state.tobytes()
    assert one.samples.tobytes() == other.samples.tobytes()
    assert one.history == other.history
    assert one.floor == other.floor


def test_a_formula_that_leaves_the_numbers_stops_the_run() -> None:
    run = gan.Run(gan.settings(loss=OWN, on_real="log(s)"))
    run.both()
    assert run.diverged


HARNESS = """
const text = (array) => {
  let letters = "";
  for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    letters += String.fromCharCode(byte);
  return btoa(letters);
};
async function harness({ modules, spec, turns }) {
  let run, module;
  for (const { settings, name, steps } of turns) {
    if (name !== module) {
      const bytes = Uint8Array.from(atob(modules[name].wasm), (c) => c.charCodeAt(0));
      run = new Run(await load(bytes, modules[name].metadata), spec, run);
    }
    if (module) run.change(settings);
    else run.reset(settings);
    module = name;
    for (let i = 0; i < steps; i++) run.both();
  }
  const { samples, field, map, arrows, step, history } = run.frame();
  return { step, history, state: text(run.buffer("state")), samples: text(samples),
    field: text(field), map: text(map), arrows: text(arrows) };
}
"""


@pytest.mark.parametrize("where", ["node", "browser"])
def test_scripts_train_formulas_to_python_s_last_bit(where: str, tmp_path: Path) -> None:
    if where == "node" and not shutil.which("node"):
        pytest.skip("there is no Node")
    own = gan.settings(
        loss=OWN, on_real="-log(D) + 0.1 * abs(s)^1.5", on_fake="softplus(s) + tanh(s) / 3",
        of_generator="-log(D) * exp(-s / 9) + sqrt(1 + s^2) / 50",
    )  # fmt: skip
    turns = [(own, 30), (gan.settings(loss="hinge"), 20), ({**own, "on_fake": "max(0, 1 + s)"}, 15)]

    def sent(chosen: dict[str, Any]) -> dict[str, Any]:
        packed = formula.programs([chosen[name] for name in formula.NAMES]).flatten().tolist()
        return chosen | ({"program": packed} if chosen["loss"] == OWN else {})

    used = {laboratory.name_of(1, "none", is_own): laboratory.laboratory(own=is_own)
            for is_own in (False, True)}  # fmt: skip
    given = {
        "spec": gan.GanLab().spec,
        "modules": {
            name: {"wasm": base64.b64encode(m.wasm).decode(), "metadata": m.metadata()}
            for name, m in used.items()
        },
        "turns": [
            {"settings": sent(s), "name": [*used][s["loss"] == OWN], "steps": n} for s, n in turns
        ],
    }  # fmt: skip
    program = (
        f"{assets._Files({}).joined('engine.js')}\n{HARNESS}\n"
        f"const answer = harness({json.dumps(given)});"
    )
    answer = in_browser(program) if where == "browser" else in_node(program, tmp_path)
    run = gan.Run(turns[0][0])
    for chosen, steps in turns:
        run.change(chosen)
        for _ in range(steps):
            run.both()
    mine = run.record()
    assert np.isfinite(mine.state).all()
    assert answer["step"] == mine.step == 65
    for name in ("state", "samples", "field", "map", "arrows"):
        assert base64.b64decode(answer[name]) == getattr(mine, name).tobytes(), name
    assert answer["history"]["divergence"] == mine.history["divergence"]


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"on_real": "2s"}, r"on_real is '2s': write the multiplication: 2 \* s \(character 2\)"),
        ({"of_generator": ""}, "of_generator is '': something is missing at the end"),
        ({"on_fake": 3}, "on_fake is 3: a formula is a text, not int"),
    ],
)
def test_wrong_formulas_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gan.settings(loss=OWN, **wrong)


def test_formulas_not_in_use_leave_the_lessons_counts_alone() -> None:
    plain, other = gan.settings(), gan.settings(on_real="-s")
    assert lessons.digest(plain) == lessons.digest(other)
    assert lessons.digest({**plain, "loss": OWN}) != lessons.digest({**other, "loss": OWN})


def test_the_widget_holds_formulas() -> None:
    lab = gan.GanLab("healthy", loss=OWN, on_real="abs(s - 1)", of_generator="-s")
    assert lab.values["settings"]["on_real"] == "abs(s - 1)"
    with pytest.raises(Exception, match=r"foo is not known"):
        lab.values = {"settings": {"on_fake": "foo(s)"}}
    record = lab.run(5)
    assert record.state.tobytes() != gan.GanLab("healthy").run(5).state.tobytes()
