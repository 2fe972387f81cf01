// What it costs to leave out experts, on the tiny model and the texts that ship with Lopsided.
//
// fit: without quantization, 15 to 8 of 16 experts: divergence over what `plan` weighs, the factor that it takes. sizes: at
// some sizes fewer bits, 12 of 16 experts at more bits, and what `plan --prune auto` chooses. merging: 12 of 16 experts
// by dropping four, and by averaging each of the four with the kept one that is most like it.
//
//   node bench/pruning.mjs [--only fit,sizes,merging] [--bpw 1.7,2.25,3.5] [--chunks 8] [--threads 1] [--keep FOLDER]
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { lossToWeigh } from "../dist/budget/expert-variants.js";
import { modelFingerprint } from "../dist/budget/model-fingerprint.js";
import { FileSource } from "../dist/bytes/source.js";
import { Engine } from "../dist/engine/engine.js";
import { readGgufHeader } from "../dist/gguf/reader.js";
import { chooseExperts } from "../dist/imatrix/expert-choice.js";
import { imatrix, perplexity, plan, prune, quantize, readImatrixFile, sensitivity } from "../dist/index.js";
import { openModel } from "../dist/model/open.js";
import { rowCount } from "../dist/model/source.js";
import { ggmlDecode, ggmlEncode } from "../dist/testing/ggml.js";
import { writeResult } from "./result.mjs";
import { shippedTexts } from "./shipped-texts.mjs";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "fit,sizes,merging" },
    bpw: { type: "string", default: "1.7,2.25,3.5" },
    chunks: { type: "string", default: "8" },
    threads: { type: "string", default: "1" },
    keep: { type: "string" },
    json: { type: "string", default: "out/bench-pruning.json" },
  },
});
const model = fileURLToPath(new URL("../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "lopsided-bench-"));
mkdirSync(folder, { recursive: true });
const file = (name) => join(folder, name);
const threads = Number(options.threads);
const engine = new Engine();
const common = { model, threads, engine };
const statistics = file("imatrix.gguf");
const sensitivityFile = file("sensitivity.json");
const kept = 12;

/** Divergence of a model from the source: of all texts together, and of each. */
async function divergence(path, texts) {
  const chunks = Number(options.chunks);
  const result = await perplexity({
    ...common,
    model: path,
    reference: model,
    text: texts.evaluation,
    chunks,
  });
  return {
    mean: result.kld.mean,
    error: result.kld.meanError,
    texts: result.texts.map(({ name, kld }) => ({ name, mean: kld.mean })),
  };
}

async function pruned(experts) {
  const output = file(`experts-${experts}.gguf`);
  const imatrixOutput = file(`experts-${experts}-imatrix.gguf`);
  if (!existsSync(imatrixOutput)) {
    await prune({ model, output, experts, imatrix: statistics, imatrixOutput, threads: 0 });
  }
  return { model: output, imatrix: imatrixOutput };
}

async function fit(source, texts) {
  const { tensors } = JSON.parse(readFileSync(sensitivityFile, "utf8"));
  const alphas = { name: "measured", alphas: new Map(tensors.map(({ name, alpha }) => [name, alpha])) };
  const known = await readImatrixFile(statistics);
  const results = [];
  for (const experts of [15, 14, 13, 12, 10, 8]) {
    const choices = await chooseExperts(source, known, experts);
    const lost = choices.reduce((sum, choice) => sum + choice.lost, 0) / choices.length;
    const weighed = lossToWeigh(choices, alphas);
    const { mean, error } = await divergence((await pruned(experts)).model, texts);
    results.push({ experts, lost, weighed, mean, error, factor: mean / weighed });
    console.log(results.at(-1));
  }
  return results;
}

async function sizes(texts) {
  const { model: smaller, imatrix: smallerStatistics } = await pruned(kept);
  const source = await openModel(smaller);
  const measured = JSON.parse(readFileSync(sensitivityFile, "utf8"));
  const ofSmaller = file("pruned-sensitivity.json");
  writeFileSync(ofSmaller, JSON.stringify({ ...measured, fingerprint: await modelFingerprint(source) }));
  await source.close();
  const made = async (name, from, sizing) => {
    const recipe = file(`${name}.yaml`);
    const output = file(`${name}.gguf`);
    const errors = file("errors.jsonl");
    const planned = await plan({ ...common, ...from, ...sizing, output: recipe, errors });
    const { model: path, imatrix: importance } = from;
    await quantize({
      model: path,
      output,
      recipe,
      imatrix: importance,
      allowRequantize: true,
      restart: true,
      threads,
    });
    const { bytes, bpw, predicted, experts, weighed } = planned;
    return { output, bytes, bpw, predicted, weighed, experts: experts?.count?.after };
  };
  const whole = { model, imatrix: statistics, sensitivity: sensitivityFile };
  const results = [];
  for (const bpw of options.bpw.split(",").map(Number)) {
    const all = await made(`all-${bpw}`, whole, { bpw });
    const size = all.bytes;
    const fewer = { model: smaller, imatrix: smallerStatistics, sensitivity: ofSmaller };
    const some = await made(`some-${bpw}`, fewer, { size });
    const chosen = await made(`chosen-${bpw}`, whole, { size, prune: "auto" });
    const ofAll = { experts: 16, ...(await divergence(all.output, texts)) };
    const ofSome = { experts: kept, ...(await divergence(some.output, texts)) };
    // If it keeps all, it is the first one again.
    const ofChosen =
      chosen.experts === undefined
        ? ofAll
        : { experts: chosen.experts, ...(await divergence(chosen.output, texts)) };
    const row = (what, { bytes, bpw, predicted, weighed }, measured) => ({
      what,
      bytes,
      bpw,
      predicted,
      weighed,
      ...measured,
    });
    results.push({
      bpw,
      rows: [
        row("all experts, fewer bits", all, ofAll),
        row(`${kept} of 16 experts, more bits`, some, ofSome),
        row("`plan --prune auto`", chosen, ofChosen),
      ],
    });
    console.log(JSON.stringify(results.at(-1)));
  }
  return results;
}

const matrices = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];

async function merging(source, texts) {
  const known = await readImatrixFile(statistics);
  const choices = await chooseExperts(source, known, kept);
  const dropped = await pruned(kept);
  const results = [{ what: "dropped", ...(await divergence(dropped.model, texts)) }];
  for (const [what, averagesRouter] of [
    ["merged, router's rows of the kept", false],
    ["merged, router's rows averaged too", true],
  ]) {
    const output = file("merged.gguf");
    copyFileSync(dropped.model, output);
    await mergeInto(output, source, choices, known, averagesRouter);
    results.push({ what, ...(await divergence(output, texts)) });
    console.log(results.at(-1));
  }
  return results;
}

/** Overwrites the experts of a pruned file by averages, by the tokens that each saw, with the dropped ones like them. */
async function mergeInto(path, source, choices, known, averagesRouter) {
  const bytes = await FileSource.open(path);
  const { tensors } = await readGgufHeader(bytes);
  await bytes.close();
  const placeOf = new Map(tensors.map(({ name, offset }) => [name, offset]));
  const handle = openSync(path, "r+");
  for (const { layer, kept: stay, dropped } of choices) {
    const names = [...matrices, "ffn_gate_inp"].map((stem) => `blk.${layer}.${stem}.weight`);
    const parts = new Map();
    for (const name of names) {
      parts.set(name, await partsOf(source.tensors.find((tensor) => tensor.name === name)));
    }
    const { counts } = known.entries.get(`blk.${layer}.ffn_down_exps.weight`);
    const likeness = (a, b) =>
      names
        .slice(0, 3)
        .reduce((sum, name) => sum + cosine(parts.get(name).values[a], parts.get(name).values[b]), 0);
    const groups = new Map(stay.map((expert) => [expert, [expert]]));
    for (const expert of dropped) {
      const [nearest] = [...stay].sort((a, b) => likeness(expert, b) - likeness(expert, a));
      groups.get(nearest).push(expert);
    }
    for (const name of averagesRouter ? names : names.slice(0, 3)) {
      const { values, type, columns, partBytes } = parts.get(name);
      for (const [index, expert] of stay.entries()) {
        const members = groups.get(expert);
        if (members.length > 1) {
          const merged = average(members.map((member) => [values[member], counts[member]]));
          const encoded = type === "F32" ? new Uint8Array(merged.buffer) : ggmlEncode(type, merged, columns);
          writeSync(handle, encoded, 0, partBytes, placeOf.get(name) + index * partBytes);
        }
      }
    }
  }
}

/** A tensor's weights by expert: its last dimension. */
async function partsOf({ type, shape, readRows }) {
  const experts = shape.at(-1);
  const rows = rowCount(shape) / experts;
  const values = [];
  let partBytes = 0;
  for (let expert = 0; expert < experts; expert++) {
    const bytes = await readRows(expert * rows, rows);
    partBytes = bytes.length;
    const weights = rows * shape[0];
    values.push(type === "F32" ? new Float32Array(bytes.slice().buffer) : ggmlDecode(type, bytes, weights));
  }
  return { values, type, columns: shape[0], partBytes };
}

function cosine(a, b) {
  let [product, first, second] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    product += value * b[i];
    first += value * value;
    second += b[i] * b[i];
  }
  return product / Math.sqrt(first * second);
}

function average(members) {
  const total = members.reduce((sum, [, count]) => sum + count, 0);
  const result = new Float32Array(members[0][0].length);
  for (const [values, count] of members) {
    for (const [i, value] of values.entries()) {
      result[i] += (count / total) * value;
    }
  }
  return result;
}

const parts = options.only.split(",");
const source = await openModel(model);
try {
  const texts = await shippedTexts(folder, model);
  const text = { text: texts.calibration, parseSpecial: true };
  if (!existsSync(statistics)) {
    await imatrix({ ...common, ...text, output: statistics, chunks: 128, expertOutputs: true });
  }
  if (!existsSync(sensitivityFile)) {
    await sensitivity({ ...common, ...text, output: sensitivityFile, chunks: 8, imatrix: statistics });
  }
  const results = {
    chunks: Number(options.chunks),
    ...(parts.includes("fit") && { fit: await fit(source, texts) }),
    ...(parts.includes("sizes") && { sizes: await sizes(texts) }),
    ...(parts.includes("merging") && { merging: await merging(source, texts) }),
  };
  writeResult(options.json, results);
} finally {
  await source.close();
  await engine.close();
  if (options.keep === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
}
