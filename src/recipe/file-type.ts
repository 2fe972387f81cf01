/** What a file calls itself: the number in `general.file_type`. */
import { type Metadata, metadataNumber } from "../gguf/metadata.js";
import { weightCount } from "../model/source.js";
import type { TypeName } from "../quants/types.js";
import { fileTypeNumberOf, ftypeNumber, isFtype } from "./ftypes.js";
import type { Recipe } from "./recipe.js";

/** A tensor of the output. */
interface TypedTensor {
  readonly shape: readonly number[];
  readonly to: TypeName;
}

/**
 * `general.file_type`. For llama.cpp's own mixtures it is the mixture's number, as llama-quantize writes it.
 * For a recipe with rules it is the mixture named after the type that holds the most weights (llama.cpp calls
 * these numbers LLAMA_FTYPE_MOSTLY_...): with experts at IQ2_S, readers shall not be told IQ3_S because of
 * the base, nor Q4_K because most tensors, but not most weights, are that. COPY keeps the source's number.
 */
export function fileTypeOf(recipe: Recipe, tensors: readonly TypedTensor[], metadata: Metadata): number {
  const { base, rules } = recipe;
  if (rules.length === 0 && isFtype(base)) {
    return ftypeNumber(base);
  }
  const declared = metadataNumber(metadata, "general.file_type");
  if (rules.length === 0 && base === "COPY" && declared !== undefined) {
    return declared;
  }
  const weights = new Map<TypeName, number>();
  for (const { to, shape } of tensors) {
    weights.set(to, (weights.get(to) ?? 0) + weightCount(shape));
  }
  const [most] = [...weights].sort((a, b) => b[1] - a[1]);
  const number = most === undefined ? undefined : fileTypeNumberOf(most[0]);
  return number ?? ftypeNumber(isFtype(base) ? base : "F32");
}
