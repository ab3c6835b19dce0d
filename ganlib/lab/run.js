// One run of the laboratory: its worker, its pictures, its readings.
import { decimal, extent, legend, make, Plot } from "./plot.js";

export const LETTERS = ["A", "B"];
const SLOW = 4; // steps a second in slow motion
const CALM = 250; // milliseconds between two pictures for a reader who asked for less motion
const LONG = 0.35; // the longest arrow, in the plane's own unit
export const whole = (n) => n.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(0)}\u2009%`;
const every = (values, from, stride) => values.filter((_, i) => i % stride === from);
export const clock = () => performance.now();

export class Run {
  constructor(lab, index) {
    Object.assign(this, { lab, index, frame: null, module: null, turn: 0, going: false, drawn: 0 });
    const source = new Blob([WORKER], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    this.worker = new Worker(url);
    this.first = new Promise((done, fail) => { this.arrived = done; this.fail = fail; });
    this.worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(url);
      if (data.type === "frame") this.take(data.frame);
      else if (data.type === "failed") this.fail(new Error(data.message));
    };
    this.worker.onerror = (event) => this.fail(new Error(event.message || "no worker could start"));
    this.build();
  }

  build() {
    this.plane = new Plot({ square: true, aspect: 1 });
    const chart = (title, label, items, aspect = 2.6) => {
      const plot = new Plot({ aspect, label: label || title });
      const head = legend(items.map((item) => ({ kind: "curve", ...item })));
      head.prepend(make("li", { className: "lab-chart-title" }, title));
      return { plot, element: make("div", { className: "lab-chart" }, head, plot.element) };
    };
    this.losses = chart("Losses", "Losses by step",
      [{ role: "critic", label: "D" }, { role: "fake", label: "G" }]);
    this.shares = chart("Share of", "Shares by step",
      [{ role: "theory", label: "modes" }, { role: "fake", label: "high quality" }]);
    this.divergence = chart("Divergence (nats)", "Divergence by step",
      [{ role: "accent", label: "run" }, { role: "ink", label: "perfect" }]);
    this.charts = [this.losses, this.shares, this.divergence];
    this.title = make("h4", { className: "lab-run-title" });
    this.easel = make("div", { className: "lab-plane", tabIndex: 0 }, this.plane.element);
    this.readings = make("p", { className: "lab-readings" });
    this.element = make("section", { className: "lab-run" },
      make("div", {}, this.title, this.easel, this.readings),
      make("div", { className: "lab-charts" }, ...this.charts.map((c) => c.element)));
    this.easel.onkeydown = (event) => this.lab.key(event, this);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      this.easel.addEventListener(type, (event) => this.lab.pointer(event, this));
  }

  get settings() { return this.lab.state.settings[this.index]; }
  get step() { return this.frame?.step ?? 0; }
  get name() { return this.lab.runs.length > 1 ? `Run ${LETTERS[this.index]}` : ""; }
  get target() { return this.lab.spec.targets[this.settings.target]; }

  send(type, rest = {}) { this.worker.postMessage({ type, ...rest }); }

  // From the first step, with the present settings.
  async restart() {
    const turn = ++this.turn, { pack, penalty } = this.settings;
    Object.assign(this, { fresh: true, frame: null });
    const { model, spec } = this.lab, metadata = model.get("metadata");
    const name = [penalty, "none"].map((p) => `pack${pack}-${p}`).find((n) => n in metadata);
    const bytes = await this.lab.bytes(name);
    if (turn !== this.turn) return; // the reader was faster
    if (name !== this.module) this.send("start", { metadata: metadata[name], bytes, spec });
    this.module = name;
    this.send("reset", { settings: this.settings });
    this.going = false;
    this.drive();
  }

  drive(until = this.lab.goal) {
    const go = this.lab.active && !this.frame?.diverged;
    if (go && this.module) this.send("play", { rate: this.lab.state.slow ? SLOW : null, until });
    else if (this.going) this.send("pause");
    this.going = go;
  }

  take(frame) {
    if (this.fresh && frame.step) return; // from before the reset
    this.fresh = false;
    this.frame = frame;
    this.arrived();
    this.lab.meet();
    if (this.waiting) return;
    this.waiting = true;
    const pause = this.lab.calm.matches && this.lab.active ? this.drawn + CALM - clock() : 0;
    this.timer = setTimeout(() => {
      this.request = requestAnimationFrame(() => {
        this.waiting = false;
        this.drawn = clock();
        this.draw();
        this.lab.tell();
        this.send("next");
      });
    }, Math.max(pause, 0));
  }

  draw() {
    const { frame, lab, target } = this;
    if (!frame) return;
    const [x0, x1, y0, y1] = target.limits;
    this.plane.limits([x0, x1], [y0, y1]);
    this.plane.draw(this.layers());
    const { step, d, g, modes, quality, divergence } = frame.history;
    const x = [0, Math.max(100, step.at(-1))];
    const curves = ({ plot }, y, lines, more = []) => {
      plot.limits(x, y);
      plot.draw([...lines.map(([y, role]) => ({ kind: "curve", x: step, y, role })), ...more]);
    };
    curves(this.losses, room(extent([...d, ...g])), [[d, "critic"], [g, "fake"]]);
    this.shares.element.hidden = !modes;
    if (modes) curves(this.shares, [0, 1.05], [[modes.map((m) => m / target.modes), "theory"], [quality, "fake"]]);
    const { median } = frame.floor;
    curves(this.divergence, [0, Math.max(0.1, 1.1 * extent([...divergence, median])[1])],
      [[divergence, "accent"]], [{ kind: "rule", y: median, role: "ink" }]);
    const words = this.words();
    if (lab.state.show.field) words.push(`D from ${extent(frame.field).map((v) => decimal(v, 2)).join(" to ")}`);
    if (lab.state.show.arrows) words.push(pulls(frame.arrows, lab.taught?.arrows).said);
    this.readings.textContent = words.join(" \u00b7 ");
    this.title.textContent = this.name;
    this.plane.canvas.setAttribute("aria-label",
      `${this.name || "Run"}, samples on the plane at ${words.join(", ")}`);
    this.element.dataset.step = frame.step;
    lab.count();
  }

  layers() {
    const { frame, lab: { state, pen } } = this, { show } = state;
    const layers = [];
    const add = (name, layer) => { if (show[name]) layers.push(layer); };
    const points = (xy, role, more) => ({
      kind: "points", x: every(xy, 0, 2), y: every(xy, 1, 2), role, ...more });
    add("field", {
      kind: "field", values: frame.field, columns: 40, rows: 40, limits: this.target.limits,
      range: frame.fieldRange,
    });
    add("map", mesh(frame.map));
    add("real", points(frame.real, "real", { size: 2.4 }));
    add("fake", points(frame.samples, "fake", { size: 3 }));
    add("arrows", pulls(frame.arrows, this.lab.taught?.arrows));
    if (!this.lab.drawing) return layers;
    layers.push(points(this.settings.drawn ?? [], "ink", { size: 4, alpha: 1 }));
    if (pen.shown) layers.push({ kind: "rule", x: pen.x, role: "ink" }, { kind: "rule", y: pen.y, role: "ink" });
    return layers;
  }

  // The readings in words, as far as the target allows them.
  words() {
    const { frame: { step, loss, history, floor }, target } = this;
    const last = (name) => history[name].at(-1);
    const words = [`step ${whole(step)}`];
    for (const [name, value] of [["D", loss.d], ["G", loss.g]])
      if (!Number.isNaN(value)) words.push(`loss of ${name} ${decimal(value, 2)}`);
    if (history.modes)
      words.push(`${last("modes")} of ${target.modes} modes, ${last("fair")} fair`, `${percent(last("quality"))} high quality`);
    return [...words, `divergence ${decimal(last("divergence"))} (a perfect sampler: ${decimal(floor.median)})`];
  }

  rows() {
    const { step, d, g, modes, fair, quality, divergence } = this.frame.history;
    const number = (v) => (Number.isNaN(v) ? "" : decimal(v));
    return [...step.keys()].slice(-12).map((i) => [
      ...this.name ? [LETTERS[this.index]] : [], whole(step[i]), number(d[i]), number(g[i]),
      number(divergence[i]), ...modes ? [modes[i], fair[i], percent(quality[i])] : []]);
  }

  close() {
    this.turn++;
    clearTimeout(this.timer);
    cancelAnimationFrame(this.request);
    this.worker.terminate();
    for (const plot of [this.plane, ...this.charts.map((c) => c.plot)]) plot.destroy();
    this.element.remove();
  }
}

// Limits with a little room about a range, never empty.
function room([low, high]) {
  const more = Math.max(0.08 * (high - low), 0.1);
  return [low - more, high + more];
}

// The images of a square latent lattice, joined along its rows and its columns.
function mesh(map) {
  const side = Math.round(Math.sqrt(map.length / 2)), order = [];
  for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) order.push(i * side + j);
  for (let j = 0; j < side; j++) for (let i = 0; i < side; i++) order.push(i * side + j);
  return {
    kind: "lines", x: order.map((k) => map[2 * k]), y: order.map((k) => map[2 * k + 1]),
    breaks: Array(2 * side).fill(side), role: "fake", dash: [], width: 1, alpha: 0.75,
  };
}

// Arrows along the slopes: so many times as long as they are, and cut at LONG; without a factor
// the longest is LONG. Saturation is a number, which the readings say.
function pulls(arrows, factor) {
  const [x, y, u, v] = [0, 1, 2, 3].map((i) => every(arrows, i, 4));
  const lengths = u.map((_, i) => Math.hypot(u[i], v[i])), longest = extent(lengths)[1];
  const along = (d) => d.map((value, i) => value * (factor ? Math.min(factor, LONG / lengths[i]) : LONG / (longest || 1)));
  const mean = lengths.reduce((a, b) => a + b) / lengths.length;
  const drawn = factor ? `\u00d7 ${factor}, cut at ${LONG}` : "scaled to fit";
  const said = `mean pull ${decimal(mean)}, strongest pull ${decimal(longest)} (arrows ${drawn})`;
  return { kind: "arrows", role: "ink", x, y, dx: along(u), dy: along(v), said };
}
