// Sensitivity measured in one sweep over the layers, as for models larger than memory, against the measurement in the
// whole model: plans of the tiny model made with either at several sizes, and their mean KL divergence from the source on
// a text that nothing was measured on.
//
//   node bench/sweep-sensitivity.mjs [--sizes 2.75,3.5,4.5] [--sensitivity-chunks 32] [--chunks 40]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { perplexity, plan, quantize, sensitivity } from "../dist/index.js";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    sizes: { type: "string", default: "2.75,3.5,4.5" },
    "sensitivity-chunks": { type: "string", default: "32" },
    chunks: { type: "string", default: "40" },
    json: { type: "string", default: "out/bench-sweep-sensitivity.json" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const model = fixture("tiny-moe-q8_0.gguf");
const imatrix = fixture("reference/imatrix.gguf");
const engine = new Engine();
const results = { seconds: {}, sizes: [] };
try {
  const files = {};
  for (const [method, layersPerWindow] of [
    ["whole", undefined],
    ["sweep", 1],
  ]) {
    files[method] = join(folder, `${method}.json`);
    const text = fixture("text/calibration.txt");
    const chunks = Number(options["sensitivity-chunks"]);
    const common = { model, text, imatrix, chunks, parseSpecial: true, threads: 1, engine };
    const { seconds } = await sensitivity({ ...common, output: files[method], layersPerWindow });
    results.seconds[method] = seconds;
    console.error(`sensitivity, ${method}: ${seconds.toFixed(1)} s`);
  }
  for (const bpw of options.sizes.split(",").map(Number)) {
    const found = { bpw };
    for (const [method, file] of Object.entries(files)) {
      const [recipe, output] = [join(folder, `${method}.yaml`), join(folder, "planned.gguf")];
      const common = { model, imatrix, threads: 1 };
      await plan({ ...common, bpw, output: recipe, sensitivity: file, engine });
      const { bytes } = await quantize({ ...common, allowRequantize: true, output, recipe });
      const text = fixture("text/eval.txt");
      const chunks = Number(options.chunks);
      const { kld } = await perplexity({ model: output, reference: model, text, chunks, threads: 1, engine });
      found[method] = { bytes, kld: kld.mean, error: kld.meanError };
      rmSync(output);
      rmSync(recipe);
    }
    found.ratio = found.sweep.kld / found.whole.kld;
    results.sizes.push(found);
    console.error(JSON.stringify(found));
  }
  writeResult(options.json, results);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
