// What a cache of encoded tensors saves: `make` with a budget, again with a budget that is 2 % smaller, with a cache and
// without; the tiny model, in one folder each. The share is of the weights that `quantize` wrote; CPU time is
// of all but the engine.
//
//   node bench/cache.mjs [--size 5500000] [--change 0.98] [--chunks 16] [--threads 1] [--effort max]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { make } from "../dist/index.js";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    size: { type: "string", default: "5500000" },
    change: { type: "string", default: "0.98" },
    chunks: { type: "string", default: "16" },
    threads: { type: "string", default: "1" },
    effort: { type: "string", default: "max" },
    json: { type: "string", default: "out/bench-cache.json" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const first = Number(options.size);
const second = Math.round(first * Number(options.change));

async function run(output, size, cache) {
  const before = process.cpuUsage();
  const { seconds, quantize, skipped } = await make({
    model: fixture("tiny-moe-q8_0.gguf"),
    calibration: fixture("text/calibration.txt"),
    output: join(folder, output),
    size,
    sensitivity: false,
    chunks: Number(options.chunks),
    evaluate: false,
    check: false,
    effort: options.effort,
    threads: Number(options.threads),
    ...(cache && { cache: join(folder, "cache") }),
  });
  const { user, system } = process.cpuUsage(before);
  const { cachedShare: share, seconds: quantizeSeconds, bytes, sha256 } = quantize;
  return { size, bytes, seconds, cpuSeconds: (user + system) / 1e6, quantizeSeconds, share, sha256, skipped };
}

const results = { effort: options.effort, threads: Number(options.threads), runs: {} };
for (const kind of ["without", "with"]) {
  const runs = [];
  for (const size of [first, second]) {
    runs.push(await run(kind, size, kind === "with"));
    console.log(kind, runs.at(-1));
  }
  results.runs[kind] = runs;
}
const isSame = results.runs.with.every(({ sha256 }, i) => sha256 === results.runs.without[i].sha256);
console.log(isSame ? "the same bytes with and without" : "DIFFERENT BYTES");
process.exitCode = isSame ? 0 : 1;
writeResult(options.json, results);
rmSync(folder, { recursive: true });
