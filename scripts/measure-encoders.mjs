// Prints, per type and tensor, the error of the reference encoders relative to llama.cpp's (both scaled to unit gain)
// and both gains. Run after a build: node scripts/measure-encoders.mjs [TYPE...]
import { encodeRows } from "../dist/quants/codec.js";
import { rowBytes, types } from "../dist/quants/types.js";
import { ggmlDecode, ggmlEncode } from "../dist/testing/ggml.js";
import { qualityOf } from "../dist/testing/quality.js";
import { randomRows, realRows } from "../dist/testing/rows.js";

const wanted = process.argv.slice(2).map((name) => name.toUpperCase());
const samples = [2048, 256].flatMap((columns) =>
  ["gaussian", "laplacian"].flatMap((distribution) => {
    const uniform = randomRows(distribution, 64, columns, false);
    const ones = new Float32Array(columns).fill(1);
    const none = { ...uniform, label: uniform.label.replace("uniform", "no") };
    return [randomRows(distribution, 64, columns, true), { ...uniform, importance: ones }, none];
  }),
);
samples.push(...(await realRows(64)));

function quality(type, rows, encoded) {
  return qualityOf(rows, ggmlDecode(type, encoded, rows.weights.length));
}

for (const { name: type, quantized, canEncode } of types.values()) {
  if (!quantized || !canEncode || (wanted.length > 0 && !wanted.includes(type))) {
    continue;
  }
  for (const rows of samples) {
    const { label, weights, columns, importance } = rows;
    if (!importance && /^IQ[23]/.test(type)) {
      continue;
    }
    const encoded = new Uint8Array((weights.length / columns) * rowBytes(type, columns));
    encodeRows(type, weights, columns, importance, encoded);
    const ours = quality(type, rows, encoded);
    const theirs = quality(type, rows, ggmlEncode(type, weights, columns, importance));
    const ratio = (ours.error / theirs.error).toFixed(4);
    const gains = `gain ${ours.gain.toFixed(4)}, llama.cpp's ${theirs.gain.toFixed(4)}`;
    console.log(`${type.padEnd(8)} ${label.padEnd(50)} error ${ratio}, ${gains}`);
  }
}
