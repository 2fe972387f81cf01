// Grid search for IQ2_XXS, IQ2_XS and IQ2_S: groups of eight weights, each of level 0, 1 or 2 (magnitude 1, 3.125
// or 5.375 times the scale). The reference is src/quants/grid-search.ts; here all but the pool is done in integers.
//
// - Where the nearest levels are no point of the grid, the best of sixteen listed ones is taken (iq2-lists.ts).
// - What a block costs without the grid is found the same way: four sub-scales of two weights at a time.
import { INTEGER, sum_f32x4, sum_i32x4, to_i16 } from "../lanes";
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
  SEARCHED_SCALE,
  W,
  WX,
  X,
} from "./grid-memory";
import { best_listed, LIST_BYTES, LISTS, POINT, tables_of } from "./iq2-lists";
import { TERNARY } from "./ternary-digits";

/** Largest value of a weight's importance, and of what is multiplied with steps of up to 35. */
const FINE: f32 = 28800;

// A block's weights as integers of 16 bits, each relative to the block's largest.
/** Magnitudes, of 15 bits. */
const MAGNITUDES: usize = memory.data(512, 16);
/** Importance, of 15 and of 10 bits, and importance times magnitude. */
const FINE_IMPORTANCE: usize = memory.data(512, 16);
const COARSE_IMPORTANCE: usize = memory.data(512, 16);
const PRODUCTS: usize = memory.data(512, 16);
/** 17 and 18 times the magnitude, of 10 bits: the steps from level to level, in eighths. */
const FIRST_STEPS: usize = memory.data(512, 16);
const SECOND_STEPS: usize = memory.data(512, 16);
/** Per block, f32[16]: the largest magnitude; what a product and an importance of 1 are, times eighths. */
const LARGEST: usize = memory.data(64, 16);
const PRODUCT_UNIT: usize = memory.data(64, 16);
const IMPORTANCE_UNIT: usize = memory.data(64, 16);
/** Per block, f32[16]: sum of importance; 2 * 5.375 times the sum of importance * magnitude. */
const SUM_W: usize = memory.data(64, 16);
const MOST_PRODUCT: usize = memory.data(64, 16);
/** Per block, f32[16]: what a magnitude of 1 is in the numbers of FIRST_STEPS, but for the step; what 1 is in sums of these
 *  times COARSE_IMPORTANCE. */
const STEP_UNIT: usize = memory.data(64, 16);
const SUM_UNIT: usize = memory.data(64, 16);

// Constant vectors (see grid-memory.ts).
/** Bounds of levels times the steps over them, in eighths. */
const STEP_BOUND_1: usize = memory.data<f32>([35.0625, 35.0625, 35.0625, 35.0625], 16);
const STEP_BOUND_2: usize = memory.data<f32>([76.5, 76.5, 76.5, 76.5], 16);
const SEVENTEEN: usize = memory.data<i16>([17, 17, 17, 17, 17, 17, 17, 17], 16);
const EIGHTEEN: usize = memory.data<i16>([18, 18, 18, 18, 18, 18, 18, 18], 16);
/** Bounds, levels and steps in 128ths of an eighth of the scale. */
const RATIO_BOUND_1: usize = memory.data<i16>([2112, 2112, 2112, 2112, 2112, 2112, 2112, 2112], 16);
const RATIO_BOUND_2: usize = memory.data<i16>([4352, 4352, 4352, 4352, 4352, 4352, 4352, 4352], 16);
const RATIO_LEVEL_0: usize = memory.data<i16>([1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024], 16);
const RATIO_STEP_1: usize = memory.data<i16>([2176, 2176, 2176, 2176, 2176, 2176, 2176, 2176], 16);
const RATIO_STEP_2: usize = memory.data<i16>([2304, 2304, 2304, 2304, 2304, 2304, 2304, 2304], 16);
const MOST_REST: usize = memory.data<i16>([2047, 2047, 2047, 2047, 2047, 2047, 2047, 2047], 16);
const LEAST_REST: usize = memory.data<i16>([-2047, -2047, -2047, -2047, -2047, -2047, -2047, -2047], 16);

/** Groups whose list is searched: i16[8] of b; address of the list; offset of the weights, two bytes each; where the point
 *  goes. */
const GROUP_BYTES: usize = 32;
const GROUPS: usize = memory.data(32 * 32, 16);

/** Grid and tables of the format in use. */
let points: usize = 0;
let tables: usize = 0;

/** Chooses the format. */
export function use_grid(grid: usize, count: i32): void {
  points = grid;
  tables = tables_of(grid, count);
}

/** Largest magnitude of the four lanes, in all of them. */
// @ts-ignore: decorator
@inline
function largest_of(v: v128): v128 {
  v = f32x4.pmax(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.pmax(v, v128.shuffle<u32>(v, v, 1, 0, 3, 2));
}

/** Makes the integers of a block, its sums and its units. */
function prepare_block(block: usize, from: usize, to: usize): void {
  const tiny = f32x4.splat(1e-30);
  let x = tiny;
  let w = tiny;
  let wx = tiny;
  let sumW = f32x4.splat(0);
  let sumWX = f32x4.splat(0);
  let energy = f32x4.splat(0);
  for (let at = from; at < to; at += 16) {
    const thisX = v128.load(at, X);
    const thisW = v128.load(at, W);
    const thisWX = v128.load(at, WX);
    x = f32x4.pmax(x, f32x4.abs(thisX));
    w = f32x4.pmax(w, thisW);
    wx = f32x4.pmax(wx, f32x4.abs(thisWX));
    sumW = f32x4.add(sumW, thisW);
    sumWX = f32x4.add(sumWX, thisWX);
    energy = f32x4.add(energy, f32x4.mul(thisWX, thisX));
  }
  store<f32>(block, sum_f32x4(sumW), SUM_W);
  store<f32>(block, <f32>10.75 * sum_f32x4(sumWX), MOST_PRODUCT);
  store<f32>(block, sum_f32x4(energy), ENERGY);
  x = largest_of(x);
  w = largest_of(w);
  wx = largest_of(wx);
  const largest = f32x4.extract_lane(x, 0);
  const importanceUnit: f32 = f32x4.extract_lane(w, 0) * <f32>(1.0 / 28800.0 / 64.0);
  store<f32>(block, largest, LARGEST);
  store<f32>(block, f32x4.extract_lane(wx, 0) * <f32>(1.0 / 32767.0 / 8.0), PRODUCT_UNIT);
  store<f32>(block, importanceUnit, IMPORTANCE_UNIT);
  store<f32>(block, <f32>936 / largest, STEP_UNIT);
  // 64 eighths squared, 32 fine importances, a quarter of twice the steps.
  store<f32>(block, importanceUnit * largest * <f32>(64.0 * 32.0 / 4.0 / 936.0), SUM_UNIT);

  x = f32x4.div(f32x4.splat(32767), x);
  w = f32x4.div(f32x4.splat(FINE), w);
  wx = f32x4.div(f32x4.splat(32767), wx);
  for (let at = from; at < to; at += 32) {
    const out = at >> 1;
    const magnitude = to_i16(f32x4.mul(v128.load(at, X), x), f32x4.mul(v128.load(at, X + 16), x));
    const fine = to_i16(f32x4.mul(v128.load(at, W), w), f32x4.mul(v128.load(at, W + 16), w));
    v128.store(out, magnitude, MAGNITUDES);
    v128.store(out, fine, FINE_IMPORTANCE);
    v128.store(out, to_i16(f32x4.mul(v128.load(at, WX), wx), f32x4.mul(v128.load(at, WX + 16), wx)), PRODUCTS);
    v128.store(out, i16x8.shr_s(i16x8.add(fine, i16x8.splat(16)), 5), COARSE_IMPORTANCE);
    const short = i16x8.q15mulr_sat_s(magnitude, i16x8.splat(936));
    v128.store(out, i16x8.mul(short, v128.load(SEVENTEEN)), FIRST_STEPS);
    v128.store(out, i16x8.mul(short, v128.load(EIGHTEEN)), SECOND_STEPS);
  }
}

/**
 * Makes ready the superblock that is loaded, and takes a scale for each block to begin with, by its largest magnitude.
 * Returns the scale that is to be the largest.
 */
export function first_scales(blockWeights: i32): f32 {
  const bytes = <usize>blockWeights << 2;
  let largest: f32 = 0;
  let block: usize = 0;
  for (let from: usize = 0; from < 1024; from += bytes) {
    prepare_block(block, from, from + bytes);
    const scale: f32 = load<f32>(block, LARGEST) * <f32>(1.0 / 6.0);
    store<f32>(block, scale, SCALE);
    if (scale > largest) largest = scale;
    block += 4;
  }
  return <f32>1.08 * largest;
}

/** Fills RANKING: cost of each block without the grid at eight sub-scales, four to a vector. */
export function rank_blocks(blockWeights: i32, scale: f32): void {
  const bytes = <usize>blockWeights << 1;
  const steps = f32x4.mul(f32x4.splat(scale), f32x4(0, 2, 4, 6));
  let block: usize = 0;
  for (let from: usize = 0; from < 512; from += bytes) {
    // With bounds m s between levels of steps d, a weight costs the sum of 2 d w s (min(x, m s) - x) more than at level 0.
    const first = f32x4.add(f32x4.splat(scale * load<f32>(block, FIRST_RANKED)), steps);
    const second = f32x4.add(first, f32x4.splat(<f32>8 * scale));
    const unit = v128.load32_splat(block, STEP_UNIT);
    const firstRatio = f32x4.mul(first, unit);
    const secondRatio = f32x4.mul(second, unit);
    const factor1 = v128.load(STEP_BOUND_1);
    const factor2 = v128.load(STEP_BOUND_2);
    const bounds1 = to_i16(f32x4.mul(firstRatio, factor1), f32x4.mul(secondRatio, factor1));
    const bounds2 = to_i16(f32x4.mul(firstRatio, factor2), f32x4.mul(secondRatio, factor2));
    const firstBounds1 = v128.shuffle<u16>(bounds1, bounds1, 0, 8, 1, 9, 2, 10, 3, 11);
    const firstBounds2 = v128.shuffle<u16>(bounds2, bounds2, 0, 8, 1, 9, 2, 10, 3, 11);
    const secondBounds1 = v128.shuffle<u16>(bounds1, bounds1, 4, 12, 5, 13, 6, 14, 7, 15);
    const secondBounds2 = v128.shuffle<u16>(bounds2, bounds2, 4, 12, 5, 13, 6, 14, 7, 15);
    let firstSum = i32x4.splat(0);
    let secondSum = i32x4.splat(0);
    const end = from + bytes;
    for (let at = from; at < end; at += 4) {
      const steps1 = v128.load32_splat(at, FIRST_STEPS);
      const steps2 = v128.load32_splat(at, SECOND_STEPS);
      const w = v128.load32_splat(at, COARSE_IMPORTANCE);
      const firstMin = i16x8.add(i16x8.min_s(steps1, firstBounds1), i16x8.min_s(steps2, firstBounds2));
      const secondMin = i16x8.add(i16x8.min_s(steps1, secondBounds1), i16x8.min_s(steps2, secondBounds2));
      firstSum = i32x4.add(firstSum, i32x4.dot_i16x8_s(firstMin, w));
      secondSum = i32x4.add(secondSum, i32x4.dot_i16x8_s(secondMin, w));
    }
    const factor = v128.load32_splat(block, SUM_UNIT);
    const sumW = v128.load32_splat(block, SUM_W);
    const known = v128.load32_splat(block, MOST_PRODUCT);
    const firstCost = f32x4.add(
      f32x4.mul(f32x4.convert_i32x4_s(firstSum), factor),
      f32x4.sub(f32x4.mul(first, sumW), known),
    );
    const secondCost = f32x4.add(
      f32x4.mul(f32x4.convert_i32x4_s(secondSum), factor),
      f32x4.sub(f32x4.mul(second, sumW), known),
    );
    const out = RANKING + (block << 3);
    v128.store(out, f32x4.mul(first, firstCost));
    v128.store(out, f32x4.mul(second, secondCost), 16);
    block += 4;
  }
}

/**
 * Searches the grid for the groups of `count` blocks (SEARCHED), each at its scale, and adds the results to their pools.
 * Step by step for all of them: the processor does several groups at a time where one does not wait for another.
 */
export function search_blocks(count: i32, blockWeights: i32): void {
  const bytes = <usize>blockWeights << 1;
  let end = GROUPS;
  for (let i: i32 = 0; i < count; i++) {
    const block = load<i32>(SEARCHED + (<usize>i << 2));
    const s = load<f32>(SEARCHED_SCALE + (<usize>i << 2));
    const ratio: f32 = (<f32>1024 * load<f32>(<usize>block << 2, LARGEST)) / s;
    const factor = i16x8.splat(<i16>reinterpret<i32>(min<f32>(32767, ratio) + INTEGER));
    const from = <usize>block * bytes;
    let found = points_of(block, load<i32>(<usize>block << 2, POOL_SIZE));
    for (let at = from; at < from + bytes; at += 16) {
      end = find_pattern(at, factor, found, end);
      found += 2;
    }
  }
  for (let group = GROUPS; group < end; group += GROUP_BYTES) find_point(group);
  for (let i: i32 = 0; i < count; i++) {
    const block = load<i32>(SEARCHED + (<usize>i << 2));
    const s = load<f32>(SEARCHED_SCALE + (<usize>i << 2));
    store<f32>(SEARCHED_COST + (<usize>i << 2), add_found(block, blockWeights, s));
  }
}

/**
 * Finds the nearest levels of a group: if they are a point, it goes to `found`; else `group` is filled. Returns where the
 * next group goes.
 */
// @ts-ignore: decorator
@inline
function find_pattern(at: usize, factor: v128, found: usize, group: usize): usize {
  const ratio = i16x8.q15mulr_sat_s(v128.load(at, MAGNITUDES), factor);
  const above1 = i16x8.gt_s(ratio, v128.load(RATIO_BOUND_1));
  const above2 = i16x8.gt_s(ratio, v128.load(RATIO_BOUND_2));
  const masks = <usize>i8x16.bitmask(i8x16.narrow_i16x8_s(above1, above2));
  const pattern = <usize>load<u16>((masks & 255) << 1, TERNARY) + <usize>load<u16>((masks >> 8) << 1, TERNARY);
  const level = i16x8.add(
    i16x8.add(v128.load(RATIO_LEVEL_0), v128.and(above1, v128.load(RATIO_STEP_1))),
    v128.and(above2, v128.load(RATIO_STEP_2)),
  );
  const rest = i16x8.max_s(
    v128.load(LEAST_REST),
    i16x8.min_s(v128.load(MOST_REST), i16x8.sub(level, ratio)),
  );
  v128.store(group, i16x8.q15mulr_sat_s(v128.load(at, FINE_IMPORTANCE), i16x8.shl(rest, 4)));
  const number = <i32>load<u16>(tables + (pattern << 1));
  store<u16>(found, number & (POINT - 1));
  store<usize>(group, tables + LISTS + <usize>number * LIST_BYTES, 16);
  store<usize>(group, at, 20);
  store<usize>(group, found, 24);
  // Without a branch, which could not be foretold.
  return group + GROUP_BYTES * <usize>(1 - number / POINT);
}

/** Finds the best listed point of a group. */
// @ts-ignore: decorator
@inline
function find_point(group: usize): void {
  const factors = COARSE_IMPORTANCE + load<usize>(group, 20);
  store<u16>(load<usize>(group, 24), best_listed(load<usize>(group, 16), factors, group));
}

/** Adds what was found for the groups of a block to its pool. Returns the cost at the scale. */
// @ts-ignore: decorator
@inline
function add_found(block: i32, blockWeights: i32, s: f32): f32 {
  const offset = <usize>block << 2;
  const entry = load<i32>(offset, POOL_SIZE);
  let found = points_of(block, entry);
  let qx = i32x4.splat(0);
  let q2 = i32x4.splat(0);
  const from = (<usize>block * <usize>blockWeights) << 1;
  const to = from + (<usize>blockWeights << 1);
  for (let at = from; at < to; at += 16) {
    const q = v128.load8x8_u(points + (<usize>load<u16>(found) << 3));
    found += 2;
    qx = i32x4.add(qx, i32x4.dot_i16x8_s(q, v128.load(at, PRODUCTS)));
    q2 = i32x4.add(q2, i32x4.dot_i16x8_s(i16x8.mul(q, q), v128.load(at, FINE_IMPORTANCE)));
  }
  return add_entry(
    block,
    entry,
    <f32>sum_i32x4(qx) * load<f32>(offset, PRODUCT_UNIT),
    <f32>sum_i32x4(q2) * load<f32>(offset, IMPORTANCE_UNIT),
    s,
  );
}

/** Sum of importance * magnitude * q over a block whose groups have the given points. */
export function block_product(block: i32, blockWeights: i32, found: usize): f32 {
  const from = (<usize>block * <usize>blockWeights) << 2;
  let sum = f32x4.splat(0);
  for (let at = from; at < from + (<usize>blockWeights << 2); at += 32) {
    const q = v128.load8x8_u(points + (<usize>load<u16>(found) << 3));
    found += 2;
    const ix = f32x4.mul(v128.load(at, IMPORTANCE), v128.load(at, X));
    const nextIX = f32x4.mul(v128.load(at, IMPORTANCE + 16), v128.load(at, X + 16));
    sum = f32x4.add(
      sum,
      f32x4.add(
        f32x4.mul(ix, f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(q))),
        f32x4.mul(nextIX, f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(q))),
      ),
    );
  }
  return <f32>0.125 * sum_f32x4(sum);
}
