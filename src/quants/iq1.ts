/**
 * Decoders of the IQ1 formats: groups of eight weights, a point of a grid of -1, 0 and 1, all shifted by +1/8 or
 * -1/8; odd block scales 2 s + 1 with three bits of s.
 *
 *     IQ1_S  d, 32 bytes of grid numbers, 8 times 16 bits: 4 times 3 upper grid bits, s, sign of the shift
 *     IQ1_M  32 bytes of grid numbers, 16 bytes of two nibbles (3 upper grid bits, sign of the shift),
 *            4 times 16 bits: 4 times s (16 weights each) and a quarter of d
 *
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; where the bits lie: `dequantize_row_iq1_*` in `ggml-quants.c`.
 */
import { blockDecoder } from "./block.js";
import { iq1Grid } from "./grids.js";
import { f16ToF32, readF16, readU16 } from "./half.js";

/** What the levels of a group or block are shifted by, up or down. */
export const iq1Shift = 0.125;

function decodeGroup(point: number, shift: number, scale: number, out: Float32Array, to: number): void {
  for (let i = 0; i < 8; i++) {
    out[to + i] = scale * (iq1Grid[8 * point + i]! + shift);
  }
}

export const decodeIQ1_S = blockDecoder(256, 50, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let block = 0; block < 8; block++) {
    const word = readU16(bytes, at + 34 + 2 * block);
    const scale = d * (2 * ((word >> 12) & 7) + 1);
    const shift = word & 0x8000 ? -iq1Shift : iq1Shift;
    for (let group = 0; group < 4; group++) {
      const point = bytes[at + 2 + 4 * block + group]! | (((word >> (3 * group)) & 7) << 8);
      decodeGroup(point, shift, scale, out, to + 32 * block + 8 * group);
    }
  }
});

/** F16 bits of an IQ1_M superblock's d. */
export function iq1mScale(bytes: Uint8Array, at: number): number {
  let bits = 0;
  for (let i = 0; i < 4; i++) {
    bits |= (readU16(bytes, at + 48 + 2 * i) >> 12) << (4 * i);
  }
  return bits;
}

/** Sub-scale of a block of 16. */
export function iq1mSubscale(bytes: Uint8Array, at: number, block: number): number {
  return (readU16(bytes, at + 48 + 2 * (block >> 2)) >> (3 * (block & 3))) & 7;
}

export const decodeIQ1_M = blockDecoder(256, 56, (bytes, at, out, to) => {
  const d = f16ToF32(iq1mScale(bytes, at));
  for (let group = 0; group < 32; group++) {
    const nibble = (bytes[at + 32 + (group >> 1)]! >> (4 * (group & 1))) & 15;
    const point = bytes[at + group]! | ((nibble & 7) << 8);
    const shift = nibble & 8 ? -iq1Shift : iq1Shift;
    const s = iq1mSubscale(bytes, at, group >> 1);
    decodeGroup(point, shift, d * (2 * s + 1), out, to + 8 * group);
  }
});
