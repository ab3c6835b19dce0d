// Runs the built engine outside a browser, on what stands in the input as JSON:
// node search_node.js FOLDER build|ask|terms
const { readFileSync } = require("fs");
const { runInThisContext } = require("vm");
const [folder, command] = process.argv.slice(2);
const run = (name) => runInThisContext(readFileSync(`${folder}/${name}.js`, "utf8"));
run("engine");
if (command === "ask") run("index");
const given = JSON.parse(readFileSync(0, "utf8"));
const reply = {
  build: () => bookSearch.build(given),
  ask: () => given.map(bookSearch.find),
  terms: () => given.map(bookSearch.terms),
}[command]();
process.stdout.write(JSON.stringify(reply));
