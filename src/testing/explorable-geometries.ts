/** Models without weights that the explorer is tried on. */
import type { Metadata } from "../gguf/metadata.js";
import { plainMetadata } from "./gguf-file.js";
import { type GeometryTensor, type ModelGeometry, modelGeometries } from "./model-geometries.js";
import { referenceMetadata, referenceTensors } from "./reference-geometry.js";

/** The reference case: 128 experts in 48 layers. */
const reference: ModelGeometry = {
  title: "qwen3moe, the reference case",
  metadata: referenceMetadata(),
  tensors: referenceTensors("BF16"),
};

/** Latent attention and shared experts. */
function latent(): ModelGeometry {
  const found = modelGeometries.find(({ title }) => title === "deepseek2 with absorbed latent attention");
  if (found === undefined) {
    throw new Error("the geometry with latent attention is gone.");
  }
  const keys = {
    "deepseek2.context_length": 163_840,
    "deepseek2.embedding_length": 256,
    "deepseek2.feed_forward_length": 256,
    "deepseek2.expert_used_count": 8,
    "deepseek2.attention.key_length": 320,
    "deepseek2.attention.key_length_mla": 96,
    "deepseek2.vocab_size": 64,
  };
  const metadata: Metadata = new Map([...found.metadata, ...plainMetadata(keys)]);
  return { ...found, metadata };
}

/** Eight large experts: Mixtral 8x7B, each matrix of all experts in one tensor. */
function largeExperts(): ModelGeometry {
  const tensors: GeometryTensor[] = [
    { name: "token_embd.weight", shape: [4096, 32_000], type: "F16" },
    { name: "output.weight", shape: [4096, 32_000], type: "F16" },
    { name: "output_norm.weight", shape: [4096], type: "F32" },
  ];
  const matrices: Readonly<Record<string, readonly number[]>> = {
    attn_q: [4096, 4096],
    attn_k: [4096, 1024],
    attn_v: [4096, 1024],
    attn_output: [4096, 4096],
    ffn_gate_exps: [4096, 14_336, 8],
    ffn_up_exps: [4096, 14_336, 8],
    ffn_down_exps: [14_336, 4096, 8],
  };
  for (let layer = 0; layer < 32; layer++) {
    const at = (name: string) => `blk.${layer}.${name}.weight`;
    tensors.push({ name: at("attn_norm"), shape: [4096], type: "F32" });
    tensors.push({ name: at("ffn_norm"), shape: [4096], type: "F32" });
    tensors.push({ name: at("ffn_gate_inp"), shape: [4096, 8], type: "F32" });
    for (const [name, shape] of Object.entries(matrices)) {
      tensors.push({ name: at(name), shape, type: "F16" });
    }
  }
  const metadata = plainMetadata({
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.context_length": 32_768,
    "llama.embedding_length": 4096,
    "llama.feed_forward_length": 14_336,
    "llama.expert_count": 8,
    "llama.expert_used_count": 2,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.vocab_size": 32_000,
  });
  return { title: "llama, 8 large experts", metadata, tensors };
}

export const explorableGeometries: readonly ModelGeometry[] = [reference, latent(), largeExperts()];
