// Output-aware encoding on the reference model's expert shapes with made-up weights and moments: processor time per
// weight, time of a factor, and the output error against ggml's at the same type (diagonal importance = the moments' diagonal).
//
//   node bench/output-aware-speed.mjs [--rows 128] [--shapes IQ2_S:2048,IQ3_S:768]
import { parseArgs } from "node:util";
import { decodeRows, encodeRows, rowBytes } from "../dist/index.js";
import { factorize } from "../dist/quants/output-aware/factor.js";
import { formats } from "../dist/quants/output-aware/formats.js";
import { packedRow, unpackSymmetric } from "../dist/quants/output-aware/packed.js";
import { loadOutputAwareKernels, OutputAwareKernels } from "../dist/quants/output-aware/simd.js";
import { ggmlEncode } from "../dist/testing/ggml.js";
import { outputError } from "../dist/testing/moments.js";
import { fill, gaussian } from "../dist/testing/random.js";

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "128" },
    shapes: { type: "string", default: "IQ2_S:2048,IQ3_S:768" },
  },
});
const seconds = () => process.cpuUsage().user / 1e6;

/**
 * Moments of full rank whose eigenvalues fall off as 1 / k^decay, with cosines of mixed order as eigenvectors
 * (so H_ij depends on i - j and i + j alone), and columns of different size.
 */
function spectrum(n, decay) {
  const order = Array.from({ length: n }, (_, k) => (k * 769 + 1) % n);
  const wave = new Float64Array(2 * n);
  for (let m = 0; m < 2 * n; m++) {
    for (let k = 0; k < n; k++) wave[m] += (k + 1) ** -decay * Math.cos((Math.PI * order[k] * m) / n);
  }
  const next = gaussian(9);
  const size = Float64Array.from({ length: n }, () => Math.exp(0.5 * next()));
  const sums = new Float32Array((n * (n + 1)) / 2);
  for (let i = 0; i < n; i++) {
    const at = packedRow(n, i) - i;
    for (let j = i; j < n; j++) sums[at + j] = size[i] * size[j] * (wave[j - i] + wave[i + j + 1]);
  }
  return sums;
}

for (const shape of options.shapes.split(",")) {
  const [type, text] = shape.split(":");
  const n = Number(text);
  const rows = Number(options.rows);
  const weights = fill(rows * n, gaussian(3)).map((value) => 0.02 * value);
  for (const [name, decay] of [
    ["flat", 0.5],
    ["steep", 1.5],
  ]) {
    const moments = unpackSymmetric(spectrum(n, decay), n);
    const importance = Float32Array.from({ length: n }, (_, i) => moments[i * n + i]);
    let begin = seconds();
    const factor = factorize(moments, n, formats[type].unit, 0.1, loadOutputAwareKernels());
    const factorSeconds = seconds() - begin;
    const encoded = new Uint8Array(rows * rowBytes(type, n));
    encodeRows(type, weights, n, importance, encoded);
    const start = new Float32Array(rows * n);
    decodeRows(type, encoded, start);
    const theirs = new Float32Array(rows * n);
    decodeRows(type, ggmlEncode(type, weights, n, importance), theirs);
    const base = outputError(weights, theirs, moments, n);
    const kernels = new OutputAwareKernels(loadOutputAwareKernels());
    begin = seconds();
    kernels.prepare(type, factor);
    const prepareSeconds = seconds() - begin;
    for (const passes of [0, 2]) {
      const out = encoded.slice();
      kernels.encodeRows(weights.subarray(0, 32 * n), start, out.slice(0, 32 * rowBytes(type, n)), {
        passes,
        inflation: 0.12,
      });
      begin = seconds();
      kernels.encodeRows(weights, start, out, { passes, inflation: 0.12 });
      const spent = (seconds() - begin) / rows / n;
      const values = new Float32Array(rows * n);
      decodeRows(type, out, values);
      console.log(
        type,
        n,
        name.padEnd(5),
        `${passes} passes`,
        `${(1e6 * spent).toFixed(3)} us per weight`,
        `error ${(outputError(weights, values, moments, n) / base).toFixed(3)} of ggml's, ours without moments ${(outputError(weights, start, moments, n) / base).toFixed(3)}`,
        `factor ${factorSeconds.toFixed(2)} s, brought in ${prepareSeconds.toFixed(2)} s`,
      );
    }
  }
}
