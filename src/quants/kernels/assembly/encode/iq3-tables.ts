// Lists of points for IQ3_XXS and IQ3_S: groups of four weights, each of level 0 to 7 (magnitudes 1, 3, ... 13 and 15,
// for IQ3_XXS 15.5, times the scale).
//
// For all 4096 patterns of nearest levels, twelve points are listed that are best for some offsets and importance of
// the weights: the four nearest, and those with least sum of log(1 + steps^2), since one weight of little importance
// can be moved far, but not all can. The best of the list costs some 0.3 % more than the best of the grid, and is found
// by integers:
//
// - With t = x / 2s - 1/2, the level as a real number, a point that is d steps from the nearest levels l costs
//   the sum of (a d + b) d more than they do, where a = 4 s^2 w and b = 2 a (l - t). Only ratios of costs count: a is
//   scaled by the group's sum of weights to 12 bits, and so does not depend on the scale s. Steps of IQ3_XXS are
//   counted in quarters, because 15.5 is a quarter further: then a has 10 bits, and b is four times as much.
// - That is a dot product of 16-bit integers, which SIMD does for eight weights at a time. Steps are listed for four
//   points at a time: of the first pair of weights, then of the second.
// - The lowest four bits of a cost are the point's place in the list. Those of IQ3_S are left free by a and b, which are
//   multiples of 16.

// Tables of a format.
/** i8[4096][16][4]: steps from the nearest levels (the first weight's in the lowest three bits of the pattern) to three
 *  times four points, as [2][4][2]: of the first and of the second pair of weights; 16 bytes unused. */
export const STEPS: usize = 0;
/** u16[4096][16]: those points. */
export const POINTS: usize = STEPS + 4096 * 64;
/** u16[4096]: what the best point of a list costs more than the nearest levels, on average: see `expect`. */
export const EXCESS: usize = POINTS + 4096 * 32;
/** u16[512]: levels of each point. */
const PATTERNS: usize = EXCESS + 8192;
/** i16[512][4]: magnitudes of each point, for IQ3_XXS times two. */
export const MAGNITUDES: usize = PATTERNS + 1024;
const TABLE_BYTES: i32 = 4096 * 96 + 8192 + 1024 + 4096;
/** Points of a list. */
const LISTED: usize = 12;

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

/** Bounds of b before it is shifted. */
const LEAST_B: usize = memory.data<i16>([-2047, -2047, -2047, -2047, -2047, -2047, -2047, -2047], 16);
const LEAST_XXS_B: usize = memory.data<i16>([-4095, -4095, -4095, -4095, -4095, -4095, -4095, -4095], 16);
const MOST_XXS_B: usize = memory.data<i16>([4095, 4095, 4095, 4095, 4095, 4095, 4095, 4095], 16);
/** Places in a list. */
const PLACES: usize = memory.data<i32>([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 16);
/** Trials of `expect`: i16[32][4] factors a, and rests, then factors b. */
const TRIALS: usize = 32;
const TRIAL_A: usize = memory.data(256, 16);
const TRIAL_RESTS: usize = memory.data(256, 16);
const NUMBERS: usize = memory.data(64, 16);

/** Functions that differ between the formats are compiled for each: their type parameter is one of these. */
export type Xxs = i8;
export type S = i16;

/** Tables of the format in use, and whether that is IQ3_XXS. */
export let tables: usize = 0;
export let isXxs: bool = false;

/** Chooses the format: makes its tables at first use (some milliseconds). */
export function use_grid(grid: usize, points: i32): void {
  const xxs = points == 256;
  tables = xxs ? XXS_TABLES : S_TABLES;
  isXxs = xxs;
  const bit = xxs ? 1 : 2;
  if (prepared & bit) return;
  prepared |= bit;

  for (let point: i32 = 0; point < points; point++) {
    let pattern = 0;
    for (let i: i32 = 0; i < 4; i++) {
      const value = <i32>load<u8>(grid + <usize>(4 * point + i));
      const level = xxs ? min<i32>(7, (value - 4) >> 3) : value >> 1;
      pattern |= level << (3 * i);
      const magnitude = xxs ? (level == 7 ? 31 : 4 * level + 2) : 2 * level + 1;
      store<i16>(tables + MAGNITUDES + (<usize>(4 * point + i) << 1), magnitude);
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
    add_to_list(pattern, points, PAIR_LOGARITHMS, LIST + 16, LIST + (LISTED << 2));
    store_list(pattern);
  }
  expect();
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
  for (let four: usize = 0; four < LISTED << 2; four += 16) {
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
    steps = (steps << 8) | (isXxs ? (level == 7 ? 29 : 4 * level) : level);
  }
  return steps;
}


/**
 * The least costs of a list's points, in four lanes: 16 times the cost (IQ3_S: the cost) plus the place in the list.
 * @param steps address of the list
 * @param firstA factors a of the first pair of weights in each lane, as i16
 */
// @ts-ignore: decorator
@inline
export function least_costs<Format>(
  steps: usize,
  firstA: v128,
  secondA: v128,
  firstB: v128,
  secondB: v128,
): v128 {
  const ranks0 = ranked_costs<Format>(steps, 0, firstA, secondA, firstB, secondB);
  const ranks1 = ranked_costs<Format>(steps + 16, 16, firstA, secondA, firstB, secondB);
  const ranks2 = ranked_costs<Format>(steps + 32, 32, firstA, secondA, firstB, secondB);
  return i32x4.min_s(i32x4.min_s(ranks0, ranks1), ranks2);
}

// @ts-ignore: decorator
@inline
function ranked_costs<Format>(
  steps: usize,
  places: usize,
  firstA: v128,
  secondA: v128,
  firstB: v128,
  secondB: v128,
): v128 {
  const first = v128.load8x8_s(steps);
  const second = v128.load8x8_s(steps, 8);
  const cost = i32x4.add(
    i32x4.dot_i16x8_s(i16x8.add_sat_s(i16x8.mul(first, firstA), firstB), first),
    i32x4.dot_i16x8_s(i16x8.add_sat_s(i16x8.mul(second, secondA), secondB), second),
  );
  return v128.or(sizeof<Format>() == 1 ? i32x4.shl(cost, 4) : cost, v128.load(places, PLACES));
}

/** Factors b of eight weights. */
// @ts-ignore: decorator
@inline
export function linear_factors<Format>(a: v128, rests: v128): v128 {
  if (sizeof<Format>() != 1) return i16x8.shl(i16x8.max_s(i16x8.q15mulr_sat_s(i16x8.add(a, a), rests), v128.load(LEAST_B)), 4);
  const factors = i16x8.q15mulr_sat_s(i16x8.shl(a, 4), rests);
  return i16x8.shl(i16x8.max_s(i16x8.min_s(factors, v128.load(MOST_XXS_B)), v128.load(LEAST_XXS_B)), 3);
}

/**
 * Fills EXCESS: what the best point of a pattern's list costs more than the nearest levels, in units of 4 s^2 times the
 * harmonic mean of the weights, times 144. It is the mean of trials with pseudo-random weights and rests, times 0.56:
 * weights of a model are not at all levels alike.
 */
function expect(): void {
  let random: u32 = 1;
  let means: f64 = 0;
  for (let trial: usize = 0; trial < TRIALS; trial++) {
    let sum: f64 = 0;
    let inverses: f64 = 0;
    for (let i: usize = 0; i < 8; i++) {
      random = random * 1664525 + 1013904223;
      const value = <f64>((random >> 8) + 1) / 16777216.0;
      store<f64>(NUMBERS + (i << 3), value);
      if (i < 4) {
        sum += value;
        inverses += 1.0 / value;
      }
    }
    means += 4.0 / (inverses * sum);
    for (let i: usize = 0; i < 4; i++) {
      const share = load<f64>(NUMBERS + (i << 3)) / sum;
      const a = isXxs ? <i32>(1023 * share + 0.5) : <i32>(255 * share + 0.5) << 4;
      store<i16>(TRIAL_A + (trial << 3) + (i << 1), a);
      store<i16>(TRIAL_RESTS + (trial << 3) + (i << 1), <i32>(2048 * load<f64>(NUMBERS + (i << 3), 32) - 1024));
    }
  }
  for (let trial: usize = 0; trial < TRIALS << 3; trial += 16) {
    const b = isXxs
      ? linear_factors<Xxs>(v128.load(TRIAL_A + trial), v128.load(TRIAL_RESTS + trial))
      : linear_factors<S>(v128.load(TRIAL_A + trial), v128.load(TRIAL_RESTS + trial));
    v128.store(TRIAL_RESTS + trial, b);
  }
  const unit: f64 = 144.0 / (means * (isXxs ? 16380 : 4095));
  for (let pattern: usize = 0; pattern < 4096; pattern++) {
    let sum: i32 = 0;
    const steps = tables + STEPS + (pattern << 6);
    for (let trial: usize = 0; trial < TRIALS << 3; trial += 8) sum += least_cost(steps, trial);
    store<u16>(tables + EXCESS + (pattern << 1), <i32>min<f64>(32767, unit * <f64>sum + 0.5));
  }
}

/** The least cost of a list's points in a trial. */
function least_cost(steps: usize, trial: usize): i32 {
  const firstA = v128.load32_splat(TRIAL_A + trial);
  const secondA = v128.load32_splat(TRIAL_A + trial, 4);
  const firstB = v128.load32_splat(TRIAL_RESTS + trial);
  const secondB = v128.load32_splat(TRIAL_RESTS + trial, 4);
  let least = isXxs
    ? least_costs<Xxs>(steps, firstA, secondA, firstB, secondB)
    : least_costs<S>(steps, firstA, secondA, firstB, secondB);
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  const cost = i32x4.extract_lane(least, 0);
  return isXxs ? cost >> 4 : cost & ~15;
}
