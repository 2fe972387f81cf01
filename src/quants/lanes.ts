/**
 * Float32 arithmetic in the order of a SIMD kernel. Encoders and their kernels shall give the same bytes, so sums
 * over weights run in four lanes (lane i adds weights i, i + 4, ...), which are then added as (0 + 2) + (1 + 3).
 */

const { fround } = Math;

/** Adding and subtracting 1.5 * 2^23 rounds a float32 below 2^22 to the nearestInteger integer, ties to even. */
const rounder = 12582912;

/** The integer nearestInteger to a float32 of magnitude below 2^22, ties to even. */
export function nearestInteger(value: number): number {
  return fround(fround(value + rounder) - rounder);
}

/** The number between `low` and `high` that is nearestInteger to `value`. */
export function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** One over a number; 0 for 0, so that what would be divided becomes code 0. */
export function invert(value: number): number {
  return value === 0 ? 0 : fround(1 / value);
}

/** Sum of w a b over `count` (a multiple of four) weights from `at`. */
export function weightedDot(
  w: Float32Array,
  a: Float32Array,
  b: Float32Array,
  at: number,
  count: number,
): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = at; i < at + count; i += 4) {
    s0 = fround(s0 + fround(fround(w[i]! * a[i]!) * b[i]!));
    s1 = fround(s1 + fround(fround(w[i + 1]! * a[i + 1]!) * b[i + 1]!));
    s2 = fround(s2 + fround(fround(w[i + 2]! * a[i + 2]!) * b[i + 2]!));
    s3 = fround(s3 + fround(fround(w[i + 3]! * a[i + 3]!) * b[i + 3]!));
  }
  return fround(fround(s0 + s2) + fround(s1 + s3));
}

/** Sum of w a over `count` (a multiple of four) weights from `at`. */
export function weightedSum(w: Float32Array, a: Float32Array, at: number, count: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = at; i < at + count; i += 4) {
    s0 = fround(s0 + fround(w[i]! * a[i]!));
    s1 = fround(s1 + fround(w[i + 1]! * a[i + 1]!));
    s2 = fround(s2 + fround(w[i + 2]! * a[i + 2]!));
    s3 = fround(s3 + fround(w[i + 3]! * a[i + 3]!));
  }
  return fround(fround(s0 + s2) + fround(s1 + s3));
}

/** Sum of `count` (a multiple of four) numbers from `at`. */
export function sum(a: Float32Array, at: number, count: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = at; i < at + count; i += 4) {
    s0 = fround(s0 + a[i]!);
    s1 = fround(s1 + a[i + 1]!);
    s2 = fround(s2 + a[i + 2]!);
    s3 = fround(s3 + a[i + 3]!);
  }
  return fround(fround(s0 + s2) + fround(s1 + s3));
}

/** Sum of four lanes. */
export function sum4(lanes: Float32Array): number {
  return fround(fround(lanes[0]! + lanes[2]!) + fround(lanes[1]! + lanes[3]!));
}
