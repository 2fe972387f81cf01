/** Formats whose values are whole numbers, Q2_K to Q4_K, for the output-aware encoder. */
import { f32ToF16, readF16, writeU16 } from "../half.js";
import { type BlockFormat, superblockWeights } from "./format.js";

export interface IntegerLayout {
  readonly block: number;
  readonly bytes: number;
  /** Values from `low` to `high`. */
  readonly low: number;
  readonly high: number;
  readonly lowest: number;
  readonly highest: number;
  readonly highestMinimum: number;
  /** Offset of d; dmin, if there are minima, follows. */
  readonly dAt: number;
  readonly scale: (bytes: Uint8Array, at: number, block: number) => number;
  readonly minimum?: (bytes: Uint8Array, at: number, block: number) => number;
  /** Writes all but d and dmin. */
  readonly pack: (
    codes: Float32Array,
    scales: Float32Array,
    minima: Float32Array,
    out: Uint8Array,
    at: number,
  ) => void;
}

export function integerFormat(layout: IntegerLayout): BlockFormat {
  const { block, bytes, low, high, lowest, highest, highestMinimum, dAt } = layout;
  const codes = new Float32Array(superblockWeights);
  return {
    choice: { kind: "integers", low, high },
    block,
    unit: 1,
    bytes,
    lowest,
    highest,
    highestMinimum,
    multiple: (s) => s,
    read(bytes, at, scales) {
      scales.d = readF16(bytes, at + dAt);
      scales.dmin = highestMinimum > 0 ? readF16(bytes, at + dAt + 2) : 0;
      for (let i = 0; i < superblockWeights / block; i++) {
        scales.scales[i] = layout.scale(bytes, at, i);
        scales.minima[i] = layout.minimum?.(bytes, at, i) ?? 0;
      }
    },
    choose(targets, _weights, at, scale, values) {
      const nearest = scale === 0 ? 0 : Math.round(targets[at]! / scale);
      values[at] = Math.min(Math.max(nearest, low), high);
    },
    write(scales, values, from, out, at) {
      codes.set(values.subarray(from, from + superblockWeights));
      layout.pack(codes, Float32Array.from(scales.scales), Float32Array.from(scales.minima), out, at);
      writeU16(out, at + dAt, f32ToF16(scales.d));
      if (highestMinimum > 0) {
        writeU16(out, at + dAt + 2, f32ToF16(scales.dmin));
      }
    },
  };
}
