import type { HuggingFaceArchitecture, TensorRule } from "./architecture.js";
import { expertLengths } from "./hyperparameters.js";
import {
  attention,
  attentionBiases,
  commonDimensions,
  embeddingAndOutput,
  expertDimensions,
  routedExperts,
} from "./qwen.js";

const shared = "model.layers.{layer}.mlp.shared_expert";

const sharedExpert: readonly TensorRule[] = [
  { from: `${shared}_gate.weight`, to: "blk.{layer}.ffn_gate_inp_shexp.weight", shape: ["hidden", "one"] },
  {
    from: `${shared}.gate_proj.weight`,
    to: "blk.{layer}.ffn_gate_shexp.weight",
    shape: ["hidden", "sharedFeedForward"],
  },
  {
    from: `${shared}.up_proj.weight`,
    to: "blk.{layer}.ffn_up_shexp.weight",
    shape: ["hidden", "sharedFeedForward"],
  },
  {
    from: `${shared}.down_proj.weight`,
    to: "blk.{layer}.ffn_down_shexp.weight",
    shape: ["sharedFeedForward", "hidden"],
  },
];

/** Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B: llama.cpp `src/models/qwen2moe.cpp`. */
export const qwen2Moe: HuggingFaceArchitecture = {
  huggingFace: "Qwen2MoeForCausalLM",
  gguf: "qwen2moe",
  tensors: [...embeddingAndOutput, ...attention, ...attentionBiases, ...routedExperts, ...sharedExpert],
  dimensions: (config) => ({
    ...commonDimensions(config),
    ...expertDimensions(config),
    sharedFeedForward: config.requireSize("shared_expert_intermediate_size"),
    one: 1,
  }),
  metadata: (config) => expertLengths("qwen2moe", config),
};
