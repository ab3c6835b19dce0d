"""Digits learnt in a real browser, from file://: what it shows is what Python trains."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")
pytest.importorskip("playwright")

from laboratory_page import AXE

from ganlib.lab.digits import Record, Run
from ganlib.lab.digits import pictures as given
from tools import bench_digits
from tools.vendor import TEST_ASSETS

pytestmark = pytest.mark.browser

# Keeps the last frame of the worker, and what it was sent.
SPY = """
window.workers = [];
const Native = window.Worker;
window.Worker = class extends Native {
  constructor(...given) {
    super(...given);
    Object.assign(this, { sent: [], frames: 0 });
    workers.push(this);
    this.addEventListener("message", ({ data }) => {
      if (data.type === "frame") { this.last = data.frame; this.frames++; }
    });
  }
  postMessage(message, ...rest) {
    this.sent.push(message.type);
    super.postMessage(message, ...rest);
  }
};
"""
SEED = 11

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench_digits.page(tmp_path_factory.mktemp("digits"), seed=SEED, speed=2)


@pytest.fixture(scope="module")
def twin() -> Run:
    return Run(SEED)


@pytest.fixture
def visit(chromium: Any, page_file: Path) -> Iterator[Open]:
    """Open the page; it must not complain until the test is over."""
    complaints: list[str] = []
    contexts = []

    def open_page(*, width: int = 1000, **media: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 1200}, **media)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.add_init_script(SPY)
        page.goto(page_file.as_uri())
        page.wait_for_selector(".digits[data-step]")
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def rest(page: Any) -> int:
    """Wait until nothing more arrives and all is drawn; returns the step."""
    page.wait_for_function(
        """async () => {
          const [worker] = workers, before = worker.frames;
          await new Promise((done) => setTimeout(done, 200));
          return before === worker.frames && !worker.last.playing;
        }"""
    )
    page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return int(page.evaluate("workers[0].last.step"))


def press(page: Any, name: str) -> None:
    page.locator(".digits").get_by_role("button", name=name, exact=True).click()


def reach(page: Any, step: int) -> int:
    press(page, "Play")
    page.wait_for_function("n => workers[0].last.step >= n", arg=step)
    press(page, "Pause")
    return rest(page)


def shown(page: Any, name: str) -> np.ndarray:
    return np.asarray(page.evaluate("name => [...workers[0].last[name]]", name), np.float32)


def trained(twin: Run, step: int) -> Record:
    twin.reset(SEED)
    while twin.step < step:
        twin.both()
    return twin.record()


def test_the_numbers_are_those_of_python(visit: Open, twin: Run) -> None:
    page = visit()
    step = reach(page, 110)
    record = trained(twin, step)
    for name in ("samples", "read", "answers"):
        assert np.array_equal(shown(page, name), getattr(record, name).ravel()), name
    history = page.evaluate("workers[0].last.history")
    assert history["step"] == record.history["step"]
    for name in ("d", "g", "right", "variety"):
        assert history[name][1:] == record.history[name][1:], name
    mixed, read = twin.between(0.5, 0.5)
    assert np.array_equal(shown(page, "mixed"), mixed.ravel())
    assert np.array_equal(shown(page, "read_mixed"), read)
    place = page.evaluate("workers[0].last.view.place")
    assert np.array_equal(shown(page, "chart"), twin.chart(place % 10).ravel())
    near = page.evaluate("['place', 'distance', 'label'].map((k) => workers[0].last.near[k])")
    assert near[:2] == list(twin.nearest(record.samples[place]))
    packed = given.pictures()
    assert near[2] == packed.labels[near[0]]
    picture = page.evaluate("[...workers[0].last.near.picture]")
    assert np.array_equal(np.float32(picture), packed.pictures[near[0]].numpy())
    text = page.locator(".digits").inner_text()
    assert f"step {step:,}" in text
    percent = math.floor(100 * record.right + 0.5)  # as scripts round halves: up
    assert page.locator(".digits-share").inner_text() == f"{percent}\u2009%"
    assert f"a distance of {near[1]:.2f}" in text
    assert f"(of unseen real digits {100 * packed.accuracy:.0f}\u2009%)" in text
    assert f"{record.history['variety'][-1]:.2f} of the data" in text


def test_nothing_plays_by_itself_and_the_pictures_come_when_asked(visit: Open) -> None:
    page = visit(reduced_motion="reduce")
    page.wait_for_timeout(400)
    assert page.evaluate("[workers[0].last.step, workers[0].sent.includes('fill')]") == [0, False]
    scripts = "document.querySelectorAll('script[src]').length"
    before = page.evaluate(scripts)
    press(page, "One step")
    page.wait_for_function("workers[0].last.step === 1")
    assert page.evaluate(scripts) == before + 1
    press(page, "Play")
    page.wait_for_function("workers[0].last.step > 1")
    frames = page.evaluate("workers[0].frames")
    page.wait_for_timeout(1500)
    assert page.evaluate("workers[0].frames") - frames <= 8
    press(page, "Pause")


def test_reset_seed_and_speed(visit: Open, twin: Run) -> None:
    page = visit()
    first = shown(page, "samples")
    reach(page, 30)
    assert not np.array_equal(shown(page, "samples"), first)
    press(page, "Reset")
    page.wait_for_function("workers[0].last.step === 0")
    rest(page)
    assert np.array_equal(shown(page, "samples"), first)
    press(page, "New seed")
    page.wait_for_function("seed => workers[0].last.seed === seed", arg=SEED + 1)
    rest(page)
    assert not np.array_equal(shown(page, "samples"), first)
    assert f"seed {SEED + 1}" in page.locator(".digits-bar").inner_text()
    page.get_by_label("Speed").select_option("slow")
    press(page, "Play")
    page.wait_for_function("workers[0].last.step > 0")
    page.wait_for_timeout(1000)
    press(page, "Pause")
    assert 2 <= rest(page) <= 40  # ten a second


def test_everything_by_keyboard_and_said(visit: Open, twin: Run) -> None:
    page = visit()
    step = reach(page, 90)
    record = trained(twin, step)
    canvas = page.locator(".digits-samples canvas").nth(1)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    rest(page)
    assert page.evaluate("workers[0].last.view.place") == 14
    _, distance = twin.nearest(record.samples[14])
    said = page.locator(".live-say").inner_text()
    assert said.startswith("Row 2, asked for a four, read as a ")
    assert said.endswith(f"at a distance of {distance:.2f}.")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # there is no more
    rest(page)
    assert page.evaluate("workers[0].last.view.place") == 19
    page.locator(".digits-pad canvas").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    rest(page)
    at = page.evaluate("workers[0].last.view.at")
    assert at == pytest.approx([0.35, 0.49])
    assert np.array_equal(shown(page, "mixed"), twin.between(*at)[0].ravel())
    page.keyboard.press("Space")
    page.wait_for_function("n => workers[0].last.step > n", arg=step)
    page.keyboard.press("Space")
    rest(page)
    said = page.locator(".live-say").inner_text()
    assert re.match(r"Step [\d,]+: \d+\u2009% of 200 .* 10 digits are there", said)
    page.keyboard.press("Tab")  # a key that is not the figure's goes on
    assert page.evaluate("document.activeElement.closest('.digits-pad')") is None


def test_a_latent_is_dragged_and_a_sample_is_pointed_at(visit: Open) -> None:
    page = visit()
    reach(page, 60)
    box = page.locator(".digits-pad canvas").bounding_box()
    before = shown(page, "mixed")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"], steps=4)
    page.mouse.move(box["x"] + 2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.up()
    rest(page)
    assert page.evaluate("workers[0].last.view.at") == pytest.approx([1, 0.2], abs=0.01)
    assert not np.array_equal(shown(page, "mixed"), before)
    box = page.locator(".digits-samples canvas").nth(1).bounding_box()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.99 * box["height"])
    rest(page)
    assert page.evaluate("workers[0].last.view.place") == 57
    assert "Row 6, asked for a seven" in page.locator(".digits-near").inner_text()


def test_pictures_that_do_not_arrive_are_said_and_asked_for_again(
    visit: Open, page_file: Path
) -> None:
    scripts = (page_file.parent / "_static/live").glob("*.js")
    parts = [path for path in scripts if path.read_text().startswith("ganlibLive.part(")]
    data = max(parts, key=lambda path: path.stat().st_size)
    text = data.read_text()
    page = visit()
    try:
        data.unlink()
        page.evaluate("document.querySelector('.digits-play').click()")
        page.wait_for_function("document.querySelector('.digits .live-alert').textContent")
        assert "did not arrive" in page.locator(".digits .live-alert").inner_text()
        assert page.get_by_role("button", name="Play", exact=True).is_visible()
    finally:
        data.write_text(text)
    assert len(visit.complaints) == 1  # type: ignore[attr-defined]
    visit.complaints.clear()  # type: ignore[attr-defined]
    press(page, "Play")
    page.wait_for_function("workers[0].last.step > 0")
    assert page.locator(".digits .live-alert").inner_text() == ""
    press(page, "Pause")


@pytest.mark.parametrize(("theme", "width"), [("light", 1000), ("dark", 360)])
def test_it_can_be_read_by_all_and_fits(visit: Open, theme: str, width: int) -> None:
    page = visit(width=width, forced_colors="active" if theme == "light" else "none")
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    reach(page, 30)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll(".digits :is(button, select)")]
          .filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.outerHTML)"""
    )
    assert small == []
    script = TEST_ASSETS / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe is not here; `python -m tools.vendor` fetches it")
    page.add_script_tag(path=str(script))
    assert page.evaluate(AXE) == []
