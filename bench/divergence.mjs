// A whole model decides: the tiny model, quantized by Lopsided and by llama.cpp with the same types and the same
// importance matrix, and how far the predictions of each are from those of the BF16 original. A mean is known only to
// its standard error: on text that the model predicts well a few positions decide it, and the median says more.
//
//   npm run bench:divergence -- [--recipes asym-2bit-experts,Q4_K_M,IQ2_XXS,Q2_K] [--texts FILE,...] [--chunks N]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { convert, perplexity } from "../dist/index.js";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    recipes: { type: "string", default: "asym-2bit-experts,Q4_K_M,IQ2_XXS,Q2_K" },
    texts: { type: "string", default: fixture("text/eval.txt") },
    chunks: { type: "string", default: "32" },
    effort: { type: "string", default: "default" },
    threads: { type: "string", default: "2" },
    json: { type: "string", default: "out/bench-divergence.json" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const model = join(folder, "bf16.gguf");
const threads = Number(options.threads);

function quantizeBy(who, recipe) {
  const output = join(folder, `${who}-${recipe}.gguf`);
  const { effort } = options;
  const request = { model, output, imatrix: fixture("reference/imatrix.gguf"), recipe, effort, threads };
  const script = fileURLToPath(new URL("quantize-once.mjs", import.meta.url));
  execFileSync(process.execPath, [script, who, JSON.stringify(request)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return output;
}

async function divergence(quantized, text) {
  const chunks = Number(options.chunks);
  const parseSpecial = basename(text).startsWith("eval");
  const result = await perplexity({
    model: quantized,
    reference: model,
    text,
    chunks,
    parseSpecial,
    threads,
  });
  return { kld: result.kld, topAgreement: result.topAgreement, ppl: result.ppl };
}

try {
  await convert({ folder: fixture("tiny-moe"), output: model, type: "BF16" });
  const results = [];
  const row = (...cells) => console.log(cells.map((cell) => cell.padEnd(20)).join(""));
  row("recipe", "text", "lopsided", "llama.cpp", "ratio of means", "ratio of medians");
  for (const recipe of options.recipes.split(",")) {
    const [ours, theirs] = ["lopsided", "llama.cpp"].map((who) => quantizeBy(who, recipe));
    for (const text of options.texts.split(",")) {
      const a = await divergence(ours, text);
      const b = await divergence(theirs, text);
      const ratio = a.kld.mean / b.kld.mean;
      const medianRatio = a.kld.median / b.kld.median;
      results.push({ recipe, text: basename(text), ours: a, theirs: b, ratio, medianRatio });
      const mean = ({ kld }) => `${kld.mean.toFixed(5)} ±${kld.meanError.toFixed(5)}`;
      row(recipe, basename(text), mean(a), mean(b), ratio.toFixed(3), medianRatio.toFixed(3));
    }
  }
  writeResult(options.json, results);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
