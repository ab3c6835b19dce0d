"""The built site, served from a sub-path, a browser for it, and one load of one page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from tools import browser as finder
from tools.serve import server
from tools.sources import SITE, toc

PLACES = ("127.0.0.1", "localhost")
SETTLED = """async () => {
  await document.fonts.ready;
  await Promise.all([...document.images].map(i => { i.loading = 'eager';
    return i.complete ? null : new Promise(r => { i.onload = i.onerror = r; }); }));
}"""
# Scroll from one live figure to the next until each has drawn, and back; the fate of each.
ENLIVEN = """async () => {
  const figures = [...document.querySelectorAll('.ganlib-live')];
  const until = Date.now() + 20000;
  for (const figure of figures) {
    figure.scrollIntoView({ block: 'center', behavior: 'instant' });
    while (!figure.dataset.live && Date.now() < until) await new Promise(r => setTimeout(r, 20));
  }
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
  scrollTo({ top: 0, behavior: 'instant' });
  return figures.map(f => [f.dataset.name, f.dataset.live ?? 'never near the view']);
}"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const wide = [];
  for (const e of document.querySelectorAll('main *')) {
    const box = e.getBoundingClientRect();
    if (box.width && box.right > width + 1 && getComputedStyle(e).position !== 'fixed') {
      let inside = false;
      for (let p = e.parentElement; p; p = p.parentElement)
        if (getComputedStyle(p).position === 'fixed') inside = true;
        else if (/(auto|scroll|hidden|clip)/.test(getComputedStyle(p).overflowX)
            && p.getBoundingClientRect().right <= width + 1 && p !== document.body
            && p !== document.documentElement) inside = true;
      if (!inside) wide.push(e.tagName + '.' + e.className + ' ' + Math.round(box.right));
    }
  }
  return { scroll: document.documentElement.scrollWidth, width, wide: wide.slice(0, 5) };
}"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SUBPATH = "some/sub-path"


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").is_file():
        pytest.fail("there is no site yet: run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site below a sub-path, as on a project's public pages."""
    root = tmp_path_factory.mktemp("host")
    (root / SUBPATH).parent.mkdir(parents=True)
    (root / SUBPATH).symlink_to(site, target_is_directory=True)
    http = server(root)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/{SUBPATH}"
    http.shutdown()


@pytest.fixture(scope="session")
def chromium():  # type: ignore[no-untyped-def]
    if finder.skipped():
        pytest.skip(finder.SKIPPED)
    from playwright.sync_api import sync_playwright

    try:
        path = finder.find()
    except FileNotFoundError as error:
        pytest.fail(str(error))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


def page_names() -> list[str]:
    return [*toc(), "index", "genindex", "search", "prf-prf"]


class Visit:
    """One load of one page, with all that the browser complained about."""

    def __init__(self, context: Any, url: str) -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.failed: list[str] = []
        self.requested: set[str] = set()
        self.page = context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)[:300]))
        self.page.on("requestfailed", lambda r: self.failed.append(r.url))
        self.page.on("response", self._response)
        self.page.route("**/*", self._route)
        self.page.goto(url, wait_until="load")
        if url.endswith("/index.html") and not url.endswith("/book/index.html"):
            self.page.wait_for_url("**/book/index.html")  # it forwards to the first page
        self.page.evaluate(SETTLED)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text[:300]}")

    def _response(self, response: Any) -> None:
        self.requested.add(response.url)
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")

    def _route(self, route: Any) -> None:
        url = urlparse(route.request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname not in PLACES:
            self.outside.append(route.request.url)
            route.abort()
        else:
            route.continue_()
