"""Live figures in a real browser: the loader on a small page, then every figure of the site."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browsing import ENLIVEN, OVERFLOW, Visit
from figures import FIGURES, INTERACT, LIVE, PAGES, PROBE, READ, Live, Reading, Twin, figures

from ganlib.lab import gan
from tools import build_site
from tools.sources import ROOT, SITE, chapters, code_cells

# ---- the loader, with a widget that shows what it was given -------------------------------------

WIDGET = """\
ganlibLive.widget("probe", "bundle", (() => {
const css = ".probe { color: rgb(1, 2, 3); }";
async function render({ model, el }) {
  const text = document.createElement("p");
  text.className = "probe";
  el.append(text);
  const inflate = new DecompressionStream("deflate");
  const bytes = await model.get("modules").main();
  const stream = new Blob([bytes]).stream().pipeThrough(inflate);
  const heard = [];
  const listen = (_, value) => heard.push(value.a);
  model.on("change:values", listen);
  model.set("values", { a: 1 });  // as it was: no change
  model.set("values", { a: 2 });
  model.off("change:values", listen);
  model.set("values", { a: 3 });
  model.save_changes();
  text.textContent = [await new Response(stream).text(), model.get("spec").title, heard.join(),
    model.get("values").a, model.static].join(" | ");
}
return { render, css };
})());
"""
PICTURE = base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><path d="M0 0h9v9z"/></svg>'
).decode()


def probe(title: str, module: str) -> str:
    state = {
        "widget": "probe",
        "bundle": "bundle",
        "spec": {"title": title},
        "values": {"a": 1},
        "metadata": {},
        "modules": {"main": base64.b64encode(zlib.compress(module.encode())).decode()},
    }
    return (
        f'<div class="ganlib-live" data-widget="probe" data-name="{title}">\n'
        f'<div class="ganlib-still"><img alt="a still of {title}" '
        f'src="data:image/svg+xml;base64,{PICTURE}"><details><summary>Numbers</summary><table>'
        "<tr><td>42</td></tr></table></details></div>\n"
        f'<script type="application/json" class="ganlib-state">{json.dumps(state)}</script>\n</div>'
    )


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three figures, each 3,000 pixels below the last: two with one module, one with another."""
    monkeypatch.setattr(build_site, "_bundle", lambda kind: {"bundle": WIDGET})
    style = (ROOT / "book/static/book.css").read_text()
    gap = '<div style="height: 3000px"></div>'
    body = gap.join(["<h1>t</h1>", probe("one", "same"), probe("two", "same"), probe("three", "x")])
    (tmp_path / "deep").mkdir()
    page = tmp_path / "deep" / "page.html"
    page.write_text(
        f"<!doctype html><html lang=en><head><title>t</title><style>{style}</style></head>"
        f"<body>{body}</body></html>"
    )
    build_site.move_live(tmp_path)
    return page


class Watched:
    """A page from a file, with what it loads and what it complains of."""

    def __init__(self, chromium: Any, page: Path, link: str = "", **settings: Any) -> None:
        self.context = chromium.new_context(viewport={"width": 900, "height": 700}, **settings)
        self.page = self.context.new_page()
        self.loaded: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.loaded.append(request.url))
        self.page.on(
            "console",
            lambda m: m.type in ("error", "warning") and self.complaints.append(m.text[:300]),
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)[:300]))
        self.page.goto(page.as_uri() + link, wait_until="load")

    def scripts(self) -> list[str]:
        """Names of what live figures fetched, less the loader."""
        names = [url.rsplit("/", 1)[-1] for url in self.loaded if "/_static/live/" in url]
        return [name for name in names if not name.startswith("page-")]

    def figure(self, number: int) -> Any:
        return self.page.locator(".ganlib-live").nth(number)

    def enliven(self, number: int) -> str:
        """Scroll to a figure and wait until its script has done; returns its ``data-live``."""
        self.figure(number).scroll_into_view_if_needed()
        self.page.wait_for_function(
            "n => document.querySelectorAll('.ganlib-live')[n].dataset.live", arg=number
        )
        return str(self.figure(number).get_attribute("data-live"))


@pytest.fixture
def watch(chromium: Any) -> Iterator[Any]:
    opened: list[Watched] = []

    def start(page: Path, **settings: Any) -> Watched:
        opened.append(Watched(chromium, page, **settings))
        return opened[-1]

    yield start
    for seen in opened:
        seen.context.close()


@pytest.mark.browser
def test_the_loader_fetches_near_the_view_and_each_file_once(probes: Path, watch: Any) -> None:
    seen = watch(probes)
    seen.page.wait_for_timeout(300)
    assert seen.scripts() == []
    assert seen.enliven(0) == "yes"
    assert len(seen.scripts()) == 3, "state, bundle, module"
    assert seen.figure(0).locator(".probe").inner_text() == "same | one | 2 | 3 | true"
    assert not seen.figure(0).locator("img").is_visible()
    assert seen.enliven(1) == "yes"
    assert len(seen.scripts()) == 4, "only the state is new"
    assert seen.figure(1).locator(".probe").inner_text() == "same | two | 2 | 3 | true"
    assert seen.enliven(2) == "yes"
    assert len(seen.scripts()) == len(set(seen.scripts())) == 6
    assert seen.figure(2).locator(".probe").inner_text().startswith("x | three")
    color = seen.figure(2).locator(".probe").evaluate("e => getComputedStyle(e).color")
    assert color == "rgb(1, 2, 3)"
    assert seen.page.evaluate("document.querySelectorAll('head style').length") == 2
    assert seen.complaints == []


@pytest.mark.browser
def test_a_link_with_settings_of_a_figure_opens_at_it(probes: Path, watch: Any) -> None:
    seen = watch(probes, link="#lab.three=preset:collapse")
    seen.page.wait_for_function(
        "document.querySelectorAll('.ganlib-live')[2].dataset.live === 'yes'"
    )
    assert seen.figure(2).get_attribute("data-name") == "three"
    assert seen.figure(0).get_attribute("data-live") is None


@pytest.mark.browser
def test_paper_shows_the_still_without_its_table(probes: Path, watch: Any) -> None:
    seen = watch(probes)
    seen.enliven(0)
    seen.page.emulate_media(media="print")
    for number in range(3):
        assert seen.figure(number).locator("img").is_visible()
        assert not seen.figure(number).locator("table").is_visible()
    assert not seen.figure(0).locator(".probe").is_visible()


@pytest.mark.browser
def test_without_scripts_the_still_stands(probes: Path, watch: Any) -> None:
    seen = watch(probes, java_script_enabled=False)
    assert seen.figure(0).locator("img").is_visible()
    seen.figure(0).locator("summary").click()
    assert seen.figure(0).locator("td").is_visible()
    assert seen.scripts() == []


@pytest.mark.browser
@pytest.mark.parametrize("gone", ["state", "bundle", "part"])
def test_a_failure_is_said_and_leaves_the_still(gone: str, probes: Path, watch: Any) -> None:
    folder = probes.parent.parent / "_static/live"
    for script in folder.glob("*.js"):
        opens = "ganlibLive.widget(" if gone == "bundle" else f"ganlibLive.{gone}("
        if script.read_text().startswith(opens):
            script.unlink()
    seen = watch(probes)
    assert seen.enliven(0) == "no"
    assert seen.figure(0).locator("img").is_visible()
    said = seen.figure(0).locator(".ganlib-failed").inner_text()
    assert re.fullmatch(
        r"This figure stays a picture: .*\.js could not be loaded\. Try again", said
    )


@pytest.mark.browser
def test_a_widget_that_throws_leaves_the_still(probes: Path, watch: Any) -> None:
    bundle = probes.parent.parent / "_static/live/bundle.js"
    bundle.write_text(WIDGET.replace("const heard = [];", "throw new Error('planted');"))
    seen = watch(probes)
    assert seen.enliven(0) == "no"
    assert seen.figure(0).locator("img").is_visible()
    assert "planted" in seen.figure(0).inner_text()
    assert any("planted" in text for text in seen.complaints)


# ---- every live figure of the site --------------------------------------------------------------

LIMIT = 30_000  # bytes over the wire: script and module to the first picture of one widget
WHOLE = 60_000  # with what comes after it
LATER = {"pictures": 45_000}  # what a widget asks for when a reader comes near it, or plays


def per(given: list[Live]) -> Any:
    return pytest.mark.parametrize("figure", given, ids=lambda figure: figure.name)


def test_every_live_figure_of_the_chapters_is_on_its_page(site: Path) -> None:
    for page in chapters():
        path = site / "_sources" / f"{page.name}.ipynb"
        live = [
            output["data"]
            for cell in code_cells(nbformat.read(path, as_version=4))
            if not {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", []))
            for output in cell.get("outputs", [])
            if str(output.get("data", {}).get("text/html", "")).startswith(build_site.FIGURE)
        ]
        assert len(figures(page.name)) == len(live), page.name
        assert not [data for data in live if " at 0x" in data.get("text/plain", "")], page.name
        assert not [data for data in live if len(data) > 2], "a kernel's widget beside the page's"


def test_names_of_live_figures_are_unique_on_a_page() -> None:
    names = [figure.name for figure in FIGURES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_no_state_and_one_loader(name: str, site: Path) -> None:
    text = (site / f"{name}.html").read_text(encoding="utf-8")
    assert "ganlib-state" not in text
    assert len(re.findall(r"<script[^>]*/_static/live/page-", text)) == 1


@per(FIGURES)
def test_script_and_module_are_small(figure: Live) -> None:
    def wire(name: str) -> int:
        return len(gzip.compress((LIVE / f"{name}.js").read_bytes(), 6))

    script = wire(figure.state["bundle"])
    for name, digest in figure.state["modules"].items():
        size = wire(digest) if name in LATER else script + wire(digest)
        limit = LATER.get(name, LIMIT)
        assert size <= limit, f"{figure.name}: {size} bytes with the module {name}"
        if (late := figure.state.get("late")) and name not in LATER:
            whole = size + wire(late)
            assert whole <= WHOLE, f"{figure.name}: {whole} bytes with what comes late"


@pytest.fixture(scope="module")
def wide(chromium: Any) -> Iterator[Any]:
    made = chromium.new_context(viewport={"width": 1280, "height": 900})
    made.add_init_script(PROBE)
    yield made
    made.close()


def moves(page: Any, control: dict[str, Any], box: Any) -> Iterator[tuple[Any, float]]:
    """Move one control as a reader would, by keyboard; yields what it should then hold."""
    kind = control["kind"]
    if kind == "slider":
        for key, end in (("Home", control["min"]), ("End", control["max"])):
            box.locator("input[type=range]").press(key)
            yield key, end
    elif kind == "menu":
        for number in [n for n in range(len(control["options"])) if n != control["value"]]:
            box.locator("select").select_option(index=number)
            yield control["options"][number], number
    elif kind == "switch":
        for value in (1 - control["value"], control["value"]):
            box.locator("input").press("Space")
            yield "Space", value
    elif kind == "noise":
        for presses in (1, 2):
            box.locator("button").press("Enter")
            yield "Enter", control["value"] + presses
    else:
        raise AssertionError(f"a control of kind {kind!r} is not tested")


@pytest.mark.browser
@per(INTERACT)
def test_controls_move_what_they_should_and_numbers_are_the_modules(
    figure: Live, address: str, wide: Any
) -> None:
    visit = Visit(wide, f"{address}/{figure.page}.html")
    page = visit.page
    assert {fate for _, fate in page.evaluate(ENLIVEN)} == {"yes"}
    element = page.locator(".ganlib-live").nth(figure.number)
    element.scroll_into_view_if_needed()
    twin = Twin(figure)
    controls = figure.state["spec"]["controls"]
    faults: list[str] = []

    def read(where: str) -> Reading:
        """Read the page, and hold it against the same module in Python."""
        now = Reading(figure, page.evaluate(READ, figure.number))
        faults.extend(f"{where}: {fault}" for fault in twin.differs(now))
        if now.holes() and "not finite" not in now.text:
            faults.append(f"{where}: {now.holes()} values are not finite, and nothing says so")
        return now

    first = read("at first")
    assert first.values == {c["name"]: c["value"] for c in controls}
    for control in controls:
        box = element.locator(f'.live-control[data-name="{control["name"]}"]')
        before, moved, painted = first, False, False
        for key, expected in moves(page, control, box):
            where = f"{control['name']} after {key}"
            now = read(where)
            if abs(now.values[control["name"]] - expected) > 1e-9 * max(1.0, abs(expected)):
                faults.append(f"{where}: {now.values[control['name']]}, expected {expected}")
            moved |= bool(now.same_outputs(before.outputs))
            painted |= now.shown != before.shown
            before = now
        if not moved:
            faults.append(f"{control['name']} changes no output")
        elif not painted:
            faults.append(f"{control['name']} changes outputs, but nothing that is shown")
        element.locator(".live-reset").press("Enter")
        again = read("after the reset")
        if again.values != first.values or again.same_outputs(first.outputs):
            faults.append(f"the reset after {control['name']} does not bring the first figure back")
    faults += [f"asked another host: {url}" for url in visit.outside]
    faults += [f"failed: {url}" for url in visit.failed]
    faults += [f"console: {text}" for text in visit.complaints]
    page.close()
    assert not faults, f"{figure.name}:\n" + "\n".join(faults)


def check_stills(page: Any) -> None:
    """Each figure of the page is a picture with words and numbers."""
    lives = page.locator(".ganlib-live")
    for number in range(lives.count()):
        image = lives.nth(number).locator(".ganlib-still img")
        assert image.is_visible()
        assert len((image.get_attribute("alt") or "").split()) >= 4
        box = image.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 100
        assert lives.nth(number).locator(".ganlib-still td").count() > 0
        assert not lives.nth(number).locator(".ganlib-view").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_each_figure_is_a_still_with_its_numbers(
    name: str, address: str, chromium: Any
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{name}.html", wait_until="load")
    check_stills(page)
    page.locator(".ganlib-still summary").first.click()
    assert page.locator(".ganlib-still table").first.is_visible()
    context.close()


def check_nothing_is_fetched_early(visit: Visit, near_the_view: int) -> None:
    """What lies far below the view of a page just opened was not asked for."""
    visit.page.wait_for_timeout(200)
    asked = {url.rsplit("/", 1)[-1] for url in visit.requested if "/_static/live/" in url}
    asked = {file for file in asked if not file.startswith("page-")}
    tops = visit.page.evaluate(
        "[...document.querySelectorAll('.ganlib-live')].map(f => "
        "[f.dataset.state.split('/').at(-1), f.getBoundingClientRect().top, f.dataset.live])"
    )
    # The page grows while its formulas are set: what lies far below was never near.
    far = {state for state, top, _ in tops if top > near_the_view}
    near = {state for state, top, _ in tops if top <= near_the_view}
    assert not asked & (far - near)
    if not near:
        assert asked == set()
    assert not [live for state, top, live in tops if top > near_the_view and live]


# One load of a page serves all that a phone shows: a page takes seconds to set its formulas.
@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_figures_come_when_near_fit_a_phone_follow_the_theme_and_print(
    name: str, address: str, chromium: Any
) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 300}, has_touch=True)
    visit = Visit(context, f"{address}/{name}.html")
    page = visit.page
    check_nothing_is_fetched_early(visit, 1200)
    page.set_viewport_size({"width": 360, "height": 740})
    assert {fate for _, fate in page.evaluate(ENLIVEN)} == {"yes"}
    narrow = page.evaluate(OVERFLOW)
    assert narrow["scroll"] <= narrow["width"], narrow
    assert not narrow["wide"], narrow
    paint = (  # what is folded away is drawn when it is opened
        "[...document.querySelectorAll('.ganlib-live canvas')].filter(c => c.checkVisibility())"
        ".map(c => c.toDataURL())"
    )
    set_theme = "theme => { document.documentElement.dataset.theme = theme; }"
    page.evaluate(set_theme, "light")
    page.wait_for_timeout(200)
    light = page.evaluate(paint)
    page.evaluate(set_theme, "dark")
    page.wait_for_timeout(200)
    dark = page.evaluate(paint)
    assert len(light) == len(dark) > 0
    assert not [number for number, (a, b) in enumerate(zip(light, dark, strict=True)) if a == b]
    grounds = page.evaluate(
        "[...document.querySelectorAll('.ganlib-live')].map("
        "f => getComputedStyle(f.parentElement).backgroundColor)"
    )
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}, "the theme puts a light ground under outputs"
    page.emulate_media(media="print")
    check_stills(page)
    assert not page.locator(".ganlib-still table").first.is_visible()  # paper keeps the picture
    assert visit.complaints == []
    context.close()


def first_of_each_kind() -> list[str]:
    kinds = {figure.state["widget"]: figure.page for figure in reversed(FIGURES)}
    return sorted(set(kinds.values()))


@pytest.mark.browser
@pytest.mark.parametrize("name", first_of_each_kind())
def test_figures_live_from_a_file(name: str, chromium: Any) -> None:
    context = chromium.new_context()
    visit = Visit(context, (SITE / f"{name}.html").as_uri())
    assert {fate for _, fate in visit.page.evaluate(ENLIVEN)} == {"yes"}
    assert visit.outside == []
    assert visit.complaints == []
    context.close()


@pytest.mark.browser
@per([figure for figure in FIGURES if figure.state["widget"] == "gan"])
def test_the_laboratory_trains_pauses_and_starts_again(
    figure: Live, address: str, wide: Any
) -> None:
    visit = Visit(wide, f"{address}/{figure.page}.html")
    page = visit.page
    assert {fate for _, fate in page.evaluate(ENLIVEN)} == {"yes"}
    element = page.locator(".ganlib-live").nth(figure.number)
    element.scroll_into_view_if_needed()
    run = f"document.querySelectorAll('.ganlib-live')[{figure.number}].querySelector('.lab-run')"
    step = f"Number({run}.dataset.step)"
    page.wait_for_function(f"{step} === 0")
    paint = f"{run}.querySelector('canvas').toDataURL()"
    first = page.evaluate(paint)
    element.locator(".lab-play").press("Enter")
    page.wait_for_function(f"{step} >= 200")
    element.locator(".lab-play").press("Enter")
    page.wait_for_timeout(300)
    stopped = page.evaluate(step)
    page.wait_for_timeout(300)
    assert page.evaluate(step) == stopped
    assert page.evaluate(paint) != first
    # The worker's numbers are those of the same steps in Python, to the last bit.
    live = f"document.querySelectorAll('.ganlib-live')[{figure.number}].probe"
    history = page.evaluate(f"frames_of_workers[{live}.first].history")
    twin = gan.Run(figure.state["values"]["settings"])
    while twin.step < stopped:
        twin.both()
    assert history["step"][-1] > 0
    for name, values in twin.record().history.items():
        if values is not None:
            assert history[name] == values, name
    element.get_by_role("button", name="Reset", exact=True).press("Enter")
    page.wait_for_function(f"{step} === 0")
    page.wait_for_timeout(100)
    assert page.evaluate(paint) == first, "the same seed shows the same picture"
    assert visit.complaints == []
    assert visit.outside == []
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("address_of", ["address", "file"])
def test_the_laboratory_has_a_page_of_its_own(address_of: str, address: str, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    root = address if address_of == "address" else SITE.as_uri()
    visit = Visit(context, f"{root}/lab.html#lab.stage=preset:healthy;seed:7")
    page = visit.page
    page.wait_for_selector(".lab-settings")
    step = "Number(document.querySelector('.lab-run').dataset.step)"
    page.locator(".lab-play").press("Enter")
    page.wait_for_function(f"{step} >= 20")
    assert page.locator("[data-name=seed] input").input_value() == "7"
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    page.get_by_role("link", name="to the book").click()
    page.wait_for_selector(".bd-article h1:has-text('Proof and Play')")
    assert visit.complaints == []
    assert visit.outside == []
    context.close()


def test_the_front_page_and_the_contents_lead_to_the_laboratory(site: Path) -> None:
    for name in ("book/index", "book/theory/the-game"):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert re.search(r'<p class="lab-link">\s*<a[^>]*href="[./]*lab\.html"', text), name
    assert 'href="../lab.html?embed"' in (site / "book/index.html").read_text(encoding="utf-8")
