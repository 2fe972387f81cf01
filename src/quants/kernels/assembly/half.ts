// Half-precision numbers, as in src/quants/half.ts: exact one way, rounded to nearest even the other.

/** Four F16 numbers in the low halves of four i32 to float32. */
// @ts-ignore: decorator
@inline
export function f16_to_f32x4(bits: v128): v128 {
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16);
  const magnitude = v128.and(bits, i32x4.splat(0x7fff));
  // Moved into place, the exponent is 112 too small; the product is exact, for subnormal numbers too.
  const value = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.splat(reinterpret<f32>(0x77800000)));
  const special = i32x4.gt_s(magnitude, i32x4.splat(0x7bff));
  return v128.or(v128.or(value, sign), v128.and(special, i32x4.splat(0x7f800000)));
}

/** Four float32 to F16 in the low halves of four i32. */
// @ts-ignore: decorator
@inline
export function f32x4_to_f16(values: v128): v128 {
  const sign = v128.and(i32x4.shr_u(values, 16), i32x4.splat(0x8000));
  const magnitude = v128.and(values, i32x4.splat(0x7fffffff));
  // Below 2^-14 results are multiples of 2^-24: the float addition rounds.
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff - 0x38000000)), odd);
  let half = v128.bitselect(subnormal, i32x4.shr_u(rounded, 13), i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  half = v128.bitselect(i32x4.splat(0x7c00), half, i32x4.ge_s(magnitude, i32x4.splat(0x47800000)));
  half = v128.bitselect(i32x4.splat(0x7e00), half, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000)));
  return v128.or(half, sign);
}

/** The value of 16 F16 bits. */
// @ts-ignore: decorator
@inline
export function f16_to_f32(bits: u32): f32 {
  const magnitude = bits & 0x7fff;
  let value: u32 = reinterpret<u32>(reinterpret<f32>(magnitude << 13) * reinterpret<f32>(0x77800000));
  if (magnitude > 0x7bff) value |= 0x7f800000;
  return reinterpret<f32>(value | ((bits & 0x8000) << 16));
}

/** The F16 number at an address. */
// @ts-ignore: decorator
@inline
export function load_f16(address: usize): f32 {
  return f16_to_f32(load<u16>(address));
}

/** F16 bits of a number: nearest, ties to even; overflow gives an infinity. */
export function f32_to_f16(value: f32): u32 {
  return i32x4.extract_lane(f32x4_to_f16(f32x4.splat(value)), 0);
}
