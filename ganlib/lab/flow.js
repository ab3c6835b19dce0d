// The game as a diagram: noise, G, samples, data, D, verdicts, losses, and the slopes on their way
// back. Its frame is drawn once; a picture sets paths and texts. A step's ten parts light it.
import { decimal } from "./plot.js";
import { small } from "./plane.js";
import { middleOf } from "./field.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const BINS = 18;
const DOTS = 128; // of a batch, in the small pictures

// Places of the boxes [x, y, width, height], and the lines between them, in a wide strip and in a
// narrow block.
const WIDE_PLACES = {
  view: [1180, 116],
  boxes: {
    noise: [6, 20, 132, 76], G: [186, 20, 150, 76], samples: [386, 4, 112, 52], data: [386, 62, 112, 50],
    D: [558, 20, 150, 76], verdicts: [766, 12, 172, 92], losses: [986, 8, 188, 100],
  },
  lines: {
    draw: "M138 58H183", make: "M336 50H360Q372 50 372 40V36Q372 30 380 30H383", see: "M498 30H524Q534 30 534 40V46Q534 52 544 52H555",
    look: "M498 87H524Q534 87 534 78V72Q534 66 544 66H555", judge: "M708 58H763", count: "M938 58H983",
    backD: "M1080 108V111Q1080 114 1074 114H640Q633 114 633 108V99", backS: "M1060 8V5Q1060 2 1054 2H450Q442 2 442 3",
    backG: "M386 18H268Q261 18 261 19",
  },
};
const NARROW_PLACES = {
  view: [372, 268],
  boxes: {
    noise: [4, 8, 92, 74], G: [130, 8, 106, 74], samples: [272, 8, 96, 74], data: [272, 100, 96, 74],
    D: [140, 100, 98, 74], verdicts: [4, 96, 108, 84], losses: [4, 202, 364, 62],
  },
  lines: {
    draw: "M96 45H127", make: "M236 45H269", see: "M320 82V86Q320 91 314 91H222Q216 91 216 94V97", look: "M272 137H241",
    judge: "M140 137H115", count: "M58 180V199", backD: "M189 202V177", backS: "M362 202V190Q370 186 370 180V60Q370 45 369 45",
    backG: "M285 8Q285 3 279 3H190Q183 3 183 5",
  },
};
const TITLES = {
  noise: "noise z", G: "Generator G", samples: "samples G(z)", data: "data x", D: "Discriminator D", verdicts: "verdicts", losses: "",
};

const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
const centre = (xy) => `(${[0, 1].map((k) => decimal(mean(xy.filter((_, i) => i % 2 === k)), 3)).join(", ")})`;
const lengths = (xy, wide) => Array.from({ length: xy.length / wide }, (_, i) => Math.hypot(...xy.subarray(wide * i, wide * i + wide)));
const learnt = (loss, norm) => `loss ${decimal(loss, 4)}, gradient norm ${small(norm)}`;

// A step's parts: what lights, whose turn, what happens, and its number.
const PARTS = [
  [["noise"], "D", "draw noise", ({ batch }) => `mean length of a latent ${decimal(mean(lengths(batch.latent, 8)), 3)}`],
  [["draw", "G", "make", "samples"], "D", "G makes samples of it", ({ batch }) => `their mean ${centre(batch.fake)}`],
  [["data"], "D", "draw data", ({ batch }) => `their mean ${centre(batch.real)}`],
  [["see", "look", "D", "judge", "verdicts"], "D", "D judges both", ({ batch }) =>
    `mean verdict on data ${decimal(mean(batch.said_real), 4)}, on samples ${decimal(mean(batch.said_fake), 4)}`],
  [["count", "losses", "backD", "D"], "D", "D learns", ({ loss, norm }) => learnt(loss.d, norm)],
  [["noise"], "G", "draw fresh noise", ({ batch }) => `mean length of a latent ${decimal(mean(lengths(batch.latent, 8)), 3)}`],
  [["draw", "G", "make", "samples"], "G", "G makes samples of it", ({ batch }) => `their mean ${centre(batch.fake)}`],
  [["see", "D", "judge", "verdicts"], "G", "D judges them", ({ batch }) =>
    `mean verdict on samples ${decimal(mean(batch.said_fake), 4)}`],
  [["count", "losses", "backS", "samples"], "G", "the slope at each sample, through D", ({ batch }) =>
    `mean pull ${small(mean(lengths(batch.pull, 2)))}`],
  [["losses", "backS", "samples", "backG", "G"], "G", "G learns", ({ loss, norm }) => learnt(loss.g, norm)],
];
const IDLE = "A step in ten parts: press \u201cNext part\u201d or the key \u201c.\u201d, or set the speed to part by part.";

export class Flow {
  constructor(place) {
    this.line = IDLE;
    this.caption = document.createElement("p");
    this.caption.className = "flow-line";
    this.caption.textContent = IDLE;
    this.svg = node("svg", { role: "img", "aria-label":
      "The game: noise goes through the generator and becomes samples; the discriminator judges samples and data; its "
      + "verdicts make two losses, whose slopes go back to the discriminator, and through it and the samples to the generator." });
    place.append(this.svg, this.caption);
    this.observer = new ResizeObserver(([{ contentRect: { width } }]) => this.furnish(width >= 760 ? WIDE_PLACES : NARROW_PLACES));
    this.observer.observe(place);
    this.furnish(place.clientWidth >= 760 ? WIDE_PLACES : NARROW_PLACES);
  }

  close() { this.observer.disconnect(); }

  // What stays: boxes, names, lines; and empty paths for what moves.
  furnish(places) {
    if (places === this.places) return;
    this.places = places;
    const { svg } = this, { view, boxes, lines } = places;
    svg.setAttribute("viewBox", `0 0 ${view.join(" ")}`);
    svg.style.maxWidth = places === NARROW_PLACES ? "30rem" : "";
    svg.replaceChildren();
    this.parts = {};
    for (const [name, d] of Object.entries(lines)) {
      const back = name.startsWith("back"), line = node("g", { class: back ? "flow-back" : "flow-way" });
      line.append(node("path", { d }), tip(d));
      svg.append(this.parts[name] = line);
    }
    for (const [name, [x, y, width, height]] of Object.entries(boxes)) {
      const box = node("g", { class: `flow-box flow-${name}` });
      box.append(node("rect", { x, y, width, height, rx: 7 }));
      if (TITLES[name]) box.append(text(x + width / 2, y + 14, TITLES[name], "flow-name"));
      svg.append(this.parts[name] = box);
    }
    const add = (box, element) => { this.parts[box].append(element); return element; };
    const path = (box, name) => add(box, node("path", { class: name }));
    for (const name of ["G", "D"]) add(name, net(boxes[name]));
    this.dots = { noise: path("noise", "flow-ink"), samples: path("samples", "flow-fake"), data: path("data", "flow-real") };
    this.read = path("noise", "flow-read");
    this.bars = { real: path("verdicts", "flow-bars-real"), fake: path("verdicts", "flow-bars-fake"), zero: path("verdicts", "flow-zero") };
    const at = boxes.verdicts, label = (x, y, name, box = "verdicts") => add(box, text(x, y, "", name));
    this.ends = [label(at[0] + 6, at[1] + at[3] - 5, "flow-tick"), label(at[0] + at[2] / 2, at[1] + at[3] - 5, "flow-tick flow-mid"),
      label(at[0] + at[2] - 6, at[1] + at[3] - 5, "flow-tick flow-end")];
    const [x, y, width] = boxes.losses, wide = places === WIDE_PLACES;
    this.costs = ["D", "G"].map((player, i) => {
      const [left, top] = wide ? [x + 12, y + 22 + 46 * i] : [x + 12 + i * width / 2, y + 26];
      return [label(left, top, "flow-cost", "losses"), label(left, top + 17, "flow-formula", "losses")];
    });
    this.shown = {};
    if (this.last) this.draw(...this.last);
  }

  // The state of a run; `told` is the sample that is read.
  draw(run, told) {
    this.last = [run, told];
    const { shown: frame, settings, loss } = run, { batch, part } = frame, { boxes } = this.places;
    this.light(part, run);
    const [x0, x1, y0, y1] = run.target.limits, plane = (x, y) => [(x - x0) / (x1 - x0), (y - y0) / (y1 - y0)];
    const latent = (z, i) => [0.5 + z[i] / 6, 0.5 + (settings.latent > 1 ? z[i + 1] / 6 : 0)];
    this.set(this.dots.noise, scatter(boxes.noise, batch.latent, 8, (list, i) => latent(list, i)));
    this.set(this.dots.samples, scatter(boxes.samples, batch.fake, 2, (list, i) => plane(list[i], list[i + 1])));
    this.set(this.dots.data, scatter(boxes.data, batch.real, 2, (list, i) => plane(list[i], list[i + 1])));
    this.set(this.read, told ? dot(boxes.noise, ...latent(told.latent, 0)) : "");
    this.verdicts(run);
    const values = [frame.loss.d, frame.loss.g];
    this.costs.forEach(([cost, formula], i) => {
      this.say(cost, `${"DG"[i]}\u2019s loss ${Number.isFinite(values[i]) ? decimal(values[i], 3) : "\u2013"}`);
      const words = (loss.formulas ?? [`${settings.on_real} and ${settings.on_fake}`, settings.of_generator])[i];
      this.say(formula, words.length < 36 ? words : `${words.slice(0, 34)}\u2026`);
    });
  }

  light(part, run) {
    const [lit, , , number] = PARTS[part - 1] ?? [[]];
    if (this.shown.part !== part) {
      for (const [name, group] of Object.entries(this.parts)) group.classList.toggle("flow-lit", lit.includes(name));
      this.svg.classList.toggle("flow-stepping", part > 0);
      this.shown.part = part;
    }
    const [, turn, what] = PARTS[part - 1] ?? [];
    this.line = part ? `${part} of 10 \u00b7 ${turn}\u2019s turn: ${what}; ${number(run.shown)}` : IDLE;
    this.say(this.caption, this.line);
  }

  // What D says of its batch of data and of samples, over the range of the plane's colours.
  verdicts({ shown: { batch, field }, loss, settings, span, picture, changes }) {
    const [x, y, width, height] = this.places.boxes.verdicts;
    const middle = middleOf(loss, settings, field), half = changes ? span.half : picture.half;
    const left = x + 8, wide = width - 16, floor = y + height - 18, tall = height - 40;
    const counts = [batch.said_real, batch.said_fake].map((said) => {
      const list = new Array(BINS).fill(0);
      for (const v of said) {
        const share = Math.min(Math.max((v - middle + half) / (2 * half), 0), 0.999);
        if (Number.isFinite(v)) list[Math.floor(share * BINS)] += 1 / said.length;
      }
      return list;
    });
    const most = Math.max(...counts.flat(), 1e-9), bin = wide / BINS;
    ["real", "fake"].forEach((role, k) => this.set(this.bars[role], counts[k].map((n, i) => (n
      ? `M${(left + i * bin + 0.5).toFixed(1)} ${floor}v${(-tall * n / most).toFixed(1)}h${(bin - 1).toFixed(1)}V${floor}z` : "")).join("")));
    this.set(this.bars.zero, `M${left} ${floor}h${wide}M${left + wide / 2} ${floor}v${-tall}`);
    [middle - half, middle, middle + half].forEach((v, i) => this.say(this.ends[i], small(v)));
  }

  set(path, d) { if (path.d !== d) path.setAttribute("d", path.d = d); }
  say(element, words) { if (element.textContent !== words) element.textContent = words; }
}

function node(tag, attributes) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function text(x, y, words, name) {
  const element = node("text", { x, y, class: name });
  element.textContent = words;
  return element;
}

// The head of an arrow at the end of a line.
function tip(d) {
  const probe = node("path", { d }), length = probe.getTotalLength(), { x, y } = probe.getPointAtLength(length);
  const before = probe.getPointAtLength(Math.max(length - 3, 0)), angle = Math.atan2(y - before.y, x - before.x) * 180 / Math.PI;
  return node("path", { class: "flow-tip", d: "M-7-4L0 0L-7 4z", transform: `translate(${x} ${y}) rotate(${angle.toFixed(0)})` });
}

// A network of two hidden layers, as a sign of one.
function net([x, y, width, height]) {
  const layers = [2, 4, 4, 2], top = y + 22, tall = height - 30, group = node("g", { class: "flow-net" });
  const place = (l, i) => [x + 24 + l * (width - 48) / 3, top + (i + 0.5) * tall / layers[l]];
  let lines = "", units = "";
  layers.forEach((count, l) => {
    for (let i = 0; i < count; i++) {
      units += `M${place(l, i).map((v) => v.toFixed(1)).join(" ")}h0`;
      for (let j = 0; l < 3 && j < layers[l + 1]; j++)
        lines += `M${place(l, i).map((v) => v.toFixed(1)).join(" ")}L${place(l + 1, j).map((v) => v.toFixed(1)).join(" ")}`;
    }
  });
  group.append(node("path", { d: lines }), node("path", { d: units, class: "flow-units" }));
  return group;
}

// Points in shares of a box's picture, as dots.
function scatter(box, list, wide, share) {
  let d = "";
  for (let i = 0; i < Math.min(list.length / wide, DOTS); i++) d += dot(box, ...share(list, i * wide));
  return d;
}

function dot([x, y, width, height], u, v) {
  const side = Math.min(height - 22, width - 10), left = x + (width - side) / 2, top = y + 18;
  if (!(u >= 0 && u <= 1 && v >= 0 && v <= 1)) return "";
  return `M${(left + u * side).toFixed(1)} ${(top + (1 - v) * side).toFixed(1)}h0`;
}
