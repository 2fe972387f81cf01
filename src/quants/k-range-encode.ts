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
import { FIVE_BIT_RANGES, FOUR_BIT_RANGES, K_SCALES, Q2_K_CANDIDATES, Q2_K_SCALES } from "./candidates.js";
import { gainCorrection } from "./gain.js";
import { scaleToF16, writeU16 } from "./half.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { clamp, invert, nearest, weightedDot, weightedSum } from "./lanes.js";
import { packQuarterNibbles, packTwoBits } from "./pack.js";
import { type RangeCandidates, type RangeFit, searchRange } from "./range-search.js";
import {
  type Candidates,
  integers,
  type ScaleFit,
  searchScale,
  searchSteps,
  superblockScale,
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

/** A superblock's d and dmin with their inverses (0 if there is none). */
interface Units {
  d: number;
  dmin: number;
  inverseDmin: number;
}

/** Codes of a block for a scale and a minimum. */
function chooseCodes(
  x: Float32Array,
  at: number,
  size: number,
  scale: number,
  minimum: number,
  top: number,
  codes: Float32Array,
): void {
  const inverse = invert(scale);
  for (let i = at; i < at + size; i++) {
    codes[i] = clamp(nearest(fround(fround(x[i]! + minimum) * inverse)), 0, top);
  }
}

/** Steps from the nearest integer scale that a block tries, one in each lane. */
const SCALE_STEPS = [-1, 0, 1, 2] as const;

/** Finds a block's integer scale and minimum among the ones around its fit; writes them to `found`. */
function searchIntegers(
  x: Float32Array,
  w: Float32Array,
  at: number,
  format: RangeFormat,
  fit: RangeFit,
  units: Units,
  found: { scale: number; minimum: number },
): void {
  const { block: size, top, topScale } = format;
  const inverseD = invert(units.d);
  const center = nearest(fround(fit.scale * inverseD));
  let best = Infinity;
  for (const step of SCALE_STEPS) {
    const integer = clamp(center + step, 0, topScale);
    const scale = fround(units.d * integer);
    const inverse = invert(scale);
    let c = 0;
    let sumL = 0;
    let sumL2 = 0;
    for (let i = at; i < at + size; i++) {
      const code = clamp(nearest(fround(fround(x[i]! - fit.offset) * inverse)), 0, top);
      const weighted = fround(w[i]! * code);
      c = fround(c + fround(weighted * fround(x[i]! - fit.mean)));
      sumL = fround(sumL + weighted);
      sumL2 = fround(sumL2 + fround(weighted * code));
    }
    const ideal = fround(fround(fround(scale * sumL) / fit.importance) - fit.mean);
    const minimum = clamp(nearest(fround(ideal * units.inverseDmin)), 0, topScale);
    const shift = fround(fround(units.dmin * minimum) + fit.mean);
    // sum w (x - scale l + shift - mean)^2 without sum w (x - mean)^2.
    const error = fround(
      fround(scale * fround(fround(scale * sumL2) - fround(2 * c))) +
        fround(shift * fround(fround(shift * fit.importance) - fround(2 * fround(scale * sumL)))),
    );
    if (error < best) {
      best = error;
      found.scale = integer;
      found.minimum = minimum;
    }
  }
}

function rangeSuperblockEncoder(format: RangeFormat): RowEncoder {
  const { block: size, top, topScale, candidates, scaleCandidates } = format;
  const blocks = 256 / size;
  const quantizeScale = integers(0, topScale);
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    let product = 0;
    let square = 0;
    const fits = Array.from(
      { length: blocks },
      (): RangeFit => ({ scale: 0, offset: 0, curvature: 0, importance: 0, mean: 0 }),
    );
    const fit: ScaleFit = { scale: 0, curvature: 0 };
    const found = { scale: 0, minimum: 0 };
    const ds = new Float64Array(x.length / 256);
    const dmins = new Float64Array(x.length / 256);
    const codes = new Float32Array(x.length);
    const [exact, weights] = [new Float32Array(blocks), new Float32Array(blocks)];
    const [scales, minima] = [new Float32Array(blocks), new Float32Array(blocks)];
    for (let superblock = 0; superblock < ds.length; superblock++) {
      const start = 256 * superblock;
      for (const [block, fit] of fits.entries()) {
        searchRange(x, w, start + size * block, size, top, candidates, searchSteps[effort], false, fit);
        exact[block] = fit.scale;
        weights[block] = fit.curvature;
      }
      searchScale(exact, weights, 0, blocks, quantizeScale, scaleCandidates, 2, fit);
      const d = superblockScale(fit.scale, topScale);
      for (const [block, { offset, importance }] of fits.entries()) {
        exact[block] = max(-offset, 0);
        weights[block] = importance;
      }
      searchScale(exact, weights, 0, blocks, quantizeScale, scaleCandidates, 2, fit);
      const dmin = superblockScale(fit.scale, topScale);
      const units = { d, dmin, inverseDmin: invert(dmin) };
      let [aa, ab, bb, xa, xb] = [0, 0, 0, 0, 0];
      for (const [block, fit] of fits.entries()) {
        const at = start + size * block;
        searchIntegers(x, w, at, format, fit, units, found);
        const { scale, minimum } = found;
        scales[block] = scale;
        minima[block] = minimum;
        chooseCodes(x, at, size, fround(d * scale), fround(dmin * minimum), top, codes);
        aa += scale * scale * weightedDot(w, codes, codes, at, size);
        ab += scale * minimum * weightedSum(w, codes, at, size);
        bb += minimum * minimum * fit.importance;
        xa += scale * weightedDot(w, codes, x, at, size);
        xb += minimum * weightedSum(w, x, at, size);
      }
      // Least squares of x - d A + dmin B, where A = scale code and B = minimum.
      const determinant = aa * bb - ab * ab;
      if (determinant > 1e-6 * aa * bb) {
        ds[superblock] = (xa * bb - xb * ab) / determinant;
        dmins[superblock] = (xa * ab - xb * aa) / determinant;
      } else {
        dmins[superblock] = dmin;
        ds[superblock] = aa > 0 ? (xa + dmin * ab) / aa : 0;
      }
      square += weightedDot(w, x, x, start, 256);
      product += ds[superblock]! * xa - dmins[superblock]! * xb;
      format.pack(codes.subarray(start, start + 256), scales, minima, out, format.blockBytes * superblock);
    }
    const correction = gainCorrection(square, product);
    for (let superblock = 0; superblock < ds.length; superblock++) {
      const at = format.blockBytes * superblock + format.dAt;
      writeU16(out, at, scaleToF16(correction * ds[superblock]!));
      writeU16(out, at + 2, scaleToF16(correction * dmins[superblock]!));
    }
  };
}

export const encodeQ2_K = rangeSuperblockEncoder({
  block: 16,
  blockBytes: 84,
  dAt: 80,
  top: 3,
  candidates: Q2_K_CANDIDATES,
  scaleCandidates: Q2_K_SCALES,
  topScale: 15,
  pack(codes, scales, minima, out, at) {
    for (let block = 0; block < 16; block++) out[at + block] = scales[block]! | (minima[block]! << 4);
    packTwoBits((i) => codes[i]!, out, at + 16);
  },
});

/** Six-bit scales and minima of Q4_K and Q5_K in 12 bytes. */
function packSixBitScales(scales: Float32Array, minima: Float32Array, out: Uint8Array, at: number): void {
  for (let block = 0; block < 4; block++) {
    out[at + block] = scales[block]! | ((scales[block + 4]! >> 4) << 6);
    out[at + block + 4] = minima[block]! | ((minima[block + 4]! >> 4) << 6);
    out[at + block + 8] = (scales[block + 4]! & 15) | ((minima[block + 4]! & 15) << 4);
  }
}

export const encodeQ4_K = rangeSuperblockEncoder({
  block: 32,
  blockBytes: 144,
  dAt: 0,
  top: 15,
  candidates: FOUR_BIT_RANGES,
  scaleCandidates: K_SCALES,
  topScale: 63,
  pack(codes, scales, minima, out, at) {
    packSixBitScales(scales, minima, out, at + 4);
    packQuarterNibbles((i) => codes[i]!, out, at + 16);
  },
});

export const encodeQ5_K = rangeSuperblockEncoder({
  block: 32,
  blockBytes: 176,
  dAt: 0,
  top: 31,
  candidates: FIVE_BIT_RANGES,
  scaleCandidates: K_SCALES,
  topScale: 63,
  pack(codes, scales, minima, out, at) {
    packSixBitScales(scales, minima, out, at + 4);
    packQuarterNibbles((i) => codes[i]!, out, at + 48);
    for (let l = 0; l < 32; l++) {
      let fifthBits = 0;
      for (let k = 0; k < 8; k++) fifthBits |= (codes[32 * k + l]! >> 4) << k;
      out[at + 16 + l] = fifthBits;
    }
  },
});
