/**
 * Decoding and encoding of rows of weights, for every type: checks, and the table of the families' functions.
 */
import { InternalError, MalformedInputError, UsageError } from "../errors.js";
import type { Decoder, RowEncoder } from "./block.js";
import type { Effort } from "./effort.js";
import * as float from "./float.js";
import { encodeMXFP4, encodeNVFP4 } from "./four-bit-float-encode.js";
import * as iq1 from "./iq1.js";
import { encodeIQ1_M, encodeIQ1_S } from "./iq1-encode.js";
import * as iq2 from "./iq2.js";
import { encodeIQ2_S, encodeIQ2_XS, encodeIQ2_XXS } from "./iq2-encode.js";
import * as iq3 from "./iq3.js";
import { encodeIQ3_S, encodeIQ3_XXS } from "./iq3-encode.js";
import * as iq4 from "./iq4.js";
import * as k from "./k-quants.js";
import * as kRange from "./k-range-encode.js";
import * as kScale from "./k-scale-encode.js";
import * as legacy from "./legacy.js";
import * as legacyEncode from "./legacy-encode.js";
import { decodeMXFP4 } from "./mxfp4.js";
import { decodeNVFP4 } from "./nvfp4.js";
import { decodeTQ1_0, decodeTQ2_0 } from "./ternary.js";
import { encodeTQ1_0, encodeTQ2_0 } from "./ternary-encode.js";
import { rowBytes, type TypeName, traitsOf } from "./types.js";

const decoders: Partial<Record<TypeName, Decoder>> = {
  F32: float.decodeF32,
  F16: float.decodeF16,
  BF16: float.decodeBf16,
  Q4_0: legacy.decodeQ4_0,
  Q4_1: legacy.decodeQ4_1,
  Q5_0: legacy.decodeQ5_0,
  Q5_1: legacy.decodeQ5_1,
  Q8_0: legacy.decodeQ8_0,
  Q2_K: k.decodeQ2_K,
  Q3_K: k.decodeQ3_K,
  Q4_K: k.decodeQ4_K,
  Q5_K: k.decodeQ5_K,
  Q6_K: k.decodeQ6_K,
  IQ1_S: iq1.decodeIQ1_S,
  IQ1_M: iq1.decodeIQ1_M,
  IQ2_XXS: iq2.decodeIQ2_XXS,
  IQ2_XS: iq2.decodeIQ2_XS,
  IQ2_S: iq2.decodeIQ2_S,
  IQ3_XXS: iq3.decodeIQ3_XXS,
  IQ3_S: iq3.decodeIQ3_S,
  IQ4_NL: iq4.decodeIQ4_NL,
  IQ4_XS: iq4.decodeIQ4_XS,
  TQ1_0: decodeTQ1_0,
  TQ2_0: decodeTQ2_0,
  MXFP4: decodeMXFP4,
  NVFP4: decodeNVFP4,
};

const encoders: Partial<Record<TypeName, RowEncoder>> = {
  F32: float.encodeF32,
  F16: float.encodeF16,
  BF16: float.encodeBf16,
  IQ1_S: encodeIQ1_S,
  IQ1_M: encodeIQ1_M,
  IQ2_XXS: encodeIQ2_XXS,
  IQ2_XS: encodeIQ2_XS,
  IQ2_S: encodeIQ2_S,
  IQ3_XXS: encodeIQ3_XXS,
  IQ3_S: encodeIQ3_S,
  Q4_0: legacyEncode.encodeQ4_0,
  Q4_1: legacyEncode.encodeQ4_1,
  Q5_0: legacyEncode.encodeQ5_0,
  Q5_1: legacyEncode.encodeQ5_1,
  Q8_0: legacyEncode.encodeQ8_0,
  Q2_K: kRange.encodeQ2_K,
  Q3_K: kScale.encodeQ3_K,
  Q4_K: kRange.encodeQ4_K,
  Q5_K: kRange.encodeQ5_K,
  Q6_K: kScale.encodeQ6_K,
  IQ4_NL: legacyEncode.encodeIQ4_NL,
  IQ4_XS: kScale.encodeIQ4_XS,
  TQ1_0: encodeTQ1_0,
  TQ2_0: encodeTQ2_0,
  MXFP4: encodeMXFP4,
  NVFP4: encodeNVFP4,
};

/**
 * Decodes whole blocks to float32.
 * Throws a UsageError if the type cannot be decoded.
 * @param bytes exactly the blocks of `out.length` weights
 */
export function decodeRows(type: TypeName, bytes: Uint8Array, out: Float32Array): void {
  const decode = decoders[type];
  if (!decode) {
    throw new UsageError(`weights of type ${type} cannot be decoded.`, { type });
  }
  const expected = rowBytes(type, out.length);
  if (bytes.byteLength !== expected) {
    throw new InternalError(
      `${out.length} weights of type ${type} take ${expected} bytes, not ${bytes.byteLength}.`,
    );
  }
  decode(bytes, out);
}

/**
 * Encodes whole rows. Each row is encoded for itself, so any slicing into calls gives the same bytes.
 * Throws a UsageError if the type cannot be encoded.
 * Throws a MalformedInputError if a weight is not finite, or an importance is not finite or negative; `details`
 * has `row` (counted from the first row of this call) and `column`.
 * @param weights rows one after another, each of `columns` weights
 * @param importance one value per column, how much an error there matters; undefined: all alike
 * @param out exactly the rows' bytes
 * @param effort how long to search; types whose codes follow from a formula take no notice
 */
export function encodeRows(
  type: TypeName,
  weights: Float32Array,
  columns: number,
  importance: Float32Array | undefined,
  out: Uint8Array,
  effort: Effort = "default",
): void {
  const encode = encoders[type];
  if (!encode) {
    throw new UsageError(`weights cannot be encoded as ${type}.`, { type });
  }
  const stride = rowBytes(type, columns);
  const rows = weights.length / columns;
  if (!Number.isInteger(rows) || out.byteLength !== rows * stride) {
    throw new InternalError(
      `${weights.length} weights in rows of ${columns} do not fit ${out.byteLength} bytes.`,
    );
  }
  if (importance && importance.length !== columns) {
    throw new InternalError(`rows of ${columns} weights need as many importances, not ${importance.length}.`);
  }
  if (traitsOf(type).quantized) {
    checkWeights(type, weights, columns);
    if (importance) {
      checkImportance(importance);
    }
  }
  for (let row = 0; row < rows; row++) {
    const slice = weights.subarray(row * columns, (row + 1) * columns);
    encode(slice, importance, out.subarray(row * stride, (row + 1) * stride), effort);
  }
}

/** Throws a MalformedInputError that names the first weight that is NaN or infinite. */
export function checkWeights(type: TypeName, weights: Float32Array, columns: number): void {
  const at = weights.findIndex((weight) => !Number.isFinite(weight));
  if (at < 0) {
    return;
  }
  const row = Math.floor(at / columns);
  const column = at % columns;
  throw new MalformedInputError(
    `row ${row}, column ${column}: the weight is ${weights[at]}, which ${type} cannot store.`,
    { row, column },
  );
}

/** Throws a MalformedInputError that names the first importance that is NaN, infinite or negative. */
export function checkImportance(importance: Float32Array): void {
  const column = importance.findIndex((value) => !(value >= 0 && value < Infinity));
  if (column < 0) {
    return;
  }
  throw new MalformedInputError(
    `column ${column}: the importance is ${importance[column]}; it must be finite and not negative.`,
    { column },
  );
}
