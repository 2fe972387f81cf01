// For IQ2_XXS, IQ2_XS and IQ2_S: the points of the grid that are worth trying where a group's nearest levels are given.
//
// A group has eight weights of three levels each: 6561 patterns. For each that is not a point itself, the sixteen points
// of least squared distance are listed; the best of them for a group's importance and weights costs about 0.5 % more than
// the best of the grid.
//
// A point that is d steps from the nearest level l of a weight x, in eighths of the scale, costs (a d + b) d more than that
// level: a is the weight's importance, and b = 2 a (l - x). The sum over a group is a dot product of 16-bit integers, which
// SIMD does for eight at a time.
import { fill_ternary } from "./ternary-digits";

/** u16[6561]: number of each pattern's list, or POINT + the point that it is. */
export const POINT: i32 = 0x8000;
/** u8[][4][40]: per list, and four of its points, the nearest first: i8[4][4][2], steps from the pattern to these points, of
 *  the first pair of weights, then of the second and so on; u16[4]: the points. */
export const LISTS: usize = 13136;
export const LIST_BYTES: usize = 160;
const FOUR_BYTES: usize = 40;
const PATTERNS: i32 = 6561;

const XXS_TABLES: usize = memory.data(13136 + (6561 - 256) * 160, 16);
const XS_TABLES: usize = memory.data(13136 + (6561 - 512) * 160, 16);
const S_TABLES: usize = memory.data(13136 + (6561 - 1024) * 160, 16);
let prepared: i32 = 0;

/** Places in a list. */
const PLACES: usize = memory.data<i32>([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 16);

// While lists are made. A quad is four weights: 81 patterns.
/** i32[81][81]: squared distances; u8[81][81]: quads in the order of their distance. */
const DISTANCES: usize = memory.data(81 * 81 * 4, 16);
const ORDER: usize = memory.data(81 * 81, 16);
/** u16[81]: points whose first half is a quad; u16[81][64], u8[81][64]: these points, and their second halves. */
const COUNTS: usize = memory.data(81 * 2, 16);
const POINTS: usize = memory.data(81 * 64 * 2, 16);
const SECONDS: usize = memory.data(81 * 64, 16);
/** i32[16]: the list that is being made: distance * 1024 + point, ascending. */
const LIST: usize = memory.data(64, 16);

/** Tables of a grid of 256, 512 or 1024 points. They are made at first use, which takes some milliseconds. */
export function tables_of(grid: usize, points: i32): usize {
  const bit = points == 256 ? 1 : points == 512 ? 2 : 4;
  const tables = points == 256 ? XXS_TABLES : points == 512 ? XS_TABLES : S_TABLES;
  if (prepared & bit) return tables;
  if (prepared == 0) {
    fill_ternary();
    prepare_quads();
  }
  prepared |= bit;
  sort_points(grid, points);
  let lists = 0;
  for (let pattern: i32 = 0; pattern < PATTERNS; pattern++) {
    find_nearest(pattern % 81, pattern / 81);
    const nearest = load<i32>(LIST);
    if (nearest < 1024) {
      store<u16>(tables + (<usize>pattern << 1), POINT | nearest);
    } else {
      store_list(grid, pattern, tables + LISTS + <usize>lists * LIST_BYTES);
      store<u16>(tables + (<usize>pattern << 1), lists++);
    }
  }
  return tables;
}

/** Fills DISTANCES and ORDER. */
function prepare_quads(): void {
  for (let a: i32 = 0; a < 81; a++) {
    const order = ORDER + <usize>(81 * a);
    for (let b: i32 = 0; b < 81; b++) {
      const distance = quad_distance(a, b);
      store<i32>(distance_at(a, b), distance);
      let place = b;
      while (place > 0 && load<i32>(distance_at(a, load<u8>(order + <usize>(place - 1)))) > distance) {
        store<u8>(order + <usize>place, load<u8>(order + <usize>(place - 1)));
        place--;
      }
      store<u8>(order + <usize>place, b);
    }
  }
}

/** Where the distance of two quads is. */
// @ts-ignore: decorator
@inline
function distance_at(a: i32, b: i32): usize {
  return DISTANCES + (<usize>(81 * a + b) << 2);
}

/** Squared distance of two quads. */
function quad_distance(a: i32, b: i32): i32 {
  let distance = 0;
  for (let i: i32 = 0; i < 4; i++) {
    const difference = magnitude_of(a % 3) - magnitude_of(b % 3);
    distance += difference * difference;
    a /= 3;
    b /= 3;
  }
  return distance;
}

/** Magnitude of a level, in eighths of the scale. */
function magnitude_of(level: i32): i32 {
  return level == 0 ? 8 : level == 1 ? 25 : 43;
}

/** Fills COUNTS, POINTS and SECONDS. */
function sort_points(grid: usize, points: i32): void {
  memory.fill(COUNTS, 0, 81 * 2);
  for (let point: i32 = 0; point < points; point++) {
    const levels = grid + (<usize>point << 3);
    const first = quad_of(levels);
    const count = <i32>load<u16>(<usize>first << 1, COUNTS);
    store<u16>(<usize>first << 1, count + 1, COUNTS);
    store<u16>(<usize>(64 * first + count) << 1, point, POINTS);
    store<u8>(<usize>(64 * first + count), quad_of(levels + 4), SECONDS);
  }
}

/** Four magnitudes as a quad: the first one's level is the lowest ternary digit. */
function quad_of(magnitudes: usize): i32 {
  let quad = 0;
  for (let i: i32 = 3; i >= 0; i--) {
    const magnitude = <i32>load<u8>(magnitudes + <usize>i);
    quad = 3 * quad + (magnitude == 8 ? 0 : magnitude == 25 ? 1 : 2);
  }
  return quad;
}

/** Fills LIST with the points nearest to two quads. */
function find_nearest(first: i32, second: i32): void {
  memory.fill(LIST, 0x7f, 64);
  for (let i: i32 = 0; i < 81; i++) {
    const quad = <i32>load<u8>(ORDER + <usize>(81 * first + i));
    const distance = load<i32>(distance_at(first, quad));
    if (distance << 10 > load<i32>(LIST, 60)) return;
    const count = <i32>load<u16>(<usize>quad << 1, COUNTS);
    for (let k: i32 = 64 * quad; k < 64 * quad + count; k++) {
      const rest = load<i32>(distance_at(second, load<u8>(<usize>k, SECONDS)));
      insert(((distance + rest) << 10) | <i32>load<u16>(<usize>k << 1, POINTS));
    }
  }
}

/** Puts a key into LIST; the last one drops out. */
function insert(key: i32): void {
  let place = LIST + 60;
  if (key >= load<i32>(place)) return;
  for (; place > LIST && load<i32>(place - 4) > key; place -= 4) store<i32>(place, load<i32>(place - 4));
  store<i32>(place, key);
}

/** Writes LIST as the list of a pattern. */
function store_list(grid: usize, pattern: i32, out: usize): void {
  for (let i: i32 = 0; i < 16; i++) {
    const point = load<i32>(LIST + (<usize>i << 2)) & 1023;
    const steps = out + <usize>(i >> 2) * FOUR_BYTES + (<usize>(i & 3) << 1);
    store<u16>(steps, point, 32);
    let digits = pattern;
    for (let weight: i32 = 0; weight < 8; weight++) {
      const to = <i32>load<u8>(grid + <usize>(8 * point + weight));
      store<u8>(steps + (<usize>(weight >> 1) << 3) + <usize>(weight & 1), to - magnitude_of(digits % 3));
      digits /= 3;
    }
  }
}

/**
 * The point of a list that costs least.
 * @param a address of a group's factors a, i16[8] of up to 900
 * @param b address of its factors b, i16[8]
 */
// @ts-ignore: decorator
@inline
export function best_listed(list: usize, a: usize, b: usize): i32 {
  const a0 = v128.load32_splat(a);
  const a1 = v128.load32_splat(a, 4);
  const a2 = v128.load32_splat(a, 8);
  const a3 = v128.load32_splat(a, 12);
  const b0 = v128.load32_splat(b);
  const b1 = v128.load32_splat(b, 4);
  const b2 = v128.load32_splat(b, 8);
  const b3 = v128.load32_splat(b, 12);
  let least = i32x4.splat(0x7fffffff);
  // A loop, so that V8 does not load all lists at once, for which there are not enough registers.
  let steps = list;
  for (let four: usize = 0; four < 64; four += 16) {
    const cost = i32x4.add(
      i32x4.add(pair_costs(v128.load8x8_s(steps), a0, b0), pair_costs(v128.load8x8_s(steps, 8), a1, b1)),
      i32x4.add(pair_costs(v128.load8x8_s(steps, 16), a2, b2), pair_costs(v128.load8x8_s(steps, 24), a3, b3)),
    );
    least = i32x4.min_s(least, v128.or(i32x4.shl(cost, 4), v128.load(four, PLACES)));
    steps += FOUR_BYTES;
  }
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 2, 3, 0, 1));
  least = i32x4.min_s(least, v128.shuffle<u32>(least, least, 1, 0, 3, 2));
  const place = <usize>i32x4.extract_lane(least, 0);
  return <i32>load<u16>(list + (place & 12) * (FOUR_BYTES / 4) + ((place & 3) << 1), 32);
}

/** Costs of steps of a pair of weights, at four points. */
// @ts-ignore: decorator
@inline
function pair_costs(steps: v128, a: v128, b: v128): v128 {
  return i32x4.dot_i16x8_s(i16x8.add_sat_s(i16x8.mul(steps, a), b), steps);
}
