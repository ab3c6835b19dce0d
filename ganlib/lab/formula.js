// A formula of the critic's output, as a program for the module's stack; formula.py has its twin.
export const NAMES = ["on_real", "on_fake", "of_generator"];
export const LONGEST = 200; // characters
const LENGTH = 64, DEEP = 8; // instructions, values at once
const GREATEST = 1e30; // of a number: float32 ends at 3e38
const OPERATIONS = [
  "end", "s", "number", "neg", "power", "exp", "log", "sqrt", "abs", "tanh", "sigmoid",
  "softplus", "add", "sub", "mul", "div", "max", "min",
];
const FUNCTIONS = ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "softplus", "max", "min", "relu"];
const CONSTANTS = { e: Math.E, pi: Math.PI };
const KNOWN = "s, D, e, pi, exp, log, sqrt, abs, tanh, sigmoid, softplus, relu, max, min";
const TOKEN = /[ \t\n]*(?:((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|([A-Za-z_]+)|([^ \t\n]))/uy;
const ADD = OPERATIONS.indexOf("add");

// A text as tokens: kind, text, and place, counted in characters from 1.
function tokens(text) {
  const list = [];
  TOKEN.lastIndex = 0;
  for (let match; (match = TOKEN.exec(text));) {
    const kind = match[1] ? "number" : match[2] ? "name" : "sign", [found] = match.slice(1).filter(Boolean);
    list.push([kind, found === "\u2212" ? "-" : found, letters(text.slice(0, TOKEN.lastIndex - found.length)) + 1]);
  }
  return [...list, ["end", "", letters(text) + 1]];
}

const letters = (text) => [...text].length;

// A descent along the grammar, one function a rule; a tree is [operation, operands ...].
function parsed(text) {
  const list = tokens(text);
  let next = 0;
  const now = () => list[next][1];
  const take = () => list[list[next][0] === "end" ? next : next++];
  const refuse = (what, place = list[next][2]) => { throw new Error(`${what} (character ${place})`); };
  const stray = () => {
    const [kind, found] = list[next];
    if (found === "(" && list[next - 1][1] === "D") refuse("D takes no bracket: it is sigmoid(s)");
    if (kind === "number" || kind === "name" || found === "(")
      refuse(`write the multiplication: ${list[next - 1][1]} * ${found}`);
    refuse(found === ")" ? "this bracket was never opened" : `${found} has no meaning here`);
  };
  const chain = (rule, names) => () => {
    let tree = rule();
    while (now() in names) tree = [names[take()[1]], tree, rule()];
    return tree;
  };
  const sign = () => {
    if (now() === "+") return take() && sign();
    if (now() !== "-") return power();
    take();
    const tree = sign();
    return tree[0] === "number" ? ["number", -tree[1]] : ["neg", tree];
  };
  const sum = chain(chain(sign, { "*": "mul", "/": "div" }), { "+": "add", "-": "sub" });
  const power = () => {
    const tree = atom();
    if (now() !== "^") return tree;
    take();
    const side = now() === "-" ? take() && -1 : 1;
    if (list[next][0] !== "number") refuse("an exponent is a number, as in s^2");
    const exponent = side * number();
    if (exponent === 0) return ["number", 1];
    return exponent === 1 ? tree : ["power", tree, exponent];
  };
  const number = () => {
    const [, found, place] = take();
    if (!(Number(found) <= GREATEST)) refuse("a number is at most 1e30", place);
    return Number(found);
  };
  const atom = () => {
    const [kind, found, place] = list[next];
    if (kind === "number") return ["number", number()];
    if (kind === "end") refuse("something is missing at the end");
    take();
    if (found === "(") return closed(sum(), place);
    if (kind === "sign") refuse(`a value is missing before ${found}`, place);
    if (found === "s") return ["s"];
    if (found === "D") return ["sigmoid", ["s"]];
    if (Object.hasOwn(CONSTANTS, found)) return ["number", CONSTANTS[found]];
    const name = found === "ln" ? "log" : found;
    if (!FUNCTIONS.includes(name)) refuse(`${found} is not known; use ${KNOWN}`, place);
    if (now() !== "(") refuse(`${found} needs a bracket: ${found}(...)`);
    const opened = take()[2], first = sum();
    if (name !== "max" && name !== "min") return call(name, closed(first, opened));
    if (now() !== ",") refuse(`${found} takes two values, as in ${found}(0, s)`);
    take();
    return [name, first, closed(sum(), opened)];
  };
  const closed = (tree, opened) => {
    if (now() === ",") refuse("a comma stands only in max and min");
    if (now() !== ")") list[next][0] === "end" ? refuse("this bracket is not closed", opened) : stray();
    take();
    return tree;
  };
  const tree = sum();
  if (list[next][0] !== "end") stray();
  return tree;
}

// A function's call, written so that what is finite in the formula is finite in float32.
function call(name, inner) {
  if (name === "relu") return ["max", inner, ["number", 0]];
  const [outer, first, second] = inner, ofOne = first?.[0] === "number" && first[1] === 1;
  if (name === "log") {
    if (outer === "sigmoid") return ["neg", ["softplus", ["neg", first]]]; // log D = -softplus(-s)
    if (outer === "sub" && ofOne && second[0] === "sigmoid") return ["neg", ["softplus", second[1]]];
    if (outer === "add" && ofOne && second[0] === "exp") return ["softplus", second[1]];
  }
  return [name, inner];
}

function instructions([name, ...given]) {
  const operation = OPERATIONS.indexOf(name);
  if (name === "number") return [[operation, given[0]]];
  const constant = name === "power" ? given.pop() : 0;
  return [...given.flatMap(instructions), [operation, constant]];
}

// A formula's instructions, [operation, its number] each; an error says what to write, and where.
export function program(text) {
  const size = letters(text);
  if (size > LONGEST) throw new Error(`a formula has at most ${LONGEST} characters, this one ${size}`);
  const found = instructions(parsed(text));
  if (found.length > LENGTH)
    throw new Error(`a formula has at most ${LENGTH} operations, this one ${found.length}`);
  let depth = 0, deepest = 0;
  for (const [operation] of found)
    deepest = Math.max(deepest, depth += operation < 3 ? 1 : operation >= ADD ? -1 : 0);
  if (deepest > DEEP)
    throw new Error(`a formula holds at most ${DEEP} values at once, this one ${deepest}; put the `
      + "deepest bracket first");
  return found;
}

// Programs as the module's settings hold them: one after the other, 0 after each end.
export const packed = (programs) => programs.flatMap((one) =>
  [...one, ...Array(LENGTH - one.length).fill([0, 0])].flat());
