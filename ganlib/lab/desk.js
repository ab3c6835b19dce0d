// What a reader turns: what is on the plane, the settings, the seed, two runs; the numbers; the
// whole window; a link.
import { control } from "./controls.js";
import { legend } from "./chart.js";
import { decimal, make } from "./plot.js";
import { Editor } from "./own.js";
import { LETTERS, percent, whole } from "./run.js";
import { same } from "./link.js";

const VIEWS = [
  ["real", "data", { kind: "points", role: "real" }],
  ["fake", "generated", { kind: "points", role: "fake" }],
  ["field", "what D says", { kind: "points" }],
  ["arrows", "pull on samples", { kind: "arrows", role: "ink" }],
  ["map", "G\u2019s image of a latent grid", { kind: "lines", role: "fake", dash: [] }],
];
const FACTORS = [0.1, 1, 10, 100]; // how many times their length arrows may be drawn

export const KEYS = "arrow keys (Shift: finely) move, Space drops a point, Backspace takes the last away";

export class Desk {
  constructor(lab) {
    Object.assign(this, { lab, fields: [] });
    const { stage, spec, model } = lab;
    stage.left.replaceChildren(this.shown(), this.settings(spec), this.foot(model), this.measurements());
    if (stage.page) return;
    this.opener = stage.button("Open the stage", () => this.open(), { hidden: !HTMLDialogElement.prototype.showModal });
    stage.head.append(this.opener);
  }

  // What is on the plane, as its key.
  shown() {
    const { lab } = this;
    this.boxes = {};
    const list = legend(VIEWS.map(([name, label, mark]) => {
      const box = this.boxes[name] = make("input", { type: "checkbox", onchange: () => this.view(name, box.checked) });
      return { ...mark, label: make("label", {}, box, label) };
    }));
    list.children[2].firstChild.replaceWith(make("span", { className: "lab-ramp", "aria-hidden": "true" }));
    [this.factors] = lab.stage.menu("Length of the arrows", FACTORS.map((f) => `\u00d7 ${f}`), (i) => this.view("arrows", true, FACTORS[i]));
    list.children[3].append(this.factors);
    this.change = make("input", { type: "checkbox", onchange: () => this.view("change", this.change.checked) });
    list.append(make("li", {}, make("label", {}, this.change, "after a D step, what it changed")));
    list.setAttribute("aria-label", "Shown on the plane");
    list.classList.add("lab-views");
    return list;
  }

  // One control for each setting; those of a group in one fieldset.
  settings(spec) {
    const { lab } = this, { stage } = lab, groups = new Map(), { settings: [first] } = lab.state;
    const rare = make("details", { className: "live-more" }, make("summary", {}, "More settings"));
    for (const given of spec.controls) {
      if (given.name === "seed" || given.longest) continue;
      const to = (v) => (given.names ? given.names.indexOf(v) : v);
      const from = (v) => (given.names ? given.names[v] : v);
      const hint = given.restarts ? "restarts the run" : undefined;
      const field = control({ ...given, hint }, to(first[given.name]), (v) => lab.change({ [given.name]: from(v) }));
      this.fields.push({ given, to, field });
      if (!groups.has(given.group))
        groups.set(given.group, make("fieldset", {}, make("legend", {}, given.group)));
      (given.rare ? rare : groups.get(given.group)).append(field.element);
    }
    this.editor = new Editor(lab, (element) => groups.set("own", element));
    this.pens = make("div", { className: "lab-row" },
      this.pencil = stage.button("Draw on the plane", () => lab.hand.draw(!lab.drawing)),
      stage.button("Clear drawing", () => lab.change({ drawn: [] }, true)),
      make("small", { className: "live-hint" }, `Draw with the pointer, or by keyboard: ${KEYS}.`));
    const name = `edited-${Math.random()}`;
    this.radios = LETTERS.map((_, i) => make("input", { type: "radio", name, onchange: () => this.edit(i) }));
    this.which = make("fieldset", { className: "lab-which" }, make("legend", {}, "These settings are of"),
      ...this.radios.map((radio, i) => make("label", {}, radio, `run ${LETTERS[i]}`)));
    this.differ = make("p", { className: "lab-differ" });
    this.folded = make("details", { className: "live-more lab-settings", open: innerWidth > 600 && !stage.embedded },
      make("summary", {}, "Settings"), this.which, this.differ,
      make("div", { className: "lab-groups" }, ...groups.values(), rare), this.pens);
    return this.folded;
  }

  // Whether something is shown on the plane, and arrows at so many times their length.
  view(name, on, factor = this.lab.state.factor) {
    const { lab } = this;
    lab.state.show[name] = on;
    lab.state.factor = factor;
    if (name === "arrows") lab.wished = true;
    lab.stage.sync();
    lab.redraw();
    lab.publish();
  }

  edit(run) {
    this.lab.state.edited = run;
    this.lab.stage.sync();
  }

  // A second run beside the first, or one alone.
  twice(on) {
    const { lab, lab: { state, state: { settings } } } = this;
    state.settings = on ? [settings[0], structuredClone(settings[0])] : [settings[0]];
    state.edited = on ? 1 : 0;
    lab.forget();
    lab.fit();
    if (!on) lab.drive();
    lab.publish();
  }

  foot(model) {
    const { lab } = this, { button } = lab.stage;
    this.seed = control(lab.spec.controls.find((c) => c.name === "seed"), 0, (seed) => lab.change({ seed: Math.round(seed) }, true));
    this.compare = control({ kind: "switch", name: "compare", label: "Compare two runs" }, 0, (on) => this.twice(on));
    this.link = make("input", { readOnly: true, hidden: true, "aria-label": "Link to these settings" });
    return make("div", { className: "lab-row lab-foot" }, this.seed.element,
      button("New seed", () => lab.change({ seed: Math.floor(1e4 * Math.random()) }, true)),
      this.compare.element, ...model.static ? [button("Copy link", () => this.copy()), this.link] : []);
  }

  measurements() {
    [this.rows, this.columns] = [make("tbody"), make("tr")];
    return this.numbers = make("details", { className: "live-more lab-numbers", ontoggle: () => this.table() },
      make("summary", {}, "Numbers"), make("div", { className: "live-tables", tabIndex: 0, role: "group", "aria-label": "Measurements" },
        make("table", {}, make("caption", {}, "The latest measurements"), make("thead", {}, this.columns), this.rows)));
  }

  table() {
    if (!this.numbers.open) return;
    const runs = this.lab.runs.filter((run) => run.frame), modes = runs.some((run) => run.target.modes);
    const heads = [...runs.length > 1 ? ["run"] : [], "step", "loss of D", "loss of G", "divergence (nats)",
      ...modes ? ["modes", "fair", "high quality"] : []];
    const cells = (tag, list) => list.map((text) => `<${tag}>${text}`).join("");
    this.columns.innerHTML = cells("th scope=col", heads);
    this.rows.innerHTML = runs.flatMap(rows).map((row) => `<tr>${cells("td", row)}`).join("");
  }

  // The laboratory in the whole window, and back in its page; the run goes on.
  open() {
    const { lab: { stage: { root, el, play }, spec }, opener } = this, held = make("div");
    held.style.height = `${root.offsetHeight}px`;
    el.append(held);
    const dialog = make("dialog", { className: "lab-dialog", "aria-label": spec.title }, root);
    el.append(dialog);
    root.classList.add("lab-whole");
    opener.textContent = "Back to the page";
    opener.onclick = () => dialog.close();
    this.folded.open = true;
    dialog.onclose = () => {
      root.classList.remove("lab-whole");
      opener.textContent = "Open the stage";
      opener.onclick = () => this.open();
      held.replaceWith(root);
      dialog.remove();
      opener.focus();
    };
    dialog.showModal();
    play.focus();
  }

  async copy() {
    const { lab, link } = this;
    Object.assign(link, { value: new URL(lab.address(), location.href).href, hidden: false });
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      lab.say("Copied: a link to this page with these settings.");
    } catch { // no clipboard in this page: the reader copies
      lab.say("Copy the marked link.");
    }
  }

  // Everything as the state has it, and the settings shown.
  sync(shown) {
    const { lab } = this, { state, runs } = lab, two = state.settings.length > 1;
    this.compare.value = two;
    this.seed.value = state.settings[0].seed;
    for (const { given, to, field } of this.fields) {
      field.value = to(shown[given.name]);
      field.element.hidden = !Object.entries(given.when ?? {}).every(([k, v]) => v.includes(shown[k]));
    }
    for (const [name, box] of Object.entries({ ...this.boxes, change: this.change })) box.checked = state.show[name];
    this.editor.sync(shown);
    this.factors.selectedIndex = FACTORS.indexOf(state.factor);
    this.pens.hidden = shown.target !== "drawn";
    this.pencil.setAttribute("aria-pressed", lab.drawing);
    this.which.hidden = this.differ.hidden = !two;
    this.radios.forEach((radio, i) => { radio.checked = i === state.edited; });
    if (two) this.differ.textContent = this.difference();
    lab.replay?.sync();
    if (lab.drawing) for (const { easel } of runs) {
      easel.setAttribute("role", "application");
      easel.setAttribute("aria-label", `Drawing: ${KEYS}`);
      easel.classList.add("lab-drawing");
    }
  }

  name(setting, value) {
    const given = this.lab.spec.controls.find((c) => c.name === setting) ?? { label: "drawing" };
    const text = given.longest ? value : given.names ? given.options[given.names.indexOf(value)] : typeof value === "number" ? +value.toPrecision(3) : "";
    return { label: given.label, text };
  }

  difference() {
    const [a, b] = this.lab.state.settings;
    const list = Object.keys(a).filter((k) => !same(a[k], b[k])).map((k) =>
      `${this.name(k, a[k]).label}: ${this.name(k, a[k]).text} in A, ${this.name(k, b[k]).text} in B`);
    return list.length ? `What differs: ${list.join("; ")}.` : "The two runs are the same: change a setting of B.";
  }
}

// The scores of a run up to what is shown, as texts.
function rows({ name, index, shown }) {
  const { step, d, g, modes, fair, quality, divergence } = shown.history;
  const number = (v) => (Number.isNaN(v) ? "" : decimal(v));
  return [...step.keys()].slice(-12).map((i) => [
    ...name ? [LETTERS[index]] : [], whole(step[i]), number(d[i]), number(g[i]),
    number(divergence[i]), ...modes ? [modes[i], fair[i], percent(quality[i])] : []]);
}
