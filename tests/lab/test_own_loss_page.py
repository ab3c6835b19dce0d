"""The reader's own loss in a real browser: typed, judged, drawn, trained, in the address."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")
pytest.importorskip("playwright")

from laboratory_page import AXE, Open, lab, move, page_file, press, reach, rest, values, visit

from ganlib.lab import GanLab
from ganlib.lab.gan import DEFAULTS
from ganlib.lab.laboratory import LOSSES, OWN
from tools import lab_page
from tools.vendor import TEST_ASSETS

__all__ = ["page_file", "visit"]  # fixtures

pytestmark = pytest.mark.browser

OWN_LINK = "#lab.one=preset:healthy;loss:own"


def box(page: Any, name: str) -> Any:
    return lab(page).locator(f".lab-own-row[data-name={name}] input")


def note(page: Any, name: str) -> str:
    return lab(page).locator(f".lab-own-row[data-name={name}] .lab-own-note").inner_text()


def type_in(page: Any, name: str, text: str) -> None:
    """Type a formula, and wait until it is judged."""
    box(page, name).fill(text)
    page.wait_for_timeout(150)


def test_what_is_typed_is_trained_at_once(visit: Open) -> None:
    """A run goes on with the formula just typed; no worker and no module is started for it."""
    page = visit()
    assert not lab(page).locator(".lab-own").is_visible()
    reach(page, 50)
    move(page, "loss", "your formulas")
    assert lab(page).locator(".lab-own").is_visible()
    page.wait_for_function("workers[0].sent.at(-1).settings?.program")
    page.evaluate(
        """() => { const native = WebAssembly.instantiate; window.compiled = 0;
          WebAssembly.instantiate = (...given) => { compiled++; return native(...given); }; }"""
    )
    step = rest(page)["step"]
    page.evaluate("() => { workers[0].sent = []; }")
    box(page, "of_generator").press("End")
    page.keyboard.type(" + s/10")
    page.wait_for_timeout(300)
    sent = page.evaluate("workers[0].sent.map((m) => m.type)")
    assert set(sent) == {"change"}
    assert values(page)["settings"]["of_generator"] == DEFAULTS["of_generator"] + " + s/10"
    assert page.evaluate("[workers.length, compiled]") == [1, 0]
    press(page, "One G step")
    page.wait_for_function("n => workers[0].last.step === n + 1", arg=step)
    # While it plays, too: it plays on.
    press(page, "Play")
    type_in(page, "of_generator", "-s")
    page.wait_for_function(
        "n => workers[0].last.step > n + 50 && workers[0].last.playing", arg=step
    )
    # And in the other module, with a loss of the menu.
    move(page, "loss", "hinge")
    page.wait_for_function("workers[0].sent.at(-1).settings?.loss === 'hinge'")
    later = page.evaluate("workers[0].last.step")
    page.wait_for_function("n => workers[0].last.step > n + 50", arg=later)
    press(page, "Pause")
    later = rest(page)["step"]
    move(page, "loss", "your formulas")
    page.wait_for_function("workers[0].sent.at(-1).settings?.loss === 'own'")
    assert rest(page)["step"] == later > step


def test_the_page_trains_what_python_does(visit: Open) -> None:
    formulas = {
        "on_real": "-log(D) + abs(s)/20",
        "on_fake": "-log(1 - D)",
        "of_generator": "exp(-s)",
    }
    link = OWN_LINK + "".join(f";{name}:{quote(text)}" for name, text in formulas.items())
    page = visit(f"{link};seed:11")
    assert lab(page).locator(".lab-note").inner_text() == ""
    state = reach(page, 120)
    record = GanLab("healthy", loss=OWN, seed=11, **formulas).run(state["step"])
    for name in ("samples", "field", "map", "arrows"):
        shown = page.evaluate("name => [...workers[0].last[name]]", name)
        assert np.array_equal(np.asarray(shown, np.float32), getattr(record, name).ravel()), name
    assert state["history"]["divergence"] == record.history["divergence"]
    # The link again, from what is set.
    box(page, "on_fake").press("End")
    page.keyboard.type(" ")
    page.wait_for_timeout(400)
    other = visit(page.url[page.url.index("#") :])
    assert [box(other, name).input_value() for name in formulas] == [
        formulas["on_real"], formulas["on_fake"] + " ", formulas["of_generator"],
    ]  # fmt: skip


def test_every_loss_of_the_menu_can_be_edited(visit: Open) -> None:
    page = visit(f"{OWN_LINK};a:-1;b:1;c:0.5")
    start = lab(page).get_by_label("Start from")
    labels = [o.label for o in LOSSES.values()]
    assert start.locator("option").all_inner_texts()[1:] == labels
    for label in labels:
        start.select_option(label=label)
        page.wait_for_timeout(150)
        assert lab(page).locator(".lab-own-wrong").count() == 0, label
        # The line on which D cannot tell is that of the menu's loss, in D's raw output.
        of = next(o for o in LOSSES.values() if o.label == label)
        middle = 0 if of.logistic or label == "least squares" else of.middle  # (a + b) / 2 is 0
        key = "its level means nothing" if middle is None else f"line: {middle:g}, D cannot tell"
        assert key in lab(page).locator(".lab-key").inner_text(), label
    start.select_option(label="least squares")
    page.wait_for_timeout(100)
    assert box(page, "on_real").input_value() == "(s - 1)^2/2"
    assert box(page, "on_fake").input_value() == "(s + 1)^2/2"
    assert box(page, "of_generator").input_value() == "(s - 0.5)^2/2"
    assert values(page)["settings"]["on_fake"] == "(s + 1)^2/2"
    assert "rises from s = 1 on" in note(page, "on_real")
    assert "falls up to s = \u22121" in note(page, "on_fake")


# What is typed for D on data, what is said, and whether it is trained.
JUDGED = {
    "-s": ("", True),
    "softplus(-s)": ("", True),
    "exp(s/10) + abs(s - 0.3)": ("kink at s = 0.3:", True),
    "max(0, 1 - s)": ("It has a kink at s = 1:", True),
    "abs(s - 1) + max(0, -2 - s)": ("kink at s = \u22122 and s = 1:", True),
    "tanh(-40 * (s - 0.71))": ("", True),  # steep, but with a slope everywhere
    "s": ("It rises everywhere: there D is paid for calling data fake.", True),
    "(s - 2)^2": ("It rises from s = 2 on: there", True),
    "-s^3 + 3*s": ("It rises from s = \u22121 to 1: there", True),
    "s^3 - 3*s": ("It rises up to s = \u22121 and from s = 1 on: there", True),
    "s^3": ("It rises everywhere: there", True),
    "-log(1 - D)": ("It rises everywhere: there", True),  # its slope is 2e-9 at the left
    "s*1e-10": ("It rises everywhere: there", True),
    "-log(D)*1.5 + s^2/100": ("It rises from s = 3.13", True),  # between two that are tried
    "D*(1 - D)": ("It rises up to s = 0: there", True),
    "max(0, s)": (
        "It rises from s = 0 on: there D is paid for calling data fake. "
        "It has a kink at s = 0: no slope there",
        True,
    ),
    "max(-1, min(s, 1))": ("It rises from s = \u22121 to 1: there", True),
    "2": ("It is flat: D learns nothing from it.", True),
    "log(s)": ("Not used: not finite: it has no value at s = \u221220.", False),
    "sqrt(abs(s)) - s": ("Not used: not finite: it has no slope at s = 0.", False),
    "1/(s - 0.31)": ("it jumps, or grows without bound, near s = 0.31.", False),
    "-abs(s - 0.31)/(s - 0.31)": ("it jumps, or grows without bound, near s = 0.31.", False),
    "exp(exp(s))": ("Not used: not finite: it has no value at s = 4.", False),
    "2s": ("Not used: write the multiplication: 2 * s (character 2).", False),
    "": ("Not used: something is missing at the end (character 1).", False),
}


def test_formulas_are_judged_in_words(visit: Open) -> None:
    page = visit(OWN_LINK)
    kept = DEFAULTS["on_real"]
    for text, (said, trained) in JUDGED.items():
        type_in(page, "on_real", text)
        words = note(page, "on_real")
        assert said in words if said else words == "", (text, words)
        assert box(page, "on_real").get_attribute("aria-invalid") == str(not trained).lower()
        kept = text if trained else kept
        if not trained:
            assert words.endswith(f"The run keeps {kept}."), words
        assert values(page)["settings"]["on_real"] == kept
        assert box(page, "on_real").input_value() == text
    # Whoever leaves it for a lesson and comes back finds what was trained.
    move(page, "loss", "hinge")
    move(page, "loss", "your formulas")
    assert values(page)["settings"]["on_real"] == kept


def test_curves_are_drawn_while_typing(visit: Open) -> None:
    page = visit(OWN_LINK)
    type_in(page, "on_real", "s^2")
    cost, slope = (
        lab(page).locator(".lab-own-charts canvas").nth(i).get_attribute("aria-label")
        for i in (0, 1)
    )
    assert "output s is \u22126, 0, 6: s^2 is 36.00, 0.00, 36.00;" in cost
    assert "s^2 is \u221212.00, 0.00, 12.00;" in slope
    before = lab(page).locator(".lab-own-charts canvas").first.screenshot()
    type_in(page, "on_real", "-s")
    assert lab(page).locator(".lab-own-charts canvas").first.screenshot() != before


HOSTILE = {
    "10,000 characters": ("s" + "+s" * 5000, "on_real s+s+s"),
    "nested": ("(" * 200, "something is missing at the end (character 201)"),
    "deep": ("(" * 150, "something is missing at the end (character 151)"),
    "unknown": ("constructor(s)", "constructor is not known"),
    "a script": ("<img src=x onerror=alert(1)>", "< "),
    "not finite": ("1/s", "not finite: it has no value at s = 0"),
    "nothing": ("", "something is missing at the end"),
    "half an escape": ("%E0%A4%A", "% "),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_link_brings_is_refused_in_words(visit: Open, what: str) -> None:
    text, said = HOSTILE[what]
    raw = text if what == "half an escape" else quote(text, safe="")
    page = visit(f"{OWN_LINK};on_real:{raw};of_generator:-s")
    words = lab(page).locator(".lab-note").inner_text()
    assert "Left out of the link" in words or "left out of the link" in words
    assert said in words
    assert len(words) < 500
    assert box(page, "on_real").input_value() == DEFAULTS["on_real"]
    sent = page.evaluate("workers[0].sent.find((m) => m.type === 'reset').settings")
    assert (sent["on_real"], sent["of_generator"]) == (DEFAULTS["on_real"], "-s")
    assert reach(page, 5)["step"] >= 5


def test_two_runs_have_formulas_each(visit: Open) -> None:
    page = visit(f"{OWN_LINK};compare:yes;b.of_generator:-s")
    page.wait_for_function("workers.length === 2 && workers[1].last")
    lab(page).get_by_role("radio", name="run A").check()
    assert box(page, "of_generator").input_value() == DEFAULTS["of_generator"]
    lab(page).get_by_role("radio", name="run B").check()
    assert box(page, "of_generator").input_value() == "-s"
    differ = lab(page).locator(".lab-differ").inner_text()
    assert "G on samples: softplus(-s) in A, -s in B" in differ
    type_in(page, "on_fake", "s")
    now = values(page)
    assert (now["settings"]["on_fake"], now["compare"]["on_fake"]) == (DEFAULTS["on_fake"], "s")


def test_by_keyboard_alone(visit: Open) -> None:
    page = visit(OWN_LINK)
    lab(page).get_by_label("Start from").focus()
    for name in ("on_real", "on_fake", "of_generator"):
        page.keyboard.press("Tab")
        assert box(page, name).evaluate("e => e === document.activeElement")
    step = rest(page)["step"]
    page.keyboard.press("End")
    page.keyboard.type(" - 0.2*s + log(2) - D/9.")  # d, g, full stop and Space are the stage's keys
    page.wait_for_timeout(400)
    assert note(page, "of_generator") == ""
    assert rest(page)["step"] == step
    assert not page.evaluate("workers[0].last.playing")
    assert values(page)["settings"]["of_generator"].endswith("- D/9.")


@pytest.mark.parametrize(
    ("theme", "width", "height"), [("light", 1280, 800), ("dark", 390, 844), ("dark", 1280, 800)]
)
@pytest.mark.parametrize("file", ["page.html", lab_page.NAME])
def test_the_editor_can_be_read_by_all_and_fits(
    visit: Open, theme: str, width: int, height: int, file: str
) -> None:
    name = "one" if file == "page.html" else "stage"
    page = visit(
        f"#lab.{name}=preset:healthy;loss:own;on_real:abs(s-1)",
        width=width,
        height=height,
        file=file,
    )
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    type_in(page, "on_fake", "2s")
    editor = lab(page).locator(".lab-own")
    editor.scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shapes = editor.evaluate(
        """(e) => { const { left, right } = e.getBoundingClientRect();
          return [...e.querySelectorAll("input, select, canvas")].map((c) => {
            const box = c.getBoundingClientRect();
            const inside = box.left >= left - 1 && box.right <= right + 1;
            return [box.width > 120, box.height >= 24, inside];
          }); }"""
    )
    assert len(shapes) == 6
    assert all(all(shape) for shape in shapes), shapes
    script = TEST_ASSETS / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe is not here; `python -m tools.vendor` fetches it")
    page.add_script_tag(path=str(script))
    assert page.evaluate(AXE) == []


def test_nobody_fetches_formulas_who_types_none(visit: Open) -> None:
    page = visit()
    reach(page, 20)
    fetched = "document.scripts.length"
    before = page.evaluate(fetched)
    move(page, "loss", "hinge")
    rest(page)
    assert page.evaluate(fetched) == before
    move(page, "loss", "your formulas")
    page.wait_for_function("workers[0].sent.at(-1).settings?.program")
    assert page.evaluate(fetched) == before + 1
