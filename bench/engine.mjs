// How much longer imatrix and perplexity take than a bare decode loop over the same batches, in one run, interleaved:
//   node bench/engine.mjs [MODEL.gguf] [TEXT] [--chunks 32] [--rounds 5] [--threads N]
// Other programs disturb single rounds, so the fastest round of each is compared. On a busy machine use one thread
// and look at the CPU time: threads that wait for one another take more of everything.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { defaultThreads } from "../dist/engine/threads.js";
import { measure } from "../dist/evaluate/measure-job.js";
import { firstScored } from "../dist/evaluate/perplexity.js";
import { collectImatrix } from "../dist/imatrix/collect-job.js";
import { decodeOnly, processorSeconds } from "./decode-job.mjs";
import { writeResult } from "./result.mjs";

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
/** In one piece, as the bare decodes are. */
const inOnePiece = { ...common, model: { whole: { path } }, identity: path };

/** Each returns the seconds of one round, without loading and tokenizing. */
const subjects = {
  "decode, all logits": () => engine.run(decodeOnly, { ...common, logitsFrom: 0 }),
  imatrix: () => {
    const checkpoint = join(folder, "imatrix.partial");
    rmSync(checkpoint, { force: true });
    return engine.run(collectImatrix, { ...inOnePiece, processOutput: false, checkpoint, saveEvery: 1e9 });
  },
  "decode, half logits": () => engine.run(decodeOnly, { ...common, logitsFrom: firstScored(context) }),
  perplexity: () => engine.run(measure, inOnePiece),
};
const baselines = { imatrix: "decode, all logits", perplexity: "decode, half logits" };

const names = Object.keys(subjects);
const elapsed = new Map(names.map((name) => [name, []]));
const processor = new Map(names.map((name) => [name, []]));
let chunks = 0;
try {
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const [name, run] of Object.entries(subjects)) {
      const begin = await engine.run(processorSeconds);
      const result = await run();
      const end = await engine.run(processorSeconds);
      chunks = result.chunks;
      // The first round warms up caches and compilers.
      if (round < 0) {
        continue;
      }
      elapsed.get(name).push(result.seconds);
      processor.get(name).push(end - begin);
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
const results = [];
for (const name of names) {
  const ratio = (times) => fastest(times.get(name)) / fastest(times.get(baselines[name] ?? name));
  const speed = Math.round(tokens / fastest(elapsed.get(name)));
  const [clock, cpu] = [ratio(elapsed), ratio(processor)];
  console.log(`${name.padEnd(20)} ${speed} tokens/s  ratio ${clock.toFixed(3)} (CPU time ${cpu.toFixed(3)})`);
  if (name in baselines) {
    results.push({ subject: name, ratio: clock, cpuRatio: cpu, tokensPerSecond: speed });
  }
}
writeResult(fileURLToPath(new URL("../out/bench-engine.json", import.meta.url)), results);

function fastest(times) {
  return Math.min(...times);
}
