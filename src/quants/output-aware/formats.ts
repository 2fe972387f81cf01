/** The types that have an output-aware encoder. */
import { formatIQ1_M, formatIQ1_S } from "../iq1-encode.js";
import { formatIQ2_S, formatIQ2_XS, formatIQ2_XXS } from "../iq2-encode.js";
import { formatIQ3_S, formatIQ3_XXS } from "../iq3-encode.js";
import { k4Min, k4Scale, q3kScale } from "../k-quants.js";
import { packQ2_K, packQ4_K } from "../k-range-encode.js";
import { packQ3_K } from "../k-scale-encode.js";
import type { TypeName } from "../types.js";
import type { BlockFormat } from "./format.js";
import { formatNVFP4 } from "./four-bit-float-format.js";
import { gridFormat, nibbleAt, topNibbleAt } from "./grid-format.js";
import { integerFormat } from "./integer-format.js";
import { shiftedFormat } from "./shifted-format.js";

export const formats: Partial<Record<TypeName, BlockFormat>> = {
  IQ1_S: shiftedFormat(formatIQ1_S),
  IQ1_M: shiftedFormat(formatIQ1_M),
  IQ2_XXS: gridFormat(formatIQ2_XXS, topNibbleAt(6, 8)),
  IQ2_XS: gridFormat(formatIQ2_XS, nibbleAt(66)),
  IQ2_S: gridFormat(formatIQ2_S, nibbleAt(74)),
  IQ3_XXS: gridFormat(formatIQ3_XXS, topNibbleAt(66, 4)),
  IQ3_S: gridFormat(formatIQ3_S, nibbleAt(106)),
  Q2_K: integerFormat({
    block: 16,
    bytes: 84,
    low: 0,
    high: 3,
    lowest: 0,
    highest: 15,
    highestMinimum: 15,
    dAt: 80,
    scale: (bytes, at, block) => bytes[at + block]! & 15,
    minimum: (bytes, at, block) => bytes[at + block]! >> 4,
    pack: packQ2_K,
  }),
  Q3_K: integerFormat({
    block: 16,
    bytes: 110,
    low: -4,
    high: 3,
    lowest: -32,
    highest: 31,
    highestMinimum: 0,
    dAt: 108,
    scale: (bytes, at, block) => q3kScale(bytes, at + 96, block) - 32,
    pack: (codes, scales, _minima, out, at) => packQ3_K(codes, scales, out, at),
  }),
  Q4_K: integerFormat({
    block: 32,
    bytes: 144,
    low: 0,
    high: 15,
    lowest: 0,
    highest: 63,
    highestMinimum: 63,
    dAt: 0,
    scale: (bytes, at, block) => k4Scale(bytes, at + 4, block),
    minimum: (bytes, at, block) => k4Min(bytes, at + 4, block),
    pack: packQ4_K,
  }),
  NVFP4: formatNVFP4,
};
