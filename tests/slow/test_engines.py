"""Every live figure in Firefox and in WebKit: the numbers are Python's, bit by bit."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
from browsing import ENLIVEN, SETTLED
from figures import FIGURES, PAGES, PROBE, READ, Live, Reading, Twin

from ganlib.lab import digits, gan
from tools.serve import server

STEPS = 200
# Press Play until so many steps are done, then pause; the history so far.
TRAIN = """async (number, steps) => {
  const figure = document.querySelectorAll('.ganlib-live')[number];
  figure.scrollIntoView({ block: 'center', behavior: 'instant' });
  const step = () => Number(figure.querySelector('.lab-run, .digits').dataset.step);
  const sleep = (time) => new Promise((done) => setTimeout(done, time));
  const play = figure.querySelector('.lab-play, .digits-play');
  play.click();
  for (const until = Date.now() + 120000; step() < steps && Date.now() < until;) await sleep(20);
  play.click();
  return frames_of_workers[figure.probe.first].history;
}"""
COMPLAINTS = """<script>
window.complaints = [];
addEventListener('error', (event) => complaints.push(event.message ?? 'something did not load'));
addEventListener('unhandledrejection', (event) => complaints.push(String(event.reason)));
</script>"""


@pytest.fixture(scope="module")
def watched(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site with eyes: each page with live figures notes what its figures hold."""
    root = tmp_path_factory.mktemp("watched")
    for page in PAGES:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        text = re.sub("<head>", f"<head>{COMPLAINTS}<script>{PROBE}</script>", text, count=1)
        (root / f"{page}.html").parent.mkdir(parents=True, exist_ok=True)
        (root / f"{page}.html").write_text(text, encoding="utf-8")
    for folder in [p for p in site.iterdir() if p.is_dir() and p.name.startswith("_")]:
        (root / folder.name).symlink_to(folder, target_is_directory=True)
    http = server(root)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def engine(request: pytest.FixtureRequest) -> Iterator[engines.Engine]:
    with getattr(engines, request.param)() as running:
        yield running


def interact(engine: engines.Engine, figure: Live) -> list[str]:
    """What of a figure with controls differs from the same module in Python."""
    return Twin(figure).differs(Reading(figure, engine.evaluate(READ, figure.number)))


def laboratory(engine: engines.Engine, figure: Live) -> list[str]:
    """What of a laboratory's history up to step 200 differs from Python's run."""
    history = engine.evaluate(TRAIN, figure.number, STEPS)
    values = figure.state["values"]
    plane = figure.state["widget"] == "gan"
    twin = gan.Run(values["settings"]) if plane else digits.Run(values["seed"])
    while twin.step < STEPS:
        twin.both()
    mine = twin.record().history
    count = len(mine["step"] or [])
    assert count > 3
    faults = []
    for name, series in mine.items():
        if series is not None:
            wanted = [None if math.isnan(value) else value for value in series]
            if history[name][:count] != wanted:
                faults.append(f"{name} {history[name][:count]}, not {wanted}")
    return faults


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
def test_live_figures_hold_pythons_numbers(page: str, engine: engines.Engine, watched: str) -> None:
    engine.open(f"{watched}/{page}.html")
    engine.evaluate(SETTLED)
    fates: list[Any] = engine.evaluate(ENLIVEN)
    mine = [figure for figure in FIGURES if figure.page == page]
    assert fates == [[figure.state["name"], "yes"] for figure in mine]
    check = {"interact": interact, "gan": laboratory, "digits": laboratory}
    faults = {f.name: check[f.state["widget"]](engine, f) for f in mine}
    assert not any(faults.values()), faults
    assert engine.evaluate("async () => complaints") == []


def test_a_wrong_bit_is_seen() -> None:
    figure = next(f for f in FIGURES if f.state["widget"] == "interact")
    twin = Twin(figure)
    values = {c["name"]: c["value"] for c in twin.controls}
    now = Reading.__new__(Reading)
    now.values, now.inputs, now.outputs = values, twin.function.inputs, {}
    twin.differs(now)
    now.inputs = {name: np.array(view) for name, view in twin.function.inputs.items()}
    now.outputs = {name: np.array(view) for name, view in twin.function.outputs.items()}
    assert twin.differs(now) == []
    name = next(n for n, view in now.outputs.items() if view.dtype.kind == "f")
    now.outputs[name].flat[0] = np.nextafter(now.outputs[name].flat[0], np.float32(9))
    assert twin.differs(now) == [f"the output {name} differs from Python's"]
