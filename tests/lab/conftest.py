"""Runs compiled modules in Node, or in the browser where there is no Node."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ganlib.lab
from ganlib.lab.compiler import Module
from tools import browser

# {"set": {input: numbers}, "draw": [kind, input, seed, stream], "run": times} of a function, then
# all its inputs and outputs; Infinity and NaN travel as text.
HARNESS = """
const decode = (v) => v === "inf" ? Infinity : v === "-inf" ? -Infinity : v === "nan" ? NaN : v;
const encode = (v) => Number.isFinite(Number(v)) ? Number(v) : String(v).toLowerCase()
  .replace("infinity", "inf");
async function harness({ wasm, metadata, calls }) {
  const bytes = Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0));
  const { functions, draw } = await load(bytes, metadata);
  return calls.map((call) => {
    const f = functions[call.function];
    for (const [name, values] of Object.entries(call.set ?? {})) {
      const big = f.inputs[name] instanceof BigInt64Array;
      f.inputs[name].set(values.map((v) => big ? BigInt(v) : decode(v)));
    }
    for (const [kind, name, seed, stream] of call.draw ?? [])
      draw(kind, f.inputs[name], seed, stream);
    for (let i = 0; i < (call.run ?? 1); i++) f.run();
    const read = (views) => Object.fromEntries(
      Object.entries(views).map(([name, view]) => [name, [...view].map(encode)]));
    return { inputs: read(f.inputs), outputs: read(f.outputs) };
  });
}
"""
RUNTIME = (Path(ganlib.lab.__file__).parent / "runtime.js").read_text()

Run = Callable[[Module, list[dict[str, Any]]], list[dict[str, Any]]]


def in_node(program: str, work: Path) -> Any:
    path = work / "harness.mjs"
    path.write_text(program + "\nconsole.log(JSON.stringify(await answer));\n")
    done = subprocess.run(
        [str(shutil.which("node")), path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_browser(program: str) -> Any:
    if browser.skipped():
        pytest.skip(browser.SKIPPED)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = running.new_page()
        text = program.replace("export async function", "async function")
        answer = page.evaluate(f"(async () => {{ {text}\nreturn await answer; }})()")
        running.close()
    return answer


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser a file: one of the session would stand in the way of :func:`in_browser`."""
    if browser.skipped():
        pytest.skip(browser.SKIPPED)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=browser.find(),
            args=["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"],
        )
        yield running
        running.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(module: Module, calls: list[dict[str, Any]], *, where: str = "") -> Any:
        given = {
            "wasm": base64.b64encode(module.wasm).decode(),
            "metadata": module.metadata(),
            "calls": calls,
        }
        program = f"{RUNTIME}\n{HARNESS}\nconst answer = harness({json.dumps(given)});"
        if where == "browser" or shutil.which("node") is None:
            return in_browser(program)
        return in_node(program, tmp_path)

    return call
