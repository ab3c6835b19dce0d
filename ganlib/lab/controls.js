// Labelled controls: each works by keyboard and has a target a finger can hit.
import { decimal, make } from "./plot.js";

// spec: {kind: "slider"|"menu"|"switch"|"button"|"number"|"noise", name, label, min, max, step, log,
// options: [labels], unit, hint}. A menu's value is the index, a switch's 0 or 1, a button's the
// count of its presses. onInput(value) hears the reader only: setting `value` does not call it.
export function control(spec, value, onInput) {
  const id = `live-${Math.random().toString(36).slice(2, 10)}`;
  const label = spec.label ?? spec.name;
  const { input, show, text = String, read = (v) => v, also = [] } = KINDS[spec.kind](spec, label, id);
  const hint = spec.hint && make("small", { className: "live-hint", id: `${id}-hint` }, spec.hint);
  if (hint) input.setAttribute("aria-describedby", hint.id);
  const name = make("label", { className: "live-label", htmlFor: id }, label);
  const pressed = input.tagName === "BUTTON", checked = input.type === "checkbox";
  const told = hint ? [hint] : [];
  const parts = pressed ? [input, ...also, ...told]
    : checked ? [input, name, ...told] : [name, ...told, input, ...also];
  const element = make("div", { className: `live-control live-${spec.kind}` }, ...parts);
  element.dataset.name = spec.name;
  const set = (v) => { value = v; show(v); };
  input.addEventListener(pressed ? "click" : checked || spec.kind === "menu" ? "change" : "input", () => {
    const next = read(value);
    if (typeof next === "number" && !Number.isFinite(next)) return; // a half-typed number
    value = next;
    if (spec.kind !== "number") show(value);
    onInput(value);
  });
  input.id = id;
  set(value);
  return {
    element,
    get value() { return value; },
    set value(v) { set(v); },
    get text() { return text(value); },
    set disabled(off) { input.disabled = off; },
  };
}

function slider({ min, max, step, log, unit = "" }) {
  const to = log ? Math.log10 : (v) => v;
  const from = log ? (v) => Number((10 ** v).toPrecision(12)) : (v) => v; // the same in each browser
  const stride = step || (to(max) - to(min)) / 100;
  // As many decimals as the steps have.
  const exact = (d) => Math.abs(stride * 10 ** d - Math.round(stride * 10 ** d)) < 1e-6 * 10 ** d * stride;
  const digits = [0, 1, 2, 3, 4, 5].find(exact) ?? 6;
  const text = (v) => (log ? significant(v) : decimal(v, digits)) + (unit && ` ${unit}`);
  const input = make("input", { type: "range", min: to(min), max: to(max), step: stride });
  const output = make("output", { className: "live-value" });
  // Wide enough for every value: the slider keeps its length while it moves.
  output.style.minWidth = `${Math.max(5, text(min).length, text(max).length)}ch`;
  const read = () => Math.min(Math.max(from(input.valueAsNumber), min), max);
  const show = (v) => {
    input.value = to(v);
    output.textContent = text(v);
    input.setAttribute("aria-valuetext", text(v));
    input.style.setProperty("--fill", `${100 * (to(v) - to(min)) / (to(max) - to(min))}%`);
  };
  return { input, show, text, read, also: [output] };
}

function significant(v) {
  if (v < 1e-3 || v >= 1e4) return v.toExponential(1).replace("-", "\u2212").replace("+", "");
  return v < 10 ? v.toPrecision(2) : String(Number(v.toPrecision(2)));
}

function button(spec, label) {
  const input = make("button", { type: "button", className: "live-button" }, label);
  return { input, show: () => {}, read: (value) => value + 1 };
}

const KINDS = {
  slider,
  button,
  // A button that draws new noise shows which draw is on view.
  noise(spec, label) {
    const output = make("output", { className: "live-value" }), text = (value) => `seed ${value}`;
    const show = (value) => { output.textContent = text(value); };
    return { ...button(spec, label), text, show, also: [output] };
  },
  menu({ options }) {
    const input = make("select", {}, ...options.map((text, i) => make("option", { value: i }, text)));
    const show = (value) => { input.value = value; }, text = (value) => options[value];
    return { input, show, text, read: () => Number(input.value) };
  },
  switch() {
    const input = make("input", { type: "checkbox", role: "switch" });
    const show = (value) => { input.checked = value; }, text = (value) => (value ? "on" : "off");
    return { input, show, text, read: () => Number(input.checked) };
  },
  number({ min, max, step = "any", unit }) {
    const input = make("input", { type: "number", min, max, step, inputMode: "decimal" });
    const read = () => {
      const typed = input.valueAsNumber;
      return Math.min(Math.max(typed, min ?? -Infinity), max ?? Infinity);
    };
    // What was typed stays as it is while it is typed; leaving the field shows the value used.
    const also = unit ? [make("span", { className: "live-unit" }, unit)] : [];
    return { input, show: (value) => { input.value = value; }, read, also };
  },
};
