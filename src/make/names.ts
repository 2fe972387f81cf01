/**
 * Names of files, after the GGUF naming convention: `NAME-VARIANT.gguf`, where Hugging Face finds the variant by the
 * last quantization label in the name (`parseGGUFQuantLabel` of `@huggingface/gguf`).
 */
import { basename } from "node:path";
import { type TypeName, traitsOf } from "../quants/types.js";
import { isFtype } from "../recipe/ftypes.js";
import type { Recipe } from "../recipe/recipe.js";
import { schemeOf } from "../remote/address-schemes.js";

/** A label at the end of a name, with what publishers put before it. */
const labelAtEnd = /[-.](?:UD-)?(?:[IT]?Q\d(?:_[0-9A-Z]+)*|BF16|F16|F32|MXFP4(?:_MOE)?|NVFP4)$/i;

/**
 * A model's name without place, ending, split numbers and quantization label:
 * `Qwen3-Coder-30B-A3B-Instruct` for `hf://someone/x/Qwen3-Coder-30B-A3B-Instruct-Q8_0-00001-of-00002.gguf`.
 */
export function baseNameOf(model: string): string {
  const [path = ""] = model.split(/[?#]/);
  const named = schemeOf(path)?.withoutVersion(path) ?? path;
  const last = basename(named.replace(/[\\/]+$/, "").replaceAll("\\", "/")) || "model";
  const plain = last.replace(/\.gguf$/i, "").replace(/-\d{5}-of-\d{5}$/, "");
  return plain.replace(labelAtEnd, "").replace(/[^\w.+-]/g, "_") || "model";
}

/**
 * `asym-IQ2_S` for the preset asym-2bit-experts: the recipe's name up to a word with a digit, then the label of the
 * type that most weights have. One of llama.cpp's mixtures has just its name.
 */
export function variantName({ name, base, rules }: Recipe, mainType: TypeName): string {
  const { label } = traitsOf(mainType);
  if (rules.length === 0) {
    return isFtype(base) ? base : label;
  }
  const words = name.split("-");
  const end = words.findIndex((word) => /\d/.test(word));
  const prefix = words.slice(0, end < 0 ? words.length : end).join("-");
  return [prefix.replace(/[^\w.-]/g, "_") || "lopsided", label].join("-");
}

/** The type that most weights have. */
export function mainTypeOf(
  tensors: readonly { readonly type: TypeName; readonly parameters: number }[],
): TypeName {
  const sums = new Map<TypeName, number>();
  for (const { type, parameters } of tensors) {
    sums.set(type, (sums.get(type) ?? 0) + parameters);
  }
  const [first] = [...sums].sort((a, b) => b[1] - a[1]);
  return first?.[0] ?? "F32";
}
