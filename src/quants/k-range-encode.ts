/**
 * Encoders of superblocks whose blocks have a scale and a minimum: Q2_K, Q4_K and Q5_K.
 * weight = d scale code - dmin minimum, with integer scales and minima. Layouts: `k-quants.ts`.
 *
 * 1. Each block's best scale and minimum are searched for themselves.
 * 2. d and dmin are searched the same way, with the blocks' scales and minima in the place of weights.
 * 3. Each block tries the integer scales around its best one: codes for that scale, then the best integer minimum
 *    for these codes. Without this step errors would be about 2 % larger.
 * 4. d and dmin are fitted to all codes of the superblock, and corrected for the row's gain.
 */
import type { RowEncoder } from "./block.js";
import { fiveBitRanges, fourBitRanges, kScales, q2kCandidates, q2kScales } from "./candidates.js";
import { gainCorrection } from "./gain.js";
import { scaleToF16, writeU16 } from "./half.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { clamp, invert, nearestInteger, weightedDot, weightedSum } from "./lanes.js";
import { packQuarterNibbles, packTwoBits } from "./pack.js";
import { newRangeFit, type RangeCandidates, type RangeFit, searchRange } from "./range-search.js";
import {
  type Candidates,
  integers,
  type ScaleFit,
  searchScale,
  searchSteps,
  superblockScale,
  unitSteps,
} from "./scale-search.js";

const { fround, max } = Math;

interface RangeFormat {
  /** Weights per block. */
  readonly block: number;
  readonly blockBytes: number;
  /** Offset of d in the superblock; dmin follows. */
  readonly dAt: number;
  /** Largest code. */
  readonly top: number;
  readonly candidates: RangeCandidates;
  /** For integer scales and minima. */
  readonly scaleCandidates: Candidates;
  /** Largest integer scale and minimum. */
  readonly topScale: number;
  /** Writes 256 codes and the blocks' scales and minima. */
  readonly pack: (
    codes: Float32Array,
    scales: Float32Array,
    minima: Float32Array,
    out: Uint8Array,
    at: number,
  ) => void;
}

/** Steps from the nearestInteger integer scale that a block tries, one in each lane. */
const scaleSteps = [-1, 0, 1, 2] as const;

function rangeSuperblockEncoder(format: RangeFormat): RowEncoder {
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    new RangeRow(format, x, w).encode(searchSteps[effort], out);
  };
}

/** A row in work: weights x, their importance w, and what was found for the superblock at hand. */
class RangeRow {
  readonly #codes: Float32Array;
  readonly #fits: RangeFit[];
  /** Integer scales and minima of the blocks. */
  readonly #scales: Float32Array;
  readonly #minima: Float32Array;
  #d = 0;
  #dmin = 0;

  readonly #format: RangeFormat;
  readonly #x: Float32Array;
  readonly #w: Float32Array;

  constructor(format: RangeFormat, x: Float32Array, w: Float32Array) {
    this.#format = format;
    this.#x = x;
    this.#w = w;
    const blocks = 256 / format.block;
    this.#codes = new Float32Array(x.length);
    this.#fits = Array.from({ length: blocks }, newRangeFit);
    this.#scales = new Float32Array(blocks);
    this.#minima = new Float32Array(blocks);
  }

  encode(steps: number, out: Uint8Array): void {
    const x = this.#x;
    const w = this.#w;
    const codes = this.#codes;
    const scales = this.#scales;
    const minima = this.#minima;
    const { blockBytes, dAt, pack } = this.#format;
    const superblocks = x.length / 256;
    const ds = new Float64Array(superblocks);
    const dmins = new Float64Array(superblocks);
    let product = 0;
    let square = 0;
    for (let superblock = 0; superblock < superblocks; superblock++) {
      const start = 256 * superblock;
      this.#searchBlocks(start, steps);
      this.#searchUnits();
      this.#chooseCodes(start);
      product += this.#fitUnits(start);
      square += weightedDot(w, x, x, start, 256);
      ds[superblock] = this.#d;
      dmins[superblock] = this.#dmin;
      pack(codes.subarray(start, start + 256), scales, minima, out, blockBytes * superblock);
    }
    const correction = gainCorrection(square, product);
    for (let superblock = 0; superblock < superblocks; superblock++) {
      const at = blockBytes * superblock + dAt;
      writeU16(out, at, scaleToF16(correction * ds[superblock]!));
      writeU16(out, at + 2, scaleToF16(correction * dmins[superblock]!));
    }
  }

  /** Finds each block's best scale and offset. */
  #searchBlocks(start: number, steps: number): void {
    const { block: size, top, candidates } = this.#format;
    for (const [block, fit] of this.#fits.entries()) {
      searchRange(this.#x, this.#w, start + size * block, size, top, candidates, steps, false, fit);
    }
  }

  /** Finds the d and dmin whose multiples come nearestInteger to the blocks' scales and minima, as F16 holds them. */
  #searchUnits(): void {
    const fits = this.#fits;
    const { topScale, scaleCandidates } = this.#format;
    const quantize = integers(0, topScale);
    const unitOf = (values: Float32Array, weights: Float32Array): number => {
      const fit: ScaleFit = { scale: 0, curvature: 0 };
      searchScale(values, weights, 0, fits.length, quantize, scaleCandidates, unitSteps, fit);
      return superblockScale(fit.scale, topScale);
    };
    this.#d = unitOf(
      Float32Array.from(fits, ({ scale }) => scale),
      Float32Array.from(fits, ({ curvature }) => curvature),
    );
    this.#dmin = unitOf(
      Float32Array.from(fits, ({ offset }) => max(-offset, 0)),
      Float32Array.from(fits, ({ importance }) => importance),
    );
  }

  /** Chooses integer scales and minima, and the nearestInteger codes for them. */
  #chooseCodes(start: number): void {
    const x = this.#x;
    const codes = this.#codes;
    const d = this.#d;
    const dmin = this.#dmin;
    const { block: size, top } = this.#format;
    for (const [block, fit] of this.#fits.entries()) {
      const at = start + size * block;
      this.#searchIntegers(at, block, fit);
      const inverse = invert(fround(d * this.#scales[block]!));
      const minimum = fround(dmin * this.#minima[block]!);
      for (let i = at; i < at + size; i++) {
        codes[i] = clamp(nearestInteger(fround(fround(x[i]! + minimum) * inverse)), 0, top);
      }
    }
  }

  /** Finds a block's integer scale and minimum among the ones around its fit. */
  #searchIntegers(at: number, block: number, fit: RangeFit): void {
    const x = this.#x;
    const w = this.#w;
    const d = this.#d;
    const dmin = this.#dmin;
    const { block: size, top, topScale } = this.#format;
    const center = nearestInteger(fround(fit.scale * invert(d)));
    let best = Infinity;
    for (const step of scaleSteps) {
      const integer = clamp(center + step, 0, topScale);
      const scale = fround(d * integer);
      const inverse = invert(scale);
      let c = 0;
      let sumL = 0;
      let sumL2 = 0;
      for (let i = at; i < at + size; i++) {
        const code = clamp(nearestInteger(fround(fround(x[i]! - fit.offset) * inverse)), 0, top);
        const weighted = fround(w[i]! * code);
        c = fround(c + fround(weighted * fround(x[i]! - fit.mean)));
        sumL = fround(sumL + weighted);
        sumL2 = fround(sumL2 + fround(weighted * code));
      }
      const scaledL = fround(scale * sumL);
      const ideal = fround(fround(scaledL / fit.importance) - fit.mean);
      const minimum = clamp(nearestInteger(fround(ideal * invert(dmin))), 0, topScale);
      const shift = fround(fround(dmin * minimum) + fit.mean);
      // sum w (x - scale l + shift - mean)^2 without sum w (x - mean)^2.
      const error = fround(
        fround(scale * fround(fround(scale * sumL2) - fround(2 * c))) +
          fround(shift * fround(fround(shift * fit.importance) - fround(2 * scaledL))),
      );
      if (error < best) {
        best = error;
        this.#scales[block] = integer;
        this.#minima[block] = minimum;
      }
    }
  }

  /**
   * Least squares of x - d A + dmin B, where A = scale code and B = minimum, for d and dmin. Returns <W, Q>.
   */
  #fitUnits(start: number): number {
    const x = this.#x;
    const w = this.#w;
    const codes = this.#codes;
    const size = this.#format.block;
    let [aa, ab, bb, xa, xb] = [0, 0, 0, 0, 0];
    for (const [block, fit] of this.#fits.entries()) {
      const at = start + size * block;
      const scale = this.#scales[block]!;
      const minimum = this.#minima[block]!;
      aa += scale * scale * weightedDot(w, codes, codes, at, size);
      ab += scale * minimum * weightedSum(w, codes, at, size);
      bb += minimum * minimum * fit.importance;
      xa += scale * weightedDot(w, codes, x, at, size);
      xb += minimum * weightedSum(w, x, at, size);
    }
    const determinant = aa * bb - ab * ab;
    if (determinant > 1e-6 * aa * bb) {
      this.#d = (xa * bb - xb * ab) / determinant;
      this.#dmin = (xa * ab - xb * aa) / determinant;
    } else {
      this.#d = aa > 0 ? (xa + this.#dmin * ab) / aa : 0;
    }
    return this.#d * xa - this.#dmin * xb;
  }
}

/** Writes codes, scales and minima of a superblock of Q2_K: all but d and dmin. */
export function packQ2_K(
  codes: Float32Array,
  scales: Float32Array,
  minima: Float32Array,
  out: Uint8Array,
  at: number,
): void {
  for (let block = 0; block < 16; block++) {
    out[at + block] = scales[block]! | (minima[block]! << 4);
  }
  packTwoBits((i) => codes[i]!, out, at + 16);
}

export const encodeQ2_K = rangeSuperblockEncoder({
  block: 16,
  blockBytes: 84,
  dAt: 80,
  top: 3,
  candidates: q2kCandidates,
  scaleCandidates: q2kScales,
  topScale: 15,
  pack: packQ2_K,
});

/** Six-bit scales and minima of Q4_K and Q5_K in 12 bytes. */
function packSixBitScales(scales: Float32Array, minima: Float32Array, out: Uint8Array, at: number): void {
  for (let block = 0; block < 4; block++) {
    out[at + block] = scales[block]! | ((scales[block + 4]! >> 4) << 6);
    out[at + block + 4] = minima[block]! | ((minima[block + 4]! >> 4) << 6);
    out[at + block + 8] = (scales[block + 4]! & 15) | ((minima[block + 4]! & 15) << 4);
  }
}

/** Writes codes, scales and minima of a superblock of Q4_K: all but d and dmin. */
export function packQ4_K(
  codes: Float32Array,
  scales: Float32Array,
  minima: Float32Array,
  out: Uint8Array,
  at: number,
): void {
  packSixBitScales(scales, minima, out, at + 4);
  packQuarterNibbles((i) => codes[i]!, out, at + 16);
}

export const encodeQ4_K = rangeSuperblockEncoder({
  block: 32,
  blockBytes: 144,
  dAt: 0,
  top: 15,
  candidates: fourBitRanges,
  scaleCandidates: kScales,
  topScale: 63,
  pack: packQ4_K,
});

export const encodeQ5_K = rangeSuperblockEncoder({
  block: 32,
  blockBytes: 176,
  dAt: 0,
  top: 31,
  candidates: fiveBitRanges,
  scaleCandidates: kScales,
  topScale: 63,
  pack(codes, scales, minima, out, at) {
    packSixBitScales(scales, minima, out, at + 4);
    packQuarterNibbles((i) => codes[i]!, out, at + 48);
    for (let l = 0; l < 32; l++) {
      let fifthBits = 0;
      for (let k = 0; k < 8; k++) {
        fifthBits |= (codes[32 * k + l]! >> 4) << k;
      }
      out[at + 16 + l] = fifthBits;
    }
  },
});
