// Output-aware encoding on the reference model's expert shapes with made-up weights and moments: CPU time per
// weight beside ggml's at the same type in the same run, time of a factor, and the output error relative to ggml's.
//
//   npm run -s build && node bench/output-aware-speed.mjs [--rows 128] [--shapes IQ2_S:2048,IQ3_S:768] [--passes 0,2,4]
//     [--spectra flat:0.6,steep:1]
import { parseArgs } from "node:util";
import { decodeRows } from "../dist/quants/codec.js";
import { newKernels } from "../dist/quants/kernels/load.js";
import { defaultOptions } from "../dist/quants/output-aware/encode-row.js";
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
    passes: { type: "string", default: `0,2,${defaultOptions.passes}` },
    spectra: { type: "string", default: "flat:0.6,steep:1" },
    json: { type: "string", default: "out/bench-output-aware-speed.json" },
  },
});
const rows = Number(options.rows);
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
      // The compiler has its time first.
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
writeResult(options.json, results);
