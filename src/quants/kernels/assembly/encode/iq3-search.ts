// Search for IQ3_XXS and IQ3_S: what src/quants/grid-encode.ts does for each block, with these differences:
//
// - A block's largest magnitude tells its scale well enough to begin with.
// - At eight sub-scales the cost of a block without the grid is computed, coarsely; for those whose error is not far
//   above the least, a table tells what the grid is expected to add. The grid is searched in the order of the sums,
//   down to what was found already: some two times instead of four. Without that expectation one would search where
//   the nearest levels fit well by chance, though the grid has no points there.
// - All of that is done with 16-bit integers, relative to a block's largest numbers.
//
// Best points of groups: iq3-tables.ts.
import { max_f32x4, sum_f32x4, sum_i32x4, to_i16 } from "../lanes";
import {
  add_entry,
  ENERGY,
  FIRST_RANKED,
  IMPORTANCE,
  points_of,
  POOL_SIZE,
  RANKING,
  SCALE,
  SEARCHED,
  SEARCHED_COST,
  SEARCHED_RANK,
  SEARCHED_SCALE,
  W,
  WX,
  X,
} from "./grid-memory";
import { EXCESS, isXxs, least_costs, linear_factors, MAGNITUDES, POINTS, S, STEPS, tables, Xxs } from "./iq3-tables";

/** i16[256] each: magnitudes, weights, and their products, relative to a block's largest; factors a of the groups. */
const INTEGER_X: usize = memory.data(512, 16);
const INTEGER_W: usize = memory.data(512, 16);
const INTEGER_WX: usize = memory.data(512, 16);
const A: usize = memory.data(512, 16);
/** i16[256] each: magnitudes relative to a block's largest, 250; square roots of weights, of the largest 63. */
const COARSE_X: usize = memory.data(512, 16);
const ROOTS: usize = memory.data(512, 16);
/** i16[64]: harmonic mean of a group's weights; of the largest weight it is 16384. */
const GROUP_WEIGHTS: usize = memory.data(128, 16);
/** f32[8], per block: largest magnitude and weight; what one in a sum of integer weights, or products, stands for. */
const LARGEST_X: usize = memory.data(32, 16);
const LARGEST_W: usize = memory.data(32, 16);
const UNIT_Q2: usize = memory.data(32, 16);
const UNIT_QX: usize = memory.data(32, 16);

// Per block, of eight ranked sub-scales each.
/** i16: factors that make of INTEGER_X x / 2s in 2048ths, and of COARSE_X in 4096ths. */
const INVERSES: usize = memory.data(8 * 16, 16);
const COARSE_INVERSES: usize = memory.data(8 * 16, 16);
/** f32: what an excess of one in integers costs. */
const UNITS: usize = memory.data(8 * 32, 16);

/** i32 of each block: a bit for each of the eight that is not hopeless. */
const CANDIDATES: usize = memory.data(32, 16);
/** i32[8][4]: squared errors of a block at its sub-scales, to be summed. */
const ERRORS: usize = memory.data(8 * 16, 16);
/** Per block and ranked sub-scale: i16[32], nearest levels less the weights, in 2048ths; i32[8], patterns of those
 *  levels times two. */
const RESTS: usize = memory.data(8 * 8 * 64, 16);
const LEVELS: usize = memory.data(8 * 8 * 32, 16);
/** i16[32]: factors b of the block that is searched. */
const B: usize = memory.data(64, 16);
/** u16[8]: places of the points found in the table of lists. */
const PLACES_FOUND: usize = memory.data(16, 16);

/** The largest magnitude as an integer, and the largest factor in INVERSES: a weight may be that of level 15. */
const MOST_X: f32 = 32000;
const MOST_INVERSE: f32 = 32760;
const MOST_ROOT: f32 = 63;

// Constant vectors. V8 would build them anew wherever they are used.
const WHOLE: usize = memory.data<i16>([-2048, -2048, -2048, -2048, -2048, -2048, -2048, -2048], 16);
const HALF: usize = memory.data<i16>([1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024], 16);
const SIX: usize = memory.data<i16>([12288, 12288, 12288, 12288, 12288, 12288, 12288, 12288], 16);
const SEVEN: usize = memory.data<i16>([14336, 14336, 14336, 14336, 14336, 14336, 14336, 14336], 16);
/** Half way between levels 6 and 7 of IQ3_XXS, and from one to the other. */
const TOP_BOUND: usize = memory.data<i16>([14592, 14592, 14592, 14592, 14592, 14592, 14592, 14592], 16);
const TOP_STEP: usize = memory.data<i16>([2560, 2560, 2560, 2560, 2560, 2560, 2560, 2560], 16);
const COARSE_WHOLE: usize = memory.data<i16>([-4096, -4096, -4096, -4096, -4096, -4096, -4096, -4096], 16);
const COARSE_SIX: usize = memory.data<i16>([24576, 24576, 24576, 24576, 24576, 24576, 24576, 24576], 16);
const COARSE_SEVEN: usize = memory.data<i16>([28672, 28672, 28672, 28672, 28672, 28672, 28672, 28672], 16);
const COARSE_HALF: usize = memory.data<i16>([32, 32, 32, 32, 32, 32, 32, 32], 16);
/** Errors above that count no more: then the sum of 32 squares fits 32 bits. */
const MOST_ERROR: usize = memory.data<i16>([11585, 11585, 11585, 11585, 11585, 11585, 11585, 11585], 16);
const COARSE_BOUND: usize = memory.data<i16>([72, 72, 72, 72, 72, 72, 72, 72], 16);
const COARSE_STEP: usize = memory.data<i16>([80, 80, 80, 80, 80, 80, 80, 80], 16);
const EVEN: usize = memory.data<f32>([0, 2, 4, 6, 8, 10, 12, 14], 16);
const DIGITS: usize = memory.data<i16>([1, 8, 64, 512, 1, 8, 64, 512], 16);

/** Makes integers of the superblock, and a first scale for each block. Returns a scale for the largest sub-scale. */
export function first_scales(): f32 {
  return isXxs ? prepare<Xxs>() : prepare<S>();
}

function prepare<Format>(): f32 {
  let largest: f32 = 0;
  for (let block: usize = 0; block < 32; block += 4) {
    const from = block << 5;
    let most = f32x4.splat(0);
    let mostW = most;
    let mostWX = most;
    let energy = most;
    for (let at = from; at < from + 128; at += 16) {
      const x = v128.load(at, X);
      const wx = v128.load(at, WX);
      most = f32x4.pmax(most, f32x4.abs(x));
      mostW = f32x4.pmax(mostW, v128.load(at, W));
      mostWX = f32x4.pmax(mostWX, f32x4.abs(wx));
      energy = f32x4.add(energy, f32x4.mul(wx, x));
    }
    const x = max_f32x4(most);
    const w = max_f32x4(mostW);
    const wx = max_f32x4(mostWX);
    store<f32>(block, sum_f32x4(energy), ENERGY);
    store<f32>(block, x, LARGEST_X);
    store<f32>(block, w, LARGEST_W);
    store<f32>(block, (sizeof<Format>() == 1 ? <f32>0.25 : <f32>1) * w * <f32>(1.0 / 32767.0), UNIT_Q2);
    store<f32>(block, (sizeof<Format>() == 1 ? <f32>0.5 : <f32>1) * wx * <f32>(1.0 / 32767.0), UNIT_QX);
    store<f32>(block, x * <f32>(1.0 / 15.0), SCALE);
    if (x > largest) largest = x;
    const xFactor = f32x4.splat(x > 0 ? MOST_X / x : 0);
    const wFactor = f32x4.splat(<f32>32767 / w);
    const wxFactor = f32x4.splat(wx > 0 ? <f32>32767 / wx : 0);
    for (let at = from; at < from + 128; at += 32) {
      store_magnitudes<Format>(at, xFactor);
      store_integers(at, WX, wxFactor, INTEGER_WX);
    }
    store_weights<Format>(from, wFactor);
    store_weights<Format>(from + 64, wFactor);
  }
  return largest * <f32>(1.03 / 15.0);
}

/** Eight magnitudes as integers, and as coarse ones. */
// @ts-ignore: decorator
@inline
function store_magnitudes<Format>(at: usize, factor: v128): void {
  const x = to_i16(f32x4.mul(v128.load(at, X), factor), f32x4.mul(v128.load(at, X + 16), factor));
  v128.store(at >> 1, x, INTEGER_X);
  const coarse = i16x8.shr_s(i16x8.add(x, i16x8.splat(64)), 7);
  v128.store(at >> 1, sizeof<Format>() == 1 ? i16x8.max_s(coarse, i16x8.splat(0)) : coarse, COARSE_X);
}

/** Eight numbers times a factor as i16. */
// @ts-ignore: decorator
@inline
function store_integers(at: usize, numbers: usize, factor: v128, integers: usize): void {
  const low = f32x4.mul(v128.load(at + numbers), factor);
  v128.store((at >> 1) + integers, to_i16(low, f32x4.mul(v128.load(at + numbers, 16), factor)));
}

/** Square roots of eight weights as integers. */
// @ts-ignore: decorator
@inline
function roots(low: v128, high: v128): v128 {
  const factor = f32x4.splat(MOST_ROOT / 181.02);
  return to_i16(f32x4.mul(f32x4.sqrt(low), factor), f32x4.mul(f32x4.sqrt(high), factor));
}

/** Weights of four groups as integers, their factors a, and their harmonic means. */
// @ts-ignore: decorator
@inline
function store_weights<Format>(at: usize, factor: v128): void {
  const w0 = f32x4.mul(v128.load(at, W), factor);
  const w1 = f32x4.mul(v128.load(at, W + 16), factor);
  const w2 = f32x4.mul(v128.load(at, W + 32), factor);
  const w3 = f32x4.mul(v128.load(at, W + 48), factor);
  v128.store(at >> 1, to_i16(w0, w1), INTEGER_W);
  v128.store(at >> 1, to_i16(w2, w3), INTEGER_W + 16);
  v128.store(at >> 1, roots(w0, w1), ROOTS);
  v128.store(at >> 1, roots(w2, w3), ROOTS + 16);
  const even01 = v128.shuffle<u32>(w0, w1, 0, 4, 2, 6);
  const odd01 = v128.shuffle<u32>(w0, w1, 1, 5, 3, 7);
  const even23 = v128.shuffle<u32>(w2, w3, 0, 4, 2, 6);
  const odd23 = v128.shuffle<u32>(w2, w3, 1, 5, 3, 7);
  const sum01 = f32x4.add(even01, odd01);
  const sum23 = f32x4.add(even23, odd23);
  const sums = f32x4.add(v128.shuffle<u32>(sum01, sum23, 0, 1, 4, 5), v128.shuffle<u32>(sum01, sum23, 2, 3, 6, 7));
  // 1 / (1 / a + 1 / b) = a b / (a + b): the harmonic mean, but for the number of weights.
  const mean01 = f32x4.div(f32x4.mul(even01, odd01), sum01);
  const mean23 = f32x4.div(f32x4.mul(even23, odd23), sum23);
  const first = v128.shuffle<u32>(mean01, mean23, 0, 1, 4, 5);
  const second = v128.shuffle<u32>(mean01, mean23, 2, 3, 6, 7);
  const means = f32x4.div(f32x4.mul(first, second), f32x4.add(first, second));
  const twice = f32x4.add(means, means);
  v128.store64_lane(at >> 3, to_i16(twice, twice), 0, GROUP_WEIGHTS);
  const shares = f32x4.div(f32x4.splat(sizeof<Format>() == 1 ? 1023 : 255), sums);
  const a0 = f32x4.mul(w0, v128.shuffle<u32>(shares, shares, 0, 0, 0, 0));
  const a1 = f32x4.mul(w1, v128.shuffle<u32>(shares, shares, 1, 1, 1, 1));
  const a2 = f32x4.mul(w2, v128.shuffle<u32>(shares, shares, 2, 2, 2, 2));
  const a3 = f32x4.mul(w3, v128.shuffle<u32>(shares, shares, 3, 3, 3, 3));
  const bits = sizeof<Format>() == 1 ? 0 : 4;
  v128.store(at >> 1, i16x8.shl(to_i16(a0, a1), bits), A);
  v128.store(at >> 1, i16x8.shl(to_i16(a2, a3), bits), A + 16);
}

/**
 * Fills RANKING with expected costs. What is not near the least without the grid is given the largest number.
 * @param margin of the round: how much is near
 */
export function rank_blocks(scale: f32, margin: f32): void {
  const spread: f32 = 2 + <f32>16 * margin;
  if (isXxs) rank<Xxs>(scale, spread);
  else rank<S>(scale, spread);
}

/** Searches the first `count` blocks of SEARCHED: adds the results to the pool, and fills SEARCHED_COST. */
export function search_blocks(count: i32): void {
  for (let at: usize = 0; at < <usize>count << 2; at += 4) {
    const block = load<i32>(at, SEARCHED);
    const s = load<f32>(at, SEARCHED_SCALE);
    const ranked = load<i32>(at, SEARCHED_RANK);
    store<f32>(at, isXxs ? search_block<Xxs>(block, ranked, s) : search_block<S>(block, ranked, s), SEARCHED_COST);
  }
}

/** Fills RANKING of all blocks; of the sub-scales that are not hopeless RESTS and LEVELS. */
// @ts-ignore: decorator
@inline
function rank<Format>(scale: f32, spread: f32): void {
  for (let block: i32 = 0; block < 8; block++) {
    const low = v128.load32_splat(<usize>block << 2, FIRST_RANKED);
    prepare_scales(block, f32x4.mul(f32x4.splat(scale), f32x4.add(low, v128.load(EVEN))), 0);
    prepare_scales(block, f32x4.mul(f32x4.splat(scale), f32x4.add(low, v128.load(EVEN, 16))), 16);
  }
  for (let block: usize = 0; block < 8; block++) {
    const whole = v128.load(COARSE_WHOLE);
    const top = v128.load(sizeof<Format>() == 1 ? COARSE_SIX : COARSE_SEVEN);
    const half = v128.load(COARSE_HALF);
    const most = v128.load(MOST_ERROR);
    const from = block << 6;
    for (let candidate: usize = 0; candidate < 16; candidate += 2) {
      const inverse = v128.load16_splat((block << 4) + candidate, COARSE_INVERSES);
      const low = i32x4.add(
        coarse_error<Format>(from, inverse, whole, top, half, most),
        coarse_error<Format>(from + 16, inverse, whole, top, half, most),
      );
      const high = i32x4.add(
        coarse_error<Format>(from + 32, inverse, whole, top, half, most),
        coarse_error<Format>(from + 48, inverse, whole, top, half, most),
      );
      v128.store(candidate << 3, i32x4.add(low, high), ERRORS);
    }
    rank_block(block, spread);
  }
  for (let block: usize = 0; block < 8; block++) expect_costs<Format>(block);
}

/** Fills INVERSES, COARSE_INVERSES and UNITS of four sub-scales; RANKING where the sub-scale is too small for the block. */
// @ts-ignore: decorator
@inline
function prepare_scales(block: i32, s: v128, place: usize): void {
  const offset = <usize>block << 2;
  const at = (<usize>block << 5) + place;
  const inverses = f32x4.div(
    f32x4.mul(v128.load32_splat(offset, LARGEST_X), f32x4.splat(1024.0 * 32768.0 / MOST_X)),
    s,
  );
  const bounded = f32x4.pmin(inverses, f32x4.splat(MOST_INVERSE));
  const coarse = f32x4.mul(bounded, f32x4.splat(MOST_X / 32768.0 * 2.0 / 250.0));
  v128.store64_lane(at >> 1, to_i16(bounded, bounded), 0, INVERSES);
  v128.store64_lane(at >> 1, to_i16(coarse, coarse), 0, COARSE_INVERSES);
  // 4 s^2 times the largest weight is an excess of 256 * 16384.
  const unit = f32x4.mul(v128.load32_splat(offset, LARGEST_W), f32x4.splat(1.0 / 1048576.0));
  v128.store(at, f32x4.mul(f32x4.mul(s, s), unit), UNITS);
  v128.store(at, v128.and(f32x4.gt(inverses, bounded), f32x4.splat(f32.MAX_VALUE)), RANKING);
}

/** Weighted squared error of eight weights at their nearest levels, in four lanes. */
// @ts-ignore: decorator
@inline
function coarse_error<Format>(at: usize, inverse: v128, whole: v128, top: v128, half: v128, most: v128): v128 {
  const ratios = i16x8.mul(v128.load(at, COARSE_X), inverse);
  const level = i16x8.min_u(v128.and(ratios, whole), top);
  let rests = i16x8.shr_u(i16x8.sub(ratios, level), 6);
  if (sizeof<Format>() == 1) {
    rests = i16x8.sub(rests, v128.and(i16x8.gt_s(rests, v128.load(COARSE_BOUND)), v128.load(COARSE_STEP)));
  }
  const errors = i16x8.min_s(i16x8.mul(i16x8.sub(rests, half), v128.load(at, ROOTS)), most);
  return i32x4.dot_i16x8_s(errors, errors);
}

/** Fills RANKING and CANDIDATES of a block whose ERRORS are known. */
// @ts-ignore: decorator
@inline
function rank_block(block: usize, spread: f32): void {
  const at = block << 5;
  const low = sums_of_four(v128.load(ERRORS), v128.load(ERRORS, 16), v128.load(ERRORS, 32), v128.load(ERRORS, 48));
  const high = sums_of_four(v128.load(ERRORS, 64), v128.load(ERRORS, 80), v128.load(ERRORS, 96), v128.load(ERRORS, 112));
  // An error in 64ths, times the largest root, squared.
  const unit = f32x4.splat(256.0 * 16384.0 / (64.0 * 64.0 * MOST_ROOT * MOST_ROOT));
  const lowError = f32x4.pmax(
    f32x4.mul(f32x4.mul(f32x4.convert_i32x4_u(low), unit), v128.load(at, UNITS)),
    v128.load(at, RANKING),
  );
  const highError = f32x4.pmax(
    f32x4.mul(f32x4.mul(f32x4.convert_i32x4_u(high), unit), v128.load(at, UNITS + 16)),
    v128.load(at, RANKING + 16),
  );
  let least = f32x4.pmin(lowError, highError);
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = f32x4.pmin(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  const bound = f32x4.mul(f32x4.splat(spread), least);
  const energy = v128.load32_splat(block << 2, ENERGY);
  const lowHopeless = f32x4.gt(lowError, bound);
  const highHopeless = f32x4.gt(highError, bound);
  const most = f32x4.splat(f32.MAX_VALUE);
  v128.store(at, v128.bitselect(most, f32x4.sub(lowError, energy), lowHopeless), RANKING);
  v128.store(at, v128.bitselect(most, f32x4.sub(highError, energy), highHopeless), RANKING + 16);
  const hopeless = i32x4.bitmask(lowHopeless) | (i32x4.bitmask(highHopeless) << 4);
  store<i32>(block << 2, 255 ^ hopeless, CANDIDATES);
}

/** Adds to RANKING of a block what the grid is expected to add. */
// @ts-ignore: decorator
@inline
function expect_costs<Format>(block: usize): void {
  let candidates = load<i32>(block << 2, CANDIDATES);
  for (; candidates != 0; candidates &= candidates - 1) {
    const candidate = (block << 3) + <usize>ctz(candidates);
    const excess = <f32>expected_excess<Format>(block, candidate) * load<f32>(candidate << 2, UNITS);
    store<f32>(candidate << 2, load<f32>(candidate << 2, RANKING) + excess, RANKING);
  }
}

/** The sums of four vectors' lanes. */
// @ts-ignore: decorator
@inline
function sums_of_four(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** The magnitudes / 2 of the nearest levels of eight weights, in 2048ths; level 7 of IQ3_XXS is 7.25. */
// @ts-ignore: decorator
@inline
function nearest<Format>(ratios: v128): v128 {
  const whole = v128.and(ratios, v128.load(WHOLE));
  if (sizeof<Format>() != 1) return i16x8.add(i16x8.min_s(whole, v128.load(SEVEN)), v128.load(HALF));
  const level = i16x8.max_s(i16x8.splat(0), i16x8.min_s(whole, v128.load(SIX)));
  const above = v128.and(i16x8.gt_s(ratios, v128.load(TOP_BOUND)), v128.load(TOP_STEP));
  return i16x8.add(i16x8.add(level, above), v128.load(HALF));
}

/** Fills RESTS and LEVELS of a ranked sub-scale; returns what the grid is expected to add to the error. */
// @ts-ignore: decorator
@inline
function expected_excess<Format>(block: usize, candidate: usize): i32 {
  const from = block << 6;
  const rests = candidate << 6;
  const levels = candidate << 5;
  for (let half: usize = 0; half < 64; half += 32) {
    const inverse = v128.load16_splat(candidate << 1, INVERSES);
    const ratios = i16x8.q15mulr_sat_s(v128.load(from + half, INTEGER_X), inverse);
    const nextRatios = i16x8.q15mulr_sat_s(v128.load(from + half, INTEGER_X + 16), inverse);
    const level = nearest<Format>(ratios);
    const nextLevel = nearest<Format>(nextRatios);
    v128.store(rests + half, i16x8.sub_sat_s(level, ratios), RESTS);
    v128.store(rests + half, i16x8.sub_sat_s(nextLevel, nextRatios), RESTS + 16);
    const digits = i32x4.dot_i16x8_s(v128.and(level, v128.load(WHOLE)), v128.load(DIGITS));
    const nextDigits = i32x4.dot_i16x8_s(v128.and(nextLevel, v128.load(WHOLE)), v128.load(DIGITS));
    const patterns = i32x4.add(
      v128.shuffle<u32>(digits, nextDigits, 0, 2, 4, 6),
      v128.shuffle<u32>(digits, nextDigits, 1, 3, 5, 7),
    );
    v128.store(levels + (half >> 1), i32x4.shr_u(patterns, 10), LEVELS);
  }
  const table = tables + EXCESS;
  let low = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS), i32x4.splat(0), 0);
  let high = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 16), i32x4.splat(0), 4);
  low = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 4), low, 1);
  high = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 20), high, 5);
  low = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 8), low, 2);
  high = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 24), high, 6);
  low = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 12), low, 3);
  high = v128.load16_lane(table + <usize>load<u32>(levels, LEVELS + 28), high, 7);
  return sum_i32x4(i32x4.dot_i16x8_s(v128.or(low, high), v128.load(block << 4, GROUP_WEIGHTS)));
}

/** Searches the points of a block at a ranked sub-scale, adds the result to the pool and returns its cost. */
// @ts-ignore: decorator
@inline
function search_block<Format>(block: i32, ranked: i32, s: f32): f32 {
  const from = <usize>block << 6;
  const candidate = <usize>((block << 3) + ranked);
  for (let at: usize = 0; at < 64; at += 16) {
    v128.store(at, linear_factors<Format>(v128.load(from + at, A), v128.load((candidate << 6) + at, RESTS)), B);
  }
  const entry = load<i32>(<usize>block << 2, POOL_SIZE);
  const points = points_of(block, entry);
  const levels = candidate << 5;
  const format = tables;
  for (let group: usize = 0; group < 8; group++) {
    const list = <usize>load<u32>(levels + (group << 2), LEVELS) << 4;
    const at = group << 3;
    let least = least_costs<Format>(
      format + (list << 1),
      v128.load32_splat(from + at, A),
      v128.load32_splat(from + at, A + 4),
      v128.load32_splat(at, B),
      v128.load32_splat(at, B + 4),
    );
    least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
    least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
    store<u16>(group << 1, <u32>(list >> 1) + (i32x4.extract_lane(least, 0) & 15), PLACES_FOUND);
  }
  let qx = i32x4.splat(0);
  let q2 = i32x4.splat(0);
  for (let pair: usize = 0; pair < 16; pair += 4) {
    const point = load<u16>(format + (<usize>load<u16>(pair, PLACES_FOUND) << 1), POINTS);
    const nextPoint = load<u16>(format + (<usize>load<u16>(pair, PLACES_FOUND + 2) << 1), POINTS);
    store<u16>(points + pair, point);
    store<u16>(points + pair, nextPoint, 2);
    const first = v128.load64_zero(format + (<usize>point << 3), MAGNITUDES);
    const q = v128.load64_lane(format + (<usize>nextPoint << 3), first, 1, MAGNITUDES);
    qx = i32x4.add(qx, i32x4.dot_i16x8_s(q, v128.load(from + (pair << 2), INTEGER_WX)));
    q2 = i32x4.add(q2, i32x4.dot_i16x8_s(i16x8.mul(q, q), v128.load(from + (pair << 2), INTEGER_W)));
  }
  const offset = <usize>block << 2;
  const sumQX = <f32>sum_i32x4(qx) * load<f32>(offset, UNIT_QX);
  const sumQ2 = <f32>sum_i32x4(q2) * load<f32>(offset, UNIT_Q2);
  return add_entry(block, entry, sumQX, sumQ2, s);
}

/** Sum of importance * magnitude * q over a block whose groups have the given points. */
export function block_product(block: i32, points: usize): f32 {
  const from = <usize>block << 7;
  let sum = f32x4.splat(0);
  for (let group: usize = 0; group < 8; group++) {
    const at = from + (group << 4);
    const point = <usize>load<u16>(points + (group << 1));
    const q = f32x4.convert_i32x4_s(v128.load16x4_s(tables + (point << 3), MAGNITUDES));
    sum = f32x4.add(sum, f32x4.mul(f32x4.mul(v128.load(at, IMPORTANCE), v128.load(at, X)), q));
  }
  return sum_f32x4(sum) * (isXxs ? <f32>0.5 : <f32>1);
}
