// How long the sandbox takes: to start, and for one program after the other; with and without the system's
// confinement. Milliseconds of one run on this machine.
//
//   node bench/sandbox.mjs [--programs 20]
import { parseArgs } from "node:util";
import { confine } from "../dist/isolation/confinement.js";
import { PythonSandbox } from "../dist/sandbox/python.js";

const { values } = parseArgs({ options: { programs: { type: "string", default: "20" } } });
const program =
  "import collections, re\ndef f(words):\n    return dict(collections.Counter(re.findall('[a-z]', words)))";
const calls = [{ function: "f", arguments: ["a few words"] }];

async function measured(act) {
  const started = performance.now();
  await act();
  return Math.round(performance.now() - started);
}

function median(times) {
  return times.toSorted((a, b) => a - b)[times.length >> 1];
}

console.log(`confinement: ${(await confine([])).length > 0 ? "bubblewrap" : "none"}`);
for (const unconfined of [false, true]) {
  const sandbox = new PythonSandbox({ unconfined });
  const start = await measured(() => sandbox.start());
  const times = [];
  for (let i = 0; i < Number(values.programs); i++) {
    times.push(await measured(() => sandbox.run(program, calls)));
  }
  sandbox.close();
  const where = unconfined ? "unconfined" : "confined";
  console.log(`${where}: start ${start} ms, a program ${median(times)} ms (median of ${times.length})`);
}
