"""A live figure computes what its function computes, and says what it cannot show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")

from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets import TraitError

from ganlib import lab
from ganlib.lab.figure import Interact

GRID = torch.linspace(-4, 4, 81)
PLANE = torch.cartesian_prod(torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 7))


def shapes(mean: Tensor, scale: Tensor, kind: Tensor, power: Tensor, flip: Tensor, z: Tensor,
           u: Tensor) -> dict[str, Any]:  # fmt: skip
    """Everything a figure can hold,
    moved by every control.

    More words, which are no alternative text.
    """
    q = torch.exp(-(((GRID - mean) / scale) ** 2) / 2) / scale
    sign = torch.where(flip, -1.0, 1.0)
    return {
        "q": lab.Curve(GRID, sign * q, role="fake"),
        "q of power": lab.Curve(GRID, q.abs() ** power, role="theory", dash=True, panel=1),
        "sample": lab.Points(mean + scale * z, u - 2),
        "plane": lab.Field((PLANE[:, 1] * mean + PLANE[:, 0]).reshape(5, 7), (-1, 1, -1, 1),
                           panel=2),
        "shares": lab.Bars(torch.stack([q.mean(), (kind == 1).float()]), ["q", "<1>"], panel=3),
        "which": kind * 10,
        "mass": q.double().sum() * 0.1,
    }  # fmt: skip


CONTROLS: dict[str, Any] = {
    "mean": (-2, 2),
    "scale": lab.Slider(0.1, 10, log=True, label="width", unit="m"),
    "kind": ["one", "two", "three"],
    "power": {"square root": 0.5, "cube": 3},
    "flip": False,
    "z": lab.Noise((40,)),
    "u": lab.Noise((40,), "uniform", value=7, label="Shake"),
}


@pytest.fixture(scope="module")
def widget() -> Interact:
    figure = lab.Figure(
        title="All </script> & more",
        panels=[
            lab.Panel(x=("x", -4, 4), y="height"),
            lab.Panel(),
            lab.Panel(aspect=1),
            lab.Panel(),
        ],
        numbers={"mass": ("nats", ".4g")},
    )
    return lab.interact(shapes, figure, **CONTROLS)


# --- it computes what the function computes -------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    mean=st.floats(-2, 2),
    scale=st.floats(0.1, 10),
    kind=st.integers(0, 2),
    power=st.integers(0, 1),
    flip=st.booleans(),
    z=st.integers(0, 2**32 - 1),
)
def test_evaluate_is_the_function(
    widget: Interact, mean: float, scale: float, kind: int, power: int, flip: bool, z: int
) -> None:
    got = widget.evaluate(mean=mean, scale=scale, kind=kind, power=power, flip=flip, z=z)
    running = widget._running
    drawn = {}
    for stream, (name, how, seed) in enumerate((("z", "normal", z), ("u", "uniform", 7))):
        view = running.functions["figure"].inputs[name]
        running.draw(how, view, seed, stream)
        drawn[name] = torch.from_numpy(view.copy())
    double = {"dtype": torch.float64}
    expected = shapes(
        torch.tensor(mean, **double), torch.tensor(scale, **double), torch.tensor(kind),
        torch.tensor((0.5, 3.0)[power], **double), torch.tensor(flip), **drawn,
    )  # fmt: skip
    assert list(got) == list(expected)
    flat = {
        "q": torch.stack([GRID, expected["q"].y]),
        "q of power": torch.stack([GRID, expected["q of power"].y]),
        "sample": torch.stack([expected["sample"].x, expected["sample"].y]),
        "plane": expected["plane"].values,
        "shares": expected["shares"].values,
        "which": expected["which"],
        "mass": expected["mass"],
    }
    for name, value in flat.items():
        np.testing.assert_allclose(got[name], value.numpy(), rtol=2e-5, atol=1e-6, err_msg=name)
    assert isinstance(got["mass"], float)
    assert got["plane"].shape == (5, 7)


def test_evaluate_keeps_present_values_and_hands_out_copies(widget: Interact) -> None:
    widget.values = {"mean": 1}
    present = widget.evaluate()
    np.testing.assert_array_equal(present["q"], widget.evaluate(mean=1)["q"])
    for name in ("q", "plane", "shares"):
        kept = present[name].copy()
        assert not np.array_equal(widget.evaluate(mean=0)[name], kept)
        np.testing.assert_array_equal(present[name], kept)
    assert widget.values["mean"] == 1  # evaluate sets nothing
    widget.values = {"mean": 0}
    with pytest.raises(ValueError, match=r"mean is 3; set a number from -2 to 2"):
        widget.evaluate(mean=3)
    with pytest.raises(TraitError, match="kind is 3; set the number of an option: 0"):
        widget.values = {"kind": 3}


def test_noise_is_standard_independent_and_repeatable() -> None:
    def sample(a: Tensor, b: Tensor) -> dict[str, Any]:
        """Two samples."""
        return {"pair": lab.Points(a.flatten(), b)}

    widget = lab.interact(sample, a=lab.Noise((500, 8)), b=lab.Noise(4000, "uniform"))
    x, y = widget.evaluate()["pair"]
    assert x.dtype == np.float32
    assert abs(x.mean()) < 0.06
    assert abs(x.std() - 1) < 0.05
    assert abs(y.mean() - 0.5) < 0.02
    assert 0 < y.min() < 0.01
    np.testing.assert_array_equal(widget.evaluate()["pair"], [x, y])
    again = widget.evaluate(a=1)["pair"]
    assert not np.array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], y)  # the other button was not pressed
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.06


def test_two_widgets_share_nothing() -> None:
    def line(slope: Tensor) -> dict[str, Any]:
        """A line."""
        return {"line": lab.Curve(GRID, slope * GRID)}

    first, second = (lab.interact(line, slope=(0, 2)) for _ in range(2))
    first.values = {"slope": 2}
    assert second.values == {"slope": 1}
    assert second.evaluate()["line"][1].max() == 4
    assert first.evaluate()["line"][1].max() == 8


def test_the_default_of_a_parameter_needs_no_control() -> None:
    widget = lab.interact(
        lambda slope, *, shift=2.0: {"line": lab.Curve(GRID, slope * GRID + shift)},
        lab.Figure(alt="A line."),
        slope=(0, 2),
    )
    assert widget.evaluate(slope=0)["line"][1].tolist() == [2.0] * 81


# --- what it says of itself -----------------------------------------------------------------


def test_the_spec_is_the_contract(widget: Interact) -> None:
    spec = widget.spec
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    assert spec["alt"] == "Everything a figure can hold, moved by every control."
    assert widget.name == "all-script-more"
    controls = {control["name"]: control for control in spec["controls"]}
    assert list(controls) == list(CONTROLS)
    assert controls["mean"] == {
        "name": "mean", "label": "mean", "hint": "", "kind": "slider", "min": -2, "max": 2,
        "step": 0.02, "log": False, "value": 0, "unit": "",
    }  # fmt: skip
    assert controls["scale"]["label"] == "width"
    assert controls["scale"]["value"] == pytest.approx(1)
    assert controls["power"]["options"] == ["square root", "cube"]
    assert controls["flip"]["value"] == 0
    noise = {key: controls["u"][key] for key in ("kind", "noise", "argument", "value", "label")}
    assert noise == {
        "kind": "noise", "noise": "uniform", "argument": "u", "value": 7, "label": "Shake",
    }  # fmt: skip
    assert controls["z"]["stream"] != controls["u"]["stream"]
    items = {item["name"]: item for item in spec["items"]}
    outputs = [place for item in spec["items"] for place in item["outputs"].values()]
    assert outputs == list(widget.metadata["main"]["figure"]["outputs"])
    assert items["q of power"]["dash"]
    assert items["plane"]["rows"] == 5
    assert items["plane"]["columns"] == 7
    assert items["plane"]["limits"] == [-1, 1, -1, 1]
    assert items["plane"]["range"] == [-3, 3]  # at the ends of the slider, not at its middle
    assert items["mass"] == {
        "name": "mass", "kind": "number", "unit": "nats", "format": ".4g",
        "outputs": items["mass"]["outputs"],
    }  # fmt: skip
    # A page draws floats: int64 would arrive as BigInt.
    forms = widget.metadata["main"]["figure"]["outputs"].values()
    assert {form["dtype"] for form in forms} <= {"float32", "float64"}


def test_limits_hold_what_the_controls_can_reach(widget: Interact) -> None:
    panels = widget.spec["panels"]
    assert panels[0]["x"] == {"label": "x", "limits": [-4, 4]}
    assert panels[0]["y"]["label"] == "height"
    low, high = panels[0]["y"]["limits"]
    assert -11 < low < -10 < 10 < high < 11  # the peak 1 / 0.1, on both sides, and a margin
    assert panels[1]["y"]["limits"][0] == 0
    assert 1000 < panels[1]["y"]["limits"][1] < 1100  # its cube
    assert panels[1]["x"]["limits"] == [-4, 4]  # the graph of a function goes from edge to edge
    assert panels[2] == {
        "title": "", "x": {"label": "", "limits": [-1, 1]}, "y": {"label": "", "limits": [-1, 1]},
        "aspect": 1,
    }  # fmt: skip
    assert panels[3]["x"]["limits"] == [-0.5, 1.5]
    assert panels[3]["y"]["limits"][0] == 0


def test_limits_come_from_finite_values_in_view() -> None:
    def pole(at: Tensor) -> dict[str, Any]:
        """A pole."""
        return {"pole": lab.Curve(GRID, 1 / (GRID - at)), "flat": lab.Curve(GRID, 0 * GRID + 1)}

    widget = lab.interact(pole, lab.Figure(panels=lab.Panel(x=("x", 2, 4))), at=(0.0, 1.0, 1.0))
    low, high = widget.spec["panels"][0]["y"]["limits"]
    assert -0.1 < low < 1 / 3  # 1 / (x - at) on [2, 4], not the infinities at 0 and 1
    assert 1 < high < 1.1
    with pytest.raises(ValueError, match="no finite value to compute the limits of y of panel 0"):
        lab.interact(lambda a: {"c": lab.Curve(GRID, a / 0 + GRID)}, lab.Figure(alt="c"), a=(1, 2))


# --- the still figure -----------------------------------------------------------------------


def test_the_still_is_a_small_transparent_picture(widget: Interact) -> None:
    before, style = plt.get_fignums(), dict(matplotlib.rcParams)
    still = widget.still()
    assert plt.get_fignums() == before  # nothing that a notebook would show by itself
    assert dict(matplotlib.rcParams) == style
    assert still.mime == "image/svg+xml"
    assert len(still.image) < 60_000
    assert still.alt == widget.spec["alt"]
    root = ElementTree.fromstring(still.image)
    assert root.tag.endswith("svg")
    assert still.image == widget.still().image  # two runs give the same bytes
    fills = {s for s in re.findall(rb"fill: (#\w+|none)", still.image)}
    assert b"#ffffff" not in fills
    widget.values = {"mean": 2}
    assert widget.still().image == still.image  # the first settings, whatever is set now
    widget.values = {"mean": 0}


def test_many_points_make_no_large_picture() -> None:
    widget = lab.interact(
        lambda z: {"z": lab.Points(z[:, 0], z[:, 1], role="real")},
        lab.Figure(alt="Points."),
        z=lab.Noise((4000, 2)),
    )
    assert len(widget.still().image) < 60_000


def test_the_table_says_the_settings_and_the_numbers(widget: Interact) -> None:
    text = widget.still().table
    root = ElementTree.fromstring(text)
    caption = root.find("caption")
    assert caption is not None
    assert caption.text == "All </script> & more: first settings"
    rows = {row[0].text: row[1].text for row in root.findall("tbody/tr")}
    assert all(row[0].get("scope") == "row" for row in root.findall("tbody/tr"))
    assert rows["mean"] == "0"
    assert rows["width"] == "1 m"
    assert rows["kind"] == "two" or rows["kind"] == "one"
    assert rows["power"] == "square root"
    assert rows["flip"] == "off"
    results = widget.evaluate(**{c["name"]: c["value"] for c in widget.spec["controls"]})
    assert rows["mass"] == f"{results['mass']:.4g} nats"
    assert rows["which"] == f"{results['which']:.3f}"
    assert rows["shares: <1>"] == f"{results['shares'][1]:.4g}"
    assert rows["sample"] == "40 points"
    assert rows["plane"] == "from \u22121 to 1"
    assert rows["q"] is not None
    assert rows["q"].startswith("from ")


def test_the_page_form_holds_valid_escaped_json(widget: Interact) -> None:
    page = widget.page()
    (text,) = re.findall(r'class="ganlib-state">(.*?)</script>', page, re.DOTALL)
    assert page.count("</script>") == 1
    assert json.loads(text)["spec"] == widget.spec
    assert "All </script> & more" in json.loads(text)["spec"]["title"]
    assert 'alt="Everything a figure can hold' in page


# --- wrong input ----------------------------------------------------------------------------


def curve(a: Tensor, b: Tensor) -> dict[str, Any]:
    """A curve."""
    return {"c": lab.Curve(GRID, a * GRID + b)}


def returns(value: Any) -> Callable[[Tensor], Any]:
    return lambda a: value(a)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({}, "there is no control"),
        ({"a": (0, 1)}, "the parameter b has no control; add b=(min, max)"),
        ({"a": (0, 1), "b": (0, 1), "c": (0, 1)}, "the function has no parameter c; its para"),
        ({"a": (0, 1), "b": 3}, "the control b is 3; give (min, max)"),
        ({"a": (0, 1), "b": (1, 0)}, "the control b: min is 1 and max 0"),
        ({"a": (0, 1), "b": (0, 1, 2)}, "the control b: step is 2"),
        ({"a": (0, 1), "b": (0, math.inf)}, "the control b: max is inf"),
        ({"a": (0, 1), "b": []}, "the control b: options are []"),
        ({"a": (0, 1), "b": ["x", "x"]}, "they are different texts"),
        ({"a": (0, 1), "b": {"x": "y"}}, "x is 'y'; give a finite number"),
    ],
)
def test_controls_that_do_not_fit_are_refused(controls: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        lab.interact(curve, **controls)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lab.Slider(0, 1, value=2), "value is 2; it lies between min 0 and max 1"),
        (lambda: lab.Slider(0, 1, log=True), "with log it must be above 0"),
        (lambda: lab.Slider(0, 1, step=0), "step is 0"),
        (lambda: lab.Slider(True, 2), "min is True; give a finite number"),
        (lambda: lab.Menu(["a"], value=1), "value is 1; it is the number of an option, 0 to 0"),
        (lambda: lab.Menu("abc"), "options are 'abc'"),
        (lambda: lab.Switch(1), "value is 1; it is True or False"),
        (lambda: lab.Noise((0, 2)), "shape is (0, 2); give positive integers"),
        (lambda: lab.Noise((2,), "cauchy"), "kind is 'cauchy'; choose normal or uniform"),
        (lambda: lab.Noise((2,), value=-1), "value is -1"),
        (lambda: lab.Panel(x=("x", 1, 0)), "the lowest lies below the highest"),
        (lambda: lab.Panel(y=("x", 1)), "give a label, or (label, lowest, highest)"),
        (lambda: lab.Panel(aspect=0), "aspect is 0"),
        (lambda: lab.Figure(numbers={"a": ("", "%d")}), "the format of a is '%d'"),
        (lambda: lab.Curve(GRID, GRID[:3]), "x has 81 values and y 3"),
        (lambda: lab.Curve(GRID[0], GRID[0]), "x has shape (); it has one axis, (N,)"),
        (lambda: lab.Curve(GRID, GRID, role="blue"), "role is 'blue'; choose one of real, fake"),
        (lambda: lab.Points(GRID, GRID, panel=-1), "panel is -1; panels count from 0"),
        (lambda: lab.Field(GRID, (0, 1, 0, 1)), "values have shape (81,)"),
        (lambda: lab.Field(GRID[:, None], (0, 1, 1, 0)), "limits are (0, 1, 1, 0)"),
        (lambda: lab.Field(GRID[:, None], (0, 1, 0, 1), range=(1, 1)), "range is (1, 1)"),
        (lambda: lab.Bars(GRID[:2], ["a"]), "there are 2 bars and the labels ['a']"),
    ],
)
def test_parts_check_themselves(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (lambda a: a, TypeError, "the function returned Tensor; return a mapping"),
        (lambda a: {}, TypeError, "return a mapping"),
        (lambda a: {"c": 3.0}, TypeError, "c is a float"),
        (lambda a: {"c": lab.Curve(GRID.numpy(), GRID)}, TypeError, "x is a ndarray"),
        (lambda a: {"c": a * GRID}, ValueError, "c is a tensor of shape (81,)"),
        (lambda a: {"c": a}, ValueError, "the function returns numbers alone"),
    ],
)
def test_results_that_are_no_figure_are_refused(
    value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        lab.interact(returns(value), lab.Figure(alt="x"), a=(0, 1))


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (lab.Figure(), "no alternative text; say what it shows with Figure(alt=...)"),
        (lab.Figure(alt="x", numbers={"n": "m"}), "Figure.numbers has 'n'; the function returns"),
        (lab.Figure(alt="x", panels=[lab.Panel()] * 2), "nothing is drawn in panel 1"),
        (lab.Figure(alt="x", panels=[]), ""),
        (lab.Figure(alt="x", name="Not a slug"), "name is 'Not a slug'"),
    ],
)
def test_figures_that_do_not_fit_are_refused(figure: lab.Figure, message: str) -> None:
    def plain(a):  # type: ignore[no-untyped-def]
        return {"c": lab.Curve(GRID, a * GRID)}

    if not message:
        assert lab.interact(plain, figure, a=(0, 1)).name == "plain"
        return
    with pytest.raises(ValueError, match=re.escape(message)):
        lab.interact(plain, figure, a=(0, 1))
    with pytest.raises(ValueError, match="is drawn in panel 4, and the figure has 1"):
        lab.interact(
            lambda a: {"c": lab.Curve(GRID, a * GRID, panel=4)},
            lab.Figure(alt="x", panels=[lab.Panel()]),
            a=(0, 1),
        )


def _bessel(a: Tensor) -> dict[str, Any]:
    """A Bessel function."""
    swept = a * GRID
    return {"c": lab.Curve(GRID, torch.special.bessel_j0(swept))}  # the culprit


def test_the_line_that_cannot_be_compiled_is_named() -> None:
    with pytest.raises(NotImplementedError, match="bessel_j0") as caught:
        lab.interact(_bessel, a=(0, 1))
    line = _bessel.__code__.co_firstlineno + 3
    assert f"line {line} of test_interact.py" in str(caught.value)
    assert "bessel_j0(swept)" in str(caught.value)


def _branches(a: Tensor) -> dict[str, Any]:
    """A branch."""
    return {"c": lab.Curve(GRID, GRID if a > 0 else -GRID)}


def _indexes(a: Tensor) -> dict[str, Any]:
    """An index."""
    return {"c": lab.Curve(GRID, torch.stack([GRID, -GRID])[a])}


@pytest.mark.parametrize("function", [_branches, _indexes])
def test_a_function_that_asks_for_a_value_is_told_the_line(function: Any) -> None:
    with pytest.raises(NotImplementedError, match="asks for the value of a tensor") as caught:
        lab.interact(function, a=["one", "two"])
    line = function.__code__.co_firstlineno + 2
    assert f"line {line} of test_interact.py" in str(caught.value)
    assert "lab.choose(number, [a, b, c])" in str(caught.value)


def test_choose_is_indexing() -> None:
    def chosen(a: Tensor) -> dict[str, Any]:
        """One of three."""
        return {"c": lab.Curve(GRID, lab.choose(a, [GRID, GRID / 0, GRID**2]))}

    widget = lab.interact(
        chosen, lab.Figure(panels=[lab.Panel(y=("y", -4, 16))]), a=["one", "two", "three"]
    )
    for i, expected in enumerate([GRID, GRID / 0, GRID**2]):
        torch.testing.assert_close(
            torch.from_numpy(widget.evaluate(a=i)["c"][1]), expected, equal_nan=True
        )
        assert lab.choose(torch.tensor(i), [GRID, 2 * GRID, GRID**2])[0] == (-4, -8, 16)[i]
    with pytest.raises(ValueError, match="nothing to choose from"):
        lab.choose(torch.tensor(0), [])


@given(low=st.floats(-1e3, 1e3), length=st.floats(1e-3, 1e4))
def test_a_slider_starts_in_its_middle_and_moves_in_round_steps(low: float, length: float) -> None:
    slider = lab.Slider(low, low + length)
    assert slider.value is not None
    assert slider.step is not None
    assert slider.min <= slider.value <= slider.max
    assert abs(slider.value - (low + length / 2)) <= 0.51 * slider.step + 1e-9 * abs(low)
    assert 99 <= length / slider.step <= 251
    assert f"{slider.step:.0e}"[0] in "125"


def test_a_logarithmic_slider_starts_in_the_middle_of_its_decades() -> None:
    slider = lab.Slider(1e-4, 1, log=True)
    assert slider.value == pytest.approx(1e-2)
    assert slider.step == 0.02
