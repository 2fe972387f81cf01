/** Encoders of the oldest formats. Layouts: `legacy.ts`. */
import type { RowEncoder } from "./block.js";
import { f32ToF16, writeU16 } from "./half.js";

const { abs, fround, min, max } = Math;

/**
 * The bytes of `quantize_row_q8_0_ref` in `ggml-quants.c` (and of gguf-py): d = max / 127, codes rounded half away
 * from zero. Where that would give an infinite d (weights beyond 8 million), d is the largest F16 number instead.
 */
export const encodeQ8_0: RowEncoder = (row, _importance, out) => {
  for (let block = 0; block < row.length / 32; block++) {
    const at = 34 * block;
    let largest = 0;
    for (let i = 0; i < 32; i++) largest = max(largest, abs(row[32 * block + i]!));
    const d = min(fround(largest / 127), 65504);
    const inverse = d > 2 ** -126 ? fround(1 / d) : 0;
    writeU16(out, at, f32ToF16(d));
    for (let i = 0; i < 32; i++) {
      const scaled = fround(row[32 * block + i]! * inverse);
      const rounded = Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
      out[at + 2 + i] = max(-127, min(127, rounded));
    }
  }
};
