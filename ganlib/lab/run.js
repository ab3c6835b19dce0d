// One run of the laboratory: its worker, its pictures, its readings.
import { decimal, extent, make } from "./plot.js";
import { middleOf, Span } from "./field.js";
import { Key, Plane } from "./plane.js";

export const LETTERS = ["A", "B"];
const SLOW = 4; // steps a second where they are few
const PARTS_RATE = 1.1; // parts of a step a second
const CALM = 250; // milliseconds between two pictures for a reader who asked for less motion
const SILENT = 20000; // milliseconds without a picture after which a worker that plays counts as dead
const DRAWN = 32; // arrows
export const whole = (n) => n.toLocaleString("en");
export const percent = (share) => `${(100 * share).toFixed(0)}\u2009%`;
export const every = (values, from, stride) => values.filter((_, i) => i % stride === from);
export const clock = () => performance.now();

export class Run {
  constructor(lab, index) {
    Object.assign(this, { lab, index, frame: null, turn: 0, going: false, drawn: 0, span: new Span(), spread: new Span() });
    this.first = new Promise((done, fail) => Object.assign(this, { arrived: done, missed: fail }));
    this.first.catch(() => {}); // who waits for it hears it too
    this.build();
    this.hire();
  }

  // A worker, in place of one that is dead.
  hire() {
    this.worker?.terminate();
    const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    const worker = this.worker = new Worker(url);
    Object.assign(this, { module: null, dead: false });
    worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(url);
      if (worker !== this.worker) return;
      if (data.type === "frame") this.take(data.frame);
      else if (data.type === "told") this.lab.hand?.told(this, data.told);
      else if (data.type === "failed") this.lost(data.message);
    };
    worker.onerror = (event) => worker === this.worker && this.lost(event.message || "no worker could start");
  }

  lost(message) {
    this.dead = true;
    this.missed(new Error(message));
    this.lab.failed(message);
  }

  build() {
    this.plane = new Plane();
    this.title = make("h4", { className: "lab-run-title" });
    this.easel = make("div", { className: "lab-plane", tabIndex: 0 }, this.plane.element);
    this.key = new Key();
    this.readings = make("p", { className: "lab-readings" });
    this.scores = make("div", { className: "lab-charts" });
    this.element = make("section", { className: "lab-run" },
      make("div", { className: "lab-picture" }, this.title, this.easel, this.key.element), this.readings, this.scores);
    this.easel.onkeydown = (event) => this.lab.hand?.key(event, this);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"])
      this.easel.addEventListener(type, (event) => this.lab.hand?.pointer(event, this));
  }

  get settings() { return this.lab.state.settings[this.index]; }
  get step() { return this.frame?.step ?? 0; }
  get name() { return this.lab.runs.length > 1 ? `Run ${LETTERS[this.index]}` : ""; }
  get target() { return this.lab.spec.targets[this.settings.target]; }
  get loss() {
    const { loss } = this.settings;
    return loss === this.typed?.name ? this.typed : this.lab.spec.losses.find(({ name }) => name === loss);
  }
  // Which of a step's ten parts is shown; 0 for none.
  get part() { return this.shown?.part ?? 0; }
  // The picture that is shown: the latest, or one that the reader went back to.
  get shown() { return this.frame && (this.past ?? this.frame); }

  send(type, rest = {}) {
    this.lab.replay?.sent(type);
    this.worker.postMessage({ type, ...rest });
  }

  // From the first step, or `on` from where it is, with the present settings. What goes wrong is
  // said, and tried again at the next reset.
  async restart(on = false) {
    const turn = ++this.turn, { pack, penalty, loss } = this.settings;
    if (!(on &&= !this.fresh)) Object.assign(this, { fresh: true, frame: null, before: null, span: new Span(), spread: new Span() });
    try {
      if (this.dead && !on) this.hire();
      const { model, spec } = this.lab, metadata = model.get("metadata");
      const own = loss === "own" ? loss : "", name = [penalty, "none"].map((p) => `${own}pack${pack}-${p}`).find((n) => n in metadata);
      const bytes = await this.lab.bytes(name), settings = own ? await (await late(model)).programmed(this) : this.settings;
      if (turn !== this.turn) return; // the reader was faster
      if (name !== this.module) this.send("start", { metadata: metadata[name], bytes, spec, on });
      this.module = name;
      this.send(on ? "change" : "reset", { settings });
      if (on) return;
      this.going = false;
      this.drive();
    } catch (error) {
      if (turn === this.turn) this.lost(error.message);
    }
  }

  // Nothing to train on: an empty plane.
  clear() {
    this.turn++;
    if (this.going) this.send("pause");
    Object.assign(this, { frame: null, past: undefined, tape: undefined, going: false, fresh: true });
    this.draw();
  }

  drive(until = this.lab.goal) {
    const go = this.lab.active && !this.dead && !this.frame?.diverged, { pace } = this.lab.state;
    if (go && this.module)
      this.send("play", { rate: [null, SLOW, PARTS_RATE][pace], parts: pace === 2, until });
    else if (this.going) this.send("pause");
    this.going = go;
    this.heard = clock();
  }

  // A worker that plays and sends nothing is dead.
  check() {
    if (this.going && this.frame?.playing && !this.waiting && clock() - this.heard > SILENT)
      this.lost("the part that computes has stopped");
  }

  take(frame) {
    if (this.fresh && frame.step) return; // from before the reset
    this.heard = clock();
    if (this.dead) this.lab.recovered(this); // it was slow, not dead
    this.remember(frame);
    this.asked = this.fresh = false;
    this.frame = frame;
    this.arrived();
    this.lab.replay?.keep(this, frame);
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

  // After a step of one player: who learnt, and the picture before.
  remember(frame) {
    const part = frame.part !== this.part && { 5: "discriminator", 10: "generator" }[frame.part];
    const learnt = this.fresh ? null : this.asked || part;
    if (learnt) Object.assign(this, { learnt, before: this.frame });
    else if (this.fresh || frame.part !== this.part || frame.step !== this.step) this.before = null;
  }

  // Whether the picture is what one step of D changed, and not what D says.
  get changes() { return Boolean(this.before && this.learnt === "discriminator" && this.lab.state.show.change); }

  draw() {
    const { shown: frame, lab, target } = this, { show } = lab.state;
    const [x0, x1, y0, y1] = target.limits;
    this.plane.limits([x0, x1], [y0, y1]);
    this.title.textContent = this.name;
    this.charts?.draw();
    if (!frame) {
      this.plane.draw(this.pen());
      this.readings.textContent = "";
      this.key.element.hidden = true;
      return void lab.count();
    }
    this.picture = this.judged();
    this.plane.draw(this.layers());
    const words = this.words();
    if (show.field) words.push(`D from ${extent(frame.field).map((v) => decimal(v, 2)).join(" to ")}`);
    if (show.arrows) {
      const { mean, longest } = this.pulls();
      words.push(`mean pull ${decimal(mean)}, strongest pull ${decimal(longest)}`);
    }
    this.readings.textContent = words.join(" \u00b7 ");
    this.explain();
    this.plane.canvas.setAttribute("aria-label",
      `${this.name || "Run"}, samples on the plane at ${words.join(", ")}`);
    this.element.dataset.step = frame.step;
    lab.count();
    lab.drew(this);
  }

  // The field as it is coloured: its middle, and how far colours reach from it.
  judged() {
    const { shown: frame, settings, loss, changes } = this, moving = frame.playing && !frame.part, now = clock();
    const middle = middleOf(loss, settings, frame.field);
    const half = this.span.fit(frame.field, middle, moving, now);
    if (!changes) return { values: frame.field, middle, half, level: middle };
    const values = frame.field.map((v, i) => v - this.before.field[i]);
    return { values, middle: 0, half: this.spread.fit(values, 0, false, now), level: middle };
  }

  explain() {
    const { key, shown: frame, loss, lab: { state: { show, factor } } } = this, { middle, half } = this.picture;
    key.element.hidden = false;
    key.scale.hidden = !show.field;
    key.colours({ change: this.changes, logistic: loss.logistic, middle, half, named: (text) =>
      (loss.logistic ? "line: \u00bd, D cannot tell"
        : loss.middle === null ? `line and middle: the median, ${text(middle)}; its level means nothing`
          : `line: ${text(middle)}, D cannot tell`) });
    key.arrows.hidden = !show.arrows;
    if (show.arrows) key.lengths(factor, this.plane.unit, this.pulls().mean, this.pulls().count);
    key.outside(show.fake ? this.away.length / 2 : 0, this.crosses.length / 2);
  }

  // The samples on the plane, and those outside it: of the batch where a part of a step shows it.
  get crosses() { return this.part > 1 && this.part !== 6 ? this.shown.batch.fake : this.shown.samples; }
  get discs() { return this.part > 2 && this.part < 6 ? this.shown.batch.real : this.shown.real; }

  // Samples with their pulls: those of the batch in the part that asks for them.
  pulls() {
    const { arrows, batch, part } = this.shown, given = part === 9
      ? Array.from(batch.pull, (_, i) => (i % 2 ? [] : [batch.fake[i], batch.fake[i + 1], batch.pull[i], batch.pull[i + 1]])).flat()
      : arrows;
    const [x, y, dx, dy] = [0, 1, 2, 3].map((i) => every(given, i, 4));
    const lengths = dx.map((_, i) => Math.hypot(dx[i], dy[i]));
    return { x, y, dx, dy, count: lengths.length, longest: extent(lengths)[1],
      mean: lengths.reduce((a, b) => a + b, 0) / lengths.length };
  }

  layers() {
    const { shown: frame, lab, lab: { state: { show, factor }, marked }, target, picture, part } = this;
    const layers = [], all = this.crosses, grid = { columns: 40, rows: 40, limits: target.limits };
    const add = (name, layer) => { if (show[name] || part === 9 && name === "arrows") layers.push(layer); };
    add("field", { kind: "field", ...grid, ...picture });
    if (this.before && this.learnt === "discriminator")
      add("field", { kind: "level", ...grid, values: this.before.field, at: picture.level, dash: [6, 4], role: "muted" });
    add("field", { kind: "level", ...grid, values: frame.field, at: picture.level, role: "ink" });
    if (show.map) layers.push(lab.mesh(frame.map));
    add("real", points(this.discs, "real", { size: 3 }));
    if (this.before && this.learnt === "generator" && lab.paths)
      add("fake", lab.paths(part ? this.before.batch.fake : this.before.samples, all));
    const [x0, x1, y0, y1] = target.limits, inside = (x, y) => x >= x0 && x <= x1 && y >= y0 && y <= y1;
    const away = this.away = [], near = [];
    for (let i = 0; i < all.length; i += 2) (inside(all[i], all[i + 1]) ? near : away).push(all[i], all[i + 1]);
    add("fake", points(near, "fake", { size: 3 }));
    add("fake", { ...points(away, "fake"), kind: "beyond" });
    const { x, y, dx, dy } = this.pulls(), some = (list) => list.slice(0, DRAWN);
    add("arrows", { kind: "arrows", role: "ink", x: some(x), y: some(y),
      dx: some(dx).map((v) => v * factor), dy: some(dy).map((v) => v * factor) });
    if (marked && marked.run === this) layers.push({ kind: "ring", x: frame.samples[2 * marked.index], y: frame.samples[2 * marked.index + 1] });
    return [...layers, ...this.pen()];
  }

  // What the reader draws.
  pen() { return this.lab.drawing ? this.lab.hand.pen(this) : []; }

  // The readings in words, as far as the target allows them.
  words() {
    const { shown: { step, loss, history, floor }, target } = this;
    const last = (name) => history[name].at(-1);
    const words = [`step ${whole(step)}`];
    for (const [name, value] of [["D", loss.d], ["G", loss.g]])
      if (!Number.isNaN(value)) words.push(`loss of ${name} ${decimal(value, 2)}`);
    if (history.modes)
      words.push(`${last("modes")} of ${target.modes} modes, ${last("fair")} fair`, `${percent(last("quality"))} high quality`);
    return [...words, `divergence ${decimal(last("divergence"))} (a perfect sampler: ${decimal(floor.median)})`];
  }

  close() {
    this.turn++;
    clearTimeout(this.timer);
    cancelAnimationFrame(this.request);
    this.worker.terminate();
    this.plane.destroy();
    this.charts?.destroy();
    this.element.remove();
  }
}

export const points = (xy, role, more) => ({ kind: "points", x: every(xy, 0, 2), y: every(xy, 1, 2), role, ...more });
