// F32, F16, BF16 to float32. Reference: src/quants/float.ts.
import { f16_to_f32, f16_to_f32x4 } from "../half";

export function decode_f32(source: usize, out: usize, count: i32): void {
  memory.copy(out, source, <usize>count << 2);
}

export function decode_f16(source: usize, out: usize, count: i32): void {
  const quads = count & ~3;
  for (let i: usize = 0; i < <usize>quads; i += 4) {
    v128.store(out + (i << 2), f16_to_f32x4(v128.load16x4_u(source + (i << 1))));
  }
  for (let i: usize = quads; i < <usize>count; i++) {
    store<f32>(out + (i << 2), f16_to_f32(load<u16>(source + (i << 1))));
  }
}

export function decode_bf16(source: usize, out: usize, count: i32): void {
  const quads = count & ~3;
  for (let i: usize = 0; i < <usize>quads; i += 4) {
    v128.store(out + (i << 2), i32x4.shl(v128.load16x4_u(source + (i << 1)), 16));
  }
  for (let i: usize = quads; i < <usize>count; i++) {
    store<u32>(out + (i << 2), <u32>load<u16>(source + (i << 1)) << 16);
  }
}
