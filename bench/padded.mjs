// Experts of 704 columns, as gemma-4-26B-A4B has them, padded to 768 and not: bits, divergence and decoding speed. A tiny
// model of that architecture with random weights, which says nothing about how much a trained one loses; that the
// unquantized one computes the same, what bits its experts get and what they cost in time, it does say.
//
//   node bench/padded.mjs [--recipe asym-2bit-experts] [--chunks 8] [--tokens 256] [--rounds 5] [--threads 1]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../dist/engine/engine.js";
import { computeLogits } from "../dist/engine/jobs.js";
import { imatrix, perplexity, plan, quantize } from "../dist/index.js";
import { openModel } from "../dist/model/open.js";
import { weightCount } from "../dist/model/source.js";
import { writeTinyModel } from "../dist/testing/architectures/write.js";
import { decodeOneByOne } from "./decode-job.mjs";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    recipe: { type: "string", default: "asym-2bit-experts" },
    chunks: { type: "string", default: "8" },
    tokens: { type: "string", default: "256" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "1" },
    json: { type: "string", default: "out/bench-padded.json" },
  },
});
const width = 704;
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const file = (name) => join(folder, name);
const text = (name) => fileURLToPath(new URL(`../fixtures/text/${name}`, import.meta.url));
const threads = Number(options.threads);
const chunks = Number(options.chunks);
const engine = new Engine();
const model = file("model.gguf");
const statistics = file("imatrix.gguf");
const common = { model, threads, engine };
const encoding = { model, imatrix: statistics, threads };

const differenceOf = (some, others) => Math.max(...some.map((value, i) => Math.abs(value - others[i])));

/** Largest difference between logits with and without padding, and between those of tokens together and one by one. */
async function exactness() {
  const padded = file("padded.gguf");
  await quantize({ ...encoding, imatrix: undefined, output: padded, base: "COPY", padExperts: true });
  const tokens = Array.from({ length: 24 }, (_, i) => 3 + 17 * i);
  const logitsOf = (path, more) =>
    engine.run(computeLogits, { model: { path }, tokens, threads: 1, ...more });
  const before = await logitsOf(model);
  return {
    difference: differenceOf(before, await logitsOf(padded)),
    floor: differenceOf(before, await logitsOf(model, { microBatchSize: 1 })),
    largest: Math.max(...before.map(Math.abs)),
  };
}

async function made(what, request) {
  const output = file(`${what}.gguf`.replaceAll(" ", "-"));
  const { bytes, tensorBytes, tensors } = await quantize({ ...encoding, output, ...request });
  const down = tensors.filter(({ name }) => name.endsWith("ffn_down_exps.weight"));
  const { kld } = await perplexity({
    ...common,
    model: output,
    reference: model,
    text: text("eval.txt"),
    chunks,
  });
  const types = [...new Set(down.map(({ to }) => to))].join(", ");
  return { what, output, bytes, tensorBytes, down: types, mean: kld.mean, error: kld.meanError };
}

async function planned(name, size, padExperts) {
  const output = file(`${name}.yaml`);
  const { experts } = await plan({
    ...encoding,
    engine,
    size,
    padExperts,
    output,
    errors: file("errors.jsonl"),
  });
  return { recipe: output, isPadded: experts?.width !== undefined };
}

try {
  await writeTinyModel(engine, "gemma4-odd", model, { expert_feed_forward_length: width });
  await imatrix({ ...common, text: text("calibration.txt"), output: statistics, chunks: 16 });
  const source = await openModel(model);
  const weights = source.tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  await source.close();
  const same = await exactness();
  const plain = await made("plain", { recipe: options.recipe });
  const padded = await made("padded", { recipe: options.recipe, padExperts: true });
  const plans = [];
  for (const padExperts of [false, true]) {
    const { recipe, isPadded } = await planned(`plan-${padExperts}`, padded.bytes, padExperts);
    plans.push({ ...(await made(`plan ${padExperts}`, { recipe })), isPadded });
  }
  const rows = [{ ...plain, isPadded: false }, { ...padded, isPadded: true }, ...plans];
  const seconds = await engine.run(decodeOneByOne, {
    models: rows.map(({ output }) => output),
    tokens: Number(options.tokens),
    rounds: Number(options.rounds),
  });
  const results = {
    recipe: options.recipe,
    weights,
    same,
    rows: rows.map(({ output: _, ...row }, i) => ({
      ...row,
      bits: (8 * row.tensorBytes) / weights,
      tokensPerSecond: 1 / seconds[i],
    })),
  };
  console.log(results);
  writeResult(options.json, results);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
