/**
 * Encoder of MXFP4 (`mxfp4.ts`). The scale of a block is a power of two, so a row cannot be brought to unit gain by its
 * scales: each block takes the power of least error, and then all weights of the row are multiplied by the factor close
 * to 1 with which the nearest codes have unit gain.
 */
import type { RowEncoder } from "./block.js";
import { limitWeights, normalizeImportance } from "./importance.js";

const { abs, fround, max, min } = Math;

const blockWeights = 32;
const blockBytes = 17;

/** Twice the sizes of E2M1, by code. */
const levels = Float32Array.of(0, 1, 2, 3, 4, 6, 8, 12);

/** Factors that may bring a row to unit gain, and how often the interval between them is halved. */
const [leastFactor, mostFactor, halvings] = [0.95, 1.1, 12];

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Code of the level nearest to a size that is not negative. */
function nearestCode(size: number): number {
  if (size < 2.5) {
    return size < 0.5 ? 0 : size < 1.5 ? 1 : 2;
  }
  if (size < 5) {
    return size < 3.5 ? 3 : 4;
  }
  return size < 7 ? 5 : size < 10 ? 6 : 7;
}

/** Exponent byte of the block at `from` with the least squared error weighted by importance. */
function bestExponent(x: Float32Array, w: Float32Array, from: number): number {
  let largest = 0;
  for (let i = from; i < from + blockWeights; i++) {
    largest = max(largest, abs(x[i]!));
  }
  if (largest === 0) {
    return 0;
  }
  float[0] = largest;
  // With the exponent of the largest size less 2, that size lies between 4 and 8, where 6 is the largest level.
  const exponent = (bits[0]! >>> 23) - 2;
  let [best, leastError] = [0, Infinity];
  for (const candidate of [exponent, exponent + 1, exponent - 1]) {
    const byte = max(0, min(254, candidate));
    const scale = 2 ** (byte - 128);
    let error = 0;
    for (let i = from; i < from + blockWeights; i++) {
      const size = abs(x[i]!);
      const difference = size - scale * levels[nearestCode(size / scale)]!;
      error += w[i]! * difference * difference;
    }
    if (error < leastError) {
      [best, leastError] = [byte, error];
    }
  }
  return best;
}

/** <W, Q> of a row whose codes are those of its weights times `factor`. */
function productOf(x: Float32Array, w: Float32Array, exponents: Uint8Array, factor: number): number {
  let product = 0;
  for (let i = 0; i < x.length; i++) {
    const scale = 2 ** (exponents[i >> 5]! - 128);
    const size = abs(x[i]!);
    product += w[i]! * size * scale * levels[nearestCode((factor * size) / scale)]!;
  }
  return product;
}

/** The factor whose codes come nearest to unit gain. */
function unbiasedFactor(x: Float32Array, w: Float32Array, exponents: Uint8Array): number {
  let square = 0;
  for (let i = 0; i < x.length; i++) {
    square += w[i]! * x[i]! * x[i]!;
  }
  let [low, high]: number[] = [leastFactor, mostFactor];
  let best = { factor: 1, distance: abs(productOf(x, w, exponents, 1) - square) };
  for (let step = 0; step < halvings; step++) {
    const factor = fround((low! + high!) / 2);
    const excess = productOf(x, w, exponents, factor) - square;
    if (abs(excess) < best.distance) {
      best = { factor, distance: abs(excess) };
    }
    [low, high] = excess > 0 ? [low, factor] : [factor, high];
  }
  return best.factor;
}

export const encodeMXFP4: RowEncoder = (row, importance, out) => {
  const x = limitWeights(row);
  const w = normalizeImportance(importance, x.length);
  const exponents = new Uint8Array(x.length / blockWeights);
  for (let block = 0; block < exponents.length; block++) {
    exponents[block] = bestExponent(x, w, block * blockWeights);
  }
  const factor = unbiasedFactor(x, w, exponents);
  const codeOf = (i: number) => {
    const code = nearestCode((factor * abs(x[i]!)) / 2 ** (exponents[i >> 5]! - 128));
    return x[i]! < 0 && code > 0 ? code | 8 : code;
  };
  for (const [block, exponent] of exponents.entries()) {
    const [at, from] = [block * blockBytes, block * blockWeights];
    out[at] = exponent;
    for (let j = 0; j < 16; j++) {
      out[at + 1 + j] = codeOf(from + j) | (codeOf(from + 16 + j) << 4);
    }
  }
};
