// Pictures on a canvas: layers drawn in order. Colours come from live.css by role; a role has a
// dash, a mark and a fill of its own too, so that colour never carries a meaning alone.
const DASHES = { fake: [8, 4], critic: [9, 3, 2, 3], theory: [2, 3], accent: [5, 2] };
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

  // Where the axes of the plane run inside the picture, they are a little stronger.
  axes(c, both = true) {
    const { x, y } = this.area, inside = ([low, high]) => (low < 0 && high > 0 ? [0] : []);
    this.rules(c, both ? inside(x) : [], inside(y), { strokeStyle: this.colour("axis"), globalAlpha: both ? 0.6 : 1 });
    c.globalAlpha = 1;
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


}

export function dashOf(role, dash) {
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
