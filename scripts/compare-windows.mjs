// Runs every model of a folder whole and in the smallest windows that its layers can be cut into, and compares all
// statistics of its inputs and the perplexity, to the bit: what the table in src/model/window-facts.ts says must hold.
//
//   node scripts/compare-windows.mjs FOLDER [PART OF A NAME ...]
//
// A model must have at least two layers of every kind to be cut at all; tiny random ones do.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Engine } from "../dist/engine/engine.js";
import { perplexity } from "../dist/evaluate/measure.js";
import { imatrix } from "../dist/imatrix/compute.js";
import { readImatrixFile } from "../dist/imatrix/file.js";
import { openModel } from "../dist/model/open.js";
import { planPrediction } from "../dist/model/prediction-facts.js";
import { windowStarts } from "../dist/model/window-facts.js";

const text = fileURLToPath(new URL("../fixtures/text/calibration.txt", import.meta.url));
const [folder, ...parts] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node scripts/compare-windows.mjs FOLDER [PART OF A NAME ...]");
  process.exit(2);
}

/** All that is computed of a model. */
async function figures(engine, model, output, options) {
  // Longer chunks than the attention windows of tiny models.
  const run = { model, text, ctx: 256, chunks: 3, threads: 1, engine, ...options };
  const { mtp, ...others } = run;
  await imatrix({ ...others, mtp, output, processOutput: true });
  const { entries } = await readImatrixFile(output);
  return { entries, ppl: (await perplexity(others)).ppl };
}

function firstDifference(a, b) {
  for (const [name, { sums }] of a.entries) {
    const other = b.entries.get(name)?.sums;
    if (other === undefined || sums.some((sum, i) => !Object.is(sum, other[i]))) {
      return name;
    }
  }
  return Object.is(a.ppl, b.ppl) ? undefined : `the perplexity (${a.ppl} and ${b.ppl})`;
}

async function compare(model, temporary) {
  const source = await openModel(model);
  const starts = windowStarts(source.metadata);
  const mtp = planPrediction(source)?.inWindows !== false;
  await source.close();
  if (starts === undefined || starts.length < 2) {
    return starts === undefined ? "runs whole" : "has too few layers to be cut";
  }
  const engine = new Engine();
  try {
    const whole = await figures(engine, model, join(temporary, "whole.gguf"), { mtp });
    const windows = await figures(engine, model, join(temporary, "windows.gguf"), {
      mtp,
      layersPerWindow: 1,
    });
    const difference = firstDifference(whole, windows);
    return `windows from ${starts.join(", ")}: ${difference === undefined ? "equal" : `DIFFERS in ${difference}`}`;
  } catch (error) {
    return `FAILED: ${error.message}`;
  } finally {
    await engine.close();
  }
}

for (const file of (await readdir(folder)).sort()) {
  if (!file.endsWith(".gguf") || (parts.length > 0 && !parts.some((part) => file.includes(part)))) {
    continue;
  }
  const temporary = await mkdtemp(join(tmpdir(), "lopsided-windows-"));
  try {
    const outcome = await compare(join(folder, file), temporary);
    console.log(`${file}: ${outcome}`);
    if (/DIFFERS|FAILED/.test(outcome)) {
      process.exitCode = 1;
    }
  } finally {
    await rm(temporary, { recursive: true });
  }
}
