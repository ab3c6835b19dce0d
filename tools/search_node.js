// Runs the built engine outside a browser: node search_node.js ENGINE build < documents
//                                           node search_node.js ENGINE ask INDEX < queries
const { readFileSync } = require("fs");
const { runInThisContext } = require("vm");
const [engine, command, index] = process.argv.slice(2);
runInThisContext(readFileSync(engine, "utf8"));
const given = JSON.parse(readFileSync(0, "utf8"));
let reply;
if (command === "build") reply = bookSearch.build(given);
else {
  runInThisContext(readFileSync(index, "utf8"));
  reply = given.map((query) => bookSearch.find(query));
}
process.stdout.write(JSON.stringify(reply));
