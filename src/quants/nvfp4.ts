/**
 * NVFP4: superblocks of 64 four-bit floats (E2M1), each 16 with an eight-bit scale without sign (UE4M3).
 *
 *     4 bytes of scales, 32 bytes of codes       weight = scale E2M1
 *
 * Byte j of eight bytes holds weight j of its 16 in the low nibble and weight j + 8 in the high one. A factor for the
 * whole tensor, which checkpoints of this format have, is none of the blocks' business. As in llama.cpp
 * (`ggml_ue4m3_to_fp32`), scale byte 127 is zero.
 */
import { blockDecoder } from "./block.js";
import { twiceE2m1 } from "./mxfp4.js";

/** Half the value of each scale byte, for twice the values of E2M1; the upper half, which no encoder writes, is alike. */
export const halfUe4m3 = Float32Array.from({ length: 256 }, (_, byte) => {
  const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7];
  if (byte === 127) {
    return 0;
  }
  return exponent === 0 ? mantissa * 2 ** -10 : (8 + mantissa) * 2 ** (exponent - 11);
});

export const decodeNVFP4 = blockDecoder(64, 36, (bytes, at, out, to) => {
  for (let i = 0; i < 64; i += 16) {
    const scale = halfUe4m3[bytes[at + (i >> 4)]!]!;
    for (let j = 0; j < 8; j++) {
      const pair = bytes[at + 4 + (i >> 1) + j]!;
      out[to + i + j] = scale * twiceE2m1[pair & 15]!;
      out[to + i + 8 + j] = scale * twiceE2m1[pair >> 4]!;
    }
  }
});
