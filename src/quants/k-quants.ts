/**
 * K-quants: superblocks of 256 weights, cut into blocks that each have a small integer scale (and, in Q2_K, Q4_K
 * and Q5_K, a small integer minimum), multiplied by the superblock's F16 d (and dmin).
 *
 *     Q2_K  16 bytes scales (low nibble scale, high nibble min), 64 bytes codes, d, dmin   16 blocks of 16
 *     Q3_K  32 bytes third bits, 64 bytes codes, 12 bytes 6-bit scales, d                  16 blocks of 16
 *     Q4_K  d, dmin, 12 bytes 6-bit scales and mins, 128 bytes codes                        8 blocks of 32
 *     Q5_K  d, dmin, 12 bytes 6-bit scales and mins, 32 bytes fifth bits, 128 bytes codes   8 blocks of 32
 *     Q6_K  128 bytes low nibbles, 64 bytes upper two bits, 16 signed scales, d            16 blocks of 16
 *
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; where the bits lie: `dequantize_row_*` in `ggml-quants.c`.
 */
import { blockDecoder } from "./block.js";
import { readF16 } from "./half.js";

/** weight = d scale code - dmin min. Codes: byte l of a 32-byte half, bits 2k, is weight 128 half + 32 k + l. */
export const decodeQ2_K = blockDecoder(256, 84, (bytes, at, out, to) => {
  const d = readF16(bytes, at + 80);
  const dmin = readF16(bytes, at + 82);
  for (let block = 0; block < 16; block++) {
    const scale = d * (bytes[at + block]! & 15);
    const min = dmin * (bytes[at + block]! >> 4);
    const codes = at + 16 + twoBitByte(block);
    const shift = block & 6;
    for (let l = 0; l < 16; l++) {
      out[to + 16 * block + l] = scale * ((bytes[codes + l]! >> shift) & 3) - min;
    }
  }
});

/** Offset of the first byte that holds two-bit codes of a block of 16 (Q2_K, Q3_K); its shift is `block & 6`. */
export function twoBitByte(block: number): number {
  return 32 * (block >> 3) + 16 * (block & 1);
}

/** weight = d (scale - 32) (code - 4), the code's third bit in the mask: bit k of byte l is weight 32 k + l. */
export const decodeQ3_K = blockDecoder(256, 110, (bytes, at, out, to) => {
  const d = readF16(bytes, at + 108);
  for (let block = 0; block < 16; block++) {
    const scale = d * (q3kScale(bytes, at + 96, block) - 32);
    const codes = at + 32 + twoBitByte(block);
    const thirdBits = at + 16 * (block & 1);
    for (let l = 0; l < 16; l++) {
      const low = (bytes[codes + l]! >> (block & 6)) & 3;
      const high = (bytes[thirdBits + l]! >> (block >> 1)) & 1;
      out[to + 16 * block + l] = scale * (low + 4 * high - 4);
    }
  }
});

/** Six-bit scale of a block: low nibbles in 8 bytes (blocks 8 to 15 in the high halves), upper bits in 4 bytes. */
export function q3kScale(bytes: Uint8Array, at: number, block: number): number {
  const low = (bytes[at + (block & 7)]! >> (block < 8 ? 0 : 4)) & 15;
  const high = (bytes[at + 8 + (block & 3)]! >> (2 * (block >> 2))) & 3;
  return low | (high << 4);
}

/** Six-bit scale of a block of Q4_K or Q5_K. Blocks 4 to 7 keep their upper two bits in bytes 0 to 3. */
export function k4Scale(bytes: Uint8Array, at: number, block: number): number {
  if (block < 4) {
    return bytes[at + block]! & 63;
  }
  return (bytes[at + block + 4]! & 15) | ((bytes[at + block - 4]! >> 6) << 4);
}

/** Six-bit minimum of a block of Q4_K or Q5_K. Blocks 4 to 7 keep their upper two bits in bytes 4 to 7. */
export function k4Min(bytes: Uint8Array, at: number, block: number): number {
  if (block < 4) {
    return bytes[at + block + 4]! & 63;
  }
  return (bytes[at + block + 4]! >> 4) | ((bytes[at + block]! >> 6) << 4);
}

/** weight = d scale code - dmin min. Even blocks have the low nibbles of 32 bytes, odd blocks the high ones. */
export const decodeQ4_K = blockDecoder(256, 144, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  const dmin = readF16(bytes, at + 2);
  for (let block = 0; block < 8; block++) {
    const scale = d * k4Scale(bytes, at + 4, block);
    const min = dmin * k4Min(bytes, at + 4, block);
    const codes = at + 16 + 32 * (block >> 1);
    const shift = 4 * (block & 1);
    for (let l = 0; l < 32; l++) {
      out[to + 32 * block + l] = scale * ((bytes[codes + l]! >> shift) & 15) - min;
    }
  }
});

/** Like Q4_K; the fifth bit of weight l of block k is bit k of byte l. */
export const decodeQ5_K = blockDecoder(256, 176, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  const dmin = readF16(bytes, at + 2);
  for (let block = 0; block < 8; block++) {
    const scale = d * k4Scale(bytes, at + 4, block);
    const min = dmin * k4Min(bytes, at + 4, block);
    const codes = at + 48 + 32 * (block >> 1);
    const shift = 4 * (block & 1);
    for (let l = 0; l < 32; l++) {
      const low = (bytes[codes + l]! >> shift) & 15;
      const high = (bytes[at + 16 + l]! >> block) & 1;
      out[to + 32 * block + l] = scale * (low + 16 * high) - min;
    }
  }
});

/**
 * weight = d scale (code - 32). In each half of 128 weights, quarter k (32 weights) has nibbles of 32 bytes
 * (quarters 0 and 2 share bytes, 1 and 3 too) and bits 2k of 32 bytes.
 */
export const decodeQ6_K = blockDecoder(256, 210, (bytes, at, out, to) => {
  const d = readF16(bytes, at + 208);
  for (let block = 0; block < 16; block++) {
    const scale = d * ((bytes[at + 192 + block]! << 24) >> 24);
    const quarter = (block >> 1) & 3;
    const first = 16 * (block & 1);
    const low = at + 64 * (block >> 3) + 32 * (quarter & 1) + first;
    const high = at + 128 + 32 * (block >> 3) + first;
    for (let l = 0; l < 16; l++) {
      const nibble = (bytes[low + l]! >> (4 * (quarter >> 1))) & 15;
      const upper = (bytes[high + l]! >> (2 * quarter)) & 3;
      out[to + 16 * block + l] = scale * ((nibble | (upper << 4)) - 32);
    }
  }
});
