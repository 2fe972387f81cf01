import type { ModelFamily } from "../architecture.js";
import { bool, float32, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, rule } from "../tensor-rules.js";
import { textModelKeys } from "../text-model.js";
import {
  commonSizes,
  denseThenExperts,
  expertSizes,
  expertsOneByOne,
  feedForward,
  headSize,
  layerNorms,
  layerPrefix,
  predictionKey,
  rotatedPart,
  router,
} from "./common.js";

/** Ling 2, Ring 2: llama.cpp `src/models/bailingmoe2.cpp`. */
export const bailingMoe2: ModelFamily = {
  huggingFace: ["BailingMoeV2ForCausalLM"],
  gguf: "bailingmoe2",
  tensors: [
    rule("model.word_embeddings.weight", "token_embd.weight", ["hidden", "vocabulary"]),
    rule("model.norm.weight", "output_norm.weight", ["hidden"]),
    rule("lm_head.weight", "output.weight", ["hidden", "vocabulary"], { optional: "if tied" }),
    ...layerNorms,
    ...inLayers(layerPrefix, [
      rule("attention.query_key_value.weight", "attn_qkv.weight", ["hidden", "queriesKeysValues"]),
      rule("attention.dense.weight", "attn_output.weight", ["queries", "hidden"]),
      rule("attention.query_layernorm.weight", "attn_q_norm.weight", ["head"]),
      rule("attention.key_layernorm.weight", "attn_k_norm.weight", ["head"]),
      ...onlyIn("bias", [rule("mlp.gate.expert_bias", "exp_probs_b.bias", ["experts"])]),
      ...onlyIn("prediction", [
        rule("eh_proj.weight", "nextn.eh_proj.weight", ["twiceHidden", "hidden"]),
        rule("enorm.weight", "nextn.enorm.weight", ["hidden"]),
        rule("hnorm.weight", "nextn.hnorm.weight", ["hidden"]),
        rule("final_layernorm.weight", "layer_output_norm.weight", ["hidden"]),
      ]),
    ]),
    ...onlyIn("dense", feedForward("mlp.", "feedForward")),
    ...onlyIn("experts", [
      ...router("mlp.gate.weight"),
      ...expertsOneByOne("mlp.experts."),
      ...feedForward("mlp.shared_experts.", "sharedFeedForward", "_shexp"),
    ]),
  ],
  sizes(config) {
    const common = commonSizes(config);
    const experts = expertSizes(config, { count: "num_experts", width: "moe_intermediate_size" });
    const shared = (experts.expertFeedForward ?? 0) * (config.count("num_shared_experts") ?? 0);
    return {
      ...common,
      ...experts,
      queriesKeysValues: (common.queries ?? 0) + 2 * (common.keys ?? 0),
      feedForward: config.requireSize("intermediate_size"),
      sharedFeedForward: config.count("moe_shared_expert_intermediate_size") ?? shared,
    };
  },
  layerKinds(config, layer) {
    const kinds = denseThenExperts(config, layer);
    const hasBias = kinds.includes("experts") && config.flag("moe_router_enable_expert_bias");
    return hasBias ? [...kinds, "bias"] : kinds;
  },
  prediction: { kept: "with the model", count: (config) => config.count("num_nextn_predict_layers") ?? 0 },
  tokenizer: { preTokenizer: "bailingmoe2" },
  metadata: [
    ...textModelKeys(),
    uint32("rope.dimension_count", (context) => rotatedPart(headSize(context.config), context, 0.5)),
    uint32("leading_dense_block_count", "first_k_dense_replace"),
    uint32("vocab_size", "vocab_size"),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("expert_shared_feed_forward_length", ({ sizes }) => sizes.sharedFeedForward),
    float32("expert_weights_scale", "routed_scaling_factor"),
    uint32("expert_shared_count", "num_shared_experts"),
    bool("expert_weights_norm", "norm_topk_prob"),
    predictionKey,
  ],
};
