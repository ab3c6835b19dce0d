// The plane of samples: a picture in which every point has a seam, so that it stays distinct on
// any ground, and in which D's verdict is a colour: that of data, that of samples, between them
// the ground's own where D cannot tell.
import { decimal, make, Plot } from "./plot.js";
import { contour } from "./field.js";

const SHADES = 255; // on each side of the middle

export class Plane extends Plot {
  constructor() { super({ aspect: 1 }); }

  // The picture fills its element; places are read under the pointer.
  place() {
    return this.area = { left: 0, top: 0, width: this.width, height: this.height, x: this.x.limits ?? [0, 1], y: this.y.limits ?? [0, 1] };
  }

  grid(c) { this.axes(c); }
  frame() {}

  // The whole canvas is cleared, which may be a part of a pixel larger than the picture.
  paint() {
    const { canvas, context } = this;
    if (!this.theme) this.sprites = {};
    context?.setTransform(1, 0, 0, 1, 0, 0);
    context?.clearRect(0, 0, canvas.width, canvas.height);
    super.paint();
  }

  // Colours from that of samples over the middle to that of data.
  shades() {
    if (this.theme.shades) return this.theme.shades;
    const [fake, middle, real] = ["field-fake", "field-middle", "field-real"].map((role) =>
      this.colour(role).match(/[\da-f]{2}/gi).map((hex) => parseInt(hex, 16)));
    const mix = (end, share) => middle.map((m, k) => m + share ** 0.8 * (end[k] - m));
    return this.theme.shades = Array.from({ length: 2 * SHADES + 1 }, (_, i) =>
      (i < SHADES ? mix(fake, 1 - i / SHADES) : mix(real, i / SHADES - 1)));
  }

  field(c, { values, columns, rows, limits: [x0, x1, y0, y1], middle, half }) {
    const cells = this.cells ??= make("canvas", { width: columns, height: rows });
    const brush = cells.getContext("2d"), image = brush.createImageData(columns, rows), shades = this.shades();
    for (let i = 0; i < columns * rows; i++) {
      if (!Number.isFinite(values[i])) continue; // stays transparent
      const share = Math.min(Math.max((values[i] - middle) / half, -1), 1);
      const at = 4 * ((rows - 1 - Math.floor(i / columns)) * columns + i % columns);
      image.data.set(shades[Math.round(SHADES * (1 + share))], at);
      image.data[at + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
    Object.assign(c, { imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
    c.drawImage(cells, this.px(x0), this.py(y1), this.px(x1) - this.px(x0), this.py(y0) - this.py(y1));
  }

  level(c, { values, columns, rows, limits: [x0, x1, y0, y1], at, dash = [] }) {
    c.setLineDash(dash);
    Object.assign(c, { lineWidth: 1.5, lineCap: "butt" });
    c.beginPath();
    for (const line of contour(values, columns, rows, at))
      line.forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](
        this.px(x0 + x * (x1 - x0)), this.py(y0 + y * (y1 - y0))));
    c.stroke();
  }

  // One picture of a mark with its seam, placed at every point.
  points(c, layer) {
    const { x, y, role, size = 3, alpha = 1 } = layer;
    if (role !== "real" && role !== "fake") return super.points(c, layer);
    const sprite = this.sprites[role + size] ??= this.sprite(role, size), wide = sprite.width / this.ratio;
    c.globalAlpha = alpha;
    for (let i = 0; i < x.length; i++)
      if (Number.isFinite(x[i]) && Number.isFinite(y[i]))
        c.drawImage(sprite, this.px(x[i]) - wide / 2, this.py(y[i]) - wide / 2, wide, wide);
  }

  sprite(role, size) {
    const wide = Math.ceil((2 * size + 5) * this.ratio), canvas = make("canvas", { width: wide, height: wide });
    const c = canvas.getContext("2d"), m = wide / this.ratio / 2;
    c.scale(this.ratio, this.ratio);
    const draw = (colour, more) => {
      Object.assign(c, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.7 + more, lineCap: "round" });
      c.beginPath();
      if (role === "real") {
        c.arc(m, m, size + more / 2, 0, 7);
        c.fill();
      } else {
        for (const s of [-1, 1]) {
          c.moveTo(m - size, m - s * size);
          c.lineTo(m + size, m + s * size);
        }
        c.stroke();
      }
    };
    draw(this.colour("seam"), 2);
    draw(this.colour(`${role}-mark`), 0);
    return canvas;
  }

  // Points outside the limits: a triangle on the border, where each would leave.
  beyond(c, { x, y, role }) {
    const { left, top, width, height } = this.area;
    c.fillStyle = this.colour(`${role}-mark`);
    c.strokeStyle = this.colour("seam");
    c.lineWidth = 1.5;
    c.beginPath();
    for (let i = 0; i < x.length; i++) {
      const u = this.px(x[i]), v = this.py(y[i]);
      const a = Math.min(Math.max(u, left + 1), left + width - 1), b = Math.min(Math.max(v, top + 1), top + height - 1);
      const far = Math.hypot(u - a, v - b) || 1, p = 8 * (u - a) / far, q = 8 * (v - b) / far;
      c.moveTo(a, b);
      c.lineTo(a - p - 0.6 * q, b - q + 0.6 * p);
      c.lineTo(a - p + 0.6 * q, b - q - 0.6 * p);
      c.closePath();
    }
    c.stroke();
    c.fill();
  }

  // A ring about the point that is read.
  ring(c, { x, y }) {
    for (const [width, role] of [[5, "seam"], [2, "ink"]]) {
      Object.assign(c, { lineWidth: width, strokeStyle: this.colour(role) });
      c.beginPath();
      c.arc(this.px(x), this.py(y), 9, 0, 7);
      c.stroke();
    }
  }

  // Pixels of one unit.
  get unit() { return this.area ? this.area.width / (this.area.x[1] - this.area.x[0]) : 0; }
}

const SVG = "http://www.w3.org/2000/svg";

// The key under a plane: the colours with their range, an arrow of a round length, points beyond.
export class Key {
  constructor() {
    this.what = make("span");
    [this.low, this.high] = [make("b", { className: "lab-low" }), make("b", { className: "lab-high" })];
    this.line = make("span", { className: "lab-line" });
    this.scale = make("p", {}, this.what, this.low, make("span", { className: "lab-ramp" }), this.high, this.line);
    this.shaft = document.createElementNS(SVG, "path");
    const arrow = this.arrow = document.createElementNS(SVG, "svg");
    arrow.setAttribute("aria-hidden", "true");
    arrow.setAttribute("height", 12);
    arrow.append(this.shaft);
    this.pull = make("span");
    this.arrows = make("p", { className: "lab-pull" }, arrow, this.pull);
    this.away = make("p", { className: "lab-away" });
    this.element = make("div", { className: "lab-key" }, this.scale, this.arrows, this.away);
  }

  // Texts change when their numbers do, not with each picture.
  write(part, text) { if (part.textContent !== text) part.textContent = text; }

  colours({ change, logistic, middle, half, named }) {
    const digits = Math.max(0, 2, Math.ceil(-Math.log10(half)) + (change ? 1 : 0) + (logistic ? 0 : 1));
    const text = (v) => decimal(v, digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    const signed = (v) => (change && v > 0 ? `+${text(v)}` : text(v));
    this.write(this.what, change ? "D\u2019s change in this step" : "D says");
    this.write(this.low, signed(middle - half));
    this.write(this.high, signed(middle + half));
    this.write(this.line, change ? "line: where D cannot tell; dashed: before this step" : named(text));
  }

  // An arrow of a round length, as long as it is on the plane.
  lengths(factor, unit, mean, count) {
    let round = 10 ** Math.floor(Math.log10(54 / (factor * unit)));
    round *= [5, 2, 1].find((m) => m * round * factor * unit <= 54) ?? 1;
    const end = round * factor * unit + 2;
    this.arrow.setAttribute("width", Math.ceil(end + 2));
    this.shaft.setAttribute("d", `M2 6H${end.toFixed(1)}m-5-4l5 4-5 4`);
    this.write(this.pull, `pull of ${small(round)} (\u00d7 ${factor}) \u00b7 mean pull ${small(mean)}, of ${count} samples`);
  }

  outside(count, all) {
    this.write(this.away, count ? `${count} of ${all} samples lie outside the plane: triangles on its border` : "");
  }
}

// Three significant digits.
export function small(value) {
  if (!Number.isFinite(value)) return "not finite";
  return value === 0 ? "0" : decimal(value, Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value))))))
    .replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}
