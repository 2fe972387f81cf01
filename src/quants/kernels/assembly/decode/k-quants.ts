// K-quants: superblocks of 256 weights. Layouts and reference: src/quants/k-quants.ts.
import { load_f16 } from "../half";
import { store_scaled, store_scaled_offset } from "../lanes";

/** Offset of the first byte with two-bit codes of a block of 16 (Q2_K, Q3_K); its shift is `block & 6`. */
// @ts-ignore: decorator
@inline
function two_bit_byte(block: usize): usize {
  return 32 * (block >> 3) + 16 * (block & 1);
}

export function decode_q2_k(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 84) {
    const d = load_f16(source + 80);
    const dmin = load_f16(source + 82);
    for (let block: usize = 0; block < 16; block++, out += 64) {
      const both = load<u8>(source + block);
      const scale = f32x4.splat(d * <f32>(both & 15));
      const offset = f32x4.splat(-(dmin * <f32>(both >> 4)));
      const bytes = v128.load(source + 16 + two_bit_byte(block));
      const codes = v128.and(i8x16.shr_u(bytes, <i32>(block & 6)), i8x16.splat(3));
      store_scaled_offset(out, codes, scale, offset);
    }
  }
}

export function decode_q3_k(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 110) {
    const d = load_f16(source + 108);
    for (let block: usize = 0; block < 16; block++, out += 64) {
      const scale = f32x4.splat(d * <f32>(q3_k_scale(source + 96, block) - 32));
      const bytes = v128.load(source + 32 + two_bit_byte(block));
      const low = v128.and(i8x16.shr_u(bytes, <i32>(block & 6)), i8x16.splat(3));
      const thirds = i8x16.shr_u(v128.load(source + 16 * (block & 1)), <i32>(block >> 1));
      const high = i8x16.shl(v128.and(thirds, i8x16.splat(1)), 2);
      store_scaled(out, i8x16.sub(v128.or(low, high), i8x16.splat(4)), scale);
    }
  }
}

/** Low nibbles in 8 bytes (blocks 8 to 15 in the high halves), upper two bits in 4 bytes. */
// @ts-ignore: decorator
@inline
function q3_k_scale(at: usize, block: usize): i32 {
  const low = ((<i32>load<u8>(at + (block & 7))) >> (block < 8 ? 0 : 4)) & 15;
  const high = ((<i32>load<u8>(at + 8 + (block & 3))) >> (2 * (<i32>block >> 2))) & 3;
  return low | (high << 4);
}

/** Blocks 4 to 7 keep the upper two bits of their scale in bytes 0 to 3. */
// @ts-ignore: decorator
@inline
function k4_scale(at: usize, block: usize): i32 {
  if (block < 4) return load<u8>(at + block) & 63;
  return (load<u8>(at + block + 4) & 15) | ((load<u8>(at + block - 4) >> 6) << 4);
}

/** Blocks 4 to 7 keep the upper two bits of their minimum in bytes 4 to 7. */
// @ts-ignore: decorator
@inline
function k4_min(at: usize, block: usize): i32 {
  if (block < 4) return load<u8>(at + block + 4) & 63;
  return (load<u8>(at + block + 4) >> 4) | ((load<u8>(at + block) >> 6) << 4);
}

/** Writes a block of Q4_K, whose codes are lower nibbles. */
// @ts-ignore: decorator
@inline
function store_q4_k(out: usize, low: v128, high: v128, source: usize, block: usize, d: f32, dmin: f32): void {
  const mask = i8x16.splat(15);
  const scale = f32x4.splat(d * <f32>k4_scale(source + 4, block));
  const offset = f32x4.splat(-(dmin * <f32>k4_min(source + 4, block)));
  store_scaled_offset(out, v128.and(low, mask), scale, offset);
  store_scaled_offset(out + 64, v128.and(high, mask), scale, offset);
}

export function decode_q4_k(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 144) {
    const d = load_f16(source);
    const dmin = load_f16(source + 2);
    for (let block: usize = 0; block < 8; block += 2, out += 256) {
      const low = v128.load(source + 16 * block, 16);
      const high = v128.load(source + 16 * block, 32);
      store_q4_k(out, low, high, source, block, d, dmin);
      store_q4_k(out + 128, i16x8.shr_u(low, 4), i16x8.shr_u(high, 4), source, block + 1, d, dmin);
    }
  }
}

export function decode_q5_k(source: usize, out: usize, count: i32): void {
  const one = i8x16.splat(1);
  const mask = i8x16.splat(15);
  for (const end = out + (<usize>count << 2); out < end; source += 176) {
    const d = load_f16(source);
    const dmin = load_f16(source + 2);
    for (let block: usize = 0; block < 8; block++) {
      const scale = f32x4.splat(d * <f32>k4_scale(source + 4, block));
      const offset = f32x4.splat(-(dmin * <f32>k4_min(source + 4, block)));
      for (let first: usize = 0; first < 32; first += 16, out += 64) {
        const nibbles = i8x16.shr_u(v128.load(source + 48 + 32 * (block >> 1) + first), 4 * (<i32>block & 1));
        const fifths = v128.and(i8x16.shr_u(v128.load(source + 16 + first), <i32>block), one);
        const codes = v128.or(v128.and(nibbles, mask), i8x16.shl(fifths, 4));
        store_scaled_offset(out, codes, scale, offset);
      }
    }
  }
}

/** Writes sixteen weights of Q6_K: their lower nibbles, and the upper two bits already in place. */
// @ts-ignore: decorator
@inline
function store_q6_k(out: usize, low: v128, upper: v128, d: f32, scale: usize): void {
  const codes = v128.or(v128.and(low, i8x16.splat(15)), v128.and(upper, i8x16.splat(48)));
  store_scaled(out, i8x16.sub(codes, i8x16.splat(32)), f32x4.splat(d * <f32>load<i8>(scale)));
}

export function decode_q6_k(source: usize, out: usize, count: i32): void {
  for (const end = out + (<usize>count << 2); out < end; source += 210, out += 1024) {
    const d = load_f16(source + 208);
    // Four blocks of 16 have their lower bits in two vectors and their upper ones in one.
    for (let part: usize = 0; part < 4; part++) {
      const half = part >> 1;
      const first = part & 1;
      const a = v128.load(source + 64 * half + 16 * first);
      const b = v128.load(source + 64 * half + 16 * first, 32);
      const upper = v128.load(source + 32 * half + 16 * first, 128);
      const to = out + 512 * half + 64 * first;
      const scale = source + 192 + 8 * half + first;
      store_q6_k(to, a, i16x8.shl(upper, 4), d, scale);
      store_q6_k(to + 128, b, i16x8.shl(upper, 2), d, scale + 2);
      store_q6_k(to + 256, i16x8.shr_u(a, 4), upper, d, scale + 4);
      store_q6_k(to + 384, i16x8.shr_u(b, 4), i16x8.shr_u(upper, 2), d, scale + 6);
    }
  }
}
