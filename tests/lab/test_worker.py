"""The loop that drives a run in a worker, with a run that takes as long as it is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from conftest import in_browser, in_node

from ganlib.lab import assets

HARNESS = """
async function harness({ rate, slow, first }) {
  const frames = [], failures = [], scope = {};
  let heard = () => {};
  const busy = (time) => { const end = performance.now() + time; while (performance.now() < end); };
  const run = {
    step: 0, diverged: false,
    both() { busy(slow); this.step++; },
    frame() { return { step: this.step }; },
  };
  scope.postMessage = ({ type, frame, message }) => {
    if (type === "failed") failures.push(message);
    else frames.push(frame);
    scope.onmessage({ data: { type: "next" } });
    heard();
  };
  work(scope, async () => run, {
    halt(run, { word }, { stop, send }) { stop(); run.word = word; send(); },
    stall(run, { time }) { busy(time); },
    wrong() { throw new Error("planted"); },
  });
  const send = (type, more = {}) => scope.onmessage({ data: { type, ...more } });
  const until = async (ready) => {
    while (!ready()) await new Promise((done) => { heard = done; });
  };
  const pass = (time) => new Promise((done) => setTimeout(done, time));
  const begun = performance.now();
  send("start");
  send("play", { rate });
  await until(() => run.step >= first);
  const took = performance.now() - begun;
  send("stall", { time: slow ? 0 : 1000 }); // as when the tab sleeps
  if (!slow) { // timers wait for messages in Node, which a slow run never lets end
    await pass(0); // the stall is over
    await pass(150);
  }
  const after = run.step - first;
  send("halt", { word: "given" });
  await until(() => !frames.at(-1).playing);
  const { step } = frames.at(-1);
  await pass(100);
  send("wrong");
  await until(() => failures.length);
  setTimeout(() => globalThis.process?.exit(0), 50);
  return { took, after, word: run.word, still: step === run.step, failures };
}
"""


def seen(work: Path, **given: float) -> Any:
    text = assets._Files({}).joined("worker.js")
    program = f"{text}\n{HARNESS}\nconst answer = harness({json.dumps(given)});"
    return in_node(program, work) if shutil.which("node") else in_browser(program)


def test_a_pace_is_kept_and_what_was_missed_is_not_made_up_for(tmp_path: Path) -> None:
    found = seen(tmp_path, rate=20, slow=0, first=10)
    assert found["took"] >= 490  # ten steps, the first after a twentieth of a second
    assert 1 <= found["after"] <= 8  # the second that was lost would be 20 steps
    assert found["word"] == "given"
    assert found["still"]
    assert found["failures"] == ["planted"]


def test_a_machine_that_is_too_slow_steps_as_fast_as_it_can(tmp_path: Path) -> None:
    found = seen(tmp_path, rate=4, slow=700, first=4)
    assert found["took"] < 4 * 700 + 900
    assert found["still"]
