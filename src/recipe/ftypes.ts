/**
 * llama-quantize's names for whole-file mixtures ("ftypes"), their numbers in `general.file_type`, and the
 * tensor type each is built on. Sources: `enum llama_ftype` in llama.cpp `include/llama.h`,
 * `llama_ftype_get_default_type` in `src/llama-quant.cpp`, and the options of `tools/quantize/quantize.cpp`.
 */
import { type TypeName, types } from "../quants/types.js";

const table = {
  F32: [0, "F32"],
  F16: [1, "F16"],
  Q4_0: [2, "Q4_0"],
  Q4_1: [3, "Q4_1"],
  Q8_0: [7, "Q8_0"],
  Q5_0: [8, "Q5_0"],
  Q5_1: [9, "Q5_1"],
  Q2_K: [10, "Q2_K"],
  Q3_K_S: [11, "Q3_K"],
  Q3_K_M: [12, "Q3_K"],
  Q3_K_L: [13, "Q3_K"],
  Q4_K_S: [14, "Q4_K"],
  Q4_K_M: [15, "Q4_K"],
  Q5_K_S: [16, "Q5_K"],
  Q5_K_M: [17, "Q5_K"],
  Q6_K: [18, "Q6_K"],
  IQ2_XXS: [19, "IQ2_XXS"],
  IQ2_XS: [20, "IQ2_XS"],
  Q2_K_S: [21, "Q2_K"],
  IQ3_XS: [22, "IQ3_S"],
  IQ3_XXS: [23, "IQ3_XXS"],
  IQ1_S: [24, "IQ1_S"],
  IQ4_NL: [25, "IQ4_NL"],
  IQ3_S: [26, "IQ3_S"],
  IQ3_M: [27, "IQ3_S"],
  // The names are one step off: ftype IQ2_S is built on type IQ2_XS, and ftype IQ2_M on type IQ2_S.
  IQ2_S: [28, "IQ2_XS"],
  IQ2_M: [29, "IQ2_S"],
  IQ4_XS: [30, "IQ4_XS"],
  IQ1_M: [31, "IQ1_M"],
  BF16: [32, "BF16"],
  TQ1_0: [36, "TQ1_0"],
  TQ2_0: [37, "TQ2_0"],
  MXFP4_MOE: [38, "MXFP4"],
  Q1_0: [40, "Q1_0"],
  Q2_0: [41, "Q2_0"],
} as const satisfies Record<string, readonly [number: number, type: TypeName]>;

/** Name of a llama.cpp mixture. */
export type Ftype = keyof typeof table;

/** All mixtures, in the order of their numbers. */
export const ftypes = Object.keys(table) as readonly Ftype[];

/** Number of a mixture in `general.file_type`. */
export function ftypeNumber(ftype: Ftype): number {
  return table[ftype][0];
}

/** Type of all tensors for which the mixture makes no exception. */
export function ftypeBaseType(ftype: Ftype): TypeName {
  return table[ftype][1];
}

/** Numbers that llama.cpp has for files of one type, for which llama-quantize has no mixture. */
const numbersOfTypes: ReadonlyMap<TypeName, number> = new Map([["NVFP4", 39]]);

/** What no rule decides: a mixture, one type for all ("MXFP4" has no mixture of its name), or the source's types. */
export type Base = Ftype | TypeName | "COPY";

const aliases: ReadonlyMap<string, Ftype> = new Map([
  ["Q3_K", "Q3_K_M"],
  ["Q4_K", "Q4_K_M"],
  ["Q5_K", "Q5_K_M"],
]);

/** Words that a base may be, for messages. */
export const baseNames: readonly string[] = [
  ...ftypes,
  ...aliases.keys(),
  ...[...types.values()]
    .filter(({ name, canEncode }) => canEncode && !(name in table) && !aliases.has(name))
    .map(({ name }) => name),
  "COPY",
];

/** Reads a base in any case. As for llama-quantize `Q4_K` means `Q4_K_M`. Undefined if there is no such name. */
export function parseBase(text: string): Base | undefined {
  const name = text.toUpperCase();
  const alias = aliases.get(name);
  if (alias !== undefined) {
    return alias;
  }
  return baseNames.includes(name) ? (name as Base) : undefined;
}

/** Whether a base is one of llama.cpp's mixtures. */
export function isFtype(base: Base): base is Ftype {
  return Object.hasOwn(table, base);
}

/**
 * Number of the file type that a file is said to be when most of its weights have this type, as llama.cpp's loader
 * names files without `general.file_type` (`src/llama-model-loader.cpp`); undefined if it has none.
 */
export function fileTypeNumberOf(type: TypeName): number | undefined {
  const base = type === "MXFP4" ? "MXFP4_MOE" : parseBase(type);
  return base !== undefined && isFtype(base) ? ftypeNumber(base) : numbersOfTypes.get(type);
}
