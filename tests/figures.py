"""The live figures of the built site: their files, and what one of them holds in a browser."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganlib.lab.compiler import Buffer, Module, Signature
from ganlib.lab.runtime import start
from tools import build_site
from tools.sources import SITE, toc

LIVE = SITE / build_site.LIVE


def figures(name: str) -> list[str]:
    """The states of a page's live figures, by name of their file."""
    path = SITE / f"{name}.html"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return re.findall(r'<div class="ganlib-live" data-state="[^"]*/([\w-]+)\.js"', text)


PAGES = [name for name in toc() if figures(name)]


def announced(name: str) -> Any:
    """What a script of a state or a module announces."""
    text = (LIVE / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(text[text.index(", ") + 2 : text.rindex(");")])


@dataclass(frozen=True)
class Live:
    """One live figure of the site, from its files."""

    page: str
    number: int
    state: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.page}, {self.state['name']}"

    def module(self, name: str) -> Module:
        wasm = zlib.decompress(base64.b64decode(announced(self.state["modules"][name])))

        def buffers(given: dict[str, Any]) -> dict[str, Buffer]:
            return {
                key: Buffer(one["index"], tuple(one["shape"]), one["dtype"])
                for key, one in given.items()
            }

        functions = {
            key: Signature(buffers(one["inputs"]), buffers(one["outputs"]))
            for key, one in self.state["metadata"][name].items()
        }
        return Module(wasm, functions, "")


FIGURES = [
    Live(page, number, announced(state))
    for page in PAGES
    for number, state in enumerate(figures(page))
]
INTERACT = [figure for figure in FIGURES if figure.state["widget"] == "interact"]

# Remembers, for each figure, the model that it got and the modules and workers that it started.
PROBE = """(() => {
  const instantiate = WebAssembly.instantiate, started = [];
  WebAssembly.instantiate = async (...given) => {
    const made = await instantiate.apply(WebAssembly, given);
    if (made.instance) started.push(made.instance.exports);
    return made;
  };
  const frames = window.frames_of_workers = [];
  window.Worker = class extends Worker {
    constructor(...given) {
      super(...given);
      const place = frames.push(null) - 1;
      this.addEventListener('message', ({ data }) => {
        if (data.type === 'frame') frames[place] = data.frame;
      });
    }
  };
  let live, turn = Promise.resolve();
  const one = async (render, given) => {
    const before = started.length, first = frames.length, cleanup = await render(given);
    given.el.closest('.ganlib-live').probe =
      { model: given.model, exports: started.slice(before), first };
    return cleanup;
  };
  const wrapped = (widget) => (kind, digest, { render, ...rest }) => widget(kind, digest, {
    ...rest, render: (given) => (turn = turn.catch(() => {}).then(() => one(render, given))) });
  Object.defineProperty(window, 'ganlibLive', {
    get: () => live, set: (v) => { live = { ...v, widget: wrapped(v.widget) }; } });
})()"""
# The buffers of a figure's function, byte by byte, what it says, and what it shows.
READ = """async (number) => {
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
  const element = document.querySelectorAll('.ganlib-live')[number];
  const { model, exports: [wasm] } = element.probe;
  const { inputs, outputs } = model.get('metadata').main.figure;
  const width = { float32: 4, float64: 8, int64: 8, int32: 4, bool: 1 };
  const bytes = (buffers) => Object.fromEntries(Object.entries(buffers).map(([name, b]) => [
    name, [...new Uint8Array(wasm.memory.buffer, wasm.address(b.index),
      width[b.dtype] * b.shape.reduce((x, y) => x * y, 1))]]));
  const paint = [...element.querySelectorAll('canvas')].map(c => c.toDataURL()).join();
  const view = element.querySelector('.ganlib-view');
  return { inputs: bytes(inputs), outputs: bytes(outputs), values: model.get('values'),
    paint, text: view.innerText, numbers: (view.querySelector('.live-numbers') || {}).innerText };
}"""


class Reading:
    """What one figure holds and shows at one moment."""

    def __init__(self, figure: Live, seen: dict[str, Any]) -> None:
        signature = figure.state["metadata"]["main"]["figure"]

        def arrays(part: str) -> dict[str, np.ndarray]:
            return {
                name: np.frombuffer(bytes(seen[part][name]), one["dtype"]).reshape(one["shape"])
                for name, one in signature[part].items()
            }

        self.inputs, self.outputs = arrays("inputs"), arrays("outputs")
        self.values, self.text = seen["values"], seen["text"]
        self.shown = (seen["paint"], seen["numbers"])

    def same_outputs(self, other: dict[str, np.ndarray]) -> list[str]:
        """The outputs that differ from others by a bit; a NaN is a NaN."""
        return [
            name
            for name, mine in self.outputs.items()
            if not np.array_equal(mine, other[name], equal_nan=mine.dtype.kind == "f")
        ]

    def holes(self) -> int:
        """Values that are not finite."""
        return sum(int((~np.isfinite(a)).sum()) for a in self.outputs.values())


class Twin:
    """The module of a figure with controls, running in Python."""

    def __init__(self, figure: Live) -> None:
        self.controls = figure.state["spec"]["controls"]
        self.module = start(figure.module("main"))
        self.function = self.module.functions["figure"]

    def differs(self, now: Reading) -> list[str]:
        """The inputs and outputs that are not Python's for the values of the controls."""
        faults = []
        for control in self.controls:
            argument, value = self.function.inputs[control["name"]], now.values[control["name"]]
            if control["kind"] == "noise":
                self.module.draw(control["noise"], argument, value, control["stream"])
            else:
                argument[...] = value
            if not np.array_equal(argument, now.inputs[control["name"]]):
                faults.append(f"the input {control['name']} is not what Python makes")
        self.function.run()
        outputs = dict(self.function.outputs)
        return faults + [f"the output {n} differs from Python's" for n in now.same_outputs(outputs)]
