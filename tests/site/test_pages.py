"""Every page of the built site in a real browser: one load a page for most of the checks."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from browsing import ENLIVEN, OVERFLOW, Visit, page_names

from tools.sources import toc
from tools.vendor import TEST_ASSETS

LIMIT = 1_000_000  # bytes over the wire, compressed, of a page with mathematics
COMPRESSED = (".html", ".js", ".css", ".svg", ".json", ".ttf")

# What a reader would see as broken: formulas left as TeX, pictures without words or without pixels.
LOOK = """() => {
  const main = document.querySelector('main') || document.body;
  const raw = [];
  const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (e.closest('pre, code, script, style, mjx-container, mjx-assistive-mml')) continue;
    const tex = /\\\\\\(|\\\\\\[|\\$\\$|\\\\(frac|mathbb|operatorname|begin)\\b/;
    const role = /\\{(doc|ref|eq|term|cite[:a-z]*|numref|glue[:a-z]*)\\}/;
    if (tex.test(walk.currentNode.data) || role.test(walk.currentNode.data))
      raw.push(walk.currentNode.data.trim().slice(0, 80));
  }
  return {
    raw,
    sources: main.querySelectorAll('.math').length,
    formulas: [...main.querySelectorAll('.math')].filter(e => e.querySelector('mjx-c')
      && e.querySelectorAll('math').length === 1 && e.querySelector('annotation').textContent.trim()
      && !e.querySelector('mjx-math:not([aria-hidden="true"])')).length,
    errors: [...main.querySelectorAll('mjx-merror')].map(e => e.textContent),
    stops: main.querySelectorAll('mjx-container [tabindex], .math [tabindex]').length,
    undescribed: [...main.querySelectorAll('img')]
      .filter(i => !(i.getAttribute('alt') || '').trim() || /^\\S+\\.(png|svg)$/.test(i.alt))
      .map(i => i.src),
    unloaded: [...document.images].filter(i => i.complete && i.naturalWidth === 0
      && i.offsetParent !== null).map(i => i.src),
    h1: [...document.querySelectorAll('main h1')].filter(e => e.offsetParent !== null).length,
  };
}"""
# With all that is folded open: displays that scroll, leave their box, vanished or are too small to
# read; formulas in a line that leave the window. A wide table scrolls with what is in it.
CUT = """() => {
  for (const folded of document.querySelectorAll('details')) folded.open = true;
  const edge = document.documentElement.clientWidth + 1;
  const tex = (e) => e.querySelector('annotation').textContent.slice(0, 60);
  const faults = [];
  for (const box of document.querySelectorAll('.bd-article div.math')) {
    const room = box.getBoundingClientRect();
    if (!room.width) continue;
    const shown = [...box.querySelectorAll('.formula')].filter(e => e.offsetParent);
    const ink = shown.length && shown[0].querySelector('mjx-math').getBoundingClientRect();
    const size = shown.length && parseFloat(getComputedStyle(shown[0]).fontSize);
    if (shown.length !== 1) faults.push(`${shown.length} versions: ${tex(box)}`);
    else if (box.scrollWidth > box.clientWidth + 2 || ink.left < room.left - 1
        || ink.right > room.right + 1 || ink.width < 8) faults.push(`cut off: ${tex(box)}`);
    else if (size < 11.5) faults.push(`set in ${size} pixels: ${tex(box)}`);
    const number = box.querySelector('.eqno')?.getBoundingClientRect();
    if (number && !(number.width > 8 && number.left >= room.left - 1 && number.right <= edge))
      faults.push(`its number is cut off: ${tex(box)}`);
  }
  for (const line of document.querySelectorAll('.bd-article span.math mjx-math')) {
    if (line.closest('table')) continue;
    if ([...line.getClientRects()].some(r => r.width && r.right > edge))
      faults.push(`leaves the window: ${tex(line.closest('.math'))}`);
  }
  return faults;
}"""
DARK = """() => {
  document.documentElement.dataset.mode = 'dark';
  document.documentElement.dataset.theme = 'dark';
  const light = c => { const v = c.match(/[\\d.]+/g).map(Number);
    const f = x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(v[0]) + 0.7152 * f(v[1]) + 0.0722 * f(v[2]); };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const p = document.querySelector('main p') || document.querySelector('main h1');
  const img = document.querySelector('main figure img');
  return { ground, ink: light(getComputedStyle(p).color),
           filter: img ? getComputedStyle(img).filter : 'none' };
}"""
AXE = """async () => (await axe.run(document, {
  resultTypes: ['violations'],
  rules: { 'color-contrast': { enabled: true } },
})).violations
  // A head that is a formula is read aloud from its MathML, which axe does not take for text.
  .map(v => ({ ...v, nodes: v.nodes.filter(n => v.id !== 'empty-table-header'
    || !document.querySelector(n.target[0]).querySelector('math')) }))
  .filter(v => v.nodes.length)
  .map(v => v.id + ': ' + v.nodes.slice(0, 4).map(n => n.html.slice(0, 160)
    + ((n.any[0] || {}).message || '')).join(' | '))"""


def wire_size(site: Path, name: str) -> int:
    """Bytes of one file as a public host would send it."""
    path = site / name
    content = path.read_bytes()
    return len(gzip.compress(content, 6)) if path.suffix in COMPRESSED else len(content)


@pytest.fixture(scope="module")
def context(chromium: Any) -> Any:
    made = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", page_names())
def test_page(name: str, address: str, site: Path, context: Any) -> None:
    visit = Visit(context, f"{address}/{name}.html")
    page = visit.page
    faults: list[str] = []
    seen = page.evaluate(LOOK)
    faults += [f"TeX or markup left in the text: {text!r}" for text in seen["raw"]]
    faults += [f"a formula that MathJax refused: {text!r}" for text in seen["errors"]]
    if seen["sources"] > seen["formulas"]:
        faults.append(f"{seen['sources']} formulas, {seen['formulas']} set whole")
    if seen["stops"]:
        faults.append(f"{seen['stops']} tab stops on formulas")
    faults += [f"no alternative text: {url}" for url in seen["undescribed"]]
    faults += [f"a picture that did not load: {url}" for url in seen["unloaded"]]
    if seen["h1"] != 1:
        faults.append(f"{seen['h1']} first-level headings")

    lives = page.evaluate(ENLIVEN)
    faults += [f"the figure {name} is not live: {state}" for name, state in lives if state != "yes"]
    page.add_script_tag(path=str(TEST_ASSETS / "axe.min.js"))
    faults += [f"light page, {text}" for text in page.evaluate(AXE)]
    dark = page.evaluate(DARK)
    if not (dark["ground"] < 0.05 and dark["ink"] > 0.4 and dark["filter"] == "none"):
        faults.append(f"dark mode: {dark}")
    page.wait_for_timeout(250)  # colours change by a transition
    faults += [f"dark page, {text}" for text in page.evaluate(AXE)]

    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(50)
    narrow = page.evaluate(OVERFLOW)
    if narrow["scroll"] > narrow["width"] or narrow["wide"]:
        faults.append(f"wider than a narrow screen: {narrow}")
    faults += [f"390 pixels: {text}" for text in page.evaluate(CUT)]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_timeout(50)
    faults += [f"1280 pixels: {text}" for text in page.evaluate(CUT)]

    inside = [urlparse(url).path.split("/sub-path/", 1) for url in visit.requested]
    files = {path[1] for path in inside if len(path) == 2 and (site / path[1]).is_file()}
    size = sum(wire_size(site, file) for file in files)
    if size > LIMIT:
        faults.append(f"{size} bytes over the wire; at most {LIMIT} are allowed")
    faults += [f"asked another host: {url}" for url in visit.outside]
    faults += [f"failed: {url}" for url in visit.failed]
    faults += [f"console: {text}" for text in visit.complaints]
    page.close()
    assert not faults, f"{name}:\n" + "\n".join(faults)


@pytest.mark.browser
def test_page_opens_from_a_file(site: Path, context: Any) -> None:
    with_mathematics = [n for n in toc() if 'class="math' in (site / f"{n}.html").read_text()]
    visit = Visit(context, (site / f"{with_mathematics[0]}.html").as_uri())
    seen = visit.page.evaluate(LOOK)
    assert seen["formulas"] >= seen["sources"] > 0
    assert not seen["errors"]
    assert not seen["unloaded"]
    assert not visit.outside
    assert not [text for text in visit.complaints if "error" in text]
    visit.page.close()


COPY = """() => {
  const formula = document.querySelector('.bd-article p > span.math');
  const range = document.createRange();
  range.setStart(formula.parentElement, 0);
  range.setEnd(formula.querySelector('mjx-c').firstChild, 1);  // inside: it is taken whole
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  const event = new ClipboardEvent('copy', { clipboardData: new DataTransfer(), cancelable: true });
  document.dispatchEvent(event);
  const tex = formula.querySelector('annotation').textContent;
  return [event.clipboardData.getData('text/plain'), tex];
}"""


@pytest.mark.browser
def test_formulas_are_copied_as_tex(address: str, context: Any) -> None:
    visit = Visit(context, f"{address}/book/theory/f-gan.html")
    copied, tex = visit.page.evaluate(COPY)
    assert copied.rstrip().endswith(f"${tex}$")
    assert copied.count("$") == 2 * visit.page.evaluate(
        "getSelection().getRangeAt(0).cloneContents().querySelectorAll('.math').length"
    )
    visit.page.close()


@pytest.mark.browser
def test_print_shows_the_text_alone(address: str, context: Any) -> None:
    visit = Visit(context, f"{address}/{toc()[1]}.html")
    visit.page.emulate_media(media="print")
    hidden = ".bd-header-article, .bd-sidebar-primary, .prev-next-footer, .copybtn"
    shown = "s => [...document.querySelectorAll(s)].filter(e => e.offsetParent !== null).length"
    assert visit.page.evaluate(shown, hidden) == 0
    assert visit.page.locator("main h1:visible").count() == 1
    assert visit.page.locator("main section > p:visible").count() > 5
    visit.page.close()


@pytest.mark.browser
def test_theme_button_changes_the_page(address: str, chromium: Any) -> None:
    context = chromium.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(f"{address}/{toc()[0]}.html")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "light"
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        if page.evaluate(theme) == "dark":
            break
    assert page.evaluate(theme) == "dark"
    context.close()


@pytest.mark.browser
def test_the_zoo_is_searched(address: str, context: Any) -> None:
    visit = Visit(context, f"{address}/book/back/zoo.html")
    rows = visit.page.locator(".zoo tbody tr:visible")
    field = visit.page.get_by_label("Show only rows with")
    everyone = rows.count()
    field.fill("Cramer energy")  # without the accent, two words of one row
    assert rows.count() == 1
    assert "Cramér GAN" in rows.first.inner_text()
    field.fill("no such animal")
    assert rows.count() == 0
    assert visit.page.locator(".zoo-filter").inner_text().strip().endswith("0 rows")
    field.fill("")
    assert rows.count() == everyone > 50
    visit.page.close()


@pytest.mark.browser
def test_the_checks_see_planted_faults(chromium: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><html lang=en><title>t</title><main><h1>t</h1><p>$$x^2$$ {ref}`gone`</p>"
        "<img src=gone.png><div style='width:900px'>wide</div>"
        "<script src='https://example.org/x.js'></script></main>"
    )
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    visit = Visit(context, bad.as_uri())
    seen = visit.page.evaluate(LOOK)
    narrow = visit.page.evaluate(OVERFLOW)
    visit.page.add_script_tag(path=str(TEST_ASSETS / "axe.min.js"))
    violations = visit.page.evaluate(AXE)
    assert seen["raw"]
    assert len(seen["undescribed"]) == 1
    assert len(seen["unloaded"]) == 1
    assert narrow["wide"]
    assert visit.outside == ["https://example.org/x.js"]
    assert any(text.startswith("image-alt") for text in violations)
    context.close()
