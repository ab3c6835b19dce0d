"""How long a reader plays until digits are learnt (part of ``make bench``)."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from ganlib.lab import DigitsLab
from ganlib.lab.digits import seeds
from tools import browser, build_site
from tools.sources import ROOT

SPEEDS = {1: "60 steps a second", 2: "full speed"}  # as DigitsLab's `speed` counts them
# Presses Play; then the milliseconds and the step of the first picture that is read as asked.
PLAY = """(enough) => new Promise((done) => {
  const digits = document.querySelector(".digits"), share = digits.querySelector(".digits-share");
  const begun = performance.now();
  const look = () => parseInt(share.textContent) >= 100 * enough
    ? done([performance.now() - begun, Number(digits.dataset.step)]) : requestAnimationFrame(look);
  digits.querySelector(".digits-play").click();
  look();
})"""


def page(folder: Path, **given: Any) -> Path:
    """A page in this folder that holds the widget as the site does, and its scripts beside it."""
    path = folder / "page.html"
    style = (ROOT / "book/static/book.css").read_text(encoding="utf-8")
    path.write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Digits</title>'
        f"<style>{style} body {{ margin: 0 auto; max-width: 46rem; }} "
        'html[data-theme="dark"] body { background: #14181e; color: #ced6dd; }</style></head>'
        f"<body><main><h1>Digits</h1>{DigitsLab(**given).page()}</main></body></html>",
        encoding="utf-8",
    )
    build_site.move_live(folder)
    return path


def seconds(speed: int, seed: int = 0) -> tuple[float, int]:
    """Seconds from Play to nine of ten samples read as asked, fetching included; and its step."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        opened = running.new_page()
        opened.goto(page(Path(folder), seed=seed, speed=speed).as_uri())
        opened.wait_for_selector(".digits[data-step]")
        opened.set_default_timeout(120_000)
        milliseconds, step = opened.evaluate(PLAY, seeds.ENOUGH)
        running.close()
    return milliseconds / 1000, step


def report() -> str:
    """The lines of the table."""
    seeds.trained(seeds.SEEDS[0], 1)  # the module starts, the classifier learns
    started = time.process_time()
    row = seeds.trained(seeds.SEEDS[0])
    spent = time.process_time() - started
    lines = [f"digits, {seeds.STEPS} steps in wasmtime: {spent:.1f} CPU s ({row.what})"]
    for speed, name in SPEEDS.items():
        lasted, step = seconds(speed)
        lines.append(
            f"digits, Play to {seeds.ENOUGH:.0%} of 200 read as asked, {name}: {lasted:.1f} s "
            f"(step {step})"
        )
    return "\n".join(lines)
