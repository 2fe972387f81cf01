// Is a planned recipe better than what people use? The tiny model at several sizes: the plan against the best preset
// or llama.cpp mixture of at most that size and against random allocations of the same size, by the mean KL
// divergence from the source on a text that nothing was calibrated or measured on. Predicted against measured.
//
//   npm run bench:plan -- [--sizes asym-2bit-experts,2.75,3.5,4.5] [--chunks N] [--sensitivity FILE]
//                         [--eval FILE] [--calibration FILE] [--imatrix FILE] [--random 5]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { measurePerplexity, plan, quantize, readImatrixFile, sensitivity } from "../dist/index.js";
import { openModel } from "../dist/model/open.js";
import { rowCount } from "../dist/model/source.js";
import { rowBytes } from "../dist/quants/types.js";
import { candidateTypes } from "../dist/recipe/candidates.js";
import { ftypes } from "../dist/recipe/ftypes.js";
import { recipeOf } from "../dist/recipe/planned-recipe.js";
import { presetNames } from "../dist/recipe/presets.js";
import { isQuantizable } from "../dist/recipe/quantizable.js";
import { renderRecipe } from "../dist/recipe/render.js";
import { uniform } from "../dist/testing/random.js";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    sizes: { type: "string", default: "asym-2bit-experts,2.75,3.5,4.5" },
    chunks: { type: "string", default: "40" },
    "sensitivity-chunks": { type: "string", default: "16" },
    sensitivity: { type: "string" },
    eval: { type: "string", default: fixture("text/eval.txt") },
    calibration: { type: "string", default: fixture("text/calibration.txt") },
    imatrix: { type: "string", default: fixture("reference/imatrix.gguf") },
    random: { type: "string", default: "5" },
    rivals: { type: "string", default: "3" },
    threads: { type: "string", default: "1" },
    json: { type: "string", default: "out/bench-plan.json" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const model = fixture("tiny-moe-q8_0.gguf");
const threads = Number(options.threads);
const engine = new Engine();
const imatrix = await readImatrixFile(options.imatrix);
const common = { model, imatrix: options.imatrix, threads, allowRequantize: true };

async function quantized(recipe) {
  const output = join(folder, "model.gguf");
  rmSync(output, { force: true });
  return quantize({ ...common, output, recipe });
}

/** Size of what a recipe makes, or undefined if it cannot be made. */
async function sizeOf(recipe) {
  const refusals = [];
  const output = join(folder, "model.gguf");
  const onWarning = (warning) => refusals.push(warning);
  try {
    const result = await quantize({ ...common, output, recipe, dryRun: true, onWarning });
    return refusals.some((text) => text.includes("would be refused")) ? undefined : result;
  } catch {
    return undefined;
  }
}

async function divergenceOf(recipe) {
  const { output, bytes } = await quantized(recipe);
  const { kld, topAgreement } = await measurePerplexity({
    model: output,
    reference: model,
    text: options.eval,
    parseSpecial: true,
    chunks: Number(options.chunks),
    threads,
    engine,
  });
  // The engine remembers models by their path, and the next one will have the same.
  await engine.close();
  console.error(`  ${recipe}: ${bytes} bytes, ${kld.mean.toFixed(6)} ± ${kld.meanError.toFixed(6)}`);
  return { recipe, bytes, kld: kld.mean, kldError: kld.meanError, topAgreement };
}

/** Presets and mixtures from large to small. */
async function rivals() {
  const names = [...(await presetNames()), ...ftypes];
  const sizes = await Promise.all(names.map(async (name) => ({ name, size: await sizeOf(name) })));
  return sizes
    .filter(({ size }) => size !== undefined)
    .map(({ name, size }) => ({ name, bytes: size.bytes, tensorBytes: size.tensorBytes }))
    .sort((a, b) => b.bytes - a.bytes);
}

/**
 * A random allocation of at most so many bytes of tensors: every tensor gets any of its types, then tensors drawn
 * at random change by one step until the sum is as near below the budget as no single step can improve.
 */
async function randomRecipe(tensorBytes, seed) {
  const random = uniform(seed);
  const source = await openModel(model);
  const items = source.tensors
    .filter(({ name, shape }) => isQuantizable(name, shape))
    .map((tensor) => {
      const bytesOf = (type) => rowCount(tensor.shape) * rowBytes(type, tensor.shape[0]);
      const types = candidateTypes(tensor, {
        limits: [],
        hasImportance: (name) => imatrix.entries.has(name),
      });
      return { name: tensor.name, types: types.sort((a, b) => bytesOf(a) - bytesOf(b)), bytesOf };
    })
    .map((item) => ({ ...item, at: Math.floor(random() * item.types.length) }));
  const fixed = source.tensors
    .filter(({ name, shape }) => !isQuantizable(name, shape))
    .reduce((sum, { type, shape }) => sum + rowCount(shape) * rowBytes(type, shape[0]), 0);
  await source.close();
  const total = () => items.reduce((sum, { types, at, bytesOf }) => sum + bytesOf(types[at]), fixed);
  while (total() > tensorBytes) {
    const item = items[Math.floor(random() * items.length)];
    if (item.at > 0) item.at--;
  }
  for (const item of items.map((item) => ({ item, key: random() })).sort((a, b) => a.key - b.key)) {
    const { item: chosen } = item;
    while (chosen.at + 1 < chosen.types.length) {
      chosen.at++;
      if (total() > tensorBytes) {
        chosen.at--;
        break;
      }
    }
  }
  const types = items.map(({ name, types, at }) => ({ name, type: types[at] }));
  const path = join(folder, `random-${seed}.yaml`);
  writeFileSync(path, renderRecipe(recipeOf(`random-${seed}`, "random", types)));
  return path;
}

/** Of several results the one with the least divergence; NaN without any. */
function best(results) {
  if (results.length === 0) return { kld: Number.NaN, name: "none" };
  return results.reduce((a, b) => (b.kld < a.kld ? b : a));
}

try {
  const sensitivityFile = options.sensitivity ?? join(folder, "sensitivity.json");
  if (options.sensitivity === undefined) {
    console.log("measuring the sensitivity ...");
    await sensitivity({
      model,
      text: options.calibration,
      parseSpecial: true,
      chunks: Number(options["sensitivity-chunks"]),
      imatrix: options.imatrix,
      output: sensitivityFile,
      threads,
      engine,
    });
    await engine.close();
  }
  const all = await rivals();
  const rows = [];
  const columns = ["size", "bytes", "predicted", "plan", "rival", "", "ratio", "random", "ratio"];
  const widths = [18, 9, 10, 18, 10, 18, 6, 10, 6];
  const line = (cells) => cells.map((cell, i) => String(cell).padStart(widths[i])).join("  ");
  console.log(line(columns));
  for (const size of options.sizes.split(",")) {
    const preset = Number.isNaN(Number(size)) ? await sizeOf(size) : undefined;
    const budget = preset === undefined ? { bpw: Number(size) } : { size: preset.bytes };
    const output = join(folder, "planned.yaml");
    const planned = await plan({ ...common, ...budget, output, sensitivity: sensitivityFile, engine });
    const ours = await divergenceOf(output);
    const limit = preset?.bytes ?? planned.budget.bytes;
    const smaller = all.filter(({ bytes, tensorBytes }) => (preset ? bytes : tensorBytes) <= limit);
    const theirs = [];
    for (const { name } of smaller.slice(0, Number(options.rivals))) {
      theirs.push({ ...(await divergenceOf(name)), name });
    }
    const random = [];
    for (let seed = 1; seed <= Number(options.random); seed++) {
      random.push(await divergenceOf(await randomRecipe(planned.tensorBytes, seed)));
    }
    const [rival, luckiest] = [best(theirs), best(random)];
    rows.push({ size, planned, ours, theirs, random });
    console.log(
      line([
        size,
        ours.bytes,
        planned.predicted.toFixed(5),
        `${ours.kld.toFixed(5)} ± ${ours.kldError.toFixed(5)}`,
        rival.kld.toFixed(5),
        rival.name,
        (ours.kld / rival.kld).toFixed(3),
        luckiest.kld.toFixed(5),
        (ours.kld / luckiest.kld).toFixed(3),
      ]),
    );
  }
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify(rows, undefined, 2)}\n`);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
