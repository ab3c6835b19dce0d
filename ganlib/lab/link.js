// The settings of the laboratory as they stand in a link.

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export function pointless({ loss, a, b }) { return loss === "least-squares" && a === b; }

// A value as it stands in a link: a drawing in hundredths.
function linked(name, value) {
  return name === "drawn" ? (value ?? []).map((v) => Math.round(100 * v)).join(",") : String(value);
}

function unescaped(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// How long arrows are drawn, as a text: so many times their length, or not at all.
const PULLS = ["off", "0.1", "1", "10", "100"];
const pullOf = ({ show, factor }) => (show.arrows ? String(factor) : "off");
export const lessonsPull = (preset) => String(preset?.arrows ?? "off");

// The settings as text, as far as they differ from the preset; the second run's from the first's.
export function written(spec, { preset, settings: [first, second], ...view }) {
  const chosen = spec.presets.find((p) => p.name === preset);
  const pairs = [["preset", preset]];
  const add = (from, to, before) => {
    for (const [k, v] of Object.entries(to)) if (!same(v, from[k])) pairs.push([before + k, linked(k, v)]);
  };
  add({ ...spec.defaults, ...chosen?.settings }, first, "");
  if (second) {
    pairs.push(["compare", "yes"]);
    add(first, second, "b.");
  }
  if (pullOf(view) !== lessonsPull(chosen)) pairs.push(["pull", pullOf(view)]);
  return pairs.map(([k, v]) => `${k}:${encodeURIComponent(v).replaceAll("%2C", ",")}`).join(";");
}

// The settings that a text holds, and what of it cannot be right.
export function readAddress(spec, preset, address) {
  const refused = [], runs = [{}, {}];
  let two = false, pull;
  for (const pair of address.split(";").filter(Boolean)) {
    const [, key, raw] = pair.match(/^([^:=]*)[:=]?(.*)$/), text = unescaped(raw);
    const name = key.replace(/^b\./, ""), value = parse(spec, name, text);
    if (key === "preset" && spec.presets.some((p) => p.name === text)) preset = text;
    else if (key === "compare" && text === "yes") two = true;
    else if (key === "pull" && PULLS.includes(text)) pull = text;
    else if (value !== undefined && !(key === "b.seed")) runs[name === key ? 0 : 1][name] = value;
    else refused.push(`${key} ${text}`.slice(0, 60));
  }
  const chosen = spec.presets.find((p) => p.name === preset);
  const first = { ...spec.defaults, ...chosen?.settings, ...runs[0] };
  if (!two) refused.push(...Object.keys(runs[1]).map((k) => `b.${k} without compare yes`));
  const settings = two ? [first, { ...first, ...runs[1] }] : [first];
  for (const s of settings.filter(pointless)) {
    refused.push(`a ${s.a}, b ${s.b}`);
    Object.assign(s, { a: spec.defaults.a, b: spec.defaults.b });
  }
  return { preset, settings, refused, pull: pull ?? lessonsPull(chosen) };
}

// A setting's value from a link; undefined if it cannot be one.
function parse(spec, name, text) {
  if (name === "drawn") {
    if (!text) return [];
    const numbers = text.split(",").map((t) => Number(t) / 100), { limits } = spec.targets.drawn;
    const inside = (v, i) => v >= limits[i % 2 ? 2 : 0] && v <= limits[i % 2 ? 3 : 1];
    return numbers.length % 2 || numbers.length > 400 || !numbers.every(inside) ? undefined : numbers;
  }
  const given = spec.controls.find((c) => c.name === name);
  if (given?.names) return given.names.find((v) => String(v) === text);
  if (given?.longest) return text.length > given.longest ? undefined : text;
  const value = Number(text), whole = given?.step === 1;
  if (!given || text.trim() === "" || !(value >= given.min && value <= given.max)) return undefined;
  return whole && value !== Math.round(value) ? undefined : value;
}
