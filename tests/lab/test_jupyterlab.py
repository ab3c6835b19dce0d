"""A live figure in JupyterLab: what a reader sets arrives in the kernel, and back."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tools import browser

CELLS = [
    """\
import torch
from ganlib import lab
x = torch.linspace(-4, 4, 101)
def figure(mean):
    return {"bell": lab.Curve(x, torch.exp(-((x - mean) ** 2) / 2))}
seen = []
widget = lab.interact(figure, lab.Figure(alt="A bell curve."), mean=(-2, 2))
widget.observe(lambda change: seen.append(change["new"]["mean"]), "values")
widget""",
    "widget",
    'print("kernel:", float(widget.values["mean"]), float(seen[-1]))',
    'widget.values = {"mean": -1.0}\nprint("set")',
]
SERVER = {
    "IdentityProvider.token": "",
    "ServerApp.open_browser": "False",
    "ServerApp.port_retries": "0",
    "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def jupyterlab(tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab of its own, with its settings and files in a new folder."""
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("jupyterlab is not installed: the widget was NOT tried in it")
    if browser.skipped():
        pytest.skip(browser.SKIPPED)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    work = tmp_path / "work"
    work.mkdir()
    nbformat.write(notebook, work / "figure.ipynb")
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    names = {f"JUPYTER{'' if f.startswith('LAB') else '_'}{f}": str(tmp_path / f) for f in folders}
    environment = dict(
        os.environ, IPYTHONDIR=str(tmp_path / "ipython"), JUPYTER_PREFER_ENV_PATH="1", **names
    )
    port = free_port()
    command = [sys.executable, "-m", "jupyter", "lab", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", f"--ServerApp.root_dir={work}"]
    command += [f"--{name}={value}" for name, value in SERVER.items()]
    log = tmp_path / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=work, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 40
        while True:
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()  # it ends its kernels
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.mark.browser
def test_settings_travel_between_the_figure_and_the_kernel(jupyterlab: str) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = running.new_page(viewport={"width": 1200, "height": 1600})
        page.set_default_timeout(40_000)
        page.goto(f"{jupyterlab}/lab/tree/figure.ipynb")
        cells = page.locator(".jp-Notebook .jp-CodeCell")

        def run(number: int) -> None:
            cells.nth(number).locator(".cm-content").click()
            page.keyboard.press("Control+Enter")

        expect(cells).to_have_count(len(CELLS), timeout=90_000)
        sliders = page.locator(".live input[type=range]")
        for _ in range(6):  # JupyterLab drops what is pressed while its kernel starts
            run(0)
            with contextlib.suppress(AssertionError):
                expect(sliders).to_have_count(1, timeout=20_000)
                break
        expect(sliders).to_have_count(1)
        run(1)
        expect(sliders).to_have_count(2)

        sliders.nth(0).press("End")  # the reader moves the first view: the second one follows
        expect(sliders.nth(1)).to_have_value("2")
        run(2)
        expect(cells.nth(2).locator(".jp-OutputArea-output")).to_have_text("kernel: 2.0 2.0\n")

        run(3)  # the kernel sets: both views follow
        expect(cells.nth(3).locator(".jp-OutputArea-output")).to_have_text("set\n")
        expect(sliders.nth(0)).to_have_value("-1")
        expect(sliders.nth(1)).to_have_value("-1")
        # What Jupyter shows is the widget, not the page's still form beside it.
        assert page.locator(".jp-OutputArea-output .ganlib-still").count() == 0
        running.close()
