// The laboratory: one or two GANs that train in workers, and what a reader sees and turns of them.
// All that is shown is a function of the settings and the step.
import { moduleBytes } from "./runtime.js";
import { make } from "./plot.js";
import { Run, clock, whole } from "./run.js";
import { Stage } from "./stage.js";
import { lessonsPull, pointless, readAddress, same, written } from "./link.js";

const SHARE = 10; // while it plays, the diagram takes at most one part in so many of the time

export async function render({ model, el }) {
  let lab;
  try {
    lab = new Laboratory(model, el);
    await lab.begin();
  } catch (error) {
    lab?.close();
    el.replaceChildren(make("p", { className: "live live-alert", role: "status" },
      `The laboratory could not start: ${error.message}.`));
    throw error;
  }
  return () => lab.close();
}

class Laboratory {
  constructor(model, el) {
    const spec = model.get("spec");
    Object.assign(this, { model, spec, runs: [], cache: {}, heard: [], visible: true, said: "",
      mark: { time: clock(), step: 0, rate: 0 } });
    this.name = model.get("name") ?? el.closest("[data-name]")?.dataset.name ?? "gan";
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.state = {
      playing: false, pace: 0, drawing: false, edited: 0, factor: 1,
      show: { real: true, fake: true, field: true, arrows: false, map: false, change: true }, ...this.given(),
    };
    this.pull(lessonsPull(this.lesson));
    this.own = structuredClone(this.values());
    this.stage = new Stage(this, el);
    this.listen();
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

  get lesson() { return this.spec.presets.find((p) => p.name === this.state.preset); }
  get active() { return this.state.playing && this.visible && !document.hidden; }
  get drawing() { return this.state.drawing && this.state.settings[0].target === "drawn"; }
  get step() { return Math.max(...this.runs.map((run) => run.step)); }

  // A module; one that could not be loaded is asked for again.
  bytes(name) {
    return this.cache[name] ??= moduleBytes(this.model, name).catch((error) => {
      delete this.cache[name];
      throw error;
    });
  }

  // Until the first pictures are there, or the first of them fails.
  async begin() {
    this.readLink();
    this.fit();
    if (this.empty()) return this.complete();
    await Promise.all(this.runs.map((run) => run.first));
  }

  listen() {
    const hear = (target, type, f) => {
      target.addEventListener(type, f);
      this.heard.push(() => target.removeEventListener(type, f));
    };
    hear(document, "visibilitychange", () => this.drive());
    if (this.model.static) hear(window, "hashchange", () => this.readLink() && this.fit());
    this.watch = new IntersectionObserver((entries) => {
      this.visible = entries.at(-1).isIntersecting;
      this.drive();
    });
    this.watch.observe(this.stage.root);
    this.pulse = setInterval(() => { for (const run of this.runs) run.check(); }, 1000);
    this.follow = () => {
      if (same(this.model.get("values"), this.own)) return;
      Object.assign(this.state, this.given());
      this.own = structuredClone(this.values());
      this.fit();
    };
    this.model.on("change:values", this.follow);
  }

  // What is not in the first picture comes after it: controls, charts, the diagram, the reading of
  // a sample. Without them the laboratory plays on, and says so.
  async complete() {
    if (this.desk || this.asking) return;
    this.asking = true;
    const { flow: place } = this.stage;
    try {
      const { furnish } = await late(this.model);
      if (this.closed) return;
      furnish(this);
      this.stage.sync();
      this.redraw();
    } catch (error) {
      place.replaceChildren(`Controls and diagram could not be loaded: ${error.message}. `,
        this.stage.button("Try again", () => this.complete()));
    }
    this.asking = false;
  }

  get alarm() {
    const diverged = this.runs.filter((run) => run.frame?.diverged).map((run) =>
      `${run.name ? `${run.name} diverged` : "Diverged"} at step ${whole(run.step)}: `
      + "its numbers are no longer finite. Reset starts again, a smaller rate may help.");
    return this.failure ? `${this.failure}. Reset tries again.` : diverged.join(" ");
  }

  failed(message) {
    this.failure = message;
    this.state.playing = false;
    this.drive();
    this.stage.sync();
  }

  recovered(run) {
    run.dead = false;
    this.failure = undefined;
    this.stage.sync();
  }

  say(text) {
    this.said = text;
    this.stage.sync();
  }

  empty() { return this.state.settings.some((s) => s.target === "drawn" && !s.drawn?.length); }

  // As many runs as the state has; each restarted, changed or left alone.
  fit() {
    const { settings } = this.state;
    this.state.edited = settings.length > 1 ? this.state.edited : 0;
    while (this.runs.length > settings.length) this.runs.pop().close();
    while (this.runs.length < settings.length) {
      const run = new Run(this, this.runs.length);
      this.runs.push(run);
      this.stage.runs.append(run.element);
      this.chart?.(run);
    }
    const fresh = this.runs.some((run, i) => !run.now || this.restarts(run.now, settings[i]));
    if (fresh) this.forget();
    this.runs.forEach((run, i) => {
      const before = run.now;
      run.now = structuredClone(settings[i]);
      if (!fresh) return same(before, run.now) || run.restart(true);
      if (this.empty()) run.clear();
      else run.restart();
    });
    if (this.empty()) this.state.playing = false;
    this.stage.sync();
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
    if (next.some(pointless)) return void this.say("a = b leaves D nothing to tell apart: passed over.");
    this.state.settings = next;
    this.said = "";
    if (patch.target === "drawn") this.state.drawing = true;
    this.fit();
    this.publish();
  }

  pace(pace) {
    this.state.pace = pace;
    this.drive();
    this.stage.sync();
  }

  choose({ name, settings }) {
    const { seed } = this.state.settings[0], two = this.state.settings.length > 1;
    const all = { ...this.spec.defaults, ...settings, seed: settings.seed ?? seed };
    Object.assign(this.state, { preset: name, settings: [structuredClone(all)] });
    if (!this.wished) this.pull(lessonsPull(this.lesson));
    this.said = two ? "A lesson is one run: run B is gone." : "";
    this.fit();
    this.reset(this.state.playing);
    this.publish();
  }

  // Whether the pulls are shown, and so many times their length.
  pull(text) {
    this.state.show.arrows = text !== "off";
    if (text !== "off") this.state.factor = Number(text);
  }

  toggle(on = !this.state.playing) {
    this.state.playing = on;
    this.drive();
    this.stage.sync();
    this.soon = !on;
  }

  // A step of one player, or the next part of a step, of every run.
  single(player) { this.by("step", { player }, player); }
  advance() { this.by("part", {}, false); }

  by(type, given, asked) {
    this.toggle(false);
    for (const run of this.runs) {
      run.asked = asked;
      run.send(type, given);
    }
    this.soon = true;
  }

  reset(playing = false) {
    Object.assign(this, { failure: undefined, goal: undefined });
    this.state.playing = playing;
    this.forget();
    if (!this.empty()) for (const run of this.runs) run.restart();
    this.stage.sync();
    this.soon = true;
  }

  drive() {
    this.mark = { time: clock(), step: this.step, rate: 0 };
    this.goal = undefined;
    this.meet();
    if (this.goal === undefined) for (const run of this.runs) run.drive();
  }

  // Two runs stay together: each goes to a common step and waits there for the other.
  meet() {
    const live = this.runs.filter((run) => !run.frame?.diverged), two = live.length > 1;
    const lost = this.runs.length - live.length;
    const least = Math.min(...live.map((run) => run.step)), most = Math.max(...live.map((run) => run.step));
    if (!two) {
      if (this.goal !== undefined) { this.goal = undefined; for (const run of live) run.drive(); }
    } else if (this.active && (this.goal === undefined || least >= this.goal)) {
      const took = clock() - (this.round ?? 0);
      this.quota = this.state.pace ? 1 : Math.min(Math.max((this.quota ?? 8) * (took < 80 ? 2 : took > 200 ? 0.5 : 1), 1), 2048);
      this.round = clock();
      this.goal = Math.max(most, least + Math.round(this.quota));
      for (const run of live) run.drive();
    } else if (!this.active && least < most && live.every((run) => run.frame && !run.frame.playing)) {
      // After a pause the one behind catches up.
      for (const run of live) if (run.step < most) run.send("play", { rate: null, until: most });
    }
    if (!live.length) this.state.playing = false;
    if (lost !== this.missing) { this.missing = lost; this.stage.sync(); }
  }

  count() {
    const { mark, step } = this, passed = (clock() - mark.time) / 1000;
    if (passed > 0.7) this.mark = { time: clock(), step, rate: (step - mark.step) / passed };
    this.stage.counter.textContent = `step ${whole(step)}`
      + (this.active && this.mark.rate > 0 ? ` \u00b7 ${whole(Math.round(this.mark.rate))} a second` : "");
  }

  redraw() { for (const run of this.runs) run.draw(); }

  // After each picture: the diagram, as often as there is time for it, and what is read.
  drew(run) {
    this.complete();
    if (this.marked?.run === run && run.frame.playing) run.send("ask", { index: this.marked.index });
    if (!this.flow || run.index !== this.state.edited) return;
    const now = clock();
    if (this.active && !run.part && now < (this.next ?? 0)) return;
    this.flow.draw(run, this.marked?.run === run ? this.answer : null);
    this.next = now + SHARE * Math.max(clock() - now, 3);
  }

  // In words for those who listen: at once where the reader asked, else every five seconds.
  tell(now = this.soon) {
    if (!now && !(this.active && clock() - (this.spoken ?? 0) > 5000)) return;
    this.soon = false;
    this.spoken = clock();
    const runs = this.runs.filter((run) => run.frame), [{ part } = {}] = runs;
    this.stage.voice.textContent = part && this.flow ? this.flow.line : runs.map((run) =>
      `${run.name && `${run.name}: `}${run.words().join(", ")}.`).join(" ");
    this.desk?.table();
  }

  // No sample is read any more.
  forget() {
    this.marked = this.answer = null;
    this.stage.told.textContent = "";
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
    const { refused, pull, ...found } = readAddress(this.spec, this.state.preset, part.slice(this.prefix.length));
    Object.assign(this.state, found);
    this.pull(pull);
    this.said = refused.length ? `Left out of the link, as no setting or value here: ${refused.join(", ")}.` : "";
    this.stage.root.scrollIntoView({ block: "nearest" });
    return true;
  }

  close() {
    this.closed = true;
    clearTimeout(this.later);
    clearInterval(this.pulse);
    for (const stop of this.heard) stop();
    this.watch.disconnect();
    this.model.off("change:values", this.follow);
    for (const run of this.runs) run.close();
    this.flow?.close();
    this.stage.root.remove();
  }
}
