"""The laboratory as a stage: all in sight, D's picture, a step in ten parts, one sample read."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ziglang")
pytest.importorskip("wasmtime")
pytest.importorskip("anywidget")
pytest.importorskip("playwright")

from laboratory_page import (
    AXE,
    Open,
    lab,
    move,
    one_step,
    page_file,
    press,
    reach,
    rest,
    seen,
    teach,
    values,
    visit,
)

from ganlib import losses, networks
from ganlib.lab import flat, gan
from ganlib.lab.laboratory import weights_of_generator
from tools.vendor import TEST_ASSETS

__all__ = ["page_file", "visit"]  # fixtures

pytestmark = pytest.mark.browser

IN_SIGHT = """(selector) => [...document.querySelectorAll(selector)].map((e) => {
  const box = e.getBoundingClientRect();
  let inside = box.width > 0 && box.top >= 0 && box.left >= 0
    && box.bottom <= innerHeight + 1 && box.right <= innerWidth + 1;
  for (let p = e.parentElement; p; p = p.parentElement)
    if (/auto|scroll|hidden/.test(getComputedStyle(p).overflowY)
        && box.bottom > p.getBoundingClientRect().bottom + 1) inside = false;
  return inside;
})"""
MAIN = ("target", "latent", "loss", "penalty", "pack", "critic_steps", "rate_g", "rate_d")


def check_all_in_sight(page: Any) -> None:
    page.wait_for_timeout(300)
    places = [".lab-play", ".lab-lesson", ".lab-plane", ".lab-key", ".lab-readings", ".lab-flow",
              ".lab-foot [data-name=seed]"]  # fmt: skip
    places += [f".lab-settings [data-name={name}]" for name in MAIN]
    for place in places:
        assert page.evaluate(IN_SIGHT, place) == [True], place
    assert page.evaluate(IN_SIGHT, ".lab-chart") == [True] * 3
    assert lab(page).locator(".lab-plane").bounding_box()["width"] >= 480
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900)])
@pytest.mark.parametrize("lesson", ["Collapse", "Wasserstein with penalty", "Saturation"])
def test_all_is_in_sight_on_the_stage(visit: Open, width: int, height: int, lesson: str) -> None:
    page = visit(width=width, height=height, file="lab.html")
    page.evaluate("document.querySelectorAll('.lab-groups details').forEach(d => d.open = false)")
    teach(page, lesson)
    rest(page)
    check_all_in_sight(page)


def test_a_page_opens_the_stage_and_comes_back(visit: Open) -> None:
    page = visit(width=1280, height=800, labs=1)
    page.evaluate("document.querySelectorAll('.lab-groups details').forEach(d => d.open = false)")
    state = reach(page, 30)
    lab(page).get_by_role("button", name="Open the stage").click()
    assert page.evaluate("document.querySelector('.lab-plane').closest('dialog').open")
    for place in (".lab-play", ".lab-lesson", ".lab-plane", ".lab-key"):
        assert page.evaluate(f"s => ({IN_SIGHT})(s)[0]", f"dialog {place}"), place
    assert lab(page).locator(".lab-plane").bounding_box()["width"] >= 480
    assert seen(page)["samples"] == state["samples"]  # the same run goes on
    assert reach(page, state["step"] + 20)["step"] > state["step"]
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "Open the stage"
    assert page.evaluate("workers.length") == 1


def test_on_a_phone_the_plane_and_play_come_first(visit: Open) -> None:
    page = visit(width=390, height=844, file="lab.html")
    assert page.evaluate(IN_SIGHT, ".lab-play, .lab-plane") == [True, True]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tops = page.evaluate(
        "['.lab-plane', '.lab-lesson', '.lab-flow', '.lab-settings'].map("
        "s => document.querySelector(s).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


def test_it_can_be_embedded(visit: Open) -> None:
    page = visit(
        "?embed#lab.stage=preset:saturation;seed:3", width=960, height=540, file="lab.html"
    )
    for place in (".lab-play", ".lab-plane", ".lab-readings"):
        assert page.evaluate(IN_SIGHT, place) == [True], place
    assert not lab(page).locator(".lab-settings").is_visible()
    assert lab(page).get_by_role("link").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert reach(page, 10)["step"] >= 10
    assert values(page)["preset"] == "collapse"  # what the address says is not the reader's


# --- what D says -----------------------------------------------------------------------------


def key_of(page: Any) -> tuple[float, float]:
    """The range that is written on the key."""
    low, high = (
        float(lab(page).locator(place).inner_text().replace("\u2212", "-"))
        for place in (".lab-low", ".lab-high")
    )
    return low, high


def rounded_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-6))


@pytest.mark.parametrize(
    ("lesson", "middle"), [("Collapse", 0.5), ("Least squares", 0.5), ("R1 penalty", None)]
)
def test_the_range_fits_what_it_shows(visit: Open, lesson: str, middle: float | None) -> None:
    page = visit()
    teach(page, lesson)
    rest(page)
    reach(page, 60)
    page.wait_for_timeout(100)
    field = np.array(page.evaluate("[...workers[0].last.field]"), np.float32)
    centre = middle if middle is not None else np.sort(field)[799]
    reach_of = np.sort(np.abs(field - np.float32(centre)))[math.ceil(0.99 * field.size) - 1]
    half = rounded_up(float(reach_of))
    low, high = key_of(page)
    assert (high - low) / 2 == pytest.approx(half, rel=0.02)
    assert (high + low) / 2 == pytest.approx(centre, abs=0.02 * half + 1e-3)
    said = lab(page).locator(".lab-line").inner_text()
    assert ("median" in said) == (middle is None)


def test_the_line_is_where_d_cannot_tell(visit: Open) -> None:
    page = visit()
    reach(page, 100)
    # The canvas has the line's colour where the field crosses 1/2, and nowhere far from it.
    field = np.array(page.evaluate("[...workers[0].last.field]")).reshape(40, 40)[::-1]
    for view in ("data", "generated", "pull on samples"):
        lab(page).get_by_role("checkbox", name=view).uncheck()
    shown = page.evaluate(
        """() => { const c = document.querySelector(".lab-plane canvas");
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          const dark = [];
          for (let y = 0; y < c.height; y++) for (let x = 0; x < c.width; x++) {
            const i = 4 * (y * c.width + x);
            if (data[i + 3] > 200 && data[i] + data[i + 1] + data[i + 2] < 180)
              dark.push([x / c.width, y / c.height]);
          }
          return dark; }"""
    )
    side = np.sign(field - 0.5)
    crossing = (side[:, 1:] != side[:, :-1]).any() or (side[1:] != side[:-1]).any()
    assert crossing == bool(shown)
    for x, y in shown[:: max(len(shown) // 200, 1)]:
        i, j = min(int(y * 40), 39), min(int(x * 40), 39)
        near = field[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        assert near.min() <= 0.5 <= near.max()


def test_what_one_step_of_d_changed_is_seen(visit: Open) -> None:
    page = visit()
    reach(page, 60)
    before = np.array(page.evaluate("[...workers[0].last.field]"))
    canvas = lab(page).locator(".lab-plane canvas")
    one_step(page, "D")
    page.wait_for_timeout(100)
    after = np.array(page.evaluate("[...workers[0].last.field]"))
    assert lab(page).locator(".lab-key").inner_text().startswith("D\u2019s change in this step")
    low, high = key_of(page)
    change = np.sort(np.abs(after - before))[math.ceil(0.99 * before.size) - 1]
    assert high == -low == pytest.approx(rounded_up(float(change)), rel=1e-3)
    picture = canvas.evaluate("c => c.toDataURL()")
    lab(page).get_by_label("what it changed").uncheck()
    assert lab(page).locator(".lab-key").inner_text().startswith("D says")
    assert canvas.evaluate("c => c.toDataURL()") != picture
    one_step(page, "G")
    assert lab(page).locator(".lab-key").inner_text().startswith("D says")


# --- a step in ten parts ---------------------------------------------------------------------


def numbers_in(text: str) -> list[float]:
    return [float(t) for t in re.findall(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+", text)]


class Twin:
    """The step after a run's, by torch: each part's numbers."""

    def __init__(self, steps: int, **changes: Any) -> None:
        self.run = gan.Run(
            gan.settings(**{**gan.PRESETS["collapse"].settings, "seed": 5, **changes})
        )
        for _ in range(steps):
            self.run.both()
        self.settings = self.run.settings
        loss = losses.non_saturating()
        nets = networks.mlp(8, 64, 64, 2), networks.mlp(2, 64, 64, 1)
        self.game, self.loss = flat.FlatStep(*nets, loss), loss

    def buffer(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.run._buffers[name].copy())

    def slope(self, cost: Any, state: torch.Tensor, player: str) -> float:
        g, total = weights_of_generator(), len(self.run._buffers["uniform"])
        part = slice(0, g) if player == "generator" else slice(g, total)
        state = state.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(cost(state), state)
        return float(gradient[part].norm())

    def parts(self) -> list[list[float]]:
        before = self.buffer("state")
        self.run.discriminator()
        latent, real = self.buffer("latent"), self.buffer("real")

        def cost_d(state: torch.Tensor) -> torch.Tensor:
            fake = self.game.sample(state, latent).detach()
            return self.loss.discriminator(
                self.game.critic(state, real), self.game.critic(state, fake)
            )

        fake = self.game.sample(before, latent)
        said_real, said_fake = (torch.sigmoid(self.game.critic(before, x)) for x in (real, fake))
        size = latent.norm(dim=1).mean()
        first = [
            [float(size)], fake.mean(0).tolist(), real.mean(0).tolist(),
            [float(said_real.mean()), float(said_fake.mean())],
            [float(cost_d(before)), self.slope(cost_d, before, "discriminator")],
        ]  # fmt: skip
        middle = self.buffer("state")
        self.run.generator()
        latent = self.buffer("latent")
        fake = self.game.sample(middle, latent).detach().requires_grad_()
        said = self.game.critic(middle, fake)
        (pull,) = torch.autograd.grad(self.loss.generator(said) * len(fake), fake)

        def cost_g(state: torch.Tensor) -> torch.Tensor:
            g = weights_of_generator()
            fixed = torch.cat([state[:g], middle[g:]])
            return self.loss.generator(self.game.critic(fixed, self.game.sample(fixed, latent)))

        return [
            *first,
            [float(latent.norm(dim=1).mean())], fake.mean(0).tolist(),
            [float(torch.sigmoid(said).mean().detach())], [float(pull.norm(dim=1).mean())],
            [float(cost_g(middle)), self.slope(cost_g, middle, "generator")],
        ]  # fmt: skip


def test_ten_parts_by_key_with_their_numbers(visit: Open) -> None:
    page = visit()
    start = reach(page, 40)
    expected = Twin(start["step"]).parts()
    lab(page).locator(".lab-plane").focus()
    line = lab(page).locator(".flow-line")
    lit = "[...document.querySelectorAll('.flow-lit')].map(e => e.getAttribute('class'))"
    seen_lit = []
    for number, values_of in enumerate(expected, 1):
        page.keyboard.press(".")
        page.wait_for_function("n => workers[0].last.part === n", arg=number)
        page.wait_for_function(
            "n => document.querySelector('.flow-line').textContent.startsWith(`${n} of 10`)",
            arg=number,
        )
        said = line.inner_text().replace("\u2212", "-")
        assert f"{'D' if number <= 5 else 'G'}\u2019s turn" in said
        shown = numbers_in(said.partition(";")[2])
        assert shown == pytest.approx(values_of, rel=6e-3, abs=6e-4), said
        seen_lit.append(sorted(page.evaluate(lit)))
        assert lab(page).locator(".live-say").inner_text() == line.inner_text()
    assert len({str(parts) for parts in seen_lit}) >= 7
    assert all(seen_lit)
    # A step taken in parts is the step: the same bits.
    end = rest(page)
    assert end["step"] == start["step"] + 1
    twin = gan.GanLab("collapse", seed=5).run(end["step"])
    shown_samples = np.asarray(page.evaluate("[...workers[0].last.samples]"), np.float32)
    assert np.array_equal(shown_samples, twin.samples.ravel())


def test_a_step_begun_in_parts_is_finished_by_play(visit: Open) -> None:
    page = visit()
    rest(page)
    for _ in range(7):
        press(page, "Next part")
    page.wait_for_function("workers[0].last.part === 7")
    state = reach(page, 30)
    twin = gan.GanLab("collapse", seed=5).run(state["step"])
    shown = np.asarray(page.evaluate("[...workers[0].last.samples]"), np.float32)
    assert np.array_equal(shown, twin.samples.ravel())


def test_part_by_part_it_plays_the_parts(visit: Open) -> None:
    page = visit()
    lab(page).get_by_label("Speed").select_option("part by part")
    press(page, "Play")
    page.wait_for_function("workers[0].last.part >= 2", timeout=20_000)
    press(page, "Pause")
    rest(page)
    move(page, "critic_steps", "ArrowRight")
    rest(page)

    def next_part() -> int:
        before = page.evaluate("workers[0].last.part")
        press(page, "Next part")
        page.wait_for_function("n => workers[0].last.part !== n", arg=before)
        return page.evaluate("workers[0].last.part")

    while next_part() != 10:
        pass
    assert [next_part() for _ in range(15)] == [*range(1, 6), *range(1, 11)]  # D steps twice


# --- one sample ------------------------------------------------------------------------------


def test_a_sample_says_what_d_says_of_it(visit: Open) -> None:
    page = visit()
    teach(page, "Equal rates")
    rest(page)
    state = reach(page, 60)
    record = gan.GanLab("healthy", seed=5).run(state["step"])
    lab(page).locator(".lab-plane").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "document.querySelector('.lab-told').textContent.startsWith('Sample 3 ')"
    )
    said = lab(page).locator(".lab-told").inner_text().replace("\u2212", "-")
    x, y, verdict, pull, *_ = numbers_in(said)
    assert (x, y) == pytest.approx(tuple(record.samples[2]), abs=6e-3)
    game = flat.FlatStep(
        networks.mlp(8, 64, 64, 2), networks.mlp(2, 64, 64, 1), losses.non_saturating()
    )
    output = game.critic(torch.from_numpy(record.state), torch.from_numpy(record.samples[2:3]))
    assert verdict == pytest.approx(float(torch.sigmoid(output).detach()), abs=6e-4)
    assert pull == pytest.approx(float(np.linalg.norm(record.arrows[2, 2:])), abs=6e-5)
    assert lab(page).locator(".flow-read").get_attribute("d")  # its latent, in the noise
    page.keyboard.press("Escape")
    assert lab(page).locator(".lab-told").inner_text() == ""
    # By pointer: the nearest sample.
    box = lab(page).locator(".lab-plane canvas").bounding_box()
    inside = np.flatnonzero((np.abs(record.samples) < 1.4).all(axis=1))
    point = [float(v) for v in record.samples[inside[0]]]
    page.mouse.move(
        box["x"] + (point[0] + 1.5) / 3 * box["width"],
        box["y"] + (1.5 - point[1]) / 3 * box["height"],
    )
    page.wait_for_function("document.querySelector('.lab-told').textContent")
    number = int(re.search(r"Sample (\d+)", lab(page).locator(".lab-told").inner_text())[1])
    assert np.linalg.norm(record.samples[number - 1] - point) < 0.05
    page.mouse.move(2, 2)
    page.wait_for_function("!document.querySelector('.lab-told').textContent")


# --- addresses, failures ---------------------------------------------------------------------


def test_the_length_of_arrows_is_in_the_address(visit: Open) -> None:
    page = visit()
    lab(page).get_by_label("Length of the arrows").select_option("\u00d7 100")
    values(page)
    assert ";pull:100" in page.url
    other = visit(page.url[page.url.index("#") :])
    assert lab(other).get_by_label("pull on samples").is_checked()
    assert "(\u00d7 100)" in lab(other).locator(".lab-pull").inner_text()
    lab(other).get_by_label("pull on samples").uncheck()
    values(other)
    assert ";pull:off" in other.url
    third = visit("#lab.one=preset:collapse;pull:7")
    assert "pull 7" in lab(third).locator(".lab-note").inner_text()


def test_an_empty_drawing_in_a_link_goes_live_and_can_be_drawn(visit: Open) -> None:
    page = visit("#lab.one=preset:collapse;target:drawn;spin:1")
    note = lab(page).locator(".lab-note").inner_text()
    assert "Draw a few points" in note
    assert "spin 1" in note
    assert not page.locator(".ganlib-still").first.is_visible()
    lab(page).locator(".lab-plane").focus()
    page.evaluate("document.querySelector('.lab-plane').focus()")
    lab(page).get_by_role("button", name="Draw on the plane").click()
    page.keyboard.press("Space")
    page.wait_for_function("workers[0].last?.real.length > 0")
    assert reach(page, 10)["step"] >= 10
    press(page, "Play")
    page.wait_for_function("workers[0].last.step > 20")
    press(page, "Clear drawing")
    page.wait_for_timeout(300)
    before = seen(page)["step"]
    page.wait_for_timeout(300)
    assert seen(page)["step"] == before  # what cannot be paused does not train on
    assert lab(page).locator(".lab-readings").inner_text() == ""


def test_a_part_that_cannot_be_loaded_is_said_and_asked_for_again(visit: Open) -> None:
    page = visit()
    rest(page)
    page.evaluate(
        """() => { const { append } = document.head;
          window.offline = true;
          document.head.append = (script) => (offline ? setTimeout(() => script.onerror())
            : append.call(document.head, script)); }"""
    )
    move(page, "penalty", "R1")
    alert = lab(page).get_by_role("alert")
    page.wait_for_function("document.querySelector('.lab [role=alert]').textContent")
    assert "could not be loaded. Reset tries again." in alert.inner_text()
    page.evaluate("() => { window.offline = false; }")
    press(page, "Reset")
    page.wait_for_function("!document.querySelector('.lab [role=alert]').textContent")
    page.wait_for_function("workers[1]?.last")  # another worker, in place of the first
    assert reach(page, 10, worker=1)["step"] >= 10


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_the_stage_can_be_read_by_all(visit: Open, theme: str, width: int) -> None:
    page = visit(width=width, height=844, file="lab.html")
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    press(page, "Next part")
    page.wait_for_function("workers[0].last.part === 1")
    script = TEST_ASSETS / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe is not here; `python -m tools.vendor` fetches it")
    page.add_script_tag(path=str(script))
    assert page.evaluate(AXE) == []
