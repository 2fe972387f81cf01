// Q8_0: blocks of 32 weights, F16 scale d and 32 signed bytes. Gives the bytes of src/quants/legacy-encode.ts,
// which are llama.cpp's. Importance and effort make no difference.
import { f32_to_f16 } from "../half";
import { INTEGER, max_f32x4 } from "../lanes";

/** Four codes: rounded half away from zero, as i32. */
// @ts-ignore: decorator
@inline
function codes(weights: usize, inverse: v128): v128 {
  let scaled = f32x4.mul(v128.load(weights), inverse);
  scaled = f32x4.pmax(f32x4.splat(-127), f32x4.pmin(f32x4.splat(127), scaled));
  // The largest float below a half: with a half itself the sum would round up just below ties.
  const half = v128.or(v128.and(scaled, f32x4.splat(-0.0)), f32x4.splat(reinterpret<f32>(0x3effffff)));
  const rounded = f32x4.trunc(f32x4.add(scaled, half));
  return i32x4.sub(f32x4.add(rounded, f32x4.splat(INTEGER)), f32x4.splat(INTEGER));
}

export function encode_q8_0(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const end = source + ((<usize>rows * <usize>columns) << 2);
  for (; source < end; source += 128, out += 34) {
    let largest = f32x4.splat(0);
    for (let i: usize = 0; i < 128; i += 16) largest = f32x4.pmax(largest, f32x4.abs(v128.load(source + i)));
    const d = min<f32>(max_f32x4(largest) / 127, 65504);
    // 1 / d would be infinite for the smallest d; F16 holds nothing so small anyway.
    const inverse = f32x4.splat(d > reinterpret<f32>(0x00800000) ? <f32>1 / d : 0);
    store<u16>(out, <u16>f32_to_f16(d));
    for (let i: usize = 0; i < 128; i += 64) {
      const low = i16x8.narrow_i32x4_s(codes(source + i, inverse), codes(source + i + 16, inverse));
      const high = i16x8.narrow_i32x4_s(codes(source + i + 32, inverse), codes(source + i + 48, inverse));
      v128.store(out + (i >> 2), i8x16.narrow_i16x8_s(low, high), 2);
    }
  }
}
