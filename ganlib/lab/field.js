// The discriminator's picture, apart from any canvas: what is white, how far its colours reach, and
// the line on which D cannot tell.

// What the best D says where data and samples are equally likely; where only differences of a
// critic's values mean something, the median of those shown.
export function middleOf({ logistic, middle }, { a, b }, values) {
  if (logistic) return 0.5;
  if (middle === "targets") return (a + b) / 2;
  return middle ?? percentile(values, 0.5);
}

function percentile(values, share) {
  const sorted = Float32Array.from(values).filter(Number.isFinite).sort();
  return sorted.length ? sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] : 0;
}

// The least of 1, 2, 5 times a power of ten that is not below a number.
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return Number((power * [1, 2, 5, 10].find((m) => m * power >= value * (1 - 1e-6))).toPrecision(1));
}

// How far colours reach from the middle: the 99th percentile of what is shown, rounded up. It grows
// at once, and shrinks when it was too wide for a second; at rest it fits.
export class Span {
  fit(values, middle, moving, now) {
    const wanted = roundUp(percentile(values.map((v) => Math.abs(v - middle)), 0.99));
    if (wanted === this.half) this.since = now;
    if (!moving || !(wanted < this.half) || now - this.since > 1000)
      Object.assign(this, { half: wanted, since: now });
    return this.half;
  }
}

// The line on which values over the middles of cells have a level, as polylines in shares of the
// picture's width and height. Values go on unchanged from the outer middles to the border.
export function contour(values, columns, rows, level) {
  const wide = columns + 2, clamp = (i, n) => Math.min(Math.max(i - 1, 0), n - 1);
  const value = (i, j) => values[clamp(j, rows) * columns + clamp(i, columns)] - level;
  const place = (i, n) => (i === 0 ? 0 : i === n + 1 ? 1 : (i - 0.5) / n);
  const points = new Map(), ends = new Map();
  // Where the line crosses the edge from a corner to the next on its right, or above it.
  const cross = (i, j, up) => {
    const id = 2 * (j * wide + i) + up;
    if (!points.has(id)) {
      const p = value(i, j), q = value(i + 1 - up, j + up), t = p / (p - q);
      const along = (from, to) => from + t * (to - from);
      points.set(id, [
        along(place(i, columns), place(i + 1 - up, columns)), along(place(j, rows), place(j + up, rows))]);
      ends.set(id, []);
    }
    return id;
  };
  for (let j = 0; j <= rows; j++) for (let i = 0; i <= columns; i++) {
    const [a, b, c, d] = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)];
    if (![a, b, c, d].every(Number.isFinite)) continue;
    const found = [];
    if (a > 0 !== b > 0) found.push(cross(i, j, 0));
    if (b > 0 !== c > 0) found.push(cross(i + 1, j, 1));
    if (c > 0 !== d > 0) found.push(cross(i, j + 1, 0));
    if (d > 0 !== a > 0) found.push(cross(i, j, 1));
    // At a saddle the middle of the cell says which corners belong together.
    if (found.length === 4 && a + b + c + d > 0 === a > 0) found.push(found.shift());
    for (let k = 0; k < found.length; k += 2) {
      ends.get(found[k]).push(found[k + 1]);
      ends.get(found[k + 1]).push(found[k]);
    }
  }
  const lines = [];
  const follow = (id) => {
    const line = [];
    for (let next = id; next !== undefined;) {
      const here = next;
      line.push(points.get(here));
      next = ends.get(here).pop();
      if (next !== undefined) ends.set(next, ends.get(next).filter((other) => other !== here));
    }
    lines.push(line);
  };
  for (const [id, joined] of ends) if (joined.length === 1) follow(id); // from border to border
  for (const [id, joined] of ends) if (joined.length) follow(id); // closed lines
  return lines;
}
