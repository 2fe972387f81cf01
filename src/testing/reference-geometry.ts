/**
 * The reference case without its weights: names, shapes, types and metadata of Qwen3-Coder-30B-A3B as Q8_0
 * (48 layers, 128 experts of which 8 are used, untied output), as convert_hf_to_gguf writes them.
 */
import type { Metadata, MetadataValue } from "../gguf/metadata.js";
import type { TypeName } from "../quants/types.js";

export interface ReferenceTensor {
  readonly name: string;
  /** GGUF order: row length first. */
  readonly shape: readonly number[];
  readonly type: TypeName;
}

const layers = 48;
const width = 2048;
const experts = 128;
const expertWidth = 768;
const heads = 32;
const keyValueHeads = 4;
const headWidth = 128;
const vocabulary = 151936;

/** All 579 tensors; matrices have the given type, norms and routers are F32. */
export function referenceTensors(type: TypeName = "Q8_0"): ReferenceTensor[] {
  const matrix = (name: string, ...shape: number[]): ReferenceTensor => ({ name, shape, type });
  const float = (name: string, ...shape: number[]): ReferenceTensor => ({ name, shape, type: "F32" });
  const tensors = [
    matrix("output.weight", width, vocabulary),
    float("output_norm.weight", width),
    matrix("token_embd.weight", width, vocabulary),
  ];
  for (let layer = 0; layer < layers; layer++) {
    const at = (name: string) => `blk.${layer}.${name}.weight`;
    tensors.push(
      matrix(at("attn_k"), width, keyValueHeads * headWidth),
      float(at("attn_k_norm"), headWidth),
      float(at("attn_norm"), width),
      matrix(at("attn_output"), heads * headWidth, width),
      matrix(at("attn_q"), width, heads * headWidth),
      float(at("attn_q_norm"), headWidth),
      matrix(at("attn_v"), width, keyValueHeads * headWidth),
      matrix(at("ffn_down_exps"), expertWidth, width, experts),
      matrix(at("ffn_gate_exps"), width, expertWidth, experts),
      float(at("ffn_gate_inp"), width, experts),
      float(at("ffn_norm"), width),
      matrix(at("ffn_up_exps"), width, expertWidth, experts),
    );
  }
  return tensors;
}

/** The model's own metadata, without a tokenizer. */
export function referenceMetadata(): Metadata {
  const uint32 = (value: number): MetadataValue => ({ type: "uint32", value });
  const float32 = (value: number): MetadataValue => ({ type: "float32", value });
  return new Map<string, MetadataValue>([
    ["general.architecture", { type: "string", value: "qwen3moe" }],
    ["general.name", { type: "string", value: "Qwen3-Coder-30B-A3B-Instruct" }],
    ["general.file_type", uint32(7)],
    ["general.quantization_version", uint32(2)],
    ["qwen3moe.block_count", uint32(layers)],
    ["qwen3moe.context_length", uint32(262144)],
    ["qwen3moe.embedding_length", uint32(width)],
    ["qwen3moe.feed_forward_length", uint32(5472)],
    ["qwen3moe.expert_feed_forward_length", uint32(expertWidth)],
    ["qwen3moe.expert_count", uint32(experts)],
    ["qwen3moe.expert_used_count", uint32(8)],
    ["qwen3moe.attention.head_count", uint32(heads)],
    ["qwen3moe.attention.head_count_kv", uint32(keyValueHeads)],
    ["qwen3moe.attention.key_length", uint32(headWidth)],
    ["qwen3moe.attention.value_length", uint32(headWidth)],
    ["qwen3moe.attention.layer_norm_rms_epsilon", float32(0.000001)],
    ["qwen3moe.rope.freq_base", float32(10_000_000)],
    ["qwen3moe.vocab_size", uint32(vocabulary)],
  ]);
}
