/**
 * The F16 scales of blocks: all values of a block are proportional to them together, so that a row is multiplied by a
 * factor without touching its codes. Layouts: llama.cpp `ggml/src/ggml-common.h`.
 */
import { f16ToF32, readU16, scaleToF16, writeU16 } from "./half.js";
import { rowBytes, type TypeName, traitsOf } from "./types.js";

/** Where the F16 numbers (d, dmin, m) of a block lie, in bytes, of types whose scales are such numbers. */
const offsets: Partial<Record<TypeName, readonly number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ1_S: [0],
  IQ2_XXS: [0],
  IQ2_XS: [0],
  IQ2_S: [0],
  IQ3_XXS: [0],
  IQ3_S: [0],
  IQ4_NL: [0],
  IQ4_XS: [0],
  TQ1_0: [52],
  TQ2_0: [64],
};

/** Undefined for a type whose blocks have no scales in F16, or have their bits elsewhere too (IQ1_M). */
export function halfScalesOf(type: TypeName): readonly number[] | undefined {
  return offsets[type];
}

/**
 * Multiplies rows, in place, each by its factor, as exactly as F16 allows; a factor of 1 changes no bit.
 * @param bytes whole rows of `columns` weights, of a type with such scales
 * @param factors one for each row
 */
export function multiplyRows(
  type: TypeName,
  bytes: Uint8Array,
  columns: number,
  factors: Float32Array,
): void {
  const { blockBytes } = traitsOf(type);
  const stride = rowBytes(type, columns);
  const places = offsets[type] ?? [];
  for (const [row, factor] of factors.entries()) {
    if (factor === 1) {
      continue;
    }
    for (let block = row * stride; block < (row + 1) * stride; block += blockBytes) {
      for (const place of places) {
        const at = block + place;
        writeU16(bytes, at, scaleToF16(factor * f16ToF32(readU16(bytes, at))));
      }
    }
  }
}
