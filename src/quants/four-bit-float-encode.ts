/**
 * Encoders of MXFP4 (`mxfp4.ts`) and NVFP4 (`nvfp4.ts`): four-bit floats whose blocks have scales of few bits.
 *
 * Scales are too coarse to bring a row to unit gain with. So each block takes the scale of least error, and then all
 * weights of the row are multiplied by the factor close to 1 with which the nearest codes have unit gain.
 *
 * Arithmetic is float32 in the order of a SIMD kernel that has a candidate in each of four lanes (`scale-search.ts`).
 */
import type { RowEncoder } from "./block.js";
import type { Effort } from "./effort.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { clamp, nearestInteger, sum4, weightedDot } from "./lanes.js";
import { halfUe4m3 } from "./nvfp4.js";

const { abs, fround, max, min } = Math;

interface FloatFormat {
  /** Weights that share a scale. */
  readonly block: 16 | 32;
  /** By scale byte, what twice the values of E2M1 are multiplied by. */
  readonly scales: Float32Array;
  /** Scale bytes that are tried for a block whose largest size is this, four for each step. */
  readonly candidates: (largest: number, effort: Effort) => readonly number[];
  /** Weights whose scales come one after another, then their codes. */
  readonly together: number;
}

/** Twice the largest value of E2M1. */
const largestLevel = 12;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Twice the value of E2M1 nearest to a number that is not negative, ties to even mantissas. */
export function nearestE2m1(twice: number): number {
  float[0] = min(twice, largestLevel);
  bits[0]! &= 0x7f800000;
  // Two levels for each power of two, but whole numbers below 2.
  const step = max(float[0]! / 2, 1);
  return step * nearestInteger(min(twice, largestLevel) / step);
}

/** Codes of twice the values of E2M1. */
export const e2m1Codes: ReadonlyMap<number, number> = new Map(
  [0, 1, 2, 3, 4, 6, 8, 12].map((level, code) => [level, code]),
);

/** The scale byte of least squared error, weighted by importance, for the block at `from`; 0 if it is all zero. */
function bestScale(
  x: Float32Array,
  w: Float32Array,
  from: number,
  { block, scales, candidates }: FloatFormat,
  effort: Effort,
): number {
  let largest = 0;
  for (let i = from; i < from + block; i++) {
    largest = max(largest, abs(x[i]!));
  }
  if (largest === 0) {
    return 0;
  }
  const bytes = candidates(largest, effort);
  let [best, least] = [0, Infinity];
  for (let lane = 0; lane < 4; lane++) {
    for (let candidate = lane; candidate < bytes.length; candidate += 4) {
      const scale = scales[bytes[candidate]!]!;
      let error = 0;
      for (let i = from; i < from + block; i++) {
        const size = abs(x[i]!);
        const difference = fround(size - fround(scale * nearestE2m1(fround(size / scale))));
        error = fround(error + fround(fround(w[i]! * difference) * difference));
      }
      if (error < least) {
        [best, least] = [bytes[candidate]!, error];
      }
    }
  }
  return best;
}

/** Twice the value of E2M1 for a weight, as its size, after it was multiplied by `factor`. */
function levelOf(weight: number, factor: number, scale: number): number {
  return scale === 0 ? 0 : nearestE2m1(fround(fround(factor * abs(weight)) / scale));
}

/** <W, Q> of a row whose codes are those of its weights times `factor`. */
function productOf(
  x: Float32Array,
  w: Float32Array,
  bytes: Uint8Array,
  factor: number,
  { block, scales }: FloatFormat,
): number {
  let product = 0;
  const lanes = new Float32Array(4);
  for (const [number, byte] of bytes.entries()) {
    const scale = scales[byte]!;
    lanes.fill(0);
    for (let i = number * block; i < (number + 1) * block; i++) {
      const weighted = fround(w[i]! * abs(x[i]!));
      lanes[i % 4]! += fround(weighted * levelOf(x[i]!, factor, scale));
    }
    product += scale * sum4(lanes);
  }
  return product;
}

/** How far from 1 a factor may be, and how often a better one is looked for. */
const [leastFactor, mostFactor, tries] = [0.9, 1.1, 6];

/** The factor whose codes come nearest to unit gain, by the secant method. */
function unbiasedFactor(square: number, product: (factor: number) => number): number {
  if (!(square > 0)) {
    return 1;
  }
  let [before, excessBefore] = [1, product(1) - square];
  let best = { factor: before, distance: abs(excessBefore) };
  let factor = fround(clamp(1 - excessBefore / square, leastFactor, mostFactor));
  for (let k = 0; k < tries && factor !== before; k++) {
    const excess = product(factor) - square;
    if (abs(excess) < best.distance) {
      best = { factor, distance: abs(excess) };
    }
    if (excess === excessBefore) {
      break;
    }
    const next = factor - (excess * (factor - before)) / (excess - excessBefore);
    [before, excessBefore] = [factor, excess];
    factor = fround(clamp(next, leastFactor, mostFactor));
  }
  return best.factor;
}

function floatEncoder(format: FloatFormat): RowEncoder {
  const { block, scales, together } = format;
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    const bytes = new Uint8Array(x.length / block);
    let square = 0;
    for (let number = 0; number < bytes.length; number++) {
      bytes[number] = bestScale(x, w, number * block, format, effort);
      square += weightedDot(w, x, x, number * block, block);
    }
    const factor = unbiasedFactor(square, (tried) => productOf(x, w, bytes, tried, format));
    const code = (i: number, scale: number) => {
      const found = e2m1Codes.get(levelOf(x[i]!, factor, scale))!;
      return x[i]! < 0 && found > 0 ? found | 8 : found;
    };
    for (let from = 0, at = 0; from < x.length; from += together) {
      const own = bytes.subarray(from / block, (from + together) / block);
      out.set(own, at);
      at += own.length;
      for (const [number, byte] of own.entries()) {
        for (let j = from + number * block; j < from + number * block + block / 2; j++) {
          out[at++] = code(j, scales[byte]!) | (code(j + block / 2, scales[byte]!) << 4);
        }
      }
    }
  };
}

/** Scales of MXFP4 by exponent byte. */
export const mxfp4Scales = Float32Array.from({ length: 256 }, (_, byte) => 2 ** (byte - 128));

/**
 * Steps from the exponent of the largest size less 2: with that, the size lies between 4 and 8, where 6 is the largest
 * level.
 */
export const mxfp4Candidates = Int32Array.of(0, 1, -1, -2);

export const encodeMXFP4 = floatEncoder({
  block: 32,
  together: 32,
  scales: mxfp4Scales,
  candidates(largest) {
    float[0] = largest;
    const exponent = (bits[0]! >>> 23) - 2;
    return Array.from(mxfp4Candidates, (step) => clamp(exponent + step, 0, 254));
  },
});

/** Steps from the least scale byte with which no weight is clipped; each effort takes the first so many fours. */
export const nvfp4Candidates = Int32Array.of(-1, 0, 1, 2, -2, 3, -3, 4, 5, -4, 6, 7, -5, 8, -6, 9);
const nvfp4Steps: Readonly<Record<Effort, number>> = { fast: 1, default: 2, fine: 4 };
const [leastByte, mostByte] = [1, 126];

export const encodeNVFP4 = floatEncoder({
  block: 16,
  together: 64,
  scales: halfUe4m3,
  candidates(largest, effort) {
    const wanted = fround(largest / largestLevel);
    let below = 0;
    for (let bit = 64; bit > 0; bit >>= 1) {
      if (below + bit <= mostByte && halfUe4m3[below + bit]! < wanted) {
        below += bit;
      }
    }
    const steps = nvfp4Candidates.subarray(0, 4 * nvfp4Steps[effort]);
    return Array.from(steps, (step) => clamp(below + 1 + step, leastByte, mostByte));
  },
});
