"""Looking back along a run, what a lesson asks, and a link in prose that sets the laboratory."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")
pytest.importorskip("playwright")

from conftest import in_node
from laboratory_page import (
    AXE,
    Open,
    lab,
    move,
    page_file,
    press,
    reach,
    rest,
    seen,
    teach,
    visit,
)

import ganlib.lab
from ganlib.lab import gan
from ganlib.lab.gan import lessons
from ganlib.lab.gan.presets import PRESETS
from tools.sources import ROOT
from tools.vendor import TEST_ASSETS

__all__ = ["page_file", "visit"]  # fixtures

pytestmark = pytest.mark.browser

# The losses of every picture that came, by step, in the order of the two players.
RECORD = "window.came = {}; window.onframe = (w) => { came[w.last.step] = w.last.loss; }; 0"


def line(page: Any, number: int = 0) -> Any:
    return lab(page, number).get_by_label("Time line")


def readings(page: Any, run: int = 0) -> str:
    return lab(page).locator(".lab-readings").nth(run).inner_text()


def step_read(page: Any, run: int = 0) -> int:
    found = re.search(r"step ([\d,]+)", readings(page, run))
    assert found
    return int(found[1].replace(",", ""))


def picture(page: Any) -> str:
    return lab(page).locator(".lab-plane canvas").first.evaluate("c => c.toDataURL()")


def sent(page: Any, worker: int = 0) -> int:
    return page.evaluate("i => workers[i].sent.length", worker)


def test_the_time_line_shows_a_run_as_it_was(visit: Open) -> None:
    page = visit()
    page.evaluate(RECORD)
    end = reach(page, 300)
    now, said, asked = picture(page), readings(page), sent(page)
    line(page).press("Home")
    assert step_read(page) == 0
    assert picture(page) != now
    line(page).press("ArrowRight")
    middle = int(line(page).get_attribute("max")) // 2
    line(page).evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", middle)
    step = step_read(page)
    assert 0 < step < end["step"]
    loss = page.evaluate("s => came[s]", step)
    for player in "dg":
        shown = re.search(rf"loss of {player.upper()} (\S+)", readings(page))
        assert shown
        assert float(shown[1].replace("\u2212", "-")) == pytest.approx(loss[player], abs=0.0051)
    assert f"step {step:,}; Play" in lab(page).locator(".lab-past").inner_text()
    assert line(page).get_attribute("aria-valuetext") == f"step {step:,} of {end['step']:,}"
    line(page).press("End")
    assert (picture(page), readings(page)) == (now, said)
    assert sent(page) == asked  # looking back asks nothing of the run


def test_play_goes_on_from_the_end(visit: Open) -> None:
    page = visit()
    end = reach(page, 200)["step"]
    line(page).press("Home")
    press(page, "One G step")
    rest(page)
    assert step_read(page) == end + 1
    line(page).press("Home")
    press(page, "Play")
    page.wait_for_function("n => workers[0].last.step > n + 20", arg=end)
    press(page, "Pause")
    rest(page)
    page.wait_for_timeout(100)
    assert step_read(page) == seen(page)["step"] > end
    assert not lab(page).locator(".lab-past").inner_text()


def test_a_drag_on_a_chart_looks_back_while_it_plays(visit: Open) -> None:
    page = visit(height=1600)
    reach(page, 300)
    press(page, "Play")
    box = lab(page).locator(".lab-chart canvas").first.bounding_box()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    seen_steps = []
    for share in (0.6, 0.4, 0.2, -0.5):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(60)
        seen_steps.append(step_read(page))
    page.mouse.up()
    assert seen_steps == sorted(seen_steps, reverse=True)
    assert seen_steps[0] > seen_steps[-1] == 0
    rest(page)
    assert step_read(page) == 0  # the picture of the pause did not end it
    assert lab(page).get_by_role("button", name="Play", exact=True).is_visible()
    press(page, "To the end")
    assert step_read(page) == seen(page)["step"]
    assert line(page).evaluate("e => e === document.activeElement")


def change_a_rate(page: Any) -> None:
    move(page, "rate_d", "Home")


def change_the_target(page: Any) -> None:
    move(page, "latent", "Home")


def reset(page: Any) -> None:
    press(page, "Reset")


def lesson(page: Any) -> None:
    teach(page, "Packing")


def link(page: Any) -> None:
    page.evaluate("location.hash = '#lab.one=preset:saturation;seed:3'")


@pytest.mark.parametrize("act", [change_a_rate, change_the_target, reset, lesson, link])
def test_what_is_set_in_replay_ends_it(visit: Open, act: Any) -> None:
    page = visit()
    reach(page, 100)
    line(page).press("Home")
    line(page).press("ArrowRight")
    assert lab(page).locator(".lab-past").inner_text()
    act(page)
    page.wait_for_timeout(400)
    rest(page)
    page.wait_for_timeout(200)
    assert not lab(page).locator(".lab-past").inner_text()
    assert step_read(page) == seen(page)["step"]
    assert reach(page, seen(page)["step"] + 20)


def test_a_pointer_that_passes_by_does_not_end_looking_back(visit: Open) -> None:
    page = visit()
    page.wait_for_function("workers[0].last")
    x, y = page.evaluate("[...workers[0].last.samples.slice(0, 2)]")  # the plane is -1.5 to 1.5
    reach(page, 100)
    line(page).press("Home")
    asked = sent(page)
    box = lab(page).locator(".lab-plane canvas").first.bounding_box()
    told = lab(page).locator(".lab-told")
    page.mouse.move(
        box["x"] + (x + 1.5) / 3 * box["width"], box["y"] + (1.5 - y) / 3 * box["height"]
    )
    assert told.inner_text() == "A sample can be read at the end of the run."
    assert (step_read(page), sent(page)) == (0, asked)
    press(page, "To the end")
    lab(page).locator(".lab-plane").first.press("ArrowRight")
    page.wait_for_function("document.querySelector('.lab-told').innerText.startsWith('Sample ')")


def test_no_past_is_left_where_nothing_is_to_train_on(visit: Open) -> None:
    page = visit("#lab.one=preset:healthy;target:drawn;drawn:0,0,50,50,-50,50")
    reach(page, 100)
    line(page).press("Home")
    line(page).press("ArrowRight")
    assert lab(page).locator(".lab-past").inner_text()
    press(page, "Clear drawing")
    page.wait_for_timeout(300)
    assert not lab(page).locator(".lab-past").inner_text()
    assert not lab(page).get_by_role("button", name="To the end").is_visible()
    assert line(page).is_disabled()


def test_two_runs_are_looked_at_together(visit: Open) -> None:
    page = visit(height=1800)
    lab(page).get_by_label("Compare two runs").press("Space")
    page.wait_for_function("workers.length === 2 && workers[1].last")
    reach(page, 150)
    rest(page, 1)
    line(page).press("Home")
    for _ in range(4):
        line(page).press("ArrowRight")
    # It is in sight with the planes, and not below the first of two.
    assert (
        line(page).bounding_box()["y"] < lab(page).locator(".lab-plane").first.bounding_box()["y"]
    )
    before = sent(page), sent(page, 1)
    page.wait_for_timeout(300)
    assert (sent(page), sent(page, 1)) == before  # no run chases the other's past
    assert max(step_read(page), step_read(page, 1)) < seen(page)["step"]
    lab(page).get_by_label("Compare two runs").press("Space")
    page.wait_for_timeout(300)
    last = seen(page)["step"]  # run A is looked at still, and has the time line for itself
    assert f"Play goes on from {last:,}" in lab(page).locator(".lab-past").inner_text()
    press(page, "To the end")
    assert step_read(page) == last


def test_a_dead_run_can_be_looked_at(visit: Open) -> None:
    page = visit()
    reach(page, 100)
    page.evaluate("workers[0].onerror({ message: 'gone' })")
    line(page).press("Home")
    assert step_read(page) == 0
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(200)
    assert step_read(page) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
def test_pictures_kept_are_bounded_and_even(tmp_path: Path) -> None:
    source = (Path(ganlib.lab.__file__).parent / "replay.js").read_text()
    source = re.sub(r"(?m)^import .*\n", "", source).replace("export class", "class")
    program = (
        source
        + """
const replay = Object.create(Replay.prototype);
replay.sync = () => {};
const answer = [1, 7, 40].map((every) => {
  const run = {};
  let most = 0;
  for (let step = 0; step <= 100000; step += every) {
    replay.keep(run, { step, history: { step: [0, step], d: [0, step], modes: null } });
    most = Math.max(most, run.tape.frames.length);
  }
  const steps = run.tape.frames.map((f) => f.step);
  const held = Math.max(...run.tape.frames.map((f) => f.history.step.length));
  replay.keep(run, { step: 0, history: {} });
  return { most, steps, held, again: run.tape.frames.length };
});
"""
    )
    for found in in_node(program, tmp_path):
        gaps = [b - a for a, b in zip(found["steps"], found["steps"][1:], strict=False)]
        assert 40 <= len(found["steps"]) <= found["most"] <= 129
        assert max(gaps) <= 4 * min(gaps)
        assert found["steps"][0] == 0
        assert found["steps"][-1] > 95_000
        assert found["held"] == 1  # no picture holds a history of its own
        assert found["again"] == 1  # a reset begins anew


# --- what a lesson asks --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_the_options_hold_the_answer(name: str) -> None:
    asked = lessons.asked(name)
    trial, question = PRESETS[name].predict
    held = lessons.counted(name)[trial].held
    assert f"of {len(lessons.SEEDS)} new runs" in question
    assert f"{PRESETS[name].trials[trial].steps:,} steps" in question
    assert f"{held} of {len(lessons.SEEDS)}" in asked.resolved
    limits = [[int(n) for n in re.findall(r"\d+", option)] for option in asked.options]
    ranges = [range(limits[0][0] + 1), range(limits[1][0], limits[1][1] + 1),
              range(limits[2][0], len(lessons.SEEDS) + 1)]  # fmt: skip
    assert [n for r in ranges for n in r] == list(range(len(lessons.SEEDS) + 1))
    assert held in ranges[asked.answer]


def test_a_lesson_answers_once_the_reader_has_committed(visit: Open) -> None:
    page = visit()
    asked = lessons.asked("collapse")
    guess, said = lab(page).locator(".lab-guess"), lab(page).locator(".lab-resolved")
    counts = lab(page).locator(".lab-lesson details")
    commit = guess.get_by_role("button", name="Commit")
    assert commit.is_disabled()
    assert not said.is_visible()
    assert not counts.is_visible()
    wrong = (asked.answer + 1) % 3
    guess.get_by_role("radio").nth(wrong).press("Space")
    assert not said.is_visible()
    commit.press("Enter")
    assert said.inner_text() == f"You said {asked.options[wrong]}. {asked.resolved}"
    assert counts.is_visible()
    assert said.evaluate("e => e === document.activeElement")
    assert guess.get_by_role("radio").nth(0).is_disabled()
    teach(page, "A grid of 25")
    right = lessons.asked("grid")
    assert not said.is_visible()
    guess.get_by_role("radio").nth(right.answer).check()
    commit.click()
    assert said.inner_text() == f"As you said. {right.resolved}"
    teach(page, "Collapse")  # what was committed stays
    assert said.inner_text().startswith(f"You said {asked.options[wrong]}")


# --- a link in prose -----------------------------------------------------------------------------


def test_a_link_in_prose_sets_the_laboratory(visit: Open) -> None:
    page = visit()
    link = "#lab.one=preset:collapse;pack:2;seed:7"
    page.evaluate(
        f"document.querySelector('h1').insertAdjacentHTML('afterend', {json.dumps(link)}"
        ".replace(/.*/, '<p><a class=show href=\"$&\">show me</a></p>'))"
    )
    for _ in range(2):  # also a second time, after the reader has set something else
        page.locator("a.show").press("Enter")
        page.wait_for_function("workers[0].sent.at(-1)?.settings?.pack === 2")
        assert lab(page).locator("[data-name=pack] select").input_value() == "1"
        page.wait_for_timeout(300)
        assert lab(page).evaluate(
            "e => { const b = e.getBoundingClientRect();"
            " return b.top < innerHeight && b.bottom > 0; }"
        )
        move(page, "pack", "1")
        page.wait_for_function("workers[0].sent.at(-1)?.settings?.pack === 1")
        page.wait_for_timeout(350)


def links() -> list[tuple[str, str, str]]:
    """Each link of a chapter that sets a laboratory: the page, the figure's name, the settings."""
    return [
        (str(path.relative_to(ROOT)), *found)
        for path in sorted((ROOT / "book").rglob("*.md"))
        for found in re.findall(r'href="#lab\.([^="]+)=([^"]*)"', path.read_text("utf-8"))
    ]


def test_chapters_have_links_that_set_their_laboratory() -> None:
    assert len({page for page, *_ in links()}) >= 2


@pytest.mark.parametrize(("page", "name", "pairs"), links())
def test_a_link_of_a_chapter_says_what_can_be_set(page: str, name: str, pairs: str) -> None:
    made = re.findall(r'GanLab\("([^"]+)"', (ROOT / page).read_text("utf-8"))
    assert name in made
    two = "compare:yes" in pairs.split(";")
    for pair in pairs.split(";"):
        key, value = pair.split(":")
        if key == "preset":
            assert value in PRESETS
        elif key != "compare":
            assert two or not key.startswith("b.")
            plain = key.removeprefix("b.")
            gan.settings(**{plain: type(gan.DEFAULTS[plain])(value)})


# --- for every reader ----------------------------------------------------------------------------


@pytest.mark.parametrize("media", [{}, {"color_scheme": "dark"}, {"forced_colors": "active"},
                                   {"reduced_motion": "reduce"}])  # fmt: skip
def test_the_open_states_are_accessible(visit: Open, media: dict[str, str]) -> None:
    page = visit(width=360, height=780, **media)
    reach(page, 100)
    line(page).press("Home")
    lab(page).locator(".lab-guess").get_by_role("radio").first.check()
    lab(page).get_by_role("button", name="Commit").click()
    if media.get("color_scheme"):
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
    script = TEST_ASSETS / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe is not here; `python -m tools.vendor` fetches it")
    page.add_script_tag(path=str(script))
    assert page.evaluate(AXE) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
