// What the reader's hand does on the plane, by pointer and by keyboard: reads a sample, draws a
// target, steps.
import { decimal } from "./plot.js";
import { points } from "./run.js";

const NEAR = 14; // pixels from the pointer to the sample that it reads
const MOST = 400; // numbers of a drawing

export class Hand {
  constructor(lab) {
    Object.assign(this, { lab, stage: lab.stage });
    lab.pen = { x: 0, y: 0, shown: false };
  }

  // Read one sample: what D says of it, its pull, its latent; none without an index.
  read(run, index) {
    if (this.lab.marked?.run === run && this.lab.marked?.index === index) return;
    // What is asked of a run ends the looking back, and a pointer that passes by asks nothing.
    if (this.lab.replay?.looking) {
      this.stage.told.textContent = index === undefined ? "" : "A sample can be read at the end of the run.";
      return;
    }
    this.lab.marked = index === undefined ? null : { run, index };
    this.lab.answer = null;
    if (this.lab.marked) run.send("ask", { index });
    else this.stage.told.textContent = "";
    this.lab.redraw();
  }

  told(run, told) {
    if (this.lab.marked?.run !== run || this.lab.marked.index !== told.index) return;
    this.lab.answer = told;
    const pair = (xy) => `(${xy.map((v) => decimal(v, 2)).join(", ")})`, size = Math.hypot(...told.pull);
    this.stage.told.textContent = `Sample ${told.index + 1} of ${run.frame.samples.length / 2} at ${pair(told.point)}: `
      + `D says ${decimal(told.verdict)}, pull ${decimal(size, 4)} along ${pair(told.pull.map((v) => v / (size || 1)))}, latent ${pair(told.latent)}`;
    if (this.byKey) this.stage.voice.textContent = this.stage.told.textContent;
    if (!run.frame.playing) this.lab.drew(run);
  }

  // Drawing a target, by pointer and by keyboard.
  draw(on) {
    this.lab.state.drawing = on;
    this.stage.sync();
    this.lab.redraw();
    if (on) this.lab.runs[0].easel.focus();
  }

  // What the reader draws, as layers.
  pen({ settings }) {
    const { x, y, shown } = this.lab.pen;
    const cross = shown ? [{ kind: "rule", x, role: "ink" }, { kind: "rule", y, role: "ink" }] : [];
    return [points(settings.drawn ?? [], "ink", { size: 4, alpha: 1 }), ...cross];
  }

  dot(x, y) {
    const [x0, x1, y0, y1] = this.lab.spec.targets.drawn.limits;
    if (x < x0 || x > x1 || y < y0 || y > y1) return;
    const points = this.lab.state.settings[0].drawn ?? [], [a, b] = points.slice(-2);
    if (this.down && Math.hypot(x - a, y - b) < (x1 - x0) / 60) return;
    if (points.length >= MOST) return void this.lab.say(`A drawing holds ${MOST / 2} points: this one is full.`);
    const drawn = [...points, x, y].map((v) => Math.round(100 * v) / 100);
    for (const s of this.lab.state.settings) s.drawn = drawn;
  }

  pointer(event, run) {
    const { type } = event;
    if (!this.lab.drawing) return this.point(event, run);
    if (type === "pointerdown") {
      this.down = true;
      run.easel.setPointerCapture(event.pointerId);
      event.preventDefault();
      run.easel.focus();
    }
    if (!this.down) return;
    if (type === "pointerup" || type === "pointercancel") {
      this.down = false;
      return void this.finish();
    }
    this.dot(...run.plane.toData(event));
    this.lab.redraw();
  }

  // What was drawn is the target; what was said of it stays said.
  finish() {
    const { said } = this.lab;
    this.lab.change({}, true);
    this.lab.say(said);
  }

  // The sample under the pointer.
  point({ type, clientX, clientY }, run) {
    if (!run.frame || run.part > 1 && run.part !== 6) return;
    this.byKey = false;
    if (type === "pointerleave" || type === "pointercancel") return this.read();
    const { samples } = run.shown, { plane } = run, box = plane.canvas.getBoundingClientRect();
    let best = NEAR, index;
    for (let i = 0; i < samples.length; i += 2) {
      const far = Math.hypot(plane.px(samples[i]) + box.left - clientX, plane.py(samples[i + 1]) + box.top - clientY);
      if (far < best) [best, index] = [far, i / 2];
    }
    this.read(run, index);
  }

  key(event, run) {
    const { key } = event, { pen } = this.lab;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[key];
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== run.easel) return;
    if (!this.lab.drawing) {
      if (key === " " && !this.stage.play.disabled) this.lab.toggle();
      else if (way?.[0] && run.frame) {
        const all = run.shown.samples.length / 2;
        this.byKey = true;
        this.read(run, ((this.lab.marked?.index ?? (way[0] > 0 ? -1 : 0)) + way[0] + all) % all);
      } else if (key === "Escape" && this.lab.marked) {
        this.read();
        event.stopPropagation();
      } else return;
      return void event.preventDefault();
    }
    const [x0, x1, y0, y1] = this.lab.spec.targets.drawn.limits, size = (x1 - x0) / (event.shiftKey ? 100 : 20);
    if (way) {
      pen.x = Math.min(Math.max(pen.x + size * way[0], x0), x1);
      pen.y = Math.min(Math.max(pen.y + size * way[1], y0), y1);
      pen.shown = true;
      this.lab.redraw();
      this.stage.voice.textContent = `${decimal(pen.x, 2)}, ${decimal(pen.y, 2)}`;
    } else if (key === " ") {
      this.dot(pen.x, pen.y);
      this.finish();
      this.stage.voice.textContent = `point ${this.lab.state.settings[0].drawn.length / 2}`;
    } else if (key === "Backspace") {
      this.lab.change({ drawn: (this.lab.state.settings[0].drawn ?? []).slice(0, -2) }, true);
    } else return;
    event.preventDefault();
  }

  // Keys that act wherever the focus is in the laboratory, but where one writes or chooses.
  shortcut(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    const act = { ".": () => this.lab.advance(), d: () => this.lab.single("discriminator"), g: () => this.lab.single("generator") }[event.key];
    if (!act || this.stage.play.disabled || this.lab.drawing) return;
    event.preventDefault();
    act();
  }

}
