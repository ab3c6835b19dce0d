// The reader's own loss: what its formulas are worth, how they look, and where they are typed.
import { Chart, legend } from "./chart.js";
import { LONGEST, NAMES, packed, program } from "./formula.js";
import { decimal, extent, make } from "./plot.js";
import { load } from "./runtime.js";

const MODULE = "ownpack1-none"; // formulas are the same in all modules that hold any
const WIDEST = 20, SHOWN = 6; // D's raw outputs that are tried, and those that are drawn
const TALL = 8; // how far up and down curves are drawn at most
const FINE = 1 / 12; // between two outputs that are tried: whole numbers and halves are among them
const SUSPECTS = 8; // of the largest jumps between two neighbours so many are looked at closely
const LEAST = 1e-6; // a slope below it may be rounding alone
// As the chart of the losses has them: D's is not G's.
const ROLES = { on_real: "real", on_fake: "critic", of_generator: "fake" };
// Which way a formula should go as D's output grows, and what is wrong where it goes the other way.
const WAYS = {
  on_real: [-1, "rises", "there D is paid for calling data fake"],
  on_fake: [1, "falls", "there D is paid for calling samples real"],
  of_generator: [-1, "rises", "there G is paid for samples that D calls fake"],
};
const at = (s) => `s = ${decimal(Math.round(1000 * s) / 1000, 3).replace(/\.?0+$/, "")}`;

// Computes formulas with the module that trains.
class Judge {
  constructor({ functions: { curves } }) {
    this.run = curves;
    this.points = curves.inputs.axis.length;
  }

  // Values and slopes of each program along an axis.
  curves(programs, axis) {
    const { inputs, outputs, run } = this.run, n = this.points;
    inputs.axis.fill(axis.at(-1)).set(axis);
    inputs.settings.set(packed(programs), inputs.settings.length - packed(programs).length);
    run();
    const rows = (all) => programs.map((_, i) => all.slice(i * n, i * n + axis.length));
    return { values: rows(outputs.values), slopes: rows(outputs.slopes) };
  }

  // Of each text: its program, or why it cannot be used; what else should be said of it.
  verdicts(texts) {
    const found = texts.map((text) => {
      try { return { program: program(text) }; } catch (error) { return { program: [], refused: error.message }; }
    });
    const programs = found.map((one) => one.program), axis = spaced(-WIDEST, WIDEST, 2 * WIDEST / FINE + 1);
    const { values, slopes } = this.curves(programs, axis);
    found.forEach((one, i) => {
      if (one.refused) return;
      const wrong = axis.findIndex((_, k) => !Number.isFinite(values[i][k]) || !Number.isFinite(slopes[i][k]));
      if (wrong >= 0) {
        const what = Number.isFinite(values[i][wrong]) ? "slope" : "value";
        return one.refused = `not finite: it has no ${what} at ${at(axis[wrong])}`;
      }
      const { pole, kinks } = this.breaks(programs, i, axis, values[i], slopes[i]);
      if (pole !== undefined) return one.refused = `not continuous: it jumps, or grows without bound, near ${at(pole)}`;
      one.remarks = [...this.way(NAMES[i], axis, slopes[i], kinks), ...kinks.length ? [
        `has a kink at ${kinks.map(at).join(" and ")}: no slope there, and the slope of one side is used`] : []];
    });
    return found;
  }

  // Where the slope, or the value, jumps however closely one looks.
  breaks(programs, i, axis, values, slopes) {
    const step = (list, k) => Math.abs(list[k + 1] - list[k]);
    const share = (list, k) => step(list, k) / (1 + Math.min(Math.abs(list[k]), Math.abs(list[k + 1])));
    const rank = (k) => Math.max(share(slopes, k), share(values, k));
    const largest = [...axis.keys()].slice(0, -1).sort((k, m) => rank(m) - rank(k)).slice(0, SUSPECTS);
    const kinks = [];
    let pole;
    for (const k of largest) {
      let from = axis[k], to = axis[k + 1], wild = false, bent = step(slopes, k) > 1e-4;
      for (let zoom = 0; zoom < 2; zoom++) { // each time 511 times closer
        const near = spaced(from, to, this.points), seen = this.curves(programs, near);
        const [v, d] = [seen.values[i], seen.slopes[i]];
        const most = (list) => near.slice(1).reduce((best, _, m) => (step(list, m) > step(list, best) ? m : best), 0);
        const jump = step(v, most(v));
        wild ||= ![...v, ...d].every(Number.isFinite) || jump > 0.5 * step(values, k) && jump > 1e-2;
        bent &&= step(d, most(d)) > 0.5 * step(slopes, k);
        const m = most(bent && !wild ? d : v);
        [from, to] = [near[m], near[m + 1]];
      }
      if (wild) pole = from;
      else if (bent && !kinks.some((s) => Math.abs(s - from) < FINE)) kinks.push((from + to) / 2);
    }
    return { pole, kinks: kinks.sort((a, b) => a - b) };
  }

  // Whether a formula goes the wrong way somewhere, or nowhere at all.
  way(name, axis, slopes, kinks) {
    const [sign, goes, meaning] = WAYS[name], player = name === "of_generator" ? "G" : "D";
    if (slopes.every((d) => d === 0)) return [`is flat: ${player} learns nothing from it`];
    // A formula may be small all over, and rounding with it.
    const least = LEAST * Math.min(1, slopes.reduce((most, d) => Math.max(most, Math.abs(d)), 0));
    const wrong = (k) => slopes[k] * sign < 0, stretches = [];
    for (let k = 0; k < axis.length; k++) {
      if (!(slopes[k] * sign < -least)) continue;
      // From the first of the wrong slopes about it to the last, however small; flat in one point
      // alone, as s^3 is at 0, is no turn.
      let from = k, to = k;
      while (wrong(from - 1)) from--;
      while (wrong(to + 1) || slopes[to + 1] === 0 && wrong(to + 2)) to++;
      stretches.push([from, to]);
      k = to;
    }
    if (!stretches.length) return [];
    // It turns between the end of a stretch and its neighbour: at a kink, if one is there, else
    // where a line between the two slopes is 0.
    const turn = (end, next) => kinks.find((s) => Math.abs(s - axis[next]) < 1.5 * FINE)
      ?? axis[next] + (axis[end] - axis[next]) * slopes[next] / (slopes[next] - slopes[end]);
    const last = axis.length - 1, where = stretches.map(([from, to]) => {
      const [start, end] = [from && at(turn(from, from - 1)), to < last && at(turn(to, to + 1))];
      if (!start) return end ? `up to ${end}` : "everywhere";
      return end ? `from ${start} to ${end.slice(4)}` : `from ${start} on`;
    });
    return [`${goes} ${where.join(" and ")}: ${meaning}`];
  }

  // What the best D says where data and samples are equally likely; null where nothing is best.
  middle(programs) {
    const axis = spaced(-WIDEST, WIDEST, 2 * WIDEST / FINE + 1);
    const { values: [real, fake] } = this.curves(programs, axis);
    const costs = real.map((v, k) => v + fake[k]), least = costs.indexOf(Math.min(...costs));
    // As good as the least, but for rounding where the least is: elsewhere costs may be huge.
    const close = LEAST * (1 + Math.abs(real[least]) + Math.abs(fake[least]));
    const best = axis.filter((_, k) => costs[k] <= costs[least] + close);
    return best[0] === -WIDEST || best.at(-1) === WIDEST ? null : (best[0] + best.at(-1)) / 2;
  }
}

const spaced = (from, to, count) => Array.from({ length: count }, (_, k) => from + (k * (to - from)) / (count - 1));

const labelOf = (spec, name) => spec.controls.find((c) => c.name === name).label;

const judge = (lab) => lab.judge ??= lab.bytes(MODULE)
  .then((bytes) => load(bytes, lab.model.get("metadata")[MODULE])).then((module) => new Judge(module))
  .catch((error) => { lab.judge = undefined; throw error; });

// The settings of a run with the programs of its formulas. A formula that cannot be used, which
// only a link can bring, gives way to the default, and is said.
export async function prepared(run) {
  const { lab, settings } = run, { spec } = lab, knows = await judge(lab);
  const refused = [];
  knows.verdicts(NAMES.map((name) => settings[name])).forEach((one, i) => {
    if (!one.refused) return;
    const { label, value } = spec.controls.find((c) => c.name === NAMES[i]);
    refused.push(`${label}: ${one.refused}`);
    settings[NAMES[i]] = value;
  });
  const programs = NAMES.map((name) => program(settings[name]));
  run.typed = { ...spec.losses.at(-1), middle: knows.middle(programs) };
  if (refused.length) {
    run.now = structuredClone(settings);
    lab.say(`Formulas left out of the link: ${refused.join("; ")}.`);
  }
  return { ...settings, program: packed(programs) };
}

// Where formulas are typed: each change is judged, drawn, and trained at once if it can be.
export class Editor {
  constructor(lab, add) {
    Object.assign(this, { lab, inputs: {}, notes: {}, seen: {} });
    const { stage, spec } = lab, bases = spec.losses.filter((l) => l.texts);
    const [base, menu] = stage.menu("Start from", ["\u2026", ...bases.map((l) => l.label)], (i) => {
      if (i) this.start(bases[i - 1].texts);
    });
    this.base = base;
    const rows = NAMES.map((name) => {
      const label = labelOf(spec, name), id = `own-${Math.random().toString(36).slice(2)}`;
      const note = this.notes[name] = make("p", { className: "lab-own-note", id, "aria-live": "polite" });
      const input = this.inputs[name] = make("input", {
        type: "text", spellcheck: false, autocomplete: "off", autocapitalize: "off", maxLength: LONGEST,
        "aria-describedby": id, oninput: () => this.typed(),
      });
      const row = make("div", { className: "lab-own-row" }, make("label", {}, label, input), note);
      row.dataset.name = name;
      return row;
    });
    const items = NAMES.map((name) => ({ kind: "curve", role: ROLES[name], label: labelOf(spec, name) }));
    this.charts = ["Cost", "Slope of the cost"].map((title) => {
      const plot = new Chart({ aspect: 2.2, label: title, x: { limits: [-SHOWN, SHOWN], label: "s" } });
      const element = make("div", {}, make("p", { className: "lab-chart-title" }, title), plot.element);
      return { title, plot, element };
    });
    this.element = make("fieldset", { className: "lab-own", hidden: true }, make("legend", {}, "Your own loss"),
      make("p", { className: "live-hint" }, "Formulas of s, D\u2019s raw output, which the plane shows; D in them is sigmoid(s). They hold + \u2212 * / "
        + "and ^ with a number, exp, log, sqrt, abs, tanh, sigmoid, softplus, relu, max, min. What is typed is "
        + "trained at once."),
      menu, make("div", { className: "lab-own-rows" }, ...rows), legend(items),
      make("div", { className: "lab-own-charts" }, ...this.charts.map((c) => c.element)));
    add(this.element);
  }

  // The formulas of a loss of the menu; least squares with the targets that are set.
  start(texts) {
    const set = this.lab.state.settings[this.lab.state.edited];
    const filled = texts.map((text) => text
      .replace(/\(-([abc]) \+ s\)/g, (_, k) => (set[k] ? `(s ${set[k] < 0 ? "+" : "-"} ${Math.abs(set[k])})` : "s")));
    NAMES.forEach((name, i) => { this.inputs[name].value = filled[i]; });
    this.typed();
  }

  // A formula has changed. Those that cannot be used are said, and the run keeps what it has.
  async typed() {
    let found;
    try {
      found = (await judge(this.lab)).verdicts(NAMES.map((name) => this.inputs[name].value));
    } catch (error) {
      return this.lab.say(`Formulas cannot be tried: ${error.message}.`);
    }
    this.show(found);
    const now = this.lab.state.settings[this.lab.state.edited], patch = {};
    NAMES.forEach((name, i) => {
      const { value } = this.inputs[name];
      if (!found[i].refused && value !== now[name]) patch[name] = this.seen[name] = value;
    });
    if (Object.keys(patch).length) this.lab.change(patch);
  }

  async show(found) {
    const knows = await judge(this.lab), axis = spaced(-SHOWN, SHOWN, 289);
    found.forEach((one, i) => {
      const note = this.notes[NAMES[i]], input = this.inputs[NAMES[i]];
      const words = one.refused ? `Not used: ${one.refused}. The run keeps ${this.seen[NAMES[i]]}.`
        : one.remarks.map((text) => `It ${text}.`).join(" ");
      if (note.textContent !== words) note.textContent = words;
      note.classList.toggle("lab-own-wrong", Boolean(one.refused));
      input.setAttribute("aria-invalid", Boolean(one.refused));
    });
    const { values, slopes } = knows.curves(found.map((one) => one.program), axis);
    [values, slopes].forEach((lists, k) => {
      const { plot, title } = this.charts[k], used = [0, 1, 2].filter((i) => !found[i].refused);
      const seen = used.flatMap((i) => [...lists[i]].map((v) => Math.min(Math.max(v, -TALL), TALL)));
      const [low, high] = used.length ? extent(seen) : [0, 1], room = Math.max(0.08 * (high - low), 0.1);
      plot.limits(null, [low - room, high + room]);
      plot.draw([{ kind: "rule", y: 0, role: "ink" }, { kind: "rule", x: 0, role: "ink" },
        ...used.map((i) => ({ kind: "curve", x: axis, y: [...lists[i]], role: ROLES[NAMES[i]] }))]);
      const ends = [0, (axis.length - 1) / 2, axis.length - 1], told = (i) =>
        `${this.inputs[NAMES[i]].value} is ${ends.map((m) => decimal(lists[i][m], 2)).join(", ")}`;
      plot.canvas.setAttribute("aria-label", `${title} where D\u2019s output s is \u2212${SHOWN}, 0, ${SHOWN}: `
        + used.map(told).join("; "));
    });
  }

  // As the state has it; what is being typed stays.
  sync(shown) {
    this.element.hidden = shown.loss !== "own";
    this.base.selectedIndex = 0;
    const other = NAMES.filter((name) => shown[name] !== this.seen[name]);
    for (const name of other) this.inputs[name].value = this.seen[name] = shown[name];
    if (!this.element.hidden && (other.length || !this.open)) this.typed();
    this.open = !this.element.hidden;
  }

  destroy() { for (const { plot } of this.charts) plot.destroy(); }
}
