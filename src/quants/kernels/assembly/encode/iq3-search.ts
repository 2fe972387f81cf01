// Grid search for IQ3_XXS and IQ3_S: groups of four weights, each of level 0 to 7 (magnitudes 1, 3, ... 13 and 15,
// for IQ3_XXS 15.5, times the scale). As in iq2-search.ts, the exact search runs on bytes that hold excess costs; a
// group is two pairs of weights, and a pair has 64 patterns: four vectors.
import { sum_f32x4 } from "../lanes";
import {
  add_entry,
  best_start,
  ENERGY,
  F32_126,
  F32_127,
  F32_2_23,
  F32_HALF,
  F32_ONE,
  F32_SIX,
  F32_TWO,
  IMPORTANCE,
  odd,
  points_of,
  POOL_SIZE,
  RANKING,
  SCALE,
  SUM_W_4,
  UNAVOIDABLE,
  W,
  WX,
  X,
} from "./grid-memory";

// Tables of a format.
/** u8[64][64]: for a first and a second pair (level of the first weight * 8 + level of the other), 0 if they make a
 *  point, else 127. */
const MEMBERS: usize = 0;
/** u16[64][64]: that point. */
const POINTS: usize = MEMBERS + 4096;
/** u16[4096]: the point nearest to four levels (the first weight's in the lowest three bits). */
const NEAREST: usize = POINTS + 8192;
/** u16[512]: those levels of each point. */
const PATTERNS: usize = NEAREST + 8192;
/** f32[512][4]: magnitudes of each point. */
const MAGNITUDES: usize = PATTERNS + 1024;
const TABLE_BYTES: i32 = 4096 + 8192 + 8192 + 1024 + 8192;

const XXS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const S_TABLES: usize = memory.data(TABLE_BYTES, 16);
let prepared: i32 = 0;

/** Working memory: excess costs of first pairs. */
const FIRST: usize = memory.data(64, 16);
/** Per group of a block: f32[4] magnitudes of the nearest levels in units of the scale; f32[4] squared errors of its
 *  weights; i32 pattern of the levels; f32 excess cost of the known point. */
const MAGNITUDE: usize = memory.data(8 * 16, 16);
const ERRORS: usize = memory.data(8 * 16, 16);
const LEVELS: usize = memory.data(8 * 4, 16);
const EXCESS: usize = memory.data(8 * 4, 16);
/** i32[64][64], while tables are made. */
const DISTANCES: usize = memory.data(64 * 64 * 4, 16);
const BEST: usize = memory.data(64 * 64 * 4, 16);

/** f32[4] each: q - x / s of each group of a block, of the nearest levels. */
const RESTS: usize = memory.data(8 * 16, 16);

/** Tables of the format in use, and its largest magnitude. */
let tables: usize = 0;
let top: f32 = 15;
// What is the same in every turn of a loop goes by way of memory, four times the same number: V8 would compute it
// anew each time.
/** The largest magnitude, what it is more than 13, and the bound between the two. */
const TOP: usize = memory.data(16, 16);
const TOP_STEP: usize = memory.data(16, 16);
const TOP_BOUND: usize = memory.data(16, 16);
/** Scale of the search and its inverse. */
const S: usize = memory.data(16, 16);
const INVERSE: usize = memory.data(16, 16);
const F32_1_99999: usize = memory.data<f32>([1.99999, 1.99999, 1.99999, 1.99999], 16);
const F32_5E_4: usize = memory.data<f32>([5e-4, 5e-4, 5e-4, 5e-4], 16);
const F32_SEVEN: usize = memory.data<f32>([7, 7, 7, 7], 16);
const DIGITS: usize = memory.data<f32>([1, 8, 64, 512], 16);
const TWELVE_BITS: usize = memory.data<i32>([0xfff, 0xfff, 0xfff, 0xfff], 16);
/** Inverse scales of a ranking: four different ones each. */
const INVERSES: usize = memory.data(32, 16);

/** Chooses the format: makes its tables at first use (some milliseconds). */
export function use_grid(grid: usize, points: i32): void {
  const xxs = points == 256;
  tables = xxs ? XXS_TABLES : S_TABLES;
  top = xxs ? 15.5 : 15;
  v128.store(TOP, f32x4.splat(top));
  v128.store(TOP_STEP, f32x4.splat(top - 13));
  v128.store(TOP_BOUND, f32x4.splat(xxs ? 14.25 : 14));
  const bit = xxs ? 1 : 2;
  if (prepared & bit) return;
  prepared |= bit;

  memory.fill(tables + MEMBERS, 127, 4096);
  for (let point: i32 = 0; point < points; point++) {
    let pattern = 0;
    let pairs = 0;
    for (let i: i32 = 0; i < 4; i++) {
      const value = <i32>load<u8>(grid + <usize>(4 * point + i));
      const level = xxs ? min<i32>(7, (value - 4) >> 3) : value >> 1;
      pattern |= level << (3 * i);
      pairs = 8 * pairs + level;
      store<f32>(tables + MAGNITUDES + (<usize>(4 * point + i) << 2), magnitude_of(level));
    }
    store<u16>(tables + PATTERNS + (<usize>point << 1), pattern);
    store<u8>(tables + MEMBERS + <usize>pairs, 0);
    store<u16>(tables + POINTS + (<usize>pairs << 1), point);
  }
  fill_nearest(points);
}

/**
 * The nearest point of every four levels, all weights alike; of several, the first. Half by half: BEST has, for a
 * first pair of the grid and any second pair of levels, the least distance * 512 + point.
 */
function fill_nearest(points: i32): void {
  for (let a: i32 = 0; a < 64; a++) {
    for (let b: i32 = 0; b < 64; b++) {
      store<i32>(DISTANCES + (<usize>(64 * a + b) << 2), pair_distance(a, b));
      store<i32>(BEST + (<usize>(64 * a + b) << 2), 1 << 30);
    }
  }
  for (let point: i32 = 0; point < points; point++) {
    const pattern = <i32>load<u16>(tables + PATTERNS + (<usize>point << 1));
    for (let b: i32 = 0; b < 64; b++) {
      const place = BEST + (<usize>(64 * (pattern & 63) + b) << 2);
      const distance = load<i32>(DISTANCES + (<usize>(64 * (pattern >> 6) + b) << 2));
      store<i32>(place, min<i32>(load<i32>(place), 512 * distance + point));
    }
  }
  for (let key: i32 = 0; key < 4096; key++) {
    let nearest: i32 = 1 << 30;
    for (let a: i32 = 0; a < 64; a++) {
      const distance = load<i32>(DISTANCES + (<usize>(64 * (key & 63) + a) << 2));
      nearest = min<i32>(nearest, 512 * distance + load<i32>(BEST + (<usize>(64 * a + (key >> 6)) << 2)));
    }
    store<u16>(tables + NEAREST + (<usize>key << 1), nearest & 511);
  }
}

/** Four times the squared distance of two pairs of levels. */
function pair_distance(a: i32, b: i32): i32 {
  const low = <i32>(<f32>2 * (magnitude_of(a & 7) - magnitude_of(b & 7)));
  const high = <i32>(<f32>2 * (magnitude_of(a >> 3) - magnitude_of(b >> 3)));
  return low * low + high * high;
}

function magnitude_of(level: i32): f32 {
  return level == 7 ? top : odd(level);
}

/** The magnitude of the nearest level. */
// @ts-ignore: decorator
@inline
function nearest_magnitude(ratio: v128): v128 {
  const pairs = f32x4.floor(f32x4.mul(ratio, v128.load(F32_HALF)));
  const level = f32x4.pmax(i32x4.splat(0), f32x4.pmin(v128.load(F32_SIX), pairs));
  const magnitude = f32x4.add(f32x4.add(level, level), v128.load(F32_ONE));
  return f32x4.add(magnitude, v128.and(f32x4.gt(ratio, v128.load(TOP_BOUND)), v128.load(TOP_STEP)));
}

/**
 * The best scale of each block without the grid, and its energy. The four starts (largest magnitude / 13 and so on)
 * are the lanes. Returns the largest of the scales.
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
      maximum = f32x4.pmax(maximum, x);
      energy = f32x4.add(energy, f32x4.mul(v128.load(at, WX), x));
      store<f32>(at >> 2, sum_f32x4(v128.load(at, W)), SUM_W_4);
    }
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 2, 3, 0, 1));
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 1, 0, 3, 2));
    store<f32>(block, sum_f32x4(energy), ENERGY);
    store<f32>(block, 0, SCALE);
    if (f32x4.extract_lane(maximum, 0) > 0) {
      v128.store(INVERSES, f32x4.div(f32x4(13, 14.5, 16.5, 19.5), maximum));
      let qx = zero;
      let q2 = zero;
      for (let at = from; at < from + 128; at += 4) {
        const x = v128.load32_splat(at, X);
        const w = v128.load32_splat(at, W);
        const q = nearest_magnitude(f32x4.mul(x, v128.load(INVERSES)));
        const wq = f32x4.mul(w, q);
        qx = f32x4.add(qx, f32x4.mul(wq, x));
        q2 = f32x4.add(q2, f32x4.mul(wq, q));
      }
      const scale = best_start(qx, q2);
      store<f32>(block, scale, SCALE);
      if (scale > largest) largest = scale;
    }
    block += 4;
  }
  return largest;
}

/** Fills RANKING: cost of a block without the grid at eight sub-scales from `low` on, four to a vector. */
export function rank(block: i32, scale: f32, low: i32): void {
  const first = f32x4.mul(
    f32x4.splat(scale),
    f32x4.add(f32x4.splat(odd(low)), f32x4(0, 2, 4, 6)),
  );
  const second = f32x4.add(first, f32x4.splat(<f32>8 * scale));
  // The rest of x / 2s after the nearest level, l + 1/2, is the error in units of 2s.
  v128.store(INVERSES, f32x4.div(v128.load(F32_HALF), first));
  v128.store(INVERSES, f32x4.div(v128.load(F32_HALF), second), 16);
  let firstError = f32x4.splat(0);
  let secondError = f32x4.splat(0);
  const from = <usize>block << 7;
  if (top == 15) {
    for (let at = from; at < from + 128; at += 4) {
      const x = v128.load32_splat(at, X);
      const w = v128.load32_splat(at, W);
      const half = v128.load(F32_HALF);
      const ratio = f32x4.mul(x, v128.load(INVERSES));
      const level = f32x4.pmin(v128.load(F32_SEVEN), f32x4.floor(ratio));
      const rest = f32x4.sub(f32x4.sub(ratio, half), level);
      firstError = f32x4.add(firstError, f32x4.mul(w, f32x4.mul(rest, rest)));
      const otherRatio = f32x4.mul(x, v128.load(INVERSES, 16));
      const otherLevel = f32x4.pmin(v128.load(F32_SEVEN), f32x4.floor(otherRatio));
      const otherRest = f32x4.sub(f32x4.sub(otherRatio, half), otherLevel);
      secondError = f32x4.add(secondError, f32x4.mul(w, f32x4.mul(otherRest, otherRest)));
    }
  } else {
    for (let at = from; at < from + 128; at += 4) {
      const x = v128.load32_splat(at, X);
      const x2 = f32x4.add(x, x);
      const w = v128.load32_splat(at, W);
      const ratio = f32x4.mul(x2, v128.load(INVERSES));
      const rest = f32x4.sub(ratio, nearest_magnitude(ratio));
      firstError = f32x4.add(firstError, f32x4.mul(w, f32x4.mul(rest, rest)));
      const otherRatio = f32x4.mul(x2, v128.load(INVERSES, 16));
      const otherRest = f32x4.sub(otherRatio, nearest_magnitude(otherRatio));
      secondError = f32x4.add(secondError, f32x4.mul(w, f32x4.mul(otherRest, otherRest)));
    }
    const quarter = f32x4.splat(0.25);
    firstError = f32x4.mul(firstError, quarter);
    secondError = f32x4.mul(secondError, quarter);
  }
  const twiceFirst = f32x4.add(first, first);
  const twiceSecond = f32x4.add(second, second);
  const energy = v128.load32_splat(<usize>block << 2, ENERGY);
  v128.store(RANKING, f32x4.sub(f32x4.mul(firstError, f32x4.mul(twiceFirst, twiceFirst)), energy));
  v128.store(RANKING, f32x4.sub(f32x4.mul(secondError, f32x4.mul(twiceSecond, twiceSecond)), energy), 16);
}

/**
 * Searches the grid for each group of a block at a scale. Adds the result to the pool and returns its cost, unless
 * that is `limit` or more: then `limit`.
 */
export function search_block(block: i32, s: f32, limit: f32): f32 {
  const offset = <usize>block << 2;
  const from = <usize>block << 7;
  v128.store(S, f32x4.splat(s));
  v128.store(INVERSE, f32x4.splat(<f32>1 / s));
  const zero = f32x4.splat(0);
  let all = zero;
  for (let group: usize = 0; group < 8; group++) {
    const at = from + (group << 4);
    const x = v128.load(at, X);
    const ratio = f32x4.mul(x, v128.load(INVERSE));
    const q = nearest_magnitude(ratio);
    const rest = f32x4.sub(f32x4.mul(v128.load(S), q), x);
    const error = f32x4.mul(f32x4.mul(rest, rest), v128.load(at, W));
    v128.store(group << 4, f32x4.sub(q, ratio), RESTS);
    v128.store(group << 4, q, MAGNITUDE);
    v128.store(group << 4, error, ERRORS);
    all = f32x4.add(all, error);
  }
  let cost = sum_f32x4(all) - load<f32>(offset, ENERGY);
  if (cost >= limit) return limit;

  const entry = load<i32>(offset, POOL_SIZE);
  const points = points_of(block, entry);
  for (let four: usize = 0; four < 8; four += 4) {
    v128.store(four << 2, level_patterns(MAGNITUDE + (four << 4)), LEVELS);
    const at = from + (four << 4);
    const excess0 = known_excess(four, at, points);
    const excess1 = known_excess(four + 1, at + 16, points);
    const excess2 = known_excess(four + 2, at + 32, points);
    const excess3 = known_excess(four + 3, at + 48, points);
    v128.store(four << 2, sums_of_four(excess0, excess1, excess2, excess3), EXCESS);
  }
  const known = sum_f32x4(f32x4.add(v128.load(EXCESS), v128.load(EXCESS, 16)));
  if (cost + UNAVOIDABLE * known >= limit) return limit;
  for (let group: usize = 0; group < 8; group++) {
    const excess = EXCESS + (group << 2);
    if (load<f32>(excess) > 1e-30) {
      cost += search_group(group, from + (group << 4), excess, limit - cost, points + (group << 1));
      if (cost >= limit) return limit;
    }
  }

  let qx = zero;
  let q2 = zero;
  for (let group: usize = 0; group < 8; group++) {
    const at = from + (group << 4);
    const q = v128.load(tables + MAGNITUDES + (<usize>load<u16>(points + (group << 1)) << 4));
    qx = f32x4.add(qx, f32x4.mul(q, v128.load(at, WX)));
    q2 = f32x4.add(q2, f32x4.mul(f32x4.mul(q, q), v128.load(at, W)));
  }
  return add_entry(block, entry, sum_f32x4(qx), sum_f32x4(q2), s);
}

/** The nearest levels of four groups as patterns: three bits a level. */
// @ts-ignore: decorator
@inline
function level_patterns(magnitudes: usize): v128 {
  const sums = sums_of_four(
    level_digits(magnitudes),
    level_digits(magnitudes + 16),
    level_digits(magnitudes + 32),
    level_digits(magnitudes + 48),
  );
  return v128.and(f32x4.add(sums, v128.load(F32_2_23)), v128.load(TWELVE_BITS));
}

/** Levels, (q - 1) / 2, times 1, 8, 64 and 512. The largest magnitude can be 15.5, of level 7. */
// @ts-ignore: decorator
@inline
function level_digits(magnitude: usize): v128 {
  const level = f32x4.floor(f32x4.mul(v128.load(magnitude), v128.load(F32_HALF)));
  return f32x4.mul(level, v128.load(DIGITS));
}

/** Puts the known point of a group to `points`; by weight, what it costs more than the nearest levels. */
// @ts-ignore: decorator
@inline
function known_excess(group: usize, at: usize, points: usize): v128 {
  const point = load<u16>(tables + NEAREST + (<usize>load<i32>(group << 2, LEVELS) << 1));
  store<u16>(points + (group << 1), point);
  const rest = f32x4.sub(
    f32x4.mul(v128.load(S), v128.load(tables + MAGNITUDES + (<usize>point << 4))),
    v128.load(at, X),
  );
  return f32x4.sub(
    f32x4.mul(f32x4.mul(rest, rest), v128.load(at, W)),
    v128.load(group << 4, ERRORS),
  );
}

/** The sum of each vector's lanes. */
// @ts-ignore: decorator
@inline
function sums_of_four(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** Excess cost of a level, in the lowest byte of each lane: distance * slope, at most 127. */
// @ts-ignore: decorator
@inline
function level_cost(distance: v128, slope: v128): v128 {
  return f32x4.add(f32x4.pmin(v128.load(F32_127), f32x4.mul(distance, slope)), v128.load(F32_2_23));
}

/** The lowest bytes of four vectors' lanes, side by side. */
// @ts-ignore: decorator
@inline
function pack_bytes(a: v128, b: v128, c: v128, d: v128): v128 {
  const lowest = v128.xor(a, v128.load(F32_2_23));
  return v128.or(v128.or(lowest, i32x4.shl(b, 8)), v128.or(i32x4.shl(c, 16), i32x4.shl(d, 24)));
}

/** Each of the first four bytes four times; of the third four. */
// @ts-ignore: decorator
@inline
function four_times(v: v128): v128 {
  const twice = v128.shuffle<u8>(v, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return v128.shuffle<u8>(twice, twice, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function third_four_times(v: v128): v128 {
  const twice = v128.shuffle<u8>(v, v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return v128.shuffle<u8>(twice, twice, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

/**
 * Looks for a better point than the known one, whose excess cost is at `excess`. Puts it to `place` and returns its
 * excess cost; `limit` if no point costs less than that.
 */
function search_group(group: usize, at: usize, excess: usize, limit: f32, place: usize): f32 {
  const bounds = f32x4.pmin(v128.load32_splat(excess), f32x4.splat(limit));
  const q = v128.load(group << 4, MAGNITUDE);
  // With t = x / s, level p costs w s^2 ((p - t)^2 - (q - t)^2) = (p - q) (a (p - q) + b) more than the nearest
  // level q, where a = w s^2 and b = 2 a (q - t). A larger unit where a weight is far above the others keeps the
  // rounding errors of this small; taking a trifle off b keeps the costs from being negative.
  const squares = f32x4.mul(v128.load(S), v128.load(S));
  const heaviest = f32x4.mul(f32x4.mul(v128.load32_splat(at >> 2, SUM_W_4), squares), v128.load(F32_5E_4));
  const raised = f32x4.pmax(bounds, heaviest);
  const units = f32x4.div(v128.load(F32_126), raised);
  const a = f32x4.mul(f32x4.mul(v128.load(at, W), squares), units);
  const b = f32x4.mul(f32x4.mul(a, v128.load(group << 4, RESTS)), v128.load(F32_1_99999));
  const two = v128.load(F32_TWO);
  const twoA = f32x4.add(a, a);
  let distance = f32x4.sub(v128.load(F32_ONE), q);
  let slope = f32x4.add(f32x4.mul(a, distance), b);
  const cost0 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost1 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost2 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost3 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost4 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost5 = level_cost(distance, slope);
  distance = f32x4.add(distance, two);
  slope = f32x4.add(slope, twoA);
  const cost6 = level_cost(distance, slope);
  distance = f32x4.sub(v128.load(TOP), q);
  slope = f32x4.add(f32x4.mul(a, distance), b);
  const cost7 = level_cost(distance, slope);
  const low = pack_bytes(cost0, cost1, cost2, cost3);
  const high = pack_bytes(cost4, cost5, cost6, cost7);

  // Byte 8 i + j of four vectors: the first weight of the pair has level i, the second j. The shuffles are of kinds
  // that are one instruction each.
  let other = v128.shuffle<u32>(low, high, 3, 7, 3, 7);
  let levels = third_four_times(low);
  const second0 = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 0, 0, 1, 1));
  const second1 = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 2, 2, 3, 3));
  levels = third_four_times(high);
  const second2 = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 0, 0, 1, 1));
  const second3 = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 2, 2, 3, 3));
  other = v128.shuffle<u32>(low, high, 1, 5, 1, 5);
  const most = i8x16.splat(127);
  levels = four_times(low);
  let first = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 0, 0, 1, 1));
  v128.store(FIRST, first);
  let below0 = <u32>i8x16.bitmask(i8x16.gt_s(most, first));
  first = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 2, 2, 3, 3));
  v128.store(FIRST, first, 16);
  below0 |= <u32>i8x16.bitmask(i8x16.gt_s(most, first)) << 16;
  levels = four_times(high);
  first = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 0, 0, 1, 1));
  v128.store(FIRST, first, 32);
  let below1 = <u32>i8x16.bitmask(i8x16.gt_s(most, first));
  first = i8x16.add_sat_s(other, v128.shuffle<u32>(levels, levels, 2, 2, 3, 3));
  v128.store(FIRST, first, 48);
  below1 |= <u32>i8x16.bitmask(i8x16.gt_s(most, first)) << 16;
  let candidates = <u64>below0 | (<u64>below1 << 32);

  // Sum and first pair in 16 bits, so that one minimum finds both.
  const rows = tables + MEMBERS;
  let both = i16x8.splat(0x7fff);
  let others = both;
  while (candidates != 0) {
    const pair = <usize>ctz(candidates);
    candidates &= candidates - 1;
    const members = rows + (pair << 6);
    const partner = i8x16.min_u(
      i8x16.min_u(v128.or(second0, v128.load(members)), v128.or(second1, v128.load(members, 16))),
      i8x16.min_u(v128.or(second2, v128.load(members, 32)), v128.or(second3, v128.load(members, 48))),
    );
    const sum = i8x16.add_sat_s(partner, v128.load8_splat(pair, FIRST));
    const position = i8x16.splat(<i8>pair);
    both = i16x8.min_u(
      both,
      v128.shuffle<u8>(position, sum, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
    );
    others = i16x8.min_u(
      others,
      v128.shuffle<u8>(position, sum, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
    );
  }
  both = i16x8.min_u(both, others);
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 2, 3, 0, 1));
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 1, 0, 3, 2));
  both = i16x8.min_u(both, i32x4.shr_u(both, 16));
  const best = <i32>i16x8.extract_lane_u(both, 0);
  const sum = best >> 8;
  if (sum == 127) return f32x4.extract_lane(bounds, 0);
  const pair = <usize>(best & 255);
  const wanted = i8x16.splat(<i8>(sum - <i32>load<u8>(pair, FIRST)));
  const members = rows + (pair << 6);
  const equal0 = <u32>i8x16.bitmask(i8x16.eq(v128.or(second0, v128.load(members)), wanted));
  const equal1 = <u32>i8x16.bitmask(i8x16.eq(v128.or(second1, v128.load(members, 16)), wanted));
  const equal2 = <u32>i8x16.bitmask(i8x16.eq(v128.or(second2, v128.load(members, 32)), wanted));
  const equal3 = <u32>i8x16.bitmask(i8x16.eq(v128.or(second3, v128.load(members, 48)), wanted));
  const partner = <usize>ctz(<u64>(equal0 | (equal1 << 16)) | (<u64>(equal2 | (equal3 << 16)) << 32));
  store<u16>(place, load<u16>(tables + POINTS + (((pair << 6) + partner) << 1)));
  return <f32>sum * f32x4.extract_lane(raised, 0) * <f32>(1.0 / 126.0);
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
