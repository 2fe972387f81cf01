/**
 * What a tensor becomes when its rows do not fill whole blocks of the wanted type. Rules:
 * `tensor_type_fallback` in llama.cpp `src/llama-quant.cpp`.
 */
import { UsageError } from "../errors.js";
import { type TypeName, traitsOf } from "../quants/types.js";

/** The type itself if rows of `columns` weights fill its blocks, else its replacement, else F16. */
export function fittingType(type: TypeName, columns: number): TypeName {
  const fits = (candidate: TypeName) => columns % traitsOf(candidate).blockSize === 0;
  if (fits(type)) {
    return type;
  }
  const replacement = traitsOf(type).fallback;
  if (replacement === undefined && traitsOf(type).blockSize > 32) {
    throw new UsageError(
      `rows of ${columns} weights do not fill blocks of ${type} (${traitsOf(type).blockSize} weights), and there is no like type with smaller blocks; choose another type.`,
      { type, columns },
    );
  }
  return replacement !== undefined && fits(replacement) ? replacement : "F16";
}
