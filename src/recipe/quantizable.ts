/**
 * Which tensors may be quantized at all. Rules: `tensor_allows_quantization` in llama.cpp
 * `src/llama-quant.cpp`: vectors and norms matter much and weigh little, as do routers, convolutions,
 * position tables and the small matrices of some architectures. Two kinds are kept besides, since llama.cpp computes
 * with them in float32 and aborts on other types: norms of two dimensions, and the convolution beside them (Qwen 4).
 */
import { roleOf } from "../model/roles.js";

/** Parts of names that keep a tensor as it is. */
const keptParts = [
  "ffn_gate_inp.weight",
  "ffn_gate_tid2eid.weight",
  "_norm.weight",
  // Gemma 3n
  "altup",
  "laurel",
  "per_layer_model_proj",
  // Mamba, Kimi, LFM2
  "ssm_conv1d",
  "shortconv.conv.weight",
  // Qwen 4
  "ple_conv1d",
  // MiniMax
  "indexer.k_proj.weight",
  "indexer.q_proj.weight",
  // RWKV
  "time_mix_first.weight",
  "time_mix_w0.weight",
  "time_mix_w1.weight",
  "time_mix_w2.weight",
  "time_mix_v0.weight",
  "time_mix_v1.weight",
  "time_mix_v2.weight",
  "time_mix_a0.weight",
  "time_mix_a1.weight",
  "time_mix_a2.weight",
  "time_mix_g1.weight",
  "time_mix_g2.weight",
  "time_mix_decay_w1.weight",
  "time_mix_decay_w2.weight",
  "time_mix_lerp_fused.weight",
  // T5
  "attn_rel_b.weight",
  // Vision and audio encoders
  ".position_embd",
  "sam.pos_embd",
  "sam.neck.",
  "sam.net_",
  ".rel_pos",
  ".patch_embd",
  ".patch_merger",
  "a.rvq.codebook",
  "mm.a.code_embd",
] as const;

/** Whole names that keep a tensor as it is. */
const keptNames: ReadonlySet<string> = new Set(["position_embd.weight", "token_types.weight"]);

/** Whether a tensor of this name and shape (GGUF order) may be quantized. */
export function isQuantizable(name: string, shape: readonly number[]): boolean {
  return (
    shape.slice(1).some((size) => size > 1) &&
    name.endsWith("weight") &&
    !keptNames.has(name) &&
    roleOf(name) !== "norm" &&
    !keptParts.some((part) => name.includes(part))
  );
}

/** Names of the tensors that may be quantized. */
export function quantizableNames(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
): string[] {
  return tensors.filter(({ name, shape }) => isQuantizable(name, shape)).map(({ name }) => name);
}
