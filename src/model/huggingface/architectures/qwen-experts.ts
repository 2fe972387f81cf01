/** The experts of the Qwen families: routed ones by themselves or in one tensor, and a shared one with its gate. */
import type { Fields } from "../fields.js";
import { type MetadataRule, uint32 } from "../metadata-rules.js";
import { inLayers, rule, type Sizes, type TensorRule } from "../tensor-rules.js";
import {
  checkAllLayersHaveExperts,
  expertSizes,
  expertsInOne,
  expertsOneByOne,
  feedForward,
  layerPrefix,
  router,
} from "./common.js";

export const qwenExperts: readonly TensorRule[] = [
  ...router("mlp.gate.weight"),
  ...expertsOneByOne("mlp.experts."),
  ...expertsInOne,
];

export const qwenSharedExpert: readonly TensorRule[] = [
  ...inLayers(layerPrefix, [
    rule("mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", ["hidden", "one"]),
  ]),
  ...feedForward("mlp.shared_expert.", "sharedFeedForward", "_shexp"),
];

/** Widths of routed and shared experts (llama.cpp `conversion/qwen.py`, Qwen2MoeModel). */
export const qwenExpertKeys: readonly MetadataRule[] = [
  uint32("expert_feed_forward_length", "moe_intermediate_size"),
  uint32("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
];

export function qwenExpertSizes(config: Fields): Sizes {
  checkAllLayersHaveExperts(config);
  return expertSizes(config, { count: "num_experts", width: "moe_intermediate_size" });
}

export function qwenSharedExpertSize(config: Fields): Sizes {
  return { sharedFeedForward: config.requireSize("shared_expert_intermediate_size") };
}
