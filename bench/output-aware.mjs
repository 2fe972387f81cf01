// The tiny model with output-aware encoding, without it, and by llama.cpp's own quantizer at the same types and
// bytes: how far the predictions of each are from those of the BF16 original.
//
//   npm run -s build && node bench/output-aware.mjs [--calibration FILE] [--texts eval.txt,python.txt] [--chunks 0]
//     [--recipes asym,IQ3_S,Q2_K] [--moments routed|all] [--keep FOLDER]
//     [--contenders llama.cpp,default,fine,max]
//
// --moments routed: one matrix per layer for gate and up, one per expert for down; all: one per expert for all
// three, and attention's. --chunks 0: the whole texts. --keep reuses what an earlier run left in the folder. Texts named eval* and the
// calibration text are read with special tokens.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { imatrix as computeImatrix, convert, perplexity, quantize } from "../dist/index.js";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    calibration: { type: "string", default: fixture("text/calibration.txt") },
    texts: { type: "string", default: fixture("text/eval.txt") },
    chunks: { type: "string", default: "0" },
    recipes: { type: "string", default: "asym,IQ3_S,Q2_K" },
    moments: { type: "string", default: "all" },
    contenders: { type: "string", default: "llama.cpp,default,max" },
    threads: { type: "string", default: "2" },
    keep: { type: "string" },
    json: { type: "string", default: "out/bench-output-aware.json" },
  },
});
const threads = Number(options.threads);
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "lopsided-bench-"));
mkdirSync(folder, { recursive: true });
const model = join(folder, "bf16.gguf");
const imatrix = join(folder, "imatrix.gguf");
const moments = join(folder, `${options.moments}.moments.gguf`);

const experts = {
  asym: ["IQ2_S", "IQ3_S"],
  IQ3_S: ["IQ3_S", "IQ3_S"],
  IQ1_S: ["IQ1_S", "IQ1_S"],
  IQ1_M: ["IQ1_M", "IQ1_M"],
  IQ2_XXS: ["IQ2_XXS", "IQ2_XXS"],
  NVFP4: ["NVFP4", "NVFP4"],
  Q2_K: ["Q2_K", "Q2_K"],
};

/** The asymmetric preset with other types for the experts. */
function recipeFor(name) {
  const [gateUp, down] = experts[name];
  const path = join(folder, `${name}.yaml`);
  const rules = [
    `{ tensors: [routed.gate, routed.up, routed.gate_up], type: ${gateUp} }`,
    `{ tensors: [routed.down], type: ${down} }`,
    "{ tensors: [attention], type: Q4_K }",
    "{ tensors: [embedding, output], type: Q6_K }",
  ];
  writeFileSync(path, `name: ${name}\nbase: Q6_K\nrules:\n${rules.map((rule) => `  - ${rule}\n`).join("")}`);
  return path;
}

async function quantizeBy(who, name) {
  const output = join(folder, `${name}-${who === "max" ? `max-${options.moments}` : who}.gguf`);
  const request = { model, output, imatrix, recipe: recipeFor(name), threads, priorWeight: 0 };
  if (existsSync(output)) {
    return output;
  }
  if (who === "max") {
    await quantize({ ...request, effort: "max", moments });
  } else if (who === "default" || who === "fine") {
    await quantize({ ...request, effort: who });
  } else {
    const script = fileURLToPath(new URL("quantize-once.mjs", import.meta.url));
    execFileSync(process.execPath, [script, who, JSON.stringify(request)], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
  return output;
}

try {
  if (!existsSync(model)) {
    await convert({ folder: fixture("tiny-moe"), output: model, type: "BF16" });
  }
  if (!existsSync(imatrix) || !existsSync(moments)) {
    const all = options.moments === "all";
    await computeImatrix({
      model,
      text: options.calibration,
      output: imatrix,
      parseSpecial: true,
      moments,
      momentsPerExpert: all,
      momentsOf: all ? ["routed", "attention"] : ["routed"],
      threads,
    });
  }
  const results = [];
  for (const recipe of options.recipes.split(",")) {
    const files = {};
    for (const who of options.contenders.split(",")) {
      files[who] = await quantizeBy(who, recipe);
    }
    for (const text of options.texts.split(",")) {
      let baseline;
      for (const [who, file] of Object.entries(files)) {
        const { chunks, kld, topAgreement, ppl, pplRatio } = await perplexity({
          model: file,
          reference: model,
          text,
          chunks: Number(options.chunks) || undefined,
          parseSpecial: basename(text).startsWith("eval"),
          threads,
        });
        baseline ??= kld;
        const bytes = statSync(file).size;
        results.push({ recipe, text: basename(text), who, bytes, chunks, kld, topAgreement, ppl, pplRatio });
        const mean = (kld.mean / baseline.mean).toFixed(3);
        console.log(
          `${recipe.padEnd(8)} ${basename(text).padEnd(12)} ${who.padEnd(10)} ${bytes} bytes`,
          `KLD ${kld.mean.toFixed(6)} +- ${kld.meanError.toFixed(6)} (${mean}) p99 ${kld.p99.toFixed(4)}`,
          `top-1 ${(100 * topAgreement).toFixed(2)} % PPL ${ppl.toFixed(4)} (x ${pplRatio.toFixed(4)})`,
        );
      }
    }
  }
  writeResult(options.json, results);
} finally {
  if (options.keep === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
}
