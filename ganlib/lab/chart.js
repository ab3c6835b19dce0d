// Pictures with axes, and the key of their marks.
import { dashOf, decimal, extent, make, Plot } from "./plot.js";

const CIVIDIS = [
  "00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866",
  "e5cf52", "fee838",
].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

// About `count` round numbers from low to high, each with its text.
function ticks([low, high], count) {
  if (!(high > low)) return [];
  const least = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= 0.999 * least);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const result = [];
  for (let k = Math.ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; k++)
    result.push([k * step, digits > 4 ? decimal(k * step, 0) : decimal(k * step, digits)]);
  return result;
}

function cividis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
  const i = Math.min(Math.floor(place), CIVIDIS.length - 2);
  return CIVIDIS[i].map((c, k) => c + (place - i) * (CIVIDIS[i + 1][k] - c));
}

export class Chart extends Plot {
  // Where the axes are, and their ticks.
  place(c) {
    this.groups = this.layers.filter((layer) => layer.kind === "bars");
    const x = this.groups.length ? [-0.5, this.groups[0].values.length - 0.5] : this.x.limits ?? [0, 1];
    const y = this.y.limits ?? [0, 1];
    const top = this.y.label ? 30 : 8, bottom = this.x.label ? 40 : 22;
    let height = Math.max(this.height - top - bottom, 10);
    this.yticks = ticks(y, Math.min(height / 26, 6));
    this.indent = Math.max(0, ...this.yticks.map(([, text]) => c.measureText(text).width));
    let left = 8 + this.indent;
    let width = Math.max(this.width - left - 12, 10), down = top;
    if (this.square) {
      const unit = Math.min(width / (x[1] - x[0]), height / (y[1] - y[0]));
      left += (width - unit * (x[1] - x[0])) / 2;
      down += (height - unit * (y[1] - y[0])) / 2;
      width = unit * (x[1] - x[0]);
      height = unit * (y[1] - y[0]);
    }
    this.area = { left, top: down, width, height, x, y };
    this.xticks = this.groups.length
      ? Array.from(this.groups[0].labels ?? this.groups[0].values, (label, i) =>
        [i, String(this.groups[0].labels ? label : i)])
      : ticks(x, Math.min(width / 50, 8));
    return this.area;
  }

  grid(c) {
    if (!this.filled)
      this.rules(c, this.groups.length ? [] : this.xticks.map(([v]) => v),
        this.yticks.map(([v]) => v), { strokeStyle: this.colour("grid") });
    this.axes(c, !this.groups.length);
  }

  frame(c) {
    const { left, top, width, height, x, y } = this.area;
    this.rules(c, [], [y[0]], { strokeStyle: this.colour("axis"), globalAlpha: 1 });
    Object.assign(c, { fillStyle: this.colour("muted"), textBaseline: "middle", textAlign: "right" });
    for (const [v, text] of this.yticks) c.fillText(text, left - 7, this.py(v));
    Object.assign(c, { textBaseline: "top", textAlign: "center" });
    let free = -Infinity; // texts never touch
    for (const [v, text] of this.xticks) {
      const half = c.measureText(text).width / 2;
      const at = Math.min(Math.max(this.px(v), half), this.width - half);
      if (at - half < free) continue;
      c.fillText(text, at, top + height + 7);
      free = at + half + 5;
    }
    c.fillStyle = this.colour("ink");
    if (this.y.label) {
      c.textAlign = "left";
      c.fillText(this.y.label, Math.max(left - 7 - this.indent, 0), top - 28);
    }
    if (this.x.label) {
      c.textAlign = "right";
      c.fillText(this.x.label, left + width, top + height + 24);
    }
  }

  curve(c, { x, y, role, dash, fill }) {
    if (fill) {
      const finite = Array.from(y.keys()).filter((i) => Number.isFinite(y[i]));
      c.beginPath();
      for (const i of finite) c.lineTo(this.px(x[i]), this.py(y[i]));
      if (finite.length) c.lineTo(this.px(x[finite.at(-1)]), this.py(0));
      if (finite.length) c.lineTo(this.px(x[finite[0]]), this.py(0));
      c.globalAlpha = 0.12;
      c.fill();
      c.globalAlpha = 1;
    }
    c.setLineDash(dashOf(role, dash));
    c.beginPath();
    this.trace(c, x, y);
    this.stroke(c);
  }

  field(c, { values, columns, rows, limits: [x0, x1, y0, y1], range }) {
    const [low, high] = range ?? extent(values);
    const cells = this.cells ??= document.createElement("canvas");
    Object.assign(cells, { width: columns, height: rows });
    const brush = cells.getContext("2d"), image = brush.createImageData(columns, rows);
    for (let i = 0; i < columns * rows; i++) {
      if (!Number.isFinite(values[i])) continue; // stays transparent
      const row = rows - 1 - Math.floor(i / columns), at = 4 * (row * columns + i % columns);
      image.data.set(cividis((values[i] - low) / (high - low || 1)), at);
      image.data[at + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
    Object.assign(c, { imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
    c.drawImage(cells, this.px(x0), this.py(y1), this.px(x1) - this.px(x0), this.py(y0) - this.py(y1));
  }

  bars(c, layer) {
    const { role = "real", values } = layer, groups = this.groups;
    const unit = this.px(1) - this.px(0), index = groups.indexOf(layer);
    const wide = Math.min(0.74 * unit / groups.length, 64);
    values.forEach((value, i) => {
      if (!Number.isFinite(value)) return;
      const x = this.px(i) + (index - groups.length / 2) * wide, zero = this.py(Math.max(0, this.area.y[0]));
      const box = [x + 1, Math.min(zero, this.py(value)), wide - 2, Math.abs(this.py(value) - zero)];
      c.globalAlpha = role === "real" ? 0.85 : 0.22;
      c.fillRect(...box);
      c.globalAlpha = 1;
      if (role === "real" || box[3] < 1) return;
      c.save();
      c.beginPath();
      c.rect(...box);
      c.setLineDash(role === "fake" ? [] : dashOf(role));
      c.lineWidth = 1.6;
      c.stroke();
      c.clip();
      if (role === "fake") { // hatched
        c.beginPath();
        for (let s = -box[3]; s < box[2]; s += 7) {
          c.moveTo(box[0] + s, box[1] + box[3]);
          c.lineTo(box[0] + s + box[3], box[1]);
        }
        c.lineWidth = 1;
        c.stroke();
      }
      c.restore();
    });
  }
}

const MARKS = {
  real: '<circle cx="14" cy="7" r="4" fill="currentColor" stroke="none"/>',
  fake: '<path d="M10 3l8 8m0-8l-8 8"/>',
  critic: '<path d="M14 2l5 5-5 5-5-5z"/>',
  ink: '<path d="M9 7h10m-5-5v10"/>',
};
const SWATCHES = {
  curve: (role, dash) => `<path d="M1 7h26" stroke-dasharray="${dashOf(role, dash)}"/>`,
  points: (role) => MARKS[role] ?? '<circle cx="14" cy="7" r="4"/>',
  arrows: () => '<path d="M3 7h21m-6-4l6 4-6 4"/>',
  bars: (role) => role === "real"
    ? '<path d="M4 1h20v12H4z" fill="currentColor" stroke="none"/>'
    : `<path d="M4 1h20v12H4z" stroke-dasharray="${role === "fake" ? "" : dashOf(role)}"/>`
      + (role === "fake" ? '<path d="M4 9l8-8m-4 12L20 1m-4 12l8-8" stroke-width="1"/>' : ""),
};
Object.assign(SWATCHES, { lines: SWATCHES.curve, rule: SWATCHES.curve });

// What the marks mean: items {kind, role, dash, label} or, for a field, {kind, label, range}.
export function legend(items) {
  return make("ul", { className: "live-legend" }, ...items.map((item) => {
    const { kind, role = "ink", dash, label, range } = item;
    const swatch = make("span", { className: "live-swatch", "aria-hidden": "true" });
    const entry = make("li", {}, swatch, label);
    if (kind === "field") {
      swatch.style.background = `linear-gradient(90deg, ${CIVIDIS.map((c) => `rgb(${c})`)})`;
      const [low, high] = (range ?? []).map((v) => make("span", {}, decimal(v, 1)));
      entry.replaceChildren(make("span", {}, label), low ?? "", swatch, high ?? "");
    } else {
      const [from, width] = kind === "points" ? [7, 14] : [0, 28];
      swatch.style.color = `var(--live-${role})`;
      swatch.innerHTML = `<svg viewBox="${from} 0 ${width} 14" width="${width}" height="14">${
        SWATCHES[kind](role, dash)}</svg>`;
    }
    return entry;
  }));
}
