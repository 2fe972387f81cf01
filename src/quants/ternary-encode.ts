/**
 * Encoders of the ternary formats (`ternary.ts`): weights in {-d, 0, d}, one scale for each superblock of 256.
 *
 * For a given set of weights that are not zero, the best scale is their mean size weighted by importance; and the best set
 * is always one of the largest sizes, so all sets are tried by going through the sizes in falling order. Scales are then
 * corrected for the row's gain. The plain quantizer of llama.cpp takes the largest size as scale instead.
 */
import type { RowEncoder } from "./block.js";
import { writeUnbiasedScales } from "./gain.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { powersOfThree, tq1Groups } from "./ternary.js";

const superblockWeights = 256;

/** An encoder of superblocks: `pack` writes codes 0, 1, 2 (for -d, 0, d); d follows at byte `scaleAt`. */
function ternaryEncoder(
  blockBytes: number,
  scaleAt: number,
  pack: (codes: Uint8Array, out: Uint8Array, at: number) => void,
): RowEncoder {
  return (row, importance, out) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    const superblocks = x.length / superblockWeights;
    const scales = new Float64Array(superblocks);
    const products = new Float64Array(superblocks);
    const codes = new Uint8Array(superblockWeights);
    let square = 0;
    for (let k = 0; k < superblocks; k++) {
      const from = k * superblockWeights;
      const weights = x.subarray(from, from + superblockWeights);
      const importances = w.subarray(from, from + superblockWeights);
      const { scale, least } = bestScale(weights, importances);
      scales[k] = scale;
      for (let i = 0; i < superblockWeights; i++) {
        const weight = weights[i]!;
        const size = Math.abs(weight);
        const isKept = size > 0 && size >= least;
        codes[i] = isKept ? (weight < 0 ? 0 : 2) : 1;
        products[k]! += isKept ? importances[i]! * size : 0;
        square += importances[i]! * weight * weight;
      }
      pack(codes, out, k * blockBytes);
    }
    writeUnbiasedScales(scales, products, square, out, blockBytes, scaleAt);
  };
}

/** The scale of least error for a superblock, and the least size of a weight that is not made zero with it. */
function bestScale(x: Float32Array, w: Float32Array): { scale: number; least: number } {
  const order = Array.from(x.keys()).sort((a, b) => Math.abs(x[b]!) - Math.abs(x[a]!) || a - b);
  let best = { scale: 0, least: Infinity };
  let mostSaved = 0;
  let [sum, total] = [0, 0];
  for (const i of order) {
    const size = Math.abs(x[i]!);
    sum += w[i]! * size;
    total += w[i]!;
    // With the scale sum / total, the squared error falls by sum^2 / total.
    const saved = total > 0 ? (sum * sum) / total : 0;
    if (saved > mostSaved) {
      mostSaved = saved;
      best = { scale: sum / total, least: size };
    }
  }
  return best;
}

export const encodeTQ1_0 = ternaryEncoder(54, 52, (codes, out, at) => {
  let next = 0;
  for (const [first, count, digits] of tq1Groups) {
    for (let j = 0; j < count; j++) {
      let number = 0;
      for (let digit = 0; digit < digits; digit++) {
        number += codes[next + digit * count + j]! * powersOfThree[4 - digit]!;
      }
      // As a fraction of 3^5, rounded up, so that multiplying by 3 brings out the digits again.
      out[at + first + j] = Math.ceil((256 * number) / 243);
    }
    next += count * digits;
  }
});

export const encodeTQ2_0 = ternaryEncoder(66, 64, (codes, out, at) => {
  out.fill(0, at, at + 64);
  for (let i = 0; i < superblockWeights; i++) {
    out[at + 32 * (i >> 7) + (i & 31)]! |= codes[i]! << (2 * ((i >> 5) & 3));
  }
});
