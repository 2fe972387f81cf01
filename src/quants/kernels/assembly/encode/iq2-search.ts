// Grid search for IQ2_XXS, IQ2_XS and IQ2_S: groups of eight weights, each of level 0, 1 or 2 (magnitude 1, 3.125
// or 5.375 times the scale). The reference is src/quants/grid-search.ts; here the exact search runs on bytes:
//
// - Costs count from the cheapest level of each weight, grid or not ("excess"), scaled such that 127 means "no
//   better than the point known already". Sums saturate there. A byte resolves 1/126 of what there is to gain.
// - A group is two quads of weights. A quad has 81 patterns of levels; the costs of all fit six vectors. All
//   points have an even sum of levels, so both quads are even (41 patterns) or both odd (40): three vectors each.
// - For a pattern of the first quad, a row of 48 bytes has 0 for each second pattern that makes a point of the
//   grid and 127 for all others: the cheapest partner is the minimum of "costs OR row". Only the first patterns
//   that can still win with the cheapest of all second patterns are looked at: five of 41 or so.
// - The winner is compared with the known point in float32. The known point is the nearest to the unconstrained
//   levels without regard to importance, from a table.
import { sum_f32x4 } from "../lanes";
import {
  add_entry,
  best_start,
  ENERGY,
  F32_126,
  F32_ONE,
  IMPORTANCE,
  odd,
  points_of,
  POOL_SIZE,
  RANKING,
  SCALE,
  SUM_W,
  SUM_WX,
  TRIFLE,
  UNAVOIDABLE,
  W,
  WX,
  X,
} from "./grid-memory";
import { below, FIRST, level_costs, min_u8x16, quad_position, SECOND, store_quads } from "./quads";

/** Magnitudes of the levels and the bounds between them, in units of the scale. */
const LEVEL_1: f32 = 3.125;
const LEVEL_2: f32 = 5.375;
const STEP_1: f32 = 2.125;
const STEP_2: f32 = 2.25;
const BOUND_1: f32 = 2.0625;
const BOUND_2: f32 = 4.25;

// Tables of a format.
/** u8[96][64]: for a first quad and each of 48 second ones of the same parity, 0 if they make a point, else 127; then
 *  the position of the first quad. */
const MEMBERS: usize = 0;
/** u16[96][48]: that point. */
const POINTS: usize = MEMBERS + 96 * 64;
/** u16[6561]: the point nearest to eight levels. */
const NEAREST: usize = POINTS + 96 * 48 * 2;
/** u16[1024]: per point, a bit for each weight of level 1 or 2, and eight bits higher for each of level 2. */
const PATTERNS: usize = NEAREST + 13136;
/** u8[1024][4]: the same, four weights at a time: offsets in LANES. First level 1 or 2, then level 2. */
const MASKS: usize = PATTERNS + 2048;
const TABLE_BYTES: i32 = 96 * 64 + 96 * 48 * 2 + 13136 + 2048 + 4096;

const XXS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const XS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const S_TABLES: usize = memory.data(TABLE_BYTES, 16);
let prepared: i32 = 0;

/** u16[256]: the sum of 3^i over the bits i that are set. */
const TERNARY: usize = memory.data(512, 16);
/** What level 1 adds to level 0, and level 2 to level 1. */
const STEPS_1: usize = memory.data<f32>([2.125, 2.125, 2.125, 2.125], 16);
const STEPS_2: usize = memory.data<f32>([2.25, 2.25, 2.25, 2.25], 16);
const TWICE_STEPS_1: usize = memory.data<f32>([4.25, 4.25, 4.25, 4.25], 16);
const TWICE_STEPS_2: usize = memory.data<f32>([4.5, 4.5, 4.5, 4.5], 16);
/** f32[4][4]: what is the same in every turn of a loop; V8 would compute it anew each time. */
const FACTORS: usize = memory.data(64, 16);
/** u32[16][4]: all ones in the lanes whose bit is set. */
const LANES: usize = memory.data(256, 16);
/** Per group of a block, six vectors: costs of raising its weights to level 1 (two vectors), on to level 2, and the
 *  least of all; i32: the nearest levels as a pattern; f32: excess cost of the known point. */
const GROUPS: usize = memory.data(4 * 96, 16);
const LEVELS: usize = memory.data(16, 16);
const EXCESS: usize = memory.data(16, 16);
/** i32[81][81], while tables are made. */
const DISTANCES: usize = memory.data(81 * 81 * 4, 16);
const BEST: usize = memory.data(81 * 81 * 4, 16);

/** Tables of the format in use. */
let tables: usize = 0;

/** Level of a value of the grid (8, 25 or 43). */
function level_of(value: i32): i32 {
  return value < 16 ? 0 : value < 34 ? 1 : 2;
}

/** Chooses the format: makes its tables at first use (some milliseconds). */
export function use_grid(grid: usize, points: i32): void {
  const bit = points == 256 ? 1 : points == 512 ? 2 : 4;
  tables = points == 256 ? XXS_TABLES : points == 512 ? XS_TABLES : S_TABLES;
  if (prepared & bit) return;
  prepared |= bit;

  for (let mask: i32 = 0; mask < 256; mask++) {
    let sum = 0;
    let power = 1;
    for (let i: i32 = 0; i < 8; i++) {
      if ((mask >> i) & 1) sum += power;
      power *= 3;
    }
    store<u16>(<usize>mask << 1, sum, TERNARY);
  }
  for (let mask: i32 = 0; mask < 16; mask++) {
    for (let i: i32 = 0; i < 4; i++) store<i32>(<usize>(4 * mask + i) << 2, -((mask >> i) & 1), LANES);
  }
  memory.fill(tables + MEMBERS, 127, 96 * 64);
  for (let first: i32 = 0; first < 96; first++) store<u8>(tables + MEMBERS + (<usize>first << 6), first, 48);
  for (let point: i32 = 0; point < points; point++) {
    let first = 0;
    let second = 0;
    let pattern = 0;
    for (let i: i32 = 0; i < 8; i++) {
      const level = level_of(load<u8>(grid + <usize>(8 * point + i)));
      if (i < 4) first = 3 * first + level;
      else second = 3 * second + level;
      if (level >= 1) pattern |= 1 << i;
      if (level == 2) pattern |= 256 << i;
    }
    store<u16>(tables + PATTERNS + (<usize>point << 1), pattern);
    for (let i: i32 = 0; i < 4; i++) {
      store<u8>(tables + MASKS + <usize>(4 * point + i), ((pattern >> (4 * i)) & 15) << 4);
    }
    const position = quad_position(second);
    const column = position >= 48 ? position - 48 : position;
    const row = quad_position(first);
    store<u8>(tables + MEMBERS + <usize>(64 * row + column), 0);
    store<u16>(tables + POINTS + (<usize>(48 * row + column) << 1), point);
  }
  fill_nearest(points);
}

/**
 * The nearest point of every eight levels, all weights alike; of several, the first. Half by half: BEST has, for a
 * first quad of the grid and any second quad of levels, the least distance * 1024 + point.
 */
function fill_nearest(points: i32): void {
  for (let a: i32 = 0; a < 81; a++) {
    for (let b: i32 = 0; b < 81; b++) {
      store<i32>(DISTANCES + (<usize>(81 * a + b) << 2), quad_distance(a, b));
      store<i32>(BEST + (<usize>(81 * a + b) << 2), 1 << 30);
    }
  }
  for (let point: i32 = 0; point < points; point++) {
    const first = quad_of(point, 0);
    const second = quad_of(point, 4);
    for (let b: i32 = 0; b < 81; b++) {
      const place = BEST + (<usize>(81 * first + b) << 2);
      const distance = load<i32>(DISTANCES + (<usize>(81 * second + b) << 2));
      store<i32>(place, min<i32>(load<i32>(place), 1024 * distance + point));
    }
  }
  for (let first: i32 = 0; first < 81; first++) {
    for (let second: i32 = 0; second < 81; second++) {
      let nearest: i32 = 1 << 30;
      for (let a: i32 = 0; a < 81; a++) {
        const distance = load<i32>(DISTANCES + (<usize>(81 * first + a) << 2));
        nearest = min<i32>(nearest, 1024 * distance + load<i32>(BEST + (<usize>(81 * a + second) << 2)));
      }
      store<u16>(tables + NEAREST + (<usize>(81 * second + first) << 1), nearest & 1023);
    }
  }
}

/** Levels of four weights of a point, from `from` on, as ternary digits, the first weight's the lowest. */
function quad_of(point: i32, from: i32): i32 {
  const pattern = <i32>load<u16>(tables + PATTERNS + (<usize>point << 1)) >> from;
  return <i32>load<u16>(<usize>(pattern & 15) << 1, TERNARY) + load<u16>(<usize>((pattern >> 8) & 15) << 1, TERNARY);
}

/** Squared distance of two quads of levels. */
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

function magnitude_of(level: i32): i32 {
  return level == 0 ? 8 : level == 1 ? 25 : 43;
}

/**
 * The best scale of each block without the grid, and the block's sums. The four starts (largest magnitude / 4.4 and
 * so on) are the lanes. Returns the largest of the scales.
 */
export function first_scales(blockWeights: i32): f32 {
  const zero = f32x4.splat(0);
  const bytes = <usize>blockWeights << 2;
  let largest: f32 = 0;
  let block: usize = 0;
  for (let from: usize = 0; from < 1024; from += bytes) {
    let maximum = zero;
    let sumW = zero;
    let sumWX = zero;
    let energy = zero;
    for (let at = from; at < from + bytes; at += 16) {
      const x = v128.load(at, X);
      const wx = v128.load(at, WX);
      maximum = f32x4.pmax(maximum, x);
      sumW = f32x4.add(sumW, v128.load(at, W));
      sumWX = f32x4.add(sumWX, wx);
      energy = f32x4.add(energy, f32x4.mul(wx, x));
    }
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 2, 3, 0, 1));
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 1, 0, 3, 2));
    store<f32>(block, sum_f32x4(sumW), SUM_W);
    store<f32>(block, sum_f32x4(sumWX), SUM_WX);
    store<f32>(block, sum_f32x4(energy), ENERGY);

    const starts = f32x4.mul(maximum, f32x4(1.0 / 4.4, 1.0 / 5.2, 1.0 / 6.3, 1.0 / 8.2));
    v128.store(FACTORS, f32x4.mul(starts, f32x4.splat(BOUND_1)));
    v128.store(FACTORS, f32x4.mul(starts, f32x4.splat(BOUND_2)), 16);
    let qx = zero;
    let q2 = zero;
    for (let at = from; at < from + bytes; at += 4) {
      const x = v128.load32_splat(at, X);
      const w = v128.load32_splat(at, W);
      const q = magnitudes(f32x4.gt(x, v128.load(FACTORS)), f32x4.gt(x, v128.load(FACTORS, 16)));
      const wq = f32x4.mul(w, q);
      qx = f32x4.add(qx, f32x4.mul(wq, x));
      q2 = f32x4.add(q2, f32x4.mul(wq, q));
    }
    const scale = best_start(qx, q2);
    store<f32>(block, scale, SCALE);
    if (scale > largest) largest = scale;
    block += 4;
  }
  return largest;
}

/** Fills RANKING: cost of a block without the grid at eight sub-scales from `low` on, four to a vector. */
export function rank(block: i32, blockWeights: i32, scale: f32, low: i32): void {
  const first = f32x4.mul(
    f32x4.splat(scale),
    f32x4.add(f32x4.splat(odd(low)), f32x4(0, 2, 4, 6)),
  );
  const second = f32x4.add(first, f32x4.splat(<f32>8 * scale));
  // Raising a weight from level 0 to 1 costs w (a1 - x b1) per scale, from 1 to 2 w (a2 - x b2). It is done where
  // that is negative: w (min(a1, x b1) - x b1). The sum of the last terms is known.
  const a1 = f32x4.splat(LEVEL_1 * LEVEL_1 - 1);
  const a2 = f32x4.splat(LEVEL_2 * LEVEL_2 - LEVEL_1 * LEVEL_1);
  v128.store(FACTORS, f32x4.mul(a1, first));
  v128.store(FACTORS, f32x4.mul(a2, first), 16);
  v128.store(FACTORS, f32x4.mul(a1, second), 32);
  v128.store(FACTORS, f32x4.mul(a2, second), 48);
  let firstCost = f32x4.splat(0);
  let secondCost = f32x4.splat(0);
  const bytes = <usize>blockWeights << 2;
  const from = <usize>block * bytes;
  for (let at = from; at < from + bytes; at += 4) {
    const w = v128.load32_splat(at, W);
    const x = v128.load32_splat(at, X);
    const xb1 = f32x4.mul(x, v128.load(TWICE_STEPS_1));
    const xb2 = f32x4.mul(x, v128.load(TWICE_STEPS_2));
    const firstMin = f32x4.add(
      f32x4.pmin(v128.load(FACTORS), xb1),
      f32x4.pmin(v128.load(FACTORS, 16), xb2),
    );
    firstCost = f32x4.add(firstCost, f32x4.mul(w, firstMin));
    const secondMin = f32x4.add(
      f32x4.pmin(v128.load(FACTORS, 32), xb1),
      f32x4.pmin(v128.load(FACTORS, 48), xb2),
    );
    secondCost = f32x4.add(secondCost, f32x4.mul(w, secondMin));
  }
  const sumW = v128.load32_splat(<usize>block << 2, SUM_W);
  // 2 for level 0 and b1 + b2: twice the magnitude of level 2.
  const known = f32x4.mul(v128.load32_splat(<usize>block << 2, SUM_WX), f32x4.splat(2 * LEVEL_2));
  firstCost = f32x4.mul(first, f32x4.add(firstCost, f32x4.sub(f32x4.mul(first, sumW), known)));
  secondCost = f32x4.mul(second, f32x4.add(secondCost, f32x4.sub(f32x4.mul(second, sumW), known)));
  v128.store(RANKING, firstCost);
  v128.store(RANKING, secondCost, 16);
}

/**
 * Searches the grid for each group of a block at a scale. Adds the result to the pool and returns its cost, unless
 * that is `limit` or more: then `limit`.
 */
export function search_block(block: i32, blockWeights: i32, s: f32, limit: f32): f32 {
  const offset = <usize>block << 2;
  const from = (<usize>block * <usize>blockWeights) << 2;
  const groups = blockWeights >> 3;
  // Factors of w and wx in the costs of level 1, then of level 2.
  v128.store(FACTORS, f32x4.splat((LEVEL_1 * LEVEL_1 - 1) * s * s));
  v128.store(FACTORS, f32x4.splat(2 * STEP_1 * s), 16);
  v128.store(FACTORS, f32x4.splat((LEVEL_2 * LEVEL_2 - LEVEL_1 * LEVEL_1) * s * s), 32);
  v128.store(FACTORS, f32x4.splat(2 * STEP_2 * s), 48);
  const format = tables;
  const zero = f32x4.splat(0);
  let all = zero;
  for (let group: i32 = 0; group < groups; group++) {
    const a1 = v128.load(FACTORS);
    const b1 = v128.load(FACTORS, 16);
    const a2 = v128.load(FACTORS, 32);
    const b2 = v128.load(FACTORS, 48);
    const at = from + (<usize>group << 5);
    const out = GROUPS + <usize>group * 96;
    let w = v128.load(at, W);
    let wx = v128.load(at, WX);
    const up1 = f32x4.sub(f32x4.mul(w, a1), f32x4.mul(wx, b1));
    const up2 = f32x4.sub(f32x4.mul(w, a2), f32x4.mul(wx, b2));
    const least = f32x4.add(f32x4.pmin(zero, up1), f32x4.pmin(zero, up2));
    v128.store(out, up1);
    v128.store(out, up2, 32);
    v128.store(out, least, 64);
    w = v128.load(at, W + 16);
    wx = v128.load(at, WX + 16);
    const nextUp1 = f32x4.sub(f32x4.mul(w, a1), f32x4.mul(wx, b1));
    const nextUp2 = f32x4.sub(f32x4.mul(w, a2), f32x4.mul(wx, b2));
    const nextLeast = f32x4.add(f32x4.pmin(zero, nextUp1), f32x4.pmin(zero, nextUp2));
    v128.store(out, nextUp1, 16);
    v128.store(out, nextUp2, 48);
    v128.store(out, nextLeast, 80);
    all = f32x4.add(all, f32x4.add(least, nextLeast));
    const levels = i32x4.bitmask(up1) | (i32x4.bitmask(nextUp1) << 4);
    store<i32>(<usize>group << 2, levels | (i32x4.bitmask(up2) << 8) | (i32x4.bitmask(nextUp2) << 12), LEVELS);
  }
  const base: f32 = s * (s * load<f32>(offset, SUM_W) - <f32>2 * load<f32>(offset, SUM_WX));
  let cost = base + sum_f32x4(all);
  if (cost >= limit) return limit;

  const entry = load<i32>(offset, POOL_SIZE);
  const points = points_of(block, entry);
  // All groups' known points first: that leaves the processor more to do at a time.
  let known: f32 = 0;
  for (let group: i32 = 0; group < groups; group++) {
    const levels = <usize>load<i32>(<usize>group << 2, LEVELS);
    const ternary =
      <usize>load<u16>((levels & 255) << 1, TERNARY) + <usize>load<u16>((levels >> 8) << 1, TERNARY);
    const point = <usize>load<u16>(format + (ternary << 1), NEAREST);
    const at = GROUPS + <usize>group * 96;
    const mask = format + MASKS + (point << 2);
    const first = f32x4.add(v128.and(lanes(mask), v128.load(at)), v128.and(lanes(mask + 2), v128.load(at, 32)));
    const second = f32x4.add(
      v128.and(lanes(mask + 1), v128.load(at, 16)),
      v128.and(lanes(mask + 3), v128.load(at, 48)),
    );
    const excess = sum_f32x4(
      f32x4.add(f32x4.sub(first, v128.load(at, 64)), f32x4.sub(second, v128.load(at, 80))),
    );
    const onGrid = <usize>load<u16>(format + (point << 1), PATTERNS) == levels;
    store<u16>(points + (<usize>group << 1), <i32>point);
    store<f32>(<usize>group << 2, onGrid ? <f32>0 : excess, EXCESS);
    if (!onGrid) known += excess;
  }
  if (cost + UNAVOIDABLE * known >= limit) return limit;
  const trifle: f32 = TRIFLE * (cost + load<f32>(offset, ENERGY)) + <f32>1e-30;
  for (let group: i32 = 0; group < groups; group++) {
    const excess = EXCESS + (<usize>group << 2);
    if (load<f32>(excess) <= trifle) {
      cost += load<f32>(excess);
    } else {
      const levels = load<i32>(<usize>group << 2, LEVELS);
      cost += search_group(GROUPS + <usize>group * 96, levels, excess, limit - cost, points + (<usize>group << 1));
    }
    if (cost >= limit) return limit;
  }

  let qx = zero;
  let q2 = zero;
  for (let group: i32 = 0; group < groups; group++) {
    const point = <usize>load<u16>(points + (<usize>group << 1));
    const mask = tables + MASKS + (point << 2);
    const at = from + (<usize>group << 5);
    const q = magnitudes(lanes(mask), lanes(mask + 2));
    const nextQ = magnitudes(lanes(mask + 1), lanes(mask + 3));
    qx = f32x4.add(
      qx,
      f32x4.add(f32x4.mul(q, v128.load(at, WX)), f32x4.mul(nextQ, v128.load(at, WX + 16))),
    );
    q2 = f32x4.add(
      q2,
      f32x4.add(
        f32x4.mul(f32x4.mul(q, q), v128.load(at, W)),
        f32x4.mul(f32x4.mul(nextQ, nextQ), v128.load(at, W + 16)),
      ),
    );
  }
  return add_entry(block, entry, sum_f32x4(qx), sum_f32x4(q2), s);
}

/** All ones in the lanes of the weights that MASKS names. */
// @ts-ignore: decorator
@inline
function lanes(mask: usize): v128 {
  return v128.load(<usize>load<u8>(mask), LANES);
}

/** Magnitudes of four weights whose level is at least 1 and at least 2 in these lanes. */
// @ts-ignore: decorator
@inline
function magnitudes(level1: v128, level2: v128): v128 {
  return f32x4.add(
    f32x4.add(v128.load(F32_ONE), v128.and(level1, v128.load(STEPS_1))),
    v128.and(level2, v128.load(STEPS_2)),
  );
}

/**
 * The least sum of a first quad in `candidates` and a second of the same parity (0 even, 48 odd), at each of eight
 * places: the sum in the upper byte, the position of the first quad in the lower.
 */
// @ts-ignore: decorator
@inline
function best_sums(candidates: u64, parity: usize, rows: usize, best: v128): v128 {
  const costs0 = v128.load(parity, SECOND);
  const costs1 = v128.load(parity, SECOND + 16);
  const costs2 = v128.load(parity, SECOND + 32);
  let other = best;
  while (candidates != 0) {
    const first = parity + <usize>ctz(candidates);
    candidates &= candidates - 1;
    const members = rows + (first << 6);
    const partner = i8x16.min_u(
      i8x16.min_u(v128.or(costs0, v128.load(members)), v128.or(costs1, v128.load(members, 16))),
      v128.or(costs2, v128.load(members, 32)),
    );
    const sum = i8x16.add_sat_s(partner, v128.load8_splat(first, FIRST));
    const position = v128.load8_splat(members, 48);
    best = i16x8.min_u(
      best,
      v128.shuffle<u8>(position, sum, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
    );
    other = i16x8.min_u(
      other,
      v128.shuffle<u8>(position, sum, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
    );
  }
  return i16x8.min_u(best, other);
}

/**
 * Looks for a better point than the known one, whose excess cost is at `excess`. Puts it to `place` and returns its
 * excess cost; `limit` if no point costs less than that.
 */
function search_group(group: usize, levels: i32, excess: usize, limit: f32, place: usize): f32 {
  const bounds = f32x4.pmin(v128.load32_splat(excess), f32x4.splat(limit));
  const units = f32x4.div(v128.load(F32_126), bounds);
  store_quads(SECOND, level_costs(v128.load(group, 16), v128.load(group, 48), v128.load(group, 80), units));
  store_quads(FIRST, level_costs(v128.load(group), v128.load(group, 32), v128.load(group, 64), units));
  // The least cost of a second quad is 0 for the parity of the nearest levels.
  const parity = popcnt(levels & 0xf0f0) & 1;
  const others = parity ? SECOND : SECOND + 48;
  const least = min_u8x16(
    i8x16.min_u(i8x16.min_u(v128.load(others), v128.load(others, 16)), v128.load(others, 32)),
  );
  const rows = tables + MEMBERS;
  let both = i16x8.splat(0x7fff);
  both = best_sums(below(FIRST, parity ? 127 - least : 127), 0, rows, both);
  both = best_sums(below(FIRST + 48, parity ? 127 : 127 - least), 48, rows, both);
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 2, 3, 0, 1));
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 1, 0, 3, 2));
  both = i16x8.min_u(both, i32x4.shr_u(both, 16));
  const bound = f32x4.extract_lane(bounds, 0);
  const best = <i32>i16x8.extract_lane_u(both, 0);
  const sum = best >> 8;
  if (sum == 127) return bound;
  const first = <usize>(best & 255);
  const second = partner_of(first, sum - <i32>load<u8>(first, FIRST));
  store<u16>(place, load<u16>(tables + POINTS + ((first * 48 + second) << 1)));
  return <f32>sum * bound * <f32>(1.0 / 126.0);
}

/** The second quad that makes a point with the first and has this cost. */
// @ts-ignore: decorator
@inline
function partner_of(first: usize, cost: i32): usize {
  const members = tables + MEMBERS + (first << 6);
  const costs = first < 48 ? SECOND : SECOND + 48;
  const wanted = i8x16.splat(<i8>cost);
  const low = <u32>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs), v128.load(members)), wanted));
  const middle = <u32>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs, 16), v128.load(members, 16)), wanted));
  const high = <u32>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs, 32), v128.load(members, 32)), wanted));
  return <usize>ctz(<u64>(low | (middle << 16)) | (<u64>high << 32));
}

/** Sum of importance * magnitude * q over a block whose groups have the given points. */
export function block_product(block: i32, blockWeights: i32, points: usize): f32 {
  const from = (<usize>block * <usize>blockWeights) << 2;
  let sum = f32x4.splat(0);
  for (let group: i32 = 0; group < blockWeights >> 3; group++) {
    const point = <usize>load<u16>(points + (<usize>group << 1));
    const mask = tables + MASKS + (point << 2);
    const at = from + (<usize>group << 5);
    const q = magnitudes(lanes(mask), lanes(mask + 2));
    const nextQ = magnitudes(lanes(mask + 1), lanes(mask + 3));
    const ix = f32x4.mul(v128.load(at, IMPORTANCE), v128.load(at, X));
    const nextIX = f32x4.mul(v128.load(at, IMPORTANCE + 16), v128.load(at, X + 16));
    sum = f32x4.add(sum, f32x4.add(f32x4.mul(ix, q), f32x4.mul(nextIX, nextQ)));
  }
  return sum_f32x4(sum);
}
