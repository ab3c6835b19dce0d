"""What the lab's widgets share: bundles of scripts, checked state, and the page's form."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anywidget")

from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from ganlib.lab import assets
from ganlib.lab.compiler import Buffer, Module, Signature
from ganlib.lab.widget import Live, Still, checked, table

FILES = {
    "plot.js": "const SIZE = 3;\nexport const [a, b] = [1, 2];\nexport class Plot {}\n",
    "controls.js": (
        'import { Plot } from "./plot.js";\nexport function control() { return Plot; }\n'
    ),
    "interact.js": (
        'import { control } from "./controls.js";\n'
        'import {\n  Plot, a,\n} from "./plot.js";\n'
        "export async function render({ model, el }) { return [control, Plot, a, '</script>']; }\n"
    ),
    "runtime.js": "export async function load() {}\n",
    "engine.js": 'import { load } from "./runtime.js";\nload("\\n\\u00e9");\n',
    "gan.js": (
        'import { load } from "./runtime.js";\nimport { Plot } from "./plot.js";\n'
        "export function render() { return [load, WORKER, Plot, late]; }\n"
    ),
    "charts.js": 'import { a } from "./plot.js";\nexport const charts = a;\n',
    "late.js": (
        'import { charts } from "./charts.js";\nimport { Plot } from "./plot.js";\n'
        "export function furnish() { return [charts, Plot]; }\n"
    ),
    "live.css": (
        ".live { color: red; }\n/* controls */\n.control { color: red; }\n"
        "/* laboratory */\n.gan { color: blue; }\n/* late */\n.chart { color: blue; }\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    return tmp_path


# --- bundles --------------------------------------------------------------------------------


def test_a_bundle_holds_each_file_once_after_what_it_imports(folder: Path) -> None:
    text = assets.body("interact")
    marks = ["const SIZE", "function control", "async function render"]
    assert [text.count(mark) for mark in marks] == [1, 1, 1]
    assert sorted(marks, key=text.index) == marks
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")
@pytest.mark.parametrize("kind", ["interact", "gan"])
def test_both_forms_of_a_bundle_run(folder: Path, kind: str) -> None:
    program = folder / "check.mjs"
    program.write_text(
        assets.module(kind) + "\nconst ganlibLive = { widget: (kind, digest, widget) => "
        "console.log(JSON.stringify([kind, digest, typeof widget.render, widget.css])) };\n"
        + assets.script(kind)
        + "console.log(typeof render);"
        + ("console.log(JSON.stringify(WORKER));" if kind == "gan" else "")
    )
    done = subprocess.run([str(shutil.which("node")), program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    called, *rest = [*done.stdout.splitlines()]
    first, _ = assets._styles(kind)
    assert json.loads(called) == [kind, assets.digest(kind), "function", first]
    assert rest[0] == "function"
    if kind == "gan":  # what a worker runs: the engine and what it imports
        worker = json.loads(rest[1])
        assert worker.index("async function load") < worker.index('load("\\n\\u00e9")')


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")
def test_what_comes_late_is_made_of_what_was_there(folder: Path) -> None:
    assert "charts" not in assets.body("gan", whole=False)
    assert "const charts" in assets.body("gan")
    late = assets.late_script("gan")
    assert late.count("class Plot") == 0  # it is shared, not twice there
    program = folder / "late.mjs"
    program.write_text(
        "const ganlibLive = { part: (digest, made) => {\n"
        "  const { css, furnish } = made({ Plot: 'plot', a: 7 });\n"
        "  console.log(JSON.stringify([digest, css, ...furnish()]));\n} };\n" + late
    )
    done = subprocess.run([str(shutil.which("node")), program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, style = assets._styles("gan")
    assert json.loads(done.stdout) == [assets.late_digest("gan"), style, 7, "plot"]
    assert assets.late_script("interact") == assets.late_digest("interact") == ""


def test_the_style_of_the_laboratory_travels_with_it_alone(folder: Path) -> None:
    assert assets.css("interact") == ".live { color: red; }\n.control { color: red; }\n"
    first, late = assets._styles("gan")
    assert first == ".live { color: red; }\n.gan { color: blue; }\n"
    assert late == ".control { color: red; }\n.chart { color: blue; }\n"
    assert assets.css("gan") == first + late


def test_the_digest_follows_every_file(folder: Path) -> None:
    known = {assets.digest("interact"), assets.digest("gan")}
    assert re.fullmatch("[0-9a-f]{16}", assets.digest("gan"))
    for name, kind in (("plot.js", "interact"), ("engine.js", "gan"), ("live.css", "interact")):
        with (folder / name).open("a") as file:
            file.write("\n// a remark\n" if name != "live.css" else "\n.z {}\n")
        if name == "live.css":  # what stands after the mark is the laboratory's
            (folder / name).write_text(".other {}\n" + FILES[name])
        assert assets.digest(kind) not in known
        known.add(assets.digest(kind))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("controls.js", "const SIZE = 4;", "declares SIZE, and so does plot.js"),
        ("controls.js", "function css() {}", "declares css, and so does the bundle"),
        ("controls.js", 'import { Nothing } from "./plot.js";', "imports Nothing from plot.js"),
        ("controls.js", 'import { SIZE } from "./plot.js";', "imports SIZE from plot.js"),
        ("controls.js", 'import { x } from "./none.js";', "no script none.js; controls.js"),
        ("controls.js", 'import Plot from "./plot.js";', "has the line `import Plot"),
        ("controls.js", "export default 3;", "has the line `export default"),
        ("plot.js", 'import { control } from "./controls.js";', "in a circle: interact.js"),
        ("interact.js", "export function draw() {}", "declares no `render`"),
    ],
)
def test_what_cannot_be_joined_is_refused(folder: Path, name: str, text: str, message: str) -> None:
    old = "" if "draw" in text else FILES[name].replace('import { Plot } from "./plot.js";\n', "")
    if "SIZE = 4" in text:
        old = FILES[name]
    (folder / name).write_text(f"{text}\n{old}")
    with pytest.raises(ValueError, match=re.escape(message)):
        assets.body("interact")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no widget of kind 'film'; there are interact, gan"):
        assets.body("film")


# --- values ---------------------------------------------------------------------------------

CONTROLS = [
    {"kind": "slider", "name": "mean", "min": -2.0, "max": 2.0, "value": 0.5},
    {"kind": "menu", "name": "loss", "options": ["minimax", "hinge"], "value": 1},
    {"kind": "switch", "name": "fixed", "value": 0},
    {"kind": "noise", "name": "z", "value": 3},
]


@given(
    mean=st.floats(-2, 2), loss=st.integers(0, 1), fixed=st.booleans(), z=st.integers(0, 2**32 - 1)
)
def test_what_a_reader_can_set_is_kept(mean: float, loss: int, fixed: bool, z: int) -> None:
    values = {"mean": mean, "loss": loss, "fixed": fixed, "z": z}
    assert checked(CONTROLS, values) == values
    assert checked(CONTROLS, {}) == {"mean": 0.5, "loss": 1, "fixed": 0, "z": 3}


BAD = [
    ({"mean": 2.001}, "mean is 2.001; set a number from -2 to 2"),
    ({"mean": float("nan")}, "mean is nan"),
    ({"mean": "1"}, "mean is '1'"),
    ({"mean": True}, "mean is True"),
    ({"loss": 2}, "loss is 2; set the number of an option: 0 (minimax), 1 (hinge)"),
    ({"loss": 0.5}, "loss is 0.5"),
    ({"loss": "hinge"}, "loss is 'hinge'"),
    ({"fixed": 2}, "fixed is 2; set True or False"),
    ({"z": -1}, "z is -1; set an integer from 0 to 4294967295"),
    ({"z": 1.5}, "z is 1.5"),
    ({"z": 2**32}, "z is 4294967296"),
    ({"zz": 0}, "no control 'zz'; there are mean, loss, fixed, z"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_what_a_reader_cannot_set_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checked(CONTROLS, values)


# --- the widget -----------------------------------------------------------------------------


class Sample(Live):
    kind = "interact"

    def still(self) -> Still:
        return Still(
            b"<svg/>", "image/svg+xml", 'A "line" & <more>', table("t", ["", "v"], [["a<b", 1.5]])
        )


WASM = b"\0asm" + bytes(range(256))


def make(name: str = "sample") -> Sample:
    form = Buffer(0, (2,), "float32")
    module = Module(WASM, {"figure": Signature({"x": form}, {"o0": form})}, "")
    spec = {"title": "</script><b>", "controls": CONTROLS}
    return Sample(name=name, compiled={"main": module}, spec=spec, values={"mean": 1})


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1][0] == "script":
            self.script += data


def test_the_page_holds_the_still_and_the_whole_state(folder: Path) -> None:
    widget = make()
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = _Page()
    page.feed(data["text/html"])
    assert data["text/html"].count("</script>") == 1
    tags = dict(page.tags)
    assert page.tags[0] == (
        "div",
        {"class": "ganlib-live", "data-widget": "interact", "data-name": "sample"},
    )
    assert tags["img"]["alt"] == 'A "line" & <more>'
    picture = str(tags["img"]["src"]).removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(picture) == b"<svg/>"
    assert {"caption", "table", "details", "summary"} <= set(tags)
    assert {attrs["scope"] for tag, attrs in page.tags if tag == "th"} == {"row", "col"}
    assert tags["script"] == {"type": "application/json", "class": "ganlib-state"}
    assert "<" not in page.script.strip()
    state = json.loads(page.script)
    assert state["widget"] == "interact"
    assert state["bundle"] == assets.digest("interact")
    assert state["name"] == "sample"
    assert state["spec"] == {"title": "</script><b>", "controls": CONTROLS}
    assert state["values"] == {"mean": 1, "loss": 1, "fixed": 0, "z": 3}
    assert state["metadata"]["main"]["figure"]["inputs"]["x"]["shape"] == [2]
    assert zlib.decompress(base64.b64decode(state["modules"]["main"])) == WASM


def test_jupyter_gets_the_bundle_of_the_present_files(folder: Path) -> None:
    first = make()
    assert first._esm == assets.module("interact")
    assert first._css == assets.css("interact")
    state = first.get_state()
    assert zlib.decompress(state["modules"]["main"]) == WASM
    assert {"_esm", "_css", "name", "modules", "metadata", "spec", "values"} <= set(state)
    (folder / "plot.js").write_text(FILES["plot.js"] + "// later\n")
    assert make()._esm != first._esm


def test_values_are_checked_observed_and_its_own(folder: Path) -> None:
    widget, other = make(), make("other")
    seen: list[Any] = []
    widget.observe(lambda change: seen.append(change["new"]), "values")
    widget.values = {"mean": -1.25, "fixed": True}  # what is left out stays
    assert widget.values == {"mean": -1.25, "loss": 1, "fixed": 1, "z": 3}
    assert seen == [widget.values]
    widget.values = {"loss": 0}
    assert widget.values == {"mean": -1.25, "loss": 0, "fixed": 1, "z": 3}
    for values, message in BAD:
        with pytest.raises(TraitError, match=re.escape(message)):
            widget.values = values
    assert len(seen) == 2
    assert other.values["mean"] == 1
    with pytest.raises(TraitError):  # the same when a page sends it
        widget.set_state({"values": {**widget.values, "mean": 9}})
    assert widget.values["mean"] == -1.25
    widget.set_state({"values": {**widget.values, "mean": 2}})
    assert seen[-1]["mean"] == 2


def test_wrong_names_and_wordless_stills_are_refused(folder: Path) -> None:
    for name in ("", "Sample", "a b", "1a", "a--b", "a-", 'a"'):
        with pytest.raises(ValueError, match="use lower-case letters, digits and single hyphens"):
            make(name)
    with pytest.raises(ValueError, match="alt is empty"):
        Still(b"", "image/png", "  ", "")
    with pytest.raises(ValueError, match="Out of range float"):  # JSON knows no NaN
        Sample(name="n", compiled={}, spec={"x": float("nan")}, values={})


# --- imports --------------------------------------------------------------------------------


def test_the_lab_imports_without_what_it_needs_later() -> None:
    program = (
        "import sys\n"
        "for name in ('ziglang', 'anywidget', 'wasmtime'): sys.modules[name] = None\n"
        "import ganlib.lab as lab, ganlib.lab.assets, ganlib.lab.runtime\n"
        "assert 'interact' in dir(lab) and callable(lab.compile_functions)\n"
        "try: lab.Slider\n"
        "except ModuleNotFoundError as e: print(e)\n"
        "try: lab.nothing\n"
        "except AttributeError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()
    assert "pip install anywidget" in first
    assert "no attribute 'nothing'" in second
    assert "interact" in second
