import type { ModelFamily } from "../architecture.js";
import { bool, float32, uint32 } from "../metadata-rules.js";
import { inLayers, onlyIn, optional, rule } from "../tensor-rules.js";
import { gatingFunctions, textModelKeys } from "../text-model.js";
import type { TokenizerTraits } from "../tokenizer/tokenizer.js";
import {
  attention,
  attentionBiases,
  commonSizes,
  denseThenExperts,
  embeddingAndOutput,
  expertSizes,
  expertsOneByOne,
  feedForward,
  headNorms,
  headSize,
  layerPrefix,
  predictionHead,
  predictionKey,
  predictionLayers,
  rotatedPart,
  router,
  visionTower,
  withoutLanguageModel,
} from "./common.js";

/** llama.cpp's own choice: with `<|endoftext|>` as the end of a turn these models never stop. */
export const glmTokenizer: TokenizerTraits = {
  preTokenizer: "glm4",
  roles: { bos: "[gMASK]", eot: "<|user|>", unk: "<|endoftext|>", eom: "<|observation|>" },
};

/** GLM-4.5, GLM-4.5-Air, GLM-4.6, GLM-4.5V: llama.cpp `src/models/glm4-moe.cpp`. */
export const glm4Moe: ModelFamily = {
  huggingFace: ["Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"],
  gguf: "glm4moe",
  tensors: [
    ...embeddingAndOutput,
    ...inLayers(layerPrefix, [
      rule("input_layernorm.weight", "attn_norm.weight", ["hidden"]),
      rule("post_attention_layernorm.weight", "post_attention_norm.weight", ["hidden"]),
    ]),
    ...attention,
    ...optional([...attentionBiases, ...headNorms]),
    ...onlyIn("dense", feedForward("mlp.", "feedForward")),
    ...onlyIn("experts", [
      ...router("mlp.gate.weight"),
      ...expertsOneByOne("mlp.experts."),
      ...feedForward("mlp.shared_experts.", "sharedFeedForward", "_shexp"),
      ...inLayers(layerPrefix, [rule("mlp.gate.e_score_correction_bias", "exp_probs_b.bias", ["experts"])]),
    ]),
    ...predictionHead,
  ],
  sizes(config) {
    const experts = expertSizes(config, { count: "n_routed_experts", width: "moe_intermediate_size" });
    return {
      ...commonSizes(config),
      ...experts,
      feedForward: config.requireSize("intermediate_size"),
      sharedFeedForward: (experts.expertFeedForward ?? 0) * config.requireSize("n_shared_experts"),
    };
  },
  layerKinds: denseThenExperts,
  prediction: predictionLayers("with the model"),
  tokenizer: glmTokenizer,
  leftOut: [visionTower],
  rename: withoutLanguageModel,
  metadata: [
    ...textModelKeys(),
    uint32("rope.dimension_count", (context) => rotatedPart(headSize(context.config), context, 0.5)),
    uint32("expert_feed_forward_length", "moe_intermediate_size"),
    uint32("expert_shared_count", "n_shared_experts"),
    uint32("leading_dense_block_count", "first_k_dense_replace"),
    uint32("expert_gating_func", () => gatingFunctions.sigmoid),
    float32("expert_weights_scale", "routed_scaling_factor"),
    bool("expert_weights_norm", "norm_topk_prob"),
    predictionKey,
  ],
};
