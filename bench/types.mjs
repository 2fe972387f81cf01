// Encoding speed and error of every type against llama.cpp's ggml_quantize_chunk, in the same run, on one thread.
//
//   npm run bench -- [--types Q4_K,IQ2_S] [--efforts fast,default,fine] [--json out/bench-types.json]
//
// Speed is CPU time: llama.cpp's divided by ours, taken in turns piece by piece, so that whatever else the machine
// does meets both alike. "encode" is encoding alone, which is what llama.cpp is timed for too; "whole" adds what
// quantizing a model does besides: search for damaged weights, decoding of the result, statistics.
// "error" is our importance-weighted squared error divided by llama.cpp's, both after scaling to unit gain.
import { parseArgs } from "node:util";
import { efforts } from "../dist/quants/effort.js";
import { loadKernels, newKernels } from "../dist/quants/kernels/load.js";
import { sharedInput } from "../dist/quants/shared-input.js";
import { transcode } from "../dist/quants/transcode.js";
import { parseTypeName, rowBytes, types } from "../dist/quants/types.js";
import { Workspace } from "../dist/quants/workspace.js";
import { ggmlDecode, ggmlEncode } from "../dist/testing/ggml.js";
import { qualityOf } from "../dist/testing/quality.js";
import { randomRows, realRows } from "../dist/testing/rows.js";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    types: { type: "string" },
    efforts: { type: "string", default: "default" },
    json: { type: "string", default: "out/bench-types.json" },
  },
});
const wantedTypes = options.types
  ? options.types.split(",").map(parseTypeName)
  : [...types.values()].filter(({ canEncode, quantized }) => canEncode && quantized).map(({ name }) => name);
const wantedEfforts = options.efforts.split(",").filter((effort) => efforts.includes(effort));

const { warning } = loadKernels().examine();
if (warning) {
  console.warn(warning);
}
const kernels = newKernels();
const workspace = new Workspace(kernels);

/** Rows of one kind, in the pieces that are timed in turns. */
const workloads = [
  {
    name: "gaussian",
    pieces: Array.from({ length: 8 }, (_, i) => randomRows("gaussian", 32, 2048, true, i)),
  },
  {
    name: "laplacian",
    pieces: Array.from({ length: 8 }, (_, i) => randomRows("laplacian", 32, 2048, true, i)),
  },
  { name: "tiny model", pieces: await realRows(256) },
];

/** CPU seconds that `work` takes, and what it returns. */
function timed(work) {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1e6, result];
}

function encodeAlone(type, { weights, columns, importance }, effort) {
  const rows = weights.length / columns;
  workspace.arrange(columns, rows, 0, rowBytes(type, columns));
  workspace.weights.set(weights);
  if (importance) {
    workspace.importance.set(scaled(importance));
  }
  return timed(() => {
    workspace.encode(
      type,
      workspace.weights,
      columns,
      importance && workspace.importance,
      effort,
      workspace.encoded,
    );
    return workspace.encoded.slice();
  });
}

/** As `transcode` hands it to encoders: the largest value in [1, 2). */
function scaled(importance) {
  const power = 2 ** -Math.floor(Math.log2(Math.max(...importance)));
  return importance.map((value) => value * power);
}

function encodeWhole(type, { label, weights, columns, importance }, effort) {
  const source = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  const slice = {
    label,
    firstRow: 0,
    sourceType: "F32",
    targetType: type,
    columns,
    source,
    importance: importance && sharedInput(importance),
    effort,
  };
  return timed(() => transcode(slice, workspace).bytes);
}

/** Lets llama.cpp fill its tables, and V8 compile with its second compiler. */
function warmUp(type, effort, rows) {
  ggmlEncode(type, rows.weights.subarray(0, rows.columns), rows.columns, rows.importance);
  for (let seconds = 0; seconds < 0.05; ) {
    seconds += encodeAlone(type, rows, effort)[0] + encodeWhole(type, rows, effort)[0];
  }
}

function measure(type, effort, { name, pieces }) {
  const seconds = { ggml: 0, encode: 0, whole: 0 };
  const quality = { ggml: [], ours: [] };
  warmUp(type, effort, pieces[0]);
  for (const rows of pieces) {
    const [ggmlSeconds, theirs] = timed(() => ggmlEncode(type, rows.weights, rows.columns, rows.importance));
    const [encodeSeconds, ours] = encodeAlone(type, rows, effort);
    const [wholeSeconds, whole] = encodeWhole(type, rows, effort);
    if (Buffer.compare(ours, whole) !== 0) {
      throw new Error(`${type}: encoding gives different bytes in a slice`);
    }
    seconds.ggml += ggmlSeconds;
    seconds.encode += encodeSeconds;
    seconds.whole += wholeSeconds;
    quality.ggml.push(qualityOf(rows, ggmlDecode(type, theirs, rows.weights.length)));
    quality.ours.push(qualityOf(rows, ggmlDecode(type, ours, rows.weights.length)));
  }
  const weights = pieces.reduce((sum, rows) => sum + rows.weights.length, 0);
  const mean = (list, key) => list.reduce((sum, item) => sum + item[key], 0) / list.length;
  return {
    type,
    effort,
    rows: name,
    kernel: kernels?.encoder(type) !== undefined,
    weightsPerSecond: weights / seconds.encode,
    ggmlWeightsPerSecond: weights / seconds.ggml,
    speed: seconds.ggml / seconds.encode,
    speedWhole: seconds.ggml / seconds.whole,
    gain: mean(quality.ours, "gain"),
    gainFarthest: quality.ours.map(({ gain }) => gain).sort((a, b) => Math.abs(b - 1) - Math.abs(a - 1))[0],
    ggmlGain: mean(quality.ggml, "gain"),
    error: mean(quality.ours, "error"),
    ggmlError: mean(quality.ggml, "error"),
    errorRatio: mean(quality.ours, "error") / mean(quality.ggml, "error"),
  };
}

const columns = [
  ["type", 8, (r) => r.type],
  ["effort", 8, (r) => r.effort],
  ["rows", 11, (r) => r.rows],
  ["Mw/s", 7, (r) => (r.weightsPerSecond / 1e6).toFixed(1)],
  ["ggml", 7, (r) => (r.ggmlWeightsPerSecond / 1e6).toFixed(1)],
  ["encode", 8, (r) => `${r.speed.toFixed(1)}x`],
  ["whole", 8, (r) => `${r.speedWhole.toFixed(1)}x`],
  ["gain", 8, (r) => r.gain.toFixed(4)],
  ["ggml", 8, (r) => r.ggmlGain.toFixed(4)],
  ["error", 7, (r) => r.errorRatio.toFixed(3)],
  ["", 10, (r) => (r.kernel ? "" : " (no kernel)")],
];
console.log(columns.map(([title, width]) => title.padStart(width)).join(""));
const results = [];
for (const type of wantedTypes) {
  for (const effort of wantedEfforts) {
    for (const workload of workloads) {
      const result = measure(type, effort, workload);
      results.push(result);
      console.log(columns.map(([, width, show]) => show(result).padStart(width)).join(""));
    }
  }
}
writeResult(options.json, results);
console.log(`\nwritten to ${options.json}`);
