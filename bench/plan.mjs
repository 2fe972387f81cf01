// Is a planned recipe better than what people use? The tiny model at several sizes: the plan against the best preset
// or llama.cpp quant mix of at most that size and against random allocations of the same size, by the mean KL
// divergence from the source on a text that nothing was calibrated or measured on. Predicted against measured.
//
//   npm run bench:plan -- [--sizes asym-2bit-experts,2.75,3.5,4.5] [--chunks N] [--sensitivity FILE]
//                         [--eval FILE] [--calibration FILE] [--imatrix FILE] [--rivals 3] [--random 5]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { candidateTypes } from "../dist/budget/candidates.js";
import { recipeOf } from "../dist/budget/planned-recipe.js";
import { formatTable } from "../dist/cli/table.js";
import { Engine } from "../dist/engine/engine.js";
import { plan, quantize, readImatrixFile, sensitivity } from "../dist/index.js";
import { openModel } from "../dist/model/open.js";
import { rowCount } from "../dist/model/source.js";
import { rowBytes } from "../dist/quants/types.js";
import { ftypes } from "../dist/recipe/ftypes.js";
import { presetNames } from "../dist/recipe/presets.js";
import { isQuantizable } from "../dist/recipe/quantizable.js";
import { renderRecipe } from "../dist/recipe/render.js";
import { uniform } from "../dist/testing/random.js";
import { compareModels } from "./divergence-job.mjs";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    sizes: { type: "string", default: "asym-2bit-experts,2.75,3.5,4.5" },
    chunks: { type: "string", default: "64" },
    "sensitivity-chunks": { type: "string", default: "32" },
    rounds: { type: "string", default: "4" },
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

let written = 0;

/** Writes the file of a recipe, to be compared later. */
async function made(recipe, name = recipe) {
  const output = join(folder, `${written++}.gguf`);
  const { bytes } = await quantize({ ...common, output, recipe });
  console.error(`  ${name}: ${bytes} bytes`);
  return { name, output, bytes };
}

/** Divergences of all files from the source, position by position, by path. */
async function compare(paths) {
  const found = new Map();
  const onEvent = ({ path, divergences }) => {
    found.set(path, divergences);
    console.error(`  ${found.size} of ${paths.length}: ${mean(divergences).toFixed(6)}`);
  };
  const { eval: text, chunks } = options;
  const params = { reference: model, models: paths, text, chunks: Number(chunks), context: 512, threads };
  await engine.run(compareModels, params, { onEvent });
  return found;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard error of the mean. */
function errorOf(values) {
  const center = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)) / (values.length - 1));
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
    if (item.at > 0) {
      item.at--;
    }
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

/** A budget's plan, its rivals and random recipes, each as a file. */
async function contest(size, all, sensitivityFile) {
  const preset = Number.isNaN(Number(size)) ? await sizeOf(size) : undefined;
  const budget = preset === undefined ? { bpw: Number(size) } : { size: preset.bytes };
  const output = join(folder, `planned-${size}.yaml`);
  const { allowRequantize: _, ...forPlan } = common;
  const planned = await plan({ ...forPlan, ...budget, output, sensitivity: sensitivityFile, engine });
  const ours = await made(output, `plan for ${size}`);
  if (ours.bytes !== planned.bytes) {
    throw new Error(`planned ${planned.bytes} bytes, wrote ${ours.bytes}`);
  }
  const limit = preset?.bytes ?? planned.budget.bytes;
  const smaller = all.filter(({ bytes, tensorBytes }) => (preset ? bytes : tensorBytes) <= limit);
  const theirs = [];
  for (const { name } of smaller.slice(0, Number(options.rivals))) {
    theirs.push(await made(name));
  }
  const random = [];
  for (let seed = 1; seed <= Number(options.random); seed++) {
    random.push(await made(await randomRecipe(planned.tensorBytes, seed), `random ${seed}`));
  }
  return { size, planned, ours, theirs, random };
}

/** One line of the table. */
function verdict({ size, planned, ours, theirs, random }, divergences) {
  const of = ({ name, output, bytes }) => ({ name, bytes, values: divergences.get(output) });
  const best = (results) =>
    results.map(of).sort((a, b) => mean(a.values) - mean(b.values))[0] ?? { values: [Number.NaN] };
  const [own, rival, luckiest] = [of(ours), best(theirs), best(random)];
  const differences = own.values.map((value, i) => value - rival.values[i]);
  return {
    size,
    bytes: own.bytes,
    predicted: planned.predicted,
    measured: mean(own.values),
    measuredError: errorOf(own.values),
    rival: rival.name,
    rivalBytes: rival.bytes,
    rivalKld: mean(rival.values),
    ratio: mean(own.values) / mean(rival.values),
    // Of the difference, position by position: most of the scatter is common to both.
    ratioError: errorOf(differences) / mean(rival.values),
    random: mean(luckiest.values),
    randomRatio: mean(own.values) / mean(luckiest.values),
  };
}

function print(rows) {
  const cells = rows.map((row) => [
    row.size,
    row.bytes,
    row.predicted.toFixed(5),
    `${row.measured.toFixed(5)} ± ${row.measuredError.toFixed(5)}`,
    `${row.rival} (${row.rivalBytes}) ${row.rivalKld.toFixed(5)}`,
    `${row.ratio.toFixed(2)} ± ${row.ratioError.toFixed(2)}`,
    row.random.toFixed(5),
    row.randomRatio.toFixed(2),
  ]);
  const head = ["size", "bytes", "predicted", "measured", "best rival", "ratio", "random", "ratio"];
  console.log(
    formatTable(
      head,
      cells.map((line) => line.map(String)),
      [1, 2, 3, 5, 6, 7],
    ).join("\n"),
  );
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
      rounds: Number(options.rounds),
      imatrix: options.imatrix,
      output: sensitivityFile,
      threads,
      engine,
    });
    await engine.close();
  }
  const all = await rivals();
  const contests = [];
  for (const size of options.sizes.split(",")) {
    contests.push(await contest(size, all, sensitivityFile));
  }
  const files = contests.flatMap(({ ours, theirs, random }) => [ours, ...theirs, ...random]);
  const divergences = await compare(files.map(({ output }) => output));
  const rows = contests.map((each) => verdict(each, divergences));
  print(rows);
  writeResult(options.json, rows);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
