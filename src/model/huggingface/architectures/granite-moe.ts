import type { ModelFamily } from "../architecture.js";
import { float32, uint32, without } from "../metadata-rules.js";
import { inLayers, onlyIn, rule, split } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import { part } from "../transformations/named.js";
import { commonSizes, embeddingAndOutput, expertSizes, layerNorms, layerPrefix } from "./common.js";
import { interleavedAttention } from "./llama.js";

const gateOrUp = ["hidden", "expertFeedForward", "experts"];

/** Granite 3 MoE, with or without a shared expert: llama.cpp `src/models/granite-moe.cpp`. */
export const graniteMoe: ModelFamily = {
  huggingFace: ["GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"],
  gguf: "granitemoe",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...interleavedAttention,
    ...inLayers(layerPrefix, [
      rule("block_sparse_moe.router.layer.weight", "ffn_gate_inp.weight", ["hidden", "experts"]),
      split(
        "block_sparse_moe.input_linear.weight",
        ["hidden", "twiceExpertFeedForward", "experts"],
        [
          { name: "ffn_gate_exps.weight", shape: gateOrUp, via: part(0) },
          { name: "ffn_up_exps.weight", shape: gateOrUp, via: part(1) },
        ],
      ),
      rule("block_sparse_moe.output_linear.weight", "ffn_down_exps.weight", [
        "expertFeedForward",
        "hidden",
        "experts",
      ]),
      ...onlyIn("shared", [
        split(
          "shared_mlp.input_linear.weight",
          ["hidden", "twiceSharedFeedForward"],
          [
            { name: "ffn_gate_shexp.weight", shape: ["hidden", "sharedFeedForward"], via: part(0) },
            { name: "ffn_up_shexp.weight", shape: ["hidden", "sharedFeedForward"], via: part(1) },
          ],
        ),
        rule("shared_mlp.output_linear.weight", "ffn_down_shexp.weight", ["sharedFeedForward", "hidden"]),
      ]),
    ]),
  ],
  sizes(config) {
    const sharedFeedForward = config.count("shared_intermediate_size") ?? 0;
    const { head: _, queries: __, keys: ___, ...common } = commonSizes(config);
    // llama.cpp knows no head size of its own here.
    const head = config.requireSize("hidden_size") / config.requireSize("num_attention_heads");
    return {
      ...common,
      head,
      queries: config.requireSize("hidden_size"),
      keys: (common.keyHeads ?? 1) * head,
      ...expertSizes(config, { count: "num_local_experts", width: "intermediate_size" }),
      sharedFeedForward,
      twiceSharedFeedForward: 2 * sharedFeedForward,
    };
  },
  layerKinds: (config) => ((config.count("shared_intermediate_size") ?? 0) > 0 ? ["shared"] : []),
  tokenizer: { preTokenizer: "refact", spacePrefix: "always" },
  metadata: [
    ...without(textModelKeys(), "attention.key_length", "attention.value_length"),
    uint32("vocab_size", "vocab_size"),
    uint32("rope.dimension_count", ({ sizes }) => sizes.head),
    float32("attention.scale", "attention_multiplier"),
    float32("embedding_scale", "embedding_multiplier"),
    float32("residual_scale", "residual_multiplier"),
    float32("logit_scale", "logits_scaling"),
    uint32("expert_shared_feed_forward_length", ({ sizes }) => sizes.sharedFeedForward || undefined),
  ],
};
