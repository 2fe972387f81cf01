/**
 * What a tensor becomes when its rows do not fill whole blocks of the wanted type. Rules:
 * `tensor_type_fallback` in llama.cpp `src/llama-quant.cpp`.
 */
import { UsageError } from "../errors.js";
import { type TypeName, traitsOf } from "../quants/types.js";

/** Types with blocks of more than 32 weights, each with the nearest type with blocks of 32. */
const narrower: ReadonlyMap<TypeName, TypeName> = new Map<TypeName, TypeName>([
  ["IQ1_S", "IQ4_NL"],
  ["IQ1_M", "IQ4_NL"],
  ["IQ2_XXS", "IQ4_NL"],
  ["IQ2_XS", "IQ4_NL"],
  ["IQ2_S", "IQ4_NL"],
  ["IQ3_XXS", "IQ4_NL"],
  ["IQ3_S", "IQ4_NL"],
  ["IQ4_XS", "IQ4_NL"],
  ["Q2_0", "Q4_0"],
  ["Q2_K", "Q4_0"],
  ["Q3_K", "Q4_0"],
  ["TQ1_0", "Q4_0"],
  ["TQ2_0", "Q4_0"],
  ["Q4_K", "Q5_0"],
  ["Q5_K", "Q5_1"],
  ["Q6_K", "Q8_0"],
]);

/** The type itself if rows of `columns` weights fill its blocks, else its replacement, else F16. */
export function fittingType(type: TypeName, columns: number): TypeName {
  const fits = (candidate: TypeName) => columns % traitsOf(candidate).blockSize === 0;
  if (fits(type)) {
    return type;
  }
  const replacement = narrower.get(type);
  if (replacement === undefined && traitsOf(type).blockSize > 32) {
    throw new UsageError(
      `rows of ${columns} weights do not fill blocks of ${type} (${traitsOf(type).blockSize} weights), and there is no like type with smaller blocks; choose another type.`,
      { type, columns },
    );
  }
  return replacement !== undefined && fits(replacement) ? replacement : "F16";
}
