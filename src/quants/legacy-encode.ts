/**
 * Encoders of formats with blocks of 32 weights that each have their own F16 scale: the oldest ones and IQ4_NL.
 * Layouts: `legacy.ts`, `iq4.ts`.
 *
 * Scale (and offset) are searched per block, rounded to F16 before codes are chosen (which matters where F16 is
 * coarse), fitted again to those codes, and corrected for the row's gain.
 */
import type { RowEncoder } from "./block.js";
import { fiveBitRanges, fourBitRanges, iq4Candidates, q4_0Candidates, q5_0Candidates } from "./candidates.js";
import { gainCorrection } from "./gain.js";
import { f32ToF16, roundToF16, scaleToF16, writeU16 } from "./half.js";
import { limitWeights, normalizeImportance } from "./importance.js";
import { iq4Codes, nearestIQ4Level } from "./iq4.js";
import { clamp, invert, nearestInteger, weightedDot, weightedSum } from "./lanes.js";
import { packFifthBits, packNibbles } from "./pack.js";
import { newRangeFit, type RangeCandidates, searchRange } from "./range-search.js";
import {
  type Candidates,
  integers,
  type Quantizer,
  type ScaleFit,
  searchScale,
  searchSteps,
} from "./scale-search.js";

const { abs, fround, max, min } = Math;

/**
 * An encoder of blocks with a scale at their start.
 * @param pack writes the block's codes (levels, as the quantizer gives them) to its bytes
 */
function scaleEncoder(
  blockBytes: number,
  quantize: Quantizer,
  candidates: Candidates,
  pack: (codes: Float32Array, out: Uint8Array, at: number) => void,
): RowEncoder {
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    const fit: ScaleFit = { scale: 0, curvature: 0 };
    const scales = new Float64Array(x.length / 32);
    const codes = new Float32Array(x.length);
    let product = 0;
    let square = 0;
    for (let block = 0; block < scales.length; block++) {
      const at = 32 * block;
      searchScale(x, w, at, 32, quantize, candidates, searchSteps[effort], fit);
      const inverse = invert(roundToF16(fit.scale));
      for (let i = at; i < at + 32; i++) {
        codes[i] = quantize(fround(x[i]! * inverse));
      }
      const c = weightedDot(w, codes, x, at, 32);
      const v = weightedDot(w, codes, codes, at, 32);
      scales[block] = v > 0 ? c / v : 0;
      product += scales[block]! * c;
      square += weightedDot(w, x, x, at, 32);
      pack(codes.subarray(at, at + 32), out, blockBytes * block);
    }
    const correction = gainCorrection(square, product);
    for (let block = 0; block < scales.length; block++) {
      writeU16(out, blockBytes * block, scaleToF16(correction * scales[block]!));
    }
  };
}

export const encodeQ4_0 = scaleEncoder(18, integers(-8, 7), q4_0Candidates, (codes, out, at) =>
  packNibbles((i) => codes[i]! + 8, out, at + 2),
);

export const encodeQ5_0 = scaleEncoder(22, integers(-16, 15), q5_0Candidates, (codes, out, at) => {
  packFifthBits((i) => codes[i]! + 16, out, at + 2);
  packNibbles((i) => codes[i]! + 16, out, at + 6);
});

export const encodeIQ4_NL = scaleEncoder(18, nearestIQ4Level, iq4Candidates, (codes, out, at) =>
  packNibbles((i) => iq4Codes.get(codes[i]!)!, out, at + 2),
);

/** An encoder of blocks that start with scale and offset. */
function rangeEncoder(
  blockBytes: number,
  top: number,
  candidates: RangeCandidates,
  pack: (codes: Float32Array, out: Uint8Array, at: number) => void,
): RowEncoder {
  return (row, importance, out, effort) => {
    const x = limitWeights(row);
    const w = normalizeImportance(importance, x.length);
    const fit = newRangeFit();
    const scales = new Float64Array(x.length / 32);
    const offsets = new Float64Array(x.length / 32);
    const codes = new Float32Array(x.length);
    let product = 0;
    let square = 0;
    for (let block = 0; block < scales.length; block++) {
      const at = 32 * block;
      searchRange(x, w, at, 32, top, candidates, searchSteps[effort], true, fit);
      const offset = roundToF16(fit.offset);
      const inverse = invert(roundToF16(fit.scale));
      for (let i = at; i < at + 32; i++) {
        codes[i] = clamp(nearestInteger(fround(fround(x[i]! - offset) * inverse)), 0, top);
      }
      // Least squares of x - scale codes - offset.
      const sumXL = weightedDot(w, codes, x, at, 32);
      const meanL = weightedSum(w, codes, at, 32) / fit.importance;
      const c = sumXL - meanL * fit.mean * fit.importance;
      const v = weightedDot(w, codes, codes, at, 32) - meanL * meanL * fit.importance;
      scales[block] = v > fit.importance * 2 ** -16 && c > 0 ? c / v : fit.scale;
      offsets[block] = fit.mean - scales[block]! * meanL;
      product += scales[block]! * sumXL + offsets[block]! * fit.mean * fit.importance;
      square += weightedDot(w, x, x, at, 32);
      pack(codes.subarray(at, at + 32), out, blockBytes * block);
    }
    const correction = gainCorrection(square, product);
    for (let block = 0; block < scales.length; block++) {
      writeU16(out, blockBytes * block, scaleToF16(correction * scales[block]!));
      writeU16(out, blockBytes * block + 2, scaleToF16(correction * offsets[block]!));
    }
  };
}

export const encodeQ4_1 = rangeEncoder(20, 15, fourBitRanges, (codes, out, at) =>
  packNibbles((i) => codes[i]!, out, at + 4),
);

export const encodeQ5_1 = rangeEncoder(24, 31, fiveBitRanges, (codes, out, at) => {
  packFifthBits((i) => codes[i]!, out, at + 4);
  packNibbles((i) => codes[i]!, out, at + 8);
});

/**
 * The bytes of `quantize_row_q8_0_ref` in `ggml-quants.c` (and of gguf-py), whatever the importance: d = max / 127,
 * codes rounded half away from zero. Where that would give an infinite d (weights beyond 8 million), d is the
 * largest F16 number instead.
 */
export const encodeQ8_0: RowEncoder = (row, _importance, out) => {
  for (let block = 0; block < row.length / 32; block++) {
    const at = 34 * block;
    let largest = 0;
    for (let i = 0; i < 32; i++) {
      largest = max(largest, abs(row[32 * block + i]!));
    }
    const d = min(fround(largest / 127), 65504);
    const inverse = d > 2 ** -126 ? fround(1 / d) : 0;
    writeU16(out, at, f32ToF16(d));
    for (let i = 0; i < 32; i++) {
      const scaled = fround(row[32 * block + i]! * inverse);
      const rounded = Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
      out[at + 2 + i] = clamp(rounded, -127, 127);
    }
  }
};
