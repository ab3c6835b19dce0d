// What a reader sees of the laboratory first: its bar, its lesson, the places of all else, in a
// page's column or in the whole window. It asks the laboratory to act, and shows the state.
import { make } from "./plot.js";
import { same } from "./link.js";

const PACES = ["full speed", "4 steps a second", "part by part"];
const PLANE = "Plane of samples: Space plays and pauses, the full stop takes the next part of a step, D and G a "
  + "step of one player, left and right arrow read one sample after the other";

export class Stage {
  constructor(lab, el) {
    Object.assign(this, { lab, el });
    const { spec } = lab;
    this.page = el.closest("[data-stage]"); // the laboratory's own page
    this.embedded = this.page && new URLSearchParams(location.search).has("embed");
    this.bar(spec);
    const place = (name) => make("div", { className: `lab-${name}` });
    [this.lesson, this.runs, this.flow, this.left] = ["lesson", "runs", "flow", "left"].map(place);
    this.note = make("p", { className: "lab-note", role: "status" });
    this.alert = make("p", { className: "live-alert", role: "alert" });
    this.voice = make("p", { className: "live-say", "aria-live": "polite" });
    this.told = make("p", { className: "lab-told" });
    this.root = make("section", { className: "live lab", "aria-label": spec.title }, make("div", { className: "lab-body" },
      this.head, this.alert, this.note, this.flow, this.lesson, this.runs, this.told, this.left, this.voice));
    this.root.classList.toggle("lab-embed", Boolean(this.embedded));
    this.root.classList.toggle("lab-whole", Boolean(this.page));
    el.append(this.root);
  }

  button(label, action, more = {}) {
    return make("button", { type: "button", className: "live-button", onclick: () => action(), ...more }, label);
  }

  menu(label, options, action) {
    const list = make("select", { "aria-label": label, onchange: () => action(list.selectedIndex) }, ...options.map((text) => make("option", {}, text)));
    return [list, make("label", { className: "lab-menu" }, label, list)];
  }

  bar({ title, presets }) {
    const { lab, page } = this, { stage } = page?.dataset ?? {};
    const [lessons, lesson] = this.menu("Lesson", presets.map((p) => p.title), (i) => lab.choose(presets[i]));
    const [paces, pace] = this.menu("Speed", PACES, (i) => lab.pace(i));
    Object.assign(this, { lessons, paces });
    this.again = this.button("As the lesson has it", () => lab.choose(lab.lesson), { hidden: true });
    this.play = this.button("Play", () => lab.toggle(), { className: "live-button live-primary lab-play" });
    this.steps = [
      this.button("Next part", () => lab.advance(), { title: "of a step, which has ten: key ." }),
      this.button("One D step", () => lab.single("discriminator"), { title: "key d" }),
      this.button("One G step", () => lab.single("generator"), { title: "key g" })];
    this.counter = make("span", { className: "lab-counter" });
    this.head = make("div", { className: "lab-bar" }, make(page ? "h1" : "h3", { className: "live-title" }, title),
      ...stage && !this.embedded ? [make("a", { className: "lab-home", href: stage }, "to the book")] : [], lesson, this.again,
      make("div", { className: "lab-run-bar", role: "group", "aria-label": "Run" }, this.play, ...this.steps,
        this.button("Reset", () => lab.reset()), pace),
      this.counter);
  }

  // Everything as the state has it.
  sync() {
    const { lab } = this, { state, spec, runs, lesson } = lab, two = state.settings.length > 1;
    const shown = state.settings[state.edited], empty = lab.empty();
    this.lessons.selectedIndex = spec.presets.indexOf(lesson);
    if (lesson !== this.taught) this.teach(lesson);
    this.again.hidden = !two && same({ ...spec.defaults, ...lesson.settings, seed: shown.seed, drawn: shown.drawn }, shown);
    const over = runs.length > 0 && runs.every((run) => run.dead || run.frame?.diverged);
    this.play.textContent = state.playing ? "Pause" : "Play";
    for (const b of [this.play, ...this.steps]) b.disabled = over || empty;
    this.paces.selectedIndex = state.pace;
    this.root.classList.toggle("lab-two", two);
    if (!lab.drawing) for (const { easel } of runs) {
      easel.setAttribute("role", "group");
      easel.setAttribute("aria-label", PLANE);
      easel.classList.remove("lab-drawing");
    }
    if (this.alert.textContent !== lab.alarm) this.alert.textContent = lab.alarm;
    this.note.textContent = [empty && "Draw a few points first: they are the target.", lab.said].filter(Boolean).join(" ");
    lab.desk?.sync(shown);
  }

  // A lesson: what it claims, and what to try; what it asks comes late.
  teach(preset) {
    this.taught = preset;
    this.lesson.replaceChildren(
      make("p", {}, preset.claim, " ", make("strong", {}, "Try: "), preset.try));
    this.lab.guess?.ask(preset);
  }
}
