/**
 * Multi-head latent attention (DeepSeek): keys and values are unfolded from one latent vector. llama.cpp multiplies
 * the unfolding into queries and outputs, so it wants the part for keys transposed in each head.
 */
import { mostOfFacts } from "../../architecture.js";
import type { Fields } from "../fields.js";
import { bool, float32, type MetadataContext, type MetadataRule, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, type Sizes, split, type TensorRule } from "../tensor-rules.js";
import { chain, rowsOfHeads, transpose } from "../transformations/named.js";
import { layerPrefix } from "./common.js";

const latentKeys = chain(rowsOfHeads("keyAndValueHead", "zero", "plainHead"), transpose);
const latentValues = rowsOfHeads("keyAndValueHead", "plainHead", "valueHead");

/** The parts of attention in a layer. Layers of the kind "lora" have queries of low rank, "direct" full ones. */
export const latentAttention: readonly TensorRule[] = inLayers(layerPrefix, [
  rule("self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight", ["hidden", "latentAndTurned"]),
  rule("self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight", ["latent"]),
  split(
    "self_attn.kv_b_proj.weight",
    ["latent", "keysAndValues"],
    [
      { name: "attn_k_b.weight", shape: ["plainHead", "latent", "heads"], via: latentKeys },
      { name: "attn_v_b.weight", shape: ["latent", "valueHead", "heads"], via: latentValues },
    ],
  ),
  rule("self_attn.o_proj.weight", "attn_output.weight", ["values", "hidden"]),
  ...onlyIn("direct", [rule("self_attn.q_proj.weight", "attn_q.weight", ["hidden", "latentQueries"])]),
  ...onlyIn("lora", [
    rule("self_attn.q_a_proj.weight", "attn_q_a.weight", ["hidden", "queryRank"]),
    rule("self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight", ["queryRank"]),
    rule("self_attn.q_b_proj.weight", "attn_q_b.weight", ["queryRank", "latentQueries"]),
  ]),
]);

export function latentSizes(config: Fields): Sizes {
  const hidden = config.requireSize("hidden_size");
  const heads = config.requireSize("num_attention_heads");
  const plainHead = config.requireSize("qk_nope_head_dim");
  const turned = config.requireSize("qk_rope_head_dim");
  const valueHead = config.requireSize("v_head_dim");
  const latent = config.requireSize("kv_lora_rank");
  return {
    zero: 0,
    one: 1,
    hidden,
    twiceHidden: 2 * hidden,
    vocabulary: config.requireSize("vocab_size", mostOfFacts.vocabulary),
    heads,
    plainHead,
    valueHead,
    keyAndValueHead: plainHead + valueHead,
    keysAndValues: heads * (plainHead + valueHead),
    values: heads * valueHead,
    latent,
    latentAndTurned: latent + turned,
    latentQueries: heads * (plainHead + turned),
    queryRank: config.count("q_lora_rank") ?? 0,
  };
}

/** Whether queries are of low rank. */
export function queryKind(config: Fields): "lora" | "direct" {
  return config.count("q_lora_rank") ? "lora" : "direct";
}

/** Keys of the attention; key and value length are those of the latent vector. */
export const latentKeysOfFile: readonly MetadataRule[] = [
  uint32("attention.head_count_kv", () => 1),
  uint32("attention.q_lora_rank", ({ config }) => config.count("q_lora_rank") || undefined),
  uint32("attention.kv_lora_rank", "kv_lora_rank"),
  uint32("attention.key_length", ({ sizes }) => sizes.latentAndTurned),
  uint32("attention.value_length", "kv_lora_rank"),
  uint32("attention.key_length_mla", keyLength),
  uint32("attention.value_length_mla", "v_head_dim"),
];

function keyLength({ config }: MetadataContext): number {
  return config.requireSize("qk_nope_head_dim") + config.requireSize("qk_rope_head_dim");
}

/** Keys of DeepSeek's experts. */
export const deepseekExpertKeys: readonly MetadataRule[] = [
  uint32("leading_dense_block_count", ({ config }) => config.count("first_k_dense_replace") ?? 0),
  uint32("vocab_size", "vocab_size"),
  uint32("expert_feed_forward_length", "moe_intermediate_size"),
  uint32("expert_shared_count", ({ config }) => config.count("n_shared_experts") ?? 0),
  float32("expert_weights_scale", "routed_scaling_factor"),
  // llama.cpp's converter writes only what is true.
  bool("expert_weights_norm", ({ config }) => config.flag("norm_topk_prob") || undefined),
];
