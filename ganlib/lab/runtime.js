// Start a module of ganlib.lab.compiler: views of its buffers, by name, and functions to call.
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
  bool: Uint8Array,
};

export async function load(bytes, metadata) {
  const { exports } = (await WebAssembly.instantiate(bytes, {})).instance;
  exports._initialize?.();
  // The module never grows its memory, so a view stays valid.
  const view = ({ index, shape, dtype }) => new ARRAYS[dtype](
    exports.memory.buffer, exports.address(index), shape.reduce((a, b) => a * b, 1));
  const views = (buffers) => Object.fromEntries(
    Object.entries(buffers).map(([name, buffer]) => [name, view(buffer)]));
  const functions = Object.fromEntries(Object.entries(metadata).map(([name, f]) => [
    name, { inputs: views(f.inputs), outputs: views(f.outputs), run: exports[`run_${name}`] }]));
  // Fill an input with noise: the same numbers for the same seed and stream, everywhere.
  const draw = (kind, array, seed, stream) =>
    exports[kind](array.byteOffset, array.length, seed >>> 0, stream >>> 0);
  return { functions, draw };
}

// The bytes of a widget's module: deflated bytes from Jupyter, or a function that loads them.
export async function moduleBytes(model, name) {
  const found = model.get("modules")[name];
  if (!found) throw new Error(`the widget has no module ${name}`);
  const deflated = typeof found === "function" ? await found() : found;
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
