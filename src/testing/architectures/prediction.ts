/** Variants with layers that predict further tokens (MTP), of architectures whose llama.cpp computes them. */
import { latentAttention } from "./latent.js";
import { delta, flags, model, moe, shared, sigmoid, type TinyArchitecture } from "./parts.js";
import { mixturesOfExperts } from "./plain.js";
import { recurrentLayers } from "./recurrent.js";

/** One more layer, or as many as `count`, at the end of a model. */
function withPrediction(
  { architecture, layers, keys, optional, tied, experts }: TinyArchitecture,
  { count = 1, ...more }: { readonly count?: number } & Partial<TinyArchitecture>,
): TinyArchitecture {
  return {
    architecture,
    layers: layers + count,
    keys: { ...keys, ...more.keys, nextn_predict_layers: count },
    optional: more.optional ?? optional,
    tied,
    experts,
  };
}

const of = (models: Readonly<Record<string, TinyArchitecture>>, name: string): TinyArchitecture => {
  const found = models[name];
  if (found === undefined) {
    throw new RangeError(`no tiny model is named ${name}`);
  }
  return found;
};

const step35 = of(mixturesOfExperts, "step35");
const experts = (layers: string) =>
  ["gate_inp.weight", "gate_exps.weight", "up_exps.weight", "down_exps.weight"].map(
    (name) => `ffn_${name}@${layers}`,
  );
const linearAttention = ["attn_qkv.weight@0,1,2", "attn_gate.weight@0,1,2"];

export const furtherTokens: Readonly<Record<string, TinyArchitecture>> = {
  "qwen35moe-mtp": model(
    "qwen35moe",
    5,
    {
      ...moe,
      ...delta,
      expert_shared_feed_forward_length: 256,
      "rope.dimension_sections": [4, 2, 2, 0],
      nextn_predict_layers: 1,
    },
    { optional: [...linearAttention, "nextn.shared_head_norm.weight@4"] },
  ),
  "qwen3next-mtp": withPrediction(of(recurrentLayers, "qwen3next"), {
    optional: [...linearAttention, "nextn.shared_head_norm.weight@4"],
  }),
  // An embedding and a head of its own, as in DeepSeek V3.
  "deepseek2-mtp": withPrediction(of(latentAttention, "deepseek2"), {
    optional: [
      "exp_probs_b.bias@1,2,3",
      "nextn.shared_head_norm.weight@3",
      "nextn.embed_tokens.weight@3",
      "nextn.shared_head_head.weight@3",
    ],
  }),
  "deepseek32-mtp": withPrediction(of(latentAttention, "deepseek32"), {}),
  "deepseek4-mtp": withPrediction(of(latentAttention, "deepseek4"), {
    keys: { "attention.compress_ratios": [0, 0, 4, 128, 0] },
  }),
  "bailingmoe3-mtp": withPrediction(of(recurrentLayers, "bailingmoe3"), {
    keys: { "attention.head_count_kv": [0, 0, 0, 1, 1] },
  }),
  "nemotron_h_moe-mtp": withPrediction(of(recurrentLayers, "nemotron_h_moe"), {
    keys: {
      feed_forward_length: [0, 256, 0, 256, 0],
      "attention.head_count_kv": [0, 0, 2, 0, 2],
    },
  }),
  "hy_v3-mtp": withPrediction(of(mixturesOfExperts, "hy_v3"), {
    optional: [
      ...["gate", "up", "down"].map((name) => `ffn_${name}.weight@0`),
      ...["gate", "up", "down"].map((name) => `ffn_${name}_shexp.weight@1,2,3`),
      ...experts("1,2,3"),
      "exp_probs_b@1,2,3",
    ],
  }),
  "cohere2moe-mtp": withPrediction(of(mixturesOfExperts, "cohere2moe"), {}),
  // Two such layers.
  "step35-mtp": withPrediction(step35, {
    count: 2,
    keys: { "attention.sliding_window_pattern": flags(false, true, true, true, true, true) },
    optional: [
      "attn_q_norm.weight",
      "attn_k_norm.weight",
      "attn_gate.weight",
      ...["gate", "up", "down"].map((name) => `ffn_${name}.weight@0`),
      ...["gate", "up", "down"].map((name) => `ffn_${name}_shexp.weight@1,2,3,4,5`),
      ...experts("1,2,3,4,5"),
      "exp_probs_b.bias@1,2,3,4,5",
    ],
  }),
  "mimo2-mtp": withPrediction(of(mixturesOfExperts, "mimo2"), {
    count: 2,
    keys: {
      "attention.sliding_window_pattern": flags(false, true, true, true, true, true),
      ...shared,
      ...sigmoid,
    },
    optional: [
      "attn_qkv.weight",
      "attn_sinks.weight@1,2,3",
      ...["gate", "up", "down"].map((name) => `ffn_${name}.weight@0,4,5`),
      ...experts("1,2,3"),
      "exp_probs_b.bias@1,2,3",
    ],
  }),
};
