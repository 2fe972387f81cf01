// How several formats lay codes (one in each byte) into bytes. Reference: src/quants/pack.ts.

/** 32 four-bit codes: 0 to 15 in the low nibbles, 16 to 31 in the high ones. */
export function pack_nibbles(codes: usize, out: usize): void {
  const low = v128.and(v128.load(codes), i8x16.splat(15));
  v128.store(out, v128.or(low, i8x16.shl(v128.load(codes, 16), 4)));
}

/** The fifth bits of 32 codes. */
export function pack_fifth_bits(codes: usize, out: usize): void {
  const low = i8x16.bitmask(i8x16.shl(v128.load(codes), 3));
  const high = i8x16.bitmask(i8x16.shl(v128.load(codes, 16), 3));
  store<u32>(out, low | (high << 16));
}

/** The lower two bits of 256 codes: byte l of each half, bits 2k, is code 128 half + 32 k + l. */
export function pack_two_bits(codes: usize, out: usize): void {
  const three = i8x16.splat(3);
  for (let half = 0; half < 2; half++, codes += 128, out += 32) {
    for (let l: usize = 0; l < 32; l += 16) {
      let bytes = v128.and(v128.load(codes + l), three);
      bytes = v128.or(bytes, i8x16.shl(v128.and(v128.load(codes + l, 32), three), 2));
      bytes = v128.or(bytes, i8x16.shl(v128.and(v128.load(codes + l, 64), three), 4));
      bytes = v128.or(bytes, i8x16.shl(v128.load(codes + l, 96), 6));
      v128.store(out + l, bytes);
    }
  }
}

/** The lower nibbles of 256 codes: byte l of quarter j has code 64 j + l below, 64 j + 32 + l above. */
export function pack_quarter_nibbles(codes: usize, out: usize): void {
  for (let j = 0; j < 4; j++, codes += 64, out += 32) {
    for (let l: usize = 0; l < 32; l += 16) {
      const low = v128.and(v128.load(codes + l), i8x16.splat(15));
      v128.store(out + l, v128.or(low, i8x16.shl(v128.load(codes + l, 32), 4)));
    }
  }
}
