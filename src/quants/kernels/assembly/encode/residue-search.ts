// The search for the scales of blocks of 16 weights in whole numbers, with a block in each lane.
// Reference: src/quants/residue-search.ts.
import { max_of_each, to_i16 } from "../lanes";
import { mattering, next_to_zero } from "./scale-search";

/**
 * i16[8][8]: shares of the weights of four blocks, and what they are multiplied by. A vector has two neighbours of each
 * block, for products that are added in pairs.
 */
const shares: usize = memory.data(128, 16);
const products: usize = memory.data(128, 16);

/** The largest importance of a block. */
const wholeImportance: f32 = 255;

/** Stores eight numbers of each of four blocks as four vectors with a pair of each block. */
// @ts-ignore: decorator
@inline
function store_pairs(a: v128, b: v128, c: v128, d: v128, to: usize): void {
  const ab = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
  v128.store(to, v128.shuffle<u64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<u64>(ab, cd, 1, 3), 16);
  const abEnd = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
  const cdEnd = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<u64>(abEnd, cdEnd, 0, 2), 32);
  v128.store(to, v128.shuffle<u64>(abEnd, cdEnd, 1, 3), 48);
}

/** Largest of sixteen float32 in each lane. */
// @ts-ignore: decorator
@inline
function max_of_four(at: usize): v128 {
  return f32x4.pmax(
    f32x4.pmax(v128.load(at), v128.load(at, 16)),
    f32x4.pmax(v128.load(at, 32), v128.load(at, 48)),
  );
}

// @ts-ignore: decorator
@inline
function block_importance(w: usize, factor: v128, half: usize): v128 {
  return to_i16(f32x4.mul(v128.load(w + half), factor), f32x4.mul(v128.load(w + half, 16), factor));
}

/**
 * Writes to `integers` the importance of `columns` (a multiple of 64) weights as whole numbers, i16, in the order of
 * `shares`, and to `most` the largest importance of each block, f32.
 */
export function prepare_residues(w: usize, columns: i32, integers: usize, most: usize): void {
  for (const end = w + (<usize>columns << 2); w < end; w += 256, integers += 128, most += 16) {
    const largest = max_of_each(
      max_of_four(w),
      max_of_four(w + 64),
      max_of_four(w + 128),
      max_of_four(w + 192),
    );
    v128.store(most, largest);
    const factors = f32x4.div(f32x4.splat(wholeImportance), largest);
    const a = v128.shuffle<u32>(factors, factors, 0, 0, 0, 0);
    const b = v128.shuffle<u32>(factors, factors, 1, 1, 1, 1);
    const c = v128.shuffle<u32>(factors, factors, 2, 2, 2, 2);
    const d = v128.shuffle<u32>(factors, factors, 3, 3, 3, 3);
    for (let half: usize = 0; half < 64; half += 32) {
      store_pairs(
        block_importance(w, a, half),
        block_importance(w + 64, b, half),
        block_importance(w + 128, c, half),
        block_importance(w + 192, d, half),
        integers + 2 * half,
      );
    }
  }
}

/** Of four blocks, four lanes each: the largest w x^2, and the highest and lowest of the weights that matter. */
const mosts: usize = memory.data(64, 16);
const highs: usize = memory.data(64, 16);
const lows: usize = memory.data(64, 16);
/** f32[4]: what the next pass takes of each block. */
const bounds: usize = memory.data(16, 16);

/** Sum of w x^2 of the superblock so far, as `weighted_square` sums. */
export let searched_square: v128 = f32x4.splat(0);

/** w x^2. */
// @ts-ignore: decorator
@inline
function energy(w: usize, weights: v128): v128 {
  return f32x4.mul(f32x4.mul(v128.load(w), weights), weights);
}

/** Weights that matter, zeros in the place of others. */
// @ts-ignore: decorator
@inline
function mattering_weights(x: usize, w: usize, enough: v128): v128 {
  const weights = v128.load(x);
  return v128.and(weights, f32x4.ge(energy(w, weights), enough));
}

/** Highest and lowest weights of four blocks, zero included, of those that matter: `highs` and `lows`. */
// @ts-ignore: decorator
@inline
function find_extents(x: usize, w: usize): void {
  let sum = searched_square;
  for (let block: usize = 0; block < 64; block += 16) {
    const at = x + 4 * block;
    const wat = w + 4 * block;
    const a = energy(wat, v128.load(at));
    const b = energy(wat + 16, v128.load(at, 16));
    const c = energy(wat + 32, v128.load(at, 32));
    const d = energy(wat + 48, v128.load(at, 48));
    v128.store(mosts + block, f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
    sum = f32x4.add(f32x4.add(f32x4.add(f32x4.add(sum, a), b), c), d);
  }
  searched_square = sum;
  const most = max_of_each(
    v128.load(mosts),
    v128.load(mosts, 16),
    v128.load(mosts, 32),
    v128.load(mosts, 48),
  );
  v128.store(bounds, f32x4.mul(most, f32x4.splat(mattering)));
  const zero = f32x4.splat(0);
  for (let block: usize = 0; block < 64; block += 16) {
    const at = x + 4 * block;
    const wat = w + 4 * block;
    const enough = v128.load32_splat(bounds + (block >> 2));
    const a = mattering_weights(at, wat, enough);
    const b = mattering_weights(at + 16, wat + 16, enough);
    const c = mattering_weights(at + 32, wat + 32, enough);
    const d = mattering_weights(at + 48, wat + 48, enough);
    v128.store(highs + block, f32x4.pmax(zero, f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d))));
    v128.store(lows + block, f32x4.pmin(zero, f32x4.pmin(f32x4.pmin(a, b), f32x4.pmin(c, d))));
  }
}

/** Shares of eight weights. */
// @ts-ignore: decorator
@inline
function block_shares(x: usize, factor: v128): v128 {
  const least = f32x4.splat(-32768);
  const most = f32x4.splat(32767);
  const a = f32x4.pmax(least, f32x4.pmin(most, f32x4.mul(v128.load(x), factor)));
  const b = f32x4.pmax(least, f32x4.pmin(most, f32x4.mul(v128.load(x, 16), factor)));
  return to_i16(a, b);
}

/** Begins a superblock. */
// @ts-ignore: decorator
@inline
export function start_superblock(): void {
  searched_square = f32x4.splat(0);
}

/** The best candidate so far of each block. */
let best_score: v128 = f32x4.splat(0);
let best_code: v128 = f32x4.splat(0);
let best_cross: v128 = f32x4.splat(0);

/** Keeps a candidate where it is better; `excluded` where it is none. */
// @ts-ignore: decorator
@inline
function judge(error: v128, cross: v128, inverseSquare: v128, code: f32, excluded: v128): void {
  const crossed = f32x4.convert_i32x4_s(cross);
  const spared = f32x4.mul(f32x4.mul(crossed, crossed), inverseSquare);
  const left = f32x4.sub(f32x4.convert_i32x4_s(error), spared);
  const score = f32x4.mul(left, f32x4.splat(1 / (code * code)));
  const better = v128.andnot(f32x4.lt(score, best_score), excluded);
  best_score = v128.bitselect(score, best_score, better);
  best_code = v128.bitselect(f32x4.splat(code), best_code, better);
  best_cross = v128.bitselect(crossed, best_cross, better);
}

/** Tries the codes from `first` on for the largest weights. */
// @ts-ignore: decorator
@inline
function try_codes(integers: usize, inverseSquare: v128, first: i32, excludedLast: v128): void {
  const factor = i16x8.splat(<i16>(2 * first));
  let errorA = i32x4.splat(0);
  let errorB = i32x4.splat(0);
  let errorC = i32x4.splat(0);
  let errorD = i32x4.splat(0);
  let crossA = i32x4.splat(0);
  let crossB = i32x4.splat(0);
  let crossC = i32x4.splat(0);
  let crossD = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const share = v128.load(shares + i);
    const importance = v128.load(integers + i);
    const product = v128.load(products + i);
    const next = i16x8.add(share, share);
    let quotient = i16x8.mul(share, factor);
    let residue = i16x8.shr_s(quotient, 8);
    errorA = i32x4.add(errorA, i32x4.dot_i16x8_s(i16x8.mul(residue, importance), residue));
    crossA = i32x4.add(crossA, i32x4.dot_i16x8_s(product, residue));
    quotient = i16x8.add(quotient, next);
    residue = i16x8.shr_s(quotient, 8);
    errorB = i32x4.add(errorB, i32x4.dot_i16x8_s(i16x8.mul(residue, importance), residue));
    crossB = i32x4.add(crossB, i32x4.dot_i16x8_s(product, residue));
    quotient = i16x8.add(quotient, next);
    residue = i16x8.shr_s(quotient, 8);
    errorC = i32x4.add(errorC, i32x4.dot_i16x8_s(i16x8.mul(residue, importance), residue));
    crossC = i32x4.add(crossC, i32x4.dot_i16x8_s(product, residue));
    residue = i16x8.shr_s(i16x8.add(quotient, next), 8);
    errorD = i32x4.add(errorD, i32x4.dot_i16x8_s(i16x8.mul(residue, importance), residue));
    crossD = i32x4.add(crossD, i32x4.dot_i16x8_s(product, residue));
  }
  const none = i32x4.splat(0);
  judge(errorA, crossA, inverseSquare, <f32>first, none);
  judge(errorB, crossB, inverseSquare, <f32>(first + 1), none);
  judge(errorC, crossC, inverseSquare, <f32>(first + 2), none);
  judge(errorD, crossD, inverseSquare, <f32>(first + 3), excludedLast);
}

/**
 * The best scales of the next four blocks of 16 weights of a superblock, and their curvatures.
 * @param integers as `prepare_residues` wrote them, likewise `most`
 */
// @ts-ignore: decorator
@inline
export function search_residues(
  x: usize,
  w: usize,
  integers: usize,
  most: usize,
  steps: i32,
  scales: usize,
  curvatures: usize,
): void {
  find_extents(x, w);
  const above = max_of_each(
    v128.load(highs),
    v128.load(highs, 16),
    v128.load(highs, 32),
    v128.load(highs, 48),
  );
  const below = max_of_each(
    f32x4.neg(v128.load(lows)),
    f32x4.neg(v128.load(lows, 16)),
    f32x4.neg(v128.load(lows, 32)),
    f32x4.neg(v128.load(lows, 48)),
  );
  const magnitude = f32x4.pmax(above, below);
  const isThere = f32x4.ge(magnitude, f32x4.splat(next_to_zero));
  const isOutOfReach = f32x4.gt(
    f32x4.pmin(above, below),
    f32x4.mul(magnitude, f32x4.splat(<f32>(31.5 / 32))),
  );
  const largest = v128.bitselect(above, f32x4.neg(below), f32x4.ge(above, below));
  v128.store(bounds, v128.and(f32x4.div(f32x4.splat(-32768), largest), isThere));
  const factorA = v128.load32_splat(bounds);
  const factorB = v128.load32_splat(bounds, 4);
  const factorC = v128.load32_splat(bounds, 8);
  const factorD = v128.load32_splat(bounds, 12);
  for (let half: usize = 0; half < 64; half += 32) {
    store_pairs(
      block_shares(x + half, factorA),
      block_shares(x + half + 64, factorB),
      block_shares(x + half + 128, factorC),
      block_shares(x + half + 192, factorD),
      shares + 2 * half,
    );
  }
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const coarse = i16x8.shr_s(v128.load(shares + i), 8);
    const product = i16x8.mul(v128.load(integers + i), coarse);
    v128.store(products + i, product);
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(product, coarse));
  }
  const square = f32x4.convert_i32x4_s(sum);
  const zero = f32x4.splat(0);
  const inverseSquare = v128.and(f32x4.div(f32x4.splat(1), square), f32x4.ne(square, zero));
  best_score = f32x4.splat(Infinity);
  best_code = zero;
  best_cross = zero;
  const none = i32x4.splat(0);
  try_codes(integers, inverseSquare, 29, isOutOfReach);
  try_codes(integers, inverseSquare, 25, none);
  if (steps > 2) try_codes(integers, inverseSquare, 21, none);
  if (steps > 3) try_codes(integers, inverseSquare, 17, none);
  const scale = f32x4.div(f32x4.neg(largest), best_code);
  const shift = f32x4.mul(f32x4.mul(best_cross, inverseSquare), f32x4.div(f32x4.splat(0.5), best_code));
  v128.store(scales, v128.and(f32x4.add(scale, f32x4.mul(scale, shift)), isThere));
  const curvature = f32x4.mul(f32x4.mul(f32x4.mul(best_code, best_code), square), v128.load(most));
  v128.store(curvatures, v128.and(curvature, isThere));
}
