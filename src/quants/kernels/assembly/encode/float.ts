// float32 to F32, F16, BF16. Reference: src/quants/float.ts. Importance and effort make no difference.
import { f32_to_f16, f32x4_to_f16 } from "../half";

export function encode_f32(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  memory.copy(out, source, (<usize>rows * <usize>columns) << 2);
}

export function encode_f16(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const count = <usize>rows * <usize>columns;
  const quads = count & ~3;
  for (let i: usize = 0; i < quads; i += 4) {
    const half = f32x4_to_f16(v128.load(source + (i << 2)));
    v128.store64_lane(out + (i << 1), i16x8.narrow_i32x4_u(half, half), 0);
  }
  for (let i = quads; i < count; i++) {
    store<u16>(out + (i << 1), <u16>f32_to_f16(load<f32>(source + (i << 2))));
  }
}

/** Nearest, ties to even; NaN does not come here. */
// @ts-ignore: decorator
@inline
function f32x4_to_bf16(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(i32x4.add(bits, i32x4.splat(0x7fff)), odd), 16);
}

export function encode_bf16(
  source: usize,
  importance: usize,
  out: usize,
  rows: i32,
  columns: i32,
  effort: i32,
  scratch: usize,
): void {
  const count = <usize>rows * <usize>columns;
  const quads = count & ~3;
  for (let i: usize = 0; i < quads; i += 4) {
    const half = f32x4_to_bf16(v128.load(source + (i << 2)));
    v128.store64_lane(out + (i << 1), i16x8.narrow_i32x4_u(half, half), 0);
  }
  for (let i = quads; i < count; i++) {
    const half = f32x4_to_bf16(v128.load32_splat(source + (i << 2)));
    store<u16>(out + (i << 1), <u16>i32x4.extract_lane(half, 0));
  }
}
