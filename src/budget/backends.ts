/**
 * Types whose matrix products llama.cpp computes in integers or has rearranged for a backend: those that are fast
 * both for prompts and for tokens. Sources in llama.cpp v0.5.0: `ggml_cuda_should_use_mmq` in `ggml-cuda/mmq.cu`,
 * `ggml-metal/kernels/mul_mm.metal`, the Q8_1 products in `ggml-vulkan/ggml-vulkan.cpp`, and
 * `ggml_repack_get_optimal_repack_type` in `ggml-cpu/repack.cpp`.
 */
import type { TypeName } from "../quants/types.js";

export const backends = ["cuda", "metal", "vulkan", "cpu"] as const;

export type Backend = (typeof backends)[number];

const legacy: readonly TypeName[] = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];
const kQuants: readonly TypeName[] = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];
const iQuants: readonly TypeName[] = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS", "IQ4_NL"];
const floats: readonly TypeName[] = ["F32", "F16", "BF16"];

const fast: Readonly<Record<Backend, ReadonlySet<TypeName>>> = {
  cuda: new Set([...legacy, ...kQuants, ...iQuants, ...floats]),
  metal: new Set([...legacy, ...kQuants, ...iQuants, ...floats]),
  vulkan: new Set([...legacy, ...kQuants, ...floats]),
  cpu: new Set<TypeName>(["Q4_0", "Q8_0", "Q2_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", ...floats]),
};

/** Whether a backend has fast kernels for a type. */
export function isFastOn(backend: Backend, type: TypeName): boolean {
  return fast[backend].has(type);
}
