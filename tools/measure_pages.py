"""How fast pages come on a slow phone: python -m tools.measure_pages [PAGE ...] [--against FOLDER]

Each page is opened as a first visit on a phone: 412 by 823 pixels, a processor four times slower
than this one, and a network of 1.44 Mbit/s with 562 ms from a question to its answer. Printed are
medians: the first paint and the largest one (FCP, LCP, in seconds), how long tasks block the
page (the part of each beyond 50 ms, in seconds), by how much the page moves while it loads (CLS),
compressed kilobytes and requests. With --against another built site, both are measured in turn,
and the ratio of each pair's blocking time is printed. Times mean something on a quiet machine
alone.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import statistics
import sys
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from tools import browser
from tools.serve import Handler, server
from tools.sources import SITE

PAGES = ("book/index", "book/theory/f-gan", "book/practice/mode-collapse", "book/theory/the-game")
VIEW = {"width": 412, "height": 823}
SLOWER = 4  # times: the processor
LATENCY = 562.5  # ms
THROUGHPUT = 1_474_560 / 8  # bytes a second
QUIET = 2000  # ms without a request or a long task: the page stands
PATIENCE = 60_000  # ms
COMPRESSED = {".html", ".js", ".css", ".svg", ".json", ".ttf"}
OBSERVE = """() => {
  const seen = window.pageTimes = { fcp: 0, lcp: 0, blocking: 0, cls: 0, moved: [], last: 0 };
  const on = (type, call) => new PerformanceObserver((list) => list.getEntries().forEach(call))
    .observe({ type, buffered: true });
  on('paint', (e) => { if (e.name === 'first-contentful-paint') seen.fcp = e.startTime; });
  on('largest-contentful-paint', (e) => { seen.lcp = e.startTime; });
  on('longtask', (e) => {
    seen.blocking += e.duration - 50;
    seen.last = Math.max(seen.last, e.startTime + e.duration);
  });
  on('resource', (e) => { seen.last = Math.max(seen.last, e.responseEnd); });
  on('layout-shift', (e) => {
    if (e.hadRecentInput) return;
    seen.cls += e.value;
    for (const { node, previousRect: a, currentRect: b } of e.sources) {
      const box = node?.nodeType === 1 ? node : node?.parentElement;
      if (box) seen.moved.push(`${e.value.toFixed(3)} ${box.tagName}.${box.className} ` +
        `${[a.x, a.y, a.width, a.height].map(Math.round)} -> ` +
        `${[b.x, b.y, b.width, b.height].map(Math.round)}`);
    }
  });
}"""


class Compressing(Handler):
    """A server that sends what can be compressed as a public host does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        if path.suffix not in COMPRESSED or not path.is_file():
            super().do_GET()
            return
        data = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)


@dataclass(frozen=True)
class Visit:
    """What one visit cost."""

    fcp: float  # seconds
    lcp: float  # seconds
    blocking: float  # seconds
    cls: float
    kilobytes: float
    requests: int


def median(visits: list[Visit]) -> Visit:
    values = [statistics.median(column) for column in zip(*map(astuple, visits), strict=True)]
    return Visit(*values)


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    http = server(site, handler=Compressing)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def visit(chromium: Any, address: str, slow: bool = True) -> tuple[Visit, list[str]]:
    """Open a page as a first visitor does, until it stands; what it cost, and what moved.

    ``slow``: as the slow phone. Without it no time means anything, the rest does.
    """
    context = chromium.new_context(viewport=VIEW, device_scale_factor=1, is_mobile=True)
    page = context.new_page()
    page.add_init_script(f"({OBSERVE})()")
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    asked: set[str] = set()
    sizes: dict[str, float] = {}

    def sent(event: dict[str, Any]) -> None:
        if event["request"]["url"].startswith("http"):
            asked.add(event["requestId"])

    def came(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = event["encodedDataLength"]

    devtools.on("Network.requestWillBeSent", sent)
    devtools.on("Network.loadingFinished", came)
    if slow:
        devtools.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": LATENCY,
                "downloadThroughput": THROUGHPUT,
                "uploadThroughput": THROUGHPUT / 2,
            },
        )
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.goto(address, wait_until="load", timeout=2 * PATIENCE)
    with contextlib.suppress(Exception):  # a page that never rests is measured as it is
        page.wait_for_function(
            f"performance.now() - pageTimes.last > {QUIET if slow else 300}", timeout=PATIENCE
        )
    seen = page.evaluate("pageTimes")
    context.close()
    cost = Visit(
        seen["fcp"] / 1000,
        seen["lcp"] / 1000,
        seen["blocking"] / 1000,
        seen["cls"],
        sum(sizes.get(name, 0) for name in asked) / 1000,
        len(asked),
    )
    return cost, seen["moved"]


def line(name: str, cost: Visit) -> str:
    return (
        f"{name:<44} {cost.fcp:5.1f} {cost.lcp:5.1f} {cost.blocking:8.2f} {cost.cls:6.3f} "
        f"{cost.kilobytes:7.0f} {cost.requests:5.0f}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.measure_pages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pages", nargs="*", default=PAGES, help=f"such as {PAGES[1]}")
    parser.add_argument("--against", type=Path, help="the folder of another built site")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--moved", action="store_true", help="print what moved on each page")
    options = parser.parse_args(arguments)
    sites = [SITE, *filter(None, [options.against])]
    for site in sites:
        if not (site / "index.html").is_file():
            print(f"There is no site in {site}: run `make book` first.", file=sys.stderr)
            return 1
    from playwright.sync_api import sync_playwright

    heads = [field.name for field in fields(Visit)]
    print(f"{'medians of ' + str(options.runs):<44} {heads[0]:>5} {heads[1]:>5} {heads[2]:>8} "
          f"{heads[3]:>6} {'kB':>7} {'asked':>5}")  # fmt: skip
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(served(site)) for site in sites]
        playwright = stack.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(
            executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        for name in options.pages:
            costs: list[list[Visit]] = [[] for _ in sites]
            moved: set[str] = set()
            for _ in range(options.runs):
                for found, address in zip(costs, addresses, strict=True):
                    cost, shifts = visit(chromium, f"{address}/{name}.html")
                    found.append(cost)
                    moved.update(shifts if address == addresses[0] else [])
            print(line(name, median(costs[0])), flush=True)
            if options.against:
                ratios = [
                    ours.blocking / max(theirs.blocking, 1e-3)
                    for ours, theirs in zip(*costs, strict=True)
                ]
                print(line("  against", median(costs[1])))
                print(f"  blocking, ratios of pairs: {', '.join(f'{r:.2f}' for r in ratios)}")
            if options.moved:
                print("\n".join(f"  {shift}" for shift in sorted(moved, reverse=True)), flush=True)
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
