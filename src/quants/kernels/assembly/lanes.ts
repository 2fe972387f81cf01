// Small operations on vectors that several kernels share.

/** 1.5 * 2^23: added to a number, it leaves the rounded number in the lower bits. And four times. */
export const INTEGER: f32 = 12582912;
const ROUNDER: usize = memory.data<f32>([12582912, 12582912, 12582912, 12582912], 16);

/** Sum of the four lanes: (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sum_f32x4(v: v128): f32 {
  const pairs = f32x4.add(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function sum_i32x4(v: v128): i32 {
  v = i32x4.add(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1);
}

/** Largest of the four lanes, none of them NaN. */
// @ts-ignore: decorator
@inline
export function max_f32x4(v: v128): f32 {
  const pairs = f32x4.pmax(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<u32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** Least of the four lanes, none of them NaN. */
// @ts-ignore: decorator
@inline
export function min_f32x4(v: v128): f32 {
  const pairs = f32x4.pmin(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmin(pairs, v128.shuffle<u32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** Sums of four vectors, one in each lane, as `sum_f32x4` adds. */
// @ts-ignore: decorator
@inline
export function sum_of_each(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<u64>(ab, cd, 0, 2), v128.shuffle<u64>(ab, cd, 1, 3));
}

/** Largest lanes of four vectors, one in each lane, none of them NaN. */
// @ts-ignore: decorator
@inline
export function max_of_each(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.pmax(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.pmax(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.pmax(v128.shuffle<u64>(ab, cd, 0, 2), v128.shuffle<u64>(ab, cd, 1, 3));
}

/** Eight integers, rounded and limited to 16 bits, of numbers up to 2^22. */
// @ts-ignore: decorator
@inline
export function to_i16(low: v128, high: v128): v128 {
  const rounder = v128.load(ROUNDER);
  return i16x8.narrow_i32x4_s(
    i32x4.sub(f32x4.add(low, rounder), rounder),
    i32x4.sub(f32x4.add(high, rounder), rounder),
  );
}

/** Writes sixteen weights, scale * code, of signed codes. */
// @ts-ignore: decorator
@inline
export function store_scaled(out: usize, codes: v128, scale: v128): void {
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
  v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low))));
  v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low))), 16);
  v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high))), 32);
  v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high))), 48);
}

/** Writes four weights, scale * code + offset. */
// @ts-ignore: decorator
@inline
function store_four(out: usize, codes: v128, scale: v128, offset: v128): void {
  v128.store(out, f32x4.add(f32x4.mul(scale, f32x4.convert_i32x4_s(codes)), offset));
}

/** Writes sixteen weights, scale * code + offset, of codes below 128. */
// @ts-ignore: decorator
@inline
export function store_scaled_offset(out: usize, codes: v128, scale: v128, offset: v128): void {
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
  store_four(out, i32x4.extend_low_i16x8_s(low), scale, offset);
  store_four(out + 16, i32x4.extend_high_i16x8_s(low), scale, offset);
  store_four(out + 32, i32x4.extend_low_i16x8_s(high), scale, offset);
  store_four(out + 48, i32x4.extend_high_i16x8_s(high), scale, offset);
}

/** Signed bytes with their signs changed where bits are set, the lowest first. */
// @ts-ignore: decorator
@inline
export function with_signs(bytes: v128, bits: u32): v128 {
  const mask = bits_to_bytes(bits);
  return i8x16.sub(v128.xor(bytes, mask), mask);
}

/** Per byte 255 or 0: the 16 bits from the lowest on, one for each byte. */
// @ts-ignore: decorator
@inline
export function bits_to_bytes(bits: u32): v128 {
  const all = i16x8.splat(<i16>bits);
  const spread = v128.shuffle<u8>(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const places = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return i8x16.eq(v128.and(spread, places), places);
}
