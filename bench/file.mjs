// A whole file against llama_model_quantize of the same library: the reference case's shapes with random weights,
// two layers (1.9 billion weights), recipe asym-2bit-experts, the same types, importance and number of threads.
//
//   npm run bench:file -- [--layers 2] [--threads 2] [--recipe asym-2bit-experts] [--folder DIR] [--json FILE]
//
// Needs about 3.5 GB of disk and several minutes. CPU time is the figure to trust on a busy machine.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeRandomImatrix, writeRandomModel } from "./random-model.mjs";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    layers: { type: "string", default: "2" },
    threads: { type: "string", default: "2" },
    recipe: { type: "string", default: "asym-2bit-experts" },
    folder: { type: "string" },
    json: { type: "string", default: "out/bench-file.json" },
  },
});
const layers = Number(options.layers);
const threads = Number(options.threads);
const folder = options.folder ?? mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const model = join(folder, "random.gguf");
const imatrix = join(folder, "random-imatrix.gguf");

function once(who) {
  const output = join(folder, `${who}.gguf`);
  const request = { model, output, imatrix, recipe: options.recipe, threads };
  const script = fileURLToPath(new URL("quantize-once.mjs", import.meta.url));
  const line = execFileSync(process.execPath, [script, who, JSON.stringify(request)], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  rmSync(output);
  return JSON.parse(line);
}

try {
  const weights = await writeRandomModel(model, layers);
  await writeRandomImatrix(imatrix, layers);
  console.log(`${(weights / 1e9).toFixed(2)} billion weights, ${options.recipe}, ${threads} threads`);
  const show = (who, run) =>
    console.log(
      `${who.padEnd(10)} ${run.seconds.toFixed(1)} s, ${run.cpuSeconds.toFixed(1)} s of CPU time, ` +
        `${(weights / run.seconds / 1e6).toFixed(1)} million weights/s, peak memory ${(run.peakRssBytes / 1e6).toFixed(0)} MB`,
    );
  const ours = once("lopsided");
  show("lopsided", ours);
  const theirs = once("llama.cpp");
  show("llama.cpp", theirs);
  const speed = theirs.seconds / ours.seconds;
  const cpuSpeed = theirs.cpuSeconds / ours.cpuSeconds;
  console.log(`${speed.toFixed(1)} times as fast, ${cpuSpeed.toFixed(1)} times by CPU time`);

  const result = { weights, layers, threads, recipe: options.recipe, ours, theirs, speed, cpuSpeed };
  writeResult(options.json, result);
} finally {
  if (options.folder === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
}
