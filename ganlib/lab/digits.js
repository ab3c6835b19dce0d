// Digits learnt in the page: what a reader sees of a run, and what he turns.
// All that is shown is a function of the seed, the step, and where the reader points.
import { moduleBytes } from "./runtime.js";
import { control } from "./controls.js";
import { Chart, legend } from "./chart.js";
import { decimal, extent, make } from "./plot.js";
import { Sheet } from "./digits-sheet.js";

const RATES = [10, 60, null]; // steps a second, in the order of the menu of speeds
const CALM = 250; // milliseconds between two pictures for a reader who asked for less motion
const NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const whole = (n) => n.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(0)}\u2009%`;
const clock = () => performance.now();

export async function render({ model, el }) {
  const lab = new Digits(model, el);
  try {
    await lab.begin();
  } catch (error) {
    lab.close();
    throw error;
  }
  return () => lab.close();
}

class Digits {
  constructor(model, el) {
    const { seed, speed } = model.get("values");
    Object.assign(this, { model, el, spec: model.get("spec"), seed, speed, playing: false, frame: null });
    Object.assign(this, { visible: true, drawn: 0, told: { time: -Infinity, right: NaN }, heard: [] });
    this.view = { at: [0.5, 0.5], from: "samples", place: 3 };
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.first = new Promise((done, fail) => { this.arrived = done; this.fail = fail; });
    this.worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(url);
      if (data.type === "frame") this.take(data.frame);
      else this.fail(new Error(data.message));
    };
    this.worker.onerror = (event) => this.fail(new Error(event.message || "no worker could start"));
    this.build();
  }

  async begin() {
    const bytes = await moduleBytes(this.model, "digits"), { spec } = this;
    this.send("start", { bytes, spec, metadata: this.model.get("metadata").digits });
    this.send("look", { view: this.view });
    this.reset();
    await this.first;
    this.fail = (error) => { this.stop(); this.alert.textContent = `The run stopped: ${error.message}. Reset starts again.`; };
    this.el.append(this.root);
    this.follow();
  }

  send(type, rest = {}) { this.worker.postMessage({ type, ...rest }); }
  get active() { return this.playing && this.visible && !document.hidden; }

  build() {
    const { spec } = this;
    const button = (label, action, more = {}) => make("button",
      { type: "button", className: "live-button", onclick: () => action(), ...more }, label);
    this.play = button("Play", () => this.toggle(), { className: "live-button live-primary digits-play" });
    this.fields = spec.controls.map((given) => control(given, this[given.name], (value) => {
      this[given.name] = value;
      if (given.name === "seed") this.reset();
      else this.drive();
      this.publish();
    }));
    this.counter = make("span", { className: "digits-counter" });
    this.alert = make("p", { className: "live-alert", role: "alert" });
    this.voice = make("p", { className: "live-say", "aria-live": "polite" });
    this.root = make("section", { className: "live digits", "aria-label": spec.title },
      make("div", { className: "live-head" }, make("p", { className: "live-title" }, spec.title), this.counter),
      make("div", { className: "digits-bar", role: "group", "aria-label": "Run" }, this.play,
        button("One step", () => this.single()), button("Reset", () => this.reset()),
        ...this.fields.map((field) => field.element)),
      this.alert,
      make("div", { className: "digits-stage" }, this.samples(), this.scores()),
      this.hand(), this.voice);
    this.root.onpointerenter = this.root.onfocusin = () => this.fetch().catch(() => {}); // soon to be asked for
  }

  // The grid: a row of training pictures, then a latent a row, in ten classes.
  samples() {
    const { spec } = this;
    this.real = new Sheet({ columns: 10, rows: 1, role: "real" });
    this.real.draw(Float32Array.from(spec.examples, (level) => 2 * level / spec.levels - 1));
    this.real.name("Ten training pictures, a digit of each class");
    this.sheet = new Sheet({ columns: 10, rows: spec.rows, role: "fake" });
    const point = (place) => this.look({ from: "samples", place });
    this.sheet.points(point);
    this.sheet.moves((key) => this.key(key, () => step(key, this.view.from === "samples" ? this.view.place : 0, 10, spec.rows), point));
    return make("div", { className: "digits-samples" },
      make("ol", { className: "digits-classes", "aria-hidden": "true" }, ...NAMES.map((_, i) => make("li", {}, i))),
      this.real.element, this.sheet.element,
      make("p", { className: "digits-key" },
        make("span", { className: "digits-real" }, "data"), " a training picture of each digit. ",
        make("span", { className: "digits-fake" }, "generated"), " a latent a row, the digit asked for a column, drawn from G's weights averaged over its steps; underlined where the classifier reads another."));
  }

  scores() {
    const { spec } = this;
    this.varied = make("span", { className: "digits-varied" });
    this.share = make("strong", { className: "digits-share" });
    this.compared = make("span", {}, ` of ${spec.asked} samples are read as the digit asked (of unseen real digits ${percent(spec.accuracy)}). `);
    const chart = (title, items = []) => {
      const plot = new Chart({ aspect: 3.2, label: title }), head = legend(items);
      head.prepend(make("li", { className: "digits-title" }, title));
      return { plot, element: make("div", { className: "digits-chart" }, head, plot.element) };
    };
    this.modes = chart("What is read");
    this.curve = chart("By step", [["theory", "read as asked", []], ["accent", "variety"]].map(([role, label, dash]) => ({ kind: "curve", role, label, dash })));
    this.losses = chart("Losses", [["critic", "D"], ["fake", "G"]].map(([role, label]) => ({ kind: "curve", role, label })));
    this.charts = [this.modes, this.curve, this.losses];
    return make("div", { className: "digits-scores" },
      make("p", { className: "digits-verdict" }, this.share, this.compared, this.varied), ...this.charts.map((c) => c.element));
  }

  // A latent in the reader's hand, and what is next to the picture he points at.
  hand() {
    const { spec } = this;
    this.pad = new Sheet({ columns: spec.map, rows: spec.map, role: "fake", gap: 0, faint: true });
    const drag = (x, y) => this.look({ at: [x, y].map((v) => Math.min(Math.max(v, 0), 1)) });
    this.pad.drags(drag);
    this.pad.moves((key, fine) => {
      const way = WAYS[key], [x, y] = this.view.at, size = fine ? 0.01 : 0.05;
      if (way) return void drag(x + size * way[0], y + size * way[1]);
      return this.key(key);
    });
    this.mixed = new Sheet({ columns: 10, rows: 1, role: "fake" });
    const point = (place) => this.look({ from: "mixed", place });
    this.mixed.points(point);
    this.mixed.moves((key) => this.key(key, () => step(key, this.view.from === "mixed" ? this.view.place : 0, 10, 1), point));
    this.pair = [["fake", "this sample"], ["real", "nearest training picture"]].map(([role, label]) => {
      const sheet = new Sheet({ columns: 1, rows: 1, role });
      return { sheet, element: make("figure", {}, sheet.element, make("figcaption", {}, label)) };
    });
    this.near = make("p", { className: "digits-near" });
    return make("div", { className: "digits-hand" },
      make("div", { className: "digits-pad" }, make("p", { className: "digits-title" }, "Drag a latent of G"), this.pad.element),
      make("div", { className: "digits-held" },
        make("p", { className: "digits-title" }, "That latent, asked for each digit"), this.mixed.element,
        make("div", { className: "digits-pair" }, ...this.pair.map((p) => p.element), this.near)));
  }

  // Follow what changes outside: visibility, and what Python sets.
  follow() {
    const listen = (target, type, f) => {
      target.addEventListener(type, f);
      this.heard.push(() => target.removeEventListener(type, f));
    };
    listen(document, "visibilitychange", () => this.drive());
    this.watch = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      this.drive();
    });
    this.watch.observe(this.root);
    this.given = () => {
      const { seed, speed } = this.model.get("values"), fresh = seed !== this.seed;
      if (!fresh && speed === this.speed) return;
      Object.assign(this, { seed, speed });
      this.spec.controls.forEach(({ name }, i) => { this.fields[i].value = this[name]; });
      if (fresh) this.reset();
      else this.drive();
    };
    this.model.on("change:values", this.given);
  }

  publish() {
    this.model.set("values", { seed: this.seed, speed: this.speed });
    this.model.save_changes();
  }

  // The training pictures and the classifier: not before somebody comes near.
  fetch() {
    return this.fetched ??= moduleBytes(this.model, "pictures").then((file) => this.send("fill", { file })).catch((error) => {
      this.fetched = null; // the next press tries again
      throw error;
    });
  }

  async toggle(on = !this.playing) {
    this.playing = on;
    this.alert.textContent = "";
    this.drive();
    this.soon = !on;
  }

  // Have the worker do what the state says.
  async drive() {
    this.play.textContent = this.playing ? "Pause" : "Play";
    if (this.playing && !await this.ready()) return;
    if (this.active) this.send("play", { rate: RATES[this.speed] });
    else if (this.going) this.send("pause");
    this.going = this.active;
  }

  async ready() {
    try {
      await this.fetch();
      return true;
    } catch (error) {
      this.stop();
      this.alert.textContent = `The training pictures did not arrive: ${error.message}. Press Play to try again.`;
      return false;
    }
  }

  stop() {
    Object.assign(this, { playing: false, going: false });
    this.play.textContent = "Play";
  }

  async single() {
    this.stop();
    if (!await this.ready()) return;
    this.send("step");
    this.soon = true;
  }

  reset() {
    this.stop();
    Object.assign(this, { fresh: true, soon: true });
    this.alert.textContent = "";
    this.send("reset", { seed: this.seed });
  }

  look(view) {
    this.view = { ...this.view, ...view };
    this.asked = true;
    this.fetch().catch(() => {});
    this.send("look", { view: this.view });
  }

  key(key, next = () => null, go) {
    if (key === " ") return void this.toggle();
    const place = next();
    if (place === null) return false;
    go(place);
  }

  take(frame) {
    if (this.fresh && frame.step) return; // from before the reset
    this.fresh = false;
    this.frame = frame;
    this.arrived();
    if (this.waiting) return;
    this.waiting = true;
    const pause = this.calm.matches && this.active ? this.drawn + CALM - clock() : 0;
    this.timer = setTimeout(() => {
      this.request = requestAnimationFrame(() => {
        this.waiting = false;
        this.drawn = clock();
        this.draw();
        this.send("next");
      });
    }, Math.max(pause, 0));
  }

  draw() {
    const { frame, spec } = this, { step, history, view, filled } = frame;
    this.root.dataset.step = step;
    this.counter.textContent = `step ${whole(step)}`;
    const other = (read) => (filled ? (i) => read[i] !== i % 10 : () => false);
    this.sheet.draw(frame.samples, { marked: other(frame.read), cursor: view.from === "samples" ? view.place : null });
    this.mixed.draw(frame.mixed, { marked: other(frame.read_mixed), cursor: view.from === "mixed" ? view.place : null });
    this.pad.draw(frame.chart, { handle: view.at });
    const pixels = spec.pixels, place = view.place;
    this.pair[0].sheet.draw(frame[view.from].subarray(place * pixels, (place + 1) * pixels));
    this.pair[1].sheet.draw(frame.near?.picture ?? new Float32Array(pixels).fill(-1));
    const counts = Array(10).fill(0);
    for (const read of frame.answers ?? []) counts[read]++;
    this.modes.plot.limits(null, [0, Math.max(40, ...counts)]);
    this.modes.plot.draw([{ kind: "bars", role: "fake", values: counts },
      { kind: "rule", y: spec.asked / 10, role: "ink", label: "asked" }]);
    const x = [0, Math.max(100, history.step.at(-1) ?? 0)];
    this.curve.plot.limits(x, [0, Math.max(1.05, 1.05 * extent(history.variety)[1])]);
    this.curve.plot.draw([
      { kind: "rule", y: spec.accuracy, role: "ink" }, { kind: "rule", y: 0.1, role: "muted", label: "chance" },
      { kind: "curve", x: history.step, y: history.right, role: "theory", dash: [] },
      { kind: "curve", x: history.step, y: history.variety, role: "accent" }]);
    const [low, high] = extent([...history.d, ...history.g]), room = Math.max(0.08 * (high - low), 0.1);
    this.losses.plot.limits(x, [low - room, high + room]);
    this.losses.plot.draw([["d", "critic"], ["g", "fake"]].map(([name, role]) => ({ kind: "curve", x: history.step, y: history[name], role })));
    this.words(counts);
  }

  get right() { return this.frame.answers ? this.frame.answers.reduce((n, read, i) => n + (read === i % 10), 0) / this.spec.asked : NaN; }

  // What is written beside the pictures, and what is said of them.
  words(counts) {
    const { frame, spec } = this, { near, view, step, diverged, history } = frame, { right } = this;
    this.share.textContent = frame.filled ? percent(right) : "\u2013";
    this.varied.textContent = history.variety.length ? `Variety within a digit: ${decimal(history.variety.at(-1), 2)} of the data's.` : "";
    if (diverged) this.alert.textContent = `Diverged at step ${whole(step)}: its numbers are no longer finite. Reset starts again.`;
    const asked = view.place % 10;
    const read = (view.from === "mixed" ? frame.read_mixed : frame.read)[view.place];
    const where = view.from === "mixed" ? "Your latent" : `Row ${Math.floor(view.place / 10) + 1}`;
    this.near.textContent = near ? `${where}, asked for a ${NAMES[asked]}, read as a ${NAMES[read]}. `
      + `Nearest of ${whole(spec.training)} training pictures: a ${NAMES[near.label]}, at a distance of ${decimal(near.distance, 2)}.` : "";
    const seen = counts.filter((n) => n >= spec.asked / 100).length;
    const said = `Step ${whole(step)}: ${percent(right)} of ${spec.asked} samples read as the digit asked`;
    this.sheet.name(`${spec.rows} latents, each in ten classes. ${frame.filled ? said : "Untrained"}. ${this.near.textContent}`);
    this.pair[0].sheet.name(`A ${NAMES[asked]}, generated`);
    this.pair[1].sheet.name(near ? `A ${NAMES[near.label]}, the nearest training picture` : "Nothing yet");
    this.pad.name(`One latent of a plane, ${view.at.map((v) => decimal(v, 2)).join(", ")}: arrow keys move it`);
    this.mixed.name(`The latent in ten classes, read as ${[...frame.read_mixed].join(" ")}`);
    this.modes.plot.canvas.setAttribute("aria-label", `How often each digit is read: ${counts.map((n, i) => `${NAMES[i]} ${n}`).join(", ")}`);
    this.curve.plot.canvas.setAttribute("aria-label", `By step: read as asked ${percent(right)} now, real pictures ${percent(spec.accuracy)}; variety within a digit ${decimal(history.variety.at(-1) ?? NaN, 2)} of the data's`);
    this.losses.plot.canvas.setAttribute("aria-label", `Losses, ${["d", "g"].map((p) => `of ${p.toUpperCase()} ${decimal(frame.loss[p], 2)}`).join(", ")}`);
    // The answer to the last question, not to one before it.
    const answered = ["from", "place", "at"].every((name) => String(view[name]) === String(this.view[name]));
    if (this.asked && answered) {
      this.asked = false;
      this.voice.textContent = this.near.textContent;
    } else if (frame.filled && (this.soon || this.active && clock() - this.told.time > 5000)) {
      const before = this.told.right;
      this.voice.textContent = `${said}${Number.isNaN(before) ? "" : `, ${percent(before)} before`}; ${seen} of 10 digits are there.`;
      this.told = { time: clock(), right };
      this.soon = false;
    }
  }

  close() {
    for (const stop of this.heard) stop();
    this.watch?.disconnect();
    if (this.given) this.model.off("change:values", this.given);
    clearTimeout(this.timer);
    cancelAnimationFrame(this.request);
    this.worker.terminate();
    for (const sheet of [this.real, this.sheet, this.pad, this.mixed, ...this.pair.map((p) => p.sheet)]) sheet.destroy();
    for (const { plot } of this.charts) plot.destroy();
    this.root.remove();
  }
}

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The cell that a key leads to; null for a key that leads nowhere.
function step(key, place, columns, rows) {
  const [across, down] = WAYS[key] ?? [0, 0];
  if (key === "Home") return place - place % columns;
  if (key === "End") return place - place % columns + columns - 1;
  if (!across && !down) return null;
  const x = place % columns + across, y = Math.floor(place / columns) + down;
  return x < 0 || x >= columns || y < 0 || y >= rows ? place : y * columns + x;
}
