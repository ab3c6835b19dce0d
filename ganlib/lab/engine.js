// One training run on a compiled module, and the worker that drives it for the page.
// The twin of `Run` in gan/run.py: the same draws in the same order, so the same bits.
import { load } from "./runtime.js";
import { work } from "./worker.js";

// Each use of noise has streams of its own: number 8 n + use is its n-th draw.
const WEIGHTS = 0, LATENT_D = 1, LATENT_G = 2, PLACES = 3, NOISE = 4, MIX = 5, EVALUATION = 6, PERFECT = 7;

const WIDE = 8; // numbers of a latent in its buffer; those that are not used are zero
// What a run takes along to another module.
const CARRIED = "state evaluation anchors count std limits reference latent real".split(" ");
const COVERAGE = ["modes", "fair", "quality"]; // scores that mean nothing where a target has no modes

export class Run {
  constructor({ functions, draw }, spec, before) {
    Object.assign(this, before, { functions, spec });
    if (before) for (const name of CARRIED) this.buffer(name).set(before.buffer(name));
    this.noise = (kind, array, use, n, seed = this.settings.seed) => draw(kind, array, seed, 8 * n + use);
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

  // From the first step.
  reset(settings) {
    this.change(settings);
    this.aim();
    this.noise("uniform", this.buffer("uniform"), WEIGHTS, 0);
    this.call("initial");
    this.noise("normal", this.buffer("evaluation"), EVALUATION, 0);
    Object.assign(this, { step: 0, taken: { discriminator: 0, generator: 0 }, diverged: false, stride: 1 });
    Object.assign(this, { part: 0, turns: 0, norm: NaN });
    this.loss = { d: NaN, g: NaN };
    this.history = { step: [], d: [], g: [], modes: [], fair: [], quality: [], divergence: [] };
    if (!this.modes) for (const name of COVERAGE) this.history[name] = null;
    this.score();
    this.draw("discriminator");
  }

  // The settings of the steps to come. What says where a run begins takes effect at a reset.
  change(settings) {
    this.settings = settings;
    const { rate_g, rate_d, beta1, beta2, epsilon, penalty, weight, clip, a, b, c } = settings;
    const k = this.spec.losses.findIndex(({ name }) => name === settings.loss);
    this.buffer("settings").set([rate_g, rate_d, beta1, beta2, epsilon, weight,
      penalty === "clip" ? clip : Infinity, k, a, b, c, ...settings.program ?? []]);
    for (const name of ["width", "batch", "logistic"]) this.buffer(name)[0] = {
      width: settings.latent, batch: settings.batch, logistic: this.spec.losses[k].logistic,
    }[name];
  }

  // The target: what is drawn from it, what it puts in each cell, what a perfect sampler scores.
  aim() {
    const { target, drawn } = this.settings, { anchors, std, limits, modes } = this.spec.targets[target];
    const points = target === "drawn" ? drawn : anchors;
    this.buffer("anchors").fill(0);
    this.buffer("anchors").set(points);
    this.buffer("count")[0] = points.length / 2;
    this.buffer("std")[0] = std;
    this.buffer("limits").set(limits);
    this.call("reference");
    const scores = [];
    for (let i = 0; i < this.spec.perfect; i++) {
      this.noise("uniform", this.buffer("many_places"), PERFECT, 2 * i, 0);
      this.noise("normal", this.buffer("points"), PERFECT, 2 * i + 1, 0);
      this.call("perfect");
      scores.push(this.call("divergence").divergence[0]);
    }
    scores.sort((p, q) => p - q);
    const at = (share) => scores[Math.floor(share * scores.length)];
    this.floor = { median: at(0.5), high: at(0.95) };
    this.real = this.buffer("points").slice(0, 2 * this.spec.shown);
    this.modes = modes;
    this.centres = modes ? points : [];
  }

  // What the next step of a player will draw. It depends on how many steps the player took, so it
  // can be looked at before the step, and drawing it again changes nothing.
  draw(player) {
    const n = this.taken[player], { latent, batch, pack } = this.settings;
    this.noise("normal", this.buffer("normal").subarray(0, latent * batch),
      player === "discriminator" ? LATENT_D : LATENT_G, n);
    this.call("latents");
    if (player === "generator") return;
    this.noise("uniform", this.buffer("places").subarray(0, batch), PLACES, n);
    this.noise("normal", this.buffer("real").subarray(0, 2 * batch), NOISE, n);
    this.noise("uniform", this.buffer("mix").subarray(0, batch / pack), MIX, n);
    this.call("reals");
  }

  discriminator() {
    this.draw("discriminator");
    this.learn("discriminator");
  }

  generator() {
    this.draw("generator");
    this.learn("generator");
  }

  // Steps are counted by the generator's; scores come at fixed steps, so they say nothing of time.
  learn(player) {
    this.taken[player]++;
    this.note(player[0], this.call(player));
    if (player === "discriminator") return;
    this.step++;
    if (this.step % (this.spec.every * this.stride) === 0) this.score();
  }

  // D's steps and one of G; of a step that was begun part by part, what is left of it.
  both() {
    const begun = this.part % 10 > 0;
    while (this.part % 10 && !this.diverged) this.advance();
    this.part = 0;
    if (begun) return;
    for (let i = 0; i < this.settings.critic_steps && !this.diverged; i++) this.discriminator();
    if (!this.diverged) this.generator();
  }

  // A step of one player, whatever was begun.
  single(player) {
    this.part = this.turns = 0;
    this[player]();
  }

  // The next of a step's ten parts: 1 to 5 are D's, as often as D steps, 6 to 10 are G's. Two of
  // them learn; the others only show what the step has drawn, and draw it again.
  advance() {
    this.part = this.part === 5 && this.turns < this.settings.critic_steps ? 1 : this.part % 10 + 1;
    const player = this.part > 5 ? "generator" : "discriminator";
    this.draw(player);
    if (this.part % 5) return;
    const before = this.means(player);
    this.learn(player);
    const after = this.means(player), { beta1 } = this.settings;
    // Adam's mean tells the slope that it was fed.
    this.norm = Math.hypot(...after.map((m, i) => (m - beta1 * before[i]) / (1 - beta1)));
    this.turns = player === "discriminator" ? this.turns + 1 : 0;
  }

  // Adam's means of a player: state = [G | D | means of G | means of D | ...].
  means(player) {
    const all = this.buffer("uniform").length, { weights_g } = this.spec;
    const [from, to] = player === "generator" ? [0, weights_g] : [weights_g, all];
    return Array.from(this.buffer("state").subarray(all + from, all + to));
  }

  // D's verdict on one of the samples shown, and its pull there; both beside the samples that
  // follow it in its batch, where D sees several at once.
  ask(index) {
    const latent = this.buffer("latent"), kept = latent.slice(), { latent: width, pack } = this.settings;
    const at = index % (latent.length / WIDE), first = (index - at) * WIDE;
    const shown = this.buffer("evaluation").subarray(first, first + latent.length);
    latent.set(shown.map((value, i) => (i % WIDE < width ? value : 0)));
    const { fake, said_fake, pull } = this.call("judge"), two = [2 * at, 2 * at + 2];
    latent.set(kept);
    return {
      index, latent: [...shown.subarray(at * WIDE, at * WIDE + width)], point: [...fake.subarray(...two)],
      verdict: said_fake[Math.floor(at / pack)], pull: [...pull.subarray(...two)],
    };
  }

  note(player, { loss, state }) {
    this.loss[player] = loss[0];
    // The last number of a state is a count of steps; a loss can be finite where weights are not.
    if (!Number.isFinite(loss[0]) || this.step % this.spec.every === 0 && !state.every(Number.isFinite))
      this.diverged = true;
  }

  score() {
    const { history, spec } = this, { points } = this.call("generate");
    if (!points.every(Number.isFinite)) this.diverged = true;
    if (this.diverged) return;
    history.step.push(this.step);
    history.d.push(this.loss.d);
    history.g.push(this.loss.g);
    history.divergence.push(this.call("divergence").divergence[0]);
    if (this.modes) {
      const scores = this.call("coverage");
      for (const name of COVERAGE) history[name].push(scores[name][0]);
    }
    if (history.step.length <= spec.kept) return;
    this.stride *= 2; // every second one goes, and from now on every second one is left out
    for (const name of Object.keys(history)) history[name] &&= history[name].filter((_, i) => i % 2 === 0);
  }

  frame() {
    const { step, part, norm, diverged, history, floor, real, centres } = this;
    const { samples, field, map, arrows } = this.call("look");
    const { fake, said_real, said_fake, pull } = this.call("judge");
    const batch = { latent: this.buffer("latent"), real: this.buffer("real"), fake, said_real, said_fake, pull };
    for (const name of Object.keys(batch)) batch[name] = batch[name].slice();
    return {
      step, part, norm, diverged, history, floor, real, centres, batch, loss: { ...this.loss },
      samples: samples.slice(), field: field.slice(), map: map.slice(), arrows: arrows.slice(),
    };
  }
}

// The worker that drives it for the page.
export function serve(scope) {
  // A module; `on` takes the run under way along.
  const start = async ({ bytes, metadata, spec, on }, before) =>
    new Run(await load(bytes, metadata), spec, on && before);
  work(scope, start, {
    reset(run, { settings }, { stop, send }) { stop(); run.reset(settings); send(); },
    change(run, { settings }, { send }) { run.change(settings); send(); },
    step(run, { player }, { stop, send }) {
      stop();
      if (!run.diverged) run.single(player);
      send();
    },
    part(run, _, { stop, send }) {
      stop();
      if (!run.diverged) run.advance();
      send();
    },
    ask(run, { index }) { scope.postMessage({ type: "told", told: { ...run.ask(index), step: run.step } }); },
  });
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) serve(self);
