import type { ModelFamily } from "../architecture.js";
import type { Fields } from "../fields.js";
import { uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, optional, rule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  attention,
  commonSizes,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  feedForward,
  layerNorms,
  layerPrefix,
  router,
} from "./common.js";

/** ERNIE-4.5-21B-A3B, ERNIE-4.5-300B-A47B: llama.cpp `src/models/ernie4-5-moe.cpp`. */
export const ernie45Moe: ModelFamily = {
  huggingFace: ["Ernie4_5_MoeForCausalLM", "Ernie4_5_MoE_ForCausalLM"],
  gguf: "ernie4_5-moe",
  tensors: [
    ...embeddingAndOutput,
    ...layerNorms,
    ...attention,
    ...onlyIn("dense", feedForward("mlp.", "feedForward")),
    ...onlyIn("experts", [
      ...router("mlp.gate.weight"),
      ...expertsOneByOne("mlp.experts."),
      ...optional([
        ...inLayers(layerPrefix, [
          rule("mlp.moe_statics.e_score_correction_bias", "exp_probs_b.bias", ["experts", "one"]),
        ]),
        ...feedForward("mlp.shared_experts.", "sharedFeedForward", "_shexp"),
      ]),
    ]),
  ],
  sizes(config) {
    const experts = expertSizes(config, {
      count: "moe_num_experts",
      width: "moe_intermediate_size",
      used: "moe_k",
    });
    return {
      ...commonSizes(config),
      ...experts,
      feedForward: config.requireSize("intermediate_size"),
      sharedFeedForward: (experts.expertFeedForward ?? 0) * (config.count("moe_num_shared_experts") ?? 0),
    };
  },
  layerKinds: (config, layer) => [isDense(config, layer) ? "dense" : "experts"],
  leftOut: [
    {
      names: /^model\.mtp_(block|emb_norm|hidden_norm|linear_proj)\./,
      what: "layers that predict further tokens (MTP)",
    },
  ],
  rename: (name) => name.replace(/^ernie\./, "model."),
  tokenizer: { spacePrefix: "with SentencePiece" },
  metadata: [
    ...textModelKeys(),
    uint32("expert_count", "moe_num_experts"),
    uint32("expert_used_count", "moe_k"),
    uint32("interleave_moe_layer_step", "moe_layer_interval"),
    uint32("leading_dense_block_count", "moe_layer_start_index"),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("expert_shared_count", "moe_num_shared_experts"),
    // Not what it says, but what llama.cpp's converter writes.
    uint32("expert_shared_feed_forward_length", ({ config }) =>
      config.count("moe_num_shared_experts")
        ? Math.floor(config.requireSize("intermediate_size") / config.requireSize("num_key_value_heads"))
        : undefined,
    ),
  ],
};

function isDense(config: Fields, layer: number): boolean {
  const start = config.count("moe_layer_start_index") ?? 0;
  const end = config.count("moe_layer_end_index") ?? Infinity;
  const interval = config.count("moe_layer_interval") ?? 1;
  return layer < start || layer > end || (layer + 1) % interval !== 0;
}
