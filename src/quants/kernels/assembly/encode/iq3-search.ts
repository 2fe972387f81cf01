// Grid search for IQ3_XXS and IQ3_S: groups of four weights, each of level 0 to 7 (magnitudes 1, 3, ... 13 and 15,
// for IQ3_XXS 15.5, times the scale).
//
// For all 4096 patterns of nearest levels, sixteen points are listed that are best for some offsets and importance of
// the weights: the four nearest, and those with least sum of log(1 + steps^2), since one weight of little importance
// can be moved far, but not all can. The best of the list costs some 0.2 % more than the best of the grid, and is found
// by integers:
//
// - With t = x / 2s - 1/2, the level as a real number, a point that is d steps from the nearest levels l costs
//   the sum of (a d + b) d more than they do, where a = 4 s^2 w and b = 2 a (l - t). Only ratios of costs count: a is
//   scaled to 12 bits by the group's sum of weights, and so does not depend on the scale s.
// - That is a dot product of 16-bit integers, which SIMD does for eight weights at a time. Steps are listed for four
//   points at a time: of the first pair of weights, then of the second.
import { sum_f32x4 } from "../lanes";
import {
  add_entry,
  best_start,
  ENERGY,
  FIRST_RANKED,
  F32_2_23,
  F32_HALF,
  F32_ONE,
  F32_SIX,
  IMPORTANCE,
  odd,
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

// Tables of a format.
/** i8[4096][4][2][4][2]: steps from the nearest levels (the first weight's in the lowest three bits of the pattern) to
 *  four times four points, of the first and the second pair of weights. */
const STEPS: usize = 0;
/** u16[4096][16]: those points. */
const POINTS: usize = STEPS + 4096 * 64;
/** u16[512]: levels of each point. */
const PATTERNS: usize = POINTS + 4096 * 32;
/** f32[512][4]: magnitudes of each point. */
const MAGNITUDES: usize = PATTERNS + 1024;
const TABLE_BYTES: i32 = 4096 * 96 + 1024 + 8192;

const XXS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const S_TABLES: usize = memory.data(TABLE_BYTES, 16);
let prepared: i32 = 0;

/** u8[8]: squares of 0 to 7 steps of a weight; 16 log(1 + d^2) of d steps. */
const SQUARES: usize = memory.data<u8>([0, 1, 4, 9, 16, 25, 36, 49]);
const LOGARITHMS: usize = memory.data<u8>([0, 11, 26, 37, 45, 52, 58, 63]);
/** u8[2][64][512] each: the same of two weights, by half of the pattern, its pair of levels, and point. */
const PAIR_SQUARES: usize = memory.data(65536, 16);
const PAIR_LOGARITHMS: usize = memory.data(65536, 16);
/** i8[512][4]: levels of each point in the steps of the format. */
const POINT_STEPS: usize = memory.data(2048, 16);
/** i32[16]: the list that is being made: distance * 512 + point. */
const LIST: usize = memory.data(64, 16);

/** For each weight, the factor a as i16, and as f32 times 2, or 8 for IQ3_XXS, whose steps are counted in quarters
 *  because 15.5 is a quarter further. */
const A: usize = memory.data(512, 16);
const A_FACTOR: usize = memory.data(1024, 16);
/** Per group of a block: f32[4] nearest levels less t; i32 pattern of the levels. */
const RESTS: usize = memory.data(8 * 16, 16);
const LEVELS: usize = memory.data(8 * 4, 16);

/** Tables of the format in use, and its largest magnitude. */
let tables: usize = 0;
let top: f32 = 15;
// What is the same in every turn of a loop goes by way of memory, four times the same number: V8 would compute it
// anew each time.
/** 1/2 divided by the scale of the search. */
const HALF_INVERSE: usize = memory.data(16, 16);
const F32_SEVEN: usize = memory.data<f32>([7, 7, 7, 7], 16);
/** Half way between levels 6 and 7 of IQ3_XXS, and from one to the other. */
const TOP_BOUND: usize = memory.data<f32>([7.125, 7.125, 7.125, 7.125], 16);
const TOP_STEP: usize = memory.data<f32>([1.25, 1.25, 1.25, 1.25], 16);
const F32_FOUR: usize = memory.data<f32>([4, 4, 4, 4], 16);
const F32_MINUS_FOUR: usize = memory.data<f32>([-4, -4, -4, -4], 16);
/** 1.5 * 2^23: added to a number, it leaves the rounded number in the lower half. */
const F32_ROUNDER: usize = memory.data<f32>([12582912, 12582912, 12582912, 12582912], 16);
const DIGITS: usize = memory.data<f32>([1, 8, 64, 512], 16);
const TWELVE_BITS: usize = memory.data<i32>([0xfff, 0xfff, 0xfff, 0xfff], 16);
/** Places in a list. */
const PLACES: usize = memory.data<i32>([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 16);
/** Inverse scales of a ranking: four different ones each. */
const INVERSES: usize = memory.data(32, 16);

/** Chooses the format: makes its tables at first use (some milliseconds). */
export function use_grid(grid: usize, points: i32): void {
  const xxs = points == 256;
  tables = xxs ? XXS_TABLES : S_TABLES;
  top = xxs ? 15.5 : 15;
  const bit = xxs ? 1 : 2;
  if (prepared & bit) return;
  prepared |= bit;

  for (let point: i32 = 0; point < points; point++) {
    let pattern = 0;
    for (let i: i32 = 0; i < 4; i++) {
      const value = <i32>load<u8>(grid + <usize>(4 * point + i));
      const level = xxs ? min<i32>(7, (value - 4) >> 3) : value >> 1;
      pattern |= level << (3 * i);
      store<f32>(tables + MAGNITUDES + (<usize>(4 * point + i) << 2), level == 7 ? top : odd(level));
    }
    store<u16>(tables + PATTERNS + (<usize>point << 1), pattern);
    store<i32>(POINT_STEPS + (<usize>point << 2), steps_of(pattern));
  }
  for (let half: i32 = 0; half < 2; half++) {
    for (let pair: i32 = 0; pair < 64; pair++) {
      for (let point: i32 = 0; point < points; point++) {
        const levels = <i32>load<u16>(tables + PATTERNS + (<usize>point << 1)) >> (6 * half);
        const first = <usize>abs<i32>((pair & 7) - (levels & 7));
        const second = <usize>abs<i32>((pair >> 3) - ((levels >> 3) & 7));
        const place = <usize>((half << 15) + (pair << 9) + point);
        store<u8>(PAIR_SQUARES + place, load<u8>(SQUARES + first) + load<u8>(SQUARES + second));
        store<u8>(PAIR_LOGARITHMS + place, load<u8>(LOGARITHMS + first) + load<u8>(LOGARITHMS + second));
      }
    }
  }
  for (let pattern: i32 = 0; pattern < 4096; pattern++) {
    memory.fill(LIST, 0x7f, 64);
    add_to_list(pattern, points, PAIR_SQUARES, LIST, LIST + 16);
    add_to_list(pattern, points, PAIR_LOGARITHMS, LIST + 16, LIST + 64);
    store_list(pattern);
  }
}

/** Fills LIST between two addresses with the points nearest by a table of distances, but for those before. */
function add_to_list(pattern: i32, points: i32, distances: usize, from: usize, to: usize): void {
  const first = distances + (<usize>(pattern & 63) << 9);
  const second = distances + 32768 + (<usize>(pattern >> 6) << 9);
  let farthest = i8x16.splat(-1);
  for (let sixteen: i32 = 0; sixteen < points; sixteen += 16) {
    const at = <usize>sixteen;
    const sums = i8x16.add(v128.load(first + at), v128.load(second + at));
    let nearer = i8x16.bitmask(i8x16.lt_u(sums, farthest));
    if (nearer == 0) continue;
    for (; nearer != 0; nearer &= nearer - 1) {
      const point = sixteen + ctz(nearer);
      const distance = <i32>load<u8>(first + <usize>point) + <i32>load<u8>(second + <usize>point);
      if (!is_listed(point, from)) insert((distance << 9) | point, from, to);
    }
    farthest = i8x16.splat(<i8>min<i32>(255, load<i32>(to - 4) >> 9));
  }
}

/** Puts a key among the ascending ones between two addresses; the last one drops out. */
function insert(key: i32, from: usize, to: usize): void {
  let place = to - 4;
  if (key >= load<i32>(place)) return;
  for (; place > from && load<i32>(place - 4) > key; place -= 4) store<i32>(place, load<i32>(place - 4));
  store<i32>(place, key);
}

/** Whether LIST has a point before `end`. */
function is_listed(point: i32, end: usize): bool {
  for (let place = LIST; place < end; place += 4) if ((load<i32>(place) & 511) == point) return true;
  return false;
}

/** Fills STEPS and POINTS of a pattern from LIST. */
function store_list(pattern: i32): void {
  const from = i32x4.splat(steps_of(pattern));
  const points = tables + POINTS + (<usize>pattern << 5);
  for (let four: usize = 0; four < 64; four += 16) {
    for (let i: usize = 0; i < 16; i += 4) {
      const point = load<i32>(LIST + four + i) & 511;
      store<u16>(points + ((four + i) >> 1), point);
      store<i32>(LIST + four + i, load<i32>(POINT_STEPS + (<usize>point << 2)));
    }
    const to = i8x16.sub(v128.load(LIST + four), from);
    v128.store(tables + STEPS + (<usize>pattern << 6) + four, v128.shuffle<u16>(to, to, 0, 2, 4, 6, 1, 3, 5, 7));
  }
}

/** Levels of a pattern in the steps of the format, as bytes. */
function steps_of(pattern: i32): i32 {
  let steps = 0;
  for (let weight: i32 = 3; weight >= 0; weight--) {
    const level = (pattern >> (3 * weight)) & 7;
    steps = (steps << 8) | (top == 15 ? level : level == 7 ? 29 : 4 * level);
  }
  return steps;
}

/** The nearest levels of weights x / 2s, as numbers: level 7 of IQ3_XXS is 7.25. */
// @ts-ignore: decorator
@inline
function nearest_level(half: v128): v128 {
  if (top == 15) return f32x4.pmin(v128.load(F32_SEVEN), f32x4.floor(half));
  const level = f32x4.pmax(i32x4.splat(0), f32x4.pmin(v128.load(F32_SIX), f32x4.floor(half)));
  return f32x4.add(level, v128.and(f32x4.gt(half, v128.load(TOP_BOUND)), v128.load(TOP_STEP)));
}

/**
 * The best scale of each block without the grid, and its energy. The four starts (largest magnitude
 * / 13 and so on) are the lanes. Returns the largest of the scales.
 */
export function first_scales(): f32 {
  const zero = f32x4.splat(0);
  let largest: f32 = 0;
  let block: usize = 0;
  for (let from: usize = 0; from < 1024; from += 128) {
    let maximum = zero;
    let energy = zero;
    for (let at = from; at < from + 128; at += 16) {
      const x = v128.load(at, X);
      const w = v128.load(at, W);
      maximum = f32x4.pmax(maximum, x);
      energy = f32x4.add(energy, f32x4.mul(v128.load(at, WX), x));
      set_factors(at, w);
    }
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 2, 3, 0, 1));
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 1, 0, 3, 2));
    store<f32>(block, sum_f32x4(energy), ENERGY);
    store<f32>(block, 0, SCALE);
    if (f32x4.extract_lane(maximum, 0) > 0) {
      v128.store(INVERSES, f32x4.div(f32x4(6.5, 7.25, 8.25, 9.75), maximum));
      let qx = zero;
      let q2 = zero;
      for (let at = from; at < from + 128; at += 4) {
        const x = v128.load32_splat(at, X);
        const w = v128.load32_splat(at, W);
        const q = f32x4.add(nearest_level(f32x4.mul(x, v128.load(INVERSES))), v128.load(F32_HALF));
        const wq = f32x4.mul(w, q);
        qx = f32x4.add(qx, f32x4.mul(wq, x));
        q2 = f32x4.add(q2, f32x4.mul(wq, q));
      }
      const scale: f32 = <f32>0.5 * best_start(qx, q2);
      store<f32>(block, scale, SCALE);
      if (scale > largest) largest = scale;
    }
    block += 4;
  }
  return largest;
}

/** Factors a of four weights. Steps of IQ3_XXS are up to 29, so its factors must be smaller to stay within 16 bits. */
// @ts-ignore: decorator
@inline
function set_factors(at: usize, w: v128): void {
  const most: f32 = top == 15 ? 4095 : 1023;
  const a = f32x4.mul(w, f32x4.splat(most / sum_f32x4(w)));
  v128.store(at, f32x4.mul(a, f32x4.splat(top == 15 ? 2 : 8)), A_FACTOR);
  const rounded = f32x4.add(a, v128.load(F32_ROUNDER));
  v128.store64_lane(at >> 1, v128.shuffle<u16>(rounded, rounded, 0, 2, 4, 6, 0, 2, 4, 6), 0, A);
}

/** Fills RANKING of all blocks. */
export function rank_blocks(scale: f32): void {
  for (let block: i32 = 0; block < 8; block++) rank(block, scale, load<f32>(<usize>block << 2, FIRST_RANKED));
}

/** Cost of a block without the grid at eight sub-scales, four to a vector; the first is 2 s + 1 = `odd`. */
function rank(block: i32, scale: f32, odd: f32): void {
  const first = f32x4.mul(
    f32x4.splat(<f32>2 * scale),
    f32x4.add(f32x4.splat(odd), f32x4(0, 2, 4, 6)),
  );
  const second = f32x4.add(first, f32x4.splat(<f32>16 * scale));
  v128.store(INVERSES, f32x4.div(v128.load(F32_ONE), first));
  v128.store(INVERSES, f32x4.div(v128.load(F32_ONE), second), 16);
  // The rest of x / 2s after the nearest level, l + 1/2, is the error in units of 2s.
  let firstError = f32x4.splat(0);
  let secondError = f32x4.splat(0);
  const from = <usize>block << 7;
  for (let at = from; at < from + 128; at += 4) {
    const x = v128.load32_splat(at, X);
    const w = v128.load32_splat(at, W);
    const half = v128.load(F32_HALF);
    const ratio = f32x4.mul(x, v128.load(INVERSES));
    const rest = f32x4.sub(f32x4.sub(ratio, half), nearest_level(ratio));
    firstError = f32x4.add(firstError, f32x4.mul(w, f32x4.mul(rest, rest)));
    const otherRatio = f32x4.mul(x, v128.load(INVERSES, 16));
    const otherRest = f32x4.sub(f32x4.sub(otherRatio, half), nearest_level(otherRatio));
    secondError = f32x4.add(secondError, f32x4.mul(w, f32x4.mul(otherRest, otherRest)));
  }
  const energy = v128.load32_splat(<usize>block << 2, ENERGY);
  v128.store(<usize>block << 5, f32x4.sub(f32x4.mul(firstError, f32x4.mul(first, first)), energy), RANKING);
  v128.store(<usize>block << 5, f32x4.sub(f32x4.mul(secondError, f32x4.mul(second, second)), energy), RANKING + 16);
}

/** Searches the grid for `count` blocks (SEARCHED), each at its scale, and adds the results to their pools. */
export function search_blocks(count: i32): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    store<f32>(SEARCHED_COST + i, search_block(load<i32>(SEARCHED + i), load<f32>(SEARCHED_SCALE + i)));
  }
}

/** Searches the grid for each group of a block at a scale, adds the result to the pool and returns its cost. */
function search_block(block: i32, s: f32): f32 {
  const from = <usize>block << 7;
  v128.store(HALF_INVERSE, f32x4.splat(<f32>0.5 / s));
  for (let four: usize = 0; four < 128; four += 64) {
    const digits0 = nearest_digits(from + four, four);
    const digits1 = nearest_digits(from + four + 16, four + 16);
    const digits2 = nearest_digits(from + four + 32, four + 32);
    const digits3 = nearest_digits(from + four + 48, four + 48);
    const patterns = f32x4.add(sums_of_four(digits0, digits1, digits2, digits3), v128.load(F32_2_23));
    v128.store(four >> 2, v128.and(patterns, v128.load(TWELVE_BITS)), LEVELS);
  }
  const entry = load<i32>(<usize>block << 2, POOL_SIZE);
  const points = points_of(block, entry);
  let qx = f32x4.splat(0);
  let q2 = f32x4.splat(0);
  for (let group: usize = 0; group < 8; group++) {
    const at = from + (group << 4);
    const point = best_point(group, at);
    store<u16>(points + (group << 1), point);
    const q = v128.load(tables + MAGNITUDES + (<usize>point << 4));
    qx = f32x4.add(qx, f32x4.mul(q, v128.load(at, WX)));
    q2 = f32x4.add(q2, f32x4.mul(f32x4.mul(q, q), v128.load(at, W)));
  }
  return add_entry(block, entry, sum_f32x4(qx), sum_f32x4(q2), s);
}

/** The nearest levels of a group as octal digits; what they are more than the weights goes to `place` in RESTS. */
// @ts-ignore: decorator
@inline
function nearest_digits(at: usize, place: usize): v128 {
  const half = f32x4.mul(v128.load(at, X), v128.load(HALF_INVERSE));
  const level = nearest_level(half);
  const rest = f32x4.sub(f32x4.add(level, v128.load(F32_HALF)), half);
  v128.store(place, f32x4.pmax(v128.load(F32_MINUS_FOUR), f32x4.pmin(v128.load(F32_FOUR), rest)), RESTS);
  return f32x4.mul(f32x4.floor(level), v128.load(DIGITS));
}

/** The sum of each vector's lanes. */
// @ts-ignore: decorator
@inline
function sums_of_four(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** The point of a group's list that costs least. */
// @ts-ignore: decorator
@inline
function best_point(group: usize, at: usize): i32 {
  const pattern = <usize>load<i32>(group << 2, LEVELS);
  const steps = tables + STEPS + (pattern << 6);
  const b = f32x4.add(
    f32x4.mul(v128.load(at, A_FACTOR), v128.load(group << 4, RESTS)),
    v128.load(F32_ROUNDER),
  );
  const firstB = v128.shuffle<u16>(b, b, 0, 2, 0, 2, 0, 2, 0, 2);
  const secondB = v128.shuffle<u16>(b, b, 4, 6, 4, 6, 4, 6, 4, 6);
  const firstA = v128.load32_splat(at >> 1, A);
  const secondA = v128.load32_splat(at >> 1, A + 4);
  const ranks0 = ranked_costs(steps, 0, firstA, firstB, secondA, secondB);
  const ranks1 = ranked_costs(steps + 16, 16, firstA, firstB, secondA, secondB);
  const ranks2 = ranked_costs(steps + 32, 32, firstA, firstB, secondA, secondB);
  const ranks3 = ranked_costs(steps + 48, 48, firstA, firstB, secondA, secondB);
  let least = i32x4.min_s(i32x4.min_s(ranks0, ranks1), i32x4.min_s(ranks2, ranks3));
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  const place = <usize>(i32x4.extract_lane(least, 0) & 15);
  return <i32>load<u16>(tables + POINTS + (pattern << 5) + (place << 1));
}

/** Costs of four points, 16 times, plus their places in the list. */
// @ts-ignore: decorator
@inline
function ranked_costs(steps: usize, places: usize, firstA: v128, firstB: v128, secondA: v128, secondB: v128): v128 {
  const first = v128.load8x8_s(steps);
  const second = v128.load8x8_s(steps, 8);
  const cost = i32x4.add(
    i32x4.dot_i16x8_s(i16x8.add_sat_s(i16x8.mul(first, firstA), firstB), first),
    i32x4.dot_i16x8_s(i16x8.add_sat_s(i16x8.mul(second, secondA), secondB), second),
  );
  return v128.or(i32x4.shl(cost, 4), v128.load(places, PLACES));
}

/** Sum of importance * magnitude * q over a block whose groups have the given points. */
export function block_product(block: i32, points: usize): f32 {
  const from = <usize>block << 7;
  let sum = f32x4.splat(0);
  for (let group: usize = 0; group < 8; group++) {
    const at = from + (group << 4);
    const q = v128.load(tables + MAGNITUDES + (<usize>load<u16>(points + (group << 1)) << 4));
    sum = f32x4.add(sum, f32x4.mul(f32x4.mul(v128.load(at, IMPORTANCE), v128.load(at, X)), q));
  }
  return sum_f32x4(sum);
}
