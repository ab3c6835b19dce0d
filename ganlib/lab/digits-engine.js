// One training run on digits, and the worker that drives it for the page.
// The twin of `Run` in digits/run.py: the same draws in the same order, so the same bits.
import { load } from "./runtime.js";
import { work } from "./worker.js";

// Each use of noise has streams of its own: number 8 n + use is its n-th draw.
const WEIGHTS = 0, PLACES = 1, LATENT_D = 2, ASKED_D = 3, LATENT_G = 4, ASKED_G = 5, SHOWN = 6, JUDGED = 7;

export class Run {
  constructor({ functions, draw }, spec) {
    Object.assign(this, { functions, spec, filled: false, view: { at: [0.5, 0.5], from: "samples", place: 0 } });
    this.noise = (kind, name, use) => draw(kind, this.buffer(name), this.seed, 8 * this.step + use);
  }

  // A name is one buffer in all functions, so any function that has it will do.
  buffer(name) {
    for (const { inputs, outputs } of Object.values(this.functions))
      if (inputs[name] ?? outputs[name]) return inputs[name] ?? outputs[name];
    throw new Error(`the module has no ${name}`);
  }

  call(name) {
    this.functions[name].run();
    return this.functions[name].outputs;
  }

  // The training pictures and the classifier, as digits/pictures.py packs them.
  fill(file) {
    const { training, pixels, levels, counts } = this.spec, size = training * pixels;
    const grey = new Uint8Array(file, 0, size), shown = this.buffer("pictures");
    for (let i = 0; i < training; i++)
      for (let j = 0; j < pixels; j++) shown[i * pixels + j] = 2 * grey[j * training + i] / levels - 1;
    this.buffer("labels").set(counts.flatMap((count, digit) => Array(count).fill(digit)));
    this.buffer("judge").set(singles(new Uint16Array(file, size)));
    this.filled = true;
    this.reset(this.seed);
  }

  // From the first step. Without the classifier there is no verdict yet.
  reset(seed) {
    Object.assign(this, { seed, step: 0, stride: 1, diverged: false, loss: { d: NaN, g: NaN } });
    this.history = { step: [], d: [], g: [], right: [], variety: [] };
    this.buffer("settings").set(this.spec.settings);
    this.noise("uniform", "uniform", WEIGHTS);
    this.call("initial");
    this.noise("normal", "shown", SHOWN);
    this.noise("normal", "judged", JUDGED);
    if (this.filled) this.judge();
  }

  both() {
    if (this.diverged) return;
    this.noise("uniform", "places", PLACES);
    this.noise("normal", "latent", LATENT_D);
    this.noise("uniform", "asked", ASKED_D);
    this.note("d", this.call("discriminator"));
    this.noise("normal", "latent", LATENT_G);
    this.noise("uniform", "asked", ASKED_G);
    this.note("g", this.call("generator"));
    this.step++;
    if (this.step % (this.spec.every * this.stride) === 0) this.judge();
  }

  note(player, { loss }) {
    this.loss[player] = loss[0];
    if (!Number.isFinite(loss[0])) this.diverged = true;
  }

  judge() {
    const { answers, spread } = this.call("verdict"), { history, spec } = this;
    if (!this.buffer("state").every(Number.isFinite)) this.diverged = true;
    if (this.diverged) return;
    const right = answers.reduce((sum, read, i) => sum + (read === i % 10), 0) / answers.length;
    const row = { step: this.step, ...this.loss, right, variety: spread[0] / spec.spread };
    for (const [name, value] of Object.entries(row)) history[name].push(value);
    if (history.step.length <= spec.kept) return;
    this.stride *= 2; // every second one goes, and from now on every second one is left out
    for (const name of Object.keys(history)) history[name] = history[name].filter((_, i) => i % 2 === 0);
  }

  // All that is seen: pictures of the latents on show, of the pad, and what is next to one of them.
  frame() {
    const { step, diverged, history, filled, view, loss, seed } = this, { pixels } = this.spec;
    this.buffer("at").set(view.at);
    this.buffer("digit")[0] = view.place % 10;
    const frame = { step, seed, diverged, history, filled, view, loss: { ...loss } };
    for (const name of ["look", "mix", "chart", ...filled ? ["verdict"] : []])
      for (const [output, array] of Object.entries(this.call(name))) frame[output] = array.slice();
    if (!filled) return frame;
    this.buffer("picture").set(frame[view.from].subarray(view.place * pixels, (view.place + 1) * pixels));
    const { place: [place], distance: [distance] } = this.call("nearest");
    const picture = this.buffer("pictures").slice(place * pixels, (place + 1) * pixels);
    return { ...frame, near: { place, distance, picture, label: this.buffer("labels")[place] } };
  }
}

// Half precision to single, exactly: the bits move to their places. No weight is infinite.
function singles(halves) {
  const bits = Uint32Array.from(halves, (h) => {
    const size = h & 0x7fff;
    return (h & 0x8000) << 16 | (size ? (size << 13) + (112 << 23) : 0);
  });
  const values = new Float32Array(bits.buffer);
  halves.forEach((h, i) => { // below 2^-14 steps are equal
    if ((h & 0x7c00) === 0) values[i] = (h & 0x8000 ? -1 : 1) * (h & 0x3ff) / 2 ** 24;
  });
  return values;
}

// The worker that drives it for the page.
function serve(scope) {
  work(scope, async ({ bytes, metadata, spec }) => new Run(await load(bytes, metadata), spec), {
    fill(run, { file }, { send }) { run.fill(file); send(); },
    reset(run, { seed }, { stop, send }) { stop(); run.reset(seed); send(); },
    look(run, { view }, { free, send }) {
      run.view = view;
      if (run.history && free()) send();
    },
    step(run, _, { stop, send }) { stop(); run.both(); send(); },
  });
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) serve(self);
