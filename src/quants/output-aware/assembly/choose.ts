// Choosing the values of a unit: whole numbers, four-bit floats, or points of a grid with signs or shifts. The references
// are choose() of ../integer-format.ts, ../four-bit-float-format.ts, ../grid-format.ts and ../shifted-format.ts, and
// ../../grid-search.ts.

import * as iq3 from "../../kernels/assembly/encode/iq3-tables";
import { best_listed, LIST_BYTES, LISTS, POINT, tables_of } from "../../kernels/assembly/encode/iq2-lists";
import { TERNARY } from "../../kernels/assembly/encode/ternary-digits";
import { max_f32x4, sum_f32x4, to_i16 } from "../../kernels/assembly/lanes";
import { copy } from "./vectors";

/** 0: whole numbers from `low` to `high`; -1: four-bit floats; otherwise levels of a grid, 3 (groups of 8) or 8 (groups of
 *  4). */
let levels: i32 = 0;
let low: f32 = 0;
let high: f32 = 0;
/** Weights in a unit. */
let unit: i32 = 1;
let even_signs: bool = false;
/** What all levels of a group are shifted by, up or down; 0: magnitudes have signs instead. */
let shift: f32 = 0;
/** Whether the block's minimum, not each group, decides: 0 up, 1 down. */
let block_shifts: bool = false;
let minimum: i32 = 0;
/** Cost of what the last search found, and 256 x the pattern of its first half + that of its second. */
let found_cost: f32 = 0;
let found_point: i32 = 0;

// Of a grid whose levels are shifted.
/** f32[3]: magnitudes of the levels. */
export const MAGNITUDES: usize = memory.data(16, 16);
/** u64[81][2]: for the pattern of a first half, which patterns of second halves make a point with it, bit by bit. */
const MEMBERS: usize = memory.data(1296, 16);
/** u8[6561]: whether two half patterns make a point. */
export const IS_POINT: usize = memory.data(6576, 16);

/** u8[16]: four lanes as digits to base 3 by their bit mask, the first lane's the highest. */
const DIGITS: usize = memory.data<u8>([
  0, 27, 9, 36, 3, 30, 12, 39, 1, 28, 10, 37, 4, 31, 13, 40,
]);
/** f32[4][81]: magnitudes of a half's pattern. */
const PATTERNS: usize = memory.data(1296, 16);

/** f32[8]: values with the other shift. */
const OTHER: usize = memory.data(32, 16);
/** f32[8][4]: costs of the levels: (level, weight). */
const COSTS: usize = memory.data(128, 16);
/** f32[81], up to 84 infinite: costs of the patterns of both halves. */
const FIRST: usize = memory.data(352, 16);
const SECOND: usize = memory.data(352, 16);

// Of a grid with signs.
/** u8[1024][8] or u8[512][4]: magnitudes of the points of a grid with signs, as whole numbers: of three levels in eighths, of
 *  eight as they are, or in quarters; tables of those of three levels. */
export const POINTS: usize = memory.data(8192, 16);
let tables: usize = 0;
/** i16[8]: factors of a group's weights in a list. */
const FACTORS_A: usize = memory.data(16, 16);
const FACTORS_B: usize = memory.data(16, 16);

/** f32[8]: magnitudes of the targets; negative where the sign will be wrong. */
const X: usize = memory.data(32, 16);

export function use_integers(lowest: f32, highest: f32): void {
  levels = 0;
  unit = 1;
  low = lowest;
  high = highest;
}

export function use_floats(): void {
  levels = -1;
  unit = 1;
}

/** The host has filled POINTS: `count` points of groups of `groupWeights`. */
export function use_points(levelCount: i32, groupWeights: i32, evenSigns: i32, count: i32): void {
  levels = levelCount;
  shift = 0;
  even_signs = evenSigns != 0;
  unit = even_signs ? 8 : groupWeights;
  if (levels == 3) tables = tables_of(POINTS, count);
  else iq3.use_grid(POINTS, count);
}

/** The host has filled MAGNITUDES and IS_POINT of a grid whose three levels are shifted. */
export function use_shifts(by: f32, blockShifts: i32): void {
  levels = 3;
  unit = 8;
  shift = by;
  block_shifts = blockShifts != 0;
  fill_members();
  for (let pattern: usize = 0; pattern < 81; pattern++) {
    let rest = pattern;
    for (let i: i32 = 3; i >= 0; i--) {
      store<f32>(PATTERNS + (pattern << 4) + (<usize>i << 2), load<f32>(MAGNITUDES + ((rest % 3) << 2)));
      rest /= 3;
    }
  }
}

/** The integer minimum of the block whose values are chosen next. */
export function set_minimum(m: i32): void {
  minimum = m;
}

function fill_members(): void {
  memory.fill(MEMBERS, 0, 1296);
  for (let first: i32 = 0; first < 81; first++) {
    for (let second: i32 = 0; second < 81; second++) {
      const word = MEMBERS + (<usize>first << 4) + (<usize>(second >> 6) << 3);
      const bit = <u64>load<u8>(IS_POINT + <usize>(first * 81 + second)) << (second & 63);
      store<u64>(word, load<u64>(word) | bit);
    }
  }
}

/** Values for `unit` targets, such that scale x value comes near; `weights` say how much each difference matters. */
// @ts-ignore: decorator
@inline
export function choose(targets: usize, weights: usize, scale: f32, values: usize): void {
  if (levels == 0) {
    const ratio = scale == 0 ? <f32>0 : load<f32>(targets) / scale;
    store<f32>(values, max<f32>(low, min<f32>(high, nearest<f32>(ratio))));
  } else if (levels < 0) {
    store<f32>(values, scale == 0 ? 0 : nearest_float(load<f32>(targets) / scale));
  } else if (shift != 0) {
    choose_shifted(targets, weights, scale, values);
  } else {
    choose_points(targets, weights, scale, values);
  }
}

/** Twice the value of E2M1 nearest to a number, ties to even mantissas. */
function nearest_float(twice: f32): f32 {
  const size = min<f32>(abs(twice), 12);
  const power = reinterpret<f32>(reinterpret<u32>(size) & 0x7f800000);
  const step = max<f32>(power * <f32>0.5, 1);
  return copysign<f32>(step * nearest<f32>(size / step), twice);
}

/** The better of both shifts, or the block's. */
function choose_shifted(targets: usize, weights: usize, scale: f32, values: usize): void {
  v128.store(X, v128.load(targets));
  v128.store(X, v128.load(targets, 16), 16);
  if (block_shifts) {
    search_eight(weights, scale, minimum != 0 ? -shift : shift, values);
    return;
  }
  search_eight(weights, scale, shift, values);
  const cost = found_cost;
  search_eight(weights, scale, -shift, OTHER);
  if (found_cost < cost) copy(values, OTHER, 8);
}

function choose_points(targets: usize, weights: usize, scale: f32, values: usize): void {
  const bytes = <usize>unit << 2;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(X + i, f32x4.abs(v128.load(targets + i)));
  let wrong: i32 = -1;
  if (even_signs) {
    wrong = wrong_sign(targets, weights, scale);
    if (wrong >= 0) store<f32>(X + (<usize>wrong << 2), -load<f32>(X + (<usize>wrong << 2)));
  }
  if (levels == 3) {
    search_list(weights, scale, values);
  } else {
    search_four(X, weights, scale, values);
    if (unit == 8) search_four(X + 16, weights + 16, scale, values + 16);
  }
  const sign = i32x4.splat(0x80000000);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(values + i, v128.xor(v128.load(values + i), v128.and(v128.load(targets + i), sign)));
  }
  if (wrong >= 0) {
    const place = values + (<usize>wrong << 2);
    store<f32>(place, -load<f32>(place));
  }
}

/** The weight whose sign is turned to make the number of minus signs even, or -1 if it is. */
function wrong_sign(targets: usize, weights: usize, scale: f32): i32 {
  const signs = i32x4.bitmask(v128.load(targets)) | (i32x4.bitmask(v128.load(targets, 16)) << 4);
  if ((popcnt(signs) & 1) == 0) return -1;
  let cheapest: i32 = 0;
  let least: f32 = Infinity;
  for (let i: i32 = 0; i < 8; i++) {
    const x = load<f32>(X + (<usize>i << 2));
    const cost = load<f32>(weights + (<usize>i << 2)) * x * (x + <f32>2 * scale);
    if (cost < least) {
      least = cost;
      cheapest = i;
    }
  }
  return cheapest;
}

/** Writes the magnitudes of a point of three levels near to the eight values of X: the nearest, or the best listed one. */
function search_list(weights: usize, scale: f32, out: usize): void {
  const ratio = f32x4.splat(scale > 0 ? <f32>8 / scale : 0);
  const low = f32x4.mul(v128.load(X), ratio);
  const high = f32x4.mul(v128.load(X, 16), ratio);
  const bound1 = f32x4.splat(16.5);
  const bound2 = f32x4.splat(34);
  const lowAbove1 = f32x4.gt(low, bound1);
  const lowAbove2 = f32x4.gt(low, bound2);
  const highAbove1 = f32x4.gt(high, bound1);
  const highAbove2 = f32x4.gt(high, bound2);
  const above1 = <usize>(i32x4.bitmask(lowAbove1) | (i32x4.bitmask(highAbove1) << 4));
  const above2 = <usize>(i32x4.bitmask(lowAbove2) | (i32x4.bitmask(highAbove2) << 4));
  const pattern = <usize>load<u16>(above1 << 1, TERNARY) + <usize>load<u16>(above2 << 1, TERNARY);
  let point = <i32>load<u16>(tables + (pattern << 1));
  if (point >= POINT) {
    point -= POINT;
  } else {
    const lowWeights = v128.load(weights);
    const highWeights = v128.load(weights, 16);
    const unit = f32x4.splat(<f32>900 / max_f32x4(f32x4.pmax(lowWeights, highWeights)));
    const lowA = f32x4.mul(lowWeights, unit);
    const highA = f32x4.mul(highWeights, unit);
    v128.store(FACTORS_A, to_i16(lowA, highA));
    const lowB = linear_factor(lowA, low, lowAbove1, lowAbove2);
    v128.store(FACTORS_B, to_i16(lowB, linear_factor(highA, high, highAbove1, highAbove2)));
    point = best_listed(tables + LISTS + <usize>point * LIST_BYTES, FACTORS_A, FACTORS_B);
  }
  const magnitudes = v128.load8x8_u(POINTS + (<usize>point << 3));
  const eighth = f32x4.splat(0.125);
  v128.store(out, f32x4.mul(eighth, f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(magnitudes))));
  v128.store(out, f32x4.mul(eighth, f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(magnitudes))), 16);
}

/** What a step costs besides its square: 2 a (l - x), for x in eighths of the scale and its nearest level l, not further than 16. */
// @ts-ignore: decorator
@inline
function linear_factor(a: v128, x: v128, above1: v128, above2: v128): v128 {
  const level = f32x4.add(
    f32x4.add(f32x4.splat(8), v128.and(above1, f32x4.splat(17))),
    v128.and(above2, f32x4.splat(18)),
  );
  const rest = f32x4.pmax(f32x4.splat(-16), f32x4.pmin(f32x4.splat(16), f32x4.sub(level, x)));
  return f32x4.mul(f32x4.add(a, a), rest);
}

/** Cost of a level for each of four weights: weight q (q - 2 x). */
// @ts-ignore: decorator
@inline
function level_cost(x2: v128, weights: v128, q: v128): v128 {
  return f32x4.mul(f32x4.mul(weights, q), f32x4.sub(q, x2));
}

/** Writes the levels, all shifted by `by`, of the point of three levels nearest to the eight values of X. */
function search_eight(weights: usize, scale: f32, by: f32, out: usize): void {
  const q0 = f32x4.splat(scale * (load<f32>(MAGNITUDES) + by));
  const q1 = f32x4.splat(scale * (load<f32>(MAGNITUDES, 4) + by));
  const q2 = f32x4.splat(scale * (load<f32>(MAGNITUDES, 8) + by));
  let first: i32 = 0;
  let second: i32 = 0;
  let least = f32x4.splat(0);
  for (let half: usize = 0; half < 32; half += 16) {
    const x = v128.load(X + half);
    const x2 = f32x4.add(x, x);
    const w = v128.load(weights + half);
    const c0 = level_cost(x2, w, q0);
    const c1 = level_cost(x2, w, q1);
    const c2 = level_cost(x2, w, q2);
    least = f32x4.add(least, f32x4.pmin(c0, f32x4.pmin(c1, c2)));
    const isSecond = f32x4.lt(c1, c0);
    const isThird = f32x4.lt(c2, f32x4.pmin(c0, c1));
    const thirds = i32x4.bitmask(isThird);
    const seconds = i32x4.bitmask(isSecond) & ~thirds;
    const pattern = <i32>load<u8>(DIGITS + <usize>seconds) + 2 * <i32>load<u8>(DIGITS + <usize>thirds);
    if (half == 0) first = pattern;
    else second = pattern;
    v128.store(COSTS + half, c0);
    v128.store(COSTS + half, c1, 32);
    v128.store(COSTS + half, c2, 64);
  }
  if (load<u8>(IS_POINT + <usize>(first * 81 + second)) != 0) {
    found_cost = sum_f32x4(least);
  } else {
    costs_of_eighty_one(COSTS, FIRST);
    costs_of_eighty_one(COSTS + 16, SECOND);
    const point = search_halves(first, second);
    first = point >> 8;
    second = point & 255;
  }
  const all = f32x4.splat(by);
  v128.store(out, f32x4.add(v128.load(PATTERNS + (<usize>first << 4)), all));
  v128.store(out, f32x4.add(v128.load(PATTERNS + (<usize>second << 4)), all), 16);
}

/** Costs of all patterns of four weights with three levels; costs lie 32 bytes apart for one level and the next. */
function costs_of_eighty_one(costs: usize, out: usize): void {
  // Sums of the last two weights in nines; what is behind is overwritten by the nine that follow.
  const c0 = load<f32>(costs, 8);
  const c1 = load<f32>(costs, 40);
  const c2 = load<f32>(costs, 72);
  const d0 = load<f32>(costs, 12);
  const d1 = load<f32>(costs, 44);
  const d2 = load<f32>(costs, 76);
  const d = f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(d0), 1, d1), 2, d2), 3, d0);
  let c = f32x4.replace_lane(f32x4.splat(c0), 3, c1);
  const cd0 = f32x4.add(c, d);
  c = f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(c1), 2, c2), 3, c2);
  const cd1 = f32x4.add(c, v128.shuffle<u32>(d, d, 1, 2, 0, 1));
  const cd2 = f32x4.splat(c2 + d2);
  for (let a: usize = 0; a < 96; a += 32) {
    const first = load<f32>(costs + a);
    for (let b: usize = 4; b < 100; b += 32, out += 36) {
      const ab = f32x4.splat(first + load<f32>(costs + b));
      v128.store(out, f32x4.add(ab, cd0));
      v128.store(out, f32x4.add(ab, cd1), 16);
      v128.store(out, f32x4.add(ab, cd2), 32);
    }
  }
  v128.store(out, f32x4.splat(Infinity));
}

/** Writes the magnitudes of the best listed point of eight levels near to four values. */
function search_four(x: usize, weights: usize, scale: f32, out: usize): void {
  const half = f32x4.mul(v128.load(x), f32x4.splat(scale > 0 ? <f32>0.5 / scale : 0));
  const level = f32x4.pmax(f32x4.splat(0), f32x4.pmin(f32x4.splat(iq3.isXxs ? 6 : 7), f32x4.floor(half)));
  // The uppermost level of IQ3_XXS, 15.5, is a quarter further from the one below than these are from each other.
  const isTop = v128.and(f32x4.gt(half, f32x4.splat(7.125)), f32x4.splat(iq3.isXxs ? 1 : 0));
  const digits = f32x4.mul(f32x4.add(level, isTop), f32x4(1, 8, 64, 512));
  const pattern = <usize>(reinterpret<u32>(sum_f32x4(digits) + <f32>8388608) & 4095);
  const nearest = f32x4.add(f32x4.add(level, f32x4.splat(0.5)), f32x4.mul(isTop, f32x4.splat(1.25)));
  // In 2048ths; up to 16 of 16 bits.
  const rest = f32x4.mul(f32x4.sub(nearest, half), f32x4.splat(2048));
  const bounded = f32x4.pmax(f32x4.splat(-32767), f32x4.pmin(f32x4.splat(32767), rest));
  const w = v128.load(weights);
  const share = f32x4.mul(w, f32x4.splat((iq3.isXxs ? <f32>1023 : <f32>255) / sum_f32x4(w)));
  const place = iq3.isXxs
    ? best_place<iq3.Xxs>(pattern, to_i16(share, share), to_i16(bounded, bounded))
    : best_place<iq3.S>(pattern, i16x8.shl(to_i16(share, share), 4), to_i16(bounded, bounded));
  const point = <usize>load<u16>(iq3.tables + iq3.POINTS + ((pattern << 4) + place << 1));
  const magnitudes = f32x4.convert_i32x4_s(v128.load16x4_s(iq3.tables + iq3.MAGNITUDES + (point << 3)));
  v128.store(out, iq3.isXxs ? f32x4.mul(magnitudes, f32x4.splat(0.5)) : magnitudes);
}

/** Place of the best point in a pattern's list. */
// @ts-ignore: decorator
@inline
function best_place<Format>(pattern: usize, a: v128, rests: v128): usize {
  const b = iq3.linear_factors<Format>(a, rests);
  let least = iq3.least_costs<Format>(
    iq3.tables + iq3.STEPS + (pattern << 6),
    v128.shuffle<u32>(a, a, 0, 0, 0, 0),
    v128.shuffle<u32>(a, a, 1, 1, 1, 1),
    v128.shuffle<u32>(b, b, 0, 0, 0, 0),
    v128.shuffle<u32>(b, b, 1, 1, 1, 1),
  );
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  return <usize>(i32x4.extract_lane(least, 0) & 15);
}

/**
 * The cheapest point by FIRST and SECOND: 256 x first half + second half.
 * @param first what would be best if all patterns were points
 */
function search_halves(first: i32, second: i32): i32 {
  const leastFirst = load<f32>(FIRST + (<usize>first << 2));
  const leastSecond = load<f32>(SECOND + (<usize>second << 2));
  found_cost = Infinity;
  // The first half that would be best alone comes first: it makes the bounds tight from the start.
  search_seconds(first, 0, -1);
  search_seconds(first, 1, -1);
  const low = cheaper_than(found_cost - leastFirst, SECOND, 64);
  const high = cheaper_than(found_cost - leastFirst, SECOND + 256, 20);
  for (let four: i32 = 0; four < 84; four += 4) {
    const bound = f32x4.splat(found_cost - leastSecond);
    let open = i32x4.bitmask(f32x4.lt(v128.load(FIRST + (<usize>four << 2)), bound));
    for (; open != 0; open &= open - 1) {
      const pattern = four + ctz(open);
      search_seconds(pattern, 0, low);
      if (high != 0) search_seconds(pattern, 1, high);
    }
  }
  return found_point;
}

/** The costs below a bound, bit by bit; `count` is a multiple of four, 64 at most. */
// @ts-ignore: decorator
@inline
function cheaper_than(bound: f32, costs: usize, count: i32): u64 {
  const bounds = f32x4.splat(bound);
  let cheaper: u64 = 0;
  for (let four: i32 = 0; four < count; four += 4) {
    const bits = i32x4.bitmask(f32x4.lt(v128.load(costs + (<usize>four << 2)), bounds));
    cheaper |= <u64>bits << four;
  }
  return cheaper;
}

/** Looks at the points of a first half whose second halves are among 64 patterns, as far as bits of `among` are set. */
// @ts-ignore: decorator
@inline
function search_seconds(first: i32, word: i32, among: u64): void {
  const cost = load<f32>(FIRST + (<usize>first << 2));
  let members = load<u64>(MEMBERS + (<usize>first << 4) + (<usize>word << 3)) & among;
  for (; members != 0; members &= members - 1) {
    const second = (word << 6) + <i32>ctz(members);
    const total = cost + load<f32>(SECOND + (<usize>second << 2));
    if (total < found_cost) {
      found_cost = total;
      found_point = (first << 8) | second;
    }
  }
}
