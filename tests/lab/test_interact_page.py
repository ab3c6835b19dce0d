"""Live figures in a real browser, from file://: what a reader moves, sees, hears and reads."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")
pytest.importorskip("playwright")

from ganlib import lab
from ganlib.lab import assets
from tools.vendor import TEST_ASSETS

pytestmark = pytest.mark.browser

X = torch.linspace(-4, 4, 81)
GRID = torch.linspace(-2, 2, 20)
SET = (torch.tensor([0.2, 0.5, 0.3]), ["a", "b", "c"])


def bell(x: Tensor, mean: Any, sd: Any) -> Tensor:
    return torch.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))


def densities(mean: Tensor, sd: Tensor) -> dict[str, Any]:
    """Two bell curves, and how far they are apart."""
    p, q = bell(X.double(), 0.0, 1.0), bell(X.double(), mean, sd)
    m = (p + q) / 2
    jsd = 0.05 * (p * torch.log(p / m) + q * torch.log(q / m)).sum()
    return {"p": lab.Curve(X, p), "q": lab.Curve(X, q, role="fake"), "JSD": jsd}


def samples(z: Tensor, slope: Tensor, shape: Tensor, wide: Tensor) -> dict[str, Any]:
    """A critic's field, samples over it, and bars beside it."""
    x, y = torch.meshgrid(GRID, GRID, indexing="xy")
    height = torch.where(shape == 1, x**2 + y**2 - 1, x + y) * slope
    points = z * torch.where(wide, 1.0, 0.4)
    return {
        "D": lab.Field(torch.sigmoid(height), (-2, 2, -2, 2), (0.0, 1.0)),
        "G": lab.Points(points[:, 0], points[:, 1]),
        "share": lab.Bars(SET[0] * slope, SET[1], panel=1),
        "spread": points.abs().mean(),
    }


def logarithm(t: Tensor) -> dict[str, Any]:
    """The logarithm of x + t."""
    return {"log": lab.Curve(X, torch.log(X + t)), "log t": torch.log(t)}


@pytest.fixture(scope="module")
def widgets() -> dict[str, Any]:
    moving = {"mean": lab.Slider(-3, 3, 1.0, step=0.25), "sd": lab.Slider(0.5, 5, 1.0, log=True)}
    shown = lab.Figure(title="Two bells", numbers={"JSD": ("nats", ".9g")})
    return {
        "bells": lab.interact(densities, shown, **moving),
        "again": lab.interact(densities, shown, **moving),
        "samples": lab.interact(
            samples,
            lab.Figure(
                title="A field",
                numbers={"spread": ("", ".7g")},
                panels=(lab.Panel(("x1", -2, 2), ("x2", -2, 2), aspect=1), lab.Panel("bin", "")),
            ),
            z=lab.Noise((32, 2)),
            slope=(0, 4),
            shape=["a line", "a circle"],
            wide=True,
        ),
        "logarithm": lab.interact(
            logarithm, lab.Figure(title="Logarithm", numbers={"log t": "nats"}), t=(-2.0, 12.0)
        ),
    }


PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Live figures</title>
<style>body {{ margin: 0 auto; max-width: 46rem; padding: 0 16px; }}
html[data-theme="dark"] {{ background: #14181e; color: #ced6dd; }}</style>
<main><h1>Live figures</h1>{places}</main>
<script>
let widget;
const ganlibLive = {{ widget(kind, digest, made) {{ widget = made; }} }};
</script>
<script>{script}</script>
<script>
document.head.append(Object.assign(document.createElement("style"), {{ textContent: widget.css }}));
const states = {states}, models = {{}}, closed = {{}}, failures = {{}};
// As Backbone's models: those who listen are called by the set that changes the value.
function modelOf(state) {{
  const heard = new Set();
  return {{
    sets: 0, saves: 0,
    get: (name) => state[name],
    set(name, value) {{
      state[name] = value;
      this.sets++;
      for (const f of [...heard]) f();
    }},
    save_changes() {{ this.saves++; }},
    on: (event, f) => heard.add(f), off: (event, f) => heard.delete(f),
    listeners: () => heard.size,
  }};
}}
async function show(name, el, model) {{
  try {{ closed[el.id] = await widget.render({{ model, el }}); }}
  catch (error) {{ failures[el.id] = error.message; }}
}}
for (const [name, state] of Object.entries(states)) {{
  for (const [key, text] of Object.entries(state.modules))
    state.modules[key] = async () => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  models[name] = modelOf(state);
}}
const ready = Promise.all([...document.querySelectorAll("main > div")].map(
  (el) => show(el.dataset.name, el, models[el.dataset.name])));
</script></html>"""


@pytest.fixture(scope="module")
def file(widgets: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = {
        name: {
            "spec": widget.spec,
            "values": widget.values,
            "metadata": widget.metadata,
            "modules": {k: base64.b64encode(v).decode() for k, v in widget.modules.items()},
        }
        for name, widget in widgets.items()
    }
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(
        PAGE.format(
            places="".join(f'<div id="{n}" data-name="{n}"></div>' for n in widgets),
            script=assets.script("interact").replace("</script", "<\\/script"),
            states=json.dumps(states).replace("<", "\\u003c"),
        ),
        encoding="utf-8",
    )
    return path


Open = Callable[..., Any]


@pytest.fixture
def visit(chromium: Any, file: Path) -> Iterator[Open]:
    contexts, errors = [], []

    def call(width: int = 1000, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        page.evaluate("() => ready")
        settle(page)
        return page

    yield call
    for context in contexts:
        context.close()
    assert errors == []


def settle(page: Any) -> None:
    """Two frames: one for the event's own, one to see it painted."""
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def values(page: Any, name: str) -> dict[str, Any]:
    return page.evaluate(f"() => models.{name}.get('values')")


def number(page: Any, name: str) -> float:
    text = page.locator(f"#{name} .live-reading > span").first.inner_text()
    return float(text.replace("\u2212", "-"))


def pictures(page: Any, name: str) -> list[str]:
    return page.evaluate(
        f"() => [...document.querySelectorAll('#{name} canvas')].map((c) => c.toDataURL())"
    )


def input_of(page: Any, name: str, control: str) -> Any:
    return page.locator(f'#{name} [data-name="{control}"]').locator("input, select, button").first


def by_key(key: str) -> Callable[[Any], None]:
    return lambda target: target.press(key)


def at_share(share: float) -> Callable[[Any], None]:
    def click(target: Any) -> None:
        box = target.bounding_box()
        target.click(position={"x": share * box["width"], "y": box["height"] / 2})

    return click


# widget, control, what the reader does, the value it gives, whether every panel moves
MOVES: list[tuple[str, str, Callable[[Any], None], Callable[[Any], bool]]] = [
    ("bells", "mean", by_key("ArrowRight"), lambda v: v == 1.25),
    ("bells", "mean", by_key("ArrowLeft"), lambda v: v == 0.75),
    ("bells", "mean", by_key("Home"), lambda v: v == -3),
    ("bells", "mean", by_key("End"), lambda v: v == 3),
    ("bells", "mean", at_share(0.25), lambda v: -2 < v < -1),
    ("bells", "sd", by_key("Home"), lambda v: v == 0.5),
    ("bells", "sd", at_share(0.75), lambda v: 2.5 < v < 4),
    ("samples", "slope", at_share(0.75), lambda v: 2.5 < v < 3.5),
    ("samples", "shape", by_key("ArrowDown"), lambda v: v == 1),
    ("samples", "shape", lambda menu: menu.select_option("a circle"), lambda v: v == 1),
    ("samples", "wide", by_key(" "), lambda v: v == 0),
    ("samples", "wide", lambda box: box.click(), lambda v: v == 0),
    ("samples", "z", by_key("Enter"), lambda v: v == 1),
    ("samples", "z", lambda button: button.click(), lambda v: v == 1),
]


def torch_numbers(widget: Any, set_to: dict[str, Any]) -> float:
    """The first number of a figure at these values, by torch itself."""
    if "mean" in set_to:
        result = densities(*(torch.tensor(set_to[k], dtype=torch.float64) for k in ("mean", "sd")))
        return result["JSD"].item()
    z = widget.evaluate(**{**set_to, "wide": 1})["G"].T  # the noise is the module's own
    arguments = (torch.tensor(set_to[k]) for k in ("slope", "shape"))
    wide = torch.tensor(bool(set_to["wide"]))
    return samples(torch.from_numpy(z.copy()), *arguments, wide)["spread"].item()


@pytest.mark.parametrize(("name", "control", "act", "gives"), MOVES)
def test_a_control_moves_the_figure_and_its_numbers_are_those_of_torch(
    visit: Open,
    widgets: dict[str, Any],
    name: str,
    control: str,
    act: Callable[[Any], None],
    gives: Callable[[Any], bool],
) -> None:
    page, widget = visit(), widgets[name]
    first, before, others = values(page, name), pictures(page, name), pictures(page, "again")
    act(input_of(page, name, control))
    settle(page)
    now = values(page, name)
    assert gives(now[control]), now
    assert {k: v for k, v in now.items() if k != control} == {
        k: v for k, v in first.items() if k != control
    }
    after = pictures(page, name)
    assert after != before
    key = "JSD" if name == "bells" else "spread"
    assert number(page, name) == pytest.approx(widget.evaluate(**now)[key], rel=1e-6, abs=1e-12)
    assert number(page, name) == pytest.approx(torch_numbers(widget, now), rel=2e-6, abs=1e-12)
    # A neighbour made from the same function and the same module is as it was.
    assert pictures(page, "again") == others
    assert values(page, "again") == widgets["again"].values
    page.locator(f"#{name} .live-reset").click()
    settle(page)
    assert values(page, name) == first
    assert pictures(page, name) == before


def test_values_from_elsewhere_are_followed_without_an_echo(
    visit: Open, widgets: dict[str, Any]
) -> None:
    page = visit()
    page.evaluate("() => { models.bells.sets = models.bells.saves = 0; }")
    page.evaluate("() => models.bells.set('values', { sd: 0.5, mean: -2 })")
    settle(page)
    assert input_of(page, "bells", "mean").input_value() == "-2"
    assert page.locator('#bells [data-name="sd"] output').inner_text() == "0.50"
    expected = widgets["bells"].evaluate(mean=-2, sd=0.5)["JSD"]
    assert number(page, "bells") == pytest.approx(expected, rel=1e-8)
    assert page.evaluate("() => [models.bells.sets, models.bells.saves]") == [1, 0]


def test_several_views_of_one_model_stay_in_step_and_one_can_close(visit: Open) -> None:
    page = visit()
    page.evaluate(
        """async () => {
          const el = Object.assign(document.createElement("div"), { id: "second" });
          document.querySelector("main").append(el);
          await show("bells", el, models.bells);
        }"""
    )
    before = pictures(page, "bells")
    input_of(page, "second", "mean").press("End")
    settle(page)
    assert input_of(page, "bells", "mean").input_value() == "3"
    assert number(page, "bells") == number(page, "second")
    assert pictures(page, "bells") != before
    assert page.evaluate("() => models.bells.listeners()") == 2
    page.evaluate("() => closed.second()")
    assert page.locator("#second").inner_html() == ""
    assert page.evaluate("() => models.bells.listeners()") == 1
    input_of(page, "bells", "mean").press("Home")
    settle(page)
    assert values(page, "bells")["mean"] == -3


def test_a_fast_drag_is_one_run_a_frame(visit: Open) -> None:
    page = visit()
    sets = page.evaluate(
        """() => {
          const input = document.querySelector('#bells [data-name="mean"] input');
          models.bells.sets = 0;
          for (const value of [-3, -2, -1, 0, 2]) {
            input.value = value;
            input.dispatchEvent(new Event("input", { bubbles: true }));
          }
          return new Promise((f) => setTimeout(() => f(models.bells.sets), 200));
        }"""
    )
    assert sets == 1
    assert values(page, "bells")["mean"] == 2


COUNT = """(colour) => {
  const canvas = document.querySelector("#bells canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    count += data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255;
  return count;
}"""
COLOUR = """(role) => getComputedStyle(document.querySelector(".live"))
  .getPropertyValue(`--live-${role}`).trim()"""


@pytest.mark.parametrize("ratio", [1, 2])
def test_the_theme_changes_the_colours_and_the_pixels_are_the_devices(
    visit: Open, ratio: int
) -> None:
    page = visit(device_scale_factor=ratio)
    size = "(canvas) => [canvas.width, canvas.height]"
    box = page.locator("#bells canvas").bounding_box()
    expected = [box["width"] * ratio, box["height"] * ratio]
    assert page.locator("#bells canvas").evaluate(size) == pytest.approx(expected, abs=1)
    light = {role: page.evaluate(COLOUR, role) for role in ("real", "fake")}
    assert all(page.evaluate(COUNT, colour) > 40 for colour in light.values())
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    settle(page)
    dark = {role: page.evaluate(COLOUR, role) for role in ("real", "fake")}
    assert all(page.evaluate(COUNT, colour) > 40 for colour in dark.values())
    assert all(page.evaluate(COUNT, colour) == 0 for colour in light.values())


@pytest.mark.parametrize("host", ["system", "jupyter"])
def test_the_theme_is_that_of_the_system_or_of_jupyter(visit: Open, host: str) -> None:
    page = visit(color_scheme="dark" if host == "system" else "light")
    light = page.evaluate(COLOUR, "paper")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "light"
    page.evaluate("() => { delete document.documentElement.dataset.theme; }")
    if host == "jupyter":
        assert page.evaluate(COLOUR, "paper") == light
        page.evaluate("() => { document.body.dataset.jpThemeLight = 'false'; }")
    assert page.evaluate(COLOUR, "paper") != light
    if host == "system":  # a light Jupyter on a dark system
        page.evaluate("() => { document.body.dataset.jpThemeLight = 'true'; }")
        assert page.evaluate(COLOUR, "paper") == light


def test_a_phone_shows_it_in_one_column_with_targets_for_a_finger(visit: Open) -> None:
    page = visit(width=360, has_touch=True, is_mobile=True)
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    settle(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    parts = page.locator("#samples :is(canvas, .live-control)")
    boxes = [part.bounding_box() for part in parts.all()]
    assert len(boxes) == 6
    assert len({round(box["x"]) for box in boxes[2:]}) == 1  # one column
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    for target in page.locator(".live :is(input, button, select, summary)").all():
        assert target.bounding_box()["height"] >= 44


def test_targets_are_large_enough_for_a_pointer(visit: Open) -> None:
    for target in visit().locator(".live :is(input, button, select, summary)").all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 24


AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((v) => ["serious", "critical"].includes(v.impact))
  .map((v) => [v.id, v.nodes[0].html, v.nodes[0].failureSummary])"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_axe_finds_nothing_serious(visit: Open, theme: str, width: int) -> None:
    script = TEST_ASSETS / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe is not here; `python -m tools.vendor` fetches it")
    page = visit(width=width)
    page.evaluate(f"() => {{ document.documentElement.dataset.theme = '{theme}'; }}")
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    settle(page)
    page.add_script_tag(path=str(script))
    assert page.evaluate(AXE) == []


def test_every_control_has_a_name_and_a_ring(visit: Open) -> None:
    page = visit()
    named = {
        ("slider", "mean"), ("slider", "sd"), ("slider", "slope"), ("slider", "t"),
        ("combobox", "shape"), ("switch", "wide"), ("button", "New sample"), ("button", "Reset"),
    }  # fmt: skip
    for role, name in named:
        assert page.get_by_role(role, name=name, exact=True).count() >= 1, (role, name)
    page.locator("#bells .live-reset").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
        style = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid"


def test_what_changed_is_said_once_the_reader_rests(visit: Open) -> None:
    page = visit()
    live = page.locator("#bells [role=status]")
    assert live.get_attribute("aria-live") == "polite"
    started = time.monotonic()
    for _ in range(4):
        input_of(page, "bells", "mean").press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#bells [role=status]').textContent")
    assert time.monotonic() - started > 0.3
    said = live.text_content()
    assert said.startswith("mean 2.00. JSD 0.")
    assert said.endswith(" nats")


def test_a_value_that_is_not_finite_is_said_and_left_out(
    visit: Open, widgets: dict[str, Any]
) -> None:
    page = visit()
    whole = pictures(page, "logarithm")
    input_of(page, "logarithm", "t").press("Home")  # t = -2: no logarithm there, nor left of x = 2
    settle(page)
    assert page.locator("#logarithm .live-reading > span").first.inner_text() == "not finite here"
    curve = widgets["logarithm"].evaluate(t=-2)["log"][1]
    gone = sum(not math.isfinite(v) for v in curve)
    assert 0 < gone < len(curve)
    note = page.locator("#logarithm .live-note")
    assert note.inner_text() == f"log: not finite here ({gone} of {len(curve)} values)"
    assert pictures(page, "logarithm") != whole
    page.locator("#logarithm .live-reset").click()
    settle(page)
    assert not note.is_visible()


def test_the_numbers_can_be_read_as_a_table(visit: Open, widgets: dict[str, Any]) -> None:
    page = visit()
    page.locator("#bells summary").click()
    input_of(page, "bells", "mean").press("End")
    settle(page)
    tables = page.locator("#bells table")
    assert tables.count() == 2
    lines = [line.split("\t") for line in tables.nth(1).locator("tbody").inner_text().split("\n")]
    read = [[float(cell.replace("\u2212", "-")) for cell in line] for line in lines]
    found = widgets["bells"].evaluate(mean=3)
    picked = [round(i * 80 / 10) for i in range(11)]
    for column, expected in enumerate([found["p"][0], found["p"][1], found["q"][1]]):
        assert [row[column] for row in read] == pytest.approx(
            expected[picked].tolist(), rel=5e-3, abs=6e-4
        )
    page.locator("#samples summary").click()
    heads = page.locator("#samples caption").all_inner_texts()
    assert [head.split(":")[0] for head in heads] == ["Numbers", "D", "G", "A field"]


def test_a_module_that_cannot_start_leaves_words(visit: Open) -> None:
    page = visit()
    page.evaluate(
        """async () => {
          const el = Object.assign(document.createElement("div"), { id: "broken" });
          document.querySelector("main").append(el);
          await show("broken", el, modelOf({ ...states.bells, modules: {} }));
        }"""
    )
    alert = page.locator("#broken [role=alert]")
    expected = "This figure could not start: the widget has no module main"
    assert alert.inner_text() == expected
    assert page.evaluate("() => failures.broken") == "the widget has no module main"


MEDIA = [{"forced_colors": "active"}, {"reduced_motion": "reduce"}]


@pytest.mark.parametrize("media", MEDIA, ids=lambda media: next(iter(media)))
def test_it_keeps_working_in_high_contrast_and_with_less_motion(
    visit: Open, media: dict[str, str]
) -> None:
    page = visit(**media)
    before = pictures(page, "samples")
    input_of(page, "samples", "wide").click()
    settle(page)
    assert pictures(page, "samples") != before
    slow = page.evaluate(
        """() => [...document.querySelectorAll(".live *")].filter((e) =>
          getComputedStyle(e, "::before").transitionDuration !== "0s").length"""
    )
    assert slow == (0 if "reduced_motion" in media else 1)


def test_the_bundle_is_light() -> None:
    import gzip

    assert len(gzip.compress(assets.script("interact").encode(), 9)) <= 14 * 1024
