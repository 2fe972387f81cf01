/**
 * Encoders of superblocks whose blocks have a scale only: Q3_K, Q6_K and IQ4_XS. weight = d scale code, with integer
 * scales. Layouts: `k-quants.ts`, `iq4.ts`.
 *
 * 1. Each block's best scale is searched for itself: of Q6_K in whole numbers (`residue-search.ts`).
 * 2. d is searched as in `scale-search.ts`, with the blocks' scales in the place of weights, each as important as its
 *    curvature.
 * 3. Each block tries the integer scales around its best one, with codes for that scale. Of Q6_K, which has many,
 *    the nearest one does where it is not small, unless effort is `fine`.
 * 4. d is fitted to all codes of the superblock, and corrected for the row's gain.
 */
import type { RowEncoder } from "./block.js";
import { eightBitScales, iq4Candidates, q3kCandidates, sixBitScales } from "./candidates.js";
import type { Effort } from "./effort.js";
import { gainCorrection } from "./gain.js";
import { scaleToF16, writeU16 } from "./half.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { iq4Codes, nearestIQ4Level } from "./iq4.js";
import { invert, nearestInteger, weightedDot } from "./lanes.js";
import { packNibbles, packTwoBits } from "./pack.js";
import { searchResidues } from "./residue-search.js";
import {
  type Candidates,
  integers,
  type Quantizer,
  type ScaleFit,
  searchScale,
  searchSteps,
  superblockScale,
  unitSteps,
} from "./scale-search.js";

const { abs, fround } = Math;

interface ScaleFormat {
  /** Weights per block. */
  readonly block: number;
  readonly blockBytes: number;
  /** Offset of d in the superblock. */
  readonly dAt: number;
  readonly quantize: Quantizer;
  /** Finds the best scale of the block of weights from `x[at]`. */
  readonly search: (x: Float32Array, w: Float32Array, at: number, steps: number, fit: ScaleFit) => void;
  /** Steps of candidates that it takes. */
  readonly steps: Readonly<Record<Effort, number>>;
  readonly quantizeScale: Quantizer;
  /** Largest magnitude of an integer scale. */
  readonly topScale: number;
  readonly scaleCandidates: Candidates;
  /** Steps of those candidates to take. */
  readonly scaleSteps: number;
  /** Blocks whose integer scale is below this try several. */
  readonly triedBelow: Readonly<Record<Effort, number>>;
  /** Writes 256 codes (levels, as the quantizer gives them) and the blocks' scales. */
  readonly pack: (codes: Float32Array, scales: Float32Array, out: Uint8Array, at: number) => void;
}

/** Steps from the nearestInteger integer scale, away from zero, that a block tries, one in each lane. */
const severalScales = [-1, 0, 1, 2] as const;

/** The search of a format with few codes. */
function searchedIn(quantize: Quantizer, candidates: Candidates, size: number) {
  const search: ScaleFormat["search"] = (x, w, at, steps, fit) =>
    searchScale(x, w, at, size, quantize, candidates, steps, fit);
  return { quantize, search, steps: searchSteps };
}

function scaleSuperblockEncoder(format: ScaleFormat): RowEncoder {
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    new ScaleRow(format, x, w).encode(effort, out);
  };
}

/** A row in work: weights x, their importance w, and what was found for the superblock at hand. */
class ScaleRow {
  readonly #codes: Float32Array;
  readonly #fits: ScaleFit[];
  /** Integer scales of the blocks. */
  readonly #scales: Float32Array;
  #d = 0;

  readonly #format: ScaleFormat;
  readonly #x: Float32Array;
  readonly #w: Float32Array;

  constructor(format: ScaleFormat, x: Float32Array, w: Float32Array) {
    this.#format = format;
    this.#x = x;
    this.#w = w;
    const blocks = 256 / format.block;
    this.#codes = new Float32Array(x.length);
    this.#fits = Array.from({ length: blocks }, () => ({ scale: 0, curvature: 0 }));
    this.#scales = new Float32Array(blocks);
  }

  encode(effort: Effort, out: Uint8Array): void {
    const x = this.#x;
    const w = this.#w;
    const codes = this.#codes;
    const scales = this.#scales;
    const { blockBytes, dAt, pack } = this.#format;
    const ds = new Float64Array(x.length / 256);
    let product = 0;
    let square = 0;
    for (let superblock = 0; superblock < ds.length; superblock++) {
      const start = 256 * superblock;
      this.#searchBlocks(start, effort);
      this.#searchUnit();
      this.#chooseCodes(start, effort);
      product += this.#fitUnit(start);
      square += weightedDot(w, x, x, start, 256);
      ds[superblock] = this.#d;
      pack(codes.subarray(start, start + 256), scales, out, blockBytes * superblock);
    }
    const correction = gainCorrection(square, product);
    for (let superblock = 0; superblock < ds.length; superblock++) {
      writeU16(out, blockBytes * superblock + dAt, scaleToF16(correction * ds[superblock]!));
    }
  }

  /** Finds each block's best scale. */
  #searchBlocks(start: number, effort: Effort): void {
    const { block: size, search, steps } = this.#format;
    for (const [block, fit] of this.#fits.entries()) {
      search(this.#x, this.#w, start + size * block, steps[effort], fit);
    }
  }

  /** Finds the d whose multiples come nearestInteger to the blocks' scales, as F16 holds it. */
  #searchUnit(): void {
    const { quantizeScale, scaleCandidates, scaleSteps, topScale } = this.#format;
    const exact = Float32Array.from(this.#fits, ({ scale }) => scale);
    const curvatures = Float32Array.from(this.#fits, ({ curvature }) => curvature);
    const fit: ScaleFit = { scale: 0, curvature: 0 };
    searchScale(exact, curvatures, 0, exact.length, quantizeScale, scaleCandidates, scaleSteps, fit);
    this.#d = superblockScale(fit.scale, topScale);
  }

  /** Chooses integer scales, and the nearestInteger codes for them. */
  #chooseCodes(start: number, effort: Effort): void {
    const x = this.#x;
    const codes = this.#codes;
    const d = this.#d;
    const { block: size, quantize, quantizeScale, triedBelow } = this.#format;
    for (const [block, fit] of this.#fits.entries()) {
      const at = start + size * block;
      const nearest = nearestInteger(fround(fit.scale * invert(d)));
      const isTried = abs(nearest) < triedBelow[effort];
      const scale = isTried ? this.#searchInteger(at, nearest) : quantizeScale(nearest);
      const inverse = invert(fround(d * scale));
      for (let i = at; i < at + size; i++) {
        codes[i] = quantize(fround(x[i]! * inverse));
      }
      this.#scales[block] = scale;
    }
  }

  /** The best integer scale of a block among the ones around that nearest to its exact scale. */
  #searchInteger(at: number, nearest: number): number {
    const x = this.#x;
    const w = this.#w;
    const d = this.#d;
    const { block: size, quantize, quantizeScale } = this.#format;
    const away = nearest < 0 ? -1 : 1;
    let best = Infinity;
    let found = 0;
    for (const step of severalScales) {
      const integer = quantizeScale(nearest + away * step);
      const scale = fround(d * integer);
      const inverse = invert(scale);
      let c = 0;
      let v = 0;
      for (let i = at; i < at + size; i++) {
        const code = quantize(fround(x[i]! * inverse));
        const weighted = fround(w[i]! * code);
        c = fround(c + fround(weighted * x[i]!));
        v = fround(v + fround(weighted * code));
      }
      // sum w (x - scale l)^2 without sum w x^2.
      const error = fround(scale * fround(fround(scale * v) - fround(2 * c)));
      if (error < best) {
        best = error;
        found = integer;
      }
    }
    return found;
  }

  /** Fits d to all codes by least squares. Returns <W, Q>. */
  #fitUnit(start: number): number {
    const x = this.#x;
    const w = this.#w;
    const codes = this.#codes;
    const scales = this.#scales;
    const size = this.#format.block;
    let c = 0;
    let v = 0;
    for (const [block, scale] of scales.entries()) {
      c += scale * weightedDot(w, codes, x, start + size * block, size);
      v += scale * scale * weightedDot(w, codes, codes, start + size * block, size);
    }
    this.#d = v > 0 ? c / v : 0;
    return this.#d * c;
  }
}

/** Writes codes and scales of a superblock of Q3_K: all but d. */
export function packQ3_K(codes: Float32Array, scales: Float32Array, out: Uint8Array, at: number): void {
  packTwoBits((i) => codes[i]! + 4, out, at + 32);
  for (let l = 0; l < 32; l++) {
    let thirdBits = 0;
    for (let k = 0; k < 8; k++) {
      if (codes[32 * k + l]! >= 0) {
        thirdBits |= 1 << k;
      }
    }
    out[at + l] = thirdBits;
  }
  out.fill(0, at + 96, at + 108);
  for (let block = 0; block < 16; block++) {
    const scale = scales[block]! + 32;
    out[at + 96 + (block & 7)]! |= (scale & 15) << (block < 8 ? 0 : 4);
    out[at + 104 + (block & 3)]! |= (scale >> 4) << (2 * (block >> 2));
  }
}

export const encodeQ3_K = scaleSuperblockEncoder({
  block: 16,
  blockBytes: 110,
  dAt: 108,
  ...searchedIn(integers(-4, 3), q3kCandidates, 16),
  quantizeScale: integers(-32, 31),
  topScale: 32,
  scaleCandidates: sixBitScales,
  scaleSteps: unitSteps,
  triedBelow: { fast: Infinity, default: Infinity, fine: Infinity },
  pack: packQ3_K,
});

export const encodeQ6_K = scaleSuperblockEncoder({
  block: 16,
  blockBytes: 210,
  dAt: 208,
  quantize: integers(-32, 31),
  search: searchResidues,
  steps: { fast: 2, default: 3, fine: 4 },
  quantizeScale: integers(-128, 127),
  topScale: 128,
  scaleCandidates: eightBitScales,
  scaleSteps: 4,
  triedBelow: { fast: 16, default: 16, fine: Infinity },
  pack(codes, scales, out, at) {
    for (let half = 0; half < 2; half++) {
      const number = (quarter: number, l: number) => codes[128 * half + 32 * quarter + l]! + 32;
      for (let l = 0; l < 32; l++) {
        const [a, b, c, d] = [number(0, l), number(1, l), number(2, l), number(3, l)];
        out[at + 64 * half + l] = (a & 15) | ((c & 15) << 4);
        out[at + 64 * half + 32 + l] = (b & 15) | ((d & 15) << 4);
        out[at + 128 + 32 * half + l] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6);
      }
    }
    for (let block = 0; block < 16; block++) {
      out[at + 192 + block] = scales[block]!;
    }
  },
});

export const encodeIQ4_XS = scaleSuperblockEncoder({
  block: 32,
  blockBytes: 136,
  dAt: 0,
  ...searchedIn(nearestIQ4Level, iq4Candidates, 32),
  quantizeScale: integers(-32, 31),
  topScale: 32,
  scaleCandidates: sixBitScales,
  scaleSteps: unitSteps,
  triedBelow: { fast: Infinity, default: Infinity, fine: Infinity },
  pack(codes, scales, out, at) {
    let upper = 0;
    out.fill(0, at + 4, at + 8);
    for (let block = 0; block < 8; block++) {
      const scale = scales[block]! + 32;
      out[at + 4 + (block >> 1)]! |= (scale & 15) << (4 * (block & 1));
      upper |= (scale >> 4) << (2 * block);
      packNibbles((i) => iq4Codes.get(codes[32 * block + i]!)!, out, at + 8 + 16 * block);
    }
    writeU16(out, at + 2, upper);
  },
});
