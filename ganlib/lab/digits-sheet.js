// Small grey pictures in rows and columns on a canvas, in the colour of a role of live.css.
import { make, watchTheme } from "./plot.js";

const SIDE = 8; // pixels of a picture

export class Sheet {
  // gap: between cells, in pixels of a picture. faint: the ground of something that is dragged on it.
  constructor({ columns, rows, role, gap = 1, faint = false }) {
    Object.assign(this, { columns, rows, role, gap, faint, pictures: null, more: {}, inks: null });
    this.canvas = make("canvas", { role: "img" });
    this.element = make("div", { className: "digits-sheet" }, this.canvas);
    this.element.style.aspectRatio = `${this.extent(columns)} / ${this.extent(rows)}`;
    this.cells = document.createElement("canvas");
    Object.assign(this.cells, { width: SIDE * columns, height: SIDE * rows });
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.canvas);
    this.unwatch = watchTheme(() => { this.inks = null; this.paint(); });
  }

  extent(count) { return count * (SIDE + this.gap) - this.gap; }

  fit() {
    const { width, height } = this.canvas.getBoundingClientRect();
    Object.assign(this.canvas, { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) });
    this.paint();
  }

  name(text) { this.canvas.setAttribute("aria-label", text); }

  // pictures: floats in [-1, 1], one after the other. marked(i): whether a picture is underlined.
  draw(pictures, more = {}) {
    Object.assign(this, { pictures, more });
    this.paint();
  }

  // A colour of the page as three numbers, whatever form the style gives it.
  colour(name) {
    const probe = this.element.appendChild(make("i", { style: `color: var(--live-${name}); forced-color-adjust: none` }));
    const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return found;
  }

  paint() {
    const { canvas, columns, rows, cells, more } = this;
    if (!canvas.width || !canvas.height || !this.pictures || !canvas.isConnected) return;
    this.inks ??= { paper: this.colour("raised"), ink: this.colour(this.role), key: this.colour("key"),
      alert: this.colour("alert"), text: this.colour("ink"), edge: this.colour("edge") };
    this.shade();
    const c = canvas.getContext("2d"), unit = canvas.width / this.extent(columns);
    c.clearRect(0, 0, canvas.width, canvas.height);
    Object.assign(c, { imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
    const size = SIDE * unit, at = (i) => [i % columns, Math.floor(i / columns)].map((k) => k * (SIDE + this.gap) * unit);
    for (let i = 0; i < columns * rows; i++) {
      // Whole device pixels: neighbours leave no seam, and edges are sharp.
      const [x0, y0] = at(i).map(Math.round), [x1, y1] = at(i).map((v) => Math.round(v + size));
      c.drawImage(cells, SIDE * (i % columns), SIDE * Math.floor(i / columns), SIDE, SIDE, x0, y0, x1 - x0, y1 - y0);
      if (more.marked?.(i)) this.line(c, this.inks.alert, x0, y1 - 0.5 * unit, x1, y1 - 0.5 * unit, unit);
    }
    const rgb = (name) => `rgb(${this.inks[name]})`;
    if (more.cursor !== undefined && more.cursor !== null) {
      const [x, y] = at(more.cursor);
      Object.assign(c, { strokeStyle: rgb("key"), lineWidth: Math.max(2, 0.7 * unit) });
      c.strokeRect(x + c.lineWidth / 2, y + c.lineWidth / 2, size - c.lineWidth, size - c.lineWidth);
    }
    if (more.handle) {
      const [x, y] = [more.handle[0] * canvas.width, more.handle[1] * canvas.height], radius = 7 * devicePixelRatio;
      c.beginPath();
      c.arc(Math.min(Math.max(x, radius), canvas.width - radius), Math.min(Math.max(y, radius), canvas.height - radius), radius, 0, 7);
      Object.assign(c, { fillStyle: rgb("paper"), strokeStyle: rgb("key"), lineWidth: 3 * devicePixelRatio });
      c.fill();
      c.stroke();
    }
  }

  line(c, [r, g, b], x0, y0, x1, y1, width) {
    Object.assign(c, { strokeStyle: `rgb(${r}, ${g}, ${b})`, lineWidth: width });
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  }

  // From the paper to the role's colour, a little darkened: strokes are read by their lightness.
  shade() {
    const { columns, rows, pictures, faint, inks: { paper, ink, text } } = this;
    const brush = this.cells.getContext("2d"), image = brush.createImageData(SIDE * columns, SIDE * rows);
    const deep = ink.map((v, k) => 0.84 * v + 0.16 * text[k]);
    for (let i = 0; i < columns * rows; i++)
      for (let j = 0; j < SIDE * SIDE; j++) {
        const full = Math.min(Math.max((pictures[i * SIDE * SIDE + j] + 1) / 2, 0), 1), t = faint ? 0.65 * full : full;
        const row = SIDE * Math.floor(i / columns) + Math.floor(j / SIDE), column = SIDE * (i % columns) + j % SIDE;
        const to = 4 * (row * SIDE * columns + column);
        for (let k = 0; k < 3; k++) image.data[to + k] = paper[k] + t * (deep[k] - paper[k]);
        image.data[to + 3] = 255;
      }
    brush.putImageData(image, 0, 0);
  }

  // Where in the sheet an event is, each from 0 to 1.
  share({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  // Call back with the picture that the pointer is over, when it is another.
  points(callback) {
    let last = null;
    const over = (event) => {
      const [x, y] = this.share(event).map((v, k) => Math.floor(v * [this.columns, this.rows][k]));
      if (x < 0 || y < 0 || x >= this.columns || y >= this.rows) return;
      const place = y * this.columns + x;
      if (place !== last || event.type === "pointerdown") callback(last = place);
    };
    this.canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && over(event));
    this.canvas.addEventListener("pointerdown", over);
    this.canvas.addEventListener("pointerleave", () => { last = null; });
  }

  // Call back with the place that the pointer holds.
  drags(callback) {
    const { canvas } = this;
    canvas.classList.add("digits-drag");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      callback(...this.share(event));
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && callback(...this.share(event)));
  }

  // Call back with keys while the sheet has the focus; `false` leaves a key to the browser.
  moves(callback) {
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (callback(event.key, event.shiftKey) !== false) event.preventDefault();
    });
  }

  destroy() {
    this.observer.disconnect();
    this.unwatch();
  }
}
