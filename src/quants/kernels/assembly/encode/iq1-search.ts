// Grid search for IQ1_S and IQ1_M: groups of eight weights, each of level 0, 1 or 2 (-1, 0 or 1 times the scale, all of
// them shifted by an eighth up or down). The reference is src/quants/iq1-encode.ts; here the search runs on bytes:
//
// - Costs count from the cheapest level of each weight, grid or not ("excess"), scaled such that 127 means "no
//   better than the point known already". Sums saturate there. A byte resolves 1/126 of what there is to gain.
// - A group is two quads of weights. A quad has 81 patterns of levels; the costs of all fit six vectors.
// - For a pattern of the first quad, a row of 96 bytes has 0 for each second pattern that makes a point of the grid and
//   127 for all others: the cheapest partner is the minimum of "costs OR row". Only the first patterns that can still
//   win with the cheapest of all second patterns are looked at.
// - The winner is compared with the known point in float32. The known point is the nearest to the unconstrained
//   levels without regard to importance, from a table.
import { sum_f32x4 } from "../lanes";
import { iq1Grid } from "../tables";
import {
  add_entry,
  ENERGY,
  F32_126,
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
import { below, FIRST, level_costs, quad_position, SECOND, store_quads } from "./quads";
import { fill_ternary, TERNARY } from "./ternary-digits";

const SHIFT: f32 = 0.125;
/** As in grid-memory.ts, but blocks have few groups, and more points are known to be no better. */
const UNAVOIDABLE: f32 = 0.05;
const TRIFLE: f32 = 0.01;
/** Set in the number of a point if its shift is down. */
const DOWN: i32 = 2048;

/** u8[96][112]: for a first quad and each of 96 second ones, 0 if they make a point, else 127; then its position. */
const MEMBERS: usize = memory.data(96 * 112, 16);
/** u16[96][96]: that point. */
const POINTS: usize = memory.data(96 * 96 * 2, 16);
/** u16[6561]: the point nearest to eight levels, the first weight's the lowest ternary digit. */
const NEAREST: usize = memory.data(13136, 16);
/** u16[2048]: per point, a bit for each weight of level 1 or 2, and eight bits higher for each of level 2. */
const PATTERNS: usize = memory.data(4096, 16);
/** u32[16][4]: all ones in the lanes whose bit is set. */
const LANES: usize = memory.data(256, 16);
/** f32[2048][8]: levels of the points. */
const LEVELS: usize = memory.data(2048 * 32, 16);
/** i32[81][81], while tables are made: the least distance * 2048 + point for a first quad and second levels. */
const BEST: usize = memory.data(81 * 81 * 4, 16);
let prepared: bool = false;

/** Per group and shift of a block (up to 8): three pairs of vectors, as in iq2-search.ts. */
const SLOTS: usize = memory.data(8 * 96, 16);
/** Of each slot: nearest levels as a pattern, known point, its excess cost, and the cost of the nearest levels. */
const SLOT_LEVELS: usize = memory.data(32, 16);
const SLOT_POINT: usize = memory.data(32, 16);
const SLOT_EXCESS: usize = memory.data(32, 16);
const SLOT_COST: usize = memory.data(32, 16);

/** Makes the tables at first use (some milliseconds). */
export function prepare_tables(): void {
  if (prepared) return;
  prepared = true;
  fill_ternary();
  for (let mask: i32 = 0; mask < 16; mask++) {
    for (let i: i32 = 0; i < 4; i++) store<i32>(<usize>(4 * mask + i) << 2, -((mask >> i) & 1), LANES);
  }
  memory.fill(MEMBERS, 127, 96 * 112);
  for (let first: i32 = 0; first < 96; first++) store<u8>(MEMBERS + <usize>(112 * first), first, 96);
  for (let point: i32 = 0; point < 2048; point++) {
    let first = 0;
    let second = 0;
    let pattern = 0;
    for (let i: i32 = 0; i < 8; i++) {
      const value = <i32>load<i8>(iq1Grid + <usize>(8 * point + i));
      if (i < 4) first = 3 * first + value + 1;
      else second = 3 * second + value + 1;
      if (value >= 0) pattern |= 1 << i;
      if (value > 0) pattern |= 256 << i;
      store<f32>(LEVELS + (<usize>(8 * point + i) << 2), <f32>value);
    }
    store<u16>(PATTERNS + (<usize>point << 1), pattern);
    const place = <usize>quad_position(first);
    const partner = <usize>quad_position(second);
    store<u8>(MEMBERS + place * 112 + partner, 0);
    store<u16>(POINTS + ((place * 96 + partner) << 1), point);
  }
  fill_nearest();
}

/** The nearest point of every eight levels, all weights alike; of several, the first. */
function fill_nearest(): void {
  for (let at: usize = 0; at < 81 * 81; at++) store<i32>(BEST + (at << 2), 1 << 30);
  for (let point: i32 = 0; point < 2048; point++) {
    const pattern = <i32>load<u16>(PATTERNS + (<usize>point << 1));
    const first = quad_of(pattern);
    const second = quad_of(pattern >> 4);
    for (let b: i32 = 0; b < 81; b++) {
      const place = BEST + (<usize>(81 * first + b) << 2);
      store<i32>(place, min<i32>(load<i32>(place), 2048 * quad_distance(second, b) + point));
    }
  }
  for (let first: i32 = 0; first < 81; first++) {
    for (let second: i32 = 0; second < 81; second++) {
      let nearest: i32 = 1 << 30;
      for (let a: i32 = 0; a < 81; a++) {
        const rest = load<i32>(BEST + (<usize>(81 * a + second) << 2));
        nearest = min<i32>(nearest, 2048 * quad_distance(first, a) + rest);
      }
      store<u16>(NEAREST + (<usize>(81 * second + first) << 1), nearest & 2047);
    }
  }
}

/** The four lower levels of a pattern as ternary digits, the first weight's the lowest. */
function quad_of(pattern: i32): i32 {
  return <i32>load<u16>(<usize>(pattern & 15) << 1, TERNARY) + load<u16>(<usize>((pattern >> 8) & 15) << 1, TERNARY);
}

/** Squared distance of two quads of levels. */
function quad_distance(a: i32, b: i32): i32 {
  let distance = 0;
  for (let i: i32 = 0; i < 4; i++) {
    const difference = (a % 3) - (b % 3);
    distance += difference * difference;
    a /= 3;
    b /= 3;
  }
  return distance;
}

/**
 * The best scale of each block without grid and shift, and the block's sums. Four starts (largest magnitude / 1, 1.3,
 * 1.7 and 2.3) are the lanes. Returns the largest of the scales.
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
      maximum = f32x4.pmax(maximum, f32x4.abs(x));
      sumW = f32x4.add(sumW, v128.load(at, W));
      sumWX = f32x4.add(sumWX, wx);
      energy = f32x4.add(energy, f32x4.mul(wx, x));
    }
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 2, 3, 0, 1));
    maximum = f32x4.pmax(maximum, v128.shuffle<u32>(maximum, maximum, 1, 0, 3, 2));
    store<f32>(block, sum_f32x4(sumW), SUM_W);
    store<f32>(block, sum_f32x4(sumWX), SUM_WX);
    store<f32>(block, sum_f32x4(energy), ENERGY);

    // Beyond half a scale a weight's size is nearer to 1 than to 0.
    const bounds = f32x4.mul(maximum, f32x4(0.5, 0.5 / 1.3, 0.5 / 1.7, 0.5 / 2.3));
    let qx = zero;
    let q2 = f32x4.splat(1e-30);
    for (let at = from; at < from + bytes; at += 4) {
      const isOne = f32x4.gt(f32x4.abs(v128.load32_splat(at, X)), bounds);
      qx = f32x4.add(qx, v128.and(isOne, f32x4.abs(v128.load32_splat(at, WX))));
      q2 = f32x4.add(q2, v128.and(isOne, v128.load32_splat(at, W)));
    }
    const scales = f32x4.div(qx, q2);
    const gains = f32x4.mul(qx, scales);
    let most: f32 = -1;
    let scale: f32 = 0;
    if (f32x4.extract_lane(gains, 0) > most) {
      most = f32x4.extract_lane(gains, 0);
      scale = f32x4.extract_lane(scales, 0);
    }
    if (f32x4.extract_lane(gains, 1) > most) {
      most = f32x4.extract_lane(gains, 1);
      scale = f32x4.extract_lane(scales, 1);
    }
    if (f32x4.extract_lane(gains, 2) > most) {
      most = f32x4.extract_lane(gains, 2);
      scale = f32x4.extract_lane(scales, 2);
    }
    if (f32x4.extract_lane(gains, 3) > most) scale = f32x4.extract_lane(scales, 3);
    store<f32>(block, scale, SCALE);
    largest = max(largest, scale);
    block += 4;
  }
  return largest;
}

/**
 * Fills RANKING: cost of a block without the grid at four sub-scales from `low` on, with the shift up, then down. If
 * groups have shifts of their own, the better one of each counts, and the last four are out of the question.
 */
export function rank(block: i32, blockWeights: i32, scale: f32, low: i32, groupShifts: bool): void {
  const scales = f32x4.mul(f32x4.splat(scale), f32x4.add(f32x4.splat(odd(low)), f32x4(0, 2, 4, 6)));
  const twice = f32x4.div(f32x4.splat(2), scales);
  // Relative to scale^2 w, raising a weight from level 0 to 1 costs a1 - 2 x / scale, from 1 to 2 a2 - 2 x / scale; the
  // shift is in a1 and a2. It is done where that is negative.
  const near = f32x4.splat(2 * SHIFT - 1);
  const far = f32x4.splat(2 * SHIFT + 1);
  const nearDown = f32x4.splat(-2 * SHIFT - 1);
  const farDown = f32x4.splat(-2 * SHIFT + 1);
  const bytes = <usize>blockWeights << 2;
  const from = <usize>block * bytes;
  const part: usize = groupShifts ? 32 : bytes;
  let upCost = f32x4.splat(0);
  let downCost = f32x4.splat(0);
  for (let start = from; start < from + bytes; start += part) {
    let up = f32x4.splat(0);
    let down = f32x4.splat(0);
    let sumW = f32x4.splat(0);
    let sumWX = f32x4.splat(0);
    for (let at = start; at < start + part; at += 4) {
      const w = v128.load32_splat(at, W);
      const ratio = f32x4.mul(v128.load32_splat(at, X), twice);
      up = f32x4.add(up, f32x4.mul(w, f32x4.add(f32x4.pmin(near, ratio), f32x4.pmin(far, ratio))));
      down = f32x4.add(down, f32x4.mul(w, f32x4.add(f32x4.pmin(nearDown, ratio), f32x4.pmin(farDown, ratio))));
      sumW = f32x4.add(sumW, w);
      sumWX = f32x4.add(sumWX, v128.load32_splat(at, WX));
    }
    // What level 0 costs, l^2 - 2 l x / scale with l = -1 + shift or -1 - shift, less the 4 x / scale above.
    const square = f32x4.mul(scales, scales);
    const known = f32x4.mul(f32x4.mul(sumWX, twice), square);
    const upBase = f32x4.sub(
      f32x4.mul(f32x4.mul(sumW, square), f32x4.splat((SHIFT - 1) * (SHIFT - 1))),
      f32x4.mul(known, f32x4.splat(SHIFT + 1)),
    );
    const downBase = f32x4.sub(
      f32x4.mul(f32x4.mul(sumW, square), f32x4.splat((SHIFT + 1) * (SHIFT + 1))),
      f32x4.mul(known, f32x4.splat(1 - SHIFT)),
    );
    up = f32x4.add(f32x4.mul(up, square), upBase);
    down = f32x4.add(f32x4.mul(down, square), downBase);
    upCost = f32x4.add(upCost, groupShifts ? f32x4.pmin(up, down) : up);
    downCost = f32x4.add(downCost, down);
  }
  v128.store(RANKING, upCost);
  v128.store(RANKING, groupShifts ? f32x4.splat(f32.MAX_VALUE) : downCost, 16);
}

/**
 * Fills a slot for the eight weights at `at` with a scale and shift; returns the cost of the nearest levels.
 */
// @ts-ignore: decorator
@inline
function fill_slot(slot: i32, at: usize, s: f32, shift: f32): f32 {
  const zero = f32x4.splat(0);
  const a1 = f32x4.splat((2 * shift - 1) * s * s);
  const a2 = f32x4.splat((2 * shift + 1) * s * s);
  const b = f32x4.splat(2 * s);
  const out = SLOTS + <usize>slot * 96;
  const w = v128.load(at, W);
  const wx = v128.load(at, WX);
  const up1 = f32x4.sub(f32x4.mul(w, a1), f32x4.mul(wx, b));
  const up2 = f32x4.sub(f32x4.mul(w, a2), f32x4.mul(wx, b));
  const least = f32x4.add(f32x4.pmin(zero, up1), f32x4.pmin(zero, up2));
  v128.store(out, up1);
  v128.store(out, up2, 32);
  v128.store(out, least, 64);
  const nextW = v128.load(at, W + 16);
  const nextWX = v128.load(at, WX + 16);
  const nextUp1 = f32x4.sub(f32x4.mul(nextW, a1), f32x4.mul(nextWX, b));
  const nextUp2 = f32x4.sub(f32x4.mul(nextW, a2), f32x4.mul(nextWX, b));
  const nextLeast = f32x4.add(f32x4.pmin(zero, nextUp1), f32x4.pmin(zero, nextUp2));
  v128.store(out, nextUp1, 16);
  v128.store(out, nextUp2, 48);
  v128.store(out, nextLeast, 80);

  const levels =
    i32x4.bitmask(up1) |
    (i32x4.bitmask(nextUp1) << 4) |
    (i32x4.bitmask(up2) << 8) |
    (i32x4.bitmask(nextUp2) << 12);
  const l0: f32 = shift - 1;
  const base = f32x4.sub(
    f32x4.mul(f32x4.add(w, nextW), f32x4.splat(s * s * l0 * l0)),
    f32x4.mul(f32x4.add(wx, nextWX), f32x4.splat(2 * s * l0)),
  );
  const cost = sum_f32x4(f32x4.add(base, f32x4.add(least, nextLeast)));

  const ternary =
    <usize>load<u16>(<usize>(levels & 255) << 1, TERNARY) + <usize>load<u16>(<usize>(levels >> 8) << 1, TERNARY);
  const point = <usize>load<u16>(NEAREST + (ternary << 1));
  const pattern = <i32>load<u16>(PATTERNS + (point << 1));
  let excess: f32 = 0;
  if (pattern != levels) {
    const low = f32x4.add(v128.and(lanes(pattern), up1), v128.and(lanes(pattern >> 8), up2));
    const high = f32x4.add(v128.and(lanes(pattern >> 4), nextUp1), v128.and(lanes(pattern >> 12), nextUp2));
    excess = sum_f32x4(f32x4.add(f32x4.sub(low, least), f32x4.sub(high, nextLeast)));
  }
  const place = <usize>slot << 2;
  store<i32>(place, levels, SLOT_LEVELS);
  store<i32>(place, <i32>point | (shift < 0 ? DOWN : 0), SLOT_POINT);
  store<f32>(place, excess, SLOT_EXCESS);
  store<f32>(place, cost, SLOT_COST);
  return cost;
}

/** All ones in the lanes whose bit is set in the lowest four. */
// @ts-ignore: decorator
@inline
function lanes(mask: i32): v128 {
  return v128.load(<usize>(mask & 15) << 4, LANES);
}

/**
 * Searches the grid for each group of a block at a scale. Adds the result to the pool and returns its cost, unless
 * that is `limit` or more: then `limit`.
 * @param shift of the block; 0: of each group the better one
 */
export function search_block(block: i32, blockWeights: i32, s: f32, shift: f32, limit: f32): f32 {
  const offset = <usize>block << 2;
  const from = (<usize>block * <usize>blockWeights) << 2;
  const groups = blockWeights >> 3;
  let cost: f32 = 0;
  let known: f32 = 0;
  for (let group: i32 = 0; group < groups; group++) {
    const at = from + (<usize>group << 5);
    if (shift != 0) {
      cost += fill_slot(group, at, s, shift);
      known += load<f32>(<usize>group << 2, SLOT_EXCESS);
    } else {
      const up = fill_slot(2 * group, at, s, SHIFT);
      const down = fill_slot(2 * group + 1, at, s, -SHIFT);
      cost += min(up, down);
      const upKnown = up + load<f32>(<usize>group << 3, SLOT_EXCESS);
      const downKnown = down + load<f32>(<usize>group << 3, SLOT_EXCESS + 4);
      known += min(upKnown, downKnown) - min(up, down);
    }
  }
  if (cost + UNAVOIDABLE * known >= limit) return limit;
  const trifle: f32 = TRIFLE * (cost + load<f32>(offset, ENERGY)) + <f32>1e-30;
  const entry = load<i32>(offset, POOL_SIZE);
  const points = points_of(block, entry);
  for (let group: i32 = 0; group < groups; group++) {
    const place = points + (<usize>group << 1);
    if (shift != 0) {
      cost += search_slot(group, trifle, limit - cost, place);
    } else {
      cost += search_both(2 * group, trifle, limit - cost, place);
    }
    if (cost >= limit) return limit;
  }

  let qx = f32x4.splat(0);
  let q2 = f32x4.splat(0);
  for (let group: i32 = 0; group < groups; group++) {
    const point = <i32>load<u16>(points + (<usize>group << 1));
    const at = from + (<usize>group << 5);
    const q = values_of(point, 0);
    const nextQ = values_of(point, 16);
    qx = f32x4.add(qx, f32x4.add(f32x4.mul(q, v128.load(at, WX)), f32x4.mul(nextQ, v128.load(at, WX + 16))));
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

/** Half of the shifted levels of a point. */
// @ts-ignore: decorator
@inline
function values_of(point: i32, half: usize): v128 {
  const levels = v128.load(LEVELS + (<usize>(point & (DOWN - 1)) << 5) + half);
  return f32x4.add(levels, f32x4.splat(point & DOWN ? -SHIFT : SHIFT));
}

/** Sum of importance * weight * q over a block whose groups have the given points. */
export function block_product(block: i32, blockWeights: i32, points: usize): f32 {
  const from = (<usize>block * <usize>blockWeights) << 2;
  let sum = f32x4.splat(0);
  for (let group: i32 = 0; group < blockWeights >> 3; group++) {
    const point = <i32>load<u16>(points + (<usize>group << 1));
    const at = from + (<usize>group << 5);
    const low = f32x4.mul(v128.load(at, IMPORTANCE), v128.load(at, X));
    const high = f32x4.mul(v128.load(at, IMPORTANCE + 16), v128.load(at, X + 16));
    sum = f32x4.add(sum, f32x4.add(f32x4.mul(low, values_of(point, 0)), f32x4.mul(high, values_of(point, 16))));
  }
  return sum_f32x4(sum);
}

/** Puts a slot's best point to `place`; returns its excess cost, or something not less than `limit`. */
function search_slot(slot: i32, trifle: f32, limit: f32, place: usize): f32 {
  const at = <usize>slot << 2;
  const excess = load<f32>(at, SLOT_EXCESS);
  store<u16>(place, load<i32>(at, SLOT_POINT));
  return excess <= trifle ? excess : search_group(slot, excess, limit, place);
}

/** The same for the better of two slots, of either shift; the excess is over the less cost of the two. */
function search_both(slot: i32, trifle: f32, limit: f32, place: usize): f32 {
  const at = <usize>slot << 2;
  const up = load<f32>(at, SLOT_COST);
  const down = load<f32>(at, SLOT_COST + 4);
  const base = min(up, down);
  const isDown = down + load<f32>(at, SLOT_EXCESS + 4) < up + load<f32>(at, SLOT_EXCESS);
  const other = isDown ? up - base : down - base;
  const best = (isDown ? down : up) - base + search_slot(isDown ? slot + 1 : slot, trifle, limit, place);
  const bound = min(best, limit) - other;
  // What a search saves is hardly ever more than four fifths of the known point's excess.
  const otherSlot = isDown ? slot : slot + 1;
  const otherExcess = load<f32>(<usize>otherSlot << 2, SLOT_EXCESS);
  if (UNAVOIDABLE * otherExcess >= bound) return best;
  if (otherExcess < bound) {
    store<u16>(place, load<i32>(<usize>otherSlot << 2, SLOT_POINT));
    return other + (otherExcess <= trifle ? otherExcess : search_group(otherSlot, otherExcess, bound, place));
  }
  return min(best, other + search_group(otherSlot, otherExcess, bound, place));
}

/**
 * Looks for a better point than the known one, whose excess cost is `excess`. Puts it to `place` and returns its
 * excess cost; the least of `excess` and `limit` if no point costs less than that.
 */
function search_group(slot: i32, excess: f32, limit: f32, place: usize): f32 {
  const group = SLOTS + <usize>slot * 96;
  const bound = min(excess, limit);
  const units = f32x4.div(v128.load(F32_126), f32x4.splat(bound));
  store_quads(SECOND, level_costs(v128.load(group, 16), v128.load(group, 48), v128.load(group, 80), units));
  store_quads(FIRST, level_costs(v128.load(group), v128.load(group, 32), v128.load(group, 64), units));
  const costs0 = v128.load(SECOND);
  const costs1 = v128.load(SECOND, 16);
  const costs2 = v128.load(SECOND, 32);
  const costs3 = v128.load(SECOND, 48);
  const costs4 = v128.load(SECOND, 64);
  const costs5 = v128.load(SECOND, 80);
  let best = i16x8.splat(0x7fff);
  let other = best;
  for (let half: i32 = 0; half < 96; half += 48) {
    let candidates = below(FIRST + <usize>half, 127);
    while (candidates != 0) {
      const first = <usize>half + <usize>ctz(candidates);
      candidates &= candidates - 1;
      const members = MEMBERS + first * 112;
      const partner = i8x16.min_u(
        i8x16.min_u(
          i8x16.min_u(v128.or(costs0, v128.load(members)), v128.or(costs1, v128.load(members, 16))),
          i8x16.min_u(v128.or(costs2, v128.load(members, 32)), v128.or(costs3, v128.load(members, 48))),
        ),
        i8x16.min_u(v128.or(costs4, v128.load(members, 64)), v128.or(costs5, v128.load(members, 80))),
      );
      const sum = i8x16.add_sat_s(partner, v128.load8_splat(first, FIRST));
      const position = v128.load8_splat(members, 96);
      best = i16x8.min_u(
        best,
        v128.shuffle<u8>(position, sum, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
      );
      other = i16x8.min_u(
        other,
        v128.shuffle<u8>(position, sum, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
      );
    }
  }
  best = i16x8.min_u(best, other);
  best = i16x8.min_u(best, v128.shuffle<u32>(best, best, 2, 3, 0, 1));
  best = i16x8.min_u(best, v128.shuffle<u32>(best, best, 1, 0, 3, 2));
  best = i16x8.min_u(best, i32x4.shr_u(best, 16));
  const found = <i32>i16x8.extract_lane_u(best, 0);
  const sum = found >> 8;
  if (sum == 127) return bound;
  const first = <usize>(found & 255);
  const second = partner_of(first, sum - <i32>load<u8>(first, FIRST));
  const down = load<i32>(<usize>slot << 2, SLOT_POINT) & DOWN;
  store<u16>(place, <i32>load<u16>(POINTS + ((first * 96 + second) << 1)) | down);
  return <f32>sum * bound * <f32>(1.0 / 126.0);
}

/** The second quad that makes a point with the first and has this cost. */
function partner_of(first: usize, cost: i32): usize {
  const members = MEMBERS + first * 112;
  const wanted = i8x16.splat(<i8>cost);
  for (let at: usize = 0; at < 96; at += 16) {
    const costs = v128.or(v128.load(SECOND + at), v128.load(members + at));
    const equal = i8x16.bitmask(i8x16.eq(costs, wanted));
    if (equal != 0) return at + <usize>ctz(equal);
  }
  return 0;
}
