/**
 * The search for the scale of a block of 16 weights with codes from -32 to 31, in whole numbers.
 *
 * With so many codes nearly everything depends on the luck of rounding, and what has to be known of a candidate is the
 * residue of each quotient, what rounding takes from it. Weights are written as shares of the largest, in 2^-15. A
 * candidate gives the largest weight a code n, so a share times 2 n is the quotient in 2^-16, and in 16 bits all but the
 * residue overflows: there is nothing to round. Then the error at the candidate's own scale is the sum of w r^2, and of
 * that the best scale for the same codes spares (sum w r x)^2 / sum w x^2.
 *
 * A SIMD kernel has a block in each lane. Sums are of whole numbers, so their order does not matter.
 */
import { clamp, nearestInteger } from "./lanes.js";
import { extentOf, nextToZero, type ScaleFit } from "./scale-search.js";

const { abs, fround, max, min } = Math;

/** Weights of a block. */
const size = 16;

/** The share of the largest weight. It becomes the lowest code, of which there is one more than above zero. */
const wholeShare = -32768;

/** The largest importance of a block; sums of 16 stay below 2^31. */
const wholeImportance = 255;

/** Codes for the largest weight that a step tries: the four from its first on. */
const firstCodes = [29, 25, 21, 17] as const;

/** The code that may be out of reach for weights of the opposite sign, and up to what part of the largest it is not. */
const lowestCode = 32;
const withinReach = 31.5 / lowestCode;

/**
 * Finds the best scale of the 16 weights from `x[at]`.
 * @param w importance, one positive number per weight, at the same places
 * @param steps how many steps of candidates to take, up to 4
 */
export function searchResidues(
  x: Float32Array,
  w: Float32Array,
  at: number,
  steps: number,
  fit: ScaleFit,
): void {
  fit.scale = 0;
  fit.curvature = 0;
  const [lowest, highest] = extentOf(x, w, at, size);
  const largest = highest >= -lowest ? highest : lowest;
  if (abs(largest) < nextToZero) {
    return;
  }
  const isWithinReach = min(highest, -lowest) <= fround(abs(largest) * withinReach);
  const toShare = fround(wholeShare / largest);
  const most = max(...w.subarray(at, at + size));
  const toImportance = fround(wholeImportance / most);
  const shares = new Int32Array(size);
  const importance = new Int32Array(size);
  const products = new Int32Array(size);
  let square = 0;
  for (let i = 0; i < size; i++) {
    shares[i] = nearestInteger(clamp(fround(x[at + i]! * toShare), wholeShare, -wholeShare - 1));
    importance[i] = nearestInteger(fround(w[at + i]! * toImportance));
    const coarse = shares[i]! >> 8;
    products[i] = importance[i]! * coarse;
    square += products[i]! * coarse;
  }
  const inverseSquare = square === 0 ? 0 : fround(1 / square);

  let best = Infinity;
  let bestCode = 0;
  let bestCross = 0;
  for (const first of firstCodes.slice(0, steps)) {
    for (let code: number = first; code < first + 4; code++) {
      if (code === lowestCode && !isWithinReach) {
        continue;
      }
      let error = 0;
      let cross = 0;
      for (let i = 0; i < size; i++) {
        const residue = ((shares[i]! * 2 * code) << 16) >> 24;
        error += importance[i]! * residue * residue;
        cross += products[i]! * residue;
      }
      cross = fround(cross);
      const spared = fround(fround(cross * cross) * inverseSquare);
      const score = fround(fround(fround(error) - spared) * fround(1 / (code * code)));
      if (score < best) {
        best = score;
        bestCode = code;
        bestCross = cross;
      }
    }
  }
  const scale = fround(-largest / bestCode);
  const shift = fround(fround(bestCross * inverseSquare) * fround(0.5 / bestCode));
  fit.scale = fround(scale + fround(scale * shift));
  fit.curvature = fround(fround(bestCode * bestCode * fround(square)) * most);
}
