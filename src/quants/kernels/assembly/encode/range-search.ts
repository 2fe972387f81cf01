// The search for scale and offset of a block, with a candidate in each lane, two steps of candidates at a time.
// Reference: src/quants/range-search.ts.
import { max_f32x4, sum_f32x4 } from "../lanes";

/** Results of the last search; see RangeFit of the reference. */
export let range_scale: f32 = 0;
export let range_offset: f32 = 0;
export let range_curvature: f32 = 0;
export let range_importance: f32 = 0;
export let range_mean: f32 = 0;

const next_to_zero: f32 = 1e-20;
const least_variance: f32 = 1.0 / 65536;

/** The best so far, in each lane. */
let best_score: v128 = f32x4.splat(0);
let best_scale: v128 = f32x4.splat(0);
let best_offset: v128 = f32x4.splat(0);
let best_curvature: v128 = f32x4.splat(0);

/** Fits scale and offset to the sums of four candidates, and keeps them where they are better. */
// @ts-ignore: decorator
@inline
function judge(c: v128, l1: v128, l2: v128, total: v128, mean: v128, any: bool): void {
  const zero = f32x4.splat(0);
  const meanL = f32x4.div(l1, total);
  let v = f32x4.sub(l2, f32x4.mul(l1, meanL));
  const hidden = f32x4.lt(v, f32x4.mul(l2, f32x4.splat(least_variance)));
  let scale = f32x4.div(c, v);
  let offset = f32x4.sub(mean, f32x4.mul(scale, meanL));
  let score = f32x4.mul(c, scale);
  if (any) {
    score = v128.andnot(score, hidden);
  } else {
    // Where no offset above zero can be stored: through zero.
    const bound = v128.or(hidden, f32x4.gt(offset, zero));
    const product = f32x4.add(c, f32x4.mul(mean, l1));
    const boundScale = f32x4.div(product, l2);
    const boundScore = f32x4.sub(f32x4.mul(product, boundScale), f32x4.mul(f32x4.mul(mean, mean), total));
    v = v128.bitselect(l2, v, bound);
    scale = v128.bitselect(boundScale, scale, bound);
    offset = v128.andnot(offset, bound);
    score = v128.bitselect(boundScore, score, bound);
  }
  const better = v128.and(f32x4.gt(score, best_score), f32x4.gt(scale, zero));
  best_score = v128.bitselect(score, best_score, better);
  best_scale = v128.bitselect(scale, best_scale, better);
  best_offset = v128.bitselect(offset, best_offset, better);
  best_curvature = v128.bitselect(v, best_curvature, better);
}

/** The best scale and offset of `count` (a multiple of 4) weights; `any`: also offsets above zero. */
// @ts-ignore: decorator
@inline
export function search_range(
  x: usize,
  w: usize,
  count: i32,
  top: f32,
  candidates: usize,
  steps: i32,
  any: bool,
): void {
  const end = x + (<usize>count << 2);
  let highs = v128.load(x);
  let lows = any ? highs : f32x4.pmin(highs, f32x4.splat(0));
  let totals = f32x4.splat(0);
  let sums = f32x4.splat(0);
  for (let at = x, wat = w; at < end; at += 16, wat += 16) {
    const weights = v128.load(at);
    const importance = v128.load(wat);
    lows = f32x4.pmin(lows, weights);
    highs = f32x4.pmax(highs, weights);
    totals = f32x4.add(totals, importance);
    sums = f32x4.add(sums, f32x4.mul(importance, weights));
  }
  const lowest = -max_f32x4(f32x4.neg(lows));
  const range = max_f32x4(highs) - lowest;
  range_importance = sum_f32x4(totals);
  range_mean = sum_f32x4(sums) / range_importance;
  range_offset = lowest;
  range_scale = range / top;
  range_curvature = range_importance;
  if (range < next_to_zero) {
    range_scale = 0;
    return;
  }
  const zero = f32x4.splat(0);
  const tops = f32x4.splat(top);
  const low = f32x4.splat(lowest);
  const ranges = f32x4.splat(range);
  const total = f32x4.splat(range_importance);
  const mean = f32x4.splat(range_mean);
  best_score = zero;
  best_scale = zero;
  best_offset = zero;
  best_curvature = zero;
  for (; steps > 0; steps -= 2, candidates += 64) {
    const inverseA = f32x4.div(v128.load(candidates), ranges);
    const shiftA = v128.load(candidates, 16);
    const inverseB = f32x4.div(v128.load(candidates, 32), ranges);
    const shiftB = v128.load(candidates, 48);
    let cA = zero;
    let l1A = zero;
    let l2A = zero;
    let cB = zero;
    let l1B = zero;
    let l2B = zero;
    for (let at = x, wat = w; at < end; at += 4, wat += 4) {
      const weight = v128.load32_splat(at);
      const importance = v128.load32_splat(wat);
      const raised = f32x4.sub(weight, low);
      const centred = f32x4.sub(weight, mean);
      const quotientA = f32x4.add(f32x4.mul(raised, inverseA), shiftA);
      const codeA = f32x4.pmax(zero, f32x4.pmin(tops, f32x4.nearest(quotientA)));
      const weightedA = f32x4.mul(importance, codeA);
      cA = f32x4.add(cA, f32x4.mul(weightedA, centred));
      l1A = f32x4.add(l1A, weightedA);
      l2A = f32x4.add(l2A, f32x4.mul(weightedA, codeA));
      const quotientB = f32x4.add(f32x4.mul(raised, inverseB), shiftB);
      const codeB = f32x4.pmax(zero, f32x4.pmin(tops, f32x4.nearest(quotientB)));
      const weightedB = f32x4.mul(importance, codeB);
      cB = f32x4.add(cB, f32x4.mul(weightedB, centred));
      l1B = f32x4.add(l1B, weightedB);
      l2B = f32x4.add(l2B, f32x4.mul(weightedB, codeB));
    }
    judge(cA, l1A, l2A, total, mean, any);
    judge(cB, l1B, l2B, total, mean, any);
  }
  let score: f32 = 0;
  if (f32x4.extract_lane(best_score, 0) > score) {
    score = f32x4.extract_lane(best_score, 0);
    range_scale = f32x4.extract_lane(best_scale, 0);
    range_offset = f32x4.extract_lane(best_offset, 0);
    range_curvature = f32x4.extract_lane(best_curvature, 0);
  }
  if (f32x4.extract_lane(best_score, 1) > score) {
    score = f32x4.extract_lane(best_score, 1);
    range_scale = f32x4.extract_lane(best_scale, 1);
    range_offset = f32x4.extract_lane(best_offset, 1);
    range_curvature = f32x4.extract_lane(best_curvature, 1);
  }
  if (f32x4.extract_lane(best_score, 2) > score) {
    score = f32x4.extract_lane(best_score, 2);
    range_scale = f32x4.extract_lane(best_scale, 2);
    range_offset = f32x4.extract_lane(best_offset, 2);
    range_curvature = f32x4.extract_lane(best_curvature, 2);
  }
  if (f32x4.extract_lane(best_score, 3) > score) {
    range_scale = f32x4.extract_lane(best_scale, 3);
    range_offset = f32x4.extract_lane(best_offset, 3);
    range_curvature = f32x4.extract_lane(best_curvature, 3);
  }
}
