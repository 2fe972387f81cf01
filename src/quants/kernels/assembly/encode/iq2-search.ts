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
  IMPORTANCE,
  odd,
  points_of,
  POOL_SIZE,
  RANKING,
  SCALE,
  SUM_W,
  SUM_WX,
  W,
  WX,
  X,
} from "./grid-memory";

/** Magnitudes of the levels and the bounds between them, in units of the scale. */
const LEVEL_1: f32 = 3.125;
const LEVEL_2: f32 = 5.375;
const STEP_1: f32 = 2.125;
const STEP_2: f32 = 2.25;
const BOUND_1: f32 = 2.0625;
const BOUND_2: f32 = 4.25;

// Tables of a format.
/** u8[96][48]: for a first quad and a second of the same parity, 0 if they make a point, else 127. */
const MEMBERS: usize = 0;
/** u16[96][48]: that point. */
const POINTS: usize = MEMBERS + 96 * 48;
/** u16[6561]: the point nearest to eight levels. */
const NEAREST: usize = POINTS + 96 * 48 * 2;
/** u16[1024]: per point, a bit for each weight of level 1 or 2, and eight bits higher for each of level 2. */
const PATTERNS: usize = NEAREST + 13136;
const TABLE_BYTES: i32 = 96 * 48 * 3 + 13136 + 2048;

const XXS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const XS_TABLES: usize = memory.data(TABLE_BYTES, 16);
const S_TABLES: usize = memory.data(TABLE_BYTES, 16);
let prepared: i32 = 0;

/** u16[256]: the sum of 3^i over the bits i that are set. */
const TERNARY: usize = memory.data(512, 16);
/** u32[16][4]: all ones in the lanes whose bit is set. */
const LANES: usize = memory.data(256, 16);
/** Working memory: excess costs of the first quads and of the second. */
const FIRST: usize = memory.data(96, 16);
const SECOND: usize = memory.data(96, 16);
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

/** The position of a quad of levels (the first weight's the highest digit) among 96: even ones first, odd from 48. */
function quad_position(quad: i32): i32 {
  let even: i32 = 0;
  let uneven: i32 = 48;
  for (let q: i32 = 0; q < quad; q++) {
    if (quad_sum(q) & 1) uneven++;
    else even++;
  }
  return quad_sum(quad) & 1 ? uneven : even;
}

function quad_sum(quad: i32): i32 {
  return quad / 27 + (quad / 9) % 3 + (quad / 3) % 3 + (quad % 3);
}

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
    store<u16>(TERNARY + (<usize>mask << 1), sum);
  }
  for (let mask: i32 = 0; mask < 16; mask++) {
    for (let i: i32 = 0; i < 4; i++) store<i32>(LANES + (<usize>(4 * mask + i) << 2), -((mask >> i) & 1));
  }
  memory.fill(tables + MEMBERS, 127, 96 * 48);
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
    const position = quad_position(second);
    const entry = <usize>(48 * quad_position(first) + (position >= 48 ? position - 48 : position));
    store<u8>(tables + MEMBERS + entry, 0);
    store<u16>(tables + POINTS + (entry << 1), point);
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
  return <i32>load<u16>(TERNARY + (<usize>(pattern & 15) << 1)) + load<u16>(TERNARY + (<usize>((pattern >> 8) & 15) << 1));
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
  const one = f32x4.splat(1);
  const step1 = f32x4.splat(STEP_1);
  const step2 = f32x4.splat(STEP_2);
  const bytes = <usize>blockWeights << 2;
  let largest: f32 = 0;
  let block: usize = 0;
  for (let from: usize = 0; from < 1024; from += bytes) {
    let maximum = zero;
    let sumW = zero;
    let sumWX = zero;
    let energy = zero;
    for (let at = from; at < from + bytes; at += 16) {
      const x = v128.load(X + at);
      const wx = v128.load(WX + at);
      maximum = f32x4.pmax(maximum, x);
      sumW = f32x4.add(sumW, v128.load(W + at));
      sumWX = f32x4.add(sumWX, wx);
      energy = f32x4.add(energy, f32x4.mul(wx, x));
    }
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 2, 3, 0, 1));
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 1, 0, 3, 2));
    store<f32>(SUM_W + block, sum_f32x4(sumW));
    store<f32>(SUM_WX + block, sum_f32x4(sumWX));
    store<f32>(ENERGY + block, sum_f32x4(energy));

    const starts = f32x4.mul(maximum, f32x4(1.0 / 4.4, 1.0 / 5.2, 1.0 / 6.3, 1.0 / 8.2));
    const bound1 = f32x4.mul(starts, f32x4.splat(BOUND_1));
    const bound2 = f32x4.mul(starts, f32x4.splat(BOUND_2));
    let qx = zero;
    let q2 = zero;
    for (let at = from; at < from + bytes; at += 4) {
      const x = v128.load32_splat(X + at);
      const w = v128.load32_splat(W + at);
      const q = f32x4.add(
        f32x4.add(one, v128.and(f32x4.gt(x, bound1), step1)),
        v128.and(f32x4.gt(x, bound2), step2),
      );
      const wq = f32x4.mul(w, q);
      qx = f32x4.add(qx, f32x4.mul(wq, x));
      q2 = f32x4.add(q2, f32x4.mul(wq, q));
    }
    const scale = best_start(qx, q2);
    store<f32>(SCALE + block, scale);
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
  // Raising a weight from level 0 to 1 costs w a1 - wx b1, from 1 to 2 w a2 - wx b2 (per scale); it is done where
  // that is negative.
  const a1 = f32x4.splat(LEVEL_1 * LEVEL_1 - 1);
  const b1 = f32x4.splat(2 * STEP_1);
  const a2 = f32x4.splat(LEVEL_2 * LEVEL_2 - LEVEL_1 * LEVEL_1);
  const b2 = f32x4.splat(2 * STEP_2);
  const zero = f32x4.splat(0);
  const fa1 = f32x4.mul(a1, first);
  const fa2 = f32x4.mul(a2, first);
  const sa1 = f32x4.mul(a1, second);
  const sa2 = f32x4.mul(a2, second);
  let firstCost = zero;
  let secondCost = zero;
  const bytes = <usize>blockWeights << 2;
  const from = <usize>block * bytes;
  for (let at = from; at < from + bytes; at += 4) {
    const w = v128.load32_splat(W + at);
    const wx = v128.load32_splat(WX + at);
    const wxb1 = f32x4.mul(wx, b1);
    const wxb2 = f32x4.mul(wx, b2);
    firstCost = f32x4.add(firstCost, f32x4.pmin(zero, f32x4.sub(f32x4.mul(w, fa1), wxb1)));
    firstCost = f32x4.add(firstCost, f32x4.pmin(zero, f32x4.sub(f32x4.mul(w, fa2), wxb2)));
    secondCost = f32x4.add(secondCost, f32x4.pmin(zero, f32x4.sub(f32x4.mul(w, sa1), wxb1)));
    secondCost = f32x4.add(secondCost, f32x4.pmin(zero, f32x4.sub(f32x4.mul(w, sa2), wxb2)));
  }
  const sumW = v128.load32_splat(SUM_W + (<usize>block << 2));
  const twiceWX = f32x4.mul(v128.load32_splat(SUM_WX + (<usize>block << 2)), f32x4.splat(2));
  firstCost = f32x4.mul(first, f32x4.add(firstCost, f32x4.sub(f32x4.mul(first, sumW), twiceWX)));
  secondCost = f32x4.mul(second, f32x4.add(secondCost, f32x4.sub(f32x4.mul(second, sumW), twiceWX)));
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
  const a1 = f32x4.splat((LEVEL_1 * LEVEL_1 - 1) * s * s);
  const b1 = f32x4.splat(2 * STEP_1 * s);
  const a2 = f32x4.splat((LEVEL_2 * LEVEL_2 - LEVEL_1 * LEVEL_1) * s * s);
  const b2 = f32x4.splat(2 * STEP_2 * s);
  const zero = f32x4.splat(0);
  let all = zero;
  for (let group: i32 = 0; group < groups; group++) {
    const at = from + (<usize>group << 5);
    const out = GROUPS + <usize>group * 96;
    let w = v128.load(W + at);
    let wx = v128.load(WX + at);
    const up1 = f32x4.sub(f32x4.mul(w, a1), f32x4.mul(wx, b1));
    const up2 = f32x4.sub(f32x4.mul(w, a2), f32x4.mul(wx, b2));
    const least = f32x4.add(f32x4.pmin(zero, up1), f32x4.pmin(zero, up2));
    v128.store(out, up1);
    v128.store(out, up2, 32);
    v128.store(out, least, 64);
    w = v128.load(W + at, 16);
    wx = v128.load(WX + at, 16);
    const nextUp1 = f32x4.sub(f32x4.mul(w, a1), f32x4.mul(wx, b1));
    const nextUp2 = f32x4.sub(f32x4.mul(w, a2), f32x4.mul(wx, b2));
    const nextLeast = f32x4.add(f32x4.pmin(zero, nextUp1), f32x4.pmin(zero, nextUp2));
    v128.store(out, nextUp1, 16);
    v128.store(out, nextUp2, 48);
    v128.store(out, nextLeast, 80);
    all = f32x4.add(all, f32x4.add(least, nextLeast));
    const levels = i32x4.bitmask(up1) | (i32x4.bitmask(nextUp1) << 4);
    store<i32>(LEVELS + (<usize>group << 2), levels | (i32x4.bitmask(up2) << 8) | (i32x4.bitmask(nextUp2) << 12));
  }
  const base: f32 = s * (s * load<f32>(SUM_W + offset) - <f32>2 * load<f32>(SUM_WX + offset));
  let cost = base + sum_f32x4(all);
  if (cost >= limit) return limit;

  const entry = load<i32>(POOL_SIZE + offset);
  const points = points_of(block, entry);
  // All groups' known points first: that leaves the processor more to do at a time.
  for (let group: i32 = 0; group < groups; group++) {
    const levels = <usize>load<i32>(LEVELS + (<usize>group << 2));
    const ternary =
      <usize>load<u16>(TERNARY + ((levels & 255) << 1)) + <usize>load<u16>(TERNARY + ((levels >> 8) << 1));
    const point = load<u16>(tables + NEAREST + (ternary << 1));
    const pattern = <u32>load<u16>(tables + PATTERNS + (<usize>point << 1));
    const at = GROUPS + <usize>group * 96;
    const raised = f32x4.add(
      f32x4.add(v128.and(lanes_of(pattern), v128.load(at)), v128.and(lanes_of(pattern >> 8), v128.load(at, 32))),
      f32x4.add(
        v128.and(lanes_of(pattern >> 4), v128.load(at, 16)),
        v128.and(lanes_of(pattern >> 12), v128.load(at, 48)),
      ),
    );
    const excess = sum_f32x4(f32x4.sub(raised, f32x4.add(v128.load(at, 64), v128.load(at, 80))));
    store<u16>(points + (<usize>group << 1), point);
    store<f32>(EXCESS + (<usize>group << 2), pattern == <u32>levels ? 0 : excess);
  }
  for (let group: i32 = 0; group < groups; group++) {
    const excess = load<f32>(EXCESS + (<usize>group << 2));
    if (excess > 1e-30) {
      const levels = load<i32>(LEVELS + (<usize>group << 2));
      cost += search_group(GROUPS + <usize>group * 96, levels, excess, limit - cost, points + (<usize>group << 1));
      if (cost >= limit) return limit;
    }
  }

  const one = f32x4.splat(1);
  const step1 = f32x4.splat(STEP_1);
  const step2 = f32x4.splat(STEP_2);
  let qx = zero;
  let q2 = zero;
  for (let group: i32 = 0; group < groups; group++) {
    const point = <usize>load<u16>(points + (<usize>group << 1));
    const pattern = <u32>load<u16>(tables + PATTERNS + (point << 1));
    const at = from + (<usize>group << 5);
    const q = f32x4.add(
      f32x4.add(one, v128.and(lanes_of(pattern), step1)),
      v128.and(lanes_of(pattern >> 8), step2),
    );
    const nextQ = f32x4.add(
      f32x4.add(one, v128.and(lanes_of(pattern >> 4), step1)),
      v128.and(lanes_of(pattern >> 12), step2),
    );
    qx = f32x4.add(
      qx,
      f32x4.add(f32x4.mul(q, v128.load(WX + at)), f32x4.mul(nextQ, v128.load(WX + at, 16))),
    );
    q2 = f32x4.add(
      q2,
      f32x4.add(
        f32x4.mul(f32x4.mul(q, q), v128.load(W + at)),
        f32x4.mul(f32x4.mul(nextQ, nextQ), v128.load(W + at, 16)),
      ),
    );
  }
  return add_entry(block, entry, sum_f32x4(qx), sum_f32x4(q2), s);
}

/** All ones in the lanes whose bit (of the lowest four) is set. */
// @ts-ignore: decorator
@inline
function lanes_of(bits: u32): v128 {
  return v128.load(LANES + (<usize>(bits & 15) << 4));
}

/**
 * The four weights of a quad as bytes, one weight to a lane: excess costs of its levels 0, 1, 2, and 127.
 */
// @ts-ignore: decorator
@inline
function level_costs(up1: v128, up2: v128, least: v128, unit: v128): v128 {
  // Adding 2^23 leaves the rounded number in the lowest bits.
  const integer = f32x4.splat(8388608.0);
  const most = f32x4.splat(127);
  const above = f32x4.sub(up1, least);
  const cost0 = f32x4.add(f32x4.pmin(most, f32x4.mul(f32x4.neg(least), unit)), integer);
  const cost1 = f32x4.add(f32x4.pmin(most, f32x4.mul(above, unit)), integer);
  const cost2 = f32x4.add(f32x4.pmin(most, f32x4.mul(f32x4.add(above, up2), unit)), integer);
  return v128.or(
    v128.or(cost0, i32x4.shl(cost1, 8)),
    v128.or(i32x4.shl(cost2, 16), i32x4.splat(0x7f000000)),
  );
}

/** Writes the costs of all 81 patterns of a quad, in the order of `quad_position`. */
// @ts-ignore: decorator
@inline
function store_quads(out: usize, costs: v128): void {
  // Byte 4 a + b: the first weight of a pair has level a, the second b.
  const head = i8x16.add_sat_s(
    v128.shuffle<u8>(costs, costs, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
    v128.shuffle<u32>(costs, costs, 1, 1, 1, 1),
  );
  const tail = i8x16.add_sat_s(
    v128.shuffle<u8>(costs, costs, 8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11),
    v128.shuffle<u32>(costs, costs, 3, 3, 3, 3),
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4),
      v128.shuffle<u8>(tail, tail, 0, 2, 5, 8, 10, 1, 4, 6, 9, 0, 2, 5, 8, 10, 1, 4),
    ),
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 8, 8, 8, 8, 8),
      v128.shuffle<u8>(tail, tail, 6, 9, 0, 2, 5, 8, 10, 1, 4, 6, 9, 0, 2, 5, 8, 10),
    ),
    16,
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 9, 9, 9, 9, 10, 10, 10, 10, 10, 15, 15, 15, 15, 15, 15, 15),
      v128.shuffle<u8>(tail, tail, 1, 4, 6, 9, 0, 2, 5, 8, 10, 15, 15, 15, 15, 15, 15, 15),
    ),
    32,
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4),
      v128.shuffle<u8>(tail, tail, 1, 4, 6, 9, 0, 2, 5, 8, 10, 1, 4, 6, 9, 0, 2, 5),
    ),
    48,
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 8, 8, 8, 8, 9),
      v128.shuffle<u8>(tail, tail, 8, 10, 1, 4, 6, 9, 0, 2, 5, 8, 10, 1, 4, 6, 9, 0),
    ),
    64,
  );
  v128.store(
    out,
    i8x16.add_sat_s(
      v128.shuffle<u8>(head, head, 9, 9, 9, 9, 10, 10, 10, 10, 15, 15, 15, 15, 15, 15, 15, 15),
      v128.shuffle<u8>(tail, tail, 2, 5, 8, 10, 1, 4, 6, 9, 15, 15, 15, 15, 15, 15, 15, 15),
    ),
    80,
  );
}

/** Least of the sixteen bytes. */
// @ts-ignore: decorator
@inline
function min_u8x16(v: v128): i32 {
  v = i8x16.min_u(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  v = i8x16.min_u(v, v128.shuffle<u32>(v, v, 1, 0, 3, 2));
  v = i8x16.min_u(v, i32x4.shr_u(v, 16));
  v = i8x16.min_u(v, i32x4.shr_u(v, 8));
  return <i32>i8x16.extract_lane_u(v, 0);
}

/** A bit for each of the 48 bytes at `costs` that is less than `bound`. */
// @ts-ignore: decorator
@inline
function below(costs: usize, bound: i32): u64 {
  const bounds = i8x16.splat(<i8>bound);
  return (
    <u64>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs))) |
    (<u64>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs, 16))) << 16) |
    (<u64>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs, 32))) << 32)
  );
}

/** The best so far of the byte search: least sum per byte position, and the first quad that gave it. */
let bestSums: v128 = i32x4.splat(0);
let bestFirsts: v128 = i32x4.splat(0);

/** Tries the first quads of one parity: those in `candidates`, counted from `parity` (0 even, 48 odd). */
// @ts-ignore: decorator
@inline
function try_quads(candidates: u64, parity: usize): void {
  const costs0 = v128.load(SECOND + parity);
  const costs1 = v128.load(SECOND + parity, 16);
  const costs2 = v128.load(SECOND + parity, 32);
  let sums = bestSums;
  let firsts = bestFirsts;
  while (candidates != 0) {
    const first = parity + <usize>ctz(candidates);
    candidates &= candidates - 1;
    const members = tables + MEMBERS + first * 48;
    const partner = i8x16.min_u(
      i8x16.min_u(v128.or(costs0, v128.load(members)), v128.or(costs1, v128.load(members, 16))),
      v128.or(costs2, v128.load(members, 32)),
    );
    const sum = i8x16.add_sat_s(partner, v128.load8_splat(FIRST + first));
    firsts = v128.bitselect(i8x16.splat(<i8>first), firsts, i8x16.gt_s(sums, sum));
    sums = i8x16.min_u(sums, sum);
  }
  bestSums = sums;
  bestFirsts = firsts;
}

/**
 * Looks for a better point than the known one, which costs `excess` more than the nearest levels. Puts it to `place`
 * and returns its excess cost; `limit` if no point costs less than that.
 */
function search_group(group: usize, levels: i32, excess: f32, limit: f32, place: usize): f32 {
  const bound = min<f32>(excess, limit);
  const unit: f32 = <f32>126.0 / bound;
  const units = f32x4.splat(unit);
  store_quads(SECOND, level_costs(v128.load(group, 16), v128.load(group, 48), v128.load(group, 80), units));
  store_quads(FIRST, level_costs(v128.load(group), v128.load(group, 32), v128.load(group, 64), units));
  // The least cost of a second quad is 0 for the parity of the nearest levels.
  const parity = popcnt(levels & 0xf0f0) & 1;
  const others = parity ? SECOND : SECOND + 48;
  const least = min_u8x16(
    i8x16.min_u(i8x16.min_u(v128.load(others), v128.load(others, 16)), v128.load(others, 32)),
  );
  bestSums = i8x16.splat(127);
  bestFirsts = i8x16.splat(0);
  try_quads(below(FIRST, parity ? 127 - least : 127), 0);
  try_quads(below(FIRST + 48, parity ? 127 : 127 - least), 48);

  // Sum and first quad in 16 bits, so that one minimum finds both.
  let both = i16x8.min_u(
    v128.shuffle<u8>(bestFirsts, bestSums, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
    v128.shuffle<u8>(bestFirsts, bestSums, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
  );
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 2, 3, 0, 1));
  both = i16x8.min_u(both, v128.shuffle<u32>(both, both, 1, 0, 3, 2));
  both = i16x8.min_u(both, i32x4.shr_u(both, 16));
  const best = <u32>i16x8.extract_lane_u(both, 0);
  const sum = best >> 8;
  if (sum == 127) return bound;
  const first = <usize>(best & 255);
  const second = partner_of(first, <i32>sum - <i32>load<u8>(FIRST + first));
  store<u16>(place, load<u16>(tables + POINTS + ((first * 48 + second) << 1)));
  return <f32>sum / unit;
}

/** The second quad that makes a point with the first and has this cost. */
function partner_of(first: usize, cost: i32): usize {
  const members = tables + MEMBERS + first * 48;
  const costs = first < 48 ? SECOND : SECOND + 48;
  const wanted = i8x16.splat(<i8>cost);
  return <usize>(
    ctz(
      <u64>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs), v128.load(members)), wanted)) |
        (<u64>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs, 16), v128.load(members, 16)), wanted)) << 16) |
        (<u64>i8x16.bitmask(i8x16.eq(v128.or(v128.load(costs, 32), v128.load(members, 32)), wanted)) << 32),
    )
  );
}

/** Sum of importance * magnitude * q over a block whose groups have the given points. */
export function block_product(block: i32, blockWeights: i32, points: usize): f32 {
  const one = f32x4.splat(1);
  const step1 = f32x4.splat(STEP_1);
  const step2 = f32x4.splat(STEP_2);
  const from = (<usize>block * <usize>blockWeights) << 2;
  let sum = f32x4.splat(0);
  for (let group: i32 = 0; group < blockWeights >> 3; group++) {
    const point = <usize>load<u16>(points + (<usize>group << 1));
    const pattern = <u32>load<u16>(tables + PATTERNS + (point << 1));
    const at = from + (<usize>group << 5);
    const q = f32x4.add(
      f32x4.add(one, v128.and(lanes_of(pattern), step1)),
      v128.and(lanes_of(pattern >> 8), step2),
    );
    const nextQ = f32x4.add(
      f32x4.add(one, v128.and(lanes_of(pattern >> 4), step1)),
      v128.and(lanes_of(pattern >> 12), step2),
    );
    const ix = f32x4.mul(v128.load(IMPORTANCE + at), v128.load(X + at));
    const nextIX = f32x4.mul(v128.load(IMPORTANCE + at, 16), v128.load(X + at, 16));
    sum = f32x4.add(sum, f32x4.add(f32x4.mul(ix, q), f32x4.mul(nextIX, nextQ)));
  }
  return sum_f32x4(sum);
}
