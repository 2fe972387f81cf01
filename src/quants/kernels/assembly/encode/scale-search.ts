// The search for the scale of a block, with a candidate in each lane, two steps of candidates at a time.
// Reference: src/quants/scale-search.ts.
import { max_f32x4 } from "../lanes";
import { iq4NearestLevels } from "../tables";

/** Results of the last search. */
export let found_scale: f32 = 0;
export let found_curvature: f32 = 0;

export const next_to_zero: f32 = 1e-20;
/** Weights with less than this part of the largest w x^2 hardly matter. */
export const mattering: f32 = 1.0 / 1024;

/** Steps of candidates that a search of blocks takes: 2, 4 or 8. */
// @ts-ignore: decorator
@inline
export function search_steps(effort: i32): i32 {
  return 2 << effort;
}

/** Nearest integers from low to high. */
// @ts-ignore: decorator
@inline
export function nearest_code(quotient: v128, low: v128, high: v128): v128 {
  return f32x4.pmax(low, f32x4.pmin(high, f32x4.nearest(quotient)));
}

/** Twice the quotients, rounded down, plus 256: places in the tables of nearest levels, times 4. */
// @ts-ignore: decorator
@inline
export function level_places(quotient: v128): v128 {
  const doubled = f32x4.add(f32x4.add(quotient, quotient), f32x4.splat(255.5));
  const place = f32x4.pmax(f32x4.splat(0), f32x4.pmin(f32x4.splat(511), doubled));
  // Added to 2^23, a float32 has its integer in the lowest bits.
  return v128.and(i32x4.shl(f32x4.add(place, f32x4.splat(8388608)), 2), i32x4.splat(2044));
}

/** The levels at four places. */
// @ts-ignore: decorator
@inline
export function levels_at(places: v128): v128 {
  let levels = v128.load32_zero(iq4NearestLevels + i32x4.extract_lane(places, 0));
  levels = v128.load32_lane(iq4NearestLevels + i32x4.extract_lane(places, 1), levels, 1);
  levels = v128.load32_lane(iq4NearestLevels + i32x4.extract_lane(places, 2), levels, 2);
  return v128.load32_lane(iq4NearestLevels + i32x4.extract_lane(places, 3), levels, 3);
}

// @ts-ignore: decorator
@inline
function quantize(quotient: v128, low: v128, high: v128, levels: bool): v128 {
  return levels ? levels_at(level_places(quotient)) : nearest_code(quotient, low, high);
}

/** The weight of the largest magnitude among those that matter; 0 if there is next to none. */
function largest_weight(x: usize, w: usize, count: i32): f32 {
  const end = x + (<usize>count << 2);
  let most = f32x4.splat(0);
  for (let at = x, wat = w; at < end; at += 16, wat += 16) {
    const weights = v128.load(at);
    most = f32x4.pmax(most, f32x4.mul(f32x4.mul(v128.load(wat), weights), weights));
  }
  const enough = f32x4.splat(max_f32x4(most) * mattering);
  let highest = f32x4.splat(0);
  let lowest = f32x4.splat(0);
  for (let at = x, wat = w; at < end; at += 16, wat += 16) {
    const weights = v128.load(at);
    const matters = f32x4.ge(f32x4.mul(f32x4.mul(v128.load(wat), weights), weights), enough);
    highest = f32x4.pmax(highest, v128.and(weights, matters));
    lowest = f32x4.pmin(lowest, v128.and(weights, matters));
  }
  const above = max_f32x4(highest);
  const below = max_f32x4(f32x4.neg(lowest));
  if (max(above, below) < next_to_zero) return 0;
  return above >= below ? above : -below;
}

// @ts-ignore: decorator
@inline
function search(
  x: usize,
  w: usize,
  count: i32,
  low: f32,
  high: f32,
  candidates: usize,
  steps: i32,
  levels: bool,
): void {
  found_scale = 0;
  found_curvature = 0;
  const largest = f32x4.splat(largest_weight(x, w, count));
  if (f32x4.extract_lane(largest, 0) == 0) return;
  const end = x + (<usize>count << 2);
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  let bestScore = f32x4.splat(0);
  let bestScale = f32x4.splat(0);
  let bestCurvature = f32x4.splat(0);
  for (; steps > 0; steps -= 2, candidates += 32) {
    const inverseA = f32x4.div(v128.load(candidates), largest);
    const inverseB = f32x4.div(v128.load(candidates, 16), largest);
    let cA = f32x4.splat(0);
    let cB = f32x4.splat(0);
    let vA = f32x4.splat(0);
    let vB = f32x4.splat(0);
    for (let at = x, wat = w; at < end; at += 4, wat += 4) {
      const weight = v128.load32_splat(at);
      const importance = v128.load32_splat(wat);
      const codeA = quantize(f32x4.mul(weight, inverseA), lows, highs, levels);
      const codeB = quantize(f32x4.mul(weight, inverseB), lows, highs, levels);
      const weightedA = f32x4.mul(importance, codeA);
      const weightedB = f32x4.mul(importance, codeB);
      cA = f32x4.add(cA, f32x4.mul(weightedA, weight));
      cB = f32x4.add(cB, f32x4.mul(weightedB, weight));
      vA = f32x4.add(vA, f32x4.mul(weightedA, codeA));
      vB = f32x4.add(vB, f32x4.mul(weightedB, codeB));
    }
    const scaleA = f32x4.div(cA, vA);
    const scoreA = f32x4.mul(scaleA, cA);
    const betterA = f32x4.gt(scoreA, bestScore);
    bestScore = v128.bitselect(scoreA, bestScore, betterA);
    bestScale = v128.bitselect(scaleA, bestScale, betterA);
    bestCurvature = v128.bitselect(vA, bestCurvature, betterA);
    const scaleB = f32x4.div(cB, vB);
    const scoreB = f32x4.mul(scaleB, cB);
    const betterB = f32x4.gt(scoreB, bestScore);
    bestScore = v128.bitselect(scoreB, bestScore, betterB);
    bestScale = v128.bitselect(scaleB, bestScale, betterB);
    bestCurvature = v128.bitselect(vB, bestCurvature, betterB);
  }
  let score: f32 = 0;
  if (f32x4.extract_lane(bestScore, 0) > score) {
    score = f32x4.extract_lane(bestScore, 0);
    found_scale = f32x4.extract_lane(bestScale, 0);
    found_curvature = f32x4.extract_lane(bestCurvature, 0);
  }
  if (f32x4.extract_lane(bestScore, 1) > score) {
    score = f32x4.extract_lane(bestScore, 1);
    found_scale = f32x4.extract_lane(bestScale, 1);
    found_curvature = f32x4.extract_lane(bestCurvature, 1);
  }
  if (f32x4.extract_lane(bestScore, 2) > score) {
    score = f32x4.extract_lane(bestScore, 2);
    found_scale = f32x4.extract_lane(bestScale, 2);
    found_curvature = f32x4.extract_lane(bestCurvature, 2);
  }
  if (f32x4.extract_lane(bestScore, 3) > score) {
    found_scale = f32x4.extract_lane(bestScale, 3);
    found_curvature = f32x4.extract_lane(bestCurvature, 3);
  }
}

/** The best scale for integer codes from low to high of `count` (a multiple of 4) weights. */
export function search_scale(
  x: usize,
  w: usize,
  count: i32,
  low: f32,
  high: f32,
  candidates: usize,
  steps: i32,
): void {
  search(x, w, count, low, high, candidates, steps, false);
}

/** The best scale for the levels of IQ4_NL and IQ4_XS. */
export function search_level_scale(x: usize, w: usize, count: i32, candidates: usize, steps: i32): void {
  search(x, w, count, 0, 0, candidates, steps, true);
}
