/**
 * Decoders of the IQ3 formats: groups of four weights whose magnitudes are a point of a grid with eight levels,
 * each weight with a sign; four-bit scales for 32 weights.
 *
 *     IQ3_XXS  d, 64 bytes of grid numbers, 8 times 32 bits with 4 times 7 sign bits (for two groups) and the scale;
 *              weight = d (scale + 1/2) / 2 level, levels 4 to 62
 *     IQ3_S    d, 64 bytes of grid numbers, 8 bytes of ninth grid bits, 32 bytes of signs, 4 bytes of two scales;
 *              weight = d (2 scale + 1) level, levels 1 to 15
 *
 * Layouts: llama.cpp `ggml/src/ggml-common.h`; where the bits lie: `dequantize_row_iq3_*` in `ggml-quants.c`.
 */
import { blockDecoder } from "./block.js";
import { evenSignsTable, iq3SGrid, iq3XxsGrid } from "./grids.js";
import { readF16, readU16 } from "./half.js";

/** Decodes a group of four weights; the lowest four bits of `signs` are its signs. */
function decodeQuad(
  grid: Int8Array,
  point: number,
  signs: number,
  scale: number,
  out: Float32Array,
  to: number,
): void {
  for (let i = 0; i < 4; i++) {
    const magnitude = scale * grid[4 * point + i]!;
    out[to + i] = (signs >> i) & 1 ? -magnitude : magnitude;
  }
}

export const decodeIQ3_XXS = blockDecoder(256, 98, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let block = 0; block < 8; block++) {
    const word = at + 66 + 4 * block;
    const signsAndScale = readU16(bytes, word) | (readU16(bytes, word + 2) << 16);
    const scale = d * (0.5 + (signsAndScale >>> 28)) * 0.5;
    for (let quad = 0; quad < 8; quad++) {
      const signs = evenSignsTable[(signsAndScale >> (7 * (quad >> 1))) & 127]! >> (4 * (quad & 1));
      const point = bytes[at + 2 + 8 * block + quad]!;
      decodeQuad(iq3XxsGrid, point, signs, scale, out, to + 32 * block + 4 * quad);
    }
  }
});

export const decodeIQ3_S = blockDecoder(256, 110, (bytes, at, out, to) => {
  const d = readF16(bytes, at);
  for (let block = 0; block < 8; block++) {
    const nibble = (bytes[at + 106 + (block >> 1)]! >> (4 * (block & 1))) & 15;
    const scale = d * (1 + 2 * nibble);
    for (let quad = 0; quad < 8; quad++) {
      const ninth = (bytes[at + 66 + block]! >> quad) & 1;
      const point = bytes[at + 2 + 8 * block + quad]! | (ninth << 8);
      const signs = bytes[at + 74 + 4 * block + (quad >> 1)]! >> (4 * (quad & 1));
      decodeQuad(iq3SGrid, point, signs, scale, out, to + 32 * block + 4 * quad);
    }
  }
});
