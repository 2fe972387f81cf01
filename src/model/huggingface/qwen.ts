/** What the Qwen families have in common: names, sizes. Checked against llama.cpp `gguf-py/gguf/tensor_mapping.py`. */
import { MalformedInputError } from "../../errors.js";
import type { Dimensions, TensorRule } from "./architecture.js";
import type { Fields } from "./fields.js";

const layer = "model.layers.{layer}";

export const embeddingAndOutput: readonly TensorRule[] = [
  { from: "model.embed_tokens.weight", to: "token_embd.weight", shape: ["hidden", "vocabulary"] },
  { from: "model.norm.weight", to: "output_norm.weight", shape: ["hidden"] },
  { from: "lm_head.weight", to: "output.weight", shape: ["hidden", "vocabulary"], optional: "if tied" },
];

export const attention: readonly TensorRule[] = [
  { from: `${layer}.input_layernorm.weight`, to: "blk.{layer}.attn_norm.weight", shape: ["hidden"] },
  { from: `${layer}.self_attn.q_proj.weight`, to: "blk.{layer}.attn_q.weight", shape: ["hidden", "queries"] },
  { from: `${layer}.self_attn.k_proj.weight`, to: "blk.{layer}.attn_k.weight", shape: ["hidden", "keys"] },
  { from: `${layer}.self_attn.v_proj.weight`, to: "blk.{layer}.attn_v.weight", shape: ["hidden", "keys"] },
  {
    from: `${layer}.self_attn.o_proj.weight`,
    to: "blk.{layer}.attn_output.weight",
    shape: ["queries", "hidden"],
  },
  { from: `${layer}.post_attention_layernorm.weight`, to: "blk.{layer}.ffn_norm.weight", shape: ["hidden"] },
];

export const attentionBiases: readonly TensorRule[] = [
  {
    from: `${layer}.self_attn.q_proj.bias`,
    to: "blk.{layer}.attn_q.bias",
    shape: ["queries"],
    optional: "always",
  },
  {
    from: `${layer}.self_attn.k_proj.bias`,
    to: "blk.{layer}.attn_k.bias",
    shape: ["keys"],
    optional: "always",
  },
  {
    from: `${layer}.self_attn.v_proj.bias`,
    to: "blk.{layer}.attn_v.bias",
    shape: ["keys"],
    optional: "always",
  },
];

export const headNorms: readonly TensorRule[] = [
  { from: `${layer}.self_attn.q_norm.weight`, to: "blk.{layer}.attn_q_norm.weight", shape: ["head"] },
  { from: `${layer}.self_attn.k_norm.weight`, to: "blk.{layer}.attn_k_norm.weight", shape: ["head"] },
];

export const denseFeedForward: readonly TensorRule[] = [
  {
    from: `${layer}.mlp.gate_proj.weight`,
    to: "blk.{layer}.ffn_gate.weight",
    shape: ["hidden", "feedForward"],
  },
  { from: `${layer}.mlp.up_proj.weight`, to: "blk.{layer}.ffn_up.weight", shape: ["hidden", "feedForward"] },
  {
    from: `${layer}.mlp.down_proj.weight`,
    to: "blk.{layer}.ffn_down.weight",
    shape: ["feedForward", "hidden"],
  },
];

/** Router and routed experts: one tensor per expert, or one for all (transformers 5). */
export const routedExperts: readonly TensorRule[] = [
  { from: `${layer}.mlp.gate.weight`, to: "blk.{layer}.ffn_gate_inp.weight", shape: ["hidden", "experts"] },
  {
    from: `${layer}.mlp.experts.{expert}.down_proj.weight`,
    to: "blk.{layer}.ffn_down_exps.weight",
    shape: ["expertFeedForward", "hidden", "experts"],
  },
  {
    from: `${layer}.mlp.experts.{expert}.gate_proj.weight`,
    to: "blk.{layer}.ffn_gate_exps.weight",
    shape: ["hidden", "expertFeedForward", "experts"],
  },
  {
    from: `${layer}.mlp.experts.{expert}.up_proj.weight`,
    to: "blk.{layer}.ffn_up_exps.weight",
    shape: ["hidden", "expertFeedForward", "experts"],
  },
  {
    from: `${layer}.mlp.experts.down_proj`,
    to: "blk.{layer}.ffn_down_exps.weight",
    shape: ["expertFeedForward", "hidden", "experts"],
  },
  {
    from: `${layer}.mlp.experts.gate_up_proj`,
    to: ["blk.{layer}.ffn_gate_exps.weight", "blk.{layer}.ffn_up_exps.weight"],
    shape: ["hidden", "expertFeedForward", "experts"],
  },
];

/** Sizes that all Qwen models have. */
export function commonDimensions(config: Fields): Dimensions {
  const hidden = config.requireSize("hidden_size");
  const heads = config.requireSize("num_attention_heads");
  const keyHeads = config.requireSize("num_key_value_heads");
  const head = config.count("head_dim") ?? hidden / heads;
  if (!Number.isInteger(head) || head === 0) config.wrong("num_attention_heads", `a divisor of ${hidden}`);
  if (keyHeads === 0 || heads % keyHeads !== 0) {
    config.wrong("num_key_value_heads", `a divisor of num_attention_heads (${heads})`);
  }
  return {
    layers: config.requireSize("num_hidden_layers"),
    hidden,
    vocabulary: config.requireSize("vocab_size"),
    head,
    queries: heads * head,
    keys: keyHeads * head,
  };
}

/** Sizes of routed experts. Layers without experts are refused, since llama.cpp has no place for them. */
export function expertDimensions(config: Fields): Dimensions {
  const dense =
    config.items("mlp_only_layers").length > 0 || (config.count("decoder_sparse_step") ?? 1) !== 1;
  if (dense) {
    throw new MalformedInputError(
      `${config.file}: mlp_only_layers or decoder_sparse_step ask for layers without experts, which llama.cpp cannot run in this architecture.`,
      { file: config.file },
    );
  }
  const experts = config.requireSize("num_experts");
  const used = config.requireSize("num_experts_per_tok");
  if (used < 1 || used > experts) config.wrong("num_experts_per_tok", `a number from 1 to ${experts}`);
  return { experts, expertFeedForward: config.requireSize("moe_intermediate_size") };
}
