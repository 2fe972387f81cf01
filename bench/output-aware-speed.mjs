// Output-aware encoding on the reference model's expert shapes with made-up weights and inputs: CPU time per weight
// beside ggml's at the same type in the same run, the output error relative to ggml's, and what an expert's inputs take
// to be made ready: sums over kept activations, and factors. All of it for one expert and, by multiplication, for all.
//
//   npm run -s build && node bench/output-aware-speed.mjs [--rows 128] [--shapes IQ2_S:2048,IQ3_S:768] [--passes 0,1,2]
//     [--spectra flat:0.6,steep:1] [--tokens 4096]
//
// The first shape is that of gate and up, the second that of down.
import { parseArgs } from "node:util";
import { decodeRows } from "../dist/quants/codec.js";
import { newKernels } from "../dist/quants/kernels/load.js";
import { defaultOptions } from "../dist/quants/output-aware/encode-row.js";
import { ExpertMoments } from "../dist/quants/output-aware/expert-moments.js";
import { channelScales, keepRow } from "../dist/quants/output-aware/kept-rows.js";
import { loadOutputAwareKernels } from "../dist/quants/output-aware/load.js";
import { unpackSymmetric } from "../dist/quants/output-aware/packed.js";
import { OutputAwareKernels } from "../dist/quants/output-aware/simd.js";
import { sharedInput } from "../dist/quants/shared-input.js";
import { transcode } from "../dist/quants/transcode.js";
import { rowBytes } from "../dist/quants/types.js";
import { Workspace } from "../dist/quants/workspace.js";
import { ggmlEncode } from "../dist/testing/ggml.js";
import { outputError, spectralMoments } from "../dist/testing/moments.js";
import { fill, gaussian } from "../dist/testing/random.js";
import { writeResult } from "./result.mjs";

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "128" },
    shapes: { type: "string", default: "IQ2_S:2048,IQ3_S:768" },
    passes: { type: "string", default: `0,1,${defaultOptions.passes}` },
    spectra: { type: "string", default: "flat:0.6,steep:1" },
    tokens: { type: "string", default: "4096" },
    json: { type: "string", default: "out/bench-output-aware-speed.json" },
  },
});
const rows = Number(options.rows);
const tokens = Number(options.tokens);
const reference = { layers: 48, experts: 128 };
const { module } = loadOutputAwareKernels();
const workspace = new Workspace(newKernels());
const results = [];

/** Runs something and returns its result and the CPU time it took. */
function timed(run) {
  const begin = process.cpuUsage().user;
  const result = run();
  return [result, (process.cpuUsage().user - begin) / 1e6];
}

function decoded(type, bytes, count) {
  const values = new Float32Array(count);
  decodeRows(type, bytes, values);
  return values;
}

for (const shape of options.shapes.split(",")) {
  const [type, text] = shape.split(":");
  const n = Number(text);
  const weights = fill(rows * n, gaussian(3)).map((value) => 0.02 * value);
  // The first call of a type makes its tables.
  ggmlEncode(type, weights.subarray(0, n), n, new Float32Array(n).fill(1));
  const perWeight = (seconds) => (1e6 * seconds) / rows / n;
  for (const spectrum of options.spectra.split(",")) {
    const [name, decay] = spectrum.split(":");
    const moments = unpackSymmetric(spectralMoments(n, Number(decay)), n);
    const importance = Float32Array.from({ length: n }, (_, i) => moments[i * n + i]);
    const slice = {
      label: "bench",
      firstRow: 0,
      sourceType: "F32",
      targetType: type,
      columns: n,
      source: new Uint8Array(weights.slice().buffer),
      importance: sharedInput(importance),
      effort: "fine",
    };
    // The compiler has its time first, here and below.
    transcode(slice, workspace);
    const [{ bytes }, startSeconds] = timed(() => transcode(slice, workspace));
    const start = decoded(type, bytes, rows * n);
    const [theirBytes, theirSeconds] = timed(() => ggmlEncode(type, weights, n, importance));
    const theirs = outputError(weights, decoded(type, theirBytes, rows * n), moments, n);
    const encoder = new OutputAwareKernels(module);
    const [, prepareSeconds] = timed(() => encoder.prepare(type, { moments, columns: n, ridge: 0.05 }));
    const stride = rowBytes(type, n);
    for (const passes of options.passes.split(",").map(Number)) {
      const settings = { ...defaultOptions, passes };
      const out = bytes.slice();
      encoder.encodeRows(weights.subarray(0, 32 * n), start, out.slice(0, 32 * stride), settings);
      const [, seconds] = timed(() => encoder.encodeRows(weights, start, out, settings));
      const error = outputError(weights, decoded(type, out, rows * n), moments, n) / theirs;
      const result = {
        type,
        columns: n,
        spectrum: name,
        passes,
        microsecondsPerWeight: perWeight(seconds),
        diagonalMicroseconds: perWeight(startSeconds),
        ggmlMicroseconds: perWeight(theirSeconds),
        error,
        diagonalError: outputError(weights, start, moments, n) / theirs,
        factorSeconds: prepareSeconds,
      };
      results.push(result);
      console.log(
        `${type} ${n} ${spectrum.padEnd(9)} ${passes} passes: ${result.microsecondsPerWeight.toFixed(3)} us per weight`,
        `(before that ${result.diagonalMicroseconds.toFixed(3)} for the diagonal encoder; ggml ${result.ggmlMicroseconds.toFixed(3)}),`,
        `output error ${error.toFixed(3)} of ggml's (diagonal encoder ${result.diagonalError.toFixed(3)}),`,
        `factor ${result.factorSeconds.toFixed(2)} s`,
      );
    }
  }
}
writeResult(options.json, { encoding: results, expert: expert() });

/** What an expert of these shapes takes: its inputs' sums and factors, and its weights. */
function expert() {
  const [[wide, columns], [narrow, width]] = options.shapes.split(",").map((shape) => shape.split(":"));
  const [n, d] = [Number(columns), Number(width)];
  const values = fill(tokens * n, gaussian(7));
  const channels = channelScales(values.subarray(0, 64 * n), n);
  const codes = new Uint8Array(tokens * n);
  const scales = Float32Array.from({ length: tokens }, (_, token) =>
    keepRow(values.subarray(token * n, (token + 1) * n), channels, 8, codes, token * n),
  );
  const kept = {
    columns: n,
    bits: 8,
    tokens,
    codes,
    scales,
    channels,
    slots: 1,
    experts: new Uint16Array(tokens),
    weights: new Float32Array(tokens).fill(0.125),
    hidden: new Float32Array(1),
  };
  const matrix = (seed) => ({
    type: "F32",
    bytes: new Uint8Array(fill(d * n, gaussian(seed)).map((value) => 0.02 * value).buffer),
  });
  const request = {
    name: "bench",
    layer: { sha256: "", columns: n, parts: [kept] },
    expert: 0,
    // Enough for nothing to be mixed in.
    vectors: 8 * n,
  };
  const weights = { sha256: "", width: d, gate: matrix(8), up: matrix(9), activation: "swiglu" };
  const moments = new ExpertMoments(module);
  const encoder = new OutputAwareKernels(module);
  const seconds = {};
  for (const [name, type, length, given] of [
    ["gate and up", wide, n, request],
    ["down", narrow, d, { ...request, vectors: 1, weights }],
  ]) {
    moments.of(given);
    const [sums, sumSeconds] = timed(() => moments.of(given));
    const [, factorSeconds] = timed(() =>
      encoder.prepare(type, { moments: sums, columns: length, ridge: 0.05 }),
    );
    const own = results.filter((result) => result.type === type && result.passes === defaultOptions.passes);
    const perWeight =
      own.reduce((sum, result) => sum + result.microsecondsPerWeight + result.diagonalMicroseconds, 0) /
      own.length;
    const count = (name === "down" ? 1 : 2) * n * d;
    seconds[name] = { sums: sumSeconds, factor: factorSeconds, encoding: (count * perWeight) / 1e6 };
  }
  const whole = Object.values(seconds).reduce(
    (sum, part) => sum + part.sums + part.factor + part.encoding,
    0,
  );
  const microsecondsPerWeight = (1e6 * whole) / (3 * n * d);
  const coreHours = (whole * reference.layers * reference.experts) / 3600;
  console.log(
    `an expert with ${tokens} tokens: ${whole.toFixed(2)} s, ${microsecondsPerWeight.toFixed(2)} us per weight;`,
    `${reference.layers} layers of ${reference.experts}: ${coreHours.toFixed(1)} core hours;`,
    JSON.stringify(seconds, (_, value) => (typeof value === "number" ? Number(value.toFixed(2)) : value)),
  );
  return { tokens, seconds, microsecondsPerWeight, coreHours };
}
