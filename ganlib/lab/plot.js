// Pictures on a canvas: axes, and layers drawn in order. Colours come from live.css by role; a role
// has a dash, a mark and a fill of its own too, so that colour never carries a meaning alone.
const DASHES = { fake: [8, 4], critic: [9, 3, 2, 3], theory: [2, 3], accent: [5, 2] };
const CIVIDIS = [
  "00224e", "083370", "35456c", "4f576c", "666970", "7d7c78", "948e77", "aea371", "c8b866",
  "e5cf52", "fee838",
].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

// An element with properties (or attributes, where the element knows no such property).
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Call back when the page changes between light, dark and forced colours.
export function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  const attributeFilter = ["data-theme", "data-jp-theme-light", "class"];
  for (const element of [document.documentElement, document.body])
    observer.observe(element, { attributeFilter });
  const media = ["(prefers-color-scheme: dark)", "(forced-colors: active)"].map(
    (query) => matchMedia(query));
  for (const query of media) query.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    for (const query of media) query.removeEventListener("change", callback);
  };
}

// A number as text: a true minus, no exponent where a plain number is as short.
export function decimal(value, digits = 3) {
  if (!Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  const text = size && (size >= 1e6 || size < 0.5 * 10 ** -digits)
    ? value.toExponential(2) : value.toFixed(digits);
  return text.replace(/^-(0\.?0*)$/, "$1").replaceAll("-", "\u2212");
}

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

export class Plot {
  // aspect: width over height of the whole picture. square: one unit is as long in x as in y.
  constructor({ x = {}, y = {}, aspect = 1.7, label = "", square = false } = {}) {
    Object.assign(this, { x, y, square, layers: [], ratio: 1, width: 0, height: 0, theme: null });
    this.canvas = make("canvas", { role: "img", "aria-label": label });
    this.element = make("div", { className: "live-plot" }, this.canvas);
    this.element.style.aspectRatio = aspect;
    this.observer = new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.height = entry.contentRect.height;
      this.ratio = devicePixelRatio;
      // The exact count of device pixels, where the browser tells it, keeps lines crisp.
      const exact = entry.devicePixelContentBoxSize?.[0];
      const pixels = (length, told) =>
        (Math.abs(told - length * this.ratio) <= 1 ? told : Math.round(length * this.ratio));
      this.canvas.width = pixels(this.width, exact?.inlineSize);
      this.canvas.height = pixels(this.height, exact?.blockSize);
      this.theme = null;
      this.paint();
    });
    try {
      this.observer.observe(this.canvas, { box: "device-pixel-content-box" });
    } catch { // Safari
      this.observer.observe(this.canvas);
    }
    this.unwatch = watchTheme(() => { this.theme = null; this.paint(); });
  }

  destroy() {
    this.observer.disconnect();
    this.unwatch();
  }

  draw(layers) {
    this.layers = layers;
    this.paint();
  }

  // Seen at the next draw.
  limits(x, y) {
    if (x) this.x = { ...this.x, limits: x };
    if (y) this.y = { ...this.y, limits: y };
  }

  toData(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, width, height, x, y } = this.area;
    return [
      x[0] + (event.clientX - box.left - left) / width * (x[1] - x[0]),
      y[0] + (top + height - event.clientY + box.top) / height * (y[1] - y[0]),
    ];
  }

  colour(role) {
    return this.theme[role] ??= (this.styles.getPropertyValue(`--live-${role}`)
      || this.styles.getPropertyValue("--live-ink")).trim();
  }

  // Pixels of a datum; far outside is as good as infinitely far.
  px(x) {
    const { left, width, x: [low, high] } = this.area;
    return Math.min(Math.max(left + (x - low) / (high - low) * width, -1e4), 1e4);
  }

  py(y) {
    const { top, height, y: [low, high] } = this.area;
    return Math.min(Math.max(top + (high - y) / (high - low) * height, -1e4), 1e4);
  }

  paint() {
    if (!this.width || !this.height) return;
    const c = this.context ??= this.canvas.getContext("2d");
    if (!this.theme) {
      this.theme = {};
      this.styles = getComputedStyle(this.element);
      this.font = `${this.styles.fontSize} ${this.styles.fontFamily}`;
    }
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.clearRect(0, 0, this.width, this.height);
    Object.assign(c, { font: this.font, lineJoin: "round", lineCap: "butt", globalAlpha: 1 });
    this.groups = this.layers.filter((layer) => layer.kind === "bars");
    this.filled = this.layers.some((layer) => layer.kind === "field");
    const { left, top, width, height } = this.place(c);
    c.save();
    c.beginPath();
    c.rect(left - 1, top - 1, width + 2, height + 2);
    c.clip();
    for (const layer of this.layers) if (layer.kind === "field") this.field(c, layer);
    this.grid(c);
    for (const layer of this.layers) {
      const colour = this.colour(layer.role ?? "ink");
      Object.assign(c, { strokeStyle: colour, fillStyle: colour, lineWidth: 2, globalAlpha: 1 });
      c.setLineDash([]);
      if (layer.kind !== "field") this[layer.kind](c, layer);
    }
    c.restore();
    this.frame(c);
  }

  // Where the axes are, and their ticks.
  place(c) {
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

  rules(c, vertical, horizontal, style) {
    const { left, top, width, height } = this.area;
    const crisp = (v) => (Math.round(v * this.ratio) + 0.5) / this.ratio;
    Object.assign(c, { lineWidth: 1, ...style });
    c.beginPath();
    for (const at of vertical.map((x) => crisp(this.px(x)))) {
      c.moveTo(at, top);
      c.lineTo(at, top + height);
    }
    for (const at of horizontal.map((y) => crisp(this.py(y)))) {
      c.moveTo(left, at);
      c.lineTo(left + width, at);
    }
    c.stroke();
  }

  grid(c) {
    const { x, y } = this.area;
    if (!this.filled)
      this.rules(c, this.groups.length ? [] : this.xticks.map(([v]) => v),
        this.yticks.map(([v]) => v), { strokeStyle: this.colour("grid") });
    // Where the axes of the plane run inside the picture, they are a little stronger.
    const inside = ([low, high]) => (low < 0 && high > 0 ? [0] : []);
    if (this.groups.length) this.rules(c, [], inside(y), { strokeStyle: this.colour("axis") });
    else this.rules(c, inside(x), inside(y), { strokeStyle: this.colour("axis"), globalAlpha: 0.6 });
    c.globalAlpha = 1;
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

  // Stroke the path; over a field with a seam that sets it off from any colour.
  stroke(c) {
    if (this.filled) {
      const { strokeStyle, lineWidth } = c;
      Object.assign(c, { strokeStyle: this.colour("paper"), lineWidth: lineWidth + 2 });
      c.stroke();
      Object.assign(c, { strokeStyle, lineWidth });
    }
    c.stroke();
  }

  // The pieces of a line between points that are not finite.
  trace(c, x, y, from = 0, to = y.length) {
    let pen = false;
    for (let i = from; i < to; i++) {
      const ok = Number.isFinite(x[i]) && Number.isFinite(y[i]);
      if (ok) c[pen ? "lineTo" : "moveTo"](this.px(x[i]), this.py(y[i]));
      pen = ok;
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

  lines(c, { x, y, breaks, role, dash = role === "fake" ? undefined : [], width = 1.2, alpha = 1 }) {
    c.setLineDash(dashOf(role, dash));
    Object.assign(c, { lineWidth: width, globalAlpha: alpha });
    c.beginPath();
    for (let i = 0, k = 0; i < x.length; k++) {
      const length = (Array.isArray(breaks) ? breaks[k] : breaks) || x.length;
      this.trace(c, x, y, i, Math.min(i + length, x.length));
      i += length;
    }
    this.stroke(c);
  }

  points(c, { x, y, role, size = 3, alpha = this.filled ? 1 : x.length > 150 ? 0.55 : 0.8 }) {
    Object.assign(c, { globalAlpha: alpha, lineWidth: Math.max(1, size / 2.2) });
    c.beginPath();
    for (let i = 0; i < x.length; i++) {
      if (!Number.isFinite(x[i]) || !Number.isFinite(y[i])) continue;
      mark(c, role, this.px(x[i]), this.py(y[i]), size);
    }
    if (role !== "real") return this.stroke(c);
    if (this.filled) {
      Object.assign(c, { strokeStyle: this.colour("paper"), lineWidth: 1.6 });
      c.stroke();
    }
    c.fill();
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

  rule(c, { x, y, role = "ink", label }) {
    this.rules(c, x === undefined ? [] : [x], y === undefined ? [] : [y], { lineWidth: 1.5 });
    if (!label) return;
    const { left, top, width } = this.area;
    Object.assign(c, { textBaseline: "bottom", textAlign: "right", fillStyle: this.colour(role) });
    if (x === undefined) c.fillText(label, left + width - 4, this.py(y) - 3);
    else {
      const near = this.px(x) + 6 + c.measureText(label).width < left + width;
      c.textAlign = near ? "left" : "right";
      c.fillText(label, this.px(x) + (near ? 6 : -6), top + 16);
    }
  }

  arrows(c, { x, y, dx, dy }) {
    Object.assign(c, { lineWidth: 1.3 });
    c.beginPath();
    for (let i = 0; i < x.length; i++) {
      if (![x[i], y[i], dx[i], dy[i]].every(Number.isFinite)) continue;
      const a = this.px(x[i]), b = this.py(y[i]);
      const u = this.px(x[i] + dx[i]), v = this.py(y[i] + dy[i]);
      const length = Math.hypot(u - a, v - b);
      if (length < 1) continue;
      const head = Math.min(5, 0.45 * length) / length;
      const back = [head * (u - a), head * (v - b)];
      c.moveTo(a, b);
      c.lineTo(u, v);
      c.moveTo(u - back[0] + 0.6 * back[1], v - back[1] - 0.6 * back[0]);
      c.lineTo(u, v);
      c.lineTo(u - back[0] - 0.6 * back[1], v - back[1] + 0.6 * back[0]);
    }
    this.stroke(c);
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

function dashOf(role, dash) {
  if (Array.isArray(dash)) return dash;
  return dash ? [4, 3] : DASHES[role] ?? [];
}

// Data are discs, generated samples are crosses; rings, diamonds and plus signs for the others.
function mark(c, role, x, y, size) {
  if (role === "fake") {
    c.moveTo(x - size, y - size);
    c.lineTo(x + size, y + size);
    c.moveTo(x - size, y + size);
    c.lineTo(x + size, y - size);
  } else if (role === "critic") {
    c.moveTo(x - size, y);
    c.lineTo(x, y - size);
    c.lineTo(x + size, y);
    c.lineTo(x, y + size);
    c.closePath();
  } else if (role === "ink") {
    c.moveTo(x - size, y);
    c.lineTo(x + size, y);
    c.moveTo(x, y - size);
    c.lineTo(x, y + size);
  } else {
    c.moveTo(x + size, y);
    c.arc(x, y, size, 0, 7);
  }
}

// The least and the greatest finite value.
export function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
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
