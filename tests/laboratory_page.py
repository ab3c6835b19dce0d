"""A page with two laboratories, and the laboratory's own; what a reader does there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganlib.lab import GanLab, gan
from tools import build_site, lab_page
from tools.sources import ROOT

# Keeps what goes to and comes from each worker, and each figure's model and cleanup.
SPY = """
window.workers = []; window.models = []; window.closing = [];
const Native = window.Worker;
window.Worker = class extends Native {
  constructor(...given) {
    super(...given);
    this.sent = []; this.frames = 0;
    workers.push(this);
    this.addEventListener("message", ({ data }) => {
      if (data.type !== "frame") return;
      this.last = data.frame;
      this.frames++;
      if (window.onframe) window.onframe(this);
    });
  }
  postMessage(message, ...rest) {
    if (message.type !== "start" && message.type !== "next") this.sent.push(message);
    super.postMessage(message, ...rest);
  }
  terminate() { this.gone = true; super.terminate(); }
};
Object.defineProperty(window, "ganlibLive", { configurable: true, set(live) {
  const widget = live.widget;
  live.widget = (kind, digest, made) => widget(kind, digest, { ...made, async render(given) {
    models.push(given.model);
    const close = await made.render(given);
    closing.push(close);
    return close;
  } });
  Object.defineProperty(window, "ganlibLive", { value: live });
} });
window.hashed = (array) => { // FNV-1a of its bytes
  let h = 2166136261;
  for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    h = Math.imul(h ^ byte, 16777619) >>> 0;
  return h;
};
"""
SEEN = """(i) => {
  const { step, playing, samples, real, field, map, arrows, loss, history } = workers[i].last;
  return { step, playing, samples: hashed(samples), real: hashed(real), field: hashed(field),
    map: hashed(map), arrows: hashed(arrows), loss, history };
}"""

# What comes after the first picture is there; settings that are folded away are in sight.
FURNISHED = """(n) => {
  document.querySelectorAll(".lab-groups details").forEach((d) => { d.open = true; });
  return document.querySelectorAll(".lab-settings").length > n;
}"""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two laboratories with the same settings on one page, as the site has them."""
    folder = tmp_path_factory.mktemp("laboratory")
    lab = GanLab("collapse", name="one", seed=5)
    with pytest.MonkeyPatch.context() as patched:  # the still is tested elsewhere
        patched.setitem(gan.PRESETS, "collapse", gan.PRESETS["collapse"]._replace(steps=50))
        form = lab.page()
    other = form.replace('data-name="one"', 'data-name="two"').replace(
        '"name":"one"', '"name":"two"'
    )
    style = (ROOT / "book/static/book.css").read_text()
    gap = '<div style="height: 3000px"></div>'  # the second sleeps until the reader gets there
    page = folder / "page.html"
    page.write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Laboratory</title><style>{style} body {{ margin: 0 auto; max-width: 46rem; }} "
        'html[data-theme="dark"] body { background: #14181e; color: #ced6dd; }</style></head>'
        f"<body><main><h1>Laboratory</h1>{form}{gap}{other}</main></body></html>",
        encoding="utf-8",
    )
    own = form.replace('data-name="one"', 'data-name="stage"').replace(
        '"name":"one"', '"name":"stage"'
    )
    (folder / lab_page.NAME).write_text(lab_page.page(own, "page.html"), encoding="utf-8")
    build_site.move_live(folder)
    return page


@pytest.fixture
def visit(chromium: Any, page_file: Path) -> Iterator[Open]:
    """Open the page; it must not complain until the test is over."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        fragment: str = "",
        *,
        width: int = 1000,
        height: int = 1400,
        labs: int = 1,
        file: str = "page.html",
        **media: Any,
    ) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **media)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.add_init_script(SPY)
        page.goto(page_file.with_name(file).as_uri() + fragment)
        for number in range(labs):
            page.locator(".ganlib-live").nth(number).scroll_into_view_if_needed()
            page.wait_for_function("n => closing.length > n", arg=number)
            page.wait_for_function(FURNISHED, arg=number)
        page.locator(".ganlib-live").first.scroll_into_view_if_needed()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def lab(page: Any, number: int = 0) -> Any:
    return page.locator(".lab").nth(number)


def press(page: Any, name: str, number: int = 0) -> None:
    lab(page, number).get_by_role("button", name=name, exact=True).click()


def seen(page: Any, worker: int = 0) -> dict[str, Any]:
    """What the last frame of a worker says."""
    return page.evaluate(SEEN, worker)


def rest(page: Any, worker: int = 0) -> dict[str, Any]:
    """The picture once nothing more arrives."""
    page.wait_for_function(
        """async (i) => {
          const before = workers[i].frames;
          await new Promise((done) => setTimeout(done, 150));
          return before === workers[i].frames && !workers[i].last.playing;
        }""",
        arg=worker,
    )
    return seen(page, worker)


def reach(page: Any, step: int, worker: int = 0, number: int = 0) -> dict[str, Any]:
    """Play until a step has gone by, then pause."""
    press(page, "Play", number)
    page.wait_for_function(
        "([i, n]) => workers[i].last.step >= n", arg=[worker, step], timeout=90_000
    )
    press(page, "Pause", number)
    return rest(page, worker)


def one_step(page: Any, player: str, worker: int = 0) -> dict[str, Any]:
    frames = page.evaluate("i => workers[i].frames", worker)
    press(page, f"One {player} step")
    page.wait_for_function("([i, n]) => workers[i].frames > n", arg=[worker, frames])
    return rest(page, worker)


def values(page: Any, number: int = 0) -> dict[str, Any]:
    page.wait_for_timeout(350)  # what the reader sets is published once he rests
    return page.evaluate("i => models[i].get('values')", number)


def teach(page: Any, title: str) -> None:
    """Choose a lesson."""
    lab(page).get_by_label("Lesson", exact=True).select_option(label=title)


def field(page: Any, name: str) -> Any:
    return lab(page).locator(f".lab-settings .live-control[data-name={name}] :is(input, select)")


def move(page: Any, name: str, to: str) -> None:
    found = field(page, name)
    if found.evaluate("e => e.tagName") == "SELECT":
        found.select_option(label=to)
    else:
        found.press(to)


AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((v) => ["serious", "critical"].includes(v.impact))
  .map((v) => [v.id, v.nodes[0].html, v.nodes[0].failureSummary])"""
