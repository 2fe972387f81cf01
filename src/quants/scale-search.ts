/**
 * The search for the scale of a block: weights x are stored as small integer codes (or unequally spaced levels) l
 * times a scale s, and the weighted error sum w (x - s l)^2 shall be small.
 *
 * A candidate for 1/s gives the codes l = nearestInteger(x / s). For fixed codes the best scale is s = c / v, with
 * c = sum w l x and v = sum w l^2, and leaves the error sum w x^2 - c^2 / v: the candidate with the largest c^2 / v
 * wins, and no candidate needs a second look at the weights. (llama.cpp's `make_qx_quants` rests on the same
 * identity.)
 *
 * Candidates come in four lanes, which are compared one after another: a SIMD kernel with a candidate in each lane
 * then finds the same one, to the last bit.
 */
import type { Effort } from "./effort.js";
import { roundToF16 } from "./half.js";
import { clamp, nearestInteger } from "./lanes.js";

const { abs, fround, max, min } = Math;

/** What a weight divided by its scale becomes: a code, or a level of a codebook. */
export type Quantizer = (quotient: number) => number;

/** The quantizer to integers from `low` to `high`. */
export function integers(low: number, high: number): Quantizer {
  return (quotient) => clamp(nearestInteger(quotient), low, high);
}

/**
 * Where candidates lie: each number is the quotient that the largest weight that matters shall get. Four numbers
 * (one for each lane) per step.
 */
export type Candidates = Float32Array;

/** Steps of candidates that a search of blocks takes. */
export const searchSteps: Readonly<Record<Effort, number>> = { fast: 2, default: 4, fine: 8 };

/** Steps that a search of the unit of integer scales takes. */
export const unitSteps = 2;

/** Candidates in four arithmetic progressions, one in each lane: `first` plus each of `steps` times `stride`. */
export function progressions(
  first: readonly [number, number, number, number],
  stride: readonly [number, number, number, number],
  steps: readonly number[],
): Candidates {
  return Float32Array.from(
    steps.flatMap((step) => first.map((quotient, lane) => quotient + step * stride[lane]!)),
  );
}

/** The result of a search. */
export interface ScaleFit {
  /** Best scale found; 0 if all weights are (next to) zero. */
  scale: number;
  /** How much the error grows with the square of a deviation from that scale: sum w l^2. */
  curvature: number;
}

/** Weights with less than this part of the largest w x^2 of their block may be clipped: they hardly matter. */
const matteringShare = 2 ** -10;

/** If no weight of a block exceeds this, no F16 scale can hold the block. */
export const nextToZero = 1e-20;

/** The lowest and the highest of the `count` weights from `x[at]` that matter; not above and not below zero. */
export function extentOf(
  x: Float32Array,
  w: Float32Array,
  at: number,
  count: number,
): [lowest: number, highest: number] {
  let most = 0;
  for (let i = at; i < at + count; i++) {
    most = max(most, fround(fround(w[i]! * x[i]!) * x[i]!));
  }
  const enough = fround(most * matteringShare);
  let highest = 0;
  let lowest = 0;
  for (let i = at; i < at + count; i++) {
    if (fround(fround(w[i]! * x[i]!) * x[i]!) < enough) {
      continue;
    }
    highest = max(highest, x[i]!);
    lowest = min(lowest, x[i]!);
  }
  return [lowest, highest];
}

/**
 * Finds the best scale of the `count` weights from `x[at]`.
 * @param w importance, one positive number per weight, at the same places
 * @param steps how many steps of the candidates to take
 */
export function searchScale(
  x: Float32Array,
  w: Float32Array,
  at: number,
  count: number,
  quantize: Quantizer,
  candidates: Candidates,
  steps: number,
  fit: ScaleFit,
): void {
  fit.scale = 0;
  fit.curvature = 0;
  const [lowest, highest] = extentOf(x, w, at, count);
  const largest = highest >= -lowest ? highest : lowest;
  if (abs(largest) < nextToZero) {
    return;
  }
  let best = 0;
  for (let lane = 0; lane < 4; lane++) {
    for (let candidate = lane; candidate < 4 * steps; candidate += 4) {
      const inverse = fround(candidates[candidate]! / largest);
      let c = 0;
      let v = 0;
      for (let i = at; i < at + count; i++) {
        const code = quantize(fround(x[i]! * inverse));
        const weighted = fround(w[i]! * code);
        c = fround(c + fround(weighted * x[i]!));
        v = fround(v + fround(weighted * code));
      }
      const scale = fround(c / v);
      const score = fround(scale * c);
      if (score > best) {
        best = score;
        fit.scale = scale;
        fit.curvature = v;
      }
    }
  }
}

/**
 * A superblock's scale, found with integer scales up to `top` in mind, as F16 can hold it: where F16 knows next to no
 * numbers, below 2^-22, a larger one with smaller integers.
 */
export function superblockScale(found: number, top: number): number {
  const magnitude = abs(found);
  if (magnitude * top < 2 ** -25) {
    return 0;
  }
  const larger = max(magnitude, min(2 ** -22, (magnitude * top) / 7), 2 ** -24);
  return roundToF16(found < 0 ? -larger : larger);
}
