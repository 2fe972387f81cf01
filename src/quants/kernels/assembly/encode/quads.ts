// Quads: four weights of a group, each of level 0, 1 or 2, and the costs of all 81 patterns of their levels as bytes.
// How they are used: iq1-search.ts.
import { F32_127, F32_2_23 } from "./grid-memory";

/** Level 3 does not exist and costs 127. */
const LEVEL_3: usize = memory.data<u32>([0x7f000000, 0x7f000000, 0x7f000000, 0x7f000000], 16);
/** Working memory: excess costs of the patterns of the first quad and of the second. */
export const FIRST: usize = memory.data(96, 16);
export const SECOND: usize = memory.data(96, 16);

/**
 * The position of a quad of levels (the first weight's the highest ternary digit) among 96, even sums before 48. The
 * order is the one in which `store_quads` gets by with few instructions. Pairs of levels are numbered within their
 * parity: even 00 02 11 20 22, odd 01 10 12 21.
 */
export function quad_position(quad: i32): i32 {
  const head = quad / 9;
  const tail = quad % 9;
  const i = pair_number(head);
  const j = pair_number(tail);
  if (is_odd(head) && is_odd(tail)) return 4 * i + j;
  if (is_odd(head)) return j < 4 ? 64 + 4 * i + j : 84 + i;
  if (is_odd(tail)) return i < 4 ? 48 + 4 * i + j : 80 + j;
  if (i < 4) return j < 4 ? 16 + 4 * i + j : 36 + i;
  return j < 4 ? 32 + j : 40;
}

/** Whether the two levels of a pair (as ternary digits) have an odd sum: every other one. */
function is_odd(pair: i32): bool {
  return (pair & 1) == 1;
}

/** Number of a pair of levels among those of its parity. */
function pair_number(pair: i32): i32 {
  return pair >> 1;
}

/**
 * The four weights of a quad as bytes, one weight to a lane: excess costs of its levels 0, 1, 2, and 127.
 */
// @ts-ignore: decorator
@inline
export function level_costs(up1: v128, up2: v128, least: v128, unit: v128): v128 {
  const most = v128.load(F32_127);
  const integer = v128.load(F32_2_23);
  const above = f32x4.sub(up1, least);
  const cost0 = f32x4.add(f32x4.pmin(most, f32x4.mul(f32x4.neg(least), unit)), integer);
  const cost1 = f32x4.add(f32x4.pmin(most, f32x4.mul(above, unit)), integer);
  const cost2 = f32x4.add(f32x4.pmin(most, f32x4.mul(f32x4.add(above, up2), unit)), integer);
  return v128.or(
    v128.or(cost0, i32x4.shl(cost1, 8)),
    v128.or(i32x4.shl(cost2, 16), v128.load(LEVEL_3)),
  );
}

/** Every byte of the lower half twice. */
// @ts-ignore: decorator
@inline
function double_low(v: v128): v128 {
  return v128.shuffle<u8>(v, v, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

/** Every byte of the upper half twice. */
// @ts-ignore: decorator
@inline
function double_high(v: v128): v128 {
  return v128.shuffle<u8>(v, v, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** Pairs sorted from byte 4 a + b for levels a, b: four even ones; the odd ones; four times 22; four that cost 127. */
// @ts-ignore: decorator
@inline
function sort_pairs(v: v128): v128 {
  return v128.shuffle<u8>(v, v, 0, 2, 5, 8, 1, 4, 6, 9, 10, 10, 10, 10, 15, 15, 15, 15);
}

/**
 * Writes the costs of all 81 patterns of a quad, in the order of `quad_position`; 22 with 22 comes four times. Nearly
 * all shuffles are of kinds that are one instruction each.
 */
// @ts-ignore: decorator
@inline
export function store_quads(out: usize, costs: v128): void {
  const head = sort_pairs(
    i8x16.add_sat_s(double_low(double_low(costs)), v128.shuffle<u32>(costs, costs, 1, 1, 1, 1)),
  );
  const tail = sort_pairs(
    i8x16.add_sat_s(double_low(double_high(costs)), v128.shuffle<u32>(costs, costs, 3, 3, 3, 3)),
  );
  const twice = double_low(head);
  const evenHeads = double_low(twice);
  const oddHeads = double_high(twice);
  const evenTails = v128.shuffle<u32>(tail, tail, 0, 0, 0, 0);
  const oddTails = v128.shuffle<u32>(tail, tail, 1, 1, 1, 1);
  v128.store(out, i8x16.add_sat_s(oddHeads, oddTails));
  v128.store(out, i8x16.add_sat_s(evenHeads, evenTails), 16);
  v128.store(
    out,
    i8x16.add_sat_s(v128.shuffle<u32>(head, head, 2, 0, 2, 3), v128.shuffle<u32>(tail, tail, 0, 2, 2, 3)),
    32,
  );
  v128.store(out, i8x16.add_sat_s(evenHeads, oddTails), 48);
  v128.store(out, i8x16.add_sat_s(oddHeads, evenTails), 64);
  v128.store(
    out,
    i8x16.add_sat_s(v128.shuffle<u32>(head, head, 2, 1, 3, 3), v128.shuffle<u32>(tail, tail, 1, 2, 3, 3)),
    80,
  );
}

/** Least of the sixteen bytes. */
// @ts-ignore: decorator
@inline
export function min_u8x16(v: v128): i32 {
  v = i8x16.min_u(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  v = i8x16.min_u(v, v128.shuffle<u32>(v, v, 1, 0, 3, 2));
  v = i8x16.min_u(v, i32x4.shr_u(v, 16));
  v = i8x16.min_u(v, i32x4.shr_u(v, 8));
  return <i32>i8x16.extract_lane_u(v, 0);
}

/** A bit for each of the 48 bytes at `costs` that is less than `bound`, but not for repeated ones. */
// @ts-ignore: decorator
@inline
export function below(costs: usize, bound: i32): u64 {
  const bounds = i8x16.splat(<i8>bound);
  const low = <u32>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs)));
  const middle = <u32>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs, 16)));
  const high = <u32>i8x16.bitmask(i8x16.gt_s(bounds, v128.load(costs, 32))) & 0x1ff;
  return <u64>(low | (middle << 16)) | (<u64>high << 32);
}
