// The scores of a run by step, beside its plane.
import { Chart, legend } from "./chart.js";
import { extent, make } from "./plot.js";

export class Charts {
  constructor(run) {
    this.run = run;
    const chart = (title, label, items) => {
      const plot = new Chart({ aspect: 2.6, label: label || title });
      const head = legend(items.map((item) => ({ kind: "curve", ...item })));
      head.prepend(make("li", { className: "lab-chart-title" }, title));
      for (const type of ["pointerdown", "pointermove"])
        plot.element.addEventListener(type, (event) => run.lab.replay?.drag(event, plot));
      return { plot, element: make("div", { className: "lab-chart" }, head, plot.element) };
    };
    this.losses = chart("Losses", "Losses by step",
      [{ role: "critic", label: "D" }, { role: "fake", label: "G" }]);
    this.shares = chart("Share of", "Shares by step",
      [{ role: "theory", label: "modes" }, { role: "fake", label: "high quality" }]);
    this.divergence = chart("Divergence (nats)", "Divergence by step",
      [{ role: "accent", label: "run" }, { role: "ink", label: "perfect" }]);
    this.all = [this.losses, this.shares, this.divergence];
    run.scores.replaceChildren(...this.all.map((c) => c.element));
  }

  draw() {
    const { frame, target, past } = this.run;
    if (!frame) return this.all.forEach(({ plot }) => plot.draw([]));
    const { step, d, g, modes, quality, divergence } = frame.history;
    const x = [0, Math.max(100, step.at(-1))];
    const curves = ({ plot }, y, lines, more = []) => {
      plot.limits(x, y);
      plot.draw([...lines.map(([y, role]) => ({ kind: "curve", x: step, y, role })), ...more,
        ...past ? [{ kind: "rule", x: past.step, role: "ink" }] : []]);
    };
    curves(this.losses, room(extent([...d, ...g])), [[d, "critic"], [g, "fake"]]);
    this.shares.element.hidden = !modes;
    if (modes) curves(this.shares, [0, 1.05], [[modes.map((m) => m / target.modes), "theory"], [quality, "fake"]]);
    const { median } = frame.floor;
    curves(this.divergence, [0, Math.max(0.1, 1.1 * extent([...divergence, median])[1])],
      [[divergence, "accent"]], [{ kind: "rule", y: median, role: "ink" }]);
  }

  destroy() { for (const { plot } of this.all) plot.destroy(); }
}

// Limits with a little room about a range, never empty.
function room([low, high]) {
  const more = Math.max(0.08 * (high - low), 0.1);
  return [low - more, high + more];
}

// The images of a square latent lattice, joined along its rows and its columns.
export function mesh(map) {
  const side = Math.round(Math.sqrt(map.length / 2)), order = [];
  for (let i = 0; i < side; i++) for (let j = 0; j < side; j++) order.push(i * side + j);
  for (let j = 0; j < side; j++) for (let i = 0; i < side; i++) order.push(i * side + j);
  return {
    kind: "lines", x: order.map((k) => map[2 * k]), y: order.map((k) => map[2 * k + 1]),
    breaks: Array(2 * side).fill(side), role: "fake", dash: [], width: 1, alpha: 0.75,
  };
}

// From where each sample was to where it is.
export function paths(from, to) {
  const between = (k) => Array.from(to, (_, i) => (i % 2 ? [] : [from[i + k], to[i + k]])).flat();
  return { kind: "lines", x: between(0), y: between(1), breaks: Array(to.length / 2).fill(2), role: "ink", width: 1.5 };
}
