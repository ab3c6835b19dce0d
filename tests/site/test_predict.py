"""Predictions in a browser: committed by keyboard and by hand, kept, without a script, on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import predict_sample
import pytest
from browsing import OVERFLOW

from tools.sources import ROOT
from tools.vendor import TEST_ASSETS

AXE = """async () => (await axe.run(['.predict', '.page-cost', '.folded-proof'],
  { resultTypes: ['violations'] })).violations
  .map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | '))"""
SMALL = """() => [...document.querySelectorAll(
  '.predict :is(input, button, summary, [role=slider], .predict-options label), .fold-switch')]
  .filter(e => e.checkVisibility() && !(e.matches('input') && e.closest('label')))
  .map(e => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width < 24 || b.height < 24)
  .map(([e]) => e.outerHTML.slice(0, 100))"""
DENY = """Object.defineProperty(window, 'localStorage',
  { get() { throw new DOMException('denied', 'SecurityError'); } });"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> str:
    site, warnings = predict_sample.build(tmp_path_factory.mktemp("book"))
    assert warnings == ""
    return (site / "index.html").as_uri()


@pytest.fixture
def page(chromium: Any, book: str) -> Iterator[Any]:
    """The sample page in a browser that has not seen it, from a file; no script may fail."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(book)
    yield opened
    context.close()
    assert errors == []


def box(page: Any, name: str) -> Any:
    return page.locator(f"#pre-sample-{name}")


def said(page: Any, name: str) -> str:
    return str(box(page, name).get_by_role("status").inner_text())


def tab_to(page: Any, name: str, selector: str) -> None:
    """Press Tab until what is wanted inside a prediction has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches('#pre-sample-{name} {selector}')"):
            return
    pytest.fail(f"Tab does not reach {selector}")


@pytest.mark.browser
def test_a_choice_by_keyboard_alone(page: Any) -> None:
    assert not box(page, "rest").locator("details").is_visible()
    tab_to(page, "rest", "input")
    page.keyboard.press("Enter")
    assert said(page, "rest") == "Choose first."
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert said(page, "rest") == "✗ Not right. The answer: option 2."
    assert box(page, "rest").locator(".predict-resolution").is_visible()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    marks = box(page, "rest").locator("li").all_inner_texts()
    assert [re.findall("[✓✗].*", text) for text in marks] == [["✗ your answer"], ["✓ right"], []]
    assert box(page, "rest").get_by_role("radio").nth(2).is_disabled()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # take it back
    assert not box(page, "rest").locator("details").is_visible()
    assert said(page, "rest") == ""
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert said(page, "rest").startswith("✓ Right.")


@pytest.mark.browser
def test_several_options_are_all_wanted(page: Any) -> None:
    both = box(page, "both")
    assert both.get_by_role("group", name="Choose all that are right.").count() == 1
    for boxes, right in (([0], "✗ Not right. The answer: options 1 and 3."), ([0, 2], "✓ Right.")):
        for number in boxes:
            both.get_by_role("checkbox").nth(number).check()
        both.get_by_role("button", name="Commit").click()
        assert said(page, "both") == right
        both.get_by_role("button", name="Take it back").click()


@pytest.mark.browser
def test_a_number_has_a_range_and_a_unit(page: Any) -> None:
    left = box(page, "left")
    entry = left.get_by_role("spinbutton", name=re.compile("Your number:.*nats"))
    for wrong in ("", "2"):
        entry.fill(wrong)
        entry.press("Enter")
        assert said(page, "left") == "Enter a number from 0 to 1 first."
    entry.fill("0.5")
    entry.press("Enter")
    assert said(page, "left") == (
        "✗ Not right. You said 0.5 nats, it is 0.34 nats. Within 0.034 counts as right."
    )
    assert left.locator(".predict-line svg").is_visible()
    left.get_by_role("button", name="Take it back").click()
    assert left.locator(".predict-line svg").count() == 0
    entry.fill("0.37")
    entry.press("Enter")
    assert said(page, "left") == "✓ Right. You said 0.37 nats, it is 0.34 nats."


@pytest.mark.browser
def test_a_curve_by_keyboard(page: Any) -> None:
    curve = box(page, "curve")
    tab_to(page, "curve", "[role=slider]")
    page.keyboard.press("Enter")  # nothing: a slider is no button
    curve.get_by_role("button", name="Commit").click()
    assert said(page, "curve") == "Move a handle first."
    handles = curve.get_by_role("slider")
    assert handles.count() == 9
    first = handles.nth(0)
    assert first.get_attribute("aria-label") == "JSD in nats at distance θ 0"
    first.focus()
    page.keyboard.press("ArrowUp")
    assert first.get_attribute("aria-valuetext") == "0.52"
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    assert first.get_attribute("aria-valuetext") == "0.4"
    page.keyboard.press("End")
    assert first.get_attribute("aria-valuenow") == "1"
    heights = dict(map(tuple, predict_sample.CURVE))
    for number in range(9):
        page.keyboard.press("Home")
        for _ in range(round(heights[number / 2] * 50)):
            page.keyboard.press("ArrowUp")
        if number < 8:
            page.keyboard.press("Tab")
    curve.get_by_role("button", name="Commit").press("Enter")
    assert said(page, "curve").startswith("✓ Right. Your curve (dashed) is 0.0")
    assert curve.locator("form svg .truth").count() == 1
    assert curve.locator("form svg .mine").is_visible()
    before = first.get_attribute("aria-valuetext")
    assert first.get_attribute("aria-disabled") == "true"
    first.focus()
    page.keyboard.press("ArrowUp")
    assert first.get_attribute("aria-valuetext") == before


@pytest.mark.browser
def test_a_curve_by_hand(page: Any) -> None:
    curve = box(page, "curve")
    curve.locator("form svg").scroll_into_view_if_needed()
    axes = curve.locator("form svg .axes").bounding_box()
    x, top, wide, high = axes["x"], axes["y"], axes["width"], axes["height"]
    page.mouse.move(x, top + high)
    page.mouse.down()
    page.mouse.move(x + wide, top, steps=30)  # one stroke from corner to corner
    page.mouse.up()
    page.mouse.move(x, top)  # no longer held
    values = [float(h.get_attribute("aria-valuenow")) for h in curve.get_by_role("slider").all()]
    assert values == sorted(values)
    assert values[0] < 0.07  # the stroke had left the first handle by half a step
    assert values[-1] == 1
    curve.get_by_role("button", name="Commit").click()
    assert "most at distance θ 4: you said 1, it is 0.697." in said(page, "curve")


@pytest.mark.browser
def test_a_curve_by_touch(chromium: Any, book: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(book)
    curve = box(page, "curve")
    curve.locator("form svg").scroll_into_view_if_needed()
    axes = curve.locator("form svg .axes").bounding_box()
    page.touchscreen.tap(axes["x"] + axes["width"], axes["y"] + axes["height"])
    assert curve.get_by_role("slider").nth(8).get_attribute("aria-valuenow") == "0"
    context.close()


@pytest.mark.browser
def test_a_point_by_hand_by_keys_and_by_sliders(page: Any) -> None:
    point = box(page, "point")
    handle = point.locator("svg [role=slider]")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert handle.get_attribute("aria-valuetext") == "theta 0.04, psi 0.04"
    across = point.get_by_role("slider", name="theta", exact=True)
    upwards = point.get_by_role("slider", name="psi", exact=True)
    assert [across.input_value(), upwards.input_value()] == ["0.04", "0.04"]
    across.focus()
    page.keyboard.press("End")
    assert handle.get_attribute("aria-valuetext") == "theta 1, psi 0.04"
    point.locator("form svg").scroll_into_view_if_needed()
    axes = point.locator("form svg .axes").bounding_box()
    page.mouse.click(axes["x"] + 0.75 * axes["width"], axes["y"] + 0.6 * axes["height"])
    assert re.fullmatch(
        r"theta 0\.(49|5|51), psi −0\.(19|2|21)", handle.get_attribute("aria-valuetext")
    )
    point.get_by_role("button", name="Commit").click()
    assert said(page, "point").startswith("✓ Right. You said (0.")
    assert said(page, "point").endswith("it is (0.5, −0.25): the cross.")


@pytest.mark.browser
def test_an_answer_is_kept_and_taken_back(page: Any, book: str) -> None:
    box(page, "left").get_by_role("spinbutton").fill("0.33")
    box(page, "left").get_by_role("button", name="Commit").click()
    curve = box(page, "curve")
    curve.get_by_role("slider").nth(3).press("End")
    curve.get_by_role("button", name="Commit").click()
    before = said(page, "left"), said(page, "curve")
    page.reload()
    assert (said(page, "left"), said(page, "curve")) == before
    assert curve.get_by_role("slider").nth(3).get_attribute("aria-valuenow") == "1"
    assert box(page, "left").locator(".predict-resolution").is_visible()
    assert not box(page, "rest").locator(".predict-resolution").is_visible()
    page.evaluate("""() => { const key = 'prediction:pre-sample-curve';
      const kept = JSON.parse(localStorage.getItem(key));
      localStorage.setItem(key, JSON.stringify({ ...kept, of: 'another question' })); }""")
    box(page, "left").get_by_role("button", name="Take it back").click()
    page.reload()
    assert said(page, "left") == said(page, "curve") == ""
    assert page.evaluate("Object.keys(localStorage).join()").count("pre-sample-left") == 0


@pytest.mark.browser
def test_where_storage_is_denied_the_page_works(chromium: Any, book: str) -> None:
    context = chromium.new_context()
    context.add_init_script(DENY)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(book)
    box(page, "rest").get_by_role("radio").nth(1).check()
    box(page, "rest").get_by_role("button", name="Commit").click()
    assert said(page, "rest").startswith("✓ Right.")
    page.locator(".fold-switch").click()
    assert page.locator("details.folded-proof").evaluate("e => e.open")
    assert [text for text in errors if "denied" not in text] == []  # the theme's own may be
    context.close()


@pytest.mark.browser
def test_without_a_script_the_answer_is_folded_below(chromium: Any, book: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(book)
    rest = box(page, "rest")
    assert rest.locator("ol > li").count() == 3
    assert not rest.locator(".predict-resolution").is_visible()
    rest.locator("summary").click()
    assert rest.locator(".predict-right").inner_text() == "Right: option 2."
    assert rest.locator(".predict-resolution").is_visible()
    assert box(page, "curve").locator(".predict-axes svg").is_visible()
    box(page, "curve").locator("summary").click()
    assert box(page, "curve").locator(".predict-truth svg").is_visible()
    assert not page.locator(".fold-switch").is_visible()
    context.close()


@pytest.mark.browser
def test_on_paper_all_is_open(page: Any) -> None:
    box(page, "rest").get_by_role("radio").nth(0).check()
    box(page, "rest").get_by_role("button", name="Commit").click()
    page.emulate_media(media="print")
    for name in ("rest", "both", "left", "curve", "point"):
        assert box(page, name).locator(".predict-resolution").is_visible(), name
        assert box(page, name).locator(".predict-judged").is_visible(), name
        assert box(page, name).locator("button:visible").count() == 0, name
    assert box(page, "left").locator(".predict-right").is_visible()
    assert box(page, "point").locator(".predict-truth svg").is_visible()
    assert page.get_by_text("Because it is so.").is_visible()
    assert page.get_by_text("Folded in its box.").is_visible()
    assert page.get_by_text("Folded by itself.").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_can_be_used_by_everybody(page: Any, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("t => { document.documentElement.dataset.theme = t; }", theme)
    page.add_script_tag(path=str(TEST_ASSETS / "axe.min.js"))
    page.wait_for_timeout(300)  # colours change by a transition
    faults = []
    for step in ("before", "after"):
        faults += [f"{step}: {text}" for text in page.evaluate(AXE)]
        faults += [f"{step}: less than 24 pixels: {text}" for text in page.evaluate(SMALL)]
        narrow = page.evaluate(OVERFLOW)
        if narrow["scroll"] > narrow["width"] or narrow["wide"]:
            faults.append(f"{step}: wider than the screen: {narrow}")
        if step == "before":
            for entry in page.locator(".predict :is([type=radio], [type=checkbox])").all():
                entry.check()
            page.locator(".predict [type=number]").fill("0.9")
            for handle in page.locator(".predict svg [role=slider]").all():
                handle.press("PageUp")
            for button in page.locator(".predict [type=submit]").all():
                button.click()
            assert page.locator(".predict-resolution:visible").count() == 5
    assert not faults, "\n".join(faults)


@pytest.mark.browser
def test_focus_can_be_seen_on_a_handle(page: Any) -> None:
    handle = box(page, "curve").get_by_role("slider").nth(0)
    stroke = "e => getComputedStyle(e.firstChild).stroke"
    assert handle.evaluate(stroke) == "none"
    tab_to(page, "curve", "[role=slider]")
    assert handle.evaluate(stroke).startswith("rgb")


def test_the_script_is_small() -> None:
    assert (ROOT / "book/static/predict.js").stat().st_size <= 12_000
