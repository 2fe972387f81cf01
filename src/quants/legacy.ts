/**
 * The oldest formats: blocks of 32 weights with an F16 scale d, some with an F16 offset m.
 *
 *     Q4_0  d, 16 bytes of codes                    weight = d (code - 8)
 *     Q4_1  d, m, 16 bytes of codes                 weight = d code + m
 *     Q5_0  d, 4 bytes of fifth bits, 16 of codes   weight = d (code - 16)
 *     Q5_1  d, m, 4 bytes of fifth bits, 16         weight = d code + m
 *     Q8_0  d, 32 signed bytes                      weight = d code
 *
 * Byte j of the codes holds weight j in its low nibble and weight j + 16 in its high one; bit i of the fifth
 * bits belongs to weight i. Layouts: llama.cpp `ggml/src/ggml-common.h`.
 *
 * No product here needs more than 24 bits and no sum more than 53, so double arithmetic with one rounding at the
 * store gives the bits of llama.cpp's float arithmetic. That holds for all formats of this folder.
 */
import { blockDecoder } from "./block.js";
import { readF16 } from "./half.js";

export const decodeQ4_0 = blockDecoder(32, 18, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 2 + j]!;
    out[to + j] = d * ((pair & 15) - 8);
    out[to + 16 + j] = d * ((pair >> 4) - 8);
  }
});

export const decodeQ4_1 = blockDecoder(32, 20, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  const m = readF16(bytes, at + 2);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 4 + j]!;
    out[to + j] = d * (pair & 15) + m;
    out[to + 16 + j] = d * (pair >> 4) + m;
  }
});

/** The fifth bit of weight i, in its place. */
function fifthBit(bytes: Uint8Array, at: number, i: number): number {
  return ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

export const decodeQ5_0 = blockDecoder(32, 22, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 6 + j]!;
    out[to + j] = d * (((pair & 15) | fifthBit(bytes, at + 2, j)) - 16);
    out[to + 16 + j] = d * (((pair >> 4) | fifthBit(bytes, at + 2, j + 16)) - 16);
  }
});

export const decodeQ5_1 = blockDecoder(32, 24, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  const m = readF16(bytes, at + 2);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 8 + j]!;
    out[to + j] = d * ((pair & 15) | fifthBit(bytes, at + 4, j)) + m;
    out[to + 16 + j] = d * ((pair >> 4) | fifthBit(bytes, at + 4, j + 16)) + m;
  }
});

export const decodeQ8_0 = blockDecoder(32, 34, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let j = 0; j < 32; j++) {
    out[to + j] = d * ((bytes[at + 2 + j]! << 24) >> 24);
  }
});
