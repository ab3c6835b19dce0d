// The laboratory: one or two GANs that train in workers, and what a reader sees and turns of them.
// All that is shown is a function of the settings and the step.
import { moduleBytes } from "./runtime.js";
import { control } from "./controls.js";
import { decimal, legend, make } from "./plot.js";
import { LETTERS, Run, clock, whole } from "./run.js";
import { pointless, readAddress, same, written } from "./link.js";

const VIEWS = [
  ["real", "data", { kind: "points", role: "real" }],
  ["fake", "generated", { kind: "points", role: "fake" }],
  ["field", "D: fake to real", { kind: "field" }],
  ["arrows", "pull on samples", { kind: "arrows", role: "ink" }],
  ["map", "G's image of a latent grid", { kind: "lines", role: "fake", dash: [] }],
];

const KEYS = "arrow keys (Shift: finely) move, Space drops a point, Backspace takes the last away";

export async function render({ model, el }) {
  const lab = new Laboratory(model, el);
  try {
    await lab.begin();
  } catch (error) {
    lab.close();
    el.replaceChildren(make("p", { className: "live live-alert", role: "status" },
      `The laboratory could not start: ${error.message}.`));
    throw error;
  }
  return () => lab.close();
}

class Laboratory {
  constructor(model, el) {
    const spec = model.get("spec");
    Object.assign(this, { model, spec, runs: [], cache: {}, fields: [], heard: [], visible: true });
    this.name = model.get("name") ?? el.closest("[data-name]")?.dataset.name ?? "gan";
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.pen = { x: 0, y: 0, shown: false };
    this.state = {
      playing: false, slow: false, drawing: false, edited: 0,
      show: { real: true, fake: true, field: true, arrows: false, map: false }, ...this.given(),
    };
    this.own = structuredClone(this.values());
    this.build(el);
  }

  // What the model holds: the first run's settings, and the second's where there are two.
  given() {
    const { preset, settings, compare } = this.model.get("values");
    return { preset, settings: structuredClone(compare ? [settings, compare] : [settings]) };
  }

  values() {
    const { preset, settings: [settings, compare = null] } = this.state;
    return { preset, settings, compare };
  }

  get active() { return this.state.playing && this.visible && !document.hidden; }
  get drawing() { return this.state.drawing && this.state.settings[0].target === "drawn"; }

  bytes(name) { return this.cache[name] ??= moduleBytes(this.model, name); }

  async begin() {
    this.readLink();
    this.fit();
    await Promise.all(this.runs.map((run) => run.first));
    for (const run of this.runs) run.fail = (error) => { this.failure = error.message; this.sync(); };
  }

  build(el) {
    const { spec, state } = this;
    const button = (label, action, more = {}) => make("button",
      { type: "button", className: "live-button", onclick: () => action(), ...more }, label);
    const flip = (name, label, action) => control({ kind: "switch", name, label }, false, action);
    this.presets = spec.presets.map((preset) =>
      button(preset.title, () => this.choose(preset)));
    this.lesson = make("div", { className: "lab-lesson" });
    this.play = button("Play", () => this.toggle(), { className: "live-button live-primary lab-play" });
    this.steps = [["One D step", "discriminator"], ["One G step", "generator"]].map(([label, player]) =>
      button(label, () => this.single(player)));
    this.slow = flip("slow", "Slow motion", (on) => { state.slow = on; this.drive(); });
    this.compare = flip("compare", "Compare two runs", (on) => this.twice(on));
    this.seed = control(spec.controls.find((c) => c.name === "seed"), 0, (seed) => this.change({ seed: Math.round(seed) }, true));
    this.counter = make("span", { className: "lab-counter" });
    this.note = make("p", { className: "lab-note", role: "status" });
    this.alert = make("p", { className: "live-alert", role: "alert" });
    this.voice = make("p", { className: "live-say", "aria-live": "polite" });
    this.stage = make("div", { className: "lab-runs" });
    this.rows = make("tbody");
    this.columns = make("tr");
    this.numbers = make("details", { className: "live-more", ontoggle: () => this.table() },
      make("summary", {}, "Numbers"), make("div", { className: "live-tables", tabIndex: 0, role: "group", "aria-label": "Measurements" },
        make("table", {}, make("caption", {}, "The latest measurements"), make("thead", {}, this.columns), this.rows)));
    this.link = make("input", { readOnly: true, hidden: true, "aria-label": "Link to these settings" });
    this.root = make("section", { className: "live lab", "aria-label": spec.title },
      make("div", { className: "live-head" }, make("h3", { className: "live-title" }, spec.title), this.counter),
      make("div", { className: "lab-row lab-presets", role: "group", "aria-label": "Lessons" }, ...this.presets),
      this.lesson,
      make("div", { className: "lab-row", role: "group", "aria-label": "Run" }, this.play, ...this.steps,
        button("Reset", () => this.reset()), this.slow.element),
      this.alert, this.note,
      this.views(), this.stage, this.voice,
      make("div", { className: "lab-row" }, this.seed.element,
        button("New seed", () => this.change({ seed: Math.floor(1e4 * Math.random()) }, true)),
        this.compare.element,
        ...this.model.static ? [button("Copy link", () => this.copy()), this.link] : []),
      this.settings(button), this.numbers);
    el.append(this.root);
    const listen = (target, type, f) => {
      target.addEventListener(type, f);
      this.heard.push(() => target.removeEventListener(type, f));
    };
    listen(document, "visibilitychange", () => this.drive());
    if (this.model.static) listen(window, "hashchange", () => this.readLink() && this.fit());
    this.watch = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      this.drive();
    });
    this.watch.observe(this.root);
    this.follow = () => {
      if (same(this.model.get("values"), this.own)) return;
      Object.assign(this.state, this.given());
      this.own = structuredClone(this.values());
      this.fit();
    };
    this.model.on("change:values", this.follow);
  }

  views() {
    this.boxes = {};
    const list = legend(VIEWS.map(([name, label, mark]) => {
      const box = this.boxes[name] = make("input", { type: "checkbox", checked: this.state.show[name], onchange: () => {
        this.state.show[name] = box.checked;
        this.redraw();
      } });
      return { ...mark, label: make("label", {}, box, label) };
    }));
    list.setAttribute("aria-label", "Shown on the plane");
    list.classList.add("lab-views");
    return list;
  }

  // One control for each setting; those of a group in one fieldset.
  settings(button) {
    const groups = new Map();
    for (const given of this.spec.controls) {
      if (given.name === "seed") continue;
      const to = (v) => (given.names ? given.names.indexOf(v) : v);
      const from = (v) => (given.names ? given.names[v] : v);
      const hint = given.restarts ? "restarts the run" : undefined;
      const field = control({ ...given, hint }, to(this.state.settings[0][given.name]),
        (v) => this.change({ [given.name]: from(v) }));
      this.fields.push({ given, to, field });
      if (!groups.has(given.group))
        groups.set(given.group, make("fieldset", {}, make("legend", {}, given.group)));
      groups.get(given.group).append(field.element);
    }
    this.pens = make("div", { className: "lab-row" },
      this.pencil = button("Draw on the plane", () => this.draw(!this.drawing)),
      button("Clear drawing", () => this.change({ drawn: [] }, true)),
      make("small", { className: "live-hint" }, `Draw with the pointer, or by keyboard: ${KEYS}.`));
    const radios = LETTERS.map((letter, i) => make("input", {
      type: "radio", name: `edited-${this.name}-${Math.random()}`, onchange: () => { this.state.edited = i; this.sync(); } }));
    radios[1].name = radios[0].name;
    this.radios = radios;
    this.which = make("fieldset", { className: "lab-which" }, make("legend", {}, "These settings are of"),
      ...radios.map((radio, i) => make("label", {}, radio, `run ${LETTERS[i]}`)));
    this.differ = make("p", { className: "lab-differ" });
    return make("details", { className: "live-more lab-settings", open: innerWidth > 600 }, make("summary", {}, "Settings"),
      this.which, this.differ, make("div", { className: "lab-groups" },
        ...groups.values()),
      this.pens);
  }

  // The page as the state has it.
  sync() {
    const { state, spec, runs } = this, two = state.settings.length > 1;
    state.edited = two ? state.edited : 0;
    const shown = state.settings[state.edited];
    const preset = spec.presets.find((p) => p.name === state.preset);
    this.presets.forEach((b, i) => b.setAttribute("aria-pressed", spec.presets[i] === preset));
    if (preset !== this.taught) this.teach(preset);
    const over = runs.length > 0 && runs.every((run) => run.frame?.diverged), empty = this.empty();
    this.play.textContent = state.playing ? "Pause" : "Play";
    for (const b of [this.play, ...this.steps]) b.disabled = over || empty;
    this.slow.value = state.slow;
    this.compare.value = two;
    this.seed.value = state.settings[0].seed;
    for (const { given, to, field } of this.fields) {
      field.value = to(shown[given.name]);
      field.element.hidden = !Object.entries(given.when ?? {}).every(([k, v]) => v.includes(shown[k]));
    }
    this.pens.hidden = shown.target !== "drawn";
    this.pencil.setAttribute("aria-pressed", this.drawing);
    this.which.hidden = this.differ.hidden = !two;
    this.radios.forEach((radio, i) => { radio.checked = i === state.edited; });
    if (two) this.differ.textContent = this.difference();
    this.root.classList.toggle("lab-two", two);
    const what = this.drawing
      ? `Drawing: ${KEYS}`
      : "Plane of samples: Space plays and pauses";
    for (const { easel } of runs) {
      easel.setAttribute("role", this.drawing ? "application" : "group");
      easel.setAttribute("aria-label", what);
      easel.classList.toggle("lab-drawing", this.drawing);
    }
    const lost = runs.filter((run) => run.frame?.diverged);
    const alarm = this.failure ?? lost.map((run) => `${run.name ? `${run.name} diverged` : "Diverged"} at step ${whole(run.step)}: `
      + "its numbers are no longer finite. Reset starts again, a smaller rate may help.").join(" ");
    if (this.alert.textContent !== alarm) this.alert.textContent = alarm;
    this.note.textContent = empty ? "Draw a few points first: they are the target." : this.said ?? "";
  }

  // A lesson: what it claims and asks, and, folded, what came of it. What it speaks of is shown.
  teach(preset) {
    this.taught = preset;
    this.lesson.replaceChildren(
      make("p", {}, preset.claim, " ", make("strong", {}, "Try: "), preset.try),
      make("details", { className: "live-more", innerHTML: preset.more }));
    if (preset.arrows) this.state.show.arrows = this.boxes.arrows.checked = true;
  }

  say(text) { this.note.textContent = this.said = text; }
  empty() { return this.state.settings.some((s) => s.target === "drawn" && !s.drawn?.length); }

  title(name, value) {
    const { given } = this.fields.find((f) => f.given.name === name) ?? { given: { label: "drawing" } };
    const text = given.names ? given.options[given.names.indexOf(value)] : typeof value === "number" ? +value.toPrecision(3) : "";
    return { label: given.label, text };
  }

  difference() {
    const [a, b] = this.state.settings;
    const list = Object.keys(a).filter((k) => !same(a[k], b[k])).map((k) =>
      `${this.title(k, a[k]).label}: ${this.title(k, a[k]).text} in A, ${this.title(k, b[k]).text} in B`);
    return list.length ? `What differs: ${list.join("; ")}.` : "The two runs are the same: change a setting of B.";
  }

  // As many runs as the state has; each restarted, changed or left alone.
  fit() {
    const { settings } = this.state;
    while (this.runs.length > settings.length) this.runs.pop().close();
    while (this.runs.length < settings.length) {
      const run = new Run(this, this.runs.length);
      this.runs.push(run);
      this.stage.append(run.element);
    }
    const fresh = this.runs.some((run, i) => !run.now || this.restarts(run.now, settings[i]));
    this.runs.forEach((run, i) => {
      const before = run.now;
      run.now = structuredClone(settings[i]);
      if (fresh) this.empty() || run.restart();
      else if (!same(before, run.now)) run.send("change", { settings: run.now });
    });
    if (this.empty()) this.state.playing = false;
    this.sync();
    this.redraw();
  }

  restarts(before, after) {
    const live = new Set(this.spec.controls.filter((c) => !c.restarts).map((c) => c.name));
    return Object.keys(after).some((k) => !live.has(k) && !same(before[k], after[k]));
  }

  // The reader has set something: in the run that is edited, or in all.
  change(patch, all = false) {
    const { settings, edited } = this.state;
    const next = settings.map((s, i) => (all || i === edited ? { ...s, ...patch } : s));
    if (next.some(pointless)) {
      this.say("a = b leaves D nothing to tell apart: passed over.");
      return void this.sync();
    }
    this.state.settings = next;
    this.say("");
    if (patch.target === "drawn") this.state.drawing = true;
    this.fit();
    this.publish();
  }

  choose({ name, settings }) {
    const { seed } = this.state.settings[0];
    const all = { ...this.spec.defaults, ...settings, seed: settings.seed ?? seed };
    Object.assign(this.state, { preset: name, settings: [structuredClone(all)] });
    this.fit();
    this.reset(this.state.playing);
    this.publish();
  }

  twice(on) {
    const { settings } = this.state;
    this.state.settings = on ? [settings[0], structuredClone(settings[0])] : [settings[0]];
    this.state.edited = on ? 1 : 0;
    this.fit();
    if (!on) this.drive();
    this.publish();
  }

  toggle(on = !this.state.playing) {
    this.state.playing = on;
    this.drive();
    this.sync();
    this.soon = !on;
  }

  single(player) {
    this.toggle(false);
    for (const run of this.runs) run.send("step", { player });
    this.soon = true;
  }

  reset(playing = false) {
    this.state.playing = playing;
    this.goal = undefined;
    if (!this.empty()) for (const run of this.runs) run.restart();
    this.failure = undefined;
    this.sync();
    this.soon = true;
  }

  drive() {
    this.mark = { time: clock(), step: this.step, rate: 0 };
    this.goal = undefined;
    this.meet();
    if (this.goal === undefined) for (const run of this.runs) run.drive();
  }

  get step() { return Math.max(...this.runs.map((run) => run.step)); }

  // Two runs stay together: each goes to a common step and waits there for the other.
  meet() {
    const live = this.runs.filter((run) => !run.frame?.diverged), two = live.length > 1;
    const lost = this.runs.length - live.length;
    const least = Math.min(...live.map((run) => run.step)), most = Math.max(...live.map((run) => run.step));
    if (!two) {
      if (this.goal !== undefined) { this.goal = undefined; for (const run of live) run.drive(); }
    } else if (this.active && (this.goal === undefined || least >= this.goal)) {
      const took = clock() - (this.round ?? 0);
      this.quota = this.state.slow ? 1 : Math.min(Math.max((this.quota ?? 8) * (took < 80 ? 2 : took > 200 ? 0.5 : 1), 1), 2048);
      this.round = clock();
      this.goal = Math.max(most, least + Math.round(this.quota));
      for (const run of live) run.drive();
    } else if (!this.active && least < most && live.every((run) => run.frame && !run.frame.playing)) {
      // After a pause the one behind catches up.
      for (const run of live) if (run.step < most) run.send("play", { rate: null, until: most });
    }
    if (!live.length) this.state.playing = false;
    if (lost !== this.lost) { this.lost = lost; this.sync(); }
  }

  count() {
    const { mark, step } = this, passed = (clock() - mark.time) / 1000;
    if (passed > 0.7) this.mark = { time: clock(), step, rate: (step - mark.step) / passed };
    this.counter.textContent = `step ${whole(step)}`
      + (this.active && this.mark.rate > 0 ? ` \u00b7 ${whole(Math.round(this.mark.rate))} a second` : "");
  }

  redraw() { for (const run of this.runs) run.draw(); }

  // In words for those who listen: at once where the reader asked, else every five seconds.
  tell(now = this.soon) {
    if (!now && !(this.active && clock() - (this.told ?? 0) > 5000)) return;
    this.soon = false;
    this.told = clock();
    const runs = this.runs.filter((run) => run.frame);
    this.voice.textContent = runs.map((run) =>
      `${run.name && `${run.name}: `}${run.words().join(", ")}.`).join(" ");
    this.table();
  }

  table() {
    if (!this.numbers.open) return;
    const runs = this.runs.filter((run) => run.frame), modes = this.runs.some((run) => run.target.modes);
    const heads = [...runs.length > 1 ? ["run"] : [], "step", "loss of D", "loss of G", "divergence (nats)",
      ...modes ? ["modes", "fair", "high quality"] : []];
    const cells = (tag, list) => list.map((text) => `<${tag}>${text}`).join("");
    this.columns.innerHTML = cells("th scope=col", heads);
    this.rows.innerHTML = runs.flatMap((run) => run.rows()).map((row) => `<tr>${cells("td", row)}`).join("");
  }

  // Drawing a target, by pointer and by keyboard.
  draw(on) {
    this.state.drawing = on;
    this.sync();
    this.redraw();
    if (on) this.runs[0].easel.focus();
  }

  dot(x, y) {
    const [x0, x1, y0, y1] = this.spec.targets.drawn.limits;
    if (x < x0 || x > x1 || y < y0 || y > y1) return;
    const points = this.state.settings[0].drawn ?? [], [a, b] = points.slice(-2);
    if (this.down && Math.hypot(x - a, y - b) < (x1 - x0) / 60) return;
    const drawn = [...points, x, y].slice(-400).map((v) => Math.round(100 * v) / 100);
    for (const s of this.state.settings) s.drawn = drawn;
  }

  pointer(event, run) {
    if (!this.drawing) return;
    const { type } = event;
    if (type === "pointerdown") {
      this.down = true;
      run.easel.setPointerCapture(event.pointerId);
      event.preventDefault();
      run.easel.focus();
    }
    if (!this.down) return;
    if (type === "pointerup" || type === "pointercancel") {
      this.down = false;
      return void this.change({}, true);
    }
    this.dot(...run.plane.toData(event));
    this.redraw();
  }

  key(event, run) {
    const { key } = event, { pen } = this;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[key];
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== run.easel) return;
    if (!this.drawing) {
      if (key !== " " || this.play.disabled) return;
      event.preventDefault();
      return void this.toggle();
    }
    const [x0, x1, y0, y1] = this.spec.targets.drawn.limits, size = (x1 - x0) / (event.shiftKey ? 100 : 20);
    if (way) {
      pen.x = Math.min(Math.max(pen.x + size * way[0], x0), x1);
      pen.y = Math.min(Math.max(pen.y + size * way[1], y0), y1);
      pen.shown = true;
      this.redraw();
      this.voice.textContent = `${decimal(pen.x, 2)}, ${decimal(pen.y, 2)}`;
    } else if (key === " ") {
      this.dot(pen.x, pen.y);
      this.change({}, true);
      this.voice.textContent = `point ${this.state.settings[0].drawn.length / 2}`;
    } else if (key === "Backspace") {
      this.change({ drawn: (this.state.settings[0].drawn ?? []).slice(0, -2) }, true);
    } else return;
    event.preventDefault();
  }

  // Tell Python, and the address, what the reader has set.
  publish() {
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.own = structuredClone(this.values());
      this.model.set("values", this.own);
      this.model.save_changes();
      if (this.model.static) history.replaceState(history.state, "", this.address());
    }, 200);
  }

  get prefix() { return `lab.${this.name}=`; }
  parts() { return location.hash.slice(1).split("&").filter(Boolean); }

  // The address of this page with this laboratory's settings.
  address() {
    const others = this.parts().filter((part) => !part.startsWith(this.prefix));
    return `#${[...others, this.prefix + written(this.spec, this.state)].join("&")}`;
  }

  // Take the settings of the address. What cannot be right is left out, and said.
  readLink() {
    const part = this.model.static && this.parts().find((p) => p.startsWith(this.prefix));
    if (!part || `#${this.parts().join("&")}` === this.address()) return false;
    const { refused, ...found } = readAddress(this.spec, this.state.preset, part.slice(this.prefix.length));
    Object.assign(this.state, found);
    this.say(refused.length ? `Left out of the link, as no setting or value here: ${refused.join(", ")}.` : "");
    this.root.scrollIntoView({ block: "nearest" });
    return true;
  }

  async copy() {
    const link = new URL(this.address(), location.href).href;
    Object.assign(this.link, { value: link, hidden: false });
    this.link.select();
    try {
      await navigator.clipboard.writeText(link);
      this.say("Copied: a link to this page with these settings.");
    } catch { // no clipboard in this page: the reader copies
      this.say("Copy the marked link.");
    }
  }

  close() {
    clearTimeout(this.later);
    for (const stop of this.heard) stop();
    this.watch.disconnect();
    this.model.off("change:values", this.follow);
    for (const run of this.runs) run.close();
    this.root.remove();
  }
}
