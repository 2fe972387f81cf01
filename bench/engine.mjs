// How much longer imatrix takes than a bare decode loop over the same batches, in one run, interleaved:
//   node bench/engine.mjs [MODEL.gguf] [TEXT] [--chunks 32] [--rounds 5] [--threads N]
// Other programs disturb single rounds, so the fastest round of each is compared; the medians are printed too.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { defaultThreads } from "../dist/engine/threads.js";
import { collectImatrix } from "../dist/imatrix/collect-job.js";
import { decodeOnly } from "./decode-job.mjs";

const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    chunks: { type: "string", default: "32" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: String(defaultThreads()) },
  },
});
const [path = join(fixtures, "tiny-moe-q8_0.gguf"), text = join(fixtures, "text/eval.txt")] = positionals;
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const context = 512;
const common = {
  model: { path },
  text,
  context,
  chunks: Number(values.chunks),
  parseSpecial: true,
  threads: Number(values.threads),
};
const engine = new Engine();

/** Each returns the seconds of one round, without loading and tokenizing. */
const subjects = {
  "decode, all logits": () => engine.run(decodeOnly, { ...common, logitsFrom: 0 }),
  imatrix: () => {
    const checkpoint = join(folder, "imatrix.partial");
    rmSync(checkpoint, { force: true });
    return engine.run(collectImatrix, { ...common, processOutput: false, checkpoint, saveEvery: 1e9 });
  },
};
const baselines = { imatrix: "decode, all logits" };

const seconds = new Map(Object.keys(subjects).map((name) => [name, []]));
let chunks = 0;
try {
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const [name, run] of Object.entries(subjects)) {
      const result = await run();
      chunks = result.chunks;
      // The first round warms up caches and compilers.
      if (round >= 0) seconds.get(name).push(result.seconds);
    }
  }
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}

const tokens = chunks * context;
console.log(
  `${path}: ${chunks} chunks of ${context} tokens, ${common.threads} threads, ${values.rounds} rounds`,
);
for (const [name, times] of seconds) {
  const baseline = seconds.get(baselines[name] ?? name);
  const ratio = (statistic) => (statistic(times) / statistic(baseline)).toFixed(3);
  console.log(
    `${name.padEnd(20)} ${Math.round(tokens / fastest(times))} tokens/s  ratio ${ratio(fastest)} (medians ${ratio(median)})`,
  );
}

function fastest(times) {
  return Math.min(...times);
}

function median(times) {
  return times.toSorted((a, b) => a - b)[times.length >> 1];
}
