// Replay: pictures of a run are kept while it goes on, and shown again along the time line.
// Looking back pauses the run and changes nothing of it: it goes on from its end.
import { make } from "./plot.js";
import { whole } from "./run.js";

const KEPT = 128; // pictures of a run; when there are more, about every second one goes

export class Replay {
  constructor(lab) {
    this.lab = lab;
    this.line = make("input", { type: "range", min: 0, max: 0, value: 0, oninput: () => this.to(this.steps[this.line.value]) });
    this.said = make("span", { className: "lab-past" });
    this.back = lab.stage.button("To the end", () => this.end(), { hidden: true });
    this.element = make("div", { className: "lab-replay", role: "group", "aria-label": "Replay" },
      make("label", {}, "Time line", this.line), this.said, this.back);
    this.steps = [];
    this.sync();
    for (const run of lab.runs) if (run.frame) this.keep(run, run.frame);
  }

  // A picture, evenly by step: the list's length is bounded however long the run is.
  keep(run, frame) {
    let tape = run.tape ??= { frames: [], stride: 0 };
    if (frame.step < (tape.last ?? 0) || !frame.step) {
      tape = run.tape = { frames: [], stride: 0 };
      run.past = undefined;
    }
    tape.last = frame.step;
    const { frames } = tape, before = frames.at(-1);
    if (before?.step === frame.step) frames.pop();
    else if (before && frame.step - before.step < tape.stride) return this.sync();
    const history = Object.fromEntries(Object.entries(frame.history).map(([k, v]) => [k, v && v.slice(-1)]));
    frames.push({ ...frame, history, playing: false, part: 0 });
    if (frames.length > KEPT) {
      tape.stride = (2 * frame.step) / KEPT;
      let last = -Infinity;
      tape.frames = frames.filter(({ step }) => step - last >= tape.stride && (last = step, true));
    }
    this.sync();
  }

  get looking() { return this.lab.runs.some((run) => run.past); }

  // The pictures of the last step at or before a step, of every run.
  to(step) {
    const { lab } = this;
    if (step === undefined) return;
    if (step >= this.steps.at(-1)) return this.end();
    if (lab.state.playing) lab.toggle(false);
    lab.forget(); // what was read of a sample was read at another step
    for (const run of lab.runs) {
      const { frames } = run.tape ?? { frames: [] };
      const kept = frames.findLast((f) => f.step <= step) ?? frames[0];
      if (!kept || !run.frame) continue;
      run.before = null;
      run.past = { ...kept, history: until(run.frame.history, kept) };
    }
    this.sync();
    lab.redraw();
    lab.desk.table();
  }

  // The chart's step at a place on it.
  drag(event, { area }) {
    if (!area || event.type === "pointermove" && !event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect(), { left, width, x } = area;
    const step = x[0] + (x[1] - x[0]) * (event.clientX - box.left - left) / width;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.to(Math.max(step, 0));
  }

  // Whatever a run is asked to do, it does at its end.
  sent(type) {
    if (!["pause", "next", "start"].includes(type) && (type !== "play" || this.lab.state.playing)) this.end();
  }

  end() {
    if (!this.looking) return;
    for (const run of this.lab.runs) run.past = undefined;
    this.sync();
    this.lab.redraw();
    this.lab.desk.table();
  }

  sync() {
    const { lab, line, looking } = this, { runs } = lab;
    // Beside the charts' axis; where those are out of sight of the plane, or of two runs, above it.
    const above = innerWidth < 1000 || runs.length > 1, home = above ? lab.stage.head : runs[0].scores;
    if (this.element.parentElement !== home) home[above ? "append" : "prepend"](this.element);
    this.steps = [...new Set(runs.flatMap((run) =>
      (run.frame ? [...(run.tape?.frames ?? []).map((f) => f.step), run.frame.step] : [])))].sort((a, b) => a - b);
    const end = Math.max(this.steps.length - 1, 0);
    const step = Math.max(...runs.map((run) => run.past?.step ?? -1));
    line.max = end;
    line.value = looking ? this.steps.findLastIndex((s) => s <= step) : end;
    line.disabled = !end;
    const last = whole(lab.step);
    line.setAttribute("aria-valuetext", `step ${looking ? whole(step) : last} of ${last}`);
    const said = looking ? `step ${whole(step)}; Play goes on from ${last}` : "";
    if (this.said.textContent !== said) this.said.textContent = said;
    if (this.back.hidden && looking) this.back.hidden = false;
    else if (!looking && !this.back.hidden) {
      if (document.activeElement === this.back) line.focus();
      this.back.hidden = true;
    }
  }
}

// A history as it was when a picture was taken: up to its step, then the picture's own last values.
function until(history, { step, history: own }) {
  const count = history.step.filter((s) => s < own.step[0] && s <= step).length;
  return Object.fromEntries(Object.entries(history).map(([k, v]) => [k, v && [...v.slice(0, count), ...own[k]]]));
}
