/**
 * MXFP4 (OCP microscaling): blocks of 32 four-bit floats (E2M1) with a shared power of two (E8M0).
 *
 *     1 byte exponent e, 16 bytes of codes       weight = 2^(e - 127) E2M1
 *
 * Byte j holds weight j in its low nibble and weight j + 16 in its high one. As llama.cpp
 * (`ggml_e8m0_to_fp32_half`), e = 255 is a large number here, not the NaN of the specification.
 */
import { blockDecoder } from "./block.js";

/** Twice the E2M1 values, hence integers; code 8 is minus zero, which llama.cpp decodes as plus zero. */
export const twiceE2m1 = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

export const decodeMXFP4 = blockDecoder(32, 17, (bytes, at, out, to) => {
  const scale = 2 ** (bytes[at]! - 128);
  for (let j = 0; j < 16; j++) {
    const pair = bytes[at + 1 + j]!;
    out[to + j] = scale * twiceE2m1[pair & 15]!;
    out[to + 16 + j] = scale * twiceE2m1[pair >> 4]!;
  }
});
