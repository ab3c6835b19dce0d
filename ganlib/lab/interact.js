// A live figure: controls, a compiled function that is run when one of them moves, and what it
// returns, as pictures, numbers and a table.
import { load, moduleBytes } from "./runtime.js";
import { control } from "./controls.js";
import { Chart, legend } from "./chart.js";
import { decimal, extent, make } from "./plot.js";

export async function render({ model, el }) {
  try {
    const bytes = await moduleBytes(model, "main");
    return interact(model, el, await load(bytes, model.get("metadata").main));
  } catch (error) {
    const text = `This figure could not start: ${error.message}`;
    el.replaceChildren(make("p", { className: "live live-alert", role: "alert" }, text));
    throw error;
  }
}

function interact(model, el, { functions: { figure }, draw }) {
  const spec = model.get("spec");
  const defaults = Object.fromEntries(spec.controls.map(({ name, value }) => [name, value]));
  const values = { ...defaults, ...model.get("values") };
  const changed = new Set(), drawn = {};
  let frame = 0, timer = 0;
  const request = () => { frame ||= requestAnimationFrame(update); };
  const controls = Object.fromEntries(spec.controls.map((one) => [
    one.name,
    control(one, values[one.name], (value) => {
      values[one.name] = value;
      changed.add(one.name);
      request();
    }),
  ]));
  const accept = (next) => {
    for (const [name, value] of Object.entries(next)) {
      if (!controls[name] || values[name] === value) continue;
      controls[name].value = values[name] = value;
      changed.add(name);
      request();
    }
  };
  const follow = () => accept(model.get("values"));

  // The outputs are views of the module's memory, so the layers are made once.
  const items = spec.items.map((item) => ({
    ...item,
    label: item.label ?? item.name,
    ...Object.fromEntries(Object.entries(item.outputs).map(
      ([part, output]) => [part, figure.outputs[output]])),
  }));
  const numbers = items.filter(({ kind }) => kind === "number").map((item) => {
    const shown = make("span");
    const unit = make("span", { className: "live-unit" }, item.unit ? ` ${item.unit}` : "");
    const entry = make("p", {}, make("span", { className: "live-name" }, item.label), " ",
      make("span", { className: "live-reading" }, shown, unit));
    const text = () => numeral(Number(item.value[0]), item.format);
    return { ...item, entry, shown, text };
  });
  const several = spec.panels.length > 1;
  const panels = spec.panels.map((panel, i) => {
    const layers = items.filter((item) => item.panel === i && item.kind !== "number");
    const named = layers.map(({ label }) => label).join(", ");
    const label = several ? `${panel.title || spec.title}: ${named}` : spec.alt;
    const plot = new Chart({ ...panel, aspect: panel.aspect ?? undefined, label, square: isSquare(panel) });
    const note = make("p", { className: "live-note", hidden: true });
    plot.element.append(note);
    return { layers, plot, note, title: panel.title ?? "" };
  });

  const say = make("p", { className: "live-say", role: "status", "aria-live": "polite" });
  const tables = make("div", {
    className: "live-tables", role: "group", tabIndex: 0, "aria-label": `Numbers: ${spec.title}` });
  const more = make("details", { className: "live-more" },
    make("summary", {}, "Numbers"), tables);
  more.addEventListener("toggle", () => fillTables());
  const reset = make("button", { type: "button", className: "live-button live-reset" }, "Reset");
  reset.addEventListener("click", () => accept(defaults));

  const head = make("div", { className: "live-head" },
    make("p", { className: "live-title" }, spec.title ?? ""), reset);
  const pictures = panels.map(({ layers, plot, title }) => make("div", { className: "live-panel" },
    ...(title ? [make("p", { className: "live-panel-title" }, title)] : []),
    legend(layers), plot.element));
  const root = make("div", { className: "live", role: "group", "aria-label": spec.title },
    head, ...(several ? [make("p", { className: "live-say" }, spec.alt)] : []),
    make("div", { className: "live-panels" }, ...pictures),
    ...(numbers.length
      ? [make("div", { className: "live-numbers" }, ...numbers.map(({ entry }) => entry))] : []),
    make("div", { className: "live-controls" },
      ...Object.values(controls).map(({ element }) => element)),
    more, say);

  function compute() {
    for (const { kind, name, argument, noise, stream } of spec.controls) {
      if (kind !== "noise") {
        const input = figure.inputs[name];
        input[0] = input instanceof BigInt64Array ? BigInt(Math.round(values[name])) : values[name];
      } else if (drawn[name] !== values[name]) {
        draw(noise, figure.inputs[argument], values[name], stream);
        drawn[name] = values[name];
      }
    }
    figure.run();
  }

  // False where the module stopped; what it had written before it stopped is not shown as a result.
  function computed() {
    try {
      compute();
      return true;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      for (const view of Object.values(figure.outputs)) view.fill(NaN);
      return false;
    }
  }

  function update() {
    frame = 0;
    const stopped = computed() ? "" : "No picture here: an index lies outside its tensor, or an integer is divided by 0.";
    for (const { layers, plot, note } of panels) {
      note.textContent = stopped || layers.map(missing).filter(Boolean).join("; ");
      note.hidden = !note.textContent;
      plot.draw(layers);
    }
    for (const { shown, text } of numbers) shown.textContent = text();
    fillTables();
    const held = model.get("values");
    if (Object.keys(values).some((name) => values[name] !== held[name])) {
      model.set("values", { ...values });
      model.save_changes();
    }
    clearTimeout(timer);
    if (changed.size) timer = setTimeout(speak, 300);
  }

  function speak() {
    const moved = [...changed].map((name) => {
      const { label = name } = spec.controls.find((one) => one.name === name);
      return `${label} ${controls[name].text}`;
    });
    const now = numbers.map(({ label, text, unit }) => `${label} ${text()} ${unit ?? ""}`.trim());
    const notes = panels.map(({ note }) => note.textContent).filter(Boolean);
    say.textContent = [moved.join(", "), now.join(", "), ...notes].filter(Boolean).join(". ");
    changed.clear();
  }

  function fillTables() {
    if (!more.open) return;
    const made = panels.flatMap(({ layers, title }) => sampled(layers, title || spec.title));
    if (numbers.length) {
      const rows = numbers.map(({ label, text, unit }) => [label, `${text()} ${unit ?? ""}`.trim()]);
      made.unshift(tableOf("Numbers", ["", "value"], rows));
    }
    tables.replaceChildren(...made);
  }

  model.on("change:values", follow);
  update();
  el.replaceChildren(root);
  return () => {
    model.off("change:values", follow);
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    for (const { plot } of panels) plot.destroy();
    root.remove();
  };
}

// Whether the shape of a panel was chosen so that one unit is as long in x as in y.
function isSquare({ x: { limits: [x0, x1] }, y: { limits: [y0, y1] }, aspect }) {
  return Boolean(aspect) && Math.abs(aspect * (y1 - y0) / (x1 - x0) - 1) < 0.01;
}

// A number by a format such as ".3f", ".2g" or ".1e".
function numeral(value, format = ".3f") {
  if (!Number.isFinite(value)) return "not finite here";
  const [, digits, kind] = format.match(/^\.(\d+)([feg])$/) ?? ["", 3, "f"];
  if (kind === "f") return decimal(value, Number(digits));
  const text = kind === "e"
    ? value.toExponential(Number(digits)) : String(Number(value.toPrecision(Number(digits) || 1)));
  return text.replaceAll("-", "\u2212").replace("+", "");
}

// What a layer leaves out of its picture, in words.
function missing({ label, kind, x, y, values }) {
  const parts = kind === "curve" || kind === "points" ? [x, y] : [values];
  const count = parts[0].length;
  let gone = 0;
  for (let i = 0; i < count; i++) gone += !parts.every((part) => Number.isFinite(Number(part[i])));
  return gone && `${label}: not finite here (${gone} of ${count} values)`;
}

function tableOf(caption, columns, rows) {
  const cell = (text, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, text);
  return make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...columns.map(
      (name) => (name ? make("th", { scope: "col" }, name) : make("td"))))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))));
}

// At most eleven values of each layer; curves over the same x, and bars, share a table.
function sampled(layers, title) {
  const short = (v) => decimal(Number(v), Math.abs(v) >= 100 ? 1 : 3);
  const spaced = (count, most = 11) => Array.from({ length: Math.min(count, most) },
    (_, i) => Math.round(i * (count - 1) / Math.max(Math.min(count, most) - 1, 1)));
  const tables = new Map();
  const join = (first, heads, label, values) => {
    const key = [first, ...heads].join();
    if (!tables.has(key)) tables.set(key, [title, [first], heads.map((head) => [head])]);
    const [, columns, rows] = tables.get(key);
    columns.push(label);
    values.forEach((v, k) => rows[k].push(short(v)));
  };
  for (const { kind, label, x, y, values, labels, columns, rows, limits } of layers) {
    if (kind === "curve") {
      const at = spaced(x.length), tiny = 1e-6 * Math.abs(x.at(-1) - x[0]); // a rounded zero
      join("x", at.map((i) => short(Math.abs(x[i]) < tiny ? 0 : x[i])), label, at.map((i) => y[i]));
    } else if (kind === "bars") {
      join("bar", labels, label, Array.from(values));
    } else if (kind === "points") {
      const lines = spaced(x.length).map((i) => [i + 1, short(x[i]), short(y[i])]);
      tables.set(label, [`${label}: ${lines.length} of ${x.length} points`, ["point", "x", "y"], lines]);
    } else {
      const [x0, x1, y0, y1] = limits, over = spaced(columns, 6), up = spaced(rows, 6).reverse();
      const place = (i, count, from, to) => short(from + (i + 0.5) / count * (to - from));
      tables.set(label, [`${label}: from ${extent(values).map(short).join(" to ")}`,
        ["y \\ x", ...over.map((i) => place(i, columns, x0, x1))],
        up.map((j) => [place(j, rows, y0, y1), ...over.map((i) => short(values[j * columns + i]))])]);
    }
  }
  return [...tables.values()].map((parts) => tableOf(...parts));
}
