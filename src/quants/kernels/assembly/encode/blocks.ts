// Codes of a block for a given scale, and the weighted sums that the fits afterwards need. Sums run over four lanes
// as in src/quants/lanes.ts. Codes are written as bytes, raised so that the lowest is 0.
import { sum_f32x4 } from "../lanes";
import { iq4NearestCodes } from "../tables";
import { level_places, levels_at, nearest_code } from "./scale-search";

/** Of the last block: sum w l x, sum w l^2, sum w l. */
export let sum_xl: f32 = 0;
export let sum_l2: f32 = 0;
export let sum_l: f32 = 0;

/** The lowest bytes of sixteen i32. */
// @ts-ignore: decorator
@inline
export function low_bytes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = v128.shuffle<u8>(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  const cd = v128.shuffle<u8>(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  return v128.shuffle<u64>(ab, cd, 0, 2);
}

/**
 * Codes nearest to (x + offset) inverse from low to high, of `count` (a multiple of 16) weights; `raise` is 2^23 and
 * what to add to a code, so that a float32 has the byte in its lowest bits.
 */
// @ts-ignore: decorator
@inline
function code(
  x: usize,
  w: usize,
  count: i32,
  offset: f32,
  inverse: f32,
  low: f32,
  high: f32,
  raise: f32,
  codes: usize,
): void {
  const end = x + (<usize>count << 2);
  const offsets = f32x4.splat(offset);
  const inverses = f32x4.splat(inverse);
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  const raises = f32x4.splat(raise);
  let xl = f32x4.splat(0);
  let l2 = f32x4.splat(0);
  let l1 = f32x4.splat(0);
  for (; x < end; x += 64, w += 64, codes += 16) {
    const x0 = v128.load(x);
    const l0 = nearest_code(f32x4.mul(f32x4.add(x0, offsets), inverses), lows, highs);
    const w0 = f32x4.mul(v128.load(w), l0);
    xl = f32x4.add(xl, f32x4.mul(w0, x0));
    l2 = f32x4.add(l2, f32x4.mul(w0, l0));
    l1 = f32x4.add(l1, w0);
    const x1 = v128.load(x, 16);
    const c1 = nearest_code(f32x4.mul(f32x4.add(x1, offsets), inverses), lows, highs);
    const w1 = f32x4.mul(v128.load(w, 16), c1);
    xl = f32x4.add(xl, f32x4.mul(w1, x1));
    l2 = f32x4.add(l2, f32x4.mul(w1, c1));
    l1 = f32x4.add(l1, w1);
    const x2 = v128.load(x, 32);
    const c2 = nearest_code(f32x4.mul(f32x4.add(x2, offsets), inverses), lows, highs);
    const w2 = f32x4.mul(v128.load(w, 32), c2);
    xl = f32x4.add(xl, f32x4.mul(w2, x2));
    l2 = f32x4.add(l2, f32x4.mul(w2, c2));
    l1 = f32x4.add(l1, w2);
    const x3 = v128.load(x, 48);
    const c3 = nearest_code(f32x4.mul(f32x4.add(x3, offsets), inverses), lows, highs);
    const w3 = f32x4.mul(v128.load(w, 48), c3);
    xl = f32x4.add(xl, f32x4.mul(w3, x3));
    l2 = f32x4.add(l2, f32x4.mul(w3, c3));
    l1 = f32x4.add(l1, w3);
    const bytes = low_bytes(
      f32x4.add(l0, raises),
      f32x4.add(c1, raises),
      f32x4.add(c2, raises),
      f32x4.add(c3, raises),
    );
    v128.store(codes, bytes);
  }
  sum_xl = sum_f32x4(xl);
  sum_l2 = sum_f32x4(l2);
  sum_l = sum_f32x4(l1);
}

/** Codes of a block with a scale; the bytes are code - low. */
export function code_scaled(
  x: usize,
  w: usize,
  count: i32,
  inverse: f32,
  low: f32,
  high: f32,
  codes: usize,
): void {
  code(x, w, count, 0, inverse, low, high, 8388608 - low, codes);
}

/** Codes from 0 to top of a block with a scale and something to add before. */
export function code_range(
  x: usize,
  w: usize,
  count: i32,
  offset: f32,
  inverse: f32,
  top: f32,
  codes: usize,
): void {
  code(x, w, count, offset, inverse, 0, top, 8388608, codes);
}

/** Codes of a block with the levels of IQ4_NL; sums are of levels. */
export function code_levels(x: usize, w: usize, count: i32, inverse: f32, codes: usize): void {
  const end = x + (<usize>count << 2);
  const inverses = f32x4.splat(inverse);
  let xl = f32x4.splat(0);
  let l2 = f32x4.splat(0);
  for (; x < end; x += 16, w += 16, codes += 4) {
    const weights = v128.load(x);
    const places = level_places(f32x4.mul(weights, inverses));
    const levels = levels_at(places);
    const weighted = f32x4.mul(v128.load(w), levels);
    xl = f32x4.add(xl, f32x4.mul(weighted, weights));
    l2 = f32x4.add(l2, f32x4.mul(weighted, levels));
    store<u8>(codes, load<u8>(iq4NearestCodes + (i32x4.extract_lane(places, 0) >> 2)));
    store<u8>(codes, load<u8>(iq4NearestCodes + (i32x4.extract_lane(places, 1) >> 2)), 1);
    store<u8>(codes, load<u8>(iq4NearestCodes + (i32x4.extract_lane(places, 2) >> 2)), 2);
    store<u8>(codes, load<u8>(iq4NearestCodes + (i32x4.extract_lane(places, 3) >> 2)), 3);
  }
  sum_xl = sum_f32x4(xl);
  sum_l2 = sum_f32x4(l2);
}

/** Sum of w x^2 over `count` (a multiple of 4) weights. */
export function weighted_square(x: usize, w: usize, count: i32): f32 {
  const end = x + (<usize>count << 2);
  let sum = f32x4.splat(0);
  for (; x < end; x += 16, w += 16) {
    const weights = v128.load(x);
    sum = f32x4.add(sum, f32x4.mul(f32x4.mul(v128.load(w), weights), weights));
  }
  return sum_f32x4(sum);
}

/** Sum of w x over `count` (a multiple of 4) weights. */
export function weighted_sum(x: usize, w: usize, count: i32): f32 {
  const end = x + (<usize>count << 2);
  let sum = f32x4.splat(0);
  for (; x < end; x += 16, w += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(w), v128.load(x)));
  return sum_f32x4(sum);
}
