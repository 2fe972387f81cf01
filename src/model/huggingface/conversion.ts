/**
 * Which type a tensor gets when a Hugging Face model becomes a GGUF file, before any real quantization: the
 * rules of llama.cpp's `conversion/base.py` (prepare_tensors).
 */
import { UsageError } from "../../errors.js";
import { type TypeName, traitsOf } from "../../quants/types.js";
import type { StoredFormat } from "./formats/stored-tensor.js";

/** The types that a conversion can aim at, with the number of the file type in `general.file_type`. */
const fileTypes = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 } as const satisfies Partial<Record<TypeName, number>>;

/** `general.file_type` of a file whose experts are MXFP4. */
export const mxfp4FileType = 38;

export type ConversionTarget = keyof typeof fileTypes;

/**
 * Matrices that llama.cpp reads as float32 only: routers, convolutions, the weights of an indexer's heads, positions of
 * patches.
 */
const float32Matrices =
  /\.(ffn_gate_inp(_shexp)?|ssm_conv1d(_[qkv])?|shortconv\.conv|indexer\.proj|position_embd)\.weight$/;

/** Kernels over images, which llama.cpp reads as F16 or F32. */
const imageKernels = /\.patch_(embd\.weight(\.1)?|merger\.weight)$/;

/** Reads `bf16`, `f16`, `f32` or `q8_0` in any case; throws a UsageError otherwise. */
export function parseConversionTarget(text: string): ConversionTarget {
  const name = text.toUpperCase();
  if (Object.hasOwn(fileTypes, name)) {
    return name as ConversionTarget;
  }
  throw new UsageError(`a model cannot be converted to "${text}"; use one of bf16, f16, f32, q8_0.`, {
    type: text,
  });
}

/** `general.file_type` of a file converted to `target`: `enum llama_ftype` in llama.cpp `include/llama.h`. */
export function conversionFileType(target: ConversionTarget): number {
  return fileTypes[target];
}

/**
 * Type of a tensor in a file converted to `target`. `shape` is in GGUF order, row length first. Norms, biases,
 * routers and everything of one dimension stay F32; a row that does not fill Q8_0's blocks becomes F16.
 */
export function conversionType(
  tensor: { readonly name: string; readonly shape: readonly number[] },
  target: ConversionTarget,
): ConversionTarget {
  const { name, shape } = tensor;
  if (imageKernels.test(name)) {
    return target === "F16" ? "F16" : "F32";
  }
  if (shape.length <= 1 || name.endsWith("_norm.weight") || !name.endsWith(".weight")) {
    return "F32";
  }
  if (float32Matrices.test(name)) {
    return "F32";
  }
  return storableType(target, shape[0] ?? 0);
}

/** The type, or F16 where rows of `columns` weights do not fill its blocks. */
export function storableType(target: ConversionTarget, columns: number): ConversionTarget {
  return columns % traitsOf(target).blockSize === 0 ? target : "F16";
}

/** What most matrices are stored as, as llama.cpp's converter guesses it: by the first. Packed weights are BF16. */
export function storedTarget(
  tensors: readonly { readonly format: StoredFormat; readonly shape: readonly number[] }[],
): ConversionTarget {
  const format = tensors.find(({ shape }) => shape.length >= 2)?.format;
  return format === "F32" || format === "F16" ? format : "BF16";
}
