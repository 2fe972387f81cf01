/**
 * The search for scale and offset of a block whose weights are stored as s l + b, with codes l from 0 to `top`.
 *
 * A candidate maps a part of the block's range, cut a little at both ends, to the codes. For fixed codes the best
 * scale is s = c / v, with x centred on its weighted mean, c = sum w l (x - mean) and the variance of the codes
 * v = sum w l^2 - (sum w l)^2 / sum w; the offset follows, and the error is sum w (x - mean)^2 - c^2 / v. Formats
 * with a minimum to subtract cannot have b > 0: there b = 0 and the scale is fitted alone.
 *
 * Lanes as in `scale-search.ts`.
 */
import { clamp, nearestInteger, sum, weightedSum } from "./lanes.js";
import { nextToZero } from "./scale-search.js";

const { fround, max, min } = Math;

/**
 * Candidates: quotient = stretch (x - lowest) / range + shift. Four stretches and four shifts (one for each lane) per
 * step.
 */
export type RangeCandidates = Float32Array;

/**
 * All combinations of cuts at the upper end (one in each lane) and the lower end (one in each step) of a block's range:
 * parts of the range that are not covered by codes or, if negative, covered in addition.
 */
export function cutRanges(
  top: number,
  upper: readonly [number, number, number, number],
  lower: readonly number[],
): RangeCandidates {
  const candidates = new Float32Array(8 * lower.length);
  for (const [step, below] of lower.entries()) {
    for (const [lane, above] of upper.entries()) {
      const stretch = fround(top / (1 - below - above));
      candidates[8 * step + lane] = stretch;
      candidates[8 * step + 4 + lane] = -below * stretch;
    }
  }
  return candidates;
}

/** The result of a search. */
export interface RangeFit {
  scale: number;
  offset: number;
  /** How much the error grows with the square of a deviation of the scale, the offset adapting. */
  curvature: number;
  /** Sum of the weights' importance. */
  importance: number;
  /** Mean of the weights by importance. */
  mean: number;
}

/** Room for a result. */
export function newRangeFit(): RangeFit {
  return { scale: 0, offset: 0, curvature: 0, importance: 0, mean: 0 };
}

/** Below this part of sum w l^2, rounding errors hide the variance of the codes. */
const leastVariance = 2 ** -16;

/**
 * Finds the best scale and offset of the `count` weights from `x[at]`.
 * @param w importance, one positive number per weight, at the same places
 * @param steps how many steps of the candidates to take
 * @param anyOffset whether offsets above zero can be stored
 */
export function searchRange(
  x: Float32Array,
  w: Float32Array,
  at: number,
  count: number,
  top: number,
  candidates: RangeCandidates,
  steps: number,
  anyOffset: boolean,
  fit: RangeFit,
): void {
  let [lowest, highest] = anyOffset ? [x[at]!, x[at]!] : [min(x[at]!, 0), x[at]!];
  for (let i = at; i < at + count; i++) {
    lowest = min(lowest, x[i]!);
    highest = max(highest, x[i]!);
  }
  const range = fround(highest - lowest);
  const total = sum(w, at, count);
  const mean = fround(weightedSum(w, x, at, count) / total);
  fit.importance = total;
  fit.mean = mean;
  fit.offset = lowest;
  fit.scale = fround(range / top);
  fit.curvature = total;
  if (range < nextToZero) {
    fit.scale = 0;
    return;
  }
  let best = 0;
  for (let lane = 0; lane < 4; lane++) {
    for (let candidate = lane; candidate < 8 * steps; candidate += 8) {
      const inverse = fround(candidates[candidate]! / range);
      const shift = candidates[candidate + 4]!;
      let c = 0;
      let sumL = 0;
      let sumL2 = 0;
      for (let i = at; i < at + count; i++) {
        const quotient = fround(fround(fround(x[i]! - lowest) * inverse) + shift);
        const code = clamp(nearestInteger(quotient), 0, top);
        const weighted = fround(w[i]! * code);
        c = fround(c + fround(weighted * fround(x[i]! - mean)));
        sumL = fround(sumL + weighted);
        sumL2 = fround(sumL2 + fround(weighted * code));
      }
      const meanL = fround(sumL / total);
      let v = fround(sumL2 - fround(sumL * meanL));
      const hidden = v < fround(sumL2 * leastVariance);
      let scale = fround(c / v);
      let offset = fround(mean - fround(scale * meanL));
      let score = fround(c * scale);
      if (anyOffset ? hidden : hidden || offset > 0) {
        if (anyOffset) {
          continue;
        }
        const product = fround(c + fround(mean * sumL));
        v = sumL2;
        scale = fround(product / sumL2);
        offset = 0;
        score = fround(fround(product * scale) - fround(fround(mean * mean) * total));
      }
      if (score > best && scale > 0) {
        best = score;
        fit.scale = scale;
        fit.offset = offset;
        fit.curvature = v;
      }
    }
  }
}
