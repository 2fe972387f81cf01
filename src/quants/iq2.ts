/**
 * Decoders of the IQ2 formats: groups of eight weights whose magnitudes are a point of a grid with levels 8, 25
 * and 43, each weight with a sign; four-bit block scales; weight = d (scale + 1/2) / 4 level.
 *
 *     IQ2_XXS  d, then per 32 weights: 4 bytes of grid numbers, 32 bits with 4 times 7 sign bits and the scale
 *     IQ2_XS   d, 32 times 16 bits (9 of grid number, 7 of signs), 8 bytes of two scales (16 weights each)
 *     IQ2_S    d, 32 bytes of grid numbers, 32 bytes of signs, 8 bytes of upper grid bits, 8 bytes of two scales
 *
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; where the bits lie: `dequantize_row_iq2_*` in `ggml-quants.c`.
 */
import { blockDecoder } from "./block.js";
import { evenSignsTable, iq2SGrid, iq2XsGrid, iq2XxsGrid } from "./grids.js";
import { readF16, readU16 } from "./half.js";

/** Decodes a group of eight weights: a point of a grid, a sign bit for each weight. */
export function decodeGroup(
  grid: Int8Array,
  point: number,
  signs: number,
  scale: number,
  out: Float32Array,
  to: number,
): void {
  for (let i = 0; i < 8; i++) {
    const magnitude = scale * grid[8 * point + i]!;
    out[to + i] = (signs >> i) & 1 ? -magnitude : magnitude;
  }
}

export const decodeIQ2_XXS = blockDecoder(256, 66, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let block = 0; block < 8; block++) {
    const points = at + 2 + 8 * block;
    const signsAndScale = readU16(bytes, points + 4) | (readU16(bytes, points + 6) << 16);
    const scale = d * (0.5 + (signsAndScale >>> 28)) * 0.25;
    for (let group = 0; group < 4; group++) {
      const signs = evenSignsTable[(signsAndScale >> (7 * group)) & 127]!;
      decodeGroup(iq2XxsGrid, bytes[points + group]!, signs, scale, out, to + 32 * block + 8 * group);
    }
  }
});

/** Scale of a group of IQ2_XS or IQ2_S: a nibble for each two groups. */
function groupScale(d: number, bytes: Uint8Array, at: number, group: number): number {
  const nibble = (bytes[at + (group >> 2)]! >> (2 * (group & 2))) & 15;
  return d * (0.5 + nibble) * 0.25;
}

export const decodeIQ2_XS = blockDecoder(256, 74, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let group = 0; group < 32; group++) {
    const word = readU16(bytes, at + 2 + 2 * group);
    const scale = groupScale(d, bytes, at + 66, group);
    decodeGroup(iq2XsGrid, word & 511, evenSignsTable[word >> 9]!, scale, out, to + 8 * group);
  }
});

export const decodeIQ2_S = blockDecoder(256, 82, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let group = 0; group < 32; group++) {
    const upper = (bytes[at + 66 + (group >> 2)]! >> (2 * (group & 3))) & 3;
    const point = bytes[at + 2 + group]! | (upper << 8);
    const scale = groupScale(d, bytes, at + 74, group);
    decodeGroup(iq2SGrid, point, bytes[at + 34 + group]!, scale, out, to + 8 * group);
  }
});
