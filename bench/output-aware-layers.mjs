// Layers of the 30B geometry with random weights and made-up second moments, quantized at effort max: the output
// error relative to ggml's encoder, time, memory, and the time that follows for the whole reference case.
//
//   npm run -s build && node bench/output-aware-layers.mjs [--layers 2] [--experts 4] [--threads 2]
//     [--spectra flat:0.6,steep:1] [--rows 48] [--keep FOLDER]
//
// All 128 experts of two layers take hours on two cores; the time of an expert does not depend on the others.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeImatrixFile } from "../dist/imatrix/file.js";
import { openModel } from "../dist/index.js";
import { writeMomentsFile } from "../dist/moments/file.js";
import { inputOf } from "../dist/moments/inputs.js";
import { decodeRows } from "../dist/quants/codec.js";
import { packedRow, unpackSymmetric } from "../dist/quants/output-aware/packed.js";
import { rowBytes } from "../dist/quants/types.js";
import { ggmlEncode } from "../dist/testing/ggml.js";
import { outputError, spectralMoments } from "../dist/testing/moments.js";
import { writeRandomModel } from "./random-model.mjs";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    layers: { type: "string", default: "2" },
    experts: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
    spectra: { type: "string", default: "flat:0.6,steep:1" },
    rows: { type: "string", default: "48" },
    keep: { type: "string" },
    json: { type: "string", default: "out/bench-output-aware-layers.json" },
  },
});
const [layers, experts, sampledRows] = [options.layers, options.experts, options.rows].map(Number);
/** What 65536 tokens of text leave: all of them for a layer's input, 8 of 128 experts each for an expert's. */
const tokens = 65536;
const ofReference = { layers: 48, experts: 128 };
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "lopsided-bench-"));
mkdirSync(folder, { recursive: true });
const model = join(folder, "layers.gguf");
const recipe = join(folder, "experts.yaml");
writeFileSync(
  recipe,
  "name: experts\nbase: COPY\nrules:\n  - { tensors: [routed.gate, routed.up], type: IQ2_S }\n  - { tensors: [routed.down], type: IQ3_S }\n",
);

/** Writes moments and the importance matrix that is their diagonal. Returns the matrices by length. */
async function writeStatistics(decay, momentsPath, imatrixPath, tensors) {
  const matrices = new Map([2048, 768].map((n) => [n, spectralMoments(n, decay)]));
  const contents = new Map();
  const entries = new Map();
  for (const { name, shape } of tensors) {
    const { name: input, routedIn } = inputOf(name);
    const [n] = shape;
    const sums = matrices.get(n);
    const counts = routedIn ? [tokens] : Array(experts).fill((tokens * 8) / ofReference.experts);
    contents.set(input, { name: input, columns: n, counts: Float64Array.from(counts), matrix: () => sums });
    const diagonal = Float32Array.from({ length: n * experts }, (_, i) => 1000 * sums[packedRow(n, i % n)]);
    entries.set(name, { sums: diagonal, counts: new Float64Array(experts).fill(1000) });
  }
  const facts = { datasets: ["made up"], chunkCount: 1, chunkSize: 512 };
  await writeMomentsFile(momentsPath, facts, [...contents.values()]);
  const imatrix = { name: imatrixPath, format: "gguf", entries, priorWeight: undefined, ...facts };
  await writeImatrixFile(imatrixPath, imatrix, "gguf");
  return matrices;
}

/** Sums of the output errors of some rows of the first expert: ours and ggml's. */
async function errorsOf(source, written, matrices) {
  const [n] = source.shape;
  const moments = unpackSymmetric(matrices.get(n), n);
  const importance = Float32Array.from({ length: n }, (_, i) => moments[i * n + i]);
  const decode = (type, bytes) => {
    const values = new Float32Array(sampledRows * n);
    decodeRows(type, bytes.subarray(0, sampledRows * rowBytes(type, n)), values);
    return values;
  };
  const weights = decode(source.type, await source.readRows(0, sampledRows));
  const ours = decode(written.type, await written.readRows(0, sampledRows));
  const theirs = decode(written.type, ggmlEncode(written.type, weights, n, importance));
  return {
    type: written.type,
    ours: outputError(weights, ours, moments, n),
    theirs: outputError(weights, theirs, moments, n),
  };
}

try {
  const weights = await writeRandomModel(model, layers, {
    keep: ({ name }) => /^blk\.\d+\.ffn_\w+_exps\./.test(name),
    experts,
  });
  const share = (layers * experts) / (ofReference.layers * ofReference.experts);
  const results = [];
  for (const spectrum of options.spectra.split(",")) {
    const [name, decay] = spectrum.split(":");
    const paths = { moments: join(folder, "moments.gguf"), imatrix: join(folder, "imatrix.gguf") };
    const source = await openModel(model);
    const matrices = await writeStatistics(Number(decay), paths.moments, paths.imatrix, source.tensors);
    const request = {
      ...paths,
      model,
      output: join(folder, `${name}.gguf`),
      recipe,
      effort: "max",
      threads: Number(options.threads),
      restart: true,
    };
    const script = fileURLToPath(new URL("quantize-once.mjs", import.meta.url));
    const { seconds, cpuSeconds, peakRssBytes } = JSON.parse(
      execFileSync(process.execPath, [script, "lopsided", JSON.stringify(request)], {
        stdio: ["ignore", "pipe", "inherit"],
      }),
    );
    const written = await openModel(request.output);
    const sums = new Map();
    for (const [i, tensor] of source.tensors.entries()) {
      const { type, ours, theirs } = await errorsOf(tensor, written.tensors[i], matrices);
      const sum = sums.get(type) ?? { ours: 0, theirs: 0 };
      sums.set(type, { ours: sum.ours + ours, theirs: sum.theirs + theirs });
    }
    await source.close();
    await written.close();
    const errors = Object.fromEntries([...sums].map(([type, { ours, theirs }]) => [type, ours / theirs]));
    const microseconds = (1e6 * cpuSeconds) / weights;
    const wholeHours = cpuSeconds / share / 3600;
    results.push({ spectrum, weights, seconds, cpuSeconds, microseconds, peakRssBytes, errors, wholeHours });
    console.log(
      `${spectrum}: output error ${Object.entries(errors)
        .map(([type, error]) => `${type} ${error.toFixed(3)}`)
        .join(", ")} of ggml's;`,
      `${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU time, ${microseconds.toFixed(2)} us per weight,`,
      `peak memory ${(peakRssBytes / 1e6).toFixed(0)} MB with ${options.threads} threads;`,
      `all experts of the reference case: ${wholeHours.toFixed(1)} core hours`,
    );
  }
  writeResult(options.json, results);
} finally {
  if (options.keep === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
}
