// The oldest formats: blocks of 32 weights. Layouts and reference: src/quants/legacy.ts.
import { load_f16 } from "../half";
import { bits_to_bytes, store_scaled, store_scaled_offset } from "../lanes";

export function decode_q4_0(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 18) {
    const d = f32x4.splat(load_f16(source));
    const pairs = v128.load(source, 2);
    const eight = i8x16.splat(8);
    store_scaled(out, i8x16.sub(v128.and(pairs, i8x16.splat(15)), eight), d);
    store_scaled(out + 64, i8x16.sub(i8x16.shr_u(pairs, 4), eight), d);
  }
}

export function decode_q4_1(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 20) {
    const d = f32x4.splat(load_f16(source));
    const m = f32x4.splat(load_f16(source + 2));
    const pairs = v128.load(source, 4);
    store_scaled_offset(out, v128.and(pairs, i8x16.splat(15)), d, m);
    store_scaled_offset(out + 64, i8x16.shr_u(pairs, 4), d, m);
  }
}

/** Codes of sixteen weights: nibbles and fifth bits. */
// @ts-ignore: decorator
@inline
function five_bits(nibbles: v128, fifth: u32): v128 {
  return v128.or(nibbles, v128.and(bits_to_bytes(fifth), i8x16.splat(16)));
}

export function decode_q5_0(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 22) {
    const d = f32x4.splat(load_f16(source));
    const fifth = load<u32>(source, 2);
    const pairs = v128.load(source, 6);
    const sixteen = i8x16.splat(16);
    const low = five_bits(v128.and(pairs, i8x16.splat(15)), fifth);
    const high = five_bits(i8x16.shr_u(pairs, 4), fifth >> 16);
    store_scaled(out, i8x16.sub(low, sixteen), d);
    store_scaled(out + 64, i8x16.sub(high, sixteen), d);
  }
}

export function decode_q5_1(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 24) {
    const d = f32x4.splat(load_f16(source));
    const m = f32x4.splat(load_f16(source + 2));
    const fifth = load<u32>(source, 4);
    const pairs = v128.load(source, 8);
    store_scaled_offset(out, five_bits(v128.and(pairs, i8x16.splat(15)), fifth), d, m);
    store_scaled_offset(out + 64, five_bits(i8x16.shr_u(pairs, 4), fifth >> 16), d, m);
  }
}

export function decode_q8_0(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; out += 128, source += 34) {
    const d = f32x4.splat(load_f16(source));
    store_scaled(out, v128.load(source, 2), d);
    store_scaled(out + 64, v128.load(source, 18), d);
  }
}
