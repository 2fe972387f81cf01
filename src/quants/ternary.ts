/**
 * Ternary formats: superblocks of 256 weights in {-d, 0, d}.
 *
 *     TQ1_0  48 bytes of five ternary digits, 4 bytes of four, d
 *     TQ2_0  64 bytes of four two-bit codes, d                  weight = d (code - 1)
 *
 * TQ1_0 stores digits as a binary fraction: the first digit is the integer part of 3 byte / 256, and multiplying
 * the byte by 3 modulo 256 moves the next digit up. Layouts: llama.cpp `ggml/src/ggml-common.h`.
 */
import { blockDecoder } from "./block.js";
import { readF16 } from "./half.js";

/** Groups of bytes: first byte, bytes, digits in each. Digit n of all bytes comes before digit n + 1 of any. */
export const tq1Groups = [
  [0, 32, 5],
  [32, 16, 5],
  [48, 4, 4],
] as const;
/** Of the digits of a byte, the first having the least. */
export const powersOfThree = [1, 3, 9, 27, 81] as const;

export const decodeTQ1_0 = blockDecoder(256, 54, (bytes, at, out, to) => {
  const d = readF16(bytes, at + 52);
  let i = to;
  for (const [first, count, digits] of tq1Groups) {
    for (let digit = 0; digit < digits; digit++) {
      for (let j = 0; j < count; j++) {
        const fraction = (bytes[at + first + j]! * powersOfThree[digit]!) & 255;
        out[i++] = d * (((3 * fraction) >> 8) - 1);
      }
    }
  }
});

export const decodeTQ2_0 = blockDecoder(256, 66, (bytes, at, out, to) => {
  const d = readF16(bytes, at + 64);
  for (let i = 0; i < 256; i++) {
    const byte = bytes[at + 32 * (i >> 7) + (i & 31)]!;
    out[to + i] = d * (((byte >> (2 * ((i >> 5) & 3))) & 3) - 1);
  }
});
